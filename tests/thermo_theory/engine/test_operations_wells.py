"""Operations of wells: moments of the weights, Lyapunov's equation, low temperature."""

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import A, B, a, applied, b, eq, follows, matrix, order_of, refuses, true_in, u, v, x, z

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols import T1, T
from thermo_theory.symbols.vectors import (
    Apply,
    Dot,
    Expectation,
    Inverse,
    Quad,
    Sandwich,
    SkewProduct,
    SymProduct,
    Tr,
    Vec,
    identity_matrix,
)
from thermo_theory.worlds.well import normal_points

S_of = sp.Function("S_of")


def second_moment(world):
    """Mean of u u^T over the points of a world."""
    points = [evaluate(u, world.at(point)) for point in world.ensemble]
    return sum((one * one.T for one in points[1:]), points[0] * points[0].T) / len(points)


def true(statement, world):
    with mp.workdps(DIGITS):
        return true_in(statement, world)


def test_moments():
    both = a * Expectation(Quad(s.Hess, u)) / 3 + Expectation(Dot(Apply(A, u), Apply(A, u))) - b
    with mp.workdps(DIGITS):  # matrices that are the same at all points
        fixed = {s.Hess: matrix("Hess", 2), A: matrix("A", 2), B: second_moment}
        points = [{u: mp.matrix(place)} for place in ([1, 2], [-0.3, 1], [0.5, -2])]
        world = World({**fixed, u: mp.matrix([1, 2]), a: mp.mpf(2), b: mp.mpf(1) / 3}, ensemble=points)
        world = world.at({z: lambda there: evaluate(both, there)})
        result = applied("moments", eq(z, both), u, B)
        assert result == eq(z, a * Tr(SymProduct(s.Hess, B)) / 6 + Tr(Sandwich(A, B)) - b)
        assert true(result, world)
        assert not true(result, world.at({B: matrix("B", 2)}))
    refuses("moments", eq(z, Expectation(Quad(A, v))), u, B, says="no mean of a square of u")
    refuses("moments", eq(z, Expectation(Dot(Vec("k"), u))), u, B, says="no mean of a square of u")
    refuses("moments", eq(z, Expectation(Dot(Apply(A, u), Apply(B, u)))), u, B)
    refuses("moments", eq(z, Expectation(Dot(Apply(A, v), Apply(A, v)))), u, B)
    refuses("moments", eq(Expectation(Quad(A, u)), z), u, B)


def test_normal_squares():
    mean, square = Expectation(Quad(A, u)), Expectation(Quad(A, u) ** 2)
    result = applied("normal_squares", eq(z, a * square - b * mean**2), u, B)
    both, skew = SymProduct(A, B), SkewProduct(A, B)
    traces = Tr(SymProduct(both, both)) + Tr(SymProduct(skew, skew))
    assert result == eq(z, sp.expand((a - b) * mean**2 + a * traces / 4))
    with mp.workdps(DIGITS):
        spread = matrix("B", 3)
        points = [{u: place, "weight": weight} for place, weight in normal_points(spread)]
        numbers = {A: matrix("A", 3), B: spread, u: points[0][u], a: mp.mpf(2), b: mp.mpf(1) / 3}
        world = World({**numbers, z: lambda there: evaluate(a * square - b * mean**2, there)}, ensemble=points)
        assert true(result, world)
        assert not true(result, world.at({B: matrix("other", 3)}))
    for other in (Expectation(Quad(A, v) ** 2), Expectation(Quad(A, u) ** 3), mean, Expectation(Dot(u, v) ** 2)):
        refuses("normal_squares", eq(z, other), u, B, says="square of a quadratic form of u")


def test_trace_with():
    result = applied("trace_with", eq(SymProduct(A, B), a * s.Sigma + SymProduct(B, A) / 2), A)
    assert result.lhs == 2 * Tr(Sandwich(A, B))
    with mp.workdps(DIGITS):
        here, spread = matrix("A", 3), matrix("B", 3)
        noise = (here * spread + spread * here) / 4
        world = World({A: here, B: spread, a: mp.mpf(2), s.Sigma: noise})
        assert true(result, world)
        assert not true(result, world.at({s.Sigma: noise * 2}))
    plain = applied("trace_with", eq(B, a * s.Sigma), A)
    assert plain == eq(Tr(SymProduct(A, B)) / 2, a * Tr(SymProduct(A, s.Sigma)) / 2)
    follows("trace_with", eq(A, 2 * B), s.Hess, left=Tr(SymProduct(s.Hess, A)) / 2)
    refuses("trace_with", eq(z, x), A)


def test_entropy_of_normal():
    result = applied("entropy_of_normal", eq(B, T * Inverse(A) * a), T, T1, S_of(T))
    assert result == eq(S_of(T), S_of(T1) + Tr(identity_matrix) / 2 * sp.log(T / T1))
    with mp.workdps(DIGITS):

        def entropy(world, temperature):
            spread = mp.inverse(world[A]) * (temperature * world[a])
            return mp.log(mp.det(spread * (2 * mp.pi * mp.e))) / 2

        world = World({A: matrix("A", 3), a: mp.mpf(2), T: mp.mpf("0.3"), T1: mp.mpf(2), S_of: entropy})
        world = world.at({identity_matrix: mp.eye(3)})
        assert true(result, world)
        assert not true(result, world.at({S_of: lambda there, T: entropy(there, T**2)}))
    for wrong in (eq(B, T**2 * A), eq(B, A), eq(B, T * A + s.C)):
        refuses("entropy_of_normal", wrong, T, T1, S_of(T), says="not proportional to T")


def test_mean_square_of_drift():
    result = applied("mean_square_of_drift", eq(u, -a / 2 * Apply(A, s.w)), s.w, B, s.C)
    assert result == eq(s.C, a**2 / 4 * Sandwich(A, B))
    with mp.workdps(DIGITS):
        spread, here = matrix("B", 2), matrix("A", 2)
        moved = [-here * place for place, _ in normal_points(spread)]
        weights = [weight for _, weight in normal_points(spread)]
        square = sum((weight * m * m.T for m, weight in zip(moved[1:], weights[1:], strict=True)), mp.zeros(2))
        square += weights[0] * moved[0] * moved[0].T
        world = World({A: here, B: spread, a: mp.mpf(2), s.C: square})
        assert true(result, world)
        assert not true(result, world.at({a: mp.mpf(3)}))
    refuses("mean_square_of_drift", eq(u, a * Apply(A, s.w)), v, B, s.C, says="not linear in v")
    refuses("mean_square_of_drift", eq(u, Apply(A, s.w) + v), s.w, B, s.C, says="not linear in w")
    refuses("mean_square_of_drift", eq(u, Apply(A, s.w) + Apply(B, s.w)), s.w, B, s.C)
    refuses("mean_square_of_drift", eq(u, v), s.w, B, s.C)


def test_only_zero():
    skew = SkewProduct(A, B)
    for equation in (eq(SkewProduct(A, skew) / a, 0), eq(0, SkewProduct(A, skew))):
        assert applied("only_zero", equation, A) == eq(skew, 0)
    # A X + X A with A positive: its smallest singular value on skew matrices is the sum of two eigenvalues of A.
    here = matrix("A", 3)
    least = mp.fsum(sorted(mp.eigsy(here)[0])[:2])
    loose = mp.matrix([[0, 1, -2], [-1, 0, 3], [2, -3, 0]])
    assert mp.mnorm(here * loose + loose * here, "f") >= least * mp.mnorm(loose, "f") * (1 - mp.mpf(10) ** -12) > 0
    refuses("only_zero", eq(SkewProduct(B, skew), 0), A, says="does not say")
    refuses("only_zero", eq(SkewProduct(A, s.Sigma), 0), A, says="does not say")
    refuses("only_zero", eq(x * SkewProduct(A, skew), 0), A, says="does not say")  # x may be 0
    refuses("only_zero", eq(SkewProduct(A, skew), s.Sigma), A)
    refuses("only_zero", eq(SkewProduct(A, skew) + SkewProduct(A, s.Sigma), 0), A)
    refuses("only_zero", eq(SymProduct(A, B), 0), A)


# Low temperature ---------------------------------------------------------------------------------

_LINE = (x, -sp.oo, sp.oo)
_WELL = a * x**2 / 2 + b * x**3 / 6 + x**4 / 12


def ratio(function, well=_WELL, line=_LINE):
    return sp.Integral(function * sp.exp(-well / T), line) / sp.Integral(sp.exp(-well / T), line)


def truth(function, numbers):
    """The mean by a sum over a fine grid, exact for functions that are smooth and decay."""
    of, well = (sp.lambdify(x, part.subs(numbers), "mpmath") for part in (function, _WELL))

    def mean(temperature):
        xs = [mp.sqrt(temperature) * k / 5 for k in range(-100, 101)]
        densities = [mp.exp(-well(place) / temperature) for place in xs]
        return mp.fdot(densities, map(of, xs)) / mp.fsum(densities)

    return mean


@pytest.mark.parametrize(("function", "order"), [(_WELL, 2), (x**2, 3), (x, 1)])
def test_at_low_temperature(function, order):
    result = applied("at_low_temperature", eq(z, ratio(function)), T, order)
    numbers = {a: sp.Rational(3, 2), b: sp.Rational(2, 3)}
    assert (result.lhs, result.rhs.getO()) == (z, sp.O(T ** (order + 1)))
    assert sp.degree(result.rhs.removeO(), T) <= order
    plain = eq(z, result.rhs.subs(numbers))
    with mp.workdps(60):
        assert order_of(plain, truth(function, numbers), T) > order + 0.9


def test_at_low_temperature_refuses():
    for wrong, says in (
        (ratio(x**2, line=(x, 0, sp.oo)), "no mean in a well"),
        (ratio(x**2, well=x + x**2), "no mean in a well"),
        (ratio(x**2, well=1 + x**2), "no mean in a well"),
        (ratio(x**2, well=x**4), "no mean in a well"),
        (ratio(x**2, well=-(x**2)), "no mean in a well"),
        (ratio(sp.cos(x)), "no mean in a well"),
        (x**2, "no ratio of integrals"),
        (a / sp.Integral(sp.exp(-(x**2) / T), _LINE), "no ratio of integrals"),
        (sp.Integral(x, _LINE) / a, "no ratio of integrals"),
        (sp.Integral(sp.exp(-(x**2)), _LINE) / sp.Integral(sp.exp(-(x**2)), (x, 0, 1)), "no ratio of integrals"),
    ):
        refuses("at_low_temperature", eq(z, wrong), T, 2, says=says)
