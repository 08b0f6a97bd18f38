"""The norm of the weights, measured and predicted."""

from __future__ import annotations

from typing import Any

from empirics.claims.coordinates import log_slopes
from empirics.claims.fits import Estimate
from empirics.claims.maxwell import orbit_words
from empirics.claims.radius import slope_difference
from empirics.pages import figures
from empirics.pages.blocks import Formulas, TableBlock, Text, number
from empirics.pages.evidence import RunEvidence, Slopes
from empirics.pages.formulas import laws
from empirics.pages.sections.wording import (
    MISSING,
    interval,
    judged_estimate,
    shown,
    slope_difference_words,
    superscript,
)
from thermo_theory import Protocol

__all__ = ["radius"]


def radius(verdicts: Any, evidence: RunEvidence) -> list[object]:
    """Show the norm over the grid, beside the formula."""
    if evidence.protocol == "fixed-sphere":
        return [Text("The norm is fixed: after each step the weights are projected back onto their sphere.")]
    fit = evidence.radius_slopes
    formula = laws(evidence.pairs, ("radius",))
    blocks: list[object] = [Text(_why_it_settles(evidence)), *([Formulas(formula)] if formula else [])]
    found = shown(figures.radius_map(evidence), figures.radius_plot(evidence))
    if not found and fit is None:
        return [*blocks, MISSING]
    blocks += found
    if fit is None:
        blocks.append(Text("Slopes of log r: not measured; the runs do not span both directions."))
        return blocks
    if not evidence.free:
        return [*blocks, _radius_table_at_fixed_elr(fit, judged_estimate(verdicts, "V1"))]
    if evidence.law is None:
        return [*blocks, Text("Slopes of log r: no prediction is derived for this optimiser.")]
    return [*blocks, *_radius_table_at_fixed_lr(evidence, evidence.law, fit, judged_estimate(verdicts, "V1"))]


def _why_it_settles(evidence: RunEvidence) -> str:
    """Explain what makes the norm stationary and what predicts its value."""
    if evidence.optimizer not in ("", "sgd"):
        return (
            "Gradient updates make the norm r of the weights grow; weight decay shrinks it. The norm becomes "
            "stationary where the two balance. Two equations predict it: the norm balance of the optimiser's own step, "
            "which only shows that the run is stationary, and the norm at which independent gradient noise balances "
            "weight decay, given below for small steps and in the figure for the actual step sizes."
        )
    return (
        "Each gradient step is at right angles to the weights and so makes their norm r grow; weight decay shrinks "
        "it. The norm becomes stationary where the two balance. Two equations predict it: the norm balance, which is "
        "exact for steps of any size and only shows that the run is stationary, and the formula of the continuous-time "
        "theory, below. The formula takes the gradient noise measured in each run, tr Σ = σ² (d − 1) at unit norm, "
        f"with {'η the' if evidence.free else 'the effective'} learning rate and λ the weight decay; it neglects the "
        f"mean gradient and terms of order {'lr·wd' if evidence.free else 'η_eff λ r²'}."
    )


def _radius_table_at_fixed_lr(
    evidence: RunEvidence, of: Protocol, fit: Slopes, judged: Estimate | None
) -> tuple[TableBlock, Text]:
    """The slopes beside those of the derived radius, and which of them symmetry fixes."""
    up, down = log_slopes(of.radius)
    orbit, theory = evidence.orbit, slope_difference("fixed-lr", of.optimizer)
    rows = (
        ("in log learning rate", interval(fit.lr), number(up), "no"),
        ("in log weight decay", interval(fit.weight_decay), number(down), "no"),
        (slope_difference_words(orbit), interval(judged or fit.difference), number(theory), "yes, by symmetry"),
    )
    takes = "the gradient noise at unit norm is the same in every run, but it changes"
    if "sigma" not in of.radius.arguments:
        takes = "gradients are uncorrelated and of the same size in all coordinates, but how nearly so varies"
    shifted = "the first slope"
    if orbit.rate:
        same = "by the same amount" if orbit.weight == 1 else f"the first {orbit.weight:g} times as far as the second"
        shifted = f"both slopes, {same},"
    rates = f", lr by c{superscript(orbit.rate)}" if orbit.rate else ""
    rates += f" and wd by c{superscript(orbit.decay)}"
    return (
        TableBlock(
            "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
            ("Slope of log r", "Measured", "Theory", "Exact?"),
            rows,
        ),
        Text(
            f"Why {number(up, 2)} and {number(down, 2)} are not exact: they assume that {takes} with "
            f"{orbit_words(of)[0]}. This shifts {shifted} and leaves the last row unchanged: multiplying "
            f"the weights by c{rates} gives the same run on another scale, for "
            "arbitrary noise."
        ),
    )


def _radius_table_at_fixed_elr(fit: Slopes, judged: Estimate | None) -> TableBlock:
    return TableBlock(
        "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
        ("Slope of log r", "Measured", "Theory", "Exact?"),
        (
            ("in log effective learning rate", interval(fit.lr), "0.5", "no"),
            ("in log weight decay", interval(judged or fit.weight_decay), "−0.5", "yes, by symmetry"),
        ),
    )
