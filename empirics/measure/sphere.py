"""Volumes in high dimension, as logarithms: balls, spheres and caps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

__all__ = ["log_ball", "log_cap_area", "log_sphere_area"]


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
    positive, so no digit is lost in any dimension. Beyond pi/2 the rest of the sphere is subtracted.

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
    # At pi/2 the series diverges as its factor cos goes to 0; there the integral is a beta function.
    squared = np.sin(angle) ** 2
    term, total = np.ones_like(angle), np.ones_like(angle)
    for j in range(1, 200_000):
        term = term * squared * ((m + 2 * j - 1) / (m + 2 * j))
        total += term
        if np.all(term <= 1e-16 * total * (1 - squared + 1e-6)):
            break
    right = np.isclose(angle, np.pi / 2, rtol=0, atol=1e-9)
    with np.errstate(divide="ignore"):
        series = m * np.log(np.sin(angle)) + np.log(np.cos(angle)) - np.log(m) + np.log(total)
    half = 0.5 * np.log(np.pi) + gammaln(m / 2) - gammaln((m + 1) / 2) - np.log(2)
    return np.where(right, half, np.minimum(series, half))
