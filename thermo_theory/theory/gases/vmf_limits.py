"""The von Mises-Fisher gas in the cold, in many dimensions, and along an adiabat.

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
from thermo_theory.engine.operations import differentiate, expand, flip, scale, simplify, solve_for, substitute
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import C_V, C_p, R, T, d, eta, gamma, kappa, lam, r, reduced
from thermo_theory.theory.gases.vmf import PAPER, A, Z
from thermo_theory.theory.gases.vmf_series import (
    change_variable,
    collect_logs,
    leading_log,
    over_gas_constant,
    put_expansion,
    put_many_dimensions,
    put_series,
    put_truncated,
    solve_in_dimensions,
    solve_in_powers,
)
from thermo_theory.theory.gases.vmf_steps import divide, put_slopes
from thermo_theory.worlds.vmf import (
    adiabat,
    adiabat_world,
    cosine_of_reduced,
    directions_entropy,
    energy,
    gas_world,
    weights_entropy,
)

__all__: list[str] = []

THIS = "this toolkit, THEORY.md Sec. 2"

_a = cosine_of_reduced(reduced)


def _index(chain: Chain) -> tuple[Step, Step]:
    """The adiabatic index as 1 + R/C_V, and R."""
    pressed = chain.claim("adiabatic-index", about=C_p)
    constant = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "the gas constant")
    index = chain.definition(sp.Eq(gamma, C_p / C_V, evaluate=False), "the adiabatic index")
    return chain.do(expand, chain.do(substitute, index, pressed)), constant


# Low temperature ---------------------------------------------------------------------------------


def _low_temperature(chain: Chain) -> None:
    riccati, capacity = chain.claim("vmf-riccati"), chain.claim("vmf-heat-capacity")
    loss = chain.claim("vmf-energy", about=energy(1 / kappa))
    entropy = chain.claim("vmf-entropy", about=directions_entropy(1 / kappa))
    total = chain.claim("vmf-riccati", about=Z)
    index, constant = _index(chain)
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    directions = chain.do(solve_for, constant, d)
    far = chain.do(solve_in_powers, riccati, A, 5)
    chain.do(put_series, chain.do(substitute, loss, inverse), far, T, 3, because="the energy: U = R T - ...")
    entropy = chain.do(put_truncated, entropy, chain.do(leading_log, total), far)
    entropy = chain.do(put_truncated, chain.do(substitute, entropy, inverse), directions)
    chain.do(collect_logs, entropy, because="the entropy: R log(2 pi e T)")
    cold = chain.do(put_series, capacity, far, T)
    chain.do(over_gas_constant, cold, constant, because="the heat capacity, in units of R")
    index = chain.do(substitute, index, constant)
    chain.do(put_expansion, index, cold, T, because="the adiabatic index: 2 in the cold")


# Many dimensions ---------------------------------------------------------------------------------


def _large_dimension(chain: Chain) -> None:
    riccati, capacity = chain.claim("vmf-riccati"), chain.claim("vmf-heat-capacity")
    loss = chain.claim("vmf-energy", about=energy(1 / kappa))
    index, constant = _index(chain)
    heat = chain.definition(sp.Eq(T, reduced / d, evaluate=False), "the temperature that keeps up with the dimension")
    inverse = chain.definition(sp.Eq(kappa, d / reduced, evaluate=False), "the same, as a concentration")
    named = chain.definition(sp.Eq(_a, A.func(d / reduced), evaluate=False), "the mean cosine at that temperature")
    back = chain.do(flip, named)
    slope = chain.do(change_variable, riccati, named, reduced)
    many = chain.do(solve_in_dimensions, slope, _a, 1)
    loss = chain.do(substitute, chain.do(substitute, loss, inverse), back)
    chain.do(put_many_dimensions, loss, many, because="the energy")
    capacity = chain.do(substitute, chain.do(substitute, capacity, heat), back)
    share = chain.do(over_gas_constant, capacity, constant)
    share = chain.do(put_many_dimensions, share, many, because="the heat capacity, in units of R")
    chain.do(put_many_dimensions, index, share, because="the adiabatic index: 2 only while T is far below 1/d")


# Adiabat -----------------------------------------------------------------------------------------

_S = weights_entropy(eta, lam)


def _adiabat(chain: Chain) -> None:
    radius, heat = chain.claim("radius", FixedLR), chain.claim("temperature", FixedLR)
    law = chain.claim("vmf-first-law")
    entropy = chain.definition(
        sp.Eq(_S, directions_entropy(T) + (d - 1) * sp.log(r), evaluate=False),
        "the entropy of the directions, and of the sphere they lie on",
    )
    directions = chain.definition(sp.Eq(d, 2 * R + 1, evaluate=False), "the gas constant is half the directions")
    line = chain.definition(
        sp.Eq(sp.Derivative(adiabat(lam), lam), -sp.Derivative(_S, lam) / sp.Derivative(_S, eta), evaluate=False),
        "along an adiabat eta(lambda) the entropy stays",
    )
    warming = chain.do(solve_for, law, sp.Derivative(directions_entropy(T), T))
    entropy = chain.do(substitute, entropy, heat, radius)
    slopes = []
    for variable in (eta, lam):
        slope = chain.do(put_slopes, chain.do(differentiate, entropy, variable), warming)
        slope = chain.do(expand, chain.do(scale, slope, variable))
        slopes.append(chain.do(expand, chain.do(substitute, slope, directions)))
    by_rate, by_decay = slopes
    ratio = chain.do(divide, by_decay, by_rate)
    line = chain.do(substitute, chain.do(scale, line, lam / eta), ratio)
    chain.do(simplify, line, because="0 only where C_V is R, in the cold: there changing lambda keeps S")


derivation(
    "vmf-low-temperature",
    kind="physics",
    source=f"{PAPER}, Sec. 4; {THIS}",
    summary="Energy, entropy, heat capacity and adiabatic index of the cold von Mises-Fisher gas in any dimension, as "
    "series in T, from Riccati's equation of the mean cosine; they need T far below 2/d",
    worlds=[gas_world((2, "0.45"), (4, "0.31"), (7, "0.87"))],
)(_low_temperature)

derivation(
    "vmf-large-dimension",
    kind="physics",
    source=THIS,
    summary="Energy, heat capacity and adiabatic index of the von Mises-Fisher gas in many dimensions at T = y/d",
    worlds=[gas_world((4, "0.8"), (6, "2.5"), (9, "7"), large=True)],
)(_large_dimension)

derivation(
    "vmf-adiabat",
    kind="physics",
    source=f"{PAPER}, Sec. 4; {THIS}",
    summary="The entropy of the von Mises-Fisher gas at fixed LR changes by (C_V - R)/2 with log lambda and by "
    "(C_V + R)/2 with log eta, at any temperature; so dlog eta/dlog lambda along an adiabat is (R - C_V)/(R + C_V)",
    worlds=[adiabat_world],
)(_adiabat)
