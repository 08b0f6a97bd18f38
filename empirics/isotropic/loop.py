"""The runs of one shard of the isotropic gas: their start, their random numbers, their state, their advance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from empirics.isotropic import kernels
from empirics.isotropic.experiment import GasRun, IsotropicExperiment
from empirics.isotropic.layout import CODES, LANES, GasSum, Parameter

FloatArray = NDArray[np.float64]
AnyNumber = TypeVar("AnyNumber", np.float64, np.uint64)

#: Coordinates advanced between two returns to Python; Ctrl-C and checkpoints wait for it, below 0.3 s for 100 runs.
WORK = 1 << 16
#: Curves over time: values at the last step of an interval.
CURVES = ("radius_sq", "log_radius", "loss")


def identity(run: GasRun, dimension: int) -> bytes:
    """Return 256 bits that identify the run, and on which its random numbers depend.

    Examples
    --------
    >>> run = GasRun(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd")
    >>> identity(run, 3) == identity(run, 3), identity(run, 3) == identity(run, 4), len(identity(run, 3))
    (True, False, 32)
    """
    rates = {name: run.number(name) for name in ("lr", "effective_lr", "weight_decay", "radius")}
    named = {"protocol": run.protocol, "optimizer": run.optimizer, **rates, "start": run.start, "seed": run.seed}
    text = "|".join(["isotropic", f"d={dimension}", *(f"{name}={value!r}" for name, value in named.items())])
    return hashlib.sha256(text.encode()).digest()


def stationary_radius(experiment: IsotropicExperiment, run: GasRun) -> float:
    """Compute the stationary radius of a run in closed form; on the sphere, its radius."""
    from thermo_theory import FixedELR, FixedLR  # sympy: a second to import
    from thermo_theory.numeric.lags import muon_lags, push

    gas, training = experiment.gas, experiment.training
    noise: dict[str, Any] = {"sigma": gas.sigma, "d": gas.dimension}
    if run.protocol == "fixed-sphere":
        return run.number("radius")
    decay = run.number("weight_decay")
    if run.protocol == "fixed-elr":
        boost = 1.0 if run.optimizer == "sgd" else 1 / (1 - training.momentum)
        return float(FixedELR.radius(eta_eff=run.number("effective_lr") * boost, lam=decay, **noise))
    formula = FixedLR.with_optimizer(run.optimizer).radius
    given = {"eta": run.number("lr"), "lam": decay, "beta": training.momentum, "beta1": training.momentum} | noise
    given |= {"beta2": training.beta2}
    if training.matrix:
        rows, columns = training.matrix
        given["D"] = training.scale**2 * float(push(muon_lags(rows, columns, training.momentum)))
    return float(formula(**{name: given[name] for name in formula.arguments}))


@dataclass
class GasState:
    """The state of a shard, as saved in checkpoints."""

    step: int  # steps done
    position: FloatArray  # (group, row, lane): mu·w, |w_perp|, |w|; or the d coordinates
    first: FloatArray  # state of the optimiser, (group, d, lane); one row where it has none
    second: FloatArray  # the same
    bits: NDArray[np.uint64]  # the generators, (group, 4 · lane)
    total: FloatArray  # running sums since step 0, (group, Sum · lane)
    marks: FloatArray  # `total` at the ends of the blocks, (mark, Sum, run)
    curves: FloatArray  # (point, curve, run)
    samples: FloatArray  # the snapshots, (snapshot, lane of all groups, 1 or d)
    streams: bool = False  # all are held
    held_from: int = 0
    stored: Callable[[int], NDArray] | None = None

    def arrays(self) -> dict[str, NDArray]:
        """All of it except the step and the snapshots."""
        names = ("position", "first", "second", "bits", "total", "marks", "curves")
        return {name: getattr(self, name) for name in names}

    def put(self, arrays: Mapping[str, NDArray]) -> None:
        """Restore what :meth:`arrays` returned."""
        for name, value in self.arrays().items():
            value[...] = arrays[name]

    def kept(self, start: int, stop: int) -> NDArray:
        """Snapshots number `start` to `stop`."""
        return self.samples[start:stop]

    def put_kept(self, start: int, values: NDArray) -> None:
        """Restore snapshots from number `start` on."""
        self.samples[start : start + len(values)] = values


def _in_lanes(values: NDArray[AnyNumber]) -> NDArray[AnyNumber]:
    """Cut (..., run) into groups, (group, ..., lane); the last is filled up with the values of its first run."""
    groups = -(-values.shape[-1] // LANES)
    missing = groups * LANES - values.shape[-1]
    filled = np.concatenate([values, np.repeat(values[..., :1], missing, axis=-1)], axis=-1)
    cut = filled.reshape(*values.shape[:-1], groups, LANES)
    return np.ascontiguousarray(np.moveaxis(cut, -2, 0))


def loss_at(cos: FloatArray, sin_sq: FloatArray) -> FloatArray:
    """1 − cos without cancellation near 0."""
    with np.errstate(invalid="ignore"):  # a diverged run is NaN
        return np.where(cos > 0, sin_sq / (1 + cos), 1 - cos)


class GasTrainer:
    """The runs of one shard, all of one protocol."""

    def __init__(self, experiment: IsotropicExperiment, runs: Sequence[GasRun]) -> None:
        self.experiment, self.runs = experiment, tuple(runs)
        gas, training = experiment.gas, experiment.training
        self.on_sphere = np.array([run.protocol == "fixed-sphere" for run in self.runs])
        times = experiment.times(self.runs)
        self._steps, self.block_steps = times.marked, times.block_ends
        self.trace_steps = np.append(0, times.trace)
        self.initial_radius = np.array([self._initial_radius(run) for run in self.runs])
        self._parameters = _in_lanes(self._columns()).reshape(-1, len(Parameter) * LANES)
        tangents = gas.dimension - 1
        across = tangents / (gas.polar + tangents - 1) * tangents / (gas.axis + tangents - 1)
        self._noise = np.array(
            [gas.sigma, across * gas.polar, across, gas.axis, gas.inhomogeneity, gas.degrees_of_freedom]
        )
        rows = float(training.matrix[0]) if training.matrix else 0.0
        self._hyper = np.array([training.momentum, training.beta2, training.eps, training.scale, rows])
        self._code = CODES[training.optimizer]
        self._mu, self._axis = self._directions()
        self._stretch = max(1, min(1024, WORK // (1 if experiment.reduced else gas.dimension)))

    def _initial_radius(self, run: GasRun) -> float:
        start = self.experiment.training.initial_radius
        if run.protocol != "fixed-sphere" and not start.relative:
            return run.start
        return stationary_radius(self.experiment, run) * run.start

    def _columns(self) -> FloatArray:
        """Parameters of the runs, (Parameter, run)."""
        columns = np.zeros((len(Parameter), len(self.runs)))
        for i, run in enumerate(self.runs):
            columns[Parameter.LR, i] = run.lr or 0.0
            columns[Parameter.ELR, i] = run.number("effective_lr") if run.protocol == "fixed-elr" else 0.0
            columns[Parameter.WEIGHT_DECAY, i] = run.weight_decay or 0.0
            columns[Parameter.RADIUS, i] = run.radius or 0.0
            columns[Parameter.START_SQ, i] = self.initial_radius[i] ** 2
        return columns

    def _directions(self) -> tuple[FloatArray, FloatArray]:
        """The unit vector mu and one normal to it.

        mu is the first axis; for steps that treat coordinates separately all its coordinates are equal.
        """
        d = self.experiment.gas.dimension
        mu, axis = np.zeros(d), np.zeros(d)
        mu[0], axis[1] = 1.0, 1.0
        if self.experiment.adaptive:
            mu[:] = 1 / math.sqrt(d)
            axis[:2] = math.sqrt(0.5), -math.sqrt(0.5)
        return mu, axis

    # --------------------------------------------------------------------------------------------- start, advance
    def _draw(self) -> FloatArray:
        """Draw initial positions with uniformly random directions, (row, run)."""
        d, columns = self.experiment.gas.dimension, []
        for run, radius in zip(self.runs, self.initial_radius, strict=True):
            seed = int.from_bytes(identity(run, d), "big")
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
            if self.experiment.reduced:
                share = rng.beta((d - 1) / 2, (d - 1) / 2)  # (1 + cos)/2 on the uniform sphere
                columns.append(radius * np.array([2 * share - 1, 2 * math.sqrt(share * (1 - share)), 1.0]))
            else:
                vector = rng.standard_normal(d)
                columns.append(radius * vector / np.linalg.norm(vector))
        return np.stack(columns, axis=-1)

    def start(self) -> GasState:
        """Return the state before the first step."""
        experiment, runs = self.experiment, len(self.runs)
        d, optimizer = experiment.gas.dimension, experiment.training.optimizer
        words = np.array([np.frombuffer(identity(run, d), dtype=">u8") for run in self.runs], dtype=np.uint64)
        groups = len(self._parameters)
        kept = 1 if experiment.symmetric else d
        state = GasState(
            step=0,
            position=_in_lanes(self._draw()),
            first=np.zeros((groups, 1 if optimizer == "sgd" else d, LANES)),
            second=np.zeros((groups, d if optimizer in ("adamw", "adam-l2", "lamb") else 1, LANES)),
            bits=_in_lanes(words.T).reshape(groups, -1),
            total=np.zeros((groups, len(GasSum) * LANES)),
            marks=np.full((len(self.block_steps), len(GasSum), runs), np.nan),
            curves=np.full((len(self.trace_steps), len(CURVES), runs), np.nan),
            samples=np.full((experiment.measure.snapshots, groups * LANES, kept), np.nan),
        )
        self._write_down(state)
        return state

    def full(self, state: GasState) -> bool:
        """Never: all snapshots stay in memory."""
        return False

    def advance(self, state: GasState) -> None:
        """Advance to the next marked step, or by a number of steps that depends on the dimension alone."""
        ahead = self._steps[np.searchsorted(self._steps, state.step, side="right")]
        stop = min(int(ahead), (state.step // self._stretch + 1) * self._stretch)
        count, experiment = stop - state.step, self.experiment
        for group in range(len(self._parameters)):
            shared = (
                count,
                state.step,
                state.position[group].reshape(-1) if experiment.reduced else state.position[group],
                state.bits[group],
                self._parameters[group],
                self._noise,
                experiment.gas.dimension,
                experiment.training.burn_in,
                experiment.measure.spacing,
                state.total[group],
                state.samples,
                group * LANES,
            )
            if experiment.reduced:
                kernels.reduced(*shared)
            else:
                kernels.vectors(
                    *shared, self._mu, self._axis, self._code, self._hyper, state.first[group], state.second[group]
                )
        state.step = stop
        self._write_down(state)

    def by_run(self, values: NDArray) -> NDArray:
        """Turn (group, ..., lane) into (..., run)."""
        joined = np.moveaxis(values, 0, -2).reshape(*values.shape[1:-1], -1)
        return joined[..., : len(self.runs)]

    def _write_down(self, state: GasState) -> None:
        """Record the sums at the end of a block, and the curves at a point of the trace."""
        mark = np.searchsorted(self.block_steps, state.step)
        if mark < len(self.block_steps) and self.block_steps[mark] == state.step:
            state.marks[mark] = self.by_run(state.total.reshape(-1, len(GasSum), LANES))
        point = np.searchsorted(self.trace_steps, state.step)
        if point < len(self.trace_steps) and self.trace_steps[point] == state.step:
            state.curves[point] = self._curves(state)

    def _curves(self, state: GasState) -> FloatArray:
        position = self.by_run(state.position)
        if self.experiment.reduced:
            radius_sq, loss = position[2] ** 2, loss_at(position[0] / position[2], position[1] ** 2 / position[2] ** 2)
        else:
            radius_sq, loss = (position**2).sum(0), self.losses(position.T)
        return np.stack([radius_sq, 0.5 * np.log(radius_sq), loss])

    def losses(self, vectors: FloatArray) -> FloatArray:
        """Losses of the rows of (n, d)."""
        along, norm = vectors @ self._mu, np.linalg.norm(vectors, axis=1)
        away = np.linalg.norm(vectors - np.outer(along, self._mu), axis=1)
        return loss_at(along / norm, (away / norm) ** 2)
