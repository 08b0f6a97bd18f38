"""Trace folders of the paper's own code: one folder per run, with ``config.json`` and ``trace.pt``.

``trace.pt`` is read by torch's safe loader, which builds only tensors, numbers, strings, lists and dictionaries; the
numpy scalars in these files are allowed one by one. A file that needs anything else is refused.

The lists in a trace (one entry per iteration in ``log_iters``), and their use:

=============================  ==============================================================================
``train_loss``                 loss on the whole training set
``stoch_grad_rms``             root of E|g - grad L|^2 at the actual norm: its square is `grad_variance`
``full_grad_norm``             |grad L| at the actual norm: its square is `grad_mean_sq`
``stoch_grad_mean_norm_squared``  E|g|^2, `grad_sq` (if it is missing: the sum of the two above)
``mean_radius``                mean norm over the entropy's window
``log_radius``                 (d - 1) log(mean_radius): with the norm it gives d
``spherical_entropy``          nearest-neighbour entropy of the window in polar angles; NaN until it is full
``running_radius``             norm every ``running_log_freq`` iterations: drift and jumps of the radius, and the status
=============================  ==============================================================================

The results of a run are means over the entries of its last window, the one of its entropy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.experiment import ExperimentError
from empirics.importing.foreign import Foreign, ForeignRun
from empirics.importing.tables import parsed, text_of
from empirics.importing.torch_files import load_safely
from empirics.measure import drift, periodic_jumps, run_status
from empirics.results import VARIABLES

__all__ = ["is_trace_folder", "read_traces"]

CONFIG, TRACE = "config.json", "trace.pt"

#: Names of the protocols in the configuration.
MODES = {"fixed_lr": "fixed-lr", "fixed_elr": "fixed-elr", "fixed_sphere": "fixed-sphere"}

#: Share of the entries to average over if the configuration does not define the window.
LAST_SHARE = 0.1

#: d - 1 is (d-1) log r over log r; for smaller |log r| the quotient is not accurate.
NO_DIGITS = 1e-4

#: Blocks for the drift of the radius, points for its jumps, and the minimum number of points for either.
BLOCKS, POINTS, FEWEST = 20, 200, 40

#: Required lists; the others are optional.
NEEDED = ("train_loss", "mean_radius")


def is_trace_folder(path: Path) -> bool:
    """Whether a folder is a trace folder or contains one."""
    return any((place / TRACE).is_file() for place in _folders(path))


def _folders(path: Path) -> list[Path]:
    """List the trace folders at or in a path; one of the two files is enough, so that a missing one is reported."""
    places = [path, *sorted(inner for inner in path.iterdir() if inner.is_dir())]
    return [place for place in places if (place / CONFIG).is_file() or (place / TRACE).is_file()]


def read_traces(path: Path, protocol: str) -> Foreign:
    """Read all trace folders at a path.

    Parameters
    ----------
    path
        A trace folder, or the parent folder of several.
    protocol
        The protocol of the runs; ``lr`` is the effective learning rate at fixed ELR and on the sphere.

    Returns
    -------
    Foreign
        The runs; with the curves over time, if all were logged at the same iterations.

    Raises
    ------
    ExperimentError
        If a file is missing, damaged or would execute code, or a number is missing; the message names the file.
    """
    folders = _folders(path)
    rows = [_row(folder, protocol) for folder in folders]
    if all(row["status"] == "ok" and not {"grad_variance", "radius_drift"} & set(row) for row, _ in rows):
        for row, _ in rows:  # neither norm balance nor drift is known: nothing was asked
            del row["status"], row["reason"]
    dimensions = {row.pop("dimension") for row, _ in rows} - {None}
    if len(dimensions) > 1:
        raise ExperimentError(f"{path}: runs have different dimensions: {', '.join(map(str, sorted(dimensions)))}")
    found = Foreign(
        str(path),
        "trace folders of the paper's code",
        [ForeignRun(f"folder {folder.name}", row) for folder, (row, _) in zip(folders, rows, strict=True)],
        [folder / name for folder in folders for name in (CONFIG, TRACE)],
        {"dimension": dimensions.pop()} if dimensions else {},
        curves=_curves([curves for _, curves in rows]),
    )
    found.origin = {name: f"{TRACE} and {CONFIG}: {_ORIGIN.get(name, name)}" for name in found.columns}
    return found


_ORIGIN = {
    "loss": "mean of train_loss over the last window",
    "grad_variance": "mean of stoch_grad_rms^2 over the last window",
    "grad_mean_sq": "mean of full_grad_norm^2 over the last window",
    "radius_sq": "square of the last mean_radius",
    "entropy_sphere": "last spherical_entropy: nearest neighbours in polar angles",
}


def _row(folder: Path, protocol: str) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Read one run: its results, and its curves."""
    config = _configuration(folder / CONFIG, protocol)
    trace = _load(folder / TRACE)
    iterations = np.asarray(config["log_iters"], dtype=float)
    curves = {
        name: _curve(folder / TRACE, name, trace[name], len(iterations))
        for name in ("train_loss", "stoch_grad_rms", "full_grad_norm", "stoch_grad_mean_norm_squared", "mean_radius")
        if trace.get(name)
    }
    for name in NEEDED:
        if name not in curves:
            raise ExperimentError(f"{folder / TRACE}: the trace has no {name}")
    for name in ("spherical_entropy", "log_radius"):
        if trace.get(name):
            curves[name] = _curve(folder / TRACE, name, trace[name], len(iterations))
    entries = min(len(curve) for curve in curves.values())  # a killed run lacks the last ones
    if not entries:
        raise ExperimentError(f"{folder / TRACE}: the trace is empty")
    curves = {name: curve[:entries] for name, curve in curves.items()}
    row = _knobs(config, protocol) | _measured(curves, _window(config, iterations[:entries]))
    row |= _status(row, curves["train_loss"], _running_radius(config, trace, folder / TRACE))
    return row | {"dimension": _dimension(curves)}, {"step": iterations[:entries], **curves}


def _configuration(file: Path, protocol: str) -> dict[str, Any]:
    """Read ``config.json``, which must be complete."""
    if not file.is_file():
        raise ExperimentError(f"{file} is missing")
    config = parsed(text_of(file), str(file))
    if not isinstance(config, dict):
        raise ExperimentError(f"{file} must hold a JSON object")
    needed = ["lr", "si_pnorm_0" if protocol == "fixed-sphere" else "wd"]
    for name in needed:
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ExperimentError(f"{file}: {name} = {value!r} must be a number above 0")
    log = config.get("log_iters")
    if not isinstance(log, list) or not log or not all(isinstance(i, (int, float)) for i in log):
        raise ExperimentError(f"{file}: log_iters must be a list of iterations")
    mode = MODES.get(str(config.get("opt_mode")))
    if mode is not None and mode != protocol:
        raise ExperimentError(f"{file}: opt_mode is {mode}, but --protocol is {protocol}")
    return config


def _load(file: Path) -> dict[str, Any]:
    """Load the lists of a trace."""
    stored = load_safely(file)
    trace = stored.get("trace") if isinstance(stored, Mapping) else None
    if not isinstance(trace, Mapping):
        raise ExperimentError(f"{file} holds no dictionary 'trace'")
    return {str(name): values for name, values in trace.items() if isinstance(values, list)}


def _curve(file: Path, name: str, values: list[Any], entries: int) -> NDArray[np.float64]:
    """Convert a list of the trace, one number for each logged iteration at most, to numbers."""
    if len(values) > entries:
        raise ExperimentError(f"{file}: {name} has {len(values)} entries, but log_iters only {entries}")
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise ExperimentError(f"{file}: {name} must be a list of numbers") from None


def _knobs(config: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """Return the settings: the code's ``lr`` is the effective learning rate unless the protocol is fixed LR."""
    knobs: dict[str, Any] = {"lr" if protocol == "fixed-lr" else "effective_lr": config["lr"]}
    if protocol == "fixed-sphere":
        knobs["radius"] = config["si_pnorm_0"]
    else:
        knobs["weight_decay"] = config["wd"]
    if isinstance(config.get("pt_seed"), int):
        knobs["seed"] = config["pt_seed"]
    return knobs


def _window(config: Mapping[str, Any], iterations: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Select the entries of the last window: the iterations whose weights enter the last entropy."""
    size, spacing = config.get("queue_size"), config.get("queue_freq")
    if isinstance(size, int) and isinstance(spacing, int) and size * spacing > 0:
        inside = iterations > iterations[-1] - size * spacing
    else:
        inside = np.arange(len(iterations)) >= len(iterations) - max(1, round(LAST_SHARE * len(iterations)))
    return np.asarray(inside)


def _measured(curves: Mapping[str, NDArray[np.float64]], window: NDArray[np.bool_]) -> dict[str, Any]:
    """Average the run over its last window."""
    row: dict[str, Any] = {
        "loss": curves["train_loss"][window].mean(),
        "radius_sq": float(curves["mean_radius"][-1]) ** 2 or math.nan,
    }
    squares = (("stoch_grad_rms", "grad_variance"), ("full_grad_norm", "grad_mean_sq"))
    row |= {ours: (curves[theirs][window] ** 2).mean() for theirs, ours in squares if theirs in curves}
    if "stoch_grad_mean_norm_squared" in curves:
        row["grad_sq"] = curves["stoch_grad_mean_norm_squared"][window].mean()
    if "spherical_entropy" in curves:
        row["entropy_sphere"] = float(curves["spherical_entropy"][-1])
    return row


def _running_radius(config: Mapping[str, Any], trace: Mapping[str, Any], file: Path) -> NDArray[np.float64] | None:
    """Return the logarithm of the norm along the last window, if it was logged often enough."""
    values, spacing = trace.get("running_radius"), config.get("running_log_freq")
    if not values or not isinstance(spacing, int) or spacing < 1:
        return None
    radius = _curve(file, "running_radius", values, len(values))
    tail = radius[_window(config, spacing * np.arange(1.0, len(radius) + 1))]
    if len(tail) < FEWEST or not (np.isfinite(tail) & (tail > 0)).all():
        return None
    return np.log(tail)


def _status(
    row: Mapping[str, Any], loss: NDArray[np.float64], log_radius: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Determine the status of the run from its trace; the norm balance is checked by the claims."""
    known: dict[str, Any] = {"radius_drift": 0.0, "radius_drift_error": 0.0}
    jumps = False
    if log_radius is not None:
        blocks = np.array([part.mean() for part in np.array_split(log_radius, BLOCKS)])
        change, error = drift(blocks)
        known = {"radius_drift": float(change), "radius_drift_error": float(error)}
        jumps = periodic_jumps(log_radius[:: max(1, len(log_radius) // POINTS)]).periodic
    broken = np.flatnonzero(~np.isfinite(loss))
    status, reason = run_status(
        **known,
        balance=1.0,
        balance_error=0.0,
        loss=float(row["loss"]),
        periodic_jumps=jumps,
    )
    if len(broken):
        status, reason = "diverged", f"the loss was not finite at logged iteration {broken[0]}"
    return (known if log_radius is not None else {}) | {"status": status, "reason": reason}


def _dimension(curves: Mapping[str, NDArray[np.float64]]) -> int | None:
    """Compute d from the two radii, if they are far enough from 1."""
    if "log_radius" not in curves:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        single = np.log(curves["mean_radius"])
        good = np.isfinite(curves["log_radius"]) & (np.abs(single) > NO_DIGITS)
    if not good.any():
        return None
    at = int(np.flatnonzero(good)[np.argmax(np.abs(single[good]))])
    return 1 + round(float(curves["log_radius"][at] / single[at]))


def _curves(every: list[dict[str, NDArray[np.float64]]]) -> xr.Dataset | None:
    """Return the curves of all runs over time, under our names, if they share their steps."""
    steps = every[0]["step"]
    if not all(np.array_equal(curves["step"], steps) for curves in every):
        return None
    arrays = {
        "loss": [curves["train_loss"] for curves in every],
        "log_radius": [np.log(np.where(curves["mean_radius"] > 0, curves["mean_radius"], np.nan)) for curves in every],
    }
    if all("stoch_grad_mean_norm_squared" in curves for curves in every):
        arrays["grad_sq"] = [curves["stoch_grad_mean_norm_squared"] for curves in every]
    variables = {
        name: xr.Variable(("run", "step"), np.stack(values), VARIABLES[name]._asdict())
        for name, values in arrays.items()
    }
    step = xr.Variable(("step",), steps.astype(np.int64), VARIABLES["step"]._asdict())
    return xr.Dataset({**variables, "step": step}).set_coords("step")
