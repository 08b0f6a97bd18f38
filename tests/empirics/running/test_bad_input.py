"""Input that cannot work: one line that names it, exit code 2, nothing trained, and nothing lost that was there."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import xarray as xr
from tiny import TINY, tiny

import empirics
from empirics import cli
from empirics.experiment import Experiment, ExperimentError
from empirics.training import memory

ARRAYS = ('name = "digits"', 'name = "arrays"\npath = "arrays.npz"')
WRONG = {
    "a seed that int64 cannot hold": (("seeds = [3]", f"seeds = [{10**40}]"), ["seeds", "9223372036854775807 or less"]),
    "a minibatch that no memory holds": (("size = 16", f"size = {10**12}"), ["[training] batch_size = 1000000000000"]),
    "a network that no memory holds": (("[5, 4]", f"[{10**8}, 4]"), ["[model] hidden = [100000000, 4]"]),
    "a trace that no memory holds": (("points = 19", f"points = {10**13}"), ["[measure] trace_points = 1"]),
    "an axis nobody trains": (
        ("lr = [0.05, 0.1]", "lr = {log10 = [-2, -1], count = 1000000000}"),
        ["[grid] lr", "count"],
    ),
    "a grid nobody trains": (
        (
            "lr = [0.05, 0.1]\nweight_decay = [0.01, 0.02, 0.05]",
            "lr = {0}\nweight_decay = {0}".format("{log10 = [-2, -1], count = 1000}"),
        ),
        ["[grid] has 1000000 runs"],
    ),
    "an underscore for a point": (("lr = [0.05, 0.1]", "lr = [1_5e-2, 0.1]"), ["1_5e-2 is not a number"]),
    "labels 2^40": (ARRAYS, ["arrays.npz", "class 2 has no sample"]),
    "an array of objects": (ARRAYS, ["arrays.npz", "Python objects"]),
}


def refused(captured, *named):
    """One line on stderr that says all of this."""
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert "Traceback" not in captured.err
    assert [piece for piece in named if piece not in captured.err] == [], captured.err


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused_before_the_training(wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "free", lambda device: 2**33)
    (old, new), named = WRONG[wrong]
    assert TINY.count(old) == 1
    (tmp_path / "tiny.toml").write_text(TINY.replace(old, new))
    labels = np.array([0, 1, 2**40, 0]) if wrong == "labels 2^40" else np.array([0, 1, 0, 1], dtype=object)
    np.savez("arrays.npz", inputs=np.eye(4), labels=labels)
    assert cli.main(["run", "tiny.toml", "--out", "out"]) == 2
    refused(capsys.readouterr(), *named)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("written", "said"), [("1_5", "1_5"), ("1_50_000", "1_50_000"), ("1_000_0", "1_000_0")])
def test_underscores_separate_thousands_or_nothing(written, said):
    with pytest.raises(ExperimentError, match=said):
        tiny(("burn_in = 30", f"burn_in = {written}"))


def test_underscores_elsewhere_are_left_alone(tmp_path):
    assert tiny(("burn_in = 30", "burn_in = 1_000")).training.burn_in == 1000
    named = tiny(('name = "tiny"', 'name = "run 1_5" # not 1_5'))
    assert named.name == "run 1_5"
    (tmp_path / "mark.toml").write_bytes(b"\xef\xbb\xbf" + TINY.encode())
    assert Experiment.from_file(tmp_path / "mark.toml") == tiny()


def test_a_cell_with_an_underscore_is_no_number(tmp_path, capsys):
    table = tmp_path / "runs.csv"
    table.write_text("lr,weight_decay,dimension,radius_sq\n0.1,0.1,20,1_5\n")
    assert cli.main(["import", str(table), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 2
    refused(capsys.readouterr(), "'1_5' is not a number", "line 2")


# ------------------------------------------------------------------------------------------------ folders of results
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return empirics.run(tiny(), tmp_path_factory.mktemp("finished") / "out", progress=False).path


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copied")


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr("empirics.running.dispatch.run_shard", lambda *_: pytest.fail("trained again"))


def test_a_truncated_chunk_is_named(copied, capsys):
    chunk = copied / "results.zarr" / "summary" / "radius_sq" / "c" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    assert cli.main(["compare", str(copied)]) == 2
    refused(capsys.readouterr(), "results.zarr/summary/radius_sq")


@pytest.mark.parametrize("verb", ["run", "resume", "status", "compare", "report"])
def test_results_replaced_by_a_file(verb, copied, tmp_path, capsys, untrained):
    shutil.rmtree(copied / "results.zarr")
    (copied / "results.zarr").write_text("not a folder")
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ["run", str(tmp_path / "tiny.toml"), "--out", str(copied)] if verb == "run" else [verb, str(copied)]
    assert cli.main(words) == 2
    refused(capsys.readouterr(), "results.zarr is a file")
    assert (copied / "results.zarr").read_text() == "not a folder"


@pytest.mark.parametrize("verb", ["run", "resume", "status"])
@pytest.mark.parametrize("over", [True, False])
def test_an_edited_experiment_is_noticed(verb, over, copied, capsys, untrained):
    if not over:
        shutil.rmtree(copied / "results.zarr")
    file = copied / "experiment.toml"
    file.write_text(file.read_text().replace("burn_in = 30", "burn_in = 40"))
    assert cli.main([verb, str(file), "--out", str(copied)] if verb == "run" else [verb, str(copied)]) == 2
    refused(capsys.readouterr(), "experiment.toml was edited", "[training] burn_in = 40, not 30")


def test_a_comment_in_the_experiment_changes_nothing(copied, untrained):
    file = copied / "experiment.toml"
    file.write_text("# mine\n" + file.read_text())
    assert empirics.status(copied).finished
    assert not [note for note in empirics.compare(empirics.load(copied)).notes if "changed" in note or "edited" in note]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_damaged_provenance(content, copied, capsys, untrained):
    shutil.rmtree(copied / "results.zarr")
    (copied / "provenance.json").write_text(content)
    assert cli.main(["resume", str(copied)]) == 2
    refused(capsys.readouterr(), "provenance.json is damaged")


def test_a_damaged_experiment_in_the_record_is_named_with_its_folder(copied, capsys, untrained):
    record = copied / "provenance.json"
    record.write_text(record.read_text().replace("optimizer = ", "optimazer = "))
    assert cli.main(["status", str(copied)]) == 2
    refused(capsys.readouterr(), f"{record}: unknown key [training] optimazer")


# -------------------------------------------------------------------------------------------------------- full disks
def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_results(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "out"
    write = xr.DataTree.to_zarr

    def half(tree, store, **options):
        write(tree, store, **options)
        full()

    with monkeypatch.context() as patched:
        patched.setattr(xr.DataTree, "to_zarr", half)
        assert cli.main(["run", str(tmp_path / "tiny.toml"), "--out", str(out)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"thermo-theory: no room to write in {out}")
    assert not list(out.glob("*.partial"))
    monkeypatch.setattr("empirics.running.shard._attempt", lambda *_: pytest.fail("trained again"))
    assert empirics.resume(out, progress=False).dataset.sizes["run"] == 6


def test_a_full_disk_leaves_no_half_page_and_no_half_import(copied, tmp_path, monkeypatch, capsys):
    page, table = copied / "report.md", tmp_path / "runs.csv"
    page.write_text("the page before")
    table.write_text("lr,weight_decay,dimension,radius_sq\n0.1,0.1,20,1.5\n")
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(xr.DataTree, "to_zarr", full)
    assert cli.main(["report", str(copied), "--format", "markdown", "--out", str(page)]) == 1
    refused(capsys.readouterr(), "no room to write")
    assert page.read_text() == "the page before"
    assert cli.main(["import", str(table), "--protocol", "fixed-lr", "--out", str(tmp_path / "imported")]) == 1
    refused(capsys.readouterr(), "no room to write")
    assert not list(tmp_path.rglob("*.partial"))
    assert json.loads((copied / "provenance.json").read_text())["sessions"]
