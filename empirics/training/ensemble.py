"""The training loop: all runs of a shard advance together, and what is measured stays on the device.

Nothing in the loop waits for the device: sums are kept there in float64, a run that diverges is found and frozen there,
and the host looks only at checkpoints and at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.dataset import Dataset
from empirics.experiment import NetworkExperiment, NoiseRule, Run, marked_steps
from empirics.models import MODELS
from empirics.training import OPTIMIZERS, PROTOCOLS
from empirics.training.optimizer import Optimizer
from empirics.training.protocol import Protocol
from empirics.training.sampling import Minibatches, Stream, frozen_generator, generator


class Sum(IntEnum):
    """Rows of the running sums: taken at every step, from the minibatch of that step, before the update."""

    RADIUS_SQ = 0
    LOG_RADIUS = 1
    GRAD_SQ = 2
    GRAD_SQ_UNIT = 3  # |g|² r²: the squared gradient at unit norm
    LOSS = 4
    FINITE = 5  # 1 while the run is finite: the final sum says when it diverged


class Pair(IntEnum):
    """What is measured at a snapshot, with a second, independent minibatch at the same weights."""

    RADIUS_SQ = 0
    GRAD_MEAN_SQ = 1  # g · g': unbiased for |∇L|²
    LOSS = 2
    SECOND_LOSS = 3
    VIOLATION = 4  # |w · g| / (|w| |g|)
    ACCURACY = 5


@dataclass
class State:
    """Everything that a checkpoint must hold: the training can go on from it to the last bit.

    Attributes
    ----------
    step
        Steps done. The positions in the data follow from it.
    weights, optimizer
        The trained tensors, each (run, ...), and what the optimiser remembers.
    total
        Running sums since step 0, shape (Sum, run), float64.
    marks
        `total` as it was at the marked steps, shape (mark, Sum, run); differences are means over intervals.
    pairs
        Shape (snapshot, Pair, run), float64.
    snapshots
        Shape (snapshot, run, d).
    """

    step: int
    weights: list[Tensor]
    optimizer: dict[str, Tensor]
    total: Tensor
    marks: Tensor
    pairs: Tensor
    snapshots: Tensor

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **{name: getattr(self, name) for name in ("total", "marks", "pairs")},
            **{f"weights.{i}": w for i, w in enumerate(self.weights)},
            **{f"optimizer.{name}": value for name, value in self.optimizer.items()},
        }

    def arrays(self) -> dict[str, NDArray]:
        """All of it but the step and the snapshots."""
        return {name: value.detach().cpu().numpy() for name, value in self._tensors().items()}

    def put(self, arrays: Mapping[str, NDArray]) -> None:
        """Take over what :meth:`arrays` gave."""
        for name, value in self._tensors().items():
            value.copy_(torch.from_numpy(arrays[name]))

    def kept(self, start: int, stop: int) -> NDArray:
        """Snapshots number `start` to `stop`."""
        return self.snapshots[start:stop].cpu().numpy()

    def put_kept(self, start: int, values: NDArray) -> None:
        """Take over snapshots from number `start` on."""
        self.snapshots[start : start + len(values)] = torch.from_numpy(values).to(self.snapshots.device)


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner product of two lists of tensors for every run, shape (run,)."""
    parts = [torch.linalg.vecdot(a.flatten(1), b.flatten(1)) for a, b in zip(left, right, strict=True)]
    return torch.stack(parts).sum(0) if len(parts) > 2 else sum(parts[1:], parts[0])


class Ensemble:
    """The runs of one shard: their networks, data and updates.

    Parameters
    ----------
    experiment
        What to run.
    runs
        The shard's runs.
    data
        The data set it names.
    device
        Where to compute.
    """

    def __init__(self, experiment: NetworkExperiment, runs: Sequence[Run], data: Dataset, device: str = "cpu") -> None:
        self.experiment, self.runs = experiment, tuple(runs)
        training, table = experiment.training, experiment.model
        self.device, self.dtype = torch.device(device), getattr(torch, training.dtype)
        self.model = MODELS.get(table.name)(
            features=data.inputs.shape[1],
            classes=data.classes,
            hidden=table.hidden,
            eps=table.eps,
            affine=table.affine,
            head_norm=table.head_norm,
        )
        self.protocol: Protocol = PROTOCOLS.get(training.protocol)()
        self.optimizer: Optimizer = OPTIMIZERS.get(training.optimizer)()
        self.lr = self._column([run.lr for run in self.runs])
        self.weight_decay = self._column([run.weight_decay for run in self.runs])[:, None, None]
        self._inputs = torch.as_tensor(data.inputs, dtype=self.dtype, device=self.device).contiguous()
        self._labels = torch.as_tensor(data.labels, device=self.device)
        size = len(data.labels)
        self._first = Minibatches(self.runs, size, training.batch_size, Stream.MINIBATCH, self.device)
        self._second = Minibatches(self.runs, size, training.batch_size, Stream.SECOND_MINIBATCH, self.device)
        self._mark_of = {int(step): i for i, step in enumerate(marked_steps(experiment))}
        rows = len(self.runs) * training.batch_size
        # One buffer for all steps: fresh pages for each minibatch would cost more than the copy itself.
        self._batch = torch.empty(rows, data.inputs.shape[1], dtype=self.dtype, device=self.device)
        self._row = torch.empty(len(Sum), len(self.runs), dtype=torch.float64, device=self.device)
        frozen = frozen_generator(table.head_seed)
        self.frozen = self.model.fixed(frozen, len(self.runs), self.dtype, self.device)
        self._start = self._draw()
        self.gradients = [torch.empty_like(w) for w in self._start]

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def _draw(self) -> list[Tensor]:
        rule = self.experiment.training.initial_radius
        radii = [rule.radius(r.lr, r.weight_decay) if isinstance(rule, NoiseRule) else rule for r in self.runs]
        generators = [generator(run, Stream.INITIAL) for run in self.runs]
        return self.model.initial(generators, np.array(radii), self.dtype, self.device)

    def start(self) -> State:
        """Make the state before the first step."""
        measure, runs = self.experiment.measure, len(self.runs)
        weights = [w.clone() for w in self._start]

        def unknown(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.full(shape, torch.nan, dtype=dtype, device=self.device)

        marks = unknown(len(self._mark_of), len(Sum), runs)
        marks[0] = 0
        return State(
            step=0,
            weights=weights,
            optimizer=self.optimizer.state(weights),
            total=torch.zeros(len(Sum), runs, dtype=torch.float64, device=self.device),
            marks=marks,
            pairs=unknown(measure.snapshots, len(Pair), runs),
            snapshots=unknown(measure.snapshots, runs, self.model.dimension, dtype=self.dtype),
        )

    def _minibatch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        runs = len(self.runs)
        inputs = torch.index_select(self._inputs, 0, indices, out=self._batch).view(runs, -1, self._batch.shape[1])
        return inputs, self._labels.index_select(0, indices).view(runs, -1)

    def advance(self, state: State) -> None:
        """Do one step: gradient, statistics at the weights it was taken at, update."""
        inputs, labels = self._minibatch(self._first.at(state.step))
        loss = self.model.loss_and_grad(state.weights, self.frozen, inputs, labels, self.gradients)
        radius_sq = dot(state.weights, state.weights)
        gate = self._count(state, radius_sq, dot(self.gradients, self.gradients), loss)
        measured = state.step - self.experiment.training.burn_in
        if measured >= 0 and (measured + 1) % self.experiment.measure.spacing == 0:
            self._snapshot(state, measured // self.experiment.measure.spacing, loss)
        lr = self.protocol.learning_rate(self.lr, radius_sq) + gate
        self.optimizer.step(state.weights, self.gradients, lr[:, None, None], self.weight_decay, state.optimizer)
        self.protocol.constrain(state.weights)
        state.step += 1
        if (mark := self._mark_of.get(state.step)) is not None:
            state.marks[mark] = state.total

    def _count(self, state: State, radius_sq: Tensor, grad_sq: Tensor, loss: Tensor) -> Tensor:
        """Add this step to the running sums; returns 0 for every finite run, NaN for every other one, shape (run,).

        Added to the learning rate, the NaN freezes a run that has diverged, and touches no other.
        """
        row = self._row
        row[Sum.RADIUS_SQ] = radius_sq
        row[Sum.GRAD_SQ] = grad_sq
        row[Sum.LOSS] = loss
        torch.log(row[Sum.RADIUS_SQ], out=row[Sum.LOG_RADIUS]).mul_(0.5)
        torch.mul(row[Sum.RADIUS_SQ], row[Sum.GRAD_SQ], out=row[Sum.GRAD_SQ_UNIT])
        row[Sum.FINITE] = torch.isfinite(row[Sum.GRAD_SQ_UNIT])
        state.total += row
        return (row[Sum.GRAD_SQ_UNIT] * 0).to(self.dtype)

    def _snapshot(self, state: State, number: int, loss: Tensor) -> None:
        """Keep the weights, and measure what needs a second minibatch at the same weights."""
        weights, first = state.weights, self.gradients
        state.snapshots[number] = torch.cat([w.flatten(1) for w in weights], 1)
        inputs, labels = self._minibatch(self._second.at(number))
        second = [torch.empty_like(g) for g in first]
        pair = state.pairs[number]
        pair[Pair.SECOND_LOSS] = self.model.loss_and_grad(weights, self.frozen, inputs, labels, second)
        pair[Pair.ACCURACY] = self.model.accuracy(weights, self.frozen, inputs, labels)
        pair[Pair.LOSS] = loss
        pair[Pair.RADIUS_SQ] = radius_sq = dot(weights, weights)
        pair[Pair.GRAD_MEAN_SQ] = dot(first, second)
        pair[Pair.VIOLATION] = dot(weights, first).abs() / (radius_sq * dot(first, first)).sqrt()

    def summarise(self, state: State) -> dict[str, NDArray]:
        """Everything the results hold of the shard, names as ``group/variable``."""
        from empirics.training.summary import summarise  # it reads what is defined here

        return summarise(self.experiment, self, state)
