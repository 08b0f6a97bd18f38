"""Pages that cannot go stale: what `make check-pages` notices, each planted in a small house of one experiment."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TEXT = """<!-- typed: 0.125 -->
# A page

The relation {{ digits V3 "^Maxwell" agrees: holds }}: {{ digits V3 "^Maxwell" value.2 }}
for rates up to 10 to the -0.75, or 0.125.

![nothing](figures/made.svg)
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """The driver of the pages, in a folder with one page on the digits, its figure, and one control."""
    monkeypatch.syspath_prepend(str(RESULTS))
    for name in ("pages", "printed", "stored", "tables"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    pages, stored = __import__("pages"), __import__("stored")
    for folder in ("words", "summaries", "figures"):
        (tmp_path / folder).mkdir()
    for name in ("digits", "control-shuffled"):
        shutil.copy(RESULTS / "summaries" / f"{name}.json", tmp_path / "summaries")
    (tmp_path / "words" / "made.md").write_text(TEXT)
    for module in (pages, stored):
        monkeypatch.setattr(module, "HERE", tmp_path)
        monkeypatch.setattr(module, "SUMMARIES", tmp_path / "summaries")
    monkeypatch.setattr(pages, "WORDS", tmp_path / "words")
    (tmp_path / "figures" / "made.svg").write_text(f"<svg>{pages.page('made').digest}</svg>")
    pages.build("made")
    yield pages
    for name in ("pages", "printed", "stored", "tables"):
        sys.modules.pop(name, None)


def wrong(pages):
    pages.page.cache_clear()
    pages.summary.cache_clear()
    return "\n".join(pages.check())


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def of(content, claim, title):
    return next(one for one in content["verdicts"] if one["claim"] == claim and re.search(title, one["title"]))


def test_a_page_as_it_was_built_is_right_and_says_what_it_stands_on(house):
    assert wrong(house) == ""
    text = (house.HERE / "made.md").read_text()
    one = house.summary("digits")
    assert f"measured by {one.version} at commit {one.commit[:9]}" in text
    assert re.search(r"The relation holds: \d\.\d\d ± \d\.\d\d\nfor rates", text)
    assert one.experiment_sha256[:12] in text
    assert one.commit[:9] in text
    assert "typed" not in text


def test_a_number_that_changed_in_a_summary(house):
    def change(content):
        maxwell = of(content, "V3", "^Maxwell")
        maxwell["measured"], maxwell["high"] = maxwell["measured"] + 0.01, maxwell["high"] + 0.01

    edit(house.SUMMARIES / "digits.json", change)
    assert "made: made.md is not what its summaries" in wrong(house)


def test_a_number_that_a_study_printed_since(house):
    shutil.copy(RESULTS / "summaries" / "plans.json", house.SUMMARIES)
    (house.WORDS / "made.md").write_text("# A page\n\n{{ plans cell.1.2.1 }}: {{ plans cell.1.2.2 }}\n")
    house.page.cache_clear()
    house.build("made")
    assert not wrong(house)
    table = ["no table", "| plan | needs |", "|---|---|", "| a | 1 |", r"| b \| c | 1.5 |"]
    edit(house.SUMMARIES / "plans.json", lambda content: content["more"]["plans"].update(lines=table))
    assert "would be\n    b \\| c: 1.5\n" in wrong(house)


def test_a_number_that_was_edited_on_a_page(house):
    page = house.HERE / "made.md"
    page.write_text(page.read_text().replace(" ± ", "1 ± "))
    assert "made: made.md is not what its summaries" in wrong(house)


def test_a_verdict_that_the_text_names_and_that_is_no_longer_so(house):
    edit(house.SUMMARIES / "digits.json", lambda content: of(content, "V3", "^Maxwell").update(verdict="disagrees"))
    assert "V3 is 'disagrees' in digits, no longer 'agrees'" in wrong(house)


def test_an_agreement_that_its_own_interval_contradicts(house):
    edit(house.SUMMARIES / "digits.json", lambda content: of(content, "V3", "^Maxwell").update(high=1.2))
    assert "digits: V3 is stored as 'agrees'" in wrong(house)


def test_a_control_that_passes(house):
    def change(content):
        content["verdicts"].append(of(json.loads((house.SUMMARIES / "digits.json").read_text()), "V3", "^Maxwell"))

    edit(house.SUMMARIES / "control-shuffled.json", change)
    assert "control-shuffled: a control must not pass, and V3 agrees" in wrong(house)


def test_a_control_whose_summary_is_that_of_the_experiment(house):
    text = (house.SUMMARIES / "digits.json").read_text()
    (house.SUMMARIES / "control-shuffled.json").write_text(text.replace('"digits"', '"control-shuffled"'))
    assert "control-shuffled: the summary is not of the experiment" in wrong(house)


def test_a_figure_of_other_numbers(house):
    edit(house.SUMMARIES / "digits.json", lambda content: content["runs"]["loss"].__setitem__(0, 9.0))
    assert "made: figures/made.svg was not drawn from the present summaries" in wrong(house)


def test_a_decimal_that_is_typed(house):
    text = house.WORDS / "made.md"
    text.write_text(text.read_text().replace("or 0.125", "or 0.126, measured"))
    found = wrong(house)
    assert found.endswith("neither settings nor listed: 0.126")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{{ nothing }}", "no such part"),
        ('{{ digits V1 "" value }}', "must name one form of V1"),
        ('{{ digits V3 "^Mxwell" value }}', "must name one form of V3, not no form"),
        ('{{ digits V3 "^Maxwell" mean }}', "mean is none of value, interval"),
        ("{{ digts runs }}", "summaries has none of this name"),
    ],
)
def test_a_query_that_has_no_answer_says_why(house, query, why):
    text = house.WORDS / "made.md"
    text.write_text(text.read_text() + query)
    assert re.search(f"made: cannot be built.*{re.escape(why)}", wrong(house))


def test_a_summary_comes_back_as_it_was_written(house, tmp_path):
    one = house.summary("digits")
    assert len(one.verdicts) > 20
    assert one.experiment.name == "digits"
    assert one.dataset.sizes == {"run": 49}
    assert one.dataset["lr"].dims == ("run",)
    assert float(one.dataset["radius_sq"].min()) > 0
    assert {verdict.verdict for verdict in one.verdicts} >= {"agrees", "disagrees", "refused", "not measured"}
