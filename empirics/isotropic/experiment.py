"""Experiment files of kind ``isotropic``: the gas, the protocols, the grid."""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, with the check of its values

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from empirics.experiment import Experiment, Run, Shards
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
    show,
    table_of,
)

PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adamw", "adam-l2")
#: What each protocol fixes: its axes of the grid.
AXES = {
    "fixed-lr": ("lr", "weight_decay"),
    "fixed-elr": ("effective_lr", "weight_decay"),
    "fixed-sphere": ("effective_lr", "radius"),
}


def _share(value: Any) -> float:
    found: float = number(least=0)(value)
    if found >= 1:
        raise ValueError("must be a number, 0 or more and below 1")
    return found


def _degrees(value: Any) -> float:
    if value == math.inf:
        return math.inf
    try:
        return float(number(above=2)(value))
    except ValueError:
        raise ValueError("must be a number above 2 (so that the variance exists), or inf for normal noise") from None


def _protocols(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = list_of(one_of(PROTOCOLS), "protocols")([value] if isinstance(value, str) else value)
    return found


def _optional_axis(value: Any) -> tuple[float, ...]:
    # Not given, or written by to_toml as an empty list.
    return () if isinstance(value, (list, tuple)) and not value else tuple(axis(value))


@dataclass(frozen=True)
class Start:
    """Initial radii: numbers, or multiples of the closed formula's stationary radius; every one a run.

    Attributes
    ----------
    radii
        The numbers.
    relative
        Whether they multiply the stationary radius.
    """

    radii: tuple[float, ...]
    relative: bool

    def to_toml(self) -> str:
        """Write the starts as an experiment file has them."""
        return f"{{stationary = {show(self.radii)}}}" if self.relative else show(self.radii)


def _start(value: Any) -> Start:
    if isinstance(value, Start):
        return value
    relative = isinstance(value, Mapping)
    if relative:
        if set(value) != {"stationary"}:
            raise ValueError("must be a number, a list of numbers, or {stationary = multiples}")
        value = value["stationary"]
    values = value if isinstance(value, (list, tuple)) else [value]
    return Start(list_of(number(above=0), "numbers above 0")(values), relative)


@dataclass(frozen=True)
class Gas(Section):
    """``[gas]``: the loss 1 − mu·w/|w| in d dimensions, and the noise of its minibatch gradients.

    At unit norm the noise has the covariance sigma² (I − w wᵀ). The knobs take one of its properties away each.

    Attributes
    ----------
    dimension
        Number d of weights.
    sigma
        Standard deviation of the noise along a tangent, at unit norm.
    polar
        Variance along the tangent that points away from mu, over that along the other tangents; the trace is kept.
    axis
        Variance along a fixed direction normal to mu, over that along the others, before projection on the tangents;
        the trace at mu is kept.
    inhomogeneity
        The variance is 1 + inhomogeneity · loss times sigma².
    degrees_of_freedom
        Of a multivariate Student t of the same covariance; inf for normal noise.
    """

    TITLE: ClassVar[str] = "gas"

    dimension: int = key(integer(2))
    sigma: float = key(number(above=0), 1.0)
    polar: float = key(number(above=0), 1.0)
    axis: float = key(number(above=0), 1.0)
    inhomogeneity: float = key(number(least=0), 0.0)
    degrees_of_freedom: float = key(_degrees, math.inf)


@dataclass(frozen=True)
class GasTraining(Section):
    """``[training]``: how.

    Attributes
    ----------
    protocols
        One or a list of ``fixed-lr``, ``fixed-elr``, ``fixed-sphere``.
    burn_in, steps
        Steps before measuring, and measured steps.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adamw`` or ``adam-l2``, as torch.optim has them.
    momentum, beta2, eps
        Decay of the average of gradients (beta1 for Adam) and of squared gradients; Adam's addition to their root.
    initial_radius
        Numbers, or ``{stationary = multiples}`` of the closed formula's radius; every one makes a run. Not used on the
        sphere.
    vectors
        Advance all d coordinates even where two numbers suffice (SGD).
    """

    TITLE: ClassVar[str] = "training"

    protocols: tuple[str, ...] = key(_protocols)
    burn_in: int = key(integer(0))
    steps: int = key(integer(1))
    optimizer: str = key(one_of(OPTIMIZERS), "sgd")
    momentum: float = key(_share, 0.9)
    beta2: float = key(_share, 0.999)
    eps: float = key(number(least=0), 0.0)
    initial_radius: Start = key(_start, Start((1.0,), True))
    vectors: bool = key(flag, False)


@dataclass(frozen=True)
class Grid(Section):
    """``[grid]``: for every protocol the axes it fixes, every pair a run.

    Attributes
    ----------
    lr, effective_lr, weight_decay, radius
        Lists of numbers: `fixed-lr` takes `lr` and `weight_decay`, `fixed-elr` `effective_lr` and `weight_decay`,
        `fixed-sphere` `effective_lr` and `radius`.
    """

    TITLE: ClassVar[str] = "grid"

    lr: tuple[float, ...] = key(_optional_axis, ())
    effective_lr: tuple[float, ...] = key(_optional_axis, ())
    weight_decay: tuple[float, ...] = key(_optional_axis, ())
    radius: tuple[float, ...] = key(_optional_axis, ())


@dataclass(frozen=True)
class Measure(Section):
    """``[measure]``: what is kept of a run.

    Attributes
    ----------
    snapshots, spacing
        Number of snapshots for the entropy, and steps between them; their product is the measured part. A snapshot is
        the loss, or the whole vector where the law of the directions is not symmetric about mu.
    blocks
        Consecutive parts of the measured steps whose means give the error bars.
    trace_points
        Points of the curves over time, burn-in included.
    keep_snapshots
        Keep the snapshots in the results once the entropy is known.
    """

    TITLE: ClassVar[str] = "measure"

    snapshots: int = key(integer(8))
    spacing: int = key(integer(1))
    blocks: int = key(integer(8), 20)
    trace_points: int = key(integer(2), 200)
    keep_snapshots: bool = key(flag, False)


@dataclass(frozen=True)
class GasRun(Run):
    """One run; `start` is its initial radius, or the multiple of the stationary one. On the sphere it is not used."""

    start: float = 1.0


@dataclass(frozen=True)
class IsotropicExperiment(Experiment):
    """A grid of runs of the exactly solvable gas.

    Examples
    --------
    >>> experiment = Experiment.from_toml('''
    ... name = "small"
    ... kind = "isotropic"
    ... seeds = [1]
    ... [gas]
    ... dimension = 3
    ... [training]
    ... protocols = ["fixed-lr", "fixed-sphere"]
    ... burn_in = 100
    ... steps = 1000
    ... [grid]
    ... lr = [0.01, 0.02]
    ... weight_decay = [0.01, 0.02, 0.03]
    ... effective_lr = [0.01]
    ... radius = [1.0, 2.0]
    ... [measure]
    ... snapshots = 100
    ... spacing = 10
    ... ''')
    >>> len(experiment.runs), [len(shard) for shard in experiment.cut()]
    (8, [6, 2])
    """

    gas: Gas = key(table_of(Gas))
    training: GasTraining = key(table_of(GasTraining))
    grid: Grid = key(table_of(Grid))
    measure: Measure = key(table_of(Measure))
    shards: Shards = key(table_of(Shards), Shards(160))

    def __post_init__(self) -> None:
        super().__post_init__()
        used = {name: protocol for protocol in self.training.protocols for name in AXES[protocol]}
        for name in ("lr", "effective_lr", "weight_decay", "radius"):
            values = getattr(self.grid, name)
            if name in used and not values:
                raise ExperimentError(f"[grid] {name} is missing: protocol {used[name]!r} needs it")
            if name not in used and values:
                protocols = ", ".join(map(repr, self.training.protocols))
                raise ExperimentError(f"[grid] {name}: must be left out, no protocol of {protocols} uses it")
        if self.adaptive and "fixed-elr" in self.training.protocols:
            raise ExperimentError(
                f"[training] optimizer = {show(self.training.optimizer)}: must be 'sgd', 'momentum' or 'nesterov' at "
                "fixed ELR (an Adam step turns the weights by lr / r, not lr / r²)"
            )

    @property
    def adaptive(self) -> bool:
        """Whether the optimiser divides every coordinate of the gradient by its own root mean square."""
        return self.training.optimizer in ("adamw", "adam-l2")

    @property
    def symmetric(self) -> bool:
        """Whether the law of the directions is symmetric about mu, and so fixed by the law of the loss."""
        return self.gas.axis == 1 and not self.adaptive

    @property
    def reduced(self) -> bool:
        """Whether (mu·w, |w_perp|) is advanced instead of the vector."""
        return self.symmetric and self.training.optimizer == "sgd" and not self.training.vectors

    @property
    def plan(self) -> tuple[Measure, GasTraining]:
        """The tables ``[measure]`` and ``[training]``."""
        return self.measure, self.training

    @property
    def runs_per_shard(self) -> int:
        """How many runs advance together."""
        return self.shards.runs_per_shard

    def _runs_of(self, protocol: str) -> tuple[GasRun, ...]:
        outer, inner = AXES[protocol]
        starts = (1.0,) if protocol == "fixed-sphere" else self.training.initial_radius.radii
        runs = []
        for seed in self.seeds:
            for start in starts:
                for one in getattr(self.grid, outer):
                    for other in getattr(self.grid, inner):
                        fixed = {outer: one, inner: other}
                        if protocol == "fixed-sphere":
                            fixed["lr"] = one * other**2
                        rates = {"lr": None, "weight_decay": None} | fixed
                        runs.append(
                            GasRun(
                                **rates,
                                seed=seed,
                                protocol=protocol,
                                optimizer=self.training.optimizer,
                                start=start,
                            )
                        )
        return tuple(runs)

    @property
    def runs(self) -> tuple[GasRun, ...]:
        """All runs: a protocol after the other, in each the last axis varying fastest, then the first, start, seed."""
        return tuple(run for protocol in self.training.protocols for run in self._runs_of(protocol))

    def cut(self) -> tuple[tuple[GasRun, ...], ...]:
        """Cut the runs into shards, each of one protocol."""
        size = self.runs_per_shard
        whole = [self._runs_of(protocol) for protocol in self.training.protocols]
        return tuple(runs[start : start + size] for runs in whole for start in range(0, len(runs), size))
