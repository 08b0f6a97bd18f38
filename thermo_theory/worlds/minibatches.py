"""One step of SGD with every minibatch listed at a few weights."""

from __future__ import annotations

import random
from decimal import Decimal, localcontext
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.updates import Update
from thermo_theory.worlds.decimals import CONTEXT, column, decimal_of, decimals, mpf
from thermo_theory.worlds.discrete import Batches, _batches, _mean_gradient, _number, _numbers, _spread

__all__ = ["batches_world"]

_SGD = Update.read("w = w - eta*(g + lam*w)")


@world_maker(
    "one step of SGD with every minibatch listed, d = 3 to 5, averaged over a few weights: anisotropic and "
    "heavy-tailed noise, large steps",
)
def batches_world(number: int, granted: Assumptions, /) -> World:
    """Worlds in which every minibatch is listed at a few weights, at a constant learning rate.

    `Expectation` is the mean over weights and minibatches; if stationarity is granted, the weights are so large that a
    step leaves their mean squared norm as it is.
    """
    with localcontext(CONTEXT):
        dice = random.Random(f"batches {number}")
        return _one_step(_batches(dice, granted, 3 + number % 3), dice, granted)


def _one_step(batches: Batches, dice: random.Random, granted: Assumptions) -> World:
    n, count = batches.dimension, range(len(batches.scales))
    rate, decay = _number(dice, 0.3, 0.5), _number(dice, 0.2, 0.4)
    shapes = [_numbers(dice, -1.0, 1.0, n) for _ in range(3)]

    def growth(log_scale: Any) -> Any:
        """Mean change of the squared norm of the weights of this scale."""
        change, size = Decimal(0), decimal_of(mp.exp(log_scale))
        for shape in shapes:
            w = shape * size
            for batch in count:
                (moved,) = batches.step(_SGD, batch, (w,), (rate, decay))
                change += moved @ moved - w @ w
        return mpf(change)

    scale = _number(dice, 1.3, 1.6)
    if "stationarity" in granted:
        scale = decimal_of(mp.exp(mp.findroot(growth, (-1, 1), solver="anderson", tol=mp.mpf(10) ** -(2 * DIGITS))))
    points = [shape * scale for shape in shapes]

    def gradient_of(world: World) -> Any:
        with localcontext(CONTEXT):
            return column(batches.gradient(int(world.meanings["batch"]), decimals(world[s.w])))

    def stepped(world: World) -> Any:
        with localcontext(CONTEXT):
            batch, w = int(world.meanings["batch"]), decimals(world[s.w])
            return column(batches.step(_SGD, batch, (w,), (rate, decay))[0])

    def mean_gradient(world: World) -> Any:
        with localcontext(CONTEXT):
            return column(_mean_gradient(batches, decimals(world[s.w])))

    def unit_noise(world: World) -> Any:
        with localcontext(CONTEXT):
            w = decimals(world[s.w])
            return mpf(_spread(batches, w / (w @ w).sqrt()))

    volume = mpf(sum((point @ point for point in points), Decimal(0)) / len(points) / 2)
    noise = mpf(sum((_spread(batches, point) for point in points), Decimal(0)) / len(points))
    temperature = mpf(rate) * noise / (2 * (n - 1))
    meanings: dict[Any, Any] = {
        "batch": 0,
        s.w: column(points[0]),
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.eta: mpf(rate),
        s.lam: mpf(decay),
        s.p: mpf(decay),
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.V: volume,
        s.T: temperature,
        s.g: gradient_of,
        s.w_next: stepped,
        s.grad_L: mean_gradient,
        s.tr_Sigma: unit_noise,
        s.Z_c: mpf(decay) * volume / (mp.mpf(n - 1) / 2 * temperature),
    }
    ensemble = [{s.w: column(point), "batch": batch} for point in points for batch in count]
    return World(meanings, f"one step, d = {n}, {len(points)} weights", ensemble=ensemble)
