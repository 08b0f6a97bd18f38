"""Experiment files of kind ``isotropic``: the gas, the protocols, the grid."""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, with the check of its values

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from empirics.experiment import Experiment, Run, Shards
from empirics.experiment.optimizers import (
    GRADIENT,
    OPTIMIZERS,
    OptimizerTable,
    check_protocols,
    own_share,
    take_defaults,
)
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
    show,
    table_of,
)

PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")
#: What each protocol fixes: its axes of the grid.
AXES = {
    "fixed-lr": ("lr", "weight_decay"),
    "fixed-elr": ("effective_lr", "weight_decay"),
    "fixed-sphere": ("effective_lr", "radius"),
}


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


def _matrix(value: Any) -> tuple[int, ...]:
    """Rows and columns; nothing where there is no matrix."""
    if not isinstance(value, (list, tuple)) or len(value) not in (0, 2):
        raise ValueError("must be [rows, columns]")
    return tuple(integer(1)(one) for one in value)


@dataclass(frozen=True)
class Start:
    """Initial radii: numbers, or multiples of the stationary radius in closed form; one run each."""

    radii: tuple[float, ...]  # the numbers
    relative: bool  # whether they are multiples of the stationary radius

    def to_toml(self) -> str:
        """Write the starts as in an experiment file."""
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
class GasTable(TomlTable):
    """``[gas]``: the loss 1 − mu·w/|w| in d dimensions, and the noise of its gradients.

    At unit norm the noise has the covariance sigma² (I − w wᵀ). Each of the other keys removes one of its properties.

    Attributes
    ----------
    dimension
        Number d of weights.
    sigma
        Standard deviation of the noise per direction at unit norm.
    polar
        Variance along the tangent that points away from mu, relative to the other tangents; the trace is preserved.
    axis
        Variance along a fixed direction normal to mu, relative to the others, before projection onto the tangents;
        the trace at mu is preserved.
    inhomogeneity
        Makes the variance (1 + inhomogeneity · loss) sigma².
    degrees_of_freedom
        Degrees of freedom of a multivariate Student t of the same covariance; inf for normal noise.
    """

    TITLE: ClassVar[str] = "gas"

    dimension: int = key(integer(2))
    sigma: float = key(number(above=0), 1.0)
    polar: float = key(number(above=0), 1.0)
    axis: float = key(number(above=0), 1.0)
    inhomogeneity: float = key(number(least=0), 0.0)
    degrees_of_freedom: float = key(_degrees, math.inf)


@dataclass(frozen=True)
class GasTraining(OptimizerTable):
    """``[training]``: protocols, optimiser and length.

    Attributes
    ----------
    protocols
        One or a list of ``fixed-lr``, ``fixed-elr``, ``fixed-sphere``.
    burn_in, steps
        Steps before measuring, and measured steps.
    optimizer
        ``sgd``, ``momentum``, ``nesterov``, ``adamw`` or ``adam-l2``, as in torch.optim; with decoupled weight decay
        ``signsgd``, ``lion``, ``normalised-sgd`` (the gradient over its norm) or ``muon`` (the polar factor, exact); at
        fixed LR also ``lars`` or ``lamb``, with the decay inside the direction that is scaled to the weights' norm.
    momentum, beta2, eps
        Momentum coefficient (beta1 of Adam, Lion and LAMB), decay of the average of squared gradients (of Lion's
        average), and Adam's epsilon. By default 0.9 (muon 0.95; lars 0) and 0.999 (lion 0.99).
    matrix, scale
        For ``muon``: rows and columns of the one matrix that the weights are, and what multiplies its polar factor.
    initial_radius
        Numbers, or ``{stationary = multiples}`` of the stationary radius in closed form; one run each. Unused on the
        sphere.
    vectors
        Advance all d coordinates even where two numbers per run suffice (SGD).
    """

    TITLE: ClassVar[str] = "training"

    protocols: tuple[str, ...] = key(_protocols)
    burn_in: int = key(integer(0))
    steps: int = key(integer(1))
    optimizer: str = key(one_of(tuple(OPTIMIZERS)), "sgd")
    momentum: float = key(own_share, None)
    beta2: float = key(own_share, None)
    eps: float = key(number(least=0), 0.0)
    initial_radius: Start = key(_start, Start((1.0,), True))
    vectors: bool = key(flag, False)
    matrix: tuple[int, ...] = key(_matrix, ())
    scale: float = key(number(above=0), 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        take_defaults(self)
        check_protocols(self.optimizer, *self.protocols)
        if bool(self.matrix) != (self.optimizer == "muon"):
            right = "must be [rows, columns] with" if self.optimizer == "muon" else "must be left out without"
            raise ExperimentError(f'[training] matrix = {show(self.matrix)}: {right} optimizer = "muon"')
        if self.optimizer == "lars" and self.momentum and self.initial_radius.relative:
            raise ExperimentError(
                f"[training] initial_radius = {show(self.initial_radius)}: must be numbers for LARS with momentum, of "
                "which no radius is derived"
            )


@dataclass(frozen=True)
class GasGrid(TomlTable):
    """``[grid]``: for every protocol the axes it fixes; every pair is a run.

    Attributes
    ----------
    lr, effective_lr, weight_decay, radius
        Lists of numbers: `lr` and `weight_decay` for `fixed-lr`, `effective_lr` and `weight_decay` for `fixed-elr`,
        `effective_lr` and `radius` for `fixed-sphere`.
    """

    TITLE: ClassVar[str] = "grid"

    lr: tuple[float, ...] = key(optional_axis, ())
    effective_lr: tuple[float, ...] = key(optional_axis, ())
    weight_decay: tuple[float, ...] = key(optional_axis, ())
    radius: tuple[float, ...] = key(optional_axis, ())


@dataclass(frozen=True)
class GasMeasure(TomlTable):
    """``[measure]``: what is measured, and what is kept.

    Attributes
    ----------
    snapshots, spacing
        Number of snapshots for the entropy, and steps between them; their product is the number of measured steps. A
        snapshot is the loss, or the whole vector if the directions are not distributed symmetrically about mu.
    blocks
        Consecutive blocks of the measured steps, whose means give the error bars.
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
    """One run; `start` is its initial radius, or a multiple of the stationary one. It is unused on the sphere."""

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

    gas: GasTable = key(table_of(GasTable))
    training: GasTraining = key(table_of(GasTraining))
    grid: GasGrid = key(table_of(GasGrid))
    measure: GasMeasure = key(table_of(GasMeasure))
    shards: Shards = key(table_of(Shards), Shards(160))

    def __post_init__(self) -> None:
        super().__post_init__()
        training = self.training
        used = {name: protocol for protocol in training.protocols for name in AXES[protocol]}
        for name in ("lr", "effective_lr", "weight_decay", "radius"):
            values = getattr(self.grid, name)
            if name in used and not values:
                raise ExperimentError(f"[grid] {name} is missing: protocol {used[name]!r} needs it")
            if name not in used and values:
                protocols = ", ".join(map(repr, training.protocols))
                raise ExperimentError(f"[grid] {name}: must be left out; no protocol of {protocols} uses it")
        sizes = [math.prod(len(getattr(self.grid, name)) for name in AXES[protocol]) for protocol in training.protocols]
        self._check_count(len(self.seeds) * len(training.initial_radius.radii) * sum(sizes))
        optimizer, matrix = training.optimizer, training.matrix
        if optimizer not in GRADIENT and "fixed-elr" in training.protocols:
            raise ExperimentError(
                f"[training] optimizer = {show(optimizer)}: must be 'sgd', 'momentum' or 'nesterov' at fixed ELR (a "
                "step of fixed length turns the weights by lr / r, not lr / r²)"
            )
        if matrix and math.prod(matrix) != self.gas.dimension:
            raise ExperimentError(
                f"[training] matrix = {show(matrix)}: rows × columns must be [gas] dimension = {self.gas.dimension}"
            )

    @property
    def adaptive(self) -> bool:
        """Whether the optimiser treats every coordinate of the gradient by itself, so that the axes matter."""
        return self.training.optimizer in ("adamw", "adam-l2", "signsgd", "lion", "lamb")

    @property
    def symmetric(self) -> bool:
        """Whether directions are distributed symmetrically about mu, so that the loss determines their entropy."""
        return self.gas.axis == 1 and not self.adaptive and self.training.optimizer != "muon"

    @property
    def reduced(self) -> bool:
        """Whether (mu·w, |w_perp|) is advanced instead of the vector."""
        return self.symmetric and self.training.optimizer == "sgd" and not self.training.vectors

    def _runs_of(self, protocol: str) -> tuple[GasRun, ...]:
        outer, inner = AXES[protocol]
        starts = (1.0,) if protocol == "fixed-sphere" else self.training.initial_radius.radii
        optimizer, runs = self.training.optimizer, []
        for seed, start, one, other in product(
            self.seeds, starts, getattr(self.grid, outer), getattr(self.grid, inner)
        ):
            fixed = {"lr": None, "weight_decay": None, outer: one, inner: other}
            if protocol == "fixed-sphere":
                fixed["lr"] = one * other**2
            runs.append(GasRun(**fixed, seed=seed, protocol=protocol, optimizer=optimizer, start=start))
        return tuple(runs)

    @property
    def runs(self) -> tuple[GasRun, ...]:
        """All runs, protocol by protocol; in each the last axis varies fastest, then the first, the start, the seed."""
        return tuple(run for protocol in self.training.protocols for run in self._runs_of(protocol))

    def cut(self) -> tuple[tuple[GasRun, ...], ...]:
        """Cut the runs into shards, each of one protocol."""
        size = self.runs_per_shard
        whole = [self._runs_of(protocol) for protocol in self.training.protocols]
        return tuple(runs[start : start + size] for runs in whole for start in range(0, len(runs), size))
