import hashlib

import numpy as np
import pytest
import torch
from torch.nn import functional

from empirics.data import DATASETS
from empirics.models.mlp import EnsembleMLP

RUNS, BATCH, FEATURES, CLASSES = 3, 7, 6, 4


def ensemble(**options):
    model = EnsembleMLP(FEATURES, CLASSES, **{"hidden": (5, 8), "head_norm": 3.0} | options)
    generators = [np.random.default_rng(seed) for seed in range(RUNS)]
    weights = model.initial(generators, np.array([1.0, 2.0, 3.0]), torch.float64, torch.device("cpu"))
    frozen = model.fixed(np.random.default_rng(9), RUNS, torch.float64, torch.device("cpu"))
    rng = np.random.default_rng(1)
    inputs = torch.as_tensor(rng.standard_normal((RUNS, BATCH, FEATURES)))
    labels = torch.as_tensor(rng.integers(CLASSES, size=(RUNS, BATCH)))
    return model, weights, frozen, inputs, labels


def reference_loss(model, weights, frozen, inputs, labels):
    """The network of one run, written plainly: rows are images, torch's own batch_norm."""
    depth, signal = len(model.hidden), inputs
    for i in range(depth):
        signal = functional.batch_norm(signal @ weights[i].T, None, None, training=True, eps=model.eps)
        if model.affine:
            signal = signal * weights[depth + i].T + weights[2 * depth + i].T
        signal = signal.relu()
    return functional.cross_entropy(signal @ frozen[0].T, labels)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("hidden", [(5,), (5, 8), (8, 3, 5)])
@pytest.mark.parametrize("eps", [1e-12, 0.1])
def test_loss_and_gradient_against_autograd_of_the_plain_network(affine, hidden, eps):
    model, weights, frozen, inputs, labels = ensemble(affine=affine, hidden=hidden, eps=eps)
    if affine:  # away from scale 1 and shift 0, where errors would hide
        for w in weights[len(hidden) :]:
            w += torch.as_tensor(np.random.default_rng(2).standard_normal(w.shape))
    gradients = [torch.empty_like(w) for w in weights]
    loss = model.loss_and_grad(weights, frozen, inputs, labels, gradients)
    for run in range(RUNS):
        mine = [w[run].clone().requires_grad_() for w in weights]
        expected = reference_loss(model, mine, [f[run] for f in frozen], inputs[run], labels[run])
        expected.backward()
        torch.testing.assert_close(loss[run], expected.detach(), rtol=1e-12, atol=0)
        for ours, theirs in zip(gradients, mine, strict=True):
            torch.testing.assert_close(ours[run], theirs.grad, rtol=1e-9, atol=1e-12)


def test_every_block_is_scale_invariant_as_stated():
    model, weights, frozen, inputs, labels = ensemble(affine=True, eps=0.0)
    gradients = [torch.empty_like(w) for w in weights]
    for i, block in enumerate(model.blocks):
        weights[i] += 0.3 * (block.name.startswith("shift"))  # a shift of 0 has no scale
    before = model.loss_and_grad(weights, frozen, inputs, labels, gradients)
    for i, block in enumerate(model.blocks):
        scaled = [w * (1.7 if i == j else 1) for j, w in enumerate(weights)]
        after = model.loss_and_grad(scaled, frozen, inputs, labels, gradients)
        same = bool(torch.allclose(after, before, rtol=1e-12, atol=0))
        assert same == block.scale_invariant, block


def test_dimension_norms_and_a_head_that_all_runs_share():
    model, weights, frozen, *_ = ensemble()
    assert model.dimension == 6 * 5 + 5 * 8
    radii = torch.stack([w.flatten(1).square().sum(1) for w in weights]).sum(0).sqrt()
    np.testing.assert_allclose(radii, [1, 2, 3])
    np.testing.assert_allclose(frozen[0].flatten(1).norm(dim=1), 3.0)
    assert torch.equal(frozen[0][0], frozen[0][2])
    assert not torch.equal(weights[0][0] / 1, weights[0][1] / 2)


def test_accuracy_counts_the_largest_logit():
    model, weights, frozen, inputs, _ = ensemble()
    logits, _ = model._forward(weights, frozen, inputs)
    assert model.scores(weights, frozen, inputs, logits.argmax(1))[1].tolist() == [1.0] * RUNS
    wrong = (logits.argmax(1) + 1) % CLASSES
    assert model.scores(weights, frozen, inputs, wrong)[1].tolist() == [0.0] * RUNS


def test_digits():
    digits = DATASETS.get("digits")()
    assert digits.inputs.shape == (1797, 61)
    np.testing.assert_allclose(digits.inputs.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(digits.inputs.std(0), 1, rtol=1e-12)
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.checksum == DATASETS.get("digits")().checksum
    digits.inputs[0, 0] += 1e-9
    assert digits.checksum != DATASETS.get("digits")().checksum
    assert len(digits.checksum) == hashlib.sha256().digest_size * 2


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(LookupError, match="did you mean 'digits'"):
        DATASETS.get("digit")


def test_violations_of_filters_do_not_cancel_and_one_run_is_enough():
    model = EnsembleMLP(2, 2, hidden=(2,))
    weights = torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)
    along = torch.tensor([[[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    assert model.violations([weights], [along]) == {"layer 1": 1.0}
    assert model.violations([weights[1:]], [along[1:]]) == {"layer 1": 0.0}


def test_a_run_that_diverged_has_no_accuracy():
    model, weights, frozen, inputs, labels = ensemble()
    weights[0][1] = torch.nan
    loss, right = model.scores(weights, frozen, inputs, labels)
    assert loss.isnan().tolist() == right.isnan().tolist() == [False, True, False]
