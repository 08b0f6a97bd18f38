"""Formulas as MathML: nothing of LaTeX is left over, rows are rows, and what a browser infers is not written."""

import xml.etree.ElementTree as ET

import pytest

from empirics.pages.mathml import mathml

LONG = r"\begin{aligned} & a = \frac{b}{c} \\ & \quad + d \end{aligned}"


def test_a_long_equation_stands_in_rows():
    table = ET.fromstring(mathml(LONG)).find("mtable")
    rows = [["".join(cell.itertext()) for cell in row] for row in table]
    assert rows == [["a=bc"], ["+d"]]
    assert {cell.get("style") for row in table for cell in row} == {"text-align:left"}


def test_letters_and_signs_are_all_kept():
    converted = ET.fromstring(
        mathml(r"\left. x\right|_{y} \leq \mathbf{1}_{\mathrm{eff}} < \lim_{n \to \infty} \hat{D}")
    )
    assert "".join(converted.itertext()) == "x|y≤𝟏eff<limn→∞D^"


def test_where_a_limit_goes_stands_below_it():
    (below,) = ET.fromstring(mathml(r"\lim_{n \to \infty} x", "block")).findall("munder")
    assert ["".join(part.itertext()) for part in below] == ["lim", "n→∞"]


@pytest.mark.parametrize(
    ("latex", "stretches"),
    [(r"\left(d - 1\right)", False), (r"\left(\frac{d}{2}\right)", True), (r"\mathbb{E}\left[w \cdot w\right]", False)],
)
def test_brackets_are_as_high_as_what_they_hold(latex, stretches):
    brackets = [sign for sign in ET.fromstring(mathml(latex, "block")).iter("mo") if sign.text in "()[]"]
    assert [sign.get("stretchy") for sign in brackets] == [None if stretches else "false"] * 2


def test_it_is_lean():
    """No attribute that says what a browser knows, no row around a single element, no namespace."""
    text = mathml(r"\left(\frac{\eta_{\mathrm{eff}}^{2}}{r}\right)^{2}", "block")
    assert not {"fence", "form", "xmlns", "mathvariant"} & set(text.replace('"', " ").replace("=", " ").split())
    assert [row for row in ET.fromstring(text).iter("mrow") if len(row) < 2] == []
