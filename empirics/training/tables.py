"""The tables of a network's experiment file, every key checked before any work."""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, with the check of its values

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from empirics.experiment import AXES
from empirics.experiment.schema import (
    ExperimentError,
    Section,
    axis,
    flag,
    integer,
    key,
    list_of,
    number,
    one_of,
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
    """Start each run at the stationary radius for a guessed trace of the gradient noise at unit norm.

    See :func:`empirics.training.laws.radius`. A guess that is off by a factor costs burn-in, not correctness.
    """

    noise: float

    def to_toml(self) -> str:
        """Write the rule as an experiment file has it."""
        return f"{{noise = {self.noise!r}}}"


@dataclass(frozen=True)
class Relaxation:
    """A number of steps given in relaxation times of the directions, ``1/eta_eff`` steps each, rounded up.

    ``1/eta_eff`` is known before a run at a fixed effective learning rate and on the sphere; at a fixed learning rate
    it is that of the starting radius, which the rule ``{noise = c}`` puts near the stationary one, with the noise that
    `noise_gain` and `isotropic_share` add. A direction in a
    basin of curvature h (nat, at unit norm) relaxes in ``1/(eta_eff h)`` steps.
    """

    times: float

    def to_toml(self) -> str:
        """Write the number as an experiment file has it."""
        return f"{{relaxation = {self.times!r}}}"

    def steps(self, slowest: float) -> int:
        """Steps, for runs of which the slowest relaxes in so many.

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
class NetworkTraining(Section):
    """``[training]``: how.

    Attributes
    ----------
    protocol
        `fixed-lr`, `fixed-elr` or `fixed-sphere`.
    optimizer
        `sgd`, `momentum`, `nesterov`, `adamw` or `adam-l2`, as torch.optim has them.
    batch_size
        Images a step, drawn with replacement.
    minibatches
        ``"independent"``: every run draws its own; ``"shared"``: all runs of a seed see the same images in the same
        order (differences over the grid are then free of the noise they share, and no evidence for a Maxwell relation).
    halves
        Take the gradient of a minibatch as the mean over its two halves, each by itself. What is measured of the noise
        then needs no pass of its own. Without BatchNorm nothing else changes; BatchNorm takes the statistics of a half.
    noise_gain
        c: the update uses ``(g1 + g2)/2 + c (g1 - g2)/2`` of the halves' gradients, noise of the same shape and of
        ``1 + c^2`` times the covariance.
    isotropic_noise
        s (nat): gradient noise of standard deviation ``s/r`` in every direction along the spheres is added.
    isotropic_share
        In its place the share q of all noise that it is to be, if the minibatch's is what `initial_radius` guesses:
        ``m s^2 = q/(1 - q) (1 + noise_gain^2) c``, m the number of directions.
    initial_radius
        A number, or ``{noise = c}``: the radius law's value for tr Σ = c. Here c is that of the minibatch alone: what
        `noise_gain` and `isotropic_share` make of it is counted, `isotropic_noise` is not. Not used on the sphere.
    burn_in, steps
        Steps before measuring (or ``{relaxation = number}``), and measured steps; 0 where [measure] spacing is given in
        relaxation times.
    dtype
        Precision of weights and gradients; statistics are always summed in float64.
    momentum, beta2, optimizer_eps
        Decay of the average of gradients (Adam's beta1) and of squared gradients; Adam's addition to their root.
    """

    TITLE: ClassVar[str] = "training"

    protocol: str = key(one_of(PROTOCOLS.names))
    optimizer: str = key(one_of(OPTIMIZERS.names))
    batch_size: int = key(integer(2))
    burn_in: int | Relaxation = key(_steps_or_relaxation(0))
    steps: int = key(integer(0), 0)
    initial_radius: float | NoiseRule = key(_initial_radius, NoiseRule(10.0))
    dtype: str = key(one_of(("float32", "float64")), "float32")
    momentum: float = key(lambda value: share(value), 0.9)
    beta2: float = key(lambda value: share(value), 0.999)
    optimizer_eps: float = key(number(least=0), 1e-8)
    minibatches: str = key(one_of(("independent", "shared")), "independent")
    halves: bool = key(flag, False)
    noise_gain: float = key(number(least=0), 0.0)
    isotropic_noise: float = key(number(least=0), 0.0)
    isotropic_share: float = key(lambda value: share(value), 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.halves and (self.batch_size < 4 or self.batch_size % 2):
            raise ExperimentError(
                f"[training] batch_size = {self.batch_size}: must be even and 4 or more, it is to be cut into halves"
            )
        if self.noise_gain and not self.halves:
            raise ExperimentError(f"[training] noise_gain = {self.noise_gain:g}: must be 0 without halves = true")
        if self.isotropic_share:
            said = f"[training] isotropic_share = {self.isotropic_share:g}"
            if self.isotropic_noise:
                raise ExperimentError(f"{said}: must be left out with isotropic_noise, they say the same")
            if not isinstance(self.initial_radius, NoiseRule):
                raise ExperimentError(f"{said}: needs initial_radius = {{noise = c}}, it is a share of that noise")

    @property
    def noise_trace(self) -> float:
        """Trace of the covariance of a step's gradient at unit norm, as the rule ``{noise = c}`` guesses it, or NaN.

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
        """Whether the optimiser divides every gradient component by its own root mean square."""
        return self.optimizer in ("adamw", "adam-l2")

    @property
    def gain(self) -> float:
        """The factor by which momentum multiplies a constant gradient in the long run, and so the learning rate."""
        return 1 / (1 - self.momentum) if self.optimizer in ("momentum", "nesterov") else 1.0


@dataclass(frozen=True)
class Grid(Section):
    """``[grid]``: the two axes that the protocol fixes, every pair a run; the others are left out.

    Attributes
    ----------
    lr, weight_decay, effective_lr, radius
        Lists of numbers: `fixed-lr` takes `lr` and `weight_decay`, `fixed-elr` `effective_lr` and `weight_decay`,
        `fixed-sphere` `lr` and `radius`.
    """

    TITLE: ClassVar[str] = "grid"

    lr: tuple[float, ...] = key(lambda value: _optional_axis(value), ())
    weight_decay: tuple[float, ...] = key(lambda value: _optional_axis(value), ())
    effective_lr: tuple[float, ...] = key(lambda value: _optional_axis(value), ())
    radius: tuple[float, ...] = key(lambda value: _optional_axis(value), ())

    def check(self, protocol: str) -> None:
        """Refuse axes that the protocol lacks or does not use.

        Raises
        ------
        ExperimentError
            For the first such axis.
        """
        for field in dataclasses.fields(self):
            values, used = getattr(self, field.name), field.name in AXES[protocol]
            if used and not values:
                raise ExperimentError(
                    f"[grid] {field.name} = []: must be a list of numbers that is not empty, {protocol} needs it"
                )
            if values and not used:
                raise ExperimentError(
                    f"[grid] {field.name}: must be left out, {protocol} uses {' and '.join(AXES[protocol])}"
                )


def _optional_axis(value: Any) -> tuple[float, ...]:
    return () if isinstance(value, (list, tuple)) and not value else axis(value)


@dataclass(frozen=True)
class Measure(Section):
    """``[measure]``: what is kept of a run.

    Attributes
    ----------
    snapshots, spacing
        Number of weight vectors kept for the entropy, and steps between them; their product is the measured part. With
        ``spacing = {relaxation = number}`` each shard has its own, that of its slowest run, and shards are cut so that
        runs that relax alike are together.
    blocks
        Consecutive parts of the measured steps whose means give the error bars.
    trace_points
        Points of the curves over time, burn-in included; fewer if the run has fewer steps.
    keep_snapshots
        Keep the weight vectors in the results (large) once the entropy is known.
    expected_loss
        Take the variance of the loss from that of the whole training set at the snapshots, the label noise averaged:
        sharp, for data sets that are small enough. Else it is the covariance of two minibatches' losses.
    hessian_probes, hessian_every
        Random probes of the Hessian's trace at every so-many-th snapshot, two gradients each, and four more for the
        curvature along the noise and along the gradient; 0 for none.
    hessian_reach
        Way to each side of the weights (rad) between whose ends the gradients are compared. What is measured is the
        mean curvature along it: short against what the directions spread over, or the kinks of ReLU make it noisy.
    """

    TITLE: ClassVar[str] = "measure"

    snapshots: int = key(integer(8))
    spacing: int | Relaxation = key(_steps_or_relaxation(1))
    blocks: int = key(integer(8), 20)
    trace_points: int = key(integer(2), 200)
    keep_snapshots: bool = key(flag, False)
    expected_loss: bool = key(flag, False)
    hessian_probes: int = key(integer(0), 0)
    hessian_every: int = key(integer(1), 1)
    hessian_reach: float = key(number(above=0), 0.01)


@dataclass(frozen=True)
class ScheduleTable(Section):
    """``[schedule]``: factors on the grid's learning rates (or effective ones) and weight decays over time; optional.

    Attributes
    ----------
    step
        Steps at which the factors are given, increasing, the first 0; after the last they stay.
    lr, weight_decay
        The factors, above 0, one a step.
    between
        How they go from one to the next: ``"log"`` (straight lines in the logarithm), ``"linear"``, ``"cosine"`` or
        ``"step"`` (they stay until the next).
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
        """The step from which both factors stay as they are."""
        found = 0
        for factors in filter(None, (self.lr, self.weight_decay)):
            changes = [i for i in range(1, len(factors)) if factors[i] != factors[i - 1]]
            found = max(found, self.step[changes[-1]] if changes else 0)
        return found


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
class ControlTable(Section):
    """``[control]``: results that are labelled wrongly on purpose, to see that no claim passes on them; optional.

    Attributes
    ----------
    protocol
        Another protocol that the results are said to be of; its axes get the numbers of the true ones.
    shuffle
        Deal the pairs of the grid's two axes out to the runs anew, by chance.
    """

    TITLE: ClassVar[str] = "control"

    protocol: str = key(lambda value: _maybe_protocol(value), "")
    shuffle: bool = key(flag, False)


def _maybe_protocol(value: Any) -> str:
    found = str(value)
    return one_of(PROTOCOLS.names)(found) if found else ""
