"""The entropy of the weights, and the neighbours it is estimated from."""

from __future__ import annotations

from typing import Any

import numpy as np

from empirics.claims.fits import Estimate
from empirics.claims.maxwell import orbit_words, reference_slopes
from empirics.pages import figures
from empirics.pages.blocks import TableBlock, Text, number
from empirics.pages.evidence import RunEvidence, Slopes
from empirics.pages.sections.wording import MISSING, interval, judged_estimate, shown, slope_difference_words
from thermo_theory import FixedLR

__all__ = ["entropy", "neighbours"]

# The share above which a nearest-neighbour entropy is called what it is in words.
_MOSTLY = 0.5


def _slope_rows(label: str, fit: Slopes | None, judged: Estimate | None = None) -> tuple[str, ...]:
    if fit is None:
        return (label, "not measured", "not measured", "not measured")
    return (
        label,
        interval(fit.lr),
        interval(fit.weight_decay),
        interval(judged or fit.difference),
    )


def _reference(label: str, pair: tuple[float, float], sum_of: tuple[float, float]) -> tuple[str, ...]:
    return (label, *(number(round(one, 6)) for one in (*pair, np.dot(sum_of, pair))))


def slope_table(verdicts: Any, evidence: RunEvidence) -> TableBlock:
    references = reference_slopes(evidence.law or FixedLR) or ()
    sum_of = evidence.orbit.slopes
    return TableBlock(
        "Slopes of S/R, with 95 % intervals from the scatter of the runs; Theiler window: neighbours in time excluded",
        ("Entropy", "in log lr", "in log wd", slope_difference_words(evidence.orbit)),
        (
            _slope_rows("All neighbours", evidence.entropy_slopes(False), judged_estimate(verdicts, "V3")),
            _slope_rows("Theiler window", evidence.entropy_slopes(True)),
            *(
                _reference(f"Reference: {name}", pair, sum_of)
                for name, pair in zip(("low-temperature gas", "path entropy"), references, strict=False)
            ),
        ),
    )


def _slope_table_at_fixed_rate(verdicts: Any, evidence: RunEvidence) -> TableBlock:
    """Slopes where the effective learning rate is set: that in what scales the weights alone is exact."""
    fit, judged, sphere = (
        evidence.entropy_slopes(False),
        judged_estimate(verdicts, "V3"),
        evidence.protocol == "fixed-sphere",
    )
    if judged is not None and sphere:
        # On the sphere the relation is judged in units of d - 1.
        judged = Estimate(2 * judged.value, 2 * judged.low, 2 * judged.high)
    measured = ("not measured",) * 2
    if fit is not None:
        measured = (interval(fit.lr), interval(judged or fit.weight_decay))
    elif judged is not None:
        measured = ("not measured", interval(judged))
    return TableBlock(
        "Slopes of S/R, with 95 % intervals from the scatter of the runs",
        ("Slope of S/R", "Measured", "Theory", "Exact?"),
        (
            (f"in log {evidence.names[0]}", measured[0], f"{1 if sphere else 2} for a low-temperature gas", "no"),
            (f"in log {evidence.names[1]}", measured[1], "2" if sphere else "−1", "yes, by symmetry"),
        ),
    )


def entropy(verdicts: Any, evidence: RunEvidence) -> list[object]:
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
    if not evidence.free:
        return [*start, _slope_table_at_fixed_rate(verdicts, evidence)]
    if evidence.law is None:
        return start
    (equal, _, taken), references = orbit_words(evidence.law), reference_slopes(evidence.law)
    slopes = ""
    if references:
        (gas, path) = ([number(one, 3) for one in pair] for pair in references)
        slopes = f" A low-temperature gas has the slopes {gas[0]} and {gas[1]}, diffusion between snapshots "
        slopes += f"{path[0]} and {path[1]}."
    return [
        *start,
        slope_table(verdicts, evidence),
        Text(
            f"What the collapse under the Maxwell relation (V3) tests: by scale invariance S/R − {taken} depends on "
            f"{equal} alone, so runs with very different lr and wd must fall on one curve. No other assumption is "
            "needed and none is tested: the bias of the estimator is constant along such a line and cancels. The shape "
            f"of the curve is the physics.{slopes}"
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
            f"Here it is a path entropy{count}.{measured} It still tests the Maxwell relation (V3), which scale "
            "invariance fixes for either kind of entropy, but not the entropy itself, its separate slopes or a heat "
            "capacity."
        )
    return f"Here it is mostly not a path entropy{count}.{measured}"


def neighbours(verdicts: Any, evidence: RunEvidence) -> list[object]:
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
    blocks += found
    if evidence.get("entropy") is not None and evidence.dimension and evidence.free and evidence.law is not None:
        blocks.append(slope_table(verdicts, evidence))
        blocks.append(
            Text(
                "If the first row is near the path entropy and the second moves towards the gas, the first row is the "
                "trap. The differences agree in either case."
            )
        )
    return blocks
