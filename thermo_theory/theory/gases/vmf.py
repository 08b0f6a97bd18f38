"""The von Mises-Fisher gas: the loss ``L = 1 - mu.w`` on the unit sphere, the one gas whose every number is known.

>>> from thermo_theory import derive, vmf
>>> derive("adiabatic-index").assumptions
('Gibbs law', 'ideal gas law')

In three dimensions ``gamma = 1 + 1/(1 - (kappa/sinh kappa)^2)``; everywhere it tends to 2 in the cold:

>>> round(vmf.adiabatic_index(d=3, T=0.5), 12)
2.436961888766
>>> round(vmf.adiabatic_index(d=20, T=1e-4), 3)
2.001
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation, derive
from thermo_theory.engine.formula import Formula
from thermo_theory.engine.operations import differentiate, expand, flip, scale, solve_for, substitute
from thermo_theory.numeric import vmf as numeric
from thermo_theory.numeric.vmf_sampling import sample
from thermo_theory.symbols import C_V, C_p, L, R, T, V, d, gamma, kappa, p, r, theta
from thermo_theory.theory.gases.vmf_steps import (
    bessel_recurrences,
    divide,
    expand_logs,
    gather_powers,
    linearity,
    over_the_angle,
    polar_integral,
    put_slopes,
)
from thermo_theory.worlds.vmf import (
    density,
    directions_entropy,
    gas_world,
    mean_cosine,
    partition,
    weights_entropy,
)
from thermo_theory.worlds.vmf import (
    energy as energy_of,
)

__all__ = ["adiabatic_index", "energy", "entropy", "heat_capacity", "sample"]

PAPER = "Sadrtdinov et al. 2025, arXiv 2511.07308"
DIRECTIONAL = "Mardia & Jupp 2000, Directional Statistics, Sec. 9.3"

A, Z = mean_cosine(kappa), partition(kappa)
_WORLD = gas_world((2, "0.45"), (4, "0.31"), (5, "0.87"))

#: Formulas of this module by name, and the derivations whose claims they are.
_FORMULAS = {
    "energy": "vmf-energy",
    "entropy": "vmf-entropy",
    "heat_capacity": "vmf-heat-capacity",
    "adiabatic_index": "adiabatic-index",
}

energy: Formula
entropy: Formula
heat_capacity: Formula
adiabatic_index: Formula


def __getattr__(name: str) -> Formula:
    """Derive a formula when it is asked for.

    Raises
    ------
    AttributeError
        If the gas has no formula of that name.
    """
    if name not in _FORMULAS:
        raise AttributeError(f"the von Mises-Fisher gas has no {name}; it has {', '.join(_FORMULAS)}")
    return derive(_FORMULAS[name]).claim


#: Area of the sphere of the other angles.
_OTHER_ANGLES = 2 * sp.pi ** ((d - 1) / 2) / sp.gamma((d - 1) / 2)
_BOLTZMANN = sp.exp(kappa * sp.cos(theta))
_COSINE_INTEGRAL = over_the_angle(sp.cos(theta) * _BOLTZMANN) / over_the_angle(_BOLTZMANN)


# Partition function, mean cosine, Riccati's equation ---------------------------------------------


def _riccati(chain: Chain) -> None:
    total = chain.definition(
        sp.Eq(Z, _OTHER_ANGLES * over_the_angle(_BOLTZMANN), evaluate=False),
        "the integral of exp(kappa cos) over the sphere, the other angles done: the area of a sphere",
    )
    mean = chain.definition(
        sp.Eq(A, _COSINE_INTEGRAL, evaluate=False),
        "the mean cosine",
    )
    slope = chain.do(divide, chain.do(differentiate, total, kappa), total, because="the slope of log Z")
    slope = chain.do(substitute, slope, chain.do(flip, mean))
    bessel = chain.do(polar_integral, total)
    slope = chain.do(flip, chain.do(substitute, slope, bessel))
    ratio = chain.do(bessel_recurrences, slope)
    rate = chain.do(bessel_recurrences, chain.do(differentiate, ratio, kappa))
    upper = chain.do(solve_for, ratio, sp.besseli(d / 2, kappa))
    chain.do(substitute, rate, upper, because="the Bessel functions drop out")


derivation(
    "vmf-riccati",
    kind="identity",
    source=f"{DIRECTIONAL}; DLMF 10.32.2, 10.29",
    summary="The mean cosine of the von Mises-Fisher gas and its slope: A' = 1 - A^2 - (d - 1) A/kappa",
    worlds=[_WORLD],
)(_riccati)


# Energy, entropy, heat capacity ------------------------------------------------------------------


def _loss_and_heat(chain: Chain) -> tuple[Step, Step]:
    """Loss and temperature."""
    loss = chain.definition(sp.Eq(L, 1 - sp.cos(theta), evaluate=False), "the loss 1 - mu.w falls with the angle to mu")
    heat = chain.definition(sp.Eq(T, 1 / kappa, evaluate=False), "the concentration is the inverse temperature")
    return loss, heat


def _energy(chain: Chain) -> None:
    cosine = chain.claim("vmf-riccati", about=A)
    mean = chain.claim("vmf-riccati", about=_COSINE_INTEGRAL)
    loss, heat = _loss_and_heat(chain)
    weight = sp.exp(-L / T)
    law = chain.assumption(
        "Gibbs law",
        sp.Eq(energy_of(T), over_the_angle(L * weight) / over_the_angle(weight), evaluate=False),
        "the mean loss under exp(-L/T)",
    )
    put = chain.do(linearity, chain.do(substitute, law, loss, heat))
    put = chain.do(substitute, put, mean)
    inverse = chain.do(solve_for, heat, kappa)
    chain.do(substitute, chain.do(substitute, put, inverse), chain.do(substitute, cosine, inverse))


derivation(
    "vmf-energy",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The mean loss of the von Mises-Fisher gas is 1 less the mean cosine, a ratio of Bessel functions",
    worlds=[_WORLD],
    kernel=numeric.energy,
    arguments=("d", "T"),
)(_energy)


def _entropy(chain: Chain) -> None:
    cosine = chain.claim("vmf-riccati", about=A)
    mean = chain.claim("vmf-riccati", about=_COSINE_INTEGRAL)
    closed = chain.claim("vmf-riccati", about=Z)
    total = chain.definition(
        sp.Eq(Z, _OTHER_ANGLES * over_the_angle(_BOLTZMANN), evaluate=False), "the partition function"
    )
    loss, heat = _loss_and_heat(chain)
    entropy = chain.definition(
        sp.Eq(
            directions_entropy(T),
            -_OTHER_ANGLES * over_the_angle(density(theta) * sp.log(density(theta))),
            evaluate=False,
        ),
        "minus the mean log density",
    )
    law = chain.assumption(
        "Gibbs law",
        sp.Eq(density(theta), sp.exp(-L / T) / (_OTHER_ANGLES * over_the_angle(sp.exp(-L / T))), evaluate=False),
        "the density is exp(-L/T) over its integral",
    )
    law = chain.do(linearity, chain.do(substitute, law, loss, heat))
    norm = chain.do(solve_for, total, over_the_angle(_BOLTZMANN))
    law = chain.do(gather_powers, chain.do(substitute, law, norm))
    put = chain.do(linearity, chain.do(substitute, entropy, law, heat))
    part = chain.do(scale, mean, over_the_angle(_BOLTZMANN))
    put = chain.do(substitute, chain.do(substitute, put, part), norm)
    put = chain.do(gather_powers, put, because="log Z - kappa A, with C_d = 1/Z")
    inverse = chain.do(solve_for, heat, kappa)
    parts = [chain.do(substitute, part, inverse) for part in (closed, cosine)]
    chain.do(expand_logs, chain.do(substitute, chain.do(substitute, put, inverse), *parts))


derivation(
    "vmf-entropy",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The entropy of the directions is -log C_d - kappa A_d",
    worlds=[_WORLD],
    kernel=numeric.entropy,
    arguments=("d", "T"),
)(_entropy)


def _heat_capacity(chain: Chain) -> None:
    mean = chain.claim("vmf-energy", about=energy_of(1 / kappa))
    riccati = chain.claim("vmf-riccati")
    capacity = chain.definition(
        sp.Eq(C_V, sp.Derivative(energy_of(T), T), evaluate=False),
        "energy for a change of temperature; the norm of the weights is held, and the energy does not depend on it",
    )
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    slope = chain.do(differentiate, chain.do(substitute, mean, inverse), T)
    chain.do(substitute, capacity, chain.do(put_slopes, slope, riccati))


derivation(
    "vmf-heat-capacity",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The heat capacity at constant volume, C_V = kappa^2 (1 - A^2 - (d - 1) A/kappa), kappa = 1/T",
    worlds=[_WORLD],
    kernel=numeric.heat_capacity,
    arguments=("d", "T"),
)(_heat_capacity)


# Adiabatic index ---------------------------------------------------------------------------------


def _first_law(chain: Chain) -> None:
    riccati = chain.claim("vmf-riccati")
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    entropy = chain.claim("vmf-entropy", about=directions_entropy(1 / kappa))
    log_slope = chain.claim("vmf-riccati", about=sp.Derivative(Z, kappa) / Z)
    capacity = chain.claim("vmf-heat-capacity")
    slope = chain.do(differentiate, chain.do(substitute, entropy, inverse), T)
    by_z = chain.do(scale, log_slope, Z)
    heat = chain.do(scale, chain.do(put_slopes, slope, by_z, riccati), T)
    chain.do(substitute, heat, chain.do(flip, capacity), because="dU = T dS_sphere")


derivation(
    "vmf-first-law",
    kind="physics",
    source=f"{PAPER}; Clausius",
    summary="The heat of the directions a change of temperature, T dS_sphere/dT, is the heat capacity: dU = T dS",
    worlds=[_WORLD],
)(_first_law)


def _adiabatic_index(chain: Chain) -> None:
    cosine, capacity = chain.claim("vmf-riccati", about=A), chain.claim("vmf-heat-capacity")
    heat = chain.claim("vmf-first-law")
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    whole = chain.definition(
        sp.Eq(weights_entropy(T, p), directions_entropy(T) + (d - 1) * sp.log(r), evaluate=False),
        "the entropy of the directions, and of the sphere they lie on",
    )
    volume = chain.definition(sp.Eq(V, r**2 / 2, evaluate=False), "half the squared norm")
    law = chain.assumption("ideal gas law", sp.Eq(p * V, R * T, evaluate=False))
    constant = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "the gas constant")
    pressed = chain.definition(
        sp.Eq(C_p, T * sp.Derivative(weights_entropy(T, p), T), evaluate=False),
        "heat for a change of temperature at constant pressure",
    )
    index = chain.definition(sp.Eq(gamma, C_p / C_V, evaluate=False), "the adiabatic index")
    radius = chain.do(solve_for, chain.do(substitute, law, volume), r)
    whole = chain.do(substitute, whole, radius)
    growth = chain.do(scale, chain.do(differentiate, whole, T), T)
    growth = chain.do(substitute, growth, heat)
    pressed = chain.do(substitute, pressed, growth)
    twice = chain.do(solve_for, constant, d)
    pressed = chain.do(substitute, pressed, twice, because="C_p - C_V = R")
    index = chain.do(expand, chain.do(substitute, index, pressed))
    index = chain.do(substitute, index, constant)
    closed = chain.do(substitute, cosine, inverse)
    chain.do(substitute, index, chain.do(substitute, capacity, closed))


derivation(
    "adiabatic-index",
    kind="physics",
    source=f"{PAPER}, Sec. 4",
    summary="The adiabatic index of the von Mises-Fisher gas in any dimension at any temperature",
    worlds=[_WORLD],
    kernel=numeric.adiabatic_index,
    arguments=("d", "T"),
)(_adiabatic_index)
