"""The book: generated from the derivations, complete, and what is kept with the source is what they give now."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from thermo_theory import book, derivations
from thermo_theory.book.introductions import INTRODUCTIONS
from thermo_theory.book.pages import pages as book_pages
from thermo_theory.book.plots import PLOTS, to_svg
from thermo_theory.book.titles import in_words
from thermo_theory.book.wording import cited, typeset
from thermo_theory.chapters import CHAPTERS
from thermo_theory.engine.derivation import registered

BOOK = Path(__file__).parents[3] / "docs" / "book"
NAMES = list(dict.fromkeys(entry.name for entry in registered().values()))
#: Most kilobytes of Markdown on a page: the site's HTML has about eight times as many, and at most 300.
MOST = 50_000
STALE = "is not what the derivations give now: run `make book` and commit docs/book"
#: The index and the dictionary lie in the repository, the other files are made with the site.
KEPT = ("README.md", "dictionary.md")


def test_every_derivation_is_in_one_chapter():
    listed = [name for members in CHAPTERS.values() for name in members]
    assert len(listed) == len(set(listed))
    assert set(NAMES) <= set(listed), set(NAMES) - set(listed)


def test_derivations_are_listed_in_the_order_of_the_book():
    listed = [name for members in CHAPTERS.values() for name in members if name in NAMES]
    assert list(dict.fromkeys(found.name for found in derivations())) == listed
    radii = [str(found.protocol) for found in derivations() if found.name == "radius"]
    assert radii[:3] == ["fixed sphere", "fixed ELR", "fixed LR"]


@pytest.fixture(scope="module")
def pages():
    return dict(book_pages())


@pytest.mark.parametrize("name", NAMES)
def test_the_pages_of_a_name_are_complete(name):
    same_name = book.names()[name]
    texts = [text for _, text in book.pages_of(name, same_name)]
    assert len(texts) in (1, 1 + len(same_name))
    assert texts[0].startswith(f"# {in_words(name)}\n")
    text = "".join(texts)
    for part in ("**A number.**", "**Steps.**", "**Needs**", "**Kind:**", "**Source:**"):
        assert text.count(part) == len(same_name), part
    assert text.count("$$ ") == sum(len(found.steps) + 1 for found in same_name)
    assert max(map(len, texts)) < MOST


def test_every_page_is_in_one_table_of_contents_and_every_link_leads_somewhere(pages):
    written = {name.removesuffix(".md") for name in pages if name.endswith(".md")}
    listed = []
    for text in pages.values():
        for block in re.findall(r"```{toctree}\n:hidden:\n\n(.*?)```", text, re.DOTALL):
            listed += [line.split("<")[-1].rstrip(">") for line in block.splitlines()]
        links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https:")}
        assert links <= set(pages), links - set(pages)
    assert sorted(listed) == sorted(written - {"README", "dictionary"})


def test_a_chapter_says_what_it_starts_from_and_where_it_is_used(pages):
    text = pages["chapter-thermodynamics-from-gibbs.md"]
    before, after = (re.search(rf"\*\*{words}\*\* (.*)", text)[1] for words in ("Starts from", "Used in"))
    assert "[Stochastic calculus](chapter-stochastic-calculus.md)" in before
    assert "[Processes](chapter-processes.md)" in after
    assert set(INTRODUCTIONS) == set(CHAPTERS)


def test_titles_are_words():
    """No name of a derivation, and no optimiser in lower case."""
    keys = {"sgd", "adamw", "l2", "lars", "lamb", "muon", "lion", "signsgd", "nesterov", "vmf", "sde", "ito", "gibbs"}
    titles = [in_words(name) for name in NAMES]
    assert len(set(titles)) == len(titles)
    for title in titles:
        assert title[0].isupper(), title
        assert not keys & set(re.split("[ -]", title)), title


def test_a_source_links_to_the_paper_that_it_names_and_to_no_other():
    for found in derivations():
        parts = cited(found.source)
        assert "".join(text for text, _ in parts) == found.source
        for text, address in parts:
            assert address.rpartition("/")[2] in text
            assert bool(address) == ("arXiv" in text), text
            assert not (address and re.search("Callen|Rugh|Jaynes|Mardia", text)), text


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_with_the_source_is_up_to_date(name):
    text = dict(zip(KEPT, book_pages(), strict=False))[name][1]
    assert (BOOK / name).read_text(encoding="utf-8") == text, f"docs/book/{name} {STALE}"


def test_every_derivation_is_in_a_chapter_with_its_claim_in_a_line(pages):
    lines = [line for name, text in pages.items() if name.startswith("chapter-") for line in text.splitlines()]
    for name, same_name in book.names().items():
        (line,) = [line for line in lines if f"]({name}.md) |" in line]
        assert any(typeset(found.summary).replace("|", r"\|")[1:] in line for found in same_name), line


def test_everything_is_written_and_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("thermo_theory.book.pages.pages_of", lambda name, same_name: iter([(f"{name}.md", name)]))
    monkeypatch.setattr("thermo_theory.book.pages.to_svg", lambda plot: plot.says)
    names = {path for path, _ in book_pages()}
    assert book.write(tmp_path) == len(names)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == sorted(names)
    book.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == written


@pytest.mark.parametrize("name", [name for name in PLOTS if name in NAMES])
def test_the_plot_is_drawn(name):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    plot = PLOTS[name]()
    assert re.search(r"\d\.\d", plot.numbers)
    assert not re.search(r"\b(eta|lambda|gamma|eps)", re.sub(r"\$[^$]*\$", "", "".join([plot.x, plot.y, plot.alt])))
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
