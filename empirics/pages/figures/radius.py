"""Figures of the norm of the weights."""

from __future__ import annotations

import numpy as np

from empirics.pages.drawing import INK, SERIES, Picture, canvas, picture
from empirics.pages.evidence import Evidence
from empirics.pages.figures.axes import by_status, decimals_of, heat_map, largest, log_ticks

__all__ = ["radius_map", "radius_plot"]


def radius_map(evidence: Evidence) -> Picture | None:
    """Draw the mean norm of the weights over the grid."""
    if evidence.radius is None or evidence.protocol == "fixed-sphere":
        return None
    with canvas() as figure:
        axes = figure.subplots()
        heat_map(axes, figure, evidence.grid(evidence.radius), evidence.names, decimals_of(evidence.radius), "norm r")
        low, high = np.nanmin(evidence.radius), np.nanmax(evidence.radius)
        return picture(
            figure,
            "radius-map",
            "Where the norm of the weights settles",
            f"The mean norm of the weights over the grid runs from {low:.3g} to {high:.3g}; it grows with the "
            f"{evidence.names[0]} and falls with weight decay.",
            f"Root mean square norm r of the scale-invariant weights, one cell a pair of {evidence.names[0]} and "
            "weight decay.",
        )


def radius_plot(evidence: Evidence) -> Picture | None:
    """Draw the measured radius against the formula's, both on log axes."""
    measured, theory = evidence.radius, evidence.sde_radius
    if measured is None or theory is None:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        ends = np.array([np.nanmin(theory), np.nanmax(theory)]) * [0.9, 1.1]
        axes.plot(ends, ends, color=INK, linewidth=1, label="measured = formula")
        by_status(axes, evidence, theory, measured, marker="o", color=SERIES[0], alpha=0.85, label="a run")
        axes.set_xscale("log")
        axes.set_yscale("log")
        log_ticks(axes.xaxis, *ends)
        log_ticks(axes.yaxis, *ends)
        axes.set_xlabel("r by the formula")
        axes.set_ylabel("r measured")
        axes.legend(loc="upper left")
        worst = largest((measured / theory - 1)[evidence.shown])
        return picture(
            figure,
            "radius-plot",
            "Measured norm against the formula",
            f"Measured norms lie within {100 * worst:.1f} percent of the formula's.",
            (
                "The formula is the stationary radius of the stochastic differential equation, given each run's own "
                "gradient noise."
                if evidence.optimizer == "sgd"
                else "The formula is the norm at which gradients that are independent noise balance weight decay, for "
                "steps as large as they are; runs with too large steps are not shown."
            )
            + " Log axes: a power law with the right exponents is a line parallel to the diagonal.",
        )
