"""Entropy without samples of directions: thermodynamic integration of measured energies along a path of states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from empirics.measure.rounding import ROUNDING

__all__ = ["EntropyDifference", "entropy_by_integration"]

FloatArray = NDArray[np.float64]

#: Half-width of a 95 % interval in standard errors.
NORMAL = 1.959964

#: Gauss-Legendre nodes between two states.
NODES = 12

#: Relative step of the numerical derivatives by which errors are propagated.
STEP = 1e-4


@dataclass(frozen=True)
class EntropyDifference:
    """Entropy of each state less that of the first.

    Attributes
    ----------
    value : numpy.ndarray, shape (states,)
        In nats; 0 for the first.
    low, high : numpy.ndarray, shape (states,)
        95 % interval of the statistical error; NaN if none could be given.
    interpolation : numpy.ndarray, shape (states,)
        What another interpolation between the states would change; not in the interval.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    interpolation: FloatArray


def entropy_by_integration(
    T: ArrayLike,
    U: ArrayLike,
    *,
    p: ArrayLike | None = None,
    V: ArrayLike | None = None,
    T_error: ArrayLike | None = None,
    U_error: ArrayLike | None = None,
) -> EntropyDifference:
    """Integrate ``dS = dU/T + p dV/T`` along states.

    Parameters
    ----------
    T : array_like, shape (states,) or (replicates, states)
        Temperatures, above 0; without p and V strictly rising or falling.
    U : array_like, same shape
        Mean losses.
    p, V : array_like, same shape, optional
        Pressures (weight decays) and volumes (half squared norms), above 0; without them the entropy is that of the
        directions.
    T_error, U_error : array_like, same shape, optional
        Standard errors, taken as independent between states; only without replicates.

    Returns
    -------
    EntropyDifference
        With replicates (independent runs or seeds of the whole path) the interval is that of their mean by Student's t;
        otherwise it comes from the errors given.

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than 4 states, values are not finite or not positive, only one of p and V is
        given, or two consecutive states are the same.

    Notes
    -----
    Between states U, T, log V and log(pV/T) are cubic splines in the arc length of (log T, log V), so that an ideal gas
    is integrated exactly. The integral needs U' and not U: a constant added to the loss changes nothing. It is the
    entropy of the Gibbs law only where the runs sample it: elsewhere what is integrated is heat over temperature along
    the path, and depends on the path.

    Bias: the interpolation's, of fourth order in the distance of states, reported beside; and a correlated error of T,
    which is not in the interval (T off by a factor c: the result is off by 1/c).

    Examples
    --------
    An ideal gas, U = 10 T, heated tenfold at fixed volume: 10 log 10.

    >>> T = np.geomspace(1e-3, 1e-2, 6)
    >>> bool(np.isclose(entropy_by_integration(T, 10 * T + 0.3).value[-1], 10 * np.log(10), rtol=1e-10))
    True
    """
    arrays = {"T": T, "U": U} | ({} if p is None and V is None else {"p": p, "V": V})
    if any(values is None for values in arrays.values()):
        raise ValueError("p and V must be given together")
    states = {name: np.asarray(values, dtype=float) for name, values in arrays.items()}
    _check(states)
    if states["T"].ndim == 2:
        if T_error is not None or U_error is not None:
            raise ValueError("errors come from the scatter of the replicates: give errors or replicates, not both")
        return _by_replicates(states)
    errors = {
        name: np.broadcast_to(np.asarray(error, dtype=float), states[name].shape)
        for name, error in (("T", T_error), ("U", U_error))
        if error is not None
    }
    value = _integral(states)
    half = NORMAL * _propagated(states, errors) if errors else np.full(len(value), np.nan)
    return EntropyDifference(value, value - half, value + half, np.abs(_integral(states, monotone=True) - value))


def _check(states: dict[str, FloatArray]) -> None:
    """Refuse what cannot be integrated, and say which state it is."""
    shape = states["T"].shape
    for name, values in states.items():
        if values.shape != shape or values.ndim not in (1, 2):
            raise ValueError(f"{name} must have the shape of T, (states,) or (replicates, states), got {values.shape}")
        bad = ~np.isfinite(values) | ((values <= 0) if name != "U" else False)
        if bad.any():
            raise ValueError(f"{name} must be finite{'' if name == 'U' else ' and above 0'}; {values[bad][0]} is not")
    if shape[-1] < 4:
        raise ValueError(f"at least 4 states are needed for an interpolation, got {shape[-1]}")
    steps = np.diff(np.log(states["T"]), axis=-1)
    if "V" not in states and not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("T must rise or fall from each state to the next; give p and V if it need not")
    if (_length(states) <= ROUNDING).any():
        raise ValueError("two consecutive states are the same")


def _length(states: dict[str, FloatArray]) -> FloatArray:
    """Distances between consecutive states in (log T, log V)."""
    squares = sum(np.diff(np.log(states[name]), axis=-1) ** 2 for name in ("T", "V") if name in states)
    return np.sqrt(np.asarray(squares, dtype=float))


def _integral(states: dict[str, FloatArray], monotone: bool = False) -> FloatArray:
    """Entropy along one path, by splines or by monotone cubics; no temperature on the way may be 0 or below."""
    from scipy.interpolate import CubicSpline, PchipInterpolator

    interpolate = PchipInterpolator if monotone else CubicSpline
    s = np.r_[0.0, np.cumsum(_length(states))]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    at = s[:-1, None] + np.diff(s)[:, None] * (nodes + 1) / 2
    temperature = interpolate(s, states["T"])(at)
    if (temperature <= 0).any():
        raise ValueError("states are too far apart in T to be interpolated")
    slope = interpolate(s, states["U"]).derivative()(at) / temperature
    if "V" in states:
        compressibility = interpolate(s, np.log(states["p"] * states["V"] / states["T"]))(at)
        slope += np.exp(compressibility) * interpolate(s, np.log(states["V"])).derivative()(at)
    return np.r_[0.0, np.cumsum(slope @ weights * np.diff(s) / 2)]


def _propagated(states: dict[str, FloatArray], errors: dict[str, FloatArray]) -> FloatArray:
    """Standard error of each entropy: every state moved up and down by a little, one at a time."""
    variance = np.zeros(len(states["T"]))
    for name, error in errors.items():
        # The entropy is linear in U, so where U is 0 all along a step of the size of its error does as well.
        step = STEP * np.abs(states[name]) + STEP * np.ptp(states[name])
        step = np.where(step > 0, step, STEP * error)
        for i in np.flatnonzero(error > 0):
            up, down = ({**states, name: states[name] + sign * step[i] * _unit(int(i), len(step))} for sign in (1, -1))
            slope = (_integral(up) - _integral(down)) / (2 * step[i])
            variance += (slope * error[i]) ** 2
    return np.sqrt(variance)


def _unit(i: int, n: int) -> FloatArray:
    vector = np.zeros(n)
    vector[i] = 1.0
    return vector


def _by_replicates(states: dict[str, FloatArray]) -> EntropyDifference:
    """Mean over replicates, each integrated alone."""
    each = [{name: values[i] for name, values in states.items()} for i in range(len(states["T"]))]
    values = np.array([_integral(one) for one in each])
    other = np.array([_integral(one, monotone=True) for one in each])
    mean, n = values.mean(axis=0), len(values)
    half = stdtrit(n - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(mean, np.nan)
    return EntropyDifference(mean, mean - half, mean + half, np.abs(other.mean(axis=0) - mean))
