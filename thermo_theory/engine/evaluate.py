"""Putting a world's numbers into an equation.

>>> import sympy as sp
>>> from thermo_theory.symbols import T, eta_eff, sigma
>>> world = World({eta_eff: 0.5, sigma: 2, T: lambda world: world[eta_eff] * 2})
>>> residual(sp.Eq(T, eta_eff * sigma**2 / 2), world) < 1e-30
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory.engine.limits import limit, order_above, size, slope
from thermo_theory.engine.search import Search
from thermo_theory.engine.world import DIGITS, NotInterpreted, World
from thermo_theory.symbols.vectors import (
    Apply,
    Div,
    Dot,
    Expectation,
    Functional,
    Generator,
    Inverse,
    Quad,
    Sandwich,
    SkewProduct,
    SymProduct,
    Tr,
)

__all__ = ["NotInterpreted", "Outcome", "World", "evaluate", "holds", "interpret", "residual", "slope"]

#: Sides of an equation may differ by this much, relative to the size of what is added up in them.
TOLERANCE = mp.mpf(10) ** -9

#: An order of a remainder that is measured lower than this is lower than the stated one.
LOWER = mp.mpf("-0.005")

#: Gaps of inequalities below this share of their usual terms are round-off.
ROUND_OFF = mp.mpf(10) ** -25

#: Sides smaller than this share of their terms count as zero up to round-off; its cube where no slope is taken and no
#: side is zero.
CANCELLED = mp.mpf(10) ** -6


def evaluate(expression: Any, world: World) -> Any:
    """Value of a sympy expression in a world.

    Derivatives, integrals and limits are evaluated numerically from the meaning of what stands inside.

    Parameters
    ----------
    expression : sympy.Basic
        A scalar, vector or matrix expression.
    world : World
        Where its symbols have a meaning.

    Returns
    -------
    mpmath number or matrix

    Raises
    ------
    NotInterpreted
        If a symbol or operation has no meaning in the world.
    """
    expression = sp.sympify(expression)
    if expression.is_Number or expression.is_NumberSymbol:
        return _number(expression)
    if dict.__contains__(world.meanings, expression):
        return world[expression]
    known = type(expression)
    if known not in _CHOSEN:
        _CHOSEN[known] = next((one for one in _HANDLERS if issubclass(known, one[0])), (known, _unknown))
    kind, handler = _CHOSEN[known]
    return world.remembered(expression, handler) if kind in _COSTLY else handler(expression, world)


@lru_cache(maxsize=1000)
def _number(expression: sp.Expr) -> Any:
    if expression in (sp.oo, -sp.oo):
        return mp.inf if expression is sp.oo else -mp.inf
    return mp.mpmathify(sp.N(expression, DIGITS + 5))


def _unknown(expression: Any, world: World) -> Any:
    raise NotInterpreted(f"{expression} ({type(expression).__name__}) has no meaning here")


def _add(expression: sp.Add, world: World) -> Any:
    first, *others = [evaluate(term, world) for term in expression.args]
    for other in others:
        first = first + other
    return first


def _mul(expression: sp.Mul, world: World) -> Any:
    product = mp.mpf(1)
    for factor in expression.args:
        product = product * evaluate(factor, world)
    return product


def _pow(expression: sp.Pow, world: World) -> Any:
    return mp.power(evaluate(expression.base, world), evaluate(expression.exp, world))


def _dot(expression: Dot, world: World) -> Any:
    left, right = (evaluate(argument, world) for argument in expression.args)
    return mp.fdot(list(left), list(right))


def _trace(expression: Tr, world: World) -> Any:
    matrix = evaluate(expression.args[0], world)
    return mp.fsum(matrix[i, i] for i in range(matrix.rows))


def _quadratic(expression: Quad, world: World) -> Any:
    matrix, vector = (evaluate(argument, world) for argument in expression.args)
    return (vector.T * matrix * vector)[0]


def _apply(expression: Apply, world: World) -> Any:
    matrix, vector = (evaluate(argument, world) for argument in expression.args)
    return matrix * vector


def _sandwich(expression: Sandwich, world: World) -> Any:
    projector, matrix = (evaluate(argument, world) for argument in expression.args)
    return projector * matrix * projector


def _two_sided(expression: SymProduct | SkewProduct, world: World) -> Any:
    left, right = (evaluate(argument, world) for argument in expression.args)
    product = left * right
    return product + product.T if isinstance(expression, SymProduct) else product - product.T


def _inverse(expression: Inverse, world: World) -> Any:
    return mp.inverse(evaluate(expression.args[0], world))


def _expectation(expression: Expectation, world: World) -> Any:
    if not world.ensemble:
        raise NotInterpreted("this world has no ensemble to average over")
    values = [evaluate(expression.args[0], world.at(point)) for point in world.ensemble]
    weights = [point.get("weight", 1) for point in world.ensemble]
    return mp.fdot(weights, values) / mp.fsum(weights)


def _functional(expression: Functional, world: World) -> Any:
    meaning = world.meanings.get(type(expression))
    if meaning is None or not world.ensemble:
        raise NotInterpreted(f"{type(expression).__name__} has no meaning here")
    return meaning(world, [evaluate(expression.args[0], world.at(point)) for point in world.ensemble])


def _generator(expression: Generator, world: World) -> Any:
    if world.generator is None:
        raise NotInterpreted("this world has no dynamics")
    return world.generator(lambda moved: evaluate(expression.args[0], moved), world)


def _div(expression: Div, world: World) -> Any:
    if world.divergence is None:
        raise NotInterpreted("this world has no sphere to take a divergence on")
    return world.divergence(lambda moved: evaluate(expression.args[0], moved), world)


def _derivative(expression: sp.Derivative, world: World) -> Any:
    (variable, order), *others = expression.variable_count
    inner = sp.Derivative(expression.expr, *others) if others else expression.expr
    return slope(lambda x: evaluate(inner, world.at({variable: x})), world[variable], int(order))


def _integral(expression: sp.Integral, world: World) -> Any:
    (variable, low, high), *others = expression.limits
    inner = sp.Integral(expression.function, *others) if others else expression.function
    ends = [evaluate(low, world), evaluate(high, world)]
    return mp.quad(lambda x: evaluate(inner, world.at({variable: x})), ends)


def _summed(expression: sp.Sum, world: World, value: Callable[[Any, World], Any]) -> Any:
    """Sum of something of the terms; an infinite sum ends where ten terms in a row no longer count.

    Raises
    ------
    NotInterpreted
        If an infinite sum has not converged after 5000 terms.
    """
    variable, low, high = expression.limits[0]
    first, last = int(evaluate(low, world)), evaluate(high, world)
    total, small = mp.mpf(0), 0
    for k in range(first, first + 5000 if last == mp.inf else int(last) + 1):
        term = value(expression.function, world.at({variable: k}))
        total += term
        small = small + 1 if last == mp.inf and mp.fabs(term) <= mp.eps * mp.fabs(total) else 0
        if small == 10:
            return total
    if last == mp.inf:
        raise NotInterpreted(f"{expression} has not converged after 5000 terms")
    return total


def _sum(expression: sp.Sum, world: World) -> Any:
    return _summed(expression, world, evaluate)


def _limit(expression: sp.Limit, world: World) -> Any:
    inner, variable, point, direction = expression.args
    place = evaluate(point, world)

    def towards(sign: int) -> Any:
        def at(distance: Any) -> Any:
            moved = sign / distance if mp.isinf(place) else place + sign * distance
            return evaluate(inner, world.at({variable: moved}))

        return limit(at)

    if mp.isinf(place):
        return towards(int(mp.sign(place)))
    sides = [towards(sign) for sign, name in ((1, "+"), (-1, "-")) if name in str(direction)]
    if mp.fabs(sides[0] - sides[-1]) > TOLERANCE * max(map(mp.fabs, sides)):
        raise NotInterpreted(f"no limit: {mp.nstr(sides[0], 6)} from above, {mp.nstr(sides[1], 6)} from below")
    return sides[0]


def _substitution(expression: sp.Subs, world: World) -> Any:
    values = [evaluate(point, world) for point in expression.point]
    return evaluate(expression.expr, world.at(dict(zip(expression.variables, values, strict=True))))


def _undefined(expression: Any, world: World) -> Any:
    meaning = world.meanings.get(expression.func)
    if meaning is None:
        raise NotInterpreted(f"{expression.func} has no meaning here")
    return meaning(world, *[evaluate(argument, world) for argument in expression.args])


def _function(expression: sp.Function, world: World) -> Any:
    name = type(expression).__name__
    known = getattr(mp, {"Abs": "fabs", "log": "ln"}.get(name, name), None)
    if known is None:
        raise NotInterpreted(f"the function {name} has no numeric meaning here")
    return known(*[evaluate(argument, world) for argument in expression.args])


_HANDLERS: list[tuple[type, Callable[[Any, World], Any]]] = [
    (sp.Add, _add),
    (sp.Mul, _mul),
    (sp.Pow, _pow),
    (sp.exp, lambda expression, world: mp.exp(evaluate(expression.args[0], world))),
    (Dot, _dot),
    (Tr, _trace),
    (Quad, _quadratic),
    (Apply, _apply),
    (Sandwich, _sandwich),
    (SymProduct, _two_sided),
    (SkewProduct, _two_sided),
    (Inverse, _inverse),
    (Expectation, _expectation),
    (Functional, _functional),
    (Generator, _generator),
    (Div, _div),
    (sp.Derivative, _derivative),
    (sp.Integral, _integral),
    (sp.Sum, _sum),
    (sp.Limit, _limit),
    (sp.Subs, _substitution),
    (sp.core.function.AppliedUndef, _undefined),
    (sp.Function, _function),
]

#: Of these, the one for each class of expressions that was met.
_CHOSEN: dict[type, tuple[type, Callable[[Any, World], Any]]] = {}


def interpret(kind: type, handler: Callable[[Any, World], Any], numerical: bool = False) -> None:
    """Say how a kind of expression is evaluated (`handler(expression, world)`), and whether by differences."""
    _HANDLERS.insert(0, (kind, handler))
    _NUMERICAL.extend([kind] * numerical)
    _CHOSEN.clear()


#: Kinds of expressions whose values are those of differences, which have fewer digits.
_NUMERICAL: list[type] = [Div, Generator, sp.Derivative, sp.Limit]

#: Kinds of expressions whose value is remembered.
_COSTLY = (Expectation, Generator, sp.Derivative, sp.Integral, sp.Limit, sp.Subs, sp.core.function.AppliedUndef)


def _magnitude(expression: sp.Expr, world: World) -> Any:
    """How large the terms of an expression are before they cancel; the yardstick for `residual`."""
    if isinstance(expression, sp.Add):
        return mp.fsum(_magnitude(term, world) for term in expression.args)
    if isinstance(expression, sp.Mul):
        return mp.fprod(_magnitude(factor, world) for factor in expression.args)
    if isinstance(expression, sp.Sum):
        return _summed(expression, world, _magnitude)
    if isinstance(expression, Dot):
        return mp.fprod(size(evaluate(argument, world)) for argument in expression.args)
    if isinstance(expression, SymProduct | SkewProduct):
        return mp.fprod(_magnitude(argument, world) for argument in expression.args)
    if isinstance(expression, Quad | Apply):
        matrix, vector = (size(evaluate(argument, world)) for argument in expression.args)
        return matrix * (vector**2 if isinstance(expression, Quad) else vector)
    if isinstance(expression, Div):
        return size(evaluate(expression.args[0], world))
    if isinstance(expression, Generator):
        return size(evaluate(expression.args[0], world))
    if isinstance(expression, sp.Derivative):
        variable = world[expression.variables[0]]
        return _magnitude(expression.expr, world) / (mp.fabs(variable) or 1)
    if isinstance(expression, Expectation):
        points = [world.at(point) for point in world.ensemble]
        return mp.fsum(_magnitude(expression.args[0], point) for point in points) / len(points)
    return size(evaluate(expression, world))


def residual(equation: sp.Eq, world: World) -> Any:
    """How far the two sides are apart, relative to the size of what they add up.

    Parameters
    ----------
    equation : sympy.Eq
        A scalar, vector or matrix equation.
    world : World
        Where to evaluate it.

    Returns
    -------
    mpmath.mpf
        0 if the equation holds exactly.

    Raises
    ------
    NotInterpreted
        If a side has no meaning there, or they cannot be compared.
    ArithmeticError
        If a side is not a number there.
    """
    rough = _residual(equation, world, DIGITS)
    # What cancels in exact sums is there with more digits.
    return rough if rough <= TOLERANCE else _residual(equation, world, 2 * DIGITS)


def _residual(equation: sp.Eq, world: World, digits: int) -> Any:
    with mp.workdps(digits):
        left, right = evaluate(equation.lhs, world), evaluate(equation.rhs, world)
        if any(isinstance(side, mp.mpc) and mp.fabs(side.imag) > TOLERANCE * mp.fabs(side) for side in (left, right)):
            return mp.inf
        try:
            difference = size(left - right)
        except (TypeError, ValueError) as error:
            raise NotInterpreted(f"the sides cannot be compared: {error}") from None
        if mp.isnan(difference):
            raise ArithmeticError("a side is not a number here")
        if difference == 0:
            return mp.mpf(0)
        scale = max(size(left), size(right))
        if difference > TOLERANCE**2 * scale:
            # Where terms cancel to (nearly) nothing, round-off is relative to the terms and not to what is left.
            cancelled = CANCELLED if 0 in equation.args or equation.has(*_NUMERICAL) else CANCELLED**3
            scale = max(scale, _magnitude(equation.lhs - equation.rhs, world) * cancelled)
        return difference / scale if scale else mp.inf


@dataclass(frozen=True)
class Outcome:
    """What came out when a statement was put into a world.

    Attributes
    ----------
    holds : bool
        Whether it is true there.
    off : mpmath.mpf
        Of an equation, the relative difference of its sides; of an inequality, the least gap (negative where it is
        violated); of a series, the measured order of its remainder minus the stated one.
    says : str
        What was found, a phrase.
    where : mapping
        Of an inequality, the values of the symbols at which the gap is smallest; otherwise empty.
    """

    holds: bool
    off: Any
    says: str
    where: Mapping[str, str] = field(default_factory=dict)


def _series_holds(equation: sp.Eq, world: World) -> Outcome:
    """Check a truncated series: what is left out must shrink as fast as the order says."""
    order, *others = equation.atoms(sp.Order)
    if others or len(order.variables) != 1:
        raise NotInterpreted(f"more than one order, or an order of more than one variable: {equation}")
    variable, point = order.variables[0], order.point[0]
    sides = equation.lhs.removeO(), equation.rhs.removeO()

    def there(distance: Any) -> World:
        return world.at({variable: 1 / distance if point == sp.oo else evaluate(point, world) + distance})

    def remainder(distance: Any) -> tuple[Any, Any]:
        left, right = (evaluate(side, there(distance)) for side in sides)
        return size(left - right), max(size(left), size(right))

    with mp.workdps(2 * DIGITS):
        excess = order_above(remainder, lambda distance: size(evaluate(order.expr, there(distance))))
    said, base = f"O({sp.sstr(order.expr)})", f" in 1/{variable}" if point == sp.oo else ""
    if mp.isinf(excess):
        return Outcome(True, excess, f"nothing is left out, where {said} may be")
    power = abs(float(order.expr.as_powers_dict()[variable - (0 if point == sp.oo else point)]))
    verdict = "lower than" if excess < LOWER else "smaller than" if excess > -LOWER * 10 else "as"
    found = f"its remainder is of order {power + float(excess):.2f}{base}, {verdict} {said} says"
    return Outcome(bool(excess >= LOWER), excess, found)


def _inequality_holds(statement: sp.Basic, world: World) -> Outcome:
    """Look for the least gap between the sides, over all that the world leaves free."""
    upwards = isinstance(statement, sp.Ge | sp.Gt)

    def gap(place: Mapping[Any, Any]) -> tuple[Any, Any]:
        there = world.at(place)
        left, right = evaluate(statement.lhs, there), evaluate(statement.rhs, there)
        return (left - right if upwards else right - left), max(size(left), size(right))

    with mp.workdps(DIGITS):
        here, whole = gap({})
        if here < -TOLERANCE * whole:
            return Outcome(False, here, f"it is violated by {mp.nstr(-here, 3)}")
        search = Search(gap, world.free, {name: world[name] for name in world.free})
        found = search.lowest() if world.free else []
        names = search.depends_on(found[0]) if found else []
    if not names:
        raise NotInterpreted("an inequality does not follow from one point, and nothing in it is free to vary here")
    floor = search.typical * ROUND_OFF
    violated = [point for point in found if point.value < -TOLERANCE * point.size - floor]
    least = min(violated, key=lambda point: point.share, default=found[0])
    # What is only approached, in the limit of an infinite range, is not reached.
    reached = all(0 <= u <= 1 for u in least.cube)
    level = mp.fabs(least.value) <= mp.sqrt(ROUND_OFF) * max(least.size, search.typical * reached)
    where = {str(name): mp.nstr(x, 6) for name, x in search.place(least.cube).items() if name in names}
    place = " and ".join(
        " = ".join([*(name for name in where if where[name] == x), x]) for x in dict.fromkeys(where.values())
    )
    if violated:
        return Outcome(False, least.value, f"it is violated by {mp.nstr(-least.value, 3)} at {place}", where)
    left = "both sides are equal" if level else f"{mp.nstr(least.value, 3)} is left"
    strict = isinstance(statement, sp.Gt | sp.Lt) and level
    return Outcome(not strict, least.value, f"the gap is smallest at {place}, where {left}", where)


def holds(statement: sp.Basic, world: World) -> Outcome:
    """Whether a statement is true in a world, how far off it is, and what was found.

    Parameters
    ----------
    statement : sympy relation
        An equation (with or without an order term), or an inequality.
    world : World
        Where to check it.

    Returns
    -------
    Outcome

    Raises
    ------
    NotInterpreted
        If the world has no meaning for it.
    """
    if isinstance(statement, sp.Eq):
        if statement.has(sp.Order):
            return _series_holds(statement, world)
        off = residual(statement, world)
        return Outcome(
            bool(off <= TOLERANCE), off, f"its sides differ by {mp.nstr(off, 2)}" if off else "its sides are equal"
        )
    if isinstance(statement, sp.Le | sp.Lt | sp.Ge | sp.Gt):
        return _inequality_holds(statement, world)
    raise NotInterpreted(f"{statement} is neither an equation nor an inequality")
