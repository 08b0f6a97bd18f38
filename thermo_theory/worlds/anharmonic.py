"""Wells that are not quadratic: quartic ones in several dimensions, and one direction with any third derivative.

Stationary densities are sums over a grid, which for smooth functions that decay on both sides is exact to all digits;
where a statement needs less than a density, any two weights do that keep the mean squared distance.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.worlds.beyond import equally_likely, positive_definite
from thermo_theory.worlds.sgd import two_points

__all__ = ["bent_world", "energy_at", "quartic_at", "quartic_world"]

#: Mean loss, and mean of its quartic part, at a temperature.
energy_at = sp.Function("U")
quartic_at = sp.Function("U_4")


def _law(density: Callable[[Any], Any], width: Any) -> list[tuple[Any, Any]]:
    """Places and how much they count; `width` is that of the density."""
    return [(x, density(x)) for x in (width * k * mp.mpf("0.3") for k in range(-60, 61))]


def _mean(of: Callable[[Any], Any], law: list[tuple[Any, Any]]) -> Any:
    return mp.fsum(weight * of(x) for x, weight in law) / mp.fsum(weight for _, weight in law)


@world_maker(
    "SGD in a quartic well: 1 or 3 dimensions with its stationary density summed over a grid, or 2 with noise that is "
    "not isotropic at two weights between which the mean squared distance is constant"
)
def quartic_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a well with a quadratic and a quartic part."""
    dice, n = random.Random(f"quartic {number}"), (1, 3, 2)[number % 3]
    hotter, normal = mp.mpf(1 if "stationarity" in granted else "1.3"), "normal density" in granted
    sextic, discrete = mp.mpf(0 if "quartic well" in granted else "0.1"), "continuous time" not in granted
    rate, heat, bend = mp.mpf("0.1"), mp.mpf(dice.uniform(0.2, 0.4)), mp.mpf(dice.uniform(0.2, 0.5))
    shape, curvature = (mp.eye(n) if n != 2 else positive_definite(2, dice) for _ in range(2))
    noise = shape * (2 * heat * n / (rate * mp.fsum(shape[i, i] for i in range(n))))

    def loss(w: Any) -> Any:
        square = mp.fdot(w, w)
        return mp.fdot(w, curvature * w) / 2 + bend * square**2 / 4 + sextic * square**3

    def gradient(w: Any) -> Any:
        square = mp.fdot(w, w)
        return curvature * w + (bend * square + 6 * sextic * square**2) * w

    def change(function: Callable[[Any], Any], w: Any, time: Any) -> Any:
        moved = w - gradient(w) * (rate * time)
        kicks = equally_likely(noise * (rate**2 * time))
        return (mp.fsum(function(moved + kick) for kick in kicks) / len(kicks) - function(w)) / time

    def rate_of(function: Callable[[Any], Any], w: Any) -> Any:
        if discrete:
            return change(function, w, mp.mpf(1))
        time = mp.mpf(10) ** -(DIGITS // 3)
        return 2 * change(function, w, time / 2) - change(function, w, time)

    def radial(x: Any) -> Any:
        return x**2 / 2 + bend * x**4 / 4 + sextic * x**6

    def law(temperature: Any) -> list[tuple[Any, Any]]:
        """Distances from the minimum: of the Gibbs law, or two that keep the mean squared one in continuous time."""
        T = temperature * hotter * (1 + rate / 2 * int(discrete))  # steps that are not small heat the weights
        if normal:
            return _law(lambda x: mp.fabs(x) ** (n - 1) * mp.exp(-radial(x) / T), mp.sqrt(T))
        near, far = (mp.sqrt(n * T * mp.mpf(part)) for part in ("0.3", "2"))
        pulls = [x * slope(radial, x) - n * T for x in (near, far)]
        return [(near, pulls[1]), (far, -pulls[0])]

    def quartic(x: Any) -> Any:
        return bend * x**4 / 4

    def distance(w: Any) -> Any:
        return rate_of(lambda moved: mp.fdot(moved, moved), w)

    def draw() -> Any:
        return mp.matrix([mp.mpf(dice.gauss(0, dice.uniform(0.1, 1.5))) for _ in range(n)])

    in_one: dict[Any, Any] = {
        energy_at: lambda _, temperature: _mean(radial, law(temperature)),
        quartic_at: lambda _, temperature: _mean(quartic, law(temperature)),
        s.C_V: lambda world: slope(lambda T: _mean(radial, law(T)), world[s.T]),
        s.softness: _mean(quartic, _law(lambda x: mp.fabs(x) ** (n - 1) * mp.exp(-(x**2) / 2), mp.mpf(1))),
    }
    points = [(mp.matrix([x, *[0] * (n - 1)]), weight) for x, weight in law(heat)] if n != 2 else []
    points = points or two_points(draw, distance, hotter == 1)
    meanings: dict[Any, Any] = {
        s.w: points[0][0],
        s.eta: rate,
        s.R: mp.mpf(n) / 2,
        s.T: heat,
        s.L: lambda world: loss(world[s.w]),
        s.L_quartic: lambda world: quartic(mp.norm(world[s.w], 2)),
        s.grad_L: lambda world: gradient(world[s.w]),
        s.drift: lambda world: gradient(world[s.w]) * -rate,
        s.diffusion: lambda world: (noise + gradient(world[s.w]) * gradient(world[s.w]).T * int(discrete)) * rate**2,
        s.Sigma_w: noise,
        **(in_one if n != 2 else {}),
    }
    ensemble = [{s.w: w, "weight": weight} for w, weight in points]

    def generator(function: Callable[[World], Any], world: World) -> Any:
        return rate_of(lambda w: function(world.at({s.w: w})), world[s.w])

    return World(meanings, f"a quartic well, {n} dimensions", ensemble=ensemble, generator=generator)


@world_maker("one direction of a well with third and fourth derivatives, its density summed over a grid")
def bent_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a well along one direction."""
    dice = random.Random(f"bent {number}")
    h, third, fourth = (mp.mpf(dice.uniform(*ends)) for ends in ((0.8, 1.5), (-0.6, 0.6), (0.5, 1)))
    other = mp.mpf(0 if "Gibbs law" in granted else "0.3")

    def loss(x: Any) -> Any:
        return h * x**2 / 2 + third * x**3 / 6 + fourth * x**4 / 24

    def energy(_: World, temperature: Any) -> Any:
        def density(x: Any) -> Any:
            return mp.exp(-(loss(x) + other * x**2) / temperature)

        return _mean(loss, _law(density, mp.sqrt(temperature / h)))

    meanings: dict[Any, Any] = {
        energy_at: energy,
        s.T: mp.mpf("0.2"),
        s.h: h,
        s.third: third,
        s.fourth: fourth,
        s.R: mp.mpf(1) / 2,
        s.C_V: lambda world: slope(lambda T: energy(world, T), world[s.T]),
    }
    return World(meanings, "a bent well")
