"""Figures of nearest neighbours in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import by_status, log_axis
from thermo_theory.palette import INK, SERIES

__all__ = ["adjacency", "lag_histogram", "lag_shares"]


def lag_shares(evidence: RunEvidence) -> tuple[tuple[str, float], ...]:
    """Return how far apart in time nearest neighbours are, all included runs together.

    Returns
    -------
    tuple of (str, float)
        Lag in snapshots, as "1" or "5–8", and the share of all snapshots in percent; empty where it was not measured.
    """
    if evidence.lags is None:
        return ()
    lags = np.abs(evidence.lags[evidence.shown]).ravel()
    lags = lags[np.isfinite(lags) & (lags > 0)]
    if not len(lags):
        return ()
    longest = max(evidence.lags.shape[1] - 1, 2)
    borders = np.array([1.0, 2.0, *(2 * 4.0 ** np.arange(1, 9) + 1)])
    borders = np.insert(borders, 2, 3.0)
    borders = borders[: np.searchsorted(borders, longest, side="right") + 1]
    counts, _ = np.histogram(lags, borders)
    labels = [f"{int(a)}" if b - a == 1 else f"{int(a)}–{int(min(b - 1, longest))}" for a, b in pairwise(borders)]
    used = int(np.flatnonzero(counts)[-1]) + 1
    return tuple((label, 100 * count / len(lags)) for label, count in zip(labels[:used], counts[:used], strict=True))


def lag_histogram(evidence: RunEvidence) -> Picture | None:
    """Draw how far apart in time nearest neighbours are, all runs together."""
    found = lag_shares(evidence)
    if not found:
        return None
    labels, shares = [label for label, _ in found], [share for _, share in found]
    with canvas() as (figure, axes):
        bars = axes.bar(range(len(shares)), shares, color=SERIES[0], width=0.72)
        texts = [f"{share:.0f}" if share >= 1 or share == 0 else "<1" for share in shares]
        axes.bar_label(bars, texts, padding=2, size=9, color=INK)
        axes.set_xticks(range(len(shares)), labels, rotation=30 if len(labels) > 7 else 0, ha="center")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set(xlabel="snapshots between a snapshot and its nearest neighbour", ylabel="share of all snapshots, %")
        axes.margins(y=0.12)
        return picture(
            figure,
            "How far away in time is the nearest neighbour?",
            f"{shares[0]:.0f} percent of snapshots have their nearest neighbour next to them in time. Lags and shares: "
            + ", ".join(f"{label}: {share:.2g} %" for label, share in found)
            + ".",
            "Lag of every snapshot's nearest neighbour, pooled over the runs included in the fits. Lag 1: the snapshot "
            "just before or just after.",
        )


def adjacency(evidence: RunEvidence) -> Picture | None:
    """Draw each run's share of neighbours that are adjacent in time."""
    if evidence.adjacent is None or not np.isfinite(evidence.adjacent).any():
        return None
    chance = 2 / evidence.lags.shape[1] if evidence.lags is not None else 0.0
    with canvas() as (figure, axes):
        axes.axhline(100 * chance, color=INK, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            "independent snapshots", (0.01, 100 * chance), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", size=9,
        )  # fmt: skip
        by_status(axes, evidence, evidence.product, 100 * evidence.adjacent, marker="o", color=SERIES[0], alpha=0.85)
        log_axis(axes.xaxis, evidence.product)
        axes.set_ylim(0, 104)
        axes.set(xlabel=evidence.product_name, ylabel="neighbours adjacent in time, %")
        return picture(
            figure,
            "Neighbours adjacent in time, by run",
            f"Share of neighbours adjacent in time, from {100 * np.nanmin(evidence.adjacent):.0f} to "
            f"{100 * np.nanmax(evidence.adjacent):.0f} percent; independent snapshots would give {100 * chance:.1g}.",
            "The longer the spacing of snapshots relative to the correlation time of the run, the lower this share.",
        )
