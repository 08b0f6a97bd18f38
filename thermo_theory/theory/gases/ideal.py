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
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    R,
    S_sphere,
    Sigma_w,
    T,
    V,
    d,
    diffusion,
    drift,
    eq,
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
    still = chain.assumption("stationarity", eq(Generator(r**2), 0), "the norm is constant")
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    balance = growth.substitute(still, noise, because="growth by noise is balanced by decay")
    balance.solve_for(r)


def _radius_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    chain.claim("ito-radius", protocol)
    chain.definition(eq(r, r0), "the projection removes the growth at every step")


# Temperature -------------------------------------------------------------------------------------


def _temperature(chain: Chain, protocol: Protocol) -> None:
    density = chain.claim("stationary-distribution")
    steep = Dot(grad_L_unit, grad_L_unit)
    temperature = chain.definition(
        eq(T, -steep / Dot(grad_L_unit, grad_log_rho)), "how steep the loss is against log rho, along its own gradient"
    )
    temperature = temperature.substitute(density.project(grad_L_unit))
    if protocol is FixedELR:
        return
    rate = chain.definition(eq(eta_eff, eta / r**2), "the effective learning rate")
    temperature = temperature.substitute(rate)
    if protocol is FixedLR:
        radius = chain.claim("radius", protocol)
        temperature.substitute(radius)


# Equation of state -------------------------------------------------------------------------------


def _thermodynamic_names(chain: Chain, protocol: Protocol) -> tuple[Step, Step, Step]:
    """Volume, noise temperature and gas constant."""
    rate = eta_eff if protocol is FixedELR else eta / r**2
    volume = chain.definition(eq(V, Expectation(r**2) / 2), "half the mean squared norm is the volume")
    temperature = chain.definition(
        eq(T, Expectation(rate * tr_Sigma) / (2 * (d - 1))),
        "eta_eff sigma^2/2 for arbitrary noise, sigma^2 = tr Sigma/(d - 1)",
    )
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    return volume, temperature, directions


def _log_growth(chain: Chain) -> Step:
    """Ito's lemma for log r at fixed ELR, where it is log r that has a simple balance."""
    mean, noise = chain.claim("sde", FixedELR, about=drift), chain.claim("sde", FixedELR, about=diffusion)
    rules = [
        chain.definition(eq(Dot(w, w), r**2), "the norm"),
        chain.assumption("scale invariance", eq(Dot(w, grad_L), 0), "Euler: g.w = 0"),
        chain.assumption("scale invariance", eq(Tr(Sigma_w), tr_Sigma / r**2), "g ~ 1/r"),
        chain.assumption("scale invariance", eq(Quad(Sigma_w, w), 0), "g.w = 0 in each batch"),
    ]
    function = sp.log(_squared_norm) / 2
    growth = mean.ito_of_norm(noise, function, _squared_norm, w, because="f = log r")
    return growth.substitute(*rules).expand()


def _ideal_gas_law(chain: Chain, protocol: Protocol) -> None:
    growth = _log_growth(chain) if protocol is FixedELR else chain.claim("ito-radius", protocol)
    volume, temperature, directions = _thermodynamic_names(chain, protocol)
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    still = chain.assumption("stationarity", eq(Expectation(growth.equation.lhs), 0), "the mean norm is constant")
    balance = growth.expectation().substitute(still)
    heat, size = _unknown_means(protocol)
    noise = temperature.solve_for(heat)
    norm = volume.solve_for(size)
    decay = pressure.flip()
    balance = balance.substitute(noise, norm, decay)
    balance = balance.substitute(directions.solve_for(d))
    balance.solve_for(p).scale(V)


def _unknown_means(protocol: Protocol) -> tuple[sp.Expr, sp.Expr]:
    """The two means in the balance of the norm: of the noise, and of the squared norm."""
    return Expectation(tr_Sigma if protocol is FixedELR else tr_Sigma / r**2), Expectation(r**2)


def _ideal_gas_law_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    growth = chain.claim("ito-radius", protocol)
    chain.claim("radius", protocol)
    volume, temperature, directions = _thermodynamic_names(chain, protocol)
    pressure = chain.definition(
        eq(Expectation(Generator(r**2)), 2 * eta * p * Expectation(r**2)),
        "the pressure is the weight decay that would have the effect of the projection",
    )
    mean = growth.expectation()
    balance = pressure.substitute(mean)
    noise = temperature.solve_for(Expectation(tr_Sigma / r**2))
    norm = volume.solve_for(Expectation(r**2))
    balance = balance.substitute(noise, norm)
    balance = balance.substitute(directions.solve_for(d))
    balance.solve_for(p).scale(V)


# Maxwell relation --------------------------------------------------------------------------------

_S, _S_sphere = sp.Function("S"), sp.Function("S_sphere")


@operation("the entropy of exp(-L/T)/Z is a function of T")
def entropy_of_gibbs(density: sp.Eq, entropy: sp.Symbol, function: sp.Expr) -> sp.Eq:
    """Read that the density is exp(-L/T)/Z off its slope; the loss of the directions is always the same."""
    if density != eq(grad_log_rho, -grad_L_unit / function.args[0]):
        raise OperationError(f"{density} is not the slope of exp(-L/T)")
    return eq(entropy, function)


def _entropy(chain: Chain, protocol: Protocol) -> tuple[Step, Step]:
    """The entropy of the weights at what a protocol holds, and the gas constant."""
    held = (eta_eff, lam) if protocol is FixedELR else (eta, lam)
    entropy = chain.definition(
        eq(_S(*held), S_sphere + (d - 1) * sp.log(r)),
        "the entropy of the directions on the unit sphere, and the part of the norm",
    )
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    heat = chain.claim("temperature", FixedELR)
    density = chain.claim("stationary-distribution").substitute(heat.solve_for(sigma**2))
    gibbs = density.entropy_of_gibbs(S_sphere, _S_sphere(T))
    radius, temperature = chain.claim("radius", protocol), chain.claim("temperature", protocol)
    return entropy.substitute(gibbs, temperature, radius), directions


def _maxwell_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    entropy = chain.assumption(
        "scale invariance",
        eq(_S(T, r), _S_sphere(T) + (d - 1) * sp.log(r)),
        "the entropy of exp(-L/T)/Z: at all norms the same directions, on a sphere with r^(d-1) times the area",
    )
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    slope = entropy.differentiate(r).scale(r)
    slope.substitute(directions)


def _maxwell_fixed_elr(chain: Chain, protocol: Protocol) -> None:
    entropy, directions = _entropy(chain, protocol)
    slope = entropy.differentiate(lam).scale(lam)
    slope.substitute(directions)


def _maxwell_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    entropy, directions = _entropy(chain, protocol)
    by_rate = entropy.differentiate(eta).scale(eta)
    by_decay = entropy.differentiate(lam).scale(lam)
    difference = by_rate.add(by_decay, weights=(-1,), because="T depends on eta lambda alone and drops out")
    difference.substitute(directions)


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
        kind="definition" if _protocol is FixedSphere else None,
        source=f"{PAPER}, Sec. 3",
        summary="The norm is held fixed; the projection removes per step eta^2 tr Sigma/r^2"
        if _protocol is FixedSphere
        else "The norm at which growth by noise and weight decay balance",
        worlds=[_world],
    )(_RADIUS[_protocol])
    derivation(
        "temperature",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 3",
        summary="The temperature of the Gibbs density exp(-L/T)/Z of the directions",
        worlds=[_world],
    )(_temperature)
    derivation(
        "ideal-gas-law",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 3",
        summary="Weight decay times half the squared norm is (d - 1)/2 times the noise temperature",
        worlds=[sgd_world(_protocol.key, ensemble=True)],
    )(_LAW[_protocol])
    derivation(
        "maxwell",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 4",
        summary=_MAXWELL_SUMMARY[_protocol],
        worlds=[entropy_world(_protocol.key)],
    )(_MAXWELL[_protocol])
