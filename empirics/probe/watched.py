"""Weights that are watched together, with what has been measured of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.groups import Group
from empirics.probe.record import Context, Seen, together
from empirics.probe.rule import Rule

__all__ = ["Watched", "ended"]

#: Stretches that a row of the frame averages over, if they lie in the second half of the training so far.
WINDOW = 8

#: Stretches kept for the plot; when there are more, the one between the closest others is dropped.
HISTORY = 400

FloatArray = NDArray[np.float64]


class Watched:
    """Weights that are watched together: a tensor, a part of one, or parts of several; they are only read.

    Parameters
    ----------
    group
        Which weights, their role, and the number of scale-invariant blocks (0: none).
    tensors
        All watched tensors by name.
    rates
        Number of the parameter group of each tensor.
    known
        Whether its role is; until then scale invariance of the whole is judged from each interval anew.
    """

    def __init__(self, group: Group, tensors: Mapping[str, Tensor], rates: Mapping[str, int], known: bool) -> None:
        self.group, self.known, self.name, self.parameters = group, known, group.name, group.parameters
        largest = max(group.pieces, key=lambda piece: piece.parameters).name
        self.tensor, self.rates, self.sharded = tensors[largest], rates[largest], hasattr(tensors[largest], "to_local")
        self.blocks = max(group.blocks, 1)
        self.stretches: list[Seen] = []
        self.history: list[Seen] = []
        self.gradient = False  # whether a finite one has been seen
        self.broken: int | None = None  # step by which the weights were no longer finite

    @classmethod
    def ended(cls, group: Group, history: list[Seen]) -> Watched:
        """Return the history of weights that are trained no more, without the weights themselves."""
        shapes = {piece.name: torch.empty(piece.shape, device="meta") for piece in group.pieces}
        found = cls(group, shapes, dict.fromkeys(shapes, 0), known=True)
        found.history = history
        return found

    def of(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return its weights, or gradients, as a matrix (block, weight); half precision as float32."""
        found = values[self.name].reshape(1, -1) if self.sharded else self.group.of(values)
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found

    def context(self, decayed: FloatArray, rule: Rule, steady: bool) -> Context:
        """Return what a summary of its inner products needs."""
        since = self.stretches[-1] if self.stretches else None
        invariant = self.group.blocks > 0 or not self.known
        return Context(since, rule, self.parameters, self.blocks, invariant, steady, decayed)

    def note(self, steps: Sequence[int], weight: FloatArray, slope: FloatArray) -> None:
        """Note from |w|^2 and |g|^2 of each pair whether g was ever finite, and since when w is not."""
        self.gradient |= bool(np.isfinite(slope).any())
        if not np.isfinite(weight[-1]) and self.broken is None:
            self.broken = steps[int(np.isfinite(weight).argmin())]

    def close(self, seen: Seen | None) -> None:
        """Keep a finished stretch."""
        if seen is None:
            return
        self.stretches = [*self.stretches, seen][-WINDOW:]
        self.history.append(seen.coarse())
        if len(self.history) > HISTORY:  # what is left spans the training evenly, from its start
            last = [one.last for one in self.history]
            gaps = [after - before for before, after in zip(last, last[2:], strict=False)]
            del self.history[1 + gaps.index(min(gaps))]

    def adopt(self, whole: Watched) -> None:
        """Take over what was measured of it as a single block."""
        self.stretches, self.history = (
            [seen.cut(self.group.blocks) for seen in some] for some in (whole.stretches, whole.history)
        )

    def recent(self, running: Seen | None) -> Seen | None:
        """Average recent stretches: those in the second half of the training, at most `WINDOW`."""
        stretches = [*self.stretches, *([] if running is None else [running])]
        if not stretches:
            return None
        half = stretches[-1].last / 2
        return together([s for s in stretches if s.first >= half] or stretches[-1:])


def ended(some: Iterable[Watched]) -> list[Watched]:
    """Return the histories of weights that are trained no more, of those that have one."""
    return [Watched.ended(watched.group, watched.history) for watched in some if watched.history]
