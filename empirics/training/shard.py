"""One shard from its beginning, or its last checkpoint, to its results: a pure function of the experiment.

It can be called here or by any ``concurrent.futures.Executor`` whose workers see the folder; the numbers are the same.
"""

import contextlib
import json
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

from empirics.experiment import Experiment, Run, Times
from empirics.files import DamagedFileError, read_arrays, write_arrays
from empirics.kinds import AnyState, Trainer, at_work
from empirics.training.checkpoint import Checkpoints

NEWS_EVERY = 0.3  # seconds between two looks at the clock's consequences: progress told, a request to stop heard


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
    """

    experiment: Experiment
    index: int
    folder: Path
    device: str = "cpu"
    checkpoint_seconds: float = 10.0

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

    def steps_done(self) -> int:
        """Read the steps done, as last told by the shard (its checkpoint may be a little behind)."""
        if self.result.exists():
            return self.times.total
        try:
            return int(json.loads((self.home / "progress.json").read_text(encoding="ascii"))["step"])
        except (OSError, ValueError, KeyError):
            return 0


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
        On Ctrl-C, or when the run's stop file appears, after a checkpoint has been written.
    """
    if task.finished():
        return task.result
    task.home.mkdir(parents=True, exist_ok=True)
    times = task.times
    interrupts = _Interrupts()
    _full_precision()
    with _one_thread.hold(), torch.no_grad(), interrupts.listen():
        trainer = at_work(task.experiment).trainer(task.runs, task.device)
        checkpoints = Checkpoints(task.home / "checkpoints", times.burn_in, times.spacing)
        state = checkpoints.restore(trainer)
        if not _train(task, trainer, state, checkpoints, interrupts, tell):
            raise KeyboardInterrupt
        write_arrays(task.result, trainer.summarise(state))
    # Only now: until the results are safe, the last checkpoint is what the measuring can be repeated from.
    shutil.rmtree(checkpoints.folder)
    return task.result


def _train(
    task: ShardTask,
    trainer: Trainer[AnyState],
    state: AnyState,
    checkpoints: Checkpoints,
    interrupts: _Interrupts,
    tell: Callable[[int], None] | None,
) -> bool:
    """Advance to the last step, with checkpoints; False if asked to stop before."""
    total, news = task.times.total, time.monotonic()
    saved = news
    while state.step < total and not interrupts.heard:
        trainer.advance(state)
        now = time.monotonic()
        if now - saved >= task.checkpoint_seconds or trainer.full(state):
            checkpoints.save(state)
            saved = time.monotonic()
        if now - news >= NEWS_EVERY:
            news = now
            (task.home / "progress.json").write_text(json.dumps({"step": state.step}), encoding="ascii")
            if tell:
                tell(state.step)
            interrupts.heard |= task.stop.exists()
    checkpoints.save(state)
    if tell:
        tell(state.step)
    return state.step == total and not interrupts.heard
