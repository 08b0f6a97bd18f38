"""The update of an optimiser, read from a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
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
    c,
    eta,
    eta_eff,
    g,
    glossary,
    lam,
    r0,
    small,
    w,
)
from thermo_theory.symbols.vectors import Vec, is_tensor
from thermo_theory.updates.terms import (
    FUNCTIONS,
    INFINITE,
    WRITTEN,
    ZERO,
    Scaling,
    Term,
    UpdateError,
    in_limit,
    term_of,
)

__all__ = ["RATES", "Update"]

#: What a scaling may change: the rates, and the norm of a sphere; other numbers stay as they are.
RATES = {"eta": eta, "eta_eff": eta_eff, "lam": lam, "r0": r0}

#: Other names of the rates.
_OTHER_NAMES = {"lr": "eta", "lambda": "lam", "weight_decay": "lam", "wd": "lam"}

#: Symbols of names that the glossary knows; a name that is not here has a symbol of its own.
_SYMBOLS = RATES | {"beta": beta, "beta1": beta1, "beta2": beta2, "eps": small}

#: Buffers that the glossary knows, as v_k, m_k and q_k, and their degrees in the gradient.
_MOMENTS = {"v": 1, "m": 1, "q": 2}


def _letter(name: str) -> sp.Symbol:
    """The symbol of a number: another than the glossary's, whose units and meanings (k is a degree) are not its own."""
    symbol = sp.Symbol(name, positive=True)
    return sp.Symbol(f"{name}_own", positive=True) if symbol in glossary else symbol


@dataclass(frozen=True)
class Update:
    """One step of an optimiser.

    Attributes
    ----------
    statements : tuple of (str, Term)
        What is assigned, one after the other.
    """

    statements: tuple[tuple[str, Term], ...]

    def __reduce__(self) -> tuple[type[Update], tuple[Any]]:
        return type(self), (self.statements,)

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
        if not isinstance(text, str):
            raise UpdateError(f"expected a text such as 'w = w - eta*g', got {text!r}"[:200])
        try:
            return cls.parsed(text)._checked(text)
        except RecursionError:
            raise UpdateError(f"cannot read {text[:40]!r}...: it has too many nested parts") from None

    @classmethod
    @cache
    def parsed(cls, text: str) -> Update:
        """Read an update of this package, which need not be asked again whether it has a meaning.

        Raises
        ------
        UpdateError
            If its statements cannot be read.
        """
        text = re.sub(r"\blambda\b", "lam", text)
        pieces = [piece.strip() for piece in re.split(r"[;\n]", text) if piece.strip()]
        statements: list[tuple[str, str]] = []
        for piece in pieces:
            name, mark, right = (part.strip() for part in piece.partition("="))
            if not mark or not name.isidentifier() or right.startswith("="):
                raise UpdateError(f"cannot read {piece!r}: a statement is written name = expression")
            if name in FUNCTIONS or name in RATES or name in _OTHER_NAMES or name == "g":
                raise UpdateError(f"cannot read {piece!r}: {name} is not for a step to change")
            statements.append((name, right))
        words = {word for _, right in statements for word in re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", right)}
        symbols = {word: Term(_OTHER_NAMES.get(word, word)) for word in words - set(FUNCTIONS) | {"w", "g"}}
        try:
            read = tuple((name, term_of(read_expression(right, symbols, FUNCTIONS))) for name, right in statements)
        except ValueError as error:
            raise UpdateError(str(error)) from None
        return cls(read)

    def _checked(self, text: str) -> Update:
        moved = {name for name, _ in self.statements}
        if "w" not in moved:
            raise UpdateError(f"{text!r} does not say how the weights move: it needs a statement that begins with w =")
        if "g" not in {name for _, term in self.statements for name in term.names()}:
            raise UpdateError(f"{text!r} does not use the gradient g of the minibatch")
        meaning: dict[str, Any] = dict(self.symbols)
        for name, term in self.statements:
            try:
                meaning[name] = self._written(term, meaning)
            except (ValueError, TypeError) as error:
                raise UpdateError(f"cannot read {name} = {term}: {error}") from None
            if sp.sympify(meaning[name]).has(sp.zoo, sp.nan, sp.oo):
                raise UpdateError(f"cannot read {name} = {term}: it divides by 0")
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
                with suppress(UpdateError):  # of a buffer that is not yet known to be a vector
                    meaning[name] = self._written(term, meaning)
                new |= {name} if is_tensor(meaning.get(name)) else set()
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
    def order(self) -> tuple[str, ...]:
        """The weights and buffers, in the order in which a step changes them."""
        return tuple(name for name, _, kept in self._marked if kept)

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
        others = {name for name, moment in _MOMENTS.items() if degrees.get(name, moment) != moment}
        vectors = {name: Vec(f"{name}_{'b' if name in others else 'k'}") for name in self.buffers}
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
        scaling = Scaling(known)
        for name, term, kept in self._marked:
            known[name] = scaling.of(term)
            if kept:
                before = unknown.get(name, sp.sympify(weights))
                scaling.equal(known[name], before, f"{name} and {term}")
                known[name] = before
        found: dict[sp.Dummy, sp.Expr] = {}
        for condition, where in scaling.conditions:
            left = sp.expand(condition.xreplace(found))
            open_ = next((one for one in unknown.values() if left.has(one)), None)
            if open_ is not None:
                slope = left.coeff(open_)  # conditions are linear
                value = sp.expand(open_ - left / slope)
                found = {one: sp.expand(its.xreplace({open_: value})) for one, its in found.items()} | {open_: value}
            elif left != 0:
                raise UpdateError(f"{where}, scale differently")
        # What no condition fixes may stay as it is.
        rest = dict.fromkeys(unknown.values(), sp.S.Zero)
        return {one: sp.expand(found.get(dummy, dummy)).xreplace(rest) for one, dummy in unknown.items()}

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
            for limit in (ZERO, INFINITE):
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
        changes = {"w": sp.S.One, **self._powers}
        return {self.symbols[name]: c**power * self.symbols[name] for name, power in changes.items() if power != 0}

    @cached_property
    def _powers(self) -> dict[str, sp.Expr]:
        try:
            return self.exponents(1, -1)
        except UpdateError as error:
            said = [
                f"{name} breaks it (it would have to be multiplied by c^{power}); it is restored as {name} goes to "
                f"{'infinity' if limit == INFINITE else 0}"
                for name, (power, limit) in self.breaking.items()
            ]
            raise UpdateError(f"no scaling symmetry: {'; '.join([str(error), *said])}") from None

    @cached_property
    def invariant(self) -> tuple[sp.Expr, sp.Expr]:
        """Powers of the two rates whose product is the same all along an orbit of the symmetry.

        >>> Update.read("w = w - eta*(norm(g)*g + lam*w)").invariant, Update.read("w = w - eta*(g + lam*w)").invariant
        ((1, 1), (1, 1))

        Raises
        ------
        UpdateError
            If neither changes: then nothing holds the norm.
        """
        first, second = self.rate_powers
        common = sp.gcd(first, second)
        if common == 0:
            raise UpdateError(f"{self} is the same at all norms: the rates do not change with the weights")
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
        powers = self.homogeneous._powers
        first, second = (powers[name] for name in RATES if name in self.parameters)
        return first, second

    @cached_property
    def homogeneous(self) -> Update:
        """The update without eps, if that alone breaks its symmetry; else itself."""
        if "eps" not in self.parameters or self.breaking.get("eps", (0, ""))[1] != ZERO:
            return self
        return self.without("eps") or self

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

    def without(self, name: str, limit: str = ZERO) -> Update | None:
        """The update in a limit of one of its numbers, "0" or "oo"; None if a step has none there."""

        def gone(term: Term) -> Term | None:
            if not term.args:
                return Term(limit) if term.op == name else term
            parts = [gone(part) for part in term.args]
            return None if None in parts else in_limit(Term(term.op, tuple(parts)))

        statements = [(one, gone(term)) for one, term in self.statements]
        if any(term is None or INFINITE in term.names() for _, term in statements):
            return None
        return Update(tuple(statements))  # type: ignore[arg-type]

    # What it says --------------------------------------------------------------------------------

    def _written(self, term: Term, meaning: Mapping[str, Any]) -> Any:
        if not term.args:
            return meaning[term.op] if term.is_name else sp.Rational(term.op)
        return WRITTEN[term.op](*(self._written(part, meaning) for part in term.args))

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
        w = np.asarray(values["w"])
        kind = type(w.flat[0]) if w.dtype == object else float
        program, numerals, constants = self._compiled
        if kind not in constants:
            constants[kind] = {text: kind(above) / kind(below or 1) for text, (above, below) in numerals.items()}
        meaning = {"shape of w": shape, **constants[kind], **values}
        for name, value in program:
            meaning[name] = value(meaning)
        return {name: meaning[name] for name in ("w", *self.buffers)}

    @cached_property
    def _compiled(self) -> tuple[list[Any], dict[str, tuple[str, str]], dict[type, dict[str, Any]]]:
        """The statements as functions; the fractions that stand in them; these as numbers of the kinds met so far."""
        numbers = {leaf.op for _, term in self.statements for leaf in term.leaves() if not leaf.is_name}
        fractions = {text: text.partition("/")[::2] for text in numbers}
        return [(name, term.compiled()) for name, term in self.statements], fractions, {}
