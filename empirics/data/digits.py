"""The 8x8 handwritten digits that scikit-learn ships: 1,797 images, 10 classes, no download."""

import numpy as np
from sklearn import datasets

from empirics.data.dataset import Dataset, standardise, standardise_channels


def load_digits() -> Dataset:
    """Load the digits, constant pixels removed (61 of 64 are left), each pixel standardised.

    Source: UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), the copy in scikit-learn.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.inputs.shape, digits.classes
    ((1797, 61), 10)
    """
    bunch = datasets.load_digits()
    return Dataset("digits", standardise(bunch.data), bunch.target.astype(np.int64), classes=10)


def load_digit_images() -> Dataset:
    """Load the same digits as images of one channel: all 64 pixels, standardised together.

    Examples
    --------
    >>> load_digit_images().shape
    (1, 8, 8)
    """
    bunch = datasets.load_digits()
    images = standardise_channels(bunch.images[:, None])
    return Dataset("digits-images", images.reshape(len(images), -1), bunch.target.astype(np.int64), 10, (1, 8, 8))
