r"""Drawings of formulas are read again, as a reader does: the other half of what checks `terminal.drawn`.

Every part of a drawing is found by its characters alone: a fraction by its bar, an exponent by standing above the
line, limits by standing above and below their sign. `linear` turns a drawing into the tokens that `Reader` understands.

>>> print(" ".join(linear("-∛x\n───\n 2 \n", ["x"])))
\frac { - \sqrt [ 3 ] { x } } { 2 }
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from reading import Tokens, Unread

#: Signs of roots by their degree.
_ROOTS = {2: "√", 3: "∛", 4: "∜"}

#: Digits of exponents.
_EXPONENTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))

#: What a character on the line means.
_SIGNS = {
    "⋅": [r"\times"],
    "·": [r"\cdot"],
    "ℯ": ["e"],
    "ⅈ": ["i"],
    "∞": [r"\infty"],
    "→": [r"\to"],
    "≥": [r"\geq"],
    "≤": [r"\leq"],
    "∂": [r"\partial"],
    "δ": [r"\delta"],
    "Γ": [r"\Gamma"],
    "ĥ": [r"\hat", "{", "h", "}"],
    "⁺": ["^", "+"],
    "⁻": ["^", "-"],
    **{sign: [sign] for sign in "-+=/,;_^dhtAOI"},
}

#: Words, and the signs that have limits.
_WORDS = {
    **{word: rf"\{word}" for word in ("log", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{
        word: rf"\operatorname{{{word}}}"
        for word in "abs tr div inv sign msign pow mul clip mean var acos asin besseli".split()  # noqa: SIM905
    },
    **{word: word for word in ("h_w", "h_r")},
    " at ": r"\at",
}
_LIMITED = {"∑": r"\sum", "∫": r"\int", "lim": r"\lim"}

#: Brackets on the line, which may be a part of a tall one.
_OPENING = {**dict.fromkeys("(⎛⎜⎝", "("), **dict.fromkeys("[⎡⎢⎣", "["), **dict.fromkeys("{⎧⎨⎩⎰", r"\{")}
_CLOSING = {**dict.fromkeys(")⎞⎟⎠", ")"), **dict.fromkeys("]⎤⎥⎦", "]"), **dict.fromkeys("}⎫⎬⎭⎱", r"\}")}

#: After these a product begins or goes on, so that a differential that follows does not end an integral.
_OPEN = {*"-+=([{,/", r"\times", r"\cdot", r"\{"}


def _cells(line: str) -> list[str]:
    """Characters, each with the accents that stand on it."""
    cells: list[str] = []
    for character in unicodedata.normalize("NFC", line):
        if unicodedata.combining(character) and cells:
            cells[-1] += character
        else:
            cells.append(character)
    return cells


def linear(picture: str, names: Iterable[str]) -> Tokens:
    """Read a drawing; one in several rows has empty lines between them, and what is on one line may go on in the next.

    Parameters
    ----------
    picture : str
        What `drawn` returned.
    names : iterable of str
        How symbols and functions are drawn; each is one token.

    Returns
    -------
    tuple of str
        The tokens of the formula.

    Raises
    ------
    Unread
        If a character belongs to nothing, or if there are two ways to read it.
    """
    names = set(names)
    words = sorted({*names, *_WORDS, *_LIMITED} - {""}, key=len, reverse=True)
    found: list[str] = []
    for flat, rows in groupby(re.split(r"\n *\n", picture), key=lambda row: "\n" not in row):
        for row in [" ".join(map(str.strip, rows))] if flat else rows:
            lines = [_cells(line) for line in row.split("\n")]
            width = max(map(len, lines))
            grid = [line + [" "] * (width - len(line)) for line in lines]
            found += _Picture(grid, [(_cells(word), word) for word in words], names).tokens()
    return tuple(found)


class _Picture:
    """A rectangle of a drawing, as a list of its lines."""

    def __init__(self, grid: list[list[str]], words: Sequence[tuple[list[str], str]], names: set[str]) -> None:
        columns = [place for place in range(len(grid[0]) if grid else 0) if any(line[place] != " " for line in grid)]
        left, right = (columns[0], columns[-1] + 1) if columns else (0, 0)
        rows = [line[left:right] for line in grid]
        self.grid = [line for line in rows if any(cell != " " for cell in line)] if columns else []
        self.all_words, self.names = words, names
        self.words: dict[str, list[tuple[list[str], str]]] = {}
        for cells, word in words:
            self.words.setdefault(cells[0], []).append((cells, word))
        self.width = right - left

    def part(self, top: int, bottom: int, left: int, right: int) -> list[str]:
        """Tokens of a smaller rectangle."""
        return _Picture([line[left:right] for line in self.grid[top:bottom]], self.all_words, self.names).tokens()

    def tokens(self) -> list[str]:
        """Read along the one line from which everything can be read."""
        found: list[list[str]] = []
        for row in range(len(self.grid)):
            try:
                tokens = _Line(self, row).read()
            except Unread:
                continue
            if tokens not in found:
                found.append(tokens)
        if len(found) != 1:
            raise Unread(f"{len(found)} ways to read\n" + "\n".join("".join(line) for line in self.grid))
        return found[0]


class _Line:
    """Reads a picture along one of its lines."""

    def __init__(self, picture: _Picture, row: int) -> None:
        self.picture, self.row, self.line = picture, row, picture.grid[row]
        self.place, self.named = 0, False
        self.found: list[str] = []

    def read(self) -> list[str]:
        """Tokens of everything in the picture."""
        while self.place < self.picture.width:
            if self.line[self.place] == " ":
                self._above_and_below()
            else:
                self._element()
        if self.found[:1] in ([r"\times"], [r"\cdot"]):
            raise Unread("a product without a first factor")
        return self.found

    def _next_on_line(self, start: int) -> int:
        """The next column in which there is something on the line."""
        return next(
            (place for place in range(start, self.picture.width) if self.line[place] != " "), self.picture.width
        )

    def _empty(self, top: int, bottom: int, left: int, right: int) -> bool:
        return all(cell == " " for line in self.picture.grid[top:bottom] for cell in line[left:right])

    def _above_and_below(self) -> None:
        """Columns without anything on the line: space, an exponent, or the limits of the sign that follows."""
        end = self._next_on_line(self.place)
        if self._word(end) in _LIMITED:
            self._limits(end)
        elif self._word(self.place) == " at ":
            self._plain(4, [r"\at"])
        else:
            self._check_empty(self.row + 1, len(self.picture.grid), self.place, end)
            if self._empty(0, self.row, self.place, end):
                self.named = False
            elif not self.found or self.found[-1] in _OPEN:
                raise Unread("an exponent of nothing")
            else:
                self.found += ["^", "{", *self.picture.part(0, self.row, self.place, end), "}"]
            self.place = end

    def _check_empty(self, top: int, bottom: int, left: int, right: int) -> None:
        if not self._empty(top, bottom, left, right):
            raise Unread("something above or below the line")

    def _plain(self, width: int, tokens: Sequence[str]) -> None:
        """Take what stands on the line alone."""
        self._check_empty(0, self.row, self.place, self.place + width)
        self._check_empty(self.row + 1, len(self.picture.grid), self.place, self.place + width)
        self.found += tokens
        self.place += width

    def _word(self, place: int) -> str:
        """The longest name or word that starts in a column."""
        for cells, word in self.picture.words.get(self.line[place] if place < self.picture.width else "", ()):
            if self.line[place : place + len(cells)] == cells:
                return word
        return ""

    def _element(self) -> None:
        """One name, number, sign, fraction, root or bracket."""
        cell, word = self.line[self.place], self._word(self.place)
        after = self.line[self.place + 1] if self.place + 1 < self.picture.width else " "
        named, self.named = self.named, False
        if cell == "─":
            self._fraction()
        elif cell in _ROOTS.values():
            self._root(next(degree for degree, sign in _ROOTS.items() if sign == cell))
        elif cell in _OPENING:
            self._bracket(called=named and _OPENING[cell] == "(")
        elif cell == "E" and _OPENING.get(after) == "[":
            self._plain(1, [r"\mathbb{E}"])
        elif len(word) < 2 and cell in "dδ" and self._differs(after):
            self._differential(cell)
        elif word in _LIMITED:
            self._limits(self.place)
        elif word in self.picture.names:
            self._plain(len(_cells(word)), [word])
            self.named = True
        elif word in _WORDS:
            self._plain(len(word), [_WORDS[word]])
        elif cell.isdecimal():
            end = self.place
            while end < self.picture.width and (self.line[end].isdecimal() or self.line[end] == "."):
                end += 1
            self._plain(end - self.place, ["".join(self.line[self.place : end])])
        elif cell in _EXPONENTS:
            end = self.place
            while end < self.picture.width and self.line[end] in _EXPONENTS:
                end += 1
            digits = "".join(_EXPONENTS[sign] for sign in self.line[self.place : end])
            self._plain(end - self.place, ["^", "{", digits, "}"])
            self.named = named
        elif cell in _SIGNS:
            self._plain(1, _SIGNS[cell])
        else:
            raise Unread(f"no rule for {cell}")

    def _differs(self, after: str) -> bool:
        """Whether a d is a differential: a letter follows, or the bracket of a mean change ``E[d(x)]``."""
        return after.isalpha() or (_OPENING.get(after) == "(" and not self.found)

    def _differential(self, sign: str) -> None:
        """A d or a δ before a letter; after a space it ends an integral."""
        space = r"\int" in self.found and self.line[self.place - 1] == " " and self.found[-1] not in _OPEN
        self._plain(1, [*([r"\,"] if space else []), r"\diff" if sign == "d" else r"\delta"])

    def _limits(self, sign: int) -> None:
        """A sum, an integral, a limit: as wide as what stands above and below it."""
        word = self._word(sign)
        end, height = self._next_on_line(sign + len(word)), len(self.picture.grid)
        start, self.place = self.place, end
        self.found.append(_LIMITED[word])
        for top, bottom, mark in ((self.row + 1, height, "_"), (0, self.row, "^")):
            if not self._empty(top, bottom, start, end):
                self.found += [mark, "{", *self.picture.part(top, bottom, start, end), "}"]

    def _fraction(self) -> None:
        end = self.place
        while end < self.picture.width and self.line[end] == "─":
            end += 1
        above = self.picture.part(0, self.row, self.place, end)
        below = self.picture.part(self.row + 1, len(self.picture.grid), self.place, end)
        self.found += [r"\frac", "{", *above, "}", "{", *below, "}"]
        self.place = end

    def _root(self, degree: int) -> None:
        """A root of the one name, number or bracket that follows."""
        self._plain(1, [r"\sqrt", *(["[", str(degree), "]"] if degree > 2 else []), "{"])
        if self.place == self.picture.width or self.line[self.place] == " ":
            raise Unread("a root of nothing")
        self._element()
        self.named = False
        self.found.append("}")

    def _bracket(self, called: bool) -> None:
        """What stands between two brackets; braces too around the arguments of a function."""
        depth, end = 0, self.place
        while end < self.picture.width:
            depth += (self.line[end] in _OPENING) - (self.line[end] in _CLOSING)
            if depth == 0:
                break
            end += 1
        else:
            raise Unread("a bracket is not closed")
        kinds = _OPENING[self.line[self.place]], _CLOSING[self.line[end]]
        if kinds not in {("(", ")"), ("[", "]"), (r"\{", r"\}")}:
            raise Unread("brackets of two kinds")
        for column, signs in ((self.place, _OPENING), (end, _CLOSING)):
            if any(line[column] not in {*signs, " "} for line in self.picture.grid):
                raise Unread("something above or below a bracket")
        inside = self.picture.part(0, len(self.picture.grid), self.place + 1, end)
        self.found += [*(["{"] if called else []), kinds[0], *inside, kinds[1], *(["}"] if called else [])]
        self.place = end + 1
