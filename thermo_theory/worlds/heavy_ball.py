"""A step of SGD with momentum, every coordinate written out."""

from __future__ import annotations

import random
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.symbols.vectors import VectorFunction
from thermo_theory.worlds.optimizers import updated

__all__ = ["ball_gradient", "ball_step", "buffer_step", "step_world"]

#: The weights and the buffer after a step, from those before; the gradient of its minibatch.
ball_step, buffer_step, ball_gradient = (VectorFunction.named(name) for name in ("W", "B", "g"))


@world_maker("a step of {rule} from any weights and any buffer, every coordinate written out, d = 3 and 4")
def step_world(number: int, granted: Assumptions, /, rule: str) -> World:
    """Worlds with one step from any weights and any buffer.

    Parameters
    ----------
    rule : str
        "momentum" or "nesterov".
    """
    dice = random.Random(f"{rule} step {number}")
    n = 3 + number % 2
    pull, w, v = (mp.matrix([mp.mpf(dice.gauss(0, 1)) for _ in range(n)]) for _ in range(3))
    beta = mp.mpf(dice.uniform(0.4, 0.9))
    broken = mp.mpf(0 if "scale invariance" in granted else "0.1")

    def gradient(world: World, w: Any) -> Any:
        norm = mp.norm(w, 2)
        u = w / norm
        return (u * mp.fdot(u, pull) - pull) / norm + w * broken

    def step(world: World, w: Any, v: Any, eta: Any, lam: Any) -> Any:
        return updated(rule, w, v, gradient(world, w), eta, lam, beta)[0]

    def held(world: World, w: Any, v: Any, lam: Any) -> Any:
        return updated(rule, w, v, gradient(world, w), mp.mpf(1), lam, beta)[1]

    meanings: dict[Any, Any] = {
        s.w: w,
        s.buffer: v,
        s.beta: beta,
        s.c: mp.mpf(dice.uniform(1.4, 1.7)),
        s.eta: mp.mpf(dice.uniform(0.2, 0.4)),
        s.lam: mp.mpf(dice.uniform(0.2, 0.4)),
        ball_gradient: gradient,
        ball_step: step,
        buffer_step: held,
    }
    return World(meanings, f"a step of {rule}, d = {n}")
