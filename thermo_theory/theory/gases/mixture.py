"""A mixture of gases: a network that is scale-invariant in blocks, at one pressure.

>>> from thermo_theory import derive
>>> derive("gas-mixture").assumptions
('continuous time', 'scale invariance', 'stationarity', 'scale-invariant blocks')
>>> derive("driven-steady-state").claim(T1=3.0, T2=1.0, eta1=0.5, eta2=0.5, h=2.0, coupling=1.0)
0.25
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.engine.operations import eliminate, operation
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import (
    R1,
    R2,
    T1,
    T2,
    V1,
    V2,
    L,
    R,
    T,
    V,
    coupling,
    d,
    d1,
    d2,
    eq,
    eta1,
    eta2,
    h,
    heat,
    x1,
    x2,
)
from thermo_theory.symbols.vectors import Expectation, Generator
from thermo_theory.worlds.beyond import block_world, coupled_world, shared_noise
from thermo_theory.worlds.sgd import sgd_world

__all__: list[str] = []


@operation("apply to block {0}, whose norm alone its gradients leave unchanged")
def in_block(equation: sp.Eq, block: int) -> sp.Eq:
    """Write a law of a scale-invariant network for one of its scale-invariant blocks."""
    names = {1: {V: V1, R: R1, T: T1}, 2: {V: V2, R: R2, T: T2}}[block]
    return eq(equation.lhs.subs(names), equation.rhs.subs(names))


@derivation(
    "gas-mixture",
    source="Dalton's law at one pressure; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="Blocks have their own temperatures and one pressure; their volumes add, and R of m blocks is (m - 1)/2 "
    "smaller than that of one sphere. Unequal temperatures are a steady state driven by the noise, not an "
    "equilibrium",
    worlds=[block_world, sgd_world("fixed-lr", ensemble=True)],
)
def _gas_mixture(chain: Chain) -> None:
    law = chain.claim("ideal-gas-law", FixedLR)
    loss = sp.Function("L")(V1, V2)
    apart = [chain.assumption("scale-invariant blocks", eq(sp.Derivative(loss, volume), 0)) for volume in (V1, V2)]
    first = law.in_block(1, given=apart[:1], because="all blocks share the weight decay")
    second = law.in_block(2, given=apart[1:])
    total = chain.definition(eq(V, V1 + V2), "squared norms add up")
    size = chain.definition(eq(d, d1 + d2), "so do numbers of weights")
    one = chain.definition(eq(R1, (d1 - 1) / 2), "directions of the first block")
    two = chain.definition(eq(R2, (d2 - 1) / 2), "directions of the second block")
    whole = chain.definition(eq(R, (d - 1) / 2), "directions of one big sphere")
    both = one.add(two)
    weights = whole.substitute(size).solve_for(d1)
    both.substitute(weights, because="each further block costs half a degree of freedom")
    sum_of_both = first.add(second)
    volume = total.solve_for(V1)
    sum_of_both.substitute(volume).expand(because="volumes add at one pressure")


@operation("the mean update of a block goes down its gradient of the loss: {0}, at {1}")
def down_the_gradient(loss: sp.Eq, place: sp.Symbol, rate: sp.Symbol) -> sp.Eq:
    """Mean change of a coordinate per iteration, ``-rate dL/dx``."""
    return eq(Generator(place), sp.expand(-rate * sp.diff(loss.rhs, place)))


@operation("mean change of the loss by the update of one block, by Ito's lemma: {0} moves, with {2}")
def change_by_block(loss: sp.Eq, place: sp.Symbol, rate: sp.Symbol, temperature: sp.Symbol, name: sp.Symbol) -> sp.Eq:
    """``E[-rate (dL/dx)^2 + rate T d^2L/dx^2]`` for a coordinate that feels noise of temperature T."""
    slope, bend = sp.diff(loss.rhs, place), sp.diff(loss.rhs, place, 2)
    return eq(name, Expectation(-rate * slope**2 + rate * temperature * bend))


@derivation(
    "driven-steady-state",
    source="Sekimoto 2010, Stochastic Energetics; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="Two coupled blocks at unequal temperatures are no equilibrium: heat flows from the hot to the cold one "
    "for as long as they are trained, in proportion to T_1 - T_2 and the square of the coupling",
    worlds=[coupled_world],
    domain=[abs(coupling) < h],
)
def _driven_steady_state(chain: Chain) -> None:
    loss = chain.assumption(
        "quadratic loss",
        eq(L, h * (x1**2 + x2**2) / 2 + coupling * x1 * x2),
        "a direction of each block near the minimum, and what couples them",
    )
    pulls = [loss.down_the_gradient(x1, eta1), loss.down_the_gradient(x2, eta2)]
    apart = chain.assumption("uncorrelated blocks", eq(shared_noise, 0))
    grown, balances = [], []
    for one, other, spread in ((x1, x1, 2 * eta1 * T1), (x1, x2, eta1 * eta2 * shared_noise), (x2, x2, 2 * eta2 * T2)):
        grows = chain.assumption(
            "continuous time",
            eq(Generator(one * other), one * Generator(other) + other * Generator(one) + spread),
            "Ito's lemma, with noise of each block's own temperature",
        )
        grown.append(grows)
        still = chain.assumption("stationarity", eq(Expectation(Generator(one * other)), 0), "the spread is constant")
        used = [pull for pull in pulls if grows.equation.rhs.has(pull.equation.lhs)]
        used += [apart] if spread.has(shared_noise) else []
        mean = grows.substitute(*used).expand().expectation()
        balances.append(mean.substitute(still))
    moments = Expectation(x1**2), Expectation(x1 * x2), Expectation(x2**2)
    flow = loss.change_by_block(x1, eta1, T1, heat, given=grown[:1])
    solved = []
    for unknown in moments:
        others = tuple(moment for moment in moments if moment != unknown)
        solved.append(chain.do(eliminate, *balances, unknown=unknown, others=others))
    flow.substitute(*solved).factor(because="heat flows from hot to cold, and never stops")
