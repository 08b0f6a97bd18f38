"""Test sets: held out or brought along, prepared as the training part says, and never touched by what changes it."""

import dataclasses
import hashlib

import numpy as np
import pytest
from images_on_disk import CLASSES, packed, picture, write_images
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from tiny import TINY, tiny

import empirics
from empirics import cli
from empirics.data import DATASETS
from empirics.data.dataset import DataError
from empirics.data.holdout import held_out
from empirics.data.loading import load
from empirics.data.table import Data
from empirics.experiment import ExperimentError


def of_two_arrays(data):
    """The checksum as it was before there were test sets."""
    digest = hashlib.sha256()
    for array in (data.inputs, data.labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def test_a_share_of_every_class_is_held_out_and_standardised_as_the_rest_says():
    raw = datasets.load_digits()
    data = load(Data("digits", test_share=0.2, test_seed=5))
    test = held_out(raw.target, 0.2, 5)
    counts = np.bincount(raw.target)
    np.testing.assert_array_equal(np.bincount(data.test_labels), np.round(0.2 * counts))
    np.testing.assert_array_equal(data.test_labels, raw.target[test])
    np.testing.assert_array_equal(data.labels, raw.target[~test])
    varying = np.ptp(raw.data[~test], axis=0) > 0
    scaler = StandardScaler().fit(raw.data[~test][:, varying])
    np.testing.assert_allclose(data.inputs, scaler.transform(raw.data[~test][:, varying]), atol=1e-12)
    np.testing.assert_allclose(data.test_inputs, scaler.transform(raw.data[test][:, varying]), atol=1e-12)
    assert data.inputs.dtype == data.test_inputs.dtype == np.float64
    assert not np.array_equal(test, held_out(raw.target, 0.2, 6))


def test_digit_images_are_standardised_as_the_training_part_says():
    raw = datasets.load_digits()
    data = load(Data("digits-images", test_share=0.3))
    test = held_out(raw.target, 0.3, 0)
    mean, spread = raw.images[~test].mean(), raw.images[~test].std()
    np.testing.assert_allclose(data.test_inputs, (raw.data[test] - mean) / spread, atol=1e-12)


def test_the_checksum_covers_the_test_set_and_is_the_old_one_without():
    plain, held = load(Data("digits")), load(Data("digits", test_share=0.2))
    assert plain.test_inputs is None
    assert plain.test_labels is None
    assert plain.checksum == of_two_arrays(plain)
    assert held.checksum != of_two_arrays(held)
    other = held.test_labels.copy()
    other[-1] = (other[-1] + 1) % 10
    assert dataclasses.replace(held, test_labels=other).checksum != held.checksum
    shifted = held.test_inputs.copy()
    shifted[0, 0] += 1
    assert dataclasses.replace(held, test_inputs=shifted).checksum != held.checksum


def test_components_and_whitening_are_those_of_the_training_part():
    plain = load(Data("digits", test_share=0.25))
    for whiten in (False, True):
        data = load(Data("digits", test_share=0.25, components=7, whiten=whiten))
        fitted = PCA(7, whiten=whiten, svd_solver="full").fit(plain.inputs)
        expected = fitted.transform(plain.test_inputs)
        if whiten:  # scikit-learn divides by n - 1
            expected *= (len(plain.inputs) / (len(plain.inputs) - 1)) ** 0.5
        signs = np.sign((expected * data.test_inputs).sum(0))
        np.testing.assert_allclose(data.test_inputs, expected * signs, atol=1e-9)


def test_components_of_a_test_set_are_taken_from_the_mean_of_the_training_part(tmp_path):
    inputs = np.random.default_rng(3).standard_normal((20, 3)) + 10
    labels = np.arange(20) % 2
    path = saved(tmp_path / "a.npz", inputs=inputs, labels=labels, test_inputs=inputs[:5], test_labels=labels[:5])
    data = load(Data("arrays", path=path, components=2))
    np.testing.assert_allclose(data.test_inputs, data.inputs[:5])
    np.testing.assert_allclose(data.inputs.mean(0), 0, atol=1e-12)


def test_every_pair_of_a_sum_is_on_one_side():
    data = load(Data("modular-addition", modulus=7, test_share=0.4, test_seed=4))
    whole = load(Data("modular-addition", modulus=7))
    np.testing.assert_array_equal(data.test_inputs, whole.inputs[held_out(whole.labels, 0.4, 4)])
    assert np.bincount(data.test_labels).tolist() == [3] * 7
    both = np.concatenate([data.inputs, data.test_inputs])
    assert len(np.unique(both, axis=0)) == len(both) == 49
    np.testing.assert_array_equal(np.unique(both, axis=0), np.unique(whole.inputs, axis=0))
    pairs = data.test_inputs.reshape(-1, 2, 7).argmax(2)
    np.testing.assert_array_equal(pairs.sum(1) % 7, data.test_labels)
    np.testing.assert_array_equal(data.inputs.reshape(-1, 2, 7).argmax(2).sum(1) % 7, data.labels)


def test_classes_cut_both_parts_samples_and_noise_the_training_part_alone():
    whole = load(Data("digits", test_share=0.2))
    some = load(Data("digits", test_share=0.2, classes=[7, 2], samples=50, label_noise=0.4))
    assert len(some.labels) == 50
    clean = load(Data("digits", test_share=0.2, classes=[7, 2], samples=50))
    assert (some.labels != clean.labels).any()
    for new, old in enumerate((7, 2)):
        np.testing.assert_array_equal(
            some.test_inputs[some.test_labels == new], whole.test_inputs[whole.test_labels == old]
        )
    assert len(some.test_labels) == np.isin(whole.test_labels, (7, 2)).sum()


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_arrays_may_bring_a_test_set(tmp_path):
    rng = np.random.default_rng(0)
    part = {"inputs": rng.standard_normal((9, 2, 3)), "labels": np.arange(9) % 3}
    good = {"test_inputs": rng.standard_normal((4, 2, 3)), "test_labels": np.array([0, 2, 2, 0], dtype=np.uint8)}
    path = saved(tmp_path / "a.npz", **part, **good)
    data = load(Data("arrays", path=path))
    np.testing.assert_array_equal(data.test_inputs, good["test_inputs"].reshape(4, 6))
    assert data.test_labels.tolist() == [0, 2, 2, 0]
    assert data.test_labels.dtype == np.int64
    wrong = [
        ({"test_labels": None}, "has no array 'test_labels'"),
        ({"test_inputs": None}, "has no array 'test_inputs'"),
        ({"test_inputs": rng.standard_normal((4, 2, 4))}, "test_inputs (4, 2, 4) must have the shape of inputs"),
        ({"test_inputs": rng.standard_normal((4, 6))}, "(sample, 2, 3)"),
        ({"test_labels": np.array([0, 1, 2, 3])}, "test_labels contain 3; must be 0 to 2"),
        ({"test_labels": np.array([0, 1, -1, 0])}, "test_labels contain -1"),
        ({"test_labels": np.array([0, 1])}, "test_labels int64(2,) must be integers, (4,)"),
        ({"test_inputs": np.full((4, 2, 3), np.inf)}, "test_inputs must be finite; sample 0"),
    ]
    for change, said in wrong:
        arrays = {name: value for name, value in (part | good | change).items() if value is not None}
        bad = saved(tmp_path / "b.npz", **arrays)
        with pytest.raises(DataError) as caught:
            DATASETS.get("arrays")(bad)
        assert said in str(caught.value)
        assert bad in str(caught.value)
    with pytest.raises(DataError, match=r"test_share = 0\.3: must be left out; .*a\.npz' has a test set"):
        load(Data("arrays", path=path, test_share=0.3))
    more = {"inputs": np.eye(8), "labels": np.arange(8) // 2, "test_inputs": np.eye(8)[:2], "test_labels": [0, 2]}
    with pytest.raises(DataError, match="the test set of 'arrays' has no sample of 1, 3"):
        load(Data("arrays", path=saved(tmp_path / "c.npz", **more), classes=[1, 3]))
    held = load(Data("arrays", path=saved(tmp_path / "d.npz", **part), test_share=0.3))
    assert np.bincount(held.test_labels).tolist() == [1, 1, 1]
    assert len(held.labels) == 6


def test_test_arrays_of_another_width_end_the_command_with_one_line(tmp_path, capsys):
    path = saved(
        tmp_path / "a.npz", inputs=np.eye(4), labels=[0, 1, 0, 1], test_inputs=np.eye(3), test_labels=[0, 1, 0]
    )
    file = tmp_path / "experiment.toml"
    file.write_text(TINY.replace('name = "digits"', f'name = "arrays"\npath = "{path}"'))
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{path!r}: test_inputs (3, 3) must have the shape of inputs, (sample, 4)" in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def raw_pixels(first, count):
    pixels = [np.asarray(picture(10 * c + i)) for c in range(len(CLASSES)) for i in range(first, first + count)]
    return np.array(pixels).transpose(0, 3, 1, 2).astype(float)


def test_images_to_test_on_lie_in_a_folder_of_their_own(tmp_path):
    folder = tmp_path / "images"
    write_images(folder / "train", count=4)
    write_images(folder / "test", count=2, first=4)
    train, test = raw_pixels(0, 4), raw_pixels(4, 2)
    mean, spread = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
    (tmp_path / "outer").mkdir()
    wrapped = write_images(tmp_path / "outer" / "all" / "train", count=4).parents[1]
    write_images(wrapped / "all" / "test", count=2, first=4)
    sums = set()
    for path in (folder, packed(folder, tmp_path / "a.tar.xz"), packed(folder, tmp_path / "a.tar", "w"), wrapped):
        data = load(Data("images", path=str(path)))
        np.testing.assert_allclose(data.inputs, ((train - mean) / spread).reshape(12, -1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(data.test_inputs, ((test - mean) / spread).reshape(6, -1), rtol=1e-5, atol=1e-6)
        assert data.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert data.test_inputs.dtype == np.float32
        sums.add(data.checksum)
    assert len(sums) == 1
    with pytest.raises(DataError, match="has its own test/"):
        load(Data("images", path=str(folder), test_share=0.1))


def test_images_without_a_test_folder_can_be_held_out(tmp_path):
    path = str(write_images(tmp_path / "images", count=4))
    data = load(Data("images", path=path, test_share=0.25, test_seed=3))
    test = held_out(np.repeat(np.arange(3), 4), 0.25, 3)
    pixels = raw_pixels(0, 4)
    mean, spread = pixels[~test].mean((0, 2, 3), keepdims=True), pixels[~test].std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(data.test_inputs, ((pixels - mean) / spread)[test].reshape(3, -1), rtol=1e-5, atol=1e-6)
    assert data.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("nested", [False, True])
def test_a_hundred_fine_classes_as_those_of_cifar100(nested, tmp_path):
    names = [f"class{i:02d}" for i in range(100)]
    for part, count in (("train", 2), ("test", 1)):
        for i, name in enumerate(names):
            folder = tmp_path / "cifar100" / part / (f"coarse{i % 20}" if nested else "") / name
            folder.mkdir(parents=True)
            for j in range(count):
                picture(1000 * i + 10 * count + j, (4, 4)).save(folder / f"{j}.png")
    data = load(Data("images", path=str(packed(tmp_path / "cifar100", tmp_path / "cifar100.tar.gz", "w:gz"))))
    assert data.class_names == tuple(names)
    assert data.classes == 100
    assert np.bincount(data.labels).tolist() == [2] * 100
    assert np.bincount(data.test_labels).tolist() == [1] * 100
    pixels = np.array([np.asarray(picture(1000 * i + 10, (4, 4))) for i in range(100)])
    red = data.test_inputs.reshape(100, 3, 16)[np.argsort(data.test_labels), 0]
    # Standardised values are a straight line in the pixels' values.
    assert np.corrcoef(red.ravel(), pixels[..., 0].ravel())[0, 1] > 1 - 1e-6


WRONG = [
    ({"name": "digits", "test_share": 1.0}, "[data] test_share = 1.0: must be"),
    ({"name": "digits", "test_share": -0.1}, "[data] test_share = -0.1"),
    ({"name": "digits", "test_seed": 1}, "[data] test_seed = 1: must be left out"),
]


@pytest.mark.parametrize(("table", "said"), WRONG)
def test_wrong_tables_are_refused(table, said):
    with pytest.raises(ExperimentError) as caught:
        Data(**table)
    assert said in str(caught.value)


def test_a_share_that_leaves_a_class_without_samples_is_refused():
    with pytest.raises(DataError, match=r"test_share = 0\.001: holds out 0 of the 178 samples of class 0"):
        load(Data("digits", test_share=0.001))
    with pytest.raises(DataError, match="holds out 3 of the 3 samples of class 0"):
        load(Data("modular-addition", modulus=3, test_share=0.95))


def test_the_test_scores_are_those_of_the_test_set(tmp_path):
    """Two classes that a network separates, and a test set with their labels exchanged."""
    labels = np.arange(60) % 2
    inputs = np.random.default_rng(2).standard_normal((60, 3)) + 4 * labels[:, None]
    path = saved(tmp_path / "a.npz", inputs=inputs, labels=labels, test_inputs=inputs, test_labels=1 - labels)
    experiment = tiny(('name = "digits"', f'name = "arrays"\npath = "{path}"'))
    found = empirics.run(experiment, tmp_path / "out").dataset
    assert found["test_accuracy"].max() < 0.5 < found["accuracy"].min()
    assert (found["test_loss"] > found["loss"] + 0.5).all()


def test_another_file_under_the_same_name_is_read_anew(tmp_path):
    arrays = {"inputs": np.eye(4), "labels": [0, 1, 0, 1]}
    table = Data("arrays", path=saved(tmp_path / "a.npz", **arrays))
    first = load(table)
    assert load(table) is first
    saved(tmp_path / "a.npz", **arrays | {"inputs": 2 * np.eye(4)})
    assert load(table).checksum != first.checksum
