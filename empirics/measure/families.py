"""Entropy of directions within a family of densities: von Mises-Fisher, and normal in equal-area coordinates.

Each is the law of largest entropy among those with the same moments: with moments well measured neither is too small,
and how much too large it is no number of samples shows. A path that does not forget has moments of its own.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from empirics.measure.neighbours import Gram
from empirics.measure.sphere import log_ball, log_cap_area, log_sphere_area

__all__ = ["gaussian_entropy", "vmf_entropy", "vmf_of_gap"]

FloatArray = NDArray[np.float64]

#: Nodes of the quadrature, and widths of the peak on either side that are integrated over.
NODES, WIDTHS = 200, 12.0

#: Degrees of freedom per dimension from which the covariance is taken as measured, with the bias of its logarithmic
#: determinant taken off; it is shrunk below.
ENOUGH = 2.0


# ------------------------------------------------------------------------------------------------ von Mises-Fisher
def vmf_entropy(gram: Gram, covariance: FloatArray, window: int, time: float) -> tuple[float, float]:
    """Entropy and standard error of the von Mises-Fisher law with the measured concentration.

    Parameters
    ----------
    gram : Gram
        Of the n rows.
    covariance : numpy.ndarray, shape (n,)
        Their autocovariance.
    window : int
        Pairs with at most this lag do not count.
    time : float
        Integrated autocorrelation time of the rows.

    Returns
    -------
    value, error : float
        In nats.

    Raises
    ------
    ValueError
        If all rows have the same direction.

    Notes
    -----
    The squared length of the mean direction is the mean inner product of two independent rows, ``A^2 = 1 -
    |u_i - u_j|^2/2`` over all pairs further apart than the window: without the bias that the length of the mean of n
    rows has. In a picture: the plateau that the distance reaches with growing lag. The entropy falls by kappa for each
    unit of A, and A scatters as the cosines with the mean direction do.
    """
    n = gram.rows.n
    squares = gram.unit * gram.squares
    pairs = np.arange(n - 1, 0, -1)[window:]  # at lags window + 1, ..., n - 1
    ahead, behind = np.cumsum(squares), np.cumsum(squares[::-1])
    single = (ahead + behind)[: n - 1 - window][::-1]  # sum over the pairs at a lag of both rows' squares
    half_square = float((single / 2 - pairs * covariance[window + 1 :]).sum() / pairs.sum())
    if half_square <= 0:
        raise ValueError("all rows of x have the same direction: a density cannot be estimated")
    length = np.sqrt(max(1 - half_square, 0.0))
    value, kappa = vmf_of_gap(half_square / (1 + length), gram.rows.d)
    cosines = _cosines(gram)
    return value, float(kappa * cosines.std(ddof=1) / np.sqrt(n / time))


def vmf_of_gap(gap: float, d: int) -> tuple[float, float]:
    """Entropy and concentration of the von Mises-Fisher law whose mean direction has the length 1 - gap.

    Parameters
    ----------
    gap : float
        One less the length, above 0; from 1 on the law is uniform.
    d : int
        Dimension of the space.

    Returns
    -------
    entropy, kappa : float
        In nats, and without unit.

    Examples
    --------
    In three dimensions the length is coth(kappa) - 1/kappa and the entropy has a closed form:

    >>> entropy, kappa = vmf_of_gap(1 - (1 / np.tanh(5) - 1 / 5), 3)
    >>> round(kappa, 9), bool(np.isclose(entropy, np.log(4 * np.pi * np.sinh(5) / 5) - 5 / np.tanh(5) + 1))
    (5.0, True)
    """
    if gap >= 1:
        return log_sphere_area(d), 0.0
    guess = np.log((d - 1) / (2 * gap))
    from scipy.optimize import brentq

    log_kappa = brentq(lambda t: np.log(_vmf(np.exp(t), d)[1] / gap), guess - 60, guess + 5, xtol=1e-14, rtol=1e-14)
    kappa = float(np.exp(log_kappa))
    log_partition, mean_gap = _vmf(kappa, d)
    return log_partition + kappa * mean_gap, kappa


@cache
def _nodes() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of Gauss and Legendre, found once: that takes longer than an integral."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _vmf(kappa: float, d: int) -> tuple[float, float]:
    """Logarithm of the integral of exp(kappa (cos - 1)) over the sphere, and the mean of 1 - cos.

    One integral over the angle, by Gauss and Legendre about the peak of the integrand; Bessel functions underflow.
    """
    m = d - 1
    cosine = 2 * kappa / ((m - 1) + np.hypot(m - 1, 2 * kappa))
    sine_sq = (m - 1) * cosine / kappa
    peak = np.arctan2(np.sqrt(sine_sq), cosine)
    width = 1 / np.sqrt(kappa * cosine + ((m - 1) / sine_sq if m > 1 else 0.0))
    low, high = max(0.0, peak - WIDTHS * width), min(np.pi, peak + WIDTHS * width)
    nodes, weights = _nodes()
    angle = low + (high - low) / 2 * (nodes + 1)
    gap = 2 * np.sin(angle / 2) ** 2
    exponent = -kappa * gap + (m - 1) * np.log(np.sin(angle))
    top = exponent.max()
    density = weights * np.exp(exponent - top)
    total = density.sum()
    log_integral = top + np.log(total * (high - low) / 2)
    return log_sphere_area(d - 1) + float(log_integral), float(density @ gap / total)


# ------------------------------------------------------------------------------------------------ normal
def gaussian_entropy(gram: Gram, correlation: FloatArray, time: float) -> tuple[float, float]:
    """Entropy and standard error of the normal law in equal-area coordinates about the mean direction.

    Parameters
    ----------
    gram : Gram
        Of the n rows.
    correlation : numpy.ndarray, shape (n,)
        Their autocorrelation.
    time : float
        Its integrated time.

    Returns
    -------
    value, error : float
        In nats; the value is never above the logarithm of the sphere's area.

    Raises
    ------
    ValueError
        If all rows have the same direction.

    Notes
    -----
    The coordinates keep areas, so the entropy in them is that on the sphere. With m = d - 1 and f degrees of freedom,
    n over ``1 + 2 sum correlation^2``: from f = 2 m on, ``log det`` of the sample covariance less its bias for normal
    samples, ``sum_i psi((f + 1 - i)/2) - m log(f/2)``; below, the covariance is shrunk towards its mean eigenvalue by
    the oracle-approximating rule (Chen, Wiesel, Eldar and Hero 2010).

    Bias: none to speak of from f = 2 m on, and none below where all eigenvalues are alike. Where they differ and f < 2
    m it can be of either sign and some tenths of a nat per dimension, and it changes with f: not for slopes then
    (docs/validation.md), and the interval does not know of it.
    """
    n, m = gram.rows.n, gram.rows.d - 1
    spectrum = _spectrum(gram)
    if spectrum.sum() <= 0:
        raise ValueError("all rows of x have the same direction: a density cannot be estimated")
    spectrum = spectrum / (n * max(1 - time / n, 1 / n))
    squared_time = 1 + 2 * float((_until_noise(correlation, time) ** 2).sum())
    freedom = max(n / squared_time - 1, 1.0)
    if freedom >= ENOUGH * m and len(spectrum) >= m and (spectrum[:m] > 0).all():
        halves = (freedom + 1 - np.arange(1, m + 1)) / 2
        log_det = float(np.log(spectrum[:m]).sum() - (digamma(halves) - np.log(freedom / 2)).sum())
        error = 0.5 * np.sqrt(polygamma(1, halves).sum())
    else:
        log_det, error = _shrunk_log_det(spectrum, m, freedom), _error_of_trace(spectrum, m, freedom)
    value = 0.5 * (m * np.log(2 * np.pi * np.e) + log_det)
    return min(float(value), log_sphere_area(m + 1)), float(error)


def _error_of_trace(spectrum: FloatArray, m: int, freedom: float) -> float:
    """Error of m/2 times the logarithm of the trace, which is what a shrunk determinant mostly rests on.

    ``(m/2) (2/(f rank))^(1/2)`` with the effective rank of the covariance, freed of what f samples add to it.
    """
    inverse_rank = max((spectrum**2).sum() / spectrum.sum() ** 2 - 1 / freedom, 1 / m)
    return float(m / 2 * np.sqrt(2 * inverse_rank / freedom))


def _cosines(gram: Gram) -> FloatArray:
    """Cosine of each row with the mean direction."""
    rows = gram.rows
    mean = rows.mean / np.linalg.norm(rows.mean)
    return np.concatenate([rows[block] @ mean for block in rows.blocks()])


def _spectrum(gram: Gram) -> FloatArray:
    """Eigenvalues of the centred sums of squares in equal-area coordinates, the largest first, shape (n,).

    With u the rows, c their cosines with the mean direction and R its length, the tangential parts have inner products
    ``G_ij - (c_i - R)(c_j - R)``, G the centred Gram matrix; no coordinates are needed.
    """
    matrix = gram.unit * gram.whole()
    shifted = _cosines(gram) - np.linalg.norm(gram.rows.mean)
    matrix -= np.outer(shifted, shifted)
    squares = np.diagonal(matrix) + 0.0
    sine = np.sqrt(np.clip(squares, 0.0, 1.0))
    angle = np.where(shifted + np.linalg.norm(gram.rows.mean) > 0, np.arcsin(sine), np.pi - np.arcsin(sine))
    stretch = np.ones_like(sine)
    off = sine > 0
    stretch[off] = _equal_area_radius(angle[off], gram.rows.d) / sine[off]
    matrix *= np.outer(stretch, stretch)
    matrix -= matrix.mean(axis=0)
    matrix -= matrix.mean(axis=1)[:, None]
    return np.maximum(np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1], 0.0)


def _equal_area_radius(angle: FloatArray, d: int) -> FloatArray:
    """Radius of the flat ball that is as large as the cap of an angle."""
    return np.exp((log_cap_area(angle, d) - log_ball(d - 1)) / (d - 1))


def _until_noise(correlation: FloatArray, time: float) -> FloatArray:
    """Correlations at lags 1, 2, ... up to five times the integrated time; what lies beyond is noise."""
    return correlation[1 : int(np.ceil(5 * time)) + 1]


def _shrunk_log_det(spectrum: FloatArray, m: int, freedom: float) -> float:
    """Logarithm of the determinant of the covariance, shrunk towards a multiple of the unit matrix."""
    spectrum = spectrum[: min(len(spectrum), m)]
    trace, square = spectrum.sum(), (spectrum**2).sum()
    excess = (freedom + 1 - 2 / m) * (square - trace**2 / m)
    weight = min(((1 - 2 / m) * square + trace**2) / excess, 1.0) if excess > 0 else 1.0
    inside = np.log((1 - weight) * spectrum + weight * trace / m).sum()
    return float(inside + (m - len(spectrum)) * np.log(weight * trace / m))
