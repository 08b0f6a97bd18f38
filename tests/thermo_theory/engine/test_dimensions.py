"""Every step is homogeneous in units of loss, weights and iterations, and a unit that is wrong is found."""

import copy
import dataclasses

import numpy as np
import pytest
import sympy as sp

from thermo_theory import FixedLR, derivations, derive
from thermo_theory import symbols as s
from thermo_theory.engine import dimensions
from thermo_theory.engine.dimensions import InhomogeneousError, check, check_step, units_of

#: Slips of the pen, as changes of one term.
SLIPS = {
    "r^2 left out": lambda term: term / s.r**2,
    "eta_eff for eta": lambda term: term.subs(s.eta, s.eta_eff),
    "eta lambda for lambda": lambda term: term.subs(s.lam, s.eta * s.lam),
    "1/T for T": lambda term: term.subs(s.T, 1 / s.T),
    "times T": lambda term: term * s.T,
    "times eta": lambda term: term * s.eta,
    "times lambda": lambda term: term * s.lam,
    "sigma for sigma^2": lambda term: term.subs(s.sigma, sp.sqrt(s.sigma)),
}


def unit_of(expression, derivation):
    """The unit of an expression in a derivation, as the glossary writes it."""
    units = check(derivation)
    return units.text(units.of(expression) or {})


def slips(steps):
    """Wrong versions of steps: one term of each has another unit; side, term and slip take turns."""
    turn = 0
    for place, step in enumerate(steps):
        sides = list(step.equation.args)
        side = place % 2 if 0 not in sides else sides.index(0) ^ 1
        terms = [term for term in sp.Add.make_args(sides[side]) if term != 0 and not isinstance(term, sp.Order)]
        if len(terms) + (sides[side ^ 1] != 0) < 2:
            continue  # alone beside 0: true whatever it is multiplied by
        term = terms[turn % len(terms)]
        changes = {name: change(term) for name, change in SLIPS.items()}
        names = [name for name, changed in changes.items() if changed != term]
        name = names[turn % len(names)]
        sides[side] = sp.Add(*[one for one in sp.Add.make_args(sides[side]) if one != term], changes[name])
        yield place, name, term, changes[name], step.equation.func(*sides, evaluate=False)
        turn += 1


def apart(units):
    """What is known of the units, to learn more on its own."""
    other = copy.copy(units)
    other.solved, other.chosen = dict(units.solved), set(units.chosen)
    return other


def same_unit(units, term, changed):
    """Whether the change is one of numbers alone here: T in units of the loss, eta lambda of one iteration."""
    try:
        return apart(units).agree(units.of(term) or {}, apart(units).of(changed) or {})
    except InhomogeneousError:
        return False


def found(steps, equation, units):
    """Whether a wrong equation in place of the first of the steps is found, there or further down."""
    try:
        check_step(equation, units, steps[0].operation)
        for step in steps[1:]:
            check_step(step.equation, units, step.operation)
    except InhomogeneousError:
        return True
    return False


def test_every_step_is_homogeneous_and_wrong_units_are_found(record_property):
    caught, missed, numbers = 0, [], 0
    for row in derivations():
        known, after = units_of(row), 0
        for place, name, term, changed, wrong in slips(row.steps):
            for step in row.steps[after:place]:
                check_step(step.equation, known, step.operation)
            after = place
            if same_unit(known, term, changed):
                numbers += 1
            elif found(row.steps[place:], wrong, apart(known)):
                caught += 1
            else:
                missed.append(f"{row.title} ({place + 1}): {name} in {term}")
        check(row)
    record_property("wrong units planted", caught + len(missed))
    print(f"{caught} found, {numbers} of numbers alone, missed: {missed}")
    assert caught >= 1500
    assert caught >= 0.99 * (caught + len(missed)), missed
    assert numbers < 0.15 * caught, numbers


def test_a_wrong_unit_in_the_glossary_is_found():
    """Each unit, times a loss or a weight or an iteration, contradicts a step, if a derivation counts them in units."""
    rows = sorted(derivations(), key=lambda row: len(row.steps))
    known = [units_of(row) for row in rows]
    having = [
        {one for step in row.steps for one in step.equation.free_symbols} & set(units.known)
        for row, units in zip(rows, known, strict=True)
    ]
    numbers = [units.numbers for units in known]
    loose, uncounted = set(), set()
    for symbol in set(s.glossary) & set().union(*having):
        for name, base in dimensions.BASE.items():
            counted = [
                row
                for row, present, pure in zip(rows, having, numbers, strict=True)
                if symbol in present and base not in pure
            ]
            if not counted:
                uncounted.add((str(symbol), name))
            elif not any(
                found(row.steps, row.steps[0].equation, times(base, symbol, units_of(row))) for row in counted
            ):
                loose.add((str(symbol), name))
    assert loose <= {("Z", "iteration")}, loose  # in continuous time, it stands in logarithms alone
    assert {symbol for symbol, name in uncounted if name != "iteration"} <= {"kappa", "theta", "y"}, uncounted


def times(base, symbol, units):
    """Units in which a symbol has a unit too much."""
    unit = units.known[symbol]
    units.known = units.known | {symbol: unit | {base: unit.get(base, 0) + 1}}
    return units


def inhomogeneous(rows):
    """Titles of the derivations that do not pass."""
    wrong = set()
    for row in rows:
        try:
            check(row)
        except InhomogeneousError:
            wrong.add(row.title)
    return wrong


def test_every_exception_is_needed(monkeypatch):
    rows = list(derivations())
    for case, units in dimensions.OVERRIDES.items():
        concerned = [row for row in rows if case in dimensions.cases_of(row)]
        open_units = {symbol for symbol, unit in units.items() if unit is None}
        # One of the units that the steps determine may be given, and the others follow from it; not all of them.
        for usual in [{symbol} for symbol in units if symbol not in open_units] + [open_units] * bool(open_units):
            monkeypatch.setitem(dimensions.OVERRIDES, case, {one: units[one] for one in units if one not in usual})
            assert inhomogeneous(concerned), f"{usual} have their usual units in {case} too"
            monkeypatch.setitem(dimensions.OVERRIDES, case, units)
        present = {symbol for row in concerned for step in row.steps for symbol in step.equation.free_symbols}
        assert open_units <= present & set(s.glossary), case
    natural = dict(dimensions.NATURAL)
    for symbol in natural:
        monkeypatch.delitem(dimensions.NATURAL, symbol)
        having = [row for row in rows if any(symbol in step.equation.free_symbols for step in row.steps)]
        assert inhomogeneous(having) == {row.title for row in having}, natural[symbol]
        monkeypatch.setitem(dimensions.NATURAL, symbol, natural[symbol])
    discrete = [row for row in rows if not any("continuous time" in step.assumptions for step in row.steps)]
    assert len(inhomogeneous(map(as_continuous, discrete))) > 20


def as_continuous(row):
    """The derivation as if it were one of continuous time, in which an iteration is a unit."""
    first, *others = row.steps
    return dataclasses.replace(row, steps=(dataclasses.replace(first, assumptions=("continuous time",)), *others))


def test_units_say_how_a_formula_scales():
    """An independent way: rescale the numbers that a claim's formula is called with, and its value follows."""
    seed, called = np.random.default_rng(1), 0
    for row in derivations():
        formula, units = row.claim, check(row)
        if not isinstance(formula.equation, sp.Eq) or row.kernel is not None:
            continue
        scales = dict(zip(dimensions.BASE.values(), (1.3, 0.8, 1.7), strict=True))

        def scale(symbol, units=units, scales=scales):
            unit = units.resolved(units.of(symbol) or {})
            return np.prod([scales.get(base, 1.0) ** float(power) for base, power in unit.items()])

        symbols = {s.argument_name(symbol): symbol for symbol in formula.equation.rhs.free_symbols}
        values = {
            name: 2 + int(4 * seed.random()) if name.startswith("d") else seed.uniform(0.2, 0.4) for name in symbols
        }
        try:
            before = formula(**values)
            after = formula(**{name: value * scale(symbols[name]) for name, value in values.items()})
        except (TypeError, ValueError):
            continue
        if np.isfinite(before) and not formula.equation.has(sp.log):
            assert after == pytest.approx(before * scale(formula.equation.lhs), rel=1e-9), row.title
            called += 1
    assert called >= 40, called


@pytest.mark.parametrize(
    ("optimizer", "eta", "lam"),
    [
        ("sgd", "weight^2/(iteration*loss)", "loss/weight^2"),
        ("momentum", "weight^2/loss", "loss/weight^2"),
        ("adamw", "weight", "1/weight"),
        ("adam-l2", "weight", "loss/weight^2"),
    ],
)
def test_the_unit_of_the_learning_rate_depends_on_the_optimiser(optimizer, eta, lam):
    row = derive("temperature", FixedLR if optimizer == "sgd" else FixedLR.with_optimizer(optimizer))
    assert (unit_of(s.eta, row), unit_of(s.lam, row)) == (eta, lam)
    # eta lambda, with Adam's normaliser where lambda is L2, is the rate at which weights are forgotten;
    # iterations are a unit where time is continuous, and counted where it is not
    rate = s.eta * s.lam / (s.adam_unit if optimizer == "adam-l2" else 1)
    per = "1/iteration" if optimizer == "sgd" else "1"
    assert [unit_of(one, row) for one in (rate, s.T, s.r)] == [per, "loss", "weight"]


def test_the_message_has_the_step_and_the_terms():
    row = derive("radius-trajectory", FixedLR)
    place = next(place for place, step in enumerate(row.steps) if step.equation.has(sp.exp))
    equation = row.steps[place].equation
    wrong = row.replace(place, s.eq(equation.lhs, equation.rhs.subs(s.t, 1)))
    with pytest.raises(InhomogeneousError, match=rf"step {place + 1}.*4\*eta\*lambda has the unit 1/iteration, not 1"):
        check(wrong)
    with pytest.raises(InhomogeneousError, match="r has the unit weight, T has loss"):
        check_step(s.eq(s.r, s.T), dimensions.Units())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (sp.log(s.V**s.T) - s.T, sp.log(s.V**s.T) - s.V),
        (sp.log(s.eta) + 1, sp.log(s.eta + 1)),
        (sp.Integral(s.V * sp.exp(-s.V * s.p / s.T), (s.V, 0, s.V0)) - s.V**2, sp.Integral(s.V, (s.V, 0, s.T))),
        (sp.Sum(sp.Function("f")(s.c) + 1, (s.c, 0, 3)), sp.Sum(s.T + 1, (s.c, 0, 3))),
        (sp.Function("f")(s.T) + sp.Function("f")(s.U), sp.Function("f")(s.T) + sp.Function("f")(1 / s.T)),
        (s.V0 ** (s.gamma - 1) * s.V - s.V**s.gamma, s.V0**s.gamma * s.V - s.V**s.gamma),
        (sp.Derivative(sp.Function("T")(s.t), s.t) + s.heat, sp.Derivative(sp.Function("T")(s.t), s.t) + s.T),
        (sp.besseli(s.d / 2, s.T * s.kappa), sp.besseli(s.d / 2, s.kappa)),
    ],
)
def test_rules(right, wrong):
    check_step(s.eq(right, 0), dimensions.Units())
    with pytest.raises(InhomogeneousError):
        check_step(s.eq(wrong, 0), dimensions.Units())
