"""V1, the radius law: an identity, a symmetry and an approximation, side by side."""

from __future__ import annotations

import numpy as np
import sympy as sp

from empirics.claims.base import Claim
from empirics.claims.fits import fit, mean_of, spline_basis
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from empirics.measure import norm_balance
from empirics.measure.stationarity import BALANCE_MARGIN
from thermo_theory import FixedLR
from thermo_theory.symbols import eta, lam

__all__ = ["RadiusLaw"]

BALANCE = "Norm balance: decay shrinks the weights as much as gradients make them grow"
SLOPES = "Slope of log r in log lr minus slope in log weight decay"
FORMULA = "Radius formula of the SDE with the measured gradient noise, r^2 measured over predicted"


def slope_difference() -> float:
    """Slope of log r in log lr minus that in log weight decay, from the derived radius.

    >>> slope_difference()
    0.5
    """
    log_radius = sp.log(FixedLR.radius.equation.rhs)
    difference = eta * sp.diff(log_radius, eta) - lam * sp.diff(log_radius, lam)
    return float(sp.simplify(difference))


class RadiusLaw(Claim):
    """The radius at fixed LR, in three statements that stand on different ground.

    The norm balance is exact for every stationary run: a gate, no evidence. That the slopes differ by 1/2 follows from
    scale invariance alone: ``r = (lr/wd)^(1/4) f(lr wd)`` with any f. The formula needs the SDE: it leaves out
    ``|grad L|^2`` beside the noise and ``lr wd/2`` beside 1.
    """

    name = "V1"
    title = "Radius law"
    protocols = ("fixed-lr",)

    #: Ratios within 5 % count as equal; a slope difference of 1/2 within 5 % of itself.
    ratio_margin = 0.05
    slope_margin = 0.025

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the three statements."""
        return [self._balance(table), self._slopes(table), self._formula(table)]

    def _balance(self, table: Table) -> Verdict:
        if missing := table.missing("lr", "weight_decay", "grad_sq", "radius_sq"):
            return self.not_measured(table, BALANCE, "identity", 1.0, missing)
        data = table.data
        balances = np.asarray(
            norm_balance(*(data[name].values for name in ("lr", "weight_decay", "grad_sq", "radius_sq")))
        )
        balances = balances[np.isfinite(balances)]
        return self.verdict(
            table,
            BALANCE,
            "identity",
            1.0,
            BALANCE_MARGIN,
            mean_of(balances),
            "exact for SGD with g.w = 0: r'^2 = (1 - lr wd)^2 r^2 + lr^2 |g|^2",
            {"lowest": min(balances, default=np.nan), "highest": max(balances, default=np.nan)},
            gated=False,
        )

    def _slopes(self, table: Table) -> Verdict:
        theory = slope_difference()
        if missing := table.missing("lr", "weight_decay", "radius_sq"):
            return self.not_measured(table, SLOPES, "symmetry", theory, missing)
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        basis = spline_basis(rate + decay)
        # log r = f(log lr + log wd) + c (log lr - log wd): the slopes differ by 2c, whatever f.
        estimate = fit(
            np.c_[basis, rate - decay], 0.5 * np.log(table.values("radius_sq")), np.r_[np.zeros(basis.shape[1]), 2.0]
        )
        return self.verdict(
            table, SLOPES, "symmetry", theory, self.slope_margin, estimate, FixedLR.radius.source or "scaling symmetry"
        )

    def _formula(self, table: Table) -> Verdict:
        names = ("lr", "weight_decay", "radius_sq", "grad_variance")
        if missing := table.missing(*names):
            return self.not_measured(table, FORMULA, "physics", 1.0, missing)
        rate, decay, squared, variance = (table.values(name) for name in names)
        unit = table.values("grad_variance_unit") if not table.missing("grad_variance_unit") else variance * squared
        # |grad L|^2 is estimated without bias, so its estimate can exceed E|g|^2 where there is hardly any noise.
        noisy = unit > 0
        if len(noisy) and not noisy.any():
            return self.not_measured(table, FORMULA, "physics", 1.0, ["a positive grad_variance_unit"])
        rate, decay, squared, variance, unit = (values[noisy] for values in (rate, decay, squared, variance, unit))
        d = table.dimension
        predicted = FixedLR.radius(eta=rate, lam=decay, sigma=np.sqrt(unit / (d - 1)), d=d) ** 2
        share = np.full(len(rate), np.nan)
        if not table.missing("grad_sq"):
            share = 1 - variance / table.values("grad_sq")[noisy]
        verdict = self.verdict(
            table,
            FORMULA,
            "physics",
            1.0,
            self.ratio_margin,
            mean_of(squared / predicted),
            FixedLR.radius.source,
            {"mean-gradient share of E|g|^2, by run": share.tolist()},
        )
        if verdict.verdict == "disagrees" and share.max() > self.ratio_margin:
            why = (
                f"; the formula leaves out the mean gradient, here {share.min():.0%} to {share.max():.0%} of E|g|^2, "
                "which makes the weights grow as the noise does"
            )
            return Verdict(**{**verdict.__dict__, "reason": verdict.reason + why})
        return verdict

    def notes(self, table: Table) -> list[str]:
        """Give the separate slopes of log r, which are exact only if E|g|^2 at unit norm does not depend on lr wd."""
        if table.missing("lr", "weight_decay", "radius_sq") or not table.used.any():
            return []
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        design, values = np.c_[np.ones_like(rate), rate, decay], 0.5 * np.log(table.values("radius_sq"))
        up, down = (fit(design, values, weights) for weights in ([0, 1, 0], [0, 0, 1]))
        return [
            f"slopes of log r: {up} in log lr and {down} in log weight decay; 1/4 and -1/4 if the gradient noise at "
            "unit norm were the same in all runs"
        ]
