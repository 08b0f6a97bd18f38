"""A fixed random share of the samples, equal in every class, is held out as a test set."""

import numpy as np
from numpy.typing import NDArray

from empirics.data.dataset import DataError

#: Separates the draw from that of label noise, which may have the same seed.
PURPOSE = 1


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Draw the samples that are held out; the share of every class is rounded to an integer number.

    Parameters
    ----------
    labels
        Shape (sample,).
    share
        Share of each class, from 0 to below 1; with 0 nothing is held out.
    seed
        Seed of the draw.

    Returns
    -------
    NDArray
        Shape (sample,), true for those of the test set.

    Raises
    ------
    DataError
        If a class would have no sample in one of the two parts.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    >>> test = held_out(labels, share=0.5, seed=0)
    >>> np.bincount(labels[test])
    array([3, 2])
    """
    test = np.zeros(len(labels), dtype=np.bool_)
    if not share:
        return test
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(PURPOSE,))))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(share * len(members))
        if not 0 < count < len(members):
            raise DataError(
                f"[data] test_share = {share:g}: holds out {count} of the {len(members)} samples of class {label}; "
                "both parts must have at least one"
            )
        test[rng.permutation(members)[:count]] = True
    return test
