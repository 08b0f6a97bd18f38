"""From the sums of a trained shard to the numbers of each run, by the estimators of :mod:`empirics.measure`."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from empirics.experiment.optimizers import TRUST
from empirics.measure import (
    angular_update,
    block_error,
    drift,
    norm_balance,
    on_device,
    periodic_jumps,
    radial_share,
    regime,
    run_status,
    snapshot_entropies,
)
from empirics.training import laws, well
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment
from empirics.training.record import Look, Part, SnapshotColumn, Sum
from empirics.training.state import TrainingState

Arrays = dict[str, NDArray]

#: Minimum number of points in a trace to distinguish jumps from noise.
FEWEST_POINTS = 16

#: Share of a run whose noise is not looked at for whether it vanishes: there the weights leave their initial values.
BEFORE = 0.1

#: Curves that show whether the samples have been learnt.
LEARNT = ("loss", "accuracy")

#: What the snapshots of a run tell.
ENTROPIES = (
    "entropy_sphere",
    "entropy_sphere_theiler",
    "effective_sample_size",
    "neighbour_lag",
    "path_entropy",
    "entropy_bias",
    "entropy_bias_error",
)

BLOCKED = {
    Sum.RADIUS_SQ: "radius_sq",
    Sum.LOG_RADIUS: "log_radius",
    Sum.GRAD_SQ: "grad_sq",
    Sum.LOSS: "loss",
    Sum.RADIAL: "radial_gradient",
}
LOOKED = {Look.ACCURACY: "accuracy", Look.TEST_LOSS: "test_loss", Look.TEST_ACCURACY: "test_accuracy"}


def summarise(experiment: NetworkExperiment, ensemble: Ensemble, state: TrainingState) -> Arrays:
    """Results of a shard, names as ``group/variable``.

    Parameters
    ----------
    experiment, ensemble, state
        The experiment, its trainer, and the final state.

    Returns
    -------
    dict
        ``summary/...`` (run,), ``trace/...`` (run, step), ``blocks/...`` (run, block), ``components/...`` (run,
        component), ``snapshots/...`` (run, snapshot[, parameter]), ``trace/step`` (step,) and
        ``components/component_name`` (component,).
    """
    marks, pairs = state.marks.cpu().numpy(), state.pairs.cpu().numpy()
    looks = state.looks.cpu().numpy()
    with np.errstate(invalid="ignore", divide="ignore"):  # a run that diverged is NaN from there on
        blocks = _blocks(ensemble, marks, pairs)
        summary = _moments(ensemble, marks, pairs, looks) | _stationarity(blocks)
        summary |= _noise(ensemble, marks, pairs) | _curvature(pairs)
    summary["temperature"] = _temperature(ensemble, summary["radius_sq"], summary["grad_variance_unit"])
    summary["diverged_at"] = _diverged_at(state)
    summary |= _balance(ensemble, marks, summary, blocks)
    entropies, snapshots, refused = _entropies(experiment, ensemble, state, summary)
    summary |= entropies | _wells(ensemble, state, summary)
    trace = _trace(ensemble, marks, looks)
    summary |= _statuses(experiment, ensemble, summary, blocks["loss"], trace, refused)
    groups = {"summary": summary, "trace": trace, "blocks": blocks, "snapshots": snapshots | _series(pairs)}
    groups["components"] = _components(ensemble, state)
    return {f"{group}/{name}": value for group, variables in groups.items() for name, value in variables.items()}


def _between(ensemble: Ensemble, marks: NDArray, steps: NDArray) -> NDArray:
    """Means of the sums between consecutive marked `steps`, shape (interval, Sum, run)."""
    totals = marks[np.searchsorted(ensemble.times.marked, steps)]
    return np.diff(totals, axis=0) / np.diff(steps)[:, None, None]


def _trace(ensemble: Ensemble, marks: NDArray, looks: NDArray) -> Arrays:
    """Curves over time: means between the points of the trace, at the step where each interval ends."""
    steps = ensemble.times.trace
    means = _between(ensemble, marks, np.append(0, steps))
    curves = {"step": steps} | {name: means[:, row].T for row, name in BLOCKED.items()}
    return curves | {name: looks[:, row].T for row, name in LOOKED.items() if _there(ensemble, row)}


def _there(ensemble: Ensemble, look: Look) -> bool:
    """Whether it can be measured: a test set may be missing."""
    return look == Look.ACCURACY or ensemble.feeds.test is not None


def _blocks(ensemble: Ensemble, marks: NDArray, pairs: NDArray) -> Arrays:
    means = _between(ensemble, marks, ensemble.times.block_ends)
    arrays = {name: means[:, row].T for row, name in BLOCKED.items()}
    if ensemble.experiment.training.halves and ensemble.whole is None:
        return arrays | {"grad_mean_sq": means[:, Sum.GRAD_MEAN_SQ].T}
    per_block = pairs.reshape(len(means), -1, *pairs.shape[1:]).mean(1)
    return arrays | {"grad_mean_sq": per_block[:, SnapshotColumn.GRAD_MEAN_SQ].T}


def _measured(ensemble: Ensemble, marks: NDArray) -> NDArray:
    """Means over the measured part, shape (Sum, run)."""
    ends = ensemble.times.block_ends
    found: NDArray = _between(ensemble, marks, ends[[0, -1]])[0]
    return found


def _moments(ensemble: Ensemble, marks: NDArray, pairs: NDArray, looks: NDArray) -> Arrays:
    """Means over the measured part."""
    mean = _measured(ensemble, marks)
    inside = looks[ensemble.times.trace > ensemble.times.burn_in]
    return {
        **{name: mean[row] for row, name in BLOCKED.items()},
        "violation": pairs[:, SnapshotColumn.VIOLATION].mean(0),
        "rotation": np.sqrt(pairs[:, SnapshotColumn.ROTATION_SQ].mean(0)),
        **{name: _mean_of_there(inside[:, row]) for row, name in LOOKED.items() if _there(ensemble, row)},
    }


def _mean_of_there(values: NDArray) -> NDArray:
    """Mean over the first axis, without missing values; NaN if all are missing, as in a diverged run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found: NDArray = np.nanmean(values, 0)
    return found


def _noise(ensemble: Ensemble, marks: NDArray, pairs: NDArray) -> Arrays:
    """Mean gradient, gradient noise, variance of the expected loss: from halves of every step, or at snapshots."""
    mean = _measured(ensemble, marks)
    if ensemble.experiment.training.halves:
        mean_sq, mean_sq_unit = mean[Sum.GRAD_MEAN_SQ], mean[Sum.GRAD_MEAN_SQ_UNIT]
        covariance = mean[Sum.LOSS_PRODUCT] - mean[Sum.FIRST_LOSS] * mean[Sum.SECOND_LOSS]
    if ensemble.whole is not None or not ensemble.experiment.training.halves:
        mean_sq = pairs[:, SnapshotColumn.GRAD_MEAN_SQ].mean(0)
        mean_sq_unit = (pairs[:, SnapshotColumn.GRAD_MEAN_SQ] * pairs[:, SnapshotColumn.RADIUS_SQ]).mean(0)
        first, second = pairs[:, SnapshotColumn.FIRST_LOSS], pairs[:, SnapshotColumn.SECOND_LOSS]
        covariance = ((first - first.mean(0)) * (second - second.mean(0))).sum(0) / (len(pairs) - 1)
    if ensemble.whole is not None:
        covariance = pairs[:, SnapshotColumn.EXPECTED_LOSS].var(0, ddof=1)
    return {
        "grad_mean_sq": mean_sq,
        "grad_mean_sq_unit": mean_sq_unit,
        "grad_variance": mean[Sum.GRAD_SQ] - mean_sq,
        "grad_variance_unit": mean[Sum.GRAD_SQ_UNIT] - mean_sq_unit,
        "loss_variance": covariance,
    }


def _curvature(pairs: NDArray) -> Arrays:
    """Means of the Hessian probes, if there are any."""
    found = {
        "laplacian": pairs[:, SnapshotColumn.LAPLACIAN],
        "hessian_noise": pairs[:, SnapshotColumn.HESSIAN_NOISE],
        "hessian_gradient": pairs[:, SnapshotColumn.HESSIAN_GRADIENT],
    }
    means = {name: _mean_of_there(values) for name, values in found.items() if not np.isnan(values).all()}
    bent, square = pairs[:, SnapshotColumn.BATCH_CURVATURE], pairs[:, SnapshotColumn.BATCH_GRAD_SQ]
    if not np.isnan(bent).all():
        means["batch_sharpness"] = _mean_of_there(bent) / _mean_of_there(square)
    return means


def _series(pairs: NDArray) -> Arrays:
    """Measurements at each snapshot, shape (run, snapshot): curves that the trace does not have."""
    found = {"radius_sq": pairs[:, SnapshotColumn.RADIUS_SQ], "grad_mean_sq": pairs[:, SnapshotColumn.GRAD_MEAN_SQ]}
    found |= {
        "rotation": np.sqrt(pairs[:, SnapshotColumn.ROTATION_SQ]),
        "laplacian": pairs[:, SnapshotColumn.LAPLACIAN],
    }
    return {name: values.T for name, values in found.items() if name != "laplacian" or not np.isnan(values).all()}


def _components(ensemble: Ensemble, state: TrainingState) -> Arrays:
    """Means over the snapshots for every component of the mixture, shapes (run, component)."""
    parts, shape = ensemble.components, (len(ensemble.runs), len(ensemble.components))
    found = state.components.cpu().numpy().transpose(0, 2, 1) / ensemble.times.snapshots
    return {
        "component_name": np.array(parts.names),
        "parameters": np.broadcast_to(parts.parameters, shape),
        "scale_invariant": np.broadcast_to(parts.scale_invariant, shape),
        "radius_sq": found[Part.RADIUS_SQ],
        "grad_mean_sq": found[Part.GRAD_MEAN_SQ],
        "grad_variance": found[Part.GRAD_SQ] - found[Part.GRAD_MEAN_SQ],
    }


def _temperature(ensemble: Ensemble, radius_sq: NDArray, variance_unit: NDArray) -> NDArray:
    """Temperature of every run at its measured radius and noise, shape (run,); NaN for steps of fixed length."""
    training = ensemble.experiment.training
    if training.adaptive and training.optimizer not in ("adamw", "adam-l2"):
        return np.full(len(radius_sq), np.nan)  # that of no preconditioner
    rate = _effective_rate(ensemble, radius_sq)
    return np.asarray(laws.temperature(rate, variance_unit, ensemble.model.directions, training.adaptive))


def _effective_rate(ensemble: Ensemble, radius_sq: NDArray) -> NDArray:
    """Effective learning rate of every run at its measured radius, momentum counted, shape (run,)."""
    training = ensemble.experiment.training
    lr, effective = (np.array([run.number(name) for run in ensemble.runs]) for name in ("lr", "effective_lr"))
    free = lr / (np.sqrt(radius_sq) if training.adaptive else radius_sq)
    return np.asarray(training.gain * np.where(np.isnan(effective), free, effective))


def _wells(ensemble: Ensemble, state: TrainingState, summary: Arrays) -> Arrays:
    """The well of every finite run and what a gas in its own potential has there; none unless asked for."""
    if not ensemble.experiment.measure.implicit or ensemble.whole is None:
        return {}
    found = {name: np.full(len(ensemble.runs), np.nan) for name in well.NAMES}
    whole, rates = ensemble.whole.double(), _effective_rate(ensemble, summary["radius_sq"])
    steps = ensemble.times.total - ensemble.times.burn_in
    for i in np.flatnonzero(summary["diverged_at"] < 0):
        of = well.of_run(whole, state.of_run(int(i)), ensemble.model, ensemble.experiment, float(rates[i]), steps)
        for name, value in of.items():
            found[name][i] = value
    return found


def _stationarity(blocks: Arrays) -> Arrays:
    """Drift of log r: last quarter of the measured part against the first, with its standard error."""
    change, error = drift(blocks["log_radius"])
    return {"radius_drift": change, "radius_drift_error": error}


def _diverged_at(state: TrainingState) -> NDArray[np.int64]:
    finite = state.total[Sum.FINITE].cpu().numpy()
    return np.where(finite < state.step, finite, -1).astype(np.int64)


def _balance(ensemble: Ensemble, marks: NDArray, summary: Arrays, blocks: Arrays) -> Arrays:
    """Norm balance in the form exact for the protocol and the optimiser; none on the sphere."""
    training, runs = ensemble.experiment.training, len(ensemble.runs)
    if training.protocol == "fixed-sphere":
        return {"balance": np.full(runs, np.nan), "balance_error": np.full(runs, np.nan)}
    if (training.protocol, training.optimizer) != ("fixed-lr", "sgd"):
        means = _between(ensemble, marks, ensemble.times.block_ends)
        net, taken = (means[:, Sum.GROWTH] - means[:, Sum.DECAY]).T, _taken(ensemble, means)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"balance": 1 + net.mean(1) / taken.mean(1), "balance_error": block_error(1 + net / taken)}
    lr, weight_decay = _rates(ensemble)
    terms = ("grad_sq", "radius_sq", "radial_gradient")
    by_block = norm_balance(lr[:, None], weight_decay[:, None], *(blocks[name] for name in terms))
    return {
        "balance": norm_balance(lr, weight_decay, *(summary[name] for name in terms)),
        "balance_error": block_error(by_block),
    }


def _taken(ensemble: Ensemble, means: NDArray) -> NDArray:
    """Decrease of r² per step due to weight decay (of log r² at fixed ELR), shape (run, block).

    For SGD it is the measured component of the step along w. With momentum that component also contains what earlier
    gradients add along w now that the weights have moved, which nearly cancels the decay. There it is the decay alone,
    to leading order.
    """
    training = ensemble.experiment.training
    if training.optimizer in ("sgd", "adam-l2"):  # the decay of an L2 penalty under Adam depends on its squares
        counted: NDArray = means[:, Sum.DECAY].T
        return counted
    if training.optimizer in TRUST:
        return np.asarray(means[:, Sum.PULL].T)
    of_lr, of_decay = ensemble.schedule.at(ensemble.times.total)
    rates = (ensemble.rate * ensemble.weight_decay).double().cpu().numpy()
    pull = 2 * training.gain * of_lr * of_decay * rates[:, None]
    if training.protocol == "fixed-elr" and training.adaptive:
        return np.asarray(pull * np.exp(means[:, Sum.LOG_RADIUS].T))
    return np.asarray(pull * means[:, Sum.RADIUS_SQ].T)


def _rates(ensemble: Ensemble) -> tuple[NDArray, NDArray]:
    """Learning rate and weight decay of every run."""
    lr, weight_decay = (np.array([run.number(name) for run in ensemble.runs]) for name in ("lr", "weight_decay"))
    return lr, weight_decay


def _remainder(ensemble: Ensemble, summary: Arrays) -> NDArray:
    """Contribution of tensors that are not scale-invariant to the norm; known for SGD at fixed LR."""
    training = ensemble.experiment.training
    if (training.protocol, training.optimizer) != ("fixed-lr", "sgd"):
        return np.zeros(len(ensemble.runs))
    share: NDArray = radial_share(*_rates(ensemble), summary["radial_gradient"], summary["radius_sq"])
    return share


def _entropies(
    experiment: NetworkExperiment, ensemble: Ensemble, state: TrainingState, summary: Arrays
) -> tuple[Arrays, Arrays, dict[int, str]]:
    """Entropy of the directions of every finite run, neighbour lags, and the reasons where there is no entropy."""
    runs = len(ensemble.runs)
    sizes, each = _spheres(ensemble)
    lags, turns = (np.full((runs, ensemble.times.snapshots), np.nan) for _ in range(2))
    numbers = {name: np.full(runs, np.nan) for name in (*ENTROPIES, *(["entropy_lengths"] if len(sizes) > 1 else []))}
    refused: dict[int, str] = {}
    for i in np.flatnonzero(summary["diverged_at"] < 0):
        weights = _measured_where(ensemble, state, int(i))
        turns[i, 1:] = _turns(weights)
        try:
            found, lags[i] = snapshot_entropies(_without_flat(ensemble, weights), sizes, each)
        except ValueError as error:  # a run that does not move has no density
            refused[int(i)] = f"no entropy: {error}"
            continue
        for name, value in found.items():
            numbers[name][i] = value
    path_entropy = numbers.pop("path_entropy") == 1
    numbers["entropy"] = numbers["entropy_sphere"] + ensemble.model.directions * summary["log_radius"]
    snapshots = {"neighbour_lag": lags, "turn": turns}
    if experiment.measure.keep_snapshots:
        snapshots["weights"] = np.stack([state.of_run(i) for i in range(runs)])
    return numbers | {"path_entropy": path_entropy}, snapshots, refused


def _spheres(ensemble: Ensemble) -> tuple[Sequence[int], Sequence[int]]:
    """Numbers of weights, and dimensions, of the spheres on which the directions lie: one if some lie on none."""
    if not ensemble.model.all_spheres:
        return (ensemble.model.dimension,), (ensemble.model.directions,)
    return ensemble.components.sizes, (ensemble.components.parameters - 1).tolist()


def _measured_where(ensemble: Ensemble, state: TrainingState, run: int) -> Any:
    """Snapshots of a run: on a card a tensor, read back to it if they streamed to disk; else an array."""
    if ensemble.device.type == "cpu":
        return state.of_run(run)
    if not state.streams:
        return state.snapshots[:, run].contiguous()
    return torch.from_numpy(state.of_run(run)).pin_memory().to(ensemble.device, non_blocking=True)


def _turns(weights: Any) -> NDArray:
    """Angle (rad) between each snapshot and the next."""
    if on_device.there(weights):
        return on_device.turns(weights)
    return np.array([angular_update(*pair) for pair in pairwise(weights)])


def _without_flat(ensemble: Ensemble, kept: Any) -> Any:
    """Snapshots of a run, without their components along flat directions (which only decay)."""
    if not ensemble.model.all_spheres:
        return kept
    if on_device.there(kept):
        return ensemble.components.without_flat(kept)
    return ensemble.components.without_flat(torch.from_numpy(kept)).numpy()


def _statuses(
    experiment: NetworkExperiment,
    ensemble: Ensemble,
    summary: Arrays,
    loss: NDArray,
    trace: Arrays,
    refused: dict[int, str],
) -> Arrays:
    """Status and reason of every run; without an entropy it cannot be ok. On the sphere there is no norm balance."""
    if experiment.training.protocol == "fixed-sphere":
        runs = len(summary["loss"])
        summary = summary | {"balance": np.ones(runs), "balance_error": np.zeros(runs)}
    names = ("balance", "balance_error", "radius_drift", "radius_drift_error", "violation", "diverged_at", "loss")
    log_radius = trace["log_radius"][:, trace["step"] > ensemble.times.burn_in]
    with np.errstate(invalid="ignore", divide="ignore"):
        loss_drift, loss_drift_error = drift(loss)
        remainder = _remainder(ensemble, summary)
    found = [
        run_status(
            loss_drift=float(loss_drift[i]),
            loss_drift_error=float(loss_drift_error[i]),
            periodic_jumps=_jumps_periodically(log_radius[i]),
            # A diverged run is reported as such anyway.
            remainder=float(np.nan_to_num(remainder[i])),
            tolerance=experiment.model.tolerance,
            **{name: summary[name][i].item() for name in names},
        )
        for i in range(len(summary["loss"]))
    ]
    if (settled := experiment.schedule.settled) > ensemble.times.burn_in:
        why = f"lr or weight decay changes until step {settled}, but measuring began at step {ensemble.times.burn_in}"
        refused = {i: "; ".join(filter(None, (why, refused.get(i)))) for i in range(len(found))}
    for i, reason in refused.items():
        status, why = found[i]
        found[i] = ("not stationary" if status == "ok" else status, "; ".join(filter(None, (why, reason))))
    for i, reason in _interpolating(ensemble, trace, [status for status, _ in found]):
        found[i] = "interpolating", reason
    return {"status": np.array([status for status, _ in found]), "reason": np.array([reason for _, reason in found])}


def _interpolating(ensemble: Ensemble, trace: Arrays, statuses: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Runs that interpolate by `regime`, with the numbers that show it, whatever else their status says of them."""
    step, classes = trace["step"], int(ensemble.feeds.samples.labels.max()) + 1
    late = step > max(BEFORE * step[-1], ensemble.experiment.schedule.settled)
    measured = step > ensemble.times.burn_in
    for i, status in enumerate(statuses):
        noise = (trace["grad_sq"][i] * trace["radius_sq"][i])[late]
        loss, accuracy = (curve[~np.isnan(curve)] for curve in (trace[name][i, measured] for name in LEARNT))
        if classes > 1 and min(map(len, (noise, loss, accuracy))) >= FEWEST_POINTS and (noise > 0).all():
            curves = {"noise": noise, "loss": loss, "accuracy": accuracy}
            found = regime(status=status, step=step[late], classes=classes, **curves)
            if found.label == "interpolating":
                yield i, found.reason


def _jumps_periodically(log_radius: NDArray) -> bool:
    """Whether a finite curve of sufficient length has periodic jumps."""
    return len(log_radius) >= FEWEST_POINTS and bool(
        np.isfinite(log_radius).all() and periodic_jumps(log_radius).periodic
    )
