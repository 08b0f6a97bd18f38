"""V0, the relaxation of the radius: from any start the norm follows the curve of its equation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import Clusters, levels
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import mean_of
from empirics.claims.ground import ground_of
from empirics.claims.protocol import effective_lr
from empirics.claims.state import StateVariables
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from empirics.measure.rounding import quotient
from thermo_theory.protocols import PROTOCOLS

__all__ = ["FAR", "RadiusTrajectory"]

FloatArray = NDArray[np.float64]

AREA = "Relaxation of the radius: area under log(r/r*), measured / predicted"

#: A run started far if its radius was off the stationary one by at least this factor.
FAR = 2.0
#: The way is followed until this share of log(r/r*) is left.
FOLLOWED = 0.2
#: A step may change r^2, or the loss, by this share at the start of the way: two fifths of the margin.
GENTLE = 0.02
#: Fewer points of the trace on the way, or fewer runs that started far, show nothing.
FEWEST_POINTS = 5
FEWEST_FAR = 4


class RadiusTrajectory(Claim):
    """From any start, ``r^4`` (at fixed ELR ``r^-2``) goes to its stationary value as one exponential.

    It needs the trace of the radius from the first step, and runs that started far from the stationary radius: by a
    factor of 2. What is compared is the area under ``log(r/r*)`` over the steps until a fifth of it is left, r* being
    the formula's: a relaxation that takes 10 % longer has an area larger by 10 %. The formula is given the mean squared
    gradient at unit norm that each run had in the end (the noise, and where it was measured the mean gradient), and
    takes it to be the same throughout (physics: a network's is not). It neglects terms of the order of a step, so
    runs with large steps are left out as for V2, V4, V5 and V6. Inside the stationary radius steps are larger than on
    it, and at fixed ELR so is the decay outside: the way is followed from where a step changes r^2 by less than 2 %
    and moves the loss towards its minimum by less than 2 % (mean curvature × effective learning rate/2).
    """

    name = "V0"
    title = "Radius trajectory"
    protocols = ("fixed-elr", "fixed-lr")
    statements = (
        Statement(
            words="From any start, the norm of the weights follows the curve that the formula predicts.",
            derivations=("radius-trajectory",),
        ),
    )

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Two of the relaxations, with the formula's curves."""
        ways = [] if _missing(table) else [way for way in _ways(table) if np.isfinite(way.ratio)]
        return (_plot(ways, table.protocol == "fixed-lr"),) if ways else ()

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the area."""
        law = ground_of(table, "radius-trajectory")
        if missing := _missing(table):
            return [self.not_measured(table, AREA, law, 1.0, missing)]
        far = [way for way in _ways(table) if np.isfinite(way.ratio)]
        ratios = np.array([way.ratio for way in far])
        if len(ratios) < FEWEST_FAR:
            why = (
                f"needs {FEWEST_FAR} runs that start a factor of {FAR:g} or more from the stationary radius and then "
                f"settle; found {len(ratios)}"
            )
            return [replace(self.not_measured(table, AREA, law, 1.0, []), reason=why)]
        details: dict[str, object] = {"runs that started far": len(ratios)}
        rate, decay = (np.log([getattr(way, name) for way in far]) for name in ("rate", "decay"))
        found = mean_of(ratios, Clusters(levels(rate), levels(decay)))
        return [self.verdict(table, AREA, law, 1.0, self.margin, found, details=details)]


def _radius_over_steps(table: Table) -> tuple[FloatArray, FloatArray]:
    """Steps of the points of the trace and log r there, of the runs used: shape (runs, points)."""
    trace = table.trace
    assert trace is not None
    if "log_radius" in trace.variables:
        log_radius = np.asarray(trace["log_radius"].transpose("run", "step").values, dtype=float)
    else:
        log_radius = 0.5 * np.log(np.asarray(trace["radius_sq"].transpose("run", "step").values, dtype=float))
    # Runs of different length have the numbers of their steps beside them.
    steps = trace["training_step"].values if "training_step" in trace.variables else trace["step"].values
    return np.broadcast_to(np.asarray(steps, dtype=float), log_radius.shape)[table.used], log_radius[table.used]


def _missing(table: Table) -> list[str]:
    """Name what the relaxation needs and is not there."""
    if table.trace is None or not {"radius_sq", "log_radius"} & set(table.trace.variables):
        return ["the radius over the steps (/trace)"]
    return [*table.missing("weight_decay", "radius_sq", "grad_variance_unit"), *StateVariables.missing(table)]


@dataclass(frozen=True)
class Way:
    """The way of one run to its stationary radius, from where its steps are gentle."""

    t: FloatArray  # steps since then
    measured: FloatArray  # log(r/r*) at these
    predicted: FloatArray  # log(r/r*) at these
    rate: float  # lr at fixed LR, else the effective one
    decay: float  # weight decay
    ratio: float  # measured over predicted area; NaN where the run did not start far or was not followed


def _ways(table: Table) -> Iterator[Way]:
    """Ways of all runs that have gentle steps."""
    steps, log_radius = _radius_over_steps(table)
    free, d = table.protocol == "fixed-lr", table.dimension
    rates = table.values("lr") if free else np.asarray(effective_lr(table.data))[table.used]
    decays, squares, curvatures = table.values("weight_decay"), _squares(table), _curvatures(table)
    protocol = PROTOCOLS[table.protocol]
    for i in np.flatnonzero(StateVariables.of(table).within & np.isfinite(log_radius).all(axis=1) & (squares > 0)):
        settings = {"eta" if free else "eta_eff": rates[i], "lam": decays[i], "sigma": np.sqrt(squares[i] / (d - 1))}
        settings["d"] = d
        effective = rates[i] * np.exp(-2 * log_radius[i]) if free else np.full(steps.shape[1], rates[i])
        growth, decay = effective**2 * squares[i], 2 * effective * np.exp(2 * log_radius[i]) * decays[i]
        # At fixed ELR the mean gradient is on the way what it is in the end, and counted.
        pull = effective * curvatures[i] / 2 if free else np.zeros(steps.shape[1])
        gentle = np.flatnonzero(np.maximum.reduce([growth, decay, pull]) <= GENTLE)
        if len(gentle):
            t, way = steps[i, gentle[0] :] - steps[i, gentle[0]], log_radius[i, gentle[0] :]
            final = float(np.log(protocol.radius(**settings)))
            predicted = np.log(protocol.trajectory(t=t, r0=np.exp(way[0]), **settings))
            ratio = _ratio(t, way, predicted, final)
            yield Way(t, way - final, predicted - final, rates[i], decays[i], ratio)


def _plot(ways: list[Way], free: bool) -> Plot:
    """Up to two ways, shortest and longest, with their curves."""
    ways = sorted(ways, key=lambda way: way.rate * way.decay)
    chosen = ways[:1] if len(ways) == 1 else [ways[0], ways[-1]]
    series = []
    for way in chosen:
        (reached,) = np.nonzero(np.abs(way.predicted) <= FOLLOWED / 4 * abs(way.predicted[0]))
        shown = way.t <= way.t[reached[0] if len(reached) else -1]
        name = f"{'lr' if free else 'effective learning rate'} {way.rate:.2g}, wd {way.decay:.2g}"
        t = way.t[shown] / way.t[shown][-1]
        thinned = np.unique(np.linspace(0, len(t) - 1, 40).round().astype(int))
        series.append(Series(name, t[thinned], way.measured[shown][thinned]))
        series.append(Series(f"formula for {name}", t, way.predicted[shown], line=True))
    ratios = np.array([way.ratio for way in ways])
    return Plot(
        "way",
        "Relaxation of the radius",
        f"In {len(ways)} runs that started far from the stationary radius the measured area is {ratios.min():.3f} to "
        f"{ratios.max():.3f} of the predicted one.",
        "log(r/r*), with r* the stationary radius of the formula, against the steps until a twentieth is left or the "
        "trace ends, scaled to 1 for each run. Shown are the runs with the smallest and the largest product of rate "
        "and weight decay.",
        "steps / steps shown",
        "log(r/r*)",
        tuple(series),
        logarithmic=(False, False),
        level=0.0,
    )


def _squares(table: Table) -> FloatArray:
    """E|g|^2 at unit norm: the noise, and the mean gradient where it was measured."""
    noise = table.values("grad_variance_unit")
    return noise if table.missing("grad_mean_sq_unit") else noise + table.values("grad_mean_sq_unit")


def _curvatures(table: Table) -> FloatArray:
    """Mean curvature, 0 where it was not measured."""
    noise = table.values("grad_variance_unit")
    return np.zeros_like(noise) if table.missing("laplacian") else table.values("laplacian") / (table.dimension - 1)


def _ratio(t: FloatArray, measured: FloatArray, predicted: FloatArray, final: float) -> float:
    """Measured over predicted area under log(r/r*); NaN where the run did not start far or was not followed."""
    if np.abs(predicted[0] - final) < np.log(FAR):
        return np.nan
    return float(quotient(_area(t, measured - final), _area(t, predicted - final)))


def _area(t: FloatArray, excursion: FloatArray) -> float:
    """Area under an excursion, over its start, until a share `FOLLOWED` of it is left; NaN if it is not followed."""
    left = quotient(excursion, excursion[0], np.abs(excursion).max())
    (after,) = np.nonzero(left <= FOLLOWED)
    if not len(after) or after[0] < FEWEST_POINTS:
        return np.nan
    end = int(after[0])
    share = (left[end - 1] - FOLLOWED) / (left[end - 1] - left[end])
    last = t[end - 1] + share * (t[end] - t[end - 1])
    return float(np.trapezoid(np.r_[left[:end], FOLLOWED], np.r_[t[:end], last]))
