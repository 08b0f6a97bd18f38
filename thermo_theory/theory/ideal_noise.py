"""Where SGD's own noise is isotropic: a logistic unit on white inputs.

The weights have a direction, their logit a fixed scale s; the gradient of an example across the weights is s times a
number that depends on the component u of the input along them and the label, times the components across. So the noise
has the shape of the inputs, weighted by that number.

>>> from thermo_theory import derive
>>> round(derive("scale-of-logits").claim(flip=0.3, label_along=0.9), 12)  # flipped labels keep it small
0.72
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.symbols import (
    eq,
    example_loss,
    flip,
    g_across,
    input_across,
    input_along,
    label,
    logit_scale,
    logit_slope,
    noise_across,
    true_label,
    turn,
)
from thermo_theory.symbols.vectors import Expectation
from thermo_theory.worlds.logistic import logistic_world, turned_loss

__all__: list[str] = []

THIS = "this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"
_WORLD = logistic_world()


def _gradient(chain: Chain) -> tuple[Step, Step]:
    """The gradient of an example along a direction across the weights, and the derivative by the logit in it."""
    along = input_along * sp.cos(turn) + input_across * sp.sin(turn)
    loss = chain.definition(
        eq(turned_loss(turn), sp.log(1 + sp.exp(-label * logit_scale * along))),
        "loss of an example, the weights turned by an angle towards a direction across them",
    )
    slope = loss.differentiate(turn).choose(turn, 0)
    name = chain.definition(eq(g_across, slope.equation.lhs), "the gradient along that direction")
    factor = chain.definition(
        eq(logit_slope, -label / (1 + sp.exp(label * logit_scale * input_along))), "the derivative by the logit"
    )
    return name.substitute(slope).simplify(), factor


def _noise(chain: Chain) -> tuple[Step, Step]:
    """Variance of the noise at the minimum, and that inputs are white."""
    noise = chain.definition(
        eq(noise_across, Expectation(g_across**2) - Expectation(g_across) ** 2), "noise of one example"
    )
    noise = noise.substitute(chain.assumption("pure noise", eq(Expectation(g_across), 0), "at the minimum"))
    return noise, chain.assumption("white inputs", eq(Expectation(input_across**2), 1))


def _sign(chain: Chain) -> Step:
    return chain.definition(eq(label**2, 1), "labels are 1 and -1")


@derivation(
    "ideal-noise",
    source=THIS,
    summary="The noise of a logistic unit is exactly isotropic if its inputs across the weights are white and "
    "independent of the component along them and of the label; for example, for two Gaussian classes with the same "
    "covariance",
    worlds=[_WORLD],
)
def _ideal_noise(chain: Chain) -> None:
    gradient, factor = _gradient(chain)
    gradient = gradient.substitute(factor.solve_for(sp.exp(label * logit_scale * input_along)))
    noise, white = _noise(chain)
    noise = noise.substitute(gradient)
    apart = chain.assumption(
        "independent inputs",
        eq(Expectation(input_across**2 * logit_slope**2), Expectation(input_across**2) * Expectation(logit_slope**2)),
    )
    noise.substitute(apart, white, because="it does not depend on the direction: the noise is isotropic")


@derivation(
    "ideal-noise-at-small-scale",
    source=THIS,
    summary="For any white inputs the noise of a logistic unit is isotropic to leading order in the scale s of the "
    "logit; the leading correction is s times a third moment, the correlation of squared inputs with the margin y u",
    worlds=[_WORLD],
    domain=[logit_scale * Expectation(input_along * input_across**2 * label) < 1],
)
def _small_scale(chain: Chain) -> None:
    gradient, _ = _gradient(chain)
    (noise, white), sign = _noise(chain), _sign(chain)
    square = gradient.multiply(gradient).series(logit_scale, 0, 4).put_into_terms(sign, sign.scale(label))
    noise.substitute(square.expectation(), white)


@derivation(
    "scale-of-logits",
    source=THIS,
    summary="The scale of the logits that minimises the loss is 2 (1 - 2 p) E[y u] if it is small: labels flipped at "
    "random with probability p keep it small, and so the noise isotropic",
    worlds=[_WORLD],
)
def _scale(chain: Chain) -> None:
    margin = label * logit_scale * input_along
    loss = chain.assumption(
        "small logits",
        eq(example_loss, sp.log(2) - margin / 2 + margin**2 / 8),
        "the expansion of log(1 + exp(-y s u))",
    )
    mean = loss.put_into_terms(_sign(chain)).expectation()
    flipped = chain.assumption(
        "flipped labels", eq(Expectation(label * input_along), (1 - 2 * flip) * Expectation(true_label * input_along))
    )
    white = chain.assumption("white inputs", eq(Expectation(input_along**2), 1))
    mean.substitute(flipped, white).minimise_over(logit_scale).solve_for(logit_scale)
