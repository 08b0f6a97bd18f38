"""Inequalities over their whole domain: false ones are found wherever they are false, true ones are not refused."""

import mpmath as mp
import pytest
import sympy as sp

from thermo_theory import derive
from thermo_theory.engine.derivation import DerivationError
from thermo_theory.engine.evaluate import holds
from thermo_theory.engine.world import NotInterpreted, World
from thermo_theory.numeric.domain import POSITIVE, REAL, Domain
from thermo_theory.symbols import R

x, y = sp.symbols("x y", positive=True)
f = sp.Function("f", real=True)
EXCESS = x - 1 - sp.log(x)


def world(function=None, **free):
    ranges = {x: POSITIVE, y: POSITIVE} | {sp.Symbol(k, positive=True): v for k, v in free.items()}
    return World({x: mp.mpf(3), y: mp.mpf("0.4"), f: lambda _, at: function(at)}, "toy", free=ranges)


def said(left, right, sign=sp.Ge, **options):
    return holds(sign(left, right, evaluate=False), world(**options))


@pytest.mark.parametrize(
    ("left", "right"),
    [(EXCESS, 0), (x + 1 / x, 2), (x + y, 2 * sp.sqrt(x * y)), (x**2, 0), (x / y - 1, sp.log(x / y)), (x, -1)],
)
def test_a_true_inequality_holds(left, right):
    outcome = said(left, sp.sympify(right))
    assert outcome.holds, outcome
    assert "differ" not in outcome.says
    assert outcome.where


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (EXCESS, sp.Rational(1, 100)),
        (EXCESS, sp.Float("1e-6")),
        (EXCESS, sp.Float("1e-12")),
        (-EXCESS, 0),
        (x, sp.Float("1e-9")),
        (x, sp.Float("1e-20")),
        (1 / x, sp.Float("1e-20")),
        (sp.Float("1e9"), x),
        (x + y, sp.Float("2.0001") * sp.sqrt(x * y)),
        (sp.log(x) ** 2 + sp.log(y) ** 2, sp.Float("1e-9")),
    ],
)
def test_planted_false_inequalities_are_refuted(left, right):
    outcome = said(left, sp.sympify(right))
    assert not outcome.holds, outcome
    assert outcome.off < 0
    assert "violated" in outcome.says


@pytest.mark.parametrize("place", ["0.013", "0.2", "0.37", "0.707", "0.95"])
def test_planted_windows_of_two_percent_are_found(place):
    def dip(at):
        return mp.mpf(-1) if mp.fabs(at - mp.mpf(place)) < mp.mpf("0.01") else mp.mpf(1)

    toy = World({x: mp.mpf("0.5"), f: lambda _, at: dip(at)}, "toy", free={x: Domain(0.0, 1.0)})
    outcome = holds(sp.Ge(f(x), 0, evaluate=False), toy)
    assert not outcome.holds
    assert abs(float(outcome.where["x"]) - float(place)) < 0.01


@pytest.mark.parametrize(("end", "closed"), [(0.0, True), (1.0, True), (0.0, False)])
def test_planted_violations_at_an_end_alone(end, closed):
    def gap(at):
        return mp.mpf(-1) if mp.fabs(at - end) < mp.mpf("1e-5") * (0 if closed else 1) or at == end else mp.mpf(1)

    domain = Domain(0.0, 1.0, low_open=not closed)
    toy = World({x: mp.mpf("0.5"), f: lambda _, at: gap(at)}, "toy", free={x: domain})
    assert not holds(sp.Ge(f(x), 0, evaluate=False), toy).holds


def test_planted_strict_inequality_where_both_sides_are_equal():
    assert not said(EXCESS, sp.S.Zero, sp.Gt).holds
    assert not said(x + y, 2 * sp.sqrt(x * y), sp.Gt).holds
    assert said(EXCESS + 1, sp.S.Zero, sp.Gt).holds
    assert said(-EXCESS, sp.S.One, sp.Lt).holds


def test_a_bound_that_is_only_approached_is_strict():
    assert said(x, sp.S.Zero, sp.Gt).holds
    assert said(1 / x, sp.S.Zero, sp.Gt).holds


def test_evidence_says_where_the_sides_are_equal():
    outcome = said(EXCESS, sp.S.Zero)
    assert outcome.says == "the gap is smallest at x = 1.0, where both sides are equal"
    assert outcome.where == {"x": "1.0"}


def test_what_has_no_value_in_its_domain_is_not_shown():
    toy = World({x: mp.mpf("0.5")}, "toy", free={x: REAL})
    with pytest.raises(NotInterpreted, match="no value at"):
        holds(sp.Ge(sp.log(x) ** 2, 0, evaluate=False), toy)


def inequality(name, protocol=None):
    derived = derive(name, protocol)
    number = next(k for k, step in enumerate(derived.steps) if not isinstance(step.equation, sp.Eq))
    return derived, number, derived.steps[number].equation


@pytest.mark.parametrize("share", [sp.Rational(1, 100), sp.Float("1e-6")])
def test_planted_bound_on_the_entropy_of_a_quench(share):
    derived, _, statement = inequality("quench")
    world = derived.worlds[0](0, derived.assumptions)
    assert holds(statement, world).where["T_1"] == holds(statement, world).where["T_2"]
    assert not holds(sp.Ge(statement.lhs, share * R, evaluate=False), world).holds


@pytest.mark.parametrize("name", ["potential", "second-law"])
def test_planted_bounds_above_the_minimum_of_a_free_energy(name):
    derived, number, statement = inequality(name, "fixed-sphere" if name == "potential" else None)
    maker = derived.worlds[-1]
    world, sign = maker(0, derived.assumptions), 1 if isinstance(statement, sp.Ge) else -1
    assert "both sides are equal" in holds(statement, world).says
    false = type(statement)(statement.lhs, statement.rhs + sign * sp.Float("1e-4"), evaluate=False)
    assert not holds(false, world).holds
    with pytest.raises(DerivationError):
        derived.replace(number, false).verify()
