"""Worlds of densities: trial densities, flows of probability, and a density on the circle."""

from __future__ import annotations

import random
from collections.abc import Callable
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


@precise
def flow_world(number: int, granted: Assumptions) -> World:
    """SGD itself at fixed ELR, d = 3 to 5, at a random point of a sphere with some density that is not stationary."""
    world = sgd_world("fixed-elr")(number, granted)
    dice = random.Random(f"flow {number}")
    dimension = int(world[s.d])
    tilt = mp.matrix(numbers(dice, dimension, -1, 1))

    def density(there: World) -> Any:
        u = there[s.w_bar]
        return mp.exp(mp.fdot(tilt, u) + u[0] ** 2 / 2)

    def log_slope(there: World) -> Any:
        u = there[s.w_bar]
        full = tilt.copy()
        full[0] += u[0]
        return there[s.Pi] * full

    def velocity(there: World) -> Any:
        spread = there.divergence(lambda moved: moved[s.diffusion_unit] * density(moved), there)  # type: ignore[misc]
        return there[s.drift_unit] - spread / (2 * density(there))

    def temperature(there: World) -> Any:
        # Einstein's relation, at the place where sigma is measured.
        return there[s.eta_eff] * there[s.sigma] ** 2 / 2

    def force(there: World) -> Any:
        # Of L + T log rho along the sphere, direction by direction.
        T, u = there[s.T], there[s.w_bar]
        loss = there.meanings["example"].loss
        total = mp.matrix(dimension, 1)
        for k in range(dimension):
            along = there[s.Pi][:, k]

            def ahead(x: Any, along: Any = along) -> Any:
                v = u + x * along
                v = v / mp.norm(v, 2)
                return loss(v) + T * (mp.fdot(tilt, v) + v[0] ** 2 / 2)

            total += along * slope(ahead, mp.mpf(0))
        return there[s.Pi] * total

    return world.at({s.force: force, s.grad_log_rho: log_slope, s.rho: density, s.current: velocity, s.T: temperature})


@precise
def circle_world(number: int, granted: Assumptions) -> World:
    """Some density on the circle (d = 2) that is not stationary, and how Fokker and Planck's equation moves it."""
    dice = random.Random(f"circle {number}")
    a, b, e, f = numbers(dice, 4, 0.2, 0.6)
    rate, noise = numbers(dice, 2, 0.5, 1.2)
    ripple = mp.mpf(0 if "homogeneous noise" in granted else 0.4)
    known: dict[Any, Any] = {}

    def loss(x: Any) -> Any:
        return a * mp.cos(x) + b * mp.sin(2 * x)

    def loss_slope(x: Any) -> Any:
        return -a * mp.sin(x) + 2 * b * mp.cos(2 * x)

    def start(x: Any) -> Any:
        return (1 + e * mp.cos(x) + f * mp.sin(x) / 2) / (2 * mp.pi)

    def start_slope(x: Any) -> Any:
        return (-e * mp.sin(x) + f * mp.cos(x) / 2) / (2 * mp.pi)

    def strength(x: Any) -> Any:
        return noise**2 * (1 + ripple * mp.sin(x + 1))

    def flux(x: Any) -> Any:
        spread = slope(lambda y: strength(y) * start(y), x) if ripple else strength(x) * start_slope(x)
        return -rate * loss_slope(x) * start(x) - rate**2 * spread / 2

    def growth(x: Any) -> Any:
        if x not in known:
            known[x] = -slope(flux, x)
        return known[x]

    def density(x: Any, time: Any) -> Any:
        return start(x) + (time * growth(x) if time else 0)

    def along(x: Any) -> Any:
        return mp.matrix([-mp.sin(x), mp.cos(x)])

    def angle(u: Any) -> Any:
        return mp.atan2(u[1], u[0])

    T = rate * noise**2 / 2
    nodes = [2 * mp.pi * k / 64 for k in range(64)]

    def free(_: World, time: Any) -> Any:
        values = [density(x, time) for x in nodes]
        return 2 * mp.pi / 64 * mp.fsum(q * (loss(x) + T * mp.log(q)) for q, x in zip(values, nodes, strict=True))

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
        sp.Function("F"): free,
    }
    return World(meanings, f"circle {number}", divergence=divergence)
