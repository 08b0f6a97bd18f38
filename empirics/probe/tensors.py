"""Measures two consecutive steps now and then inside the training loop, and changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.groups import Group, Piece
from empirics.models.orthogonal import CERTAIN, passes
from empirics.models.products import InnerProducts
from empirics.probe.record import Seen, Stat, summaries
from empirics.probe.replay import KINDS, Replay, kind_of, local
from empirics.probe.rule import Rule, rule_as
from empirics.probe.small import SMALL, Small
from empirics.probe.watched import Watched, ended

__all__ = ["Tensors"]

#: Pairs per stretch; their numbers are moved to the host together.
STRETCH = 16

#: Known a role, the rule is checked in one of so many pairs.
REPLAYED = 4

FloatArray = NDArray[np.float64]

Pairs = list[tuple[Tensor, Tensor]]


class Tensors:
    """All watched weights, and the steps at which they are measured.

    One pair of consecutive steps is measured in `every` steps, at random (with a generator of its own), so that it
    cannot lock to anything periodic in the training. Of other steps only the rates are noted. `tensors` are the watched
    ones by name, `groups` those of their weights if known.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, every: int, groups: Sequence[Group] = ()
    ) -> None:
        self.tensors, self.optimizer, self.every = tensors, optimizer, every
        of = {id(p): i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
        self._rates = {name: of[id(tensor)] for name, tensor in tensors.items()}
        self.steps = 0
        self.next = 0  # first step that is measured; -1 between the two of a pair
        # Of each parameter group lr and weight decay in the last step, for how many steps they have been so, and the
        # sum of lr·wd over the steps before.
        self.noted: list[list[Any]] = [[0.0, 0.0, 0, 0.0] for _ in optimizer.param_groups]
        self._randomly = random.Random(0)
        self._begun = 0
        self._replays = self._smallest()
        self.held: dict[str, Tensor] = {}  # during the first step of a pair, w before it; after it, g
        self._begins = False
        self.products = InnerProducts()
        self.kinds: list[str] = [""] * len(self.noted)
        self.kept: list[float] = [1.0] * len(self.noted)
        self.ended: list[Watched] = []  # weights that are trained no more, with their history
        self.divide(groups)

    def keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with some of the tensors, as others were frozen; the windows of groups without those go on, too.

        A group of which a part was frozen ends. The rest of it alone is not scale-invariant, as blocks are the smallest
        sets of weights that are.
        """
        self._finish()
        groups: list[Group] = []
        for group in (watched.group for watched in self.watched):
            left = [piece for piece in group.pieces if piece.name in tensors]
            groups += [group] if len(left) == len(group.pieces) else [Group((piece,), "penalty") for piece in left]
        before, self.tensors = {watched.group: watched for watched in self.watched}, tensors
        self._rates = {name: self._rates[name] for name in tensors}
        self._replays, self.next = self._smallest(), self.steps
        self.divide(groups)
        for watched in self.watched:
            if (same := before.pop(watched.group, None)) is not None:
                watched.stretches, watched.history, watched.gradient = same.stretches, same.history, same.gradient
        self.ended += ended(before.values())

    def follow(self, other: Tensors) -> None:
        """Begin where `other` ended: tensors were added, or frozen before their roles were known."""
        other._finish()
        self.steps, self.ended = other.steps, [*other.ended, *ended(other.watched)]

    def divide(self, groups: Sequence[Group]) -> None:
        """Measure these groups of weights from now on; tensors as wholes if there are none."""
        self.known, whole = bool(groups), [_whole(name, tensor) for name, tensor in self.tensors.items()]
        self.watched = [Watched(group, self.tensors, self._rates, self.known) for group in groups or whole]
        self.count = 0  # pairs since then
        self.half: tuple[int, list[Any], list[Any]] | None = None  # step, decayed and rates of an open pair
        self.columns: Tensor | None = None  # its inner products, shape (Stat, block)
        self.norms: Tensor | None = None  # |w'| of each tensor, right after its first step
        self.pairs: list[tuple[int, list[Any], list[Any]]] = []
        self.stats: list[Tensor] = []
        self.replayed: list[Tensor] = []
        self.device = self.watched[0].tensor.device if self.watched else torch.device("cpu")
        number = {id(tensor): i for i, tensor in enumerate(self.tensors.values())}
        # Of each block, the tensor with most of its weights.
        self._largest = self._index(number[id(w.tensor)] for w in self.watched for _ in range(w.blocks))
        small = [self._small(w) for w in self.watched]
        groups = [w.group for w, one in zip(self.watched, small, strict=True) if one]
        self._together = Small(groups, self.tensors) if groups else None
        self._alone = [w for w, one in zip(self.watched, small, strict=True) if not one]
        place = np.argsort(np.repeat(~np.array(small, dtype=bool), [w.blocks for w in self.watched]), kind="stable")
        self._order = None if (np.diff(place) > 0).all() else self._index(np.argsort(place).tolist())

    def _index(self, values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int64).to(self.device)

    def _small(self, watched: Watched) -> bool:
        mine = [self.tensors[piece.name] for piece in watched.group.pieces]
        plain = all(w.dtype == torch.float32 and w.device == self.device and w.numel() <= SMALL for w in mine)
        return plain and not watched.sharded

    def _groups(self) -> list[Group]:
        """Return the groups of weights by role: the one place where the probe asks for them."""
        sharded = []
        for watched in self.watched:
            if watched.sharded:  # as a whole, from the sums over all processes
                seen = watched.stretches[-1] if watched.stretches else None
                invariant = seen is not None and passes(seen.violation, seen.size)
                sharded.append(replace(watched.group, role="invariant", blocks=1) if invariant else watched.group)
        return [*(self.products.groups() if len(self.products) else []), *sharded]

    def _smallest(self) -> list[Replay | None]:
        """Return a replay for each parameter group, on its smallest matrix."""
        found: list[Replay | None] = []
        for i, group in enumerate(self.optimizer.param_groups):
            mine = [p for name, p in self.tensors.items() if self._rates[name] == i and p.numel() > 1]
            matrices = [p for p in mine if p.ndim > 1] or mine
            found.append(Replay(min(matrices, key=Tensor.numel), group) if matrices else None)
        return found

    @property
    def due(self) -> bool:
        """Whether the next step is measured."""
        return self.steps >= self.next

    @property
    def rates(self) -> list[tuple[Any, Any]]:
        """Learning rate and weight decay of each parameter group in the last step."""
        return [(lr, decay) for lr, decay, _, _ in self.noted]

    @property
    def decayed(self) -> list[Any]:
        """Sum of lr·wd over all steps, of each parameter group."""
        return [total + count * (lr * decay) for lr, decay, count, total in self.noted]

    def plan_state(self) -> dict[str, Any]:
        """Return the schedule of the next pairs, with the state of the random generator."""
        version, numbers, spare = self._randomly.getstate()
        return {"next": self.next, "begun": self._begun, "random": [version, list(numbers), spare]}

    def load_plan(self, state: Mapping[str, Any]) -> None:
        """Resume from `plan_state`."""
        self.next, self._begun = state["next"], state["begun"]
        version, numbers, spare = state["random"]
        self._randomly.setstate((version, tuple(numbers), spare))

    # Around a step ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def before(self) -> None:
        """Copy the weights before a first step; compare their norms with those after it before a second one."""
        if not (now := self._now()):  # all are frozen
            return
        if self.half is not None:
            assert self.columns is not None
            assert self.norms is not None
            self.columns[Stat.CHANGED] = (self._norms(now) != self.norms).to(self.columns)[self._largest]
            return
        if set(self.held) != set(now):
            self.held = {name: torch.empty_like(one) for name, one in now.items()}
        torch._foreach_copy_(list(self.held.values()), list(now.values()))
        self._begins = True
        for replay in self._replays if self._replaying else ():
            if replay is not None:
                replay.before(self.optimizer.state.get(replay.parameter, {}))

    @property
    def _replaying(self) -> bool:
        return not self.known or len(self.pairs) % REPLAYED == 0

    def _now(self) -> dict[str, Tensor]:
        return {name: local(tensor).detach() for name, tensor in self.tensors.items()}

    def _norms(self, now: Mapping[str, Tensor]) -> Tensor:
        """Return |w| of all tensors, with the same roundings each time."""
        return torch.stack([one.to(self.device, torch.float32) for one in torch._foreach_norm(list(now.values()))])

    @torch.no_grad()
    def after(self) -> None:
        """Measure the step that was taken, and count it."""
        if self.half is not None:
            self._second()
        elif self._begins:
            self._begins, self.next = False, -1
            self._compare()
            begun = self.steps, self.decayed
            self.count_step()
            self.half = *begun, self.rates
            return
        self.count_step()
        if len(self.pairs) >= (STRETCH if self.known else CERTAIN):
            self._close()

    def count_step(self) -> None:
        """Count a step and note its rates; this runs in every step."""
        self.steps += 1
        for group, noted in zip(self.optimizer.param_groups, self.noted, strict=False):
            lr, decay = group.get("lr", 0.0), group.get("weight_decay", 0.0)
            if type(lr) is float and lr == noted[0] and decay == noted[1]:  # a tensor may change in place
                noted[2] += 1
            else:
                total = noted[3] + noted[2] * (noted[0] * noted[1])
                noted[:] = (lr if type(lr) is float else lr * 1, decay, 1, total)

    def _gradients(self) -> dict[str, Tensor]:
        """Return the dense gradients by name."""
        found = {name: local(tensor.grad) for name, tensor in self.tensors.items()}
        return {name: g for name, g in found.items() if g is not None and not g.is_sparse}

    def _or_nan(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add NaN, without memory, where there is no gradient."""
        none = {name: w for name, w in self.held.items() if name not in gradients}
        return gradients | {name: w.new_full((), torch.nan).expand(w.shape) for name, w in none.items()}

    def _inner(self, pairs: Callable[..., Pairs], *values: Mapping[str, Tensor]) -> Tensor:
        """Compute inner products of all blocks, shape (product, block).

        Parameters
        ----------
        pairs
            Returns their factors, computed from weights or gradients.
        *values
            These, by name of the tensor.
        """
        found = []
        if self._together:
            found.append(self._together.sums(torch.stack([a * b for a, b in pairs(*map(self._together.of, values))])))
        for watched in self._alone:
            found.append(torch.stack([torch.linalg.vecdot(a, b) for a, b in pairs(*map(watched.of, values))]))
        every = torch.cat([one.to(self.device, torch.float32) for one in found], 1)
        return every if self._order is None else every[:, self._order]

    def _compare(self) -> None:
        """Compute the inner products of a first step, NaN where there is no gradient, and keep the gradient."""
        if self._replaying:
            held = {id(tensor): self.held[name] for name, tensor in self.tensors.items()}
            replayed = [
                torch.full((len(KINDS) + 1,), torch.nan) if one is None
                else one.after(held[id(one.parameter)], self.optimizer.state.get(one.parameter, {}))
                for one in self._replays
            ]  # fmt: skip
            self.replayed.append(torch.stack([one.to(replayed[0].device) for one in replayed]))
        gradients, now = self._gradients(), self._now()
        mine = {name: w for name, w in self.held.items() if not hasattr(self.tensors[name], "to_local")}
        if mine and not self.known:
            none = {name: torch.zeros_like(w) for name, w in mine.items() if name not in gradients}
            self.products.add({name: (w, (none | gradients)[name].nan_to_num(0, 0, 0)) for name, w in mine.items()})
        measured = self._inner(_factors, self.held, self._or_nan(gradients), now)
        self.columns = torch.cat([measured, measured.new_zeros(2, measured.shape[1])])
        self.norms = self._norms(now)
        if gradients:
            torch._foreach_copy_([self.held[name] for name in gradients], list(gradients.values()))

    def _second(self) -> None:
        """Finish a pair with g·g', and choose the next one."""
        assert self.columns is not None
        assert self.half is not None
        (self.columns[Stat.NEXT],) = self._inner(_product, self.held, self._or_nan(self._gradients()))
        self.stats.append(self.columns)
        self.pairs.append(self.half)
        self.count += 1
        self.columns, self.norms, self.half = None, None, None
        self._plan()

    def _plan(self) -> None:
        """Choose the next pair: at once at the start, so that the blocks are known soon; later one in `every` steps."""
        if len(self.stats) < CERTAIN and self.steps < 4 * CERTAIN:
            self.next = self.steps + 1
            return
        self._begun = max(self._begun + self.every, self.steps + 1)
        self.next = self._begun + self._randomly.randrange(max(self.every - 2, 1))

    # On the host -----------------------------------------------------------------------------------------------------

    def _fetch(self, *others: Tensor) -> list[FloatArray]:
        """Move the inner products (pair, Stat, block) and others to the host: the one place that waits for the device.

        If there are others, the first has the sums of the blocks, which sharded tensors add over processes.
        """
        place = self.device
        stats = torch.stack(self.stats) if self.stats else torch.zeros(0, len(Stat), len(self._largest), device=place)
        self._over_processes(stats, *others[:1])
        table = torch.cat([torch.zeros(0, device=place), *(one.flatten().to(place) for one in self.replayed)])
        moved = stats, *others, table.reshape(-1, len(self.noted), len(KINDS) + 1)
        host = torch.cat([one.flatten() for one in moved]).cpu().double().split([one.numel() for one in moved])
        *found, replayed = (one.reshape(like.shape) for one, like in zip(host, moved, strict=True))
        self._recognise(replayed)
        return [one.numpy() for one in found]

    def _over_processes(self, *values: Tensor) -> None:
        """Add up the inner products of sharded tensors, whose parts the processes measure."""
        if not any(w.sharded for w in self.watched):
            return
        sharded = torch.tensor([w.sharded for w in self.watched for _ in range(w.blocks)])
        for one in values:
            if len(one):
                part = one[..., sharded].contiguous()
                torch.distributed.all_reduce(part)
                one[..., sharded] = part

    def _recognise(self, table: Tensor) -> None:
        """Name the rule of each parameter group from the steps that were replayed."""
        for i, group in enumerate(self.optimizer.param_groups[: len(self.noted)]):  # not one added just now
            if len(seen := table[:, i][~table[:, i].isnan().any(1)]):
                self.kinds[i] = kind_of(seen[:, :-1], group)
                self.kept[i] = float(seen[:, -1].mean())

    def rule(self, group: int, rates: Sequence[tuple[Any, Any]]) -> Rule:
        """Return the rule of a parameter group with the given rates of all groups."""
        lr, decay = rates[group]
        settings = {**self.optimizer.param_groups[group], "lr": float(lr), "weight_decay": float(decay)}
        return rule_as(self.kinds[group], settings, self.optimizer)

    def _summaries(self, stats: FloatArray) -> list[Seen | None]:
        decayed = np.array([[float(one) for one in pair[1]] for pair in self.pairs])
        rules = [self.rule(i, self.pairs[-1][2]) for i in range(len(self.noted))]
        steady = [all(pair[2][i] == self.pairs[0][2][i] for pair in self.pairs) for i in range(len(self.noted))]
        groups = [w.context(decayed[:, w.rates], rules[w.rates], steady[w.rates]) for w in self.watched]
        steps = [pair[0] for pair in self.pairs]
        starts = self._starts()
        sums = (np.add.reduceat(stats[:, one], starts, axis=1).T for one in (Stat.WEIGHT, Stat.SLOPE))
        for watched, weight, slope in zip(self.watched, *sums, strict=True):
            watched.note(steps, weight, slope)
        return summaries(stats, steps, groups)

    def _starts(self) -> NDArray[Any]:
        """Return the place of the first block of each group."""
        counts = np.array([w.blocks for w in self.watched])
        return np.cumsum(counts) - counts

    def _finish(self) -> None:
        """Summarise a stretch."""
        if not self.pairs:
            return
        (stats,) = self._fetch()
        for watched, seen in zip(self.watched, self._summaries(stats), strict=True):
            watched.close(seen)
        self.pairs, self.stats, self.replayed = [], [], []

    def _close(self) -> None:
        """Summarise a stretch; the first one shows the groups that are measured from then on."""
        self._finish()
        if not self.known and any(watched.stretches for watched in self.watched):
            before = {watched.name: watched for watched in self.watched}
            self.divide(self._groups())
            self.next = self.steps
            for watched in self.watched:
                if watched.name in before:  # a whole tensor
                    watched.adopt(before[watched.name])

    @torch.no_grad()
    def seen(self, also: Tensor) -> tuple[list[Seen | None], list[float], FloatArray]:
        """Average recent stretches of each group, the running one included, up to now; and the present |w|^2.

        One synchronisation with the device, in which `also` is moved to the host as well.
        """
        if not (now := self._now()):
            return [], [], np.zeros(also.shape)
        stats, norms, other = self._fetch(self._inner(_square, now)[0], also)
        running = self._summaries(stats) if self.pairs else [None] * len(self.watched)
        found = [w.recent(one) for w, one in zip(self.watched, running, strict=True)]
        totals = np.add.reduceat(norms, self._starts()).tolist()
        for watched, total in zip(self.watched, totals, strict=True):
            finite = np.isfinite(total)
            watched.broken = None if finite else self.steps if watched.broken is None else watched.broken
        each = zip(self.watched, found, totals, strict=True)
        return [None if seen is None else self._to_now(w, seen, total) for w, seen, total in each], totals, other

    def past(self) -> list[tuple[Watched, list[Seen]]]:
        """Return the finished stretches of each tensor, ended ones included, and the running stretch."""
        running = self._summaries(self._fetch()[0]) if self.pairs else [None] * len(self.watched)
        each = zip(self.watched, running, strict=True)
        now = [(watched, watched.history + ([] if one is None else [one.coarse()])) for watched, one in each]
        return [(watched, watched.history) for watched in self.ended] + now

    def _to_now(self, watched: Watched, seen: Seen, total: float) -> Seen:
        """Extend a window from its last measured step to the present."""
        decay = float(self.decayed[watched.rates]) - seen.decayed
        return replace(seen, last=self.steps, after=total, taken=seen.taken + decay * (seen.after + total) / 2)


def _square(w: Tensor) -> Pairs:
    return [(w, w)]


def _product(w: Tensor, g: Tensor) -> Pairs:
    return [(w, g)]


def _factors(w: Tensor, g: Tensor, there: Tensor) -> Pairs:
    """Return the factors of the first products in `Stat`."""
    moved = there - w
    return [(w, w), (g, g), (moved, moved), (w, g), (w, moved)]


def _whole(name: str, tensor: Tensor) -> Group:
    shape = tuple(tensor.shape)
    return Group((Piece(name, shape, 0, 0, shape[0] if shape else 1),), "penalty")
