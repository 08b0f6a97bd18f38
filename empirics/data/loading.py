"""From an experiment's ``[data]`` to the arrays that are trained on: what is named, cut down, turned, made noisy."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from empirics.data import DATASETS
from empirics.data.dataset import DataError, Dataset

if TYPE_CHECKING:
    from empirics.experiment import Data

#: Principal components whose standard deviation is below this share of the largest are rounding, not data.
SMALLEST_COMPONENT = 1e-9


@lru_cache(maxsize=1)  # the shards of a run, one after the other in a process, share it
def load(table: Data) -> Dataset:
    """Load what an experiment's ``[data]`` describes.

    Parameters
    ----------
    table
        The data set's name and the options.

    Returns
    -------
    Dataset
        Not to be changed: the next caller gets the same object.

    Raises
    ------
    DataError
        If the data cannot be had, or are not as the options need them.
    """
    options = {name: getattr(table, name) for name in OPTIONS.get(table.name, ())}
    data: Dataset = DATASETS.get(table.name)(**options)
    if table.classes:
        data = _of_classes(data, table.classes)
    if table.samples:
        data = _fewer(data, table.samples)
    if table.components or table.whiten:
        data = _principal(data, table.components, table.whiten)
    if table.label_noise and not table.fresh_noise:
        data = _relabelled(data, table.label_noise, table.noise_seed)
    return data


#: What the loaders take from the table.
OPTIONS = {"images": ("path",), "arrays": ("path",), "modular-addition": ("modulus",)}


def _of_classes(data: Dataset, wanted: tuple[str, ...]) -> Dataset:
    """Keep some classes, in the order asked for.

    Raises
    ------
    DataError
        If one is not there.
    """
    names = data.class_names or tuple(map(str, range(data.classes)))
    for name in wanted:
        if name not in names:
            raise DataError(f"[data] classes: no class {name!r} in {data.name!r} (there are {', '.join(names)})")
    numbers = [names.index(name) for name in wanted]
    kept = np.isin(data.labels, numbers)
    labels = np.argmax(data.labels[kept, None] == np.array(numbers), axis=1).astype(np.int64)
    return dataclasses.replace(
        data, inputs=_standing(data, kept), labels=labels, classes=len(wanted), class_names=wanted
    )


def _standing(data: Dataset, kept: NDArray) -> NDArray:
    return np.ascontiguousarray(data.inputs[kept])


def _fewer(data: Dataset, samples: int) -> Dataset:
    """Keep so many samples, the first of every class in turn.

    Raises
    ------
    DataError
        If there are not so many.
    """
    if not data.classes <= samples <= len(data.labels):
        raise DataError(f"[data] samples = {samples}: must be {data.classes} to {len(data.labels)}, what there is")
    place = np.empty(len(data.labels), dtype=np.int64)  # of each sample among those of its class
    for label in range(data.classes):
        members = data.labels == label
        place[members] = np.arange(members.sum())
    kept = np.sort(np.lexsort((data.labels, place))[:samples])
    return dataclasses.replace(data, inputs=_standing(data, kept), labels=data.labels[kept])


def _principal(data: Dataset, components: int, whiten: bool) -> Dataset:
    """Turn the inputs to their principal components, the largest first, each with variance 1 if whitened.

    Raises
    ------
    DataError
        If there are not so many components.
    """
    centred = np.asarray(data.inputs, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    spread, axes = np.sqrt(np.maximum(spread[::-1], 0)), axes[:, ::-1]
    there = int((spread > SMALLEST_COMPONENT * spread[0]).sum())
    count = components or there
    if count > there:
        raise DataError(f"[data] components = {components}: must be at most {there}, the rank of the inputs")
    axes = axes[:, :count]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])  # a component has no sign of its own
    turned = centred @ axes
    return dataclasses.replace(
        data, inputs=np.ascontiguousarray(turned / spread[:count] if whiten else turned), shape=()
    )


def _relabelled(data: Dataset, share: float, seed: int) -> Dataset:
    """Give a share of the samples, each by chance, a class drawn from all of them, once and for all."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    noisy = rng.random(len(data.labels)) < share
    drawn = rng.integers(data.classes, size=len(data.labels))
    return dataclasses.replace(data, labels=np.where(noisy, drawn, data.labels))
