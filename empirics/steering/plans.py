"""Plans: the factors on learning rate and weight decay at each step, and the quantity that is held constant.

A plan holds no optimiser object and needs no torch. One of the two leads, by a factor with a shape in time; the other
follows by a power that depends on the process and is read off :mod:`thermo_theory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.probe.index import MeasuredIndex
from thermo_theory import vmf
from thermo_theory.relations.paths import capacity, entropy_slopes, holding, law, log_slopes

__all__ = ["KINDS", "SHAPES", "HeatCapacity", "Plan", "adiabat", "cooldown", "entropy_rate", "plan"]

FloatArray = NDArray[np.float64]

#: Heat capacity C_V of the directions in units of (d-1)/2: a number, or a function of the factors on lr and decay.
HeatCapacity = float | Callable[[float, float], float]

#: How the leading factor goes from 1 to its end, as the share s of the steps goes from 0 to 1.
SHAPES: dict[str, Callable[[float, float], float]] = {
    "log": lambda end, s: end**s,
    "linear": lambda end, s: 1 + (end - 1) * s,
    "cosine": lambda end, s: 1 + (end - 1) * (1 - math.cos(math.pi * s)) / 2,
    "sqrt": lambda end, s: 1 + (end - 1) * math.sqrt(s),
}

#: Points at which a path that is not a power law is solved; between them both are interpolated by powers.
KNOTS = 257


#: The most steps of a plan: more are no longer told apart in double precision.
MOST = 10**15


@dataclass(frozen=True)
class Plan:
    """Factors on learning rate and weight decay, step by step.

    Attributes
    ----------
    kind : str
        "isotherm", "isobar", "isochore", "adiabat", "cooldown" or "entropy-rate".
    optimizer : str
        As `thermo_theory` calls it: "sgd", "momentum", "nesterov", "adamw", "adam-l2".
    lead : str
        The variable that leads, "lr" or "weight_decay".
    factor : float
        Its final value over its initial value.
    steps : int
        Number of steps over which it changes.
    hold : int
        Number of steps before that.
    shape : str
        Shape of the change in time: a key of `SHAPES`.
    power : float
        The other variable scales as this power of the leading one.
    course : tuple of (float, float)
        If given, replaces the power: log factors of the leading variable and of the other, in increasing order.
    pace : tuple of (float, float)
        If given, replaces the shape: shares of the steps and log factors of the leading variable.

    Examples
    --------
    >>> plan("isotherm", factor=4.0, steps=100).at(50)
    (2.0, 0.5)
    """

    kind: str
    optimizer: str
    lead: str
    factor: float
    steps: int
    hold: int = 0
    shape: str = "log"
    power: float = 0.0
    course: tuple[tuple[float, float], ...] = ()
    pace: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        law("fixed-lr", self.optimizer)  # refuses what is unknown
        lowest = self.factor >= 0 if self.shape != "log" else self.factor > 0
        for name, good, right in (
            ("shape", self.shape in SHAPES, f"one of {', '.join(SHAPES)}"),
            ("factor", math.isfinite(self.factor) and lowest, "above 0, or 0 with a shape other than log"),
            ("steps", _whole(self.steps) and 1 <= self.steps <= MOST, "a whole number, 1 or more, up to 1e15"),
            ("hold", _whole(self.hold) and 0 <= self.hold <= MOST, "a whole number, 0 or more, up to 1e15"),
            ("power", math.isfinite(self.power), f"finite: no value of the other variable compensates {self.lead}"),
        ):
            if not good:
                raise ValueError(f"{self.kind}: {name} = {getattr(self, name)!r}: must be {right}")

    @property
    def total(self) -> int:
        """Number of steps until the end of the plan; after it both are constant."""
        return self.hold + self.steps

    def at(self, step: int) -> tuple[float, float]:
        """Return the factors on learning rate and weight decay at a step.

        Parameters
        ----------
        step : int
            Number of the step, counted from 0.

        Returns
        -------
        lr, weight_decay : float
        """
        share = min(max((step - self.hold) / self.steps, 0.0), 1.0)
        if self.pace:
            leading = math.exp(np.interp(share, *np.transpose(self.pace)))
        else:
            leading = SHAPES[self.shape](self.factor, share)
        if self.course:
            other = math.exp(np.interp(math.log(leading), *np.transpose(self.course)))
        else:
            other = leading**self.power
        return (leading, other) if self.lead == "lr" else (other, leading)

    def factors(self, steps: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return the factors at several steps, each of the shape of `steps`."""
        rows = np.array([self.at(int(step)) for step in steps])
        return rows[:, 0], rows[:, 1]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as numbers, strings and tuples, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Restore a plan from `to_dict`.

        Raises
        ------
        ValueError
            If a key is unknown or missing.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise ValueError(f"a plan has the keys {', '.join(sorted(known))}; got {', '.join(sorted(values))}")
        pairs = {name: tuple((float(a), float(b)) for a, b in values[name]) for name in ("course", "pace")}
        return cls(**{**values, **pairs})


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _follow_lr(kind: str, optimizer: str) -> float:
    """Return the power of lr as which weight decay scales along an isotherm, isobar or isochore."""
    if kind not in ("isotherm", "isobar", "isochore"):
        raise ValueError(f"lr cannot lead along {kind!r}: must be isotherm, isobar or isochore")
    of = law("fixed-lr", optimizer)
    if kind == "isobar":
        return 0.0
    return holding(log_slopes(of.temperature if kind == "isotherm" else of.radius))


def plan(kind: str, *, factor: float, steps: int, optimizer: str = "sgd", hold: int = 0, shape: str = "log") -> Plan:
    """Plan an isotherm, isobar or isochore: lr leads.

    Parameters
    ----------
    kind : str
        "isotherm": constant temperature, for SGD constant lr·wd. "isobar": constant weight decay. "isochore": constant
        norm, for constant noise constant lr/wd.
    factor : float
        Final lr over initial lr.
    steps, hold : int
        Number of steps over which lr changes, and of steps before that.
    optimizer : str
        As `thermo_theory` calls it.
    shape : str
        "log" (the same factor per step), "linear", "cosine", "sqrt".

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the kind, optimiser or shape is unknown, or a number is out of range.

    Examples
    --------
    >>> plan("isotherm", factor=10.0, steps=10, optimizer="adam-l2").at(10)  # constant lr^2·wd
    (10.0, 0.01)
    """
    return Plan(kind, optimizer, "lr", factor, steps, hold, shape, _follow_lr(kind, optimizer))


def cooldown(
    *,
    factor: float,
    steps: int,
    optimizer: str = "sgd",
    hold: int = 0,
    shape: str = "linear",
    correct: bool = True,
) -> Plan:
    """Plan a cooldown: lr falls, and weight decay with it (constant norm) or not.

    Parameters
    ----------
    factor, steps, optimizer, hold, shape
        As for `plan`; the factor may be 0 if the shape is not "log".
    correct : bool
        Whether weight decay falls in proportion to lr. Along this isochore the norm is constant, so the gradient (that
        on the unit sphere divided by the norm) does not grow. It holds for scale-invariant groups. Otherwise weight
        decay is constant and the norm falls, as lr^(1/4) for SGD.

    Returns
    -------
    Plan

    Notes
    -----
    Defazio 2025 (arXiv 2506.02285): ``|g|/|w| = sqrt(2 lambda/eta)`` in a stationary state of layers followed by a
    normalisation, so gradients grow as lr falls; ``lambda_t = lambda eta_t/eta_max`` keeps the ratio: the isochore.

    Examples
    --------
    >>> cooldown(factor=0.0, steps=100).at(75)
    (0.25, 0.25)
    """
    power = _follow_lr("isochore", optimizer) if correct else 0.0
    return Plan("cooldown", optimizer, "lr", factor, steps, hold, shape, power)


def _heat(index: float | MeasuredIndex | None, heat_capacity: HeatCapacity | None, optimizer: str) -> HeatCapacity:
    """Return C_V in units of (d-1)/2 as given; default: that of a harmonic well, the low-temperature limit."""
    if index is not None and heat_capacity is not None:
        raise ValueError("give one of index and heat_capacity, not both")
    if index is not None:
        return capacity(law("fixed-lr", optimizer), index.index if isinstance(index, MeasuredIndex) else index)
    return 1.0 if heat_capacity is None else heat_capacity


def adiabat(
    *,
    factor: float,
    steps: int,
    optimizer: str = "sgd",
    hold: int = 0,
    shape: str = "log",
    index: float | MeasuredIndex | None = None,
    heat_capacity: HeatCapacity | None = None,
) -> Plan:
    """Plan an adiabat: weight decay leads, lr follows so that the entropy is constant.

    Parameters
    ----------
    factor : float
        Final weight decay over initial weight decay.
    steps, optimizer, hold, shape
        As for `plan`.
    index : float or MeasuredIndex, optional
        Adiabatic index gamma, given or from `measured_index`; default: its low-temperature limit, 2 for SGD (whose lr
        is then constant), 3 for AdamW.
    heat_capacity : float or callable, optional
        Instead of the index: C_V of the directions in units of (d-1)/2; a callable, such as that of
        `vmf_heat_capacity`, gets the factors on lr and weight decay.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If a number is out of range, or both an index and a heat capacity are given.

    Notes
    -----
    ``eta lambda^((2-gamma)/gamma) = const`` for SGD (from ``p V^gamma = const``), and in general
    ``dS = 0`` with the slopes of `thermo_theory.relations.paths.entropy_slopes`.

    Examples
    --------
    >>> adiabat(factor=8.0, steps=10).at(10), adiabat(factor=8.0, steps=10, optimizer="adamw").at(10)
    ((1.0, 8.0), (2.0, 8.0))
    """
    heat = _heat(index, heat_capacity, optimizer)
    power = 0.0 if callable(heat) else _rate_of_adiabat(optimizer, heat)
    made = Plan("adiabat", optimizer, "weight_decay", factor, steps, hold, shape, power)
    if not callable(heat):
        return made
    if factor == 0:
        raise ValueError("adiabat: factor = 0: must be above 0")
    course = _solved(lambda wd, lr: _rate_of_adiabat(optimizer, _value(heat, lr, wd)), math.log(factor))
    return replace(made, course=tuple(sorted(course)))


def _solved(slope: Callable[[float, float], float], end: float) -> tuple[tuple[float, float], ...]:
    """Return points x, y(x) from 0 to an end, where dy/dx is the slope and y(0) = 0."""
    knots = np.linspace(0, end, KNOTS)
    from scipy.integrate import solve_ivp

    found = solve_ivp(lambda x, y: slope(x, float(y[0])), (0, end), [0.0], t_eval=knots, rtol=1e-9, atol=1e-12)
    return tuple(zip(knots.tolist(), found.y[0].tolist(), strict=True))


def _rate_of_adiabat(optimizer: str, heat: float) -> float:
    """Return the power of weight decay as which lr scales along an adiabat."""
    by_rate, by_decay = entropy_slopes(law("fixed-lr", optimizer), heat)
    return -by_decay / by_rate


def _value(heat: Callable[[float, float], float], log_rate: float, log_decay: float) -> float:
    value = float(heat(math.exp(log_rate), math.exp(log_decay)))
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"heat_capacity must return positive numbers, got {value:g}")
    return value


def entropy_rate(
    *,
    rate: float,
    steps: int,
    optimizer: str = "sgd",
    hold: int = 0,
    along: str = "isobar",
    exponent: float = 1.0,
    index: float | MeasuredIndex | None = None,
    heat_capacity: HeatCapacity | None = None,
) -> Plan:
    """Plan a path along which the stationary entropy changes at a given rate.

    Parameters
    ----------
    rate : float
        Mean dS/dt, in units of (d-1)/2 nats per step; negative cools.
    steps, optimizer, hold
        As for `plan`.
    along : str
        The path: "isotherm" (constant temperature), "isobar" (constant weight decay) or "isochore" (constant norm).
    exponent : float
        After a share s of the steps the entropy has changed by the share s^exponent; 1 or more. 1: at a constant rate.
    index, heat_capacity
        As for `adiabat`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If `along` is none of the three, the rate is 0, or a number is out of range.

    Examples
    --------
    >>> entropy_rate(rate=-0.01, steps=100).at(100)  # C_p = 2R: lr/e
    (0.36787944117144233, 1.0)
    >>> round(entropy_rate(rate=-0.01, steps=100, exponent=2.0).at(50)[0], 4)  # a quarter of the change: exp(-1/4)
    0.7788
    """
    if not (math.isfinite(rate) and rate != 0):
        raise ValueError(f"entropy-rate: rate = {rate!r}: must be a number other than 0")
    if not 1 <= exponent < math.inf:
        raise ValueError(f"entropy-rate: exponent = {exponent!r}: must be 1 or more")
    of, power = law("fixed-lr", optimizer), _follow_lr(along, optimizer)
    heat = _heat(index, heat_capacity, optimizer)

    def gain(log_rate: float) -> float:
        """Return the change of entropy per unit of log lr."""
        value = _value(heat, log_rate, power * log_rate) if callable(heat) else heat
        by_rate, by_decay = entropy_slopes(of, value)
        return by_rate + power * by_decay

    made = Plan("entropy-rate", optimizer, "lr", 1.0, steps, hold, "log", power)
    if not callable(heat) and exponent == 1:
        return replace(made, factor=math.exp(rate * steps / gain(0.0)))
    pace = _solved(lambda s, log_rate: exponent * s ** (exponent - 1) * rate * steps / gain(log_rate), 1.0)
    return replace(made, factor=math.exp(pace[-1][1]), pace=pace)


#: The kinds by name, as `thermo-theory schedule` takes them.
KINDS = ("isotherm", "isobar", "isochore", "adiabat", "cooldown", "entropy-rate")


def vmf_heat_capacity(
    *, lr: float, weight_decay: float, dimension: int, sigma: float = 1.0, optimizer: str = "sgd", momentum: float = 0.0
) -> Callable[[float, float], float]:
    """Return C_V of the von Mises-Fisher gas along a plan, at the temperature set by lr and weight decay.

    Parameters
    ----------
    lr, weight_decay : float
        Initial values of the plan.
    dimension : int
        Number d of weights.
    sigma : float
        Gradient noise per direction at unit norm.
    optimizer : str
        As `thermo_theory` calls it.
    momentum : float
        Momentum coefficient (SGD only).

    Returns
    -------
    callable
        Maps the factors on lr and weight decay to C_V in units of (d-1)/2, as `adiabat` takes it.

    Examples
    --------
    >>> round(vmf_heat_capacity(lr=0.05, weight_decay=0.05, dimension=50)(1.0, 1.0), 4)  # T = 0.0051, 1 - 23.5 T
    0.8813
    """
    of = law("fixed-lr", optimizer)
    fixed: dict[str, Any] = {"sigma": sigma, "d": dimension, "beta": momentum}
    fixed = {name: value for name, value in fixed.items() if name in of.temperature.arguments}

    def heat(rate: float, decay: float) -> float:
        temperature = of.temperature(eta=lr * rate, lam=weight_decay * decay, **fixed)
        return float(vmf.heat_capacity(d=dimension, T=temperature)) / ((dimension - 1) / 2)

    return heat
