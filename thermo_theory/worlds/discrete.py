"""Optimisers themselves: discrete steps, a few minibatches written out, anisotropic heavy-tailed noise.

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
    Clip,
    DifferentialEntropyOf,
    EntropyOf,
    EstimateOf,
    Hadamard,
    MatrixSign,
    NormEntropyOf,
    Powers,
    Sign,
    VectorFunction,
    ones,
)
from thermo_theory.updates import RATES, Update
from thermo_theory.worlds.samples import gaussian_entropy, neighbour_entropy, remaining_entropy

__all__ = ["Batches", "batches_world", "course", "gradient", "index", "run", "runs_world", "steps"]

#: Gradient of minibatch k, and the weights of a run.
gradient, run = VectorFunction.named("g"), VectorFunction.named("w")


def course(update: Update, place: int, whole: bool) -> Any:
    """Function of step k, the state before and the rates: the weights or a buffer after that step, or after all k."""
    letters = "wvq" if whole else "WBQ"
    name = letters[place] if place < len(letters) else f"{letters[1]}_{place}"
    vector = place == 0 or update.buffers[place - 1] in update.vectors
    return VectorFunction.named(name) if vector else sp.Function(name)


def _of_coordinates(kind: type, function: Callable[..., Any]) -> None:
    """Say what a function of vectors is, coordinate by coordinate, in numbers."""

    def value(expression: Any, world: World) -> Any:
        parts = [evaluate(part, world) for part in expression.args]
        vectors = [part if isinstance(part, mp.matrix) else [part] * len(parts[0]) for part in parts]
        return mp.matrix([function(*numbers) for numbers in zip(*vectors, strict=True)])

    interpret(kind, value)


_of_coordinates(Sign, mp.sign)
_of_coordinates(Powers, mp.power)
_of_coordinates(Hadamard, lambda x, y: x * y)
_of_coordinates(Clip, lambda x, bound: min(max(x, -bound), bound))


def _polar(expression: MatrixSign, world: World) -> Any:
    """The polar factor, by a singular value decomposition."""
    vector, (rows, columns) = evaluate(expression.args[0], world), world.meanings["shape"]
    left, _, right = mp.svd_r(mp.matrix([[vector[i * columns + j] for j in range(columns)] for i in range(rows)]))
    return mp.matrix([x for row in (left * right).tolist() for x in row])


interpret(MatrixSign, _polar)
interpret(sp.Max, lambda expression, world: max(evaluate(part, world) for part in expression.args))
interpret(sp.Min, lambda expression, world: min(evaluate(part, world) for part in expression.args))

#: Vectors of decimals: their arithmetic is many times as fast as mpmath's.
Numbers = NDArray[np.object_]

#: The weights, and the buffers of the optimiser.
State = tuple[Any, ...]

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


def _value(part: Numbers | Decimal) -> Any:
    return _column(part) if isinstance(part, np.ndarray) else _mpf(part)


def _exact(part: Any) -> Numbers | Decimal:
    return _decimals(part) if isinstance(part, mp.matrix) else _decimal(part)


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
        parts = [[part.astype(float) for part in parts] for parts in (self.pulls, self.shapes)]
        numbers = {name: float(value) for name, value in self.numbers.items()}
        return Batches(*parts, self.scales.astype(float), float(self.broken), numbers)

    def run(self, update: Update, order: Sequence[int], state: State, rates: Sequence[Decimal]) -> State:
        """The weights and buffers after the minibatches in this order."""
        key = (update, tuple(order), tuple(str(part) for part in state), tuple(rates))
        if key not in self.runs:
            with localcontext(_CONTEXT):
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
        Decimal(0) if "scale invariance" in granted else Decimal("0.1"),
        {name: _number(dice, 0.2, 0.6) for name in numbers}
        | {"eps": Decimal(0) if "eps = 0" in granted else Decimal("0.1")},
    )


# Runs --------------------------------------------------------------------------------------------

#: Steps of a run that still depends on where it began, and the longest run that forgets it.
SHORT, LONG = 9, 240

#: What is left of the distance of two beginnings in a run that has forgotten.
FORGOTTEN = Decimal(10) ** -17

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
    with localcontext(_CONTEXT):
        for attempt in range(400):
            ranges = RANGES | {"eta": (0.05, 0.8), "lam": (0.2, 1.2)} if attempt else RANGES
            noise = _number(dice, 0.5, 2.5) if attempt else Decimal("1.3")
            drawn = SimulatedRuns(
                _batches(dice, granted, n, others, noise),
                [[first % 4, *(dice.randrange(4) for _ in range(LONG + 1))] for first in range(n + 1)],
                (_start(update, dice, n), _start(update, dice, n)),
                tuple(_number(dice, *ranges[name]) for name in _rates(update)),
                _number(dice, 1.4, 1.7),
            )
            if "stationarity" not in granted:
                return drawn
            # Most draws are refused: that is found out in floating point.
            early = _forgotten_after(update, drawn, rounded=True)
            if early and _apart(update, drawn, early) and (length := _forgotten_after(update, drawn)):
                return replace(drawn, length=min(LONG, length + length // 2))
    return None


def _forgotten_after(update: Update, drawn: SimulatedRuns, rounded: bool = False) -> int:
    """Steps after which runs that began with other weights and buffers are the same, 0 if that is too many."""
    found = _same_after(update, drawn, rounded)
    if not found or not drawn.batches.broken:
        return found
    # Without scale invariance runs at rescaled rates are other runs.
    changes, factor = update.homogeneous.scaling, drawn.factor
    powers = [_decimal(sp.sympify(changes.get(rate, rate)).as_powers_dict()[s.c]) for rate in update.held]
    rates = tuple(rate * factor**power for rate, power in zip(drawn.rates, powers, strict=True))
    starts = (_rescaled(update, drawn.starts[0], factor), drawn.starts[1])
    rescaled = _same_after(update, replace(drawn, rates=rates, starts=starts), rounded)
    return rescaled and max(found, rescaled)


@np.errstate(all="ignore")
def _same_after(update: Update, drawn: SimulatedRuns, rounded: bool) -> int:
    # A run at rescaled rates is one from a rescaled beginning.
    factors = [1 / drawn.factor, *_to_equal_rates(update, drawn.rates)]
    starts = [*drawn.starts, *(_rescaled(update, drawn.starts[1], factor) for factor in factors)]
    batches, rates, forgotten, most = drawn.batches, drawn.rates, FORGOTTEN, LONG
    if rounded:
        batches, rates, forgotten, most = batches.rounded(), tuple(map(float, rates)), Decimal("1e-9"), LONG // 2
        starts = [tuple(_rounded(part) for part in start) for start in starts]
    longest = 1
    for order in drawn.orders:
        states = starts
        for count, batch in enumerate(order[:most], start=1):
            states = [batches.step(update, batch, state, rates) for state in states]
            if count % 10 == 0 and count >= longest and _alike(states, forgotten):
                longest = count
                break
        else:
            return 0
    return longest


def _apart(update: Update, drawn: SimulatedRuns, length: int) -> bool:
    """Whether runs end in so many directions that the entropy of these is finite."""
    batches, rates = drawn.batches.rounded(), tuple(map(float, drawn.rates))
    ends = []
    for order in drawn.orders:
        state = tuple(_rounded(part) for part in drawn.starts[0])
        for batch in order[:length]:
            state = batches.step(update, batch, state, rates)
        ends.append(state[0])
    units = np.array(ends) / np.linalg.norm(ends, axis=1)[:, None]
    axis = units.mean(axis=0)
    across = units - units @ axis[:, None] / (axis @ axis) * axis
    # One of the directions is the axis.
    return bool(np.linalg.svd(across, compute_uv=False)[-2] > 1e-6)


def _alike(states: Sequence[State], tolerance: Any) -> bool:
    """Whether the first of some states differs from all others by less than this."""
    pairs = (pair for state in states[1:] for pair in zip(states[0], state, strict=True))
    return all(bool((np.abs(np.ravel(one - other)) < tolerance).all()) for one, other in pairs)


def _rounded(part: Numbers | Decimal) -> Any:
    return part.astype(float) if isinstance(part, np.ndarray) else float(part)


def _rescaled(update: Update, state: State, factor: Decimal) -> State:
    changes = update.homogeneous.scaling
    powers = [sp.sympify(changes.get(symbol, symbol)).as_powers_dict()[s.c] for symbol in update.state]
    return tuple(part * factor ** _decimal(power) for part, power in zip(state, powers, strict=True))


def _to_equal_rates(update: Update, rates: Sequence[Decimal]) -> list[Decimal]:
    """The factor of the beginning of runs at equal rates, if the rates are a learning rate and weight decay."""
    if {*update.held} != {s.eta, s.lam}:
        return [rates[1].sqrt()]
    up, down = update.rate_powers
    return [(rates[0] / rates[1]) ** (1 / _decimal(up - down))]


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
    begin, elsewhere = ([_value(part) for part in start] for start in drawn.starts)
    places = range(len(begin))

    def course_of(where: Sequence[Any], otherwise: Sequence[Any] = ()) -> tuple[State, list[Decimal]]:
        """The state and the rates that stand in a function's arguments."""
        state = where[: -len(drawn.rates)]
        return tuple(map(_exact, state or otherwise)), list(map(_decimal, where[-len(drawn.rates) :]))

    def ends(*where: Any) -> list[list[Any]]:
        """The weights at the end of all runs from the weights and buffers that are given, or from elsewhere."""
        start, rates = course_of(where, elsewhere)
        return [_mpfs(batches.run(update, order[:length], start, rates)[0]) for order in orders]

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
            return _value(batches.run(update, part, start, rates)[place])

        return after

    def one_gradient(world: World, k: Any, w: Any) -> Any:
        with localcontext(_CONTEXT):
            return _column(batches.gradient(orders[int(world.meanings["run"])][int(k)], _decimals(w)))

    function = sp.Function
    unit = begin[0] / mp.norm(begin[0], 2)
    # What the entropy depends on along an orbit is a product of powers of the rates; at equal rates, of one of them.
    power = mp.mpf(1) / sum(update.invariant) if {s.eta, s.lam} == {*update.held} else mp.mpf(1)
    meanings: dict[Any, Any] = {
        "run": 0,
        "shape": SHAPES[n],
        ones: mp.matrix([1] * n),
        **dict(zip(update.state, begin, strict=True)),
        **{update.symbols[name]: _mpf(batches.numbers[name]) for name in update.parameters if name not in RATES},
        **dict(zip(update.held, map(_mpf, drawn.rates), strict=True)),
        s.w_bar: unit,
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.c: _mpf(drawn.factor),
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
        function("s"): lambda world, x: law_entropy(ends(mp.power(x, power), mp.power(x, power))),
        function("s_w"): lambda world, x: whole_entropy(ends(mp.power(x, power), mp.power(x, power))),
    }
    for name, value in {"S": law_entropy, "S_w": whole_entropy, "S_est": estimate}.items():
        # From where the runs begin, and where that no longer matters.
        meanings[function(f"{name}_0")] = meanings[function(name)] = at_ends(value)
    if "r0" in update.parameters:
        meanings[s.eta_eff] = mp.mpf(dice.uniform(0.25, 0.35))
        meanings[function("S")] = lambda world, effective, norm: law_entropy(
            ends(unit * norm, effective * norm**2, norm)
        )
    if "eta_eff" in update.parameters:
        # The noise temperature is a mean over directions: read off the minibatches at the ends of the runs.
        noise = at_ends(lambda points: _noise(batches, points))
        meanings[function("T")] = lambda world, rate: rate * noise(world, rate, _mpf(drawn.rates[1])) / (2 * (n - 1))
        meanings[function("Z")] = lambda world, rate, decay: (
            2 * decay * meanings[function("V")](world, rate, decay) / (rate * noise(world, rate, decay) / 2)
        )
    ensemble = [{"run": i} for i in range(len(orders))]
    return World(meanings, f"{update}, d = {n}, {length} steps", ensemble=ensemble)


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

_SGD = Update.read("w = w - eta*(g + lam*w)")


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
                (moved,) = batches.step(_SGD, batch, (w,), (rate, decay))
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
            return _column(batches.step(_SGD, batch, (w,), (rate, decay))[0])

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
