"""Optimisers themselves: the update rule on the isotropic gas, its stationary second moments solved exactly.

Weights w, the optimiser's buffer v and the gradient g are three vectors, and an update makes two new ones that are
linear in them. So the update, applied to the three unit vectors of an abstract space, gives the map of the second
moments; its fixed point is a linear system. Nothing here knows a formula of the theory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

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


def _moments(rule: str, eta: Any, lam: Any, beta: Any, kept: Any = 0) -> Any:
    """Stationary E|w|^2, E w.v and E|v|^2 for gradients along the sphere with E|g|^2 = 1 and E v.g = `kept`."""
    unit = mp.eye(3)
    new_w, new_v = updated(rule, unit[:, 0], unit[:, 1], unit[:, 2], eta, lam, beta)
    rows = []
    pushes = []
    for one, other in ((new_w, new_w), (new_w, new_v), (new_v, new_v)):
        rows.append([one[0] * other[0], one[0] * other[1] + one[1] * other[0], one[1] * other[1]])
        pushes.append(one[2] * other[2] + kept * (one[1] * other[2] + one[2] * other[1]))
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
    pull = mp.mpf(0) if "pure noise" in granted else mp.mpf("0.6")
    radial = mp.mpf(0) if "scale invariance" in granted else mp.mpf("0.3")

    # A mean gradient stays in the buffer: it is there when it comes again.
    kept = pull**2 / (1 + pull**2 + 2 * radial**2) / (1 if adam else 1 - beta)

    def solved(world: World) -> tuple[Any, Any, Any]:
        """Norm, size of the gradients and the unit in which Adam measures them, of the stationary state."""
        rate, decay = world[s.eta], world[s.lam]

        def after(norm: Any) -> tuple[Any, Any, Any]:
            """The stationary norm if gradients were those at `norm`, their size and their unit."""
            # What is not noise, or not along the sphere, makes gradients larger.
            size = trace * (1 + pull**2 + 2 * radial**2) / norm**2
            unit = mp.sqrt(share * size / n) if adam else mp.mpf(1)
            shrink = decay / unit if rule == "adam-l2" else decay
            return mp.sqrt(_moments(rule, rate, shrink, beta, kept)[0] * size) / unit, size, unit

        def off(log_norm: Any) -> Any:
            return mp.log(after(mp.exp(log_norm))[0]) - log_norm

        # Secants: the logarithms are nearly linear in one another.
        ends = [mp.mpf(0), off(mp.mpf(0))]
        values = [ends[1], off(ends[1])]
        while mp.fabs(values[1]) > mp.mpf(10) ** (-3 * DIGITS):
            new = ends[1] - values[1] * (ends[1] - ends[0]) / (values[1] - values[0])
            ends, values = [ends[1], new], [values[1], off(new)]
        return after(mp.exp(ends[1]))

    with_norm: dict[Any, Any] = {}

    def state(world: World) -> tuple[Any, Any, Any]:
        key = (world[s.eta], world[s.lam])
        if key not in with_norm:
            with mp.workdps(4 * DIGITS):
                with_norm[key] = solved(world)
        return with_norm[key]

    def norm(world: World) -> Any:
        return state(world)[0] * (1 if "stationarity" in granted else mp.mpf("1.2"))

    def temperature(world: World) -> Any:
        with mp.workdps(4 * DIGITS):
            radius, _, unit = state(world)
            h = lam if small else mp.mpf(1)
            spread = _spread(rule, world[s.eta] / unit, lam, beta, h)
            return h * spread * share * trace / (n - 1) / radius**2

    base = World({s.eta: eta, s.lam: lam}, "")
    radius, size, unit = state(base)
    shrink = lam / unit if rule == "adam-l2" else lam
    x_w, x_wv, x_v = list(_moments(rule, eta, shrink, beta, kept) * (size / unit**2))
    if "stationarity" not in granted:
        x_w, x_wv, x_v = x_w * mp.mpf("1.44"), x_wv * mp.mpf("1.2"), x_v * mp.mpf("1.7")
    # States with these moments: w along the first axis, v partly along it, partly along the second; then the noise.
    length, part = mp.sqrt(x_w), x_wv / mp.sqrt(x_w)
    across = mp.sqrt(x_v - part**2)
    axes = mp.eye(n)
    ensemble = []
    for strength in strengths:
        for sign in (1, -1):
            for k in range(1, n):
                amount = mp.sqrt(strength / radius**2) / unit * sign
                g = axes[:, k] * amount + axes[:, 0] * (radial * amount + radial / unit / radius)
                g = g + axes[:, 1] * (pull * mp.sqrt(trace) / radius / unit)
                weights, buffer = axes[:, 0] * length, axes[:, 0] * part + axes[:, 1] * across
                ensemble.append({s.w: weights, s.buffer: buffer, s.g: g, s.tr_Sigma: strength})

    def moved(place: int) -> Callable[[World], Any]:
        def value(world: World) -> Any:
            return updated(rule, world[s.w], world[s.buffer], world[s.g], eta, shrink, beta)[place]

        return value

    meanings: dict[Any, Any] = {
        **ensemble[0],
        s.d: n,
        s.eta: eta,
        s.lam: lam,
        s.beta: beta,
        s.beta1: beta,
        s.sigma: sigma,
        "norm": norm,
        s.eta_eff: lambda world: _total(rule, world[s.eta], beta) / unit / radius**2,
        s.T: temperature,
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.w_next: moved(0),
        s.buffer_next: moved(1),
        s.adam_unit: unit,
        s.D_hat: size / unit**2,
        s.rotation: mp.sqrt(
            mp.fsum(
                mp.norm(updated(rule, e[s.w], e[s.buffer], e[s.g], eta, shrink, beta)[0] - e[s.w], 2) ** 2
                for e in ensemble
            )
            / len(ensemble)
            / x_w
        ),
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
        final = _total(rule, there[s.eta], there[s.beta]) / mp.norm(there[s.w], 2) ** 2
        noise = [mp.fdot(point[s.g], point[s.g]) * mp.norm(point[s.w], 2) ** 2 for point in there.ensemble]
        return final * mp.fsum(noise) / len(noise) / (there[s.d] - 1) / 2

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
