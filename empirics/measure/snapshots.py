"""What the snapshots of one run tell of its directions: their entropy, and how they are related in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.measure.calibration import entropy_bias
from empirics.measure.on_device import norms, there
from empirics.measure.product import product_entropies

__all__ = ["snapshot_entropies"]


def snapshot_entropies(
    weights: Any, sizes: Sequence[int], directions: Sequence[int]
) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Entropy of the directions of a run by nearest neighbours, and whether it is a path entropy.

    Parameters
    ----------
    weights : numpy.ndarray or torch.Tensor, shape (n, N)
        Snapshots in time order, without their components along flat directions. Those of a card are measured there.
    sizes : sequence of int
        Numbers of consecutive columns that form a sphere each; they add up to N.
    directions : sequence of int
        Dimension m_l of each sphere: its number of weights, less flat directions, less 1.

    Returns
    -------
    summary : dict of str to float
        `entropy_sphere` (nat) without and `entropy_sphere_theiler` with a Theiler window, `entropy_bias` (nat) and its
        error, `effective_sample_size`, the median size of `neighbour_lag` (snapshots), `path_entropy` (1 or 0). On
        several spheres also `entropy_lengths` = Σ m_l E log(r_l/r) (nat), which is contained in the entropies: the
        directions w/r are on a product of spheres of radii r_l/r.
    lags : numpy.ndarray, shape (n,)
        Lag of the nearest neighbour of each snapshot.

    Raises
    ------
    ValueError
        If there is no density: too few snapshots, or a run that does not move; see :func:`product_entropies`.

    Examples
    --------
    >>> steps = np.random.default_rng(0).standard_normal((60, 40))
    >>> walk = 5 + 0.1 * np.cumsum(steps, axis=0)  # its nearest neighbours are those in time
    >>> summary, lags = snapshot_entropies(walk, (40,), (39,))
    >>> bool(summary["path_entropy"]), summary["neighbour_lag"]
    (True, 1.0)
    """
    plain, apart = product_entropies(weights, sizes, sum(directions))
    lengths = _lengths(weights, sizes, directions) if len(sizes) > 1 else 0.0
    bias, error = entropy_bias(weights, sizes, sum(directions), plain.effective_sample_size)
    summary = {
        "entropy_sphere": plain.value + lengths,
        "entropy_sphere_theiler": apart.value + lengths,
        "effective_sample_size": plain.effective_sample_size,
        "neighbour_lag": float(np.median(np.abs(plain.lags))),
        "path_entropy": float(plain.path_entropy),
        "entropy_bias": bias,
        "entropy_bias_error": error,
    }
    return summary | ({"entropy_lengths": lengths} if len(sizes) > 1 else {}), plain.lags


def _lengths(weights: Any, sizes: Sequence[int], directions: Sequence[int]) -> float:
    """Contribution of the relative radii of the spheres to the entropy; neighbours are searched on unit spheres."""
    if there(weights):
        parts, whole = norms(weights, sizes), norms(weights, (sum(sizes),))[0]
    else:
        rows = np.asarray(weights, dtype=float)  # in float32 a norm has seven digits, and m of their logarithms count
        parts = np.stack([np.linalg.norm(part, axis=1) for part in np.split(rows, np.cumsum(sizes)[:-1], axis=1)])
        whole = np.linalg.norm(rows, axis=1)
    return float(np.asarray(directions) @ (np.log(parts).mean(1) - np.log(whole).mean()))
