"""From the ``[data]`` table of an experiment to arrays: load, select, rotate, add label noise."""

from __future__ import annotations

import dataclasses
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from empirics.data import DATASETS
from empirics.data.dataset import DataError, Dataset
from empirics.data.holdout import held_out

if TYPE_CHECKING:
    from empirics.data.table import Data

#: Principal components whose standard deviation is below this fraction of the largest are rounding errors.
SMALLEST_COMPONENT = 1e-9


def load(table: Data) -> Dataset:
    """Load the data described by ``[data]``.

    Parameters
    ----------
    table
        Name of the data set, and options.

    Returns
    -------
    Dataset
        Not to be modified: the next caller gets the same object, as long as the files are the same.

    Raises
    ------
    DataError
        If the data are unavailable, or do not fit the options.
    """
    return _loaded(table, _stamp(Path(table.path)) if table.path else ())


def _stamp(path: Path) -> tuple[object, ...]:
    """Where files are, and their sizes and times: another file under an old name is read anew."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names] or [str(path)]
    found = [
        (file, (facts := os.stat(file)).st_size, facts.st_mtime_ns) for file in sorted(files) if os.path.exists(file)
    ]
    return (path.resolve(), *found)


@lru_cache(maxsize=1)  # shared by the shards that a process computes one after another
def _loaded(table: Data, stamp: tuple[object, ...]) -> Dataset:
    del stamp
    options = {name: getattr(table, name) for name in OPTIONS.get(table.name, ())}
    data: Dataset = DATASETS.get(table.name)(**options)
    if table.test_share and "test_share" not in options:
        data = _held_out(data, table)
    if wanted := table.classes or tuple(name for group in table.groups for name in group):
        data = _of_classes(data, wanted, "classes" if table.classes else "groups")
    if table.samples and "samples" not in options:
        data = _fewer(data, table.samples)
    if table.groups:
        data = _grouped(data, table.groups)
    if table.components or table.whiten:
        data = _principal(data, table.components, table.whiten)
    if table.label_noise and not table.fresh_noise:
        data = _relabelled(data, table.label_noise, table.noise_seed)
    _check_augmentation(data, table)
    return data


#: Options of the loaders. Those with `test_share` fit the preprocessing to the training part; those with `samples`
#: choose the samples.
OPTIONS = {
    "digits": ("test_share", "test_seed"),
    "digits-images": ("test_share", "test_seed"),
    "images": ("path", "test_share", "test_seed"),
    "arrays": ("path",),
    "torchvision": ("dataset", "path", "download"),
    "modular-addition": ("modulus",),
    "permutations": ("letters",),
    "library-text": ("context", "samples"),
}


def _held_out(data: Dataset, table: Data) -> Dataset:
    """Hold out a share of samples that need no preprocessing, unless there already is a test set."""
    if data.test_labels is not None:
        raise DataError(f"[data] test_share = {table.test_share:g}: must be left out; {table.path!r} has a test set")
    test = held_out(data.labels, table.test_share, table.test_seed)
    return dataclasses.replace(
        data,
        inputs=_standing(data.inputs, ~test),
        labels=data.labels[~test],
        test_inputs=_standing(data.inputs, test),
        test_labels=data.labels[test],
    )


def _check_augmentation(data: Dataset, table: Data) -> None:
    """Refuse to augment samples that are not images, or to shift images out of the frame."""
    if not (table.flip or table.shift):
        return
    if len(data.shape) != 3:
        key = "flip = true" if table.flip else f"shift = {table.shift}"
        raise DataError(f"[data] {key}: must be left out; the samples of {table.name!r} are not images")
    if table.shift >= (side := min(data.shape[1:])):
        raise DataError(f"[data] shift = {table.shift}: must be below {side}, the shorter side of the images")


def _grouped(data: Dataset, groups: tuple[tuple[str, ...], ...]) -> Dataset:
    """Merge classes, which are in the order of the groups, into one for each group, named after them."""
    group_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    test = None if data.test_labels is None else group_of[data.test_labels]
    names = tuple("+".join(group) for group in groups)
    return dataclasses.replace(
        data, labels=group_of[data.labels], test_labels=test, classes=len(groups), class_names=names
    )


def _of_classes(data: Dataset, wanted: tuple[str, ...], key: str) -> Dataset:
    """Keep some classes, in the given order; refuse one that does not exist."""
    names = data.class_names or tuple(map(str, range(data.classes)))
    for name in wanted:
        if name not in names:
            raise DataError(f"[data] {key}: no class {name!r} in {data.name!r} (there are {', '.join(names)})")
    numbers = np.array([names.index(name) for name in wanted])
    inputs, labels = _renumbered(data.inputs, data.labels, numbers)
    found = dataclasses.replace(data, inputs=inputs, labels=labels, classes=len(wanted), class_names=wanted)
    if data.test_inputs is None or data.test_labels is None:
        return found
    inputs, labels = _renumbered(data.test_inputs, data.test_labels, numbers)
    if not len(labels):
        raise DataError(f"[data] {key}: the test set of {data.name!r} has no sample of {', '.join(wanted)}")
    return dataclasses.replace(found, test_inputs=inputs, test_labels=labels)


def _renumbered(inputs: NDArray, labels: NDArray[np.int64], numbers: NDArray) -> tuple[NDArray, NDArray[np.int64]]:
    """Keep the samples of the classes with these numbers, and renumber the classes in this order."""
    kept = np.isin(labels, numbers)
    return _standing(inputs, kept), np.argmax(labels[kept, None] == numbers, axis=1).astype(np.int64)


def _standing(inputs: NDArray, kept: NDArray) -> NDArray:
    return np.ascontiguousarray(inputs[kept])


def _fewer(data: Dataset, samples: int) -> Dataset:
    """Keep this many training samples, taking the first of every class in turn; the test set is unchanged."""
    if not data.classes <= samples <= len(data.labels):
        raise DataError(
            f"[data] samples = {samples}: must be {data.classes} to {len(data.labels)}, the number available"
        )
    place = np.empty(len(data.labels), dtype=np.int64)  # of each sample among those of its class
    for label in range(data.classes):
        members = data.labels == label
        place[members] = np.arange(members.sum())
    kept = np.sort(np.lexsort((data.labels, place))[:samples])
    return dataclasses.replace(data, inputs=_standing(data.inputs, kept), labels=data.labels[kept])


def _principal(data: Dataset, components: int, whiten: bool) -> Dataset:
    """Project the inputs onto the principal components of the training part, largest first, whitened if asked."""
    inputs = np.asarray(data.inputs, dtype=np.float64)
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    spread, axes = np.sqrt(np.maximum(spread[::-1], 0)), axes[:, ::-1]
    there = int((spread > SMALLEST_COMPONENT * spread[0]).sum())
    count = components or there
    if count > there:
        raise DataError(f"[data] components = {components}: must be at most {there}, the rank of the inputs")
    axes = axes[:, :count]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])  # the sign is arbitrary

    def turned(centred: NDArray) -> NDArray:
        return np.ascontiguousarray(centred @ axes / spread[:count] if whiten else centred @ axes)

    test = None if data.test_inputs is None else turned(np.asarray(data.test_inputs, dtype=np.float64) - mean)
    return dataclasses.replace(data, inputs=turned(centred), test_inputs=test, shape=())


def _relabelled(data: Dataset, share: float, seed: int) -> Dataset:
    """Relabel a random share of the training samples, once, with classes drawn from all."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    noisy = rng.random(len(data.labels)) < share
    drawn = rng.integers(data.classes, size=len(data.labels))
    return dataclasses.replace(data, labels=np.where(noisy, drawn, data.labels))
