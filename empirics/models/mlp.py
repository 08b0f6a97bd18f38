"""A multilayer perceptron with BatchNorm and a frozen last layer, for many runs at once.

Activations are laid out (run, feature, batch). BatchNorm's statistics are then taken over the last, contiguous axis, so
that one call of a row-wise normalisation kernel does the whole ensemble, and each linear layer is one batched matrix
product. The backward pass is written by hand: it is short, and autograd's bookkeeping would take a fifth of the time.

On a CPU with numba, :mod:`empirics.models.kernels.mlp` takes the same gradient at twice the speed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.base import Block, Model
from empirics.models.functional import FunctionalModel, frozen_head, linear, normalised
from empirics.models.kernels.compiled import NO_ROWS, Compiled

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.table import ModelTable


class _Layer(NamedTuple):
    """What the backward pass needs of a hidden layer; every tensor (run, feature, batch) except the statistics."""

    entered: Tensor
    linear: Tensor
    mean: Tensor
    rstd: Tensor
    normed: Tensor
    left: Tensor


class _Perceptron(Compiled, FunctionalModel):
    """A perceptron without biases; on a CPU with numba, the compiled kernel takes its gradient.

    Attributes
    ----------
    hidden
        Widths of the hidden layers.
    tanh
        Whether the activation is tanh instead of ReLU.
    kernel_norm
        The normalisation, by its number in :mod:`empirics.models.kernels.mlp`.
    """

    hidden: tuple[int, ...]
    tanh: bool = False
    kernel_norm: int = 0

    kernel_module = "empirics.models.kernels.mlp"

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw a Gaussian last layer, scaled to `head_norm`."""
        return frozen_head(generator, self.classes, self.hidden[-1], self.head_norm)

    def _call(self, kernel: Callable[..., None], arrays: Sequence[NDArray], found: NDArray, loss: NDArray) -> None:
        flat, *rest = arrays
        kernel(flat, np.array((self.features, *self.hidden)), *rest, self.eps, found, loss, self.kernel_norm, self.tanh)


class EnsembleMLP(_Perceptron):
    """``x → [W_l ·, BatchNorm, ReLU] × layers → frozen last layer → cross-entropy``, no biases.

    BatchNorm makes the loss of every minibatch invariant under ``W_l → α W_l`` if `eps` is negligible beside the
    variance. With `affine`, scales and shifts are trained too, which breaks scale invariance.

    Parameters
    ----------
    features, classes
        Width of the input and of the output.
    hidden
        Widths of the hidden layers.
    eps
        Added to the variance in BatchNorm.
    affine
        Train a scale (from 1) and a shift (from 0) after every normalisation.
    head_norm
        Frobenius norm of the frozen last layer.
    compiled
        Take gradients with the compiled kernel where there is one: on a CPU, with numba, without `affine`. Its first
        use on a machine compiles it, in about ten seconds; with ``NUMBA_DISABLE_JIT=1`` it is not used.

    Examples
    --------
    The network of ``experiments/digits.toml``: 61·16 + 16·16 weights.

    >>> EnsembleMLP(features=61, classes=10, hidden=(16, 16)).dimension
    1232
    """

    def __init__(
        self,
        features: int,
        classes: int,
        hidden: Sequence[int],
        eps: float = 1e-12,
        affine: bool = False,
        head_norm: float = 10.0,
        compiled: bool = True,
    ) -> None:
        super().__init__(features, classes, eps, head_norm)
        self.hidden, self.affine, self.compiled = tuple(hidden), affine, compiled and not affine
        widths = (features, *self.hidden)
        linear = tuple(Block(f"layer {i}", (widths[i], widths[i - 1]), parts=widths[i]) for i in range(1, len(widths)))
        scale = tuple(Block(f"scale {i}", (widths[i], 1), scale_invariant=False) for i in range(1, len(widths)))
        shift = tuple(Block(f"shift {i}", (widths[i], 1), scale_invariant=False) for i in range(1, len(widths)))
        self.blocks = linear + (scale + shift if affine else ())

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> Model:
        """Build the network for the data; with another normalisation it is a :class:`NormedMLP`."""
        if table.norm != "batch":
            return NormedMLP.of(table, data)
        return cls(data.inputs.shape[1], data.classes, table.hidden, table.eps, table.affine, table.head_norm)

    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw Gaussian weights of one run; scales are 1 and shifts 0."""
        depth = len(self.hidden)
        trained = [generator.standard_normal(block.shape) for block in self.blocks[:depth]]
        if self.affine:
            trained += [np.ones(block.shape) for block in self.blocks[depth : 2 * depth]]
            trained += [np.zeros(block.shape) for block in self.blocks[2 * depth :]]
        return trained

    def _forward(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor
    ) -> tuple[Tensor, list[_Layer]]:
        """Compute logits (run, class, batch), and the values for the backward pass."""
        depth, batch = len(self.hidden), inputs.shape[1]
        signal, layers = inputs.transpose(1, 2), []
        for i in range(depth):
            linear = torch.bmm(weights[i], signal)
            normed, mean, rstd = torch.native_layer_norm(linear, [batch], None, None, self.eps)
            left = torch.addcmul(weights[2 * depth + i], normed, weights[depth + i]) if self.affine else normed
            left = left.relu()
            layers.append(_Layer(signal, linear, mean, rstd, normed, left))
            signal = left
        return torch.bmm(frozen[0], signal), layers

    def loss_and_grad(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor, out: Sequence[Tensor]
    ) -> Tensor:
        """Compute the mean cross-entropy (nat) of each run's minibatch; see :meth:`Model.loss_and_grad`."""
        if (kernel := self._kernel_for(inputs, labels)) is not None:
            return self._taken(kernel, weights, frozen[0], (inputs, NO_ROWS, labels), out)
        depth, batch = len(self.hidden), inputs.shape[1]
        logits, layers = self._forward(weights, frozen, inputs)
        picked = labels.unsqueeze(1)
        log_p = torch.log_softmax(logits, 1)
        loss = log_p.gather(1, picked).sum((1, 2)).mul_(-1 / batch)
        back = log_p.exp_().mul_(1 / batch)
        back.scatter_add_(1, picked, back.new_full((1, 1, 1), -1 / batch).expand_as(picked))
        back = torch.bmm(frozen[0].transpose(1, 2), back)
        for i in reversed(range(depth)):
            layer = layers[i]
            back = torch.ops.aten.threshold_backward(back, layer.left, 0)
            if self.affine:
                torch.sum(back, 2, keepdim=True, out=out[2 * depth + i])
                torch.sum(back * layer.normed, 2, keepdim=True, out=out[depth + i])
                back = back * weights[depth + i]
            back = torch.ops.aten.native_layer_norm_backward(
                back, layer.linear, [batch], layer.mean, layer.rstd, None, None, [True, False, False]
            )[0]
            out[i].copy_(torch.bmm(back, layer.entered.transpose(1, 2)))  # `out=` takes twice as long into a view
            if i:
                back = torch.bmm(weights[i].transpose(1, 2), back)
        return loss

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        return self._forward(weights, frozen, inputs)[0].transpose(1, 2)


class NormedMLP(_Perceptron):
    """``x → [W_l ·, LayerNorm or RMSNorm, activation] × layers → frozen last layer → cross-entropy``, no biases.

    Each sample is normalised by itself, so a block is a whole matrix. Under LayerNorm the mean of a matrix's rows is a
    flat direction: adding the same row to all rows does not change the loss.

    Parameters
    ----------
    features, classes
        Width of the input and of the output.
    hidden
        Widths of the hidden layers.
    norm
        ``"layer"`` or ``"rms"``.
    eps
        Added to the variance, or to the mean square.
    head_norm
        Frobenius norm of the frozen last layer.
    activation
        ``"relu"`` or ``"tanh"``.
    compiled
        As for :class:`EnsembleMLP`.

    Examples
    --------
    Of 30 weights the mean of the rows (6 numbers) and the norm do not affect the loss:

    >>> net = NormedMLP(features=6, classes=3, hidden=(5,), norm="layer")
    >>> net.dimension, net.directions
    (30, 23)
    """

    #: Their numbers in :mod:`empirics.models.kernels.mlp`.
    KERNEL_NORMS: ClassVar[dict[str, int]] = {"layer": 1, "rms": 2}

    def __init__(
        self,
        features: int,
        classes: int,
        hidden: Sequence[int],
        norm: str,
        eps: float = 1e-12,
        head_norm: float = 10.0,
        activation: str = "relu",
        compiled: bool = True,
    ) -> None:
        super().__init__(features, classes, eps, head_norm)
        self.hidden, self.norm, self.tanh, self.compiled = tuple(hidden), norm, activation == "tanh", compiled
        self.kernel_norm = self.KERNEL_NORMS[norm]
        widths = (features, *self.hidden)
        shapes = [(widths[i], widths[i - 1]) for i in range(1, len(widths))]
        self.blocks = tuple(Block(f"layer {i}", shape, centred=norm == "layer") for i, shape in enumerate(shapes, 1))

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> Model:
        """Build the network for the data."""
        of_table = (table.hidden, table.norm, table.eps, table.head_norm, table.activation)
        return cls(data.inputs.shape[1], data.classes, *of_table)

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        signal = inputs
        for w in weights:
            signal = normalised(linear(signal, w), self.norm, self.eps)
            signal = signal.tanh() if self.tanh else signal.relu()
        return linear(signal, frozen[0])
