"""What the figures share: axes, ticks, maps over the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from empirics.pages.drawing import symbols_on
from empirics.pages.evidence import RunEvidence
from thermo_theory.palette import MUTED, PAPER

__all__ = [
    "CELLS_WITH_NUMBERS",
    "SHORT",
    "by_status",
    "decimals_of",
    "edges",
    "grid_axes",
    "heat_map",
    "largest",
    "log_axis",
    "plain",
    "value_ticks",
]

SHORT = {"lr": "lr", "effective_lr": "eff. lr", "weight_decay": "wd", "radius": "radius"}
CELLS_WITH_NUMBERS = 9
# Numbers with more zeros than this do not fit into a cell.
_PLAIN = 5


def edges(centres: np.ndarray) -> np.ndarray:
    """Return the borders of cells about points on a log axis."""
    logs = np.log(centres)
    if len(logs) == 1:
        return np.exp(np.array([logs[0] - 0.5, logs[0] + 0.5]))
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.r_[logs[0] - (middle[0] - logs[0]), middle, logs[-1] + (logs[-1] - middle[-1])])


def value_ticks(axis: Any, values: np.ndarray) -> None:
    """Label a log axis with at most four of the values that were run."""
    few = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), 4)).round().astype(int))]
    axis.set_major_locator(FixedLocator(list(few)))
    axis.set_major_formatter(FixedFormatter([f"{value:.2g}" for value in few]))
    axis.set_minor_locator(NullLocator())


def plain(value: float, _: int = 0) -> str:
    """Write a number on an axis without more digits than it has."""
    return f"{value:.6g}"


def log_axis(axis: Any, values: np.ndarray) -> None:
    """Make an axis logarithmic if there is anything to show on it, with ticks at 1, 2, 5, 10, ... within the data."""
    good = values[np.isfinite(values) & (values > 0)]
    if not len(good):
        return
    low, high = good.min(), good.max()
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    candidates = np.array([m * 10.0**k for k in range(-12, 9) for m in (1, 2, 5)])
    inside = candidates[(candidates >= low * 0.8) & (candidates <= high * 1.25)]
    if len(inside) > 5:
        inside = inside[[str(f"{value:.0e}")[0] == "1" for value in inside]]
    axis.set_major_locator(FixedLocator(list(inside)))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_locator(NullLocator())


#: Values across, values up, and a table of numbers, rows up.
Grid = tuple[np.ndarray, np.ndarray, np.ndarray]


def grid_axes(axes: Axes, columns: np.ndarray, rows: np.ndarray, names: tuple[str, str]) -> None:
    """Label the axes of a map over the grid."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    value_ticks(axes.xaxis, columns)
    value_ticks(axes.yaxis, rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=names[0], ylabel=names[1])


def heat_map(axes: Axes, figure: Figure, grid: Grid, names: tuple[str, str], form: str | None, label: str) -> None:
    """Draw a map over the grid with its scale, and numbers in the cells where they fit and have a form."""
    columns, rows, table = grid
    mesh = axes.pcolormesh(
        edges(columns), edges(rows), np.ma.masked_invalid(table), cmap="cividis", edgecolors=PAPER, linewidth=1.2
    )
    grid_axes(axes, columns, rows, names)
    bar = figure.colorbar(mesh, ax=axes, label=label, drawedges=False, aspect=35, pad=0.02)
    bar.outline.set_visible(False)
    if form is None or max(len(columns), len(rows)) > CELLS_WITH_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(table):
        _cell_number(axes, mesh, float(columns[column]), float(rows[row]), float(value), form)


def _cell_number(axes: Axes, mesh: Any, x: float, y: float, value: float, form: str) -> None:
    """Write a number into a cell of a map, a dash where there is none."""
    if not np.isfinite(value):
        axes.text(x, y, "–", ha="center", va="center", size=7.5, color=MUTED)
        return
    fill = tuple(mesh.to_rgba(value))
    text = format(value, form).replace("-", "−")
    text = text if text.strip("+−0.") else text.lstrip("+−")
    # The box in the cell's own colour keeps lines across the map from running through the number.
    box = {"facecolor": fill, "linewidth": 0, "boxstyle": "round,pad=0.12"}
    axes.text(x, y, text, ha="center", va="center", size=7, color=symbols_on(fill), bbox=box, zorder=4)


def largest(values: np.ndarray) -> float:
    """Return the largest absolute value of those that are finite, NaN if none is."""
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max()) if len(finite) else float("nan")


def decimals_of(values: np.ndarray, digits: int = 3) -> str:
    """Return a format that gives all numbers of a map the same, sensible decimals; powers of ten if they need them."""
    power = np.floor(np.log10(found)) if (found := largest(values)) > 0 else 0
    return f".{digits - 1}e" if abs(power) > _PLAIN else f".{int(np.clip(digits - 1 - power, 0, 6))}f"


def by_status(axes: Axes, evidence: RunEvidence, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """Draw points, those of runs that are excluded from fits as crosses."""
    left_out = ~evidence.ok
    axes.plot(x[evidence.ok], y[evidence.ok], linestyle="none", **style)
    if left_out.any():
        axes.plot(
            x[left_out], y[left_out], linestyle="none", marker="x", color=style["color"], label="excluded from fits"
        )
