"""Exact nearest neighbours among many directions in many dimensions, and how the directions forget, from one matrix.

Everything comes from the Gram matrix of the centred rows, worked on in blocks, so that memory does not grow with n^2
nor with n d beyond the samples themselves. Blocks are multiplied in float32 where float64 would take too long; the best
candidates are recomputed in float64, and where float32 cannot tell them from others, those others too. Centred first:
near a pole all directions have almost the same inner product, and float32 would see nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Directions", "Gram", "autocovariance", "nearest", "possible_neighbours"]

FloatArray = NDArray[np.float64]

#: Blocks are multiplied in float32 above this many multiplications in all.
FLOAT64_WORK = 2e9

#: Bytes of a block of rows in float64; some six are held at a time.
BLOCK_BYTES = 2**25

#: Blocks of float64 that make one of float32: matrix products of few rows are slow.
FLOAT32_BLOCKS = 4

#: Blocks of float32 that are multiplied by all later ones once they are made, so that those are made less often.
PANEL = 2

#: Bytes of the rows that are brought to unit norm at a time: they stay in the processor's cache.
CACHED_BYTES = 2**20

#: The Gram matrix is kept between passes if it takes no more bytes than this; n = 8,000 in float32.
CACHE_BYTES = 2**28

#: Candidates kept for the exact recomputation, beyond those wanted.
CANDIDATES = 6

#: Squared distances from inner products of length d are trusted to this many units in the last place times sqrt(d).
ROUND_OFF = 4.0


def _squares(rows: FloatArray) -> FloatArray:
    """Squared norm of every row."""
    return np.asarray(np.linalg.vecdot(rows, rows) if hasattr(np.linalg, "vecdot") else (rows * rows).sum(axis=1))


class Directions:
    """Rows of unit norm, made block by block from samples that are not copied.

    Parameters
    ----------
    x : numpy.ndarray, shape (n, d)
        Samples of any norm, in float32 or float64.
    largest : numpy.ndarray, shape (n,)
        The largest absolute value of each row, so that its norm neither overflows nor vanishes.
    """

    def __init__(self, x: NDArray[np.floating], largest: FloatArray) -> None:
        self.x, self.largest = x, largest
        self.n, self.d = x.shape
        self.block = max(1, min(self.n, BLOCK_BYTES // (8 * self.d)))
        self.norms = np.ones(self.n)
        total = np.zeros(self.d)
        for rows in self.few(slice(0, self.n)):
            here = x[rows].astype(np.float64)
            here /= largest[rows, None]
            self.norms[rows] = np.sqrt(_squares(here))
            total += (1 / self.norms[rows]) @ here
        #: Mean direction, not normalised, shape (d,).
        self.mean = total / self.n
        with np.errstate(over="ignore"):
            #: Inverse norms, shape (n,); infinite where a row is so small that its norm has none.
            self.inverse = 1 / (largest * self.norms)
        # Far from the ends of the floats, so that it can be divided by a scale that is as small as rounding.
        self.ordinary = bool(((self.inverse > 1e-150) & (self.inverse < 1e150)).all())

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> FloatArray:
        """Rows at unit norm, in float64."""
        return self.over(1.0, rows)

    def over(self, scale: float, rows: slice | NDArray[np.int64] | int) -> FloatArray:
        """Rows of norm 1/scale, in float64."""
        picked = self.x[rows].astype(np.float64)
        if self.ordinary:
            picked *= self.inverse[rows][..., None] / scale
        else:
            picked /= self.largest[rows][..., None]
            picked /= self.norms[rows][..., None] * scale
        return picked

    def blocks(self) -> Iterator[slice]:
        """Consecutive slices of all rows."""
        for start in range(0, self.n, self.block):
            yield slice(start, min(start + self.block, self.n))

    def few(self, rows: slice) -> Iterator[slice]:
        """Consecutive slices of some rows, so small that a pass over one finds it in the cache."""
        step = max(1, CACHED_BYTES // (8 * self.d))
        for start in range(rows.start, rows.stop, step):
            yield slice(start, min(start + step, rows.stop))

    def centred(self, rows: slice, scale: float, kind: type[np.floating]) -> NDArray[np.floating]:
        """Rows less their mean, over a scale."""
        found = np.empty((rows.stop - rows.start, self.d), dtype=kind)
        mean = self.mean / scale
        for part in self.few(rows):
            here = self.over(scale, part)
            here -= mean
            found[part.start - rows.start : part.stop - rows.start] = here
        return found


class Gram:
    """Inner products of centred rows in units of their mean square, block by block: the upper triangle.

    Parameters
    ----------
    rows : Directions
        The rows.

    Notes
    -----
    Blocks are kept if all of them fit into `CACHE_BYTES`, and made anew each time if not.
    """

    def __init__(self, rows: Directions) -> None:
        self.rows = rows
        n, d = rows.n, rows.d
        squares = np.empty(n)
        for part in rows.few(slice(0, n)):
            here = rows[part]
            here -= rows.mean
            squares[part] = _squares(here)
        #: Mean square of the centred rows, the unit.
        self.unit = float(squares.mean()) or 1.0
        #: Squares of the centred rows, in that unit, shape (n,).
        self.squares = squares / self.unit
        self.kind: type[np.floating] = np.float64 if n * n * d <= FLOAT64_WORK else np.float32
        self._cache: list[tuple[slice, slice, NDArray[np.floating]]] = []

    def blocks(self) -> Iterator[tuple[slice, slice, NDArray[np.floating]]]:
        """Blocks on and above the diagonal, each with its rows and columns."""
        if self._cache:
            yield from self._cache
            return
        keep = self.rows.n**2 * np.dtype(self.kind).itemsize <= CACHE_BYTES
        made = []
        for one in self._made():
            if keep:
                made.append(one)
            yield one
        self._cache = made

    def _made(self) -> Iterator[tuple[slice, slice, NDArray[np.floating]]]:
        """Blocks, multiplied: a panel of rows by itself, block by block, and by every block after it."""
        rows, scale, single = self.rows, np.sqrt(self.unit), self.kind is np.float32
        block = rows.block * (FLOAT32_BLOCKS if single else 1)
        size = block * (PANEL if single else 1)
        for start in range(0, rows.n, size):
            panel = slice(start, min(start + size, rows.n))
            left = rows.centred(panel, scale, self.kind)
            for i in range(0, len(left), block):
                for j in range(i, len(left), block):
                    one, other = left[i : i + block], left[j : j + block]
                    yield _after(start + i, one), _after(start + j, other), one @ other.T
            for column in range(panel.stop, rows.n, block):
                second = slice(column, min(column + block, rows.n))
                yield panel, second, left @ rows.centred(second, scale, self.kind).T

    def row_block(self, picked: NDArray[np.int64]) -> NDArray[np.floating]:
        """Rows of the matrix, as round as its blocks are, shape (picked, n)."""
        rows, scale = self.rows, np.sqrt(self.unit)
        left = (rows.over(scale, picked) - rows.mean / scale).astype(self.kind)
        return np.concatenate([left @ rows.centred(part, scale, self.kind).T for part in rows.blocks()], axis=1)

    def whole(self) -> FloatArray:
        """All of it, shape (n, n), 8 n^2 bytes, in its unit."""
        matrix = np.empty((self.rows.n, self.rows.n))
        for first, second, block in self.blocks():
            matrix[first, second] = block
            matrix[second, first] = block.T
        return matrix


def _after(start: int, rows: NDArray[np.floating]) -> slice:
    """Where rows stand that begin at `start`."""
    return slice(start, start + len(rows))


def autocovariance(gram: Gram) -> FloatArray:
    """Mean inner product of centred rows at each lag, shape (n,).

    Parameters
    ----------
    gram : Gram
        Of the rows in the order of time.

    Returns
    -------
    numpy.ndarray, shape (n,)
        At lag 0 the mean square.
    """
    n = gram.rows.n
    sums = np.zeros(n)
    for first, second, block in gram.blocks():
        p, q = block.shape
        padded = np.zeros((p, p + q))
        padded[:, :q] = block[::-1]
        # Read with one column less, each row is shifted by one more: columns are then the diagonals of the block.
        diagonals = padded.ravel()[: p * (p + q - 1)].reshape(p, p + q - 1).sum(axis=0)
        lags = second.start - first.start + np.arange(p + q - 1) - (p - 1)
        upper = lags >= 0
        sums[lags[upper]] += diagonals[upper]
    return np.asarray(gram.unit * sums / np.arange(n, 0, -1))


def possible_neighbours(n: int, window: int) -> NDArray[np.int64]:
    """How many rows each row has outside its window.

    >>> possible_neighbours(5, 1)
    array([3, 2, 2, 2, 3])
    """
    place = np.arange(n)
    return np.maximum(place - window, 0) + np.maximum(n - 1 - place - window, 0)


def nearest(gram: Gram, window: int, k: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Find the nearest neighbours of every row outside a window, exactly.

    Parameters
    ----------
    gram : Gram
        Of the n rows.
    window : int
        Neighbours with at most this lag are left out.
    k : int
        How many neighbours; each row must have as many.

    Returns
    -------
    index : numpy.ndarray, shape (n, k + 1)
        Nearest neighbours, the nearest first; only k where some row has no more.
    distance : numpy.ndarray, shape (n, k + 1)
        Their chords, in float64.

    Notes
    -----
    Time: n^2 d/2 multiplications, and twice as many again for rows whose neighbours float32 cannot tell apart. Memory
    beside the samples: some six blocks of `BLOCK_BYTES` in float64, twelve in float32, `CACHE_BYTES`, and 16 bytes for
    each of the k + 7 candidates of each row.
    """
    n, d = gram.rows.n, gram.rows.d
    search = _Search(n, min(k + 1 + CANDIDATES, int(possible_neighbours(n, window).min())), window)
    for first, second, block in gram.blocks():
        far = gram.squares[first, None] + gram.squares[None, second] - 2.0 * block
        search.look(first, second, far)
        if second.start != first.start:
            search.look(second, first, far.T)
    round_off = ROUND_OFF * float(np.finfo(gram.kind).eps) * np.sqrt(d) * (gram.squares + gram.squares.max())
    return _Winners(gram, search, k, round_off).found()


class _Search:
    """The nearest candidates of every row so far."""

    def __init__(self, n: int, keep: int, window: int) -> None:
        self.keep, self.window = keep, window
        self.far = np.full((n, keep), np.inf)
        self.index = np.zeros((n, keep), dtype=np.int64)

    def look(self, rows: slice, others: slice, far: NDArray[np.floating]) -> None:
        """Take those of a block of squared distances that are nearer than what there is."""
        i, j = np.arange(rows.start, rows.stop), np.arange(others.start, others.stop)
        if others.start - rows.stop < self.window and rows.start - others.stop < self.window:
            far = np.where(np.abs(i[:, None] - j[None]) <= self.window, np.inf, far)
        if far.shape[1] > self.keep:
            best = np.argpartition(far, self.keep - 1, axis=1)[:, : self.keep]
            far, j = np.take_along_axis(far, best, axis=1), j[best]
        else:
            j = np.broadcast_to(j, far.shape)
        all_far = np.concatenate([self.far[rows], far], axis=1)
        all_index = np.concatenate([self.index[rows], j], axis=1)
        best = np.argpartition(all_far, self.keep - 1, axis=1)[:, : self.keep]
        self.far[rows] = np.take_along_axis(all_far, best, axis=1)
        self.index[rows] = np.take_along_axis(all_index, best, axis=1)


class _Winners:
    """The k + 1 nearest of every row, by exact distances to all that round-off cannot tell from them.

    Parameters
    ----------
    gram
        Of the rows.
    search
        The nearest candidates by rounded distances.
    k
        How many are wanted.
    round_off
        By how much a squared distance may be wrong in either direction, in the unit of the matrix, shape (n,).
    """

    def __init__(self, gram: Gram, search: _Search, k: int, round_off: FloatArray) -> None:
        self.gram, self.search, self.round_off = gram, search, round_off
        self.wanted = min(k + 1, search.keep)

    def found(self) -> tuple[NDArray[np.int64], FloatArray]:
        """Index and distance, each of shape (n, k + 1)."""
        n = self.gram.rows.n
        index = np.empty((n, self.wanted), dtype=np.int64)
        distance = np.empty((n, self.wanted))
        unsure = []
        for row in range(n):
            far = self.search.far[row]
            index[row], distance[row] = self._nearest(row, self.search.index[row], far)
            # Beyond the furthest candidate, less round-off, others may hide that were not kept.
            hidden = self.search.keep < self._others[row]
            if hidden and distance[row, -1] ** 2 > self.gram.unit * (far.max() - self.round_off[row]):
                unsure.append(row)
        for start in range(0, len(unsure), self.gram.rows.block):
            part = np.array(unsure[start : start + self.gram.rows.block])
            for row, far in zip(part, self._rounded(part), strict=True):
                index[row], distance[row] = self._nearest(row, np.arange(n), far)
        return index, distance

    @cached_property
    def _others(self) -> NDArray[np.int64]:
        return possible_neighbours(self.gram.rows.n, self.search.window)

    def _rounded(self, picked: NDArray[np.int64]) -> FloatArray:
        """Rounded squared distances from some rows to all; infinite within the window, shape (picked, n)."""
        squares = self.gram.squares
        far = squares[picked, None] + squares - 2.0 * self.gram.row_block(picked)
        far[np.abs(picked[:, None] - np.arange(len(squares))) <= self.search.window] = np.inf
        return np.asarray(far)

    def _nearest(self, row: int, index: NDArray[np.int64], far: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
        """Nearest by exact distances, of equal ones the earlier row; those too far in any case left out."""
        rows, wanted = self.gram.rows, self.wanted
        candidates = np.sort(index[far <= np.partition(far, wanted - 1)[wanted - 1] + 2 * self.round_off[row]])
        here, exact = rows[row], np.empty(len(candidates))
        for i, other in enumerate(candidates):
            apart = rows[int(other)]
            apart -= here
            exact[i] = math.sqrt(apart @ apart)
        order = np.argsort(exact, kind="stable")[:wanted]
        return candidates[order], exact[order]
