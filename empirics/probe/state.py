"""A probe's state for checkpoints: numbers, strings and tensors only, readable by torch's safe loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirics.models.groups import Group, Piece
from empirics.probe.record import Seen
from empirics.probe.rule import Rule
from empirics.probe.tensors import Tensors
from empirics.probe.watched import Watched

__all__ = ["load_watch", "watch_state"]

#: What of the measurements is kept as it is; tensors and arrays are copied.
_KEPT = ("every", "steps", "noted", "count", "half", "columns", "norms", "pairs", "stats", "replayed", "kinds", "kept")


def _plain(value: Any) -> Any:
    """Copy a value so that later steps do not change it, arrays as tensors."""
    if isinstance(value, Seen):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)} | {"rule": asdict(value.rule)}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value.copy())
    return value.clone() if isinstance(value, Tensor) else value


def _on(place: torch.device, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_on(place, one) for one in value)
    if isinstance(value, dict):
        return {name: _on(place, one) for name, one in value.items()}
    return value.to(place, copy=True) if isinstance(value, Tensor) else value


def _seen(values: Mapping[str, Any]) -> Seen:
    held: dict[str, Any] = {name: v.cpu().numpy().copy() if isinstance(v, Tensor) else v for name, v in values.items()}
    return Seen(**{**held, "rule": Rule(**held["rule"])})


def _of(watched: Watched) -> dict[str, Any]:
    pieces = [tuple(vars(piece).values()) for piece in watched.group.pieces]
    held = {"pieces": pieces, "role": watched.group.role, "blocks": watched.group.blocks}
    return held | {name: _plain(getattr(watched, name)) for name in ("stretches", "history", "gradient", "broken")}


def _group(held: Mapping[str, Any]) -> Group:
    return Group(tuple(Piece(*one) for one in held["pieces"]), held["role"], held["blocks"])


def watch_state(watch: Tensors) -> dict[str, Any]:
    """Return the state of the measurements.

    It includes a pair of steps that has begun, with the gradients of its first step.
    """
    found = {name: _plain(getattr(watch, name)) for name in _KEPT}
    found |= {"plan": watch.plan_state(), "known": watch.known, "products": _plain(vars(watch.products))}
    found |= {"tensors": {name: list(tensor.shape) for name, tensor in watch.tensors.items()}}
    found |= {"groups": [_of(one) for one in watch.watched], "ended": [_of(one) for one in watch.ended]}
    return found | {"held": _plain(watch.held) if watch.half is not None else {}}


def load_watch(watch: Tensors, state: Mapping[str, Any]) -> None:
    """Resume from `watch_state`.

    Raises
    ------
    ValueError
        If it is the state of other tensors.
    """
    mine = {name: list(tensor.shape) for name, tensor in watch.tensors.items()}
    if other := [f"{name} {shape}" for name, shape in state["tensors"].items() if mine.get(name) != shape]:
        raise ValueError(f"this is the state of a probe on other tensors: {other[0]} is not watched here")
    watch.divide([_group(held) for held in state["groups"]] if state["known"] else ())
    watch.ended = [Watched.ended(_group(one), list(map(_seen, one["history"]))) for one in state.get("ended", ())]
    place = watch.device
    for name in _KEPT:
        setattr(watch, name, _on(place, state[name]))
    vars(watch.products).update(_on(place, state["products"]))
    watch.load_plan(state["plan"])
    watch.held = _on(place, state["held"])
    for watched, held in zip(watch.watched, state["groups"], strict=True):
        watched.stretches, watched.history = ([_seen(one) for one in held[name]] for name in ("stretches", "history"))
        watched.gradient, watched.broken = held.get("gradient", bool(watched.history)), held.get("broken")
