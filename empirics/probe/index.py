"""The adiabatic index, measured from a few mean losses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from thermo_theory.relations.coordinates import state
from thermo_theory.relations.paths import law

__all__ = ["MeasuredIndex", "measured_index"]


@dataclass(frozen=True)
class MeasuredIndex:
    """An adiabatic index with its interval.

    Attributes
    ----------
    index : float
        gamma = 1 + R/C_V.
    low, high : float
        Its 95 % interval; `high` is infinite if C_V may be 0.
    heat_capacity : float
        C_V = dU/dT, in units of (d-1)/2.
    """

    index: float
    low: float
    high: float
    heat_capacity: float

    def __str__(self) -> str:
        return f"adiabatic index {self.index:.3g} [{self.low:.3g}, {self.high:.3g}]"


def measured_index(temperature: ArrayLike, loss: ArrayLike, *, dimension: int, optimizer: str = "sgd") -> MeasuredIndex:
    """Measure the adiabatic index from mean losses at several temperatures.

    Parameters
    ----------
    temperature : array_like, shape (n,)
        Noise temperatures, as measured by a probe, of three or more stationary intervals of training; they must differ.
    loss : array_like, shape (n,)
        Mean training loss of the same intervals, in nats.
    dimension : int
        Number d of scale-invariant weights, with d - 1 directions; for a mixture 1 plus the sum of (d_l - 1).
    optimizer : str
        As `thermo_theory` calls it; its equation of state defines R.

    Returns
    -------
    MeasuredIndex
        C_V is the slope of a straight line, with Student's interval from its residuals; the theory behind it (Gibbs
        law, ``dU = C_V dT``) holds for isotropic noise. Where C_V changes over the range, the interval widens.

    Raises
    ------
    ValueError
        If there are fewer than three values, they do not differ, their lengths do, or the loss does not rise with the
        temperature.

    Examples
    --------
    >>> from thermo_theory import vmf
    >>> T = np.array([0.001, 0.002, 0.004])
    >>> print(measured_index(T, vmf.energy(d=10, T=T), dimension=10))
    adiabatic index 2.01 [1.99, 2.03]

    Directions without noise that are counted drop out of R T, and so of the index; here 9 where 4 have noise:

    >>> print(measured_index(T * 9 / 4, vmf.energy(d=10, T=T), dimension=1 + 4))
    adiabatic index 2.01 [1.99, 2.03]
    """
    heat, energy = np.asarray(temperature, dtype=float), np.asarray(loss, dtype=float)
    if heat.ndim != 1 or heat.shape != energy.shape or len(heat) < 3:
        raise ValueError(
            f"temperature and loss must be three or more values each, got shapes {heat.shape} and {energy.shape}"
        )
    if not (np.isfinite(heat).all() and np.isfinite(energy).all() and (heat > 0).all() and np.ptp(heat) > 0):
        raise ValueError("temperatures must be above 0 and differ, and losses must be finite")
    centred = heat - heat.mean()
    slope = float(centred @ energy / (centred @ centred))
    rest = energy - energy.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (len(heat) - 2) / float(centred @ centred))
    if slope <= 0:
        raise ValueError(f"the loss does not rise with the temperature: dU/dT = {slope:g}, so there is no index")
    reach = float(stdtrit(len(heat) - 2, 0.975)) * error
    constant = float(state(law("fixed-lr", optimizer))[2](d=dimension))
    # C_p/C_V with C_p = C_V + R, by the derivation; the ends of the interval from those of C_V.
    low, high = (1 + constant / value if value > 0 else math.inf for value in (slope + reach, slope - reach))
    return MeasuredIndex(1 + constant / slope, low, high, slope / ((dimension - 1) / 2))
