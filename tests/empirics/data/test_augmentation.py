"""Augmentation against a plain loop over images; its random numbers against their law and the cut into shards."""

import numpy as np
import pytest
import torch
from images_on_disk import write_images
from scipy import stats
from tiny import tiny

from empirics.data.augmentation import augment, packed
from empirics.data.dataset import DataError
from empirics.data.loading import load
from empirics.data.table import Data
from empirics.experiment import ExperimentError
from empirics.training.sampling import TOGETHER, Augmentations, Drawing, Stream

CPU = torch.device("cpu")


def read(number):
    """(mirrored, down, right) of a draw, by division instead of bits."""
    rest, mirrored = divmod(int(number), 2)
    down, right = divmod(rest, 2**16)
    return bool(mirrored), down - 2**15, right - 2**15


def moves(rng, count, flip, shift):
    """Random moves, from another generator than the one that training uses."""
    down, right = torch.from_numpy(rng.integers(-shift, shift + 1, (2, count)))
    return packed(down, right, torch.from_numpy(rng.integers(2, size=count)) if flip else 0)


def augmented_plainly(image, number, shift):
    """Mirror one image (channel, height, width), pad it with zeros all around, cut a piece of the same size out."""
    mirrored, down, right = read(number)
    if mirrored:
        image = image[:, :, ::-1]
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)))
    top, left = shift - down, shift - right
    return padded[:, top : top + height, left : left + width]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("flip", "shift"), [(True, 0), (False, 2), (True, 1), (True, 3)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (2, 9, 4)])
def test_augmented_as_by_a_plain_loop(shape, flip, shift, dtype):
    rng = np.random.default_rng(3)
    draws = moves(rng, 2 * 3 * 40, flip, shift)
    inputs = torch.from_numpy(rng.standard_normal((2, 3, 40, np.prod(shape)))).to(dtype)
    kept = inputs.clone()
    found = augment(inputs, draws, shape)
    assert torch.equal(inputs, kept)
    assert found.shape == inputs.shape
    assert found.dtype == dtype
    images = inputs.numpy().reshape(-1, *shape)
    expected = [augmented_plainly(image, number, shift) for image, number in zip(images, draws, strict=True)]
    np.testing.assert_array_equal(found.numpy().reshape(-1, *shape), np.array(expected))


def test_no_size_depends_on_the_draws():
    # Meta tensors have no values: an operation that had to look at one, and so to wait for the device, would raise.
    inputs = torch.empty(2, 4, 27, device="meta")
    assert augment(inputs, torch.empty(8, dtype=torch.int64, device="meta"), (3, 3, 3)).shape == (2, 4, 27)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_as_on_the_cpu_and_without_waiting():
    inputs = torch.randn(2, 50, 105, generator=torch.Generator().manual_seed(0))
    draws = moves(np.random.default_rng(0), 100, True, 2)
    there, drawn = inputs.cuda(), draws.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = augment(there, drawn, (3, 5, 7))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(found.cpu(), augment(inputs, draws, (3, 5, 7)))


def test_nothing_drawn_nothing_changed():
    inputs = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0))
    draws = moves(np.random.default_rng(0), 8, False, 0)
    assert torch.equal(augment(inputs, draws, (3, 2, 2)), inputs)


def test_mirrors_and_moves_are_equally_likely_and_independent():
    def drawn(flip, shift, minibatches=500):
        source = Augmentations(Drawing(tiny().runs, 12, CPU), flip, shift, Stream.AUGMENTATION)
        return torch.cat([source.at(position) for position in range(minibatches)])

    found, counts = np.unique(drawn(flip=True, shift=1), return_counts=True)
    assert {read(number) for number in found} == {
        (mirrored, down, right) for mirrored in (False, True) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }
    assert stats.chisquare(counts).pvalue > 1e-3
    assert {read(n)[0] for n in drawn(flip=False, shift=1, minibatches=14)} == {False}
    assert {read(n)[1:] for n in drawn(flip=True, shift=0, minibatches=14)} == {(0, 0)}


def test_draws_belong_to_the_run_whatever_the_shard():
    runs = tiny().runs
    together = Augmentations(Drawing(runs, 16, CPU), True, 2, Stream.AUGMENTATION)
    steps = (0, 1, TOGETHER - 1, TOGETHER, 3 * TOGETHER + 5, 1)  # back again, too
    drawn = {step: together.at(step).clone().view(len(runs), 16) for step in steps}
    for group in (runs[:2], runs[2:5], runs[5:]):
        alone = Augmentations(Drawing(group, 16, CPU), True, 2, Stream.AUGMENTATION)
        for step in steps:
            first = runs.index(group[0])
            assert torch.equal(alone.at(step).view(len(group), 16), drawn[step][first : first + len(group)])
    assert len({tuple(row.tolist()) for rows in drawn.values() for row in rows}) == 5 * len(runs)
    second = Augmentations(Drawing(runs, 16, CPU), True, 2, Stream.SECOND_AUGMENTATION)
    assert not torch.equal(second.at(0), drawn[0].flatten())


WRONG = [
    ({"name": "digits", "flip": True}, "[data] flip = true: must be left out; the samples of 'digits' are not images"),
    ({"name": "modular-addition", "shift": 2}, "[data] shift = 2: must be left out; the samples of 'modular-addition'"),
    ({"name": "digits-images", "shift": 1, "components": 3}, "[data] shift = 1: must be left out with components"),
    ({"name": "digits-images", "flip": True, "whiten": True}, "[data] flip = true: must be left out with components"),
    ({"name": "digits-images", "shift": -1}, "[data] shift = -1: must be an integer, 0 or more"),
    ({"name": "digits-images", "flip": 1}, "[data] flip = 1: must be true or false"),
]


@pytest.mark.parametrize(("table", "said"), WRONG)
def test_wrong_tables_are_refused(table, said):
    with pytest.raises(ExperimentError) as caught:
        Data(**table)
    assert said in str(caught.value)


def test_what_turns_out_to_be_no_image_or_too_small_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", inputs=rng.standard_normal((6, 2, 3)), labels=np.arange(6) % 2)
    with pytest.raises(DataError, match="flip = true: must be left out; the samples of 'arrays' are not images"):
        load(Data("arrays", path=str(tmp_path / "rows.npz"), flip=True))
    np.savez(tmp_path / "images.npz", inputs=rng.standard_normal((6, 1, 2, 3)), labels=np.arange(6) % 2)
    assert load(Data("arrays", path=str(tmp_path / "images.npz"), flip=True, shift=1)).shape == (1, 2, 3)
    path = str(write_images(tmp_path / "images"))
    assert load(Data("images", path=path, shift=3)).checksum == load(Data("images", path=path)).checksum
    with pytest.raises(DataError, match="shift = 4: must be below 4, the shorter side"):
        load(Data("images", path=path, shift=4))
