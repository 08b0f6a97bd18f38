"""Folders of runs: Lightning, Hydra, W&B, TensorBoard, the Trainer of transformers, DeepOBS, or settings beside a log.

A folder is a run if it holds a log; its settings are read from the files beside it. YAML is read by the safe loader,
event files by TensorBoard's own reader, and no pickle is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from empirics.experiment import ExperimentError
from empirics.importing.foreign import Foreign, ForeignRun, first_line, flattened, needs, series
from empirics.importing.names import is_setting
from empirics.importing.rows import recorded
from empirics.importing.tables import LOGS, parsed, read_grid, read_json, suffix, text_of

__all__ = ["has_logs", "read_folder"]

#: Files of settings, the later ones over the earlier; in the folder of the run, or in `.hydra` there.
SETTINGS = (
    *(".hydra/overrides.yaml", ".hydra/config.yaml", "config.yaml", "hparams.yaml", "args.yaml"),
    *("config.json", "args.json", "hparams.json", "params.json"),
)

#: JSON files that are logs or final values; all other JSON is read if it holds series.
SUMMARY, STATE = "wandb-summary.json", "trainer_state.json"
RECORDS = (SUMMARY, STATE, "metrics.json", "history.json", "log.json", "results.json")

EVENTS = "events.out.tfevents."

#: Which file tells the format.
FORMS = {
    ".hydra/config.yaml": "Hydra runs",
    SUMMARY: "W&B run folders",
    STATE: "Trainer states of transformers",
    EVENTS: "TensorBoard event files",
    "hparams.yaml": "Lightning logs",
}
RECORD_FORM = "JSON records, one file per run"


def read_folder(path: Path) -> Foreign:
    """Read all runs at or under a folder.

    Raises
    ------
    ExperimentError
        If there is none, a file is damaged, or a reader is not installed; the message names the file.
    """
    found = Foreign(str(path), "run folders", [], [])
    bare: list[Path] = []
    used: set[Path] = set()
    damaged: list[ExperimentError] = []
    for folder in _folders(path):
        homes = dict.fromkeys((*_above(folder, path), _home(folder), folder))
        settings = [home / name for home in homes for name in SETTINGS if (home / name).is_file()]
        logs = _logs(folder)
        place = str(_home(folder).relative_to(path.parent))
        if not logs:
            own = any(file.is_relative_to(_home(folder)) for file in settings)
            found.runs += [] if own else list(_records(folder, path, found, damaged))
            bare += [folder] if own else []
            continue
        used.update(homes)
        run = ForeignRun(place)
        for file in settings:
            run.values |= _settings(file)
        told, run.values = run.values, {}
        several = sum(suffix(file) in LOGS for file in logs) > 1
        for file in logs:
            _add(run, file, found, f"{file.stem.partition('.')[0]}/" if several and suffix(file) in LOGS else "")
        found.configured |= set(told) - set(run.values) - set(run.series)
        run.values = {
            name: value for name, value in told.items() if name not in run.series or is_setting(name)
        } | run.values
        found.files += [*settings, *logs]
        found.form = next((form for file, form in FORMS.items() if _has(folder, file)), found.form)
        found.runs.append(run)
    if damaged and (found.form == RECORD_FORM or not found.runs):
        raise damaged[0]
    found.lost += [str(error) for error in damaged]
    found.runs = _joined(found)
    unused = [str(folder.relative_to(path.parent)) for folder in bare if folder not in used]
    if unused and found.runs:
        found.lost.append(f"folders with settings and no log: {', '.join(unused[:5])}{' ...' * (len(unused) > 5)}")
    if not found.runs:
        seen = f"; settings without a log in {', '.join(unused[:3])}" if unused else ""
        raise ExperimentError(
            f"{path} is neither a table nor a folder of runs: no metrics.csv, {STATE}, {SUMMARY}, event file, "
            f"or trace folder (with config.json and trace.pt) in it{seen}"
        )
    return found


def has_logs(path: Path) -> bool:
    """Whether there is a log in a folder or under it."""
    return any(map(_logs, _folders(path)))


def _folders(path: Path) -> Iterator[Path]:
    """All folders at a path, in the order a reader would put them; of checkpoints of the Trainer the last alone."""
    for home, inner, _ in os.walk(path):  # symbolic links, such as W&B's latest-run, are not followed
        inner[:] = sorted((name for name in inner if not name.startswith(".")), key=_natural)
        saved = [name for name in inner if re.fullmatch(r"checkpoint-\d+", name)]
        states = [Path(home), *(Path(home, name) for name in saved)]
        for name in saved:
            inner.remove(name)
        if saved and not (states[0] / STATE).is_file():
            yield from [folder for folder in states if (folder / STATE).is_file()][-1:]
        yield Path(home)


def _natural(name: str) -> list[tuple[int, str]]:
    """Key that puts version_2 before version_10."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _home(folder: Path) -> Path:
    """The folder that a run is called by: not that of its checkpoint, nor of its files."""
    return folder.parent if folder.name == "files" or folder.name.startswith("checkpoint-") else folder


def _above(folder: Path, path: Path) -> list[Path]:
    """The run of Hydra that a folder of logs is in, if this has no log itself."""
    return [one for one in folder.parents if one.is_relative_to(path) and (one / ".hydra").is_dir() and not _logs(one)][
        :1
    ]


def _has(folder: Path, file: str) -> bool:
    return any(folder.glob(f"{file}*"))


def _logs(folder: Path) -> list[Path]:
    """The logs in a folder."""
    files = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: _natural(file.name))
    return [file for file in files if suffix(file) in LOGS or file.name in RECORDS or EVENTS in file.name]


def _joined(found: Foreign) -> list[ForeignRun]:
    """Give a run what a folder in it holds beside: hyperparameters that TensorBoard keeps with a single point.

    A log without settings above several runs is none of a run.
    """
    homes = {run.place: run for run in found.runs}
    inside: dict[str, list[ForeignRun]] = {}
    for run in found.runs:
        above = next((str(one) for one in Path(run.place).parents if str(one) in homes), None)
        if above is not None:
            inside.setdefault(above, []).append(run)
    dropped = []
    for place, runs in inside.items():
        single = [run for run in runs if all(len(one.step) < 2 for one in run.series.values())]
        told = {str([(name, value) for name, value in run.values.items() if is_setting(name)]) for run in single}
        several = len(told) > 1 or any(run.values and run not in single for run in runs)
        if len(runs) > 1 and (several or not single) and not homes[place].values:
            found.lost.append(f"the log in {place} itself, which is above the runs and has no settings")
            dropped.append(homes[place])
            continue
        dropped += single
        for run in single:
            homes[place].values = run.values | homes[place].values
        if homes[place].values and (nameless := [run for run in runs if not run.values and run not in single]):
            found.lost.append(f"logs without settings inside a run: {', '.join(run.place for run in nameless[:3])}")
            dropped += nameless
    return [run for run in found.runs if not any(run is one for one in dropped)]


# ------------------------------------------------------------------------------------------------ settings
def _settings(file: Path) -> dict[str, Any]:
    """Read settings, nested ones under joined names; interpolations of other settings are looked up."""
    content = parsed(text_of(file), str(file)) if file.suffix == ".json" else _yaml(file)
    if file.name == "overrides.yaml" and isinstance(content, list):
        pairs = (str(word).lstrip("+~").partition("=") for word in content)
        return {name.replace(".", "/"): value for name, _, value in pairs}
    if not isinstance(content, Mapping):
        raise ExperimentError(f"{file} must hold settings by name")
    if "_wandb" in content or "wandb_version" in content:
        content = {name: one["value"] for name, one in content.items() if isinstance(one, Mapping) and "value" in one}
        content.pop("_wandb", None)
    flat = flattened(content)
    for name, value in flat.items():
        if isinstance(value, str) and (other := re.fullmatch(r"\$\{([\w.]+)\}", value)):
            flat[name] = flat.get(other[1].replace(".", "/"), value)
    return flat


def _yaml(file: Path) -> Any:
    """Load YAML as data; a tag that would build an object is refused."""
    yaml = needs("yaml", file, "yaml")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined]
        """The safe loader, and tuples, paths and names as text, which Lightning writes."""

    python = "tag:yaml.org,2002:python/"
    Loader.add_constructor(f"{python}tuple", lambda loader, node: loader.construct_sequence(node))
    for tag in (f"{python}object/apply:pathlib.", f"{python}name:"):
        Loader.add_multi_constructor(tag, lambda loader, rest, node: rest)
    try:
        return yaml.load(text_of(file), Loader=Loader)
    except yaml.constructor.ConstructorError as error:
        raise ExperimentError(f"{file}: {error.problem}; refused, nothing in it was executed") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ExperimentError(f"{file} is not YAML: {first_line(error)}") from None


# ------------------------------------------------------------------------------------------------ logs
def _add(run: ForeignRun, file: Path, found: Foreign, before: str) -> None:
    """Add what a log holds to a run, with a word before its names if it is a table beside others."""
    if EVENTS in file.name:
        _add_events(run, file)
        return
    if file.name == SUMMARY:
        run.values |= {
            name: value
            for name, value in flattened(parsed(text_of(file), str(file))).items()
            if not name.startswith("_")
        }
        _lose(found, "W&B keeps the history in run-*.wandb, which is not read: a summary has the last value alone")
        return
    if file.name == STATE:
        more = _trainer(file)
        _lose(
            found,
            "training_args.bin is a pickle and is not opened: what is only there (weight decay, the optimiser) is not "
            "known; a Trainer's optimiser is AdamW unless another was chosen: give --optimizer",
        )
    elif suffix(file) == ".json":
        (more, *rest) = read_json(file)
        if rest:
            raise ExperimentError(f"{file} must hold one run, but has {1 + len(rest)} rows without steps")
    else:
        more = recorded(read_grid(file)[0], run.place)
    run.values |= {before + name: value for name, value in more.values.items()}
    for name, one in more.series.items():
        same = run.series.get(before + name)
        both = one if same is None else series(*map(np.concatenate, zip(same, one, strict=True)))[0]
        run.series[before + name] = both
    run.notes += [note for note in more.notes if note not in run.notes]


def _lose(found: Foreign, what: str) -> None:
    if what not in found.lost:
        found.lost.append(what)


def _trainer(file: Path) -> ForeignRun:
    """Read the history in a Trainer's state."""
    state = parsed(text_of(file), str(file))
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise ExperimentError(f"{file} has no list log_history; a Trainer's state has one")
    run = ForeignRun(str(file))
    for name in dict.fromkeys(name for record in history for name in record if name not in ("step", "epoch")):
        points = [(record.get("step"), record[name]) for record in history if name in record]
        try:
            run.series[name], note = series(*zip(*points, strict=True))
        except (TypeError, ValueError):
            raise ExperimentError(f"{file}: {name} in log_history must be numbers at steps") from None
        run.notes += [note] if note and note not in run.notes else []
    return run


def _add_events(run: ForeignRun, file: Path) -> None:
    """Read scalars and hyperparameters of an event file, by TensorBoard's reader; what is cut short ends there."""
    loader = needs("tensorboard.backend.event_processing.event_file_loader", file, "tensorboard")
    tensors = needs("tensorboard.util.tensor_util", file, "tensorboard")
    hparams = needs("tensorboard.plugins.hparams.metadata", file, "tensorboard")
    logged: dict[str, list[tuple[float, float]]] = {
        name: list(zip(*one, strict=True)) for name, one in run.series.items()
    }
    try:
        for event in loader.EventFileLoader(str(file)).Load():
            for one in event.summary.value:
                plugin = one.metadata.plugin_data
                if plugin.plugin_name == "hparams" and one.tag == hparams.SESSION_START_INFO_TAG:
                    info = hparams.parse_session_start_info_plugin_data(plugin.content)
                    run.values |= {
                        name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()
                    }
                elif one.HasField("tensor") and not one.tensor.tensor_shape.dim:
                    number = tensors.make_ndarray(one.tensor)
                    if number.dtype.kind == "f":  # single precision: the shortest number that it rounds to
                        logged.setdefault(one.tag, []).append((event.step, float(str(number))))
    except Exception as error:  # a damaged message may raise anything
        raise ExperimentError(f"cannot read {file}: {first_line(error)}") from None
    if not logged and not run.values:
        raise ExperimentError(f"{file} holds no scalars, or is not an event file")
    for name, points in logged.items():
        run.series[name], note = series(*zip(*points, strict=True))
        run.notes += [note] if note and note not in run.notes else []


def _records(folder: Path, path: Path, found: Foreign, damaged: list[ExperimentError]) -> Iterator[ForeignRun]:
    """Read JSON files that are a run each, as DeepOBS writes them: settings, and lists over the epochs."""
    for file in sorted(folder.glob("*.json"), key=lambda file: _natural(file.name)):
        try:
            runs = read_json(file)
        except ExperimentError as error:
            damaged.append(error)
            continue
        if len(runs) == 1 and runs[0].series:
            found.files.append(file)
            found.form = RECORD_FORM
            runs[0].place = str(file.relative_to(path))
            yield runs[0]
