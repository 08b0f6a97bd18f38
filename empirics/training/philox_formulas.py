"""How Philox4x32-10 makes a number, for torch's tensors and, compiled, for single numbers.

Only operations on bits and ``+ - * /``, which IEEE 754 rounds in one way everywhere: logarithm, cosine and, in torch,
even the square root differ in the last bit between processors.
"""

import math
from typing import Any

import torch
from torch import Tensor

WORD = 2**32 - 1
_FACTORS, _WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)

# A float64 in [1, 2) begins with these bits; the next 52 are its fraction. With 2^52's, an integer below 2^52 is a
# fraction, which converts it exactly, in vectors too.
_ONE, _FRACTION, _TWO52 = 1023 << 52, (1 << 52) - 1, 1075 << 52
_ROOT2, _LN2 = 1.4142135623730951, 0.6931471805599453
#: An inverse square root to 3.5 %, minus half the bits of the number; four steps of Newton's give all digits.
_INVERSE_ROOT = 0x5FE6EB50C7B537A9


def _alternating(first: float, place: int) -> tuple[float, ...]:
    """Coefficients, highest power first, of (πx)^n/n! with alternating signs, n = place, place + 2, ..."""
    found = [first]
    for n in range(place, place + 18, 2):
        found.append(-found[-1] * math.pi * math.pi / ((n + 1) * (n + 2)))
    return tuple(reversed(found))


# Series, highest power first: 2 artanh(t)/t, sin(πx)/x and cos(πx) in squares, up to t² = 0.03 and x² = 1/4.
_ARTANH = tuple(2 / (2 * k + 1) for k in reversed(range(9)))
_SIN, _COS = _alternating(math.pi, 1), _alternating(1.0, 0)


def rounds(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """Return the four words of a counter (c0, c1, c2, c3) under a key (k0, k1), all int64 below 2^32.

    Examples
    --------
    >>> [f"{word:08x}" for word in rounds(0, 0, 0, 0, 0, 0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    for _ in range(10):
        p, q = c0 * _FACTORS[0], c2 * _FACTORS[1]  # may pass 2^63: the bits are right all the same
        c0, c1, c2, c3 = (q >> 32 & WORD) ^ c1 ^ k0, q & WORD, (p >> 32 & WORD) ^ c3 ^ k1, p & WORD
        k0, k1 = k0 + _WEYL[0] & WORD, k1 + _WEYL[1] & WORD
    return c0, c1, c2, c3


def as_real(bits: Tensor) -> Tensor:
    """View int64 as the float64 with these bits."""
    return bits.view(torch.float64)


def as_bits(value: Tensor) -> Tensor:
    """View float64 as the int64 with its bits."""
    return value.view(torch.int64)


def converted(integer: Any) -> Any:
    """Convert int64 from 0 to 2^52 - 1 to float64."""
    return as_real(integer | _TWO52) - 2.0**52


def polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    """Value of a polynomial, coefficient of the highest power first."""
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def normal_pair(first: Any, second: Any) -> tuple[Any, Any]:
    """Turn two words into two independent standard normal numbers, float64, by Box and Muller's formula.

    ``±√(−2 ln u) · (cos πx, sin πx)`` with u of the first word, and x in (−1/2, 1/2) and the sign of the second. The
    largest is 6.76; beyond it a normal distribution has 1e-11 of its probability. Errors are below 1e-12.
    """
    bits = as_bits((converted(first) + 0.5) * 2.0**-32)
    fraction = as_real(bits & _FRACTION | _ONE)
    t = (fraction - _ROOT2) / (fraction + _ROOT2)
    squared = ((converted(bits >> 52) - 1022.5) * _LN2 + polynomial(t * t, _ARTANH) * t) * -2.0
    inverse = as_real(_INVERSE_ROOT - (as_bits(squared) >> 1))
    for _ in range(4):
        inverse = inverse * (1.5 - 0.5 * squared * inverse * inverse)
    radius = squared * inverse * (1.0 - 2.0 * converted(second >> 31))
    x = (converted(second & (WORD >> 1)) + 0.5) * 2.0**-31 - 0.5
    return radius * polynomial(x * x, _COS), radius * (polynomial(x * x, _SIN) * x)
