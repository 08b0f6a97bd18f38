"""Operations of the theory: symmetries, exact balances, finite steps, other optimisers, real gases, blocks."""

from itertools import product

import mpmath as mp
import pytest
import sympy as sp
from operation_worlds import (
    A,
    B,
    a,
    applied,
    b,
    e,
    eq,
    f,
    follows,
    matrix,
    refuses,
    true_in,
    u,
    up,
    v,
    vector,
    x,
    y,
    z,
)

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols import (
    R1,
    R2,
    T1,
    T2,
    V1,
    V2,
    R,
    S_sphere,
    T,
    T_c,
    V,
    V_c,
    buffer,
    c,
    d,
    eta,
    grad_L_unit,
    grad_log_rho,
    lam,
    p,
    p_c,
    r,
    w,
)
from thermo_theory.symbols import g as gradient_now
from thermo_theory.symbols.vectors import (
    Apply,
    DifferentialEntropyOf,
    Dot,
    EntropyOf,
    Expectation,
    Inverse,
    NormEntropyOf,
    SkewProduct,
    SymProduct,
    Tr,
    identity_matrix,
)
from thermo_theory.updates import Update
from thermo_theory.worlds.discrete import course, gradient, index, run, steps

_MOMENTUM = Update.read("v = beta*v + g + lam*w; w = w - eta*v")
steps_of, runs = ([course(_MOMENTUM, place, whole) for place in range(2)] for whole in (False, True))
step = steps_of[0]
SIZE, NOISE = Expectation(r**2), Expectation(Dot(gradient_now, gradient_now))
OVERLAP = Expectation(Dot(gradient_now, w))


def holds(statement, *worlds):
    with mp.workdps(DIGITS):
        return all(true_in(statement, world) for world in worlds)


# Comparing ---------------------------------------------------------------------------------------


def test_match():
    assert applied("match", eq(z, x * (a + 1)), eq(e, a * x + x)) == eq(z, e)
    one, other = eq(f(x), EntropyOf(u) + (d - 1) * sp.log(a * b)), eq(f(y), EntropyOf(u) + (d - 1) * sp.log(a))
    result = applied("match", one, other)
    assert result == eq(f(x), f(y) + d * sp.log(b) - sp.log(b))
    for shared in (Expectation(r), EntropyOf(u), up(z)):
        refuses("match", eq(x, a + 2 * shared), eq(y, shared))
        assert applied("match", eq(x, a + shared), eq(y, shared - b)) == eq(x, y + a + b)


def test_as_factor():
    result = follows("as_factor", eq(z, c**2 * NOISE / 2), eq(y, NOISE / 2), left=z)
    assert result.rhs == c**2 * y
    refuses("as_factor", eq(z, c**2 * NOISE), eq(y, NOISE + a))
    refuses("as_factor", eq(u, gradient(index, w)), eq(v, gradient(index, c * w)))


def test_compared():
    result = follows("compared", eq(z, 2 * a * sp.sqrt(d - 1)), eq(x * y, a / sp.sqrt(d - 1)), x * y, left=z)
    assert sp.expand(result.rhs - 2 * x * y * (d - 1)) == 0
    assert applied("compared", eq(z, a * sp.sqrt((d - 1) ** 2)), eq(x, a * (d - 1)), x) == eq(z, x)
    refuses("compared", eq(z, a), eq(x, a), y)


def test_multiple():
    larger, one = eq(u, (a * w - b * v) / c), eq(v + w, a * w - b * v)
    assert applied("multiple", larger, one, 1 / c) == eq(u, (v + w) / c)
    refuses("multiple", larger, one, c)
    refuses("multiple", eq(u, 2 * a * w), eq(v, a * w), 1)


def test_by_induction():
    rates, scaled = (eta, lam), (c**2 * eta, lam / c**2)
    start = eq(run(0, w, *rates), w)
    following = eq(run(index + 1, w, *rates), step(index, run(index, w, *rates), *rates))
    symmetry = eq(step(index, c * w, *scaled), c * step(index, w, *rates))
    result = applied("by_induction", start, following, symmetry, number=index)
    assert result == eq(run(steps, c * w, *scaled), c * run(steps, w, *rates))

    def one(_, k, at, rate, decay):
        return at * (1 - rate * decay) - rate * mp.matrix([at[1] * mp.cos(k), -at[0]]) / (at.T * at)[0]

    def whole(world, k, at, rate, decay):
        return at if k == 0 else one(world, k - 1, whole(world, k - 1, at, rate, decay), rate, decay)

    with mp.workdps(DIGITS):
        known = {w: vector("w", 2), eta: mp.mpf(0.1), lam: mp.mpf(0.2), c: 3, steps: 4, index: 2, step: one, run: whole}
        off = known | {step: lambda *parts: one(*parts) * 2}
        assert holds(following, World(known))
        assert holds(result, World(known))
        assert not holds(following, World(off))
    refuses("by_induction", eq(start.lhs, a * w + v), following, symmetry, number=index)
    refuses("by_induction", start, following, eq(symmetry.lhs, 2 * symmetry.rhs), number=index)
    refuses("by_induction", start, eq(following.lhs, following.rhs + v), symmetry, number=index)
    skipping = step(index + 1, run(index, w, *rates), *rates)
    refuses("by_induction", start, eq(following.lhs, skipping), symmetry, number=index)


def test_by_induction_with_a_buffer():
    rates, scaled, state, larger = (eta, lam), (c**2 * eta, lam / c**2), (w, buffer), (c * w, buffer / c)
    starts = [eq(made(0, *state, *rates), one) for made, one in zip(runs, state, strict=True)]
    here = [made(index, *state, *rates) for made in runs]
    rest = [
        eq(made(index + 1, *state, *rates), one(index, *here, *rates)) for made, one in zip(runs, steps_of, strict=True)
    ]
    ends = [one(index, *larger, *scaled) for one in steps_of]
    plain = [one(index, *state, *rates) for one in steps_of]
    symmetry = [eq(ends[0], c * plain[0]), eq(ends[1], plain[1] / c)]
    result = applied("by_induction", *starts, *rest, *symmetry, number=index)
    assert result == eq(run(steps, *larger, *scaled), c * run(steps, *state, *rates))
    other = eq(ends[1], plain[1])
    refuses("by_induction", *starts, *rest, symmetry[0], other, number=index)
    refuses("by_induction", starts[0], eq(starts[1].lhs, w), *rest, *symmetry, number=index)


def test_in_polar_coordinates():
    """On a Gaussian with standard deviations 1 and 1.7 in the plane, by quadrature over the angle and the norm."""
    wide, around = mp.mpf(1.7), [0, mp.pi / 2, mp.pi, 3 * mp.pi / 2, 2 * mp.pi]

    def bent(angle):
        return mp.cos(angle) ** 2 + (mp.sin(angle) / wide) ** 2

    def share(angle):
        return 1 / (2 * mp.pi * wide * bent(angle))

    def over(function):  # of r^2/2 times what bends the density
        return mp.quad(lambda t: mp.exp(-t) * function(t), [0, 1, mp.inf])

    log = over(mp.log)
    meanings = {
        EntropyOf: lambda *_: -mp.quad(lambda c: share(c) * mp.log(share(c)), around),
        NormEntropyOf: lambda *_: -over(lambda t: mp.log(2 * t * mp.exp(-t))),
        Expectation(sp.log(Dot(u, u))): mp.quad(lambda c: share(c) * (mp.log(2 / bent(c)) + log), around),
    }
    result = applied("in_polar_coordinates", eq(z, a * DifferentialEntropyOf(u) + b))
    whole = 2 * mp.log(2 * mp.pi * mp.e * wide) + 3
    world = World(meanings | {a: 2, b: 3, d: 2, u: vector("u", 2), z: whole}, ensemble=[{}])
    assert result.lhs == z
    assert abs(evaluate(result.lhs - result.rhs, world)) < 1e-12
    assert result.rhs.has(EntropyOf(u / sp.sqrt(Dot(u, u))))
    assert not result.rhs.has(z)
    refuses("in_polar_coordinates", "z")


def test_simplify_norms():
    norm = sp.sqrt(c**2 * Dot(w, w) + a * c**2)
    result = follows("simplify_norms", eq(u, c * w / norm), left=u)
    assert result.rhs == w / sp.sqrt(Dot(w, w) + a)
    signed = follows("simplify_norms", eq(z, sp.sqrt(x**2 * a + x**2 * b)), left=z)
    assert signed.rhs.has(sp.Abs)
    refuses("simplify_norms", "z")


# Balances ----------------------------------------------------------------------------------------


def test_collect_norm():
    law = eq(z, (1 - 2 * eta * lam + eta**2 * lam**2) * SIZE + eta**2 * NOISE - 2 * eta * OVERLAP)
    balance = eq(SIZE, law.rhs)
    result = applied("collect_norm", balance)
    assert result.lhs == lam * (2 - eta * lam) * SIZE
    assert not result.rhs.has(SIZE)
    assert sp.expand((balance.lhs - balance.rhs) / eta - (result.lhs - result.rhs)) == 0
    refuses("collect_norm", "balance")


def test_as_pressure():
    law = eq(lam * V * (1 - eta * lam / 2), x)
    result = applied("as_pressure", law, eq(p, lam))
    assert result == eq(p * V * (1 - eta * lam / 2), x)
    refuses("as_pressure", law, eq(p, 0))


def test_factor_right():
    result = follows("factor_right", eq(z, a * NOISE + b * OVERLAP - e * OVERLAP + a * b * NOISE), left=z)
    assert result.rhs == a * (b + 1) * NOISE + (b - e) * OVERLAP
    refuses("factor_right", "z")


def test_as_ratio():
    result = follows("as_ratio", eq(z, 2 * a * (x + 1) / (b * (2 - e * a))), a, left=z)
    bottom = sp.denom(result.rhs)
    assert bottom.subs(a, 0) == b or sp.simplify(bottom / bottom.subs(a, 0)) != 1
    assert applied("as_ratio", eq(z, -2 * x / (a * e - 2)), a).rhs == x / (1 - a * e / 2)
    refuses("as_ratio", eq(z, x / a), a)


def test_rename():

    def powers(world, size):
        return world[a] * size**2 - world[b] / size + mp.log(size) / 2

    law = eq(f(r**2), a * r**4 - b / r**2 + sp.log(r))
    result = follows("rename", law, e, r**2, left=f(e), without=r, extra={e: 2, r: mp.sqrt(2), f: powers}, loses=[0])
    assert sp.expand(result.rhs - a * e**2 + b / e - sp.log(e) / 2) == 0
    refuses("rename", eq(f(x**2), x), e, x**2)


def test_neglect():
    result = follows("neglect", eq(z, a / (b * (1 - e / 2))), eq(1 - e / 2, x), left=z, loses=[1])
    assert sp.simplify(result.rhs - a / (b * x)) == 0
    refuses("neglect", eq(z, a), eq(1 - e, 0))


def test_times_one():
    result = follows("times_one", eq(z, a / b), eq(y, e), 3, left=z)
    assert result.rhs == a / b * (e / y) ** 3
    refuses("times_one", eq(z, a), eq(0, e), 2)


def test_positive_root():
    for number in (mp.mpf(2), mp.mpf(-3)):
        known = {b: mp.mpf(0.7), e: mp.mpf(1.9), x: number}
        half = number / mp.mpf(1.4)
        root = half + mp.sqrt(half**2 + mp.mpf(1.9) / mp.mpf(0.7))  # of b a^2 - x a - e
        for law in (eq(a * b, e / a + x), eq(e - b * a**2, -x * a)):
            result = applied("positive_root", law, a)
            assert result.lhs == a
            assert holds(result, World(known | {a: root}))
    refuses("positive_root", eq(-(a**2) - e, b * a), a)
    refuses("positive_root", eq(a**3, b), a, says="quadratic")
    refuses("positive_root", eq(a**2 + e, b * a), a)
    refuses("positive_root", eq(x**2, e), x)
    refuses("positive_root", eq((a - 1) * (a + b) / (a - 1), e), a)


def test_lead():
    law = eq(z, (a * b + a**2 * e) / (2 * x - 3 * a * y + a**2))
    result = applied("lead", law, a, eq(1 - a, 1))
    small = {a: mp.mpf(10) ** -12, b: 2, e: 3, x: -1, y: 4}
    ratio = evaluate(law.rhs, World(small)) / evaluate(result.rhs, World(small))
    assert result.lhs == z
    assert sp.simplify(result.rhs - a * b / (2 * x)) == 0
    assert mp.almosteq(ratio, 1, 1e-10)
    even = applied("lead", eq(z, a * sp.sqrt((d - 1) ** 2) / (a + 1)), a, eq(1 - a, 1))
    assert even.rhs == a * (d - 1)
    refuses("lead", law, a)
    refuses("lead", "z", a, eq(1 - a, 1))


def test_balanced():
    result = follows("balanced", eq(z, a / (b * (1 - e))), b * (1 - e), left=z * b * (1 - e))
    assert result.rhs == a
    refuses("balanced", "z", a)


def test_root():
    follows("root", eq(a**2, b * e / a), a, left=a, without=a)
    assert applied("root", eq(a**2, b * sp.sqrt((d - 1) ** 2)), a).rhs == sp.sqrt(b) * sp.sqrt(d - 1)
    assert applied("root", eq(a**2 * b, e**2 / a**4), a).rhs == (b / e**2) ** sp.Rational(-1, 6)
    refuses("root", eq(a**2 + a, b), a)
    refuses("root", eq(b, e), a)
    refuses("root", eq(a ** (a + 1), e), a)
    refuses("root", eq(x**2, a), x)


# Gases -------------------------------------------------------------------------------------------


def test_arccosine():
    result = applied("arccosine", eq(sp.cos(a), 1 - b))
    known = {b: mp.mpf(1.3), a: mp.acos(mp.mpf(-0.3))}
    assert result.lhs == a
    assert holds(result, World(known | {b: 1 + mp.mpf(3) / 10}))
    assert not holds(result, World(known | {b: 1}))
    refuses("arccosine", eq(sp.sin(a), 1 - b))
    refuses("arccosine", eq(a, b))


def test_entropy_of_gibbs():
    law = eq(grad_log_rho, -grad_L_unit / T)
    assert applied("entropy_of_gibbs", law, S_sphere, up(T)) == eq(S_sphere, up(T))
    for other in (eq(grad_log_rho, grad_L_unit / T), eq(grad_log_rho, -2 * grad_L_unit / T), eq(u, -grad_L_unit / T)):
        refuses("entropy_of_gibbs", other, S_sphere, up(T))
    refuses("entropy_of_gibbs", law, S_sphere, up(V))


def test_in_block():
    law = eq(p * V, R * T * a)
    assert applied("in_block", law, 1) == eq(p * V1, R1 * T1 * a)
    assert applied("in_block", law, 2) == eq(p * V2, R2 * T2 * a)
    refuses("in_block", law, 3)


def test_critical_point():
    gas = eq(up(T, V), R * T / (V - b) - a / V**2)
    numbers = {R: mp.mpf(2), a: mp.mpf(3), b: mp.mpf(0.4)}

    def push(heat, size):
        return 2 * heat / (size - numbers[b]) - 3 / size**2

    def level(heat, size):
        return [mp.diff(lambda c: push(heat, c), size, k) for k in (1, 2)]

    with mp.workdps(DIGITS):
        heat, size = mp.findroot(level, (1.0, 1.3))
    found = {V_c: size, T_c: heat, p_c: push(heat, size)}
    for wanted, value in found.items():
        result = applied("critical_point", gas, wanted)
        assert result.lhs == wanted
        assert holds(result, World(numbers | {wanted: value}))
    assert applied("critical_point", eq(up(T, V), R * T / (V - 1) - a / V**2), V_c) == eq(V_c, 3)
    for place in (-b, x, b):
        bent = eq(up(T, V), sp.integrate(sp.expand((V - a) * (V - place)), V, V) - R * T * V)
        if place == -b:
            assert applied("critical_point", bent, V_c) == eq(V_c, a)
        else:
            refuses("critical_point", bent, V_c)
    refuses("critical_point", gas, V)
    refuses("critical_point", eq(up(T, V), R * T / V), V_c)
    refuses("critical_point", eq(up(T, V), R * T**2 / (V - b) - a / V**2 + T), V_c)
    refuses("critical_point", eq(up(T, V), R * T / (V - x) - y / V**2), V_c)


def test_apart():
    result = follows("apart", eq(z, (a - b * x) / a), left=z)
    assert sp.simplify(result.rhs - 1 + b * x / a) == 0
    assert 1 in result.rhs.args
    refuses("apart", "z")


# Vectors and matrices ----------------------------------------------------------------------------


def test_squared_norm():
    follows("squared_norm", eq(u, s.w - a * (v + b * s.w)), left=Dot(u, u))
    refuses("squared_norm", eq(z, x))


def test_inner():
    follows("inner", eq(u, s.w - a * v), eq(s.x, v + Apply(A, s.w)), left=Dot(u, s.x))
    refuses("inner", eq(u, s.w), eq(z, x))


def test_trace():
    follows("trace", eq(A, 2 * B - a * SymProduct(B, s.C)), left=Tr(A))
    refuses("trace", eq(z, x))


def test_isolate():
    equation = eq(s.Sigma, a * A - SymProduct(B, s.C) / b)
    follows("isolate", equation, A, left=A, without=A)
    follows("isolate", equation, SymProduct(B, s.C), left=SymProduct(B, s.C), without=SymProduct)
    assert applied("isolate", eq(A + a * B, s.C), A) == eq(A, s.C - a * B)
    refuses("isolate", equation, u, says="does not occur")
    refuses("isolate", equation, B)
    refuses("isolate", eq(s.Sigma, A + SymProduct(B, A)), A)


def test_solve_lyapunov():
    result = applied("solve_lyapunov", eq(SymProduct(A, B), a * b * identity_matrix), B)
    here, n = matrix("lyapunov", 3), 3
    whole = mp.zeros(n * n)
    for i, j, k in product(range(n), repeat=3):
        whole[n * i + j, n * k + j] += here[i, k]
        whole[n * i + j, n * i + k] += here[j, k]
    right = mp.matrix([mp.mpf(0.6) * (i == j) for i, j in product(range(n), repeat=2)])
    solved = mp.lu_solve(whole, right)
    world = World(
        {A: here, B: mp.matrix([[solved[n * i + j] for j in range(n)] for i in range(n)]), a: 2, b: mp.mpf(0.3)}
    )
    assert result.lhs == B
    assert holds(result, world)
    assert not holds(result, world.at({a: 3}))
    refuses("solve_lyapunov", eq(SymProduct(A, B), a * identity_matrix + s.C), B)
    refuses("solve_lyapunov", eq(SymProduct(A, B), a * identity_matrix), s.C)
    refuses("solve_lyapunov", eq(2 * SymProduct(A, B), a * identity_matrix), B)
    refuses("solve_lyapunov", eq(A, a * identity_matrix), B)


def test_split_by_covariance():
    equation = eq(u, a * Apply(A, s.w) - v)
    result = follows(
        "split_by_covariance", equation, A, s.w, s.C, left=u, extra={A: matrix("A", 2, False)}, seeds=[0, 3]
    )
    assert result.rhs.has(SymProduct)
    assert result.rhs.has(SkewProduct)
    assert not result.rhs.has(Apply(A, s.w))
    refuses("split_by_covariance", equation, B, s.w, s.C)


@pytest.mark.parametrize("symmetric", [True, False])
def test_commute(symmetric):
    result = applied("commute", eq(SymProduct(A, B), a * s.Sigma), A)
    here, spread = matrix("A", 3, symmetric), matrix("B", 3)
    both = here * spread
    world = World({A: here, B: spread, a: 2, s.Sigma: (both + both.T) / 2})
    assert result.lhs == SkewProduct(A, SkewProduct(A, B))
    assert holds(result, world)
    assert not holds(result, world.at({s.Sigma: spread}))
    kept = applied("commute", eq(SymProduct(B, A), s.C), A)
    assert kept.lhs == SkewProduct(A, SymProduct(B, A))
    assert kept.rhs == SkewProduct(A, s.C)
    refuses("commute", eq(x, a), A)


def test_compare():
    guess = a * Inverse(A) + s.C
    result = applied("compare", eq(SymProduct(A, B), b * s.Sigma), guess, B)
    here, spread = matrix("A", 3), matrix("B", 3)
    world = World({A: here, B: spread, s.C: matrix("C", 3), a: 2, b: 3, "n": 3, identity_matrix: mp.eye(3)})
    world = world.at({s.Sigma: (here * spread + spread * here) / 3})
    assert holds(result, world)
    assert not holds(result, world.at({s.Sigma: spread}))
    assert result.lhs == SymProduct(A, B) - 2 * a * identity_matrix - SymProduct(A, s.C)
    refuses("compare", eq(SymProduct(A, B) + s.C, s.Sigma), guess, B)


@pytest.mark.parametrize("same", [True, False])
def test_along_modes(same):
    result = applied("along_modes", eq(SymProduct(s.Hess, s.C), a * s.Sigma_w), same=same)
    curved, spread = matrix("Hess", 3), matrix("C", 3)
    values, modes = mp.eigsy(curved)
    noise = (curved * spread + spread * curved) / mp.mpf(0.7)

    def element(of, j, k):
        return (modes[:, j].T * of * modes[:, k])[0]

    numbers = {a: mp.mpf(0.7), s.h_i: values[0], s.h_j: values[2]}
    numbers |= {s.C_ii: element(spread, 0, 0), s.C_ij: element(spread, 0, 2)}
    numbers |= {s.Sigma_ii: element(noise, 0, 0), s.Sigma_ij: element(noise, 0, 2)}
    assert holds(result, World(numbers))
    assert result.free_symbols >= ({s.h_i, s.C_ii, s.Sigma_ii} if same else {s.h_i, s.h_j, s.C_ij, s.Sigma_ij})
    both = applied("along_modes", eq(0, a * s.Sigma_w - SymProduct(s.Hess, s.C)), same=same)
    assert both.lhs == 0
    assert sp.expand(both.rhs - result.rhs + result.lhs) == 0
    assert result.lhs.has(s.h_i)
    refuses("along_modes", eq(SymProduct(s.Hess, s.C), a * s.Sigma))
