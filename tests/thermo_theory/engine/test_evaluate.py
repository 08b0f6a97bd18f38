"""Numbers in equations: every kind of node, and how differences are judged."""

import random
from collections import Counter

import mpmath as mp
import pytest
import sympy as sp

from thermo_theory.engine.checking import Worlds
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


# What worlds remember ----------------------------------------------------------------------------


def _web(dice, count=8):
    """Meanings of the names 0, 1, ...: numbers, or sums of what some lower names mean here or elsewhere."""

    def of(name):
        below = dice.sample(range(name), dice.randint(0, min(name, 3)))
        moved = {str(dice.randrange(name)): mp.mpf(dice.randint(10, 99))} if name and dice.random() < 0.4 else {}
        own = mp.mpf(dice.randint(1, 9))
        return lambda world: own + sum(((world.at(moved) if k % 2 else world)[str(k)] for k in below), mp.mpf(0))

    return {str(name): of(name) for name in range(count)}


def test_worlds_remember_nothing_that_has_changed():
    for seed in range(200):
        dice = random.Random(seed)
        meanings, changes = _web(dice), {}
        world = World(meanings)
        for _ in range(6):
            name = str(dice.randrange(8))
            assert world[name] == World({**meanings, **changes})[name]
            change = {str(dice.randrange(8)): mp.mpf(dice.randint(10, 99))}
            world, changes = world.at(change), changes | change


def test_a_value_is_computed_once_for_all_worlds_in_which_it_is_the_same():
    asked = Counter()

    def root(world):
        asked["root"] += 1
        return mp.sqrt(world[x])

    world = World({x: mp.mpf(2), y: mp.mpf(3), "root": root})
    assert [world.at({y: value})["root"] for value in (1, 2)] == [mp.sqrt(2)] * 2
    assert world["root"] == mp.sqrt(2)
    assert asked["root"] == 1
    assert world.at({y: 1}).at({x: 9})["root"] == 3
    assert world["root"] == mp.sqrt(2)
    with mp.workdps(50):
        assert mp.fabs(world["root"] ** 2 - 2) < mp.mpf(10) ** -48, "not the one with fewer digits"


def test_what_is_made_of_a_failure_follows_what_failed():
    def root(world):
        if world[x] < 0:
            raise ValueError("no root")
        return mp.sqrt(world[x])

    def root_or_zero(world):
        try:
            return world["root"]
        except ValueError:
            return 0

    world = World({x: mp.mpf(-4), "root": root, "root or zero": root_or_zero})
    assert world["root or zero"] == 0
    assert world.at({x: mp.mpf(4)})["root or zero"] == 2
    assert world.at({"root": mp.mpf(3)})["root or zero"] == 3


def test_makers_are_asked_once_for_assumptions_that_they_treat_alike():
    made = []

    def maker(number, granted):
        made.append(number)
        return World({x: 1 if "isotropic noise" in granted else 2})

    worlds = Worlds([maker])
    one, other = worlds.granting(["stationarity"]), worlds.granting(["scale invariance"])
    assert one == other
    assert len(made) == len(one)
    assert [world[x] for world in worlds.granting(["isotropic noise"])] == [1] * len(one)

    def late(number, granted):
        return World({x: lambda world: 1 if "isotropic noise" in granted else 2})

    with pytest.raises(LookupError, match="before it returns"):
        Worlds([late]).granting(["stationarity"])[0][x]

    def lists(number, granted):
        return World({x: len(list(granted))})

    assert [Worlds([lists]).granting(names)[0][x] for names in (["stationarity"], [])] == [1, 0]
