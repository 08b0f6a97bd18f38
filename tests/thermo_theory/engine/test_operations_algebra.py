"""Each operation of `engine/operations.py` by itself: what it returns is true, and it refuses what it cannot do."""

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import A, a, applied, b, e, eq, f, follows, order_of, refuses, u, up, v, x, y, z

from thermo_theory.engine.operations import OPERATIONS, OperationError, operation
from thermo_theory.symbols import L, d, grad_L, r, tr_Sigma, w
from thermo_theory.symbols.vectors import Apply, Dot, Expectation, Quad, Tr

F, k = sp.Function("F"), sp.Symbol("k", integer=True, positive=True)


def test_substitute():
    follows("substitute", eq(z, x**2 + y), eq(x, 3 * a - y), left=z, without=x)
    follows("substitute", eq(z, x * y), eq(x, a + 1), eq(a, b / y), left=z, without=(x, a))
    follows("substitute", eq(F(x), f(y) * x), eq(f(y), y**2 - 1), left=F(x), without=f)
    follows("substitute", eq(u, 2 * v + Apply(A, v)), eq(Apply(A, v), x * v), left=u, without=A)
    slope = follows("substitute", eq(F(x), sp.Derivative(f(x), x)), eq(f(x), sp.sin(x) * y), left=F(x))
    assert slope.rhs == y * sp.cos(x)
    kept = follows("substitute", eq(z, y * sp.Integral(sp.Derivative(f(a), a), (a, 1, 2))), eq(y, b), left=z, without=y)
    assert kept.rhs.has(sp.Integral)
    assert applied("substitute", eq(z, y * sp.Sum(k * b, (k, 1, 3))), eq(y, a)).rhs.has(sp.Sum)
    assert applied("substitute", eq(z, x), eq(x, z)) == eq(z, z)
    bound = applied("substitute", sp.Ge(z, x + y, evaluate=False), eq(x, a))
    assert bound == sp.Ge(z, a + y, evaluate=False)
    refuses("substitute", eq(z, x), eq(y, a))
    refuses("substitute", eq(z, 1 / x), eq(x, 0))
    refuses("substitute", eq(z, x), sp.Ge(x, a, evaluate=False))


def test_solve_for():
    follows("solve_for", eq(z, x * y + 2), x, left=x, without=x)
    follows("solve_for", eq(z, a**2 * b), a, left=a, without=a)
    follows("solve_for", eq(z, sp.log(a) - b), a, left=a)
    follows("solve_for", eq(z, (d - 1) * a**2 / b), a, left=a)
    follows("solve_for", eq(z, 2 * d + 1), d, left=d, without=d)
    follows("solve_for", eq(v, a * u + Apply(A, w)), u, left=u)
    follows("solve_for", eq(z, Dot(u, v) * Tr(A) / a + Quad(A, u)), Quad(A, u), left=Quad(A, u))
    follows("solve_for", eq(up(x) * e, Dot(u, u) / b), b, left=b)
    follows(
        "solve_for", eq(z, a * Expectation(Dot(u, v)) + Expectation(r**2)), Expectation(r**2), left=Expectation(r**2)
    )
    follows("solve_for", eq(z, x * b - sp.Sum(a * up(k) ** 2, (k, 1, 3))), x, left=x)
    follows("solve_for", eq(z, x * b - sp.Integral(up(y) ** 2, (y, 0, 1))), x, left=x, seeds=[0])
    follows("solve_for", eq(z, x * b - sp.Limit(up(y) ** 2, y, 0) + sp.Subs(f(y) * e, y, 2 * a)), x, left=x, seeds=[0])
    assert applied("solve_for", eq(z, x / sp.besseli(b, e)), x).rhs == z * sp.besseli(b, e)
    assert follows("solve_for", eq(a**2, Dot(u, u)), a).rhs == sp.sqrt(Dot(u, u))
    assert follows("solve_for", eq(a**2, Expectation(r**2) ** 2), Expectation(r**2)).rhs == a
    refuses("solve_for", eq(z, x**2), x)
    refuses("solve_for", eq(z, y), x)
    refuses("solve_for", eq(a + 1, b - a), b - a)
    refuses("solve_for", eq(Expectation(Dot(u, v)) ** 2, a), Expectation(Dot(u, v)))
    refuses("solve_for", eq(a**2 - 3 * a * b + 2 * b**2, 0), a)
    refuses("solve_for", eq(x * y, x * z), x)
    refuses("solve_for", eq(x * y, x * z), y)
    refuses("solve_for", eq(Dot(u, v) * y, Dot(u, v) * z), y)
    for factor in (a, Dot(u, u), Expectation(Dot(u, u) * tr_Sigma), up(z)):
        assert applied("solve_for", eq(factor * y, factor * z * a), y) == eq(y, a * z)
    refuses("solve_for", sp.Ge(z, x, evaluate=False), x)


def test_eliminate():
    one, two, three = Expectation(r**2), Expectation(Dot(u, v)), Expectation(Dot(v, v))
    first, second = eq(z, a * one + 2 * two - three), eq(y, one - b * two)
    third = eq(x, two + e * three)
    follows("eliminate", first, second, third, unknown=one, others=(two, three), left=one, without=(Dot, r))
    follows("eliminate", first, second, third, unknown=three, others=(one, two), left=three)
    refuses("eliminate", first, second, unknown=one, others=(two, three))
    refuses("eliminate", first, first, third, unknown=one, others=(two, three))
    refuses("eliminate", eq(z, one**2), eq(y, two), unknown=one, others=(two,))
    refuses("eliminate", eq(z, two), eq(y, two + three), unknown=one, others=(two, three))


def test_differentiate():
    result = follows("differentiate", eq(F(x, y), x**3 * y + f(x)), x, left=sp.Derivative(F(x, y), x))
    assert sp.expand(result.rhs - 3 * x**2 * y - sp.Derivative(f(x), x)) == 0
    follows("differentiate", eq(F(a), sp.log(a) * b + f(1 / a)), a, seeds=(1, 2))
    refuses("differentiate", eq(z, x**2), x)
    refuses("differentiate", eq(x, y**2), x)
    refuses("differentiate", eq(f(x) * y, x**2 * y), y)


def test_scale():
    result = follows("scale", eq(z, x / a + y), a, left=a * z)
    assert result.rhs == x + a * y
    refuses("scale", sp.Ge(z, x, evaluate=False), -1)


def test_add():
    follows("add", eq(z, x), eq(a, y - x), left=a + z)
    follows("add", eq(z, x), eq(a, y), eq(b, e), weights=(-2, x), left=-2 * a + x * b + z)
    follows("add", eq(z, x), eq(a, y), eq(b, e), left=a + b + z)
    refuses("add", eq(z, x), eq(a, y), weights=(1, 2))
    refuses("add", sp.Ge(z, x, evaluate=False), eq(a, y))
    refuses("add", eq(z, x), sp.Ge(a, y, evaluate=False))


def test_equate():
    assert applied("equate", eq(z, x + y), eq(z, a)) == eq(x + y, a)
    refuses("equate", eq(z, x), eq(y, x))


def test_flip():
    assert follows("flip", eq(z, x + y)) == eq(x + y, z)
    refuses("flip", sp.Ge(z, x, evaluate=False))


def test_at_once():
    result = follows("at_once", eq(F(x, y), x - y**2), {x: y, y: x}, left=F(y, x))
    assert result.rhs == y - x**2
    follows("at_once", eq(F(a, u), a * Dot(u, v)), {a: b**2, u: a * u}, left=F(b**2, a * u))
    assert applied("at_once", eq(f(x), x), {x: a, y: b}) == eq(f(a), a)
    assert applied("at_once", eq(a * b, e * x), {a: e, x: y}) == eq(e * b, e * y)
    refuses("at_once", eq(f(a), a), {a: x})
    refuses("at_once", eq(z, x - y), {x: a})
    refuses("at_once", eq(f(x), x - y), {x: a, y: b})


def test_rescale():
    result = follows("rescale", eq(F(a, b), a / b), {a: a * e, b: b / e}, left=F(a * e, b / e))
    assert result.rhs == a * e**2 / b
    assert applied("rescale", eq(F(u, a), a * Dot(u, v)), {u: 2 * u}).rhs == 2 * a * Dot(u, v)
    refuses("rescale", eq(F(a), a), {b: e})
    assert applied("rescale", eq(a * b, e), {a: 2 * a, e: 2 * e}) == eq(2 * a * b, 2 * e)
    refuses("rescale", eq(x, a), {a: 2 * a})


def test_choose():
    assert follows("choose", eq(F(a, b), sp.log(a) * b), a, b**2) == eq(F(b**2, b), sp.log(b**2) * b)
    kept = applied("choose", eq(F(x, y), sp.sqrt(x) + y), x, y**2)
    assert kept.rhs == sp.Abs(y) + y
    refuses("choose", eq(z, x), x, 2)
    refuses("choose", eq(F(x), 1 / x), x, 0)


@pytest.mark.parametrize("name", ["simplify", "expand", "factor"])
def test_simplify_expand_factor(name):
    shapes = {
        "simplify": [
            (eq(z, (x**2 - y**2) / (x - y) + 1), x + y + 1),
            (eq(f(x), sp.Abs(y) * (a + a * b) / (1 + b)), a * sp.Abs(y)),
        ],
        "expand": [(eq(z, (x - y) ** 2), x**2 - 2 * x * y + y**2)],
        "factor": [(eq(z, x**2 - y**2), (x - y) * (x + y))],
    }
    for equation, shape in shapes[name]:
        result = follows(name, equation, left=equation.lhs)
        assert result.rhs == shape
        refuses(name, result, says="changes nothing")
    flipped = follows(name, eq((x + y) ** 2 - x * (x + y), z))
    assert flipped.lhs == {"simplify": y * (x + y), "expand": x * y + y**2, "factor": y * (x + y)}[name]
    assert applied(name, eq(x * (x + 1) - x, x**2)) == eq(x**2, x**2)
    bound = sp.Le(z, x * (x + 1) - x, evaluate=False)
    assert applied(name, bound) == sp.Le(z, x**2, evaluate=False)
    refuses(name, "z = x")


def test_evaluate_integrals():
    integral = sp.Integral(x**2 * a, (x, 0, y)) + sp.Sum(k * b, (k, 1, 3)) + sp.Derivative(y**3, y)
    assert sp.expand(follows("evaluate_integrals", eq(z, integral), left=z).rhs) == a * y**3 / 3 + 6 * b + 3 * y**2
    refuses("evaluate_integrals", eq(z, x + y))
    refuses("evaluate_integrals", eq(z, sp.Integral(sp.exp(sp.sin(x**3)), (x, 0, 1)) + sp.Sum(k, (k, 1, 3))))


def test_integrate():
    result = follows("integrate", eq(F(x), x**2 * y + f(y)), x, a, b, left=sp.Integral(F(x), (x, a, b)))
    assert sp.expand(result.rhs - y * (b**3 - a**3) / 3 - f(y) * (b - a)) == 0
    refuses("integrate", eq(F(x), 1 / x), x, -1, 1)
    refuses("integrate", eq(F(x), sp.exp(sp.sin(x**3))), x, 0, 1)
    refuses("integrate", eq(z, x**2), x, 0, 1)


def test_series():
    result = applied("series", eq(F(a), sp.exp(a) / (1 - b * a)), a, 0, 3)
    assert (result.lhs, result.rhs.getO()) == (F(a), sp.Order(a**3))
    assert order_of(result, lambda t: mp.exp(t) / (1 - t / 3), a, b=sp.Rational(1, 3)) == pytest.approx(3, abs=1e-3)
    far = applied("series", eq(F(a), 1 / (a - b)), a, sp.oo, 4)
    assert order_of(far, lambda t: 1 / (t - mp.mpf(1) / 3), a, far=True, b=sp.Rational(1, 3)) == pytest.approx(
        4, abs=1e-3
    )
    inner = applied("series", eq(F(x), sp.exp(x)), x, 1, 2)
    assert sp.expand(inner.rhs.removeO()) == sp.E * x
    edge = applied("series", eq(F(a), sp.exp(sp.sqrt(a))), a, 0, 1)
    assert edge.rhs.removeO() == 1 + sp.sqrt(a)
    refuses("series", eq(F(x), sp.Abs(x)), x, 0, 2)
    refuses("series", eq(F(a), f(a) * sp.Abs(a - 1)), a, 1, 2)


def test_limit_of():
    result = follows("limit_of", eq(F(a), sp.sin(a) * y / a), a, 0, left=sp.Limit(F(a), a, 0, "+"), seeds=(0,))
    assert result.rhs == y
    assert applied("limit_of", eq(F(x), sp.sign(x) * y), x, 0, "-") == eq(sp.Limit(F(x), x, 0, "-"), -y)
    assert applied("limit_of", eq(F(x), sp.sign(x) * y), x, 0) == eq(sp.Limit(F(x), x, 0, "+"), y)
    refuses("limit_of", eq(F(x), sp.sin(1 / x)), x, 0)
    refuses("limit_of", eq(z, x), x, 0)


def test_solve_ode():
    rate, start = eq(sp.Derivative(F(a), a), x - y * F(a)), eq(F(0), z)
    result = applied("solve_ode", rate, F(a), start=start)
    numbers = {x: sp.Rational(13, 10), y: sp.Rational(7, 10), z: sp.Rational(-4, 10)}
    assert result.lhs == F(a)
    assert result.rhs.free_symbols == {a, x, y, z}
    with mp.workdps(20):
        solved = mp.odefun(lambda _, value: mp.mpf("1.3") - mp.mpf("0.7") * value, 0, mp.mpf("-0.4"))
        assert abs(solved(1.5) - sp.N(result.rhs.subs(numbers).subs(a, sp.Rational(3, 2)), 20)) < 1e-15
    refuses("solve_ode", eq(sp.Derivative(F(a), a) ** 2, F(a)), F(a), start=start)
    refuses("solve_ode", eq(sp.Derivative(F(a), a) ** 2, 1), F(a), start=start, says="no one solution")
    refuses("solve_ode", eq(sp.Derivative(F(a), a), 1 / (1 + F(a) ** 4)), F(a), start=start, says="no one solution")
    refuses("solve_ode", eq(z, x), F(a), start=start)
    refuses("solve_ode", rate, F(a))


def test_expectation():
    result = follows("expectation", eq(L, a * r**2 * Dot(w, grad_L) + 2 * b + tr_Sigma), left=Expectation(L), without=L)
    assert result.rhs == a * Expectation(r**2 * Dot(w, grad_L)) + 2 * b + Expectation(tr_Sigma)
    follows("expectation", eq(Dot(w, w), r**2 - a), left=Expectation(Dot(w, w)))
    refuses("expectation", sp.true)


def test_project():
    follows("project", eq(u, a * v - Apply(A, v)), w, left=Dot(u, w))
    assert applied("project", eq(0, a * v - u), w) == eq(0, a * Dot(v, w) - Dot(u, w))
    assert applied("project", eq(u, 0), v) == eq(Dot(u, v), 0)
    refuses("project", eq(z, a), w)


def test_an_operation_returns_an_equation_or_says_why_not():
    before = dict(OPERATIONS)

    @operation("fail")
    def failing(equation, error):
        """What may go wrong inside."""
        if error is None:
            return sp.true
        raise error

    try:
        for error in (None, ValueError(), KeyError(), TypeError(), NotImplementedError(), ZeroDivisionError()):
            with pytest.raises(OperationError, match="failing"):
                failing(eq(x, y), error)
        with pytest.raises(OperationError, match="as it was"):
            failing(eq(x, y), OperationError("as it was"))
        with pytest.raises(MemoryError):
            failing(eq(x, y), MemoryError())
        with pytest.raises(OperationError, match="inequality"):
            failing(sp.Ge(x, y, evaluate=False), None)
    finally:
        OPERATIONS.clear()
        OPERATIONS.update(before)
