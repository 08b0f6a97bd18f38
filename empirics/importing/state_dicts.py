"""Find and load the checkpoints of a run: state dicts, in time order.

A checkpoint is a file of ``torch.save`` (a state dict, or a dictionary that holds one as nanoGPT, timm and Lightning
write it) or of safetensors, or a folder ``checkpoint-100/`` with ``model.safetensors`` or ``pytorch_model.bin``. Its
place in time is the step in the file, else that in its name, else the epoch. Copies (``last.ckpt``) are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from empirics.experiment import ExperimentError
from empirics.importing.torch_files import load_safely
from empirics.importing.traces import TRACE

__all__ = ["History", "Time", "checkpoint_files", "history"]

FloatArray = NDArray[np.floating]

#: Files of one checkpoint in a folder of its own, and beside it files that are no weights.
HUB = re.compile(r"(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)")
ENDINGS = (".pt", ".pth", ".ckpt", ".pth.tar", ".safetensors")
NO_WEIGHTS = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")

#: The place in time in a file, and in a name.
STEPS = ("global_step", "iter_num", "step", "iteration", "num_updates")
STEP_IN_NAME = re.compile(r"(?:step|iter|iteration)[-_=]?(\d+)")
EPOCH_IN_NAME = re.compile(r"epoch[-_=]?(\d+)")
FOLDER = re.compile(r"(?:checkpoint|ckpt|step|iter|iteration|epoch)[-_=]?(\d+)$")

#: Where files keep the state dict and the optimiser's.
MODELS = ("state_dict", "model_state_dict", "model", "module")
OPTIMIZERS = ("optimizer", "optimizer_state_dict", "optimizer_states")


class Time(NamedTuple):
    """Place of a checkpoint in time."""

    unit: str  # "step", "epoch", or empty if the name has a number alone
    number: float


@dataclass
class History:
    """The checkpoints of a run, in time order."""

    folder: Path
    weights: FloatArray  # (checkpoint, weight)
    shapes: dict[str, tuple[int, ...]]
    times: list[Time]
    rules: list[dict[str, Any]]  # what each optimiser's state says
    still: list[str] = field(default_factory=list)  # tensors left out because they never change


# ------------------------------------------------------------------------------------------------ which files
def _folders(path: Path) -> list[Path]:
    return sorted(inner for inner in path.iterdir() if inner.is_dir())


def checkpoint_files(folder: Path) -> list[list[Path]]:
    """List the files of each checkpoint of a run, by the numbers in their names; a trace folder has none."""
    if (folder / TRACE).exists():
        return []
    inside = [_parts(inner) for inner in _folders(folder) if FOLDER.search(inner.name)]
    found = [files for files in inside if files] or [[file] for file in _files(folder)]
    return sorted(found, key=lambda files: [(int(n or 0), text) for text, n in _pieces(_name(folder, files[0]))])


def _pieces(name: str) -> list[Any]:
    return re.findall(r"(\D*)(\d*)", name)


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [file for file in files if file.name.endswith(ENDINGS) and not file.name.startswith(NO_WEIGHTS)]


def _parts(folder: Path) -> list[Path]:
    """List the files of the one checkpoint in a folder of its own; none if there are several or none."""
    parts = sorted(file for file in folder.iterdir() if HUB.fullmatch(file.name))
    if parts:
        quick = [file for file in parts if file.suffix == ".safetensors"]
        return quick or parts
    files = _files(folder)
    return files if len(files) == 1 else []


def _name(folder: Path, file: Path) -> str:
    """Name of a checkpoint: of its folder, if it has one."""
    return file.relative_to(folder).parts[0]


# ------------------------------------------------------------------------------------------------ what is in them
def _opened(folder: Path, files: list[Path]) -> tuple[dict[str, Any], Time | None, dict[str, Any]]:
    """Load a checkpoint: its tensors, place in time, and what the optimiser's state says."""
    state: dict[str, Any] = {}
    for file in files:
        stored = load_safely(file)
        if not isinstance(stored, Mapping):
            raise ExperimentError(f"{file} holds a {type(stored).__name__}, but must hold a state dict")
        state |= _state(stored, file)
    beside = files[0].parent / "optimizer.pt"
    rule = _rule(load_safely(beside) if files[0].parent != folder and beside.is_file() else _first(stored, OPTIMIZERS))
    return state, _time(stored, _name(folder, files[0])), rule


def _first(stored: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((stored[name] for name in names if name in stored), None)


def _state(stored: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Find the state dict in what a file holds."""
    import torch

    inner = _first(stored, MODELS)
    tensors = {
        str(name): value
        for name, value in (inner if isinstance(inner, Mapping) else stored).items()
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise ExperimentError(
            f"{file} holds no tensors by name, as a state dict does, under {', '.join(MODELS)} or by itself"
        )
    return tensors


def _time(stored: Mapping[str, Any], name: str) -> Time | None:
    """Find the place in time: the step, else the epoch, else the last number in the name."""
    for key in STEPS:
        if (number := _number(stored.get(key))) is not None:
            return Time("step", number)
    if found := STEP_IN_NAME.search(name) or re.fullmatch(r"checkpoint-(\d+)", name):
        return Time("step", float(found[1]))
    if (number := _number(stored.get("epoch"))) is not None:
        return Time("epoch", number)
    if found := EPOCH_IN_NAME.search(name):
        return Time("epoch", float(found[1]))
    numbers = re.findall(r"\d+", name)
    return Time("", float(numbers[-1])) if numbers else None


def _number(value: Any) -> float | None:
    """Return a number that may be in a tensor; None if it is something else."""
    try:
        return None if value is None or isinstance(value, (bool, str)) else float(value)
    except OverflowError:  # of an integer of hundreds of digits
        return math.inf
    except (TypeError, ValueError, RuntimeError):
        return None


def _rule(optimizer: Any) -> dict[str, Any]:
    """Read the settings off an optimiser's state: of the groups with weight decay, if these agree."""
    state = optimizer[0] if isinstance(optimizer, (list, tuple)) and optimizer else optimizer
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    groups = [group for group in groups or () if isinstance(group, Mapping)]
    groups = [group for group in groups if group.get("weight_decay")] or groups
    rules = []
    for group in groups:
        rule: dict[str, Any] = {name: _number(group.get(name)) for name in ("lr", "weight_decay")}
        betas = group.get("betas")
        if isinstance(betas, (list, tuple)) and betas:
            decoupled = group.get("decoupled_weight_decay")  # older versions of torch do not say
            rule["optimizer"] = "" if decoupled is None else "adamw" if decoupled else "adam-l2"
            rule["momentum"] = _number(betas[0])
        elif beta := _number(group.get("momentum")):
            rule |= {"optimizer": "nesterov" if group.get("nesterov") else "momentum", "momentum": beta}
        rules.append({name: value for name, value in rule.items() if value is not None})
    return rules[0] if rules and all(rule == rules[0] for rule in rules) else {}


def history(folder: Path, patterns: Sequence[str]) -> History:
    """Read all checkpoints of a run.

    Parameters
    ----------
    folder
        The folder of :func:`checkpoint_files`.
    patterns
        Names of the tensors to read, with wildcards; default: all with two axes or more that change.

    Returns
    -------
    History
        In time order, each checkpoint once.

    Raises
    ------
    ExperimentError
        If a file cannot be loaded safely, holds no state dict or other tensors than the first, its place in time is not
        known, or two files have the same one and differ; the message names the file.
    """
    from empirics.models.spheres import trained

    groups = checkpoint_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    times, rules = [], []
    for i, files in enumerate(groups):
        state, time, rule = _opened(folder, files)
        if time is None:
            raise ExperimentError(f"{files[0]}: no step or epoch in the file, and no number in its name")
        if not 0 <= time.number < math.inf:
            raise ExperimentError(f"{files[0]}: its {time.unit} is {time.number:g}, but must be a number, 0 or more")
        if not i:
            try:
                shapes = {name: tuple(state[name].shape) for name in trained(state, patterns)}
            except ValueError as error:
                raise ExperimentError(f"{files[0]}: {error}") from None
            double = any("float64" in str(state[name].dtype) for name in shapes)
            weights = np.empty(
                (len(groups), sum(map(math.prod, shapes.values()))), np.float64 if double else np.float32
            )
        weights[i] = _row(state, shapes, files[0], groups[0][0])
        times.append(time)
        rules.append(rule)
    if len({time.unit for time in times}) > 1:
        raise ExperimentError(f"{folder}: some checkpoints are counted in steps and others in epochs")
    order = _in_time(folder, groups, weights, times)
    if order != list(range(len(weights))):
        weights = weights[order]  # a copy, of what may fill the memory
    read = History(folder, weights, shapes, [times[i] for i in order], [rules[i] for i in order])
    return read if patterns else _moving(read)


def _row(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], file: Path, first: Path) -> FloatArray:
    """Return the weights of a checkpoint as one vector."""
    for name, shape in shapes.items():
        if name not in state or tuple(state[name].shape) != shape:
            found = f"of shape {tuple(state[name].shape)}" if name in state else "missing"
            raise ExperimentError(f"{file}: tensor {name} is {found}, but {shape} in {first}")
        if state[name].is_complex():
            raise ExperimentError(f"{file}: tensor {name} has complex numbers")
    return np.concatenate([state[name].detach().double().numpy().ravel() for name in shapes])


def _in_time(folder: Path, groups: list[list[Path]], weights: FloatArray, times: list[Time]) -> list[int]:
    """Return the order in time, without copies."""
    order: list[int] = []
    for i in sorted(range(len(times)), key=lambda i: times[i].number):
        if order and times[order[-1]] == times[i]:
            if not np.array_equal(weights[order[-1]], weights[i], equal_nan=True):
                names = " and ".join(_name(folder, groups[j][0]) for j in (order[-1], i))
                raise ExperimentError(
                    f"{folder}: {names} are both of {times[i].unit or 'number'} {times[i].number:g}, but differ; leave "
                    "out the one of another run"
                )
            continue
        order.append(i)
    return order


def _moving(read: History) -> History:
    """Leave out tensors that never change: masks and frozen weights."""
    ends = list(accumulate(map(math.prod, read.shapes.values()), initial=0))
    spans = [slice(*pair) for pair in pairwise(ends)]
    moves = [len(read.weights) == 1 or bool((read.weights[1:, s] != read.weights[0, s]).any()) for s in spans]
    if not any(moves):
        raise ExperimentError(f"{read.folder}: the weights are the same in all {len(read.weights)} checkpoints")
    if not all(moves):
        read.weights = np.concatenate([read.weights[:, s] for s, kept in zip(spans, moves, strict=True) if kept], 1)
        read.still = [name for name, kept in zip(read.shapes, moves, strict=True) if not kept]
        read.shapes = {name: shape for name, shape in read.shapes.items() if name not in read.still}
    return read
