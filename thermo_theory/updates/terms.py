"""Parts of an update as they were written, and what each is: an equation, a number, an exponent of a scaling."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory.symbols.vectors import Clip, Dot, Hadamard, MatrixSign, Powers, Sign, is_tensor, ones

__all__ = [
    "COMPUTED",
    "FUNCTIONS",
    "INFINITE",
    "WRITTEN",
    "ZERO",
    "Scaling",
    "Term",
    "UpdateError",
    "in_limit",
    "polar",
    "term_of",
]

#: How tightly operations bind.
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}

#: What 0 and infinity are called in a limit.
ZERO, INFINITE = "0", "oo"


class UpdateError(ValueError):
    """A text that is no update, or an update that has no scaling symmetry."""


@dataclass(frozen=True)
class Term:
    """A part of an update as it was written: a name, a number, an operation or a function of parts."""

    op: str
    args: tuple[Any, ...] = ()

    def __neg__(self) -> Term:
        return Term("-", (term_of(0), self))

    def __pos__(self) -> Term:
        return self

    def __str__(self) -> str:
        if not self.args:
            return self.op
        if self.op not in _BINDING:
            return f"{self.op}({', '.join(map(str, self.args))})"
        left, right = self.args
        first, binding = "" if left == Term(ZERO) and self.op == "-" else left.bracketed(self.op), _BINDING[self.op]
        space = " " * (binding == 1 and first != "")
        # (a - b) - c is a - b - c, a - (b - c) is not; nor is -(a*b) read as (-a)*b is, -a*b.
        loose = right.args and _BINDING.get(right.op) in (binding, 2 if first == "" else binding)
        return f"{first}{space}{self.op}{space}{f'({right})' if loose else right.bracketed(self.op)}"

    def bracketed(self, inside: str) -> str:
        """Write it as a part of an operation; x/(1/2) is not x/1/2, nor is x**(1/2)."""
        loose = _BINDING.get(self.op, 9) < _BINDING[inside] + (inside == "**") if self.args else not self.op.isalnum()
        return f"({self})" if loose and not self.is_name else str(self)

    @property
    def is_name(self) -> bool:
        """Whether it is a name, not a number."""
        return not self.args and self.op.isidentifier()

    def leaves(self) -> Iterator[Term]:
        """The names and numbers that stand in it."""
        if not self.args:
            yield self
        for part in self.args:
            yield from part.leaves()

    def names(self) -> Iterator[str]:
        """Names that stand in it."""
        return (leaf.op for leaf in self.leaves() if leaf.is_name)

    def compiled(self) -> Callable[[Mapping[str, Any]], Any]:
        """A function of what names and numbers mean that returns the value; `msign` asks for the "shape of w"."""
        if not self.args:
            return operator.itemgetter(self.op)
        (first, *others), function = [part.compiled() for part in self.args], COMPUTED[self.op]
        if self.op == "msign":
            return lambda meaning: function(first(meaning), meaning["shape of w"])
        if not others:
            return lambda meaning: function(first(meaning))
        (second,) = others
        return lambda meaning: function(first(meaning), second(meaning))


def _joined(op: str, turned: bool) -> Callable[[Term, Any], Term]:
    def made(self: Term, other: Any) -> Term:
        if not isinstance(other, Term | sp.Expr):
            return NotImplemented
        parts = (self, term_of(other))
        return Term(op, parts[::-1] if turned else parts)

    return made


for _name, _op in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}.items():
    setattr(Term, f"__{_name}__", _joined(_op, False))
    setattr(Term, f"__r{_name}__", _joined(_op, True))


def term_of(value: Any) -> Term:
    """A number as it is written; roots of fractions are sums, products and powers."""
    if isinstance(value, Term):
        return value
    if isinstance(value, sp.Expr) and value.args:
        op = {sp.Add: "+", sp.Mul: "*"}.get(value.func, "**")
        return reduce(lambda one, other: Term(op, (one, other)), map(term_of, value.args))
    return Term(str(sp.Rational(value)))


def _function(name: str, count: int) -> Callable[..., Term]:
    def call(*parts: Any) -> Term:
        if len(parts) != count:
            raise TypeError(f"{name} takes {count} argument{'s' * (count > 1)}, got {len(parts)}")
        return Term(name, tuple(map(term_of, parts)))

    return call


FUNCTIONS = {
    **{name: _function(name, 1) for name in ("sign", "norm", "msign", "sqrt", "abs")},
    **{name: _function(name, 2) for name in ("dot", "min", "max", "clip")},
}

# As equations ------------------------------------------------------------------------------------


def _times(a: Any, b: Any) -> Any:
    return Hadamard(a, b) if is_tensor(a) and is_tensor(b) else a * b


def _plus(a: Any, b: Any) -> Any:
    """The sum; a number is added to every coordinate of a vector."""
    if is_tensor(a) != is_tensor(b):
        a, b = (part if is_tensor(part) or part == 0 else part * ones for part in (a, b))
    return a + b


def _power(base: Any, exponent: Any) -> Any:
    if is_tensor(exponent):
        raise UpdateError("an exponent must be a number")
    return Powers(base, exponent) if is_tensor(base) else base**exponent


def _scalar(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def applied(*parts: Any) -> Any:
        if any(map(is_tensor, parts)):
            raise UpdateError(f"{name} takes numbers, not vectors")
        return function(*parts)

    return applied


def _of_vector(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def applied(first: Any, *others: Any) -> Any:
        if not is_tensor(first):
            raise UpdateError(f"{name} takes a vector")
        return function(first, *others)

    return applied


WRITTEN: dict[str, Callable[..., Any]] = {
    "+": _plus,
    "-": lambda a, b: _plus(a, -b),
    "*": _times,
    "/": lambda a, b: _times(a, _power(b, -1)),
    "**": _power,
    "sign": lambda x: Sign(x) if is_tensor(x) else sp.sign(x),
    "msign": _of_vector("msign", MatrixSign),
    "norm": _of_vector("norm", lambda x: sp.sqrt(sp.expand(Dot(x, x)))),
    "dot": _of_vector("dot", Dot),
    "sqrt": lambda x: _power(x, sp.Rational(1, 2)),
    "abs": lambda x: Hadamard(x, Sign(x)) if is_tensor(x) else sp.Abs(x),
    "clip": _of_vector("clip", Clip),
    "min": _scalar("min", sp.Min),
    "max": _scalar("max", sp.Max),
}

# With numbers ------------------------------------------------------------------------------------


def polar(x: Any, shape: tuple[int, ...]) -> Any:
    """The polar factor: of decimals by the square root of the Gram matrix, or Newton and Schulz's iteration."""
    matrix = np.reshape(x, shape)
    if matrix.dtype != object:
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        return np.reshape(left @ right, np.shape(x))
    matrix = matrix if shape[0] <= shape[1] else matrix.T
    if len(matrix) == 2:  # of two rows the root has a closed form, and so has its inverse
        (a, b), (_, c) = matrix @ matrix.T
        root = (a * c - b * b).sqrt()
        total = (a + c + 2 * root).sqrt()
        adjoint = np.array([[c + root, -b], [-b, a + root]])
        factor = adjoint @ matrix * (total / ((a + root) * (c + root) - b * b))
        return (factor if shape[0] <= shape[1] else factor.T).reshape(np.shape(x))
    factor, change = matrix / (matrix * matrix).sum().sqrt(), 1.0
    while change > 1e-24:  # its error is squared once more
        new = factor * 3 / 2 - factor @ factor.T @ factor / 2
        factor, change = new, float(np.abs(new - factor).max())
    return (factor if shape[0] <= shape[1] else factor.T).reshape(np.shape(x))


def _root(x: Any) -> Any:
    return x.sqrt() if hasattr(x, "sqrt") else np.sqrt(x)


def _signs(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype == object:
        return np.array([_signs(one) for one in x])
    return np.sign(x) if isinstance(x, np.ndarray) else type(x)((x > 0) - (x < 0))


COMPUTED: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "sign": _signs,
    "msign": polar,
    "norm": lambda x: _root((x * x).sum()),
    "dot": lambda a, b: (a * b).sum(),
    "sqrt": _root,
    "abs": abs,
    "clip": lambda x, bound: np.minimum(np.maximum(x, -bound), bound),
    "min": min,
    "max": max,
}

# Exponents ---------------------------------------------------------------------------------------


class Scaling:
    """Exponents of everything in an update under a change of scale, and the conditions that tie them together."""

    def __init__(self, known: Mapping[str, sp.Expr]) -> None:
        self.known = known
        self.conditions: list[tuple[sp.Expr, str]] = []

    def equal(self, one: sp.Expr, other: sp.Expr, where: str) -> None:
        """Require that two exponents are equal."""
        self.conditions.append((sp.expand(one - other), where))

    def of(self, term: Term) -> sp.Expr:
        """How often the factor of the change of scale stands in a term."""
        if not term.args:
            return self.known.get(term.op, sp.S.Zero)
        if term.op in ("+", "-", "min", "max", "clip"):
            parts = [self.of(part) for part in term.args if part.op != ZERO] or [sp.S.Zero]
            if len(parts) == 2:
                self.equal(parts[0], parts[1], f"{term.args[0]} and {term.args[1]}, in {term}")
            return parts[0]
        if term.op == "**":
            base, exponent = term.args
            self.equal(self.of(exponent), sp.S.Zero, f"the exponent {exponent}")
            if not exponent.args and not exponent.is_name:
                return self.of(base) * sp.Rational(exponent.op)
            self.equal(self.of(base), sp.S.Zero, f"{base}, to the power {exponent}")
            return sp.S.Zero
        parts = [self.of(part) for part in term.args]
        factors = {"*": (1, 1), "/": (1, -1), "dot": (1, 1), "norm": (1,), "abs": (1,), "sqrt": (sp.Rational(1, 2),)}
        return sp.Add(*(a * b for a, b in zip(parts, factors.get(term.op, (0,)), strict=True)))


def in_limit(term: Term) -> Term | None:
    """A term in which one part may be 0 or infinite, simplified; None if it is neither finite nor known."""
    ops = [part.op for part in term.args]
    zero, infinite = Term(ZERO), Term(INFINITE)
    other = next((part for part in term.args if part.op not in (ZERO, INFINITE)), None)
    if ZERO not in ops and INFINITE not in ops:
        return term
    if (
        (term.op == "min" and INFINITE in ops)
        or (term.op == "clip" and ops[1] == INFINITE)
        or (term.op == "max" and ZERO in ops)
    ):
        return other
    if term.op in ("+", "-") and INFINITE not in ops:
        return other if ops[1] == ZERO else term if term.op == "-" else other
    if term.op == "*":
        return None if ZERO in ops and INFINITE in ops else zero if ZERO in ops else infinite
    if term.op == "/":
        if ops[0] == ops[1]:
            return None
        return zero if ops[0] == ZERO or ops[1] == INFINITE else infinite
    return zero if ops[0] == ZERO and term.op in ("sqrt", "abs", "sign") else None
