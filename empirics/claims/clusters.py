"""Which runs may share their scatter, and how wide an interval must be for it.

Runs of one grid that share a learning rate or a weight decay may share more: a drift of the schedule, a cache, a batch
order. So errors are always clustered, by cell of the grid, by row and by column (Cameron, Gelbach and Miller 2011), and
the degrees of freedom are those of the few rows and columns. Whether they do share something is not tested first: seven
rows are too few to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from empirics.claims.table import Table

__all__ = ["Clusters", "clusters_of", "critical", "levels"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Logarithms closer than this are one value of what is set.
SAME_LEVEL = 1e-6

#: Fewer rows (or columns) than this cannot say what they share: t with one degree of freedom says nothing.
FEWEST_ROWS = 3

#: Share of the variance that runs of a row or column may have in common for a simultaneous band to keep its 95 %.
SHARED = 0.2

#: Drawn tables for the critical value of a band.
DRAWS = 2000

#: Numbers of a drawn array that are held at once; of up to 2,000 runs all draws are.
DRAWN = 4_000_000


def levels(z: FloatArray) -> IntArray:
    """Number of the level of each run, from 0: runs whose sorted z are closer than `SAME_LEVEL` share one.

    >>> levels(np.array([2.0, 1.0, 1.0 + 1e-9]))
    array([1, 0, 0])
    """
    order = np.argsort(z, kind="stable")
    members = np.empty(len(z), dtype=np.int64)
    members[order] = np.r_[0, np.cumsum(np.diff(z[order]) > SAME_LEVEL)] if len(z) else []
    return members


@dataclass(frozen=True)
class Clusters:
    """Cell, row and column of each run on its grid.

    Attributes
    ----------
    rows, columns : numpy.ndarray of int, shape (runs,)
        Numbers from 0 of what sets the size of steps, and of what else is set.
    """

    rows: IntArray
    columns: IntArray

    @classmethod
    def alone(cls, runs: int) -> Clusters:
        """Every run by itself."""
        return cls(np.arange(runs), np.arange(runs))

    def of(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Clusters:
        """Those of some of the runs."""
        return Clusters(levels(self.rows[chosen].astype(float)), levels(self.columns[chosen].astype(float)))

    @cached_property
    def cells(self) -> IntArray:
        """Number from 0 of the cell of each run."""
        return np.unique(np.c_[self.rows, self.columns], axis=0, return_inverse=True)[1].reshape(-1)

    @cached_property
    def shared(self) -> tuple[IntArray, ...]:
        """Rows and columns, where there are enough of them and they are not the cells once more."""
        cells = self.cells.max(initial=-1) + 1
        return tuple(z for z in (self.rows, self.columns) if FEWEST_ROWS <= z.max(initial=-1) + 1 < cells)

    def freedom(self, free: int) -> int:
        """Degrees of freedom of an interval from a fit of so many parameters."""
        fewest = min((int(z.max()) + 1 for z in self.shared), default=len(self.rows))
        return min(int(self.cells.max(initial=-1)) + 1 - free, fewest - 1)

    def variance(self, scores: FloatArray) -> FloatArray:
        """Variance of sums over runs, from what each run adds to them: shape (..., runs) to (...).

        That of independent cells, and beyond it what rows and what columns have more: never less.
        """
        alone = _squares(scores, self.cells)
        return alone + sum(np.maximum(_squares(scores, z) - alone, 0.0) for z in self.shared)

    def covariance(self, scores: FloatArray) -> FloatArray:
        """Covariance of several such sums, shape (sums, runs) to (sums, sums), made positive the same way."""
        alone = _products(scores, self.cells)
        scale = np.sqrt(np.where(np.diag(alone) > 0, np.diag(alone), 1.0))
        found = alone.copy()
        for z in self.shared:
            value, vector = np.linalg.eigh((_products(scores, z) - alone) / np.outer(scale, scale))
            found += (vector * np.maximum(value, 0.0)) @ vector.T * np.outer(scale, scale)
        return found


def clusters_of(table: Table, among: NDArray[np.bool_] | None = None) -> Clusters:
    """Cells, rows and columns of the runs that a table uses, or of those among them."""
    names = (table.rate, "weight_decay")
    if table.protocol == "fixed-sphere":
        names = ("radius", "lr" if table.missing("effective_lr") else "effective_lr")
    whole = [levels(np.log(table.values(name))) for name in names if not table.missing(name)]
    runs = int(table.used.sum())
    found = Clusters(*whole) if len(whole) == len(names) else Clusters.alone(runs)
    return found if among is None else found.of(among)


def _members(labels: IntArray) -> Iterator[NDArray[np.intp]]:
    """Numbers of the runs of each cluster."""
    order = np.argsort(labels, kind="stable")
    return iter(np.split(order, np.flatnonzero(np.diff(labels[order])) + 1))


def _squares(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Sum over clusters of the square of the sum in each."""
    if len(np.unique(labels)) == len(labels):
        return np.asarray((scores**2).sum(axis=-1))
    return np.asarray(sum(scores[..., one].sum(axis=-1) ** 2 for one in _members(labels)))


def _products(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Sum over clusters of the products of the sums in each."""
    sums = np.stack([scores[:, one].sum(axis=1) for one in _members(labels)])
    return np.asarray(sums.T @ sums)


def critical(design: FloatArray, influence: FloatArray, clusters: Clusters, level: float = 0.95) -> float:
    """Half-width of a simultaneous band in standard errors, for errors that are normal.

    By drawing tables: of independent runs, and of runs that share `SHARED` of their variance with their row, or column;
    the largest of the three. The draws are always the same.

    Parameters
    ----------
    design : numpy.ndarray, shape (runs, coefficients)
        What is fitted by least squares.
    influence : numpy.ndarray, shape (points, runs)
        How the points of the band follow from the runs.
    clusters : Clusters
        Of the runs.
    level : float
        How often the band is to hold everywhere.

    Returns
    -------
    float
        That quantile of the largest deviation over its standard error.
    """
    shapes, labels = (design.shape, influence.shape), (clusters.rows.tobytes(), clusters.columns.tobytes())
    return _critical(design.tobytes(), influence.tobytes(), *shapes, *labels, level)


@lru_cache(maxsize=256)
def _critical(
    design: bytes, influence: bytes, of: tuple[int, int], to: tuple[int, int], rows: bytes, columns: bytes, level: float
) -> float:
    x, a = np.frombuffer(design).reshape(of), np.frombuffer(influence).reshape(to)
    clusters = _clusters(rows, columns)
    basis = np.linalg.qr(x)[0]
    spare = 1 - np.minimum((basis**2).sum(axis=1), 1 - 1e-3)
    found: list[list[FloatArray]] = [[] for _ in range(1 + len(clusters.shared))]
    for part in range(-(-DRAWS // _at_once(len(x)))):
        for one, y in zip(found, _errors(rows, columns, part), strict=True):
            residual = (y - (y @ basis) @ basis.T) / spare
            alone = _drawn(a, residual, clusters.cells)
            variance = alone + sum(np.maximum(_drawn(a, residual, z) - alone, 0.0) for z in clusters.shared)
            one.append(np.sqrt(((y @ a.T) ** 2 / variance).max(axis=1)))
    return float(max(np.quantile(np.concatenate(one), level) for one in found))


def _at_once(runs: int) -> int:
    """How many tables are drawn together, so that their errors fit into `DRAWN`."""
    return min(DRAWS, max(1, DRAWN // runs))


def _clusters(rows: bytes, columns: bytes) -> Clusters:
    return Clusters(np.frombuffer(rows, dtype=np.int64), np.frombuffer(columns, dtype=np.int64))


@lru_cache(maxsize=4)
def _errors(rows: bytes, columns: bytes, part: int) -> list[FloatArray]:
    """Draw errors of independent runs, and of runs that share some with their row, or column: (draws, runs) each.

    Those of a part of all the draws: of many runs not all fit into memory at once.
    """
    clusters = _clusters(rows, columns)
    count = _at_once(len(clusters.rows))
    rng, shape = np.random.default_rng(19 + part), (min(count, DRAWS - part * count), len(clusters.rows))
    tables = [rng.standard_normal(shape)]
    for labels in clusters.shared:
        own = rng.standard_normal(shape)
        together = rng.standard_normal((shape[0], int(labels.max()) + 1))[:, labels]
        tables.append(np.sqrt(1 - SHARED) * own + np.sqrt(SHARED) * together)
    return tables


def _drawn(influence: FloatArray, residual: FloatArray, labels: IntArray) -> FloatArray:
    """Sum over clusters of squared sums, shape (draws, points), without the array of all their products."""
    if len(np.unique(labels)) == len(labels):
        return np.asarray(residual**2 @ (influence**2).T)
    return np.asarray(sum((residual[:, one] @ influence[:, one].T) ** 2 for one in _members(labels)))
