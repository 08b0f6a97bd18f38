"""What is exact without the SDE: balance of the norm, virial theorem, compressibility, thermometers, path entropy.

>>> from thermo_theory import derive
>>> derive("norm-balance").assumptions
('scale invariance', 'stationarity')
>>> derive("virial-with-remainder").assumptions
('stationarity',)
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.protocols import FixedELR, FixedLR
from thermo_theory.symbols import (
    Hess,
    L,
    R,
    Sigma,
    T,
    V,
    Z_c,
    c,
    d,
    diffusion_unit,
    drift_unit,
    eq,
    eta,
    eta_eff,
    g,
    grad_L,
    grad_L_unit,
    grad_log_rho,
    lam,
    lap_L,
    neighbour,
    offset,
    p,
    r,
    sigma,
    spacing,
    tr_Sigma,
    w,
    w_next,
)
from thermo_theory.symbols.vectors import Dot, Expectation, Generator, Mat, SymProduct, Tr, Vec, VectorFunction
from thermo_theory.theory.symmetry import THIS_TOOLKIT, scaling
from thermo_theory.worlds.discrete import run, runs_world, steps
from thermo_theory.worlds.minibatches import batches_world
from thermo_theory.worlds.sphere import balance_world, density_world, snapshots_world

__all__ = ["squared_norm"]

_BATCHES = batches_world()


# Operations --------------------------------------------------------------------------------------


@operation("square both sides")
def squared_norm(equation: sp.Eq) -> sp.Eq:
    """Inner product of each side of a vector equation with itself."""
    return eq(*(sp.expand(Dot(side, side)) for side in equation.args))


# Balance of the norm -----------------------------------------------------------------------------


def _growth(chain: Chain) -> Step:
    """The squared norm after a step, whatever the gradient."""
    update = chain.definition(eq(w_next, w - eta * (g + lam * w)), f"one step, {FixedLR.update}")
    return update.squared_norm()


def _still(chain: Chain) -> Step:
    return chain.assumption(
        "stationarity", eq(Expectation(Dot(w_next, w_next)), Expectation(r**2)), "the mean squared norm is constant"
    )


def _norm(chain: Chain) -> Step:
    return chain.definition(eq(Dot(w, w), r**2), "the norm")


@derivation(
    "norm-balance",
    source=THIS_TOOLKIT,
    summary="The mean squared norm at which weight decay and gradients balance, exactly",
    worlds=[_BATCHES],
)
def _norm_balance(chain: Chain) -> None:
    growth, norm = _growth(chain), _norm(chain)
    radial = chain.assumption("scale invariance", eq(Dot(g, w), 0), "Euler: g.w = 0 in each batch")
    growth = growth.substitute(radial, norm, because="exact, step by step, without noise")
    balance = growth.expectation().substitute(_still(chain))
    balance.collect_norm(because="weight decay removes as much as gradients add")


@operation("bring the norm to one side")
def collect_norm(equation: sp.Eq) -> sp.Eq:
    """Collect what has the mean squared norm on the left, all else on the right, and divide by the learning rate."""
    size = Expectation(r**2)
    rest = sp.expand(equation.lhs - equation.rhs)
    with_norm = rest.coeff(size)
    other = sp.expand((with_norm * size - rest) / eta)
    return eq(lam * sp.expand(with_norm / eta / lam) * size, other)


@derivation(
    "virial-with-remainder",
    source=f"{THIS_TOOLKIT}; Clausius 1870",
    summary="The virial theorem for any loss: a scale-invariance defect adds its virial E[w.g]",
    worlds=[_BATCHES],
    # The pressure and the volume, and with them p V, are positive.
    domain=[(2 - eta * lam) * (eta * Expectation(Dot(g, g)) / 4 + (eta * lam - 1) * Expectation(Dot(g, w)) / 2) > 0],
)
def _virial_with_remainder(chain: Chain) -> None:
    growth = _growth(chain).substitute(_norm(chain))
    balance = growth.expectation().substitute(_still(chain))
    balance = balance.collect_norm()
    balance = _with_pressure(chain, balance)
    balance.factor_right(because="the scale-invariance defect adds its virial to the term of the gradients")


def _with_pressure(chain: Chain, balance: Step) -> Step:
    volume = chain.definition(eq(V, Expectation(r**2) / 2), "half the mean squared norm")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    balance = balance.substitute(volume.solve_for(Expectation(r**2)))
    balance = balance.scale(sp.Rational(1, 4))
    return balance.as_pressure(pressure, because="exact, for any noise and any step size")


@operation("write the pressure for weight decay")
def as_pressure(equation: sp.Eq, pressure: sp.Eq) -> sp.Eq:
    """Put p for one factor of weight decay on the left-hand side, as a factor of ``V (1 - eta lambda/2)``."""
    left = sp.factor(sp.expand(equation.lhs / pressure.rhs))
    inner = sp.expand(left / V)
    return eq(pressure.lhs * V * inner, equation.rhs)


@operation("collect the terms with the same mean")
def factor_right(equation: sp.Eq) -> sp.Eq:
    """Collect the right-hand side in its means."""
    means = sorted(equation.rhs.atoms(Expectation), key=str)
    return eq(equation.lhs, sp.collect(sp.expand(equation.rhs), means, sp.factor))


@derivation(
    "virial-theorem",
    source=THIS_TOOLKIT,
    summary="p V (1 - eta lambda/2) is a quarter of eta E|g|^2, exactly, for any noise and any step size",
    worlds=[_BATCHES],
)
def _virial_theorem(chain: Chain) -> None:
    _with_pressure(chain, chain.claim("norm-balance"))


# Compressibility ---------------------------------------------------------------------------------

_V, _V_start, _T, _Z = sp.Function("V"), sp.Function("V_w"), sp.Function("T"), sp.Function("Z")


@derivation(
    "compressibility",
    source=THIS_TOOLKIT,
    summary="p V/(R T) does not depend on V; with T estimated from the noise it is an identity, not an equation of "
    "state",
    worlds=[runs_world(FixedELR.rule), _BATCHES],
    domain=[eta * lam < 2],
)
def _compressibility(chain: Chain) -> None:
    same_run = chain.claim("scaling-symmetry", FixedELR)
    end = run(steps, w, eta_eff, lam)
    volume = chain.definition(eq(_V_start(w, eta_eff, lam), Expectation(Dot(end, end)) / 2), "the volume, at fixed ELR")
    forgotten = chain.assumption(
        "stationarity",
        eq(_V_start(w, eta_eff, lam), _V(eta_eff, lam)),
        "the runs no longer depend on where they started",
    )
    larger = volume.rescale(scaling(FixedELR)).substitute(same_run)
    larger = larger.as_factor(volume)
    larger = larger.substitute(forgotten, forgotten.rescale(scaling(FixedELR)))
    work = larger.choose(c, sp.sqrt(lam), because="p V at any pressure is p V at pressure 1")
    factor = chain.definition(
        eq(_Z(eta_eff, lam), lam * _V(eta_eff, lam) / (R * _T(eta_eff))),
        "the compressibility factor p V/(R T); T is set by the effective learning rate",
    )
    factor = factor.substitute(work.solve_for(_V(eta_eff, lam)))
    there = factor.rescale({lam: lam / c**2})
    there.match(factor, because="constant along an isotherm: no virial coefficients")

    virial = chain.claim("virial-theorem")
    square = chain.definition(
        eq(Expectation(Dot(g, g)), Expectation(tr_Sigma / r**2) + Expectation(Dot(grad_L, grad_L))),
        "mean square of a gradient: noise plus mean",
    )
    heat = chain.definition(eq(T, eta * Expectation(tr_Sigma / r**2) / (2 * (d - 1))), "T estimated from the noise")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    ratio = chain.definition(eq(Z_c, p * V / (R * T)), "the compressibility factor")
    virial = virial.solve_for(V)
    ratio = ratio.substitute(virial, square, heat, directions)
    ratio = ratio.simplify()
    ratio.as_ratio(eta, because="an identity: with this T it does not test the gas")


@operation("write as a ratio of factors that are 1 for small {0}")
def as_ratio(equation: sp.Eq, small: sp.Symbol) -> sp.Eq:
    """Divide numerator and denominator of the right-hand side by what the denominator is without `small`."""
    above, below = sp.fraction(sp.together(equation.rhs))
    unit = sp.expand(below).subs(small, 0)
    return eq(equation.lhs, sp.expand(above / unit) / sp.expand(below / unit))


@operation("compare with a multiple")
def as_factor(larger: sp.Eq, one: sp.Eq) -> sp.Eq:
    """Write the left-hand side as a multiple of another, whose right-hand side goes into it a number of times."""
    times = sp.simplify(larger.rhs / one.rhs)
    if times.has(Expectation) or times.atoms(VectorFunction):
        raise OperationError(f"{larger.rhs} is no multiple of {one.rhs}")
    return eq(larger.lhs, times * one.lhs)


# Configurational temperature ---------------------------------------------------------------------


@operation("integrate by parts over the sphere, which has no edge")
def by_parts(divergence: sp.Eq, field: Vec, slope: Vec) -> sp.Eq:
    """The mean divergence of a field is minus its mean inner product with the slope of the log density."""
    return eq(Expectation(divergence.lhs), -Expectation(Dot(field, slope)))


@derivation(
    "configurational-temperature",
    source=f"Rugh 1997, Phys. Rev. Lett. 78, 772; {THIS_TOOLKIT}",
    summary="Under a Gibbs law E|grad L|^2 is T times the mean Laplacian: a temperature that needs neither noise "
    "nor entropy (gradient-balance holds for any noise)",
    worlds=[density_world()],
    domain=[Expectation(lap_L) >= 0],
)
def _configurational_temperature(chain: Chain) -> None:
    laplacian = chain.definition(eq(lap_L, Tr(Hess)), "the Laplacian, the divergence of grad L")
    gibbs = chain.assumption("Gibbs law", eq(grad_log_rho, -grad_L_unit / T), "rho ~ exp(-L/T)")
    mean = laplacian.by_parts(grad_L_unit, grad_log_rho)
    mean = mean.substitute(gibbs)
    mean.solve_for(Expectation(Dot(grad_L_unit, grad_L_unit)), because="a thermometer that needs no entropy")


@operation("apply Ito's lemma to {0} along the sphere")
def ito_of_loss(drift: sp.Eq, covariance: sp.Eq, function: sp.Symbol, slope: Vec, hessian: Mat) -> sp.Eq:
    """Ito's lemma on the sphere: ``E[df]/dt = grad f.b + tr(Hess f D)/2`` with drift b and covariance D along it."""
    rate = Dot(slope, drift.rhs) + Tr(SymProduct(hessian, covariance.rhs)) / 4
    return eq(Generator(function), sp.expand(rate))


@derivation(
    "gradient-balance",
    source=f"Yaida 2018, arXiv 1810.00004; {THIS_TOOLKIT}",
    summary="Under any noise E|grad L|^2 is eta_eff/2 times the mean of tr(H Sigma): the reference for the "
    "configurational temperature (V6)",
    worlds=[balance_world()],
    domain=[Expectation(Tr(SymProduct(Hess, Sigma))) >= 0],
)
def _gradient_balance(chain: Chain) -> None:
    flow = chain.claim("direction-diffusion", about=drift_unit)
    spread = chain.claim("direction-diffusion", about=diffusion_unit)
    still = chain.assumption("stationarity", eq(Expectation(Generator(L)), 0), "the mean loss is constant")
    change = flow.ito_of_loss(spread, L, grad_L_unit, Hess)
    balance = change.expectation().substitute(still)
    balance.solve_for(
        Expectation(Dot(grad_L_unit, grad_L_unit)),
        because="steps along the gradient lower the loss as much as noise raises it, for any noise: {H, Sigma} = H "
        "Sigma + Sigma H",
    )


# The diffusive trap ------------------------------------------------------------------------------

_S = sp.Function("S")


@operation("take the trace")
def trace(equation: sp.Eq) -> sp.Eq:
    """The traces of both sides of a matrix equation."""
    return eq(*(Tr(side) for side in equation.args))


@derivation(
    "path-entropy",
    source=THIS_TOOLKIT,
    summary="The entropy of one run's snapshots is that of its path: slopes 3/2 R in log eta and R/2 in log lambda",
    worlds=[snapshots_world()],
)
def _path_entropy(chain: Chain) -> None:
    spread = chain.claim("direction-diffusion", about=diffusion_unit).trace()
    total = chain.definition(eq(Tr(Sigma), tr_Sigma), "the noise at unit norm")
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    rate = chain.definition(eq(eta_eff, eta / r**2), "the effective learning rate")
    radius = chain.claim("radius", FixedLR)
    next_one = chain.assumption("diffusive snapshots", eq(neighbour**2, spacing * Tr(diffusion_unit)))
    distance = next_one.substitute(spread, total, noise, rate, radius)
    distance = distance.solve_for(neighbour, because="it does not depend on the loss landscape")
    entropy = chain.definition(
        eq(_S(eta, lam), (d - 1) * sp.log(neighbour) + offset + (d - 1) * sp.log(r)),
        "a nearest-neighbour estimate: the log of the distance for each direction, at the norm r, and an offset",
    )
    entropy = entropy.substitute(distance, radius)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    by_rate, by_decay = (entropy.differentiate(symbol).scale(symbol) for symbol in (eta, lam))
    difference = by_rate.add(by_decay, weights=(-1,))
    difference.substitute(directions, because="R as predicted: the Maxwell relation (V3) cannot detect the error")
    by_rate.substitute(directions, because="a gas at low temperature has R")
    by_decay.substitute(directions, because="a gas at low temperature has 0")
