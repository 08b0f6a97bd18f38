"""Kind and needs of what is judged: taken from the derivation that it is compared with, never typed beside it."""

import ast
from pathlib import Path

import numpy as np
import pytest
from gas_states import state_table
from optimizer_tables import optimizer_table

import empirics.claims as room
from empirics.claims import CLAIMS, Claim, Statement, compare
from empirics.claims.fits import mean_of
from empirics.claims.ground import Ground, derived, entries
from empirics.claims.table import Table
from empirics.claims.verdict import KINDS
from thermo_theory import ASSUMPTIONS, FixedLR, derive

#: Where a kind may stand by itself: what kinds are, and claims of the user's own.
WORDS_OF_KINDS = {"base.py", "guard.py", "overview.py", "own.py", "verdict.py", "verdicts.py", "ground.py"}


def typed(call):
    """Kinds in a call, and whether a derivation stands beside them."""
    kinds = [one for one in (*call.args, *(key.value for key in call.keywords)) if isinstance(one, ast.Constant)]
    kinds = [one.value for one in kinds if one.value in KINDS]
    beside = len(call.args) > 2 or any(key.arg in ("derivation", "derivations") for key in call.keywords)
    return kinds, beside


def faults(source):
    """Lines in which a kind is typed, other than of a form that is compared with nothing derived."""
    tree = ast.parse(source)
    alone = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Statement", "Ground")
    ]
    allowed = {
        id(part) for call in alone if not typed(call)[1] for part in (*call.args, *(k.value for k in call.keywords))
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in KINDS]
    return sorted({node.lineno for node in constants if id(node) not in allowed})


@pytest.mark.parametrize(
    "source",
    [
        'self.verdict(table, form, "symmetry", 1.0, 0.05, estimate, derive("radius").source)',
        'self.not_measured(table, form, "physics", 1.0, missing)',
        'Statement("identity", "Words.", ("norm-balance",))',
        'Statement("identity", "Words.", derivations=("norm-balance",))',
        'kind = "identity" if table.optimizer == "sgd" else "physics"',
    ],
)
def test_a_kind_beside_a_derivation_is_seen(source):
    assert faults(source) == [1]
    assert faults('Statement("identity", "Words.")\nGround("identity", source="arithmetic")') == []


@pytest.mark.parametrize("path", sorted(Path(room.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_no_kind_is_typed_beside_a_derivation(path):
    assert path.name in WORDS_OF_KINDS or faults(path.read_text(encoding="utf-8")) == []


def judged():
    tables = [
        state_table(np.random.default_rng(0), p, 20, levels=(5, 5)) for p in ("fixed-lr", "fixed-elr", "fixed-sphere")
    ]
    others = [
        optimizer_table(np.random.default_rng(0), name, levels=(5, 5)) for name in ("momentum", "adamw", "adam-l2")
    ]
    return [row for table in (*tables, *others) for row in compare(table)]


def test_verdicts_say_of_kind_and_needs_what_the_derivation_does():
    compared = 0
    for row in judged():
        claim = next(one for one in CLAIMS if one.name == row.claim)
        said = claim.statement(row)
        names = [one.name for one in entries(said.derivations, row.protocol, row.optimizer)]
        if not row.derivation:
            assert (row.kind, row.needs, names) == ("identity", (), []), row
            continue
        compared += 1
        assert row.derivation in names, row
        (law,) = (one for one in derived(said.derivations, row.protocol, row.optimizer) if one.name == row.derivation)
        # Consequences of what is derived may need more than that.
        more = set().union(*row.needs) - set().union(*law.needs())
        assert {frozenset(one) for one in row.needs} == {one | more for one in law.needs()}, row
        assert row.kind == law.kind or (row.kind == "physics" and more), row
        assert row.source == law.source
        assert more <= {"stationarity"} or row.claim == "V9", row
    assert compared > 60


def test_a_consequence_that_needs_more_is_physics_unless_that_is_exact():
    exact = Ground.of(derive("scaling-symmetry", FixedLR))
    assert (exact.also("stationarity").kind, exact.also("Gibbs law").kind) == ("symmetry", "physics")
    assert exact.also("stationarity").needs == (("scale invariance", "stationarity"),)
    with pytest.raises(ValueError, match="good luck"):
        exact.also("good luck")
    assert "stationarity" in ASSUMPTIONS


def test_a_claim_of_a_users_own_may_name_a_derivation_or_its_kind():
    class Mine(Claim):
        name, title, protocols = "mine", "Mine", ("fixed-lr",)
        statements = (Statement(words="By the formula.", derivations=("radius",)), Statement("identity", "By itself."))

        def verdicts(self, table):
            found = mean_of(table.values("radius_sq"))
            laws = (derive("radius", FixedLR), "identity")
            return [self.verdict(table, "form", law, 1.0, 0.5, found) for law in laws]

    data = state_table(np.random.default_rng(0), "fixed-lr", 20, levels=(3, 3)).assign_attrs(protocol="fixed-lr")
    rows = Mine().verdicts(Table.of(data))
    assert [(row.kind, row.derivation) for row in rows] == [("physics", "radius"), ("identity", "")]
    assert [Mine().statement(row).words for row in rows] == ["By the formula.", "By itself."]
    assert rows[0].source == FixedLR.radius.source
