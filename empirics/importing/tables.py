"""Read tables: CSV, JSON, npz, Parquet and NetCDF; each with one row per run, a row per step, or long.

None of these formats can hold code, and nothing here unpickles.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from empirics.data.dataset import most_unpacked
from empirics.experiment import ExperimentError
from empirics.importing.foreign import Foreign, ForeignRun, first_line, flattened, needs, series
from empirics.importing.names import STEPS, bare, is_setting
from empirics.importing.rows import Grid, record_of, records_of, runs_of

__all__ = ["LOGS", "parsed", "read_grid", "read_json", "read_table", "suffix", "text_of"]

#: A number with a decimal comma, and one with a point, as spreadsheets write them.
COMMA, POINT = (re.compile(rf"\s*[-+]?\d*{mark}\d+([eE][-+]?\d+)?\s*") for mark in (",", r"\."))


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
        if grid.cut:
            raise ExperimentError(grid.cut)
        runs = runs_of(grid)
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


# ------------------------------------------------------------------------------------------------ delimited text
def text_of(path: Path) -> str:
    """Contents of a text file, compressed or not."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as packed:
                most = most_unpacked(len(content))
                if len(content := packed.read(most + 1)) > most:
                    raise ExperimentError(f"{path} unpacks to more than {most >> 20} MB, far too much for its size")
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ExperimentError(f"{path} is not text in UTF-8") from None
    except EOFError:
        raise ExperimentError(f"{path} is cut short: the compressed file has no end") from None
    except (OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise ExperimentError(f"cannot read {path}: {first_line(error)}") from None
    if "\0" in text:
        raise ExperimentError(f"{path} is not text: it holds zero bytes")
    return text


def _delimited(path: Path) -> tuple[Grid, dict[str, Any]]:
    """Read delimited text; the first line names the columns, and shows by what they are separated."""
    text = text_of(path)
    head = re.sub(r'"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    delimiter = max("\t;," if suffix(path) == ".tsv" else ",;\t", key=head.count)
    header: list[str] = []
    rows: list[list[str]] = []
    places: list[str] = []
    cut = ""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                _check_header(path, header)
            elif len(row) != len(header):
                cut = f"{path}, line {reader.line_num}: {len(row)} cells under {len(header)} column names"
                if len(row) > len(header) or text.endswith(("\n", "\r")) or next(reader, None) is not None:
                    raise ExperimentError(cut)
            else:
                rows.append(row)
                places.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise ExperimentError(f"{path}, line {reader.line_num}: {error}") from None
    if delimiter != "," and not any(POINT.fullmatch(cell) for row in rows for cell in row):
        rows = [[cell.replace(",", ".") if COMMA.fullmatch(cell) else cell for cell in row] for row in rows]
    return Grid({name: [row[i] for row in rows] for i, name in enumerate(header) if name}, places, cut), {}


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
    records: list[dict[str, Any]] = []
    places: list[str] = []
    *lines, last = text_of(path).split("\n")  # other ends of lines may stand in a text
    cut = ""
    for number, line in enumerate([*lines, last], 1):
        if line.strip():
            try:
                record = parsed(line, f"{path}, line {number}")
            except ExperimentError as error:
                if number <= len(lines) or not records:
                    raise
                cut = str(error)
                break
            if not isinstance(record, dict):
                raise ExperimentError(f"{path}, line {number}: must be a JSON object, one record per line")
            records.append(record)
            places.append(f"line {number}")
    return records_of(records, places, cut), {}


def parsed(text: str, where: str) -> Any:
    """Parse JSON, or say where it is none, or has a name twice in an object."""
    try:
        return json.loads(text, object_pairs_hook=_by_name)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ExperimentError(f"{where} is not JSON: {first_line(error)}") from None


def _by_name(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; of two with one name JSON's reader would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values are called {next(name for name in names if names.count(name) > 1)!r}")
    return found


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
            return runs_of(Grid(table, [f"row {i + 1}" for i in range(count)]))
        return [record_of(content, path.name)]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise ExperimentError(f"{path} must hold a list of JSON objects, one per run, or one such object")
    return runs_of(records_of(content, [f"record {i + 1}" for i in range(len(content))]))


def _is_run(one: Any) -> bool:
    """Whether this is the record of a run, with its learning rate."""
    rates = ("lr", "learning_rate", "effective_lr")
    return isinstance(one, dict) and any(bare(name) in rates for name in flattened(one))


def _arrays(path: Path) -> list[ForeignRun]:
    """Read npz: arrays over the runs, and arrays over runs and steps; objects in it are refused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if sum(one.file_size for one in stored.zip.infolist()) > (most := most_unpacked(path.stat().st_size)):
                raise ValueError(f"it unpacks to more than {most >> 20} MB, far too much for its size")
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
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
        return runs_of(grid)
    runs = [record_of({name: cells[i] for name, cells in grid.columns.items()}, f"row {i + 1}") for i in range(count)]
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
