"""Entropy of directions on several spheres at once, which may lie in a part of the space: that of a network's weights.

A filter under BatchNorm, or a matrix under LayerNorm or RMSNorm, is a sphere of its own. All weights together then are
on a product of unit spheres: how long one is against another is no direction, and hardly fluctuates. And flat
directions, which a stationary run has left, make the dimension of a sphere smaller than its number of coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from empirics.measure.entropy import SphereEntropy, sphere_entropies
from empirics.measure.on_device import at_unit_norm, norms, there, to_numpy

__all__ = ["product_entropies"]


def product_entropies(
    x: ArrayLike, sizes: Sequence[int], directions: int, theiler: Sequence[int | Literal["auto"]] = (0, "auto")
) -> list[SphereEntropy]:
    """Differential entropy on a product of unit spheres, by nearest neighbours with the flat ball.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Samples in time order, without what they have along flat directions. Of each part only the direction counts.
    sizes : sequence of int
        Numbers of consecutive columns that are a part each; they add up to d.
    directions : int
        Dimension m of the product: of every part its number of columns, less flat directions, less 1; together.
    theiler : sequence of int or "auto"
        As for :func:`sphere_entropies`.

    Returns
    -------
    list of SphereEntropy
        One per window.

    Raises
    ------
    ValueError
        If the sizes do not add up to d, a part of a row is zero, or m is not from 1 to d - 1; and as for
        :func:`sphere_entropies`.

    Notes
    -----
    Brought to unit norm a row of P parts is on a sphere of which each part has the radius 1/sqrt(P). The distances
    there are those on the product over sqrt(P), so that the entropy is ``S + m log(P)/2``. Of more than one part x is
    copied.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> circles = rng.standard_normal((4000, 4))
    >>> bool(abs(product_entropies(circles, (2, 2), 2)[0].value - 2 * np.log(2 * np.pi)) < 0.06)
    True
    """
    rows: Any = x if there(x) else to_numpy(x)
    if rows.ndim != 2 or sum(sizes) != rows.shape[1]:
        raise ValueError(f"sizes must add up to the {rows.shape[-1]} columns of x, they are {sum(sizes)} in all")
    if len(sizes) > 1:
        rows = _at_unit_norm(rows, sizes)
    more = directions * np.log(len(sizes)) / 2
    return [
        replace(one, value=one.value + more, low=one.low + more, high=one.high + more)
        for one in sphere_entropies(rows, theiler=theiler, directions=directions)
    ]


def _at_unit_norm(x: Any, sizes: Sequence[int]) -> Any:
    """A copy with every part of every row at unit norm."""
    ends = np.cumsum(sizes)
    if there(x):
        zero = np.argwhere(norms(x, sizes) == 0)
        if not len(zero):
            return at_unit_norm(x, sizes)
        x = to_numpy(x)  # which part that is, is said below
    found = np.empty(x.shape, dtype=np.result_type(x.dtype, np.float32))
    for start, stop in zip(ends - np.array(sizes), ends, strict=True):
        lengths = np.linalg.norm(x[:, start:stop].astype(np.float64), axis=1, keepdims=True)
        if not lengths.all():
            raise ValueError(
                f"columns {start} to {stop - 1} of row {int(np.argmin(lengths))} of x are zero: no direction"
            )
        found[:, start:stop] = x[:, start:stop] / lengths
    return found
