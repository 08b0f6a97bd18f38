"""Every operation has a battery of tests, and its battery notices nearly every slip in its source.

All mutants (some 2,500) run in `make check-long`, one in fifty in `make test`. Those that are not caught say the same
as the source, each for a reason given here.
"""

import re
import zlib

import pytest
from operation_mutants import batteries, caught, mutants, planted, targets

from thermo_theory.engine.operations import OPERATIONS, operation
from thermo_theory.symbols import eq

#: Of the mutants, the share that must be caught.
SHARE = 0.99

#: Mutants that say the same: function, what was changed (a regular expression), why.
REASONS = ()


def reason(mutant):
    """Why a mutant is no mistake; empty if it is one."""
    here = (why for name, what, why in REASONS if name == mutant.function.name and re.search(what, mutant.words))
    return next(here, "")


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
    equivalent = [mutant for mutant in missed if reason(mutant)]
    record_property("mutants", tried - len(equivalent))
    record_property("mutants of operations that say the same as the source", len(equivalent))
    for mutant in missed:
        if mutant not in equivalent:
            record_property("mutant missed", str(mutant))
    return tried, missed, [str(mutant) for mutant in missed if mutant not in equivalent]


def test_every_operation_has_a_battery():
    assert set(OPERATIONS) <= set(batteries()), set(OPERATIONS) - set(batteries())


def test_an_operation_without_a_battery_is_noticed():
    before = dict(OPERATIONS)
    try:
        operation("new")(lambda equation: equation)
        assert set(OPERATIONS) - set(batteries()) == {"<lambda>"}
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
    tried, _, unexplained = tally(record_property, one_in=50)
    assert tried > 30
    assert not unexplained


@pytest.mark.long
def test_mutants_of_every_operation(record_property):
    tried, missed, unexplained = tally(record_property)
    assert tried > 2000
    assert len(unexplained) <= (1 - SHARE) * (tried - len(missed) + len(unexplained))
    used = {
        (name, what)
        for name, what, _ in REASONS
        for one in missed
        if one.function.name == name and re.search(what, one.words)
    }
    assert used == {(name, what) for name, what, _ in REASONS}, "a reason that no mutant needs"
