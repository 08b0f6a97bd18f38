"""Entropies of a few points of the sphere, and of a number beside each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath as mp

__all__ = ["gaussian_entropy", "neighbour_entropy", "remaining_entropy"]


def _across(points: Sequence[Sequence[Any]]) -> tuple[Any, list[Any]]:
    """Mean direction of points of the sphere, and where each of them lies across it, about their mean."""
    mean = mp.matrix([mp.fsum(xs) / len(points) for xs in zip(*points, strict=True)])
    axis = mean / mp.norm(mean, 2)
    offs = [mp.matrix(point) - mean for point in points]
    return axis, [off - axis * (axis.T * off)[0] for off in offs]


def gaussian_entropy(points: Sequence[Sequence[Any]], beside: Sequence[Any] = ()) -> Any:
    """Entropy of the Gaussian with the covariance of these points of the sphere, across their mean direction.

    With a number `beside` each point it is the joint entropy of the points and the numbers.

    >>> mp.nstr(gaussian_entropy([[1, 1], [1, -1]]), 6)
    '1.41894'
    """
    axis, offs = _across(points)
    count, size = len(points), len(axis) + bool(beside)
    covariance = mp.zeros(size)
    covariance[: len(axis), : len(axis)] = axis * axis.T
    for i, off in enumerate(offs):
        row = mp.matrix([*off, *(x - mp.fsum(beside) / count for x in beside[i : i + 1])])
        covariance += row * row.T / count
    return mp.log(mp.det(covariance)) / 2 + (size - 1) * mp.log(2 * mp.pi * mp.e) / 2


def remaining_entropy(points: Sequence[Sequence[Any]], beside: Sequence[Any]) -> Any:
    """Entropy of a Gaussian number beside each point of the sphere, given the point: by linear regression.

    >>> mp.nstr(remaining_entropy([[1, 1], [1, -1], [1, 1], [1, -1]], [3, 0, 5, 0]) - mp.log(2 * mp.pi * mp.e) / 2, 6)
    '-0.346574'
    """
    # The first coordinate across the mean direction follows from the others.
    known = mp.matrix([[1, *off[1:]] for off in _across(points)[1]])
    rest = mp.matrix(beside) - known * mp.lu_solve(known, mp.matrix(beside))
    return mp.log(2 * mp.pi * mp.e * mp.fdot(rest, rest) / len(rest)) / 2


def neighbour_entropy(points: Sequence[Sequence[Any]], length: Any = 0) -> Any:
    """Mean log distance to the other points times the directions: an entropy estimator with a bias of its own.

    With a `length` distances are not resolved below it, and the estimator is not scale-equivariant.
    """
    n, count = len(points[0]), len(points)
    logs = []
    for i, point in enumerate(points):
        for other in points[:i]:
            off = [x - y for x, y in zip(point, other, strict=True)]
            logs.append(mp.log(mp.fdot(off, off) + length**2) / 2)
    return (n - 1) * (mp.fsum(logs) / len(logs) + mp.log(count))
