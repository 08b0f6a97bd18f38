"""Entropies and heat capacities as integrals: densities on the sphere written out and integrated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.sgd import _with_rates, sgd_world

__all__ = ["entropy_of_cosine_density", "entropy_world", "sphere_area"]


def sphere_area(n: int) -> Any:
    """Area of the unit sphere in n dimensions.

    >>> mp.nstr(sphere_area(3) / mp.pi, 5)
    '4.0'
    """
    return 2 * mp.pi ** (mp.mpf(n) / 2) / mp.gamma(mp.mpf(n) / 2)


def cosine_mean(function: Callable[[Any], Any], log_density: Callable[[Any], Any], n: int) -> Any:
    """Integral over the unit sphere in n dimensions of function * density, both functions of the first coordinate."""

    def integrand(angle: Any) -> Any:
        cosine = mp.cos(angle)
        return function(cosine) * mp.exp(log_density(cosine)) * mp.sin(angle) ** (n - 2)

    # The integrand is analytic in the angle, so Gauss and Legendre's nodes need the fewest values.
    return sphere_area(n - 1) * mp.quad(integrand, [0, mp.pi], method="gauss-legendre")


def entropy_of_cosine_density(log_density: Callable[[Any], Any], n: int) -> Any:
    """Differential entropy of a density on the unit sphere given by its unnormalised logarithm.

    >>> mp.nstr(entropy_of_cosine_density(lambda cosine: 0, 3) / mp.log(4 * mp.pi), 8)
    '1.0'
    """
    total = cosine_mean(lambda _: 1, log_density, n)
    return mp.log(total) - cosine_mean(log_density, log_density, n) / total


@world_maker("entropies by quadrature on the sphere, radius and temperature from SGD itself at {protocol}", digits=None)
def entropy_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which the stationary density of SGD's directions is integrated for its entropy.

    ``S`` of what the protocol holds fixed is the entropy of the weights; the function ``S_sphere`` of T is the entropy
    of exp(-L/T)/Z, the symbol that of the directions. Radius, temperature and density come from the process
    (`sgd_world`). On the sphere ``S`` of T and r is that of exp(-L/T)/Z with the losses at the norm r.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    inner, held = sgd_world(protocol, lowest=2), _HELD[protocol]
    world = inner(number, granted)
    n, example, still = int(world[s.d]), world.meanings["example"], "stationarity" in granted

    def gibbs(_: World, temperature: Any, radius: Any = 1) -> Any:
        return entropy_of_cosine_density(lambda cosine: -example.loss_of_cosine(cosine, radius) / temperature, n)

    def directions(there: World) -> Any:
        log_density = _with_rates(there).log_density(there[s.r]) if still else lambda cosine: cosine**2 / 2
        return entropy_of_cosine_density(log_density, n)

    def whole(world: World, *values: Any) -> Any:
        there = world.at(dict(zip(held, values, strict=True)))
        part = gibbs(there, there[s.T], there[s.r]) if protocol == "fixed-sphere" else there[s.S_sphere]
        return part + (n - 1) * mp.log(there[s.r])

    meanings = {s.S_sphere: directions, sp.Function("S"): whole, sp.Function("S_sphere"): gibbs}
    return world.at(meanings | _FREE.get(protocol, {}))


_HELD = {"fixed-lr": (s.eta, s.lam), "fixed-elr": (s.eta_eff, s.lam), "fixed-sphere": (s.T, s.r)}

#: On the sphere temperature and radius are set by hand: any values will do.
_FREE = {"fixed-sphere": {s.T: mp.mpf("0.37"), s.r: mp.mpf("1.7")}}
