"""Slopes, limits and orders of functions that are known by their numbers alone.

Each is found from several distances, and refused where these do not agree: an extrapolation that has not converged is
no value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import mpmath as mp

from thermo_theory.engine.world import DIGITS, NotInterpreted

__all__ = ["limit", "order_above", "size", "slope"]

#: Squares of the distances of a difference's nodes, in steps. No two distances have a common measure, so no ripple
#: looks smooth at all of them.
_NODES = (1, 3, 7)

#: A slope, and a limit, may be wrong by this much, relative to itself.
_SLOPE, _LIMIT = mp.mpf(10) ** -11, mp.mpf(10) ** -12

#: Values of functions (roots, integrals) are trusted to this much.
_NOISE = mp.mpf(10) ** -17

#: Remainders of series are measured at 2^-k for these k, and trusted to this share of the sides.
_EXPONENTS, _TRUSTED = range(4, 25, 5), mp.mpf(10) ** (3 - DIGITS)


def size(value: Any) -> Any:
    """Absolute value of a number, Frobenius norm of a vector or matrix."""
    return mp.norm(value, 2) if isinstance(value, mp.matrix) else mp.fabs(value)


# Slopes ------------------------------------------------------------------------------------------


def slope(function: Callable[[Any], Any], point: Any, order: int = 1) -> Any:
    """Derivative by a central difference of sixth order, with finer steps where it is not resolved.

    Its steps are wide (mpmath's own are so small that they would see the round-off of a function that is itself a
    root or an integral): error and round-off are both about 1e-16 where the function changes over its argument's size.

    Parameters
    ----------
    function : callable
        Of a number; its values are numbers or matrices.
    point : mpmath number
        Where.
    order : int
        Which derivative, 1 to 4.

    Raises
    ------
    NotInterpreted
        If no step resolves it: near a jump, a kink, an edge of the domain, or among fast ripples.

    Examples
    --------
    >>> with mp.workdps(DIGITS):
    ...     mp.nstr(slope(mp.exp, 1, 2) / mp.e, 15), mp.nstr(slope(mp.sin, mp.mpf(10) ** 5) / mp.cos(10**5), 9)
    ('1.0', '1.0')
    """
    scale = mp.fabs(point) or mp.mpf(1)
    # Around 0 the argument's size is none of the function's.
    scales = [scale, *[mp.mpf(1)] * (scale < mp.mpf("0.01")), *(scale / 32**k for k in (1, 2, 3))]
    for step in (x * mp.mpf(10) ** -3 for x in scales):
        values, noise = _around(function, point, step, order)
        if not values:
            continue
        counts = range(order // 2 + 1, len(values) + 1)
        estimates = [_weighted(values, order, count) / step**order for count in counts]
        *_, before, last = estimates
        error = size(last - before)
        if len(estimates) > 2:
            # Errors of successive orders fall in a geometric series where steps are fine enough.
            error *= min(1, error / (size(before - estimates[-3]) or 1))
        seen = mp.eps * noise / _NOISE <= step**order * max(size(last), noise / _NOISE) / 10**9
        if seen and (error <= _SLOPE * size(last) or (step > mp.mpf(10) ** -6 and error <= noise / step**order)):
            return last
    raise NotInterpreted(f"the derivative at {mp.nstr(point, 6)} is not resolved")


def _around(function: Callable[[Any], Any], point: Any, step: Any, order: int) -> tuple[list[Any], Any]:
    """Odd or even part of a function at the nodes (the odd one over the distance), and how exact it may be.

    No values where the function leaves its domain, or has a kink.
    """
    values, means, largest = [] if order % 2 else [function(point)], [], mp.mpf(0)
    for square in _NODES:
        distance = mp.sqrt(square)
        try:
            ahead, behind = function(point + distance * step), function(point - distance * step)
        except (ArithmeticError, ValueError):
            return [], largest
        if any(mp.isnan(size(end)) or (isinstance(end, mp.mpc) and end.imag) for end in (ahead, behind)):
            return [], largest
        largest = max(largest, size(ahead))
        means.append((ahead + behind) / 2)
        values.append((ahead - behind) / (2 * distance) if order % 2 else means[-1])
    # A kink does not show in what is odd: the even part has to be smooth, too.
    bend, rest = (means[1] - means[0]) / 2, (means[2] - means[1]) / 4
    kinked = size(rest - bend) > size(bend) / 100 + _NOISE * largest
    return [] if kinked else values, _NOISE * largest


def _weighted(values: list[Any], order: int, count: int) -> Any:
    first, *others = [weight * value for weight, value in zip(_weights(order, count, mp.mp.prec), values, strict=False)]
    return sum(others, first)


@cache
def _weights(order: int, count: int, precision: int) -> list[Any]:
    """Weights of the first nodes' values for a derivative at unit steps, at the working precision."""
    del precision
    squares = _NODES[:count] if order % 2 else (0, *_NODES)[:count]
    powers = mp.matrix(count, count)
    wanted = mp.matrix(count, 1)
    wanted[order // 2] = mp.factorial(order)
    for row in range(count):
        for column, square in enumerate(squares):
            powers[row, column] = mp.mpf(square) ** row
    return list(mp.lu_solve(powers, wanted))


# Limits ------------------------------------------------------------------------------------------


def limit(function: Callable[[Any], Any]) -> Any:
    """Limit of a function of a distance, as that goes to 0 from above.

    Parameters
    ----------
    function : callable
        Of a positive number.

    Raises
    ------
    NotInterpreted
        If it has none, or comes too slowly (as 1/log does) to tell.

    Examples
    --------
    >>> mp.nstr(limit(lambda x: mp.sin(3 * x) / x), 12)
    '3.0'
    >>> limit(lambda x: mp.sin(1 / x))
    Traceback (most recent call last):
    ...
    thermo_theory.engine.world.NotInterpreted: no limit is seen: the last values are ...
    """
    with mp.workdps(2 * DIGITS):
        # What oscillates with the logarithm of the distance looks constant in one of the two at most.
        one, other = (_settled(function, first, ratio) for first, ratio in ((mp.phi / 32, 32), (mp.sqrt(2) / 27, 27)))
        if mp.fabs(one - other) > 1000 * _LIMIT * max(mp.fabs(one), mp.fabs(other), _LIMIT):
            raise NotInterpreted(f"no limit is seen: it is {mp.nstr(one, 8)} or {mp.nstr(other, 8)}")
        return one


def _settled(function: Callable[[Any], Any], first: Any, ratio: int) -> Any:
    """Where the values at distances in a geometric series end, by their last three."""
    values: list[Any] = []
    for k in range(24):
        values.append(function(mp.mpf(first) / ratio**k))
        if k < 4:
            continue
        changes = [mp.fabs(b - a) for a, b in pairwise(values[-4:])]
        falling = all(2 * b <= a for a, b in pairwise(changes))
        done = changes[-1] <= _LIMIT * mp.fabs(values[-1])
        nothing = mp.fabs(values[-1]) <= _LIMIT**2 * max(map(mp.fabs, values))
        if falling and (done or nothing):
            a, b, c = values[-3:]
            bend = c - 2 * b + a
            return c - (c - b) ** 2 / bend if bend else c
    raise NotInterpreted(f"no limit is seen: the last values are {', '.join(mp.nstr(v, 6) for v in values[-3:])}")


# Orders ------------------------------------------------------------------------------------------


def order_above(remainder: Callable[[Any], tuple[Any, Any]], stated: Callable[[Any], Any]) -> Any:
    """By how much the order of what a series leaves out exceeds the stated one.

    Parameters
    ----------
    remainder : callable
        Of the distance from the point of expansion: absolute difference of the two sides, and their size.
    stated : callable
        Of the distance: size of the order term.

    Returns
    -------
    mpmath.mpf
        About 0 if the remainder is of the stated order, negative if it is of a lower one (the series is wrong),
        positive if it is of a higher one, infinite if nothing is left out.

    Raises
    ------
    NotInterpreted
        If the order does not settle.

    Examples
    --------
    >>> def left_out(x):
    ...     return abs(mp.exp(x) - 1 - x), mp.exp(x)
    >>> with mp.workdps(60):
    ...     mp.nstr(order_above(left_out, lambda x: x**3), 4), mp.nstr(order_above(left_out, lambda x: x), 4)
    ('-1.0', '1.0')
    """
    seen: list[tuple[Any, Any]] = []
    for k in _EXPONENTS:
        distance = mp.mpf(2) ** -k
        left, whole = remainder(distance)
        # Where it no longer falls although next to nothing is left, it is the round-off of the sides.
        stuck = bool(seen) and left > seen[-1][0] / 3 and left < mp.mpf(10) ** -15 * whole
        if stuck or not left > _TRUSTED * whole:
            seen = [pair for pair in seen if pair[0] > 10**4 * left]
            break
        seen.append((left, left / stated(distance)))
    if not seen:
        return mp.inf
    if len(seen) < 3:
        raise NotInterpreted("the remainder is too small to measure its order")
    *_, before, last = (mp.log(far / near, 2) / _EXPONENTS.step for (_, far), (_, near) in pairwise(seen))
    # Higher terms fall by 32 from one distance to the next; a logarithm hardly does, a wrong coefficient grows.
    if -mp.mpf("0.01") > last > mp.mpf("0.6") * before:
        raise NotInterpreted(f"the order of the remainder does not settle: {mp.nstr(before, 3)}, {mp.nstr(last, 3)}")
    return last
