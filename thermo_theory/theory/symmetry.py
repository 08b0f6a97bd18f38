"""The exact scaling symmetry of training in discrete steps, and what follows from it alone.

Any scale-invariant loss, any minibatches, steps of any size: multiply the weights by c, the learning rate by c^2 and
divide weight decay by c^2, and the run is the same run, c times as large. The buffer of a momentum is then c times
smaller. Adam's moments are smaller by c and c^2, and its learning rate grows by c alone.

>>> from thermo_theory import FixedLR, derive
>>> derive("scaling-symmetry", FixedLR).assumptions
('scale invariance',)
>>> derive("maxwell-from-symmetry", FixedLR.with_optimizer("adamw")).assumptions
('eps = 0', 'scale invariance', 'stationarity')
>>> derive("momentum-symmetry").claim.equation
Eq(w(n, c*w, v_k/c, c**2*eta, lambda/c**2), c*w(n, w, v_k, eta, lambda))
"""

from __future__ import annotations

from functools import partial

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation, put_at_once
from thermo_theory.protocols import OPTIMIZERS, PROTOCOLS, FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    R,
    c,
    d,
    eq,
    eta,
    eta_eff,
    lam,
    r0,
    w,
    w_bar,
)
from thermo_theory.symbols.vectors import (
    DifferentialEntropyOf,
    Dot,
    EntropyOf,
    EstimateOf,
    Expectation,
    Functional,
    NormEntropyOf,
)
from thermo_theory.worlds.discrete import course, gradient, index, run, runs_world, steps

__all__ = [
    "by_induction",
    "in_polar_coordinates",
    "match",
    "maxwell_fixed_lr",
    "maxwell_on_the_sphere",
    "multiple",
    "scaling",
    "scaling_symmetry",
    "simplify_norms",
]

THIS_TOOLKIT = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"


def _held(protocol: Protocol) -> tuple[sp.Symbol, ...]:
    """The numbers a protocol holds."""
    return protocol.rule.held


def _state(protocol: Protocol) -> tuple[sp.Symbol, ...]:
    """The weights and the buffers of the optimiser."""
    return protocol.rule.state


def scaling(protocol: Protocol) -> dict[sp.Symbol, sp.Expr]:
    """How the weights, the buffers of the optimiser and what a protocol holds change together."""
    return protocol.rule.homogeneous.scaling


# Operations --------------------------------------------------------------------------------------


@operation("compare")
def match(one: sp.Eq, other: sp.Eq) -> sp.Eq:
    """Two equations whose right-hand sides are the same, up to a number to add: so are the left-hand sides."""
    rest = sp.expand(sp.expand_log(sp.expand(one.rhs)) - sp.expand_log(sp.expand(other.rhs)))
    if rest.has(Functional, Expectation) or rest.atoms(sp.core.function.AppliedUndef):
        raise OperationError(f"{one.rhs} and {other.rhs} differ by {rest}")
    return eq(one.lhs, other.lhs + rest)


@operation("by induction over the steps")
def by_induction(*equations: sp.Eq, number: sp.Symbol) -> sp.Eq:
    """From one step to a run of any number of steps, for the weights and any buffers together.

    Of the equations a third each say where the weights (and buffers) of a run begin, how its next step makes them, and
    that those of a step from rescaled ones are rescaled. That a run's are too is true at the start, and goes over from
    step `number` to the next.

    Raises
    ------
    OperationError
        If it is not true at the start, or does not go over.
    """
    count = len(equations) // 3
    starts, recursions, symmetries = (equations[k * count : (k + 1) * count] for k in range(3))
    factors = [symmetry.rhs.as_independent(sp.core.function.AppliedUndef)[0] for symmetry in symmetries]
    here = recursions[0].rhs.args[1 : 1 + count]
    plain = here[0].args[1:]
    changed = dict(zip(plain, symmetries[0].lhs.args[1:], strict=True))
    supposed = {put_at_once(one, changed): factor * one for one, factor in zip(here, factors, strict=True)}
    for start, recursion, symmetry, factor in zip(starts, recursions, symmetries, factors, strict=True):
        if put_at_once(start.rhs, changed) != factor * start.rhs:
            raise OperationError(f"the runs do not start at {factor} times {start.rhs}")
        one_step = [put_at_once(side, dict(zip(plain, here, strict=False))) for side in symmetry.args]
        end = put_at_once(recursion.rhs, changed).subs(supposed).subs(*one_step)
        if sp.expand(end - factor * recursion.rhs) != 0:
            raise OperationError(f"a step leads to {end}, not to {factor} times {recursion.rhs}")
    return eq(*next(iter(supposed.items()))).subs(number, steps)


@operation("take c out of the norm")
def simplify_norms(equation: sp.Eq) -> sp.Eq:
    """Take common factors out of square roots."""

    def simpler(side: sp.Expr) -> sp.Expr:
        return side.replace(sp.Pow, lambda base, exponent: sp.factor_terms(base) ** exponent)

    return eq(equation.lhs, simpler(equation.rhs))


@operation("compare with {0} times the same")
def multiple(larger: sp.Eq, one: sp.Eq, factor: sp.Expr) -> sp.Eq:
    """Write one right-hand side as a multiple of another."""
    if sp.simplify(sp.expand(larger.rhs - factor * one.rhs)) != 0:
        raise OperationError(f"{larger.rhs} is not {factor} times {one.rhs}")
    return eq(larger.lhs, factor * one.lhs)


@operation("in polar coordinates")
def in_polar_coordinates(equation: sp.Eq) -> sp.Eq:
    """Split a differential entropy: volume in R^d is ``r^d dlog r`` times the area on the unit sphere.

    A density of w is that of the direction, times that of log r given the direction, over ``r^d``. Minus the mean of
    its logarithm is ``h[w/r] + h[log r | w/r] + d E log r``.
    """

    def split(vector: sp.Expr) -> sp.Expr:
        norm = sp.sqrt(Dot(vector, vector))
        return EntropyOf(vector / norm) + NormEntropyOf(vector) + d * Expectation(sp.log(norm))

    return eq(equation.lhs, equation.rhs.replace(DifferentialEntropyOf, split))


# One step and a whole run ------------------------------------------------------------------------


def _courses(protocol: Protocol, whole: bool) -> list[sp.Function]:
    """The functions that say what the weights and buffers are after one step, or after a run."""
    return [course(protocol.rule, place, whole) for place, _ in enumerate(_state(protocol))]


def _one_step(chain: Chain, protocol: Protocol, after: list[sp.Expr]) -> list[Step]:
    """The weights and the buffers `after` a step in terms of those before, without eps."""
    names = dict(zip(("w", *protocol.rule.buffers), after, strict=True))
    equations = protocol.rule.equations(names, gradient(index, w))
    ones = [
        chain.definition(eq(made, equations[name]), "one step" if name == "w" else "what the optimiser remembers of it")
        for name, made in names.items()
    ]
    if protocol.rule.homogeneous == protocol.rule:
        return ones
    symbol = protocol.rule.symbols["eps"]
    none = chain.assumption("eps = 0", eq(symbol, 0), "it is the only number here that has the scale of a gradient")
    return [one.substitute(none) if one.equation.has(symbol) else one for one in ones]


def scaling_symmetry(chain: Chain, protocol: Protocol) -> None:
    """Write that a run from rescaled weights, buffers and rates is the run, rescaled."""
    changes, state, held = scaling(protocol), _state(protocol), _held(protocol)
    after = [made(index, *state, *held) for made in _courses(protocol, False)]
    ones = _one_step(chain, protocol, after)
    smaller = chain.assumption(
        "scale invariance",
        eq(gradient(index, c * w), gradient(index, w) / c),
        "the gradient of every minibatch is c times smaller at weights c times larger",
    )
    names = ("w", *protocol.rule.buffers)
    parts, symmetric = dict(zip(names, zip(ones, state, strict=True), strict=True)), dict[str, Step]()
    for name in protocol.rule.order:
        one, part = parts[name]
        larger = one.rescale(changes, because="the same minibatch at rescaled weights and buffers")
        for rule in (*symmetric.values(), smaller):
            larger = larger.substitute(rule) if larger.equation.rhs.has(rule.equation.lhs) else larger
        larger = larger.tidied("simplify_norms")
        factor = changes.get(part, part) / part
        symmetric[name] = larger.multiple(one, factor, because="one step commutes with the rescaling")
    starts = [
        chain.definition(eq(whole(0, *state, *held), part), "a run begins here")
        for whole, part in zip(_courses(protocol, True), state, strict=True)
    ]
    here = [whole(index, *state, *held) for whole in _courses(protocol, True)]
    following = [
        chain.definition(eq(whole(index + 1, *state, *held), made(index, *here, *held)), "and continues step by step")
        for whole, made in zip(_courses(protocol, True), _courses(protocol, False), strict=True)
    ]
    starts[0].by_induction(
        *starts[1:],
        *following,
        *(symmetric[name] for name in names),
        number=index,
        because="the same minibatches, the same directions",
    )


# Entropy -----------------------------------------------------------------------------------------

_S, _S_w, _estimate, _bias = (sp.Function(name) for name in ("S", "S_w", "S_est", "b"))


def _from(entropy: sp.Function) -> sp.Function:
    """What an entropy is at the end of runs, as a function of the weights and buffers they begin at too."""
    return sp.Function(f"{entropy}_0")


def _same_run(chain: Chain, protocol: Protocol) -> Step:
    """The symmetry of whole runs."""
    if not isinstance(protocol, Protocol):  # an optimiser of somebody's own has its derivations with it
        return chain.claim(protocol.derive("scaling-symmetry"))
    if protocol.optimizer == "sgd":
        return chain.claim("scaling-symmetry", protocol)
    return chain.claim(f"{protocol.optimizer}-symmetry")


def _end(protocol: Protocol) -> tuple[sp.Expr, sp.Expr]:
    """The weights at the end of runs, and their norm."""
    end = run(steps, *_state(protocol), *_held(protocol))
    return end, sp.sqrt(Dot(end, end))


def _entropy(chain: Chain, protocol: Protocol) -> Step:
    """The entropy of the weights at the end of runs that begin at given weights and buffers."""
    end, norm = _end(protocol)
    return chain.definition(
        eq(_from(_S)(*_state(protocol), *_held(protocol)), EntropyOf(end / norm) + (d - 1) * Expectation(sp.log(norm))),
        "the entropy of the directions on the unit sphere, and the part of the norm, at the end of runs from here",
    )


def _forgotten(chain: Chain, protocol: Protocol, entropy: sp.Function) -> Step:
    """The assumption that it no longer matters where runs began."""
    held = _held(protocol)
    return chain.assumption(
        "stationarity",
        eq(_from(entropy)(*_state(protocol), *held), entropy(*held)),
        "the runs no longer depend on where they started",
    )


def _for_any_start(shifted: Step, forgotten: Step, protocol: Protocol) -> Step:
    elsewhere = forgotten.rescale(scaling(protocol))
    return shifted.substitute(forgotten, elsewhere, because="the starting point does not matter")


def _entropy_scaling(chain: Chain, protocol: Protocol) -> Step:
    """The entropy at rescaled rates is (d - 1) log c larger."""
    same_run, entropy = _same_run(chain, protocol), _entropy(chain, protocol)
    larger = entropy.rescale(scaling(protocol))
    larger = larger.substitute(same_run, because="the directions are the same, the norms c times as large")
    return _for_any_start(larger.match(entropy), _forgotten(chain, protocol, _S), protocol)


def _slope(chain: Chain, equation: Step, variable: sp.Symbol) -> Step:
    return equation.differentiate(variable).scale(variable)


def _directions(chain: Chain) -> Step:
    return chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")


def _slopes_from_scaling(chain: Chain, protocol: Protocol, shifted: Step, entropy: sp.Function, rest: str) -> None:
    """From how an entropy changes along an orbit to the combination of its slopes that this fixes."""
    up, down = protocol.rule.rate_powers
    of_rate, of_decay = protocol.rule.invariant
    orbit = shifted.choose(c, (lam / eta) ** (1 / (up - down)), because="so that both rates are equal")
    there = next(part for part in orbit.equation.lhs.atoms(entropy) if part.args[0] == part.args[1])
    value = chain.definition(
        eq(there, sp.Function(rest)(eta**of_rate * lam**of_decay)), "a function of what is equal along an orbit"
    )
    form = orbit.substitute(value).solve_for(entropy(eta, lam), because=f"so {entropy} has this form")
    slope = _slope(chain, form, lam if down else eta)
    if up and down:
        words = "the function drops out, whatever it is"
        slope = _slope(chain, form, eta).add(slope, weights=(down / up,), because=words)
    slope.substitute(_directions(chain)).tidied("simplify")


def maxwell_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    """Write which slopes of the entropy the symmetry of an update with two rates fixes."""
    _slopes_from_scaling(chain, protocol, _entropy_scaling(chain, protocol), _S, "s")


@derivation(
    "maxwell-differential-entropy",
    protocol=FixedLR,
    source=THIS_TOOLKIT,
    summary="Of the differential entropy S_w of the weights in R^d, dS_w/dlog eta - dS_w/dlog lambda is d/2 = R + 1/2",
    worlds=[runs_world(FixedLR.rule)],
)
def _maxwell_differential_entropy(chain: Chain, protocol: Protocol) -> None:
    same_run, entropy = _same_run(chain, protocol), _entropy(chain, protocol)
    state, changes = (*_state(protocol), *_held(protocol)), scaling(protocol)
    end, norm = _end(protocol)
    whole = chain.definition(
        eq(_from(_S_w)(*state), DifferentialEntropyOf(end)),
        "the differential entropy of the weights in R^d, at the same ends",
    ).in_polar_coordinates()
    both = whole.substitute(entropy.solve_for(EntropyOf(end / norm))).expand(
        because="more than S by the entropy of the norm given the direction, E log r + h[log r | direction]"
    )
    both = both.substitute(_forgotten(chain, protocol, _S))
    scaled = chain.claim("maxwell-from-symmetry", protocol, about=_S(*(changes[rate] for rate in _held(protocol))))
    larger = both.rescale(changes).substitute(
        same_run, scaled, because="one more log c than S: log r is shifted, and its entropy stays the same"
    )
    shifted = larger.match(both, because="d log c, and not (d - 1) log c")
    shifted = _for_any_start(shifted, _forgotten(chain, protocol, _S_w), protocol)
    _slopes_from_scaling(chain, protocol, shifted, _S_w, "s_w")


def _maxwell_fixed_elr(chain: Chain, protocol: Protocol) -> None:
    shifted = _entropy_scaling(chain, protocol)
    orbit = shifted.choose(c, sp.sqrt(lam), because="so that weight decay is 1")
    form = orbit.solve_for(_S(eta_eff, lam))
    _slope(chain, form, lam).substitute(_directions(chain))


def maxwell_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    """Write how the entropy depends on the norm of a sphere, at a learning rate that changes with it."""
    rate = eta_eff * r0 ** protocol.rule.rate_powers[0]
    at_rate = {w: r0 * w_bar, eta: rate}
    same_run = _same_run(chain, protocol).at_once(at_rate)
    end = run(steps, r0 * w_bar, rate, r0)
    norm = sp.sqrt(Dot(end, end))
    entropy = chain.definition(
        eq(_S(eta_eff, r0), EntropyOf(end / norm) + (d - 1) * Expectation(sp.log(norm))),
        "the entropy of the directions on the unit sphere, and the part of the norm; T is set by the effective "
        "learning rate",
    )
    larger = entropy.rescale({r0: c * r0})
    larger = larger.substitute(same_run, because="the directions are the same")
    shifted = larger.match(entropy)
    orbit = shifted.choose(c, 1 / r0, because="so that the sphere is the unit sphere")
    form = orbit.solve_for(_S(eta_eff, r0))
    _slope(chain, form, r0).substitute(_directions(chain))


# Entropy estimates -------------------------------------------------------------------------------


@derivation(
    "estimator-bias",
    source=THIS_TOOLKIT,
    summary="The bias of a scale-equivariant entropy estimate is constant along a symmetry orbit",
    worlds=[runs_world(FixedLR.rule)],
)
def _estimator_bias(chain: Chain) -> None:
    same_run = _same_run(chain, FixedLR)
    true = chain.claim("maxwell-from-symmetry", FixedLR, about=_S(c**2 * eta, lam / c**2))
    end, _ = _end(FixedLR)
    estimate = chain.definition(eq(_from(_estimate)(w, eta, lam), EstimateOf(end)), "an estimate from the ends of runs")
    forgotten = _forgotten(chain, FixedLR, _estimate)
    equivariant = chain.assumption(
        "equivariant estimator", eq(EstimateOf(c * end), EstimateOf(end) + (d - 1) * sp.log(c))
    )
    larger = estimate.rescale(scaling(FixedLR))
    larger = larger.substitute(same_run, equivariant)
    shifted = _for_any_start(larger.match(estimate), forgotten, FixedLR)
    along = shifted.choose(c, (lam / eta) ** sp.Rational(1, 4), because="along the orbit to equal rates")
    form = along.solve_for(_estimate(eta, lam))
    by_rate, by_decay = _slope(chain, form, eta), _slope(chain, form, lam)
    measured = by_rate.add(by_decay, weights=(-1,), because="the value at equal rates drops out")
    measured.substitute(
        _directions(chain), because="the Maxwell relation of the estimate, exact however large its bias"
    )
    bias = chain.definition(eq(_bias(eta, lam), _estimate(eta, lam) - _S(eta, lam)), "the bias of the estimate")
    there = bias.rescale(scaling(FixedLR)).substitute(shifted, true)
    there.match(bias, because="constant along the orbit")


# The registry ------------------------------------------------------------------------------------


def _power(name: str, power: sp.Expr) -> str:
    """Write a rate multiplied by a power of c."""
    size = str(abs(power))
    times = {"0": "", "1": "c"}.get(size, f"c^{size if abs(power).is_integer else f'({size})'}")
    return f"{times} {name}".strip() if power >= 0 else f"{name}/{times}"


def _words(protocol: Protocol) -> tuple[str, str]:
    """How a run is rescaled, and which slopes of the entropy this fixes."""
    if protocol is FixedSphere:
        return (
            "on a sphere c times as large, at c^2 eta,",
            "At fixed effective learning rate r dS/dr is d - 1 = 2R",
        )
    if protocol is FixedELR:
        return "with weight decay lambda/c^2", "lambda dS/dlambda is -R"
    up, down = protocol.rule.rate_powers
    rates = f"with {_power('eta', up)} and {_power('lambda', down)}"
    buffers = "and buffers to match, " if protocol.rule.buffers else ""
    total = 2 / abs(up or down)
    sum_ = "R" if total == 1 else "d - 1 = 2R" if total == 2 else f"{total} R"
    if not up:
        return f"{buffers}{rates}", f"-dS/dlog lambda is {sum_}"
    size = abs(down / up)
    times = f"{size} " * (size != 1)
    return f"{buffers}{rates}", f"dS/dlog eta {'-' if down < 0 else '+'} {times}dS/dlog lambda is {sum_}"


_MAXWELL = {FixedSphere: maxwell_on_the_sphere, FixedELR: _maxwell_fixed_elr}


def _maxwell_by_symmetry(chain: Chain, protocol: Protocol) -> None:
    chain.claim("maxwell-from-symmetry", protocol)


for _protocol in (*PROTOCOLS.values(), *map(FixedLR.with_optimizer, OPTIMIZERS)):
    _scaled, _slopes = _words(_protocol)
    _of_runs = partial(derivation, source=THIS_TOOLKIT, worlds=[runs_world(_protocol.rule)])
    _same = f"A run from c w {_scaled} is c times the run from w, with the same minibatches"
    if _protocol.optimizer == "sgd":
        _of_runs("scaling-symmetry", protocol=_protocol, summary=_same)(scaling_symmetry)
    else:  # for SGD the Maxwell relation is derived from the paper's Gibbs law, too
        _of_runs(f"{_protocol.optimizer}-symmetry", summary=_same)(partial(scaling_symmetry, protocol=_protocol))
        _of_runs("maxwell", protocol=_protocol, summary=f"{_slopes}, by its symmetry")(_maxwell_by_symmetry)
    _by_itself = f"{_slopes}, for any noise and any step size"
    _of_runs("maxwell-from-symmetry", protocol=_protocol, summary=_by_itself)(_MAXWELL.get(_protocol, maxwell_fixed_lr))
