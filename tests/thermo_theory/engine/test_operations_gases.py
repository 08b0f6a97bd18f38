"""Operations of the gases: meridians, level lines, potentials of modes, steps with a memory."""

import math

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from operation_worlds import a, applied, b, eq, f, follows, refuses, x, y, z
from scipy.integrate import quad, solve_ivp

import thermo_theory.theory.workbench  # noqa: F401 (its operations)
from thermo_theory import symbols as s
from thermo_theory.symbols.vectors import Dot, Inverse, Quad, Sign, Vec, VectorFunction


@pytest.mark.parametrize("n", [3, 4, 6])
def test_along_the_meridian(n):
    k, rho = sp.Rational(7, 3), sp.Function("rho")(s.theta)
    loss = 1 - sp.cos(s.theta) + sp.cos(s.theta) ** 2 / 5
    others = 2 * sp.pi ** (sp.Rational(n - 1) / 2) / sp.gamma(sp.Rational(n - 1) / 2)
    found = applied("along_the_meridian", eq(s.grad_log_rho, -k * s.grad_L_unit), rho, loss, others)
    assert found.lhs == rho
    density = sp.lambdify(s.theta, found.rhs.subs(s.d, n), "mpmath")
    # It is 1 over the sphere, and its log falls as k times the loss.
    whole = quad(lambda x: float(others) * float(density(x)) * np.sin(x) ** (n - 2), 0, np.pi)[0]
    assert whole == pytest.approx(1, rel=1e-9)
    fall = mp.log(density(0.4) / density(1.3)) - float(k * (loss.subs(s.theta, 1.3) - loss.subs(s.theta, 0.4)))
    assert abs(fall) < 1e-9
    refuses("along_the_meridian", eq(s.grad_log_rho, -s.theta * s.grad_L_unit), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_log_rho, s.w_bar - s.grad_L_unit), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_L_unit, -s.grad_log_rho), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_L, -k * s.grad_L_unit), rho, loss, others)


def test_slope_of_level_line():
    x, y = sp.symbols("x y", positive=True)
    line = sp.Function("y")(x)
    level = x * line**2 + sp.exp(x) / line
    found = applied("slope_of_level_line", eq(level, 5), line, y)
    assert found.lhs == sp.Derivative(line, x)
    slope, height = sp.lambdify((x, y), found.rhs.doit()), sp.lambdify((x, y), level.subs(line, y))
    way = solve_ivp(lambda at, now: slope(at, now), (1.0, 1.5), [2.5], rtol=1e-10, atol=1e-12)
    assert height(1.5, way.y[0, -1]) == pytest.approx(height(1.0, 2.5), rel=1e-8)
    refuses("slope_of_level_line", eq(level, x), line, y)
    refuses("slope_of_level_line", eq(level, y), line, y)
    refuses("slope_of_level_line", eq(x**2, 5), line, y)


def test_curvature_of_mode():
    form = Quad(Inverse(s.C), s.w)
    found = applied("curvature_of_mode", eq(s.Phi, s.T * form / 2), eq(s.C_ij, 0))
    # Of a diagonal covariance the potential is T w_i^2/(2 C_ii) in each mode.
    covariance, heat, step = np.diag([0.7, 1.9]), 0.3, 1e-3

    def potential(w):
        return heat * w @ np.linalg.inv(covariance) @ w / 2

    for mode, e in enumerate(np.eye(2)):
        bend = (potential(step * e) + potential(-step * e)) / step**2
        claimed = found.rhs.subs({s.T: heat, s.C_ii: covariance[mode, mode]})
        assert bend == pytest.approx(float(claimed), rel=1e-9)
    assert found.lhs == s.phi_i
    refuses("curvature_of_mode", eq(s.Phi, s.T * form / 2), eq(s.C_ij, 1))
    refuses("curvature_of_mode", eq(s.Phi, s.T * form / 2 + s.T), eq(s.C_ij, 0))
    refuses("curvature_of_mode", eq(s.L, s.T * form / 2), eq(s.C_ij, 0))


# Steps with a memory, and an optimiser of one's own ----------------------------------------------

n = sp.Symbol("n", integer=True, nonnegative=True)
w, moved, way = Vec("w"), Vec("w_1"), Vec("u")


def test_collect_decay():
    """What is left is minus the rate times a direction, of which a step by hand is made."""
    kept = 1 - s.eta * s.lam
    result = applied("collect_decay", eq(moved, w - s.eta * (way + s.lam * w)), w, kept, s.eta)
    assert result == eq(moved, kept * w - s.eta * way)
    result = applied(
        "collect_decay", eq(moved, w * (2 - s.eta * s.lam) - w - 3 * a * s.eta * Sign(way)), w, kept, s.eta
    )
    assert result == eq(moved, w * kept - 3 * a * s.eta * Sign(way))
    follows("collect_decay", eq(moved, w - s.eta * (a * way + s.lam * w)), w, kept, s.eta, left=moved)
    # A buffer after the step is a function of the rates.
    buffer = VectorFunction.named("B")(n, w, s.eta, s.lam)
    result = applied("collect_decay", eq(moved, w - s.eta * (Sign(buffer) + s.lam * w)), w, kept, s.eta)
    assert result == eq(moved, kept * w - s.eta * Sign(buffer))
    size = sp.Function("Q")(n, s.eta)
    result = applied("collect_decay", eq(moved, w - s.eta * (way / size + s.lam * w)), w, kept, s.eta)
    assert result == eq(moved, kept * w - s.eta * way / size)
    for wrong in (w - s.eta * (s.eta * way + s.lam * w), w - way - s.eta * s.lam * w, w - s.eta * way - s.lam * w):
        refuses("collect_decay", eq(moved, wrong), w, kept, s.eta, says="is not eta times a direction")


def test_chord_of():
    """2 sin(angle/2), here at 60 degrees and at 2 asin(1/4)."""
    cosine = sp.Symbol("q", positive=True)
    result = applied("chord_of", eq(s.angle, sp.acos(1 - cosine)))
    assert result == eq(s.chord, sp.sqrt(2 * cosine))
    for angle in (sp.pi / 3, 2 * sp.asin(sp.Rational(1, 4))):
        value = result.rhs.subs(cosine, 1 - sp.cos(angle))
        assert float(value) == pytest.approx(2 * math.sin(float(angle) / 2), rel=1e-12)
    refuses("chord_of", eq(s.chord, sp.acos(cosine)), says="does not give an angle")
    refuses("chord_of", eq(s.angle, sp.asin(cosine)), says="does not give an angle")


def test_sum_recursion():
    """f(n) = a f(n + 1) + g(n) with a = 2/5 and g(n) = 3^-n, followed from far away."""
    h = sp.Function("h")
    result = applied("sum_recursion", eq(f(n), a * f(n + 1) + b * h(n)), n)
    assert result == eq(f(0), sp.Sum(a**n * b * h(n), (n, 0, sp.oo)))
    factor, value = 0.4, 0.0
    for k in reversed(range(60)):
        value = factor * value + 3.0**-k
    numbers = result.subs({a: sp.Rational(2, 5), b: 1}).replace(h, lambda k: 3**-k)
    assert float(numbers.rhs.doit()) == pytest.approx(value, rel=1e-12)
    result = applied("sum_recursion", eq(f(n), -h(n) + (1 - a) * f(n + 1)), n)
    assert result.lhs == f(0)
    assert sp.simplify(result.rhs.args[0] + (1 - a) ** n * h(n)) == 0
    for wrong in (
        eq(f(n), h(n)),
        eq(f(n), n * f(n + 1) + h(n)),
        eq(f(n + 1), a * f(n) + h(n)),
        eq(f(n + 2), a * f(n + 1) + h(n)),
        eq(f(n), a * f(n + 1) + f(n + 2)),
        eq(2 * f(n), a * f(n + 1) + h(n)),
    ):
        refuses("sum_recursion", wrong, n)


def test_log_ratio():
    result = applied("log_ratio", eq(2 * sp.log(s.r_next), 2 * sp.log(s.r) + sp.log(a)))
    assert result == eq(sp.log(s.r_next) - sp.log(s.r), sp.log(a) / 2)
    refuses("log_ratio", eq(2 * sp.log(s.r_next), 3 * sp.log(s.r) + sp.log(a)))
    refuses("log_ratio", eq(sp.log(s.r_next), 2 * sp.log(s.r) + sp.log(a)))


def test_out_of_sum():
    inside = sp.Sum(f(n) * x**n, (n, 0, sp.oo))
    given = eq(z, 2 + sp.Sum(a * b * f(n) * x**n, (n, 0, sp.oo)) / b + sp.Sum(3 * n * y**n, (n, 0, 4)))
    result = applied("out_of_sum", given)
    assert result == eq(z, 2 + a * inside + 3 * sp.Sum(n * y**n, (n, 0, 4)))
    short = eq(z, sp.Sum(a * x**n, (n, 0, 3)))
    assert applied("out_of_sum", short) == eq(z, a * sp.Sum(x**n, (n, 0, 3)))
    assert sp.expand(applied("out_of_sum", short).rhs.doit() - a * (1 + x + x**2 + x**3)) == 0


def test_geometric_sums():
    """Against sums of 200 terms."""
    ratio = sp.Symbol("q", positive=True)
    for term in (a * ratio**n, a * ratio ** (2 * n + 1) / 3, -(ratio ** (n + 2)), sp.S.Zero * n):
        result = applied("geometric_sums", eq(z, b + sp.Sum(term, (n, 0, sp.oo))))
        assert not result.has(sp.Sum)
        put = {a: 0.7, b: 1.1, ratio: 0.3}
        total = 1.1 + sum(float(sp.sympify(term).subs({**put, n: k})) for k in range(200))
        assert float(result.rhs.subs(put)) == pytest.approx(total, rel=1e-12)
    # A fraction of two negative polynomials is written with positive ones.
    result = applied("geometric_sums", eq(z, sp.Sum((1 - ratio) * ratio**n, (n, 0, sp.oo)) * a))
    assert result == eq(z, a)
    assert applied("geometric_sums", eq(z, sp.Sum(ratio**n, (n, 0, sp.oo)))).rhs == 1 / (1 - ratio)
    assert applied("geometric_sums", eq(z, sp.Sum((-ratio) ** n, (n, 0, sp.oo)))).rhs == 1 / (1 + ratio)
    refuses("geometric_sums", eq(z, sp.Sum(ratio**n, (n, 1, sp.oo))), says="does not run from 0")
    refuses("geometric_sums", eq(z, sp.Sum(ratio**n, (n, 0, 5))), says="does not run from 0")
    refuses("geometric_sums", eq(z, sp.Sum(n * ratio**n, (n, 0, sp.oo))), says="is no geometric series in n")


def test_count_signs():
    """Not the product of the signs of two vectors, nor the square of another vector."""
    square, other = Dot(Sign(way), Sign(way)), Dot(Sign(way), Sign(w))
    given = eq(z, a * square + Dot(w, w) + other)
    result = applied("count_signs", given)
    assert result == eq(z, a * s.d + Dot(w, w) + other)
    assert applied("count_signs", eq(square, z)) == eq(s.d, z)
