"""The ideal gas against the discrete process and against the weak form of stationarity: nothing of sympy's."""

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

from thermo_theory import FixedELR, FixedLR, FixedSphere


def _simulate(protocol, d, rate, decay, sigma, runs, steps, rng):
    """SGD on L = 1 - w_1/|w| with isotropic noise along the sphere; mean r^2 and mean loss of the second half."""
    radius = 1.0 if protocol == "sphere" else np.sqrt(sigma * np.sqrt(rate * (d - 1) / (2 * decay)))
    w = np.zeros((runs, d))
    w[:, 0] = radius
    squared, loss = [], []
    for step in range(steps):
        r = np.linalg.norm(w, axis=1, keepdims=True)
        u = w / r
        noise = sigma * rng.standard_normal((runs, d))
        g = noise - (noise * u).sum(1, keepdims=True) * u
        g -= np.eye(d)[0] - u[:, :1] * u
        eta = rate * r**2 if protocol == "elr" else rate
        w = w - eta * (g / r + decay * w)
        if protocol == "sphere":
            w /= np.linalg.norm(w, axis=1, keepdims=True)
        if step >= steps // 2:
            squared.append((w**2).sum(1))
            loss.append(1 - w[:, 0] / np.linalg.norm(w, axis=1))
    return np.mean(squared), np.mean(loss)


def test_radius_and_energy_of_the_discrete_process():
    # Small steps: corrections of order eta_eff and eta lambda are below the tolerance of 3 %; 400 runs of 1,500
    # correlated samples put the statistical error near 0.5 % (seeded).
    rng, d, sigma = np.random.default_rng(1), 6, 1.0
    eta, lam = 0.02, 0.02
    squared, loss = _simulate("lr", d, eta, lam, sigma, 400, 3000, rng)
    assert np.sqrt(squared) == pytest.approx(FixedLR.radius(eta=eta, lam=lam, sigma=sigma, d=d), rel=0.03)
    temperature = FixedLR.temperature(eta=eta, lam=lam, sigma=sigma, d=d)
    assert loss == pytest.approx((d - 1) / 2 * temperature, rel=0.06)
    squared, loss = _simulate("elr", d, 0.03, 0.5, sigma, 400, 3000, rng)
    assert np.sqrt(squared) == pytest.approx(FixedELR.radius(eta_eff=0.03, lam=0.5, sigma=sigma, d=d), rel=0.03)
    assert loss == pytest.approx((d - 1) / 2 * FixedELR.temperature(eta_eff=0.03, sigma=sigma), rel=0.06)
    _, loss = _simulate("sphere", d, 0.01, 0.0, sigma, 400, 3000, rng)
    assert loss == pytest.approx((d - 1) / 2 * FixedSphere.temperature(eta=0.01, r=1.0, sigma=sigma), rel=0.06)


@pytest.mark.parametrize("d", [3, 7])
def test_the_gibbs_law_is_stationary_in_the_weak_sense(d):
    # For every test function f of the cosine c, the mean of its generator under exp(-L/T) vanishes at the derived T:
    # c drifts by eta_eff (1 - c^2) - eta_eff^2 sigma^2 (d - 1) c/2 and spreads by eta_eff^2 sigma^2 (1 - c^2).
    eta_eff, sigma = 0.3, 0.8
    temperature = FixedELR.temperature(eta_eff=eta_eff, sigma=sigma)

    def flow(slope, bend, T):
        c, weights = leggauss(200)
        drift = eta_eff * (1 - c**2) - eta_eff**2 * sigma**2 * (d - 1) * c / 2
        spread = eta_eff**2 * sigma**2 * (1 - c**2) / 2
        density = np.exp((c - 1) / T) * (1 - c**2) ** ((d - 3) / 2)
        return weights @ ((drift * slope(c) + spread * bend(c)) * density)

    for slope, bend in (
        (np.ones_like, np.zeros_like),
        (np.cos, lambda c: -np.sin(c)),
        (np.square, lambda c: 2 * c),
    ):
        size = flow(slope, bend, 1.1 * temperature)
        assert abs(flow(slope, bend, temperature)) < 1e-8 * abs(size)
