"""A mixture of gases: a network that is scale-invariant in blocks, at one pressure.

>>> from thermo_theory import derive
>>> derive("gas-mixture").assumptions
('continuous time', 'scale invariance', 'stationarity')
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.derivation import Chain, derivation
from thermo_theory.operations import add, expand, operation, solve_for, substitute
from thermo_theory.protocols import FixedLR
from thermo_theory.symbols import R1, R2, T1, T2, V1, V2, R, T, V, d, d1, d2
from thermo_theory.worlds.beyond import block_world
from thermo_theory.worlds.sgd import sgd_world

__all__: list[str] = []


@operation("apply to block {0}, whose norm alone its gradients leave unchanged")
def in_block(equation: sp.Eq, block: int) -> sp.Eq:
    """Write a law of a scale-invariant network for one of its scale-invariant blocks."""
    names = {1: {V: V1, R: R1, T: T1}, 2: {V: V2, R: R2, T: T2}}[block]
    return sp.Eq(equation.lhs.subs(names), equation.rhs.subs(names), evaluate=False)


def _gas_mixture(chain: Chain) -> None:
    law = chain.claim("ideal-gas-law", FixedLR)
    first = chain.do(in_block, law, 1, because="all blocks share the weight decay")
    second = chain.do(in_block, law, 2)
    total = chain.definition(sp.Eq(V, V1 + V2, evaluate=False), "squared norms add up")
    size = chain.definition(sp.Eq(d, d1 + d2, evaluate=False), "so do numbers of weights")
    one = chain.definition(sp.Eq(R1, (d1 - 1) / 2, evaluate=False), "directions of the first block")
    two = chain.definition(sp.Eq(R2, (d2 - 1) / 2, evaluate=False), "directions of the second block")
    whole = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "directions of one big sphere")
    both = chain.do(add, one, two)
    weights = chain.do(solve_for, chain.do(substitute, whole, size), d1)
    chain.do(expand, chain.do(substitute, both, weights), because="each block more is half a degree of freedom less")
    sum_of_both = chain.do(add, first, second)
    volume = chain.do(solve_for, total, V1)
    chain.do(expand, chain.do(substitute, sum_of_both, volume), because="volumes add at one pressure")


derivation(
    "gas-mixture",
    kind="physics",
    source="Dalton's law at one pressure; this toolkit, THEORY.md Sec. 2",
    summary="Blocks have temperatures of their own and one pressure; their volumes add, and m blocks have m - 1 halves "
    "less of R than one sphere. Unequal temperatures are no equilibrium but a steady state driven by the noise",
    worlds=[block_world, sgd_world("fixed-lr", ensemble=True)],
)(_gas_mixture)
