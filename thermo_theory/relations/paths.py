"""How norm, temperature and entropy change along paths of learning rate and weight decay, for any optimiser.

At fixed LR the stationary norm and temperature are powers of both; paths along which something stays are read off the
powers, and the entropy follows from ``S = S_sphere(T) + (d-1) log r``.

>>> holding(log_slopes(law("fixed-lr").temperature))  # isotherm: lr·wd is constant
-1.0
>>> holding(entropy_slopes(law("fixed-lr", "adamw"), 1.0))  # AdamW's adiabat at low temperature: weight decay as lr^3
3.0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from thermo_theory.engine.formula import Formula
from thermo_theory.protocols import PROTOCOLS, FixedSphere, Protocol
from thermo_theory.relations.coordinates import effective_rate, state
from thermo_theory.symbols import R, c, d, eq, eta, lam, r, relaxation

__all__ = [
    "Orbit",
    "capacity",
    "entropy_slopes",
    "forgetting",
    "holding",
    "law",
    "log_slopes",
    "orbit_of",
]

FloatArray = NDArray[np.float64]


def law(protocol: str, optimizer: str = "sgd") -> Protocol:
    """Return a protocol with an optimiser, by their names.

    Raises
    ------
    ValueError
        If nothing is derived of the two together; with the reason.

    >>> print(law("fixed-lr", "adamw"))
    fixed LR, AdamW
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol is called {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol] if optimizer == "sgd" else PROTOCOLS[protocol].with_optimizer(optimizer)


@dataclass(frozen=True)
class Orbit:
    """How lr and weight decay change along a symmetry orbit at fixed LR: as powers of c, w being c times as large.

    Attributes
    ----------
    rate, decay : float
        Powers of c in lr and in weight decay; 2 and -2 for SGD, 0 and -1 for LAMB.
    """

    rate: float
    decay: float

    @property
    def slopes(self) -> tuple[float, float]:
        """What multiplies the slopes in log lr and in log weight decay in the sum that the relations are stated in.

        >>> Orbit(1, -2).slopes, Orbit(0, -2).slopes
        ((1.0, -2.0), (0.0, -1.0))
        """
        return (1.0, self.decay / self.rate) if self.rate else (0.0, -1.0)

    @property
    def weight(self) -> float:
        """Slope in log lr minus `weight` times that in log weight decay: the orbit's relations are stated in it.

        Raises
        ------
        ValueError
            If lr is the same all along the orbit.
        """
        if not self.rate:
            raise ValueError("along the symmetry orbits of this optimiser only weight decay changes, lr is the same")
        return -self.decay / self.rate

    def along(self, rate: ArrayLike, decay: ArrayLike) -> FloatArray:
        """Logarithm of what is equal all along an orbit, from the logarithms of lr and weight decay.

        >>> Orbit(1, -2).along(0.5, 2.0)
        array(3.)
        """
        if not self.rate:
            return np.asarray(rate, dtype=float)
        return np.asarray(self.weight * np.asarray(rate) + np.asarray(decay), dtype=float)

    def across(self, rate: ArrayLike, decay: ArrayLike) -> FloatArray:
        """Return the coordinate beside it; what grows with it by 1 gains what the orbit's relations state.

        >>> orbit = Orbit(1, -2)
        >>> float(orbit.along(1.0, -2.0)), float(orbit.across(1.0, -2.0))
        (0.0, 1.0)
        """
        by_rate, by_decay = self.slopes
        change = by_rate * np.asarray(rate) + by_decay * np.asarray(decay)
        return np.asarray(change / (by_rate**2 + by_decay**2), dtype=float)

    @property
    def words(self) -> tuple[str, str]:
        """What is equal along an orbit, and what is not.

        >>> Orbit(2, -2).words, Orbit(1, -2).words, Orbit(0, -1).words
        (('lr·wd', 'lr/wd'), ('lr^2·wd', 'lr/wd^2'), ('lr', '1/wd'))
        """
        if not self.rate:
            return "lr", "1/wd"
        power = "" if self.weight == 1 else f"^{self.weight:g}"
        return f"lr{power}·wd", f"lr/wd{power}"

    @property
    def difference(self) -> str:
        """The difference of slopes that its relations state, after the words "slope in".

        >>> Orbit(1, -2).difference, Orbit(0, -1).difference
        ('log lr minus 2 × slope in log weight decay', '−log weight decay')
        """
        if not self.rate:
            return "−log weight decay"
        times = "" if self.weight == 1 else f"{self.weight:g} × "
        return f"log lr minus {times}slope in log weight decay"


@cache
def orbit_of(of: Protocol) -> Orbit:
    """Read the orbit off the derived symmetry: what stands in the step from c w in place of lr and weight decay.

    >>> orbit_of(law("fixed-lr")), orbit_of(law("fixed-lr", "adam-l2"))
    (Orbit(rate=2.0, decay=-2.0), Orbit(rate=1.0, decay=-2.0))
    """

    def power(symbol: sp.Symbol) -> float:
        (scaled,) = [argument for argument in of.symmetry.equation.lhs.args if argument.has(symbol)]
        return float(sp.simplify(c * sp.diff(sp.log(scaled), c)))

    return Orbit(power(eta), power(lam))


@cache
def log_slopes(formula: Formula) -> tuple[float, float]:
    """Slopes of the logarithm of a derived power law in log lr and log weight decay.

    >>> log_slopes(law("fixed-lr", "adamw").radius)
    (0.5, -0.5)
    """
    logarithm = sp.log(formula.equation.rhs)
    by_rate, by_decay = (float(sp.simplify(symbol * sp.diff(logarithm, symbol))) for symbol in (eta, lam))
    return by_rate, by_decay


def holding(slopes: tuple[float, float]) -> float:
    """Power of lr by which weight decay has to change so that something with these slopes is constant.

    Parameters
    ----------
    slopes : (float, float)
        Slopes of its logarithm, or of itself, in log lr and in log weight decay.

    Returns
    -------
    float
        Infinite if weight decay alone does not change it: then lr must stay.

    Examples
    --------
    >>> holding(log_slopes(law("fixed-lr").radius))  # isochore: lr/wd is constant
    1.0
    """
    by_rate, by_decay = slopes
    return -by_rate / by_decay if by_decay else float("inf")


def entropy_slopes(of: Protocol, heat: float) -> tuple[float, float]:
    """Slopes of the stationary entropy in log lr and log weight decay, in units of (d-1)/2.

    Parameters
    ----------
    of : Protocol
        Fixed LR, with any optimiser.
    heat : float
        Heat capacity of the directions, C_V, in units of (d-1)/2; 1 in a harmonic well.

    Returns
    -------
    by_rate, by_decay : float
        ``dS = C_V dlog T + (d-1) dlog r``, with T and r as derived. For SGD this is "entropy-of-schedule":
        C_p/2 and C_p/2 - R.

    Examples
    --------
    >>> entropy_slopes(law("fixed-lr"), 1.0), entropy_slopes(law("fixed-lr"), 0.5)
    ((1.0, 0.0), (0.75, -0.25))
    """
    warming, growing = log_slopes(of.temperature), log_slopes(of.radius)
    by_rate, by_decay = (heat * a + 2 * b for a, b in zip(warming, growing, strict=True))
    return by_rate, by_decay


def capacity(of: Protocol, index: float) -> float:
    """Heat capacity of the directions, in units of (d-1)/2, that an adiabatic index stands for.

    Parameters
    ----------
    of : Protocol
        Fixed LR, with any optimiser; its equation of state says what R is.
    index : float
        ``gamma = 1 + R/C_V``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the index is not above 1.

    Examples
    --------
    >>> capacity(law("fixed-lr"), 2.0), capacity(law("fixed-lr", "adamw"), 3.0)
    (1.0, 1.0)
    """
    if not (np.isfinite(index) and index > 1):
        raise ValueError(f"an adiabatic index must be above 1, got {index:g}")
    constant = state(of)[2].equation.rhs.subs(R, (d - 1) / 2)
    return float(sp.simplify(2 * constant / (d - 1))) / (index - 1)


@cache
def forgetting(of: Protocol) -> Formula:
    """Iterations in which a free direction decorrelates, at a stationary norm.

    Parameters
    ----------
    of : Protocol
        Fixed LR, with any optimiser.

    Returns
    -------
    Formula
        The relaxation time on the sphere, at the effective learning rate and norm derived of the optimiser. For SGD it
        is "direction-relaxation", 1/(eta lambda).

    Examples
    --------
    >>> round(forgetting(law("fixed-lr", "momentum"))(eta=0.1, lam=1e-3, beta=0.9), 9)
    1000.0
    >>> forgetting(law("fixed-lr", "adamw"))(eta=0.1, lam=1e-3)
    10000.0
    """
    rate = effective_rate(of).equation.rhs
    # The formula on the sphere has the learning rate eta = eta_eff r^2.
    time = FixedSphere.relaxation_time.equation.rhs.subs(eta, rate * r**2).subs(r, of.radius.equation.rhs)
    n = sp.Dummy("n", positive=True)
    time = sp.simplify(sp.powdenest(sp.simplify(time.subs(d, n + 1)), force=True)).subs(n, d - 1)
    return Formula(eq(relaxation, sp.simplify(time)))
