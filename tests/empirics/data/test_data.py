"""Data: image folders and tar files, arrays, modular addition; what is done to them; what is refused."""

import dataclasses
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from images_on_disk import CLASSES, content, packed, picture, write_images
from tiny import TINY, tiny

import empirics
from empirics import cli
from empirics.data import DATASETS
from empirics.data.dataset import DataError, most_unpacked
from empirics.data.loading import load
from empirics.data.table import Data
from empirics.data.text import library_sources
from empirics.experiment import Experiment, ExperimentError
from empirics.training.ensemble import Ensemble
from empirics.training.sampling import Drawing, FreshLabels, Stream


def test_a_folder_a_split_and_a_tar_file_are_the_same_data(tmp_path):
    plain = write_images(tmp_path / "plain")
    write_images(tmp_path / "split" / "train")
    (tmp_path / "split" / "extra" / "cat").mkdir(parents=True)  # not looked at
    (plain / "cat" / "notes.txt").write_text("not an image")
    (plain / "cat" / "._000.png").write_text("not one either, as some systems add them")
    (plain / "eel" / "003.png").rename(plain / "eel" / "003.PNG")
    found = [
        DATASETS.get("images")(str(path))
        for path in (
            plain,
            tmp_path / "split",
            packed(plain, tmp_path / "a.tar.xz"),
            packed(plain, tmp_path / "a.tar", "w"),
        )
    ]
    assert len({data.checksum for data in found}) == 1
    data = found[0]
    assert data.shape == (3, 4, 5)
    assert data.class_names == CLASSES
    assert data.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = data.inputs.reshape(12, *data.shape).astype(float)
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(images.std((0, 2, 3)), 1, atol=1e-6)
    pixels = np.array([np.asarray(picture(10 * c + i)) for c in range(3) for i in range(4)]).transpose(0, 3, 1, 2)
    red = pixels[:, 0]
    np.testing.assert_allclose(images[:, 0], (red - red.mean()) / red.std(), rtol=1e-5, atol=1e-6)


def test_grey_images_have_one_channel(tmp_path):
    assert DATASETS.get("images")(str(write_images(tmp_path / "grey", mode="L"))).shape == (1, 4, 5)


def broken(folder):
    (folder / "dog" / "001.png").write_bytes(content(picture(0))[:60])


def empty(folder):
    for path in folder.rglob("*.png"):
        path.unlink()


def without_images_of_a_class(folder):
    for path in (folder / "eel").iterdir():
        path.unlink()


def of_another_size(folder):
    (folder / "eel" / "003.png").write_bytes(content(picture(0, (6, 4))))


def of_one_class(folder):
    for name in ("dog", "eel"):
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()


def parted(folder):
    write_images(folder / "train")
    write_images(folder / "test", count=1)
    for name in CLASSES:
        shutil.rmtree(folder / name)
    return folder / "test"


def broken_to_test_on(folder):
    (parted(folder) / "dog" / "000.png").write_bytes(b"")


def without_a_class_to_test_on(folder):
    shutil.rmtree(parted(folder) / "eel")


def with_an_empty_class_to_test_on(folder):
    (parted(folder) / "eel" / "000.png").unlink()


def with_a_class_to_test_on_alone(folder):
    (parted(folder) / "fox").mkdir()
    (folder / "test" / "fox" / "000.png").write_bytes(content(picture(0)))


def with_nothing_to_test_on(folder):
    for path in parted(folder).iterdir():
        shutil.rmtree(path)


DAMAGES = [
    (broken_to_test_on, "test/dog/000.png is not a readable image"),
    (without_a_class_to_test_on, "class 'eel' of train/ has no images in test/"),
    (with_an_empty_class_to_test_on, "class 'eel' has no images in test/"),
    (with_a_class_to_test_on_alone, "class 'fox' of test/ has no images in train/"),
    (with_nothing_to_test_on, "test/ has no images"),
    (broken, "dog/001.png is not a readable image"),
    (empty, "no images found"),
    (without_images_of_a_class, "class 'eel' has no images"),
    (of_another_size, "eel/003.png has another size than the images before it (6x4 and 5x4)"),
    (of_one_class, "images of one class only, 'cat'"),
]


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_damaged_folders_are_refused_in_one_line(damage, said, form, tmp_path, capsys):
    path = write_images(tmp_path / "images")
    damage(path)
    if form == "tar":
        path = packed(path, tmp_path / "images.tar.gz", "w:gz")
    file = tmp_path / "experiment.toml"
    file.write_text(TINY.replace('name = "digits"', f'name = "images"\npath = "{path}"'))
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert str(path) in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["", "gz", "bz2", "xz"])
def test_tar_files_cut_short_are_refused_in_one_line(mode, tmp_path, capsys):
    whole = packed(write_images(tmp_path / "images"), tmp_path / "whole", f"w:{mode}").read_bytes()
    size = len(whole)
    cuts = [10, size // 4, size // 2, 3 * size // 4]
    if not mode:  # in a header, just before one, and where the end mark should be
        with tarfile.open(tmp_path / "whole") as tar:
            last = tar.getmembers()[-1]
        cuts += [last.offset + 100, last.offset, last.offset_data + 512 * -(-last.size // 512)]
    file = tmp_path / "experiment.toml"
    for cut in cuts:
        path = tmp_path / f"cut{cut}.tar"
        path.write_bytes(whole[:cut])
        file.write_text(TINY.replace('name = "digits"', f'name = "images"\npath = "{path}"'))
        assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 2, cut
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"{str(path)!r}: no folder or intact tar file" in captured.err
        assert len(captured.err.strip().splitlines()) == 1, captured.err
        assert not (tmp_path / "out").exists()


def test_a_header_overwritten_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = packed(write_images(tmp_path / "images"), tmp_path / "a.tar", "w")
    with tarfile.open(path) as tar:
        at = tar.getmembers()[-2].offset
    damaged = bytearray(path.read_bytes())
    damaged[at : at + 100] = b"x" * 100
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="truncated or damaged"):
        DATASETS.get("images")(str(path))


def test_an_image_that_is_there_twice_and_a_file_that_unpacks_to_far_too_much_are_refused(tmp_path):
    folder = write_images(tmp_path / "images")
    path = packed(folder, tmp_path / "a.tar", "w")
    with tarfile.open(path, "a") as tar:
        tar.add(folder / "cat" / "000.png", arcname="./cat/000.png")
    with pytest.raises(DataError, match=r"cat/000\.png is there twice"):
        DATASETS.get("images")(str(path))
    # 256 MiB, or a hundred times the size of the file.
    assert [most_unpacked(size) for size in (1, 3 << 20)] == [256 << 20, 300 << 20]


def test_a_path_that_is_not_there_or_is_no_tar_file(tmp_path):
    for path, said in [(tmp_path / "nowhere", "no such folder"), (tmp_path / "a.tar", "no folder or intact tar file")]:
        (tmp_path / "a.tar").write_text("no")
        with pytest.raises(DataError, match=said):
            DATASETS.get("images")(str(path))


def test_data_that_are_missing_are_named_with_the_file_and_the_folder_looked_in(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(TINY.replace('name = "digits"', 'name = "images"\npath = "nowhere.tar"'))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError) as refused:
        empirics.run("../mine.toml", progress=False)
    said = f"'nowhere.tar': no such folder or file in {tmp_path / 'here'}, the working directory"
    assert str(refused.value) == f"../mine.toml: [data] path = {said}"
    assert cli.main(["run", "../mine.toml"]) == 2
    assert capsys.readouterr().err == f"thermo-theory: ../mine.toml: [data] path = {said}\n"
    assert not list((tmp_path / "here").iterdir())


def test_images_through_run(tmp_path):
    path = write_images(tmp_path / "images", count=8)
    text = TINY.replace('name = "digits"', f'name = "images"\npath = "{path}"')
    text = text.replace('name = "mlp"\nhidden = [5, 4]', 'name = "convnet"\nwidth = 1')
    text = text.replace("steps = 160", "steps = 40").replace("spacing = 4", "spacing = 1")
    runs = empirics.run(Experiment.from_toml(text), tmp_path / "out", progress=False)
    assert runs.dataset.attrs["weights"] == 9 * (3 + 2 + 8 + 32)
    assert runs.provenance["data"] == {"name": "images", "sha256": DATASETS.get("images")(str(path)).checksum}


def test_modular_addition_through_run_with_the_transformer(tmp_path):
    text = TINY.replace('name = "digits"', 'name = "modular-addition"\nmodulus = 5')
    text = text.replace('name = "mlp"\nhidden = [5, 4]', 'name = "transformer"\nwidth = 4\ndepth = 1\nheads = 2')
    text = text.replace("steps = 160", "steps = 40").replace("spacing = 4", "spacing = 1")
    found = empirics.run(Experiment.from_toml(text), tmp_path / "out", progress=False).dataset
    assert found.attrs["weights"] == 4 * 5 + 2 * 4 + 12 * 16
    assert found["violation"].max() < 1e-3


def test_permutations_form_a_group_that_is_not_commutative():
    data = DATASETS.get("permutations")(letters=4)
    product = data.labels.reshape(24, 24)
    assert data.classes == 24
    assert (np.sort(product, 0) == np.arange(24)[:, None]).all()
    assert (np.sort(product, 1) == np.arange(24)).all()
    np.testing.assert_array_equal(product[product], product[:, product])  # (ab)c = a(bc)
    assert 0.2 < (product == product.T).mean() < 0.25  # 5 conjugacy classes of 24 elements: 5/24


@pytest.mark.parametrize("table", [{"letters": 3}, {"modulus": 5}, {"context": 3, "samples": 500}])
def test_tokens_have_a_mean_square_of_one(table):
    name = {"letters": "permutations", "modulus": "modular-addition", "context": "library-text"}[next(iter(table))]
    assert np.square(load(Data(name, **table)).inputs).mean() == pytest.approx(1)


def test_text_is_that_of_the_standard_library():
    data = load(Data("library-text", context=5, samples=3000))
    letters = np.array(data.class_names)
    said = ["".join(letters[one.reshape(5, 64).argmax(1)]) for one in data.inputs]
    whole = library_sources()
    known = [(before, letters[label]) for before, label in zip(said, data.labels, strict=True) if label < 63]
    known = [(before, after) for before, after in known if "other" not in before]
    assert len(known) > 2700
    assert all(before + after in whole for before, after in known[::50])
    counts = np.bincount(data.labels, minlength=64)
    assert counts[0] > counts[5] > counts[40]  # in the order of frequency


def test_more_places_than_the_text_has_are_refused():
    with pytest.raises(DataError, match="too few for 1,000,000,000 places"):
        load(Data("library-text", samples=1_000_000_000))


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_arrays_of_the_user_s(tmp_path):
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((9, 2, 3)), np.arange(9, dtype=np.int32) % 3
    data = DATASETS.get("arrays")(saved(tmp_path / "a.npz", inputs=inputs, labels=labels))
    assert data.shape == (2, 3)
    assert data.classes == 3
    np.testing.assert_array_equal(data.inputs, inputs.reshape(9, 6))
    assert DATASETS.get("arrays")(saved(tmp_path / "a.npz", inputs=inputs[:, 0], labels=labels)).shape == ()
    wrong = [
        ({"inputs": inputs}, "no array 'labels'"),
        ({"inputs": inputs, "labels": labels[:8]}, "must be integers, (9,)"),
        ({"inputs": inputs, "labels": labels.astype(float)}, "must be integers"),
        ({"inputs": inputs, "labels": 2 * labels}, "class 1 has no sample"),
        ({"inputs": inputs, "labels": labels - 1}, "label -1 is negative"),
        ({"inputs": np.where(np.arange(9)[:, None, None] == 4, np.nan, inputs), "labels": labels}, "sample 4 is not"),
        ({"inputs": inputs.astype(str), "labels": labels}, "must be numbers"),
        ({"inputs": inputs, "labels": labels.astype(object)}, "an array of Python objects"),
    ]
    for arrays, said in wrong:
        with pytest.raises(DataError) as caught:
            DATASETS.get("arrays")(saved(tmp_path / "b.npz", **arrays))
        assert said in str(caught.value)
    (tmp_path / "c.npz").write_text("no")
    for path in ("c.npz", "nowhere.npz"):
        with pytest.raises(DataError, match="cannot be read"):
            DATASETS.get("arrays")(str(tmp_path / path))


def test_principal_components_and_whitening():
    plain = load(Data("digits"))
    turned = load(Data("digits", components=6))
    white = load(Data("digits", components=6, whiten=True))
    assert white.inputs.shape == (1797, 6)
    np.testing.assert_allclose(white.inputs.T @ white.inputs / 1797, np.eye(6), atol=1e-10)
    spread = np.linalg.svd(plain.inputs, compute_uv=False)[:6] / 1797**0.5
    np.testing.assert_allclose(turned.inputs.std(0), spread)
    np.testing.assert_allclose(turned.inputs / spread, white.inputs)
    whole = load(Data("digits", whiten=True))
    np.testing.assert_allclose(whole.inputs.T @ whole.inputs / 1797, np.eye(61), atol=1e-8)
    with pytest.raises(DataError, match="components = 62: must be at most 61"):
        load(Data("digits", components=62))
    assert load(Data("digits-images", components=3)).shape == ()


def test_fewer_classes_and_samples():
    some = load(Data("digits", classes=[7, 2, 4], samples=257))
    assert np.bincount(some.labels).tolist() == [86, 86, 85]
    whole = load(Data("digits"))
    np.testing.assert_array_equal(some.inputs[some.labels == 0], whole.inputs[whole.labels == 7][:86])
    with pytest.raises(DataError, match=r"no class '10' in 'digits' \(there are 0, 1"):
        load(Data("digits", classes=["1", "10"]))
    for count in (9, 1798):
        with pytest.raises(DataError, match=f"samples = {count}: must be 10 to 1797"):
            load(Data("digits", samples=count))
    assert sorted(load(Data("digits", samples=10)).labels) == list(range(10))


def test_classes_are_merged_into_groups():
    whole, some = (
        load(Data("digits", test_share=0.2)),
        load(Data("digits", groups=[[0, 8], ["1", 3, 5]], test_share=0.2)),
    )
    assert (some.classes, some.class_names) == (2, ("0+8", "1+3+5"))
    for merged, inputs, labels in (
        (some.labels, some.inputs, whole.labels),
        (some.test_labels, some.test_inputs, whole.test_labels),
    ):
        kept = labels[np.isin(labels, [0, 8, 1, 3, 5])]
        np.testing.assert_array_equal(merged, kept % 2)
        assert len(inputs) == len(kept)
    even = load(Data("digits", groups=[[1], [0, 2]], samples=30))
    assert np.bincount(even.labels).tolist() == [10, 20]  # as many of each class, however large its group
    with pytest.raises(DataError, match=r"\[data\] groups: no class 'ten' in 'digits'"):
        load(Data("digits", groups=[[1], ["ten"]]))


def test_fixed_label_noise():
    clean, noisy = load(Data("digits")), load(Data("digits", label_noise=0.3))
    changed = (clean.labels != noisy.labels).mean()
    assert abs(changed - 0.27) < 4 * (0.27 * 0.73 / 1797) ** 0.5
    assert noisy.checksum == load(Data("digits", label_noise=0.3)).checksum
    assert noisy.checksum != load(Data("digits", label_noise=0.3, noise_seed=1)).checksum
    np.testing.assert_array_equal(clean.inputs, noisy.inputs)


def test_fresh_label_noise_is_drawn_anew_and_belongs_to_the_run():
    fresh = tiny(('name = "digits"', 'name = "digits"\nlabel_noise = 0.3\nfresh_noise = true'))
    data = load(fresh.data)
    assert data.checksum == load(Data("digits")).checksum
    ensemble = Ensemble(fresh, fresh.runs, data)
    feed = ensemble.feeds.train
    labels = torch.stack([feed.at(step)[1] for step in range(200)])
    clean = torch.stack([feed.samples.labels[feed._indices.at(step)].view_as(labels[0]) for step in range(200)])
    changed = labels != clean
    assert abs(changed.double().mean() - 0.27) < 0.02
    assert not torch.equal(changed[0], changed[1])
    alone = FreshLabels(Drawing(fresh.runs[2:3], 16, torch.device("cpu")), 10, 0.3, Stream.LABELS)
    assert torch.equal(alone.at(300), feed._fresh.at(300)[32:48])


def test_fresh_noise_raises_the_loss_through_run(tmp_path):
    clean = empirics.run(tiny(), tmp_path / "clean", progress=False).dataset
    fresh = tiny(('name = "digits"', 'name = "digits"\nlabel_noise = 0.5\nfresh_noise = true'))
    noisy = empirics.run(fresh, tmp_path / "noisy", progress=False).dataset
    assert (noisy["loss"] > clean["loss"]).all()


WRONG = [
    ({"name": "images"}, "[data] path is missing"),
    ({"name": "digits", "path": "x"}, "[data] path: must be left out"),
    ({"name": "digits", "classes": [3]}, "[data] classes = [3]: must be two"),
    ({"name": "digits", "classes": [3, "3"]}, "must be two or more different"),
    ({"name": "digits", "groups": [3, 4]}, "[data] groups = [3, 4]: must be lists of names or numbers of classes"),
    ({"name": "digits", "groups": [[3], []]}, "must be lists of names or numbers of classes, one for each group"),
    ({"name": "digits", "groups": [[1, 3], [2, "3"]]}, "must have every class in one group only; '3' is there twice"),
    ({"name": "digits", "groups": [[1, 3]]}, "must be two or more groups"),
    ({"name": "digits", "groups": [[1], [2]], "classes": [1, 2]}, "[data] classes: must be left out with groups"),
    ({"name": "digits", "label_noise": 1.5}, "[data] label_noise = 1.5"),
    ({"name": "digits", "fresh_noise": True}, "[data] fresh_noise"),
    ({"name": "modular-addition", "modulus": 1}, "[data] modulus = 1"),
    ({"name": "permutations", "letters": 6}, "[data] letters = 6"),
]


@pytest.mark.parametrize(("table", "said"), WRONG)
def test_wrong_tables_are_refused(table, said):
    with pytest.raises(ExperimentError) as caught:
        Data(**table)
    assert said in str(caught.value)


def test_tables_survive_the_round_trip():
    table = Data("images", path='a "b"', classes=("cat", "3"), samples=7, components=2, whiten=True, label_noise=0.25)
    for one in (table, Data("digits", groups=((1, "3"), (2,)))):
        experiment = dataclasses.replace(tiny(), data=one)
        assert Experiment.from_toml(experiment.to_toml()) == experiment


def test_loading_needs_no_torch():
    load_it = "import sys, empirics.data.table as e, empirics.data.loading as l; l.load(e.Data('digits'))"
    code = f"{load_it}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
