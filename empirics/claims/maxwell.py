"""V3, the Maxwell relation of each protocol: the slope of the entropy in what scales the weights alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.function import AppliedUndef

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import Clusters, clusters_of, levels
from empirics.claims.coordinates import EVERY_OPTIMIZER, is_derived, law, law_of, log_slopes, orbit_of
from empirics.claims.everywhere import local_slopes
from empirics.claims.exhibit import Exhibit, Plot, Series, typeset
from empirics.claims.fits import Estimate, fit, no_estimate, quadratic, spline_basis, within_orbits
from empirics.claims.ground import ground_of
from empirics.claims.protocol import effective_lr
from empirics.claims.table import FEWEST_RUNS, Table
from empirics.claims.verdict import Verdict, other_form
from thermo_theory import Protocol, derive
from thermo_theory.symbols import R, d, degree, eta, lam, r

__all__ = ["MaxwellRelation", "maxwell_ratio", "orbit_words", "reference_slopes", "relation_of"]

FloatArray = NDArray[np.float64]

SPLINE_OF = "Maxwell relation, entropy as any function of {} plus c log({})"
ORBITS_OF = "Maxwell relation, from runs with equal {} alone"
SPLINE = SPLINE_OF.format("lr·wd", "lr/wd")
ORBITS = ORBITS_OF.format("lr·wd")
QUADRATIC = "Maxwell relation, the paper's quadratic fit at the centre of the grid"
#: Beside them: S less 2 R times the slope of log r, which V1 has.
DIRECTIONS = "Slope of the entropy of the directions alone along symmetry orbits, 0 by the symmetry"

#: The relation is judged on symmetry orbits where at least this share of the runs is on one with another run.
SHARE_ON_ORBITS = 0.5


@dataclass(frozen=True)
class Relation:
    """The relation in the coordinates of a protocol: the slope of S in `across` with `along` held."""

    forms: tuple[str, str, str]  # titles of the three ways to it: spline, orbits, quadratic
    unit: str  # what the slope is given in, in words
    share: float  # that unit over R
    knobs: tuple[str, ...]  # the variables of the table that the coordinates need; the effective learning rate apart


def _forms(along: str, across: str) -> tuple[str, str, str]:
    return SPLINE_OF.format(along, across), ORBITS_OF.format(along), QUADRATIC


RELATIONS = {
    "fixed-lr": Relation((SPLINE, ORBITS, QUADRATIC), "R", 1.0, ("lr", "weight_decay")),
    "fixed-elr": Relation(
        _forms("effective learning rate", "weight decay"), "R", 1.0, ("effective_lr", "weight_decay")
    ),
    "fixed-sphere": Relation(_forms("effective learning rate", "radius"), "d - 1", 2.0, ("radius",)),
}


class MaxwellRelation(Claim):
    """The combination of slopes of the entropy that scale invariance alone predicts.

    - fixed LR: ``dS/dlog lr - dS/dlog wd = R``, with R = (d - 1)/2;
    - fixed ELR: ``dS/dlog wd = -R`` at fixed effective learning rate;
    - fixed sphere: ``dS/dlog r = d - 1`` at fixed effective learning rate, that is, at fixed T;
    - fixed LR with other optimisers: momentum and Nesterov as SGD; AdamW, signSGD, Lion, Muon and normalised SGD
      ``dS/dlog lr - dS/dlog wd = 2R``; Adam with L2 ``dS/dlog lr - 2 dS/dlog wd = 2R``; LAMB ``-dS/dlog wd = 2R``, LARS
      ``-dS/dlog wd = R``. Which slopes they are follows from the symmetry of the optimiser's step.

    It follows from scale invariance alone, so it tests scale invariance and stationarity, not isotropic noise nor the
    Gibbs law: it holds on a path entropy too. A bias of the entropy estimate that is the same along a symmetry orbit
    (at fixed LR constant lr·wd, else the effective learning rate) drops out.
    """

    name = "V3"
    title = "Maxwell relation"
    protocols = ("fixed-lr", "fixed-elr", "fixed-sphere")
    optimizers = EVERY_OPTIMIZER
    statements = (
        Statement(
            words="A Maxwell relation, as in the thermodynamics of a gas: the slope of the entropy of the weights in "
            "log learning rate minus its slope in log weight decay is the gas constant R = (d − 1)/2, half the number "
            "of directions.",
            derivations=("maxwell-from-symmetry",),
            protocols=("fixed-lr",),
        ),
        Statement(
            words="A Maxwell relation, as in the thermodynamics of a gas: at a fixed effective learning rate the slope "
            "of the entropy of the weights in log weight decay is −R, with the gas constant R = (d − 1)/2, half the "
            "number of directions.",
            derivations=("maxwell-from-symmetry",),
            protocols=("fixed-elr",),
        ),
        Statement(
            words="A Maxwell relation, as in the thermodynamics of a gas: at a fixed temperature the slope of the "
            "entropy of the weights in the log of the norm is d − 1, the number of directions; the number is given in "
            "units of it.",
            derivations=("maxwell-from-symmetry",),
            protocols=("fixed-sphere",),
        ),
    )

    #: A slope within 5 % of the derived one counts as equal.
    margin = 0.05

    def statement(self, row: Verdict) -> Statement:
        """What is tested; of other optimisers than SGD, the relation that their own symmetry gives."""
        said = super().statement(row)
        if row.optimizer == "sgd":
            return said
        of, theory = law(row.protocol, row.optimizer), maxwell_ratio(row.protocol, row.optimizer)
        words = (
            f"A Maxwell relation, as in the thermodynamics of a gas: the slope of the entropy of the weights in "
            f"{orbit_of(of).difference} is {'' if theory == 1 else f'{theory:g} '}R with R = (d − 1)/2, half the "
            "number of directions. It is the relation of this optimiser's own symmetry."
        )
        return replace(said, words=words)

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the relation along symmetry orbits where there are enough of them; other ways to it stand beside it."""
        protocol, of = table.protocol, law_of(table)
        relation, theory = relation_of(of), maxwell_ratio(protocol, table.optimizer)
        symmetric = ground_of(table, "maxwell-from-symmetry")
        spline, orbits, _ = relation.forms
        if missing := table.missing(*relation.knobs, "entropy"):
            return [self.not_measured(table, orbits, symmetric, theory, missing)]
        along, across, entropy = _coordinates(table, "entropy")
        together, why = clusters_of(table), table.unvarying("entropy")
        ways: tuple[Callable[..., Estimate], ...] = (_by_spline, within_orbits, _by_quadratic)
        found = {
            form: no_estimate(why) if why else by(along, across, entropy, together)
            for form, by in zip(relation.forms, ways, strict=True)
        }
        inside = _on_orbits(along)
        first = orbits if inside.sum() >= SHARE_ON_ORBITS * len(inside) and np.isfinite(found[orbits].low) else spline
        estimate = found.pop(first)
        details: dict[str, object] = {"in units of": relation.unit}
        if np.isfinite(estimate.low):
            chosen = inside if first == orbits else np.ones(len(along), dtype=bool)
            u, v, s = (z[chosen] for z in (along, across, entropy))
            base = _orbit_means(u) if first == orbits else spline_basis(u)
            estimate = replace(estimate, everywhere=local_slopes(base, u, v, s, theory, together.of(chosen)))
            details["largest relative error over the grid"] = _worst_slope_error(along, across, entropy, theory)
        row = self.verdict(table, first, symmetric, theory, self.margin * abs(theory), estimate, details=details)
        others = [other_form(form, one) for form, one in found.items()] + _of_directions(table)
        return [replace(row, other_forms=tuple(others))]

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """The entropy with the relation subtracted: one curve if it holds."""
        if table.missing(*relation_of(law_of(table)).knobs, "entropy") or not table.used.any():
            return ()
        along, across, entropy = _coordinates(table, "entropy")
        return (_collapse(law_of(table), along, across, entropy),)

    def notes(self, table: Table) -> list[str]:
        """Give the separate slopes with their two references, which distinguish a gas from a path entropy."""
        notes = self._largest_error(table)
        if table.protocol == "fixed-lr":
            notes += _slopes(table)
        if "path_entropy" in table.data and table.used.any():
            share = float(table.values("path_entropy").mean())
            if share > 0:
                notes.append(
                    f"{share:.0%} of the entropies are path entropies (the nearest neighbour of a snapshot is its "
                    "neighbour in time): S itself cannot be judged by them, the Maxwell relation (V3) can"
                )
        return notes

    def _largest_error(self, table: Table) -> list[str]:
        """Largest deviation from the relation, as in the paper; it has no interval, so it is not judged."""
        protocol = table.protocol
        along, across, entropy = np.empty(0), np.empty(0), np.empty(0)
        lacking = table.missing(*relation_of(law_of(table)).knobs, "entropy")
        if not lacking and table.used.sum() >= FEWEST_RUNS and not table.unvarying("entropy"):
            along, across, entropy = _coordinates(table, "entropy")
        # Without a second value to compare with there is no slope to be off.
        if not len(entropy) or np.linalg.matrix_rank(np.c_[np.ones_like(along), along, across]) < 3:
            return []
        worst = _worst_slope_error(along, across, entropy, maxwell_ratio(protocol, table.optimizer))
        return [f"largest relative error of the Maxwell relation over the grid, by the quadratic fit: {worst:.1%}"]


def maxwell_ratio(protocol: str = "fixed-lr", optimizer: str = "sgd") -> float:
    """Slope in the protocol's unit, from the derivation; at fixed LR that in `Orbit.across`.

    >>> maxwell_ratio(), maxwell_ratio("fixed-elr"), maxwell_ratio("fixed-sphere"), maxwell_ratio("fixed-lr", "adamw")
    (1.0, -1.0, 1.0, 2.0)
    """
    of = law(protocol, optimizer)
    left, right = derive("maxwell-from-symmetry", of).claim.equation.subs(d, 2 * R + 1).args
    if protocol == "fixed-lr":
        (entropy,), (by_rate, by_decay) = left.atoms(AppliedUndef), orbit_of(of).slopes
        across = (by_rate * sp.log(eta) + by_decay * sp.log(lam)) / (by_rate**2 + by_decay**2)
        right /= left.subs(entropy, across).doit()
    return float(sp.simplify(right / R)) / relation_of(of).share


def relation_of(of: Protocol) -> Relation:
    """Return the relation in the coordinates of a protocol, at fixed LR in those that its optimiser's symmetry gives.

    >>> relation_of(law("fixed-lr", "adam-l2")).forms[1]
    'Maxwell relation, from runs with equal lr^2·wd alone'
    """
    if of.optimizer == "sgd":
        return RELATIONS[of.key]
    return replace(RELATIONS["fixed-lr"], forms=_forms(*orbit_of(of).words))


def reference_slopes(of: Protocol) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Slopes of S/R in log lr and log weight decay at fixed LR: of the low-temperature gas, and of a path entropy.

    None where no temperature is derived (LARS, LAMB). Both have 2 log r from the sphere. Its directions give the gas
    log T (C_V = R), and a path the logarithm of the diffusivity, which is eta_eff T and so goes as T^2 where the noise
    is constant.

    >>> reference_slopes(law("fixed-lr"))
    ((1.0, 0.0), (1.5, 0.5))
    >>> reference_slopes(law("fixed-lr", "adamw"))
    ((1.5, -0.5), (2.0, 0.0))
    """
    sizes = log_slopes(of.radius)
    if is_derived("temperature", of):
        heats = log_slopes(of.temperature)
    elif orbit_of(of).rate:
        heat = derive("homogeneous-temperature").claim.equation.rhs.subs(degree, round(orbit_of(of).rate) - 1)
        by_norm = float(sp.simplify(r * sp.diff(sp.log(heat), r)))
        heats = (1 + by_norm * sizes[0], by_norm * sizes[1])
    else:
        return None
    pairs = list(zip(heats, sizes, strict=True))
    gas, path = (tuple(share * heat + 2 * size for heat, size in pairs) for share in (1, 2))
    return (gas[0], gas[1]), (path[0], path[1])


#: What is equal along a symmetry orbit, what changes, and what is taken off S, where the protocol fixes a rate.
ORBIT_WORDS = {
    "fixed-elr": ("the effective learning rate", "weight decay", "(−log wd)"),
    "fixed-sphere": ("the effective learning rate", "radius", "log r"),
}


def orbit_words(of: Protocol) -> tuple[str, str, str]:
    """Say what is equal along a symmetry orbit, what changes, and what taken off S leaves the first alone, in R.

    >>> orbit_words(law("fixed-lr"))
    ('lr·wd', 'lr/wd', '½ log(lr/wd)')
    >>> orbit_words(law("fixed-lr", "adam-l2"))
    ('lr²·wd', 'lr/wd²', '2/5 log(lr/wd²)')
    """
    if of.optimizer == "sgd" and of.key in ORBIT_WORDS:
        return ORBIT_WORDS[of.key]
    orbit, theory = orbit_of(of), maxwell_ratio("fixed-lr", of.optimizer)
    equal, other = orbit.words
    # S gains theory x across along an orbit, across being log(lr/wd^k) over 1 + k^2, or log(1/wd).
    share = Fraction(theory / np.square(orbit.slopes).sum()).limit_denominator(60)
    taken = "" if share == 1 else f"{share} ".replace("1/2", "½")
    return typeset(equal), typeset(other), f"{taken}log({typeset(other)})"


def _collapse(of: Protocol, along: FloatArray, across: FloatArray, entropy: FloatArray) -> Plot:
    """Entropy less what the relation says, for runs with low, middle and high values of what scales the weights."""
    protocol = of.key if of.optimizer == "sgd" else "fixed-lr"
    unit, theory = relation_of(of).unit, maxwell_ratio(protocol, of.optimizer)
    rest = entropy - theory * across
    rest = rest - rest.mean()
    equal, scale, taken = orbit_words(of)
    low, high = np.quantile(across, [1 / 3, 2 / 3])
    parts = {"low": across < low, "medium": (across >= low) & (across <= high), "high": across > high}
    # The scatter about one curve, whatever its shape, by the spline that the first form fits.
    basis = spline_basis(along)
    residual = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
    return Plot(
        "collapse",
        "Do all runs fall on one curve?",
        f"With the predicted term subtracted, the entropy spans {np.ptp(rest):.2f} {unit} over the grid and "
        f"scatters by {residual.std():.2g} {unit} about one curve.",
        f"If the network is scale-invariant, the rest of S depends on {equal} alone, and runs with very different "
        f"{scale} lie on one curve. Scatter about it means a broken symmetry, or runs that are not stationary. The "
        "shape of the curve is physics and is not tested.",
        equal.removeprefix("the "),
        f"S/({unit}) − {taken}, mean subtracted" if " " in unit else f"S/{unit} − {taken}, mean subtracted",
        tuple(Series(f"{name} {scale}", np.exp(along[one]), rest[one]) for name, one in parts.items() if one.any()),
    )


def _slopes(table: Table) -> list[str]:
    """Both slopes at fixed LR, which tell a gas from a path entropy where their difference cannot."""
    notes: list[str] = []
    known = reference_slopes(law_of(table))
    names = ("low-temperature gas", "path entropy")
    pairs = [f"{name} {pair[0]:.3g} and {pair[1]:.3g}" for name, pair in zip(names, known or (), strict=False)]
    references = f"; {', '.join(pairs)}" if pairs else ""
    for name, words in (("entropy_sphere", "all neighbours"), ("entropy_sphere_theiler", "Theiler window")):
        if table.missing("lr", "weight_decay", "log_radius", name) or not table.used.any():
            continue
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        entropy = table.values(name) / ((table.dimension - 1) / 2) + 2 * table.values("log_radius")
        design = np.c_[np.ones_like(rate), rate, decay]
        by_rate, by_decay = (fit(design, entropy, weights, clusters_of(table)) for weights in ([0, 1, 0], [0, 0, 1]))
        estimated = "neighbour_lag" in table.data or "entropy_sphere_theiler" in table.data
        notes.append(
            f"slopes of S/R{', ' + words if estimated else ''}: {by_rate} in log lr and {by_decay} in log weight "
            f"decay{references}"
        )
    return notes


def _coordinates(table: Table, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The logarithms of what is fixed and of what changes, and a variable in the protocol's unit."""
    protocol, of = table.protocol, law_of(table)
    values = table.values(name) / (relation_of(of).share * (table.dimension - 1) / 2)
    if protocol == "fixed-lr":
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        return orbit_of(of).along(rate, decay), orbit_of(of).across(rate, decay), values
    rate = np.log(np.asarray(effective_lr(table.data))[table.used])
    return rate, np.log(table.values("weight_decay" if protocol == "fixed-elr" else "radius")), values


def _by_spline(along: FloatArray, across: FloatArray, entropy: FloatArray, clusters: Clusters) -> Estimate:
    """``S = s(along) + c across`` with s free."""
    basis = spline_basis(along)
    return fit(np.c_[basis, across], entropy, np.r_[np.zeros(basis.shape[1]), 1.0], clusters)


def _by_quadratic(along: FloatArray, across: FloatArray, entropy: FloatArray, clusters: Clusters) -> Estimate:
    """Slope of a full quadratic at the centre of the grid, the same one as in log lr and log weight decay."""
    return fit(quadratic(along, across), entropy, [0, 0, 1, 0, 0, 0], clusters)


def _on_orbits(along: FloatArray) -> NDArray[np.bool_]:
    """Which runs share their symmetry orbit with another run."""
    members = levels(along)
    return np.asarray(np.bincount(members)[members] > 1) if len(members) else np.zeros(0, dtype=bool)


def _orbit_means(along: FloatArray) -> FloatArray:
    """A column for every orbit, shape (runs, orbits)."""
    return np.eye(int(levels(along).max()) + 1)[levels(along)]


def _of_directions(table: Table) -> list[dict[str, Any]]:
    """Slope of the directions' entropy along symmetry orbits, in the protocol's unit, if there are numbers for it."""
    if table.missing("entropy_sphere") or not table.used.any():
        return []
    along, across, entropy = _coordinates(table, "entropy_sphere")
    return [other_form(DIRECTIONS, within_orbits(along, across, entropy, clusters_of(table)))]


def _worst_slope_error(along: FloatArray, across: FloatArray, entropy: FloatArray, theory: float) -> float:
    """Largest relative error of the relation over the grid, by the slopes of the quadratic (the paper's figure)."""
    coefficients, *_ = np.linalg.lstsq(quadratic(along, across), entropy, rcond=None)
    u, v = along - along.mean(), across - across.mean()
    slope = coefficients[2] + coefficients[4] * u + 2 * coefficients[5] * v
    return float(np.abs(slope / theory - 1).max())
