"""How SGD's norm and directions approach their stationary values: the process itself, followed in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.sgd import SGDWorld, sgd_world

__all__ = ["free_world", "relaxation_world", "trajectory_world"]


def _interpolated(function: Callable[[Any], Any], low: Any, high: Any, count: int = 24) -> Callable[[Any], Any]:
    """A smooth function between two points, from its values at Chebyshev's points (barycentric formula)."""
    angles = [mp.pi * (2 * k + 1) / (2 * count) for k in range(count)]
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(angle) for angle in angles]
    weights = [(-1) ** k * mp.sin(angle) for k, angle in enumerate(angles)]
    values = [function(node) for node in nodes]

    def interpolant(x: Any) -> Any:
        top = bottom = mp.mpf(0)
        for node, weight, value in zip(nodes, weights, values, strict=True):
            if x == node:
                return value
            share = weight / (x - node)
            top, bottom = top + share * value, bottom + share
        return top / bottom

    return interpolant


def _followed(rate: Callable[[Any], Any], start: Any, time: Any, columns: int = 9) -> Any:
    """Solve ``dy/dt = rate(y)`` by the extrapolated midpoint rule (Gragg, Bulirsch, Stoer), in two parts."""
    y = start
    for _ in range(2):
        table: list[Any] = []
        for column in range(1, columns + 1):
            steps = 2 * column
            h = time / 2 / steps
            before, now = y, y + h * rate(y)
            for _ in range(steps - 1):
                before, now = now, before + 2 * h * rate(now)
            row = [(before + now + h * rate(now)) / 2]
            for k in range(1, column):
                ratio = (mp.mpf(column) / (column - k)) ** 2
                row.append(row[k - 1] + (row[k - 1] - table[k - 1]) / (ratio - 1))
            table = row
        y = table[-1]
    return y


@world_maker("SGD itself at {protocol} along a direction, its norm followed in time")
def trajectory_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which SGD's norm is followed in time from some start.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    inner = sgd_world(protocol)
    world = inner(number, granted)
    example: SGDWorld = world.meanings["example"]
    direction, start = world[s.w_bar], world[s.r0] * mp.mpf("1.25")

    def log_rate(log_norm: Any) -> Any:
        w = direction * mp.exp(log_norm)
        return example.rate_of(lambda v: mp.fdot(v, v), w) / (2 * mp.fdot(w, w))

    def after(time: Any) -> Any:
        if example.protocol == "fixed-sphere":
            w = direction * start
            for _ in range(3):
                w = example.moved(w, example.noise_vectors(w)[0], mp.mpf(1))
                w = w * (start / mp.norm(w, 2))
            return mp.norm(w, 2)
        if example.discrete:
            return _by_iterations(log_rate, start, time)
        return mp.exp(_followed(smooth, mp.log(start), time))

    known: dict[Any, Any] = {}

    def norm(_: World, time: Any) -> Any:
        if time not in known:
            known[time] = after(time) if time else start
        return known[time]

    if not example.discrete and example.protocol != "fixed-sphere":
        smooth = _interpolated(log_rate, mp.log(start) - 2, mp.log(start) + 1)

    time = mp.mpf(5) / 2
    return world.at(
        {
            s.r0: start,
            s.t: time,
            sp.Function("r", positive=True): norm,
            sp.Function("y", positive=True): lambda there, x: norm(there, x) ** _POWER[protocol],
            s.w: direction * norm(world, time),
        }
    )


#: The power of the norm that obeys a linear equation.
_POWER = {"fixed-lr": 4, "fixed-elr": -2, "fixed-sphere": 1}


def _by_iterations(log_rate: Callable[[Any], Any], start: Any, time: Any) -> Any:
    """Follow the mean square norm step by step, in a straight line between the steps."""
    square, done = start**2, int(mp.floor(time))
    for _ in range(done):
        square += 2 * square * log_rate(mp.log(square) / 2)
    ahead = square + 2 * square * log_rate(mp.log(square) / 2)
    return mp.sqrt(square + (time - done) * (ahead - square))


@world_maker(
    lambda protocol: (
        f"SGD itself at {protocol.replace('-', ' ')}, "
        f"the slope of the mean change of r^{abs(_POWER[protocol])} taken numerically"
    ),
)
def relaxation_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which a relaxation time is read off the slope of the mean change of the norm.

    Parameters
    ----------
    protocol : str
        "fixed-lr" or "fixed-elr".
    """
    inner, power = sgd_world(protocol), {"fixed-lr": 4, "fixed-elr": 2}[protocol]
    world = inner(number, granted)
    example: SGDWorld = world.meanings["example"]
    direction = world[s.w_bar]

    def change(quantity: Any) -> Any:
        w = direction * quantity ** (mp.mpf(1) / power)
        return example.rate_of(lambda v: mp.norm(v, 2) ** power, w)

    return world.at({s.relaxation: lambda there: -1 / slope(change, there[s.r] ** power)})


@world_maker("SGD itself at {protocol}, the mean of its direction one iteration later")
def free_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which the mean direction is followed for one iteration.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    world = sgd_world(protocol)(number, granted)
    example = world.meanings["example"]
    direction = world[s.w_bar]

    def time(there: World) -> Any:
        # How fast the mean of u.u(0) falls from 1.
        rate = example.rate_of(lambda v: mp.fdot(v, direction) / mp.norm(v, 2), there[s.w])
        return -1 / rate

    return world.at({s.relaxation: time})
