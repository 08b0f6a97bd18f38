"""Operations on states: differentials against a gas of explicit potentials, sums over states, processes in time."""

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import a, applied, b, e, eq, f, follows, of_state, order_of, refuses, true_in, up, x, y, z

from thermo_theory.engine.differentials import Change, Partial, Variation
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols import C_V, T1, T2, F, G, H, R, S, T, U, V, eta, eta0, lam, lam0, p, r, t, w
from thermo_theory.worlds.discrete import run
from thermo_theory.worlds.thermodynamics import Area, Energy, Gap, Probability, Stationary, i, n

_F = -(T**2) * (1 + V / 3) - 2 * T * sp.log(V) + V**2 / 5 + sp.sin(T * V) / 4
_POTENTIALS = {F: _F, S: -sp.diff(_F, T), p: -sp.diff(_F, V)}
HEAT = eq(Change(U), T * Change(S) - p * Change(V))


def gas(**more):
    """A gas whose free energy is a given function of T and V, no ideal gas: S and p are its slopes."""
    known = {name: (lambda world, of=of: evaluate(of, world)) for name, of in _POTENTIALS.items()}
    known[U] = lambda world: world[F] + world[T] * world[S]
    known[H] = lambda world: world[U] + world[p] * world[V]
    known[G] = lambda world: world[F] + world[p] * world[V]
    return World({T: mp.mpf(1.1), V: mp.mpf(0.8), "direction": {T: mp.mpf(0.6), V: mp.mpf(0.9)}} | known | more)


def holds(statement, *worlds):
    with mp.workdps(DIGITS):
        return all(true_in(statement, world) for world in worlds or [gas()])


# Differentials -----------------------------------------------------------------------------------


def states(equation, seed=0):
    """A world of three states in which the left-hand side is what the right-hand side says at any T and V."""
    symbols = equation.free_symbols - {i, n}
    known = of_state(seed, symbols, equation.atoms(sp.core.function.AppliedUndef))
    known |= {T: mp.mpf(1.2), V: mp.mpf(0.7), n: 3, i: 2}
    return World(known | {equation.lhs: lambda world: evaluate(equation.rhs, world)})


@pytest.mark.parametrize(
    "right",
    [
        x**2 * sp.log(y) / a - b,
        sp.Sum(i * Energy(i) * Probability(i), (i, 1, n)) * x + y,
        sp.Abs(Energy(2) - x) - sp.Abs(sp.Sum(Energy(i), (i, 1, n)) - 3 * x),
        y / sp.Sum(Energy(i) * Probability(i), (i, 1, n)) ** 2,
        -x * y * sp.Sum(Probability(i) * sp.log(Probability(i) / Area(i)), (i, 1, n)),
    ],
)
def test_take_differential(right):
    law = eq(z, right)
    result = applied("take_differential", law)
    assert result.lhs == Change(z)
    assert holds(result, states(law), states(law, 1))
    refuses("take_differential", "z")


def test_take_differential_at_constants():
    assert applied("take_differential", eq(x, a * y), constant=(a,)) == eq(Change(x), a * Change(y))
    total = sp.Sum(a * i * Energy(i), (i, 1, n))
    result = applied("take_differential", eq(x, total), constant=(a,))
    assert result.rhs == total.replace(Energy, lambda k: Change(Energy(k)))


def test_read_off():
    for variable, held, slope in ((S, V, T), (V, S, -p)):
        result = applied("read_off", HEAT, variable)
        assert result == eq(Partial(U, variable, held), slope)
        assert holds(result)
    refuses("read_off", HEAT, p)
    refuses("read_off", eq(U, HEAT.rhs), S)
    refuses("read_off", eq(2 * Change(U), HEAT.rhs), S)
    refuses("read_off", eq(Change(U), HEAT.rhs + Change(F)), S)


def test_at_constant():
    for variable, held in ((T, V), (V, T), (S, p)):
        result = applied("at_constant", HEAT, variable, held)
        assert result.lhs == Partial(U, variable, held)
        assert holds(result)
    assert not applied("at_constant", HEAT, T, V).has(Change, Partial(V, T, V))
    # What is divided by changes by as much as itself.
    assert applied("at_constant", eq(Change(U), 3 * Change(T)), T, V) == eq(Partial(U, T, V), 3)
    assert applied("at_constant", eq(Change(U), 3 * Change(T) + Change(V)), V, T) == eq(Partial(U, V, T), 1)
    wrong = eq(HEAT.lhs, T * Change(S) + p * Change(V))
    assert not holds(applied("at_constant", wrong, T, p))
    refuses("at_constant", eq(U, T * S), T, V)


def test_equal_mixed():
    pairs = [(eq(Partial(U, S, V), T), eq(Partial(U, V, S), -p)), (eq(Partial(F, T, V), -S), eq(Partial(F, V, T), -p))]
    for one, other in pairs:
        result = applied("equal_mixed", one, other)
        assert holds(one)
        assert holds(other)
        assert holds(result)
        assert isinstance(result.lhs, Partial)
        assert not holds(applied("equal_mixed", one, eq(other.lhs, -other.rhs)))
    assert applied("equal_mixed", *pairs[0]) == eq(Partial(T, V, S), -Partial(p, S, V))
    refuses("equal_mixed", pairs[0][0], pairs[1][1])
    refuses("equal_mixed", pairs[0][0], pairs[0][0])
    refuses("equal_mixed", eq(Partial(U, S, V), T), eq(Partial(U, V, p), -p))
    refuses("equal_mixed", eq(Partial(U, S, V), T), eq(Partial(F, V, S), -p))


def test_partial_of():
    law = eq(F, _F)
    for variable, held in ((T, V), (V, T)):
        result = applied("partial_of", law, variable, held)
        assert result.lhs == Partial(F, variable, held)
        assert holds(result)
    refuses("partial_of", law, T, p)
    refuses("partial_of", law, V, p)


def test_change_held():
    equation = eq(z, T * Partial(S, T, p) + Partial(U, V, T))
    world = gas().at({z: lambda world: evaluate(equation.rhs, world)})
    result = applied("change_held", equation, p, V)
    assert result.lhs == z
    assert holds(result, world)
    assert not result.rhs.has(Partial(S, T, p))
    assert not holds(result, world.at({z: 9}))
    refuses("change_held", equation, S, V)


def test_exchange():
    by_one, by_other = (eq(Partial(S, q, h), sp.diff(_POTENTIALS[S], q)) for q, h in ((T, V), (V, T)))
    result = applied("exchange", by_one, by_other, T, V, S)
    assert result.lhs == Partial(T, V, S)
    assert holds(by_one)
    assert holds(by_other)
    assert holds(result)
    assert not applied("exchange", by_one, by_other, T, V, S).rhs.has(Partial)
    refuses("exchange", eq(Partial(U, T, V), x), by_other, T, V, S)
    refuses("exchange", by_other, by_one, T, V, S)
    refuses("exchange", by_one, by_one, T, V, S)
    refuses("exchange", by_one, by_other, T, V, U)


def test_along_path():
    curve = sp.Function("T", positive=True)
    result = applied("along_path", eq(Partial(T, V, S), -R * T / (C_V * V) + T**2), curve(V))
    assert result == eq(sp.Derivative(curve(V), V), -R * curve(V) / (C_V * V) + curve(V) ** 2)
    refuses("along_path", eq(Partial(T, V, S), T), sp.Function("p")(V))
    refuses("along_path", eq(Partial(T, V, S), T), curve(t))
    refuses("along_path", eq(T, V), curve(V))


def test_integrate_along():
    result = applied("integrate_along", eq(Change(S), Change(U) / T + p * Change(V) / T), t)
    heat, size = (lambda _, c: 1 + c**2 / 3), (lambda _, c: mp.exp(c / 2) + c)
    path = {U: lambda _, c: 2 * heat(_, c), p: lambda _, c: 3 * heat(_, c) / size(_, c), T: heat, V: size}
    path[S] = lambda _, c: 2 * mp.log(heat(_, c)) + 3 * mp.log(size(_, c))
    assert holds(result, World({t: mp.mpf(0.7)} | {sp.Function(str(name), real=True): c for name, c in path.items()}))
    assert result.lhs == sp.Function("S", real=True)(t) - sp.Function("S", real=True)(0)
    assert not result.rhs.has(sp.Function("S", real=True))
    refuses("integrate_along", eq(S, U / T), t)


# Sums over states --------------------------------------------------------------------------------

_SUM = sp.Sum((x - Energy(i) * a) * Probability(i) ** 2 / y, (i, 1, n))


def test_open_sums():
    result = follows("open_sums", eq(z, b * _SUM + a), left=z)
    assert all(not part.function.has(x, y, a) for part in result.rhs.atoms(sp.Sum))
    follows("open_sums", eq(z, sp.sqrt(sp.Sum(a * Area(i) + a * b, (i, 1, n)))), left=z)
    assert applied("open_sums", eq(sp.Sum(a * Area(i), (i, 1, n)), z)) == eq(a * sp.Sum(Area(i), (i, 1, n)), z)
    refuses("open_sums", "z")


def test_put_into_terms():
    law = eq(Energy(i), x * Gap(i) + Energy(1))
    result = follows("put_into_terms", eq(z, sp.Sum(Energy(i) * a, (i, 2, n))), eq(Energy(i), x * Gap(i)), left=z)
    assert not result.rhs.has(Energy)
    assert applied("put_into_terms", eq(Energy(i), y), law).lhs == law.rhs
    refuses("put_into_terms", eq(z, x), law)


def test_take_logarithm():
    law = eq(up(i), b * Area(i) * sp.exp(-Energy(i) / T) / a**2)
    result = follows("take_logarithm", law, left=sp.log(up(i)))
    assert sp.expand(result.rhs - sp.log(b) - sp.log(Area(i)) + Energy(i) / T + 2 * sp.log(a)) == 0
    follows("take_logarithm", eq(a, x * y), left=sp.log(a), extra={x: -2, y: mp.mpf(-0.7)})
    assert applied("take_logarithm", eq(a, x * y)).rhs == sp.log(x * y)
    refuses("take_logarithm", eq(z, x * y))


def test_vary():
    term = x * Probability(i) + a * Probability(i) * sp.log(Probability(i) / Area(i))
    law = eq(z, sp.Sum(term, (i, 1, n)) * b - y * sp.Sum(Probability(i) ** 2, (i, 1, n)))
    result = applied("vary", law, Probability(i))

    def other(world, k):
        return [mp.mpf("0.2"), mp.mpf("0.5"), mp.mpf("0.7")][int(k) - 1]

    known = {Probability: other, Area: lambda _, k: 1 / (k + 1), n: 3, i: 2, a: 2, b: mp.mpf(0.3), x: -1, y: 3}
    assert result.lhs == Variation(z, Probability(i))
    assert holds(result, World(known | {z: lambda world: evaluate(law.rhs, world)}))
    assert holds(applied("vary", law, Probability(3)), World(known | {z: lambda world: evaluate(law.rhs, world)}))
    refuses("vary", eq(z, law.rhs + x), Probability(i), says="not a sum over states")


def test_nothing_gained():
    law = eq(Variation(z, Probability(i)), sp.log(Probability(i)) + x)
    assert applied("nothing_gained", law) == eq(sp.log(Probability(i)) + x, 0)
    refuses("nothing_gained", eq(z, x))


def test_at_state():
    law = eq(Probability(i), Energy(i) / sp.Sum(Energy(i), (i, 1, n)))
    result = follows("at_state", law, i, 1, left=Probability(1))
    assert result.rhs == Energy(1) / sp.Sum(Energy(i), (i, 1, n))
    refuses("at_state", law)


def test_split_lowest():
    result = follows("split_lowest", eq(z, a / sp.Sum(Energy(i) * x, (i, 1, n)) - y), left=z)
    assert result.rhs == a / (Energy(1) * x + sp.Sum(Energy(i) * x, (i, 2, n))) - y
    refuses("split_lowest", "z")


_STATES = sp.Sum(Area(i) * sp.exp(-Energy(i) / T), (i, 1, n))
_COLD = sp.Sum(Area(i) * sp.exp(-Gap(i) / T), (i, 2, n))


def test_heat_up():
    law = eq(up(i), Area(i) * sp.exp(-Energy(i) / T) / _STATES + x / (T + 1))
    result = applied("heat_up", law, T)
    assert result == eq(sp.Limit(up(i), T, sp.oo), Area(i) / sp.Sum(Area(i), (i, 1, n)))
    with mp.workdps(DIGITS):
        known = {Area: lambda _, k: k + 1, Energy: lambda _, k: mp.sin(k), n: 3, i: 2, x: 2}
        far = evaluate(law.rhs, World(known | {T: mp.mpf(10) ** 14}))
        assert mp.almosteq(far, evaluate(result.rhs, World(known)), 1e-12)
    refuses("heat_up", eq(up(i), T * _STATES), T)
    refuses("heat_up", eq(up(i), T * sp.Sum(Energy(i) / T, (i, 1, n))), T)


def test_cool_down():
    law = eq(up(1), Area(1) / (Area(1) + _COLD) + T * y)
    result = applied("cool_down", law, T)
    assert result == eq(sp.Limit(up(1), T, 0), 1)
    with mp.workdps(DIGITS):
        known = {Area: lambda _, k: k + 1, Gap: lambda _, k: k, n: 3, y: 2, T: mp.mpf(10) ** -14}
        assert mp.almosteq(evaluate(law.rhs, World(known)), 1, 1e-12)
    refuses("cool_down", eq(up(i), sp.exp(-Gap(i) / T) / _COLD), T)
    refuses("cool_down", eq(up(i), sp.exp(-Energy(i) / T) + _COLD), T)
    refuses("cool_down", eq(up(i), sp.log(T) + _COLD), T)


def test_bound_logarithms():
    ratio = Probability(i) / Stationary(i)
    law = eq(z, a * sp.Sum(Probability(i) * sp.log(ratio), (i, 1, n)) - b * sp.log(e) + a * sp.log(b / e) - x)
    result = applied("bound_logarithms", law)
    assert isinstance(result, sp.Ge)
    assert result.lhs == z
    assert not result.rhs.has(sp.log)
    assert applied("bound_logarithms", eq(z, sp.log(a))) == sp.Ge(z, 1 - 1 / a, evaluate=False)
    assert applied("bound_logarithms", eq(z, -2 * sp.log(a))) == sp.Ge(z, 2 - 2 * a, evaluate=False)
    assert applied("bound_logarithms", eq(z, -a * (sp.log(a) - sp.log(b)))).rhs.subs({a: 1, b: 1}) == 0
    assert applied("bound_logarithms", eq(z, 2 * sp.log(a))) == sp.Ge(z, 2 - 2 / a, evaluate=False)
    assert applied("bound_logarithms", eq(1, 0 * a)) == sp.Ge(1, 0, evaluate=False)
    assert applied("bound_logarithms", eq(z, sp.log(a) ** 2)) == sp.Ge(z, sp.log(a) ** 2, evaluate=False)
    for seed in range(8):
        known = of_state(seed, [a, b, e, x], [Probability(i), Stationary(i)]) | {n: 3, T: seed + 1, V: mp.mpf(seed) / 3}
        assert holds(result, World(known | {z: lambda world: evaluate(law.rhs, world)}))
    refuses("bound_logarithms", eq(z, x * sp.log(a)))
    refuses("bound_logarithms", eq(z, sp.log(a) * sp.log(b)))


def test_gather_logarithms():
    inside = Probability(i) * sp.log(Probability(i)) - Probability(i) * sp.log(Stationary(i))
    right = a * sp.Sum(inside, (i, 1, n)) - a * sp.Sum(Energy(i), (i, 1, n)) + 2 * sp.log(b) - 2 * sp.log(e) + x
    result = follows("gather_logarithms", eq(z, right), left=z)
    assert len(result.rhs.atoms(sp.Sum)) == 1
    assert len(result.rhs.atoms(sp.log)) == 2
    assert result.rhs.has(sp.log(Probability(i) / Stationary(i)), sp.log(b / e))
    assert not result.rhs.has(sp.log(Stationary(i) / Probability(i)), sp.log(e / b))
    right = sp.log(sp.Abs(x)) * a + sp.log(x**2) * a - sp.log(y**2) + sp.log(b) - sp.log(e)
    follows("gather_logarithms", eq(z, right), left=z)
    refuses("gather_logarithms", eq(z, sp.log(x) - sp.log(y)), says="changes nothing")
    refuses("gather_logarithms", "z")


def test_multiply():
    assert follows("multiply", eq(z, x + a), eq(y, b)) == eq(y * z, b * (x + a))
    refuses("multiply", eq(z, x), sp.Ge(y, b, evaluate=False))


def test_minimise_over():
    law = eq(z, (a - b) ** 2 + x * (y - a) ** 2)
    result = applied("minimise_over", law, a)
    known = {b: mp.mpf(2), x: mp.mpf(3), y: mp.mpf(1)}
    best = mp.findroot(lambda c: mp.diff(lambda q: (q - 2) ** 2 + 3 * (1 - q) ** 2, c), 1.5)
    assert result.rhs == 0
    assert holds(result, World(known | {a: best}))
    assert not holds(result, World(known | {a: 2}))
    refuses("minimise_over", law, a + b)


# Processes ---------------------------------------------------------------------------------------


def test_at_start():
    law = eq(x, a * eta**2 / lam)
    assert applied("at_start", law) == eq(x, a * eta0**2 / lam0)
    refuses("at_start", "x")


def test_along():
    law = eq(T, a * eta**2 * lam / r)
    path = [sp.Function(name, positive=True)(t) for name in ("T_e", "eta", "lambda", "r_e")]
    assert applied("along", law) == eq(path[0], a * path[1] ** 2 * path[2] / path[3])
    refuses("along", "T")


def test_same_decay():
    one, two = eq(run(2, w, eta, x), a * w), eq(run(2, w, eta, y), a * w)
    assert applied("same_decay", one, two) == eq(y, x)
    refuses("same_decay", one, eq(run(2, w, eta, y), b * w))
    refuses("same_decay", one, eq(run(2, w, lam, y), a * w))
    refuses("same_decay", one, eq(run(3, w, eta, y), a * w))
    refuses("same_decay", one, eq(z, a * w))


_y, _s = sp.Function("y", positive=True)(t), sp.Function("S_sphere")


def test_log_slope():
    law = eq(f(t), a * _y**3 / (1 + up(t)) * sp.exp(-x * t))
    result = follows("log_slope", law, t, left=sp.Derivative(f(t), t))
    assert all(part.has(f(t)) for part in sp.Add.make_args(result.rhs))
    follows("log_slope", eq(f(t), x * (y - t) * sp.sin(t)), t)
    refuses("log_slope", "f", t)


def test_chain_rule():
    law, slope = eq(f(t), x * _s(_y) - a * sp.log(up(t))), eq(sp.Derivative(_s(T), T), sp.cos(T) / T)
    result = applied("chain_rule", law, t, slope)
    known = {_s: lambda _, c: mp.ci(c), t: mp.mpf(0.4), x: 2, a: 3, T: 1}
    known |= {_y.func: lambda _, c: 1 + c**2, up: lambda _, c: mp.exp(c) + 1}
    world = World(known | {f: lambda world, c: evaluate(law.rhs, world.at({t: c}))})
    assert result.lhs == sp.Derivative(f(t), t)
    assert holds(slope, world)
    assert holds(result, world)
    assert not result.rhs.has(_s)
    assert not holds(result, world.at({f: lambda _, c: c**3}))
    refuses("chain_rule", law, t, eq(x, a))


def test_product_rule():
    law = eq(f(T), up(T) / T + sp.log(up(T)) - x * sp.log(T))
    result = follows("product_rule", law, T, left=sp.Derivative(f(T), T), loses=[0])
    assert sp.Derivative(sp.log(up(T)), T) in sp.Add.make_args(result.rhs)
    assert not result.rhs.has(sp.Derivative(up(T) / T, T))
    refuses("product_rule", "f")


def test_keep_up():
    motion = eq(sp.Derivative(_y, t), a * sp.exp(x * t) + e - b * _y)
    result = applied("keep_up", motion, _y)
    numbers = {a: sp.Rational(1, 2), b: 2, e: 3, x: sp.Rational(1, 3), t: 2}
    late = mp.quad(lambda c: mp.exp(2 * (c - 2)) * (mp.exp(c / 3) / 2 + 3), [-mp.inf, 0, 2])
    assert result.lhs == _y
    assert mp.almosteq(late, mp.mpf(sp.N(result.rhs.subs(numbers), 20)), 1e-13)
    refuses("keep_up", eq(sp.Derivative(_y, t), a + b * _y), _y)
    refuses("keep_up", eq(sp.Derivative(_y, t), -a * _y**2), _y)
    refuses("keep_up", eq(sp.Derivative(_y, t, 2), -a * _y), _y)


def test_standstill():
    motion = eq(sp.Derivative(_y, t), a * sp.exp(x * t) - b * _y)
    result = applied("standstill", motion, _y, z)
    assert result.lhs == z
    assert sp.simplify(motion.rhs.subs(_y, result.rhs)) == 0
    refuses("standstill", eq(sp.Derivative(_y, t), a**2 - 3 * a * _y + 2 * _y**2), _y, z)
    refuses("standstill", eq(sp.Derivative(_y, t), a), _y, z)


@pytest.mark.parametrize("name", ["ratio_of_sides", "divide"])
def test_ratios(name):
    follows(name, eq(z, a * x * sp.sqrt(b)), eq(e, b * x * (1 + y**2)), left=z / e)
    roots = applied(name, eq(z, sp.sqrt(x)), eq(e, 1 / sp.sqrt(y)))
    assert mp.almosteq(complex(roots.rhs.subs({x: -2, y: -3})), complex(-sp.sqrt(6)))
    refuses(name, eq(z, x), eq(y, 0))


def test_first_order():
    result = applied("first_order", eq(f(x), sp.exp(x) / (1 + b * x)), x)
    assert result.lhs == 1 / f(x)
    assert order_of(result, lambda c: (1 + c / 3) / mp.exp(c), x, b=sp.Rational(1, 3)) == pytest.approx(2, abs=1e-3)
    refuses("first_order", eq(f(x), 0), x)


def test_between():
    law = eq(sp.Derivative(f(T), T), x / T + y * T)
    result = applied("between", law, T, T1, T2)
    known = {x: 2, y: -1, T1: mp.mpf(0.6), T2: mp.mpf(1.9), T: 1, f: lambda _, c: 2 * mp.log(c) - c**2 / 2 + 3}
    assert holds(law, World(known))
    assert result.lhs == f(T2) - f(T1)
    assert holds(result, World(known))
    assert not holds(result, World(known | {f: lambda _, c: c}))
    refuses("between", eq(x, T), T, T1, T2)


def test_put_difference():
    one, two = eq(f(x) - f(a), x * b), eq(up(V) - up(e), e - y)
    result = follows(
        "put_difference",
        eq(z, f(x) - f(a) + y * (up(V) - up(e))),
        one,
        two,
        left=z,
        extra={f: lambda _, c: c, up: lambda _, c: 2 * c},
    )
    assert not result.rhs.has(f(x))
    assert applied("put_difference", eq(z, f(x)), one).rhs == x * b + f(a)
    refuses("put_difference", eq(z, f(x)), eq(f(x) + f(a), b))


def test_smallest():
    law = eq(z, R * (a / b - 1 - sp.log(a / b)) + x)
    result = applied("smallest", law, a)
    assert result == sp.Ge(z, x, evaluate=False)
    assert applied("smallest", eq(z, (x - y) ** 2 + a), x) == sp.Ge(z, a, evaluate=False)
    assert applied("smallest", eq(z, x**2 * e + b * x), x) == sp.Ge(z, -(b**2) / (4 * e), evaluate=False)
    assert applied("smallest", eq(z, 1 / a**2 - b / a), a) == sp.Ge(z, -(b**2) / 4, evaluate=False)
    assert applied("smallest", eq(1, (x - y) ** 2), x) == sp.Ge(1, 0, evaluate=False)
    refuses("smallest", eq(z, a + 1 / (2 * a - 1) ** 2), a)
    refuses("smallest", eq(z, -((x - y) ** 2)), x)
    refuses("smallest", eq(z, x**4 - x**2), x)
    refuses("smallest", eq(z, x**2 + 1 / x), x)
    refuses("smallest", eq(z, a + b), a)


def test_gather():
    result = follows("gather", eq(z, R * sp.log(a) - R * sp.log(b) + R * x + y), left=z)
    assert result.rhs == R * (sp.log(a / b) + x) + y
    follows("gather", eq(z, R * sp.log(x**2) - R * sp.log(y**2) - e * sp.log(a)), left=z)
    refuses("gather", eq(z, sp.log(x) - sp.log(y)), says="changes nothing")
    refuses("gather", "z")


@pytest.mark.parametrize("shape", [lambda rate: -rate, lambda rate: sp.expand(-rate)])
def test_start_and_end(shape):
    decay = sp.exp(-a * t * (b + 1))
    grown = sp.exp(shape(-a * t * (b + 1)))
    result = follows("start_and_end", eq(f(t), (x + y * grown) * decay / e), decay, left=f(t))
    assert sp.expand(result.rhs - (x + y) / e * decay - y / e * (1 - decay)) == 0
    refuses("start_and_end", eq(f(t), x * decay**2 + y), decay)
    refuses("start_and_end", eq(f(t), x * decay + sp.exp(-a * t)), decay)


@pytest.mark.parametrize("power", [4, -2, 3])
def test_take_root(power):
    assert follows("take_root", eq(_y**power, a + b * x**2), power).lhs == _y
    refuses("take_root", eq(z**power, x), power)
    refuses("take_root", eq(x**4, y**4 * z), power)
