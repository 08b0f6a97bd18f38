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
from thermo_theory.protocols import OPTIMIZERS, FixedELR, FixedLR, Protocol
from thermo_theory.symbols import (
    D_hat,
    R,
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
    lam,
    p,
    r,
    sigma,
    tr_Sigma,
    w,
    w_next,
)
from thermo_theory.symbols.vectors import Dot, Expectation
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.optimizers import (
    gas_world,
    noise_gas_world,
    orbit_world,
)

__all__ = ["IN_WORDS", "Moments", "bound", "eliminate", "inner", "lead", "moments", "root", "unit_of_gradients"]

#: Optimisers as summaries name them.
IN_WORDS = {key: title for key, (title, _) in OPTIMIZERS.items()} | {
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "nesterov": "SGD with Nesterov momentum",
}

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


def _update(chain: Chain, rule: str) -> tuple[Step, Step]:
    """The buffer and the weights after a step."""
    decay = lam / adam_unit if rule == "adam-l2" else lam
    pull = g + decay * w
    if rule in ("momentum", "nesterov"):
        held = chain.definition(eq(buffer_next, beta * buffer + pull), "the momentum buffer, as in torch")
        push = pull + beta * buffer_next if rule == "nesterov" else buffer_next
        new = eq(w_next, w - eta * push)
    elif rule == "sgd":
        held = chain.definition(eq(buffer_next, pull), "no memory")
        new = eq(w_next, w - eta * buffer_next)
    else:
        new_part = g if rule == "adamw" else pull
        held = chain.definition(
            eq(buffer_next, beta1 * buffer + (1 - beta1) * new_part),
            "Adam's first moment, each gradient divided by its root mean square",
        )
        kept = (1 - eta * lam) * w if rule == "adamw" else w
        new = eq(w_next, kept - eta * buffer_next)
    moved = chain.definition(new, "one step")
    return held, moved.substitute(held).expand()


class Moments(NamedTuple):
    """A step of the weights, what makes its inner products scalars, and the balances of second moments."""

    moved: Step
    radial: Step
    norm: Step
    balances: tuple[Step, ...]


def moments(chain: Chain, rule: str, count: int, independent: bool) -> Moments:
    """The first `count` balances of second moments at stationarity: w.w, w.v, v.v."""
    held, moved = _update(chain, rule)
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm")
    radial = chain.assumption("scale invariance", eq(Dot(g, w), 0), "Euler: g.w = 0 in each batch")
    balances = []
    for one, other, mean in ((moved, moved, _WW), (moved, held, _WV), (held, held, _VV))[:count]:
        square = one.inner(other)
        rules = [rule_ for rule_ in (radial, norm) if square.equation.has(rule_.equation.lhs)]
        square = square.substitute(*rules) if rules else square
        still = chain.assumption(
            "stationarity", eq(Expectation(square.equation.lhs), mean), "second moments are constant"
        )
        balances.append(square.expectation().substitute(still))
    if independent:
        alone = chain.assumption(
            "pure noise", eq(Expectation(Dot(g, buffer)), 0), "gradients are independent of earlier ones"
        )
        balances = [
            balance.substitute(alone) if balance.equation.has(alone.equation.lhs) else balance for balance in balances
        ]
    return Moments(moved, radial, norm, tuple(balances))


def _size(chain: Chain, rule: str, independent: bool = True) -> Step:
    """The mean squared norm, exact in the step."""
    if rule == "sgd":
        return moments(chain, rule, 1, independent=False).balances[0].solve_for(_WW)
    balances = moments(chain, rule, 3, independent).balances
    return chain.do(eliminate, *balances, unknown=_WW, others=(_WV, _VV))


def _momentum_balance(chain: Chain) -> None:
    size = _size(chain, "momentum", independent=False)
    factor = lam * (1 - eta * lam / (2 * (1 + beta)))
    size.balanced(factor, because="exact, in E r^2 and not in E r^4, for any gradients")


@operation("multiply by {0} and simplify")
def balanced(equation: sp.Eq, factor: sp.Expr) -> sp.Eq:
    """Multiply by a factor that the denominator of the right-hand side has."""
    return eq(equation.lhs * factor, sp.factor(sp.simplify(equation.rhs * factor)))


def _nesterov_balance(chain: Chain) -> None:
    _size(chain, "nesterov")


# Radius and temperature --------------------------------------------------------------------------


def _radius(chain: Chain, rule: str) -> Step:
    size = chain.claim("norm-balance", FixedLR.with_optimizer(rule))
    if rule == "adamw":
        spread = chain.definition(eq(Expectation(Dot(g, g)), D_hat), "the mean square of a normalised gradient")
        size = size.substitute(spread, because="exact for independent gradients")
    elif rule == "adam-l2":
        spread = chain.definition(eq(Expectation(Dot(g, g)), D_hat), "the mean square of a normalised gradient")
        size = size.substitute(spread)
    else:
        noise = chain.assumption("pure noise", eq(Expectation(Dot(g, g)), tr_Sigma / r**2), "gradients are pure noise")
        size = size.substitute(noise)
    one = chain.assumption("small steps", eq(_WW, r**2), "the norm hardly fluctuates")
    size = size.lead(eta, one).substitute(one)
    homogeneous = None
    if rule != "adamw":
        homogeneous = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    if rule in ("adamw", "adam-l2"):
        equal = chain.assumption("isotropic noise", eq(D_hat, d), "all coordinates have the same mean square, 1")
        if homogeneous is not None:
            size = size.substitute(unit_of_gradients(chain, homogeneous))
        size = size.substitute(equal)
    else:
        size = size.substitute(homogeneous)
    return size.root(r)


@operation("solve for {0}, which is positive")
def root(equation: sp.Eq, unknown: sp.Symbol) -> sp.Eq:
    """Solve an equation between powers for a positive symbol."""
    ratio = sp.simplify((equation.rhs / equation.lhs).subs(d, _DIRECTIONS + 1))
    number, power = ratio.as_independent(unknown, as_Add=False)
    base, exponent = power.as_base_exp()
    if base != unknown or sp.Tuple(number, exponent).has(unknown) or not unknown.is_positive:
        raise OperationError(f"{equation} is not a power of {unknown}, or that need not be positive")
    return eq(unknown, (sp.simplify(number) ** (-1 / exponent)).subs(_DIRECTIONS, d - 1))


def unit_of_gradients(chain: Chain, homogeneous: Step) -> Step:
    """Adam's normaliser for homogeneous noise and a norm that does not fluctuate."""
    noise = chain.assumption(
        "pure noise", eq(adam_unit**2 * D_hat, Expectation(tr_Sigma / r**2)), "the mean square of a gradient is noise"
    )
    small = chain.assumption("small steps", eq(Expectation(r**-2), r**-2), "the norm hardly fluctuates")
    return noise.substitute(homogeneous, small).root(adam_unit)


def _temperature(chain: Chain, rule: str) -> Step:
    radius = chain.claim("radius", FixedLR.with_optimizer(rule))
    heat = chain.claim("temperature", FixedELR)
    if rule in ("momentum", "nesterov"):
        limit = eta / (1 - beta)
        because = "in total a gradient moves the weights by eta (1 + beta + beta^2 + ...)"
    else:
        limit = eta / adam_unit
        because = "in total a normalised gradient moves the weights by eta"
    rate = chain.definition(eq(eta_eff, limit / r**2), because)
    heat = heat.substitute(rate)
    if rule in ("adamw", "adam-l2"):
        homogeneous = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
        equal = chain.assumption("isotropic noise", eq(D_hat, d))
        heat = heat.substitute(unit_of_gradients(chain, homogeneous), equal)
    return heat.substitute(radius).simplify()


def _measured_gas(chain: Chain, rule: str) -> Step:
    """The equation of state for arbitrary noise: no isotropy, no Gibbs law, the norm balance alone."""
    size = chain.claim("norm-balance", FixedLR.with_optimizer(rule))
    noise = chain.assumption("pure noise", eq(Expectation(Dot(g, g)), Expectation(tr_Sigma / r**2)), "noise alone")
    small = chain.assumption("small steps", eq(_WW, r**2), "the norm hardly fluctuates")
    heat = chain.definition(
        eq(T, eta / (1 - beta) * Expectation(tr_Sigma / r**2) / (2 * (d - 1))),
        "eta_eff sigma^2/2 for arbitrary noise; in total a gradient moves the weights by eta/(1 - beta)",
    )
    volume = chain.definition(eq(V, r**2 / 2), "half the squared norm is the volume")
    pressure = chain.definition(eq(p, lam), "weight decay is the pressure")
    directions = chain.definition(eq(R, (d - 1) / 2), "the gas constant")
    size = size.substitute(noise).lead(eta, small)
    size = size.substitute(small, heat.solve_for(Expectation(tr_Sigma / r**2)))
    size = size.substitute(volume.solve_for(r), directions.solve_for(d))
    size = size.substitute(pressure.flip())
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
    work = pressure.product(volume.substitute(radius))
    return work.compared(heat.product(directions), R * T)


@operation("multiply side by side")
def product(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Product of two equations."""
    return eq(first.lhs * second.lhs, first.rhs * second.rhs)


@operation("compare with {0}")
def compared(first: sp.Eq, second: sp.Eq, name: sp.Expr) -> sp.Eq:
    """Write the first left-hand side as a multiple of the second, which is `name`."""
    if second.lhs != name:
        raise OperationError(f"{second.lhs} is not {name}")
    ratio = sp.simplify((first.rhs / second.rhs).subs(d, _DIRECTIONS + 1))
    return eq(first.lhs, sp.simplify(ratio.subs(_DIRECTIONS, d - 1)) * name)


def bound(build: Callable[[Chain, str], object], rule: str) -> Callable[..., None]:
    """The function that writes a derivation for one of the optimisers."""

    def write(chain: Chain, protocol: Protocol | None = None) -> None:
        build(chain, rule)

    return write


#: Where weights that feel no mean gradient keep a finite norm: weight decay must not overshoot.
STABLE = {
    "sgd": eta * lam < 2,
    "momentum": eta * lam < 2 * (1 + beta),
    "nesterov": eta * lam * (1 + 2 * beta) < 2 * (1 + beta),
    "adamw": eta * lam < 2,
    "adam-l2": eta * lam * (1 - beta1) < 2 * adam_unit * (1 + beta1),
}

for _rule in OPTIMIZERS:
    _chosen = FixedLR.with_optimizer(_rule)
    for _name, _build, _world, _kind, _words in (
        ("norm-balance", _size, gas_world(_rule), "identity", "Mean squared norm in pure noise, for any step size"),
        ("radius", _radius, gas_world(_rule), "physics", "The norm at which noise and weight decay balance"),
        ("temperature", _temperature, gas_world(_rule, True), "physics", "The temperature of the directions"),
        ("ideal-gas-law", _measured_gas, noise_gas_world(_rule), "physics", "p V = R T for arbitrary noise"),
    ):
        # The gases of AdamW and Adam with L2 have other coordinates, and derivations of their own name.
        if _name == "ideal-gas-law" and _rule.startswith("adam"):
            continue
        derivation(
            _name,
            protocol=_chosen,
            kind=_kind,
            source=THIS_TOOLKIT,
            summary=f"{_words}, {IN_WORDS[_rule]}",
            worlds=[_world],
            domain=[STABLE[_rule]] if _build is _size else (),
        )(bound(_build, _rule))

derivation(
    "momentum-balance",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="Weight decay removes from the squared norm what gradients and their correlation with earlier ones add",
    worlds=[orbit_world()],
    # The other side is a mean squared norm times what weight decay takes of it.
    domain=[2 * beta * Expectation(Dot(g, buffer)) + Expectation(Dot(g, g)) > 0],
)(_momentum_balance)
derivation(
    "momentum-temperature",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="Momentum is SGD at a learning rate of eta/(1 - beta)",
    worlds=[gas_world("momentum", True)],
)(bound(_temperature, "momentum"))
derivation(
    "nesterov-balance",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="Mean squared norm under Nesterov momentum, exact in the step size for pure noise",
    worlds=[gas_world("nesterov")],
    domain=[STABLE["nesterov"]],
)(_nesterov_balance)
derivation(
    "adamw-radius",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="AdamW's squared norm is eta d/(2 lambda); the balance is exact for independent gradients",
    worlds=[gas_world("adamw")],
)(bound(_radius, "adamw"))
derivation(
    "adamw-gas",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="AdamW is an ideal gas with V = r, p ~ lambda sigma and R = d - 1",
    worlds=[gas_world("adamw", True)],
)(bound(_gas, "adamw"))
derivation(
    "adam-l2-gas",
    kind="physics",
    source=THIS_TOOLKIT,
    summary="Adam with coupled L2 is an ideal gas in SGD's coordinates",
    worlds=[gas_world("adam-l2", True)],
)(bound(_gas, "adam-l2"))
