"""Claims of the user's own: the how-to is executed, and what is wrong is said in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from gas_table import gas_table

from empirics import cli, results
from empirics.claims import CLAIMS, ClaimError, ClaimWarning, Estimate, Table, claim, claims, compare, own
from empirics.claims.own import load_claims

ROOT = Path(__file__).parents[3]
HOW_TO = (ROOT / "docs" / "claims-of-your-own.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", HOW_TO, flags=re.DOTALL)

HEAD = "from empirics.claims import claim\n"
CLAIM = '@claim("{name}", title="A claim", kind="physics", theory=1.0, margin=0.05)\ndef measure(table):\n    {body}\n'
GOOD = HEAD + CLAIM.format(name="good", body='return table.values("radius_sq") / table.values("again")')


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """Each test has a session and a folder of its own."""
    monkeypatch.setattr(own, "_session", {})
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gas():
    rng = np.random.default_rng(1)
    table = gas_table(rng)
    rotation = np.sqrt(2 * table["lr"].values * table["weight_decay"].values)
    scatter = 1 + 0.001 * rng.standard_normal((2, len(rotation)))
    return table.assign(rotation=("run", rotation * scatter[0]), again=table["radius_sq"] * scatter[1])


def file(text, name="mine.py"):
    Path(name).write_text(text)
    return name


def test_a_page_with_a_claim_that_fails_is_made_and_says_so(folder, capsys):
    file(HEAD + CLAIM.format(name="bad", body="return 1 / 0") + GOOD.removeprefix(HEAD))
    assert cli.main(["report", folder, "--claims", "mine.py", "--out", "page.md"]) == 1
    said = capsys.readouterr()
    assert said.out.strip() == "page.md"
    assert said.err.strip() == "thermo-theory: mine.py: claim 'bad' raised ZeroDivisionError: division by zero (line 4)"
    text = Path("page.md").read_text(encoding="utf-8")
    assert "## A claim (good)" in text
    assert "- mine.py: claim 'bad' raised ZeroDivisionError" in text
    assert cli.main(["report", folder, "--claims", "none.py", "--out", "other.md"]) == 2
    assert capsys.readouterr().err.startswith("thermo-theory: report: no file none.py")
    assert not Path("other.md").exists()


def rows_of(verdicts, name):
    return [row for row in verdicts if row.claim == name]


@pytest.fixture
def folder(gas):
    """The gas as a folder that the command line can read."""
    gas = gas.assign(status=("run", np.full(35, "ok")), reason=("run", np.full(35, "")))
    Path("runs").mkdir()
    import xarray as xr

    results.write(xr.DataTree.from_dict({"/summary": gas}), Path("runs"))
    return "runs"


def test_the_how_to(gas, folder, capsys):
    first, script, several = PYTHON
    file(first)
    file(several, "several.py")
    assert cli.main(["list", "--claims", "mine.py"]) == 0
    listed = capsys.readouterr().out
    assert "turn  Angle per step / sqrt(2·lr·wd), small steps (fixed-lr)  from mine.py" in listed
    assert "V7  Gas mixture by block (fixed-lr, fixed-elr)  from thermo-theory" in listed
    for line in re.findall(r"^thermo-theory (.*)$", HOW_TO, flags=re.MULTILINE):
        assert cli.main(line.replace("runs/digits", folder).split()) == 0, capsys.readouterr().err
    assert re.search(r"^turn +Angle per step .* agrees ", capsys.readouterr().out, flags=re.MULTILINE)
    assert '<details id="turn"' in Path(folder, "report.html").read_text(encoding="utf-8")
    space = {}
    exec(script.replace("runs/digits", folder), space)
    (turn,) = rows_of(space["verdicts"], "turn")
    assert (turn.verdict, turn.kind, turn.source) == ("agrees", "physics", "Kosson et al., arXiv 2305.17212")
    assert turn.measured == pytest.approx(1, abs=5e-4)
    (heat,) = rows_of(space["verdicts"], "heat")
    assert heat.verdict == "agrees"
    assert heat.measured == pytest.approx(0.5, abs=0.01)
    sizes = rows_of(compare(gas, claims=["mine.py", Path("several.py")]), "sizes")
    assert [row.verdict for row in sizes] == ["agrees"] * 2


def test_a_planted_violation_of_an_own_claim(gas):
    file(PYTHON[0])
    wrong = compare(gas.assign(rotation=1.1 * gas["rotation"]), claims="mine.py")
    assert rows_of(wrong, "turn")[0].verdict == "disagrees"
    assert (
        rows_of(compare(gas.drop_vars("rotation"), claims="mine.py"), "turn")[0].reason == "not in the runs: rotation"
    )
    unbalanced = gas.assign(grad_sq=3 * gas["grad_sq"])
    assert rows_of(compare(unbalanced, claims="mine.py"), "turn")[0].reason.startswith("gate: 35 of 35")


def test_in_a_session_the_decorator_is_enough(gas):
    @claim("mine", title="Mine", kind="physics", theory=1.0, margin=0.1)
    def measure(table):
        return Estimate(1.0, 0.99, 1.01)

    assert isinstance(measure(Table.of(gas.assign_attrs(protocol="fixed-lr"))), Estimate)
    assert list(claims())[-1] == "mine"
    assert claims()["mine"].origin.endswith("test_own_claims.py")
    assert rows_of(compare(gas), "mine")[0].verdict == "agrees"

    @claim("mine", title="Mine again", kind="physics", theory=2.0, margin=0.1)
    def again(table):
        return Estimate(1.0, 0.99, 1.01)

    assert rows_of(compare(gas), "mine")[0].verdict == "disagrees"
    # A file leaves nothing behind.
    file(GOOD)
    assert rows_of(compare(gas, claims="mine.py"), "good")
    assert "good" not in claims()
    assert len(CLAIMS) == 12


REFUSED = {
    "no name of a claim": ("x = 1\n", "mine.py: no claim in it; make one with @claim"),
    "of ours": (HEAD + CLAIM.format(name="V3", body="pass"), "mine.py: claim 'V3' is already there, in thermo-theory"),
    "twice": (GOOD + GOOD, "mine.py: claim 'good' is already there, in mine.py"),
    "syntax": ("def f(:\n", "mine.py: SyntaxError: invalid syntax (line 1)"),
    "raises": ("\n\n1 / 0\n", "mine.py: ZeroDivisionError: division by zero (line 3)"),
    "leaves": ("import sys\nsys.exit(3)\n", "mine.py: SystemExit: 3 (line 2)"),
    "no module": (
        "import nowhere_to_be_found\n",
        "mine.py: ModuleNotFoundError: No module named",
    ),
    "kind": (GOOD.replace("physics", "truth"), "mine.py: claim 'good': its kind is 'truth'; give one of identity, sym"),
    "margin": (GOOD.replace("0.05", "-1"), "mine.py: claim 'good': its margin is -1; give a positive number"),
    "theory": (GOOD.replace("theory=1.0", "theory='one'"), "mine.py: claim 'good': its theory is 'one'; give a number"),
    "protocol": (
        GOOD.replace("margin=0.05", "margin=0.05, protocols=['fixed']"),
        "mine.py: claim 'good': its protocols are fixed; give some of fixed-lr, fixed-elr, fixed-sphere",
    ),
    "text for a list": (
        GOOD.replace("margin=0.05", "margin=0.05, needs='loss'"),
        "mine.py: claim 'good': needs is 'loss'; give a list, as ['loss']",
    ),
    "no brackets": (HEAD + "@claim\ndef good(table):\n    pass\n", "mine.py: @claim needs a name and what is claimed"),
    "half a class": (
        "from empirics.claims import Claim, claim\n@claim\nclass Half(Claim):\n    name = 'half'\n",
        "mine.py: claim 'Half': Can't instantiate abstract class Half",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, folder, capsys):
    text, message = REFUSED[case]
    file(text)
    with pytest.raises(ClaimError, match=re.escape(message)):
        load_claims("mine.py")
    for words in (["compare", folder], ["list"]):
        assert cli.main([*words, "--claims", "mine.py"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"thermo-theory: {words[0]}: {message}")
        assert said.err.count("\n") == 1


def test_files_that_are_none(gas):
    for path, message in (("no.py", "no file no.py"), (file(GOOD, "mine.txt"), "mine.txt is not a Python file")):
        with pytest.raises(ClaimError, match=re.escape(message)):
            compare(gas, claims=path)
    with pytest.raises(ClaimError, match="claims must be files or claims, got int 3"):
        compare(gas, claims=[3])
    with pytest.raises(ClaimError, match=r"other.py: claim 'good' is already there, in mine.py: choose another name"):
        compare(gas, claims=[file(GOOD), file(GOOD, "other.py")])
    # The same file twice is no clash with itself in the session.
    assert rows_of(compare(gas, claims="mine.py"), "good")


FAILING = {
    "return 1 / 0": "mine.py: claim 'bad' raised ZeroDivisionError: division by zero (line 4)",
    "raise SystemExit": "mine.py: claim 'bad' raised SystemExit (line 4)",
    "return 'yes'": "mine.py: claim 'bad' returned str 'yes'; return an Estimate",
    "return None": "mine.py: claim 'bad' returned NoneType None; return an Estimate",
    "return 1.0": "mine.py: claim 'bad' returned float 1.0; return an Estimate",
    "return table.values('loss')": "mine.py: claim 'bad' raised KeyError",
    "return [1.0, float('nan')]": "mine.py: claim 'bad' returned 1 of 2 numbers that are not finite",
}


@pytest.mark.parametrize("body", FAILING)
def test_a_claim_that_fails_takes_no_other_verdict_away(body, gas, folder, capsys):
    file(HEAD + CLAIM.format(name="bad", body=body) + GOOD.removeprefix(HEAD))
    with pytest.warns(ClaimWarning, match=re.escape(FAILING[body])):
        verdicts = compare(gas, claims="mine.py")
    (bad,) = rows_of(verdicts, "bad")
    assert bad.verdict == "not measured"
    assert (bad.reason,) == verdicts.errors
    assert rows_of(verdicts, "good")[0].verdict == "agrees"
    assert [(row.title, row.verdict) for row in verdicts if row.claim[0] == "V"] == [
        (row.title, row.verdict) for row in compare(gas)
    ]
    assert cli.main(["compare", folder, "--claims", "mine.py", "--format", "json"]) == 1
    said = capsys.readouterr()
    parsed = json.loads(said.out)
    assert len(parsed["verdicts"]) == len(verdicts)
    assert [error.startswith(FAILING[body]) for error in parsed["errors"]] == [True]
    assert said.err.startswith(f"thermo-theory: {FAILING[body]}")
    assert said.err.count("\n") == 1


WRONG_ROWS = {
    "return 3": "returned a int instead of a list of Verdict",
    "return [row('V3')]": "returned a verdict on another claim, 'V3'",
    "return [row('bad', kind='truth')]": "returned a verdict of kind 'truth'; the kinds are identity, symmetry",
    "return [row('bad', verdict='yes')]": "returned the verdict 'yes'; there are agrees, disagrees",
}


@pytest.mark.parametrize("body", WRONG_ROWS)
def test_a_class_that_returns_a_wrong_thing(body, gas):
    file(
        "from empirics.claims import Claim, Verdict, claim\n"
        "def row(claim, kind='physics', verdict='agrees'):\n"
        "    return Verdict(claim, 'title', 'fixed-lr', kind, 1.0, verdict=verdict)\n"
        "@claim\nclass Bad(Claim):\n    name = 'bad'\n    title = 'Bad'\n    protocols = ('fixed-lr',)\n"
        f"    def verdicts(self, table):\n        {body}\n"
    )
    with pytest.warns(ClaimWarning, match=re.escape(f"mine.py: claim 'bad' {WRONG_ROWS[body]}")):
        verdicts = compare(gas, claims="mine.py")
    assert len(verdicts) == len(compare(gas)) + 1


def test_a_claim_of_ours_that_raises_is_named(gas, monkeypatch):
    def broken(self, table):
        raise RuntimeError("no such\nthing")

    monkeypatch.setattr(type(claims()["V3"]), "verdicts", broken)
    with pytest.warns(ClaimWarning, match="thermo-theory: claim 'V3' raised RuntimeError: no such thing"):
        verdicts = compare(gas)
    assert {row.verdict for row in rows_of(verdicts, "V1")} == {"agrees"}


def test_a_claim_cannot_change_the_numbers_of_others(gas):
    file(HEAD + CLAIM.format(name="a", body="table.data['radius_sq'][:] = 7.0; return table.values('radius_sq')"))
    before = gas.copy(deep=True)
    compare(gas, claims="mine.py")
    assert gas.identical(before)
