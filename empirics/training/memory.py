"""Memory that a shard needs, estimated before it is trained."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from empirics.data.dataset import Dataset
from empirics.experiment import ExperimentError
from empirics.experiment.schema import show
from empirics.models.registry import MODELS
from empirics.training.ensemble import Ensemble, held_snapshots
from empirics.training.experiment import NetworkExperiment
from empirics.training.record import Look, SnapshotColumn

#: Copies of the weights besides what the optimiser remembers: themselves, their start, two gradients, the directions,
#: and what a snapshot multiplies. Halves are four more.
COPIES, COPIES_OF_HALVES = 6, 10

#: Of the memory that is free, what may be planned with: the estimate is good to some ten per cent.
USABLE = 0.9


class _Made(TorchDispatchMode):
    """Adds up the bytes of every new tensor, views excluded."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count its result."""
        made = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.bytes += tensor.untyped_storage().nbytes()
        return made


def check_sizes(experiment: NetworkExperiment, data: Dataset, device: str) -> None:
    """Refuse sizes that a single run cannot have, before anything of that size is made.

    Raises
    ------
    ExperimentError
        It names the key that needs most of the memory.
    """
    training, table, measure = experiment.training, experiment.model, experiment.measure
    itemsize = getattr(torch, training.dtype).itemsize
    needs = {
        f"[training] batch_size = {training.batch_size}": training.batch_size
        * (data.inputs.shape[1] * itemsize + np.dtype(np.int64).itemsize),
        f"[measure] snapshots = {measure.snapshots}": 8 * len(SnapshotColumn) * measure.snapshots,
        f"[measure] trace_points = {measure.trace_points}": 8 * len(Look) * measure.trace_points,
    }
    if not table.file:
        size = "hidden" if table.name == "mlp" else "width"
        weights = COPIES * itemsize * MODELS.get(table.name).of(table, data).dimension
        needs[f"[model] {size} = {show(getattr(table, size))}"] = weights
    most = max(needs, key=needs.__getitem__)
    if (wanted := needs[most]) > (room := USABLE * free(device)):
        raise ExperimentError(
            f"{most}: must be smaller; a single run needs more than {wanted / 2**30:.1f} GiB for it, {device} has "
            f"{room / 2**30:.1f} GiB available"
        )


def needed(experiment: NetworkExperiment, one: Ensemble, runs: int, device: str = "cpu") -> int:
    """Peak memory in bytes of a shard of `runs` runs on a device, data included, from an ensemble of one.

    Counted: copies of the weights, the state of the optimiser, the snapshots in memory, the sums, the minibatch, and
    the tensors of a forward pass, which the backward pass needs. The measured peaks of four networks were 0.8 to 1.2
    times this. A compiled gradient computes one run after another in the same memory and needs less.
    """
    state = one.start()
    weights = state.flat.nbytes
    remembered = sum(value.nbytes for value in state.optimizer.values())
    with _Made() as made, torch.no_grad():
        inputs, labels = one.feeds.train.at(0)
        inputs, labels = inputs.view(1, -1, inputs.shape[-1]), labels.view(1, -1)
        one.model.scores(state.weights, one.frozen, inputs, labels)
    snapshot = one.model.dimension * one.dtype.itemsize
    held = max(min(runs * snapshot * one.times.snapshots, held_snapshots(torch.device(device))), runs * snapshot)
    sums = sum(held.nbytes for held in (state.marks, state.pairs, state.components, state.looks, state.raw))
    kept = snapshot * one.times.snapshots if experiment.measure.keep_snapshots else 0
    copies = COPIES_OF_HALVES if experiment.training.halves else COPIES
    each = copies * weights + remembered + inputs.nbytes + made.bytes + sums + kept
    test = [one.feeds.test.samples] if one.feeds.test else []
    stored = sum(s.inputs.nbytes + s.labels.nbytes for s in (one.feeds.samples, *test))
    # Where snapshots are measured on a card, one run's are copied there, at most in float64.
    measuring = 2 * snapshot * one.times.snapshots if torch.device(device).type == "cuda" else 0
    return runs * each + held + stored + measuring


def free(device: str) -> int:
    """Free memory of a device in bytes."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, OSError, ValueError):  # unknown on this system: nothing is refused
            return 2**62


def check_memory(experiment: NetworkExperiment, one: Ensemble, device: str) -> None:
    """Refuse shards that are too large for the memory of a device, before training starts.

    `one` is an ensemble of one of the runs, on the CPU.

    Raises
    ------
    ExperimentError
        With the number of runs per shard that fits.
    """
    runs, room = max(map(len, experiment.cut())), USABLE * free(device)
    if (wanted := needed(experiment, one, runs, device)) <= room:
        return
    fits, too_many = 0, runs
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if needed(experiment, one, middle, device) <= room else (fits, middle)
    advice = f"must be at most {fits}" if fits else "not even one fits: use a smaller network, minibatch or data set"
    raise ExperimentError(
        f"[shards] runs_per_shard = {experiment.shards.runs_per_shard}: {runs} runs together need about "
        f"{wanted / 2**30:.1f} GiB, {device} has {room / 2**30:.1f} GiB available; {advice}"
    )
