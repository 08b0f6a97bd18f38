"""Energy, entropy and fluctuations of the loss as smooth functions of the temperature, fitted over runs.

By the scaling symmetry the directions depend on the effective learning rate alone under every protocol, so the runs of
one lie on one curve each of U, S_sphere and Var L/T^2, whatever their weight decay. The energy is fitted as an offset
(the loss of the minimum) plus temperature times a spline in log T, with errors in proportion to T; so a cold gas,
``U = U_0 + R T``, is fitted without bias. The other two are splines in log T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from empirics.claims.clusters import Clusters, levels
from empirics.claims.fits import Estimate, Spline, jackknife
from empirics.claims.table import FEWEST_RUNS

__all__ = ["FEWEST_LEVELS", "NARROWEST", "Curves", "estimates", "too_narrow"]

FloatArray = NDArray[np.float64]

#: Temperatures that span less than this factor show no slope in T.
NARROWEST = 3.0

#: At most this many free parameters for a curve, so that a gas may go from cold to hot within the range.
PARAMETERS = 10

#: A curve is given a parameter more for so much more of log T: heat capacities change over factors of a few in T.
ROOM = 0.7

#: Fewer different temperatures than this show no curve.
FEWEST_LEVELS = 5


def too_narrow(temperature: FloatArray, along: FloatArray) -> str:
    """Why no curve can be fitted to these temperatures of runs; empty if one can.

    `along` is the logarithm of what sets the temperature, equal in runs that differ by scatter alone.

    Examples
    --------
    >>> too_narrow(np.array([1.0, 1.5]), np.array([0.0, 0.4]))
    '2 runs at 2 different temperatures span a factor of 1.5; needed are 8 runs, 5 temperatures and a factor of 3'
    """
    factor = float(temperature.max() / temperature.min()) if len(temperature) else 1.0
    count = len(np.unique(levels(along)))
    if len(temperature) >= FEWEST_RUNS and count >= FEWEST_LEVELS and factor >= NARROWEST:
        return ""
    return (
        f"{len(temperature)} runs at {count} different temperatures span a factor of {factor:.2g}; needed are "
        f"{FEWEST_RUNS} runs, {FEWEST_LEVELS} temperatures and a factor of {NARROWEST:g}"
    )


@dataclass(frozen=True)
class Curves:
    """The spline of a set of temperatures, with which curves over subsets of the runs are fitted."""

    log_t: FloatArray  # shape (runs,); logarithm of the temperature of each run
    spline: Spline  # in log T

    @classmethod
    def over(cls, temperature: FloatArray, along: FloatArray, fewer: int = 0) -> Curves:
        """Make the spline for these temperatures, with half as many parameters as there are different ones.

        Where there are few, with up to five, but one less than temperatures: the energy has an offset too; and no more
        than a range this narrow, or this few runs, can use. `fewer` takes some away again.
        """
        log_t, level = np.log(temperature), levels(along)
        # Knots go by levels, not by runs: between runs that differ by scatter alone there is nothing to fit.
        centres = np.bincount(level, log_t) / np.bincount(level)
        count = len(centres)
        room = min(PARAMETERS, 3 + int(np.ptp(log_t) / ROOM), max(len(log_t) // 4, 4))
        spline = Spline.over(centres, min(room, max(count // 2, min(count - 1, 5))) - fewer)
        ends = spline.degree + 1
        inner = spline.knots[ends:-ends]
        return cls(log_t, Spline(np.r_[[log_t.min()] * ends, inner, [log_t.max()] * ends], spline.degree))

    @property
    def free(self) -> int:
        """Free parameters of the richest curve."""
        return len(self.spline.knots) - self.spline.degree

    @cached_property
    def _design(self) -> FloatArray:
        """The spline's functions at every run."""
        return self.spline.design(self.log_t)

    def smooth(self, values: FloatArray, chosen: NDArray[np.intp], at: FloatArray, derivative: int = 0) -> FloatArray:
        """Spline through values of the chosen runs, or its derivative in log T, at other values of log T."""
        coefficients, *_ = np.linalg.lstsq(self._design[chosen], values[chosen], rcond=None)
        return np.asarray(self.spline.design(at, derivative) @ coefficients)

    def energy(self, loss: FloatArray, chosen: NDArray[np.intp], at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energy and its derivative in log T, from the mean losses of the chosen runs."""
        heat = np.exp(self.log_t[chosen])
        design = np.c_[heat.min() / heat, self._design[chosen]]
        (offset, *coefficients), *_ = np.linalg.lstsq(design, loss[chosen] / heat, rcond=None)
        value, slope = (self.spline.design(at, derivative) @ coefficients for derivative in (0, 1))
        return heat.min() * offset + np.exp(at) * value, np.exp(at) * (value + slope)


Statistic = Callable[[NDArray[np.intp]], FloatArray]


def estimates(
    build: Callable[[Curves], Statistic],
    temperature: FloatArray,
    along: FloatArray,
    free: int = 0,
    clusters: Clusters | None = None,
    shifted: Callable[[Curves], Statistic] | None = None,
) -> list[Estimate]:
    """Numbers that come out of curves, with intervals for the scatter of runs and for the shape of the curves.

    `build` makes of curves what `jackknife` takes: the numbers as a function of the runs chosen. `free` counts the free
    parameters of other fits, if they have more than the curves; `clusters` says which runs may share their scatter. The
    jackknife's intervals are widened by as much as the number changes with one parameter less a curve: scatter does not
    tell how far a spline is from the curve. `shifted` makes the same numbers of values that are off by a systematic
    error, by which they are widened too.
    """
    curves = Curves.over(temperature, along)
    found = jackknife(build(curves), len(temperature), max(curves.free, free), clusters)
    every, values = np.arange(len(temperature)), np.array([one.value for one in found])
    wider = np.abs(build(Curves.over(temperature, along, fewer=1))(every) - values)
    if shifted is not None:
        wider += np.abs(shifted(curves)(every) - values)
    return [replace(one, low=one.low - by, high=one.high + by) for one, by in zip(found, wider.tolist(), strict=True)]
