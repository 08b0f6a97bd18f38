"""Which column is taken for which name, what only looks like it, and how the user puts it right."""

import numpy as np
import pytest
from gas_logs import D, csv, gas_logs, lightning, put, settings

import empirics
from empirics.cli import main
from empirics.experiment import ExperimentError
from empirics.importing import survey
from empirics.importing.names import assign


@pytest.fixture
def rows():
    return [settings(run) | run["means"] | {"dimension": D} for run in gas_logs()]


def read(rows, path, **options):
    return survey(put(path, csv(rows)), "fixed-lr", **options)


def renamed(rows, names):
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("column", "ours", "how"),
    [
        ("Learning Rate", "lr", "certain"),
        ("config.optimizer.lr", "lr", "certain"),
        ("teacher.lr", "lr", "guessed"),
        ("lr-SGD/pg1", None, None),
        ("lr-SGD", "lr", "guessed"),
        ("optim.weightDecay", "weight_decay", "certain"),
        ("summary/radius_sq", "radius_sq", "certain"),
        ("layer1/radius_sq", "radius_sq", "guessed"),
        ("params_norm", "radius_sq^2", "guessed"),
        ("weight_norm_sq", "radius_sq", "guessed"),
        ("grad_norm", "grad_sq^2", "doubtful"),
        ("grads/total_sq", "grad_sq", "doubtful"),
        ("clipped_grad_sq", None, None),
        ("grad_var", "grad_variance", "guessed"),
        ("train/loss", "loss", "certain"),
        ("val/loss", "test_loss", "guessed"),
        ("val/radius_sq", None, None),
        ("eval_accuracy", "test_accuracy", "guessed"),
        ("optimizer/_target_", "optimizer", "certain"),
        ("model/name", None, None),
        ("num_params", "dimension", "guessed"),
        ("batch_size", None, None),
    ],
)
def test_what_a_column_is_taken_for(column, ours, how):
    named = assign([column], {}, "here").named
    assert [(name + "^2" * (one.power == 2), one.how) for name, one in named.items()] == ([(ours, how)] if ours else [])


def test_of_two_columns_for_one_thing_the_certain_one_is_taken_and_of_two_equals_none():
    found = assign(["loss", "train/loss"], {}, "here")
    assert found.named["loss"].column == "loss"
    assert "loss is taken from loss" in found.aside["train/loss"]
    layers = ["layer1/radius_sq", "layer2/radius_sq"]
    found = assign(layers, {}, "here")
    assert not found.named
    assert all("one of 2 columns that may be radius_sq" in found.aside[column] for column in layers)
    assert assign(layers, {}, "here", same=lambda *_: True).named["radius_sq"].column == layers[0]
    assert assign(["loss_epoch", "loss_step"], {}, "here").named["loss"].column == "loss_step"
    assert assign(layers, {"radius_sq": layers[1]}, "here").named["radius_sq"].how == "given"


@pytest.mark.parametrize(
    ("factor", "column", "taken", "why"),
    [
        (1.0, "grad_norm", True, "the norm balance with it is 1"),
        (1.04, "grad_norm", True, "the norm balance with it is 1.08"),
        (1.06, "grad_norm", False, "the norm balance with it is 1.12 in the median, not 1"),
        (1.7, "grad_norm", False, "a gradient of all weights, or a clipped one: the norm balance with it is 2.89"),
        (0.0, "grad_norm", False, "a gradient of all weights, or a clipped one"),
        (0.0, "grad_sq", False, "a clipped gradient: equal in all runs"),
        (1.7, "grad_sq", True, "grad_sq: the norm balance with it is 2.89 in the median, not 1; clipped"),
        (1.0, "grad_norm_clipped", False, "a clipped gradient; the norm balance needs"),
    ],
)
def test_the_norm_balance_tells_which_gradient_it_is(rows, tmp_path, factor, column, taken, why):
    power = 1 if column == "grad_sq" else 0.5
    for row in rows:
        norm = row.pop("grad_sq") ** 0.5 * factor or 1.0
        row[column] = norm ** (2 * power)
        del row["grad_variance"]
    found = read(rows, tmp_path / "t.csv")
    assert ("grad_sq" in found.read().dataset) == taken
    assert why in repr(found)


def test_without_a_norm_a_gradient_is_not_guessed_and_can_be_given(rows, tmp_path):
    kept = [{"lr": row["lr"], "weight_decay": row["weight_decay"], "g": row["grad_sq"] ** 0.5} for row in rows]
    assert "grad_sq" not in read(renamed(kept, {"g": "grad_norm"}), tmp_path / "t.csv", dimension=D).read().dataset
    given = read(kept, tmp_path / "t.csv", dimension=D, columns={"grad_sq": "g^2"}).read().dataset
    np.testing.assert_allclose(given["grad_sq"], [row["grad_sq"] for row in rows])
    given = read(kept, tmp_path / "t.csv", dimension=D, columns={"momentum": "0.9"}).read().dataset
    assert (set(given["momentum"].values), set(given["optimizer"].values)) == ({0.9}, {"momentum"})
    assert "loss" not in read(rows, tmp_path / "t.csv", columns={"loss": ""}).read().dataset


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        ({"optimizer": "torch.optim.SGD"}, "sgd"),
        ({"optim.name": "SGD", "optim.momentum": 0.9}, "momentum"),
        ({"optimizer_name": "sgd", "momentum": 0.9, "nesterov": True}, "nesterov"),
        ({"momentum": 0.9}, "momentum"),
        ({"optimizer": "AdamW"}, "adamw"),
        ({"optim": "adamw_torch_fused"}, "adamw"),
        ({"optimizer": "Adam"}, "adam-l2"),
        ({"optimizer": ""}, "sgd"),
    ],
)
def test_optimisers_are_known_by_their_other_names(rows, tmp_path, settings, optimizer):
    data = read([row | settings for row in rows], tmp_path / "t.csv").read().dataset
    assert set(data["optimizer"].values) == {optimizer}


def test_an_unknown_optimiser_is_refused(rows, tmp_path):
    with pytest.raises(ExperimentError, match=r"line 2, column optimizer: unknown optimizer 'Adan'; did you mean"):
        read([row | {"optimizer": "Adan"} for row in rows], tmp_path / "t.csv").read()


THEIRS = {"lr": "a", "weight_decay": "b", "radius_sq": "c", "grad_sq": "e", "grad_variance": "f", "loss": "h"}


def test_a_dry_run_prints_and_writes_nothing_and_a_file_puts_it_right(rows, tmp_path, capsys):
    table = put(tmp_path / "t.csv", csv(renamed(rows, THEIRS)))
    words = ["import", str(table), "--protocol", "fixed-lr"]
    assert main([*words, "--dry-run"]) == 2
    said = capsys.readouterr()
    assert "not used: a, b, c, e, f, h" in said.out
    assert said.err.startswith(f"thermo-theory: {table}: column lr is missing")
    names = put(tmp_path / "names.toml", "".join(f'{ours} = "{column}"\n' for ours, column in THEIRS.items()))
    out = tmp_path / "out"
    assert main([*words, "--map", str(names), "--dry-run", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert 'radius_sq = "c" # weight^2; given' in " ".join(said.split())
    assert "can be judged: V1 (identity, symmetry, physics)" in said
    assert "V3 cannot be judged" in said
    assert not out.exists()
    assert main([*words, "--map", str(names), "--out", str(out)]) == 0
    np.testing.assert_allclose(empirics.load(out).dataset["loss"], [row["loss"] for row in rows])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "none.toml"], "cannot read --map"),
        (["--map", "nested.toml"], "names must be the name of a column, in quotes"),
        (["--map", "broken.toml"], "cannot read --map"),
        (["--map", "lr=lr", "--map", "lr=wd"], "maps two columns to lr"),
        (["--map", "lr=rate"], "has no column 'rate' to map to lr"),
        (["--map", "grad_sq=rate^2"], "has no column 'rate' to map to grad_sq"),
        (["--map", "rate=lr"], "unknown name rate"),
        ([], "give --out DIR for the results, or --dry-run"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(rows, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "t.csv", csv(rows))
    put(tmp_path / "nested.toml", "[names]\nlr = 'lr'\n")
    put(tmp_path / "broken.toml", "lr = \n")
    out = ["--out", "out"] if words else []
    assert main(["import", "t.csv", "--protocol", "fixed-lr", *words, *out]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_an_import_guessed_is_said_and_kept(rows, tmp_path, capsys):
    table = put(tmp_path / "t.csv", csv(renamed(rows, {"radius_sq": "params_norm_sq", "dimension": "num_params"})))
    assert main(["import", str(table), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 0
    assert "guessed from the names, to be checked: radius_sq = params_norm_sq, dimension = num_params" in (
        capsys.readouterr().err
    )
    assert empirics.load(tmp_path / "out").dataset["radius_sq"].attrs["origin"] == "column params_norm_sq (guessed)"


def test_a_dimension_that_is_given_is_not_guessed(rows, tmp_path):
    table = renamed(rows, {"dimension": "num_params"})
    assert read(table, tmp_path / "t.csv", dimension=77).read().dataset.attrs["dimension"] == 77
    assert read(table, tmp_path / "t.csv").read().dataset.attrs["dimension"] == D


def test_a_decimal_comma_is_one_only_where_no_number_has_a_point(rows, tmp_path):
    text = csv(rows, ";")
    path = put(tmp_path / "t.csv", text.replace(".", ","))
    assert empirics.read_runs(path, "fixed-lr").dataset["lr"].values[0] == 0.01
    put(path, text.replace("0.01;", "0,01;"))
    with pytest.raises(ExperimentError, match=r"line 2, column lr: '0,01' is not a number"):
        empirics.read_runs(path, "fixed-lr")


def test_the_survey_of_logs_prints_as_it_stands(tmp_path):
    lightning(tmp_path / "logs", gas_logs())
    lines = repr(survey(tmp_path / "logs", "fixed-lr", dimension=D)).splitlines()
    assert lines[0] == f"{tmp_path / 'logs'}: Lightning logs, 12 runs in 24 files"
    assert '  lr = "lr"                        # weight^2 nat^-1; certain' in lines
    assert "not used: betas, epoch" in lines
    assert lines[-1] == "status: 12 ok"
