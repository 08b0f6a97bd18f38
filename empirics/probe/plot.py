"""Plots of a probe's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawn"]

PANELS = {
    "effective_lr": "effective learning rate",
    "temperature": "temperature (nat)",
    "equilibrium_share": "share of the stationary effective learning rate",
    "turn": "rotation per step, measured / stationary",
}


def drawn(history: pd.DataFrame) -> Figure:
    """Plot four panels, one line per scale-invariant tensor.

    Parameters
    ----------
    history
        From `ThermoProbe.history`.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).ravel()
    history = history[history["scale_invariant"]]
    history = history.assign(turn=history["angular_update"] / history["angular_equilibrium"])
    names = list(dict.fromkeys(history["group"]))
    for axis, (column, title) in zip(axes, PANELS.items(), strict=True):
        for i, name in enumerate(names):
            mine = history[history["group"] == name]
            known = np.isfinite(mine[column]) & (mine[column] > 0)
            shade = 0.15 + 0.7 * i / max(len(names) - 1, 1)
            axis.plot(mine["step"][known], mine[column][known], lw=1.2, color=(shade, 0.35, 1 - shade), label=name)
        axis.set_title(title, fontsize=10)
        if any(len(drawn_line.get_xdata()) for drawn_line in axis.get_lines()):
            axis.set_yscale("log")
    for axis in axes[2:]:
        axis.set_xlabel("step")
    if 0 < len(names) <= 12:
        axes[0].legend(fontsize=7, frameon=False)
    elif not names:
        figure.suptitle("no scale-invariant tensor found")
    return figure
