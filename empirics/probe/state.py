"""A probe's state for checkpoints: numbers, strings and tensors only, readable by torch's safe loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch

from empirics.probe.record import Seen
from empirics.probe.rule import Rule
from empirics.probe.watch import StepPair, Tensors, Watched

__all__ = ["load_watch", "watch_state"]


def _plain(seen: Seen) -> dict[str, Any]:
    values = {field.name: getattr(seen, field.name) for field in fields(seen)}
    values["rule"] = asdict(seen.rule)
    return {name: torch.as_tensor(v.copy()) if isinstance(v, np.ndarray) else v for name, v in values.items()}


def _seen(values: Mapping[str, Any]) -> Seen:
    held: dict[str, Any] = {
        name: v.cpu().numpy().copy() if isinstance(v, torch.Tensor) else v for name, v in values.items()
    }
    return Seen(**{**held, "rule": Rule(**held["rule"])})


def _pair(pair: StepPair) -> dict[str, Any]:
    return {"step": pair.step, "rules": [asdict(rule) for rule in pair.rules], "scale": pair.scale}


def _to_pair(values: Mapping[str, Any]) -> StepPair:
    return StepPair(values["step"], [Rule(**rule) for rule in values["rules"]], values["scale"])


def _of_tensor(watched: Watched) -> dict[str, Any]:
    return {
        "name": watched.name,
        "shape": list(watched.parameter.shape),
        "known": watched.known,
        "stretches": [_plain(seen) for seen in watched.stretches],
        "history": [_plain(seen) for seen in watched.history],
    }


def watch_state(watch: Tensors) -> dict[str, Any]:
    """Return the state of the measurements.

    It includes a pair of steps that has begun, with the weights and gradients before its first step.
    """
    before = None
    if watch.open is not None:
        before = [None if pair is None else [one.clone() for one in pair] for pair in watch.before]
    return {
        "every": watch.every,
        "steps": watch.steps,
        "plan": watch.plan_state(),
        "open": None if watch.open is None else _pair(watch.open),
        "there": list(watch.there),
        "before": before,
        "pairs": [_pair(pair) for pair in watch.pairs],
        "stats": [one.clone() for one in watch.stats],
        "tensors": [_of_tensor(watched) for watched in watch.watched],
    }


def load_watch(watch: Tensors, state: Mapping[str, Any]) -> None:
    """Resume from `watch_state`.

    Raises
    ------
    ValueError
        If it is the state of other tensors.
    """
    mine = [(watched.name, list(watched.parameter.shape)) for watched in watch.watched]
    theirs = [(held["name"], list(held["shape"])) for held in state["tensors"]]
    if mine != theirs:
        other = next((str(b) for a, b in zip(mine, theirs, strict=False) if a != b), f"{len(theirs)} tensors")
        raise ValueError(f"this is the state of a probe on other tensors: {other} is not watched here")
    watch.every, watch.steps = state["every"], state["steps"]
    watch.load_plan(state["plan"])
    watch.open = None if state["open"] is None else _to_pair(state["open"])
    watch.there = list(state["there"])
    for i, (watched, held) in enumerate(zip(watch.watched, state["tensors"], strict=True)):
        watched.known = held["known"]
        watched.stretches = [_seen(one) for one in held["stretches"]]
        watched.history = [_seen(one) for one in held["history"]]
        pair = None if state["before"] is None else state["before"][i]
        place = watched.parameter.device
        watch.before[i] = None if pair is None else (pair[0].to(place).clone(), pair[1].to(place).clone())
    watch.pairs = [_to_pair(pair) for pair in state["pairs"]]
    place = watch.watched[0].parameter.device
    watch.stats = [one.to(place).clone() for one in state["stats"]]
