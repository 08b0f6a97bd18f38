"""The runs as states of a gas."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm

from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import log_axis
from thermo_theory.palette import INK, MUTED

__all__ = ["pressure_volume"]

# Isotherms at these places among the temperatures of the runs.
_ISOTHERMS = (0.0, 0.25, 0.5, 0.75, 1.0)


def pressure_volume(evidence: RunEvidence) -> Picture | None:
    """Draw the runs in the plane of volume and pressure, on isotherms of the gas law."""
    if evidence.state is None:
        return None
    volume, pressure, temperature, gas_constant = evidence.state
    factor = pressure * volume / (gas_constant * temperature)
    low, high = volume.min() / 1.15, volume.max() * 1.15
    with canvas(3.5) as (figure, axes):
        for heat in np.unique(np.quantile(temperature, _ISOTHERMS, method="nearest")):
            axes.plot([low, high], gas_constant * heat / np.array([low, high]), color=MUTED, linewidth=0.9, zorder=1)
        same = temperature.min() == temperature.max()
        dots = axes.scatter(
            volume, pressure, 26, temperature, cmap="cividis", norm=None if same else LogNorm(), edgecolors=INK,
            linewidths=0.7, zorder=2,
        )  # fmt: skip
        log_axis(axes.xaxis, volume)
        log_axis(axes.yaxis, pressure)
        axes.set_xlim(low, high)
        axes.set_ylim(pressure.min() / 1.3, pressure.max() * 1.3)
        axes.set_xlabel("volume V = r²/2")
        axes.set_ylabel("pressure p (weight decay)" if evidence.optimizer == "sgd" else "pressure p")
        bar = figure.colorbar(dots, ax=axes, label="measured temperature T (nat)", aspect=30)
        bar.outline.set_visible(False)
        others = len(evidence) - len(volume)
        left_out = f" Not shown: {others} of {len(evidence)} runs, left out or with too large steps." if others else ""
        span = f"{factor.min():.3g} to {factor.max():.3g}"
        return picture(
            figure,
            f"The runs in the p–V plane: pV/(RT) is {span}",
            f"{len(volume)} runs in the plane of pressure and volume, V from {volume.min():.3g} to {volume.max():.3g}, "
            f"p from {pressure.min():.3g} to {pressure.max():.3g}, temperature from {temperature.min():.3g} to "
            f"{temperature.max():.3g}. In an ideal gas pV/(RT) is 1; here it is {span}.",
            "One dot per run, coloured by its measured temperature. Lines: isotherms pV = RT, from the lowest to the "
            "highest temperature. In an ideal gas each dot lies on the isotherm of its own temperature, which is read "
            f"off the gradient noise; the mean gradient lifts dots above it.{left_out}",
        )
