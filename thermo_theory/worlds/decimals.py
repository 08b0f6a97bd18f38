"""Vectors of decimals, whose arithmetic is many times as fast as mpmath's."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

from thermo_theory.engine.world import DIGITS

__all__ = ["CONTEXT", "Numbers", "State", "column", "decimal_of", "decimals", "exact", "mpf", "mpfs", "value_of"]

#: Vectors of decimals.
Numbers = NDArray[np.object_]

#: The weights, and the buffers of the optimiser.
State = tuple[Any, ...]

CONTEXT = Context(prec=DIGITS + 20, traps=[])


def decimal_of(number: Any) -> Decimal:
    """A number as a decimal."""
    return Decimal(mp.nstr(mp.mpmathify(number), DIGITS + 15))


def decimals(vector: Any) -> Numbers:
    """A vector as decimals."""
    return np.array([decimal_of(vector[i]) for i in range(len(vector))])


def mpf(number: Decimal) -> Any:
    """A decimal as a number of mpmath's."""
    return mp.mpf(str(number))


def mpfs(vector: Numbers) -> list[Any]:
    """A vector of decimals as a list of numbers."""
    return [mpf(x) for x in vector]


def column(vector: Numbers) -> Any:
    """A vector of decimals as a column."""
    return mp.matrix(mpfs(vector))


def value_of(part: Numbers | Decimal) -> Any:
    """A vector of decimals, or one, as mpmath's."""
    return column(part) if isinstance(part, np.ndarray) else mpf(part)


def exact(part: Any) -> Numbers | Decimal:
    """A column or a number as decimals."""
    return decimals(part) if isinstance(part, mp.matrix) else decimal_of(part)
