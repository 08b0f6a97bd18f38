"""The JSON of `report` and `compare` against the schema that is shipped with it."""

import dataclasses
import doctest
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from gas_states import state_table
from test_pages import judged, made_up_runs

from empirics.claims import Claim, ClaimWarning, Statement, compare
from empirics.claims.exhibit import Plot, Rows, Series
from empirics.claims.fits import mean_of
from empirics.pages import report, schema

VALIDATOR = jsonschema.Draft202012Validator(schema())


def part(name):
    """The validator of one part of the schema, whose complaints are about that part."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]})


def refuse_constants(text):
    raise AssertionError(f"{text} is not JSON")


def written(verdicts, path):
    report(verdicts, path, format="json")
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constants)


@pytest.fixture(scope="module")
def gas():
    """Verdicts on the gas on a sphere, at fixed effective rate and at fixed rate."""
    tables = (state_table(np.random.default_rng(i), p, 20) for i, p in enumerate(("fixed-lr", "fixed-sphere")))
    return [compare(table) for table in tables]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_example_in_the_docs_runs():
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(text, {}, "report.md", "report.md", 0))
    assert (runner.tries, runner.failures) == (2, 0)


def test_every_field_of_the_schema_is_described():
    def undescribed(node, path):
        for name, inner in node.get("properties", {}).items():
            if not {"description", "$ref", "const", "enum"} & set(inner) and path[0] not in ("comparison",):
                yield (*path, name)
            yield from undescribed(inner.get("items", {}), (*path, name))

    assert [one for name, part in schema()["$defs"].items() for one in undescribed(part, (name,))] == []


def test_compare_holds_to_the_schema(gas):
    for verdicts in gas:
        made = json.loads(verdicts.to_json(), parse_constant=refuse_constants)
        part("compare").validate(made)
        VALIDATOR.validate(made)


def test_the_report_of_a_folder_holds_to_the_schema(tmp_path, gas):
    runs = made_up_runs()
    for verdicts in (judged(runs), compare(runs), *gas):
        made = written(verdicts, tmp_path / "one.json")
        part("report").validate(made)
        VALIDATOR.validate(made)
        assert "comparison" not in made


def test_the_report_of_several_folders_holds_to_the_schema(tmp_path, gas):
    made = written(gas, tmp_path / "two.json")
    part("report").validate(made)
    (change,) = made["comparison"]["changes"]
    assert change["differs_from_first"] is None  # tables have no experiment
    rows = {(row["claim"], row["title"], row["protocol"]): row["verdicts"] for row in made["comparison"]["claims"]}
    for number, verdicts in enumerate(gas):
        for verdict in verdicts:
            (found,) = rows[verdict.claim, verdict.title, verdict.protocol]
            assert found["experiment"] == made["experiments"][number]["name"]
            assert found["verdict"] == verdict.verdict
            for name in ("measured", "low", "high"):
                assert found[name] == (getattr(verdict, name) if np.isfinite(getattr(verdict, name)) else None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made["experiments"][0]["verdicts"][0].update(verdict="perhaps"),
        lambda made: made["experiments"][0]["verdicts"][0].update(measured="1.0"),
        lambda made: made["experiments"][0].pop("claims"),
        lambda made: made.update(schema=1),
        lambda made: made["experiments"][0]["claims"][0]["exhibits"].append({"kind": "song"}),
    ],
)
def test_what_is_not_the_format_is_refused(spoil, tmp_path, gas):
    made = written(gas[0], tmp_path / "one.json")
    spoil(made)
    assert not VALIDATOR.is_valid(made)


def test_what_is_shown_is_in_the_numbers(tmp_path, gas):
    (experiment,) = written(gas[0], tmp_path / "one.json")["experiments"]
    claims = {claim["name"]: claim for claim in experiment["claims"]}
    assert {row["claim"] for row in experiment["verdicts"]} == set(claims)
    (statement,) = claims["V3"]["statements"]
    assert statement["kind"] == "symmetry"
    (shown,) = statement["derivations"]
    assert (shown["name"], shown["kind"]) == ("maxwell-from-symmetry", "symmetry")
    needed = [["scale invariance", "stationarity"]]
    assert statement["needs"] == shown["needs"] == needed
    rows = [row for row in experiment["verdicts"] if row["claim"] == "V3"]
    assert {(row["derivation"], str(row["needs"])) for row in rows} == {(shown["name"], str(needed))}
    shown = {exhibit["name"]: exhibit for exhibit in claims["V2"]["exhibits"]}
    assert list(shown) == ["minimum", "directions", "volume", "minima"]
    assert np.shape(shown["minimum"]["to"]) == (*np.shape(shown["minimum"]["values"]), 2)
    assert len(shown["minima"]["rows"]) == np.size(shown["minimum"]["values"])


class Heavier(Claim):
    """A claim of a user's: the norms are below a bound."""

    name = "U1"
    title = "Light weights"
    protocols = ("fixed-lr",)
    statements = (Statement("physics", "No norm is above one & a half.", ("radius",)),)

    def verdicts(self, table):
        estimate = mean_of(table.values("radius_sq"))
        return [self.verdict(table, "mean r^2", "physics", 1.0, 0.5, estimate, "mine", {"runs": 7})]

    def exhibits(self, table):
        r = table.values("radius_sq")
        dots = Series("r²", np.arange(1.0, len(r) + 1), r)
        return (
            Plot("norms", "All norms", "The norms, shown.", "Dots are runs.", "run", "r²", (dots,), level=1.0),
            Rows("list", "Every norm", ("run", "r²"), tuple(enumerate(r.tolist()))),
        )


def test_a_claim_of_a_users_own_has_a_section_like_any_other(tmp_path):
    verdicts = compare(made_up_runs(), claims=Heavier())
    assert verdicts[-1].claim == "U1"
    page = report(verdicts, tmp_path / "page.html").read_text(encoding="utf-8")
    section = page.split('<details id="u1"')[1].split('<details id="diagnostics"')[0]
    for words in (
        "Light weights (U1)",
        "No norm is above one &amp; a half.",
        "<math",
        'aria-label="The norms, shown."',
    ):
        assert words in section, words
    assert "<summary>Every norm</summary>" in section
    made = written(verdicts, tmp_path / "page.json")
    part("report").validate(made)
    mine = next(claim for claim in made["experiments"][0]["claims"] if claim["name"] == "U1")
    plot, rows = mine["exhibits"]
    assert (plot["kind"], rows["kind"], plot["level"], plot["margin"]) == ("plot", "rows", 1.0, None)


def test_a_claim_whose_code_fails_is_named_and_the_page_is_made(tmp_path):
    class Unshown(Heavier):
        name = "U2"
        origin = "mine.py"

        def exhibits(self, table):
            raise RuntimeError("no ink")

    class Unjudged(Heavier):
        name = "U3"
        origin = "mine.py"

        def verdicts(self, table):
            raise RuntimeError("no scales")

    class Mistaken(Heavier):
        name = "U4"
        origin = "mine.py"

        def exhibits(self, table):
            return ["a picture"]

    with pytest.warns(ClaimWarning, match="no scales"):
        verdicts = compare(made_up_runs(), claims=[Unshown(), Unjudged(), Mistaken()])
    unjudged = "mine.py: claim 'U3' raised RuntimeError: no scales"
    unshown = "mine.py: claim 'U2' shows nothing, raised RuntimeError: no ink"
    mistaken = "mine.py: claim 'U4' shows a str; make a Plot, Map or Rows"
    made = written(verdicts, tmp_path / "page.json")
    part("report").validate(made)
    assert made["experiments"][0]["errors"] == [unjudged, unshown, mistaken]
    text = report(verdicts, tmp_path / "page.md", "markdown").read_text(encoding="utf-8")
    first, claims = text.split("\n## ")[1:3]
    sections = re.split(r"\n#+ (?=[^\n]*\(\w+\)\n)", claims)
    assert f"### Claims that could not be judged because their code failed\n\n- {unjudged}\n" in first
    by_claim = {name[1]: each for each in sections if (name := re.match(r".*\((\w+)\)\n", each))}
    assert unshown in by_claim["U2"]
    assert mistaken in by_claim["U4"]
    assert "Every norm" in by_claim["U3"]


def test_a_derivation_that_is_not_there_is_named(tmp_path):
    class Wrong(Heavier):
        statements = (Statement("physics", "Words.", ("no-such-derivation",)),)

    verdicts = compare(made_up_runs(), claims=Wrong())
    with pytest.raises(LookupError, match="no-such-derivation"):
        report(verdicts, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_with_one_field_changed_says_which(tmp_path):
    main, control = made_up_runs(), made_up_runs(entropy_slopes=(1.8, 0.3))
    changed = dataclasses.replace(
        main.experiment, name="control", model=dataclasses.replace(main.experiment.model, eps=1e-2)
    )
    control = dataclasses.replace(control, experiment=changed)
    verdicts = [compare(main), compare(control)]
    made = written(verdicts, tmp_path / "two.json")
    (change,) = made["comparison"]["changes"]
    assert change["differs_from_first"] == {"model.eps": {"first": main.experiment.model.eps, "here": 0.01}}
    text = report(verdicts, tmp_path / "two.md", format="markdown").read_text(encoding="utf-8")
    assert "model.eps = 0.01, not " in text
    (row,) = re.findall(r"^\| Maxwell relation \(V3\) \| Maxwell relation, from runs.*$", text, flags=re.M)
    cells = row.split(" | ")[2:4]
    for cell, judgement in zip(cells, verdicts, strict=True):
        spline = next(verdict for verdict in judgement if verdict.title.startswith("Maxwell relation, from runs"))
        assert spline.verdict in cell
        assert float(cell.split(" ± ")[0].split()[-1]) == pytest.approx(spline.measured, abs=0.01)
    # The planted slopes differ by 1 in one and by 1.5 in the other.
    assert "agrees" not in cells[1].split()
