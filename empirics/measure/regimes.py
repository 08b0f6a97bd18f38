"""Regimes of training: periodic jumps of the norm, interpolated data, a stationary gas, or not yet stationary.

Three regimes are known on the sphere (Kodryan et al. 2022, arXiv 2209.03695): convergence, where the gradient vanishes
with the loss, a chaotic equilibrium, and divergence. What tells them apart here is measured along the run, against the
thresholds below, by the same rule for every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirics.measure.rounding import constant

__all__ = ["REGIMES", "Regime", "decay_exponent", "regime"]

#: The labels, in the order in which they are tried.
REGIMES = ("diverged", "not scale-invariant", "periodic jumps", "interpolating", "random walk", "gas", "unsettled")

#: Share of samples classified rightly from which on the training data count as learnt by heart.
FITTED_ACCURACY = 0.999

#: ... and the largest loss, as a share of that of guessing: 1 % of log 10 is the loss at a mean margin of 3.8 nat.
FITTED_LOSS = 0.01

#: The noise has to fall with time as this power of 1/step or faster, by this many standard errors: as 1/step where a
#: loss that is exponential in the margin is learnt by heart, as no power where there is a floor.
FALLING = 0.25
SIGNIFICANT = 4.0

#: A loss above this share of that of guessing is that of directions that have learnt nothing.
GUESSING = 0.9

#: Points of a curve that are needed to tell a power from scatter.
FEWEST_POINTS = 16

#: Consecutive points of which a mean is taken first, so that what is left over from point to point is independent.
PARTS = 8


@dataclass(frozen=True)
class Regime:
    """The regime of a run and what speaks for it.

    Attributes
    ----------
    label : str
        One of `REGIMES`.
    reason : str
        The numbers that decided.
    exponent, error : float
        How fast the noise falls, `decay_exponent`; NaN in a run that diverged.
    """

    label: str
    reason: str
    exponent: float
    error: float


def _curve(name: str, values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < FEWEST_POINTS:
        raise ValueError(f"{name} must have shape (n,) with n of at least {FEWEST_POINTS}, got {found.shape}")
    return found


def decay_exponent(step: ArrayLike, noise: ArrayLike) -> tuple[float, float]:
    """Power a of a curve that falls as step^-a, and its standard error.

    Parameters
    ----------
    step : array_like, shape (n,)
        Training steps, increasing, above 0; n of at least 16.
    noise : array_like, shape (n,)
        What falls, above 0.

    Returns
    -------
    exponent, error : float
        Minus the slope of the straight line through the mean logarithms of 8 consecutive parts, and its error from
        their scatter about it. Logarithms, since the gradient of few samples that are nearly learnt is heavy-tailed: a
        mean would be that of its largest spikes. NaN if all steps are the same.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer points, or a number is not finite and above 0.

    Examples
    --------
    >>> step = np.arange(1000.0, 2000.0, 10.0)
    >>> tuple(round(float(x), 6) for x in decay_exponent(step, 3 / step))
    (1.0, 0.0)
    """
    steps, values = _curve("step", step), _curve("noise", noise)
    if len(steps) != len(values):
        raise ValueError(f"step and noise must have one length, got {len(steps)} and {len(values)}")
    for name, found in (("step", steps), ("noise", values)):
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise ValueError(f"{name} must be finite and above 0")
    x, y = (np.array([np.log(part).mean() for part in np.array_split(found, PARTS)]) for found in (steps, values))
    if constant(x):
        return math.nan, math.nan
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    left = y - y.mean() - slope * x
    return -slope, math.sqrt(float(left @ left) / (PARTS - 2) / float(x @ x))


def regime(
    *, status: str, step: ArrayLike, loss: ArrayLike, noise: ArrayLike, accuracy: ArrayLike, classes: int
) -> Regime:
    """Say in which regime a run is.

    Parameters
    ----------
    status : str
        What `run_status` says of the run.
    step : array_like, shape (n,)
        Steps of the course, burn-in included but for a tenth and any warm-up; n of at least 16.
    noise : array_like, shape (n,)
        Squared norm of the minibatch gradient at unit norm (nat^2) at these steps: an upper bound of the noise, twice
        d - 1 times the temperature over the effective learning rate.
    loss : array_like, shape (m,)
        Training loss (nat) over the measured part, m of at least 16.
    accuracy : array_like, shape (m,)
        Share of training samples classified rightly there.
    classes : int
        Number of classes: guessing costs its logarithm.

    Returns
    -------
    Regime
        "diverged", "not scale-invariant" and "periodic jumps" are those of `run_status`. Else "interpolating" if all
        samples are learnt and the noise falls towards 0, whatever the norm does; "random walk" if nothing is learnt;
        "gas" if the run is stationary; "unsettled" if it is not.

    Raises
    ------
    ValueError
        If a curve is too short, step and noise differ in length, or there are fewer than 2 classes.

    Examples
    --------
    >>> step = np.arange(100.0, 200.0)
    >>> learnt = dict(step=step, loss=1 / step, accuracy=np.ones(100), classes=10)
    >>> regime(status="not stationary", noise=5 / step, **learnt).label
    'interpolating'
    >>> regime(status="ok", noise=np.full(100, 5.0), **learnt).label
    'gas'
    """
    if classes < 2:
        raise ValueError(f"classes = {classes!r}: must be 2 or more")
    curves = {name: _curve(name, found) for name, found in (("loss", loss), ("noise", noise), ("accuracy", accuracy))}
    if status in ("diverged", "not scale-invariant"):
        return Regime(status, "by its status", math.nan, math.nan)
    exponent, error = decay_exponent(step, curves["noise"])
    right, mean = float(curves["accuracy"].mean()), float(curves["loss"].mean())
    guess = math.log(classes)
    said = f"noise ~ step^-({exponent:z.2f} ± {error:.2f}), accuracy {right:.4f}, loss {mean:.3g}"
    falls = exponent >= FALLING and exponent >= SIGNIFICANT * error
    if status == "periodic jumps":
        label = status
    elif falls and right >= FITTED_ACCURACY and mean <= FITTED_LOSS * guess:
        label = "interpolating"
    elif mean >= GUESSING * guess:
        label = "random walk"
    else:
        label = "gas" if status == "ok" else "unsettled"
    return Regime(label, said, exponent, error)
