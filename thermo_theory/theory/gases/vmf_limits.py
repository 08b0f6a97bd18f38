"""The von Mises-Fisher gas at low temperature, in many dimensions, and along an adiabat.

>>> from thermo_theory import derive
>>> derive("vmf-adiabat").claim(C_V=3.0, R=5.0)
0.25

In many dimensions, at ``T = y/d``, the index is ``2 + y (y + sqrt(y^2 + 4))/4``; with y = 3/2 that is 7/2:

>>> from thermo_theory import vmf
>>> from thermo_theory.symbols import reduced
>>> derive("vmf-large-dimension").claim.equation.rhs.removeO().subs(reduced, 1.5)
3.50000000000000
>>> round(vmf.adiabatic_index(d=1e6, T=1.5e-6), 5)
3.5
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import C_V, C_p, R, S, T, d, eq, eta, gamma, kappa, lam, r, reduced, theta
from thermo_theory.theory.gases import vmf_series  # noqa: F401 (its operations)
from thermo_theory.theory.gases.vmf import PAPER, A, Z
from thermo_theory.worlds.vmf import (
    adiabat,
    adiabat_world,
    cosine_of_reduced,
    density,
    directions_entropy,
    energy,
    gas_world,
    run_entropy,
    weights_entropy,
)

__all__: list[str] = []

THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"

_a = cosine_of_reduced(reduced)


def _gibbs(chain: Chain) -> dict[str, Step]:
    """The Gibbs law, proved."""
    return {"Gibbs law": chain.claim("adiabatic-index", about=density(theta))}


def _index(chain: Chain) -> tuple[Step, Step]:
    """The adiabatic index as 1 + R/C_V, and R."""
    pressed = chain.claim("adiabatic-index", about=C_p)
    constant = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    index = chain.definition(eq(gamma, C_p / C_V), "the adiabatic index")
    return index.substitute(pressed).expand(), constant


# Low temperature ---------------------------------------------------------------------------------


@derivation(
    "vmf-low-temperature",
    source=f"{PAPER}, Sec. 4; {THIS}",
    summary="Energy, entropy, heat capacity and adiabatic index of the von Mises-Fisher gas at low temperature in "
    "any dimension, as "
    "series in T, from Riccati's equation of the mean cosine; they need T far below 2/d",
    worlds=[gas_world((2, "0.45"), (4, "0.31"), (7, "0.87"))],
    domain=[T * d < 1],  # from about 2 on the terms grow with their order
)
def _low_temperature(chain: Chain) -> None:
    proof = _gibbs(chain)
    riccati, capacity = chain.claim("vmf-riccati"), chain.claim("vmf-heat-capacity", given=proof)
    loss = chain.claim("vmf-energy", about=energy(1 / kappa), given=proof)
    entropy = chain.claim("vmf-entropy", about=directions_entropy(1 / kappa), given=proof)
    total = chain.claim("vmf-riccati", about=Z)
    index, constant = _index(chain)
    inverse = chain.definition(eq(kappa, 1 / T), "the concentration is the inverse temperature")
    directions = constant.solve_for(d)
    far = riccati.solve_in_powers(A, 5)
    loss.substitute(inverse).put_series(far, T, 3, because="the energy: U = R T - ...")
    entropy = entropy.put_truncated(total.leading_log(), far)
    entropy = entropy.substitute(inverse).put_truncated(directions)
    entropy.collect_logs(because="the entropy: R log(2 pi e T)")
    cold = capacity.put_series(far, T)
    cold.over_gas_constant(constant, because="the heat capacity, in units of R")
    index = index.substitute(constant)
    index.put_expansion(cold, T, because="the adiabatic index: 2 at low temperature")


# Many dimensions ---------------------------------------------------------------------------------


@derivation(
    "vmf-large-dimension",
    source=THIS,
    summary="Energy, heat capacity and adiabatic index of the von Mises-Fisher gas in many dimensions at T = y/d",
    worlds=[gas_world((4, "0.8"), (6, "2.5"), (9, "7"), large=True)],
)
def _large_dimension(chain: Chain) -> None:
    proof = _gibbs(chain)
    riccati, capacity = chain.claim("vmf-riccati"), chain.claim("vmf-heat-capacity", given=proof)
    loss = chain.claim("vmf-energy", about=energy(1 / kappa), given=proof)
    index, constant = _index(chain)
    heat = chain.definition(eq(T, reduced / d), "a temperature that scales with the dimension")
    inverse = chain.definition(eq(kappa, d / reduced), "the same, as a concentration")
    named = chain.definition(eq(_a, A.func(d / reduced)), "the mean cosine at that temperature")
    back = named.flip()
    slope = riccati.change_variable(named, reduced)
    many = slope.solve_in_dimensions(_a, 1)
    loss = loss.substitute(inverse).substitute(back)
    loss.put_many_dimensions(many, because="the energy")
    capacity = capacity.substitute(heat).substitute(back)
    share = capacity.over_gas_constant(constant)
    share = share.put_many_dimensions(many, because="the heat capacity, in units of R")
    index.put_many_dimensions(share, because="the adiabatic index: 2 only while T is far below 1/d")


# Adiabat -----------------------------------------------------------------------------------------

_S = weights_entropy(eta, lam)


@derivation(
    "vmf-adiabat",
    source=f"{PAPER}, Sec. 4; {THIS}",
    summary="The entropy of the von Mises-Fisher gas at fixed LR changes by (C_V - R)/2 with log lambda and by "
    "(C_V + R)/2 with log eta, at any temperature; so dlog eta/dlog lambda along an adiabat is (R - C_V)/(R + C_V)",
    worlds=[adiabat_world],
)
def _adiabat(chain: Chain) -> None:
    radius, heat = chain.claim("radius", FixedLR), chain.claim("temperature", FixedLR)
    law = chain.claim("vmf-first-law", given=_gibbs(chain))
    entropy = chain.definition(
        eq(_S, run_entropy(eta, lam) + (d - 1) * sp.log(r)),
        "the entropy of the directions on the unit sphere, and the part of the norm",
    )
    alike = chain.assumption(
        "scale invariance", eq(run_entropy(eta, lam), directions_entropy(T)), "the directions do not feel the norm"
    )
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    line = chain.definition(eq(_S.subs(eta, adiabat(lam)), S), "along an adiabat eta(lambda) the entropy is constant")
    line = line.slope_of_level_line(adiabat(lam), eta)
    warming = law.solve_for(sp.Derivative(directions_entropy(T), T))
    entropy = entropy.substitute(alike, heat, radius)
    slopes = []
    for variable in (eta, lam):
        slope = entropy.differentiate(variable).put_slopes(warming)
        slopes.append(slope.scale(variable).substitute(directions))
    by_rate, by_decay = slopes
    ratio = by_decay.divide(by_rate)
    line = line.scale(lam / eta).substitute(ratio)
    line.simplify(because="0 only at low temperature, where C_V = R: there changing lambda keeps S constant")
