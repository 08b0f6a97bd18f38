"""The compiled gradient of ResNet-18 against the plain one in torch."""

import numpy as np
import pytest
import torch
from gradients import assert_runs_do_not_matter_to_each_other, assert_same_gradients
from test_networks import experiment

from empirics.data.loading import load
from empirics.models.base import views
from empirics.models.convolutional import ResNet18
from empirics.running.checkpoint import Checkpoints
from empirics.training.ensemble import Ensemble

pytestmark = pytest.mark.usefixtures("one_thread")


def _case(shape, width, classes, runs, batch, dtype):
    plain = ResNet18(shape, classes, width, compiled=False)
    rngs, cpu = [np.random.default_rng(i) for i in range(runs)], torch.device("cpu")
    flat = torch.cat([w.flatten(1) for w in plain.initial(rngs, np.full(runs, 3.0), dtype, cpu)], 1)
    frozen = plain.fixed(np.random.default_rng(0), runs, dtype, cpu)
    seeded = torch.Generator().manual_seed(1)
    samples = torch.randn(101, plain.features, dtype=dtype, generator=seeded)
    rows = torch.randint(101, (runs, batch), generator=seeded)
    labels = torch.randint(classes, (runs, batch), generator=seeded)
    return plain, ResNet18(shape, classes, width), flat, frozen, samples, rows, labels


# Shapes of an image, width, classes, runs, images: the paper's width; planes that are not full, rows of odd length and
# blocks of images that are not; pictures that end as one pixel; more than one piece of a plane, and of a row.
SHAPES = [
    ((3, 8, 8), 4, 10, 2, 64),
    ((1, 7, 5), 3, 4, 2, 37),
    ((6, 3, 9), 5, 3, 1, 130),
    ((2, 4, 4), 1, 17, 3, 8),
    ((3, 11, 37), 2, 5, 1, 33),
]


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_torch(shape, dtype, within):
    assert_same_gradients(*_case(*shape, dtype), within)


@pytest.mark.long
def test_float32_rounds_like_torch():
    """On CIFAR-10's size a few of 2 million ReLUs switch by rounding: both are compared with float64."""
    _, ours, flat, frozen, samples, rows, labels = _case((3, 32, 32), 4, 10, 1, 128, torch.float32)
    plain, exact = ResNet18((3, 32, 32), 10, 4, compiled=False), torch.empty_like(flat, dtype=torch.float64)
    wide = [one.double() for one in (flat, frozen[0], samples)]
    plain.loss_and_grad(views(wide[0], ours.blocks), [wide[1]], wide[2][rows], labels, views(exact, ours.blocks))
    errors = []
    for model in (plain, ours):
        found = torch.empty_like(flat)
        model.loss_and_grad(views(flat, ours.blocks), frozen, samples[rows], labels, views(found, ours.blocks))
        errors.append(((found - exact).norm() / exact.norm()).item())
    assert errors[1] < 0.03
    assert errors[1] < 3 * errors[0]


def test_run_does_not_depend_on_others_and_nan_stays():
    _, *case = _case((3, 8, 8), 4, 10, 3, 37, torch.float32)
    assert_runs_do_not_matter_to_each_other(*case)


def test_memory_follows_minibatch_and_type():
    """The kernel's memory is kept between steps; what other minibatches left there must not show."""
    plain, ours, flat, frozen, samples, rows, labels = _case((3, 8, 8), 4, 10, 1, 70, torch.float64)
    found, expected = torch.empty_like(flat), torch.empty_like(flat)
    for images in (70, 33, 70):
        minibatch = (samples[rows[:, :images]], labels[:, :images])
        for model, out in ((plain, expected), (ours, found)):
            model.loss_and_grad(views(flat, ours.blocks), frozen, *minibatch, views(out, ours.blocks))
        assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()
    single = flat.float()
    out = torch.empty_like(single)
    narrow = (samples[rows].float(), labels)
    loss = ours.loss_and_grad(views(single, ours.blocks), [frozen[0].float()], *narrow, views(out, ours.blocks))
    assert loss.dtype == torch.float32
    assert (out - expected).abs().max() <= 1e-3 * expected.abs().max()


def test_plain_where_it_may_not_compile(monkeypatch):
    """No numba: the same numbers from torch, and rows of the data are not taken."""
    plain, ours, flat, frozen, samples, rows, labels = _case((3, 8, 8), 2, 10, 1, 16, torch.float64)
    monkeypatch.setattr("empirics.models.kernels.compiled.kernel", lambda module, inputs: None)
    found, expected = torch.empty_like(flat), torch.empty_like(flat)
    w = views(flat, ours.blocks)
    assert ours.loss_and_grad_of(w, frozen, samples, rows, labels, views(found, ours.blocks)) is None
    ours.loss_and_grad(w, frozen, samples[rows], labels, views(found, ours.blocks))
    plain.loss_and_grad(w, frozen, samples[rows], labels, views(expected, ours.blocks))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("width", "images"), [(33, 8), (4, 1)])
def test_left_to_torch(width, images):
    """What is wider than the kernel is good for, and a single image, which torch's BatchNorm refuses."""
    _, ours, flat, frozen, samples, rows, labels = _case((1, 4, 4), width, 3, 1, images, torch.float32)
    assert (
        ours.loss_and_grad_of(views(flat, ours.blocks), frozen, samples, rows, labels, views(flat, ours.blocks)) is None
    )


def test_resumed_to_the_bit(tmp_path):
    grid = experiment("resnet18", dtype="float32")
    whole, fresh = (Ensemble(grid, grid.runs, load(grid.data)) for _ in range(2))
    state, store = whole.start(), Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing)
    for step in range(9):
        if step == 5:
            store.save(state)
        whole.advance(state)
    again = Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing).restore(fresh)
    assert again.step == 5
    for _ in range(4):
        fresh.advance(again)
    assert torch.equal(again.flat, state.flat)
    assert torch.equal(fresh.gradient, whole.gradient)
