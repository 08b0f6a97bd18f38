"""How well the norm balances of runs are known: the error of each, and what runs at similar rates have in common.

A run whose balance is known to 2 % cannot by itself be distinguished from one that drifts by as much; a grid of such
runs can.
Drift varies smoothly with the rates, errors do not. So the scatter about a smooth surface is the error of a run that
states none, and the surface is known better than any run on it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from empirics.claims.fits import quadratic
from empirics.measure.stationarity import SIGNIFICANT

__all__ = ["precision"]

FloatArray = NDArray[np.float64]

#: Fewest runs for a plane, and for a quadratic surface, from which scatter is estimated.
FEWEST_FOR_PLANE, FEWEST_FOR_QUADRATIC = 8, 12

#: Rounds of reweighting that bring a least-squares surface to the one of least absolute residuals.
ROUNDS = 30


def precision(rates: FloatArray, balances: FloatArray, stated: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors of norm balances, and their smooth part with its errors.

    Parameters
    ----------
    rates : numpy.ndarray, shape (runs, 2)
        Logarithms of what is set in each run.
    balances : numpy.ndarray, shape (runs,)
        Norm balances, 1 in stationary runs; NaN where there is none.
    stated : numpy.ndarray, shape (runs,)
        Their standard errors as far as they are known; NaN where not.

    Returns
    -------
    errors : numpy.ndarray, shape (runs,)
        The stated ones, else the scatter of all about a smooth surface; 0 where there are too few runs to tell.
    shared, shared_errors : numpy.ndarray, shape (runs,)
        The smooth part of the balance, and its standard error; those of the run alone where there are too few.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rates = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), axis=-1).reshape(-1, 2)
    >>> errors, shared, of_shared = precision(rates, 1.05 + 0.02 * rng.standard_normal(49), np.full(49, np.nan))
    >>> bool(abs(errors[0] - 0.02) < 0.006), bool(abs(shared[24] - 1.05) < 0.02), bool(of_shared[24] < errors[0] / 2)
    (True, True, True)
    """
    there = np.isfinite(balances) & np.isfinite(rates).all(axis=1)
    errors = np.where(np.isfinite(stated), stated, 0.0)
    if not np.isfinite(stated[there]).all() and there.sum() >= FEWEST_FOR_PLANE:
        errors = np.where(np.isfinite(stated), stated, _scatter(_surface(rates[there]), balances[there]))
    shared, shared_errors = balances.copy(), errors.copy()
    # A run that is off by itself is not made to look better, nor its neighbours worse.
    members = there & (np.abs(balances - 1) <= SIGNIFICANT * errors) & (errors > 0)
    if members.sum() >= FEWEST_FOR_PLANE:
        design = _surface(rates[members]) / errors[members, None]
        surface, inverse = _surface(rates[members]), np.linalg.pinv(design)
        shared[members] = surface @ (inverse @ (balances[members] / errors[members]))
        # The norms of the rows of surface @ inverse, which has a column for every run.
        shared_errors[members] = np.linalg.norm(surface @ np.linalg.qr(inverse.T)[1].T, axis=1)
    return errors, shared, shared_errors


def _surface(rates: FloatArray) -> FloatArray:
    """Design of a smooth surface: a plane, or a quadratic surface where there are runs for it."""
    design = quadratic(*rates.T)
    return design if len(rates) >= FEWEST_FOR_QUADRATIC else design[:, :3]


def _scatter(design: FloatArray, values: FloatArray) -> float:
    """Standard deviation about a surface that a few values far off, whatever their cause, do not move."""
    weights = np.ones(len(values))
    for _ in range(ROUNDS):
        coefficients, *_ = np.linalg.lstsq(design * weights[:, None], values * weights, rcond=None)
        size = np.abs(values - design @ coefficients)
        weights = 1 / np.sqrt(np.maximum(size, 1e-6 * size.max() + np.finfo(float).tiny))
    free = np.linalg.matrix_rank(design)
    # A surface of least absolute residuals goes through as many values as it has coefficients.
    rough = np.median(np.sort(size)[free:]) / 0.6745 if len(size) > free else 0.0
    inside = size <= SIGNIFICANT * rough
    if inside.sum() <= free:
        return float(rough)
    coefficients, _, rank, _ = np.linalg.lstsq(design[inside], values[inside], rcond=None)
    residual = values[inside] - design[inside] @ coefficients
    return float(np.sqrt((residual**2).sum() / max(inside.sum() - rank, 1)))
