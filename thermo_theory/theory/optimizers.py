"""Other optimisers: heavy ball, Nesterov, AdamW and Adam with coupled L2 are gases too, at other temperatures.

>>> from thermo_theory import FixedLR, derive
>>> derive("momentum-balance").assumptions
('scale invariance', 'stationarity')
>>> FixedLR.with_optimizer("momentum").temperature(eta=0.01, lam=1e-3, sigma=2.0, d=101, beta=0.9)
0.001414...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, eliminate, operation
from thermo_theory.protocols import OPTIMIZERS, FixedLR, Protocol
from thermo_theory.symbols import (
    D_hat,
    R,
    Sigma_w,
    T,
    V,
    adam_unit,
    beta,
    beta1,
    buffer,
    buffer_next,
    d,
    eq,
    eta,
    eta_eff,
    g,
    g_noise,
    h,
    lam,
    p,
    r,
    sigma,
    tr_Sigma,
    w,
    w_next,
    x,
    x_next,
    xi,
)
from thermo_theory.symbols.vectors import Dot, Expectation, Tr
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.optimizers import (
    gas_world,
    orbit_world,
    thermometer_world,
)

__all__ = [
    "IN_WORDS",
    "LINEAR",
    "Moments",
    "bound",
    "eliminate",
    "inner",
    "lead",
    "moments",
    "root",
    "unit_of_gradients",
]

#: Optimisers as summaries name them.
IN_WORDS = {key: title for key, (title, _) in OPTIMIZERS.items()} | {
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "nesterov": "SGD with Nesterov momentum",
}

#: Those whose second moments are linear equations.
LINEAR = ("momentum", "nesterov", "adamw", "adam-l2")

#: d - 1, of which sympy can take roots.
_DIRECTIONS = sp.Dummy("m", positive=True)

# Operations --------------------------------------------------------------------------------------


@operation("inner product of both")
def inner(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Inner product of two vector equations, side by side."""
    return eq(*(sp.expand(Dot(a, b)) for a, b in zip(first.args, second.args, strict=True)))


@operation("keep the leading order in {0}")
def lead(equation: sp.Eq, small: sp.Symbol, _allowed: sp.Eq) -> sp.Eq:
    """The right-hand side's leading term for small values of a symbol, as the assumption of small steps allows."""
    first = sp.factor(equation.rhs).subs(d, _DIRECTIONS + 1).as_leading_term(small)
    return eq(equation.lhs, sp.simplify(first).subs(_DIRECTIONS, d - 1))


# Second moments ----------------------------------------------------------------------------------

_WW, _WV, _VV = Expectation(r**2), Expectation(Dot(w, buffer)), Expectation(Dot(buffer, buffer))


class _Along(NamedTuple):
    """What a step is written for: the weights, or their direction near a minimum, in units of gradients there."""

    start: sp.Expr
    end: sp.Expr
    gradient: sp.Expr
    unit: sp.Expr = sp.S.One
    rate: sp.Expr = eta


_WEIGHTS = _Along(w, w_next, g)


def _update(chain: Chain, rule: str, along: _Along = _WEIGHTS) -> tuple[Step, Step]:
    """The buffer and the weights after a step."""
    start, end, gradient, unit, rate = along
    old, new = unit * buffer, unit * buffer_next
    decay = lam * eta / rate / (adam_unit if rule == "adam-l2" else 1)
    pull = gradient + decay * start
    if rule in ("momentum", "nesterov"):
        held = chain.definition(eq(new, beta * old + pull), "the momentum buffer, as in torch")
        push = pull + beta * new if rule == "nesterov" else new
        moved = eq(end, start - rate * push)
    elif rule == "sgd":
        held = chain.definition(eq(new, pull), "no memory")
        moved = eq(end, start - rate * new)
    else:
        new_part = gradient if rule == "adamw" else pull
        held = chain.definition(
            eq(new, beta1 * old + (1 - beta1) * new_part),
            "Adam's first moment, each gradient divided by its root mean square",
        )
        kept = (1 - eta * lam) * start if rule == "adamw" else start
        moved = eq(end, kept - rate * new)
    return held, chain.definition(moved, "one step").substitute(held).expand()


def _balances(chain: Chain, held: Step, moved: Step, means: tuple[sp.Expr, ...], rules: tuple[Step, ...]) -> list[Step]:
    """The balances of as many second moments as there are means, at stationarity: weights, both, buffer."""
    balances = []
    for (one, other), mean in zip(((moved, moved), (moved, held), (held, held)), means, strict=False):
        square = one.inner(other)
        known = [rule for rule in rules if square.equation.has(rule.equation.lhs)]
        square = square.substitute(*known) if known else square
        still = chain.assumption(
            "stationarity", eq(Expectation(square.equation.lhs), mean), "second moments are constant"
        )
        balances.append(square.expectation().substitute(still))
    return balances


def _without(balances: list[Step], *vanishing: Step) -> list[Step]:
    """The balances with some means put to zero."""
    for zero in vanishing:
        balances = [one.substitute(zero) if one.equation.has(zero.equation.lhs) else one for one in balances]
    return balances


class Moments(NamedTuple):
    """A step of the weights, what makes its inner products scalars, and the balances of second moments."""

    moved: Step
    radial: Step
    norm: Step
    balances: tuple[Step, ...]


def moments(chain: Chain, rule: str, count: int, uncorrelated: bool) -> Moments:
    """The first `count` balances of second moments at stationarity: w.w, w.v, v.v."""
    held, moved = _update(chain, rule)
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    radial = chain.assumption("scale invariance", eq(Dot(g, w), 0), "Euler: g.w = 0 in each batch")
    balances = _balances(chain, held, moved, (_WW, _WV, _VV)[:count], (radial, norm))
    if uncorrelated:
        why = "no gradient is, on average, along the buffer of those before it"
        alone = chain.assumption("uncorrelated gradients", eq(Expectation(Dot(g, buffer)), 0), why)
        balances = _without(balances, alone)
    return Moments(moved, radial, norm, tuple(balances))


def _size(chain: Chain, rule: str, uncorrelated: bool = True) -> Step:
    """The mean squared norm, exact in the step."""
    balances = moments(chain, rule, 3, uncorrelated).balances
    return chain.do(eliminate, *balances, unknown=_WW, others=(_WV, _VV))


def _momentum_balance(chain: Chain, rule: str) -> Step:
    size = _size(chain, rule, uncorrelated=False)
    factor = lam * (1 - eta * lam / (2 * (1 + beta)))
    return size.balanced(factor, because="exact, in E r^2 and not in E r^4, for any gradients")


@operation("multiply by {0} and simplify")
def balanced(equation: sp.Eq, factor: sp.Expr) -> sp.Eq:
    """Multiply by a factor that the denominator of the right-hand side has."""
    return eq(equation.lhs * factor, sp.factor(sp.simplify(equation.rhs * factor)))


def _known(name: str) -> Callable[[Chain, str], Step]:
    """The claim of another derivation of the optimiser, under a name of its own."""
    return lambda chain, rule: chain.claim(name, FixedLR.with_optimizer(rule))


# Radius and temperature --------------------------------------------------------------------------


def _of_noise(chain: Chain, square: sp.Expr) -> Step:
    """What the mean square of gradients without mean is at the weights' norms."""
    noise = chain.assumption("pure noise", eq(square, Expectation(Tr(Sigma_w))), "gradients are noise alone")
    unit = chain.assumption("scale invariance", eq(Tr(Sigma_w), tr_Sigma / r**2), "g ~ 1/r")
    return noise.substitute(unit)


def _steady(chain: Chain) -> Step:
    return chain.assumption("small steps", eq(Expectation(r**-2), r**-2), "the norm hardly fluctuates")


def _homogeneous(chain: Chain) -> Step:
    return chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))


def _radius(chain: Chain, rule: str) -> Step:
    size = chain.claim("norm-balance", FixedLR.with_optimizer(rule))
    square = Expectation(Dot(g, g))
    if rule in ("adamw", "adam-l2"):
        spread = chain.definition(eq(D_hat, square), "the mean square of a normalised gradient")
        size = size.substitute(spread.flip())
    else:
        size = size.substitute(_of_noise(chain, square), _homogeneous(chain), _steady(chain))
    one = chain.assumption("small steps", eq(_WW, r**2), "the norm hardly fluctuates")
    size = size.lead(eta, one).substitute(one)
    if rule == "adam-l2":
        size = size.substitute(unit_of_gradients(chain))
    if rule in ("adamw", "adam-l2"):
        equal = chain.assumption("isotropic noise", eq(D_hat, d), "all coordinates have the same mean square, 1")
        size = size.substitute(equal)
    return size.root(r)


@operation("solve for {0}, which is positive")
def root(equation: sp.Eq, unknown: sp.Symbol) -> sp.Eq:
    """Solve an equation between powers for a positive symbol."""
    ratio = sp.simplify((equation.rhs / equation.lhs).subs(d, _DIRECTIONS + 1))
    number, power = ratio.as_independent(unknown, as_Add=False)
    base, exponent = power.as_base_exp()
    if base != unknown or sp.Tuple(number, exponent).has(unknown) or not unknown.is_positive:
        raise OperationError(f"{equation} is not a power of {unknown}, or that need not be positive")
    return eq(unknown, (sp.simplify(number) ** sp.cancel(-1 / exponent)).subs(_DIRECTIONS, d - 1))


def unit_of_gradients(chain: Chain) -> Step:
    """Adam's normaliser for homogeneous noise and a norm that does not fluctuate."""
    noise = _of_noise(chain, adam_unit**2 * D_hat)
    return noise.substitute(_homogeneous(chain), _steady(chain)).root(adam_unit)


def _heat(chain: Chain, rule: str, directions: sp.Expr) -> Step:
    """Temperature by equipartition: how far the weights spread in directions in which the loss has the curvature h."""
    unit = adam_unit if rule.startswith("adam") else sp.S.One
    rate = chain.definition(eq(eta_eff, eta / (unit * r**2)), "the effective learning rate")
    held, moved = _update(chain, rule, _Along(x, x_next, h * x + r * g_noise, unit * r, eta_eff))
    alike = chain.assumption("scale invariance", eq(r * g_noise, xi), "g ~ 1/r")
    spread, both, kept = (Expectation(part) for part in (Dot(x, x), r * Dot(x, buffer), r**2 * Dot(buffer, buffer)))
    means = (spread, unit * both, unit**2 * kept)
    balances = _balances(chain, held.substitute(alike), moved.substitute(alike), means, ())
    why = "the noise does not depend on where the weights are and come from"
    for part in (Dot(x, xi), r * Dot(buffer, xi)):
        balances = _without(balances, chain.assumption("independent noise", eq(Expectation(part), 0), why))
    size = chain.do(eliminate, *balances, unknown=spread, others=(both, kept))
    small = chain.assumption("small steps", eq(_WW, r**2), "the norm hardly fluctuates")
    decay = lam * r**2 * (adam_unit if rule == "adamw" else 1)
    cold = chain.assumption("low temperature", eq(h + decay, h), "weight decay is nothing beside the curvature")
    size = size.substitute(rate).lead(eta, small).neglect(cold)
    words = "equipartition: the mean loss is T/2 in each direction of curvature h"
    return chain.definition(eq(T, h * spread / directions), words).substitute(size)


def _temperature(chain: Chain, rule: str) -> Step:
    heat = _heat(chain, rule, sp.S.One)
    isotropic = chain.assumption("isotropic noise", eq(Expectation(Dot(xi, xi)), Expectation(tr_Sigma) / (d - 1)))
    heat = heat.substitute(isotropic, _homogeneous(chain))
    if rule.startswith("adam"):
        equal = chain.assumption("isotropic noise", eq(D_hat, d), "all coordinates have the same mean square, 1")
        heat = heat.substitute(unit_of_gradients(chain), equal)
    return heat.substitute(chain.claim("radius", FixedLR.with_optimizer(rule))).simplify()


def _measured_gas(chain: Chain, rule: str) -> Step:
    """The equation of state for arbitrary noise: no isotropy, no Gibbs law, the norm balance alone."""
    heat = _heat(chain, rule, d - 1)
    heat = heat.substitute(
        chain.assumption(
            "independent noise", eq(Expectation(Dot(xi, xi)), Expectation(tr_Sigma)), "all of it has no mean"
        )
    )
    size = chain.claim("norm-balance", FixedLR.with_optimizer(rule))
    size = size.substitute(_of_noise(chain, Expectation(Dot(g, g))))
    small = chain.assumption("small steps", eq(_WW, r**2), "the norm hardly fluctuates")
    level = chain.assumption("small steps", eq(Expectation(tr_Sigma / r**2), Expectation(tr_Sigma) / r**2))
    volume = chain.definition(eq(V, r**2 / 2), "half the squared norm is the volume")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    size = size.lead(eta, small).substitute(small, level, heat.solve_for(Expectation(tr_Sigma)))
    size = size.substitute(volume.solve_for(r), directions.solve_for(d), pressure.flip())
    return size.solve_for(p).scale(V)


def _gas(chain: Chain, rule: str) -> Step:
    chosen = FixedLR.with_optimizer(rule)
    radius, heat = chain.claim("radius", chosen), chain.claim("temperature", chosen)
    if rule == "adamw":
        volume = chain.definition(eq(V, r), "the norm is the volume")
        pressure = chain.definition(
            eq(p, lam * sigma * sp.sqrt((d - 1) / d)),
            "the pressure: weight decay times the noise per coordinate at unit norm, sigma (1 - 1/(2d))",
        )
        directions = chain.definition(eq(R, d - 1), "the gas constant")
    else:
        volume = chain.definition(eq(V, r**2 / 2), "half the squared norm is the volume")
        pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
        directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    work = pressure.multiply(volume.substitute(radius))
    return work.compared(heat.multiply(directions), R * T)


@operation("compare with {0}")
def compared(first: sp.Eq, second: sp.Eq, name: sp.Expr) -> sp.Eq:
    """Write the first left-hand side as a multiple of the second, which is `name`."""
    if second.lhs != name:
        raise OperationError(f"{second.lhs} is not {name}")
    ratio = sp.simplify(sp.expand_power_base((first.rhs / second.rhs).subs(d, _DIRECTIONS + 1)))
    return eq(first.lhs, sp.simplify(ratio.subs(_DIRECTIONS, d - 1)) * name)


def bound(build: Callable[[Chain, str], object], rule: str) -> Callable[..., None]:
    """The function that writes a derivation for one of the optimisers."""

    def write(chain: Chain, protocol: Protocol | None = None) -> None:
        build(chain, rule)

    return write


#: Where weights keep a finite norm if gradients are uncorrelated: weight decay must not overshoot.
STABLE = {
    "sgd": eta * lam < 2,
    "momentum": eta * lam < 2 * (1 + beta),
    "nesterov": eta * lam * (1 + 2 * beta) < 2 * (1 + beta),
    "adamw": eta * lam < 2,
    "adam-l2": eta * lam * (1 - beta1) < 2 * adam_unit * (1 + beta1),
}

for _rule in LINEAR:
    _chosen, _gas_of = FixedLR.with_optimizer(_rule), gas_world(_rule)
    _wells = thermometer_world(_rule, "all directions")
    for _name, _build, _world, _words in (
        ("norm-balance", _size, _gas_of, "Mean squared norm under uncorrelated gradients, for any step size"),
        ("radius", _radius, _gas_of, "The norm at which noise and weight decay balance"),
        ("temperature", _temperature, thermometer_world(_rule), "The temperature of the directions"),
        ("ideal-gas-law", _measured_gas, _wells, "p V = R T for arbitrary noise"),
    ):
        # The gases of AdamW and Adam with L2 have other coordinates, and derivations of their own name.
        if _name == "ideal-gas-law" and _rule.startswith("adam"):
            continue
        derivation(
            _name,
            protocol=_chosen,
            source=THIS_TOOLKIT,
            summary=f"{_words}, {IN_WORDS[_rule]}",
            worlds=[_world],
            domain=[STABLE[_rule]] if _build is _size else (),
        )(bound(_build, _rule))

_DOMAINS = {
    # The other side is a mean squared norm times what weight decay takes of it.
    "momentum-balance": [2 * beta * Expectation(Dot(g, buffer)) + Expectation(Dot(g, g)) > 0],
    "nesterov-balance": [STABLE["nesterov"]],
}
for _name, _rule, _shown, _world, _summary in (
    (
        "momentum-balance",
        "momentum",
        _momentum_balance,
        orbit_world(),
        "Weight decay removes from the squared norm what gradients and their correlation with earlier ones add",
    ),
    (
        "momentum-temperature",
        "momentum",
        _known("temperature"),
        thermometer_world("momentum"),
        "Momentum is SGD at a learning rate of eta/(1 - beta)",
    ),
    (
        "nesterov-balance",
        "nesterov",
        _known("norm-balance"),
        gas_world("nesterov"),
        "Mean squared norm under Nesterov momentum, exact in the step size for uncorrelated gradients",
    ),
    (
        "adamw-radius",
        "adamw",
        _radius,
        gas_world("adamw"),
        "AdamW's squared norm is eta d/(2 lambda); the balance is exact for uncorrelated gradients",
    ),
    (
        "adamw-gas",
        "adamw",
        _gas,
        thermometer_world("adamw"),
        "AdamW is an ideal gas with V = r, p ~ lambda sigma and R = d - 1",
    ),
    (
        "adam-l2-gas",
        "adam-l2",
        _gas,
        thermometer_world("adam-l2"),
        "Adam with coupled L2 is an ideal gas in SGD's coordinates",
    ),
):
    derivation(_name, source=THIS_TOOLKIT, summary=_summary, worlds=[_world], domain=_DOMAINS.get(_name, ()))(
        bound(_shown, _rule)
    )
