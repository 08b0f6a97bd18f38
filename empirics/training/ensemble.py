"""The training loop: all runs of a shard advance together, and measurements stay on the device.

Nothing in the loop waits for the device: sums are kept there in float64, diverged runs are detected and frozen there,
and the host reads them only at checkpoints and at the end.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.dataset import Dataset
from empirics.experiment import AXES, ExperimentError, Run
from empirics.models.base import Model
from empirics.models.own import OwnModel
from empirics.models.registry import MODELS
from empirics.training import OPTIMIZERS, PROTOCOLS
from empirics.training.curvature import Curvature
from empirics.training.experiment import NetworkExperiment
from empirics.training.feed import Feeds
from empirics.training.gradient import Halves, StepGradient, WholeBatch, isotropic_noise, noise_size
from empirics.training.optimizer import Numbers, Settings, TrainingStep
from empirics.training.protocol import TrainingProtocol
from empirics.training.record import WINDOW, Look, Part, Raw, SnapshotColumn, Sum, sums
from empirics.training.repeated import RepeatedStep
from empirics.training.sampling import Stream, Vectors, frozen_generator, generator
from empirics.training.schedule import Schedule
from empirics.training.state import Components, TrainingState
from empirics.training.well import check_network
from empirics.training.whole_set import WholeSet

#: Snapshots are kept in memory up to this size (bytes per shard), or this share of a card's memory if that is more;
#: beyond it they are written to disk at once.
HELD_SNAPSHOTS, HELD_SHARE = 2**28, 0.25

#: Maximum size of a training set that is evaluated as a whole.
WHOLE_SET = 4096

#: Minimum number of steps between measurements of the accuracy, each a forward pass or two.
LOOK_EVERY = 100


class Ensemble:
    """The runs of one shard: their networks, data and updates."""

    def __init__(self, experiment: NetworkExperiment, runs: Sequence[Run], data: Dataset, device: str = "cpu") -> None:
        self.experiment, self.runs, self.times = experiment, tuple(runs), experiment.times(runs)
        training, table = experiment.training, experiment.model
        self.device, self.dtype = torch.device(device), getattr(torch, training.dtype)
        kind = MODELS.get(table.name) if not table.file else OwnModel
        self.model: Model = kind.of(table, data)
        self.model.check(data.classes)
        self.components = Components(self.model.blocks)
        if experiment.measure.expected_loss and len(data.labels) > WHOLE_SET:
            size = f"{len(data.labels):,} samples (limit {WHOLE_SET:,})"
            raise ExperimentError(f"[measure] expected_loss = true: must be false with {size}")
        if experiment.measure.implicit:
            check_network(self.model)
        self.protocol: TrainingProtocol = PROTOCOLS.get(training.protocol)(training.adaptive)
        settings = Settings(training.momentum, training.beta2, training.optimizer_eps, training.scale)
        self.optimizer: TrainingStep = OPTIMIZERS.get(training.optimizer)(settings, self.model.blocks)
        self.optimizer.check()
        self.rate = self._column([run.number(AXES[training.protocol][0]) for run in self.runs])
        self.weight_decay = self._column([run.weight_decay or 0.0 for run in self.runs])
        self.radius = self._column([run.number("radius") for run in self.runs])
        self.schedule = Schedule(experiment.schedule)
        self.feeds = Feeds(experiment, self.runs, data, self.dtype, self.device)
        self.frozen = self.model.fixed(frozen_generator(table.head_seed), len(self.runs), self.dtype, self.device)
        self._start = self._draw()
        self.gradient = torch.empty_like(self._start)
        self._mark_of = {int(step): i for i, step in enumerate(self.times.marked)}
        self._point_of = _looked_at(self.times.trace)
        # On the sphere there is no norm balance; for SGD at fixed LR the gradient is sufficient.
        self._norm_counted = (training.protocol, training.optimizer) != ("fixed-lr", "sgd") and (
            training.protocol != "fixed-sphere"
        )
        self._step = self._step_gradient()
        self._noise = isotropic_noise(experiment, self.gradient, self.model, self.runs)
        # With added noise a step goes along no minibatch's gradient, and there is no batch sharpness.
        self._plain = self._noise is None and not training.noise_gain
        self.whole: WholeSet | None = None
        if experiment.measure.expected_loss:
            drawn = experiment.data.label_noise if experiment.data.fresh_noise else 0.0
            self.whole = WholeSet.of(self.model, self.frozen, self.feeds.samples, data.classes, drawn)
        self._curvature = self._probes()
        self._repeated: RepeatedStep | None = None

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def _draw(self) -> Tensor:
        radii = [self.experiment.initial_radius(run) for run in self.runs]
        generators = [generator(run) for run in self.runs]
        tensors = self.model.initial(generators, np.array(radii), self.dtype, self.device)
        return torch.cat([w.flatten(1) for w in tensors], 1)

    def _step_gradient(self) -> StepGradient:
        training = self.experiment.training
        if training.halves:
            return Halves(self.model, self.frozen, self.feeds, self.gradient, training.noise_gain)
        return WholeBatch(self.model, self.frozen, self.feeds)

    def _probes(self) -> Curvature | None:
        measure = self.experiment.measure
        if not measure.hessian_probes:
            return None
        vectors = Vectors(self.runs, self.model.dimension, Stream.PROBE, True, self.dtype, self.device)
        probes, reach = measure.hessian_probes, measure.hessian_reach
        return Curvature(self.model, self.frozen, self.feeds, vectors, probes, reach, self.whole)

    def start(self) -> TrainingState:
        """Return the state before the first step."""
        runs, times = len(self.runs), self.times

        def unknown(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.full((*shape, runs), torch.nan, dtype=dtype, device=self.device)

        flat, marks = self._start.clone(), unknown(len(self._mark_of), len(Sum))
        marks[0] = 0
        snapshots = torch.full((self.held, *flat.shape), torch.nan, dtype=self.dtype, device=self.device)
        return TrainingState(
            step=0,
            flat=flat,
            blocks=self.model.blocks,
            optimizer=self.optimizer.state(flat),
            raw=torch.zeros(WINDOW, len(Raw), runs, dtype=self.dtype, device=self.device),
            total=torch.zeros(len(Sum), runs, dtype=torch.float64, device=self.device),
            marks=marks,
            pairs=unknown(times.snapshots, len(SnapshotColumn)),
            components=torch.zeros(len(Part), len(self.components), runs, dtype=torch.float64, device=self.device),
            looks=unknown(len(times.trace), len(Look)),
            snapshots=snapshots,
            streams=self.held < times.snapshots,
        )

    @property
    def held(self) -> int:
        """Number of snapshots kept in memory at a time."""
        one = len(self.runs) * self.model.dimension * self.dtype.itemsize
        return min(self.times.snapshots, max(1, held_snapshots(self.device) // one))

    def full(self, state: TrainingState) -> bool:
        """Whether the snapshots in memory must be written to disk before the next one."""
        taken = max(0, state.step - self.times.burn_in) // self.times.spacing
        return state.streams and taken - state.held_from >= self.held

    def advance(self, state: TrainingState) -> None:
        """Do one step: gradient, statistics at the weights it was taken at, update."""
        number, rest = divmod(state.step - self.times.burn_in + 1, self.times.spacing)
        if number > 0 and rest == 0:
            self.move(state, state.step, state.rows[state.filled], self.numbers(state.step), number - 1)
        elif self.experiment.training.graph:
            if self._repeated is None or self._repeated.state is not state:
                self._repeated = RepeatedStep(self, state)
            self._repeated.advance()
        else:
            self.move(state, state.step, state.rows[state.filled], self.numbers(state.step))
        state.step += 1
        state.filled += 1
        self._written(state)

    def numbers(self, step: int) -> tuple[float, ...]:
        """What changes with the step: factors on the rates if scheduled, and the optimiser's numbers."""
        return *(() if self.schedule.constant else self.schedule.at(step)), *self.optimizer.numbers(step)

    def prepare(self, step: int) -> None:
        """Draw the random numbers of a step."""
        self.feeds.train.prepare(step)
        if self._noise is not None:
            self._noise.prepare(step)

    def move(
        self,
        state: TrainingState,
        step: int | Tensor,
        row: Sequence[Tensor],
        numbers: Numbers,
        snapshot: int | None = None,
    ) -> None:
        """Take the gradient of a step, write its statistics into the row, and update the weights.

        All that changes from step to step are arguments and memory: with its number, (1,), and its `numbers` in tensors
        the device can repeat what it did. At a snapshot, given by its number, more is measured.
        """
        flat, gradient = state.flat, self.gradient
        self._step.take(state, step, row, gradient)
        radius_sq = torch.linalg.vecdot(flat, flat, out=row[Raw.RADIUS_SQ])
        if self._noise is not None:
            self._noise.add(state, step, gradient, radius_sq)
        torch.linalg.vecdot(gradient, gradient, out=row[Raw.GRAD_SQ])
        torch.linalg.vecdot(flat, gradient, out=row[Raw.RADIAL])
        if snapshot is not None:
            self._snapshot(state, snapshot, radius_sq)
        lr, push = self._direction(state, numbers, radius_sq)
        if self._norm_counted:
            torch.linalg.vecdot(flat, push, out=row[Raw.PUSH_RADIAL])
            torch.linalg.vecdot(push, push, out=row[Raw.PUSH_SQ])
            row[Raw.LR].copy_(lr)
            if (pull := state.optimizer.get("pull")) is not None:
                row[Raw.PULL].copy_(pull)
        if snapshot is not None:
            state.pairs[snapshot, SnapshotColumn.ROTATION_SQ] = _rotation(flat, push, lr, radius_sq).square()
        flat.addcmul_(push, lr.unsqueeze(1), value=-1)
        self.protocol.constrain(flat, self.radius)

    def _direction(self, state: TrainingState, numbers: Numbers, radius_sq: Tensor) -> tuple[Tensor, Tensor]:
        """Learning rate (run,) and direction (run, d) of this step."""
        rate, weight_decay = self.rate, self.weight_decay
        if not self.schedule.constant:
            rate, weight_decay, numbers = rate * numbers[0], weight_decay * numbers[1], numbers[2:]
        lr = self.protocol.learning_rate(rate, radius_sq)
        return lr, self.optimizer.direction(state.flat, self.gradient, weight_decay, state.optimizer, numbers)

    def _written(self, state: TrainingState) -> None:
        """After a step: sum a window that is full or ends here, and record what is due at this step."""
        mark = self._mark_of.get(state.step)
        if mark is None and state.filled < WINDOW:
            return
        self.flush(state)
        if mark is not None:
            state.marks[mark] = state.total
        if (point := self._point_of.get(state.step)) is not None:
            self._look(state, point)

    def flush(self, state: TrainingState) -> None:
        """Add the steps not yet summed to the running sums, and freeze the runs that diverged in them."""
        if not state.filled:
            return
        training = self.experiment.training
        found, finite = sums(state.raw[: state.filled], training.halves, training.protocol == "fixed-elr")
        state.total += found
        state.filled = 0
        # NaN for a diverged run: from here on it does not change, and it never affects another.
        state.flat += torch.where(finite, 0.0, torch.nan).to(self.dtype).unsqueeze(1)

    def _snapshot(self, state: TrainingState, number: int, radius_sq: Tensor) -> None:
        """Keep the weights, and make the measurements that need two minibatches at the same weights."""
        flat = state.flat
        state.snapshots[number - state.held_from] = flat
        pair, row = self._step.pair(state, number, self.gradient), state.pairs[number]
        mean = (pair.first, pair.second)
        if self.whole is not None:
            row[SnapshotColumn.EXPECTED_LOSS] = self.whole.losses(flat)
            mean = (self.whole.gradient(flat),) * 2
        row[SnapshotColumn.RADIUS_SQ] = radius_sq
        row[SnapshotColumn.GRAD_MEAN_SQ] = torch.linalg.vecdot(*mean)
        row[SnapshotColumn.FIRST_LOSS], row[SnapshotColumn.SECOND_LOSS] = pair.first_loss, pair.second_loss
        along_w, grad_sq = torch.linalg.vecdot(flat, pair.first), torch.linalg.vecdot(pair.first, pair.first)
        # A minibatch that activates no unit has no gradient: 0, not 0/0. A diverged run stays NaN.
        least = torch.finfo(self.dtype).tiny
        row[SnapshotColumn.VIOLATION] = along_w.abs() / (radius_sq * grad_sq).sqrt().clamp(min=least)
        parts, dot = state.components, self.components.dot
        parts[Part.RADIUS_SQ] += dot(flat, flat)
        parts[Part.GRAD_SQ] += dot(self.gradient, self.gradient)
        parts[Part.GRAD_MEAN_SQ] += dot(*mean)
        place, rest = divmod(number, self.experiment.measure.hessian_every)
        if self._curvature is not None and rest == 0:
            isotropic = noise_size(self.experiment, self.model)
            found = self._curvature.measure(state, place, pair, self.gradient, isotropic)
            row[SnapshotColumn.LAPLACIAN], row[SnapshotColumn.HESSIAN_NOISE], row[SnapshotColumn.HESSIAN_GRADIENT] = (
                found
            )
            if self._plain:
                row[SnapshotColumn.BATCH_CURVATURE] = self._curvature.along_own(state, self.gradient)
                row[SnapshotColumn.BATCH_GRAD_SQ] = torch.linalg.vecdot(self.gradient, self.gradient) * radius_sq

    def _look(self, state: TrainingState, point: int) -> None:
        """Measure the accuracy on minibatches of the training data and of the test set."""
        row = state.looks[point]
        inputs, labels = self.feeds.look.at(point)
        _, row[Look.ACCURACY] = self.model.scores(state.weights, self.frozen, inputs, labels)
        if self.feeds.test is not None:
            inputs, labels = self.feeds.test.at(point)
            scores = self.model.scores(state.weights, self.frozen, inputs, labels)
            row[Look.TEST_LOSS], row[Look.TEST_ACCURACY] = scores


def held_snapshots(device: torch.device) -> int:
    """Bytes of snapshots that a shard keeps in the memory of a device; which are kept does not affect the numbers."""
    if device.type != "cuda":
        return HELD_SNAPSHOTS
    return max(HELD_SNAPSHOTS, int(HELD_SHARE * torch.cuda.mem_get_info(device)[1]))


def _looked_at(trace: NDArray[np.int64]) -> dict[int, int]:
    """Select the points of the trace at which accuracy is measured, with their steps: the last, and not too many.

    >>> _looked_at(np.array([60, 120, 180, 240, 250]))
    {120: 1, 240: 3, 250: 4}
    """
    chosen, before = {}, 0
    for i, step in enumerate(trace.tolist()):
        if step - before >= LOOK_EVERY or i == len(trace) - 1:
            chosen[step], before = i, step
    return chosen


def _rotation(flat: Tensor, push: Tensor, lr: Tensor, radius_sq: Tensor) -> Tensor:
    """Angle (rad) between the weights before and after the step, shape (run,), float64."""
    radial = torch.linalg.vecdot(flat, push).double() * lr / radius_sq
    across_sq = lr.double().square() * torch.linalg.vecdot(push, push) / radius_sq - radial.square()
    return torch.atan2(across_sq.clamp(min=0).sqrt(), 1 - radial)
