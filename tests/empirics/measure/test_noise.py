"""Gradient noise, traces, temperatures and angles, each against numbers that come another way."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from empirics.measure import (
    angular_update,
    configurational_temperature,
    covariance_product,
    effective_rank,
    gradient_noise,
    hessian_noise,
    hutchinson_trace,
    sphere_laplacian,
)


def test_noise_and_signal_have_no_bias():
    # 4,000 repetitions of 6 gradients with |mean|^2 = 1 and tr Sigma = 55; the plain square would be off by 55/6.
    rng = np.random.default_rng(1)
    scales = np.sqrt(np.arange(1, 11.0))
    mean = np.eye(10)[3]
    found = [gradient_noise(mean + scales * rng.standard_normal((6, 10))) for _ in range(4000)]
    for name, exact in (("mean_sq", 1.0), ("variance", 55.0), ("second_moment", 56.0)):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(len(values)), name


def test_the_ratio_is_that_of_signal_to_noise():
    # |mean|^2 = 4 over tr Sigma = 1.
    found = gradient_noise(np.array([2.0, 0, 0]) + np.random.default_rng(20).standard_normal((20_000, 3)) / np.sqrt(3))
    assert found.snr == pytest.approx(4, rel=0.05)


def test_it_is_the_mean_over_all_halves():
    g = np.random.default_rng(2).standard_normal((4, 5))
    pairs = [(0, 1), (0, 2), (0, 3)]  # the three ways to halve four rows
    halves = []
    for pair in pairs:
        rest = [i for i in range(4) if i not in pair]
        halves.append(g[list(pair)].mean(0) @ g[rest].mean(0))
    assert gradient_noise(g).mean_sq == pytest.approx(np.mean(halves))


def test_covariance_product_is_numpy_s():
    g = np.random.default_rng(3).standard_normal((7, 5))
    v = np.arange(5.0)
    np.testing.assert_allclose(covariance_product(g)(v), np.cov(g.T) @ v)


def spectrum(d):
    """A covariance with eigenvalues 1/i in a random basis."""
    turn = stats.special_ortho_group.rvs(d, random_state=4)
    return turn * (1 / np.arange(1, d + 1)) @ turn.T


def test_trace_and_rank_of_a_known_matrix():
    matrix = spectrum(60)
    product = lambda v: matrix @ v  # noqa: E731
    trace = hutchinson_trace(product, 60, probes=400, rng=5)
    assert abs(trace.value - np.trace(matrix)) < 4 * trace.error
    off = 2 * ((matrix**2).sum() - (np.diagonal(matrix) ** 2).sum())  # variance of a probe with random signs
    assert trace.error == pytest.approx(np.sqrt(off / 400), rel=0.15)
    rank = effective_rank(product, 60, probes=400, rng=6)
    exact = np.trace(matrix) ** 2 / (matrix**2).sum()
    assert abs(rank.value - exact) < 4 * rank.error < 0.2 * exact


def test_error_of_the_rank_is_its_scatter():
    matrix = spectrum(60)
    found = [effective_rank(lambda v: matrix @ v, 60, probes=16, rng=seed) for seed in range(200)]
    scatter = np.std([one.value for one in found])
    assert np.sqrt(np.mean([one.error**2 for one in found])) == pytest.approx(scatter, rel=0.25)
    exact = np.trace(matrix) ** 2 / (matrix**2).sum()
    assert np.mean([one.value for one in found]) == pytest.approx(exact, rel=0.05)


def test_two_estimates_of_the_covariance_take_the_bias_off_the_rank():
    # Rank 100 from 2 x 20 gradients: one estimate cannot exceed 20.
    rng = np.random.default_rng(7)
    one, both = [], []
    for _ in range(60):
        first, second = (covariance_product(rng.standard_normal((20, 100))) for _ in range(2))
        one.append(effective_rank(first, 100, probes=8, rng=rng).value)
        both.append(effective_rank(first, 100, probes=8, rng=rng, second=second).value)
    assert np.mean(one) < 20
    assert np.median(both) == pytest.approx(100, rel=0.1)


def quadratic_on_the_sphere(w, matrix):
    """The scale-invariant loss w.Mw/(2 r^2) with its gradient and Hessian, by hand."""
    squared = w @ w
    loss = w @ matrix @ w / (2 * squared)
    gradient = (matrix @ w - 2 * loss * w) / squared
    hessian = (matrix - 2 * loss * np.eye(len(w)) - 2 * np.outer(w, gradient) - 2 * np.outer(gradient, w)) / squared
    return loss, gradient, hessian


def test_gradient_and_hessian_of_the_example_are_right():
    rng = np.random.default_rng(8)
    matrix, w, step = spectrum(5), rng.standard_normal(5), 1e-5
    _, gradient, hessian = quadratic_on_the_sphere(w, matrix)
    for i, e in enumerate(np.eye(5)):
        ahead, behind = quadratic_on_the_sphere(w + step * e, matrix), quadratic_on_the_sphere(w - step * e, matrix)
        assert (ahead[0] - behind[0]) / (2 * step) == pytest.approx(gradient[i], abs=1e-9)
        np.testing.assert_allclose((ahead[1] - behind[1]) / (2 * step), hessian[i], atol=1e-8)


def test_laplacian_on_the_sphere_is_that_of_the_harmonics():
    # w.Mw/2 less its mean is a harmonic of degree 2: its Laplacian is -2 d times it.
    d, rng = 12, np.random.default_rng(9)
    matrix, w = spectrum(d), 3.0 * rng.standard_normal(d)
    loss, gradient, hessian = quadratic_on_the_sphere(w, matrix)
    found = sphere_laplacian(lambda v: hessian @ v, w, gradient, probes=20_000, rng=10)
    exact = -2 * d * (loss - np.trace(matrix) / (2 * d))
    assert abs(found.value - exact) < 4 * found.error < 0.5 * abs(exact)


def test_laplacian_of_a_loss_that_is_not_scale_invariant():
    # |w|^4/4 is constant on the sphere: Laplacian 0, although its Hessian is not.
    d = 6
    w = np.arange(1.0, d + 1)
    squared = w @ w
    hessian = squared * np.eye(d) + 2 * np.outer(w, w)
    found = sphere_laplacian(lambda v: hessian @ v, w, squared * w, probes=200, rng=11)
    assert abs(found.value) < 4 * found.error + 1e-6 * squared**2


def test_hessian_noise_against_the_trace():
    rng = np.random.default_rng(12)
    hessian, scales = spectrum(8), np.arange(1.0, 9)
    first, second = (3 + scales * rng.standard_normal((20_000, 8)) for _ in range(2))
    found = hessian_noise(lambda v: hessian @ v, first, second)
    assert abs(found.value - np.trace(hessian @ np.diag(scales**2))) < 4 * found.error < 0.2 * found.value
    assert np.isnan(hessian_noise(lambda v: v, first[:1], second[:1]).error)
    two = hessian_noise(lambda v: v, np.diag([2.0, 4.0]), np.zeros((2, 2)))  # of the forms 2 and 8
    assert (two.value, two.error) == pytest.approx((5.0, 3.0))


def test_configurational_temperature_of_a_gibbs_law():
    # L = 1 - cos on the sphere in R^3 with cosines from exp(cos/T): |grad L|^2 = sin^2, Laplacian 2 cos; exact by
    # quadrature and by the estimator.
    T, rng, n = 0.3, np.random.default_rng(13), 40_000
    norm = quad(lambda c: np.exp(c / T), -1, 1)[0]
    numerator = quad(lambda c: (1 - c**2) * np.exp(c / T), -1, 1)[0] / norm
    denominator = quad(lambda c: 2 * c * np.exp(c / T), -1, 1)[0] / norm
    assert numerator / denominator == pytest.approx(T, rel=1e-9)
    cosine = 1 + T * np.log(1 - rng.random(n) * -np.expm1(-2 / T))
    found = configurational_temperature(1 - cosine**2, 2 * cosine)
    assert abs(found.value - T) < 4 * found.error < 0.05 * T
    correlated = configurational_temperature(1 - cosine**2, 2 * cosine, time=4.0)
    assert correlated.error == pytest.approx(2 * found.error)


def test_error_of_the_configurational_temperature_is_its_scatter():
    rng = np.random.default_rng(14)
    found = [
        configurational_temperature(1 + 0.3 * rng.standard_normal(100), 5 + rng.standard_normal(100))
        for _ in range(400)
    ]
    assert np.mean([one.error for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.15)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3, 1.6, 3.0, np.pi])
def test_angles(angle):
    turned = np.array([[np.cos(angle), np.sin(angle), 0.0]])
    assert angular_update(np.array([[2.0, 0, 0]]), 5 * turned) == pytest.approx(angle, rel=1e-7)


def test_angular_update_of_sgd_with_pure_noise():
    # Equilibrium of isotropic noise at d = 400: sqrt(2 lr wd) a step (Kosson et al.), to O(lr wd) and 1/d.
    rng, d, lr, wd = np.random.default_rng(15), 400, 0.05, 0.02
    w = rng.standard_normal(d)
    w *= (lr * (d - 1) / (2 * wd)) ** 0.25 / np.linalg.norm(w)
    angles = []
    for _ in range(4000):
        noise = rng.standard_normal(d)
        unit = w / np.linalg.norm(w)
        after = (1 - lr * wd) * w - lr * (noise - unit * (unit @ noise)) / np.linalg.norm(w)
        angles.append(angular_update(w, after))
        w = after
    assert np.sqrt(np.mean(np.square(angles))) == pytest.approx(np.sqrt(2 * lr * wd), rel=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_noise(np.ones((1, 3))), r"gradients must have shape \(n, d\) with n of at least 2"),
        (lambda: gradient_noise([[np.nan, 1], [1, 1]]), "row 0 is not"),
        (lambda: covariance_product(np.ones(3)), "gradients must have shape"),
        (lambda: hutchinson_trace(lambda v: v, 3, probes=1), "at least 2 probes"),
        (lambda: effective_rank(lambda v: v, 3, probes=1), "at least 2 probes"),
        (lambda: hessian_noise(lambda v: v, np.ones((2, 3)), np.ones((3, 3))), "must have the same shape"),
        (lambda: configurational_temperature([1.0], [1.0]), "n of at least 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
