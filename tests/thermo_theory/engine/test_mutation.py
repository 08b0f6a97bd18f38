"""Mutations: steps with a slip of the pen in them, nearly all of which the checks must notice.

The whole battery (some 10,000 mutants) runs in `make check-long`, one in eighty of it in `make test`. A mutant that
says the same as the step, given what it was made from, is not counted (see `mutation.same`). Those that are
counted and not caught must have a reason here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import pytest
import sympy as sp
from mutation import Court, mutants, same, starts

from thermo_theory import derivations, derive
from thermo_theory.engine.derivation import Derivation, registered
from thermo_theory.symbols import R, T, V, eq, p

ALL = [pytest.param(name, protocol, id=f"{name}-{protocol}") for name, protocol in registered()]

#: Of the mutants, the share that must be caught.
SHARE = 0.99

_SUMS_TO_ZERO = "true: the probabilities add up to one, so their changes add up to nothing"
_RATES = "true: what the optimiser remembers does not depend on this rate"
_BOTH_ZERO = "the world is where the entropy is largest: both sides are zero there"

#: Mutants that are not caught: derivation, what was changed (a beginning), why.
REASONS = (
    (
        "stationary-distribution",
        "sign of term 3",
        "true: the diffusion has no divergence if the noise is isotropic and homogeneous",
    ),
    ("first-law", "Z squared", _SUMS_TO_ZERO),
    ("first-law", "sign of term", _SUMS_TO_ZERO),
    ("loss-fluctuations", "sign of term", "true: neither losses nor areas change with the temperature"),
    ("potential", "sign of term 1", "true: a weaker bound"),
    ("heat-capacities", "V squared", "true: (dS/dV^2) (dV^2/dT) is (dS/dV) (dV/dT)"),
    ("muon-symmetry", "eta squared", _RATES),
    ("muon-symmetry", "lambda squared", _RATES),
    ("lamb-symmetry", "eta squared", _RATES),
    ("radius, fixed LR", "k squared", "the same: the degree k is 0 or 1"),
    ("gibbs-distribution", "factor 2", _BOTH_ZERO),
    ("gibbs-distribution", "sign", _BOTH_ZERO),
)


@dataclass
class Tally:
    """How many mutants were tried, and which were not caught."""

    tried: int = 0
    by_units: int = 0
    equivalent: int = 0
    missed: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    reasons: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, found: Derivation, number: int, word: str, wrong: sp.Basic) -> None:
        line = f"{found.title}, step {number + 1}, {word}: {sp.sstr(wrong)[:160]}"
        rows = {row for row in REASONS if found.title.startswith(row[0]) and word.startswith(row[1])}
        self.reasons |= rows
        self.missed.append(f"{line} ({'; '.join(row[2] for row in rows) or 'no reason known'})")
        if not rows:
            self.unexplained.append(line)

    def report(self, record_property) -> None:
        """Hand the counts to the terminal's summary."""
        record_property("mutants of derivations and operations", self.tried)
        record_property("mutants caught by their units already", self.by_units)
        record_property("mutants that say the same as the step, given what it was made from", self.equivalent)
        for line in self.missed:
            record_property("mutant missed", line)


def battery(found: Derivation, tally: Tally, one_in: int = 1) -> None:
    """Try the mutants of all steps of a derivation, or a sample that is the same each time."""
    court: Court | None = None
    for number, step in enumerate(found.steps):
        for word, wrong in mutants(step.equation):
            sampled = zlib.crc32(f"{found.title} {number} {word}".encode()) % one_in == 0
            if not sampled or wrong == step.equation:
                continue
            court = court or Court(found)
            if by := court.caught(number, wrong):
                tally.tried += 1
                tally.by_units += by == "units"
            elif same(wrong, step.equation) or same(wrong, step.equation, starts(found, number)):
                tally.equivalent += 1
            else:
                tally.tried += 1
                tally.add(found, number, word, wrong)


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_a_sample_of_mutants(name, protocol, record_property):
    tally = Tally()
    battery(derive(name, registered()[name, protocol].protocol), tally, one_in=80)
    tally.report(record_property)
    assert not tally.unexplained


@pytest.mark.long
def test_mutants_of_every_step_of_every_derivation(record_property):
    tally = Tally()
    for found in derivations():
        battery(found, tally)
    tally.report(record_property)
    assert tally.tried > 5000
    assert not tally.unexplained
    assert len(tally.missed) <= (1 - SHARE) * tally.tried
    assert tally.reasons == {*REASONS}, "a reason that no mutant needs"


def test_mutants_are_wrong_and_equivalents_are_not_counted():
    law, zero = eq(p * V, R * T), eq(0, R * T - p * V)
    assert [word for word, _ in mutants(law)] == ["factor 2", "sign", "R squared", "T squared"]
    assert not any(same(wrong, law) for _, wrong in mutants(law))
    assert {word for word, wrong in mutants(zero) if same(wrong, zero)} == {"factor 2", "sign"}
    assert next(type(wrong) for _, wrong in mutants(sp.Le(p * V, R * T))) is sp.Ge
