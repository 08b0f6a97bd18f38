"""Differences that keep their digits where what is subtracted nearly agrees."""

from __future__ import annotations

import numpy as np

from thermo_theory.numeric.domain import FloatArray

__all__ = ["decayed", "excess_over_log"]

#: Terms of the series of atanh: the first one left out is below 1e-17 of the sum for |s| <= 1/3.
TERMS = 18


def excess_over_log(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Return ``x - 1 - log x`` of the ratio ``x = top/bottom`` of positive numbers, to 1e-15 relative.

    Near 1 it is ``y - 2 atanh s`` with ``y = x - 1`` and ``s = y/(2 + y)``, of which ``2 s`` cancels: ``y s`` less the
    rest of the series.

    Examples
    --------
    At ``x = 1 + e`` it is ``e^2/2 - e^3/3 + ...``:

    >>> float(excess_over_log(np.asarray(1.0 + 2.0**-20), np.asarray(1.0)) * 2.0**41)
    0.99999936421...
    """
    ratio, y = top / bottom, (top - bottom) / bottom
    s = (top - bottom) / (top + bottom)
    rest = np.zeros(np.shape(s))
    for k in range(TERMS, 0, -1):
        rest = (rest + 2 / (2 * k + 1)) * s**2
    return np.where(np.abs(s) <= 1 / 3, s * (y - rest), ratio - 1 - np.log(ratio))


def decayed(rate: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``exp(-rate t/2)``, whose square may be too small for a number, and the integral of that square up to t.

    Examples
    --------
    >>> [float(part) for part in decayed(np.asarray(0.0), np.asarray(3.0))]
    [1.0, 3.0]
    """
    from scipy.special import exprel

    with np.errstate(all="ignore"):
        left = np.exp(-rate * t / 2)
        return left, np.where(rate * t > 1, (1 - left**2) / rate, t * exprel(-rate * t))
