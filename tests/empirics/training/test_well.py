"""The well of a run: exact derivatives over the whole data set, coordinates on the spheres, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import tiny

from empirics.data.dataset import Dataset
from empirics.experiment import ExperimentError
from empirics.models.mlp import EnsembleMLP, NormedMLP
from empirics.training import well
from empirics.training.ensemble import Ensemble
from empirics.training.feed import Samples
from empirics.training.record import SnapshotColumn
from empirics.training.summary import summarise
from empirics.training.well import NAMES, Tangents, harmonic
from empirics.training.whole_set import WholeSet

NOISE = 0.4
SMALL = (
    ("hidden = [5, 4]", 'hidden = [3]\nnorm = "layer"\nactivation = "tanh"\nhead_norm = 3.0'),
    ('"sgd"', '"sgd"\ndtype = "float64"'),
    ("trace_points = 19", "trace_points = 19\nexpected_loss = true\nimplicit = true"),
    ('name = "digits"', f'name = "digits"\nlabel_noise = {NOISE}\nfresh_noise = true'),
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 4))
    return Dataset("normal", inputs, np.argmax(inputs[:, :3] + rng.standard_normal((60, 3)), axis=1), classes=3)


def changed(experiment, table, **values):
    return dataclasses.replace(experiment, **{table: dataclasses.replace(getattr(experiment, table), **values)})


@pytest.fixture(scope="module")
def ensemble(data):
    asked = tiny(*SMALL)
    return Ensemble(asked, asked.runs[:2], data)


def hessian_of(whole, weights, reach):
    """The matrix of second derivatives."""
    found = whole.hessian_times(weights, torch.eye(len(weights), dtype=weights.dtype), reach).numpy()
    return (found + found.T) / 2


def one_by_one(ensemble, data, weights):
    """Gradient of every sample with every label, by the network's own backward pass: (sample, class, d); losses too."""
    flat = weights[None]
    rows, losses = [], []
    for x in torch.as_tensor(data.inputs):
        for label in range(3):
            parts = flat.split([block.size for block in ensemble.model.blocks], 1)
            tensors = [part.unflatten(1, block.shape) for part, block in zip(parts, ensemble.model.blocks, strict=True)]
            out = [torch.empty_like(w) for w in tensors]
            frozen = [w[:1] for w in ensemble.frozen]
            labels = torch.tensor([[label]])
            losses.append(ensemble.model.loss_and_grad(tensors, frozen, x[None, None], labels, out).item())
            rows.append(torch.cat([g.flatten() for g in out]))
    return torch.stack(rows).unflatten(0, (-1, 3)).numpy(), np.reshape(losses, (-1, 3))


def test_derivatives_over_the_whole_set_are_those_of_samples_one_by_one(ensemble, data):
    whole, weights = ensemble.whole, ensemble.start().flat[1]
    each, losses = one_by_one(ensemble, data, weights)
    shown = (1 - NOISE) * np.eye(3)[data.labels] + NOISE / 3
    assert whole.losses(weights[None]).item() == pytest.approx((shown * losses).sum(1).mean(), rel=1e-12)
    mean = np.einsum("sc,scd->d", shown, each) / len(shown)
    np.testing.assert_allclose(whole.gradient(weights[None])[0].numpy(), mean, atol=1e-12)
    second = np.einsum("sc,scd,sce->de", shown, each, each) / len(shown)
    found = whole.covariance(weights, torch.eye(len(weights), dtype=torch.float64)).numpy()
    np.testing.assert_allclose(found, second - np.outer(mean, mean), atol=1e-12)
    hessian = torch.autograd.functional.hessian(lambda w: whole.losses(w[None])[0], weights).numpy()
    np.testing.assert_allclose(hessian_of(whole, weights, 1e-6), hessian, atol=1e-5)
    assert np.linalg.norm(hessian) > 0.1  # else nothing was compared


def test_with_as_many_probes_as_weights_the_snapshot_has_the_exact_gradient_and_trace(data):
    weights = 12
    rows = []
    for probes in (weights, 2):
        asked = changed(tiny(*SMALL), "measure", hessian_probes=probes, hessian_reach=1e-3)
        ensemble = Ensemble(asked, asked.runs[:2], data)
        state = ensemble.start()
        with torch.no_grad():
            for _ in range(asked.training.burn_in + asked.measure.spacing - 1):
                ensemble.advance(state)
            there = state.flat.clone()
            ensemble.advance(state)
        rows.append(state.pairs[0].numpy())
    squared = (there**2).sum(1).numpy()
    slope = ensemble.whole.gradient(there).square().sum(1).numpy()
    trace = [np.trace(hessian_of(ensemble.whole, w, 1e-5)) for w in there]
    np.testing.assert_allclose(rows[0][SnapshotColumn.GRAD_MEAN_SQ], slope, rtol=1e-10)
    np.testing.assert_allclose(rows[0][SnapshotColumn.LAPLACIAN], squared * trace, rtol=1e-4)
    assert (abs(rows[1][SnapshotColumn.LAPLACIAN] - squared * trace) > 1e-2 * abs(squared * trace)).all()


@pytest.mark.parametrize("halves", [False, True])
def test_batch_sharpness_is_the_curvature_of_the_steps_own_minibatch(halves, data):
    """Against the exact Hessian of the minibatch as a data set of its own."""
    asked = changed(changed(tiny(*SMALL), "measure", hessian_probes=1, hessian_reach=1e-5), "training", halves=halves)
    ensemble = Ensemble(asked, asked.runs[:2], data)
    state = ensemble.start()
    with torch.no_grad():
        ensemble._step.take(state, state.step, state.rows[0], ensemble.gradient)
        found = ensemble._curvature.along_own(state, ensemble.gradient).numpy()
    inputs, labels = ensemble.feeds.train.at(state.step)
    inputs, labels = (x.view(1 + halves, 2, *x.shape[1:]).transpose(0, 1).flatten(1, 2) for x in (inputs, labels))
    for run in (0, 1):
        batch = WholeSet.of(ensemble.model, ensemble.frozen, Samples(inputs[run], labels[run]), 3, 0.0)
        w, g = state.flat[run], ensemble.gradient[run]
        np.testing.assert_allclose(batch.gradient(w[None])[0].numpy(), g.numpy(), atol=1e-12)
        exact = float((w @ w) ** 2 * (g @ torch.from_numpy(hessian_of(batch, w, 1e-6)) @ g))
        assert found[run] == pytest.approx(exact, rel=1e-4)
        assert abs(exact) > 1e-3


def test_a_step_with_added_noise_has_no_batch_sharpness(data):
    asked = changed(tiny(*SMALL), "measure", hessian_probes=1)
    for training in ({"isotropic_noise": 0.1}, {"halves": True, "noise_gain": 1.0}):
        noisy = changed(asked, "training", **training)
        ensemble = Ensemble(noisy, noisy.runs[:1], data)
        state = ensemble.start()
        with torch.no_grad():
            for _ in range(noisy.training.burn_in + noisy.measure.spacing):
                ensemble.advance(state)
        assert np.isfinite(state.pairs[0, SnapshotColumn.LAPLACIAN].numpy()).all()
        assert np.isnan(state.pairs[0, SnapshotColumn.BATCH_CURVATURE].numpy()).all()


@pytest.mark.parametrize(
    "network", [NormedMLP(4, 3, (3, 5), "layer"), NormedMLP(4, 3, (5,), "rms"), EnsembleMLP(4, 3, (3,))]
)
def test_tangents_change_no_norm_and_no_flat_direction(network):
    rng = np.random.default_rng(1)
    kept = rng.standard_normal(network.dimension) + 0.1 * rng.standard_normal((50, network.dimension))
    kept *= rng.uniform(0.5, 2.0, (50, 1))  # norms are no part of the directions
    at = Tangents.of(kept, network.blocks)
    basis = at.basis()
    assert basis.shape == (network.dimension, network.directions)
    np.testing.assert_allclose(basis.T @ basis, np.eye(network.directions), atol=1e-12)
    start = 0
    for block in network.blocks:
        w, rows = (a[start : start + block.size].reshape(block.parts, -1, *a.shape[1:]) for a in (at.weights, basis))
        assert abs(np.einsum("pi,pik->pk", w, rows)).max() < 1e-12
        if block.centred:
            columns = rows.reshape(*block.shape, -1)
            assert abs(columns.sum(0)).max() < 1e-12
        start += block.size
    positions = at.snapshots @ basis
    assert abs(positions.mean(0)).max() < 0.02
    assert positions.std() > 0.01


def test_positions_are_angles_over_the_norm_of_all_weights():
    network = NormedMLP(4, 3, (5,), "rms")
    at = np.zeros(20)
    at[0] = 3.0
    turned = np.stack([at, at, at, at])
    turned[[0, 1], 1] = [0.03, -0.03]
    at = Tangents.of(turned, network.blocks)
    positions = at.snapshots @ at.basis()
    np.testing.assert_allclose(np.sort(np.linalg.norm(positions, axis=1)), [0, 0, 0.01, 0.01], atol=1e-6)


def test_a_saddle_and_steps_that_diverge_are_no_well():
    x = np.random.default_rng(0).standard_normal((100, 2))
    for hessian, rate in ((np.diag([-0.1, 1.0]), 0.1), (np.diag([0.1, 1.0]), 2.5)):
        found = harmonic(hessian, np.eye(2), rate, x, steps=100)
        assert np.isfinite([found[name] for name in NAMES[:5]]).all()
        assert np.isnan([found[name] for name in NAMES[5:]]).all()
    # A step is below twice the inverse of the largest curvature or the gas diverges; the minimum is a Newton step away.
    for rate, finite in ((0.49, True), (0.51, False)):
        found = harmonic(np.diag([2.0, 4.0]), np.eye(2), rate, x, steps=100, slope=np.array([2.0, 4.0]), loss=5.0)
        assert np.isfinite(found["harmonic_energy"]) == finite
        assert found["harmonic_relaxations"] == pytest.approx(100 * rate * 2.0)
        assert found["harmonic_minimum"] == pytest.approx(
            5.0 - (2**2 / 2 + 4**2 / 4) / 2 if finite else np.nan, nan_ok=True
        )
    flat = harmonic(np.eye(2), np.diag([1.0, 0.0]), 0.1, x, steps=100)
    assert np.isfinite(flat["harmonic_fluctuations"])
    assert np.isnan([flat["harmonic_entropy"], flat["harmonic_shape"]]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("expected_loss = true\n", ""), "implicit = true: needs expected_loss = true"),
        (('"sgd"\n', '"momentum"\n'), 'implicit = true: must be false with optimizer = "momentum"'),
        (('"digits"', '"digits-images"\nflip = true'), "expected_loss = true: must be false with .* flip"),
    ],
)
def test_what_has_no_exact_well_is_refused(change, message):
    pieces = [(old, new.replace(*change)) for old, new in SMALL]
    with pytest.raises(ExperimentError, match=message):
        tiny(*pieces)


def test_of_a_large_network_the_stiffest_directions_are_those_of_the_whole_hessian(data, monkeypatch):
    """Against all modes of the matrix: their curvatures, their noise and the covariance of the snapshots in them."""
    asked = changed(tiny(*SMALL), "measure", hessian_reach=1e-4)
    asked = changed(asked, "training", halves=True, noise_gain=2.0, isotropic_noise=0.1)
    ensemble = Ensemble(asked, asked.runs[:1], data)
    rng, whole, network = np.random.default_rng(4), ensemble.whole, ensemble.model
    kept = ensemble.start().flat.numpy() + 0.05 * rng.standard_normal((300, network.dimension))
    at = Tangents.of(kept, network.blocks)
    weights, basis = torch.from_numpy(at.weights), at.basis()
    squared, share = float(at.weights @ at.weights), (1 + 2.0**2) / asked.training.batch_size
    hessian = squared * basis.T @ hessian_of(whole, weights, asked.measure.hessian_reach) @ basis
    noise = share * squared * whole.covariance(weights, torch.from_numpy(basis)).numpy() + 0.1**2 * np.eye(len(hessian))
    curvatures, modes = np.linalg.eigh(hessian)
    modes = modes[:, -3:]
    assert curvatures[-3] > 0.01
    among = harmonic(np.diag(curvatures[-3:]), modes.T @ noise @ modes, 0.01, at.snapshots @ basis @ modes, 4000)
    monkeypatch.setattr(well, "LARGEST", network.dimension - 1)
    monkeypatch.setattr(well, "STIFFEST", 3)
    found = well.of_run(whole, kept, network, asked, 0.01, 4000)
    assert found["harmonic_directions"] == 3
    for name in set(NAMES) - {"harmonic_minimum"}:
        assert found[name] == pytest.approx(among[name], rel=1e-3), name


def test_a_small_network_in_a_cold_well_has_the_moments_that_its_hessian_and_noise_give(data):
    """End to end: trained, measured at its mean direction, and compared. The Gibbs law of the loss would have 1."""
    asked = tiny(
        ("hidden = [5, 4]", 'hidden = [3]\nnorm = "rms"\nactivation = "tanh"\nhead_norm = 4.0'),
        *SMALL[1:],
        *(("seeds = [3]", "seeds = [2]"), ("fixed-lr", "fixed-sphere"), ("batch_size = 16", "batch_size = 400")),
        *(("lr = [0.05, 0.1]", "lr = [0.05]"), ("weight_decay = [0.01, 0.02, 0.05]", "radius = [1.0]")),
        *(("steps = 160", "steps = 8000"), ("burn_in = 30", "burn_in = 4000")),
        *(("snapshots = 40", "snapshots = 400"), ("spacing = 4", "spacing = 20")),
    )
    trainer = Ensemble(asked, asked.runs, data)
    state = trainer.start()
    with torch.no_grad():
        while state.step < trainer.times.total:
            trainer.advance(state)
        trainer.flush(state)
        found = summarise(asked, trainer, state)
    of = {name.split("/")[1]: values[0] for name, values in found.items() if name.startswith("summary/")}
    heat, constant = of["harmonic_temperature"], trainer.model.directions / 2
    assert min(of["harmonic_fluctuations"], of["harmonic_thermometer"]) > 4
    assert of["loss_variance"] / (constant * heat**2) == pytest.approx(of["harmonic_fluctuations"], rel=0.2)
    measured = of["grad_mean_sq_unit"] / (heat * of["harmonic_laplacian"])
    assert measured == pytest.approx(of["harmonic_thermometer"], rel=0.1)
    assert of["harmonic_temperature"] == pytest.approx(of["temperature"], rel=0.1)
