"""Numbers that have to hold everywhere over the runs: fitted with their trends, not only averaged.

A ratio may be 1 in the mean and run from 0.7 to 1.4 over the grid. So a ratio is fitted as a function of what is set,
with linear and quadratic trends as far as the runs determine them, and judged by a band that holds over the whole
region of the runs at once; a slope, whose local values no affordable grid pins down, by the root mean square of what
its local values are off by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from empirics.claims.clusters import Clusters, clusters_of, critical, levels
from empirics.claims.fits import Estimate, mean_of, ratio_of
from empirics.claims.region import Band, Local

if TYPE_CHECKING:
    from empirics.claims.table import Table

__all__ = ["in_parts", "local_slopes", "over", "over_plane", "over_temperature", "slopes_in_parts", "trends"]

FloatArray = NDArray[np.float64]

#: A column of which less than this share is new beside the others is left out of a fit.
NEW = 1e-4

#: A quadratic needs so many values of what it bends in, and beside linear trends so many runs a coefficient.
BENDS = 4
RUNS_EACH = 5

#: Share of the runs at each end of the temperatures at which a band over T is not looked at.
ENDS = 0.05

#: With this confidence a bend over T has to be seen for a band to have it.
BEND_LEVEL = 0.8

#: At most this many points of a band are looked at.
POINTS = 60


def _independent(columns: Sequence[FloatArray], most: int) -> FloatArray:
    """Those of the columns that are new beside the ones before, orthonormal, at most so many."""
    kept: list[FloatArray] = []
    for column in columns:
        rest = column.copy()
        for one in kept:
            rest -= one * (one @ rest)
        if len(kept) < most and np.linalg.norm(rest) > NEW * float(np.linalg.norm(column)):
            kept.append(rest / np.linalg.norm(rest))
    return np.stack(kept, axis=1)


def trends(*settings: FloatArray) -> FloatArray:
    """Design of a constant with linear and quadratic trends in one or two settings, as far as the runs determine them.

    Parameters
    ----------
    *settings : numpy.ndarray, shape (runs,)
        Logarithms of what is set.

    Returns
    -------
    numpy.ndarray, shape (runs, coefficients)
        Orthonormal columns, the constant first.

    Examples
    --------
    >>> trends(np.arange(20.0)).shape, trends(np.arange(6.0)).shape, trends(np.repeat([0.0, 1.0], 10)).shape
    ((20, 3), (6, 2), (20, 2))
    """
    runs = len(settings[0])
    centred = [z - z.mean() for z in settings]
    bent = [z for z in centred if len(np.unique(levels(z))) >= BENDS]
    crossed = [centred[0] * centred[1]] if len(centred) > 1 else []
    most = max(runs // RUNS_EACH, 1 + len(centred))
    return _independent([np.ones(runs), *centred, *crossed, *(z**2 for z in bent)], most)


def over(
    basis: FloatArray,
    values: ArrayLike,
    clusters: Clusters,
    below: ArrayLike | None = None,
    inside: NDArray[np.bool_] | None = None,
    bends: int = 0,
) -> Estimate:
    """Mean of numbers of runs, or of one over the mean of another, with the band of the number as a function.

    Parameters
    ----------
    basis : numpy.ndarray, shape (runs, coefficients)
        Of the function (`trends`).
    values, below : array_like, shape (runs,)
        The number; or what is over and what is below the line, where the latter scatters: the function is then the one
        whose product with `below` leaves of `values` nothing that goes with the basis.
    clusters : Clusters
        Which runs may share their scatter.
    inside : numpy.ndarray of bool, shape (runs,), optional
        The runs at which the band is looked at; all if not given.
    bends : int
        So many of the last columns are left out unless they are seen with a confidence of `BEND_LEVEL`: in a number
        that scatters as much as its margin, they would only widen the band.

    Returns
    -------
    Estimate
        The mean's, with the band as `everywhere`; without one where there are too few runs for it.
    """
    y = np.asarray(values, dtype=float)
    under = np.ones(len(y)) if below is None else np.asarray(below, dtype=float)
    mean = mean_of(y, clusters) if below is None else ratio_of(y, under, clusters)
    if not np.isfinite(mean.low) or basis.shape[1] < 2 or clusters.freedom(basis.shape[1]) < 1:
        return mean
    points = _points(basis, clusters, inside)
    fitted = _fitted(basis, y, under, clusters, points)
    straight = basis.shape[1] - bends
    if fitted is not None and straight < basis.shape[1] and not fitted.moves(straight, BEND_LEVEL):
        fitted = _fitted(basis[:, :straight], y, under, clusters, points)
    if fitted is None:
        return mean
    value, half = fitted.band()
    return replace(mean, everywhere=Band(value - half, value, value + half, fitted.moves(1, 0.95), mean.freedom))


@dataclass(frozen=True)
class _Fitted:
    """A function of what is set, fitted by least squares or with something below the line."""

    basis: FloatArray  # shape (runs, coefficients); orthonormal, the constant first
    values: FloatArray  # shape (runs,)
    inverse: FloatArray  # shape (coefficients, runs); from the values to the coefficients
    residual: FloatArray  # shape (runs,); larger by what each run pulls the fit
    clusters: Clusters
    points: NDArray[np.intp]  # the runs at which it is looked at

    def band(self) -> tuple[FloatArray, FloatArray]:
        """Values of the function at the points, and half the width of its simultaneous 95 % band."""
        influence = self.basis[self.points] @ self.inverse
        wide = critical(self.basis, self.basis[self.points] @ self.basis.T, self.clusters)
        return influence @ self.values, wide * np.sqrt(self.clusters.variance(influence * self.residual))

    def moves(self, first: int, level: float) -> bool:
        """Whether what is in the columns from the first one on is seen above its scatter, at a level of confidence."""
        part = self.basis[self.points, first:] - self.basis[self.points, first:].mean(axis=0)
        part = part[np.linalg.norm(part, axis=1) > NEW * np.linalg.norm(part)]
        if not part.size:
            return False
        influence = part @ self.inverse[first:]
        wide = critical(self.basis, part @ self.basis[:, first:].T, self.clusters, level)
        error = np.sqrt(self.clusters.variance(influence * self.residual))
        return bool((np.abs(influence @ self.values) > wide * error).any())


def _fitted(
    basis: FloatArray, y: FloatArray, under: FloatArray, clusters: Clusters, points: NDArray[np.intp]
) -> _Fitted | None:
    """Fit the function whose product with what is under the line leaves nothing that goes with the basis."""
    regressors = basis * under[:, None]
    normal = basis.T @ regressors
    if np.linalg.cond(normal) > 1 / NEW:
        return None
    inverse = np.asarray(np.linalg.solve(normal, basis.T), dtype=float)
    spare = 1 - np.clip(np.einsum("ij,ji->i", regressors, inverse), 0.0, 1 - 1e-3)
    return _Fitted(basis, y, inverse, (y - regressors @ (inverse @ y)) / spare, clusters, points)


def _points(basis: FloatArray, clusters: Clusters, inside: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Runs at which a band is looked at, one a cell: of many the outermost, and some of the others."""
    first = np.unique(clusters.cells, return_index=True)[1]
    first = first if inside is None else first[inside[first]]
    if len(first) <= POINTS:
        return first
    outermost = np.argsort(-(basis[first] ** 2).sum(axis=1))
    others = outermost[POINTS // 2 :]
    return np.asarray(first[np.r_[outermost[: POINTS // 2], others[:: -(-len(others) * 2 // POINTS)]]])


def over_temperature(
    temperature: FloatArray, values: ArrayLike, clusters: Clusters, below: ArrayLike | None = None
) -> Estimate:
    """Mean of a number of each run, or of one over the mean of another, with its band over log T, without its ends.

    As of the other claims over T, `ENDS` of the runs at each end are fitted and not judged: single runs decide there.
    """
    log_t = np.log(temperature)
    if len(log_t) < 2 or not np.ptp(log_t):
        return mean_of(values, clusters) if below is None else ratio_of(values, below, clusters)
    low, high = np.quantile(log_t, [ENDS, 1 - ENDS])
    basis = trends(log_t)
    return over(basis, values, clusters, below, (log_t >= low) & (log_t <= high), bends=basis.shape[1] - 2)


def over_plane(table: Table, values: ArrayLike, among: NDArray[np.bool_] | None = None) -> Estimate:
    """Mean of a number of each run used, or of each among them, with its band over what is set.

    Parameters
    ----------
    table : Table
        The runs.
    values : array_like, shape (runs,)
        The number.
    among : numpy.ndarray of bool, optional
        Which of the runs used the numbers are of.

    Returns
    -------
    Estimate
        The mean's, with the band as `everywhere`.
    """
    together = clusters_of(table, among)
    names = [name for name in (table.rate, "weight_decay", "radius") if not table.missing(name)]
    chosen = np.ones(int(table.used.sum()), dtype=bool) if among is None else among
    settings = [np.log(table.values(name)[chosen]) for name in names]
    settings = [z for z in settings if len(z) and np.ptp(z) > 0][:2]
    return over(trends(*settings), values, together) if settings else mean_of(values, together)


def local_slopes(
    base: FloatArray, along: FloatArray, across: FloatArray, values: FloatArray, theory: float, clusters: Clusters
) -> Local | None:
    """How far the local slopes of values in `across` are from the theory, over the region of the runs.

    The slope is fitted with a bend in `across` and a change with `along` beside what a base of free functions takes up.

    Parameters
    ----------
    base : numpy.ndarray, shape (runs, functions)
        Of what is free: a spline in `along`, or a mean for each orbit.
    along, across, values : numpy.ndarray, shape (runs,)
        What is equal along an orbit, what changes along it, and what has the slope.
    theory : float
        The slope derived.
    clusters : Clusters
        Which runs may share their scatter.

    Returns
    -------
    Local or None
        None where the runs do not determine a local slope.
    """
    u, v = along - along.mean(), across - across.mean()
    gradients = np.stack([np.ones_like(v), 2 * v, u])  # of the local slope in the three coefficients
    free = _independent(list(base.T), base.shape[1])
    columns = np.c_[v, v**2, u * v]
    rest = columns - free @ (free.T @ columns)
    new = np.linalg.norm(rest, axis=0) > NEW**0.5 * np.linalg.norm(columns, axis=0)
    rest, gradients = rest[:, new], gradients[new]
    count = free.shape[1] + rest.shape[1]
    if not new[0] or len(values) <= count or np.linalg.cond(rest / np.linalg.norm(rest, axis=0)) > 1 / NEW:
        return None
    inverse = np.linalg.pinv(rest)
    basis = np.linalg.qr(np.c_[free, rest])[0]
    spare = 1 - np.minimum((basis**2).sum(axis=1), 1 - 1e-3)
    residual = (values - basis @ (basis.T @ values)) / spare
    off = inverse @ values - theory * np.eye(len(gradients))[0]
    return strayed(off, clusters.covariance(inverse * residual), gradients, max(clusters.freedom(count), 1))


def strayed(off: FloatArray, covariance: FloatArray, gradients: FloatArray, freedom: int) -> Local:
    """Bounds of a root mean square over the runs, of which noise in the coefficients is a part.

    Parameters
    ----------
    off : numpy.ndarray, shape (coefficients,)
        What is linear in these is squared and averaged.
    covariance : numpy.ndarray, shape (coefficients, coefficients)
        Of the noise in them.
    gradients : numpy.ndarray, shape (coefficients, runs)
        What the coefficients are multiplied with at each run.
    freedom : int
        Degrees of freedom of the covariance.

    Returns
    -------
    Local
        The squares have the mean ``z + tr M V`` and the variance ``4 z v + 2 tr (M V)^2`` at a true mean square z.

    Examples
    --------
    A slope that is off by 2 with a standard error of 1:

    >>> one = strayed(np.array([2.0]), np.eye(1), np.ones((1, 1)), freedom=10**6)
    >>> [round(end, 1) for end in one.ends]
    [0.0, 3.8]
    """
    mean_square = gradients @ gradients.T / gradients.shape[1]
    noise = mean_square @ covariance
    square = float(off @ mean_square @ off)
    along = float(off @ noise @ mean_square @ off) / square if square > 0 else 0.0
    spread = 2 * float(np.trace(noise @ noise))
    return Local(square, float(np.trace(noise)), along, spread, freedom)


def in_parts(whole: Estimate, parts: Sequence[Estimate]) -> Estimate:
    """Add to a number those of parts of the region, as a band: their intervals widened to hold at once (Bonferroni)."""
    if not all(np.isfinite(one.low) for one in (whole, *parts)):
        return whole
    wide = float(stdtrit(whole.freedom, 1 - 0.025 / len(parts)) / stdtrit(whole.freedom, 0.975))
    low, value, high = np.array([(one.low, one.value, one.high) for one in parts]).T
    low, high = value + wide * (low - value), value + wide * (high - value)
    return replace(whole, everywhere=Band(low, value, high, bool(low.max() > high.min()), whole.freedom))


def slopes_in_parts(mean: Estimate, change: Estimate, spread: float, theory: float) -> Estimate:
    """Add to the mean of a slope how far its local values stray, from its change along a setting that has a spread."""
    if not np.isfinite(mean.low + change.low):
        return mean
    wide = float(stdtrit(mean.freedom, 0.975))
    errors = np.array([(one.high - one.low) / 2 / wide for one in (mean, change)])
    off, gradients = np.array([mean.value - theory, change.value]), np.diag([1.0, spread]) * np.sqrt(2)
    return replace(mean, everywhere=strayed(off, np.diag(errors**2), gradients, int(mean.freedom)))
