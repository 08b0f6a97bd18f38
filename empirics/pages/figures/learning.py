"""Figures of what the networks have learnt."""

from __future__ import annotations

import numpy as np

from empirics.pages.blocks import number
from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import by_status, decimals_of, heat_map, log_axis
from thermo_theory.palette import SERIES

__all__ = ["accuracy_map", "accuracy_plot"]


def accuracy_map(evidence: RunEvidence) -> Picture | None:
    """Draw the accuracy on the test set over the grid."""
    accuracy = evidence.get("test_accuracy")
    if accuracy is None or not np.isfinite(accuracy[evidence.on_grid]).any():
        return None
    with canvas() as (figure, axes):
        heat_map(
            axes, figure, evidence.grid(100 * accuracy), evidence.names, decimals_of(100 * accuracy), "test accuracy, %"
        )
        return picture(
            figure,
            "Test accuracy over the grid",
            f"Test accuracy over the grid runs from {_percent(np.nanmin(accuracy))} to "
            f"{_percent(np.nanmax(accuracy))}.",
            "Share of test samples classified correctly, in percent, mean over seeds.",
        )


def accuracy_plot(evidence: RunEvidence) -> Picture | None:
    """Draw the accuracy on the test set over what sets the temperature."""
    accuracy = evidence.get("test_accuracy")
    if accuracy is None:
        return None
    with canvas() as (figure, axes):
        by_status(
            axes, evidence, evidence.product, 100 * accuracy, marker="o", color=SERIES[0], alpha=0.85, label="one run"
        )
        log_axis(axes.xaxis, evidence.product)
        axes.set(xlabel=evidence.product_name, ylabel="test accuracy, %")
        axes.margins(y=0.12)
        figure.legend(loc="outside upper left", ncols=2)
        seen = np.isfinite(accuracy) & np.isfinite(evidence.product)
        if not seen.any():
            return None
        cold, hot = (accuracy[seen][which(evidence.product[seen])] for which in (np.argmin, np.argmax))
        return picture(
            figure,
            "Test accuracy against temperature",
            f"Test accuracy is {_percent(cold)} at the lowest {evidence.product_name}, {_percent(hot)} at the highest.",
            f"Test accuracy of each run against its {evidence.product_name}, the only combination of both rates on "
            "which the directions of a scale-invariant network depend: runs with the same value lie above each other.",
        )


def _percent(share: float) -> str:
    return f"{number(100 * share, 3)} percent"
