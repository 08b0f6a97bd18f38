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

_SECOND_ORDER = "second order in the step, below the tolerance where steps are so small; exact in the norm's balance"
_AT_ANY_VOLUME = "true: the claim is that p V, and so Z, does not depend on the volume"
_NO_DIVERGENCE = "true: the diffusion has no divergence if the noise is isotropic and homogeneous"
_SUMS_TO_ZERO = "true: the probabilities add up to one, so their changes add up to nothing"
_WEAKER = "true: a weaker bound"

#: Mutants that are not caught: derivation, what was changed (a beginning), why.
REASONS = (
    ("stationary-distribution", "sign of term 2", _NO_DIVERGENCE),
    ("second-law", "sign of term 2", _NO_DIVERGENCE),
    ("first-law", "Z squared", _SUMS_TO_ZERO),
    ("first-law", "sign of term", _SUMS_TO_ZERO),
    ("potential", "sign of term 1", _WEAKER),
    ("heat-capacities", "V squared", "true: (dS/dV^2) (dV^2/dT) is (dS/dV) (dV/dT)"),
    ("adiabatic-index", "p squared", "true: the heat capacity of an ideal gas is the same at any pressure"),
    ("real-gas", "V squared", _AT_ANY_VOLUME),
    ("real-gas", "c squared", _AT_ANY_VOLUME),
    ("compressibility", "lambda squared", _AT_ANY_VOLUME),
    ("estimator-bias", "c squared", "true: the bias is the same all along the orbit, the claim"),
    ("quasi-static", "t squared", "true: the lag does not depend on the time"),
    ("gibbs-distribution", "factor 2", "the world is where the entropy is largest: both sides are zero there"),
    ("gibbs-distribution", "sign", "the world is where the entropy is largest: both sides are zero there"),
    ("volume-fluctuations", "eta squared", _SECOND_ORDER),
    ("volume-fluctuations", "lambda squared", _SECOND_ORDER),
    ("volume-fluctuations", "sign of term", _SECOND_ORDER),
    ("radius, fixed LR, Adam", "beta_1 squared", _SECOND_ORDER),
    ("adamw-radius", "beta_1 squared", _SECOND_ORDER),
)


@dataclass
class Tally:
    """How many mutants were tried, and which were not caught."""

    tried: int = 0
    by_units: int = 0
    equivalent: int = 0
    missed: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    def add(self, found: Derivation, number: int, word: str, wrong: sp.Basic) -> None:
        line = f"{found.title}, step {number + 1}, {word}: {sp.sstr(wrong)[:160]}"
        reason = next(
            (why for name, what, why in REASONS if found.title.startswith(name) and word.startswith(what)), ""
        )
        self.missed.append(f"{line} ({reason or 'no reason known'})")
        if not reason:
            self.unexplained.append(line)

    def report(self, record_property) -> None:
        """Hand the counts to the terminal's summary."""
        record_property("mutants", self.tried)
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


def test_mutants_are_wrong_and_equivalents_are_not_counted():
    law, zero = eq(p * V, R * T), eq(0, R * T - p * V)
    assert [word for word, _ in mutants(law)] == ["factor 2", "sign", "R squared", "T squared"]
    assert not any(same(wrong, law) for _, wrong in mutants(law))
    assert {word for word, wrong in mutants(zero) if same(wrong, zero)} == {"factor 2", "sign"}
    assert next(type(wrong) for _, wrong in mutants(sp.Le(p * V, R * T))) is sp.Ge
