"""V4, the adiabat: the slope of the entropy in one rate alone, by the measured heat capacity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.coordinates import EVERY_OPTIMIZER, law, law_of, log_slopes, orbit_of
from empirics.claims.curves import Curves, Statistic, estimates, too_narrow
from empirics.claims.everywhere import slopes_in_parts
from empirics.claims.exhibit import Exhibit, Plot, Series, typeset
from empirics.claims.fits import Estimate, Spline, no_estimate
from empirics.claims.ground import ground_of
from empirics.claims.state import StateVariables, uncalibrated_noted, unmixed
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from thermo_theory import FixedELR, FixedLR, Protocol, derive
from thermo_theory.symbols import C_V, C_p, R, T, d, eta, eta_eff, h, lam, sigma, t

__all__ = ["AdiabatSlope", "fixed_lr_form", "slope_in_decay", "slope_in_rate"]

FloatArray = NDArray[np.float64]

FIXED_LR = "Slope of S in log weight decay at fixed lr, minus (C_V - R)/2, in units of R"
FIXED_ELR = "Slope of S in log effective learning rate at fixed weight decay, minus C_p = C_V + R, in units of R"

#: Runs in this share at each end of the temperatures are fitted and not judged: slopes there have data on one side.
ENDS = 0.1


class AdiabatSlope(Claim):
    """At fixed lr ``dS/dlog wd = (C_V - R)/2``: 0 at low temperature, where ``lr = const`` is the adiabat.

    At fixed effective learning rate its twin is ``dS/dlog eta_eff = C_p = C_V + R`` at fixed weight decay, so that the
    two slopes there give gamma = C_p/C_V. C_V is measured, as the slope of the mean loss in T, and slope and C_V are
    compared run by run along their curves, so the gas may be warm. S is fitted in the form that scale invariance gives
    it (V3 tests that by itself): any function of lr·wd plus any multiple of log(lr/wd).

    Other optimisers have T and r as other powers of lr and weight decay, and so other slopes of S in log wd at fixed
    lr: ``(C_V - 2R)/2`` for AdamW, by which ``wd ~ lr^3`` is the adiabat of its cold gas, ``(C_V - 2R)/3`` for Adam
    with L2.

    At fixed lr the formula takes T as ``(lr wd)^(1/2)``, which noise of constant size and small steps give. Finite
    steps move the logarithmic slope of T from 1/2, by what the derivation "finite-step" says of noise of constant size;
    where the curvature was measured, it is taken into account.
    """

    name = "V4"
    title = "Adiabat"
    protocols = ("fixed-elr", "fixed-lr")
    optimizers = EVERY_OPTIMIZER
    takes = ("temperature",)
    statements = (
        Statement(
            words="At a fixed learning rate the slope of the entropy in log weight decay is (C_V − R)/2, with the heat "
            "capacity C_V from the mean loss. In the low-temperature limit it is 0: a change of weight decay is "
            "adiabatic.",
            derivations=("entropy-of-schedule", "heat-capacities"),
            protocols=("fixed-lr",),
            optimizers=("sgd",),
        ),
        Statement(
            words="At a fixed weight decay the slope of the entropy in log effective learning rate is C_p = C_V + R, "
            "with the heat capacity C_V from the mean loss: entropy and loss give the same adiabatic index.",
            derivations=("heat-capacities",),
            protocols=("fixed-elr",),
        ),
        Statement(derivations=("temperature", "radius"), optimizers=EVERY_OPTIMIZER[1:]),
    )

    #: In units of R: a twentieth of what a cold gas has in C_V.
    margin = 0.05

    def statement(self, row: Verdict) -> Statement:
        """What is tested; of other optimisers than SGD, the slope that their temperature and radius give."""
        said = super().statement(row)
        if row.optimizer == "sgd":
            return said
        of = law(row.protocol, row.optimizer)
        cold = _slope_for_small_steps(of).subs(C_V, R) / R
        words = (
            f"At a fixed learning rate the slope of the entropy in log weight decay is {typeset(_small_slope(of))}, "
            "with the heat capacity C_V from the mean loss, as temperature and norm under this optimiser require: "
            f"{typeset(f'{cold} R') if cold else '0'} in the low-temperature limit."
        )
        return replace(said, words=words)

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the slope of the protocol."""
        free = table.protocol == "fixed-lr"
        form = fixed_lr_form(law_of(table)) if free else FIXED_ELR
        name = "temperature" if table.optimizer != "sgd" else "entropy-of-schedule" if free else "heat-capacities"
        slope = ground_of(table, name)
        if missing := _missing(table):
            return [self.not_measured(table, form, slope, 0.0, missing)]
        state = StateVariables.of(table)
        estimate, details = _compare(table, state)
        refused = unmixed(table)
        row = self.verdict(table, form, slope, 0.0, self.margin, estimate, details=details, refused=refused)
        return [uncalibrated_noted(table, row)]

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """The slope and what the heat capacity gives for it, over the temperatures."""
        if _missing(table):
            return ()
        state = StateVariables.of(table)
        comparison = _comparison(table, state)
        return () if isinstance(comparison, str) else (_plot(table, state, comparison),)


def _missing(table: Table) -> list[str]:
    """Name what is not there and the slopes need."""
    return [*table.missing(table.rate, "weight_decay", "entropy", "loss"), *StateVariables.missing(table)]


def fixed_lr_form(of: Protocol) -> str:
    """Title of the claim at fixed LR, with the slope that the derived temperature and radius of an optimiser give.

    >>> fixed_lr_form(FixedLR.with_optimizer("momentum")) == FIXED_LR
    True
    >>> fixed_lr_form(FixedLR.with_optimizer("adamw"))
    'Slope of S in log weight decay at fixed lr, minus (C_V - 2R)/2, in units of R'
    """
    return FIXED_LR.replace("(C_V - R)/2", _small_slope(of))


def _small_slope(of: Protocol) -> str:
    """The slope in log weight decay for small steps, in symbols."""
    above, below = sp.fraction(sp.together(_slope_for_small_steps(of)))
    return f"({sp.sstr(above).replace('*', '')})/{below}"


@cache
def _slope_for_small_steps(of: Protocol) -> sp.Expr:
    """Slope of ``S = S_sphere(T) + 2 R log r`` in log weight decay, by the derived temperature and radius."""
    (_, heat), (_, size) = log_slopes(of.temperature), log_slopes(of.radius)
    return sp.Rational(heat).limit_denominator(12) * C_V + 2 * sp.Rational(size).limit_denominator(12) * R


def slope_in_decay(heat_capacity: FloatArray, log_slope: FloatArray | float = 0.5) -> FloatArray:
    """Slope of S in log weight decay at fixed lr that the heat capacity gives, both in units of R.

    `log_slope` is that of log T in log weight decay; 1/2 for small steps.

    Examples
    --------
    >>> slope_in_decay(np.array([1.0, 0.4]))
    array([ 0. , -0.3])
    """
    # C_p/2 - R: C_p comes with the slope of log T, whose value for small steps is 1/2.
    small = _in_units_of_r("fixed-lr")(heat_capacity)
    return np.asarray(small + slope_in_rate(heat_capacity) * (log_slope - 0.5))


def slope_in_rate(heat_capacity: FloatArray, log_slope: FloatArray | float = 1.0) -> FloatArray:
    """Slope of S in log effective learning rate at fixed weight decay, C_p for small steps, both in units of R.

    `log_slope` is that of log T in log effective learning rate; 1 for small steps.

    Examples
    --------
    >>> slope_in_rate(np.array([1.0, 0.4]))
    array([2. , 1.4])
    """
    return np.asarray(_in_units_of_r("fixed-elr")(heat_capacity) * log_slope)


@cache
def _in_units_of_r(protocol: str) -> Callable[[FloatArray], FloatArray]:
    """Slope for small steps as a function of C_V/R: along a schedule of weight decay, or of the temperature alone."""
    heat = C_p
    if protocol == "fixed-lr":
        schedule = sp.expand(derive("entropy-of-schedule").claim.equation.rhs)
        (decay,) = [one for one in schedule.atoms(sp.core.function.AppliedUndef) if one.func.__name__ == "lambda"]
        heat = sp.simplify(schedule.coeff(sp.Derivative(decay, t)) * decay)
    expression = heat.subs(C_p, derive("heat-capacities").claim.equation.rhs).subs(R, 1)
    function: Callable[[FloatArray], FloatArray] = sp.lambdify(C_V, expression)
    return function


@cache
def _log_slope(protocol: str) -> Callable[..., FloatArray]:
    """Slope of log T in log weight decay, or in log effective learning rate: R T = p V at finite steps."""
    if protocol == "fixed-lr":
        volume = derive("finite-step", FixedLR).claim.equation.rhs
        return sp.lambdify((eta, lam, h, sigma, d), 1 + lam * sp.diff(sp.log(volume), lam))
    # The temperature of the noise goes as the effective learning rate.
    heat = derive("finite-step", FixedELR).claim.equation.rhs.subs(T, eta_eff)
    return sp.lambdify((eta_eff, h), sp.simplify(eta_eff * sp.diff(sp.log(heat), eta_eff)))


def _log_slope_at_fixed_lr(table: Table, state: StateVariables) -> FloatArray:
    """Slope of log T in log weight decay at fixed lr, for noise of constant size and steps as large as they are."""
    if not state.corrected:
        return np.full(len(state.eta_eff), 0.5)
    noise = np.sqrt(2 * state.noise_temperature / state.eta_eff)
    rate, decay = state.values(table, "lr"), state.values(table, "weight_decay")
    slope = _log_slope("fixed-lr")
    return np.asarray(slope(rate, decay, state.curvature, noise, table.dimension), dtype=float)


def _log_slope_at_fixed_elr(table: Table, state: StateVariables) -> FloatArray:
    """Slope of log T in log effective learning rate, for noise of constant size and steps as large as they are."""
    if not state.corrected:
        return np.ones(len(state.eta_eff))
    slope = _log_slope("fixed-elr")
    return np.asarray(slope(state.eta_eff, state.curvature) * np.ones(len(state.curvature)), dtype=float)


@dataclass(frozen=True)
class _Comparison:
    """What the slopes of a protocol are fitted with: S = s(along) + c across, the slope being s' + share c."""

    design: FloatArray  # shape (runs, parameters); of the spline s with the column of c
    derivatives: FloatArray  # shape (runs, parameters); of the derivative of s
    share: float  # how much of c is in the slope
    entropy: FloatArray  # shape (runs,); S/R
    loss: FloatArray  # shape (runs,); mean
    judged: NDArray[np.bool_]  # shape (runs,); runs that are judged, not only fitted
    gas_constant: float  # R
    predict: Callable[[FloatArray], FloatArray]  # from C_V/R of every run to the slope

    def slopes(self, curves: Curves, chosen: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Slope of S/R and C_V/R at every run, fitted to those chosen."""
        (*coefficients, c), *_ = np.linalg.lstsq(self.design[chosen], self.entropy[chosen], rcond=None)
        _, energy_slope = curves.energy(self.loss, chosen, curves.log_t)
        return self.derivatives @ coefficients + self.share * c, energy_slope / np.exp(curves.log_t) / self.gas_constant


def _comparison(table: Table, state: StateVariables, tilt: float = 0.0) -> _Comparison | str:
    """Set up the comparison, or say why there is none; `tilt` as in `StateVariables.bias`.

    At fixed LR ``S = s(k log lr + log wd) + c (log lr - k log wd)``, for SGD with k = 1, so that the slope in log wd is
    s' - k c; at fixed ELR ``S = s(log eta_eff) + c log wd``, and the slope in log eta_eff is s'.
    """
    why = table.unvarying("entropy", "loss", among=state.within) or too_narrow(state.temperature, state.along)
    if why:
        return why
    free, gas_constant = table.protocol == "fixed-lr", (table.dimension - 1) / 2
    rate, decay = (np.log(state.values(table, n)) for n in (table.rate, "weight_decay"))
    along, across, share = rate, decay, 0.0
    if free:
        orbit = orbit_of(law_of(table))
        along, across, share = orbit.along(rate, decay), rate - orbit.weight * decay, -orbit.weight
    spline = Spline.over(along)
    design = np.c_[spline.design(along), across - across.mean()]
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "the runs do not determine it: too few different values of what is set"
    log_t = np.log(state.temperature)
    return _Comparison(
        design,
        spline.design(along, 1),
        share,
        (state.values(table, "entropy") - state.bias(table, tilt)) / gas_constant,
        state.values(table, "loss"),
        np.abs(log_t - (log_t.min() + log_t.max()) / 2) < (0.5 - ENDS) * np.ptp(log_t),
        gas_constant,
        _prediction(table, state),
    )


def _prediction(table: Table, state: StateVariables) -> Callable[[FloatArray], FloatArray]:
    """What turns C_V/R of every run into the slope expected of it."""
    of = law_of(table)
    if table.protocol != "fixed-lr":
        by_rate = _log_slope_at_fixed_elr(table, state)
        return lambda capacity: slope_in_rate(capacity, by_rate)
    if of.optimizer == "sgd":
        by_decay = _log_slope_at_fixed_lr(table, state)
        return lambda capacity: slope_in_decay(capacity, by_decay)
    for_small_steps: Callable[[FloatArray], FloatArray] = sp.lambdify(C_V, _slope_for_small_steps(of).subs(R, 1))
    return for_small_steps


def _compare(table: Table, state: StateVariables) -> tuple[Estimate, dict[str, Any]]:
    """Mean over runs of the slope less what the heat capacity predicts."""
    this, off = _comparison(table, state), _comparison(table, state, tilt=1.0)
    if isinstance(this, str) or isinstance(off, str):
        return no_estimate(str(this)), {}

    def build(curves: Curves, one: _Comparison = this) -> Statistic:
        def means(chosen: NDArray[np.intp]) -> FloatArray:
            slope, capacity = one.slopes(curves, chosen)
            every = np.array([slope - this.predict(capacity), slope, capacity])[:, this.judged]
            return np.r_[every.mean(axis=1), every[0] @ apart / max(apart @ apart, 1e-300)]

        return means

    judged = np.log(state.temperature)[this.judged]
    apart, together = judged - judged.mean(), clusters_of(table, state.within)
    found = estimates(
        build,
        state.temperature,
        state.along,
        this.design.shape[1],
        together,
        shifted=lambda curves: build(curves, off),
    )
    difference, slope, capacity, change = found
    return slopes_in_parts(difference, change, float(apart.std()), 0.0), {
        "slope of S/R": slope.value,
        "C_V/R": capacity.value,
        "runs judged": int(this.judged.sum()),
    }


def _plot(table: Table, state: StateVariables, comparison: _Comparison) -> Plot:
    """Slope of S/R, and what C_V gives for it, over the temperatures of the runs judged."""
    order = np.flatnonzero(comparison.judged)
    order = order[np.argsort(state.temperature[order])]

    def build(curves: Curves) -> Statistic:
        def both(chosen: NDArray[np.intp]) -> FloatArray:
            slope, capacity = comparison.slopes(curves, chosen)
            return np.r_[slope[order], comparison.predict(capacity)[order]]

        return both

    together = clusters_of(table, state.within)
    found = estimates(build, state.temperature, state.along, comparison.design.shape[1], together)
    value, half = np.array([(one.value, (one.high - one.low) / 2) for one in found]).T
    (slope, predicted), (error, off) = value.reshape(2, -1), half.reshape(2, -1)
    heat = state.temperature[order]
    free = table.protocol == "fixed-lr"
    name, gives = (
        ("log weight decay", _small_slope(law_of(table))) if free else ("log effective learning rate", "C_V + R")
    )
    gives = typeset(gives)
    return Plot(
        "slope",
        f"Slope of the entropy in {name}",
        f"From the lowest to the highest temperature judged, the slope of S/R in {name} goes from {slope[0]:.3g} to "
        f"{slope[-1]:.3g}, and {gives} from the mean loss from {predicted[0]:.3g} to {predicted[-1]:.3g}.",
        f"Measured: the slope of a smooth fit to the entropies. Expected: {gives} in units of R, with C_V from a "
        "smooth fit to the mean losses. Both where runs are judged, with 95 % intervals.",
        "temperature T (nat)",
        f"slope of S/R in {name}",
        (
            Series("measured", heat, slope, line=True, error=error),
            Series(f"expected, {gives}", heat, predicted, line=True, error=off),
        ),
    )
