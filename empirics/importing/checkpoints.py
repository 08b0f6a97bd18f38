"""Published checkpoints as runs: what their weights tell of norm, directions and stationarity.

Settings are those of a ``config.json`` beside the checkpoints, and of the optimiser's state in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.experiment import ExperimentError
from empirics.experiment.registry import nearest
from empirics.importing.averages import POINTS
from empirics.importing.foreign import Foreign, ForeignRun, Logged, number_of
from empirics.importing.state_dicts import History, Time, checkpoint_files, history
from empirics.importing.tables import parsed, text_of
from empirics.importing.traces import CONFIG
from empirics.measure import angular_update, burn_in, run_status, snapshot_entropies
from empirics.results import VARIABLES

__all__ = ["is_checkpoint_folder", "read_checkpoints"]

FloatArray = NDArray[np.float64]

#: Settings, by the names they have in a configuration.
SETTINGS = {
    "lr": ("lr", "learning_rate"),
    "weight_decay": ("weight_decay", "wd"),
    "effective_lr": ("effective_lr",),
    "radius": ("radius",),
    "momentum": ("momentum",),
    "optimizer": ("optimizer",),
    "seed": ("seed",),
}

#: Numbers in a configuration.
NUMBERS = ("lr", "learning_rate", "weight_decay", "wd", "effective_lr", "radius", "steps_per_epoch")

#: Optimisers whose decay per step is known.
DECAYING = ("sgd", "momentum", "nesterov", "adamw")

#: Settings that differ by a smaller share are equal: a file may hold them in single precision.
ROUNDING = 1e-6

#: Tensors that are listed by name.
NAMED = 5


def is_checkpoint_folder(path: Path) -> bool:
    """Whether a folder holds checkpoints, or folders that do."""
    return bool(_run_folders(path))


def _run_folders(path: Path) -> list[Path]:
    """List the runs at or in a path."""
    inner = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return [path] if checkpoint_files(path) else [folder for folder in inner if checkpoint_files(folder)]


def read_checkpoints(
    path: Path,
    protocol: str,
    weights: Sequence[str] = (),
    spheres: str = "one",
    optimizer: str = "sgd",
    columns: Mapping[str, str] = MappingProxyType({}),
) -> Foreign:
    """Read the checkpoints of one run, or of a folder of runs.

    Parameters
    ----------
    path
        A folder of checkpoints, or the parent folder of several.
    protocol
        The protocol of the runs.
    weights
        Patterns for the names of the tensors on the spheres. Default: all with two axes or more that change.
    spheres
        ``"one"``, ``"tensor"`` or ``"filter"``: what forms a sphere.
    optimizer
        The optimiser of runs that do not say it.
    columns
        What the user names: a number there is the setting of all runs, whatever lies beside the checkpoints.

    Returns
    -------
    Foreign
        The norm of every run over its checkpoints, and what those after burn-in tell of its directions.

    Raises
    ------
    ExperimentError
        If a file cannot be loaded safely or has other tensors, its place in time is unknown, or a setting is wrong or
        contradicted by the optimiser's state; the message names the file or folder.
    """
    from empirics.models.spheres import SPHERES

    if spheres not in SPHERES:
        raise ExperimentError(f"unknown spheres {spheres!r}{nearest(spheres, SPHERES)}; known: {', '.join(SPHERES)}")
    found = Foreign(str(path), "checkpoints", [], [])
    given = {ours: number for ours, text in columns.items() if (number := number_of(text)) is not None}
    curves, dimensions, units, words = [], set(), set(), ""
    for folder in _run_folders(path):
        read = history(folder, weights)
        run, curve, d = _run(read, protocol, spheres, optimizer, given)
        found.runs.append(run)
        curves.append(curve)
        dimensions.add(d)
        units.add(read.times[0].unit)
        words = _words(read, spheres)
        run.notes.append(words)
        found.files += [file for parts in checkpoint_files(folder) for file in parts]
        found.files += [file for file in (folder / CONFIG,) if file.is_file()]
    if len(dimensions) > 1:
        raise ExperimentError(f"{path}: runs have different dimensions: {', '.join(map(str, sorted(dimensions)))}")
    found.facts = {"dimension": dimensions.pop()}
    found.snapshots = _snapshots(curves)
    if units != {"step"}:
        found.curves = xr.Dataset()  # no curve over the steps
    found.origin = dict.fromkeys(found.columns, words)
    found.origin |= dict.fromkeys(SETTINGS, f"{CONFIG}, or the state of the optimizer")
    return found


def _words(read: History, spheres: str) -> str:
    """Say which tensors were read, and as what."""
    kind = "all together on one sphere" if spheres == "one" else f"each {spheres} on a sphere"
    left = f"; left out, because they never change: {_listed(read.still)}" if read.still else ""
    return f"tensors read: {_listed(list(read.shapes))}, {kind}{left}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _run(
    read: History, protocol: str, spheres: str, optimizer: str, given: Mapping[str, float]
) -> tuple[ForeignRun, dict[str, FloatArray], int]:
    """Return a run, its curves, and d."""
    from empirics.models.base import directions
    from empirics.models.spheres import spheres_of

    run = ForeignRun(f"folder {read.folder.name}")
    step = np.array([time.number for time in read.times])
    constant_from = _set(run, read, step, protocol)
    blocks = spheres_of(read.shapes, spheres)
    squares = np.array([float(np.square(weights, dtype=float).sum()) for weights in read.weights])
    curves, d = {"radius_sq": squares}, 1 + directions(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(squares) / 2
    run.series |= {"radius_sq": Logged(step, squares), "log_radius": Logged(step, logs)}
    if not np.isfinite(logs).all():
        return run, curves, d
    begin = max(constant_from, *(burn_in(one) for one in (squares, logs))) if len(squares) >= POINTS else constant_from
    curves["turn"] = np.array([math.nan, *(float(angular_update(*pair)) for pair in pairwise(read.weights))])
    if read.times[0].unit == "step":
        _balance(run, squares[begin:], float(step[-1] - step[begin]), optimizer, given)
    parts = [(b.size // b.parts, b.weights_of_part - 1) for b in blocks for _ in range(b.parts)]
    try:
        found, lags = snapshot_entropies(read.weights[begin:], [n for n, _ in parts], [m for _, m in parts])
    except ValueError as error:
        run.notes.append(f"no entropy: {error}")
    else:
        run.values |= found
        curves["neighbour_lag"] = np.concatenate([np.full(begin, math.nan), lags])
    return run, curves, d


def _set(run: ForeignRun, read: History, step: FloatArray, protocol: str) -> int:
    """Give a run its settings; return the number of the checkpoint from which they are constant."""
    file, changed = read.folder / CONFIG, 0
    config = _configuration(file) if file.is_file() else {}
    run.values |= {ours: config[name] for ours, names in SETTINGS.items() for name in names if name in config}
    for name in ("lr", "weight_decay", "momentum", "optimizer"):
        has = [i for i, rule in enumerate(read.rules) if name in rule]
        found = [read.rules[i][name] for i in has]
        if not has or protocol != "fixed-lr":  # the rate of an optimiser is no effective one
            continue
        if name == "optimizer":
            if "" in found and name not in run.values:
                raise ExperimentError(
                    f"{read.folder}: the state of Adam does not tell whether weight decay is decoupled; add "
                    f'"optimizer": "adamw" or "adam-l2" to {CONFIG}'
                )
            run.values.setdefault(name, found[0])
        elif not (steady := np.isclose(found, found[-1], rtol=ROUNDING, atol=0)).all():
            run.series[name] = Logged(step[has], np.array(found))
            changed = max(changed, has[int(np.flatnonzero(~steady)[-1]) + 1])
        elif not math.isclose(run.values.setdefault(name, found[0]), found[0], rel_tol=ROUNDING):
            raise ExperimentError(
                f"{file}: {name} = {run.values[name]}, but the state of the optimizer has {found[0]:g}"
            )
    if read.times[0].unit == "epoch" and "steps_per_epoch" in config:
        step *= config["steps_per_epoch"]
        read.times = [Time("step", number) for number in step]
    return changed


def _configuration(file: Path) -> Mapping[str, Any]:
    """Read the settings beside the checkpoints."""
    config = parsed(text_of(file), str(file))
    if not isinstance(config, Mapping):
        raise ExperimentError(f"{file} must hold a JSON object")
    for name in NUMBERS:
        value = config.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ExperimentError(f"{file}: {name} = {value!r} must be a number above 0")
    beta = config.get("momentum", 0)
    if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 <= beta < 1:
        raise ExperimentError(f"{file}: momentum = {beta!r} must be a number from 0 to below 1")
    return config


def _balance(run: ForeignRun, squares: FloatArray, steps: float, optimizer: str, given: Mapping[str, float]) -> None:
    """Compare the change of r^2 with what weight decay took, and leave out a run that this shows not to be stationary.

    Decay takes ``lr wd (2 - lr wd) r^2`` per step, with momentum over ``1 - momentum``; what r^2 did not lose, the
    gradients gave.
    """
    name, settings = str(run.values.get("optimizer", optimizer)).lower(), {**run.values, **given}
    if name not in DECAYING or not {"lr", "weight_decay"} <= set(settings) or len(squares) < 2:
        return
    pull = float(settings["lr"]) * float(settings["weight_decay"])
    gain = 1 / (1 - float(settings.get("momentum", 0.0))) if name in ("sgd", "momentum", "nesterov") else 1.0
    lost = steps * gain * pull * (2 - pull) * squares.mean()
    run.values["radial_balance"] = balance = 1 + (squares[-1] - squares[0]) / lost
    if len(squares) < POINTS:
        return
    place = np.arange(len(squares))
    scatter = squares - np.polyval(np.polyfit(place, squares, 1), place)
    status, reason = run_status(
        balance=balance,
        balance_error=math.sqrt(2) * scatter.std() / lost,
    )  # drift is judged as that of every series
    if status == "balance unknown":
        reason = f"norm balance {balance:.3f}: its checkpoints span too few steps ({steps:g}) to tell it from 1"
    if status != "ok":
        run.values |= {"status": status, "reason": reason}


def _snapshots(curves: list[dict[str, FloatArray]]) -> xr.Dataset:
    """Return the curves of all runs over their checkpoints, under our names; NaN where there is nothing."""
    length = max(len(curve["radius_sq"]) for curve in curves)
    none = np.full(length, np.nan)
    padded = {
        name: np.stack([np.append(curve[name], none)[:length] if name in curve else none for curve in curves])
        for name in ("radius_sq", "turn", "neighbour_lag")
    }
    return xr.Dataset({n: (("run", "snapshot"), values, VARIABLES[n]._asdict()) for n, values in padded.items()})
