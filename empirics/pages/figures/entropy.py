"""Figures of the entropy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from empirics.claims.maxwell import maxwell_ratio, reference_slopes
from empirics.pages.blocks import number
from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import decimals_of, heat_map
from empirics.pages.words import MAXWELL
from thermo_theory.palette import INK, MARKERS, MUTED, SERIES

__all__ = ["entropy_map", "slope_plane"]


def entropy_map(evidence: RunEvidence) -> Picture | None:
    """Draw the entropy surface over the grid with the symmetry orbits (for SGD lines of equal lr × weight decay)."""
    entropy = evidence.get("entropy")
    if entropy is None or not evidence.dimension or not np.isfinite(entropy[evidence.on_grid]).any():
        return None
    values = entropy / evidence.gas_constant
    used = values[evidence.ok & np.isfinite(values)]
    values = values - used.mean() if len(used) else values
    with canvas() as (figure, axes):
        heat_map(axes, figure, evidence.grid(values), evidence.names, f"+{decimals_of(values)}", "S/R, mean subtracted")
        if evidence.free:
            _equal_products(axes, evidence)
        held = f"equal {evidence.product_name} (isotherms)" if evidence.free else ""
        return picture(
            figure,
            "The entropy surface",
            f"Entropy in units of R spans {number(np.nanmax(values) - np.nanmin(values), 3)} over the grid.",
            "Entropy S of the weights in units of R = (d − 1)/2, mean subtracted. "
            + (
                f"Dashed: {held}. Along a dashed line scale invariance alone fixes how S changes."
                if held
                else f"Up a column, at equal {evidence.names[0]}, scale invariance alone fixes how S changes."
            ),
        )


def slope_plane(evidence: RunEvidence) -> Picture | None:
    """Draw the two slopes of the entropy as a point, beside the line and the references."""
    candidates = {"all neighbours": evidence.entropy_slopes(False), "Theiler window": evidence.entropy_slopes(True)}
    points = [(label, fit) for label, fit in candidates.items() if fit is not None]
    if not points or not evidence.free or evidence.law is None:
        return None
    if (references := reference_slopes(evidence.law)) is None:
        return None
    (by_rate, by_decay), difference = evidence.orbit.slopes, maxwell_ratio("fixed-lr", evidence.law.optimizer)
    gas, path = (tuple(round(one, 6) for one in pair) for pair in references)
    with canvas() as (figure, axes):
        horizontal = [across.value for _, (across, _) in points] + [gas[0], path[0]]
        low, high = min(horizontal) - 0.25, max(horizontal) + 0.25
        line = [(difference - by_rate * x) / by_decay for x in (low, high)]
        axes.plot([low, high], line, color=INK, linewidth=1)
        axes.annotate(f"line: the {MAXWELL}", (0.04, 0.96), xycoords="axes fraction", va="top", size=8.5)
        for (x, y), label in ((gas, "low-temperature gas"), (path, "path entropy")):
            axes.plot(x, y, "s", color=MUTED, markersize=9, markerfacecolor="none", markeredgewidth=1.4)
            axes.annotate(label, (x, y), (9, -10), textcoords="offset points", size=9, color=INK)
        for (label, (across, up)), colour, marker in zip(points, SERIES, MARKERS, strict=False):
            axes.errorbar(
                across.value, up.value,
                np.nan_to_num((up.high - up.low) / 2), np.nan_to_num((across.high - across.low) / 2),
                fmt=marker, color=colour, markersize=7, label=label,
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(
            *(np.array(line) if by_decay == -by_rate else np.mean(line) + np.array([-1, 1]) * (high - low) / 2)
        )
        axes.set_aspect("equal")
        axes.set(xlabel="slope of S/R in log learning rate", ylabel="slope in log weight decay")
        figure.legend(loc="outside upper center", ncols=2, columnspacing=1.2, handletextpad=0.4)
        seen = "; ".join(f"{label}: ({across.value:.2f}, {up.value:.2f})" for label, (across, up) in points)
        return picture(
            figure,
            "Two slopes, one line",
            f"Slopes of the entropy in log learning rate and log weight decay, in units of R: {seen}. "
            f"Low-temperature gas ({gas[0]:.3g}, {gas[1]:.3g}), path entropy ({path[0]:.3g}, {path[1]:.3g}); both lie "
            f"on the line of the {MAXWELL}.",
            f"Every scale-invariant network lies on the line; the {MAXWELL} tests that and nothing else. "
            "The position along the line is the physics, to which V3 is blind: both references lie on the line.",
        )


def _equal_products(axes: Axes, evidence: RunEvidence) -> None:
    """Draw the lines along which what sets the temperature is the same, through the map's diagonal."""
    products = np.log(evidence.product[evidence.product > 0])
    if not len(products):
        return
    low, high = products.min(), products.max()
    x, y = axes.get_xlim(), axes.get_ylim()
    for share in (0.2, 0.5, 0.8):
        product = np.exp((1 - share) * low + share * high)
        line = np.geomspace(*x, 50)
        if not evidence.orbit.rate:
            line, up = np.full(2, product), np.array(y)
        else:
            up = product / line**evidence.orbit.weight
        # A light line under a dark one can be seen on any cell.
        axes.plot(line, up, color="#ffffff", linewidth=2.4, alpha=0.85)
        axes.plot(line, up, color="#000000", linewidth=1.0, linestyle=(0, (5, 3)))
    axes.set_xlim(x)
    axes.set_ylim(y)
