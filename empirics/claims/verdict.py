"""A verdict: what a claim states, what was measured, and whether the two agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KINDS", "VERDICTS", "Verdict", "decimals", "judge", "margin_needed", "other_form"]


#: What a claim may stand on, and what may come of it: more runs would decide what is inconclusive, and not what a gate
#: refused, or what has no interval.
KINDS = ("identity", "symmetry", "physics")
VERDICTS = ("agrees", "disagrees", "inconclusive", "refused", "not measured")


def decimals(value: float, places: int) -> str:
    """Write a number with so many decimals, a large one with as many digits; never a negative zero.

    >>> decimals(-0.00001, 3), decimals(1.0625, 3), decimals(96_627_720_558.0, 3)
    ('0.000', '1.062', '9.663e+10')
    """
    return f"{value:z.{places}f}" if abs(value) < 1e6 else f"{value:.{places + 1}g}"


def judge(theory: float, low: float, high: float, margin: float) -> tuple[str, str]:
    """Judge an interval by equivalence: the claim is not "no significant difference" but "equal within a margin".

    Parameters
    ----------
    theory : float
        The value derived.
    low, high : float
        95 % interval of the value measured.
    margin : float
        Half-width of the range that counts as equal, fixed before the run.

    Returns
    -------
    verdict, reason : str
        "agrees" if the interval lies inside theory ± margin, "disagrees" if it lies outside, "inconclusive" if it
        straddles an edge, "refused" if there is none.

    Examples
    --------
    >>> judge(1.0, 0.97, 1.02, 0.05)[0], judge(1.0, 1.06, 1.2, 0.05)[0], judge(1.0, 0.9, 1.02, 0.05)[0]
    ('agrees', 'disagrees', 'inconclusive')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "refused", "no interval could be given"
    if theory - margin <= low and high <= theory + margin:
        return "agrees", f"the interval lies within {margin:g} of {theory:g}"
    if high < theory - margin or low > theory + margin:
        return "disagrees", f"the interval lies outside {theory:g} ± {margin:g}"
    return "inconclusive", f"the interval straddles the edge of {theory:g} ± {margin:g}"


def margin_needed(theory: float, low: float, high: float) -> float:
    """Return the smallest margin at which an interval agrees.

    >>> round(margin_needed(1.0, 0.97, 1.02), 12)
    0.03
    """
    return max(theory - low, high - theory)


def other_form(title: str, estimate: Any) -> dict[str, Any]:
    """Write another estimate of a number under a verdict: how it was made, and its value with the interval."""
    return {"title": title, "measured": estimate.value, "low": estimate.low, "high": estimate.high}


@dataclass(frozen=True)
class Verdict:
    """One claim, judged.

    Attributes
    ----------
    claim, title, protocol : str
        Its number, what is claimed, and under which training protocol.
    kind : str
        "identity", "symmetry" or "physics".
    theory, measured, low, high, margin : float
        The derived value; the measured one with its 95 % interval; the equivalence margin.
    verdict : str
        "agrees", "disagrees", "inconclusive" (the interval straddles an edge: more runs would decide), "refused" (a
        gate failed, or there is no interval: more of the same would not) or "not measured" (a column is missing).
    reason : str
        Why.
    source : str
        Where the theory comes from.
    details : dict
        Further numbers.
    optimizer : str
        What the runs were trained with.
    derivation : str
        Name of the derivation that it is compared with, which `kind` follows from; empty if there is none.
    needs : tuple of tuple of str
        The smallest sets of assumptions under which what is derived there holds.
    primary : bool
        Whether it is a test by itself; False for an identity, which is a gate, and for what repeats another claim.
    margin_needed : float
        The smallest margin at which it would agree; NaN where there is no interval to hold against one.
    p_value : float
        Of "agrees" the larger of the two one-sided tests, of "disagrees" that at the nearer edge; else NaN.
    other_forms : tuple of dict
        Other estimates of the same number, without a verdict: each with title, measured, low and high.
    """

    claim: str
    title: str
    protocol: str
    kind: str
    theory: float
    measured: float = math.nan
    low: float = math.nan
    high: float = math.nan
    margin: float = math.nan
    verdict: str = "not measured"
    reason: str = ""
    source: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "sgd"
    derivation: str = ""
    needs: tuple[tuple[str, ...], ...] = ()
    primary: bool = True
    margin_needed: float = math.nan
    p_value: float = math.nan
    other_forms: tuple[dict[str, Any], ...] = ()

    @property
    def training(self) -> str:
        """Protocol and optimiser in words: ``fixed-lr``, which is SGD, or ``fixed-lr, adamw``."""
        return self.protocol if self.optimizer == "sgd" else f"{self.protocol}, {self.optimizer}"
