"""What a number is everywhere over the runs, beside its mean: a band, or how far slopes stray from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Band", "Local"]


@dataclass(frozen=True)
class Band:
    """A simultaneous 95 % band of a number that is a function of what is set, over the region of the runs.

    Attributes
    ----------
    low, high : float
        Its lowest lower end and highest upper end.
    highest_low, lowest_high : float
        Its highest lower end and lowest upper end: what shows that the function is somewhere above, or below.
    first, last : float
        Smallest and largest value of the function that was fitted.
    trend : bool
        Whether the function changes over the region by more than its scatter.
    """

    low: float
    high: float
    highest_low: float
    lowest_high: float
    first: float
    last: float
    trend: bool

    def judge(self, theory: float, margin: float) -> tuple[str, str]:
        """Judge it: inside the margin everywhere, outside somewhere, or neither; with the reason."""
        edge, span = f"{theory:g} ± {margin:g}", f"from {self.low:.4g} to {self.high:.4g}"
        trend = f"; a significant trend over the runs, from {self.first:.4g} to {self.last:.4g}" if self.trend else ""
        if self.margin_needed(theory) <= margin:
            return "agrees", f"the band over the runs, {span}, lies within {margin:g} of {theory:g}{trend}"
        if self.highest_low > theory + margin or self.lowest_high < theory - margin:
            return "disagrees", f"the band over the runs lies outside {edge} somewhere{trend}"
        return "inconclusive", f"the band over the runs, {span}, straddles the edge of {edge}{trend}"

    def margin_needed(self, theory: float) -> float:
        """Smallest margin at which it agrees."""
        return max(theory - self.low, self.high - theory)

    def of(self, function: Callable[[float], float]) -> Band:
        """Return the band of a function of the number that falls with it."""
        low, high, inner, outer = map(function, (self.high, self.low, self.lowest_high, self.highest_low))
        return Band(low, high, inner, outer, function(self.last), function(self.first), self.trend)

    @property
    def details(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {"lowest of the band over the runs": self.low, "highest of the band over the runs": self.high}


@dataclass(frozen=True)
class Local:
    """How far local slopes stray from the theory, as a root mean square over the region of the runs.

    Attributes
    ----------
    low, high : float
        One-sided 95 % bounds, less what noise alone adds.
    """

    low: float
    high: float

    def judge(self, theory: float, margin: float) -> tuple[str, str]:
        """Judge it: below twice the margin, above, or neither; with the reason."""
        most, what = 2 * margin, "the local slopes differ from the theory by"
        if self.high < most:
            return "agrees", f"{what} at most {self.high:.2g} (RMS over the runs, 95 %), less than twice the margin"
        if self.low > most:
            return "disagrees", f"{what} at least {self.low:.2g} (RMS over the runs, 95 %), more than twice the margin"
        return (
            "inconclusive",
            f"{what} {self.low:.2g} to {self.high:.2g} (RMS over the runs, 95 %): straddles {most:.2g}",
        )

    def margin_needed(self, theory: float) -> float:
        """Smallest margin at which it agrees."""
        return self.high / 2 if math.isfinite(self.high) else math.nan

    @property
    def details(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {"RMS deviation of local slopes, 95 % upper bound": self.high}
