"""Worlds of somebody's own loss: the unit sphere as patches, with the loss on each and its share of the area.

Zonal losses: Gauss and Legendre's nodes in intervals of the angle, halved until sums at the lowest temperature stay as
they are. Quadratic forms: the moments of the loss over the uniform sphere are known exactly (they are those of
a Gaussian vector, over those of its norm), and patches with these moments are Gauss' nodes and weights. Neither knows
saddle points, peaks or the normaliser.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath as mp
import sympy as sp
from mpmath.calculus.quadrature import GaussLegendre

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, WorldMaker, precise
from thermo_theory.worlds.gibbs import sphere_area
from thermo_theory.worlds.thermodynamics import System, meanings_of, numbers

__all__ = ["Patches", "form_patches", "own_world", "zonal_patches"]

#: Temperatures of the worlds, as multiples of a unit.
HEATS = ("0.4", "1", "3")
#: Patches of a quadratic form; digits of its moments, most of which Gauss' nodes take away.
NODES, MOMENT_DIGITS = 20, 90
#: Relative change of sums at which an interval of the angle has enough patches, and the most intervals that are tried.
ENOUGH, MOST = mp.mpf(10) ** -12, 400


class Patches(NamedTuple):
    """Losses and areas of patches of the unit sphere, and the unit of the worlds' temperatures."""

    losses: list[Any]
    areas: list[Any]
    unit: Any


def own_world(
    patches: Callable[[], Patches], d: int, given: Mapping[str, Callable[..., float]], says: str
) -> WorldMaker:
    """Make the worlds of a gas: its sphere in patches at three temperatures, and the numbers that are to be checked.

    Parameters
    ----------
    patches : callable
        Returns losses and areas; called once, when the worlds are made.
    d : int
        Dimension of the weights.
    given : mapping
        Numbers by the names of the functions of T that stand for them.
    says : str
        What the gas is.

    Returns
    -------
    WorldMaker
    """
    known: list[Patches] = []

    @precise
    def maker(number: int, granted: Assumptions) -> World:
        known.extend([] if known else [patches()])
        losses, areas, unit = known[0]
        dice = random.Random(f"own {number}")
        T = mp.mpf(float(unit * mp.mpf(HEATS[number])))
        R, V = mp.mpf(d - 1) / 2, mp.mpf(1) / 2
        bends = [mp.mpf(0)] * len(losses) if "Gibbs law" in granted else numbers(dice, len(losses), 0.1, 0.9)
        nothing = [mp.mpf(0)] * len(losses)
        system = System(
            losses,
            [area / V**R for area in areas],
            R,
            nothing,
            nothing,
            lambda k, heat, volume: 1 + bends[k] * (heat / T + volume),
        )
        functions = {
            sp.Function(name): lambda _, heat, value=value: mp.mpf(value(T=float(heat)))
            for name, value in given.items()
        }
        to = {s.T: T * mp.mpf(dice.uniform(0.5, 1)), s.V: V * mp.mpf(dice.uniform(0.5, 1))}
        meanings = meanings_of(system, dice) | functions | {s.T: T, s.V: V, "direction": to}
        return World(meanings, f"{says} at T = {mp.nstr(T, 4)}")

    return maker


def zonal_patches(loss: Callable[[Any], Any], d: int, unit: float) -> Patches:
    """Cut the sphere along circles of latitude, finely enough at the temperatures of the worlds.

    Parameters
    ----------
    loss : callable
        A function of the cosine.
    d : int
        Dimension of the weights.
    unit : float
        The unit of the temperatures.

    Raises
    ------
    ValueError
        If the sums do not converge: the loss is too rough.
    """
    rule, area = GaussLegendre(mp.mp), sphere_area(d - 1)

    def cut(low: Any, high: Any) -> list[tuple[Any, Any]]:
        nodes = rule.get_nodes(low, high, 3, mp.mp.prec)
        return [(loss(mp.cos(angle)), area * mp.sin(angle) ** (d - 2) * width) for angle, width in nodes]

    def weights(x: Any, share: Any) -> list[Any]:
        """Weights of a patch over the whole sphere and at the temperatures of the worlds."""
        return [share, *(share * mp.exp((middle - x) / T) for T in heats)]

    def sums(patches: list[tuple[Any, Any]]) -> list[Any]:
        """For each, the mass and the square of the loss."""
        rows = [(weights(*patch), ((patch[0] - middle) / heats[0]) ** 2) for patch in patches]
        return [mp.fsum(row[k] * square**n for row, square in rows) for k in range(1 + len(heats)) for n in (0, 1)]

    # In many dimensions the area is near the equator; where the weights are depends on the loss.
    steps = range(max(4, int(mp.log(d, 2) / 2) + 2))
    beside = [mp.pi / 2 * mp.mpf(2) ** -k for k in steps]
    ends = sorted([mp.pi / 2, *(mp.pi / 2 + sign * width for width in beside for sign in (1, -1))])
    rough = [patch for pair in pairwise(ends) for patch in cut(*pair)]
    middle, heats = rough[len(rough) // 2][0], [unit * mp.mpf(heat) for heat in HEATS]
    patches = rough
    for tolerance in (mp.mpf("0.01"), mp.mpf("0.01"), ENOUGH):  # first the sums that errors are compared with
        patches = _settled(pairwise(ends), cut, sums, sums(patches), tolerance)
    least = [ENOUGH / 1000 * all_ for all_ in sums(patches)[::2]]
    kept = [patch for patch in patches if any(map(operator.gt, weights(*patch), least))]
    return Patches([x for x, _ in kept], [share for _, share in kept], unit)


def _settled(
    pairs: Iterable[tuple[Any, Any]],
    cut: Callable[[Any, Any], list[tuple[Any, Any]]],
    sums: Callable[[list[tuple[Any, Any]]], list[Any]],
    whole: Sequence[Any],
    tolerance: Any,
) -> list[tuple[Any, Any]]:
    """Halve intervals until their sums stay as they are."""
    left, kept = list(pairs), list[tuple[Any, Any]]()
    for _ in range(MOST):
        if not left:
            return kept
        low, high = left.pop()
        halves = (low, (low + high) / 2), ((low + high) / 2, high)
        patches = cut(low, high)
        coarse, fine = sums(patches), sums(cut(*halves[0]) + cut(*halves[1]))
        whole = list(map(max, whole, fine))  # a narrow peak may have been missed until now
        if all(abs(a - b) <= tolerance * all_ for a, b, all_ in zip(coarse, fine, whole, strict=True)):
            kept += patches
        else:
            left += halves
    raise ValueError(f"the loss is too rough for {12 * MOST} patches of the sphere")


def form_patches(curvatures: Sequence[float], pulls: Sequence[float]) -> Patches:
    """Gauss' nodes and weights of ``sum_i a_i u_i^2 + b_i u_i``, u uniform on the sphere, and the sphere's area.

    The unit of temperature is the standard deviation of the loss over the sphere.
    """
    with mp.workdps(MOMENT_DIGITS):
        a, b, d = [*map(mp.mpf, curvatures)], [*map(mp.mpf, pulls)], len(curvatures)
        middle, count = mp.fsum(a) / d, 2 * NODES
        moments = _moments([x - middle for x in a], b, count)
        nodes, weights = _gauss(moments, NODES)
        losses, areas = [+node + middle for node in nodes], [weight * sphere_area(d) for weight in weights]
        return Patches(losses, areas, mp.sqrt(moments[2]))


def _moments(a: Sequence[Any], b: Sequence[Any], count: int) -> list[Any]:
    """Means of the powers of the loss over the uniform sphere.

    With Gaussian x, ``E exp(z x.a x + y b.x) = prod (1 - 2 z a_i)^(-1/2) exp(y^2 sum b_i^2/(2 (1 - 2 z a_i)))``, whose
    coefficients are moments; those of order 2m in x are ``E |x|^(2m) = d (d + 2) ... (d + 2m - 2)`` times the sphere's.
    """
    d = len(a)
    sums = [mp.fsum((2 * x) ** k for x in a) / 2 for k in range(count)]
    pulled = [mp.fsum(y**2 * (2 * x) ** k for x, y in zip(a, b, strict=True)) / 2 for k in range(count)]
    row: list[Any] = [mp.mpf(1)]
    for k in range(1, count):  # the product: k c_k = sum_j sums_j c_(k-j)
        row.append(mp.fsum(sums[j] * row[k - j] for j in range(1, k + 1)) / k)
    norms = [mp.mpf(1)]
    for m in range(count):
        norms.append(norms[-1] * (d + 2 * m))
    found = [mp.mpf(0)] * count
    for lines in range((count - 1) // 2 + 1):  # powers 2 lines of b.x, j of x.a x
        for j in range(count - 2 * lines):
            # (u.a u + b.u)^k with k = j + 2 lines: the coefficient of z^j y^(2 lines), times k!
            found[j + 2 * lines] += row[j] / norms[j + lines] * mp.factorial(j + 2 * lines)
        row = [mp.fsum(pulled[i] * row[k - i] for i in range(k + 1)) / (lines + 1) for k in range(count)]
    return found


def _gauss(moments: Sequence[Any], count: int) -> tuple[list[Any], list[Any]]:
    """Nodes and weights with these moments (Chebyshev's algorithm, Golub and Welsch); fewer if fewer have them all."""
    before, now = [mp.mpf(0)] * len(moments), list(moments)
    diagonal, beside = [moments[1] / moments[0]], [moments[0]]
    floor = mp.mpf(10) ** (-mp.mp.dps // 2)
    for k in range(1, count):
        after = [mp.mpf(0)] * len(moments)
        for j in range(k, 2 * count - k):
            after[j] = now[j + 1] - diagonal[-1] * now[j] - beside[-1] * before[j] * (k > 1)
        share = after[k] / now[k - 1]
        if share <= floor * max(abs(one) for one in beside[1:] or [moments[2]]):
            break
        diagonal.append(after[k + 1] / after[k] - now[k] / now[k - 1])
        beside.append(share)
        before, now = now, after
    size = len(diagonal)
    jacobi = mp.matrix(size, size)
    for k in range(size):
        jacobi[k, k] = diagonal[k]
        if k:
            jacobi[k, k - 1] = jacobi[k - 1, k] = mp.sqrt(beside[k])
    nodes, vectors = mp.eigsy(jacobi)
    return list(nodes), [moments[0] * vectors[0, k] ** 2 for k in range(size)]
