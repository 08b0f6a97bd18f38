"""Gases of any degree: steps that repeat themselves and are summed exactly, and balances that are solved for the norm.

Nothing here knows a formula of the theory. Weights under periodic steps are a geometric sum; the norm of a gas is where
what steps add equals what decay removes; the variance of a direction in a well is the sum of its squared responses to
independent noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import mpmath as mp
import sympy as sp

from thermo_theory import symbols as s
from thermo_theory.engine.world import DIGITS, Assumptions, World, world_maker
from thermo_theory.symbols.vectors import VectorFunction

__all__ = [
    "KINDS",
    "SumOverLags",
    "after",
    "covariance",
    "gas_world",
    "lag",
    "lagged",
    "length_world",
    "memory_world",
    "with_weights",
]

#: Covariance of an average of gradients with that some steps later, in units of theirs.
covariance = sp.Function("v_u")

#: Step n after this one; its mean inner product with this one, and with the weights before this one.
after = VectorFunction.named("u")
lagged, with_weights = sp.Function("c_u"), sp.Function("q_u")
lag = sp.Symbol("n", integer=True, nonnegative=True)


class SumOverLags(sp.Sum):
    """A sum over all lags; sympy takes any sum without free symbols for a number that it could compute."""

    is_number = False


#: How weight decay enters a step: beside it, within it, or within the norm that a trust ratio divides by.
KINDS = {
    "decoupled": "decay beside a step of degree k",
    "coupled": "decay within a step of degree k",
    "trust": "decay within a step that a trust ratio makes as long as the weights times the learning rate",
}


@world_maker("steps of period 5 that decay adds up to the weights, d = 3 to 5, summed exactly", digits=4 * DIGITS)
def memory_world(number: int, granted: Assumptions, /) -> World:
    """Worlds in which the same five steps are taken again and again, and the weights are their sum.

    Without stationarity the weights are larger than that. Uncorrelated steps are taken with either sign, whatever was
    before; the weights then have the size at which decay takes what they add.
    """
    dice, n, period = random.Random(f"memory {number}"), 3 + number % 3, 5
    alone, steeper = "uncorrelated steps" in granted, mp.mpf(1 if "low temperature" in granted else "1.1")
    off = mp.mpf(1 if "stationarity" in granted else "1.3")
    rate, decay = mp.mpf(dice.uniform(0.2, 0.5)), mp.mpf(dice.uniform(0.4, 0.7))
    pushes = [mp.matrix([dice.gauss(0.3, 1) for _ in range(n)]) for _ in range(period)]
    kept = 1 - rate * decay
    # The weights before each step: all steps before it, shrunk once more by each step since.
    sums = [
        sum((pushes[(phase - 1 - j) % period] * (-rate * kept**j) for j in range(period)), mp.zeros(n, 1))
        for phase in range(period)
    ]
    share = rate / mp.sqrt(1 - kept**2) if alone else off / (1 - kept**period)
    weights = [(pushes[phase] * off if alone else sums[phase]) * share for phase in range(period)]
    ensemble = [{"phase": phase, "sign": sign} for phase in range(period) for sign in ((1, -1) if alone else (1,))]

    def mean(value: Callable[[int, int], Any]) -> Any:
        return mp.fsum(value(*point.values()) for point in ensemble) / len(ensemble)

    def step(phase: int, k: int, sign: int) -> Any:
        """The step k steps later: of independent ones, its mean."""
        return pushes[(phase + k) % period] * (sign if not alone or k == 0 else 0)

    def overlap(k: int) -> Any:
        return mean(lambda phase, sign: mp.fdot(step(phase, 0, sign), step(phase, k, sign)))

    def turned(world: World) -> Any:
        moves = [(there[s.w], there[s.w_next]) for there in map(world.at, ensemble)]
        return mp.acos(mp.fsum(mp.fdot(*move) for move in moves) / mp.fsum(mp.fdot(old, old) for old, _ in moves))

    def moved(world: World) -> Any:
        steps = [(there[s.w_next] - there[s.w], there[s.w]) for there in map(world.at, ensemble)]
        square, size = (mp.fsum(mp.fdot(pair[k], pair[k]) for pair in steps) for k in (0, 1))
        return mp.sqrt(square / size)

    lags = 1 if alone else period
    ahead = mp.fsum(kept**k * overlap(k) for k in range(1, lags + 1)) / (1 - kept**period)
    meanings: dict[Any, Any] = {
        **ensemble[0],
        s.d: n,
        s.stride: rate,
        s.taken: rate * decay,
        lag: 2,  # of period 5: neither n and n^2 nor n + 1 and n^2 + 1 are the same lag
        s.w: lambda world: weights[int(world.meanings["phase"])],
        s.u: lambda world: step(int(world.meanings["phase"]), 0, int(world.meanings["sign"])),
        s.w_next: lambda world: world[s.w] * kept - world[s.u] * rate,
        after: lambda world, k: step(int(world.meanings["phase"]), int(k), int(world.meanings["sign"])),
        lagged: lambda world, k: overlap(int(k)),
        with_weights: lambda world, k: mean(lambda phase, sign: mp.fdot(weights[phase], step(phase, int(k), sign))),
        s.D_now: overlap(0) + 2 * ahead,
        s.own: overlap(0) / (overlap(0) + 2 * ahead),
        s.angle: turned,
        s.chord: moved,
    }
    if "small steps" not in granted:
        # The same as a direction in a well: the pull is what takes from it.
        meanings |= {
            s.eta: rate,
            s.lam: decay,
            s.D_x: meanings[s.D_now],
            s.eta_eff: rate,
            s.gain: decay / mp.mpf("0.7") / steeper,
            s.h: mp.mpf("0.7"),
            s.x: lambda world: world[s.w],
            s.u_noise: lambda world: world[s.u],
            s.u_mean: lambda world: world[s.w] * decay,
            s.x_next: lambda world: world[s.w_next],
            s.T: mp.mpf("0.7") * mean(lambda phase, _: mp.fdot(weights[phase], weights[phase])),
        }
    return World(meanings, f"steps of period {period}, d = {n}", ensemble=ensemble)


@world_maker(
    lambda decay="within": f"steps as long as the weights times the learning rate, decay {decay} them, d = 3 to 5"
)
def length_world(number: int, granted: Assumptions, /, decay: str = "within") -> World:
    """Worlds in which a step goes in any direction, by the learning rate times the norm of the weights.

    Parameters
    ----------
    decay : str
        "within" the step, or "beside" it.
    """
    tangent = "scale invariance" in granted
    dice, n = random.Random(f"length {number}"), 3 + number % 3
    rate, strength = mp.mpf(dice.uniform(0.2, 0.5)), mp.mpf(dice.uniform(0.4, 0.7))
    ensemble = [{one: mp.matrix([dice.gauss(0, 1) for _ in range(n)]) for one in (s.w, s.u)} for _ in range(4)]

    if tangent:
        for point in ensemble:
            w, u = point[s.w], point[s.u]
            point[s.u] = u - w * (mp.fdot(u, w) / mp.fdot(w, w))

    def moved(world: World) -> Any:
        way = world[s.u] + world[s.w] * (strength if decay == "within" else 0)
        kept = 1 if decay == "within" else 1 - rate * strength
        return world[s.w] * kept - way * (rate * world[s.r] / mp.norm(way, 2))

    meanings: dict[Any, Any] = {
        **ensemble[0],
        s.eta: rate,
        s.lam: strength,
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.w_next: moved,
        s.r_next: lambda world: mp.norm(world[s.w_next], 2),
        s.chord: rate,
    }
    return World(meanings, f"steps of one length, d = {n}", ensemble=ensemble)


class _Drawn(NamedTuple):
    """Numbers of a gas."""

    n: int
    degree: Any
    rate: Any
    decay: Any
    products: Any
    gain: Any
    size: Any
    curvature: Any
    memory: Any


@cache
def _drawn(number: int, kind: str, degree: sp.Rational | None) -> _Drawn:
    dice = random.Random(f"gas {kind} {number}")
    k, *rest = (mp.mpf(dice.uniform(*ends)) for ends in ((0.2, 1.4), (0.2, 0.3), (0.3, 0.5), (2, 3), (0.7, 1.3)))
    more = [mp.mpf(dice.uniform(*ends)) for ends in ((0.7, 1.3), (0.3, 0.5), (0.3, 0.6))]
    return _Drawn(4 + number % 3, k if degree is None else mp.mpf(degree.p) / degree.q, *rest, *more)


class _Steps(NamedTuple):
    """What is special about the directions of an optimiser's steps.

    Direction at a gradient, its mean products a number of steps apart, and more meanings.
    """

    direction: Callable[[Any], Any]
    lagged: Callable[[int], Any]
    size: Any
    meanings: dict[Any, Any]


#: How far into the past the weights of gradients are summed.
PAST = 130


def _arcs(correlation: Any) -> Any:
    """Mean product of the signs of two normal numbers, by the probability that they agree."""
    rho = correlation
    if rho == 0:
        return mp.mpf(0)
    with mp.workdps(DIGITS + 15):
        whole, density = mp.sqrt(1 - rho**2), lambda t: 1 / (1 - rho * mp.sin(2 * t))  # even about pi/4, and smooth
        return 4 * whole * mp.quad(density, [0, mp.pi / 4], method="gauss-legendre") / mp.pi - 1


def _special(steps: str, n: int, granted: Assumptions, dice: random.Random) -> _Steps:
    """Steps of an optimiser of scale-free directions, correlated unless it is granted that they are not."""
    beta1, beta2, sigma = (mp.mpf(dice.uniform(*ends)) for ends in ((0.3, 0.5), (0.3, 0.5), (0.7, 1.3)))
    alone = ("uncorrelated gradients" if steps in ("lion", "lamb") else "uncorrelated steps") in granted
    normal = "Gaussian noise" in granted
    even = {"lars": "homogeneous noise", "lamb": "isotropic noise"}.get(steps, "stationarity") in granted
    weights = [(1 - beta1) * beta1**j for j in range(PAST)]
    if steps == "lion":
        weights = [1 - beta1, *(beta1 * (1 - beta2) * beta2**j for j in range(PAST))]

    @cache
    def together(k: int) -> Any:
        """Covariance of averages of gradients that are independent, or not quite."""
        return mp.fdot(weights[: len(weights) - k], weights[k:]) + (0 if alone else mp.mpf("0.5") ** k / 20)

    @cache
    def apart(k: int) -> Any:
        if steps not in ("lion", "lamb"):
            return mp.mpf(0) if alone else mp.mpf("0.5") ** k / 5
        correlation = together(k) / together(0)
        return correlation if steps == "lamb" else n * (_arcs(correlation) if normal else correlation)

    size = {"lars": sigma * mp.sqrt(n - 1), "lamb": mp.sqrt(n * mp.fdot(weights, weights))}.get(steps, mp.mpf(1))
    meanings = {s.beta1: beta1, s.beta2: beta2, s.sigma: sigma, covariance: lambda world, k: together(int(k))}
    signs = steps in ("signsgd", "lion")
    return _Steps(
        lambda g: g.apply(mp.sign) if signs else g / mp.norm(g, 2),
        apart,
        size * (1 if even else mp.mpf("1.2")),
        meanings,
    )


@world_maker(
    lambda kind, degree=None, steps="": (
        f"{KINDS[kind]}{'' if degree is None else f' = {degree}'}{steps and f', as of {steps}'}, and a direction in a "
        "well, noise of two steps: second moments solved exactly"
    ),
    digits=4 * DIGITS,
)
def gas_world(
    number: int, granted: Assumptions, /, kind: str, degree: sp.Rational | None = None, steps: str = ""
) -> World:
    """Worlds in which the norm of the weights is solved for, steps finite and the norm fluctuating.

    If `small steps` is granted, only the leading order is left.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    degree : sympy.Rational, optional
        Degree of the step in the gradient; drawn if it is not given.
    steps : str
        An optimiser whose directions have a norm of their own; else they are of any norm.
    """
    drawn = _drawn(number, kind, degree)
    n, k, gain, bare = drawn.n, drawn.degree, drawn.gain, drawn.size
    special = _special(steps, n, granted, random.Random(f"{steps} {number}")) if steps else None
    if special:
        bare = special.size
        square = mp.mpf(n if steps in ("signsgd", "lion") else 1)
        drawn = drawn._replace(products=square + 2 * mp.fsum(special.lagged(k) for k in range(1, PAST)))
    along = gain * (1 if "equal gains" in granted else mp.mpf("1.3"))
    small, alike = "small steps" in granted, "scale invariance" in granted
    rate = drawn.rate * (mp.mpf(10) ** -30 if small else 1)
    # The norm fluctuates by these factors; their mean square is 1.
    factors = [mp.mpf(1)] if small else [mp.sqrt(mp.mpf(x)) for x in ("0.7", "1.3")]
    settled = "stationarity" in granted
    share = mp.mpf(1 if "isotropic noise" in granted else "1.4")
    # How much steeper a well is than near its minimum.
    steeper = mp.mpf(0 if "low temperature" in granted else "0.1")

    def shrunk(r: Any, power: Any) -> Any:
        """What falls with a power of the norm, if the loss is scale-invariant."""
        return r**-power * (1 if alike else 1 + (r - 1) / (r + 1) / 3)

    def rates(r: Any, eta: Any, lam: Any) -> tuple[Any, Any]:
        """Learning rate and decay of the step as one of independent decay."""
        if kind == "coupled":
            return eta, lam * along * r ** (1 - k)
        return (eta * r, lam * r**k / bare) if kind == "trust" else (eta, lam)

    def products(r: Any) -> Any:
        """Sum of the steps' inner products over lags, at this norm."""
        return drawn.products * (1 if special else shrunk(r, 0 if kind == "trust" else 2 * k))

    def balance(log_r: Any, eta: Any, lam: Any) -> Any:
        """Logarithm of what steps add to the squared norm, over what decay removes."""
        added = removed = mp.mpf(0)
        for x in factors:
            r = x * mp.exp(log_r)
            step, decay = rates(r, eta, lam)
            added += step**2 * products(r)
            removed += (2 * step * decay - (step * decay) ** 2) * r**2
        return mp.log(added / removed)

    def off(lam: Any) -> Any:
        """How far from the stationary state the norm and the variance are."""
        return 1 if settled else mp.mpf("1.3") * lam ** mp.mpf("0.1")

    def norm(world: World) -> Any:
        eta, lam = world[s.eta], world[s.lam]
        with mp.workdps(4 * DIGITS):
            start = mp.log(eta / lam) / 2
            root = mp.findroot(
                lambda x: balance(x, eta, lam), (start, start + 1), solver="secant", tol=mp.mpf(10) ** (-3 * DIGITS)
            )
            return mp.exp(root) * off(lam)

    def in_a_well(world: World) -> tuple[Any, Any]:
        """Pull of the well on a direction, and the variance there."""
        with mp.workdps(4 * DIGITS):
            r, m = world["norm"], drawn.memory
            effective = world[s.eta] / r ** (1 + k)
            pull = effective * gain * drawn.curvature * (1 + steeper)
            noise = share * drawn.products / (n - 1) / (1 + m**2 + 2 * (1 - pull) * m)
            # A unit of noise moves the direction now, and once more a step later.
            return pull, off(world[s.lam]) ** 2 * effective**2 * noise * (
                1 + (1 - pull + m) ** 2 / (1 - (1 - pull) ** 2)
            )

    def temperature(world: World) -> Any:
        return drawn.curvature * in_a_well(world)[1]

    def entropy(world: World, eta: Any, lam: Any) -> Any:
        there = world.at({s.eta: eta, s.lam: lam})
        return (n - 1) * (mp.log(temperature(there)) / 2 * (1 + steeper) + mp.log(there["norm"]))

    def energy(_: World, heat: Any) -> Any:
        return (n - 1) * heat / 2 * (1 + 3 * steeper)

    work = {"decoupled": lambda r: r ** (1 + k) / (1 + k), "coupled": lambda r: r**2 / 2}.get(kind, lambda r: r)
    base = World({s.eta: rate, s.lam: drawn.decay, "norm": norm}, "")
    ensemble = []
    for x, sign in product(factors, (1, -1)):
        r = x * base["norm"]
        g = mp.matrix([0, sign * mp.sqrt(products(r)), *([0] * (n - 2))])
        if special:
            g = mp.matrix([mp.mpf(4 * j + 3 + sign) / 7 for j in range(n)]) * sign
        ensemble.append({s.w: mp.matrix([r, *([0] * (n - 1))]), s.g: g, "sign": sign})

    meanings: dict[Any, Any] = {
        **ensemble[0],
        "norm": norm,
        s.degree: k,
        s.d: n,
        s.eta: rate,
        s.lam: drawn.decay,
        s.gain: gain,
        s.gain_along: along,
        s.size: bare,
        s.h: drawn.curvature,
        s.u: lambda world: special.direction(world[s.g]) if special else world[s.g],
        s.D_step: drawn.products * (mp.mpf("1.2") if special and not alike else 1),
        s.D_now: mp.fsum(products(x * base["norm"]) for x in factors) / len(factors),
        s.D_x: share * drawn.products / (n - 1),
        s.r: lambda world: mp.norm(world[s.w], 2),
        s.eta_eff: lambda world: world[s.eta] / world[s.r] ** (1 + k),
        s.T: temperature,
        s.V: lambda world: work(world[s.r]),
        s.p: drawn.decay / gain if kind == "decoupled" else drawn.decay,
        s.R: mp.mpf(n - 1) / 2,
        s.R_k: (n - 1) / (1 + k),
        s.C_V: mp.mpf(n - 1) / 2 * (1 + 3 * steeper),
        sp.Function("U"): energy,
        sp.Function("H"): lambda world, heat: energy(world, heat) + world[s.p] * world[s.V] * heat / temperature(world),
        sp.Function("S"): entropy,
    }
    if special:
        meanings |= special.meanings | {lagged: lambda world, apart: special.lagged(int(apart)), lag: 2}
    # At a norm that fluctuates there is not one such rate, nor one variance.
    if small or kind == "decoupled":
        meanings |= {
            s.stride: lambda world: rates(world[s.r], world[s.eta], world[s.lam])[0],
            s.taken: lambda world: mp.fprod(rates(world[s.r], world[s.eta], world[s.lam])),
        }
    if small:
        meanings |= {
            s.x: lambda world: mp.matrix([world.meanings["sign"] * mp.sqrt(in_a_well(world)[1])]),
            s.u_noise: mp.matrix([mp.sqrt(drawn.products)]),
            s.u_mean: lambda world: world[s.x] * (in_a_well(world)[0] / world[s.eta_eff]),
            s.x_next: lambda world: world[s.x] * (1 - in_a_well(world)[0]) - world[s.u_noise] * world[s.eta_eff],
        }
    meanings[s.C_p] = lambda world: world[s.C_V] + world[s.p] * world[s.V] / temperature(world)
    meanings[s.gamma] = lambda world: world[s.C_p] / world[s.C_V]
    return World(meanings, f"{KINDS[kind]}, d = {n}, k = {mp.nstr(k, 4)}", ensemble=ensemble)
