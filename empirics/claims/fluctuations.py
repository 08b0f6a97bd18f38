"""V5, the first law and the fluctuations: three ways to the heat capacity agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.curves import Curves, Statistic, estimates, too_narrow
from empirics.claims.everywhere import in_parts
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate, no_estimate
from empirics.claims.ground import ground_of
from empirics.claims.state import StateVariables, uncalibrated_noted, unmixed
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from empirics.measure.rounding import quotient

__all__ = ["HeatCapacity"]

FloatArray = NDArray[np.float64]

ENTROPY = "First law: integral of T dS of the directions over the change of the mean loss"
FLUCTUATIONS = "Fluctuations: integral of (variance of the loss/T^2) dT over the change of the mean loss"

#: The integrals leave out this share of the runs at each end, where a curve has data on one side alone.
ENDS = 0.05
#: Points of the integrals in each half of log T.
POINTS = 100
#: Points of each curve that is shown, and how far runs are above a medium heat capacity when the axis is logarithmic.
DRAWN, WIDE = 25, 5


class HeatCapacity(Claim):
    """``dU = T dS`` at constant volume, and ``dU/dT = Var L/T^2``, as ratios of integrals over the temperatures run.

    The ratios are judged over the whole range and over each half of it, in log T.

    Both need the Gibbs law: noise that is isotropic and the same all over. In a harmonic well ``dU/dT = T dS/dT``
    whatever the shape of the noise, and only the fluctuations see it. Losses and entropies are taken against the
    temperature that steps of finite size sample (`empirics.claims.state`), at which the ratios of a cold gas are 1 for
    steps of any size.
    """

    name = "V5"
    title = "First law and fluctuations"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    optimizers = EVERY_OPTIMIZER
    takes = ("temperature",)
    statements = (
        Statement(
            words="Between low and high temperature the heat from the entropy, ∫ T dS, and that from the fluctuations "
            "of the loss both equal the change of the mean loss.",
            derivations=("first-law", "free-energy"),
        ),
    )

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the two ratios."""
        return [self._judge(table, ENTROPY, "entropy_sphere"), self._judge(table, FLUCTUATIONS, "loss_variance")]

    def _judge(self, table: Table, form: str, other: str) -> Verdict:
        entropy = other == "entropy_sphere"
        law = ground_of(table, "first-law" if entropy else "free-energy")
        if missing := [*table.missing("loss", other), *StateVariables.missing(table)]:
            return self.not_measured(table, form, law, 1.0, missing)
        refused = unmixed(table, on_entropy=entropy)
        row = self.verdict(table, form, law, 1.0, self.margin, _ratio(table, other), refused=refused)
        return uncalibrated_noted(table, row) if entropy else row

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """The heat capacity over the temperatures, by each of the three ways that there are numbers for."""
        if table.missing("loss") or StateVariables.missing(table):
            return ()
        state = StateVariables.of(table)
        if too_narrow(state.temperature, state.along):
            return ()
        return (_plot(table, state),)

    def notes(self, table: Table) -> list[str]:
        """What was left out for the size of its steps, for all claims that judge by temperature."""
        if StateVariables.missing(table) or not table.used.any():
            return []
        return StateVariables.of(table).notes()


def _ratio(table: Table, other: str) -> Estimate:
    """Heat by the entropy, or by the fluctuations of the loss, over the change of the mean loss."""
    state, entropy = StateVariables.of(table), other == "entropy_sphere"
    heat, loss = state.temperature, state.values(table, "loss")
    values = state.entropy(table) if entropy else state.values(table, other)
    if why := table.unvarying("loss", other, *(["entropy"] if entropy else []), among=state.within) or too_narrow(
        heat, state.along
    ):
        return no_estimate(why)
    low, high = np.quantile(np.log(heat), [ENDS, 1 - ENDS])
    at, middle = np.linspace(float(low), float(high), 2 * POINTS + 1), POINTS + 1

    def build(curves: Curves, values: FloatArray = values) -> Statistic:
        def ratios(chosen: NDArray[np.intp]) -> FloatArray:
            energy, _ = curves.energy(loss, chosen, at)
            slope = curves.smooth(values, chosen, at, 1) if entropy else curves.smooth(values / heat**2, chosen, at)
            flow, size = np.exp(at) * slope, np.abs(energy).max()
            parts = (slice(None), slice(middle), slice(middle - 1, None))
            gained = ((np.trapezoid(flow[one], at[one]), energy[one]) for one in parts)
            return np.array([quotient(heat, energy[-1] - energy[0], size) for heat, energy in gained])

        return ratios

    def shifted(curves: Curves) -> Statistic:
        return build(curves, state.entropy(table, tilt=1.0) if entropy else values)

    together = clusters_of(table, state.within)
    found, *halves = estimates(build, heat, state.along, clusters=together, shifted=shifted)
    if np.isfinite(found.value):
        return in_parts(found, halves)
    return no_estimate("the mean loss does not change between the lowest and the highest temperature")


def _plot(table: Table, state: StateVariables) -> Plot:
    """C_V in units of R by mean loss, entropy and fluctuations, with their intervals."""
    heat, unit = state.temperature, (table.dimension - 1) / 2
    low, high = np.quantile(np.log(heat), [ENDS, 1 - ENDS])
    at = np.linspace(float(low), float(high), DRAWN)
    loss, variance = state.values(table, "loss"), None
    ways = {"mean loss, dU/dT": lambda curves, chosen: curves.energy(loss, chosen, at)[1] / np.exp(at)}
    if not table.missing("entropy_sphere"):
        entropy = state.entropy(table)
        ways["entropy, T dS/dT"] = lambda curves, chosen: curves.smooth(entropy, chosen, at, 1)
    if not table.missing("loss_variance"):
        variance = state.values(table, "loss_variance") / heat**2
        ways["fluctuations, Var L/T²"] = lambda curves, chosen: curves.smooth(variance, chosen, at)
    found = {name: _curve(way, table, state, unit) for name, way in ways.items()}
    series = [Series(name, np.exp(at), value, line=True, error=half) for name, (value, half) in found.items()]
    hidden, wide = "", False
    if variance is not None:
        runs, medium = variance / unit, np.median(found["mean loss, dU/dT"][0])
        wide = bool(np.abs(runs).max() > WIDE * medium > 0)
        if wide and (gone := int((runs <= 0).sum())):
            hidden = f" Not shown on the logarithmic axis: {gone} of {len(runs)} runs with Var L ≤ 0."
        series.insert(-1, Series("fluctuations, single runs", heat, runs))
    middle = len(at) // 2
    words = "; ".join(f"{name}: {value[middle]:.3g} ± {half[middle]:.2g} R" for name, (value, half) in found.items())
    return Plot(
        "heat-capacity",
        "Heat capacity, three ways",
        f"Heat capacity at a medium temperature (T = {np.exp(at[middle]):.2g}): {words}.",
        "Heat capacity C_V in units of R against temperature. Lines are fits over runs with 95 % intervals, points are "
        f"runs. Under the Gibbs law all agree; the low-temperature limit is 1.{hidden}",
        "temperature T (nat)",
        "C_V/R",
        tuple(series),
        logarithmic=(True, wide),
        level=1.0,
    )


def _curve(
    way: Callable[[Curves, NDArray[np.intp]], FloatArray], table: Table, state: StateVariables, unit: float
) -> tuple[FloatArray, FloatArray]:
    """A curve in units of R and halves of its intervals."""

    def build(curves: Curves) -> Statistic:
        return lambda chosen: way(curves, chosen) / unit

    found = estimates(build, state.temperature, state.along, clusters=clusters_of(table, state.within))
    return np.array([one.value for one in found]), np.array([(one.high - one.low) / 2 for one in found])
