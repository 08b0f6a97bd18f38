"""The book: generated from the derivations, complete, and what is kept with the source is what they give now."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from thermo_theory import book, derivations
from thermo_theory.book.pages import files as book_files
from thermo_theory.book.pages import pages as book_pages
from thermo_theory.book.plots import PLOTS, to_svg
from thermo_theory.chapters import CHAPTERS
from thermo_theory.engine.derivation import registered

BOOK = Path(__file__).parents[3] / "docs" / "book"
NAMES = list(dict.fromkeys(entry.name for entry in registered().values()))
STALE = "is not what the derivations give now: run `make book` and commit docs/book"
#: The index and the dictionary lie in the repository, the other files are made with the site.
KEPT = ("README.md", "dictionary.md")
PAGES = [file for same_name in book.names().values() for file in book_files(same_name)]
FILES = (*KEPT, *(f"{name}.md" for name in PAGES), *(f"plots/{name}.svg" for name in PLOTS if name in NAMES))


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
def test_the_page_is_complete_and_its_links_lead_somewhere(name):
    same_name = book.names()[name]
    text = book.page(name, same_name)
    assert text.count("**A number.**") == text.count("**Steps.**") == text.count("*Assumes:*") == len(same_name)
    assert text.count("*Source:*") == len(same_name)
    assert text.count("$$ ") == sum(2 * (len(found.steps) + 1) for found in same_name) // 2
    assert set(re.findall(r"\]\(([^)]+)\)", text)) <= set(FILES)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_with_the_source_is_up_to_date(name):
    text = dict(zip(KEPT, book_pages(), strict=False))[name][1]
    assert (BOOK / name).read_text(encoding="utf-8") == text, f"docs/book/{name} {STALE}"


def test_the_index_has_every_derivation_with_its_claim_in_a_line():
    lines = (BOOK / "README.md").read_text(encoding="utf-8").splitlines()
    for name, same_name in book.names().items():
        (line,) = [line for line in lines if line.startswith(f"| [{name}]({name}.md) |")]
        assert any(found.summary in line for found in same_name), line


def test_everything_is_written_and_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("thermo_theory.book.pages.page", lambda name, same_name: name)
    monkeypatch.setattr("thermo_theory.book.pages.to_svg", lambda plot: plot.says)
    assert book.write(tmp_path) == len(FILES)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == sorted(FILES)
    book.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == written


@pytest.mark.parametrize("name", [name for name in PLOTS if name in NAMES])
def test_the_plot_is_drawn(name):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    plot = PLOTS[name]()
    assert all(np.isfinite(curve.y).all() for curve in plot.curves)
    drawn = ElementTree.fromstring(to_svg(plot))
    long = [path for path in drawn.iter("{http://www.w3.org/2000/svg}path") if path.get("d", "").count("L") > 20]
    assert len(long) >= len(plot.curves)


def test_writing_it_removes_what_is_no_longer_there(tmp_path, monkeypatch):
    written = [("README.md", "new"), ("plots/a.svg", "<svg/>")]
    monkeypatch.setattr("thermo_theory.book.pages.pages", lambda: iter(written))
    (tmp_path / "gone.md").write_text("old")
    assert book.write(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["README.md", "a.svg"]
