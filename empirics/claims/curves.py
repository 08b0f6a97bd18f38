"""Energy, entropy and fluctuations of the loss as smooth functions of the temperature, fitted over runs.

By the scaling symmetry the directions depend on the effective learning rate alone under every protocol, so the runs of
one lie on one curve each of U, S_sphere and Var L/T^2, whatever their weight decay. The energy is fitted as an offset
(the loss of the minimum) plus temperature times a spline in log T, with errors in proportion to T; so a cold gas,
``U = U_0 + R T``, is fitted without bias. The other two are splines in log T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from empirics.claims.fits import Spline, count_levels
from empirics.claims.table import FEWEST_RUNS

__all__ = ["FEWEST_LEVELS", "NARROWEST", "Curves", "too_narrow"]

FloatArray = NDArray[np.float64]

#: Temperatures that span less than this factor show no slope in T.
NARROWEST = 3.0

#: Fewer different temperatures than this show no curve.
FEWEST_LEVELS = 5


def too_narrow(temperature: FloatArray, along: FloatArray) -> str:
    """Why no curve can be fitted to these temperatures; empty if one can.

    Parameters
    ----------
    temperature : numpy.ndarray, shape (runs,)
        One a run.
    along : numpy.ndarray, shape (runs,)
        The logarithm of what sets the temperature, equal in runs that differ by scatter alone.

    Returns
    -------
    str

    Examples
    --------
    >>> too_narrow(np.array([1.0, 1.5]), np.array([0.0, 0.4]))
    '2 runs at 2 different temperatures span a factor of 1.5; needed are 8 runs, 5 temperatures and a factor of 3'
    """
    factor = float(temperature.max() / temperature.min()) if len(temperature) else 1.0
    levels = count_levels(along)
    if len(temperature) >= FEWEST_RUNS and levels >= FEWEST_LEVELS and factor >= NARROWEST:
        return ""
    return (
        f"{len(temperature)} runs at {levels} different temperatures span a factor of {factor:.2g}; needed are "
        f"{FEWEST_RUNS} runs, {FEWEST_LEVELS} temperatures and a factor of {NARROWEST:g}"
    )


@dataclass(frozen=True)
class Curves:
    """The spline of a set of temperatures, with which curves over subsets of the runs are fitted.

    Attributes
    ----------
    log_t : numpy.ndarray, shape (runs,)
        Logarithm of the temperature of each run.
    spline : Spline
        In log T.
    """

    log_t: FloatArray
    spline: Spline

    @classmethod
    def over(cls, temperature: FloatArray, along: FloatArray) -> Curves:
        """Make the spline for these temperatures, as rich as there are different ones: the energy has an offset too."""
        log_t = np.log(temperature)
        return cls(log_t, Spline.over(log_t, count_levels(along) - 1))

    @property
    def free(self) -> int:
        """Free parameters of the richest curve."""
        return len(self.spline.knots) - self.spline.degree

    def smooth(self, values: FloatArray, chosen: NDArray[np.intp], at: FloatArray, derivative: int = 0) -> FloatArray:
        """Spline through values of the chosen runs, or its derivative in log T, at other values of log T."""
        coefficients, *_ = np.linalg.lstsq(self.spline.design(self.log_t[chosen]), values[chosen], rcond=None)
        return np.asarray(self.spline.design(at, derivative) @ coefficients)

    def energy(self, loss: FloatArray, chosen: NDArray[np.intp], at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energy and its derivative in log T, from the mean losses of the chosen runs."""
        heat = np.exp(self.log_t[chosen])
        design = np.c_[heat.min() / heat, self.spline.design(self.log_t[chosen])]
        (offset, *coefficients), *_ = np.linalg.lstsq(design, loss[chosen] / heat, rcond=None)
        value, slope = (self.spline.design(at, derivative) @ coefficients for derivative in (0, 1))
        return heat.min() * offset + np.exp(at) * value, np.exp(at) * (value + slope)
