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
from thermo_theory.numeric.domain import POSITIVE, Domain
from thermo_theory.worlds.geometry import surface_divergence
from thermo_theory.worlds.sgd import sgd_world
from thermo_theory.worlds.thermodynamics import Area, Energy, Probability, Stationary, i, n, numbers, pick

__all__ = ["circle_world", "flow_world", "regularised_world", "trial_world"]

#: Heights of two waves in the log of a density on the circle.
_FIRST, _SECOND = "height of the first wave", "height of the second wave"


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
    bends = [mp.mpf(1)] * count if "Gibbs law" in granted else numbers(dice, count, 0.5, 1.5)
    on_sphere = protocol == "fixed-sphere"

    def stationary(there: World, k: Any) -> Any:
        weights = [a * mp.exp(-e / there[s.T]) * b for a, e, b in zip(areas, losses, bends, strict=True)]
        return pick(weights, k) / mp.fsum(weights)

    shares = [f"share of patch {k + 1}" for k in range(count)]

    def any_density(there: World) -> list[Any]:
        whole = mp.fsum(there[share] for share in shares)
        return [there[share] / whole for share in shares]

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
        **dict(zip(shares, trial, strict=True)),
        Probability: lambda there, k: pick(any_density(there), k),
        Stationary: stationary,
        s.Z: lambda there: mp.fsum(a * mp.exp(-e / there[s.T]) for a, e in zip(areas, losses, strict=True)),
    }
    if on_sphere:
        meanings |= {
            s.T: mp.mpf(dice.uniform(0.5, 1.5)),
            s.F: lambda there: helmholtz(there, own(there)),
            s.F_trial: lambda there: helmholtz(there, any_density(there)),
        }
    else:
        meanings |= {
            s.V_trial: mp.mpf(dice.uniform(0.5, 3)),
            s.G: lambda there: helmholtz(there, own(there)) + at_volume(there, there[s.V]),
            s.G_trial: lambda there: helmholtz(there, any_density(there)) + at_volume(there, there[s.V_trial]),
        }
    trials = world.at(meanings)
    # Only their ratios matter: one of them stays.
    trials.free = dict.fromkeys([*shares[1:], *([] if on_sphere else [s.V_trial])], POSITIVE)
    return trials


@precise
def regularised_world(number: int, granted: Assumptions) -> World:
    """Any density on patches of a sphere of any radius: its mean loss and entropy are sums, V minimises G."""
    dice = random.Random(f"regularised {number}")
    count, directions = 3, mp.mpf(2 + number)
    losses, areas, density = (numbers(dice, count, 0.3, 1.5) for _ in range(3))
    density = [q / mp.fsum(density) for q in density]
    broken = mp.mpf(0 if "scale invariance" in granted else 0.2)
    T, decay = numbers(dice, 2, 0.3, 1)

    def energy(V: Any) -> Any:
        return mp.fsum(q * (e + broken * k * V) for k, (q, e) in enumerate(zip(density, losses, strict=True)))

    def entropy(V: Any) -> Any:
        radius = mp.sqrt(2 * V)
        return -mp.fsum(q * mp.log(q / (a * radius**directions)) for q, a in zip(density, areas, strict=True))

    def merit(V: Any) -> Any:
        return energy(V) - T * entropy(V) + decay * V

    log_best = mp.findroot(
        lambda x: slope(merit, mp.exp(x)),
        (mp.mpf(-4), mp.mpf(4)),
        solver="anderson",
        tol=mp.mpf(10) ** -40,
        verify=False,
    )
    best = mp.exp(log_best)
    meanings = {
        s.lam: decay,
        s.p: decay,
        s.T: T,
        s.R: directions / 2,
        s.d: directions + 1,
        s.V: best,
        s.r: lambda world: mp.sqrt(2 * world[s.V]),
        s.U: mp.fsum(q * e for q, e in zip(density, losses, strict=True)),
        s.S_sphere: entropy(mp.mpf(1) / 2),
        sp.Function("U"): lambda _, V: energy(V),
        sp.Function("S"): lambda _, V: entropy(V),
        sp.Function("G"): lambda _, V: merit(V),
    }
    return World(meanings, f"regularised {number}")


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

        def along(side: Any) -> Any:
            return slope(lambda x: merit(start + x * side), mp.mpf(0))

        return mp.matrix([along(mp.eye(start.rows)[:, k]) for k in range(start.rows)])

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
    nodes = [2 * mp.pi * k / 64 for k in range(64)]
    waves = {x: (mp.cos(x), mp.sin(x), mp.cos(2 * x), mp.sin(2 * x)) for x in nodes}
    known: dict[Any, Any] = {}

    def wave(x: Any) -> tuple[Any, ...]:
        return waves[x] if x in waves else (mp.cos(x), mp.sin(x), mp.cos(2 * x), mp.sin(2 * x))

    def loss(x: Any) -> Any:
        return a * wave(x)[0] + b * wave(x)[3]

    def loss_slopes(x: Any) -> tuple[Any, Any]:
        c, s1, c2, s2 = wave(x)
        return -a * s1 + 2 * b * c2, -a * c - 4 * b * s2

    def strengths(x: Any) -> tuple[Any, Any, Any]:
        """Strength of the noise, its slope and its bend."""
        if not ripple:
            return noise**2, mp.mpf(0), mp.mpf(0)
        up, across = noise**2 * ripple * mp.sin(x + 1), noise**2 * ripple * mp.cos(x + 1)
        return noise**2 + up, across, -up

    still: list[Any] = []
    if "stationarity" in granted:
        still = _still_on_circle(lambda x: -rate * loss_slopes(x)[0], lambda x: rate**2 * strengths(x)[0], 40)

    @cache
    def still_slopes(x: Any) -> list[Any]:
        """The stationary density, and its slope."""
        top = len(still) // 2
        pairs = [(k, mp.cos(k * x), mp.sin(k * x)) for k in range(1, top + 1)]
        return [
            still[0] + mp.fsum(still[k] * c + still[top + k] * s1 for k, c, s1 in pairs),
            mp.fsum(k * (still[top + k] * c - still[k] * s1) for k, c, s1 in pairs),
        ]

    def start(there: World, x: Any) -> Any:
        """Density at the time 0: the stationary one, or the exponential of two waves in phase with the loss's."""
        if still:
            return still_slopes(x)[0]
        height = there[_FIRST], there[_SECOND]
        if (height, mp.mp.prec) not in known:
            known[height, mp.mp.prec] = mp.fsum(mp.exp(height[0] * wave(y)[0] + height[1] * wave(y)[3]) for y in nodes)
        whole = known[height, mp.mp.prec] * 2 * mp.pi / len(nodes)
        return mp.exp(height[0] * wave(x)[0] + height[1] * wave(x)[3]) / whole

    def log_slopes(there: World, x: Any) -> tuple[Any, Any]:
        if still:  # its bend is needed for nothing
            return still_slopes(x)[1] / still_slopes(x)[0], mp.nan
        c, s1, c2, s2 = wave(x)
        one, two = there[_FIRST], there[_SECOND]
        return -one * s1 + 2 * two * c2, -one * c - 4 * two * s2

    def velocity(there: World, x: Any) -> Any:
        strength, rise, _ = strengths(x)
        return -rate * loss_slopes(x)[0] - rate**2 * (rise + strength * log_slopes(there, x)[0]) / 2

    def growth(there: World, x: Any) -> Any:
        """Rate of the density: minus the slope of density times velocity, over the density."""
        if still:
            return mp.mpf(0)
        (strength, rise, bend), (_, bent_pull), (tilt, bent) = strengths(x), loss_slopes(x), log_slopes(there, x)
        faster = -rate * bent_pull - rate**2 * (bend + rise * tilt + strength * bent) / 2
        return -faster - velocity(there, x) * tilt

    def density(there: World, x: Any, time: Any) -> Any:
        return start(there, x) * (1 + (time * growth(there, x) if time else 0))

    def along(x: Any) -> Any:
        return mp.matrix([-mp.sin(x), mp.cos(x)])

    def angle(u: Any) -> Any:
        return mp.atan2(u[1], u[0])

    T = rate * noise**2 / 2

    def free_energy(there: World, time: Any, heat: Any) -> Any:
        # A sum of few digits needs fewer nodes.
        some = nodes[:: 2 if mp.mp.dps < 20 else 1]
        key = there[_FIRST], there[_SECOND], mp.mp.prec
        if key not in known:
            known[key] = [(start(there, x), growth(there, x), loss(x)) for x in some]
        values = [(q * (1 + time * faster), energy) for q, faster, energy in known[key]]
        return 2 * mp.pi / len(some) * mp.fsum(q * (energy + heat * mp.log(q)) for q, energy in values)

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
        _FIRST: e,
        _SECOND: f,
        s.tr_Sigma: lambda world: strengths(world["angle"])[0],
        s.Pi: projector,
        s.Sigma: lambda world: projector(world) * strengths(world["angle"])[0],
        s.L: lambda world: loss(world["angle"]),
        s.rho: lambda world: density(world, world["angle"], world[s.t]),
        s.grad_L_unit: lambda world: along(world["angle"]) * loss_slopes(world["angle"])[0],
        s.grad_log_rho: lambda world: along(world["angle"]) * log_slopes(world, world["angle"])[0],
        s.drift_unit: lambda world: along(world["angle"]) * (-rate * loss_slopes(world["angle"])[0]),
        s.diffusion_unit: lambda world: projector(world) * (rate**2 * strengths(world["angle"])[0]),
        s.force: lambda world: (
            along(world["angle"]) * slope(lambda x: loss(x) + T * mp.log(start(world, x)), world["angle"])
        ),
        s.current: lambda world: along(world["angle"]) * velocity(world, world["angle"]),
        sp.Function("F"): lambda world, time: free_energy(world, time, T * (1 + warming * time)),
        sp.Function("F_T"): lambda world, time: free_energy(world, time, T),
    }
    heights = dict.fromkeys((_FIRST, _SECOND), Domain(-3.0, 3.0))
    # A search takes seconds: one of the circles is searched.
    return World(
        meanings, f"circle {number}", divergence=divergence, free=heights if number == 0 and not still else None
    )
