"""Linear drift in explicit coordinates, gases with a length scale, blocks: where the isotropic gas ends.

Covariances are what an enumerated step leaves as it is, pressures what holds a norm; no Lyapunov equation, no law of a
gas is used.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import DIGITS, Assumptions, World, precise, world_maker
from thermo_theory.symbols.vectors import identity_matrix
from thermo_theory.worlds.sgd import sgd_world

__all__ = ["batch_world", "block_world", "coupled_world", "linear_world", "shared_noise"]

#: Covariance of the noise of two blocks, at unit norm.
shared_noise = sp.Symbol("Sigma_12", real=True)


@dataclass(frozen=True)
class Linear:
    """The process ``w <- w - A w (1 + w.B w) + noise``, the noise's covariance being ``D (1 + ripple |w|^2)``.

    Parameters
    ----------
    matrix : mpmath.matrix
        A.
    bend : mpmath.matrix
        B: 0 if the drift is linear.
    diffusion : mpmath.matrix
        D.
    ripple : mpf
        How the noise changes with the weights; 0 if it is the same everywhere.
    discrete : bool
        Whether time goes in steps of one iteration and not continuously.
    """

    matrix: Any
    bend: Any
    diffusion: Any
    ripple: Any
    discrete: bool

    def drift(self, w: Any) -> Any:
        """Mean step from w."""
        return self.matrix * w * -(1 + mp.fdot(w, self.bend * w))

    def noise(self, w: Any) -> Any:
        """Covariance of the noise of a step from w."""
        return self.diffusion * (1 + self.ripple * mp.fdot(w, w))

    def mean(self, function: Callable[[Any], Any], covariance: Any) -> Any:
        """Mean of a function over weights of mean 0 and this covariance (columns of its root, both signs)."""
        points = equally_likely(covariance)
        return _sum([function(point) for point in points]) / len(points)

    def square(self, w: Any) -> Any:
        """Mean square of the change from w per unit of time, every noise vector enumerated."""
        return self._limit(lambda time: _mean_square(self._moves(w, time)))

    def rate(self, covariance: Any) -> Any:
        """Change of the covariance per unit of time, every weight and every noise vector of a step enumerated."""

        def change(time: Any) -> Any:
            after = self.mean(lambda w: _mean_square([w + move for move in self._moves(w, time)]), covariance)
            return after - covariance

        return self._limit(change)

    def _moves(self, w: Any, time: Any) -> list[Any]:
        pulled = self.drift(w) * time
        return [pulled + kick * mp.sqrt(time) for kick in equally_likely(self.noise(w))]

    def _limit(self, change: Callable[[Any], Any]) -> Any:
        """Change per unit of time: in one iteration if discrete, else in the limit of short times."""
        if self.discrete:
            return change(mp.mpf(1))
        time = mp.mpf(10) ** -(DIGITS // 3)
        return change(time / 2) * (4 / time) - change(time) / time

    def still(self) -> Any:
        """The covariance that does not change, by Newton's method; the rate is affine in it if the drift is linear."""
        if not any(self.bend):
            return self._newton(mp.eye(self.matrix.rows), mp.mpf(1) / 3)
        covariance, small = replace(self, bend=self.bend * 0).still(), mp.mpf(10) ** -(DIGITS // 3)
        for _ in range(4):
            covariance = self._newton(covariance, small)
        return covariance

    def _newton(self, start: Any, size: Any) -> Any:
        """Where the rate vanishes if it is affine, from n (n + 1)/2 probes."""
        n = self.matrix.rows
        pairs = [(i, j) for i in range(n) for j in range(i + 1)]
        origin = self.rate(start)
        system = mp.matrix(len(pairs), len(pairs))
        for column, (i, j) in enumerate(pairs):
            probe = start.copy()
            probe[i, j] += size
            probe[j, i] = probe[i, j]
            change = (self.rate(probe) - origin) / size
            for row, (k, m) in enumerate(pairs):
                system[row, column] = change[k, m]
        found, step = start.copy(), mp.lu_solve(system, -mp.matrix([origin[k, m] for k, m in pairs]))
        for value, (i, j) in zip(step, pairs, strict=True):
            found[i, j] += value
            found[j, i] = found[i, j]
        return found


def _mean_square(vectors: list[Any]) -> Any:
    return _sum([v * v.T for v in vectors]) / len(vectors)


def _sum(values: list[Any]) -> Any:
    return sum(values[1:], values[0])


def equally_likely(covariance: Any) -> list[Any]:
    """Equally likely vectors of mean 0 and this covariance."""
    n = covariance.rows
    root = mp.cholesky(covariance)
    columns = [root[:, i] * mp.sqrt(n) for i in range(n)]
    return [sign * column for column in columns for sign in (1, -1)]


def positive_definite(n: int, dice: random.Random) -> Any:
    """A random positive definite matrix that is neither diagonal nor near the identity."""
    loose = mp.matrix([[mp.mpf(dice.gauss(0, 1)) for _ in range(n)] for _ in range(n)])
    return loose * loose.T / n + mp.diag([mp.mpf(dice.uniform(0.3, 1)) for _ in range(n)])


@world_maker(
    lambda symmetric=True: (
        f"{'SGD on a quadratic loss' if symmetric else 'any linear drift'} with random matrices in 2 to 4 dimensions; "
        "the covariance is the fixed point of an enumerated step"
    ),
)
def linear_world(number: int, granted: Assumptions, /, symmetric: bool = True) -> World:
    """Worlds of a linear drift: SGD on a quadratic loss, or any stable matrix.

    Parameters
    ----------
    symmetric : bool
        Whether the drift is ``-eta H w`` with a Hessian H, and not any ``-A w``.
    """
    return _linear(number, granted, symmetric)


def _linear(number: int, granted: Assumptions, symmetric: bool) -> World:
    dice = random.Random(f"linear {number} {symmetric}")
    n = 2 + number % 3
    rate, strength = mp.mpf(dice.uniform(0.08, 0.15)), mp.mpf(dice.uniform(0.7, 1.4))
    hessian, anything, size = positive_definite(n, dice), positive_definite(n, dice), 3 if n == 3 else 2
    noise = anything
    if "commuting noise" in granted:
        noise = hessian * hessian / 3 + mp.eye(n) / 5
    if "isotropic noise" in granted:
        noise = mp.eye(n) * strength**2
    skew = mp.matrix([[mp.mpf((i - j) * (1 + i * j)) / 7 for j in range(n)] for i in range(n)])
    matrix = hessian * rate if symmetric else (hessian + skew) * rate
    bend = mp.mpf(0 if ("quadratic loss" if symmetric else "linear drift") in granted else 0.4)
    ripple = mp.mpf(0 if "homogeneous noise" in granted else 0.05)
    process = Linear(matrix, hessian * bend, noise * rate**2, ripple, "continuous time" not in granted)
    covariance = process.still() if "stationarity" in granted else positive_definite(n, dice) / 3
    values, vectors = mp.eigsy(hessian)
    first, second = vectors[:, 0], vectors[:, 1]
    here = mp.matrix([mp.mpf(dice.uniform(-1, 1)) for _ in range(n)])
    root, heavy = mp.cholesky(covariance), mp.mpf(0 if "normal density" in granted else 0.1)

    def form(matrix: Any, left: Any, right: Any) -> Any:
        return mp.fdot(list(left), list(matrix * right))

    def mixed(matrix: Any) -> Any:
        # Between two modes; round-off is 0.
        return mp.chop(form(matrix, first, second), tol=mp.norm(matrix, 2) * mp.mpf(10) ** (5 - DIGITS))

    def loss(w: Any) -> Any:
        q = form(hessian, w, w)
        return q / 2 + bend * q**2 / 4

    def log_density(w: Any) -> Any:
        # Up to a constant, by substitution in the covariance's Cholesky factor.
        square = mp.norm(mp.lu_solve(root, w), 2) ** 2
        return -square / 2 - heavy * square**2

    def gradient(w: Any) -> Any:
        step = mp.mpf(10) ** -(DIGITS // 3)
        columns = [mp.eye(n)[:, i] * step for i in range(n)]
        return mp.matrix([(log_density(w + e) - log_density(w - e)) / (2 * step) for e in columns])

    def covariance_at(w: Any) -> Any:
        return process.noise(w) / rate**2

    def density(w: Any) -> Any:
        return mp.exp(log_density(w) - log_density(here))

    def potential(x: Any) -> Any:
        return -temperature * log_density(here + first * x)

    sigma = mp.sqrt(mp.fsum(covariance_at(here)[i, i] for i in range(n)) / n)
    temperature, shrunk = rate * sigma**2 / 2, _share_of_batch(noise, size, granted)
    drift_squared = process.mean(lambda w: process.drift(w) * process.drift(w).T, covariance) * int(process.discrete)
    meanings: dict[Any, Any] = {
        identity_matrix: mp.eye(n),
        s.eta: rate,
        s.w: here,
        s.L: loss(here),
        s.Hess: hessian,
        s.drift_matrix: process.matrix,
        s.drift: process.drift(here),
        s.Sigma_w: covariance_at(here),
        s.Sigma_mean: process.mean(covariance_at, covariance),
        s.D_mean: lambda world: process.mean(process.square, covariance),
        s.C: covariance,
        s.C_next: covariance + process.rate(covariance),
        s.drift_squared: drift_squared,
        s.sigma: sigma,
        s.T: temperature,
        s.Phi: potential(0),
        s.grad_log_rho: lambda world: gradient(here),
        s.current: lambda world: process.drift(here) - _divergence(lambda w: process.noise(w) * density(w), here) / 2,
        s.h_i: values[0],
        s.h_j: values[1],
        s.C_ij: mixed(covariance),
        s.C_ii: form(covariance, first, first),
        s.L_i: process.mean(lambda w: loss(first * mp.fdot(first, w)), covariance),
        s.Sigma_ij: mixed(covariance_at(here)),
        s.Sigma_ii: form(covariance_at(here), first, first),
        s.phi_i: lambda world: slope(potential, mp.mpf(0), 2),
        s.batch: size,
        s.Sigma1_ij: mixed(covariance_at(here)) / shrunk,
    }
    return World(meanings, f"{'quadratic loss' if symmetric else 'linear drift'}, {n} dimensions")


def _divergence(field: Callable[[Any], Any], w: Any) -> Any:
    """Divergence of a matrix field in R^n, by central differences."""
    step, total = mp.mpf(10) ** -(DIGITS // 3), mp.matrix(w.rows, 1)
    for j in range(w.rows):
        side = mp.eye(w.rows)[:, j] * step
        total += (field(w + side)[:, j] - field(w - side)[:, j]) / (2 * step)
    return total


def _share_of_batch(covariance: Any, size: int, granted: Assumptions) -> Any:
    """How much of one example's noise is left in the mean of a batch, by enumerating its examples.

    Where they are not independent, the second is the first once more in one batch of four.
    """
    points = equally_likely(covariance)
    batches = [[point] for point in points]
    for _ in range(size - 1):
        batches = [[*batch, point] for batch in batches for point in points]
    means = [_sum(batch) / size for batch in batches]
    twice = [_sum([batch[0], batch[0], *batch[2:]]) / size for batch in batches]
    share = mp.mpf(0 if "independent examples" in granted else 1) / 4
    return (_mean_square(means) * (1 - share) + _mean_square(twice) * share)[0, 0] / covariance[0, 0]


def batch_world(number: int, granted: Assumptions) -> World:
    """SGD itself on the fixed sphere, d = 3 to 5; how much quieter a batch is comes from enumeration."""
    world, size = sgd_world("fixed-sphere")(number, granted), 2 + number % 2
    with mp.workdps(DIGITS + 10):
        shrunk = _share_of_batch(positive_definite(2, random.Random(number)), size, granted)
    return world.at({s.batch: size, s.sigma1: lambda there: there[s.sigma] / mp.sqrt(shrunk)})


@dataclass(frozen=True)
class Blocks:
    """SGD at fixed LR on a loss of the directions of two blocks, with noise that is different in them.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of weights of the blocks.
    rate, decay : mpf
        Learning rate and weight decay.
    strengths : tuple of mpf
        Scale of the noise of the blocks.
    ratio : mpf
        How much the loss depends on the ratio of the blocks' norms.
    broken : mpf
        Size of the part of the loss that is not scale-invariant.
    radial : mpf
        Noise along the weights of a block, as a share of the rest.
    discrete : bool
        Whether time goes in steps of one iteration.
    """

    sizes: tuple[int, int]
    rate: Any
    decay: Any
    strengths: tuple[Any, Any]
    ratio: Any
    broken: Any
    radial: Any
    discrete: bool

    def split(self, w: Any) -> list[Any]:
        """The weights of each block."""
        first = self.sizes[0]
        return [w[:first, 0], w[first:, 0]]

    def loss(self, w: Any) -> Any:
        """A loss that couples the directions of the blocks."""
        sizes = [mp.norm(part, 2) for part in self.split(w)]
        u, v = (part / size for part, size in zip(self.split(w), sizes, strict=True))
        of_norms = self.ratio * mp.log(sizes[0] / sizes[1]) + self.broken * (w[0] + mp.fdot(w, w) / 5)
        return -u[0] + v[1] * u[1] + v[0] ** 2 / 2 + of_norms

    def gradient(self, w: Any) -> Any:
        """Gradient by central differences."""
        step, n = mp.mpf(10) ** -(DIGITS // 3), w.rows
        shifts = [mp.eye(n)[:, i] * step for i in range(n)]
        return mp.matrix([(self.loss(w + e) - self.loss(w - e)) / (2 * step) for e in shifts])

    def kicks(self, w: Any) -> list[Any]:
        """Equally likely noise vectors: along the spheres of the blocks, unequal in their directions."""
        columns = []
        for block, part in enumerate(self.split(w)):
            radius = mp.norm(part, 2)
            u = part / radius
            for i in range(part.rows):
                along = -u * u[i]
                along[i] += 1 + self.radial
                kick = mp.matrix(w.rows, 1)
                for k in range(part.rows):
                    kick[k + block * self.sizes[0]] = along[k] * self.strengths[block] * (1 + mp.mpf(i) / 2) / radius
                columns.append(kick * mp.sqrt(w.rows))
        return [sign * column for column in columns for sign in (1, -1)]

    def mean_change(self, function: Callable[[Any], Any], w: Any) -> Any:
        """Mean change of a function of the weights per unit of time."""
        pull, kicks, start = self.gradient(w) + self.decay * w, self.kicks(w), function(w)

        def change(time: Any) -> Any:
            base = w - pull * (self.rate * time)
            moved = [function(base + kick * (self.rate * mp.sqrt(time))) for kick in kicks]
            return (mp.fsum(moved) / len(moved) - start) / time

        if self.discrete:
            return change(mp.mpf(1))
        time = mp.mpf(10) ** -(DIGITS // 3)
        return 2 * change(time / 2) - change(time)


@precise
def block_world(number: int, granted: Assumptions) -> World:
    """SGD itself on a loss of two coupled scale-invariant blocks, 5 to 7 weights, at norms that do not drift."""
    dice = random.Random(f"blocks {number}")
    sizes = (2, 3 + number % 3)
    example = Blocks(
        sizes,
        mp.mpf(dice.uniform(0.2, 0.4)),
        mp.mpf(dice.uniform(0.1, 0.3)),
        (mp.mpf(dice.uniform(0.6, 0.8)), mp.mpf(dice.uniform(0.9, 1.3))),
        ratio=mp.mpf(0 if "scale-invariant blocks" in granted else 0.05),
        broken=mp.mpf(0 if "scale-invariant blocks" in granted or "scale invariance" in granted else 0.2),
        radial=mp.mpf(0 if "scale invariance" in granted else 0.07),
        discrete="continuous time" not in granted,
    )
    directions = [_direction(size, dice) for size in sizes]

    def weights(*norms: Any) -> Any:
        return mp.matrix([x for u, norm in zip(directions, norms, strict=True) for x in u * norm])

    def growth(*norms: Any) -> list[Any]:
        w = weights(*norms)

        def square(block: int) -> Callable[[Any], Any]:
            return lambda v: mp.fdot(*[example.split(v)[block]] * 2)

        return [example.mean_change(square(i), w) for i in range(2)]

    norms: Any = (mp.mpf("1.6"), mp.mpf("1.9"))
    if "stationarity" in granted:
        norms = tuple(mp.findroot(growth, (1, 1), tol=mp.mpf(10) ** -DIGITS, maxsteps=50, verify=False))
    w = weights(*norms)

    def temperature(block: int) -> Any:
        # Einstein's relation for the direction of a block.
        start, size, norm = directions[block], sizes[block], norms[block]
        spread = example.mean_change(
            lambda v: mp.norm(example.split(v)[block] / mp.norm(example.split(v)[block], 2) - start, 2) ** 2, w
        )
        return spread / (2 * example.rate / norm**2 * (size - 1))

    volumes = [norm**2 / 2 for norm in norms]
    meanings = {
        s.p: example.decay,
        s.V: mp.fdot(w, w) / 2,
        s.V1: volumes[0],
        s.V2: volumes[1],
        s.T1: temperature(0),
        s.T2: temperature(1),
        s.d: w.rows,
        s.d1: sizes[0],
        s.d2: sizes[1],
        s.R: mp.mpf(w.rows - 1) / 2,
        s.R1: mp.mpf(sizes[0] - 1) / 2,
        s.R2: mp.mpf(sizes[1] - 1) / 2,
        sp.Function("L"): lambda _, *volumes: example.loss(weights(*[mp.sqrt(2 * volume) for volume in volumes])),
    }
    return World(meanings, f"blocks of {sizes[0]} and {sizes[1]} weights")


@precise
def coupled_world(number: int, granted: Assumptions) -> World:
    """Two coordinates on a coupled loss, each with its own noise, every step enumerated; moments solved for."""
    dice = random.Random(f"coupled {number}")
    rates = [mp.mpf(dice.uniform(0.1, 0.3)) for _ in range(2)]
    sizes = [mp.mpf(dice.uniform(0.5, 1.5)) for _ in range(2)]
    bend, coupling = mp.mpf(dice.uniform(1, 1.5)), mp.mpf(dice.uniform(0.4, 0.8))
    quartic = mp.mpf(0 if "quadratic loss" in granted else 0.5)
    shared = mp.mpf(0 if "uncorrelated blocks" in granted else 0.3)
    discrete = "continuous time" not in granted

    def loss(x: Any) -> Any:
        return bend * mp.fdot(x, x) / 2 + coupling * x[0] * x[1] + quartic * (x[0] ** 4 + x[1] ** 4) / 4

    def rates_of(function: Callable[[Any], list[Any]], x: Any, blocks: tuple[int, ...] = (0, 1)) -> list[Any]:
        """Mean rates of change, for each sign of the two noises, if only these blocks move."""
        pull = [bend * x[k] + coupling * x[1 - k] + quartic * x[k] ** 3 for k in range(2)]
        time = mp.mpf(1) if discrete else mp.mpf(10) ** -(DIGITS // 2)
        total = [-one for one in function(x)]
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            move = [rates[k] * (signs[k] * sizes[k] * mp.sqrt(time) - pull[k] * time) for k in range(2)]
            there = function([x[k] + (move[k] if k in blocks else 0) for k in range(2)])
            weight = (1 + shared * signs[0] * signs[1]) / 4
            total = [one + weight * other for one, other in zip(total, there, strict=True)]
        return [one / time for one in total]

    def rate_of(function: Callable[[Any], Any], x: Any, blocks: tuple[int, ...] = (0, 1)) -> Any:
        return rates_of(lambda place: [function(place)], x, blocks)[0]

    def points(first: Any, mixed: Any, second: Any) -> list[Any]:
        """Equally likely places with these second moments, as are their opposites."""
        aside = mixed / mp.sqrt(first)
        return [[mp.sqrt(2 * first), mp.sqrt(2) * aside], [mp.mpf(0), mp.sqrt(2 * (second - aside**2))]]

    def drifts(*moments: Any) -> list[Any]:
        seen = [rates_of(lambda x: [x[0] ** 2, x[0] * x[1], x[1] ** 2], x) for x in points(*moments)]
        return [mp.fsum(parts) for parts in zip(*seen, strict=True)]

    guess = [rates[k] * sizes[k] ** 2 / 2 for k in range(2)]
    moments = list(mp.findroot(drifts, (guess[0], -mp.fprod(guess), guess[1]), tol=mp.mpf(10) ** -40, verify=False))
    if "stationarity" not in granted:
        moments = [moments[0] * mp.mpf("1.4"), moments[1], moments[2] * mp.mpf("0.9")]
    ensemble = [[sign * one for one in x] for x in points(*moments) for sign in (1, -1)]

    def place(world: World) -> Any:
        return [world[s.x1], world[s.x2]]

    def generator(function: Callable[[World], Any], world: World) -> Any:
        return rate_of(lambda x: function(world.at({s.x1: x[0], s.x2: x[1]})), place(world))

    def temperature(block: int) -> Any:
        # Einstein's relation at rest.
        return rate_of(lambda x: x[block] ** 2, [mp.mpf(0)] * 2) / (2 * rates[block])

    meanings: dict[Any, Any] = {
        s.x1: ensemble[0][0],
        s.x2: ensemble[0][1],
        s.L: lambda world: loss(place(world)),
        s.h: bend,
        s.coupling: coupling,
        s.eta1: rates[0],
        s.eta2: rates[1],
        s.T1: temperature(0),
        s.T2: temperature(1),
        shared_noise: shared * sizes[0] * sizes[1],
        s.heat: mp.fsum(rate_of(loss, x, (0,)) for x in ensemble) / len(ensemble),
    }
    changes = [{s.x1: x[0], s.x2: x[1]} for x in ensemble]
    return World(meanings, "two coupled coordinates", ensemble=changes, generator=generator)


def _direction(n: int, dice: random.Random) -> Any:
    w = mp.matrix([mp.mpf(dice.gauss(0, 1)) for _ in range(n)])
    return w / mp.norm(w, 2)
