"""Attacks on the verdicts: tables with something wrong in them do not agree, and true ones do not disagree."""

import pytest
from attack_cases import cases
from study_attack import ATTACKS, concerned, share, study, verdict, wrong

from empirics.claims.virial import LAW as VIRIAL

TABLES = 100

PAIRS = [(case, name) for case in cases() for name, attack in ATTACKS.items() if concerned(case, attack)]


@pytest.mark.long
def test_hardly_any_verdict_is_wrong_whatever_is_done_to_the_tables(record_property):
    found = study(TABLES)
    shares = {(case.claim, case.protocol, case.title, name): wrong(found, case, name) for case, name in PAIRS}
    record_property("tables judged in the study of attacks", TABLES * len(PAIRS))
    assert not {key: wrongly for key, wrongly in shares.items() if wrongly > 0.05}
    missed = [case for case in cases() if share(found, case, "planted", "disagrees") < 0.95]
    assert not missed, "a violation of 10 % on the whole grid"
    # V9's law neglects lr wd/2, which is 0.04 in one corner of its grid: a band that holds there has no room left.
    unsure = [case for case in cases() if case.title != VIRIAL and share(found, case, "truth", "agrees") < 0.9]
    assert not unsure


@pytest.mark.parametrize("name", ATTACKS)
def test_one_table_of_each_attack(name):
    for case in cases():
        if case.protocol == "fixed-lr" and case.claim in ("V1", "V3") and concerned(case, ATTACKS[name]):
            assert verdict(case, ATTACKS[name], 1) not in ATTACKS[name].wrong, (case.claim, case.title)
