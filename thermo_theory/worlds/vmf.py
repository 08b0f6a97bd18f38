"""The von Mises-Fisher gas: SGD on ``1 - cos(theta)``, its stationary density, and means as sums over the sphere.

Where the Gibbs law is granted the density is ``exp(-loss/T)`` up to a factor; where it is not, the density is what SGD
makes stationary, found without a formula of it. No Bessel function is known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import mpmath as mp
import sympy as sp
from mpmath.calculus.quadrature import GaussLegendre

from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import slope
from thermo_theory.engine.world import Assumptions, World, world_maker

__all__ = ["CosineGas", "adiabat_world", "gas_world", "mean_cosine", "partition", "run_entropy", "weights_entropy"]

#: Gauss' nodes between the angles beyond which the density is negligible.
NODES = GaussLegendre(mp.mp)

#: At how many places SGD's stationary density is found (between them its logarithm is a polynomial): exact for Gibbs'.
PLACES = 6

#: Functions of the gas: mean cosine and partition function of kappa; energy and entropy of the directions, of T at a
#: norm that is held; entropy of the weights and of their directions in a run at fixed rates; density of the angle.
mean_cosine = sp.Function("A", positive=True)
partition = sp.Function("Z", positive=True)
energy = sp.Function("U")
directions_entropy = sp.Function("S_sphere")
weights_entropy = sp.Function("S")
run_entropy = sp.Function("S_u")
density = sp.Function("rho", positive=True)
#: Learning rate on an adiabat at a weight decay; mean cosine at a temperature in units of 1/d.
adiabat = sp.Function("eta", positive=True)
cosine_of_reduced = sp.Function("a", positive=True)


def _digits() -> int:
    """Digits of every number of the gas: enough for slopes, or for the remainders of series."""
    return 30 if mp.mp.dps <= 45 else 60


@cache
def _log_area(n: int, digits: int) -> Any:
    """Log of the area of the unit sphere in n dimensions, angle by angle."""
    with mp.workdps(digits + 5):
        total = mp.mpf(2) if n == 1 else 2 * mp.pi
        for power in range(1, n - 1):
            total *= mp.quad(lambda angle, power=power: mp.sin(angle) ** power, [0, mp.pi / 2, mp.pi])
        return mp.log(total)


def _polynomial(coefficients: Sequence[Any], x: Any) -> Any:
    """Value of a polynomial, lowest power first."""
    total = coefficients[-1]
    for one in coefficients[-2::-1]:
        total = total * x + one
    return total


# A density of the angle --------------------------------------------------------------------------


@dataclass(frozen=True)
class CosineGas:
    """A density on the sphere of n dimensions whose logarithm is a polynomial in the loss.

    Parameters
    ----------
    n : mpf
        Dimension of the weights.
    log : tuple of mpf
        Coefficients of the log density, the lowest power first, up to a constant: (0, -1/T) is Gibbs'.
    digits : int
        Decimal digits of the results, 30 or 60.
    """

    n: Any
    log: tuple[Any, ...]
    digits: int

    @cached_property
    def sums(self) -> tuple[Any, ...]:
        """Log of the largest integrand; integrals over the angle of 1, the loss and the log density, relative to it."""
        (low, high), top = self._range
        total = [mp.mpf(0)] * 3
        with mp.workdps(self.digits + 5):
            for angle, width in NODES.get_nodes(mp.mpf(low), mp.mpf(high), 5 + self.digits // 30, mp.mp.prec):
                cosine, sine = mp.cos_sin(angle / 2)
                loss = 2 * sine**2
                log = _polynomial(self.log, loss)
                weight = width * mp.exp((self.n - 2) * mp.log(2 * sine * cosine) + log - top)
                total = [x + weight * y for x, y in zip(total, (1, loss, log), strict=True)]
        return mp.mpf(top), *total

    @property
    def _range(self) -> tuple[list[Any], float]:
        """Between which angles the integrand is not negligible, and its largest logarithm."""
        n, coefficients = float(self.n), [float(one) for one in self.log]
        rise = [k * one for k, one in enumerate(coefficients)][1:]

        def height(angle: float) -> float:
            return (n - 2) * math.log(math.sin(angle)) + _polynomial(coefficients, 1 - math.cos(angle))

        def steepness(angle: float) -> float:
            return (n - 2) / math.tan(angle) + _polynomial(rise, 1 - math.cos(angle)) * math.sin(angle)

        def turn(inside: Callable[[float], bool], near: float, far: float) -> float:
            for _ in range(60):
                middle = (near + far) / 2
                near, far = (middle, far) if inside(middle) else (near, middle)
            return near

        peak = max(turn(lambda angle: steepness(angle) > 0, 0.0, math.pi), 1e-12)
        top = height(peak)
        ends = [turn(lambda angle: height(angle) > top - 2.5 * self.digits - 10, peak, end) for end in (0.0, math.pi)]
        return [0.0 if ends[0] < 1e-9 else ends[0], mp.pi if ends[1] > math.pi - 1e-9 else ends[1]], top

    @property
    def energy(self) -> Any:
        """Mean loss."""
        return self.sums[2] / self.sums[1]

    @property
    def spread(self) -> Any:
        """Minus the mean log density, but for the log of the area of the sphere of the other angles."""
        return self.sums[0] + mp.log(self.sums[1]) - self.sums[3] / self.sums[1]

    @property
    def log_total(self) -> Any:
        """Log of the integral over the sphere of what `log` is the logarithm of."""
        return self.sums[0] + mp.log(self.sums[1]) + _log_area(int(self.n) - 1, self.digits)

    @property
    def entropy(self) -> Any:
        """Minus the mean log density."""
        return self.spread + _log_area(int(self.n) - 1, self.digits)


@cache
def _gas(n: Any, log: tuple[Any, ...], digits: int) -> CosineGas:
    return CosineGas(n, log, digits)


def gibbs(world: World, kappa: Any) -> CosineGas:
    """The gas whose density is exp(-kappa loss), in the world's dimension."""
    return _gas(world[s.d], (mp.mpf(0), -mp.mpmathify(kappa)), _digits())


# SGD itself --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latitudes:
    """SGD on the loss ``1 - cos(theta)``, with noise that is the same all round the axis; decay ends a step.

    Weights are written by three coordinates: along the axis, along the meridian, and across, where all directions are
    alike.

    Parameters
    ----------
    n : mpf
        Dimension of the weights.
    noise : mpf
        Scale of the gradient noise.
    turned : mpf
        How much stronger noise is along the meridian than across, at the equator; 0 if isotropic.
    ripple : mpf
        How the noise changes from pole to pole; 0 if homogeneous.
    broken : mpf
        How loss and noise change with the norm, and the share of noise along the weights; 0 if scale-invariant.
    still : bool
        Whether density and norm are the stationary ones.
    discrete : bool
        Whether time goes in steps of one iteration and not continuously.
    """

    n: Any
    noise: Any
    turned: Any
    ripple: Any
    broken: Any
    still: bool
    discrete: bool

    def strength(self, cosine: Any, norm: Any) -> Any:
        """Trace of the noise covariance along the sphere, times the squared norm."""
        changed = (1 + self.ripple * cosine) * (1 + self.broken * (norm - 1))
        return self.noise**2 * (self.n - 1) * changed

    @property
    def sigma(self) -> Any:
        """Noise per direction at unit norm, its mean square over the ensemble."""
        whole = mp.fsum(self.strength(c, 1) * (1 + self._share(c) * self.broken**2) for c in _ENSEMBLE)
        return mp.sqrt(whole / len(_ENSEMBLE) / (self.n - 1))

    def _share(self, cosine: Any) -> Any:
        """How much of the noise along the sphere is along the meridian."""
        longer = 1 + self.turned * (1 - cosine**2)
        return longer / (self.n - 2 + longer)

    def rates(self, function: Callable[..., list[Any]], cosine: Any, norm: Any, rate: Any, decay: Any) -> list[Any]:
        """Mean changes of functions of the weights per unit of time, over one iteration if discrete, else the limit."""
        sine, n = mp.sqrt(1 - cosine**2), self.n
        across = mp.mpf(0)
        outwards = (cosine, sine, across)
        along = (-sine, cosine, across)
        size = mp.sqrt(self.strength(cosine, norm) * (n - 1)) / norm
        share = self._share(cosine)
        tilted = [a + self.broken * u for a, u in zip(along, outwards, strict=True)]
        kicks = [(1 / (n - 1), [size * mp.sqrt(share) * x for x in tilted])]
        if n > 2:
            kicks.append(((n - 2) / (n - 1), [across, across, size * mp.sqrt((1 - share) / (n - 2))]))
        steep, push = sine * (1 + self.broken * (norm - 1)) / norm, self.broken * (1 - cosine)
        pull = [steep * a + push * u for a, u in zip(along, outwards, strict=True)]

        def change(time: Any) -> list[Any]:
            total = [mp.mpf(0) for _ in start]
            for share, kick in kicks:
                for sign in (1, -1):
                    moved = [
                        (norm * u - rate * (g * time + sign * k * mp.sqrt(time))) * (1 - rate * decay * time)
                        for u, g, k in zip(outwards, pull, kick, strict=True)
                    ]
                    total = [x + share / 2 * y for x, y in zip(total, function(*moved), strict=True)]
            return [(x - y) / time for x, y in zip(total, start, strict=True)]

        start = function(*[norm * u for u in outwards])
        return change(mp.mpf(1) if self.discrete else mp.mpf(10) ** -(mp.mp.dps // 2 - 5))

    def log_density(self, effective: Any, norm: Any) -> tuple[Any, ...]:
        """Log of the stationary density of the directions on the sphere of a norm, a polynomial in the loss.

        Between circles of latitude nothing flows: ``b q = (a q)'/2`` for the cosine, its drift b, its squared change a
        per unit of time and its density q, which is ``sin(theta)^(n - 3)`` times that on the sphere.
        """
        digits = _digits()
        with mp.workdps(2 * digits + 20):
            cosines = [mp.cos((2 * k + 1) * mp.pi / (2 * PLACES)) for k in range(PLACES)]
            steep, sizes = [], []
            for here in cosines:

                def cosine(x: Any, y: Any, z: Any, here: Any = here) -> list[Any]:
                    moved = x / mp.sqrt(x * x + y * y + z * z) - here
                    return [moved, moved**2]

                drift, spread = self.rates(cosine, here, norm, effective * norm**2, mp.mpf(0))
                level = 1 - here**2
                steep.append(-2 * drift / spread - (self.n - 1) * here / level)
                sizes.append(-mp.log(spread / level))
            losses = [1 - here for here in cosines]
            slopes = _interpolated(losses, steep)
            log = [mp.mpf(0), *[one / (k + 1) for k, one in enumerate(slopes)]]
            for k, one in enumerate(_interpolated(losses, sizes)):
                log[k] += one
            if not self.still:
                log[1] += (self.n - 1) / 4
                log[2] -= (self.n - 1) / 9
            log[0] = mp.mpf(0)
            while mp.fabs(log[-1]) < mp.mpf(10) ** -digits:
                log.pop()
        return tuple(log)

    def norm(self, rate: Callable[[Any], Any], decay: Any, power: int) -> Any:
        """The norm whose square does not drift, on average over an ensemble; rate: the learning rate at a norm.

        It is searched in a power of the norm in which its growth is nearly linear. Unless still, it is on its way.
        """

        def growth(squared: Any) -> Any:
            norm = mp.sqrt(squared)

            def square(x: Any, y: Any, z: Any) -> list[Any]:
                return [(x * x + y * y + z * z) / squared]

            return mp.fsum(self.rates(square, c, norm, rate(norm), decay)[0] for c in _ENSEMBLE)

        digits = _digits()
        with mp.workdps(2 * digits + 20):
            low, up = mp.mpf(1), growth(mp.mpf(1)) > 0
            while (growth(low * (2 if up else mp.mpf(1) / 2)) > 0) == up:
                low = low * 2 if up else low / 2
            ends, few = (
                [x ** (mp.mpf(power) / 2) for x in (low, low * 2 if up else low / 2)],
                mp.mpf(10) ** -(digits + 5),
            )
            found = mp.findroot(
                lambda x: growth(x ** (mp.mpf(2) / power)), ends, solver="anderson", tol=few, verify=False
            )
            norm = found ** (mp.mpf(1) / power)
            return norm if self.still else mp.sqrt(norm**2 / 2 + 1)


#: Cosines over which noise and growth of the norm are averaged.
_ENSEMBLE = [mp.mpf(k) / 10 for k in (-3, 2, 7)]

#: The norm at which directions are looked at where it is held.
_HELD = mp.mpf("1.3")


def _interpolated(places: list[Any], values: list[Any]) -> list[Any]:
    """Coefficients of the polynomial through some points, the lowest power first (Newton's divided differences)."""
    count, divided = len(places), list(values)
    for order in range(1, count):
        for k in range(count - 1, order - 1, -1):
            divided[k] = (divided[k] - divided[k - 1]) / (places[k] - places[k - order])
    total: list[Any] = [divided[-1]]
    for k in range(count - 2, -1, -1):
        shifted = [mp.mpf(0), *total]
        total = [one - places[k] * other for one, other in zip(shifted, [*total, mp.mpf(0)], strict=True)]
        total[0] += divided[k]
    return total


def _example(granted: Assumptions) -> Latitudes:
    """On a circle; general, except where an assumption is granted."""
    return Latitudes(
        n=mp.mpf(2),
        noise=mp.mpf("3.1"),
        turned=mp.mpf(0 if "isotropic noise" in granted else "0.8"),
        ripple=mp.mpf(0 if "homogeneous noise" in granted else "0.4"),
        broken=mp.mpf(0 if "scale invariance" in granted else "0.35"),
        still="stationarity" in granted,
        discrete="continuous time" not in granted,
    )


# Worlds ------------------------------------------------------------------------------------------


@world_maker(
    lambda *points, large=False: (
        f"SGD on the loss 1 - cos at fixed ELR in {_dimensions(points, large)}, its stationary density found from its "
        "steps, means and entropies by quadrature"
    ),
    digits=None,
)
def gas_world(number: int, granted: Assumptions, /, *points: tuple[Any, Any], large: bool = False) -> World:
    """Worlds of the gas at fixed ELR.

    Parameters
    ----------
    *points : tuple of numbers
        Dimension and temperature of each world.
    large : bool
        Whether the temperature is held in units of 1/d, so that it follows the dimension.
    """
    n, heat = points[number % len(points)]
    meanings = _meanings(granted) | {
        s.d: mp.mpf(n),
        s.p: mp.mpf("0.57"),
        **({s.reduced: mp.mpf(heat), s.T: lambda world: world[s.reduced] / world[s.d]} if large else {}),
    }
    return World({s.T: mp.mpf(heat)} | meanings, f"von Mises-Fisher gas in {n} dimensions")


def _dimensions(points: Sequence[tuple[Any, Any]], large: bool) -> str:
    if large:
        return "more and more dimensions"
    return ", ".join(str(n) for n, _ in points) + " dimensions"


def _by_heat(function: Callable[[Any], Any], heat: Any) -> Any:
    """Derivative by the temperature."""
    with mp.workdps(_digits()):
        step = heat * mp.mpf(10) ** -(_digits() // 3)
        return (function(heat + step) - function(heat - step)) / (2 * step)


def _meanings(granted: Assumptions, fixed_lr: bool = False) -> dict[Any, Any]:
    """Meanings of what belongs to the gas, at fixed ELR (held: T and p) or at fixed LR (held: eta and lambda)."""
    is_gibbs, on_circle, known = "Gibbs law" in granted, _example(granted), {}

    def example(world: World) -> Latitudes:
        return replace(on_circle, n=world[s.d])

    def norm(world: World, *held: Any) -> Any:
        key = (world[s.d], *held, _digits())
        if key not in known:
            rate = 2 * held[0] / example(world).sigma ** 2
            along = ((lambda _: held[0]), held[1], -4) if fixed_lr else ((lambda r: rate * r**2), held[1], 2)
            known[key] = example(world).norm(*along)
        return known[key]

    def heat(world: World, *held: Any) -> Any:
        return held[0] * example(world).sigma ** 2 / (2 * norm(world, *held) ** 2) if fixed_lr else held[0]

    def gas(world: World, temperature: Any, size: Any = _HELD) -> CosineGas:
        if is_gibbs:
            return gibbs(world, 1 / temperature)
        key = (world[s.d], temperature, size, "log", _digits())
        if key not in known:
            known[key] = example(world).log_density(2 * temperature / example(world).sigma ** 2, size)
        return _gas(world[s.d], known[key], _digits())

    def directions(world: World, *held: Any) -> Any:
        """Entropy of the directions, at a temperature and the norm that is held, or in a run at fixed rates."""
        return (gas(world, *held) if len(held) == 1 else gas(world, heat(world, *held), norm(world, *held))).entropy

    def whole(world: World, *held: Any) -> Any:
        return directions(world, *held) + (world[s.d] - 1) * mp.log(norm(world, *held))

    def at_pressure(world: World, temperature: Any) -> Any:
        """Entropy of the weights at the world's pressure, up to a constant."""
        size = norm(world, temperature, world[s.p])
        return gas(world, temperature, size).spread + (world[s.d] - 1) * mp.log(size)

    def angle_density(world: World, angle: Any) -> Any:
        this = gas(world, world[s.T])
        return mp.exp(_polynomial(this.log, 1 - mp.cos(angle)) - this.log_total)

    def along_meridian(function: Callable[[World], Any]) -> Callable[[World], Any]:
        def rise(world: World) -> Any:
            steep = slope(lambda angle: function(world.at({s.theta: angle})), world[s.theta])
            return mp.matrix([-mp.sin(world[s.theta]), mp.cos(world[s.theta])]) * steep

        return rise

    def held_capacity(world: World) -> Any:
        return _by_heat(lambda temperature: gas(world, temperature).energy, world[s.T])

    def pressed_capacity(world: World) -> Any:
        return world[s.T] * _by_heat(lambda temperature: at_pressure(world, temperature), world[s.T])

    return {
        s.kappa: lambda world: 1 / world[s.T],
        s.theta: mp.mpf("0.83"),
        s.L: lambda world: mp.norm([mp.cos(world[s.theta]) - 1, mp.sin(world[s.theta])], 2) ** 2 / 2,
        s.sigma: lambda world: example(world).sigma,
        s.eta_eff: lambda world: 2 * world[s.T] / example(world).sigma ** 2,
        s.grad_L_unit: along_meridian(lambda world: world[s.L]),
        s.grad_log_rho: along_meridian(lambda world: mp.log(angle_density(world, world[s.theta]))),
        s.R: lambda world: (world[s.d] - 1) / 2,
        s.V: lambda world: world[s.r] ** 2 / 2,
        s.r: lambda world: norm(world, world[s.T], world[s.p]),
        s.C_V: held_capacity,
        s.C_p: pressed_capacity,
        s.gamma: lambda world: pressed_capacity(world) / held_capacity(world),
        mean_cosine: lambda world, kappa: 1 - gibbs(world, kappa).energy,
        cosine_of_reduced: lambda world, y: 1 - gibbs(world, world[s.d] / y).energy,
        partition: lambda world, kappa: mp.exp(kappa + gibbs(world, kappa).log_total),
        energy: lambda world, temperature: gas(world, temperature).energy,
        directions_entropy: directions,
        run_entropy: directions,
        weights_entropy: whole,
        density: angle_density,
        "heat": heat,
        "norm": norm,
    }


def adiabat_world(number: int, granted: Assumptions) -> World:
    """SGD on the loss 1 - cos at fixed LR in 2 to 4 dimensions; in 4, an adiabat is found by trial."""
    meanings = _meanings(granted, fixed_lr=True)
    whole, n = meanings[weights_entropy], 4 - number % 3
    start, decay, slopes = (mp.mpf("0.11"), mp.mpf("0.2")), mp.mpf("0.31"), [mp.mpf("0.1")]

    def rate_on_adiabat(world: World, lam: Any) -> Any:
        step = mp.log(lam / start[1])

        def off(slope: Any) -> Any:
            return whole(world, start[0] * mp.exp(slope * step), lam) - whole(world, *start)

        # The slope of the last trial is a good guess for the next.
        guess = slopes[-1]
        slopes.append(mp.findroot(off, (guess, guess + mp.mpf("1e-3")), tol=mp.mpf(10) ** -20, verify=False))
        return start[0] * mp.exp(slopes[-1] * step)

    meanings |= {
        s.d: mp.mpf(n),
        s.lam: decay,
        s.eta: start[0],
        s.r: lambda world: meanings["norm"](world, world[s.eta], world[s.lam]),
        s.T: lambda world: meanings["heat"](world, world[s.eta], world[s.lam]),
    }
    if n == 4:
        meanings |= {
            s.eta: lambda world: rate_on_adiabat(world, decay),
            s.S: lambda world: whole(world, *start),
            adiabat: rate_on_adiabat,
        }
    return World(meanings, f"von Mises-Fisher gas at fixed LR in {n} dimensions")
