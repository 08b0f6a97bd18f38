"""V8, the compressibility factor: whether the gas is ideal, by a thermometer that does not look at the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.everywhere import over_temperature
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate, fit, mean_of, no_estimate, spline_basis
from empirics.claims.gas import (
    compressibility,
    gas_constant,
    learning_rate,
    noise_compressibility,
    state_missing,
    whatever_the_loss,
)
from empirics.claims.ground import ground_of
from empirics.claims.region import Band
from empirics.claims.state import StateVariables
from empirics.claims.table import FEWEST_RUNS, MOST_LEFT_OUT, Table
from empirics.claims.thermometer import steps_too_large
from empirics.claims.verdict import Verdict
from empirics.measure.stationarity import BALANCE_MARGIN

__all__ = ["CompressibilityFactor"]

FloatArray = NDArray[np.float64]

IDENTITY = "p V/(R T), T read off the noise, over (1 + |grad L|^2/tr Cov)/(1 - lr·wd/2), as in any stationary run"
NOISE_SLOPE = "Slope of log p V/(R T) in log V at fixed T, T read off the noise"
SLOPE = "Slope of log p V/(R T) in log V at fixed T, T by the configurational thermometer"
IDEAL = "p V/(R T), T by the configurational thermometer"

#: Standard deviation of log V at fixed T below which no slope in it is judged: what a spline in log T leaves of a
#: volume that is a function of T looks like one.
NARROWEST = 0.1


class CompressibilityFactor(Claim):
    """``Z = p V/(R T)``, with two thermometers.

    With T read off the noise Z is fixed by the norm balance: an identity that says nothing about the gas. With T from
    slopes and curvatures of the loss, ``E|grad L|^2/E[Laplacian]`` (V6), ``Z = 1`` only if there is a Gibbs law:
    physics. For either thermometer Z depends on T alone in any network that is scale-invariant as a whole, so its slope
    in log V at fixed T is 0 (derivation "real-gas": no virial coefficients); a length scale (eps, affine parameters, a
    trained last layer) makes it another. The slopes are therefore judged on runs that are not scale-invariant too, if
    they are stationary by the balance with the remainder. "At fixed T" is a spline in the logarithm of the noise
    temperature; of a scale-invariant network it is a function of lr wd (at fixed ELR: of eta_eff), as all of Z is.

    With the norm in balance p V is R T of the noise, so that Z by the second thermometer is V6's ratio upside down: one
    piece of evidence, not two. What V8 adds is the dependence on V.

    R counts the directions of the parts, where they are known: 600 of 615.5 for 32 filters of 1,232 weights. A cold gas
    at steps of finite size has ``p V`` and both terms of the thermometer larger by the same factor: Z stays 1.
    """

    name = "V8"
    title = "Compressibility factor"
    protocols = ("fixed-lr", "fixed-elr")
    statements = (
        Statement(
            words="With the temperature read off the gradient noise, the norm balance fixes the compressibility factor "
            "p V/(R T) of a stationary run. It says nothing about the gas.",
            derivations=("compressibility",),
        ),
        Statement(
            words="At a fixed temperature the compressibility factor does not depend on the volume: a network that is "
            "scale-invariant in all its weights has no virial coefficients, so it is no real gas. A length scale (eps, "
            "affine parameters, a trained last layer) would show here.",
            derivations=("real-gas",),
        ),
        Statement(
            words="The gas is ideal, p V = R T, with a temperature from slopes and curvatures of the loss, not from "
            "noise. It uses the configurational temperature (V6) again, so the two are one piece of evidence.",
            derivations=("ideal-gas-law", "configurational-temperature"),
        ),
    )

    #: A ratio within 5 % counts as equal; by a slope of 0.025 it changes that much while V grows by a factor of 7.
    margin = 0.05
    slope_margin = 0.025

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the identity, the slopes and the ideal gas."""
        # The last is V6's ratio upside down: one piece of evidence, not two.
        ideal = replace(self._ideal(table), primary=False)
        return [self._identity(table), self._noise_slope(table), self._slope(table), ideal]

    def _identity(self, table: Table) -> Verdict:
        law = ground_of(table, "compressibility")
        if missing := state_missing(table, "grad_variance", "grad_mean_sq"):
            return self.not_measured(table, IDENTITY, law, 1.0, missing)
        noisy = table.values("grad_variance") > 0
        slopes, noise, decay = (table.values(name)[noisy] for name in ("grad_mean_sq", "grad_variance", "weight_decay"))
        ratio = by_noise(table)[noisy] / noise_compressibility(slopes, noise, learning_rate(table)[noisy], decay)
        verdict = self.verdict(
            table, IDENTITY, law, 1.0, BALANCE_MARGIN, mean_of(ratio, clusters_of(table, noisy)), gated=False
        )
        return replace(verdict, reason=f"{verdict.reason}; this is the norm balance and says nothing about the gas")

    def _noise_slope(self, table: Table) -> Verdict:
        table = whatever_the_loss(table)
        if missing := state_missing(table, "grad_variance"):
            return self.not_measured(table, NOISE_SLOPE, ground_of(table, "real-gas"), 0.0, missing)
        return self._judge_slope(table, NOISE_SLOPE, by_noise(table))

    def _slope(self, table: Table) -> Verdict:
        table = whatever_the_loss(table)
        if missing := state_missing(table, "grad_variance", "laplacian", "grad_mean_sq_unit"):
            return self.not_measured(table, SLOPE, ground_of(table, "real-gas"), 0.0, missing)
        return self._judge_slope(table, SLOPE, by_curvature(table))

    def _judge_slope(self, table: Table, form: str, factor: FloatArray) -> Verdict:
        slope, virial = _over_volume(table, factor)
        details: dict[str, object] = {"second virial coefficient (weight^2)": virial.value}
        law = ground_of(table, "real-gas")
        verdict = self.verdict(table, form, law, 0.0, self.slope_margin, slope, details=details)
        if verdict.verdict != "disagrees":
            return verdict
        why = f"; a real gas, with a length scale: second virial coefficient {virial} (weight^2) over the runs"
        return replace(verdict, reason=verdict.reason + why)

    def _ideal(self, table: Table) -> Verdict:
        law = ground_of(table, "configurational-temperature")
        if missing := [*state_missing(table, "laplacian", "grad_mean_sq_unit"), *StateVariables.missing(table)]:
            return self.not_measured(table, IDEAL, law, 1.0, missing)
        within, slopes = StateVariables.of(table).within, table.values("grad_mean_sq_unit")
        curved = within & (table.values("laplacian") > 0)
        laplacian, work = table.values("laplacian")[curved], _work(table)[curved]
        # R T/(p V): its numerator is estimated without bias and may be negative where slopes are hardly seen.
        inverses = 1 / compressibility(work, 1.0, gas_constant(table), 1.0) * slopes[curved] / laplacian
        heat = StateVariables.of(table).temperature[curved[within]]
        inverse = over_temperature(heat, inverses, clusters_of(table, curved))
        estimate = no_estimate(inverse.why or "slopes of the loss are not significant above their noise")
        if inverse.low > 0:
            estimate = _inverted(inverse)
        refused = steps_too_large(table, self.margin)
        return self.verdict(table, IDEAL, law, 1.0, self.margin, estimate, refused=refused)

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """The factor of every run over its volume, by both thermometers, at fixed T."""
        table = whatever_the_loss(table)
        series = [
            Series(f"T by {thermometer}", *beside)
            for thermometer, factor in _by_thermometer(table).items()
            if (beside := _beside_temperature(table, factor)) is not None
        ]
        return (_plot(series, self.margin),) if series else ()

    def notes(self, table: Table) -> list[str]:
        """Give the range of Z by both thermometers."""
        notes = []
        for thermometer, factor in _by_thermometer(table).items():
            seen = factor[np.isfinite(factor)]
            if len(seen):
                notes.append(f"p V/(R T) by {thermometer}: {seen.min():.3g} to {seen.max():.3g} over the runs")
        return notes


def _inverted(one: Estimate) -> Estimate:
    """One over a number that lies above 0; where its band does not, there is no upper end."""
    band = one.everywhere
    if isinstance(band, Band):
        band = band.of(lambda z: np.where(z > 0, 1 / np.where(z > 0, z, 1.0), np.inf))
    return replace(one, value=1 / one.value, low=1 / one.high, high=1 / one.low, everywhere=band)


def _by_thermometer(table: Table) -> dict[str, FloatArray]:
    """Z of the runs used with each thermometer that there are numbers for."""
    if state_missing(table, "grad_variance") or not table.used.any():
        return {}
    ways = {"the noise": by_noise(table)}
    if not state_missing(table, "laplacian", "grad_mean_sq_unit"):
        ways["the configurational thermometer"] = by_curvature(table)
    return ways


def _plot(series: list[Series], margin: float) -> Plot:
    """Z over V, what depends on T alone taken off both."""
    words = "; ".join(f"{one.label}: {one.y.min():.3f} to {one.y.max():.3f}" for one in series)
    return Plot(
        "volume",
        "Does p V/(R T) depend on the volume?",
        f"p V/(R T) over its fit as a function of T: {words}.",
        "Both p V/(R T) and V are divided by a smooth function of T that is fitted to them, so that only their change "
        "at fixed T remains. Flat for a network that is scale-invariant as a whole; a slope means a real gas.",
        "V over its fit at that T",
        "p V/(R T) over its fit at that T",
        tuple(series),
        level=1.0,
        margin=margin,
    )


def by_noise(table: Table) -> FloatArray:
    """Z of the runs used with T read off the noise; NaN where there is none."""
    noise = table.values("grad_variance")
    # R T = (d - 1)/2 lr tr Cov/(2 (d - 1)): the number of directions drops out.
    work = learning_rate(table) * np.where(noise > 0, noise, np.nan) / 4
    return compressibility(table.values("weight_decay"), table.values("radius_sq") / 2, 1.0, work)


def by_curvature(table: Table) -> FloatArray:
    """Z of the runs used with the configurational temperature; NaN where that is not positive."""
    slopes, laplacian = table.values("grad_mean_sq_unit"), table.values("laplacian")
    good = (slopes > 0) & (laplacian > 0)
    heat = np.full(len(slopes), np.nan)
    heat[good] = slopes[good] / laplacian[good]
    return compressibility(table.values("weight_decay"), table.values("radius_sq") / 2, gas_constant(table), heat)


def _work(table: Table) -> FloatArray:
    """Pressure times volume."""
    return table.values("weight_decay") * table.values("radius_sq") / 2


def _over_volume(table: Table, factor: FloatArray) -> tuple[Estimate, Estimate]:
    """Slope of log Z in log V at fixed noise temperature, and that of Z in 1/V, the second virial coefficient."""
    volume = table.values("radius_sq") / 2
    good = _told(table, factor)
    if (~good).sum() > MOST_LEFT_OUT * len(good):
        none = no_estimate(f"{int((~good).sum())} of {len(good)} runs have no slopes or no noise to read T from")
        return none, none
    basis, logs = _of_temperature(table, good), np.log(volume[good])
    beside = _rest(basis, logs)
    if not len(beside) or beside.std() < NARROWEST:
        none = no_estimate(f"at fixed T the volume varies by less than {NARROWEST:.0%}, too little to estimate a slope")
        return none, none
    last, together = np.r_[np.zeros(basis.shape[1]), 1.0], clusters_of(table, good)
    slope = fit(np.c_[basis, logs], np.log(factor[good]), last, together)
    return slope, fit(np.c_[basis, 1 / volume[good]], factor[good], last, together)


def _told(table: Table, factor: FloatArray) -> NDArray[np.bool_]:
    """Which of the runs used have a Z and noise."""
    return np.isfinite(factor) & (table.values("grad_variance") > 0)


def _of_temperature(table: Table, good: NDArray[np.bool_]) -> FloatArray:
    """Splines in the logarithm of (d - 1) T: a factor that is the same in all runs does not matter."""
    return spline_basis(np.log(learning_rate(table)[good] * table.values("grad_variance")[good]))


def _rest(basis: FloatArray, values: FloatArray) -> FloatArray:
    """What a fit by the basis leaves of the values."""
    return np.asarray(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def _beside_temperature(table: Table, factor: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """V and Z over what each is at the same T elsewhere, of the runs that have a Z; None where V hardly varies."""
    good = _told(table, factor)
    if good.sum() < FEWEST_RUNS:
        return None
    basis = _of_temperature(table, good)
    volume, factor = (np.exp(_rest(basis, np.log(one[good]))) for one in (table.values("radius_sq") / 2, factor))
    return None if np.log(volume).std() < NARROWEST else (volume, factor)
