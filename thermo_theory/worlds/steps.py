"""SGD with steps of any size, minibatches listed, at two weights that count so that the mean loss is constant."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World
from thermo_theory.worlds.beyond import equally_likely, positive_definite
from thermo_theory.worlds.sgd import two_points

__all__ = ["step_balance_world"]


@dataclass(frozen=True)
class Well:
    """A loss ``x.H x/2 + quartic |x|^4`` and minibatches whose gradients scatter about its own.

    Parameters
    ----------
    curvature : mpmath.matrix
        H.
    quartic : mpf
        What makes the loss more than quadratic.
    noises : list of mpmath.matrix
        Noise of the gradient of each of the minibatches, which are equally likely.
    rate : mpf
        Learning rate.
    """

    curvature: Any
    quartic: Any
    noises: list[Any]
    rate: Any

    def loss(self, x: Any) -> Any:
        """Expected loss."""
        return mp.fdot(x, self.curvature * x) / 2 + self.quartic * mp.fdot(x, x) ** 2

    def gradient(self, x: Any) -> Any:
        """Its gradient."""
        return self.curvature * x + 4 * self.quartic * mp.fdot(x, x) * x

    def hessian(self, x: Any) -> Any:
        """Its Hessian."""
        n = self.curvature.rows
        return self.curvature + 4 * self.quartic * (mp.fdot(x, x) * mp.eye(n) + 2 * x * x.T)

    def step(self, x: Any, noise: Any) -> Any:
        """Where a minibatch's step leads."""
        return x - self.rate * (self.gradient(x) + noise)

    def drift(self, x: Any) -> Any:
        """Mean change of the loss in a step from x."""
        after = mp.fsum(self.loss(self.step(x, noise)) for noise in self.noises)
        return after / len(self.noises) - self.loss(x)


def step_balance_world(number: int, granted: Assumptions) -> World:
    """Make the world."""
    with mp.workdps(DIGITS + 10):
        dice = random.Random(f"step balance {number}")
        n, sigma = 2 + number % 3, mp.mpf(dice.uniform(0.7, 1.4))
        noise = mp.eye(n) * sigma**2 if "isotropic noise" in granted else positive_definite(n, dice)
        quartic = mp.mpf(0 if "small steps" in granted else "0.05")
        well = Well(positive_definite(n, dice), quartic, equally_likely(noise), mp.mpf(dice.uniform(0.2, 0.4)))

        def draw() -> Any:
            spread = dice.uniform(0.05, 1.5)
            return mp.matrix([mp.mpf(dice.gauss(0, spread)) for _ in range(n)])

        points = two_points(draw, well.drift, "stationarity" in granted)
        temperature = well.rate * sigma**2 / 2
    meanings: dict[Any, Any] = {
        s.x: points[0][0],
        s.xi: well.noises[0],
        s.eta_eff: well.rate,
        s.T: temperature,
        s.sigma: sigma,
        s.L: lambda world: well.loss(world[s.x]),
        s.grad_L_unit: lambda world: well.gradient(world[s.x]),
        s.Hess: lambda world: well.hessian(world[s.x]),
        s.lap_L: lambda world: mp.fsum(well.hessian(world[s.x])[i, i] for i in range(n)),
        s.g_unit: lambda world: well.gradient(world[s.x]) + world[s.xi],
        s.L_next: lambda world: well.loss(well.step(world[s.x], world[s.xi])),
    }
    world = World(meanings, f"a well, {n} dimensions")
    world.ensemble = [{s.x: x, s.xi: noise, "weight": weight} for x, weight in points for noise in well.noises]
    return world


step_balance_world.__doc__ = (
    "SGD with large steps in a well, minibatches listed, at two points, with constant mean loss"
)
