"""All nearest neighbours among directions: ours, scikit-learn's, faiss's, and the matrix product that all need."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from benchmarks.contest import Contest, seconds_of
from empirics.measure.entropy import _directions
from empirics.measure.neighbours import Gram, nearest

ROWS, DIMENSION = 4_000, 43_692
#: Rows whose neighbours are computed once more from differences in float64.
CHECKED = 20
Neighbours = NDArray[np.int64]


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


def ours(x: NDArray[np.floating]) -> Neighbours:
    """Find the nearest neighbour of every row by :mod:`empirics.measure.neighbours`."""
    return nearest(Gram(_directions(x, 1)), 0, 1)[0][:, 0]


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit norm."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def centred(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit norm with their mean subtracted, which leaves float32 more digits for their distances."""
    rows = unit(x)
    return rows - rows.mean(axis=0)


def sklearn(rows: NDArray[np.float32]) -> Neighbours:
    """Find the nearest neighbour of every row, excluding itself, by scikit-learn."""
    return np.asarray(NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)[:, 0])


def faiss(rows: NDArray[np.float32]) -> Neighbours:
    """The same by faiss's exhaustive search; the first of two answers that is not the row itself."""
    from faiss import IndexFlatL2, omp_set_num_threads

    omp_set_num_threads(1)
    index = IndexFlatL2(rows.shape[1])
    index.add(rows)
    found = index.search(rows, 2)[1]
    return np.where(found[:, 0] == np.arange(len(rows)), found[:, 1], found[:, 0])


def exact(x: NDArray[np.float32], rows: Neighbours) -> Neighbours:
    """The neighbours of some rows by differences in float64, without a matrix product.

    >>> exact(np.array([[1, 0], [2, 1], [0, 9]], dtype=np.float32), np.array([0, 2])).tolist()
    [1, 1]
    """

    def directions(part: NDArray[np.float32]) -> NDArray[np.float64]:
        return part / np.linalg.norm(part.astype(np.float64), axis=1, keepdims=True)

    chosen = directions(x[rows])
    far = np.hstack([cdist(chosen, directions(x[i : i + 256])) for i in range(0, len(x), 256)])
    far[np.arange(len(rows)), rows] = np.inf
    return far.argmin(axis=1)


def contests(quick: bool) -> list[Contest]:
    """A slow path of the paper's size, and half as many independent samples."""
    paths: tuple[tuple[str, Callable[..., NDArray[np.float32]], int], ...] = (
        ("neighbours", slow, ROWS),
        ("neighbours-independent", independent, ROWS // 2),
    )
    return [_contest(name, draw, n // (8 if quick else 1)) for name, draw, n in paths]


def _contest(name: str, draw: Callable[..., NDArray[np.float32]], n: int) -> Contest:
    """Samples are made when the first round needs them; the answers of the last round are compared."""
    made: list[NDArray[np.float32]] = []
    answers: dict[str, Neighbours] = {}

    def timed(way: str, prepared: Callable[..., NDArray[np.float32]], search: Callable[..., Neighbours]) -> float:
        if not made:
            made.append(draw(n, DIMENSION, np.random.default_rng(0)))
        rows = prepared(made[0])
        return seconds_of(lambda: answers.update({way: search(rows)}))

    def remarks() -> dict[str, str]:
        mine, some = answers.pop("ours"), np.linspace(0, n - 1, CHECKED, dtype=np.int64)
        assert (mine[some] == exact(made[0], some)).all(), "our neighbours are not the nearest ones"
        return {way: f"{100 * np.mean(found != mine):.2g} % of its answers wrong" for way, found in answers.items()}

    rivals = {}
    if installed := find_spec("faiss") is not None:
        rivals["faiss IndexFlatL2"] = partial(timed, "faiss IndexFlatL2", unit, faiss)
        rivals["faiss IndexFlatL2, centred"] = partial(timed, "faiss IndexFlatL2, centred", centred, faiss)
    return Contest(
        name=name,
        work=f"nearest neighbours of {n} {draw.__name__} samples of {DIMENSION} weights (float32, exact); reference: "
        "sklearn NearestNeighbors. Others are given unit vectors, which ours makes",
        unit="s",
        ours=partial(timed, "ours", lambda x: x, ours),
        reference=partial(timed, "reference", unit, sklearn),
        rivals=rivals,
        parts={"x @ x.T alone": lambda: seconds_of(lambda: made[0] @ made[0].T)},
        missing=[] if installed else ["faiss"],
        remarks=remarks,
        goal=2.0,
        flops=float(n) ** 2 * DIMENSION,
        bytes=4.0 * n * DIMENSION,
        rounds=1,
        warm=False,
    )
