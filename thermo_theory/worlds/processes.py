"""Processes in explicit examples: schedules, ramps, quenches and averages, followed without the theory's formulas."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import DIGITS, Assumptions, World
from thermo_theory.numeric.domain import POSITIVE
from thermo_theory.updates import Update
from thermo_theory.worlds.discrete import run, runs_world, steps
from thermo_theory.worlds.gibbs import cosine_mean, entropy_of_cosine_density, entropy_world
from thermo_theory.worlds.sgd import _direction, sgd_world

__all__ = [
    "average_world",
    "pressure_world",
    "quench_world",
    "ramp_world",
    "same_temperature_world",
    "same_volume_world",
    "schedule_world",
]


def same_temperature_world(number: int, granted: Assumptions) -> World:
    """Two runs, the same minibatches, the same eta/r^2 at the start; weight decay is tuned to end at the same, too."""
    world = runs_world(Update.read("w = w - eta*(g + lam*w)"))(number, granted)
    steps_run = world.meanings[run]
    start, length = world[s.w], 3
    first, decay = world[s.eta], world[s.lam]
    second = first * (mp.mpf("1.3") + mp.mpf(number) / 10)
    alike = "constant effective learning rate" in granted

    def end(w: Any, rate: Any, shrink: Any) -> Any:
        last = steps_run(world, length, w, rate, shrink)
        return rate / mp.fdot(last, last)

    def tuned(_: World) -> Any:
        if not alike:
            return decay * mp.mpf("0.7")
        goal = end(start, first, decay)
        return mp.findroot(
            lambda trial: end(start * mp.sqrt(second / first), second, trial) / goal - 1,
            (decay / 2, decay),
            solver="secant",
            tol=mp.mpf(10) ** -36,
            verify=False,
        )

    return world.at({s.eta0: first, s.lam0: decay, s.eta: second, s.lam: tuned, steps: length})


def pressure_world(number: int, granted: Assumptions) -> World:
    """Steps of SGD without a gradient: the pressure is what a step takes from the norm, over the learning rate."""
    dice = random.Random(f"pressure {number}")
    rate, decay = mp.mpf(dice.uniform(0.1, 0.3)), mp.mpf(dice.uniform(0.1, 0.3))
    w = mp.matrix([dice.gauss(0, 1) for _ in range(2 + number % 3)])
    constant = "constant pressure" in granted

    def shrinking(symbol: sp.Symbol) -> Callable[[World], Any]:
        def pressure(world: World) -> Any:
            moved = w - w * (rate * world[symbol])
            return (1 - mp.norm(moved, 2) / mp.norm(w, 2)) / rate

        return pressure

    def start(world: World) -> Any:
        if not constant:
            return decay * mp.mpf("1.3")
        trials = mp.mpf("0.5"), mp.mpf("1.5")
        there = [world.at({s.lam0: trial})[s.p0] for trial in trials]
        return trials[0] + (world[s.p] - there[0]) / (there[1] - there[0])

    meanings = {s.lam: decay, s.lam0: start, s.p: shrinking(s.lam), s.p0: shrinking(s.lam0)}
    return World(meanings, f"a step without gradient, {w.rows} weights")


def same_volume_world(number: int, granted: Assumptions) -> World:
    """SGD itself at fixed LR, d = 3 to 5; the first weight decay is tuned to hold the same norm elsewhere."""
    world, constant = sgd_world("fixed-lr")(number, granted), "constant volume" in granted
    with mp.workdps(DIGITS + 10):
        dice = random.Random(f"volume {number}")
        elsewhere, rate = _direction(int(world[s.d]), dice), mp.mpf(dice.uniform(0.15, 0.45))

        def tuned(there: World) -> Any:
            example, point = there.meanings["example"], elsewhere * there[s.r]

            def growth(decay: Any) -> Any:
                return replace(example, rate=rate, decay=decay).rate_of(lambda w: mp.fdot(w, w), point)

            if not constant:
                return mp.mpf("0.15")
            return mp.findroot(growth, (mp.mpf("0.1"), mp.mpf("0.2")), tol=mp.mpf(10) ** -DIGITS, verify=False)

        def start(there: World) -> Any:
            still = replace(there.meanings["example"], rate=rate, decay=there[s.lam0])
            return still.still_norm(elsewhere, lambda squared: squared)

        return world.at({s.eta0: rate, s.lam0: tuned, s.r0: start})


def schedule_world(number: int, granted: Assumptions) -> World:
    """Entropies by quadrature along a schedule, radius and temperature of SGD itself; C_V from the loss's variance."""
    world = entropy_world("fixed-lr")(number, granted)
    rate, decay = world[s.eta], world[s.lam]
    up, down = mp.mpf("0.3") + mp.mpf(number) / 20, mp.mpf("-0.2") + mp.mpf(number) / 10
    sphere = world.meanings[sp.Function("S_sphere")]
    n, loss = int(world[s.d]), world.meanings["example"].loss_of_cosine

    def learning_rate(_: World, time: Any) -> Any:
        return rate * (1 + up * time)

    def weight_decay(_: World, time: Any) -> Any:
        return decay * (1 + down * time)

    known: dict[Any, World] = {}

    def there(time: Any) -> World:
        if time not in known:
            known[time] = world.at({s.eta: learning_rate(world, time), s.lam: weight_decay(world, time)})
        return known[time]

    def fluctuation(now: World) -> Any:
        heat = now[s.T]

        def log_density(cosine: Any) -> Any:
            return -loss(cosine) / heat

        def moment(power: int) -> Any:
            return cosine_mean(lambda c: loss(c) ** power, log_density, n)

        total, mean, square = (moment(power) for power in range(3))
        return (square / total - (mean / total) ** 2) / heat**2

    def at_pressure(now: World) -> Any:
        heat = now[s.T]

        def entropy(other: Any) -> Any:
            # At constant pressure the volume goes with the temperature.
            return entropy_of_cosine_density(lambda c: -loss(c) / other, n) + (n - 1) * mp.log(other / heat) / 2

        return heat * slope(entropy, heat)

    time, lag = mp.mpf("0.4"), mp.mpf(0 if "slow schedule" in granted else "0.2")
    # What is not stationary changes with time at the same rates, too.
    ageing = mp.mpf(0 if "stationarity" in granted else "0.3")

    def heat(at: Any) -> Any:
        return there(at)[s.T] * (1 + ageing * at)

    def size(at: Any) -> Any:
        return there(at)[s.r] * (1 + ageing * at**2)

    return world.at(
        {
            **({s.T: lambda _: heat(time), s.r: lambda _: size(time)} if ageing else {}),
            s.t: time,
            s.eta: rate * (1 + up * time),
            s.lam: decay * (1 + down * time),
            sp.Function("eta", positive=True): learning_rate,
            sp.Function("lambda", positive=True): weight_decay,
            sp.Function("T", positive=True): lambda _, at: heat(at - lag),
            sp.Function("r", positive=True): lambda _, at: size(at - lag),
            sp.Function("T_e", positive=True): lambda _, at: heat(at),
            sp.Function("r_e", positive=True): lambda _, at: size(at),
            sp.Function("S"): lambda _, at: sphere(world, heat(at - 2 * lag)) + (n - 1) * mp.log(size(at - lag)),
            s.C_V: fluctuation,
            s.C_p: at_pressure,
        }
    )


def ramp_world(number: int, granted: Assumptions) -> World:
    """SGD itself at fixed LR while learning rate and weight decay change; r(t) by quadrature from the distant past."""
    world = sgd_world("fixed-lr")(number, granted)
    example, n = world.meanings["example"], int(world[s.d])
    with mp.workdps(DIGITS + 10):
        u = world[s.w] / mp.norm(world[s.w], 2)
        matrix = example.covariance(u)
        trace = mp.fsum(matrix[i, i] for i in range(n))

    bend = mp.mpf(0 if "exponential ramp" in granted else "0.1")

    def rate(there: World, time: Any) -> Any:
        return there[s.eta0] * mp.exp(there[s.ramp] * time / 2 + bend * time)

    def decay(there: World, time: Any) -> Any:
        return there[s.lam0] * mp.exp(-there[s.ramp] * time / 2 - bend * time)

    def followed(there: World, time: Any) -> Any:
        # Variation of constants for r^4, over ninety relaxation times.
        back = 90 / (4 * there[s.eta0] * there[s.lam0])

        def grown(age: Any) -> Any:
            return mp.exp(-4 * there[s.eta0] * there[s.lam0] * age) * 2 * rate(there, time - age) ** 2 * trace

        return mp.quad(grown, [0, back / 12, back / 5, back / 2, back])

    def equilibrium(there: World, time: Any) -> Any:
        still = replace(example, rate=rate(there, time), decay=decay(there, time))
        return still.still_norm(u, lambda squared: squared) ** 4

    y, still = (sp.Function(name, positive=True) for name in ("y", "y_e"))
    return world.at(
        {
            s.t: mp.mpf("0.7"),
            s.ramp: mp.mpf("0.03") * (1 + number),
            s.eta0: world[s.eta],
            s.lam0: world[s.lam],
            s.eta: lambda there: rate(there, there[s.t]),
            s.lam: lambda there: decay(there, there[s.t]),
            s.w: lambda there: u * followed(there, there[s.t]) ** (mp.mpf(1) / 4),
            y: followed,
            still: equilibrium,
            s.lag: lambda there: mp.log(equilibrium(there, there[s.t])) / 4 - mp.log(there[s.r]),
        }
    )


#: How much hotter half of a gas is where it has no Gibbs law.
_HOTTER = mp.mpf("0.3")


def quench_world(number: int, granted: Assumptions) -> World:
    """Densities in a well in 1 to 3 dimensions, integrated; entropy that the gas and the bath gain."""
    modes = 1 + number % 3
    stiff = mp.mpf(0) if "constant heat capacity" in granted else mp.mpf("0.6")
    gibbs = "Gibbs law" in granted
    wrong = mp.mpf("0.4") if stiff and not gibbs else mp.mpf(0)
    hot, cold = mp.mpf("0.9") + mp.mpf(number) / 5, mp.mpf("0.35")

    def loss(x: Any) -> Any:
        return x**2 / 2 + stiff * x**4

    def log_density(x: Any, heat: Any) -> Any:
        if gibbs or stiff:
            return -loss(x) / heat - wrong * x**4
        # Half as hot, half hotter by a constant: another density, whose mean loss rises with the temperature just so.
        half, other = (mp.exp(-loss(x) / T) / mp.power(T, mp.mpf(modes) / 2) for T in (heat, heat + _HOTTER))
        return mp.log((half + other) / 2)

    known: dict[Any, list[tuple[Any, Any]]] = {}

    width = 1 / mp.sqrt(2 * modes)

    @cache
    def grid(precision: int) -> list[tuple[Any, Any, Any]]:
        """Places over the peak, their logarithms and spacings: x = peak exp(width sinh v), with v evenly spaced."""
        fine = 5 if precision < 60 else 20
        places = [mp.mpf(k) / fine for k in range(-6 * fine, 3 * fine)]
        return [(mp.exp(width * mp.sinh(v)), width * mp.sinh(v), width * mp.cosh(v) / fine) for v in places]

    def nodes(heat: Any) -> list[tuple[Any, Any]]:
        """Places, and what the density weighs there."""
        key = heat, mp.mp.prec
        if key not in known:
            bend = 4 * (stiff / heat + wrong)
            # Where x^modes times the density is largest.
            peak = mp.sqrt(2 * modes / (1 / heat + mp.sqrt(1 / heat**2 + 4 * bend * modes)))
            known[key], top, volume = [], log_density(peak, heat), peak**modes
            for far, near, spread in grid(mp.mp.prec):
                x = peak * far
                height = modes * near + log_density(x, heat)
                if height > top - 2.4 * mp.mp.dps:
                    known[key].append((x, mp.exp(height) * volume * spread))
        return known[key]

    def mean(function: Callable[[Any], Any], heat: Any) -> Any:
        return mp.fsum(function(x) * weight for x, weight in nodes(heat))

    def total(heat: Any) -> Any:
        return mean(lambda _: 1, heat)

    def energy(heat: Any) -> Any:
        return mean(loss, heat) / total(heat)

    def entropy(heat: Any) -> Any:
        return mp.log(total(heat)) - mean(lambda x: log_density(x, heat), heat) / total(heat)

    def made(there: World) -> Any:
        before, after = there[s.T1], there[s.T2]
        return entropy(after) - entropy(before) + (energy(before) - energy(after)) / after

    meanings: dict[Any, Any] = {
        s.T: mp.mpf("0.6"),
        s.T1: hot,
        s.T2: cold,
        s.R: mp.mpf(modes) / 2,
        s.produced: made,
        sp.Function("U"): lambda _, heat: energy(heat),
        sp.Function("S"): lambda _, heat: entropy(heat),
        sp.Function("Z"): lambda _, heat: total(heat),
    }
    # A search takes seconds: one of the wells is searched.
    free = {s.T1: POSITIVE, s.T2: POSITIVE} if number == 0 else None
    return World(meanings, f"a well in {modes} dimensions", free=free)


def average_world(number: int, granted: Assumptions) -> World:
    """Two or three samples of the von Mises-Fisher gas, d = 3 or 5, averaged by quadrature over their sum's length."""
    samples, n = ((3, 3), (2, 3), (2, 5))[number % 3]
    # Without the Gibbs law the directions are more spread than exp(-L/T) would have them.
    wrong = mp.mpf(0) if "Gibbs law" in granted else mp.mpf("0.5")

    def parts(x: Any) -> tuple[Any, Any]:
        # cosh and sinh over exp(x)/2.
        small = mp.exp(-2 * x)
        return 1 + small, 1 - small

    def mean_cosine(x: Any) -> Any:
        """Mean cosine of directions with the density exp(x cosine)."""
        even, odd = parts(x)
        if n == 3:
            return even / odd - 1 / x
        return ((1 + 3 / x**2) * odd - 3 * even / x) / (even - odd / x)

    def weight(x: Any) -> Any:
        # The integral of exp(x cosine) over the sphere, over exp(x) and a constant.
        even, odd = parts(x)
        return odd / x if n == 3 else (even - odd / x) / x**2

    def length_density(length: Any) -> Any:
        if samples == 2:
            return length * (length**2 * (4 - length**2)) ** (mp.mpf(n - 3) / 2)
        return length**2 / 2 if length < 1 else length * (3 - length) / 4

    def mean(function: Callable[[Any, Any], Any], heat: Any, count: int) -> Any:
        kappa = (1 - wrong) / heat
        if count == 1:
            return function(kappa, 1)
        # In units of the temperature below the largest length, and of the density there, so that integrals are near 1.
        top = mp.mpf(samples) / heat
        ends = [end for end in (0, mp.mpf(1) / 2, 2, 6, 20, 60) if end * (n + 30) < top]
        ends = [end * (n + 30) for end in ends] + ([top] if len(ends) < 6 else [])

        def density(depth: Any) -> Any:
            length = samples - heat * depth
            return length_density(length) * weight(kappa * length) * mp.exp(-(1 - wrong) * depth)

        one = density(mp.mpf(1))

        def part(depth: Any) -> Any:
            length = samples - heat * depth
            return density(depth) / one * function(kappa * length, length)

        return mp.quad(part, ends) / mp.quad(lambda depth: density(depth) / one, ends)

    def square(concentration: Any, length: Any) -> Any:
        # Mean squared sine under a concentration, by parts on the sphere, times the squared length of the average.
        return (n - 1) * mean_cosine(concentration) / concentration

    meanings: dict[Any, Any] = {
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.N: samples,
        s.T: mp.mpf(10) ** -12 if "low temperature" in granted else mp.mpf("0.05"),
        sp.Function("c"): lambda _, heat: mean_cosine((1 - wrong) / heat),
        sp.Function("q"): lambda _, heat: square((1 - wrong) / heat, 1),
        sp.Function("q_N"): lambda _, heat: mean(lambda k, x: square(k, x) * (x / samples) ** 2, heat, samples),
        sp.Function("U_N"): lambda _, heat: mean(lambda k, _: 1 - mean_cosine(k), heat, samples),
    }
    return World(meanings, f"average of {samples} directions in {n} dimensions")
