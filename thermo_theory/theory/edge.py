"""The edge of stochastic stability: what keeps the curvature along a minibatch's own gradient at 2/eta_eff.

A stationary mean loss only balances a step against *another* minibatch's loss ("step-balance", whose curvature is that
of the expected loss: Lee & Jang 2023). That a step does not change the loss of *its own* minibatch is a separate
assumption. This module derives what it implies, and where it holds or fails.

>>> from thermo_theory import derive
>>> derive("edge-of-stochastic-stability").claim(eta_eff=0.1)
20.0
>>> derive("edge-under-additive-noise").assumptions
('small steps', 'independent noise', 'stationarity', 'additive noise')
"""

from __future__ import annotations

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.symbols import (
    Hess,
    Hess_batch,
    L_batch,
    L_batch_next,
    batch_sharpness,
    eq,
    eta,
    eta_eff,
    g_unit,
    grad_L_unit,
    h,
    r,
    x,
    x_next,
)
from thermo_theory.symbols.vectors import Apply, Dot, Expectation, Quad
from thermo_theory.worlds.edge import edge_world

__all__: list[str] = []

SOURCE = "Andreyev & Beneventano 2024, arXiv 2412.20553"
THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"
_SQUARE = Dot(g_unit, g_unit)
_BENT = Quad(Hess_batch, g_unit)


def _sharpness(chain: Chain) -> Step:
    return chain.definition(
        eq(batch_sharpness, Expectation(_BENT) / Expectation(_SQUARE)), "curvature of a minibatch along its gradient"
    )


@derivation(
    "edge-of-stochastic-stability",
    source=SOURCE,
    summary="Batch sharpness is 2/eta_eff if a step does not change, on average, the loss of its own minibatch: a "
    "separate assumption, which does not follow from stationarity",
    worlds=[edge_world()],
)
def _edge(chain: Chain) -> None:
    step = chain.assumption(
        "small steps",
        eq(L_batch_next, L_batch - eta_eff * _SQUARE + eta_eff**2 / 2 * _BENT),
        "the loss of the minibatch after its own step, to second order in it",
    )
    kept = chain.assumption("unchanged batch loss", eq(Expectation(L_batch_next), Expectation(L_batch)))
    mean = step.expectation().substitute(kept).solve_for(Expectation(_BENT))
    _sharpness(chain).substitute(mean, because="a step ends as high above its minibatch's minimum as it began")


@derivation(
    "edge-under-additive-noise",
    source=f"{SOURCE}; Yaida 2018, arXiv 1810.00004; {THIS}",
    summary="If all minibatches have one Hessian, stationarity puts batch sharpness at 2/eta_eff times the share of "
    "the mean gradient in the mean squared gradient: below the edge, however long the training",
    worlds=[edge_world()],
)
def _additive(chain: Chain) -> None:
    balance = chain.claim("step-balance")
    alike = chain.assumption("additive noise", eq(Expectation(_BENT), Expectation(Quad(Hess, g_unit))))
    bent = balance.solve_for(Expectation(Quad(Hess, g_unit)))
    _sharpness(chain).substitute(alike, bent, because="the mean loss is constant, the minibatch's own falls")


@derivation(
    "edge-of-mean-square-stability",
    source=f"Wu, Ma & E 2018, NeurIPS; {SOURCE}; {THIS}",
    summary="If all minibatches have the same minimum and the same curvature, as in regression on single examples of "
    "one length, the edges of mean-square and of stochastic stability coincide: batch sharpness is 2/eta_eff",
    worlds=[edge_world(constant="distance")],
)
def _mean_square(chain: Chain) -> None:
    step = chain.definition(eq(x_next, x - eta_eff * g_unit), "a step")
    still = chain.assumption(
        "stationarity",
        eq(Expectation(Dot(x_next, x_next)), Expectation(Dot(x, x))),
        "at the edge of mean-square stability the distance neither grows nor shrinks",
    )
    linear = chain.assumption("interpolation", eq(g_unit, Apply(Hess_batch, x)))
    bent = chain.assumption("one curvature", eq(Dot(g_unit, Apply(Hess_batch, x)), h * Dot(g_unit, x)), given=[linear])
    along = chain.assumption("one curvature", eq(_BENT, h * _SQUARE), given=[linear])
    balance = still.substitute(step).solve_for(eta_eff)
    square = linear.project(g_unit).substitute(bent).expectation()
    balance = balance.substitute(square)
    sharpness = _sharpness(chain).substitute(along)
    sharpness.substitute(balance.solve_for(h), because="with different curvatures it is above 2/eta_eff")


@derivation(
    "pinned-norm",
    source=f"{SOURCE}; Lyu, Li & Arora 2022, arXiv 2206.07085; {THIS}",
    summary="With full-batch gradients the edge is eta_eff h = 2 for the largest curvature h: weight decay raises "
    "eta_eff until the norm is pinned at r^2 = eta h/2, independent of weight decay and gradients",
    worlds=[edge_world()],
)
def _pinned(chain: Chain) -> None:
    edge = chain.claim("edge-of-stochastic-stability")
    bent = chain.assumption(
        "full batch", eq(_BENT, Quad(Hess, grad_L_unit)), "the only minibatch is the whole data set"
    )
    whole = chain.assumption("full batch", eq(_SQUARE, Dot(grad_L_unit, grad_L_unit)), "its gradient is that of L")
    of_top = eq(Quad(Hess, grad_L_unit), h * Dot(grad_L_unit, grad_L_unit))
    top = chain.assumption("sharpest direction", of_top, given=[edge, whole])
    sharpness = _sharpness(chain).substitute(bent, whole, top)
    pinned = edge.equate(sharpness).flip()
    rate = chain.definition(eq(eta_eff, eta / r**2), "the effective learning rate")
    pinned.substitute(rate).solve_for(r)
