"""The thermodynamic state of each run: temperature, volume, pressure, and what steps of finite size change.

A step of SGD is not infinitesimal: in a well of curvature h a cold gas has the spread, and so the energy and the
entropy, of a Gibbs law whose temperature is higher than that of the noise by ``1/(1 - h eta_eff/2)`` (derivation
"finite-step"). So that temperature is the one a run is judged at. It is exact in a harmonic well; what it leaves out is
of second order in ``h eta_eff/2``, and ``eta_eff (d - 1) T`` (at fixed LR: lr·wd), by half of which steps along a
curved sphere are off. Runs in which that is not small against the margins are left out, by the two bounds below.

For other optimisers than SGD no such correction is derived: their runs are judged at the temperature of their noise,
and the bound on ``h eta_eff/2`` is that on what is neglected, its first power.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.coordinates import (
    ADAPTIVE,
    effective_rate,
    equation_of_state,
    is_derived,
    law_of,
    orbit_of,
    rate_missing,
)
from empirics.claims.protocol import known
from empirics.claims.table import MOST_LEFT_OUT, Table
from empirics.claims.verdict import Verdict
from thermo_theory import FixedELR, derive

__all__ = [
    "FEWEST_SAMPLES",
    "LARGEST_STEP",
    "LARGEST_TURN",
    "StateVariables",
    "finite_step_factor",
    "noise_variance",
    "uncalibrated_noted",
    "unmixed",
]

FloatArray = NDArray[np.float64]

#: Largest h eta_eff/2 of a run that is judged: its square, what is neglected, is a fifth of a margin of 0.05.
LARGEST_STEP = 0.1

#: The same where nothing is corrected for.
LARGEST_UNCORRECTED_STEP = LARGEST_STEP**2

#: A variance from fewer independent samples than this has an error of a fifth or more.
FEWEST_SAMPLES = 50

#: Largest eta_eff (d - 1) T, the squared angle of a step over 2: half of it is neglected, a fifth of the margin.
LARGEST_TURN = 0.02


def finite_step_factor(eta_eff: FloatArray, curvature: FloatArray) -> FloatArray:
    """Temperature of the Gibbs law that steps of this size sample, over that of the noise.

    >>> finite_step_factor(np.array([0.1]), np.array([1.0])).round(6)
    array([1.052632])
    """
    # The volume of a cold gas at fixed ELR is R T/p times the factor: R = T = p = 1 leaves the factor.
    factor = derive("finite-step", FixedELR).claim(R=1.0, T=1.0, p=1.0, eta_eff=eta_eff, h=curvature)
    return np.asarray(factor, dtype=float)


@dataclass(frozen=True)
class StateVariables:
    """The state of the runs of a table that can be judged by their temperature, one number per run.

    Attributes
    ----------
    within : numpy.ndarray of bool, shape (runs used,)
        Which of the runs used these are: those with steps small enough.
    eta_eff : numpy.ndarray
        Effective learning rate; for other optimisers than SGD what takes its place in their temperature.
    noise_temperature : numpy.ndarray
        eta_eff sigma^2/2, sigma^2 = tr Sigma/(d - 1) at unit norm.
    curvature : numpy.ndarray
        Mean curvature, where positive; 0 if it was not measured.
    temperature : numpy.ndarray
        That of the Gibbs law which steps of this size sample.
    along : numpy.ndarray
        Logarithm of what sets the temperature, the same in runs that share it: at fixed LR of what is equal all along a
        symmetry orbit (lr·wd for SGD), else of the effective learning rate.
    corrected : bool
        Whether the curvature was measured and the correction is derived, so that the two can differ.
    derived : bool
        Whether it is; without it the bound on h eta_eff/2 is another one.
    """

    within: NDArray[np.bool_]
    eta_eff: FloatArray
    noise_temperature: FloatArray
    curvature: FloatArray
    temperature: FloatArray
    along: FloatArray
    corrected: bool
    derived: bool = True

    @classmethod
    def missing(cls, table: Table) -> list[str]:
        """Say what the temperature cannot do without and is not there."""
        if lacking := rate_missing(table):
            return lacking
        without_noise = table.missing("grad_variance_unit") and table.missing("grad_variance", "radius_sq")
        if without_noise and table.optimizer in ADAPTIVE:
            return ["grad_variance_unit"]
        return ["temperature or grad_variance_unit"] if without_noise and table.missing("temperature") else []

    @classmethod
    def of(cls, table: Table) -> StateVariables:
        """Work it out from what `missing` found there."""
        d, measured, derived = table.dimension, not table.missing("laplacian"), is_derived("finite-step", law_of(table))
        rate = effective_rate(table, noise_variance(table) if table.optimizer in ADAPTIVE else None)
        noise = _noise_temperature(table, rate)
        curvature = np.maximum(table.values("laplacian") / (d - 1), 0.0) if measured else np.zeros(len(rate))
        step, turn = curvature * rate / 2, rate * (d - 1) * noise
        largest = LARGEST_STEP if derived else LARGEST_UNCORRECTED_STEP
        # A temperature that is not positive is one of a run without noise: there is no gas to judge.
        within = (step <= largest) & (turn <= LARGEST_TURN) & (noise > 0)
        rate, noise, curvature = rate[within], noise[within], curvature[within]
        bent = curvature > 0 if derived else np.zeros(len(rate), dtype=bool)
        temperature = noise.copy()
        temperature[bent] *= finite_step_factor(rate[bent], curvature[bent])
        along = np.log(rate)
        if table.protocol == "fixed-lr":
            logs = (np.log(table.values(name)[within]) for name in ("lr", "weight_decay"))
            along = orbit_of(law_of(table)).along(*logs)
        return cls(within, rate, noise, curvature, temperature, along, measured and derived, derived)

    def values(self, table: Table, name: str) -> FloatArray:
        """A variable of these runs."""
        return table.values(name)[self.within]

    def entropy(self, table: Table, tilt: float = 0.0) -> FloatArray:
        """Entropy of the directions of every sphere for itself: the loss knows nothing of their relative lengths.

        The bias of the estimator is taken off, `tilt` as in `bias`.
        """
        whole = self.values(table, "entropy_sphere") - self.bias(table, tilt)
        return whole if table.missing("entropy_lengths") else whole - self.values(table, "entropy_lengths")

    def bias(self, table: Table, tilt: float = 0.0) -> FloatArray:
        """What the entropies of these runs are too large by; 0 where that was not measured.

        With `tilt` so many standard errors more at the highest temperature and as many less at the lowest: what the
        errors of all runs do to a slope if they go together.
        """
        if not known(table.data, "entropy_bias"):
            return np.zeros(len(self.temperature))
        log_t = np.log(self.temperature)
        place = 2 * (log_t - log_t.min()) / max(np.ptp(log_t), 1e-12) - 1 if len(log_t) else log_t
        bias = _filled(log_t, self.values(table, "entropy_bias"))
        if not (tilt and known(table.data, "entropy_bias_error")):
            return bias
        return bias + tilt * place * _filled(log_t, self.values(table, "entropy_bias_error"))

    def mechanics(self, table: Table) -> tuple[FloatArray, FloatArray, float]:
        """Pressure and volume of these runs, and the gas constant, as their optimiser has them."""
        noise = noise_variance(table) if table.optimizer in ADAPTIVE else None
        pressure, volume, gas_constant = equation_of_state(table, noise)
        return pressure[self.within], volume[self.within], gas_constant

    def notes(self) -> list[str]:
        """How many runs were left out for the size of their steps, and whether that could be told."""
        notes = []
        out = int((~self.within).sum())
        if out:
            largest = LARGEST_STEP if self.derived else LARGEST_UNCORRECTED_STEP
            what = "a correction of first order" if self.derived else "laws of small steps"
            notes.append(
                f"{out} of {len(self.within)} runs left out of V2, V4, V5 and V6: their steps are too large for {what} "
                f"(mean curvature × effective learning rate/2 above {largest:g}, or (d − 1) × T × effective learning "
                f"rate above {LARGEST_TURN:g}), or they have no noise"
            )
        if not self.corrected:
            why = "laplacian was not measured" if self.derived else "no correction is derived for this optimiser"
            notes.append(f"{why}: V2, V4 and V5 are not corrected for the finite step size")
        return notes


def noise_variance(table: Table) -> FloatArray:
    """Trace of the covariance of gradients at unit norm; NaN where the estimate is not positive."""
    if not table.missing("grad_variance_unit"):
        noise = table.values("grad_variance_unit")
    else:
        noise = table.values("grad_variance") * table.values("radius_sq")
    return np.where(noise > 0, noise, np.nan)


def _noise_temperature(table: Table, rate: FloatArray) -> FloatArray:
    """The measured one if there, else from the noise."""
    if not table.missing("temperature"):
        return table.values("temperature")
    noise = noise_variance(table)
    temperature = np.zeros(len(noise))
    good = noise > 0
    sigma = np.sqrt(noise[good] / (table.dimension - 1))
    temperature[good] = FixedELR.temperature(eta_eff=rate[good], sigma=sigma)
    return temperature


def _filled(log_t: FloatArray, values: FloatArray) -> FloatArray:
    """The few values that are not known, from those at the temperatures next to them."""
    there = np.isfinite(values)
    if not there.any():
        return np.zeros(len(values))
    order = np.argsort(log_t[there])
    return np.where(there, values, np.interp(log_t, log_t[there][order], values[there][order]))


def unmixed(table: Table, on_entropy: bool = True) -> str:
    """Why no verdict can stand on how the directions scatter, or on their entropy; empty if one can."""
    found = [_path_entropies(table), _without_bias(table)] if on_entropy else []
    reasons = [one for one in (*found, _too_few_samples(table)) if one]
    return f"gate: {'; '.join(reasons)}" if reasons else ""


def uncalibrated_noted(table: Table, verdict: Verdict) -> Verdict:
    """A verdict on entropies, with a word on their bias where it was not measured."""
    if "entropy_bias" in table.data.variables or verdict.verdict == "refused":
        return verdict
    return replace(verdict, reason=f"{verdict.reason}; the bias of the estimator of S was not calibrated")


def _without_bias(table: Table) -> str:
    """Why the bias of the entropies cannot be taken off; empty if it can, or nobody tried to measure it."""
    if "entropy_bias" not in table.data.variables:
        return ""
    share = float(np.mean(~np.isfinite(table.values("entropy_bias")))) if table.used.any() else 0.0
    if share <= MOST_LEFT_OUT:
        return ""
    return (
        f"the bias of the estimator of S could not be calibrated in {share:.0%} of the runs: that takes 4 independent "
        "snapshots for every direction, and directions within a right angle of their mean"
    )


def _path_entropies(table: Table) -> str:
    """Why no verdict can stand on the entropies themselves; empty if one can.

    An entropy from nearest neighbours that are neighbours in time is that of the path (derivation "path-entropy"). One
    that is no estimate from neighbours says so by a `path_entropy` that is false.
    """
    if not table.missing("path_entropy"):
        path = table.values("path_entropy").astype(bool)
    elif not table.missing("neighbour_lag"):
        path = table.values("neighbour_lag") <= 1
    else:
        return (
            "whether the entropies are path entropies is not known: a column path_entropy, or neighbour_lag, with a "
            "number for every run would show it"
        )
    share = float(path.mean()) if len(path) else 0.0
    if share <= MOST_LEFT_OUT:
        return ""
    return (
        f"{share:.0%} of the entropies are path entropies (the nearest neighbour of a snapshot is its neighbour in "
        "time), so the entropy itself cannot be judged"
    )


def _too_few_samples(table: Table) -> str:
    """Why no verdict can stand on how the directions scatter; empty if one can.

    A run that has been round too few times shows a part of its distribution.
    """
    if table.missing("effective_sample_size"):
        return (
            "how many independent samples the runs have of their directions is not known: a column "
            "effective_sample_size with a number for every run would show it"
        )
    size = table.values("effective_sample_size")
    share = float((size < FEWEST_SAMPLES).mean()) if len(size) else 0.0
    if share <= MOST_LEFT_OUT:
        return ""
    return (
        f"{share:.0%} of the runs have fewer than {FEWEST_SAMPLES} independent samples of their directions "
        f"(minimum {size.min():.0f}): the runs are not mixing"
    )
