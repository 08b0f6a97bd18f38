"""From measurements to the rows of the frame; every formula comes from :mod:`thermo_theory`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite, isnan, log, nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from empirics.models.orthogonal import passes
from empirics.probe.record import Seen
from empirics.probe.rule import Rule
from empirics.probe.watched import Watched
from thermo_theory import FixedELR, Formula, Protocol
from thermo_theory.relations import coordinates

__all__ = ["REACHED", "Measured", "ProbeRow", "rows_of"]

#: Share of the stationary effective learning rate at which it counts as reached.
REACHED = 0.95

#: Minimum relative effect of weight decay over the window for a balance: float32 rounds |w|^2 by 1e-7.
LEAST_DECAY = 1e-5

#: Measured balance below which it is not distinguished from 0.
LEAST_BALANCE = 0.01

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What was seen in a window, and what is now: rates, |w|^2, the share of the mean gradient in E|g|^2."""

    watched: Watched
    seen: Seen
    rule: Rule
    norm_sq: float
    signal: float
    kept: float = 1.0  # share of weight decay that the arithmetic keeps


@dataclass(frozen=True)
class ProbeRow:
    """The columns of `ThermoProbe.frame`, and further values for the words."""

    group: str
    parameters: int
    blocks: int
    scale_invariant: bool
    role: str
    first: int
    last: int
    lr: float
    weight_decay: float
    norm: float
    grad_norm: float
    update_rms: float
    angular_update: float
    radial: float
    volume: float
    effective_lr: float = nan
    temperature: float = nan
    pressure: float = nan
    pv_over_rt: float = nan
    balance: float = nan
    angular_equilibrium: float = nan
    equilibrium_share: float = nan
    relaxation_steps: float = nan
    relaxation_epochs: float = nan
    rises: bool = False
    to_go: float = nan
    far: bool = False
    rotation: float = nan  # angle over its stationary value
    unknown: str = ""
    coupled: bool = False  # whether the weight decay of an unknown rule goes through its gradient
    kept: float = 1.0
    dtype: str = "float32"
    changed: float = 0.0
    penalty: float = 0.0
    matrix: bool = True
    convolution: bool = False


def _call(formula: Formula, values: dict[str, FloatArray]) -> FloatArray:
    return np.asarray(formula(**{name: values[name] for name in formula.arguments}, invalid="nan"), dtype=float)


@cache
def exponents(law: Protocol) -> tuple[float, float]:
    """Return s and e of a law: growth over decay of |w|^2 goes as r^-s, the effective learning rate as r^-e.

    >>> from thermo_theory import FixedLR
    >>> [round(one, 6) for one in exponents(FixedLR)]
    [4.0, 2.0]
    """
    values = {"eta": 0.1, "lam": 0.1, "r": 1.0, "d": 10.0, "sigma": 1.0, "beta": 0.5, "beta1": 0.5, "adam_unit": 1.0}
    one = {name: np.asarray(value) for name, value in values.items()}
    there = {**one, "r": np.asarray(2.0), "adam_unit": np.asarray(0.5)}
    radius = _call(law.radius, one) / _call(law.radius, {**one, "lam": np.asarray(0.2)})
    rate = coordinates.effective_rate(law, True)
    return log(2) / log(float(radius)), log(float(_call(rate, one) / _call(rate, there))) / log(2)


def rows_of(measured: Sequence[Measured]) -> list[ProbeRow]:
    """Compute the rows of tensors; those under the same law together, since a formula takes arrays."""
    rows: dict[int, ProbeRow] = {}
    for name in dict.fromkeys(one.rule.optimizer for one in measured):
        mine = [i for i, one in enumerate(measured) if one.rule.optimizer == name]
        some = [measured[i] for i in mine]
        found = [ProbeRow(**_bare(one)) for one in some] if not name else _under(some[0].rule.law, some)
        rows.update(zip(mine, found, strict=True))
    return [rows[i] for i in range(len(measured))]


def _bare(one: Measured) -> dict[str, Any]:
    """Return what is measured under any rule: angle, norms, balance, and the target and time scale they give."""
    seen, rule, watched = one.seen, one.rule, one.watched
    invariant = seen.scale_invariant and passes(seen.violation, seen.size)
    grad_sq = float(seen.grad_sq.mean()) * seen.blocks
    norms = sqrt(seen.norm_sq * grad_sq)
    role = "dead" if watched.group.role == "dead" else "invariant" if invariant else "penalty"
    row: dict[str, Any] = {
        "group": watched.name, "parameters": watched.parameters, "blocks": seen.blocks if invariant else 0,
        "scale_invariant": invariant, "role": role, "first": seen.first, "last": seen.last, "lr": rule.lr,
        "weight_decay": rule.weight_decay, "norm": sqrt(one.norm_sq), "grad_norm": sqrt(grad_sq),
        "update_rms": sqrt(seen.move_sq / watched.parameters), "angular_update": sqrt(seen.angle_sq.mean()),
        "radial": seen.along / norms if norms else nan, "volume": one.norm_sq / 2, "unknown": rule.why_not,
        "kept": one.kept, "dtype": str(watched.tensor.dtype).removeprefix("torch."), "matrix": watched.tensor.ndim > 1,
        "convolution": watched.tensor.ndim > 2, "changed": seen.changed, "penalty": seen.penalty,
        "balance": nan if rule.coupled else _balance(seen, 1.0), "coupled": rule.coupled,
    }  # fmt: skip
    if rule.optimizer or rule.coupled or not rule.lr * rule.weight_decay > 0:
        return row
    steepness = 4 if seen.degree > 0.5 and invariant else 2  # 2 + 2k; without scale invariance |u| hardly depends on r
    row["relaxation_steps"] = 1 / (steepness * rule.lr * rule.weight_decay)
    if (balance := row["balance"]) > LEAST_BALANCE:
        # At the stationary norm gradients add what decay takes: angle^2 goes as 1/balance.
        row["angular_equilibrium"] = row["angular_update"] / sqrt(balance) * sqrt(_change(seen, rule))
        row["rotation"] = sqrt(balance)
        if invariant:
            row |= _share(_now(one, balance, steepness), 0.5, row["relaxation_steps"], balance)
    elif invariant and isfinite(balance):
        row |= _share(0.0, 0.5, nan, 0.0)
    return row


def _now(one: Measured, balance: float, steepness: float) -> float:
    """Return the balance at the present norm, which goes as r^-steepness at steady rates."""
    return balance * (one.seen.norm_sq / one.norm_sq) ** (steepness / 2)


def _change(seen: Seen, rule: Rule) -> float:
    """Return lr·wd now over its mean in the window."""
    mean = seen.taken / max((seen.last - seen.first) * (seen.before + seen.after) / 2, 1e-300)
    return rule.lr * rule.weight_decay / mean if mean > 0 else 1.0


def _balance(seen: Seen, factor: float) -> float:
    """Return the growth of |w|^2 by gradients over its loss by weight decay, `factor`·lr·wd·|w|^2 twice a step.

    The growth is the change of |w|^2 over the window plus the loss by weight decay. This includes every step; a mean of
    |g|^2 over the measured steps would add their scatter.
    """
    taken = 2 * factor * seen.taken
    return 1 + (seen.after - seen.before) / taken if taken > LEAST_DECAY * seen.after else nan


def _under(law: Protocol, some: Sequence[Measured]) -> list[ProbeRow]:
    """Compute the rows of tensors that follow a law, from present rates and norms and the noise of the window."""
    counts = [len(one.seen.unit_sq) for one in some]
    starts = np.cumsum([0, *counts[:-1]])

    def spread(values: Sequence[float]) -> FloatArray:
        return np.repeat(np.asarray(values, dtype=float), counts)

    def mean(values: FloatArray) -> list[float]:
        sums = np.add.reduceat(np.broadcast_to(values, (sum(counts),)), starts)
        return [float(one) for one in sums / counts]

    # The blocks of a tensor grow in proportion from the window to now.
    scale = spread([one.norm_sq / max(one.seen.norm_sq, 1e-300) for one in some])
    r2 = np.concatenate([one.seen.radius_sq for one in some]) * scale
    unit = np.concatenate([one.seen.unit_sq for one in some])  # |g|^2 at unit norm
    size, safe = spread([one.seen.size for one in some]), np.where(r2 > 0, r2, np.nan)
    directions = np.where(size > 1, size - 1, np.nan)
    sigma = np.sqrt(unit * spread([1 - one.signal for one in some]) / directions)
    values = {
        "eta": spread([one.rule.lr for one in some]), "lam": spread([one.rule.weight_decay for one in some]),
        "r": np.sqrt(safe), "d": size, "sigma": sigma, "adam_unit": np.sqrt(unit / size / safe),
        "beta": spread([one.rule.beta for one in some]),
    }  # fmt: skip
    values["beta1"] = values["beta"]
    with np.errstate(all="ignore"):
        rate = _call(coordinates.effective_rate(law, True), values)
        heat = np.where(sigma == 0, 0, _call(FixedELR.temperature, {"eta_eff": rate, "sigma": sigma}))
        pressure, volume, constant = (_call(formula, values) for formula in coordinates.state(law))
        angle = _call(law.angle, values)
        # With all of |g|^2 and not only its noise, as gradients of any kind add to the norm.
        there = _call(law.radius, {**values, "sigma": np.sqrt(unit / directions)})
        steepness, power = exponents(law)
        shrink = np.where(values["eta"] > 0, rate * r2 / values["eta"], np.nan)
        columns = map(mean, (
            rate * r2, r2, constant * heat, constant, pressure * volume, volume, np.square(angle),
            (there / values["r"]) ** steepness * r2, shrink,
        ))  # fmt: skip
        table = zip(some, zip(*columns, strict=True), strict=True)
        return [ProbeRow(**_row(one, _Means(*means), steepness, power)) for one, means in table]


class _Means(NamedTuple):
    """Means over the blocks of a tensor."""

    rate: float  # effective learning rate times r^2
    r2: float
    warmth: float  # R T
    constant: float  # R
    work: float  # p V
    volume: float
    angle_sq: float  # stationary
    growth: float  # of r^2 by gradients, over 2 lr wd
    shrink: float  # loss of r^2 by coupled weight decay, over 2 lr wd r^2


def _row(one: Measured, mean: _Means, steepness: float, power: float) -> dict[str, Any]:
    """Assemble the row of a tensor under a law, of which `exponents` returns the steepness and the power."""
    rule, seen, row = one.rule, one.seen, _bare(one)
    decay, factor = rule.lr * rule.weight_decay, 1.0 if rule.decoupled else mean.shrink
    if rule.lr == 0:
        return row | ({"effective_lr": 0.0, "temperature": 0.0} if row["scale_invariant"] else {})
    row["balance"] = balance = _balance(seen, factor)
    if decay > 0:
        target = sqrt(mean.angle_sq)  # which goes as sqrt(lr·wd): the rotation is over that of the window's rates
        row["angular_equilibrium"] = target
        row["rotation"] = row["angular_update"] * sqrt(_change(seen, rule)) / target if target > 0 else nan
        row["relaxation_steps"] = 1 / ((steepness if row["scale_invariant"] else 2) * factor * decay)
    if not row["scale_invariant"] or seen.size < 2:
        return row
    row |= {
        "effective_lr": mean.rate / mean.r2,
        "temperature": mean.warmth / mean.constant,
        "volume": seen.blocks * mean.volume,
    }
    if not decay > 0:
        return row | {"pressure": 0.0}
    row["pressure"], row["pv_over_rt"] = mean.work / mean.volume, mean.work / mean.warmth if mean.warmth > 0 else inf
    # Of a memory of gradients the law knows only that of white ones; at steady rates it is in the measured balance.
    since = rule.lr == seen.rule.lr and rule.weight_decay == seen.rule.weight_decay  # the last measured step
    steady = seen.steady and since and balance > LEAST_BALANCE
    now = _now(one, balance, steepness) if steady else mean.growth / mean.r2
    return row | _share(now, power / steepness, row["relaxation_steps"], balance)


def _share(balance: float, power: float, time: float, said: float) -> dict[str, Any]:
    """Return the distance of the effective learning rate from its stationary value, and the steps to go."""
    if isnan(balance):
        return {}
    if not balance > 0:
        return {"equilibrium_share": 0.0, "rises": True, "to_go": nan, "far": True}
    share = balance**power if balance < 1 else balance**-power
    found: dict[str, Any] = {
        "equilibrium_share": share,
        "rises": balance < 1,
        "far": share < REACHED or said <= LEAST_BALANCE,
    }
    if share >= REACHED or not isfinite(time):
        return found | {"to_go": 0.0}
    # r^s - r*^s, relative to r*^s, shrinks by e in `time`; at REACHED it is `away`.
    left, away = abs(1 / balance - 1), abs(REACHED ** ((-1 if balance < 1 else 1) / power) - 1)
    return found | {"to_go": max(time * log(left / away), 0.0)}
