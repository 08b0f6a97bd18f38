"""The training loop: all runs of a shard advance together, and what is measured stays on the device.

Nothing in the loop waits for the device: sums are kept there in float64, a run that diverges is found and frozen there,
and the host looks only at checkpoints and at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.dataset import Dataset
from empirics.experiment import AXES, Experiment, NoiseRule, Run
from empirics.models import MODELS
from empirics.models.base import Model
from empirics.models.own import OwnModel
from empirics.training import OPTIMIZERS, PROTOCOLS
from empirics.training.optimizer import Optimizer, Settings, along
from empirics.training.protocol import Protocol, dot, dots
from empirics.training.sampling import FreshLabels, Minibatches, Stream, frozen_generator, generator

#: Snapshots are held up to this size (bytes a shard), beyond it they go to disk as they come.
HELD_SNAPSHOTS = 2**28


class Sum(IntEnum):
    """Rows of the running sums: taken at every step, from the minibatch of that step, before the update."""

    RADIUS_SQ = 0
    LOG_RADIUS = 1
    GRAD_SQ = 2
    GRAD_SQ_UNIT = 3  # |g|² r²: the squared gradient at unit norm
    LOSS = 4
    FINITE = 5  # 1 while the run is finite: the final sum says when it diverged
    # What the step does to the norm, where `norm_balance` does not say it: see `Ensemble._count_norm`.
    GROWTH = 6
    DECAY = 7


class Pair(IntEnum):
    """What is measured at a snapshot, with a second, independent minibatch at the same weights."""

    RADIUS_SQ = 0
    GRAD_MEAN_SQ = 1  # g · g': unbiased for |∇L|²
    LOSS = 2
    SECOND_LOSS = 3
    VIOLATION = 4  # |w · g| / (|w| |g|)
    ACCURACY = 5
    ROTATION_SQ = 6  # square of the angle by which the step turns the weights


class TensorPair(IntEnum):
    """What is measured of every trained tensor at a snapshot; kept in the rows after those of `Pair`."""

    RADIUS_SQ = 0
    GRAD_SQ = 1
    GRAD_MEAN_SQ = 2


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
        Shape (snapshot, Pair and then TensorPair · tensor, run), float64.
    snapshots
        Shape (snapshot, run, d); where they `stream`, those from number `held_from` on, the others are on disk.
    streams, held_from
        Whether there are more snapshots than are held at a time, and the number of the first that is held.
    stored
        Where they stream, reads all of one run's from disk.
    """

    step: int
    weights: list[Tensor]
    optimizer: dict[str, Tensor]
    total: Tensor
    marks: Tensor
    pairs: Tensor
    snapshots: Tensor
    streams: bool = False
    held_from: int = 0
    stored: Callable[[int], NDArray] | None = None

    def of_run(self, run: int) -> NDArray:
        """All snapshots of one run, shape (snapshot, d)."""
        if self.streams and self.stored is not None:
            return self.stored(run)
        return self.snapshots[:, run].cpu().numpy()


def marked_steps(experiment: Experiment) -> NDArray[np.int64]:
    """List the steps at which the running sums are written down: points of the trace and ends of blocks."""
    training, measure = experiment.training, experiment.measure
    trace = np.linspace(0, experiment.total_steps, measure.trace_points + 1).astype(np.int64)
    blocks = training.burn_in + training.steps // measure.blocks * np.arange(measure.blocks + 1)
    return np.union1d(trace, blocks)


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

    def __init__(self, experiment: Experiment, runs: Sequence[Run], data: Dataset, device: str = "cpu") -> None:
        self.experiment, self.runs = experiment, tuple(runs)
        training, table = experiment.training, experiment.model
        self.device, self.dtype = torch.device(device), getattr(torch, training.dtype)
        kind = MODELS.get(table.name) if not table.file else OwnModel
        self.model: Model = kind.of(table, data)
        self.model.check(data.classes)
        self.protocol: Protocol = PROTOCOLS.get(training.protocol)()
        settings = Settings(training.momentum, training.beta2, training.optimizer_eps)
        self.optimizer: Optimizer = OPTIMIZERS.get(training.optimizer)(settings)
        self.rate = self._column([getattr(run, AXES[training.protocol][0]) for run in self.runs])
        self.weight_decay = self._column([run.weight_decay for run in self.runs]).nan_to_num(0.0)
        self.radius = self._column([run.radius for run in self.runs])
        self._norm_counted = (training.protocol, training.optimizer) != ("fixed-lr", "sgd")
        self._inputs = torch.as_tensor(data.inputs, dtype=self.dtype, device=self.device).contiguous()
        self._labels = torch.as_tensor(data.labels, device=self.device)
        size = len(data.labels)
        self._first = Minibatches(self.runs, size, training.batch_size, Stream.MINIBATCH, self.device)
        self._second = Minibatches(self.runs, size, training.batch_size, Stream.SECOND_MINIBATCH, self.device)
        self._first_labels, self._second_labels = self._fresh_labels(data.classes)
        self._mark_of = {int(step): i for i, step in enumerate(marked_steps(experiment))}
        rows = len(self.runs) * training.batch_size
        # One buffer for all steps: fresh pages for each minibatch would cost more than the copy itself.
        self._batch = torch.empty(rows, data.inputs.shape[1], dtype=self.dtype, device=self.device)
        self._row = torch.empty(Sum.GROWTH, len(self.runs), dtype=torch.float64, device=self.device)
        self._rows = self._row.unbind()  # in the order of Sum; made once, as making views takes as long as filling them
        frozen = frozen_generator(table.head_seed)
        self.frozen = self.model.fixed(frozen, len(self.runs), self.dtype, self.device)
        self._start = self._draw()
        self.gradients = [torch.empty_like(w) for w in self._start]

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def _draw(self) -> list[Tensor]:
        radii = [self._initial_radius(run) for run in self.runs]
        generators = [generator(run, Stream.INITIAL) for run in self.runs]
        return self.model.initial(generators, np.array(radii), self.dtype, self.device)

    def _initial_radius(self, run: Run) -> float:
        rule, gain = self.experiment.training.initial_radius, self.optimizer.gain
        if run.protocol == "fixed-sphere":
            return run.radius
        if not isinstance(rule, NoiseRule):
            return rule
        if run.protocol == "fixed-elr":
            return rule.radius_at_elr(run.effective_lr * gain, run.weight_decay)
        return rule.radius(run.lr * gain, run.weight_decay)

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
            pairs=unknown(measure.snapshots, len(Pair) + len(TensorPair) * len(weights), runs),
            snapshots=unknown(self.held, runs, self.model.dimension, dtype=self.dtype),
            streams=self.held < measure.snapshots,
        )

    @property
    def held(self) -> int:
        """How many snapshots are held at a time."""
        one = len(self.runs) * self.model.dimension * self.dtype.itemsize
        return min(self.experiment.measure.snapshots, max(1, HELD_SNAPSHOTS // one))

    def full(self, state: State) -> bool:
        """Whether the snapshots that are held must go to disk before the next one."""
        taken = max(0, state.step - self.experiment.training.burn_in) // self.experiment.measure.spacing
        return state.streams and taken - state.held_from >= self.held

    def _fresh_labels(self, classes: int) -> tuple[FreshLabels | None, FreshLabels | None]:
        table, batch = self.experiment.data, self.experiment.training.batch_size
        if not table.fresh_noise:
            return None, None
        noise = (classes, table.label_noise, batch)
        return (
            FreshLabels(self.runs, *noise, Stream.LABELS, self.device),
            FreshLabels(self.runs, *noise, Stream.SECOND_LABELS, self.device),
        )

    def _minibatch(self, indices: Tensor, fresh: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs and labels of each run; `fresh` labels, where they are not -1, replace the data's."""
        runs = len(self.runs)
        inputs = torch.index_select(self._inputs, 0, indices, out=self._batch).view(runs, -1, self._batch.shape[1])
        labels = self._labels.index_select(0, indices)
        if fresh is not None:
            labels = torch.where(fresh >= 0, fresh, labels)
        return inputs, labels.view(runs, -1)

    def advance(self, state: State) -> None:
        """Do one step: gradient, statistics at the weights it was taken at, update."""
        fresh = self._first_labels.at(state.step) if self._first_labels else None
        inputs, labels = self._minibatch(self._first.at(state.step), fresh)
        loss = self.model.loss_and_grad(state.weights, self.frozen, inputs, labels, self.gradients)
        radius_sq = dot(state.weights, state.weights)
        gate = self._count(state, radius_sq, dot(self.gradients, self.gradients), loss)
        number, rest = divmod(state.step - self.experiment.training.burn_in + 1, self.experiment.measure.spacing)
        at_snapshot = number > 0 and rest == 0
        if at_snapshot:
            self._snapshot(state, number - 1, loss)
        lr = self.protocol.learning_rate(self.rate, radius_sq) + gate
        push = self.optimizer.directions(state.weights, self.gradients, self.weight_decay, state.optimizer, state.step)
        if self._norm_counted:
            self._count_norm(state, push, lr, radius_sq)
        if at_snapshot:
            state.pairs[number - 1, Pair.ROTATION_SQ] = self._rotation(state, push, lr, radius_sq).square()
        for w, direction in zip(state.weights, push, strict=True):
            w.addcmul_(direction, along(lr, w), value=-1)
        self.protocol.constrain(state.weights, self.radius)
        state.step += 1
        if (mark := self._mark_of.get(state.step)) is not None:
            state.marks[mark] = state.total

    def _count(self, state: State, radius_sq: Tensor, grad_sq: Tensor, loss: Tensor) -> Tensor:
        """Add this step to the running sums; returns 0 for every finite run, NaN for every other one, shape (run,).

        Added to the learning rate, the NaN freezes a run that has diverged, and touches no other.
        """
        radius, log_radius, squared, unit, losses, finite = self._rows
        radius.copy_(radius_sq)
        squared.copy_(grad_sq)
        losses.copy_(loss)
        torch.log(radius, out=log_radius).mul_(0.5)
        torch.mul(radius, squared, out=unit)
        gate = unit * 0
        torch.eq(gate, 0, out=finite)
        state.total[: Sum.GROWTH].add_(self._row)
        return gate.to(self.dtype)

    def _count_norm(self, state: State, push: Sequence[Tensor], lr: Tensor, radius_sq: Tensor) -> None:
        """Add what the step ``w' = (1 + a) w + u``, ``u ⊥ w``, does to the norm to its running sums.

        ``r'² = (1 + a)² r² + |u|²``, so a stationary mean of ``r²`` balances ``|u|²`` with ``(1 − (1 + a)²) r²``, and a
        stationary mean of ``log r``, at fixed effective learning rate, balances the logarithms of both factors. For SGD
        the first is :func:`empirics.measure.norm_balance`.
        """
        radial = dot(state.weights, push).double() * lr / radius_sq  # -a
        shrunk = (1 - radial).square()
        across = lr.double().square() * dot(push, push) - radial.square() * radius_sq
        growth, decay = state.total[Sum.GROWTH], state.total[Sum.DECAY]
        if self.protocol.name == "fixed-elr":
            growth += torch.log1p(across / (shrunk * radius_sq))
            decay -= torch.log(shrunk)
        else:
            growth += across
            decay += (1 - shrunk) * radius_sq

    def _rotation(self, state: State, push: Sequence[Tensor], lr: Tensor, radius_sq: Tensor) -> Tensor:
        """Angle (rad) between the weights before and after the step, shape (run,), float64."""
        radial = dot(state.weights, push).double() * lr / radius_sq
        across_sq = lr.double().square() * dot(push, push) / radius_sq - radial.square()
        return torch.atan2(across_sq.clamp(min=0).sqrt(), 1 - radial)

    def _snapshot(self, state: State, number: int, loss: Tensor) -> None:
        """Keep the weights, and measure what needs a second minibatch at the same weights."""
        weights, first = state.weights, self.gradients
        state.snapshots[number - state.held_from] = torch.cat([w.flatten(1) for w in weights], 1)
        fresh = self._second_labels.at(number) if self._second_labels else None
        inputs, labels = self._minibatch(self._second.at(number), fresh)
        second = [torch.empty_like(g) for g in first]
        pair = state.pairs[number]
        pair[Pair.SECOND_LOSS] = self.model.loss_and_grad(weights, self.frozen, inputs, labels, second)
        pair[Pair.ACCURACY] = self.model.accuracy(weights, self.frozen, inputs, labels)
        pair[Pair.LOSS] = loss
        pair[Pair.RADIUS_SQ] = radius_sq = dot(weights, weights)
        pair[Pair.GRAD_MEAN_SQ] = dot(first, second)
        pair[Pair.VIOLATION] = dot(weights, first).abs() / (radius_sq * dot(first, first)).sqrt()
        of_tensors = pair[len(Pair) :].view(len(TensorPair), len(weights), -1)
        of_tensors[TensorPair.RADIUS_SQ] = torch.stack(dots(weights, weights))
        of_tensors[TensorPair.GRAD_SQ] = torch.stack(dots(first, first))
        of_tensors[TensorPair.GRAD_MEAN_SQ] = torch.stack(dots(first, second))
