"""The von Mises-Fisher gas as sums over the sphere: every mean is a quadrature, no Bessel function is known here.

The loss is ``1 - cos(theta)``. Where the Gibbs law holds the density is ``exp(-loss/T)`` up to a factor; where it does
not, it is multiplied by another function of the angle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import Assumptions, World, world_maker
from thermo_theory.worlds.sgd import sgd_world

__all__ = ["Gas", "adiabat_world", "gas_world", "mean_cosine", "partition", "weights_entropy"]

#: Digits that are enough for any check (limits ask for many more).
MOST = 66

#: Functions of the gas: mean cosine and partition function of kappa, energy and entropy of T, density of the angle.
mean_cosine = sp.Function("A", positive=True)
partition = sp.Function("Z", positive=True)
energy = sp.Function("U")
directions_entropy = sp.Function("S_sphere")
weights_entropy = sp.Function("S")
density = sp.Function("rho", positive=True)
#: Learning rate on an adiabat at a weight decay; mean cosine at a temperature in units of 1/d.
adiabat = sp.Function("eta", positive=True)
cosine_of_reduced = sp.Function("a", positive=True)


@cache
def _area(n: int, digits: int) -> Any:
    """Area of the unit sphere in n dimensions, angle by angle."""
    total = mp.mpf(2) if n == 1 else 2 * mp.pi
    for power in range(1, n - 1):
        total *= mp.quad(lambda angle, power=power: mp.sin(angle) ** power, [0, mp.pi / 2, mp.pi])
    return total


def _skew(cosine: Any) -> Any:
    """What multiplies ``exp(-loss/T)`` where the Gibbs law does not hold."""
    return 1 + cosine / 3 + cosine**2 / 5


@dataclass(frozen=True)
class Gas:
    """The density ``exp(cos/T)``, times another function unless it is Gibbs', on the sphere of n dimensions.

    Parameters
    ----------
    n : mpf
        Dimension of the weights.
    kappa : mpf
        1/T.
    gibbs : bool
        Whether the density is exp(-loss/T) alone.
    digits : int
        Decimal digits of the results.
    """

    n: Any
    kappa: Any
    gibbs: bool
    digits: int

    @cached_property
    def sums(self) -> tuple[Any, ...]:
        """Integrals over the angle of ``exp(kappa (cos - 1)) sin^(n-2)`` times 1, l, l^2, k, l k.

        Here l = 1 - cos and k the log of what is not Gibbs'. With ``cos = tanh(u)``, ``u = peak + width sinh(v)`` the
        trapezoidal rule converges exponentially; its step is halved until nothing changes.
        """
        with mp.workdps(self.digits + 8):
            step, wanted = mp.mpf(1) / 4, mp.mpf(10) ** -(self.digits // 2 + 5)
            start = self._term(mp.mpf(0))
            total = start
            for direction in (1, -1):
                total = self._march(total, direction * step, direction * step, start[0])
            while True:
                finer = total
                for direction in (1, -1):
                    finer = self._march(finer, direction * step / 2, direction * step, start[0])
                step /= 2
                done = abs(finer[0] - 2 * total[0]) < wanted * abs(finer[0])
                total = finer
                if done:
                    return tuple(step * part for part in total)

    @cached_property
    def _peak(self) -> tuple[Any, Any]:
        """Where the integrand is largest in the variable u, and how wide it is."""
        half = (self.n - 1) / 2
        top = self.kappa / (half + mp.sqrt(half**2 + self.kappa**2))
        return mp.atanh(top), 1 / mp.sqrt((1 - top**2) * (2 * self.kappa * top + 2 * half))

    def _march(self, total: tuple[Any, ...], first: Any, step: Any, largest: Any) -> tuple[Any, ...]:
        """Add terms from the centre outwards until they are too small to count."""
        place, small = first, abs(largest) * mp.mpf(10) ** -(self.digits + 6)
        while True:
            term = self._term(place)
            total = tuple(one + other for one, other in zip(total, term, strict=True))
            if abs(term[0]) < small:
                return total
            place += step

    def _term(self, v: Any) -> tuple[Any, ...]:
        centre, width = self._peak
        up = mp.exp(v)
        tail = mp.exp(-2 * (centre + width * (up - 1 / up) / 2))
        loss = 2 * tail / (1 + tail)
        weight = mp.exp((self.n - 1) / 2 * mp.log(loss * (2 - loss)) - self.kappa * loss + self._log_scale)
        weight *= width * (up + 1 / up) / 2
        if self.gibbs:
            return weight, weight * loss, weight * loss**2, mp.mpf(0), mp.mpf(0)
        extra = _skew(1 - loss)
        weight *= extra
        return weight, weight * loss, weight * loss**2, weight * mp.log(extra), weight * loss * mp.log(extra)

    @cached_property
    def _log_scale(self) -> Any:
        """Keeps the terms of large dimensions near 1."""
        top = mp.tanh(self._peak[0])
        return self.kappa * (1 - top) - (self.n - 1) / 2 * mp.log(1 - top**2)

    @property
    def energy(self) -> Any:
        """Mean loss."""
        return self.sums[1] / self.sums[0]

    @property
    def heat_capacity(self) -> Any:
        """Change of the mean loss with T: its variance over T^2."""
        return self.kappa**2 * (self.sums[2] / self.sums[0] - self.energy**2)

    @property
    def log_total(self) -> Any:
        """Log of the integral over the sphere of exp(cos/T) times what is not Gibbs'."""
        return self.kappa + mp.log(self.sums[0] * _area(int(self.n) - 1, self.digits)) - self._log_scale

    @property
    def entropy(self) -> Any:
        """Minus the mean log density."""
        return self.log_total - self.kappa * (1 - self.energy) - self.sums[3] / self.sums[0]

    @property
    def entropy_slope(self) -> Any:
        """T dS/dT: minus the covariance of log density and loss, over T."""
        other = self.sums[4] / self.sums[0] - self.energy * self.sums[3] / self.sums[0]
        return self.heat_capacity - self.kappa * other


@cache
def _gas(n: Any, kappa: Any, gibbs: bool, digits: int) -> Gas:
    return Gas(n, kappa, gibbs, digits)


def gas(world: World, kappa: Any, gibbs: bool) -> Gas:
    """The gas in the world's dimension."""
    return _gas(world[s.d], mp.mpmathify(kappa), gibbs, min(mp.mp.dps, MOST))


@world_maker(
    lambda *points, large=False: (
        f"the von Mises-Fisher gas in {_dimensions(points, large)}, means and entropies by quadrature"
    ),
    digits=None,
)
def gas_world(number: int, granted: Assumptions, /, *points: tuple[Any, Any], large: bool = False) -> World:
    """Worlds of the gas.

    Parameters
    ----------
    *points : tuple of numbers
        Dimension and temperature of each world.
    large : bool
        Whether the temperature is held in units of 1/d, so that it follows the dimension.
    """
    n, heat = points[number % len(points)]
    return World(_meanings(mp.mpf(n), mp.mpf(heat), granted, large), f"von Mises-Fisher gas in {n} dimensions")


def _dimensions(points: Sequence[tuple[Any, Any]], large: bool) -> str:
    if large:
        return "more and more dimensions"
    return ", ".join(str(n) for n, _ in points) + " dimensions"


def _meanings(n: Any, heat: Any, granted: Collection[str], large: bool) -> dict[Any, Any]:
    gibbs, ideal = "Gibbs law" in granted, "ideal gas law" in granted

    def excess(temperature: Any) -> Any:
        """P V/(R T), and its logarithmic slope."""
        return mp.mpf(1) if ideal else 1 + temperature / 3 + mp.mpf("0.1")

    def here(world: World) -> Gas:
        return gas(world, 1 / world[s.T], gibbs)

    def volume(world: World) -> Any:
        return world[s.R] * world[s.T] * excess(world[s.T]) / world[s.p]

    def isobaric(world: World) -> Any:
        """T dS/dT at constant pressure."""
        growth = 1 if ideal else 1 + world[s.T] / 3 / excess(world[s.T])
        return here(world).entropy_slope + world[s.R] * growth

    def whole(world: World, temperature: Any, pressure: Any) -> Any:
        there = world.at({s.T: temperature, s.p: pressure})
        return here(there).entropy + (there[s.d] - 1) * mp.log(there[s.r])

    def angle_density(world: World, angle: Any) -> Any:
        this, cosine = here(world), mp.cos(angle)
        return mp.exp(cosine / world[s.T] - this.log_total) * (1 if gibbs else _skew(cosine))

    return {
        s.d: n,
        **({s.reduced: heat, s.T: lambda world: world[s.reduced] / world[s.d]} if large else {s.T: heat}),
        s.kappa: lambda world: 1 / world[s.T],
        s.theta: mp.mpf("0.83"),
        s.L: lambda world: mp.norm([mp.cos(world[s.theta]) - 1, mp.sin(world[s.theta])], 2) ** 2 / 2,
        s.R: lambda world: (world[s.d] - 1) / 2,
        s.p: mp.mpf("0.57"),
        s.V: volume,
        s.r: lambda world: mp.sqrt(2 * world[s.V]),
        s.C_V: lambda world: here(world).heat_capacity,
        s.C_p: isobaric,
        s.gamma: lambda world: isobaric(world) / here(world).heat_capacity,
        mean_cosine: lambda world, kappa: 1 - gas(world, kappa, True).energy,
        cosine_of_reduced: lambda world, reduced: 1 - gas(world, world[s.d] / reduced, True).energy,
        partition: lambda world, kappa: mp.exp(gas(world, kappa, True).log_total),
        energy: lambda world, temperature: gas(world, 1 / temperature, gibbs).energy,
        directions_entropy: lambda world, temperature: gas(world, 1 / temperature, gibbs).entropy,
        weights_entropy: whole,
        density: angle_density,
    }


def adiabat_world(number: int, granted: Collection[str]) -> World:
    """The von Mises-Fisher gas at radius and temperature of SGD itself, d = 2 to 4; an adiabat is found by trial."""
    world = sgd_world("fixed-lr", lowest=2)(number, granted)
    n, gibbs = int(world[s.d]), "Gibbs law" in granted
    places: dict[Any, World] = {}

    def there(eta: Any, lam: Any) -> World:
        if (eta, lam) not in places:
            places[eta, lam] = world.at({s.eta: eta, s.lam: lam})
        return places[eta, lam]

    def directions(_: World, temperature: Any) -> Any:
        return gas(world, 1 / temperature, gibbs).entropy

    def whole(_: World, eta: Any, lam: Any) -> Any:
        place = there(eta, lam)
        return directions(world, place[s.T]) + (n - 1) * mp.log(place[s.r])

    slopes = [mp.mpf("0.1")]

    def rate_on_adiabat(_: World, lam: Any) -> Any:
        start, step = mp.log(world[s.eta]), mp.log(lam / world[s.lam])
        if step == 0:
            return world[s.eta]
        goal = whole(world, world[s.eta], world[s.lam])

        def off(slope: Any) -> Any:
            return (whole(world, mp.exp(start + slope * step), lam) - goal) / step

        # The slope of the last trial is a good guess for the next.
        guess = slopes[-1]
        slopes.append(mp.findroot(off, (guess, guess + mp.fabs(step)), tol=mp.mpf(10) ** -18, verify=False))
        return mp.exp(start + slopes[-1] * step)

    return world.at(
        {
            directions_entropy: directions,
            weights_entropy: whole,
            # Trials take long: they are made on the circle alone.
            **({adiabat: rate_on_adiabat} if n == 2 else {}),
            s.C_V: lambda here: gas(world, 1 / here[s.T], gibbs).heat_capacity,
        }
    )
