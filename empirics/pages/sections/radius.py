"""The norm of the weights, measured and predicted."""

from __future__ import annotations

from empirics.pages import figures
from empirics.pages.blocks import Formulas, Text
from empirics.pages.evidence import RunEvidence
from empirics.pages.formulas import laws
from empirics.pages.sections.wording import MISSING, shown

__all__ = ["radius"]


def radius(evidence: RunEvidence) -> list[object]:
    """Show the norm over the grid, beside the formula; its slopes are among the diagnostics."""
    if evidence.protocol == "fixed-sphere":
        return [Text("The norm is fixed: after each step the weights are projected back onto their sphere.")]
    formula = laws(evidence.pairs, ("radius",))
    found = shown(figures.radius_map(evidence), figures.radius_plot(evidence))
    return [Text(_why_it_settles(evidence)), *([Formulas(formula)] if formula else []), *(found or [MISSING])]


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
