"""Operations on integrals over the angle, Bessel functions and truncated series: against mpmath and fitted orders."""

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import a, applied, b, e, eq, f, follows, order_of, refuses, true_in, up, x, y, z

from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols import C_V, R, T, d, kappa, reduced, theta
from thermo_theory.theory.gases.vmf_steps import over_the_angle

RICCATI = eq(sp.Derivative(f(kappa), kappa), 1 - f(kappa) ** 2 - (d - 1) * f(kappa) / kappa)


def holds(statement, *worlds):
    with mp.workdps(DIGITS):
        return all(true_in(statement, world) for world in worlds)


def cosine(n, k):
    """The mean cosine, a ratio of Bessel functions: it solves Riccati's equation."""
    return mp.besseli(mp.mpf(n) / 2, k) / mp.besseli(mp.mpf(n) / 2 - 1, k)


def value(expression, n=4):
    """Its value at some numbers, by mpmath's own integrals."""
    numbers = {a: 1.3, b: 0.7, e: 2.1, x: -0.8, y: 0.6, T: 0.9, kappa: 1.7, d: n}
    modules = [{"up": lambda c: mp.exp(-c) + c}, "mpmath"]
    return sp.lambdify(list(numbers), expression, modules)(*map(mp.mpf, numbers.values()))


# Integrals and Bessel functions ------------------------------------------------------------------


@pytest.mark.parametrize(
    "inside",
    [
        (a - x * sp.cos(theta)) * sp.exp(b * (sp.cos(theta) - y)),
        sp.exp(-b * (1 - sp.cos(theta))) * sp.log(e * sp.exp(b * sp.cos(theta))),
        sp.cos(theta) ** 2 * up(theta) * a + x,
    ],
)
def test_linearity(inside):
    right = b * over_the_angle(inside) / over_the_angle(a * sp.exp(b * sp.cos(theta)))
    result = applied("linearity", eq(z, right))
    assert result.lhs == z
    assert mp.almosteq(value(result.rhs), value(right), 1e-10)
    assert not any(part.function.has(a, x, y) for part in result.rhs.atoms(sp.Integral))
    free = applied("linearity", eq(z, sp.Integral(a * sp.cos(theta) + x, (theta, 0, 1))))
    assert free.rhs == a * sp.Integral(sp.cos(theta), (theta, 0, 1)) + x * sp.Integral(1, (theta, 0, 1))
    refuses("linearity", "z")


def test_gather_powers():
    right = sp.pi ** (d / 2) * sp.pi ** (1 - d / 2) * a**x * a**y * up(z) + sp.gamma(a + 1) / sp.gamma(a)
    result = follows("gather_powers", eq(e, right), left=e)
    assert not result.rhs.has(sp.gamma)
    assert len([part for part in result.rhs.atoms(sp.Pow) if part.base == a]) == 1
    root = follows("gather_powers", eq(e, a**y * a * sp.sqrt(x**2) * sp.sqrt(a**3 / b)), extra={x: -2}, seeds=[0])
    assert root.rhs.has(sp.Abs)
    refuses("gather_powers", "z")


def test_put_slopes():
    slope = eq(sp.Derivative(f(kappa), kappa), kappa**2 - a * f(kappa))
    law = eq(z, sp.diff(x * f(1 / T) + f(T) * f(a * T) - up(1 / T), T) + sp.Subs(theta * T, theta, a))
    result = applied("put_slopes", law, slope)
    known = {a: mp.mpf(2), x: -1, T: mp.mpf(0.7), kappa: 1, up: lambda _, c: mp.exp(c)}
    known[f] = lambda _, c: c**2 / 2 - c / 2 + mp.mpf(1) / 4 + mp.exp(-2 * c)
    world = World(known | {z: lambda world: evaluate(law.rhs, world)})
    assert holds(slope, world)
    assert holds(law, world)
    assert result.lhs == z
    assert holds(result, world)
    assert not any(part.has(f) for part in result.rhs.atoms(sp.Subs))
    refuses("put_slopes", eq(z, sp.diff(f(1 / T) ** 2, T, 2)), slope)
    refuses("put_slopes", law, eq(x, a))


def test_expand_logs():
    order = d / 2 - 1
    right = x * sp.log(2 ** (d / 2) * T**2 * (d - 1) * sp.besseli(order, 1 / T) / a)
    result = follows("expand_logs", eq(z, right), left=z)
    assert all(
        part.args[0].is_Atom or part.args[0] in (d - 1, sp.besseli(order, 1 / T)) for part in result.rhs.atoms(sp.log)
    )
    kept = follows(
        "expand_logs", eq(z, sp.log(x * y) + sp.log(y**2) + sp.log(a * b)), extra={x: -2, y: mp.mpf(-0.4)}, left=z
    )
    assert kept.rhs.has(sp.log(x * y))
    assert applied("expand_logs", eq(z, sp.log(a * sp.besseli(x, b)))).rhs == sp.log(a) + sp.log(sp.besseli(x, b))
    refuses("expand_logs", "z")


@pytest.mark.parametrize("k", [kappa, 2 * a / T, sp.S.One])
def test_polar_integral(k):
    law = eq(z, 2 * x * over_the_angle(sp.exp(k * sp.cos(theta))) / a)
    result = applied("polar_integral", law)
    assert result.lhs == z
    assert not result.rhs.has(sp.Integral)
    for n in (2, 3.5, 5):
        assert mp.almosteq(value(result.rhs, n), value(law.rhs, n), 1e-10)
    for wrong in (sp.exp(x * sp.cos(theta)), sp.exp(k * sp.cos(theta) ** 2), sp.cos(theta), sp.exp(k * theta)):
        refuses("polar_integral", eq(z, over_the_angle(wrong)))
    refuses("polar_integral", eq(z, over_the_angle(sp.cos(theta))), says="Poisson")
    whole = sp.exp(k * sp.cos(theta)) * sp.sin(theta) ** (d - 2)
    refuses("polar_integral", eq(z, sp.Integral(whole, (theta, 0, sp.pi / 2))))
    refuses("polar_integral", eq(z, sp.Integral(whole, (theta, -sp.pi, sp.pi))))
    refuses("polar_integral", eq(z, sp.Integral(whole / sp.sin(theta), (theta, 0, sp.pi))))


@pytest.mark.parametrize(
    ("orders", "kept"),
    [
        ((-2, -1, 0), (-1, 0)),
        ((-1, 0, 1), (-1, 0)),
        ((-2, -1, 0, 1), (-1, 0)),
        ((0, 1, 2), (0, 1)),
        ((-4, -3, -2), (-3, -2)),
    ],
)
def test_bessel_recurrences(orders, kept):
    first, second, *others = (sp.besseli(d / 2 + k, 2 * a) for k in orders)
    result = follows("bessel_recurrences", eq(z, x * first + second * y - sum(others) ** 2), left=z)
    assert {one.order for one in result.rhs.atoms(sp.besseli)} == {d / 2 + k for k in kept}
    refuses("bessel_recurrences", eq(z, sp.besseli(d / 2, a) + sp.besseli(d / 2, b)))
    refuses("bessel_recurrences", eq(z, a))


def test_leading_log():
    law = eq(f(kappa), 3 * kappa ** (1 - d / 2) * (d - 1) * sp.besseli(d / 2 - 1, kappa))
    result = applied("leading_log", law)
    assert result.lhs == sp.log(f(kappa))
    assert result.rhs.getO() == sp.Order(1 / kappa, (kappa, sp.oo))

    def log(k):
        return mp.log(3 * k ** (-mp.mpf(3) / 2) * 4 * mp.besseli(mp.mpf(3) / 2, k))

    assert order_of(result, log, kappa, far=True, d=5) == pytest.approx(1, abs=1e-3)
    refuses("leading_log", eq(f(kappa), kappa))


# Truncated series --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4])
def test_solve_in_powers(count):
    result = applied("solve_in_powers", RICCATI, f(kappa), count)
    assert result.lhs == f(kappa)
    assert result.rhs.getO() == sp.Order(kappa ** -(count + 1), (kappa, sp.oo))
    assert order_of(result, lambda k: cosine(5, k), kappa, far=True, d=5) == pytest.approx(count + 1, abs=1e-3)
    scaled = eq(sp.Derivative(f(kappa), kappa), 4 - f(kappa) ** 2 - (d - 1) * f(kappa) / kappa)
    other = applied("solve_in_powers", scaled, f(kappa), count)
    assert order_of(other, lambda k: 2 * cosine(5, 2 * k), kappa, far=True, d=5) == pytest.approx(count + 1, abs=1e-3)
    refuses("solve_in_powers", eq(sp.Derivative(f(kappa), kappa), -1 - f(kappa) ** 2), f(kappa), count)
    refuses("solve_in_powers", eq(sp.Derivative(f(kappa), kappa), 0), f(kappa), count)
    refuses("solve_in_powers", eq(sp.Derivative(f(kappa), kappa), (f(kappa) - 1) * (f(kappa) - 2)), f(kappa), count)


SERIES = eq(f(kappa), 1 - a / kappa + 3 / kappa**3 + sp.Order(kappa**-5, (kappa, sp.oo)))


def truth(k):
    return 1 - mp.mpf(2) / k + 3 / k**3 + 7 / k**5


def test_put_series():
    law = eq(z, f(1 / T) ** 2 / T + (b - f(1 / T)) / T**2)
    result = applied("put_series", law, SERIES, T)

    def whole(c):
        return truth(1 / c) ** 2 / c + (3 - truth(1 / c)) / c**2

    assert (result.lhs, result.rhs.getO()) == (z, sp.Order(T**3))
    assert order_of(result, whole, T, a=2, b=3) == pytest.approx(3, abs=1e-3)
    shorter = applied("put_series", law, SERIES, T, 1)
    assert shorter.rhs.getO() == sp.Order(T**2)
    assert order_of(shorter, whole, T, a=2, b=3) == pytest.approx(2, abs=1e-3)
    assert applied("put_series", law, SERIES, T, 9) == result
    refuses("put_series", law, eq(f(kappa), 1 - a / kappa), T)
    refuses("put_series", eq(z, T), SERIES, T)


def test_put_expansion():
    known = eq(x, a + 2 * T - T**2 + sp.Order(T**3))
    result = applied("put_expansion", eq(z, b / x + x**2 / T), known, T)

    def whole(c):
        value = 2 + 2 * c - c**2 + 5 * c**3
        return 3 / value + value**2 / c

    assert (result.lhs, result.rhs.getO()) == (z, sp.Order(T**2))
    assert order_of(result, whole, T, a=2, b=3) == pytest.approx(2, abs=1e-3)
    refuses("put_expansion", eq(z, x), eq(x, a + T), T)
    refuses("put_expansion", eq(z, b), known, T)


def test_over_gas_constant():
    constant = eq(R, (d - 1) / 2)
    result = applied("over_gas_constant", eq(C_V, (d - 1) * a - (d - 1) ** 2 * T + sp.Order(T**2)), constant)
    assert result == eq(C_V / R, 2 * a - 2 * T * (d - 1) + sp.Order(T**2))
    follows("over_gas_constant", eq(C_V, x * (d - 1) + a), constant, left=C_V / R)
    refuses("over_gas_constant", eq(C_V, a), eq(R, 0))


def test_put_truncated():
    law = eq(z, a * kappa * f(kappa) + x)
    result = applied("put_truncated", law, SERIES, eq(x, b))
    assert (result.lhs, result.rhs.getO()) == (z, sp.Order(kappa**-4, (kappa, sp.oo)))
    assert order_of(result, lambda k: 2 * k * truth(k) + 3, kappa, far=True, a=2, b=3) == pytest.approx(4, abs=1e-3)
    refuses("put_truncated", "z", SERIES)


def test_collect_logs():
    law = eq(z, R * sp.log(2 * T) - R * a * sp.log(b) + sp.Order(T))
    result = applied("collect_logs", law)
    assert (result.lhs, result.rhs.getO()) == (z, sp.Order(T))
    assert result.rhs.removeO().is_Mul
    follows("collect_logs", eq(z, R * sp.log(a * b) - x * R), left=z)
    follows("collect_logs", eq(z, R * sp.log(x * y) - R), extra={x: -2, y: mp.mpf(-0.4)}, left=z)
    refuses("collect_logs", "z")


def test_change_variable():
    named = eq(up(reduced), f(d / reduced**2))
    result = applied("change_variable", RICCATI, named, reduced)
    known = {d: 5, reduced: mp.mpf(1.4), kappa: 1, f: lambda _, k: cosine(5, k)}
    world = World(known | {up: lambda _, c: cosine(5, 5 / c**2)})
    assert result.lhs == sp.Derivative(up(reduced), reduced)
    assert holds(RICCATI, world)
    assert holds(named, world)
    assert holds(result, world)
    assert not result.rhs.has(kappa, f)
    refuses("change_variable", RICCATI, eq(up(reduced), sp.Function("other")(d / reduced)), reduced)


_a = up(reduced)
MANY = eq(sp.Derivative(_a, reduced), d * _a / reduced + d * _a**2 / reduced**2 - d / reduced**2 - _a / reduced)


def test_solve_in_dimensions():
    result = applied("solve_in_dimensions", MANY, _a, 1)
    assert (result.lhs, result.rhs.getO()) == (_a, sp.Order(d**-2, (d, sp.oo)))

    def off(n):
        return cosine(n, mp.mpf(n) / 2) - mp.mpf(sp.N(result.rhs.removeO().subs({reduced: 2, d: n}), 30))

    with mp.workdps(30):
        assert mp.log(off(400) / off(800), 2) == pytest.approx(2, abs=0.02)
    # y - 1/d solves a' = d (y - a) as it stands.
    behind = applied("solve_in_dimensions", eq(sp.Derivative(_a, reduced), d * (reduced - _a)), _a, 1)
    assert behind.rhs.removeO() == reduced - 1 / d
    refuses("solve_in_dimensions", eq(sp.Derivative(_a, reduced), d * (1 + _a**2)), _a, 1)
    refuses("solve_in_dimensions", eq(sp.Derivative(_a, reduced), 0), _a, 1)
    refuses("solve_in_dimensions", eq(sp.Derivative(_a, reduced), d * (_a - 1) * (_a - 2)), _a, 1)


MEAN = eq(_a, a + x / d + sp.Order(d**-2, (d, sp.oo)))


def test_put_many_dimensions():
    """Where the leading terms cancel, ``(a_0 - a) d`` is -x."""
    result = applied("put_many_dimensions", eq(z, (a - _a) * d + b * _a / (1 + 1 / d)), MEAN)
    assert (result.lhs, result.rhs.getO()) == (z, sp.Order(1 / d, (d, sp.oo)))
    assert order_of(
        result, lambda n: -n * (3 / n + 5 / n**2) + 7 * (2 + 3 / n + 5 / n**2) / (1 + 1 / n), d, far=True, a=2, b=7, x=3
    ) == pytest.approx(1, abs=1e-3)
    shared = applied("put_many_dimensions", eq(z, b + R / C_V), eq(C_V / R, a + sp.Order(1 / d, (d, sp.oo))))
    assert shared == eq(z, b + 1 / a + sp.Order(1 / d, (d, sp.oo)))
    refuses("put_many_dimensions", eq(z, (a - _a) * d**2), MEAN)
    root = eq(_a, sp.sqrt(a + 1) + sp.Order(d**-2, (d, sp.oo)))
    nothing = applied("put_many_dimensions", eq(z, d * (1 / (_a - 1) - (_a + 1) / a)), root)
    assert nothing.rhs == sp.Order(1 / d, (d, sp.oo))
    refuses("put_many_dimensions", eq(z, (a - _a) * d**2 + x * d), MEAN)
    refuses("put_many_dimensions", eq(z, a * d), MEAN)
    refuses("put_many_dimensions", eq(z, _a * d), MEAN)
    refuses("put_many_dimensions", eq(z, 1 / ((a - _a) * d**2 + x * d)), MEAN)
    refuses("put_many_dimensions", eq(z, _a), eq(_a, a))
