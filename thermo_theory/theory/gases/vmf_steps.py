"""Operations on integrals over the angle and on Bessel functions, for the von Mises-Fisher gas."""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import d, eq, grad_L_unit, grad_log_rho, theta

__all__ = [
    "along_the_meridian",
    "bessel_recurrences",
    "divide",
    "expand_logs",
    "gather_powers",
    "linearity",
    "over_the_angle",
    "polar_integral",
    "put_slopes",
    "slope_of_level_line",
]


def over_the_angle(function: sp.Expr) -> sp.Integral:
    """Integral of a function of the angle over the sphere, without the area of the sphere of the other angles."""
    return sp.Integral(function * sp.sin(theta) ** (d - 2), (theta, 0, sp.pi))


def _linear(integral: sp.Integral) -> sp.Expr:
    """Take a sum and constant factors out of an integral over the angle."""
    variable, *_ = integral.limits[0]
    total = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(sp.expand_log(integral.function))):
        constant, varying = sp.powsimp(term).as_independent(variable)
        for factor in sp.Mul.make_args(varying):
            if isinstance(factor, sp.exp):
                fixed, moving = sp.expand(factor.args[0]).as_independent(variable, as_Add=True)
                constant, varying = constant * sp.exp(fixed), varying / factor * sp.exp(moving)
        total += constant * sp.Integral(varying, integral.limits[0])
    return total


@operation("integrate along a meridian; the integral over the sphere is 1")
def along_the_meridian(slope: sp.Eq, density: sp.Expr, loss: sp.Expr, other_angles: sp.Expr) -> sp.Eq:
    """From ``grad log rho = -k grad L``: the density ``exp(-k L)`` over its integral, for a loss of the angle alone.

    Raises
    ------
    OperationError
        If the slope is not a constant times that of the loss.

    Examples
    --------
    On the sphere (d = 3), where the other angle gives 2 pi, the density at the pole of exp(cos) is e/(4 pi sinh 1):

    >>> angles = along_the_meridian(eq(grad_log_rho, -grad_L_unit), sp.Symbol("rho"), 1 - sp.cos(theta), 2 * sp.pi)
    >>> angles.rhs.subs(d, 3).doit().subs(theta, 0).evalf(6), (sp.E / (4 * sp.pi * sp.sinh(1))).evalf(6)
    (0.184065, 0.184065)
    """
    k = -sp.expand(slope.rhs).coeff(grad_L_unit)
    if slope.lhs != grad_log_rho or sp.simplify(slope.rhs + k * grad_L_unit) != 0 or k.has(theta, loss):
        raise OperationError(f"{slope} does not say that log rho falls with the loss")
    weight = sp.exp(-k * loss)
    return eq(density, weight / (other_angles * over_the_angle(weight)))


@operation("take sums and constants out of the integrals")
def linearity(equation: sp.Eq) -> sp.Eq:
    """Integrals are linear: constants come out, a sum is integrated term by term."""
    right = equation.rhs
    for integral in sorted(right.atoms(sp.Integral), key=sp.default_sort_key):
        right = right.subs(integral, _linear(integral))
    return eq(equation.lhs, sp.powsimp(sp.expand(right)))


def _gathered(expression: sp.Expr) -> sp.Expr:
    """Multiply powers of one base; those of roots become powers of what stands under them."""
    plain = sp.expand_power_base(sp.gammasimp(sp.expand(expression)))
    return sp.powsimp(plain.replace(lambda part: part.is_Pow, sp.powdenest), combine="exp")


@operation("gather powers")
def gather_powers(equation: sp.Eq) -> sp.Eq:
    """Multiply powers of one base."""
    return eq(_gathered(equation.lhs), _gathered(equation.rhs))


@operation("insert the derivatives")
def put_slopes(equation: sp.Eq, *slopes: sp.Eq) -> sp.Eq:
    """Put what is known of derivatives of functions of one variable where those derivatives stand at other values."""
    right = equation.rhs
    for known in slopes:
        name, variable = known.lhs.expr.func, known.lhs.variables[0]
        for there in right.atoms(sp.Subs):
            if (
                isinstance(there.expr, sp.Derivative)
                and there.expr.expr.func == name
                and len(there.expr.variables) == 1
            ):
                right = right.subs(there, known.rhs.subs(variable, there.point[0]))
        if any(part.expr.has(name) for part in right.atoms(sp.Subs)):
            raise OperationError(f"derivatives of {name} are left in {right}")
    return eq(equation.lhs, sp.expand(right))


@operation("differentiate along the line {0}")
def slope_of_level_line(equation: sp.Eq, line: sp.Expr, variable: sp.Symbol) -> sp.Eq:
    """From ``f(y(x), x) = constant`` the slope ``dy/dx = -(df/dx)/(df/dy)``; y is written where y(x) stands.

    Raises
    ------
    OperationError
        If the equation is not of this form.

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> line = sp.Function("y")(x)
    >>> slope_of_level_line(eq(x * line**2, 8), line, y).rhs.doit()
    -y/(2*x)
    """
    (argument,) = line.args
    function = equation.lhs.subs(line, variable)
    if equation.rhs.has(argument, variable) or not equation.lhs.has(line):
        raise OperationError(f"{equation} is no level line {line}")
    return eq(sp.Derivative(line, argument), -sp.Derivative(function, argument) / sp.Derivative(function, variable))


@operation("expand the logarithms")
def expand_logs(equation: sp.Eq) -> sp.Eq:
    """The log of a product of positive numbers is the sum of their logs."""
    return eq(equation.lhs, sp.expand(logs_apart(equation.rhs)))


def logs_apart(expression: sp.Expr) -> sp.Expr:
    """Take logs of products of positive numbers apart, in more than one dimension."""
    more = sp.Dummy("m", positive=True)
    return sp.expand_log(expression.subs(d, more + 1)).subs(more, d - 1)


@operation("divide")
def divide(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Divide one equation by another, side by side."""
    return eq(first.lhs / second.lhs, sp.powsimp(first.rhs / second.rhs))


@operation("do the integral over the polar angle")
def polar_integral(equation: sp.Eq) -> sp.Eq:
    """Integrate ``exp(k cos a) (sin a)^(2 nu)`` from 0 to pi: Poisson's integral of the Bessel function, DLMF 10.32.2.

    It is ``sqrt(pi) Gamma(nu + 1/2) (2/k)^nu I_nu(k)``; k and nu are read off the integrand.

    Raises
    ------
    OperationError
        If an integral is not of this form.
    """
    right = equation.rhs
    for integral in right.atoms(sp.Integral):
        angle, low, high = integral.limits[0]
        k, power = sp.Wild("k", exclude=[angle, 0]), sp.Wild("n", exclude=[angle])
        found = integral.function.match(sp.exp(k * sp.cos(angle)) * sp.sin(angle) ** power)
        if found is None or (low, high) != (0, sp.pi):
            raise OperationError(f"{integral} is not Poisson's integral")
        nu, argument = found[power] / 2, found[k]
        if not (argument.is_positive and (2 * nu + 1).subs(d, sp.Dummy("m", positive=True) + 1).is_positive):
            raise OperationError(f"{integral}: {argument} or {2 * nu + 1} may be negative")
        value = sp.sqrt(sp.pi) * sp.gamma(nu + sp.S.Half) * (2 / argument) ** nu * sp.besseli(nu, argument)
        right = right.subs(integral, value)
    return eq(equation.lhs, _gathered(right))


@operation("use the recurrences of the Bessel functions")
def bessel_recurrences(equation: sp.Eq) -> sp.Eq:
    """Write Bessel functions ``I_n`` of one argument by the two of them of orders nu and nu + 1, DLMF 10.29.1.

    ``I_(n-1)(z) - I_(n+1)(z) = 2 n I_n(z)/z``; nu is d/2 - 1, or the lowest order if that is higher, or the second
    highest if all are lower.

    Raises
    ------
    OperationError
        If there are none, or of several arguments.
    """
    right = equation.rhs
    if len({bessel.argument for bessel in right.atoms(sp.besseli)}) != 1:
        raise OperationError(f"{right} has Bessel functions of none or of several arguments")
    while True:
        functions = sorted(right.atoms(sp.besseli), key=lambda one: sp.simplify(one.order - d / 2))
        if len(functions) <= 2:
            break
        lowest, highest = functions[0], functions[-1]
        z, base = lowest.argument, d / 2 - 1
        if sp.simplify(lowest.order - base).is_negative:
            n = lowest.order + 1
            right = right.subs(lowest, sp.besseli(sp.expand(n + 1), z) + 2 * n / z * sp.besseli(sp.expand(n), z))
        else:
            n = highest.order - 1
            right = right.subs(highest, sp.besseli(sp.expand(n - 1), z) - 2 * n / z * sp.besseli(sp.expand(n), z))
    return eq(equation.lhs, sp.expand(sp.simplify(right)))
