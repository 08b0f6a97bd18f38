"""V5, the first law and the fluctuations: three ways to the heat capacity agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.curves import Curves, Statistic, estimates, too_narrow
from empirics.claims.fits import Estimate, no_estimate
from empirics.claims.state import State, path_entropies, too_few_samples
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from thermo_theory import derive

__all__ = ["HeatCapacity"]

FloatArray = NDArray[np.float64]

ENTROPY = "First law: integral of T dS of the directions over the change of the mean loss"
FLUCTUATIONS = "Fluctuations: integral of (variance of the loss/T^2) dT over the change of the mean loss"

#: The integrals leave out this share of the runs at each end, where a curve has data on one side alone.
ENDS = 0.05
#: Points of the integrals.
POINTS = 200


class HeatCapacity(Claim):
    """``dU = T dS`` at constant volume, and ``dU/dT = Var L/T^2``, as ratios of integrals over the temperatures run.

    Both need the Gibbs law: noise that is isotropic and the same all over. In a harmonic well ``dU/dT = T dS/dT``
    whatever the shape of the noise, and only the fluctuations see it. Losses and entropies are taken against the
    temperature that steps of finite size sample (`empirics.claims.state`), at which the ratios of a cold gas are 1 for
    steps of any size.
    """

    name = "V5"
    title = "First law and fluctuations"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    optimizers = EVERY_OPTIMIZER

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the two ratios."""
        return [self._judge(table, ENTROPY, "entropy_sphere"), self._judge(table, FLUCTUATIONS, "loss_variance")]

    def _judge(self, table: Table, form: str, other: str) -> Verdict:
        if missing := [*table.missing("loss", other), *State.missing(table)]:
            return self.not_measured(table, form, "physics", 1.0, missing)
        state = State.of(table)
        loss, values = state.values(table, "loss"), state.values(table, other)
        entropy = other == "entropy_sphere"
        return self.verdict(
            table,
            form,
            "physics",
            1.0,
            self.margin,
            _ratio(state, loss, values, entropy),
            derive("first-law" if entropy else "free-energy").source,
            refused=(path_entropies(table) if entropy else "") or too_few_samples(table),
        )

    def notes(self, table: Table) -> list[str]:
        """What was left out for the size of its steps, for all claims that judge by temperature."""
        if State.missing(table) or not table.used.any():
            return []
        return State.of(table).notes()


def _ratio(state: State, loss: FloatArray, values: FloatArray, entropy: bool) -> Estimate:
    """Heat by the entropy, or by the fluctuations of the loss, over the change of the mean loss."""
    heat = state.temperature
    if why := too_narrow(heat, state.along):
        return no_estimate(why)
    low, high = np.quantile(np.log(heat), [ENDS, 1 - ENDS])
    at = np.linspace(float(low), float(high), POINTS)

    def build(curves: Curves) -> Statistic:
        def ratio(chosen: NDArray[np.intp]) -> FloatArray:
            energy, _ = curves.energy(loss, chosen, at)
            slope = curves.smooth(values, chosen, at, 1) if entropy else curves.smooth(values / heat**2, chosen, at)
            return np.array([np.trapezoid(np.exp(at) * slope, at) / (energy[-1] - energy[0])])

        return ratio

    return estimates(build, heat, state.along)[0]
