"""What a claim shows beside its verdicts, as plain data: a plot, a map over the grid, a table.

A claim says what is drawn and a page how, so that a claim needs no plotting library and the same numbers stand in the
HTML, the Markdown and the JSON of a report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Exhibit", "Map", "Plot", "Rows", "Series", "over_grid", "typeset"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Numbers against numbers.

    Attributes
    ----------
    label : str
        What they are, for the legend.
    x, y : numpy.ndarray, shape (n,)
        Points; those that are not finite are not drawn.
    line : bool
        A line, as of a formula or a fit, in place of points, as of runs.
    error : numpy.ndarray, shape (n,), optional
        Halves of the 95 % intervals of y.
    """

    label: str
    x: FloatArray
    y: FloatArray
    line: bool = False
    error: FloatArray | None = None


@dataclass(frozen=True)
class Plot:
    """Series on one pair of axes.

    Attributes
    ----------
    name : str
        Of this exhibit among those of the claim: letters, digits and hyphens.
    title : str
        What is drawn, a few words.
    message : str
        What it shows, in a sentence with its numbers: for a reader who does not see it.
    caption : str
        How to read it.
    x, y : str
        What the axes are.
    series : tuple of Series
        At most four.
    logarithmic : tuple of bool
        Whether x and y are on a logarithmic axis.
    level, margin : float
        A horizontal line at the value of the theory, and the band about it that counts as equal; NaN for none.
    """

    name: str
    title: str
    message: str
    caption: str
    x: str
    y: str
    series: tuple[Series, ...]
    logarithmic: tuple[bool, bool] = (True, False)
    level: float = np.nan
    margin: float = np.nan


@dataclass(frozen=True)
class Map:
    """One number per cell of the grid of what is set in each run, and where each cell points to, if it does.

    Attributes
    ----------
    name, title, message, caption : str
        As in `Plot`.
    x, y : str
        Names of what is set.
    columns, rows : numpy.ndarray, shape (i,) and (j,)
        Its values, all positive.
    values : numpy.ndarray, shape (j, i)
        NaN where there is no run.
    unit : str
        What the numbers are.
    to : numpy.ndarray of int, shape (j, i, 2), optional
        Row and column of the cell that each cell points to; its own, or -1, for none.
    """

    name: str
    title: str
    message: str
    caption: str
    x: str
    y: str
    columns: FloatArray
    rows: FloatArray
    values: FloatArray
    unit: str
    to: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Rows:
    """A table of numbers and words.

    Attributes
    ----------
    name, title : str
        As in `Plot`.
    head : tuple of str
        Names of the columns.
    rows : tuple of tuple
        Numbers or words; the first of a row is its header.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = field(default_factory=tuple)


Exhibit = Plot | Map | Rows


def typeset(text: str) -> str:
    """Set what the terminal spells in ASCII as a page does.

    Examples
    --------
    >>> typeset("|g|^2 - |grad L|^2, -0.2")
    '|g|² − |grad L|², −0.2'
    """
    text = text.replace("^2", "²").replace(" - ", " − ")
    return re.sub(r"(?<![\w.)\]])-(?=\d)", "−", text)


def over_grid(
    columns: FloatArray, rows: FloatArray, values: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
    """Average over the runs that share what is set, such as seeds.

    Parameters
    ----------
    columns, rows : numpy.ndarray, shape (runs,)
        What is set in each run.
    values : sequence of numpy.ndarray, shape (runs,)
        What to average; runs in which a value is not finite do not count for it.

    Returns
    -------
    columns : numpy.ndarray, shape (i,)
    rows : numpy.ndarray, shape (j,)
    tables : list of numpy.ndarray, shape (j, i)
        NaN where there is no run.

    Examples
    --------
    >>> over_grid(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]), [np.array([1.0, 2.0, np.nan])])[2]
    [array([[1.5, nan]])]
    """
    across, column = np.unique(columns, return_inverse=True)
    up, row = np.unique(rows, return_inverse=True)
    tables = []
    for each in values:
        good = np.isfinite(each)
        total, count = np.zeros((len(up), len(across))), np.zeros((len(up), len(across)))
        np.add.at(total, (row[good], column[good]), each[good])
        np.add.at(count, (row[good], column[good]), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            tables.append(np.where(count > 0, total / count, np.nan))
    return across, up, tables
