"""Every format gives the runs that were put into it, and a damaged file is named and not executed."""

import contextlib
import gzip
import json
import random
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from gas_logs import FORMATS, MEASURED, D, check, csv, gas_logs, lightning, log, put, read, settings, yaml

import empirics
from empirics.cli import main
from empirics.experiment import ExperimentError
from empirics.importing import survey


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_its_runs(tmp_path, name):
    runs, (write, logged) = gas_logs(), FORMATS[name]
    write(tmp_path / name, runs)
    found = survey(tmp_path / name, "fixed-lr", dimension=D)
    data = found.read().dataset
    check(data, runs)
    assert ("balance_error" in data) == logged
    assert {row.verdict for row in empirics.compare(found.read()) if row.claim == "V1"} == {"agrees"}
    said = "\n".join(found.notes())
    if logged:
        assert re.search(r"of 12 of 12 runs, 200 points; burn-in leaves out \d+ to \d+ %", said), said
        assert data["status"].values.tolist() == ["ok"] * 12
        assert (data["radius_drift"] < 0.01).all()
    else:
        assert "final values only: burn-in, drift" in said
        assert "run-*.wandb, which is not read" in said


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from torch.utils.tensorboard import SummaryWriter

    runs = gas_logs()
    for n, run in enumerate(runs):
        with SummaryWriter(str(tmp_path / "tb" / f"run{n}")) as writer:
            for row in log(run):
                for name in MEASURED:
                    writer.add_scalar(f"train/{name}", row[name], row["step"])
            writer.add_hparams({"wd": run["weight_decay"], "lr": run["lr"], "optimizer": "SGD"}, {"done": 1.0})
    data = read(tmp_path / "tb").dataset
    check(data, runs)
    assert data["lr"].values[0] == 0.01
    (file,) = (tmp_path / "tb" / "run0").glob("events*")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])  # a run that was killed
    assert read(tmp_path / "tb").dataset.sizes["run"] == 12
    file.write_bytes(b"no events")
    with pytest.raises(ExperimentError, match=re.escape(file.name)):
        read(tmp_path / "tb")


def test_single_precision_does_not_make_a_rate_another(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            for name, value in (("lr", 0.1), ("weight_decay", 0.03), ("loss", 1.0)):
                writer.add_scalar(name, value, step)
    assert read(tmp_path).dataset["lr"].item() == 0.1


@pytest.mark.parametrize(
    ("file", "module", "extra"),
    [
        ("events.out.tfevents.1.host", "tensorboard.backend.event_processing.event_file_loader", "tensorboard"),
        ("hparams.yaml", "yaml", "yaml"),
    ],
)
def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch, capsys, file, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    put(tmp_path / "logs" / "metrics.csv", "step,loss\n1,1\n")
    put(tmp_path / "logs" / file, "lr: 1\n")
    assert main(["import", str(tmp_path / "logs"), "--protocol", "fixed-lr", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert f"pip install 'thermo-theory[{extra}]'" in said
    assert len(said.splitlines()) == 1


def test_compressed_tables_and_records(tmp_path):
    runs = gas_logs()
    rows = [settings(run) | run["means"] for run in runs]
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(csv(rows).encode()))
    put(tmp_path / "columns.json", pd.DataFrame(rows).to_json())
    put(tmp_path / "nested.json", {"runs": [{"config": settings(run), "summary": run["means"]} for run in runs]})
    put(tmp_path / "spaced.tsv", csv(rows, "\t").replace("weight_decay", "Weight decay"))
    for name in ("t.csv.gz", "columns.json", "nested.json", "spaced.tsv"):
        check(read(tmp_path / name).dataset, runs, rel=1e-9)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("t.jsonl", '{"lr": 1}\n{"lr": ', r"t\.jsonl, line 2 is not JSON"),
        ("t.jsonl", '{"lr": 1}\n3\n', r"t\.jsonl, line 2: must be a JSON object"),
        ("t.json", '"text"', r"t\.json must hold a list of JSON objects"),
        ("t.json", '{"lr": [1, 2], "weight_decay": [1, 2], "loss": [1]}', r"not all columns have 2 cells"),
        ("t.csv.gz", gzip.compress(b"lr,wd\n1,2\n" * 99, mtime=0)[:-9], r"t\.csv\.gz is cut short"),
        ("t.csv.gz", b"no gzip", r"cannot read .*t\.csv\.gz"),
        ("t.npz", b"PK no zip", r"cannot read .*t\.npz"),
        ("a/metrics.csv", "step,loss\n1,2,3\n", r"metrics\.csv, line 2: 3 cells under 2"),
        ("a/trainer_state.json", '{"log_history": 3}', r"trainer_state\.json has no list log_history"),
        ("a/trainer_state.json", '{"log_history": [{"loss": 1}]}', r"loss in log_history must be numbers at steps"),
        ("a/trainer_state.json", '{"log_his', r"trainer_state\.json is not JSON"),
        ("a/other.txt", "", r"neither a table nor a folder of runs: no metrics\.csv"),
        ("a/config.json", '{"lr": 1}', r"settings without a log in .*a$"),
        ("t.txt", "", r"unknown extension; tables must end in one of \.csv"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(tmp_path, file, content, message):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ExperimentError, match=message) as caught:
        read(path if path.parent == tmp_path else path.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr: !!python/object/apply:os.mkdir [{0}/exploded]\n", r"hparams\.yaml: .*tag.*nothing in it was executed"),
        ("lr: [1\n", r"hparams\.yaml is not YAML"),
        ("- 3\n", r"hparams\.yaml must hold settings by name"),
    ],
)
def test_settings_that_are_damaged_or_would_execute_code(tmp_path, content, message):
    lightning(tmp_path / "logs", gas_logs(points=20)[:2])
    put(tmp_path / "logs" / "version_1" / "hparams.yaml", content.format(tmp_path))
    with pytest.raises(ExperimentError, match=message):
        read(tmp_path / "logs")
    assert not (tmp_path / "exploded").exists()


def test_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", lr=np.array([print], dtype=object))
    with pytest.raises(ExperimentError, match=r"t\.npz, nothing in it was executed"):
        read(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", lr=np.ones(3), weight_decay=np.ones(2))
    with pytest.raises(ExperimentError, match=r"lr \(3,\), weight_decay \(2,\)"):
        read(tmp_path / "t.npz")


def test_a_folder_without_a_log_and_a_table_above_the_runs(tmp_path):
    runs = gas_logs()
    lightning(tmp_path / "logs", runs)
    put(tmp_path / "logs" / "version_77" / "hparams.yaml", yaml({"lr": 1}))
    put(tmp_path / "logs" / "sweep.csv", "run,best\n1,2\n2,3\n")
    found = survey(tmp_path / "logs", "fixed-lr", dimension=D)
    check(found.read().dataset, runs)
    lost = "\n".join(found.foreign.lost)
    assert "settings and no log: logs/version_77" in lost
    assert "the log in logs itself" in lost


def test_a_run_that_is_there_twice_is_refused(tmp_path):
    lightning(tmp_path / "logs", gas_logs())
    shutil.copytree(tmp_path / "logs" / "version_3", tmp_path / "logs" / "version_12")
    with pytest.raises(ExperimentError, match=r"logs/version_3 and logs/version_12 are the same run"):
        read(tmp_path / "logs")


def test_an_import_of_logs_is_loaded_again(tmp_path):
    lightning(tmp_path / "logs", gas_logs())
    runs = empirics.import_runs(tmp_path / "logs", tmp_path / "out", "fixed-lr", dimension=D)
    again = empirics.load(tmp_path / "out")
    np.testing.assert_array_equal(again.dataset["radius_sq"], runs.dataset["radius_sq"])
    assert dict(again.tree["trace"].sizes) == {"run": 12, "step": 200}
    assert again.dataset["radius_sq"].attrs["origin"] == "mean of column radius_sq"
    assert json.loads(again.tree.attrs["provenance"])["imported"]["columns"]["lr"] == "lr (certain)"


def test_tables_of_runs_that_hold_dictionaries_or_logs(tmp_path):
    runs = gas_logs()
    rows = [
        {
            "name": f"run {n}",
            "config": str(settings(run) | {"temperature": 1.0, "x": np.nan}),
            "summary": json.dumps(run["means"]),
        }
        for n, run in enumerate(runs)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "project.csv")
    data = read(tmp_path / "project.csv").dataset
    check(data, runs, rel=1e-9)
    assert data["temperature"].attrs["origin"].startswith("derived")  # one in the settings is none that was measured
    put(tmp_path / "logs.json", [settings(run) | {"history": log(run)} for run in runs])
    check(read(tmp_path / "logs.json").dataset, runs)


def test_one_run_whose_rate_changes_is_one_run(tmp_path):
    run = gas_logs()[0]
    rows = [row | {"lr": 0.1 / (1 + i), "wd": 0.1} for i, row in enumerate(log(run))]
    data = read(put(tmp_path / "metrics.csv", csv(rows))).dataset
    assert data["status"].values.tolist() == ["not stationary"]
    put(tmp_path / "run" / "metrics.jsonl", "\n".join(json.dumps(row) for row in [settings(run), *log(run)]))
    assert read(tmp_path / "run").dataset["weight_decay"].item() == run["weight_decay"]


def test_a_temperature_in_a_file_of_settings_is_none_that_was_measured(tmp_path):
    runs = gas_logs()
    lightning(tmp_path / "logs", runs)
    for n, run in enumerate(runs):
        put(tmp_path / "logs" / f"version_{n}" / "config.json", settings(run) | {"temperature": 0.7, "entropy": 1.0})
    data = read(tmp_path / "logs").dataset
    assert "entropy" not in data
    assert data["temperature"].attrs["origin"].startswith("derived")
    given = read(tmp_path / "logs", columns={"temperature": "temperature"}).dataset
    assert (given["temperature"] == 0.7).all()


def test_a_guess_that_cannot_be_is_set_aside(tmp_path):
    rows = [settings(run) | run["means"] | {"grad_norm": 0.0, "acc": "high"} for run in gas_logs()]
    del rows[0]["grad_norm"]
    put(tmp_path / "t.json", rows)
    aside = survey(tmp_path / "t.json", "fixed-lr", dimension=D).assigned.aside
    assert aside["acc"] == "record 1, column acc: 'high' is not a number"


def test_tables_beside_each_other_are_told_apart_and_logs_inside_a_run_are_its_own(tmp_path):
    runs = gas_logs()
    for n, run in enumerate(runs):
        folder = tmp_path / "sweep" / f"run{n}"
        put(folder / "args.json", settings(run))
        put(folder / "train.csv", csv(log(run)))
        put(folder / "eval.csv", csv([row | {"loss": 7.0} for row in log(run)]))
        put(folder / "plots" / "points.csv", "step,loss\n1,2\n2,3\n")
        put(folder / "notes" / "broken.json", "{'a': 1}")
    found = survey(tmp_path / "sweep", "fixed-lr", dimension=D)
    check(found.read().dataset, runs)
    assert (found.read().dataset["test_loss"] == 7).all()
    lost = "\n".join(found.foreign.lost)
    assert "logs without settings inside a run: sweep/run0/plots" in lost
    assert "broken.json is not JSON" in lost


def test_rows_that_have_a_step_and_one_name_are_runs_of_their_own(tmp_path):
    runs = gas_logs()
    rows = [{"name": "net", "iter": 9 - n, **settings(run), **run["means"]} for n, run in enumerate(runs)]
    for change in ({}, {"name": ""}):
        check(read(put(tmp_path / "t.csv", csv([row | change for row in rows]))).dataset, runs, rel=1e-9)
    rising = [row | {"iter": n} for n, row in enumerate(rows)]
    check(read(put(tmp_path / "t.csv", csv([{**row} for row in rising]))).dataset, runs, rel=1e-9)
    long = [
        {"run": n, "tag": tag, "value": value}
        for n, run in enumerate(runs)
        for tag, value in (settings(run) | run["means"]).items()
    ]
    put(tmp_path / "long.csv", csv(long))
    check(read(tmp_path / "long.csv").dataset, runs, rel=1e-9)
    assert "final values only" in repr(survey(tmp_path / "long.csv", "fixed-lr", dimension=D))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_with_random_damage_is_read_or_refused(tmp_path, name):
    FORMATS[name][0](tmp_path / name, gas_logs(points=52)[:3])
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    rng = random.Random(7)
    pieces = (b"", b"nan", b'"', b"\n", b"null", b"-5", b"1e999", b"{", b"[]", b"\x00", b"\xff", b"abc")
    refused = 0
    for _ in range(12):
        file = rng.choice(files)
        whole = file.read_bytes()
        begin = rng.randrange(len(whole))
        end = rng.choice((len(whole), begin + rng.randrange(20)))
        file.write_bytes(whole[:begin] + rng.choice(pieces) + whole[end:])
        with contextlib.suppress(ExperimentError):
            read(tmp_path / name)
            refused -= 1
        refused += 1
        file.write_bytes(whole)
    assert refused
