"""Measures two consecutive steps now and then inside the training loop, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from empirics.models.orthogonal import CERTAIN, partition
from empirics.probe.record import Seen, Stat, summarise, together
from empirics.probe.rule import Rule

__all__ = ["StepPair", "Tensors", "Watched"]

#: Pairs per stretch; their numbers are moved to the host together.
STRETCH = 16

#: Stretches that a row of the frame averages over, if they lie in the second half of the training so far.
WINDOW = 8

#: Stretches kept for the plot; when there are more, every other one is dropped.
HISTORY = 400


class Watched:
    """A watched parameter tensor, which is only read.

    `known` is its number of blocks (0: not scale-invariant); None if not determined yet.
    """

    def __init__(self, name: str, parameter: Tensor, known: int | None = None) -> None:
        self.name, self.parameter, self.known = name, parameter, known
        self.rows = parameter.shape[0] if parameter.ndim else 1
        self.stretches: list[Seen] = []
        self.history: list[Seen] = []

    @property
    def groups(self) -> int:
        """Number of rows into which it is divided for the measurement."""
        return self.rows if self.known is None else max(self.known, 1)

    def _blocks(self, stats: np.ndarray) -> int:
        if self.known is not None:
            return self.known
        good = np.isfinite(stats).all(axis=(1, 2))
        part = stats[good]
        return partition(part[:, Stat.ALONG], part[:, Stat.WEIGHT], part[:, Stat.SLOPE], self.parameter.numel())

    def read(self, stats: np.ndarray, steps: Sequence[int], rules: Sequence[Rule]) -> Seen | None:
        """Summarise a stretch."""
        return summarise(stats, steps, rules, self.parameter.numel(), self._blocks(stats))

    def close(self, stats: np.ndarray, steps: Sequence[int], rules: Sequence[Rule]) -> None:
        """Keep a finished stretch, and fix the blocks once there are enough gradients."""
        seen = self.read(stats, steps, rules)
        if seen is None:
            return
        with_gradient = np.isfinite(stats).all(axis=(1, 2)) & (stats[:, Stat.SLOPE] > 0).any(axis=1)
        if self.known is None and with_gradient.sum() >= CERTAIN:
            self.known = self._blocks(stats)
        self.stretches = [*self.stretches, seen][-WINDOW:]
        self.history.append(seen.coarse())
        if len(self.history) > HISTORY:
            self.history = self.history[1::2]

    def recent(self, running: Seen | None) -> Seen | None:
        """Average recent stretches: those in the second half of the training, at most `WINDOW`."""
        stretches = [*self.stretches, *([] if running is None else [running])]
        if not stretches:
            return None
        half = stretches[-1].last / 2
        return together([s for s in stretches if s.last > half] or stretches[-1:])


class StepPair(NamedTuple):
    """A pair of steps: number of the first, update rules of the tensors, factor on the gradients."""

    step: int
    rules: list[Rule]
    scale: float


class Tensors:
    """All watched tensors, and the steps at which they are measured.

    One pair of consecutive steps is measured in `every` steps, at random (with a generator of its own), so that it
    cannot lock to anything periodic in the training.
    """

    def __init__(self, watched: list[Watched], every: int) -> None:
        self.watched, self.every = watched, every
        self.steps = 0
        self._randomly = random.Random(0)
        self._first, self._begun = 0, 0
        self.open: StepPair | None = None
        self.before: list[tuple[Tensor, Tensor] | None] = [None] * len(watched)
        self.there: list[bool] = []
        self.pairs: list[StepPair] = []
        self.stats: list[Tensor] = []

    @property
    def due(self) -> bool:
        """Whether the next step is measured."""
        return self.open is not None or self.steps >= self._first

    def look(self, rules: Sequence[Rule], scale: float) -> None:
        """Measure a step that is due, the first of a pair or the second; `scale` is the factor on the gradients."""
        if self.open is None:
            self._copy()
            self.open = StepPair(self.steps, list(rules), scale)
            return
        self.stats.append(self._compare(self.open.scale, scale))
        self.pairs.append(self.open)
        self.open = None
        self._plan()
        if len(self.pairs) >= (CERTAIN if self.steps < self.every else STRETCH):
            self._close()

    def _plan(self) -> None:
        """Choose the next pair: at once at the start, so that the blocks are known soon; later one in `every` steps."""
        if len(self.stats) < CERTAIN and self.steps < 4 * CERTAIN:
            self._first = self.steps + 1
            return
        self._begun = max(self._begun + self.every, self.steps + 1)
        self._first = self._begun + self._randomly.randrange(max(self.every - 2, 1))

    def plan_state(self) -> dict[str, Any]:
        """Return the schedule of the next pairs, with the state of the random generator."""
        version, numbers, spare = self._randomly.getstate()
        return {"first": self._first, "begun": self._begun, "random": [version, list(numbers), spare]}

    def load_plan(self, state: Mapping[str, Any]) -> None:
        """Resume from `plan_state`."""
        self._first, self._begun = state["first"], state["begun"]
        version, numbers, spare = state["random"]
        self._randomly.setstate((version, tuple(numbers), spare))

    @torch.no_grad()
    def _copy(self) -> None:
        self.there = [w.parameter.grad is not None and not w.parameter.grad.is_sparse for w in self.watched]
        into: list[Tensor] = []
        out: list[Tensor] = []
        for i, (watched, there) in enumerate(zip(self.watched, self.there, strict=True)):
            if not there:
                continue
            gradient = watched.parameter.grad
            assert gradient is not None
            before = self.before[i]
            if before is None:
                before = self.before[i] = torch.empty_like(watched.parameter), torch.empty_like(gradient)
            into += before
            out += [watched.parameter.detach(), gradient]
        if into:
            torch._foreach_copy_(into, out)

    @torch.no_grad()
    def _compare(self, scale: float, scale_after: float) -> Tensor:
        """Return the inner products of the pair, shape (Stat, all rows); NaN where there is no gradient."""
        columns = []
        for watched, there, before in zip(self.watched, self.there, self.before, strict=True):
            after = watched.parameter.grad
            if not there or before is None or after is None:
                columns.append(watched.parameter.new_full((len(Stat), watched.groups), torch.nan, dtype=torch.float32))
                continue
            w, g, moved, h = (_grouped(t, watched.groups) for t in (*before, watched.parameter.detach(), after))
            moved = moved - w
            if scale != 1 or scale_after != 1:
                g, h = g / scale, h / scale_after
            dot = torch.linalg.vecdot
            columns.append(torch.stack((dot(w, w), dot(w, g), dot(g, g), dot(g, h), dot(w, moved), dot(moved, moved))))
        place = columns[0].device
        return torch.cat([c.to(device=place, dtype=torch.float32) for c in columns], 1)

    def _split(self) -> list[np.ndarray]:
        if not self.stats:
            return []
        stats = torch.stack(self.stats).cpu().double().numpy()
        return np.split(stats, np.cumsum([w.groups for w in self.watched])[:-1], axis=2)

    def _close(self) -> None:
        steps = [pair.step for pair in self.pairs]
        for i, (watched, stats) in enumerate(zip(self.watched, self._split(), strict=True)):
            watched.close(stats, steps, [pair.rules[i] for pair in self.pairs])
        self.pairs, self.stats = [], []

    def seen(self) -> list[Seen | None]:
        """Average recent stretches of each tensor, the running one included."""
        if not self.pairs:
            return [watched.recent(None) for watched in self.watched]
        steps, found = [pair.step for pair in self.pairs], []
        for i, (watched, stats) in enumerate(zip(self.watched, self._split(), strict=True)):
            found.append(watched.recent(watched.read(stats, steps, [pair.rules[i] for pair in self.pairs])))
        return found


def _grouped(tensor: Tensor, groups: int) -> Tensor:
    flat = tensor.reshape(groups, -1)
    return flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat
