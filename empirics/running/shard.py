"""One shard from its beginning, or its last checkpoint, to its results: a pure function of the experiment.

It can be called here or by any ``concurrent.futures.Executor`` whose workers see the folder; the numbers are the same.
It may be called again, also while it is at work elsewhere: a call waits for one that gives signs of life, goes on from
its last checkpoint if they cease, and does nothing once the results are there.
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

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from empirics.experiment import Experiment, ExperimentError, Run, Times
from empirics.results import STORE
from empirics.running import provenance
from empirics.running.checkpoint import Checkpoints
from empirics.running.files import DamagedFileError, read_arrays, remove_leftovers, write_arrays
from empirics.running.kind import AnyState, Trainer, at_work
from empirics.running.lease import HOST, Beat, Lease

NEWS_EVERY = 0.3  # seconds between two looks at the clock's consequences: progress told, a request to stop heard


class ShardStopped(Exception):
    """The run was asked to stop; the shard has written a checkpoint."""


class _LeaseLost(Exception):
    """Somebody else took this process for lost and has gone on with the shard."""


@dataclass(frozen=True)
class ShardTask:
    """What a worker must know to do one shard.

    Attributes
    ----------
    experiment
        The whole experiment.
    index
        Which of its shards.
    folder
        The run's output folder.
    device
        A torch device.
    checkpoint_seconds
        Work between two checkpoints; does not touch the numbers.
    lease_seconds
        How long after its last sign of life a worker counts as gone.
    checksum
        Of the data, if whoever works on it must find the same.
    request
        Tells requests for the same shard apart: some executors would answer two that are equal with one result.
    """

    experiment: Experiment
    index: int
    folder: Path
    device: str = "cpu"
    checkpoint_seconds: float = 10.0
    lease_seconds: float = 30.0
    checksum: str | None = None
    request: str = ""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The shard's runs."""
        return self.experiment.cut()[self.index]

    @property
    def times(self) -> Times:
        """When they do what."""
        return self.experiment.times(self.runs)

    @property
    def home(self) -> Path:
        """The shard's own folder."""
        return self.folder / "shards" / f"{self.index:03d}"

    @property
    def result(self) -> Path:
        """Where its finished results are."""
        return self.home / "result.npz"

    @property
    def stop(self) -> Path:
        """A file whose presence asks every shard of the run to save and stop."""
        return self.folder / "shards" / "stop"

    def finished(self) -> bool:
        """Whether the results are there and whole."""
        try:
            read_arrays(self.result)
        except DamagedFileError:
            return False
        return True

    def over(self) -> bool:
        """Whether nothing is left to do: the results are there, or those of the whole run are."""
        return (self.folder / STORE).is_dir() or self.finished()

    @property
    def signs(self) -> Path:
        """The file with its worker's signs of life."""
        return self.home / "progress.json"

    def worker(self) -> Beat | None:
        """Tell who is at work on it, on whatever machine, if anybody is."""
        found = Beat.read(self.signs)
        return found if found and found.live(self.lease_seconds) and not self.result.exists() else None

    def steps_done(self) -> int:
        """Read the steps done, as last told by the shard (its checkpoint may be a little behind)."""
        if self.result.exists():
            return self.times.total
        found = Beat.read(self.signs)
        return found.step if found else 0

    def note(self, event: str, step: int) -> None:
        """Add a line to the shard's diary; that it cannot be written is no reason to stop."""
        line = json.dumps({"event": event, "step": step, "host": HOST, "pid": os.getpid(), "at": provenance.now()})
        with contextlib.suppress(OSError), (self.home / "diary.jsonl").open("a", encoding="utf-8") as diary:
            diary.write(line + "\n")  # one short write to a file opened for appending: lines do not mix

    def diary(self) -> list[dict[str, str | int]]:
        """Read who began, went on with and finished the shard."""
        try:
            lines = (self.home / "diary.jsonl").read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line]
        except (OSError, ValueError):
            return []


class _Interrupts:
    """Hears Ctrl-C while a step is under way and lets the step end first: half a step must not be saved."""

    def __init__(self) -> None:
        self.heard = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True

    @contextlib.contextmanager
    def listen(self) -> Iterator[None]:
        """Replace Python's own handler, if it is in place and this is the thread that may."""
        ours = threading.current_thread() is threading.main_thread()
        if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _full_precision() -> None:
    """Turn off TF32, which rounds the factors of a product to 10 bits on some GPUs; `provenance` records it as off."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


class _OneThread:
    """Torch and BLAS on one thread while any shard runs: sums cut differently among threads round differently."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, 1

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Set one thread, and restore what was set before when the last shard leaves."""
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_num_threads()
            self._inside += 1
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1):
                yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    torch.set_num_threads(self._before)


_one_thread = _OneThread()


def run_shard(task: ShardTask, tell: Callable[[int], None] | None = None) -> Path:
    """Train and measure one shard, from its newest whole checkpoint if it has one.

    Parameters
    ----------
    task
        What to do.
    tell
        Called now and then with the number of steps done.

    Returns
    -------
    Path
        The file of results; an existing one that is whole is left as it is.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint has been written.
    ShardStopped
        When the run's stop file appears, after a checkpoint has been written.
    ExperimentError
        If this process does not see the run's folder, or the data it was begun with.
    OSError
        If the results or a checkpoint cannot be written.
    """
    if not task.folder.is_dir():
        raise ExperimentError(f"{HOST} sees no folder {task.folder}: all workers must see it under that name")
    task.home.mkdir(parents=True, exist_ok=True)
    lease = Lease(task.signs, task.lease_seconds)
    while not task.over():
        if not lease.take(unless=lambda: task.stop.exists() or task.over()):
            if task.stop.exists():
                raise ShardStopped(f"shard {task.index} was not begun")
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
    """Go on with a shard from where it stands to its results.

    Raises
    ------
    ExperimentError
        If the data are not those the run was begun with.
    """
    times, interrupts, kind = task.times, _Interrupts(), at_work(task.experiment)
    if task.checksum is not None and (found := kind.data()) is not None and found["sha256"] != task.checksum:
        raise ExperimentError(f"{HOST} finds other data under [data] path than the run was begun with")
    remove_leftovers(task.home)
    _full_precision()
    with _one_thread.hold(), torch.no_grad(), interrupts.listen():
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
    """Advance to the last step, with checkpoints, unless asked to stop before.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after a checkpoint.
    ShardStopped
        When the run's stop file appears, after a checkpoint.
    _LeaseLost
        When somebody else has taken over.
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
