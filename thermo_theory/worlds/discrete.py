"""Optimisers themselves: discrete steps, a few minibatches written out, anisotropic heavy-tailed noise.

Nothing here knows a formula of the theory. A world of *runs* follows a few runs step by step, each with an order of the
minibatches of its own; a world of *one step* lists all minibatches at a few weights.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.symbols.vectors import (
    DifferentialEntropyOf,
    EntropyOf,
    EstimateOf,
    NormEntropyOf,
    VectorFunction,
    ones,
)
from thermo_theory.updates import RATES, Update
from thermo_theory.worlds.decimals import (
    CONTEXT,
    Numbers,
    State,
    column,
    decimal_of,
    decimals,
    exact,
    mpf,
    mpfs,
    value_of,
)
from thermo_theory.worlds.samples import gaussian_entropy, neighbour_entropy, remaining_entropy

__all__ = ["Batches", "course", "gradient", "index", "run", "runs_world", "steps"]

#: Gradient of minibatch k, and the weights of a run.
gradient, run = VectorFunction.named("g"), VectorFunction.named("w")


def course(update: Update, place: int, whole: bool) -> Any:
    """Function of step k, the state before and the rates: the weights or a buffer after that step, or after all k."""
    letters = "wvq" if whole else "WBQ"
    name = letters[place] if place < len(letters) else f"{letters[1]}_{place}"
    vector = place == 0 or update.buffers[place - 1] in update.vectors
    return VectorFunction.named(name) if vector else sp.Function(name)


@dataclass(frozen=True)
class Batches:
    """Minibatches whose losses are ``scale_b (-a_b.u + u.A_b u/2)`` of the direction u, and what breaks the symmetry.

    Parameters
    ----------
    pulls : list of arrays of Decimal
        The vectors a_b.
    shapes : list of arrays of Decimal
        The diagonals of A_b.
    scales : array of Decimal
        Sizes: one batch is much larger than the others (heavy tails).
    broken : Decimal
        Size of the part of every loss that is not scale-invariant, ``broken (|w|^2/5 - w_1)``.
    numbers : dict of str to Decimal
        What the optimisers take beside the rates: how much of a buffer is left after a step, epsilon.
    """

    pulls: list[Numbers]
    shapes: list[Numbers]
    scales: Numbers
    broken: Decimal
    numbers: dict[str, Decimal] = field(default_factory=dict)
    runs: dict[Any, State] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.pulls[0])

    def gradient(self, batch: int, w: Numbers) -> Numbers:
        """Gradient of the loss of one minibatch."""
        norm = np.sqrt(w @ w)
        u = w / norm
        steep = self.shapes[batch] * u - self.pulls[batch]
        along: Numbers = self.scales[batch] / norm * (steep - (u @ steep) * u)
        if not self.broken:
            return along
        return along + self.broken * (2 * w / 5 - (np.arange(len(w)) == 0).astype(int))

    def step(self, update: Update, batch: int, state: State, rates: Sequence[Decimal]) -> State:
        """The weights and buffers after one step."""
        values = {**self.numbers, **dict(zip(_rates(update), rates, strict=True))}
        values |= dict(zip(("w", *update.buffers), state, strict=True)) | {"g": self.gradient(batch, state[0])}
        return tuple(update.step(values, SHAPES[self.dimension]).values())

    def rounded(self) -> Batches:
        """The same in floating point."""
        pulls, shapes = ([part.astype(float) for part in parts] for parts in (self.pulls, self.shapes))
        numbers: Any = {name: float(value) for name, value in self.numbers.items()}
        broken: Any = float(self.broken)
        return Batches(pulls, shapes, self.scales.astype(float), broken, numbers)

    def run(self, update: Update, order: Sequence[int], state: State, rates: Sequence[Decimal]) -> State:
        """The weights and buffers after the minibatches in this order."""
        key = (update, tuple(order), tuple(str(part) for part in state), tuple(rates))
        if key not in self.runs:
            with localcontext(CONTEXT):
                for batch in order:
                    state = self.step(update, batch, state, rates)
            self.runs[key] = state
        return self.runs[key]


def _numbers(dice: random.Random, low: float, high: float, count: int) -> Numbers:
    return np.array([Decimal(dice.uniform(low, high)) for _ in range(count)])


def _number(dice: random.Random, low: float, high: float) -> Decimal:
    return Decimal(dice.uniform(low, high))


def _rates(update: Update) -> list[str]:
    return [name for name in RATES if name in update.parameters]


def _batches(
    dice: random.Random,
    granted: Assumptions,
    dimension: int,
    numbers: Sequence[str] = (),
    noise: Decimal = Decimal("1.3"),
    broken: Decimal = Decimal("0.1"),
) -> Batches:
    """Four minibatches that pull to the first axis, one of them hard, and unevenly in the other directions."""
    pulls = []
    for _ in range(4):
        pull = np.array([Decimal(dice.gauss(0, 1)) * noise / (1 + i) for i in range(dimension)])
        pull[0] = _number(dice, 0.8, 1.2)
        pulls.append(pull)
    return Batches(
        pulls,
        [_numbers(dice, -0.3, 0.3, dimension) for _ in range(4)],
        np.array([*_numbers(dice, 0.5, 1.0, 3), _number(dice, 1.5, 1.7)]),
        Decimal(0) if "scale invariance" in granted else broken,
        {name: _number(dice, 0.2, 0.6) for name in numbers}
        | {"eps": Decimal(0) if "eps = 0" in granted else Decimal("0.1")},
    )


# Runs --------------------------------------------------------------------------------------------

#: Steps of a run that still depends on where it began, and the most after which one in floating point has forgotten.
SHORT, LONG = 9, 200

#: How many draws are looked at for those that forget soonest; sooner than after so many steps none does honestly: its
#: steps are so large that many runs end in the same place.
LOOKED_AT, SOONEST = 16, 40

#: What is then left of the distance of two beginnings. Runs go on three times as long: it falls by the same factor in
#: each stretch, to a cube of this at least, so that slopes of entropies keep their digits.
FORGOTTEN = 1e-9

#: Where rates are drawn from at first; if runs do not forget where they began, from wider ranges.
RANGES = {"eta": (0.35, 0.45), "eta_eff": (0.35, 0.55), "lam": (0.25, 0.4), "r0": (1.1, 1.4)}

#: Of weights that may be a matrix.
SHAPES = {2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (5, 1), 6: (2, 3)}

#: Index of a step, and the number of steps of a run.
index = sp.Symbol("k", integer=True, nonnegative=True)
steps = sp.Symbol("n", integer=True, nonnegative=True)


@world_maker(
    lambda update: (
        f"{update}, followed step by step, d = {' and '.join(map(str, _dimensions(update)))}, with minibatches written "
        "out: anisotropic and heavy-tailed noise, large steps"
    )
)
def runs_world(number: int, granted: Assumptions, /, update: Update) -> World:
    """Worlds in which a few runs of an update are followed step by step, each with its own minibatches."""
    special = frozenset(name for name in ("scale invariance", "stationarity", "eps = 0") if name in granted)
    drawn = _drawn(update, number, special)
    if drawn is None:
        return World({}, f"{update}: no rates were found at which runs forget where they began")
    return _runs(update, drawn, random.Random(f"{update} {number}"), granted)


def _dimensions(update: Update) -> tuple[int, int]:
    # Steps of a fixed length or angle never forget where they began if there are only two ways to turn.
    of_gradients, of_weights = update.homogeneous.degrees
    fixed = of_gradients == 0 and "norm(" in str(update)
    return (4, 6) if update.matrices else (4, 5) if of_weights == 1 and fixed else (3, 4) if fixed else (2, 3)


def _has_signs(update: Update) -> bool:
    return re.search(r"\bsign\(", str(update)) is not None and {*update.held} == {s.eta, s.lam}


@dataclass(frozen=True)
class SimulatedRuns:
    """What is drawn for a world of runs: minibatches, their orders, two beginnings, and the rates."""

    batches: Batches
    orders: list[list[int]]
    starts: tuple[State, State]
    rates: tuple[Decimal, ...]
    factor: Decimal
    length: int = SHORT


@cache
def _drawn(update: Update, number: int, granted: frozenset[str]) -> SimulatedRuns | None:
    """Draw runs, one more than weights; if stationarity is granted, until they forget where they started, or None."""
    dice, n = random.Random(f"runs {update} {number}"), _dimensions(update)[number % 2]
    others = [name for name in update.parameters if name not in RATES]
    # A small change of a gradient leaves its signs as they are.
    broken = Decimal(1) if _has_signs(update) else Decimal("0.1")
    best: tuple[int, SimulatedRuns] | None = None
    with localcontext(CONTEXT):
        for attempt in range(400):
            ranges = RANGES | {"eta": (0.05, 0.8), "lam": (0.2, 1.2)} if attempt else RANGES
            noise = _number(dice, 0.5, 2.5) if attempt else Decimal("1.3")
            drawn = SimulatedRuns(
                _batches(dice, granted, n, others, noise, broken),
                [[first % 4, *(dice.randrange(4) for _ in range(3 * LONG))] for first in range(n + 1)],
                (_start(update, dice, n), _start(update, dice, n)),
                tuple(_number(dice, *ranges[name]) for name in _rates(update)),
                _number(dice, 1.4, 1.7),
            )
            if "stationarity" not in granted:
                return drawn
            early = _forgotten_after(update, drawn, best[0] if best else LONG)
            if early >= SOONEST and _apart(update, drawn, early):
                best = early, drawn
            if best and attempt >= LOOKED_AT:
                return replace(best[1], length=3 * best[0])
    return None


@np.errstate(all="ignore")
def _forgotten_after(update: Update, drawn: SimulatedRuns, most: int) -> int:
    """Steps after which runs that began with other weights and buffers are the same, 0 if that is more than `most`.

    At the rates, at rescaled ones, and where both are equal or one is 1; in floating point.
    """
    batches, longest = drawn.batches.rounded(), 1
    for rates, starts in _begun(update, drawn):
        plain = _rounded(rates)
        for order in drawn.orders:
            states = list(map(_rounded, starts))
            for count, batch in enumerate(order[:most], start=1):
                states = [batches.step(update, batch, state, plain) for state in states]
                if count % 10 == 0 and count >= longest and _alike(states):
                    longest = count
                    break
            else:
                return 0
    return longest


def _begun(update: Update, drawn: SimulatedRuns) -> list[tuple[State, list[State]]]:
    """The rates at which entropies are asked for, and two beginnings of the runs there."""
    factors = [Decimal(1), drawn.factor, _to_plain_rates(update, drawn.rates)]
    found = []
    for factor in (*factors, *([1 / drawn.factor] if _has_signs(update) else [])):
        begin = _rescaled(update, update.state, drawn.starts[0], factor)
        found.append((_rescaled(update, update.held, drawn.rates, factor), [begin, drawn.starts[1]]))
    return found


def _apart(update: Update, drawn: SimulatedRuns, length: int) -> bool:
    """Whether runs end in so many directions that the entropy of these is finite."""
    batches = drawn.batches.rounded()
    return all(_spread_out(update, drawn, length, batches, _rounded(rates)) for rates, _ in _begun(update, drawn))


def _spread_out(update: Update, drawn: SimulatedRuns, length: int, batches: Batches, rates: State) -> bool:
    ends = []
    for order in drawn.orders:
        state = _rounded(drawn.starts[1])
        for batch in order[:length]:
            state = batches.step(update, batch, state, rates)
        ends.append(state[0])
    units = np.array(ends) / np.linalg.norm(ends, axis=1)[:, None]
    axis = units.mean(axis=0)
    across = units - units @ axis[:, None] / (axis @ axis) * axis
    # One of the directions is the axis.
    return bool(np.linalg.svd(across, compute_uv=False)[-2] > 1e-6)


def _alike(states: Sequence[State]) -> bool:
    """Whether two states differ by less than what counts as forgotten."""
    return all(bool((np.abs(np.ravel(one - other)) < FORGOTTEN).all()) for one, other in zip(*states, strict=True))


def _rounded(state: State) -> State:
    return tuple(part.astype(float) if isinstance(part, np.ndarray) else float(part) for part in state)


def _rescaled(update: Update, symbols: Sequence[sp.Symbol], values: State, factor: Decimal) -> State:
    changes = update.homogeneous.scaling
    powers = [sp.sympify(changes.get(symbol, symbol)).as_powers_dict()[s.c] for symbol in symbols]
    return tuple(part * factor ** decimal_of(power) for part, power in zip(values, powers, strict=True))


def _to_plain_rates(update: Update, rates: Sequence[Decimal]) -> Decimal:
    """The factor by which the weights change where both rates are equal; or weight decay, or the norm, is 1."""
    if {*update.held} != {s.eta, s.lam}:
        return 1 / rates[1] if "r0" in update.parameters else rates[1].sqrt()
    up, down = update.rate_powers
    return (rates[1] / rates[0]) ** (1 / decimal_of(up - down))


def _start(update: Update, dice: random.Random, n: int) -> State:
    """Weights and buffers at the beginning of a run."""
    w = np.array([_number(dice, 0.9, 1.3), *_numbers(dice, -0.3, 0.3, n - 1)])
    buffers = [
        _numbers(dice, 0.2, 0.5, n) if name in update.vectors else _number(dice, 0.2, 0.5) for name in update.buffers
    ]
    return (w, *buffers)


def _runs(update: Update, drawn: SimulatedRuns, dice: random.Random, granted: Assumptions) -> World:
    batches, orders = drawn.batches, drawn.orders
    n, length = batches.dimension, drawn.length
    begin, elsewhere = ([value_of(part) for part in start] for start in drawn.starts)
    places = range(len(begin))

    def course_of(where: Sequence[Any], otherwise: Sequence[Any] = ()) -> tuple[State, list[Decimal]]:
        """The state and the rates that stand in a function's arguments."""
        state = where[: -len(drawn.rates)]
        return tuple(map(exact, state or otherwise)), list(map(decimal_of, where[-len(drawn.rates) :]))

    def ends(*where: Any) -> list[list[Any]]:
        """The weights at the end of all runs from the weights and buffers that are given, or from elsewhere."""
        start, rates = course_of(where, elsewhere)
        return [mpfs(batches.run(update, order[:length], start, rates)[0]) for order in orders]

    def along_orbit(value: Callable[..., Any]) -> Callable[..., Any]:
        """Interpolate along orbits, by a parabola through rates that are a factor apart.

        Signs are constant from one flip to the next: only a finite change of the rates sees that they depend on them.
        """
        base, powers = [*map(mpf, drawn.rates)], [mp.mpf(str(power)) for power in map(decimal_of, update.rate_powers)]
        step = mp.log(mpf(drawn.factor))

        def function(world: World, *rates: Any) -> Any:
            logs = [mp.log(rate / first) for rate, first in zip(rates, base, strict=True)]
            x = mp.fdot(powers, logs) / mp.fdot(powers, powers) / step
            across = [rate * mp.exp(-power * x * step) for rate, power in zip(rates, powers, strict=True)]
            before, here, after = (
                value(world, *(rate * mp.exp(power * k * step) for rate, power in zip(across, powers, strict=True)))
                for k in (-1, 0, 1)
            )
            return here + x * (after - before) / 2 + x**2 * (after + before - 2 * here) / 2

        return function

    def at_equal_rates(value: Callable[..., Any]) -> Callable[..., Any]:
        return lambda world, x: value(world, mp.power(x, power), mp.power(x, power))

    def polar(points: Sequence[Any]) -> tuple[list[list[Any]], list[Any]]:
        """Directions, and logarithms of the norms."""
        norms = [mp.norm(mp.matrix(point), 2) for point in points]
        units = [[x / norm for x in point] for point, norm in zip(points, norms, strict=True)]
        return units, [mp.log(norm) for norm in norms]

    def law_entropy(points: Sequence[Any]) -> Any:
        """Entropy of the weights: of their directions, and d - 1 times the mean log of their norm."""
        units, logs = polar(points)
        return gaussian_entropy(units) + (n - 1) * mp.fsum(logs) / len(logs)

    def whole_entropy(points: Sequence[Any]) -> Any:
        """Differential entropy of weights whose direction and log norm are Gaussian: volume is ``r^d du dlog r``."""
        units, logs = polar(points)
        return gaussian_entropy(units, logs) + n * mp.fsum(logs) / len(logs)

    def volume(points: list[list[Any]]) -> Any:
        return mp.fsum(mp.fdot(point, point) for point in points) / len(points) / 2

    width = mp.mpf(0 if "equivariant estimator" in granted else "0.3")

    def estimate(points: Sequence[Any]) -> Any:
        return neighbour_entropy([list(point) for point in points], width)

    def at_ends(value: Callable[[list[list[Any]]], Any]) -> Callable[..., Any]:
        """Make a function of what the protocol holds, or of the beginning of the runs and of that."""
        return lambda world, *where: value(ends(*where))

    def followed(place: int, whole: bool) -> Callable[..., Any]:
        """The weights or a buffer after k steps, or after step k alone."""

        def after(world: World, k: Any, *where: Any) -> Any:
            order, (start, rates) = orders[int(world.meanings["run"])], course_of(where)
            part = order[: int(k)] if whole else order[int(k) : int(k) + 1]
            return value_of(batches.run(update, part, start, rates)[place])

        return after

    def one_gradient(world: World, k: Any, w: Any) -> Any:
        with localcontext(CONTEXT):
            return column(batches.gradient(orders[int(world.meanings["run"])][int(k)], decimals(w)))

    function = sp.Function
    unit = begin[0] / mp.norm(begin[0], 2)
    # What the entropy depends on along an orbit is a product of powers of the rates; at equal rates, of one of them.
    power = mp.mpf(1) / sum(update.invariant) if {s.eta, s.lam} == {*update.held} else mp.mpf(1)
    meanings: dict[Any, Any] = {
        "run": 0,
        "shape": SHAPES[n],
        ones: mp.matrix([1] * n),
        **dict(zip(update.state, begin, strict=True)),
        **{update.symbols[name]: mpf(batches.numbers[name]) for name in update.parameters if name not in RATES},
        **dict(zip(update.held, map(mpf, drawn.rates), strict=True)),
        s.w_bar: unit,
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.c: mpf(drawn.factor),
        index: 2,
        steps: length,
        gradient: one_gradient,
        **{course(update, place, whole): followed(place, whole) for place in places for whole in (False, True)},
        EntropyOf: lambda world, values: gaussian_entropy([list(value) for value in values]),
        DifferentialEntropyOf: lambda world, values: whole_entropy(values),
        NormEntropyOf: lambda world, values: remaining_entropy(*polar(values)),
        EstimateOf: lambda world, values: estimate(values),
        function("b"): at_ends(lambda points: estimate(points) - law_entropy(points)),
        function("V"): at_ends(volume),
        function("V_w"): at_ends(volume),
    }
    for name, value in {"S": law_entropy, "S_w": whole_entropy, "S_est": estimate}.items():
        # From where the runs begin, and where that no longer matters.
        meanings[function(f"{name}_0")] = direct = at_ends(value)
        meanings[function(name)] = along_orbit(direct) if _has_signs(update) else direct
        meanings[function(name.lower())] = at_equal_rates(meanings[function(name)])
    if "r0" in update.parameters:
        meanings[s.eta_eff] = mp.mpf(dice.uniform(0.25, 0.35))
        meanings[function("S")] = lambda world, effective, norm: law_entropy(
            ends(unit * norm, effective * norm ** mp.mpf(int(update.rate_powers[0])), norm)
        )
    if "eta_eff" in update.parameters:
        # The noise temperature is a mean over directions: read off the minibatches at the ends of the runs.
        noise = at_ends(lambda points: _noise(batches, points))
        meanings[function("T")] = lambda world, rate: rate * noise(world, rate, mpf(drawn.rates[1])) / (2 * (n - 1))
        meanings[function("Z")] = lambda world, rate, decay: (
            2 * decay * meanings[function("V")](world, rate, decay) / (rate * noise(world, rate, decay) / 2)
        )
    ensemble = [{"run": i} for i in range(len(orders))]
    return World(meanings, f"{update}, d = {n}, {length} steps", ensemble=ensemble)


def _noise(batches: Batches, points: Sequence[Sequence[Any]]) -> Any:
    """Mean over weights of the trace of the gradient covariance at unit norm."""
    with localcontext(CONTEXT):
        weights = list(map(decimals, points))
        return mpf(sum((w @ w * _spread(batches, w) for w in weights), Decimal(0)) / len(weights))


def _gradients(batches: Batches, w: Numbers) -> Numbers:
    """Gradient of every minibatch, one a row."""
    return np.array([batches.gradient(batch, w) for batch in range(len(batches.scales))])


def _mean_gradient(batches: Batches, w: Numbers) -> Numbers:
    result: Numbers = _gradients(batches, w).mean(axis=0)
    return result


def _spread(batches: Batches, w: Numbers) -> Decimal:
    """Trace of the covariance of the gradient at w."""
    off = _gradients(batches, w) - _mean_gradient(batches, w)
    return Decimal((off * off).sum() / len(off))
