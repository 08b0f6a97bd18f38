"""What the tests share that kill, stop and resume runs."""

import time

import xarray as xr
from tiny import tiny

from empirics.running.lease import Beat

#: Long enough to be killed in: a second or two without interruption.
LONG = tiny(("burn_in = 30", "burn_in = 800"), ("steps = 160", "steps = 6400"), ("spacing = 4", "spacing = 160"))


def same_numbers(a, b):
    assert set(a.tree.children) == set(b.tree.children)
    for group in a.tree.children:
        xr.testing.assert_identical(a.tree[group].to_dataset(), b.tree[group].to_dataset())


def until(condition, process=None, patience=30.0):
    """Wait for something to become true; gives what it was."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return found


def workers(out):
    """The shards that are at work and have told of a step: number of the shard, and its last sign of life."""
    beats = {int(path.parent.name): Beat.read(path) for path in out.glob("shards/*/progress.json")}
    done = [path.parent.name for path in out.glob("shards/*/result.npz")]
    return {i: b for i, b in beats.items() if b and b.step > 0 and b.live(30) and f"{i:03d}" not in done}
