"""The exact scaling symmetry of SGD with momentum: the buffer scales as gradients do, and a step commutes with it.

>>> from thermo_theory import derive
>>> derive("momentum-symmetry").claim.equation
Eq(W(c*w, v_k/c, c**2*eta, lambda/c**2), c*W(w, v_k, eta, lambda))
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import beta, buffer, c, eq, eta, lam, w
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.heavy_ball import ball_gradient, ball_step, buffer_step, step_world

__all__ = ["share"]

#: How weights, buffer and rates change together.
SCALING = {w: c * w, buffer: buffer / c, eta: c**2 * eta, lam: lam / c**2}


@operation("compare with the same divided by c")
def share(larger: sp.Eq, one: sp.Eq) -> sp.Eq:
    """Write one right-hand side as another over c."""
    if sp.expand(c * larger.rhs - one.rhs) != 0:
        raise OperationError(f"{larger.rhs} is not {one.rhs} over {c}")
    return eq(larger.lhs, one.lhs / c)


def _symmetry(chain: Chain, rule: str) -> None:
    after = buffer_step(w, buffer, lam)
    moved_to = ball_step(w, buffer, eta, lam)
    pull = ball_gradient(w) + lam * w
    held = chain.definition(eq(after, beta * buffer + pull), "the momentum buffer, as in torch")
    push = pull + beta * after if rule == "nesterov" else after
    moved = chain.definition(eq(moved_to, w - eta * push), "one step")
    invariant = chain.assumption(
        "scale invariance",
        eq(ball_gradient(c * w), ball_gradient(w) / c),
        "the gradient of every minibatch is c times smaller at weights c times larger",
    )
    kept = held.rescale(SCALING, because="the same minibatch at rescaled weights, with a buffer to match")
    kept = kept.substitute(invariant).expand()
    kept = kept.share(held, because="the buffer stays rescaled")
    larger = moved.rescale(SCALING)
    larger = larger.substitute(kept, *([invariant] if rule == "nesterov" else []))
    larger.multiple(moved, because="so does the step: the directions are the same")


def _momentum(chain: Chain) -> None:
    _symmetry(chain, "momentum")


def _nesterov(chain: Chain) -> None:
    _symmetry(chain, "nesterov")


for _rule, _build in (("momentum", _momentum), ("nesterov", _nesterov)):
    derivation(
        f"{_rule}-symmetry",
        kind="symmetry",
        source=THIS_TOOLKIT,
        summary="A step from rescaled weights and buffer at rescaled rates is the step rescaled, as for SGD",
        worlds=[step_world(_rule)],
    )(_build)
