"""Minibatches without replacement: every sample once per epoch, and the noise of an epoch adds up to zero."""

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import tiny

from empirics.data.dataset import Dataset
from empirics.models.base import views
from empirics.training.ensemble import Ensemble
from empirics.training.sampling import Drawing, Epochs, Stream

CPU = torch.device("cpu")
EPOCHS = '"sgd"\nminibatches = "epochs"'


def drawn(runs, samples, batch, positions, halves=False):
    """Samples of each run at these positions, shape (position, run, batch)."""
    source = Epochs(Drawing(runs, batch, CPU, halves), samples, Stream.MINIBATCH)
    return np.stack([source.at(position).view(len(runs), batch).numpy().copy() for position in positions])


@pytest.mark.parametrize(("samples", "batch"), [(97, 8), (64, 16), (5, 8), (1797, 64)])
def test_every_sample_once_per_epoch_and_none_is_left_out(samples, batch):
    found = drawn(tiny().runs[:3], samples, batch, range(3 * samples // batch + 1))
    places = found.transpose(1, 0, 2).reshape(3, -1)[:, : 3 * samples].reshape(3, 3, samples)  # (run, epoch, place)
    assert (np.sort(places, axis=2) == np.arange(samples)).all()
    orders = {tuple(order) for run in places for order in run}
    assert len(orders) > 6


def test_the_order_depends_on_the_run_and_the_epoch_alone():
    runs, positions = tiny().runs, [0, 1, 999, 10**6, 2**33, 3]
    whole = drawn(runs, 97, 8, positions)
    for group in ([4], [5, 0, 2]):
        part = drawn([runs[i] for i in group], 97, 8, positions[::-1])[::-1]
        assert np.array_equal(part, whole[:, group])


def test_every_order_is_as_likely():
    found = drawn(tiny().runs, 4, 4, range(2000)).reshape(-1, 4)
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-6


def test_halves_share_a_minibatch():
    runs = tiny().runs[:2]
    source = Epochs(Drawing(runs, 6, CPU, halves=True), 50, Stream.MINIBATCH)
    halves = source.at(3).view(2, 2, 3).transpose(0, 1).flatten(1)
    assert np.array_equal(halves.numpy(), drawn(runs, 50, 6, [3])[0])


def test_gradients_of_an_epoch_at_the_same_weights_average_to_that_of_all_samples():
    rng = np.random.default_rng(0)
    data = Dataset("normal", rng.standard_normal((60, 4)), rng.integers(3, size=60), classes=3)
    layer = ("hidden = [5, 4]", 'hidden = [5]\nnorm = "layer"')
    experiment = tiny(layer, ("batch_size = 16", "batch_size = 12"), ('"sgd"', f'{EPOCHS}\ndtype = "float64"'))
    ensemble = Ensemble(experiment, experiment.runs, data)
    state, model, total = ensemble.start(), ensemble.model, 0.0
    out = torch.empty_like(state.flat)
    for step in range(10, 15):
        ensemble.feeds.train.loss_and_grad(model, state.weights, ensemble.frozen, step, views(out, state.blocks))
        total = total + out / 5
    inputs, labels = (torch.as_tensor(part).expand(6, *part.shape) for part in (data.inputs, data.labels))
    model.loss_and_grad(state.weights, ensemble.frozen, inputs, labels, views(out, state.blocks))
    torch.testing.assert_close(total, out, rtol=1e-12, atol=1e-14)
    independent = ensemble.feeds.second.at(0)[1]
    assert not torch.equal(independent, ensemble.feeds.train.at(0)[1])
