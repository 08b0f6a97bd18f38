"""Formulas drawn in a terminal on several lines, or on one.

A drawing says one thing only to a reader who sees its characters alone: `drawn` avoids what can be taken for something
else (the degree of a root that looks like a factor, a factor with a sign, limits beside their sign).

>>> x, y = sp.symbols("x y", positive=True)
>>> print(drawn(sp.Eq(y, -sp.cbrt(x) / (x - 1) ** 2, evaluate=False)))
      -∛x
y = ────────
           2
    (x - 1)
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import pretty_use_unicode
from sympy.printing.pretty.stringpict import prettyForm, stringPict

from thermo_theory.engine.breaking import CUT
from thermo_theory.symbols import TEXT_NAMES

__all__ = ["bracketed", "drawn"]

#: Signs of roots by their degree.
_ROOTS = {2: "√", 3: "∛", 4: "∜"}


def _has_sign(factor: sp.Expr) -> bool:
    """Whether a factor, or what it divides by, would begin with a minus sign."""
    factor = factor.base if factor.is_Pow and factor.exp == -1 else factor
    return any(part.is_Number and part.is_negative for part in sp.Mul.make_args(factor))


def bracketed(product: sp.Mul) -> sp.Mul:
    """Keep factors with a sign in brackets, except a number in front: sympy writes x⋅-2."""
    first = product.args[0].is_Number
    parts = [
        sp.UnevaluatedExpr(part) if place >= first and _has_sign(part) else part
        for place, part in enumerate(product.args)
    ]
    return sp.Mul(*parts, evaluate=False) if tuple(parts) != product.args else product


class _Terminal(PrettyPrinter):
    """sympy's printer, except for what can be taken for something else in its drawings."""

    def _print_Symbol(self, symbol: sp.Symbol) -> Any:
        name = TEXT_NAMES.get(symbol.name)
        return prettyForm(name) if name else super()._print_Symbol(symbol)

    def _print_Add(self, total: sp.Add, order: str | None = None) -> Any:
        return super()._print_Add(total, "none" if CUT in total.args else order)

    def _print_Rational(self, number: sp.Rational) -> Any:
        binding = prettyForm.NEG if number < 0 else prettyForm.MUL if number.q > 1 else prettyForm.ATOM
        return prettyForm(str(number), binding=binding)

    def _bracketed(self, form: Any, weakest: int) -> Any:
        return prettyForm(*form.parens()) if form.binding > weakest else form

    def _print_UnevaluatedExpr(self, kept: sp.UnevaluatedExpr) -> Any:
        return self._bracketed(self._print(kept.args[0]), prettyForm.FUNC)

    def _print_Mul(self, product: sp.Mul) -> Any:
        return super()._print_Mul(bracketed(product))

    def _print_Abs(self, size: sp.Abs) -> Any:
        return prettyForm(*prettyForm(*self._print(size.args[0]).parens()).left("abs"))

    def _print_Pow(self, power: sp.Pow) -> Any:
        base, exponent = power.as_base_exp()
        if not (exponent.is_Rational and exponent.p == 1 and exponent.q in _ROOTS):
            return super()._print_Pow(power)
        inside = self._print(base)
        if not (base.is_Symbol or (base.is_Integer and base.is_nonnegative)):
            inside = prettyForm(*inside.parens())
        return prettyForm(*inside.left(_ROOTS[int(exponent.q)]), binding=prettyForm.POW)

    def _print_nth_root(self, base: sp.Expr, root: sp.Expr) -> Any:
        return self._print(base) ** self._print(1 / root)

    def _limited(self, sign: str, below: Any, above: Any, inside: Any) -> Any:
        """A sign with what stands below and above it, and what it is about."""
        form = prettyForm(*prettyForm(sign).below(below)) if below else prettyForm(sign)
        form = prettyForm(*form.above(above)) if above else form
        return prettyForm(*form.right(" ", inside))

    def _within(self, expression: sp.Expr) -> Any:
        form = self._print(expression)
        return prettyForm(*form.parens()) if form.binding >= prettyForm.ADD else form

    def _print_Sum(self, total: sp.Sum) -> Any:
        form = self._within(total.function)
        for index, low, high in total.limits:
            form = self._limited("∑", self._equated(index, low), self._print(high), form)
        form.binding = prettyForm.ADD
        return form

    def _print_Integral(self, integral: sp.Integral) -> Any:
        form = self._within(integral.function)
        for variable, *ends in integral.limits:
            form = prettyForm(*form.right(" d", self._print(variable)))
            low, high = map(self._print, ends) if ends else (None, None)
            form = self._limited("∫", low, high, form)
        form.binding = prettyForm.MUL
        return form

    def _print_Limit(self, limit: sp.Limit) -> Any:
        inside, variable, end, side = limit.args
        sides = {"+": "⁺", "-": "⁻"} if end is not sp.oo else {}
        below = stringPict.next(self._print(variable), "→", self._print(end), sides.get(str(side), ""))
        form = self._limited("lim", prettyForm(*below), None, self._within(inside))
        form.binding = prettyForm.ADD
        return form

    def _print_Subs(self, replaced: sp.Subs) -> Any:
        pairs = [self._equated(*pair) for pair in zip(replaced.variables, replaced.point, strict=True)]
        parts = [part for pair in pairs for part in (", ", pair)][1:]
        return prettyForm(*prettyForm(*stringPict.next(self._print(replaced.expr), " at ", *parts)).parens())

    def _equated(self, left: sp.Expr, right: sp.Expr) -> Any:
        return prettyForm(*stringPict.next(self._print(left), " = ", self._print(right)))


class _OneLine(_Terminal):
    """The same on one line: quotients with a slash, exponents as small digits or after ^."""

    one_line = True

    def _print_Mul(self, product: sp.Mul) -> Any:
        number, above, below = sp.S.One, [], []
        for factor in product.as_ordered_factors():
            base, exponent = factor.as_base_exp()
            if factor.is_Rational:
                number *= factor
            elif exponent.is_Rational and exponent < 0:
                below.append(sp.Pow(base, -exponent))
            else:
                above.append(factor)
        sign = "-" if number.p < 0 else ""
        form = self._factors(abs(number.p), above)
        if below or number.q > 1:
            under = self._factors(number.q, below)
            form = prettyForm(*form.right("/", self._bracketed(under, prettyForm.POW)))
        return prettyForm(*form.left(sign), binding=prettyForm.NEG if sign else prettyForm.MUL)

    def _factors(self, number: int, factors: list[sp.Expr]) -> Any:
        shown = [self._bracketed(self._print(factor), prettyForm.POW) for factor in factors]
        if number != 1 or not shown:
            shown.insert(0, prettyForm(str(number)))
        if len(shown) == 1:
            return shown[0]
        parts = [part for factor in shown for part in ("⋅", factor)][1:]
        return prettyForm(*stringPict.next(*parts), binding=prettyForm.MUL)

    def _print_Pow(self, power: sp.Pow) -> Any:
        base, exponent = power.as_base_exp()
        if exponent.could_extract_minus_sign():
            inverse = self._bracketed(self._print(sp.Pow(base, -exponent)), prettyForm.POW)
            return prettyForm(*inverse.left("1/"), binding=prettyForm.MUL)
        if exponent.is_Rational and exponent.p == 1 and exponent.q in _ROOTS:
            return super()._print_Pow(power)
        form = self._bracketed(self._print(base), prettyForm.FUNC)
        small = str(exponent).translate(_SMALL) if exponent.is_Integer else f"^({self._print(exponent)})"
        return prettyForm(*form.right(small), binding=prettyForm.POW)

    def _print_ExpBase(self, power: sp.exp) -> Any:
        return prettyForm(*prettyForm(*self._print(power.args[0]).parens()).left("ℯ^"), binding=prettyForm.POW)

    def _print_Derivative(self, slope: sp.Derivative) -> Any:
        (variable, order), *others = slope.variable_count
        if others or order != 1:
            return super()._print_Derivative(slope)
        function = self._bracketed(self._print(slope.expr), prettyForm.FUNC)
        return prettyForm(*function.left("d/d", self._print(variable), " "), binding=prettyForm.MUL)

    def _limited(self, sign: str, below: Any, above: Any, inside: Any) -> Any:
        """Limits in words."""
        limits = [below] if below and not above else [below, " to ", above] if below else []
        return prettyForm(*stringPict.next(sign, " ", inside, *([" from ", *limits] if limits else [])))


#: Digits of exponents.
_SMALL = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def drawn(expression: sp.Basic, one_line: bool = False) -> str:
    """Draw an expression with unicode characters, on as many lines as it needs or on one."""
    before = pretty_use_unicode(True)
    try:
        printer = (_OneLine if one_line else _Terminal)({"use_unicode": True, "wrap_line": False})
        return "\n".join(line.rstrip() for line in str(printer.doprint(expression)).split("\n"))
    finally:
        pretty_use_unicode(before)
