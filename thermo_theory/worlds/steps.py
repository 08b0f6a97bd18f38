"""SGD with steps of any size, minibatches listed, at two weights that count so that the mean loss is constant."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
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
        Noise of the gradient of each of the minibatches, which are equally likely, at the minimum.
    ripple : mpf
        How the variance of the noise grows with ``|x|^2``; 0 if it is homogeneous.
    bias : mpf
        How far the mean of the minibatches is from the loss's gradient, as a share of it; 0 if they are independent.
    rate : mpf
        Learning rate.
    """

    curvature: Any
    quartic: Any
    noises: list[Any]
    ripple: Any
    bias: Any
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

    def noise(self, x: Any, k: int) -> Any:
        """How the gradient of minibatch k differs from their mean."""
        return self.noises[k] * mp.sqrt(1 + self.ripple * mp.fdot(x, x))

    def batch(self, x: Any, k: int) -> Any:
        """Gradient of minibatch k."""
        return self.gradient(x) * (1 + self.bias) + self.noise(x, k)

    def step(self, x: Any, k: int) -> Any:
        """Where the step of minibatch k leads."""
        return x - self.rate * self.batch(x, k)

    def drift(self, x: Any) -> Any:
        """Mean change of the loss in a step from x."""
        after = mp.fsum(self.loss(self.step(x, k)) for k in range(len(self.noises)))
        return after / len(self.noises) - self.loss(x)


@world_maker("SGD with large steps in a well, minibatches listed, at two points, with constant mean loss")
def step_balance_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a well in 2 to 4 dimensions."""
    dice = random.Random(f"step balance {number}")
    n, sigma = 2 + number % 3, mp.mpf(dice.uniform(0.7, 1.4))
    noise = mp.eye(n) * sigma**2 if "isotropic noise" in granted else positive_definite(n, dice)
    well = Well(
        positive_definite(n, dice),
        mp.mpf(0 if "small steps" in granted else "0.05"),
        equally_likely(noise * (n * sigma**2 / mp.fsum(noise[i, i] for i in range(n)))),
        mp.mpf(0 if "homogeneous noise" in granted else "0.6"),
        mp.mpf(0 if "independent noise" in granted else "0.2"),
        mp.mpf(dice.uniform(0.2, 0.4)),
    )

    def draw() -> Any:
        spread = dice.uniform(0.05, 1.5)
        return mp.matrix([mp.mpf(dice.gauss(0, spread)) for _ in range(n)])

    points = two_points(draw, well.drift, "stationarity" in granted)
    temperature = well.rate * sigma**2 / 2
    batches = range(len(well.noises))

    def noise_size(world: World) -> Any:
        return mp.fsum(mp.norm(well.noise(world[s.x], k), 2) ** 2 for k in batches) / len(well.noises)

    meanings: dict[Any, Any] = {
        "batch": 0,
        s.d: n + 1,
        s.x: points[0][0],
        s.xi: lambda world: well.noise(world[s.x], world.meanings["batch"]),
        s.eta_eff: well.rate,
        s.T: temperature,
        s.sigma: sigma,
        s.tr_Sigma: noise_size,
        s.L: lambda world: well.loss(world[s.x]),
        s.grad_L_unit: lambda world: well.gradient(world[s.x]),
        s.Hess: lambda world: well.hessian(world[s.x]),
        s.lap_L: lambda world: mp.fsum(well.hessian(world[s.x])[i, i] for i in range(n)),
        s.g_unit: lambda world: well.batch(world[s.x], world.meanings["batch"]),
        s.L_next: lambda world: well.loss(well.step(world[s.x], world.meanings["batch"])),
    }
    ensemble = [{s.x: x, "batch": k, "weight": weight} for x, weight in points for k in batches]
    return World(meanings, f"a well, {n} dimensions", ensemble=ensemble)
