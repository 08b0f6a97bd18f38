"""A grid of runs of a scale-invariant network: checks across tables, runs, shards and times."""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, with the check of its values

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from empirics.data.table import Data
from empirics.experiment import AXES, Experiment, ExperimentError, Run, Shards, Times
from empirics.experiment.schema import key, show, table_of
from empirics.models.table import ModelTable
from empirics.training.tables import (
    ControlTable,
    NetworkGrid,
    NetworkMeasure,
    NetworkTraining,
    NoiseRule,
    Relaxation,
    ScheduleTable,
)


@dataclass(frozen=True)
class NetworkExperiment(Experiment):
    """A grid of runs of a scale-invariant network.

    Examples
    --------
    >>> experiment = Experiment.from_toml('''
    ... name = "small"
    ... kind = "network"
    ... seeds = [1]
    ... [data]
    ... name = "digits"
    ... [model]
    ... name = "mlp"
    ... hidden = [16]
    ... [training]
    ... protocol = "fixed-lr"
    ... optimizer = "sgd"
    ... batch_size = 32
    ... initial_radius = 3.0
    ... burn_in = 100
    ... steps = 400
    ... [grid]
    ... lr = [0.05, 0.1]
    ... weight_decay = {log10 = [-2, -1], count = 3}
    ... [measure]
    ... snapshots = 40
    ... spacing = 10
    ... [shards]
    ... runs_per_shard = 4
    ... ''')
    >>> len(experiment.runs), [len(shard) for shard in experiment.cut()]
    (6, [4, 2])
    """

    data: Data = key(table_of(Data))
    model: ModelTable = key(table_of(ModelTable))
    training: NetworkTraining = key(table_of(NetworkTraining))
    grid: NetworkGrid = key(table_of(NetworkGrid))
    measure: NetworkMeasure = key(table_of(NetworkMeasure))
    shards: Shards = key(table_of(Shards))
    schedule: ScheduleTable = key(table_of(ScheduleTable), ScheduleTable())
    control: ControlTable = key(table_of(ControlTable), ControlTable())

    def __post_init__(self) -> None:
        super().__post_init__()
        training = self.training
        self.grid.check(training.protocol)
        self._check_count(len(self.seeds) * self.grid.count(training.protocol))
        self._check_times()
        self._check_expected_loss()
        if self.schedule.weight_decay and training.protocol == "fixed-sphere":
            raise ExperimentError("[schedule] weight_decay: must be left out on the sphere, where there is none")
        largest = max(lr * decay for lr, decay in self.grid.of(training.protocol))
        if training.protocol == "fixed-lr" and largest >= 2:
            raise ExperimentError(f"[grid] lr·wd reaches {largest:g}: must be below 2, or the decay alone diverges")
        free = training.protocol != "fixed-sphere"
        if training.adaptive and free and isinstance(training.initial_radius, NoiseRule):
            raise ExperimentError(
                f"[training] initial_radius = {show(training.initial_radius)}: must be a number with optimizer = "
                f"{show(training.optimizer)}; the rule holds for SGD"
            )

    def _check_expected_loss(self) -> None:
        """Refuse the loss of the whole set where it is not the mean of the minibatch losses."""
        model = self.model
        batch_norm = not model.file and model.name not in ("transformer", "unit") and model.norm == "batch"
        if self.measure.expected_loss and batch_norm:
            raise ExperimentError(
                "[measure] expected_loss = true: must be false under BatchNorm, where the loss of all samples together "
                "is not the mean of the minibatch losses"
            )
        if self.measure.expected_loss and (self.data.flip or self.data.shift):
            raise ExperimentError("[measure] expected_loss = true: must be false with [data] flip or shift")
        if not self.measure.implicit:
            return
        if not self.measure.expected_loss:
            raise ExperimentError("[measure] implicit = true: needs expected_loss = true")
        if self.training.optimizer != "sgd":
            raise ExperimentError(
                f"[measure] implicit = true: must be false with optimizer = {show(self.training.optimizer)}; the "
                "covariance is derived for sgd"
            )

    def _check_times(self) -> None:
        """Refuse times in units that are unknown before the run."""
        spacing, training = self.measure.spacing, self.training
        if isinstance(spacing, Relaxation) and training.steps:
            raise ExperimentError(
                f"[training] steps = {training.steps}: must be left out; [measure] spacing is in relaxation times"
            )
        if training.adaptive and self._relative:
            raise ExperimentError(
                "[measure] spacing, [training] burn_in: must be numbers of steps with optimizer = "
                f"{show(training.optimizer)}, whose relaxation time is not known before the run"
            )

    @property
    def _relative(self) -> bool:
        """Whether a time is given in relaxation times."""
        return isinstance(self.measure.spacing, Relaxation) or isinstance(self.training.burn_in, Relaxation)

    def relaxation(self, run: Run) -> float:
        """Relaxation time of the directions in steps, ``1/eta_eff`` at the initial radius; see `Relaxation`."""
        gain = self.training.gain
        if run.protocol == "fixed-elr":
            return 1 / (gain * run.number("effective_lr"))
        return self.initial_radius(run) ** 2 / (gain * run.number("lr"))

    def initial_radius(self, run: Run) -> float:
        """Norm of the weights at step 0: the radius of the sphere, a given number, or the stationary radius."""
        training, rule = self.training, self.training.initial_radius
        if run.protocol == "fixed-sphere":
            return run.number("radius")
        if not isinstance(rule, NoiseRule):
            return rule
        rate = run.number(AXES[run.protocol][0]) * training.gain
        from empirics.training import laws  # loads sympy, which a status can do without

        return laws.radius(run.protocol, rate, run.number("weight_decay"), training.noise_trace)

    def times(self, runs: Sequence[Run]) -> Times:
        """The timetable of a shard, in units of the relaxation time of its slowest run where that is asked for."""
        measure, training = self.measure, self.training
        slowest = max(map(self.relaxation, runs)) if self._relative else math.nan
        burn_in, spacing = (
            asked.steps(slowest) if isinstance(asked, Relaxation) else asked
            for asked in (training.burn_in, measure.spacing)
        )
        return Times(burn_in, spacing, measure.snapshots, measure.blocks, measure.trace_points)

    def cut(self) -> tuple[tuple[Run, ...], ...]:
        """Cut the runs into shards; with times in relaxation times, runs with similar ones share a shard."""
        if not self._relative:
            return super().cut()
        size, runs = self.runs_per_shard, sorted(self.runs, key=self.relaxation)
        return tuple(tuple(runs[start : start + size]) for start in range(0, len(runs), size))

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs; the second axis of the protocol varies fastest, then the first, then the seed."""
        training = self.training
        outer, inner = AXES[training.protocol]
        return tuple(
            Run(
                **({"lr": None, "weight_decay": None} | {outer: one, inner: other}),
                seed=seed,
                protocol=training.protocol,
                optimizer=training.optimizer,
            )
            for seed in self.seeds
            for one, other in self.grid.of(training.protocol)
        )

    def told(self, runs: Sequence[Run]) -> list[Run]:
        """The labels that the results give the runs: the true ones, except in a control (`ControlTable`)."""
        found = list(runs)
        if self.control.shuffle:
            rates = ("lr", "weight_decay", "effective_lr", "radius")
            order = np.random.default_rng(0).permutation(len(found))
            found = [
                replace(run, **{name: getattr(found[other], name) for name in rates})
                for run, other in zip(found, order, strict=True)
            ]
        if as_said := self.control.protocol:
            found = [self._called(as_said, run) for run in found]
        return found

    def _called(self, protocol: str, run: Run) -> Run:
        """The run under the name of another protocol, whose axes get the values of its own."""
        values = [getattr(run, name) for name in AXES[self.training.protocol]]
        rates = {"lr": None, "weight_decay": None} | dict(zip(AXES[protocol], values, strict=True))
        return Run(seed=run.seed, protocol=protocol, optimizer=run.optimizer, **rates)
