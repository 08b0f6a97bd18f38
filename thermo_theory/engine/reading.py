"""Read a formula that a user typed. Nothing of the text is ever executed: it is parsed, and checked node by node.

>>> import sympy as sp
>>> c = sp.Symbol("c", real=True)
>>> read_expression("1 - c^2 + c/20", {"c": c}, ELEMENTARY)
-c**2 + c/20 + 1
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

__all__ = ["ELEMENTARY", "read_expression"]

#: The functions that every grammar may offer.
ELEMENTARY: Mapping[str, Callable[..., sp.Expr]] = {
    "abs": sp.Abs,
    **{one.__name__: one for one in (sp.exp, sp.log, sp.sqrt, sp.sin, sp.cos, sp.tan)},
    **{one.__name__: one for one in (sp.sinh, sp.cosh, sp.tanh, sp.atan, sp.erf)},
}

#: The longest text, in characters; the largest exponent; the largest power of numbers, in bits.
LONGEST, EXPONENT, BITS = 1000, 100, 4096

#: Names that nobody gives to a variable.
NO_NUMBERS = frozenset({"nan", "inf", "infinity", "oo", "zoo"})

_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def read_expression(
    text: str,
    symbols: Mapping[str, sp.Basic] | None = None,
    functions: Mapping[str, Callable[..., Any]] = ELEMENTARY,
) -> sp.Expr:
    """Read an expression by a small grammar: numbers, names, ``+ - * / ** ^``, parentheses, calls of some functions.

    Decimals are read as exact fractions, and ``^`` is a power.

    Parameters
    ----------
    text : str
        One line of at most 1,000 characters.
    symbols : mapping of str to sympy objects, optional
        What each name stands for. By default ``pi`` is the number, and any other name a real symbol.
    functions : mapping of str to callables
        The functions that may be called, on sympy objects.

    Returns
    -------
    sympy.Expr
        What the text says.

    Raises
    ------
    ValueError
        If the text cannot be read: one line that names the part and its place (the first character is 1).

    Examples
    --------
    >>> read_expression("2^3*x", functions={})
    8*x
    >>> read_expression("x + wobble(x)")
    Traceback (most recent call last):
    ...
    ValueError: cannot read 'x + wobble(x)': unknown function 'wobble' at character 5; known: abs, atan, cos, ...
    """
    if not isinstance(text, str):
        raise ValueError(f"expected a text, got {text!r}"[:200])
    if len(text) > LONGEST:
        raise ValueError(f"cannot read {text[:30]!r}...: {len(text)} characters; at most {LONGEST} are read")
    return _Reader(text, symbols, functions).read()


class _Reader:
    """One text, and what its names mean; `at` is the part that is being read."""

    def __init__(self, text: str, symbols: Mapping[str, Any] | None, functions: Mapping[str, Any]) -> None:
        self.text, self.symbols, self.functions = text, symbols, functions
        self.start = len(text) - len(text.lstrip())
        # In Python ^ binds less tightly than +.
        self.python = text.strip().replace("^", "**")

    def read(self) -> sp.Expr:
        if not self.python:
            raise self.refused("it is empty", None)
        for mark in "#\n":
            if mark in self.python:
                raise self.refused(f"unexpected {mark!r}", self.python.index(mark))
        try:
            return self.value(ast.parse(self.python, mode="eval").body)
        except SyntaxError as error:
            raise self.refused(error.msg, (error.offset or 1) - 1) from None
        except (RecursionError, MemoryError):
            raise self.refused("too many nested parts", None) from None

    def refused(self, what: str, place: int | ast.expr | None, hint: str = "") -> ValueError:
        """Return the error that says what is wrong, where, and what would be right."""
        if isinstance(place, ast.expr):  # its place is counted in bytes
            place = len(self.python.encode()[: place.col_offset].decode())
        if place is not None:
            # Each ** before it may have been one character; the text has spaces before it begins.
            before, seen = 0, self.start
            while before < min(place, len(self.python)):
                before += 2 if self.text[seen : seen + 1] == "^" else 1
                seen += 1
            what += f" at character {seen + 1}"
        return ValueError(f"cannot read {self.text[:100]!r}: {what}" + f"; {hint}" * bool(hint))

    def value(self, node: ast.expr) -> Any:
        """Return what a node stands for."""
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                result = self.number(number, node)
            case ast.Name():
                result = self.name(node)
            case ast.UnaryOp() if type(node.op) in _UNARY:
                result = _UNARY[type(node.op)](self.value(node.operand))
            case ast.BinOp() if type(node.op) in _BINARY:
                left, right = self.value(node.left), self.value(node.right)
                if isinstance(node.op, ast.Pow):
                    self.check_power(left, right, node)
                result = self.applied(_BINARY[type(node.op)], (left, right), node)
            case ast.Call(func=ast.Name(id=name)) if not node.keywords:
                result = self.called(node, name)
            case _:
                part = ast.unparse(node)[:40]
                raise self.refused(f"{part!r} is not allowed", node, "allowed: numbers, names, + - * / ** ^ and calls")
        if isinstance(result, sp.Basic) and result.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            raise self.refused(f"{ast.unparse(node)[:40]!r} is not a finite number", node)
        return result

    def number(self, number: float, node: ast.expr) -> sp.Expr:
        if number == float("inf"):
            raise self.refused("a number too large", node)
        # The shortest decimal that is this double: what was typed, as a fraction.
        return sp.Rational(repr(number))

    def name(self, node: ast.Name) -> Any:
        if self.symbols is not None and node.id in self.symbols:
            return self.symbols[node.id]
        if node.id in self.functions:
            raise self.refused(f"{node.id!r} is a function", node, f"write {node.id}(...)")
        if self.symbols is None:
            if node.id.lower() in NO_NUMBERS:
                raise self.refused(f"{node.id!r} is not a finite number", node)
            return sp.pi if node.id == "pi" else sp.Symbol(node.id, real=True)
        raise self.refused(f"unknown name {node.id!r}", node, f"known: {', '.join(self.symbols)}")

    def called(self, node: ast.Call, name: str) -> Any:
        if name not in self.functions:
            if self.symbols is not None and name in self.symbols:
                raise self.refused(f"{name!r} is no function", node, f"a product is written {name}*(...)")
            raise self.refused(f"unknown function {name!r}", node, f"known: {', '.join(sorted(self.functions))}")
        return self.applied(self.functions[name], tuple(map(self.value, node.args)), node)

    def applied(self, function: Callable[..., Any], values: tuple[Any, ...], node: ast.expr) -> Any:
        try:
            return function(*values)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            said = " ".join(str(error).split())[:100]
            raise self.refused(f"{ast.unparse(node)[:40]!r} ({said})", node) from None

    def check_power(self, base: Any, exponent: Any, node: ast.expr) -> None:
        """Refuse powers that would take forever to compute.

        Raises
        ------
        ValueError
            If a number is raised to a large power.
        """
        if not getattr(exponent, "is_Rational", False):
            return
        # The exponents of (x**a)**b multiply.
        whole = abs(exponent) * abs(getattr(base, "exp", 1) if getattr(base, "is_Pow", False) else 1)
        part = repr(ast.unparse(node)[:40])
        if whole.is_Rational and whole > EXPONENT:
            raise self.refused(f"{part}: too large an exponent", node, f"at most {EXPONENT}")
        if getattr(base, "is_Rational", False):
            bits = max(int(base.p).bit_length(), int(base.q).bit_length())
            if bits * whole > BITS:
                raise self.refused(f"{part}: too large a number", node, f"at most {BITS} bits")
