"""One shard from its beginning, or its last checkpoint, to its results: a pure function of the experiment.

It can be called here or by any ``concurrent.futures.Executor`` whose workers see the folder; the numbers are the same.
It may be called again, even while it is running elsewhere: the call waits while the other one has a heartbeat, resumes
from its last checkpoint if the heartbeat stops, and does nothing once the results exist.
"""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from empirics.experiment import Experiment, ExperimentError, Run, Times
from empirics.results import STORE
from empirics.running import provenance
from empirics.running.checkpoint import Checkpoints
from empirics.running.device import arithmetic, card_of
from empirics.running.files import DamagedFileError, read_arrays, remove_leftovers, write_arrays
from empirics.running.kind import AnyState, Trainer, at_work
from empirics.running.lease import HOST, Beat, Lease

NEWS_EVERY = 0.3  # seconds between two reports of progress, which are also when a request to stop is seen


class ShardStopped(Exception):
    """The run was asked to stop; the shard has saved a checkpoint."""


class _LeaseLost(Exception):
    """Another process presumed this one lost and has taken over the shard."""


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to compute one shard."""

    experiment: Experiment  # the whole experiment
    index: int  # number of the shard
    folder: Path  # the run's output folder
    device: str = "cpu"  # a torch device
    checkpoint_seconds: float = 10.0  # time between two checkpoints; has no effect on the numbers
    lease_seconds: float = 30.0  # how long after its last heartbeat a worker is presumed lost
    checksum: str | None = None  # checksum that the data of the worker must have, if any
    request: str = ""  # makes requests for the same shard differ: some executors answer equal requests with one result

    @property
    def runs(self) -> tuple[Run, ...]:
        """The shard's runs."""
        return self.experiment.cut()[self.index]

    @property
    def times(self) -> Times:
        """The timetable of the shard."""
        return self.experiment.times(self.runs)

    @property
    def home(self) -> Path:
        """The shard's own folder."""
        return self.folder / "shards" / f"{self.index:03d}"

    @property
    def result(self) -> Path:
        """File of the finished results."""
        return self.home / "result.npz"

    @property
    def stop(self) -> Path:
        """File whose presence asks every shard of the run to save and stop."""
        return self.folder / "shards" / "stop"

    def finished(self) -> bool:
        """Whether the results exist and are intact."""
        try:
            read_arrays(self.result)
        except DamagedFileError:
            return False
        return True

    def over(self) -> bool:
        """Whether nothing is left to do: the results of the shard, or of the whole run, exist."""
        return (self.folder / STORE).is_dir() or self.finished()

    @property
    def signs(self) -> Path:
        """File with the heartbeat of its worker."""
        return self.home / "progress.json"

    def worker(self) -> Beat | None:
        """Return the heartbeat of the worker computing it, on any machine, or None."""
        found = Beat.read(self.signs)
        return found if found and found.live(self.lease_seconds) and not self.result.exists() else None

    def steps_done(self) -> int:
        """Return the steps done, as last reported by the shard (its checkpoint may be slightly behind)."""
        if self.result.exists():
            return self.times.total
        found = Beat.read(self.signs)
        return found.step if found else 0

    def note(self, event: str, step: int) -> None:
        """Add a line to the diary of the shard; failing to write it does not stop the work."""
        facts = {"event": event, "step": step, "host": HOST, "pid": os.getpid(), "at": provenance.now()}
        line = json.dumps(facts | card_of(self.device))
        with contextlib.suppress(OSError), (self.home / "diary.jsonl").open("a", encoding="utf-8") as diary:
            diary.write(line + "\n")  # one short write to a file opened for appending: lines do not mix

    def diary(self) -> list[dict[str, str | int]]:
        """Read which processes began, continued and finished the shard."""
        try:
            lines = (self.home / "diary.jsonl").read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line]
        except (OSError, ValueError):
            return []


class _Interrupts:
    """Catches Ctrl-C during a step and lets the step end first: half a step must not be saved."""

    def __init__(self) -> None:
        self.heard = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True

    @contextlib.contextmanager
    def listen(self) -> Iterator[None]:
        """Replace Python's own handler, if it is in place and this is the main thread."""
        ours = threading.current_thread() is threading.main_thread()
        if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def run_shard(task: ShardTask, tell: Callable[[int], None] | None = None) -> Path:
    """Train and measure one shard, from its newest intact checkpoint if it has one; intact results are kept.

    `tell` is called from time to time with the number of steps done. Returned is the file of results.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint.
    ShardStopped
        When the stop file of the run appears, after a checkpoint.
    ExperimentError
        If this process does not see the folder of the run, or finds other data than the run was started with.
    OSError
        If the results or a checkpoint cannot be written.
    """
    if not task.folder.is_dir():
        raise ExperimentError(f"{HOST} sees no folder {task.folder}: all workers must see it under this path")
    task.home.mkdir(parents=True, exist_ok=True)
    lease = Lease(task.signs, task.lease_seconds)
    while not task.over():
        if not lease.take(unless=lambda: task.stop.exists() or task.over()):
            if task.stop.exists():
                raise ShardStopped(f"shard {task.index} was not started")
            continue
        try:
            with lease.kept():
                _attempt(task, lease, tell)
        except _LeaseLost:
            continue
        except OSError:  # files that vanish are what a worker sees whose shard another one has finished
            if lease.look():
                raise
    return task.result


def _attempt(task: ShardTask, lease: Lease, tell: Callable[[int], None] | None) -> None:
    """Continue a shard from its present state to its results, on the data that the run was started with."""
    import torch

    times, interrupts, kind = task.times, _Interrupts(), at_work(task.experiment)
    if task.checksum is not None and (found := kind.data()) is not None and found["sha256"] != task.checksum:
        raise ExperimentError(f"{HOST} finds other data under [data] path than the run was started with")
    remove_leftovers(task.home)
    with arithmetic(kind.deterministic), torch.no_grad(), interrupts.listen():
        trainer = kind.trainer(task.runs, task.device)
        checkpoints = Checkpoints(task.home / "checkpoints", times.burn_in, times.spacing)
        state = checkpoints.restore(trainer)
        task.note("begun", state.step)
        _train(task, trainer, state, checkpoints, interrupts, lease, tell)
        write_arrays(task.result, kind.summarise(trainer, state))
    task.note("finished", state.step)
    # Only now: until the results are safe, the last checkpoint is what the measuring can be repeated from.
    shutil.rmtree(checkpoints.folder, ignore_errors=True)


def _train(
    task: ShardTask,
    trainer: Trainer[AnyState],
    state: AnyState,
    checkpoints: Checkpoints,
    interrupts: _Interrupts,
    lease: Lease,
    tell: Callable[[int], None] | None,
) -> None:
    """Advance to the last step, saving checkpoints, unless asked to stop earlier.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint.
    ShardStopped
        When the stop file of the run appears, after a checkpoint.
    _LeaseLost
        When another process has taken over.
    """
    total, news, stopped = task.times.total, time.monotonic(), False
    saved, lease.step = news, state.step
    while state.step < total and not (interrupts.heard or stopped):
        trainer.advance(state)
        now = time.monotonic()
        if now - saved >= task.checkpoint_seconds or trainer.full(state):
            checkpoints.save(state)
            saved = time.monotonic()
        if now - news >= NEWS_EVERY:
            news, lease.step = now, state.step
            if tell:
                tell(state.step)
            if lease.lost:
                raise _LeaseLost
            stopped = task.stop.exists()
    checkpoints.save(state)
    lease.step = state.step
    if tell:
        tell(state.step)
    if interrupts.heard:
        raise KeyboardInterrupt
    if stopped and state.step < total:
        raise ShardStopped(f"shard {task.index} at step {state.step}")
