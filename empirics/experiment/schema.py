"""Tables of an experiment file: checks of one value, frozen tables of checked values, writing them as TOML."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from empirics.experiment.registry import nearest


class ExperimentError(ValueError):
    """A request that cannot be carried out; one line states what is wrong, where, and what would be right."""


@contextmanager
def naming(file: object) -> Iterator[None]:
    """Put the name of an experiment file before an :class:`ExperimentError` that names a table, ``[data] path ...``."""
    try:
        yield
    except ExperimentError as error:
        if str(error).startswith("["):
            error.args = (f"{file}: {error}",)
        raise


# ---------------------------------------------------------------------------------------------- checks of one value
# A check takes the value found and returns the value meant, or raises ValueError("must be ...").
Check = Callable[[Any], Any]


#: The largest integer that results can store (int64).
MOST = 2**63 - 1

#: The most runs of a grid, and the most points of one axis.
MOST_RUNS = 100_000


def integer(least: int, most: int = MOST) -> Check:
    """An integer, `least` or more, and at most `most`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"must be an integer, {least} or more")
        if value > most:
            raise ValueError(f"must be an integer, {most} or less")
        return value

    return check


def number(*, above: float | None = None, least: float | None = None) -> Check:
    """A finite number, above one bound or at least another."""
    bound = f" above {above:g}" if above is not None else "" if least is None else f", {least:g} or more"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"must be a finite number{bound}")
        if (above is not None and value <= above) or (least is not None and value < least):
            raise ValueError(f"must be a number{bound}")
        return float(value)

    return check


def flag(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: Any) -> str:
    """Read a string that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a non-empty string")
    return value


def one_of(names: tuple[str, ...]) -> Check:
    """One of these names."""

    def check(value: Any) -> str:
        if value not in names:
            hint = nearest(value, names) if isinstance(value, str) else ""
            raise ValueError(f"must be one of {', '.join(map(repr, names))}{hint}")
        return str(value)

    return check


def list_of(item: Check, plural: str) -> Check:
    """A list of different items."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"must be a list of {plural} that is not empty")
        items = tuple(item(each) for each in value)
        if len(set(items)) < len(items):
            raise ValueError("must not contain a value twice")
        return items

    return check


def rate(value: Any) -> float:
    """Read a number above 0 that float32 can hold."""
    found: float = number(above=0)(value)
    if not 1e-30 <= found <= 1e30:
        raise ValueError("must lie between 1e-30 and 1e30, which float32 can hold")
    return found


def axis(value: Any) -> tuple[float, ...]:
    """Read a grid axis: an explicit list, or ``{log10 = [start, stop], count = n}``."""
    if not isinstance(value, Mapping):
        return tuple(list_of(rate, "numbers above 0")(value))
    if set(value) != {"log10", "count"}:
        raise ValueError("must be a list of numbers or {log10 = [start, stop], count = n}")
    ends, count = value["log10"], value["count"]
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise ValueError("must have log10 = [start, stop]")
    start, stop = (number()(end) for end in ends)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or (count > 1) != (start != stop):
        raise ValueError("must have a count of 2 or more between different ends")
    if count > MOST_RUNS:
        raise ValueError(f"must have a count of {MOST_RUNS} or less")
    if max(abs(start), abs(stop)) > 30:
        raise ValueError("must have log10 between -30 and 30")
    # Twelve digits: the same numbers, and so the same seeds, whatever the last bit of this machine's pow.
    return tuple(float(f"{10.0**x:.12g}") for x in np.linspace(start, stop, count))


def optional_axis(value: Any) -> tuple[float, ...]:
    """Read a grid axis that may be absent, which :meth:`Experiment.to_toml` writes as an empty list."""
    return () if isinstance(value, (list, tuple)) and not value else axis(value)


# ---------------------------------------------------------------------------------------------------------- tables
def key(check: Check, default: Any = dataclasses.MISSING) -> Any:
    """A field of a table whose value is checked."""
    return dataclasses.field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class TomlTable:
    """A frozen table whose fields are checked however it is made: from TOML, in Python, by ``dataclasses.replace``."""

    TITLE: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if check := field.metadata.get("check"):
                value = getattr(self, field.name)
                try:
                    object.__setattr__(self, field.name, check(value))
                except ExperimentError:  # of a table in this one: it says where
                    raise
                except ValueError as error:
                    raise ExperimentError(f"{self.where(field.name)} = {show(value)}: {error}") from None

    @classmethod
    def where(cls, key: str) -> str:
        """Name a key as messages do."""
        return f"[{cls.TITLE}] {key}" if cls.TITLE else key

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> Self:
        """Build the table from TOML; the first key that is unknown, missing or wrong is refused."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key in found:
            if key not in fields:
                raise ExperimentError(f"unknown key {cls.where(key)}{nearest(key, tuple(fields))}")
        for name, field in fields.items():
            if field.default is dataclasses.MISSING and name not in found:
                raise ExperimentError(f"{cls.where(name)} is missing")
        return cls(**found)


def table_of(kind: type[TomlTable]) -> Check:
    """Read a table of this kind."""

    def check(value: Any) -> TomlTable:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table, [{kind.TITLE}]")
        return kind.from_mapping(value)

    return check


def show(value: Any) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if (write := getattr(value, "to_toml", None)) is not None:
        return str(write())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {show(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(each) for each in value) + "]"
    return repr(value)


def maybe_text(value: Any) -> str:
    """A string, which may be empty."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def share(value: Any) -> float:
    """A number from 0 (included) to 1 (excluded)."""
    found: float = number(least=0)(value)
    if found >= 1:
        raise ValueError("must be a number, 0 or more and below 1")
    return found
