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
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.worlds.gibbs import entropy_of_cosine_density

__all__ = [
    "entropy_world",
    "gas_world",
    "noise_gas_world",
    "orbit_world",
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


def _moments(rule: str, eta: Any, lam: Any, beta: Any, kept: Any, grown: Any) -> Any:
    """Stationary E|w|^2, E w.v and E|v|^2 for gradients with E|g|^2 = 1, E v.g = `kept` and E w.g = `grown`."""
    unit = mp.eye(3)
    new_w, new_v = updated(rule, unit[:, 0], unit[:, 1], unit[:, 2], eta, lam, beta)
    rows = []
    pushes = []
    for a, b in ((new_w, new_w), (new_w, new_v), (new_v, new_v)):
        rows.append([a[0] * b[0], a[0] * b[1] + a[1] * b[0], a[1] * b[1]])
        pushes.append(a[2] * b[2] + kept * (a[1] * b[2] + a[2] * b[1]) + grown * (a[0] * b[2] + a[2] * b[0]))
    return mp.lu_solve(mp.eye(3) - mp.matrix(rows), mp.matrix(pushes))


def _spread(rule: str, eta: Any, lam: Any, beta: Any, h: Any) -> Any:
    """Stationary variance of a weight in a well of curvature h, for unit noise: the moments of one direction."""
    del lam
    w, v, g = (mp.eye(3)[:, i] for i in range(3))
    new_w, new_v = updated("adam-l2" if rule == "adamw" else rule, w, v, g + h * w, eta, mp.mpf(0), beta)
    pairs = ((new_w, new_w), (new_w, new_v), (new_v, new_v))
    rows = [[a[0] * b[0], a[0] * b[1] + a[1] * b[0], a[1] * b[1]] for a, b in pairs]
    return mp.lu_solve(mp.eye(3) - mp.matrix(rows), mp.matrix([a[2] * b[2] for a, b in pairs]))[0]


def _total(rule: str, eta: Any, beta: Any) -> Any:
    """How far one unit gradient moves the weights in total."""
    w, v, g = mp.mpf(0), mp.mpf(0), mp.mpf(1)
    for _ in range(250):
        w, v = updated(rule, w, v, g, eta, mp.mpf(0), beta)
        g = mp.mpf(0)
    return -w


class _State(NamedTuple):
    """Adam's normaliser, the decay in its units, E|g|^2; in one plane the weights, the buffer and the mean gradient."""

    unit: Any
    shrink: Any
    square: Any
    radius: Any
    part: Any
    across: Any
    along: Any
    aside: Any


def _placed(moments: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Length of the weights, and the buffer along and across them, with these second moments."""
    length = mp.sqrt(moments[0])
    return length, moments[1] / length, mp.sqrt(moments[2] - moments[1] ** 2 / moments[0])


#: What a gas of independent noise is to the reader.
_GAS = "{rule} itself on a gas of independent noise, d = 4 to 6, second moments solved exactly"


@world_maker(_GAS, digits=4 * DIGITS)
def gas_world(number: int, granted: Assumptions, /, rule: str, thermometer: bool = False) -> World:
    """Worlds in which an optimiser runs on the isotropic gas, its second moments solved exactly.

    Steps are finite unless `small steps` is granted, when they are so small that only the leading order is left. The
    temperature is read off the spread in a shallow well (equipartition).

    Parameters
    ----------
    rule : str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".
    thermometer : bool
        Whether statements about the temperature are checked: then leading order takes `continuous time` as well.
    """
    return _gas(rule, number, granted, thermometer)


def _gas(rule: str, number: int, granted: Assumptions, thermometer: bool) -> World:
    dice = random.Random(f"{rule} {number}")

    def draw(low: float, high: float) -> Any:
        return mp.mpf(dice.uniform(low, high))

    n, adam = 4 + number % 3, rule.startswith("adam")
    eta, lam = draw(0.2, 0.3), draw(0.3, 0.5)
    beta = mp.mpf(0) if rule == "sgd" else draw(0.4, 0.7)
    sigma = draw(0.7, 1.3)
    small = "small steps" in granted and ("continuous time" in granted or not thermometer)
    if small:
        eta *= mp.mpf(10) ** -11
    # Noise at the states; sigma is that at the first.
    ripple = [mp.mpf(1)] * 2 if "homogeneous noise" in granted else [mp.mpf("1.3"), mp.mpf("0.8")]
    strengths = [(n - 1) * sigma**2 * x for x in ripple]
    trace = sum(strengths) / 2
    share = mp.mpf(1) if "isotropic noise" in granted else mp.mpf("1.4")
    # Without pure noise gradients go along the buffer, without scale invariance along the weights.
    pure = "pure noise" in granted
    kept = mp.mpf(0) if pure else mp.mpf("0.2") / (1 if adam else 1 - beta)
    grown = mp.mpf(0) if "scale invariance" in granted else mp.mpf("0.3") * eta
    # The norm fluctuates by these factors, the noise inversely; their mean square is 1.
    lengths = [mp.mpf(1)] if "small steps" in granted else [mp.sqrt(mp.mpf(x)) for x in ("0.8", "1.2")]
    louder = mp.fsum(x**-2 for x in lengths) / len(lengths)
    # Moments are those of the stationary state, or off by these factors.
    off_by = [1, 1, 1] if "stationarity" in granted else [mp.mpf(x) for x in ("1.44", "1.2", "1.7")]

    def solved(world: World) -> _State:
        """The state in which gradients have the size that they have at its norm."""
        rate, decay = world[s.eta], world[s.lam]

        def at(log_square: Any) -> tuple[_State, Any]:
            """The state if gradients had this mean square, and by how much (log) they are larger there."""
            square = mp.exp(log_square)
            unit = mp.sqrt(share * square / n) if adam else mp.mpf(1)
            shrink = decay / unit if rule == "adam-l2" else decay
            moments = _moments(rule, rate, shrink, beta, kept, grown)
            length, part, across = _placed([x * f for x, f in zip(moments, off_by, strict=True)])
            mean = (grown / length, (kept - grown / length * part) / across)
            size = mp.sqrt(square) / unit
            noise = trace * louder / (length * size) ** 2 / (1 if pure else 1 - mean[0] ** 2 - mean[1] ** 2)
            state = _State(unit, shrink, size**2, *(x * size for x in (length, part, across, *mean)))
            return state, mp.log(noise) - log_square

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

    def temperature(world: World) -> Any:
        with mp.workdps(4 * DIGITS):
            there, h = state(world), lam if small else mp.mpf(1)
            spread = _spread(rule, world[s.eta] / there.unit, lam, beta, h)
            return h * spread * share * trace / (n - 1) / there.radius**2

    here = state(World({s.eta: eta, s.lam: lam}, ""))
    # Weights along the first axis, the buffer partly along it, partly along the second; noise along all but the first.
    axes = mp.eye(n)
    weights, buffer = axes[:, 0] * here.radius, axes[:, 0] * here.part + axes[:, 1] * here.across
    mean = axes[:, 0] * here.along + axes[:, 1] * here.aside
    ensemble = []
    for strength, x in product(strengths, lengths):
        amount = mp.sqrt((here.square - here.along**2 - here.aside**2) * strength / trace / louder) / x
        for sign, k in product((1, -1), range(1, n)):
            g = mean * x + axes[:, k] * amount * sign
            ensemble.append({s.w: weights * x, s.buffer: buffer * x, s.g: g, s.tr_Sigma: strength})

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
        "norm": lambda world: state(world).radius,
        s.eta_eff: lambda world: _total(rule, world[s.eta], beta) / here.unit / mp.norm(world[s.w], 2) ** 2,
        s.T: temperature,
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


@world_maker(_GAS, digits=None)
def noise_gas_world(number: int, granted: Assumptions, /, rule: str) -> World:
    """Worlds of `gas_world` in which T is the mean noise temperature, whatever the noise.

    Parameters
    ----------
    rule : str
        "momentum" or "nesterov".
    """
    inner = gas_world(rule)
    world = inner(number, granted)

    def temperature(there: World) -> Any:
        # Mean square of where the gradient noise of a step takes a direction in the end, over twice the time.
        noise = [point[s.tr_Sigma] / mp.norm(point[s.w], 2) ** 2 for point in there.ensemble]
        return _total(rule, there[s.eta], there[s.beta]) * mp.fsum(noise) / len(noise) / (there[s.d] - 1) / 2

    return world.at({s.T: temperature})


@world_maker("entropies by quadrature on the sphere, radius and temperature from {rule} itself", digits=None)
def entropy_world(number: int, granted: Assumptions, /, rule: str) -> World:
    """Worlds with entropies by quadrature; radius and temperature come from `gas_world`."""
    inner = gas_world(rule, thermometer=True)
    world = inner(number, granted)
    n = int(world[s.d])

    def directions(_: World, temperature: Any) -> Any:
        return entropy_of_cosine_density(lambda cosine: -cosine / temperature, n)

    def whole(world: World, eta: Any, lam: Any) -> Any:
        there = world.at({s.eta: eta, s.lam: lam})
        return directions(there, there[s.T] * scale) + (n - 1) * mp.log(there[s.r])

    scale = 1 / world[s.T]
    return world.at(
        {
            s.r: world.meanings["norm"],
            sp.Function("S"): whole,
            sp.Function("S_sphere"): lambda w, T: directions(w, T * scale),
        }
    )


@world_maker("heavy-ball SGD going round four minibatches until the orbit repeats, d = 3 and 4: no pure noise")
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
