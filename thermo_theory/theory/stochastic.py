"""From the update to its stochastic differential equation: Ito's lemma for the norm, diffusion of the directions."""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.differentials import SurfaceIntegral
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    L,
    Pi,
    Sigma,
    Sigma_w,
    T,
    current,
    d,
    diffusion,
    diffusion_unit,
    drift,
    drift_squared,
    drift_unit,
    eq,
    eta,
    eta_eff,
    force,
    grad_L,
    grad_L_unit,
    grad_log_rho,
    lam,
    r,
    rho,
    sigma,
    t,
    tr_Sigma,
    w,
)
from thermo_theory.symbols.vectors import Apply, Div, Dot, Sandwich, Tr
from thermo_theory.worlds.densities import circle_world, flow_world
from thermo_theory.worlds.sgd import sgd_world

PAPER = "Sadrtdinov et al. 2025, arXiv 2511.07308"
PROTOCOL_WORLDS = {protocol: sgd_world(protocol.key) for protocol in (FixedSphere, FixedELR, FixedLR)}

_squared_norm = sp.Symbol("s", positive=True)

#: Helmholtz energy of the density at a time, at the temperature of now.
free_energy = sp.Function("F_T")


def _sde(chain: Chain, protocol: Protocol) -> None:
    mean = chain.definition(
        eq(drift, -eta * (grad_L + (0 if protocol is FixedSphere else lam * w))),
        "the mean update per iteration" + (", before the projection" if protocol is FixedSphere else ""),
    )
    square = chain.definition(
        eq(diffusion, eta**2 * Sigma_w + drift_squared),
        "mean square of an update: noise plus mean",
    )
    small = chain.assumption("continuous time", eq(drift_squared, 0), "the mean update is small beside the noise")
    noise = square.substitute(small)
    if protocol is FixedELR:
        rate = chain.definition(eq(eta, eta_eff * r**2), "the effective learning rate is held fixed")
        mean.substitute(rate)
        noise.substitute(rate)


def _ito_radius(chain: Chain, protocol: Protocol) -> None:
    mean = chain.claim("sde", protocol, about=drift)
    noise = chain.claim("sde", protocol, about=diffusion)
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    radial = chain.assumption("scale invariance", eq(Dot(w, grad_L), 0), "Euler: g.w = 0")
    unit = chain.assumption("scale invariance", eq(Tr(Sigma_w), tr_Sigma / r**2), "g ~ 1/r")
    growth = mean.ito_of_norm(noise, _squared_norm, _squared_norm, w, because="f = |w|^2")
    growth = growth.substitute(radial, because="the gradient does not change the norm")
    growth = growth.substitute(unit, because="but its noise makes it grow")
    growth.substitute(norm)


@derivation(
    "direction-diffusion",
    source=f"{PAPER}, Sec. 3",
    summary="The directions diffuse on the unit sphere with drift -eta_eff grad L and covariance eta_eff^2 Sigma",
    worlds=list(PROTOCOL_WORLDS.values()),
)
def _direction_diffusion(chain: Chain) -> None:
    mean = chain.claim("sde", FixedLR, about=drift)
    noise = chain.claim("sde", FixedLR, about=diffusion)
    along = chain.definition(eq(Apply(Pi, w), 0), "weights are normal to their sphere")
    tangent = chain.assumption("scale invariance", eq(Apply(Sigma_w, w), 0), "g.w = 0 in each batch")
    unit = chain.assumption("scale invariance", eq(Apply(Pi, grad_L), grad_L_unit / r), "g ~ 1/r")
    spread = chain.assumption("scale invariance", eq(Sandwich(Pi, Sigma_w), Sigma / r**2), "g.w = 0 and g ~ 1/r")
    rate = chain.definition(eq(eta, eta_eff * r**2), "the effective learning rate")
    moved = mean.ito_of_direction(noise, drift_unit, w, Pi, r)
    moved = moved.substitute(tangent, along, unit)
    moved.substitute(rate, because="drift along the sphere")
    spreading = noise.ito_square_of_direction(diffusion_unit, Pi, r)
    spreading = spreading.substitute(spread)
    spreading.substitute(rate, because="diffusion along the sphere")


@derivation(
    "stationary-distribution",
    source=f"{PAPER}, Sec. 3",
    summary="The stationary density of the directions is exp(-L/T)/Z with T = eta_eff sigma^2/2",
    worlds=[flow_world(FixedELR.key), circle_world],
)
def _stationary_distribution(chain: Chain) -> None:
    flow = chain.claim("direction-diffusion", about=drift_unit)
    spread = chain.claim("direction-diffusion", about=diffusion_unit)
    still = chain.assumption(
        "stationarity", eq(sp.Derivative(free_energy(t), t), 0), "the density, and with it F, no longer changes"
    )
    velocity = chain.definition(
        eq(drift_unit, current + (Div(diffusion_unit) + Apply(diffusion_unit, grad_log_rho)) / 2),
        "Fokker-Planck: the velocity v of the probability, rho v = rho b - div(rho D)/2 along the sphere",
    )
    isotropic = chain.assumption("isotropic noise", eq(Sigma, tr_Sigma / (d - 1) * Pi))
    homogeneous = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    round_ = chain.definition(eq(Div(Pi), 0), "the divergence of the projector is normal to the sphere")
    surface = chain.definition(eq(Apply(Pi, grad_log_rho), grad_log_rho), "a gradient on the sphere lies along it")
    noise = isotropic.substitute(homogeneous, because="the same everywhere and in every direction")
    spread = spread.substitute(noise)
    velocity = velocity.isolate(current).substitute(flow, spread).substitute(round_, surface)
    temperature = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature of this noise")
    velocity = velocity.substitute(temperature.solve_for(sigma))
    push = chain.definition(eq(force, grad_L_unit + T * grad_log_rho), "the gradient of L + T log rho")
    slope = push.solve_for(grad_L_unit)
    velocity = velocity.substitute(slope).expand()
    free = chain.definition(
        eq(free_energy(t), SurfaceIntegral(rho * (L + T * sp.log(rho)))),
        "F = U - T S of the density at a time, at the temperature of now",
    )
    rate = free.move_with_the_flow(current, grad_L_unit, grad_log_rho, rho, L, t)
    rate = rate.substitute(slope).expand()
    rate = rate.substitute(velocity)
    balance = rate.only_if_zero(still, push)
    balance = balance.isolate(grad_log_rho)
    balance.substitute(temperature, because="so rho ~ exp(-2 L/(eta_eff sigma^2))")


for _protocol, _world in PROTOCOL_WORLDS.items():
    derivation(
        "sde",
        protocol=_protocol,
        kind="definition",
        source=f"{PAPER}, Sec. 2",
        summary="SGD as a stochastic differential equation: drift and diffusion of the weights per iteration",
        worlds=[_world],
    )(_sde)
    derivation(
        "ito-radius",
        protocol=_protocol,
        source=f"{PAPER}, Sec. 3; Ito's lemma",
        summary="How the squared norm grows: weight decay shrinks it, gradient noise makes it grow",
        worlds=[_world],
        domain=[sp.Ge(lam, 0, evaluate=False)] if _protocol is not FixedSphere else (),
    )(_ito_radius)
