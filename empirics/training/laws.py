"""The laws by which a training begins and is summed up: thermo_theory's, with the trace of the noise that it measures.

The tangents share the trace alike: ``tr Σ = σ² (d − 1)``. Rational parts are evaluated as they stand and roots taken
last, so that initial radii, and with them all numbers of a run, are the same to the last bit in every version.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from thermo_theory import PROTOCOLS, FixedELR
from thermo_theory.symbols import d, eta, eta_eff, lam, sigma, tr_Sigma

__all__ = ["radius", "temperature"]

#: What each protocol's rate is called, and the power of the stationary radius that is a rational function.
_RADII = {"fixed-lr": (eta, 4), "fixed-elr": (eta_eff, 2)}
_m, _turn = sp.symbols("m turn", positive=True)


@cache
def _radius_power(protocol: str) -> Callable[[float, float, float], float]:
    rate, power = _RADII[protocol]
    law = PROTOCOLS[protocol].radius.equation.rhs.subs(d, 1 + tr_Sigma / sigma**2)
    compiled: Callable[..., float] = sp.lambdify((rate, lam, tr_Sigma), sp.simplify(law**power))
    return compiled


def radius(protocol: str, rate: float, weight_decay: float, noise: float) -> float:
    """Compute the stationary radius of a low-temperature run of SGD.

    Parameters
    ----------
    protocol
        ``fixed-lr`` or ``fixed-elr``.
    rate
        The learning rate that it fixes; with momentum times ``1/(1 − momentum)``.
    weight_decay
        The weight decay.
    noise
        Trace of the noise covariance at unit norm.

    Examples
    --------
    >>> radius("fixed-lr", 0.032, 0.01, noise=10.0), radius("fixed-elr", 0.032, 0.01, noise=10.0)
    (2.0, 4.0)
    """
    return float(_radius_power(protocol)(rate, weight_decay, noise) ** (1 / _RADII[protocol][1]))


@cache
def _temperatures() -> tuple[Callable[..., Any], Callable[..., Any]]:
    law = FixedELR.temperature.equation.rhs
    by_rate = sp.lambdify((eta_eff, tr_Sigma, _m), law.subs(sigma, sp.sqrt(tr_Sigma / _m)))
    return by_rate, sp.lambdify((_turn, sigma), law.subs(eta_eff, _turn / sigma))


def temperature(rate: Any, noise: Any, directions: int, adaptive: bool) -> Any:
    """Compute the temperature from a measured noise, for numbers or arrays, NaN where any of them is.

    Parameters
    ----------
    rate
        The effective learning rate; for Adam, whose step divides the gradient by its root mean square (where noise
        prevails sigma at unit norm), that times sigma.
    noise
        Trace of the noise covariance at unit norm.
    directions
        Among how many it is shared.
    adaptive
        Whether the optimiser is Adam.

    Examples
    --------
    >>> temperature(0.5, 8.0, 4, adaptive=False), float(temperature(0.5, 36.0, 4, adaptive=True))
    (0.5, 0.75)
    """
    by_rate, by_turn = _temperatures()
    return by_turn(rate, np.sqrt(noise / directions)) if adaptive else by_rate(rate, noise, directions)
