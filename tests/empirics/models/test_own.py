"""A network of the user's own, from a file of theirs."""

import dataclasses

import numpy as np
import pytest
import torch
from reference import plain_loop
from tiny import tiny

import empirics
from empirics import cli
from empirics.data.loading import load
from empirics.experiment import ExperimentError
from empirics.models.base import ModelError
from empirics.training.ensemble import Ensemble

OWN = """
import torch
from torch import nn

from empirics.models import network


@network("residual")
class Residual(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.first = nn.Linear(features, 12, bias=False)
        self.norm = nn.BatchNorm1d(12, affine=False, eps=1e-5)
        self.second = nn.Linear(12, 12, bias=False)
        self.head = nn.Linear(12, classes, bias=False)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        y = self.second(x)
        return self.head(x + y / (y.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt())


@network("plain")
def plain(features, classes):
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, classes))


@network("random")
def random(features, classes):
    return nn.Sequential(nn.Linear(features, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, classes))


@network("wrong shape")
def wrong(features, classes):
    return nn.Linear(features + 1, classes)


@network("wrong outputs")
def outputs(features, classes):
    return nn.Linear(features, classes + 1)


@network("branch")
class Branch(Residual):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@network("not finite")
class NotFinite(Residual):
    def forward(self, x):
        return super().forward(x) * float("nan")


@network("exits")
def exits(features, classes):
    raise SystemExit(0)


@network("biased")
class Biased(nn.Module):
    def __init__(self, features, classes, bias=0.03):
        super().__init__()
        self.first = nn.Linear(features, 16)
        nn.init.uniform_(self.first.bias, -bias, bias)
        self.norm = nn.LayerNorm(16, elementwise_affine=False)
        self.head = nn.Linear(16, classes, bias=False)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.first(x))))


@network("hardly biased")
def hardly(features, classes):
    return Biased(features, classes, 3e-4)


@network("no module")
def none(features, classes):
    return lambda x: x
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)

    def experiment(name="residual", remainder="freeze", **training):
        grid = tiny(('name = "mlp"\nhidden = [5, 4]', f'name = "{name}"\nfile = "{path}"\nremainder = "{remainder}"'))
        return dataclasses.replace(grid, training=dataclasses.replace(grid.training, **training))

    experiment.path = path
    return experiment


def test_a_grid_through_run_equals_plain_loops(own, tmp_path):
    grid = own(dtype="float64", batch_size=64)
    grid = dataclasses.replace(grid, measure=dataclasses.replace(grid.measure, keep_snapshots=True, spacing=4))
    runs = empirics.run(grid, tmp_path / "out", progress=False)
    data = load(grid.data)
    ensemble = Ensemble(grid, grid.runs, data)
    inputs, labels = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    start = ensemble.start().weights
    snapshots = runs.tree["snapshots"]["weights"].values
    steps = range(33, 51, 4)  # weights before step 33, 37, ...: snapshots 0, 1, ...
    for i in (1, 5):
        module = ensemble.model._made(0)
        module.first.weight.data.copy_(start[0][i])
        module.second.weight.data.copy_(start[1][i])
        module.head.weight.data.copy_(ensemble.frozen[0][i])
        module.head.weight.requires_grad_(False)
        trained = plain_loop(module, grid.runs[i], grid.training, inputs, labels, 50)
        for step, weights in enumerate(trained, start=1):
            if step in steps:
                flat = torch.cat([w.detach().flatten() for w in weights])
                np.testing.assert_allclose(snapshots[i, steps.index(step)], flat, rtol=1e-9, atol=1e-10)
    assert runs.dataset.attrs["weights"] == 12 * (61 + 12)
    assert runs.dataset["violation"].max() < 1e-3
    told = runs.provenance["model"]
    assert [(t["name"], t["parts"]) for t in told["tensors"]] == [("first.weight", 12), ("second.weight", 1)]
    assert told["frozen"] == ["head.weight"]


def test_runs_start_apart_and_share_what_is_frozen(own):
    grid = own()
    ensemble = Ensemble(grid, grid.runs[:2], load(grid.data))
    assert not torch.equal(ensemble._start[0][0], ensemble._start[0][1])
    assert torch.equal(ensemble.frozen[0][0], ensemble.frozen[0][1])
    assert ensemble.frozen[0].shape == (2, 10, 12)


def test_the_rest_can_be_trained_and_is_labelled(own, tmp_path):
    runs = empirics.run(own(remainder="train"), tmp_path / "out", progress=False)
    assert runs.dataset.attrs["weights"] == 12 * (61 + 12 + 10)
    assert [t["scale_invariant"] for t in runs.provenance["model"]["tensors"]] == [True, True, False]
    assert (runs.dataset["violation"] > 1e-3).all()


REFUSED = [
    ("residual", "refuse", "not scale-invariant: head.weight"),
    ("plain", "freeze", "no tensor of the network is scale-invariant (|w·g|/(|w||g|): 0.weight 0."),
    ("random", "freeze", "draws random numbers"),
    ("branch", "freeze", "the network fails when torch.func.vmap trains several runs together"),
    ("not finite", "freeze", "logits that are not finite"),
    ("exits", "freeze", "cannot be made: SystemExit: 0"),
    ("biased", "freeze", "first.weight is not scale-invariant: |w·g| is 0.0"),
    ("wrong shape", "freeze", "fails on the data: RuntimeError"),
    ("wrong outputs", "freeze", "must return logits of shape (64, 10), got (64, 11)"),
    ("no module", "freeze", "must be a torch.nn.Module"),
    ("residul", "freeze", "does not register this network; did you mean 'residual'?"),
]


@pytest.mark.parametrize(("name", "remainder", "said"), REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_line(own, name, remainder, said, tmp_path, capsys):
    file = tmp_path / "experiment.toml"
    file.write_text(own(name, remainder).to_toml())
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def with_tolerance(grid, tolerance):
    return dataclasses.replace(grid, model=dataclasses.replace(grid.model, tolerance=tolerance))


def test_one_tolerance_from_the_first_step_to_the_verdict(own, tmp_path, capsys):
    runs = empirics.run(own("hardly biased"), tmp_path / "hardly")  # no bias that matters: nothing to refuse
    assert capsys.readouterr().err.startswith(
        "scale-invariant: first.weight (1 block)\nnot scale-invariant, frozen: first.bias, head.weight\n"
    )
    assert (runs.dataset["violation"] > 1e-6).all()  # and yet it is seen
    assert "not scale-invariant" not in runs.dataset["status"].values
    with pytest.raises(ModelError, match=r"first\.weight .* tolerance = 1e-06"):
        empirics.run(with_tolerance(own("hardly biased"), 1e-6), tmp_path / "strict", progress=False)
    with pytest.raises(ModelError, match=r"first\.weight .* tolerance = 0\.001; remove the bias"):
        empirics.run(own("biased"), tmp_path / "biased", progress=False)
    assert not (tmp_path / "biased").exists()
    runs = empirics.run(with_tolerance(own("biased"), 0.1), tmp_path / "allowed", progress=False)
    assert (runs.dataset["violation"] > 1e-3).any()
    assert not [reason for reason in runs.dataset["reason"].values if "|w.g|" in reason]


def test_a_file_that_ends_the_program_is_refused(own, tmp_path, capsys):
    grid = own()
    own.path.write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "experiment.toml").write_text(grid.to_toml())
    assert cli.main(["run", str(tmp_path / "experiment.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "own.py' fails: SystemExit: 0" in capsys.readouterr().err


def test_a_network_that_ends_the_program_later_is_a_failure(own, tmp_path, capsys, monkeypatch):
    (tmp_path / "experiment.toml").write_text(own().to_toml())

    def ends(*_):
        raise SystemExit(0)

    monkeypatch.setattr(Ensemble, "advance", ends)
    assert cli.main(["run", str(tmp_path / "experiment.toml"), "--out", str(tmp_path / "out")]) == 1
    assert "a Python file of yours ended the program by sys.exit(0)" in capsys.readouterr().err


def test_the_eps_of_our_networks_is_warned_about_and_judged_by_the_same_number(tmp_path, capsys):
    coarse = tiny(("hidden = [5, 4]", "hidden = [5, 4]\neps = 0.01"))
    runs = empirics.run(coarse, tmp_path / "out")
    assert "warning: layer 2 is not scale-invariant: |w·g| is" in capsys.readouterr().err
    assert "not scale-invariant" in runs.dataset["status"].values
    runs = empirics.run(with_tolerance(coarse, 1.0), tmp_path / "tolerant", progress=False)
    assert not [reason for reason in runs.dataset["reason"].values if "|w.g|" in reason]


def test_files_that_fail_or_change_are_refused(own, tmp_path):
    grid = own()
    empirics.run(grid, tmp_path / "out", progress=False)
    (tmp_path / "half").mkdir()
    for name in ("experiment.toml", "provenance.json"):
        (tmp_path / "half" / name).write_bytes((tmp_path / "out" / name).read_bytes())
    own.path.write_text(OWN + "\n# another version\n")
    with pytest.raises(ExperimentError, match="started with another network"):
        empirics.resume(tmp_path / "half", progress=False)
    own.path.write_text("1/0")
    with pytest.raises(ModelError, match="fails: ZeroDivisionError"):
        Ensemble(grid, grid.runs, load(grid.data))
    own.path.unlink()
    with pytest.raises(ModelError, match="no such Python file"):
        Ensemble(grid, grid.runs, load(grid.data))
