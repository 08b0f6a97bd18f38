"""Dispatch of shards: one after another here, or to an executor whose workers may be lost."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from pathlib import Path
from uuid import uuid4

from tqdm import tqdm

from empirics.experiment import Experiment
from empirics.running.kind import at_work
from empirics.running.shard import ShardTask, run_shard

__all__ = ["check_there", "work_here", "work_there"]

#: How often a shard may lose its worker at the same step before it is given up.
LOSSES = 3

#: How long running shards may take to save and stop, in seconds.
CALL_OFF_SECONDS = 120.0


def work_here(tasks: Sequence[ShardTask], bar: tqdm) -> None:
    """Compute the shards one after another in this process.

    Parameters
    ----------
    tasks
        The shards of a run.
    bar
        Progress bar over the steps of all shards.
    """
    for task in tasks:
        before = sum(other.steps_done() for other in tasks if other is not task)

        def tell(step: int, before: int = before) -> None:
            bar.update(before + step - bar.n)

        run_shard(task, tell)


def work_there(tasks: Sequence[ShardTask], executor: Executor, bar: tqdm) -> None:
    """Submit the unfinished shards to an executor; ask running ones to stop when anything fails.

    A shard whose worker was lost is submitted again; another worker then continues from its last checkpoint.

    Raises
    ------
    RuntimeError
        If a shard loses its worker repeatedly without progress, or the executor drops a shard.
    """
    losses: Counter[tuple[int, int]] = Counter()
    under_way: dict[Future[Path], ShardTask] = {}

    def hand_out(task: ShardTask) -> None:
        under_way[executor.submit(run_shard, dataclasses.replace(task, request=uuid4().hex))] = task

    try:
        for task in tasks:
            if not task.finished():
                hand_out(task)
        while under_way:
            done, _ = wait(under_way, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                task = under_way.pop(future)
                try:
                    future.result()
                except CancelledError:
                    raise RuntimeError(
                        f"the executor dropped shard {task.index} (is its scheduler still there?); resume continues"
                    ) from None
                except Exception as error:
                    losses[state := (task.index, task.steps_done())] += 1
                    if not _worker_lost(error):
                        raise
                    if losses[state] >= LOSSES:
                        raise RuntimeError(
                            f"shard {task.index} lost its worker {LOSSES} times at step {state[1]}: "
                            f"{str(error).splitlines()[0]}; resume continues"
                        ) from error
                    hand_out(task)
            bar.update(sum(task.steps_done() for task in tasks) - bar.n)
    except BaseException:
        _call_off(under_way, tasks[0].stop)
        raise


def _worker_lost(error: Exception) -> bool:
    """Whether an error is Dask's report that workers died with a task; matched by name, as Dask is an extra."""
    return type(error).__name__ == "KilledWorker" and type(error).__module__.startswith("distributed")


def _call_off(under_way: dict[Future[Path], ShardTask], stop: Path) -> None:
    """Ask the running shards to save and stop, and wait until they have."""
    with contextlib.suppress(OSError):
        stop.touch()
    for future, task in under_way.items():
        # Dask agrees to cancel a task that it cannot stop, which would then not be waited for.
        if task.worker() is None:
            future.cancel()
    wait(under_way, timeout=CALL_OFF_SECONDS)


def check_there(experiment: Experiment, device: str, executor: Executor) -> None:
    """Refuse, before anything is written, an experiment that a worker of an executor cannot compute."""
    executor.submit(_check, experiment, device, uuid4().hex).result()


def _check(experiment: Experiment, device: str, request: str) -> None:
    """Check as :func:`check_there` asks; `request` keeps an executor from answering from an earlier result."""
    kind = at_work(experiment)
    kind.check_device(device)
    kind.check_memory(device)
