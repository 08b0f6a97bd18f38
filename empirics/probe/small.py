"""Inner products of many groups of weights in small tensors at once, where calls cost more than arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from empirics.models.groups import Group

__all__ = ["SMALL", "Small"]

#: Weights of a small tensor. Sums of more have their roundings, of which :func:`torch.linalg.vecdot` has fewer.
SMALL = 4096


class Small:
    """Groups of weights side by side in one vector.

    Parameters
    ----------
    groups
        Disjoint; together all weights of their tensors, or a part.
    tensors
        By name; of one dtype and on one device.

    Examples
    --------
    >>> from empirics.models.groups import Piece
    >>> tensors = {"w": torch.arange(6.0).reshape(3, 2)}
    >>> rows = Group((Piece("w", (3, 2), 0, 0, 2),), "invariant", blocks=2)
    >>> small = Small([rows, Group((Piece("w", (3, 2), 0, 2, 3),), "penalty")], tensors)
    >>> small.sums(small.of(tensors)[None]).tolist()
    [[1.0, 5.0, 9.0]]
    """

    def __init__(self, groups: Sequence[Group], tensors: Mapping[str, Tensor]) -> None:
        self._names = list(dict.fromkeys(piece.name for group in groups for piece in group.pieces))
        sizes = [tensors[name].numel() for name in self._names]
        each = torch.arange(sum(sizes)).split(sizes)
        places = {name: one.reshape(tensors[name].shape) for name, one in zip(self._names, each, strict=True)}
        blocks = [block for group in groups for block in group.of(places)]
        order, device = torch.cat(blocks), tensors[self._names[0]].device
        self._order = None if torch.equal(order, torch.arange(sum(sizes))) else order.to(device)
        self._lengths = torch.tensor([len(block) for block in blocks]).to(device)

    def of(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the weights, or anything of their shapes, by tensor name, block after block."""
        flat = torch.cat([values[name].reshape(-1) for name in self._names])
        return flat if self._order is None else flat[self._order]

    def sums(self, values: Tensor) -> Tensor:
        """Add up every row of `values`, shape (row, weight), block by block: shape (row, block)."""
        lengths = self._lengths.expand(len(values), -1)
        return torch.segment_reduce(values, "sum", lengths=lengths, axis=1, unsafe=True)
