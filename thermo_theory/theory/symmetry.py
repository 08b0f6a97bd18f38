"""The exact scaling symmetry of discrete SGD, and what follows from it alone.

Any scale-invariant loss, any minibatches, steps of any size: multiply the weights by c, the learning rate by c^2 and
divide weight decay by c^2, and the run is the same run, c times as large.

>>> from thermo_theory import FixedLR, derive
>>> derive("scaling-symmetry", FixedLR).assumptions
('scale invariance',)
>>> derive("maxwell-from-symmetry", FixedLR).assumptions
('scale invariance', 'stationarity')
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation, put_at_once
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.symbols import R, c, d, eq, eta, eta_eff, lam, r0, w, w_bar
from thermo_theory.symbols.vectors import Dot, EntropyOf, EstimateOf, Expectation
from thermo_theory.worlds.discrete import gradient, index, run, runs_world, step, steps

__all__ = ["by_induction", "match"]

THIS_TOOLKIT = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"

#: How w and what a protocol holds change together.
SCALINGS: dict[Protocol, dict[sp.Symbol, sp.Expr]] = {
    FixedLR: {w: c * w, eta: c**2 * eta, lam: lam / c**2},
    FixedELR: {w: c * w, lam: lam / c**2},
    FixedSphere: {w: c * w, eta: c**2 * eta, r0: c * r0},
}

#: The two numbers a protocol holds.
HELD = {FixedLR: (eta, lam), FixedELR: (eta_eff, lam), FixedSphere: (eta, r0)}


# Operations --------------------------------------------------------------------------------------


@operation("compare")
def match(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Two equations whose right-hand sides are the same, up to a number to add: so are the left-hand sides."""
    rest = sp.expand(sp.expand_log(sp.expand(first.rhs)) - sp.expand_log(sp.expand(second.rhs)))
    if rest.has(EntropyOf, EstimateOf, Expectation) or rest.atoms(sp.core.function.AppliedUndef):
        raise OperationError(f"{first.rhs} and {second.rhs} differ by {rest}")
    return eq(first.lhs, second.lhs + rest)


@operation("by induction over {0}")
def by_induction(start: sp.Eq, recursion: sp.Eq, symmetry: sp.Eq, number: sp.Symbol) -> sp.Eq:
    """From one step to a run of any number of steps.

    `start` says where a run begins, `recursion` how its next step is made, `symmetry` that a step from rescaled weights
    ends c times as far. That the run does too is true at the start, and goes over from step `number` to the next.

    Raises
    ------
    OperationError
        If it is not true at the start, or does not go over.
    """
    factor, plain = symmetry.rhs.as_independent(step)
    run_plain = next(iter(recursion.rhs.atoms(run)))
    changed = dict(zip(plain.args[1:], symmetry.lhs.args[1:], strict=True))

    def changing(side: sp.Expr) -> sp.Expr:
        return put_at_once(side, changed)

    if changing(start.rhs) != factor * start.rhs:
        raise OperationError(f"the runs do not start at {factor} times the weights")
    supposed = {changing(run_plain): factor * run_plain}
    one_step = symmetry.subs(w, run_plain)
    end = changing(recursion.rhs).subs(supposed).subs(one_step.lhs, one_step.rhs)
    if sp.expand(end - factor * recursion.rhs) != 0:
        raise OperationError(f"a step leads to {end}, not to {factor} times {recursion.rhs}")
    return eq(changing(run_plain), factor * run_plain).subs(number, steps)


# One step and a whole run ------------------------------------------------------------------------


def _scaling_symmetry(chain: Chain, protocol: Protocol) -> None:
    rate, held = HELD[protocol]
    g = gradient(index, w)
    if protocol is FixedSphere:
        moved = w - rate * g
        new = r0 * moved / sp.sqrt(Dot(moved, moved))
    else:
        new = w - rate * (Dot(w, w) if protocol is FixedELR else 1) * (g + lam * w)
    one = chain.definition(eq(step(index, w, rate, held), new), f"one step, {protocol.update}")
    invariant = chain.assumption(
        "scale invariance",
        eq(gradient(index, c * w), g / c),
        "the gradient of every minibatch is c times smaller at weights c times larger",
    )
    larger = one.rescale(SCALINGS[protocol], because="the same minibatch at rescaled weights")
    larger = larger.substitute(invariant).expand()
    larger = larger.simplify_norms() if protocol is FixedSphere else larger
    symmetric = larger.multiple(one, because="one step commutes with the rescaling")
    start = chain.definition(eq(run(0, w, rate, held), w), "a run begins at w")
    following = chain.definition(
        eq(run(index + 1, w, rate, held), step(index, run(index, w, rate, held), rate, held)),
        "and continues step by step",
    )
    start.by_induction(following, symmetric, index, because="the same minibatches, the same directions")


@operation("take c out of the norm")
def simplify_norms(equation: sp.Eq) -> sp.Eq:
    """Take common factors out of square roots."""

    def simpler(side: sp.Expr) -> sp.Expr:
        return side.replace(sp.Pow, lambda base, exponent: sp.factor_terms(base) ** exponent)

    return eq(equation.lhs, simpler(equation.rhs))


@operation("compare with c times the step")
def multiple(larger: sp.Eq, one: sp.Eq) -> sp.Eq:
    """Write one right-hand side as c times another."""
    if sp.simplify(sp.expand(larger.rhs - c * one.rhs)) != 0:
        raise OperationError(f"{larger.rhs} is not {c} times {one.rhs}")
    return eq(larger.lhs, c * one.lhs)


# Entropy -----------------------------------------------------------------------------------------

_S, _S_start, _s = sp.Function("S"), sp.Function("S_w"), sp.Function("s")
_estimate, _estimate_start, _bias = sp.Function("S_est"), sp.Function("S_est_w"), sp.Function("b")


def _entropy_of_runs(chain: Chain, protocol: Protocol) -> tuple[Step, Step]:
    """The entropy of the weights at the end of runs that begin at w, and the assumption that w no longer matters."""
    rate, held = HELD[protocol]
    end = run(steps, w, rate, held)
    norm = sp.sqrt(Dot(end, end))
    entropy = chain.definition(
        eq(_S_start(w, rate, held), EntropyOf(end / norm) + (d - 1) * Expectation(sp.log(norm))),
        "the entropy of the directions on the unit sphere, and the part of the norm, at the end of runs that begin "
        "at w",
    )
    forgotten = chain.assumption(
        "stationarity", eq(_S_start(w, rate, held), _S(rate, held)), "the runs no longer depend on where they started"
    )
    return entropy, forgotten


def _entropy_scaling(chain: Chain, protocol: Protocol) -> Step:
    """The entropy at rescaled rates is (d - 1) log c larger."""
    same_run = chain.claim("scaling-symmetry", protocol)
    entropy, forgotten = _entropy_of_runs(chain, protocol)
    larger = entropy.rescale(SCALINGS[protocol])
    larger = larger.substitute(same_run, because="the directions are the same, the norms c times as large")
    shifted = larger.match(entropy)
    return _for_any_start(chain, shifted, forgotten, protocol)


def _for_any_start(chain: Chain, shifted: Step, forgotten: Step, protocol: Protocol) -> Step:
    elsewhere = forgotten.rescale(SCALINGS[protocol])
    return shifted.substitute(forgotten, elsewhere, because="the starting point does not matter")


def _slope(chain: Chain, equation: Step, variable: sp.Symbol) -> Step:
    return equation.differentiate(variable).scale(variable)


def _directions(chain: Chain) -> Step:
    return chain.definition(eq(d, 2 * R + 1), "the gas constant is half the number of directions")


def _maxwell_fixed_lr(chain: Chain, protocol: Protocol) -> None:
    shifted = _entropy_scaling(chain, protocol)
    orbit = shifted.choose(c, (lam / eta) ** sp.Rational(1, 4), because="so that both rates are equal")
    product = chain.definition(
        eq(_S(sp.sqrt(eta) * sp.sqrt(lam), sp.sqrt(eta) * sp.sqrt(lam)), _s(eta * lam)), "some function of eta lambda"
    )
    form = orbit.substitute(product).solve_for(_S(eta, lam), because="so S has this form")
    by_rate, by_decay = _slope(chain, form, eta), _slope(chain, form, lam)
    difference = by_rate.add(by_decay, weights=(-1,), because="the function drops out, whatever it is")
    difference.substitute(_directions(chain)).simplify()


def _maxwell_fixed_elr(chain: Chain, protocol: Protocol) -> None:
    shifted = _entropy_scaling(chain, protocol)
    orbit = shifted.choose(c, sp.sqrt(lam), because="so that weight decay is 1")
    form = orbit.solve_for(_S(eta_eff, lam))
    _slope(chain, form, lam).substitute(_directions(chain)).simplify()


def _maxwell_on_the_sphere(chain: Chain, protocol: Protocol) -> None:
    at_rate = {w: r0 * w_bar, eta: eta_eff * r0**2}
    same_run = chain.claim("scaling-symmetry", protocol).at_once(at_rate)
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
    _slope(chain, form, r0).substitute(_directions(chain)).simplify()


# Entropy estimates -------------------------------------------------------------------------------


def _estimator_bias(chain: Chain) -> None:
    same_run = chain.claim("scaling-symmetry", FixedLR)
    true = chain.claim("maxwell-from-symmetry", FixedLR, about=_S(c**2 * eta, lam / c**2))
    end = run(steps, w, eta, lam)
    estimate = chain.definition(eq(_estimate_start(w, eta, lam), EstimateOf(end)), "an estimate from the ends of runs")
    forgotten = chain.assumption(
        "stationarity",
        eq(_estimate_start(w, eta, lam), _estimate(eta, lam)),
        "the runs no longer depend on where they started",
    )
    equivariant = chain.assumption(
        "equivariant estimator", eq(EstimateOf(c * end), EstimateOf(end) + (d - 1) * sp.log(c))
    )
    larger = estimate.rescale(SCALINGS[FixedLR])
    larger = larger.substitute(same_run, equivariant)
    shifted = _for_any_start(chain, larger.match(estimate), forgotten, FixedLR)
    along = shifted.choose(c, (lam / eta) ** sp.Rational(1, 4), because="along the orbit to equal rates")
    form = along.solve_for(_estimate(eta, lam))
    by_rate, by_decay = _slope(chain, form, eta), _slope(chain, form, lam)
    measured = by_rate.add(by_decay, weights=(-1,), because="the value at equal rates drops out")
    measured.substitute(_directions(chain)).simplify(
        because="the Maxwell relation of the estimate, exact however large its bias"
    )
    bias = chain.definition(eq(_bias(eta, lam), _estimate(eta, lam) - _S(eta, lam)), "the bias of the estimate")
    there = bias.rescale(SCALINGS[FixedLR]).substitute(shifted, true)
    there.match(bias, because="constant along the orbit")


_MAXWELL = {FixedSphere: _maxwell_on_the_sphere, FixedELR: _maxwell_fixed_elr, FixedLR: _maxwell_fixed_lr}
_MAXWELL_SUMMARY = {
    FixedSphere: "At fixed effective learning rate r dS/dr is d - 1 = 2R, for any noise and any step size",
    FixedELR: "lambda dS/dlambda is -R, for any noise and any step size",
    FixedLR: "dS/dlog eta - dS/dlog lambda is R, for any noise and any step size",
}
_SCALING_SUMMARY = {
    FixedSphere: "A run from c w on a sphere c times as large, at c^2 eta, is c times the run from w",
    FixedELR: "A run from c w with weight decay lambda/c^2 is c times the run from w",
    FixedLR: "A run from c w with c^2 eta and lambda/c^2 is c times the run from w, with the same minibatches",
}
_WORLDS = {protocol: runs_world(protocol.key) for protocol in (FixedSphere, FixedELR, FixedLR)}

for _protocol, _world in _WORLDS.items():
    derivation(
        "scaling-symmetry",
        protocol=_protocol,
        kind="symmetry",
        source=THIS_TOOLKIT,
        summary=_SCALING_SUMMARY[_protocol],
        worlds=[_world],
    )(_scaling_symmetry)
    derivation(
        "maxwell-from-symmetry",
        protocol=_protocol,
        kind="symmetry",
        source=THIS_TOOLKIT,
        summary=_MAXWELL_SUMMARY[_protocol],
        worlds=[_world],
    )(_MAXWELL[_protocol])

derivation(
    "estimator-bias",
    kind="symmetry",
    source=THIS_TOOLKIT,
    summary="The bias of a scale-equivariant entropy estimate is constant along a symmetry orbit",
    worlds=[_WORLDS[FixedLR]],
)(_estimator_bias)
