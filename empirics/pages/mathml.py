"""LaTeX to lean MathML, which every current browser draws: what a browser infers anyway is not written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import groupby
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

__all__ = ["mathml"]

#: Rows of a long equation: latex2mathml knows no ``aligned``, but matrices.
_ALIGNED = re.compile(r"(\\(?:begin|end)){aligned}")

#: Brackets that the operator dictionary of MathML stretches wherever they open or close a row.
_FENCES = frozenset("()[]{}|‖⟨⟩⌈⌉⌊⌋")

#: Elements whose content is a row without an ``mrow`` around it.
_ROWS = frozenset({"math", "mrow", "mtd", "msqrt", "mstyle", "mpadded"})


def mathml(latex: str, display: str = "inline") -> str:
    r"""Convert a formula.

    Parameters
    ----------
    latex : str
        Without dollars.
    display : str
        "inline" or "block".

    Returns
    -------
    str
        A ``math`` element for HTML.

    Examples
    --------
    >>> mathml(r"\left(\frac{a}{b}\right)^{2}")
    '<math><msup><mrow><mo>(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>)</mo></mrow><mn>2</mn></msup></math>'
    >>> mathml(r"\eta_{\mathrm{eff}}", "block")
    '<math display="block"><msub><mi>η</mi><mi>eff</mi></msub></math>'
    """
    root = Converter(display=display).convert_to_element(_ALIGNED.sub(r"\1{matrix}", latex))
    _lean(root)
    root.attrib = {"display": "block"} if display == "block" else {}
    return tostring(root, encoding="unicode").replace(" />", "/>")


def _lean(element: Element) -> None:
    """Reduce an element and all within it."""
    if element.text:
        element.text = unescape(element.text)
    for child in element:
        _lean(child)
    if element.tag == "mtable":
        _align(element)
    if element.tag == "msub" and element[0].text == "lim":
        element.tag = "munder"
    if element.tag in ("mo", "mn"):
        _plain(element)
    parts = [part for part in _joined(element) if not (part.tag == "mo" and not part.text)]  # \left. draws nothing
    if element.tag in _ROWS:
        parts = [one for part in parts for one in (part if _splices(part) else (part,))]
    parts = [part[0] if part.tag == "mrow" and len(part) == 1 else part for part in parts]
    if len(parts) > 2 and {parts[0].text, parts[-1].text} <= _FENCES and all(map(_is_low, parts)):
        for bracket in (parts[0], parts[-1]):
            bracket.set("stretchy", "false")  # what need not stretch would take the next size all the same
    whole = element.tag in _ROWS and len(parts) == 1 and parts[0].tag == "mrow"
    element[:] = parts[0] if whole else parts


def _plain(token: Element) -> None:
    """Drop what the operator dictionary says of a bracket where it stands, and write bold digits as such."""
    if token.text in _FENCES and token.get("stretchy") == "true":
        token.attrib.clear()
    if token.tag == "mn" and token.attrib.pop("mathvariant", "") == "bold":
        token.text = "".join(chr(0x1D7CE + int(digit)) for digit in token.text or "")


def _joined(element: Element) -> Iterator[Element]:
    """Write upright letters next to one another as one word."""
    for word, letters in groupby(element, lambda part: part.tag == "mi" and part.get("mathvariant") == "normal"):
        first, *others = letters
        if word and others:
            first.text = "".join(letter.text or "" for letter in (first, *others))
            first.attrib.clear()
            others = []
        yield from (first, *others)


def _splices(part: Element) -> bool:
    """Whether the content of a row can stand in the row around it: brackets would stretch to what is outside."""
    return part.tag == "mrow" and len(part) > 0 and part[0].tag != "mo" and part[-1].tag != "mo"


def _is_low(part: Element) -> bool:
    """Whether a part of a row is no higher than a line: letters, numbers and signs, with an index or an accent."""
    if part.tag == "mrow":
        return all(map(_is_low, part))
    return not len(part) or (part.tag in ("msub", "msup", "msubsup", "mover") and not any(map(len, part)))


def _align(table: Element) -> None:
    """Set rows of one equation below one another: without the column left of the first ``&``, from the left."""
    if not all(len(row) > 1 and not len(row[0]) for row in table):
        return
    table.set("displaystyle", "true")
    for row in table:
        row.remove(row[0])
        for cell in row:
            cell.set("style", "text-align:left")
