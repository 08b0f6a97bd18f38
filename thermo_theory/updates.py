"""The update of an optimiser, read from a text: its scaling, its equations, and one step with numbers.

A text has one statement for each thing that a step changes: ``v = beta*v + g; w = w - eta*(sign(v) + lam*w)``. ``w`` is
the vector of weights and ``g`` the gradient of the minibatch at the weights before the step; what is used before it is
assigned is a buffer, everything else is a number. Functions of vectors act coordinate by coordinate, but for ``norm``
(the Euclidean norm), ``dot`` and ``msign`` (the polar factor ``U V^T`` of a vector written as a matrix ``U S V^T``).

>>> update = Update.read("v = beta*v + g; w = w - eta*(v/norm(v) + lam*w)")
>>> update.buffers, update.parameters
(('v',), ('beta', 'eta', 'lam'))
>>> update.scaling[lam]  # the direction is of degree 0 in the gradient: lambda -> lambda/c
lambda/c
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory.engine.reading import read_expression
from thermo_theory.symbols import (
    beta,
    beta1,
    beta2,
    buffer,
    c,
    eta,
    eta_eff,
    first,
    g,
    glossary,
    lam,
    r0,
    second,
    small,
    w,
)
from thermo_theory.symbols.vectors import Clip, Dot, Hadamard, MatrixSign, Powers, Sign, Vec, is_tensor, ones

__all__ = ["RATES", "Term", "Update", "UpdateError"]

#: What a scaling may change: the rates, and the norm of a sphere; other numbers stay as they are.
RATES = {"eta": eta, "eta_eff": eta_eff, "lam": lam, "r0": r0}

#: Other names of the rates.
_OTHER_NAMES = {"lr": "eta", "lambda": "lam", "weight_decay": "lam", "wd": "lam"}

#: Symbols of names that the glossary knows; a name that is not here has a symbol of its own.
_SYMBOLS = RATES | {"beta": beta, "beta1": beta1, "beta2": beta2, "eps": small}
_BUFFERS = {"v": buffer, "m": first, "q": second}

#: How tightly operations bind.
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}

#: What 0 and infinity are called in a limit.
_ZERO, _INFINITE = "0", "oo"


def _letter(name: str) -> sp.Symbol:
    """The symbol of a number: another than the glossary's, whose units and meanings (k is a degree) are not its own."""
    symbol = sp.Symbol(name, positive=True)
    return sp.Symbol(f"{name}_own", positive=True) if symbol in glossary and name not in ("mu", "scale") else symbol


class UpdateError(ValueError):
    """A text that is no update, or an update that has no scaling symmetry."""


@dataclass(frozen=True)
class Term:
    """A part of an update as it was written: a name, a number, an operation or a function of parts."""

    op: str
    args: tuple[Any, ...] = ()

    def __neg__(self) -> Term:
        return Term("-", (_term(0), self))

    def __pos__(self) -> Term:
        return self

    def __str__(self) -> str:
        if not self.args:
            return self.op
        if self.op not in _BINDING:
            return f"{self.op}({', '.join(map(str, self.args))})"
        left, right = self.args
        first, binding = "" if left == Term(_ZERO) and self.op == "-" else left.bracketed(self.op), _BINDING[self.op]
        space = " " * (binding == 1 and first != "")
        # (a - b) - c is a - b - c, a - (b - c) is not.
        loose = right.args and _BINDING.get(right.op) == binding and (self.op in ("-", "/") or self.op != right.op)
        return f"{first}{space}{self.op}{space}{f'({right})' if loose else right.bracketed(self.op)}"

    def bracketed(self, inside: str) -> str:
        """Write it as a part of an operation."""
        return (
            f"({self})" if self.args and _BINDING.get(self.op, 9) < _BINDING[inside] + (inside == "**") else str(self)
        )

    def names(self) -> Iterator[str]:
        """Names that stand in it."""
        if not self.args and self.op[0].isalpha():
            yield self.op
        for part in self.args:
            yield from part.names()


def _joined(op: str, turned: bool) -> Callable[[Term, Any], Term]:
    def made(self: Term, other: Any) -> Term:
        if not isinstance(other, Term | sp.Rational):
            return NotImplemented
        parts = (self, _term(other))
        return Term(op, parts[::-1] if turned else parts)

    return made


for _name, _op in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}.items():
    setattr(Term, f"__{_name}__", _joined(_op, False))
    setattr(Term, f"__r{_name}__", _joined(_op, True))


def _term(value: Any) -> Term:
    return value if isinstance(value, Term) else Term(str(sp.Rational(value)))


def _function(name: str, count: int) -> Callable[..., Term]:
    def call(*parts: Any) -> Term:
        if len(parts) != count:
            raise TypeError(f"{name} takes {count} argument{'s' * (count > 1)}, got {len(parts)}")
        return Term(name, tuple(map(_term, parts)))

    return call


_FUNCTIONS = {
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


_WRITTEN: dict[str, Callable[..., Any]] = {
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


def _polar(x: Any, shape: tuple[int, ...]) -> Any:
    """The polar factor, of decimals by Newton and Schulz's iteration."""
    matrix = np.reshape(x, shape)
    if matrix.dtype != object:
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        return np.reshape(left @ right, np.shape(x))
    matrix = matrix if shape[0] <= shape[1] else matrix.T
    factor, change = matrix / (matrix * matrix).sum().sqrt(), 1.0
    while change > 1e-24:  # its error is squared once more
        new = factor * 3 / 2 - factor @ factor.T @ factor / 2
        factor, change = new, float(np.abs(new - factor).max())
    return (factor if shape[0] <= shape[1] else factor.T).reshape(np.shape(x))


def _root(x: Any) -> Any:
    return x.sqrt() if hasattr(x, "sqrt") else np.sqrt(x)


def _signs(x: Any) -> Any:
    return np.sign(x) if isinstance(x, np.ndarray) and x.dtype != object else (x > 0) * 1 - (x < 0) * 1


_COMPUTED: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "sign": _signs,
    "norm": lambda x: _root((x * x).sum()),
    "dot": lambda a, b: (a * b).sum(),
    "sqrt": _root,
    "abs": abs,
    "clip": lambda x, bound: np.minimum(np.maximum(x, -bound), bound),
    "min": min,
    "max": max,
}

# Exponents ---------------------------------------------------------------------------------------


class _Scaling:
    """Exponents of everything in an update under a change of scale, and the conditions that tie them together."""

    def __init__(self, known: Mapping[str, sp.Expr]) -> None:
        self.known = known
        self.conditions: list[tuple[sp.Expr, str]] = []

    def equal(self, one: sp.Expr, other: sp.Expr, where: str) -> None:
        self.conditions.append((sp.expand(one - other), where))

    def of(self, term: Term) -> sp.Expr:
        """How often the factor of the change of scale stands in a term."""
        if not term.args:
            return self.known.get(term.op, sp.S.Zero)
        if term.op in ("+", "-", "min", "max", "clip"):
            parts = [self.of(part) for part in term.args if part.op != _ZERO] or [sp.S.Zero]
            if len(parts) == 2:
                self.equal(parts[0], parts[1], f"{term.args[0]} and {term.args[1]}, in {term}")
            return parts[0]
        if term.op == "**":
            base, exponent = term.args
            self.equal(self.of(exponent), sp.S.Zero, f"the exponent {exponent}")
            if not exponent.args and not exponent.op[0].isalpha():
                return self.of(base) * sp.Rational(exponent.op)
            self.equal(self.of(base), sp.S.Zero, f"{base}, to the power {exponent}")
            return sp.S.Zero
        parts = [self.of(part) for part in term.args]
        factors = {"*": (1, 1), "/": (1, -1), "dot": (1, 1), "norm": (1,), "abs": (1,), "sqrt": (sp.Rational(1, 2),)}
        return sp.Add(*(a * b for a, b in zip(parts, factors.get(term.op, (0,)), strict=True)))


@dataclass(frozen=True)
class Update:
    """One step of an optimiser.

    Attributes
    ----------
    statements : tuple of (str, Term)
        What is assigned, one after the other.
    """

    statements: tuple[tuple[str, Term], ...]

    @classmethod
    @cache
    def read(cls, text: str) -> Update:
        """Read an update.

        Parameters
        ----------
        text : str
            Statements ``name = expression``, separated by semicolons or new lines. Nothing of it is executed.

        Raises
        ------
        UpdateError
            If it cannot be read, or does not say how the weights ``w`` move by the gradient ``g``: one line that names
            the part.
        """
        text = re.sub(r"\blambda\b", "lam", text)
        pieces = [piece.strip() for piece in re.split(r"[;\n]", text) if piece.strip()]
        statements: list[tuple[str, str]] = []
        for piece in pieces:
            name, mark, right = (part.strip() for part in piece.partition("="))
            if not mark or not name.isidentifier() or right.startswith("="):
                raise UpdateError(f"cannot read {piece!r}: a statement is written name = expression")
            if name in _FUNCTIONS or name in RATES or name in _OTHER_NAMES or name == "g":
                raise UpdateError(f"cannot read {piece!r}: {name} is not for a step to change")
            statements.append((name, right))
        words = {word for _, right in statements for word in re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", right)}
        symbols = {word: Term(_OTHER_NAMES.get(word, word)) for word in words - set(_FUNCTIONS) | {"w", "g"}}
        try:
            read = tuple((name, _term(read_expression(right, symbols, _FUNCTIONS))) for name, right in statements)
        except ValueError as error:
            raise UpdateError(str(error)) from None
        return cls(read)._checked(text)

    def _checked(self, text: str) -> Update:
        moved = {name for name, _ in self.statements}
        if "w" not in moved:
            raise UpdateError(f"{text!r} does not say how the weights move: it needs a statement w = ...")
        if "g" not in {name for _, term in self.statements for name in term.names()}:
            raise UpdateError(f"{text!r} does not use the gradient g of the minibatch")
        meaning: dict[str, Any] = dict(self.symbols)
        for name, term in self.statements:
            try:
                meaning[name] = self._written(term, meaning)
            except (ValueError, TypeError) as error:
                raise UpdateError(f"cannot read {name} = {term}: {error}") from None
            if name == "w" and not is_tensor(meaning["w"]):
                raise UpdateError(f"w = {term} is a number, and the weights are a vector")
        return self

    def __str__(self) -> str:
        return "; ".join(f"{name} = {term}" for name, term in self.statements)

    # What stands in it ---------------------------------------------------------------------------

    @cached_property
    def buffers(self) -> tuple[str, ...]:
        """What a step remembers beside the weights: used before it is assigned."""
        assigned, found = set[str](), dict[str, None]()
        changed = {name for name, _ in self.statements}
        for name, term in self.statements:
            found |= dict.fromkeys(one for one in term.names() if one in changed - assigned - {"w"})
            assigned.add(name)
        return tuple(found)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Numbers that a step takes, in alphabetical order."""
        names = {name for _, term in self.statements for name in term.names()}
        return tuple(sorted(names - {name for name, _ in self.statements} - {"w", "g"}))

    @property
    def held(self) -> tuple[sp.Symbol, ...]:
        """The rates: a learning rate, and weight decay or the norm of a sphere."""
        return tuple(symbol for name, symbol in RATES.items() if name in self.parameters)

    @property
    def matrices(self) -> bool:
        """Whether the weights are a matrix to it."""
        return any("msign(" in str(term) for _, term in self.statements)

    @cached_property
    def vectors(self) -> frozenset[str]:
        """Names of vectors; a buffer is one if what it is assigned is."""
        known = {"w", "g"}
        while True:
            meaning = {name: Vec(name) if name in known else sp.Symbol(name) for name in self._names}
            new = set(known)
            for name, term in self.statements:
                meaning[name] = self._written(term, meaning)
                new |= {name} if is_tensor(meaning[name]) else set()
            if new == known:
                return frozenset(known)
            known = new

    @property
    def _marked(self) -> Iterator[tuple[str, Term, bool]]:
        """The statements, and whether what they assign is what the weights or a buffer are after the step."""
        last = {name: place for place, (name, _) in enumerate(self.statements)}
        for place, (name, term) in enumerate(self.statements):
            yield name, term, last[name] == place and name in ("w", *self.buffers)

    @property
    def _names(self) -> tuple[str, ...]:
        return ("w", "g", *self.buffers, *self.parameters)

    @cached_property
    def symbols(self) -> dict[str, sp.Symbol]:
        """The symbol of every name."""
        try:
            degrees = self.homogeneous.exponents(0, 1)
        except UpdateError:
            degrees = {}
        # What is called as a moment of the glossary, and is of another degree, has another unit: another letter.
        vectors = {
            name: Vec(f"{name}_{'b' if name in _BUFFERS and degrees.get(name, moment) != moment else 'k'}")
            for name in self.buffers
            for moment in [2 if name == "q" else 1]
        }
        numbers = {name: _SYMBOLS.get(name) or _letter(name) for name in self.parameters}
        sizes = {name: sp.Symbol(f"{name}_k", positive=True) for name in self.buffers if name not in self.vectors}
        return {"w": w, "g": g, **vectors, **sizes, **numbers}

    @property
    def state(self) -> tuple[sp.Symbol, ...]:
        """The weights and the buffers."""
        return tuple(self.symbols[name] for name in ("w", *self.buffers))

    # Its scaling ---------------------------------------------------------------------------------

    def exponents(self, weights: Any, gradient: Any, free: tuple[str, ...] = ()) -> dict[str, sp.Expr]:
        """Exponents of the rates, the buffers and what else is `free`, for given ones of the weights and the gradient.

        Raises
        ------
        UpdateError
            If there are none; with the parts that scale differently, and what breaks the symmetry.
        """
        unknown = {
            name: sp.Dummy(name) for name in (*self.buffers, *free, *(one for one in RATES if one in self._names))
        }
        known: dict[str, sp.Expr] = {"w": sp.sympify(weights), "g": sp.sympify(gradient), **unknown}
        scaling = _Scaling(known)
        for name, term, kept in self._marked:
            known[name] = scaling.of(term)
            if kept:
                before = unknown.get(name, sp.sympify(weights))
                scaling.equal(known[name], before, f"{name} and {term}")
                known[name] = before
        found: dict[sp.Dummy, sp.Expr] = {}
        for condition, where in scaling.conditions:
            left = sp.expand(condition.subs(found))
            open_ = next((one for one in unknown.values() if left.has(one)), None)
            if open_ is not None:
                value = sp.solve(left, open_)[0]
                found = {one: sp.expand(its.subs(open_, value)) for one, its in found.items()} | {open_: value}
            elif left != 0:
                raise UpdateError(f"{where}, scale differently")
        return {one: sp.expand(found.get(dummy, dummy)) for one, dummy in unknown.items()}

    @cached_property
    def breaking(self) -> dict[str, tuple[sp.Expr, str]]:
        """Numbers that break the symmetry: how each would have to scale, and the limit in which it is restored.

        >>> Update.read("w = w - eta*(g/(norm(g) + eps) + lam*w)").breaking
        {'eps': (-1, '0')}
        """
        try:
            self.exponents(1, -1)
        except UpdateError:
            pass
        else:
            return {}
        found = {}
        for name in (one for one in self.parameters if one not in RATES):
            try:
                needed = self.exponents(1, -1, (name,))[name]
            except UpdateError:
                continue
            for limit in (_ZERO, _INFINITE):
                without = self.without(name, limit)
                if without is not None and not without.breaking:
                    found[name] = (needed, limit)
                    break
        return found

    @cached_property
    def scaling(self) -> dict[sp.Symbol, sp.Expr]:
        """The change of everything that makes the step c times as large: of the weights, buffers and rates.

        Raises
        ------
        UpdateError
            If there is none: what breaks the symmetry, and where it is restored.
        """
        try:
            found = self.exponents(1, -1)
        except UpdateError as error:
            said = [
                f"{name} breaks it (it would have to be multiplied by c^{power}); it is restored as {name} goes to "
                f"{'infinity' if limit == _INFINITE else 0}"
                for name, (power, limit) in self.breaking.items()
            ]
            raise UpdateError(f"no scaling symmetry: {'; '.join([str(error), *said])}") from None
        changes = {"w": sp.S.One, **found}
        return {self.symbols[name]: c**power * self.symbols[name] for name, power in changes.items() if power != 0}

    @cached_property
    def invariant(self) -> tuple[sp.Expr, sp.Expr]:
        """Powers of the two rates whose product is the same all along an orbit of the symmetry.

        >>> Update.read("w = w - eta*(norm(g)*g + lam*w)").invariant, Update.read("w = w - eta*(g + lam*w)").invariant
        ((1, 1), (1, 1))
        """
        first, second = self.rate_powers
        common = sp.gcd(first, second)
        sign = -1 if second > 0 else 1
        return -sign * second / common, sign * first / common

    @cached_property
    def rate_powers(self) -> tuple[sp.Expr, sp.Expr]:
        """Powers of c by which the two rates change with weights that are c times as large.

        Raises
        ------
        UpdateError
            If there are not two rates.
        """
        if len(self.held) != 2:
            raise UpdateError(f"{self} must have a learning rate eta and a weight decay lam (or a norm r0)")
        changes = self.homogeneous.scaling
        first, second = (sp.sympify(changes.get(rate, rate).as_powers_dict()[c]) for rate in self.held)
        return first, second

    @cached_property
    def homogeneous(self) -> Update:
        """The update without eps, if that alone breaks its symmetry; else itself."""
        return (self.without("eps") or self) if self.breaking.get("eps", (0, ""))[1] == _ZERO else self

    @cached_property
    def degrees(self) -> tuple[sp.Expr, sp.Expr]:
        """Degrees of homogeneity of a step per unit of the learning rate: in the gradient, and in the weights.

        Raises
        ------
        UpdateError
            If the step is not homogeneous in both.
        """
        by_weights, by_gradient = sp.symbols("_W _G")
        rate = next((name for name in ("eta", "eta_eff") if name in self.parameters), None)
        if rate is None:
            raise UpdateError(f"{self} has no learning rate: call it eta")
        power = self.exponents(by_weights, by_gradient)[rate]
        return -power.coeff(by_gradient), 1 - power.coeff(by_weights)

    def without(self, name: str, limit: str = _ZERO) -> Update | None:
        """The update in a limit of one of its numbers, "0" or "oo"; None if a step has none there."""

        def gone(term: Term) -> Term | None:
            if not term.args:
                return Term(limit) if term.op == name else term
            parts = [gone(part) for part in term.args]
            return None if None in parts else _in_limit(Term(term.op, tuple(parts)))

        statements = [(one, gone(term)) for one, term in self.statements]
        if any(term is None or _INFINITE in term.names() for _, term in statements):
            return None
        return Update(tuple(statements))  # type: ignore[arg-type]

    # What it says --------------------------------------------------------------------------------

    def _written(self, term: Term, meaning: Mapping[str, Any]) -> Any:
        if not term.args:
            return meaning[term.op] if term.op[0].isalpha() or term.op[0] == "_" else sp.Rational(term.op)
        return _WRITTEN[term.op](*(self._written(part, meaning) for part in term.args))

    def equations(self, after: Mapping[str, Any], gradient: Any) -> dict[str, sp.Expr]:
        """What the weights and buffers are after a step, in terms of those before.

        Parameters
        ----------
        after : mapping of str to sympy.Expr
            Names of the weights and the buffers after the step: later statements are written in these.
        gradient : sympy.Expr
            The gradient.
        """
        meaning: dict[str, Any] = {**self.symbols, "g": gradient}
        found = {}
        for name, term, kept in self._marked:
            meaning[name] = self._written(term, meaning)
            if kept:
                found[name], meaning[name] = meaning[name], after[name]
        return found

    def step(self, values: Mapping[str, Any], shape: tuple[int, ...] = ()) -> dict[str, Any]:
        """The weights and buffers after one step with numbers.

        Parameters
        ----------
        values : mapping of str to array or number
            The weights ``w``, the gradient ``g``, buffers and parameters, by name: floats, or arrays of `Decimal`.
        shape : tuple of int
            Of the weights as a matrix, for ``msign``.

        Returns
        -------
        dict
            The weights and buffers by name.
        """
        meaning = dict(values)
        exact = np.asarray(values["w"]).dtype == object

        def number(text: str) -> Any:
            above, _, below = text.partition("/")
            kind = type(np.ravel(values["w"])[0]) if exact else float
            return kind(above) / kind(below or 1)

        def value(term: Term) -> Any:
            if not term.args:
                return meaning[term.op] if term.op in meaning else number(term.op)
            parts = [value(part) for part in term.args]
            return _polar(parts[0], shape) if term.op == "msign" else _COMPUTED[term.op](*parts)

        for name, term in self.statements:
            meaning[name] = value(term)
        return {name: meaning[name] for name in ("w", *self.buffers)}


def _in_limit(term: Term) -> Term | None:
    """A term in which one part may be 0 or infinite, simplified; None if it is neither finite nor known."""
    ops = [part.op for part in term.args]
    zero, infinite = Term(_ZERO), Term(_INFINITE)
    other = next((part for part in term.args if part.op not in (_ZERO, _INFINITE)), None)
    if _ZERO not in ops and _INFINITE not in ops:
        return term
    if (
        (term.op == "min" and _INFINITE in ops)
        or (term.op == "clip" and ops[1] == _INFINITE)
        or (term.op == "max" and _ZERO in ops)
    ):
        return other
    if term.op in ("+", "-") and _INFINITE not in ops:
        return other if ops[1] == _ZERO else term if term.op == "-" else other
    if term.op == "*":
        return None if _ZERO in ops and _INFINITE in ops else zero if _ZERO in ops else infinite
    if term.op == "/":
        if ops[0] == ops[1]:
            return None
        return zero if ops[0] == _ZERO or ops[1] == _INFINITE else infinite
    return zero if ops[0] == _ZERO and term.op in ("sqrt", "abs", "sign") else None
