"""Volumes in high dimension, as logarithms: balls, spheres and caps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, gammaln

__all__ = ["log_ball", "log_cap_area", "log_sphere_area"]

#: Where the incomplete beta function is below this, its logarithm is summed as a series instead.
UNDERFLOW = 1e-280


def log_ball(m: int) -> float:
    """Logarithm of the volume of the unit ball in m dimensions.

    >>> round(float(np.exp(log_ball(3))), 6)  # 4 pi/3
    4.18879
    """
    return float(m / 2 * np.log(np.pi) - gammaln(m / 2 + 1))


def log_sphere_area(d: int) -> float:
    """Logarithm of the area of the unit sphere in R^d.

    >>> round(float(np.exp(log_sphere_area(3))), 6)  # 4 pi
    12.566371
    """
    return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2))


def log_cap_area(angle: ArrayLike, d: int) -> NDArray[np.float64]:
    """Logarithm of the area of a cap of the unit sphere in R^d.

    Parameters
    ----------
    angle : array_like
        Angular radius of the cap, from 0 to pi.
    d : int
        Dimension of the space, at least 2.

    Returns
    -------
    numpy.ndarray

    Notes
    -----
    With m = d - 1 and x = sin^2(angle), the integral of sin^(m-1) from 0 to the angle is
    ``sin^m(angle) cos(angle)/m * sum_j prod_{i<=j} (m + 2i - 1)/(m + 2i) x^j`` (DLMF 8.17.8 and 15.8.1): all terms are
    positive, so no digit is lost in any dimension. It converges slowly near pi/2: wherever the regularised incomplete
    beta function ``I_x(m/2, 1/2)`` does not underflow, that is taken. Beyond pi/2 the rest of the sphere is subtracted.

    Examples
    --------
    >>> float(np.exp(log_cap_area(1.0, 3)) / (2 * np.pi * (1 - np.cos(1.0)))).__round__(12)
    1.0
    """
    angles = np.atleast_1d(np.asarray(angle, dtype=float))
    beyond = angles > np.pi / 2
    small = np.where(beyond, np.pi - angles, angles)
    whole = log_sphere_area(d)
    with np.errstate(divide="ignore"):
        area = log_sphere_area(d - 1) + _log_sine_integral(small, d - 1) if d > 2 else np.log(2 * small)
        result = np.where(beyond, whole + np.log1p(-np.exp(np.minimum(area - whole, 0.0))), area)
    return np.asarray(result.reshape(np.shape(angle)))


def _log_sine_integral(angle: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Logarithm of the integral of sin^(m-1) from 0 to an angle of at most pi/2."""
    squared = np.sin(angle) ** 2
    beyond = betainc(0.5, m / 2, np.cos(angle) ** 2)  # near pi/2 the cosine still tells angles apart
    share = np.where(beyond < 0.5, 1 - beyond, betainc(m / 2, 0.5, squared))
    half = 0.5 * np.log(np.pi) + gammaln(m / 2) - gammaln((m + 1) / 2) - np.log(2)
    tiny = share < UNDERFLOW
    result = half + np.log(np.where(tiny, 1.0, share))
    if tiny.any():
        result[tiny] = _log_sine_series(angle[tiny], squared[tiny], m)
    return np.asarray(result)


def _log_sine_series(angle: NDArray[np.float64], squared: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Sum the series; where the incomplete beta function underflows, 1 - x > 1,000/m, so that it converges."""
    term, total, j = np.ones_like(angle), np.ones_like(angle), 0
    while np.any(term > 1e-17 * total * (1 - squared)):
        j += 1
        term = term * squared * ((m + 2 * j - 1) / (m + 2 * j))
        total += term
    with np.errstate(divide="ignore"):  # a cap of angle 0 has no area
        return m * np.log(np.sin(angle)) + np.log(np.cos(angle)) - np.log(m) + np.log(total)
