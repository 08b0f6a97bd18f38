"""What functions of vectors are in numbers, coordinate by coordinate or as a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory.engine.evaluate import evaluate, interpret
from thermo_theory.engine.world import World
from thermo_theory.symbols.vectors import Clip, Hadamard, MatrixSign, Powers, Sign

__all__: list[str] = []


def _of_coordinates(kind: type, function: Callable[..., Any]) -> None:
    """Say what a function of vectors is, coordinate by coordinate, in numbers."""

    def value(expression: Any, world: World) -> Any:
        parts = [evaluate(part, world) for part in expression.args]
        vectors = [part if isinstance(part, mp.matrix) else [part] * len(parts[0]) for part in parts]
        return mp.matrix([function(*numbers) for numbers in zip(*vectors, strict=True)])

    interpret(kind, value)


_of_coordinates(Sign, mp.sign)
_of_coordinates(Powers, mp.power)
_of_coordinates(Hadamard, lambda x, y: x * y)
_of_coordinates(Clip, lambda x, bound: min(max(x, -bound), bound))


def _polar(expression: MatrixSign, world: World) -> Any:
    """The polar factor, by a singular value decomposition."""
    vector, (rows, columns) = evaluate(expression.args[0], world), world.meanings["shape"]
    left, _, right = mp.svd_r(mp.matrix([[vector[i * columns + j] for j in range(columns)] for i in range(rows)]))
    return mp.matrix([x for row in (left * right).tolist() for x in row])


interpret(MatrixSign, _polar)
interpret(sp.Max, lambda expression, world: max(evaluate(part, world) for part in expression.args))
interpret(sp.Min, lambda expression, world: min(evaluate(part, world) for part in expression.args))
