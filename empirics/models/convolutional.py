"""Two small convolutional networks and two ResNet-18s, with BatchNorm and a frozen last layer, for many runs at once.

The runs lie side by side as channels, (image, run · channel, height, width): a convolution of the ensemble has one
group per run, and BatchNorm's statistics are per channel in any case. On a CPU, with channels last in memory, this
takes two thirds of the time of a loop over the runs or of ``torch.func.vmap`` (``python -m benchmarks ensembles``).

On a CPU with numba, :mod:`empirics.models.kernels.conv` takes the gradient of :class:`ResNet18` in half to a third of
that time; ``python -m benchmarks ensembles`` compares both with each other and with ``torch.compile``.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from empirics.models.base import Block, Model, ModelError
from empirics.models.functional import FunctionalModel, frozen_head, linear
from empirics.models.kernels.compiled import Compiled

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.kernels.conv_plan import ConvPlan
    from empirics.models.table import ModelTable


#: The largest width that the kernel takes: beyond it, windows no longer fit the cache (docs/performance.md).
_WIDEST = 32


def _filters(name: str, out: int, into: int, size: int) -> Block:
    return Block(name, (out, into, size, size), parts=out)


def _convolved(signal: Tensor, filters: Tensor, stride: int = 1) -> Tensor:
    """Convolve with each run's own filters (run, out, in, size, size)."""
    runs, size = filters.shape[0], filters.shape[-1]
    return functional.conv2d(signal, filters.flatten(0, 1), stride=stride, padding=size // 2, groups=runs)


class _Convolutional(FunctionalModel):
    """Base of the networks: images side by side, and a last layer on the mean over the picture.

    Parameters
    ----------
    shape
        Channels, height and width of an image.
    classes
        Number of classes.
    width
        The multiplier k: channels of the first layer.
    eps
        Added to the variance in BatchNorm.
    head_norm
        Frobenius norm of the frozen last layer.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, width: int, eps: float = 1e-12, head_norm: float = 10.0
    ) -> None:
        super().__init__(math.prod(shape), classes, eps, head_norm)
        self.shape, self.width = shape, width
        self.blocks = tuple(self._layers())

    @abstractmethod
    def _layers(self) -> Iterator[Block]:
        """Yield the trained tensors, in order."""

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> Model:
        """Build the network for the data, which must be images."""
        if len(data.shape) != 3:
            raise ModelError(f"[model] name = {table.name!r} needs images, but data set {data.name!r} has none")
        return cls(data.shape, data.classes, table.width, table.eps, table.head_norm)

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw a Gaussian last layer, scaled to `head_norm`."""
        return frozen_head(generator, self.classes, 8 * self.width, self.head_norm)

    def _enter(self, inputs: Tensor) -> Tensor:
        """Lay out the images of all runs as (image, run · channel, height, width), channels last in memory."""
        runs, batch = inputs.shape[:2]
        images = inputs.view(runs, batch, *self.shape).transpose(0, 1).reshape(batch, -1, *self.shape[1:])
        return images.contiguous(memory_format=torch.channels_last)

    def _normed(self, signal: Tensor) -> Tensor:
        """Normalise every channel over the batch."""
        return functional.batch_norm(signal, None, None, training=True, eps=self.eps)

    def _leave(self, signal: Tensor, frozen: Sequence[Tensor]) -> Tensor:
        """Compute logits (run, image, class) from the means of the last channels over the image."""
        batch, runs = signal.shape[0], frozen[0].shape[0]
        return linear(signal.mean((2, 3)).view(batch, runs, -1).transpose(0, 1), frozen[0])


class ConvNet(_Convolutional):
    """Four 3x3 convolutions of k, 2k, 4k and 8k filters, each with BatchNorm and ReLU, the first three with a 2x2 pool.

    A block is a filter.

    Attributes
    ----------
    pooled
        Which convolutions are followed by a pool, where the picture still has 2x2 pixels.

    Examples
    --------
    >>> ConvNet((3, 32, 32), classes=10, width=4).dimension
    6156
    """

    pooled: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def _layers(self) -> Iterator[Block]:
        into = self.shape[0]
        for i in range(4):
            yield _filters(f"convolution {i + 1}", self.width * 2**i, into, 3)
            into = self.width * 2**i

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        signal = self._enter(inputs)
        for i, filters in enumerate(weights):
            signal = self._normed(_convolved(signal, filters)).relu()
            if i in self.pooled and min(signal.shape[2:]) >= 2:
                signal = functional.max_pool2d(signal, 2)
        return self._leave(signal, frozen)


class PaperConvNet(ConvNet):
    """The ConvNet of arXiv 2511.07308: pools after the last three convolutions, not the first three, and a bias.

    The last layer acts on the maximum over the picture, not the mean; its bias is frozen too. The second convolution
    acts on whole pictures, so a step takes about three times that of :class:`ConvNet`.

    Examples
    --------
    The counts of the paper, for CIFAR-10 and CIFAR-100:

    >>> [PaperConvNet((3, 32, 32), classes, width).dimension for classes, width in ((10, 8), (100, 16))]
    [24408, 97200]
    """

    pooled = (1, 2, 3)

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw the last layer as usual, and its bias uniformly, as torch does."""
        bias = generator.uniform(-1, 1, self.classes) / np.sqrt(8 * self.width)
        return [*super().draw_frozen(generator), bias]

    def _leave(self, signal: Tensor, frozen: Sequence[Tensor]) -> Tensor:
        """Compute logits from the largest values over the picture."""
        head, bias = frozen
        return super()._leave(functional.max_pool2d(signal, signal.shape[2:]), [head]) + bias[:, None]


class _Unit(NamedTuple):
    """One residual unit: channels in and out, and the stride of its first convolution."""

    into: int
    out: int
    stride: int

    @property
    def projects(self) -> bool:
        """Whether the shortcut needs a convolution."""
        return self.stride != 1 or self.into != self.out


class ResNet18(Compiled, _Convolutional):
    """ResNet-18 as used for 32x32 images: a 3x3 convolution, then four stages of two units of k, 2k, 4k, 8k channels.

    Every convolution is followed by BatchNorm; a block is a filter. K. He et al., arXiv 1512.03385.

    Parameters
    ----------
    shape, classes, width, eps, head_norm
        As for every convolutional network.
    compiled
        Take gradients with the compiled kernel where there is one: on a CPU, with numba, up to width 32, for more than
        one image. Its first use on a machine compiles it, in about 15 seconds; with ``NUMBA_DISABLE_JIT=1`` it is not
        used.

    Examples
    --------
    >>> ResNet18((3, 32, 32), classes=10, width=4).dimension
    43692
    """

    kernel_module = "empirics.models.kernels.conv"
    _units: list[_Unit]

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        eps: float = 1e-12,
        head_norm: float = 10.0,
        compiled: bool = True,
    ) -> None:
        super().__init__(shape, classes, width, eps, head_norm)
        self.compiled = compiled
        self._plan: ConvPlan | None = None

    def _layers(self) -> Iterator[Block]:
        self._units, into = [], self.width
        for stage in range(4):
            out = self.width * 2**stage
            self._units += [_Unit(into, out, 1 if stage == 0 else 2), _Unit(out, out, 1)]
            into = out
        yield _filters("stem", self.width, self.shape[0], 3)
        for i, unit in enumerate(self._units, start=1):
            yield _filters(f"unit {i} first", unit.out, unit.into, 3)
            yield _filters(f"unit {i} second", unit.out, unit.out, 3)
            if unit.projects:
                yield _filters(f"unit {i} shortcut", unit.out, unit.into, 1)

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        filters = iter(weights)
        signal = self._normed(_convolved(self._enter(inputs), next(filters))).relu()
        for unit in self._units:
            inner = self._normed(_convolved(signal, next(filters), unit.stride)).relu()
            inner = self._normed(_convolved(inner, next(filters)))
            if unit.projects:
                signal = self._normed(_convolved(signal, next(filters), unit.stride))
            signal = (signal + inner).relu()
        return self._leave(signal, frozen)

    def _kernel_for(self, inputs: Tensor, labels: Tensor) -> Callable[..., None] | None:
        """The compiled gradient for such inputs; a single image is left to torch, whose BatchNorm refuses it."""
        return super()._kernel_for(inputs, labels) if self.width <= _WIDEST and labels.shape[1] > 1 else None

    def _call(self, kernel: Callable[..., None], arrays: Sequence[NDArray], found: NDArray, loss: NDArray) -> None:
        flat, head, *minibatch = arrays
        plan = self._plan_for(minibatch[2].shape[1], head.dtype)
        tables = (plan.memory, plan.convolutions, plan.units, plan.places)
        kernel(flat, *tables, head, *minibatch, self.eps, found, loss)

    def _plan_for(self, batch: int, dtype: np.dtype) -> "ConvPlan":
        """The kernel's memory, kept while the size and type of minibatches stay the same."""
        from empirics.models.kernels.conv_plan import BATCH, ConvPlan  # numba takes a second to import

        if self._plan is None or (self._plan.places[BATCH], self._plan.memory.dtype) != (batch, dtype):
            units = [(*unit, unit.projects) for unit in self._units]
            self._plan = ConvPlan.of(self.shape, units, self.classes, batch, dtype)
        return self._plan


class PreActResNet18(_Convolutional):
    """ResNet-18 with normalisations before its convolutions, as in arXiv 2511.07308; K. He et al., arXiv 1603.05027.

    A unit adds ``second * ReLU(norm(first * x))`` with ``x = ReLU(norm(stream))`` to its stream, which nothing
    normalises in between. Where the picture shrinks, a stage begins with ``shortcut * norm(x)`` in place of the stream,
    the first one with ``stem * image``. The last layer acts on the mean of x over the picture.

    Scale-invariant by themselves are the filters of the eight first convolutions. Channel c of a stage's stream is a
    sum of what filters c of three convolutions give, and every reader normalises it: these three filters are one block.
    They are a row of the tensor of that stage.

    Examples
    --------
    The count of the paper, in 120 filters and 60 channels:

    >>> model = PreActResNet18((3, 32, 32), classes=10, width=4)
    >>> model.dimension, sum(block.parts for block in model.blocks), model.directions
    (43692, 180, 43512)
    """

    def _layers(self) -> Iterator[Block]:
        self._streams: list[list[tuple[int, int, int]]] = []  # channels and size of the filters that add to a stream
        into, size = self.shape[0], 3
        for stage in range(4):
            out = self.width * 2**stage
            self._streams.append([(into, size, size), (out, 3, 3), (out, 3, 3)])
            yield Block(f"stage {stage + 1} stream", (out, sum(self._sizes(stage))), parts=out)
            yield _filters(f"unit {2 * stage + 1} first", out, into if stage else out, 3)
            yield _filters(f"unit {2 * stage + 2} first", out, out, 3)
            into, size = out, 1

    def _sizes(self, stage: int) -> list[int]:
        """Count the weights of each of the three filters of a row."""
        return [math.prod(shape) for shape in self._streams[stage]]

    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw Gaussian weights of one run, with filters of mean square length 1 in every convolution."""
        drawn = super().draw(generator)
        for stage in range(4):
            sizes = self._sizes(stage)
            drawn[3 * stage] *= np.sqrt(sum(sizes) / np.repeat(sizes, sizes))
        return drawn

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        signal, stride = self._enter(inputs), 1
        for stage, shapes in enumerate(self._streams):
            rows, *firsts = weights[3 * stage : 3 * stage + 3]
            parts = zip(rows.split(self._sizes(stage), 2), shapes, strict=True)
            entering, *seconds = [part.unflatten(2, shape) for part, shape in parts]
            stream = _convolved(self._normed(signal) if stage else signal, entering, stride)
            signal = signal if stage else self._normed(stream).relu()
            for first, second in zip(firsts, seconds, strict=True):
                inner = self._normed(_convolved(signal, first, stride)).relu()
                stream = stream + _convolved(inner, second)
                signal, stride = self._normed(stream).relu(), 1
            stride = 2
        return self._leave(signal, frozen)
