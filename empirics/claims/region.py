"""What a number is everywhere over the runs, beside its mean: a band, or how far slopes stray from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, gammainc, stdtr, stdtrit

__all__ = ["Band", "Local", "p_value"]

FloatArray = NDArray[np.float64]

#: Level in the law of a mean square at which each of its bounds holds in 95 of 100 tables, even of runs that share a
#: fifth of their variance with their row or column (docs/validation.md).
LEVEL = 0.02

#: Sizes of its noise over which the law of a mean square is averaged, and the share below which there is no noise.
SIZES, NOISELESS = 100, 1e-12


def p_value(reach: float, freedom: float) -> float:
    """One-sided p of an edge that lies so many halves of a 95 % interval away, by Student's t.

    >>> round(p_value(1.0, 10), 9)
    0.025
    """
    return float(stdtr(freedom, -reach * stdtrit(freedom, 0.975)))


@dataclass(frozen=True, eq=False)
class Band:
    """A simultaneous 95 % band of a number that is a function of what is set, over the region of the runs.

    Attributes
    ----------
    lower, fitted, upper : numpy.ndarray, shape (points,)
        The function that was fitted, and the ends of its band.
    trend : bool
        Whether the function changes over the region by more than its scatter.
    freedom : float
        Degrees of freedom behind it.
    """

    lower: FloatArray
    fitted: FloatArray
    upper: FloatArray
    trend: bool
    freedom: float

    def judge(self, theory: float, margin: float) -> tuple[str, str]:
        """Judge it: inside the margin everywhere, outside somewhere, or neither; with the reason."""
        edge, span = f"{theory:g} ± {margin:g}", f"from {self.lower.min():.4g} to {self.upper.max():.4g}"
        trend = f"from {self.fitted.min():.4g} to {self.fitted.max():.4g}"
        trend = f"; a significant trend over the runs, {trend}" if self.trend else ""
        if self.margin_needed(theory) <= margin:
            return "agrees", f"the band over the runs, {span}, lies within {margin:g} of {theory:g}{trend}"
        if self.lower.max() > theory + margin or self.upper.min() < theory - margin:
            return "disagrees", f"the band over the runs lies outside {edge} somewhere{trend}"
        return "inconclusive", f"the band over the runs, {span}, straddles the edge of {edge}{trend}"

    def margin_needed(self, theory: float) -> float:
        """Smallest margin at which it agrees."""
        return float(max(theory - self.lower.min(), self.upper.max() - theory))

    def p_values(self, theory: float, margin: float) -> tuple[float, float]:
        """Return p of "agrees", where an edge is nearest, and of "disagrees", where its deviation is largest."""
        down, up = self.fitted - self.lower, self.upper - self.fitted
        above, below = self.fitted - theory - margin, theory - margin - self.fitted  # beyond either edge
        inside = min(_over(-above, up).min(), _over(-below, down).min())
        beyond = max(_over(above, down).max(), _over(below, up).max())
        return p_value(float(inside), self.freedom), p_value(float(beyond), self.freedom)

    def of(self, function: Callable[[FloatArray], FloatArray]) -> Band:
        """Return the band of a function of the number that falls with it."""
        return Band(function(self.upper), function(self.fitted), function(self.lower), self.trend, self.freedom)

    @property
    def details(self) -> dict[str, Any]:
        """Its ends by name."""
        ends = float(self.lower.min()), float(self.upper.max())
        return dict(zip(("lowest of the band over the runs", "highest of the band over the runs"), ends, strict=True))


def _over(distance: FloatArray, half: FloatArray) -> FloatArray:
    """Distances in half-widths; infinite where there is no width."""
    return np.divide(distance, half, out=np.copysign(np.inf, distance), where=half > 0)


@dataclass(frozen=True)
class Local:
    """How far local slopes stray from the theory, as a mean square over the region of the runs.

    What is measured has the mean ``z + noise`` and the variance ``4 z along + spread`` at a true mean square z, and
    about a gamma law (P. B. Patnaik, Biometrika 36, 202, 1949), averaged over what the noise may be that is known from
    `freedom` terms. By a normal law the upper bound would be twice too wide where the slopes are right.

    Attributes
    ----------
    square, noise, along, spread : float
        What is measured, and the rest as above.
    freedom : float
        Degrees of freedom behind the variance.
    """

    square: float
    noise: float
    along: float
    spread: float
    freedom: float

    def below(self, true: float) -> float:
        """Probability that no more is measured than was, where the true mean square is this.

        >>> one = Local(square=4.0, noise=1.0, along=1.0, spread=2.0, freedom=1e6)  # a slope that is off by 2 ± 1
        >>> [round(one.below(true**2), 2) for true in (0.0, 2.0, 4.0)]
        [0.95, 0.51, 0.01]
        """
        if self.noise <= NOISELESS * max(self.square, true):
            return float(self.square >= true)
        scale = self.freedom / chdtri(self.freedom, (np.arange(SIZES) + 0.5) / SIZES)
        mean = true + self.noise * scale
        shape = mean**2 / (4 * true * self.along * scale + self.spread * scale**2)
        return float(gammainc(shape, shape * self.square / mean).mean())

    @cached_property
    def ends(self) -> tuple[float, float]:
        """One-sided 95 % bounds of the root mean square; none is below what noise alone measures."""
        return self._bound(1 - LEVEL), max(self._bound(LEVEL), math.sqrt(self.noise))

    def _bound(self, level: float) -> float:
        """Root of the mean square at which so much is below; 0 where not even at 0."""
        if self.below(0.0) <= level:
            return 0.0
        high = self.square + self.noise
        while self.below(high) > level:
            high *= 4
        return math.sqrt(brentq(lambda true: self.below(true) - level, 0.0, high))

    def judge(self, theory: float, margin: float) -> tuple[str, str]:
        """Judge it: below twice the margin, above, or neither; with the reason."""
        (low, high), what = self.ends, "the local slopes differ from the theory by"
        if high < 2 * margin:
            return "agrees", f"{what} at most {high:.2g} (RMS over the runs, 95 %), less than twice the margin"
        if low > 2 * margin:
            return "disagrees", f"{what} at least {low:.2g} (RMS over the runs, 95 %), more than twice the margin"
        span = f"{low:.2g} to {high:.2g} (RMS over the runs, 95 %)"
        return "inconclusive", f"{what} {span}, which straddles twice the margin"

    def margin_needed(self, theory: float) -> float:
        """Smallest margin at which it agrees."""
        return self.ends[1] / 2

    def p_values(self, theory: float, margin: float) -> tuple[float, float]:
        """Return p of "agrees" and of "disagrees"."""
        below = self.below(4 * margin**2)
        agrees = below if self.noise < 4 * margin**2 else 1.0
        return min(0.05 / LEVEL * agrees, 1.0), min(0.05 / LEVEL * (1 - below), 1.0)

    @property
    def details(self) -> dict[str, Any]:
        """Its upper bound by name."""
        return {"RMS deviation of local slopes, 95 % upper bound": self.ends[1]}
