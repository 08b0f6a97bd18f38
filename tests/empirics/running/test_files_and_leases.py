"""What must hold at the moment something fails: the old file, the checkpoint, the lease that others see."""

import dataclasses
import errno
import os
import subprocess
import time
from datetime import datetime

import pytest
import xarray as xr
from tiny import tiny

import empirics
from empirics import cli
from empirics.running import provenance, runner, shard
from empirics.running.files import write_atomic
from empirics.running.lease import Beat, Lease


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "state"
    path.write_bytes(b"old")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("state", b"old")]
    with path.open("rb") as reader:  # what is half written is in another file
        write_atomic(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_whatever_ends_the_room_is_one_line_and_the_results_before_stay(number, tmp_path, monkeypatch, capsys):
    table, out = tmp_path / "runs.csv", tmp_path / "imported"
    table.write_text("lr,weight_decay,dimension,radius_sq\n0.1,0.1,20,1.5\n")
    words = ["import", str(table), "--protocol", "fixed-lr", "--out", str(out)]
    assert cli.main(words) == 0
    capsys.readouterr()
    monkeypatch.setattr(xr.DataTree, "to_zarr", failing(number))
    assert cli.main(words) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"thermo-theory: no room to write ([Errno {number}]")
    monkeypatch.undo()
    assert empirics.load(out).dataset["radius_sq"].item() == 1.5


def test_the_last_checkpoint_stays_until_the_results_are_safe(tmp_path, monkeypatch):
    (task,) = runner._tasks(tiny(("runs_per_shard = 4", "runs_per_shard = 6")), tmp_path, "cpu", 10.0)
    monkeypatch.setattr(shard, "write_arrays", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        shard.run_shard(task)
    assert [path.name for path in task.home.glob("checkpoints/checkpoint-*")] == ["checkpoint-000000000190.npz"]


def test_a_lease_as_another_machine_sees_it(tmp_path):
    path = tmp_path / "signs.json"
    lease = Lease(path, 600.0)
    assert lease.take()
    with lease.kept():
        assert dataclasses.replace(Beat.read(path), host="elsewhere").live(600)
    assert not dataclasses.replace(Beat.read(path), host="elsewhere").live(600)


@pytest.mark.parametrize(("ahead", "live"), [(-3600, False), (-10, True), (10, True), (3600, False)])
def test_a_clock_that_is_ahead_or_behind(ahead, live):
    assert Beat("somebody", "another-machine", 1, 3, time.time() + ahead).live(60) is live


def test_a_commit_is_marked_where_files_differ_from_it(tmp_path, monkeypatch):
    file = tmp_path / "empirics" / "running" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("one")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(provenance, "__file__", str(file))
    monkeypatch.setattr("sys.argv", ["/usr/bin/thermo-theory", "run", "a.toml"])
    session = provenance.session("cpu", {})
    assert (session["commit"], session["command"]) == (head, "thermo-theory run a.toml")
    assert session["machine"]["cores"] == os.cpu_count()
    assert abs(datetime.fromisoformat(session["started"]).timestamp() - time.time()) < 600
    file.write_text("two")
    assert provenance.session("cpu", {})["commit"] == f"{head}+"
