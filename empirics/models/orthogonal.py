"""Detect scale-invariant tensors from the gradients of training: w·g = 0 block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CERTAIN", "CLOSE", "RANDOM", "limit", "passes", "violation"]

#: Maximum cosine of w and g of a scale-invariant tensor, rms over steps and blocks, in units of that of random vectors,
#: 1/sqrt(d). BatchNorm's eps = 1e-5 and float32 cause 1e-4 to 0.03, bfloat16 1e-2; other tensors have 0.5 or more, from
#: the noise of the gradients. In units of 1/sqrt(d), since 1e-3 is not significant in a million dimensions.
RANDOM = 0.1

#: Maximum cosine itself, the stricter limit in few dimensions: the weight of a BatchNorm whose bias is still small,
#: before ReLU and another normalised layer, has 5e-3.
CLOSE = 3e-3

#: Number of measured pairs of steps with a gradient after which a tensor's partition into blocks is fixed.
CERTAIN = 8

FloatArray = NDArray[np.float64]


def violation(along: FloatArray, weight: FloatArray, slope: FloatArray, size: float) -> float:
    """Return the rms cosine of weights and gradient over that of random vectors; NaN without a gradient.

    Parameters
    ----------
    along, weight, slope
        w·g, |w|^2 and |g|^2, shape (step, block).
    size
        Number d of weights per block.

    Examples
    --------
    >>> violation(np.array([[1.0, -1.0]]), np.array([[2.0, 2.0]]), np.array([[8.0, 8.0]]), size=16)
    1.0
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squared = along**2 / (weight * slope) * size
    seen = np.isfinite(squared)
    return float(np.sqrt(squared[seen].mean())) if seen.any() else float("nan")


def limit(size: float) -> float:
    """Return the largest :func:`violation` of blocks of `size` weights that count as scale-invariant.

    >>> limit(10_000), limit(16)
    (0.1, 0.012)
    """
    return min(RANDOM, CLOSE * size**0.5)


def passes(found: float, size: float) -> bool:
    """Whether blocks of `size` weights with this :func:`violation` count as scale-invariant; NaN does not.

    >>> passes(0.02, size=144), passes(0.02, size=16)
    (True, False)
    """
    return found < limit(size)
