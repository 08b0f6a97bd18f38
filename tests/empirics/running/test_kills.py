"""SIGKILL at random moments, a limit on the size of files, and a cluster that loses workers."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import xarray as xr
from gas import small
from gas_table import gas_table
from kill_and_resume import LONG, ended, program, same_numbers, until, workers
from tiny import tiny

import empirics
from empirics import cli
from empirics.running import runner
from empirics.running.lease import Beat

pytestmark = pytest.mark.long

CHILD = """
import sys, empirics
from empirics.training import ensemble

ensemble.HELD_SNAPSHOTS = int(sys.argv[3])
empirics.run(sys.argv[1], sys.argv[2], progress=False, checkpoint_seconds=0.05)
"""

#: An optimiser with a memory, halves and Hessian probes; snapshots that go to disk as they come; the isotropic gas.
EXPERIMENTS = {
    "adamw": (
        tiny(
            *(("burn_in = 30", "burn_in = 200"), ("steps = 160", "steps = 1600"), ("spacing = 4", "spacing = 40")),
            ('optimizer = "sgd"', 'optimizer = "adamw"\nhalves = true'),
            ("{noise = 10.0}", "1.0"),
            ("trace_points = 19", "trace_points = 19\nhessian_probes = 1"),
        ),
        2**28,
    ),
    "streaming": (LONG, 20_000),
    "gas": (
        small(
            *(("burn_in = 500", "burn_in = 100_000"), ("steps = 4000", "steps = 2_000_000")),
            ("spacing = 10", "spacing = 5000"),
        ),
        2**28,
    ),
}


def whole_run(name, tmp_path):
    experiment, held = EXPERIMENTS[name]
    (tmp_path / "experiment.toml").write_text(experiment.to_toml())

    def start(out):
        words = [sys.executable, "-c", CHILD, str(tmp_path / "experiment.toml"), str(tmp_path / out), str(held)]
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    return start


def at_work(out, child):
    """Wait until a child has begun to work on its folder; gives when."""

    def begun():
        beat = Beat.read(out / "shards" / "progress.json")
        return child.poll() is not None or (beat is not None and beat.pid == child.pid)

    until(begun, child, out)
    return time.monotonic()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_at_random_moments(name, tmp_path, record_property):
    """Twenty-one kills in all, uniform over the time from the first step to the results, or (six) over all before.

    Every run that gets to its end is compared.
    """
    start, dice, kills, compared, moments = whole_run(name, tmp_path), random.Random(name), 0, 0, []
    first, began = start("whole"), time.monotonic()
    loading = at_work(tmp_path / "whole", first) - began
    until(lambda: list((tmp_path / "whole").glob("results.zarr*")), first, tmp_path / "whole")
    seconds = time.monotonic() - began - loading
    _, errors = ended(first, tmp_path / "whole")
    assert first.returncode == 0, errors
    whole = empirics.load(tmp_path / "whole")
    while kills < 7 or not compared:
        out = tmp_path / f"killed-{compared}"
        child = start(out)
        if kills in (1, 4):
            time.sleep(dice.random() * loading)
        elif kills < 7:
            at_work(out, child)
            time.sleep(dice.random() * seconds)
        if kills < 7 and child.poll() is None:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            kills += 1
            made = (out / "experiment.toml").exists()
            moments.append(f"{empirics.status(out).share:.0%}" if made else "before anything")
        else:
            _, errors = ended(child, out)
            assert child.returncode == 0, errors
            same_numbers(empirics.load(out), whole)
            compared += 1
    record_property("SIGKILLs", kills)
    print(f"{name}: {seconds:.1f} s of work, killed at {', '.join(moments)}; {compared} runs compared")


def killed(words, seconds):
    """Kill the command line after some seconds; whether it was still running. A fork has loaded all that it needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
        pid = os.fork()
    if not pid:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(cli.main(words))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("verb", ["import", "report"])
def test_killed_while_importing_and_reporting(verb, tmp_path, capsys, record_property):
    """Ten kills each; the same command then does what it does undisturbed, and what was there is old or new."""
    gas_table(np.random.default_rng(2), levels=(12, 8)).to_dataframe().assign(dimension=5001).to_csv(
        tmp_path / "t.csv", index=False
    )
    words = ["import", str(tmp_path / "t.csv"), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    whole, page = empirics.load(tmp_path / "out"), tmp_path / "page.md"
    if verb == "report":
        words = ["report", str(tmp_path / "out"), "--out", str(page)]
        assert cli.main(words) == 0
        written = page.read_text()
    began = time.monotonic()
    assert cli.main(words) == 0
    seconds, dice, kills, tries = time.monotonic() - began, random.Random(verb), 0, 0
    while kills < 10:
        if verb == "import" and tries % 2:
            shutil.rmtree(tmp_path / "out")
        tries += 1
        kills += killed(words, dice.random() * seconds)
        if verb == "report":
            assert page.read_text() == written
        assert cli.main(words) == 0, capsys.readouterr().err
        xr.testing.assert_identical(empirics.load(tmp_path / "out").dataset, whole.dataset)
        assert not list(tmp_path.rglob("*.partial"))
    record_property("SIGKILLs", kills)


@pytest.fixture
def small_disk(tmp_path):
    """A file system in memory of a few kB, that a test may enlarge."""
    (place := tmp_path / "disk").mkdir()
    mount = lambda *options: subprocess.run(["mount", *options], capture_output=True).returncode == 0  # noqa: E731
    if not mount("-t", "tmpfs", "-o", "size=80k", "tmpfs", str(place)):
        pytest.skip("mounting is not permitted")
    yield place, lambda: mount("-o", "remount,size=100m", str(place))
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(tmp_path, small_disk):
    place, enlarge = small_disk
    (tmp_path / "long.toml").write_text(LONG.to_toml())
    out = place / "out"
    code, _, errors = program(["run", str(tmp_path / "long.toml"), "--out", str(out)], out)
    assert code == 1
    assert errors.splitlines()[-1].startswith(f"thermo-theory: no room to write in {out} (No space left on device)")
    assert enlarge()
    code, _, errors = program(["resume", str(out)], out)
    assert code == 0, errors
    same_numbers(empirics.load(out), empirics.run(LONG, tmp_path / "whole", progress=False))


def test_a_limit_on_the_size_of_files(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "long.toml").write_text(LONG.to_toml())
    out = tmp_path / "out"

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code, _, errors = program(["run", str(tmp_path / "long.toml"), "--out", str(out)], out, preexec_fn=limited)
    assert code == 1
    said = errors.splitlines()[-1]
    told = f"thermo-theory: no room to write in {out} (File too large); finished work is kept: "
    assert said == told + "free some space and resume"
    assert not list(out.rglob("*.partial"))
    code, _, errors = program(["resume", str(out)], out)
    assert code == 0, errors
    same_numbers(empirics.load(out), empirics.run(LONG, tmp_path / "whole", progress=False))


#: Six shards of a few seconds each.
SIX = tiny(
    *(("burn_in = 30", "burn_in = 1000"), ("steps = 160", "steps = 8000"), ("spacing = 4", "spacing = 200")),
    ("runs_per_shard = 4", "runs_per_shard = 1"),
)


class Sabotage(threading.Thread):
    """Kills the worker of one shard, and stops that of another until somebody else has taken it over."""

    def __init__(self, out):
        super().__init__()
        self.out, self.error, self.told = out, None, ""

    def run(self):
        try:
            self._run()
        except BaseException as error:
            self.error = error

    def _run(self):
        self.killed, beat = until(lambda: workers(self.out), folder=self.out).popitem()
        os.kill(beat.pid, signal.SIGKILL)
        dead = beat.pid
        time.sleep(1)
        others = lambda: {i: b for i, b in workers(self.out).items() if b.pid != dead and i != self.killed}  # noqa: E731
        self.stopped, beat = until(others, folder=self.out).popitem()
        os.kill(beat.pid, signal.SIGSTOP)
        try:
            self.told = str(empirics.status(self.out))
            until(lambda: self._taken_over(beat.pid), folder=self.out)
        finally:
            os.kill(beat.pid, signal.SIGCONT)

    def _taken_over(self, pid):
        beat = workers(self.out).get(self.stopped)
        return beat and beat.pid != pid


@pytest.fixture
def three_workers():
    """A scheduler, and three worker processes that nobody restarts: one that was stopped must come back by itself."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": "15s"}),
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as there,
        distributed.Client(there) as client,
    ):
        words = [sys.executable, "-m", "distributed.cli.dask_worker", there.scheduler_address]
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
        processes = [subprocess.Popen([*words, *options], stderr=subprocess.DEVNULL) for _ in range(3)]
        try:
            until(lambda: len(client.scheduler_info()["workers"]) == 3, processes[0])
            yield client.get_executor(), processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_three_workers_one_killed_one_stopped(tmp_path, monkeypatch, three_workers):
    executor, processes = three_workers
    monkeypatch.setattr(runner, "LEASE_SECONDS", 5.0)
    whole = empirics.run(SIX, tmp_path / "whole", progress=False)
    sabotage = Sabotage(tmp_path / "out")
    sabotage.start()
    found = empirics.run(SIX, tmp_path / "out", executor=executor, progress=False, checkpoint_seconds=0.2)
    sabotage.join()
    assert sabotage.error is None, sabotage.error
    same_numbers(found, whole)
    diary = found.provenance["shards"]
    assert len(diary) == 6
    begun = [[line["pid"] for line in lines if line["event"] == "begun"] for lines in diary]
    print(sabotage.told, *begun, sep="\n")
    assert sabotage.killed != sabotage.stopped
    assert len({pid for pids in begun for pid in pids} & {process.pid for process in processes}) == 3
    for index, lines in enumerate(diary):
        events = [line["event"] for line in lines]
        assert events.count("finished") == 1
        assert events[-1] == "finished"  # finished shards are never run again
        assert len(set(begun[index])) == len(begun[index])
        assert len(events) - 1 == (2 if index in (sabotage.killed, sabotage.stopped) else 1)
    for index in (sabotage.killed, sabotage.stopped):  # from where it stood
        assert [line["step"] for line in diary[index] if line["event"] == "begun"][1] > 0
    assert (
        f"shard {sabotage.stopped:03d}: running on {os.uname().nodename}:{begun[sabotage.stopped][0]}" in sabotage.told
    )
    assert sorted(path.name for path in found.path.iterdir()) == ["experiment.toml", "provenance.json", "results.zarr"]


def test_a_cluster_from_the_command_line(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    words = ["run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out"), "--cluster", "local:2"]
    code, _, errors = program(words, tmp_path / "out")
    assert code == 0, errors
    same_numbers(empirics.load(tmp_path / "out"), empirics.run(tiny(), tmp_path / "whole", progress=False))
    begun = [line["pid"] for lines in empirics.load(tmp_path / "out").provenance["shards"] for line in lines]
    assert os.getpid() not in begun
