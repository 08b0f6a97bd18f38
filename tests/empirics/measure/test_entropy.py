"""The nearest-neighbour entropy against brute force, exact values, and what it must not care about."""

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import digamma, gammaln
from scipy.stats import special_ortho_group, vonmises_fisher

from empirics.measure import neighbours as module
from empirics.measure import sphere_entropy
from empirics.measure.sphere import log_ball, log_cap_area, log_sphere_area
from thermo_theory.gases._vmf_numeric import entropy as exact_entropy
from thermo_theory.gases._vmf_numeric import sample


def brute_force(x, k=1, theiler=0):
    """Every pair, in double precision, one row at a time."""
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    n, m = len(u), u.shape[1] - 1
    terms, lags = [], []
    for i in range(n):
        far = np.sqrt(((u - u[i]) ** 2).sum(1))
        far[max(i - theiler, 0) : i + theiler + 1] = np.inf
        order = np.argsort(far)
        possible = np.isfinite(far).sum()
        ball = m / 2 * np.log(np.pi) - gammaln(m / 2 + 1)
        terms.append(digamma(possible + 1) - digamma(k) + ball + m * np.log(far[order[k - 1]]))
        lags.append(order[k - 1] - i)
    return np.mean(terms), np.array(lags)


@pytest.mark.parametrize(("k", "theiler"), [(1, 0), (3, 0), (1, 7), (2, 20)])
def test_equal_to_brute_force(k, theiler):
    rng = np.random.default_rng(1)
    x = np.cumsum(0.1 * rng.standard_normal((120, 9)), axis=0) + 3
    value, lags = brute_force(x, k, theiler)
    found = sphere_entropy(x, k=k, theiler=theiler)
    assert found.value == pytest.approx(value, rel=1e-10)
    assert (found.lags == lags).all()


def test_float32_search_finds_the_same_neighbours(monkeypatch):
    rng = np.random.default_rng(2)
    slow = 1000 + np.cumsum(rng.standard_normal((300, 50)), axis=0)
    exact = sphere_entropy(slow, theiler=0)
    monkeypatch.setattr(module, "FLOAT64_WORK", 0)
    quick = sphere_entropy(slow, theiler=0)
    assert (quick.lags == exact.lags).all()
    assert quick.value == pytest.approx(exact.value, rel=1e-12)


@pytest.mark.parametrize("method", ["flat", "cap"])
def test_rotation_and_scale_leave_it_alone(method):
    rng = np.random.default_rng(3)
    x = np.c_[np.ones(200), 0.1 * rng.standard_normal((200, 11))]
    turn = special_ortho_group.rvs(12, random_state=rng)
    scales = rng.uniform(0.1, 10, (200, 1))
    before = sphere_entropy(x, method=method)
    after = sphere_entropy(scales * x @ turn, method=method)
    assert after.value == pytest.approx(before.value, rel=1e-9)
    assert (after.lags == before.lags).all()
    permuted = sphere_entropy(x[:, ::-1], method=method)
    assert permuted.value == pytest.approx(before.value, rel=1e-12)


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (3, 0.5), (3, 20.0), (6, 10.0)])
def test_exact_entropies_in_few_dimensions(d, kappa):
    rng = np.random.default_rng(4)
    x = sample(d=d, T=1 / kappa, size=4000, rng=rng)
    found = sphere_entropy(x, method="cap", theiler=0)
    exact = vonmises_fisher(np.eye(d)[0], kappa).entropy()
    assert exact == pytest.approx(exact_entropy(d=d, T=1 / kappa), rel=1e-9)
    # The interval is 95 %; the bias at n = 4,000 adds up to 0.02 at d = 6.
    assert abs(found.value - exact) < 2 * (found.high - found.low) / 2 + 0.02


def test_bias_falls_as_its_exponent_says():
    # Flat form, uniform on the sphere in R^4 (m = 3): bias ~ n^(-2/3). Mean over 40 repetitions of n = 100 and 1,600.
    rng = np.random.default_rng(5)
    exact, sizes = log_sphere_area(4), (100, 1600)
    bias = [
        np.mean([sphere_entropy(rng.standard_normal((n, 4)), theiler=0).value for _ in range(40)]) - exact
        for n in sizes
    ]
    exponent = np.log(abs(bias[0] / bias[1])) / np.log(sizes[1] / sizes[0])
    assert 0.4 < exponent < 1.0, (bias, exponent)


def chain(n, d, temperature, correlation, rng):
    """Directions near a pole that forget in `correlation` rows."""
    keep = np.exp(-1 / correlation)
    x = np.empty((n, d - 1))
    x[0] = rng.standard_normal(d - 1)
    for i in range(1, n):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(d - 1)
    return np.c_[np.ones(n), np.sqrt(temperature) * x]


def test_a_path_entropy_is_recognised_and_the_window_removes_it():
    rng, d = np.random.default_rng(6), 200
    naive = [sphere_entropy(chain(800, d, 1e-6, tau, rng), theiler=0) for tau in (4, 40)]
    assert all(found.path_entropy for found in naive)
    assert np.median(np.abs(naive[1].lags)) == 1
    assert (naive[1].value - naive[0].value) / np.log(10) / ((d - 1) / 2) < -0.7
    apart = [sphere_entropy(chain(800, d, 1e-6, tau, rng)) for tau in (4, 40)]
    assert abs(apart[1].value - apart[0].value) / np.log(10) / ((d - 1) / 2) < 0.15
    assert not any(found.path_entropy for found in apart)
    assert naive[0].effective_sample_size == pytest.approx(800 / 8, rel=0.3)


def test_what_never_forgets_is_worth_one_row_and_stays_a_path():
    # A random walk has no stationary distribution; with its own mean taken off it looks like one of 14 rows.
    walk = np.c_[np.full(400, 30.0), np.cumsum(0.02 * np.random.default_rng(9).standard_normal((400, 100)), axis=0)]
    for theiler in (0, "auto"):
        found = sphere_entropy(walk, theiler=theiler)
        assert found.effective_sample_size == 1
        assert found.path_entropy


@pytest.mark.parametrize(("n", "d", "T"), [(400, 3, 0.1), (250, 50, 1e-3), (250, 1000, 1e-6)])
def test_intervals_are_as_wide_as_the_scatter(n, d, T):
    # 40 repetitions give the scatter to 11 %; at d = 1,000 that of the terms alone would be half of it.
    rng = np.random.default_rng(10)
    found = [sphere_entropy(sample(d=d, T=T, size=n, rng=rng), theiler=0) for _ in range(40)]
    scatter = 1.96 * np.std([one.value for one in found], ddof=1)
    assert 0.75 < np.mean([(one.high - one.low) / 2 for one in found]) / scatter < 2


def test_independent_samples_are_no_path():
    found = sphere_entropy(np.random.default_rng(7).standard_normal((300, 100)))
    assert not found.path_entropy
    assert found.theiler == 0
    assert found.effective_sample_size > 250
    assert found.low < found.value < found.high


@pytest.mark.parametrize("T", [(1e-6, 1e-5)])
def test_slope_in_log_temperature_at_high_dimension(T):
    rng, d = np.random.default_rng(8), 2000
    values = [sphere_entropy(sample(d=d, T=t, size=400, rng=rng), theiler=0).value for t in T]
    slope = (values[1] - values[0]) / (exact_entropy(d=d, T=T[1]) - exact_entropy(d=d, T=T[0]))
    assert slope == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.full((10, 4), np.nan), {}, "row 0 is not"),
        (np.ones((1, 4)), {}, r"got \(1, 4\)"),
        (np.ones((5, 1)), {}, r"got \(5, 1\)"),
        (np.zeros((5, 3)), {}, "row 0 of x is zero"),
        (np.ones((5, 3)), {}, "same direction"),
        (np.eye(5), {"method": "polar"}, "method must be"),
        (np.eye(5), {"theiler": -1}, "theiler must be"),
        (np.eye(5), {"theiler": 4}, "leaves some of 5 rows without 1 neighbours"),
    ],
)
def test_bad_input(x, options, message):
    with pytest.raises(ValueError, match=message):
        sphere_entropy(x, **{"theiler": 0, **options})


def exact_cap_area(angle, d):
    """Logarithm at 30 digits by quadrature: over the rim that counts, and near pi/2 the half sphere less a strip."""
    m, angle = mp.mpf(d - 1), mp.mpf(angle)
    half = mp.beta(m / 2, mp.mpf(1) / 2) / 2
    if abs(angle - mp.pi / 2) < 0.01:
        integral = half - mp.quad(lambda a: mp.sin(a) ** (m - 1), [angle, mp.pi / 2])
    else:
        small = min(angle, mp.pi - angle)
        rim = max(mp.mpf(0), small - 60 * mp.tan(small) / m)  # further in there is less than e^-60 of the area
        integral = mp.quadgl(lambda a: mp.sin(a) ** (m - 1), mp.linspace(rim, small, 16))
        integral = integral if angle < mp.pi / 2 else 2 * half - integral
    return mp.log(2) + m / 2 * mp.log(mp.pi) - mp.loggamma(m / 2) + mp.log(integral)


@pytest.mark.parametrize("d", [2, 3, 50, 2000, 43_692])
def test_cap_areas_against_thirty_digits(d):
    with mp.workdps(30):
        for angle in (1e-6, 0.3, 1.2, np.pi / 2 - 1e-3, np.pi / 2 - 1e-6, np.pi / 2 + 1e-4, 2.0):
            exact = float(exact_cap_area(angle, d))
            assert float(log_cap_area(angle, d)) == pytest.approx(exact, rel=1e-12, abs=1e-12), angle


@pytest.mark.parametrize("d", [2, 3, 4, 11, 200])
def test_cap_areas_against_quadrature(d):
    # At d = 200 the area of a cap of 0.01 is too small for a float; its logarithm is checked by the series alone.
    for angle in (0.01, 0.7, 1.5, np.pi / 2, 2.5, np.pi)[d == 200 :]:
        total = quad(lambda a: np.sin(a) ** (d - 2), 0, angle, epsabs=0, epsrel=1e-10, limit=200)[0]
        exact = log_sphere_area(d - 1) + np.log(total) if d > 2 else np.log(2 * angle)
        assert float(log_cap_area(angle, d)) == pytest.approx(exact, abs=2e-9)
    assert np.isfinite(log_cap_area(0.1, 10**6))
    assert log_ball(2) == pytest.approx(np.log(np.pi))
