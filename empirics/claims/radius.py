"""V1, the radius law: an identity, a symmetry and an approximation, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
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
from empirics.claims.everywhere import local_slopes, over_plane
from empirics.claims.exhibit import Exhibit, Plot, Series, typeset
from empirics.claims.fits import fit, mean_of, no_estimate, spline_basis
from empirics.claims.ground import Ground, ground_of
from empirics.claims.state import StateVariables, noise_variance
from empirics.claims.table import Table, balances
from empirics.claims.verdict import Verdict
from empirics.measure.rounding import quotient
from empirics.measure.stationarity import BALANCE_MARGIN
from thermo_theory import FixedELR, FixedLR, derive

__all__ = ["RadiusLaw", "radius_lacks", "radius_ratios", "slope_difference"]

FloatArray = NDArray[np.float64]

BALANCE = "Norm balance: growth of the norm by gradients over its decay by weight decay"
SLOPES = "Slope of log r in log lr minus slope in log weight decay"
SLOPE = "Slope of log r in log weight decay at fixed effective learning rate"
FORMULA = "Radius formula of the SDE with the measured gradient noise, r^2 measured over predicted"
#: Where the formula does not ask how large the noise is.
PURE_FORMULA = "Radius formula for gradients that are independent noise, r^2 measured over predicted"

#: Where the balance comes from at fixed ELR.
_AT_FIXED_ELR = "mean of log r for SGD with g.w = 0: r'^2 = (1 - eta_eff wd r^2)^2 r^2 + (eta_eff r^2)^2 |g|^2"
#: For other optimisers it is read off a step.
_OWN_BALANCE = "gain of r^2 over its loss by the decay in the optimiser's own step: 1 if r^2 is stationary"


def slope_difference(protocol: str = "fixed-lr", optimizer: str = "sgd") -> float:
    """Slope of log r along a symmetry orbit, from the derived radius.

    At fixed LR it is the slope in log lr minus that in log weight decay (for Adam with L2 minus twice that), at fixed
    ELR the slope in log weight decay.

    >>> slope_difference(), slope_difference("fixed-elr"), slope_difference("fixed-lr", "adamw")
    (0.5, -0.5, 1.0)
    """
    of = law(protocol, optimizer)
    by_rate, by_decay = log_slopes(of.radius)
    return by_decay if protocol == "fixed-elr" else round(float(np.dot(orbit_of(of).slopes, (by_rate, by_decay))), 12)


class RadiusLaw(Claim):
    """The stationary radius, in three statements with different assumptions.

    The norm balance is true of every stationary run: a gate, no evidence. At fixed LR it is exact; at fixed ELR it is
    that of log r, to first order in eta_eff wd r^2. That the slopes of log r differ by 1/2 (at fixed ELR: that the one
    in log weight decay is -1/2) follows from scale invariance alone: ``r = (lr/wd)^(1/4) f(lr wd)``, or
    ``wd^(-1/2) f(eta_eff)``, with any f. The formula needs the SDE: it leaves out ``|grad L|^2`` beside the noise and
    ``lr wd/2`` beside 1. Where the curvature was measured its first correction for finite steps is made (derivation
    "finite-step": the mean gradient of a cold gas), and runs for which that is not enough are left out, by the bounds
    of `empirics.claims.state`.

    For other optimisers than SGD the orbits are those of their own symmetry, and the formula is that of independent
    noise, exact in the step (derivation "norm-balance"). AdamW's does not ask how large gradients are, only that they
    are uncorrelated and as large in all coordinates; both Adams' leave out that the squares they divide by follow the
    weights, of order 1/d.

    On the sphere the radius is set, so there is nothing to judge.
    """

    name = "V1"
    title = "Radius law"
    protocols = ("fixed-lr", "fixed-elr")
    optimizers = EVERY_OPTIMIZER
    statements = (
        Statement(
            words="In a stationary run the decay of the norm by weight decay equals its growth by the gradient steps.",
            derivations=("norm-balance",),
            optimizers=("sgd",),
        ),
        Statement(
            words="The norm of the weights grows with the learning rate and falls with weight decay. The two slopes of "
            "its logarithm (¼ and −¼ in the simplest theory) must differ by exactly ½.",
            derivations=("scaling-symmetry",),
        ),
        Statement(
            words="At a fixed effective learning rate the norm of the weights falls with weight decay: the slope of "
            "its logarithm must be exactly −½.",
            derivations=("scaling-symmetry",),
            protocols=("fixed-elr",),
        ),
        Statement(
            words="The stationary norm is that of the formula from the stochastic differential equation, given the "
            "measured gradient noise.",
            derivations=("radius",),
        ),
        Statement(
            "identity",
            "In a stationary run the loss of squared norm by the decay in the optimiser's own step equals the gain by "
            "the rest of the step.",
            protocols=("fixed-lr",),
            optimizers=EVERY_OPTIMIZER[1:],
        ),
        Statement(
            "identity",
            "In a stationary run the decay of the norm by weight decay equals its growth by the gradient steps, in the "
            "mean of log r.",
            protocols=("fixed-elr",),
        ),
        Statement(
            words="The stationary norm is that at which weight decay balances gradients that are independent noise, "
            "for the actual step size.",
            derivations=("radius", "norm-balance"),
            protocols=("fixed-lr",),
            optimizers=EVERY_OPTIMIZER[1:],
        ),
    )

    #: Ratios within 5 % count as equal; a slope difference within 5 % of itself.
    ratio_margin = 0.05
    slope_margin = 0.05

    def statement(self, row: Verdict) -> Statement:
        """What is tested; of other optimisers than SGD, what their own symmetry fixes."""
        said = super().statement(row)
        if row.optimizer == "sgd" or said.derivations != ("scaling-symmetry",):
            return said
        of = law(row.protocol, row.optimizer)
        up, down = (f"{_fraction(slope)}".replace("-", "−") for slope in log_slopes(of.radius))
        words = (
            "The norm of the weights grows with the learning rate and falls with weight decay: the slopes of "
            f"its logarithm are {up} and {down} in the simplest theory. By the symmetry of the optimiser's step its "
            f"slope in {orbit_of(of).difference} must be exactly {slope_difference(row.protocol, row.optimizer):g}."
        )
        return replace(said, words=words)

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the three statements."""
        return [self._balance(table), self._slopes(table), self._formula(table)]

    def _balance(self, table: Table) -> Verdict:
        measured, plain = balances(table.data), table.optimizer == "sgd"
        exact = ground_of(table, "norm-balance") if plain and table.protocol == "fixed-lr" else None
        # No derivation says it of r at fixed ELR, nor of any step: it is what stationary means there.
        of = exact or Ground("identity", source=_AT_FIXED_ELR if plain else _OWN_BALANCE)
        if measured is None or not np.isfinite(measured).any():
            # Other optimisers have more in theirs than these means: it is a column of its own.
            names = [table.rate, "weight_decay", "grad_sq", "radius_sq"] if plain else ["balance"]
            return self.not_measured(table, BALANCE, of, 1.0, table.missing(*names) or names)
        measured = measured[np.isfinite(measured)]
        return self.verdict(
            table,
            BALANCE,
            of,
            1.0,
            BALANCE_MARGIN,
            mean_of(measured, clusters_of(table) if len(measured) == table.used.sum() else None),
            details={"lowest": measured.min(), "highest": measured.max()},
            gated=False,
        )

    def _slopes(self, table: Table) -> Verdict:
        free = table.protocol == "fixed-lr"
        of, theory = law_of(table), slope_difference(table.protocol, table.optimizer)
        form = f"Slope of log r in {orbit_of(of).difference}" if free else SLOPE
        symmetric = ground_of(table, "scaling-symmetry").also("stationarity")
        if missing := table.missing(table.rate, "weight_decay", "radius_sq"):
            return self.not_measured(table, form, symmetric, theory, missing)
        rate, decay = np.log(table.values(table.rate)), np.log(table.values("weight_decay"))
        # SGD: log r = f(log lr + log wd) + c (log lr - log wd)/2, whatever f; at fixed ELR f(log eta_eff) + c log wd.
        along, across = (orbit_of(of).along(rate, decay), orbit_of(of).across(rate, decay)) if free else (rate, decay)
        basis, log_radius = spline_basis(along), 0.5 * np.log(table.values("radius_sq"))
        together = clusters_of(table)
        estimate = fit(np.c_[basis, across], log_radius, np.r_[np.zeros(basis.shape[1]), 1.0], together)
        if np.isfinite(estimate.low):
            local = local_slopes(basis, along, across, log_radius, theory, together)
            estimate = replace(estimate, everywhere=local)
        if why := table.unvarying("radius_sq"):
            estimate = no_estimate(why)
        return self.verdict(table, form, symmetric, theory, self.slope_margin * abs(theory), estimate)

    def _formula(self, table: Table) -> Verdict:
        form = FORMULA if "sigma" in law_of(table).radius.arguments else PURE_FORMULA
        formula = ground_of(table, "radius")
        if missing := list(dict.fromkeys([*radius_lacks(table), *table.missing("grad_variance")])):
            return self.not_measured(table, form, formula, 1.0, missing)
        unit = noise_variance(table)
        if len(unit) and not (unit > 0).any():
            return self.not_measured(table, form, formula, 1.0, ["a positive grad_variance_unit"])
        noisy, ratio = radius_ratios(table)
        share = np.full(len(ratio), np.nan)
        if not table.missing("grad_sq"):
            share = 1 - quotient(table.values("grad_variance"), table.values("grad_sq"))[noisy]
        details: dict[str, object] = {"mean-gradient share of E|g|^2, by run": share.tolist()}
        verdict = self.verdict(
            table, form, formula, 1.0, self.ratio_margin, over_plane(table, ratio, noisy), details=details
        )
        if verdict.verdict == "disagrees" and share.max() > self.ratio_margin and form == FORMULA:
            why = (
                f"; the formula neglects the mean gradient, here {share.min():.0%} to {share.max():.0%} of E|g|^2, "
                "which makes the weights grow just as the noise does"
            )
            return replace(verdict, reason=verdict.reason + why)
        return verdict

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Measured over predicted r^2 of every run, by the formula and by the balance."""
        if radius_lacks(table):
            return ()
        chosen, ratio = radius_ratios(table)
        return (_plot(table, self.ratio_margin, chosen, ratio),) if len(ratio) else ()

    def notes(self, table: Table) -> list[str]:
        """Give the separate slopes of log r, which are exact only if E|g|^2 at unit norm does not depend on lr wd."""
        if table.protocol != "fixed-lr" or table.missing("lr", "weight_decay", "radius_sq") or not table.used.any():
            return []
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        design, values = np.c_[np.ones_like(rate), rate, decay], 0.5 * np.log(table.values("radius_sq"))
        up, down = (fit(design, values, weights, clusters_of(table)) for weights in ([0, 1, 0], [0, 0, 1]))
        of = law_of(table)
        by_rate, by_decay = map(_fraction, log_slopes(of.radius))
        noise = "the gradient noise at unit norm is the same in all runs"
        if "sigma" not in of.radius.arguments:
            noise = "gradients are uncorrelated, and of equal size in all coordinates"
        return [
            f"slopes of log r: {up} in log lr and {down} in log weight decay; predicted {by_rate} and {by_decay} if "
            f"{noise}"
        ]


def _fraction(slope: float) -> Fraction:
    return Fraction(slope).limit_denominator(12)


def radius_lacks(table: Table) -> list[str]:
    """Name what is not there and the formula needs."""
    of = law_of(table)
    names = [table.rate, "weight_decay", "radius_sq"]
    if table.missing("grad_variance_unit"):
        names.append("grad_variance")
    if of.optimizer == "lars" and not table.missing("momentum") and table.values("momentum").any():
        return ["momentum = 0, for which alone the norm of LARS is derived"]
    return [*table.missing(*names), *lacking(table, () if of.optimizer == "sgd" else radius_arguments(of))]


def radius_ratios(table: Table) -> tuple[NDArray[np.bool_], FloatArray]:
    """Which runs the formula is held against, and r^2 measured over predicted in these."""
    unit = noise_variance(table)
    # |grad L|^2 is estimated without bias, so its estimate can exceed E|g|^2 where there is hardly any noise.
    noisy = unit > 0
    if not StateVariables.missing(table):
        noisy &= StateVariables.of(table).within
    rate, decay, squared = (table.values(name) for name in (table.rate, "weight_decay", "radius_sq"))
    of = law_of(table)
    if of.optimizer == "sgd":
        return noisy, squared[noisy] / _predicted(table, rate, decay, unit, noisy)
    # The push of an Adam step is that of all its weights, not of the directions alone.
    given = settings(table, radius_arguments(of), unit, table.weights)
    return noisy, squared[noisy] / stationary_square(of, given)[noisy]


def _plot(table: Table, margin: float, chosen: NDArray[np.bool_], ratio: FloatArray) -> Plot:
    """Both predictions of r^2 against what sets the size of steps."""
    free = table.protocol == "fixed-lr"
    rate, decay = table.values(table.rate), table.values("weight_decay")
    orbit = orbit_of(law_of(table)) if free else None
    along = np.exp(orbit.along(np.log(rate), np.log(decay))) if orbit else rate
    equal = typeset(orbit.words[0]) if orbit else "effective learning rate"
    plain = table.optimizer == "sgd"
    series = [Series("formula of the SDE" if plain else "independent gradients", along[chosen], ratio)]
    words = f"r² over the formula ranges from {ratio.min():.3f} to {ratio.max():.3f}"
    balance = balances(table.data)
    if balance is not None and np.isfinite(balance[table.used]).all():
        # SGD's holds r^2 against lr E|g|^2/(wd (2 - lr wd)) with the gradients at the actual norm.
        by_balance = quotient(1.0, balance[table.used])
        series.append(Series("norm balance (exact)", along, by_balance))
        words += f", over the norm balance from {by_balance.min():.3f} to {by_balance.max():.3f}"
    return Plot(
        "ratio",
        "Deviation of each prediction",
        f"{words}.",
        "The exact norm balance must hold in every stationary run. "
        + (
            f"The formula neglects the mean gradient and terms of order {'lr·wd' if free else 'of the step size'}: "
            "the remaining deviation is due to that."
            if plain
            else "The other prediction assumes that gradients are independent noise: the remaining deviation is due to "
            "the mean gradient and to correlations between successive gradients."
        ),
        equal,
        "r², measured / predicted",
        tuple(series),
        level=1.0,
        margin=margin,
    )


def _predicted(
    table: Table, rate: FloatArray, decay: FloatArray, unit: FloatArray, chosen: NDArray[np.bool_]
) -> FloatArray:
    """r^2 of the chosen runs by the formula of the SDE, with its first correction where the curvature was measured."""
    d, rate, decay, sigma = table.dimension, rate[chosen], decay[chosen], np.sqrt(unit[chosen] / (table.dimension - 1))
    free = table.protocol == "fixed-lr"
    if free:
        predicted = FixedLR.radius(eta=rate, lam=decay, sigma=sigma, d=d) ** 2
    else:
        predicted = FixedELR.radius(eta_eff=rate, lam=decay, sigma=sigma, d=d) ** 2
    if table.missing("laplacian"):
        return np.asarray(predicted)
    h = table.values("laplacian")[chosen] / (d - 1)
    bent = (h > 0) & (free | (rate * h < 2))  # beyond it a step overshoots the minimum, and there is no such volume
    rate, decay, sigma, h = rate[bent], decay[bent], sigma[bent], h[bent]
    if free:
        volume = derive("finite-step", FixedLR).claim(eta=rate, lam=decay, sigma=sigma, h=h, d=d)
    else:
        heat = FixedELR.temperature(eta_eff=rate, sigma=sigma)
        volume = derive("finite-step", FixedELR).claim(R=(d - 1) / 2, T=heat, p=decay, eta_eff=rate, h=h)
    predicted[bent] = 2 * volume
    return np.asarray(predicted)
