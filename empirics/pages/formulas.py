"""The formulas a page compares with, taken from their derivations, and the papers they come from."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from empirics.claims.ground import Ground, derived
from empirics.pages.blocks import Law, Paper
from empirics.pages.mathml import mathml
from empirics.pages.words import typeset
from thermo_theory import Derivation
from thermo_theory.book.wording import cited, needs_in_words
from thermo_theory.engine.printing import to_latex
from thermo_theory.protocols import PROTOCOLS

__all__ = ["PAPERS", "compared", "laws"]


def readable(equation: sp.Basic) -> sp.Basic:
    """Raise an equation of positive quantities to the power that clears its roots.

    Examples
    --------
    >>> r, x = sp.symbols("r x", positive=True)
    >>> readable(sp.Eq(r, (x / 2) ** sp.Rational(1, 4)))
    Eq(r**4, x/2)
    """
    if not isinstance(equation, sp.Eq) or not equation.lhs.is_Symbol or not equation.lhs.is_positive:
        return equation
    roots = [power.exp for power in equation.rhs.atoms(sp.Pow) if power.exp.is_Rational and power.exp.q > 1]
    if not roots or equation.rhs.is_Add:
        return equation
    power = sp.ilcm(*[root.q for root in roots])
    return sp.Eq(equation.lhs**power, sp.powsimp(sp.expand_power_base(equation.rhs**power, force=True)), evaluate=False)


def _law(derivation: Derivation) -> Law:
    """Turn a derivation's claim into a row of the page."""
    formula = to_latex(readable(derivation.claim.equation))
    words = derivation.summary
    # A sentence starts with a capital; a formula in words (dS/dlog eta, p V) does not.
    symbols = words[1:2].isupper() or (words[1:2] == " " and words[:1] not in "Aa")
    title = words if symbols else words[:1].upper() + words[1:]
    return Law(
        typeset(title),
        mathml(formula, "block"),
        formula,
        needs_in_words(Ground.of(derivation).needs, derivation.assumptions),
        tuple(cited(derivation.source)),
        derivation.name,
    )


_COMPARED = ("radius", "temperature", "ideal-gas-law", "maxwell")


def laws(pairs: Iterable[tuple[str, str]], names: tuple[str, ...] = _COMPARED) -> tuple[Law, ...]:
    """Return the formulas of the protocols and optimisers that were run, pairs of keys, as their derivations end."""
    every = [(protocol, optimizer) for known in PROTOCOLS for protocol, optimizer in pairs if protocol == known]
    return tuple(law for protocol, optimizer in every for law in compared(names, protocol, optimizer))


def compared(names: tuple[str, ...], protocol: str, optimizer: str = "sgd") -> tuple[Law, ...]:
    """Return the formulas that a claim compares with; names, protocol and optimiser as `derived` takes them."""
    return tuple(map(_law, derived(names, protocol, optimizer)))


#: The papers that the page rests on, each with what is taken from it.
PAPERS = tuple(
    Paper(text, what, cited(text)[-1][1])
    for text, what in (
        (
            "Sadrtdinov, Lobacheva, Klimov, Burtsev, Katsnelson, Vetrov: Can Stationary Distributions of "
            "Scale-Invariant Neural Networks Be Described by the Thermodynamics of an Ideal Gas? arXiv 2511.07308",
            "the dictionary of optimisation and thermodynamics, the stationary radius, temperature, Maxwell relations",
        ),
        (
            "Yaida: Fluctuation-dissipation relations for stochastic gradient descent. arXiv 1810.00004",
            "exact relations of stationary SGD, of which the norm balance is one",
        ),
        (
            "Li, Lyu, Arora: Reconciling Modern Deep Learning with Traditional Optimization Analyses: The Intrinsic "
            "Learning Rate. arXiv 2010.02916",
            "lr·wd as the one parameter that matters; the relaxation time",
        ),
        (
            "Kosson, Messmer, Jaggi: Rotational Equilibrium: How Weight Decay Balances Learning Across Neural "
            "Networks. arXiv 2305.17212",
            "equilibrium norms and rotation per step",
        ),
        (
            "Kodryan, Lobacheva, Nakhodnov, Vetrov: Training Scale-Invariant Neural Networks on the Sphere Can Happen "
            "in Three Regimes. arXiv 2209.03695",
            "when training becomes stationary, and when it diverges or interpolates instead",
        ),
        (
            "Jastrzębski et al.: Three Factors Influencing Minima in SGD. arXiv 1711.04623",
            "temperature as learning rate over batch size",
        ),
        (
            "Chaudhari, Soatto: Stochastic gradient descent performs variational inference, converges to limit cycles "
            "for deep networks. arXiv 1710.11029",
            "with anisotropic noise the potential is not the loss",
        ),
        (
            "Mandt, Hoffman, Blei: Stochastic Gradient Descent as Approximate Bayesian Inference. arXiv 1704.04289",
            "SGD near a minimum as an Ornstein–Uhlenbeck process",
        ),
        (
            "Kozachenko, Leonenko: Sample estimate of the entropy of a random vector. Probl. Inf. Transm. 23 (1987)",
            "entropy from nearest neighbours",
        ),
        (
            "Theiler: Spurious dimension from correlation algorithms applied to limited time-series data. "
            "Phys. Rev. A 34, 2427 (1986)",
            "excluding neighbours that are close in time",
        ),
    )
)
