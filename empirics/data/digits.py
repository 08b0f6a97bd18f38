"""The 8x8 handwritten digits that scikit-learn ships: 1,797 images, 10 classes, no download."""

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

from empirics.data.dataset import Dataset, standardise, standardise_channels
from empirics.data.holdout import held_out


def load_digits(test_share: float = 0.0, test_seed: int = 0) -> Dataset:
    """Load the digits, with constant pixels removed (61 of 64 remain) and each pixel standardised.

    Source: UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), the copy in scikit-learn.

    Parameters
    ----------
    test_share, test_seed
        What is held out, see :func:`empirics.data.holdout.held_out`; standardisation is fitted to the other samples
        alone.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.inputs.shape, digits.classes
    ((1797, 61), 10)
    """
    bunch = datasets.load_digits()
    labels = bunch.target.astype(np.int64)
    test = held_out(labels, test_share, test_seed)
    train = bunch.data[~test]
    tests = (standardise(bunch.data[test], train), labels[test]) if test_share else (None, None)
    return Dataset("digits", standardise(train), labels[~test], 10, (), (), *tests)


def load_digit_images(test_share: float = 0.0, test_seed: int = 0) -> Dataset:
    """Load the same digits as images of one channel: all 64 pixels, standardised together.

    Parameters
    ----------
    test_share, test_seed
        As for :func:`load_digits`.

    Examples
    --------
    >>> load_digit_images().shape
    (1, 8, 8)
    """
    bunch = datasets.load_digits()
    labels, images = bunch.target.astype(np.int64), bunch.images[:, None]
    test = held_out(labels, test_share, test_seed)
    train = images[~test]
    tests = (_rows(standardise_channels(images[test], train)), labels[test]) if test_share else (None, None)
    return Dataset("digits-images", _rows(standardise_channels(train)), labels[~test], 10, (1, 8, 8), (), *tests)


def _rows(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return images.reshape(len(images), -1)
