"""Words and pieces that several sections share."""

from __future__ import annotations

from typing import Any

import numpy as np

from empirics.pages.blocks import Figures, Text, number
from empirics.pages.drawing import Picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.words import OPTIMIZER_WORDS, PROTOCOL_WORDS, where_words

__all__ = ["MISSING", "plural", "protocol_words", "shown", "summary"]

MISSING = Text("Not measured: these results lack the quantities of this section.")


def plural(count: int, word: str) -> str:
    """Write a count with its noun."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def summary(evidence: RunEvidence) -> str:
    """Describe in a sentence or two what was done."""
    parts = evidence.parts()
    weights = f" with {evidence.weights:,} scale-invariant weights" if evidence.weights else ""
    experiment: Any = getattr(evidence.runs, "experiment", None)
    images = f" on the {experiment.data.name} images" if hasattr(getattr(experiment, "data", None), "name") else ""
    kind = evidence.dataset.attrs.get("kind", "network")
    network = {"network": "a network", "isotropic": "the isotropic gas"}.get(str(kind), "a model")
    trainers = " and by ".join(OPTIMIZER_WORDS.get(name, name) for name in evidence.optimizers)
    steps = getattr(experiment, "total_steps", None)
    length = f", {steps:,} steps each" if isinstance(steps, int) else ""
    runs = f"{plural(len(evidence), 'run')}{length}"
    if len(parts) == 1:
        protocol = PROTOCOL_WORDS.get(evidence.protocol, evidence.protocol) or "an unrecorded protocol"
        how = f" at {protocol}, {runs}: {grid_words(evidence)}"
    else:
        how = f", {runs}: " + "; ".join(
            f"at {protocol_words(part)}{'' if part.optimizer == 'sgd' else ','} {grid_words(part)}" for part in parts
        )
    return (
        f"{network[0].upper()}{network[1:]}{weights} was trained by {trainers}{images}{how}. Their "
        "stationary states are compared here with the predictions that thermodynamics derives for them."
    )


def protocol_words(evidence: RunEvidence) -> str:
    """Name the protocol of the runs, and their optimiser where it is not SGD."""
    return where_words(evidence.protocol, evidence.optimizer or "sgd")


def grid_words(evidence: RunEvidence) -> str:
    """Describe the grid of the runs of one protocol."""
    spans = []
    for values, name in zip((evidence.lr, evidence.weight_decay), evidence.names, strict=True):
        levels = np.unique(values[np.isfinite(values)])
        plural = {"radius": "radii"}.get(name, f"{name}s") if len(levels) != 1 else name
        reach = f" from {number(levels[0], 3)} to {number(levels[-1], 3)}" if len(levels) else ""
        spans.append(f"{len(levels)} {plural}{reach}")
    return f"{spans[0]}, each with {spans[1]}"


def shown(*pictures: Picture | None) -> tuple[Figures, ...]:
    """Put those figures beside each other for which there are numbers."""
    found = tuple(picture for picture in pictures if picture is not None)
    return (Figures(found),) if found else ()
