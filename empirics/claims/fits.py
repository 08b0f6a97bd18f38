"""Linear fits over runs, with intervals that take the scatter between runs as their error.

Steps of a run are not replicates; runs are. So the error of a slope is read off how the runs scatter about the fit,
with a heteroscedasticity-consistent covariance (HC3: MacKinnon and White 1985) that is clustered by the cells, rows and
columns of the grid (`empirics.claims.clusters`), and Student's t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from empirics.claims.clusters import Clusters, levels
from empirics.claims.region import Band, Local
from empirics.claims.verdict import decimals
from empirics.measure.rounding import quotient

__all__ = [
    "Estimate",
    "Spline",
    "fit",
    "jackknife",
    "mean_of",
    "no_estimate",
    "quadratic",
    "spline_basis",
    "within_orbits",
]

FloatArray = NDArray[np.float64]

#: Singular values below this share of the largest are zero: the runs do not determine that direction.
SINGULAR = 1e-8

#: At most this many fits for a jackknife; of more cells, neighbours are left out together.
JACKKNIFE_GROUPS = 200

#: At most this many free parameters for an unknown function of log(lr weight_decay).
SPLINE_PARAMETERS = 7


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; where there is none, `why` says so.

    `freedom` is that of Student's t behind the interval, and `everywhere` what the number is over the region of the
    runs, where that is judged too.
    """

    value: float
    low: float
    high: float
    why: str = ""
    freedom: float = np.inf
    everywhere: Band | Local | None = None

    def __str__(self) -> str:
        return f"{decimals(self.value, 3)} [{decimals(self.low, 3)}, {decimals(self.high, 3)}]"


def no_estimate(why: str, value: float = np.nan) -> Estimate:
    """Say why there is no interval, and perhaps no number."""
    return Estimate(value, np.nan, np.nan, why)


def fit(design: FloatArray, values: ArrayLike, combination: ArrayLike, clusters: Clusters | None = None) -> Estimate:
    """Least squares, and a linear combination of the coefficients with its interval.

    Parameters
    ----------
    design : numpy.ndarray, shape (runs, coefficients)
        One row per run.
    values : array_like, shape (runs,)
        What is fitted.
    combination : array_like, shape (coefficients,)
        Weights of the coefficients.
    clusters : Clusters, optional
        Which runs may share their scatter; every run by itself if not given.

    Returns
    -------
    Estimate
        NaN if the runs do not determine the combination; a NaN interval if there are no runs to spare.

    Examples
    --------
    >>> x = np.arange(6.0)
    >>> print(fit(np.c_[np.ones(6), x], 1 + 2 * x, [0, 1]))
    2.000 [2.000, 2.000]
    >>> fit(np.c_[x, 2 * x], x, [0, 1]).why  # x and 2 x cannot be told apart
    'the runs do not determine it: too few different values of lr and weight decay'
    """
    y, weights = np.asarray(values, dtype=float), np.asarray(combination, dtype=float)
    if not len(y):
        return no_estimate("no run can be used")
    if not (np.isfinite(design).all() and np.isfinite(y).all()):
        return no_estimate("not all numbers that are fitted are finite")
    lengths = np.linalg.norm(design, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    left, singular, right = np.linalg.svd(design / lengths, full_matrices=False)
    kept = singular > SINGULAR * singular[0]
    left, right = left[:, kept], right[kept]
    scaled = weights / lengths
    # Outside the row space of the design the least-squares solution is arbitrary, however well it fits.
    if np.linalg.norm(scaled - right.T @ (right @ scaled)) > SINGULAR**0.5 * np.linalg.norm(scaled):
        return no_estimate("the runs do not determine it: too few different values of lr and weight decay")
    influence = left @ ((right @ scaled) / singular[kept])
    value, together = float(influence @ y), clusters or Clusters.alone(len(y))
    freedom = together.freedom(int(kept.sum()))
    if len(y) - int(kept.sum()) < 1:
        return no_estimate("there are no more runs than free parameters", value)
    # A run that the fit goes through whatever its value says nothing about the scatter.
    leverage = np.minimum((left**2).sum(axis=1), 1 - 1e-3)
    residual = (y - left @ (left.T @ y)) / (1 - leverage)
    return _with_interval(value, float(together.variance(influence * residual)), max(freedom, 1))


def _with_interval(value: float, variance: float, freedom: int) -> Estimate:
    """A number with the interval of Student's t."""
    half = float(stdtrit(freedom, 0.975) * np.sqrt(variance))
    return Estimate(value, value - half, value + half, freedom=freedom)


def mean_of(values: ArrayLike, clusters: Clusters | None = None) -> Estimate:
    """Mean over runs with its t interval, of runs that may share their scatter as `clusters` says.

    Examples
    --------
    >>> print(mean_of([1.0, 2.0, 3.0]))
    2.000 [-0.484, 4.484]
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 2:
        return no_estimate(
            "a single run has no scatter" if len(y) else "no run can be used", float(y.mean()) if len(y) else np.nan
        )
    together = clusters or Clusters.alone(len(y))
    scores = (y - y.mean()) / np.sqrt(len(y) * (len(y) - 1))
    return _with_interval(float(y.mean()), float(together.variance(scores)), max(together.freedom(1), 1))


def ratio_of(above: ArrayLike, below: ArrayLike, clusters: Clusters | None = None) -> Estimate:
    """Mean over runs of one number over the mean of another, with the t interval of its linearisation.

    Where the second scatters, the mean of the runs' own ratios is too large: by the square of the relative scatter.

    Examples
    --------
    >>> print(ratio_of([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]))
    2.000 [2.000, 2.000]
    >>> rng = np.random.default_rng(0)
    >>> noisy = 1 + 0.3 * rng.standard_normal(1000)
    >>> ratio_of(np.ones(1000), noisy).low < 1 < ratio_of(np.ones(1000), noisy).high
    True
    >>> bool(mean_of(1 / noisy).low > 1.05)
    True
    """
    top, bottom = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    if len(top) < 2:
        return mean_of(quotient(top, bottom), clusters)
    if not quotient(1.0, bottom.mean(), np.abs(bottom).max()) > 0:
        return no_estimate("the denominator of the ratio is not above 0 in the mean over runs")
    value = top.mean() / bottom.mean()
    spread = mean_of((top - value * bottom) / bottom.mean(), clusters)
    return replace(spread, value=float(value), low=float(value + spread.low), high=float(value + spread.high))


def quadratic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Design of a full quadratic in two variables, centred: 1, x, y, x^2, x y, y^2."""
    u, v = (z - z.mean() if len(z) else z for z in (x, y))
    return np.c_[np.ones_like(u), u, v, u**2, u * v, v**2]


@dataclass(frozen=True)
class Spline:
    """Cubic B-splines of one variable: a linear space of smooth functions, constants included."""

    knots: FloatArray  # with the ends repeated
    degree: int  # 3, or less where there are few values

    @classmethod
    def over(cls, z: FloatArray, parameters: int | None = None) -> Spline:
        """Take as many parameters as half the distinct values allow, at most `SPLINE_PARAMETERS`, or this many.

        Where there are few values, one for each up to four (a polynomial), so that nothing of the function can pass
        for a slope across it.
        """
        if parameters is None:
            count = int(levels(z).max()) + 1
            parameters = min(SPLINE_PARAMETERS, max(count // 2, min(count, 4)))
        degree = min(3, parameters - 1)
        inner = np.quantile(np.unique(z), np.linspace(0, 1, parameters - degree + 1))[1:-1]
        return cls(np.r_[[z.min()] * (degree + 1), inner, [z.max()] * (degree + 1)], degree)

    def design(self, z: FloatArray, derivative: int = 0) -> FloatArray:
        """Return the functions, or their derivatives, at z: shape (len(z), parameters)."""
        if not self.degree:
            return np.full((len(z), 1), 0.0 if derivative else 1.0)
        inside = np.clip(z, self.knots[0], self.knots[-1])
        return np.asarray(self._basis(inside, nu=derivative), dtype=float)

    @cached_property
    def _basis(self) -> Any:
        from scipy.interpolate import BSpline

        return BSpline(self.knots, np.eye(len(self.knots) - self.degree - 1), self.degree)


def spline_basis(z: FloatArray) -> FloatArray:
    """Design of an unknown smooth function of one variable (`Spline`)."""
    return Spline.over(z).design(z) if len(z) else np.empty((0, 1))


def jackknife(
    statistic: Callable[[NDArray[np.intp]], FloatArray], runs: int, free: int, clusters: Clusters | None = None
) -> list[Estimate]:
    """Intervals of numbers that come out of several fits at once, from leaving out cells of the grid, one at a time.

    For a linear fit of single runs this is the covariance HC3 that `fit` takes, so that scatter which differs between
    runs is allowed for (Efron and Stein 1981); what cells of a row or a column share is added as there.

    Parameters
    ----------
    statistic : callable
        From the numbers of the runs to use to the numbers wanted.
    runs : int
        How many runs there are.
    free : int
        Free parameters of the fits, for the degrees of freedom of Student's t.
    clusters : Clusters, optional
        Which runs may share their scatter; every run by itself if not given.

    Returns
    -------
    list of Estimate
        One per number.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 3.0])
    >>> print(jackknife(lambda chosen: np.array([y[chosen].mean()]), 3, 1)[0], "as", mean_of(y))
    2.000 [-0.484, 4.484] as 2.000 [-0.484, 4.484]
    """
    every, together = np.arange(runs), clusters or Clusters.alone(runs)
    values = statistic(every)
    if runs - free < 1:
        return [no_estimate("there are no more runs than free parameters", float(value)) for value in values]
    cells = int(together.cells.max()) + 1
    groups = min(cells, JACKKNIFE_GROUPS)
    member = together.cells * groups // cells
    first = np.array([np.flatnonzero(member == i)[0] for i in range(groups)])
    without = np.array([statistic(every[member != i]) for i in range(groups)])
    scores = np.sqrt((groups - 1) / groups) * (without - without.mean(axis=0)).T
    freedom = max(min(together.freedom(free), groups - 1), 1)
    variance = together.of(first).variance(scores)
    return [_with_interval(float(v), float(s), freedom) for v, s in zip(values, variance, strict=True)]


def within_orbits(
    z: FloatArray, slope_of: FloatArray, values: FloatArray, clusters: Clusters | None = None
) -> Estimate:
    """Slope of values in a variable, from differences between runs with equal z alone; NaN if no orbit has two runs.

    z is what is equal along an orbit, log(lr weight_decay), and `slope_of` the variable that changes along it. One
    regression with a mean for each orbit: pairs that share a run are not counted as independent.
    """
    members = levels(z)
    counts = np.bincount(members)
    inside = counts[members] > 1
    if not inside.any():
        return no_estimate("no two runs share the value that is held fixed")
    design = np.c_[(members[inside, None] == np.flatnonzero(counts > 1)[None]).astype(float), slope_of[inside]]
    together = None if clusters is None else clusters.of(inside)
    return fit(design, values[inside], np.r_[np.zeros((counts > 1).sum()), 1.0], together)
