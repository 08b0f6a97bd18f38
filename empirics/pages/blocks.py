"""What a page is made of, before it is HTML or Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from empirics.claims.overview import MARKS

__all__ = [
    "Card",
    "Cell",
    "Details",
    "Figures",
    "Forest",
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
    "Tile",
    "Tiles",
    "decimals",
    "fixed",
    "number",
    "real",
    "with_interval",
]


# Larger numbers are written with a power of ten.
_LONGEST = 1e9


def real(value: object) -> float:
    """Return a float, NaN for anything that is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def number(value: object, digits: int = 4) -> str:
    """Write a number as a reader wants it; anything that is not a finite number becomes "not measured".

    Examples
    --------
    >>> number(0.499812), number(-1232.0), number(float("nan")), number(1e-8)
    ('0.4998', '−1232', 'not measured', '1e−08')
    """
    found = real(value)
    return f"{found:.{digits}g}".replace("-", "−") if math.isfinite(found) else "not measured"


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


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than text."""

    text: str
    verdict: str = ""  # a verdict that is drawn with its sign before the text; empty for none
    section: str = ""  # the section of the page that it leads to; empty for none
    wraps: bool = False  # whether it is a line of words rather than a number

    def __str__(self) -> str:
        return " ".join(filter(None, [MARKS.get(self.verdict, ""), self.verdict, self.text]))


@dataclass(frozen=True)
class TableBlock:
    """A table; the first cell of a row is the row's header."""

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    style: str = ""  # "facts" for words that wrap, "wide" for numbers of which there are many, "matrix" for verdicts


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


#: So many margins to either side of the theory are drawn.
_REACH = 4.0


@dataclass(frozen=True)
class Strip:
    """A verdict drawn on a line in units of its margin: interval and measured value, places in percent of the width.

    Examples
    --------
    >>> Strip.of(1.0, 0.05, 1.1, 1.05, 1.15)
    Strip(low=62.0, high=86.0, measured=74.0, beyond=0)
    >>> Strip.of(1.0, 0.05, 44.0, 26.0, 61.0)
    Strip(low=98.0, high=98.0, measured=98.0, beyond=1)
    """

    low: float
    high: float
    measured: float
    beyond: int  # -1 or 1 if the value lies off the line to the left or right, else 0

    @classmethod
    def of(cls, theory: float, margin: float, measured: float, low: float, high: float) -> Strip | None:
        """Place the numbers of a verdict on a line, None where one is missing."""
        if not all(math.isfinite(value) for value in (theory, margin, measured, low, high)) or margin <= 0:
            return None
        places = [min(_REACH, max(-_REACH, (value - theory) / margin)) for value in (low, high, measured)]
        off = 0 if abs(places[2]) < _REACH else int(math.copysign(1, places[2]))
        left, right, middle = (round(50 + 48 * place / _REACH, 2) for place in places)
        return cls(left, right, middle, off)


@dataclass(frozen=True)
class Card:
    """A verdict in words."""

    claim: str
    label: str  # the human name of the claim, its code in brackets
    title: str
    protocol: str
    family: str  # the verdict's kind: identity, symmetry or physics
    verdict: str  # the word
    mark: str  # a sign of a shape of its own for each word
    measured: str  # with half the interval
    expected: str  # theory and margin
    numbers: tuple[tuple[str, str, float | None], ...]  # label, text and the number itself
    reason: str  # why, where there is more to say
    strip: Strip | None  # the drawing
    message: str  # the drawing in words


@dataclass(frozen=True)
class Tile:
    """A count that is seen at once."""

    label: str
    number: str
    words: str
    tone: str  # the verdict whose colour it has


@dataclass(frozen=True)
class Tiles:
    """Counts beside each other."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Forest:
    """Verdicts below each other in units of their margins."""

    kind: ClassVar[str] = "forest"
    title: str
    groups: tuple[tuple[str, tuple[Card, ...]], ...]


@dataclass(frozen=True)
class Law:
    """A formula that was compared, and where it comes from."""

    title: str  # in words
    mathml: str  # the formula
    latex: str  # the same
    needs: str  # what it needs, in words
    source: tuple[tuple[str, str], ...]  # papers and books: parts of a text, and where each can be read, if known
    name: str = ""  # of its derivation, as `thermo-theory derive` takes it


@dataclass(frozen=True)
class Formulas:
    """Formulas, each beside its source."""

    kind: ClassVar[str] = "formulas"
    laws: tuple[Law, ...]


@dataclass(frozen=True)
class Tested:
    """What a claim tests in its forms of one kind."""

    kind: ClassVar[str] = "tested"
    family: str  # identity, symmetry or physics
    meaning: str  # what that means in a few words
    where: str  # the protocol, and the optimiser where it is not SGD
    words: str  # what is tested
    laws: tuple[Law, ...] = ()  # the equations that it compares with
    cards: tuple[Card, ...] = ()  # the verdicts on its forms


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
    """A part of the page with an identifier of its own."""

    name: str  # the identifier
    title: str
    blocks: tuple[object, ...] = field(default_factory=tuple)
    parts: tuple[Section, ...] = ()  # sections within it
    folded: bool = False  # whether a reader opens it
    card: Card | None = None  # what a folded one shows beside its title: a verdict,
    marks: str = ""  # those of its kinds in signs,
    note: str = ""  # and a sentence
