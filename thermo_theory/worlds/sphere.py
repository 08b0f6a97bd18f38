"""Means over a density on the sphere, and the volume at stationarity: what fluctuations are compared with."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.symbols.vectors import Dot, Generator, NoiseMean, NoiseVariance
from thermo_theory.worlds.geometry import along, surface_gradient, surface_hessian, tangents
from thermo_theory.worlds.sgd import sgd_world, two_points

__all__ = ["balance_world", "density_world", "snapshots_world"]


# A density written out ---------------------------------------------------------------------------


@world_maker("means by quadrature over a density written out on the circle and the sphere, derivatives numerical")
def density_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a density on the sphere, d = 2 and 3, over which `Expectation` integrates.

    The density is Gibbs' if ``Gibbs law`` is granted, else another one.
    """
    dice = random.Random(f"density {number}")
    return _density(2 + number % 2, dice, granted)


def _density(n: int, dice: random.Random, granted: Assumptions) -> World:
    pull = [mp.mpf(dice.uniform(-1, 1)) for _ in range(n)]
    bend = [mp.mpf(dice.uniform(-0.5, 0.5)) for _ in range(n)]
    slant = [mp.mpf(dice.uniform(-0.3, 0.3)) for _ in range(n)]
    temperature, is_gibbs = mp.mpf(dice.uniform(0.6, 0.9)), "Gibbs law" in granted

    def loss(u: Any) -> Any:
        return mp.fsum(b * x * x - a * x for a, b, x in zip(pull, bend, u, strict=True))

    def log_density(u: Any) -> Any:
        other = 0 if is_gibbs else mp.fdot(slant, list(u)) + u[0] * u[1] / 3
        return other - loss(u) / temperature

    points = [
        {s.w_bar: u, s.w: u, "weight": area * mp.exp(log_density(u))}
        for u, area in (_circle() if n == 2 else _sphere())
    ]
    meanings = {
        s.w: points[0][s.w],
        s.w_bar: points[0][s.w_bar],
        s.d: n,
        s.T: temperature,
        s.L: lambda world: loss(world[s.w_bar]),
        s.grad_L_unit: lambda world: surface_gradient(loss, world[s.w_bar]),
        s.grad_log_rho: lambda world: surface_gradient(log_density, world[s.w_bar]),
        s.lap_L: lambda world: mp.fsum(along(loss, world[s.w_bar], e)[1] for e in tangents(world[s.w_bar])),
        s.Hess: lambda world: surface_hessian(loss, world[s.w_bar]),
    }
    return World(meanings, f"a density on the sphere, d = {n}", ensemble=points)


def _circle() -> list[tuple[Any, Any]]:
    angles = [2 * mp.pi * k / 30 for k in range(30)]
    return [(mp.matrix([mp.cos(angle), mp.sin(angle)]), mp.mpf(1)) for angle in angles]


def _sphere() -> list[tuple[Any, Any]]:
    """Gauss-Legendre in the cosine, equal steps round the axis."""
    points = []
    for cosine, area in _gauss_legendre(13):
        sine = mp.sqrt(1 - cosine**2)
        for k in range(14):
            angle = 2 * mp.pi * k / 14
            points.append((mp.matrix([sine * mp.cos(angle), sine * mp.sin(angle), cosine]), area))
    return points


@cache
def _gauss_legendre(count: int) -> list[tuple[Any, Any]]:
    """Nodes and weights from the eigenvalue problem of the recursion of Legendre's polynomials (Golub and Welsch)."""
    matrix = mp.matrix(count, count)
    for k in range(1, count):
        matrix[k, k - 1] = matrix[k - 1, k] = k / mp.sqrt(4 * k**2 - 1)
    nodes, vectors = mp.eigsy(matrix)
    return [(nodes[k], 2 * vectors[0, k] ** 2) for k in range(count)]


# Weights whose mean loss stays as it is ----------------------------------------------------------


@world_maker("SGD itself at fixed ELR, d = 3 to 5, at weights whose mean loss is constant")
def balance_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of SGD at three weights that count so that their mean loss does not drift.

    Without ``stationarity`` the weights count equally.
    """
    inner = sgd_world("fixed-elr")
    world = inner(number, granted)
    example, n = world.meanings["example"], int(world[s.d])
    dice = random.Random(f"balance {number}")

    def draw() -> Any:
        spread = dice.uniform(0.05, 1.5)
        return mp.matrix([mp.mpf(dice.gauss(0, spread) if i else dice.uniform(-1, 1.5)) for i in range(n)])

    chosen = two_points(draw, lambda w: example.rate_of(example.loss, w), "stationarity" in granted)
    meanings = {
        s.w: chosen[0][0],
        s.Hess: lambda world: surface_hessian(example.loss, world[s.w_bar]),
    }
    whole = world.at(meanings)
    whole.ensemble = [{s.w: w, "weight": weight} for w, weight in chosen]
    return whole


# Snapshots of a run ------------------------------------------------------------------------------


@world_maker("SGD itself at fixed LR in explicit coordinates, d = 2 to 4, with the distance it diffuses", digits=None)
def snapshots_world(number: int, granted: Assumptions, /) -> World:
    """Worlds in which snapshots of SGD at fixed LR are as far apart as it diffuses between them.

    Without ``diffusive snapshots`` neighbours are as far as the temperature says.
    """
    inner = sgd_world("fixed-lr", lowest=2)
    world = inner(number, granted)
    example, n = world.meanings["example"], int(world[s.d])
    dice, diffusive = random.Random(f"snapshots {number}"), "diffusive snapshots" in granted

    def distance(world: World) -> Any:
        if not diffusive:
            return mp.sqrt(example.noise**2 * world[s.eta_eff]) / 5
        spread = world[s.diffusion_unit]
        return mp.sqrt(world[s.spacing] * mp.fsum(spread[i, i] for i in range(n)))

    def entropy(world: World, rate: Any, decay: Any) -> Any:
        there = world.at({s.eta: rate, s.lam: decay})
        return (n - 1) * mp.log(there[s.neighbour] * there[s.r]) + there[s.offset]

    return world.at(
        {
            s.neighbour: distance,
            s.spacing: mp.mpf(dice.uniform(3, 9)),
            s.offset: mp.mpf(dice.uniform(1, 3)),
            sp.Function("S"): entropy,
        }
    )


# The volume --------------------------------------------------------------------------------------


@world_maker(
    lambda away=False: (
        "the norm at fixed LR, d = 3 to 5, away from its stationary value, its exact step with all noise vectors listed"
        if away
        else "the norm at fixed LR, d = 3 to 5, its stationary moments from the exact step with all noise vectors "
        "listed; Gibbs' volume by quadrature over the weights"
    ),
    digits=2 * DIGITS,
)
def volume_world(number: int, granted: Assumptions, /, away: bool = False) -> World:
    """Worlds of the norm at fixed LR, with the law of its squared gradients written out.

    The stationary variance of r^2 solves the equations of its first six moments under the exact step.

    Parameters
    ----------
    away : bool
        Whether the norm is away from its stationary value; what belongs to the stationary state has no meaning then.
    """
    world = _volume(random.Random(f"volume {number}"), 3 + number % 3, granted, away)
    if away:
        for symbol in (s.squared, s.V, s.T, s.kick, s.recovery, s.var_V):
            del world.meanings[symbol]
    return world


def _volume(dice: random.Random, n: int, granted: Assumptions, away: bool) -> World:
    m = n - 1
    small = mp.mpf(10) ** -6 if "small steps" in granted else mp.mpf(1)
    rate, decay = small * mp.mpf(dice.uniform(0.3, 0.5)), small * mp.mpf(dice.uniform(0.3, 0.5))
    sigma = mp.mpf(dice.uniform(0.8, 1.2))
    shape = [mp.mpf(1)] * m if "isotropic noise" in granted else [mp.mpf(2 * i + 1) / m for i in range(m)]
    mean = [mp.mpf(0)] * m if "pure noise" in granted else [mp.mpf("0.4")] * m
    ripples = [mp.mpf(1)] if "homogeneous noise" in granted else [mp.mpf("0.6"), mp.mpf("1.4")]
    broken = small * mp.mpf(0 if "scale invariance" in granted else "0.3")
    laws = [_squares(mean, [sigma * mp.sqrt(a * ripple) for a in shape], granted) for ripple in ripples]
    law = [(probability / len(laws), value) for part in laws for probability, value in part]
    first = mp.fsum(probability * value for probability, value in law)

    def after(y: Any, square: Any) -> Any:
        """Squared norm after a step with this squared gradient at unit norm."""
        return (1 - rate * decay - rate * broken) ** 2 * y + rate**2 * square / y

    still = mp.sqrt(rate**2 * first / (1 - (1 - rate * decay - rate * broken) ** 2))
    y = still if "stationarity" in granted and not away else still * mp.mpf("1.3")

    def variance(_: World) -> Any:
        moments = _moments(lambda y, square: after(y, square) / still, law, still)
        return (moments[2] - moments[1] ** 2) * still**2 / 4

    tangent = mp.matrix([0] + [mp.mpf(dice.gauss(0, 1)) for _ in range(m)])
    w = mp.matrix([mp.sqrt(y)] + [0] * m)
    g = tangent / mp.sqrt(y) + w * broken
    spread = mp.diag([0] + [sigma**2 * ripples[0] * a for a in shape])
    here = [(probability * len(laws), value) for probability, value in law[: len(laws[0])]]
    mean_here, square_here = (mp.fsum(probability * value**k for probability, value in here) for k in (1, 2))
    noise = [(p, v) for p, v in _squares([mp.mpf(0)] * m, [sigma * mp.sqrt(a * ripples[0]) for a in shape], granted)]
    noise_mean, noise_square = (mp.fsum(probability * value**k for probability, value in noise) for k in (1, 2))
    size, reach = rate**2 / y, (1 - rate * decay - rate * broken) ** 2 * y
    pressure, heat = decay, rate * sigma**2 / (2 * y)

    def gibbs(power: int) -> Any:
        """Mean of a power of the volume |w|^2/2 under exp(-(L + p |w|^2/2)/T), whatever L(direction)."""
        edge = mp.sqrt(2 * heat / pressure)
        weight = [
            mp.quad(
                lambda r, k=k: (r / edge) ** (n - 1) * (r * r / 2 / edge**2) ** k * mp.exp(-((r / edge) ** 2)),
                [0, edge, 3 * edge, 9 * edge],
            )
            for k in (0, power)
        ]
        return weight[1] / weight[0] * edge ** (2 * power)

    def change(_: World, y: Any) -> Any:
        return mp.fsum(probability * after(y, value) for probability, value in law) - y

    meanings: dict[Any, Any] = {
        s.d: n,
        s.R: mp.mpf(m) / 2,
        s.R_Gibbs: lambda _: pressure * gibbs(1) / heat,
        s.eta: rate,
        s.lam: decay,
        s.p: pressure,
        s.sigma: sigma,
        s.T: heat,
        s.V: still / 2,
        s.r: mp.sqrt(y),
        s.squared: y,
        s.w: w,
        s.g: g,
        s.w_next: w - (g + w * decay) * rate,
        s.g_noise: tangent / mp.sqrt(y),
        s.Sigma: spread,
        s.Sigma_w: spread / y,
        s.tr_Sigma: noise_mean,
        s.Pi: mp.diag([0] + [1] * m),
        s.var_V: variance,
        s.var_V_Gibbs: lambda _: gibbs(2) - gibbs(1) ** 2,
        s.kick: (square_here - mean_here**2) * size**2,
        s.recovery: -_slope_at(lambda y: change(World({}), y), y),
        NoiseVariance(Dot(s.w_next, s.w_next)): (square_here - mean_here**2) * size**2,
        NoiseVariance(Dot(s.g, s.g)): (square_here - mean_here**2) / y**2,
        NoiseVariance(Dot(s.g_noise, s.g_noise)): (noise_square - noise_mean**2) / y**2,
        NoiseMean(Dot(s.g, s.g)): mean_here / y,
        Generator(s.r**2): reach + size * mean_here - y,
        sp.Function("f"): change,
        sp.Function("m"): lambda world, y: change(world, y) + y,
    }
    return World(meanings, f"the norm, d = {n}, eta lambda = {mp.nstr(rate * decay, 2)}")


def _slope_at(function: Callable[[Any], Any], point: Any) -> Any:
    step = point * mp.mpf(10) ** -15
    return (function(point + step) - function(point - step)) / (2 * step)


def _squares(mean: list[Any], scales: list[Any], granted: Assumptions) -> list[tuple[Any, Any]]:
    """Law of the squared length of mean + noise: three values per direction with a Gaussian's moments, or two."""
    gaussian = [(mp.mpf(2) / 3, mp.mpf(0)), (mp.mpf(1) / 6, mp.sqrt(3)), (mp.mpf(1) / 6, -mp.sqrt(3))]
    other = [(mp.mpf(4) / 5, mp.mpf(1) / 2), (mp.mpf(1) / 5, mp.mpf(-2))]
    law = [(mp.mpf(1), mp.mpf(0))]
    for m, scale in zip(mean, scales, strict=True):
        nodes = gaussian if "Gaussian noise" in granted else other
        law = [(p * q, value + (m + scale * z) ** 2) for p, value in law for q, z in nodes]
    merged: dict[str, tuple[Any, Any]] = {}
    for probability, value in law:
        key = mp.nstr(value, 25)
        merged[key] = (merged.get(key, (0, 0))[0] + probability, value)
    return list(merged.values())


def _moments(after: Callable[[Any, Any], Any], law: list[tuple[Any, Any]], still: Any) -> list[Any]:
    """Stationary moments 0 to 6 of the deviation of y/still from 1 under y -> after(y, square)."""
    top, rows = 6, []
    for power in range(1, top + 1):
        row = [mp.mpf(0)] * (top + 1)
        for probability, square in law:
            # Taylor coefficients of (after(still (1 + e)) - 1)^power: after = a (1 + e) + b/(1 + e).
            one, two = after(still, square), after(2 * still, square)
            a = (two - one / 2) * 2 / 3
            b = one - a
            base = [a + b - 1] + [(a if k == 1 else 0) + b * (-1) ** k for k in range(1, top + 1)]
            series = [mp.mpf(1)] + [mp.mpf(0)] * top
            for _ in range(power):
                series = [mp.fsum(series[j] * base[k - j] for j in range(k + 1)) for k in range(top + 1)]
            row = [x + probability * y for x, y in zip(row, series, strict=True)]
        row[power] -= 1
        rows.append(row)
    matrix = mp.matrix([row[1:] for row in rows])
    return [mp.mpf(1), *mp.lu_solve(matrix, -mp.matrix([row[0] for row in rows]))]
