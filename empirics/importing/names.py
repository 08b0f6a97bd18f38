"""Which of somebody's columns is which of ours: certain, guessed, or something else that looks like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from empirics.experiment import ExperimentError
from empirics.experiment.registry import nearest
from empirics.results import VARIABLES

__all__ = ["NAMES", "Assigned", "Named", "assign", "bare", "is_setting"]

#: Column names that are recognised: those of the summary.
NAMES = tuple(name for name in VARIABLES if name not in ("step", "block", "snapshot", "parameter", "weights"))

#: Columns that count steps, that name runs, that say which data a row is of, and those of a long table.
STEPS = (
    *(
        "step",
        "global_step",
        "training_step",
        "iteration",
        "training_iteration",
        "iter",
        "trainer_global_step",
        "epoch",
    ),
)
KEYS = ("run", "run_id", "run_uuid", "run_name", "name", "trial", "trial_id", "experiment")
STATES = ("state", "status")
SPLITS = ("split", "phase", "mode", "stage", "subset")
TAGS = ("tag", "metric", "key", "variable")
VALUES = ("value",)

#: Other names that mean exactly one of ours.
SAME = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "effective_learning_rate": "effective_lr",
    "train_loss": "loss",
    "train_losses": "loss",
    "training_loss": "loss",
    "state": "status",
    "random_seed": "seed",
    "optimizer_name": "optimizer",
    "train_accuracy": "accuracy",
    "train_acc": "accuracy",
}

#: Other names that probably mean one of ours: pattern of the whole name, ours, power, and what has to be true.
LIKE = (
    (r"(num|n|total|number_of)_param(eter)?s|d", "dimension", 1, "if all weights are scale-invariant, on one sphere"),
    (r"lr_.*weight_decay", "weight_decay", 1, ""),
    (r"lr_.*momentum", "momentum", 1, ""),
    (r"base_lr|initial_lr|max_lr|lr_(?!.*(sched|decay|warm|min|final|end|mult|ratio|factor|gamma|noise|cycle|k_))\w*|eta|step_size",
     "lr", 1, "if it is the rate that was used"),
    (r"lam(bda)?|l2|l2_penalty|decay", "weight_decay", 1, "if it is not multiplied by lr already"),
    (r"elr|eff_lr", "effective_lr", 1, "if it is at unit norm"),
    (r"(w|weights?|params?|parameters?)_(norm|l2)(_sq|_squared|2)|(norm|r|w)(_?sq|_squared|_?2)|radius_squared",
     "radius_sq", 1, "if it is of the scale-invariant weights alone"),
    (r"(w|weights?|params?|parameters?)_(l2_)?norm", "radius_sq", 2, "if it is of the scale-invariant weights alone"),
    (r"tr_?cov|trace_cov|(grads?|gradient)_(var|noise)|noise_(trace|variance)", "grad_variance", 1,
     "if it is tr Cov g of a minibatch at the actual norm"),
    (r"optim|optimi[sz]er(_type|_class)?|opt", "optimizer", 1, ""),
    (r"loss_(mean|avg|epoch|step)|train(ing)?_loss_.*|minibatch_train_losses", "loss", 1, "if it is the training loss"),
    (r"acc|train(ing)?_acc(uracy)?_.*", "accuracy", 1, "if it is of the training data"),
    (r"(e?val|valid|validation|test)_loss(es)?(_.*)?", "test_loss", 1, ""),
    (r"(e?val|valid|validation|test)_acc(urac(y|ies))?(_.*)?", "test_accuracy", 1, ""),
    (r"beta1|beta_1", "momentum", 1, ""),
)  # fmt: skip

#: Settings that every claim rests on: of two columns that differ, a better name makes neither right.
RATES = ("lr", "weight_decay", "effective_lr", "radius")

#: What is set in a run; a column of settings is nothing else.
SET = ("lr", "weight_decay", "effective_lr", "radius", "seed", "optimizer", "momentum", "dimension")
CONFIGS = frozenset(("config", "cfg", "hparams", "hyperparams", "optimizer_hyperparams", "params", "args"))

#: Folders of names that say nothing against a name in them.
BOXES = frozenset(
    (
        *("config", "cfg", "summary", "optim", "optimizer", "opt", "optimizer_hyperparams", "hparams", "hyperparams"),
        *("params", "args", "train", "training", "trainer", "metrics", "metric", "stats", "results", "scale_inv", "si"),
    )
)
TRAINING = frozenset(("train", "training"))
HELD_OUT = frozenset(("val", "valid", "validation", "eval", "evaluation", "test", "dev"))

#: How a column comes by its name.
GIVEN, CERTAIN, GUESSED, DOUBTFUL = "given", "certain", "guessed", "doubtful"


@dataclass(frozen=True)
class Named:
    """A column under the name of ours that it has."""

    ours: str
    column: str
    how: str  # given, certain, guessed; doubtful: taken only if the norm balance says so
    power: int = 1  # to which it is raised
    why: str = ""

    def __str__(self) -> str:
        return self.column + (f"^{self.power}" if self.power != 1 else "")


@dataclass
class Assigned:
    """What the columns of a file are."""

    named: dict[str, Named] = field(default_factory=dict)  # by our name
    aside: dict[str, str] = field(default_factory=dict)  # columns that look like one of ours and are not, and why
    ignored: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)  # further columns that may be one of ours


@cache
def bare(column: str) -> str:
    """A name without its folders, in lower case with underscores.

    >>> bare("optim.weightDecay"), bare("summary/Radius sq"), bare("_step")
    ('weight_decay', 'radius_sq', 'step')
    """
    last = re.split(r"[./:|]", column.strip())[-1] or column
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", last)
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")


def is_setting(column: str) -> bool:
    """Whether a column is set in a run, so that it tells runs apart and not points of a run.

    >>> is_setting("optimizer/weight_decay"), is_setting("loss")
    (True, False)
    """
    found = _candidate(column)
    return isinstance(found, Named) and found.ours in SET


def assign(
    columns: Sequence[str],
    mapping: Mapping[str, str],
    source: str,
    known: Collection[str] = (),
    configured: Collection[str] = (),
    same: Callable[[str, str], bool] = str.__eq__,
) -> Assigned:
    """Name the columns of a file.

    Parameters
    ----------
    columns
        Their names.
    mapping
        From our names to columns, or to a column with ``^2`` for the square of a norm; to an empty text for a name that
        no column has.
    source
        The file, for messages.
    known
        Our names that are known from elsewhere: no column is guessed to be one of these.
    configured
        Columns from files of settings: a temperature there is none that was measured.
    same
        Whether two columns hold the same numbers; of two that do not, and might both be one of ours, neither is taken.

    Raises
    ------
    ExperimentError
        If the mapping names what is not there.

    Examples
    --------
    >>> found = assign(["optim.lr", "wd", "weight_norm", "grad_norm_clipped", "epoch"], {}, "runs.csv")
    >>> {name: (str(one), one.how) for name, one in found.named.items()}
    {'lr': ('optim.lr', 'certain'), 'weight_decay': ('wd', 'certain'), 'radius_sq': ('weight_norm^2', 'guessed')}
    >>> found.aside
    {'grad_norm_clipped': 'a clipped gradient; the norm balance needs E|g|^2 before clipping'}
    """
    found = Assigned({name: _given(name, column, columns, source) for name, column in mapping.items()})
    found.named = {name: one for name, one in found.named.items() if one.column}
    taken = {one.column for one in found.named.values()}
    groups: dict[str, list[Named]] = {}
    for column in columns:
        one = None if column in taken or (column in configured and not is_setting(column)) else _candidate(column)
        if isinstance(one, str):
            found.aside[column] = one
        elif one is not None and not (one.ours in mapping or (one.ours in known and one.how != CERTAIN)):
            groups.setdefault(one.ours, []).append(one)
        elif column not in taken:
            found.ignored.append(column)
    for ours, group in groups.items():
        _choose(found, ours, group, same)
    return found


def _choose(found: Assigned, ours: str, group: list[Named], same: Callable[[str, str], bool]) -> None:
    """Take the column that is most certainly one of ours; of several that differ, none."""
    best = [one for one in group if one.column == ours] or [
        one for how in (CERTAIN, GUESSED, DOUBTFUL) for one in group if one.how == how
    ]
    best.sort(key=lambda one: bare(one.column).endswith("_epoch"))  # stable: of two means of one thing the longer
    first = best[0]
    rivals = [
        one
        for one in (group if ours in RATES else best)
        if one is not first
        and one.how == first.how
        and _plain(one.column) != _plain(first.column)
        and not same(first.column, one.column)
    ]
    if not rivals:
        found.named[ours] = first
    found.others[ours] = [one.column for one in group if rivals or one is not first]
    for one in group:
        if rivals:
            found.aside[one.column] = f"one of {len(group)} columns that may be {ours}; --map {ours}={one} chooses it"
        elif one is not first:
            found.aside[one.column] = f"{ours} is taken from {first.column}; --map {ours}={one} takes this one"


def _plain(column: str) -> str:
    """A column without what it was averaged over."""
    return re.sub(r"_(step|epoch)$", "", column)


def _given(name: str, column: str, columns: Sequence[str], source: str) -> Named:
    """A column that the user named."""
    if name not in NAMES and name != "dimension":
        raise ExperimentError(f"--map {name}={column}: unknown name {name}{nearest(name, NAMES)}")
    base, power = (column.removesuffix("^2"), 2) if column not in columns and column.endswith("^2") else (column, 1)
    if base and base not in columns:
        raise ExperimentError(
            f"{source} has no column {base!r} to map to {name}{nearest(base, list(columns))} "
            f"(columns: {', '.join(columns)})"
        )
    return Named(name, base, GIVEN, power)


@cache
def _candidate(column: str) -> Named | str | None:
    """What a column may be: one of ours, something else and why, or nothing that is known."""
    if column in NAMES or column == "dimension":
        return Named(column, column, CERTAIN)
    parts = [bare(part) for part in re.split(r"[./:|]", column) if part.strip(" ./:|")]
    name, folders = bare(column), set(parts[:-1])
    words = {word for part in parts for word in part.split("_")}
    if folders & CONFIGS and name in NAMES and name not in SET:
        return None
    gradient = bool(words & {"grad", "grads", "gradient", "gradients", "gnorm"})
    if gradient and any(word.startswith("clip") for word in words):
        return "a clipped gradient; the norm balance needs E|g|^2 before clipping"
    if folders & HELD_OUT:
        name = f"test_{name}" if name in ("loss", "acc", "accuracy") else ""
    if name in ("name", "type", "class", "target") and parts[-2:-1] in (["optim"], ["optimizer"], ["opt"]):
        return Named("optimizer", column, CERTAIN)
    if (name in NAMES or name == "dimension") and not name.startswith("test_"):
        if folders and name in ("entropy", "temperature"):
            return Named(name, column, GUESSED, 1, "if it is that of the weights, not of what the network predicts")
        inside = folders <= (BOXES | {"model"} if name in SET else BOXES)
        why = "" if inside else "if it is that of all the weights in question"
        return Named(name, column, CERTAIN if inside else GUESSED, 1, why)
    if gradient and "var" not in words and {"norm", "norms", "sq", "norm2", "total2", "gnorm", "squared", "l2"} & words:
        squared = bool(words & {"sq", "squared", "norm2", "total2"})
        return Named("grad_sq", column, DOUBTFUL, 1 if squared else 2, "if it is unclipped, and of these weights alone")
    if name in SAME:
        return Named(SAME[name], column, CERTAIN if folders <= BOXES else GUESSED)
    for pattern, ours, power, why in LIKE:
        if re.fullmatch(pattern, name):
            return Named(ours, column, GUESSED, power, why)
    return None
