"""Plots of a probe's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawn"]

#: Column, title with what it means, and the value at which nothing is left to do.
PANELS = (
    ("rotation", "rotation per step / stationary\n1: the norm is where lr and weight decay put it", 1.0),
    ("balance", "norm balance: growth by gradients / decay\n1: stationary; below 1 the norm shrinks", 1.0),
    ("effective_lr", "effective learning rate\nthe step size that the direction of w sees", None),
    ("norm", "norm of the weights", None),
)


def drawn(history: pd.DataFrame) -> Figure:
    """Plot four panels, one line per tensor: the scale-invariant ones, or all if there are none.

    Parameters
    ----------
    history
        From `ThermoProbe.history`.
    """
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).ravel()
    round_ = history[history["scale_invariant"]]
    history = round_ if len(round_) else history
    history = history.assign(rotation=history["angular_update"] / history["angular_equilibrium"])
    names = list(dict.fromkeys(history["group"]))
    for axis, (column, title, goal) in zip(axes, PANELS, strict=True):
        for i, name in enumerate(names):
            mine = history[(history["group"] == name) & np.isfinite(history[column])]
            shade = 0.15 + 0.7 * i / max(len(names) - 1, 1)
            style = {"lw": 1.2, "marker": "." if len(mine) < 20 else "", "color": (shade, 0.35, 1 - shade)}
            axis.plot(mine["step"], mine[column], label=name, **style)
        if goal is not None:
            axis.axhline(goal, color="0.6", lw=0.8, zorder=0)
        axis.set_title(title, fontsize=10, loc="left")
        if (history[column].dropna() > 0).all():
            axis.set_yscale("log")
        if not np.isfinite(history[column]).any():
            axis.text(0.5, 0.5, "not known here", transform=axis.transAxes, ha="center")
    for axis in axes[2:]:
        axis.set_xlabel("step")
    if 0 < len(names) <= 12:
        axes[3].legend(fontsize=7, frameon=False)
    return figure
