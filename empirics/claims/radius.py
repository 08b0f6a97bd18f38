"""V1, the radius law: an identity, a symmetry and an approximation, side by side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim
from empirics.claims.coordinates import (
    EVERY_OPTIMIZER,
    lacking,
    law,
    law_of,
    log_slopes,
    orbit_of,
    radius_arguments,
    settings,
    stationary_square,
)
from empirics.claims.fits import fit, mean_of, spline_basis
from empirics.claims.state import State
from empirics.claims.table import Table, balances
from empirics.claims.verdict import Verdict
from empirics.measure.stationarity import BALANCE_MARGIN
from thermo_theory import FixedELR, FixedLR, derive

__all__ = ["RadiusLaw"]

FloatArray = NDArray[np.float64]

BALANCE = "Norm balance: decay shrinks the weights as much as gradients make them grow"
SLOPES = "Slope of log r in log lr minus slope in log weight decay"
SLOPE = "Slope of log r in log weight decay at fixed effective lr"
FORMULA = "Radius formula of the SDE with the measured gradient noise, r^2 measured over predicted"
#: Where the formula does not ask how large the noise is.
PURE_FORMULA = "Radius formula for gradients that are independent noise, r^2 measured over predicted"

#: Where the balance comes from, by protocol for SGD.
_BALANCE_SOURCES = {
    "fixed-lr": "exact for SGD with g.w = 0: r'^2 = (1 - lr wd)^2 r^2 + lr^2 |g|^2",
    "fixed-elr": "mean of log r for SGD with g.w = 0: r'^2 = (1 - eta_eff wd r^2)^2 r^2 + (eta_eff r^2)^2 |g|^2",
}


#: For other optimisers it is read off a step.
_OWN_BALANCE = "what r^2 gains over what the decay in the optimiser's own step takes: 1 if r^2 stays"


def slope_difference(protocol: str = "fixed-lr", optimizer: str = "sgd") -> float:
    """Slope of log r along a symmetry orbit, from the derived radius.

    At fixed LR it is the slope in log lr minus that in log weight decay (for Adam with L2 minus twice that), at fixed
    ELR the slope in log weight decay.

    >>> slope_difference(), slope_difference("fixed-elr"), slope_difference("fixed-lr", "adamw")
    (0.5, -0.5, 1.0)
    """
    of = law(protocol, optimizer)
    by_rate, by_decay = log_slopes(of.radius)
    return by_decay if protocol == "fixed-elr" else round(by_rate - orbit_of(of).weight * by_decay, 12)


class RadiusLaw(Claim):
    """The stationary radius, in three statements that stand on different ground.

    The norm balance is true of every stationary run: a gate, no evidence. At fixed LR it is exact; at fixed ELR it is
    that of log r, to first order in eta_eff wd r^2. That the slopes of log r differ by 1/2 (at fixed ELR: that the one
    in log weight decay is -1/2) follows from scale invariance alone: ``r = (lr/wd)^(1/4) f(lr wd)``, or
    ``wd^(-1/2) f(eta_eff)``, with any f. The formula needs the SDE: it leaves out ``|grad L|^2`` beside the noise and
    ``lr wd/2`` beside 1. Where the curvature was measured its first correction for finite steps is made (derivation
    "finite-step": the mean gradient of a cold gas), and runs for which that is not enough are left out, by the bounds
    of `empirics.claims.state`.

    For other optimisers than SGD the orbits are those of their own symmetry, and the formula is that of independent
    gradients, exact in the step (derivation "norm-balance"). AdamW's does not ask how large the noise is, only that all
    coordinates have the same; both Adams' leave out that the squares they divide by follow the weights, of order 1/d.

    On the sphere the radius is set, so there is nothing to judge.
    """

    name = "V1"
    title = "Radius law"
    protocols = ("fixed-lr", "fixed-elr")
    optimizers = EVERY_OPTIMIZER

    #: Ratios within 5 % count as equal; a slope difference within 5 % of itself.
    ratio_margin = 0.05
    slope_margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the three statements."""
        return [self._balance(table), self._slopes(table), self._formula(table)]

    def _balance(self, table: Table) -> Verdict:
        measured = balances(table.data)
        if measured is None or not np.isfinite(measured).any():
            names = [_rate(table), "weight_decay", "grad_sq", "radius_sq"]
            return self.not_measured(table, BALANCE, "identity", 1.0, table.missing(*names) or names)
        measured = measured[np.isfinite(measured)]
        return self.verdict(
            table,
            BALANCE,
            "identity",
            1.0,
            BALANCE_MARGIN,
            mean_of(measured),
            _BALANCE_SOURCES[_protocol(table)] if table.optimizer == "sgd" else _OWN_BALANCE,
            {"lowest": measured.min(), "highest": measured.max()},
            gated=False,
        )

    def _slopes(self, table: Table) -> Verdict:
        free = _protocol(table) == "fixed-lr"
        of, theory = law_of(table), slope_difference(_protocol(table), table.optimizer)
        form = f"Slope of log r in {orbit_of(of).difference}" if free else SLOPE
        if missing := table.missing(_rate(table), "weight_decay", "radius_sq"):
            return self.not_measured(table, form, "symmetry", theory, missing)
        rate, decay = np.log(table.values(_rate(table))), np.log(table.values("weight_decay"))
        # SGD: log r = f(log lr + log wd) + c (log lr - log wd)/2, whatever f; at fixed ELR f(log eta_eff) + c log wd.
        along, across = (orbit_of(of).along(rate, decay), orbit_of(of).across(rate, decay)) if free else (rate, decay)
        basis = spline_basis(along)
        estimate = fit(
            np.c_[basis, across], 0.5 * np.log(table.values("radius_sq")), np.r_[np.zeros(basis.shape[1]), 1.0]
        )
        source = (of.symmetry if free else of.radius).source or "scaling symmetry"
        return self.verdict(table, form, "symmetry", theory, self.slope_margin * abs(theory), estimate, source)

    def _formula(self, table: Table) -> Verdict:
        of = law_of(table)
        form = FORMULA if "sigma" in of.radius.arguments else PURE_FORMULA
        names = (_rate(table), "weight_decay", "radius_sq", "grad_variance")
        others = lacking(table, () if of.optimizer == "sgd" else radius_arguments(of))
        if missing := list(dict.fromkeys([*table.missing(*names), *others])):
            return self.not_measured(table, form, "physics", 1.0, missing)
        rate, decay, squared, variance = (table.values(name) for name in names)
        unit = table.values("grad_variance_unit") if not table.missing("grad_variance_unit") else variance * squared
        # |grad L|^2 is estimated without bias, so its estimate can exceed E|g|^2 where there is hardly any noise.
        noisy = unit > 0
        if len(noisy) and not noisy.any():
            return self.not_measured(table, form, "physics", 1.0, ["a positive grad_variance_unit"])
        if not State.missing(table):
            noisy &= State.of(table).within
        if of.optimizer == "sgd":
            ratio = squared[noisy] / _predicted(table, rate, decay, unit, noisy)
        else:
            ratio = squared[noisy] / stationary_square(of, settings(table, radius_arguments(of), unit))[noisy]
        share = np.full(len(ratio), np.nan)
        if not table.missing("grad_sq"):
            share = 1 - (variance / table.values("grad_sq"))[noisy]
        details: dict[str, object] = {"mean-gradient share of E|g|^2, by run": share.tolist()}
        source = of.radius.source
        verdict = self.verdict(table, form, "physics", 1.0, self.ratio_margin, mean_of(ratio), source, details)
        if verdict.verdict == "disagrees" and share.max() > self.ratio_margin and form == FORMULA:
            why = (
                f"; the formula leaves out the mean gradient, here {share.min():.0%} to {share.max():.0%} of E|g|^2, "
                "which makes the weights grow as the noise does"
            )
            return replace(verdict, reason=verdict.reason + why)
        return verdict

    def notes(self, table: Table) -> list[str]:
        """Give the separate slopes of log r, which are exact only if E|g|^2 at unit norm does not depend on lr wd."""
        if _protocol(table) != "fixed-lr" or table.missing("lr", "weight_decay", "radius_sq") or not table.used.any():
            return []
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        design, values = np.c_[np.ones_like(rate), rate, decay], 0.5 * np.log(table.values("radius_sq"))
        up, down = (fit(design, values, weights) for weights in ([0, 1, 0], [0, 0, 1]))
        by_rate, by_decay = (Fraction(slope).limit_denominator(12) for slope in log_slopes(law_of(table).radius))
        return [
            f"slopes of log r: {up} in log lr and {down} in log weight decay; {by_rate} and {by_decay} if the gradient "
            "noise at unit norm were the same in all runs"
        ]


def _protocol(table: Table) -> str:
    return str(table.data.attrs.get("protocol", "fixed-lr"))


def _rate(table: Table) -> str:
    """Name of what sets the size of steps."""
    return "lr" if _protocol(table) == "fixed-lr" else "effective_lr"


def _predicted(
    table: Table, rate: FloatArray, decay: FloatArray, unit: FloatArray, chosen: NDArray[np.bool_]
) -> FloatArray:
    """r^2 of the chosen runs by the formula of the SDE, with its first correction where the curvature was measured."""
    d, rate, decay, sigma = table.dimension, rate[chosen], decay[chosen], np.sqrt(unit[chosen] / (table.dimension - 1))
    free = _protocol(table) == "fixed-lr"
    if free:
        predicted = FixedLR.radius(eta=rate, lam=decay, sigma=sigma, d=d) ** 2
    else:
        predicted = FixedELR.radius(eta_eff=rate, lam=decay, sigma=sigma, d=d) ** 2
    if table.missing("laplacian"):
        return np.asarray(predicted)
    h = table.values("laplacian")[chosen] / (d - 1)
    bent = h > 0
    rate, decay, sigma, h = rate[bent], decay[bent], sigma[bent], h[bent]
    if free:
        volume = derive("finite-step", FixedLR).claim(eta=rate, lam=decay, sigma=sigma, h=h, d=d)
    else:
        heat = FixedELR.temperature(eta_eff=rate, sigma=sigma)
        volume = derive("finite-step", FixedELR).claim(R=(d - 1) / 2, T=heat, p=decay, eta_eff=rate, h=h)
    predicted[bent] = 2 * volume
    return np.asarray(predicted)
