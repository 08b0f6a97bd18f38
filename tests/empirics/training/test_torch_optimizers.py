"""Protocols and optimisers: every pair against torch.optim, the exact symmetries, the norm's balance."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from reference import plain_loop
from tiny import tiny
from torch import nn

import empirics
from empirics.data import DATASETS
from empirics.data.dataset import Dataset
from empirics.experiment import AXES, Experiment, ExperimentError
from empirics.experiment.optimizers import TRUST
from empirics.training import OPTIMIZERS
from empirics.training.ensemble import Ensemble
from empirics.training.record import Sum
from empirics.training.sampling import identity

AXIS = {
    "lr": [0.05, 0.1],
    "effective_lr": [0.0005, 0.001],
    "weight_decay": [0.01, 0.02, 0.05],
    "radius": [1.0, 2.0, 3.0],
}
PAIRS = [(p, o) for p in AXES for o in OPTIMIZERS.names if p == "fixed-lr" or o not in TRUST]


def experiment(protocol, optimizer, dtype="float64", **model):
    plain = tiny(("hidden = [5, 4]", "hidden = [8, 6]"), ("{noise = 10.0}", "3.0"))
    training = dataclasses.replace(plain.training, protocol=protocol, optimizer=optimizer, dtype=dtype)
    return dataclasses.replace(
        plain,
        training=training,
        model=dataclasses.replace(plain.model, **model),
        grid={name: AXIS[name] for name in AXES[protocol]},
    )


@pytest.fixture(scope="module")
def normal():
    """Normal inputs: no pixel is constant in a minibatch, where Adam would turn round-off into ±1."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 7))
    return Dataset("normal", inputs, np.argmax(inputs[:, :3] + rng.standard_normal((300, 3)), axis=1), classes=3)


def plain_network(weights, head, eps):
    layers = []
    for w in weights:
        layers += [linear(w), nn.BatchNorm1d(len(w), eps=eps, affine=False, track_running_stats=False), nn.ReLU()]
    last = linear(head)
    last.weight.requires_grad_(False)
    return nn.Sequential(*layers, last)


def linear(w):
    made = nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=torch.float64)
    made.weight.data.copy_(w)
    return made


@pytest.mark.parametrize(("protocol", "optimizer"), PAIRS)
def test_every_step_is_that_of_torch_optim(protocol, optimizer, normal):
    grid = experiment(protocol, optimizer, eps=1e-5)
    # Enough images that no variance is next to nothing, where rounding would be magnified.
    grid = dataclasses.replace(grid, training=dataclasses.replace(grid.training, batch_size=64))
    ensemble = Ensemble(grid, grid.runs, normal)
    state = ensemble.start()
    start = [w.clone() for w in state.weights]
    inputs, labels = torch.as_tensor(normal.inputs), torch.as_tensor(normal.labels)
    loops = {}
    for i in (0, 4):  # two runs that share neither rate
        network = plain_network([w[i] for w in start], ensemble.frozen[0][i], grid.model.eps)
        loops[i] = plain_loop(network, grid.runs[i], grid.training, inputs, labels, 50)
    for _ in range(50):
        ensemble.advance(state)
        for i, loop in loops.items():
            for ours, theirs in zip(state.weights, next(loop), strict=True):
                torch.testing.assert_close(ours[i], theirs.detach(), rtol=1e-10, atol=1e-10)


SYMMETRIES = [  # optimiser, powers of c that multiply the learning rate and the weight decay
    ("sgd", 2, -2),
    ("momentum", 2, -2),
    ("nesterov", 2, -2),
    ("adamw", 1, -1),
    ("adam-l2", 1, -2),
    *[(name, 1, -1) for name in ("signsgd", "lion", "normalised-sgd", "muon")],
    ("lars", 0, -2),
    ("lamb", 0, -1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("optimizer", "of_lr", "of_decay"), SYMMETRIES)
def test_the_scaling_symmetry_is_exact_to_the_last_bit(optimizer, of_lr, of_decay, dtype, normal):
    c = 4.0
    one = experiment("fixed-lr", optimizer, dtype, eps=0.0)
    one = dataclasses.replace(one, training=dataclasses.replace(one.training, optimizer_eps=0.0))
    scaled = {
        "lr": [c**of_lr * lr for lr in one.grid.lr],
        "weight_decay": [c**of_decay * wd for wd in one.grid.weight_decay],
    }
    other = dataclasses.replace(one, grid=scaled)
    assert_images(one, other, c, normal)


@pytest.mark.parametrize(("optimizer", "of_decay"), [("sgd", 2), ("momentum", 2), ("adamw", 1), ("adam-l2", 2)])
def test_the_symmetry_of_a_fixed_effective_rate(optimizer, of_decay, normal):
    one = experiment("fixed-elr", optimizer, eps=0.0)
    one = dataclasses.replace(one, training=dataclasses.replace(one.training, optimizer_eps=0.0))
    decays = [wd / 4**of_decay for wd in one.grid.weight_decay]
    grid = {"effective_lr": one.grid.effective_lr, "weight_decay": decays}
    assert_images(one, dataclasses.replace(one, grid=grid), 4.0, normal)


@pytest.mark.parametrize(("optimizer", "of_lr"), [("sgd", 2), ("nesterov", 2), ("adamw", 1), ("adam-l2", 1)])
def test_the_symmetry_on_the_sphere(optimizer, of_lr, normal):
    one = experiment("fixed-sphere", optimizer, eps=0.0)
    one = dataclasses.replace(one, training=dataclasses.replace(one.training, optimizer_eps=0.0))
    grid = {"lr": [4.0**of_lr * lr for lr in one.grid.lr], "radius": [4 * r for r in one.grid.radius]}
    assert_images(one, dataclasses.replace(one, grid=grid), 4.0, normal)


def assert_images(one, other, c, data):
    """Train both from the same directions on the same minibatches: the weights stay images, bit for bit."""
    a_runs, b_runs = Ensemble(one, one.runs, data), Ensemble(other, other.runs, data)
    b_runs.feeds.train, b_runs.feeds.second = a_runs.feeds.train, a_runs.feeds.second
    a, b = a_runs.start(), b_runs.start()
    b.flat.copy_(c * a.flat)
    for _ in range(80):
        a_runs.advance(a)
        b_runs.advance(b)
    a_runs.flush(a)
    b_runs.flush(b)
    assert torch.equal(a.total[Sum.FINITE], torch.full_like(a.total[Sum.FINITE], 80))
    for w, image in zip(a.weights, b.weights, strict=True):
        assert torch.equal(c * w, image), "no image"
    assert torch.equal(a.total[Sum.LOSS], b.total[Sum.LOSS])


def test_another_scaling_is_not_a_symmetry(normal):
    one = experiment("fixed-lr", "adamw", eps=0.0)
    grid = {"lr": [16 * lr for lr in one.grid.lr], "weight_decay": [wd / 16 for wd in one.grid.weight_decay]}
    with pytest.raises(AssertionError, match="no image"):
        assert_images(one, dataclasses.replace(one, grid=grid), 4.0, normal)


@pytest.mark.parametrize(("protocol", "optimizer"), [pair for pair in PAIRS if pair[0] != "fixed-sphere"])
def test_the_counted_balance_is_the_growth_of_the_norm(protocol, optimizer, normal):
    """Growth minus decay, summed, is the change of r² (or of log r², where the balance is that of log r)."""
    grid = experiment(protocol, optimizer)
    ensemble = Ensemble(grid, grid.runs, normal)
    ensemble._norm_counted = True
    state = ensemble.start()
    before = sum(w.flatten(1).square().sum(1) for w in state.weights)
    for _ in range(60):
        ensemble.advance(state)
    ensemble.flush(state)
    after = sum(w.flatten(1).square().sum(1) for w in state.weights)
    change = (after / before).log() if protocol == "fixed-elr" else after - before
    counted = state.total[Sum.GROWTH] - state.total[Sum.DECAY]
    torch.testing.assert_close(counted, change, rtol=1e-9, atol=1e-12)
    if (protocol, optimizer) == ("fixed-lr", "sgd"):  # the terms of norm_balance themselves
        lr = ensemble.rate
        torch.testing.assert_close(state.total[Sum.GROWTH], lr**2 * state.total[Sum.GRAD_SQ], rtol=1e-9, atol=0)
        decay = lr * ensemble.weight_decay * (2 - lr * ensemble.weight_decay) * state.total[Sum.RADIUS_SQ]
        torch.testing.assert_close(state.total[Sum.DECAY], decay, rtol=1e-9, atol=0)


def through_run(grid, folder, **changes):
    training = dataclasses.replace(grid.training, dtype="float32", batch_size=32, burn_in=600, steps=1600, **changes)
    grid = dataclasses.replace(grid, training=training, measure=dataclasses.replace(grid.measure, spacing=40))
    return empirics.run(grid, folder, progress=False)


def test_a_grid_on_the_sphere_through_run(tmp_path):
    grid = experiment("fixed-sphere", "momentum")
    found = through_run(grid, tmp_path / "sphere").dataset
    assert np.isnan(found["weight_decay"]).all()
    assert "effective_lr" not in found.coords
    assert found["lr"].values.tolist() == [0.05] * 3 + [0.1] * 3
    assert found["radius"].values.tolist() == [1.0, 2.0, 3.0] * 2
    np.testing.assert_allclose(found["radius_sq"], found["radius"] ** 2, rtol=1e-5)
    assert np.isnan(found["balance"]).all()
    expected = (
        0.5 * 10 * found["lr"] / found["radius_sq"] * found["grad_variance_unit"] / (found.attrs["dimension"] - 1)
    )
    np.testing.assert_allclose(found["temperature"], expected)
    assert (found["status"] == "ok").all(), found["reason"].values


def test_a_grid_at_fixed_effective_rate_through_run(tmp_path):
    grid = dataclasses.replace(
        experiment("fixed-elr", "sgd"), grid={"effective_lr": [0.02, 0.04], "weight_decay": [0.01, 0.02, 0.05]}
    )
    runs = through_run(grid, tmp_path / "elr", initial_radius={"noise": 10.0})
    found = runs.dataset
    assert np.isnan(found["lr"]).all()
    assert "radius" not in found.coords
    assert found["effective_lr"].values.tolist() == [0.02] * 3 + [0.04] * 3
    np.testing.assert_allclose(found["balance"], 1, atol=0.1)
    heat = 0.5 * found["effective_lr"] * found["grad_variance_unit"] / (found.attrs["dimension"] - 1)
    np.testing.assert_allclose(found["temperature"], heat)
    assert Experiment.from_toml(grid.to_toml()) == grid
    assert empirics.load(runs.path).experiment.runs[0] == grid.runs[0] or math.isnan(grid.runs[0].lr)


@pytest.mark.parametrize(
    ("protocol", "optimizer", "grid"),
    [
        ("fixed-lr", "momentum", {"lr": [0.005, 0.01], "weight_decay": [0.05, 0.1]}),
        ("fixed-elr", "nesterov", {"effective_lr": [0.004], "weight_decay": [0.05, 0.1]}),
    ],
)
def test_a_memory_of_gradients_does_not_make_the_balance_noisy(protocol, optimizer, grid, tmp_path):
    """The norm moves by a few per cent while weight decay takes it several times over: the balance must say so."""
    one = dataclasses.replace(experiment(protocol, optimizer), grid=grid)
    found = through_run(one, tmp_path / "runs", initial_radius={"noise": 10.0}).dataset
    np.testing.assert_allclose(found["balance"], 1, atol=0.03)
    assert (found["balance_error"] < 0.03).all()


def test_an_adaptive_grid_through_run(tmp_path):
    grid = dataclasses.replace(
        experiment("fixed-lr", "adamw"), grid={"lr": [0.01, 0.02], "weight_decay": [0.05, 0.1, 0.2]}
    )
    found = through_run(grid, tmp_path / "adamw").dataset
    sigma = np.sqrt(found["grad_variance_unit"] / (found.attrs["dimension"] - 1))
    np.testing.assert_allclose(found["temperature"], 0.5 * found["lr"] * sigma / np.sqrt(found["radius_sq"]))
    assert np.isfinite(found["balance"]).all()
    assert len({identity(run) for run in grid.runs}) == 6


REFUSED = [
    (
        "fixed-sphere",
        "sgd",
        {"lr": [0.1], "weight_decay": [0.1]},
        "[grid] weight_decay: must be left out; fixed-sphere",
    ),
    ("fixed-elr", "sgd", {"lr": [0.1], "weight_decay": [0.1]}, "[grid] lr: must be left out; fixed-elr"),
    ("fixed-elr", "sgd", {"weight_decay": [0.1]}, "[grid] effective_lr = []: must be a list of numbers"),
]


@pytest.mark.parametrize(("protocol", "optimizer", "grid", "said"), REFUSED)
def test_grids_that_do_not_fit_the_protocol_are_refused(protocol, optimizer, grid, said):
    plain = tiny(("{noise = 10.0}", "3.0"))
    training = dataclasses.replace(plain.training, protocol=protocol, optimizer=optimizer)
    with pytest.raises(ExperimentError) as caught:
        dataclasses.replace(plain, training=training, grid=grid)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_rule_for_the_radius_is_that_of_sgd():
    plain = tiny()
    with pytest.raises(ExperimentError, match="initial_radius"):
        dataclasses.replace(plain, training=dataclasses.replace(plain.training, optimizer="adam-l2"))
    heavy = dataclasses.replace(plain, training=dataclasses.replace(plain.training, optimizer="momentum"))
    light, heavy = (Ensemble(grid, grid.runs[:1], DATASETS.get("digits")()) for grid in (plain, heavy))
    np.testing.assert_allclose(
        heavy.experiment.initial_radius(heavy.runs[0]) ** 4, 10 * light.experiment.initial_radius(light.runs[0]) ** 4
    )


def test_components_and_rotation_are_measured_through_run(tmp_path):
    """Parts add up to the whole, and with a snapshot a step the rotation is the angle from one to the next."""
    every = tiny(("steps = 160", "steps = 40"), ("spacing = 4", "spacing = 1\nkeep_snapshots = true"))
    runs = empirics.run(every, tmp_path / "run", progress=False)
    found, parts = runs.dataset, runs.tree["components"].to_dataset()
    assert parts["radius_sq"].dims == ("run", "component")
    np.testing.assert_allclose(parts["radius_sq"].sum("component"), found["radius_sq"], rtol=1e-5)
    np.testing.assert_allclose(parts["grad_mean_sq"].sum("component"), found["grad_mean_sq"], rtol=1e-4, atol=1e-6)
    total = (parts["grad_variance"] + parts["grad_mean_sq"]).sum("component")
    np.testing.assert_allclose(total, found["grad_sq"], rtol=1e-5)
    weights = runs.tree["snapshots"]["weights"].values.astype(float)
    units = weights / np.linalg.norm(weights, axis=2, keepdims=True)
    angles_sq = np.arccos((units[:, 1:] * units[:, :-1]).sum(2)) ** 2
    shown = runs.tree["snapshots"].to_dataset()
    np.testing.assert_allclose(shown["rotation"][:, :-1] ** 2, angles_sq, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(shown["turn"][:, 1:], shown["rotation"][:, :-1], rtol=1e-2, atol=1e-3)
    assert shown["turn"][:, 0].isnull().all()
    np.testing.assert_allclose(found["rotation"] ** 2, (shown["rotation"] ** 2).mean("snapshot"), rtol=1e-6)
