"""Sweeps as people really keep them: which rows are a run, where its settings are, and what only looks like ours."""

import json

import numpy as np
import pytest
from gas_logs import FORMATS, D, check, csv, gas_logs, log, put, read, settings, yaml

from empirics.experiment import ExperimentError
from empirics.importing import survey


@pytest.mark.parametrize("more", [{"experiment": "sweep-1"}, {"name": "resnet18", "seed": 1}])
@pytest.mark.parametrize("by_step", [False, True])
def test_a_name_that_all_runs_share_does_not_merge_them(tmp_path, more, by_step):
    runs = gas_logs()
    rows = [{**more, **settings(run), **row} for run in runs for row in log(run)]
    rows.sort(key=lambda row: row["step"] if by_step else 0)
    check(read(put(tmp_path / "t.csv", csv(rows))).dataset, runs)


@pytest.mark.parametrize("column", ["step", "epoch"])
def test_a_schedule_and_a_restart_under_a_name_are_one_run_each(tmp_path, column):
    rows = []
    for n, run in enumerate(gas_logs()[:2]):
        logged = [row | {"lr": 0.1 / (1 + i)} for i, row in enumerate(log(run))]
        logged = logged[:50] + logged[40:]
        rows += [
            {"run": n, "wd": 0.1, **row, column: row["step"] // (1 if column == "step" else 100)} for row in logged
        ]
    data = read(put(tmp_path / "t.csv", csv(rows))).dataset
    assert data["status"].values.tolist() == ["not stationary"] * 2


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda step: f"'{step}" if step > 1000 else step, '"\'1025" is not a number; 160 such points are left out ('),
        (lambda step: f"{step} it", "'25 it' is not a number; 200 such points are left out, and the last alone counts"),
    ],
)
def test_steps_that_are_no_numbers_are_not_left_out_in_silence(tmp_path, write, says):
    rows = [
        {"run": n, **settings(run), **row, "step": write(row["step"])}
        for n, run in enumerate(gas_logs())
        for row in log(run)
    ]
    found = survey(put(tmp_path / "t.csv", csv(rows)), "fixed-lr", dimension=D)
    assert f"note: step: {says}" in repr(found)


def test_runs_of_equal_settings_without_a_name_are_told_by_their_first_step(tmp_path):
    runs = [run for pair in zip(gas_logs(), gas_logs(seed=6), strict=True) for run in pair]
    data = read(put(tmp_path / "t.csv", csv([settings(run) | row for run in runs for row in log(run)]))).dataset
    check(data, runs)
    assert data["seed"].values.tolist() == [0, 1] * 12
    rows = [{**settings(runs[0]), **row} for row in log(runs[0])]
    held_out = [dict.fromkeys(rows[0], "") | settings(runs[0]) | {"step": row["step"], "val_loss": 2.0} for row in rows]
    both = put(tmp_path / "v.csv", csv([row | {"val_loss": ""} for row in rows] + held_out))
    assert read(both).dataset["test_loss"].values.tolist() == [2.0]


@pytest.mark.parametrize("more", [{}, {"Name": "resnet18", "State": "finished"}])
def test_final_rows_at_different_epochs_are_runs(tmp_path, more):
    runs = [run for pair in zip(gas_logs(), gas_logs(), strict=True) for run in pair]
    rows = [more | {"epoch": 90 + n % 2, **settings(run), **run["means"]} for n, run in enumerate(runs)]
    for row in rows[::2]:
        row["loss"] *= 1.001
    found = survey(put(tmp_path / "t.csv", csv(rows)), "fixed-lr", dimension=D)
    check(found.read().dataset, runs)
    assert "(2 at most) differ in epoch: each is read as a run" in repr(found)


def test_a_square_array_without_steps_may_be_a_grid(tmp_path):
    rates, grid = np.array([0.1, 0.2, 0.3]), np.ones((3, 3))
    np.savez(tmp_path / "grid.npz", lr=rates, weight_decay=rates, radius_sq=grid)
    with pytest.raises(ExperimentError, match=r"radius_sq \(3, 3\) may be a grid or runs by steps"):
        read(tmp_path / "grid.npz")
    np.savez(tmp_path / "grid.npz", lr=rates, weight_decay=rates[:2], radius_sq=grid[:, :2])
    with pytest.raises(ExperimentError, match=r"weight_decay \(2,\) needs one value for each of the 3 runs"):
        read(tmp_path / "grid.npz")


def test_json_by_the_names_of_runs(tmp_path):
    runs = gas_logs()
    content = {f"läuft {n}": {"config": settings(run), "summary": run["means"]} for n, run in enumerate(runs)}
    check(read(put(tmp_path / "t.json", content)).dataset, runs)


def test_loggers_inside_a_run_of_hydra_have_its_settings(tmp_path):
    runs = gas_logs()
    for n, run in enumerate(runs):
        home = tmp_path / "multiruns" / "2026-01-01" / str(n)
        put(home / ".hydra" / "config.yaml", f"model:\n  optimizer:\n    lr: {run['lr']}\n    weight_decay: 7\n")
        put(home / ".hydra" / "overrides.yaml", "- model.optimizer.momentum=0\n")
        put(home / "csv" / "version_0" / "hparams.yaml", yaml({"model/optimizer/weight_decay": run["weight_decay"]}))
        put(home / "csv" / "version_0" / "metrics.csv", csv(log(run)))
        put(home / "checkpoints" / "notes.txt", "none")
    found = survey(tmp_path / "multiruns", "fixed-lr", dimension=D)
    check(found.read().dataset, runs)
    assert not found.guesses()
    assert not found.foreign.lost


def test_what_is_monitored_of_an_optimiser_is_told_apart(tmp_path):
    runs = gas_logs()
    for n, run in enumerate(runs):
        monitored = {"lr-SGD": run["lr"], "lr-SGD-momentum": 0.0, "lr-SGD-weight_decay": run["weight_decay"]}
        put(tmp_path / "logs" / f"version_{n}" / "metrics.csv", csv(log(run, **monitored)))
    data = survey(tmp_path / "logs", "fixed-lr", dimension=D).read().dataset
    check(data, runs)
    assert set(data["optimizer"].values) == {"sgd"}


def test_settings_that_look_like_measurements_are_set_aside(tmp_path):
    rows = [settings(run) | run["means"] | {"temperature": 0.07, "lr_scheduler": "cosine"} for run in gas_logs()]
    for row in rows:
        del row["radius_sq"]
        row["model.weight_norm"] = True
    found = survey(put(tmp_path / "t.json", rows), "fixed-lr", dimension=D)
    assert not {"temperature", "radius_sq"} & set(found.read().dataset)
    assert found.assigned.aside == {
        "model.weight_norm": "record 1, column model.weight_norm: 'True' is not a number",
        "temperature": "a setting, equal in all runs; --map temperature=temperature takes it all the same",
    }
    given = survey(tmp_path / "t.json", "fixed-lr", dimension=D, columns={"temperature": "temperature"}).read()
    assert (given.dataset["temperature"] == 0.07).all()


def test_a_chart_of_wandb_has_no_settings(tmp_path):
    put(tmp_path / "chart.csv", "Step,run - radius_sq,run - radius_sq__MIN,run - radius_sq__MAX\n1,2,2,2\n2,2,2,2\n")
    found = survey(tmp_path / "chart.csv", "fixed-lr", dimension=D)
    assert "is a chart that was exported from W&B" in str(found.problem)


def test_of_a_status_that_changes_along_a_log_the_last_counts(tmp_path):
    run = gas_logs()[0]
    put(tmp_path / "run" / "config.json", settings(run))
    rows = log(run)
    put(
        tmp_path / "run" / "metrics.csv",
        csv([row | {"status": "running"} for row in rows[:-1]] + [rows[-1] | {"status": "crashed"}]),
    )
    assert read(tmp_path / "run").dataset["status"].values.tolist() == ["crashed"]


def test_a_trainer_says_that_its_optimiser_is_not_known(tmp_path):
    run = gas_logs()[0]
    put(tmp_path / "run" / "config.json", settings(run))
    put(tmp_path / "run" / "checkpoint-9" / "trainer_state.json", {"log_history": log(run)})
    (lost,) = survey(tmp_path / "run", "fixed-lr", dimension=D).foreign.lost
    assert "AdamW unless another was chosen: give --optimizer" in lost


@pytest.mark.parametrize(("name", "cut"), [("metrics.csv", "9000,2.5"), ("log.jsonl", '{"step": 90')])
def test_a_log_that_was_cut_short_loses_its_last_line_and_a_table_of_runs_is_refused(tmp_path, name, cut):
    runs = gas_logs()
    for n, run in enumerate(runs):
        put(tmp_path / "runs" / f"r{n}" / "config.json", settings(run))
        lines = csv(log(run)) if name.endswith("csv") else "".join(json.dumps(row) + "\n" for row in log(run))
        put(tmp_path / "runs" / f"r{n}" / name, lines + cut * (n == 3))
    found = survey(tmp_path / "runs", "fixed-lr", dimension=D)
    check(found.read().dataset, runs)
    assert "ends in the middle of a line, which is left out (runs/r3)" in repr(found)
    with pytest.raises(ExperimentError, match=rf"{name}, line 20\d"):
        read(tmp_path / "runs" / "r3" / name)
    put(tmp_path / "runs" / "r3" / name, lines + cut + "\n")
    with pytest.raises(ExperimentError, match=rf"{name}, line 20\d"):
        read(tmp_path / "runs")


def test_a_quantity_that_is_nan_between_its_measurements(tmp_path):
    runs = gas_logs()
    for n, run in enumerate(runs):
        rows = [row | {"radius_sq": row["radius_sq"] if i % 3 == 1 else np.nan} for i, row in enumerate(log(run))]
        rows += [row | {"step": row["step"] + 5000, "radius_sq": np.nan} for row in rows[-9:] if n == 0]
        put(tmp_path / "runs" / f"r{n}" / "config.json", settings(run))
        put(tmp_path / "runs" / f"r{n}" / "log.jsonl", "\n".join(json.dumps(row) for row in rows))
    data = read(tmp_path / "runs").dataset
    assert data["status"].values.tolist() == ["diverged"] + ["ok"] * 11
    check(data.isel(run=slice(1, None)), runs[1:])


def test_paths_in_settings_of_lightning_are_text(tmp_path):
    runs = gas_logs()
    for n, run in enumerate(runs):
        path = "dir: !!python/object/apply:pathlib.PosixPath\n- /\n- data\nloss: !!python/name:torch.nn.MSELoss ''\n"
        put(tmp_path / "logs" / f"version_{n}" / "hparams.yaml", yaml(settings(run)) + path)
        put(tmp_path / "logs" / f"version_{n}" / "metrics.csv", csv(log(run)))
    check(read(tmp_path / "logs").dataset, runs)


def test_sgd_of_timm_is_nesterov_s(tmp_path):
    for word, optimizer in (("sgd", "nesterov"), ("momentum", "momentum")):
        run = settings(gas_logs()[0]) | {"opt": word, "opt_betas": "null", "momentum": 0.9}
        put(tmp_path / "args.yaml", yaml(run))
        put(tmp_path / "summary.csv", csv([{"epoch": i, "train_loss": 1.0, "lr": 0.01} for i in range(20)]))
        data = survey(tmp_path, "fixed-lr", dimension=D).read().dataset
        assert data["optimizer"].values.tolist() == [optimizer]


def test_the_settings_and_the_last_value_of_a_rate_are_not_the_same(tmp_path):
    rows = [settings(run) | run["means"] for run in gas_logs()]
    for name, last in (("lr", 0.0), ("summary.lr", 1e-6)):
        renamed = [
            {("config.lr" if key == "lr" else key): value for key, value in row.items()} | {name: last} for row in rows
        ]
        found = survey(put(tmp_path / "t.csv", csv(renamed)), "fixed-lr", dimension=D)
        assert f"columns config.lr, {name} may all be lr and differ; choose one with --map lr=COLUMN" in str(
            found.problem
        )
    equal = [row | {"config.lr": f"{row['lr']:.3e}"} for row in rows]
    check(read(put(tmp_path / "t.csv", csv(equal))).dataset, gas_logs(), rel=1e-9)


@pytest.mark.parametrize(("last", "problem"), [(1.0, False), (0.5, True)])
def test_a_rate_in_the_settings_and_in_the_log(tmp_path, last, problem):
    runs = gas_logs()
    for n, run in enumerate(runs):
        put(tmp_path / "runs" / f"r{n}" / "config.json", {"optimizer": settings(run)})
        put(tmp_path / "runs" / f"r{n}" / "metrics.csv", csv(log(run, **{"train/lr": run["lr"] * last})))
    found = survey(tmp_path / "runs", "fixed-lr", dimension=D)
    assert (found.problem is not None) == problem
    if not problem:
        check(found.read().dataset, runs)


def test_tensorboard_with_hyperparameters_and_several_scalars_in_folders_of_their_own(tmp_path):
    events = pytest.importorskip("torch.utils.tensorboard")
    runs = gas_logs()
    for n, run in enumerate(runs):
        with events.SummaryWriter(tmp_path / "tb" / f"run{n}") as writer:
            for row in log(run):
                for name, value in row.items():
                    writer.add_scalar(f"train/{name}", value, row["step"])
                writer.add_scalars("losses", {"train": 1.0, "val": 2.0}, row["step"])
            writer.add_hparams(settings(run), {"hparam/best": 0.1})
    check(read(tmp_path / "tb").dataset, runs)


def test_final_values_below_a_log_of_the_sweep_stay_runs(tmp_path):
    runs = gas_logs()
    FORMATS["wandb"][0](tmp_path / "wandb", runs)
    put(tmp_path / "wandb" / "sweep.csv", "step,best\n1,2\n2,3\n")
    check(read(tmp_path / "wandb").dataset, runs, rel=1e-9)


@pytest.mark.parametrize(
    ("word", "name"), [("AdamW", "adamw"), ("Adam", "adam-l2"), ("torch.optim.Adam", "adam-l2"), ("SGDM", "momentum")]
)
def test_an_optimiser_that_is_given_may_be_written_in_any_way(tmp_path, word, name):
    rows = [settings(run) | run["means"] for run in gas_logs()]
    data = read(put(tmp_path / "t.csv", csv(rows)), optimizer=word).dataset
    assert set(data["optimizer"].values) == {name}
    column = [row | {"optimizer": word} for row in rows]
    assert set(read(put(tmp_path / "c.csv", csv(column))).dataset["optimizer"].values) == {name}


def test_a_setting_that_cannot_be_is_refused_by_its_column(tmp_path):
    put(tmp_path / "t.csv", csv([settings(run) | run["means"] for run in gas_logs()]))
    with pytest.raises(ExperimentError, match=r"column 0 \(--map weight_decay\): '0.0' must be above 0"):
        read(tmp_path / "t.csv", columns={"weight_decay": "0"})
