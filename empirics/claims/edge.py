"""V11, the edge of stochastic stability: the curvature of minibatches along their own gradients is 2/eta_eff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.coordinates import effective_rate, rate_missing
from empirics.claims.everywhere import over_plane
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate
from empirics.claims.ground import ground_of
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from thermo_theory import derive

__all__ = ["StochasticEdge"]

FloatArray = NDArray[np.float64]

EDGE = "Batch sharpness over the edge of stochastic stability, 2/(effective learning rate)"


class StochasticEdge(Claim):
    """``E[g.H_B g]/E|g|^2 = 2/eta_eff`` if a step does not change, on average, the loss of its own minibatch B.

    That is an assumption of its own, "unchanged batch loss" (Andreyev and Beneventano 2024): stationarity balances a
    step against other minibatches alone. Where all minibatches have one Hessian, batch sharpness is below the edge by
    the share of the mean gradient in the mean squared gradient ("edge-under-additive-noise"), however long a run is. So
    the claim may be false of a run that is in order.

    The curvature is a mean over `hessian_reach` to each side of the weights. With added noise a step goes along no
    minibatch's gradient, and it is not measured.
    """

    name = "V11"
    title = "Edge of stochastic stability"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    statements = (
        Statement(
            words="On average a step leaves the loss of its own minibatch as it was, so that the curvature of a "
            "minibatch along its gradient is 2/(effective learning rate). This does not follow from stationarity, and "
            "may be false.",
            derivations=("edge-of-stochastic-stability",),
        ),
    )

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge batch sharpness."""
        law = ground_of(table, "edge-of-stochastic-stability")
        if missing := _missing(table):
            return [self.not_measured(table, EDGE, law, 1.0, missing)]
        found = self.verdict(table, EDGE, law, 1.0, self.margin, _estimate(table))
        alike = _additive(table)
        if found.verdict != "disagrees" or alike is None:
            return [found]
        mean = float(alike.mean())
        said = f"; if all minibatches had one Hessian, as under additive noise, it would be {mean:.2g}"
        return [replace(found, reason=found.reason + said, details={"additive noise": alike.tolist()})]

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Batch sharpness over the edge in every run."""
        if _missing(table) or not np.isfinite(_ratio(table)).any():
            return ()
        rate, ratio, alike = effective_rate(table), _ratio(table), _additive(table)
        series = [Series("measured", rate, ratio)]
        if alike is not None:
            series.append(Series("with one Hessian for all minibatches", rate, alike))
        return (
            Plot(
                "edge",
                "Batch sharpness over the edge of stochastic stability",
                f"Batch sharpness is {np.nanmin(ratio):.2g} to {np.nanmax(ratio):.2g} times 2/η_eff.",
                "1 is the edge, where a step leaves the loss of its own minibatch unchanged on average. Below it the "
                "loss of the minibatch decreases in a step, and increases again by the steps of others.",
                "effective learning rate",
                "batch sharpness × η_eff/2",
                tuple(series),
                level=1.0,
                margin=self.margin,
            ),
        )


def _missing(table: Table) -> list[str]:
    return [*table.missing("batch_sharpness"), *rate_missing(table)]


def _estimate(table: Table) -> Estimate:
    """Mean of the ratio, with its band over what is set, from the runs whose rate is known."""
    ratio = _ratio(table)
    there = np.isfinite(ratio)
    return over_plane(table, ratio[there], there)


def _ratio(table: Table) -> FloatArray:
    """Batch sharpness over that at the edge, of the runs used."""
    edge = derive("edge-of-stochastic-stability").claim(eta_eff=effective_rate(table), invalid="nan")
    return np.asarray(table.values("batch_sharpness") / edge, dtype=float)


def _additive(table: Table) -> FloatArray | None:
    """The same ratio if all minibatches have one Hessian: the share of the mean gradient; None if it is not known."""
    if table.missing("grad_mean_sq", "grad_sq"):
        return None
    return table.values("grad_mean_sq") / table.values("grad_sq")
