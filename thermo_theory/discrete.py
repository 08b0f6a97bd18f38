"""What is exact without the SDE, and what finite steps change: balance of the norm, virial theorem, fluctuations.

>>> from thermo_theory import derive
>>> derive("norm-balance").assumptions
('scale invariance', 'stationarity')
>>> derive("virial-with-remainder").assumptions
('stationarity',)
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.derivation import Chain, Step, derivation
from thermo_theory.operations import (
    OperationError,
    add,
    differentiate,
    equate,
    evaluate_integrals,
    expand,
    expectation,
    flip,
    operation,
    scale,
    series,
    simplify,
    solve_for,
    substitute,
)
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.stochastic import PAPER
from thermo_theory.symbols import R, T, V, Z_c, c, d, eta, eta_eff, g, grad_L, lam, p, r, tr_Sigma, w, w_next
from thermo_theory.symmetry import SCALINGS, THIS_TOOLKIT, choose, match, rescale
from thermo_theory.vectors import Dot, Expectation, VectorFunction
from thermo_theory.worlds.discrete import batches_world, run, runs_world, steps

__all__ = ["independent", "squared_norm"]

_BATCHES = batches_world()


# Operations --------------------------------------------------------------------------------------


@operation("square both sides")
def squared_norm(equation: sp.Eq) -> sp.Eq:
    """Inner product of each side of a vector equation with itself."""
    return sp.Eq(*(sp.expand(Dot(side, side)) for side in equation.args), evaluate=False)


# Balance of the norm -----------------------------------------------------------------------------


def _growth(chain: Chain) -> Step:
    """The squared norm after a step, whatever the gradient."""
    update = chain.definition(sp.Eq(w_next, w - eta * (g + lam * w), evaluate=False), f"one step, {FixedLR.update}")
    return chain.do(squared_norm, update)


def _still(chain: Chain) -> Step:
    return chain.assumption(
        "stationarity",
        sp.Eq(Expectation(Dot(w_next, w_next)), Expectation(r**2), evaluate=False),
        "the mean squared norm stays as it is",
    )


def _norm(chain: Chain) -> Step:
    return chain.definition(sp.Eq(Dot(w, w), r**2, evaluate=False), "the norm")


def _norm_balance(chain: Chain) -> None:
    growth, norm = _growth(chain), _norm(chain)
    radial = chain.assumption("scale invariance", sp.Eq(Dot(g, w), 0, evaluate=False), "Euler: g.w = 0 in each batch")
    growth = chain.do(substitute, growth, radial, norm, because="exact, step by step, without noise")
    balance = chain.do(substitute, chain.do(expectation, growth), _still(chain))
    chain.do(collect_norm, balance, because="what weight decay takes is what gradients bring")


@operation("bring the norm to one side")
def collect_norm(equation: sp.Eq) -> sp.Eq:
    """Collect what has the mean squared norm on the left, all else on the right, and divide by the learning rate."""
    size = Expectation(r**2)
    rest = sp.expand(equation.lhs - equation.rhs)
    with_norm = rest.coeff(size)
    other = sp.expand((with_norm * size - rest) / eta)
    return sp.Eq(lam * sp.expand(with_norm / eta / lam) * size, other, evaluate=False)


def _virial_with_remainder(chain: Chain) -> None:
    growth = chain.do(substitute, _growth(chain), _norm(chain))
    balance = chain.do(substitute, chain.do(expectation, growth), _still(chain))
    balance = chain.do(collect_norm, balance)
    balance = _with_pressure(chain, balance)
    chain.do(
        factor_right, balance, because="the virial of what is not scale-invariant adds to the push of the gradients"
    )


def _with_pressure(chain: Chain, balance: Step) -> Step:
    volume = chain.definition(sp.Eq(V, Expectation(r**2) / 2, evaluate=False), "half the mean squared norm")
    pressure = chain.definition(sp.Eq(p, lam, evaluate=False), "weight decay is the pressure")
    balance = chain.do(substitute, balance, chain.do(solve_for, volume, Expectation(r**2)))
    balance = chain.do(scale, balance, sp.Rational(1, 4))
    return chain.do(as_pressure, balance, pressure, because="exact, for any noise and any step size")


@operation("write the pressure for weight decay")
def as_pressure(equation: sp.Eq, pressure: sp.Eq) -> sp.Eq:
    """Put p for one factor of weight decay on the left-hand side, as a factor of ``V (1 - eta lambda/2)``."""
    left = sp.factor(sp.expand(equation.lhs / pressure.rhs))
    inner = sp.expand(left / V)
    return sp.Eq(pressure.lhs * V * inner, equation.rhs, evaluate=False)


@operation("collect what is multiplied by the same mean")
def factor_right(equation: sp.Eq) -> sp.Eq:
    """Collect the right-hand side in its means."""
    means = sorted(equation.rhs.atoms(Expectation), key=str)
    return sp.Eq(equation.lhs, sp.collect(sp.expand(equation.rhs), means, sp.factor), evaluate=False)


def _virial_theorem(chain: Chain) -> None:
    _with_pressure(chain, chain.claim("norm-balance"))


# Compressibility ---------------------------------------------------------------------------------

_V, _V_start, _T, _Z = sp.Function("V"), sp.Function("V_w"), sp.Function("T"), sp.Function("Z")


def _compressibility(chain: Chain) -> None:
    same_run = chain.claim("scaling-symmetry", FixedELR)
    end = run(steps, w, eta_eff, lam)
    volume = chain.definition(
        sp.Eq(_V_start(w, eta_eff, lam), Expectation(Dot(end, end)) / 2, evaluate=False), "the volume, at fixed ELR"
    )
    forgotten = chain.assumption(
        "stationarity",
        sp.Eq(_V_start(w, eta_eff, lam), _V(eta_eff, lam), evaluate=False),
        "the runs have forgotten where they began",
    )
    larger = chain.do(substitute, chain.do(rescale, volume, SCALINGS[FixedELR]), same_run)
    larger = chain.do(as_factor, larger, volume)
    larger = chain.do(substitute, larger, forgotten, chain.do(rescale, forgotten, SCALINGS[FixedELR]))
    work = chain.do(choose, larger, c, sp.sqrt(lam), because="p V at any pressure is p V at pressure 1")
    factor = chain.definition(
        sp.Eq(_Z(eta_eff, lam), lam * _V(eta_eff, lam) / (R * _T(eta_eff)), evaluate=False),
        "the compressibility factor p V/(R T); T is set by the effective learning rate",
    )
    factor = chain.do(substitute, factor, chain.do(solve_for, work, _V(eta_eff, lam)))
    there = chain.do(rescale, factor, {lam: lam / c**2})
    chain.do(same_right, there, factor, because="the same at any volume on an isotherm: no virial coefficients")

    virial = chain.claim("virial-theorem")
    square = chain.definition(
        sp.Eq(
            Expectation(Dot(g, g)),
            Expectation(tr_Sigma / r**2) + Expectation(Dot(grad_L, grad_L)),
            evaluate=False,
        ),
        "the mean square of a gradient: its noise and its mean",
    )
    heat = chain.definition(
        sp.Eq(T, eta * Expectation(tr_Sigma / r**2) / (2 * (d - 1)), evaluate=False), "T read off the noise"
    )
    directions = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "the gas constant")
    ratio = chain.definition(sp.Eq(Z_c, p * V / (R * T), evaluate=False), "the compressibility factor")
    virial = chain.do(solve_for, virial, V)
    ratio = chain.do(substitute, ratio, virial, square, heat, directions)
    ratio = chain.do(simplify, ratio)
    chain.do(as_ratio, ratio, eta, because="an identity: with this T it says nothing about the gas")


@operation("write as a ratio of what is 1 for small {0}")
def as_ratio(equation: sp.Eq, small: sp.Symbol) -> sp.Eq:
    """Divide numerator and denominator of the right-hand side by what the denominator is without `small`."""
    above, below = sp.fraction(sp.together(equation.rhs))
    unit = sp.expand(below).subs(small, 0)
    return sp.Eq(equation.lhs, sp.expand(above / unit) / sp.expand(below / unit), evaluate=False)


@operation("compare")
def same_right(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Two equations with the same right-hand side: so are the left-hand sides."""
    if sp.simplify(first.rhs - second.rhs) != 0:
        raise OperationError(f"{first.rhs} is not {second.rhs}")
    return sp.Eq(first.lhs, second.lhs, evaluate=False)


@operation("compare with a multiple")
def as_factor(larger: sp.Eq, one: sp.Eq) -> sp.Eq:
    """Write the left-hand side as a multiple of another, whose right-hand side goes into it a number of times."""
    times = sp.simplify(larger.rhs / one.rhs)
    if times.has(Expectation) or times.atoms(VectorFunction):
        raise OperationError(f"{larger.rhs} is no multiple of {one.rhs}")
    return sp.Eq(larger.lhs, times * one.lhs, evaluate=False)


derivation(
    "norm-balance",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="The mean squared norm at which what weight decay takes is what gradients bring, exactly",
    worlds=[_BATCHES],
)(_norm_balance)
derivation(
    "virial-theorem",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="p V (1 - eta lambda/2) is a quarter of eta E|g|^2, exactly, for any noise and any step size",
    worlds=[_BATCHES],
)(_virial_theorem)
derivation(
    "virial-with-remainder",
    kind="identity",
    source=f"{THIS_TOOLKIT}; Clausius 1870",
    summary="The virial theorem of any loss: what is not scale-invariant adds its virial E[w.g]",
    worlds=[_BATCHES],
)(_virial_with_remainder)
derivation(
    "compressibility",
    kind="identity",
    source=THIS_TOOLKIT,
    summary="p V/(R T) does not depend on V; with T read off the noise it is an identity and no equation of state",
    worlds=[runs_world(FixedELR.key), _BATCHES],
)(_compressibility)
