"""How the norm and the directions approach their stationary values.

>>> from thermo_theory import FixedELR, FixedLR
>>> FixedLR.trajectory(t=0.0, r0=2.0, eta=0.1, lam=1e-3, sigma=1.0, d=10)
2.0
>>> FixedLR.relaxation_time(eta=0.1, lam=1e-3)
2500.0
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.numeric.differences import decayed
from thermo_theory.numeric.domain import Invalid
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    Sigma_w,
    d,
    diffusion,
    drift,
    eq,
    eta,
    eta_eff,
    grad_L,
    lam,
    r,
    r0,
    relaxation,
    sigma,
    t,
    tr_Sigma,
    w,
    w_bar,
)
from thermo_theory.symbols.vectors import Apply, Dot, Generator, Quad, Tr
from thermo_theory.theory.stochastic import PAPER
from thermo_theory.worlds.relaxation import free_world, relaxation_world, trajectory_world

_squared_norm = sp.Symbol("s", positive=True)
_r, _y = sp.Function("r", positive=True), sp.Function("y", positive=True)


@operation("without noise the mean change is the change: write it as a rate of {1}")
def as_rate(equation: sp.Eq, norm: sp.Symbol, function: sp.Expr, power: int, variable: sp.Symbol) -> sp.Eq:
    """From the mean change of ``r^2`` the rate of change of ``y = r^power``, by the chain rule, in terms of y."""
    if equation.lhs != Generator(norm**2):
        raise OperationError(f"{equation.lhs} is not the mean change of the squared norm")
    rate = sp.Rational(power, 2) * norm ** (power - 2) * equation.rhs
    inside = function ** sp.Rational(1, power)
    right = sp.expand(sp.powsimp(sp.expand(rate).subs(norm, inside)))
    return eq(sp.Derivative(function, variable), right)


@operation("split into the start and the end, with {0} = 1 at the start and 0 at the end")
def start_and_end(equation: sp.Eq, decaying: sp.Expr) -> sp.Eq:
    """Write a solution ``a + b E`` with a decaying exponential E as ``y(0) E + a (1 - E)``."""
    share = sp.Dummy("E")
    exponent = decaying.args[0]
    inside = equation.rhs.subs(sp.exp(sp.expand(-exponent)), 1 / share)
    parts = sp.Poly(sp.expand(sp.cancel(inside.subs(decaying, share))), share)
    if parts.degree() != 1 or parts.has(sp.exp):
        raise OperationError(f"{equation.rhs} is not a constant and a multiple of {decaying}")
    end, change = sp.factor(parts.coeff_monomial(1)), parts.coeff_monomial(share)
    start = sp.factor(end + change)
    return eq(equation.lhs, start * decaying + end * (1 - decaying))


@operation("take the root of order {0}")
def take_root(equation: sp.Eq, power: int) -> sp.Eq:
    """Root of both sides, which are positive."""
    if not any(side.is_positive for side in equation.args):
        raise OperationError(f"neither side of {equation} is known to be positive")
    return eq(*(sp.powdenest(side ** sp.Rational(1, power)) for side in equation.args))


@operation("the slope of the mean change is minus the rate of relaxation, 1/{2}")
def slope_of_change(equation: sp.Eq, norm: sp.Symbol, power: int, time: sp.Symbol) -> sp.Eq:
    """Differentiate the mean change of ``r^power`` by ``r^power``: ``1/tau = -df/dy``."""
    if equation.lhs != Generator(norm**power):
        raise OperationError(f"{equation.lhs} is not the mean change of {norm**power}")
    slope = sp.diff(equation.rhs, norm) / sp.diff(norm**power, norm)
    return eq(1 / time, -sp.expand(slope))


@operation("apply Ito's lemma to w/|w|")
def ito_of_unit_vector(drift_is: sp.Eq, covariance: sp.Eq, unit: sp.Expr, weights: sp.Expr, norm: sp.Symbol) -> sp.Eq:
    """Ito's lemma for all of u = w/|w|: ``b/r - w (w.b)/r^3 - D w/r^3 - w tr D/(2 r^3) + 3 w (w^T D w)/(2 r^5)``."""
    b, spread = drift_is.rhs, covariance.rhs
    outward = -Dot(weights, b) / norm**3 - Tr(spread) / (2 * norm**3) + 3 * Quad(spread, weights) / (2 * norm**5)
    right = b / norm + outward * weights - Apply(spread, weights) / norm**3
    return eq(Generator(unit), sp.expand(right))


# Trajectories ------------------------------------------------------------------------------------


def _trajectory(chain: Chain, protocol: Protocol) -> None:
    power = 4 if protocol is FixedLR else -2
    growth = chain.claim("ito-radius", protocol)
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    growth = growth.substitute(noise)
    named = chain.definition(eq(_y(t), _r(t) ** power), "the power of the norm that obeys a linear equation")
    rate = growth.as_rate(r, _y(t), power, t, because="no noise acts on the norm: g.w = 0")
    start = chain.definition(eq(_y(0), r0**power), "the norm at the start")
    solution = rate.solve_ode(_y(t), start=start)
    decaying = sp.exp(-4 * eta * lam * t if protocol is FixedLR else -(eta_eff**2) * sigma**2 * t * (d - 1))
    solution = solution.start_and_end(decaying)
    solution.substitute(named).take_root(power)


def _trajectory_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    chain.claim("ito-radius", protocol)
    chain.definition(eq(_r(t), r0), "the projection removes the growth at every step")


def _trajectory_fixed_lr(invalid: Invalid, **v: np.ndarray) -> np.ndarray:
    """``r^4 = r_0^4 E^2 + 2 (d - 1) (eta sigma)^2 t`` with E, t as `decayed` gives them: also without weight decay."""
    del invalid
    left, time = decayed(4 * v["eta"] * v["lam"], v["t"])
    return np.sqrt(np.hypot(v["r0"] ** 2 * left, v["eta"] * v["sigma"] * np.sqrt(2 * (v["d"] - 1) * time)))


def _trajectory_fixed_elr(invalid: Invalid, **v: np.ndarray) -> np.ndarray:
    """``r^-2 = r_0^-2 E^2 + 2 lambda eta_eff t`` with E and t as `decayed` gives them: also without noise or decay."""
    del invalid
    left, time = decayed((v["d"] - 1) * (v["eta_eff"] * v["sigma"]) ** 2, v["t"])
    return np.asarray(1 / np.hypot(left / v["r0"], np.sqrt(2 * v["lam"] * v["eta_eff"] * time)))


# Relaxation times --------------------------------------------------------------------------------


def _relaxation_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    mean, noise = chain.claim("sde", protocol, about=drift), chain.claim("sde", protocol, about=diffusion)
    rules = [
        chain.definition(eq(Dot(w, w), r**2), "the norm"),
        chain.assumption("scale invariance", eq(Dot(w, grad_L), 0), "Euler: g.w = 0"),
        chain.assumption("scale invariance", eq(Tr(Sigma_w), tr_Sigma / r**2), "g ~ 1/r"),
        chain.assumption("scale invariance", eq(Quad(Sigma_w, w), 0), "g.w = 0 in each batch"),
    ]
    growth = mean.ito_of_norm(noise, _squared_norm**2, _squared_norm, w, because="f = |w|^4")
    growth = growth.substitute(*rules)
    slope = growth.slope_of_change(r, 4, relaxation, because="r^4 changes linearly with r^4")
    slope.solve_for(relaxation)


def _relaxation_fixed_elr(chain: Chain, protocol: Protocol) -> None:
    growth = chain.claim("ito-radius", protocol)
    slope = growth.slope_of_change(r, 2, relaxation, because="close to its stationary value")
    still = chain.assumption("stationarity", eq(Generator(r**2), 0), "the norm is constant")
    balance = growth.substitute(still)
    slope = slope.substitute(balance.solve_for(tr_Sigma))
    slope.solve_for(relaxation)


def _free_direction(chain: Chain, protocol: Protocol) -> Step:
    """A direction without a mean gradient: the mean of w/|w| shrinks because it spreads over the sphere."""
    mean, noise = chain.claim("sde", protocol, about=drift), chain.claim("sde", protocol, about=diffusion)
    tangent = chain.assumption("scale invariance", eq(Apply(Sigma_w, w), 0), "g.w = 0 in each batch")
    flat = chain.assumption("scale invariance", eq(Quad(Sigma_w, w), 0), "g.w = 0 in each batch")
    unit = chain.assumption("scale invariance", eq(Tr(Sigma_w), tr_Sigma / r**2), "g ~ 1/r")
    free = chain.assumption("pure noise", eq(grad_L, 0), "there is no mean gradient")
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    weights = chain.definition(eq(w, r * w_bar), "norm and direction")
    turned = mean.ito_of_unit_vector(noise, w_bar, w, r)
    turned = turned.substitute(free, tangent, flat, unit)
    if turned.equation.has(Dot(w, w)):
        turned = turned.substitute(norm, because="weight decay does not turn the weights")
    turned = turned.substitute(weights)
    slower = chain.definition(
        eq(Dot(w_bar, Generator(w_bar)), -1 / relaxation),
        "the mean overlap with where a direction was falls as exp(-t/tau)",
    )
    one = chain.definition(eq(Dot(w_bar, w_bar), 1), "directions have the norm 1")
    same = turned.project(w_bar).substitute(slower, one)
    return same.solve_for(relaxation)


def _relaxation_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    time = _free_direction(chain, protocol)
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    time.substitute(noise)


def _direction_relaxation(chain: Chain, protocol: Protocol) -> None:
    time = _free_direction(chain, protocol)
    growth = chain.claim("ito-radius", protocol)
    still = chain.assumption("stationarity", eq(Generator(r**2), 0), "the norm is constant")
    balance = growth.substitute(still).solve_for(tr_Sigma)
    time.substitute(balance)


# The registry ------------------------------------------------------------------------------------

_TRAJECTORY = {FixedSphere: _trajectory_on_the_sphere, FixedELR: _trajectory, FixedLR: _trajectory}
_KERNELS = {FixedELR: _trajectory_fixed_elr, FixedLR: _trajectory_fixed_lr}
#: A norm that only grows, or only shrinks, has a trajectory, though no stationary value.
_AT_ANY_RATE = [sp.Ge(lam, 0, evaluate=False), sp.Ge(sigma, 0, evaluate=False)]
_TRAJECTORY_SUMMARY = {
    FixedSphere: "The norm is r_0 for all times",
    FixedELR: "The squared norm follows a logistic curve from any start",
    FixedLR: "The fourth power of the norm approaches its stationary value as exp(-4 eta lambda t), from any start",
}

for _protocol, _build in _TRAJECTORY.items():
    derivation(
        "radius-trajectory",
        protocol=_protocol,
        kind="definition" if _protocol is FixedSphere else None,
        source=f"{PAPER}, Sec. 3; Li, Lyu, Arora 2020, arXiv 2010.02916",
        summary=_TRAJECTORY_SUMMARY[_protocol],
        worlds=[trajectory_world(_protocol.key)],
        kernel=_KERNELS.get(_protocol),
        domain=_AT_ANY_RATE if _protocol in _KERNELS else (),
    )(_build)

_TIMES = {
    FixedSphere: (
        _relaxation_on_the_sphere,
        free_world,
        "Only directions relax: a free one decorrelates in 2/((d - 1) eta_eff^2 sigma^2) iterations",
    ),
    FixedELR: (
        _relaxation_fixed_elr,
        relaxation_world,
        "The squared norm relaxes in 1/(2 eta_eff lambda r^2) iterations",
    ),
    FixedLR: (
        _relaxation_fixed_lr,
        relaxation_world,
        "The fourth power of the norm relaxes in 1/(4 eta lambda) iterations",
    ),
}

for _protocol, (_build, _worlds, _summary) in _TIMES.items():
    derivation(
        "relaxation-time",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 3; this toolkit",
        summary=_summary,
        worlds=[_worlds(_protocol.key)],
    )(_build)

for _protocol in (FixedELR, FixedLR):
    derivation(
        "direction-relaxation",
        protocol=_protocol,
        source="this toolkit; Kosson et al. 2023, arXiv 2305.17212",
        summary="At a stationary norm a free direction decorrelates in 1/(eta lambda) iterations",
        worlds=[free_world(_protocol.key)],
    )(_direction_relaxation)
