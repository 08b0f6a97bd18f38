"""Import runs trained elsewhere: tables and trace folders become results like our own, checked cell by cell.

Foreign files are data only: no reader used here executes anything in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics import results
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.protocol import KNOBS, effective_lr
from empirics.experiment import ExperimentError
from empirics.experiment.registry import nearest
from empirics.importing.checkpoints import is_checkpoint_folder, read_checkpoints
from empirics.importing.copies import refuse_copies
from empirics.importing.files import Cells, read_table
from empirics.importing.traces import is_trace_folder, read_traces
from empirics.measure import norm_balance
from empirics.results import EXPERIMENT, STORE, VARIABLES, Runs
from empirics.running import provenance
from thermo_theory import FixedELR

__all__ = ["import_runs", "read_runs"]

FloatArray = NDArray[np.float64]


#: Columns of text.
TEXTS = ("protocol", "optimizer", "status", "reason")

#: Columns of whole numbers.
WHOLE = ("seed", "diverged_at")

#: Columns of truth values, and the words for these.
TRUTHS = ("path_entropy", "scale_invariant")
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

#: Columns that label a run; the others are measurements.
COORDINATES = ("lr", "weight_decay", "effective_lr", "radius", "protocol", "optimizer", "seed")

#: Columns that must be positive.
POSITIVE = ("lr", "weight_decay", "effective_lr", "radius", "radius_sq", "grad_sq", "grad_variance", "temperature")

#: Column names that are recognised: those of the summary.
NAMES = tuple(name for name in VARIABLES if name not in ("step", "block", "snapshot", "parameter", "weights"))


@dataclass
class _Columns:
    """The columns of a table by their names in the results, and the origin of each."""

    source: str
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, values: Any, origin: str) -> None:
        self.values[name], self.origin[name] = np.asarray(values), origin

    def have(self, *names: str) -> bool:
        """Whether all of these are present."""
        return all(name in self.values for name in names)


def read_runs(
    path: str | Path,
    protocol: str,
    *,
    dimension: int | None = None,
    optimizer: str = "sgd",
    columns: Mapping[str, str] | None = None,
    weights: Sequence[str] = (),
    spheres: str = "one",
) -> Runs:
    """Read runs trained elsewhere.

    Parameters
    ----------
    path
        A table with one row per run (``.csv``, ``.tsv``, ``.parquet``, ``.nc``), a trace folder
        (``lr1.00e-02_wd1.00e-03_seed1/`` with ``config.json`` and ``trace.pt``), a folder of checkpoints (state dicts
        of torch or safetensors, in time order), or a folder of such folders.
    protocol
        ``"fixed-lr"``, ``"fixed-elr"`` or ``"fixed-sphere"``.
    dimension
        The d of the formulas, one more than the number of directions (weights less one per sphere, plus one), if
        neither a column ``dimension`` nor the file gives it.
    optimizer
        The optimiser of the runs, if there is no such column.
    columns
        Maps names in the results to columns of the table, for columns with other names.
    weights
        Of checkpoints: patterns for the names of the tensors on the spheres, such as ``"*.conv?.weight"``. Default: all
        with two axes or more that change.
    spheres
        Of checkpoints: what forms a sphere, ``"one"`` for all these weights together, ``"tensor"`` or ``"filter"``.

    Returns
    -------
    Runs
        In memory, with the names of our own results. Missing variables that follow from others are filled in; the
        attribute ``origin`` of each variable tells where it comes from.

    Raises
    ------
    ExperimentError
        If the file cannot be read, a required column is missing, a cell is wrong, or a run is there more than once; the
        message names the file, and the row or the column.
    """
    where = Path(path)
    if protocol not in KNOBS:
        raise ExperimentError(f"unknown protocol {protocol!r}; known: {', '.join(KNOBS)}")
    if dimension is not None and (isinstance(dimension, bool) or dimension < 2):
        raise ExperimentError(f"dimension = {dimension}: must be a whole number, 2 or more")
    if optimizer not in EVERY_OPTIMIZER:
        raise ExperimentError(
            f"unknown optimizer {optimizer!r}{nearest(optimizer, EVERY_OPTIMIZER)}; known: {', '.join(EVERY_OPTIMIZER)}"
        )
    if not where.exists():
        raise ExperimentError(f"no file or folder {where} to import")
    extra: dict[str, xr.Dataset | None] = {}
    checkpoints = where.is_dir() and is_checkpoint_folder(where)
    if not checkpoints and (weights or spheres != "one"):
        raise ExperimentError(f"{where} holds no checkpoints, to which alone weights and spheres apply")
    if checkpoints:
        cells, extra["snapshots"] = read_checkpoints(where, protocol, weights, spheres)
    elif where.is_dir():
        if not is_trace_folder(where):
            raise ExperimentError(
                f"{where} is no table, no folder of trace folders (with config.json and trace.pt), and no folder of "
                "checkpoints"
            )
        cells, extra["trace"] = read_traces(where, protocol)
    else:
        cells = read_table(where)
    found = _typed(cells, protocol, dimension, dict(columns or {}))
    refuse_copies(cells, found.values)
    d = _dimension(cells, found, dimension)
    _label(found, protocol, optimizer)
    _derive(found, protocol, d)
    tree = _tree(found, d, where, cells, extra, protocol)
    return Runs(None, tree, None, json.loads(tree.attrs["provenance"]))


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
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"{folder} is a file; give a folder for the results")
    if folder.is_dir() and any(folder.iterdir()):
        if (folder / EXPERIMENT).exists():
            raise ExperimentError(f"{folder} holds an experiment; give another folder for imported runs")
        if not (folder / STORE).is_dir():
            raise ExperimentError(f"{folder} is not empty; give another folder for imported runs")
    runs = read_runs(path, protocol, **options)
    folder.mkdir(parents=True, exist_ok=True)
    results.write(runs.tree, folder)
    return Runs(folder, runs.tree, None, runs.provenance)


# ------------------------------------------------------------------------------------------------ cells to columns
def _typed(cells: Cells, protocol: str, dimension: int | None, mapping: dict[str, str]) -> _Columns:
    """Name and type the columns; check every cell."""
    for name in mapping:
        if name not in NAMES and name != "dimension":
            raise ExperimentError(f"--map {name}={mapping[name]}: unknown name {name}{nearest(name, NAMES)}")
        if mapping[name] not in cells.columns:
            raise ExperimentError(
                f"{cells.source} has no column {mapping[name]!r} to map to {name}"
                f"{nearest(mapping[name], list(cells.columns))} (columns: {', '.join(cells.columns)})"
            )
    found = _Columns(cells.source)
    taken = set(mapping.values())
    named = {name: name for name in (*NAMES, "dimension") if name in cells.columns and name not in taken} | mapping
    needed = {name for choice in KNOBS[protocol] for name in choice}
    for name, column in named.items():
        convert = _text if name in TEXTS else _whole if name in (*WHOLE, "dimension") else _number
        values = [convert(cells, name, column, i, name in needed) for i in range(cells.rows)]
        found.add(name, values, cells.origin.get(column, f"column {column}"))
    for choice in KNOBS[protocol]:
        if not any(found.have(name) for name in choice):
            wanted = " or ".join(choice)
            raise ExperimentError(
                f"{cells.source}: column {wanted} is missing, which every claim at {protocol} requires; if it has "
                f"another name, use --map {choice[0]}=COLUMN (columns: {', '.join(cells.columns)})"
            )
    if not found.have("dimension") and dimension is None and "dimension" not in cells.facts:
        raise ExperimentError(
            f"{cells.source}: column dimension (d, one more than the number of directions) is missing; add it, or give "
            "--dimension N"
        )
    return found


def _bad(cells: Cells, column: str, i: int, must: str) -> str:
    """Write which cell is wrong, and why."""
    cell = cells.columns[column][i]
    return f"{cells.source}, {cells.place(i)}, column {column}: {str(cell)[:60]!r} {must}"


def _number(cells: Cells, name: str, column: str, i: int, needed: bool) -> float:
    """Read a number; an empty cell means not measured."""
    cell = cells.columns[column][i]
    empty = cell is None or (isinstance(cell, str) and not cell.strip())
    try:
        if isinstance(cell, str) and "_" in cell:
            raise ValueError("Python reads 1_5 as 15")
        value = math.nan if empty else _truth(cell) if name in TRUTHS else float(cell)
    except (TypeError, ValueError):
        must = "is neither true nor false (yes or no, 1 or 0)" if name in TRUTHS else "is not a number"
        raise ExperimentError(_bad(cells, column, i, must)) from None
    if needed and not math.isfinite(value):
        raise ExperimentError(_bad(cells, column, i, "must be a finite number above 0"))
    if name in POSITIVE and value <= 0:
        raise ExperimentError(_bad(cells, column, i, "must be above 0"))
    return value


def _truth(cell: Any) -> float:
    """Read a truth value, 1 or 0, from a word or a number; NaN from NaN."""
    value = WORDS.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell
    number = float(value)
    if not (number in (0.0, 1.0) or math.isnan(number)):
        raise ValueError(f"{number:g} is neither 0 nor 1")
    return number


def _whole(cells: Cells, name: str, column: str, i: int, needed: bool) -> int:
    """Read a whole number."""
    value = _number(cells, name, column, i, needed)
    if not math.isfinite(value) or value != int(value):
        raise ExperimentError(_bad(cells, column, i, "is not a whole number"))
    return int(value)


def _text(cells: Cells, name: str, column: str, i: int, needed: bool) -> str:
    """Read a word."""
    cell = cells.columns[column][i]
    return "" if cell is None else str(cell).strip()


def _dimension(cells: Cells, found: _Columns, option: int | None) -> int:
    """Find d, which all runs share and which is 2 or more, and check it against the option."""
    if found.have("dimension"):
        values = found.values.pop("dimension")
        differing = np.flatnonzero(values != values[0])
        if len(differing):
            i = int(differing[0])
            raise ExperimentError(
                f"{cells.source}, {cells.place(i)}, column dimension: {values[i]} differs from {values[0]} above; "
                "import networks of different sizes separately"
            )
        given: int | None = int(values[0])
    else:
        given = int(cells.facts["dimension"]) if "dimension" in cells.facts else None
    if given is not None and option is not None and given != option:
        raise ExperimentError(f"{cells.source} has dimension {given}, but --dimension is {option}")
    d = option if given is None else given
    if d is None or d < 2:
        raise ExperimentError(f"{cells.source}: dimension is {d}, but must be 2 or more")
    return d


def _label(found: _Columns, protocol: str, optimizer: str) -> None:
    """Add protocol, optimiser and seed where missing; refuse a table with another protocol."""
    runs = len(next(iter(found.values.values())))
    if found.have("protocol"):
        others = sorted({str(one) for one in found.values["protocol"]} - {protocol})
        if others:
            raise ExperimentError(
                f"{found.source}: column protocol has {others[0]!r}, but --protocol is {protocol!r}; import the runs "
                "of each protocol separately"
            )
    found.add("protocol", np.full(runs, protocol), "option protocol")
    if not found.have("optimizer"):
        found.add("optimizer", np.full(runs, optimizer), "option optimizer")
    if not found.have("seed"):
        found.add("seed", _repetition(found), "counted among runs with the same settings")
    if found.have("status") and not found.have("reason"):
        found.add("reason", np.where(found.values["status"] == "ok", "", "as imported"), "not given")


def _repetition(found: _Columns) -> list[int]:
    """Number the runs that share their settings: 0, 1, 2, ..."""
    knobs = [found.values[name] for name in ("lr", "weight_decay", "effective_lr", "radius") if found.have(name)]
    seen: dict[tuple[float, ...], int] = {}
    numbers = []
    for key in zip(*knobs, strict=True):
        seen[key] = seen.get(key, -1) + 1
        numbers.append(seen[key])
    return numbers


# ------------------------------------------------------------------------------------------------ derived columns
def _derive(found: _Columns, protocol: str, d: int) -> None:
    """Fill in columns that follow from others; rules may use the results of earlier ones."""
    v = found.values
    rules: tuple[tuple[str, tuple[str, ...], str, Callable[[], Any]], ...] = (
        ("radius_sq", ("radius",), "radius^2", lambda: v["radius"] ** 2),
        ("radius_sq", ("log_radius",), "exp(2 log_radius)", lambda: np.exp(2 * v["log_radius"])),
        ("log_radius", ("radius_sq",), "log(radius_sq)/2", lambda: np.log(v["radius_sq"]) / 2),
        ("grad_sq", ("grad_variance", "grad_mean_sq"), "sum", lambda: v["grad_variance"] + v["grad_mean_sq"]),
        ("grad_variance", ("grad_sq", "grad_mean_sq"), "difference", lambda: v["grad_sq"] - v["grad_mean_sq"]),
        (
            "grad_variance_unit",
            ("grad_variance", "radius_sq"),
            "radius_sq·grad_variance",
            lambda: v["radius_sq"] * v["grad_variance"],
        ),
        (
            "grad_variance",
            ("grad_variance_unit", "radius_sq"),
            "grad_variance_unit/radius_sq",
            lambda: v["grad_variance_unit"] / v["radius_sq"],
        ),
        (
            "entropy",
            ("entropy_sphere", "log_radius"),
            "entropy_sphere + (d - 1) log_radius",
            lambda: v["entropy_sphere"] + (d - 1) * v["log_radius"],
        ),
        (
            "entropy_sphere",
            ("entropy", "log_radius"),
            "entropy - (d - 1) log_radius",
            lambda: v["entropy"] - (d - 1) * v["log_radius"],
        ),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, needs, words, value in rules:
            if name not in v and found.have(*needs):
                found.add(name, value(), f"derived: {words} from {', '.join(needs)}")
        _derive_rates(found, protocol, d)


def _derive_rates(found: _Columns, protocol: str, d: int) -> None:
    """Fill in temperature and balance of the runs trained by SGD, by its laws.

    Runs of other optimisers get NaN: the claims compute theirs, each by its own law.
    """
    v = found.values
    sgd = v["optimizer"] == "sgd"
    numbers = {name: ("run", v[name]) for name in ("lr", "effective_lr", "radius", "radius_sq") if found.have(name)}
    rate = effective_lr(xr.Dataset(numbers, attrs={"protocol": protocol}))
    if not sgd.any() or rate is None:
        return
    if found.have("grad_variance_unit") and not found.have("temperature"):
        noise = v["grad_variance_unit"] / (d - 1)
        temperature = FixedELR.temperature(eta_eff=rate, sigma=np.sqrt(noise), invalid="nan")
        temperature = np.where(noise <= 0, 0.0, temperature)  # without noise, where the formula does not apply
        found.add(
            "temperature", np.where(sgd, temperature, np.nan), "derived: effective_lr·grad_variance_unit/(2(d - 1))"
        )
    if protocol == "fixed-lr" and found.have("grad_sq", "radius_sq") and not found.have("balance"):
        balance = norm_balance(v["lr"], v["weight_decay"], v["grad_sq"], v["radius_sq"])
        words = "derived: lr·grad_sq/(weight_decay (2 - lr·weight_decay) radius_sq)"
        found.add("balance", np.where(sgd, balance, np.nan), words)


# ------------------------------------------------------------------------------------------------ results
def _tree(
    found: _Columns, d: int, where: Path, cells: Cells, extra: Mapping[str, xr.Dataset | None], protocol: str
) -> xr.DataTree:
    """Assemble results as in :mod:`empirics.results`, with their origin in place of an experiment."""
    variables = {
        name: xr.Variable(("run",), values, VARIABLES[name]._asdict() | {"origin": found.origin[name]})
        for name, values in found.values.items()
    }
    facts = {"dimension": d, "name": where.stem or where.name, "kind": "imported"}
    coordinates = [name for name in COORDINATES if name in variables]
    summary = xr.Dataset(variables, attrs=facts).set_coords(coordinates)
    session = provenance.session("none")
    used = {origin.removeprefix("column ") for origin in found.origin.values()}
    ignored = [name for name in cells.columns if name not in used and name != "dimension"]
    made = {
        "seeds": sorted({int(seed) for seed in found.values["seed"]}),
        "imported": {"file": str(where), "sha256": cells.checksum, "protocol": protocol, "ignored": ignored},
        "sessions": [session | {"ended": provenance.now()}],
    }
    root = xr.Dataset(attrs=facts | {"provenance": json.dumps(made)})
    groups = {"/": root, "/summary": summary}
    for name, data in extra.items():
        if data is not None:
            groups[f"/{name}"] = data.assign_coords({one: summary.coords[one] for one in coordinates})
    return xr.DataTree.from_dict(groups)
