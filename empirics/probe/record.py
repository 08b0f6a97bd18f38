"""Measurements of a tensor in an interval of steps, as means over the measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.models.orthogonal import violation
from empirics.probe.rule import Rule

__all__ = ["Seen", "Stat", "summarise", "together"]

FloatArray = NDArray[np.float64]


class Stat(IntEnum):
    """Inner products of a block in two consecutive steps: w, g before the first, w', g' before the second."""

    WEIGHT = 0  # w.w
    ALONG = 1  # w.g
    SLOPE = 2  # g.g
    NEXT = 3  # g.g'
    RADIAL = 4  # w.(w' - w)
    MOVE = 5  # |w' - w|^2


@dataclass(frozen=True)
class Seen:
    """Means over the measured steps of an interval; arrays have shape (block,), at the actual norm."""

    first: int  # number of the first measured step
    last: int  # number of the last
    pairs: int  # number of measured pairs of steps
    scale_invariant: bool  # whether its blocks are; if not, the tensor is a single block
    size: int  # number of weights per block
    blocks: int  # number of blocks; the arrays may hold one mean block instead
    rule: Rule  # its update rule, with the mean learning rate and weight decay
    radius_sq: FloatArray  # mean |w|^2
    radius_sq_first: FloatArray
    radius_sq_last: FloatArray
    grad_sq: FloatArray  # mean |g|^2
    grad_next: FloatArray  # mean g·g' with the next step (nat^2 per unit of weight^2)
    angle_sq: FloatArray  # mean squared rotation per step (rad^2)
    violation: float  # see `empirics.models.orthogonal.violation`

    def coarse(self) -> Seen:
        """Return the same with one mean block in place of all, as kept for the plot."""
        names = ("radius_sq", "radius_sq_first", "radius_sq_last", "grad_sq", "grad_next", "angle_sq")
        return replace(self, **{name: getattr(self, name).mean(keepdims=True) for name in names})


def _mean_rule(rules: Sequence[Rule], weights: Sequence[int]) -> Rule:
    mean = [float(np.average([getattr(r, name) for r in rules], weights=weights)) for name in ("lr", "weight_decay")]
    return replace(rules[-1], lr=mean[0], weight_decay=mean[1])


def summarise(
    stats: FloatArray, steps: Sequence[int], rules: Sequence[Rule], parameters: int, blocks: int
) -> Seen | None:
    """Compute the means over an interval; None if nothing in it is finite.

    `stats` are the inner products, shape (pair, Stat, row or block); pairs that are not finite are left out. `steps`
    and `rules` are those of each pair. `blocks` is into how many the rows of the tensor are combined; 0 for one that is
    not scale-invariant.
    """
    good = np.isfinite(stats).all(axis=(1, 2)) & (stats[:, Stat.WEIGHT] > 0).any(axis=1)
    if not good.any():
        return None
    number = max(blocks, 1)
    grouped = stats[good].reshape(int(good.sum()), len(Stat), number, -1).sum(3)
    weight, along, slope, following, radial, move = np.moveaxis(grouped, 1, 0)
    safe = np.where(weight > 0, weight, 1.0)
    tangent = np.sqrt(np.maximum(move - radial**2 / safe, 0) * safe)
    angle = np.arctan2(tangent, weight + radial)
    kept = [int(i) for i in np.flatnonzero(good)]
    size = parameters // number
    return Seen(
        first=steps[kept[0]],
        last=steps[kept[-1]],
        pairs=len(kept),
        scale_invariant=blocks > 0,
        size=size,
        blocks=number,
        rule=_mean_rule([rules[i] for i in kept], [1] * len(kept)),
        radius_sq=weight.mean(0),
        radius_sq_first=weight[0],
        radius_sq_last=weight[-1],
        grad_sq=slope.mean(0),
        grad_next=following.mean(0),
        angle_sq=(angle**2).mean(0),
        violation=violation(along, weight, slope, size),
    )


def together(stretches: Sequence[Seen]) -> Seen:
    """Average several intervals of the same tensor, those with as many blocks as the last.

    Parameters
    ----------
    stretches
        In chronological order, at least one.
    """
    last = stretches[-1]
    alike = [s for s in stretches if (s.blocks, s.scale_invariant, s.rule.optimizer) == _kind(last)]
    pairs = [s.pairs for s in alike]
    names = ("radius_sq", "grad_sq", "grad_next", "angle_sq")
    means: dict[str, Any] = {
        name: np.average([getattr(s, name) for s in alike], axis=0, weights=pairs) for name in names
    }
    return replace(
        last,
        first=alike[0].first,
        pairs=sum(pairs),
        rule=_mean_rule([s.rule for s in alike], pairs),
        radius_sq_first=alike[0].radius_sq_first,
        violation=float(np.sqrt(np.average([s.violation**2 for s in alike], weights=pairs))),
        **means,
    )


def _kind(seen: Seen) -> tuple[int, bool, str]:
    return seen.blocks, seen.scale_invariant, seen.rule.optimizer
