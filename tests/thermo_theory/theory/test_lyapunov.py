"""SGD on a quadratic loss in numbers, against scipy's solvers and against the update carried out step by step."""

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov

from thermo_theory.theory.gases.lyapunov import circulation, implicit_hessian, noise_temperature, stationary_covariance


@pytest.fixture
def matrices():
    rng = np.random.default_rng(5)
    hessian, noise = (part @ part.T + 0.1 * np.eye(4) for part in rng.standard_normal((2, 4, 4)))
    return hessian, noise, 1.2 / np.linalg.eigvalsh(hessian)[-1]


def test_the_covariance_is_that_of_scipy(matrices):
    hessian, noise, eta = matrices
    small = solve_continuous_lyapunov(hessian, eta * noise)
    np.testing.assert_allclose(stationary_covariance(hessian, noise, eta=eta), small, rtol=1e-10)
    exact = solve_discrete_lyapunov(np.eye(4) - eta * hessian, eta**2 * noise)
    np.testing.assert_allclose(stationary_covariance(hessian, noise, eta=eta, steps=True), exact, rtol=1e-10)
    assert np.linalg.norm(exact - small) > 0.01 * np.linalg.norm(small)


def test_the_update_leaves_covariance_and_circulation_as_they_are(matrices):
    hessian, noise, eta = matrices
    step, spread = np.eye(4) - eta * hessian, np.zeros((4, 4))
    for _ in range(4000):
        spread = step @ spread @ step.T + eta**2 * noise
    moved = spread @ (step - np.eye(4)).T  # E[w dw^T]: the noise of a step knows nothing of w
    exact = stationary_covariance(hessian, noise, eta=eta, steps=True)
    np.testing.assert_allclose(exact, spread, rtol=1e-8)
    np.testing.assert_allclose(circulation(hessian, exact, eta=eta), moved - moved.T, atol=1e-8 * np.abs(moved).max())


def test_currents_and_the_potential_are_two_conditions(matrices):
    hessian, noise, eta = matrices
    power = hessian @ hessian
    for of, goes_round, is_loss in ((np.eye(4), False, True), (power, False, False), (noise, True, False)):
        spread = stationary_covariance(hessian, of, eta=eta)
        turning = np.abs(circulation(hessian, spread, eta=eta)).max() / np.abs(eta**2 * of).max()
        assert (turning > 1e-3) == goes_round
        potential = implicit_hessian(spread, noise_temperature(of, eta=eta))
        assert np.allclose(potential, hessian, rtol=1e-8) == is_loss


@pytest.mark.parametrize(
    ("hessian", "noise", "eta", "said"),
    [
        ([[1.0, 0.2], [0.0, 1.0]], np.eye(2), 0.1, "hessian is not symmetric"),
        (np.diag([1.0, 0.0]), np.eye(2), 0.1, "all must be positive"),
        (np.eye(2), np.eye(3), 0.1, r"noise has shape \(3, 3\): must be of shape \(2, 2\)"),
        (np.eye(2), np.eye(2), 2.0, "must be below 2"),
        (np.eye(2), np.eye(2), -1.0, "eta = -1: must be positive"),
    ],
)
def test_what_is_not_stationary_is_refused(hessian, noise, eta, said):
    with pytest.raises(ValueError, match=said):
        stationary_covariance(hessian, noise, eta=eta, steps=True)
    with pytest.raises(ValueError, match="an inverse"):
        implicit_hessian(np.zeros((2, 2)), 1.0)
