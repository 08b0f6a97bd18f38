"""The tables of a network's experiment file; every key is checked before any work."""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, with the check of its values

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from empirics.experiment import AXES
from empirics.experiment.optimizers import GRADIENT, OptimizerTable, check_protocols, own_share, take_defaults
from empirics.experiment.schema import (
    ExperimentError,
    TomlTable,
    flag,
    integer,
    key,
    list_of,
    number,
    one_of,
    optional_axis,
    rate,
    share,
)
from empirics.training import OPTIMIZERS, PROTOCOLS


def _initial_radius(value: Any) -> "float | NoiseRule":
    if isinstance(value, NoiseRule):
        return value
    if isinstance(value, Mapping):
        if set(value) != {"noise"}:
            raise ValueError("must be a number or {noise = number}")
        return NoiseRule(number(above=0)(value["noise"]))
    return float(number(above=0)(value))


@dataclass(frozen=True)
class NoiseRule:
    """Start each run at the stationary radius for an estimated trace of the gradient noise at unit norm.

    See :func:`empirics.training.laws.radius`. An estimate that is off by a factor costs burn-in, not correctness.
    """

    noise: float

    def to_toml(self) -> str:
        """Write the rule as in an experiment file."""
        return f"{{noise = {self.noise!r}}}"


@dataclass(frozen=True)
class Relaxation:
    """A number of steps given in relaxation times of the directions, ``1/eta_eff`` steps each, rounded up.

    ``1/eta_eff`` is known beforehand at fixed ELR and on the sphere. At fixed LR it is taken at the initial radius,
    which the rule ``{noise = c}`` places near the stationary one, counting the noise that `noise_gain` and
    `isotropic_share` add. A direction in a basin of curvature h (nat, at unit norm) relaxes in ``1/(eta_eff h)`` steps.
    """

    times: float

    def to_toml(self) -> str:
        """Write the number as in an experiment file."""
        return f"{{relaxation = {self.times!r}}}"

    def steps(self, slowest: float) -> int:
        """Return the number of steps, given the relaxation time of the slowest run in steps.

        Examples
        --------
        >>> Relaxation(4.0).steps(slowest=12.6)
        51
        """
        return max(1, math.ceil(self.times * slowest - 1e-9))


def _steps_or_relaxation(least: int) -> Any:
    plain = integer(least)

    def check(value: Any) -> int | Relaxation:
        if isinstance(value, Relaxation):
            return value
        if isinstance(value, Mapping):
            if set(value) != {"relaxation"}:
                raise ValueError(f"must be an integer, {least} or more, or {{relaxation = number}}")
            return Relaxation(float(number(above=0)(value["relaxation"])))
        found: int = plain(value)
        return found

    return check


@dataclass(frozen=True)
class NetworkTraining(OptimizerTable):
    """``[training]``: protocol, optimiser and length.

    Attributes
    ----------
    protocol
        `fixed-lr`, `fixed-elr` or `fixed-sphere`.
    optimizer
        `sgd`, `momentum`, `nesterov`, `adamw` or `adam-l2`, as in torch.optim; with decoupled weight decay `signsgd`,
        `lion`, `normalised-sgd` (the gradient over its norm, of all weights together) or `muon` (the exact polar factor
        of every tensor, a convolution being a matrix with one row per output, a scale or shift one of one column); at
        fixed LR also `lars` or `lamb`, with the decay inside the direction, which is scaled to the norm of each tensor.
    batch_size
        Samples per step.
    minibatches
        ``"independent"``: every run draws its own, with replacement; ``"epochs"``: its own without replacement, all
        samples in a new order in every epoch (the noise of an epoch then adds up to zero; a step takes samples that the
        weights have not been fitted to since the last epoch, so its loss is above that of the whole set, and its
        gradient is not centred on that of the set); ``"shared"``: all runs of a seed see the same samples in the same
        order (differences over the grid are then free of shared noise, but no evidence for a Maxwell relation).
    halves
        Compute the gradient of a minibatch as the mean of the gradients of its two halves. Measuring the noise then
        needs no extra pass. Without BatchNorm nothing else changes; BatchNorm uses the statistics of each half.
    noise_gain
        c: the update uses ``(g1 + g2)/2 + c (g1 - g2)/2`` of the halves' gradients: noise of the same shape with
        ``1 + c^2`` times the covariance.
    isotropic_noise
        s (nat): adds gradient noise of standard deviation ``s/r`` per direction along the spheres.
    isotropic_share
        Alternative to `isotropic_noise`: its share q of all noise, if the minibatch noise is the c of `initial_radius`:
        ``m s^2 = q/(1 - q) (1 + noise_gain^2) c``, with m the number of directions.
    initial_radius
        A number, or ``{noise = c}``: the stationary radius for tr Σ = c, where c is the trace of the minibatch noise
        alone; `noise_gain` and `isotropic_share` are accounted for, `isotropic_noise` is not. Unused on the sphere.
    burn_in, steps
        Steps before measuring (or ``{relaxation = number}``), and measured steps; `steps` is 0 if [measure] spacing is
        given in relaxation times.
    dtype
        Precision of weights and gradients; statistics are always summed in float64.
    momentum, beta2, optimizer_eps
        Momentum coefficient (beta1 of Adam, Lion and LAMB), decay of the average of squared gradients (of Lion's
        average), and Adam's epsilon. By default 0.9 (muon 0.95; lars 0) and 0.999 (lion 0.99).
    scale
        What multiplies the polar factors in Muon's steps.
    deterministic
        Use torch's deterministic algorithms, which on a GPU give the same bits when a run is repeated on the same card,
        at some cost in speed. On CPUs repeated runs agree in every bit anyway.
    graph
        On a CUDA device, record a step once as a CUDA graph and replay it: one launch per step, except at snapshots.
        Not with Muon, whose singular values wait for the device. On a CPU it gains nothing and gives the same bits.
    """

    TITLE: ClassVar[str] = "training"

    protocol: str = key(one_of(PROTOCOLS.names))
    optimizer: str = key(one_of(OPTIMIZERS.names))
    batch_size: int = key(integer(2))
    burn_in: int | Relaxation = key(_steps_or_relaxation(0))
    steps: int = key(integer(0), 0)
    initial_radius: float | NoiseRule = key(_initial_radius, NoiseRule(10.0))
    dtype: str = key(one_of(("float32", "float64")), "float32")
    momentum: float = key(own_share, None)
    beta2: float = key(own_share, None)
    optimizer_eps: float = key(number(least=0), 1e-8)
    minibatches: str = key(one_of(("independent", "epochs", "shared")), "independent")
    halves: bool = key(flag, False)
    noise_gain: float = key(number(least=0), 0.0)
    isotropic_noise: float = key(number(least=0), 0.0)
    isotropic_share: float = key(share, 0.0)
    scale: float = key(number(above=0), 1.0)
    deterministic: bool = key(flag, False)
    graph: bool = key(flag, False)

    def __post_init__(self) -> None:
        super().__post_init__()
        take_defaults(self)
        check_protocols(self.optimizer, self.protocol)
        if self.halves and (self.batch_size < 4 or self.batch_size % 2):
            raise ExperimentError(
                f"[training] batch_size = {self.batch_size}: must be even and 4 or more with halves = true"
            )
        if self.noise_gain and not self.halves:
            raise ExperimentError(f"[training] noise_gain = {self.noise_gain:g}: must be 0 without halves = true")
        if self.graph and self.optimizer == "muon":
            raise ExperimentError('[training] graph = true: must be false with optimizer = "muon", whose steps wait')
        if self.isotropic_share:
            said = f"[training] isotropic_share = {self.isotropic_share:g}"
            if self.isotropic_noise:
                raise ExperimentError(f"{said}: must be left out with isotropic_noise, which it replaces")
            if not isinstance(self.initial_radius, NoiseRule):
                raise ExperimentError(f"{said}: needs initial_radius = {{noise = c}}: it is a share of that noise")

    @property
    def noise_trace(self) -> float:
        """Trace of the gradient covariance of a step at unit norm, by the rule ``{noise = c}``; NaN without it.

        Examples
        --------
        >>> NetworkTraining("fixed-lr", "sgd", 8, 0, initial_radius=NoiseRule(2.0), isotropic_share=0.75).noise_trace
        8.0
        """
        if not isinstance(self.initial_radius, NoiseRule):
            return math.nan
        return self.initial_radius.noise * (1 + self.noise_gain**2) / (1 - self.isotropic_share)

    @property
    def adaptive(self) -> bool:
        """Whether steps are as long for small gradients as for large ones."""
        return self.optimizer not in GRADIENT

    @property
    def gain(self) -> float:
        """The factor by which momentum multiplies a constant gradient in the long run, and so the learning rate."""
        return 1 / (1 - self.momentum) if self.optimizer in ("momentum", "nesterov") else 1.0


@dataclass(frozen=True)
class NetworkGrid(TomlTable):
    """``[grid]``: the two axes that the protocol fixes, every pair a run, or `pairs`; the other axes are left out.

    Attributes
    ----------
    lr, weight_decay, effective_lr, radius
        Lists of numbers: `lr` and `weight_decay` for `fixed-lr`, `effective_lr` and `weight_decay` for `fixed-elr`,
        `lr` and `radius` for `fixed-sphere`.
    pairs
        In place of the axes, a list of pairs of their values, for grids that are no rectangle: symmetry orbits, say,
        along which lr·wd is constant and lr/wd varies by orders of magnitude.
    """

    TITLE: ClassVar[str] = "grid"

    lr: tuple[float, ...] = key(optional_axis, ())
    weight_decay: tuple[float, ...] = key(optional_axis, ())
    effective_lr: tuple[float, ...] = key(optional_axis, ())
    radius: tuple[float, ...] = key(optional_axis, ())
    pairs: tuple[tuple[float, float], ...] = key(lambda value: _pairs(value), ())

    def check(self, protocol: str) -> None:
        """Refuse the first axis that is missing, or that the protocol does not use."""
        axes = dict.fromkeys(name for names in AXES.values() for name in names)
        if self.pairs:
            if given := [name for name in axes if getattr(self, name)]:
                raise ExperimentError(f"[grid] {given[0]}: must be left out with pairs, which replace the axes")
            return
        for name in axes:
            values, used = getattr(self, name), name in AXES[protocol]
            if used and not values:
                raise ExperimentError(
                    f"[grid] {name} = []: must be a list of numbers that is not empty; {protocol} needs it"
                )
            if values and not used:
                raise ExperimentError(
                    f"[grid] {name}: must be left out; {protocol} uses {' and '.join(AXES[protocol])}"
                )

    def count(self, protocol: str) -> int:
        """Number of runs per seed, without a list of them."""
        return len(self.pairs) or math.prod(len(getattr(self, name)) for name in AXES[protocol])

    def of(self, protocol: str) -> tuple[tuple[float, float], ...]:
        """Values of the protocol's axes in every run of a seed; the second axis varies fastest.

        Examples
        --------
        >>> NetworkGrid(lr=(0.1, 0.2), weight_decay=(0.01,)).of("fixed-lr")
        ((0.1, 0.01), (0.2, 0.01))
        """
        return self.pairs or tuple(itertools.product(*(getattr(self, name) for name in AXES[protocol])))


@dataclass(frozen=True)
class NetworkMeasure(TomlTable):
    """``[measure]``: what is measured, and what is kept.

    Attributes
    ----------
    snapshots, spacing
        Number of weight vectors kept for the entropy, and steps between them; their product is the number of measured
        steps. With ``spacing = {relaxation = number}`` each shard has the spacing of its slowest run, and runs with
        similar relaxation times share a shard.
    blocks
        Consecutive blocks of the measured steps, whose means give the error bars.
    trace_points
        Points of the curves over time, burn-in included; fewer if the run has fewer steps.
    keep_snapshots
        Keep the weight vectors in the results (large) once the entropy is known.
    expected_loss
        Take the loss, the mean gradient and the probed Hessian at the snapshots over the whole training set, averaged
        over label noise: precise, for small data sets. Otherwise they are those of independent minibatches.
    implicit
        Predict the covariance of the directions, the fluctuations of the loss and the mean squared gradient from H and
        Sigma, taken from all samples at the mean direction of every run (claim V10): for SGD, with `expected_loss`, for
        networks that are all scale-invariant. A run costs two gradients of the whole set for each weight, and one of
        every sample; with more than 2,048 weights only the covariance of the 32 stiffest directions is predicted, at
        some 300 gradients of the whole set.
    hessian_probes, hessian_every
        Number of random probes of the Hessian's trace, at two gradients each, and at every how many snapshots they are
        taken, with six more gradients for the curvature along the noise, along the gradient, and of the minibatch along
        its own gradient; 0 probes for none. With `expected_loss` and as many probes as weights the trace is exact.
    hessian_reach
        Half the length (rad) of the interval around the weights over which the curvature is averaged, from the
        gradients at its ends: short compared with the spread of the directions, but not so short that the kinks of ReLU
        make it noisy.
    """

    TITLE: ClassVar[str] = "measure"

    snapshots: int = key(integer(8))
    spacing: int | Relaxation = key(_steps_or_relaxation(1))
    blocks: int = key(integer(8), 20)
    trace_points: int = key(integer(2), 200)
    keep_snapshots: bool = key(flag, False)
    expected_loss: bool = key(flag, False)
    implicit: bool = key(flag, False)
    hessian_probes: int = key(integer(0), 0)
    hessian_every: int = key(integer(1), 1)
    hessian_reach: float = key(number(above=0), 0.01)


@dataclass(frozen=True)
class ScheduleTable(TomlTable):
    """``[schedule]``: factors on the (effective) learning rates and weight decays of the grid over time; optional.

    Attributes
    ----------
    step
        Steps at which the factors are given, increasing from 0; after the last the factors are constant.
    lr, weight_decay
        The factors, above 0, one per entry of `step`.
    between
        Interpolation between them: ``"log"`` (linear in the logarithm), ``"linear"``, ``"cosine"`` or ``"step"``
        (piecewise constant).
    """

    TITLE: ClassVar[str] = "schedule"

    step: tuple[int, ...] = key(lambda value: _knots(value), ())
    lr: tuple[float, ...] = key(lambda value: _factors(value), ())
    weight_decay: tuple[float, ...] = key(lambda value: _factors(value), ())
    between: str = key(one_of(("log", "linear", "cosine", "step")), "log")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lr", "weight_decay"):
            if (found := getattr(self, name)) and len(found) != len(self.step):
                raise ExperimentError(
                    f"[schedule] {name}: must be one factor for each of the {len(self.step)} numbers of [schedule] step"
                )
        if self.step and not (self.lr or self.weight_decay):
            raise ExperimentError("[schedule] step: must be left out without factors lr or weight_decay")

    @property
    def settled(self) -> int:
        """The step from which both factors are constant."""
        found = 0
        for factors in filter(None, (self.lr, self.weight_decay)):
            changes = [i for i in range(1, len(factors)) if factors[i] != factors[i - 1]]
            found = max(found, self.step[changes[-1]] if changes else 0)
        return found


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("must be a list of pairs of numbers above 0")
    return rate(value[0]), rate(value[1])


def _pairs(value: Any) -> tuple[tuple[float, float], ...]:
    return tuple(list_of(_pair, "pairs")(value)) if value or not isinstance(value, (list, tuple)) else ()


def _knots(value: Any) -> tuple[int, ...]:
    found = tuple(list_of(integer(0), "steps")(value)) if value else ()
    if found and (found[0] != 0 or any(b <= a for a, b in itertools.pairwise(found))):
        raise ValueError("must be a list of increasing steps that begins with 0")
    return found


def _factors(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of numbers above 0")
    return tuple(float(number(above=0)(each)) for each in value)


@dataclass(frozen=True)
class ControlTable(TomlTable):
    """``[control]``: results that are mislabelled on purpose, to check that no claim passes on them; optional.

    Attributes
    ----------
    protocol
        Another protocol to label the results with; its axes get the values of the true ones.
    shuffle
        Permute the pairs of grid values among the runs at random.
    """

    TITLE: ClassVar[str] = "control"

    protocol: str = key(lambda value: _maybe_protocol(value), "")
    shuffle: bool = key(flag, False)


def _maybe_protocol(value: Any) -> str:
    found = str(value)
    return one_of(PROTOCOLS.names)(found) if found else ""
