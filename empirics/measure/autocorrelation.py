"""How long a series remembers: autocorrelation time and effective sample size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.rounding import constant, scale_of

__all__ = ["autocorrelation", "integrated_time", "memory", "series_autocorrelation", "unbiased"]

#: A sum of autocorrelations is broken off at this many autocorrelation times (Sokal's window): longer sums add noise.
WINDOW = 5.0

#: Correlations below this are forgotten, for a Theiler window.
FORGOTTEN = 0.05


def autocorrelation(gram: ArrayLike) -> NDArray[np.float64]:
    """Autocorrelation of a vector series from the inner products of its centred rows.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        ``gram[i, j]``: inner product of rows i and j, the mean row taken off.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Mean inner product at each lag, over that at lag 0.

    Examples
    --------
    >>> x = np.array([1.0, -1.0, 1.0, -1.0])
    >>> autocorrelation(np.outer(x, x))
    array([ 1., -1.,  1., -1.])
    """
    matrix = np.asarray(gram)
    means = np.array([np.diagonal(matrix, lag).mean(dtype=np.float64) for lag in range(len(matrix))])
    # Rows that are all the same never forget.
    return np.asarray(means / means[0]) if means[0] > 0 else np.ones(len(matrix))


def series_autocorrelation(x: ArrayLike) -> NDArray[np.float64]:
    """Autocorrelation of a series of numbers, its mean taken off, by Fourier transform.

    Parameters
    ----------
    x : array_like, shape (n,)

    Returns
    -------
    numpy.ndarray, shape (n,)
        Mean product at each lag, over that at lag 0; 1 at every lag for a constant series, which never forgets.

    Examples
    --------
    >>> series_autocorrelation([1.0, -1.0, 1.0, -1.0])
    array([ 1., -1.,  1., -1.])
    """
    values = np.asarray(x, dtype=float)
    n = len(values)
    if constant(values):
        return np.ones(n)
    values = values / scale_of(values)
    centred = values - values.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    means = np.fft.irfft(power, 2 * n)[:n] / np.arange(n, 0, -1)
    return np.asarray(means / means[0])


def integrated_time(correlation: ArrayLike, rows: int | None = None) -> float:
    """Integrated autocorrelation time, ``1 + 2 sum of correlations``, in rows; n rows are worth n over it.

    Parameters
    ----------
    correlation : array_like, shape (n,)
        Correlation at lags 0, 1, 2, ...
    rows : int, optional
        Length of the series if the correlation was estimated from it with its mean taken off. That makes every
        correlation too small, by about time/rows, and slow series look fast; here it is put right.

    Returns
    -------
    float
        At least 1; the sum ends at the first lag beyond `WINDOW` times its own value (Sokal 1989). With `rows`, at most
        that: a series that does not forget within its own length is worth one row, not more.

    Notes
    -----
    With M lags summed to t, the true time is ``t/(1 - (2M + 1 - t)/rows)``: the solution of ``time = 1 + 2 sum_1^M
    [c (1 - time/rows) + time/rows]``.

    Examples
    --------
    >>> round(integrated_time(0.5 ** np.arange(200.0)), 3)  # exact: (1 + 1/2)/(1 - 1/2) = 3
    3.0
    """
    times = 2 * np.cumsum(np.asarray(correlation, dtype=float)) - 1
    inside = np.arange(len(times)) >= WINDOW * times
    end = int(np.argmax(inside)) if inside.any() else len(times) - 1
    time = float(times[end])
    if rows is None or time <= 0:
        return max(time, 1.0)
    share = 1 - (2 * end + 1 - time) / rows
    if not inside.any() or time >= share * rows:
        return float(rows)
    return max(time / share, 1.0)


def unbiased(correlation: ArrayLike, time: float) -> NDArray[np.float64]:
    """Correlation of a series without what taking its own mean off took from it.

    Parameters
    ----------
    correlation : array_like, shape (n,)
        Estimated from n rows with their mean taken off.
    time : float
        Integrated autocorrelation time, in rows.

    Returns
    -------
    numpy.ndarray, shape (n,)

    Examples
    --------
    >>> unbiased([1.0, 0.0, -0.5, -0.5], 1.0)
    array([ 1.   ,  0.25 , -0.125, -0.125])
    """
    values = np.asarray(correlation, dtype=float)
    share = min(time / len(values), 1.0)
    return np.asarray(values * (1 - share) + share)


def memory(correlation: ArrayLike, level: float = FORGOTTEN) -> int:
    """First lag at which the correlation is below a level; half the series if it never is.

    Examples
    --------
    >>> memory(0.5 ** np.arange(10.0))
    5
    """
    below = np.flatnonzero(np.asarray(correlation) < level)
    return int(below[0]) if len(below) else len(np.asarray(correlation)) // 2
