"""How far a step turns the weights: the angle between the weights before and after it, and its chord.

Where the norm does not fluctuate, weights before and after a step are two points of one sphere, and their distance is
the chord ``2 sin(angle/2)`` of the angle between them. In general both are means over the stationary state,

    cos(angle) = E[w.w'] / E[r^2]        chord^2 = E|w' - w|^2 / E[r^2]

(small angles: the root mean square). They are exact in the step size and hold for any gradients of a scale-invariant
loss, noise or not; only Nesterov's need uncorrelated gradients, and of Adam with L2 the normaliser is that of small
steps. For small steps, where angle and chord agree, they are the formulas of Kosson et al.

>>> from thermo_theory import FixedLR
>>> FixedLR.angle(eta=1.0, lam=0.1), FixedLR.chord(eta=1.0, lam=0.1)  # arccos(0.9), sqrt(0.2)
(0.4510..., 0.4472...)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.protocols import FixedLR, Protocol
from thermo_theory.symbols import D_hat, angle, beta, beta1, buffer, chord, d, eq, eta, g, lam, r, sigma, w, w_next
from thermo_theory.symbols.vectors import Dot, Expectation
from thermo_theory.theory.optimizers import IN_WORDS, LINEAR, STABLE, bound, eliminate, moments, unit_of_gradients
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.optimizers import gas_world

__all__ = ["arccosine"]

KOSSON = "Kosson et al. 2023, arXiv 2305.17212"

_SIZE, _OVERLAP, _NEW_SIZE = (Expectation(Dot(*pair)) for pair in ((w, w), (w, w_next), (w_next, w_next)))
_HELD = Expectation(Dot(w, buffer))
_OTHERS = tuple(Expectation(Dot(*pair)) for pair in ((buffer, buffer), (g, g), (g, buffer)))


@operation("take the arccosine")
def arccosine(equation: sp.Eq) -> sp.Eq:
    """The angle, from 0 to pi, whose cosine an equation gives."""
    if not isinstance(equation.lhs, sp.cos):
        raise OperationError(f"{equation.lhs} is no cosine")
    return eq(equation.lhs.args[0], sp.acos(1 - sp.simplify(sp.factor(1 - equation.rhs))))


def _named(chain: Chain) -> Step:
    return chain.definition(
        eq(sp.cos(angle) * Expectation(r**2), _OVERLAP),
        "the mean cosine of the weights before and after a step, weighted by the product of their norms",
    )


def _angle(chain: Chain, rule: str) -> None:
    count = {"sgd": 0, "nesterov": 3}.get(rule, 2)
    moved, radial, norm, balances = moments(chain, rule, count, uncorrelated=rule == "nesterov")
    overlap = moved.project(w).substitute(radial, norm).expectation()
    if balances:
        overlap = overlap.substitute(chain.do(eliminate, *balances, unknown=_HELD, others=_OTHERS[:count]))
    turned = _named(chain).substitute(overlap).solve_for(sp.cos(angle)).arccosine()
    if rule == "adam-l2":
        equal = chain.assumption("isotropic noise", eq(D_hat, d))
        unit = unit_of_gradients(chain).substitute(equal)
        unit = unit.substitute(chain.claim("radius", FixedLR.with_optimizer(rule)))
        turned.substitute(unit, because="exact, but for Adam's normaliser")


@dataclass(frozen=True)
class _FromChord:
    """The angle computed from its chord: near 1 a cosine keeps few digits of the angle."""

    rule: str

    def __call__(self, **values: Any) -> Any:
        with np.errstate(invalid="ignore"):
            found = 2 * np.arcsin(_of(self.rule).chord(**values) / 2)
        return found if np.ndim(found) else float(found)


def _chord(chain: Chain, rule: str) -> None:
    far = chain.definition(
        eq(chord**2 * Expectation(r**2), Expectation(Dot(w_next - w, w_next - w))),
        "the mean square of a step over that of the weights",
    )
    still = chain.assumption("stationarity", eq(_NEW_SIZE, Expectation(r**2)), "second moments are constant")
    norm = chain.definition(eq(Dot(w, w), r**2), "the norm").expectation()
    far = far.substitute(still, norm, _named(chain).flip())
    far.substitute(chain.claim("angle", _of(rule))).root(chord)


def _rotation(chain: Chain, rule: str) -> None:
    small = chain.assumption("small steps", eq(Expectation(r**2), r**2), "the norm hardly fluctuates")
    chain.claim("angle", _of(rule)).lead(eta, small)


def _of(rule: str) -> Protocol:
    return FixedLR if rule == "sgd" else FixedLR.with_optimizer(rule)


#: The cube of 1 - cos of the angle under Adam with L2, its normaliser that of small steps.
_CUBE = d**2 * eta**4 * lam**2 * ((1 - beta1) / (1 + beta1)) ** 3 / (2 * sigma**2 * (d - 1))

#: Where the leading order is an angle.
_AT_MOST_PI = {
    "sgd": 2 * eta * lam <= sp.pi**2,
    "momentum": 2 * eta * lam <= sp.pi**2 * (1 + beta),
    "adamw": 2 * eta * lam * (1 - beta1) <= sp.pi**2 * (1 + beta1),
    "adam-l2": sp.pi**6 >= 8 * _CUBE,
}

for _rule in ("sgd", *LINEAR):
    _size = ", Adam's normaliser that of small steps" if _rule == "adam-l2" else ", for any step size"
    for _name, _build, _words in (
        ("angle", _angle, "Angle between the weights before and after a step"),
        ("chord", _chord, "Root mean square of a step over that of the weights"),
    ):
        derivation(
            _name,
            protocol=_of(_rule),
            source=THIS_TOOLKIT,
            summary=f"{_words}{_size}, {IN_WORDS[_rule]}",
            worlds=[gas_world(_rule)],
            kernel=_FromChord(_rule) if _name == "angle" else None,
            domain=[STABLE[_rule] if _rule != "adam-l2" else _CUBE < 8],
        )(bound(_build, _rule))
    if _rule != "nesterov":
        derivation(
            f"rotation-{_rule}",
            source=KOSSON,
            summary="Angle between the weights before and after a step, and its chord, for small steps",
            worlds=[gas_world(_rule)],
            domain=[_AT_MOST_PI[_rule]],
        )(bound(_rotation, _rule))
