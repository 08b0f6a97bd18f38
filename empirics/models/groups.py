"""Groups of weights with one role, within one parameter tensor or over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

__all__ = ["Group", "Piece", "length"]


def length(shape: tuple[int, ...], axis: int) -> int:
    """Return the number of slices of a tensor along an axis; 1 for a scalar."""
    return shape[axis] if shape else 1


@dataclass(frozen=True)
class Piece:
    """The slices `start` to `stop` (exclusive) of the parameter tensor `name`, of the given `shape`, along `axis`."""

    name: str
    shape: tuple[int, ...]
    axis: int
    start: int
    stop: int

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return prod(self.shape) // max(length(self.shape, self.axis), 1) * (self.stop - self.start)

    def of(self, tensor: Tensor) -> Tensor:
        """Return a view of these slices, with `axis` moved to the front."""
        if not self.shape:
            return tensor.reshape(1)
        moved = tensor.movedim(self.axis, 0) if self.axis else tensor
        return moved if self.stop - self.start == len(moved) else moved[self.start : self.stop]

    def __str__(self) -> str:
        if self.stop - self.start == length(self.shape, self.axis):
            return self.name
        return f"{self.name}[{':, ' * self.axis}{self.start}:{self.stop}]"


@dataclass(frozen=True)
class Group:
    """Weights with one role, from one tensor or several.

    Attributes
    ----------
    pieces
        The slices of tensors that it consists of.
    role
        ``"invariant"``: the loss does not change when a block is multiplied by a positive number; ``"penalty"``: the
        loss depends on the magnitude; ``"dead"``: the weights have no effect on the loss.
    blocks
        Number of scale-invariant blocks, 0 if there are none: every piece is divided into as many equal ranges, and a
        block is the union of one range of each piece.
    violation
        ``Σ|w·g| / Σ|w||g|`` over the blocks, or over the whole group if there are none; NaN if the gradient is 0.
    """

    pieces: tuple[Piece, ...]
    role: str
    blocks: int = 0
    violation: float = field(default=float("nan"), compare=False)

    @property
    def name(self) -> str:
        """Its pieces, as ``qkv.weight[0:32] + qkv.bias[0:32]``; the name of a tensor for a whole one."""
        return " + ".join(map(str, self.pieces))

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return sum(piece.parameters for piece in self.pieces)

    def of(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return its weights, or anything of their shapes, by tensor name, as a matrix (block, weight).

        Examples
        --------
        >>> rows = Group((Piece("w", (4, 3), 0, 0, 2), Piece("b", (4,), 0, 0, 2)), "invariant", blocks=2)
        >>> rows.of({"w": torch.arange(12).reshape(4, 3), "b": torch.arange(20, 24)}).tolist()
        [[0, 1, 2, 20], [3, 4, 5, 21]]
        """
        parts = [piece.of(tensors[piece.name]).reshape(max(self.blocks, 1), -1) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
