"""Calculus on the unit sphere in explicit coordinates: differences along great circles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

from thermo_theory.engine.world import DIGITS

__all__ = ["along", "surface_divergence", "surface_gradient", "surface_hessian", "tangents"]


def surface_divergence(field: Callable[[Any], Any], u: Any) -> Any:
    """Tangential part of the divergence of a matrix field along the unit sphere, by central differences."""
    n = u.rows
    tangent = mp.eye(n) - u * u.T
    divergence = mp.matrix(n, 1)

    def slope(j: int, step: Any) -> Any:
        ahead, behind = u + tangent[:, j] * step, u - tangent[:, j] * step
        change = field(ahead / mp.norm(ahead, 2)) - field(behind / mp.norm(behind, 2))
        return change[:, j] / (2 * step)

    step = mp.mpf(10) ** -(DIGITS // 5)
    for j in range(n):
        divergence += (4 * slope(j, step) - slope(j, 2 * step)) / 3
    return tangent * divergence


def tangents(u: Any) -> list[Any]:
    """Orthonormal tangent vectors of the unit sphere at u."""
    basis: list[Any] = []
    for i in sorted(range(u.rows), key=lambda i: mp.fabs(u[i]))[: u.rows - 1]:
        vector = mp.matrix(u.rows, 1)
        vector[i] = 1
        for other in (u, *basis):
            vector -= other * mp.fdot(other, vector)
        basis.append(vector / mp.norm(vector, 2))
    return basis


def along(function: Callable[[Any], Any], u: Any, tangent: Any) -> tuple[Any, Any]:
    """First and second derivative of a function along the great circle through u."""
    size = mp.norm(tangent, 2)

    def at(angle: Any) -> Any:
        return function(u * mp.cos(angle * size) + tangent / size * mp.sin(angle * size))

    step, here = mp.mpf(10) ** -6, function(u)
    one, two = (at(step), at(-step)), (at(2 * step), at(-2 * step))
    first = (8 * (one[0] - one[1]) - (two[0] - two[1])) / (12 * step)
    second = (16 * (one[0] + one[1]) - (two[0] + two[1]) - 30 * here) / (12 * step**2)
    return first, second


def surface_gradient(function: Callable[[Any], Any], u: Any) -> Any:
    """Gradient of a function along the unit sphere at u."""
    gradient = mp.matrix(u.rows, 1)
    for tangent in tangents(u):
        gradient += tangent * along(function, u, tangent)[0]
    return gradient


def surface_hessian(function: Callable[[Any], Any], u: Any) -> Any:
    """Hessian of a function along the unit sphere at u, by second derivatives along great circles."""
    basis, n = tangents(u), u.rows
    hessian = mp.matrix(n, n)
    for i, one in enumerate(basis):
        hessian += one * one.T * along(function, u, one)[1]
        for other in basis[:i]:
            # Polarisation: f'' along the sum and the difference of two directions.
            mixed = (along(function, u, one + other)[1] - along(function, u, one - other)[1]) / 4
            hessian += (one * other.T + other * one.T) * mixed
    return hessian
