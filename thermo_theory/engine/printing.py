"""How expressions are shown: roots gathered, symbols under the names that readers know."""

from __future__ import annotations

import re
import unicodedata
from math import lcm

import sympy as sp

from thermo_theory.symbols import latex_names

__all__ = ["latex_words", "readable", "to_latex", "to_text"]


def readable(expression: sp.Basic) -> sp.Basic:
    r"""Gather the roots of a product under one radical; for reading only, sympy would pull them apart again.

    >>> x, y = sp.symbols("x y", positive=True)
    >>> print(sp.latex(readable(2 ** sp.Rational(3, 4) * x ** sp.Rational(1, 4) / (2 * y ** sp.Rational(1, 4)))))
    \sqrt[4]{\frac{x}{2 y}}
    """
    if isinstance(expression, sp.Mul) and _roots(expression):
        return _gathered(expression)
    if not expression.args or isinstance(expression, sp.UnevaluatedExpr):
        return expression
    parts = [readable(part) for part in expression.args]
    if isinstance(expression, sp.core.relational.Relational | sp.Add | sp.Mul):
        return expression.func(*parts, evaluate=False)
    return expression if list(expression.args) == parts else expression.func(*parts)


def _roots(product: sp.Mul) -> list[sp.Pow]:
    """Factors of a product that are fractional powers of something that is not a number."""
    powers = [factor for factor in product.args if isinstance(factor, sp.Pow) and factor.exp.is_Rational]
    return [power for power in powers if not power.exp.is_integer and not power.base.is_number]


def _gathered(product: sp.Mul) -> sp.Expr:
    numbers = [factor for factor in product.args if factor.is_number]
    degree = lcm(*[int(power.exp.q) for power in _roots(product)])
    number = sp.nsimplify(sp.Mul(*numbers) ** degree)
    if not number.is_Rational or number < 0:
        return product
    inside = [readable(power.base) ** (power.exp * degree) for power in _roots(product)]
    outside = [factor for factor in product.args if factor not in numbers and factor not in _roots(product)]
    root = sp.Pow(sp.UnevaluatedExpr(number * sp.Mul(*inside)), sp.Rational(1, degree))
    return sp.Mul(*outside, root, evaluate=False) if outside else root


def to_latex(expression: sp.Basic) -> str:
    r"""Return an expression in LaTeX.

    >>> from thermo_theory.symbols import eta_eff
    >>> print(to_latex(eta_eff))
    \eta_{\mathrm{eff}}
    """
    return _ascii(str(sp.latex(readable(expression), symbol_names=latex_names(expression))))


#: Combining characters and the accents of LaTeX's mathematics.
_ACCENTS = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde", "\u0307": "dot"}


def _ascii(text: str) -> str:
    """Write accented letters as LaTeX does."""
    plain = unicodedata.normalize("NFD", text)
    for combining, accent in _ACCENTS.items():
        plain = re.sub(f"(.){combining}", rf"\\{accent}{{\1}}", plain)
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


def to_text(expression: sp.Basic) -> str:
    """Return an expression as it is drawn in a terminal.

    >>> from thermo_theory.symbols import R, T, V, p
    >>> to_text(sp.Eq(p * V, R * T))
    'V⋅p = R⋅T'
    """
    return str(sp.pretty(readable(expression), use_unicode=True, wrap_line=False))
