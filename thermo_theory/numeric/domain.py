"""The domain of an argument, and the check that a number or an array lies in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["COEFFICIENT", "DIMENSION", "POSITIVE", "REAL", "Domain", "Invalid", "check_domain", "common_shape"]

FloatArray = npt.NDArray[np.float64]
Invalid = Literal["raise", "nan"]


@dataclass(frozen=True)
class Domain:
    """An interval of real numbers; its ends belong to it unless they are open."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "a finite number"
        if self.high == math.inf:
            return f"{'>' if self.low_open else '>='} {self.low:g}"
        return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


POSITIVE = Domain(low=0.0, low_open=True)
REAL = Domain()
DIMENSION = Domain(low=2.0)
COEFFICIENT = Domain(low=0.0, high=1.0, high_open=True)


def check_domain(
    name: str, value: npt.ArrayLike, domain: Domain, invalid: Invalid = "raise", meaning: str = ""
) -> FloatArray:
    """Return a number or an array as float64 after checking that every entry is finite and in the domain.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : array_like
        A real number or an array of any shape.
    domain : Domain
        Where it has to lie.
    invalid : {"raise", "nan"}
        Whether an entry outside is an error or becomes NaN.
    meaning : str
        What the argument is, for the message.

    Returns
    -------
    numpy.ndarray
        The values, same shape; a copy only where something had to be converted or replaced.

    Raises
    ------
    ValueError
        If an entry is outside the domain and `invalid` is "raise"; if the value is not made of real numbers; if
        `invalid` is neither of the two words.

    Examples
    --------
    >>> check_domain("T", -1.5, POSITIVE, meaning="temperature")
    Traceback (most recent call last):
        ...
    ValueError: T must be > 0 (temperature), got -1.5
    >>> check_domain("d", [1.0, 3.0], DIMENSION, invalid="nan")
    array([nan,  3.])
    """
    if invalid not in ("raise", "nan"):
        raise ValueError(f'invalid must be "raise" or "nan", got {invalid!r}')
    array = _as_real(name, value)
    above = array > domain.low if domain.low_open else array >= domain.low
    below = array < domain.high if domain.high_open else array <= domain.high
    good = np.isfinite(array) & above & below
    if good.all():
        return array
    if invalid == "nan":
        return np.where(good, array, np.nan)
    where = tuple(int(index) for index in np.argwhere(~good)[0])
    first = float(array[where])
    wanted = str(domain) if math.isfinite(first) or domain == REAL else f"finite and {domain}"
    said = f" ({meaning})" if meaning else ""
    place = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    raise ValueError(f"{name} must be {wanted}{said}, got {repr(first).removesuffix('.0')}{place}")


def _as_real(name: str, value: npt.ArrayLike) -> FloatArray:
    """Convert to float64.

    Raises
    ------
    ValueError
        If the value, or an entry of it, is text, complex, a truth value, a date, a ragged list or anything else that
        is not a real number; names the argument.
    """
    try:
        array = np.asarray(value)
        # What numpy cannot type (fractions, mpmath's numbers) it keeps as objects, and would convert complex ones.
        entries = [np.asarray(entry) for entry in array.flat] if array.dtype.kind == "O" else [array]
        if all(entry.dtype.kind in "iuf" or (entry.dtype.kind == "O" and not entry.ndim) for entry in entries):
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    said = " ".join(repr(value).split())
    raise ValueError(f"{name} must be a real number or an array of real numbers, got {said}"[:200])


def common_shape(arrays: Mapping[str, FloatArray]) -> tuple[int, ...]:
    """Return the shape to which arrays broadcast.

    Raises
    ------
    ValueError
        If they do not; the message has every name and shape.

    Examples
    --------
    >>> common_shape({"d": np.ones(3), "T": np.ones((2, 1))})
    (2, 3)
    """
    try:
        return np.broadcast_shapes(*[array.shape for array in arrays.values()])
    except ValueError:
        shapes = " and ".join(f"{name} has shape {array.shape}" for name, array in arrays.items() if array.ndim)
        raise ValueError(f"{' and '.join(arrays)} must have shapes that broadcast: {shapes}") from None
