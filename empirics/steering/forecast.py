"""Predict what a plan will do: temperature, norm and entropy along it, and whether it is quasi-static."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from empirics.steering.plans import HeatCapacity, Plan
from thermo_theory import FixedLR
from thermo_theory.relations.following import following, slowest
from thermo_theory.relations.paths import entropy_slopes, law, log_slopes

__all__ = ["TOLERANCE", "QuasiStatic", "forecast", "quasi_static"]

FloatArray = NDArray[np.float64]

#: Largest lag of log r and of the energy (in units of R T) behind their stationary values in a quasi-static schedule.
TOLERANCE = 0.05
#: Points at which a plan is evaluated.
POINTS = 2001


@dataclass(frozen=True)
class QuasiStatic:
    """Whether a plan is slow compared with relaxation.

    Attributes
    ----------
    steps : int
        Number of steps over which the plan changes lr and weight decay.
    needed : float
        The minimum number of steps; infinite if lr ends at 0, where nothing relaxes.
    lag_norm, lag_energy : float
        Largest lag of log r and, in units of R T, of the mean loss.
    until : int
        Last step up to which both lags are within the tolerance.
    tolerance : float
        The allowed lag.
    """

    steps: int
    needed: float
    lag_norm: float
    lag_energy: float
    until: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the plan is slow enough throughout."""
        return self.steps >= self.needed

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        count = (
            f"{self.needed:,.0f}"
            if self.needed < 1e9
            else f"about {self.needed:.0e}".replace("e+0", "e").replace("e+", "e")
        )
        needs = f"needs {count} steps, has {self.steps:,}" if math.isfinite(self.needed) else "lr ends at 0"
        if self.holds:
            return f"quasi-static: lags in log r and U/(R T) stay below {self.tolerance:g}; {needs}"
        slow = "the norm" if self.lag_norm > self.lag_energy else "the energy of the directions"
        return f"not quasi-static after step {self.until:,}: {slow} lags; {needs}"


def _times(
    plan: Plan, lr: FloatArray, decay: FloatArray, momentum: float, sigma: float | None, dimension: int | None
) -> tuple[FloatArray, FloatArray]:
    """Return the relaxation times of log r and of the energy in the slowest well, for each pair of lr and wd."""
    formula = following(law("fixed-lr", plan.optimizer))
    known: dict[str, Any] = {"eta": lr, "lam": decay, "sigma": sigma, "d": dimension}
    known |= {"beta": momentum, "beta1": momentum}
    values = {name: known[name] for name in formula.arguments}
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        words = " and ".join({"sigma": "sigma", "d": "dimension"}[name] for name in lacking)
        raise ValueError(f"relaxation under {plan.optimizer} depends on {words}, which are not given")
    energy = np.asarray(formula(**values, invalid="nan"))
    free = energy / float(slowest())
    # Momentum is SGD at another learning rate. For Adam the time of the norm is not derived; it is below this.
    share = FixedLR.relaxation_time(eta=1.0, lam=1.0) if not plan.optimizer.startswith("adam") else 1.0
    return free * share, energy


def _check_rates(lr: float, weight_decay: float) -> None:
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value!r}: must be above 0")


def _looks(plan: Plan) -> NDArray[np.int64]:
    """Return the steps at which a plan is evaluated: the first, and evenly over those of its change."""
    moving = plan.hold + np.linspace(0, plan.steps, min(plan.steps, POINTS - 1) + 1).round()
    return np.unique(np.concatenate([[0.0], moving]).astype(np.int64))


def _logarithms(plan: Plan, steps: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the logarithms of the factors on lr and weight decay, and of those on norm and temperature."""
    of = law("fixed-lr", plan.optimizer)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, decay = (np.log(one) for one in plan.factors(steps))
        norm, heat = (_along(slopes, rate, decay) for slopes in (log_slopes(of.radius), log_slopes(of.temperature)))
    return rate, decay, norm, heat


def _along(slopes: tuple[float, float], rate: FloatArray, decay: FloatArray) -> FloatArray:
    """Return the logarithm of a product of powers; 0/0, where lr and wd have reached 0, keeps its last value."""
    value = slopes[0] * rate + slopes[1] * decay
    last = np.maximum.accumulate(np.where(np.isnan(value), 0, np.arange(len(value))))
    return np.asarray(value[last])


def quasi_static(
    plan: Plan,
    *,
    lr: float,
    weight_decay: float,
    momentum: float = 0.0,
    relaxation_steps: float | None = None,
    sigma: float | None = None,
    dimension: int | None = None,
    tolerance: float = TOLERANCE,
) -> QuasiStatic:
    """Check that a plan is slow compared with relaxation, and compute the minimum number of steps.

    Parameters
    ----------
    plan : Plan
        The plan.
    lr, weight_decay : float
        Initial values.
    momentum : float
        Momentum coefficient (SGD only; Adam's beta1 has no effect).
    relaxation_steps : float, optional
        Measured relaxation time of the loss at the start, in steps: the correlation time of its slow part, as
        `ThermoProbe.loss_relaxation` estimates it. It is taken to scale as 1/T, as in a basin. Default: that of the
        slowest possible well; networks can be slower.
    sigma : float, optional
        Gradient noise per direction at unit norm (only needed for Adam with L2).
    dimension : int, optional
        Number d of scale-invariant weights (only needed for Adam with L2).
    tolerance : float
        Allowed lag of log r, and of the mean loss in units of R T.

    Returns
    -------
    QuasiStatic

    Raises
    ------
    ValueError
        If a number is out of range, or one on which the relaxation depends is missing.

    Notes
    -----
    log r relaxes at the rate ``4 eta lambda`` ("relaxation-time") and lags by ``log(1 + nu/(4 eta lambda))/4`` on a
    ramp ("quasi-static"). The temperature is set by the noise and does not lag; the energy does, by ``C_V tau
    dlog T/dt`` in units of T, with tau the correlation time of the loss. Free directions decorrelate only at the rate
    ``eta lambda``, but need not follow: their distribution does not depend on T. Over wells of all curvatures
    ``(C_V/R) tau`` is at most ``1/(4 eta lambda)`` (`thermo_theory.relations.following`), which is assumed here. A lag
    is the rate of change times the relaxation time, so it halves when the number of steps doubles.

    Examples
    --------
    >>> from empirics.steering.plans import plan
    >>> print(quasi_static(plan("isobar", factor=0.1, steps=10_000), lr=0.1, weight_decay=5e-4))
    not quasi-static after step 0: the energy of the directions lags; needs 1,151,293 steps, has 10,000
    """
    _check_rates(lr, weight_decay)
    if relaxation_steps is not None and not relaxation_steps > 0:
        raise ValueError(f"relaxation_steps = {relaxation_steps!r}: must be above 0")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum = {momentum!r}: must be at least 0 and below 1")
    if not tolerance > 0:
        raise ValueError(f"tolerance = {tolerance!r}: must be above 0")
    steps = _looks(plan)
    rate, decay, norm, heat = _logarithms(plan, steps)
    with np.errstate(all="ignore"):
        times = _times(plan, lr * np.exp(rate), weight_decay * np.exp(decay), momentum, sigma, dimension)
        turning = times[1] if relaxation_steps is None else relaxation_steps * np.exp(-heat)
        pace = np.diff(steps)
        lags = [_lag(np.diff(one) / pace, _slower(time)) for one, time in ((norm, times[0]), (heat, turning))]
    worst = np.maximum(*lags)
    over = np.flatnonzero(worst > tolerance)
    return QuasiStatic(
        steps=plan.steps,
        needed=float(np.ceil(plan.steps * worst.max() / tolerance)) if np.isfinite(worst.max()) else math.inf,
        lag_norm=float(lags[0].max()),
        lag_energy=float(lags[1].max()),
        until=int(steps[over[0]]) if len(over) else plan.total,
        tolerance=tolerance,
    )


def _between(values: FloatArray) -> FloatArray:
    return (values[1:] + values[:-1]) / 2


def _slower(times: FloatArray) -> FloatArray:
    """Return the longer relaxation time of both ends of each interval; at lr 0 nothing relaxes."""
    return np.asarray(np.fmax(times[1:], times[:-1]) + np.where(np.isnan(times[1:] + times[:-1]), np.inf, 0.0))


def _lag(speed: FloatArray, time: FloatArray) -> FloatArray:
    """Return the lag to first order in the speed; 0 for what does not change, infinite at lr 0."""
    still = np.abs(speed) < 1e-15
    return np.asarray(np.where(still, 0.0, np.where(np.isfinite(speed * time), np.abs(speed * time), np.inf)))


def forecast(
    plan: Plan,
    *,
    lr: float,
    weight_decay: float,
    heat_capacity: HeatCapacity = 1.0,
    points: int = 11,
) -> pd.DataFrame:
    """Tabulate a plan with its predicted effect, if it is quasi-static.

    Parameters
    ----------
    plan : Plan
        The plan.
    lr, weight_decay : float
        Initial values.
    heat_capacity : float or callable
        C_V of the directions in units of (d-1)/2; 1 in the low-temperature limit. A callable gets the factors on lr and
        weight decay.
    points : int
        Number of rows, 2 or more, evenly spaced.

    Returns
    -------
    pandas.DataFrame
        Columns `step`, `lr`, `weight_decay`; `temperature` and `norm` relative to the start; `entropy`, its change
        since the start in units of R = (d-1)/2 nats. Minus infinity where lr has reached 0.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from empirics.steering.plans import plan
    >>> forecast(plan("isobar", factor=0.25, steps=100), lr=0.1, weight_decay=0.01, points=2).round(4)
       step     lr  weight_decay  temperature    norm  entropy
    0     0  0.100          0.01          1.0  1.0000   0.0000
    1   100  0.025          0.01          0.5  0.7071  -1.3863
    """
    _check_rates(lr, weight_decay)
    if points < 2:
        raise ValueError(f"points = {points!r}: must be 2 or more")
    rows = np.unique(np.linspace(0, plan.total, points).round().astype(np.int64))
    steps = np.union1d(_looks(plan), rows)
    rate, decay, norm, heat = _logarithms(plan, steps)
    entropy = _entropy(plan, rate, decay, heat_capacity)
    columns = {
        "step": steps,
        "lr": lr * np.exp(rate),
        "weight_decay": weight_decay * np.exp(decay),
        "temperature": np.exp(heat),
        "norm": np.exp(norm),
        "entropy": entropy,
    }
    shown = np.isin(steps, rows)
    return pd.DataFrame({name: values[shown] for name, values in columns.items()})


def _entropy(plan: Plan, rate: FloatArray, decay: FloatArray, heat: HeatCapacity) -> FloatArray:
    """Return the change of the stationary entropy since the start, in units of (d-1)/2."""
    of = law("fixed-lr", plan.optimizer)
    with np.errstate(invalid="ignore", over="ignore"):
        if callable(heat):
            at = zip(np.exp(_between(rate)), np.exp(_between(decay)), strict=True)
            slopes = np.array([entropy_slopes(of, heat(float(a), float(b))) for a, b in at]).T
        else:
            slopes = np.array(entropy_slopes(of, heat))[:, None]
        moves = np.stack([np.diff(rate), np.diff(decay)])
        change = np.where(slopes == 0, 0.0, slopes * moves).sum(axis=0)
        out = np.concatenate([[0.0], np.cumsum(change)])
    return np.where(np.isnan(out), -np.inf, out)
