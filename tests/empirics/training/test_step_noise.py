"""What a step's gradient is made of: halves of the minibatch, noise amplified or added; and probes of the Hessian."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import tiny
from torch import nn
from torch.func import functional_call, jacrev

from empirics.data.dataset import Dataset
from empirics.experiment import ExperimentError
from empirics.models.base import views
from empirics.training.ensemble import Ensemble
from empirics.training.record import Sum

SMALL = (("hidden = [5, 4]", 'hidden = [5]\nnorm = "layer"'), ('"sgd"', '"sgd"\ndtype = "float64"'))
STEPS = 3000


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 4))
    return Dataset("normal", inputs, np.argmax(inputs[:, :3] + rng.standard_normal((60, 3)), axis=1), classes=3)


def changed(experiment, table="training", **values):
    return dataclasses.replace(experiment, **{table: dataclasses.replace(getattr(experiment, table), **values)})


def standing(experiment):
    """Nothing moves: learning rates so small that every step sees the same weights."""
    return dataclasses.replace(
        experiment,
        grid={"lr": [1e-14], "weight_decay": [0.01, 0.02]},
        training=dataclasses.replace(experiment.training, burn_in=0, steps=STEPS, initial_radius=2.0),
        measure=dataclasses.replace(experiment.measure, spacing=STEPS // experiment.measure.snapshots),
    )


def exact(ensemble, data, run, batch):
    """|grad L|^2 and tr Cov of a minibatch drawn with replacement, by a loop over the samples, one at a time."""
    tensors = [w[run : run + 1] for w in ensemble.start().weights]
    frozen = [w[run : run + 1] for w in ensemble.frozen]
    each = []
    for x, y in zip(data.inputs, data.labels, strict=True):
        out = [torch.empty_like(w) for w in tensors]
        inputs, labels = torch.as_tensor(x)[None, None], torch.as_tensor(y)[None, None]
        ensemble.model.loss_and_grad(tensors, frozen, inputs, labels, out)
        each.append(torch.cat([g.flatten() for g in out]))
    gradients = torch.stack(each)
    return float(gradients.mean(0).square().sum()), float(gradients.var(0, correction=0).sum()) / batch


def means(experiment, data):
    """Means over many steps at the same weights, with standard errors: arrays by Sum, (run,) each."""
    ensemble = Ensemble(experiment, experiment.runs, data)
    state, rows = ensemble.start(), []
    for _ in range(STEPS):
        ensemble.advance(state)
        ensemble.flush(state)
        rows.append(state.total.clone())
    steps = torch.diff(torch.stack(rows), dim=0)
    return ensemble, steps.mean(0).numpy(), (steps.std(0) / len(steps) ** 0.5).numpy()


@pytest.mark.parametrize("gain", [0.0, 2.0])
def test_halves_are_unbiased_and_noise_is_amplified_as_told(gain, data):
    asked = standing(changed(tiny(*SMALL), halves=True, noise_gain=gain))
    ensemble, mean, error = means(asked, data)
    for run in (0, 1):
        slope, noise = exact(ensemble, data, run, asked.training.batch_size)
        assert abs(mean[Sum.GRAD_MEAN_SQ, run] - slope) < 4 * error[Sum.GRAD_MEAN_SQ, run]
        found = mean[Sum.GRAD_SQ, run] - slope
        assert abs(found - (1 + gain**2) * noise) < 4 * error[Sum.GRAD_SQ, run]
        assert error[Sum.GRAD_SQ, run] < 0.1 * (1 + gain**2) * noise  # else the test could not fail
        covariance = mean[Sum.LOSS_PRODUCT] - mean[Sum.FIRST_LOSS] * mean[Sum.SECOND_LOSS]
        assert abs(covariance[run]) < 4 * error[Sum.LOSS_PRODUCT, run]


def test_isotropic_noise_is_along_the_sphere_and_as_large_as_told(data):
    size = 3.0
    asked = standing(changed(tiny(*SMALL), isotropic_noise=size))
    ensemble, mean, error = means(asked, data)
    slope, noise = exact(ensemble, data, 0, asked.training.batch_size)
    added = size**2 * 15 / 2.0**2  # of the 20 weights under LayerNorm 4 are flat directions
    assert abs(mean[Sum.GRAD_SQ, 0] - slope - noise - added) < 4 * error[Sum.GRAD_SQ, 0]
    assert error[Sum.GRAD_SQ, 0] < 0.05 * added
    assert abs(mean[Sum.RADIAL]).max() < 1e-9


def test_isotropic_noise_turns_filters_and_lengthens_none(data):
    """Under BatchNorm every filter is a sphere of its own."""
    asked = standing(changed(tiny(('"sgd"', '"sgd"\ndtype = "float64"')), isotropic_noise=1.0))
    ensemble = Ensemble(asked, asked.runs, data)
    state, dot = ensemble.start(), ensemble.components.dot
    gradient = torch.zeros_like(state.flat)
    ensemble._noise.add(state, state.step, gradient, torch.linalg.vecdot(state.flat, state.flat))
    assert dot(state.flat, gradient).abs().max() < 1e-12
    assert dot(gradient, gradient).min() > 0


def test_a_share_of_isotropic_noise_is_that_of_the_noise_guessed(data):
    """Under LayerNorm, where it has nothing along the mean of the rows."""
    c, gain, share = 5.0, 1.5, 0.75
    asked = standing(changed(tiny(*SMALL), halves=True, noise_gain=gain))
    asked = changed(asked, isotropic_share=share, initial_radius={"noise": c})
    assert asked.training.noise_trace == pytest.approx(c * (1 + gain**2) / (1 - share))
    ensemble = Ensemble(asked, asked.runs, data)
    state, sizes = ensemble.start(), []
    radius_sq = torch.linalg.vecdot(state.flat, state.flat)
    for step in range(STEPS):
        state.step, noise = step, torch.zeros_like(state.flat)
        ensemble._noise.add(state, state.step, noise, radius_sq)
        sizes.append((radius_sq * torch.linalg.vecdot(noise, noise)).numpy())
        assert noise.view(len(noise), 5, -1).sum(1).abs().max() < 1e-12 * noise.abs().max()
    added = share / (1 - share) * (1 + gain**2) * c
    error = np.std(sizes, axis=0) / STEPS**0.5
    assert (abs(np.mean(sizes, 0) - added) < 4 * error).all()
    assert (error < 0.05 * added).all()


def trained(experiment, data, steps=40):
    ensemble = Ensemble(experiment, experiment.runs, data)
    state = ensemble.start()
    for _ in range(steps):
        ensemble.advance(state)
    return ensemble, state


def test_without_batch_norm_halves_train_the_same(data):
    plain = tiny(*SMALL)
    (_, whole), (_, halved) = (trained(changed(plain, halves=h), data) for h in (False, True))
    torch.testing.assert_close(whole.flat, halved.flat, rtol=1e-10, atol=1e-12)


def test_with_batch_norm_a_half_is_normalised_by_itself(data):
    batch = tiny(('"sgd"', '"sgd"\ndtype = "float64"'))
    (_, whole), (_, halved) = (trained(changed(batch, halves=h), data, 1) for h in (False, True))
    assert not torch.allclose(whole.flat, halved.flat, rtol=1e-6)


def test_shared_minibatches_are_the_same_for_all_runs_of_a_seed(data):
    plain = changed(tiny(*SMALL), minibatches="shared")
    asked = dataclasses.replace(plain, seeds=(1, 2))
    ensemble = Ensemble(asked, asked.runs, data)
    labels = torch.stack([ensemble.feeds.train.at(step)[1] for step in range(20)])
    half = len(asked.runs) // 2
    assert (labels[:, :half] == labels[:, :1]).all()
    assert (labels[:, half:] == labels[:, half : half + 1]).all()
    assert not torch.equal(labels[:, 0], labels[:, half])
    alone = Ensemble(asked, asked.runs[half + 1 : half + 2], data)
    assert torch.equal(alone.feeds.train.at(3)[1][0], labels[3, half])


SMOOTH = """
import torch
from torch import nn
from empirics.models import network

@network("smooth")
class Smooth(nn.Module):
    '''Scale-invariant by an RMS norm, with a smooth nonlinearity: autograd knows its Hessian everywhere.'''

    def __init__(self, features, classes):
        super().__init__()
        self.first, self.head = nn.Linear(features, 5, bias=False), nn.Linear(5, classes, bias=False)

    def forward(self, x):
        x = self.first(x)
        return self.head(torch.tanh(x * x.square().mean(-1, keepdim=True).rsqrt()))
"""


@pytest.fixture
def smooth(tmp_path):
    path = tmp_path / "smooth.py"
    path.write_text(SMOOTH)
    return tiny(('"mlp"\nhidden = [5, 4]', f'"smooth"\nfile = "{path}"'), ('"sgd"', '"sgd"\ndtype = "float64"'))


@pytest.mark.parametrize("gain", [None, 0.0, 2.0])
def test_probes_of_the_hessian_are_those_of_autograd(gain, smooth, data):
    """The same vectors and minibatches, with the second derivative itself; noise of a pair and isotropic noise."""
    probes, isotropic = 3, 0.3
    asked = changed(smooth, halves=gain is not None, noise_gain=gain or 0.0, isotropic_noise=isotropic)
    asked = changed(asked, "measure", hessian_probes=probes, hessian_reach=1e-3)
    ensemble = Ensemble(asked, asked.runs, data)
    state = ensemble.start()
    row = state.rows[0]
    ensemble._step.take(state, state.step, row, ensemble.gradient)
    pair = ensemble._step.pair(state, 0, ensemble.gradient)
    found = ensemble._curvature.measure(state, 7, pair, ensemble.gradient, isotropic)
    x, y = ensemble.feeds.probe.at(7)
    run, head = 4, ensemble.frozen[0][0]
    module, w = ensemble.model._made(0).double(), views(state.flat, state.blocks)[0][run]

    def loss(v):
        parameters = {"first.weight": v.view_as(w), "head.weight": head}
        return nn.functional.cross_entropy(functional_call(module, parameters, (x[run],)), y[run])

    curvature, radius_sq = jacrev(jacrev(loss))(w.flatten()), w.square().sum()
    vectors = torch.stack([ensemble._curvature.vectors.at(7 * probes + i)[run] for i in range(probes)])
    laplacian = radius_sq * (vectors @ curvature * vectors).sum(1).mean()
    torch.testing.assert_close(found[0][run], laplacian, rtol=1e-4, atol=1e-6)
    difference = pair.first[run] - pair.second[run]
    scale = 0.5 if gain is None else (1 + gain**2) / 4
    noise = radius_sq**2 * scale * (difference @ curvature @ difference) + isotropic**2 * laplacian
    torch.testing.assert_close(found[1][run], noise, rtol=1e-4, atol=1e-6)
    step = ensemble.gradient[run]
    torch.testing.assert_close(found[2][run], radius_sq**2 * (step @ curvature @ step), rtol=1e-4, atol=1e-6)
    batch = asked.training.batch_size
    assert x.shape[1] == (batch if gain is None else batch // 2)  # as many as BatchNorm sees in training


def test_the_noise_of_a_pair_is_that_of_a_step(data):
    """Mean of scale^2 |g1 - g2|^2 over many pairs, with and without halves: tr Cov of the gradient that is used."""
    for options, times in (({}, 1), ({"halves": True, "noise_gain": 2.0}, 5)):
        asked = standing(changed(tiny(*SMALL), **options))
        ensemble = Ensemble(asked, asked.runs, data)
        state, sizes = ensemble.start(), []
        for number in range(STEPS):
            state.step = number
            ensemble._step.take(state, state.step, state.rows[0], ensemble.gradient)
            pair = ensemble._step.pair(state, number, ensemble.gradient)
            sizes.append(pair.scale**2 * float((pair.first[0] - pair.second[0]).square().sum()))
        _, noise = exact(ensemble, data, 0, asked.training.batch_size)
        error = np.std(sizes) / STEPS**0.5
        assert abs(np.mean(sizes) - times * noise) < 4 * error
        assert error < 0.05 * times * noise


def test_the_expected_loss_is_the_mean_over_samples_and_label_noise(data):
    """Against the mean over many noisy minibatches at the same weights."""
    asked = standing(changed(tiny(*SMALL), "measure", expected_loss=True))
    asked = changed(asked, "data", label_noise=0.4, fresh_noise=True)
    ensemble, mean, error = means(asked, data)
    state = ensemble.start()
    exact_loss = ensemble.whole.losses(state.flat).numpy()
    assert (abs(mean[Sum.LOSS] - exact_loss) < 4 * error[Sum.LOSS]).all()
    assert (error[Sum.LOSS] < 0.02 * exact_loss).all()


def test_the_expected_loss_is_refused_where_it_is_another(data):
    with pytest.raises(ExperimentError, match="expected_loss = true: must be false under BatchNorm"):
        changed(tiny(), "measure", expected_loss=True)


WRONG = [
    ({"halves": True, "batch_size": 15}, "[training] batch_size = 15: must be even"),
    ({"noise_gain": 1.0}, "[training] noise_gain = 1: must be 0 without halves = true"),
    ({"minibatches": "same"}, '[training] minibatches = "same"'),
    ({"isotropic_noise": -1.0}, "[training] isotropic_noise = -1.0"),
    ({"isotropic_share": 0.5, "isotropic_noise": 1.0}, "isotropic_share = 0.5: must be left out with isotropic_noise"),
    ({"isotropic_share": 0.5, "initial_radius": 3.0}, "isotropic_share = 0.5: needs initial_radius = {noise = c}"),
]


@pytest.mark.parametrize(("values", "said"), WRONG)
def test_what_cannot_be_is_refused(values, said):
    with pytest.raises(ExperimentError) as caught:
        changed(tiny(), **values)
    assert said in str(caught.value)
