"""docs/experiment-file.md is that of the code, and leaves no key without a word."""

from pathlib import Path

from empirics.experiment.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "experiment-file.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_key_has_a_meaning():
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if row.rstrip().endswith("|  |")] == []
