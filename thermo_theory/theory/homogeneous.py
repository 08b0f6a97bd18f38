"""The gas of degree k: any optimiser whose step is of degree k in the gradient, whatever it remembers.

SGD is of degree 1; Adam, Lion, Muon and the sign of a gradient are of degree 0. With decoupled weight decay,

    r^(2 + 2k) = eta D/(2 lambda)     V = r^(1 + k)/(1 + k)     p = lambda/a     p V = R_k T     R_k = (d - 1)/(1 + k)

where D is the sum over all lags of the mean inner products of steps' directions at unit norm (the mean square if steps
are uncorrelated), and a is the mean gain: the slope of a step's mean in the mean gradient. With coupled weight decay it
is a gas in the coordinates of SGD. With a trust ratio only the norm is derived.

>>> from thermo_theory import derive
>>> [float(derive("homogeneous-gas").claim(k=k)) for k in (0, 1)]  # AdamW and SGD at low temperature
[3.0, 2.0]
>>> derive("homogeneous-radius").claim(eta=0.1, lam=0.05, D=16.0, k=1)  # 16^(1/4)
2.0
"""

from __future__ import annotations

from functools import partial

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import (
    C_V,
    C_p,
    D_now,
    D_step,
    D_x,
    R,
    R_k,
    T,
    V,
    angle,
    chord,
    d,
    degree,
    eq,
    eta,
    eta_eff,
    gain,
    gain_along,
    gamma,
    h,
    lam,
    own,
    p,
    r,
    r_next,
    size,
    stride,
    taken,
    u,
    u_mean,
    u_noise,
    w,
    w_next,
    x,
    x_next,
)
from thermo_theory.symbols.vectors import Dot, Expectation
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.homogeneous import (
    after,
    gas_world,
    lag,
    lagged,
    length_world,
    memory_world,
    with_weights,
)

__all__ = ["NAMES", "out_of_sum", "sum_recursion"]

_WW = Expectation(Dot(w, w))


@operation("follow the recursion in {0} to infinity")
def sum_recursion(equation: sp.Eq, index: sp.Symbol) -> sp.Eq:
    """Sum ``f(n) = a f(n + 1) + g(n)`` to ``f(0) = sum of a^n g(n)``, for a bounded f and ``|a| < 1``.

    Raises
    ------
    OperationError
        If the equation has another form.
    """
    function = equation.lhs.func
    right, following = sp.expand(equation.rhs), function(index + 1)
    factor = sp.factor(right.coeff(following))
    rest = sp.simplify(right - sp.expand(factor * following))
    if equation.lhs != function(index) or factor == 0 or factor.has(index) or rest.has(function):
        raise OperationError(f"{equation} is no recursion from {following} to {function(index)}")
    return eq(function(0), sp.Sum(factor**index * rest, (index, 0, sp.oo)))


@operation("take the constant out of the sum")
def out_of_sum(equation: sp.Eq) -> sp.Eq:
    """Take what does not depend on the index out of every sum."""

    def taken(function: sp.Expr, limits: sp.Tuple) -> sp.Expr:
        constant, inside = function.as_independent(limits[0], as_Add=False)
        return constant * sp.Sum(inside, limits)

    return eq(equation.lhs, equation.rhs.replace(sp.Sum, taken))


@derivation(
    "step-memory",
    source=THIS_TOOLKIT,
    summary="For any steps with decoupled weight decay, what decay removes from the mean squared norm per step is the "
    "sum over all lags of the mean inner products of steps",
    worlds=[memory_world()],
)
def _step_memory(chain: Chain) -> None:
    moved = chain.definition(eq(w_next, (1 - taken) * w - stride * u), "any step, with decoupled weight decay")
    product = chain.definition(
        eq(with_weights(lag), Expectation(Dot(w, after(lag)))), "the weights and the step n steps later"
    )
    later = chain.definition(
        eq(lagged(lag), Expectation(Dot(u, after(lag)))), "mean inner products of steps that are n steps apart"
    )
    still = chain.assumption(
        "stationarity",
        eq(Expectation(Dot(w_next, after(lag + 1))), with_weights(lag)),
        "one step later every mean is the same",
    )
    recursion = moved.project(after(lag + 1)).expectation()
    recursion = recursion.substitute(
        still, product.at_once({lag: lag + 1}).flip(), later.at_once({lag: lag + 1}).flip()
    )
    total = recursion.sum_recursion(lag).out_of_sum()
    now = chain.definition(eq(after(0), u), "at lag 0 it is this step")
    held = product.choose(lag, 0).substitute(now).flip().substitute(total)
    square = moved.inner(moved).expectation()
    steady = chain.assumption("stationarity", eq(Expectation(Dot(w_next, w_next)), _WW), "the norm does not drift")
    square = square.substitute(steady, held)
    (sum_,) = total.equation.rhs.atoms(sp.Sum)
    named = chain.definition(
        eq(D_now, Expectation(Dot(u, u)) + 2 * (1 - taken) * sum_),
        "each mean product, times what decay has left by then",
    )
    square = square.substitute(named.solve_for(Expectation(Dot(u, u))))
    square.solve_for(_WW).balanced(taken * (2 - taken))


# Radius ------------------------------------------------------------------------------------------


def _as_decoupled(chain: Chain, kind: str) -> tuple[Step, Step]:
    """The learning rate and what decay takes, of the step as one with decay beside it."""
    rate, decay, words = eta, eta * lam, "weight decay is decoupled"
    first = "to first order in the decay, which is small beside the gradient"
    if kind == "coupled":
        decay = eta * gain_along * lam * r ** (1 - degree)
        words = f"the equivalent decoupled weight decay, {first}; a_w is the gain along w"
    elif kind == "trust":
        rate, decay = eta * r, eta * lam * r ** (1 + degree) / size
        words = f"the equivalent decoupled step, {first}; A/r^k is the norm of the step before it is divided by it"
    if kind == "decoupled":
        return chain.definition(eq(stride, rate), words), chain.definition(eq(taken, decay), words)
    return (
        chain.assumption("small steps", eq(stride, rate), words),
        chain.assumption("small steps", eq(taken, decay), words),
    )


def _radius(chain: Chain, kind: str) -> None:
    rate, decay = _as_decoupled(chain, kind)
    balance = chain.claim("step-memory").substitute(rate, decay).solve_for(_WW)
    steady = chain.assumption("small steps", eq(Expectation(r**2), r**2), "the norm hardly fluctuates")
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm").expectation().substitute(steady)
    balance = balance.lead(eta, steady).substitute(norm)
    if kind == "trust":
        alike = chain.assumption(
            "scale invariance",
            eq(D_now, D_step),
            "at another norm of the weights only the norm of the step before its division changes",
        )
        balance.substitute(alike).root(r)
        return
    alike = chain.assumption(
        "scale invariance",
        eq(D_now, D_step * Expectation(r ** (-2 * degree))),
        "steps are of degree k in gradients, which are of degree -1 in the weights",
    )
    level = chain.assumption("small steps", eq(Expectation(r ** (-2 * degree)), r ** (-2 * degree)))
    balance.substitute(alike, level).root(r)


# Rotation ----------------------------------------------------------------------------------------


def _angle(chain: Chain) -> None:
    balance = chain.claim("step-memory")
    held = chain.claim("step-memory", about=Expectation(Dot(u, w)))
    named = chain.claim("step-memory", about=D_now)
    (sum_,) = named.equation.rhs.atoms(sp.Sum)
    held = held.substitute(named.solve_for(sum_))
    moved = chain.definition(eq(w_next, (1 - taken) * w - stride * u), "any step, with decoupled weight decay")
    share = chain.definition(eq(own, Expectation(Dot(u, u)) / D_now), "the share of a step's own square")
    overlap = moved.project(w).expectation().substitute(held, share.solve_for(Expectation(Dot(u, u))))
    turned = chain.definition(
        eq(sp.cos(angle) * _WW, Expectation(Dot(w, w_next))), "the mean cosine, weighted with the squared norm"
    )
    turned = turned.substitute(overlap).solve_for(sp.cos(angle))
    turned.substitute(balance.solve_for(_WW)).simplify().arccosine()


def _length(chain: Chain) -> None:
    moved = chain.definition(
        eq(w_next - w, -eta * r * (u + lam * w) / sp.sqrt(Dot(u + lam * w, u + lam * w))),
        "a step with a trust ratio that includes the weight decay",
    )
    square = moved.inner(moved).simplify().expectation()
    far = chain.definition(
        eq(chord**2 * Expectation(r**2), Expectation(Dot(w_next - w, w_next - w))),
        "the mean square of a step over that of the weights",
    )
    far.substitute(square).root(chord)


def _drift(chain: Chain) -> None:
    length = sp.sqrt(Dot(u, u))
    moved = chain.definition(
        eq(w_next, (1 - eta * lam) * w - eta * r * u / length),
        "a step as long as eta times the weights, decay beside it",
    )
    tangent = chain.assumption("scale invariance", eq(Dot(u, w), 0), "the step is along the sphere")
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    after_it = chain.definition(eq(Dot(w_next, w_next), r_next**2), "the norm after the step")
    square = moved.inner(moved).substitute(tangent, norm, after_it).simplify()
    square.take_logarithm().log_ratio()


@operation("solve for the change of log r")
def log_ratio(equation: sp.Eq) -> sp.Eq:
    """From ``2 log r' = 2 log r + ...`` to the difference of the logarithms."""
    change = sp.simplify(sp.expand_log(equation.rhs) / 2 - sp.log(r))
    if equation.lhs != 2 * sp.log(r_next) or change.has(r):
        raise OperationError(f"{equation} does not give a norm as a multiple of that before")
    return eq(sp.log(r_next) - sp.log(r), change)


# Temperature and the gas -------------------------------------------------------------------------


def _temperature(chain: Chain) -> None:
    rate = chain.definition(eq(eta_eff, eta / r ** (1 + degree)), "the effective learning rate")
    moved = chain.definition(eq(x_next, x - eta_eff * (u_mean + u_noise)), "the direction's step: a mean, and noise")
    well = chain.assumption(
        "low temperature",
        eq(u_mean, gain * h * x),
        "to first order in the distance from the minimum, where the loss has the curvature h",
    )
    moved = moved.substitute(well)
    spread = chain.claim("step-memory").at_once(
        {w: x, stride: eta_eff, taken: eta_eff * gain * h, D_now: D_x},
        given=(moved,),
        because="the same step, with other letters",
    )
    even = chain.assumption("isotropic noise", eq(D_x, D_step / (d - 1)), "the noise is the same in all directions")
    small = chain.assumption("small steps", eq(Expectation(r**2), r**2), "the norm hardly fluctuates")
    heat = chain.definition(eq(T, h * Expectation(Dot(x, x))), "equipartition: the mean loss is T/2 in each direction")
    spread = spread.solve_for(Expectation(Dot(x, x))).lead(eta_eff, small)
    heat.substitute(spread).substitute(even, rate)


def _gas(chain: Chain, kind: str) -> None:
    radius, heat = chain.claim(f"{NAMES[kind]}-radius"), chain.claim("homogeneous-temperature")
    if kind == "decoupled":
        volume = chain.definition(eq(V, r ** (1 + degree) / (1 + degree)), "the volume")
        pressure = chain.definition(eq(p, lam / gain), "the pressure: weight decay in units of the mean gain")
        constant, why = eq(R_k, (d - 1) / (1 + degree)), "the gas constant"
    else:
        volume = chain.definition(eq(V, r**2 / 2), "half the squared norm is the volume")
        pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
        constant, why = eq(R, (d - 1) / 2), "the gas constant, as for SGD"
    directions = chain.definition(constant, why)
    if kind == "coupled":
        alike = chain.assumption("equal gains", eq(gain_along, gain), "otherwise p V/(R T) is their ratio a/a_w")
        radius = radius.substitute(alike)
    work = pressure.multiply(volume.substitute(radius))
    law = work.compared(heat.substitute(radius).multiply(directions), directions.equation.lhs * T)
    _adiabatic_index(chain, law, directions)


def _adiabatic_index(chain: Chain, law: Step, directions: Step) -> Step:
    """The adiabatic index at low temperature, from an equation of state."""
    inner_energy, enthalpy = sp.Function("U"), sp.Function("H")
    energy = chain.assumption(
        "low temperature",
        eq(inner_energy(T), (d - 1) * T / 2),
        "equipartition: T/2 in each direction, above the minimum",
    )
    at_volume = chain.definition(eq(C_V, sp.Derivative(inner_energy(T), T)), "heat capacity at constant volume")
    at_volume = at_volume.substitute(energy.differentiate(T))
    whole = chain.definition(eq(enthalpy(T), inner_energy(T) + p * V), "the enthalpy").substitute(law, energy)
    at_pressure = chain.definition(eq(C_p, sp.Derivative(enthalpy(T), T)), "heat capacity at constant pressure")
    at_pressure = at_pressure.substitute(whole.differentiate(T))
    ratio = chain.definition(eq(gamma, C_p / C_V), "the adiabatic index")
    return ratio.substitute(at_pressure, at_volume, directions).simplify()


def _slopes(chain: Chain) -> None:
    """Slopes of the entropy at low temperature."""
    radius = chain.claim("homogeneous-radius")
    heat = chain.claim("homogeneous-temperature").substitute(radius)
    entropy = sp.Function("S")
    cold = chain.assumption(
        "low temperature",
        eq(entropy(eta, lam), (d - 1) * (sp.log(T) / 2 + sp.log(r))),
        "directions are normal with variances T/h; up to a constant",
        given=(heat,),
    )
    cold = cold.substitute(heat, radius).expand_logs()
    constant = chain.definition(eq(d, 1 + R_k * (1 + degree)), "the gas constant")
    for rate in (eta, lam):
        cold.differentiate(rate).scale(rate).substitute(constant).simplify()


NAMES = {"decoupled": "homogeneous", "coupled": "coupled-homogeneous", "trust": "trust-ratio"}

#: Of each kind, how weight decay enters.
_DECAY = {
    "decoupled": "for a step of degree k with decoupled weight decay",
    "coupled": "for a step of degree k with coupled weight decay (as of an L2 penalty)",
    "trust": "for a step with a trust ratio that includes the weight decay (LARS, LAMB)",
}

for (_kind, _name), _words in zip(NAMES.items(), _DECAY.values(), strict=True):
    derivation(
        f"{_name}-radius",
        source=THIS_TOOLKIT,
        summary=f"Stationary norm of the weights {_words}",
        worlds=[gas_world(_kind), memory_world()],
    )(partial(_radius, kind=_kind))

derivation(
    "homogeneous-temperature",
    source=THIS_TOOLKIT,
    summary="Temperature of a gas of degree k: the effective learning rate times the noise per direction, D/(d - 1), "
    "over twice the mean gain of a step",
    worlds=[gas_world("decoupled"), memory_world()],
)(_temperature)
derivation(
    "trust-ratio-drift",
    source=THIS_TOOLKIT,
    summary="With a trust ratio and decay beside the step, or none, the norm never settles: its logarithm drifts",
    worlds=[length_world("beside")],
)(_drift)
derivation(
    "trust-ratio-chord",
    source=THIS_TOOLKIT,
    summary="With a trust ratio the length of a step is the learning rate times the norm of the weights",
    worlds=[length_world()],
    domain=[eta <= 2],
)(_length)
derivation(
    "homogeneous-angle",
    source=THIS_TOOLKIT,
    summary="Angle between the weights before and after a step with decoupled weight decay: exact, for any steps; q_u "
    "is the share of a step's own square in the sum over lags",
    worlds=[memory_world()],
    # A cosine between -1 and 1.
    domain=[taken < 1, own * (2 - taken) >= taken, taken * (own * (2 - taken) - taken) <= 4 * (1 - taken)],
)(_angle)
derivation(
    "homogeneous-gas",
    source=THIS_TOOLKIT,
    summary="A step of degree k with decoupled weight decay makes an ideal gas, p V = R_k T, with adiabatic index 1 + "
    "2/(1 + k)",
    worlds=[gas_world("decoupled")],
)(partial(_gas, kind="decoupled"))
derivation(
    "coupled-homogeneous-gas",
    source=THIS_TOOLKIT,
    summary="A step of degree k with coupled weight decay makes an ideal gas in the coordinates of SGD; its adiabatic "
    "index is 2 for every k",
    worlds=[gas_world("coupled")],
)(partial(_gas, kind="coupled"))
derivation(
    "homogeneous-slopes",
    source=THIS_TOOLKIT,
    summary="Slopes of the entropy of a gas of degree k at low temperature: ((1 + k)/4 + 1/2) R_k in log eta, ((1 + "
    "k)/4 - 1/2) R_k in log lambda",
    worlds=[gas_world("decoupled")],
)(_slopes)
