"""The von Mises-Fisher gas: the loss ``L = 1 - mu.w`` on the unit sphere, the one gas whose every number is known.

>>> from thermo_theory import derive, vmf
>>> derive("adiabatic-index").assumptions
('continuous time', 'scale invariance', 'isotropic noise', 'homogeneous noise', 'stationarity')

In three dimensions ``gamma = 1 + 1/(1 - (kappa/sinh kappa)^2)``; in any dimension it tends to 2 at low temperature:

>>> round(vmf.adiabatic_index(d=3, T=0.5), 12)
2.436961888766
>>> round(vmf.adiabatic_index(d=20, T=1e-4), 3)
2.001
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation, derive
from thermo_theory.engine.formula import Formula
from thermo_theory.numeric import vmf as numeric
from thermo_theory.numeric.vmf import free_energy, log_normalizer, mean_resultant_length
from thermo_theory.numeric.vmf_sampling import sample
from thermo_theory.protocols import FixedELR
from thermo_theory.symbols import C_V, C_p, L, R, T, V, d, eq, eta_eff, gamma, kappa, p, r, sigma, theta
from thermo_theory.theory.gases.vmf_steps import over_the_angle
from thermo_theory.worlds.vmf import (
    density,
    directions_entropy,
    gas_world,
    mean_cosine,
    partition,
    run_entropy,
    weights_entropy,
)
from thermo_theory.worlds.vmf import energy as energy_of

if TYPE_CHECKING:
    from thermo_theory.typed import adiabatic_index, energy, entropy, heat_capacity

__all__ = [
    "adiabatic_index",
    "energy",
    "entropy",
    "free_energy",
    "heat_capacity",
    "log_normalizer",
    "mean_resultant_length",
    "sample",
]

PAPER = "Sadrtdinov et al. 2025, arXiv 2511.07308"
DIRECTIONAL = "Mardia & Jupp 2000, Directional Statistics, Sec. 9.3"

A, Z = mean_cosine(kappa), partition(kappa)
_WORLD = gas_world((2, "0.45"), (4, "0.31"), (5, "0.87"))

#: Formulas of this module by name, and the derivations whose claims they are.
FORMULAS = {
    "energy": "vmf-energy",
    "entropy": "vmf-entropy",
    "heat_capacity": "vmf-heat-capacity",
    "adiabatic_index": "adiabatic-index",
}


def __getattr__(name: str) -> Formula:
    """Derive a formula when it is asked for.

    Raises
    ------
    AttributeError
        If the gas has no formula of that name.
    """
    if name not in FORMULAS:
        raise AttributeError(f"the von Mises-Fisher gas has no {name}; it has {', '.join(FORMULAS)}")
    return derive(FORMULAS[name]).claim


#: Area of the sphere of the other angles.
_OTHER_ANGLES = 2 * sp.pi ** ((d - 1) / 2) / sp.gamma((d - 1) / 2)
_BOLTZMANN = sp.exp(kappa * sp.cos(theta))
_COSINE_INTEGRAL = over_the_angle(sp.cos(theta) * _BOLTZMANN) / over_the_angle(_BOLTZMANN)


# Partition function, mean cosine, Riccati's equation ---------------------------------------------


@derivation(
    "vmf-riccati",
    source=f"{DIRECTIONAL}; DLMF 10.32.2, 10.29",
    summary="The mean cosine of the von Mises-Fisher gas and its slope: A' = 1 - A^2 - (d - 1) A/kappa",
    worlds=[_WORLD],
)
def _riccati(chain: Chain) -> None:
    total = chain.definition(
        eq(Z, _OTHER_ANGLES * over_the_angle(_BOLTZMANN)),
        "the integral of exp(kappa cos) over the sphere; the other angles give the area of a sphere",
    )
    mean = chain.definition(eq(A, _COSINE_INTEGRAL), "the mean cosine")
    slope = total.differentiate(kappa).divide(total, because="the slope of log Z")
    slope = slope.substitute(mean.flip())
    bessel = total.polar_integral()
    slope = slope.substitute(bessel).flip()
    ratio = slope.bessel_recurrences()
    rate = ratio.differentiate(kappa).bessel_recurrences()
    upper = ratio.solve_for(sp.besseli(d / 2, kappa))
    rate.substitute(upper, because="the Bessel functions drop out")


# Energy, entropy, heat capacity ------------------------------------------------------------------


def _gibbs_law(chain: Chain) -> tuple[Step, Step, Step, Step, Step]:
    """The Gibbs density with Z, loss, temperature, and the integrals of exp(kappa cos) without and with cos."""
    mean = chain.claim("vmf-riccati", about=_COSINE_INTEGRAL).scale(over_the_angle(_BOLTZMANN))
    total = chain.definition(eq(Z, _OTHER_ANGLES * over_the_angle(_BOLTZMANN)), "the partition function")
    loss = chain.definition(eq(L, 1 - sp.cos(theta)), "the loss 1 - mu.w falls with the angle to mu")
    heat = chain.definition(eq(T, 1 / kappa), "the concentration is the inverse temperature")
    law = chain.assumption(
        "Gibbs law",
        eq(density(theta), sp.exp(-L / T) / (_OTHER_ANGLES * over_the_angle(sp.exp(-L / T)))),
        "the density is exp(-L/T) over its integral",
    )
    law = law.substitute(loss, heat).linearity()
    norm = total.solve_for(over_the_angle(_BOLTZMANN))
    return law.substitute(norm).gather_powers(), loss, heat, norm, mean


@derivation(
    "vmf-energy",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The mean loss of the von Mises-Fisher gas is 1 minus the mean cosine, a ratio of Bessel functions",
    worlds=[_WORLD],
    kernel=numeric.energy,
    arguments=("d", "T"),
)
def _energy(chain: Chain) -> None:
    cosine = chain.claim("vmf-riccati", about=A)
    average = chain.definition(
        eq(energy_of(T), _OTHER_ANGLES * over_the_angle(L * density(theta))), "the mean loss, at a norm that is held"
    )
    law, loss, heat, norm, mean = _gibbs_law(chain)
    put = average.substitute(law, loss, heat).linearity()
    put = put.substitute(mean).substitute(norm).gather_powers()
    inverse = heat.solve_for(kappa)
    put.substitute(inverse).substitute(cosine.substitute(inverse))


@derivation(
    "vmf-entropy",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The entropy of the directions is -log C_d - kappa A_d",
    worlds=[_WORLD],
    kernel=numeric.entropy,
    arguments=("d", "T"),
)
def _entropy(chain: Chain) -> None:
    cosine, closed = chain.claim("vmf-riccati", about=A), chain.claim("vmf-riccati", about=Z)
    entropy = chain.definition(
        eq(directions_entropy(T), -_OTHER_ANGLES * over_the_angle(density(theta) * sp.log(density(theta)))),
        "minus the mean log density, at a norm that is held",
    )
    law, _, heat, norm, mean = _gibbs_law(chain)
    put = entropy.substitute(law, heat).linearity()
    put = put.substitute(mean).substitute(norm)
    put = put.gather_powers(because="log Z - kappa A, with C_d = 1/Z")
    inverse = heat.solve_for(kappa)
    parts = [part.substitute(inverse) for part in (closed, cosine)]
    put.substitute(inverse).substitute(*parts).expand_logs()


@derivation(
    "vmf-heat-capacity",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The heat capacity at constant volume, C_V = kappa^2 (1 - A^2 - (d - 1) A/kappa), kappa = 1/T",
    worlds=[_WORLD],
    kernel=numeric.heat_capacity,
    arguments=("d", "T"),
)
def _heat_capacity(chain: Chain) -> None:
    mean = chain.claim("vmf-energy", about=energy_of(1 / kappa))
    riccati = chain.claim("vmf-riccati")
    capacity = chain.definition(
        eq(C_V, sp.Derivative(energy_of(T), T)),
        "energy for a change of temperature, at a norm that is held",
    )
    inverse = chain.definition(eq(kappa, 1 / T), "the concentration is the inverse temperature")
    slope = mean.substitute(inverse).differentiate(T)
    capacity.substitute(slope.put_slopes(riccati))


# Adiabatic index ---------------------------------------------------------------------------------


@derivation(
    "vmf-first-law",
    source=f"{PAPER}; Clausius",
    summary="The heat of the directions per change of temperature, T dS_sphere/dT, is the heat capacity: dU = T dS",
    worlds=[_WORLD],
)
def _first_law(chain: Chain) -> None:
    riccati = chain.claim("vmf-riccati")
    inverse = chain.definition(eq(kappa, 1 / T), "the concentration is the inverse temperature")
    entropy = chain.claim("vmf-entropy", about=directions_entropy(1 / kappa))
    log_slope = chain.claim("vmf-riccati", about=sp.Derivative(Z, kappa) / Z)
    capacity = chain.claim("vmf-heat-capacity")
    slope = entropy.substitute(inverse).differentiate(T)
    by_z = log_slope.scale(Z)
    heat = slope.put_slopes(by_z, riccati).scale(T)
    heat.substitute(capacity.flip(), because="dU = T dS_sphere")


@derivation(
    "adiabatic-index",
    source=f"{PAPER}, Sec. 4",
    summary="The adiabatic index of the von Mises-Fisher gas in any dimension at any temperature",
    worlds=[_WORLD],
    kernel=numeric.adiabatic_index,
    arguments=("d", "T"),
)
def _adiabatic_index(chain: Chain) -> None:
    temperature = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature of the noise")
    slope = chain.claim("stationary-distribution").substitute(temperature.solve_for(sigma))
    proof = {"Gibbs law": slope.along_the_meridian(density(theta), L, _OTHER_ANGLES, because="the Gibbs law")}
    cosine, capacity = chain.claim("vmf-riccati", about=A), chain.claim("vmf-heat-capacity", given=proof)
    heat = chain.claim("vmf-first-law", given=proof)
    inverse = chain.definition(eq(kappa, 1 / T), "the concentration is the inverse temperature")
    whole = chain.definition(
        eq(weights_entropy(T, p), run_entropy(T, p) + (d - 1) * sp.log(r)),
        "the entropy of the directions on the unit sphere, and the part of the norm",
    )
    alike = chain.assumption(
        "scale invariance", eq(run_entropy(T, p), directions_entropy(T)), "the directions do not feel the norm"
    )
    volume = chain.definition(eq(V, r**2 / 2), "half the squared norm")
    law = chain.claim("ideal-gas-law", FixedELR)
    constant = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    pressed = chain.definition(
        eq(C_p, T * sp.Derivative(weights_entropy(T, p), T)), "heat for a change of temperature at constant pressure"
    )
    index = chain.definition(eq(gamma, C_p / C_V), "the adiabatic index")
    radius = law.substitute(volume).solve_for(r)
    whole = whole.substitute(alike, radius)
    growth = whole.differentiate(T).scale(T)
    growth = growth.substitute(heat)
    pressed = pressed.substitute(growth)
    twice = constant.solve_for(d)
    pressed = pressed.substitute(twice, because="C_p - C_V = R")
    index = index.substitute(pressed).expand()
    index = index.substitute(constant)
    closed = cosine.substitute(inverse)
    index.substitute(capacity.substitute(closed))
