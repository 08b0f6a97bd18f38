"""Data sets of torchvision, an extra: ``pip install "thermo-theory[torchvision]"``; downloaded only on request."""

import inspect
import pickle
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.data.dataset import DataError, Dataset
from empirics.data.images import of_pixels


def load_torchvision(dataset: str, path: str, download: bool = False) -> Dataset:
    """Read an image classification set of torchvision, both parts, as :func:`empirics.data.images.load_images` does.

    Parameters
    ----------
    dataset
        The name of the class, e.g. ``"CIFAR100"`` (whose labels are the 100 fine ones).
    path
        The data folder of torchvision, its `root`.
    download
        Whether torchvision may download missing data; otherwise nothing is ever downloaded.

    Returns
    -------
    Dataset
        Inputs in float32, samples in torchvision's order, its test part as the test set.

    Raises
    ------
    DataError
        If torchvision is missing or does not work, or the data are not there or damaged.
    """
    kind = getattr(_torchvision(), dataset, None)
    if kind is None:
        raise DataError(f"[data] dataset = {dataset!r}: this version of torchvision has no such data set")
    named = "split" if "split" in inspect.signature(kind).parameters else "train"
    parts = []
    for part in ("train", "test"):
        where = f"[data] path = {path!r}: {part} part of torchvision's {dataset}"
        try:
            found = kind(path, **{named: part if named == "split" else part == "train"}, download=download)
            parts.append(_arrays(found))
        except (OSError, EOFError, RuntimeError, ValueError, LookupError, AssertionError, pickle.PickleError) as error:
            advice = "" if download else "; it is downloaded only with download = true"
            raise DataError(f"{where} cannot be read ({_line(error)}){advice}") from None
    (pixels, labels), test = parts
    names = tuple(map(str, getattr(found, "classes", ()))) or tuple(map(str, range(int(labels.max()) + 1)))
    return of_pixels("torchvision", pixels, labels, names, test)


def _torchvision() -> ModuleType:
    """Import its data sets."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # the second where it was built for another version of torch
        raise DataError(
            f"[data] name = 'torchvision': it cannot be imported ({_line(error)}); "
            'pip install "thermo-theory[torchvision]"'
        ) from None
    found: ModuleType = datasets
    return found


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _arrays(found: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All samples of one part: pixels (sample, height, width, channel), and labels."""
    labels = np.empty(len(found), dtype=np.int64)
    pictures: list[NDArray[np.uint8]] = []
    for number in range(len(found)):
        image, labels[number] = found[number]
        pictures.append(np.asarray(image, dtype=np.uint8))
    pixels = np.stack(pictures)
    return pixels.reshape(*pixels.shape[:3], -1), labels
