"""Real gases: why a scale-invariant network cannot be one, and what a length scale adds.

>>> from thermo_theory import derive
>>> derive("length-scale").claim(R=50.0, T=0.01, V=0.5, eps=0.1, stretch=-0.2)
1.0181...
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import (
    V0,
    R,
    Sigma_w,
    T,
    T_c,
    V,
    V_c,
    Z_c,
    c,
    d,
    diffusion,
    drift,
    eps,
    eq,
    eta,
    grad_L,
    lam,
    p,
    p_c,
    r,
    stretch,
    vdw_a,
    vdw_b,
    w,
)
from thermo_theory.symbols.vectors import Dot, Generator, Tr
from thermo_theory.worlds.real import length_scale_world, van_der_waals_world, volume_world

__all__: list[str] = []

_squared_norm = sp.Symbol("s", positive=True)
_p, _Z = sp.Function("p"), sp.Function("Z")
_p_vdw = sp.Function("p_W")(T, V)


@operation("critical point: the slope and the curvature of p over V vanish")
def critical_point(equation: sp.Eq, wanted: sp.Symbol) -> sp.Eq:
    """Volume, temperature or pressure at which an isotherm p(V) has a level point of inflection."""
    level = [sp.diff(equation.rhs, V, order) for order in (1, 2)]
    heat = sp.solve(level[0], T)
    if len(heat) != 1:
        raise OperationError(f"{equation} has {len(heat)} temperatures with a level isotherm")
    places = sp.solve(level[1].subs(T, heat[0]), V)
    if len(places) != 1 or not places[0].is_positive:
        raise OperationError(f"{equation} has {len(places)} critical points")
    at_place = sp.simplify(heat[0].subs(V, places[0]))
    found = {V_c: places[0], T_c: at_place, p_c: sp.simplify(equation.rhs.subs({T: at_place, V: places[0]}))}
    return eq(wanted, found[wanted])


@derivation(
    "real-gas",
    source="this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308); van der Waals 1873",
    summary="A scale-invariant network is no real gas: its compressibility factor depends on T alone, so every virial "
    "coefficient, and van der Waals' a and b, are zero, for any noise and any step size (length-scale: what one adds)",
    worlds=[volume_world, van_der_waals_world],
)
def _real_gas(chain: Chain) -> None:
    # Reference: van der Waals.
    gas = chain.definition(
        eq(_p_vdw, R * T / (V - vdw_b) - vdw_a / V**2),
        "for reference: van der Waals' gas, of excluded volume b and attraction a",
    )
    for wanted in (V_c, T_c, p_c):
        gas.critical_point(wanted)
    factor = chain.definition(eq(Z_c, _p_vdw * V / (R * T)), "its compressibility factor")
    factor = factor.substitute(gas).expand()
    factor.series(V, sp.oo, 3, because="its virial coefficients: b - a/(R T), b^2, ..., zero only if a = b = 0")
    # A scale-invariant network.
    network = chain.definition(
        eq(_Z(T, V), _p(T, V) * V / (R * T)),
        "a network's, with the weight decay p that holds the volume V at the noise temperature T",
    )
    symmetric = chain.assumption(
        "scale invariance",
        eq(_p(T, c**2 * V), _p(T, V) / c**2),
        "(w, eta, lambda) -> (c w, c^2 eta, lambda/c^2) has the same directions and T",
    )
    larger = network.at_once({V: c**2 * V}).substitute(symmetric)
    larger = larger.choose(c, sp.sqrt(V0 / V))
    there = network.solve_for(_p(T, V))
    larger.substitute(
        there, because="Z does not change with the volume: no virial coefficient, no a, no b, whatever the noise"
    )


@derivation(
    "length-scale",
    source="Clausius' virial; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="A length scale makes a real gas: with normalisation by sqrt(r^2 + eps) the compressibility factor depends "
    "on the volume, to first order by a second virial coefficient -eps D_h/(4 R T)",
    worlds=[length_scale_world],
    domain=[stretch * eps < 2 * R * T * (2 * V + eps), sp.Ge(eps, 0, evaluate=False)],
)
def _length_scale(chain: Chain) -> None:
    mean, noise = chain.claim("sde", FixedLR, about=drift), chain.claim("sde", FixedLR, about=diffusion)
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    still = chain.assumption("stationarity", eq(Generator(r**2), 0), "the norm is constant")
    heat = chain.definition(eq(T, eta * Tr(Sigma_w) / (2 * (d - 1))), "the temperature, for arbitrary noise")
    push = chain.assumption(
        "normalised weights",
        eq(Dot(w, grad_L), eps / (r**2 + eps) * stretch),
        "the chain rule for h = w/sqrt(r^2 + eps)",
    )
    size = chain.definition(eq(V, r**2 / 2), "the volume")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    factor = chain.definition(eq(Z_c, p * V / (R * T)), "the compressibility factor")
    growth = mean.ito_of_norm(noise, _squared_norm, _squared_norm, w, because="f = |w|^2")
    growth = growth.substitute(norm)
    growth = growth.substitute(still, push, heat.solve_for(Tr(Sigma_w)))
    growth = growth.substitute(size.solve_for(r), directions.solve_for(d))
    decay = growth.solve_for(lam)
    factor = factor.substitute(pressure.substitute(decay)).expand()
    factor = factor.simplify()
    factor.series(eps, 0, 2, because="a second virial coefficient -eps D_h/(4 R T), as of attraction")
    factor.apart()


@operation("take out 1")
def apart(equation: sp.Eq) -> sp.Eq:
    """Write the right-hand side as 1 and the rest."""
    return eq(equation.lhs, 1 + sp.factor(equation.rhs - 1))
