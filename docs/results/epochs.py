"""What minibatches without replacement leave of the covariance of the weights in a quadratic well.

The noise of an epoch adds up to zero (arXiv 2306.05300): the gradients of its M steps have the covariance
``Sigma n/(n - 1) (delta_ij - 1/M)``, with Sigma that of a minibatch drawn with replacement from n samples.
"""

import numpy as np


def share_left(one, other, steps, samples):
    """Covariance of two modes over that with replacement, mean over the steps of an epoch.

    Parameters
    ----------
    one, other : float
        Curvatures of the modes times the learning rate, between 0 and 2.
    steps, samples : int
        Steps per epoch, M, and samples, n = M B.

    Examples
    --------
    A direction that relaxes in much more than an epoch keeps a third of the steps that an epoch is of its memory, as
    far as n/(n - 1) is 1; one that relaxes within a few steps keeps nearly all.

    >>> round(share_left(1e-6, 1e-6, 128, 10**9) / (128 * 1e-6), 3), round(share_left(0.5, 0.5, 128, 10**9), 3)
    (0.333, 0.977)
    """
    first, second = (1 - one) ** np.arange(steps), (1 - other) ** np.arange(steps)
    # Noise that the steps of this epoch have added, after 1, 2, ... of them; by then the beginning has decayed.
    added = samples / (samples - 1) * (np.cumsum(first * second) - np.cumsum(first) * np.cumsum(second) / steps)
    decayed = ((1 - one) * (1 - other)) ** np.arange(1, steps + 1)
    start = added[-1] / (1 - decayed[-1])
    return float((start * decayed + added).mean() * (1 - decayed[0]))
