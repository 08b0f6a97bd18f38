"""Four numbers of the von Mises-Fisher law that do not cancel, in any dimension and at any temperature.

How it is computed
------------------
The textbook formulas cancel: ``U = 1 - A`` loses all digits at low temperature, ``C_V = kappa^2 (1 - A^2 - (d-1)
A/kappa)`` loses them twice over, and the Bessel functions themselves underflow at large ``d``. So four numbers are
carried instead, none of which cancels at either end of the temperature scale:

- ``length = A``, right relative to itself at high temperature, where it is small;
- ``gap = kappa (1 - A) = U/T``, which tends to ``R = (d-1)/2`` at low temperature;
- ``heat = kappa^2 dA/dkappa = C_V``, which tends to ``R`` as well;
- ``log_partition = log int exp(-L/T)``, from which ``S = log_partition + gap`` and ``F = -T log_partition``.

Two branches give them, with ``nu = d/2 - 1``:

1. *Expansion*, where ``nu >= 30`` or ``kappa >= 64``: the uniform (Debye) expansion of ``log I_nu(kappa)`` in powers of
   ``1/s``, ``s = (nu^2 + kappa^2)^(1/2)``, with polynomials in ``q = nu^2/s^2`` as coefficients, differentiated term by
   term as polynomials with exact rational coefficients. The leading terms are written without differences of
   near-equal numbers. It reaches from ``kappa = 0`` (where it is Stirling's series) to infinity (Hankel's), and to
   ``nu = 0`` as long as ``s`` is large; the first term left out is below 1e-14 of the result.
2. *Recurrence*, the rest (``d < 62`` and ``T > 1/64``): the expansion at ``d + 60``, then thirty steps down of
   ``1/A_d = d/kappa + A_{d+2}`` and what follows from it for the other three. Downwards the recurrence is stable.

Quadrature of the density was the alternative; it needs a substitution for the endpoint singularities of ``d < 3`` and
some 40 exponentials a point, this needs four logarithms.

Sources: NIST DLMF 10.41 (the expansion) and 10.29 (the recurrence).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thermo_theory.numeric.domain import DIMENSION, POSITIVE, FloatArray, Invalid, check_domain, common_shape

__all__ = ["COLD", "ORDER_MIN", "SATURATED", "BesselNumbers", "checked", "evaluate", "expansion", "recurrence"]

ArrayLike = npt.ArrayLike
Polynomial = list[Fraction]

ORDER_MIN = 30.0
"""Order ``nu`` from which the expansion is used at any temperature; also the number of steps of the recurrence."""
COLD = 1.0 / 64.0
"""Temperature up to which the expansion is used in any dimension."""
TERMS = 10
"""Terms of the expansion beyond the leading ones; the remainder of ``C_V``, the worst, is then below 1e-14."""
CHUNK = 8192
"""Elements worked on at once: the scratch arrays stay in the processor's cache."""
SATURATED = 1e300
"""``T d`` beyond this is taken as this: there U = 1, C_V = 0, S the log area of the sphere, and nothing overflows."""
LOG_2PI = math.log(2.0 * math.pi)


def checked(d: ArrayLike, T: ArrayLike, invalid: Invalid) -> tuple[FloatArray, FloatArray]:
    """Check dimension and temperature, and that their shapes broadcast.

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or an entry is out of the domain.
    """
    dimension = check_domain("d", d, DIMENSION, invalid, "dimension of the weights")
    temperature = check_domain("T", T, POSITIVE, invalid, "temperature")
    common_shape({"d": dimension, "T": temperature})
    return dimension, temperature


# --- the expansion's coefficients, exact ----------------------------------------------------------------------------


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    """Multiply two polynomials given by their coefficients from the constant up."""
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def _logarithm_rows(terms: int) -> list[Polynomial]:
    r"""Coefficients of ``E_k(q)`` in ``log I_nu = (leading) + sum_k s^-k E_k(q)``.

    DLMF 10.41.9 for ``U_k(p)``, ``p = nu/s``, turned into a recursion for ``h_k = d/dp`` of the k-th term of
    ``log sum U_k nu^-k``: ``h_1 = (1 - 5p^2)/8`` and ``h_{k+1} = ((w h_k)' + w sum_{i+j=k} h_i h_j)/2`` with
    ``w = p^2 (1 - p^2)``. Each ``h_k`` is ``p^(k-1) g_k(q)`` with ``g_k`` of degree k in ``q = p^2``; ``g_k`` is
    what is stored. ``E_k = sum_j g_kj q^j/(k + 2j)``.
    """
    w = [Fraction(1), Fraction(-1)]  # w = q (1 - q), less its factor q = p^2
    g: list[Polynomial] = [[Fraction(1, 8), Fraction(-5, 8)]]
    for k in range(1, terms):
        # (w h_k)' = p^k sum_j (k + 1 + 2j) [(1 - q) g_k]_j q^j and w h_i h_j = p^k (1 - q) g_i g_j.
        row = [(k + 1 + 2 * j) * x / 2 for j, x in enumerate(_product(w, g[k - 1]))]
        for i in range(1, k):
            for j, x in enumerate(_product(w, _product(g[i - 1], g[k - i - 1]))):
                row[j] += x / 2
        g.append(row)
    return [[x / (k + 2 * j) for j, x in enumerate(row)] for k, row in enumerate(g, start=1)]


def _tables(terms: int) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Coefficients of the k-th terms of ``log I_nu``, of ``1 - A`` and of ``A'``, as floats.

    From ``dq/dkappa = -2 q kappa/s^2``: ``d(s^-k E_k) = -kappa s^(-k-2) P_k`` with ``P_kj = (k + 2j) E_kj``, and
    ``d^2(s^-k E_k) = s^(-k-2) Q_k`` with ``Q_k = (1 - q) sum_j (k + 2 + 2j) P_kj q^j - P_k``.
    """
    value = _logarithm_rows(terms)
    slope, curvature = [], []
    for k, row in enumerate(value, start=1):
        first = [(k + 2 * j) * x for j, x in enumerate(row)]
        second = _product([Fraction(1), Fraction(-1)], [(k + 2 + 2 * j) * x for j, x in enumerate(first)])
        for j, x in enumerate(first):
            second[j] -= x
        slope.append(first)
        curvature.append(second)
    as_floats = [[[float(x) for x in row] for row in table] for table in (value, slope, curvature)]
    return as_floats[0], as_floats[1], as_floats[2]


VALUE, SLOPE, CURVATURE = _tables(TERMS)


# --- the kernel -----------------------------------------------------------------------------------------------------


class BesselNumbers(NamedTuple):
    """The four numbers that do not cancel; see the module's docstring."""

    length: FloatArray
    gap: FloatArray
    heat: FloatArray
    log_partition: FloatArray


def _series(table: list[list[float]], u: FloatArray, q: FloatArray) -> FloatArray:
    """Sum ``u^k sum_j table[k-1][j] q^j`` over k by Horner's rule in both variables."""
    total = np.zeros_like(u)
    for row in reversed(table):
        inner = np.full_like(q, row[-1])
        for coefficient in reversed(row[:-1]):
            inner *= q
            inner += coefficient
        total += inner
        total *= u
    return total


def expansion(d: FloatArray, T: FloatArray) -> BesselNumbers:
    """Expand in ``1/s``, ``s = (nu^2 + kappa^2)^(1/2)``; in ``sigma = s T``, so that ``kappa`` itself never appears."""
    nu = 0.5 * d - 1.0
    x = nu * T
    sigma = np.hypot(1.0, x)
    inverse = 1.0 / sigma
    inverse_sq = inverse * inverse
    u = T * inverse  # 1/s
    q = (x * inverse) ** 2
    leading = 1.0 / (sigma + x)  # kappa/(s + nu), the leading term of A
    slope = inverse_sq * (0.5 + _series(SLOPE, u, q))
    length = leading - T * slope
    # kappa (1 - kappa/(s + nu)) with s - kappa = nu^2/(s + kappa) put in.
    gap = nu * (1.0 + leading) / (sigma + 1.0) + slope
    heat = nu * inverse * leading + inverse_sq * (0.5 - q + _series(CURVATURE, u, q))
    # log(nu T + sigma) = asinh(nu T); R log(2 pi T) collects every log T, so that nothing is left to cancel as T -> 0.
    log_partition = 0.5 * (d - 1.0) * (LOG_2PI + np.log(T)) - nu * np.arcsinh(x) - 0.5 * np.log(sigma)
    log_partition += nu * (x / (sigma + 1.0)) + _series(VALUE, u, q)
    return BesselNumbers(length, gap, heat, log_partition)


def recurrence(d: FloatArray, T: FloatArray) -> BesselNumbers:
    """Start thirty orders up and come down by ``1/A_d = d/kappa + A_{d+2}`` and its consequences.

    ``kappa (1 - A_d) = A_d (d - kappa (1 - A_{d+2}))``, ``kappa^2 A_d' = A_d^2 (d - kappa^2 A_{d+2}')`` and
    ``Z_d = Z_{d+2}/(2 pi T A_d)``.
    """
    steps = int(ORDER_MIN)
    length, gap, heat, start = expansion(d + 2 * steps, T)
    # The factors 1/(A_d (1 + T)) lie between 1/2 and d: their product does not overflow, one logarithm does for all.
    product = np.ones_like(length)
    scale = 1.0 / (1.0 + T)
    for step in reversed(range(steps)):
        order = d + 2 * step
        denominator = order * T + length
        product *= denominator * scale
        length = 1.0 / denominator
        gap = (order - gap) * length
        heat = (order - heat) * (length * length)
    log_partition = start + np.log(product) + steps * (np.log1p(T) - LOG_2PI - np.log(T))
    return BesselNumbers(length, gap, heat, log_partition)


def state_of(d: FloatArray, T: FloatArray) -> BesselNumbers:
    """Evaluate one-dimensional arrays of equal length, each entry by the branch of its order; NaN in, NaN out."""
    T = np.minimum(T, SATURATED / d)
    small = (d < 2.0 * ORDER_MIN + 2.0) & (T > COLD)
    if small.all():
        return recurrence(d, T)
    if not small.any():
        return expansion(d, T)
    out = BesselNumbers(*(np.empty_like(d) for _ in BesselNumbers._fields))
    for branch, rows in ((recurrence, small), (expansion, ~small)):
        for target, part in zip(out, branch(d[rows], T[rows]), strict=True):
            target[rows] = part
    return out


Pick = Callable[[FloatArray, FloatArray, BesselNumbers], FloatArray]


def evaluate(pick: Pick, d: ArrayLike, T: ArrayLike, invalid: Invalid) -> float | FloatArray:
    """Check the arguments, walk over their broadcast in chunks and pick one quantity out of the state."""
    dimension, temperature = checked(d, T, invalid)
    # At the far ends C_V underflows, gamma and kappa overflow: 0 and inf are then the right values.
    with np.errstate(all="ignore"):
        chunks = np.nditer(
            [dimension, temperature, None],
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[["readonly"], ["readonly"], ["writeonly", "allocate"]],
            op_dtypes=[np.float64, np.float64, np.float64],
            buffersize=CHUNK,
            order="C",
        )
        with chunks:
            for some_d, some_T, out in chunks:
                out[...] = pick(some_d, some_T, state_of(some_d, some_T))
            result = chunks.operands[2]
    return result if result.ndim else float(result)
