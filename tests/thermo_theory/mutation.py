"""Wrong versions of a step: what a slip of the pen would make of it."""

import dataclasses
from collections.abc import Iterator

import sympy as sp

from thermo_theory.derivation import Derivation, DerivationError
from thermo_theory.symbols import d
from thermo_theory.vectors import Mat, Vec


def mutants(equation: sp.Basic) -> Iterator[tuple[str, sp.Basic]]:
    """A sign, a factor 2, an exponent, d for d - 1, on either side."""
    if not isinstance(equation, sp.core.relational.Relational):
        return
    relation, left, right = type(equation), equation.lhs, equation.rhs

    def made(new_left: sp.Expr, new_right: sp.Expr) -> sp.Basic:
        return relation(new_left, new_right, evaluate=False)

    if right == 0:
        yield "not zero", made(left, sp.S.One)
    else:
        yield "factor 2", made(left, 2 * right)
        yield "sign", made(left, -right)
    if d in right.free_symbols:
        yield "d for d - 1", made(left, right.subs(d, d + 1))
    for symbol in sorted(right.free_symbols, key=str):
        if not isinstance(symbol, Vec | Mat):
            yield f"{symbol} squared", made(left, right.subs(symbol, symbol**2))
    terms = sp.Add.make_args(right)
    if len(terms) > 1:
        yield "sign of a term", made(left, right - 2 * terms[-1])


def same(one: sp.Basic, other: sp.Basic) -> bool:
    """Whether a mutant happens to say the same."""
    if one == other:
        return True
    difference = (one.lhs - one.rhs) - (other.lhs - other.rhs)
    try:
        return bool(sp.simplify(difference) == 0)
    except (ValueError, TypeError, NotImplementedError):
        return False


def caught(derivation: Derivation, number: int, wrong: sp.Basic) -> bool:
    """Whether `verify` refutes the derivation with one step replaced (the other steps are not checked again)."""
    mutated = derivation.replace(number, wrong)
    alone = dataclasses.replace(mutated, steps=(mutated.steps[number],), withdrawn=frozenset())
    object.__setattr__(alone, "assumptions", derivation.assumptions)
    try:
        alone.verify()
    except DerivationError:
        return True
    return False
