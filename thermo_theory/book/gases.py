"""The table of gases: what k, p, V, R, the adiabatic index and the adiabat are under each optimiser.

>>> row = {one.optimizer: one for one in gases()}
>>> row["AdamW"].volume, row["AdamW"].index, row["AdamW"].adiabat  # eta^3/lambda is constant
(r, 3, eta**3/lambda)
>>> row["SGD"].adiabat
eta
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from thermo_theory.book.dictionary import ShownRows
from thermo_theory.engine.derivation import Derivation, derive
from thermo_theory.protocols import OPTIMIZERS, FixedLR, Protocol
from thermo_theory.symbols import C_V, V0, R, R_k, V, degree, eta, gamma, lam, p, p0, r
from thermo_theory.symbols.vectors import Expectation

__all__ = ["GasEntry", "Gases", "gases"]


@dataclass(frozen=True)
class GasEntry:
    """The gas of an optimiser, or of a class of them.

    Attributes
    ----------
    optimizer : str
        Whose gas it is.
    degree, pressure, volume, constant, index : sympy.Expr
        Degree of a step in the gradient; pressure, volume and gas constant of ``p V = R T``; adiabatic index at low
        temperature.
    adiabat : sympy.Expr
        Constant along an adiabat at low temperature: a product of powers of learning rate and weight decay.
    derivation : str
        Where the equation of state is derived: a name that `derive` takes.
    """

    optimizer: str
    degree: sp.Expr
    pressure: sp.Expr
    volume: sp.Expr
    constant: sp.Expr
    index: sp.Expr
    adiabat: sp.Expr
    derivation: str


class Gases(ShownRows[GasEntry]):
    """The gases, as a sequence that prints as a table."""

    head = ("optimiser", "k", "p", "V", "R", "γ", "constant along an adiabat", "derived in")

    def cells(self, row: GasEntry, shown: Callable[[sp.Basic], str]) -> tuple[str, ...]:
        """Cells of a row."""
        formulas = (row.degree, row.pressure, row.volume, sp.together(row.constant), row.index, row.adiabat)
        return row.optimizer, *map(shown, formulas), row.derivation


def _said(law: Derivation, *letters: sp.Symbol) -> list[sp.Expr]:
    """What the steps of a derivation say that one of these letters is, in order."""
    return [step.equation.rhs for step in law.steps if step.equation.lhs in letters]


def _adiabat(pressure: sp.Expr, volume: sp.Expr, index: sp.Expr) -> sp.Expr:
    """The product of powers of the rates to which p V^gamma is proportional, as a power of it without fractions."""
    held = pressure / derive("adiabat").claim.equation.rhs.subs({p0: 1, V0: 1, V: volume, gamma: index})
    powers = [sp.simplify(rate * sp.diff(sp.log(held), rate)) for rate in (eta, lam)]
    scale = sp.lcm(*map(sp.denom, powers)) / sp.gcd(*map(sp.numer, powers))
    return sp.Mul(*(rate ** sp.cancel(power * scale) for rate, power in zip((eta, lam), powers, strict=True)))


def _entry(name: str, law: Derivation, radius: Derivation, order: sp.Expr) -> GasEntry:
    """Read p, V and R where they are defined, and compute the index and the adiabat from them."""
    pressure, volume, constant = (_said(law, *one)[0].subs(degree, order) for one in ((p,), (V,), (R, R_k)))
    heat = _said(derive("homogeneous-gas"), C_V)[-1]  # equipartition, at low temperature
    index = sp.apart(sp.simplify(derive("heat-capacities").claim.equation.rhs.subs({R: constant, C_V: heat}) / heat))
    norm = radius.claim.equation.rhs.subs(degree, order)
    by_rates = volume.replace(Expectation, lambda square: square).subs(r, norm)
    return GasEntry(name, order, pressure, volume, constant, index, _adiabat(pressure, by_rates, index), law.name)


def _of(protocol: Protocol) -> GasEntry | None:
    """The gas of an optimiser; None if no equation of state is derived for it."""
    rule = protocol.rule.homogeneous
    order, in_weights = rule.degrees
    name = "SGD" if protocol.optimizer == "sgd" else OPTIMIZERS[protocol.optimizer][0]
    try:
        law = protocol.equation_of_state
    except LookupError:
        if in_weights or rule.rate_powers != (1 + order, -1 - order):  # decay is not decoupled
            return None
        law = derive("homogeneous-gas")
    return _entry(name, law, derive("radius", protocol), order)


@cache
def gases() -> Gases:
    """Return the table of gases.

    Returns
    -------
    Gases
        A sequence of `GasEntry`; it prints as a table in a terminal and in a notebook, and has `to_markdown`. The last
        two rows are for any step of degree k, with decoupled and with coupled weight decay. LARS and LAMB are left out:
        their temperature is not derived.

    Examples
    --------
    >>> [one.optimizer for one in gases() if one.index == 3]
    ['AdamW', 'signSGD', 'Lion', 'normalised SGD', 'Muon']
    """
    classes = [
        _entry(f"any of degree k, {decay} decay", derive(f"{name}-gas"), derive(f"{name}-radius"), degree)
        for decay, name in (("decoupled", "homogeneous"), ("coupled", "coupled-homogeneous"))
    ]
    named = (_of(FixedLR.with_optimizer(name)) for name in ("sgd", *OPTIMIZERS))
    return Gases([*filter(None, named), *classes])
