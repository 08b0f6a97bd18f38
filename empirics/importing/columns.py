"""The columns of imported runs by our names: every cell checked, and what follows from others filled in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.protocol import KNOBS, effective_lr
from empirics.claims.table import balances
from empirics.experiment import ExperimentError
from empirics.experiment.registry import nearest
from empirics.importing.averages import Averages, Balance, averages
from empirics.importing.copies import refuse_copies
from empirics.importing.foreign import Foreign, ForeignRun, is_empty
from empirics.importing.names import CERTAIN, DOUBTFUL, GIVEN, GUESSED, Assigned, Named
from empirics.measure import norm_balance
from thermo_theory import FixedELR

__all__ = ["Columns", "in_columns", "optimizer_of"]

#: Columns of text.
TEXTS = ("protocol", "optimizer", "status", "reason")

#: Columns of whole numbers.
WHOLE = ("seed", "diverged_at", "dimension")

#: Columns of truth values, and the words for these.
TRUTHS = ("path_entropy", "scale_invariant")
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

#: Columns that must be positive.
POSITIVE = ("lr", "weight_decay", "effective_lr", "radius", "radius_sq", "grad_sq", "grad_variance", "temperature")

#: Words for a run that came to its end, which does not say that it was stationary.
FINISHED = ("finished", "completed", "complete", "success", "succeeded", "done")

#: Optimisers by other names; those of torch and of the Trainer have a suffix or a module before them.
OPTIMIZERS = {"adam": "adam-l2", "adam_w": "adamw", "sgdm": "momentum", "sign_sgd": "signsgd"}

#: A column that may be E|g|^2 is, if the median norm balance with it is 1 to this much.
BALANCED = 0.1

#: E|g|^2 that is equal in all runs to this, while their norm balance differs by a factor of `SPREAD`, was clipped.
EQUAL, SPREAD = 1e-3, 1.5

#: Names of columns that an error lists.
LISTED = 30


@dataclass
class Columns:
    """The columns of the runs by their names in the results, the origin of each, and what was noticed."""

    source: str
    dimension: int = 0
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    averaged: list[Averages] = field(default_factory=list)
    completion: bool = False  # the status says only whether runs came to their end

    def add(self, name: str, values: Any, origin: str) -> None:
        """Add a column."""
        self.values[name], self.origin[name] = np.asarray(values), origin

    def have(self, *names: str) -> bool:
        """Whether all of these are present."""
        return all(name in self.values for name in names)


def in_columns(foreign: Foreign, assigned: Assigned, protocol: str, dimension: int | None, optimizer: str) -> Columns:
    """Put the runs into columns of ours.

    Parameters
    ----------
    foreign, assigned
        The runs, and the names of what they have. A gradient that turns out to be another one is moved aside.
    protocol, dimension, optimizer
        As for `read_runs`.

    Returns
    -------
    Columns
        One value per run in each.

    Raises
    ------
    ExperimentError
        If a required column is missing, a cell is wrong, or a run is there twice; with the file, and the row or column.
    """
    found = Columns(foreign.source)
    _require(foreign, assigned, protocol, dimension)
    needed = {name for choice in KNOBS[protocol] for name in choice}
    texts = {name: [_text(run, one) for run in foreign.runs] for name, one in assigned.named.items() if name in TEXTS}
    texts["optimizer"] = _optimizers(foreign, assigned, texts.get("optimizer"), optimizer)
    found.averaged = [
        averages(run, assigned, _balance(run, assigned, protocol) if name == "sgd" else None)
        for run, name in zip(foreign.runs, texts["optimizer"], strict=True)
    ]
    extra = {name for one in found.averaged for name in one.values} - set(assigned.named)
    for name, one in list(assigned.named.items()):
        if name not in TEXTS:
            pairs = zip(foreign.runs, found.averaged, strict=True)
            try:
                values = [_cell(foreign.source, run, means, one, name in needed) for run, means in pairs]
            except ExperimentError as error:
                if one.how not in (GUESSED, DOUBTFUL) or name in needed:
                    raise
                assigned.aside[one.column] = str(error).removeprefix(f"{foreign.source}, ")
                del assigned.named[name]
            else:
                found.add(name, values, foreign.origin.get(one.column, _origin(one, foreign)))
    for name in sorted(extra):
        found.add(name, [means.values.get(name, math.nan) for means in found.averaged], "from the series")
    for name, words in texts.items():
        found.add(name, words, f"column {assigned.named[name]}" if name in assigned.named else f"option {name}")
    refuse_copies(foreign, found.values)
    found.dimension = _dimension(foreign, found, dimension)
    _label(found, protocol)
    _doubt(found, assigned, protocol)
    _state(found, foreign)
    _doubt_temperature(found, assigned)
    _derive(found, protocol, found.dimension)
    return found


def _origin(one: Named, foreign: Foreign) -> str:
    mean = "mean of column" if any(one.column in run.series for run in foreign.runs) else "column"
    return f"{mean} {one}" + (f" ({one.how})" if one.how == GUESSED else "")


def _require(foreign: Foreign, assigned: Assigned, protocol: str, dimension: int | None) -> None:
    """Refuse runs without what every claim requires."""
    names = foreign.columns
    listed = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    for choice in KNOBS[protocol]:
        if not any(name in assigned.named for name in choice):
            wanted = " or ".join(choice)
            if rivals := [column for name in choice for column in assigned.others.get(name, ())]:
                raise ExperimentError(
                    f"{foreign.source}: columns {', '.join(rivals)} may all be {wanted} and differ; choose one "
                    f"with --map {choice[0]}=COLUMN"
                )
            if any(f"{name}__MIN" in names for name in names):
                raise ExperimentError(
                    f"{foreign.source} is a chart that was exported from W&B, without the settings of its runs; export "
                    f"the table of runs instead, with {wanted}"
                )
            raise ExperimentError(
                f"{foreign.source}: column {wanted} is missing, which every claim at {protocol} requires; if it has "
                f"another name, use --map {choice[0]}=COLUMN, or a number for all runs (columns: {listed})"
            )
    if "dimension" not in assigned.named and dimension is None and "dimension" not in foreign.facts:
        raise ExperimentError(
            f"{foreign.source}: column dimension (d, one more than the number of directions) is missing; add it, or "
            "give --dimension N"
        )


def _balance(run: ForeignRun, assigned: Assigned, protocol: str) -> Balance | None:
    """Norm balance of a run of SGD at its settings."""
    rate, decay = (
        _setting(run, assigned, name) for name in ("effective_lr" if protocol == "fixed-elr" else "lr", "weight_decay")
    )
    if protocol == "fixed-sphere" or not (rate > 0 and decay > 0):
        return None
    if protocol == "fixed-elr":
        return lambda grad_sq, radius_sq: norm_balance(rate * radius_sq, decay, grad_sq, radius_sq)
    return lambda grad_sq, radius_sq: norm_balance(rate, decay, grad_sq, radius_sq)


def _setting(run: ForeignRun, assigned: Assigned, name: str) -> float:
    """A setting of a run, the last one if it was logged; NaN if it is not a number."""
    column = assigned.named[name].column if name in assigned.named else ""
    try:
        return float(run.series[column].value[-1] if column in run.series else run.values.get(column, math.nan))
    except (TypeError, ValueError):
        return math.nan


# ------------------------------------------------------------------------------------------------ cells
def _cell(source: str, run: ForeignRun, means: Averages, one: Named, needed: bool) -> float:
    """The number of a run in a column."""
    cell: Any = means.values.get(one.ours, run.values.get(one.column))

    def refuse(must: str) -> ExperimentError:
        shown = str(run.values.get(one.column, cell))[:60]
        given = f" (--map {one.ours})" if one.how == GIVEN else ""
        return ExperimentError(f"{source}, {run.place}, column {one.column}{given}: {shown!r} {must}")

    truth = one.ours in TRUTHS
    try:
        if (isinstance(cell, str) and "_" in cell) or (isinstance(cell, bool) and not truth):
            raise ValueError("Python reads 1_5 as 15, and True as 1")
        value = math.nan if is_empty(cell) else _truth(cell) if truth else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise refuse("is neither true nor false (yes or no, 1 or 0)" if truth else "is not a number") from None
    if one.ours not in means.values:
        value **= one.power
    if needed and not math.isfinite(value):
        raise refuse("must be a finite number above 0")
    if one.ours in POSITIVE and value <= 0:
        raise refuse("must be above 0")
    if one.ours in WHOLE:
        if not math.isfinite(value) or value != int(value):
            raise refuse(f"is not a whole number; give every run one, or --map {one.ours}= to take no column")
        return int(value)
    return value


def _truth(cell: Any) -> float:
    """Read a truth value, 1 or 0, from a word or a number; NaN from NaN."""
    value = WORDS.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell
    number = float(value)
    if not (number in (0.0, 1.0) or math.isnan(number)):
        raise ValueError(f"{number:g} is neither 0 nor 1")
    return number


def _text(run: ForeignRun, one: Named) -> str:
    """Read a word."""
    cell = run.values.get(one.column)
    return "" if cell is None else str(cell).strip()


def optimizer_of(word: str, where: str = "") -> str:
    """Name of an optimiser here, by any of its names elsewhere: torch's Adam has an L2 penalty.

    Raises
    ------
    ExperimentError
        If it is unknown; the message begins with where it stands.
    """
    plain = word.split(".")[-1].lower().replace("-", "_")
    known = {name.replace("-", "_"): name for name in EVERY_OPTIMIZER} | OPTIMIZERS
    first = "adamw" if plain.startswith("adamw_") else plain
    if first not in known:
        near = nearest(plain, EVERY_OPTIMIZER)
        raise ExperimentError(f"{where}unknown optimizer {word!r}{near}; known: {', '.join(EVERY_OPTIMIZER)}")
    return known[first]


def _optimizers(foreign: Foreign, assigned: Assigned, words: Sequence[str] | None, default: str) -> list[str]:
    """The optimiser of every run, by its name here: SGD with a momentum or Nesterov's is another one."""
    names = []
    for run, word in zip(foreign.runs, words or [""] * len(foreign.runs), strict=True):
        where = f"{foreign.source}, {run.place}, column {assigned.named['optimizer'].column}: " if word else ""
        name = optimizer_of(word, where) if word else default
        if name == "sgd" and _setting(run, assigned, "momentum") > 0:
            nesterov = [value for column, value in run.values.items() if column.lower().endswith("nesterov")]
            timm = "opt_betas" in run.values  # whose sgd is Nesterov's, and whose momentum is not
            said = any(WORDS.get(str(value).lower()) or value == 1 for value in nesterov)
            name = "nesterov" if said or timm else "momentum"
        names.append(name)
    return names


def _dimension(foreign: Foreign, found: Columns, option: int | None) -> int:
    """Find d, which all runs share and which is 2 or more, and check it against the option."""
    given = int(foreign.facts["dimension"]) if "dimension" in foreign.facts else None
    if found.have("dimension"):
        values = found.values.pop("dimension")
        differing = np.flatnonzero(values != values[0])
        if len(differing):
            i = int(differing[0])
            raise ExperimentError(
                f"{found.source}, {foreign.runs[i].place}, column dimension: {values[i]} differs from {values[0]} "
                "above; import networks of different sizes separately"
            )
        given = int(values[0])
    if given is not None and option is not None and given != option:
        raise ExperimentError(f"{found.source} has dimension {given}, but --dimension is {option}")
    d = option if given is None else given
    if d is None or d < 2:
        raise ExperimentError(f"{found.source}: dimension is {d}, but must be 2 or more")
    return d


# ------------------------------------------------------------------------------------------------ labels
def _label(found: Columns, protocol: str) -> None:
    """Add protocol and seed where missing; refuse a table with another protocol."""
    if found.have("protocol"):
        others = sorted({str(one) for one in found.values["protocol"]} - {protocol})
        if others:
            raise ExperimentError(
                f"{found.source}: column protocol has {others[0]!r}, but --protocol is {protocol!r}; import the runs "
                "of each protocol separately"
            )
    found.add("protocol", np.full(len(found.averaged), protocol), "option protocol")
    if not found.have("seed"):
        found.add("seed", _repetition(found), "counted among runs with the same settings")


def _state(found: Columns, foreign: Foreign) -> None:
    """Say which runs count: those that came to their end, and of whose series none drifts, as far as these tell."""
    words = found.values.get("status", np.full(len(foreign.runs), ""))
    told = any(word and word.lower() not in FINISHED for word in words if word == "ok")
    asked = any(means.status for means in found.averaged)
    if not asked and not any(words):
        found.values.pop("status", None)
        return
    status, reason = [], []
    for word, means in zip(words, found.averaged, strict=True):
        if word and word != "ok" and word.lower() not in FINISHED:
            status.append(word)
            reason.append("according to the file")
        else:
            status.append(means.status or ("too short" if asked and not told else "ok"))
            reason.append(means.reason or ("its series cannot show a drift" if status[-1] == "too short" else ""))
    given = found.values.get("reason", np.full(len(status), ""))
    found.add("status", status, "column status" if found.have("status") else "from the series")
    found.add("reason", [own or word for own, word in zip(given, reason, strict=True)], "from the status")
    found.completion = not asked and not told


def _doubt(found: Columns, assigned: Assigned, protocol: str) -> None:
    """Ask the norm balance whether a gradient is that of the scale-invariant weights, unclipped."""
    one = assigned.named.get("grad_sq")
    if one is None:
        return
    known = ("lr", "effective_lr", "weight_decay", "radius_sq", "grad_sq", "optimizer")
    data = {name: ("run", found.values[name]) for name in known if found.have(name)}
    measured = balances(xr.Dataset(data, attrs={"protocol": protocol}))
    finite = np.array([]) if measured is None else measured[np.isfinite(measured)]
    middle = float(np.median(finite)) if len(finite) else math.nan
    usual = f"the norm balance with it is {middle:.3g} in the median, not 1"
    map_it = f"--map grad_sq={one} takes it all the same"
    why = ""
    if one.how == DOUBTFUL and not len(finite):
        why = f"may be clipped, or of all weights, and no norm balance can tell; {map_it}"
    elif one.how == DOUBTFUL and not np.median(np.abs(finite - 1)) <= BALANCED:
        why = f"a gradient of all weights, or a clipped one: {usual}; {map_it}"
    elif len(finite) > 2 and np.ptp(np.log(found.values["grad_sq"])) < EQUAL and finite.max() > SPREAD * finite.min():
        why = f"a clipped gradient: equal in all runs, and {usual}; {map_it}"
    if why and one.how in (DOUBTFUL, CERTAIN):
        assigned.aside[one.column] = why
        del assigned.named["grad_sq"], found.values["grad_sq"]
    elif one.how == DOUBTFUL:
        assigned.named["grad_sq"] = replace(one, how=GUESSED, why=f"the norm balance with it is {middle:.3g}")
        found.origin["grad_sq"] += " (guessed)"
    elif len(finite) and not np.median(np.abs(finite - 1)) <= BALANCED:
        found.notes.append(
            f"{one}: {usual}; clipped, of all weights, with weight decay added, or the runs were not stationary"
        )


def _doubt_temperature(found: Columns, assigned: Assigned) -> None:
    """Set a temperature aside that is the same in all runs while their rates differ: that of a softmax, say."""
    one, values = assigned.named.get("temperature"), found.values.get("temperature", np.array([]))
    rates = [found.values[name] for name in ("lr", "effective_lr") if found.have(name)]
    if one and one.how != GIVEN and len(values) > 2 and np.ptp(values) == 0 and any(map(np.ptp, rates)):
        assigned.aside[one.column] = f"a setting, equal in all runs; --map temperature={one} takes it all the same"
        del assigned.named["temperature"], found.values["temperature"]


def _repetition(found: Columns) -> list[int]:
    """Number the runs that share their settings: 0, 1, 2, ..."""
    knobs = [found.values[name] for name in ("lr", "weight_decay", "effective_lr", "radius") if found.have(name)]
    seen: dict[tuple[float, ...], int] = {}
    numbers = []
    for key in zip(*knobs, strict=True):
        seen[key] = seen.get(key, -1) + 1
        numbers.append(seen[key])
    return numbers


# ------------------------------------------------------------------------------------------------ derived columns
def _derive(found: Columns, protocol: str, d: int) -> None:
    """Fill in columns that follow from others; rules may use the results of earlier ones."""
    v = found.values
    rules: tuple[tuple[str, tuple[str, ...], str, Callable[[], Any]], ...] = (
        ("radius_sq", ("radius",), "radius^2", lambda: v["radius"] ** 2),
        ("radius_sq", ("log_radius",), "exp(2 log_radius)", lambda: np.exp(2 * v["log_radius"])),
        ("log_radius", ("radius_sq",), "log(radius_sq)/2", lambda: np.log(v["radius_sq"]) / 2),
        ("grad_sq", ("grad_variance", "grad_mean_sq"), "sum", lambda: v["grad_variance"] + v["grad_mean_sq"]),
        ("grad_variance", ("grad_sq", "grad_mean_sq"), "difference", lambda: v["grad_sq"] - v["grad_mean_sq"]),
        (
            "grad_variance_unit",
            ("grad_variance", "radius_sq"),
            "radius_sq·grad_variance",
            lambda: v["radius_sq"] * v["grad_variance"],
        ),
        (
            "grad_variance",
            ("grad_variance_unit", "radius_sq"),
            "grad_variance_unit/radius_sq",
            lambda: v["grad_variance_unit"] / v["radius_sq"],
        ),
        (
            "entropy",
            ("entropy_sphere", "log_radius"),
            "entropy_sphere + (d - 1) log_radius",
            lambda: v["entropy_sphere"] + (d - 1) * v["log_radius"],
        ),
        (
            "entropy_sphere",
            ("entropy", "log_radius"),
            "entropy - (d - 1) log_radius",
            lambda: v["entropy"] - (d - 1) * v["log_radius"],
        ),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, needs, words, value in rules:
            if name not in v and found.have(*needs):
                found.add(name, value(), f"derived: {words} from {', '.join(needs)}")
        _derive_rates(found, protocol, d)


def _derive_rates(found: Columns, protocol: str, d: int) -> None:
    """Fill in temperature and balance of the runs trained by SGD, by its laws.

    Runs of other optimisers get NaN: the claims compute theirs, each by its own law.
    """
    v = found.values
    sgd = v["optimizer"] == "sgd"
    numbers = {name: ("run", v[name]) for name in ("lr", "effective_lr", "radius", "radius_sq") if found.have(name)}
    rate = effective_lr(xr.Dataset(numbers, attrs={"protocol": protocol}))
    if not sgd.any() or rate is None:
        return
    if found.have("grad_variance_unit") and not found.have("temperature"):
        noise = v["grad_variance_unit"] / (d - 1)
        temperature = FixedELR.temperature(eta_eff=rate, sigma=np.sqrt(noise), invalid="nan")
        temperature = np.where(noise <= 0, 0.0, temperature)  # without noise, where the formula does not apply
        found.add(
            "temperature", np.where(sgd, temperature, np.nan), "derived: effective_lr·grad_variance_unit/(2(d - 1))"
        )
    if protocol == "fixed-lr" and found.have("grad_sq", "radius_sq") and not found.have("balance"):
        balance = norm_balance(v["lr"], v["weight_decay"], v["grad_sq"], v["radius_sq"])
        words = "derived: lr·grad_sq/(weight_decay (2 - lr·weight_decay) radius_sq)"
        found.add("balance", np.where(sgd, balance, np.nan), words)
