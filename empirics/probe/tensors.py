"""Measures two consecutive steps now and then inside the training loop, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirics.models.orthogonal import CERTAIN, partition
from empirics.probe.record import Seen, Stat, penalty_in, summarise, together
from empirics.probe.replay import KINDS, Replay, kind_of, local
from empirics.probe.rule import Rule, rule_as

__all__ = ["Tensors", "Watched"]

#: Pairs per stretch; their numbers are moved to the host together.
STRETCH = 16

#: Stretches that a row of the frame averages over, if they lie in the second half of the training so far.
WINDOW = 8

#: Stretches kept for the plot; when there are more, every other one is dropped.
HISTORY = 400

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


class Watched:
    """A watched parameter tensor of parameter group number `group`, which is only read.

    `known` is its number of blocks (0: not scale-invariant); None if not determined yet.
    """

    def __init__(self, name: str, parameter: Tensor, group: int, known: int | None = None) -> None:
        self.name, self.parameter, self.group, self.known = name, parameter, group, known
        self.sharded = hasattr(parameter, "to_local")
        self.rows = parameter.shape[0] if parameter.ndim and not self.sharded else 1
        self.stretches: list[Seen] = []
        self.history: list[Seen] = []

    @property
    def groups(self) -> int:
        """Number of rows into which it is divided for the measurement."""
        return self.rows if self.known is None else max(self.known, 1)

    def blocks(self, stats: FloatArray) -> int:
        """Return the number of scale-invariant blocks, 0 for none: the one place where the probe asks for them.

        `stats` has shape (pair, Stat, row). An L2 penalty within the loss is left out of w·g.
        """
        if self.known is not None:
            return self.known
        part = stats[np.isfinite(stats).all(axis=(1, 2))]
        along = part[:, Stat.ALONG] - penalty_in(part) * part[:, Stat.WEIGHT]
        return partition(along, part[:, Stat.WEIGHT], part[:, Stat.SLOPE], self.parameter.numel())

    def read(self, stats: FloatArray, steps: Sequence[int], decayed: FloatArray, rule: Rule, steady: bool) -> Seen | None:
        """Summarise a stretch."""
        sums, number = decayed[:, self.group], self.parameter.numel()
        return summarise(stats, steps, list(sums), self.stretches[-1] if self.stretches else None, rule, number, self.blocks(stats), steady)

    def close(self, seen: Seen | None, stats: FloatArray) -> None:
        """Keep a finished stretch, and fix the blocks once there are enough gradients."""
        if seen is None:
            return
        with_gradient = np.isfinite(stats).all(axis=(1, 2)) & (stats[:, Stat.SLOPE] > 0).any(axis=1)
        if self.known is None and with_gradient.sum() >= CERTAIN:
            self.known = self.blocks(stats)
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
        return together([s for s in stretches if s.first >= half] or stretches[-1:])


class Tensors:
    """All watched tensors, and the steps at which they are measured.

    One pair of consecutive steps is measured in `every` steps, at random (with a generator of its own), so that it
    cannot lock to anything periodic in the training. Of other steps only the rates are noted.
    """

    def __init__(self, watched: list[Watched], optimizer: torch.optim.Optimizer, every: int) -> None:
        self.watched, self.optimizer, self.every = watched, optimizer, every
        self.steps = 0
        self.rates: list[tuple[Any, Any]] = []  # lr and weight decay of each parameter group in the last step
        self.decayed: list[Any] = [0.0] * len(optimizer.param_groups)  # sum of lr·wd over all steps
        self._randomly = random.Random(0)
        self._first, self._begun = 0, 0
        self._replays = self._smallest()
        self.held: list[Tensor] = []  # during the first step of a pair, w before it; after it, g
        self._begins = False
        self.forget()

    def forget(self) -> None:
        """Drop the pairs that are not summarised yet, and the open one."""
        self.half: tuple[int, list[Any], list[Any]] | None = None  # step, decayed and rates of an open pair
        self.columns: Tensor | None = None  # its inner products
        self.pairs: list[tuple[int, list[Any], list[Any]]] = []
        self.stats: list[Tensor] = []
        self.replayed: list[Tensor] = []
        self.kinds: list[str] = [""] * len(self.decayed)
        self.kept: list[float] = [1.0] * len(self.decayed)

    def _smallest(self) -> list[Replay | None]:
        """Return a replay for each parameter group, on its smallest matrix."""
        found: list[Replay | None] = []
        for i, group in enumerate(self.optimizer.param_groups):
            mine = [w.parameter for w in self.watched if w.group == i and w.parameter.numel() > 1]
            matrices = [p for p in mine if p.ndim > 1] or mine
            found.append(Replay(min(matrices, key=Tensor.numel), group) if matrices else None)
        return found

    @property
    def due(self) -> bool:
        """Whether the next step is measured."""
        return self.half is not None or self.steps >= self._first

    def plan_state(self) -> dict[str, Any]:
        """Return the schedule of the next pairs, with the state of the random generator."""
        version, numbers, spare = self._randomly.getstate()
        return {"first": self._first, "begun": self._begun, "random": [version, list(numbers), spare]}

    def load_plan(self, state: Mapping[str, Any]) -> None:
        """Resume from `plan_state`."""
        self._first, self._begun = state["first"], state["begun"]
        version, numbers, spare = state["random"]
        self._randomly.setstate((version, tuple(numbers), spare))

    # Around a step ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def before(self) -> None:
        """Copy the weights before a first step; compare their norms with those after it before a second one."""
        if self.half is not None:
            assert self.columns is not None
            self.columns[Stat.FOUND] = self._row([_dot(w, local(w.parameter), local(w.parameter)) for w in self.watched])
            return
        now = [local(w.parameter).detach() for w in self.watched]
        self.held = self.held or [torch.empty_like(one) for one in now]
        torch._foreach_copy_(self.held, now)
        self._begins = True
        for replay in self._replays:
            if replay is not None:
                replay.before(self.optimizer.state.get(replay.parameter, {}))

    @torch.no_grad()
    def after(self) -> None:
        """Measure the step that was taken if it was due, and count it."""
        rates = [(group.get("lr", 0.0), group.get("weight_decay", 0.0)) for group in self.optimizer.param_groups]
        if self.half is not None:
            self._second()
        elif self._begins:
            self._begins = False
            self._compare()
            self.half = self.steps, list(self.decayed), rates
        self.rates = rates
        self.decayed = [total + lr * decay for total, (lr, decay) in zip(self.decayed, rates, strict=True)]
        self.steps += 1

    def _compare(self) -> None:
        """Compute the inner products of a first step, NaN where there is no gradient, and keep the gradient."""
        columns = []
        held = {id(w.parameter): one for w, one in zip(self.watched, self.held, strict=True)}
        replayed = [
            torch.full((len(KINDS) + 1,), torch.nan) if one is None
            else one.after(held[id(one.parameter)], self.optimizer.state.get(one.parameter, {}))
            for one in self._replays
        ]  # fmt: skip
        self.replayed.append(torch.stack([one.to(replayed[0].device) for one in replayed]))
        for watched, w in zip(self.watched, self.held, strict=True):
            g, now = local(watched.parameter.grad), local(watched.parameter).detach()
            if g is None or g.is_sparse:
                columns.append(now.new_full((len(Stat), watched.groups), torch.nan, dtype=torch.float32))
                continue
            moved = now.float() - w.float() if now.dtype in (torch.float16, torch.bfloat16) else now - w
            pairs = ((w, w), (w, g), (g, g), (w, moved), (moved, moved), (now, now))
            dots = [_dot(watched, a, b) for a, b in pairs]
            columns.append(torch.stack([*dots, dots[0], dots[0]]))
            w.copy_(g)
        place = columns[0].device
        self.columns = torch.cat([c.to(device=place, dtype=torch.float32) for c in columns], 1)

    def _row(self, parts: list[Tensor]) -> Tensor:
        assert self.columns is not None
        return torch.cat([one.to(self.columns) for one in parts])

    def _second(self) -> None:
        """Finish a pair with g·g', and choose the next one."""
        assert self.columns is not None and self.half is not None
        parts = []
        for watched, before in zip(self.watched, self.held, strict=True):
            g = local(watched.parameter.grad)
            missing = g is None or g.is_sparse
            parts.append(self.columns.new_full((watched.groups,), torch.nan) if missing else _dot(watched, before, g))
        self.columns[Stat.NEXT] = self._row(parts)
        self.stats.append(self.columns)
        self.pairs.append(self.half)
        self.columns, self.half = None, None
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

    # On the host -----------------------------------------------------------------------------------------------------

    def _fetch(self, now: Tensor | None = None) -> tuple[list[FloatArray], FloatArray]:
        """Move the inner products to the host at once, and the present norms `now` (row,) if given."""
        rows = [w.groups for w in self.watched]
        place = self.watched[0].parameter.device
        flat = [one.flatten() for one in (*self.stats, *([] if now is None else [now]))]
        replayed = [one.flatten().to(place) for one in self.replayed]
        host = torch.cat([*flat, *replayed]).cpu().double() if flat or replayed else torch.zeros(0).double()
        pairs, width = len(self.stats), sum(rows)
        end = pairs * len(Stat) * width
        stats = host[:end].reshape(pairs, len(Stat), width)
        present = host[end : end + (0 if now is None else width)]
        if pairs:
            table = host[end + len(present) :].reshape(-1, len(self.decayed), len(KINDS) + 1)
            self._recognise(table)
        return np.split(stats.numpy(), np.cumsum(rows)[:-1], axis=2), present.numpy()

    def _recognise(self, table: Tensor) -> None:
        """Name the rule of each parameter group from the steps that were replayed."""
        for i, group in enumerate(self.optimizer.param_groups):
            if len(seen := table[:, i][~table[:, i].isnan().any(1)]):
                self.kinds[i] = kind_of(seen[:, :-1], group)
                self.kept[i] = float(seen[:, -1].mean())

    def rule(self, group: int, rates: Sequence[tuple[Any, Any]]) -> Rule:
        """Return the rule of a parameter group with the given rates of all groups."""
        lr, decay = rates[group]
        settings = {**self.optimizer.param_groups[group], "lr": float(lr), "weight_decay": float(decay)}
        return rule_as(self.kinds[group], settings, type(self.optimizer).__name__)

    def _summaries(self, stats: list[FloatArray]) -> list[Seen | None]:
        steps, decayed = [pair[0] for pair in self.pairs], self._decayed()
        rules = [self.rule(i, self.pairs[-1][2]) for i in range(len(self.decayed))]
        steady = [all(pair[2][i] == self.pairs[0][2][i] for pair in self.pairs) for i in range(len(self.decayed))]
        return [
            w.read(one, steps, decayed, rules[w.group], steady[w.group])
            for w, one in zip(self.watched, stats, strict=True)
        ]

    def _decayed(self) -> FloatArray:
        return np.array([[float(one) for one in pair[1]] for pair in self.pairs])

    def _close(self) -> None:
        stats, _ = self._fetch()
        for watched, seen, one in zip(self.watched, self._summaries(stats), stats, strict=True):
            watched.close(seen, one)
        self.pairs, self.stats, self.replayed = [], [], []

    @torch.no_grad()
    def seen(self) -> tuple[list[Seen | None], list[float]]:
        """Average recent stretches of each tensor, the running one included, up to now; and the present |w|^2.

        One synchronisation with the device.
        """
        squares = [_dot(w, local(w.parameter).detach(), local(w.parameter).detach()) for w in self.watched]
        place = squares[0].device
        stats, now = self._fetch(torch.cat([one.to(device=place, dtype=torch.float32) for one in squares]))
        parts = np.split(now, np.cumsum([w.groups for w in self.watched])[:-1])
        running = self._summaries(stats) if self.pairs else [None] * len(self.watched)
        found = [w.recent(one) for w, one in zip(self.watched, running, strict=True)]
        totals = [float(part.sum()) for part in parts]
        ends = [None if s is None else self._to_now(w, s, t) for w, s, t in zip(self.watched, found, totals, strict=True)]
        return ends, totals

    def past(self) -> list[list[Seen]]:
        """Return the finished stretches of each tensor, and the running one."""
        running = self._summaries(self._fetch()[0]) if self.pairs else [None] * len(self.watched)
        return [w.history + ([] if one is None else [one.coarse()]) for w, one in zip(self.watched, running, strict=True)]

    def _to_now(self, watched: Watched, seen: Seen, total: float) -> Seen:
        """Extend a window from its last measured step to the present."""
        decay = float(self.decayed[watched.group]) - seen.decayed
        return replace(seen, last=self.steps, after=total, taken=seen.taken + decay * (seen.after + total) / 2)


def _dot(watched: Watched, a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vecdot(_grouped(a, watched.groups), _grouped(b, watched.groups))


def _grouped(tensor: Tensor, groups: int) -> Tensor:
    flat = tensor.reshape(groups, -1)
    return flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat
