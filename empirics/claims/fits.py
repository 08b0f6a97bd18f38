"""Linear fits over runs, with intervals that take the scatter between runs as their error.

Steps of a run are no replicates; runs are. So the error of a slope is read off how the runs scatter about the fit,
with a heteroscedasticity-consistent covariance (HC3: MacKinnon and White 1985) and Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline
from scipy.stats import t as student

__all__ = ["Estimate", "fit", "mean_of", "quadratic", "spline_basis", "within_orbits"]

FloatArray = NDArray[np.float64]

#: Values of log(lr weight_decay) closer than this are one symmetry orbit.
SAME_ORBIT = 1e-6

#: At most this many free parameters for an unknown function of log(lr weight_decay).
SPLINE_PARAMETERS = 7


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def fit(design: FloatArray, values: ArrayLike, combination: ArrayLike) -> Estimate:
    """Least squares, and a linear combination of the coefficients with its interval.

    Parameters
    ----------
    design : numpy.ndarray, shape (runs, coefficients)
        One row a run.
    values : array_like, shape (runs,)
        What is fitted.
    combination : array_like, shape (coefficients,)
        Weights of the coefficients.

    Returns
    -------
    Estimate
        NaN interval if there are no runs to spare.

    Examples
    --------
    >>> x = np.arange(6.0)
    >>> print(fit(np.c_[np.ones(6), x], 1 + 2 * x, [0, 1]))
    2.000 [2.000, 2.000]
    """
    y, weights = np.asarray(values, dtype=float), np.asarray(combination, dtype=float)
    if not len(y):
        return Estimate(np.nan, np.nan, np.nan)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    value, freedom = float(weights @ coefficients), len(y) - int(np.linalg.matrix_rank(design))
    if freedom < 1:
        return Estimate(value, np.nan, np.nan)
    inverse = np.linalg.pinv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    # A run that the fit goes through whatever its value says nothing about the scatter.
    scaled = (y - design @ coefficients) / np.maximum(1 - leverage, 1e-3)
    spread = inverse @ (design.T * scaled**2) @ design @ inverse
    half = float(student.ppf(0.975, freedom) * np.sqrt(weights @ spread @ weights))
    return Estimate(value, value - half, value + half)


def mean_of(values: ArrayLike) -> Estimate:
    """Mean over runs with its t interval.

    Examples
    --------
    >>> print(mean_of([1.0, 2.0, 3.0]))
    2.000 [-0.484, 4.484]
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 2:
        return Estimate(float(y.mean()) if len(y) else np.nan, np.nan, np.nan)
    half = float(student.ppf(0.975, len(y) - 1) * y.std(ddof=1) / np.sqrt(len(y)))
    return Estimate(float(y.mean()), float(y.mean()) - half, float(y.mean()) + half)


def quadratic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Design of a full quadratic in two variables, centred: 1, x, y, x^2, x y, y^2."""
    u, v = (z - z.mean() if len(z) else z for z in (x, y))
    return np.c_[np.ones_like(u), u, v, u**2, u * v, v**2]


def spline_basis(z: FloatArray) -> FloatArray:
    """Design of an unknown smooth function of one variable: cubic B-splines, constant included.

    As many parameters as half the distinct values allow, at most `SPLINE_PARAMETERS`; a polynomial of low degree where
    there are too few for a cubic spline.
    """
    if not len(z):
        return np.empty((0, 1))
    levels = len(np.unique(np.round(z / SAME_ORBIT)))
    parameters = min(SPLINE_PARAMETERS, max(levels // 2, 1))
    degree = min(3, parameters - 1)
    low, high = z.min(), z.max()
    if degree < 1:
        return np.ones((len(z), 1))
    inner = np.quantile(np.unique(z), np.linspace(0, 1, parameters - degree + 1))[1:-1]
    knots = np.r_[[low] * (degree + 1), inner, [high] * (degree + 1)]
    return np.asarray(BSpline.design_matrix(np.clip(z, low, high), knots, degree).toarray())


def within_orbits(z: FloatArray, slope_of: FloatArray, values: FloatArray) -> Estimate:
    """Slope of values in a variable, from differences between runs with equal z alone.

    Parameters
    ----------
    z : numpy.ndarray, shape (runs,)
        What is equal along an orbit, log(lr weight_decay).
    slope_of : numpy.ndarray, shape (runs,)
        The variable that changes along it.
    values : numpy.ndarray, shape (runs,)
        What is fitted.

    Returns
    -------
    Estimate
        NaN if no orbit has two runs. One regression with a mean for each orbit: pairs that share a run are not counted
        as independent.
    """
    orbit = np.round(z / SAME_ORBIT)
    _, members = np.unique(orbit, return_inverse=True)
    counts = np.bincount(members)
    inside = counts[members] > 1
    if not inside.any():
        return Estimate(np.nan, np.nan, np.nan)

    design = np.c_[(members[inside, None] == np.flatnonzero(counts > 1)[None]).astype(float), slope_of[inside]]
    return fit(design, values[inside], np.r_[np.zeros((counts > 1).sum()), 1.0])
