"""SGD and its relatives themselves: discrete steps, a few minibatches written out, anisotropic heavy-tailed noise.

Nothing here knows a formula of the theory. A world of *runs* follows a few runs step by step, each with an order of the
minibatches of its own; a world of *one step* lists all minibatches at a few weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, localcontext
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp
from numpy.typing import NDArray

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import evaluate, interpret
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.symbols.vectors import (
    DifferentialEntropyOf,
    EntropyOf,
    EstimateOf,
    NormEntropyOf,
    Squares,
    VectorFunction,
)
from thermo_theory.worlds.optimizers import updated
from thermo_theory.worlds.samples import gaussian_entropy, neighbour_entropy, remaining_entropy

__all__ = ["Batches", "batches_world", "direction", "gradient", "run", "runs", "runs_world", "step", "steps_of"]

#: Gradient of minibatch k, and Adam's direction from its two moments.
gradient, direction = (VectorFunction.named(name) for name in "gn")

#: The weights and the buffers of an optimiser: after one step with minibatch k, and after k steps.
steps_of, runs = (tuple(VectorFunction.named(name) for name in names) for names in ("WBQ", "wvq"))
step, run = steps_of[0], runs[0]

interpret(Squares, lambda squares, world: evaluate(squares.args[0], world).apply(lambda x: x**2))

#: Vectors of decimals: their arithmetic is many times as fast as mpmath's.
Numbers = NDArray[np.object_]

#: The weights, and the buffers of the optimiser.
State = tuple[Numbers, ...]

_CONTEXT = Context(prec=DIGITS + 20, traps=[])


def _decimal(number: Any) -> Decimal:
    return Decimal(mp.nstr(mp.mpmathify(number), DIGITS + 15))


def _decimals(vector: Any) -> Numbers:
    return np.array([_decimal(vector[i]) for i in range(len(vector))])


def _mpf(number: Decimal) -> Any:
    return mp.mpf(str(number))


def _mpfs(vector: Numbers) -> list[Any]:
    return [_mpf(x) for x in vector]


def _column(vector: Numbers) -> Any:
    return mp.matrix(_mpfs(vector))


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
    eps : Decimal
        What Adam adds to the root of its second moment.
    memory : tuple of two Decimal
        How much of a buffer is left after a step: the momentum or Adam's first moment, and Adam's second moment.
    """

    pulls: list[Numbers]
    shapes: list[Numbers]
    scales: Numbers
    broken: Decimal
    eps: Decimal
    memory: tuple[Decimal, Decimal]
    runs: dict[Any, State] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.pulls[0])

    def gradient(self, batch: int, w: Numbers) -> Numbers:
        """Gradient of the loss of one minibatch."""
        norm = (w @ w).sqrt()
        u = w / norm
        steep = self.shapes[batch] * u - self.pulls[batch]
        along: Numbers = self.scales[batch] / norm * (steep - (u @ steep) * u)
        if not self.broken:
            return along
        return along + self.broken * (2 * w / 5 - (np.arange(len(w)) == 0).astype(int))

    def direction(self, mean: Numbers, square: Numbers) -> Numbers:
        """Adam's direction from its two moments."""
        result: Numbers = mean / (np.sqrt(square) + self.eps)
        return result

    def step(self, protocol: str, batch: int, state: State, rate: Decimal, held: Decimal) -> State:
        """The weights and buffers after one step; `held` is the weight decay, or the norm on the sphere."""
        w, *buffers = state
        g, optimizer, (beta, beta2) = self.gradient(batch, w), protocol.partition("/")[2], self.memory
        if optimizer.startswith("adam"):
            coupled = optimizer == "adam-l2"
            g = g + held * w if coupled else g
            mean, square = beta * buffers[0] + (1 - beta) * g, beta2 * buffers[1] + (1 - beta2) * g * g
            kept = w if coupled else (1 - rate * held) * w
            return kept - rate * self.direction(mean, square), mean, square
        if optimizer:
            return updated(optimizer, w, buffers[0], g, rate, held, beta)
        if protocol == "fixed-sphere":
            moved = w - rate * g
            return (held / (moved @ moved).sqrt() * moved,)
        if protocol == "fixed-elr":
            rate *= w @ w
        return (w - rate * (g + held * w),)

    def run(self, protocol: str, order: Sequence[int], state: State, rate: Decimal, held: Decimal) -> State:
        """The weights and buffers after the minibatches in this order."""
        key = (protocol, tuple(order), tuple(map(tuple, state)), rate, held)
        if key not in self.runs:
            with localcontext(_CONTEXT):
                for batch in order:
                    state = self.step(protocol, batch, state, rate, held)
            self.runs[key] = state
        return self.runs[key]


def _numbers(dice: random.Random, low: float, high: float, count: int) -> Numbers:
    return np.array([Decimal(dice.uniform(low, high)) for _ in range(count)])


def _number(dice: random.Random, low: float, high: float) -> Decimal:
    return Decimal(dice.uniform(low, high))


def _batches(dice: random.Random, granted: Assumptions, dimension: int) -> Batches:
    """Four minibatches that pull to the first axis, one of them hard, and unevenly in the other directions."""
    pulls = []
    for _ in range(4):
        pull = np.array([Decimal(dice.gauss(0, 1.3)) / (1 + i) for i in range(dimension)])
        pull[0] = _number(dice, 0.8, 1.2)
        pulls.append(pull)
    return Batches(
        pulls,
        [_numbers(dice, -0.3, 0.3, dimension) for _ in range(4)],
        np.array([*_numbers(dice, 0.5, 1.0, 3), _number(dice, 1.5, 1.7)]),
        Decimal(0) if "scale invariance" in granted else Decimal("0.1"),
        Decimal(0) if "eps = 0" in granted else Decimal("0.1"),
        (_number(dice, 0.2, 0.4), _number(dice, 0.4, 0.6)),
    )


# Runs --------------------------------------------------------------------------------------------

#: Steps of a run that still depends on where it began, and the longest run that forgets it.
SHORT, LONG = 3, 240

#: What is left of the distance of two beginnings in a run that has forgotten.
FORGOTTEN = Decimal(10) ** -17

#: What a protocol holds, a learning rate and what else it fixes (weight decay, or the norm): symbols, and ranges.
HELD = {"fixed-elr": (s.eta_eff, s.lam), "fixed-sphere": (s.eta, s.r0)}
RANGES = {
    "fixed-elr": (0.7, 0.9, 0.25, 0.4),
    "fixed-sphere": (0.35, 0.45, 1.1, 1.4),
    "fixed-lr/momentum": (0.15, 0.25, 0.4, 0.6),
    "fixed-lr/nesterov": (0.15, 0.25, 0.4, 0.6),
    "fixed-lr/adamw": (0.2, 0.3, 0.4, 0.6),
    "fixed-lr/adam-l2": (0.05, 0.1, 0.5, 0.8),
}

#: Index of a step, and the number of steps of a run.
index = sp.Symbol("k", integer=True, nonnegative=True)
steps = sp.Symbol("n", integer=True, nonnegative=True)


@world_maker(
    "runs at {protocol} followed step by step, d = 2 and 3, with minibatches written out: anisotropic and "
    "heavy-tailed noise, large steps",
)
def runs_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which a few runs are followed step by step, each with its own minibatches.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere", or the key of fixed LR with another optimiser.
    """
    special = frozenset(name for name in ("scale invariance", "stationarity", "eps = 0") if name in granted)
    return _runs(protocol, _drawn(protocol, number, special), random.Random(f"{protocol} {number}"), granted)


@dataclass(frozen=True)
class SimulatedRuns:
    """What is drawn for a world of runs: minibatches, their orders, two beginnings, and what the protocol holds."""

    batches: Batches
    orders: list[list[int]]
    starts: tuple[State, State]
    rate: Decimal
    held: Decimal
    length: int = SHORT


@cache
def _drawn(protocol: str, number: int, granted: frozenset[str]) -> SimulatedRuns:
    """Draw runs, one more than weights; if stationarity is granted, until they forget where they started."""
    dice, n = random.Random(f"runs {protocol} {number}"), 2 + number % 2
    slow, fast, low, high = RANGES.get(protocol, (0.35, 0.45, 0.25, 0.4))
    with localcontext(_CONTEXT):
        for _ in range(200):
            drawn = SimulatedRuns(
                _batches(dice, granted, n),
                [[first, *(dice.randrange(4) for _ in range(LONG + 1))] for first in range(n + 1)],
                (_start(protocol, dice, n), _start(protocol, dice, n)),
                _number(dice, slow, fast),
                _number(dice, low, high),
            )
            length = _forgotten_after(protocol, drawn) if "stationarity" in granted else SHORT
            if length:
                break
    return replace(drawn, length=length)


def _forgotten_after(protocol: str, drawn: SimulatedRuns) -> int:
    """Steps after which runs that began with other weights and buffers are the same, 0 if that is too many."""
    longest = 1
    for order in drawn.orders:
        states = list(drawn.starts)
        for count, batch in enumerate(order[:LONG], start=1):
            states = [drawn.batches.step(protocol, batch, state, drawn.rate, drawn.held) for state in states]
            off = (abs(x - y).max() for x, y in zip(*states, strict=True))
            if count >= longest and max(off) < FORGOTTEN:
                longest = count
                break
        else:
            return 0
    return longest


def _start(protocol: str, dice: random.Random, n: int) -> State:
    """Weights and buffers at the beginning of a run."""
    w = np.array([_number(dice, 0.9, 1.3), *_numbers(dice, -0.3, 0.3, n - 1)])
    optimizer = protocol.partition("/")[2]
    buffers = (optimizer != "") + optimizer.startswith("adam")
    return (w, *[_numbers(dice, 0.2, 0.5, n) for _ in range(buffers)])


def _runs(protocol: str, drawn: SimulatedRuns, dice: random.Random, granted: Assumptions) -> World:
    batches, orders = drawn.batches, drawn.orders
    n, length = batches.dimension, drawn.length
    begin, elsewhere = ([_column(vector) for vector in start] for start in drawn.starts)
    rate_symbol, held_symbol = HELD.get(protocol, (s.eta, s.lam))

    def ends(*where: Any) -> list[list[Any]]:
        """The weights at the end of all runs from the weights and buffers that are given, or from elsewhere."""
        *state, rate, held = where
        start = tuple(map(_decimals, state or elsewhere))
        rate, held = _decimal(rate), _decimal(held)
        return [_mpfs(batches.run(protocol, order[:length], start, rate, held)[0]) for order in orders]

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
            *state, rate, held = where
            order, start = orders[int(world.meanings["run"])], tuple(map(_decimals, state))
            part = order[: int(k)] if whole else order[int(k) : int(k) + 1]
            return _column(batches.run(protocol, part, start, _decimal(rate), _decimal(held))[place])

        return after

    def one_gradient(world: World, k: Any, w: Any) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.gradient(orders[int(world.meanings["run"])][int(k)], _decimals(w)))

    def one_direction(world: World, mean: Any, square: Any) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.direction(_decimals(mean), _decimals(square)))

    function = sp.Function
    unit = begin[0] / mp.norm(begin[0], 2)
    # Where both rates are equal, what stays the same along an orbit is eta lambda or eta^2 lambda.
    power = 3 if protocol.endswith("adam-l2") else 2
    moments = {2: (s.buffer,), 3: (s.first, s.second)}.get(len(begin), ())
    meanings: dict[Any, Any] = {
        "run": 0,
        **dict(zip((s.w, *moments), begin, strict=True)),
        **dict(zip((s.beta1, s.beta2), map(_mpf, batches.memory), strict=True)),
        s.beta: _mpf(batches.memory[0]),
        s.w_bar: unit,
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.c: mp.mpf(dice.uniform(1.4, 1.7)),
        index: 2,
        steps: length,
        rate_symbol: _mpf(drawn.rate),
        held_symbol: _mpf(drawn.held),
        gradient: one_gradient,
        direction: one_direction,
        **{after: followed(place, False) for place, after in enumerate(steps_of[: len(begin)])},
        **{after: followed(place, True) for place, after in enumerate(runs[: len(begin)])},
        EntropyOf: lambda world, values: gaussian_entropy([list(value) for value in values]),
        DifferentialEntropyOf: lambda world, values: whole_entropy(values),
        NormEntropyOf: lambda world, values: remaining_entropy(*polar(values)),
        EstimateOf: lambda world, values: estimate(values),
        function("b"): at_ends(lambda points: estimate(points) - law_entropy(points)),
        function("V"): at_ends(volume),
        function("V_w"): at_ends(volume),
        function("s"): lambda world, x: law_entropy(ends(mp.root(x, power), mp.root(x, power))),
        function("s_w"): lambda world, x: whole_entropy(ends(mp.root(x, power), mp.root(x, power))),
    }
    for name, value in {"S": law_entropy, "S_w": whole_entropy, "S_est": estimate}.items():
        # From where the runs begin, and where that no longer matters.
        meanings[function(f"{name}_0")] = meanings[function(name)] = at_ends(value)
    if protocol == "fixed-sphere":
        meanings[s.eta_eff] = mp.mpf(dice.uniform(0.25, 0.35))
        meanings[function("S")] = lambda world, effective, norm: law_entropy(
            ends(unit * norm, effective * norm**2, norm)
        )
    if protocol == "fixed-elr":
        # The noise temperature is a mean over directions: read off the minibatches at the ends of the runs.
        noise = at_ends(lambda points: _noise(batches, points))
        meanings[function("T")] = lambda world, rate: rate * noise(world, rate, _mpf(drawn.held)) / (2 * (n - 1))
        meanings[function("Z")] = lambda world, rate, decay: (
            2 * decay * meanings[function("V")](world, rate, decay) / (rate * noise(world, rate, decay) / 2)
        )
    ensemble = [{"run": i} for i in range(len(orders))]
    return World(meanings, f"runs at {protocol}, d = {n}, {length} steps", ensemble=ensemble)


def _noise(batches: Batches, points: Sequence[Sequence[Any]]) -> Any:
    """Mean over weights of the trace of the gradient covariance at unit norm."""
    with localcontext(_CONTEXT):
        weights = list(map(_decimals, points))
        return _mpf(sum((w @ w * _spread(batches, w) for w in weights), Decimal(0)) / len(weights))


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


# One step ----------------------------------------------------------------------------------------


@world_maker(
    "one step of SGD with every minibatch listed, d = 3 to 5, averaged over a few weights: anisotropic and "
    "heavy-tailed noise, large steps",
)
def batches_world(number: int, granted: Assumptions, /) -> World:
    """Worlds in which every minibatch is listed at a few weights, at a constant learning rate.

    `Expectation` is the mean over weights and minibatches; if stationarity is granted, the weights are so large that a
    step leaves their mean squared norm as it is.
    """
    with localcontext(_CONTEXT):
        dice = random.Random(f"batches {number}")
        return _one_step(_batches(dice, granted, 3 + number % 3), dice, granted)


def _one_step(batches: Batches, dice: random.Random, granted: Assumptions) -> World:
    n, count = batches.dimension, range(len(batches.scales))
    rate, decay = _number(dice, 0.3, 0.5), _number(dice, 0.2, 0.4)
    shapes = [_numbers(dice, -1.0, 1.0, n) for _ in range(3)]

    def growth(log_scale: Any) -> Any:
        """Mean change of the squared norm of the weights of this scale."""
        change, size = Decimal(0), _decimal(mp.exp(log_scale))
        for shape in shapes:
            w = shape * size
            for batch in count:
                (moved,) = batches.step("fixed-lr", batch, (w,), rate, decay)
                change += moved @ moved - w @ w
        return _mpf(change)

    scale = _number(dice, 1.3, 1.6)
    if "stationarity" in granted:
        scale = _decimal(mp.exp(mp.findroot(growth, (-1, 1), solver="anderson", tol=mp.mpf(10) ** -(2 * DIGITS))))
    points = [shape * scale for shape in shapes]

    def gradient_of(world: World) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.gradient(int(world.meanings["batch"]), _decimals(world[s.w])))

    def stepped(world: World) -> Any:
        with localcontext(_CONTEXT):
            batch, w = int(world.meanings["batch"]), _decimals(world[s.w])
            return _column(batches.step("fixed-lr", batch, (w,), rate, decay)[0])

    def mean_gradient(world: World) -> Any:
        with localcontext(_CONTEXT):
            return _column(_mean_gradient(batches, _decimals(world[s.w])))

    def unit_noise(world: World) -> Any:
        with localcontext(_CONTEXT):
            w = _decimals(world[s.w])
            return _mpf(_spread(batches, w / (w @ w).sqrt()))

    volume = _mpf(sum((point @ point for point in points), Decimal(0)) / len(points) / 2)
    noise = _mpf(sum((_spread(batches, point) for point in points), Decimal(0)) / len(points))
    temperature = _mpf(rate) * noise / (2 * (n - 1))
    meanings: dict[Any, Any] = {
        "batch": 0,
        s.w: _column(points[0]),
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.eta: _mpf(rate),
        s.lam: _mpf(decay),
        s.p: _mpf(decay),
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.V: volume,
        s.T: temperature,
        s.g: gradient_of,
        s.w_next: stepped,
        s.grad_L: mean_gradient,
        s.tr_Sigma: unit_noise,
        s.Z_c: _mpf(decay) * volume / (mp.mpf(n - 1) / 2 * temperature),
    }
    ensemble = [{s.w: _column(point), "batch": batch} for point in points for batch in count]
    return World(meanings, f"one step, d = {n}, {len(points)} weights", ensemble=ensemble)
