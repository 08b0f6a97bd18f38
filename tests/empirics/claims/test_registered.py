"""What a run registers when it begins, and what is said when it changed: one sentence each, and none if nothing did."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import pytest
from tiny import tiny

import empirics
from empirics.claims import registered
from empirics.claims.radius import RadiusLaw

OWN = """
from empirics.claims import claim

@claim("W1", title="Mine", kind="physics", theory=1.0, margin=0.5)
def measure(table):
    return table.values("balance")
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return empirics.run(tiny(), tmp_path_factory.mktemp("registered") / "out", progress=False)


def said(runs, **options):
    return [note for note in empirics.compare(runs, **options).notes if "the run began" in note]


def with_record(runs, change):
    """The same results with another provenance."""
    facts = json.loads(json.dumps(runs.provenance))
    change(facts)
    return dataclasses.replace(runs, provenance=facts)


def test_a_run_records_hashes_before_it_trains(runs):
    (session,) = runs.provenance["sessions"]
    found = session["registered"]
    assert {key for key in found if re.fullmatch("[0-9a-f]{64}", str(found[key]))} == {
        "experiment_sha256",
        "claims_sha256",
        "code_sha256",
    }
    # 5 % for all but two: volumes add as exactly as norms are in balance, and V8's slope is one of log(p V/(R T)).
    narrower = {name: margin for name, margin in found["margins"].items() if margin != 0.05}
    assert narrower == {"V7 volume_margin": 0.02, "V8 slope_margin": 0.025}
    assert {key.split()[0] for key in found["margins"]} == {claim.name for claim in empirics.claims.CLAIMS}
    home = Path(registered.__file__).parents[2]
    if (home / ".git").exists():
        head = subprocess.run(["git", "-C", home, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert session["commit"].rstrip("+") == head.stdout.strip()
    assert runs.provenance["experiment"] == (runs.path / "experiment.toml").read_text()


def test_nothing_is_said_if_nothing_changed(runs, tmp_path):
    assert said(runs) == []
    assert said(empirics.load(runs.path)) == []
    assert "the run began" not in empirics.report(empirics.compare(runs), tmp_path / "a.md", "markdown").read_text()


def test_a_margin_moved_afterwards_is_told_with_both_numbers(runs, monkeypatch, tmp_path):
    monkeypatch.setattr(RadiusLaw, "slope_margin", 0.2)
    (sentence,) = said(runs)
    assert sentence == "the claims changed since the run began: V1 slope_margin is 0.2, was 0.05"
    assert sentence in empirics.report(empirics.compare(runs), tmp_path / "a.md", "markdown").read_text()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (("other", None), "the claims changed since the run began: their code is another"),
        ((None, "other"), "the code that trains, measures and derives changed since the run began (then thermo-theory"),
    ],
)
def test_other_code_is_told(runs, monkeypatch, code, sentence):
    now = registered._code()
    monkeypatch.setattr(registered, "_code", lambda: tuple(new or old for new, old in zip(code, now, strict=True)))
    (found,) = said(runs)
    assert found.startswith(sentence)


def test_code_that_changed_before_a_run_was_resumed_is_told(runs):
    def resumed(facts):
        facts["sessions"].append(json.loads(json.dumps(facts["sessions"][0])))
        facts["sessions"][1]["registered"]["code_sha256"] = "0" * 64

    (found,) = said(with_record(runs, resumed))
    assert "code that trains" in found


def test_the_hashes_are_those_of_the_files(monkeypatch, tmp_path):
    for name in ("empirics/claims", "empirics/running", "thermo_theory"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(registered, "ROOT", tmp_path)
    monkeypatch.setattr(registered, "JUDGING", tmp_path / "empirics" / "claims")
    hashes = registered._code.__wrapped__
    before = hashes()
    for name, changed in (("empirics/claims", [True, False]), ("thermo_theory", [False, True])):
        (tmp_path / name / "a.py").write_text("a = 2\n")
        after = hashes()
        assert [new != old for new, old in zip(after, before, strict=True)] == changed
        before = after


def test_claims_of_the_user_that_were_not_registered_are_told(runs, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    assert said(runs, claims=tmp_path / "mine.py") == ["the claims changed since the run began: W1 was not registered"]


def test_claims_of_the_user_that_were_registered_and_edited_are_told(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    known = empirics.claims.claims("mine.py").values()

    def with_mine(facts):
        facts["sessions"][0]["registered"] = registered.registration(facts["experiment"], known)

    mine = with_record(runs, with_mine)
    assert said(mine, claims="mine.py") == []
    (tmp_path / "mine.py").write_text(OWN + "# looser\n")
    assert said(mine, claims="mine.py") == ["the claims changed since the run began: the file with W1 is another"]


def test_another_experiment_in_the_results_is_told(runs):
    edited = with_record(runs, lambda facts: facts.update(experiment=tiny(("seeds = [3]", "seeds = [4]")).to_toml()))
    assert said(edited) == ["the experiment in the results is not the one that the run began with"]
    other = dataclasses.replace(runs, experiment=tiny(("seeds = [3]", "seeds = [4]")))
    assert said(other) == ["the experiment in the results is not the one that the run began with"]


def test_an_edited_file_in_the_folder_is_told(runs):
    file = runs.path / "experiment.toml"
    text = file.read_text()
    try:
        file.write_text(text.replace("burn_in = 30", "burn_in = 40"))
        (found,) = said(runs)
        assert "edited after the run began ([training] burn_in = 40, not 30)" in found
        file.write_text(text.replace("burn_in = 30", "burn_in = thirty"))
        assert "is not TOML" in said(runs)[0]
    finally:
        file.write_text(text)


def test_results_without_a_record_are_not_passed(runs):
    (found,) = said(with_record(runs, lambda facts: facts["sessions"][0].pop("registered")))
    assert "is unknown" in found
    assert said(with_record(runs, lambda facts: facts.update(imported={}))) == []
