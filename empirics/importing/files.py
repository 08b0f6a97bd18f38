"""Read foreign tables as cells: CSV, Parquet and NetCDF, with the location of every row for messages.

None of these formats can hold code, and nothing here unpickles.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import xarray as xr

from empirics.experiment import ExperimentError

__all__ = ["Cells", "checksum", "read_table"]


@dataclass(frozen=True)
class Cells:
    """A table as read."""

    source: str  # the file
    columns: dict[str, list[Any]]  # the cells of each column, text or numbers
    rows: int  # number of rows
    places: list[str]  # the location of each row for messages ("line 7")
    facts: dict[str, Any] = field(default_factory=dict)  # values in the file that hold for all rows
    origin: dict[str, str] = field(default_factory=dict)  # origin of a column, if it was not simply read
    checksum: str = ""  # SHA-256 of the file or files

    def place(self, i: int) -> str:
        """Return the location of row i."""
        return self.places[i]


def checksum(*files: Path) -> str:
    """Return the SHA-256 of the contents of files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while piece := content.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def read_table(path: Path) -> Cells:
    """Read a table by its file extension.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv``, ``.parquet`` or ``.nc``.

    Raises
    ------
    ExperimentError
        If the extension is unknown, the reader is not installed, or the file has another format.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ExperimentError(f"{path}: unknown extension; tables must end in one of {', '.join(_READERS)}")
    cells = reader(path)
    if not cells.rows:
        raise ExperimentError(f"{path} has no rows; a table has one row per run")
    return cells


def _delimited(path: Path, delimiter: str) -> Cells:
    """Read delimited text; the first line names the columns."""
    header: list[str] = []
    rows: list[list[str]] = []
    places: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
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
    except UnicodeDecodeError:
        raise ExperimentError(f"{path} is not text in UTF-8") from None
    except csv.Error as error:
        raise ExperimentError(f"{path}, line {reader.line_num}: {error}") from None
    except OSError as error:
        raise ExperimentError(f"cannot read {path}: {error.strerror}") from None
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    return Cells(str(path), columns, len(rows), places, checksum=checksum(path))


def _check_header(path: Path, header: list[str]) -> None:
    """Refuse names that are empty or duplicated."""
    for i, name in enumerate(header):
        if not name:
            raise ExperimentError(f"{path}, line 1: column {i + 1} has no name")
        if name in header[:i]:
            raise ExperimentError(f"{path}, line 1: two columns are called {name!r}")


def _numbered(path: Path, frame: Any, facts: dict[str, Any]) -> Cells:
    """Return the cells of a table in memory; rows are counted from 1."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return Cells(
        str(path), columns, len(frame), [f"row {i + 1}" for i in range(len(frame))], facts, checksum=checksum(path)
    )


def _needs(module: str, path: Path) -> Any:
    """Import the reader of a format, or say what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = module.split(".")[0]
        raise ExperimentError(
            f"{path}: reading this needs {package}, which is not installed: pip install 'thermo-theory[tables]'"
        ) from None


def _parquet(path: Path) -> Cells:
    """Read Parquet; pandas metadata beside the columns is ignored."""
    parquet = _needs("pyarrow.parquet", path)
    try:
        table = parquet.read_table(path)
        frame = table.to_pandas(ignore_metadata=True)
    except (OSError, ValueError, KeyError) as error:  # what pyarrow raises derives from these
        raise ExperimentError(f"cannot read {path}: {_first_line(error)}") from None
    return _numbered(path, frame, {})


def _netcdf(path: Path) -> Cells:
    """Read NetCDF: variables over one dimension of runs, or a grid of them, become columns; others are refused."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ExperimentError(f"cannot read {path}: {error.strerror}") from None
    if start.startswith(b"\x89HDF"):
        for module in ("h5netcdf", "h5py"):
            _needs(module, path)
        engine = "h5netcdf"
    elif start.startswith(b"CDF"):
        engine = "scipy"
    else:
        raise ExperimentError(f"{path} is not NetCDF")
    try:
        with xr.open_dataset(path, engine=engine, decode_times=False) as stored:
            data = stored.load()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ExperimentError(f"cannot read {path}: {_first_line(error)}") from None
    of_runs = {str(dim) for name in _SETTINGS if name in data.variables for dim in data[name].dims}
    for name, variable in data.variables.items():
        if extra := [str(dim) for dim in variable.dims if dim not in of_runs]:
            raise ExperimentError(
                f"{path}: variable {name} has the dimension {extra[0]}, which does not index runs; leave it out"
            )
    frame = data.reset_coords().to_dataframe().reset_index()
    facts = {"dimension": int(data.attrs["dimension"])} if "dimension" in data.attrs else {}
    return _numbered(path, frame, facts)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


#: Variables whose dimensions index the runs.
_SETTINGS = ("lr", "weight_decay", "effective_lr", "radius", "seed", "run")

_READERS: dict[str, Callable[[Path], Cells]] = {
    ".csv": lambda path: _delimited(path, ","),
    ".tsv": lambda path: _delimited(path, "\t"),
    ".parquet": _parquet,
    ".nc": _netcdf,
}
