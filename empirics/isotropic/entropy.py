"""Entropy of directions distributed symmetrically about mu, from the loss alone: no neighbours, any dimension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaln, eval_legendre

from empirics.measure import block_error
from empirics.measure.sphere import log_sphere_area

__all__ = ["SymmetricEntropy", "symmetric_entropy"]

#: Polynomials that describe how the distribution of the loss differs from the Beta law of its mean and variance.
TERMS = 8


@dataclass(frozen=True)
class SymmetricEntropy:
    """An entropy of directions and its statistical error."""

    value: float  # differential entropy on the unit sphere, in nats
    error: float  # its standard error, from the scatter of the blocks
    blocks: NDArray[np.float64]  # means over the blocks of minus the log of the estimated density, for the bootstrap


def symmetric_entropy(losses: ArrayLike, dimension: int, blocks: int) -> SymmetricEntropy:
    """Entropy of directions that are symmetric about mu, from samples of 1 − mu·w/|w| in time order.

    Parameters
    ----------
    losses : array_like, shape (n,)
        Samples, between 0 and 2; they may be correlated.
    dimension : int
        Number d of coordinates, 2 or more.
    blocks : int
        Number of blocks of the series whose means give the error; must divide n.

    Raises
    ------
    ValueError
        If a sample is outside (0, 2), or the samples are all the same.

    Notes
    -----
    On the uniform sphere ``y = loss/2`` has the law b = Beta((d−1)/2, (d−1)/2). A density on the sphere that is
    symmetric about mu is ``p(y)/b(y)`` over the sphere's area A, so ``S = log A − E log(p/b)``. p is estimated as the
    Beta law of the same mean and variance times a series of Legendre polynomials in its distribution function; no form
    of the density (not even Gibbs) is assumed. The bias, half the variance of the coefficients, is removed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> uniform = symmetric_entropy(1 - rng.uniform(-1, 1, 4000), 3, 20)  # cosines on the sphere in three dimensions
    >>> bool(abs(uniform.value - np.log(4 * np.pi)) < 4 * uniform.error + 1e-3)
    True
    """
    y = np.asarray(losses, dtype=float) / 2
    if not (y.min() > 0 and y.max() <= 1):
        raise ValueError(f"losses must lie between 0 and 2, found {2 * y.min():g} to {2 * y.max():g}")
    mean, variance = y.mean(), y.var()
    if np.ptp(y) == 0:
        raise ValueError("all losses are equal: the directions have no density")
    rest = np.maximum(1 - y, 2.0**-53)
    size = mean * (1 - mean) / variance - 1
    one, other, uniform = mean * size, (1 - mean) * size, (dimension - 1) / 2
    # log of the fitted Beta law over the uniform sphere's
    ratio = (one - uniform) * np.log(y) + (other - uniform) * np.log(rest)
    ratio += betaln(uniform, uniform) - betaln(one, other)
    correction, bias = _series(betainc(one, other, y), blocks)
    scores = log_sphere_area(dimension) - ratio - correction
    by_block = scores.reshape(blocks, -1).mean(axis=1)
    return SymmetricEntropy(float(scores.mean() + bias), float(block_error(by_block)), by_block)


def _series(u: NDArray[np.float64], blocks: int) -> tuple[NDArray[np.float64], float]:
    """Logarithm of the density of u on [0, 1] at the samples, and the bias of its mean."""
    orders = np.arange(1, TERMS + 1)
    basis = np.sqrt(2 * orders + 1)[:, None] * eval_legendre(orders[:, None], 2 * u - 1)
    coefficients = basis.mean(axis=1)
    spread = block_error(basis.reshape(TERMS, blocks, -1).mean(axis=2))
    density = 1 + coefficients @ basis
    return np.log(np.maximum(density, 0.05)), float((spread**2).sum() / 2)
