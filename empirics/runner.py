"""Run, resume, status: an experiment becomes shards, shards become results, here or on an executor.

The output folder::

    experiment.toml    what is run; written first, so that `resume` works from the first moment
    provenance.json    how: seeds, checksum of the data, and every session of work with command, versions and machine
    shards/NNN/        checkpoints while a shard trains, its result afterwards
    results.zarr       the results, written last
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from empirics import provenance, results
from empirics.experiment import Experiment, ExperimentError
from empirics.files import BusyError, held, hold, read_arrays, write_atomic
from empirics.kinds import Kind, at_work
from empirics.results import EXPERIMENT, STORE, Runs
from empirics.training.shard import ShardTask, run_shard

PROVENANCE = "provenance.json"
LOCK = Path("shards") / "lock"


def run(
    experiment: Experiment | str | Path,
    out: str | Path | None = None,
    *,
    device: str = "cpu",
    executor: Executor | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 10.0,
) -> Runs:
    """Train the whole grid of an experiment, measure it, and put the results into a folder.

    A folder that holds the same experiment is continued; if it is finished, its results are returned at once. The
    numbers depend on the experiment alone: not on interruptions, the executor or the number of cores.

    Parameters
    ----------
    experiment
        An experiment or the path of its file.
    out
        The output folder, by default ``runs/NAME``.
    device
        A torch device, e.g. ``"cuda"``.
    executor
        Where the shards run, e.g. a ``ProcessPoolExecutor`` with the spawn method; its workers must see the folder. By
        default they run here, one after another, each on one thread.
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
        If the request is wrong: the experiment, the device, or a folder that holds something else. Nothing is written.
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint; :func:`resume` continues.
    """
    if not isinstance(experiment, Experiment):
        experiment = Experiment.from_file(experiment)
    folder = Path(out) if out is not None else Path("runs") / experiment.name
    at_work(experiment).check_device(device)
    _check_folder(folder, experiment)
    return _continue(experiment, folder, _Manner(device, executor, progress, checkpoint_seconds))


def resume(
    out: str | Path,
    *,
    device: str = "cpu",
    executor: Executor | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 10.0,
) -> Runs:
    """Continue a run that was interrupted or killed, to the same numbers; a finished one is returned at once.

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
        If the folder holds no run, or the device is not there.
    """
    folder = Path(out)
    experiment = _experiment_in(folder)
    at_work(experiment).check_device(device)
    return _continue(experiment, folder, _Manner(device, executor, progress, checkpoint_seconds))


# --------------------------------------------------------------------------------------------------------- status
@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes
    ----------
    name, folder
        The experiment's name, and where the run is.
    runs
        Number of runs of the grid.
    steps_done, steps
        For each shard, steps done as last told, and steps in all.
    shards_finished
        For each shard, whether its results are whole.
    finished
        Whether the results of the whole run are there.
    running
        Whether a process on this machine is working on it now.
    counts
        Runs of each status, once finished.
    """

    name: str
    folder: Path
    runs: int
    steps_done: tuple[int, ...]
    steps: tuple[int, ...]
    shards_finished: tuple[bool, ...]
    finished: bool
    running: bool
    counts: dict[str, int]

    @property
    def share(self) -> float:
        """Share of the training that is done, 0 to 1."""
        return sum(self.steps_done) / sum(self.steps)

    def __str__(self) -> str:
        if self.finished:
            counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
            return f"{self.name} in {self.folder}: finished, {self.runs} runs ({counts})"
        now = "running" if self.running else "not running: resume continues it"
        lines = [f"{self.name} in {self.folder}: {self.share:.0%} of the training done, {self.runs} runs, {now}"]
        for index, (done, steps) in enumerate(zip(self.steps_done, self.steps, strict=True)):
            whole = self.shards_finished[index]
            state = "finished" if whole else "missing" if done == 0 else f"step {done:,} of {steps:,}"
            lines.append(f"  shard {index:03d}: {state}")
        return "\n".join(lines)


def status(out: str | Path) -> Status:
    """Tell what is done, running and missing in an output folder.

    Parameters
    ----------
    out
        The folder.

    Returns
    -------
    Status
        Its ``str`` is for people.

    Raises
    ------
    ExperimentError
        If the folder holds no run.
    """
    folder = Path(out)
    experiment = _experiment_in(folder)
    tasks = _tasks(experiment, folder, "cpu", 0.0)
    steps = tuple(task.times.total for task in tasks)
    finished = (folder / STORE).is_dir()
    return Status(
        name=experiment.name,
        folder=folder,
        runs=len(experiment.runs),
        steps_done=steps if finished else tuple(task.steps_done() for task in tasks),
        steps=steps,
        shards_finished=tuple(finished or task.finished() for task in tasks),
        finished=finished,
        running=not finished and held(folder / LOCK),
        counts=results.load(folder).status_counts() if finished else {},
    )


# --------------------------------------------------------------------------------------------------------- checks
def _experiment_in(folder: Path) -> Experiment:
    """Read the experiment that a folder holds.

    Raises
    ------
    ExperimentError
        With what would be right.
    """
    if not (folder / EXPERIMENT).is_file():
        what = "no folder" if not folder.is_dir() else "no run in"
        raise ExperimentError(f"{what} {folder}: give a folder that `run` has made ({EXPERIMENT} is missing)")
    return Experiment.from_file(folder / EXPERIMENT)


def _check_folder(folder: Path, experiment: Experiment) -> None:
    """Refuse a folder that holds anything but this experiment.

    Raises
    ------
    ExperimentError
        With what would be right.
    """
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"output {folder} is a file: give a folder that is new or holds this experiment")
    if (folder / EXPERIMENT).exists():
        if other := experiment.difference(_experiment_in(folder)):
            raise ExperimentError(f"{folder} holds another experiment ({other}): give another folder")
    elif folder.exists() and any(not path.name.startswith(EXPERIMENT) for path in folder.iterdir()):
        raise ExperimentError(f"{folder} holds other files: give a folder that is new, empty or holds this experiment")


# ----------------------------------------------------------------------------------------------------------- work
def _tasks(experiment: Experiment, folder: Path, device: str, checkpoint_seconds: float) -> list[ShardTask]:
    count = len(experiment.cut())
    return [ShardTask(experiment, index, folder, device, checkpoint_seconds) for index in range(count)]


@dataclass(frozen=True)
class _Manner:
    """How the work is done; nothing in here touches the numbers."""

    device: str
    executor: Executor | None
    progress: bool
    checkpoint_seconds: float


def _continue(experiment: Experiment, folder: Path, manner: _Manner) -> Runs:
    if (folder / STORE).is_dir():
        shutil.rmtree(folder / "shards", ignore_errors=True)  # left if it was killed at the very end
        return results.load(folder)
    kind = at_work(experiment)
    kind.check_memory(manner.device)
    # Both before anything is written: data that are missing, or Ctrl-C while they are read, leave no folder behind.
    data, dimension = kind.data(), kind.dimension()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / EXPERIMENT).exists():
            write_atomic(folder / EXPERIMENT, experiment.to_toml().encode())
        (folder / "shards").mkdir(exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    try:
        with hold(folder / LOCK):
            _work(kind, data, dimension, folder, manner)
    except BusyError:
        raise ExperimentError(f"another process is working on {folder}: wait for it, or give another folder") from None
    shutil.rmtree(folder / "shards")
    return results.load(folder)


def _work(kind: Kind, data: dict[str, str] | None, dimension: int, folder: Path, manner: _Manner) -> None:
    """Train what is not trained yet, and write the results."""
    experiment = kind.experiment
    record = _open_session(folder, kind, data, manner.device)
    tasks = _tasks(experiment, folder, manner.device, manner.checkpoint_seconds)
    tasks[0].stop.unlink(missing_ok=True)
    with _bar(experiment, tasks, manner.progress) as bar:
        if manner.executor is None:
            _work_here(tasks, bar)
        else:
            _work_there(tasks, manner.executor, bar)
    record["sessions"][-1]["ended"] = provenance.now()
    _write_json(folder / PROVENANCE, record)
    arrays = results.joined([read_arrays(task.result) for task in tasks])
    results.write(results.label(experiment, dimension, record, arrays, kind.attributes()), folder)


def _open_session(folder: Path, kind: Kind, data: dict[str, str] | None, device: str) -> dict[str, Any]:
    """Add this session to the provenance of the run; sessions that were killed keep ``ended`` null.

    Raises
    ------
    ExperimentError
        If the data, or the network of the user's own, are not those the run was begun with.
    """
    path = folder / PROVENANCE
    record: dict[str, Any] = {"seeds": list(kind.experiment.seeds), "sessions": []}
    if data is not None:
        record["data"] = data
    if (model := kind.model()) is not None:
        record["model"] = model
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if data is not None and (before := record["data"]["sha256"]) != data["sha256"]:
            raise ExperimentError(
                f"{folder} was begun with other data (sha256 {before[:12]}…, now {data['sha256'][:12]}…): "
                "start anew in another folder"
            )
        if model is not None and record.get("model", model) != model:
            raise ExperimentError(f"{folder} was begun with another network: start anew in another folder")
    record["sessions"].append(provenance.session(device))
    _write_json(path, record)
    return record


def _write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


@contextmanager
def _bar(experiment: Experiment, tasks: Sequence[ShardTask], progress: bool) -> Iterator[tqdm]:
    """Show a progress bar over the steps of all shards, from where the run stands.

    Yields
    ------
    tqdm
        The bar.
    """
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


def _work_here(tasks: Sequence[ShardTask], bar: tqdm) -> None:
    for task in tasks:
        before = sum(other.steps_done() for other in tasks if other is not task)

        def tell(step: int, before: int = before) -> None:
            bar.update(before + step - bar.n)

        run_shard(task, tell)


def _work_there(tasks: Sequence[ShardTask], executor: Executor, bar: tqdm) -> None:
    """Hand the shards to the executor; when anything goes wrong, ask those under way to save and stop."""
    waiting: set[Future[Path]] = {executor.submit(run_shard, task) for task in tasks}
    try:
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            bar.update(sum(task.steps_done() for task in tasks) - bar.n)
    except BaseException:
        tasks[0].stop.touch()
        for future in waiting:
            future.cancel()
        wait(waiting)
        raise
