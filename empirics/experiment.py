"""What to run: an experiment as frozen tables, read from and written to TOML, every key checked before any work."""

# ruff: noqa: RUF009 - `_key` makes a dataclasses.field, with the check of its values

import dataclasses
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from empirics.data import DATASETS
from empirics.models import MODELS
from empirics.registry import nearest
from empirics.training import OPTIMIZERS, PROTOCOLS

KINDS = ("network",)

# What each protocol fixes in a run: the axes of its grid, the first the rate of the steps.
AXES = {
    "fixed-lr": ("lr", "weight_decay"),
    "fixed-elr": ("effective_lr", "weight_decay"),
    "fixed-sphere": ("lr", "radius"),
}


class ExperimentError(ValueError):
    """A request that cannot be carried out as it stands; one line says what, where and what would be right."""


# ---------------------------------------------------------------------------------------------- checks of one value
# A check takes the value found and returns the value meant, or raises ValueError("must be ...").
Check = Callable[[Any], Any]


def _integer(least: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"must be an integer, {least} or more")
        return value

    return check


def _number(*, above: float | None = None, least: float | None = None) -> Check:
    bound = f" above {above:g}" if above is not None else "" if least is None else f", {least:g} or more"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"must be a finite number{bound}")
        if (above is not None and value <= above) or (least is not None and value < least):
            raise ValueError(f"must be a number{bound}")
        return float(value)

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value


def _one_of(names: tuple[str, ...]) -> Check:
    def check(value: Any) -> str:
        if value not in names:
            hint = nearest(value, names) if isinstance(value, str) else ""
            raise ValueError(f"must be one of {', '.join(map(repr, names))}{hint}")
        return str(value)

    return check


def _list_of(item: Check, plural: str) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"must be a list of {plural} that is not empty")
        items = tuple(item(each) for each in value)
        if len(set(items)) < len(items):
            raise ValueError("must not hold the same value twice")
        return items

    return check


def _rate(value: Any) -> float:
    rate: float = _number(above=0)(value)
    if not 1e-30 <= rate <= 1e30:
        raise ValueError("must lie between 1e-30 and 1e30, which float32 can hold")
    return rate


def _axis(value: Any) -> tuple[float, ...]:
    """Read a grid axis: an explicit list, or ``{log10 = [start, stop], count = n}``.

    Raises
    ------
    ValueError
        With what it must be.
    """
    if not isinstance(value, Mapping):
        return tuple(_list_of(_rate, "numbers above 0")(value))
    if set(value) != {"log10", "count"}:
        raise ValueError("must be a list of numbers or {log10 = [start, stop], count = n}")
    ends, count = value["log10"], value["count"]
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise ValueError("must have log10 = [start, stop]")
    start, stop = (_number()(end) for end in ends)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or (count > 1) != (start != stop):
        raise ValueError("must have a count of 2 or more between different ends")
    if max(abs(start), abs(stop)) > 30:
        raise ValueError("must have log10 between -30 and 30")
    # Twelve digits: the same numbers, and so the same seeds, whatever the last bit of this machine's pow.
    return tuple(float(f"{10.0**x:.12g}") for x in np.linspace(start, stop, count))


def _initial_radius(value: Any) -> "float | NoiseRule":
    if isinstance(value, NoiseRule):
        return value
    if isinstance(value, Mapping):
        if set(value) != {"noise"}:
            raise ValueError("must be a number or {noise = number}")
        return NoiseRule(_number(above=0)(value["noise"]))
    return float(_number(above=0)(value))


@dataclass(frozen=True)
class NoiseRule:
    """Start each run at the radius law's value for a guessed trace of the gradient noise at unit norm.

    ``r0 = (lr · noise / (2 · weight_decay))^(1/4)``; see ``derive("radius", FixedLR)``. At a fixed effective learning
    rate ``r0 = (effective_lr · noise / (2 · weight_decay))^(1/2)``. A guess that is wrong by a factor costs burn-in,
    not correctness.
    """

    noise: float

    def radius(self, lr: float, weight_decay: float) -> float:
        """Compute the starting radius of one run.

        Examples
        --------
        >>> NoiseRule(10.0).radius(lr=0.032, weight_decay=0.01)
        2.0
        """
        return float((lr * self.noise / (2 * weight_decay)) ** 0.25)

    def radius_at_elr(self, effective_lr: float, weight_decay: float) -> float:
        """Compute the starting radius of one run at a fixed effective learning rate.

        Examples
        --------
        >>> NoiseRule(10.0).radius_at_elr(effective_lr=0.032, weight_decay=0.01)
        4.0
        """
        return float((effective_lr * self.noise / (2 * weight_decay)) ** 0.5)


# ---------------------------------------------------------------------------------------------------------- tables
def _key(check: Check, default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class _Table:
    """A frozen table whose fields are checked however it is made: from TOML, in Python, by ``dataclasses.replace``."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if check := field.metadata.get("check"):
                value = getattr(self, field.name)
                try:
                    object.__setattr__(self, field.name, check(value))
                except ValueError as error:
                    raise ExperimentError(f"{self._where(field.name)} = {_show(value)}: {error}") from None

    @classmethod
    def _where(cls, key: str) -> str:
        title = TITLES.get(cls)
        return f"[{title}] {key}" if title else key

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> Self:
        """Build the table from TOML's; unknown and missing keys are refused.

        Raises
        ------
        ExperimentError
            For the first key that is unknown, missing or wrong.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key in found:
            if key not in fields:
                raise ExperimentError(f"unknown key {cls._where(key)}{nearest(key, tuple(fields))}")
        for name, field in fields.items():
            if field.default is dataclasses.MISSING and name not in found:
                raise ExperimentError(f"{cls._where(name)} is missing")
        return cls(**found)


@dataclass(frozen=True)
class Data(_Table):
    """``[data]``: which samples, and what is done to them, in this order.

    Attributes
    ----------
    name
        A data set of :mod:`empirics.data`.
    path
        images: the folder or tar file; arrays: the .npz file.
    modulus
        modular-addition: the number that sums are taken modulo.
    classes
        Classes that are kept, by name or number; all by default.
    samples
        Number of samples that are kept, the first of every class in turn; 0 for all.
    components, whiten
        Turn the inputs to so many principal components (0: all, if they are whitened), each of variance 1 if whitened.
    label_noise
        Share of the labels that are replaced by a class drawn from all.
    fresh_noise
        Draw them anew for every minibatch; else once and for all, with the seed `noise_seed`.
    """

    name: str = _key(_one_of(DATASETS.names))
    path: str = _key(lambda value: _maybe_text(value), "")
    modulus: int = _key(_integer(2), 97)
    classes: tuple[str, ...] = _key(lambda value: _class_names(value), ())
    samples: int = _key(_integer(0), 0)
    components: int = _key(_integer(0), 0)
    whiten: bool = _key(_flag, False)
    label_noise: float = _key(lambda value: _share(value), 0.0)
    fresh_noise: bool = _key(_flag, False)
    noise_seed: int = _key(_integer(0), 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in ("images", "arrays") and not self.path:
            raise ExperimentError(f"[data] path is missing: data set {self.name!r} is read from there")
        if self.name not in ("images", "arrays") and self.path:
            raise ExperimentError(f"[data] path: must be left out, data set {self.name!r} is not read from a file")
        if self.fresh_noise and not self.label_noise:
            raise ExperimentError("[data] fresh_noise = true: must be false without label_noise")


def _maybe_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _class_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(each, (str, int)) and not isinstance(each, bool) for each in value
    ):
        raise ValueError("must be a list of names or numbers of classes")
    names = tuple(map(str, value))
    if len(names) == 1 or len(set(names)) < len(names):
        raise ValueError("must be two different classes or more")
    return names


@dataclass(frozen=True)
class ModelTable(_Table):
    """``[model]``: which network.

    Attributes
    ----------
    name
        A network of :mod:`empirics.models`, or one that `file` registers.
    file, remainder
        A Python file of the user's with a network of their own (:mod:`empirics.models.own`), and what becomes of the
        tensors in it that are not scale-invariant: ``"freeze"``, ``"refuse"`` or ``"train"``.
    hidden
        mlp: widths of the hidden layers.
    width
        convnet and resnet18: channels of the first layer (the multiplier k); transformer: of the residual stream.
    depth, heads
        transformer: layers, and attention heads of each.
    norm
        mlp: ``"batch"``, ``"layer"`` or ``"rms"``.
    eps
        The normalisation's addition to the variance; must be negligible for scale invariance.
    affine
        mlp: train BatchNorm's scales and shifts (they break scale invariance).
    head_norm
        Frobenius norm of the frozen last layer.
    head_seed
        Seed of the frozen last layer. It is part of the loss, so all runs of the experiment share it.
    """

    name: str = _key(_text)
    hidden: tuple[int, ...] = _key(lambda value: _widths(value), ())
    eps: float = _key(_number(least=0), 1e-12)
    affine: bool = _key(_flag, False)
    head_norm: float = _key(_number(above=0), 10.0)
    head_seed: int = _key(_integer(0), 0)
    width: int = _key(_integer(1), 4)
    depth: int = _key(_integer(1), 2)
    heads: int = _key(_integer(1), 2)
    norm: str = _key(_one_of(("batch", "layer", "rms")), "batch")
    file: str = _key(lambda value: _maybe_text(value), "")
    remainder: str = _key(_one_of(("freeze", "refuse", "train")), "freeze")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            if not self.file:
                _one_of(MODELS.names)(self.name)
        except ValueError as error:
            raise ExperimentError(f"[model] name = {_show(self.name)}: {error}") from None
        if self.file:
            if self.hidden or self.affine or self.norm != "batch":
                raise ExperimentError("[model] hidden, affine, norm: must be left out, the network is that of the file")
            return
        if self.name == "mlp" and not self.hidden:
            raise ExperimentError("[model] hidden = []: must be a list of widths that is not empty")
        if self.name != "mlp" and self.hidden:
            raise ExperimentError(f"[model] hidden: must be left out, {self.name!r} has a width instead")
        if self.affine and (self.name, self.norm) != ("mlp", "batch"):
            raise ExperimentError("[model] affine = true: must be false but for name = 'mlp' with norm = 'batch'")
        if self.norm != "batch" and self.name != "mlp":
            raise ExperimentError(f"[model] norm = {_show(self.norm)}: must be left out, {self.name!r} has its own")
        if self.name == "transformer" and self.width % self.heads:
            raise ExperimentError(f"[model] heads = {self.heads}: must divide width = {self.width} without a rest")


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of widths that is not empty")
    return tuple(_integer(1)(width) for width in value)


@dataclass(frozen=True)
class Training(_Table):
    """``[training]``: how.

    Attributes
    ----------
    protocol, optimizer
        Names of :mod:`empirics.training`.
    batch_size
        Images a step, drawn with replacement, independently for every run.
    initial_radius
        A number, or ``{noise = c}``: the radius law's value for tr Σ = c. Not used on the sphere.
    burn_in, steps
        Steps before measuring, and measured steps.
    dtype
        Precision of weights and gradients; statistics are always summed in float64.
    momentum, beta2, optimizer_eps
        Decay of the average of gradients (Adam's beta1) and of squared gradients; Adam's addition to their root.
    """

    protocol: str = _key(_one_of(PROTOCOLS.names))
    optimizer: str = _key(_one_of(OPTIMIZERS.names))
    batch_size: int = _key(_integer(2))
    burn_in: int = _key(_integer(0))
    steps: int = _key(_integer(1))
    initial_radius: float | NoiseRule = _key(_initial_radius, NoiseRule(10.0))
    dtype: str = _key(_one_of(("float32", "float64")), "float32")
    momentum: float = _key(lambda value: _share(value), 0.9)
    beta2: float = _key(lambda value: _share(value), 0.999)
    optimizer_eps: float = _key(_number(least=0), 1e-8)

    @property
    def adaptive(self) -> bool:
        """Whether the optimiser divides every gradient component by its own root mean square."""
        return self.optimizer in ("adamw", "adam-l2")


def _share(value: Any) -> float:
    found: float = _number(least=0)(value)
    if found >= 1:
        raise ValueError("must be a number from 0 to below 1")
    return found


@dataclass(frozen=True)
class Grid(_Table):
    """``[grid]``: the two axes that the protocol fixes (`AXES`), every pair a run; the others are left out."""

    lr: tuple[float, ...] = _key(lambda value: _optional_axis(value), ())
    weight_decay: tuple[float, ...] = _key(lambda value: _optional_axis(value), ())
    effective_lr: tuple[float, ...] = _key(lambda value: _optional_axis(value), ())
    radius: tuple[float, ...] = _key(lambda value: _optional_axis(value), ())

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
    return () if isinstance(value, (list, tuple)) and not value else _axis(value)


@dataclass(frozen=True)
class Measure(_Table):
    """``[measure]``: what is kept of a run.

    Attributes
    ----------
    snapshots, spacing
        Number of weight vectors kept for the entropy, and steps between them; their product is the measured part.
    blocks
        Consecutive parts of the measured steps whose means give the error bars.
    trace_points
        Points of the curves over time, burn-in included; fewer if the run has fewer steps.
    keep_snapshots
        Keep the weight vectors in the results (large) once the entropy is known.
    """

    snapshots: int = _key(_integer(8))
    spacing: int = _key(_integer(1))
    blocks: int = _key(_integer(8), 20)
    trace_points: int = _key(_integer(2), 200)
    keep_snapshots: bool = _key(_flag, False)


@dataclass(frozen=True)
class Shards(_Table):
    """``[shards]``: how many runs advance together. Part of the experiment, because it may fix the last bit."""

    runs_per_shard: int = _key(_integer(1))


@dataclass(frozen=True)
class Run:
    """One run of the grid: what its random numbers depend on, and nothing else.

    What a protocol does not fix is NaN: the weight decay on the sphere, the learning rate at fixed effective one.

    Examples
    --------
    >>> print(Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd"))
    fixed-lr, sgd, lr = 0.1, weight_decay = 0.01, seed = 1
    """

    lr: float
    weight_decay: float
    seed: int
    protocol: str
    optimizer: str
    effective_lr: float = math.nan
    radius: float = math.nan

    def __str__(self) -> str:
        rates = {name: getattr(self, name) for name in ("lr", "effective_lr", "weight_decay", "radius")}
        labels = [f"{name} = {value:g}" for name, value in rates.items() if not math.isnan(value)]
        return ", ".join([self.protocol, self.optimizer, *labels, f"seed = {self.seed}"])


def _table(kind: type[_Table]) -> Check:
    def check(value: Any) -> _Table:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table, [{TITLES[kind]}]")
        return kind.from_mapping(value)

    return check


@dataclass(frozen=True)
class Experiment(_Table):
    """A grid of runs, completely described; the same experiment gives the same numbers.

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

    name: str = _key(_text)
    kind: str = _key(_one_of(KINDS))
    seeds: tuple[int, ...] = _key(_list_of(_integer(0), "integers, 0 or more,"))
    data: Data = _key(_table(Data))
    model: ModelTable = _key(_table(ModelTable))
    training: Training = _key(_table(Training))
    grid: Grid = _key(_table(Grid))
    measure: Measure = _key(_table(Measure))
    shards: Shards = _key(_table(Shards))

    def __post_init__(self) -> None:
        super().__post_init__()
        measure, training = self.measure, self.training
        if measure.snapshots * measure.spacing != training.steps:
            raise ExperimentError(
                f"[training] steps = {training.steps}: must be [measure] snapshots × spacing = {measure.snapshots} × "
                f"{measure.spacing} = {measure.snapshots * measure.spacing}"
            )
        if measure.snapshots % measure.blocks:
            raise ExperimentError(
                f"[measure] blocks = {measure.blocks}: must divide snapshots = {measure.snapshots} without a rest"
            )
        self.grid.check(training.protocol)
        if training.protocol == "fixed-lr" and (largest := max(self.grid.lr) * max(self.grid.weight_decay)) >= 2:
            raise ExperimentError(
                f"[grid] lr × weight_decay = {largest:g} at its largest: must be below 2, or the decay alone diverges"
            )
        if training.adaptive and training.protocol == "fixed-elr":
            raise ExperimentError(
                f"[training] optimizer = {_show(training.optimizer)}: must be 'sgd', 'momentum' or 'nesterov' at fixed "
                "ELR (an Adam step turns the weights by lr / r, not lr / r²)"
            )
        if training.adaptive and training.protocol == "fixed-lr" and isinstance(training.initial_radius, NoiseRule):
            raise ExperimentError(
                f"[training] initial_radius = {_show(training.initial_radius)}: must be a number with optimizer = "
                f"{_show(training.optimizer)}, the rule is that of SGD"
            )

    @property
    def total_steps(self) -> int:
        """Steps of one run, burn-in included."""
        return self.training.burn_in + self.training.steps

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the protocol's second axis varying fastest, then its first, then the seed."""
        training = self.training
        outer, inner = AXES[training.protocol]
        return tuple(
            Run(
                **({"lr": math.nan, "weight_decay": math.nan} | {outer: one, inner: other}),
                seed=seed,
                protocol=training.protocol,
                optimizer=training.optimizer,
            )
            for seed in self.seeds
            for one in getattr(self.grid, outer)
            for other in getattr(self.grid, inner)
        )

    def cut(self) -> tuple[tuple[Run, ...], ...]:
        """Cut the runs into shards, each of `runs_per_shard` runs (the last may have fewer)."""
        size, runs = self.shards.runs_per_shard, self.runs
        return tuple(runs[start : start + size] for start in range(0, len(runs), size))

    # -------------------------------------------------------------------------------------------- files
    @classmethod
    def from_toml(cls, text: str, source: str = "experiment") -> Self:
        """Read an experiment from TOML text.

        Parameters
        ----------
        text
            The TOML.
        source
            What the text is called in messages, e.g. the file's name.

        Raises
        ------
        ExperimentError
            If the text is not TOML, or any key is unknown, missing or wrong.
        """
        try:
            return cls.from_mapping(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ExperimentError(f"{source} is not TOML: {error}") from None
        except ExperimentError as error:
            raise ExperimentError(f"{source}: {error}") from None

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an experiment file.

        Raises
        ------
        ExperimentError
            If the file cannot be read, or what it holds is refused.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a text file"
            raise ExperimentError(f"cannot read the experiment file {path}: {reason}") from None
        return cls.from_toml(text, str(path))

    def to_toml(self) -> str:
        """Write the experiment as TOML that :meth:`from_toml` reads back to an equal one."""
        lines = [f"{key} = {_show(value)}" for key, value in self._items() if not isinstance(value, _Table)]
        for key, table in self._items():
            if isinstance(table, _Table):
                lines += ["", f"[{key}]"]
                lines += [f"{f.name} = {_show(getattr(table, f.name))}" for f in dataclasses.fields(table)]
        return "\n".join(lines) + "\n"

    def difference(self, other: "Experiment") -> str | None:
        """Find the first key whose values differ, with both of them, or None if the experiments are the same."""
        for (key, mine), (_, theirs) in zip(self._flat(), other._flat(), strict=True):
            if mine != theirs:
                return f"{key} = {_show(theirs)}, not {_show(mine)}"
        return None

    def _items(self) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(self):
            yield field.name, getattr(self, field.name)

    def _flat(self) -> Iterator[tuple[str, Any]]:
        for key, value in self._items():
            if isinstance(value, _Table):
                for field in dataclasses.fields(value):
                    yield value._where(field.name), getattr(value, field.name)
            else:
                yield key, value


TITLES: dict[type[_Table], str] = {
    Data: "data",
    ModelTable: "model",
    Training: "training",
    Grid: "grid",
    Measure: "measure",
    Shards: "shards",
}


def _show(value: Any) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, NoiseRule):
        return f"{{noise = {value.noise!r}}}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_show(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_show(each) for each in value) + "]"
    return repr(value)
