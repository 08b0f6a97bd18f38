"""All nearest neighbours among directions: ours from samples, scikit-learn's from precomputed polar angles."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from benchmarks.contest import Contest, seconds_of
from empirics.measure.entropy import _directions
from empirics.measure.neighbours import Gram, nearest

ROWS, DIMENSION = 4_000, 43_692


def slow(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Snapshots of a strongly correlated path: each is the previous one, turned by a thousandth of a radian."""
    x = np.empty((n, d), dtype=np.float32)
    x[0] = rng.standard_normal(d, dtype=np.float32)
    for i in range(1, n):
        x[i] = x[i - 1] + np.float32(1e-3) * rng.standard_normal(d, dtype=np.float32)
    return x


def independent(n: int, d: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Independent samples close to one direction, as at low temperature: all distances are nearly the same."""
    x = 0.1 * rng.standard_normal((n, d), dtype=np.float32)
    x += rng.standard_normal(d, dtype=np.float32)
    return x


def ours(x: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the nearest neighbour of every row by :mod:`empirics.measure.neighbours`."""
    return nearest(Gram(_directions(x, 1)), 0, 1)[0][:, 0]


def polar_angles(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Polar angles of rows, shape (n, d - 1): angle i lies between coordinate i and the coordinates after it.

    Examples
    --------
    >>> polar_angles(np.array([[1.0, 1.0, np.sqrt(2.0)]])) / np.pi
    array([[0.33333333, 0.30408672]])
    """
    angles = np.empty((len(x), x.shape[1] - 1))
    for i in range(0, len(x), 256):
        part = x[i : i + 256].astype(np.float64)
        rest = np.sqrt(np.cumsum(part[:, ::-1] ** 2, axis=1)[:, ::-1])
        angles[i : i + 256] = np.arctan2(rest[:, 1:], part[:, :-1])
        angles[i : i + 256, -1] = np.arctan2(part[:, -1], part[:, -2])
    return angles


def reference(angles: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the nearest neighbour of every row, excluding itself, by scikit-learn."""
    return np.asarray(NearestNeighbors(n_neighbors=2).fit(angles).kneighbors(return_distance=False)[:, 0])


def contests(quick: bool) -> list[Contest]:
    """A slow path of the paper's size, and half as many independent samples."""
    paths: tuple[tuple[str, Callable[..., NDArray[np.float32]], int], ...] = (
        ("neighbours", slow, ROWS),
        ("neighbours-independent", independent, ROWS // 2),
    )
    return [_contest(name, draw, n // (8 if quick else 1)) for name, draw, n in paths]


def _contest(name: str, draw: Callable[..., NDArray[np.float32]], n: int) -> Contest:
    """Samples and angles are made when the first round needs them: together they take 2 GB."""
    made: list[NDArray[np.floating]] = []

    def samples() -> list[NDArray[np.floating]]:
        if not made:
            x = draw(n, DIMENSION, np.random.default_rng(0))
            made.extend((x, polar_angles(x)))
        return made

    return Contest(
        name=name,
        work=f"nearest neighbours of {n} {draw.__name__} samples of {DIMENSION} weights (float32, exact), against "
        "sklearn NearestNeighbors on polar angles (computing the angles not counted)",
        unit="s",
        ours=lambda: seconds_of(partial(ours, samples()[0])),
        reference=lambda: seconds_of(partial(reference, samples()[1])),
        goal=5.0,
        flops=float(n) ** 2 * DIMENSION,
        bytes=4.0 * n * DIMENSION,
        rounds=1,
        warm=False,
    )
