"""Drawings of what claims show: plots and maps as plain data become figures of the page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from empirics.claims.exhibit import Map, Plot
from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.figures.axes import CELLS_WITH_NUMBERS, decimals_of, heat_map, log_axis
from thermo_theory.palette import DASHES, FAINT, INK, MARKERS, SERIES

__all__ = ["drawn"]

# Longer labels do not fit beside each other above a plot.
_LONG = 24


def drawn(exhibit: Plot | Map) -> Picture:
    """Draw what a claim shows."""
    return _plot(exhibit) if isinstance(exhibit, Plot) else _map(exhibit)


def _plot(plot: Plot) -> Picture:
    with canvas(3.0 + 0.2 * max(0, len(plot.series) - 2)) as (figure, axes):
        if math.isfinite(plot.margin) and math.isfinite(plot.level):
            axes.axhspan(plot.level - plot.margin, plot.level + plot.margin, color=FAINT, linewidth=0, zorder=0)
        if math.isfinite(plot.level):
            axes.axhline(plot.level, color=INK, linewidth=1)
        # A line that belongs to the points before it has their colour.
        colour = -1
        for i, one in enumerate(plot.series):
            paired = one.line and i > 0 and not plot.series[i - 1].line
            colour += 0 if paired else 1
            look: dict[str, Any] = {"color": SERIES[colour % len(SERIES)], "label": one.label}
            if one.line:
                axes.plot(one.x, one.y, linestyle=DASHES[colour % len(DASHES)], **look)
            if one.line and one.error is not None:
                ends = one.y - one.error, one.y + one.error
                axes.fill_between(one.x, *ends, color=look["color"], alpha=0.18, linewidth=0)
            if not one.line:
                axes.plot(
                    one.x, one.y, MARKERS[colour % len(MARKERS)], markerfacecolor="none", markeredgewidth=1.2,
                    markersize=_size(len(one.x)), alpha=0.9, **look,
                )  # fmt: skip
        for axis, logarithmic, which in zip((axes.xaxis, axes.yaxis), plot.logarithmic, "xy", strict=True):
            if logarithmic:
                log_axis(axis, np.concatenate([np.asarray(getattr(one, which), float) for one in plot.series]))
        axes.set(xlabel=plot.x, ylabel=plot.y)
        axes.margins(y=0.12)
        columns = 1 if max(len(one.label) for one in plot.series) > _LONG else 2
        figure.legend(loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.4)
        return picture(figure, plot.title, plot.message, plot.caption)


def _size(points: int) -> float:
    """Size of a marker, smaller where there are many."""
    return float(np.clip(24 / math.sqrt(max(points, 1)), 2.5, 5.5))


def _map(grid: Map) -> Picture:
    with canvas(3.3) as (figure, axes):
        sign = "+" if (grid.values < 0).any() else ""
        # Arrows would run through numbers.
        numbers = f"{sign}{decimals_of(grid.values, 2)}" if grid.to is None else None
        heat_map(axes, figure, (grid.columns, grid.rows, grid.values), (grid.x, grid.y), numbers, grid.unit)
        if grid.to is not None:
            _arrows(axes, grid)
        return picture(figure, grid.title, grid.message, grid.caption)


def _arrows(axes: Axes, grid: Map) -> None:
    """Draw an arrow from each cell that points to another one."""
    assert grid.to is not None
    crowded = max(len(grid.columns), len(grid.rows)) > CELLS_WITH_NUMBERS
    edge = withStroke(linewidth=2.4, foreground="#ffffff")
    for row, column in np.argwhere(grid.to[..., 0] >= 0):
        to_row, to_column = grid.to[row, column]
        if (to_row, to_column) == (row, column):
            continue
        ends = (grid.columns[column], grid.rows[row]), (grid.columns[to_column], grid.rows[to_row])
        # A dark arrow with a light edge can be seen on any cell.
        look: dict[str, Any] = {"arrowstyle": "-|>", "color": "#000000", "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        look |= {"mutation_scale": 4 if crowded else 7, "path_effects": [edge]}
        axes.annotate("", ends[1], ends[0], arrowprops=look)
