"""Plots of a probe's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from thermo_theory.palette import DASHES, INK, MARKERS, MUTED, SERIES, STYLE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawn"]

#: Column, title with what it means, and the value at which nothing is left to do.
PANELS = (
    ("rotation", "rotation per step / stationary", "1: the norm is where lr and weight decay put it", 1.0),
    ("balance", "norm balance: growth by gradients / decay", "1: stationary; below 1 the norm shrinks", 1.0),
    ("effective_lr", "effective learning rate", "the step size that the direction of w sees", None),
    ("norm", "norm of the weights", "what lr, weight decay and noise set", None),
)
#: More tensors than this are not named in a legend; with fewer records than this each has a marker.
NAMED, MARKED = 12, 20


def drawn(history: pd.DataFrame) -> Figure:
    """Plot four panels, one line per tensor: the scale-invariant ones, or all if there are none.

    Parameters
    ----------
    history
        From `ThermoProbe.history`.
    """
    round_ = history[history["scale_invariant"]]
    history = round_ if len(round_) else history
    history = history.assign(rotation=history["angular_update"] / history["angular_equilibrium"])
    names = list(dict.fromkeys(history["group"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 7), layout="constrained")
        figure.suptitle(_span(history, len(names)), x=0.01, ha="left", fontweight="bold")
        axes = figure.subplots(2, 2, sharex=True).ravel()
        for axis, (column, title, meaning, goal) in zip(axes, PANELS, strict=True):
            known = history[np.isfinite(history[column].astype(float))]
            for i, name in enumerate(names):
                mine = known[known["group"] == name]
                axis.plot(mine["step"], mine[column], label=name, **_look(i, len(names), len(mine)))
            if goal is not None:
                axis.axhline(goal, color=MUTED, lw=0.8, zorder=0)
            if (known[column] > 0).all():
                axis.set_yscale("log")
            last = known[known["step"] == known["step"].max()][column]
            now = f"; at step {known['step'].max():,}: {_between(last)}" if len(last) else ""
            axis.set_title(f"{title}\n{meaning}{now}", fontweight="normal", fontsize=9.5)
            if not len(known):
                axis.text(0.5, 0.5, "not known here", transform=axis.transAxes, ha="center", color=INK)
        for axis in axes[2:]:
            axis.set_xlabel("training step")
        if 0 < len(names) <= NAMED:
            figure.legend(*axes[3].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=8)
    return figure


def _look(i: int, of: int, records: int) -> dict[str, Any]:
    """How one of so many tensors looks: few by colour, dash and marker, many by their place in the network."""
    marker = MARKERS[i % len(MARKERS)] if records < MARKED else ""
    if of <= len(SERIES):
        return {"color": SERIES[i], "ls": DASHES[i], "lw": 1.3, "marker": marker, "ms": 4}
    return {"color": mpl.colormaps["cividis"](0.9 * i / (of - 1)), "lw": 1.1, "marker": marker, "ms": 3.5}


def _span(history: pd.DataFrame, tensors: int) -> str:
    """Say how many records of how many tensors there are, and that one record is no curve yet."""
    steps = history["step"].unique()
    of = f"{tensors} tensor{'s' if tensors != 1 else ''}"
    if not len(steps):
        return "No record yet: the first comes with the first interval of the probe"
    if len(steps) == 1:
        return f"{of}, one record at step {steps[0]:,}: curves begin with the next record"
    return f"{of}, {len(steps)} records from step {min(steps):,} to {max(steps):,}"


def _between(values: pd.Series) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"
