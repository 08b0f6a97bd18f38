"""From the measurements of a tensor to its row; every formula comes from :mod:`thermo_theory`."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, isfinite, log, nan

import numpy as np
from numpy.typing import NDArray

from empirics.models.orthogonal import passes
from empirics.probe.record import Seen
from thermo_theory import FixedELR, FixedLR, Formula, Protocol
from thermo_theory.relations import coordinates

__all__ = ["REACHED", "ProbeRow", "row_of"]

#: Share of the stationary effective learning rate at which it counts as reached.
REACHED = 0.95

#: Minimum relative effect of weight decay over the window for a balance: float32 rounds |w|^2 by 1e-7.
LEAST_DECAY = 1e-5

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeRow:
    """The columns of `ThermoProbe.frame`, and further values for the warnings."""

    group: str
    parameters: int
    blocks: int
    scale_invariant: bool
    effective_lr: float = nan
    temperature: float = nan
    pressure: float = nan
    volume: float = nan
    pv_over_rt: float = nan
    balance: float = nan
    angular_update: float = nan
    angular_equilibrium: float = nan
    equilibrium_share: float = nan
    relaxation_steps: float = nan
    rises: bool = False
    share_now: float = nan
    to_go: float = nan
    weight_decay: float = 0.0
    lr: float = nan


def _call(formula: Formula, values: dict[str, object]) -> FloatArray:
    chosen = {name: values[name] for name in formula.arguments}
    return np.asarray(formula(**chosen, invalid="nan"), dtype=float)  # type: ignore[arg-type]


def _steepness(law: Protocol, values: dict[str, object]) -> float:
    """Return k for which r*^k is inversely proportional to weight decay: 4 for SGD, from its radius."""
    twice = values | {"lam": 2 * float(values["lam"])}  # type: ignore[arg-type]
    ratio = _call(law.radius, values) / _call(law.radius, twice)
    return float(log(2) / log(float(ratio.flat[0])))


def row_of(name: str, parameters: int, seen: Seen, signal: float) -> ProbeRow:
    """Compute the row of a tensor from its measurements.

    `signal` is the share of the mean gradient in E|g|^2, 0 to 1; the rest is noise.
    """
    invariant = seen.scale_invariant and passes(seen.violation, seen.size)
    rule, radius_sq = seen.rule, float(seen.radius_sq.mean())
    angle = float(np.sqrt(seen.angle_sq.mean()))
    base = {
        "group": name,
        "parameters": parameters,
        "blocks": seen.blocks if invariant else 0,
        "scale_invariant": invariant,
        "angular_update": angle,
        "weight_decay": rule.weight_decay,
        "lr": rule.lr,
        "volume": seen.blocks * radius_sq / 2,
    }
    if not rule.optimizer or seen.size < 2:
        return ProbeRow(**base)  # type: ignore[arg-type]
    if rule.lr == 0:
        return ProbeRow(**base, **dict.fromkeys(("effective_lr", "temperature"), 0.0 if invariant else nan))  # type: ignore[arg-type]
    law = rule.law
    noise = seen.grad_sq * (1 - signal)  # tr of the covariance of g at the actual norm
    unit = np.sqrt(seen.grad_sq / seen.size)
    sigma = np.sqrt(noise * seen.radius_sq / (seen.size - 1))
    values: dict[str, object] = rule.settings() | {
        "r": np.sqrt(seen.radius_sq), "d": float(seen.size), "sigma": sigma, "adam_unit": unit
    }  # fmt: skip
    rate = _call(coordinates.effective_rate(law, True), values)
    shrink = (
        rule.lr * rule.weight_decay if rule.decoupled else float((rate * seen.radius_sq).mean()) * rule.weight_decay
    )
    balance = _balance(seen, shrink)
    if not invariant:
        return ProbeRow(**base, balance=balance)  # type: ignore[arg-type]
    heat = _call(FixedELR.temperature, {"eta_eff": rate, "sigma": sigma})
    pressure, volume, constant = (_call(formula, values) for formula in coordinates.state(law))
    # Volumes and R T add over the blocks of a mixture (derivation "gas-mixture").
    work, warmth = float(np.mean(pressure * volume)), float(np.mean(constant * heat))
    state = base | {
        "effective_lr": float(np.mean(rate * seen.radius_sq)) / radius_sq,
        "temperature": warmth / float(constant.mean()),
        "volume": seen.blocks * float(volume.mean()),
        "balance": balance,
    }
    if not (rule.weight_decay > 0 and rule.lr > 0):
        return ProbeRow(**state, pressure=0.0)  # type: ignore[arg-type]
    return ProbeRow(
        **state,  # type: ignore[arg-type]
        pressure=work / float(volume.mean()),
        pv_over_rt=work / warmth if warmth > 0 else inf,
        angular_equilibrium=float(np.sqrt(np.mean(_call(law.angle, values) ** 2))),
        **_equilibrium(law, values, balance, shrink, rule.weight_decay, (seen.last - seen.first) / 2),  # type: ignore[arg-type]
    )


def _balance(seen: Seen, shrink: float) -> float:
    """Return the growth of |w|^2 by gradients over its loss by weight decay: 1 if the norm is stationary.

    The growth is the change of |w|^2 over the window plus the loss by weight decay. This includes every step; a mean of
    |g|^2 over the measured steps would add their scatter.
    """
    taken = 2 * shrink * float(seen.radius_sq.mean()) * (seen.last - seen.first)
    if not taken > LEAST_DECAY * float(seen.radius_sq.mean()):
        return nan
    return 1 + float((seen.radius_sq_last - seen.radius_sq_first).mean()) / taken


def _equilibrium(
    law: Protocol, values: dict[str, object], balance: float, shrink: float, decay: float, ago: float
) -> dict[str, float | bool]:
    """Return the distance of the norm from its stationary value, and its relaxation time."""
    steepness = _steepness(law, values)
    time = FixedLR.relaxation_time(eta=shrink / decay, lam=decay) * _steepness(FixedLR, values) / steepness
    if not (isfinite(balance) and balance > 0):
        return {"relaxation_steps": time}
    growth = balance ** (1 / steepness)  # r*/r
    there = values | {name: np.asarray(values[name]) * growth for name in ("r",)}
    there["adam_unit"] = np.asarray(values["adam_unit"]) / growth
    rate = coordinates.effective_rate(law, True)
    ratio = float(np.mean(_call(rate, values)) / np.mean(_call(rate, there)))
    share = min(ratio, 1 / ratio)
    found = {"relaxation_steps": time, "equilibrium_share": share, "rises": balance < 1}
    # The means are those of the middle of the window, `ago` steps back; r^k - r*^k has shrunk since.
    left = (1 / balance - 1) * exp(-ago / time)
    now = share ** (log(1 + left) / -log(balance)) if share < 1 else 1.0
    if now >= REACHED:
        return found | {"share_now": now, "to_go": 0.0}
    away = abs(balance ** (-log(REACHED) / log(share)) - 1)
    return found | {"share_now": now, "to_go": max(time * log(abs(left) / away), 0.0)}
