"""Figures of what the networks have learnt."""

from __future__ import annotations

import numpy as np

from empirics.pages.drawing import SERIES, Picture, canvas, picture
from empirics.pages.evidence import Evidence
from empirics.pages.figures.axes import by_status, heat_map, log_ticks

__all__ = ["accuracy_map", "accuracy_plot"]


def accuracy_map(evidence: Evidence) -> Picture | None:
    """Draw the accuracy on the test set over the grid."""
    accuracy = evidence.get("test_accuracy")
    if accuracy is None:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        heat_map(axes, figure, evidence.grid(100 * accuracy), evidence.names, ".1f", "test accuracy, %")
        return picture(
            figure,
            "accuracy-map",
            "Test accuracy over the grid",
            f"Test accuracy over the grid runs from {_percent(np.nanmin(accuracy))} to "
            f"{_percent(np.nanmax(accuracy))}.",
            "Share of test samples classified rightly, in percent, mean over seeds.",
        )


def accuracy_plot(evidence: Evidence) -> Picture | None:
    """Draw the accuracy on the test set over what sets the temperature."""
    accuracy = evidence.get("test_accuracy")
    if accuracy is None:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        by_status(
            axes, evidence, evidence.product, 100 * accuracy, marker="o", color=SERIES[0], alpha=0.85, label="a run"
        )
        axes.set_xscale("log")
        log_ticks(axes.xaxis, evidence.product.min(), evidence.product.max())
        axes.set_xlabel(evidence.product_name)
        axes.set_ylabel("test accuracy, %")
        axes.margins(y=0.12)
        figure.legend(loc="outside upper left", ncols=2)
        seen = np.isfinite(accuracy)
        cold, hot = (accuracy[seen][which(evidence.product[seen])] for which in (np.argmin, np.argmax))
        return picture(
            figure,
            "accuracy-plot",
            "Does temperature cost accuracy?",
            f"Test accuracy is {_percent(cold)} in the coldest run and {_percent(hot)} in the hottest.",
            f"Each run's test accuracy over its {evidence.product_name}, which is all that the directions of a "
            "scale-invariant network know of both rates: runs with the same lie above each other.",
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} percent"
