"""What finite steps change: fluctuations of the volume, and a gas at low temperature whose steps are not small.

>>> from thermo_theory import FixedLR, derive
>>> derive("finite-step", FixedLR).assumptions
('low temperature', 'independent noise', 'stationarity', 'scale invariance')
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    Pi,
    R,
    R_Gibbs,
    Sigma,
    Sigma_w,
    T,
    U,
    V,
    d,
    eq,
    eta,
    eta_eff,
    g,
    g_noise,
    h,
    kick,
    lam,
    p,
    r,
    recovery,
    sigma,
    tr_Sigma,
    var_V,
    var_V_Gibbs,
    w,
    w_next,
    x,
    x_next,
    xi,
)
from thermo_theory.symbols import squared as y
from thermo_theory.symbols.vectors import Dot, Expectation, Generator, NoiseMean, NoiseVariance, SymProduct, Tr
from thermo_theory.theory import discrete  # noqa: F401 (its operations)
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.cold import cold_world
from thermo_theory.worlds.sphere import volume_world

# Fluctuations of the volume ----------------------------------------------------------------------

_change, _after = sp.Function("f"), sp.Function("m")


@operation("take the variance over the next minibatch")
def noise_variance(equation: sp.Eq) -> sp.Eq:
    """Variances of both sides at given weights."""
    return eq(*(NoiseVariance(side) for side in equation.args))


@operation("take the mean change of a step")
def mean_change(equation: sp.Eq, before: sp.Expr) -> sp.Eq:
    """From what something is after a step, and what it was before, its mean change."""
    return eq(Generator(before), sp.expand(NoiseMean(equation.rhs) - before))


@operation("write {0} for {1}")
def rename(equation: sp.Eq, new: sp.Symbol, old: sp.Expr) -> sp.Eq:
    """Give a power of something positive another name."""
    base, exponent = old.as_base_exp()
    if not base.is_positive:
        raise OperationError(f"{base} may be negative: {new} for {old} would lose its sign")
    return eq(*(side.subs(base, new ** (1 / exponent)) for side in equation.args))


@derivation(
    "volume-fluctuations",
    source=THIS_TOOLKIT,
    summary="At fixed LR the variance of the volume is only eta lambda/2 times that in a Gibbs ensemble",
    worlds=[volume_world(), volume_world(away=True)],
    domain=[sp.Eq(p, lam)],
)
def _volume_fluctuations(chain: Chain) -> None:
    _gibbs_volume(chain)
    growth = chain.claim("norm-balance", about=Dot(w_next, w_next))
    pure = chain.assumption("pure noise", eq(NoiseMean(Dot(g, g)), tr_Sigma / r**2))
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    step = growth.mean_change(r**2).substitute(pure, noise)
    named = chain.assumption(
        "homogeneous noise", eq(Generator(r**2), _change(r**2)), "a function of the squared norm alone"
    )
    change = step.substitute(named).rename(y, r**2)
    recovery_ = chain.definition(
        eq(recovery, -sp.Derivative(_change(y), y)), "the share of a deviation that is removed per step"
    )
    recovery_ = recovery_.substitute(change)
    mean = chain.definition(eq(_change(y), _after(y) - y), "from y to its mean after a step")
    still = chain.assumption("stationarity", eq(_after(y), y), "y is the stationary squared norm")
    balance = mean.equate(change).substitute(still)
    size = balance.solve_for(sigma**2)
    recovery_ = recovery_.substitute(size).simplify()

    kicks = chain.definition(eq(kick, NoiseVariance(Dot(w_next, w_next))), "the variance added per step")
    kicks = kicks.substitute(growth.noise_variance())
    alone = chain.assumption("pure noise", eq(NoiseVariance(Dot(g, g)), NoiseVariance(Dot(g_noise, g_noise))))
    gaussian = chain.assumption(
        "Gaussian noise",
        eq(NoiseVariance(Dot(g_noise, g_noise)), Tr(SymProduct(Sigma_w, Sigma_w))),
        "the variance of a squared Gaussian vector is 2 tr Sigma^2",
    )
    unit = chain.assumption("scale invariance", eq(Sigma_w, Sigma / r**2), "g ~ 1/r")
    isotropic = chain.assumption("isotropic noise", eq(Sigma, tr_Sigma / (d - 1) * Pi))
    projector = chain.definition(eq(Tr(SymProduct(Pi, Pi)), 2 * (d - 1)), "d - 1 directions along the sphere")
    kicks = kicks.substitute(alone, gaussian, unit, isotropic, projector, noise)
    kicks = kicks.rename(y, r**2).substitute(size).simplify()

    balance = chain.assumption(
        "small steps",
        eq(4 * var_V, kick / (2 * recovery)),
        "kicks that decay slowly add up to a variance kick/(2 recovery) of r^2 = 2 V",
        given=(still, noise),
    )
    variance = balance.substitute(kicks, recovery_).solve_for(var_V)
    heat = chain.definition(eq(T, eta * sigma**2 / (2 * y)), "the temperature")
    heat = heat.substitute(size).solve_for(y)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    variance = variance.substitute(heat, directions).simplify()
    small = chain.assumption("small steps", eq(1 - eta * lam / 2, 1), "eta lambda is small")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    variance = variance.neglect(small)
    variance.times_one(pressure, 2, because="eta lambda/2 times the value in a Gibbs ensemble")


@operation("neglect a small number beside 1")
def neglect(equation: sp.Eq, small: sp.Eq) -> sp.Eq:
    """Put the right-hand side of `small` for its left-hand side, by which the equation's right-hand side is divided."""
    return eq(equation.lhs, sp.simplify(equation.rhs * small.lhs) / small.rhs)


@operation("multiply by a ratio that is 1, to the power {0}")
def times_one(equation: sp.Eq, equal: sp.Eq, power: int) -> sp.Eq:
    """Multiply the right-hand side by a power of the ratio of the sides of another equation."""
    return eq(equation.lhs, equation.rhs * (equal.rhs / equal.lhs) ** power)


def _gibbs_volume(chain: Chain) -> Step:
    """Variance of the volume where energy and volume are both exchanged with a bath, for comparison.

    R_Gibbs is the name of p V/T in that ensemble. That it is d/2, and not (d - 1)/2, is physics: its radius fluctuates
    like any other of d coordinates, while SGD's nearly stays.
    """
    weight = V ** (d / 2 - 1) * sp.exp(-p * V / T)
    mean, square, one = (sp.Integral(V**k * weight, (V, 0, sp.oo)) for k in (1, 2, 0))
    gibbs = chain.definition(
        eq(var_V_Gibbs, square / one - (mean / one) ** 2),
        "under exp(-(L + p |w|^2/2)/T) all d weights fluctuate: the surface of the sphere of volume V is ~ V^(d/2 - 1)",
    )
    gibbs = gibbs.evaluate_integrals().simplify()
    count = chain.definition(eq(R_Gibbs, p * mean / one / T), "its gas constant, from its mean volume")
    count = count.evaluate_integrals().simplify(because="the Gibbs law makes it d/2: the norm fluctuates too")
    return gibbs.substitute(count.solve_for(d), because="the variance in a Gibbs ensemble")


# Finite steps ------------------------------------------------------------------------------------


@operation("the positive root in {0}")
def positive_root(equation: sp.Eq, unknown: sp.Symbol) -> sp.Eq:
    """Solve a quadratic equation of which one root is positive and the other negative."""
    polynomial = sp.Poly(sp.numer(sp.cancel(equation.lhs - equation.rhs)), unknown)
    if polynomial.degree() != 2 or not unknown.is_positive:
        raise OperationError(f"{equation} is not quadratic in {unknown}, or that need not be positive")
    a, b, constant = polynomial.all_coeffs()
    if not sp.simplify(constant / a).is_negative:
        raise OperationError(f"the roots of {equation} may have one sign")
    half, rest = sp.simplify(-b / (2 * a)), sp.simplify(-constant / a)
    return eq(unknown, half + sp.sqrt(sp.expand(half**2) + rest))


def _cold_energy(chain: Chain) -> tuple[Step, Step, Step, Step]:
    """The energy at low temperature from the exact second moment of its linear steps."""
    linear = chain.assumption(
        "low temperature",
        eq(x_next, x - eta_eff * (h * x + xi)),
        "near the minimum of the loss the direction moves linearly, by curvature and noise",
    )
    square = linear.squared_norm().expectation()
    unbiased = chain.assumption("independent noise", eq(Expectation(Dot(x, xi)), 0), "noise has zero mean")
    noise = chain.definition(eq(Expectation(Dot(xi, xi)), (d - 1) * sigma**2), "tr Sigma, in d - 1 directions")
    still = chain.assumption(
        "stationarity", eq(Expectation(Dot(x_next, x_next)), Expectation(Dot(x, x))), "the spread is constant"
    )
    square = square.substitute(unbiased, noise, still)
    energy = chain.assumption("low temperature", eq(U, h * Expectation(Dot(x, x)) / 2), "the loss is quadratic there")
    spread = energy.solve_for(Expectation(Dot(x, x)))
    heat = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature")
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    strength = heat.solve_for(sigma**2)
    energy = square.substitute(spread, strength, directions).solve_for(U)
    energy = energy.as_ratio(h, because="exact in the step size: at low temperature U = R T holds only for small steps")
    energy.scale(1 / (R * T)).series(h, sp.S.Zero, 2, because="U is larger by the fraction h eta_eff/2")
    return energy, spread, noise, unbiased


def _finite_step(chain: Chain, protocol: Protocol) -> None:
    energy, spread, noise, unbiased = _cold_energy(chain)
    push = chain.assumption(
        "low temperature",
        eq(Dot(g, g), Dot(h * x + xi, h * x + xi) * eta_eff / eta),
        "the gradient of a quadratic loss plus noise, at norm r, 1/r^2 = eta_eff/eta",
    )
    push = push.expectation().substitute(unbiased, noise, spread)
    heat = chain.definition(eq(sigma**2, 2 * T / eta_eff), "the temperature")
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    push = push.substitute(heat, directions, energy)
    if protocol is FixedSphere:
        virial = chain.assumption(
            "low temperature",
            eq(p * V, eta * Expectation(Dot(g, g)) / 4 - Expectation(Dot(g, w)) / 2),
            "the pressure: the weight decay that would have the effect of the projection, for small eta p",
        )
        radial = chain.assumption("scale invariance", eq(Expectation(Dot(g, w)), 0), "g.w = 0 in each batch")
        virial = virial.substitute(radial)
    else:
        virial = chain.claim("virial-theorem")
        slow = chain.assumption("low temperature", eq(1 - eta * lam / 2, 1), "at low temperature eta lambda is small")
        virial = virial.substitute(slow)
    work = virial.substitute(push).simplify()
    work = work.as_ratio(h, because="p V = U")
    work.scale(1 / (R * T)).series(h, sp.S.Zero, 2, because="p V is larger by the fraction h eta_eff/2")
    if protocol is not FixedLR:
        unknown = p if protocol is FixedSphere else V
        work.solve_for(unknown).as_ratio(h)
        return
    rate = chain.definition(eq(eta_eff, eta / (2 * V)), "the effective learning rate, V = r^2/2")
    warmth = chain.definition(eq(T, eta * sigma**2 / (4 * V)), "the temperature")
    count = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    volume = work.substitute(rate, warmth, pressure)
    volume = volume.positive_root(V)
    volume.series(h, sp.S.Zero, 2, because="V and p V are larger by the fraction h eta_eff/4")
    cooler = warmth.substitute(volume)
    closed = cooler.scale(2 * sp.sqrt(R / (eta * lam)) / sigma, because="relative to small steps")
    closed.series(h, sp.S.Zero, 2, because="T is smaller and U = p V larger, each by the fraction h eta_eff/4")
    volume.substitute(count).simplify()


_FINITE_STEP = {
    FixedSphere: "Pressure at low temperature for any step size: p and U are larger by the fraction h eta_eff/2",
    FixedELR: "Volume at low temperature for any step size: V and U are larger by the fraction h eta_eff/2",
    FixedLR: "Volume at low temperature for any step size: V, p V and U are larger, T smaller, each by the fraction "
    "h eta_eff/4",
}
for _protocol, _words in _FINITE_STEP.items():
    derivation(
        "finite-step",
        protocol=_protocol,
        source=THIS_TOOLKIT,
        summary=_words,
        worlds=[cold_world(_protocol.key)],
        # Beyond it a step overshoots the minimum by more than it was away; at fixed LR the norm grows until it is not.
        domain=[eta_eff * h < 2] if _protocol is not FixedLR else (),
    )(_finite_step)
