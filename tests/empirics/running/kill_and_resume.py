"""What the tests share that kill, stop and resume runs, and wait for other processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import xarray as xr
from tiny import tiny

from empirics.running.lease import Beat

#: Work for a second or two; :func:`slowly` keeps it from ending before the signal comes.
LONG = tiny(("burn_in = 30", "burn_in = 800"), ("steps = 160", "steps = 6400"), ("spacing = 4", "spacing = 160"))

#: How long nothing may move before a wait is given up, in seconds: a loaded machine is slow, and not stuck.
PATIENCE = 180.0

#: A child that runs an experiment file into a folder and crawls through one shard: `FILE FOLDER SHARD`.
CRAWLING = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
import empirics
from empirics.running import shard
from kill_and_resume import slowly

shard._train = slowly(shard._train, int(sys.argv[3]))
empirics.run(sys.argv[1], sys.argv[2], progress=False, checkpoint_seconds=0.05)
"""


def same_numbers(a, b):
    assert set(a.tree.children) == set(b.tree.children)
    for group in a.tree.children:
        xr.testing.assert_identical(a.tree[group].to_dataset(), b.tree[group].to_dataset())


def slowly(train, index):
    """The training loop of a shard, but that shard `index` takes minutes once it has a snapshot: no signal is late."""

    def crawl(task, trainer, *rest):
        advance = trainer.advance

        def step(state):
            advance(state)
            if state.step > 1000:
                time.sleep(0.05)

        if task.index == index:
            trainer.advance = step
        return train(task, trainer, *rest)

    return crawl


class Waiting:
    """Looks whether a child, or the run in a folder, gets on.

    What counts are seconds of the child's computing time, the files of the run, and the steps told with its heartbeats;
    not the heart's beating, which goes on when the work hangs.
    """

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        self.seen, self.since = None, time.monotonic()

    def look(self):
        if (now := (self._seconds(), self._files())) != self.seen:
            self.seen, self.since = now, time.monotonic()
        assert time.monotonic() - self.since < PATIENCE, f"nothing has moved for {PATIENCE:.0f} s: {self.seen}"

    def _seconds(self):
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except (AttributeError, OSError):  # no child, or a system without /proc
            return 0
        return (int(fields[11]) + int(fields[12])) // os.sysconf("SC_CLK_TCK")

    def _files(self):
        found = {}
        for path in self.folder.rglob("*") if self.folder else ():
            try:
                beat = Beat.read(path) if path.name == "progress.json" else None
                found[str(path)] = (beat.owner, beat.step) if beat else path.stat().st_mtime_ns
            except OSError:  # gone meanwhile
                continue
        return found


def until(condition, process=None, folder=None):
    """Wait for something to become true, as long as the child or the folder gets on; gives what it was."""
    waiting, next_look = Waiting(process, folder), 0.0
    while not (found := condition()):
        assert process is None or process.poll() is None or condition(), process.stderr and process.stderr.read()
        if time.monotonic() > next_look:
            waiting.look()
            next_look = time.monotonic() + 1
        time.sleep(0.002)
    return found


def ended(process, folder=None):
    """Wait for a child to end, as long as it gets on; gives what it wrote to stdout and stderr."""
    waiting = Waiting(process, folder)
    while True:
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            waiting.look()


def program(words, folder, **options):
    """Run the command line to its end in a process of its own; gives its exit code, stdout and stderr."""
    words = [sys.executable, "-m", "empirics.cli", *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            out, err = ended(process, folder)
        finally:
            process.kill()
    return process.returncode, out, err


def workers(out):
    """The shards that are at work and have told of a step: number of the shard, and its last sign of life."""
    beats = {int(path.parent.name): Beat.read(path) for path in out.glob("shards/*/progress.json")}
    done = [path.parent.name for path in out.glob("shards/*/result.npz")]
    return {i: b for i, b in beats.items() if b and b.step > 0 and b.live(PATIENCE) and f"{i:03d}" not in done}
