"""What claims need: found in worlds, never granted in silence, stored, and current."""

import mpmath as mp
import pytest
import sympy as sp
from cases import ALL, KEYS, derived

from thermo_theory import DerivationError, FixedLR, FixedSphere, derivations, derive
from thermo_theory.engine.derivation import Chain, Derivation
from thermo_theory.engine.needs import EXACT, find, fingerprint, kind, stored
from thermo_theory.engine.world import World
from thermo_theory.symbols import R, T, V, eq, p, sigma

#: Needs of which no world shows that the claim is false without them, and why.
NOT_SHOWN = {
    ("second-law", name): "the claim is an integral over the sphere, and the circle of its world has one direction"
    for name in ("continuous time", "isotropic noise", "scale invariance")
}


def test_what_is_stored_is_current():
    known, titles = stored(), set()
    for found in derivations():
        titles.add(found.title)
        assert known[found.title]["of"] == fingerprint(found), f"{found.title}: python -m thermo_theory.theory"
        assert known[found.title]["kind"] == found.kind
        assert set().union(*found.needs()) <= set(found.assumptions)
    assert set(known) == titles


def _found_again(name, protocol):
    found = derived(name, protocol)
    again = find(found)
    assert again.sets == found.needs()
    assert again.without.keys() == found.counterexamples.keys()


@pytest.mark.parametrize(("name", "protocol"), KEYS[::30], ids="-".join)
def test_a_sample_needs_what_is_stored(name, protocol):
    _found_again(name, protocol)


@pytest.mark.long
@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_every_claim_needs_what_is_stored(name, protocol):
    _found_again(name, protocol)


def test_every_need_has_its_counterexample():
    silent = {
        (title, name)
        for title, known in stored().items()
        for name, why in known["without"].items()
        if why.startswith("not shown")
    }
    assert silent == set(NOT_SHOWN)
    for title, known in stored().items():
        assert set(known["without"]) == set().union(*known["needs"]), title


def test_needs_are_fewer_than_what_the_chain_used():
    relation = derive("maxwell", FixedLR)
    assert relation.needs() == (frozenset({"scale invariance", "stationarity"}),)
    assert {"isotropic noise", "homogeneous noise", "continuous time"} < set(relation.assumptions)
    assert relation.kind == "symmetry"
    temperature = derive("temperature", FixedLR)
    assert set(temperature.needs()[0]) == set(temperature.assumptions)


def _toy(*breaks, silent=()):
    """``p V = R T`` where an assumption holds; it is off by each of `breaks` that is not granted (all of them: off)."""
    chain = Chain("toy")
    chain.assumption("isotropic noise", eq(V, 2))
    chain.assumption("pure noise", eq(R, 3))
    chain.definition(eq(p * V, R * T), "for the test")

    def maker(number, granted):
        off = all(name not in granted for name in breaks)
        meanings = {
            V: mp.mpf(2 if "isotropic noise" in granted or "isotropic noise" in silent else 5),
            R: mp.mpf(3 if "pure noise" in granted or "pure noise" in silent else 7),
            T: mp.mpf(4),
        }
        return World(meanings | {p: meanings[R] * 4 / meanings[V] * (2 if off else 1)}, "toy")

    maker.__doc__ = "a toy"
    return Derivation("toy", None, None, "nowhere", "a toy", (maker,), steps=tuple(chain.steps))


def test_smallest_sets_may_be_several():
    assert find(_toy("isotropic noise")).sets == ({"isotropic noise"},)
    assert find(_toy("isotropic noise", "pure noise")).sets == ({"isotropic noise"}, {"pure noise"})
    assert "off by" in find(_toy("isotropic noise")).without["isotropic noise"]


def test_planted_a_blind_world_does_not_make_an_assumption_idle():
    found = find(_toy("isotropic noise", silent=("pure noise",)))
    assert found.sets == ({"isotropic noise", "pure noise"},)
    assert found.without["pure noise"] == "not shown: these worlds grant pure noise in silence"


def test_planted_to_ask_for_an_assumption_is_not_to_break_it():
    chain = Chain("toy")
    chain.assumption("pure noise", eq(sigma, 3))
    chain.definition(eq(p * V, R * T), "for the test")

    def made(uses):
        def maker(number, granted):
            heat = 4 if "pure noise" in granted else 5
            return World({V: 2, R: 3, T: heat if uses else 4, p: lambda world: world[R] * world[T] / world[V]})

        maker.__doc__ = "a toy"
        return Derivation("toy", None, None, "nowhere", "a toy", (maker,), steps=tuple(chain.steps))

    assert find(made(uses=True)).sets == (frozenset(),)
    assert find(made(uses=False)).sets == ({"pure noise"},)


def test_a_false_claim_needs_nothing_that_would_help():
    wrong = _toy("isotropic noise").replace(-1, eq(p * V, 2 * R * T))
    with pytest.raises(DerivationError):
        find(wrong)


def test_a_changed_derivation_is_not_looked_up():
    law = derive("ideal-gas-law", FixedLR)
    assert fingerprint(law.replace(-1, eq(V * p, 2 * R * T))) != fingerprint(law)


def test_kinds_follow_the_rule():
    for found in derivations():
        exact = [one for one in found.needs() if one <= EXACT]
        if found.kind in ("identity", "symmetry"):
            assert exact, found.title
        elif found.kind == "physics":
            assert not exact, found.title
    S, x = sp.Function("S"), sp.Symbol("x", positive=True)
    assert kind(eq(S(x), S(2 * x)), [{"scale invariance"}]) == "symmetry"
    assert kind(eq(S(x), S(2 * x)), [set()]) == "identity"
    assert kind(eq(S(x), x), [{"scale invariance", "low temperature"}, {"Gibbs law"}]) == "physics"


def test_roots_and_tree_go_down_to_what_is_taken_without_proof():
    law = derive("ideal-gas-law", FixedLR)
    roots = law.roots()
    assert {root.kind for root in roots} == {*law.assumptions, "definition"}
    assert all(root.step.operation in ("assumption", "definition") for root in roots)
    assert str(roots[0]).startswith("continuous time: ")
    tree = law.tree()
    assert all(name in tree for name in ("sde, fixed LR", "ito-radius, fixed LR", "assume stationarity"))
    # What a claim was given a proof of is no root.
    assert "ideal gas law" not in {root.kind for root in derive("adiabatic-index").roots()}


def test_a_proof_must_prove_what_was_assumed():
    chain = Chain("mine")
    other = chain.definition(eq(p * V, 2 * R * T), "no ideal gas")
    with pytest.raises(ValueError, match="heat-capacities assumes under 'ideal gas law'"):
        chain.claim("heat-capacities", given={"ideal gas law": other})
    law = chain.claim("ideal-gas-law", FixedSphere)
    proved = chain.claim("heat-capacities", given={"ideal gas law": law})
    assert "ideal gas law" not in proved.rests_on
    assert {"Gibbs law", "scale invariance"} <= set(proved.rests_on)
