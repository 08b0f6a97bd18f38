"""What is asked of every derivation beside that it holds (test_derivation): none is circular, assumptions enter."""

from __future__ import annotations

import pytest

from thermo_theory import Derivation, derivations, derive

ALL = list(derivations())
BY_TITLE = {derivation.title: derivation for derivation in ALL}


def test_pairs_of_name_and_protocol_are_unique():
    pairs = [(row.name, str(row.protocol)) for row in ALL]
    assert len(set(pairs)) == len(pairs) > 100


def _starts_from(derivation: Derivation) -> set[str]:
    claims = [step for step in derivation.steps if step.operation == "claim"]
    return {step.done.removeprefix("from ") for step in claims}


def test_claims_form_no_cycle():
    left = {title: _starts_from(derivation) for title, derivation in BY_TITLE.items()}
    assert set().union(*left.values()) <= set(left)
    assert sum(map(len, left.values())) > 100
    while left:
        ready = {title for title, claims in left.items() if not claims}
        assert ready, f"these start from one another: {', '.join(sorted(left))}"
        left = {title: claims - ready for title, claims in left.items() if title not in ready}


def test_each_derivation_starts_from_claims_with_fewer_or_equal_assumptions():
    """Assumptions that a claim rests on enter with it, but for those of which it was given a proof."""
    for derivation in ALL:
        for step in derivation.steps:
            if step.shown is not None:
                assert set(step.shown.rests_on) - set(step.proved) <= set(step.rests_on)
                assert set(step.rests_on) <= set(derivation.assumptions)


def test_a_derivation_that_does_not_assume_something_cannot_withdraw_it():
    with pytest.raises(ValueError, match="does not assume"):
        derive("isobar").without("scale invariance")
