"""Entropy of directions from samples, by nearest neighbours on the sphere.

What the estimate means depends on the samples. If they are independent it is the entropy of their distribution, up to a
bias that grows with the dimension. If they are snapshots of one slow path, the nearest neighbour of a snapshot is the
snapshot next to it in time, and the estimate is the logarithm of the distance diffused between snapshots: a *path
entropy*, whatever the distribution (docs: the diffusive trap). `SphereEntropy.path_entropy` says which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from empirics.measure.autocorrelation import autocorrelation, integrated_time, memory, unbiased
from empirics.measure.sphere import log_ball, log_cap_area

__all__ = ["SphereEntropy", "sphere_entropy"]

FloatArray = NDArray[np.float64]

#: Half-width of a 95 % interval in standard errors.
NORMAL = 1.959964

#: Neighbours are searched in float32 above this many multiplications; the best candidates are always recomputed.
FLOAT64_WORK = 2e9

#: Candidates kept for the exact recomputation, beyond the k wanted.
CANDIDATES = 6


@dataclass(frozen=True)
class SphereEntropy:
    """An entropy of directions and what it rests on.

    Attributes
    ----------
    value : float
        Differential entropy on the unit sphere, in nats.
    low, high : float
        95 % interval of its statistical error; the bias is not in it, and it is rather too wide than too narrow.
    lags : numpy.ndarray, shape (n,)
        Rows from each row to its nearest neighbour, with sign.
    effective_sample_size : float
        Independent rows that the n rows are worth; 1 if the directions do not forget within them.
    path_entropy : bool
        Whether neighbours are typically closer in time than the correlation time (which is half the series if it
        cannot be told from it).
    theiler : int
        Rows on either side in which no neighbour was looked for.
    """

    value: float
    low: float
    high: float
    lags: NDArray[np.int64]
    effective_sample_size: float
    path_entropy: bool
    theiler: int


def sphere_entropy(
    x: ArrayLike,
    method: Literal["flat", "cap"] = "flat",
    theiler: int | Literal["auto"] = "auto",
    k: int = 1,
) -> SphereEntropy:
    """Differential entropy of directions by their k-th nearest neighbours (Kozachenko and Leonenko 1987).

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples in time order; rows of any norm, only their directions count.
    method : {"flat", "cap"}
        How much of the sphere lies within the distance e of the neighbour: the flat ball of the chord's length,
        ``V_{d-1} e^{d-1}``, or the cap of that angle, exactly. The cap has the smaller bias in absolute terms; the bias
        of the flat form hardly depends on how concentrated the directions are, so it is the one for slopes.
    theiler : int or "auto"
        Leave out neighbours this close in time, in rows (Theiler 1986); "auto" takes the lag at which the directions'
        autocorrelation falls below 0.05, 0 keeps all.
    k : int
        Which neighbour.

    Returns
    -------
    SphereEntropy

    Raises
    ------
    ValueError
        If x is not a finite table of at least k + 1 rows and 2 columns without zero rows, if two rows are equal, if the
        window leaves a row without k neighbours, or if the method is unknown.

    Notes
    -----
    ``S = mean_i [psi(n_i + 1) - psi(k) + log v(e_i)]`` with n_i the number of possible neighbours of row i. The bias is
    positive and falls like n^(-2/(d-1)): at d ~ 1,000 it is hundreds of nats whatever n. It is the same for rotated
    and rescaled samples. The interval comes from the jackknife: without row j, the rows that had it among their k
    neighbours take the next one. (The scatter of the terms alone makes it half as wide as it should be at d = 1,000,
    where a few rows are neighbours of many.) Memory: 8 n^2 bytes and two copies of x.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> uniform = rng.standard_normal((4000, 3))
    >>> bool(abs(sphere_entropy(uniform, method="cap", theiler=0).value - np.log(4 * np.pi)) < 0.06)
    True
    """
    directions = _directions(x, k)
    if method not in ("flat", "cap"):
        raise ValueError(f'method must be "flat" or "cap", got {method!r}')
    n, d = directions.shape
    centred = directions - directions.mean(axis=0)
    gram = _gram(centred)
    correlation = autocorrelation(gram)
    window = _window(theiler, correlation, n, k)
    neighbours, distance = _neighbours(directions, centred, gram, window, k)
    if not distance[:, 0].all():
        row = int(np.argmin(distance[:, 0]))
        raise ValueError(
            f"rows {row} and {neighbours[row, 0]} of x have the same direction: a density cannot be estimated"
        )
    volume = _log_volume(distance, d, method)
    terms = digamma(_possible_neighbours(n, window) + 1) - digamma(k) + volume[:, k - 1]
    time = integrated_time(correlation, rows=n)
    error = float(NORMAL * np.std(_influence(terms, volume, neighbours, k), ddof=1) / np.sqrt(n / time))
    value, lags = float(terms.mean()), neighbours[:, k - 1] - np.arange(n)
    return SphereEntropy(
        value=value,
        low=value - error,
        high=value + error,
        lags=lags,
        effective_sample_size=n / time,
        path_entropy=bool(np.median(np.abs(lags)) < max(memory(unbiased(correlation, time), np.exp(-1)), 1.5)),
        theiler=window,
    )


def _directions(x: ArrayLike, k: int) -> FloatArray:
    """Rows at unit norm, checked."""
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] < k + 1 or rows.shape[1] < 2 or k < 1:
        raise ValueError(f"x must have shape (n, d) with n > k = {k} >= 1 and d >= 2, got {rows.shape}")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ValueError(f"x must be finite; row {bad} is not")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(f"row {int(np.argmin(norms))} of x is zero and has no direction")
    return rows / norms


def _gram(centred: FloatArray) -> NDArray[np.floating]:
    """Inner products of the centred rows, in float32 where float64 would take too long."""
    n, d = centred.shape
    if n * n * d <= FLOAT64_WORK:
        return centred @ centred.T
    # Centred and brought to unit size, float32 resolves distances to about 1e-7 of the spread of the samples.
    scale = np.sqrt((centred**2).sum(axis=1).mean())
    small = (centred / scale).astype(np.float32)
    return np.multiply(small @ small.T, np.float32(scale**2), dtype=np.float32)


def _window(theiler: int | Literal["auto"], correlation: FloatArray, n: int, k: int) -> int:
    """Rows on either side that are left out."""
    if theiler == "auto":
        return min(memory(correlation) - 1, (n - 1 - k) // 2)
    if isinstance(theiler, bool) or not isinstance(theiler, int | np.integer) or theiler < 0:
        raise ValueError(f'theiler must be "auto" or a number of rows, got {theiler!r}')
    if _possible_neighbours(n, int(theiler)).min() < k:
        raise ValueError(f"theiler = {theiler} leaves some of {n} rows without {k} neighbours")
    return int(theiler)


def _possible_neighbours(n: int, window: int) -> NDArray[np.int64]:
    """How many rows each row has outside its window."""
    place = np.arange(n)
    return np.maximum(place - window, 0) + np.maximum(n - 1 - place - window, 0)


def _neighbours(
    directions: FloatArray, centred: FloatArray, gram: NDArray[np.floating], window: int, k: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """The k + 1 nearest neighbours of each row (k where there are no more) and their chords, recomputed exactly."""
    n = len(directions)
    squares = (centred**2).sum(axis=1)
    keep = min(k + CANDIDATES, int(_possible_neighbours(n, window).min()))
    found = min(k + 1, keep)
    neighbours, distance = np.empty((n, found), dtype=np.int64), np.empty((n, found))
    for row in range(n):
        far = squares + squares[row] - 2.0 * gram[row]
        far[max(row - window, 0) : row + window + 1] = np.inf
        candidates = np.argpartition(far, keep - 1)[:keep]
        exact = np.linalg.norm(directions[candidates] - directions[row], axis=1)
        order = np.argsort(exact, kind="stable")[:found]
        neighbours[row], distance[row] = candidates[order], exact[order]
    return neighbours, distance


def _influence(terms: FloatArray, volume: FloatArray, neighbours: NDArray[np.int64], k: int) -> FloatArray:
    """What each row adds to the sum: its own term, less what the rows lose that have it among their k neighbours."""
    if volume.shape[1] == k:
        return terms
    loss = np.repeat(volume[:, k] - volume[:, k - 1], k)
    return np.asarray(terms - np.bincount(neighbours[:, :k].ravel(), loss, len(terms)))


def _log_volume(distance: FloatArray, d: int, method: str) -> FloatArray:
    """Logarithm of the part of the sphere nearer than the neighbour."""
    if method == "flat":
        return np.asarray(log_ball(d - 1) + (d - 1) * np.log(distance))
    return log_cap_area(2 * np.arcsin(np.minimum(distance / 2, 1.0)), d)
