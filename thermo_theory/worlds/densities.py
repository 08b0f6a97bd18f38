"""Worlds of densities: trial densities, flows of probability, and a density on the circle."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import Assumptions, World, precise, world_maker
from thermo_theory.worlds.sgd import sgd_world, surface_divergence
from thermo_theory.worlds.thermodynamics import Area, Energy, Probability, Stationary, i, n, numbers, pick

__all__ = ["circle_world", "flow_world", "trial_world"]


@world_maker("three patches with any density beside the stationary one; T, p and V of SGD itself at {protocol}")
def trial_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds with any density and volume beside the stationary ones.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere": T, p and V are SGD's own.
    """
    inner = sgd_world(protocol, ensemble=True)
    world = inner(number, granted)
    dice = random.Random(f"trial {protocol} {number}")
    count = 3
    losses, areas, trial = (numbers(dice, count, 0.3, 1.5) for _ in range(3))
    trial = [q / mp.fsum(trial) for q in trial]
    bends = [mp.mpf(1)] * count if "Gibbs law" in granted else numbers(dice, count, 0.5, 1.5)
    on_sphere = protocol == "fixed-sphere"

    def stationary(there: World, k: Any) -> Any:
        weights = [a * mp.exp(-e / there[s.T]) * b for a, e, b in zip(areas, losses, bends, strict=True)]
        return pick(weights, k) / mp.fsum(weights)

    def helmholtz(there: World, density: list[Any]) -> Any:
        return mp.fsum(q * (e + there[s.T] * mp.log(q / a)) for q, e, a in zip(density, losses, areas, strict=True))

    def own(there: World) -> list[Any]:
        return [stationary(there, k + 1) for k in range(count)]

    def at_volume(there: World, V: Any) -> Any:
        return there[s.p] * V - there[s.R] * there[s.T] * mp.log(2 * V)

    meanings = {
        n: count,
        i: 2,
        Energy: lambda _, k: pick(losses, k),
        Area: lambda _, k: pick(areas, k),
        Probability: lambda _, k: pick(trial, k),
        Stationary: stationary,
        s.Z: lambda there: mp.fsum(a * mp.exp(-e / there[s.T]) for a, e in zip(areas, losses, strict=True)),
    }
    if on_sphere:
        meanings |= {
            s.T: mp.mpf(dice.uniform(0.5, 1.5)),
            s.F: lambda there: helmholtz(there, own(there)),
            s.F_trial: lambda there: helmholtz(there, trial),
        }
    else:
        meanings |= {
            s.V_trial: mp.mpf(dice.uniform(0.5, 3)),
            s.G: lambda there: helmholtz(there, own(there)) + at_volume(there, there[s.V]),
            s.G_trial: lambda there: helmholtz(there, trial) + at_volume(there, there[s.V_trial]),
        }
    return world.at(meanings)


@world_maker(
    "SGD itself at {protocol}, d = 3 to 5, at a random point of the sphere, and how its probability flows there"
)
def flow_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds with the velocity of the probability at a point: of some density, or of the stationary one.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    world = sgd_world(protocol)(number, granted)
    start, steep = world[s.w_bar], world[s.grad_log_rho]

    def density(there: World) -> Any:
        # Up to a constant, and near the point: only its slope there counts.
        return mp.exp(mp.fdot(steep, there[s.w_bar] - start))

    def velocity(there: World) -> Any:
        spread = there.divergence(lambda moved: moved[s.diffusion_unit] * density(moved), there)  # type: ignore[misc]
        return there[s.drift_unit] - spread / 2

    def temperature(there: World) -> Any:
        # Einstein's relation, at the place where sigma is measured.
        return there[s.eta_eff] * there[s.sigma] ** 2 / 2

    def force(there: World) -> Any:
        # Of L + T log rho, coordinate by coordinate.
        loss, T = there.meanings["example"].loss, there[s.T]

        def merit(v: Any) -> Any:
            return loss(v) + T * mp.fdot(steep, v) / mp.norm(v, 2)

        sides = [mp.eye(start.rows)[:, k] for k in range(start.rows)]
        return mp.matrix([slope(lambda x, e=e: merit(start + x * e), mp.mpf(0)) for e in sides])

    return world.at({s.force: force, s.current: velocity, s.T: temperature})


def _still_on_circle(drift: Callable[[Any], Any], spread: Callable[[Any], Any], count: int) -> list[Any]:
    """Fourier coefficients of the density that Fokker and Planck's equation leaves as it is, cosines before sines."""
    nodes = [2 * mp.pi * k / count for k in range(count)]
    top = count // 2 - 1
    cosines = [[mp.cos(k * x) for x in nodes] for k in range(top + 1)]
    sines = [[mp.sin(k * x) for x in nodes] for k in range(top + 1)]
    fields = [(drift(x), spread(x)) for x in nodes]
    rows = []
    for k in range(1, top + 1):
        # Nothing changes the mean of any wave f: E[b f' + a f''/2] = 0.
        for wave, rise in ((cosines[k], [-y for y in sines[k]]), (sines[k], cosines[k])):
            change = [k * b * y - k**2 * a * x / 2 for x, y, (b, a) in zip(wave, rise, fields, strict=True)]
            rows.append([mp.fdot(change, other) for other in cosines + sines[1:]])
    whole = [mp.mpf(count)] + [mp.mpf(0)] * (2 * top)
    right = mp.matrix([mp.mpf(count) / (2 * mp.pi)] + [mp.mpf(0)] * (2 * top))
    return list(mp.lu_solve(mp.matrix([whole, *rows]), right))


@precise
def circle_world(number: int, granted: Assumptions) -> World:
    """A density on the circle (d = 2), stationary or not, and how Fokker and Planck's equation moves it."""
    dice = random.Random(f"circle {number}")
    (a, e, f), (b,) = numbers(dice, 3, 0.2, 0.6), numbers(dice, 1, 0.03, 0.06)
    rate, noise = numbers(dice, 2, 1.2, 1.5)
    ripple = mp.mpf(0 if "homogeneous noise" in granted else 0.4)
    warming = mp.mpf(0 if "constant effective learning rate" in granted else 0.3)
    known: dict[Any, Any] = {}

    def loss(x: Any) -> Any:
        return a * mp.cos(x) + b * mp.sin(2 * x)

    def loss_slope(x: Any) -> Any:
        return -a * mp.sin(x) + 2 * b * mp.cos(2 * x)

    def strength(x: Any) -> Any:
        return noise**2 * (1 + ripple * mp.sin(x + 1))

    waves = [1 / (2 * mp.pi), e / (2 * mp.pi), f / (4 * mp.pi)]
    if "stationarity" in granted:
        waves = _still_on_circle(lambda x: -rate * loss_slope(x), lambda x: rate**2 * strength(x), 40)
    top = len(waves) // 2

    @cache
    def start(x: Any) -> Any:
        return waves[0] + mp.fsum(waves[k] * mp.cos(k * x) + waves[top + k] * mp.sin(k * x) for k in range(1, top + 1))

    @cache
    def start_slope(x: Any) -> Any:
        return mp.fsum(k * (waves[top + k] * mp.cos(k * x) - waves[k] * mp.sin(k * x)) for k in range(1, top + 1))

    def flux(x: Any) -> Any:
        spread = slope(lambda y: strength(y) * start(y), x) if ripple else strength(x) * start_slope(x)
        return -rate * loss_slope(x) * start(x) - rate**2 * spread / 2

    def growth(x: Any) -> Any:
        if x not in known:
            known[x] = mp.mpf(0) if "stationarity" in granted else -slope(flux, x)
        return known[x]

    def density(x: Any, time: Any) -> Any:
        return start(x) + (time * growth(x) if time else 0)

    def along(x: Any) -> Any:
        return mp.matrix([-mp.sin(x), mp.cos(x)])

    def angle(u: Any) -> Any:
        return mp.atan2(u[1], u[0])

    T = rate * noise**2 / 2
    nodes = [2 * mp.pi * k / 40 for k in range(40)]

    def free(time: Any, heat: Any) -> Any:
        values = [density(x, time) for x in nodes]
        return 2 * mp.pi / 40 * mp.fsum(q * (loss(x) + heat * mp.log(q)) for q, x in zip(values, nodes, strict=True))

    def divergence(function: Callable[[World], Any], world: World) -> Any:
        return surface_divergence(lambda u: function(world.at({"angle": angle(u)})), along_u(world["angle"]))

    def along_u(x: Any) -> Any:
        return mp.matrix([mp.cos(x), mp.sin(x)])

    def projector(world: World) -> Any:
        return along(world["angle"]) * along(world["angle"]).T

    meanings: dict[Any, Any] = {
        "angle": mp.mpf(dice.uniform(0.2, 1)),
        "nodes": nodes,
        s.t: mp.mpf(0),
        s.d: 2,
        s.T: T,
        s.eta_eff: rate,
        s.sigma: noise,
        s.tr_Sigma: lambda world: strength(world["angle"]),
        s.Pi: projector,
        s.Sigma: lambda world: projector(world) * strength(world["angle"]),
        s.L: lambda world: loss(world["angle"]),
        s.rho: lambda world: density(world["angle"], world[s.t]),
        s.grad_L_unit: lambda world: along(world["angle"]) * loss_slope(world["angle"]),
        s.grad_log_rho: lambda world: along(world["angle"]) * (start_slope(world["angle"]) / start(world["angle"])),
        s.drift_unit: lambda world: along(world["angle"]) * (-rate * loss_slope(world["angle"])),
        s.diffusion_unit: lambda world: projector(world) * (rate**2 * strength(world["angle"])),
        s.force: lambda world: along(world["angle"]) * slope(lambda x: loss(x) + T * mp.log(start(x)), world["angle"]),
        s.current: lambda world: along(world["angle"]) * (flux(world["angle"]) / start(world["angle"])),
        sp.Function("F"): lambda _, time: free(time, T * (1 + warming * time)),
        sp.Function("F_T"): lambda _, time: free(time, T),
    }
    return World(meanings, f"circle {number}", divergence=divergence)
