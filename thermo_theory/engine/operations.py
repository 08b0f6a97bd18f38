"""The operations that make one step of a derivation from others.

An operation takes equations (and symbols or numbers as options) and computes a new equation; it never takes an equation
that was written by hand. It is a method of the first equation's `Step`, which records it: ``step.solve_for(x)``
is ``chain.do(solve_for, step, x)``.

>>> import sympy as sp
>>> x, y, z = sp.symbols("x y z", positive=True)
>>> substitute(sp.Eq(z, x**2), sp.Eq(x, 3 * y))
Eq(z, 9*y**2)
>>> solve_for(sp.Eq(z, x**2), x)
Eq(x, sqrt(z))
>>> f = sp.Function("f")
>>> integrate(sp.Eq(f(x), x**2), x, 0, y)
Eq(Integral(f(x), (x, 0, y)), y**3/3)
>>> limit_of(sp.Eq(f(x), sp.sin(x) / x), x, 0)
Eq(Limit(f(x), x, 0, dir='+'), 1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import sympy as sp
from sympy.core.relational import Relational

from thermo_theory.symbols import d, eq
from thermo_theory.symbols.vectors import Apply, Dot, Expectation, Generator, Mat, Quad, Sandwich, Tr, Vec

__all__ = [
    "OPERATIONS",
    "OperationError",
    "Unchanged",
    "add",
    "at_once",
    "choose",
    "differentiate",
    "eliminate",
    "equate",
    "evaluate_integrals",
    "expand",
    "expectation",
    "factor",
    "flip",
    "integrate",
    "ito_of_direction",
    "ito_of_norm",
    "ito_square_of_direction",
    "limit_of",
    "operation",
    "project",
    "put_at_once",
    "rescale",
    "scale",
    "series",
    "simplify",
    "solve_for",
    "solve_ode",
    "substitute",
]

P = ParamSpec("P")

#: Every operation by name.
OPERATIONS: dict[str, Callable[..., sp.Basic]] = {}

#: More directions than one: with d - 1 = m > 0, sympy can take roots.
_DIRECTIONS = sp.Dummy("m", positive=True)


#: What sympy and the operations raise at something of another form.
_REFUSED = (ArithmeticError, AttributeError, LookupError, NotImplementedError, StopIteration, TypeError, ValueError)


class OperationError(ValueError):
    """An operation cannot be applied to these equations."""


class Unchanged(OperationError):
    """An operation changes nothing: what it returns is one of the equations that it was given."""


def operation(done: str, *, bounds: bool = False) -> Callable[[Callable[P, sp.Basic]], Callable[P, sp.Basic]]:
    """Register an operation and what it says it did ("solve for {0}": options by position after the equations).

    Whatever keeps the operation from its work is an `OperationError`: also a division by zero, an inequality where
    what is done holds for equations alone, and a result that is one of the equations (`Unchanged`).

    Parameters
    ----------
    done : str
        What was done, for the printed derivation.
    bounds : bool
        Whether the first argument may be an inequality.

    Returns
    -------
    callable
        The decorator.
    """

    def register(function: Callable[P, sp.Basic]) -> Callable[P, sp.Basic]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> sp.Basic:
            for part in (*args, *kwargs.values()):
                if isinstance(part, Relational) and not isinstance(part, sp.Eq) and not (bounds and part is args[0]):
                    raise OperationError(f"{function.__name__} is for equations; {part} is an inequality")
            try:
                result = function(*args, **kwargs)
            except OperationError:
                raise
            except _REFUSED as error:
                raise OperationError(f"{function.__name__} does not apply: {error}") from error
            if not isinstance(result, Relational) or result.has(sp.nan, sp.zoo):
                raise OperationError(f"{function.__name__} returned {result}, which is not an equation")
            if result in (*args, *kwargs.values()):
                raise Unchanged(f"{function.__name__} changes nothing in {result}; leave the step out")
            return result

        checked.done = done  # type: ignore[attr-defined]
        OPERATIONS[function.__name__] = checked
        return checked

    return register


def _both(equation: sp.Basic, change: Callable[[sp.Expr], sp.Expr]) -> sp.Basic:
    """Apply a change to both sides, keeping the relation and not letting sympy decide whether it is true."""
    return type(equation)(change(equation.lhs), change(equation.rhs), evaluate=False)


@operation("substitute", bounds=True)
def substitute(equation: sp.Eq, *using: sp.Eq) -> sp.Eq:
    """Put the right-hand side of each of `using` wherever its left-hand side stands."""
    changed = equation
    for known in using:
        new = type(changed)(*(side.subs(known.lhs, known.rhs) for side in changed.args), evaluate=False)
        if new == changed:
            raise OperationError(f"{known.lhs} does not occur in {changed}")
        changed = new
    return _both(changed, lambda side: side.doit() if side.has(sp.Derivative, sp.Subs) and not _open(side) else side)


def _open(side: sp.Expr) -> bool:
    """Whether a side has integrals or limits that are to stay as they are."""
    return bool(side.has(sp.Integral, sp.Limit))


#: Where a variable is bound: what depends on it is no number.
_WITH_BOUND = (sp.Derivative, sp.Integral, sp.Limit, sp.Subs, sp.Sum)


def _opaque(equation: sp.Eq, unknown: sp.Expr) -> dict[sp.Expr, sp.Dummy]:
    """Stand-ins for what sympy should treat as one number: the unknown, inner products, means, undefined functions."""
    parts = equation.atoms(Dot, Tr, Quad, Expectation, Generator, sp.core.function.AppliedUndef, *_WITH_BOUND)
    return {part: sp.Dummy("c", positive=_positive(part) or None, real=True) for part in {*parts, unknown}}


def _positive(part: sp.Expr) -> bool:
    """Whether something is known to be positive: squares, and means of what is positive, are."""
    if isinstance(part, Expectation):
        return all(map(_positive, sp.Mul.make_args(part.args[0])))
    return bool(part.is_positive or (isinstance(part, Dot) and part.args[0] == part.args[1]))


@operation("solve for {0}")
def solve_for(equation: sp.Eq, unknown: sp.Expr) -> sp.Eq:
    """Solve an equation for what stands in it.

    Raises
    ------
    OperationError
        If the solution is not the only one: several roots, or a factor that may be zero and would leave it open.
    """
    stand_ins = _opaque(equation, unknown)
    target = stand_ins[unknown]
    bare = (equation.lhs - equation.rhs).subs(stand_ins)
    if unknown != d:
        bare = bare.subs(d, _DIRECTIONS + 1)
    solutions = sp.solve(bare, target)
    if len(solutions) != 1:
        raise OperationError(f"{equation} has {len(solutions)} solutions for {unknown}")
    factors = sp.Mul.make_args(sp.factor_terms(sp.numer(sp.together(bare))))
    open_ = [factor for factor in factors if not factor.has(target) and factor.is_zero is not False]
    if open_:
        raise OperationError(f"{equation} leaves {unknown} open where {open_[0]} is zero")
    solution = sp.simplify(solutions[0].subs(_DIRECTIONS, d - 1))
    return eq(unknown, solution.subs({dummy: part for part, dummy in stand_ins.items()}))


@operation("eliminate the other moments")
def eliminate(*equations: sp.Eq, unknown: sp.Expr, others: tuple[sp.Expr, ...]) -> sp.Eq:
    """Solve linear equations for one unknown after the others have been eliminated."""
    names = {part: sp.Dummy() for part in (unknown, *others)}
    bare = [sp.expand(equation.lhs - equation.rhs).subs(names) for equation in equations]
    solutions = sp.solve(bare, list(names.values()), dict=True)
    if len(solutions) != 1 or solutions[0].get(names[unknown], names[unknown]).free_symbols & {*names.values()}:
        raise OperationError(f"{len(solutions)} solutions for {unknown}, or one that is left in terms of {others}")
    return eq(unknown, sp.factor(solutions[0][names[unknown]]))


@operation("differentiate with respect to {0}")
def differentiate(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Differentiate both sides; the left-hand side, which must be written as a function, stays a derivative."""
    _for_any_value(equation, {variable: variable})
    return eq(sp.Derivative(equation.lhs, variable), sp.diff(equation.rhs, variable))


def _for_any_value(equation: sp.Eq, changes: Mapping[sp.Basic, sp.Expr], law: bool = False) -> None:
    """Refuse an equation that need not hold at other values: it must be of functions, and what is positive stay so.

    A law between quantities (``p V = R T``) holds for all of their values; one of them alone cannot change.

    Raises
    ------
    OperationError
        If its left-hand side is a number and no function of the symbols.
    """
    functions = equation.lhs.atoms(sp.core.function.AppliedUndef)
    bound = ({*changes} & equation.free_symbols) - {symbol for part in functions for symbol in part.free_symbols}
    if law and not functions and not equation.lhs.free_symbols.isdisjoint(changes):
        bound = set()
    if bound or any(old.is_positive and not new.is_positive for old, new in changes.items()):
        raise OperationError(f"the left-hand side of {equation} is not a function for all the values in {changes}")


@operation("multiply by {0}")
def scale(equation: sp.Eq, factor: sp.Expr) -> sp.Eq:
    """Multiply both sides by a factor."""
    return _both(equation, lambda side: sp.expand(side * factor))


@operation("add")
def add(first: sp.Eq, *others: sp.Eq, weights: tuple[Any, ...] = ()) -> sp.Eq:
    """Add equations side by side; `weights` (default 1) are the factors of the second, third, ..."""
    left, right = first.lhs, first.rhs
    for other, weight in zip(others, weights or (1,) * len(others), strict=True):
        left, right = left + weight * other.lhs, right + weight * other.rhs
    return eq(left, sp.simplify(right))


@operation("equate")
def equate(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Set equal the right-hand sides of two equations with one left-hand side."""
    if first.lhs != second.lhs:
        raise OperationError(f"{first.lhs} is not {second.lhs}")
    return eq(first.rhs, second.rhs)


@operation("turn round")
def flip(equation: sp.Eq) -> sp.Eq:
    """Exchange the sides."""
    return eq(equation.rhs, equation.lhs)


def put_at_once(side: sp.Expr, changes: Mapping[sp.Basic, sp.Expr]) -> sp.Expr:
    """Replace symbols at the same time, by way of symbols of the same kind that stand nowhere else."""
    between = {old: type(old)(f"_{old.name}") for old in changes}
    for old, stand_in in between.items():
        side = side.subs(old, stand_in)
    for old, stand_in in between.items():
        side = side.subs(stand_in, changes[old])
    return side


@operation("substitute simultaneously {0}")
def at_once(equation: sp.Eq, changes: Mapping[sp.Basic, sp.Expr]) -> sp.Eq:
    """Replace symbols by expressions at the same time, in an equation that holds for any values of them."""
    _for_any_value(equation, changes, law=True)
    return eq(*(put_at_once(side, changes) for side in equation.args))


@operation("rescale: {0}")
def rescale(equation: sp.Eq, changes: Mapping[sp.Basic, sp.Expr]) -> sp.Eq:
    """Write the equation for rescaled symbols: it holds for any values of them."""
    _for_any_value(equation, changes, law=True)
    new = eq(*(put_at_once(side, changes) for side in equation.args))
    if new == equation:
        raise OperationError(f"{equation} does not change under {changes}")
    return new


@operation("choose {0} = {1}")
def choose(equation: sp.Eq, symbol: sp.Symbol, value: sp.Expr) -> sp.Eq:
    """Give a symbol a value, in an equation that holds for any values of it."""
    _for_any_value(equation, {symbol: sp.sympify(value)})
    return eq(*(sp.powdenest(side.subs(symbol, value)) for side in equation.args))


@operation("simplify", bounds=True)
def simplify(equation: sp.Basic) -> sp.Basic:
    """Simplify both sides."""
    return _both(equation, sp.simplify)


@operation("expand", bounds=True)
def expand(equation: sp.Basic) -> sp.Basic:
    """Multiply out both sides."""
    return _both(equation, sp.expand)


@operation("factor", bounds=True)
def factor(equation: sp.Basic) -> sp.Basic:
    """Factor both sides."""
    return _both(equation, sp.factor)


@operation("do the integrals")
def evaluate_integrals(equation: sp.Eq) -> sp.Eq:
    """Evaluate the integrals, sums and derivatives that stand in the right-hand side."""
    done = equation.rhs.doit()
    if done == equation.rhs or done.has(sp.Integral, sp.Piecewise):
        raise OperationError(f"{equation.rhs} cannot be integrated, or not without conditions")
    return eq(equation.lhs, done)


@operation("integrate over {0} from {1} to {2}")
def integrate(equation: sp.Eq, variable: sp.Symbol, low: sp.Expr, high: sp.Expr) -> sp.Eq:
    """Integrate both sides; the left-hand side, which must be written as a function, stays an integral."""
    _for_any_value(equation, {variable: variable})
    right = sp.integrate(equation.rhs, (variable, low, high))
    if right.has(sp.Integral, sp.Piecewise):
        raise OperationError(f"{equation.rhs} cannot be integrated, or not without conditions")
    return eq(sp.Integral(equation.lhs, (variable, low, high)), right)


@operation("expand in {0} about {1}, to order {2}")
def series(equation: sp.Eq, variable: sp.Symbol, point: sp.Expr, order: int) -> sp.Eq:
    """Expand the right-hand side in a power series with its order term, the same from both sides of a point inside."""
    right = sp.series(equation.rhs, variable, point, order)
    edge = variable.is_positive and point == 0
    before = right if edge else sp.series(equation.rhs, variable, point, order, dir="-")
    if sp.expand(right.removeO() - before.removeO()) != 0:
        raise OperationError(f"{equation.rhs} has a series on either side of {point}")
    return eq(equation.lhs, right)


@operation("let {0} go to {1}")
def limit_of(equation: sp.Eq, variable: sp.Symbol, point: sp.Expr, direction: str = "+") -> sp.Eq:
    """Take the limit of both sides; the left-hand side, which must be written as a function, stays a limit."""
    _for_any_value(equation, {variable: variable})
    right = sp.limit(equation.rhs, variable, point, direction)
    if right.has(sp.Limit, sp.AccumBounds):
        raise OperationError(f"{equation.rhs} has no limit that is known")
    return eq(sp.Limit(equation.lhs, variable, point, direction), right)


@operation("solve the differential equation for {0}")
def solve_ode(equation: sp.Eq, function: sp.Expr, start: sp.Eq) -> sp.Eq:
    """Solve an ordinary differential equation for a function, with an initial value."""
    solution = sp.dsolve(equation, function, ics={start.lhs: start.rhs})
    if isinstance(solution, list) or solution.lhs != function:
        raise OperationError(f"{equation} has no one solution {function}")
    return eq(solution.lhs, sp.simplify(solution.rhs))


@operation("take the mean over the stationary distribution")
def expectation(equation: sp.Eq) -> sp.Eq:
    """Average both sides; constants come out."""
    return _both(equation, Expectation)


@operation("take the inner product with {0}")
def project(equation: sp.Eq, vector: sp.Expr) -> sp.Eq:
    """Inner product of both sides of a vector equation with a vector."""
    return _both(equation, lambda side: Dot(vector, side))


@operation("apply Ito's lemma to {0}")
def ito_of_norm(drift: sp.Eq, covariance: sp.Eq, function: sp.Expr, squared_norm: sp.Symbol, weights: Vec) -> sp.Eq:
    """Ito's lemma for a function f of s = w.w: ``E[df]/dt = f'(s) (2 w.b + tr D) + 2 f''(s) w^T D w``.

    `drift` gives b and `covariance` D, both per unit of time, on their right-hand sides; `function` is written in the
    symbol `squared_norm`, which stands for w.w.

    Raises
    ------
    OperationError
        If something else that varies with the weights stands in it.
    """
    if any(Expectation(other) != other for other in function.free_symbols):
        raise OperationError(f"{function} is not a function of {squared_norm} alone")
    first, second = sp.diff(function, squared_norm), sp.diff(function, squared_norm, 2)
    norm = Dot(weights, weights)
    rate = first * (2 * Dot(weights, drift.rhs) + Tr(covariance.rhs)) + 2 * second * Quad(covariance.rhs, weights)
    return eq(Generator(function.subs(squared_norm, norm)), sp.expand(rate.subs(squared_norm, norm)))


@operation("apply Ito's lemma to the direction")
def ito_of_direction(drift: sp.Eq, covariance: sp.Eq, rate: Vec, weights: Vec, tangent: Mat, norm: sp.Symbol) -> sp.Eq:
    """Ito's lemma for ``u = w/|w|`` along the sphere: ``b_u = P b/r - P D w/r^3`` with the projector P."""
    bent = Apply(tangent, Apply(covariance.rhs, weights))
    return eq(rate, Apply(tangent, drift.rhs) / norm - bent / norm**3)


@operation("square the change of the direction")
def ito_square_of_direction(covariance: sp.Eq, rate: Mat, tangent: Mat, norm: sp.Symbol) -> sp.Eq:
    """Covariance per unit of time of ``u = w/|w|``: ``D_u = P D P/r^2``."""
    return eq(rate, Sandwich(tangent, covariance.rhs) / norm**2)
