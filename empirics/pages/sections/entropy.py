"""The entropy of the weights, and the neighbours it is estimated from."""

from __future__ import annotations

import numpy as np

from empirics.claims.maxwell import orbit_words
from empirics.pages import figures
from empirics.pages.blocks import Text, number
from empirics.pages.evidence import RunEvidence
from empirics.pages.sections.wording import MISSING, shown
from empirics.pages.words import MAXWELL

__all__ = ["entropy", "neighbours"]

# The share above which a nearest-neighbour entropy is called what it is in words.
_MOSTLY = 0.5


def entropy(evidence: RunEvidence) -> list[object]:
    """Show the entropy over the grid and its slopes."""
    if evidence.get("entropy") is None or not evidence.dimension:
        return [MISSING]
    one = evidence.dimension == evidence.weights
    r_text = (
        f"R = {'(d − 1)/2' if one else f'{evidence.directions:,} directions/2'} = {number(evidence.gas_constant, 6)}"
    )
    what = "(d − 1) times the mean log norm" if one else "the mean log norm of every sphere times its dimension"
    start = [
        Text(
            "The entropy S measures how large a region of weight space a stationary run explores: the entropy of the "
            f"directions of its snapshots, {evidence.entropy_method}, plus {what}. It is shown in units of the gas "
            f"constant {r_text}."
        ),
        *shown(figures.entropy_map(evidence), figures.slope_plane(evidence)),
    ]
    if not evidence.free or evidence.law is None:
        return start
    equal, _, taken = orbit_words(evidence.law)
    return [
        *start,
        Text(
            f"What the collapse under the {MAXWELL} tests: by scale invariance S/R − {taken} depends on "
            f"{equal} alone, so runs with very different lr and wd must fall on one curve. No other assumption is "
            "needed and none is tested: the bias of the estimator is constant along such a line and cancels. The shape "
            "of the curve is the physics; its slopes are among the diagnostics."
        ),
    ]


def _trap(evidence: RunEvidence) -> str:
    """State whether the entropy shown is that of a path."""
    shares = evidence.adjacent[evidence.ok] if evidence.adjacent is not None else np.array([])
    shares = shares[np.isfinite(shares)]
    share = float(shares.mean()) if len(shares) else float("nan")
    recorded = evidence.path_entropy
    paths = int(recorded[evidence.ok].sum()) if recorded is not None else None
    if not evidence.ok.any() or (paths is None and not np.isfinite(share)):
        return "Whether the entropy shown here is a path entropy was not measured."
    used = int(evidence.ok.sum())
    measured = f" {100 * share:.0f} % of all nearest neighbours are adjacent in time." if np.isfinite(share) else ""
    is_path = paths > used / 2 if paths is not None else share > _MOSTLY
    count = f" ({paths} of {used} runs)" if paths is not None else ""
    if is_path:
        return (
            f"Here it is a path entropy{count}.{measured} It still tests the {MAXWELL}, which scale "
            "invariance fixes for either kind of entropy, but not the entropy itself, its separate slopes or a heat "
            "capacity."
        )
    return f"Here it is mostly not a path entropy{count}.{measured}"


def neighbours(evidence: RunEvidence) -> list[object]:
    """Show how far away in time nearest neighbours are."""
    if not evidence.neighbours:
        return [
            Text(
                f"The entropy of these runs is not estimated from nearest neighbours ({evidence.entropy_method}), so "
                "the diffusive trap does not arise: it cannot be a path entropy."
            )
        ]
    blocks: list[object] = [
        Text(
            "The diffusive trap: in high dimension a snapshot's nearest neighbour is usually the snapshot taken just "
            "before or after it. Its distance then measures how far the weights diffuse between two snapshots, not how "
            "large a region the run explores. Such a number is a path entropy: it would be the same in any loss "
            "landscape. The remedy, for a run that is long enough, is to exclude neighbours that are close in time (a "
            "Theiler window)."
        ),
        Text(_trap(evidence)),
    ]
    found = shown(figures.lag_histogram(evidence), figures.adjacency(evidence))
    if not found:
        blocks.append(Text("Lags of the neighbours: not measured."))
    return blocks + list(found)
