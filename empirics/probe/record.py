"""Measurements of a tensor in an interval of steps, as means over the measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.models.orthogonal import violation
from empirics.probe.rule import Rule

__all__ = ["Seen", "Stat", "summarise", "together"]

FloatArray = NDArray[np.float64]


class Stat(IntEnum):
    """Inner products of a block: w and w' before and after a step, g the gradient it used, g' that of the next."""

    WEIGHT = 0  # w·w
    ALONG = 1  # w·g
    SLOPE = 2  # g·g
    RADIAL = 3  # w·(w' - w)
    MOVE = 4  # |w' - w|^2
    AFTER = 5  # w'·w' right after the step
    FOUND = 6  # the same right before the next step
    NEXT = 7  # g·g'


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

    @property
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
        names = ("radius_sq", "grad_sq", "unit_sq", "angle_sq")
        return replace(self, **{name: getattr(self, name).mean(keepdims=True) for name in names})


#: Relative scatter of w·g/|w|^2 over the steps below which it counts as the same at every step.
SAME = 0.02


def penalty_in(stats: FloatArray) -> float:
    """Return the coefficient of an L2 penalty within the loss; 0 if w·g/|w|^2 varies from step to step."""
    total = stats.sum(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = total[:, Stat.ALONG] / total[:, Stat.WEIGHT]
    ratio = ratio[np.isfinite(ratio)]
    return float(ratio.mean()) if len(ratio) > 3 and ratio.mean() > 0 and ratio.std() < SAME * ratio.mean() else 0.0


def _degree(slope: FloatArray, move: FloatArray) -> float:
    """Fit log |w' - w| over log |g|; NaN if |g| hardly varies."""
    good = (slope > 0) & (move > 0)
    x, y = (np.log(one[good]) / 2 for one in (slope, move))
    away = x - x.mean() if len(x) > 3 else x[:0]
    return float(away @ y / (away @ away)) if away @ away > 1e-4 * len(away) else float("nan")


def summarise(
    stats: FloatArray,
    steps: Sequence[int],
    decayed: Sequence[float],
    since: Seen | None,
    rule: Rule,
    parameters: int,
    blocks: int,
    steady: bool,
) -> Seen | None:
    """Compute the means over an interval; None if nothing in it is finite.

    Parameters
    ----------
    stats : array, shape (pair, Stat, row or block)
        Inner products; pairs that are not finite are left out.
    steps, decayed
        Number of the first step of each pair, and the sum of lr·wd over all steps before it.
    since
        The interval before; None if there is none.
    rule, parameters, steady
        See `Seen`.
    blocks
        Number of blocks into which the rows are combined; 0 if the tensor is not scale-invariant.
    """
    good = np.isfinite(stats).all(axis=(1, 2)) & (stats[:, Stat.WEIGHT] > 0).any(axis=1)
    if not good.any():
        return None
    number = max(blocks, 1)
    grouped = stats[good].reshape(int(good.sum()), len(Stat), number, -1).sum(3)
    weight, along, slope, radial, move, after, found, following = np.moveaxis(grouped, 1, 0)
    safe = np.where(weight > 0, weight, 1.0)
    tangent = np.sqrt(np.maximum(move - radial**2 / safe, 0) * safe)
    penalty, size = penalty_in(grouped), parameters // number
    kept = [int(i) for i in np.flatnonzero(good)]
    path = [(steps[i], decayed[i], float(r2)) for i, r2 in zip(kept, weight.sum(1), strict=True)]
    path = path if since is None else [(since.last - 1, since.decayed, since.after), *path]
    return Seen(
        first=path[0][0], last=path[-1][0] + 1, pairs=len(kept), scale_invariant=blocks > 0, size=size, blocks=number,
        rule=rule, radius_sq=weight.mean(0), grad_sq=slope.mean(0), unit_sq=(weight * slope).mean(0),
        angle_sq=(np.arctan2(tangent, weight + radial) ** 2).mean(0), grad_next=float(following.sum(1).mean()),
        along=float(along.sum(1).mean()), move_sq=float(move.sum(1).mean()),
        before=path[0][2], after=path[-1][2], decayed=path[-1][1],
        taken=sum((b[1] - a[1]) * (a[2] + b[2]) / 2 for a, b in pairwise(path)),
        violation=violation(along - penalty * weight, weight, slope, size), penalty=penalty,
        changed=float((after.sum(1) != found.sum(1)).mean()), degree=_degree(slope.sum(1), move.sum(1)), steady=steady,
    )  # fmt: skip


def together(stretches: Sequence[Seen]) -> Seen:
    """Average several consecutive intervals of the same tensor, in chronological order.

    Parameters
    ----------
    stretches
        At least one; only the latest with as many blocks and the same rule as the last are used.
    """
    last = stretches[-1]
    alike = [s for s in stretches if (s.blocks, s.scale_invariant, s.rule.optimizer) == _kind(last)]
    pairs = [s.pairs for s in alike]

    def mean(name: str) -> Any:  # np.average takes ten times as long
        return sum(count * getattr(one, name) for count, one in zip(pairs, alike, strict=True)) / sum(pairs)

    means: dict[str, Any] = {name: mean(name) for name in ("radius_sq", "grad_sq", "unit_sq", "angle_sq")}
    means |= {name: float(mean(name)) for name in ("grad_next", "along", "move_sq", "changed")}
    rates = {(s.rule.lr, s.rule.weight_decay) for s in alike}
    return replace(
        last,
        first=alike[0].first,
        pairs=sum(pairs),
        before=alike[0].before,
        taken=sum(s.taken for s in alike),
        violation=sqrt(sum(n * s.violation**2 for n, s in zip(pairs, alike, strict=True)) / sum(pairs)),
        penalty=float(mean("penalty")) if all(s.penalty for s in alike) else 0.0,
        degree=float(np.nanmedian(degrees)) if any(np.isfinite(degrees := [s.degree for s in alike])) else np.nan,
        steady=all(s.steady for s in alike) and len(rates) == 1,
        **means,
    )


def _kind(seen: Seen) -> tuple[int, bool, str]:
    return seen.blocks, seen.scale_invariant, seen.rule.optimizer
