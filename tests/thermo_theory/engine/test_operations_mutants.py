"""Every operation has a battery of tests, and its battery notices nearly every slip in its source.

All mutants (some 2,500) run in `make check-long`, one in 75 in `make test`. Those that are not caught say the same
as the source, each for a reason given here.
"""

import zlib

import pytest
from operation_mutants import batteries, caught, mutants, planted, registered, targets

from thermo_theory.engine.operations import OPERATIONS, operation
from thermo_theory.symbols import eq

#: Of the mutants, the share that must be caught.
SHARE = 0.99

_ORDER = "an order term has neither sign nor factor"
_OPEN = "sign and size of what is left out are open; it enters no power that is kept"
_ABSORBED = "the order term absorbs one more term, and the unit of the variable is free"
_EITHER = "whether one of the two sides is positive: in whatever order they are asked"

_UNCHANGED = "an operation that changes nothing is refused in any case"

#: Mutants that say the same: function, what was changed (the beginning), why.
REASONS = (
    ("take_logarithm", "for side in equation.args -> ", _EITHER),
    ("take_root", "for side in equation.args -> ", _EITHER),
    ("_mean_square", "0 -> 1 (4)", "both arguments of the square are the vector"),
    ("ito_of_loss", "SymProduct(hessian, covariance.rhs) -> ", "the trace of {H, D} is that of {D, H}"),
    ("positive_root", "constant / a -> constant * a", "a product has the sign of the ratio"),
    ("bessel_recurrences", "one.order - d / 2 -> one.order", "orders that differ by numbers are sorted all the same"),
    ("bessel_recurrences", "d / 2 -> ", "the same, whatever is taken off all of them"),
    ("bessel_recurrences", "2 -> 3", "the same: d/3 is taken off all of them, too"),
    ("collect_decay", "Vec('x') if is_tensor(one) else sp.Dummy() -> ", "any letter will do that is not the rate"),
    ("at_constant", "if not rules -> if False", _UNCHANGED),
    ("change_held", "if not rules -> if False", _UNCHANGED),
    ("evaluate_integrals", "done == equation.rhs or done.has", _UNCHANGED),
    ("put_into_terms", "if new == changed -> if False", _UNCHANGED),
    ("rescale", "if new == equation -> if False", _UNCHANGED),
    ("split_by_covariance", "if changed == equation.rhs -> if False", _UNCHANGED),
    ("substitute", "if new == changed -> if False", _UNCHANGED),
    ("inner", "zip(first.args, second.args, strict=True) -> ", "the inner product is symmetric"),
    ("over_gas_constant", "total + (series.getO() or 0) -> ", _ORDER),
    ("leading_log", "log + sp.Order(1 / k, (k, sp.oo)) -> ", _ORDER),
    ("leading_log", "1 -> 2", _ORDER),
    ("collect_logs", "sp.factor(sp.expand(series)) + (equation.rhs.getO() or 0) -> ", _ORDER),
    ("put_many_dimensions", "expansion.rhs.removeO() + size * order.expr -> ", _OPEN),
    ("put_expansion", "expansion.rhs.removeO() + size * order.expr -> ", _OPEN),
    ("put_series", "expansion.rhs.removeO() + size * order.expr -> ", _OPEN),
    ("_collected", "put.subs(size, 0) -> ", _OPEN),
    ("_collected", "0 -> 1 (2)", _OPEN),
    ("_collected", "0 -> 1 (3)", "powers below the first have no coefficient"),
    ("_collected", "total + sp.Order(variable ** reach) -> ", _ORDER),
    ("at_low_temperature", "2 -> 3 (6)", _ABSORBED),
    ("at_low_temperature", "2 -> 3 (9)", _ABSORBED),
    ("at_low_temperature", "1 -> 2 (3)", _ABSORBED),
    ("at_low_temperature", "sp.expand(ratio).subs(small, sp.sqrt(temperature)) + ", _ORDER),
    ("only_zero", "equation.lhs - equation.rhs -> equation.lhs + ", "one of the sides is 0"),
    ("_power_solution", "1 -> 2", _ABSORBED),
    ("_power_solution", "True -> False", "the sign of the small number is not used"),
    ("solve_in_dimensions", "True -> False", "the sign of the small number is not used"),
    ("solve_in_dimensions", "1 -> 2 (3)", "the sign of a coefficient is the same at another place"),
    ("solve_in_dimensions", "1 -> 2", _ABSORBED),
    ("solve_in_dimensions", "total + sp.Order(d ** (-(count + 1)), (d, sp.oo)) -> ", _ORDER),
    ("solve_in_powers", "total + sp.Order(variable ** (-(count + 1)), (variable, sp.oo)) -> total - ", _ORDER),
    ("put_many_dimensions", "_tidy(top / bottom) + sp.Order(1 / d, (d, sp.oo)) -> ", _ORDER),
    ("put_many_dimensions", "1 -> 2 (2)", _ORDER),
    ("put_many_dimensions", "1 -> 2", "the value where 1/d is 0 does not depend on the unit of d"),
)


def reason(mutant):
    """The row of `REASONS` that says why a mutant is no mistake; empty words if it is one."""
    here = (row for row in REASONS if row[0] == mutant.function.name and mutant.words.startswith(row[1]))
    return next(here, ("", "", ""))


def tally(record_property, one_in=1):
    """Try the mutants of all functions, or a sample that is the same each time."""
    tried, missed = 0, []
    for target, names in targets().items():
        battery = [test for name in names for test in batteries()[name]]
        for mutant in mutants(target):
            if zlib.crc32(str(mutant).encode()) % one_in == 0:
                tried += 1
                if not caught(mutant, battery):
                    missed.append(mutant)
    equivalent = [mutant for mutant in missed if reason(mutant)[2]]
    record_property("mutants of derivations and operations", tried - len(equivalent))
    record_property("mutants of operations that say the same as the source", len(equivalent))
    for mutant in missed:
        if mutant not in equivalent:
            record_property("mutant missed", str(mutant))
    return tried, missed, [str(mutant) for mutant in missed if mutant not in equivalent]


def test_every_operation_has_a_battery():
    assert len(registered()) > 100
    assert not registered() - set(batteries())


def test_an_operation_without_a_battery_is_noticed():
    before = dict(OPERATIONS)
    try:

        def new(equation):
            """Do nothing."""

        new.__module__ = "thermo_theory.theory"
        operation("new")(new)
        assert registered() - set(batteries()) == {"new"}
    finally:
        OPERATIONS.clear()
        OPERATIONS.update(before)


def test_a_mutant_is_planted_and_taken_away():
    target = ("thermo_theory.engine.operations", "flip")
    found = {mutant.words: mutant for mutant in mutants(target)}
    law = eq(1, 2)
    with planted(found["equation.rhs -> equation.lhs"]):
        assert OPERATIONS["flip"](law) == eq(1, 1)
    assert OPERATIONS["flip"](law) == eq(2, 1)
    assert all(caught(mutant, batteries()["flip"]) for mutant in found.values())


def test_a_sample_of_mutants(record_property):
    tried, _, unexplained = tally(record_property, one_in=75)
    assert tried > 20
    assert not unexplained


@pytest.mark.long
def test_mutants_of_every_operation(record_property):
    tried, missed, unexplained = tally(record_property)
    assert tried > 2000
    assert len(unexplained) <= (1 - SHARE) * (tried - len(missed) + len(unexplained))
    assert {reason(mutant) for mutant in missed} - {("", "", "")} == {*REASONS}, "a reason that no mutant needs"
