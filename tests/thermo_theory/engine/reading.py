r"""Printed formulas are read back, and compared with what was to be printed, in numbers.

`Point` gives every letter a random number (a vector or a matrix where it stands for one) and evaluates expressions;
what is not algebra (a mean, a derivative, a sum, a function without a formula) is some smooth function of what stands
inside it, so that nothing in it can change unseen. `Reader` gives LaTeX the meaning that a reader gives it, knowing the
letters and nothing of the expression. The two have no code in common.

>>> x, y = sp.symbols("x y", positive=True)
>>> confirm(sp.sqrt(x) / y, tokens(r"\frac{\sqrt{x}}{y}"), {x: ("x",), y: ("y",)})
>>> try:
...     confirm(sp.sqrt(x) / y, tokens(r"- \frac{\sqrt{x}}{y}"), {x: ("x",), y: ("y",)})
... except Misprint as error:
...     print(error)
sqrt(x)/y is printed as something else: - \frac { \sqrt { x } } { y }
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from points import ALGEBRA, FUNCTIONS, Point, Unread, power, times
from sympy.core.function import AppliedUndef

#: Relative difference that round-off may make between a printed formula and its expression.
TOLERANCE = 1e-7

Tokens = tuple[str, ...]

_RELATIONS = {"Equality": "=", "GreaterThan": r"\geq", "LessThan": r"\leq"}


class Misprint(Exception):
    """A printed formula says something else than its expression."""


_TOKEN = re.compile(
    r"\\(?:operatorname|mathbb)\{\w+\}|\\(?:left|right)\s*[.|]|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|h_[wr](?=\s*\[)|[a-zA-Z]|\S"
)
_SKIPPED = re.compile(
    r"\\(?:left|right)(?!\s*[.|a-zA-Z])|\\(?:limits|displaystyle)(?![a-z])|\\(?:begin|end)\{aligned\}"
    r"|(?:\\\\ )?& (?:\\quad)?"
)


def tokens(latex: str) -> Tokens:
    r"""Cut LaTeX into what a reader sees; an upright d is one sign, the size of brackets is none, nor where a row ends.

    >>> tokens(r"\left(\mathrm{d} S\right)^{2}")
    ('(', '\\diff', 'S', ')', '^', '{', '2', '}')
    """
    return tuple(
        _TOKEN.findall(_SKIPPED.sub(" ", latex.replace(r"\mathrm{d}", r"\diff ").replace(r"\rightarrow", r"\to")))
    )


#: Where a product ends.
_END = {"", *"-+=)]};,/<>", r"\geq", r"\leq", r"\}", r"\to", r"\\", r"\right|", r"\at"}


class Reader:
    """The meaning of LaTeX; `letters` says which tokens stand for which symbols and functions."""

    def __init__(self, latex: Tokens, letters: Mapping[Tokens, Sequence[Any]], point: Point) -> None:
        self.latex, self.place, self.point = latex, 0, point
        self.letters: dict[str, list[tuple[Tokens, Sequence[Any]]]] = {}
        for name in sorted(letters, key=len, reverse=True):
            self.letters.setdefault(name[0], []).append((name, letters[name]))

    def statement(self) -> list[Any]:
        """Return the sides and the relation between them, or an expression alone."""
        found = [self.sum()]
        if self.next() in _RELATIONS.values():
            found += [self.take(), self.sum()]
        if self.next():
            raise Unread(f"{self.next()} is left over")
        return found

    def next(self, ahead: int = 0) -> str:
        """Return the next token, or nothing at the end."""
        return self.latex[self.place + ahead] if self.place + ahead < len(self.latex) else ""

    def has(self, *wanted: str) -> bool:
        """Whether these tokens come next."""
        return self.latex[self.place : self.place + len(wanted)] == wanted

    def take(self, *wanted: str) -> str:
        """Step over tokens, which must be these."""
        if not self.next() or not self.has(*wanted):
            raise Unread(f"{' '.join(wanted)} expected before {' '.join(self.latex[self.place : self.place + 8])}")
        self.place += len(wanted) or 1
        return self.latex[self.place - 1]

    def between(self, opening: str, closing: str) -> list[Any]:
        """Return what stands in brackets, separated by commas."""
        self.take(opening)
        values = [self.sum()]
        while self.next() == ",":
            self.take()
            values.append(self.sum())
        self.take(closing)
        return values

    def group(self) -> Any:
        """Braces, or one token without them."""
        return self.between("{", "}")[0] if self.next() == "{" else self.atom()

    def sum(self) -> Any:
        """Terms with their signs."""
        total = self._signed()
        while self.next() in ("+", "-"):
            total = total + self._signed()
        return total

    def _signed(self) -> Any:
        sign = self.take() if self.next() in ("+", "-") else "+"
        value = self._signed() if self.next() == "-" else self.product()  # x - -2
        return -value if sign == "-" else value

    def product(self) -> Any:
        """Factors side by side; a dot between vectors is their inner product."""
        value = self.power()
        while (self.next() not in _END and not self._integral_ends()) or self._divides():
            if self._divides():
                self.take("/")
                value = value / self.power()
                continue
            dot = self.take() if self.next() in (r"\cdot", r"\times", r"\odot") else ""
            right = self.power()
            if dot == r"\cdot" and np.ndim(value):
                while np.ndim(right) == 2:
                    right = right @ self.power()
                value = value @ right
            else:
                value = ALGEBRA["Hadamard"](value, right) if dot == r"\odot" else times(value, right)
        return value

    def _divides(self) -> bool:
        """Whether a quotient goes on: ``2/3``, but not ``(∂U/∂T)``."""
        return self.next() == "/" and self.next(1) != r"\partial"

    def _integral_ends(self) -> bool:
        """Whether a differential comes; any other thin space is a space."""
        if self.next() == r"\," and self.next(1) not in (r"\diff", "d"):
            self.take()
        return self.next() == r"\,"

    def power(self) -> Any:
        """An atom and its exponent; a transposed vector with the matrices and the vector that follow it."""
        base = self.atom()
        while self.next() == "^":
            if self.has("^", "{", r"\top", "}"):
                self.take("^", "{", r"\top", "}")
                while np.ndim(base):
                    base = base @ self.power()
            else:
                base = (ALGEBRA["Powers"] if self.next(2) == r"\circ" else power)(base, self.take() and self.group())
        return base

    def exponent(self) -> Any:
        """Return what stands after ^, or 1."""
        return self.group() if self.next() == "^" and self.next(2) != r"\circ" and self.take() else 1

    def atom(self) -> Any:
        """A letter, a number, a bracket, or a notation with a rule of its own."""
        rule = _RULES.get(self.next())
        for name, meanings in self.letters.get(self.next(), ()):
            if len(name) == 1 and rule is not None and (value := rule(self)) is not None:
                return value
            if self.has(*name) and self.next(len(name)) != "_":
                return self._letter(len(name), meanings)
        if rule is not None and (value := rule(self)) is not None:
            return value
        token = self.take()
        if token[0].isdigit():
            return complex(float(token))
        if token[0] == "\\" and token[1:] in FUNCTIONS:
            return self._function(FUNCTIONS[token[1:]])
        if token in ("e", "i"):
            return complex(math.e) if token == "e" else 1j
        raise Unread(f"no rule for {token}")

    def _letter(self, length: int, meanings: Sequence[Any]) -> Any:
        """A symbol, or a function if arguments follow."""
        start, self.place = self.place, self.place + length
        for meaning in meanings:
            if isinstance(meaning, AppliedUndef):
                after, _ = self.place, self.exponent()
                if self.has("{", "("):
                    self.place = after
                    return self._function(lambda *values, function=meaning: self.point.call(function, values))
                self.place = after
        for meaning in meanings:
            if not isinstance(meaning, AppliedUndef):
                return self.point.letter(meaning)
        raise Unread(f"{' '.join(self.latex[start : self.place])} without arguments")

    def _function(self, function: Callable[..., Any]) -> Any:
        """A function's exponent and its arguments in brackets: ``f^{2}{(x, y)}``."""
        raised, exponent, braced = self.next() == "^", self.exponent(), self.has("{", "(")
        if braced:
            self.take()
        value = function(*self.between("(", ")"))
        if braced:
            self.take("}")
        return power(value, exponent) if raised else value


def _fraction(reader: Reader) -> Any:
    """A derivative, a mean rate, a variation, or a quotient."""
    if reader.has(r"\frac", "{", r"\mathbb{E}", "[", r"\diff"):
        reader.take(r"\frac", "{", r"\mathbb{E}", "[", r"\diff")
        inside = reader.between("(", ")")
        reader.take("]", "}", "{", r"\diff", "t", "}")
        return reader.point.some("Generator", *inside)
    if reader.has(r"\frac", "{", r"\delta", "}", "{", r"\delta"):
        reader.take(r"\frac", "{", r"\delta", "}", "{", r"\delta")
        state = reader.sum()
        reader.take("}")
        return reader.point.some("Variation", *reader.between("[", "]"), state)
    if (value := _derivative(reader)) is not None:
        return value
    reader.take()
    above, below = reader.between("{", "}")[0], reader.between("{", "}")[0]
    return above * power(below, -1)


def _derivative(reader: Reader) -> Any:
    r"""``\frac{d^{2}}{d x d y} f``: of the one factor that follows."""
    for sign in ("d", r"\partial"):
        power = 4 * (reader.next(3) == "^")
        below = reader.next(power + 5)
        opens = reader.next(2) == sign and reader.latex[reader.place + 3 + power :][:2] == ("}", "{")
        if opens and below in (sign, r"\diff") and reader.next(power + 6) not in ("_", "}"):
            reader.place += power + 5
            bounds = []
            while reader.next() != "}":
                reader.take()
                bounds += [reader.atom(), reader.exponent()]
            reader.take()
            return reader.point.some("Derivative", reader.power(), *bounds)
    return None


def _slope(reader: Reader) -> Any:
    """``d/dx f`` on one line, where d is not a letter."""
    if not reader.has("d", "/", r"\diff"):
        return None
    reader.take("d", "/", r"\diff")
    variable = reader.atom()
    return reader.point.some("Derivative", reader.power(), variable, complex(1))


def _bracket(reader: Reader) -> Any:
    """A derivative at constant others, an expression at a point, or what stands in brackets."""
    fraction = reader.has("(", r"\frac", "{", r"\partial") and reader.next(4) not in ("}", "^")
    if fraction or reader.has("(", r"\partial"):
        reader.take("(", *((r"\frac", "{", r"\partial") if fraction else (r"\partial",)))
        above = reader.sum()
        reader.take(*(("}", "{") if fraction else ("/",)), r"\partial")
        below = reader.sum()
        reader.take(*(("}", ")", "_") if fraction else (")", "_")))
        return reader.point.some("Partial", above, below, reader.group())
    reader.take()
    value = reader.sum()
    if reader.next() == r"\at":
        value = _at(reader, value)
    reader.take(")")
    return value


def _at(reader: Reader, value: Any) -> Any:
    """Values of variables: ``x = 1, y = 2``."""
    variables, points = [], []
    while reader.next() in (r"\at", ",", r"\\"):
        reader.take()
        variables.append(reader.atom())
        reader.take("=")
        points.append(reader.sum())
    return reader.point.some("Subs", value, *variables, *points)


def _substituted(reader: Reader) -> Any:
    reader.take()
    value = reader.sum()
    reader.take(r"\right|", "_", "{", r"\substack")
    reader.latex = (*reader.latex[: reader.place], r"\at", *reader.latex[reader.place + 1 :])
    value = _at(reader, value)
    reader.take("}", "}")
    return value


def _sum(reader: Reader) -> Any:
    r"""``\sum_{i=1}^{n}`` of the product that follows."""
    reader.take(r"\sum", "_", "{")
    index = reader.atom()
    reader.take("=")
    low = reader.sum()
    reader.take("}")
    high = reader.exponent()
    return reader.point.some("Sum", reader.product(), index, low, high)


def _integral(reader: Reader) -> Any:
    """An integral between limits, or over the unit sphere."""
    reader.take()
    limits = [reader.group(), reader.exponent()] if reader.next() == "_" and reader.take() else []
    inside = reader.product()
    reader.take(r"\,")
    reader.take()
    if not limits:
        reader.take("A")
        return reader.point.some("SurfaceIntegral", inside)
    return reader.point.some("Integral", inside, reader.atom(), *limits)


def _limit(reader: Reader) -> Any:
    r"""``\lim_{x \to 0^+}`` of the one factor that follows."""
    reader.take(r"\lim", "_", "{")
    variable = reader.atom()
    reader.take(r"\to")
    end = reader.atom()
    side = complex(reader.take("^") and float(f"{reader.take()}1")) if reader.next() == "^" else 1
    reader.take("}")
    return reader.point.some("Limit", reader.power(), variable, end, side)


def _remainder(reader: Reader) -> Any:
    """``O(x; x -> infinity)``, where it is not a letter."""
    if not reader.has("O", "("):
        return None
    reader.take("O", "(")
    values = [reader.sum()]
    if reader.next() == ";":
        reader.take()
        values.append(reader.sum())
        reader.take(r"\to")
        values.append(reader.sum())
    reader.take(")")
    return reader.point.some("Order", *values)


def _bessel(reader: Reader) -> Any:
    """``I_{n}(x)`` or ``I^{2}_{n}(x)``, where it is not a letter."""
    if reader.next(1) not in ("_", "^"):
        return None
    reader.take()
    exponent = reader.exponent()
    reader.take("_")
    return power(reader.point.some("besseli", reader.group(), *reader.between("(", ")")), exponent)


def _in_brackets(name: str, opening: str, closing: str, length: int = 1) -> Callable[[Reader], Any]:
    """A notation with its arguments in brackets, where brackets follow."""

    def read(reader: Reader) -> Any:
        if reader.next(length) != opening:
            return None
        reader.place += length
        arguments = reader.between(opening, closing)
        return ALGEBRA[name](*arguments) if name in ALGEBRA else reader.point.some(name, *arguments)

    return read


def _prefix(name: str) -> Callable[[Reader], Any]:
    """A notation that is put before what it is about."""

    def read(reader: Reader) -> Any:
        reader.take()
        inside = reader.atom()
        return ALGEBRA[name](inside) if name in ALGEBRA else reader.point.some(name, inside)

    return read


def _root(reader: Reader) -> Any:
    reader.take()
    degree = reader.between("[", "]")[0] if reader.next() == "[" else 2
    return power(reader.group(), 1 / degree)


def _called(name: str) -> Callable[[Reader], Any]:
    """A function whose exponent may stand before its arguments."""

    def read(reader: Reader) -> Any:
        if reader.next(1) not in ("(", "{", "^"):
            return None
        reader.take()
        return reader._function(lambda *arguments: reader.point.some(name, *arguments))

    return read


def _square_brackets(reader: Reader) -> Any:
    values = reader.between("[", "]")
    return values[0] if len(values) == 1 else ALGEBRA["SkewProduct"](*values)


_RULES: dict[str, Callable[[Reader], Any]] = {
    r"\frac": _fraction,
    r"\sqrt": _root,
    "(": _bracket,
    "[": _square_brackets,
    "{": lambda reader: reader.between("{", "}")[0],
    r"\{": _in_brackets("SymProduct", r"\{", r"\}", 0),
    r"\left.": _substituted,
    r"\sum": _sum,
    r"\int": _integral,
    r"\lim": _limit,
    r"\Gamma": _called("gamma"),
    **{rf"\operatorname{{{name}}}": _called(name) for name in ("acos", "asin", "besseli")},
    r"\infty": lambda reader: reader.take() and reader.point.letter(sp.oo),
    r"\diff": _prefix("Change"),
    **{rf"\operatorname{{{name.lower()[:3]}}}": _prefix(name) for name in ("Tr", "Div", "Inverse")},
    r"\operatorname{abs}": _in_brackets("Abs", "(", ")"),
    r"\operatorname{sign}": _in_brackets("Sign", "(", ")"),
    r"\operatorname{msign}": _in_brackets("MatrixSign", "(", ")"),
    r"\operatorname{pow}": _in_brackets("Powers", "(", ")"),
    r"\operatorname{mul}": _in_brackets("Hadamard", "(", ")"),
    r"\operatorname{clip}": _in_brackets("Clip", "(", ")"),
    r"\circ": lambda reader: reader.take() and reader.sum(),  # a power of each coordinate
    r"\operatorname{mean}": _in_brackets("NoiseMean", "[", "]"),
    r"\operatorname{var}": _in_brackets("NoiseVariance", "[", "]"),
    r"\mathbb{E}": _in_brackets("Expectation", "[", "]"),
    r"\left|": lambda reader: ALGEBRA["Abs"](*reader.between(r"\left|", r"\right|")),
    "h": _in_brackets("EntropyOf", "[", "]"),
    "h_w": _in_brackets("DifferentialEntropyOf", "[", "]"),
    "h_r": _in_brackets("NormEntropyOf", "[", "]"),
    r"\hat": _in_brackets("EstimateOf", "[", "]", 4),
    "d": _slope,
    "O": _remainder,
    "I": _bessel,
}


@np.errstate(all="ignore")
def confirm(expression: Any, printed: Tokens, names: Mapping[Any, Tokens], seeds: Sequence[int] = (1, 2)) -> None:
    """Compare a printed formula with its expression at random points.

    Parameters
    ----------
    expression : sympy.Basic
        A relation or an expression.
    printed : tuple of str
        How it is printed, as `tokens` gives it.
    names : mapping
        How each symbol, number with a name and undefined function (called with anything) is printed.
    seeds : sequence of int
        One point for each.

    Raises
    ------
    Misprint
        If it says something else, or one name stands for two letters.
    Unread
        If there is no rule for something in it.
    """
    letters: dict[Tokens, list[Any]] = {}
    for letter, name in names.items():
        if not name:
            raise Unread(f"{letter!r} has no name")
        others = letters.setdefault(name, [])
        if any(isinstance(other, AppliedUndef) == isinstance(letter, AppliedUndef) for other in others):
            raise Misprint(f"{' '.join(name)} stands for {letter} and for {others[0]} in {expression}")
        others.append(letter)
    relation = _RELATIONS.get(type(expression).__name__)
    sides = (expression.lhs, expression.rhs) if relation else (expression,)
    compared = 0
    for seed in seeds:
        try:
            wanted = [_point(seed).value(side) for side in sides]
            seen = Reader(printed, letters, _point(seed)).statement()
        except (ArithmeticError, ValueError):  # there is no value at this point
            continue
        if not all(np.all(np.isfinite(side)) for side in wanted):
            continue
        compared += 1
        same = len(seen) == 2 * len(wanted) - 1 and (not relation or seen[1] == relation)
        if not same or not all(map(_close, seen[::2], wanted)):
            raise Misprint(f"{expression} is printed as something else: {' '.join(printed)}")
    if not compared:
        raise Unread(f"{expression} has no value at any of {len(seeds)} points")


@cache
def _point(seed: int) -> Point:
    return Point(seed)


def _close(seen: Any, wanted: Any) -> bool:
    """Equal up to round-off; 0 stands for a vector or a matrix too."""
    if np.ndim(seen) and np.ndim(wanted) and np.shape(seen) != np.shape(wanted):
        return False
    return bool(np.max(np.abs(seen - wanted)) <= TOLERANCE * max(1.0, float(np.max(np.abs(wanted)))))
