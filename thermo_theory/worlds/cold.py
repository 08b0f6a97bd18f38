"""SGD at low temperature: discrete steps near the minimum of a scale-invariant loss, with all noise vectors listed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mpmath as mp
import numpy as np

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker

__all__ = ["cold_world"]

#: Temperature of a cold gas, relative to a warm one.
COLD = mp.mpf(10) ** -34


def _length(vector: Any) -> Any:
    return mp.sqrt(vector @ vector)


def _column(vector: Any) -> Any:
    return mp.matrix([*vector])


def aside(w: Any) -> Any:
    """Where the direction of the weights lies, from the first axis."""
    return w[1:] / _length(w)


@dataclass(frozen=True)
class Cold:
    """The loss ``h a + bend a^2`` of ``a = 1 - cos(angle from the first axis)``, and noise of a few vectors.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    cold : mpf
        Scale of the temperature; the norm does not depend on it, since weight decay scales with it.
    bend : mpf
        Departure of the loss from a cosine.
    noise : list of arrays
        Noise at unit norm before it is projected on the tangent space; each with both signs, equally likely.
    shapes : list of arrays
        Directions of the points over which means are taken, from the first axis.
    broken : mpf
        Size of the part of the loss, ``broken |w|^2/2``, that is not scale-invariant.
    still : bool
        Whether the points are where mean squared distance from the axis and norm stay as they are.
    bias : mpf
        Mean of the noise, as a share of the distance from the axis; 0 if it is independent of it.
    """

    protocol: str
    cold: Any
    bend: Any
    noise: list[Any]
    shapes: list[Any]
    broken: Any
    still: bool
    bias: Any
    known: dict[Any, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.shapes[0])

    def point(self, spread: Any, norm: Any, shape: Any) -> Any:
        """Weights of this norm, away from the first axis in the direction of the shape."""
        u = shape * (spread * mp.sqrt(self.cold))
        u[0] += 1
        return u * (norm / _length(u))

    @staticmethod
    def gap(w: Any) -> Any:
        """1 - cos of the angle from the first axis, without cancellation."""
        norm = _length(w)
        return w[1:] @ w[1:] / (norm * (norm + w[0]))

    def loss(self, w: Any, h: Any) -> Any:
        """Loss above its minimum."""
        gap = self.gap(w)
        return h * gap + self.bend * gap**2

    def unit_noise(self, w: Any, k: int) -> Any:
        """Noise vector k at unit norm, along the sphere."""
        u = w / _length(w)
        vector = self.noise[k // 2] * (mp.sqrt(self.cold) * (-1) ** k)
        if self.bias:
            vector[1:] = vector[1:] + u[1:] * self.bias
        return vector - u * (u @ vector)

    def gradient(self, w: Any, h: Any, k: int) -> Any:
        """Gradient of minibatch k."""
        norm = _length(w)
        u = w / norm
        slope = -(h + 2 * self.bend * self.gap(w))
        mean = -u * (u[0] * slope)
        mean[0] += slope
        return (mean + self.unit_noise(w, k)) / norm + w * self.broken

    def step(self, w: Any, h: Any, rate: Any, decay: Any, k: int) -> Any:
        """Weights after a step, before any projection on the sphere."""
        return w - (self.gradient(w, h, k) + w * decay) * rate

    def state(self, h: Any, rate: Any, decay: Any, norm: Any) -> tuple[Any, Any]:
        """Spread and norm; where mean loss and squared norm do not change, if that is granted."""
        key = (h, rate, decay, norm)
        if not self.still:
            return mp.mpf("0.8"), norm
        if key not in self.known:
            with mp.workdps(3 * DIGITS):
                self.known[key] = self._solved(h, rate, decay, norm)
        return self.known[key]

    def _solved(self, h: Any, rate: Any, decay: Any, norm: Any) -> tuple[Any, Any]:
        noises = range(2 * len(self.noise))
        sphere = self.protocol == "fixed-sphere"

        def drifts(log_spread: Any, log_norm: Any) -> tuple[Any, Any]:
            spread, growth = mp.mpf(0), mp.mpf(0)
            for shape in self.shapes:
                w = self.point(mp.exp(log_spread), mp.exp(log_norm), shape)
                eta = self.learning_rate(w, rate)
                for k in noises:
                    moved = self.step(w, h, eta, decay, k)
                    before, after = aside(w), aside(moved)
                    spread += (after @ after - before @ before) / self.cold
                    growth += (moved @ moved - w @ w) / self.cold
            return spread, growth

        # The spread goes nearly as its guess does, and the norm hardly changes: the nearest known state says how.
        guess = self.guess(h, rate, norm)
        known = {self.guess(other, its, norm): one for (other, its, *_), one in self.known.items()}
        near = min(known, key=lambda other: mp.fabs(mp.log(other / guess)), default=guess)
        spread, size = known.get(near, (guess, norm))
        start = [mp.log(spread * guess / near), mp.log(size)]
        digits = mp.mpf(10) ** -(3 * DIGITS // 2)
        if sphere:
            spread = mp.findroot(lambda a: drifts(a, start[1])[0], start[0], tol=digits, verify=False)
            return mp.exp(spread), norm
        found = mp.findroot(lambda a, b: list(drifts(a, b)), start, tol=digits, verify=False, maxsteps=30)
        return mp.exp(found[0]), mp.exp(found[1])

    def guess(self, h: Any, rate: Any, norm: Any) -> Any:
        """A rough spread to start the search from."""
        effective = rate if self.protocol == "fixed-elr" else rate / norm**2
        return mp.sqrt(effective / h)

    def learning_rate(self, w: Any, rate: Any) -> Any:
        """Learning rate at w."""
        return rate * (w @ w) if self.protocol == "fixed-elr" else rate


@world_maker(
    "discrete SGD at {protocol}, d = 3 and 4, near the minimum of its loss at T of 1e-34, with anisotropic "
    "noise listed vector by vector",
    digits=2 * DIGITS,
)
def cold_world(number: int, granted: Assumptions, /, protocol: str) -> World:
    """Worlds of discrete SGD near the minimum of the loss.

    The gas is warm unless ``low temperature`` is granted.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    """
    dice = random.Random(f"cold {protocol} {number}")
    return _cold(protocol, 3 + number % 2, dice, granted)


def _random(dice: random.Random, n: int) -> Any:
    aside = [mp.mpf(dice.uniform(0.4, 1.2)) * dice.choice((1, -1)) for _ in range(n - 1)]
    return np.array([mp.mpf(0), *aside], dtype=object)


def _cold(protocol: str, n: int, dice: random.Random, granted: Assumptions) -> World:
    low = "low temperature" in granted
    # Of a warm gas the points are nearer than a radian, so that there is a stationary state.
    cold = COLD if low else mp.mpf("0.02")
    example = Cold(
        protocol,
        cold,
        mp.mpf(dice.uniform(0.2, 0.4)),
        [_random(dice, n) for _ in range(n - 1)],
        [_random(dice, n) for _ in range(2)],
        cold * mp.mpf(0 if "scale invariance" in granted else "0.3"),
        "stationarity" in granted,
        mp.mpf(0 if "independent noise" in granted else "0.2"),
    )
    curvature = mp.mpf(dice.uniform(0.6, 1.2))
    rate, decay, norm = mp.mpf(dice.uniform(0.3, 0.5)), cold * mp.mpf(dice.uniform(0.3, 0.5)), mp.mpf("1.1")
    if protocol == "fixed-sphere":
        decay = mp.mpf(0)
    rate_symbol = s.eta_eff if protocol == "fixed-elr" else s.eta

    def state(world: World) -> tuple[Any, Any]:
        return example.state(world[s.h], world[rate_symbol], decay, norm)

    def points(world: World) -> list[Any]:
        with mp.workdps(2 * DIGITS):
            spread, size = state(world)
            return [example.point(spread, size, shape) for shape in example.shapes]

    def here(world: World) -> Any:
        return points(world)[int(world.meanings["point"])]

    def batch(world: World) -> int:
        return int(world.meanings["batch"])

    def after(world: World) -> Any:
        w = here(world)
        return example.step(w, world[s.h], example.learning_rate(w, world[rate_symbol]), decay, batch(world))

    def mean(world: World, function: Callable[[Any], Any]) -> Any:
        with mp.workdps(2 * DIGITS):
            values = [function(w) for w in points(world)]
            return mp.fsum(values) / len(values)

    def noise(world: World) -> Any:
        """Mean square of the noise at unit norm per direction."""
        count = range(2 * len(example.noise))
        vectors = mean(world, lambda w: sum((example.unit_noise(w, k)[1:] ** 2).sum() for k in count))
        return vectors / len(count) / (n - 1)

    def effective(world: World) -> Any:
        return world[rate_symbol] / (1 if protocol == "fixed-elr" else state(world)[1] ** 2)

    def holding(world: World) -> Any:
        """Weight decay that would hold the mean squared norm."""

        def growth(scaled: Any) -> Any:
            change = mp.mpf(0)
            for w in points(world):
                for k in range(2 * len(example.noise)):
                    moved = example.step(w, world[s.h], world[s.eta], scaled * cold, k)
                    change += moved @ moved - w @ w
            return change / cold

        with mp.workdps(3 * DIGITS):
            return mp.findroot(growth, (mp.mpf(0), mp.mpf(1)), tol=mp.mpf(10) ** -DIGITS, verify=False) * cold

    meanings: dict[Any, Any] = {
        "point": 0,
        "batch": 0,
        s.d: n,
        s.R: mp.mpf(n - 1) / 2,
        s.h: curvature,
        rate_symbol: rate,
        s.w: lambda world: _column(here(world)),
        s.r: lambda world: state(world)[1],
        s.g: lambda world: _column(example.gradient(here(world), world[s.h], batch(world))),
        s.w_next: lambda world: _column(after(world)),
        s.x: lambda world: _column(aside(here(world))),
        s.x_next: lambda world: _column(aside(after(world))),
        s.xi: lambda world: _column(example.unit_noise(here(world), batch(world))[1:]),
        s.U: lambda world: mean(world, lambda w: example.loss(w, world[s.h])),
        s.V: lambda world: mean(world, lambda w: w @ w) / 2,
        s.sigma: lambda world: mp.sqrt(noise(world)),
        s.T: lambda world: effective(world) * noise(world) / 2,
    }
    if protocol == "fixed-elr":
        meanings[s.eta] = lambda world: world[s.eta_eff] * state(world)[1] ** 2
    else:
        meanings[s.eta_eff] = effective
    if protocol == "fixed-sphere":
        meanings |= {s.p: holding, s.r0: norm}
    else:
        meanings |= {s.lam: decay, s.p: decay}
    batches = range(2 * len(example.noise))
    ensemble = [{"point": i, "batch": k} for i in range(len(example.shapes)) for k in batches]
    return World(meanings, f"a cold gas at {protocol}, d = {n}", ensemble=ensemble)
