"""Numbers in equations: every kind of node, and how differences are judged."""

import mpmath as mp
import pytest
import sympy as sp

from thermo_theory.engine.evaluate import evaluate, holds, residual
from thermo_theory.engine.world import NotInterpreted, World
from thermo_theory.symbols import eq
from thermo_theory.symbols.vectors import Apply, Dot, Expectation, Generator, Mat, Quad, Sandwich, Tr, Vec

x, y = sp.symbols("x y", positive=True)
f = sp.Function("f")
u, v, M = Vec("u"), Vec("v"), Mat("M")


@pytest.fixture
def world():
    return World(
        {
            x: mp.mpf(2),
            y: lambda world: world[x] ** 2,
            f: lambda world, argument: mp.sin(argument),
            u: mp.matrix([1, 2]),
            v: mp.matrix([3, -1]),
            M: mp.matrix([[2, 1], [1, 3]]),
        },
        "toy",
        ensemble=[{x: 1}, {x: 3}],
        generator=lambda function, world: function(world.at({x: world[x] + 1})) - function(world),
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (x * y + sp.pi, 8 + mp.pi),
        (sp.log(x) * sp.exp(-y), mp.log(2) * mp.exp(-4)),
        (sp.besseli(x, y), mp.besseli(2, 4)),
        (Dot(u, v), 1),
        (Tr(M), 5),
        (Quad(M, u), 18),
        (Dot(v, Apply(M, u)), 5),
        (Expectation(x**2 / y), 1),
        (Generator(y), 5),
        (sp.Derivative(f(x), x), mp.cos(2)),
        (sp.Derivative(f(x), x, 2), -mp.sin(2)),
        (sp.Derivative(y, x, evaluate=False), 4),
        (sp.Integral(f(x), (x, 0, y)), 1 - mp.cos(4)),
        (sp.Limit(f(x) / x, x, 0), 1),
        (sp.Limit((1 + 1 / x) ** x, x, sp.oo), mp.e),
        (sp.Subs(sp.Derivative(f(y), y), y, x), mp.cos(2)),
    ],
)
def test_nodes(world, expression, value):
    with mp.workdps(30):
        assert mp.almosteq(evaluate(expression, world), value, rel_eps=mp.mpf("1e-12"))


def test_matrices(world):
    assert evaluate(Sandwich(M, M), world) == world[M] ** 3


def test_what_has_no_meaning_is_named(world):
    with pytest.raises(NotInterpreted, match="unknown"):
        evaluate(sp.Symbol("unknown"), world)
    with pytest.raises(NotInterpreted, match="g has no meaning"):
        evaluate(sp.Function("g")(x), world)


def test_a_small_error_is_an_error_and_cancellation_is_not(world):
    assert residual(sp.Eq(y, x**2), world) == 0
    assert not holds(eq(y, x**2 * (1 + sp.Float("1e-7"))), world).holds
    zero = eq(Dot(u, v) - 1, 0)
    assert holds(zero, world).holds
    assert not holds(eq(Dot(u, v), 0), world).holds


def test_a_series_is_as_good_as_its_order():
    small = sp.Symbol("T", positive=True)
    world = World({small: mp.mpf("0.1"), f: lambda world, argument: mp.exp(argument)}, "toy")
    right = 1 + small + small**2 / 2 + sp.O(small**3)
    assert holds(eq(f(small), right), world).holds
    assert not holds(eq(f(small), 1 + small + small**2 + sp.O(small**3)), world).holds
    assert not holds(eq(f(small), 1 + small + sp.O(small**3)), world).holds


def test_what_is_no_statement_is_refused(world):
    with pytest.raises(NotInterpreted, match="neither an equation"):
        holds(x, world)


def test_an_inequality_is_refuted_at_one_point_but_not_shown(world):
    assert not holds(sp.Ge(x, y), world).holds
    with pytest.raises(NotInterpreted, match="free to vary"):
        holds(sp.Le(x, y), world)
