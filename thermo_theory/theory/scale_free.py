"""Optimisers whose steps have a norm of their own: signSGD, Lion, normalised SGD, Muon, LARS and LAMB.

Their gas is that of degree 0 ("homogeneous-gas"), but for the trust ratios of LARS and LAMB. Here D, the sum over lags,
is derived for each of them.

>>> from thermo_theory import FixedLR
>>> FixedLR.with_optimizer("signsgd").radius(eta=0.02, lam=0.05, d=500)  # sqrt(0.02 500/0.1)
10.0
>>> lion = FixedLR.with_optimizer("lion").radius
>>> round((lion(eta=0.02, lam=0.05, d=500, beta1=0.9, beta2=0.99) / 10) ** 2, 2)  # by the sum of arcsines
45.93
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.numeric.lags import lion_lags, push
from thermo_theory.protocols import OPTIMIZERS, FixedLR, Protocol
from thermo_theory.symbols import D_now, D_step, beta1, beta2, d, degree, eq, g, sigma, size, u
from thermo_theory.symbols.vectors import Dot, Expectation, Sign
from thermo_theory.theory.symmetry import THIS_TOOLKIT
from thermo_theory.worlds.homogeneous import SumOverLags, covariance, gas_world, lag, lagged

__all__ = ["count_signs", "geometric_sums"]


@operation("each sign is 1 or -1")
def count_signs(equation: sp.Eq) -> sp.Eq:
    """The square of a vector of signs is the number of its coordinates, d."""
    return eq(
        *(
            side.replace(
                lambda part: isinstance(part, Dot) and part.args[0] == part.args[1] and isinstance(part.args[0], Sign),
                lambda _: d,
            )
            for side in equation.args
        )
    )


@operation("sum the geometric series")
def geometric_sums(equation: sp.Eq) -> sp.Eq:
    """Sums from 0 to infinity whose terms have one ratio, of size below 1: the first term over 1 minus the ratio."""

    def total(function: sp.Expr, limits: sp.Tuple) -> sp.Expr:
        index, low, high = limits
        if (low, high) != (0, sp.oo):
            raise OperationError(f"the sum over {index} does not run from 0 to infinity")
        ratio = sp.simplify(function.subs(index, index + 1) / function) if function != 0 else sp.S.Zero
        if ratio.has(index):
            raise OperationError(f"{function} is no geometric series in {index}")
        return sp.simplify(function.subs(index, 0) / (1 - ratio))

    above, below = sp.fraction(sp.factor(equation.rhs.replace(sp.Sum, total)))
    return eq(
        equation.lhs, sp.expand(-above) / sp.expand(-below) if above.could_extract_minus_sign() else above / below
    )


def _all_lags(chain: Chain, square: sp.Expr) -> Step:
    """The sum over lags for small steps, of which decay leaves each product as it is."""
    same = chain.assumption("scale invariance", eq(D_step, D_now), "directions are the same at any norm")
    total = SumOverLags(lagged(lag + 1), (lag, 0, sp.oo))
    small = chain.assumption(
        "small steps", eq(D_now, square + 2 * total), "weight decay is slower than the memory of the optimiser"
    )
    return same.substitute(small)


def _alone(chain: Chain, square: sp.Expr) -> Step:
    """The sum over lags of steps that are uncorrelated."""
    zero = chain.assumption("uncorrelated steps", eq(lagged(lag + 1), 0), "no memory, and symmetric noise")
    return _all_lags(chain, square).put_into_terms(zero).geometric_sums()


def _signs(chain: Chain) -> Step:
    made = chain.definition(eq(u, Sign(g)), "the direction of a step")
    squares = made.inner(made).count_signs().expectation()
    return _alone(chain, Expectation(Dot(u, u))).substitute(squares)


def _units(chain: Chain) -> Step:
    made = chain.definition(eq(u, g / sp.sqrt(Dot(g, g))), "the direction of a step")
    return _alone(chain, Expectation(Dot(u, u))).substitute(made.inner(made).expectation())


def _lion(chain: Chain) -> Step:
    """Signs of a running mean: the arcsine law for each lag."""
    index, own = sp.Symbol("j", integer=True, nonnegative=True), beta1 * (1 - beta2)
    why = "gradients are uncorrelated: the sum over those that both averages have, of the products of their weights"
    here, later = (
        chain.assumption(
            "uncorrelated gradients", eq(covariance(lags), first + sp.Sum(own**2 * rest, (index, 0, sp.oo))), why
        )
        for lags, first, rest in (
            (0, (1 - beta1) ** 2, beta2 ** (2 * index)),
            (lag + 1, (1 - beta1) * own * beta2**lag, beta2 ** (2 * index + lag + 1)),
        )
    )
    arcs = chain.assumption(
        "Gaussian noise",
        eq(lagged(lag + 1), 2 * d / sp.pi * sp.asin(covariance(lag + 1) / covariance(0))),
        "the arcsine law: the mean product of the signs of two normal numbers",
    )
    arcs = arcs.substitute(here.geometric_sums(), later.geometric_sums())
    return _all_lags(chain, d).put_into_terms(arcs)


def _lars(chain: Chain) -> tuple[Step, Step]:
    noise = chain.assumption(
        "homogeneous noise", eq(size, sigma * sp.sqrt(d - 1)), "the norm of a gradient that is noise"
    )
    return _alone(chain, sp.S.One), noise


def _lamb(chain: Chain) -> tuple[Step, Step]:
    kept = chain.assumption(
        "uncorrelated gradients",
        eq(lagged(lag + 1), beta1 ** (lag + 1)),
        "a running mean decays by the factor beta1 per step",
    )
    spread = chain.assumption(
        "isotropic noise",
        eq(size, sp.sqrt(d * (1 - beta1) / (1 + beta1))),
        "the variance of a running mean of gradients with variance 1 per coordinate",
    )
    return _all_lags(chain, sp.S.One).put_into_terms(kept).geometric_sums(), spread


def _lion_radius(**values: Any) -> Any:
    eta, lam, number = (np.asarray(values[name]) for name in ("eta", "lam", "d"))
    pairs = np.broadcast(values["beta1"], values["beta2"])
    known = (float(push(lion_lags(*pair))) if np.isfinite(pair).all() else np.nan for pair in pairs)
    total = np.array(list(known)).reshape(pairs.shape)
    return np.sqrt(eta * number * total / (2 * lam))


#: Of each optimiser: how decay enters, the degree of what is divided by a norm, and what its steps sum up to.
_SUMS: dict[str, tuple[str, int, Callable[[Chain], Any]]] = {
    "signsgd": ("homogeneous", 0, _signs),
    "lion": ("homogeneous", 0, _lion),
    "normalised-sgd": ("homogeneous", 0, _units),
    "muon": ("homogeneous", 0, lambda chain: None),
    "lars": ("trust-ratio", 1, _lars),
    "lamb": ("trust-ratio", 0, _lamb),
}


def _radius(chain: Chain, protocol: Protocol) -> None:
    name, order, lags = _SUMS[protocol.optimizer]
    power = chain.definition(eq(degree, order), f"the degree of the step of {protocol} in the gradient")
    radius = chain.claim(f"{name}-radius").substitute(power)
    found = lags(chain)
    if found:
        radius.substitute(*(found if isinstance(found, tuple) else (found,)))


for _name, (_kind, _order, _) in _SUMS.items():
    derivation(
        "radius",
        protocol=FixedLR.with_optimizer(_name),
        source=THIS_TOOLKIT,
        summary=f"The norm at which growth by the steps and weight decay balance, {OPTIMIZERS[_name][0]}",
        worlds=[
            gas_world(
                "trust" if _kind == "trust-ratio" else "decoupled", sp.Integer(_order), "" if _name == "muon" else _name
            )
        ],
        kernel=_lion_radius if _name == "lion" else None,
        arguments=("eta", "lam", "d", "beta1", "beta2") if _name == "lion" else None,
    )(_radius)
