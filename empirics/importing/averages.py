"""From the series of a run to its stationary means: where to begin, how well they are known, whether they drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.importing.foreign import SINGLE_PRECISION, ForeignRun, Logged
from empirics.importing.names import Assigned
from empirics.measure import (
    autocorrelation_time,
    block_error,
    burn_in,
    drift,
    periodic_jumps,
    run_status,
)
from empirics.measure.rounding import constant
from empirics.measure.stationarity import DRIFT_MARGIN, LOSS_DRIFT_MARGIN
from empirics.results import VARIABLES

__all__ = ["Averages", "Balance", "averages", "curves"]

#: What is set in a run; where it changes, the run is stationary at the last setting alone, if at any.
RATES = ("lr", "weight_decay", "effective_lr", "momentum")

#: What has one value in a run, the last one logged.
SINGLE = (*RATES, "seed", "dimension", "path_entropy", "effective_sample_size", "diverged_at", "neighbour_lag")

#: What decides where the stationary part begins, and what must be finite.
LEADING = ("radius_sq", "log_radius", "grad_sq", "grad_variance", "loss")

#: Fewest points after burn-in, and fewest independent ones, from which a drift is detected.
POINTS, INDEPENDENT = 16, 8

#: Blocks of the stationary part: the fewest from which a drift is detected, the most, and how many autocorrelation
#: times each should have.
FEWEST_BLOCKS, MOST_BLOCKS, LENGTH = 8, 20, 4.0

#: Points in which periodic jumps are sought.
MOST_POINTS = 200

#: Norm balance as a function of E|g|^2 and r^2.
Balance = Callable[[Any, Any], Any]


@dataclass(eq=False)
class Averages:
    """Means over the stationary part of a run, by our names.

    Attributes
    ----------
    values
        Means, settings, and what is known of their errors.
    status, reason
        As `run_status` says it; empty if the series are too short to tell.
    points, left_out
        Points of the longest series that lead, and how many of these were left out as burn-in.
    time
        Longest autocorrelation time of the stationary part, in points; NaN if it was not estimated.
    settled
        Step from which the settings are constant; 0 if they always were.
    """

    values: dict[str, float] = field(default_factory=dict)
    status: str = ""
    reason: str = ""
    points: int = 0
    left_out: int = 0
    time: float = math.nan
    settled: float = 0.0


def averages(run: ForeignRun, assigned: Assigned, balance: Balance | None = None) -> Averages:
    """Average the series of a run that have a name.

    Parameters
    ----------
    run
        The run.
    assigned
        Our names for its series.
    balance
        The norm balance of E|g|^2 and r^2 at the settings of the run, if there is one.

    Returns
    -------
    Averages
        Of a series of one number that number.
    """
    with np.errstate(over="ignore"):  # infinity is reported below
        named = {
            ours: Logged(run.series[one.column].step, run.series[one.column].value ** one.power)
            for ours, one in assigned.named.items()
            if one.column in run.series
        }
    found = Averages(values={ours: float(one.value[-1]) for ours, one in named.items() if ours in SINGLE})
    means = {ours: one for ours, one in named.items() if ours not in SINGLE}
    leading = {ours: means[ours] for ours in LEADING if ours in means}
    for ours, one in leading.items():
        wrong = ~np.isfinite(one.value) | (one.value <= 0 if ours == "radius_sq" else False)
        if len(bad := np.flatnonzero(wrong)):
            found.status, found.reason = "diverged", f"{ours} was {one.value[bad[0]]:g} at step {one.step[bad[0]]:g}"
            found.values |= dict.fromkeys(means, math.nan)
            return found
    found.settled, why = _settled(run, assigned)
    constant_part = {ours: _since(one, found.settled) for ours, one in leading.items()}
    begin = max([found.settled, *(_begin(one) for one in constant_part.values())])
    parts = {ours: _since(one, begin) for ours, one in means.items()}
    found.values |= {
        ours: float(part.value.mean() if len(part.step) else means[ours].value[-1]) for ours, part in parts.items()
    }
    inside = {ours: parts[ours] for ours in leading}
    found.points = max((len(one.step) for one in leading.values()), default=0)
    found.left_out = found.points - max((len(one.step) for one in inside.values()), default=0)
    if leading and min(len(one.step) for one in inside.values()) >= POINTS:
        _judge(found, inside, balance)
    if found.settled and not found.status:
        found.status, found.reason = "not stationary", why
    return found


def _since(one: Logged, begin: float) -> Logged:
    """What was logged from a step on."""
    return Logged(one.step[one.step >= begin], one.value[one.step >= begin])


def _begin(one: Logged) -> float:
    """Step at which the stationary part begins, if there is one."""
    return float(one.step[burn_in(one.value)]) if len(one.step) >= POINTS else 0.0


def _settled(run: ForeignRun, assigned: Assigned) -> tuple[float, str]:
    """Step from which all settings are constant, in every column that may be one of them, and which changed last."""
    latest, why = 0.0, ""
    for ours in RATES:
        one = assigned.named.get(ours)
        for column in [*([one.column] if one else []), *assigned.others.get(ours, ())]:
            if column not in run.series:
                continue
            step, value = run.series[column]
            changed = np.flatnonzero(~np.isclose(value, value[-1], rtol=SINGLE_PRECISION, atol=0))
            if len(changed) and step[changed[-1] + 1] > latest:
                latest = float(step[changed[-1] + 1])
                why = (
                    f"{column} changes until step {latest:g} of {step[-1]:g}, from {value[0]:.3g} to {value[-1]:.3g}: "
                    "the run is not at constant settings"
                )
    return latest, why


def _judge(found: Averages, inside: Mapping[str, Logged], balance: Balance | None) -> None:
    """Say how well the means are known, and whether the run drifts."""
    times = {ours: 1.0 if constant(one.value) else autocorrelation_time(one.value) for ours, one in inside.items()}
    found.time = max(times.values())
    independent = min(len(inside[ours].step) / time for ours, time in times.items())
    count = int(np.clip(independent / LENGTH, FEWEST_BLOCKS, MOST_BLOCKS))
    sparsest = min((one.step for one in inside.values()), key=len)
    edges = sparsest[np.linspace(0, len(sparsest), count + 1).astype(int)[1:-1]]
    blocks = {ours: _block_means(one, edges) for ours, one in inside.items()}
    if balance is not None and {"radius_sq", "grad_sq"} <= set(inside):
        # Means of blocks of c autocorrelation times scatter too little, by this if the correlation is exponential.
        lengths = 2 * independent / count
        short = math.sqrt(1 - (1 - math.exp(-lengths)) / lengths)
        found.values["balance_error"] = float(block_error(balance(blocks["grad_sq"], blocks["radius_sq"]))) / short
    radius: dict[str, Any] = {"radius_drift": 0.0, "radius_drift_error": 0.0}
    jumps = hidden = False
    if name := next((name for name in ("radius_sq", "log_radius") if name in inside), None):
        step, value = inside[name]
        logs = np.log(value) / 2 if name == "radius_sq" else value
        radius = _drift("radius", _block_means(Logged(step, logs), edges))
        found.values |= radius
        jumps = periodic_jumps(logs[:: max(1, len(logs) // MOST_POINTS)]).periodic
        hidden = _hidden(logs, times[name]) > DRIFT_MARGIN
    loss: dict[str, Any] = {}
    if "loss" in inside:
        loss = _drift("loss", blocks["loss"])
        hidden |= _hidden(inside["loss"].value, times["loss"]) > LOSS_DRIFT_MARGIN * abs(found.values["loss"])
    found.status, found.reason = run_status(
        balance=1.0,  # left to the claims, which know of runs nearby
        balance_error=0.0,
        loss=found.values.get("loss", 1.0),
        periodic_jumps=jumps,
        **radius,
        **loss,
    )
    if found.status == "ok" and independent < INDEPENDENT and hidden:
        found.status = "too short"
        found.reason = (
            f"autocorrelation time {found.time:.0f} points: what is left after burn-in is worth {independent:.1f} "
            f"independent points, fewer than the {INDEPENDENT} from which a drift is detected"
        )


def _block_means(one: Logged, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of a series between consecutive steps."""
    block = np.searchsorted(edges, one.step, side="right")
    with np.errstate(invalid="ignore"):
        return np.bincount(block, one.value, len(edges) + 1) / np.bincount(block, minlength=len(edges) + 1)


def _hidden(values: NDArray[np.float64], time: float) -> float:
    """Standard error of the difference of two quarters, for a series worth too few points for its blocks to show it."""
    independent = len(values) / time
    return float(values.std()) * math.sqrt(8 / independent) if independent < INDEPENDENT else 0.0


def _drift(name: str, blocks: NDArray[np.float64]) -> dict[str, Any]:
    """Drift and its error, as `run_status` calls them."""
    change, error = drift(blocks)
    return {f"{name}_drift": float(change), f"{name}_drift_error": float(error)}


def curves(runs: Sequence[ForeignRun], assigned: Assigned) -> xr.Dataset | None:
    """Return what was logged over time, under our names and of shape (run, step), if all runs share their steps."""
    named = {
        ours: assigned.named[ours] for ours in ("radius_sq", "log_radius", "grad_sq", "loss") if ours in assigned.named
    }
    series = {ours: [run.series[one.column] for run in runs if one.column in run.series] for ours, one in named.items()}
    whole = {ours: every for ours, every in series.items() if len(every) == len(runs)}
    steps = [one.step for every in whole.values() for one in every]
    if not steps or len(steps[0]) < 2 or not all(np.array_equal(one, steps[0]) for one in steps):
        return None
    arrays = {ours: np.stack([one.value for one in every]) ** named[ours].power for ours, every in whole.items()}
    if "radius_sq" in arrays:
        square = arrays.pop("radius_sq")
        arrays["log_radius"] = np.log(np.where(square > 0, square, np.nan)) / 2
    variables = {
        name: xr.Variable(("run", "step"), values, VARIABLES[name]._asdict()) for name, values in arrays.items()
    }
    step = xr.Variable(("step",), steps[0].astype(np.int64), VARIABLES["step"]._asdict())
    return xr.Dataset({**variables, "step": step}).set_coords("step")
