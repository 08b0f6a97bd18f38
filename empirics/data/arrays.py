"""The user's own arrays, from a ``.npz`` file."""

import dataclasses
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from empirics.data.dataset import DataError, Dataset

NAMES = ("inputs", "labels")
TEST_NAMES = ("test_inputs", "test_labels")


def load_arrays(path: str) -> Dataset:
    """Read ``inputs`` and ``labels`` from a file that ``numpy.savez`` wrote; the inputs are used unchanged.

    Parameters
    ----------
    path
        The file. `inputs` is (sample, feature), (sample, token, entry) of sequences or (sample, channel, height, width)
        of images; `labels` is (sample,), integers from 0 to the number of classes minus 1. It may also contain a test
        set, `test_inputs` and `test_labels`, of the same form.

    Returns
    -------
    Dataset
        Inputs as rows, float64.

    Raises
    ------
    DataError
        If the file cannot be read or does not contain such arrays; the message says what would be right.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in (*NAMES, *TEST_NAMES) if name in stored}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "not a file that numpy.savez wrote"
        if "Object arrays" in str(error):  # numpy's words; they would be unpickled, which can execute code
            reason = "an array of Python objects; give arrays of numbers"
        raise DataError(f"[data] path = {path!r}: cannot be read ({reason})") from None
    for name in NAMES if not set(TEST_NAMES) & set(arrays) else (*NAMES, *TEST_NAMES):
        if name not in arrays:
            needed = TEST_NAMES if name in TEST_NAMES else NAMES
            raise DataError(
                f"[data] path = {path!r}: has no array {name!r}; it must contain {needed[0]!r} and {needed[1]!r}"
            )
    inputs, labels = _checked(arrays, *NAMES, path)
    classes = classes_of(labels, path)
    data = Dataset("arrays", _rows(inputs), labels, classes, _shape(inputs))
    if TEST_NAMES[0] not in arrays:
        return data
    test_inputs, test_labels = _test_part(arrays, data, path)
    return dataclasses.replace(data, test_inputs=test_inputs, test_labels=test_labels)


def _checked(arrays: dict[str, NDArray], name: str, label: str, path: str) -> tuple[NDArray, NDArray[np.int64]]:
    """Check the inputs and labels of one part."""
    inputs, labels = arrays[name], arrays[label]
    if not 2 <= inputs.ndim <= 4 or inputs.dtype.kind not in "fiu" or not inputs.size:
        raise DataError(f"[data] path = {path!r}: {name} {inputs.dtype}{inputs.shape} must be numbers, (sample, ...)")
    if not np.isfinite(inputs).all():
        raise DataError(f"[data] path = {path!r}: {name} must be finite; sample {_first_bad(inputs)} is not")
    if labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"[data] path = {path!r}: {label} {labels.dtype}{labels.shape} must be integers, ({len(inputs)},)"
        )
    return inputs, labels.astype(np.int64)


def _test_part(arrays: dict[str, NDArray], data: Dataset, path: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Inputs and labels of the test set, which must fit the training part."""
    inputs, labels = _checked(arrays, *TEST_NAMES, path)
    if inputs.shape[1:] != arrays["inputs"].shape[1:]:
        raise DataError(
            f"[data] path = {path!r}: test_inputs {inputs.shape} must have the shape of inputs, "
            f"({', '.join(map(str, ('sample', *arrays['inputs'].shape[1:])))})"
        )
    if len(wrong := labels[(labels < 0) | (labels >= data.classes)]):
        raise DataError(
            f"[data] path = {path!r}: test_labels contain {wrong[0]}; must be 0 to {data.classes - 1}, like labels"
        )
    return _rows(inputs), labels


def _first_bad(inputs: NDArray) -> int:
    return int(np.flatnonzero(~np.isfinite(inputs).reshape(len(inputs), -1).all(1))[0])


def _rows(inputs: NDArray) -> NDArray[np.float64]:
    return np.ascontiguousarray(inputs.reshape(len(inputs), -1), dtype=np.float64)


def _shape(inputs: NDArray) -> tuple[int, ...]:
    return inputs.shape[1:] if inputs.ndim > 2 else ()


def classes_of(labels: NDArray, path: str) -> int:
    """Count the classes, 0 to the largest label, and refuse gaps."""
    found = np.unique(labels)
    gaps = np.flatnonzero(found != np.arange(len(found)))  # never a list of all classes: a label may be 2^40
    if len(gaps) or len(found) < 2:
        missing = int(gaps[0]) if len(gaps) else len(found)
        what = f"label {found[0]} is negative" if found[0] < 0 else f"class {missing} has no sample"
        raise DataError(f"[data] path = {path!r}: {what}; labels must be 0 to the number of classes minus 1")
    return len(found)
