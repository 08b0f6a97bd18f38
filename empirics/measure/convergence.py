"""Whether series have been sampled long enough: correlation time, effective sample size, R-hat, drift, jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.autocorrelation import integrated_time, series_autocorrelation
from empirics.measure.rounding import constant, scale_of

__all__ = ["Jumps", "autocorrelation_time", "burn_in", "drift", "effective_sample_size", "periodic_jumps", "r_hat"]

FloatArray = NDArray[np.float64]

#: A rise of log r between two points of a trace counts as a jump if it is this many times larger than the spread of the
#: other changes; a trace of 200 points of normal noise has such a rise once in 10^12.
JUMP_SPREADS = 8.0

#: ... and at least this large: a jump that matters moves the radius, by a third of a per cent or more.
JUMP_SIZE = 3e-3

#: So many jumps make a period.
FEWEST_JUMPS = 3

#: Normal spread over median absolute deviation.
NORMAL_SPREAD = 1.4826


def _chains(x: ArrayLike) -> FloatArray:
    """Check and return series, one per row."""
    chains = np.atleast_2d(np.asarray(x, dtype=float))
    if chains.ndim != 2 or chains.shape[1] < 4:
        raise ValueError(f"series must have shape (chains, n) or (n,) with n of at least 4, got {np.shape(x)}")
    if not np.isfinite(chains).all():
        raise ValueError("series must be finite")
    return chains


def effective_sample_size(x: ArrayLike) -> float:
    """Independent values that series are worth for their mean (Vehtari et al. 2021, without ranks).

    Parameters
    ----------
    x : array_like, shape (chains, n) or (n,)
        Series of the same quantity, one per row: seeds, or one run.

    Returns
    -------
    float
        By arviz-stats, which halves each series, so that a drift shows; 1 if each is constant.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Examples
    --------
    >>> bool(850 < effective_sample_size(np.random.default_rng(0).standard_normal(1000)) < 1150)
    True
    """
    from arviz_stats.base import array_stats

    chains = _chains(x)
    if constant(chains, axis=1).all():
        return 1.0
    return max(float(array_stats.ess(chains / scale_of(chains), chain_axis=0, draw_axis=1, method="mean")), 1.0)


def r_hat(x: ArrayLike) -> float:
    """Potential scale reduction, R-hat, of ranks and folded ranks (Vehtari et al. 2021): 1 if series have mixed.

    Parameters
    ----------
    x : array_like, shape (chains, n) or (n,)
        Series, one per row. One series is compared half with half.

    Returns
    -------
    float
        By arviz-stats. Above 1.01 series have not mixed; infinite if each is constant and they differ.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((4, 500))
    >>> bool(r_hat(noise) < 1.01), bool(r_hat(noise + [[0], [0], [0], [1]]) > 1.05)
    (True, True)
    """
    from arviz_stats.base import array_stats

    chains = _chains(x)
    if len(chains) == 1:
        half = chains.shape[1] // 2
        chains = np.stack([chains[0, :half], chains[0, -half:]])
    if constant(chains, axis=1).all():
        return 1.0 if constant(chains) else float("inf")
    return float(array_stats.rhat(chains / scale_of(chains), chain_axis=0, draw_axis=1, method="rank"))


def autocorrelation_time(x: ArrayLike) -> float:
    """Integrated autocorrelation time of a series of numbers, in its steps.

    Parameters
    ----------
    x : array_like, shape (n,)
        The series.

    Returns
    -------
    float
        At least 1, at most n: a series that does not forget within itself is worth one value. Corrected for the mean
        that is taken off (`integrated_time`); below n/20 the bias is a few per cent.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Examples
    --------
    >>> autocorrelation_time([1.0, -1.0, 1.0, -1.0])
    1.0
    """
    values = _chains(x)[0]
    return integrated_time(series_autocorrelation(values), rows=len(values))


def burn_in(x: ArrayLike) -> int:
    """Number of first values of a series to leave out, so that the mean of the rest has the least standard error.

    Parameters
    ----------
    x : array_like, shape (n,)
        The series.

    Returns
    -------
    int
        At most n/2: a series that needs more is better looked at with `drift`.

    Raises
    ------
    ValueError
        If the shape is another or a number is not finite.

    Notes
    -----
    The marginal standard error rule (White 1997): the variance of the rest over its length is smallest. The scatter of
    a series without a transient makes it leave out some values too, never many that matter.

    Examples
    --------
    >>> burn_in([5.0, 3.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])  # variance/length by hand: 1/2, 0.280, 1/6, 0.192, 1/4
    2
    """
    values = _chains(x)[0]
    left = np.arange(len(values), 0, -1)
    centred = (values - np.median(values[len(values) // 2 :])) / scale_of(values)
    total, square = (np.cumsum(part[::-1])[::-1] for part in (centred, centred**2))
    return int(np.argmin(((square - total**2 / left) / left**2)[: len(values) // 2 + 1]))


def drift(blocks: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Last quarter of consecutive block means against the first.

    Parameters
    ----------
    blocks : array_like, shape (..., n)
        Means over consecutive blocks, n of at least 8, each longer than the correlation time.

    Returns
    -------
    change, error : numpy.ndarray, shape (...)
        Mean of the last quarter less that of the first, and its standard error from the scatter within the quarters. A
        drift within a quarter is counted as scatter, so the error is then too large.

    Raises
    ------
    ValueError
        If there are fewer than 8 blocks.

    Examples
    --------
    >>> change, error = drift([0.0, 1.0, 5.0, 5.0, 5.0, 5.0, 3.0, 4.0])
    >>> float(change), float(error.round(4))
    (3.0, 0.7071)
    """
    values = np.asarray(blocks, dtype=float)
    if not values.ndim or values.shape[-1] < 8:
        raise ValueError(f"at least 8 blocks are needed to see a drift, got shape {values.shape}")
    quarter, scale = values.shape[-1] // 4, scale_of(values)
    values = values / scale
    first, last = values[..., :quarter], values[..., -quarter:]
    pooled = (first.var(axis=-1, ddof=1) + last.var(axis=-1, ddof=1)) / 2
    with np.errstate(over="ignore"):
        return (last.mean(axis=-1) - first.mean(axis=-1)) * scale, np.sqrt(2 * pooled / quarter) * scale


@dataclass(frozen=True)
class Jumps:
    """Sudden rises of the radius.

    Attributes
    ----------
    count : int
        How many.
    at : numpy.ndarray of int
        The points after which they come.
    period : float
        Median distance between them, in points; NaN from fewer than two.
    size : float
        Median rise of log r; 0 if there are none.
    periodic : bool
        Whether the radius falls slowly and jumps back repeatedly, at least three times.
    """

    count: int
    at: NDArray[np.int64]
    period: float
    size: float
    periodic: bool


def periodic_jumps(log_radius: ArrayLike) -> Jumps:
    """Find the periodic jumps of training with weight decay and normalisation (Lobacheva et al. 2021).

    With little gradient noise the norm decays until the effective learning rate is too large for the minimum; training
    is thrown out, the large gradients raise the norm, and it begins again: a saw-tooth of log r, up at once and down
    slowly.

    Parameters
    ----------
    log_radius : array_like, shape (n,)
        Logarithm of the norm along training, after the burn-in; n of at least 16.

    Returns
    -------
    Jumps

    Raises
    ------
    ValueError
        If there are fewer points or one is not finite.

    Notes
    -----
    A rise between two points is a jump if it exceeds `JUMP_SPREADS` robust standard deviations of all changes and
    `JUMP_SIZE`; neighbouring rises are one jump. Jumps that are shorter than the distance of two points are seen by
    their net effect, and several between two points as one: the count is rather too small.

    Examples
    --------
    >>> saw = np.tile(np.linspace(0.0, -0.2, 20), 5)
    >>> periodic_jumps(saw).count, periodic_jumps(saw).period, periodic_jumps(-saw).periodic
    (4, 20.0, False)
    """
    values = np.asarray(log_radius, dtype=float)
    if values.ndim != 1 or len(values) < 16:
        raise ValueError(f"log_radius must have shape (n,) with n of at least 16, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("log_radius must be finite")
    steps = np.diff(values)
    spread = NORMAL_SPREAD * float(np.median(np.abs(steps - np.median(steps))))
    rises = np.flatnonzero(steps - np.median(steps) > max(JUMP_SPREADS * spread, JUMP_SIZE))
    starts = rises[np.r_[True, np.diff(rises) > 1]] if len(rises) else rises
    ends = rises[np.r_[np.diff(rises) > 1, True]] if len(rises) else rises
    sizes = values[ends + 1] - values[starts]
    periodic = len(starts) >= FEWEST_JUMPS and bool(np.median(steps) < 0)
    return Jumps(
        count=len(starts),
        at=starts,
        period=float(np.median(np.diff(starts))) if len(starts) > 1 else float("nan"),
        size=float(np.median(sizes)) if len(sizes) else 0.0,
        periodic=periodic,
    )
