"""Run, resume, status: an experiment becomes shards, shards become results, here or on an executor.

The output folder::

    experiment.toml    the experiment; written first, so that `resume` works from the first moment
    provenance.json    seeds, checksum of the data, the experiment as it was when the run began, and every session with
                       its command, versions, machine, and hashes of experiment, claims and code
    shards/NNN/        heartbeat and checkpoints while a shard trains, its result afterwards
    results.zarr       the results, written last
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from empirics import results
from empirics.experiment import Experiment, ExperimentError
from empirics.experiment.schema import naming
from empirics.results import EXPERIMENT, Runs
from empirics.running import provenance
from empirics.running.device import facts
from empirics.running.dispatch import check_there, work_here, work_there
from empirics.running.files import (
    BusyError,
    FullDiskError,
    hold,
    no_room,
    read_arrays,
    remove_leftovers,
    write_atomic,
)
from empirics.running.kind import Kind, at_work
from empirics.running.lease import Lease
from empirics.running.shard import ShardTask
from empirics.running.status import Status, tell

__all__ = ["Status", "resume", "run", "status"]

PROVENANCE = "provenance.json"
LOCK, SIGNS = Path("shards") / "lock", Path("shards") / "progress.json"

#: How long after its last heartbeat a process on another machine is presumed lost.
LEASE_SECONDS = 30.0


def run(
    experiment: Experiment | str | Path,
    out: str | Path | None = None,
    *,
    device: str = "cpu",
    executor: Executor | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 10.0,
) -> Runs:
    """Train the whole grid of an experiment, measure it, and write the results to a folder.

    A folder with the same experiment is resumed; if it is finished, its results are returned at once. The numbers
    depend on the experiment alone, not on interruptions, the executor or the number of cores.

    Parameters
    ----------
    experiment
        An experiment, or the path of its file.
    out
        The output folder, by default ``runs/NAME``.
    device
        A torch device, e.g. ``"cuda"``.
    executor
        Where the shards run, e.g. a ``ProcessPoolExecutor`` with the spawn method, or ``client.get_executor()`` of Dask
        distributed (docs/cluster.md); its workers must see the folder. If a worker is lost, another one resumes its
        shards. By default shards run here, one after another, each on one thread.
    progress
        Show a progress bar with the time left on stderr.
    checkpoint_seconds
        Seconds of work between checkpoints.

    Returns
    -------
    Runs
        The results.

    Raises
    ------
    ExperimentError
        If the experiment, the device or the folder (with other content) is wrong. Nothing is written.
    FullDiskError
        If the disk is full. What was done is kept; :func:`resume` continues it.
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint; :func:`resume` continues the run.
    """
    naming_it = nullcontext() if isinstance(experiment, Experiment) else naming(experiment)
    if not isinstance(experiment, Experiment):
        experiment = Experiment.from_file(experiment)
    folder = Path(out) if out is not None else experiment.folder
    manner = _Manner(device, executor, progress, checkpoint_seconds)
    with naming_it:
        if executor is None:
            at_work(experiment).check_device(device)
        _check_folder(folder, experiment)
        return _continue(experiment, folder, manner)


def resume(
    out: str | Path,
    *,
    device: str = "cpu",
    executor: Executor | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 10.0,
) -> Runs:
    """Continue an interrupted or killed run to the same numbers; a finished one is returned at once.

    Parameters
    ----------
    out
        The folder.
    device, executor, progress, checkpoint_seconds
        As for :func:`run`.

    Returns
    -------
    Runs
        The results.

    Raises
    ------
    ExperimentError
        If the folder contains no run, or the device is not available.
    FullDiskError
        If the disk is full.
    """
    folder = Path(out)
    experiment = _experiment_in(folder)
    if executor is None:
        at_work(experiment).check_device(device)
    return _continue(experiment, folder, _Manner(device, executor, progress, checkpoint_seconds))


def status(out: str | Path) -> Status:
    """Report what is done, running and missing in an output folder.

    Parameters
    ----------
    out
        The folder.

    Returns
    -------
    Status
        Readable as text.

    Raises
    ------
    ExperimentError
        If the folder contains no run.
    """
    folder = Path(out)
    experiment = _experiment_in(folder)
    return tell(experiment, _tasks(experiment, folder, "cpu", 0.0), folder / SIGNS, LEASE_SECONDS)


# --------------------------------------------------------------------------------------------------------- checks
def _experiment_in(folder: Path) -> Experiment:
    """Read the experiment in a folder; refuse one that was edited after the run began."""
    if folder.is_file():
        raise ExperimentError(f"{folder} is a file: give a folder made by `run`")
    if not (folder / EXPERIMENT).is_file():
        what = "no run in" if folder.is_dir() else "no folder"
        raise ExperimentError(f"{what} {folder}: give a folder made by `run` ({EXPERIMENT} is missing)")
    found, began = Experiment.from_file(folder / EXPERIMENT), _recorded(folder).get("experiment")
    if began is not None and (edited := Experiment.from_toml(began, str(folder / PROVENANCE)).difference(found)):
        raise ExperimentError(
            f"{folder / EXPERIMENT} was edited after the run began ({edited}): undo that, or give another folder"
        )
    return found


def _recorded(folder: Path) -> dict[str, Any]:
    """Read the provenance in a folder; nothing if there is none yet."""
    path = folder / PROVENANCE
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        list(record["sessions"])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ExperimentError(f"{path} is damaged: bring it back, or start again in another folder") from None
    return record


def _check_folder(folder: Path, experiment: Experiment) -> None:
    """Refuse a folder that contains anything but this experiment."""
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"output {folder} is a file: give a new folder, or one with this experiment")
    if (folder / EXPERIMENT).exists():
        if other := experiment.difference(_experiment_in(folder)):
            raise ExperimentError(f"{folder} holds another experiment ({other}): give another folder")
    elif folder.exists() and any(not path.name.startswith(EXPERIMENT) for path in folder.iterdir()):
        raise ExperimentError(f"{folder} holds other files: give a new or empty folder, or one with this experiment")


def _check_random(folder: Path, kind: Kind) -> None:
    """Refuse to continue a run with other random numbers than it began with."""
    record = _recorded(folder)
    if record and (began := record.get("random", kind.first_random)) != kind.random:
        raise ExperimentError(
            f"{folder} is unfinished and was begun with other random numbers ({began}, now {kind.random}): finish it "
            "with the release that began it, or start again in another folder"
        )


# ----------------------------------------------------------------------------------------------------------- work
def _tasks(
    experiment: Experiment, folder: Path, device: str, checkpoint_seconds: float, checksum: str | None = None
) -> list[ShardTask]:
    count = len(experiment.cut())
    return [
        ShardTask(experiment, index, folder.absolute(), device, checkpoint_seconds, LEASE_SECONDS, checksum)
        for index in range(count)
    ]


@dataclass(frozen=True)
class _Manner:
    """How the work is done; none of it affects the numbers."""

    device: str
    executor: Executor | None
    progress: bool
    checkpoint_seconds: float


def _continue(experiment: Experiment, folder: Path, manner: _Manner) -> Runs:
    """Do the remaining work in a folder.

    Raises
    ------
    ExperimentError
        If the request is wrong, or another process is at work.
    FullDiskError
        If the disk is full.
    OSError
        If reading or writing fails in another way.
    """
    if results.has_store(folder):
        _remove_shards(folder)  # left if it was killed at the very end
        return results.load(folder)
    kind = at_work(experiment)
    _check_random(folder, kind)
    if manner.executor is None:
        kind.check_memory(manner.device)
    else:
        check_there(experiment, manner.device, manner.executor)
    # Both before anything is written: data that are missing, or Ctrl-C while they are read, leave no folder behind.
    data, dimension = kind.data(), kind.dimension()
    kind.check_start()
    if manner.progress:
        for line in [*kind.found(), *_reported(kind, manner.device)]:
            tqdm.write(line, file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / EXPERIMENT).exists():
            write_atomic(folder / EXPERIMENT, experiment.to_toml().encode())
        (folder / "shards").mkdir(exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    try:
        with _alone(folder):
            _work(kind, data, dimension, folder, manner)
    except OSError as error:
        if no_room(error):
            raise FullDiskError(
                f"no room to write in {folder} ({error.strerror}); finished work is kept: free some space and resume"
            ) from None
        raise
    _remove_shards(folder)
    return results.load(folder)


def _reported(kind: Kind, device: str) -> list[str]:
    """What a user should know of a device before the first step."""
    if device == "cpu" or kind.deterministic:
        return []
    return [
        f"deterministic algorithms are off: on {device} a repeated run may differ in its last bits (set [training] "
        "deterministic = true)"
    ]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes off a folder: those on this machine by a lock, those elsewhere by a heartbeat."""
    lease = Lease(folder / SIGNS, LEASE_SECONDS)
    try:
        with hold(folder / LOCK):
            if (other := lease.other()) is not None:
                raise ExperimentError(
                    f"a process on {other.host} (last heartbeat {other.age:.0f} s ago) is working on {folder}: "
                    f"wait for it, or {LEASE_SECONDS:.0f} s if it was killed"
                )
            lease.take()
            remove_leftovers(folder)
            with lease.kept():
                yield
    except BusyError:
        raise ExperimentError(f"another process is working on {folder}: wait for it, or give another folder") from None


def _remove_shards(folder: Path) -> None:
    """Remove the work of the shards, even if a worker presumed lost still writes."""
    for _ in range(3):
        shutil.rmtree(folder / "shards", ignore_errors=True)


def _work(kind: Kind, data: dict[str, str] | None, dimension: int, folder: Path, manner: _Manner) -> None:
    """Train the remaining shards, and write the results."""
    experiment = kind.experiment
    record = _open_session(folder, kind, data, manner.device)
    checksum = data["sha256"] if data else None
    tasks = _tasks(experiment, folder, manner.device, manner.checkpoint_seconds, checksum)
    tasks[0].stop.unlink(missing_ok=True)
    with _bar(experiment, tasks, manner.progress) as bar:
        if manner.executor is None:
            work_here(tasks, bar)
        else:
            work_there(tasks, manner.executor, bar)
    record["sessions"][-1]["ended"] = provenance.now()
    record["shards"] = [task.diary() for task in tasks]
    _write_json(folder / PROVENANCE, record)
    arrays = results.joined([read_arrays(task.result) for task in tasks])
    results.write(results.label(experiment, dimension, record, arrays, kind.attributes()), folder)


def _open_session(folder: Path, kind: Kind, data: dict[str, str] | None, device: str) -> dict[str, Any]:
    """Add this session, on the same data and network, to the provenance of the run; killed ones keep ``ended`` null."""
    from empirics.claims.registered import registration  # claims load sympy, which `status` does without

    experiment = (folder / EXPERIMENT).read_text(encoding="utf-8-sig")
    record: dict[str, Any] = {"seeds": list(kind.experiment.seeds), "random": kind.random, "experiment": experiment}
    record["sessions"] = []
    if data is not None:
        record["data"] = data
    if (model := kind.model()) is not None:
        record["model"] = model
    if before := _recorded(folder):
        record = before
        if data is not None and (known := record["data"]["sha256"]) != data["sha256"]:
            raise ExperimentError(
                f"{folder} was started with other data (sha256 {known[:12]}…, now {data['sha256'][:12]}…): "
                "start again in another folder"
            )
        if model is not None and record.get("model", model) != model:
            raise ExperimentError(f"{folder} was started with another network: start again in another folder")
    record["sessions"].append(
        provenance.session(device, facts(device, kind.deterministic)) | {"registered": registration(experiment)}
    )
    _write_json(folder / PROVENANCE, record)
    return record


def _write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


@contextmanager
def _bar(experiment: Experiment, tasks: Sequence[ShardTask], progress: bool) -> Iterator[tqdm]:
    """Show a progress bar over the steps of all shards, starting at those already done."""
    done = sum(task.steps_done() for task in tasks)
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left"
    with tqdm(
        total=sum(task.times.total for task in tasks),
        initial=done,
        desc=f"{experiment.name}: {len(experiment.runs)} runs",
        bar_format=form,
        file=sys.stderr,
        disable=not progress,
    ) as bar:
        yield bar
