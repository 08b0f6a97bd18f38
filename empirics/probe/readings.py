"""Measurements at constant learning rate and weight decay, one row per interval of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from empirics.probe.losses import Losses
from empirics.probe.record import Seen, together
from empirics.probe.row import Measured, rows_of
from empirics.probe.tensors import Tensors
from empirics.probe.watched import Watched
from thermo_theory.relations import coordinates

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["readings", "since"]

COLUMNS = ("step", "last", "lr", "weight_decay", "temperature", "loss", "balance")


def _round(watch: Tensors) -> list[Watched]:
    return [watched for watched in watch.watched if watched.group.role == "invariant"]


def _stages(history: list[Seen]) -> list[list[int]]:
    """Group consecutive stretches at the same lr and weight decay, as lists of their indices."""
    stages: list[list[int]] = []
    for i, seen in enumerate(history):
        rates = seen.rule.lr, seen.rule.weight_decay
        before = history[i - 1] if i and seen.steady and history[i - 1].steady else None
        if before and np.allclose(rates, (before.rule.lr, before.rule.weight_decay), rtol=1e-6, atol=0):
            stages[-1].append(i)
        else:
            stages.append([i])
    return stages


def since(watch: Tensors) -> int:
    """Return the first step at the present lr and weight decay; 0 without a scale-invariant tensor."""
    round_ = _round(watch)
    if not round_ or not round_[0].history:
        return 0
    history = round_[0].history
    stage = _stages(history)[-1]
    return history[stage[0]].first if len(stage) < len(history) else 0


def _reading(tensors: list[tuple[Watched, list[Seen]]], losses: Losses) -> list[float]:
    """Compute a row from the stretches of each tensor; T is weighted by R, so that R T adds."""
    heat = weight = 0.0
    balances = []
    for watched, stretches in tensors:
        seen = together(stretches)
        (row,) = rows_of([Measured(watched, seen, seen.rule, seen.norm_sq, seen.signal)])
        constant = seen.blocks * float(coordinates.state(seen.rule.law)[2](d=seen.size))
        heat, weight = heat + constant * row.temperature, weight + constant
        balances.append(row.balance)
    first, last, rule = tensors[0][1][0].first, tensors[0][1][-1].last, tensors[0][1][-1].rule
    seen_losses = losses.series(first, last)
    seen_losses = seen_losses[np.isfinite(seen_losses)]
    loss = float(seen_losses.mean()) if len(seen_losses) else np.nan
    return [first, last, rule.lr, rule.weight_decay, heat / weight, loss, float(np.mean(balances))]


def readings(watch: Tensors, losses: Losses) -> pd.DataFrame:
    """Return one row per stage of two stretches or more, without the first half of its stretches."""
    import pandas as pd

    round_ = [watched for watched in _round(watch) if watched.history and watched.history[0].rule.optimizer]
    length = min((len(watched.history) for watched in round_), default=0)
    rows = []
    for stage in _stages(round_[0].history[-length:]) if length else []:
        kept = stage[(len(stage) + 1) // 2 :]
        if kept:
            rows.append(_reading([(w, [w.history[-length:][i] for i in kept]) for w in round_], losses))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"step": int, "last": int})
