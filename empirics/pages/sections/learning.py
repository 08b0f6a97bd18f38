"""What the networks have learnt: their accuracy on samples that they were not trained on."""

from __future__ import annotations

import numpy as np

from empirics.pages import figures
from empirics.pages.blocks import TableBlock, Text, number
from empirics.pages.evidence import RunEvidence
from empirics.pages.sections.wording import MISSING, shown

__all__ = ["learning", "learnt"]

#: Variables of the summary, in words.
NAMES = (
    ("test_accuracy", "Share of test samples classified correctly"),
    ("accuracy", "Share of training samples classified correctly"),
    ("test_loss", "Loss of test minibatches (nat)"),
    ("loss", "Loss of training minibatches (nat)"),
)


def learnt(evidence: RunEvidence) -> bool:
    """Whether there were samples that the networks were not trained on."""
    return evidence.get("test_accuracy") is not None


def learning(evidence: RunEvidence) -> list[object]:
    """Show the accuracy on the test set over the grid."""
    accuracy = evidence.get("test_accuracy")
    if accuracy is None:
        return [MISSING]
    usable = np.where(evidence.shown & np.isfinite(accuracy), accuracy, -np.inf)
    best = int(np.argmax(usable))
    words = ""
    if np.isfinite(usable[best]):
        words = (
            f" The best run{' of those included' if evidence.ok.any() else ''}, run {best}, reaches "
            f"{number(100 * accuracy[best], 3)} % at {evidence.names[0]} {number(evidence.lr[best], 3)} and "
            f"{evidence.names[1]} {number(evidence.weight_decay[best], 3)}."
        )
    rows = tuple(
        (label, number(np.nanmin(values[evidence.shown]), 3), number(np.nanmax(values[evidence.shown]), 3))
        for name, label in NAMES
        if (values := evidence.get(name)) is not None and np.isfinite(values[evidence.shown]).any()
    )
    return [
        Text(
            "Accuracy on samples that no run was trained on, averaged over the measured part of each run: these are "
            f"networks that fluctuate at constant temperature, not networks that were cooled down.{words}"
        ),
        *shown(figures.accuracy_map(evidence), figures.accuracy_plot(evidence)),
        TableBlock("Over the runs included in the fits", ("Quantity", "Minimum", "Maximum"), rows),
    ]
