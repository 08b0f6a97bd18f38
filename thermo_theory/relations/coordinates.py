"""The coordinates of a gas by its optimiser: effective learning rate, p, V and R, read off what is derived of it.

>>> from thermo_theory import FixedLR
>>> round(effective_rate(FixedLR.with_optimizer("momentum"))(eta=0.1, r=2.0, beta=0.9), 12)
0.25
>>> pressure, volume, gas_constant = state(FixedLR.with_optimizer("adamw"))
>>> volume(r=3.0), gas_constant(d=11)
(3.0, 10.0)
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from thermo_theory.engine.derivation import Derivation, derive
from thermo_theory.engine.formula import Formula
from thermo_theory.protocols import Protocol
from thermo_theory.symbols import R, T, V, eq, eta_eff, p, r, sigma
from thermo_theory.symbols.vectors import Expectation

__all__ = ["effective_rate", "said", "state"]


def said(derivation: Derivation) -> dict[sp.Basic, sp.Expr]:
    """What a derivation defines and assumes, by its left-hand sides.

    Parameters
    ----------
    derivation : Derivation

    Returns
    -------
    dict
        Right-hand sides of its steps that are no conclusion.
    """
    given = [step.equation for step in derivation.steps if step.operation in ("definition", "assumption")]
    return {equation.lhs: equation.rhs for equation in given}


@cache
def effective_rate(of: Protocol, measured_unit: bool = False) -> Formula:
    """Total displacement of the direction by a unit gradient at unit norm, from the derived temperature.

    Parameters
    ----------
    of : Protocol
        Fixed LR, with any optimiser.
    measured_unit : bool
        Keep the normaliser of Adam's gradients (`adam_unit`) as a symbol, to be set as measured; else it is that of
        isotropic noise.

    Returns
    -------
    Formula
        Of lr, the norm r, and the optimiser's coefficients.
    """
    # T is eta_eff sigma^2/2: what stands there for eta_eff once the noise is known, at any norm.
    found = [step.equation.rhs for step in derive("temperature", of).steps if getattr(step.equation, "lhs", None) == T]
    found = [heat for heat in found if heat.has(r) and heat.has(sigma) and not heat.has(Expectation)]
    return Formula(eq(eta_eff, sp.simplify(2 * found[0 if measured_unit else -1] / sigma**2)))


@cache
def state(of: Protocol) -> tuple[Formula, Formula, Formula]:
    """Return p, V and R, by the definitions with which the equation of state begins.

    Parameters
    ----------
    of : Protocol
        Any, with any optimiser.

    Returns
    -------
    pressure, volume, gas_constant : Formula
    """
    rules = said(of.equation_of_state)
    pressure, volume, gas_constant = (Formula(eq(one, rules[one].subs(Expectation(r**2), r**2))) for one in (p, V, R))
    return pressure, volume, gas_constant
