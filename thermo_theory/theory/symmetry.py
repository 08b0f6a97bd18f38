"""The exact scaling symmetry of training in discrete steps, and what follows from it alone.

Any scale-invariant loss, any minibatches, steps of any size: multiply the weights by c, the learning rate by c^2 and
divide weight decay by c^2, and the run is the same run, c times as large. The buffer of a momentum is then c times
smaller. Adam's moments are smaller by c and c^2, and its learning rate grows by c alone.

>>> from thermo_theory import FixedLR, derive
>>> derive("scaling-symmetry", FixedLR).assumptions
('scale invariance',)
>>> derive("maxwell-from-symmetry", FixedLR.with_optimizer("adamw")).assumptions
('scale invariance', 'eps = 0', 'stationarity')
>>> derive("momentum-symmetry").claim.equation
Eq(w(n, c*w, v_k/c, c**2*eta, lambda/c**2), c*w(n, w, v_k, eta, lambda))
"""

from __future__ import annotations

from functools import partial

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation, put_at_once
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import (
    R,
    beta,
    beta1,
    beta2,
    buffer,
    c,
    d,
    eq,
    eta,
    eta_eff,
    first,
    lam,
    r0,
    second,
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
    Squares,
    Vec,
    VectorFunction,
)
from thermo_theory.worlds.discrete import direction, gradient, index, run, runs, runs_world, steps, steps_of

__all__ = ["by_induction", "in_polar_coordinates", "match", "multiple", "simplify_norms"]

THIS_TOOLKIT = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"

#: How the weights, the buffers of the optimiser and what a protocol holds change together.
SCALINGS: dict[Protocol, dict[sp.Symbol, sp.Expr]] = {
    FixedLR: {w: c * w, eta: c**2 * eta, lam: lam / c**2},
    FixedELR: {w: c * w, lam: lam / c**2},
    FixedSphere: {w: c * w, eta: c**2 * eta, r0: c * r0},
}
_BALL = {buffer: buffer / c, eta: c**2 * eta, lam: lam / c**2}
_ADAM = {first: first / c, second: second / c**2, eta: c * eta}
for _rule, _changes in {
    "momentum": _BALL,
    "nesterov": _BALL,
    "adamw": {**_ADAM, lam: lam / c},
    "adam-l2": {**_ADAM, lam: lam / c**2},
}.items():
    SCALINGS[FixedLR.with_optimizer(_rule)] = {w: c * w, **_changes}
_WORLDS = {protocol: runs_world(protocol.key) for protocol in SCALINGS}


def _held(protocol: Protocol) -> tuple[sp.Symbol, sp.Symbol]:
    """The two numbers a protocol holds."""
    return {FixedELR: (eta_eff, lam), FixedSphere: (eta, r0)}.get(protocol, (eta, lam))


def _state(protocol: Protocol) -> list[sp.Symbol]:
    """The weights and the buffers of the optimiser."""
    return [part for part in SCALINGS[protocol] if isinstance(part, Vec)]


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
    factors = [symmetry.rhs.as_independent(VectorFunction)[0] for symmetry in symmetries]
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


def _updates(protocol: Protocol, after: list[sp.Expr]) -> list[tuple[sp.Expr, str]]:
    """The weights and the buffers `after` a step in terms of those before, and what they are."""
    rate, optimizer, pull = _held(protocol)[0], protocol.optimizer, gradient(index, w)
    if protocol is FixedSphere:
        moved = w - rate * pull
        return [(r0 * moved / sp.sqrt(Dot(moved, moved)), f"one step, {protocol.update}")]
    decayed = pull + lam * w
    if optimizer == "sgd":
        size = Dot(w, w) if protocol is FixedELR else 1
        return [(w - rate * size * decayed, f"one step, {protocol.update}")]
    if not optimizer.startswith("adam"):
        push = decayed + beta * after[1] if optimizer == "nesterov" else after[1]
        return [(w - eta * push, "one step"), (beta * buffer + decayed, "the momentum buffer, as in torch")]
    pull, kept = (pull, (1 - eta * lam) * w) if optimizer == "adamw" else (decayed, w)
    return [
        (kept - eta * direction(*after[1:]), "one step along Adam's direction, a function of both moments"),
        (beta1 * first + (1 - beta1) * pull, "Adam's first moment, a running mean over the whole run"),
        (beta2 * second + (1 - beta2) * Squares(pull), "Adam's second moment: the squares, coordinate by coordinate"),
    ]


def _scaling_symmetry(chain: Chain, protocol: Protocol) -> None:
    scaling, state, held = SCALINGS[protocol], _state(protocol), _held(protocol)
    after = [made(index, *state, *held) for made in steps_of[: len(state)]]
    ones = [
        chain.definition(eq(made, new), because)
        for made, (new, because) in zip(after, _updates(protocol, after), strict=True)
    ]
    known = [
        chain.assumption(
            "scale invariance",
            eq(gradient(index, c * w), gradient(index, w) / c),
            "the gradient of every minibatch is c times smaller at weights c times larger",
        )
    ]
    if protocol.optimizer.startswith("adam"):
        moments = [part * scaling[old] / old for part, old in zip(after[1:], state[1:], strict=True)]
        known.append(
            chain.assumption(
                "eps = 0",
                eq(direction(*moments), direction(*after[1:])),
                "m/sqrt(v) does not change if all gradients are divided by c",
            )
        )
    symmetric: list[Step] = []
    # Buffers first: the weights move by the new ones.
    for one, part in reversed([*zip(ones, state, strict=True)]):
        larger = one.rescale(scaling, because="the same minibatch at rescaled weights and buffers")
        for rule in (*symmetric, *known):
            larger = larger.substitute(rule) if larger.equation.rhs.has(rule.equation.lhs) else larger
        if protocol is FixedSphere:
            larger = larger.simplify_norms()
        factor = scaling[part] / part
        symmetric.insert(0, larger.multiple(one, factor, because="one step commutes with the rescaling"))
    starts = [
        chain.definition(eq(course(0, *state, *held), part), "a run begins here")
        for course, part in zip(runs, state, strict=False)
    ]
    here = [course(index, *state, *held) for course in runs[: len(state)]]
    following = [
        chain.definition(eq(course(index + 1, *state, *held), made(index, *here, *held)), "and continues step by step")
        for course, made, _ in zip(runs, steps_of, state, strict=False)
    ]
    starts[0].by_induction(
        *starts[1:], *following, *symmetric, number=index, because="the same minibatches, the same directions"
    )


# Entropy -----------------------------------------------------------------------------------------

_S, _S_w, _estimate, _bias = (sp.Function(name) for name in ("S", "S_w", "S_est", "b"))


def _from(entropy: sp.Function) -> sp.Function:
    """What an entropy is at the end of runs, as a function of the weights and buffers they begin at too."""
    return sp.Function(f"{entropy}_0")


def _same_run(chain: Chain, protocol: Protocol) -> Step:
    """The symmetry of whole runs."""
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
    elsewhere = forgotten.rescale(SCALINGS[protocol])
    return shifted.substitute(forgotten, elsewhere, because="the starting point does not matter")


def _entropy_scaling(chain: Chain, protocol: Protocol) -> Step:
    """The entropy at rescaled rates is (d - 1) log c larger."""
    same_run, entropy = _same_run(chain, protocol), _entropy(chain, protocol)
    larger = entropy.rescale(SCALINGS[protocol])
    larger = larger.substitute(same_run, because="the directions are the same, the norms c times as large")
    return _for_any_start(larger.match(entropy), _forgotten(chain, protocol, _S), protocol)


def _slope(chain: Chain, equation: Step, variable: sp.Symbol) -> Step:
    return equation.differentiate(variable).scale(variable)


def _directions(chain: Chain) -> Step:
    return chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")


def _slopes_from_scaling(chain: Chain, protocol: Protocol, shifted: Step, entropy: sp.Function, rest: str) -> None:
    """From how an entropy changes along an orbit to the combination of its slopes that this fixes."""
    up, down = (abs((SCALINGS[protocol][rate] / rate).as_base_exp()[1]) for rate in (eta, lam))
    orbit = shifted.choose(c, (lam / eta) ** (1 / (up + down)), because="so that both rates are equal")
    there = next(part for part in orbit.equation.lhs.atoms(entropy) if part.args[0] == part.args[1])
    invariant = eta ** (down / sp.gcd(up, down)) * lam ** (up / sp.gcd(up, down))
    value = chain.definition(eq(there, sp.Function(rest)(invariant)), "a function of what is equal along an orbit")
    form = orbit.substitute(value).solve_for(entropy(eta, lam), because=f"so {entropy} has this form")
    by_rate, by_decay = _slope(chain, form, eta), _slope(chain, form, lam)
    difference = by_rate.add(by_decay, weights=(-down / up,), because="the function drops out, whatever it is")
    difference.substitute(_directions(chain))


def _maxwell_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    _slopes_from_scaling(chain, protocol, _entropy_scaling(chain, protocol), _S, "s")


@derivation(
    "maxwell-differential-entropy",
    protocol=FixedLR,
    source=THIS_TOOLKIT,
    summary="Of the differential entropy S_w of the weights in R^d, dS_w/dlog eta - dS_w/dlog lambda is d/2 = R + 1/2",
    worlds=[_WORLDS[FixedLR]],
)
def _maxwell_differential_entropy(chain: Chain, protocol: Protocol) -> None:
    same_run, entropy = _same_run(chain, protocol), _entropy(chain, protocol)
    state, scaling = (*_state(protocol), *_held(protocol)), SCALINGS[protocol]
    end, norm = _end(protocol)
    whole = chain.definition(
        eq(_from(_S_w)(*state), DifferentialEntropyOf(end)),
        "the differential entropy of the weights in R^d, at the same ends",
    ).in_polar_coordinates()
    both = whole.substitute(entropy.solve_for(EntropyOf(end / norm))).expand(
        because="more than S by the entropy of the norm given the direction, E log r + h[log r | direction]"
    )
    both = both.substitute(_forgotten(chain, protocol, _S))
    scaled = chain.claim("maxwell-from-symmetry", protocol, about=_S(*(scaling[rate] for rate in _held(protocol))))
    larger = both.rescale(scaling).substitute(
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


def _maxwell_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    at_rate = {w: r0 * w_bar, eta: eta_eff * r0**2}
    same_run = _same_run(chain, protocol).at_once(at_rate)
    end = run(steps, r0 * w_bar, eta_eff * r0**2, r0)
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
    worlds=[_WORLDS[FixedLR]],
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
    larger = estimate.rescale(SCALINGS[FixedLR])
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
    there = bias.rescale(SCALINGS[FixedLR]).substitute(shifted, true)
    there.match(bias, because="constant along the orbit")


# The registry ------------------------------------------------------------------------------------

_R = "dS/dlog eta - dS/dlog lambda is R"
_BUFFER = "and a buffer c times smaller, with c^2 eta and lambda/c^2,"

#: How a run is rescaled, and which slopes of the entropy this fixes.
_WORDS = {
    FixedSphere: (
        "on a sphere c times as large, at c^2 eta,",
        "At fixed effective learning rate r dS/dr is d - 1 = 2R",
    ),
    FixedELR: ("with weight decay lambda/c^2", "lambda dS/dlambda is -R"),
    FixedLR: ("with c^2 eta and lambda/c^2", _R),
    FixedLR.with_optimizer("momentum"): (_BUFFER, _R),
    FixedLR.with_optimizer("nesterov"): (_BUFFER, _R),
    FixedLR.with_optimizer("adamw"): (
        "and moments to match, with c eta and lambda/c,",
        "dS/dlog eta - dS/dlog lambda is d - 1 = 2R",
    ),
    FixedLR.with_optimizer("adam-l2"): (
        "and moments to match, with c eta and lambda/c^2,",
        "dS/dlog eta - 2 dS/dlog lambda is d - 1 = 2R",
    ),
}
_MAXWELL = {FixedSphere: _maxwell_on_the_sphere, FixedELR: _maxwell_fixed_elr}


def _maxwell_by_symmetry(chain: Chain, protocol: Protocol) -> None:
    chain.claim("maxwell-from-symmetry", protocol)


for _protocol, (_scaled, _slopes) in _WORDS.items():
    _of_runs = partial(derivation, source=THIS_TOOLKIT, worlds=[_WORLDS[_protocol]])
    _same = f"A run from c w {_scaled} is c times the run from w, with the same minibatches"
    if _protocol.optimizer == "sgd":
        _of_runs("scaling-symmetry", protocol=_protocol, summary=_same)(_scaling_symmetry)
    else:  # for SGD the Maxwell relation is derived from the paper's Gibbs law, too
        _of_runs(f"{_protocol.optimizer}-symmetry", summary=_same)(partial(_scaling_symmetry, protocol=_protocol))
        _of_runs("maxwell", protocol=_protocol, summary=f"{_slopes}, by its symmetry")(_maxwell_by_symmetry)
    _words = f"{_slopes}, for any noise and any step size"
    _of_runs("maxwell-from-symmetry", protocol=_protocol, summary=_words)(_MAXWELL.get(_protocol, _maxwell_fixed_lr))
