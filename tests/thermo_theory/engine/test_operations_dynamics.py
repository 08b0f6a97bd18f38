"""Operations on motion, noise and densities: Ito's lemma and its kin against generators in explicit coordinates.

Drift and diffusion are general functions of the weights, neither scale-invariant nor isotropic nor homogeneous; their
generator is ``b_i d_i f + D_ij d_i d_j f/2`` with derivatives to thirty digits.
"""

from itertools import product

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import A, B, a, applied, b, e, eq, f, follows, matrix, refuses, true_in, u, v, vector, x, y, z

from thermo_theory import symbols as s
from thermo_theory.engine.differentials import SurfaceIntegral
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols.vectors import (
    Apply,
    Dot,
    Expectation,
    Generator,
    NoiseVariance,
    Tr,
)

DRIFT, SPREAD = eq(s.drift, a * v - Apply(B, s.w)), eq(s.diffusion, a**2 * A + b * B)
q = sp.Symbol("s", positive=True)


def drift_at(w):
    return mp.matrix([mp.sin(w[k] + w[0] / 2) + w[k - 1] ** 2 / 3 - k for k in range(w.rows)])


def spread_at(w):
    root = matrix("root", w.rows, symmetric=False) + w * w.T / 3
    return root * root.T


def slopes(function, w):
    """First derivatives of a function of the weights, in explicit coordinates."""
    n = w.rows
    unit = [tuple(int(j == k) for j in range(n)) for k in range(n)]
    return mp.matrix([mp.diff(lambda *c: function(mp.matrix(c)), tuple(w), one) for one in unit])


def bends(function, w):
    """Second derivatives."""
    n, result = w.rows, mp.zeros(w.rows)
    for j, k in product(range(n), repeat=2):
        orders = tuple(int(i == j) + int(i == k) for i in range(n))
        result[j, k] = mp.diff(lambda *c: function(mp.matrix(c)), tuple(w), orders) if j <= k else result[k, j]
    return result


def generated(function, w, drift, spread):
    """Mean rate of change of a function of the weights, a number or a vector."""
    value = function(w)
    if isinstance(value, mp.matrix):
        return mp.matrix([generated(lambda c, k=k: function(c)[k], w, drift, spread) for k in range(value.rows)])
    second = bends(function, w)
    return (
        mp.fdot(slopes(function, w), drift)
        + mp.fsum(spread[k] * second[k] for k in product(range(w.rows), repeat=2)) / 2
    )


def moving(n):
    """Weights of n dimensions that move with a general drift and diffusion."""

    def generator(function, world):
        drift, spread = evaluate(DRIFT.rhs, world), evaluate(SPREAD.rhs, world)
        return generated(lambda c: function(world.at({s.w: c})), world[s.w], drift, spread)

    meanings = {
        a: mp.mpf(0.7),
        b: mp.mpf(0.4),
        s.w: vector(f"weights {n}", n),
        v: lambda world: drift_at(world[s.w]),
        A: lambda world: spread_at(world[s.w]),
        B: matrix("B", n),
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.w_bar: lambda world: world[s.w] / world[s.r],
        s.Pi: lambda world: mp.eye(n) - world[s.w_bar] * world[s.w_bar].T,
    }
    return World(meanings, generator=generator)


def holds(statement, *worlds):
    with mp.workdps(DIGITS):
        return all(true_in(statement, world) for world in worlds)


@pytest.mark.parametrize("function", [q, q**2 - 3 * q, sp.log(q) / 2, sp.exp(-q / 3) * q])
def test_ito_of_norm(function):
    result = applied("ito_of_norm", DRIFT, SPREAD, function, q, s.w)
    assert result.lhs == Generator(function.subs(q, Dot(s.w, s.w)))
    assert holds(result, moving(2), moving(3))
    refuses("ito_of_norm", eq(z, x), SPREAD, function, q, s.w)
    refuses("ito_of_norm", DRIFT, SPREAD, function * s.r, q, s.w)


def test_ito_of_unit_vector():
    result = applied("ito_of_unit_vector", DRIFT, SPREAD, s.w_bar, s.w, s.r)
    assert result.lhs == Generator(s.w_bar)
    assert holds(result, moving(2), moving(4))
    refuses("ito_of_unit_vector", eq(z, x), SPREAD, s.w_bar, s.w, s.r)


def unit(w):
    return w / mp.norm(w, 2)


def along_sphere(world):
    """Drift and covariance of the direction along the sphere, from the generator and the gradients of its parts."""
    w = world[s.w]
    drift = world[s.Pi] * evaluate(Generator(s.w_bar), world)
    turns = [slopes(lambda c, k=k: unit(c)[k], w) for k in range(w.rows)]
    spread = evaluate(SPREAD.rhs, world)
    return drift, mp.matrix([[mp.fdot(one, spread * other) for other in turns] for one in turns])


def test_ito_of_direction():
    result = applied("ito_of_direction", DRIFT, SPREAD, s.drift_unit, s.w, s.Pi, s.r)
    assert result.lhs == s.drift_unit
    assert holds(result, *(moving(n).at({s.drift_unit: lambda world: along_sphere(world)[0]}) for n in (2, 3)))
    refuses("ito_of_direction", eq(z, x), SPREAD, s.drift_unit, s.w, s.Pi, s.r)


def test_ito_square_of_direction():
    result = applied("ito_square_of_direction", SPREAD, s.diffusion_unit, s.Pi, s.r)
    assert result.lhs == s.diffusion_unit
    assert holds(result, *(moving(n).at({s.diffusion_unit: lambda world: along_sphere(world)[1]}) for n in (2, 4)))
    refuses("ito_square_of_direction", eq(z, x), s.diffusion_unit, s.Pi, s.r)


def loss_of(w):
    return mp.sin(2 * w[0]) + w[0] * w[1] ** 2 + mp.exp(w[w.rows - 1])


def test_ito_of_loss():
    drift, spread = eq(s.drift_unit, u), eq(s.diffusion_unit, (a - b) * s.Sigma)
    result = applied("ito_of_loss", drift, spread, s.L, s.grad_L_unit, s.Hess)
    assert result.lhs == Generator(s.L)

    def curvature(world):
        return world[s.Pi] * bends(lambda c: loss_of(unit(c)), world[s.w_bar]) * world[s.Pi]

    more = {
        u: lambda world: along_sphere(world)[0],
        s.Sigma: lambda world: along_sphere(world)[1] / (world[a] - world[b]),
        s.L: lambda world: loss_of(world[s.w_bar]),
        s.grad_L_unit: lambda world: slopes(lambda c: loss_of(unit(c)), world[s.w_bar]),
        s.Hess: curvature,
    }
    assert holds(result, moving(2).at(more), moving(3).at(more))
    refuses("ito_of_loss", eq(z, x), spread, s.L, s.grad_L_unit, s.Hess)


LOSS = eq(s.L, s.h * s.x1**2 / 2 + sp.sin(s.x1) * s.x2**3 + s.coupling * s.x1 * s.x2**2)
PLACES = [{s.x1: mp.mpf(k) / 3 - 1, s.x2: mp.mpf(2) / (k + 1)} for k in range(4)]


def descending(temperature):
    """Two coordinates that go down their gradients, the first with noise of a temperature; an ensemble of them."""

    def generator(function, world):
        place = mp.matrix([world[s.x1], world[s.x2]])

        def at(c):
            return world.at({s.x1: c[0], s.x2: c[1]})

        pull = slopes(lambda c: evaluate(LOSS.rhs, at(c)), place)
        drift = mp.matrix([-world[s.eta1] * pull[0], -world[s.eta2] * pull[1] if not temperature else 0])
        spread = mp.diag([2 * world[s.eta1] * temperature, 0])
        return generated(lambda c: function(at(c)), place, drift, spread)

    numbers = {s.h: 2, s.coupling: -0.7, s.eta1: 0.3, s.eta2: 0.6, s.T1: temperature}
    return World(numbers | PLACES[0], ensemble=PLACES, generator=generator)


def test_down_the_gradient():
    for place, rate in ((s.x1, s.eta1), (s.x2, s.eta2)):
        result = applied("down_the_gradient", LOSS, place, rate)
        assert result.lhs == Generator(place)
        assert holds(result, descending(0), descending(0).at(PLACES[2]))
    refuses("down_the_gradient", LOSS, s.x1 + s.x2, s.eta1)


def test_change_by_block():
    result = applied("change_by_block", LOSS, s.x1, s.eta1, s.T1, s.heat)
    mean = Expectation(Generator(LOSS.rhs))
    assert result.lhs == s.heat
    assert holds(result, descending(mp.mpf(1.3)).at({s.heat: lambda world: evaluate(mean, world)}))
    refuses("change_by_block", LOSS, s.x1 + s.x2, s.eta1, s.T1, s.heat)


def test_second_moment():
    drift, spread = eq(s.drift, a * Apply(A, s.w) - Apply(B, s.w)), eq(s.diffusion, 2 * s.Sigma)
    result = applied("second_moment", drift, spread, s.C_next, s.w, s.C)
    assert result.lhs == s.C_next
    points = [vector(k, 3) for k in range(4)]

    def later(world):
        total = mp.zeros(3)
        for j, k in product(range(3), repeat=2):
            for w in points:
                pull = evaluate(drift.rhs, world.at({s.w: w}))
                total[j, k] += generated(lambda c, j=j, k=k: c[j] * c[k], w, pull, 2 * world[s.Sigma]) / 4
        return world[s.C] + total

    meanings = {a: mp.mpf(0.6), s.C_next: later, s.Sigma: matrix("Sigma", 3), A: matrix("A", 3, symmetric=False)}
    meanings |= {B: matrix("B", 3), s.C: sum((w * w.T / 4 for w in points), mp.zeros(3))}
    assert holds(result, World(meanings))
    refuses("second_moment", eq(s.drift, Apply(A, s.w) + v), spread, s.C_next, s.w, s.C, says="not linear")
    refuses("second_moment", eq(s.drift, Apply(A, v)), spread, s.C_next, s.w, s.C)


# The norm ----------------------------------------------------------------------------------------

GROWTH = eq(Generator(s.r**2), a * s.r**4 - b / s.r + 2)


@pytest.mark.parametrize("power", [4, -2, 1])
def test_as_rate(power):
    path = sp.Function("y", positive=True)
    result = applied("as_rate", GROWTH, s.r, path(s.t), power, s.t)
    assert result.lhs == sp.Derivative(path(s.t), s.t)
    assert s.r not in result.rhs.free_symbols
    start, time = mp.mpf(1.3), mp.mpf(0.4)

    def moved(world, now):
        speed = evaluate(GROWTH.rhs, world.at({s.r: start}))
        return (start**2 + (now - time) * speed) ** (mp.mpf(power) / 2)

    assert holds(result, World({a: 0.8, b: 0.3, s.t: time, path: moved}))
    refuses("as_rate", eq(Generator(s.r**4), a), s.r, path(s.t), power, s.t)


@pytest.mark.parametrize("power", [4, 2])
def test_slope_of_change(power):
    growth = eq(Generator(s.r**power), GROWTH.rhs)
    result = applied("slope_of_change", growth, s.r, power, s.relaxation)

    def time(world):
        def rate(size):
            return evaluate(growth.rhs, world.at({s.r: size ** (1 / mp.mpf(power))}))

        return -1 / mp.diff(rate, world[s.r] ** power)

    assert result.lhs == 1 / s.relaxation
    assert holds(result, World({a: 0.8, b: 0.3, s.r: 1.1, s.relaxation: time}))
    refuses("slope_of_change", growth, s.r, 3, s.relaxation)


STEP = s.w - a * s.g
SQUARE = eq(Dot(s.w_next, s.w_next), s.r**2 - 2 * a * Dot(s.g, s.w) + a**2 * Dot(s.g, s.g))


def test_mean_change():
    result = applied("mean_change", SQUARE, s.r**2)
    batches = [{s.g: vector(f"batch {k}", 3)} for k in range(3)]

    def generator(function, world):
        stepped = [function(world.at({s.w: evaluate(STEP, world.at(batch))})) for batch in batches]
        return mp.fsum(stepped) / 3 - function(world)

    norm = {s.w: vector("w", 3), s.r: lambda world: mp.norm(world[s.w], 2)}
    world = World({"batches": batches, a: mp.mpf(0.4)} | norm, generator=generator)
    assert result.lhs == Generator(s.r**2)
    assert holds(result, world)
    refuses("mean_change", eq(s.w_next, STEP), "r**2")


def test_noise_variance():
    follows("noise_variance", SQUARE, left=NoiseVariance(Dot(s.w_next, s.w_next)))
    follows("noise_variance", eq(Dot(s.w_next, s.w_next), b * Dot(s.g, s.g) + e * Dot(s.w, s.w)))
    assert applied("noise_variance", eq(z, a + Dot(s.w, s.w))) == eq(0, 0)
    refuses("noise_variance", "z")


def test_independent_mean():
    law, count = eq(f(s.T), s.T * (s.d - 1) * a), s.N
    result = applied("independent_mean", law, count, s.squared)
    points = [vector(f"independent {k}", 2) for k in range(3)]
    points.append(-sum(points, mp.zeros(2, 1)))
    square = mp.fsum(mp.norm(w, 2) ** 2 for w in points) / 4
    for number in (1, 2, 3):
        means = [sum(some, mp.zeros(2, 1)) / number for some in product(points, repeat=number)]
        mean_square = mp.fsum(mp.norm(w, 2) ** 2 for w in means) / len(means)
        world = World({s.T: square / 3, s.d: 2, a: 3, s.N: number, s.squared: mean_square})
        assert result.lhs == s.squared
        assert holds(result, world)
    refuses("independent_mean", eq(u, v), count, s.squared, "more")


# Densities on the circle -------------------------------------------------------------------------


def circle(**more):
    """A density, a loss and a tangent field on the circle, all general; the density moves with the field."""
    nodes = [2 * mp.pi * k / 64 for k in range(64)]

    def density(angle):
        return (1 + mp.cos(angle) / 3 + mp.sin(2 * angle) / 4) / (2 * mp.pi)

    def loss(angle):
        return mp.sin(angle) - mp.cos(3 * angle) / 2

    def field(angle):
        return mp.cos(angle) + mp.sin(angle) ** 2 / 2 + mp.mpf(1) / 3

    def along(angle, size):
        return size * mp.matrix([-mp.sin(angle), mp.cos(angle)])

    def functional(world, time):
        values = []
        for angle in nodes:
            moved = density(angle) - time * mp.diff(lambda c: density(c) * field(c), angle)
            values.append(evaluate(world.meanings["integrand"], world.at({s.rho: moved, s.L: loss(angle)})))
        return mp.fsum(values) * 2 * mp.pi / 64

    meanings = {
        "angle": mp.mpf(0.6),
        "nodes": nodes,
        s.T: mp.mpf(0.7),
        s.t: mp.mpf(0),
        s.rho: lambda world: density(world["angle"]),
        s.L: lambda world: loss(world["angle"]),
        s.current: lambda world: along(world["angle"], field(world["angle"])),
        s.lap_L: lambda world: mp.diff(field, world["angle"]),
        s.grad_L_unit: lambda world: along(world["angle"], mp.diff(loss, world["angle"])),
        s.grad_log_rho: lambda world: along(world["angle"], mp.diff(lambda c: mp.log(density(c)), world["angle"])),
        f: functional,
    }
    return World(meanings | more, ensemble=[{"angle": c, "weight": density(c)} for c in nodes])


@pytest.mark.parametrize("integrand", [s.rho * (s.L + s.T * sp.log(s.rho)), s.rho**2 * sp.sin(s.L) + s.rho * s.L**2])
def test_move_with_the_flow(integrand):
    names = (s.current, s.grad_L_unit, s.grad_log_rho, s.rho, s.L, s.t)
    result = applied("move_with_the_flow", eq(f(s.t), SurfaceIntegral(integrand)), *names)
    assert result.lhs == sp.Derivative(f(s.t), s.t)
    assert holds(result, circle(integrand=integrand))
    refuses("move_with_the_flow", eq(f(s.t), integrand), *names)


def test_by_parts():
    result = applied("by_parts", eq(s.lap_L, Tr(s.Hess)), s.current, s.grad_log_rho)
    assert result.lhs == Expectation(s.lap_L)
    assert holds(result, circle())
    refuses("by_parts", "div", s.current, s.grad_log_rho)


def test_never_rises():
    rate = -a * SurfaceIntegral(s.rho * Dot(s.current, s.current))
    assert applied("never_rises", eq(z, rate)) == sp.Le(z, 0, evaluate=False)
    with mp.workdps(DIGITS):
        assert evaluate(rate, circle().at({a: 2})) < 0
    assert applied("never_rises", eq(0, rate)) == sp.Le(0, 0, evaluate=False)
    refuses("never_rises", eq(z, -a), says="no mean square")
    others = [
        -a * SurfaceIntegral(s.L**s.L),
        -x * rate / a,
        -rate,
        -a * SurfaceIntegral(s.rho * Dot(u, v)),
        -a * SurfaceIntegral(s.L),
        -a * SurfaceIntegral(s.L * Dot(u, u)),
        -a,
        rate + b,
    ]
    for other in others:
        refuses("never_rises", eq(z, other))


def test_only_if_zero():
    rate = eq(z, -a * SurfaceIntegral(s.rho * Dot(s.current, s.current)))
    still, what = eq(z, 0), eq(s.current, u - b * v)
    assert applied("only_if_zero", rate, still, what) == eq(u - b * v, 0)
    nearly = circle().at({a: 2, s.current: lambda world: mp.matrix([0, mp.mpf(10) ** -9 * (world["angle"] > 6)])})
    with mp.workdps(DIGITS):  # wherever it is not 0, however little, the mean square is not 0
        assert evaluate(rate.rhs, nearly) < 0
    refuses("only_if_zero", eq(z, 0 * rate.rhs), still, what)
    refuses("only_if_zero", eq(z, x * rate.rhs), still, what)
    refuses("only_if_zero", rate, eq(z, b), what)
    refuses("only_if_zero", rate, eq(y, 0), what)
    refuses("only_if_zero", rate, still, eq(u, s.current))


def test_the_generator_itself():
    """Of ``x^2 y`` under a drift (1, x) and a constant diffusion: by hand."""
    w, spread = mp.matrix([2, 3]), mp.matrix([[2, 0.5], [0.5, 1]])
    by_hand = 2 * 2 * 3 * 1 + 4 * 2 + (2 * 3 * 2 + 2 * 2 * 2 * 0.5) / 2
    assert mp.almosteq(generated(lambda c: c[0] ** 2 * c[1], w, mp.matrix([1, 2]), spread), by_hand, 1e-10)
