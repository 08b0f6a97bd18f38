"""What is exact without the SDE, and what finite steps change: balance of the norm, virial theorem, fluctuations.

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
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    Hess,
    L,
    Pi,
    R,
    R_Gibbs,
    Sigma,
    Sigma_w,
    T,
    U,
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
    g_noise,
    grad_L,
    grad_L_unit,
    grad_log_rho,
    h,
    kick,
    lam,
    lap_L,
    neighbour,
    offset,
    p,
    r,
    recovery,
    sigma,
    spacing,
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
from thermo_theory.symbols.vectors import (
    Dot,
    Expectation,
    Generator,
    Mat,
    NoiseMean,
    NoiseVariance,
    SymProduct,
    Tr,
    Vec,
    VectorFunction,
)
from thermo_theory.theory.symmetry import SCALINGS, THIS_TOOLKIT
from thermo_theory.worlds.cold import cold_world
from thermo_theory.worlds.discrete import batches_world, run, runs_world, steps
from thermo_theory.worlds.sphere import balance_world, density_world, snapshots_world, volume_world

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
        "stationarity", eq(Expectation(Dot(w_next, w_next)), Expectation(r**2)), "the mean squared norm stays as it is"
    )


def _norm(chain: Chain) -> Step:
    return chain.definition(eq(Dot(w, w), r**2), "the norm")


def _norm_balance(chain: Chain) -> None:
    growth, norm = _growth(chain), _norm(chain)
    radial = chain.assumption("scale invariance", eq(Dot(g, w), 0), "Euler: g.w = 0 in each batch")
    growth = growth.substitute(radial, norm, because="exact, step by step, without noise")
    balance = growth.expectation().substitute(_still(chain))
    balance.collect_norm(because="what weight decay takes is what gradients bring")


@operation("bring the norm to one side")
def collect_norm(equation: sp.Eq) -> sp.Eq:
    """Collect what has the mean squared norm on the left, all else on the right, and divide by the learning rate."""
    size = Expectation(r**2)
    rest = sp.expand(equation.lhs - equation.rhs)
    with_norm = rest.coeff(size)
    other = sp.expand((with_norm * size - rest) / eta)
    return eq(lam * sp.expand(with_norm / eta / lam) * size, other)


def _virial_with_remainder(chain: Chain) -> None:
    growth = _growth(chain).substitute(_norm(chain))
    balance = growth.expectation().substitute(_still(chain))
    balance = balance.collect_norm()
    balance = _with_pressure(chain, balance)
    balance.factor_right(because="the virial of what is not scale-invariant adds to the push of the gradients")


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


@operation("collect what is multiplied by the same mean")
def factor_right(equation: sp.Eq) -> sp.Eq:
    """Collect the right-hand side in its means."""
    means = sorted(equation.rhs.atoms(Expectation), key=str)
    return eq(equation.lhs, sp.collect(sp.expand(equation.rhs), means, sp.factor))


def _virial_theorem(chain: Chain) -> None:
    _with_pressure(chain, chain.claim("norm-balance"))


# Compressibility ---------------------------------------------------------------------------------

_V, _V_start, _T, _Z = sp.Function("V"), sp.Function("V_w"), sp.Function("T"), sp.Function("Z")


def _compressibility(chain: Chain) -> None:
    same_run = chain.claim("scaling-symmetry", FixedELR)
    end = run(steps, w, eta_eff, lam)
    volume = chain.definition(eq(_V_start(w, eta_eff, lam), Expectation(Dot(end, end)) / 2), "the volume, at fixed ELR")
    forgotten = chain.assumption(
        "stationarity", eq(_V_start(w, eta_eff, lam), _V(eta_eff, lam)), "the runs have forgotten where they began"
    )
    larger = volume.rescale(SCALINGS[FixedELR]).substitute(same_run)
    larger = larger.as_factor(volume)
    larger = larger.substitute(forgotten, forgotten.rescale(SCALINGS[FixedELR]))
    work = larger.choose(c, sp.sqrt(lam), because="p V at any pressure is p V at pressure 1")
    factor = chain.definition(
        eq(_Z(eta_eff, lam), lam * _V(eta_eff, lam) / (R * _T(eta_eff))),
        "the compressibility factor p V/(R T); T is set by the effective learning rate",
    )
    factor = factor.substitute(work.solve_for(_V(eta_eff, lam)))
    there = factor.rescale({lam: lam / c**2})
    there.same_right(factor, because="the same at any volume on an isotherm: no virial coefficients")

    virial = chain.claim("virial-theorem")
    square = chain.definition(
        eq(Expectation(Dot(g, g)), Expectation(tr_Sigma / r**2) + Expectation(Dot(grad_L, grad_L))),
        "the mean square of a gradient: its noise and its mean",
    )
    heat = chain.definition(eq(T, eta * Expectation(tr_Sigma / r**2) / (2 * (d - 1))), "T read off the noise")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    ratio = chain.definition(eq(Z_c, p * V / (R * T)), "the compressibility factor")
    virial = virial.solve_for(V)
    ratio = ratio.substitute(virial, square, heat, directions)
    ratio = ratio.simplify()
    ratio.as_ratio(eta, because="an identity: with this T it says nothing about the gas")


@operation("write as a ratio of what is 1 for small {0}")
def as_ratio(equation: sp.Eq, small: sp.Symbol) -> sp.Eq:
    """Divide numerator and denominator of the right-hand side by what the denominator is without `small`."""
    above, below = sp.fraction(sp.together(equation.rhs))
    unit = sp.expand(below).subs(small, 0)
    return eq(equation.lhs, sp.expand(above / unit) / sp.expand(below / unit))


@operation("compare")
def same_right(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Two equations with the same right-hand side: so are the left-hand sides."""
    if sp.simplify(first.rhs - second.rhs) != 0:
        raise OperationError(f"{first.rhs} is not {second.rhs}")
    return eq(first.lhs, second.lhs)


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


def _configurational_temperature(chain: Chain) -> None:
    laplacian = chain.definition(eq(lap_L, Tr(Hess)), "the Laplacian, the divergence of grad L")
    gibbs = chain.assumption("Gibbs law", eq(grad_log_rho, -grad_L_unit / T), "rho ~ exp(-L/T)")
    mean = laplacian.by_parts(grad_L_unit, grad_log_rho)
    mean = mean.substitute(gibbs)
    mean.solve_for(Expectation(Dot(grad_L_unit, grad_L_unit)), because="a thermometer without entropies")


@operation("apply Ito's lemma to {0} along the sphere")
def ito_of_loss(drift: sp.Eq, covariance: sp.Eq, function: sp.Symbol, slope: Vec, hessian: Mat) -> sp.Eq:
    """Ito's lemma on the sphere: ``E[df]/dt = grad f.b + tr(Hess f D)/2`` with drift b and covariance D along it."""
    rate = Dot(slope, drift.rhs) + Tr(SymProduct(hessian, covariance.rhs)) / 4
    return eq(Generator(function), sp.expand(rate))


def _gradient_balance(chain: Chain) -> None:
    flow = chain.claim("direction-diffusion", about=drift_unit)
    spread = chain.claim("direction-diffusion", about=diffusion_unit)
    still = chain.assumption("stationarity", eq(Expectation(Generator(L)), 0), "the mean loss stays as it is")
    change = flow.ito_of_loss(spread, L, grad_L_unit, Hess)
    balance = change.expectation().substitute(still)
    balance.solve_for(
        Expectation(Dot(grad_L_unit, grad_L_unit)),
        because="what steps down the gradient lose, noise brings back, for any noise: {H, Sigma} = H Sigma + Sigma H",
    )


# The diffusive trap ------------------------------------------------------------------------------

_S = sp.Function("S")


@operation("take the trace")
def trace(equation: sp.Eq) -> sp.Eq:
    """The traces of both sides of a matrix equation."""
    return eq(*(Tr(side) for side in equation.args))


def _path_entropy(chain: Chain) -> None:
    spread = chain.claim("direction-diffusion", about=diffusion_unit).trace()
    total = chain.definition(eq(Tr(Sigma), tr_Sigma), "the noise at unit norm")
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    rate = chain.definition(eq(eta_eff, eta / r**2), "the effective learning rate")
    radius = chain.claim("radius", FixedLR)
    next_one = chain.assumption("diffusive snapshots", eq(neighbour**2, spacing * Tr(diffusion_unit)))
    distance = next_one.substitute(spread, total, noise, rate, radius)
    distance = distance.solve_for(neighbour, because="no landscape in it")
    entropy = chain.definition(
        eq(_S(eta, lam), (d - 1) * sp.log(neighbour) + offset + (d - 1) * sp.log(r)),
        "a nearest-neighbour estimate: the log of the distance, a number for each direction, and the sphere",
    )
    entropy = entropy.substitute(distance, radius)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the directions")
    by_rate, by_decay = (entropy.differentiate(symbol).scale(symbol).simplify() for symbol in (eta, lam))
    difference = by_rate.add(by_decay, weights=(-1,))
    difference.substitute(directions).simplify(because="R, as it should be: V3 cannot tell")
    by_rate.substitute(directions).simplify(because="where a cold gas has R")
    by_decay.substitute(directions).simplify(because="where a cold gas has 0")


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
    """Give what stands in the equation another name."""
    base, exponent = old.as_base_exp()
    return eq(*(side.subs(base, new ** (1 / exponent)) for side in equation.args))


def _volume_fluctuations(chain: Chain) -> None:
    _gibbs_volume(chain)
    growth = chain.claim("norm-balance", about=Dot(w_next, w_next))
    pure = chain.assumption("pure noise", eq(NoiseMean(Dot(g, g)), tr_Sigma / r**2))
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    step = growth.mean_change(r**2).substitute(pure, noise)
    named = chain.definition(eq(Generator(r**2), _change(r**2)), "a function of the squared norm")
    change = step.substitute(named).rename(y, r**2)
    recovery_ = chain.definition(
        eq(recovery, -sp.Derivative(_change(y), y)), "how much of a deviation a step takes away"
    )
    recovery_ = recovery_.substitute(change)
    mean = chain.definition(eq(_change(y), _after(y) - y), "from y to its mean after a step")
    still = chain.assumption("stationarity", eq(_after(y), y), "y is where the norm stays")
    balance = mean.equate(change).substitute(still)
    size = balance.solve_for(sigma**2)
    recovery_ = recovery_.substitute(size).simplify()

    kicks = chain.definition(eq(kick, NoiseVariance(Dot(w_next, w_next))), "what a step adds")
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
        "kicks that are forgotten at a small rate add up to kick/(2 recovery) in the variance of r^2 = 2 V",
    )
    variance = balance.substitute(kicks, recovery_).solve_for(var_V)
    heat = chain.definition(eq(T, eta * sigma**2 / (2 * y)), "the temperature")
    heat = heat.substitute(size).solve_for(y)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the directions")
    variance = variance.substitute(heat, directions).simplify()
    small = chain.assumption("small steps", eq(1 - eta * lam / 2, 1), "eta lambda is small")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    variance = variance.neglect(small)
    variance.times_one(pressure, 2, because="eta lambda/2 of what a Gibbs ensemble has")


@operation("neglect a small number beside 1")
def neglect(equation: sp.Eq, small: sp.Eq) -> sp.Eq:
    """Put the right-hand side of `small` for its left-hand side, by which the equation's right-hand side is divided."""
    return eq(equation.lhs, sp.simplify(equation.rhs * small.lhs) / small.rhs)


@operation("multiply by what is 1, to the power {0}")
def times_one(equation: sp.Eq, equal: sp.Eq, power: int) -> sp.Eq:
    """Multiply the right-hand side by a power of the ratio of the sides of another equation."""
    return eq(equation.lhs, equation.rhs * (equal.rhs / equal.lhs) ** power)


def _gibbs_volume(chain: Chain) -> Step:
    """Variance of the volume where energy and volume are both exchanged with a bath, for comparison."""
    weight = V ** (d / 2 - 1) * sp.exp(-p * V / T)
    mean, square, one = (sp.Integral(V**k * weight, (V, 0, sp.oo)) for k in (1, 2, 0))
    gibbs = chain.definition(
        eq(var_V_Gibbs, square / one - (mean / one) ** 2),
        "under exp(-(L + p |w|^2/2)/T) all d weights fluctuate: the surface of the sphere of volume V is ~ V^(d/2 - 1)",
    )
    gibbs = gibbs.evaluate_integrals().simplify()
    count = chain.definition(eq(d, 2 * R_Gibbs), "so that its gas constant is d/2")
    return gibbs.substitute(count).simplify(because="what a Gibbs ensemble would have")


# Finite steps ------------------------------------------------------------------------------------


@operation("the positive root in {0}")
def positive_root(equation: sp.Eq, unknown: sp.Symbol) -> sp.Eq:
    """Solve a quadratic equation of which one root is positive and the other negative."""
    polynomial = sp.Poly(sp.numer(sp.together(equation.lhs - equation.rhs)), unknown)
    if polynomial.degree() != 2:
        raise OperationError(f"{equation} is not quadratic in {unknown}")
    a, b, constant = polynomial.all_coeffs()
    if not sp.simplify(constant / a).is_negative:
        raise OperationError(f"the roots of {equation} may have one sign")
    half, rest = sp.simplify(-b / (2 * a)), sp.simplify(-constant / a)
    return eq(unknown, half + sp.sqrt(sp.expand(half**2) + rest))


def _cold_energy(chain: Chain) -> tuple[Step, Step, Step, Step]:
    """The energy of a cold gas from the exact second moment of its linear steps."""
    linear = chain.assumption(
        "low temperature",
        eq(x_next, x - eta_eff * (h * x + xi)),
        "near the minimum of the loss the direction moves linearly, by curvature and noise",
    )
    square = linear.squared_norm().expectation()
    unbiased = chain.definition(eq(Expectation(Dot(x, xi)), 0), "noise has no mean")
    noise = chain.definition(eq(Expectation(Dot(xi, xi)), (d - 1) * sigma**2), "tr Sigma, in d - 1 directions")
    still = chain.assumption(
        "stationarity", eq(Expectation(Dot(x_next, x_next)), Expectation(Dot(x, x))), "the spread stays"
    )
    square = square.substitute(unbiased, noise, still)
    energy = chain.assumption("low temperature", eq(U, h * Expectation(Dot(x, x)) / 2), "the loss is quadratic there")
    spread = energy.solve_for(Expectation(Dot(x, x)))
    heat = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature")
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the directions")
    strength = heat.solve_for(sigma**2)
    energy = square.substitute(spread, strength, directions).solve_for(U)
    energy = energy.as_ratio(h, because="exact in the step: a cold gas has U = R T only for small steps")
    energy.scale(1 / (R * T)).series(h, sp.S.Zero, 2, because="U is larger by h eta_eff/2")
    return energy, spread, noise, unbiased


def _finite_step(chain: Chain, protocol: Protocol) -> None:
    energy, spread, noise, unbiased = _cold_energy(chain)
    push = chain.assumption(
        "low temperature",
        eq(Dot(g, g), Dot(h * x + xi, h * x + xi) * eta_eff / eta),
        "the gradient: that of a quadratic loss and noise, at norm r, 1/r^2 = eta_eff/eta",
    )
    push = push.expectation().substitute(unbiased, noise, spread)
    heat = chain.definition(eq(sigma**2, 2 * T / eta_eff), "the temperature")
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the directions")
    push = push.substitute(heat, directions, energy)
    if protocol is FixedSphere:
        virial = chain.assumption(
            "low temperature",
            eq(p * V, eta * Expectation(Dot(g, g)) / 4 - Expectation(Dot(g, w)) / 2),
            "the pressure: weight decay that would take away what the projection takes away, while eta p is small",
        )
        radial = chain.assumption("scale invariance", eq(Expectation(Dot(g, w)), 0), "g.w = 0 in each batch")
        virial = virial.substitute(radial)
    else:
        virial = chain.claim("virial-theorem")
        slow = chain.assumption("low temperature", eq(1 - eta * lam / 2, 1), "a cold gas is wide")
        virial = virial.substitute(slow)
    work = virial.substitute(push).simplify()
    work = work.as_ratio(h, because="p V = U: as large as the energy")
    work.scale(1 / (R * T)).series(h, sp.S.Zero, 2, because="p V is larger by h eta_eff/2")
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
    volume.series(h, sp.S.Zero, 2, because="V, and with it p V, is larger by h eta_eff/4")
    cooler = warmth.substitute(volume)
    closed = cooler.scale(2 * sp.sqrt(R / (eta * lam)) / sigma, because="over what it is for small steps")
    closed.series(h, sp.S.Zero, 2, because="T is smaller by h eta_eff/4, U = p V larger by as much")
    volume.substitute(count).simplify()


# The registry ------------------------------------------------------------------------------------

derivation(
    "norm-balance",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="The mean squared norm at which what weight decay takes is what gradients bring, exactly",
    worlds=[_BATCHES],
)(_norm_balance)
derivation(
    "virial-theorem",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="p V (1 - eta lambda/2) is a quarter of eta E|g|^2, exactly, for any noise and any step size",
    worlds=[_BATCHES],
)(_virial_theorem)
derivation(
    "virial-with-remainder",
    kind="identity",
    source=f"{THIS_TOOLKIT}; Clausius 1870",
    summary="The virial theorem of any loss: what is not scale-invariant adds its virial E[w.g]",
    worlds=[_BATCHES],
)(_virial_with_remainder)
derivation(
    "compressibility",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="p V/(R T) does not depend on V; with T read off the noise it is an identity and no equation of state",
    worlds=[runs_world(FixedELR.key), _BATCHES],
)(_compressibility)
derivation(
    "configurational-temperature",
    kind="physics",
    source=f"Rugh 1997, Phys. Rev. Lett. 78, 772; {THIS_TOOLKIT}",
    summary="Under a Gibbs law E|grad L|^2 is T times the mean Laplacian: a temperature without noise or "
    "entropy (gradient-balance: what holds under any noise)",
    worlds=[density_world()],
)(_configurational_temperature)
derivation(
    "gradient-balance",
    kind="identity",
    source=f"Yaida 2018, arXiv 1810.00004; {THIS_TOOLKIT}",
    summary="Under any noise E|grad L|^2 is eta_eff/2 times the mean of tr(H Sigma): what V6 is held against",
    worlds=[balance_world()],
)(_gradient_balance)
derivation(
    "path-entropy",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="The entropy of one run's snapshots is that of its path: slopes 3/2 R in log eta and R/2 in log lambda",
    worlds=[snapshots_world()],
)(_path_entropy)
derivation(
    "volume-fluctuations",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="At fixed LR the volume fluctuates eta lambda/2 times as much as in a Gibbs ensemble, hardly at all",
    worlds=[volume_world(), volume_world(away=True)],
)(_volume_fluctuations)

_FINITE_STEP = {
    FixedSphere: "Pressure of a cold gas at steps of any size: p and U are larger by h eta_eff/2 than R T says",
    FixedELR: "Volume of a cold gas at steps of any size: V and U are larger by h eta_eff/2 than R T says",
    FixedLR: "Volume of a cold gas at steps of any size: V, p V and U are larger, T smaller by h eta_eff/4",
}
for _protocol, _words in _FINITE_STEP.items():
    derivation(
        "finite-step",
        protocol=_protocol,
        kind="physics",
        source=THIS_TOOLKIT,
        summary=_words,
        worlds=[cold_world(_protocol.key)],
    )(_finite_step)
