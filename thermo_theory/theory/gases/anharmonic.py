"""How the heat capacity leaves that of the ideal gas: wells that are not quadratic, to first order in T.

>>> from thermo_theory import derive
>>> round(derive("anharmonic-well").claim(T=0.01, h=1.0, third=0.0, fourth=6.0), 12)  # 1/2 - 6/4 T
0.485
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import (
    C_V,
    L,
    L_quartic,
    R,
    Sigma_w,
    T,
    diffusion,
    drift,
    eq,
    eta,
    fourth,
    grad_L,
    h,
    softness,
    squared,
    third,
    w,
)
from thermo_theory.symbols.vectors import Dot, Expectation, Generator, Tr
from thermo_theory.worlds.anharmonic import bent_world, energy_at, quartic_at, quartic_world

__all__: list[str] = []

THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"
_SQUARE = Dot(w, w)


@operation("expand the Boltzmann factors about the minimum, to order {1} in {0}, and do the normal integrals")
def at_low_temperature(equation: sp.Eq, temperature: sp.Symbol, order: int) -> sp.Eq:
    """Laplace's method for a ratio of integrals over the line, of ``f(x) exp(-V(x)/T)`` by that of ``exp(-V(x)/T)``.

    With ``x = sqrt(T) z`` the exponent is ``h z^2/2`` and powers of sqrt(T), in which it is expanded; V is a polynomial
    with its minimum at 0. The ratio is a series in T: odd powers of z have no mean.

    Raises
    ------
    OperationError
        If the right-hand side is not of this form.
    """
    top, bottom = sp.fraction(equation.rhs)
    if not (isinstance(top, sp.Integral) and isinstance(bottom, sp.Integral) and top.limits == bottom.limits):
        raise OperationError(f"{equation.rhs} is no ratio of integrals")
    ((x, low, high),) = top.limits
    energy = sp.expand(-temperature * bottom.function.exp)
    stiffness, function = 2 * energy.coeff(x, 2), sp.cancel(top.function / bottom.function)
    minimum = energy.coeff(x, 0) == energy.coeff(x, 1) == 0 and stiffness.is_positive
    if (low, high) != (-sp.oo, sp.oo) or not (minimum and function.is_polynomial(x)):
        raise OperationError(f"{equation.rhs} is no mean in a well with its minimum at 0")
    z, small = sp.Dummy("z"), sp.Dummy("t")
    rest = sp.expand((energy - stiffness * x**2 / 2).subs(x, small * z) / small**2)
    weight = sum((-rest) ** k / sp.factorial(k) for k in range(2 * order))

    def mean(of: sp.Expr) -> sp.Expr:
        terms = sp.Poly(sp.expand(of * weight), z).terms()
        return sum(value * sp.factorial2(k - 1) / stiffness ** (k // 2) for (k,), value in terms if k % 2 == 0)

    ratio = sp.series(mean(function.subs(x, small * z)) / mean(sp.S.One), small, 0, 2 * order + 1).removeO()
    return eq(equation.lhs, sp.expand(ratio).subs(small, sp.sqrt(temperature)) + sp.Order(temperature ** (order + 1)))


@derivation(
    "anharmonic-heat-capacity",
    source=f"Clausius' virial theorem; {THIS}",
    summary="In a quartic well U is R T minus the mean of the quartic part, for noise of any shape; to first order C_V "
    "= R - 2 k T, where k T^2 is the mean of the quartic part under the normal law",
    worlds=[quartic_world()],
    domain=[2 * softness * T < R],
)
def _quartic(chain: Chain) -> None:
    slope = chain.definition(eq(drift, -eta * grad_L), "the mean update")
    spread = chain.assumption("continuous time", eq(diffusion, eta**2 * Sigma_w), "only the noise counts")
    grows = slope.ito_of_norm(spread, squared, squared, w).expectation()
    still = eq(Expectation(Generator(_SQUARE)), 0)
    still = chain.assumption("stationarity", still, "the mean squared distance is constant", given=[spread])
    euler = chain.assumption(
        "quartic well", eq(Dot(grad_L, w), 2 * L + 2 * L_quartic), "Euler: 2 L_2 + 4 L_4, where L = L_2 + L_4"
    )
    heat = chain.definition(eq(T, eta * Expectation(Tr(Sigma_w)) / (4 * R)), "the temperature of the noise")
    energy = chain.definition(eq(energy_at(T), Expectation(L)), "the mean loss")
    soft = chain.definition(eq(quartic_at(T), Expectation(L_quartic)), "the mean of its quartic part")
    virial = grows.flip().substitute(still).substitute(euler.expectation(), heat.solve_for(eta))
    energy = energy.substitute(virial.solve_for(Expectation(L)), soft.flip())
    cold = chain.assumption(
        "normal density",
        eq(quartic_at(T), softness * T**2 + sp.Order(T**3)),
        "at low temperature the weights are normal, of a covariance proportional to T",
        given=[still],
    )
    energy = energy.substitute(cold, because="the energy at low temperature")
    capacity = chain.definition(eq(C_V, sp.Derivative(energy_at(T), T)), "the heat capacity")
    capacity.substitute(
        energy.differentiate(T), because="above R in a well softer than quadratic, below R in a stiffer one"
    )


@derivation(
    "anharmonic-well",
    source=f"Laplace's method; {THIS}",
    summary="Heat capacity of one direction of any smooth well to first order in T: a positive fourth derivative "
    "lowers it, a third derivative of either sign raises it",
    worlds=[bent_world()],
    domain=[T * (fourth / (4 * h**2) - 5 * third**2 / (12 * h**3)) < sp.Rational(1, 2)],
)
def _bent(chain: Chain) -> None:
    x = sp.Symbol("x_1", real=True)
    loss = h * x**2 / 2 + third * x**3 / 6 + fourth * x**4 / 24
    factor, line = sp.exp(-loss / T), (x, -sp.oo, sp.oo)
    energy = chain.assumption(
        "Gibbs law", eq(energy_at(T), sp.Integral(loss * factor, line) / sp.Integral(factor, line)), "the mean loss"
    )
    energy = energy.at_low_temperature(T, 2)
    capacity = chain.definition(eq(C_V, sp.Derivative(energy_at(T), T)), "the heat capacity")
    capacity.substitute(energy.differentiate(T))
