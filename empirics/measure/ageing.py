"""Correlation of directions at two times: whether a run forgets at a constant rate, or more slowly with age."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ageing_exponent", "forgetting_lag", "two_time_correlation"]


def two_time_correlation(weights: ArrayLike, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Correlation C(t, t') of the directions of one run on a product of spheres, for every pair of times.

    ``C(t, t') = Σ m_l u_l(t) · u_l(t') / Σ m_l``, with u_l the direction of part l and m_l its number of columns minus
    1: the mean over the directions. It is 1 at equal times, and 0 once everything is forgotten.

    Parameters
    ----------
    weights : array_like, shape (n, N)
        Weights of the run at n times, in time order; of each part only the direction counts.
    sizes : sequence of int
        Numbers of consecutive columns that form a sphere each; they add up to N.

    Returns
    -------
    numpy.ndarray, shape (n, n)

    Raises
    ------
    ValueError
        If the sizes do not add up to N.

    Notes
    -----
    A free direction on the sphere in R^d with noise σ² per direction forgets as ``exp(-(d - 1) η_eff² σ² t/2)``, which
    is ``exp(-ηλt)`` at a stationary norm (derivation "direction-relaxation"); see Cugliandolo & Kurchan 1993
    (arXiv cond-mat/9303036) for glasses, whose C also depends on the age t of the older time.

    Examples
    --------
    Isotropic steps s on the unit sphere in R^d shorten a mean direction by ``1/sqrt(1 + s² (d - 1))`` per step:

    >>> rng, d, s = np.random.default_rng(0), 400, 0.02
    >>> walk = [np.eye(d)[0]]
    >>> for kick in s * rng.standard_normal((500, d)):
    ...     moved = walk[-1] + kick - walk[-1] * (walk[-1] @ kick)
    ...     walk.append(moved / np.linalg.norm(moved))
    >>> found = two_time_correlation(walk, (d,))
    >>> bool(abs(np.diagonal(found, 5).mean() - (1 + s**2 * (d - 1)) ** -2.5) < 0.01)
    True
    """
    rows = np.asarray(weights, dtype=np.float64)
    if sum(sizes) != rows.shape[1]:
        raise ValueError(f"sizes must add up to the {rows.shape[1]} columns of weights, they are {sum(sizes)} in all")
    found = np.zeros((len(rows), len(rows)))
    for part in np.split(rows, np.cumsum(sizes)[:-1], axis=1):
        unit = part / np.linalg.norm(part, axis=1, keepdims=True)
        found += (part.shape[1] - 1) * (unit @ unit.T)
    return found / (sum(sizes) - len(sizes))


def forgetting_lag(correlation: ArrayLike, times: ArrayLike, level: float) -> NDArray[np.float64]:
    """Find for each time the lag after which the correlation with it first falls below a level.

    Parameters
    ----------
    correlation : array_like, shape (n, n)
        Result of :func:`two_time_correlation`.
    times : array_like, shape (n,)
        Increasing times of the rows.
    level : float
        Between 0 and 1.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In the unit of `times`, interpolated linearly; NaN where the correlation stays above the level to the end.

    Examples
    --------
    >>> times = np.arange(5.0)
    >>> forgetting_lag(np.exp(-abs(times[:, None] - times)), times, level=0.5)  # linear between 1 and 1/e
    array([0.79098835, 0.79098835, 0.79098835, 0.79098835,        nan])
    """
    values, at = np.asarray(correlation, dtype=float), np.asarray(times, dtype=float)
    lags = np.full(len(at), np.nan)
    for i, row in enumerate(values):
        below = np.flatnonzero(row[i:] < level) + i
        if len(below):
            k = below[0]
            share = (row[k - 1] - level) / (row[k - 1] - row[k])
            lags[i] = at[k - 1] + share * (at[k] - at[k - 1]) - at[i]
    return lags


def ageing_exponent(ages: ArrayLike, lags: ArrayLike) -> float:
    """Slope μ of log lag in log age: 0 where a run is stationary, 1 if it ages fully (C depends on the ratio of times).

    Parameters
    ----------
    ages, lags : array_like, shape (n,)
        Ages (times since the start), and the lags of :func:`forgetting_lag`; lags of NaN are left out.

    Returns
    -------
    float
        NaN with fewer than two lags.

    Examples
    --------
    >>> round(ageing_exponent([1, 10, 100], [3, 30, 300]), 12)
    1.0
    """
    ages, lags = np.asarray(ages, dtype=float), np.asarray(lags, dtype=float)
    known = np.isfinite(lags) & (ages > 0) & (lags > 0)
    if known.sum() < 2:
        return float("nan")
    x, y = np.log(ages[known]), np.log(lags[known])
    x = x - x.mean()
    return float(x @ y / (x @ x))
