"""Figures of the norm of the weights."""

from __future__ import annotations

import numpy as np

from empirics.pages.blocks import number
from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import by_status, decimals_of, heat_map, largest, log_axis
from thermo_theory.palette import INK, SERIES

__all__ = ["radius_map", "radius_plot"]


def radius_map(evidence: RunEvidence) -> Picture | None:
    """Draw the mean norm of the weights over the grid."""
    if evidence.radius is None or evidence.protocol == "fixed-sphere":
        return None
    if not np.isfinite(evidence.radius[evidence.on_grid]).any():
        return None
    with canvas() as (figure, axes):
        heat_map(axes, figure, evidence.grid(evidence.radius), evidence.names, decimals_of(evidence.radius), "norm r")
        low, high = np.nanmin(evidence.radius), np.nanmax(evidence.radius)
        return picture(
            figure,
            "Stationary norm of the weights",
            f"The mean norm of the weights over the grid runs from {low:.3g} to {high:.3g}.",
            f"Root mean square norm r of the scale-invariant weights, one cell per pair of {evidence.names[0]} and "
            "weight decay.",
        )


def radius_plot(evidence: RunEvidence) -> Picture | None:
    """Draw the measured radius against the formula's, both on log axes."""
    measured, theory = evidence.radius, evidence.sde_radius
    if measured is None or theory is None:
        return None
    deviation = (measured / theory - 1)[evidence.shown]
    if not np.isfinite(deviation).any():
        return None
    with canvas() as (figure, axes):
        ends = np.array([np.nanmin(theory), np.nanmax(theory)]) * [0.9, 1.1]
        axes.plot(ends, ends, color=INK, linewidth=1, label="measured = predicted")
        by_status(axes, evidence, theory, measured, marker="o", color=SERIES[0], alpha=0.85, label="one run")
        log_axis(axes.xaxis, ends)
        log_axis(axes.yaxis, ends)
        axes.set(xlabel="r predicted", ylabel="r measured")
        axes.legend(loc="upper left")
        return picture(
            figure,
            "Measured against predicted norm",
            f"Measured norms lie within {number(100 * largest(deviation), 3)} percent of the prediction.",
            (
                "The prediction is the stationary radius of the stochastic differential equation, given each run's own "
                "gradient noise."
                if evidence.optimizer == "sgd"
                else "The prediction is the norm at which independent gradient noise balances weight decay, for the "
                "actual step sizes; runs whose steps are too large are not shown."
            )
            + " Log axes: a power law with the right exponents is a line parallel to the diagonal.",
        )
