"""Whether a run is stationary: norm balance, drift, and the status that follows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.rounding import scale_of

__all__ = ["block_error", "norm_balance", "radial_share", "run_status"]

#: Norm balance may be off by this much. Runs that passed the trial were within 0.001; a run that is off by 0.03 has a
#: radius that is still off by about 1 %, as large as the effects that are measured.
BALANCE_MARGIN = 0.02

#: r goes as the inverse fourth root of the balance: an imbalance of this much is a change of r^2 by 5 %, the smallest
#: margin of a claim. A run in which a smaller one is not detectable may be as wrong as a claim that disagrees.
BALANCE_HIDDEN = 0.1

#: log r may drift by this much over the measured part; more would move a slope of log r by a margin of its own.
DRIFT_MARGIN = 0.02

#: The loss may drift by this share of itself: where it is proportional to T, that is the margin of a ratio.
LOSS_DRIFT_MARGIN = 0.05

#: A drift or an imbalance counts only if it is this many standard errors away from none.
SIGNIFICANT = 4.0

#: |w.g|/(|w||g|) of a network that passes for scale-invariant, where it is built, where its training begins and where
#: its runs are judged, unless its file gives another ([model] tolerance); float32 alone gives 1e-7.
VIOLATION_MARGIN = 1e-3


def norm_balance(
    lr: ArrayLike,
    weight_decay: ArrayLike,
    grad_sq: ArrayLike,
    radius_sq: ArrayLike,
    radial_gradient: ArrayLike = 0.0,
) -> Any:
    """Gradient growth over weight decay: 1 for stationary SGD at fixed LR, exactly and without the SDE.

    Parameters
    ----------
    lr, weight_decay : array_like
        Learning rate and weight decay, broadcast with the rest.
    grad_sq : array_like
        Mean squared norm of the minibatch gradient at the weights as they are.
    radius_sq : array_like
        Mean squared norm of the weights.
    radial_gradient : array_like
        Mean of w.g (nat), 0 in a network that is scale-invariant in all weights.

    Returns
    -------
    float or numpy.ndarray
        ``(lr grad_sq - 2 (1 - lr weight_decay) radial_gradient)/(weight_decay (2 - lr weight_decay) radius_sq)``;
        not finite where nothing decays.

    Notes
    -----
    A step gives ``r'^2 = (1 - lr wd)^2 r^2 - 2 lr (1 - lr wd) w.g + lr^2 |g|^2``; its mean at stationarity is the
    balance (derivation "virial-with-remainder").

    Examples
    --------
    >>> norm_balance(0.5, 1.0, 3.0, 1.0)
    1.0
    >>> norm_balance(0.5, 1.0, 4.0, 1.0, radial_gradient=0.5)
    1.0
    """
    rate, decay = np.asarray(lr, dtype=float), np.asarray(weight_decay, dtype=float)
    with np.errstate(all="ignore"):
        growth = rate * np.asarray(grad_sq) / (decay * (2 - rate * decay) * np.asarray(radius_sq))
        balance = growth + radial_share(lr, weight_decay, radial_gradient, radius_sq)
    return float(balance) if np.ndim(balance) == 0 else balance


def radial_share(lr: ArrayLike, weight_decay: ArrayLike, radial_gradient: ArrayLike, radius_sq: ArrayLike) -> Any:
    """Growth of the norm by the part of the loss that is not scale-invariant, over its decay by weight decay.

    Parameters
    ----------
    lr, weight_decay, radial_gradient, radius_sq : array_like
        As `norm_balance` takes them.

    Returns
    -------
    float or numpy.ndarray
        ``-2 (1 - lr weight_decay) radial_gradient/(weight_decay (2 - lr weight_decay) radius_sq)``; not finite where
        nothing decays.

    Examples
    --------
    >>> radial_share(0.5, 1.0, -0.75, 1.0)
    0.5
    """
    rate, decay = np.asarray(lr, dtype=float), np.asarray(weight_decay, dtype=float)
    with np.errstate(all="ignore"):
        push = -2 * (1 - rate * decay) * np.asarray(radial_gradient, dtype=float)
        share = push / (decay * (2 - rate * decay) * np.asarray(radius_sq))
    return float(share) if np.ndim(share) == 0 else share


def block_error(blocks: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Standard error of a mean from the scatter of the means of consecutive blocks; NaN from fewer than two blocks.

    Examples
    --------
    >>> float(block_error([1.0, 2.0, 3.0]).round(6))
    0.57735
    """
    values = np.asarray(blocks, dtype=float)
    if values.shape[axis] < 2:
        return np.full(np.delete(values.shape, axis), np.nan)
    scale = scale_of(values)
    return np.asarray((values / scale).std(axis=axis, ddof=1) / np.sqrt(values.shape[axis]) * scale)


def run_status(
    *,
    balance: float,
    balance_error: float,
    radius_drift: float = 0.0,
    radius_drift_error: float = 0.0,
    violation: float = 0.0,
    diverged_at: int = -1,
    loss: float = 1.0,
    loss_drift: float = 0.0,
    loss_drift_error: float = 0.0,
    periodic_jumps: bool = False,
    remainder: float = 0.0,
    shared_balance: tuple[float, float] | None = None,
    tolerance: float = VIOLATION_MARGIN,
) -> tuple[str, str]:
    """Say whether a run can be used, and if not, why.

    Parameters
    ----------
    balance, balance_error : float
        Norm balance, that with the remainder where there is one, and its standard error.
    radius_drift, radius_drift_error : float
        Change of log r over the measured part and its standard error.
    violation : float
        Mean ``|w.g|/(|w||g|)``.
    diverged_at : int
        Step at which a number stopped being finite, or -1.
    loss : float
        Mean training loss, with which its drift is compared.
    loss_drift, loss_drift_error : float
        Change of the loss over the measured part and its standard error.
    periodic_jumps : bool
        Whether the radius falls slowly and jumps back repeatedly.
    remainder : float
        `radial_share`: a violation too small to see in one step may still move the norm.
    shared_balance : tuple of float, optional
        What the balance of a run has in common with those of runs at similar rates, and its standard error; that of the
        run alone by default.
    tolerance : float
        Largest `violation` of a scale-invariant network.

    Returns
    -------
    status, reason : str
        "ok", "diverged", "not scale-invariant", "periodic jumps", "not stationary", or "balance unknown" if the
        balance is not known well enough to tell; the reason is empty if ok.

    Examples
    --------
    >>> run_status(balance=1.001, balance_error=0.001)
    ('ok', '')
    >>> run_status(balance=1.4, balance_error=0.001)
    ('not stationary', 'norm balance 1.400 is off 1 by more than 0.02')
    """
    if diverged_at >= 0:
        return "diverged", f"a number was not finite at step {diverged_at}"
    if not violation <= tolerance:
        return "not scale-invariant", f"|w.g|/(|w||g|) is {violation:.2g}, more than {tolerance:g}"
    if not abs(remainder) <= BALANCE_MARGIN:
        return "not scale-invariant", (
            f"E[w.g] adds {remainder:+.3f} times the decay by weight decay to the norm, more than {BALANCE_MARGIN:g}"
        )
    if periodic_jumps:
        return "periodic jumps", "log r falls slowly and jumps back repeatedly: no stationary state"
    if (of_balance := _balance_status(balance, balance_error, *(shared_balance or (balance, balance_error))))[1]:
        return of_balance
    if not abs(radius_drift) <= max(DRIFT_MARGIN, SIGNIFICANT * radius_drift_error):
        return "not stationary", f"log r drifts by {radius_drift:+.3f} over the measured part"
    if not abs(loss_drift) <= max(LOSS_DRIFT_MARGIN * abs(loss), SIGNIFICANT * loss_drift_error):
        return (
            "not stationary",
            f"the loss drifts by {loss_drift:+.3g} over the measured part, from a mean of {loss:.3g}",
        )
    return "ok", ""


def _balance_status(balance: float, error: float, shared: float, shared_error: float) -> tuple[str, str]:
    """Status by the norm balance alone: scatter is no drift, but what the scatter could hide is unknown."""
    allowed = max(BALANCE_MARGIN, SIGNIFICANT * np.nan_to_num(error))
    if not abs(balance - 1) <= allowed:
        return "not stationary", f"norm balance {balance:.3f} is off 1 by more than {allowed:.2g}"
    if allowed <= BALANCE_MARGIN:
        return "ok", ""
    if not abs(shared - 1) <= max(BALANCE_MARGIN, SIGNIFICANT * shared_error):
        return "not stationary", f"norm balance {balance:.3f}, {shared:.3f} ± {shared_error:.3f} with runs nearby"
    if not SIGNIFICANT * shared_error <= BALANCE_HIDDEN:
        needed = error * BALANCE_HIDDEN / (SIGNIFICANT * shared_error)
        return "balance unknown", (
            f"norm balance {balance:.3f} ± {error:.3f}: an imbalance of {BALANCE_HIDDEN:g}, which is r^2 off by "
            f"{BALANCE_HIDDEN / 2:g}, cannot be distinguished from none; E|g|^2/r^2 has to be known to {needed:.2g} "
            "per run"
        )
    return "ok", ""
