"""Equations as MathML, which browsers set by themselves."""

from __future__ import annotations

import re
from typing import Any

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

__all__ = ["to_mathml"]

# What is printed between, before and after the arguments of the functions of `thermo_theory.symbols.vectors`.
_WRITTEN: dict[str, tuple[str, str, str]] = {
    "Apply": ("", "", ""),
    "Change": ("d", "", ""),
    "Div": ("div ", "", ""),
    "Dot": ("", " · ", ""),
    "EntropyOf": ("S[", ", ", "]"),
    "EstimateOf": ("Ŝ[", ", ", "]"),
    "Expectation": ("E[", ", ", "]"),
    "Generator": ("E[d(", "", ")]/dt"),
    "NoiseMean": ("mean[", "", "]"),
    "NoiseVariance": ("var[", "", "]"),
    "SkewProduct": ("[", ", ", "]"),
    "SurfaceIntegral": ("∫ ", "", " dA"),
    "SymProduct": ("{", ", ", "}"),
    "Tr": ("tr ", "", ""),
}

# Symbols whose names are not what a reader knows them by.
_SYMBOLS = {
    "Hess": "H",
    "Z_c": "Z",
    "ell": "ℓ",
    "lap_L": "ΔL",
    "tr_Sigma": "tr Σ",
    "var_V": "Var V",
}


class _Printer(MathMLPresentationPrinter):
    """Sympy's printer, for vectors and expectations too; an entropy S(eta, lambda) keeps its capital."""

    def _print(self, expr: Any, **kwargs: Any) -> Any:
        # Before sympy looks for a method by the name of the class: its own Dot is another one.
        written = _WRITTEN.get(type(expr).__name__)
        if written is not None and isinstance(expr, sp.Function):
            return self._row(*written, expr.args)
        if isinstance(expr, sp.Symbol) and expr.name in _SYMBOLS:
            return self._text("mi", _SYMBOLS[expr.name])
        return super()._print(expr, **kwargs)

    def _row(self, before: str, between: str, after: str, arguments: tuple[sp.Basic, ...]) -> Any:
        row = self.dom.createElement("mrow")
        if before:
            row.appendChild(self._text("mo", before))
        for i, argument in enumerate(arguments):
            if i and between:
                row.appendChild(self._text("mo", between))
            row.appendChild(self._print(argument))
        if after:
            row.appendChild(self._text("mo", after))
        return row

    def _text(self, tag: str, text: str) -> Any:
        node = self.dom.createElement(tag)
        node.appendChild(self.dom.createTextNode(text))
        return node

    def _print_Inverse(self, expr: Any) -> Any:
        power = self.dom.createElement("msup")
        power.appendChild(self._print(expr.args[0]))
        power.appendChild(self._text("mn", "−1"))
        return power

    def _print_AppliedUndef(self, function: sp.Function) -> object:
        row = self._print_Function(function)
        row.replaceChild(self._print(sp.Symbol(function.func.__name__)), row.firstChild)
        return row


def to_mathml(equation: sp.Basic) -> str:
    """Write an equation as a MathML element, which browsers set by themselves.

    Parameters
    ----------
    equation : sympy.Basic

    Returns
    -------
    str

    Examples
    --------
    >>> to_mathml(sp.Eq(sp.Symbol("p") * sp.Symbol("V"), sp.Symbol("R") * sp.Symbol("T")))[:24]
    '<math display="block"><m'
    """
    printer = _Printer({"mul_symbol": "None"})
    body = str(printer._print(equation).toxml())
    body = re.sub(r"<mo>&InvisibleTimes;</mo>", '<mspace width="0.15em"></mspace>', body)
    body = body.replace("<mo>-</mo>", "<mo>−</mo>")
    return f'<math display="block">{body}</math>'
