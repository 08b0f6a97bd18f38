"""V3, the Maxwell relation of each protocol: how the entropy answers what scales the weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate, fit, quadratic, spline_basis, within_orbits
from empirics.claims.protocol import effective_lr
from empirics.claims.table import FEWEST_RUNS, Table
from empirics.claims.verdict import Verdict
from thermo_theory import derive
from thermo_theory.protocols import PROTOCOLS
from thermo_theory.symbols import R

__all__ = ["MaxwellRelation", "maxwell_ratio"]

FloatArray = NDArray[np.float64]

SPLINE = "Maxwell relation, entropy as any function of lr x weight decay plus c log(lr/weight decay)"
ORBITS = "Maxwell relation, from runs with equal lr x weight decay alone"
QUADRATIC = "Maxwell relation, the paper's quadratic fit at the centre of the grid"

#: Slopes of S/R in (log lr, log weight decay) of the low-temperature gas, and of a path entropy (the diffusive trap).
GAS_SLOPES = (1.0, 0.0)
PATH_SLOPES = (1.5, 0.5)


@dataclass(frozen=True)
class Relation:
    """The relation in the coordinates of a protocol: the slope of S in `across` with `along` held.

    Attributes
    ----------
    forms : tuple of str
        Titles of the three ways to it: spline, orbits, quadratic.
    unit : str
        What the slope is given in, in words.
    share : float
        That unit over R.
    knobs : tuple of str
        The variables of the table that the coordinates need; the effective learning rate apart.
    """

    forms: tuple[str, str, str]
    unit: str
    share: float
    knobs: tuple[str, ...]


RELATIONS = {
    "fixed-lr": Relation((SPLINE, ORBITS, QUADRATIC), "R", 1.0, ("lr", "weight_decay")),
    "fixed-elr": Relation(
        (
            "Maxwell relation, entropy as any function of effective lr plus c log(weight decay)",
            "Maxwell relation, from runs with equal effective lr alone",
            QUADRATIC,
        ),
        "R",
        1.0,
        ("effective_lr", "weight_decay"),
    ),
    "fixed-sphere": Relation(
        (
            "Maxwell relation, entropy as any function of effective lr plus c log(radius)",
            "Maxwell relation, from runs with equal effective lr alone",
            QUADRATIC,
        ),
        "d - 1",
        2.0,
        ("radius",),
    ),
}


class MaxwellRelation(Claim):
    """What the entropy gains where scale invariance alone says what it gains.

    - fixed LR: ``dS/dlog lr - dS/dlog wd = R``, with R = (d - 1)/2;
    - fixed ELR: ``dS/dlog wd = -R`` at fixed effective lr;
    - fixed sphere: ``dS/dlog r = d - 1`` at fixed effective lr, that is, at fixed T.

    It follows from scale invariance alone, so it tests scale invariance and stationarity, not isotropic noise nor the
    Gibbs law: it holds on a path entropy too. A bias of the entropy estimate that is the same along a symmetry orbit
    (at fixed LR lr x weight decay constant, else the effective lr) drops out.
    """

    name = "V3"
    title = "Maxwell relation"
    protocols = ("fixed-lr", "fixed-elr", "fixed-sphere")
    statements = (
        Statement(
            "symmetry",
            "A Maxwell relation, as in the thermodynamics of a gas: the slope of the entropy of the weights in log "
            "learning rate minus its slope in log weight decay is the gas constant R = (d − 1)/2, half the number of "
            "directions.",
            ("maxwell-from-symmetry",),
            ("fixed-lr",),
        ),
        Statement(
            "symmetry",
            "A Maxwell relation, as in the thermodynamics of a gas: at a fixed effective learning rate the slope of "
            "the entropy of the weights in log weight decay is −R, with the gas constant R = (d − 1)/2, half the "
            "number of directions.",
            ("maxwell-from-symmetry",),
            ("fixed-elr",),
        ),
        Statement(
            "symmetry",
            "A Maxwell relation, as in the thermodynamics of a gas: at a fixed temperature the slope of the entropy of "
            "the weights in the log of the norm is d − 1, the number of directions; the number is given in units of "
            "it.",
            ("maxwell-from-symmetry",),
            ("fixed-sphere",),
        ),
    )

    #: A ratio within 5 % counts as equal.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the relation in its three forms."""
        protocol = _protocol(table)
        relation, theory = RELATIONS[protocol], maxwell_ratio(protocol)
        source = derive("maxwell", PROTOCOLS[protocol]).source
        if missing := table.missing(*relation.knobs, "entropy"):
            return [self.not_measured(table, form, "symmetry", theory, missing) for form in relation.forms]
        along, across, entropy = _coordinates(table, "entropy")
        found = []
        for form, estimate in zip(relation.forms, (_by_spline, _by_orbits, _by_quadratic), strict=True):
            details: dict[str, object] = {"in units of": relation.unit}
            if form == QUADRATIC and len(entropy):
                details["largest relative error over the grid"] = _largest_error(along, across, entropy, theory)
            found.append(
                self.verdict(
                    table, form, "symmetry", theory, self.margin, estimate(along, across, entropy), source, details
                )
            )
        return found

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """What the entropy is along the symmetry orbits once the relation is taken off: one curve if it holds."""
        protocol = _protocol(table)
        if table.missing(*RELATIONS[protocol].knobs, "entropy") or not table.used.any():
            return ()
        along, across, entropy = _coordinates(table, "entropy")
        return (_collapse(protocol, along, across, entropy),)

    def notes(self, table: Table) -> list[str]:
        """Give the separate slopes with their two references: they tell a gas from a path entropy."""
        notes = self._largest_error(table)
        if _protocol(table) == "fixed-lr":
            notes += _slopes(table)
        if "path_entropy" in table.data and table.used.any():
            share = float(table.values("path_entropy").mean())
            if share > 0:
                notes.append(
                    f"{share:.0%} of the entropies are path entropies (the nearest neighbour of a snapshot is its "
                    "neighbour in time): no verdict on S itself can stand on them; V3 can"
                )
        return notes

    def _largest_error(self, table: Table) -> list[str]:
        """Say how far off the relation is at worst, as the paper does; it has no interval, so it is not judged."""
        protocol = _protocol(table)
        along, across, entropy = np.empty(0), np.empty(0), np.empty(0)
        if not table.missing(*RELATIONS[protocol].knobs, "entropy") and table.used.sum() >= FEWEST_RUNS:
            along, across, entropy = _coordinates(table, "entropy")
        # Without a second value to compare with there is no slope to be off.
        if not len(entropy) or np.linalg.matrix_rank(np.c_[np.ones_like(along), along, across]) < 3:
            return []
        worst = _largest_error(along, across, entropy, maxwell_ratio(protocol))
        return [f"largest relative error of the Maxwell relation over the grid, by the quadratic fit: {worst:.1%}"]


def maxwell_ratio(protocol: str = "fixed-lr") -> float:
    """Slope in the protocol's unit, from the derivation.

    >>> maxwell_ratio(), maxwell_ratio("fixed-elr"), maxwell_ratio("fixed-sphere")
    (1.0, -1.0, 1.0)
    """
    right = derive("maxwell", PROTOCOLS[protocol]).claim.equation.rhs
    return float(sp.simplify(right / R)) / RELATIONS[protocol].share


def _protocol(table: Table) -> str:
    return str(table.data.attrs.get("protocol", "fixed-lr"))


def _collapse(protocol: str, along: FloatArray, across: FloatArray, entropy: FloatArray) -> Plot:
    """Entropy less what the relation says, for runs with low, middle and high values of what scales the weights."""
    unit, theory = RELATIONS[protocol].unit, maxwell_ratio(protocol)
    rest = entropy - theory * across
    rest = rest - rest.mean()
    scale = {"fixed-lr": "lr/wd", "fixed-elr": "weight decay", "fixed-sphere": "radius"}[protocol]
    low, high = np.quantile(across, [1 / 3, 2 / 3])
    parts = {"low": across < low, "middling": (across >= low) & (across <= high), "high": across > high}
    # The scatter about one curve, whatever its shape, by the spline that the first form fits.
    basis = spline_basis(along)
    residual = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
    taken = {"fixed-lr": "½ log(lr/wd)", "fixed-elr": "(−log wd)", "fixed-sphere": "log r"}[protocol]
    return Plot(
        "collapse",
        "Do all runs fall on one curve?",
        f"With what the relation says taken off, the entropy spans {np.ptp(rest):.2f} {unit} over the grid and "
        f"scatters by {residual.std():.2g} {unit} about one curve.",
        f"If the network is scale-invariant, what is left of S depends on "
        f"{'lr × wd' if protocol == 'fixed-lr' else 'the effective learning rate'} alone, and runs with very different "
        f"{scale} lie on one curve. Scatter off it is a broken symmetry, or runs that are not stationary. The shape of "
        "the curve is the physics, and is not tested.",
        "learning rate × weight decay, per step" if protocol == "fixed-lr" else "effective learning rate",
        f"S/({unit}) − {taken}, mean off" if " " in unit else f"S/{unit} − {taken}, mean off",
        tuple(Series(f"{name} {scale}", np.exp(along[one]), rest[one]) for name, one in parts.items() if one.any()),
    )


def _slopes(table: Table) -> list[str]:
    """Both slopes at fixed LR, which tell a gas from a path entropy where their difference cannot."""
    notes = []
    for name, words in (("entropy_sphere", "all neighbours"), ("entropy_sphere_theiler", "Theiler window")):
        if table.missing("lr", "weight_decay", "log_radius", name) or not table.used.any():
            continue
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        entropy = table.values(name) / ((table.dimension - 1) / 2) + 2 * table.values("log_radius")
        design = np.c_[np.ones_like(rate), rate, decay]
        by_rate, by_decay = (fit(design, entropy, weights) for weights in ([0, 1, 0], [0, 0, 1]))
        estimated = "path_entropy" in table.data or "entropy_sphere_theiler" in table.data
        notes.append(
            f"slopes of S/R{', ' + words if estimated else ''}: {by_rate} in log lr and {by_decay} in log weight "
            f"decay; low-temperature gas {GAS_SLOPES[0]:g} and {GAS_SLOPES[1]:g}, path entropy {PATH_SLOPES[0]:g} and "
            f"{PATH_SLOPES[1]:g}"
        )
    return notes


def _coordinates(table: Table, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What is held, what is changed, both logarithms, and a variable in the protocol's unit."""
    protocol = _protocol(table)
    values = table.values(name) / (RELATIONS[protocol].share * (table.dimension - 1) / 2)
    if protocol == "fixed-lr":
        rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
        # Where half the difference of both logs grows by 1, S gains the difference of its slopes.
        return rate + decay, (rate - decay) / 2, values
    rate = np.log(np.asarray(effective_lr(table.data))[table.used])
    return rate, np.log(table.values("weight_decay" if protocol == "fixed-elr" else "radius")), values


def _by_spline(along: FloatArray, across: FloatArray, entropy: FloatArray) -> Estimate:
    """``S = s(along) + c across`` with s free."""
    basis = spline_basis(along)
    return fit(np.c_[basis, across], entropy, np.r_[np.zeros(basis.shape[1]), 1.0])


def _by_orbits(along: FloatArray, across: FloatArray, entropy: FloatArray) -> Estimate:
    """Differences along symmetry orbits."""
    return within_orbits(along, across, entropy)


def _by_quadratic(along: FloatArray, across: FloatArray, entropy: FloatArray) -> Estimate:
    """Slope of a full quadratic at the centre of the grid, the same one as in log lr and log weight decay."""
    return fit(quadratic(along, across), entropy, [0, 0, 1, 0, 0, 0])


def _largest_error(along: FloatArray, across: FloatArray, entropy: FloatArray, theory: float) -> float:
    """Largest relative error of the relation over the grid, by the slopes of the quadratic (the paper's figure)."""
    coefficients, *_ = np.linalg.lstsq(quadratic(along, across), entropy, rcond=None)
    u, v = along - along.mean(), across - across.mean()
    slope = coefficients[2] + coefficients[4] * u + 2 * coefficients[5] * v
    return float(np.abs(slope / theory - 1).max())
