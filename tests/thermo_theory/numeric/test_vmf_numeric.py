"""The von Mises-Fisher numbers against two slow references, identities and exact samples.

References: the Bessel functions of mpmath with 80 digits, and the Debye expansion of ``I_nu`` itself (DLMF 10.41.3 with
the textbook recursion for its polynomials, good to 50 digits), put into the textbook formulas of U, S and C_V; tested
against each other where both hold. Nothing of the module's own algebra is used in them.
"""

import math
import time
from fractions import Fraction
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from thermo_theory.numeric import bessel, vmf, vmf_sampling
from thermo_theory.numeric.domain import COEFFICIENT, DIMENSION, REAL, Domain, check_domain

DIGITS = 80
TOLERANCE = 1e-12  # asked for: 1e-10; seen: 6e-14
QUANTITIES = (vmf.energy, vmf.entropy, vmf.heat_capacity, vmf.adiabatic_index)
EVERYTHING = (*QUANTITIES, vmf.mean_resultant_length, vmf.log_normalizer, vmf.free_energy)


# --- references ------------------------------------------------------------------------------------------------------


def from_bessel_logs(d, T, log_lower, log_upper):
    """Textbook formulas, from the logs of ``I_{d/2-1}`` and ``I_{d/2}``, with digits enough to survive them."""
    kappa, gas_constant = 1 / T, (d - 1) / 2
    ratio = mp.exp(log_upper - log_lower)
    log_c = (d / 2 - 1) * mp.log(kappa) - d / 2 * mp.log(2 * mp.pi) - log_lower
    heat = kappa**2 * (1 - ratio**2 - (d - 1) * ratio / kappa)
    values = (1 - ratio, -log_c - kappa * ratio, heat, 1 + gas_constant / heat, ratio, log_c, T * (log_c + kappa))
    scales = (0, gas_constant, 0, 0, 0, gas_constant, gas_constant * T)  # what the error is relative to at a zero
    return {f: (value, max(abs(value), scale)) for f, value, scale in zip(EVERYTHING, values, scales, strict=True)}


def bessel_logs(d, T):
    return [mp.log(mp.besseli(order, 1 / T, maxterms=10**7)) for order in (d / 2 - 1, d / 2)]


@cache
def debye_polynomials(count=26):
    """``U_0 .. U_count`` of DLMF 10.41.9 as dictionaries from power to exact coefficient."""
    out = [{0: Fraction(1)}]
    for _ in range(count):
        following: dict[int, Fraction] = {}
        for power, x in out[-1].items():
            # p^2 (1 - p^2) U'/2 + (1/8) int (1 - 5 t^2) U dt
            up = x * power / 2 + x / (8 * (power + 1))
            up3 = -x * power / 2 - 5 * x / (8 * (power + 3))
            following[power + 1] = following.get(power + 1, Fraction(0)) + up
            following[power + 3] = following.get(power + 3, Fraction(0)) + up3
        out.append(following)
    return out


def debye_log(order, kappa):
    """``log I_order(kappa)`` by DLMF 10.41.3, refused where the last term is not below 1e-50."""
    z = kappa / order
    root = mp.sqrt(1 + z * z)
    total = mp.mpf(0)
    for k, polynomial in enumerate(debye_polynomials()):
        term = sum(mp.mpf(x.numerator) / x.denominator * root**-power for power, x in polynomial.items()) / order**k
        total += term
    assert abs(term) < mp.mpf(10) ** -50, (order, kappa, mp.nstr(term, 3))
    eta = root + mp.log(z / (1 + root))
    return order * eta - mp.log(2 * mp.pi * order) / 2 - mp.log(1 + z * z) / 4 + mp.log(total)


def debye_logs(d, T):
    return [debye_log(order, 1 / T) for order in (d / 2 - 1, d / 2)]


def exact(d, T, logs):
    with mp.workdps(DIGITS):
        d, T = mp.mpf(d), mp.mpf(T)
        return from_bessel_logs(d, T, *logs(d, T))


def assert_right(d, T, logs):
    for f, (value, scale) in exact(d, T, logs).items():
        with mp.workdps(DIGITS):
            error = abs(mp.mpf(f(d=d, T=T)) - value) / scale
        assert error < TOLERANCE, f"{f.__name__}(d={d}, T={T}): error {mp.nstr(error, 3)} of {mp.nstr(scale, 17)}"


@pytest.mark.parametrize("d", [1000, 2001.5, 4000])
@pytest.mark.parametrize("x", [1e-3, 0.3, 2.0, 50.0])
def test_the_two_references_agree_where_both_hold(d, x):
    one, other = exact(d, x / d, bessel_logs), exact(d, x / d, debye_logs)
    for f, (value, scale) in one.items():
        assert abs(value - other[f][0]) < mp.mpf(10) ** -40 * scale, f


# --- values ----------------------------------------------------------------------------------------------------------


TEMPERATURES = [float(f"1e{n}") for n in range(-12, 7)]
EDGES = [bessel.COLD, math.nextafter(bessel.COLD, 1.0), 0.014, 0.017, 0.02, 0.025, 0.05, 0.2, 0.4, 2.0, 3.0]


@pytest.mark.parametrize("d", [2, 2.0001, 2.5, 3, 3.3, 4, 7.5, 10, 17.6, 30, 45, 61.999, 62, 63, 100, 316, 700])
def test_every_quantity_against_bessel_functions(d):
    for T in [*TEMPERATURES, *EDGES, 0.1 / d, 0.7 / d, 5.0 / d]:
        assert_right(d, T, bessel_logs)


@pytest.mark.parametrize("d", [1000, 2000, 40_001, 43_692, 1e5, 1_234_567, 1e7])
def test_every_quantity_against_the_debye_expansion(d):
    for T in [*TEMPERATURES, 0.1 / d, 0.3 / d, 0.7 / d, 1.5 / d, 5.0 / d, 30.0 / d, 1 / 200]:
        assert_right(d, T, debye_logs)


@pytest.mark.parametrize("T", [1e-4, 0.03, 0.5, 7.0, 1e3])
def test_three_dimensions_are_elementary(T):
    with mp.workdps(60):
        kappa = 1 / mp.mpf(T)
        closed = (
            (vmf.energy, 1 - mp.coth(kappa) + 1 / kappa),
            (vmf.heat_capacity, 1 - (kappa / mp.sinh(kappa)) ** 2),
            (vmf.log_normalizer, mp.log(kappa / (4 * mp.pi * mp.sinh(kappa)))),
        )
        for f, value in closed:
            assert abs(f(d=3, T=T) / value - 1) < 1e-13, f


@pytest.mark.parametrize("d", [2, 5, 40])
@pytest.mark.parametrize("kappa", [0.3, 4.0, 60.0])
def test_entropy_agrees_with_scipy_where_scipy_has_one(d, kappa):
    mean = np.eye(d)[0]
    assert vmf.entropy(d=d, T=1 / kappa) == pytest.approx(stats.vonmises_fisher(mean, kappa).entropy(), abs=1e-10 * d)


@pytest.mark.parametrize("d", [2.5, 4.0, 10.0, 30.0, 100.0])
def test_low_temperature_series(d):
    """To third order as the theory has it; the remainder is the fourth order, from the same Riccati equation."""
    T = 2e-3 / d
    heat = [1, -(d - 3) / 2, -3 * (d - 3) / 4, (d - 7) * (d - 3) * (d + 3) / 16]
    index = [2, (d - 3) / 2, d * (d - 3) / 4, (d - 3) * (d + 1) * (d + 3) / 16]
    fourth = 5 * (d - 3) * (d * d - 4 * d - 9) / 16, (d - 3) * (d + 1) * (2 * d + 9) / 16
    seen = vmf.heat_capacity(d=d, T=T) / ((d - 1) / 2), vmf.adiabatic_index(d=d, T=T)
    for value, series, coefficient in zip(seen, (heat, index), fourth, strict=True):
        remainder = value - sum(c * T**n for n, c in enumerate(series))
        third = abs(series[3]) * T**3
        assert abs(remainder - coefficient * T**4) < 0.01 * third + 2e-15
        assert third > 1e-12 or d < 10  # else the line above checks nothing


def test_three_dimensional_gas_has_index_two_but_for_exponentially_small_terms():
    assert vmf.adiabatic_index(d=3, T=1 / 50) == pytest.approx(2.0, abs=1e-14)
    kappa = 10.0
    assert vmf.adiabatic_index(d=3, T=1 / kappa) - 2 == pytest.approx((kappa / math.sinh(kappa)) ** 2, rel=1e-6)


# --- consistency -----------------------------------------------------------------------------------------------------


NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


@settings(max_examples=200, derandomize=True)
@given(log_d=st.floats(math.log(2.0), math.log(1e7)), log_T=st.floats(math.log(1e-12), math.log(1e6) - 0.5))
def test_first_law_along_T(log_d, log_T):
    """``dU = C_V dT`` and ``dS = C_V dT/T`` over half a factor e, by quadrature; so ``dU = T dS``."""
    d, ends = max(2.0, math.exp(log_d)), np.exp([log_T, log_T + 0.5])
    T = np.exp(log_T + 0.25 * (1.0 + NODES))
    heat = vmf.heat_capacity(d=d, T=T)
    in_energy, in_entropy = 0.25 * WEIGHTS @ (heat * T), 0.25 * WEIGHTS @ heat
    U, A, S = vmf.energy(d=d, T=ends), vmf.mean_resultant_length(d=d, T=ends), vmf.entropy(d=d, T=ends)
    assert U[1] - U[0] == pytest.approx(in_energy, abs=1e-13 * U[1])
    assert A[0] - A[1] == pytest.approx(in_energy, abs=1e-13 * A[0])
    assert S[1] - S[0] == pytest.approx(in_entropy, abs=1e-13 * max(abs(S[1]), (d - 1) / 2))


@settings(max_examples=100, derandomize=True)
@given(d=st.floats(2.0, 1e7), log_T=st.floats(math.log(1e-12), math.log(1e6)))
def test_free_energy_is_U_minus_TS(d, log_T):
    T = math.exp(log_T)
    U, S, F, log_c = (f(d=d, T=T) for f in (vmf.energy, vmf.entropy, vmf.free_energy, vmf.log_normalizer))
    assert pytest.approx(U - T * S, abs=1e-13 * (U + T * abs(S))) == F
    assert pytest.approx(1.0 + T * log_c, abs=1e-13 * (1 + T * abs(log_c))) == F


@pytest.mark.parametrize(
    ("d", "T"),
    [
        (np.linspace(62, 300, 40)[:, None], np.geomspace(1e-2, 1e6, 200)),
        (np.linspace(2, 61, 40)[:, None], np.geomspace(5e-3, 1 / 64, 50)),
    ],
    ids=["orders above 30", "temperatures below 1/64"],
)
def test_both_branches_agree_where_both_hold(d, T):
    d, T = (np.ascontiguousarray(a).ravel() for a in np.broadcast_arrays(d, T))
    one, other = bessel.expansion(d, T), bessel.recurrence(d, T)
    for name in ("length", "gap", "heat"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=5e-11, err_msg=name)
    np.testing.assert_array_less(abs(one.log_partition - other.log_partition), 1e-11 * d)


def test_expansion_coefficients_are_the_textbook_ones():
    """The log's first terms: ``D_1 = (3p - 5p^3)/24`` of DLMF 10.41.10, and Stirling's series at p = 1."""
    rows = bessel._logarithm_rows(6)
    assert rows[0] == [Fraction(1, 8), Fraction(-5, 24)]
    stirling = [Fraction(-1, 12), 0, Fraction(1, 360), 0, Fraction(-1, 1260), 0]
    assert [sum(row) for row in rows] == stirling


# --- shapes, speed, the far ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", EVERYTHING)
def test_arrays_broadcast_and_agree_with_scalars(f):
    d, T = np.array([2, 3, 61, 70, 10**6])[:, None, None], np.geomspace(1e-12, 1e6, 7).reshape(7, 1)
    values = f(d=d, T=T)
    assert values.shape == (5, 7, 1)
    assert values.dtype == np.float64
    for i in range(5):
        for j in range(7):
            one = f(d=int(d[i, 0, 0]), T=float(T[j, 0]))
            assert type(one) is float
            assert one == pytest.approx(values[i, j, 0], rel=1e-14)


def test_chunks_and_odd_layouts_change_nothing():
    rng = np.random.default_rng(5)
    d, T = rng.uniform(2, 100, (150, 170)), 10 ** rng.uniform(-6, 3, (170, 150))
    whole = vmf.heat_capacity(d=d, T=T.T)
    assert whole.flags.c_contiguous
    rows = np.stack([vmf.heat_capacity(d=a, T=b) for a, b in zip(d, T.T, strict=True)])
    np.testing.assert_allclose(whole, rows, rtol=1e-14)
    assert vmf.energy(d=np.empty((0, 3)), T=1.0).shape == (0, 3)
    assert vmf.energy(d=[3, 4], T=[[0.5]]).shape == (1, 2)
    assert type(vmf.energy(d=np.array(3), T=np.float32(0.5))) is float


@pytest.mark.parametrize("f", QUANTITIES)
@pytest.mark.parametrize(
    ("d", "T"),
    [
        (np.geomspace(2, 1e7, 1000), np.geomspace(1e-12, 1e6, 1000)),
        (np.linspace(2, 61, 1000), np.geomspace(0.021, 1e6, 1000)),
        (np.tile([2.0, 1e7], 500), np.tile([1e-3, 1.0], 500)),
    ],
    ids=["everywhere", "recurrence only", "branches alternate"],
)
def test_a_million_evaluations_take_under_three_seconds(f, d, T):
    start = time.process_time()
    values = f(d=d[:, None], T=T)
    took = time.process_time() - start
    assert values.shape == (1000, 1000)
    assert np.isfinite(values).all()
    assert took < 3.0, took


@pytest.mark.parametrize("d", [2, 3, 50, 62, 1e7, 1e12])
def test_beyond_the_asked_range_the_limits_hold_without_a_warning(d):
    gas_constant = (d - 1) / 2
    cold, hot = 1e-290, 1e290
    assert vmf.energy(d=d, T=cold) == pytest.approx(gas_constant * cold, rel=1e-13)
    assert vmf.heat_capacity(d=d, T=5e-324) == pytest.approx(gas_constant, rel=1e-13)
    assert vmf.adiabatic_index(d=d, T=5e-324) == pytest.approx(2.0, rel=1e-13)
    assert vmf.entropy(d=d, T=cold) == pytest.approx(gas_constant * (math.log(2 * math.pi) + 1 + math.log(cold)))
    log_area = math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
    for T in (hot, 1e308):
        assert vmf.energy(d=d, T=T) == 1.0
        assert vmf.entropy(d=d, T=T) == pytest.approx(log_area, rel=1e-11)
        assert vmf.heat_capacity(d=d, T=T) == 0.0
        assert vmf.adiabatic_index(d=d, T=T) == math.inf
    assert vmf.mean_resultant_length(d=d, T=hot) == pytest.approx(1 / d / hot, rel=1e-13)


# --- out of the domain -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", EVERYTHING)
@pytest.mark.parametrize(
    ("d", "T", "message"),
    [
        (1, 1.0, r"d must be >= 2 \(dimension of the weights\), got 1"),
        (3, -1.5, r"T must be > 0 \(temperature\), got -1\.5"),
        (3, 0, r"T must be > 0 \(temperature\), got 0"),
        (math.inf, 1.0, r"d must be finite and >= 2 \(dimension of the weights\), got inf"),
        (3, math.nan, r"T must be finite and > 0 \(temperature\), got nan"),
        ([3, 4, 1.5], 1.0, r"d must be >= 2 .* got 1\.5 at index 2"),
        (3, [[1.0, 2.0], [3.0, -4.0]], r"T must be > 0 .* got -4 at index \(1, 1\)"),
        ("three", 1.0, r"d must be a real number .* got 'three'"),
        (3, 1j, r"T must be a real number .* got 1j"),
        (3, None, r"T must be .*(real number|finite)"),
        (3, [[1.0], [1.0, 2.0]], "T must be a real number"),
        ([3, 4], [1.0, 2.0, 3.0], r"broadcast: d has shape \(2,\) and T has shape \(3,\)"),
    ],
)
def test_bad_input_is_named(f, d, T, message):
    with pytest.raises(ValueError, match=message):
        f(d=d, T=T)


@pytest.mark.parametrize("f", EVERYTHING)
def test_bad_entries_become_nan_on_request(f):
    d, T = np.array([3.0, 1.0, math.inf, 100.0, 100.0, 3.0]), np.array([1.0, 1.0, 1.0, -2.0, 0.5, math.nan])
    values = f(d=d, T=T, invalid="nan")
    assert np.isnan(values).tolist() == [False, True, True, True, False, True]
    assert values[[0, 4]].tolist() == f(d=d[[0, 4]], T=T[[0, 4]]).tolist()
    assert math.isnan(f(d=1, T=1.0, invalid="nan"))
    assert np.isnan(d).sum() == 0  # the caller's arrays are left alone
    with pytest.raises(ValueError, match=r'invalid must be "raise" or "nan", got \'ignore\''):
        f(d=d, T=T, invalid="ignore")


def test_check_domain_states_the_interval():
    with pytest.raises(ValueError, match=r"^beta must be in \[0, 1\), got 1$"):
        check_domain("beta", 1.0, COEFFICIENT)
    with pytest.raises(ValueError, match=r"^x must be in \[0, 2\] \(share\), got 3 at index 0$"):
        check_domain("x", [3, 1], Domain(low=0.0, high=2.0), meaning="share")
    with pytest.raises(ValueError, match=r"^x must be a finite number, got -inf$"):
        check_domain("x", -math.inf, REAL)
    open_below = Domain(low=0.0, high=1.0, low_open=True)
    assert np.isnan(check_domain("x", [0.0, 0.5, 1.0], open_below, "nan")).tolist() == [True, False, False]
    assert check_domain("x", 1, DIMENSION, "nan").shape == ()


# --- samples ---------------------------------------------------------------------------------------------------------


def exact_gap_cdf(d, T):
    """CDF of ``1 - cos`` by quadrature of ``exp(-(1 - cos a)/T) sin(a)^(d-2)`` over the angle a."""
    peak = 2 * math.asin(math.sqrt(min(vmf.energy(d=d, T=T), 1.0) / 2))
    width = math.sqrt(min(T, 1.0 / d) if d > 3 else min(T, 1.0))
    angle = np.linspace(max(0.0, peak - 14 * width), min(math.pi, peak + 14 * width), 200_001)
    with np.errstate(divide="ignore"):
        log_density = -2 * np.sin(angle / 2) ** 2 / T + ((d - 2) * np.log(np.sin(angle)) if d > 2 else 0.0)
    cumulative = integrate.cumulative_simpson(np.exp(log_density - log_density.max()), x=angle, initial=0)
    return lambda gap: np.interp(2 * np.arcsin(np.sqrt(gap / 2)), angle, cumulative / cumulative[-1])


@pytest.mark.parametrize("d", [2, 3, 50, 100_000])
@pytest.mark.parametrize("x", [1e-9, 0.03, 1.0, 30.0])
def test_cosines_follow_the_exact_law(d, x):
    T, count = x / d, 40_000
    gap = vmf_sampling._sample_gap(d, T, count, np.random.default_rng(int(d + 1000 * x)))
    assert ((gap >= 0) & (gap <= 2)).all()
    assert stats.kstest(gap, exact_gap_cdf(d, T)).pvalue > 1e-3
    variance = vmf.heat_capacity(d=d, T=T) * T**2
    assert abs(gap.mean() - vmf.energy(d=d, T=T)) < 4 * math.sqrt(variance / count)
    assert gap.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize(
    ("d", "T", "count"), [(2, 0.7, 20_000), (3, 0.2, 20_000), (50, 0.05, 20_000), (100_000, 1e-5, 60)]
)
def test_vectors_have_the_mean_and_covariance_of_the_law(d, T, count):
    w = vmf_sampling.sample(d=d, T=T, size=count, rng=np.random.default_rng(11))
    assert w.shape == (count, d)
    np.testing.assert_allclose((w**2).sum(axis=1), 1.0, rtol=1e-12)
    variance = vmf.heat_capacity(d=d, T=T) * T**2
    mean = vmf.mean_resultant_length(d=d, T=T)
    assert abs(w[:, 0].mean() - mean) < 4 * math.sqrt(variance / count)
    sideways = (1 - variance - mean**2) / (d - 1)  # E w_j^2, j > 0
    z = w[:, 1:].mean(axis=0) / math.sqrt(sideways / count)
    assert abs(z).max() < stats.norm.isf(1e-4 / d)
    assert (z**2).mean() == pytest.approx(1.0, abs=5 * math.sqrt(2 / (d - 1)))
    if d <= 50:
        np.testing.assert_allclose((w[:, 1:] ** 2).mean(axis=0), sideways, rtol=6 * math.sqrt(2 / count))
        cross = (w[:, :1] * w[:, 1:]).mean(axis=0) / math.sqrt(sideways / count)
        assert abs(cross).max() < 4.5


def test_directions_around_the_axis_are_uniform():
    w = vmf_sampling.sample(d=3, T=0.3, size=20_000, rng=2)
    assert stats.kstest(np.arctan2(w[:, 2], w[:, 1]), stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3
    signs = np.sign(vmf_sampling.sample(d=2, T=0.3, size=20_000, rng=2)[:, 1])
    assert abs(signs.sum()) < 4 * math.sqrt(20_000)


@pytest.mark.parametrize("T", [5e-324, 1e-12, 1e-7, 1.0, 1e6, 1e308])
def test_ten_million_dimensions_at_any_temperature(T):
    w = vmf_sampling.sample(d=10**7, T=T, rng=0)
    assert w.shape == (10**7,)
    assert w @ w == pytest.approx(1.0, rel=1e-12)
    # One draw of L: within 6 standard deviations, which are 1/sqrt(2R) of T R or less.
    gap = vmf_sampling._sample_gap(1e7, T, 1, np.random.default_rng(0))[0]
    assert w[0] == 1.0 - gap
    deviation = math.sqrt(vmf.heat_capacity(d=1e7, T=T)) * T if T < 1e100 else 1e-3
    assert abs(gap - vmf.energy(d=1e7, T=T)) <= 6 * deviation + 1e-290


def test_samples_are_shaped_seeded_and_refused():
    assert vmf_sampling.sample(d=4, T=1.0, rng=0).shape == (4,)
    assert vmf_sampling.sample(d=4, T=1.0, size=(2, 3), rng=0).shape == (2, 3, 4)
    assert vmf_sampling.sample(d=4, T=1.0, size=0, rng=0).shape == (0, 4)
    one, other, third = (vmf_sampling.sample(d=4, T=1.0, size=5, rng=seed) for seed in (1, 1, 2))
    assert (one == other).all()
    assert (one != third).any()
    bad = [
        ({"d": 1, "T": 1.0}, r"d must be >= 2 .*got 1"),
        ({"d": 2.5, "T": 1.0}, r"d must be a whole number >= 2 .*got 2\.5"),
        ({"d": 3, "T": 0.0}, r"T must be > 0 .*got 0"),
        ({"d": 3, "T": [1.0, 2.0]}, r"T must be one number .*\(2,\)"),
        ({"d": 3, "T": 1.0, "size": -1}, r"size must be .*got -1"),
        ({"d": 3, "T": 1.0, "size": 2.5}, r"size must be .*got 2\.5"),
    ]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            vmf_sampling.sample(**arguments)
