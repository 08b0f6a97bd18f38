"""Composition of permutations: both factors one-hot, every pair once. The group is not commutative."""

from itertools import permutations

import numpy as np

from empirics.data.dataset import Dataset


def load_permutations(letters: int) -> Dataset:
    """Make all pairs (a, b) of permutations, each a sequence of two one-hot tokens, with the class of a ∘ b.

    Permutations are numbered in lexicographic order, and (a ∘ b)(i) = a(b(i)). A one is encoded as √(n!), so that the
    mean square of an input is 1.

    Parameters
    ----------
    letters
        Number n of the letters, from 2 to 5.

    Returns
    -------
    Dataset
        ``(n!)²`` samples in order, the second factor varying fastest.

    Examples
    --------
    Composition of (1, 0, 2), which exchanges the first two letters, with every permutation of three:

    >>> table = load_permutations(3)
    >>> table.inputs.shape, table.classes, table.labels.reshape(6, 6)[2].tolist()
    ((36, 12), 6, [2, 3, 0, 1, 5, 4])
    """
    each = np.array(list(permutations(range(letters))))
    count = len(each)
    a, b = (factor.ravel() for factor in np.indices((count, count)))
    places = letters ** np.arange(letters)  # a number for every permutation
    labels = np.empty(letters**letters, dtype=np.int64)
    labels[each @ places] = np.arange(count)
    one_hot = np.eye(count) * np.sqrt(count)
    composed = np.take_along_axis(each[a], each[b], axis=1)
    inputs = np.concatenate([one_hot[a], one_hot[b]], axis=1)
    return Dataset("permutations", inputs, labels[composed @ places], count, (2, count))
