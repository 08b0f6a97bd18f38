"""V6, the configurational temperature: slopes and curvatures of the loss give the temperature of the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import Clusters, clusters_of
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.everywhere import over_temperature
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate
from empirics.claims.ground import ground_of
from empirics.claims.protocol import known
from empirics.claims.state import StateVariables, finite_step_factor
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge
from empirics.measure.rounding import quotient
from thermo_theory import derive
from thermo_theory.symbols import Hess, Sigma, g_unit, grad_L_unit, lap_L
from thermo_theory.symbols.vectors import Expectation, Quad, SymProduct, Tr

__all__ = ["ConfigurationalTemperature"]

FloatArray = NDArray[np.float64]

GIBBS = "Mean squared gradient over T times the mean Laplacian of the loss"
BALANCE = "Mean squared gradient over half the effective learning rate times the mean of tr(H Sigma)"
ALONG = "Mean squared gradient over half the effective learning rate times the curvature along gradients"


class ConfigurationalTemperature(Claim):
    """``E|grad L|^2 = T E[Laplacian L]`` on the unit sphere, the ratio of the means of the two sides over T.

    Under the Gibbs law it follows by integrating by parts, so it needs noise that is isotropic and the same all over.
    Beside it, ``E|grad L|^2 = eta_eff E tr(H Sigma)/2`` holds under any noise in every stationary run by SGD. In a
    harmonic well the ratio of the two is ``m tr(H Sigma)/(tr H tr Sigma)`` with m directions: where all curvatures are
    equal, the thermometer cannot see the shape of the noise, only whether its size is the same all over.

    Finite steps: with the curvature along minibatch gradients (``hessian_gradient``), both are exact to second order in
    the step, whatever the curvatures: ``eta_eff E[g.H g]/2``, and for the first ``eta_eff E[grad L.H grad L]/2`` taken
    off E|grad L|^2 ("step-balance", "step-thermometer"). Where the second is off all the same, the loss along a step is
    not quadratic, and no verdict is given on the first. Without ``hessian_gradient`` both are taken at the temperature
    of the Gibbs law that such steps sample (`empirics.claims.state`), by the mean curvature; that along the mean
    gradient is higher where curvatures differ, and both are then off by half the difference times eta_eff.
    """

    name = "V6"
    title = "Configurational temperature"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    optimizers = EVERY_OPTIMIZER
    takes = ("temperature",)
    statements = (
        Statement(
            words="A thermometer made of slopes and curvatures of the loss alone reads the temperature of the gradient "
            "noise.",
            derivations=("configurational-temperature", "step-thermometer"),
        ),
        Statement(
            words="In a stationary run the decrease of the loss by steps along its slope equals the increase by "
            "curvature along the steps, for noise of any shape.",
            derivations=("step-balance", "gradient-balance"),
        ),
    )

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the thermometer, and for SGD the balance beside it."""
        return [self._gibbs(table), *([self._balance(table)] if table.optimizer == "sgd" else [])]

    def notes(self, table: Table) -> list[str]:
        """Say that the balance is derived for SGD alone."""
        if table.optimizer == "sgd":
            return []
        return [f"the gradient balance of V6 with tr(H Sigma) is not judged: it is not derived for {table.optimizer}"]

    def _gibbs(self, table: Table) -> Verdict:
        law = ground_of(table, "configurational-temperature")
        if missing := [*_without_slopes(table), *table.missing("laplacian"), *StateVariables.missing(table)]:
            return self.not_measured(table, GIBBS, law, 1.0, missing)
        estimate, refused = _by_gibbs(table).estimate, steps_too_large(table, self.margin)
        return self.verdict(table, GIBBS, law, 1.0, self.margin, estimate, refused=refused)

    def _balance(self, table: Table) -> Verdict:
        along_gradients = _along_gradients(table)
        form, lacking = (ALONG, []) if along_gradients else (BALANCE, table.missing("hessian_noise"))
        law = ground_of(table, "step-balance" if along_gradients else "gradient-balance")
        if missing := [*_without_slopes(table), *lacking, *StateVariables.missing(table)]:
            return self.not_measured(table, form, law, 1.0, missing)
        estimate = _by_balance(table).estimate
        verdict = self.verdict(table, form, law, 1.0, self.margin, estimate)
        if verdict.verdict != "disagrees" or not along_gradients:
            return verdict
        return replace(verdict, reason=f"{verdict.reason}; {steps_too_large(table, self.margin)}")

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Both ratios of every run over its temperature."""
        if _without_slopes(table) or StateVariables.missing(table):
            return ()
        series = []
        if not table.missing("laplacian"):
            series.append(_by_gibbs(table).series("over T E[ΔL] (Gibbs)"))
        if table.optimizer == "sgd" and (_along_gradients(table) or not table.missing("hessian_noise")):
            series.append(_by_balance(table).series("over ½ η E[g·Hg] (any noise)"))
        series = [one for one in series if len(one.y)]
        if not series:
            return ()
        return (
            Plot(
                "thermometer",
                "Mean squared gradient over its expected value",
                f"{'; '.join(f'{one.label}: {one.y.min():.3f} to {one.y.max():.3f}' for one in series)}.",
                "The Gibbs law requires a ratio of 1."
                if len(series) < 2
                else "Both ratios are 1 where the Gibbs law holds. The second is 1 in every stationary run whose steps "
                "are not too large: if it is 1 and the first is not, the noise is not that of a Gibbs law.",
                "temperature T",
                "E|∇L|² over expected",
                tuple(series),
                level=1.0,
                margin=self.margin,
            ),
        )


@dataclass(frozen=True)
class _Sides:
    """Both sides of an equation for E|grad L|^2, run by run; all of shape (runs,)."""

    temperature: FloatArray
    slopes: FloatArray  # the squared gradient at unit norm
    expected: FloatArray  # what it should be
    clusters: Clusters  # which runs may share their scatter

    @property
    def estimate(self) -> Estimate:
        """Ratio of the means of both sides over T, which are of one size in all runs: curvatures are noisy.

        It is judged as a function of T.
        """
        heat = self.temperature
        return over_temperature(heat, self.slopes / heat, self.clusters, self.expected / heat)

    def series(self, label: str) -> Series:
        """The ratio in every run in which what is expected is above 0."""
        there = self.expected > 0
        return Series(label, self.temperature[there], self.slopes[there] / self.expected[there])


def _by_gibbs(table: Table) -> _Sides:
    """What the Gibbs law demands."""
    state = StateVariables.of(table)
    slopes, laplacian = _slopes(table, state), state.values(table, "laplacian")
    along_mean, together = _along_mean(table, state), clusters_of(table, state.within)
    if table.optimizer == "sgd" and along_mean is not None:
        # Taken off what is measured, not put on what is expected: there it would hide what the noise does.
        slopes = slopes - by_steps(state.eta_eff, along_mean)
        return _Sides(state.temperature, slopes, by_temperature(state.noise_temperature, laplacian), together)
    return _Sides(state.temperature, slopes, by_temperature(state.temperature, laplacian), together)


def _by_balance(table: Table) -> _Sides:
    """What stationarity demands."""
    state = StateVariables.of(table)
    together = clusters_of(table, state.within)
    if _along_gradients(table):
        expected = along_steps(state.eta_eff, state.values(table, "hessian_gradient"))
        return _Sides(state.temperature, _slopes(table, state), expected, together)
    expected = by_noise(state.eta_eff, state.values(table, "hessian_noise"))
    if state.corrected:
        bent = state.curvature > 0
        expected[bent] *= finite_step_factor(state.eta_eff[bent], state.curvature[bent])
    return _Sides(state.temperature, _slopes(table, state), expected, together)


@cache
def _factor(name: str, mean: sp.Expr) -> Callable[[FloatArray], FloatArray]:
    """Turn the factor of a mean in E|grad L|^2 into a function of the one symbol that it has."""
    factor = derive(name).claim.equation.rhs.coeff(mean)
    function: Callable[[FloatArray], FloatArray] = sp.lambdify([*factor.free_symbols], factor)
    return function


def by_temperature(temperature: FloatArray, laplacian: FloatArray) -> FloatArray:
    """E|grad L|^2 that the Gibbs law demands, from the derivation.

    >>> by_temperature(np.array([0.5]), np.array([3.0]))
    array([1.5])
    """
    return _factor("configurational-temperature", Expectation(lap_L))(temperature) * laplacian


def by_noise(rate: FloatArray, hessian_noise: FloatArray) -> FloatArray:
    """E|grad L|^2 that stationarity demands, from the derivation; hessian_noise is the mean of tr(H Sigma).

    >>> by_noise(np.array([0.5]), np.array([4.0]))
    array([1.])
    """
    # The trace in the derivation is that of H Sigma + Sigma H.
    return _factor("gradient-balance", Expectation(Tr(SymProduct(Hess, Sigma))))(rate) * 2 * hessian_noise


def along_steps(rate: FloatArray, along_gradients: FloatArray) -> FloatArray:
    """E|grad L|^2 that stationarity demands of steps that are not small; along_gradients is the mean of g.H g.

    >>> along_steps(np.array([0.5]), np.array([4.0]))
    array([1.])
    """
    return _factor("step-balance", Expectation(Quad(Hess, g_unit)))(rate) * along_gradients


def by_steps(rate: FloatArray, along_mean: FloatArray) -> FloatArray:
    """What the size of steps adds to E|grad L|^2 under isotropic noise; along_mean is the mean of grad L.H grad L.

    >>> by_steps(np.array([0.2]), np.array([4.0]))
    array([0.4])
    """
    return _factor("step-thermometer", Expectation(Quad(Hess, grad_L_unit)))(rate) * along_mean


def steps_too_large(table: Table, margin: float) -> str:
    """Why the loss along a step is not quadratic, so that no thermometer can be read; empty if nothing says so."""
    if (
        table.optimizer != "sgd"
        or not _along_gradients(table)
        or _without_slopes(table)
        or StateVariables.missing(table)
    ):
        return ""
    found = _by_balance(table).estimate
    if judge(1.0, found.low, found.high, margin)[0] != "disagrees":
        return ""
    state = StateVariables.of(table)
    why = f"the balance of a step is {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if (along_mean := _along_mean(table, state)) is not None:
        step = quotient(state.eta_eff * along_mean, _slopes(table, state)) / 2
        why += ", curvature along the mean gradient × effective learning rate/2 is "
        why += f"{np.median(step):.2g} in the median run"
    return f"gate: the steps are too large, the loss along them is not quadratic ({why})"


def _along_gradients(table: Table) -> bool:
    """Whether the curvature along minibatch gradients was measured, and so no mean curvature is needed."""
    return not table.missing("hessian_gradient")


def _along_mean(table: Table, state: StateVariables) -> FloatArray | None:
    """Mean of grad L.H grad L at unit norm: what of g.H g is not the noise's; None where it was not measured."""
    if table.missing("hessian_gradient", "hessian_noise"):
        return None
    return state.values(table, "hessian_gradient") - state.values(table, "hessian_noise")


def _without_slopes(table: Table) -> list[str]:
    """What |grad L|^2 at unit norm cannot be had without."""
    if known(table.data, "grad_mean_sq_unit"):
        return table.missing("grad_mean_sq_unit")
    return ["grad_mean_sq_unit"] if table.missing("grad_mean_sq", "radius_sq") else []


def _slopes(table: Table, state: StateVariables) -> FloatArray:
    """E|grad L|^2 at unit norm."""
    if known(table.data, "grad_mean_sq_unit"):
        return state.values(table, "grad_mean_sq_unit")
    return state.values(table, "grad_mean_sq") * state.values(table, "radius_sq")
