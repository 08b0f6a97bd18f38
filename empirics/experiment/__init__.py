"""What to run: an experiment as frozen tables, read from and written to TOML. Every key is checked before any work."""

import dataclasses
import math
import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from empirics.experiment.registry import Registry
from empirics.experiment.schema import (
    MOST_RUNS,
    ExperimentError,
    TomlTable,
    integer,
    key,
    list_of,
    one_of,
    show,
    text,
)

__all__ = [
    "KINDS",
    "Experiment",
    "ExperimentError",
    "Run",
    "Times",
]

KINDS = Registry(
    "kind",
    {
        "network": "empirics.training.experiment:NetworkExperiment",
        "isotropic": "empirics.isotropic.experiment:IsotropicExperiment",
    },
)

# What each protocol fixes: the axes of its grid. The first is the learning rate.
AXES = {
    "fixed-lr": ("lr", "weight_decay"),
    "fixed-elr": ("effective_lr", "weight_decay"),
    "fixed-sphere": ("lr", "radius"),
}


#: Strings and comments of TOML; what begins with a digit; and numbers whose underscores, if any, separate thousands.
_ASIDE = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
_NUMBER, _GROUPED = re.compile(r"(?<![\w.])\d[\w.\-+]*"), re.compile(r"\d{1,3}(_\d{3})*([.eE][^_]*)?|[^_]*")


def _check_underscores(text: str) -> None:
    """Refuse underscores that do not separate thousands: TOML reads 1_5, meant as 1.5 or 1e-5, as 15."""
    for found in _NUMBER.findall(_ASIDE.sub('""', text)):
        if not _GROUPED.fullmatch(found):
            raise ExperimentError(f"{found} is not a number: underscores must separate thousands, as in 10_000")


def parsed_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    ExperimentError
        If it is none, is nested too deeply, or has a number of thousands of digits; it names the source.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{source} is not TOML: {error}") from None


@dataclass(frozen=True)
class Times:
    """The timetable of a shard, in steps.

    Examples
    --------
    >>> times = Times(burn_in=5, spacing=2, snapshots=10, blocks=2, trace_points=5)
    >>> times.total, times.trace.tolist(), times.block_ends.tolist()
    (25, [5, 10, 15, 20, 25], [5, 15, 25])
    """

    burn_in: int  # steps before measuring
    spacing: int  # steps between snapshots
    snapshots: int  # how many there are: times `spacing`, the measured part
    blocks: int  # consecutive blocks of the measured steps, whose means give the error bars
    trace_points: int  # points of the curves over time

    @property
    def steps(self) -> int:
        """Measured steps."""
        return self.snapshots * self.spacing

    @property
    def total(self) -> int:
        """All steps, burn-in included."""
        return self.burn_in + self.steps

    @property
    def trace(self) -> NDArray[np.int64]:
        """Steps at which the points of the curves over time end."""
        return np.unique(np.linspace(0, self.total, self.trace_points + 1).astype(np.int64))[1:]

    @property
    def block_ends(self) -> NDArray[np.int64]:
        """Steps at which blocks begin and end."""
        return self.burn_in + self.steps // self.blocks * np.arange(self.blocks + 1)

    @property
    def marked(self) -> NDArray[np.int64]:
        """Steps at which running sums are stored, from 0."""
        return np.union1d(np.append(0, self.trace), self.block_ends)


@dataclass(frozen=True)
class Shards(TomlTable):
    """``[shards]``: how the grid is cut. Part of the experiment, because the last bit may depend on it.

    Attributes
    ----------
    runs_per_shard
        Number of runs that advance together.
    """

    TITLE: ClassVar[str] = "shards"

    runs_per_shard: int = key(integer(1))


@dataclass(frozen=True)
class Run:
    """One run of the grid: all that its random numbers depend on.

    What a protocol does not fix is None (weight decay on the sphere, lr at fixed ELR), so that equal runs are equal.

    Examples
    --------
    >>> print(Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd"))
    fixed-lr, sgd, lr = 0.1, weight_decay = 0.01, seed = 1
    """

    lr: float | None
    weight_decay: float | None
    seed: int
    protocol: str
    optimizer: str
    effective_lr: float | None = None
    radius: float | None = None

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in ("lr", "effective_lr", "weight_decay", "radius")}
        labels = [f"{name} = {value:g}" for name, value in values.items() if value is not None]
        return ", ".join([self.protocol, self.optimizer, *labels, f"seed = {self.seed}"])

    def number(self, name: str) -> float:
        """Return a rate or radius for arithmetic, NaN where the protocol does not fix it.

        Examples
        --------
        >>> Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd").number("radius")
        nan
        """
        value = getattr(self, name)
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Experiment(TomlTable, ABC):
    """A complete description of a grid of runs; the same experiment gives the same numbers.

    What else it holds depends on its kind: :class:`empirics.training.experiment.NetworkExperiment`,
    :class:`empirics.isotropic.experiment.IsotropicExperiment`. The functions that read one return the right class.
    """

    name: str = key(text)
    kind: str = key(one_of(KINDS.names))
    seeds: tuple[int, ...] = key(list_of(integer(0), "integers, each 0 or more,"))

    def __post_init__(self) -> None:
        super().__post_init__()
        measure, training = self.plan
        if isinstance(measure.spacing, int) and measure.snapshots * measure.spacing != training.steps:
            raise ExperimentError(
                f"[training] steps = {training.steps}: must be [measure] snapshots × spacing = {measure.snapshots} × "
                f"{measure.spacing} = {measure.snapshots * measure.spacing}"
            )
        if measure.snapshots % measure.blocks:
            raise ExperimentError(
                f"[measure] blocks = {measure.blocks}: must divide snapshots = {measure.snapshots} evenly"
            )

    @property
    def _tables(self) -> Any:
        """The experiment itself, for the tables that every kind has, each of a class of its own."""
        return self

    @property
    def plan(self) -> tuple[Any, Any]:
        """The tables ``[measure]`` and ``[training]``."""
        return self._tables.measure, self._tables.training

    @property
    def folder(self) -> Path:
        """Where the results go if no folder is given: a folder in ``runs``, which its name must not leave.

        Raises
        ------
        ExperimentError
            If the name is a path.
        """
        if self.name in (".", "..") or set(self.name) & set("/\\\0"):
            raise ExperimentError(f"name = {show(self.name)}: names no folder in runs/; give an output folder (--out)")
        return Path("runs") / self.name

    def times(self, runs: Sequence[Run]) -> Times:
        """Return the timetable of a shard.

        Parameters
        ----------
        runs
            The runs of one shard.
        """
        measure, training = self.plan
        return Times(training.burn_in, measure.spacing, measure.snapshots, measure.blocks, measure.trace_points)

    @property
    @abstractmethod
    def runs(self) -> tuple[Run, ...]:
        """All runs, in the order of the results."""

    @property
    def runs_per_shard(self) -> int:
        """Number of runs that advance together."""
        return int(self._tables.shards.runs_per_shard)

    @property
    def total_steps(self) -> int:
        """Steps of the longest run, burn-in included."""
        return max(self.times(shard).total for shard in self.cut())

    def cut(self) -> tuple[tuple[Run, ...], ...]:
        """Cut the runs into shards, each of `runs_per_shard` runs (the last may have fewer)."""
        size, runs = self.runs_per_shard, self.runs
        return tuple(runs[start : start + size] for start in range(0, len(runs), size))

    def told(self, runs: Sequence[Run]) -> list[Run]:
        """Return the labels that the results give the runs: the true ones, except in a control."""
        return list(runs)

    # -------------------------------------------------------------------------------------------- files
    @classmethod
    def from_toml(cls, text: str, source: str = "experiment") -> Self:
        """Read an experiment from TOML text.

        Parameters
        ----------
        text
            The TOML.
        source
            What messages call the text, e.g. the name of the file.

        Raises
        ------
        ExperimentError
            If the text is not TOML, or any key is unknown, missing or wrong.
        """
        found = parsed_toml(text, source)
        try:
            _check_underscores(text)
            return cls._of_kind(found).from_mapping(found)
        except ExperimentError as error:
            raise ExperimentError(f"{source}: {error}") from None

    @classmethod
    def _of_kind(cls, found: Mapping[str, Any]) -> type[Self]:
        """Find the class of the kind named in the TOML.

        Raises
        ------
        ExperimentError
            If the kind is missing, unknown, or not one that this class reads.
        """
        if "kind" not in found:
            raise ExperimentError("kind is missing")
        try:
            of_kind = KINDS.get(one_of(KINDS.names)(found["kind"]))
        except ValueError as error:
            raise ExperimentError(f"kind = {show(found['kind'])}: {error}") from None
        if not issubclass(of_kind, cls):
            raise ExperimentError(f"kind = {show(found['kind'])}: must be a kind that {cls.__name__} reads")
        return of_kind

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an experiment file.

        Raises
        ------
        ExperimentError
            If the file cannot be read or its content is refused.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors on Windows begin a file with a mark
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a text file"
            raise ExperimentError(f"cannot read the experiment file {path}: {reason}") from None
        return cls.from_toml(text, str(path))

    def to_toml(self) -> str:
        """Write the experiment as TOML; :meth:`from_toml` reads back an equal one."""
        lines = [f"{name} = {show(value)}" for name, value in self._items() if not isinstance(value, TomlTable)]
        for name, table in self._items():
            if isinstance(table, TomlTable):
                lines += ["", f"[{name}]"]
                lines += [f"{f.name} = {show(getattr(table, f.name))}" for f in dataclasses.fields(table)]
        return "\n".join(lines) + "\n"

    def _check_count(self, runs: int) -> None:
        """Refuse a grid that nobody can train, before a list of its runs is made."""
        if runs > MOST_RUNS:
            raise ExperimentError(f"[grid] has {runs} runs, all seeds together: must be {MOST_RUNS} or less")

    def difference(self, other: "Experiment") -> str | None:
        """Find the first key whose values differ, and both values; None if the experiments are the same."""
        if self.kind != other.kind:
            return f"kind = {show(other.kind)}, not {show(self.kind)}"
        for (name, mine), (_, theirs) in zip(self._flat(), other._flat(), strict=True):
            if mine != theirs:
                return f"{name} = {show(theirs)}, not {show(mine)}"
        return None

    def _items(self) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(self):
            yield field.name, getattr(self, field.name)

    def _flat(self) -> Iterator[tuple[str, Any]]:
        for name, value in self._items():
            if isinstance(value, TomlTable):
                for field in dataclasses.fields(value):
                    yield value.where(field.name), getattr(value, field.name)
            else:
                yield name, value
