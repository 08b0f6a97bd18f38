"""The ideal gas: radius, temperature, equation of state and Maxwell relation of the three protocols.

>>> from thermo_theory import FixedLR, derive
>>> derive("ideal-gas-law", FixedLR).assumptions
('continuous time', 'scale invariance', 'stationarity')
>>> round(FixedLR.radius(eta=2.0, lam=1.0, sigma=1.0, d=17), 12)
2.0
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import (
    add,
    differentiate,
    equate,
    expand,
    expectation,
    flip,
    ito_of_norm,
    project,
    scale,
    simplify,
    solve_for,
    substitute,
)
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    R,
    Sigma_w,
    T,
    V,
    d,
    diffusion,
    drift,
    eta,
    eta_eff,
    grad_L,
    grad_L_unit,
    grad_log_rho,
    lam,
    p,
    r,
    r0,
    sigma,
    tr_Sigma,
    w,
)
from thermo_theory.symbols.vectors import Dot, Expectation, Generator, Quad, Tr
from thermo_theory.theory.stochastic import PAPER, PROTOCOL_WORLDS
from thermo_theory.worlds.gibbs import entropy_world
from thermo_theory.worlds.sgd import sgd_world

_squared_norm = sp.Symbol("s", positive=True)


# Radius ------------------------------------------------------------------------------------------


def _radius(chain: Chain, protocol: Protocol) -> None:
    growth = chain.claim("ito-radius", protocol)
    still = chain.assumption("stationarity", sp.Eq(Generator(r**2), 0, evaluate=False), "the norm stays as it is")
    noise = chain.assumption("homogeneous noise", sp.Eq(tr_Sigma, (d - 1) * sigma**2, evaluate=False))
    balance = chain.do(substitute, growth, still, noise, because="growth by noise is balanced by decay")
    chain.do(solve_for, balance, r)


def _radius_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    chain.claim("ito-radius", protocol)
    chain.definition(sp.Eq(r, r0, evaluate=False), "the projection takes the growth away again, every step")


# Temperature -------------------------------------------------------------------------------------


def _temperature(chain: Chain, protocol: Protocol) -> None:
    density = chain.claim("stationary-distribution")
    gibbs = chain.definition(
        sp.Eq(grad_log_rho, -grad_L_unit / T, evaluate=False), "the temperature of a Gibbs density rho ~ exp(-L/T)"
    )
    same = chain.do(equate, gibbs, density)
    same = chain.do(project, same, grad_L_unit)
    temperature = chain.do(solve_for, same, T)
    if protocol is FixedELR:
        return
    rate = chain.definition(sp.Eq(eta_eff, eta / r**2, evaluate=False), "the effective learning rate")
    temperature = chain.do(substitute, temperature, rate)
    if protocol is FixedLR:
        radius = chain.claim("radius", protocol)
        temperature = chain.do(substitute, temperature, radius)
        chain.do(simplify, temperature)


# Equation of state -------------------------------------------------------------------------------


def _thermodynamic_names(chain: Chain, protocol: Protocol) -> tuple[Step, Step, Step]:
    """Volume, noise temperature and gas constant."""
    rate = eta_eff if protocol is FixedELR else eta / r**2
    volume = chain.definition(
        sp.Eq(V, Expectation(r**2) / 2, evaluate=False), "half the mean squared norm is the volume"
    )
    temperature = chain.definition(
        sp.Eq(T, Expectation(rate * tr_Sigma) / (2 * (d - 1)), evaluate=False),
        "eta_eff sigma^2/2 with the noise as it is, sigma^2 = tr Sigma/(d - 1)",
    )
    directions = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "the gas constant")
    return volume, temperature, directions


def _log_growth(chain: Chain) -> Step:
    """Ito's lemma for log r at fixed ELR, where it is log r that has a simple balance."""
    mean, noise = chain.claim("sde", FixedELR, about=drift), chain.claim("sde", FixedELR, about=diffusion)
    rules = [
        chain.definition(sp.Eq(Dot(w, w), r**2, evaluate=False), "the norm"),
        chain.assumption("scale invariance", sp.Eq(Dot(w, grad_L), 0, evaluate=False), "Euler: g.w = 0"),
        chain.assumption("scale invariance", sp.Eq(Tr(Sigma_w), tr_Sigma / r**2, evaluate=False), "g ~ 1/r"),
        chain.assumption("scale invariance", sp.Eq(Quad(Sigma_w, w), 0, evaluate=False), "g.w = 0 in each batch"),
    ]
    function = sp.log(_squared_norm) / 2
    growth = chain.do(ito_of_norm, mean, noise, function, _squared_norm, w, because="f = log r")
    return chain.do(expand, chain.do(substitute, growth, *rules))


def _ideal_gas_law(chain: Chain, protocol: Protocol) -> None:
    growth = _log_growth(chain) if protocol is FixedELR else chain.claim("ito-radius", protocol)
    volume, temperature, directions = _thermodynamic_names(chain, protocol)
    pressure = chain.definition(sp.Eq(p, lam, evaluate=False), "weight decay is the pressure")
    still = chain.assumption(
        "stationarity",
        sp.Eq(Expectation(growth.equation.lhs), 0, evaluate=False),
        "the mean norm stays as it is",
    )
    balance = chain.do(substitute, chain.do(expectation, growth), still)
    heat, size = _unknown_means(protocol)
    noise = chain.do(solve_for, temperature, heat)
    norm = chain.do(solve_for, volume, size)
    decay = chain.do(flip, pressure)
    balance = chain.do(substitute, balance, noise, norm, decay)
    balance = chain.do(substitute, balance, chain.do(solve_for, directions, d))
    chain.do(scale, chain.do(solve_for, balance, p), V)


def _unknown_means(protocol: Protocol) -> tuple[sp.Expr, sp.Expr]:
    """The two means in the balance of the norm: of the noise, and of the squared norm."""
    return Expectation(tr_Sigma if protocol is FixedELR else tr_Sigma / r**2), Expectation(r**2)


def _ideal_gas_law_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    growth = chain.claim("ito-radius", protocol)
    held = chain.claim("radius", protocol)
    volume, temperature, directions = _thermodynamic_names(chain, protocol)
    pressure = chain.definition(
        sp.Eq(Expectation(Generator(r**2)), 2 * eta * p * Expectation(r**2), evaluate=False),
        "the pressure is the weight decay that would take away what the projection takes away",
    )
    mean = chain.do(expectation, growth)
    balance = chain.do(substitute, pressure, mean)
    noise = chain.do(solve_for, temperature, Expectation(tr_Sigma / r**2))
    norm = chain.do(solve_for, volume, Expectation(r**2))
    balance = chain.do(substitute, balance, noise, norm)
    balance = chain.do(substitute, balance, chain.do(solve_for, directions, d))
    chain.do(scale, chain.do(solve_for, balance, p), V)
    del held


# Maxwell relation --------------------------------------------------------------------------------

_S, _S_sphere = sp.Function("S"), sp.Function("S_sphere")


def _entropy(chain: Chain, *held: sp.Symbol) -> Step:
    return chain.definition(
        sp.Eq(_S(*held), _S_sphere(T) + (d - 1) * sp.log(r), evaluate=False),
        "the entropy of the directions, and of the sphere they lie on",
    )


def _maxwell_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    entropy = _entropy(chain, T, r)
    directions = chain.definition(sp.Eq(d, 2 * R + 1, evaluate=False), "the gas constant is half the directions")
    slope = chain.do(scale, chain.do(differentiate, entropy, r), r)
    chain.do(substitute, slope, directions)


def _maxwell_fixed_elr(chain: Chain, protocol: Protocol) -> None:
    entropy = _entropy(chain, eta_eff, lam)
    radius, temperature = chain.claim("radius", protocol), chain.claim("temperature", protocol)
    directions = chain.definition(sp.Eq(d, 2 * R + 1, evaluate=False), "the gas constant is half the directions")
    entropy = chain.do(substitute, entropy, temperature, radius)
    slope = chain.do(scale, chain.do(differentiate, entropy, lam), lam)
    chain.do(substitute, slope, directions)


def _maxwell_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    entropy = _entropy(chain, eta, lam)
    radius, temperature = chain.claim("radius", protocol), chain.claim("temperature", protocol)
    directions = chain.definition(sp.Eq(d, 2 * R + 1, evaluate=False), "the gas constant is half the directions")
    entropy = chain.do(substitute, entropy, temperature, radius)
    by_rate = chain.do(scale, chain.do(differentiate, entropy, eta), eta)
    by_decay = chain.do(scale, chain.do(differentiate, entropy, lam), lam)
    difference = chain.do(add, by_rate, by_decay, weights=(-1,), because="T depends on eta lambda alone and drops out")
    chain.do(substitute, difference, directions)


# The registry ------------------------------------------------------------------------------------

_RADIUS = {FixedSphere: _radius_on_the_sphere, FixedELR: _radius, FixedLR: _radius}
_LAW = {FixedSphere: _ideal_gas_law_on_the_sphere, FixedELR: _ideal_gas_law, FixedLR: _ideal_gas_law}
_MAXWELL = {FixedSphere: _maxwell_on_the_sphere, FixedELR: _maxwell_fixed_elr, FixedLR: _maxwell_fixed_lr}
_MAXWELL_SUMMARY = {
    FixedSphere: "(dS/dlog r) at fixed T is d - 1 = 2R",
    FixedELR: "(dS/dlog lambda) at fixed effective learning rate is -R",
    FixedLR: "dS/dlog eta - dS/dlog lambda is R",
}

for _protocol, _world in PROTOCOL_WORLDS.items():
    derivation(
        "radius",
        protocol=_protocol,
        kind="definition" if _protocol is FixedSphere else "physics",
        source=f"{PAPER}, Sec. 3",
        summary="The norm is held; the growth taken away each step is eta^2 tr Sigma/r^2"
        if _protocol is FixedSphere
        else "The norm at which growth by noise and weight decay balance",
        worlds=[_world],
    )(_RADIUS[_protocol])
    derivation(
        "temperature",
        protocol=_protocol,
        kind="physics",
        source=f"{PAPER}, Sec. 3",
        summary="The temperature of the Gibbs density of the directions",
        worlds=[_world],
    )(_temperature)
    derivation(
        "ideal-gas-law",
        protocol=_protocol,
        kind="physics",
        source=f"{PAPER}, Sec. 3",
        summary="Weight decay times half the squared norm is (d - 1)/2 times the noise temperature",
        worlds=[sgd_world(_protocol.key, ensemble=True)],
    )(_LAW[_protocol])
    derivation(
        "maxwell",
        protocol=_protocol,
        kind="symmetry",
        source=f"{PAPER}, Sec. 4",
        summary=_MAXWELL_SUMMARY[_protocol],
        worlds=[entropy_world(_protocol.key)],
    )(_MAXWELL[_protocol])
