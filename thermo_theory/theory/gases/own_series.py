"""Low-temperature series of any loss on the sphere, from its derivatives at the minimum.

Near a minimum at the pole (with ``v = 1 - c``) or at a latitude (``v = c - c_0``) the loss is ``L_0 + l_k v^k + ...``,
and Laplace's method, carried on to any order, gives ``Z ~ T^a (1 + z_1 T^(1/k) + ...)``; energy and heat capacity
follow from ``U = T^2 d log Z/dT``. A quadratic form is Gaussian but for the factor ``(1 - |x|^2)^(m/2 - 1)`` of the
sphere.

Source: the expansion of Laplace integrals, de Bruijn 1958, *Asymptotic Methods in Analysis*, ch. 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import sympy as sp

from thermo_theory.numeric.domain import FloatArray
from thermo_theory.symbols import T

__all__ = ["LowTemperature", "form_series", "zonal_series"]

#: Digits with which minima are found that are no fractions; two minima are one level if they agree to half of them.
DIGITS = 40


class LowTemperature(NamedTuple):
    """Energy and ``C_V/R`` as series in T, with their order terms."""

    energy: sp.Expr
    heat_capacity: sp.Expr


class _Well(NamedTuple):
    """A minimum: ``Z ~ size T^power (1 + sum_n terms[n] T^(n/root))``."""

    size: sp.Expr
    power: sp.Expr
    root: int
    terms: list[sp.Expr]
    #: The first power of T^(1/root) that is left out.
    rest: int


def _written(wells: Sequence[_Well], lowest: sp.Expr, R: sp.Expr) -> LowTemperature:
    """Add up minima of one level, and differentiate the logarithm of the sum."""
    if len({(well.power, well.root) for well in wells}) > 1:
        raise ValueError("the minima of the loss are of different kinds: no series in one power of T")
    power, root, rest = wells[0].power, wells[0].root, wells[0].rest
    shares = [sp.simplify(well.size / wells[0].size) for well in wells]
    whole = sp.Add(*shares)
    terms = [sp.Add(*[w * well.terms[n] for w, well in zip(shares, wells, strict=True)]) / whole for n in range(rest)]
    logs = [sp.S.Zero]
    for n in range(1, rest):
        below = sp.Add(*[k * logs[k] * terms[n - k] for k in range(1, n)])
        logs.append(sp.expand(terms[n] - below / n))
    energy, heat = lowest + power * T, power / R
    for n in range(1, rest):
        step = sp.Rational(n, root)
        energy += logs[n] * step * T ** (step + 1)
        heat += sp.expand(logs[n] * step * (step + 1) / R) * T**step
    left = sp.Rational(rest, root)
    return LowTemperature(energy + sp.Order(T ** (left + 1), T), heat + sp.Order(T**left, T))


# Zonal losses -------------------------------------------------------------------------------------


def zonal_series(
    loss: sp.Expr, cosine: sp.Symbol, brackets: Sequence[tuple[float, float]], d: int, order: int
) -> LowTemperature:
    """Expand a loss of the cosine about its lowest minima.

    Parameters
    ----------
    loss : sympy.Expr
        The loss, a function of the symbol `cosine`.
    cosine : sympy.Symbol
        The cosine with the pole.
    brackets : sequence of pairs of floats
        Cosines between which it has a minimum.
    d : int
        Dimension of the weights.
    order : int
        The last power of T in ``C_V/R``.

    Returns
    -------
    LowTemperature

    Raises
    ------
    ValueError
        If the loss has no power series at its minimum, or minima of different kinds.
    """
    slope = sp.diff(loss, cosine)
    places = [sp.S.One, -sp.S.One, *_turns(slope, cosine, brackets)]
    with mp.workdps(DIGITS):
        values = [mp.mpf(sp.N(loss.subs(cosine, place), DIGITS)) for place in places]
        near = mp.mpf(10) ** (-DIGITS // 2) * max(1, max(map(abs, values)))
        lowest = [place for place, value in zip(places, values, strict=True) if value - min(values) <= near]
    R = sp.Rational(d - 1, 2)
    wells = [_well(loss, cosine, place, R, order) for place in lowest]
    return _written(wells, loss.subs(cosine, lowest[0]), R)


def _turns(slope: sp.Expr, cosine: sp.Symbol, brackets: Sequence[tuple[float, float]]) -> list[sp.Expr]:
    """Cosines at which the slope is 0, as fractions where they are: all of a polynomial's, else one in each bracket."""
    if slope.is_polynomial(cosine) and all(one.is_Rational for one in sp.Poly(slope, cosine).all_coeffs()):
        roots = sp.real_roots(sp.Poly(slope, cosine), multiple=False)
        return [root if root.is_Rational else sp.N(root, DIGITS) for root, _ in roots if abs(root) < 1]
    function = sp.lambdify(cosine, slope, "mpmath")
    with mp.workdps(DIGITS + 10):
        tight = {"solver": "anderson", "tol": mp.mpf(10) ** (-2 * DIGITS), "verify": False}
        return [sp.Float(mp.findroot(function, ends, **tight), DIGITS) for ends in brackets]


def _well(loss: sp.Expr, cosine: sp.Symbol, place: sp.Expr, R: sp.Expr, order: int) -> _Well:
    """Expand about one minimum: a pole, or a latitude."""
    is_pole = bool(abs(place) == 1)
    side = -place if is_pole else sp.S.One
    rises = _derivatives(loss, cosine, place, side)
    first = next((k for k in range(1, 13) if not _zero(rises(k))), None)
    if first is None or (not is_pole and first % 2):
        raise ValueError(f"{loss} has no power series with a leading term at its minimum, cosine {place}")
    rest = order * first + (1 if is_pole else 2 - order * first % 2)
    bent = [sp.S.Zero, *(-rises(first + j) for j in range(1, rest))]
    # The circle of latitude at v is (1 - c^2)^(1/2) wide: its measure is the square of that to the power R - 1.
    room = [sp.Integer(2), -sp.S.One] if is_pole else [1 - place**2, -2 * place, -sp.S.One]
    measure = _power(room, R - 1, rest)
    lead, start = rises(first), (R if is_pole else sp.S.One)
    w = sp.Dummy("w")  # l_k v^k/T, which exp(-w) makes of order 1
    grown: list[sp.Expr] = [sp.S.One]
    for n in range(1, rest):
        grown.append(sp.expand(w * sp.Add(*[j * bent[j] * grown[n - j] for j in range(1, n + 1)]) / n))
    terms = []
    for n in range(rest):
        total = sp.Poly(sp.Add(*[measure[j] * grown[n - j] for j in range(n + 1)]), w)
        if not is_pole and n % 2:
            terms.append(sp.S.Zero)
            continue
        terms.append(
            sp.Add(
                *[
                    coefficient * _gammas(start, n + first * m, first) * lead ** -(sp.Rational(n, first) + m)
                    for (m,), coefficient in total.terms()
                ]
            )
        )
    size = (room[0] ** (R - 1)) * lead ** (-start / first) * (1 if is_pole else 2)
    return _Well(size, start / first, first, terms, rest)


def _derivatives(loss: sp.Expr, cosine: sp.Symbol, place: sp.Expr, side: sp.Expr) -> Callable[[int], sp.Expr]:
    """Taylor coefficients of the loss along `side`, computed when they are asked for."""
    known = [loss]

    def coefficient(k: int) -> sp.Expr:
        while len(known) <= k:
            known.append(sp.diff(known[-1], cosine))
        value = side**k * known[k].subs(cosine, place) / sp.factorial(k)
        if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo) or not value.is_number:
            raise ValueError(f"{loss} has no power series at its minimum, cosine {place}")
        return value

    return coefficient


def _zero(value: sp.Expr) -> bool:
    """Whether a number is 0, to the digits with which minima are found."""
    return bool(value == 0 or abs(sp.N(value, DIGITS)) < mp.mpf(10) ** (-DIGITS // 2) or sp.simplify(value) == 0)


def _power(coefficients: Sequence[sp.Expr], power: sp.Expr, count: int) -> list[sp.Expr]:
    """Coefficients of a polynomial to a power, over the first of them; Euler's recurrence."""
    found: list[sp.Expr] = [sp.S.One]
    for n in range(1, count):
        terms = [
            (power * j - n + j) * coefficients[j] * found[n - j] for j in range(1, min(n, len(coefficients) - 1) + 1)
        ]
        found.append(sp.Add(*terms) / (n * coefficients[0]))
    return found


def _gammas(start: sp.Expr, more: int, root: int) -> sp.Expr:
    """Gamma((start + more)/root) over Gamma(start/root)."""
    if more % root == 0:
        return sp.rf(start / root, more // root)
    return sp.gamma((start + more) / root) / sp.gamma(start / root)


# Quadratic forms ----------------------------------------------------------------------------------


def form_series(curvatures: FloatArray, order: int) -> LowTemperature:
    """Expand a quadratic form about its lowest eigenvectors.

    Parameters
    ----------
    curvatures : FloatArray
        Its eigenvalues, ascending.
    order : int
        The last power of T in ``C_V/R``.

    Returns
    -------
    LowTemperature
    """
    gaps: Any = curvatures - curvatures[0]
    gaps = gaps[gaps > 1e-12 * gaps[-1]]
    d, level = len(curvatures), len(curvatures) - len(gaps)
    cumulants = [
        0,
        *(sp.factorial(n - 1) / 2 * sp.Float(float(np.sum(gaps ** -float(n)))) for n in range(1, order + 1)),
    ]
    moments: list[sp.Expr] = [sp.S.One]
    for j in range(1, order + 1):
        moments.append(sp.Add(*[sp.binomial(j - 1, n - 1) * cumulants[n] * moments[j - n] for n in range(1, j + 1)]))
    terms = [(-1) ** j * sp.binomial(sp.Rational(level, 2) - 1, j) * moment for j, moment in enumerate(moments)]
    well = _Well(sp.S.One, sp.Rational(d - level, 2), 1, terms, order + 1)
    return _written([well], sp.Float(float(curvatures[0])), sp.Rational(d - 1, 2))
