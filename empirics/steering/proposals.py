"""Proposals for the next learning rate and weight decay from a few trials, with an interval.

By the scaling symmetry the training of a scale-invariant network depends only on one combination of both (lr·wd for SGD
and AdamW), so a search in the plane reduces to one along a line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from thermo_theory.relations.paths import Orbit, law, orbit_of

__all__ = ["Proposal", "propose", "propose_temperature"]

FloatArray = NDArray[np.float64]

#: Coverage of the intervals.
LEVEL = 0.95


@dataclass(frozen=True)
class Proposal:
    """The next pair of learning rate and weight decay.

    Attributes
    ----------
    lr, weight_decay : float
        The pair; among all pairs with the same training, the one in the middle of the trials.
    product : float
        The combination that training depends on: lr^a·wd, with the optimiser's a (1 for SGD and AdamW, 2 for Adam with
        L2).
    low, high : float
        95 % interval of the product at the optimum, or at the target; 0 and infinity where the trials give no bound.
    reason : str
        How it was found.
    across : float
        Position of the pair along the line of equal training: the middle of the trials.
    weight : float
        The a above.
    """

    lr: float
    weight_decay: float
    product: float
    low: float
    high: float
    reason: str
    across: float
    weight: float

    def grid(self, points: int = 3) -> pd.DataFrame:
        """Return pairs that cover the interval, evenly in the logarithm: a small grid to train next.

        Parameters
        ----------
        points : int
            Number of pairs, 2 or more.

        Returns
        -------
        pandas.DataFrame
            Columns `lr`, `weight_decay`.

        Raises
        ------
        ValueError
            If the interval is open, or fewer than 2 points are asked for.
        """
        if points < 2 or not (self.low > 0 and math.isfinite(self.high)):
            raise ValueError(
                f"a grid needs 2 or more points and a closed interval, got {points} and [{self.low:g}, {self.high:g}]"
            )
        along = np.linspace(math.log(self.low), math.log(self.high), points)
        pairs = [_pair(float(one), self.across, self.weight) for one in along]
        return pd.DataFrame(pairs, columns=["lr", "weight_decay"])

    def __str__(self) -> str:
        power = "" if self.weight == 1 else f"^{self.weight:g}"
        interval = f"lr{power}·wd = {self.product:.3g} [{self.low:.3g}, {self.high:.3g}]"
        return f"next: lr {self.lr:.3g}, weight decay {self.weight_decay:.3g}; {interval} ({self.reason})"


def _pair(along: float, across: float, weight: float) -> tuple[float, float]:
    """Return learning rate and weight decay at a point of `Orbit`'s two coordinates."""
    return math.exp(across + weight * along / (1 + weight**2)), math.exp(along / (1 + weight**2) - weight * across)


def _coordinates(lr: ArrayLike, decay: ArrayLike, other: ArrayLike, orbit: Orbit, least: int) -> list[FloatArray]:
    arrays = [np.asarray(values, dtype=float).ravel() for values in (lr, decay, other)]
    rates, decays, values = arrays
    if not (rates.shape == decays.shape == values.shape) or len(rates) < least:
        sizes = ", ".join(str(len(one)) for one in arrays)
        raise ValueError(f"lr, weight_decay and the values must be {least} or more each, got {sizes}")
    if not (np.isfinite(values).all() and (rates > 0).all() and (decays > 0).all()):
        raise ValueError("lr and weight_decay must be above 0, and the values finite")
    along = orbit.along(np.log(rates), np.log(decays))
    if len(np.unique(along.round(9))) < least - 1:
        raise ValueError(
            f"the trials lie on fewer than {least - 1} lines of equal training: vary {orbit.words[0]}, not only "
            f"{orbit.words[1]}"
        )
    return [along, orbit.across(np.log(rates), np.log(decays)), values]


def propose(lr: ArrayLike, weight_decay: ArrayLike, score: ArrayLike, *, optimizer: str = "sgd") -> Proposal:
    """Propose the lr and weight decay that minimise a score such as the validation loss.

    Parameters
    ----------
    lr, weight_decay : array_like, shape (n,)
        Those of 4 or more trials, on 3 or more lines of equal training; weight decay in torch's convention.
    score : array_like, shape (n,)
        Their results; lower is better.
    optimizer : str
        As `thermo_theory` calls it.

    Returns
    -------
    Proposal
        The minimum of a parabola in log(lr·wd), with Fieller's interval. If the trials do not enclose a minimum: one
        spacing beyond the better end, with an open interval.

    Raises
    ------
    ValueError
        If there are too few trials, or they lie on too few lines.

    Examples
    --------
    >>> decay = np.array([1e-4, 3e-4, 1e-3, 3e-3, 1e-2])
    >>> score = np.log(decay / 1e-3) ** 2 + [0.1, -0.2, 0.0, 0.2, -0.1]
    >>> print(propose(np.full(5, 0.1), decay, score))
    next: lr 0.101, weight decay 0.00099; lr·wd = 0.0001 [8.74e-05, 0.000114] (minimum of a parabola)
    """
    orbit = orbit_of(law("fixed-lr", optimizer))
    along, across, values = _coordinates(lr, weight_decay, score, orbit, 4)
    middle, x = float(along.mean()), along - along.mean()
    fit, covariance = _least_squares(np.stack([np.ones_like(x), x, x**2], axis=1), values)
    spacing = float(np.ptp(x)) / (len(np.unique(x.round(9))) - 1)
    edges = float(x.min()) - spacing, float(x.max()) + spacing
    # The slope of the parabola is a line, and the minimum is where it crosses 0.
    twice = np.array([1.0, 2.0])
    found = _crossing(fit[1:] * twice, covariance[1:, 1:] * np.outer(twice, twice), len(x) - 3)
    if fit[2] > 0 and found is not None and edges[0] <= found[0] <= edges[1]:
        return _proposal(found + middle, "minimum of a parabola", across, orbit)
    end = edges[0] if values[np.argmin(x)] <= values[np.argmax(x)] else edges[1]
    words = "no minimum among the trials; one spacing beyond the better end"
    return _proposal(np.array([end + middle, -math.inf, math.inf]), words, across, orbit)


def propose_temperature(
    lr: ArrayLike, weight_decay: ArrayLike, temperature: ArrayLike, target: float, *, optimizer: str = "sgd"
) -> Proposal:
    """Propose the lr and weight decay at which training has a given temperature.

    Parameters
    ----------
    lr, weight_decay : array_like, shape (n,)
        Those of 3 or more trials, on 2 or more lines of equal training.
    temperature : array_like, shape (n,)
        Their noise temperatures, as measured by a probe.
    target : float
        The temperature wanted.
    optimizer : str
        As `thermo_theory` calls it.

    Returns
    -------
    Proposal
        From a straight line of log T against log(lr·wd), with Fieller's interval. The slope is fitted: theory gives 1/2
        for SGD, but the noise of a network may change along the line.

    Raises
    ------
    ValueError
        If there are too few trials, they lie on too few lines, or a temperature is not above 0.

    Examples
    --------
    >>> decay = np.array([1e-4, 1e-3, 1e-2])
    >>> print(propose_temperature(np.full(3, 0.1), decay, np.sqrt(decay) * [1.01, 0.99, 1.0], 0.05))
    next: lr 0.158, weight decay 0.00158; lr·wd = 0.000251 [0.000207, 0.00031] (straight line of log T)
    """
    values = np.asarray(temperature, dtype=float)
    if not (target > 0 and (values > 0).all()):
        raise ValueError("temperatures and target must be above 0")
    orbit = orbit_of(law("fixed-lr", optimizer))
    along, across, logs = _coordinates(lr, weight_decay, np.log(values), orbit, 3)
    middle, x = float(along.mean()), along - along.mean()
    fit, covariance = _least_squares(np.stack([np.ones_like(x), x], axis=1), logs - math.log(target))
    found = _crossing(fit, covariance, len(x) - 2)
    if found is None:
        raise ValueError("the trials do not show that the temperature changes along the line: spread them further")
    return _proposal(found + middle, "straight line of log T", across, orbit)


def _crossing(line: FloatArray, covariance: FloatArray, freedom: int) -> FloatArray | None:
    """Return where a line of fitted level and slope crosses 0, with Fieller's interval; None if it may not slope."""
    quantile = float(stdtrit(freedom, (1 + LEVEL) / 2)) ** 2
    (c, b), (_, a) = np.outer(line, line) - quantile * covariance
    if a <= 0:
        return None
    reach = math.sqrt(max(b**2 - a * c, 0.0))
    return np.array([-line[0] / line[1], (-b - reach) / a, (-b + reach) / a])


def _least_squares(design: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients, and their covariance from the residuals."""
    fit: FloatArray = np.asarray(np.linalg.lstsq(design, values, rcond=None)[0], dtype=float)
    rest = values - design @ fit
    variance = float(rest @ rest) / (len(values) - design.shape[1])
    return fit, np.asarray(variance * np.linalg.inv(design.T @ design), dtype=float)


def _proposal(along: FloatArray, reason: str, across: FloatArray, orbit: Orbit) -> Proposal:
    """Return the proposal at a point along the line, with the ends of its interval."""
    place = float(across.mean())
    lr, decay = _pair(float(along[0]), place, orbit.weight)
    product, low, high = (math.exp(one) for one in along)
    return Proposal(lr, decay, product, low, high, reason, place, orbit.weight)
