"""Checkpoints of a real training run, in the layouts of four libraries, and what is wrong with them."""

import doctest
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from saved_runs import (
    save_as_lightning,
    save_as_nanogpt,
    save_as_timm,
    save_as_transformers,
    save_by_other_names,
    trained,
)

import empirics
from empirics.cli import main
from empirics.experiment import ExperimentError
from empirics.measure import product_entropies, snapshot_entropies

SETTINGS = {"lr": 0.3, "weight_decay": 0.03}
NAMES = ("first", "second")
LAYOUTS = [save_as_nanogpt, save_as_timm, save_as_lightning, save_as_transformers, save_by_other_names]


@pytest.fixture(scope="module")
def run():
    """The states of a stationary run, and r^2 and |g|^2 at its steps."""
    return trained(3000, 50, burn_in=1000)


def balance(squares, slopes, first, last):
    """Norm balance of the gradients of the steps from one to another."""
    lr, wd = SETTINGS.values()
    return lr * slopes[first:last].sum() / (wd * (2 - lr * wd) * squares[first:last].sum())


def matrix(states):
    """Weights of the two layers, shape (state, 84), in float64."""
    return np.stack([np.concatenate([s.weights[n].double().numpy().ravel() for n in NAMES]) for s in states])


def plain(states, folder, settings=SETTINGS, **more):
    """State dicts alone, with a configuration."""
    folder.mkdir(exist_ok=True)
    for state in states:
        torch.save({name: state.weights[name] for name in NAMES}, folder / f"step_{state.step}.pt")
    (folder / "config.json").write_text(json.dumps(dict(settings, **more)))
    return folder


def kept(runs, i=0):
    """Number of the first checkpoint after burn-in of a run."""
    return int(np.argmax(np.isfinite(runs.tree["snapshots"]["neighbour_lag"].values[i])))


@pytest.mark.parametrize("save", LAYOUTS)
def test_a_run_reads_the_same_in_every_layout(run, save, tmp_path):
    states, squares, slopes = run
    save(states, tmp_path)
    runs = empirics.read_runs(tmp_path, "fixed-lr")  # settings from the optimiser's state
    data, snapshots, begin = runs.dataset.isel(run=0), runs.tree["snapshots"], kept(runs)
    weights = matrix(states)[begin:]
    assert data.attrs["dimension"] == 84
    assert (float(data["lr"]), float(data["weight_decay"]), str(data["optimizer"].values)) == (0.3, 0.03, "sgd")
    np.testing.assert_allclose(data["radius_sq"], (weights**2).sum(1).mean(), rtol=1e-6)
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    cosines = unit @ unit.T
    turns = np.arccos(np.diagonal(cosines, 1))
    np.testing.assert_allclose(snapshots["turn"][0, begin + 1 :], turns, rtol=1e-5)
    nearest = np.abs(np.argmax(cosines - 2 * np.eye(len(cosines)), axis=1) - np.arange(len(cosines)))
    np.testing.assert_array_equal(np.abs(snapshots["neighbour_lag"][0, begin:]), nearest)
    assert float(data["neighbour_lag"]) == np.median(nearest)
    assert bool(data["path_entropy"]) == (np.mean(nearest == 1) > 0.5)
    assert str(data["status"].values) == "ok"
    if save is save_as_timm:  # which counts epochs
        assert "radial_balance" not in data
        assert "trace" not in runs.tree or not runs.tree["trace"].data_vars
    else:
        of_gradients = balance(squares, slopes, states[begin].step, states[-1].step)
        assert float(data["radial_balance"]) == pytest.approx(of_gradients, abs=0.01)


def test_timm_with_the_steps_of_an_epoch(run, tmp_path):
    save_as_timm(run[0], tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"steps_per_epoch": 50}))
    again = empirics.read_runs(plain(run[0], tmp_path / "plain"), "fixed-lr").dataset
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    np.testing.assert_allclose(data["radial_balance"], again["radial_balance"])


def test_a_norm_on_its_way_shows_the_balance_of_the_gradients(tmp_path):
    states, squares, slopes = trained(170, 5)
    runs = empirics.read_runs(plain(states, tmp_path / "run"), "fixed-lr")
    data = runs.dataset.isel(run=0)
    of_gradients = balance(squares, slopes, states[kept(runs)].step, 170)
    assert 0.1 < of_gradients < 0.8
    assert float(data["radial_balance"]) == pytest.approx(of_gradients, abs=0.02)
    assert (str(data["status"].values), str(data["reason"].values)[:13]) == ("not stationary", "norm balance ")
    assert kept(runs) > 0
    summary, lags = snapshot_entropies(matrix(states)[kept(runs) :], (84,), (83,))
    np.testing.assert_allclose(data["entropy_sphere"], summary["entropy_sphere"], rtol=1e-6)
    np.testing.assert_array_equal(runs.tree["snapshots"]["neighbour_lag"][0, kept(runs) :], lags)
    assert bool(data["path_entropy"])


def test_checkpoints_over_too_short_a_time_are_told_from_stationary_ones(run, tmp_path):
    weights = {name: value.double() for name, value in run[0][0].weights.items()}
    for i in range(20):
        noisy = {
            name: value * (1 + 0.01 * np.sin(2.5 * i)) + 1e-3 * torch.randn_like(value)
            for name, value in weights.items()
        }
        torch.save(noisy, tmp_path / f"step_{i}.pt")  # 0.4 relaxation times in all
    (tmp_path / "config.json").write_text(json.dumps(dict(SETTINGS, weight_decay=2e-4)))
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset.isel(run=0)
    assert str(data["status"].values) == "balance unknown"
    assert "span too few steps" in str(data["reason"].values)
    # Nor does it help to give the settings as numbers: they say as much about the norm as a file does.
    (tmp_path / "config.json").unlink()
    given = {name: str(value) for name, value in dict(SETTINGS, weight_decay=2e-4).items()}
    again = empirics.read_runs(tmp_path, "fixed-lr", columns=given).dataset.isel(run=0)
    assert (again["status"], again["radial_balance"]) == (data["status"], data["radial_balance"])


def test_spheres_are_counted_and_their_entropy_goes_with_them(run, tmp_path):
    folder = plain(run[0], tmp_path / "run")
    found = {kind: empirics.read_runs(folder, "fixed-lr", spheres=kind).dataset for kind in ("one", "tensor", "filter")}
    assert {kind: data.attrs["dimension"] for kind, data in found.items()} == {"one": 84, "tensor": 83, "filter": 73}
    weights = matrix(run[0])[kept(empirics.read_runs(folder, "fixed-lr")) :]
    for kind, sizes in (("tensor", (48, 36)), ("filter", (8,) * 6 + (6,) * 6)):
        (plain_one, _), ends = product_entropies(weights, sizes, 84 - len(sizes)), np.cumsum(sizes)
        norms = [np.linalg.norm(weights[:, end - n : end], axis=1) for n, end in zip(sizes, ends, strict=True)]
        logs = np.log(np.stack(norms) / np.linalg.norm(weights, axis=1)).mean(1)
        lengths = float((np.array(sizes) - 1) @ logs)
        np.testing.assert_allclose(found[kind]["entropy_lengths"][0], lengths, rtol=1e-6)
        np.testing.assert_allclose(found[kind]["entropy_sphere"][0], plain_one.value + lengths, rtol=1e-6)
    assert "entropy_lengths" not in found["one"]


def test_the_user_names_the_weights(run, tmp_path):
    data = empirics.read_runs(plain(run[0], tmp_path / "run"), "fixed-lr", weights=["fir*"]).dataset
    assert data.attrs["dimension"] == 48
    np.testing.assert_allclose(data["radius_sq"][0], (matrix(run[0])[:, :48] ** 2).sum(1).mean(), rtol=0.02)
    (tmp_path / "run" / "config.json").unlink()
    given = empirics.read_runs(tmp_path / "run", "fixed-lr", columns={"lr": "0.3", "weight_decay": "0.03"}).dataset
    assert (float(given["lr"][0]), given.attrs["dimension"]) == (0.3, 84)
    assert data["radius_sq"].attrs["origin"] == "tensors read: first, all together on one sphere"


def test_frozen_weights_are_left_out_and_tied_ones_counted_once(run, tmp_path):
    for state in run[0][:3]:
        first = state.weights["first"]
        torch.save({"a": first, "tied": first, "mask": torch.ones(9, 9)}, tmp_path / f"step_{state.step}.pt")
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    assert data.attrs["dimension"] == 48
    assert "never change: mask" in data["radius_sq"].attrs["origin"]
    assert empirics.read_runs(tmp_path, "fixed-lr", weights=["*"]).dataset.attrs["dimension"] == 48 + 81


def test_a_grid_of_folders_and_the_command(run, tmp_path, capsys):
    for n, length in enumerate((41, 9)):
        plain(run[0][:length], tmp_path / f"run{n}", lr=0.3 + n)
    assert main(["import", str(tmp_path), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 0
    assert "runs          2" in capsys.readouterr().out
    runs = empirics.load(tmp_path / "out")
    assert list(runs.dataset["lr"].values) == [0.3, 1.3]
    assert list(runs.dataset["status"].values) == ["ok", "too short"]
    assert np.isfinite(runs.tree["snapshots"]["radius_sq"]).sum("snapshot").values.tolist() == [41, 9]


def optimizers(weights):
    """Optimisers of torch, by our names."""
    return {
        "momentum": torch.optim.SGD(weights, 0.3, 0.9, weight_decay=2e-4),
        "nesterov": torch.optim.SGD(weights, 0.3, 0.9, weight_decay=2e-4, nesterov=True),
        "adamw": torch.optim.AdamW(weights, 0.3, (0.9, 0.95), weight_decay=2e-4),
        "adam-l2": torch.optim.Adam(weights, 0.3, (0.9, 0.95), weight_decay=2e-4),
    }


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adamw", "adam-l2"])
def test_optimizers_are_those_of_the_state_and_without_gradients_there_is_no_growth(name, tmp_path):
    weight = torch.nn.Parameter(torch.randn(9, 9, dtype=torch.float64))
    optimizer = optimizers([weight])[name]
    for step in range(200):
        if step >= 80:  # momentum has forgotten its beginning
            stored = {"model": {"w": weight.data}, "optimizer": optimizer.state_dict()}
            torch.save(stored, tmp_path / f"step_{step}.pt")
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset.isel(run=0)
    assert (str(data["optimizer"].values), float(data["momentum"])) == (name, 0.9)
    if name == "adam-l2":  # whose decay depends on the gradients
        assert "radial_balance" not in data
    else:
        assert float(data["radial_balance"]) == pytest.approx(0, abs=0.01)


def test_adam_that_does_not_say_how_it_decays_is_asked(run, tmp_path):
    stored = optimizers([torch.nn.Parameter(torch.ones(2, 2))])["adamw"].state_dict()
    del stored["param_groups"][0]["decoupled_weight_decay"]  # as older versions of torch have it
    for state in run[0][:3]:
        torch.save({"model": state.weights, "optimizer": stored}, tmp_path / f"step_{state.step}.pt")
    with pytest.raises(ExperimentError, match="does not tell whether weight decay is decoupled"):
        empirics.read_runs(tmp_path, "fixed-lr")
    (tmp_path / "config.json").write_text('{"optimizer": "AdamW"}')
    assert list(empirics.read_runs(tmp_path, "fixed-lr").dataset["optimizer"].values) == ["adamw"]


def test_logs_go_before_checkpoints_beside_them_unless_these_are_asked_for(run, tmp_path):
    folder = tmp_path / "version_0"
    (folder / "checkpoints").mkdir(parents=True)
    save_as_lightning(run[0], folder / "checkpoints")
    (folder / "hparams.yaml").write_text("lr: 0.3\nweight_decay: 0.03\n")
    (folder / "metrics.csv").write_text("step,loss\n" + "".join(f"{i},1.{i}\n" for i in range(9)))
    data = empirics.read_runs(folder, "fixed-lr", dimension=84).dataset
    assert "loss" in data
    assert "radius_sq" not in data
    assert "radius_sq" in empirics.read_runs(folder, "fixed-lr", spheres="one").dataset
    assert "radius_sq" in empirics.read_runs(folder / "checkpoints", "fixed-lr").dataset


def test_a_rate_that_changes_is_no_stationary_run(run, tmp_path):
    for i, state in enumerate(run[0]):
        group = {"lr": 0.3 / (1 + i), "weight_decay": 0.03, "params": [0]}
        stored = {"state_dict": state.weights, "optimizer_states": [{"state": {}, "param_groups": [group]}]}
        torch.save(stored, tmp_path / f"step={state.step}.ckpt")
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset.isel(run=0)
    assert str(data["status"].values) == "not stationary"
    assert "lr changes until step 3000 of 3000, from 0.3 to 0.00732" in str(data["reason"].values)


def test_what_was_before_a_change_of_the_rate_is_burn_in(run, tmp_path):
    for i, state in enumerate(run[0]):
        group = {"lr": 0.3 if i >= 12 else 0.1, "weight_decay": 0.03, "params": [0]}
        stored = {"state_dict": state.weights, "optimizer_states": [{"state": {}, "param_groups": [group]}]}
        torch.save(stored, tmp_path / f"step={state.step}.ckpt")
    runs = empirics.read_runs(tmp_path, "fixed-lr")
    assert kept(runs) == 12
    assert (str(runs.dataset["status"].values[0]), float(runs.dataset["lr"][0])) == ("ok", 0.3)


def test_a_weight_that_is_not_finite_is_divergence(run, tmp_path):
    folder = plain(run[0][:5], tmp_path / "run")
    torch.save({"first": torch.full((6, 8), torch.nan), "second": torch.ones(6, 6)}, folder / "step_9000.pt")
    data = empirics.read_runs(folder, "fixed-lr").dataset.isel(run=0)
    assert (str(data["status"].values), str(data["reason"].values)) == (
        "diverged",
        "radius_sq was nan at step 9000",
    )


@pytest.mark.skipif(find_spec("safetensors") is None, reason="needs the extra safetensors")
def test_safetensors_read_the_same(run, tmp_path):
    from safetensors.torch import save_file

    for state in run[0]:
        (tmp_path / f"checkpoint-{state.step}").mkdir()
        for i, name in enumerate(("first", "second")):
            file = tmp_path / f"checkpoint-{state.step}" / f"model-0000{i + 1}-of-00002.safetensors"
            save_file({name: state.weights[name]}, file)
        (file.parent / "pytorch_model.bin").write_bytes(b"the same again, not to be read")
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    again = empirics.read_runs(plain(run[0], tmp_path / "plain"), "fixed-lr").dataset
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    assert all(data[name].equals(again[name]) for name in ("radius_sq", "entropy_sphere", "radial_balance"))


NUMBER = re.compile(r"\d+\.?\d*")


def same_but_for_chaos(page, said):
    """Whether two texts are equal, with numbers that another processor's rounding may move by a tenth."""
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (page, said)]
    return NUMBER.sub("#", page) == NUMBER.sub("#", said) and np.allclose(*numbers, rtol=0.1)


def test_the_page_shows_what_the_command_prints(run, tmp_path, monkeypatch, capsys):
    page = Path(empirics.__file__).parents[1].joinpath("docs", "importing.md").read_text(encoding="utf-8")
    section = page[page.index("## Checkpoints") :]
    shell, python = re.findall(r"```(?:python)?\n((?:\$|>>>).*?)```", section, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    save_as_nanogpt(run[0], Path("out"))
    command, _, shown = shell.partition("\n")
    assert main(command.split()[2:]) == 0
    printed = capsys.readouterr()
    assert shown.endswith("...\n")
    lines = shown.removesuffix("...\n").splitlines()
    assert same_but_for_chaos("\n".join(lines), "\n".join((printed.out + printed.err).splitlines()[: len(lines)]))
    examples = doctest.DocTestParser().get_examples(python)
    names: dict[str, object] = {}
    assert len(examples) == 5
    for example in examples:
        exec(example.source, names)
        assert same_but_for_chaos(example.want, capsys.readouterr().out), example.source


def test_without_the_reader_of_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch", raising=False)
    (tmp_path / "step_1.safetensors").write_bytes(b"")
    with pytest.raises(ExperimentError, match=r"step_1.safetensors: .* pip install 'thermo-theory\[safetensors\]'"):
        empirics.read_runs(tmp_path, "fixed-lr")


class Harmful:
    """What an attack pickles: a call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def other_shape(folder):
    torch.save({"first": torch.ones(6, 9), "second": torch.ones(6, 6)}, folder / "step_9000.pt")


def tensor_missing(folder):
    torch.save({"first": torch.ones(6, 8)}, folder / "step_9000.pt")


def another_run(folder):
    torch.save({"step": 1000, "model": {"first": torch.ones(6, 8), "second": torch.ones(6, 6)}}, folder / "other.pt")


def no_time(folder):
    torch.save({"first": torch.ones(6, 8), "second": torch.ones(6, 6)}, folder / "best.pt")


def no_state(folder):
    torch.save([1, 2], folder / "step_9000.pt")


def no_tensors(folder):
    torch.save({"epoch": 3}, folder / "step_9000.pt")


def truncated(folder):
    (folder / "step_9000.pt").write_bytes((folder / "step_1000.pt").read_bytes()[:300])


def not_moving(folder):
    for file in folder.glob("step_*.pt"):
        torch.save({"first": torch.ones(6, 8)}, file)


def no_rate(folder):
    (folder / "config.json").write_text('{"weight_decay": 0.1}')


def no_json(folder):
    (folder / "config.json").write_text("lr: 0.1")


def a_word_for_a_rate(folder):
    (folder / "config.json").write_text('{"lr": "fast", "weight_decay": 0.1}')


def a_momentum_of_one(folder):
    (folder / "config.json").write_text('{"lr": 0.3, "weight_decay": 0.1, "momentum": 1}')


def contradicted(folder):
    stored = torch.load(folder / "step_1000.pt", weights_only=True)
    group = {"lr": 0.1, "weight_decay": 0.03, "params": [0]}
    torch.save({"model": stored, "optimizer": {"param_groups": [group]}}, folder / "step_1000.pt")


def epochs_among_steps(folder):
    torch.save({"epoch": 3, "model": {"first": torch.ones(6, 8), "second": torch.ones(6, 6)}}, folder / "a.pt")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (other_shape, "step_9000.pt: tensor first is of shape (6, 9), but (6, 8) in"),
        (tensor_missing, "step_9000.pt: tensor second is missing"),
        (another_run, "step_1000.pt and other.pt are both of step 1000, but differ|other.pt and step_1000.pt are both"),
        (no_time, "best.pt: no step or epoch in the file, and no number in its name"),
        (no_state, "step_9000.pt holds a list, but must hold a state dict"),
        (no_tensors, "step_9000.pt holds no tensors by name"),
        (truncated, "step_9000.pt"),
        (not_moving, "the weights are the same in all 3 checkpoints"),
        (no_rate, "run: column lr is missing"),
        (no_json, "config.json is not JSON"),
        (a_word_for_a_rate, "config.json: lr = 'fast' must be a number above 0"),
        (a_momentum_of_one, "config.json: momentum = 1 must be a number from 0 to below 1"),
        (contradicted, "config.json: lr = 0.3, but the state of the optimizer has 0.1"),
        (epochs_among_steps, "some checkpoints are counted in steps and others in epochs"),
    ],
)
def test_what_is_wrong_is_named(run, tmp_path, capsys, harm, says):
    folder = plain(run[0][:3], tmp_path / "run")
    harm(folder)
    assert main(["import", str(folder), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert any(one in said for one in says.split("|")), said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--weights", "frist"], "no tensor matches 'frist'; did you mean 'first'? (tensors: first, second)"),
        (["--spheres", "filters"], "unknown spheres 'filters'; did you mean 'filter'?"),
        (["--dimension", "85"], "has dimension 84, but --dimension is 85"),
    ],
)
def test_wrong_requests(run, tmp_path, capsys, words, says):
    folder = plain(run[0][:3], tmp_path / "run")
    words = ["import", str(folder), "--protocol", "fixed-lr", "--out", str(tmp_path / "out"), *words]
    assert main(words) == 2
    assert says in capsys.readouterr().err


def test_weights_are_of_checkpoints_alone(tmp_path):
    (tmp_path / "t.csv").write_text("lr,weight_decay,dimension\n1,1,5\n")
    with pytest.raises(ExperimentError, match="holds no checkpoints"):
        empirics.read_runs(tmp_path / "t.csv", "fixed-lr", weights=["*"])


def test_nothing_in_a_checkpoint_is_executed(run, tmp_path, capsys):
    folder = plain(run[0][:3], tmp_path / "run")
    torch.save({"model": run[0][0].weights, "args": Harmful(tmp_path / "exploded")}, folder / "step_9000.pt")
    assert main(["import", str(folder), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "step_9000.pt" in said
    assert "nothing in it was executed" in said
    assert not (tmp_path / "exploded").exists()
    torch.load(folder / "step_9000.pt", weights_only=False)["args"].close()
    assert (tmp_path / "exploded").exists()  # by a loader that is not safe
