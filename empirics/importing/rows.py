"""What a row of a table is: a run, a step of a run, or one number of it."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.importing.foreign import ForeignRun, flattened, is_empty, series
from empirics.importing.names import HELD_OUT, KEYS, SPLITS, STATES, STEPS, TAGS, TRAINING, VALUES, bare, is_setting

__all__ = ["Grid", "record_of", "recorded", "records_of", "runs_of"]

#: Fewest rows of a run whose rate may change along them, and of one without a name that is known by its settings.
FEWEST, FEW = 8, 4


@dataclass(frozen=True)
class Grid:
    """A table as read: the cells of each column, None where there is none, and where each row stands."""

    columns: dict[str, list[Any]]
    places: list[str]
    cut: str = ""  # what is wrong with a last line that has no end, which is left out

    def find(self, names: Iterable[str]) -> str | None:
        """Return the first column that is called one of these, written in any way; steps may be in a folder."""
        for name in names:
            for column in self.columns:
                if bare(column) == name and (name in STEPS or not re.search(r"[./:|]", column)):
                    return column
        return None


def runs_of(grid: Grid) -> list[ForeignRun]:
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
        record_of({name: cells[i] for name, cells in grid.columns.items()}, place)
        for i, place in enumerate(grid.places)
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
    run.notes += ["its log ends in the middle of a line, which is left out"] if grid.cut else []
    tag, value, step, split = (grid.find(names) for names in (TAGS, VALUES, STEPS, SPLITS))
    if split and not {str(cell).strip().lower() for cell in grid.columns[split]} <= {*TRAINING, *HELD_OUT}:
        split = None
    steps = np.array([_float(grid.columns[step][i]) if step else n + 1 for n, i in enumerate(chosen)], dtype=float)
    steps[~np.isfinite(steps)] = math.nan
    if step and (wrong := [cell for cell in (grid.columns[step][i] for i in chosen) if _unread(cell)]):
        lost = "" if len(wrong) < len(chosen) else ", and the last alone counts, as a final value"
        said = f"{step}: {str(wrong[0])[:20]!r} is not a number; {len(wrong)} such points are left out{lost}"
        run.notes.append(said)
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


def _unread(cell: Any) -> bool:
    """Whether a cell holds something that is not a number."""
    return not is_empty(cell) and _float(cell) is None


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


def record_of(record: Mapping[Any, Any], place: str) -> ForeignRun:
    """A run out of one record: lists of numbers in it are series, one number per epoch, lists of records are logs.

    Text that is a dictionary, as a table of runs of W&B has for settings and summary, is taken apart.
    """
    run = ForeignRun(place)
    words = {name: value for name, value in record.items() if isinstance(value, str) and value.startswith("{")}
    texts = {name: _dictionary(value) for name, value in words.items()}
    for name, value in flattened({**record, **texts}).items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            more = recorded(records_of(value, [place] * len(value)), place)
            run.values, run.series = run.values | more.values, run.series | more.series
            continue
        numbers = [_float(one) for one in value] if isinstance(value, list) else []
        if len(numbers) > 1 and None not in numbers:
            run.series[name] = series(np.arange(1, len(numbers) + 1), np.array(numbers, dtype=float))[0]
        else:
            run.values[name] = value
    return run


def records_of(records: Sequence[Mapping[str, Any]], places: list[str], cut: str = "") -> Grid:
    """A table out of records, with nested names."""
    flat = [flattened(record) for record in records]
    names = dict.fromkeys(name for record in flat for name in record)
    return Grid({name: [record.get(name) for record in flat] for name in names}, places, cut)
