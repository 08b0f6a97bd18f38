"""What is asked of every derivation beside that it holds (test_derivation): none is circular, assumptions enter."""

from __future__ import annotations

import re
from functools import cache

import pytest

from thermo_theory import Derivation, derivations, derive
from thermo_theory.engine.derivation import Chain
from thermo_theory.engine.operations import OperationError
from thermo_theory.symbols import R, eq, lam, p


@cache
def every() -> list[Derivation]:
    """All of them, made when the first test asks: half a minute that every collection of the tests would take."""
    return list(derivations())


def test_pairs_of_name_and_protocol_are_unique():
    pairs = [(row.name, str(row.protocol)) for row in every()]
    assert len(set(pairs)) == len(pairs) > 100


def _starts_from(derivation: Derivation) -> set[str]:
    claims = [step for step in derivation.steps if step.operation == "claim"]
    return {step.done.removeprefix("from ") for step in claims}


def test_claims_form_no_cycle():
    left = {derivation.title: _starts_from(derivation) for derivation in every()}
    assert set().union(*left.values()) <= set(left)
    assert sum(map(len, left.values())) > 100
    while left:
        ready = {title for title, claims in left.items() if not claims}
        assert ready, f"these start from one another: {', '.join(sorted(left))}"
        left = {title: claims - ready for title, claims in left.items() if title not in ready}


def test_each_derivation_starts_from_claims_with_fewer_or_equal_assumptions():
    """Assumptions that a claim rests on enter with it, but for those of which it was given a proof."""
    for derivation in every():
        for step in derivation.steps:
            if step.shown is not None:
                assert set(step.shown.rests_on) - set(step.proved) <= set(step.rests_on)
                assert set(step.rests_on) <= set(derivation.assumptions)


def test_a_derivation_that_does_not_assume_something_cannot_withdraw_it():
    with pytest.raises(ValueError, match="does not assume"):
        derive("isobar").without("scale invariance")


#: What Python would print, and no reader of physics writes.
RAW = re.compile(r"\*\*|\b(?:Eq|Expectation|Derivative|Dot|Generator)\(|\b[a-zA-Z]+_(?:eff|[A-Z])")


def test_every_step_does_something_and_says_it_in_words():
    idle = [
        f"{row.title} ({step.number})"
        for row in every()
        for step in row.steps
        if step.equation in [row.steps[number - 1].equation for number in step.parents]
    ]
    raw = [f"{row.title}: {step.done}" for row in every() for step in row.steps if RAW.search(step.done)]
    assert (idle, raw) == ([], [])
    assert RAW.search("solve for eta_eff")
    assert RAW.search("put Eq(x, y**2)")


def test_a_step_that_changes_nothing_is_refused_or_left_out():
    chain = Chain()
    law = chain.definition(eq(p, lam), "weight decay is the pressure")
    assert law.tidied("expand") is law
    with pytest.raises(OperationError, match="expand changes nothing in"):
        law.expand()
    assert law.scale(1 + R).tidied("factor").tidied("factor").number == len(chain.steps) == 3
