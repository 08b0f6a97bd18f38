"""Differentials, partial derivatives at constant others, sums over states: the notation of thermodynamics.

>>> from thermo_theory.symbols import F, S, T, U
>>> take_differential(sp.Eq(F, U - T * S, evaluate=False))
Eq(d(F), -S*d(T) - T*d(S) + d(U))
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.stringpict import prettyForm

from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import F, G, H, S, T, U, V, eq, p
from thermo_theory.symbols.vectors import Dot, Notation, Vec

__all__ = [
    "Change",
    "Partial",
    "SurfaceIntegral",
    "Variation",
    "along_path",
    "at_constant",
    "at_state",
    "bound_logarithms",
    "change_held",
    "cool_down",
    "equal_mixed",
    "exchange",
    "gather_logarithms",
    "heat_up",
    "integrate_along",
    "minimise_over",
    "move_with_the_flow",
    "multiply",
    "never_rises",
    "nothing_gained",
    "only_if_zero",
    "open_sums",
    "partial_of",
    "put_into_terms",
    "read_off",
    "split_lowest",
    "take_differential",
    "take_logarithm",
    "vary",
]


class Partial(Notation):
    """The derivative of a quantity by a variable, at constant another one: ``Partial(S, V, T)`` is (dS/dV)_T."""

    nargs = 3
    text, tex = "(∂{0}/∂{1})", r"\left(\frac{{\partial {0}}}{{\partial {1}}}\right)_{{{2}}}"

    @classmethod
    def eval(cls, quantity: sp.Expr, variable: sp.Expr, held: sp.Expr) -> sp.Expr | None:
        """Pull a sign out."""
        return -cls(-quantity, variable, held) if quantity.could_extract_minus_sign() else None

    def _pretty(self, printer: Any) -> Any:
        return prettyForm(*super()._pretty(printer).right("_", printer._print(self.args[2])))


class Change(Notation):
    """A small change of a quantity."""

    nargs = 1
    text, tex = "d{0}", r"\mathrm{{d}} {0}"

    def _sympystr(self, printer: Any) -> str:
        return f"d({printer._print(self.args[0])})"


class Variation(Notation):
    """How a functional of a distribution changes with the probability of one state."""

    nargs = 2
    text, tex = "[{0}]", r"\frac{{\delta}}{{\delta {1}}}\left[{0}\right]"

    def _pretty(self, printer: Any) -> Any:
        state = prettyForm(*printer._print(self.args[1]).left("δ"))
        return prettyForm(*(prettyForm("δ") / state).right(super()._pretty(printer)))


class SurfaceIntegral(sp.Function):
    """The integral over the unit sphere; linear, and its sign comes out."""

    @classmethod
    def eval(cls, integrand: sp.Expr) -> sp.Expr | None:
        """Pull out what does not vary over the sphere."""
        constant, varying = integrand.as_independent(*_VARYING(integrand), as_Add=False)
        return None if constant == 1 else constant * cls(varying)

    def _pretty(self, printer: Any) -> Any:
        inside = printer._print(self.args[0])
        bracketed = prettyForm(*inside.parens()) if self.args[0].is_Add else inside
        return prettyForm(*prettyForm(*bracketed.left("∫ ")).right(" dA"))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        text = rf"\int {printer.parenthesize(self.args[0], PRECEDENCE['Mul'], strict=True)}\,\mathrm{{d}}A"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def _VARYING(expression: sp.Expr) -> tuple[sp.Basic, ...]:
    return tuple(s for s in expression.free_symbols if isinstance(s, Vec) or s.name in ("L", "rho"))


#: Variables of state: two of them set all others.
_STATE = {F, G, H, S, T, U, V, p}

# Differentials -----------------------------------------------------------------------------------


def _total(expression: sp.Expr, constants: frozenset[sp.Basic] = frozenset()) -> sp.Expr:
    """Total differential of an expression; a function of an index counts as one variable."""
    if isinstance(expression, sp.Sum):
        inside = _total(expression.function, constants | {expression.limits[0][0]})
        return sp.Sum(sp.expand(inside), *expression.limits)
    sums = {part: sp.Dummy("x") for part in expression.atoms(sp.Sum)}
    bare = expression.subs(sums)
    functions = {part: sp.Dummy("x") for part in bare.atoms(sp.core.function.AppliedUndef)}
    bare = bare.subs(functions)
    symbols = {symbol: symbol for symbol in bare.free_symbols - {*sums.values(), *functions.values()} - constants}
    back = {dummy: part for part, dummy in (sums | functions).items()}
    changes = {dummy: Change(part) for part, dummy in (functions | symbols).items()}
    changes |= {dummy: _total(part, constants) for part, dummy in sums.items()}
    return sp.Add(*[sp.expand(sp.diff(bare, dummy).subs(back)) * change for dummy, change in changes.items()])


@operation("take the differential")
def take_differential(equation: sp.Eq, constant: tuple[sp.Symbol, ...] = ()) -> sp.Eq:
    """Small changes of both sides; what is in `constant` does not change."""
    held = frozenset(constant)
    return eq(_total(equation.lhs, held), _total(equation.rhs, held))


@operation("read off the derivative by {0}")
def read_off(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """From ``dF = a dx + b dy`` read ``(dF/dx)_y = a``."""
    changes = equation.rhs.atoms(Change)
    if not isinstance(equation.lhs, Change):
        raise OperationError(f"{equation} is not the change of one quantity with two others")
    (held,) = [change.args[0] for change in changes if change.args[0] != variable]
    slope = sp.expand(equation.rhs).coeff(Change(variable))
    return eq(Partial(equation.lhs.args[0], variable, held), slope)


@operation("divide by d{0} at constant {1}")
def at_constant(equation: sp.Eq, variable: sp.Symbol, held: sp.Symbol) -> sp.Eq:
    """Turn changes into derivatives by a variable; the one held constant does not change."""
    known = {held: sp.S.Zero, variable: sp.S.One}
    rules = {change: known.get(change.args[0]) for change in equation.atoms(Change)}
    rules = {one: Partial(one.args[0], variable, held) if to is None else to for one, to in rules.items()}
    if not rules:
        raise OperationError(f"nothing changes in {equation}")
    return eq(equation.lhs.xreplace(rules), equation.rhs.xreplace(rules))


@operation("mixed derivatives do not depend on their order")
def equal_mixed(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """From (dF/dx)_y and (dF/dy)_x: ``(d/dy)(dF/dx) = (d/dx)(dF/dy)``."""
    (one, x, y), (other, also_y, also_x) = first.lhs.args, second.lhs.args
    if (one, x, y) != (other, also_x, also_y):
        raise OperationError(f"{first.lhs} and {second.lhs} are not the two derivatives of one function")
    left, right = Partial(first.rhs, y, x), Partial(second.rhs, x, y)
    sign = -1 if left.could_extract_minus_sign() else 1
    return eq(sign * left, sign * right)


@operation("differentiate by {0} at constant {1}")
def partial_of(equation: sp.Eq, variable: sp.Symbol, held: sp.Symbol) -> sp.Eq:
    """Differentiate both sides; every other symbol of the right-hand side is a constant.

    Raises
    ------
    OperationError
        If another variable of state stands there, which would change as well.
    """
    moving = equation.rhs.free_symbols & _STATE - {variable, held}
    if moving:
        raise OperationError(f"{moving} changes with {variable} at constant {held}")
    return eq(Partial(equation.lhs, variable, held), sp.diff(equation.rhs, variable))


@operation("hold {1} constant instead of {0}")
def change_held(equation: sp.Eq, old: sp.Symbol, new: sp.Symbol) -> sp.Eq:
    """``(dX/dx)_old = (dX/dx)_new + (dX/dnew)_x (dnew/dx)_old``."""
    rules = {
        part: Partial(part.args[0], part.args[1], new)
        + Partial(part.args[0], new, part.args[1]) * Partial(new, part.args[1], old)
        for part in equation.rhs.atoms(Partial)
        if part.args[2] == old
    }
    if not rules:
        raise OperationError(f"nothing in {equation} holds {old}")
    return eq(equation.lhs, sp.expand(equation.rhs.xreplace(rules)))


@operation("move along constant {2}: {0} against {1}")
def exchange(by_one: sp.Eq, by_other: sp.Eq, one: sp.Symbol, other: sp.Symbol, held: sp.Symbol) -> sp.Eq:
    """From (dS/dx)_y and (dS/dy)_x: ``(dx/dy)_S = -(dS/dy)_x / (dS/dx)_y``."""
    if by_one.lhs != Partial(held, one, other) or by_other.lhs != Partial(held, other, one):
        raise OperationError(f"{by_one.lhs} and {by_other.lhs} are not the two derivatives of {held}")
    return eq(Partial(one, other, held), -by_other.rhs / by_one.rhs)


@operation("follow the curve {0}")
def along_path(equation: sp.Eq, curve: sp.Expr) -> sp.Eq:
    """Read ``(dx/dy)_S = f(x, y)`` as a differential equation for the curve ``x(y)``."""
    one, other, _ = equation.lhs.args
    if curve.args != (other,) or str(curve.func) != str(one):
        raise OperationError(f"{equation} is not about {curve}")
    return eq(sp.Derivative(curve, other), equation.rhs.subs(one, curve))


@operation("integrate along a path from 0 to {0}")
def integrate_along(equation: sp.Eq, end: sp.Symbol) -> sp.Eq:
    """Integrate ``dS = a dx + ...`` along a path on which everything is a function of a parameter."""
    inside = sp.Symbol("s")
    symbols = {symbol: sp.Function(symbol.name, real=True) for symbol in equation.free_symbols}
    rates = {change: sp.Derivative(symbols[change.args[0]](inside), inside) for change in equation.atoms(Change)}
    rest = equation.rhs.xreplace(rates)
    plain = {symbol: function(inside) for symbol, function in symbols.items()}
    total = symbols[equation.lhs.args[0]]
    return eq(total(end) - total(0), sp.Integral(rest.subs(plain), (inside, 0, end)))


# Sums over states --------------------------------------------------------------------------------


def _opened(expression: sp.Expr) -> sp.Expr:
    """Sums of sums are split, and what does not depend on the state comes out."""
    if isinstance(expression, sp.Sum):
        index = expression.limits[0][0]
        terms = []
        for term in sp.Add.make_args(sp.expand(_opened(expression.function))):
            outside, inside = term.as_independent(index, as_Add=False)
            terms.append(outside * sp.Sum(inside, *expression.limits))
        return sp.Add(*terms)
    return expression.func(*map(_opened, expression.args)) if expression.args else expression


@operation("split the sums")
def open_sums(equation: sp.Eq) -> sp.Eq:
    """Split sums term by term and pull out what does not depend on the state."""
    return eq(sp.expand(_opened(equation.lhs)), sp.expand(_opened(equation.rhs)))


@operation("substitute in each term")
def put_into_terms(equation: sp.Eq, *using: sp.Eq) -> sp.Eq:
    """Put the right-hand side of each of `using` for its left-hand side, inside of sums too."""
    changed = equation
    for known in using:
        new = eq(*(side.xreplace({known.lhs: known.rhs}) for side in changed.args))
        if new == changed:
            raise OperationError(f"{known.lhs} does not occur in {changed}")
        changed = new
    return changed


@operation("take the logarithm")
def take_logarithm(equation: sp.Eq) -> sp.Eq:
    """Logarithm of both sides, which are positive; of products and powers it is taken apart where their factors are."""
    if not any(side.is_positive for side in equation.args):
        raise OperationError(f"neither side of {equation} is known to be positive")
    return eq(*(sp.expand_log(sp.log(side)) for side in equation.args))


@operation("vary {0}")
def vary(equation: sp.Eq, state: sp.Expr) -> sp.Eq:
    """Derivative of sums over states by the probability of one of them."""
    variation = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(_opened(equation.rhs))):
        outside, inside = term.as_independent(sp.Sum, as_Add=False)
        if not isinstance(inside, sp.Sum):
            raise OperationError(f"{term} is not a sum over states")
        here = inside.function.subs(inside.limits[0][0], state.args[0])
        variation += outside * sp.diff(here, state)
    return eq(Variation(equation.lhs, state), sp.expand(variation))


@operation("at the extremum the first variation vanishes")
def nothing_gained(equation: sp.Eq) -> sp.Eq:
    """Set a variation to zero."""
    if not isinstance(equation.lhs, Variation):
        raise OperationError(f"{equation.lhs} is not a variation")
    return eq(equation.rhs, 0)


@operation("look at state {1}")
def at_state(equation: sp.Eq, index: sp.Symbol, state: int) -> sp.Eq:
    """Set the index of the state; indices that are summed over are left alone."""
    return eq(*(side.subs(index, state) for side in equation.args))


@operation("take the lowest state out of the sum")
def split_lowest(equation: sp.Eq) -> sp.Eq:
    """Write the first term of each sum on its own."""
    rules = {}
    for total in equation.rhs.atoms(sp.Sum):
        index, low, high = total.limits[0]
        rules[total] = total.function.subs(index, low) + sp.Sum(total.function, (index, low + 1, high))
    return eq(equation.lhs, equation.rhs.xreplace(rules))


def _limit_of_terms(expression: sp.Expr, variable: sp.Symbol, point: sp.Expr) -> sp.Expr:
    """Limit of sums and products of finite terms, term by term."""
    if isinstance(expression, sp.Sum):
        inside = _limit_of_terms(expression.function, variable, point)
        return sp.Sum(inside, *expression.limits) if inside else sp.S.Zero
    if expression.has(sp.Sum):
        limit = expression.func(*[_limit_of_terms(part, variable, point) for part in expression.args])
    else:
        functions = expression.atoms(sp.core.function.AppliedUndef)
        plain = {part: sp.Dummy("c", positive=part.is_positive, real=True) for part in functions}
        limit = sp.limit(expression.subs(plain), variable, point, "+")
        limit = limit.subs({dummy: part for part, dummy in plain.items()})
    if limit.has(sp.oo, -sp.oo, sp.zoo, sp.nan, sp.sign, sp.AccumBounds):
        raise OperationError(f"{expression} has no finite limit that is known")
    return limit


@operation("heat up: let {0} grow without bound")
def heat_up(equation: sp.Eq, temperature: sp.Symbol) -> sp.Eq:
    """Limit of infinite temperature, term by term."""
    right = _limit_of_terms(equation.rhs, temperature, sp.oo)
    return eq(sp.Limit(equation.lhs, temperature, sp.oo), right)


@operation("cool down: let {0} go to 0")
def cool_down(equation: sp.Eq, temperature: sp.Symbol) -> sp.Eq:
    """Limit of zero temperature, term by term."""
    right = _limit_of_terms(equation.rhs, temperature, sp.S.Zero)
    return eq(sp.Limit(equation.lhs, temperature, 0), right)


@operation("log x >= 1 - 1/x, and 1 - x <= -log x, in each term")
def bound_logarithms(equation: sp.Eq) -> sp.Basic:
    """Bound the right-hand side from below: ``log y`` by ``1 - 1/y``, and ``-log y`` by ``1 - y``."""

    def bounded(expression: sp.Expr, sign: int) -> sp.Expr:
        if isinstance(expression, sp.Add):
            return sp.Add(*[bounded(term, sign) for term in expression.args])
        if isinstance(expression, sp.Sum):
            return sp.Sum(sp.expand(bounded(expression.function, sign)), *expression.limits)
        if isinstance(expression, sp.log):
            argument = expression.args[0]
            return 1 - 1 / argument if sign == 1 else argument - 1
        if isinstance(expression, sp.Mul) and expression.has(sp.log):
            (inner,) = [part for part in expression.args if part.has(sp.log)]
            rest = expression / inner
            if not (rest.is_positive or rest.is_negative):
                raise OperationError(f"the sign of {rest} is not known")
            return rest * bounded(inner, sign if rest.is_positive else -sign)
        return expression

    return sp.Ge(equation.lhs, sp.expand(_opened(sp.expand(bounded(equation.rhs, 1)))), evaluate=False)


@operation("gather the logarithms")
def gather_logarithms(equation: sp.Eq) -> sp.Eq:
    """Write sums over states as one, and differences of logarithms as logarithms of ratios."""
    sums: dict[tuple[sp.Expr, sp.Basic], sp.Expr] = {}
    rest = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(equation.rhs)):
        outside, inside = term.as_independent(sp.Sum, as_Add=False)
        if isinstance(inside, sp.Sum):
            sign = -1 if outside.could_extract_minus_sign() else 1
            key = (sign * outside, inside.limits[0])
            sums[key] = sums.get(key, sp.S.Zero) + sign * inside.function
        else:
            rest += term
    gathered = [outside * sp.Sum(_gathered(function), limits) for (outside, limits), function in sums.items()]
    return eq(equation.lhs, sp.Add(*gathered, _gathered(rest)))


def _gathered(expression: sp.Expr) -> sp.Expr:
    """Make one logarithm of the logarithms of positive numbers in a sum that have the same factor, up to its sign."""
    logs: dict[sp.Expr, sp.Expr] = {}
    rest = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(sp.expand_log(expression))):
        outside, inside = term.as_independent(sp.log, as_Add=False)
        if isinstance(inside, sp.log) and inside.args[0].is_positive:
            sign = -1 if outside.could_extract_minus_sign() else 1
            logs[sign * outside] = logs.get(sign * outside, sp.S.One) * inside.args[0] ** sign
        else:
            rest += term
    return sp.Add(rest, *[outside * sp.log(argument) for outside, argument in logs.items()])


# Minima and flows --------------------------------------------------------------------------------


@operation("multiply side by side")
def multiply(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Product of two equations."""
    return eq(first.lhs * second.lhs, first.rhs * second.rhs)


@operation("minimise over {0}")
def minimise_over(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """What holds where the right-hand side is stationary in a variable."""
    return eq(sp.expand(sp.diff(equation.rhs, variable)), 0)


@operation("let the density move with the velocity {0}")
def move_with_the_flow(
    equation: sp.Eq,
    velocity: Vec,
    loss_slope: Vec,
    density_slope: Vec,
    density: sp.Symbol,
    loss: sp.Symbol,
    t: sp.Symbol,
) -> sp.Eq:
    """Rate of change of ``int f(rho, L)`` with ``d rho/dt = -div(rho v)``: ``int rho v.grad(df/d rho)``, by parts."""
    if not isinstance(equation.rhs, SurfaceIntegral):
        raise OperationError(f"{equation.rhs} is not an integral over the sphere")
    force = sp.diff(equation.rhs.args[0], density)
    slope = sp.diff(force, density) * density * density_slope + sp.diff(force, loss) * loss_slope
    rate = sp.expand(density * Dot(velocity, sp.expand(slope)))
    return eq(sp.Derivative(equation.lhs, t), SurfaceIntegral(rate))


def _mean_square(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Take ``a int rho v.v`` apart into a and v.

    Raises
    ------
    OperationError
        If it is something else.
    """
    outside, inside = expression.as_independent(SurfaceIntegral, as_Add=False)
    factors = sp.Mul.make_args(inside.args[0]) if isinstance(inside, SurfaceIntegral) else ()
    squares = [factor for factor in factors if isinstance(factor, Dot) and factor.args[0] == factor.args[1]]
    if len(squares) != 1 or not all(factor.is_positive for factor in factors if factor not in squares):
        raise OperationError(f"{expression} is no mean square")
    return outside, squares[0].args[0]


@operation("a mean square vanishes only where its vector does")
def only_if_zero(rate: sp.Eq, still: sp.Eq, vector: sp.Eq) -> sp.Eq:
    """From ``x = a int rho v.v``, ``x = 0`` and what v is conclude that this is 0 everywhere."""
    outside, inside = _mean_square(rate.rhs)
    if still != eq(rate.lhs, 0) or not outside.is_nonzero or vector.lhs != inside:
        raise OperationError(f"{rate} and {still} do not say that {vector.lhs} is 0")
    return eq(vector.rhs, 0)


@operation("a square is never negative")
def never_rises(equation: sp.Eq) -> sp.Basic:
    """From ``x = -a int rho v.v`` conclude ``x <= 0``."""
    if not _mean_square(equation.rhs)[0].is_negative:
        raise OperationError(f"{equation.rhs} is not minus a square")
    return sp.Le(equation.lhs, 0, evaluate=False)
