"""Progress of a run, read from its folder: what is done, what runs where, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from empirics import results
from empirics.experiment import Experiment
from empirics.running.lease import Beat
from empirics.running.shard import ShardTask

__all__ = ["Status", "tell"]


@dataclass(frozen=True)
class Status:
    """Progress of a run.

    Attributes
    ----------
    name, folder
        Name of the experiment, and output folder.
    runs
        Number of runs of the grid.
    steps_done, steps
        For each shard, steps done as last reported, and total steps.
    shards_finished
        For each shard, whether its results exist and are intact.
    workers
        For each shard, ``host:pid`` of the process computing it, on any machine, or None.
    finished
        Whether the results of the whole run exist.
    running
        Whether a process is working on it now.
    counts
        Number of runs per status, once finished.
    """

    name: str
    folder: Path
    runs: int
    steps_done: tuple[int, ...]
    steps: tuple[int, ...]
    shards_finished: tuple[bool, ...]
    workers: tuple[str | None, ...]
    finished: bool
    running: bool
    counts: dict[str, int]

    @property
    def share(self) -> float:
        """Fraction of the training done, 0 to 1."""
        return sum(self.steps_done) / sum(self.steps)

    def __str__(self) -> str:
        if self.finished:
            counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
            return f"{self.name} in {self.folder}: finished, {self.runs} runs ({counts})"
        now = "running" if self.running else "not running (resume continues it)"
        lines = [f"{self.name} in {self.folder}: {self.share:.0%} of the training done, {self.runs} runs, {now}"]
        return "\n".join([*lines, *(f"  shard {index:03d}: {self._shard(index)}" for index in range(len(self.steps)))])

    def _shard(self, index: int) -> str:
        if self.shards_finished[index]:
            return "finished"
        done, worker = self.steps_done[index], self.workers[index]
        reached = f"step {done:,} of {self.steps[index]:,}"
        if worker is not None:
            return f"running on {worker}, {reached}"
        return f"waiting, {reached}" if done else "missing"


def tell(experiment: Experiment, tasks: Sequence[ShardTask], signs: Path, seconds: float) -> Status:
    """Report the progress of a run from its shards.

    `signs` is the file with the heartbeat of the process that leads the run, which is presumed lost `seconds` after its
    last one.
    """
    folder = signs.parent.parent
    finished = results.has_store(folder)
    steps = tuple(task.times.total for task in tasks)
    workers = [None if finished else task.worker() for task in tasks]
    lead = Beat.read(signs)
    return Status(
        name=experiment.name,
        folder=folder,
        runs=len(experiment.runs),
        steps_done=steps if finished else tuple(task.steps_done() for task in tasks),
        steps=steps,
        shards_finished=tuple(finished or task.finished() for task in tasks),
        workers=tuple(f"{worker.host}:{worker.pid}" if worker else None for worker in workers),
        finished=finished,
        running=not finished and ((lead is not None and lead.live(seconds)) or any(workers)),
        counts=results.status_counts(folder) if finished else {},
    )
