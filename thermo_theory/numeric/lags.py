"""Inner products of steps some time apart, for gradients that are independent normal noise: what momentum makes of it.

The weights of w' = (1 - lr wd) w - lr u are a sum of steps u, so the square of their norm is one of such products.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["lion_lags", "muon_lags", "push"]

FloatArray = NDArray[np.float64]

#: Angles at which the correlation of polar factors is sampled, and normal numbers drawn for it; powers of the fit.
ANGLES, DRAWN, POWERS = 9, 300_000, 4
#: Weights of gradients that are smaller than this are left out.
FORGOTTEN = 1e-12


def push(lags: ArrayLike, decay: ArrayLike = 0.0) -> FloatArray:
    """The D of ``r² = lr D/(wd (2 - lr wd))``: the sum over all lags, each weighed with what is left of w by then.

    Parameters
    ----------
    lags : array_like, shape (t,)
        ``E[u_0·u_t]`` from t = 0 on.
    decay : array_like
        lr·wd, 0 or more and below 1.

    Returns
    -------
    numpy.ndarray
        ``E[u_0·u_0] + 2 sum over t of (1 - lr wd)^t E[u_0·u_t]``, of the shape of `decay`.

    Examples
    --------
    >>> push([1.0, 0.5, 0.25], [0.0, 0.5])
    array([2.5  , 1.625])
    """
    lags, kept = np.asarray(lags, dtype=float), 1 - np.asarray(decay, dtype=float)
    return np.asarray(2 * np.polynomial.polynomial.polyval(kept, lags) - lags[0])


def lion_lags(beta1: float, beta2: float) -> FloatArray:
    """Correlations of the signs that Lion's steps are, per weight, by the arcsine law.

    Parameters
    ----------
    beta1, beta2 : float
        Lion's coefficients, at least 0 and below 1.

    Returns
    -------
    numpy.ndarray, shape (t,)
        From lag 0 on; 1 and zeros for signSGD, whose coefficients are 0.

    Examples
    --------
    >>> round(float(push(lion_lags(0.9, 0.99))), 2)  # r² is so much larger than for signs without memory
    45.93
    """
    weights = np.r_[1 - beta1, beta1 * (1 - beta2) * beta2 ** np.arange(_length(beta2))]
    return np.asarray(2 / np.pi * _angles(weights))


def muon_lags(rows: int, columns: int, momentum: float) -> FloatArray:
    """Inner products ``E[tr(O_0ᵀ O_t)]`` of Muon's steps, the polar factors O of averages of normal matrices.

    Parameters
    ----------
    rows, columns : int
        Shape of the matrix.
    momentum : float
        As in torch.optim.Muon with Nesterov's momentum, at least 0 and below 1.

    Returns
    -------
    numpy.ndarray, shape (t,)
        From lag 0 on, where it is the rank.

    Notes
    -----
    The averages are jointly normal, so O_0 and O_t depend on their correlation ``rho`` alone: the arcsine law of signs,
    to which this comes down for 1 × 1, with another function of ``arcsin rho``. That is odd; it is fitted to pairs of
    normal matrices drawn once, which leaves an error of some 0.3 %.

    Examples
    --------
    >>> muon_lags(16, 61, 0.0)
    array([16.])
    >>> bool(abs(push(muon_lags(1, 1, 0.95)) - 22.26) < 0.15)  # 1 + 2 sum of (2/pi) arcsin rho
    True
    """
    rank, weights = min(rows, columns), (1 - momentum) * momentum ** np.arange(1, _length(momentum))
    angles = _angles(np.r_[weights[:1] + 1 - momentum, weights[1:]])
    return np.r_[float(rank), angles[1:] * (_powers(angles[1:]) @ _fit(rank, max(rows, columns)))]


def _length(memory: float) -> int:
    return 2 if memory == 0 else int(np.log(FORGOTTEN) / np.log(memory)) + 2


def _angles(weights: FloatArray) -> FloatArray:
    """Arcsines of the correlations of sums of independent numbers with these weights, from lag 0 on."""
    spectrum = np.fft.rfft(weights, 2 * len(weights))
    products = np.fft.irfft(np.abs(spectrum) ** 2)[: len(weights)]
    return np.asarray(np.arcsin(np.clip(products / products[0], 0, 1)))


def _powers(angles: FloatArray) -> FloatArray:
    return np.vander(angles**2, POWERS, increasing=True)


@cache
def _fit(rows: int, columns: int) -> NDArray[np.float64]:
    """Coefficients of the even polynomial ``E[tr(O(X)ᵀ O(X sin a + Y cos a))]/a``, exact at ``a = pi/2``."""
    count = max(16, DRAWN // (rows * columns))
    x, y = np.random.default_rng(0).standard_normal((2, count, rows, columns))
    angles = np.pi / 2 * np.arange(1, ANGLES + 1) / (ANGLES + 1)
    own = _polar(x)
    # Half the difference for X and -X: the function is odd, its estimate then too.
    found = [
        ((own * (_polar(np.sin(a) * x + np.cos(a) * y) - _polar(np.cos(a) * y - np.sin(a) * x))).sum((1, 2)) / 2).mean()
        for a in angles
    ]
    last = np.array([np.pi / 2])
    end, values = rows / last, np.array(found) / angles
    shape = _powers(angles) - _powers(last)
    free = np.linalg.lstsq(shape[:, 1:], values - end, rcond=None)[0]
    return np.r_[end - _powers(last)[:, 1:] @ free, free]


def _polar(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    if matrices.shape[1] == 1:
        return matrices / np.linalg.norm(matrices, axis=2, keepdims=True)
    left, _, right = np.linalg.svd(matrices, full_matrices=False)
    return np.asarray(left @ right)
