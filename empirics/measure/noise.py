"""Gradient noise and curvature on plain arrays: noise, signal, effective rank, configurational temperature, rotation.

Matrices as large as the network are never made: a Hessian or a covariance is a function that multiplies a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.rounding import ROUNDING, quotient, scale_of

__all__ = [
    "GradientNoise",
    "MonteCarloEstimate",
    "angular_update",
    "configurational_temperature",
    "covariance_product",
    "effective_rank",
    "gradient_noise",
    "hessian_noise",
    "hutchinson_trace",
    "sphere_laplacian",
]

FloatArray = NDArray[np.float64]
Product = Callable[[FloatArray], ArrayLike]


@dataclass(frozen=True)
class MonteCarloEstimate:
    """A number and its standard error, NaN where that is not known."""

    value: float
    error: float


@dataclass(frozen=True)
class GradientNoise:
    """What minibatch gradients at one place say.

    Attributes
    ----------
    mean_sq : float
        ``|grad L|^2``, without bias; it can be negative where noise outweighs it.
    variance : float
        ``tr Sigma``, the trace of the covariance of a minibatch gradient, without bias.
    second_moment : float
        ``E|g|^2``, their sum.
    snr : float
        Signal-to-noise ratio ``|grad L|^2/tr Sigma``; infinite where there is no noise beyond rounding.
    """

    mean_sq: float
    variance: float
    second_moment: float
    snr: float


def _mean(forms: FloatArray) -> MonteCarloEstimate:
    """Mean of independent numbers and its standard error, NaN from one."""
    scale = scale_of(forms)
    error = (forms / scale).std(ddof=1) / np.sqrt(len(forms)) * scale if len(forms) > 1 else np.nan
    return MonteCarloEstimate(float((forms / scale).mean() * scale), float(error))


def _rows(values: ArrayLike, name: str, least: int) -> FloatArray:
    """Check and return rows of vectors."""
    rows = np.asarray(values, dtype=float)
    if rows.ndim != 2 or len(rows) < least:
        raise ValueError(f"{name} must have shape (n, d) with n of at least {least}, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite; row {int(np.argmin(np.isfinite(rows).all(axis=1)))} is not")
    return rows


def gradient_noise(gradients: ArrayLike) -> GradientNoise:
    """Noise and signal from gradients of independent minibatches at the same weights.

    Parameters
    ----------
    gradients : array_like, shape (n, d)
        One minibatch per row, n of at least 2.

    Returns
    -------
    GradientNoise

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Notes
    -----
    ``|grad L|^2`` is the inner product of the means of two independent halves, averaged over all ways to halve:
    ``(|sum g|^2 - sum |g|^2)/(n (n - 1))``. The squared length of one mean would be too large by ``tr Sigma/n``, which
    at a signal-to-noise ratio of 1 % and n = 100 is as large as what is measured. The mean and tr Sigma have no bias;
    their ratio has one of relative order 1/n. With BatchNorm "grad L" is the mean of minibatch gradients: the loss of
    the whole data set is another function.

    Examples
    --------
    >>> gradient_noise([[1.0, 1.0], [1.0, -1.0]])
    GradientNoise(mean_sq=0.0, variance=2.0, second_moment=2.0, snr=0.0)
    """
    g = _rows(gradients, "gradients", 2)
    n, scale = len(g), scale_of(g)
    g = g / scale
    squares = (g**2).sum()
    mean_sq = float(((g.sum(axis=0) ** 2).sum() - squares) / (n * (n - 1)))
    second = float(squares / n)
    variance = second - mean_sq
    # Of gradients that are all the same, rounding leaves a variance of either sign.
    snr = mean_sq / variance if variance > ROUNDING * second else np.inf
    with np.errstate(over="ignore"):
        mean_sq, variance, second = (np.array([mean_sq, variance, second]) * scale * scale).tolist()
    return GradientNoise(mean_sq, variance, second, snr)


def covariance_product(gradients: ArrayLike) -> Product:
    """Return the covariance of gradients as a function that multiplies a vector.

    Parameters
    ----------
    gradients : array_like, shape (n, d)
        One minibatch per row, n of at least 2.

    Returns
    -------
    callable
        ``v -> C v``, C the unbiased sample covariance, without making it: 2 n d multiplications.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Examples
    --------
    >>> covariance_product([[1.0, 0.0], [-1.0, 0.0]])(np.array([3.0, 4.0]))
    array([6., 0.])
    """
    g = _rows(gradients, "gradients", 2)
    centred = g - g.mean(axis=0)
    return lambda v: centred.T @ (centred @ v) / (len(centred) - 1)


def _probes(dimension: int, probes: int, rng: np.random.Generator | int | None) -> FloatArray:
    """Random signs, shape (probes, dimension)."""
    if probes < 2:
        raise ValueError(f"at least 2 probes are needed for an error, got {probes}")
    return np.random.default_rng(rng).choice([-1.0, 1.0], size=(probes, dimension))


def _at_unit_scale(products: Sequence[ArrayLike]) -> FloatArray:
    """Products with one matrix, over a power of two that brings their squares into range."""
    found = np.array(products, dtype=float)
    return found / scale_of(found)


def hutchinson_trace(
    product: Product, dimension: int, probes: int = 16, rng: np.random.Generator | int | None = None
) -> MonteCarloEstimate:
    """Trace of a symmetric matrix from its products with random signs (Hutchinson 1989).

    Parameters
    ----------
    product : callable
        ``v -> A v``.
    dimension : int
        Length of the vectors.
    probes : int
        How many products, at least 2.
    rng : numpy.random.Generator or int, optional
        Generator, or a seed for a new one.

    Returns
    -------
    Estimate
        Without bias; the variance of one probe is twice the sum of squares off the diagonal.

    Raises
    ------
    ValueError
        If there are fewer than 2 probes.

    Examples
    --------
    >>> hutchinson_trace(lambda v: np.array([1.0, 2.0, 3.0]) * v, 3, rng=0)  # diagonal: exact
    MonteCarloEstimate(value=6.0, error=0.0)
    """
    return _mean(np.array([v @ np.asarray(product(v)) for v in _probes(dimension, probes, rng)]))


def effective_rank(
    product: Product,
    dimension: int,
    probes: int = 16,
    rng: np.random.Generator | int | None = None,
    *,
    second: Product | None = None,
) -> MonteCarloEstimate:
    """Effective rank ``(tr Sigma)^2/tr(Sigma^2)`` (participation ratio) from a few products with random signs.

    Parameters
    ----------
    product : callable
        ``v -> Sigma v``.
    dimension : int
        Length of the vectors.
    probes : int
        How many, at least 2.
    rng : numpy.random.Generator or int, optional
        Generator, or a seed for a new one.
    second : callable, optional
        Another estimate of Sigma, independent of the first. Give it where Sigma itself is estimated from n gradients:
        with one estimate ``tr(Sigma^2)`` is too large by ``(tr Sigma)^2/n``, and the rank cannot exceed n.

    Returns
    -------
    Estimate
        The error is that of the probes (jackknife), not of the gradients behind the products; NaN for a matrix of 0.

    Raises
    ------
    ValueError
        If there are fewer than 2 probes.

    Notes
    -----
    ``tr Sigma = E v.Sigma v`` and ``tr(Sigma^2) = E Sigma v.Sigma' v``; the square of the mean form is freed of its
    variance. Bias of the ratio: relative order 1/probes times the relative variance of a probe, which is small for
    large ranks.

    Examples
    --------
    >>> effective_rank(lambda v: v, 50, rng=0).value
    50.0
    """
    vectors = _probes(dimension, probes, rng)
    ones = _at_unit_scale([product(v) for v in vectors])
    others = ones if second is None else _at_unit_scale([second(v) for v in vectors])
    first_forms = np.array([v @ a for v, a in zip(vectors, ones, strict=True)])
    second_forms = np.array([v @ b for v, b in zip(vectors, others, strict=True)])
    squares = np.array([a @ b for a, b in zip(ones, others, strict=True)])

    def ratio(keep: NDArray[np.bool_]) -> float:
        a, b, n = first_forms[keep], second_forms[keep], keep.sum()
        # Products of different probes alone: the mean form squared, without its variance.
        cross = (a.sum() * b.sum() - a @ b) / (n * (n - 1)) if n > 1 else a[0] * b[0]
        return float(quotient(cross, squares[keep].mean()))

    everybody = np.ones(probes, dtype=bool)
    left_out = np.array([ratio(everybody & (np.arange(probes) != i)) for i in range(probes)])
    error = np.sqrt((probes - 1) / probes * ((left_out - left_out.mean()) ** 2).sum())
    return MonteCarloEstimate(ratio(everybody), float(error))


def sphere_laplacian(
    hessian_product: Product,
    weights: ArrayLike,
    gradient: ArrayLike,
    probes: int = 16,
    rng: np.random.Generator | int | None = None,
) -> MonteCarloEstimate:
    """Laplace-Beltrami operator of the loss on the unit sphere, at the direction of the weights.

    Parameters
    ----------
    hessian_product : callable
        ``v -> H v``, H the Hessian at the weights as they are.
    weights : array_like, shape (d,)
        The weights w, of any norm.
    gradient : array_like, shape (d,)
        The gradient there.
    probes : int
        How many Hessian products, at least 2.
    rng : numpy.random.Generator or int, optional
        Generator, or a seed for a new one.

    Returns
    -------
    Estimate
        ``r^2 tr(P H P) - (d - 1) w.g``, P the projection off w; for a scale-invariant loss w.g = 0 and this is ``r^2
        tr H``. Without bias.

    Raises
    ------
    ValueError
        If there are fewer than 2 probes, or the squared norm of the weights is 0 or not finite.

    Notes
    -----
    The trace leaves out the radial direction: in a scale-invariant network ``w.H w = 0`` and it would only add noise.

    Examples
    --------
    The loss 1 - w_1/r has Laplacian (d - 1) w_1/r; at (r, 0, 0) its Hessian is diag(0, 1, 1)/r^2:

    >>> sphere_laplacian(lambda v: np.array([0.0, 1.0, 1.0]) * v / 4, [2.0, 0.0, 0.0], np.zeros(3), rng=0)
    MonteCarloEstimate(value=2.0, error=0.0)
    """
    w, g = np.asarray(weights, dtype=float), np.asarray(gradient, dtype=float)
    squared = float(w @ w)
    if not 0 < squared < np.inf:
        raise ValueError(f"weights must have a norm whose square is above 0 and finite, got {squared:g}")

    def tangential(v: FloatArray) -> FloatArray:
        inside = v - w * (w @ v) / squared
        image = np.asarray(hessian_product(inside), dtype=float)
        return image - w * (w @ image) / squared

    trace = hutchinson_trace(tangential, len(w), probes, rng)
    return MonteCarloEstimate(squared * trace.value - (len(w) - 1) * float(w @ g), squared * trace.error)


def hessian_noise(hessian_product: Product, first: ArrayLike, second: ArrayLike) -> MonteCarloEstimate:
    """``tr(H Sigma)`` from pairs of gradients of independent minibatches at the same weights.

    Parameters
    ----------
    hessian_product : callable
        ``v -> H v``; if H is of a minibatch too, one independent of both.
    first, second : array_like, shape (pairs, d)
        The gradients.

    Returns
    -------
    Estimate
        Mean of ``(g - g').H (g - g')/2``: without bias, one Hessian product per pair. The error is NaN from one pair.

    Raises
    ------
    ValueError
        If shapes differ or a number is not finite.

    Examples
    --------
    >>> hessian_noise(lambda v: 2 * v, [[1.0, 0.0]], [[-1.0, 0.0]]).value
    4.0
    """
    one, other = _rows(first, "first", 1), _rows(second, "second", 1)
    if one.shape != other.shape:
        raise ValueError(f"first and second must have the same shape, got {one.shape} and {other.shape}")
    forms = np.array([v @ np.asarray(hessian_product(v)) / 2 for v in one - other])
    return _mean(forms)


def configurational_temperature(grad_sq: ArrayLike, laplacian: ArrayLike, time: float = 1.0) -> MonteCarloEstimate:
    """Configurational temperature ``E|grad L|^2/E[Laplacian L]`` on the unit sphere: the T of a Gibbs law.

    Parameters
    ----------
    grad_sq : array_like, shape (n,)
        ``|grad L|^2`` at unit norm at n moments of a run, without bias (`gradient_noise`), times r^2.
    laplacian : array_like, shape (n,)
        `sphere_laplacian` at the same moments.
    time : float
        Integrated autocorrelation time of these moments, in moments.

    Returns
    -------
    Estimate
        Ratio of the means with the error of a ratio of means, n counted as n/time; NaN if the mean Laplacian is 0.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than 2 moments.

    Notes
    -----
    From integration by parts with ``rho ~ exp(-L/T)`` over the closed sphere; if the law is another, so is this.
    Ratio of means, not mean of ratios, which the Hutchinson noise would bias. Bias: relative order (variance of the
    mean Laplacian)/(its square).

    Examples
    --------
    >>> configurational_temperature([2.0, 4.0], [20.0, 40.0])
    MonteCarloEstimate(value=0.1, error=0.0)
    """
    squares, traces = np.asarray(grad_sq, dtype=float), np.asarray(laplacian, dtype=float)
    if squares.shape != traces.shape or squares.ndim != 1 or len(squares) < 2:
        raise ValueError(
            f"grad_sq and laplacian must have the same shape (n,), n of at least 2, got {squares.shape} and "
            f"{traces.shape}"
        )
    above, below = scale_of(squares), scale_of(traces)
    squares, traces = squares / above, traces / below
    ratio = quotient(squares.mean(), traces.mean(), np.abs(traces).max())
    scatter = quotient((squares - ratio * traces).std(ddof=1), abs(traces.mean()))
    with np.errstate(over="ignore"):
        error = scatter / np.sqrt(len(squares) / time) * above / below
        return MonteCarloEstimate(float(ratio * above / below), float(error))


def angular_update(before: ArrayLike, after: ArrayLike) -> Any:
    """Angle between weights before and after a step, in radians.

    Parameters
    ----------
    before, after : array_like, shape (..., d)
        The weights.

    Returns
    -------
    float or numpy.ndarray, shape (...)
        From the chord, so that small angles keep their digits; at equilibrium its root mean square is ``sqrt(2 lr wd)``
        to leading order (Kosson et al. 2023). NaN where weights are all 0.

    Examples
    --------
    >>> float(angular_update([1.0, 0.0], [0.0, 2.0]).round(6))
    1.570796
    >>> float(angular_update([1.0, 0.0], [3.0, 3e-9]))
    1e-09
    """
    first, second = (np.asarray(w, dtype=float) for w in (before, after))
    u, v = (quotient(w / scale_of(w), np.linalg.norm(w / scale_of(w), axis=-1, keepdims=True)) for w in (first, second))
    # Half the angle from difference and sum: right for small and for obtuse angles.
    return 2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))
