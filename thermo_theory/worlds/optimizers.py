"""Optimisers themselves: the update rule on the isotropic gas, its stationary second moments solved exactly.

Weights w, the optimiser's buffer v and the gradient g are three vectors, and an update makes two new ones that are
linear in them. So the update, applied to the three unit vectors of an abstract space, gives the map of the second
moments; its fixed point is a linear system. Nothing here knows a formula of the theory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker

__all__ = [
    "gas_world",
    "orbit_world",
    "thermometer_world",
    "updated",
]


def updated(rule: str, w: Any, v: Any, g: Any, eta: Any, lam: Any, beta: Any) -> tuple[Any, Any]:
    """One step of an optimiser: the new weights and the new buffer (for Adam g is divided by sqrt(v) before)."""
    if rule == "adamw":
        v = beta * v + (1 - beta) * g
        return (1 - eta * lam) * w - eta * v, v
    g = g + lam * w
    if rule == "adam-l2":
        v = beta * v + (1 - beta) * g
        return w - eta * v, v
    v = beta * v + g
    return w - eta * (g + beta * v if rule == "nesterov" else v), v


def _moments(rule: str, eta: Any, lam: Any, beta: Any, kept: Any, grown: Any, curved: Any = 0) -> Any:
    """Stationary E|w|^2, E w.v and E|v|^2 in a well of some curvature.

    Gradients have noise g with E|g|^2 = 1, E v.g = `kept` and E w.g = `grown`.
    """
    w, v, g = np.eye(3, dtype=object)
    new_w, new_v = updated(rule, w, v, g + curved * w, eta, lam, beta)
    rows = []
    pushes = []
    for a, b in ((new_w, new_w), (new_w, new_v), (new_v, new_v)):
        rows.append([a[0] * b[0], a[0] * b[1] + a[1] * b[0], a[1] * b[1]])
        pushes.append(a[2] * b[2] + kept * (a[1] * b[2] + a[2] * b[1]) + grown * (a[0] * b[2] + a[2] * b[0]))
    return mp.lu_solve(mp.eye(3) - mp.matrix(rows), mp.matrix(pushes))


def _placed(moments: Sequence[Any], kept: Any, grown: Any, off: str) -> tuple[Any, ...]:
    """Length of the weights; along and across them the buffer and the mean gradient, with second moments off so far."""
    ww, wv, vv = (x * mp.mpf(factor) for x, factor in zip(moments, off.split(), strict=True))
    length, part, across = mp.sqrt(ww), wv / mp.sqrt(ww), mp.sqrt(vv - wv**2 / ww)
    return length, part, across, grown / length, (kept - grown / length * part) / across


class _State(NamedTuple):
    """Adam's normaliser, the decay in its units, E|g|^2; the weights, the buffer and what of gradients is no noise.

    Along and across the weights are the buffer, the part of gradients that goes with it, and the mean gradient.
    """

    unit: Any
    shrink: Any
    square: Any
    radius: Any
    part: Any
    across: Any
    along: Any
    aside: Any
    slope: Any


#: What a gas of independent noise is to the reader.
_GAS = "{rule} itself on a gas of independent noise, d = 4 to 6, second moments solved exactly"


@world_maker(_GAS, digits=4 * DIGITS)
def gas_world(number: int, granted: Assumptions, /, rule: str) -> World:
    """Worlds in which an optimiser runs on the isotropic gas, its second moments solved exactly.

    Steps are finite and the norm fluctuates unless `small steps` is granted, when only the leading order is left.

    Parameters
    ----------
    rule : str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".
    """
    dice = random.Random(f"{rule} {number}")

    def draw(low: float, high: float) -> Any:
        return mp.mpf(dice.uniform(low, high))

    n, adam = 4 + number % 3, rule.startswith("adam")
    eta, lam = draw(0.2, 0.3), draw(0.3, 0.5)
    beta = mp.mpf(0) if rule == "sgd" else draw(0.4, 0.7)
    sigma = draw(0.7, 1.3)
    if "small steps" in granted:
        eta *= mp.mpf(10) ** -12
    # At low temperature weight decay is nothing beside the curvature of the loss.
    if "low temperature" in granted:
        lam *= mp.mpf(10) ** -18
    # Noise at the states; sigma is that at the first.
    ripple = [mp.mpf(1)] * 2 if "homogeneous noise" in granted else [mp.mpf("1.3"), mp.mpf("0.8")]
    strengths = [(n - 1) * sigma**2 * x for x in ripple]
    share = mp.mpf(1) if "isotropic noise" in granted else mp.mpf("1.4")
    # Correlated gradients go along the buffer. Without pure noise they have a mean, and without scale invariance that
    # has a part along the weights; the noise does too, then, and its size depends on the norm by more than 1/r.
    pure, broken = "pure noise" in granted, mp.mpf(0 if "scale invariance" in granted else "0.4")
    kept = mp.mpf(0 if "uncorrelated gradients" in granted else "0.1") / (1 if adam else 1 - beta)
    grown = mp.mpf(0) if pure or not broken else mp.mpf("0.3") * eta
    slope = mp.mpf(0 if pure else "0.3")
    noisy = range(0 if broken else 1, n)
    # The norm fluctuates by these factors, more where the noise is weaker; their mean square is 1.
    factors = (["1"], ["1"]) if "small steps" in granted else (["0.8", "1.2"], ["0.6", "1.4"])
    states = [
        (strength, mp.sqrt(mp.mpf(x))) for strength, squares in zip(strengths, factors, strict=True) for x in squares
    ]
    # Moments are those of the stationary state, or off by these factors.
    off = "1 1 1" if "stationarity" in granted else "1.44 1.2 1.7"

    def variance(norm: Any, strength: Any) -> Any:
        """Variance of a gradient at weights of this norm."""
        return strength / norm**2 * (1 + broken * (norm - 1) / (norm + 1))

    def solved(world: World) -> _State:
        """The state in which gradients have the size that they have at its norm."""
        rate, decay = world[s.eta], world[s.lam]

        def at(log_square: Any) -> tuple[_State, Any]:
            """The state if gradients had this mean square, and by how much (log) they are larger there."""
            square = mp.exp(log_square)
            unit = mp.sqrt(share * square / n) if adam else mp.mpf(1)
            shrink = decay / unit if rule == "adam-l2" else decay
            placed = _placed(_moments(rule, rate, shrink, beta, kept, grown), kept, grown, off)
            size = mp.sqrt(square) / unit
            state = _State(unit, shrink, size**2, *(x * size for x in (*placed, slope)))
            noises = [variance(state.radius * x, strength) for strength, x in states]
            mean_square = mp.fsum(noises) / len(noises) / (1 - placed[3] ** 2 - slope**2)
            return state, mp.log(mean_square) - log_square

        # Secants: the logarithms are nearly linear in one another.
        ends = [mp.mpf(0), at(mp.mpf(0))[1]]
        values = [ends[1], at(ends[1])[1]]
        while mp.fabs(values[1]) > mp.mpf(10) ** (-3 * DIGITS):
            new = ends[1] - values[1] * (ends[1] - ends[0]) / (values[1] - values[0])
            ends, values = [ends[1], new], [values[1], at(new)[1]]
        return at(ends[1])[0]

    known: dict[Any, _State] = {}

    def state(world: World) -> _State:
        key = (world[s.eta], world[s.lam])
        if key not in known:
            with mp.workdps(4 * DIGITS):
                known[key] = solved(world)
        return known[key]

    here = state(World({s.eta: eta, s.lam: lam}, ""))
    # Weights along the first axis, the mean gradient along it and the third, the buffer along it and any other: what of
    # the noise goes with the buffer has no mean at given weights.
    axes = mp.eye(n)
    weights, mean = axes[:, 0] * here.radius, axes[:, 0] * here.along + axes[:, 2] * here.slope
    ensemble = []
    for strength, x in states:
        noise = variance(here.radius * x, strength)
        spread = mp.diag([noise / len(noisy) if k in noisy else 0 for k in range(n)])
        free = mp.sqrt(noise / here.unit**2 - (here.aside * x) ** 2)
        for k, way, sign in product(noisy, (1, -1), (1, -1)):
            side = axes[:, max(k, 1)] * way
            buffer, g = axes[:, 0] * here.part + side * here.across, mean + side * here.aside
            g = g * x + axes[:, k] * (sign * free)
            ensemble.append({s.w: weights * x, s.buffer: buffer * x, s.g: g, s.tr_Sigma: strength, s.Sigma_w: spread})

    def moved(place: int) -> Callable[[World], Any]:
        def value(world: World) -> Any:
            return updated(rule, world[s.w], world[s.buffer], world[s.g], eta, here.shrink, beta)[place]

        return value

    def over_size(of_step: Callable[[Any, Any], Any]) -> Any:
        """Mean of something of the weights before and after a step, over that of their squared norm."""
        steps = [(e[s.w], updated(rule, e[s.w], e[s.buffer], e[s.g], eta, here.shrink, beta)[0]) for e in ensemble]
        return mp.fsum(of_step(*step) for step in steps) / mp.fsum(mp.fdot(old, old) for old, _ in steps)

    meanings: dict[Any, Any] = {
        **ensemble[0],
        s.d: n,
        s.eta: eta,
        s.lam: lam,
        s.beta: beta,
        s.beta1: beta,
        s.sigma: sigma,
        "state": state,
        "along": lambda norm: variance(norm, mp.mpf(n - 1) / len(noisy)),
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.w_next: moved(0),
        s.buffer_next: moved(1),
        s.adam_unit: here.unit,
        s.D_hat: here.square,
        s.angle: lambda _: mp.acos(over_size(lambda old, new: mp.fdot(old, new))),
        s.chord: lambda _: mp.sqrt(over_size(lambda old, new: mp.norm(new - old, 2) ** 2)),
        s.R: mp.mpf(n - 1) / 2 if rule != "adamw" else mp.mpf(n - 1),
        s.V: (lambda world: world[s.r]) if rule == "adamw" else (lambda world: world[s.r] ** 2 / 2),
        s.p: lam * sigma * mp.sqrt(mp.mpf(n - 1) / n) if rule == "adamw" else lam,
    }
    return World(meanings, f"{rule}, d = {n}", ensemble=ensemble)


@world_maker(
    lambda rule, directions="one direction": f"{_GAS.format(rule=rule)}, and a well in {directions}", digits=4 * DIGITS
)
def thermometer_world(number: int, granted: Assumptions, /, rule: str, directions: str = "one direction") -> World:
    """Worlds of `gas_world` in which the loss is curved in one direction, or in all, along the sphere.

    There the direction of the weights has second moments too, solved exactly; of these the temperature is read off.
    Its buffer and gradient noise take the places of the gas's.

    Parameters
    ----------
    rule : str
        As for `gas_world`.
    directions : str
        "one direction" or "all directions".
    """
    world = gas_world(rule)(number, granted)
    dice = random.Random(f"{rule} well {number}")
    steep, beta, n = mp.mpf(dice.uniform(0.3, 0.5)), world[s.beta], int(world[s.d])
    alone, several = "independent noise" in granted, directions != "one direction"
    kept = mp.mpf(0) if alone else mp.mpf("0.2") / (1 if rule.startswith("adam") else 1 - beta)
    share = 1 if several else mp.mpf(1 if "isotropic noise" in granted else "1.4") / (n - 1)
    here, along_sphere = world.meanings["state"](world), world.meanings["along"]
    longer = world[s.r] / here.radius
    off = "1 1 1" if "stationarity" in granted else "1.8 1.2 1.7"

    def solved(there: World) -> tuple[Any, ...]:
        """Effective learning rate, curvature, decay, and what `_placed` says for unit noise."""
        state = there.meanings["state"](there)
        size = state.unit * (state.radius * longer) ** 2
        rate, grown = there[s.eta] / size, mp.mpf(0 if alone else "0.2") * there[s.eta] / size
        moments = _moments(rule, rate, state.shrink * size, beta, kept, grown, steep * size)
        return rate, steep * size, state.shrink * size, *_placed(moments, kept, grown, off)

    rate, curved, decay, length, part, across, along, aside = solved(world)
    left = 1 - along**2 - aside**2
    # Two opposite gradients at every state of the gas are enough.
    states: dict[Any, list[Any]] = {}
    for point in world.ensemble:
        states.setdefault((point[s.tr_Sigma], mp.norm(point[s.w], 2)), []).append(point)
    ensemble, noises = [], []
    for points, first, second in product(states.values(), (1, -1), (1, -1)):
        point = points[0 if first > 0 else 1]
        # The noise of directions that are one of many has this variance; all of it, this about its mean.
        amount = mp.sqrt(point[s.tr_Sigma] * share / (left if several else 1))
        norm = mp.norm(point[s.w], 2)
        size = amount * norm * mp.sqrt(along_sphere(norm))
        noises.append(size**2)
        well = {
            s.x: length * first * size,
            s.buffer: (part * first + across * second) * size / here.unit / norm,
            s.xi: (along * first + aside * second + mp.sqrt(left) * first * second) * amount,
        }
        ensemble.append({**point, **{symbol: mp.matrix([value]) for symbol, value in well.items()}})

    def temperature(there: World) -> Any:
        with mp.workdps(4 * DIGITS):
            _, curvature, _, spread, *_ = solved(there)
            return curvature * spread**2 * mp.fsum(noises) / len(noises) / (n - 1 if several else 1)

    def moved(there: World) -> tuple[Any, Any]:
        pull = there[s.x] * curved + there[s.g_noise] * there[s.r]
        return updated(rule, there[s.x], there[s.buffer] * here.unit * there[s.r], pull, rate, decay, beta)

    changes: dict[Any, Any] = {
        **ensemble[0],
        s.h: curved,
        s.eta_eff: rate,
        s.T: temperature,
        s.g_noise: lambda there: there[s.xi] * mp.sqrt(along_sphere(there[s.r])),
        s.x_next: lambda there: moved(there)[0],
        s.buffer_next: lambda there: moved(there)[1] / here.unit / there[s.r],
    }
    return World(world.meanings | changes, world.description, ensemble=ensemble)


@world_maker("heavy-ball SGD going round four minibatches until the orbit repeats, d = 3 and 4: gradients correlate")
def orbit_world(number: int, granted: Assumptions, /) -> World:
    """Worlds in which heavy-ball SGD goes round a few minibatches until it repeats itself.

    `Expectation` is the mean over one period.
    """
    dice = random.Random(f"orbit {number}")
    n = 3 + number % 2
    pulls = [[mp.mpf(1)] + [mp.mpf(dice.gauss(0, 1)) for _ in range(n - 1)] for _ in range(4)]
    eta, lam, beta = (mp.mpf(dice.uniform(*ends)) for ends in ((0.15, 0.2), (0.35, 0.45), (0.3, 0.5)))
    broken = mp.mpf(0 if "scale invariance" in granted else "0.1")

    def gradient(pull: Sequence[Any], w: Any) -> Any:
        norm = mp.norm(w, 2)
        u, a = w / norm, mp.matrix(pull)
        return (u * mp.fdot(u, a) - a) / norm + w * broken

    w, v = mp.matrix([mp.mpf(1)] + [mp.mpf("0.2")] * (n - 1)), mp.matrix(n, 1)
    points: list[Any] = []
    for k in range(4 * (250 if "stationarity" in granted else 2)):
        g = gradient(pulls[k % 4], w)
        new_w, new_v = updated("momentum", w, v, g, eta, lam, beta)
        points.append({s.w: w, s.buffer: v, s.g: g, s.w_next: new_w, s.buffer_next: new_v})
        w, v = new_w, new_v
    meanings: dict[Any, Any] = {
        s.eta: eta,
        s.lam: lam,
        s.beta: beta,
        s.r: lambda world: mp.norm(world[s.w], 2),
        **points[-1],
    }
    return World(meanings, f"heavy ball going round 4 minibatches, d = {n}", ensemble=points[-4:])
