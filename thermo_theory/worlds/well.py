"""SGD in a quadratic well, with means over its stationary law: energies, slopes and fluctuations of the loss.

The covariance is the fixed point of an enumerated step (`linear_world`); normal weights are the nodes of Gauss and
Hermite, exact for polynomials to the fifth degree, so that no formula for moments is used.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.beyond import Linear, equally_likely, linear_world

__all__ = ["normal_points", "potential_energy", "potential_entropy", "well_on_sphere", "well_world"]

#: Mean of the implicit potential, and entropy of the weights, at a temperature; the potential is that of the world.
potential_energy = sp.Function("U_Phi")
potential_entropy = sp.Function("S_Phi", real=True)


def normal_points(covariance: Any) -> list[tuple[Any, Any]]:
    """Points and weights that have the moments of a normal law up to the fifth."""
    n, root = covariance.rows, mp.cholesky(covariance)
    nodes = [(mp.mpf(0), mp.mpf(2) / 3), (mp.sqrt(3), mp.mpf(1) / 6), (-mp.sqrt(3), mp.mpf(1) / 6)]
    return [
        (root * mp.matrix([place for place, _ in chosen]), mp.fprod(weight for _, weight in chosen))
        for chosen in product(nodes, repeat=n)
    ]


@world_maker(
    "SGD on a quadratic loss with random matrices in 2 or 3 dimensions; the covariance is the fixed point of an "
    "enumerated step, means are over a normal law of this covariance by Gauss and Hermite"
)
def well_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a well whose weights are drawn from their stationary law."""
    base = linear_world()(3 * (number // 2) + number % 2, granted)
    dice = random.Random(f"well {number}")
    rate, covariance, heat = base[s.eta], base[s.C], base[s.T]
    n, here = covariance.rows, base[s.w]
    normal, quadratic = "normal density" in granted, "quadratic loss" in granted
    still, continuous = "stationarity" in granted, "continuous time" in granted
    ripple = mp.mpf(0 if "homogeneous noise" in granted else 0.05)
    curvature, bend = base[s.Hess], mp.mpf(0 if quadratic else 0.4)
    inverse, heavy = mp.inverse(covariance), mp.mpf(0 if normal else 0.1)
    flat = base[s.Sigma_w] / (1 + ripple * mp.fdot(here, here))
    # Where the law is not normal its kurtosis is another one.
    points = normal_points(covariance) if normal else [(w, mp.mpf(1)) for w in equally_likely(covariance)]

    def form(matrix: Any, w: Any) -> Any:
        return mp.fdot(list(w), list(matrix * w))

    def potential(w: Any) -> Any:
        square = form(inverse, w)
        return heat * (square / 2 + heavy * square**2)

    def loss(w: Any) -> Any:
        return form(curvature, w) / 2 + bend * form(curvature, w) ** 2 / 4

    def gradient(w: Any) -> Any:
        return curvature * w * (1 + bend * form(curvature, w))

    def covariance_at(temperature: Any) -> Any:
        """At another temperature of the same noise: another rate."""
        if not still:
            return covariance * mp.sqrt(temperature / heat)
        other = rate * temperature / heat
        return Linear(curvature * other, curvature * bend, flat * other**2, ripple, not continuous).still()

    def energy(_: World, temperature: Any) -> Any:
        spread = covariance_at(temperature)
        law = normal_points(spread) if normal else [(w, mp.mpf(1) / (2 * n)) for w in equally_likely(spread)]
        return mp.fsum(weight * potential(w) for w, weight in law)

    def entropy(_: World, temperature: Any) -> Any:
        spread = covariance_at(temperature)
        # That of a law that is not normal is not exactly a logarithm; any other function will do.
        extra = heavy * mp.sqrt(temperature)
        return mp.log(mp.det(spread) * (2 * mp.pi * mp.e) ** n) / 2 + extra

    def average(of: Callable[[Any], Any]) -> Any:
        return mp.fsum(weight * of(w) for w, weight in points) / mp.fsum(weight for _, weight in points)

    mean_loss, trace = average(loss), mp.fsum(curvature[i, i] for i in range(n))
    variance = average(lambda w: (loss(w) - mean_loss) ** 2)

    meanings = {
        **base.meanings,
        s.d: n + 1,
        s.R: mp.mpf(n) / 2,
        s.Hess_Phi: heat * inverse,
        s.C_step: base[s.C_next],
        s.T1: heat * mp.mpf(dice.uniform(0.4, 0.8)),
        s.L: lambda world: loss(world[s.w]),
        s.grad_L: lambda world: gradient(world[s.w]),
        s.Phi: lambda world: potential(world[s.w]),
        s.drift: lambda world: gradient(world[s.w]) * -rate,
        s.U: mean_loss,
        s.var_L: variance,
        s.fluctuation: variance / (heat**2 * n / 2),
        s.warmth: average(lambda w: mp.norm(gradient(w), 2) ** 2) / (heat * trace),
        s.C_V: lambda world: slope(lambda temperature: energy(world, temperature), heat),
        potential_energy: energy,
        potential_entropy: entropy,
    }
    ensemble = [{s.w: w, "weight": weight} for w, weight in points]
    return World(meanings, f"a well, {n} dimensions", ensemble=ensemble)


@world_maker("SGD at fixed LR in a quadratic well of the directions, at a norm that T and p leave free", digits=None)
def well_on_sphere(number: int, granted: Assumptions, /) -> World:
    """The same wells on a sphere of squared norm 2 V, with T and V as variables of state."""
    base, virial = well_world()(number, granted), mp.mpf(0 if "ideal gas law" in granted else 0.2)
    entropy, gas_constant, strength = base.meanings[potential_entropy], base[s.R], base[s.eta] / base[s.T]
    return base.at(
        {
            "direction": {s.T: mp.mpf(1), s.V: mp.mpf(1)},
            s.V: mp.mpf(3) / 4,
            s.r: lambda world: mp.sqrt(2 * world[s.V]),
            s.S: lambda world: entropy(world, world[s.T]) + gas_constant * mp.log(2 * world[s.V]),
            s.p: lambda world: (gas_constant * world[s.T] - virial * world[s.T] ** 2) / world[s.V],
            s.eta_eff: lambda world: strength * world[s.T],
            s.eta: lambda world: strength * world[s.T] * 2 * world[s.V],
            s.C_p: _at_pressure,
            s.gamma: lambda world: world[s.C_p] / world[s.C_V],
        }
    )


def _at_pressure(world: World) -> Any:
    """``T dS/dT`` at constant p, the volume found for each temperature."""
    T, p = world[s.T], world[s.p]

    def entropy(temperature: Any) -> Any:
        volume = mp.findroot(lambda V: world.at({s.T: temperature, s.V: V})[s.p] - p, (world[s.V], world[s.V] * 1.1))
        return world.at({s.T: temperature, s.V: volume})[s.S]

    return T * slope(entropy, T)
