"""Checkpoints of a shard: small files with the state, and beside them the snapshots taken since the checkpoint before.

Weight vectors make up most of the data of a run. Each is written once, in a segment; a checkpoint lists the segments it
needs. The last two checkpoints are kept: if the newest, or one of its segments, is damaged, the one before is used.

Several processes may work in one folder (a worker presumed lost may come back). The content of a file follows from its
name, except for the list of segments in a checkpoint and the layout of a segment, and segments are removed only once
the results of the shard are safe. So any process can read what any other wrote: all of them compute the same training.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from empirics.running.files import DamagedFileError, read_arrays, remove_leftovers, write_arrays
from empirics.running.kind import AnyState, ShardState, Trainer

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{12})\.npz")


def _by_run(rows: NDArray) -> dict[str, NDArray]:
    """Snapshots (snapshot, run, d) as one array per run, so that each can be read alone."""
    return {f"run.{i}": rows[:, i] for i in range(rows.shape[1])}


def _together(stored: dict[str, NDArray]) -> NDArray:
    """Snapshots (snapshot, run, d) as they were: the device that wrote them may have had room for all, or not."""
    if "snapshots" in stored:
        return stored["snapshots"]
    return np.stack([stored[f"run.{i}"] for i in range(len(stored))], axis=1)


class Checkpoints:
    """The checkpoints in one folder.

    Parameters
    ----------
    folder
        Created when first needed.
    measured_from, spacing
        Step at which measuring begins, and steps between snapshots: they determine the number of snapshots in a state.
    """

    def __init__(self, folder: Path, measured_from: int, spacing: int) -> None:
        self.folder, self._from, self._spacing = folder, measured_from, spacing
        self._segments: list[tuple[int, int]] = []

    def _taken(self, step: int) -> int:
        return max(0, step - self._from) // self._spacing

    def _segment(self, start: int, stop: int) -> Path:
        return self.folder / f"snapshots-{start:08d}-{stop:08d}.npz"

    def save(self, state: ShardState) -> None:
        """Write the state, then remove all older checkpoints but one."""
        self.folder.mkdir(exist_ok=True)  # and not the shard's own: once that is gone all is done
        written, taken = self._segments[-1][1] if self._segments else 0, self._taken(state.step)
        if taken > written:
            rows = state.kept(written, taken)
            write_arrays(self._segment(written, taken), _by_run(rows) if state.streams else {"snapshots": rows})
            self._segments.append((written, taken))
        if state.streams:
            state.held_from = taken
        arrays = {
            "step": np.array(state.step),
            "segments": np.array(self._segments, dtype=np.int64).reshape(-1, 2),
        }
        write_arrays(self.folder / f"checkpoint-{state.step:012d}.npz", arrays | state.arrays())
        for old in self._newest_first()[KEPT:]:
            old.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((path for path in found if _NAME.fullmatch(path.name)), reverse=True)

    def restore(self, trainer: Trainer[AnyState]) -> AnyState:
        """Read the newest intact state, or start anew if there is none; damaged checkpoints are removed."""
        remove_leftovers(self.folder)
        state = self._newest(trainer)
        state.stored = self.of_run
        return state

    def of_run(self, run: int) -> NDArray:
        """Read all snapshots of one run, without reading the other runs where they were stored by run."""
        parts = []
        for start, stop in self._segments:
            with np.load(self._segment(start, stop), allow_pickle=False) as segment:
                parts.append(segment[name] if (name := f"run.{run}") in segment else segment["snapshots"][:, run])
        return np.concatenate(parts)

    def _newest(self, trainer: Trainer[AnyState]) -> AnyState:
        for path in self._newest_first():
            try:
                return self._read(path, trainer.start())
            except (DamagedFileError, KeyError):  # the second: a checkpoint of another version of this code
                path.unlink(missing_ok=True)  # or it would count as the newest of those kept
        self._segments = []
        return trainer.start()

    def _read(self, path: Path, state: AnyState) -> AnyState:
        """Fill a fresh state from one checkpoint and the segments it names."""
        arrays = read_arrays(path)
        segments = [(int(start), int(stop)) for start, stop in arrays["segments"]]
        if state.streams:
            state.held_from = segments[-1][1] if segments else 0
        for start, stop in segments:
            stored = read_arrays(self._segment(start, stop))
            if not state.streams:  # else it is whole, and will be read a run at a time
                state.put_kept(start, _together(stored))
        state.put(arrays)
        state.step = int(arrays["step"])
        self._segments = segments
        return state
