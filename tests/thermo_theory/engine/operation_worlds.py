"""Random numbers in which given equations hold: what an operation makes of them must hold there too.

An equation is made true by giving its left-hand side the value of its right-hand side; all else (symbols, vectors,
matrices, functions, means over a random ensemble and over random minibatches) is drawn at random and has no property
that is not granted. Where an equation is made false, what follows from it must be false as well, unless the operation
is meant to lose something; so a tautology does not pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import mpmath as mp
import pytest
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

import thermo_theory.worlds.thermodynamics  # noqa: F401 (meanings of changes and integrals)
from thermo_theory.engine import library
from thermo_theory.engine.differentials import Change, Partial, SurfaceIntegral, Variation
from thermo_theory.engine.evaluate import evaluate, interpret, residual
from thermo_theory.engine.operations import OPERATIONS, OperationError
from thermo_theory.engine.world import DIGITS, NotInterpreted, World
from thermo_theory.symbols import T, V, d, eq
from thermo_theory.symbols.vectors import (
    Apply,
    Div,
    Dot,
    Expectation,
    Functional,
    Generator,
    Mat,
    NoiseMean,
    NoiseVariance,
    Quad,
    Sandwich,
    SymProduct,
    Tr,
    Vec,
    VectorFunction,
    _varies,
    identity_matrix,
)

library.load()

#: What has a value of its own, if nothing else is said.
_OPAQUE = (Generator, Functional, Partial, Change, Variation, SurfaceIntegral)

#: What an equation may give a value.
_SETTABLE = (sp.Symbol, AppliedUndef, sp.Derivative, Dot, Tr, Quad, Apply, Sandwich, SymProduct, Div, Expectation)
_SETTABLE += (NoiseMean, *_OPAQUE)

_MINIBATCH = {"g", "g_n"}


def uniform(name: object, low: float, high: float) -> Any:
    """A number that belongs to a name."""
    return mp.mpf(random.Random(str(name)).uniform(low, high))


def vector(name: object, n: int) -> Any:
    return mp.matrix([uniform(f"{name} {k}", -1.5, 1.5) for k in range(n)])


def matrix(name: object, n: int, symmetric: bool = True) -> Any:
    """A random matrix with positive eigenvalues, symmetric or not."""
    free = mp.matrix([[uniform(f"{name} {j} {k}", -1, 1) for k in range(n)] for j in range(n)])
    return free * free.T + mp.eye(n) / 4 + (0 if symmetric else 2 * (free - free.T))


def _drawn(symbol: sp.Symbol, seed: object, n: int) -> Any:
    if symbol == d:
        return mp.mpf(n)
    if isinstance(symbol, Vec):
        return vector(f"{symbol} {seed}", n)
    if isinstance(symbol, Mat):
        return mp.eye(n) if symbol == identity_matrix else matrix(f"{symbol} {seed}", n)
    if symbol.is_integer:
        return mp.mpf(random.Random(f"{symbol} {seed}").randint(2, 4))
    sign = 1 if symbol.is_positive or uniform(f"{symbol} {seed} sign", -1, 1) > 0 else -1
    return sign * uniform(f"{symbol} {seed}", 0.4, 2)


def _function(name: str, seed: object, positive: bool, of_vectors: bool) -> Callable[..., Any]:
    """A smooth function of its arguments, numbers or vectors."""

    def value(_: World, *arguments: Any) -> Any:
        flat = [entry for part in arguments for entry in (list(part) if isinstance(part, mp.matrix) else [part])]

        def one(place: object) -> Any:
            waves = [
                mp.sin(k + mp.fsum(uniform(f"{name} {seed} {place} {k} {j}", 0.3, 1) * c for j, c in enumerate(flat)))
                for k in range(3)
            ]
            return mp.fsum(waves) / 3 + (mp.mpf(3) / 2 if positive else 0)

        (size,) = {part.rows for part in arguments if isinstance(part, mp.matrix)} if of_vectors else (0,)
        return mp.matrix([one(k) for k in range(size)]) if of_vectors else one("")

    return value


def _batches(world: World) -> list[World]:
    if "batches" not in world.meanings:
        raise NotInterpreted("this world has no minibatches")
    return [world.at(batch) for batch in world.meanings["batches"]]


def _mean(expression: NoiseMean, world: World) -> Any:
    values = [evaluate(expression.args[0], there) for there in _batches(world)]
    mean = mp.fsum(values) / len(values)
    return mp.fsum((v - mean) ** 2 for v in values) / len(values) if isinstance(expression, NoiseVariance) else mean


interpret(NoiseMean, _mean)


def of_state(seed: int, symbols: Sequence[sp.Symbol], functions: Sequence[AppliedUndef]) -> dict[Any, Any]:
    """Quantities, and functions of an index, that all depend on the state (T, V), which moves in a direction."""

    def moving(name: object, world: World, *arguments: Any) -> Any:
        return _function(str(name), seed, True, False)(world, *arguments, world[T], world[V])

    quantities = {symbol: partial(moving, symbol) for symbol in symbols if symbol not in (T, V)}
    indexed = {part.func: partial(moving, part.func) for part in functions}
    return {**quantities, **indexed, "direction": {T: mp.mpf(0.6), V: mp.mpf(0.9)}}


def world_of(
    given: Sequence[Any], seen: Sequence[sp.Basic], seed: int, wrong: int = -1, extra: Mapping[Any, Any] | None = None
) -> World:
    """Random numbers for all that stands in `seen` in which the equations `given` hold, but for number `wrong`."""
    n = 2 + seed % 3
    symbols = set().union(*(part.free_symbols for part in seen))
    applied = set().union(*(part.atoms(AppliedUndef) for part in seen))
    meanings: dict[Any, Any] = {symbol: _drawn(symbol, seed, n) for symbol in symbols}
    for part in applied:
        name, kind = str(part.func), isinstance(part, VectorFunction)
        meanings[part.func] = _function(name, seed, bool(part.is_positive), kind)
    for node in set().union(*(part.atoms(*_OPAQUE) for part in seen)):
        meanings[node] = uniform(f"{node} {seed}", 0.5, 2)
    meanings |= extra or {}
    told = {equation.lhs for equation in given}
    drawn = [symbol for symbol in symbols if not told & {symbol} and symbol != identity_matrix]
    random_ones = [symbol for symbol in drawn if _varies(symbol)]
    noisy = [symbol for symbol in drawn if symbol.name in _MINIBATCH]
    points = [{symbol: _drawn(symbol, f"{seed} {k}", n) for symbol in random_ones} for k in range(3)]
    meanings.setdefault("batches", [{s: _drawn(s, f"{seed} batch {k}", n) for s in noisy} for k in range(3)])
    world = World(meanings, ensemble=points)
    for number, equation in enumerate(given):
        world = _granted(equation, world, number == wrong)
    return world


def _granted(equation: sp.Eq, world: World, wrong: bool) -> World:
    """The world in which an equation holds, or does not."""
    left, right = equation.lhs, equation.rhs
    if left.is_Pow and left.base.is_positive and not right.has(left.base):
        left, right = left.base, right ** (1 / left.exp)

    def off(value: Any) -> Any:
        return value * mp.mpf(5) / 4 + mp.mpf(3) / 10 if wrong else value

    if isinstance(left, AppliedUndef) and all(part.is_Symbol for part in left.args):

        def meaning(there: World, *arguments: Any) -> Any:
            return off(evaluate(right, there.at(dict(zip(left.args, arguments, strict=True)))))

        return world.at({left.func: meaning})
    if isinstance(left, _SETTABLE):
        return world.at({left: lambda there: off(evaluate(right, there))})
    scalars = {symbol for symbol in equation.free_symbols - {d} if not isinstance(symbol, Vec | Mat)}
    unknown = min(scalars - right.free_symbols or scalars, key=str)
    start = world[unknown]
    root = mp.findroot(
        lambda value: evaluate(left - right, world.at({unknown: value})), (start, start * 1.1), tol=1e-50, verify=False
    )
    return world.at({unknown: off(root)})


def true_in(statement: Any, world: World) -> bool:
    """Whether an equation or inequality holds in a world, to nine digits."""
    if isinstance(statement, sp.Eq):
        return bool(residual(statement, world) < mp.mpf(10) ** -9)
    sides = [evaluate(side, world) for side in (statement.gts, statement.lts)]
    return bool(sides[0] - sides[1] >= -(mp.mpf(10) ** -12))


def applied(name: str, *parts: Any, **options: Any) -> Any:
    """What an operation makes of equations and options."""
    return OPERATIONS[name](*parts, **options)


def refuses(name: str, *parts: Any, says: str | None = None, **options: Any) -> None:
    """The operation says that it cannot be applied, and why."""
    with pytest.raises(OperationError, match=says):
        applied(name, *parts, **options)


def follows(
    name: str,
    *parts: Any,
    left: sp.Basic | None = None,
    without: Any = None,
    loses: Sequence[int] = (),
    seeds: Sequence[int] = (0, 1),
    extra: Mapping[Any, Any] | None = None,
    **options: Any,
) -> Any:
    """Apply an operation: the result holds where the equations hold, and fails where one of them fails.

    `left` is the left-hand side of the result, `without` what must no longer stand on its right, `loses` the numbers
    of the equations that the result need not depend on, `extra` the meaning of what is not drawn at random.
    """
    result = applied(name, *parts, **options)
    given = [part for part in (*parts, *options.values()) if isinstance(part, Relational)]
    seen = [*given, result, *(part for part in parts if isinstance(part, sp.Basic))]
    with mp.workdps(DIGITS):
        for seed in seeds:
            world = world_of(given, seen, seed, extra=extra)
            assert all(true_in(equation, world) for equation in given), f"seed {seed}: what is given does not hold"
            assert true_in(result, world), f"seed {seed}: {result} is false"
            for number in set(range(len(given))) - set(loses):
                world = world_of(given, seen, seed, number, extra)
                assert not true_in(given[number], world), f"seed {seed}: {given[number]} holds though it should not"
                assert not true_in(result, world), f"seed {seed}: {result} holds without {given[number]}"
    assert left is None or result.lhs == left, f"{result.lhs} is not {left}"
    for part in without if isinstance(without, tuple) else (without,):
        assert part is None or not result.rhs.has(part), f"{part} stands in {result}"
    return result


def order_of(
    equation: sp.Eq, truth: Callable[[Any], Any], variable: sp.Symbol, far: bool = False, **numbers: Any
) -> Any:
    """The power of the variable (of its inverse if `far`) with which the remainder of a truncated series vanishes."""
    values = {symbol: numbers[symbol.name] for symbol in equation.rhs.free_symbols - {variable}}
    truncated = sp.lambdify(variable, equation.rhs.removeO().subs(values), "mpmath")
    with mp.workdps(60):
        steps = [mp.mpf(2) ** -k for k in (20, 21)]
        off = [mp.fabs(truth(1 / x if far else x) - truncated(1 / x if far else x)) for x in steps]
        return mp.log(off[0] / off[1], 2) if off[1] else mp.inf


x, y, z = sp.symbols("x y z", real=True)
a, b, e = sp.symbols("a b e", positive=True)
f, g = sp.Function("f"), sp.Function("g")
up = sp.Function("up", positive=True)
u, v = Vec("u"), Vec("v")
A, B = Mat("A"), Mat("B")

__all__ = ["A", "B", "a", "applied", "b", "e", "eq", "f", "follows", "g", "order_of", "refuses", "true_in", "u", "up"]
__all__ += ["matrix", "uniform", "v", "vector", "world_of", "x", "y", "z"]
