"""Wrong versions of a step: what a slip of the pen would make of it, and whether the checks notice."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence

import sympy as sp

from thermo_theory.engine.checking import DerivationError, Worlds, check
from thermo_theory.engine.derivation import Derivation, Step
from thermo_theory.engine.differentials import Partial
from thermo_theory.engine.dimensions import InhomogeneousError, Units, check_step, units_of
from thermo_theory.engine.needs import premises
from thermo_theory.engine.roots import ancestors
from thermo_theory.symbols import d
from thermo_theory.symbols.vectors import (
    Apply,
    Div,
    Dot,
    Expectation,
    Generator,
    Mat,
    Quad,
    SkewProduct,
    SymProduct,
    Tr,
    Vec,
)

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


def same(mutant: sp.Basic, original: sp.Basic, given: Sequence[sp.Eq] = ()) -> bool:
    """Whether a mutant happens to say the same, given what else the derivation starts from.

    The same are: two equations whose differences of sides have a ratio that is not zero (0 = x and 0 = 2 x); a changed
    term that the derivation's definitions and assumptions say is zero; the same statement for another value of a
    symbol (f(1) = g(x) for all x, and f(1) = g(x^2)); and what is held constant if its square is.
    """
    if type(mutant) is not type(original):
        return False
    if isinstance(original, sp.Eq) and _another_value(mutant, original):
        return True
    try:
        first, second = (_difference(statement, given) for statement in (mutant, original))
        if sp.expand(first - second) == 0 or sp.simplify(first - second) == 0:
            return True
        if second == 0 or not isinstance(original, sp.Eq):
            return False
        ratio = sp.simplify(_plain(first) / _plain(second))
    except (ValueError, TypeError, NotImplementedError, AttributeError):
        return False
    return bool(ratio.is_number and ratio.is_finite and ratio != 0) or bool(ratio.is_positive)


def _difference(statement: sp.Basic, given: Sequence[sp.Eq]) -> sp.Expr:
    """Left-hand side less right-hand side, in what the derivation starts from."""
    left, right = statement.lhs, statement.rhs
    for known in given:
        left, right = left.subs(known.lhs, known.rhs), right.subs(known.lhs, known.rhs)
    return sp.expand((left - right).replace(lambda part: isinstance(part, Partial), _held))


def _held(partial: sp.Expr) -> sp.Expr:
    """At constant V^2 is at constant V."""
    what, variable, constant = partial.args
    return Partial(what, variable, constant.base if constant.is_Pow else constant)


def _plain(expression: sp.Expr) -> sp.Expr:
    """Stand-ins for vectors, means and functions, so that sympy can divide."""
    parts = expression.atoms(Dot, Tr, Quad, Apply, Div, SymProduct, SkewProduct, Expectation, Generator, Vec, Mat)
    parts |= expression.atoms(sp.core.function.AppliedUndef, sp.Derivative, sp.Sum, sp.Integral, sp.Limit)
    outer = [part for part in parts if not any(part is not other and other.has(part) for other in parts)]
    return expression.subs({part: sp.Symbol(f"[{part}]", real=True) for part in outer})


def _another_value(mutant: sp.Eq, original: sp.Eq) -> bool:
    """Whether an equation between functions says the same for another value of a symbol that stands on the right alone.

    The left side must be made of functions with their arguments: what a bare symbol means may depend on other symbols.
    """
    left = original.lhs
    functions = left.atoms(sp.core.function.AppliedUndef)
    try:
        if mutant.lhs != left or not functions or left.subs(dict.fromkeys(functions, 1)).free_symbols:
            return False
    except ValueError:  # a function of an inner product is a vector
        return False
    free = [symbol for symbol in original.rhs.free_symbols - left.free_symbols if not isinstance(symbol, Vec | Mat)]
    return any(original.rhs.subs(symbol, symbol**2) == mutant.rhs for symbol in free)


def starts(derivation: Derivation, number: int) -> list[sp.Eq]:
    """What step `number` starts from: the definitions, assumptions and other derivations' claims that it was made from.

    So is whatever else an assumption of its own says: it holds where the step is checked.
    Names of single symbols are left out unless they are zero; what says that something is zero comes first.
    """
    ready = [
        step.equation
        for step in (*ancestors(derivation.steps[number]), *_said(derivation, derivation.steps[number]))
        if step is not derivation.steps[number]
        and step.operation in {"definition", "assumption", "claim"}
        and isinstance(step.equation, sp.Eq)
    ]
    zero = [equation for equation in ready if equation.rhs == 0]
    names = [equation for equation in ready if equation.rhs != 0 and not equation.lhs.is_Symbol]
    return [*zero, *names, *zero]


def _said(derivation: Derivation, step: Step) -> list[Step]:
    """Everything that the derivation has under the assumptions of a step."""
    known = premises(derivation)
    return [one for name in step.rests_on for one in known.get(name, ())]


class Court:
    """What `verify` tries the steps of one derivation by: the worlds of each, and what is known of the units there."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation, self.worlds = derivation, Worlds(derivation.worlds)
        self.units = [units_of(derivation)]
        for step in derivation.steps:
            self.units.append(self._copied(len(self.units) - 1))
            check_step(step.equation, self.units[-1], step.operation)

    def _copied(self, number: int) -> Units:
        known = copy.copy(self.units[number])
        known.solved, known.chosen = dict(known.solved), set(known.chosen)
        return known

    def caught(self, number: int, wrong: sp.Basic) -> str:
        """Whether the derivation with one step replaced is refuted, and by what ("units" or "worlds")."""
        step = dataclasses.replace(self.derivation.steps[number], equation=wrong)
        try:
            check_step(wrong, self._copied(number), step.operation)
        except InhomogeneousError:
            return "units"
        try:
            check(step, self.worlds.granting(step.rests_on))
        except DerivationError:
            return "worlds"
        return ""
