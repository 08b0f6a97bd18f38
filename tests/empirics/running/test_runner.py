import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_and_resume import CRAWLING, LONG, ended, same_numbers, slowly, until, workers
from tiny import tiny

import empirics
from empirics.experiment import ExperimentError
from empirics.running import dispatch, runner, shard


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return empirics.run(LONG, tmp_path_factory.mktemp("whole") / "run", progress=False)


@pytest.fixture
def child(tmp_path):
    """Start the long run in a process of its own that crawls through a shard; gives what starts it, and its folder."""
    (tmp_path / "long.toml").write_text(LONG.to_toml())
    started = []

    def start(shard=0):
        arguments = [sys.executable, "-c", CRAWLING, str(tmp_path / "long.toml"), str(tmp_path / "out"), str(shard)]
        started.append(subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start, tmp_path / "out"
    for process in started:
        process.kill()
        process.communicate()


def test_killed_twice_and_resumed_to_the_same_bits(child, whole):
    start, out = child
    for index, pattern in enumerate(("000/checkpoints/checkpoint-*.npz", "001/checkpoints/snapshots-*.npz")):
        process = start(index)
        until(lambda pattern=pattern: list(out.glob(f"shards/{pattern}")), process, out)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not empirics.status(out).finished
    same_numbers(empirics.resume(out, progress=False), whole)
    sessions = json.loads((out / "provenance.json").read_text())["sessions"]
    assert [session["ended"] is None for session in sessions] == [True, True, False]


def test_killed_before_the_first_checkpoint(child, whole):
    start, out = child
    process = start()
    until((out / "experiment.toml").exists, process, out)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "missing" in str(empirics.status(out))
    for path in out.iterdir():  # the earliest moment of all: nothing but the experiment
        if path.is_file() and path.name != "experiment.toml":
            path.unlink()
    same_numbers(empirics.resume(out, progress=False), whole)


def test_ctrl_c_saves_and_leaves_a_run_that_resumes(child, whole):
    start, out = child
    process = start()
    until(lambda: workers(out), process, out)
    process.send_signal(signal.SIGINT)
    _, errors = ended(process, out)
    assert errors.strip().endswith("KeyboardInterrupt")
    assert list(out.glob("shards/000/checkpoints/checkpoint-*.npz"))
    assert "step" in str(empirics.status(out))
    same_numbers(empirics.resume(out, progress=False), whole)


def test_ctrl_c_is_python_s_own_again_afterwards(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(shard, "NEWS_EVERY", 0.0)
    told = []

    def interrupt(step):
        told.append(step)
        if len(told) == 50:
            os.kill(os.getpid(), signal.SIGINT)

    (task,) = runner._tasks(tiny(("runs_per_shard = 4", "runs_per_shard = 6")), tmp_path, "cpu", 10.0)
    with pytest.raises(KeyboardInterrupt):
        shard.run_shard(task, interrupt)
    assert told[-1] == 50
    assert signal.getsignal(signal.SIGINT) is before
    assert (task.home / "checkpoints" / "checkpoint-000000000050.npz").exists()


def test_a_spawned_pool_gives_the_same_bits(tmp_path, whole):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        same_numbers(empirics.run(LONG, tmp_path / "pool", executor=executor, progress=False), whole)


def test_checkpoints_and_threads_do_not_touch_the_numbers(tmp_path):
    plain = empirics.run(tiny(), tmp_path / "plain", progress=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    often = empirics.run(tiny(), tmp_path / "often", progress=False, checkpoint_seconds=0.02)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    same_numbers(often, plain)


def test_the_cut_into_shards_hardly_matters(tmp_path):
    four = empirics.run(tiny(), tmp_path / "four", progress=False)
    six = empirics.run(tiny(("runs_per_shard = 4", "runs_per_shard = 6")), tmp_path / "six", progress=False)
    np.testing.assert_allclose(four.dataset["loss"], six.dataset["loss"], rtol=1e-2)
    np.testing.assert_allclose(four.dataset["radius_sq"], six.dataset["radius_sq"], rtol=1e-3)


def test_a_pool_that_is_interrupted_asks_its_shards_to_stop(tmp_path, whole, monkeypatch):
    out = tmp_path / "pool"

    def interrupt():
        try:
            until(lambda: workers(out), folder=out)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    with ThreadPoolExecutor(2) as executor, monkeypatch.context() as crawling:
        crawling.setattr(shard, "_train", slowly(shard._train, 0))
        watcher.start()  # a thread of the pool hears no signal itself, as a worker elsewhere would not
        with pytest.raises(KeyboardInterrupt):
            empirics.run(LONG, out, executor=executor, progress=False)
    watcher.join()
    assert list(out.glob("shards/*/checkpoints/checkpoint-*.npz"))
    same_numbers(empirics.resume(out, progress=False), whole)


def test_a_finished_run_is_returned_at_once(whole, monkeypatch):
    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(dispatch, "run_shard", never)
    same_numbers(empirics.resume(whole.path), whole)
    (whole.path / "shards").mkdir()  # left by a process killed at the very end
    same_numbers(empirics.run(LONG, whole.path), whole)
    status = empirics.status(whole.path)
    assert status.finished
    assert status.share == 1
    assert "finished, 6 runs" in str(status)
    assert sorted(path.name for path in whole.path.iterdir()) == ["experiment.toml", "provenance.json", "results.zarr"]


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path, whole):
    out = tmp_path / "out"
    a_file = tmp_path / "file"
    a_file.write_text("x")
    requests = [
        (lambda: empirics.run(tmp_path / "nowhere.toml", out), "nowhere.toml"),
        (lambda: empirics.run(tiny(), out, device="cuda:7"), "'cuda:7' cannot be used; available: cpu"),
        (lambda: empirics.run(tiny(), out, device="abacus"), "'abacus'"),
        (lambda: empirics.run(tiny(), a_file), "is a file"),
        (lambda: empirics.run(tiny(), a_file / "under"), "file"),
        (lambda: empirics.run(tiny(), tmp_path), "holds other files"),
        (lambda: empirics.resume(out), "no folder"),
        (lambda: empirics.resume(tmp_path), "no run in"),
        (lambda: empirics.status(out), "no folder"),
    ]
    for request, said in requests:
        with pytest.raises(ExperimentError) as caught:
            request()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    other = dataclasses.replace(LONG, seeds=[4])
    with pytest.raises(ExperimentError, match=r"holds another experiment \(seeds = \[3\], not \[4\]\)"):
        empirics.run(other, whole.path)


def test_a_second_process_and_other_data_are_refused(child, monkeypatch):
    start, out = child
    process = start()
    until((out / "provenance.json").exists, process, out)
    assert "running" in str(empirics.status(out))
    with pytest.raises(ExperimentError, match="another process is working on"):
        empirics.resume(out)
    assert not list(out.glob("results*"))
    process.kill()
    process.wait()
    assert "not running" in str(empirics.status(out))
    record = json.loads((out / "provenance.json").read_text())
    record["data"]["sha256"] = "0" * 64
    (out / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(ExperimentError, match="started with other data"):
        empirics.resume(out)


def test_progress_shows_the_time_left_on_stderr(tmp_path, capsys):
    empirics.run(tiny(), tmp_path / "shown")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "tiny: 6 runs: 100%" in shown.err
    assert "left" in shown.err


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert empirics.run(tiny(), progress=False).path == Path("runs/tiny")
