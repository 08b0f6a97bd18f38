"""The nearest-neighbour entropy against brute force, exact values, and what it must not care about."""

import tracemalloc

import mpmath as mp
import numpy as np
import pytest
import study_entropy as study
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from scipy.special import digamma, gammaln
from scipy.stats import sem, special_ortho_group, vonmises_fisher

from benchmarks import neighbours as bench
from empirics.measure import (
    check_entropy_estimator,
    product_entropies,
    sphere_entropies,
    sphere_entropy,
)
from empirics.measure import neighbours as module
from empirics.measure.families import vmf_of_gap
from empirics.measure.sphere import log_ball, log_cap_area, log_sphere_area
from thermo_theory.numeric.vmf import entropy as exact_entropy
from thermo_theory.numeric.vmf import free_energy
from thermo_theory.numeric.vmf_sampling import sample


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


def test_the_interval_is_that_of_the_jackknife():
    x = np.random.default_rng(24).standard_normal((60, 5))
    found = sphere_entropy(x, k=2, theiler=0)
    less = [brute_force(np.delete(x, i, axis=0), k=2)[0] for i in range(60)]
    error = 59 * np.std(less, ddof=1) / np.sqrt(found.effective_sample_size)
    assert (found.value - found.low, found.high - found.value) == pytest.approx((1.959964 * error,) * 2, rel=1e-6)


def test_product_of_spheres_against_exact_values_and_flat_directions_count_not():
    """Two von Mises-Fisher laws of their own on spheres in three dimensions, turned into a space of four and five."""
    rng, kappas = np.random.default_rng(3), (2.0, 9.0)
    parts = [vonmises_fisher([0, 0, 1], kappa).rvs(2500, random_state=rng) for kappa in kappas]
    exact = sum(vonmises_fisher([0, 0, 1], kappa).entropy() for kappa in kappas)
    into = [special_ortho_group.rvs(n, random_state=rng)[:3] for n in (4, 5)]
    x = np.hstack([rng.uniform(0.1, 10, (2500, 1)) * part @ turn for part, turn in zip(parts, into, strict=True)])
    found = product_entropies(x, (4, 5), directions=4, theiler=(0,))[0]
    assert found.low - 0.03 < exact < found.high + 0.03
    one = x[:, :4]
    assert product_entropies(one, (4,), 2, theiler=(0,))[0].value == pytest.approx(
        sphere_entropy(parts[0], theiler=0).value
    )
    assert product_entropies(one, (4,), 3, theiler=(0,))[0].value == sphere_entropy(one, theiler=0).value
    with pytest.raises(ValueError, match="sizes must add up to the 9 columns"):
        product_entropies(x, (4, 4), 4)
    with pytest.raises(ValueError, match="directions = 9: must be 1 to 8"):
        product_entropies(x, (4, 5), 9)
    x[7, :4] = 0
    with pytest.raises(ValueError, match="columns 0 to 3 of row 7 of x are zero"):
        product_entropies(x, (4, 5), 4)


@pytest.mark.parametrize("cached", [True, False])
def test_blocks_and_float32_change_nothing(monkeypatch, cached):
    rng = np.random.default_rng(2)
    slow = 1000 + np.cumsum(rng.standard_normal((150, 50)), axis=0)
    whole = {
        (m, t): sphere_entropy(slow, method=m, theiler=t) for m in ("flat", "gaussian", "vmf") for t in (0, "auto")
    }
    value, lags = brute_force(slow)
    assert whole["flat", 0].value == pytest.approx(value, rel=1e-10)
    assert (whole["flat", 0].lags == lags).all()
    monkeypatch.setattr(module, "FLOAT64_WORK", 0)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 50 * 17)  # 17 rows a block, which does not divide 150
    monkeypatch.setattr(module, "CACHE_BYTES", 2**28 if cached else 0)
    for (method, theiler), before in whole.items():
        after = sphere_entropy(slow, method=method, theiler=theiler)
        assert (after.lags == before.lags).all(), method
        assert after.theiler == before.theiler
        assert after.value == pytest.approx(before.value, rel=1e-5 if method == "gaussian" else 1e-7)
        assert after.effective_sample_size == pytest.approx(before.effective_sample_size, rel=1e-4)


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("draw", [bench.slow, bench.independent])
def test_panels_of_float32_find_what_brute_force_finds(monkeypatch, draw, window):
    x = draw(500, 80, np.random.default_rng(21))
    value, lags = brute_force(x.astype(float), theiler=window)
    monkeypatch.setattr(module, "FLOAT64_WORK", 0)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 80 * 13)  # ten blocks of float32, in five panels, the last not full
    for cache in (0, 2**28):
        monkeypatch.setattr(module, "CACHE_BYTES", cache)
        found = sphere_entropy(x, theiler=window)
        assert (found.lags == lags).all()
        assert found.value == pytest.approx(value, rel=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("draw", [bench.slow, bench.independent])
def test_neighbours_at_the_size_of_a_network(draw):
    x = draw(900, bench.DIMENSION, np.random.default_rng(22))
    u = x / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    far = cdist(u, u)  # differences, no products
    np.fill_diagonal(far, np.inf)
    assert (bench.ours(x) == far.argmin(axis=1)).all()


def test_several_windows_are_one_each():
    x = np.cumsum(np.random.default_rng(23).standard_normal((200, 20)), axis=0)
    for window, found in zip((0, 9, "auto"), sphere_entropies(x, "cap", (0, 9, "auto"), k=2), strict=True):
        alone = sphere_entropy(x, "cap", window, k=2)
        assert (found.value, found.high, found.theiler) == (alone.value, alone.high, alone.theiler)
        assert (found.lags == alone.lags).all()


@pytest.mark.parametrize("block", [2**25, 8 * 30 * 7])
def test_neighbours_that_float32_cannot_tell_apart_are_found(monkeypatch, block):
    # A dozen pairs a millionth of a millionth apart in a cloud of size 1: float32 sees twelve equal candidates.
    rng = np.random.default_rng(11)
    x = rng.standard_normal((40, 30))
    crowd = x[0] + 1e-6 * rng.standard_normal((20, 30))
    x = np.concatenate([x, crowd])
    value, lags = brute_force(x)
    monkeypatch.setattr(module, "FLOAT64_WORK", 0)
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    found = sphere_entropy(x, theiler=0)
    assert (found.lags == lags).all()
    assert found.value == pytest.approx(value, rel=1e-12)


def test_memory_is_bounded_and_float32_samples_are_not_copied(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**19)
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    x = np.random.default_rng(12).standard_normal((1000, 1000), dtype=np.float32)
    tracemalloc.start()
    sphere_entropy(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23, peak  # x itself is 4 MB, its Gram matrix would be 8 MB in float64


@pytest.mark.parametrize("method", ["flat", "cap", "gaussian", "vmf"])
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
    order = rng.permutation(200)
    shuffled, plain = (sphere_entropy(y, method=method, theiler=0) for y in (x[order], x))
    if method != "gaussian":  # which corrects by the autocorrelation
        assert shuffled.value == pytest.approx(plain.value, rel=1e-9)
    assert (shuffled.lags == (np.argsort(order)[order + plain.lags[order]] - np.arange(200))).all()


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (3, 0.5), (3, 20.0), (6, 10.0)])
def test_exact_entropies_in_few_dimensions(d, kappa):
    rng = np.random.default_rng(4)
    x = sample(d=d, T=1 / kappa, size=4000, rng=rng)
    found = sphere_entropy(x, method="cap", theiler=0)
    exact = vonmises_fisher(np.eye(d)[0], kappa).entropy()
    assert exact == pytest.approx(exact_entropy(d=d, T=1 / kappa), rel=1e-9)
    # The interval is 95 %; the bias at n = 4,000 adds up to 0.02 at d = 6.
    assert abs(found.value - exact) < 2 * (found.high - found.low) / 2 + 0.02


@pytest.mark.long
@pytest.mark.parametrize(("d", "sizes", "repetitions"), [(4, (50, 200, 800), 200), (6, (50, 200, 800), 100)])
def test_bias_falls_as_its_exponent_says(d, sizes, repetitions):
    for name, (exponent, error, _) in study.bias_exponent(d, sizes, repetitions).items():
        assert abs(exponent + 2 / (d - 1)) < max(4 * error, 0.1), (name, exponent, error)
        assert error < 0.3, name


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
    assert apart[0].theiler == pytest.approx(11, abs=2)  # e^(-12/4) is below 0.05
    slow = chain(800, d, 1e-6, 40, rng)
    of_pairs = [sphere_entropy(slow, method="vmf", theiler=theiler).value for theiler in (0, "auto")]
    assert of_pairs[0] < of_pairs[1] - 3  # pairs close in time are close


def test_what_never_forgets_is_worth_one_row_and_stays_a_path():
    # A random walk has no stationary distribution; with its own mean taken off it looks like one of 14 rows.
    walk = np.c_[np.full(400, 30.0), np.cumsum(0.02 * np.random.default_rng(9).standard_normal((400, 100)), axis=0)]
    for theiler in (0, "auto"):
        found = sphere_entropy(walk, theiler=theiler)
        assert found.effective_sample_size == 1
        assert found.path_entropy


def test_families_are_right_where_the_law_is_theirs():
    # No bias that grows with the dimension: within two half-widths of the exact entropy, from 10 to 43,692 dimensions.
    for d, n in ((10, 1000), (300, 600), (43_692, 150)):
        x = sample(d=d, T=0.2 / d, size=n, rng=np.random.default_rng(14)).astype(np.float32)
        for method in ("gaussian", "vmf"):
            found = sphere_entropy(x, method=method, theiler=0)
            half = (found.high - found.low) / 2
            assert abs(found.value - exact_entropy(d=d, T=0.2 / d)) < 2 * half, (d, method)
            assert half < 3 * np.sqrt(d / (2 * n)) * 1.96


def test_the_normal_law_measures_every_variance_where_there_are_samples_enough():
    rng, spread = np.random.default_rng(29), 1e-2 / np.arange(1, 11)
    rows = [np.c_[np.ones(60), spread * rng.standard_normal((60, 10))] for _ in range(40)]
    found = [sphere_entropy(x, method="gaussian", theiler=0).value for x in rows]
    assert abs(np.mean(found) - 0.5 * np.log(2 * np.pi * np.e * spread**2).sum()) < 3 * sem(found)


def test_slope_is_right_where_scipy_has_no_entropy():
    d, T = 43_692, (2e-8, 2e-7)
    rng = np.random.default_rng(15)
    exact = exact_entropy(d=d, T=T[1]) - exact_entropy(d=d, T=T[0])
    for method in ("flat", "vmf"):
        found = [
            sphere_entropy(sample(d=d, T=t, size=100, rng=rng).astype(np.float32), method=method, theiler=0) for t in T
        ]
        assert (found[1].value - found[0].value) / exact == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(("d", "T"), [(2, 0.1), (2, 5.0), (3, 0.3), (50, 0.02), (43_692, 1e-6), (43_692, 1e-3)])
def test_entropy_of_the_fitted_law(d, T):
    # The mean direction by recurrence, its fit and entropy by quadrature.
    gap = T * exact_entropy(d=d, T=T) + free_energy(d=d, T=T)
    value, kappa = vmf_of_gap(gap, d)
    assert kappa * T == pytest.approx(1, rel=1e-9)
    assert value == pytest.approx(exact_entropy(d=d, T=T), rel=1e-10)


@pytest.mark.parametrize("method", ["flat", "cap", "gaussian", "vmf"])
def test_every_method_passes_the_battery(method):
    check_entropy_estimator(lambda x: sphere_entropy(x, method=method), upper_bound=method in ("gaussian", "vmf"))


def polar(x):
    """Nearest neighbours in polar angles: depends on the order of the coordinates."""
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    rest = np.sqrt(np.cumsum((u**2)[:, ::-1], axis=1))[:, ::-1]
    angles = np.arctan2(rest[:, 1:], u[:, :-1])
    return flat_of(angles) + (np.log(np.sin(angles)) * np.arange(u.shape[1] - 2, -1, -1)).sum(axis=1).mean()


def flat_of(y):
    """The plain estimate in flat space."""
    far = np.linalg.norm(y[:, None] - y[None], axis=2) + np.where(np.eye(len(y)), np.inf, 0)
    return digamma(len(y)) - digamma(1) + log_ball(y.shape[1]) + y.shape[1] * np.log(far.min(axis=1)).mean()


def safe(estimate):
    """Refuse what has no entropy, as the battery asks, so that it can look further."""

    def checked(x):
        if x.shape[0] < 2 or x.shape[1] < 2 or not np.isfinite(x).all() or not x.any(axis=1).all():
            raise ValueError("no entropy")
        return estimate(x)

    return checked


def spoiling(x):
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return sphere_entropy(x, theiler=0)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (polar, "rotation|order of the coordinates"),
        (lambda x: flat_of(x[:, 1:]), "rotation"),
        (lambda x: flat_of(x), "norms of the rows"),
        (spoiling, "the input was changed"),
        (lambda x: sphere_entropy(x).value + 1e-3 * np.random.default_rng().standard_normal(), "two results|becomes"),
        (lambda x: sphere_entropy(np.nan_to_num(x)), "a NaN is not refused"),
        (safe(lambda x: sphere_entropy(x).value + 1), "uniform on the circle"),
        (safe(lambda x: sphere_entropy(x).value * 1.1), "slope in log T|exact"),
        (safe(lambda x: sphere_entropy(x, theiler=0).value), "ten times the correlation time"),
        (lambda x: sphere_entropy(x, method="vmf"), "two such lumps"),
        (lambda x: sphere_entropy(x, method="gaussian"), "two such lumps"),
    ],
)
def test_bad_estimators_fail_the_battery(bad, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_entropy_estimator(bad)


# -------------------------------------------------------------------------------------------------- integration
@pytest.mark.long
def test_figures_of_the_validation_page():
    # What docs/validation.md says of correlated samples, at d = 300: per dimension, power law of spreads or none.
    rows = {row[:4]: row[4:] for row in study.correlated(300, repetitions=2, memories=(50,))}
    assert rows[0.0, 50, "flat", 0][0] < -0.5  # a path entropy
    assert 0.1 < rows[0.0, 50, "flat", "auto"][0] < 0.4
    assert abs(rows[0.0, 50, "gaussian", "auto"][0]) < 0.02
    assert abs(rows[0.0, 50, "vmf", "auto"][0]) < 0.02
    # It does not know of unequal spreads: half the logarithm of their arithmetic over their geometric mean is missing.
    inverse = 1 / np.arange(1, 300)
    divergence = (np.log(inverse.mean()) - np.log(inverse).mean()) / 2
    assert rows[1.0, 50, "vmf", "auto"][0] == pytest.approx(divergence, abs=0.05)
    for (_, _, _, theiler), (_, slope, _) in rows.items():
        assert theiler == 0 or slope == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("method", ["flat", "gaussian", "vmf"])
@pytest.mark.parametrize(("n", "d", "T"), [(400, 3, 0.1), (250, 50, 1e-3), (250, 1000, 1e-6)])
def test_intervals_are_as_wide_as_the_scatter(n, d, T, method):
    # 40 repetitions give the scatter to 11 %; at d = 1,000 that of the terms alone would be half of it.
    rng = np.random.default_rng(10)
    found = [sphere_entropy(sample(d=d, T=T, size=n, rng=rng), method=method, theiler=0) for _ in range(40)]
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
