"""What every data set looks like to the rest."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from empirics.experiment import ExperimentError


class DataError(ExperimentError):
    """Data cannot be had, or are not what was asked for; one line says what and where."""


@dataclass(frozen=True)
class Dataset:
    """Images as rows, with their classes.

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
        What the features of a sample are, in row-major order: (channel, height, width) of an image, (token, feature) of
        a sequence, or () where they are neither.
    class_names
        What the classes are called, if they have names.
    """

    name: str
    inputs: NDArray[np.floating]
    labels: NDArray[np.int64]
    classes: int
    shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """SHA-256 of both arrays, their shapes and their types: equal checksums mean the same training data."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def standardise(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop the constant columns and give every other one mean 0 and variance 1.

    A constant pixel says nothing, and its weight would receive no gradient: it would only decay, and count as a
    dimension of the gas that does not move.

    Parameters
    ----------
    images
        Shape (sample, pixel).

    Returns
    -------
    NDArray
        Shape (sample, pixels that vary).

    Examples
    --------
    >>> standardise(np.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[-1.],
           [ 1.]])
    """
    varying = images[:, np.ptp(images, axis=0) > 0]
    return np.ascontiguousarray((varying - varying.mean(axis=0)) / varying.std(axis=0))


def standardise_channels(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give every channel mean 0 and variance 1 over all pixels of all images.

    Parameters
    ----------
    images
        Shape (sample, channel, height, width).

    Returns
    -------
    NDArray
        The same shape.

    Examples
    --------
    >>> standardise_channels(np.array([[[[1.0, 3.0]]]]))
    array([[[[-1.,  1.]]]])
    """
    mean = images.mean(axis=(0, 2, 3), keepdims=True)
    return (images - mean) / images.std(axis=(0, 2, 3), keepdims=True)
