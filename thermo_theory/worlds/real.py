"""Gases with and without a length scale: the pressure is the weight decay that holds a norm, found by trial."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import DIGITS, Assumptions, World, precise
from thermo_theory.worlds.sgd import SGDWorld, _direction, _example, _point

__all__ = ["length_scale_world", "van_der_waals_world", "volume_world"]


def _trace(matrix: Any) -> Any:
    return mp.fsum(matrix[i, i] for i in range(matrix.rows))


@precise
def volume_world(number: int, granted: Assumptions) -> World:
    """Discrete SGD, d = 2 to 4, any noise: the pressure is the weight decay that holds a norm at a temperature."""
    dice = random.Random(f"real {number}")
    n = 2 + number % 3
    example, u = _example("fixed-lr", dice, granted, n), _direction(n, dice)
    known: dict[Any, Any] = {}

    def pressure(_: World, heat: Any, volume: Any) -> Any:
        if (heat, volume) not in known:
            point = u * mp.sqrt(2 * volume)
            rate = 2 * (n - 1) * heat / _trace(example.covariance(point))

            def growth(decay: Any) -> Any:
                return replace(example, rate=rate, decay=decay).rate_of(lambda w: mp.fdot(w, w), point)

            known[heat, volume] = mp.findroot(
                growth, (mp.mpf(0), mp.mpf("0.01")), tol=mp.mpf(10) ** -DIGITS, verify=False
            )
        return known[heat, volume]

    def factor(world: World, heat: Any, volume: Any) -> Any:
        return pressure(world, heat, volume) * volume / (mp.mpf(n - 1) / 2 * heat)

    meanings: dict[Any, Any] = {
        s.T: mp.mpf("0.03"),
        s.V: mp.mpf(dice.uniform(0.8, 1.5)),
        s.V0: mp.mpf(dice.uniform(1.8, 2.5)),
        s.c: mp.mpf(dice.uniform(1.2, 1.5)),
        s.R: mp.mpf(n - 1) / 2,
        sp.Function("p"): pressure,
        sp.Function("Z"): factor,
    }
    return World(meanings, f"SGD held at a norm, d = {n}")


def van_der_waals_world(number: int, granted: Assumptions) -> World:
    """Van der Waals' free energy -R T log(V - b) - a/V; the hottest level isotherm has its critical point."""
    constant, attraction, size = mp.mpf("1.5") + number, mp.mpf("0.8") + mp.mpf(number) / 7, mp.mpf("0.23")

    def pressure(_: World | None, heat: Any, volume: Any) -> Any:
        return -mp.diff(lambda v: -constant * heat * mp.log(v - size) - attraction / v, volume)

    def level(volume: Any) -> Any:
        # The slope of an isotherm is linear in T: two of them give the T at which it vanishes.
        one, two = (slope(partial(pressure, None, heat), volume) for heat in (1, 2))
        return 1 - one / (two - one)

    with mp.workdps(DIGITS + 10):
        known: dict[str, Any] = {}

        def place(_: World) -> Any:
            if "V" not in known:
                known["V"] = mp.findroot(
                    lambda v: slope(level, v),
                    (2 * size, 5 * size),
                    solver="anderson",
                    tol=mp.mpf(10) ** -24,
                    verify=False,
                )
            return known["V"]

        meanings: dict[Any, Any] = {
            s.T: mp.mpf("1.3"),
            s.V: mp.mpf("1.9"),
            s.R: constant,
            s.vdw_a: attraction,
            s.vdw_b: size,
            sp.Function("p_W"): pressure,
            s.Z_c: lambda world: pressure(world, world[s.T], world[s.V]) * world[s.V] / (constant * world[s.T]),
            s.V_c: place,
            s.T_c: lambda world: level(world[s.V_c]),
            s.p_c: lambda world: pressure(world, world[s.T_c], world[s.V_c]),
        }
    return World(meanings, "van der Waals' gas")


@dataclass(frozen=True)
class Scaled(SGDWorld):
    """SGD on a loss of ``h = w/sqrt(|w|^2 + eps)``, of its length too, and of a rest that depends on w itself."""

    eps: Any = 0
    rest: Any = 0

    def loss(self, w: Any) -> Any:
        """Expected loss at w."""
        return self.of_normalised(w / mp.sqrt(mp.fdot(w, w) + self.eps)) + self.rest * (mp.fdot(w, w) / 2 + w[0])

    def of_normalised(self, h: Any) -> Any:
        """The loss as a function of the normalised weights."""
        return -h[0] + self.curvature * h[0] ** 2 + mp.fdot(h, h) ** 2 / 5 + h[1] ** 3 / 3


@precise
def length_scale_world(number: int, granted: Assumptions) -> World:
    """SGD itself at fixed LR, d = 3 to 5, with noise of any kind, on weights normalised by sqrt(r^2 + eps)."""
    n = 3 + number % 3
    plain = _example("fixed-lr", random.Random(f"length {number}"), granted, n)
    start = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    rest = mp.mpf(0 if "normalised weights" in granted else 0.1)
    built: dict[Any, World] = {}

    def at(size: Any) -> World:
        if size not in built:
            example = Scaled(**start, eps=size, rest=rest)
            built[size] = _point(example, random.Random(f"length {number}"), granted)
        return built[size]

    def part(symbol: Any) -> Callable[[World], Any]:
        return lambda world: at(world[s.eps])[symbol]

    def generator(function: Callable[[World], Any], world: World) -> Any:
        example = at(world[s.eps]).meanings["example"]
        return example.rate_of(lambda moved: function(world.at({s.w: moved})), world[s.w])

    def stretching(world: World) -> Any:
        h = world[s.w] / mp.sqrt(mp.fdot(world[s.w], world[s.w]) + world[s.eps])
        example = at(world[s.eps]).meanings["example"]
        return slope(lambda factor: example.of_normalised(h * factor), mp.mpf(1))

    meanings: dict[Any, Any] = {
        symbol: part(symbol)
        for symbol in (s.w, s.grad_L, s.Sigma_w, s.drift, s.diffusion, s.drift_squared, s.eta, s.lam, s.p, s.V)
    }
    meanings |= {
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.eps: mp.mpf("0.2"),
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.T: lambda world: world[s.eta] * _trace(world[s.Sigma_w]) / (2 * (n - 1)),
        s.stretch: stretching,
        s.Z_c: lambda world: world[s.p] * world[s.V] / (world[s.R] * world[s.T]),
    }
    return World(meanings, f"weights with a length scale, d = {n}", generator=generator)
