"""How expressions are shown: roots gathered, symbols under the names that readers know."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache, partial
from math import isfinite, lcm
from textwrap import fill, wrap

import sympy as sp
from sympy.core.relational import Relational
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE

from thermo_theory.engine.breaking import CUT, rows
from thermo_theory.engine.terminal import bracketed, drawn
from thermo_theory.symbols import glossary, latex_names
from thermo_theory.symbols.vectors import Dot, Expectation

__all__ = ["WIDTH", "latex_words", "readable", "to_latex", "to_text", "wrapped"]


def readable(expression: sp.Basic) -> sp.Basic:
    r"""Gather the roots of a product under one radical; for reading only, sympy would pull them apart again.

    The value stays the same wherever the symbols lie in their domains: a sign stays in front of the root, and what may
    be negative is not put under it.

    >>> x, y = sp.symbols("x y", positive=True)
    >>> print(sp.latex(readable(-(2 ** sp.Rational(3, 4)) * x ** sp.Rational(1, 4) / (2 * y ** sp.Rational(1, 4)))))
    - \sqrt[4]{\frac{x}{2 y}}
    """
    if isinstance(expression, sp.Mul):
        return _gathered(expression)
    if isinstance(expression, sp.Sum | sp.Integral):
        return expression.func(readable(expression.function), *expression.limits)
    if isinstance(expression, Relational | sp.Add | sp.Pow | sp.Function):
        parts = [readable(part) for part in expression.args]
        return expression if parts == list(expression.args) else expression.func(*parts, evaluate=False)
    return expression


def _gathered(product: sp.Mul) -> sp.Expr:
    """One root of the numbers and of the fractional powers of what is not negative; the sign stays in front of it."""
    number, factors = _factors(product)
    powers, outside = [], []
    for factor in factors:
        base, exponent = factor.as_base_exp()
        if exponent.is_Rational and not exponent.is_integer and _never_negative(base):
            share, rest = _factors(base)
            powers.append((share * sp.Mul(*rest), exponent))
        else:
            outside.append(factor)

    def gathered(show: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
        degree = lcm(*[int(exponent.q) for _, exponent in powers])
        inside = abs(number) ** degree * sp.Mul(*[show(base) ** (exponent * degree) for base, exponent in powers])
        root = sp.Pow(inside, sp.Rational(1, degree), evaluate=False)
        shown = [*([sp.S.NegativeOne] if number < 0 else []), *map(show, outside), root]
        return sp.Mul(*shown, evaluate=False) if len(shown) > 1 else root

    if all(base.is_number for base, _ in powers) or not _agree(gathered(lambda part: part), product):
        parts = [readable(part) for part in product.args]
        return product if parts == list(product.args) else sp.Mul(*parts, evaluate=False)
    return gathered(readable)


def _factors(product: sp.Expr) -> tuple[sp.Rational, list[sp.Expr]]:
    """The rational number in a product and its other factors, sums turned so that they are not negative."""
    number, factors, pending = sp.S.One, [], [product]
    for factor in pending:
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sp.Mul):
            pending += factor.args
        elif factor.is_Rational:
            number *= factor
        elif base.is_Add and exponent.is_odd and _never_negative(-base):
            number *= -1
            factors.append((-base) ** exponent)
        else:
            factors.append(factor)
    return number, factors


@cache
def _never_negative(base: sp.Expr) -> bool:
    """Whether an expression is at least 0 wherever its symbols lie in their domains."""
    if base.is_nonnegative is not None:
        return bool(base.is_nonnegative)
    return bool(sp.factor(base.subs(_within_domains(base))).is_nonnegative)


def _within_domains(expression: sp.Basic) -> dict[sp.Basic, sp.Expr]:
    """What runs through the domain of each symbol, square and mean of squares while new letters are positive."""
    positive = partial(sp.Dummy, positive=True)
    changes: dict[sp.Basic, sp.Expr] = {
        part: positive()
        for part in expression.atoms(Dot, Expectation)
        if (part.args[0] == part.args[-1] if isinstance(part, Dot) else _never_negative(part.args[0]))
    }
    for symbol in expression.free_symbols & glossary.keys():
        low, high = glossary[symbol].domain.low, glossary[symbol].domain.high
        if isfinite(low):
            share = int(high - low) / (1 + positive()) if isfinite(high) else positive()
            changes[symbol] = int(low) + share
    return changes


def _agree(shown: sp.Expr, product: sp.Expr) -> bool:
    """Whether a form is worth what the product is, at random numbers for all but sums, products and powers."""
    dice = random.Random(1)
    pair = sp.Tuple(shown, product)
    pair = pair.xreplace(_within_domains(pair))
    numbers: dict[sp.Basic, sp.Expr] = {}
    walk = sp.preorder_traversal(pair)
    for part in walk:
        if not isinstance(part, sp.Add | sp.Mul | sp.Pow | sp.Tuple | sp.Number):
            walk.skip()
            size = dice.uniform(0.3, 3)
            numbers.setdefault(part, sp.Float(size if part.is_nonnegative else dice.choice((size, -size))))
    one, other = map(sp.N, pair.xreplace(numbers))
    return float(abs(one - other)) <= 1e-7 * max(1.0, float(abs(other)))


class _Latex(LatexPrinter):
    """sympy's printer; what is kept as it is stands in brackets."""

    def _print_UnevaluatedExpr(self, kept: sp.UnevaluatedExpr) -> str:
        return str(self.parenthesize(kept.args[0], PRECEDENCE["Func"]))

    def _print_Mul(self, product: sp.Mul) -> str:
        return str(super()._print_Mul(bracketed(product) if product.is_Mul else product))

    def _print_Pow(self, power: sp.Pow) -> str:
        if power.base == -1:  # unevaluated: sympy 1.14 prints it without end
            return rf"\left(-1\right)^{{{self._print(power.exp)}}}"
        return str(super()._print_Pow(power))

    def _print_Add(self, total: sp.Add, order: str | None = None) -> str:
        return str(super()._print_Add(total, "none" if CUT in total.args else order))

    def _print_Sum(self, total: sp.Sum) -> str:
        shown, inside = str(super()._print_Sum(total)), self._print(total.function)
        negative = total.function.as_coeff_Mul()[0].is_negative  # a minus behind the sign of the sum would end it
        return rf"{shown.removesuffix(inside)}\left({inside}\right)" if negative else shown


#: Columns of a line in a terminal, and those that take as much room as LaTeX has on a page.
WIDTH, _PAGE = 100, 76


def to_latex(expression: sp.Basic) -> str:
    r"""Return an expression in LaTeX, a long one in the rows of an ``aligned``.

    >>> from thermo_theory.symbols import eta_eff
    >>> print(to_latex(eta_eff))
    \eta_{\mathrm{eff}}
    """
    printer = _Latex({"symbol_names": {**latex_names(expression), CUT: "@"}})
    printed = [_ascii(printer.doprint(part)).removeprefix("@ ") for part in rows(readable(expression), _PAGE, _columns)]
    return rf"\begin{{aligned}} & {_NEXT_ROW.join(printed)} \end{{aligned}}" if len(printed) > 1 else printed[0]


#: Between the rows of a long equation.
_NEXT_ROW = r" \\ & \quad "

#: Combining characters and the accents of LaTeX's mathematics.
_ACCENTS = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde", "\u0307": "dot"}


#: A word as index of a function, which sympy leaves slanted.
_WORD = re.compile(r"_\{([a-z]{3,})(\d?)\}")


def _ascii(text: str) -> str:
    """Write accented letters as LaTeX does, and words upright."""
    plain = unicodedata.normalize("NFD", text)
    for combining, accent in _ACCENTS.items():
        plain = re.sub(f"(.){combining}", rf"\\{accent}{{\1}}", plain)
    plain = _WORD.sub(r"_{\\mathrm{\1}\2}", plain)
    return plain.replace("∇", r"\nabla ").replace("Δ", r"\Delta ")


#: Characters of prose that LaTeX would take for commands, or does not know.
_PROSE = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\^{}",
    "~": r"$\sim$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "∇": r"$\nabla$",
    "⋅": r"$\cdot$",
    "·": r"$\cdot$",
    "√": r"$\surd$",
    "∛": r"$\sqrt[3]{\,}$",
    "∜": r"$\sqrt[4]{\,}$",
    "∑": r"$\sum$",
    "∫": r"$\int$",
    "ℯ": "e",
    "½": "1/2",
    "¼": "1/4",
    "∂": r"$\partial$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
}


def latex_words(text: str) -> str:
    r"""Return prose with letters of formulas in it as LaTeX takes it.

    Raises
    ------
    ValueError
        If it has a character that has no place in LaTeX: none is left out.

    Examples
    --------
    >>> print(latex_words("solve for ε & V₁, r̄ ≥ 0"))
    solve for $\epsilon$ \& V$_{1}$, $\bar{r}$ $\ge$ 0
    """
    plain = unicodedata.normalize("NFD", text)
    accent = rf"(.)([{''.join(_ACCENTS)}])"
    parts = re.split(accent, plain)
    words = []
    for place in range(0, len(parts), 3):
        words += [_in_prose(character) for character in parts[place]]
        if place + 2 < len(parts):
            words.append(rf"$\{_ACCENTS[parts[place + 2]]}{{{parts[place + 1]}}}$")
    return "".join(words)


def _in_prose(character: str) -> str:
    """One character of prose: as it is, escaped, or in mathematics."""
    if character in _PROSE:
        return _PROSE[character]
    if character.isascii():
        return character
    kind, _, base = unicodedata.decomposition(character).partition(" ")
    if kind in {"<sub>", "<super>"}:
        return f"${'_' if kind == '<sub>' else '^'}{{{chr(int(base, 16))}}}$"
    script, _, letter = unicodedata.name(character, "").partition(" LETTER ")
    if script in {"GREEK SMALL", "GREEK CAPITAL"} and letter.isalpha():
        letter = letter.lower() if script == "GREEK SMALL" else letter.title()
        return rf"$\{letter.replace('lamda', 'lambda').replace('Lamda', 'Lambda')}$"
    raise ValueError(f"{character!r} has no place in LaTeX")


def to_text(expression: sp.Basic, one_line: bool = False, width: int = WIDTH) -> str:
    """Return an expression as it is drawn in a terminal.

    What is wider than a line is cut into rows, with an empty line between them.

    Parameters
    ----------
    expression : sympy.Basic
        What is drawn.
    one_line : bool
        Whether it is to stand inside a sentence.
    width : int
        Columns of a line.

    Returns
    -------
    str

    Examples
    --------
    >>> from thermo_theory.symbols import R, T, V, p
    >>> to_text(sp.Eq(p * V, R * T))
    'V⋅p = R⋅T'
    >>> to_text(R**2 / sp.sqrt(2 * V * T), one_line=True)
    'R²⋅√(1/(2⋅T⋅V))'
    """
    shown = readable(expression)
    if one_line:
        return drawn(shown, one_line)
    lines = [line for part in rows(shown, width - len(_INDENT), _columns) for line in _drawn_within(part, width)]
    return f"\n\n{_INDENT}".join(line.replace("\n", f"\n{_INDENT * (place > 0)}") for place, line in enumerate(lines))


#: Before the rows that continue an equation.
_INDENT = "    "


def _drawn_within(row: sp.Basic, width: int) -> list[str]:
    """Draw a row without `CUT`, or write it on one line, and that on several, if the drawing is too wide."""
    drawing, cut = drawn(row), 2 * row.has(CUT)
    room = width - len(_INDENT) * bool(cut)
    if _columns(row) - cut > room and "\n" not in (line := drawn(row, one_line=True)):
        return wrap(line[cut:], width - len(_INDENT), break_long_words=False, break_on_hyphens=False)
    return ["\n".join(line[cut:] for line in drawing.split("\n"))]


@lru_cache(maxsize=4096)
def _columns(expression: sp.Basic) -> int:
    """How many columns an expression takes in a terminal."""
    return max(map(len, drawn(expression).split("\n")))


def wrapped(text: str, indent: str = "") -> str:
    """Break words into lines of a terminal."""
    return fill(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent} " if indent else "")
