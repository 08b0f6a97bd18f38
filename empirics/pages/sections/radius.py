"""What the norm of the weights does."""

from __future__ import annotations

from typing import Any

from empirics.claims.fits import Estimate
from empirics.pages import figures
from empirics.pages.blocks import Formulas, Table, Text
from empirics.pages.evidence import Evidence, Slopes
from empirics.pages.formulas import laws
from empirics.pages.sections.wording import MISSING, interval, judged_estimate, shown

__all__ = ["radius"]


def radius(verdicts: Any, evidence: Evidence) -> list[object]:
    """Show the norm over the grid, beside the formula."""
    if evidence.protocol == "fixed-sphere":
        return [Text("The norm is set: after each step the weights are put back on the sphere they started on.")]
    fit = evidence.radius_slopes
    formula = laws(set(evidence.protocols), ("radius",))
    blocks: list[object] = [
        Text(
            "Each gradient step is at right angles to the weights and so makes their norm r grow; weight decay shrinks "
            "it. Where the two balance, the norm settles. Two predictions of where: the norm balance, which is exact "
            "for steps of any size and only says that the run has settled, and the formula of the continuous-time "
            "theory, below. The formula is given the gradient noise that was measured in each run, tr Σ = σ² (d − 1) "
            f"at unit norm, with {'η the' if evidence.free else 'the effective'} learning rate and λ the weight decay; "
            f"it leaves out the mean gradient and terms of order {'lr' if evidence.free else 'effective lr'} × wd"
            f"{'' if evidence.free else ' × r²'}."
        ),
        *([Formulas(formula)] if formula else []),
    ]
    found = shown(figures.radius_map(evidence), figures.radius_plot(evidence))
    if not found and fit is None:
        return [*blocks, MISSING]
    blocks += found
    if fit is None:
        blocks.append(Text("Slopes of log r: not measured; the runs do not span both directions."))
        return blocks
    if not evidence.free:
        return [*blocks, _radius_table_at_fixed_elr(fit, judged_estimate(verdicts, "V1"))]
    blocks += [
        Table(
            "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
            ("Slope of log r", "Measured", "Theory", "Exact?"),
            (
                ("in log learning rate", interval(fit.lr), "0.25", "no"),
                ("in log weight decay", interval(fit.weight_decay), "−0.25", "no"),
                ("difference", interval(judged_estimate(verdicts, "V1") or fit.difference), "0.5", "yes, by symmetry"),
            ),
        ),
        Text(
            "Why ±¼ are not exact: they take the gradient noise at unit norm to be the same in every run, but it "
            "changes with lr × wd. That moves both slopes by the same amount, so their difference stays ½: "
            "multiplying the weights by c, lr by c² and wd by 1/c² gives the same run on another scale, whatever the "
            "noise."
        ),
    ]
    return blocks


def _radius_table_at_fixed_elr(fit: Slopes, judged: Estimate | None) -> Table:
    return Table(
        "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
        ("Slope of log r", "Measured", "Theory", "Exact?"),
        (
            ("in log effective learning rate", interval(fit.lr), "0.5", "no"),
            ("in log weight decay", interval(judged or fit.weight_decay), "−0.5", "yes, by symmetry"),
        ),
    )
