"""The interface of a network to the training loop: many copies at once, each run with its own weights."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from empirics.experiment import ExperimentError

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.table import ModelTable


@dataclass(frozen=True)
class Block:
    """A trained tensor of the network, for one run.

    Attributes
    ----------
    name
        Shown to users, e.g. ``"layer 1"``.
    shape
        Its shape, without the ensemble axis.
    scale_invariant
        Whether the loss is unchanged when this tensor alone is multiplied by a positive number.
    parts
        Number of groups of consecutive rows that can be scaled independently: one per filter under BatchNorm, the whole
        matrix under LayerNorm or RMSNorm.
    centred
        Whether the loss is unchanged when the same row is added to all rows of a part, as under LayerNorm: the mean of
        the rows is then a flat direction for every column. Gradients have no component along it and weight decay
        shrinks it to 0, so the rows of a stationary run have mean 0.
    """

    name: str
    shape: tuple[int, ...]
    scale_invariant: bool = True
    parts: int = 1
    centred: bool = False

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def weights_of_part(self) -> int:
        """Number of weights of a part, without the flat directions.

        Examples
        --------
        >>> Block("a", (5, 6), centred=True).weights_of_part, Block("b", (5, 6), parts=5).weights_of_part
        (24, 6)
        """
        return self.size // self.parts - (math.prod(self.shape[1:]) if self.centred else 0)


def views(flat: Tensor, blocks: Sequence[Block]) -> list[Tensor]:
    """View the weights of all runs, shape (run, d), as the network's tensors, each (run, ...), in shared memory.

    Examples
    --------
    >>> [w.shape for w in views(torch.zeros(5, 8), [Block("a", (3, 2)), Block("b", (1, 2))])]
    [torch.Size([5, 3, 2]), torch.Size([5, 1, 2])]
    """
    parts = flat.split([block.size for block in blocks], 1)
    return [part.unflatten(1, block.shape) for part, block in zip(parts, blocks, strict=True)]


def directions(blocks: Sequence[Block]) -> int:
    """Number m of directions of blocks that are spheres: per part its weights that are not flat, less 1.

    >>> directions([Block("a", (5, 6), centred=True), Block("b", (5, 6), parts=5)])
    48
    """
    return sum(block.parts * (block.weights_of_part - 1) for block in blocks)


def is_centred(gradient: Tensor, parts: int, tolerance: float) -> bool:
    """Whether the rows of the gradient of every part sum to 0, so that the loss is flat along the mean of the rows.

    False for parts of a single row, and without a gradient.
    """
    rows = gradient.detach().double().reshape(parts, len(gradient) // parts, -1)
    size = rows.norm()
    return bool(rows.shape[1] > 1 and size > 0 and rows.sum(1).norm() <= tolerance * size)


class ModelError(ExperimentError):
    """A network does not have the properties it states, or does not fit the data."""


def not_invariant(name: str, violation: float, tolerance: float) -> str:
    """Say that a tensor is not scale-invariant enough, and what would be right."""
    return (
        f"{name} is not scale-invariant: |w·g| is {violation:.2g} of |w||g|, more than [model] tolerance = "
        f"{tolerance:g}; remove the bias, or lower the eps, between it and its normalisation"
    )


#: Allowed relative error of the loss and of w·g in float64 when blocks are scaled, with a negligible eps.
INVARIANCE_TOLERANCE = 1e-6
#: Gradients in float64 below this share of the largest block's, and their w·g, are rounding.
ROUNDING = 1e-12


class Model(ABC):
    """A network over an ensemble of runs; the first axis of every tensor is the run."""

    blocks: tuple[Block, ...]

    @classmethod
    @abstractmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> "Model":
        """Build the network of an experiment's ``[model]`` for its data.

        Raises
        ------
        ModelError
            If the network does not fit the data.
        """

    @property
    @abstractmethod
    def features(self) -> int:
        """Number of inputs of one sample."""

    @property
    @abstractmethod
    def negligible(self) -> "Model":
        """The same network with the smallest eps that float64 allows, for the check."""

    @torch.no_grad()
    def check(self, classes: int) -> None:
        """Check on random data that the blocks are scale-invariant, and have flat directions, as stated.

        Every part of every such block is multiplied by a different number: the loss must not change, and each gradient
        must be orthogonal to its weights. The rows of its gradient must sum to 0 if, and only if, the mean of the rows
        is stated to be flat.

        Parameters
        ----------
        classes
            Number of classes.

        Raises
        ------
        ModelError
            If one is not; the message names the block.
        """
        rng, cpu, model = np.random.default_rng(0), torch.device("cpu"), self.negligible
        weights = model.initial([rng], np.array([float(model.dimension) ** 0.5]), torch.float64, cpu)
        frozen = model.fixed(rng, 1, torch.float64, cpu)
        inputs = torch.as_tensor(rng.standard_normal((1, 16, model.features)))
        labels = torch.as_tensor(rng.integers(classes, size=(1, 16)))
        gradients = [torch.empty_like(w) for w in weights]
        before = model.loss_and_grad(weights, frozen, inputs, labels, gradients)
        sizes = [
            w.view(b.parts, -1).norm(dim=1) * g.view(b.parts, -1).norm(dim=1)
            for b, w, g in zip(self.blocks, weights, gradients, strict=True)
        ]
        rounding = ROUNDING * max(size.sum() for size in sizes)  # a filter of one weight has no gradient but this
        for i, block in enumerate(self.blocks):
            if not block.scale_invariant:
                continue
            if block.centred != is_centred(gradients[i][0], block.parts, INVARIANCE_TOLERANCE):
                stated = "flat along the mean of its rows" if block.centred else "without a flat direction"
                raise ModelError(f"{block.name} is not {stated} as stated")
            w, g = weights[i].view(block.parts, -1), gradients[i].view(block.parts, -1)
            if not ((w * g).sum(1).abs().sum() <= INVARIANCE_TOLERANCE * sizes[i].sum() + rounding):
                raise ModelError(f"{block.name} is not scale-invariant as stated: w·g is not 0")
            w *= torch.as_tensor(rng.uniform(0.5, 2.0, size=(block.parts, 1)))
        after = model.loss_and_grad(weights, frozen, inputs, labels, gradients)
        if not torch.allclose(after, before, rtol=INVARIANCE_TOLERANCE, atol=INVARIANCE_TOLERANCE):
            raise ModelError(
                f"not scale-invariant as stated: the loss changes from {before.item():g} to {after.item():g}"
            )

    @property
    def dimension(self) -> int:
        """Number d of trained weights of one run."""
        return sum(block.size for block in self.blocks)

    @property
    def directions(self) -> int:
        """Number m of directions along which the loss changes: twice the gas constant.

        In a network whose blocks are all scale-invariant, every part is a sphere, with one dimension less than its
        number of weights that are not flat. Otherwise all weights together are treated as one sphere.

        Examples
        --------
        >>> from empirics.models.mlp import EnsembleMLP, NormedMLP
        >>> [NormedMLP(6, 3, (5,), norm).directions for norm in ("rms", "layer")], EnsembleMLP(6, 3, (5,)).directions
        ([29, 23], 25)
        """
        if not self.all_spheres:
            return self.dimension - 1
        return directions(self.blocks)

    @property
    def all_spheres(self) -> bool:
        """Whether all blocks are scale-invariant."""
        return all(block.scale_invariant for block in self.blocks)

    def found(self) -> list[str]:
        """Say in a line each which tensors are scale-invariant, and which are not."""
        frozen = ", ".join(self.description().get("frozen", ()))
        spheres = [
            f"{block.name} ({block.parts} block{'s' * (block.parts > 1)})"
            for block in self.blocks
            if block.scale_invariant
        ]
        rest = ", ".join(block.name for block in self.blocks if not block.scale_invariant)
        lines = {
            "scale-invariant": ", ".join(spheres),
            "not scale-invariant, trained": rest,
            "not scale-invariant, frozen": frozen,
        }
        return [f"{what}: {names}" for what, names in lines.items() if names]

    def violations(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> dict[str, float]:
        """Largest ``Σ|w·g| / Σ|w||g|`` over the parts, among all runs, of every tensor that is scale-invariant.

        Parameters
        ----------
        weights, gradients
            The ensemble's trained tensors, each (run, ...).
        """
        found = {}
        for block, weight, gradient in zip(self.blocks, weights, gradients, strict=True):
            if block.scale_invariant:
                w, g = (tensor.double().reshape(len(tensor), block.parts, -1) for tensor in (weight, gradient))
                share = (w * g).sum(2).abs().sum(1) / (w.norm(dim=2) * g.norm(dim=2)).sum(1)
                found[block.name] = float(share.nan_to_num(0.0).max())  # no gradient, no violation
        return found

    def description(self) -> dict[str, Any]:
        """Describe the trained tensors, in the order of the results' axis `tensor`, ready for JSON."""
        names = ("name", "shape", "scale_invariant", "parts")
        tensors = [{name: getattr(block, name) for name in names} for block in self.blocks]
        flat = [{"centred": True} if block.centred else {} for block in self.blocks]  # runs begun before it was known
        return {"tensors": [row | more for row, more in zip(tensors, flat, strict=True)]}

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw the trained tensors of one run, in the order of `blocks`, with any norm."""

    @abstractmethod
    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw the tensors that are not trained; they belong to the loss, so all runs share them."""

    @abstractmethod
    def loss_and_grad(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor, out: Sequence[Tensor]
    ) -> Tensor:
        """Compute the mean loss of each run's minibatch, shape (run,), and write its gradients into `out`.

        Parameters
        ----------
        weights, frozen
            The ensemble's tensors, each (run, ...).
        inputs, labels
            Each run's own minibatch, shapes (run, batch, feature) and (run, batch).
        out
            Tensors shaped like `weights`.
        """

    def loss_and_grad_of(
        self,
        weights: Sequence[Tensor],
        frozen: Sequence[Tensor],
        samples: Tensor,
        rows: Tensor,
        labels: Tensor,
        out: Sequence[Tensor],
    ) -> Tensor | None:
        """Compute :meth:`loss_and_grad` for minibatches given as rows of the data, without copying them.

        Parameters
        ----------
        weights, frozen, labels, out
            As for :meth:`loss_and_grad`.
        samples
            The data, shape (sample, feature).
        rows
            Row numbers of the minibatches, shape (run, batch).

        Returns
        -------
        Tensor or None
            The losses; None if this network needs its minibatches copied, which is the default.
        """
        return None

    @abstractmethod
    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs of the ensemble, shape (run, batch, class), from inputs (run, batch, feature)."""

    def scores(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the mean loss and the accuracy of each run's minibatch, shapes (run,), float64.

        Both are NaN in a run that has diverged.
        """
        logits = self.logits(weights, frozen, inputs).double()
        each = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        loss, right = each.view(labels.shape).mean(1), (logits.argmax(2) == labels).double().mean(1)
        return loss, torch.where(loss.isnan(), loss, right)

    def initial(
        self, generators: Sequence[np.random.Generator], radii: NDArray, dtype: torch.dtype, device: torch.device
    ) -> list[Tensor]:
        """Draw the whole ensemble, the scale-invariant weights of each run scaled to its starting radius.

        Parameters
        ----------
        generators
            One per run.
        radii
            Starting norm of all scale-invariant weights of a run together, shape (run,).
        dtype, device
            Those of the returned tensors; the draw itself is always in float64 on the CPU.

        Returns
        -------
        list
            Trained tensors, each (run, ...).
        """
        runs = [self.draw(generator) for generator in generators]
        for trained, radius in zip(runs, radii, strict=True):
            free = [w for w, block in zip(trained, self.blocks, strict=True) if block.scale_invariant]
            scale = radius / np.sqrt(sum(float(np.sum(w**2)) for w in free))
            for w in free:
                w *= scale
        return [torch.as_tensor(np.stack(same), dtype=dtype, device=device) for same in zip(*runs, strict=True)]

    def fixed(
        self, generator: np.random.Generator, runs: int, dtype: torch.dtype, device: torch.device
    ) -> list[Tensor]:
        """Draw the frozen tensors, repeated for every run, each (run, ...)."""
        frozen = [torch.as_tensor(w, dtype=dtype, device=device) for w in self.draw_frozen(generator)]
        return [w.expand(runs, *w.shape).contiguous() for w in frozen]
