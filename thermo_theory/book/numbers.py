"""A number for every claim: called with example values, or both of its sides in an example it is checked in."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory.engine.derivation import Derivation
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, NotInterpreted

__all__ = ["number"]

#: What numbers are put into claims that can be called, by argument.
_EXAMPLES: dict[str, float] = {
    "B": 32,
    "C_V": 60.0,
    "N": 4,
    "R": 50.0,
    "R1": 20.0,
    "R2": 30.0,
    "Sigma1_ij": 3.0,
    "Sigma_ii": 3.0,
    "T": 0.002,
    "T1": 0.004,
    "T2": 0.002,
    "V": 1.5,
    "V0": 1.0,
    "Z": 2.5,
    "beta": 0.9,
    "beta1": 0.9,
    "coupling": 0.3,
    "d": 101,
    "eps": 0.1,
    "eta": 0.1,
    "eta0": 0.2,
    "eta1": 0.1,
    "eta2": 0.05,
    "eta_eff": 0.01,
    "gamma": 2.0,
    "h": 1.0,
    "h_i": 0.5,
    "h_j": 1.5,
    "lam": 0.001,
    "lam0": 0.001,
    "p": 0.001,
    "p0": 0.001,
    "r": 1.2,
    "r0": 3.0,
    "ramp": 0.0001,
    "sigma": 2.0,
    "sigma1": 8.0,
    "stretch": -0.2,
    "t": 1000.0,
    "tr_Sigma": 400.0,
}


def number(found: Derivation) -> str:
    """Give a number to a claim: call it, or evaluate both of its sides in an example it is checked in.

    Parameters
    ----------
    found : Derivation
        Whose claim.

    Returns
    -------
    str
        One or a few lines of Markdown.

    Raises
    ------
    ValueError
        If no example knows it.
    """
    arguments = found.claim.arguments
    if arguments and set(arguments) <= set(_EXAMPLES):
        values: dict[str, Any] = {name: _EXAMPLES[name] for name in arguments}
        try:
            result = found.claim(**values)
        except TypeError:  # functions, series and inequalities have nothing to put numbers in
            return _number_in_a_world(found)
        call = ", ".join(f"{name}={value:g}" for name, value in values.items())
        protocol = "" if found.protocol is None else f', "{found.protocol.key}"'
        shown = f'derive("{found.name}"{protocol}).claim({call})'
        return f"```python\n>>> {shown}  # to six digits\n{result:.6g}\n```"
    return _number_in_a_world(found)


def _number_in_a_world(found: Derivation) -> str:
    """Both sides of a claim in the first of its worlds that knows them; of a series near the point it is about."""
    equation = found.claim.equation
    left, right = (side.removeO() if isinstance(side, sp.Expr) else side for side in equation.args)
    for maker in found.worlds:
        world, where = maker(0, found.assumptions), ""
        for order in equation.atoms(sp.Order):
            variable, value = order.variables[0], mp.mpf(1000 if order.point[0] is sp.oo else 0.001)
            world, where = world.at({variable: value}), f" at {variable} = {mp.nstr(value, 4)}, the order term left out"
        try:
            with mp.workdps(DIGITS):
                sides = [_shown(evaluate(side, world)) for side in (left, right)]
        except (NotInterpreted, ArithmeticError, ValueError, TypeError):
            continue
        return f"In one of the examples below{where}: left side {sides[0]}, right side {sides[1]}."
    raise ValueError(f"no example gives the claim of {found.title} a number")


def _shown(value: Any) -> str:
    """A number to six digits; of a vector or matrix its size."""
    if isinstance(value, mp.matrix):
        return f"of size {mp.nstr(mp.norm(value, 2), 6)}"
    if isinstance(value, mp.mpc):
        value = value.real
    return str(mp.nstr(value, 6))
