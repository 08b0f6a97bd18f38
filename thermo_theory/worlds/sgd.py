"""SGD in explicit coordinates: a loss, a noise matrix and the update itself, in three to five dimensions.

Nothing here knows a formula of the theory. Moments of a step are sums over a finite set of noise vectors, rates are
limits of such sums, stationarity is a root, and the temperature is read off the stationary density of the directions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import mpmath as mp

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.worlds.geometry import surface_divergence, surface_gradient

__all__ = ["SGDWorld", "sgd_world"]


@dataclass(frozen=True)
class SGDWorld:
    """One explicit example of SGD.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    rate : mpf
        The learning rate, or the effective one at fixed ELR.
    decay : mpf
        Weight decay (0 on the sphere).
    noise : mpf
        Scale of the gradient noise.
    curvature : mpf
        The loss is ``-u_1 + curvature u_1^2`` of the direction u; None if it is flat.
    shape : mpmath.matrix
        A square root of the noise covariance before it is projected on the sphere; the identity if isotropic.
    axial : bool
        Whether the noise is the same all round the first axis, with the shape's first two entries along the meridian
        and across: then the stationary density can be found, as nothing flows through a circle of latitude.
    ripple : mpf
        How much the strength of the noise changes over the sphere; 0 if homogeneous.
    broken : mpf
        Size of the part of loss and noise that is not scale-invariant.
    radial : mpf
        Noise along the weights, and correlated with that along the sphere, as a share of the rest.
    discrete : bool
        Whether time goes in steps of one iteration and not continuously.
    """

    protocol: str
    rate: Any
    decay: Any
    noise: Any
    curvature: Any
    shape: Any
    axial: bool
    ripple: Any
    broken: Any
    radial: Any
    discrete: bool

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return int(self.shape.rows)

    def loss_of_cosine(self, cosine: Any, radius: Any = 1) -> Any:
        """Loss as a function of the first coordinate of the direction, at a norm (1: what is scale-invariant)."""
        if self.curvature is None:
            return mp.mpf(0)
        return -cosine + self.curvature * cosine**2 + self.broken * ((radius - 1) * cosine + (radius**2 - 1) / 5)

    def loss(self, w: Any) -> Any:
        """Expected loss at w."""
        radius = mp.norm(w, 2)
        return self.loss_of_cosine(w[0] / radius, radius)

    def gradient(self, w: Any) -> Any:
        """Gradient of the expected loss at w, by central differences."""
        step, n = mp.mpf(10) ** -(DIGITS // 3), self.dimension
        gradient = mp.matrix(n, 1)
        for i in range(n):
            up, down = w.copy(), w.copy()
            up[i] += step
            down[i] -= step
            # The cubic term of the difference is removed by a second, twice as wide one.
            wide_up, wide_down = w.copy(), w.copy()
            wide_up[i] += 2 * step
            wide_down[i] -= 2 * step
            narrow = (self.loss(up) - self.loss(down)) / (2 * step)
            wide = (self.loss(wide_up) - self.loss(wide_down)) / (4 * step)
            gradient[i] = (4 * narrow - wide) / 3
        return gradient

    def noise_columns(self, w: Any) -> list[Any]:
        """Columns of a square root of the covariance of a minibatch gradient at w."""
        n, radius = self.dimension, mp.norm(w, 2)
        u = w / radius
        flat = mp.eye(n) - u * u.T
        if self.axial:
            along = flat[:, 0] / mp.norm(flat[:, 0], 2)
            root = flat * self.shape[1, 1] + along * along.T * (self.shape[0, 0] - self.shape[1, 1])
        else:
            along, root = flat[:, n - 1], flat * self.shape
        columns = [root[:, i] for i in range(n)]
        if self.radial:
            columns.append((u + along) * self.radial)
        trace = mp.fsum(mp.norm(column, 2) ** 2 for column in columns)
        height = 2 * u[0] if self.axial else 2 * u[1] - u[0]
        variance = self.noise**2 * (n - 1) * (1 + self.ripple * mp.tanh(height)) * (1 + self.broken * (radius - 1))
        return [column * (mp.sqrt(variance / trace) / radius) for column in columns]

    def covariance(self, w: Any) -> Any:
        """Covariance of a minibatch gradient at w."""
        first, *others = [column * column.T for column in self.noise_columns(w)]
        for other in others:
            first += other
        return first

    def learning_rate(self, w: Any) -> Any:
        """Learning rate at w: constant, or eta_eff r^2 at fixed ELR."""
        return self.rate * mp.fdot(w, w) if self.protocol == "fixed-elr" else self.rate

    def moved(self, w: Any, noise: Any, time: Any) -> Any:
        """Weights after a step of length `time` (1: one iteration), before any projection."""
        return self._pulled(w, time) + noise * (self.learning_rate(w) * mp.sqrt(time))

    def _pulled(self, w: Any, time: Any) -> Any:
        """Weights after a step without noise."""
        return w - (self.gradient_cached(w) + self.decay * w) * (self.learning_rate(w) * time)

    def gradient_cached(self, w: Any) -> Any:
        """Gradient, remembered for the last point: every noise vector of a step starts from it."""
        key = tuple(w)
        if self._memory.get("at") != key:
            self._memory.update(at=key, gradient=self.gradient(w))
        return self._memory["gradient"]

    @cached_property
    def _memory(self) -> dict[str, Any]:
        return {}

    def noise_vectors(self, w: Any) -> list[Any]:
        """Equally likely noise vectors with mean 0 and the covariance at w: its root's columns, both signs."""
        columns = self.noise_columns(w)
        size = mp.sqrt(len(columns))
        return [column * (sign * size) for column in columns for sign in (1, -1)]

    def rate_of(self, function: Callable[[Any], Any], w: Any) -> Any:
        """Mean rate of change of a function of the weights: over one iteration if discrete, else the limit."""
        vectors, start = self.noise_vectors(w), function(w)
        if self.discrete:
            return self._mean_change(function, w, mp.mpf(1), vectors, start)
        time = mp.mpf(10) ** -(DIGITS // 3)
        coarse, fine = (self._mean_change(function, w, h, vectors, start) / h for h in (time, time / 2))
        return 2 * fine - coarse

    def _mean_change(self, function: Callable[[Any], Any], w: Any, time: Any, vectors: list[Any], start: Any) -> Any:
        pulled, kick = self._pulled(w, time), self.learning_rate(w) * mp.sqrt(time)
        total = function(pulled + vectors[0] * kick)
        for noise in vectors[1:]:
            total = total + function(pulled + noise * kick)
        return total / len(vectors) - start

    def still_norm(self, u: Any, moment: Callable[[Any], Any]) -> Any:
        """Norm in direction u at which the mean of `moment` (a function of r^2) does not drift."""

        def drift(log_norm: Any) -> Any:
            return self.rate_of(lambda w: moment(mp.fdot(w, w)), u * mp.exp(log_norm))

        return mp.exp(_root(drift))

    def density_slope(self, u: Any, norm: Any) -> Any:
        """Gradient of the log of the stationary density of directions on the sphere of this norm, for axial noise."""
        along = u * u[0] - mp.eye(self.dimension)[:, 0]
        along = along / mp.norm(along, 2)
        return along * self.slope_with_angle(u, along, norm)

    def slope_with_angle(self, u: Any, along: Any, norm: Any) -> Any:
        """How the log of the stationary density changes with the angle from the first axis, in the direction `along`.

        Between circles of latitude nothing flows: for the angle x, of drift b and squared change a per unit of time,
        ``b q = (a q)'/2`` with the density q of x, which is ``sin(x)^(n - 2)`` times that on the sphere.
        """

        def moment(x: Any, power: int) -> Any:
            here = u * mp.cos(x) + along * mp.sin(x)
            start = mp.acos(here[0])
            return self.rate_of(lambda v: (mp.acos(v[0] / mp.norm(v, 2)) - start) ** power, here * norm)

        steeper = slope(lambda x: moment(x, 2), mp.mpf(0))
        flow = (2 * moment(mp.mpf(0), 1) - steeper) / moment(mp.mpf(0), 2)
        return flow - (self.dimension - 2) * u[0] / mp.sqrt(1 - u[0] ** 2)

    def log_density(self, norm: Any, waves: int = 3) -> Callable[[Any], Any]:
        """Log of that density as a function of the first coordinate, up to a constant; its slope by a few sines."""
        n, angles = self.dimension, [mp.pi * (k + mp.mpf(1) / 2) / waves for k in range(waves)]
        axis, side = mp.eye(n)[:, 0], mp.eye(n)[:, 1]
        slopes = [
            self.slope_with_angle(axis * mp.cos(x) + side * mp.sin(x), side * mp.cos(x) - axis * mp.sin(x), norm)
            for x in angles
        ]
        sines = [
            mp.fdot(slopes, [mp.sin(m * x) for x in angles]) * (1 if m == waves else 2) / waves
            for m in range(1, waves + 1)
        ]
        terms = [-b / m for m, b in enumerate(sines, start=1)]

        def log(cosine: Any) -> Any:
            """Sum of the terms times Chebyshev's polynomials, by Clenshaw's recursion."""
            one, two = mp.mpf(0), mp.mpf(0)
            for term in reversed(terms):
                one, two = term + 2 * cosine * one - two, one
            return cosine * one - two

        return log

    def direction_spread(self, u: Any, norm: Any) -> Any:
        """Covariance per unit of time of the direction of w, at the weights of direction u and that norm."""

        def square(v: Any) -> Any:
            change = v / mp.norm(v, 2) - u
            return change * change.T

        return self.rate_of(square, u * norm)


def _root(function: Callable[[Any], Any]) -> Any:
    """Lowest point at which a function of one variable turns negative; 0 if it does not.

    Without continuous time or scale invariance the norm may grow for ever: then no norm is stationary and any will do.
    """
    step, low = mp.mpf(1) / 2, mp.mpf(-4)
    if function(low) < 0:
        return mp.mpf(0)
    while function(low + step) > 0:
        low += step
        if low > 4:
            return mp.mpf(0)
    return mp.findroot(
        function, (low, low + step), solver="anderson", tol=mp.mpf(10) ** -(2 * DIGITS // 3), verify=False
    )


def _direction(n: int, dice: random.Random) -> Any:
    """A random point of the unit sphere in R^n."""
    w = mp.matrix([mp.mpf(dice.gauss(0, 1)) for _ in range(n)])
    return w / mp.norm(w, 2)


def _example(protocol: str, dice: random.Random, granted: Assumptions, dimension: int) -> SGDWorld:
    """Draw one example: general, except where an assumption is granted."""
    shape, broken = mp.eye(dimension), mp.mpf(0 if "scale invariance" in granted else 0.15)
    isotropic = "isotropic noise" in granted
    if not isotropic:
        shape = mp.diag([mp.mpf(1) / 2 + mp.mpf(i) / dimension for i in range(dimension)])
        for i in range(1, dimension):
            shape[i, i - 1] = mp.mpf(1) / (i + 2)
    return SGDWorld(
        protocol=protocol,
        rate=mp.mpf(dice.uniform(0.2, 0.4)),
        decay=mp.mpf(0 if protocol == "fixed-sphere" else dice.uniform(0.1, 0.3)),
        noise=mp.mpf(dice.uniform(0.7, 1.3)),
        curvature=None if "pure noise" in granted else mp.mpf(dice.uniform(0.1, 0.4)),
        shape=shape,
        axial="stationarity" in granted,
        ripple=mp.mpf(0 if "homogeneous noise" in granted else 0.5),
        broken=broken,
        radial=mp.mpf(0) if isotropic else 3 * broken,
        discrete="continuous time" not in granted,
    )


@world_maker(
    lambda protocol, ensemble=False, lowest=3: (
        f"SGD itself at {protocol.replace('-', ' ')} in explicit coordinates, d = {lowest} to {lowest + 2}, "
        + ("averaged over a few weights" if ensemble else "at a random point of the sphere")
    ),
)
def sgd_world(number: int, granted: Assumptions, /, protocol: str, ensemble: bool = False, lowest: int = 3) -> World:
    """Worlds in which SGD runs under a protocol.

    Parameters
    ----------
    protocol : str
        "fixed-lr", "fixed-elr" or "fixed-sphere".
    ensemble : bool
        Whether symbols stand for means over several weights (`Expectation`) and T for the mean noise temperature, and
        not for one point and the temperature of the density there.
    """
    dice = random.Random(f"{protocol} {number}")
    dimension = lowest + number % 3
    example = _example(protocol, dice, granted, dimension)
    build = _ensemble if ensemble else _point
    return build(example, dice, granted)


def two_points(draw: Callable[[], Any], drift: Callable[[Any], Any], still: bool) -> list[tuple[Any, Any]]:
    """Two weights at which noise drives the loss up and at which it falls, and how much each counts.

    Near the minimum it rises, further away it falls; they count so that the mean loss is constant, if it is to be
    `still`, else equally.
    """
    points: dict[bool, Any] = {}
    for _ in range(300):
        w = draw()
        change = drift(w)
        points.setdefault(change > 0, (w, mp.fabs(change)))
        if len(points) == 2:
            break
    return [(points[up][0], points[not up][1] if still else mp.mpf(1)) for up in (True, False)]


def _generator(function: Callable[[World], Any], world: World) -> Any:
    return _with_rates(world).rate_of(lambda moved: function(world.at({s.w: moved})), world[s.w])


def _with_rates(world: World) -> SGDWorld:
    """The example with the learning rate and decay that the world has now (a derivative may have moved them)."""
    example: SGDWorld = world.meanings["example"]
    return replace(example, **{name: world[symbol] for symbol, name in _RATES[example.protocol].items()})


def _meanings(example: SGDWorld, u_reference: Any) -> dict[Any, Any]:
    """Meanings of the symbols that belong to one point w."""
    fixed_elr = example.protocol == "fixed-elr"

    def norm(world: World) -> Any:
        return mp.norm(world[s.w], 2)

    def unit(world: World) -> Any:
        return world[s.w] / norm(world)

    n = example.dimension
    meanings: dict[Any, Any] = {
        "example": example,
        s.d: n,
        s.r: norm,
        s.w_bar: unit,
        s.L: lambda world: example.loss(world[s.w]),
        s.grad_L: lambda world: example.gradient(world[s.w]),
        s.grad_L_unit: lambda world: example.gradient(unit(world)),
        s.Sigma_w: lambda world: example.covariance(world[s.w]),
        s.Sigma: lambda world: example.covariance(unit(world)),
        s.tr_Sigma: lambda world: _trace(example.covariance(unit(world))),
        s.sigma: lambda world: mp.sqrt(_trace(example.covariance(u_reference)) / (n - 1)),
        s.Pi: lambda world: mp.eye(n) - unit(world) * unit(world).T,
        s.R: lambda world: mp.mpf(n - 1) / 2,
        s.drift: _change(s.w, outer=False),
        s.diffusion: _change(s.w, outer=True),
        s.drift_squared: lambda world: world[s.drift] * world[s.drift].T * (1 if example.discrete else 0),
        s.drift_unit: lambda world: world[s.Pi] * _change(s.w_bar, outer=False)(world),
        s.diffusion_unit: lambda world: world[s.Pi] * _change(s.w_bar, outer=True)(world) * world[s.Pi],
    }
    if fixed_elr:
        meanings |= {s.eta_eff: example.rate, s.eta: lambda world: world[s.eta_eff] * norm(world) ** 2}
    else:
        meanings |= {s.eta: example.rate, s.eta_eff: lambda world: world[s.eta] / norm(world) ** 2}
    if example.protocol != "fixed-sphere":
        meanings |= {s.lam: example.decay, s.p: lambda world: world[s.lam]}
    return meanings


def _change(symbol: Any, outer: bool) -> Callable[[World], Any]:
    """Mean change of a vector per iteration, or mean outer product of its change with itself."""

    def rate(world: World) -> Any:
        start = world[symbol]

        def change(moved: World) -> Any:
            difference = moved[symbol] - start
            return difference * difference.T if outer else difference

        return _generator(change, world)

    return rate


def _divergence(function: Callable[[World], Any], world: World) -> Any:
    """Divergence along the sphere of the weights' norm at their direction, at unit norm."""
    norm = world[s.r]
    return surface_divergence(lambda u: function(world.at({s.w: u * norm})), world[s.w_bar])


def _trace(matrix: Any) -> Any:
    return mp.fsum(matrix[i, i] for i in range(matrix.rows))


def _moment(protocol: str) -> Callable[[Any], Any]:
    """The function of r^2 whose mean must not drift: r^2 itself, or log r at fixed ELR."""
    return (lambda squared: mp.log(squared) / 2) if protocol == "fixed-elr" else (lambda squared: squared)


def _point(example: SGDWorld, dice: random.Random, granted: Assumptions) -> World:
    """World of one point: r is still there if stationarity is granted, T is that of the density there."""
    n = example.dimension
    u, u_reference, tangent = (_direction(n, dice) for _ in range(3))
    anywhere = mp.mpf(dice.uniform(1.3, 2.2))
    still = "stationarity" in granted

    def weights(world: World) -> Any:
        here = _with_rates(world)
        return u * (world[s.r0] if example.protocol == "fixed-sphere" else _norm(here, u, anywhere, still))

    def log_density(v: Any) -> Any:
        """Of some density that is not stationary."""
        return mp.fdot(tangent, v) / 2 + v[0] ** 2 / 2

    def density_slope(world: World) -> Any:
        # The norm is the same in all directions: the directions move on one sphere.
        if still:
            return _with_rates(world).density_slope(world[s.w_bar], world[s.r])
        return surface_gradient(log_density, world[s.w_bar])

    def temperature(world: World) -> Any:
        # How the log of the density falls on the way along the loss's gradient, against how the loss rises.
        here, rise = world[s.w_bar], example.gradient(world[s.w_bar])
        fall = mp.fdot(world[s.grad_log_rho], rise)
        if not still:
            fall = slope(lambda x: log_density((here + x * rise) / mp.norm(here + x * rise, 2)), mp.mpf(0))
        return -mp.fdot(rise, rise) / fall

    meanings = _meanings(example, u_reference) | {
        s.w: weights,
        s.r0: anywhere,
        s.T: temperature,
        s.grad_log_rho: density_slope,
        s.V: lambda world: world[s.r] ** 2 / 2,
    }
    return World(meanings, f"{example.protocol}, d = {n}", generator=_generator, divergence=_divergence)


#: Which field of `SGD` a symbol of the protocol sets, so that a statement can be differentiated with respect to it.
_RATES = {
    "fixed-lr": {s.eta: "rate", s.lam: "decay"},
    "fixed-elr": {s.eta_eff: "rate", s.lam: "decay"},
    "fixed-sphere": {s.eta: "rate"},
}


def _norm(example: SGDWorld, direction: Any, anywhere: Any, still: bool) -> Any:
    """Norm of the weights: the one at which its square does not drift, or anything."""
    if example.protocol == "fixed-sphere" or not still:
        return anywhere
    return example.still_norm(direction, lambda squared: squared)


def _ensemble(example: SGDWorld, dice: random.Random, granted: Assumptions) -> World:
    """World of a few weights; their common scale is such that the norm does not drift if stationarity is granted."""
    n, moment = example.dimension, _moment(example.protocol)
    directions = [_direction(n, dice) for _ in range(3)]
    norms = [mp.mpf(dice.uniform(0.8, 1.2)) for _ in directions]
    if example.protocol == "fixed-sphere":
        norms = [mp.mpf(1)] * len(norms)
    shapes = [u * norm for u, norm in zip(directions, norms, strict=True)]

    def drift(log_scale: Any) -> Any:
        points = [shape * mp.exp(log_scale) for shape in shapes]
        return mp.fsum(example.rate_of(lambda w: moment(mp.fdot(w, w)), point) for point in points)

    free = example.protocol == "fixed-sphere" or "stationarity" not in granted
    scale = mp.mpf(dice.uniform(1.5, 2.0)) if free else mp.exp(_root(drift))
    points = [shape * scale for shape in shapes]

    def mean(function: Callable[[Any], Any]) -> Any:
        return mp.fsum(function(point) for point in points) / len(points)

    @cache
    def mean_temperature() -> Any:
        """Of the noise: its mean square along the sphere at unit norm, at the effective learning rate."""

        def at(point: Any) -> Any:
            size = mp.fdot(point, point)
            noise = mp.fsum(mp.norm(column, 2) ** 2 for column in example.noise_columns(point / mp.sqrt(size)))
            return example.learning_rate(point) / size * noise / (2 * (n - 1))

        return mean(at)

    meanings = _meanings(example, directions[0]) | {
        s.V: lambda world: mean(lambda point: mp.fdot(point, point)) / 2,
        s.T: lambda world: mean_temperature(),
        s.w: points[0],
        s.r0: scale,
    }
    if example.protocol == "fixed-sphere":
        # What the projection takes from the squared norm, as weight decay would.
        growth = mean(lambda point: example.rate_of(lambda w: mp.fdot(w, w), point))
        meanings[s.p] = growth / (2 * example.rate * mean(lambda point: mp.fdot(point, point)))
    description = f"{example.protocol}, d = {n}, mean over {len(points)} weights"
    return World(
        meanings, description, ensemble=[{s.w: point} for point in points], generator=_generator, divergence=_divergence
    )
