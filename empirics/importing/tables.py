"""Read tables: CSV, JSON, npz, Parquet and NetCDF; each with one row per run, a row per step, or long.

None of these formats can hold code, and nothing here unpickles.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.experiment import ExperimentError
from empirics.importing.foreign import Foreign, ForeignRun, first_line, flattened, is_empty, needs, series
from empirics.importing.names import HELD_OUT, KEYS, SPLITS, STATES, STEPS, TAGS, TRAINING, VALUES, bare, is_setting

__all__ = ["LOGS", "Grid", "parsed", "read_grid", "read_json", "read_table", "recorded", "suffix", "text_of"]

#: A number with a decimal comma, and one with a point, as spreadsheets write them.
COMMA, POINT = (re.compile(rf"\s*[-+]?\d*{mark}\d+([eE][-+]?\d+)?\s*") for mark in (",", r"\."))


#: Fewest rows of a run whose rate may change along them, and of one without a name that is known by its settings.
FEWEST, FEW = 8, 4


@dataclass(frozen=True)
class Grid:
    """A table as read: the cells of each column, None where there is none, and where each row stands."""

    columns: dict[str, list[Any]]
    places: list[str]

    def find(self, names: Iterable[str]) -> str | None:
        """Return the first column that is called one of these, written in any way; steps may be in a folder."""
        for name in names:
            for column in self.columns:
                if bare(column) == name and (name in STEPS or not re.search(r"[./:|]", column)):
                    return column
        return None


def suffix(path: Path) -> str:
    """Extension of a file, without that of its compression.

    >>> suffix(Path("runs.CSV.gz"))
    '.csv'
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_table(path: Path) -> Foreign:
    """Read a table by its extension; a row is a run, a step of a run, or one number of a long table.

    Parameters
    ----------
    path
        The file, of one of the `SUFFIXES`.

    Raises
    ------
    ExperimentError
        If the extension is unknown, the reader is not installed, or the file has another format.
    """
    if suffix(path) not in SUFFIXES:
        raise ExperimentError(
            f"{path}: unknown extension; tables must end in one of {', '.join(SUFFIXES)}; of a run in a folder give "
            "the folder"
        )
    facts: dict[str, Any] = {}
    if suffix(path) == ".json":
        runs = read_json(path)
    elif suffix(path) == ".npz":
        runs = _arrays(path)
    else:
        grid, facts = read_grid(path)
        runs = _runs(grid)
    if not runs:
        raise ExperimentError(f"{path} has no rows; a table has one row per run")
    return Foreign(str(path), f"table ({suffix(path)[1:]})", runs, [path], facts)


def read_grid(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read the cells of a table, and what it says of all rows.

    Raises
    ------
    ExperimentError
        If the file cannot be read as what its extension says.
    """
    return READERS[suffix(path)](path)


# ------------------------------------------------------------------------------------------------ what a row is
def _runs(grid: Grid) -> list[ForeignRun]:
    """Tell the runs of a table apart: by their name and settings; without steps every row is a run.

    The rate of a run may change: it tells no runs apart where the names, or else steps that rise throughout, leave many
    rows to every run without it, unless several steps have the same several rates.
    """
    step, key = grid.find(STEPS), grid.find(KEYS)
    long = grid.find(TAGS) is not None and grid.find(VALUES) is not None
    notes = []
    if grid.places and (long or step):
        full = [
            column for column in grid.columns if is_setting(column) and not any(map(is_empty, grid.columns[column]))
        ]
        fixed = [column for column in full if not re.search(r"lr|learning_?rate", bare(column))]
        ticks = np.array([_float(cell) for cell in grid.columns[step]], dtype=float) if step else np.array([])
        named = [key] if key else []
        groups = list(_groups(grid, [*named, *fixed]).values())
        if min(map(len, groups)) < FEWEST or not (key or (len(groups) == 1 and (np.diff(ticks) > 0).all())):
            groups = list(_groups(grid, [*named, *full]).values())
        elif step:
            groups = [part for rows in groups for part in _by_rate(grid, rows, full, ticks)]
        if step and not (key or long or grid.find(SPLITS)):
            groups = [part for rows in groups for part in _by_start(grid, rows, ticks)]
        several = step is not None and any(len({str(grid.columns[step][i]) for i in rows}) > 1 for rows in groups)
        most = max(map(len, groups))
        if several and not long and most < (FEWEST if grid.find(STATES) else 1 if key else FEW):
            notes = [
                f"rows of equal settings ({most} at most) differ in {step}: each is read as a run with its final values"
            ]
        elif long or several:
            places = [
                " ".join([*(str(grid.columns[one][rows[0]]) for one in named), grid.places[rows[0]]]) for rows in groups
            ]
            return [recorded(grid, place, rows) for place, rows in zip(places, groups, strict=True)]
    runs = [
        _record({name: cells[i] for name, cells in grid.columns.items()}, place) for i, place in enumerate(grid.places)
    ]
    for run in runs:
        run.notes += notes
    return runs


def _by_rate(grid: Grid, rows: list[int], by: Sequence[str], ticks: NDArray[np.float64]) -> list[list[int]]:
    """Rows of one name by their settings, if these are no schedule, in which a new rate comes with a new step."""
    words = [tuple(str(grid.columns[name][i]) for name in by) for i in rows]
    times = [float(ticks[i]) for i in rows]
    if len(set(zip(times, words, strict=True))) < len(set(times)) + len(set(words)):
        return [rows]
    return [[rows[n] for n in some] for some in _places(words).values()]


def _by_start(grid: Grid, rows: list[int], ticks: NDArray[np.float64]) -> list[list[int]]:
    """Rows without a name, divided where the steps begin again: runs of equal settings, with the same columns."""
    first = ticks[rows[0]]
    starts = [n for n in range(1, len(rows)) if ticks[rows[n]] <= first < ticks[rows[n - 1]]]
    parts = [rows[begin:end] for begin, end in pairwise([0, *starts, len(rows)])]
    filled = [
        {name for name, cells in grid.columns.items() if any(not is_empty(cells[i]) for i in one)} for one in parts
    ]
    rising = all((np.diff(ticks[one]) >= 0).all() for one in parts)
    return parts if rising and all(names == filled[0] for names in filled) else [rows]


def _groups(grid: Grid, by: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    """Rows that have the same in some columns."""
    found: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(grid.places)):
        found.setdefault(tuple(str(grid.columns[name][i]) for name in by), []).append(i)
    return found


def recorded(grid: Grid, place: str, rows: Sequence[int] | None = None) -> ForeignRun:
    """One run out of rows that are its steps, or single numbers of it.

    Parameters
    ----------
    grid
        The table. Text, and numbers that do not change, become values; a column that tells training from validation
        rows goes before the names.
    place
        Name of the run.
    rows
        Which rows are its own; default all.
    """
    run, chosen = ForeignRun(place), range(len(grid.places)) if rows is None else rows
    tag, value, step, split = (grid.find(names) for names in (TAGS, VALUES, STEPS, SPLITS))
    if split and not {str(cell).strip().lower() for cell in grid.columns[split]} <= {*TRAINING, *HELD_OUT}:
        split = None
    steps = np.array([_float(grid.columns[step][i]) if step else n + 1 for n, i in enumerate(chosen)], dtype=float)
    steps[~np.isfinite(steps)] = math.nan
    if step is None:
        run.notes.append("no column of steps: the points are numbered as they come")
    if tag and value:
        for name, some in _places([grid.columns[tag][i] for i in chosen]).items():
            _log(run, name, steps[some], [grid.columns[value][chosen[n]] for n in some])
        return run
    parts = _places([grid.columns[split][i] for i in chosen]) if split else {}
    for name in [name for name in grid.columns if name not in (step, split, grid.find(KEYS))]:
        cells = [grid.columns[name][i] for i in chosen]
        if not split or is_setting(name):
            _log(run, name, steps, cells)
        else:
            for part, some in parts.items():
                _log(run, f"{part}/{name}", steps[some], [cells[n] for n in some])
    return run


def _places(words: Sequence[Any]) -> dict[str, list[int]]:
    """Where each word stands in a list."""
    found: dict[str, list[int]] = {}
    for n, word in enumerate(words):
        found.setdefault(str(word).strip(), []).append(n)
    return found


def _log(run: ForeignRun, name: str, steps: NDArray[np.float64], cells: Sequence[Any]) -> None:
    """Keep the cells of a column: as a series if they are numbers at steps, else the last as a value."""
    filled = [n for n, cell in enumerate(cells) if not is_empty(cell)]
    numbers = [_float(cells[n]) for n in filled]
    timed = [n for n, number in zip(filled, numbers, strict=True) if number is not None and not math.isnan(steps[n])]
    if len(timed) > 1 or (timed and not is_setting(name)):
        run.series[name], note = series(steps[timed], [float(cells[n]) for n in timed])
        run.notes += [note] if note and note not in run.notes else []
    others = sorted(set(filled) - set(timed))
    if others and (name not in run.series or is_setting(name)):
        run.values[name] = cells[others[-1]]
    elif filled and name not in run.series:
        run.values[name] = cells[filled[-1]]
    elif wrong := [cells[n] for n in others if not math.isnan(steps[n])]:
        run.notes.append(f"{name}: {str(wrong[0])[:20]!r} is not a number; {len(wrong)} such points are left out")


def _float(cell: Any) -> float | None:
    """A number of a series, which may be NaN; None if it is something else."""
    try:
        return None if isinstance(cell, str) and "_" in cell else float(cell)
    except (TypeError, ValueError):
        return None


def _dictionary(text: str) -> Any:
    """Read a dictionary from its text, in JSON or as Python prints it; literals alone, which execute nothing."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(re.sub(r"\b(nan|inf)\b", "None", text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _record(record: Mapping[Any, Any], place: str) -> ForeignRun:
    """A run out of one record: lists of numbers in it are series, one number per epoch, lists of records are logs.

    Text that is a dictionary, as a table of runs of W&B has for settings and summary, is taken apart.
    """
    run = ForeignRun(place)
    words = {name: value for name, value in record.items() if isinstance(value, str) and value.startswith("{")}
    texts = {name: _dictionary(value) for name, value in words.items()}
    for name, value in flattened({**record, **texts}).items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            more = recorded(_records(value, [place] * len(value)), place)
            run.values, run.series = run.values | more.values, run.series | more.series
            continue
        numbers = [_float(one) for one in value] if isinstance(value, list) else []
        if len(numbers) > 1 and None not in numbers:
            run.series[name] = series(np.arange(1, len(numbers) + 1), np.array(numbers, dtype=float))[0]
        else:
            run.values[name] = value
    return run


# ------------------------------------------------------------------------------------------------ delimited text
def text_of(path: Path) -> str:
    """Contents of a text file, compressed or not."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ExperimentError(f"{path} is not text in UTF-8") from None
    except EOFError:
        raise ExperimentError(f"{path} is cut short: the compressed file has no end") from None
    except (OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise ExperimentError(f"cannot read {path}: {first_line(error)}") from None


def _delimited(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read delimited text; the first line names the columns, and shows by what they are separated."""
    text = text_of(path)
    head = re.sub(r'"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    delimiter = max("\t;," if suffix(path) == ".tsv" else ",;\t", key=head.count)
    header: list[str] = []
    rows: list[list[str]] = []
    places: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                _check_header(path, header)
            elif len(row) != len(header):
                raise ExperimentError(
                    f"{path}, line {reader.line_num}: {len(row)} cells under {len(header)} column names"
                )
            else:
                rows.append(row)
                places.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise ExperimentError(f"{path}, line {reader.line_num}: {error}") from None
    if delimiter != "," and not any(POINT.fullmatch(cell) for row in rows for cell in row):
        rows = [[cell.replace(",", ".") if COMMA.fullmatch(cell) else cell for cell in row] for row in rows]
    return Grid({name: [row[i] for row in rows] for i, name in enumerate(header) if name}, places), {}


def _check_header(path: Path, header: list[str]) -> None:
    """Refuse names that are empty or duplicated; the first may be empty, over the row numbers that pandas writes."""
    for i, name in enumerate(header):
        if not name and i:
            raise ExperimentError(f"{path}, line 1: column {i + 1} has no name")
        if name in header[:i]:
            raise ExperimentError(f"{path}, line 1: two columns are called {name!r}")


# ------------------------------------------------------------------------------------------------ JSON and arrays
def _lines(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read JSON lines, one object in each."""
    records, places = [], []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            record = parsed(line, f"{path}, line {number}")
            if not isinstance(record, dict):
                raise ExperimentError(f"{path}, line {number}: must be a JSON object, one record per line")
            records.append(record)
            places.append(f"line {number}")
    return _records(records, places), {}


def parsed(text: str, where: str) -> Any:
    """Parse JSON, or say where it is none."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ExperimentError(f"{where} is not JSON: {first_line(error)}") from None


def _records(records: Sequence[Mapping[str, Any]], places: list[str]) -> Grid:
    """A table out of records, with nested names."""
    flat = [flattened(record) for record in records]
    names = dict.fromkeys(name for record in flat for name in record)
    return Grid({name: [record.get(name) for record in flat] for name in names}, places)


def read_json(path: Path) -> list[ForeignRun]:
    """Read JSON: a list of records, one record with its series as lists, or columns as pandas writes them.

    Raises
    ------
    ExperimentError
        If it is not JSON, or holds something else.
    """
    content = parsed(text_of(path), str(path))
    if isinstance(content, dict) and len(content) == 1:  # {"runs": [...]}
        (inner,) = content.values()
        content = inner if isinstance(inner, list) else content
    if (
        isinstance(content, dict) and len(content) > 1 and all(_is_run(one) for one in content.values())
    ):  # runs by their names
        content = [{"name": name} | one for name, one in content.items()]
    if isinstance(content, dict):
        columns = {name: cells for name, cells in content.items() if is_setting(name)}
        if columns and all(isinstance(cells, (dict, list)) and len(cells) > 1 for cells in columns.values()):
            table = {name: list(v.values()) if isinstance(v, dict) else v for name, v in content.items()}
            count = len(next(iter(table[name] for name in columns)))
            if any(not isinstance(cells, list) or len(cells) != count for cells in table.values()):
                raise ExperimentError(f"{path}: not all columns have {count} cells, as {next(iter(columns))} has")
            return _runs(Grid(table, [f"row {i + 1}" for i in range(count)]))
        return [_record(content, path.name)]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise ExperimentError(f"{path} must hold a list of JSON objects, one per run, or one such object")
    return _runs(_records(content, [f"record {i + 1}" for i in range(len(content))]))


def _is_run(one: Any) -> bool:
    """Whether this is the record of a run, with its learning rate."""
    rates = ("lr", "learning_rate", "effective_lr")
    return isinstance(one, dict) and any(bare(name) in rates for name in flattened(one))


def _arrays(path: Path) -> list[ForeignRun]:
    """Read npz: arrays over the runs, and arrays over runs and steps; objects in it are refused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # a damaged zip may raise anything
        raise ExperimentError(f"cannot read {path}, nothing in it was executed: {first_line(error)}") from None
    wide = {name: array for name, array in arrays.items() if array.ndim == 2}
    counts = {len(array) for array in (wide or arrays).values() if array.ndim}
    if len(counts) != 1 or any(array.ndim > 2 for array in arrays.values()):
        raise ExperimentError(
            f"{path}: arrays must have the shape (runs,), or (runs, steps) beside (steps,) for the steps, but have "
            + ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        )
    count = counts.pop()
    shared = [array for name, array in arrays.items() if bare(name) in STEPS and array.ndim == 1]
    for name, array in arrays.items():
        if array.ndim == 2 and array.shape == (count, count) and not shared:
            raise ExperimentError(
                f"{path}: {name} {array.shape} may be a grid or runs by steps; flatten a grid, with the settings of "
                "every run, or add an array of the steps"
            )
        if is_setting(name) and array.ndim and len(array) != count:
            raise ExperimentError(f"{path}: {name} {array.shape} needs one value for each of the {count} runs")
    flat = {name: array for name, array in arrays.items() if array.shape == (count,)}
    flat |= {name: np.full(count, array) for name, array in arrays.items() if not array.ndim}
    grid = Grid({name: array.tolist() for name, array in flat.items()}, [f"row {i + 1}" for i in range(count)])
    if not wide:
        return _runs(grid)
    runs = [_record({name: cells[i] for name, cells in grid.columns.items()}, f"row {i + 1}") for i in range(count)]
    for i, run in enumerate(runs):
        for name, array in wide.items():
            at = shared[0] if shared and len(shared[0]) == array.shape[1] else np.arange(1, array.shape[1] + 1)
            run.series[name] = series(at, array[i])[0]
    return runs


# ------------------------------------------------------------------------------------------------ Parquet, NetCDF
def _numbered(frame: Any) -> Grid:
    """Return the cells of a table in memory; rows are counted from 1, and NaN is an empty cell."""
    columns = {str(name): [None if cell != cell else cell for cell in frame[name].tolist()] for name in frame.columns}
    return Grid(columns, [f"row {i + 1}" for i in range(len(frame))])


def _parquet(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read Parquet; pandas metadata beside the columns is ignored."""
    parquet = needs("pyarrow.parquet", path, "tables")
    try:
        frame = parquet.read_table(path).to_pandas(ignore_metadata=True)
    except (OSError, ValueError, KeyError) as error:  # what pyarrow raises derives from these
        raise ExperimentError(f"cannot read {path}: {first_line(error)}") from None
    return _numbered(frame), {}


def _netcdf(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read NetCDF: variables over one dimension of runs, or a grid of them, become columns; others are refused."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ExperimentError(f"cannot read {path}: {error.strerror}") from None
    if start.startswith(b"\x89HDF"):
        for module in ("h5netcdf", "h5py"):
            needs(module, path, "tables")
        engine = "h5netcdf"
    elif start.startswith(b"CDF"):
        engine = "scipy"
    else:
        raise ExperimentError(f"{path} is not NetCDF")
    try:
        with xr.open_dataset(path, engine=engine, decode_times=False) as stored:
            data = stored.load()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ExperimentError(f"cannot read {path}: {first_line(error)}") from None
    of_runs = {str(dim) for name in _SETTINGS if name in data.variables for dim in data[name].dims}
    for name, variable in data.variables.items():
        if extra := [str(dim) for dim in variable.dims if dim not in of_runs]:
            raise ExperimentError(
                f"{path}: variable {name} has the dimension {extra[0]}, which does not index runs; leave it out"
            )
    frame = data.reset_coords().to_dataframe().reset_index()
    facts = {"dimension": int(data.attrs["dimension"])} if "dimension" in data.attrs else {}
    return _numbered(frame), facts


#: Variables whose dimensions index the runs.
_SETTINGS = ("lr", "weight_decay", "effective_lr", "radius", "seed", "run")

#: Extensions of tables, each with what reads its cells; those of a log of one run; and all.
READERS: dict[str, Callable[[Path], tuple[Grid, dict[str, Any]]]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".parquet": _parquet,
    ".nc": _netcdf,
}
LOGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
SUFFIXES = (*READERS, ".json", ".npz")
