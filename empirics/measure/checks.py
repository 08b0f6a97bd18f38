"""The battery that every estimator of the entropy of directions must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_entropy_estimator"]

FloatArray = NDArray[np.float64]
Estimator = Callable[[FloatArray], Any]

#: Equal to round-off: this times the size of the value, or of one nat per dimension.
ROUND_OFF = 1e-6

#: How far from an exact value an estimate may be in two and three dimensions, from 1,500 samples, in nats.
EXACT = 0.15

#: How far from 1 the slope of the entropy in the logarithm of the temperature may be, in units of R.
SLOPE = 0.03

#: How much of a factor 10 in the correlation time may show in the entropy, in units of R log 10; a path entropy has -1.
MEMORY = 0.15


def check_entropy_estimator(estimator: Estimator, *, upper_bound: bool = False) -> None:
    """Check an estimator of the entropy of directions.

    Parameters
    ----------
    estimator : callable
        ``estimator(x)``, x of shape (n, d), rows of any norm in the order of time; returns nats, as a number or as the
        `value` of what it returns. If that says `path_entropy`, it need not be right on samples that hang together.
    upper_bound : bool
        The estimator is one that may be too large where the directions do not follow its law.

    Raises
    ------
    AssertionError
        For the first property that fails; the message says which, and with what numbers.

    Notes
    -----
    Invariance under rotation, order of the coordinates and norm of the rows; the input left as it was; the same result
    twice; refusal (ValueError) of what has no entropy; exact entropies in two and three dimensions, of one lump and of
    two; the slope in the logarithm of the temperature at d = 300; and independence of the correlation time at d = 200.
    Seeded: an estimator either passes or does not. It takes some seconds.

    Examples
    --------
    >>> from empirics.measure import sphere_entropy
    >>> check_entropy_estimator(sphere_entropy)
    >>> check_entropy_estimator(lambda x: 0.0)
    Traceback (most recent call last):
        ...
    AssertionError: a NaN is not refused with a ValueError: 0.0
    """
    _check_invariance(estimator)
    _check_manners(estimator)
    _check_refusals(estimator)
    _check_exact(estimator, upper_bound)
    _check_slope(estimator)
    _check_memory(estimator)


def _value(estimator: Estimator, x: FloatArray) -> float:
    found: Any = estimator(x)
    return float(found.value if hasattr(found, "value") else found)


def _lump(rng: np.random.Generator, n: int, d: int, temperature: float) -> FloatArray:
    """Directions of a cold gas about the first axis."""
    return np.c_[np.ones(n), np.sqrt(temperature) * rng.standard_normal((n, d - 1))]


def _check_invariance(estimator: Estimator) -> None:
    rng = np.random.default_rng(1)
    for d, temperature in ((3, 0.1), (40, 1e-3)):
        x = _lump(rng, 300, d, temperature)
        turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
        changed = {
            "rotation": x @ turn,
            "order of the coordinates": x[:, rng.permutation(d)],
            "norms of the rows": x * rng.uniform(0.1, 10.0, (300, 1)),
        }
        before = _value(estimator, x)
        for what, y in changed.items():
            after = _value(estimator, y)
            close = abs(after - before) <= ROUND_OFF * max(abs(before), d)
            assert close, f"{what}, d = {d}: {before:.8g} becomes {after:.8g}"


def _check_manners(estimator: Estimator) -> None:
    x = _lump(np.random.default_rng(2), 200, 8, 0.01)
    kept = x.copy()
    first, second = _value(estimator, x), _value(estimator, x)
    assert np.array_equal(x, kept), "the input was changed"
    assert first == second, f"two results from the same samples: {first!r} and {second!r}"


def _check_refusals(estimator: Estimator) -> None:
    x = _lump(np.random.default_rng(3), 20, 4, 0.1)
    bad, infinite, zero = x.copy(), x.copy(), x.copy()
    bad[3, 2], infinite[3, 2], zero[3] = np.nan, np.inf, 0.0
    wrong = {"a NaN": bad, "an infinity": infinite, "a row of zeros": zero, "one row": x[:1], "one column": x[:, :1]}
    for what, y in wrong.items():
        try:
            found = _value(estimator, y)
        except ValueError:
            continue
        raise AssertionError(f"{what} is not refused with a ValueError: {found!r}")


def _check_exact(estimator: Estimator, upper_bound: bool) -> None:
    """Entropies with a closed form; that of three dimensions has cosines that are exponential variates, cut off."""
    rng, n = np.random.default_rng(4), 1500
    concentration = 30.0
    cosine = 1 + np.log(1 - rng.random(n) * -np.expm1(-2 * concentration)) / concentration
    longitude = 2 * np.pi * rng.random(n)
    sine = np.sqrt(1 - cosine**2)
    lump = np.c_[cosine, sine * np.cos(longitude), sine * np.sin(longitude)]
    exact = float(np.log(4 * np.pi * np.sinh(concentration) / concentration))
    exact += 1 - concentration / np.tanh(concentration)
    angle = 0.2 * rng.standard_normal(n)
    arc = np.c_[np.cos(angle), np.sin(angle)]
    two = lump * np.where(rng.random(n) < 0.5, 1, -1)[:, None]
    cases = (
        ("uniform on the circle", rng.standard_normal((n, 2)), np.log(2 * np.pi), False),
        ("uniform on the sphere", rng.standard_normal((n, 3)), np.log(4 * np.pi), False),
        ("normal angle of width 0.2", arc, np.log(0.2) + 0.5 * np.log(2 * np.pi * np.e), False),
        ("von Mises-Fisher, d = 3, kappa = 30", lump, exact, False),
        ("two such lumps at opposite poles", two, exact + np.log(2), upper_bound),
    )
    for what, x, truth, only_not_less in cases:
        found = _value(estimator, x)
        right = found > truth - EXACT if only_not_less else abs(found - truth) < EXACT
        assert right, f"{what}: estimate {found:.4f}, exact {truth:.4f}"


def _check_slope(estimator: Estimator) -> None:
    rng, d = np.random.default_rng(5), 300
    cold, warm = (_value(estimator, _lump(rng, 400, d, temperature)) for temperature in (1e-6, 1e-5))
    slope = (warm - cold) / ((d - 1) / 2 * np.log(10))
    assert abs(slope - 1) < SLOPE, f"slope in log T, d = {d}: {slope:.4f} R, exact 1"


def _check_memory(estimator: Estimator) -> None:
    """The same law, sampled with a memory of 5 and of 50 rows."""
    rng, d, values, warned = np.random.default_rng(6), 200, [], []
    for rows in (5, 50):
        keep = np.exp(-1 / rows)
        x = rng.standard_normal((800, d - 1))
        for i in range(1, len(x)):
            x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * x[i]
        found: Any = estimator(np.c_[np.ones(len(x)), 1e-3 * x])
        values.append(float(found.value if hasattr(found, "value") else found))
        warned.append(bool(getattr(found, "path_entropy", False)))
    change = (values[1] - values[0]) / ((d - 1) / 2 * np.log(10))
    known = warned[1] or abs(change) < MEMORY
    assert known, f"ten times the correlation time changes the entropy by {change:+.3f} R log 10, exact 0"
