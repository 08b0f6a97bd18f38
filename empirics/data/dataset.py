"""The common form of data sets."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from empirics.experiment import ExperimentError

#: Packed files may unpack to so many bytes, or to so many times their size.
UNPACKED = 256 << 20, 100


class DataError(ExperimentError):
    """Data are unavailable or not as requested; one line says what and where."""


@dataclass(frozen=True)
class Dataset:
    """Samples as rows, with their classes.

    Attributes
    ----------
    name
        The name used in experiment files.
    inputs
        Shape (sample, feature), float64 (float32 for images), no unit.
    labels
        Shape (sample,), int64, ``0 ... classes - 1``.
    classes
        Number of classes.
    shape
        Shape of a sample in row-major order: (channel, height, width) of an image, (token, feature) of a sequence, else
        ().
    class_names
        Names of the classes, if any.
    test_inputs, test_labels
        Samples that are never trained on, preprocessed with the statistics of the training part: shapes
        (test sample, feature) and (test sample,), types as above; both None without a test set.
    """

    name: str
    inputs: NDArray[np.floating]
    labels: NDArray[np.int64]
    classes: int
    shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    test_inputs: NDArray[np.floating] | None = None
    test_labels: NDArray[np.int64] | None = None

    @property
    def checksum(self) -> str:
        """SHA-256 of the arrays, their shapes and types, test set included: equal checksums mean the same data."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels, self.test_inputs, self.test_labels):
            if array is None:  # skipped: data without a test set keep the checksum from before test sets existed
                continue
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def standardise(images: NDArray[np.float64], fit: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Drop constant columns and give every other one mean 0 and variance 1 over the fitted samples.

    A constant pixel carries no information, and its weight would receive no gradient: it would only decay, and count
    as a dimension of the gas that does not move.

    Parameters
    ----------
    images
        Shape (sample, pixel).
    fit
        The samples that are fitted, shape (other sample, pixel): the training part; `images` by default.

    Returns
    -------
    NDArray
        Shape (sample, pixels that vary).

    Examples
    --------
    >>> standardise(np.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[-1.],
           [ 1.]])
    >>> standardise(np.array([[5.0, 8.0]]), fit=np.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[3.]])
    """
    fit = images if fit is None else fit
    varying = np.ptp(fit, axis=0) > 0
    seen = fit[:, varying]
    return np.ascontiguousarray((images[:, varying] - seen.mean(axis=0)) / seen.std(axis=0))


def standardise_channels(images: NDArray[np.float64], fit: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Give every channel mean 0 and variance 1 over all pixels of all fitted images.

    Parameters
    ----------
    images
        Shape (sample, channel, height, width).
    fit
        The images that are fitted, in the same form: the training part; `images` by default.

    Returns
    -------
    NDArray
        The same shape.

    Examples
    --------
    >>> standardise_channels(np.array([[[[1.0, 3.0]]]]))
    array([[[[-1.,  1.]]]])
    """
    fit = images if fit is None else fit
    mean = fit.mean(axis=(0, 2, 3), keepdims=True)
    return (images - mean) / fit.std(axis=(0, 2, 3), keepdims=True)


def most_unpacked(size: int) -> int:
    """The most bytes that a packed file of a size may unpack to: data shrink to a tenth, a bomb to a thousandth.

    >>> most_unpacked(5 << 20) >> 20
    500
    """
    return max(UNPACKED[0], UNPACKED[1] * size)
