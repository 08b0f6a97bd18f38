"""Small systems whose thermodynamics is computed by sums over their states, without any law of thermodynamics.

A system is a handful of patches, each with a loss, an area and a probability, at a temperature and in a volume. Unless
an assumption makes it special the areas and losses depend on the volume in a way of their own (no ideal gas) and the
probabilities are not Gibbs'.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.differentials import Change, Partial, SurfaceIntegral, Variation
from thermo_theory.engine.evaluate import evaluate, interpret, slope
from thermo_theory.engine.world import Assumptions, NotInterpreted, World, precise

__all__ = [
    "Area",
    "Energy",
    "Gap",
    "Probability",
    "Stationary",
    "System",
    "adiabat_world",
    "alpha",
    "heat_bath_world",
    "i",
    "maximum_entropy_world",
    "meanings_of",
    "n",
    "path_world",
    "system_world",
]

#: A state, and how many there are.
i, n = sp.Symbol("i", integer=True, positive=True), sp.Symbol("n", integer=True, positive=True)

#: The multiplier that holds the whole probability.
alpha = sp.Symbol("alpha", real=True)

Probability = sp.Function("rho", positive=True)
Stationary = sp.Function("pi", positive=True)
Area = sp.Function("m", positive=True)
Energy = sp.Function("E", real=True)
Gap = sp.Function("Delta", positive=True)

_STATE = (s.T, s.V)


# Nodes -------------------------------------------------------------------------------------------


def _along(expression: sp.Expr, world: World, change: dict[sp.Symbol, Any]) -> Any:
    """Rate of change of an expression when the state (T, V) moves in a direction."""
    here = {variable: world[variable] for variable in _STATE}
    # Steps are in units of the smallest change that the state itself would take for large: T may be 1e-5.
    unit = min(mp.fabs(here[x] / rate) for x, rate in change.items() if rate)

    def moved(step: Any) -> Any:
        return evaluate(expression, world.at({x: here[x] + step * unit * change.get(x, 0) for x in _STATE}))

    return slope(moved, mp.mpf(0)) / unit


def _differential(expression: Change, world: World) -> Any:
    if "direction" not in world:
        raise NotInterpreted("nothing changes in this world")
    return _along(expression.args[0], world, world.meanings["direction"])


def _partial(expression: Partial, world: World) -> Any:
    """Ratio of two Jacobians in T and V."""
    if "direction" not in world:
        raise NotInterpreted("nothing changes in this world")

    def slopes(quantity: sp.Expr) -> list[Any]:
        def slope_of(key: tuple[str, sp.Expr, sp.Symbol], there: World) -> Any:
            return _along(key[1], there, {key[2]: 1})

        return [world.remembered(("slope", quantity, x), slope_of) for x in _STATE]

    quantity, variable, held = map(slopes, expression.args)
    return (quantity[0] * held[1] - quantity[1] * held[0]) / (variable[0] * held[1] - variable[1] * held[0])


def _variation(expression: Variation, world: World) -> Any:
    functional, state = expression.args
    varied, old = int(evaluate(state.args[0], world)), world.meanings[state.func]

    def moved(step: Any) -> Any:
        def bent(there: World, k: Any) -> Any:
            return old(there, k) * (1 + step * (int(k) == varied))

        return evaluate(functional, world.at({state.func: bent}))

    return slope(moved, mp.mpf(0)) / old(world, varied)


def _surface_integral(expression: SurfaceIntegral, world: World) -> Any:
    if "nodes" not in world:
        raise NotInterpreted("this world is one point of a sphere")
    nodes = world.meanings["nodes"]
    values = [evaluate(expression.args[0], world.at({"angle": angle})) for angle in nodes]
    return mp.fsum(values) * 2 * mp.pi / len(nodes)


interpret(Change, _differential)
interpret(Partial, _partial)
interpret(Variation, _variation, numerical=True)
interpret(SurfaceIntegral, _surface_integral)


# Systems -----------------------------------------------------------------------------------------


def pick(values: list[Any], k: Any) -> Any:
    """Value of state k, counted from 1."""
    if not 1 <= k <= len(values) or k != int(k):
        raise NotInterpreted(f"there is no state {k}")
    return values[int(k) - 1]


@dataclass(frozen=True)
class System:
    """Patches with losses and areas, at a temperature and in a volume.

    Parameters
    ----------
    losses, areas : lists of mpf
        Loss and area of each patch at V = 1.
    gas_constant : mpf
        All areas grow with V to this power.
    pulls, pushes : lists of mpf
        How the loss and, beyond that power, the area of each patch changes with V; all 0 in an ideal gas.
    bend : callable
        How far the probability of patch k is from Gibbs' law at T and V, as a factor; 1 under it.
    """

    losses: list[Any]
    areas: list[Any]
    gas_constant: Any
    pulls: list[Any]
    pushes: list[Any]
    bend: Callable[[int, Any, Any], Any]
    _known: dict[Any, list[Any]] = field(default_factory=dict, compare=False)

    def loss(self, k: int, V: Any) -> Any:
        """Loss of patch k."""
        return self.losses[k] + self.pulls[k] * V

    def area(self, k: int, V: Any) -> Any:
        """Area of patch k."""
        if ("room", V) not in self._known:  # a power takes long, and it is the same for all patches
            self._known["room", V] = [V**self.gas_constant, V**2]
        room, square = self._known["room", V]
        return self.areas[k] * room * (1 + self.pushes[k] * square)

    def weights(self, T: Any, V: Any) -> list[Any]:
        """Probabilities before they are normalised."""
        return [self.area(k, V) * mp.exp(-self.loss(k, V) / T) * self.bend(k, T, V) for k in range(len(self.losses))]

    def probabilities(self, T: Any, V: Any) -> list[Any]:
        """Probabilities of the patches."""
        key = (T, V)
        if key not in self._known:
            weights = self.weights(T, V)
            total = mp.fsum(weights)
            self._known[key] = [weight / total for weight in weights]
        return self._known[key]

    def energy(self, T: Any, V: Any) -> Any:
        """Mean loss."""
        return mp.fsum(q * self.loss(k, V) for k, q in enumerate(self.probabilities(T, V)))

    def variance(self, T: Any, V: Any) -> Any:
        """Half the mean square difference between the losses of two patches."""
        states = [(q, self.loss(k, V)) for k, q in enumerate(self.probabilities(T, V))]
        return mp.fsum(q * p * (one - other) ** 2 for q, one in states for p, other in states) / 2

    def entropy(self, T: Any, V: Any) -> Any:
        """Change entropy."""
        return -mp.fsum(q * mp.log(q / self.area(k, V)) for k, q in enumerate(self.probabilities(T, V)) if q)

    def pressure(self, T: Any, V: Any) -> Any:
        """Mean push on the volume: of the losses, and of the areas at that temperature."""
        total = mp.mpf(0)
        for k, q in enumerate(self.probabilities(T, V)):
            log_area = self.gas_constant / V + 2 * self.pushes[k] * V / (1 + self.pushes[k] * V**2)
            total += q * (T * log_area - self.pulls[k])
        return total


def numbers(dice: random.Random, count: int, low: float, high: float) -> list[Any]:
    return [mp.mpf(dice.uniform(low, high)) for _ in range(count)]


def _system(number: int, granted: Assumptions) -> System:
    dice = random.Random(f"system {number}")
    count, gas_constant = 3 + number % 2, mp.mpf(1 + number) / 2 + mp.mpf(1) / 2
    losses, areas = numbers(dice, count, -1, 2), numbers(dice, count, 0.5, 2)
    pulls, pushes = numbers(dice, count, -0.3, 0.3), numbers(dice, count, 0.05, 0.4)
    bends = numbers(dice, count, 0.1, 0.9)
    nothing = [mp.mpf(0)] * count
    if "ideal gas law" in granted:
        pulls = pushes = nothing
    if "Gibbs law" in granted:
        bends = nothing
    return System(losses, areas, gas_constant, pulls, pushes, lambda k, T, V: 1 + bends[k] * (T + V / 3))


def _dense_system(number: int, granted: Assumptions) -> System:
    """A system whose losses go from 0 upwards, with areas that grow as a power of the loss: C_V is that power.

    It stays constant without Gibbs' law, if the probabilities are another function of the loss over T, and where all
    losses and areas change alike with the volume.
    """
    dice = random.Random(f"dense system {number}")
    power, spacing = mp.mpf(dice.uniform(1.2, 1.8)), mp.mpf(2) / 7
    losses = [mp.exp(spacing * k) for k in range(-104 if number else -110, 17)]
    areas = [loss**power for loss in losses]
    uneven = mp.mpf(0 if "constant heat capacity" in granted else 1)
    areas = [area / (1 + uneven * loss) for area, loss in zip(areas, losses, strict=True)]
    pull, push = numbers(dice, 2, 0.1, 0.3)
    is_gibbs = "Gibbs law" in granted
    if "ideal gas law" in granted:
        pull = push = mp.mpf(0)

    def bend(k: int, T: Any, V: Any) -> Any:
        if is_gibbs:
            return mp.mpf(1)
        x = losses[k] / T * (1 + uneven * V / 5)
        return 1 + x / (1 + x)

    return System(losses, areas, mp.mpf(2 + number) / 2, [pull] * len(losses), [push] * len(losses), bend)


def meanings_of(system: System, dice: random.Random) -> dict[Any, Any]:
    """What the symbols of thermodynamics mean in a system, which is moved in a random direction of T and V."""
    patches = list(range(len(system.losses)))

    def of_state(function: Callable[[Any, Any], Any]) -> Callable[[World], Any]:
        return lambda world: function(world[s.T], world[s.V])

    def helmholtz(T: Any, V: Any) -> Any:
        return mp.fsum(
            q * (system.loss(k, V) + T * mp.log(q / system.area(k, V)))
            for k, q in enumerate(system.probabilities(T, V))
        )

    def partition(T: Any, V: Any) -> Any:
        return mp.fsum(system.area(k, V) * mp.exp(-system.loss(k, V) / T) for k in range(len(system.losses)))

    def heat(world: World) -> Any:
        # By redistribution among the losses, and by what the growth of the areas would have cost at this T.
        T, V, to = world[s.T], world[s.V], world.meanings["direction"]
        total = mp.mpf(0)
        for k, q in enumerate(system.probabilities(T, V)):

            def moved(step: Any, k: int = k) -> Any:
                return system.probabilities(T + step * to[s.T], V + step * to[s.V])[k]

            def room(step: Any, k: int = k) -> Any:
                return mp.log(system.area(k, V + step * to[s.V]))

            total += system.loss(k, V) * slope(moved, mp.mpf(0)) + T * q * slope(room, mp.mpf(0))
        return total

    def heat_at_pressure(world: World) -> Any:
        # T dS along the line on which the pressure stays as it is.
        T, V = world[s.T], world[s.V]
        push = [slope(lambda x: system.pressure(x, V), T), slope(lambda x: system.pressure(T, x), V)]
        rise = [slope(lambda x: system.entropy(x, V), T), slope(lambda x: system.entropy(T, x), V)]
        return T * (rise[0] - rise[1] * push[0] / push[1])

    return {
        "direction": {s.T: mp.mpf(dice.uniform(0.5, 1)), s.V: mp.mpf(dice.uniform(0.5, 1))},
        n: len(system.losses),
        i: 2,
        s.R: system.gas_constant,
        s.d: 2 * system.gas_constant + 1,
        s.U: of_state(system.energy),
        s.S: of_state(system.entropy),
        s.p: of_state(system.pressure),
        s.H: of_state(lambda T, V: system.energy(T, V) + system.pressure(T, V) * V),
        s.F: of_state(helmholtz),
        s.G: of_state(lambda T, V: helmholtz(T, V) + system.pressure(T, V) * V),
        s.Z: of_state(partition),
        s.var_L: of_state(system.variance),
        s.C_V: lambda world: slope(lambda x: system.energy(x, world[s.V]), world[s.T]),
        s.C_p: heat_at_pressure,
        s.gamma: lambda world: world[s.C_p] / world[s.C_V],
        s.heat_in: heat,
        Energy: lambda world, k: system.loss(pick(patches, k), world[s.V]),
        Area: lambda world, k: system.area(pick(patches, k), world[s.V]),
        Probability: lambda world, k: pick(system.probabilities(world[s.T], world[s.V]), k),
    }


@precise
def system_world(number: int, granted: Assumptions) -> World:
    """Small systems of three or four patches whose U, S, p are sums over the patches, at a temperature and volume."""
    dice = random.Random(f"state {number}")
    system = _system(number, granted)
    state = {s.T: mp.mpf(dice.uniform(0.6, 1.4)), s.V: mp.mpf(dice.uniform(0.7, 1.3))}
    return World(meanings_of(system, dice) | state, f"system {number} of {len(system.losses)} patches")


@precise
def adiabat_world(number: int, granted: Assumptions) -> World:
    """A system of 120 losses, compressed at constant entropy: T and p found where its entropy, a sum, is the same."""
    dice = random.Random(f"adiabat {number}")
    system = _dense_system(number, granted)
    start_T, start_V = mp.mpf(dice.uniform(0.8, 1.2)), mp.mpf(dice.uniform(0.8, 1.2))
    goal = system.entropy(start_T, start_V)
    known: dict[Any, Any] = {}

    def temperature(_: World, V: Any) -> Any:
        if start_V == V:
            return start_T
        if V not in known:
            guesses = (start_T, start_T * mp.sqrt(start_V / V))
            known[V] = mp.findroot(
                lambda T: system.entropy(T, V) - goal, guesses, tol=mp.mpf(10) ** -25, maxsteps=40, verify=False
            )
        return known[V]

    meanings = meanings_of(system, dice) | {
        s.V: start_V * mp.mpf(dice.uniform(1.2, 1.5)),
        s.V0: start_V,
        s.p0: system.pressure(start_T, start_V),
        s.C_0: lambda _: slope(lambda x: system.energy(x, start_V), start_T),
        s.T: lambda world: temperature(world, world[s.V]),
        sp.Function("T", positive=True): temperature,
        sp.Function("p", positive=True): lambda world, V: system.pressure(temperature(world, V), V),
    }
    return World(meanings, f"adiabat {number}")


@precise
def path_world(number: int, granted: Assumptions) -> World:
    """Small systems taken along a path of temperatures and volumes, their U, S, p sums over the patches."""
    dice = random.Random(f"path {number}")
    system = _system(number, granted)
    T0, V0, to_T, to_V = numbers(dice, 4, 0.6, 1.3)

    def at(function: Callable[[Any, Any], Any]) -> Callable[[World, Any], Any]:
        return lambda _, x: function(T0 + to_T * x, V0 + to_V * mp.sin(x))

    path = {
        sp.Function("T", real=True): at(lambda T, V: T),
        sp.Function("V", real=True): at(lambda T, V: V),
        sp.Function("p", real=True): at(system.pressure),
        sp.Function("U", real=True): at(system.energy),
        sp.Function("S", real=True): at(system.entropy),
    }
    state = {s.T: T0, s.V: V0, s.t: mp.mpf(dice.uniform(0.5, 0.8))}
    return World(meanings_of(system, dice) | state | path, f"path {number}")


# Distributions that are found and not written down -----------------------------------------------


def _probability_sums(dice: random.Random) -> tuple[list[Any], list[Any], dict[Any, Any]]:
    """Losses (the first one is the lowest), areas, and what is summed over a density."""
    count = 3
    losses = [mp.mpf(-1), *numbers(dice, count - 1, 0, 1.5)]
    areas = numbers(dice, count, 0.5, 2)

    def over(world: World, term: Callable[[int, Any], Any]) -> Any:
        return mp.fsum(term(k, world.meanings[Probability](world, k + 1)) for k in range(count))

    meanings = {
        n: count,
        i: 2,
        Energy: lambda _, k: pick(losses, k),
        Area: lambda _, k: pick(areas, k),
        Gap: lambda _, k: pick(losses, k) - losses[0],
        s.U: lambda world: over(world, lambda k, q: q * losses[k]),
        s.S: lambda world: -over(world, lambda k, q: q * mp.log(q / areas[k])),
        sp.Symbol("N", positive=True): lambda world: over(world, lambda _, q: q),
        s.Z: lambda world: mp.fsum(a * mp.exp(-e / world[s.T]) for a, e in zip(areas, losses, strict=True)),
        alpha: lambda world: mp.log(areas[0] / world.meanings[Probability](world, 1)) - 1 - losses[0] / world[s.T],
    }
    return losses, areas, meanings


@precise
def maximum_entropy_world(number: int, granted: Assumptions) -> World:
    """Three patches: the density of largest entropy at a mean loss found by search, 1/T as its slope with that loss."""
    del granted
    dice = random.Random(f"maximum entropy {number}")
    losses, areas, meanings = _probability_sums(dice)
    # The one direction in which neither the whole probability nor the mean loss changes.
    along = [losses[1] - losses[2], losses[2] - losses[0], losses[0] - losses[1]]

    def entropy(q: list[Any]) -> Any:
        return -mp.fsum(x * mp.log(x / a) for x, a in zip(q, areas, strict=True))

    def best(mean: Any) -> list[Any]:
        share = (mean - losses[0]) / (losses[1] - losses[0])
        base = [1 - share, share, mp.mpf(0)]

        def at(x: Any) -> list[Any]:
            return [b + x * a for b, a in zip(base, along, strict=True)]

        ends = [-b / a for b, a in zip(base, along, strict=True)]
        low = max(e for e, a in zip(ends, along, strict=True) if a > 0)
        high = min(e for e, a in zip(ends, along, strict=True) if a < 0)

        def gain(x: Any) -> Any:
            return -mp.fsum(a * mp.log(y / c) for a, y, c in zip(along, at(x), areas, strict=True))

        edge = (high - low) / 10**6
        return at(mp.findroot(gain, (low + edge, high - edge), solver="anderson", tol=mp.mpf(10) ** -50, verify=False))

    mean = losses[0] + mp.mpf(dice.uniform(0.2, 0.4)) * (min(losses[1:]) - losses[0])
    q = best(mean)
    temperature = 1 / slope(lambda u: entropy(best(u)), mean)

    def probability(world: World, k: Any) -> Any:
        if world.meanings[s.T] is not temperature:
            raise NotInterpreted("the temperature is that of the mean loss")
        return pick(q, k)

    meanings |= {s.T: temperature, Probability: probability}
    return World(meanings, f"density of largest entropy {number}")


@precise
def heat_bath_world(number: int, granted: Assumptions) -> World:
    """Three patches: the stationary density of Metropolis' random walk among them at a temperature T."""
    del granted
    dice = random.Random(f"heat bath {number}")
    losses, areas, meanings = _probability_sums(dice)
    known: dict[Any, Any] = {}

    def stationary(T: Any) -> Any:
        count = len(losses)
        rates = mp.matrix(count, count)
        for a in range(count):
            for b in range(count):
                if a != b:
                    rates[b, a] += areas[b] * mp.exp(-max(losses[b] - losses[a], 0) / T)
                    rates[a, a] -= areas[b] * mp.exp(-max(losses[b] - losses[a], 0) / T)
        for b in range(count):
            rates[count - 1, b] = 1
        return mp.lu_solve(rates, mp.matrix([0] * (count - 1) + [1]))

    def probability(world: World, k: Any) -> Any:
        T = world[s.T]
        if T not in known:
            known[T] = stationary(T)
        return pick(list(known[T]), k)

    meanings |= {s.T: mp.mpf(dice.uniform(0.5, 1.5)), Probability: probability}
    return World(meanings, f"heat bath {number}")
