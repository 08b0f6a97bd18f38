"""What may go wrong on the way: damaged files, a full disk, a worker that comes back."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from kill_and_resume import LONG, ended, same_numbers, until
from tiny import tiny

import empirics
from empirics import cli
from empirics.running import checkpoint, files, runner, shard
from empirics.running.files import DamagedFileError, FullDiskError, read_arrays, write_arrays
from empirics.running.lease import Beat, Lease

#: Does the first shard of an experiment file in a folder, so slowly that it is caught at it.
SHARD = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from empirics.experiment import Experiment
from empirics.running import runner, shard
from kill_and_resume import slowly

shard._train = slowly(shard._train, 0)
runner.LEASE_SECONDS = 600.0  # it never takes the process that has taken over for lost, however slow the machine
shard.run_shard(runner._tasks(Experiment.from_file(sys.argv[1]), runner.Path(sys.argv[2]), "cpu", 0.05)[0])
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return empirics.run(tiny(), tmp_path_factory.mktemp("whole") / "run", progress=False)


def same_arrays(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def widen(path):
    """As another version of this code would write it, that measures one number more at a snapshot."""
    arrays = read_arrays(path)
    write_arrays(path, arrays | {"pairs": np.pad(arrays["pairs"], ((0, 0), (0, 1), (0, 0)))})


def test_arrays_come_back_and_damage_is_seen(tmp_path):
    path, arrays = tmp_path / "a.npz", {"x": np.arange(7.0), "y": np.array([[True]]), "n": np.array(3)}
    write_arrays(path, arrays)
    found = read_arrays(path)
    assert found.keys() == arrays.keys()
    assert all(found[name].dtype == arrays[name].dtype and np.array_equal(found[name], arrays[name]) for name in arrays)
    with np.load(path) as plain:  # and any numpy reads it
        np.testing.assert_array_equal(plain["x"], arrays["x"])
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            read_arrays(path)
    for length in (0, 10, 64, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFileError):
            read_arrays(path)


@pytest.mark.parametrize(
    ("which", "damage"), [("newest", flip), ("newest", cut), ("both", cut), ("both", widen), ("segment", flip)]
)
def test_a_damaged_checkpoint_is_not_believed(tmp_path, whole, monkeypatch, damage, which):
    monkeypatch.setattr(shard, "NEWS_EVERY", 0.0)
    task = runner._tasks(tiny(), tmp_path, "cpu", 0.0)[0]  # a checkpoint every step
    (tmp_path / "experiment.toml").write_text(tiny().to_toml())

    def halfway(step):
        if step == 120:
            task.stop.touch()

    with pytest.raises(shard.ShardStopped):
        shard.run_shard(task, halfway)
    task.stop.unlink()
    folder = task.home / "checkpoints"
    kept = sorted(folder.glob("checkpoint-*.npz"))
    assert [int(path.stem[-12:]) for path in kept] == [119, 120]
    for path in {"newest": kept[1:], "both": kept, "segment": sorted(folder.glob("snap*"))[-1:]}[which]:
        damage(path)
    restored = []
    read = checkpoint.Checkpoints.restore

    def watched(self, trainer):
        restored.append(read(self, trainer))
        return restored[-1]

    monkeypatch.setattr(checkpoint.Checkpoints, "restore", watched)
    same_numbers(empirics.resume(tmp_path, progress=False), whole)
    assert restored[0] is not None
    diary = empirics.load(tmp_path).provenance["shards"][0]
    # A snapshot falls due every 4 steps from 30 on, the last at 118: both checkpoints stand on its segment.
    assert [line["step"] for line in diary if line["event"] == "begun"] == [0, {"newest": 119}.get(which, 0)]


class Number:
    """The state of a shard that does nothing but count its steps."""

    streams, held_from, stored = False, 0, None

    def __init__(self):
        self.step, self.value = 0, np.zeros(1)

    def arrays(self):
        return {"value": self.value}

    def put(self, arrays):
        self.value[...] = arrays["value"]


class Counting:
    start = Number


def test_damaged_checkpoints_do_not_count_among_those_kept(tmp_path):
    def at(store, step):
        state = Number()
        state.step, state.value[0] = step, step
        store.save(state)
        return tmp_path / f"checkpoint-{step:012d}.npz"

    at(store := checkpoint.Checkpoints(tmp_path, 10**9, 1), 10)
    for damaged in (20, 30):  # one after another: the intact one stays
        flip(at(store, damaged))
        found = (store := checkpoint.Checkpoints(tmp_path, 10**9, 1)).restore(Counting())
        assert (found.step, found.value[0]) == (10, 10)


class Full:
    """A disk, or a quota, that takes so many more writes."""

    def __init__(self, monkeypatch, writes, error):
        self.left, self._write, self._error = writes, files.write_atomic, error
        for module in (files, runner):
            monkeypatch.setattr(module, "write_atomic", self.write)

    def write(self, path, content, lasting=True, **options):
        if lasting:
            self.left -= 1
        if self.left < 0:
            raise OSError(self._error, os.strerror(self._error), str(path))
        self._write(path, content, lasting, **options)


@pytest.mark.parametrize(("writes", "error"), [(3, errno.ENOSPC), (7, errno.ENOSPC), (7, errno.EDQUOT)])
def test_a_full_disk_keeps_what_was_done(tmp_path, whole, monkeypatch, capsys, writes, error):
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    monkeypatch.setattr(runner.run, "__kwdefaults__", runner.run.__kwdefaults__ | {"checkpoint_seconds": 0.03})
    out = tmp_path / "out"
    with monkeypatch.context() as full:
        Full(full, writes, error)
        assert cli.main(["run", str(tmp_path / "tiny.toml"), "--out", str(out)]) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"thermo-theory: no room to write in {out} ({os.strerror(error)})")
        with pytest.raises(FullDiskError):
            empirics.resume(out, progress=False)
    assert not list(out.rglob("*.partial"))
    same_numbers(empirics.resume(out, progress=False), whole)


def test_a_full_disk_while_the_results_are_written(tmp_path, whole, monkeypatch):
    out = tmp_path / "out"

    def full(tree, folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("empirics.results.write", full)
        with pytest.raises(FullDiskError):
            empirics.run(tiny(), out, progress=False)
    told = empirics.status(out)
    assert told.shards_finished == (True, True)
    assert not told.finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/*/result.npz")}
    monkeypatch.setattr("empirics.running.shard._attempt", lambda *_: pytest.fail("trained again"))
    assert len(before) == 2
    same_numbers(empirics.resume(out, progress=False), whole)


def contended(tmp_path, program):
    """What one process makes of a shard, a child that begins the shard by a program, and the task for this process."""
    (tmp_path / "long.toml").write_text(LONG.to_toml())
    for name in ("whole", "shared"):
        (tmp_path / name).mkdir()
    (alone,) = runner._tasks(LONG, tmp_path / "whole", "cpu", 10.0)[:1]
    expected = read_arrays(shard.run_shard(alone))
    arguments = [sys.executable, "-c", program, str(tmp_path / "long.toml"), str(tmp_path / "shared")]
    child = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    task = shard.ShardTask(LONG, 0, tmp_path / "shared", checkpoint_seconds=0.05, lease_seconds=1.0)
    return expected, child, task


def test_a_worker_that_is_stopped_and_comes_back(tmp_path):
    expected, child, task = contended(tmp_path, SHARD)
    try:
        until(lambda: task.steps_done() > 0, child, task.folder)
        child.send_signal(signal.SIGSTOP)
        stopped = task.steps_done()
        woken = []

        def wake(step):  # a moment after this process has taken over
            if not woken:
                woken.append(step)
                child.send_signal(signal.SIGCONT)

        result = shard.run_shard(task, wake)
        _, errors = ended(child, task.folder)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == 0, errors
    assert woken[0] >= stopped > 0
    found = read_arrays(result)
    same_arrays(found, expected)
    begun = [(line["pid"], line["step"] > 0) for line in task.diary() if line["event"] == "begun"]
    assert begun == [(child.pid, False), (os.getpid(), True)]


#: As `SHARD`, on another machine, whose clock is an hour ahead.
AHEAD = f"""
import time, types
from empirics.running import lease

lease.HOST, lease.time = "elsewhere", types.SimpleNamespace(**vars(time) | {{"time": lambda: time.time() + 3600}})
{SHARD}
"""


def test_a_worker_whose_clock_is_an_hour_ahead_is_left_alone_until_it_dies(tmp_path):
    expected, child, task = contended(tmp_path, AHEAD)
    try:
        until(lambda: task.steps_done() > 0, child, task.folder)
        assert Lease(task.signs, 1.0).other().pid == child.pid
    finally:
        child.kill()
        child.communicate()
    same_arrays(read_arrays(shard.run_shard(task)), expected)
    assert [line["pid"] for line in task.diary() if line["event"] == "begun"] == [child.pid, os.getpid()]


def test_a_folder_that_stalls_costs_a_lease_once(tmp_path, monkeypatch):
    """A heartbeat that was begun before another process took over must not take the lease back from it."""
    first, second = (Lease(tmp_path / "signs.json", 1.0) for _ in range(2))
    armed, stalled, over = threading.Event(), threading.Event(), threading.Event()

    def name():  # of the file that is written aside: here a write begins
        if armed.is_set() and threading.current_thread().name.startswith("lease of"):
            armed.clear()
            stalled.set()
            over.wait(60)
        return uuid4()

    monkeypatch.setattr(files, "uuid4", name)
    assert first.take()
    with first.kept():
        armed.set()
        assert stalled.wait(60)
        assert second.take()
        with second.kept():
            over.set()
            until(lambda: first.lost)
            time.sleep(0.3)
            assert second.look()


def test_two_at_once_on_one_folder_of_checkpoints(tmp_path):
    """Whoever comes back writes what the other reads; every file is whole and of the one training."""
    task = runner._tasks(tiny(), tmp_path, "cpu", 10.0)[0]
    task.home.mkdir(parents=True)
    kind, times = runner.at_work(tiny()), task.times

    def keep():
        return checkpoint.Checkpoints(task.home / "checkpoints", times.burn_in, times.spacing)

    first, second, trainer = keep(), keep(), kind.trainer(task.runs, "cpu")
    slow, fast = trainer.start(), trainer.start()
    for round_ in range(1, 4):
        for state, ahead, checkpoints in ((slow, 7, first), (fast, 11, second)):
            while state.step < ahead * round_:
                trainer.advance(state)
            checkpoints.save(state)
        resumed = keep().restore(trainer)
        for state in (slow, fast):
            if state.step == resumed.step:
                same_arrays(resumed.arrays(), state.arrays())
                taken = max(0, state.step - times.burn_in) // times.spacing
                np.testing.assert_array_equal(resumed.kept(0, taken), state.kept(0, taken))
        assert resumed.step == fast.step


def test_a_lease(tmp_path):
    path = tmp_path / "signs.json"
    first, second = Lease(path, 2.0), Lease(path, 2.0)
    assert Beat.read(path) is None
    assert first.take()
    with first.kept():
        first.step, begun = 12, time.time()
        until(lambda: Beat.read(path).time > begun + 2)  # longer than it lasts without a sign of life
        assert second.other().step == 12
        assert not second.take(unless=lambda: True)
        assert first.other() is None
    assert second.other() is None  # at once: it has let go
    assert second.take()
    assert second.step == 12
    assert not first.look()
    elsewhere = Beat("somebody", "another-machine", os.getpid(), 3, time.time())
    assert elsewhere.live(600)
    assert not Beat("somebody", "another-machine", os.getpid(), 3, time.time() - 1200).live(600)
    assert not Beat("somebody", elsewhere.host, 1, 3, 0.0).live(30)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert not Beat("somebody", os.uname().nodename, dead.pid, 3, time.time()).live(30)
    assert not Beat("somebody", os.uname().nodename, os.getpid(), 3, time.time()).live(30)  # this one, before a restart
    shutil.rmtree(tmp_path)
    assert not second.look()


def test_somebody_at_work_on_another_machine(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(runner, "LEASE_SECONDS", 600.0)
    shutil.copytree(whole.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "results.zarr")
    signs = tmp_path / "run" / "shards" / "progress.json"
    signs.parent.joinpath("001").mkdir(parents=True)
    beat = '{"owner": "x", "host": "elsewhere", "pid": 7, "step": 40, "time": %f}'
    signs.write_text(beat % time.time())
    (signs.parent / "001" / "progress.json").write_text(beat % time.time())
    told = str(empirics.status(tmp_path / "run"))
    assert "running\n" in told
    assert "11% of the training done" in told  # 40 steps of 190 in one of two shards
    assert "shard 000: missing" in told
    assert "shard 001: running on elsewhere:7, step 40 of 190" in told
    with pytest.raises(
        empirics.ExperimentError, match=r"process on elsewhere \(last heartbeat .* s ago\) is working on"
    ):
        empirics.resume(tmp_path / "run", progress=False)
    for path in (signs, signs.parent / "001" / "progress.json"):
        path.write_text(beat % (time.time() - 1200))
    told = str(empirics.status(tmp_path / "run"))
    assert "not running" in told
    assert "shard 001: waiting, step 40 of 190" in told
    same_numbers(empirics.resume(tmp_path / "run", progress=False), whole)


def test_a_worker_that_does_not_see_the_folder_or_the_data(tmp_path):
    task = shard.ShardTask(tiny(), 0, Path("/nowhere/run"))
    with pytest.raises(empirics.ExperimentError, match="sees no folder /nowhere/run"):
        shard.run_shard(task)
    task = shard.ShardTask(tiny(), 0, tmp_path, checksum="0" * 64)
    with pytest.raises(empirics.ExperimentError, match="finds other data"):
        shard.run_shard(task)


class KilledWorker(Exception):
    """As Dask names it."""


KilledWorker.__module__ = "distributed.scheduler"


class Losing(Executor):
    """An executor whose workers die: `before` says what a lost one did, and for how many requests."""

    def __init__(self, losses, before=lambda task: None):
        self.losses, self.before, self.requests = losses, before, []

    def submit(self, work, task, *arguments):
        future = Future()
        if work is not shard.run_shard:
            future.set_result(work(task, *arguments))
            return future
        self.requests.append(task)
        if self.losses > 0:
            self.losses -= 1
            self.before(task)
            future.set_exception(KilledWorker("lost"))
        else:
            future.set_result(work(task))
        return future


def test_lost_shards_are_handed_out_again_as_long_as_they_get_further(tmp_path, whole):
    with pytest.raises(RuntimeError, match=r"shard [01] lost its worker 3 times at step 0: lost; resume continues"):
        empirics.run(tiny(), tmp_path / "stuck", executor=Losing(9), progress=False)
    reached = []

    def further(task):
        task.home.mkdir(exist_ok=True)
        reached.append(10 * len(reached) + 10)
        beat = json.dumps({"owner": "x", "host": "y", "pid": 1, "step": reached[-1], "time": 0.0})
        task.signs.write_text(beat)

    losing = Losing(9, further)
    same_numbers(empirics.run(tiny(), tmp_path / "run", executor=losing, progress=False), whole)
    assert len(losing.requests) == 2 + 9
    assert len({task.request for task in losing.requests}) == len(losing.requests)


def test_finished_shards_are_not_handed_out(tmp_path, whole):
    out = tmp_path / "run"
    out.mkdir()
    (out / "experiment.toml").write_text(tiny().to_toml())
    shard.run_shard(runner._tasks(tiny(), out, "cpu", 10.0)[0])
    executor = Losing(0)
    same_numbers(empirics.resume(out, executor=executor, progress=False), whole)
    assert [task.index for task in executor.requests] == [1]
