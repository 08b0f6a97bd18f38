"""A random number for every letter, and what an expression is worth there: the yardstick for printed formulas.

What is not algebra (a mean, a derivative, a sum, a function without a formula) is some smooth function of what stands
inside it, so that nothing in it can change unseen.

>>> point = Point(1)
>>> x = sp.Symbol("x", positive=True)
>>> abs(point.value(sp.sqrt(x)) ** 2 - point.letter(x)) < 1e-12
True
"""

from __future__ import annotations

import cmath
import math
import random
from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from thermo_theory.symbols import Sigma, glossary, tr_Sigma
from thermo_theory.symbols import vectors as vec

#: Components of a vector: more than two, so that no two directions determine a third.
COMPONENTS = 3


class Unread(Exception):
    """A printed formula, or an expression, has something in it for which there is no rule."""


def _real(value: Any) -> complex:
    """Without an imaginary part that is round-off: it would choose the side of a branch cut."""
    value = complex(value)
    return complex(value.real, 0.0) if abs(value.imag) <= 1e-12 * abs(value.real) else value


def power(base: Any, exponent: Any) -> Any:
    """Principal value; of a matrix, its inverse."""
    if isinstance(base, np.ndarray):
        if base.ndim != 2 or exponent != -1:
            raise Unread("a power of a vector or a matrix")
        return np.linalg.inv(base)
    return _real(base) ** _real(exponent)


def times(left: Any, right: Any) -> Any:
    """Matrices act on what follows them; two vectors side by side mean nothing."""
    if not (np.ndim(left) and np.ndim(right)):
        return left * right
    if np.ndim(left) == 1:
        raise Unread("two vectors side by side")
    return left @ right


#: Functions that are evaluated; every other one is some function of its arguments.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: lambda x, function=function: function(_real(x))
    for function in (cmath.log, cmath.exp, cmath.sin, cmath.cos, cmath.tan, cmath.sinh, cmath.cosh, cmath.tanh)
}

#: What operations make of numbers, vectors and matrices.
ALGEBRA: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    "Add": lambda *terms: sum(terms[1:], terms[0]),
    "Mul": lambda *factors: reduce(times, factors),
    "Pow": power,
    "UnevaluatedExpr": lambda inside: inside,
    "Abs": abs,
    "Dot": lambda u, v: u @ v,
    "Tr": np.trace,
    "Quad": lambda M, v: v @ M @ v,
    "Apply": lambda M, v: M @ v,
    "Sandwich": lambda P, M: P @ M @ P,
    "SymProduct": lambda A, B: A @ B + (A @ B).T,
    "SkewProduct": lambda A, B: A @ B - (A @ B).T,
    "Powers": np.power,
    "Hadamard": np.multiply,
    "Sign": lambda x: np.sign(x.real),
    "MatrixSign": lambda x: x / np.linalg.norm(x),
    "Clip": lambda x, bound: np.clip(x.real, -abs(bound), abs(bound)),
    "Inverse": np.linalg.inv,
}

#: Notations that make a number of what stands in them; the others make something of the same kind.
_NUMBERS = {one.__name__ for one in vec.Functional.__subclasses__()}
_NUMBERS |= {"NoiseVariance", "SurfaceIntegral", "Order"}


class Point:
    """A number for every letter, drawn from its domain, and what an expression is worth there."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.letter = cache(self._letter)

    def _random(self, *key: Any) -> random.Random:
        return random.Random(repr((self.seed, *key)))

    def _letter(self, symbol: Any) -> Any:
        """Value of a symbol: within its domain, a vector or a matrix if it stands for one."""
        if symbol is sp.S.NegativeInfinity:
            return -self.letter(sp.oo)
        if symbol.is_number and symbol is not sp.oo:
            return complex(symbol)
        if symbol == tr_Sigma:
            return np.trace(self.letter(Sigma))
        draw = self._random(str(symbol), type(symbol).__name__, getattr(symbol, "dummy_index", 0))
        if isinstance(symbol, vec.Vec | vec.Mat):
            shape = (COMPONENTS,) * (1 if isinstance(symbol, vec.Vec) else 2)
            return np.array([draw.uniform(-2, 2) for _ in range(math.prod(shape))], complex).reshape(shape)
        domain = glossary[symbol].domain if symbol in glossary else None
        if domain is not None and (math.isfinite(domain.high) or domain.low > 0):
            return complex(domain.low + (min(domain.high, domain.low + 6) - domain.low) * draw.uniform(0.1, 0.9))
        return complex(draw.uniform(0.3, 3) if symbol.is_nonnegative else draw.uniform(-2, 2))

    def some(self, name: str, *arguments: Any, like: Any = None) -> Any:
        """Value of what has no formula: smooth, with numbers of its own for its name, shaped as its first argument."""
        if like is None:
            like = 0.0 if name in _NUMBERS else arguments[0][0] if name == "Div" else arguments[0]
        draw = self._random(name, len(arguments))
        total = sum(draw.uniform(0.5, 1.5) * number for argument in arguments for number in np.ravel(argument))
        values = [2 + cmath.cos(total + draw.uniform(0, 6)) for _ in range(np.size(like))]
        return np.array(values).reshape(np.shape(like)) if np.ndim(like) else values[0]

    def call(self, function: Any, arguments: Sequence[Any]) -> Any:
        """Value of an undefined function; of a vector function, a vector."""
        like = np.zeros(COMPONENTS) if isinstance(function, vec.VectorFunction) else 0.0
        return self.some(f"function {type(function).__name__}", *arguments, like=like)

    def value(self, expression: Any) -> Any:
        """Value of an expression."""
        if isinstance(expression, sp.Symbol | sp.Number | sp.NumberSymbol | sp.core.numbers.ImaginaryUnit):
            return self.letter(expression)
        name = "Sum" if isinstance(expression, sp.Sum) else type(expression).__name__
        inside = expression.args
        bounds: list[Any] = []
        if isinstance(expression, sp.Derivative):
            inside, bounds = inside[:1], [x for pair in reversed(expression.variable_count) for x in pair]
        elif isinstance(expression, sp.Sum | sp.Integral | sp.Subs):
            inside, bounds = inside[:1], [x for bound in inside[1:] for x in bound]
        elif isinstance(expression, sp.Order):
            inside, bounds = inside[:1], [x for pair in inside[1:] if pair[1] != 0 for x in pair]
        elif isinstance(expression, sp.Limit):
            below = str(inside[3]) == "-" and inside[2] is not sp.oo
            inside, bounds = inside[:3], [sp.S.NegativeOne if below else sp.S.One]
        parts = [self.value(part) for part in (*inside, *bounds)]
        if isinstance(expression, AppliedUndef):
            return self.call(expression, parts)
        if name in ALGEBRA:
            return ALGEBRA[name](*parts)
        if not isinstance(expression, sp.Function) and not bounds and name != "Order":
            raise Unread(f"no value for {name}")
        return self.some(name, *parts)
