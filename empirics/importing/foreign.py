"""Runs as somebody else left them: what every reader of a format returns, before any name is understood.

No reader executes anything in a file: tables, JSON and YAML are loaded as data alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from empirics.experiment import ExperimentError

__all__ = [
    "SINGLE_PRECISION",
    "Foreign",
    "ForeignRun",
    "Logged",
    "checksum",
    "first_line",
    "flattened",
    "is_empty",
    "needs",
    "number_of",
    "series",
]

#: A quantity that is NaN and a number again as often as this is measured at some steps alone: no run diverges so often.
OFTEN = 3

#: Numbers that differ by less, relatively, are the same: some formats keep single precision.
SINGLE_PRECISION = 1e-5

#: Of an error's message so many letters are quoted.
LONGEST = 300

#: A table in which the step goes back more often than at this share of its rows is unordered, not restarted.
UNORDERED = 0.1


class Logged(NamedTuple):
    """A quantity along a run, both arrays of shape (points,): steps that rise, and a number at each."""

    step: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(eq=False)
class ForeignRun:
    """One run, under its own names."""

    place: str  # where it stands, for messages ("line 7", "version_3")
    values: dict[str, Any] = field(default_factory=dict)  # settings and final values, nested names joined by "/"
    series: dict[str, Logged] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what was noticed while reading it


@dataclass
class Foreign:
    """All runs of a file or folder."""

    source: str  # the file or folder
    form: str  # name of the format
    runs: list[ForeignRun]
    files: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)  # values that hold for all runs
    lost: list[str] = field(default_factory=list)  # what the format has and was not read
    configured: set[str] = field(default_factory=set)  # columns that only files of settings have
    curves: xr.Dataset | None = None  # (run, step) under our names, if the reader knows them
    snapshots: xr.Dataset | None = None  # (run, snapshot) under our names, of readers of checkpoints
    origin: dict[str, str] = field(default_factory=dict)  # where a value comes from, if it was not simply read

    @property
    def columns(self) -> list[str]:
        """Every name that some run has, in the order of the files."""
        names = (name for run in self.runs for part in (run.values, run.series) for name in part)
        return list(dict.fromkeys(names))

    def give(self, number: str) -> None:
        """Give every run a column that is called like its one number, if this is one and there is no such column."""
        value = number_of(number)
        if number not in self.columns and value is not None:
            for run in self.runs:
                run.values[number] = value

    def same(self, one: str, other: str) -> bool:
        """Whether two columns hold the same in every run; a setting is the same as its schedule."""
        return all(_same(*(run.series.get(name, run.values.get(name)) for name in (one, other))) for run in self.runs)


def number_of(text: str) -> float | None:
    """What a user gives in the place of a column: a number for all runs; None if it is the name of one."""
    return float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text.lower()) else None


def _same(one: Any, other: Any) -> bool:
    """Whether two values, series, or a value and a series that stays there or changes, are the same."""
    if isinstance(one, Logged) and isinstance(other, Logged):
        return all(map(np.array_equal, one, other))
    if isinstance(one, Logged) or isinstance(other, Logged):
        logged, value = (one, other) if isinstance(one, Logged) else (other, one)
        return bool(np.ptp(logged.value) > 0) or _same(float(logged.value[-1]), value)
    try:
        return bool(np.isclose(float(one), float(other), rtol=SINGLE_PRECISION, atol=0))
    except (TypeError, ValueError):
        return bool(one == other)


def series(step: ArrayLike, value: ArrayLike) -> tuple[Logged, str]:
    """Order what a run logged by its steps, without what a restart did again.

    Parameters
    ----------
    step, value : array_like, shape (points,)
        In the order of the log.

    Returns
    -------
    ordered : Logged
        Entries of one step are averaged; where the step goes back, the earlier entries from there on are left out. NaN
        that stands between numbers again and again is left out, too.
    note : str
        How often the run was restarted; empty if it was not.

    Raises
    ------
    ValueError
        If a step is not a finite number.

    Examples
    --------
    >>> series([1, 2, 3, 2, 3], [5.0, 4.0, 9.0, 3.0, 2.0])
    (Logged(step=array([1., 2., 3.]), value=array([5., 3., 2.])), 'restarted 1 time: ...')
    """
    steps, values = np.asarray(step, dtype=float), np.asarray(value, dtype=float)
    if not np.isfinite(steps).all():
        raise ValueError("steps must be finite numbers")
    there = np.flatnonzero(~np.isnan(values))
    if np.count_nonzero(np.diff(there, prepend=-1) > 1) >= OFTEN:
        end = len(values) if len(values) - there[-1] > np.diff(there).max() else there[-1] + 1
        there = np.r_[there, there[-1] + 1 : end]
        steps, values = steps[there], values[there]
    back, note = np.flatnonzero(np.diff(steps) < 0) + 1, ""
    if 0 < len(back) <= UNORDERED * len(steps) + 1 and len(back) < len(steps) - 1:
        kept = np.ones(len(steps), dtype=bool)
        for start in back:
            kept[:start] &= steps[:start] < steps[start]
        steps, values = steps[kept], values[kept]
        note = f"restarted {len(back)} time{'s' * (len(back) > 1)}: steps that were done again count once"
    at, group = np.unique(steps, return_inverse=True)
    with np.errstate(invalid="ignore"):
        return Logged(at, np.bincount(group, values) / np.bincount(group)), note


def flattened(nested: Mapping[Any, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under one name each.

    >>> flattened({"optim": {"lr": 0.1}, "seed": 1})
    {'optim/lr': 0.1, 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flattened(value, f"{before}{name}/") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def checksum(*files: Path) -> str:
    """Return the SHA-256 of the contents of files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while piece := content.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def needs(module: str, path: Path, extra: str) -> Any:
    """Import the reader of a format, or say what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = module.split(".")[0]
        raise ExperimentError(
            f"{path}: reading this needs {package}, which is not installed: pip install 'thermo-theory[{extra}]'"
        ) from None


def first_line(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:LONGEST]
