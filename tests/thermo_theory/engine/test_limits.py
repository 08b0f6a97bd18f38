"""Slopes, limits and orders of series: what has not converged is refused, what is wrong is caught."""

import mpmath as mp
import pytest
import sympy as sp

from thermo_theory import derive
from thermo_theory.engine.evaluate import evaluate, holds
from thermo_theory.engine.limits import limit, slope
from thermo_theory.engine.world import DIGITS, NotInterpreted, World
from thermo_theory.symbols import eq

x, y = sp.symbols("x y", positive=True)
f = sp.Function("f")


def world(function):
    return World({x: mp.mpf("0.1"), y: mp.mpf(3), f: lambda _, at: function(at)}, "toy")


# Slopes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "point", "value"),
    [
        (lambda t: mp.sin(10**4 * t), mp.mpf(1), 10**4 * mp.cos(10**4)),
        (lambda t: mp.sqrt(t - 1), 1 + mp.mpf(10) ** -4, mp.mpf(50)),
        (lambda t: mp.log(t - 1), 1 + mp.mpf(10) ** -3, mp.mpf(1000)),
        (lambda t: mp.exp(-((t - 5) * 1000)), mp.mpf(5), mp.mpf(-1000)),
        (lambda t: mp.exp(t), mp.mpf(10) ** -30, mp.mpf(1)),
        (lambda t: t**2, mp.mpf(0), mp.mpf(0)),
    ],
)
def test_planted_slopes_that_wide_steps_do_not_resolve(function, point, value):
    with mp.workdps(DIGITS):
        assert mp.fabs(slope(function, point) - value) <= mp.mpf(10) ** -9 * max(1, mp.fabs(value))


@pytest.mark.parametrize(
    "function", [mp.fabs, lambda t: mp.floor(t), lambda t: mp.sin(mp.mpf(10) ** 12 * (t + 1)) + t, mp.sqrt, mp.log]
)
def test_planted_kinks_jumps_ripples_and_edges_have_no_slope(function):
    with mp.workdps(DIGITS), pytest.raises(NotInterpreted, match="not resolved"):
        slope(function, mp.mpf(0))


# Limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda t: mp.sin(1 / t),
        lambda t: mp.sin(2 * mp.pi / t),
        lambda t: 1 / t,
        lambda t: 1 / mp.log(t),
        mp.log,
        lambda t: mp.cos(2 * mp.pi * mp.log(t, 32)),
        lambda t: 2 + mp.cos(2 * mp.pi * mp.log(t, 27)) / 10**5,
        lambda t: 3 + mp.sin(mp.log(t)),
    ],
)
def test_planted_limits_that_do_not_exist(function):
    with pytest.raises(NotInterpreted, match="no limit"):
        limit(function)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda t: mp.sqrt(t) + 2, 2),
        (lambda t: (1 - mp.cos(t)) / t**2, 0.5),
        (lambda t: t * mp.log(t), 0),
        (mp.expm1, 0),
    ],
)
def test_limits_that_exist(function, value):
    assert mp.fabs(limit(function) - value) < mp.mpf(10) ** -10


def test_planted_limit_that_differs_from_both_sides():
    step = world(lambda at: mp.sign(at) + at)
    assert evaluate(sp.Limit(f(x), x, 0, "-"), step) == pytest.approx(-1)
    with pytest.raises(NotInterpreted, match="from below"):
        evaluate(sp.Limit(f(x), x, 0, "+-"), step)


# Series ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "good", "says"),
    [
        (1 + x + x**2 / 2 + sp.O(x**3), True, "of order 3.00, as O(x**3) says"),
        (1 + x + sp.O(x**3), False, "of order 2.00, lower than O(x**3) says"),
        (1 + x + x**2 * sp.Rational(500001, 1000000) + sp.O(x**3), False, "lower than"),
        (1 + x + x**2 / 2 + x**3 / 6 * sp.Float("1.01") + sp.O(x**4), False, "lower than"),
    ],
)
def test_a_series_says_the_order_of_its_remainder(right, good, says):
    outcome = holds(eq(f(x), right), world(mp.exp))
    assert outcome.holds is good
    assert says in outcome.says


def test_a_remainder_may_be_smaller_than_stated():
    outcome = holds(eq(f(x), 1 + sp.O(x)), world(mp.cos))
    assert outcome.holds
    assert "of order 2.00, smaller than O(x) says" in outcome.says


def test_planted_logarithm_in_a_remainder():
    logarithm = world(lambda at: 1 + at**2 * mp.log(at))
    assert not holds(eq(f(x), 1 + sp.O(x**2)), logarithm).holds
    assert holds(eq(f(x), 1 + sp.O(x**2 * sp.log(x))), logarithm).holds


def test_a_series_that_leaves_nothing_out():
    assert "nothing is left out" in holds(eq(f(x), 1 + x + sp.O(x**3)), world(lambda at: 1 + at)).says


SERIES = ["vmf-low-temperature", "vmf-large-dimension", "length-scale", "real-gas", "quasi-static"]


@pytest.mark.parametrize(("name", "protocol"), [*((name, None) for name in SERIES), ("finite-step", "fixed-sphere")])
def test_planted_coefficients_of_every_term_of_every_series(name, protocol):
    derived = derive(name, protocol)
    worlds = [maker(0, derived.assumptions) for maker in derived.worlds]
    for step in derived.steps:
        if not step.equation.has(sp.Order):
            continue
        for term in sp.Add.make_args(step.equation.rhs):
            if isinstance(term, sp.Order):
                continue
            wrong = eq(step.equation.lhs, step.equation.rhs + term / 1000)
            outcomes = []
            for there in worlds:
                try:
                    outcomes.append(holds(wrong, there))
                except NotInterpreted:
                    continue
            assert outcomes
            assert not any(outcome.holds for outcome in outcomes), (step.number, term, outcomes)
