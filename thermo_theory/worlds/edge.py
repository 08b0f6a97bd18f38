"""SGD with large steps on minibatches that have losses of their own, all of them listed.

What is to be constant, on average over a step, is made so by the learning rate: a root of the enumerated change.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.beyond import positive_definite

__all__ = ["edge_world"]


@dataclass(frozen=True)
class ListedBatches:
    """Losses ``x.H_k x/2 + n_k.x + quartic |x|^4`` of minibatches k, drawn with some probabilities.

    Parameters
    ----------
    curvatures, slopes : list of mpmath.matrix
        H_k and n_k.
    odds : list of mpf
        How often a minibatch is drawn; the expected loss is the plain mean over them.
    quartic : mpf
        What makes them more than quadratic.
    """

    curvatures: list[Any]
    slopes: list[Any]
    odds: list[Any]
    quartic: Any

    def loss(self, x: Any, k: int) -> Any:
        """Loss of minibatch k."""
        square = mp.fdot(x, x)
        return mp.fdot(x, self.curvatures[k] * x) / 2 + mp.fdot(self.slopes[k], x) + self.quartic * square**2

    def gradient(self, x: Any, k: int) -> Any:
        """Its gradient."""
        return self.curvatures[k] * x + self.slopes[k] + 4 * self.quartic * mp.fdot(x, x) * x

    def hessian(self, x: Any, k: int) -> Any:
        """Its Hessian."""
        bent = mp.fdot(x, x) * mp.eye(x.rows) + 2 * x * x.T
        return self.curvatures[k] + 4 * self.quartic * bent

    def mean(self, of: Callable[[Any, int], Any], x: Any) -> Any:
        """Plain mean over the minibatches: what belongs to the expected loss."""
        count = len(self.slopes)
        return sum((of(x, k) for k in range(1, count)), of(x, 0)) / count

    def change(self, of: Callable[[Any, int], Any], x: Any, rate: Any) -> Any:
        """Mean change of a function of weights and minibatch by the step of that minibatch."""
        return mp.fsum(odd * (of(x - rate * self.gradient(x, k), k) - of(x, k)) for k, odd in enumerate(self.odds))


def _batches(n: int, dice: random.Random, granted: Assumptions, regular: bool) -> ListedBatches:
    """Four minibatches whose Hessians, slopes and odds are as different as the assumptions allow."""
    full, shared = "full batch" in granted, "additive noise" in granted
    curvatures = [positive_definite(n, dice) for _ in range(4)]
    if "one curvature" in granted:  # regression on one example, with inputs of one length
        inputs = [mp.matrix([mp.mpf(dice.gauss(0, 1)) for _ in range(n)]) for _ in range(4)]
        curvatures = [a * a.T * (mp.mpf("1.3") / mp.fdot(a, a)) for a in inputs]
    slopes = [mp.matrix([mp.mpf(dice.gauss(0, 1)) for _ in range(n)]) for _ in range(2)]
    slopes = [slopes[0], -slopes[0], slopes[1], -slopes[1]]
    if full or shared:
        curvatures = curvatures[:1] * 4
    if full or "interpolation" in granted:
        slopes = [slope * 0 for slope in slopes]
    biased = not (regular or full or "independent noise" in granted)
    odds = [mp.mpf(odd) for odd in (("0.4", "0.1", "0.3", "0.2") if biased else ("0.25",) * 4)]
    quadratic = "small steps" in granted or "interpolation" in granted
    return ListedBatches(curvatures, slopes, odds, mp.mpf(0 if quadratic else "0.05"))


@world_maker("SGD with large steps on four minibatches that have losses of their own, all listed, at three weights")
def edge_world(number: int, granted: Assumptions, /, constant: str = "mean loss") -> World:
    """Worlds of minibatches.

    Parameters
    ----------
    constant : str
        What stationarity keeps: "mean loss" or "distance". That the loss of the step's own minibatch stays is an
        assumption of its own, which goes first.
    """
    dice = random.Random(f"edge {number} {constant}")
    n = 2 + number % 2
    batches = _batches(n, dice, granted, constant == "distance")
    first, largest = mp.eigsy(batches.mean(batches.hessian, mp.zeros(n, 1)))
    top, height = largest[:, n - 1], first[n - 1]
    along = "sharpest direction" in granted
    points = [
        top * mp.mpf(dice.uniform(0.5, 1)) if along else mp.matrix([mp.mpf(dice.gauss(0, 0.7)) for _ in range(n)])
        for _ in range(3)
    ]
    own, still = "unchanged batch loss" in granted, "stationarity" in granted

    def drift(rate: Any) -> Any:
        kept: Callable[[Any, int], Any] = {
            "mean loss": lambda x, _: batches.mean(batches.loss, x),
            "distance": lambda x, _: mp.fdot(x, x),
        }[constant]
        return mp.fsum(batches.change(batches.loss if own else kept, x, rate) for x in points) / rate

    guess = mp.mpf("0.6")
    rate = mp.findroot(drift, (guess, guess * 1.1)) if own or still else guess
    norm = mp.mpf(dice.uniform(0.6, 1.6))

    def of(function: Callable[[Any, int], Any]) -> Callable[[World], Any]:
        return lambda world: function(world[s.x], world.meanings["batch"])

    def mean(function: Callable[[Any, int], Any]) -> Callable[[World], Any]:
        return lambda world: batches.mean(function, world[s.x])

    def after(x: Any, k: int) -> Any:
        return x - rate * batches.gradient(x, k)

    def average(function: Callable[[Any, int], Any]) -> Any:
        return mp.fsum(odd * function(x, k) for x in points for k, odd in enumerate(batches.odds)) / len(points)

    def bent(x: Any, k: int) -> Any:
        g = batches.gradient(x, k)
        return mp.fdot(g, batches.hessian(x, k) * g)

    meanings: dict[Any, Any] = {
        "batch": 0,
        s.x: points[0],
        s.eta_eff: rate,
        s.eta: rate * norm**2,
        s.r: norm,
        s.h: mp.mpf("1.3") if constant == "distance" else height,
        s.L: mean(batches.loss),
        s.L_next: lambda world: batches.mean(batches.loss, after(world[s.x], world.meanings["batch"])),
        s.L_batch: of(batches.loss),
        s.L_batch_next: of(lambda x, k: batches.loss(after(x, k), k)),
        s.g_unit: of(batches.gradient),
        s.grad_L_unit: mean(batches.gradient),
        s.Hess: mean(batches.hessian),
        s.Hess_batch: of(batches.hessian),
        s.x_next: of(after),
        s.batch_sharpness: average(bent) / average(lambda x, k: mp.norm(batches.gradient(x, k), 2) ** 2),
    }
    ensemble = [{s.x: x, "batch": k, "weight": odd} for x in points for k, odd in enumerate(batches.odds)]
    return World(meanings, f"minibatches, {n} dimensions", ensemble=ensemble)
