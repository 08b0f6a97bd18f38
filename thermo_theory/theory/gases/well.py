"""The gas in its own potential: SGD near a minimum under noise of any shape.

Whatever the Hessian H and the noise Sigma, the covariance is proportional to the temperature. So the weights are an
ideal gas in an implicit potential that does not depend on the temperature; what fails is only that the loss is another
function, by numbers that H and Sigma fix. `Harmonic` computes them.

>>> from thermo_theory import derive
>>> derive("implicit-potential").claim.equation
Eq(C_V, R)
>>> derive("harmonic-energy").claim.equation
Eq(U, R*T)
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.differentials import Partial
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import (
    C_V,
    T1,
    C,
    C_p,
    C_step,
    D_mean,
    Hess,
    Hess_Phi,
    L,
    Phi,
    R,
    S,
    Sigma_mean,
    Sigma_w,
    T,
    U,
    V,
    drift,
    drift_squared,
    eq,
    eta,
    eta_eff,
    fluctuation,
    gamma,
    grad_L,
    p,
    r,
    sigma,
    var_L,
    w,
    warmth,
)
from thermo_theory.symbols.vectors import (
    Apply,
    Dot,
    Expectation,
    Inverse,
    Mat,
    Quad,
    Sandwich,
    SkewProduct,
    SymProduct,
    Tr,
    identity_matrix,
)
from thermo_theory.theory.gases.linear_regression import KUNIN, MANDT, _lyapunov, _potential
from thermo_theory.worlds.well import potential_energy, potential_entropy, well_on_sphere, well_world

__all__: list[str] = []

THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"
_WELL = well_world()
_CURRENT = SkewProduct(Hess, C)
_CURRENT_SQUARE, _NOISE_SQUARE = Tr(SymProduct(_CURRENT, _CURRENT)), Tr(SymProduct(Sigma_w, Sigma_w))


# Operations --------------------------------------------------------------------------------------


@operation("average over weights of mean 0 and covariance {1}")
def moments(equation: sp.Eq, weights: sp.Expr, spread: Mat) -> sp.Eq:
    """``E[w.M w] = tr(M C)`` and ``E[M w.M w] = tr(M C M)``, for symmetric M, in the right-hand side."""
    rules = {}
    for mean in equation.rhs.atoms(Expectation):
        match mean.args[0]:
            case Quad(args=(matrix, inside)) if inside == weights:
                rules[mean] = Tr(SymProduct(matrix, spread)) / 2
            case Dot(args=(Apply(args=(matrix, inside)) as one, other)) if one == other and inside == weights:
                rules[mean] = Tr(Sandwich(matrix, spread))
    if not rules:
        raise OperationError(f"{equation.rhs} has no mean of a square of {weights}")
    return eq(equation.lhs, sp.expand(equation.rhs.subs(rules)))


@operation("average the squares of quadratic forms over normal weights of mean 0 and covariance {1}")
def normal_squares(equation: sp.Eq, weights: sp.Expr, spread: Mat) -> sp.Eq:
    """``E[(w.M w)^2] = E[w.M w]^2 + (tr X^2 + tr K^2)/2`` with ``X = {M, C}``, ``K = [M, C]``, by Wick's theorem."""
    rules = {}
    for mean in equation.rhs.atoms(Expectation):
        match mean.args[0].as_base_exp():
            case (Quad(args=(matrix, inside)) as form, sp.Integer(p=2)) if inside == weights:
                both, skew = SymProduct(matrix, spread), SkewProduct(matrix, spread)
                traces = Tr(SymProduct(both, both)) + Tr(SymProduct(skew, skew))
                rules[mean] = Expectation(form) ** 2 + traces / 4
    if not rules:
        raise OperationError(f"{equation.rhs} has no mean of the square of a quadratic form of {weights}")
    return eq(equation.lhs, sp.expand(equation.rhs.subs(rules)))


@operation("multiply by {0} and take the trace")
def trace_with(equation: sp.Eq, matrix: Mat) -> sp.Eq:
    """``tr(M {M, X}) = 2 tr(M X M)``, and ``tr(M Y)`` as half the trace of ``{M, Y}``."""

    def traced(side: sp.Expr) -> sp.Expr:
        total: sp.Expr = Tr(SymProduct(matrix, side)) / 2
        for node in total.atoms(SymProduct):
            inner = node.args[1]
            if isinstance(inner, SymProduct) and inner.args[0] == matrix:
                total = total.subs(Tr(node), 4 * Tr(Sandwich(matrix, inner.args[1])))
        return total

    return eq(*(traced(side) for side in equation.args))


@operation("entropy of normal weights")
def entropy_of_normal(spread: sp.Eq, temperature: sp.Symbol, before: sp.Symbol, entropy: sp.Expr) -> sp.Eq:
    """From ``C = T M`` the change of ``log det(2 pi e C)/2`` with T: ``tr(1)/2 log(T/T_1)``."""
    if sp.expand(spread.rhs / temperature).has(temperature):
        raise OperationError(f"{spread.rhs} is not proportional to {temperature}")
    growth = Tr(identity_matrix) / 2 * sp.log(temperature / before)
    return eq(entropy, entropy.subs(temperature, before) + growth)


@operation("square the drift and average")
def mean_square_of_drift(drift_law: sp.Eq, weights: sp.Expr, spread: Mat, name: Mat) -> sp.Eq:
    """``E[b b^T] = k^2 M C M`` for a drift ``b = k M w``, M symmetric."""
    (applied,) = drift_law.rhs.atoms(Apply)
    factor = sp.expand(drift_law.rhs).coeff(applied)
    if applied.args[1] != weights or sp.expand(drift_law.rhs - factor * applied) != 0:
        raise OperationError(f"{drift_law.rhs} is not linear in {weights}")
    return eq(name, factor**2 * Sandwich(applied.args[0], spread))


@operation("the only solution of {0} X + X {0} = 0 is 0")
def only_zero(equation: sp.Eq, matrix: Mat) -> sp.Eq:
    """From ``[M, X] = 0``, X skew, so that this is ``M X + X M``, conclude X = 0: M has positive eigenvalues."""
    factor, outer = (equation.lhs - equation.rhs).as_independent(SkewProduct, as_Add=False)
    first, unknown = outer.args
    if first != matrix or not isinstance(unknown, SkewProduct) or not factor.is_nonzero:
        raise OperationError(f"{equation} does not say that {matrix} X + X {matrix} is 0 for a skew X")
    return eq(unknown, 0)


# The gas in its own potential ----------------------------------------------------------------------


def _heat(chain: Chain) -> Step:
    """Temperature of noise of any shape."""
    return chain.definition(
        eq(T, eta * Tr(Sigma_w) / (4 * R)), "the temperature of the noise: a mean over the 2 R directions"
    )


@derivation(
    "implicit-potential",
    source=f"{KUNIN}; Chaudhari & Soatto 2018, arXiv 1710.11029; {THIS}",
    summary="Near a minimum, noise of any shape makes an ideal gas: the implicit potential does not depend on the "
    "temperature, and in it U = R T, S = R log T and C_V = R for every H and Sigma",
    worlds=[_WELL],
)
def _implicit_potential(chain: Chain) -> None:
    balance, potential = _lyapunov(chain), _potential(chain)
    shape = chain.definition(eq(C, T * Inverse(Hess_Phi)), "K = T C^-1 is the Hessian of the implicit potential")
    strength = chain.definition(eq(T, eta * sigma**2 / 2), "the temperature of the noise")
    one = balance.substitute(shape).scale(1 / T)
    one.substitute(strength, because="it contains neither rate nor temperature: K is the same at all temperatures")
    potential = potential.substitute(shape)
    energy = chain.definition(eq(potential_energy(T), Expectation(Phi)), "the energy of the gas")
    energy = energy.substitute(potential).moments(w, C, given=[one]).substitute(shape)
    directions = chain.definition(eq(R, Tr(identity_matrix) / 2), "half the number of directions")
    energy = energy.substitute(directions.solve_for(Tr(identity_matrix)), because="the energy of an ideal gas")
    entropy = shape.entropy_of_normal(T, T1, potential_entropy(T), given=[one, potential])
    entropy.substitute(directions.solve_for(Tr(identity_matrix)), because="the entropy of an ideal gas: slope R")
    capacity = chain.definition(eq(C_V, sp.Derivative(potential_energy(T), T)), "heat capacity at constant volume")
    capacity.substitute(energy.differentiate(T))


@derivation(
    "implicit-potential-adiabat",
    source=THIS,
    summary="Near a minimum gamma = 2 at fixed LR, for noise of any shape: the entropy depends on the learning rate "
    "alone, and the adiabat is eta = const",
    worlds=[well_on_sphere()],
)
def _implicit_adiabat(chain: Chain) -> None:
    inside = chain.claim("implicit-potential", about=potential_entropy(T))
    entropy = chain.definition(
        eq(S, potential_entropy(T) + R * sp.log(2 * V)), "on a sphere of squared norm 2 V the well is larger"
    )
    entropy = entropy.substitute(inside)
    law = chain.assumption("ideal gas law", eq(p * V, R * T))
    capacity = chain.definition(eq(C_p, T * Partial(S, T, p)), "heat capacity at constant pressure")
    capacity = capacity.substitute(entropy.substitute(law.solve_for(V)).partial_of(T, p))
    index = chain.definition(eq(gamma, C_p / C_V), "the adiabatic index")
    index.substitute(capacity, chain.claim("implicit-potential"), because="2 for every shape of the noise")
    heat = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature of the noise at unit norm")
    rate = chain.definition(eq(eta_eff, eta / r**2), "the effective learning rate")
    volume = chain.definition(eq(V, r**2 / 2), "the volume")
    entropy.gather_logarithms().substitute(volume, heat, rate, because="norm and weight decay have cancelled")


# How far the loss is from the potential --------------------------------------------------------------


@derivation(
    "harmonic-energy",
    source=f"{MANDT}; {THIS}",
    summary="The mean loss of a quadratic well is R T for noise of any shape, whether or not the loss is the potential",
    worlds=[_WELL],
)
def _energy(chain: Chain) -> None:
    balance = _lyapunov(chain).trace()
    loss = chain.assumption("quadratic loss", eq(L, Quad(Hess, w) / 2), "the loss above its minimum")
    energy = chain.definition(eq(U, Expectation(L)), "the mean loss")
    energy = energy.substitute(loss).moments(w, C).substitute(balance)
    strength = _heat(chain).solve_for(Tr(Sigma_w))
    energy.substitute(strength, because="the balance of heat does not depend on how directions share it")


@derivation(
    "harmonic-thermometer",
    source=f"Yaida 2018, arXiv 1810.00004; {THIS}",
    summary="The configurational temperature of a quadratic well is m tr(H Sigma)/(tr H tr Sigma) times that of the "
    "noise, with m directions: 1 if the noise is isotropic",
    worlds=[_WELL],
)
def _thermometer(chain: Chain) -> None:
    balance = _lyapunov(chain).trace_with(Hess)
    slope = chain.assumption("quadratic loss", eq(grad_L, Apply(Hess, w)), "the gradient of w.Hw/2")
    ratio = chain.definition(eq(warmth, Expectation(Dot(grad_L, grad_L)) / (T * Tr(Hess))), "1 under Gibbs' law")
    ratio = ratio.substitute(slope).moments(w, C)
    ratio = ratio.substitute(balance.solve_for(Tr(Sandwich(Hess, C))))
    ratio.substitute(_heat(chain), because="the mean curvature, weighted with the noise, over the mean curvature")


@derivation(
    "harmonic-fluctuations",
    source=THIS,
    summary="Fluctuations of the loss in a quadratic well: Var L/(R T^2) is m tr Sigma^2/(tr Sigma)^2 minus the square "
    "of the currents, so the currents make it smaller; it lies between 1 and m tr Sigma^2/(tr Sigma)^2",
    worlds=[_WELL],
    domain=[16 * R**2 * T**2 * _NOISE_SQUARE + _CURRENT_SQUARE * Tr(Sigma_w) ** 2 > 0],
)
def _harmonic_fluctuations(chain: Chain) -> None:
    balance, normal = _lyapunov(chain), _potential(chain)
    loss = chain.assumption("quadratic loss", eq(L, Quad(Hess, w) / 2), "the loss above its minimum")
    spread = chain.definition(eq(var_L, Expectation(L**2) - Expectation(L) ** 2), "the variance of the loss")
    spread = spread.substitute(loss).normal_squares(w, C, given=[normal]).substitute(balance)
    ratio = chain.definition(eq(fluctuation, var_L / (R * T**2)), "1 if the loss is the potential")
    ratio = ratio.substitute(spread, _heat(chain).solve_for(eta))
    ratio.expand(because="[H, C] is skew, and the trace of its square negative")


@derivation(
    "fluctuations-without-currents",
    source=THIS,
    summary="If H and Sigma commute, Var L/(R T^2) is m tr Sigma^2/(tr Sigma)^2: it depends on the noise alone",
    worlds=[_WELL],
)
def _without_currents(chain: Chain) -> None:
    ratio = chain.claim("harmonic-fluctuations")
    alike = chain.assumption("commuting noise", eq(SkewProduct(Hess, Sigma_w), 0))
    currents = chain.claim("probability-currents").flip().substitute(alike)
    still = currents.only_zero(Hess, because="no currents")
    ratio.substitute(still)


@derivation(
    "harmonic-finite-steps",
    source=f"{MANDT}; {THIS}",
    summary="Steps of any size in a quadratic well: the mean loss is R T (1 + tr(H C H)/tr Sigma)",
    worlds=[_WELL],
)
def _finite_steps(chain: Chain) -> None:
    mean = chain.assumption("quadratic loss", eq(drift, -eta * Apply(Hess, w)), "the gradient of w.Hw/2 is H w")
    square = chain.definition(eq(D_mean, eta**2 * Sigma_mean + drift_squared), "mean square of a step: noise plus mean")
    pulled = mean.mean_square_of_drift(w, C, drift_squared)
    alike = chain.assumption("homogeneous noise", eq(Sigma_mean, Sigma_w), "the noise is the same at all weights")
    later = mean.second_moment(square.substitute(pulled, alike), C_step, w, C)
    still = chain.assumption("stationarity", eq(C_step, C), "the covariance is constant")
    balance = later.substitute(still).isolate(SymProduct(Hess, C), because="Lyapunov's equation of finite steps")
    loss = chain.assumption("quadratic loss", eq(L, Quad(Hess, w) / 2), "the loss above its minimum")
    energy = chain.definition(eq(U, Expectation(L)), "the mean loss")
    energy = energy.substitute(loss).moments(w, C).substitute(balance.trace())
    energy.substitute(_heat(chain).solve_for(eta)).factor(because="large steps overshoot: the loss is higher than R T")
