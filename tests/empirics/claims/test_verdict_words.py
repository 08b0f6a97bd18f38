"""The five words of verdicts, and the JSON that holds them, in this version and the one before."""

import json

import numpy as np
import pytest
from gas_table import gas_table

from empirics.claims import Verdicts, compare
from empirics.claims.verdict import VERDICTS
from empirics.claims.verdicts import SCHEMA


@pytest.fixture(scope="module")
def verdicts():
    return compare(gas_table(np.random.default_rng(1)))


def test_json_is_read_as_it_was_written(verdicts):
    read = Verdicts.from_json(verdicts.to_json())
    assert read.to_json() == verdicts.to_json()
    assert json.loads(verdicts.to_json())["schema"] == SCHEMA == 2
    assert {row.verdict for row in read} <= set(VERDICTS)


def test_the_first_schema_is_still_read(verdicts):
    first = json.loads(verdicts.to_json()) | {"schema": 1}
    for row in first["verdicts"]:
        for name in ("primary", "margin_needed", "p_value", "other_forms"):
            del row[name]
    wide, gated = [row for row in first["verdicts"] if row["kind"] == "symmetry" and row["verdict"] == "agrees"][:2]
    wide.update(verdict="inconclusive", reason="the interval straddles the edge of 1 ± 0.05")
    gated.update(verdict="inconclusive", reason="gate: 35 of 35 runs cannot be used")
    read = {(row.claim, row.title): row for row in Verdicts.from_json(json.dumps(first))}
    assert read[wide["claim"], wide["title"]].verdict == "inconclusive"
    assert read[gated["claim"], gated["title"]].verdict == "refused"
    assert {row.primary for row in read.values() if row.kind == "identity"} == {False}


@pytest.mark.parametrize("text", ["[]", "{}", "no", '{"schema": 3, "verdicts": [], "notes": [], "errors": []}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON of verdicts|schema 3"):
        Verdicts.from_json(text)


def test_the_smallest_margin_is_the_far_end_of_the_interval(verdicts):
    agreed = [row for row in verdicts if row.verdict == "agrees"]
    assert agreed
    assert all(0 < row.margin_needed <= row.margin for row in agreed)
    assert all(np.isnan(row.margin_needed) for row in verdicts if row.verdict in ("refused", "not measured"))
    assert "agrees from a margin of" in verdicts.to_text(verbose=True)
