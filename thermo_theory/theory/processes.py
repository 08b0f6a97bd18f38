"""Processes: what is constant along a schedule, what fast changes cost, and what averaging gains.

>>> from thermo_theory import derive
>>> derive("isotherm").claim(eta=0.2, eta0=0.1, lam0=1e-3)
0.0005
>>> derive("quench").claim(R=50.0, T1=2.0, T2=1.0)
15.342...
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.numeric.differences import excess_over_log
from thermo_theory.numeric.domain import Invalid
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import (
    C_V,
    T1,
    T2,
    C_p,
    N,
    R,
    T,
    c,
    d,
    eq,
    eta,
    eta0,
    lag,
    lam,
    lam0,
    p,
    p0,
    produced,
    r,
    r0,
    ramp,
    sigma,
    t,
    tr_Sigma,
)
from thermo_theory.symbols.vectors import Dot
from thermo_theory.theory import discrete, relaxation  # noqa: F401 (their operations)
from thermo_theory.theory.stochastic import PAPER
from thermo_theory.worlds.discrete import run
from thermo_theory.worlds.processes import (
    average_world,
    pressure_world,
    quench_world,
    ramp_world,
    same_temperature_world,
    same_volume_world,
    schedule_world,
)

__all__: list[str] = []

THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"

_squared_norm = sp.Symbol("s", positive=True)
_S, _S_sphere, _U, _Z = (sp.Function(name) for name in ("S", "S_sphere", "U", "Z"))
_eta, _lam, _T, _r = (sp.Function(name, positive=True)(t) for name in ("eta", "lambda", "T", "r"))
_T_end, _r_end = (sp.Function(name, positive=True)(t) for name in ("T_e", "r_e"))
_y, _y_e = (sp.Function(name, positive=True)(t) for name in ("y", "y_e"))
_c, _q, _q_N, _U_N = (sp.Function(name)(T) for name in ("c", "q", "q_N", "U_N"))


# Operations --------------------------------------------------------------------------------------


@operation("at the start of the process")
def at_start(equation: sp.Eq) -> sp.Eq:
    """Write a law for the learning rate, weight decay and norm at the start."""
    return eq(*(side.subs({eta: eta0, lam: lam0, r: r0}) for side in equation.args))


@operation("two runs that agree have one weight decay")
def same_decay(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """From ``run(..., a) = x`` and ``run(..., b) = x`` to ``b = a``: more decay takes more of the norm."""
    (one,), (two,) = first.lhs.atoms(run), second.lhs.atoms(run)
    if first.rhs != second.rhs or one.args[:-1] != two.args[:-1]:
        raise OperationError(f"{first} and {second} differ in more than one argument")
    return eq(two.args[-1], one.args[-1])


@operation("follow along the schedule")
def along(equation: sp.Eq) -> sp.Eq:
    """Write a law for the state that the rates of each time would lead to in the end."""
    names = {eta: _eta, lam: _lam, T: _T_end, r: _r_end}
    return eq(*(side.subs(names) for side in equation.args))


@operation("differentiate the logarithm with respect to {0}")
def log_slope(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Derivative of a quantity over itself, and what it is on the other side."""
    right = sp.diff(sp.expand_log(sp.log(equation.rhs)), variable)
    slope = equation.lhs * sp.expand(right)
    return eq(sp.Derivative(equation.lhs, variable), sp.expand(slope))


@operation("differentiate with respect to {0}, with the heat capacity")
def chain_rule(equation: sp.Eq, variable: sp.Symbol, capacity: sp.Eq) -> sp.Eq:
    """Differentiate a sum in which the function whose slope `capacity` gives stands, by the chain rule."""
    function, inner = capacity.lhs.expr, capacity.lhs.variables[0]
    right = sp.diff(equation.rhs, variable)
    for node in right.atoms(sp.Derivative):
        if node.expr.func == function.func:
            right = right.subs(node, capacity.rhs.subs(inner, node.variables[0]))
    return eq(sp.Derivative(equation.lhs, variable), right)


@operation("solve for {0}, long after the start")
def keep_up(equation: sp.Eq, function: sp.Expr) -> sp.Eq:
    """The solution of a linear differential equation without the part that decays from the start."""
    solution = sp.dsolve(equation, function)
    (constant,) = solution.rhs.free_symbols - equation.free_symbols
    start = sp.expand(solution.rhs).coeff(constant)
    if sp.limit(start, function.args[0], sp.oo) != 0 or start == 0:
        raise OperationError(f"{start} does not decay")
    return eq(solution.lhs, sp.simplify(solution.rhs.subs(constant, 0)))


@operation("where {0} does not change, it is {1}")
def standstill(equation: sp.Eq, function: sp.Expr, name: sp.Expr) -> sp.Eq:
    """The value at which the rate of a differential equation vanishes."""
    (value,) = sp.solve(equation.rhs, function)
    return eq(name, value)


@operation("divide by")
def ratio_of_sides(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Divide one equation by another, side by side."""
    ratio = sp.powsimp(sp.simplify(first.rhs / second.rhs))
    return eq(first.lhs / second.lhs, sp.expand(ratio))


@operation("to first order in {0}")
def first_order(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Invert both sides and expand to first order."""
    return eq(1 / equation.lhs, sp.series(1 / equation.rhs, variable, 0, 2))


@operation("integrate over {0} from {1} to {2}")
def between(equation: sp.Eq, variable: sp.Symbol, start: sp.Expr, end: sp.Expr) -> sp.Eq:
    """Integrate a slope: the difference of what it is the slope of."""
    function = equation.lhs.args[0]
    right = sp.integrate(equation.rhs, (variable, start, end))
    return eq(function.subs(variable, end) - function.subs(variable, start), sp.expand_log(right))


@operation("insert the differences")
def put_difference(equation: sp.Eq, *differences: sp.Eq) -> sp.Eq:
    """Put in what the difference of two values of a function is, in terms of its second."""
    right = equation.rhs
    for known in differences:
        (positive,) = [term for term in sp.Add.make_args(known.lhs) if not term.could_extract_minus_sign()]
        right = right.subs(positive, known.rhs - (known.lhs - positive))
    return eq(equation.lhs, sp.expand(right))


@operation("smallest value over {0}")
def smallest(equation: sp.Eq, variable: sp.Symbol) -> sp.Ge:
    """Bound the right-hand side from below by its value at its only stationary point, a minimum."""
    (place,) = sp.solve(sp.diff(equation.rhs, variable), variable)
    domain = sp.Interval.open(0, sp.oo) if variable.is_positive else sp.S.Reals
    steady = sp.calculus.singularities(equation.rhs, variable, domain) == sp.S.EmptySet
    if not (steady and sp.diff(equation.rhs, variable, 2).subs(variable, place).is_positive):
        raise OperationError(f"{place} is no minimum, or not the only one")
    return sp.Ge(equation.lhs, sp.simplify(equation.rhs.subs(variable, place)), evaluate=False)


@operation("average {0} independent ones: the means of their products vanish")
def independent_mean(one: sp.Eq, number: sp.Symbol, name: sp.Expr) -> sp.Eq:
    """Mean square of an average of independent vectors of mean 0: each square once, over the squared number."""
    index = sp.Dummy("i")
    return eq(name, sp.summation(one.rhs / number**2, (index, 1, number)))


# Isotherm, isobar, isochore, adiabat ---------------------------------------------------------------


@derivation(
    "isotherm",
    source=THIS,
    summary="Learning rate times weight decay is constant, and so is the temperature, for any noise and any step size",
    worlds=[same_temperature_world],
)
def _isotherm(chain: Chain) -> None:
    symmetric = chain.claim("scaling-symmetry", FixedLR)
    first = symmetric.at_once({eta: eta0, lam: lam0}, because="the run at the start of the process")
    first = first.choose(c, sp.sqrt(eta / eta0), because="so that eta/r^2 is the same").squared_norm()
    (one,) = first.equation.lhs.atoms(run)
    other = run(*one.args[:-1], lam)
    tuned = chain.assumption(
        "constant effective learning rate",
        eq(Dot(other, other), first.equation.rhs),
        "weight decay keeps eta/r^2, and with it the noise temperature of each direction, as it was",
    )
    first.same_decay(tuned)


@derivation(
    "isobar",
    kind="definition",
    source=f"{PAPER}, Sec. 3",
    summary="Weight decay is constant, and so is the pressure",
    worlds=[pressure_world],
)
def _isobar(chain: Chain) -> None:
    now = chain.definition(eq(p, lam), "weight decay is the pressure")
    before = chain.definition(eq(p0, lam0), "also at the start")
    held = chain.assumption("constant pressure", eq(p, p0))
    held.substitute(now, before)


@derivation(
    "isochore",
    source=THIS,
    summary="Learning rate over weight decay is constant, and so is the volume, for homogeneous noise",
    worlds=[same_volume_world],
)
def _isochore(chain: Chain) -> None:
    now = chain.claim("radius", FixedLR)
    held = chain.assumption("constant volume", eq(r, r0))
    now.substitute(held).equate(now.at_start()).solve_for(lam)


# What changes ------------------------------------------------------------------------------------


@derivation(
    "entropy-of-schedule",
    source=THIS,
    summary="Change of the entropy along any slow schedule: C_p/2 dlog eta + (C_p/2 - R) dlog lambda",
    worlds=[schedule_world],
)
def _entropy_of_schedule(chain: Chain) -> None:
    radius, heat = chain.claim("radius", FixedLR), chain.claim("temperature", FixedLR)
    slow = [chain.assumption("slow schedule", eq(now, end)) for now, end in ((_T, _T_end), (_r, _r_end))]
    entropy = chain.assumption(
        "slow schedule",
        eq(_S(t), _S_sphere(_T) + (d - 1) * sp.log(_r)),
        "the entropy of exp(-L/T)/Z at the temperature of now, and the part of the norm",
    )
    capacity = chain.definition(eq(sp.Derivative(_S_sphere(T), T), C_V / T), "the heat capacity of the directions")
    warming = heat.along(because="rates that stay as they are now").log_slope(t)
    growing = radius.along().log_slope(t)
    entropy = entropy.substitute(*slow)
    change = entropy.chain_rule(t, capacity)
    change = change.substitute(warming, growing)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    mayer = chain.definition(eq(C_V, C_p - R), "C_p = C_V + R")
    change.substitute(directions, mayer).expand()


@derivation(
    "quasi-static",
    source=THIS,
    summary="Lag of log r behind its equilibrium on a ramp: a quarter of the ramp's rate over the relaxation rate 4 "
    "eta lambda, while that is small; other slow modes need slower ramps",
    worlds=[ramp_world],
    domain=[ramp > -4 * eta * lam],
)
def _quasi_static(chain: Chain) -> None:
    growth = chain.claim("ito-radius", FixedLR)
    noise = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    motion = growth.substitute(noise).as_rate(r, _y, 4, t, because="no noise acts on the norm: g.w = 0")
    rate = chain.assumption("exponential ramp", eq(eta, eta0 * sp.exp(ramp * t / 2)), "of the learning rate")
    decay = chain.assumption(
        "exponential ramp", eq(lam, lam0 * sp.exp(-ramp * t / 2)), "and of weight decay, at constant eta lambda"
    )
    motion = motion.substitute(rate, decay).simplify()
    followed = motion.keep_up(_y)
    still = motion.standstill(_y, _y_e, because="the value that r^4 would reach if the ramp stopped")
    ratio = still.ratio_of_sides(followed)
    ratio.first_order(ramp, because="the lag is the ramp's rate over the relaxation rate 4 eta lambda")
    behind = chain.definition(eq(lag, sp.log(_y_e / _y) / 4), "the lag of log r")
    behind = behind.substitute(ratio)
    back = [rate.solve_for(eta0), decay.solve_for(lam0)]
    behind.substitute(*back, because="quasi-static while nu is far below 4 eta lambda")


def _produced(invalid: Invalid, R: np.ndarray, T1: np.ndarray, T2: np.ndarray) -> np.ndarray:
    """R times ``x - 1 - log x``, x = T1/T2, also for a small drop."""
    del invalid
    return R * excess_over_log(T1, T2)


@derivation(
    "quench",
    source=f"Clausius' inequality; {THIS}",
    summary="A sudden drop from T1 to T2 produces the entropy R (x - 1 - log x) with x = T1/T2, which is never "
    "negative",
    worlds=[quench_world],
    kernel=_produced,
)
def _quench(chain: Chain) -> None:
    gibbs = chain.assumption("Gibbs law", eq(_S(T), _U(T) / T + sp.log(_Z(T))), "-log rho = L/T + log Z, on average")
    norm = chain.assumption(
        "Gibbs law", eq(sp.Derivative(sp.log(_Z(T)), T), _U(T) / T**2), "a derivative of Z = sum of exp(-L/T)"
    )
    constant = chain.assumption(
        "constant heat capacity", eq(sp.Derivative(_U(T), T), R), "near the bottom of a quadratic well, C_V = R"
    )
    slope = gibbs.product_rule(T)
    slope = slope.substitute(norm)
    slope = slope.substitute(constant)
    entropy = slope.between(T, T1, T2)
    energy = constant.between(T, T1, T2)
    made = chain.definition(
        eq(produced, _S(T2) - _S(T1) - (_U(T2) - _U(T1)) / T2),
        "the entropy gained by the gas, and by the bath from heat given off at the new temperature",
    )
    made = made.put_difference(entropy, energy)
    made.smallest(T1, because="second law: never negative, and zero only without a drop")
    made.gather()


@operation("differentiate with respect to {0}")
def product_rule(equation: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Differentiate a sum term by term, leaving the slope of each logarithm as it stands."""
    right = sp.S.Zero
    for term in sp.Add.make_args(equation.rhs):
        right += sp.Derivative(term, variable) if isinstance(term, sp.log) else sp.diff(term, variable)
    return eq(sp.Derivative(equation.lhs, variable), right)


@operation("gather")
def gather(equation: sp.Eq) -> sp.Eq:
    """Gather logarithms of positive numbers, and take out R."""
    right = sp.collect(sp.expand(equation.rhs), R, evaluate=False)
    return eq(equation.lhs, sp.Add(*[k * sp.logcombine(v) for k, v in right.items()]))


@derivation(
    "weight-averaging",
    source=THIS,
    summary="The average of N independent samples, projected on the sphere, has the excess loss R T/N instead of R T",
    worlds=[average_world],
    domain=[N >= 1],
)
def _weight_averaging(chain: Chain) -> None:
    spread = chain.assumption(
        "Gibbs law",
        eq(_q, (d - 1) * T * _c),
        "the mean squared component perpendicular to the minimum, by parts on the sphere, with the mean cosine c",
    )
    cold = chain.assumption("low temperature", eq(_c, 1), "the directions stay close to the minimum: c = 1 + O(T)")
    bottom = chain.assumption(
        "low temperature",
        eq(_U_N, _q_N / 2),
        "and the loss is half the squared distance up to O(T^2), after projection on the sphere too",
    )
    shared = spread.independent_mean(N, _q_N)
    loss = bottom.substitute(shared)
    loss = loss.substitute(cold)
    directions = chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")
    loss.substitute(directions)
