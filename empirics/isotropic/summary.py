"""From the sums of a shard of the gas to the numbers of each run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from empirics.isotropic.entropy import symmetric_entropy
from empirics.isotropic.layout import GasSum
from empirics.isotropic.loop import CURVES, GasState, GasTrainer
from empirics.measure import (
    block_error,
    drift,
    entropy_bias,
    integrated_time,
    run_status,
    series_autocorrelation,
    sphere_entropy,
)

Arrays = dict[str, NDArray]

MEANS = {
    "radius_sq": GasSum.RADIUS_SQ,
    "log_radius": GasSum.LOG_RADIUS,
    "grad_sq": GasSum.GRAD_SQ,
    "grad_variance": GasSum.NOISE_SQ,
    "grad_variance_unit": GasSum.NOISE_SQ_UNIT,
    "grad_mean_sq": GasSum.GRAD_MEAN_SQ,
    "grad_mean_sq_unit": GasSum.GRAD_MEAN_SQ_UNIT,
    "loss": GasSum.LOSS,
    "hessian_noise": GasSum.HESSIAN_NOISE,
}


def summarise(trainer: GasTrainer, state: GasState) -> Arrays:
    """Results of a shard, names as ``group/variable``.

    Parameters
    ----------
    trainer, state
        The trainer and the final state.

    Returns
    -------
    dict
        ``summary/...`` (run,), ``trace/...`` (run, step), ``blocks/...`` (run, block), ``trace/step`` (step,) and, if
        they are kept, ``snapshots/...``.
    """
    alive = trainer.by_run(state.total.reshape(len(state.total), len(GasSum), -1))[GasSum.ALIVE]
    diverged = alive < state.step
    with np.errstate(invalid="ignore", divide="ignore"):  # a diverged run is NaN
        means = np.diff(state.marks, axis=0) / np.diff(trainer.block_steps)[:, None, None]
        means[:, :, diverged] = np.nan
        blocks = _physics(trainer, means)
        summary = {name: value[0] for name, value in _physics(trainer, means.mean(0, keepdims=True)).items()}
        summary |= _over_time(trainer, means, blocks)
    summary["diverged_at"] = np.where(diverged, alive, -1).astype(np.int64)
    found = _snapshots(trainer, state, np.flatnonzero(~diverged))
    summary |= found.summary
    blocks |= found.blocks
    # The variance about the mean of correlated samples is too small by the variance of that mean.
    summary["loss_variance"] /= 1 - 1 / np.maximum(summary["effective_sample_size"], 2)
    summary["entropy"] = summary["entropy_sphere"] + (trainer.experiment.gas.dimension - 1) * summary["log_radius"]
    summary |= _statuses(trainer, summary, found.refused)
    curves = {name: state.curves[:, row].T for row, name in enumerate(CURVES)}
    groups = {
        "summary": summary,
        "trace": {"step": trainer.trace_steps} | curves,
        "blocks": {name: np.ascontiguousarray(value.T) for name, value in blocks.items()},
        "snapshots": _kept(trainer, state),
    }
    return {f"{group}/{name}": value for group, variables in groups.items() for name, value in variables.items()}


def _physics(trainer: GasTrainer, means: NDArray) -> Arrays:
    """Turn means of the sums (interval, Sum, run) into physical quantities, each (interval, run)."""
    tangents = trainer.experiment.gas.dimension - 1
    found = {name: means[:, row] for name, row in MEANS.items()}
    loss_variance = means[:, GasSum.LOSS_SQ] - means[:, GasSum.LOSS] ** 2
    return found | {
        "loss_variance": loss_variance,
        "temperature": means[:, GasSum.HEAT] / (2 * tangents),
        "laplacian": tangents * (1 - means[:, GasSum.LOSS]),
        "rotation": np.sqrt(means[:, GasSum.ANGLE_SQ]),
        # On the sphere the norm is restored at every step: there is no balance.
        "balance": np.where(trainer.on_sphere, np.nan, means[:, GasSum.GROWTH] / means[:, GasSum.DECAY]),
    }


def _over_time(trainer: GasTrainer, means: NDArray, blocks: Arrays) -> Arrays:
    """Comparisons of one part of the run with another."""
    # Runs first: sums along contiguous numbers round equally for any number of runs.
    log_radius, balance = (np.ascontiguousarray(blocks[name].T) for name in ("log_radius", "balance"))
    change, error = drift(log_radius)
    whole = means.mean(0)
    shifted = whole[GasSum.RADIUS_SQ] - trainer.initial_radius**2
    return {
        "radius_sq_variance": np.where(trainer.on_sphere, 0 * shifted, whole[GasSum.RADIUS_4] - shifted**2),
        "radius_drift": change,
        "radius_drift_error": error,
        "balance_error": block_error(balance),
        "initial_radius": trainer.initial_radius,
        "violation": np.zeros(len(trainer.runs)),
    }


@dataclass
class _Found:
    """Estimates from the snapshots."""

    summary: Arrays
    blocks: Arrays
    refused: dict[int, str] = field(default_factory=dict)


def _losses(trainer: GasTrainer, state: GasState, run: int) -> NDArray[np.float64]:
    """Losses of one run at the snapshots."""
    kept = state.samples[:, run]
    return kept[:, 0] if kept.shape[1] == 1 else trainer.losses(kept)


def _snapshots(trainer: GasTrainer, state: GasState, whole: NDArray) -> _Found:
    """Entropy of the directions and effective sample size of the loss, for the finite runs."""
    experiment, runs = trainer.experiment, len(trainer.runs)
    blocks = experiment.measure.blocks
    names = ("entropy_sphere", "entropy_sphere_error", "effective_sample_size")
    found = _Found({name: np.full(runs, np.nan) for name in names}, {})
    # All of these stay 0 where there are no neighbours: that estimate has taken its own bias off.
    found.summary |= {"path_entropy": np.zeros(runs, dtype=bool)}
    found.summary |= {name: np.zeros(runs) for name in ("entropy_bias", "entropy_bias_error")}
    if experiment.symmetric:
        found.blocks["entropy_sphere"] = np.full((blocks, runs), np.nan)
    else:
        found.summary["neighbour_lag"] = np.full(runs, np.nan)
    for i in map(int, whole):
        losses = _losses(trainer, state, i)
        time = integrated_time(series_autocorrelation(losses), rows=len(losses))
        found.summary["effective_sample_size"][i] = len(losses) / time
        try:
            if experiment.symmetric:
                entropy = symmetric_entropy(losses, experiment.gas.dimension, blocks)
                value, error = entropy.value, entropy.error
                found.blocks["entropy_sphere"][:, i] = entropy.blocks
            else:
                kept = state.samples[:, i]
                neighbour = sphere_entropy(kept, method="flat", theiler=0)
                bias = entropy_bias(kept, kept.shape[1:], kept.shape[1] - 1, neighbour.effective_sample_size)
                found.summary["entropy_bias"][i], found.summary["entropy_bias_error"][i] = bias
                value, error = neighbour.value, (neighbour.high - neighbour.low) / 3.92
                found.summary["neighbour_lag"][i] = np.median(np.abs(neighbour.lags))
                found.summary["path_entropy"][i] = neighbour.path_entropy
        except ValueError as refusal:
            found.refused[i] = f"no entropy: {refusal}"
            continue
        found.summary["entropy_sphere"][i], found.summary["entropy_sphere_error"][i] = value, error
    return found


def _kept(trainer: GasTrainer, state: GasState) -> Arrays:
    """The snapshots themselves, if the experiment keeps them."""
    if not trainer.experiment.measure.keep_snapshots:
        return {}
    samples = state.samples[:, : len(trainer.runs)].transpose(1, 0, 2)
    if samples.shape[2] == 1:
        return {"loss": np.ascontiguousarray(samples[:, :, 0])}
    return {"weights": np.ascontiguousarray(samples)}


def _statuses(trainer: GasTrainer, summary: Arrays, refused: dict[int, str]) -> Arrays:
    """Status and reason of every run."""
    found = [_status(trainer, summary, i) for i in range(len(trainer.runs))]
    for i, reason in refused.items():
        status, why = found[i]
        found[i] = ("not stationary" if status == "ok" else status, "; ".join(filter(None, (why, reason))))
    return {"status": np.array([status for status, _ in found]), "reason": np.array([reason for _, reason in found])}


def _status(trainer: GasTrainer, summary: Arrays, i: int) -> tuple[str, str]:
    """Status of one run; on the sphere there is no norm balance."""
    run, step = trainer.runs[i], int(summary["diverged_at"][i])
    if step >= 0:
        return "diverged", f"{run}: lr·wd exceeded 2 at step {step}, so that the norm grows"
    names = ["balance", "balance_error", "radius_drift", "radius_drift_error", "violation", "diverged_at", "loss"]
    numbers = {name: summary[name][i].item() for name in names}
    if run.protocol == "fixed-sphere":
        numbers |= {"balance": 1.0, "balance_error": 0.0, "radius_drift": 0.0, "radius_drift_error": 0.0}
    return run_status(**numbers)
