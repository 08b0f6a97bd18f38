"""The book: generated from the derivations, complete, and what is committed is what they give now."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from thermo_theory import book, derivations
from thermo_theory.book.pages import pages as book_pages
from thermo_theory.book.plots import PLOTS, to_svg
from thermo_theory.chapters import CHAPTERS
from thermo_theory.engine.derivation import registered

BOOK = Path(__file__).parents[3] / "docs" / "book"
NAMES = list(dict.fromkeys(entry.name for entry in registered().values()))
STALE = "is not what the derivations give now: run `make book` and commit docs/book"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_every_derivation_is_in_one_chapter():
    listed = [name for members in CHAPTERS.values() for name in members]
    assert len(listed) == len(set(listed))
    assert set(NAMES) <= set(listed), set(NAMES) - set(listed)


def test_derivations_are_listed_in_the_order_of_the_book():
    listed = [name for members in CHAPTERS.values() for name in members if name in NAMES]
    assert list(dict.fromkeys(found.name for found in derivations())) == listed
    radii = [str(found.protocol) for found in derivations() if found.name == "radius"]
    assert radii[:3] == ["fixed sphere", "fixed ELR", "fixed LR"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_up_to_date_and_complete(name):
    same_name = book.names()[name]
    text = book.page(name, same_name)
    assert (BOOK / f"{name}.md").read_text() == text, f"docs/book/{name}.md {STALE}"
    assert text.count("**A number.**") == text.count("**Steps.**") == text.count("*Assumes:*") == len(same_name)
    assert text.count("*Source:*") == len(same_name)
    assert text.count("$$ ") == sum(2 * (len(found.steps) + 1) for found in same_name) // 2
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (BOOK / target).is_file(), target


def test_contents_and_dictionary_are_up_to_date():
    written = dict(zip(("README.md", "dictionary.md"), book_pages(), strict=False))
    for name, (_, text) in written.items():
        assert (BOOK / name).read_text() == text, f"docs/book/{name} {STALE}"
    pages = {path.stem for path in BOOK.glob("*.md")} - {"README", "dictionary"}
    assert pages == set(NAMES)
    assert {path.stem for path in BOOK.glob("plots/*.svg")} == set(PLOTS) & set(NAMES)


@pytest.mark.parametrize("name", [name for name in PLOTS if name in NAMES])
def test_the_plot_is_up_to_date(name):
    """Words and structure exactly, coordinates to a hundredth of a point: machines round differently."""
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    plot = PLOTS[name]()
    assert all(np.isfinite(curve.y).all() for curve in plot.curves)
    drawn, committed = to_svg(plot), (BOOK / "plots" / f"{name}.svg").read_text()
    bare = [re.sub(r'(id|href|url)(="?[#(])?[^"\s)]*', "", NUMBER.sub("", text)) for text in (drawn, committed)]
    assert bare[0] == bare[1], f"docs/book/plots/{name}.svg {STALE}"
    paths = [re.findall(r' d="([^"]+)"', text) for text in (drawn, committed)]
    one, other = ([float(x) for path in text for x in NUMBER.findall(path)] for text in paths)
    assert np.allclose(one, other, atol=0.01), f"docs/book/plots/{name}.svg {STALE}"


def test_writing_it_removes_what_is_no_longer_there(tmp_path, monkeypatch):
    written = [("README.md", "new"), ("plots/a.svg", "<svg/>")]
    monkeypatch.setattr("thermo_theory.book.pages.pages", lambda: iter(written))
    (tmp_path / "gone.md").write_text("old")
    assert book.write(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["README.md", "a.svg"]
