"""The numbers of a summary against numbers made another way from the same gradients, weights and samples."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import tiny

from empirics.data.dataset import Dataset
from empirics.experiment import Run
from empirics.training.ensemble import Ensemble
from empirics.training.record import SnapshotColumn
from empirics.training.sampling import Drawing, Minibatches, Stream
from empirics.training.summary import summarise

NETWORK = ("hidden = [5, 4]", 'hidden = [3]\nnorm = "layer"\nactivation = "tanh"\nhead_norm = 3.0')
EXPECTED = ("trace_points = 19", "trace_points = 19\nexpected_loss = true")
TEN = ("lr = [0.05, 0.1]\nweight_decay = [0.01, 0.02, 0.05]", "lr = [0.1]\nweight_decay = [0.01]")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data():
    """Two classes that a network separates, and a test set with their labels exchanged."""
    rng = np.random.default_rng(2)
    labels = np.arange(64) % 2
    inputs = rng.standard_normal((64, 3)) + 4 * labels[:, None]
    return Dataset("two", inputs, labels, classes=2, test_inputs=inputs[:10], test_labels=1 - labels[:10])


def finished(data, *changes):
    """The summary of a run, and its ensemble and state."""
    experiment = tiny(NETWORK, ('"sgd"', '"sgd"\ndtype = "float64"'), *changes)
    ensemble = Ensemble(experiment, experiment.runs, data)
    state = ensemble.start()
    for _ in range(experiment.total_steps):
        ensemble.advance(state)
    return summarise(experiment, ensemble, state), ensemble, state


def test_noise_and_temperature_leave_the_mean_gradient_out(data):
    # Weights that stand still, minibatches so large that the mean gradient is most of every gradient.
    still = TEN[1].replace("0.1]", "1e-9]")
    longer = ("spacing = 4", "spacing = 40"), ("steps = 160", "steps = 1600")
    found, ensemble, state = finished(data, ("batch_size = 16", "batch_size = 64"), (TEN[0], still), EXPECTED, *longer)
    gradients = torch.empty(1600, ensemble.model.dimension, dtype=torch.float64)
    parts = ensemble.gradient.split([block.size for block in ensemble.model.blocks], 1)
    views = [part.unflatten(1, block.shape) for part, block in zip(parts, ensemble.model.blocks, strict=True)]
    for step in range(1600):
        ensemble.feeds.train.loss_and_grad(ensemble.model, state.weights, ensemble.frozen, 30 + step, views)
        gradients[step] = torch.cat([view.flatten(1) for view in views], 1)[0]
    square = float((state.flat[0] ** 2).sum())
    trace = float(gradients.var(0, correction=1).sum()) * square
    assert float(gradients.mean(0).square().sum()) * square > trace
    assert found["summary/grad_variance_unit"] == pytest.approx([trace], rel=0.1)
    directions = ensemble.model.directions
    assert found["summary/temperature"] == pytest.approx([1e-9 / square * trace / (2 * directions)], rel=0.1)


@pytest.mark.parametrize("halves", [False, True])
def test_where_the_weights_stand_still_r_is_a_factor_and_the_loss_does_not_vary(data, halves):
    still = TEN[1].replace("0.1]", "1e-9]")
    batch = ("batch_size = 16", "batch_size = 16\nhalves = true" if halves else "batch_size = 16")
    found, _, state = finished(data, (TEN[0], still), batch)
    of = {name.removeprefix("summary/"): value[0] for name, value in found.items() if name.startswith("summary/")}
    squared = float((state.flat[0] ** 2).sum())
    assert squared == pytest.approx(of["radius_sq"], rel=1e-6) != pytest.approx(1, rel=0.1)
    for name in ("grad_variance", "grad_mean_sq"):
        assert of[f"{name}_unit"] == pytest.approx(squared * of[name], rel=1e-6)
    assert of["grad_variance"] + of["grad_mean_sq"] == pytest.approx(of["grad_sq"], rel=1e-6)
    assert found["blocks/grad_mean_sq"].mean() == pytest.approx(of["grad_mean_sq"], rel=1e-6)
    # Losses of independent minibatches scatter, and have nothing in common.
    scatter = float(state.pairs[:, SnapshotColumn.FIRST_LOSS].var())
    assert abs(of["loss_variance"]) < 0.5 * scatter


def test_the_test_loss_is_that_of_the_weights_as_they_are(data):
    """Of a test set of one sample, which every minibatch of it repeats."""
    one = dataclasses.replace(data, test_inputs=data.inputs[:1], test_labels=1 - data.labels[:1])
    found, ensemble, state = finished(one, TEN)
    logits = ensemble.model.logits(state.weights, ensemble.frozen, torch.as_tensor(one.test_inputs)[None])[0]
    exact = float(torch.nn.functional.cross_entropy(logits, torch.as_tensor(one.test_labels)))
    assert found["trace/test_loss"][0, -1] == pytest.approx(exact)


def test_accuracy_and_entropy_of_a_run(data):
    # The network learns in the burn-in: an average from the start would be lower.
    found, _, _ = finished(data, TEN, ("burn_in = 30", "burn_in = 400"))
    step, accuracy = found["trace/step"], found["trace/accuracy"][0]
    late = accuracy[step > 400]
    assert np.nanmean(accuracy) < np.nanmean(late) - 0.01
    assert found["summary/accuracy"][0] == np.nanmean(late)
    assert found["summary/test_accuracy"][0] < 0.5 < found["summary/accuracy"][0]
    # Nine weights, of which LayerNorm does not see the mean of the three rows: five directions on a sphere.
    lengths = found["summary/entropy"] - found["summary/entropy_sphere"]
    assert lengths == pytest.approx(5 * found["summary/log_radius"])


def test_a_sphere_on_which_the_loss_falls_is_not_stationary(data):
    sphere = 'protocol = "fixed-sphere"'
    found, _, _ = finished(
        data,
        ('protocol = "fixed-lr"', sphere),
        ("initial_radius = {noise = 10.0}\n", ""),
        (TEN[0], "lr = [0.02]\nradius = [1.0]"),
        ("burn_in = 30", "burn_in = 1"),
    )
    loss = found["blocks/loss"][0]
    assert loss[-2:].mean() < 0.9 * loss[:2].mean()
    assert found["summary/status"].tolist() == ["not stationary"]
    assert "the loss drifts" in found["summary/reason"][0]


def test_the_variance_of_the_loss_is_that_of_losses_computed_again(data):
    found, ensemble, state = finished(data, TEN, EXPECTED)
    inputs, labels = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    losses = []
    for flat in state.snapshots[:, 0]:
        parts = flat[None].split([block.size for block in ensemble.model.blocks], 1)
        weights = [part.unflatten(1, block.shape) for part, block in zip(parts, ensemble.model.blocks, strict=True)]
        logits = ensemble.model.logits(weights, [one[:1] for one in ensemble.frozen], inputs[None])[0]
        losses.append(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert found["summary/loss_variance"] == pytest.approx([np.var(losses, ddof=1)])


@pytest.mark.parametrize("samples", [2, 7])
def test_every_sample_is_drawn_the_last_one_too(samples):
    run = Run(lr=0.1, weight_decay=0.1, seed=3, protocol="fixed-lr", optimizer="sgd")
    picks = Minibatches(Drawing((run,), 256, torch.device("cpu")), samples, Stream.MINIBATCH)
    assert set(picks.at(0).tolist()) == set(range(samples))


def test_steps_that_were_not_summed_yet_are_in_a_checkpoint(data):
    experiment = tiny(NETWORK, TEN)
    ensemble = Ensemble(experiment, experiment.runs, data)
    state = ensemble.start()
    for _ in range(5):
        ensemble.advance(state)
    assert state.filled == 5
    again = ensemble.start()
    again.put(state.arrays())
    for one in (state, again):
        ensemble.flush(one)
    assert state.total.any()
    torch.testing.assert_close(again.total, state.total, rtol=0, atol=0)


def test_what_an_optimiser_remembers_is_in_a_checkpoint(data):
    experiment = tiny(('optimizer = "sgd"', 'optimizer = "momentum"'), NETWORK, TEN)
    ensemble = Ensemble(experiment, experiment.runs, data)
    state = ensemble.start()
    for _ in range(5):
        ensemble.advance(state)
    again = ensemble.start()
    again.put(state.arrays())
    assert state.optimizer["buffer"].any()
    torch.testing.assert_close(again.optimizer["buffer"], state.optimizer["buffer"], rtol=0, atol=0)
