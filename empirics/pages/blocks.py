"""What a page is made of, before it is HTML or Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = [
    "MARKS",
    "Card",
    "Cell",
    "Details",
    "Figures",
    "Formulas",
    "Heading",
    "Items",
    "Law",
    "Paper",
    "Papers",
    "Section",
    "Strip",
    "TableBlock",
    "Tested",
    "Text",
    "decimals",
    "fixed",
    "number",
    "with_interval",
]


# Larger numbers are written with a power of ten.
_LONGEST = 1e9


def number(value: object, digits: int = 4) -> str:
    """Write a number as a reader wants it; anything that is not a finite number becomes "not measured".

    Examples
    --------
    >>> number(0.499812), number(-1232.0), number(float("nan")), number(1e-8)
    ('0.4998', '−1232', 'not measured', '1e−08')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        try:
            value = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return "not measured"
    if not math.isfinite(value):
        return "not measured"
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, half_width: float) -> str:
    """Write a number with the decimals that its interval deserves.

    Examples
    --------
    >>> fixed(-0.12345, 0.0042), fixed(2e300, 1e298), fixed(-1e-9, 0.1)
    ('−0.1235', '2e+300', '0.00')
    """
    if not abs(value) < _LONGEST:
        return number(value)
    return f"{value:z.{decimals(half_width)}f}".replace("-", "−")


def with_interval(value: float, low: float, high: float) -> str:
    """Write a number and half the width of its interval, unless that is 0 in the decimals shown.

    Examples
    --------
    >>> with_interval(0.4970, 0.4931, 0.5009), with_interval(-1e-9, -2e-9, 1e-9)
    ('0.4970 ± 0.0039', '0.00000')
    >>> with_interval(1.5, float("nan"), float("nan"))
    '1.500 (no interval)'
    """
    half = (high - low) / 2
    if half != half:
        return f"{fixed(value, half)} (no interval)"
    width = fixed(half, half)
    return fixed(value, half) + (f" ± {width}" if width.strip("0.") else "")


def decimals(half_width: float) -> int:
    """Return how many decimals show two digits of an interval's half width, 0 to 5; 3 where it is not positive.

    Examples
    --------
    >>> decimals(0.0042), decimals(0.15), decimals(30.0)
    (4, 2, 0)
    """
    if not math.isfinite(half_width) or half_width <= 0:
        return 3
    return min(5, max(0, 1 - math.floor(math.log10(half_width))))


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading below the section's own."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Items:
    """A list of lines."""

    kind: ClassVar[str] = "items"
    items: tuple[str, ...]


#: A sign for each verdict; the shapes differ, so that colour is not needed to tell them apart.
MARKS = {"agrees": "✓", "disagrees": "✗", "inconclusive": "?", "not measured": "–"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than text.

    Attributes
    ----------
    text : str
    verdict : str
        A verdict that is drawn with its sign before the text; empty for none.
    section : str
        The section of the page that it leads to; empty for none.
    wraps : bool
        Whether it is a line of words rather than a number.
    """

    text: str
    verdict: str = ""
    section: str = ""
    wraps: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, [MARKS.get(self.verdict, ""), self.verdict, self.text]))


@dataclass(frozen=True)
class TableBlock:
    """A table; the first cell of a row is the row's header.

    Attributes
    ----------
    caption : str
    head : tuple of str
    rows : tuple of tuple of str or Cell
    style : str
        "facts" for words that wrap, "wide" for numbers of which there are many, "matrix" for verdicts.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    style: str = ""


@dataclass(frozen=True)
class Details:
    """Something a reader opens who wants it: a table or text as it stands in a file."""

    kind: ClassVar[str] = "details"
    summary: str
    table: TableBlock | None = None
    verbatim: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures beside each other where there is room."""

    kind: ClassVar[str] = "figures"
    pictures: tuple[object, ...]


@dataclass(frozen=True)
class Strip:
    """A verdict drawn on a line: the band theory ± margin, the interval, the measured value; all in percent.

    Attributes
    ----------
    band_low, band_high, theory, low, high, measured : float
        Places on the line.
    """

    band_low: float
    band_high: float
    theory: float
    low: float
    high: float
    measured: float

    @classmethod
    def of(cls, theory: float, margin: float, measured: float, low: float, high: float) -> Strip | None:
        """Place the numbers of a verdict on a line, None where one is missing."""
        values = (theory - margin, theory + margin, theory, low, high, measured)
        if not all(math.isfinite(value) for value in values) or margin <= 0:
            return None
        left, right = min(low, theory - 1.6 * margin), max(high, theory + 1.6 * margin)
        if not 0 < right - left < math.inf:
            return None  # a margin that is lost beside the theory
        return cls(*(round(3 + 94 * (value - left) / (right - left), 2) for value in values))


@dataclass(frozen=True)
class Card:
    """A verdict in words.

    Attributes
    ----------
    claim, title, protocol, family : str
        The verdict's; `family` is its kind: identity, symmetry or physics.
    verdict, mark : str
        The word, and a sign of a shape of its own for each word.
    numbers : tuple of (str, str, float)
        Label, text and the number itself.
    reason : str
        Why, where there is more to say.
    strip : Strip or None
        The drawing.
    message : str
        The drawing in words.
    """

    claim: str
    title: str
    protocol: str
    family: str
    verdict: str
    mark: str
    numbers: tuple[tuple[str, str, float | None], ...]
    reason: str
    strip: Strip | None
    message: str


@dataclass(frozen=True)
class Law:
    """A formula that was compared, and where it comes from.

    Attributes
    ----------
    title : str
        In words.
    mathml, latex : str
        The formula.
    needs : str
        What it needs, in words.
    source : str
        Paper.
    url : str
        Where to read it, if known.
    name : str
        Of its derivation, as `thermo-theory derive` takes it.
    """

    title: str
    mathml: str
    latex: str
    needs: str
    source: str
    url: str = ""
    name: str = ""


@dataclass(frozen=True)
class Formulas:
    """Formulas, each beside its source."""

    kind: ClassVar[str] = "formulas"
    laws: tuple[Law, ...]


@dataclass(frozen=True)
class Tested:
    """What a claim tests in its forms of one kind.

    Attributes
    ----------
    family, meaning : str
        Identity, symmetry or physics, and what that means in a few words.
    where : str
        The protocol, and the optimiser where it is not SGD.
    words : str
        What is tested.
    laws : tuple of Law
        The equations that it compares with.
    cards : tuple of Card
        The verdicts on its forms.
    """

    kind: ClassVar[str] = "tested"
    family: str
    meaning: str
    where: str
    words: str
    laws: tuple[Law, ...] = ()
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True)
class Paper:
    """A paper of the list of sources."""

    text: str
    what: str
    url: str = ""


@dataclass(frozen=True)
class Papers:
    """The list of sources."""

    kind: ClassVar[str] = "papers"
    papers: tuple[Paper, ...]


@dataclass(frozen=True)
class Section:
    """A part of the page with an identifier of its own.

    Attributes
    ----------
    name : str
        The identifier.
    title : str
    blocks : tuple
    parts : tuple of Section
        Sections within it.
    label : str
        A short title for the list of sections, by default the name.
    """

    name: str
    title: str
    blocks: tuple[object, ...] = field(default_factory=tuple)
    parts: tuple[Section, ...] = ()
    label: str = ""
