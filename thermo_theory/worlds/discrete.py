"""SGD itself: discrete steps, a handful of minibatches written out, anisotropic and heavy-tailed noise.

Nothing here knows a formula of the theory. A world of *runs* follows a few runs step by step, each with an order of the
minibatches of its own; a world of *one step* lists all minibatches at a few weights.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.symbols.vectors import EntropyOf, EstimateOf, VectorFunction

__all__ = ["Batches", "batches_world", "gradient", "run", "runs_world", "step"]

#: Gradient of minibatch k, one step of training with it, and the weights after k steps.
gradient, step, run = (VectorFunction.named(name) for name in ("g", "W", "w"))

#: Decimals: their arithmetic is many times as fast as mpmath's.
Numbers = list[Decimal]

_CONTEXT = Context(prec=DIGITS + 20, traps=[])


def _dot(left: Sequence[Decimal], right: Sequence[Decimal]) -> Decimal:
    return sum(map(operator.mul, left, right), Decimal(0))


def _decimal(number: Any) -> Decimal:
    return Decimal(mp.nstr(mp.mpmathify(number), DIGITS + 15))


def _decimals(vector: Any) -> Numbers:
    return [_decimal(vector[i]) for i in range(len(vector))]


def _mpf(number: Decimal) -> Any:
    return mp.mpf(str(number))


def _mpfs(vector: Numbers) -> list[Any]:
    return [_mpf(x) for x in vector]


def _column(vector: Numbers) -> Any:
    return mp.matrix(_mpfs(vector))


@dataclass(frozen=True)
class Batches:
    """Minibatches whose losses are ``scale_b (-a_b.u + u.A_b u/2)`` of the direction u, and what breaks this.

    Parameters
    ----------
    pulls : list of list of Decimal
        The vectors a_b.
    shapes : list of list of Decimal
        The diagonals of A_b.
    scales : list of Decimal
        Sizes: one batch is much larger than the others (heavy tails).
    broken : Decimal
        Size of the part of every loss that is not scale-invariant, ``broken (w_1 + |w|^2/5)``.
    """

    pulls: list[Numbers]
    shapes: list[Numbers]
    scales: Numbers
    broken: Decimal
    runs: dict[Any, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.pulls[0])

    def gradient(self, batch: int, w: Numbers) -> Numbers:
        """Gradient of the loss of one minibatch."""
        norm = _dot(w, w).sqrt()
        size, u = self.scales[batch] / norm, [x / norm for x in w]
        steep = [A * x - a for a, A, x in zip(self.pulls[batch], self.shapes[batch], u, strict=True)]
        radial = _dot(u, steep)
        along = [size * (x - radial * y) for x, y in zip(steep, u, strict=True)]
        if not self.broken:
            return along
        return [x + self.broken * ((i == 0) + 2 * w[i] / 5) for i, x in enumerate(along)]

    def step(self, protocol: str, batch: int, w: Numbers, rate: Decimal, held: Decimal) -> Numbers:
        """The weights after one step; `held` is the weight decay, or the norm on the sphere."""
        g = self.gradient(batch, w)
        if protocol == "fixed-sphere":
            moved = [x - rate * y for x, y in zip(w, g, strict=True)]
            norm = _dot(moved, moved).sqrt()
            return [held * x / norm for x in moved]
        if protocol == "fixed-elr":
            rate *= _dot(w, w)
        return [x - rate * (y + held * x) for x, y in zip(w, g, strict=True)]

    def run(self, protocol: str, order: Sequence[int], w: Numbers, rate: Decimal, held: Decimal) -> Numbers:
        """The weights after the minibatches in this order."""
        key = (protocol, tuple(order), tuple(w), rate, held)
        if key not in self.runs:
            with localcontext(_CONTEXT):
                for batch in order:
                    w = self.step(protocol, batch, w, rate, held)
            self.runs[key] = w
        result: Numbers = self.runs[key]
        return result


def _numbers(dice: random.Random, low: float, high: float, count: int) -> Numbers:
    return [Decimal(dice.uniform(low, high)) for _ in range(count)]


def _number(dice: random.Random, low: float, high: float) -> Decimal:
    return Decimal(dice.uniform(low, high))


def _batches(dice: random.Random, granted: Assumptions, dimension: int) -> Batches:
    """Four minibatches that pull to the first axis, one of them hard, and unevenly in the other directions."""
    pulls = []
    for _ in range(4):
        pull = [Decimal(dice.gauss(0, 1.3)) / (1 + i) for i in range(dimension)]
        pull[0] = _number(dice, 0.8, 1.2)
        pulls.append(pull)
    return Batches(
        pulls,
        [_numbers(dice, -0.3, 0.3, dimension) for _ in range(4)],
        [*_numbers(dice, 0.5, 1.0, 3), _number(dice, 1.5, 1.7)],
        Decimal(0) if "scale invariance" in granted else Decimal("0.1"),
    )


# Runs --------------------------------------------------------------------------------------------

#: How many runs, and how many steps make them forget where they began.
RUNS, LONG, SHORT = 3, 140, 3

#: What is left of the distance of two beginnings in a run that has forgotten.
FORGOTTEN = Decimal(10) ** -18

#: What a protocol holds: the symbols of its learning rate and of what else it fixes.
HELD = {"fixed-lr": (s.eta, s.lam), "fixed-elr": (s.eta_eff, s.lam), "fixed-sphere": (s.eta, s.r0)}

#: Index of a step, and the number of steps of a run.
index = sp.Symbol("k", integer=True, nonnegative=True)
steps = sp.Symbol("n", integer=True, nonnegative=True)


def gaussian_entropy(points: Sequence[Sequence[Any]]) -> Any:
    """Entropy of the Gaussian with the covariance of these points of the sphere, across their mean direction.

    >>> mp.nstr(gaussian_entropy([[1, 1], [1, -1]]), 6)
    '1.41894'
    """
    n, count = len(points[0]), len(points)
    mean = mp.matrix([mp.fsum(point[i] for point in points) / count for i in range(n)])
    axis = mean / mp.norm(mean, 2)
    covariance = axis * axis.T
    for point in points:
        off = mp.matrix(point) - mean
        off = off - axis * (axis.T * off)[0]
        covariance += off * off.T / count
    return mp.log(mp.det(covariance)) / 2 + (n - 1) * mp.log(2 * mp.pi * mp.e) / 2


def neighbour_entropy(points: Sequence[Sequence[Any]], length: Any = 0) -> Any:
    """Mean log distance to the other points times the directions: an entropy estimator with a bias of its own.

    With a `length` distances are not resolved below it, and the estimator is not scale-equivariant.
    """
    n, count = len(points[0]), len(points)
    logs = []
    for i, point in enumerate(points):
        for other in points[:i]:
            off = [x - y for x, y in zip(point, other, strict=True)]
            logs.append(mp.log(mp.fdot(off, off) + length**2) / 2)
    return (n - 1) * (mp.fsum(logs) / len(logs) + mp.log(count))


@world_maker(
    "runs at {protocol} followed step by step, d = 2 and 3, with minibatches written out: anisotropic and "
    "heavy-tailed noise, large steps",
)
def runs_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds in which a few runs are followed step by step, each with its own minibatches.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    with localcontext(_CONTEXT):
        dice = random.Random(f"runs {protocol} {number}")
        return _runs(protocol, _drawn(protocol, dice, 2 + number % 2, granted), dice, granted)


@dataclass(frozen=True)
class SimulatedRuns:
    """What is drawn for a world of runs: minibatches, their orders, two beginnings, and what the protocol holds."""

    batches: Batches
    orders: list[list[int]]
    starts: tuple[Numbers, Numbers]
    rate: Decimal
    held: Decimal


def _drawn(protocol: str, dice: random.Random, n: int, granted: Assumptions) -> SimulatedRuns:
    """Draw runs; if stationarity is granted, runs that no longer depend on where they started."""
    length = LONG if "stationarity" in granted else SHORT
    for _ in range(60):
        drawn = SimulatedRuns(
            _batches(dice, granted, n),
            [[dice.randrange(4) for _ in range(length + 2)] for _ in range(RUNS)],
            (_start(dice, n), _start(dice, n)),
            _number(dice, 0.35, 0.45) if protocol != "fixed-elr" else _number(dice, 0.7, 0.9),
            _number(dice, 1.1, 1.4) if protocol == "fixed-sphere" else _number(dice, 0.25, 0.4),
        )
        if "stationarity" not in granted or _forgets(protocol, drawn, length):
            break
    return drawn


def _forgets(protocol: str, drawn: SimulatedRuns, length: int) -> bool:
    """Whether runs that began at different weights have the same end."""
    for order in drawn.orders:
        one, other = (
            drawn.batches.run(protocol, order[:length], start, drawn.rate, drawn.held) for start in drawn.starts
        )
        if not all(abs(x - y) < FORGOTTEN for x, y in zip(one, other, strict=True)):
            return False
    return True


def _start(dice: random.Random, n: int) -> Numbers:
    return [_number(dice, 0.9, 1.3), *_numbers(dice, -0.3, 0.3, n - 1)]


def _runs(protocol: str, drawn: SimulatedRuns, dice: random.Random, granted: Assumptions) -> World:
    batches, orders = drawn.batches, drawn.orders
    n, length = batches.dimension, LONG if "stationarity" in granted else SHORT
    begin, elsewhere = drawn.starts
    rate_symbol, held_symbol = HELD[protocol]

    def ends(rate: Any, held: Any, begin: Any) -> list[list[Any]]:
        start, rate, held = _decimals(begin), _decimal(rate), _decimal(held)
        return [_mpfs(batches.run(protocol, order[:length], start, rate, held)) for order in orders]

    def law_entropy(points: list[list[Any]]) -> Any:
        """Entropy of the weights: of their directions, and d - 1 times the mean log of their norm."""
        norms = [mp.norm(point, 2) for point in points]
        units = [[x / norm for x in point] for point, norm in zip(points, norms, strict=True)]
        return gaussian_entropy(units) + (n - 1) * mp.fsum(map(mp.log, norms)) / len(norms)

    def volume(points: list[list[Any]]) -> Any:
        return mp.fsum(mp.fdot(point, point) for point in points) / len(points) / 2

    width = mp.mpf(0 if "equivariant estimator" in granted else "0.3")

    def estimate(points: Sequence[Any]) -> Any:
        return neighbour_entropy([list(point) for point in points], width)

    def of_state(value: Callable[[list[list[Any]]], Any]) -> Callable[..., Any]:
        """Make a function of what the protocol holds, for runs that begin elsewhere."""
        return lambda world, rate, held: value(ends(rate, held, _mpfs(elsewhere)))

    def from_start(value: Callable[[list[list[Any]]], Any]) -> Callable[..., Any]:
        return lambda world, begin, rate, held: value(ends(rate, held, begin))

    def one_run(world: World, count: Any, begin: Any, rate: Any, held: Any) -> Any:
        order = orders[int(world.meanings["run"])][: int(count)]
        return _column(batches.run(protocol, order, _decimals(begin), _decimal(rate), _decimal(held)))

    def one_step(world: World, k: Any, w: Any, rate: Any, held: Any) -> Any:
        batch = orders[int(world.meanings["run"])][int(k)]
        with localcontext(_CONTEXT):
            return _column(batches.step(protocol, batch, _decimals(w), _decimal(rate), _decimal(held)))

    def one_gradient(world: World, k: Any, w: Any) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.gradient(orders[int(world.meanings["run"])][int(k)], _decimals(w)))

    function = sp.Function
    unit = _column(elsewhere) / mp.norm(_column(elsewhere), 2)
    meanings: dict[Any, Any] = {
        "run": 0,
        s.w: _column(begin),
        s.w_bar: unit,
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.c: mp.mpf(dice.uniform(1.4, 1.7)),
        index: 2,
        steps: length,
        rate_symbol: _mpf(drawn.rate),
        held_symbol: _mpf(drawn.held),
        gradient: one_gradient,
        step: one_step,
        run: one_run,
        EntropyOf: lambda world, values: gaussian_entropy([list(value) for value in values]),
        EstimateOf: lambda world, values: estimate(values),
        function("S"): of_state(law_entropy),
        function("S_w"): from_start(law_entropy),
        function("S_est"): of_state(estimate),
        function("S_est_w"): from_start(estimate),
        function("b"): of_state(lambda points: estimate(points) - law_entropy(points)),
        function("V"): of_state(volume),
        function("V_w"): from_start(volume),
        function("s"): lambda world, x: law_entropy(ends(mp.sqrt(x), mp.sqrt(x), _mpfs(elsewhere))),
    }
    if protocol == "fixed-sphere":
        meanings[s.eta_eff] = mp.mpf(dice.uniform(0.25, 0.35))
        meanings[function("S")] = lambda world, effective, norm: law_entropy(
            ends(effective * norm**2, norm, unit * norm)
        )
    if protocol == "fixed-elr":
        # The noise temperature is a mean over directions: read off the minibatches at the ends of the runs.
        at_ends = of_state(lambda points: _noise(batches, points))
        meanings[function("T")] = lambda world, rate: rate * at_ends(world, rate, _mpf(drawn.held)) / (2 * (n - 1))
        meanings[function("Z")] = lambda world, rate, decay: (
            2 * decay * meanings[function("V")](world, rate, decay) / (rate * at_ends(world, rate, decay) / 2)
        )
    ensemble = [{"run": i} for i in range(RUNS)]
    return World(meanings, f"runs at {protocol}, d = {n}, {length} steps", ensemble=ensemble)


def _noise(batches: Batches, points: Sequence[Sequence[Any]]) -> Any:
    """Mean over weights of the trace of the gradient covariance at unit norm."""
    total = Decimal(0)
    with localcontext(_CONTEXT):
        for point in points:
            w = _decimals(point)
            total += _dot(w, w) * _spread(batches, w)
        return _mpf(total / len(points))


def _mean_gradient(batches: Batches, w: Numbers) -> Numbers:
    gradients = [batches.gradient(batch, w) for batch in range(len(batches.scales))]
    return [sum(parts, Decimal(0)) / len(gradients) for parts in zip(*gradients, strict=True)]


def _spread(batches: Batches, w: Numbers) -> Decimal:
    """Trace of the covariance of the gradient at w."""
    mean, total, count = _mean_gradient(batches, w), Decimal(0), len(batches.scales)
    for batch in range(count):
        off = [x - m for x, m in zip(batches.gradient(batch, w), mean, strict=True)]
        total += _dot(off, off)
    return total / count


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
            w = [x * size for x in shape]
            for batch in count:
                moved = batches.step("fixed-lr", batch, w, rate, decay)
                change += _dot(moved, moved) - _dot(w, w)
        return _mpf(change)

    scale = _number(dice, 1.3, 1.6)
    if "stationarity" in granted:
        scale = _decimal(mp.exp(mp.findroot(growth, (-1, 1), solver="anderson", tol=mp.mpf(10) ** -(2 * DIGITS))))
    points = [[x * scale for x in shape] for shape in shapes]

    def gradient_of(world: World) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.gradient(int(world.meanings["batch"]), _decimals(world[s.w])))

    def stepped(world: World) -> Any:
        with localcontext(_CONTEXT):
            w = _decimals(world[s.w])
            return _column(batches.step("fixed-lr", int(world.meanings["batch"]), w, rate, decay))

    def mean_gradient(world: World) -> Any:
        with localcontext(_CONTEXT):
            return _column(_mean_gradient(batches, _decimals(world[s.w])))

    def unit_noise(world: World) -> Any:
        with localcontext(_CONTEXT):
            w = _decimals(world[s.w])
            norm = _dot(w, w).sqrt()
            return _mpf(_spread(batches, [x / norm for x in w]))

    volume = _mpf(sum((_dot(point, point) for point in points), Decimal(0)) / len(points) / 2)
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
