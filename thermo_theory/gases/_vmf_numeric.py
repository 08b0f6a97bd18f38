"""Numbers of the von Mises-Fisher gas, right to 1e-10 in any dimension and at any temperature.

The gas is the loss ``L = 1 - mu.w`` on the unit sphere of ``R^d``, ``mu`` a unit vector, with the Gibbs law
``rho ~ exp(-L/T)``: the von Mises-Fisher distribution of concentration ``kappa = 1/T``. Everything follows from
``A_d = I_{d/2}(kappa)/I_{d/2-1}(kappa)``.

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

Sources: Mardia & Jupp 2000, *Directional Statistics*, section 9.3; Banerjee, Dhillon, Ghosh & Sra 2005 (JMLR 6);
NIST DLMF 10.41 (the expansion) and 10.29 (the recurrence); Wood 1994 and Ulrich 1984 (sampling); arXiv 2511.07308
(the gas).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ArrayLike = npt.ArrayLike
Invalid = Literal["raise", "nan"]
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


# --- the domain -----------------------------------------------------------------------------------------------------


def check_domain(
    name: str,
    value: ArrayLike,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
    meaning: str = "",
    invalid: Invalid = "raise",
) -> FloatArray:
    """Return a number or an array as float64 after a check that every entry is finite and in an interval.

    Parameters
    ----------
    name
        The argument's name, for the message.
    value
        A real number or an array of any shape.
    low, high
        Ends of the interval.
    low_open, high_open
        Whether the end itself is excluded.
    meaning
        What the argument is, for the message.
    invalid
        ``"raise"``: an entry out of the domain is an error. ``"nan"``: it becomes NaN.

    Returns
    -------
    FloatArray
        The values, same shape; a copy only where something had to be converted or replaced.

    Raises
    ------
    ValueError
        If an entry is not finite or not in the interval and ``invalid`` is ``"raise"``; if the value is not made of
        real numbers; if ``invalid`` is neither of the two words.

    Examples
    --------
    >>> check_domain("T", -1.5, low=0.0, low_open=True, meaning="temperature")
    Traceback (most recent call last):
        ...
    ValueError: T must be > 0 (temperature), got -1.5
    >>> check_domain("d", [1.0, 3.0], low=2.0, invalid="nan")
    array([nan,  3.])
    """
    if invalid not in {"raise", "nan"}:
        raise ValueError(f'invalid must be "raise" or "nan", got {invalid!r}')
    array = _as_real(name, value)
    above = array > low if low_open else array >= low
    below = array < high if high_open else array <= high
    bad = ~(np.isfinite(array) & above & below)
    if not bad.any():
        return array
    if invalid == "nan":
        return np.where(bad, np.nan, array)
    where = tuple(int(index) for index in np.argwhere(bad)[0])
    first = float(array[where])
    bounds = []
    if low > -math.inf:
        bounds.append(f"{'>' if low_open else '>='} {low:g}")
    if high < math.inf:
        bounds.append(f"{'<' if high_open else '<='} {high:g}")
    if not math.isfinite(first) or not bounds:
        bounds.insert(0, "finite")
    place = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    raise ValueError(f"{name} must be {' and '.join(bounds)}{f' ({meaning})' if meaning else ''}, got {first!r}{place}")


def _as_real(name: str, value: ArrayLike) -> FloatArray:
    """Convert to float64.

    Raises
    ------
    ValueError
        If the value is text, complex, a ragged list or anything else that is not real numbers; names the argument.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "USbcmM":  # text, truth values, complex numbers, dates
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name} must be a real number or an array of real numbers, got {value!r}"[:200])


def _domain(d: ArrayLike, T: ArrayLike, invalid: Invalid) -> tuple[FloatArray, FloatArray]:
    """Check dimension and temperature, and that their shapes broadcast.

    Raises
    ------
    ValueError
        If the shapes do not broadcast; entries out of the domain raise in `check_domain`.
    """
    dimension = check_domain("d", d, low=2.0, meaning="dimension of the weights", invalid=invalid)
    temperature = check_domain("T", T, low=0.0, low_open=True, meaning="temperature", invalid=invalid)
    try:
        np.broadcast_shapes(dimension.shape, temperature.shape)
    except ValueError:
        shapes = f"d has shape {dimension.shape} and T has shape {temperature.shape}"
        raise ValueError(f"d and T must have shapes that broadcast: {shapes}") from None
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


class _State(NamedTuple):
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


def _expansion(d: FloatArray, T: FloatArray) -> _State:
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
    return _State(length, gap, heat, log_partition)


def _recurrence(d: FloatArray, T: FloatArray) -> _State:
    """Start thirty orders up and come down by ``1/A_d = d/kappa + A_{d+2}`` and its consequences.

    ``kappa (1 - A_d) = A_d (d - kappa (1 - A_{d+2}))``, ``kappa^2 A_d' = A_d^2 (d - kappa^2 A_{d+2}')`` and
    ``Z_d = Z_{d+2}/(2 pi T A_d)``.
    """
    steps = int(ORDER_MIN)
    length, gap, heat, start = _expansion(d + 2 * steps, T)
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
    return _State(length, gap, heat, log_partition)


def _state(d: FloatArray, T: FloatArray) -> _State:
    """Evaluate one-dimensional arrays of equal length, each entry by the branch of its order; NaN in, NaN out."""
    T = np.minimum(T, SATURATED / d)
    small = (d < 2.0 * ORDER_MIN + 2.0) & (T > COLD)
    if small.all():
        return _recurrence(d, T)
    if not small.any():
        return _expansion(d, T)
    out = _State(*(np.empty_like(d) for _ in _State._fields))
    for branch, rows in ((_recurrence, small), (_expansion, ~small)):
        for target, part in zip(out, branch(d[rows], T[rows]), strict=True):
            target[rows] = part
    return out


Pick = Callable[[FloatArray, FloatArray, _State], FloatArray]


def _evaluate(pick: Pick, d: ArrayLike, T: ArrayLike, invalid: Invalid) -> float | FloatArray:
    """Check the arguments, walk over their broadcast in chunks and pick one quantity out of the state."""
    dimension, temperature = _domain(d, T, invalid)
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
                out[...] = pick(some_d, some_T, _state(some_d, some_T))
            result = chunks.operands[2]
    return result if result.ndim else float(result)


# --- the gas --------------------------------------------------------------------------------------------------------


def mean_resultant_length(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the mean cosine with the minimum's direction, ``A_d(1/T) = I_{d/2}(1/T)/I_{d/2-1}(1/T)``.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        A number between 0 and 1, right to 1e-12 relative also where it is small.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: Mardia & Jupp 2000, *Directional Statistics*, section 9.3.

    Examples
    --------
    In three dimensions it is ``coth(1/T) - T``:

    >>> f"{mean_resultant_length(d=3, T=0.5):.12f}"
    '0.537314720728'
    """
    return _evaluate(lambda d, T, state: state.length, d, T, invalid)


def _energy(d: FloatArray, T: FloatArray, state: _State) -> FloatArray:
    """Undo ``gap = U/T``; ``U < 1``, which rounding would break by a bit."""
    return np.minimum(np.minimum(T, SATURATED / d) * state.gap, 1.0)


def energy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the internal energy ``U = E L = 1 - A_d(1/T)`` of the von Mises-Fisher gas.

    ``U = R T + O(T^2)`` with ``R = (d-1)/2`` at low temperature, 1 at high temperature.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        Energy in units of the loss, between 0 and 1, right to 1e-12 relative also where it is small.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: Mardia & Jupp 2000, *Directional Statistics*, section 9.3; the gas: arXiv 2511.07308.

    Examples
    --------
    In three dimensions it is ``1 - coth(1/T) + T``; the second number is mpmath's, with 60 digits:

    >>> f"{energy(d=3, T=0.5):.12f}"
    '0.462685279272'
    >>> f"{energy(d=2000, T=1e-8):.15e}"
    '9.994950099962002e-06'
    >>> energy(d=3, T=[0.5, -1.0], invalid="nan").round(6)
    array([0.462685,      nan])
    """
    return _evaluate(_energy, d, T, invalid)


def entropy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the differential entropy ``S = -log C_d(kappa) - kappa A_d(kappa)``, ``kappa = 1/T``, of the directions.

    ``log C_d = (d/2-1) log kappa - (d/2) log 2 pi - log I_{d/2-1}(kappa)``. ``S ~ R log(2 pi e T)``,
    ``R = (d-1)/2``, at low temperature; the log area of the unit sphere at high temperature.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        Entropy in nats with respect to the surface measure of the unit sphere. Right to 1e-12 relative to
        ``max(|S|, R)``: where S passes through zero the scale of its terms, ``R``, stands in for its value.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: Banerjee et al. 2005 (JMLR 6), section 2.2 (the normaliser); the gas: arXiv 2511.07308.

    Examples
    --------
    At T to infinity it is the log of the sphere's area, ``log 4 pi`` in three dimensions; the second number is
    mpmath's, where Bessel functions in double precision underflow:

    >>> f"{entropy(d=3, T=1e9):.12f}"
    '2.531024246969'
    >>> f"{entropy(d=2000, T=1/200):.9f}"
    '-4769.650778815'
    """
    return _evaluate(lambda d, T, state: state.log_partition + state.gap, d, T, invalid)


def heat_capacity(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the heat capacity ``C_V = dU/dT = kappa^2 (1 - A_d^2 - (d-1) A_d/kappa)`` at constant volume.

    ``kappa = 1/T``. It is also ``Var(L)/T^2`` and ``T dS/dT``. ``C_V -> R = (d-1)/2`` at low
    temperature, ``1/(d T^2)`` at high temperature.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        Heat capacity, a pure number > 0, right to 1e-12 relative.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: ``A_d' = 1 - A_d^2 - (d-1) A_d/kappa``, Mardia & Jupp 2000, section 9.3; Banerjee et al. 2005. Evaluated as
    written it has no correct digit at low temperature; see the module.

    Examples
    --------
    In three dimensions it is ``1 - (kappa/sinh kappa)^2``; the second number is mpmath's:

    >>> f"{heat_capacity(d=3, T=0.5):.12f}"
    '0.695912680648'
    >>> f"{heat_capacity(d=2000, T=1/200):.11f}"
    '19.41986767203'
    """
    return _evaluate(lambda d, T, state: state.heat, d, T, invalid)


def adiabatic_index(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the adiabatic index ``gamma = C_p/C_V = 1 + R/C_V`` with the gas constant ``R = (d-1)/2``.

    ``gamma -> 2`` at low temperature, ``gamma = 2 + (d-3) T/2 + ...``; it grows as ``R d T^2`` at high temperature.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        A pure number > 1, right to 1e-12 relative; infinite where ``C_V`` is below the smallest double.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: arXiv 2511.07308 (``C_p - C_V = R`` and the limit 2); ``C_V`` from Mardia & Jupp 2000, section 9.3.

    Examples
    --------
    In three dimensions it is ``1 + 1/(1 - (kappa/sinh kappa)^2)``; the second number is mpmath's:

    >>> f"{adiabatic_index(d=3, T=0.5):.12f}"
    '2.436961888766'
    >>> f"{adiabatic_index(d=2000, T=1/200):.11f}"
    '52.46790991989'
    """
    return _evaluate(lambda d, T, state: 1.0 + 0.5 * (d - 1.0) / state.heat, d, T, invalid)


def log_normalizer(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the log of the density's constant, ``log C_d`` in ``rho = C_d(kappa) exp(kappa mu.w)``, ``kappa = 1/T``.

    ``log C_d = (d/2-1) log kappa - (d/2) log 2 pi - log I_{d/2-1}(kappa)``.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        The logarithm, in nats, right to 1e-12 relative to ``max(|log C_d|, R)``.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: Banerjee et al. 2005 (JMLR 6), equation 2.2.

    Examples
    --------
    In three dimensions it is ``log(kappa/(4 pi sinh kappa))``:

    >>> f"{log_normalizer(d=3, T=0.5):.12f}"
    '-3.126244439024'
    """
    return _evaluate(lambda d, T, state: -1.0 / T - state.log_partition, d, T, invalid)


def free_energy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the free energy of the directions, ``F = U - T S = -T log int exp(-L/T)``.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry out of the domain does.

    Returns
    -------
    float or FloatArray
        Free energy in units of the loss, right to 1e-12 relative to ``max(|F|, R T)``.

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the shapes do not broadcast.

    Notes
    -----
    Source: arXiv 2511.07308, the stationary distribution ``rho ~ exp(-L/T)`` on the sphere.

    Examples
    --------
    In three dimensions it is ``1 - T log(4 pi T sinh(1/T))``:

    >>> f"{free_energy(d=3, T=0.5):.12f}"
    '-0.563122219512'
    """
    return _evaluate(lambda d, T, state: -T * state.log_partition, d, T, invalid)


# --- sampling -------------------------------------------------------------------------------------------------------


def _sample_gap(d: float, T: float, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw ``count`` values of ``1 - cos``, which keeps its digits at low temperature where the cosine has lost them.

    Wood's (1994) envelope ``(1 - cos^2)^((d-3)/2)/(1 - c cos)^(d-1)``, with everything written in ``1 - cos`` and
    ``b = (1-c)/(1+c)``. At least 65 % of the proposals are accepted, for any ``d`` and ``T``.
    """
    T = min(max(T, 1e-300), SATURATED / d)
    b = (d - 1.0) * T / (2.0 + math.hypot(2.0, (d - 1.0) * T))
    peak = 2.0 * b / (1.0 + b)
    out = np.empty(count)
    filled = 0
    while filled < count:
        tries = int(1.6 * (count - filled)) + 16
        # Wood's beta variate is Z = first/(first + second); the quotient below is his 1 - W without a difference.
        first, second = rng.standard_gamma(0.5 * (d - 1.0), size=(2, tries))
        gap = 2.0 * b * first / (second + b * first)
        offset = gap - peak
        log_accept = (d - 1.0) * np.log1p((1.0 - b) * offset / (2.0 * b + (1.0 - b) * peak)) - offset / T
        gap = gap[log_accept >= -rng.standard_exponential(tries)][: count - filled]
        out[filled : filled + gap.size] = gap
        filled += gap.size
    return out


def _shape(size: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Turn numpy's ``size`` into a shape.

    Raises
    ------
    ValueError
        If it is not made of whole numbers >= 0.
    """
    shape = () if size is None else tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
        raise ValueError(f"size must be a whole number >= 0, a tuple of them, or None, got {size!r}")
    return tuple(int(n) for n in shape)


def sample_cosine(
    *,
    d: float,
    T: float,
    size: int | tuple[int, ...] | None = None,
    rng: np.random.Generator | int | None = None,
) -> float | FloatArray:
    r"""Draw ``cos = mu.w`` from its exact law, density ``~ exp(cos/T) (1 - cos^2)^((d-3)/2)``.

    Parameters
    ----------
    d
        Dimension of the weights, any real number from 2; one number.
    T
        Temperature in units of the loss, > 0; one number.
    size
        Shape of the result; None for one number.
    rng
        Generator, or a seed for a new one.

    Returns
    -------
    float or FloatArray
        Cosines, of shape ``size``.

    Raises
    ------
    ValueError
        If an argument is out of its domain or not one number.

    Notes
    -----
    Source: Wood 1994, *Simulation of the von Mises Fisher distribution* (Commun. Stat. 23), after Ulrich 1984.

    Examples
    --------
    The mean is ``A_d``, in three dimensions ``coth(1/T) - T = 0.5373`` at T = 1/2:

    >>> cosines = sample_cosine(d=3, T=0.5, size=100_000, rng=1)
    >>> bool(abs(cosines.mean() - 0.537315) < 0.005)
    True
    """
    dimension, temperature = _one_point(d, T)
    shape = _shape(size)
    cosine = 1.0 - _sample_gap(dimension, temperature, math.prod(shape), np.random.default_rng(rng))
    return cosine.reshape(shape) if shape else float(cosine[0])


def sample(
    *,
    d: int,
    T: float,
    size: int | tuple[int, ...] | None = None,
    rng: np.random.Generator | int | None = None,
) -> FloatArray:
    r"""Draw unit vectors of the von Mises-Fisher gas, ``rho ~ exp(-(1 - mu.w)/T)``, ``mu`` the first coordinate axis.

    Parameters
    ----------
    d
        Dimension of the weights, a whole number from 2; one number.
    T
        Temperature in units of the loss, > 0; one number.
    size
        Leading shape of the result; None for one vector.
    rng
        Generator, or a seed for a new one.

    Returns
    -------
    FloatArray
        Independent unit vectors, of shape ``(*size, d)``.

    Raises
    ------
    ValueError
        If an argument is out of its domain or not one number.

    Notes
    -----
    Source: Wood 1994 (Commun. Stat. 23) for the cosine; the rest is uniform on the sphere of ``R^(d-1)``.

    Examples
    --------
    >>> w = sample(d=4, T=0.1, size=(2, 5), rng=0)
    >>> w.shape, bool(abs((w**2).sum(axis=-1) - 1.0).max() < 1e-14)
    ((2, 5, 4), True)
    """
    dimension, temperature = _one_point(d, T)
    if dimension != int(dimension):
        raise ValueError(f"d must be a whole number >= 2 to draw vectors (dimension of the weights), got {d!r}")
    shape, width = _shape(size), int(dimension)
    generator = np.random.default_rng(rng)
    gap = _sample_gap(dimension, temperature, math.prod(shape), generator)
    out = np.empty((gap.size, width))
    generator.standard_normal(out=out)  # the first column too, only to be overwritten: one pass over the memory
    sideways = out[:, 1:]
    sideways *= np.sqrt(gap * (2.0 - gap) / np.einsum("ij,ij->i", sideways, sideways))[:, None]
    out[:, 0] = 1.0 - gap
    return out.reshape((*shape, width))


def _one_point(d: float, T: float) -> tuple[float, float]:
    """Check the dimension and temperature of a sampler.

    Raises
    ------
    ValueError
        If one of them is an array; values out of the domain raise in `check_domain`.
    """
    dimension, temperature = _domain(d, T, "raise")
    for name, array in (("d", dimension), ("T", temperature)):
        if array.ndim:
            raise ValueError(f"{name} must be one number to draw samples, got an array of shape {array.shape}")
    return float(dimension), float(temperature)
