"""Data sets of torchvision, against a module with its documented interface: torchvision itself is not needed here."""

import pickle
import sys
import types
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from images_on_disk import picture
from tiny import TINY

from empirics import cli
from empirics.data import loading
from empirics.data.dataset import DataError
from empirics.data.loading import load
from empirics.data.table import Data
from empirics.experiment import ExperimentError

NAMES = [f"thing {i}" for i in range(100)]


class Vision:
    """What the documentation says of all of them: ``len``, ``[index] -> (PIL image, class)``, fetched only if asked."""

    mode, classes_there, size = "RGB", 10, (5, 4)
    fetched: list = []  # noqa: RUF012 - one for all is meant
    refuse: Exception | None = None

    def _open(self, root, train, download):
        self.first, self.count = (0, 2 * self.classes_there) if train else (500, self.classes_there)
        if download and not Path(root, type(self).__name__).exists():
            if self.refuse:
                raise self.refuse
            self.fetched.append(type(self).__name__)
            Path(root).mkdir(exist_ok=True)
            Path(root, type(self).__name__).write_text("here")
        if not Path(root, type(self).__name__).exists():
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        if Path(root, type(self).__name__).read_text() != "here":
            raise pickle.UnpicklingError("pickle data was truncated")

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return picture(self.first + index, self.size, self.mode), index % self.classes_there


class CIFAR10(Vision):
    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        self._open(root, train, download)
        self.classes = NAMES[: self.classes_there]


class CIFAR100(CIFAR10):
    classes_there = 100


class MNIST(Vision):
    mode, classes = "L", NAMES[:10]

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        self._open(root, train, download)


class SVHN(Vision):
    def __init__(self, root, split="train", transform=None, target_transform=None, download=False):
        assert split in ("train", "test")
        self._open(root, split == "train", download)


@pytest.fixture
def torchvision(monkeypatch):
    module, inner = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    for kind in (CIFAR10, CIFAR100, MNIST, SVHN):
        setattr(inner, kind.__name__, kind)
    module.datasets = inner
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", inner)
    monkeypatch.setattr(Vision, "fetched", [])
    loading._loaded.cache_clear()
    return inner


@pytest.mark.parametrize(
    ("name", "classes", "channels"), [("CIFAR10", 10, 3), ("CIFAR100", 100, 3), ("MNIST", 10, 1), ("SVHN", 10, 3)]
)
def test_both_parts_as_torchvision_gives_them(name, classes, channels, torchvision, tmp_path):
    (tmp_path / name).write_text("here")
    data = load(Data("torchvision", dataset=name, path=str(tmp_path)))
    assert data.shape == (channels, 4, 5)
    assert data.classes == classes
    assert data.class_names == (tuple(map(str, range(10))) if name == "SVHN" else tuple(NAMES[:classes]))
    assert data.labels.tolist() == list(range(classes)) * 2
    assert data.test_labels.tolist() == list(range(classes))
    mode = "L" if channels == 1 else "RGB"
    train, test = (
        np.array([np.asarray(picture(first + i, mode=mode)).reshape(4, 5, -1) for i in range(count)], dtype=float)
        for first, count in ((0, 2 * classes), (500, classes))
    )
    mean, spread = train.mean((0, 1, 2)), train.std((0, 1, 2))
    for found, pixels in ((data.inputs, train), (data.test_inputs, test)):
        expected = ((pixels - mean) / spread).transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert Vision.fetched == []


def test_nothing_is_fetched_unless_asked(torchvision, tmp_path):
    path = str(tmp_path / "root")
    with pytest.raises(DataError, match=r"train part of torchvision's CIFAR10 cannot be read .*not found or corrupted"):
        load(Data("torchvision", dataset="CIFAR10", path=path))
    assert not Path(path).exists()
    assert Vision.fetched == []
    fetched = load(Data("torchvision", dataset="CIFAR10", path=path, download=True))
    assert Vision.fetched == ["CIFAR10"]
    assert load(Data("torchvision", dataset="CIFAR10", path=path)).checksum == fetched.checksum


def refused(tmp_path, capsys, table):
    file = tmp_path / "experiment.toml"
    file.write_text(TINY.replace('name = "digits"', table))
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    return captured.err


def test_what_cannot_be_had_is_said_in_one_line(torchvision, tmp_path, capsys, monkeypatch):
    table = f'name = "torchvision"\ndataset = "CIFAR10"\npath = "{tmp_path}"'
    said = refused(tmp_path, capsys, table)
    assert f"[data] path = {str(tmp_path)!r}: train part" in said
    assert "downloaded only with download = true" in said
    monkeypatch.setattr(Vision, "refuse", URLError("no route\nto host"))
    assert "no route" in refused(tmp_path, capsys, f"{table}\ndownload = true")
    (tmp_path / "CIFAR10").write_text("cut")
    assert "pickle data was truncated" in refused(tmp_path, capsys, table)
    missing = table.replace("CIFAR10", "STL10")
    assert "this version of torchvision has no such data set" in refused(tmp_path, capsys, missing)


@pytest.mark.parametrize("broken", [False, True])
def test_torchvision_that_is_missing_or_does_not_fit_torch(broken, tmp_path, capsys, monkeypatch):
    if broken:

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "torchvision":
                    raise RuntimeError("operator torchvision::nms does not exist")

        monkeypatch.delitem(sys.modules, "torchvision", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    else:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    said = refused(tmp_path, capsys, f'name = "torchvision"\ndataset = "MNIST"\npath = "{tmp_path}"')
    assert "cannot be imported" in said
    assert 'pip install "thermo-theory[torchvision]"' in said
    assert ("nms" in said) == broken


WRONG = [
    ({"name": "torchvision", "path": "x"}, "[data] dataset is missing: one of 'CIFAR10'"),
    ({"name": "torchvision", "dataset": "CIFAR10"}, "[data] path is missing"),
    ({"name": "torchvision", "dataset": "CIFAR11", "path": "x"}, "did you mean 'CIFAR10'?"),
    ({"name": "torchvision", "dataset": 3, "path": "x"}, "[data] dataset = 3: must be one of"),
    (
        {"name": "torchvision", "dataset": "MNIST", "path": "x", "test_share": 0.1},
        "[data] test_share = 0.1: must be left",
    ),
    ({"name": "digits", "dataset": False}, "[data] dataset = false: must be one of"),
    ({"name": "digits", "dataset": "MNIST"}, '[data] dataset = "MNIST": must be left out'),
    ({"name": "digits", "download": True}, "[data] download = true: must be left out"),
]


@pytest.mark.parametrize(("table", "said"), WRONG)
def test_wrong_tables_are_refused(table, said):
    with pytest.raises(ExperimentError) as caught:
        Data(**table)
    assert said in str(caught.value)
