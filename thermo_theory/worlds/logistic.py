"""A logistic unit on a handful of inputs, every one of them listed: slopes, noise and the best scale of its logit."""

from __future__ import annotations

import random
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.beyond import equally_likely

__all__ = ["logistic_world", "turned_loss"]

#: Loss of an example once the weights have been turned by an angle.
turned_loss = sp.Function("ell")

#: Component along the weights, label as it was, and how often.
_ALONG = (("0.9", 1, "0.4"), ("-0.7", -1, "0.3"), ("-0.2", 1, "0.1"), ("0.5", -1, "0.2"))


def _inputs(dice: random.Random, granted: Assumptions) -> list[tuple[Any, Any, Any, Any]]:
    """Component along the weights, components across them, label as it was, and probability of each input."""
    independent, centred = "independent inputs" in granted, "pure noise" in granted
    white = "white inputs" in granted
    spreads = [mp.mpf(dice.uniform(0.5, 1.5)) for _ in _ALONG]
    found = []
    for (u, label, odds), spread in zip(_ALONG, spreads, strict=True):
        # Across them two directions, both signs; how far depends on what is along, unless they are independent.
        for place, across in enumerate(equally_likely(mp.matrix([[1, mp.mpf("0.4")], [mp.mpf("0.4"), 2]]))):
            stretch = 1 if independent else spread if place < 2 else 1 / spread
            off = mp.matrix([0, 0] if centred else ["0.3", "0.1"])
            found.append((mp.mpf(u), across * stretch + off, label, mp.mpf(odds) / 4))
    if not white:
        return found
    total = mp.fsum(odds * u**2 for u, _, _, odds in found)
    moment = sum(
        (odds * across * across.T for _, across, _, odds in found[1:]), found[0][3] * found[0][1] * found[0][1].T
    )
    root = mp.inverse(mp.cholesky(moment))
    return [(u / mp.sqrt(total), root * across, label, odds) for u, across, label, odds in found]


@world_maker("a logistic unit in three dimensions on sixteen inputs, each listed with its label and with it flipped")
def logistic_world(number: int, granted: Assumptions, /) -> World:
    """Worlds of a logistic unit."""
    dice = random.Random(f"logistic {number}")
    inputs, small = _inputs(dice, granted), "small logits" in granted
    uneven = mp.mpf(0 if "flipped labels" in granted else "0.15")
    flip, turned = mp.mpf(dice.uniform(0.1, 0.4)), mp.mpf(dice.uniform(0, 6))
    direction = mp.matrix([mp.cos(turned), mp.sin(turned)])
    examples = []
    for u, across, label, odds in inputs:
        often = flip + uneven * label
        examples += [(u, across, label, sign, odds * (often if sign < 0 else 1 - often)) for sign in (1, -1)]

    def logit_loss(z: Any) -> Any:
        return mp.log(2) - z / 2 + z**2 / 8 if small else mp.log(1 + mp.exp(-z))

    def turn(world: World, angle: Any) -> Any:
        along, over = world[s.input_along], world[s.input_across]
        return logit_loss(world[s.label] * world[s.logit_scale] * (along * mp.cos(angle) + over * mp.sin(angle)))

    def mean(of: Any) -> Any:
        return mp.fsum(odds * of(u, mp.fdot(across, direction), sign * y) for u, across, y, sign, odds in examples)

    def mean_loss(scale: Any) -> Any:
        return mean(lambda u, _, y: logit_loss(y * scale * u))

    def logit(world: World) -> Any:
        return world[s.logit_scale] * world[s.input_along]

    def variance(world: World) -> Any:
        scale = world[s.logit_scale]

        def gradient(u: Any, over: Any, y: Any) -> Any:
            return slope(lambda angle: logit_loss(y * scale * (u * mp.cos(angle) + over * mp.sin(angle))), mp.mpf(0))

        average = mean(gradient)
        return mean(lambda *example: (gradient(*example) - average) ** 2)

    best = mp.findroot(lambda scale: slope(mean_loss, scale), (0, 20), solver="illinois", tol=mp.mpf(10) ** -45)
    u, across, label, _, _ = examples[8 * number]
    meanings: dict[Any, Any] = {
        turned_loss: turn,
        s.turn: mp.mpf("0.4"),
        s.logit_scale: best,
        s.flip: flip,
        s.input_along: u,
        s.input_across: mp.fdot(across, direction),
        s.label: mp.mpf(label),
        s.true_label: mp.mpf(label),
        s.g_across: lambda world: slope(lambda angle: turn(world, angle), mp.mpf(0)),
        s.noise_across: variance,
        s.example_loss: lambda world: turn(world, mp.mpf(0)),
        s.logit_slope: lambda world: world[s.label] * slope(logit_loss, world[s.label] * logit(world)),
    }
    ensemble = [
        {
            s.input_along: u,
            s.input_across: mp.fdot(across, direction),
            s.label: mp.mpf(sign * label),
            s.true_label: mp.mpf(label),
            "weight": odds,
        }
        for u, across, label, sign, odds in examples
    ]
    return World(meanings, "a logistic unit", ensemble=ensemble)
