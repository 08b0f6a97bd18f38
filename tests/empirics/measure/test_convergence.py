"""Correlation times, effective sample sizes, R-hat, drifts and jumps on series whose answer is known."""

import numpy as np
import pytest

from empirics.measure import autocorrelation_time, burn_in, drift, effective_sample_size, periodic_jumps, r_hat


def chain(n, keep, rng, chains=1):
    """Series x' = keep x + noise, unit variance; integrated time (1 + keep)/(1 - keep)."""
    x = rng.standard_normal((chains, n))
    for i in range(1, n):
        x[:, i] = keep * x[:, i - 1] + np.sqrt(1 - keep**2) * x[:, i]
    return x


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_time_and_sample_size_of_known_chains(keep):
    rng, n = np.random.default_rng(1), 4000
    found = chain(n, keep, rng, chains=20)
    exact = (1 + keep) / (1 - keep)
    assert np.mean([autocorrelation_time(x) for x in found]) == pytest.approx(exact, rel=0.1)
    assert np.mean([effective_sample_size(x) for x in found]) == pytest.approx(n / exact, rel=0.1)
    assert effective_sample_size(found) == pytest.approx(20 * n / exact, rel=0.1)


def test_what_never_forgets_is_worth_one():
    walk = np.cumsum(np.random.default_rng(2).standard_normal(400))
    assert autocorrelation_time(walk) > 100
    assert effective_sample_size(walk) < 10
    assert autocorrelation_time(np.ones(50)) == 50
    assert effective_sample_size(np.ones(50)) == 1


def test_r_hat_sees_chains_that_have_not_mixed_and_one_that_drifts():
    rng = np.random.default_rng(3)
    good = chain(1000, 0.3, rng, chains=4)
    assert r_hat(good) < 1.01
    assert r_hat(good + np.array([[0], [0], [0], [0.6]])) > 1.02
    assert r_hat(good * np.array([[1], [1], [1], [3.0]])) > 1.02  # the same mean, another spread
    assert r_hat(good[0]) < 1.01
    assert r_hat(good[0] + np.linspace(0, 3, 1000)) > 1.1
    assert r_hat(np.ones((2, 10))) == 1
    assert r_hat(np.array([[1.0] * 10, [2.0] * 10])) == np.inf


def test_drift_is_found_with_its_error():
    rng, n = np.random.default_rng(4), 20
    blocks = rng.standard_normal((3000, n)) + np.linspace(0, 2, n)
    change, error = drift(blocks)
    assert change.mean() == pytest.approx(2 * 15 / 19, rel=0.02)  # middles of the quarters are 15 steps apart
    assert np.sqrt((error**2).mean()) == pytest.approx(change.std(), rel=0.05)


def gradient_descent(steps, lr, wd, noise, rng):
    """Full-batch descent with decay on x^2/(x^2 + y^2), the simplest scale-invariant loss with a minimum; log r."""
    w = np.array([1.0, 1.0])
    found = []
    for _ in range(steps):
        squared = w @ w
        x, y = w
        gradient = np.array([2 * x * y**2, -2 * x**2 * y]) / squared**2
        kick = noise * rng.standard_normal() * np.array([-y, x]) / squared
        w = (1 - lr * wd) * w - lr * (gradient + kick)
        found.append(np.log(np.linalg.norm(w)))
    return np.array(found)


def test_periodic_jumps_of_descent_with_decay_are_found():
    # Without noise the norm decays until lr h/r^2 > 2, is thrown back, and decays again.
    curve = gradient_descent(16_000, lr=0.5, wd=0.01, noise=0.0, rng=np.random.default_rng(5))[8_000:]
    every = curve[::40]
    found = periodic_jumps(every)
    assert found.periodic
    assert found.size > 0.3
    # By hand, step by step: a jump begins where the norm rises after at least 50 steps of falling.
    rises = np.flatnonzero(np.diff(curve) > 0)
    begins = rises[np.r_[True, np.diff(rises) > 50]]
    assert found.count == pytest.approx(len(begins), abs=3)
    assert 40 * found.period == pytest.approx(np.median(np.diff(begins)), rel=0.2)


def test_noise_has_no_jumps():
    # With noise the same descent is stationary; and none of 400 traces of correlated noise raises an alarm.
    rng = np.random.default_rng(6)
    noisy = gradient_descent(16_000, lr=0.5, wd=0.01, noise=1.0, rng=rng)[8_000:]
    assert not periodic_jumps(noisy[::40]).periodic
    for keep in (0.0, 0.9):
        traces = 0.01 * chain(200, keep, rng, chains=200)
        assert not any(periodic_jumps(trace).periodic for trace in traces)


def test_one_jump_is_no_period():
    curve = np.r_[np.linspace(0, -0.1, 50), 0.1, np.linspace(0.3, 0.2, 50)]  # it takes two points of the trace
    found = periodic_jumps(curve)
    assert (found.count, found.at.tolist(), found.periodic) == (1, [49], False)
    assert np.isnan(found.period)
    assert found.size == pytest.approx(0.4)
    assert periodic_jumps(np.zeros(20)).size == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: autocorrelation_time([1.0, 2.0]), "n of at least 4"),
        (lambda: r_hat([[1.0, np.nan, 1.0, 2.0]]), "must be finite"),
        (lambda: drift(np.ones((2, 7))), "at least 8 blocks"),
        (lambda: periodic_jumps(np.ones(15)), "n of at least 16"),
        (lambda: periodic_jumps(np.full(20, np.inf)), "must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_burn_in_is_that_of_the_transient():
    rng = np.random.default_rng(30)
    none = [burn_in(rng.standard_normal(400)) for _ in range(40)]
    assert np.median(none) < 20
    decay = 20 * np.exp(-np.arange(400) / 20)
    found = [burn_in(decay + rng.standard_normal(400)) for _ in range(40)]
    assert 30 < np.median(found) < 120


def test_jumps_without_a_fall_between_them_are_no_period():
    steps = 1e-4 + 1e-5 * np.random.default_rng(31).standard_normal(400)
    steps[50::60] = 0.1
    rising = periodic_jumps(np.cumsum(steps))
    assert rising.count == 6
    assert not rising.periodic
    assert periodic_jumps(np.cumsum(np.where(steps > 0.05, steps, -steps))).periodic


@pytest.mark.parametrize(("scatter", "limit"), [(1e-5, 3e-3), (1e-3, 8 * 1.4826e-3)])
def test_a_rise_is_a_jump_from_a_third_of_a_per_cent_and_eight_spreads_on(scatter, limit):
    def falling(rise, count=3):
        steps = np.resize([-scatter, 0.0, scatter], 300) - 1e-3
        steps[50 : 50 + 60 * count : 60] = rise - 1e-3
        return periodic_jumps(np.cumsum(steps))

    assert [falling(share * limit).count for share in (0.98, 1.02)] == [0, 3]
    assert [falling(2 * limit, count).periodic for count in (2, 3)] == [False, True]
