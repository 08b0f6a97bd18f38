"""The user's own arrays, from a ``.npz`` file."""

import zipfile

import numpy as np
from numpy.typing import NDArray

from empirics.data.dataset import DataError, Dataset


def load_arrays(path: str) -> Dataset:
    """Read ``inputs`` and ``labels`` from a file that ``numpy.savez`` wrote; the inputs are taken as they are.

    Parameters
    ----------
    path
        The file. `inputs` is (sample, feature), (sample, token, entry) of sequences or (sample, channel, height, width)
        of images; `labels` is (sample,), whole numbers from 0 to the number of classes less one.

    Returns
    -------
    Dataset
        Inputs as rows, float64.

    Raises
    ------
    DataError
        If the file cannot be read or does not hold such arrays; the message says what would be right.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("inputs", "labels") if name in stored}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "not a file that numpy.savez wrote"
        raise DataError(f"[data] path = {path!r}: cannot be read ({reason})") from None
    for name in ("inputs", "labels"):
        if name not in arrays:
            raise DataError(f"[data] path = {path!r}: holds no array {name!r}, it must hold 'inputs' and 'labels'")
    inputs, labels = arrays["inputs"], arrays["labels"]
    if not 2 <= inputs.ndim <= 4 or inputs.dtype.kind not in "fiu" or not inputs.size:
        raise DataError(f"[data] path = {path!r}: inputs {inputs.dtype}{inputs.shape} must be numbers, (sample, ...)")
    if not np.isfinite(inputs).all():
        raise DataError(f"[data] path = {path!r}: inputs must be finite, sample {_first_bad(inputs)} is not")
    if labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"[data] path = {path!r}: labels {labels.dtype}{labels.shape} must be whole numbers, ({len(inputs)},)"
        )
    return Dataset("arrays", _rows(inputs), labels.astype(np.int64), classes_of(labels, path), _shape(inputs))


def _first_bad(inputs: NDArray) -> int:
    return int(np.flatnonzero(~np.isfinite(inputs).reshape(len(inputs), -1).all(1))[0])


def _rows(inputs: NDArray) -> NDArray[np.float64]:
    return np.ascontiguousarray(inputs.reshape(len(inputs), -1), dtype=np.float64)


def _shape(inputs: NDArray) -> tuple[int, ...]:
    return inputs.shape[1:] if inputs.ndim > 2 else ()


def classes_of(labels: NDArray, path: str) -> int:
    """Count the classes, 0 to the largest label, and refuse gaps.

    Raises
    ------
    DataError
        If a class has no sample.
    """
    found = np.unique(labels)
    expected = np.arange(max(int(found[-1]) + 1, 2))
    missing = np.setdiff1d(expected, found)
    if found[0] < 0 or len(missing):
        what = f"label {found[0]} is negative" if found[0] < 0 else f"class {missing[0]} has no sample"
        raise DataError(f"[data] path = {path!r}: {what}, labels must be 0 to the number of classes less one")
    return len(expected)
