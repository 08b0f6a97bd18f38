"""Figures of the site: each says what it shows, in numbers, is light and dark, and stands on a page."""

import html
import re
from pathlib import Path

import pytest

from thermo_theory import palette

DOCS = Path(__file__).parents[1] / "docs"
DRAWN = sorted([*(DOCS / "results" / "figures").iterdir(), *(DOCS / "images").glob("*.svg")])
PAGES = {path: path.read_text(encoding="utf-8") for path in [*DOCS.glob("*.md"), *DOCS.glob("results/*.md")]}


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_figure_says_what_it_shows_in_numbers_and_has_a_page(path):
    alt = palette.alt_of(path.read_text(encoding="utf-8"))
    assert len(alt.split()) >= 12, alt
    assert re.search(r"\d", alt), alt
    shown = [page.name for page, text in PAGES.items() if f"{path.parent.name}/{path.name})" in text]
    assert shown, f"{path.name} is drawn and stands on no page"


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_figure_is_light_and_dark_and_of_little_weight(path):
    svg = path.read_text(encoding="utf-8")
    assert len(svg.encode()) < 150_000
    assert all(palette.css(setting) in svg for setting in (palette.LIGHT, palette.DARK))


def test_every_picture_of_the_result_pages_has_the_words_of_its_figure():
    count = 0
    for page, text in PAGES.items():
        for alt, name in re.findall(r"!\[([^]]*)\]\((figures/[^)]*)\)", text):
            assert html.unescape(alt) == palette.alt_of((page.parent / name).read_text(encoding="utf-8")), (
                f"{page.name}: {name}"
            )
            count += 1
    assert count >= 20
