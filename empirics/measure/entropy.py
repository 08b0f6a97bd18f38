"""Entropy of directions from samples: by nearest neighbours on the sphere, or by a family of densities.

What a neighbour estimate means depends on the samples. If they are independent it is the entropy of their distribution,
up to a bias that grows with the dimension. If they are snapshots of one slow path, the nearest neighbour of a snapshot
is the snapshot next to it in time, and the estimate is the logarithm of the distance diffused between snapshots: a
*path entropy*, whatever the distribution (docs: the diffusive trap). `SphereEntropy.path_entropy` says which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from empirics.measure.autocorrelation import integrated_time, memory, unbiased
from empirics.measure.families import gaussian_entropy, vmf_entropy
from empirics.measure.neighbours import Directions, Gram, autocovariance, nearest, possible_neighbours
from empirics.measure.on_device import DeviceGram, there, to_numpy
from empirics.measure.sphere import log_ball, log_cap_area

__all__ = ["SphereEntropy", "sphere_entropies", "sphere_entropy"]

FloatArray = NDArray[np.float64]
Method = Literal["flat", "cap", "gaussian", "vmf"]

#: Half-width of a 95 % interval in standard errors.
NORMAL = 1.959964

METHODS = ("flat", "cap", "gaussian", "vmf")


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
        Rows from each row to its k-th nearest neighbour, with sign.
    effective_sample_size : float
        Independent rows that the n rows are worth; 1 if the directions do not forget within them.
    path_entropy : bool
        Whether neighbours are typically closer in time than the correlation time (which is half the series if it
        cannot be told from it). Of "gaussian" and "vmf", which use no neighbours, it says the same of the samples.
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
    method: Method = "flat",
    theiler: int | Literal["auto"] = "auto",
    k: int = 1,
    directions: int | None = None,
) -> SphereEntropy:
    """Differential entropy of directions.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples in time order; rows of any norm, only their directions count.
    method : {"flat", "cap", "gaussian", "vmf"}
        "flat" and "cap": k-th nearest neighbours (Kozachenko and Leonenko 1987), with the flat ball of the chord's
        length, ``V_{d-1} e^{d-1}``, or the exact area of the cap of that angle. The cap has the smaller bias in
        absolute terms; the bias of the flat form hardly depends on how concentrated the directions are, so it is the
        one for slopes. "gaussian": a normal law in equal-area coordinates about the mean direction, its covariance
        shrunk where the samples are few. "vmf": the von Mises-Fisher law of the measured concentration. Both are the
        largest entropy that the measured moments allow.
    theiler : int or "auto"
        Leave out pairs this close in time, in rows (Theiler 1986); "auto" takes the lag at which the directions'
        autocorrelation falls below 0.05, 0 keeps all. "gaussian" has no pairs and corrects by the autocorrelation.
    k : int
        Which neighbour.
    directions : int, optional
        Dimension of what the directions lie on, if it is not all of the sphere: d - 1 by default. For "flat" alone.

    Returns
    -------
    SphereEntropy

    Raises
    ------
    ValueError
        If x is not a finite table of at least k + 1 rows and 2 columns without zero rows, if two rows are equal, if the
        window leaves a row without k neighbours, if the method is unknown, or if directions is not from 1 to d - 1 or
        given with another method than "flat".

    Notes
    -----
    *Neighbours*: ``S = mean_i [psi(n_i + 1) - psi(k) + log v(e_i)]`` with n_i the number of possible neighbours of row
    i. The bias is positive and falls like n^(-2/(d-1)): at d ~ 1,000 it is hundreds of nats whatever n. It is the same
    for rotated and rescaled samples. The interval comes from the jackknife: without row j, the rows that had it among
    their k neighbours take the next one. (The scatter of the terms alone makes it half as wide as it should be at d =
    1,000, where a few rows are neighbours of many.)

    *Families*: no bias that grows with the dimension if the directions belong to the family; else too large by the
    Kullback-Leibler divergence from it, however many samples there are. "gaussian" with fewer than 2 d effective rows
    and unequal spreads can be wrong in both ways: see :mod:`empirics.measure.families` and docs/validation.md.

    Memory beside x: some 500 MB at most, whatever n and d (`empirics.measure.neighbours`), and 8 n^2 bytes more for
    "gaussian". x is not copied if it is float32 or float64. Time: n^2 d/2 multiplications, twice that beyond n = 8,000.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> uniform = rng.standard_normal((4000, 3))
    >>> bool(abs(sphere_entropy(uniform, method="cap", theiler=0).value - np.log(4 * np.pi)) < 0.06)
    True
    """
    return sphere_entropies(x, method, (theiler,), k, directions)[0]


def sphere_entropies(
    x: ArrayLike,
    method: Method = "flat",
    theiler: Sequence[int | Literal["auto"]] = (0, "auto"),
    k: int = 1,
    directions: int | None = None,
) -> list[SphereEntropy]:
    """Differential entropy of directions with several windows, for little more than the price of one.

    Parameters
    ----------
    x, method, k, directions
        As for `sphere_entropy`, which says all the rest.
    theiler : sequence of int or "auto"
        One or more windows.

    Returns
    -------
    list of SphereEntropy
        One per window.

    Raises
    ------
    ValueError
        As `sphere_entropy` does.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> path = np.cumsum(rng.standard_normal((300, 20)), axis=0)
    >>> plain, apart = sphere_entropies(path)
    >>> plain.path_entropy, plain.theiler, apart.value == sphere_entropy(path).value
    (True, 0, True)
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    gram: Gram | DeviceGram = _gram(x, k, method)
    most = gram.rows.d - 1
    if directions is not None and (method != "flat" or not 1 <= directions <= most):
        raise ValueError(f'directions = {directions}: must be 1 to {most} with method "flat", else left out')
    d = (most if directions is None else directions) + 1
    covariance = autocovariance(gram) if isinstance(gram, Gram) else gram.autocovariance()
    return [_entropy(gram, covariance, d, method, window, k) for window in theiler]


def _gram(x: Any, k: int, method: Method) -> Gram | DeviceGram:
    """The directions where they are: on a card neighbours are looked for there; families of densities take arrays."""
    if there(x) and method in _VOLUMES:
        return DeviceGram(x, k)
    return Gram(_directions(to_numpy(x), k))


def _entropy(
    gram: Gram | DeviceGram, covariance: FloatArray, d: int, method: Method, theiler: int | Literal["auto"], k: int
) -> SphereEntropy:
    """Entropy with one window, of directions on a sphere in d dimensions."""
    n = gram.rows.n
    # Rows that are all the same never forget.
    correlation = covariance / covariance[0] if covariance[0] > 0 else np.ones(n)
    window = _window(theiler, correlation, n, k)
    time = integrated_time(correlation, rows=n)
    neighbours, distance = nearest(gram, window, k) if isinstance(gram, Gram) else gram.nearest(window, k)
    if method == "gaussian" and isinstance(gram, Gram):
        value, error = gaussian_entropy(gram, correlation, time)
    elif method == "vmf" and isinstance(gram, Gram):
        value, error = vmf_entropy(gram, covariance, window, time)
    else:
        value, error = _by_neighbours(neighbours, distance, d, method, window, k)
        error /= np.sqrt(n / time)
    lags = neighbours[:, k - 1] - np.arange(n)
    return SphereEntropy(
        value=value,
        low=value - NORMAL * error,
        high=value + NORMAL * error,
        lags=lags,
        effective_sample_size=n / time,
        path_entropy=bool(np.median(np.abs(lags)) < max(memory(unbiased(correlation, time), np.exp(-1)), 1.5)),
        theiler=window,
    )


def _directions(x: ArrayLike, k: int) -> Directions:
    """Rows and their norms, checked block by block."""
    rows = np.asarray(x)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or k < 1 or rows.shape[0] < k + 1 or rows.shape[1] < 2:
        raise ValueError(f"x must have shape (n, d) with n > k = {k} >= 1 and d >= 2, got {rows.shape}")
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1)).astype(np.float64)
    if not np.isfinite(largest).all():
        raise ValueError(f"x must be finite; row {int(np.argmin(np.isfinite(largest)))} is not")
    if not largest.all():
        raise ValueError(f"row {int(np.argmin(largest))} of x is zero and has no direction")
    return Directions(rows, largest)


def _window(theiler: int | Literal["auto"], correlation: FloatArray, n: int, k: int) -> int:
    """Rows on either side that are left out."""
    if theiler == "auto":
        return min(memory(correlation) - 1, (n - 1 - k) // 2)
    if isinstance(theiler, bool) or not isinstance(theiler, int | np.integer) or theiler < 0:
        raise ValueError(f'theiler must be "auto" or a number of rows, got {theiler!r}')
    if possible_neighbours(n, int(theiler)).min() < k:
        raise ValueError(f"theiler = {theiler} leaves some of {n} rows without {k} neighbours")
    return int(theiler)


def _by_neighbours(
    neighbours: NDArray[np.int64], distance: FloatArray, d: int, method: str, window: int, k: int
) -> tuple[float, float]:
    """Mean of the neighbour terms, and the scatter of what one row adds to it."""
    n = len(distance)
    if not distance[:, 0].all():
        row = int(np.argmin(distance[:, 0]))
        raise ValueError(
            f"rows {row} and {neighbours[row, 0]} of x have the same direction: a density cannot be estimated"
        )
    volume = _VOLUMES[method](distance, d)
    terms = digamma(possible_neighbours(n, window) + 1) - digamma(k) + volume[:, k - 1]
    return float(terms.mean()), float(np.std(_influence(terms, volume, neighbours, k), ddof=1))


def _influence(terms: FloatArray, volume: FloatArray, neighbours: NDArray[np.int64], k: int) -> FloatArray:
    """What each row adds to the sum: its own term, less what the rows lose that have it among their k neighbours."""
    if volume.shape[1] == k:
        return terms
    loss = np.repeat(volume[:, k] - volume[:, k - 1], k)
    return np.asarray(terms - np.bincount(neighbours[:, :k].ravel(), loss, len(terms)))


def _flat_volume(distance: FloatArray, d: int) -> FloatArray:
    """Logarithm of the volume of the flat ball."""
    return np.asarray(log_ball(d - 1) + (d - 1) * np.log(distance))


def _cap_volume(distance: FloatArray, d: int) -> FloatArray:
    """Logarithm of the part of the sphere nearer than the neighbour."""
    return log_cap_area(2 * np.arcsin(np.minimum(distance / 2, 1.0)), d)


_VOLUMES: dict[str, Callable[[FloatArray, int], FloatArray]] = {"flat": _flat_volume, "cap": _cap_volume}
