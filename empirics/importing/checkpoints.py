"""Published checkpoints as runs: what their weights tell of norm, directions and stationarity.

Settings are those of a ``config.json`` beside the checkpoints, and of the optimiser's state in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.claims.protocol import KNOBS
from empirics.experiment import ExperimentError
from empirics.experiment.registry import nearest
from empirics.importing.files import Cells, checksum
from empirics.importing.state_dicts import History, checkpoint_files, history
from empirics.importing.traces import CONFIG, FEWEST, radius_status
from empirics.measure import angular_update, snapshot_entropies
from empirics.results import VARIABLES

__all__ = ["is_checkpoint_folder", "read_checkpoints"]

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

#: Optimisers whose decay per step is known: it takes lr wd (2 - lr wd) of r^2, over 1 - momentum.
DECAYING = {"sgd", "momentum", "nesterov", "adamw"}

#: Settings that differ by a smaller share are equal: a file may hold them in float32.
ROUNDING = 1e-6

#: Tensors that are listed by name where all of them are meant.
NAMED = 5

#: Status of a run with too few checkpoints to see a drift of its norm.
UNKNOWN = "balance unknown"


def is_checkpoint_folder(path: Path) -> bool:
    """Whether a folder holds checkpoints, or folders that do."""
    return bool(_run_folders(path))


def _run_folders(path: Path) -> list[Path]:
    """List the runs at or in a path."""
    inner = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return [path] if checkpoint_files(path) else [folder for folder in inner if checkpoint_files(folder)]


def read_checkpoints(
    path: Path, protocol: str, weights: Sequence[str] = (), spheres: str = "one"
) -> tuple[Cells, xr.Dataset]:
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

    Returns
    -------
    cells : Cells
        One row per run: means over its checkpoints, and what they tell of its directions.
    snapshots : xarray.Dataset
        Squared norm, lag of the nearest neighbour and angle to the checkpoint before, dimensions (run, snapshot); NaN
        where a run has fewer checkpoints.

    Raises
    ------
    ExperimentError
        If a file cannot be loaded safely or has other tensors, its place in time is unknown, or a setting is missing or
        contradicted by the optimiser's state; the message names the file or folder.
    """
    from empirics.models.spheres import SPHERES

    if spheres not in SPHERES:
        raise ExperimentError(f"unknown spheres {spheres!r}{nearest(spheres, SPHERES)}; known: {', '.join(SPHERES)}")
    folders = _run_folders(path)
    rows, curves, dimensions, tensors = [], [], set(), []
    for folder in folders:
        read = history(folder, weights)
        row, curve, d = _run(read, protocol, spheres)
        tensors = list(read.shapes)
        rows.append(row)
        curves.append(curve)
        dimensions.add(d)
    if len(dimensions) > 1:
        raise ExperimentError(f"{path}: runs have different dimensions: {', '.join(map(str, sorted(dimensions)))}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    if set(columns["status"]) == {UNKNOWN}:
        del columns["status"], columns["reason"]  # whether the runs were stationary was not asked
    files = [file for folder in folders for parts in checkpoint_files(folder) for file in parts]
    files += [folder / CONFIG for folder in folders if (folder / CONFIG).is_file()]
    kind = "together one sphere" if spheres == "one" else f"a sphere per {spheres}"
    listed = ", ".join([*tensors[:NAMED], *(["..."] if len(tensors) > NAMED else [])])
    origin = dict.fromkeys(names, f"checkpoints, of {len(tensors)} tensors, {kind}: {listed}")
    origin |= dict.fromkeys(SETTINGS, f"{CONFIG}, or the optimizer's state")
    places = [f"folder {folder.name}" for folder in folders]
    facts = {"dimension": dimensions.pop()}
    return Cells(str(path), columns, len(rows), places, facts, origin, checksum(*files)), _snapshots(curves)


def _run(read: History, protocol: str, spheres: str) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]], int]:
    """Return the results of a run, its curves, and d."""
    from empirics.models.base import directions
    from empirics.models.spheres import spheres_of

    row, changed = _settings(read, protocol)
    blocks = spheres_of(read.shapes, spheres)
    d = 1 + directions(blocks)
    squares = np.array([float(np.square(weights, dtype=float).sum()) for weights in read.weights])
    if not np.isfinite(squares).all():
        at = read.times[int(np.argmin(np.isfinite(squares)))]
        row |= {"status": "diverged", "reason": f"weights are not finite at {at.unit} {at.number:g}"}
        return row, {"radius_sq": squares}, d
    turns = [math.nan, *(float(angular_update(*pair)) for pair in pairwise(read.weights))]
    curves = {"radius_sq": squares, "turn": np.array(turns)}
    row |= {"radius_sq": squares.mean(), "log_radius": np.log(squares).mean() / 2}
    row |= {"radial_balance": _radial_balance(read, row, squares)}
    sizes, each = zip(
        *((b.size // b.parts, b.weights_of_part - 1) for b in blocks for _ in range(b.parts)), strict=True
    )
    try:
        found, lags = snapshot_entropies(read.weights, sizes, each)
        row, curves["neighbour_lag"] = row | found, lags.astype(float)
        none = ""
    except ValueError as error:
        none = f"no entropy: {error}"
    if len(squares) < FEWEST:
        few = f"{len(squares)} checkpoints are too few to see whether the norm drifts, at least {FEWEST} are needed"
        row |= {"status": UNKNOWN, "reason": few}
    else:
        row |= radius_status(np.log(squares) / 2)
    if reason := "; ".join(filter(None, (changed, none))):
        row |= {"status": "not stationary", "reason": reason}
    return row, curves, d


def _settings(read: History, protocol: str) -> tuple[dict[str, Any], str]:
    """Return the settings of a run, and in words how they change, empty if they do not."""
    file = read.folder / CONFIG
    config = _configuration(file) if file.is_file() else {}
    row = {ours: config[name] for ours, names in SETTINGS.items() for name in names if name in config}
    for name in set(row) - {"optimizer", "seed"}:
        if isinstance(row[name], bool) or not isinstance(row[name], (int, float)) or not 0 < row[name] < math.inf:
            raise ExperimentError(f"{file}: {name} = {row[name]!r} must be a number above 0")
    changed = ""
    if protocol == "fixed-lr":
        first, last = read.rules[0], read.rules[-1]
        if first.get("optimizer") == "":
            first = {name: value for name, value in first.items() if name != "optimizer"}
            if "optimizer" not in row:
                raise ExperimentError(
                    f"{read.folder}: the state of Adam does not tell whether weight decay is decoupled; add "
                    f'"optimizer": "adamw" or "adam-l2" to {CONFIG}'
                )
        for name in ("lr", "weight_decay"):
            values = [rule[name] for rule in read.rules if name in rule]
            if values and not np.allclose(values, values[0], rtol=ROUNDING, atol=0):
                changed = f"{name} changes between the checkpoints, from {first.get(name)} to {last.get(name)}"
            elif values and name in row and not np.isclose(row[name], values[0], ROUNDING, 0):
                raise ExperimentError(f"{file}: {name} = {row[name]}, but the optimizer's state has {values[0]}")
        row = first | row
    for choice in KNOBS[protocol]:
        if not any(name in row for name in choice):
            wanted = " or ".join(choice)
            raise ExperimentError(f'{read.folder}: {wanted} is missing; add {CONFIG}, such as {{"{choice[0]}": 0.1}}')
    return row, changed


def _configuration(file: Path) -> Mapping[str, Any]:
    """Read the settings beside the checkpoints."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"cannot read {file}: {error}") from None
    if not isinstance(config, Mapping):
        raise ExperimentError(f"{file} must hold a JSON object")
    return config


def _radial_balance(read: History, row: Mapping[str, Any], squares: NDArray[np.float64]) -> float:
    """Growth of r^2 over its decay, from the change of r^2 alone; NaN where the decay per step is not known."""
    known = row.get("optimizer", "sgd") in DECAYING and read.times[0].unit == "step" and len(squares) > 1
    if not known or "lr" not in row or "weight_decay" not in row:
        return math.nan
    pull = float(row["lr"]) * float(row["weight_decay"])
    beta = float(row.get("momentum", 0.0)) if row.get("optimizer") in ("momentum", "nesterov") else 0.0
    steps = read.times[-1].number - read.times[0].number
    return 1 + (squares[-1] - squares[0]) / (steps * pull * (2 - pull) / (1 - beta) * squares.mean())


def _snapshots(curves: list[dict[str, NDArray[np.float64]]]) -> xr.Dataset:
    """Return the curves of all runs over their checkpoints, under our names."""
    length = max(len(curve["radius_sq"]) for curve in curves)
    none = np.full(length, np.nan)
    padded = {
        name: np.stack([np.append(curve[name], none)[:length] if name in curve else none for curve in curves])
        for name in ("radius_sq", "turn", "neighbour_lag")
    }
    return xr.Dataset({n: (("run", "snapshot"), values, VARIABLES[n]._asdict()) for n, values in padded.items()})
