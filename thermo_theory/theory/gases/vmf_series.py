"""Operations on truncated series of the von Mises-Fisher gas, in the temperature and in the inverse dimension."""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import C_V, R, d, eq
from thermo_theory.theory.gases.vmf_steps import logs_apart

__all__ = [
    "change_variable",
    "collect_logs",
    "leading_log",
    "over_gas_constant",
    "put_expansion",
    "put_many_dimensions",
    "put_series",
    "put_truncated",
    "solve_in_dimensions",
    "solve_in_powers",
]


def _power_solution(equation: sp.Eq, function: sp.Expr, count: int) -> list[sp.Expr]:
    """Coefficients of the solution of an equation of first order in powers of 1/variable, the first one positive."""
    variable = function.args[0]
    small = sp.Dummy("s", positive=True)
    coefficients = [sp.Dummy("a") for _ in range(count + 1)]
    ansatz = sum(one * variable**-n for n, one in enumerate(coefficients))
    put = (equation.lhs - equation.rhs).subs(function, ansatz).doit().subs(variable, 1 / small)
    put = sp.Poly(sp.expand(put), small)
    known: dict[sp.Symbol, sp.Expr] = {}
    for n, unknown in enumerate(coefficients):
        condition = sp.expand(put.coeff_monomial(small**n).subs(known))
        solutions = [one for one in sp.solve(condition, unknown) if n or one.is_positive]
        if len(solutions) != 1:
            raise OperationError(f"{equation} does not fix the coefficient of order {n}")
        known[unknown] = sp.factor(solutions[0])
    return [known[one] for one in coefficients]


@operation("solve in powers of 1/argument, {1} of them, for {0}")
def solve_in_powers(equation: sp.Eq, function: sp.Expr, count: int) -> sp.Eq:
    """Solve a first-order differential equation order by order at large arguments; the solution tends to 1."""
    variable = function.args[0]
    coefficients = _power_solution(equation, function, count)
    total = sum(one * variable**-n for n, one in enumerate(coefficients))
    return eq(function, total + sp.Order(variable ** -(count + 1), (variable, sp.oo)))


@operation("insert the series, in powers of {0}")
def put_series(equation: sp.Eq, expansion: sp.Eq, variable: sp.Symbol, highest: int | None = None) -> sp.Eq:
    """Put a series of f(kappa) in powers of 1/kappa into an equation with f(1/variable), and collect powers.

    The order up to which the result is known is found by moving f by its order term; powers beyond `highest` are
    left out as well.
    """
    order = next(iter(expansion.rhs.atoms(sp.Order)))
    far, name = order.variables[0], expansion.lhs.func
    size = sp.Dummy("size")
    near = (expansion.rhs.removeO() + size * order.expr).subs(far, 1 / variable)
    return _collected(equation, equation.rhs.subs(name(1 / variable), near), size, variable, highest)


@operation("insert the series of {0}")
def put_expansion(equation: sp.Eq, expansion: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Put the series of a symbol in powers of a variable into an equation, and collect powers."""
    order = next(iter(expansion.rhs.atoms(sp.Order)))
    size = sp.Dummy("size")
    near = expansion.rhs.removeO() + size * order.expr
    return _collected(equation, equation.rhs.subs(expansion.lhs, near), size, variable)


def _collected(
    equation: sp.Eq, put: sp.Expr, size: sp.Symbol, variable: sp.Symbol, highest: int | None = None
) -> sp.Eq:
    """Powers of the variable, up to the order at which the truncated terms enter."""
    moved = sp.cancel(sp.together(sp.diff(put, size)))
    if moved == 0:
        raise OperationError(f"what has a series does not occur in {equation}")
    reach = _leading_power(moved, variable)
    reach = reach if highest is None else min(reach, highest + 1)
    total = sp.S.Zero
    rest = sp.cancel(sp.together(put.subs(size, 0)))
    for n in range(min(_leading_power(rest, variable), 0), reach):
        coefficient = sp.cancel(sp.cancel(rest / variable**n).subs(variable, 0))
        total += sp.factor(coefficient) * variable**n
        rest = sp.cancel(rest - coefficient * variable**n)
    return eq(equation.lhs, total + sp.Order(variable**reach))


def _leading_power(expression: sp.Expr, variable: sp.Symbol) -> int:
    """The power of the variable with which a rational function begins."""
    lowest = [min(powers[0] for powers in sp.Poly(part, variable).monoms()) for part in sp.fraction(expression)]
    return int(lowest[0] - lowest[1])


@operation("divide by the gas constant")
def over_gas_constant(equation: sp.Eq, constant: sp.Eq) -> sp.Eq:
    """Divide a truncated series by R, term by term, with R in terms of d on the right-hand side."""
    series = equation.rhs
    terms = sp.Add.make_args(series.removeO())
    total = sp.Add(*[sp.factor(term / constant.rhs) for term in terms])
    return eq(equation.lhs / R, total + (series.getO() or 0))


@operation("at large k a Bessel function I_nu(k) is exp(k)/sqrt(2 pi k) (1 + O(1/k)); take the logarithm")
def leading_log(equation: sp.Eq) -> sp.Eq:
    """Logarithm of a product in which one Bessel function stands, for large arguments, DLMF 10.40.1."""
    (bessel,) = equation.rhs.atoms(sp.besseli)
    k = bessel.argument
    plain = equation.rhs.subs(bessel, sp.exp(k) / sp.sqrt(2 * sp.pi * k))
    log = sp.expand(logs_apart(sp.log(plain)))
    return eq(sp.log(equation.lhs), log + sp.Order(1 / k, (k, sp.oo)))


@operation("insert the truncated series")
def put_truncated(equation: sp.Eq, *series: sp.Eq) -> sp.Eq:
    """Put truncated series where their left-hand sides stand; what is left out of a product is left out of the sum."""
    right = equation.rhs
    for known in series:
        right = right.subs(known.lhs, known.rhs)
    return eq(equation.lhs, sp.expand(right))


@operation("gather logarithms")
def collect_logs(equation: sp.Eq) -> sp.Eq:
    """Take the common factor out of a truncated series with logarithms."""
    series = logs_apart(equation.rhs.removeO())
    return eq(equation.lhs, sp.factor(sp.expand(series)) + (equation.rhs.getO() or 0))


@operation("as a function of {0}")
def change_variable(equation: sp.Eq, named: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Write a differential equation for f(k) as one for ``a(y) = f(k(y))``, `named`; multiply by dk/dy."""
    function, inner = named.lhs, named.rhs.args[0]
    old = equation.lhs.variables[0]
    if equation.lhs.expr != named.rhs.func(old):
        raise OperationError(f"{equation.lhs} is no derivative of {named.rhs.func(old)}")
    right = equation.rhs.subs(named.rhs.func(old), function).subs(old, inner) * sp.diff(inner, variable)
    return eq(sp.Derivative(function, variable), sp.expand(right))


@operation("solve in powers of 1/d, {1} beyond the first, for {0}")
def solve_in_dimensions(equation: sp.Eq, function: sp.Expr, count: int) -> sp.Eq:
    """Solve a differential equation of first order, order by order in 1/d, for the solution between 0 and 1."""
    variable = function.args[0]
    small = sp.Dummy("s", positive=True)
    unknowns = [sp.Function(f"a_{n}")(variable) for n in range(count + 1)]
    ansatz = sp.Add(*[one * small**n for n, one in enumerate(unknowns)])
    put = (equation.lhs - equation.rhs).subs(function, ansatz).doit().subs(d, 1 / small)
    put = sp.Poly(sp.expand(sp.expand(put) * small), small)
    known: dict[sp.Expr, sp.Expr] = {}
    for n, unknown in enumerate(unknowns):
        condition = sp.expand(put.coeff_monomial(small**n).subs(known).doit())
        solutions = [one for one in sp.solve(condition, unknown) if n or one.subs(variable, 1).is_positive]
        if len(solutions) != 1:
            raise OperationError(f"{equation} does not fix the coefficient of order {n}")
        known[unknown] = _tidy(solutions[0])
    total = sp.Add(*[known[one] / d**n for n, one in enumerate(unknowns)])
    return eq(function, total + sp.Order(d ** -(count + 1), (d, sp.oo)))


@operation("insert the series in 1/d, and keep its leading terms")
def put_many_dimensions(equation: sp.Eq, expansion: sp.Eq) -> sp.Eq:
    """Put a series in 1/d of a quantity into an equation; the result's value as d goes to infinity, up to O(1/d)."""
    size, small = sp.Dummy("size"), sp.Dummy("s")
    order = next(iter(expansion.rhs.atoms(sp.Order)))
    near = expansion.rhs.removeO() + size * order.expr
    known = {C_V: near * R} if expansion.lhs == C_V / R else {expansion.lhs: near}
    put = sp.together(equation.rhs.subs(known).subs(d, 1 / small))
    # Square roots as letters leave polynomials, of which a common factor is found in no time.
    roots = {root: sp.Dummy() for root in put.atoms(sp.Pow) if root.exp == sp.S.Half}
    back = {letter: root for root, letter in roots.items()}
    parts = (part.xreplace(back) for part in sp.fraction(sp.cancel(put.xreplace(roots))))
    numerator, denominator = (sp.Poly(sp.expand(part), small) for part in parts)
    lowest = denominator.EM()[0]
    top, bottom = numerator.coeff_monomial(small**lowest), denominator.coeff_monomial(small**lowest)
    if numerator.EM()[0] < lowest or top.has(size) or bottom.has(size):
        raise OperationError(f"{expansion} does not go far enough for {equation}")
    return eq(equation.lhs, _tidy(top / bottom) + sp.Order(1 / d, (d, sp.oo)))


def _tidy(expression: sp.Expr) -> sp.Expr:
    return sp.simplify(sp.radsimp(sp.simplify(expression)))
