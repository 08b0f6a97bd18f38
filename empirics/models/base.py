"""What the training loop asks of a network: many copies at once, each run with its own weights."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """A trained tensor of the network, as one run sees it.

    Attributes
    ----------
    name
        For people, e.g. ``"layer 1"``.
    shape
        Without the ensemble axis.
    scale_invariant
        Whether the loss is unchanged when this tensor alone is multiplied by a positive number.
    """

    name: str
    shape: tuple[int, ...]
    scale_invariant: bool = True

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


class Model(ABC):
    """A network over an ensemble of runs; every tensor it takes or gives has the run as its first axis."""

    blocks: tuple[Block, ...]

    @property
    def dimension(self) -> int:
        """Number d of trained weights of one run: the dimension of the space the gas lives in."""
        return sum(block.size for block in self.blocks)

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw the trained tensors of one run, in the order of `blocks`, of any norm."""

    @abstractmethod
    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw the tensors that are not trained: a part of the loss, and so the same for every run."""

    @abstractmethod
    def loss_and_grad(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor, out: Sequence[Tensor]
    ) -> Tensor:
        """Mean loss of each run's minibatch, shape (run,), and its gradients, written into `out`.

        Parameters
        ----------
        weights, frozen
            The ensemble's tensors, each (run, ...).
        inputs, labels
            Each run's own minibatch, shapes (run, batch, feature) and (run, batch).
        out
            Tensors shaped like `weights`.
        """

    @abstractmethod
    def accuracy(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        """Share of each run's minibatch that is classified rightly, shape (run,)."""

    def initial(
        self, generators: Sequence[np.random.Generator], radii: NDArray, dtype: torch.dtype, device: torch.device
    ) -> list[Tensor]:
        """Draw the whole ensemble, the scale-invariant weights of each run scaled to its starting radius.

        Parameters
        ----------
        generators
            One a run.
        radii
            Starting norm of all scale-invariant weights of a run together, shape (run,).
        dtype, device
            Of the tensors returned; the draw itself is in float64 on the CPU, the same for all of them.

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
