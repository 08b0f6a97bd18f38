"""Import runs trained elsewhere: tables, logs and checkpoints become results in our own format, checked cell by cell.

Foreign files are data only: no reader used here executes anything in them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from empirics.claims.protocol import KNOBS
from empirics.experiment import ExperimentError
from empirics.importing.averages import curves
from empirics.importing.checkpoints import is_checkpoint_folder, read_checkpoints
from empirics.importing.columns import Columns, in_columns, optimizer_of
from empirics.importing.copies import COORDINATES
from empirics.importing.folders import has_logs, read_folder
from empirics.importing.foreign import Foreign, checksum
from empirics.importing.names import Assigned, assign
from empirics.importing.survey import Survey, free_folder
from empirics.importing.tables import read_table
from empirics.importing.traces import is_trace_folder, read_traces
from empirics.results import STORE, VARIABLES, Runs
from empirics.running import provenance

__all__ = ["Survey", "free_folder", "import_runs", "read_runs", "survey"]


def read_runs(
    path: str | Path,
    protocol: str,
    *,
    dimension: int | None = None,
    optimizer: str = "sgd",
    columns: Mapping[str, str] | None = None,
    weights: Sequence[str] = (),
    spheres: str | None = None,
) -> Runs:
    """Read runs trained elsewhere.

    Parameters
    ----------
    path
        A table (``.csv``, ``.tsv``, ``.json``, ``.jsonl``, ``.npz``, ``.parquet``, ``.nc``) with one row per run, a row
        per step, or run, step, tag and value; or a folder of runs (Lightning, Hydra, W&B, TensorBoard, Trainer states,
        DeepOBS, settings beside a log, trace folders of the paper's code, checkpoints). docs/importing.md has them all.
    protocol
        ``"fixed-lr"``, ``"fixed-elr"`` or ``"fixed-sphere"``.
    dimension
        The d of the formulas, one more than the number of directions, if neither a column ``dimension`` nor the file
        gives it.
    optimizer
        The optimiser of the runs, if there is no such column.
    columns
        Maps names in the results to columns, for columns with other names; ``"column^2"`` squares a norm, a number
        holds for every run, an empty text takes no column.
    weights
        Of checkpoints: patterns for the names of the tensors on the spheres, such as ``"*.conv?.weight"``. Default: all
        with two axes or more that change.
    spheres
        Of checkpoints: what forms a sphere, ``"one"`` (the default: all these weights together), ``"tensor"`` or
        ``"filter"``. If `weights` or `spheres` is given, checkpoints are read even where there are logs beside them.

    Returns
    -------
    Runs
        In memory, with the names of our own results: of series the means over their stationary part. Missing variables
        that follow from others are filled in; the attribute ``origin`` of each variable tells where it comes from.

    Warns
    -----
    UserWarning
        If the meaning of a column that claims rest on was guessed.

    Raises
    ------
    ExperimentError
        If the file cannot be read, a required column is missing, a cell is wrong, or a run is there more than once; the
        message names the file, and the row or the column.
    """
    found = survey(
        path, protocol, dimension=dimension, optimizer=optimizer, columns=columns, weights=weights, spheres=spheres
    )
    if guesses := found.guesses():
        warnings.warn(f"{path}: guessed from the names, to be checked: {', '.join(guesses)}", stacklevel=2)
    return found.read()


def survey(
    path: str | Path,
    protocol: str,
    *,
    dimension: int | None = None,
    optimizer: str = "sgd",
    columns: Mapping[str, str] | None = None,
    weights: Sequence[str] = (),
    spheres: str | None = None,
) -> Survey:
    """Describe what a file or folder holds and what can be judged with it, as `thermo-theory import --dry-run` does.

    Parameters
    ----------
    path, protocol, dimension, optimizer, columns, weights, spheres
        As for :func:`read_runs`.

    Returns
    -------
    Survey
        What was found, with the runs, or with what keeps them from being read.

    Raises
    ------
    ExperimentError
        If the options are wrong, or the file cannot be read at all.
    """
    where = Path(path)
    if protocol not in KNOBS:
        raise ExperimentError(f"unknown protocol {protocol!r}; known: {', '.join(KNOBS)}")
    if dimension is not None and (isinstance(dimension, bool) or dimension < 2):
        raise ExperimentError(f"dimension = {dimension}: must be a whole number, 2 or more")
    optimizer = optimizer_of(optimizer)
    foreign = _read(where, protocol, weights, spheres, optimizer, columns or {})
    for value in dict.fromkeys((columns or {}).values()):
        foreign.give(value)
    known = ["dimension"] if dimension is not None or "dimension" in foreign.facts else []
    assigned = assign(foreign.columns, dict(columns or {}), foreign.source, known, foreign.configured, foreign.same)
    try:
        found = in_columns(foreign, assigned, protocol, dimension, optimizer)
    except ExperimentError as error:
        return Survey(foreign, assigned, problem=error)
    tree = _tree(found, where, foreign, assigned, protocol)
    runs = Runs(None, tree, None, json.loads(tree.attrs["provenance"]))
    return Survey(foreign, assigned, found.notes, found.averaged, runs)


def _read(
    where: Path,
    protocol: str,
    weights: Sequence[str],
    spheres: str | None,
    optimizer: str,
    columns: Mapping[str, str],
) -> Foreign:
    """Read a file or folder by what it is."""
    if not where.exists():
        raise ExperimentError(f"no file or folder {where} to import")
    if (where / STORE).is_dir():
        raise ExperimentError(f"{where} holds results already, which need no import: `thermo-theory compare {where}`")
    asked, checkpoints = bool(weights or spheres), where.is_dir() and is_checkpoint_folder(where)
    if asked and not checkpoints:
        raise ExperimentError(f"{where} holds no checkpoints, to which alone weights and spheres apply")
    if asked or (checkpoints and not has_logs(where)):
        return read_checkpoints(where, protocol, weights, spheres or "one", optimizer, columns)
    if not where.is_dir():
        return read_table(where)
    return read_traces(where, protocol) if is_trace_folder(where) else read_folder(where)


def import_runs(path: str | Path, out: str | Path, protocol: str, **options: Any) -> Runs:
    """Read runs trained elsewhere (`read_runs`) and write them to a results folder for `empirics.load`.

    Parameters
    ----------
    path, protocol, **options
        As for :func:`read_runs`.
    out
        The folder: new, empty, or from an earlier import, which is replaced.

    Returns
    -------
    Runs
        The runs, with their folder.

    Raises
    ------
    ExperimentError
        As :func:`read_runs`, and if the folder holds anything else. Nothing is written then.
    """
    folder = free_folder(out)
    return survey(path, protocol, **options).write(folder)


def _tree(found: Columns, where: Path, foreign: Foreign, assigned: Assigned, protocol: str) -> xr.DataTree:
    """Assemble results as in :mod:`empirics.results`, with their origin in place of an experiment."""
    variables = {
        name: xr.Variable(("run",), values, VARIABLES[name]._asdict() | {"origin": found.origin[name]})
        for name, values in found.values.items()
    }
    if found.completion:
        variables["status"].attrs["tells"] = "completion"
    facts = {"dimension": found.dimension, "name": where.stem or where.name, "kind": "imported"}
    coordinates = [name for name in COORDINATES if name in variables]
    summary = xr.Dataset(variables, attrs=facts).set_coords(coordinates)
    session = provenance.session("none", {})
    imported = {
        "file": str(where),
        "sha256": checksum(*foreign.files),
        "protocol": protocol,
        "columns": {name: f"{one} ({one.how})" for name, one in assigned.named.items()},
        "ignored": [*assigned.ignored, *assigned.aside],
    }
    made = {
        "seeds": sorted({int(seed) for seed in found.values["seed"]}),
        "imported": imported,
        "sessions": [session | {"ended": provenance.now()}],
    }
    root = xr.Dataset(attrs=facts | {"provenance": json.dumps(made)})
    groups = {"/": root, "/summary": summary}
    trace = foreign.curves if foreign.curves is not None else curves(foreign.runs, assigned)
    if trace is not None:
        groups["/trace"] = trace.assign_coords({name: summary.coords[name] for name in coordinates})
    if foreign.snapshots is not None:
        groups["/snapshots"] = foreign.snapshots.assign_coords({name: summary.coords[name] for name in coordinates})
    return xr.DataTree.from_dict(groups)
