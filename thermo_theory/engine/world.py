"""Worlds: numbers for symbols, and how the functions that make them are written.

>>> @world_maker("a gas of {n} directions")
... def gas(number, granted, n):
...     return World({"n": n + number})
>>> maker = gas(3)
>>> maker.__doc__, maker(1, ())["n"]
('a gas of 3 directions', mpf('4.0'))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, cast

import mpmath as mp
import sympy as sp

from thermo_theory.numeric.domain import Domain

__all__ = ["DIGITS", "Assumptions", "NotInterpreted", "World", "WorldMaker", "precise", "world_maker"]

#: Working precision of every check, in decimal digits.
DIGITS = 30

P = ParamSpec("P")

#: Names of the assumptions that a world has to satisfy.
Assumptions = Collection[str]


class NotInterpreted(Exception):
    """A world has no meaning for something that stands in a statement."""


#: What the values that are being computed have read so far, the innermost last.
_READING: list[set[Any]] = []


def _note(read: Collection[Any]) -> None:
    """Add to what the innermost of these values depends on."""
    if _READING:
        _READING[-1].update(read)


class _Meanings(dict[Any, Any]):
    """Meanings that note what is read of them."""

    def __contains__(self, key: object) -> bool:
        _note({key})
        return super().__contains__(key)

    def __getitem__(self, key: Any) -> Any:
        _note({key})
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Meaning of a symbol, or another value if it has none."""
        _note({key})
        return super().get(key, default)


class _Known(NamedTuple):
    """A value, the working precision it was computed with, and what it depends on."""

    value: Any
    precision: int
    reads: frozenset[Any]


class World:
    """Numbers for symbols, computed when asked for.

    Parameters
    ----------
    meanings : mapping
        For a symbol: a number, an mpmath matrix, or a callable that takes the world and returns one. For an undefined
        function (``sympy.Function("S")``): a callable that takes the world and the arguments' values.
    description : str
        What the world is, for the counterexample.
    ensemble : sequence of mappings
        The points over which `Expectation` averages: what to change in the world to be there, and how much the
        point counts under the key "weight" (1 if it is not given).
    generator : callable, optional
        ``generator(f, world)``: mean rate of change of ``f(world)``, for `Generator`.
    divergence : callable, optional
        ``divergence(f, world)``: tangential part of the divergence of the matrix ``f(world)`` along the sphere.
    free : mapping
        The range of each number that an inequality is minimised over; the other meanings have to follow it.
    """

    def __init__(
        self,
        meanings: Mapping[Any, Any],
        description: str = "",
        ensemble: Sequence[Mapping[Any, Any]] = (),
        generator: Callable[[Callable[[World], Any], World], Any] | None = None,
        divergence: Callable[[Callable[[World], Any], World], Any] | None = None,
        free: Mapping[Any, Domain] | None = None,
    ) -> None:
        self.meanings = _Meanings(meanings)
        self.description = description
        self.ensemble = ensemble
        self.generator = generator
        self.divergence = divergence
        self.free = dict(free or {})
        self._known: dict[Any, _Known] = {}
        self._origin: tuple[World, frozenset[Any]] | None = None

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.meanings

    def __getitem__(self, symbol: Any) -> Any:
        return self._found(symbol, self._interpreted)

    def _interpreted(self, symbol: Any, _: World) -> Any:
        if symbol not in self.meanings:
            raise NotInterpreted(f"{symbol} has no meaning here")
        meaning = self.meanings[symbol]
        value = meaning(self) if callable(meaning) else meaning
        return value if isinstance(value, mp.matrix) else mp.mpmathify(value)

    def remembered(self, expression: Any, compute: Callable[[Any, World], Any]) -> Any:
        """Value of an expression that takes long to evaluate, computed once."""
        return self._found(expression, compute)

    def _found(self, what: Any, compute: Callable[[Any, World], Any]) -> Any:
        """A value that was computed here, or where nothing that it depends on is different; with as many digits."""
        place, changed = self, frozenset[Any]()
        known = self._known.get(what)
        while place._origin and (known is None or known.precision < mp.mp.prec):
            changed |= place._origin[1]
            place = place._origin[0]
            there = place._known.get(what)
            known = there if there is not None and there.reads.isdisjoint(changed) else None
        if known is None or known.precision < mp.mp.prec:
            known = self._computed(what, compute)
        _note(known.reads)
        return known.value

    def _computed(self, what: Any, compute: Callable[[Any, World], Any]) -> _Known:
        reads = {what}
        _READING.append(reads)
        try:
            value = compute(what, self)
        finally:
            _READING.pop()
            # What is made of a failure depends on what was read until then.
            _note(reads)
        known = _Known(value, mp.mp.prec, frozenset(reads))
        place = self
        while place._origin and known.reads.isdisjoint(place._origin[1]):
            place = place._origin[0]
        place._known[what] = known
        return known

    def at(self, changes: Mapping[Any, Any]) -> World:
        """Return the same world with other values for some symbols; what depends on them follows."""
        meanings = {**self.meanings, **changes}
        moved = World(meanings, self.description, self.ensemble, self.generator, self.divergence, self.free)
        # What a compound expression is part of is not followed.
        if all(isinstance(key, (str, sp.Symbol, type)) for key in changes):
            moved._origin = self, frozenset(changes)
        return moved

    def numbers(self, symbols: Sequence[sp.Symbol]) -> dict[str, str]:
        """Values of the symbols, as text, for a counterexample."""
        shown = {}
        for symbol in symbols:
            # What a statement only names, as what is held constant, may have no value here.
            with suppress(NotInterpreted, ArithmeticError, ValueError, TypeError):
                if not isinstance(self[symbol], mp.matrix):
                    shown[str(symbol)] = mp.nstr(self[symbol], 8)
        return shown


#: Gives the world of a number under the granted assumptions; its docstring says what the world is. It has to ask for
#: assumptions before it returns: those that it treats alike share their worlds.
WorldMaker = Callable[[int, Assumptions], World]


def precise(maker: WorldMaker) -> WorldMaker:
    """Make worlds with more digits than the checks work with."""

    @wraps(maker)
    def made(number: int, granted: Assumptions) -> World:
        with mp.workdps(DIGITS + 10):
            return maker(number, granted)

    return made


class _Maker:
    """Worlds of one function and its arguments, by which it is pickled."""

    def __init__(self, choose: Callable[[], WorldMaker], build: WorldMaker, digits: int | None, says: str) -> None:
        self.choose, self.build, self.digits, self.__doc__ = choose, build, digits, says

    def __call__(self, number: int, granted: Assumptions) -> World:
        with mp.workdps(self.digits or mp.mp.dps):
            return self.build(number, granted)

    def __reduce__(self) -> tuple[Callable[[], WorldMaker], tuple[()]]:
        return self.choose, ()


def world_maker(
    says: str | Callable[..., str], digits: int | None = DIGITS + 10
) -> Callable[[Callable[Concatenate[int, Assumptions, P], World]], Callable[P, WorldMaker]]:
    """Turn a function of a number, the granted assumptions and more into one of the rest that returns a `WorldMaker`.

    Parameters
    ----------
    says : str or callable
        What the world is, for the reader of a derivation: a sentence with the arguments' names in braces
        ("fixed-lr" is written "fixed lr"), or a function of the arguments.
    digits : int, optional
        Working precision; None leaves it as it is.

    Returns
    -------
    callable
        The decorator.
    """

    def register(build: Callable[Concatenate[int, Assumptions, P], World]) -> Callable[P, WorldMaker]:
        signature = inspect.signature(build)

        @wraps(build)
        def choose(*args: P.args, **kwargs: P.kwargs) -> WorldMaker:
            named = signature.bind(0, (), *args, **kwargs).arguments
            plain = {name: str(value).replace("fixed-", "fixed ") for name, value in named.items()}
            words = says(*args, **kwargs) if callable(says) else says.format(**plain)

            def made(number: int, granted: Assumptions) -> World:
                return build(number, granted, *args, **kwargs)

            return _Maker(partial(chosen, *args, **kwargs), made, digits, words)

        # Whoever calls it gives neither the number nor what is granted.
        rest = [*signature.parameters.values()][2:]
        choose.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        # One maker for the same arguments: derivations share its worlds.
        chosen = cast(Callable[P, WorldMaker], cache(choose))
        return chosen

    return register
