"""Measurements of a tensor in an interval of steps, as means over the measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from math import isfinite, nan, sqrt
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.probe.rule import Rule

__all__ = ["Context", "Seen", "Stat", "summaries", "together"]

FloatArray = NDArray[np.float64]


class Stat(IntEnum):
    """Inner products of a block: w and w' before and after a step, g the gradient it used, g' that of the next."""

    WEIGHT = 0  # w·w
    SLOPE = 1  # g·g
    MOVE = 2  # |w' - w|^2
    ALONG = 3  # w·g
    RADIAL = 4  # w·(w' - w)
    CHANGED = 5  # not 0 if the norm of the tensor is another one before the next step than right after this one
    NEXT = 6  # g·g'


@dataclass(frozen=True)
class Seen:
    """Means over the measured steps of an interval, at the actual norms; arrays have shape (block,).

    The interval begins with the last measured step of the one before, so that nothing is left out of `taken`.
    """

    first: int  # step at which the interval begins
    last: int  # step at which it ends, exclusive
    pairs: int  # number of measured pairs of steps
    scale_invariant: bool  # whether its blocks are; if not, the tensor is a single block
    size: int  # number of weights per block
    blocks: int  # number of blocks; the arrays may hold one mean block instead
    rule: Rule  # its update rule, with the rates at the end
    radius_sq: FloatArray  # mean |w|^2
    grad_sq: FloatArray  # mean |g|^2
    unit_sq: FloatArray  # mean |w|^2 |g|^2: |g|^2 at unit norm
    angle_sq: FloatArray  # mean squared rotation per step (rad^2)
    grad_next: float  # mean g·g' of the tensor
    along: float  # mean w·g
    move_sq: float  # mean |w' - w|^2
    before: float  # |w|^2 of the tensor at the beginning
    after: float  # |w|^2 at the last measured step
    decayed: float  # sum of lr·wd over all steps of the training before that one
    taken: float  # sum of lr·wd·|w|^2 over the steps in between
    violation: float  # see `empirics.models.orthogonal.violation`
    penalty: float  # w·g/|w|^2 where it is the same at every step: an L2 penalty within the loss; else 0
    changed: float  # share of the pairs between whose steps the norm changed
    degree: float  # slope of log |w' - w| over log |g|
    steady: bool  # whether lr and weight decay were the same at all measured steps

    @cached_property
    def norm_sq(self) -> float:
        """Mean |w|^2 of the tensor."""
        return float(self.radius_sq.mean()) * self.blocks

    @property
    def signal(self) -> float:
        """Share of the mean gradient in E|g|^2, from consecutive steps."""
        return float(np.clip(abs(self.grad_next) / max(self.grad_sq.mean() * self.blocks, 1e-300), 0, 1))

    def cut(self, blocks: int) -> Seen:
        """Return the same of a single block, cut into equal scale-invariant ones; not scale-invariant if 0."""
        n = max(blocks, 1)
        return replace(
            self, scale_invariant=blocks > 0, size=self.size // n, blocks=n, radius_sq=self.radius_sq / n,
            grad_sq=self.grad_sq / n, unit_sq=self.unit_sq / n**2,
        )  # fmt: skip

    def coarse(self) -> Seen:
        """Return the same with one mean block in place of all, as kept for the plot."""
        return replace(self, **{name: getattr(self, name).mean(keepdims=True) for name in BLOCKWISE})


#: The fields of `Seen` with a value for each block.
BLOCKWISE = ("radius_sq", "grad_sq", "unit_sq", "angle_sq")

#: Relative scatter of w·g/|w|^2 over the steps below which it counts as the same at every step.
SAME = 0.02


@dataclass(frozen=True)
class Context:
    """What is known of a group of weights beside its inner products."""

    since: Seen | None  # its interval before; None if there is none
    rule: Rule
    parameters: int
    blocks: int
    scale_invariant: bool
    steady: bool  # whether lr and weight decay were the same at all measured steps
    decayed: FloatArray  # sum of lr·wd over all steps before the first one of each pair


def summaries(stats: FloatArray, steps: Sequence[int], groups: Sequence[Context]) -> list[Seen | None]:
    """Compute the means of every group over an interval; None if nothing of it is finite.

    Parameters
    ----------
    stats : array, shape (pair, Stat, block)
        Inner products of the blocks of all groups; of a group, pairs that are not finite are left out.
    steps
        Number of the first step of each pair.
    groups
        In the order of the blocks.
    """
    counts = np.array([group.blocks for group in groups])
    starts = _starts(counts)
    good = np.logical_and.reduceat(np.isfinite(stats).all(1), starts, axis=1)
    good &= np.logical_or.reduceat(stats[:, Stat.WEIGHT] > 0, starts, axis=1)
    alike: dict[bytes, list[int]] = {}  # groups with the same good pairs: nearly always all of them
    for i, column in enumerate(good.T):
        alike.setdefault(column.tobytes(), []).append(i)
    found: list[Seen | None] = [None] * len(groups)
    for some in alike.values():
        if (pairs := good[:, some[0]]).any():
            mine = np.repeat(np.isin(np.arange(len(groups)), some), counts)
            means = _means(stats[pairs][:, :, mine], np.array(steps)[pairs], pairs, [groups[i] for i in some])
            for i, seen in zip(some, means, strict=True):
                found[i] = seen
    return found


def _starts(counts: NDArray[Any]) -> NDArray[Any]:
    return np.cumsum(counts) - counts


def _means(stats: FloatArray, steps: NDArray[Any], pairs: NDArray[np.bool_], groups: Sequence[Context]) -> list[Seen]:
    """Compute the means of groups whose pairs of steps are all finite."""
    counts = np.array([group.blocks for group in groups])
    size = np.array([group.parameters // group.blocks for group in groups])
    starts, n = _starts(counts), len(steps)
    total = np.add.reduceat(stats, starts, axis=2)
    weight, slope, move, along, radial = np.moveaxis(stats[:, : Stat.CHANGED], 1, 0)
    safe = np.where(weight > 0, weight, 1.0)
    tangent = np.sqrt(np.maximum(move - radial**2 / safe, 0) * safe)
    angle_sq = (np.arctan2(tangent, weight + radial) ** 2).mean(0)
    penalty = _penalty(total)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cosine_sq = (along - np.repeat(penalty, counts) * weight) ** 2 / (weight * slope)
        known = np.isfinite(cosine_sq)
        sums = (np.add.reduceat(one.sum(0), starts) for one in (np.where(known, cosine_sq, 0.0), known.astype(float)))
        violation = np.sqrt(np.divide(*sums) * size)
    decayed, r2 = np.stack([group.decayed[pairs] for group in groups], 1), total[:, Stat.WEIGHT]
    first, begun, before = np.transpose([
        (steps[0], decayed[0, i], r2[0, i]) if since is None else (since.last - 1, since.decayed, since.after)
        for i, since in enumerate(group.since for group in groups)
    ])  # fmt: skip
    ends, norms = np.vstack([begun, decayed]), np.vstack([before, r2])
    rows = np.split(np.stack([weight.mean(0), slope.mean(0), (weight * slope).mean(0), angle_sq]), starts[1:], axis=1)
    columns = {
        "before": before, "after": r2[-1], "decayed": decayed[-1],
        "taken": (np.diff(ends, axis=0) * (norms[1:] + norms[:-1]) / 2).sum(0),
        "violation": violation, "penalty": penalty, "degree": _degree(total), "along": total[:, Stat.ALONG].mean(0),
        "grad_next": total[:, Stat.NEXT].mean(0), "move_sq": total[:, Stat.MOVE].mean(0),
        "changed": (total[:, Stat.CHANGED] != 0).mean(0),
    }  # fmt: skip
    table = [dict(zip(columns, values, strict=True)) for values in np.stack(list(columns.values()), 1).tolist()]
    return [
        Seen(
            first=int(first[i]), last=int(steps[-1]) + 1, pairs=n, scale_invariant=group.scale_invariant,
            size=int(size[i]), blocks=group.blocks, rule=group.rule, steady=group.steady,
            **dict(zip(BLOCKWISE, rows[i], strict=True)), **table[i],
        )
        for i, group in enumerate(groups)
    ]  # fmt: skip


def _penalty(total: FloatArray) -> FloatArray:
    """Return the coefficient of an L2 penalty within the loss; 0 if w·g/|w|^2 varies from step to step."""
    ratio = total[:, Stat.ALONG] / total[:, Stat.WEIGHT]
    mean = ratio.mean(0)
    return np.where((mean > 0) & (ratio.std(0) < SAME * mean) & (len(ratio) > 3), mean, 0.0)


def _degree(total: FloatArray) -> FloatArray:
    """Fit log |w' - w| over log |g|; NaN if |g| hardly varies."""
    slope, move = total[:, Stat.SLOPE], total[:, Stat.MOVE]
    good = (slope > 0) & (move > 0)
    x, y = (np.log(np.where(good, one, 1.0)) / 2 for one in (slope, move))
    n = good.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(good, x - x.sum(0) / n, 0.0)
        spread = (away**2).sum(0)
        return np.where((n > 3) & (spread > 1e-4 * n), (away * y).sum(0) / spread, np.nan)


def together(stretches: Sequence[Seen]) -> Seen:
    """Average several consecutive intervals of the same tensor, in chronological order.

    Parameters
    ----------
    stretches
        At least one; only the latest with as many blocks and the same rule as the last are used.
    """
    last = stretches[-1]
    alike = [s for s in stretches if (s.blocks, s.scale_invariant, s.rule.optimizer) == _kind(last)]
    if len(alike) == 1:
        return last
    pairs = np.array([s.pairs for s in alike])
    share = pairs / pairs.sum()
    names = ("grad_next", "along", "move_sq", "changed", "penalty")
    # The first stretches may have one mean block in place of all.
    blocks = sum(c * np.array([getattr(s, name) for name in BLOCKWISE]) for c, s in zip(share, alike, strict=True))
    totals = share @ np.array([[getattr(s, name) for name in names] for s in alike])
    means: dict[str, Any] = dict(zip(BLOCKWISE, blocks, strict=True)) | dict(zip(names, totals.tolist(), strict=True))
    if not all(s.penalty for s in alike):
        means["penalty"] = 0.0
    rates = {(s.rule.lr, s.rule.weight_decay) for s in alike}
    return replace(
        last,
        first=alike[0].first,
        pairs=int(pairs.sum()),
        before=alike[0].before,
        taken=sum(s.taken for s in alike),
        violation=sqrt(float(share @ [s.violation**2 for s in alike])),
        degree=median(degrees) if (degrees := [s.degree for s in alike if isfinite(s.degree)]) else nan,
        steady=all(s.steady for s in alike) and len(rates) == 1,
        **means,
    )


def _kind(seen: Seen) -> tuple[int, bool, str]:
    return seen.blocks, seen.scale_invariant, seen.rule.optimizer
