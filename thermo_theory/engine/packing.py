"""Pickles of expressions as they stand.

sympy's own pickles build an expression again and simplify it on the way; an equation that was kept open is decided:

>>> import pickle
>>> x = sp.Symbol("x", positive=True)
>>> law = sp.Eq(1 + x, 1, evaluate=False)
>>> pickle.loads(pickle.dumps(law))
False
>>> unpacked(pickle.loads(pickle.dumps(packed(law))))
Eq(x + 1, 1)
"""

from __future__ import annotations

import pickle
from typing import Any

import sympy as sp
from sympy.core.function import UndefinedFunction
from sympy.core.relational import Relational

__all__ = ["Packed", "check_pickles", "packed", "unpacked"]

#: What would change its arguments when it is built.
_EVALUATED = (sp.Add, sp.Mul, sp.Pow, sp.Function, Relational)


class Packed(tuple[Any, ...]):
    """A node of an expression: its kind and its arguments."""

    __slots__ = ()


def packed(expression: Any) -> Any:
    """Return what can be pickled in the place of an expression; anything else is returned as it is."""
    if isinstance(expression, sp.Basic) and expression.args:
        kind = expression.func
        if isinstance(kind, UndefinedFunction):  # sympy would forget that a function is one of vectors
            kind = (kind.__name__, kind.__base__, kind._kwargs)
        return Packed((kind, *map(packed, expression.args)))
    return expression


def unpacked(kept: Any) -> Any:
    """Return the expression that was packed."""
    if not isinstance(kept, Packed):
        return kept
    kind, *parts = kept
    parts = [unpacked(part) for part in parts]
    if isinstance(kind, tuple):
        name, base, known = kind
        return UndefinedFunction(name, bases=(base,), **known)(*parts)
    return kind(*parts, evaluate=False) if issubclass(kind, _EVALUATED) else kind(*parts)


def check_pickles(part: Any, what: str) -> None:
    """Refuse what cannot be pickled.

    Raises
    ------
    pickle.PicklingError
        With what it is, and what to do.
    """
    try:
        pickle.dumps(part)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        name = getattr(part, "__qualname__", None) or getattr(part, "__doc__", None) or repr(part)
        message = f"{what} {name!r} cannot be pickled: define it by name at the top level of a module"
        raise pickle.PicklingError(message) from error
