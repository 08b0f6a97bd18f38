"""What rounding alone makes of numbers: whether they vary by more than that, and quotients of what may vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ROUNDING", "constant", "quotient", "scale_of"]

#: Numbers that differ by less than this share of their size do not differ: sums and fits leave that much of rounding.
ROUNDING = 1e-12


def constant(values: ArrayLike, axis: int | None = None) -> Any:
    """Whether numbers differ by no more than rounding makes them differ, of the precision they come in.

    Parameters
    ----------
    values : array_like
        Finite numbers.
    axis : int, optional
        Along which they are compared; all of them by default.

    Returns
    -------
    bool or numpy.ndarray of bool
        True for no numbers, and for one.

    Examples
    --------
    >>> constant([0.1, 0.1 + 1e-17]), constant([1e-300, 2e-300]), constant([0.0, 0.0])
    (True, False, True)
    """
    found = np.asarray(values)
    if not found.size:
        return True
    share = max(ROUNDING, 8 * float(np.finfo(found.dtype).eps)) if found.dtype.kind == "f" else ROUNDING
    low, high = found.min(axis=axis) / 2, found.max(axis=axis) / 2  # halves: their difference does not overflow
    same = high - low <= share * np.maximum(np.abs(low), np.abs(high))
    return bool(same) if axis is None else same


def quotient(above: ArrayLike, below: ArrayLike, size: ArrayLike = 0.0) -> NDArray[np.float64]:
    """One number over another; NaN where the other vanishes beside the size of what it is a difference of.

    >>> quotient([1.0, 1.0, 0.0], [2.0, 1e-16, 0.0], size=1.0)
    array([0.5, nan, nan])
    """
    top, bottom, size = np.broadcast_arrays(*(np.asarray(one, dtype=float) for one in (above, below, size)))
    there = np.abs(bottom) > ROUNDING * np.abs(size)
    with np.errstate(over="ignore"):  # infinite is what it is
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=there)


def scale_of(values: ArrayLike) -> float:
    """Power of two by which numbers are of the order of 1: dividing by it rounds nothing, and squares stay in range.

    >>> scale_of([3.0, -5.0]), scale_of([0.0])
    (8.0, 1.0)
    """
    found = np.asarray(values, dtype=float)
    largest = float(np.abs(found).max()) if found.size else 0.0
    if not 0 < largest < np.inf:
        return 1.0
    return float(2.0 ** min(max(int(np.frexp(largest)[1]), -1000), 1000))
