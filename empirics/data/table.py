"""The table ``[data]`` of an experiment file: the samples and their preprocessing."""

from dataclasses import dataclass
from typing import Any, ClassVar

from empirics.data import DATASETS
from empirics.experiment.schema import (
    ExperimentError,
    TomlTable,
    flag,
    integer,
    key,
    maybe_text,
    one_of,
    share,
    show,
)

#: Data sets that are read from ``[data] path``, and the names that ``[data] dataset`` may have.
FROM_PATH = ("images", "arrays", "torchvision")


TORCHVISION = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "STL10", "SVHN")


@dataclass(frozen=True)
class Data(TomlTable):
    """``[data]``: the samples and their preprocessing.

    Attributes
    ----------
    name
        A data set of :mod:`empirics.data`: `digits`, `digits-images`, `images`, `arrays`, `modular-addition`,
        `permutations`, `library-text` or `torchvision`.
    path
        For images the folder or tar file, for torchvision its data folder (`root`), for arrays the .npz file, written
        by ``numpy.savez(path, inputs=..., labels=...)``: `inputs` (sample, feature), (sample, token, entry) or
        (sample, channel, height, width), `labels` (sample,) from 0; optional `test_inputs` and `test_labels` alike.
    dataset, download
        For torchvision: the class, e.g. ``"CIFAR100"``, and whether missing data may be downloaded.
    modulus
        For modular-addition: the modulus of the sums.
    letters
        For permutations: the number of letters, 2 to 5; all pairs of permutations are composed.
    context
        For library-text: the number of characters from which the next one is predicted.
    test_share, test_seed
        Share of the samples of every class that is held out as a test set, and the seed of the draw; for data without
        their own test set (torchvision has one; images with a folder ``test``, and arrays, may have one).
    classes
        Classes that are kept, by name or number; all by default.
    groups
        Lists of classes, by name or number, that are merged into one class each; other classes are left out. `samples`
        counts those of the classes before they are merged.
    samples
        Number of training samples, taking the first of every class in turn; 0 for all. For library-text the number of
        places in the text, evenly spaced; 0 for 16,384.
    components, whiten
        Number of principal components onto which inputs are projected (0: all if whitened, else no projection), and
        whether each is scaled to variance 1.
    label_noise
        Probability that a label is replaced by a class drawn from all.
    fresh_noise, noise_seed
        Whether the replacements are drawn afresh for every minibatch; otherwise they are drawn once, with this seed.
        Labels of the test set are never replaced.
    flip, shift
        Augmentation of images, drawn afresh for every minibatch: mirror each left to right with probability 1/2, and
        shift each by up to `shift` pixels in both axes, uniformly, filling with zeros (the mean).
    """

    TITLE: ClassVar[str] = "data"

    name: str = key(one_of(DATASETS.names))
    path: str = key(maybe_text, "")
    modulus: int = key(integer(2), 97)
    letters: int = key(integer(2, 5), 4)
    context: int = key(integer(1), 8)
    classes: tuple[str, ...] = key(lambda value: _class_names(value), ())
    groups: tuple[tuple[str, ...], ...] = key(lambda value: _groups(value), ())
    samples: int = key(integer(0), 0)
    components: int = key(integer(0), 0)
    whiten: bool = key(flag, False)
    label_noise: float = key(share, 0.0)
    fresh_noise: bool = key(flag, False)
    noise_seed: int = key(integer(0), 0)
    test_share: float = key(share, 0.0)
    test_seed: int = key(integer(0), 0)
    flip: bool = key(flag, False)
    shift: int = key(integer(0), 0)
    dataset: str = key(lambda value: "" if value == "" else one_of(TORCHVISION)(value), "")
    download: bool = key(flag, False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in FROM_PATH and not self.path:
            raise ExperimentError(f"[data] path is missing: data set {self.name!r} is read from a path")
        if self.name not in FROM_PATH and self.path:
            raise ExperimentError(f"[data] path: must be left out; data set {self.name!r} is not read from a path")
        if self.fresh_noise and not self.label_noise:
            raise ExperimentError("[data] fresh_noise = true: must be false without label_noise")
        if self.test_seed and not self.test_share:
            raise ExperimentError(f"[data] test_seed = {self.test_seed}: must be left out without test_share")
        if self.classes and self.groups:
            raise ExperimentError("[data] classes: must be left out with groups, which selects the classes")
        self._check_torchvision()
        self._check_augmentation()

    def _check_torchvision(self) -> None:
        if self.name == "torchvision":
            if not self.dataset:
                raise ExperimentError(f"[data] dataset is missing: one of {', '.join(map(repr, TORCHVISION))}")
            if self.test_share:
                raise ExperimentError(
                    f"[data] test_share = {self.test_share:g}: must be left out; torchvision data have a test set"
                )
        elif self.dataset or self.download:
            key = f"dataset = {show(self.dataset)}" if self.dataset else "download = true"
            raise ExperimentError(f"[data] {key}: must be left out; it is only for name = 'torchvision'")

    def _check_augmentation(self) -> None:
        if not (self.flip or self.shift):
            return
        key = "flip = true" if self.flip else f"shift = {self.shift}"
        if self.components or self.whiten:
            raise ExperimentError(f"[data] {key}: must be left out with components or whiten: no images remain")
        if self.name in ("digits", "modular-addition", "permutations", "library-text"):
            raise ExperimentError(f"[data] {key}: must be left out; the samples of {self.name!r} are not images")


def _class_names(value: Any) -> tuple[str, ...]:
    names = _names(value)
    if len(names) == 1 or len(set(names)) < len(names):
        raise ValueError("must be two or more different classes")
    return names


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(each, (str, int)) and not isinstance(each, bool) for each in value
    ):
        raise ValueError("must be a list of names or numbers of classes")
    return tuple(map(str, value))


def _groups(value: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, (list, tuple)) and each for each in value):
        raise ValueError("must be lists of names or numbers of classes, one for each group")
    groups = tuple(map(_names, value))
    names = [name for group in groups for name in group]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"must have every class in one group only; {twice[0]!r} is there twice")
    if len(groups) == 1:
        raise ValueError("must be two or more groups")
    return groups
