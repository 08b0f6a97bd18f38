"""Pressure, volume, temperature and gas constant of a run or of a block of one, for claims on the equation of state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from empirics.claims.clusters import Clusters
from empirics.claims.fits import Estimate, mean_of, no_estimate
from empirics.claims.protocol import known
from empirics.claims.table import Table, balances
from empirics.measure import run_status
from thermo_theory import FixedELR, FixedLR, derive
from thermo_theory.symbols import R1, R, T, V, d1, eta, grad_L, lam, p, r, tr_Sigma
from thermo_theory.symbols.vectors import Dot, Expectation

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "compressibility",
    "directions_constant",
    "gas_constant",
    "largest_deviation",
    "learning_rate",
    "noise_compressibility",
    "noise_temperature",
    "state_missing",
    "whatever_the_loss",
]

FloatArray = NDArray[np.float64]


def learning_rate(table: Table) -> FloatArray:
    """Learning rate of the runs used as an SGD step has it; at fixed ELR its mean, eta_eff E r^2."""
    rate = table.values(table.rate)
    return rate * table.values("radius_sq") if table.rate == "effective_lr" else rate


@cache
def _compiled(name: str) -> Any:
    """Turn a law of the theory into a function of numbers."""
    if name == "compressibility":  # what is 1 by the ideal-gas law
        law = derive("ideal-gas-law", FixedLR).claim.equation
        return sp.lambdify((p, V, R, T), law.lhs / law.rhs)
    if name == "directions":
        (law,) = (step.equation for step in derive("gas-mixture").steps if step.equation.lhs == R1)
        return sp.lambdify(d1, law.rhs)
    slopes, noise = sp.symbols("slopes noise", positive=True)
    law = derive("compressibility").claim.equation.rhs
    law = law.subs({Expectation(Dot(grad_L, grad_L)): slopes, Expectation(tr_Sigma / r**2): noise})
    return sp.lambdify((slopes, noise, eta, lam), law)


def compressibility(pressure: ArrayLike, volume: ArrayLike, constant: ArrayLike, temperature: ArrayLike) -> FloatArray:
    """Compressibility factor ``Z = p V/(R T)``, 1 in an ideal gas (derivation "ideal-gas-law").

    >>> float(compressibility(0.5, 4.0, 10.0, 0.1))
    2.0
    """
    return np.asarray(_compiled("compressibility")(*map(np.asarray, (pressure, volume, constant, temperature))))


def directions_constant(weights: ArrayLike) -> FloatArray:
    """Gas constant of a scale-invariant part with so many weights, a sphere (derivation "gas-mixture").

    >>> float(directions_constant(5))
    2.0
    """
    return np.asarray(_compiled("directions")(np.asarray(weights, dtype=float)), dtype=float)


def state_missing(table: Table, *names: str) -> list[str]:
    """What is not there of the step, of p and V, and of these variables."""
    return table.missing(table.rate, "weight_decay", "radius_sq", *names)


def noise_compressibility(slopes: ArrayLike, noise: ArrayLike, lr: ArrayLike, decay: ArrayLike) -> FloatArray:
    """Z that any stationary run has if T is read off its noise (derivation "compressibility").

    Parameters
    ----------
    slopes, noise : array_like
        ``|E g|^2`` and ``tr Cov g`` at the actual norm.
    lr, decay : array_like
        Learning rate and weight decay.

    Returns
    -------
    numpy.ndarray
        ``(1 + slopes/noise)/(1 - lr decay/2)``.

    Examples
    --------
    >>> float(noise_compressibility(1.0, 2.0, 0.5, 1.0))
    2.0
    """
    values = (np.asarray(one, dtype=float) for one in (slopes, noise, lr, decay))
    return np.asarray(_compiled("noise")(*values), dtype=float)


def noise_temperature(lr: ArrayLike, radius_sq: ArrayLike, noise: ArrayLike, weights: ArrayLike) -> FloatArray:
    """Temperature of a sphere from the noise of its gradient, ``lr noise/(2 (weights - 1))``.

    Parameters
    ----------
    lr, radius_sq, noise, weights : array_like
        Learning rate, squared norm, ``tr Cov g`` at that norm and number of weights of the part; all positive.

    Returns
    -------
    numpy.ndarray
        ``eta_eff sigma^2/2`` at unit norm; the norm drops out.

    Examples
    --------
    >>> round(float(noise_temperature(0.5, 4.0, 8.0, 5)), 12)
    0.5
    """
    rate, squared, variance, count = np.broadcast_arrays(
        *(np.asarray(z, float) for z in (lr, radius_sq, noise, weights))
    )
    sigma = np.sqrt(variance * squared / (count - 1))
    return np.asarray(FixedELR.temperature(eta_eff=rate / squared, sigma=sigma), dtype=float)


def gas_constant(table: Table) -> float:
    """R of the network: half its directions, one less than weights for each scale-invariant part that was found.

    Without parts the whole is one sphere. A weight of a remainder moves freely: it counts as half.
    """
    parts = table.group("components")
    if parts is None or not {"parameters", "scale_invariant"} <= set(parts.variables):
        return float(directions_constant(table.dimension))
    weights = np.atleast_2d(parts["parameters"].values)[0].astype(float)
    round_ = np.atleast_2d(parts["scale_invariant"].values)[0].astype(bool)
    return float(directions_constant(weights[round_]).sum() + weights[~round_].sum() / 2)


def largest_deviation(
    values: FloatArray, theory: float, margin: float, clusters: Clusters | None = None
) -> tuple[Estimate, int]:
    """Of several numbers that should all be equal to the theory, the mean over runs that deviates most.

    Parameters
    ----------
    values : numpy.ndarray, shape (runs, parts)
        NaN where a run has no number.
    theory, margin : float
        What they are held against.
    clusters : Clusters, optional
        Which runs may share their scatter; every run by itself if not given.

    Returns
    -------
    estimate : Estimate
        Its interval is simultaneous (Bonferroni): all intervals hold the truth in 95 of 100 cases. One that lies
        outside the margin comes before one that sticks out of it, so that the verdict on it is the verdict on all.
    part : int
        Its column.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found, part = largest_deviation(rng.normal([1.0, 1.2, 1.0], 0.01, (20, 3)), 1.0, 0.05)
    >>> part, round(found.value, 1)
    (1, 1.2)
    """
    together = clusters or Clusters.alone(len(values))
    found = [_widened(column, values.shape[1], together) for column in values.T]
    for i, one in enumerate(found):
        if not np.isfinite(one.low):
            return one, i
    outside = [max(one.low - theory, theory - one.high) for one in found]
    reach = [max(abs(one.low - theory), abs(one.high - theory)) for one in found]
    part = int(np.argmax(outside if max(outside) > margin else reach))
    return found[part], part


def _widened(values: FloatArray, parts: int, clusters: Clusters) -> Estimate:
    """Mean over runs, with an interval as wide as it must be for so many of them to hold at once."""
    there = np.isfinite(values)
    plain = mean_of(values[there], clusters.of(there))
    if not np.isfinite(plain.low):
        return no_estimate(plain.why or "no interval could be given", plain.value)
    wide = stdtrit(plain.freedom, 1 - 0.025 / parts) / stdtrit(plain.freedom, 0.975)
    half = float(wide) * (plain.high - plain.value)
    return replace(plain, low=plain.value - half, high=plain.value + half)


def whatever_the_loss(table: Table) -> Table:
    """The same runs, those that are merely not scale-invariant among them: for claims on just that.

    Their status is worked out anew, without asking for scale invariance: by the norm balance with the remainder and
    by the drift and the loss that the summary has.
    """
    measured = balances(table.data)
    again = np.flatnonzero(table.status == "not scale-invariant")
    if measured is None or not len(again):
        return table
    status, reason = table.status.astype(object), table.reason.astype(object)
    for i in again:
        numbers = dict(_known_numbers(table.data, int(i)))
        status[i], reason[i] = run_status(balance=float(measured[i]), **numbers)
    return replace(table, status=status.astype(str), reason=reason.astype(str))


def _known_numbers(data: xr.Dataset, run: int) -> Iterator[tuple[str, Any]]:
    """What the summary has of the numbers that decide on a run's status."""
    yield "balance_error", 0.0
    for name in ("balance_error", "radius_drift", "radius_drift_error", "diverged_at", "loss"):
        if known(data, name) and np.isfinite(value := float(data[name].values[run])):
            yield name, value
