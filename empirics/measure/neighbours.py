"""Exact nearest neighbours among many directions in many dimensions, and how the directions forget, from one matrix.

Everything comes from the Gram matrix of the centred rows, worked on in blocks, so that memory does not grow with n^2
nor with n d beyond the samples themselves. Blocks are multiplied in float32 where float64 would take too long; the best
candidates are recomputed in float64, and a row whose candidates float32 cannot tell from the rest is searched anew in
float64. Centred first: near a pole all directions have almost the same inner product, and float32 would see nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Directions", "Gram", "autocovariance", "nearest", "possible_neighbours"]

FloatArray = NDArray[np.float64]

#: Blocks are multiplied in float32 above this many multiplications in all.
FLOAT64_WORK = 2e9

#: Bytes of a block of rows in float64; some six are held at a time.
BLOCK_BYTES = 2**25

#: Blocks of float32 that are multiplied by all later ones once they are made, which takes longer than multiplying.
PANEL = 4

#: Bytes of the rows that are brought to unit norm at a time: they stay in the processor's cache.
CACHED_BYTES = 2**20

#: The Gram matrix is kept between passes if it takes no more bytes than this; n = 8,000 in float32.
CACHE_BYTES = 2**28

#: Candidates kept for the exact recomputation, beyond those wanted.
CANDIDATES = 6

#: Squared distances from inner products of length d are trusted to this many units in the last place times sqrt(d).
ROUND_OFF = 4.0


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
            here = self[rows]
            self.norms[rows] = np.linalg.norm(here, axis=1)
            here /= self.norms[rows, None]
            total += here.sum(axis=0)
        #: Mean direction, not normalised, shape (d,).
        self.mean = total / self.n

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> FloatArray:
        """Rows at unit norm, in float64."""
        picked = self.x[rows].astype(np.float64)
        picked /= self.largest[rows][..., None]
        picked /= self.norms[rows][..., None]
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
        for part in self.few(rows):
            here = self[part]
            here -= self.mean
            here /= scale
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
            squares[part] = np.linalg.vecdot(here, here) if hasattr(np.linalg, "vecdot") else (here * here).sum(axis=1)
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
        rows, scale = self.rows, np.sqrt(self.unit)
        size = rows.block * (PANEL if self.kind is np.float32 else 1)
        for start in range(0, rows.n, size):
            panel = slice(start, min(start + size, rows.n))
            left = rows.centred(panel, scale, self.kind)
            for second in rows.blocks():
                if second.start < start:
                    continue
                if second.start >= panel.stop:
                    yield panel, second, left @ rows.centred(second, scale, self.kind).T
                    continue
                before = second.start - start
                right = left[before : second.stop - start]
                if before:
                    yield slice(start, second.start), second, left[:before] @ right.T
                yield second, second, right @ right.T

    def whole(self) -> FloatArray:
        """All of it, shape (n, n), 8 n^2 bytes, in its unit."""
        matrix = np.empty((self.rows.n, self.rows.n))
        for first, second, block in self.blocks():
            matrix[first, second] = block
            matrix[second, first] = block.T
        return matrix


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
    Time: n^2 d/2 multiplications. Memory beside the samples: six blocks of `BLOCK_BYTES`, `CACHE_BYTES`, and 16 bytes
    for each of the k + 7 candidates of each row.
    """
    n, d = gram.rows.n, gram.rows.d
    search = _Search(n, min(k + 1 + CANDIDATES, int(possible_neighbours(n, window).min())), window)
    for first, second, block in gram.blocks():
        far = gram.squares[first, None] + gram.squares[None, second] - 2.0 * block
        search.look(first, second, far)
        if second.start != first.start:
            search.look(second, first, far.T)
    unsure = ROUND_OFF * float(np.finfo(gram.kind).eps) * np.sqrt(d) * (gram.squares + gram.squares.max())
    return _winners(gram.rows, search, k, gram.unit * (search.far.max(axis=1) - unsure), 2 * unsure)


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


def _winners(
    rows: Directions, search: _Search, k: int, safe: FloatArray, apart: FloatArray
) -> tuple[NDArray[np.int64], FloatArray]:
    """Recompute the candidates exactly and take the k + 1 nearest.

    Those that are further than the (k + 1)-th by more than `apart`, twice the round-off, cannot be among them. A row
    whose winners are not nearer than `safe`, the squared distance beyond which round-off may have hidden others,
    is searched anew.
    """
    n, keep = rows.n, search.keep
    found = min(k + 1, keep)
    index, distance = np.empty((n, found), dtype=np.int64), np.empty((n, found))
    everybody = possible_neighbours(n, search.window)
    for row in range(n):
        far = search.far[row]
        candidates = search.index[row, far <= np.partition(far, found - 1)[found - 1] + apart[row]]
        exact = np.linalg.norm(rows[candidates] - rows[row], axis=1)
        order = np.argsort(exact, kind="stable")[:found]
        if keep < everybody[row] and exact[order[-1]] ** 2 > safe[row]:
            candidates, exact = _all_distances(rows, row, search.window)
            order = np.argsort(exact, kind="stable")[:found]
        index[row], distance[row] = candidates[order], exact[order]
    return index, distance


def _all_distances(rows: Directions, row: int, window: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Exact distances from one row to all others outside its window."""
    here = rows[row]
    far = np.concatenate([np.linalg.norm(rows[block] - here, axis=1) for block in rows.blocks()])
    others = np.flatnonzero(np.abs(np.arange(rows.n) - row) > window)
    return others, far[others]
