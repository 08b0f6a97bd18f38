"""Whether two sets of runs are in one state: differences of means, with intervals that take runs as replicates.

For equivalence an interval is held against a margin (`empirics.claims.judge`): not "no significant difference", but "no
difference that matters".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from empirics.measure.rounding import constant, scale_of

__all__ = ["MeanDifference", "furthest_difference", "mean_difference", "pooled_difference"]

#: Coverage of the intervals.
LEVEL = 0.95


@dataclass(frozen=True)
class MeanDifference:
    """A difference of means, in the unit of the values.

    Attributes
    ----------
    value, error : float
        The difference and its standard error.
    freedom : float
        Degrees of freedom of the error (Student's t).
    """

    value: float
    error: float
    freedom: float

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Interval of 95 %, simultaneous over so many comparisons (Bonferroni).

        Examples
        --------
        >>> low, high = MeanDifference(value=1.0, error=0.5, freedom=10).interval()  # t = 2.228 in any table
        >>> print(f"{low:.3f} {high:.3f}")
        -0.114 2.114
        """
        half = float(stdtrit(self.freedom, 1 - (1 - LEVEL) / (2 * comparisons))) * self.error
        return self.value - half, self.value + half


def _freedom(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite, Biometrics Bull. 2, 110, 1946)."""
    parts = np.asarray(variances) / scale_of(variances)
    total = float(np.sum(parts))
    return total**2 / float((parts**2 / np.asarray(freedoms)).sum())


def mean_difference(first: ArrayLike, second: ArrayLike) -> MeanDifference:
    """Mean of the second set of runs less that of the first, variances not taken as equal (Welch, Biometrika 34, 28).

    Parameters
    ----------
    first, second : array_like, shape (runs,)
        One number per run, two runs or more each.

    Returns
    -------
    MeanDifference

    Raises
    ------
    ValueError
        If a set has fewer than two runs, a number that is not finite, or if no number varies in either.

    Examples
    --------
    >>> found = mean_difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0])  # scipy.stats.ttest_ind(equal_var=False)
    >>> print(f"{found.value:.3f} {found.error:.4f} {found.freedom:.3f}")
    1.500 0.8660 4.959
    """
    sets = [np.asarray(one, dtype=float) for one in (first, second)]
    for one in sets:
        if one.ndim != 1 or len(one) < 2 or not np.isfinite(one).all():
            raise ValueError(f"each set must hold at least two finite numbers, one per run, got {one}")
    if all(constant(one) for one in sets):
        raise ValueError("the runs of both sets are all the same: no error can be estimated")
    scale = scale_of(np.concatenate(sets))
    sets = [one / scale for one in sets]
    variances = [float(one.var(ddof=1)) / len(one) for one in sets]
    freedom = _freedom(variances, [len(one) - 1 for one in sets])
    error = float(np.sqrt(sum(variances))) * scale
    return MeanDifference(float(sets[1].mean() - sets[0].mean()) * scale, error, freedom)


def pooled_difference(each: Sequence[MeanDifference]) -> MeanDifference:
    """Mean of independent differences, each counting the same.

    Examples
    --------
    >>> pooled_difference([MeanDifference(1.0, 0.3, 8.0), MeanDifference(2.0, 0.3, 8.0)]).freedom
    16.0
    """
    scale = scale_of([one.error for one in each])
    variances = [(one.error / scale) ** 2 for one in each]
    freedom = _freedom(variances, [one.freedom for one in each])
    error = float(np.sqrt(sum(variances))) * scale / len(each)
    return MeanDifference(float(np.mean([one.value for one in each])), error, freedom)


def furthest_difference(each: Sequence[MeanDifference]) -> tuple[float, float, float]:
    """Difference whose interval reaches furthest from 0: its value and its interval, simultaneous over all of them.

    Examples
    --------
    >>> value, low, high = furthest_difference([MeanDifference(0.1, 0.1, 20.0), MeanDifference(-0.3, 0.1, 20.0)])
    >>> print(f"{value:.1f} [{low:.3f}, {high:.3f}]")  # t = 2.423 at 1 - 0.05/4
    -0.3 [-0.542, -0.058]
    """
    found = [(one.value, *one.interval(len(each))) for one in each]
    return max(found, key=lambda one: max(abs(one[1]), abs(one[2])))
