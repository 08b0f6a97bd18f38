"""Wrong versions of a step: what a slip of the pen would make of it, and whether the checks notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import sympy as sp

from thermo_theory.derivation import WORLDS, Derivation, DerivationError, _check
from thermo_theory.symbols import d
from thermo_theory.vectors import Mat, Vec
from thermo_theory.worlds.evaluate import World

_TURNED = {sp.Le: sp.Ge, sp.Ge: sp.Le, sp.Lt: sp.Gt, sp.Gt: sp.Lt}


def mutants(equation: sp.Basic) -> Iterator[tuple[str, sp.Basic]]:
    """A sign, a factor 2, an exponent, d for d - 1, in the right-hand side; an inequality is turned round."""
    if not isinstance(equation, sp.core.relational.Relational):
        return
    relation, left, right = type(equation), equation.lhs, equation.rhs

    def made(new_right: sp.Expr) -> sp.Basic:
        return relation(left, new_right, evaluate=False)

    if relation in _TURNED:
        yield "sign", _TURNED[relation](left, right, evaluate=False)
    elif right == 0:
        yield "not zero", made(sp.S.One)
    else:
        yield "factor 2", made(2 * right)
        yield "sign", made(-right)
    if d in right.free_symbols:
        yield "d for d - 1", made(right.subs(d, d + 1))
    for symbol in sorted(right.free_symbols, key=str):
        if not isinstance(symbol, Vec | Mat):
            yield f"{symbol} squared", made(right.subs(symbol, symbol**2))
    terms = [term for term in sp.Add.make_args(right) if not isinstance(term, sp.Order)]
    for number, term in enumerate(terms, start=1):
        if len(terms) > 1:
            yield f"sign of term {number}", made(right - 2 * term)


def same(one: sp.Basic, other: sp.Basic) -> bool:
    """Whether a mutant happens to say the same."""
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    difference = (one.lhs - one.rhs) - (other.lhs - other.rhs)
    try:
        return bool(sp.simplify(difference) == 0)
    except (ValueError, TypeError, NotImplementedError):
        return False


def worlds_of(derivation: Derivation) -> list[World]:
    """The worlds `verify` checks the steps in. They remember what they have computed, so use them for all mutants."""
    return [maker(number, derivation.assumptions) for maker in derivation.worlds for number in range(WORLDS)]


def caught(derivation: Derivation, number: int, wrong: sp.Basic, worlds: Sequence[World] | None = None) -> bool:
    """Whether `verify` refutes the derivation with one step replaced (the other steps are not checked again)."""
    step = dataclasses.replace(derivation.steps[number], equation=wrong)
    try:
        _check(step, worlds_of(derivation) if worlds is None else worlds)
    except DerivationError:
        return True
    return False
