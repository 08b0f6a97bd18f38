"""V9, the virial theorem of a network that is not scale-invariant in all its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.compressibility import by_noise
from empirics.claims.everywhere import over_plane
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import mean_of
from empirics.claims.gas import learning_rate, state_missing, whatever_the_loss
from empirics.claims.ground import ground_of
from empirics.claims.table import Table, balances
from empirics.claims.verdict import Verdict
from empirics.measure.stationarity import BALANCE_MARGIN
from thermo_theory import derive
from thermo_theory.symbols import R, T, V, eta, g, lam, p, w
from thermo_theory.symbols.vectors import Dot, Expectation

__all__ = ["VirialTheorem"]

FloatArray = NDArray[np.float64]

IDENTITY = "Virial theorem with the remainder: weight decay and E[w.g] against the push of the gradients"
REMAINDER = "Scale-invariance defect E[w·∇L]/(2RT), the amount by which pV/(RT) falls below 1"
#: A defect this small in every run is that of a scale-invariant network, rounded.
NOTHING = 1e-8
LAW = "p V/(R T) - (1 - E[w.grad L]/(2 R T))"


class VirialTheorem(Claim):
    """Clausius' virial: ``lr wd (2 - lr wd) E r^2 + 2 lr (1 - lr wd) E[w.g] = lr^2 E|g|^2``, and what follows from it.

    The theorem is an identity: true of any loss, noise and step size in every stationary run, a gate and no evidence.
    A network that is scale-invariant in all weights has ``E[w.g] = 0`` in every run; where affine parameters, a last
    layer or eps make it something else, the number is how far ``p V/(R T)`` drifts from 1. That nothing else makes
    it drift, ``p V/(R T) = 1 - E[w.grad L]/(2 R T)``, holds to leading order: it leaves out ``|grad L|^2`` beside the
    noise, and ``lr wd/2``. T is read off the noise, ``R T = lr tr Cov g/4``.

    Runs that are labelled "not scale-invariant" are judged too, if they are stationary by the balance with the
    remainder. At fixed ELR lr is its mean eta_eff E r^2, which leaves out how w.g goes with r^2 within a run.
    """

    name = "V9"
    title = "Virial theorem with remainder"
    protocols = ("fixed-lr", "fixed-elr")
    statements = (
        Statement(
            words="Clausius' virial theorem: in a stationary run the growth of the squared norm by the gradient steps "
            "equals its decay by weight decay plus the work of the gradient along the weights. True of any network.",
            derivations=("virial-with-remainder",),
        ),
        Statement(
            words="The gradient has no component along the weights, E[w·g] = 0, as in a network that is "
            "scale-invariant in all trained weights. Otherwise the number is the amount by which p V/(R T) falls below "
            "1.",
            derivations=("virial-theorem",),
        ),
        Statement(
            words="Only the gradient along the weights makes p V/(R T) differ from 1; the mean gradient and lr·wd do "
            "not.",
            derivations=("virial-with-remainder",),
        ),
    )

    #: p V/(R T) within 0.05 counts as equal.
    margin = 0.05

    def statement(self, row: Verdict) -> Statement:
        """What is tested; the law is a consequence of the same derivation as the theorem."""
        return self.statements[-1] if row.title == LAW else super().statement(row)

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the theorem, the remainder, and whether the remainder is all there is."""
        table = whatever_the_loss(table)
        if missing := state_missing(table, "radial_gradient"):
            return [self.not_measured(table, REMAINDER, ground_of(table, "virial-theorem"), 0.0, missing)]
        return [self._theorem(table), self._remainder(table), self._law(table)]

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Show p V/(R T) of every run over what the defect predicts."""
        table = whatever_the_loss(table)
        if state_missing(table, "radial_gradient", "grad_variance"):
            return ()
        noisy = table.values("grad_variance") > 0
        if not noisy.any():
            return ()
        predicted = to_leading_order(*_virial(table))
        if np.abs(1 - predicted).max() <= NOTHING:
            return ()  # all runs would lie above each other, at 1
        return (_plot(predicted, by_noise(table)[noisy], self.margin),)

    def _theorem(self, table: Table) -> Verdict:
        law = ground_of(table, "virial-with-remainder")
        if missing := state_missing(table, "grad_sq"):
            return self.not_measured(table, IDENTITY, law, 1.0, missing)
        measured = balances(table.data)
        measured = np.empty(0) if measured is None else measured[np.isfinite(measured)]
        together = clusters_of(table) if len(measured) == table.used.sum() else None
        return self.verdict(table, IDENTITY, law, 1.0, BALANCE_MARGIN, mean_of(measured, together), gated=False)

    def _remainder(self, table: Table) -> Verdict:
        law = ground_of(table, "virial-theorem")
        if missing := state_missing(table, "grad_variance"):
            return self.not_measured(table, REMAINDER, law, 0.0, missing)
        noisy = table.values("grad_variance") > 0
        drift = 1 - to_leading_order(*_virial(table))
        details: dict[str, object] = {"by run": drift.tolist()}
        found = over_plane(table, drift, noisy)
        verdict = self.verdict(table, REMAINDER, law, 0.0, self.margin, found, details=details)
        if verdict.verdict != "disagrees":
            return verdict
        span = f"; the network is not scale-invariant as a whole: {drift.min():.3g} to {drift.max():.3g} over the runs"
        return replace(verdict, reason=verdict.reason + span)

    def _law(self, table: Table) -> Verdict:
        law = ground_of(table, "virial-with-remainder").also("pure noise", "small steps")
        if missing := state_missing(table, "grad_variance"):
            return self.not_measured(table, LAW, law, 0.0, missing)
        noisy = table.values("grad_variance") > 0
        apart = by_noise(table)[noisy] - to_leading_order(*_virial(table))
        verdict = self.verdict(table, LAW, law, 0.0, self.margin, over_plane(table, apart, noisy))
        if verdict.verdict != "disagrees" or table.missing("grad_mean_sq"):
            return verdict
        share = table.values("grad_mean_sq")[noisy] / table.values("grad_variance")[noisy]
        why = f"; leading order neglects the mean gradient, here {share.min():.2g} to {share.max():.2g} of the noise"
        return replace(verdict, reason=verdict.reason + why)


def _plot(predicted: FloatArray, measured: FloatArray, margin: float) -> Plot:
    """Draw p V/(R T) over what the defect predicts."""
    apart = measured - predicted
    ends = np.array([min(predicted.min(), measured.min()), max(predicted.max(), measured.max())])
    ends += np.array([-1, 1]) * max(margin - np.ptp(ends), 0) / 2
    return Plot(
        "remainder",
        "Does the scale-invariance defect account for p V/(R T)?",
        f"p V/(R T) ranges from {measured.min():.3g} to {measured.max():.3g}, 1 minus the defect from "
        f"{predicted.min():.3g} to {predicted.max():.3g}; they differ by {apart.min():.2g} to {apart.max():.2g}.",
        "T is read off the noise. For a run on the line the gradient along its weights, E[w·g], accounts for "
        "p V/(R T); a run above the line shows the mean gradient. A scale-invariant network is at 1 on the x axis.",
        "1 − E[w·∇L]/(2RT)",
        "pV/(RT)",
        (Series("run", predicted, measured), Series("equal", ends, ends, line=True)),
        logarithmic=(False, False),
    )


def _virial(table: Table) -> tuple[FloatArray, FloatArray]:
    """E[w.g] and R T of the runs used that have noise."""
    noise, virial = table.values("grad_variance"), table.values("radial_gradient")
    return virial[noise > 0], (learning_rate(table) * noise / 4)[noise > 0]


@cache
def _leading() -> Any:
    """Derive p V/(R T) for pure noise and small lr wd from the theorem."""
    law = derive("virial-with-remainder").claim.equation
    virial, work = sp.symbols("virial work", positive=True)
    factor = law.lhs / (p * V)
    pure_noise = {Expectation(Dot(g, g)): 4 * R * T / eta, Expectation(Dot(g, w)): virial}
    right = sp.expand((law.rhs / factor).subs(pure_noise).subs(lam, 0) / (R * T))
    return sp.lambdify((virial, work), right.subs(T, work / R))


def to_leading_order(virial: ArrayLike, work: ArrayLike) -> FloatArray:
    """Compressibility factor of pure noise and small steps, ``1 - virial/(2 work)`` (from "virial-with-remainder").

    The virial is ``E[w.g]``, the work ``R T`` with T read off the noise.

    Examples
    --------
    >>> float(to_leading_order(0.5, 1.0))
    0.75
    """
    return np.asarray(_leading()(np.asarray(virial, dtype=float), np.asarray(work, dtype=float)), dtype=float)
