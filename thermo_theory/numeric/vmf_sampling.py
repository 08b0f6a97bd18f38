"""Samples of the von Mises-Fisher law, at any temperature and dimension.

Sources: Wood 1994 and Ulrich 1984.
"""

from __future__ import annotations

import math

import numpy as np

from thermo_theory.numeric.bessel import SATURATED, checked
from thermo_theory.numeric.domain import FloatArray


def _sample_gap(d: float, T: float, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw ``count`` values of ``1 - cos``, which keeps its digits at low temperature where the cosine has lost them.

    Wood's (1994) envelope ``(1 - cos^2)^((d-3)/2)/(1 - c cos)^(d-1)``, with everything written in ``1 - cos`` and
    ``b = (1-c)/(1+c)``. At least 65 % of the proposals are accepted, for any ``d`` and ``T``.
    """
    T = min(max(T, 1e-300), SATURATED / d)
    b = (d - 1.0) * T / (2.0 + math.hypot(2.0, (d - 1.0) * T))
    peak = 2.0 * b / (1.0 + b)
    out = np.empty(count)
    filled = 0
    while filled < count:
        tries = int(1.6 * (count - filled)) + 16
        # Wood's beta variate is Z = first/(first + second); the quotient below is his 1 - W without a difference.
        first, second = rng.standard_gamma(0.5 * (d - 1.0), size=(2, tries))
        gap = 2.0 * b * first / (second + b * first)
        offset = gap - peak
        log_accept = (d - 1.0) * np.log1p((1.0 - b) * offset / (2.0 * b + (1.0 - b) * peak)) - offset / T
        gap = gap[log_accept >= -rng.standard_exponential(tries)][: count - filled]
        out[filled : filled + gap.size] = gap
        filled += gap.size
    return out


def _shape(size: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Turn numpy's ``size`` into a shape.

    Raises
    ------
    ValueError
        If it is not made of whole numbers >= 0.
    """
    shape = () if size is None else tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
        raise ValueError(f"size must be a whole number >= 0, a tuple of them, or None, got {size!r}")
    return tuple(int(n) for n in shape)


def sample(
    *,
    d: int,
    T: float,
    size: int | tuple[int, ...] | None = None,
    rng: np.random.Generator | int | None = None,
) -> FloatArray:
    r"""Draw unit vectors of the von Mises-Fisher gas, ``rho ~ exp(-(1 - mu.w)/T)``, ``mu`` the first coordinate axis.

    Parameters
    ----------
    d
        Dimension of the weights, a whole number from 2; one number.
    T
        Temperature in units of the loss, > 0; one number.
    size
        Leading shape of the result; None for one vector.
    rng
        Generator, or a seed for a new one.

    Returns
    -------
    FloatArray
        Independent unit vectors, of shape ``(*size, d)``.

    Raises
    ------
    ValueError
        If an argument is out of its domain or not one number.

    Notes
    -----
    Source: Wood 1994 (Commun. Stat. 23) for the cosine; the rest is uniform on the sphere of ``R^(d-1)``.

    Examples
    --------
    >>> w = sample(d=4, T=0.1, size=(2, 5), rng=0)
    >>> w.shape, bool(abs((w**2).sum(axis=-1) - 1.0).max() < 1e-14)
    ((2, 5, 4), True)
    """
    dimension, temperature = _one_point(d, T)
    if dimension != int(dimension):
        raise ValueError(f"d must be a whole number >= 2 to draw vectors (dimension of the weights), got {d!r}")
    shape, width = _shape(size), int(dimension)
    generator = np.random.default_rng(rng)
    gap = _sample_gap(dimension, temperature, math.prod(shape), generator)
    out = np.empty((gap.size, width))
    generator.standard_normal(out=out)  # the first column too, only to be overwritten: one pass over the memory
    sideways = out[:, 1:]
    sideways *= np.sqrt(gap * (2.0 - gap) / np.einsum("ij,ij->i", sideways, sideways))[:, None]
    out[:, 0] = 1.0 - gap
    return out.reshape((*shape, width))


def _one_point(d: float, T: float) -> tuple[float, float]:
    """Check the dimension and temperature of a sampler.

    Raises
    ------
    ValueError
        If one of them is an array; values out of the domain raise in `thermo_theory.numeric.domain.check_domain`.
    """
    dimension, temperature = checked(d, T, "raise")
    for name, array in (("d", dimension), ("T", temperature)):
        if array.ndim:
            raise ValueError(f"{name} must be one number to draw samples, got an array of shape {array.shape}")
    return float(dimension), float(temperature)
