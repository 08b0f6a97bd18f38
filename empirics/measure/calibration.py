"""The bias of a neighbour entropy on a law that is known: the gas in the harmonic well of the run itself.

How far nearest neighbours are off depends on the dimension, on the number of snapshots and on how these hang together,
and all but the first change with the temperature: so does the bias, and a slope of the entropy in it is biased. The
same estimator is therefore asked for the entropy of a law of which it is known: a normal law about the mean direction
with the covariance of the run's own snapshots, whose every principal direction forgets as it does there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.autocorrelation import integrated_time, series_autocorrelation
from empirics.measure.on_device import to_numpy
from empirics.measure.product import product_entropies

__all__ = ["BIAS_SCALES", "entropy_bias"]

FloatArray = NDArray[np.float64]

#: The reference law at the temperature of theory, and where the heat is off by a margin of 5 % in either direction.
BIAS_SCALES = (0.95, 1.0, 1.05)

#: Independent snapshots per direction without which the shape of the well is not known.
SNAPSHOTS_PER_DIRECTION = 4.0


def entropy_bias(x: ArrayLike, sizes: Sequence[int], directions: int, samples: float) -> tuple[float, float]:
    """Bias of the neighbour entropy of a run, by its own reference law, and the error of that.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Snapshots in time order, as :func:`product_entropies` takes them.
    sizes : sequence of int
        Numbers of consecutive columns that are a sphere each.
    directions : int
        Dimension m of their product.
    samples : float
        How many independent snapshots the n are worth.

    Returns
    -------
    bias, error : float
        What the entropy is too large by, and the error of that, in nat: the standard deviation over simulations at the
        temperature of theory and at both edges of the margin, together with what the bias moves by, and is corrected
        for, if the law is made once more from simulated snapshots. NaN where the reference law cannot be made: from
        fewer than 4 m independent snapshots the shape of the well is not known, and directions that are more than a
        right angle from their mean are in no harmonic well.

    Notes
    -----
    Tangent coordinates t about the mean direction, ``u = (1, t)/|(1, t)|`` on every sphere, are normal in the
    reference law; the entropy on the spheres is that of the normal law less the mean of ``sum_l (m_l + 1)/2 log(1 +
    |t_l|^2)``, which is taken over the same simulated snapshots.

    Examples
    --------
    Independent snapshots of a cold gas with 40 directions: neighbours are off by several nats.

    >>> rng = np.random.default_rng(0)
    >>> cold = np.c_[np.ones(400), 0.01 * rng.standard_normal((400, 40))]
    >>> bias, error = entropy_bias(cold, (41,), 40, 400.0)
    >>> bool(bias > 2.0), bool(error < 0.2 * bias)
    (True, True)
    """
    if samples < SNAPSHOTS_PER_DIRECTION * directions:
        return np.nan, np.nan
    rows = np.asarray(to_numpy(x), dtype=float)
    # Of the run's own numbers, so that runs are simulated apart and a run is simulated again as it was.
    rng = np.random.default_rng(crc32(rows[-1].tobytes()))
    try:
        biases, simulated = _biases(rows, sizes, directions, rng)
        again, _ = _biases(simulated, sizes, directions, rng)
    except ValueError:
        return np.nan, np.nan
    # What a law made from so many snapshots differs by from the one they come from, by making it once more.
    moved = float(np.mean(again) - np.mean(biases))
    return float(np.mean(biases)) - moved, float(np.hypot(np.std(biases, ddof=1), moved))


def _biases(
    rows: FloatArray, sizes: Sequence[int], directions: int, rng: np.random.Generator
) -> tuple[list[float], FloatArray]:
    """Bias of the estimator on the reference law of these rows at every scale, and rows of the law at the first."""
    tangents, poles = _tangents(rows, sizes)
    mean = tangents.mean(axis=0)
    left, singular, axes = np.linalg.svd(tangents - mean, full_matrices=False)
    if len(singular) < directions or not singular[directions - 1] > 0:
        raise ValueError("the snapshots do not span the directions")
    spread, axes = singular[:directions] / np.sqrt(len(rows)), axes[:directions]
    times = np.array([integrated_time(series_autocorrelation(one), rows=len(rows)) for one in left[:, :directions].T])
    # Of a series that never forgets within the run nothing can be simulated that would.
    keep = np.minimum((times - 1) / (times + 1), 1 - 2 / len(rows))
    found, laws = [], []
    for scale in BIAS_SCALES:
        simulated = (_path(rng, keep, len(rows)) * spread * np.sqrt(scale)) @ axes + mean
        known = 0.5 * directions * (1 + math.log(2 * math.pi * scale)) + np.log(spread).sum()
        known -= _curvature(simulated, sizes).mean()
        laws.append(_on_spheres(simulated, poles))
        estimate = product_entropies(laws[-1], sizes, directions, theiler=(0,))[0].value
        found.append(estimate - known)
    return found, laws[0]


def _parts(values: FloatArray, sizes: Sequence[int]) -> list[FloatArray]:
    return np.split(values, np.cumsum(sizes)[:-1], axis=-1)


def _tangents(rows: FloatArray, sizes: Sequence[int]) -> tuple[FloatArray, list[FloatArray]]:
    """Tangent coordinates in the space of the rows, and the mean direction of every sphere."""
    found, poles = [], []
    for part in _parts(rows, sizes):
        units = part / np.linalg.norm(part, axis=1, keepdims=True)
        pole = units.mean(axis=0)
        pole = pole / np.linalg.norm(pole)
        cosine = (units @ pole)[:, None]
        if not (cosine > 0).all():
            raise ValueError("a snapshot is more than a right angle from the mean direction")
        found.append(units / cosine - pole)
        poles.append(pole)
    return np.concatenate(found, axis=1), poles


def _on_spheres(tangents: FloatArray, poles: Sequence[FloatArray]) -> FloatArray:
    """Rows from tangent coordinates, of any norm."""
    return tangents + np.concatenate(poles)


def _curvature(tangents: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Minus the logarithm of the area on the spheres over that of the tangent space, row by row."""
    return np.sum([part.shape[1] / 2 * np.log1p((part**2).sum(axis=1)) for part in _parts(tangents, sizes)], axis=0)


def _path(rng: np.random.Generator, keep: FloatArray, rows: int) -> FloatArray:
    """Normal series of variance 1 that forget by these factors from row to row, shape (rows, len(keep))."""
    from scipy.signal import lfilter

    kicks = rng.standard_normal((rows, len(keep)))
    kicks[1:] *= np.sqrt(1 - keep**2)
    return np.stack([lfilter([1.0], [1.0, -k], kick) for k, kick in zip(keep, kicks.T, strict=True)], axis=1)
