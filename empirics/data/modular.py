"""Modular addition: both summands one-hot, every pair once."""

import numpy as np

from empirics.data.dataset import Dataset


def load_modular_addition(modulus: int) -> Dataset:
    """Make all pairs (a, b), each a sequence of two one-hot tokens, with the class ``(a + b) mod modulus``.

    A one is encoded as √modulus, so that the mean square of an input is 1.

    Parameters
    ----------
    modulus
        At least 2.

    Returns
    -------
    Dataset
        ``modulus²`` samples in order, the second summand varying fastest.

    Examples
    --------
    >>> pairs = load_modular_addition(3)
    >>> pairs.inputs.shape, pairs.shape, pairs.labels.tolist()
    ((9, 6), (2, 3), [0, 1, 2, 1, 2, 0, 2, 0, 1])
    """
    a, b = (summand.ravel() for summand in np.indices((modulus, modulus)))
    one_hot = np.eye(modulus) * np.sqrt(modulus)
    inputs = np.concatenate([one_hot[a], one_hot[b]], axis=1)
    return Dataset("modular-addition", inputs, (a + b) % modulus, modulus, (2, modulus))
