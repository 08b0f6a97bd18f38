"""Wells, the edge of stability and a logistic unit against linear algebra, simulated steps and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from independent import checks
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov, sqrtm
from scipy.optimize import brentq

from thermo_theory import Harmonic, derive
from thermo_theory.symbols import gamma

RNG = np.random.default_rng(17)
ROOT = RNG.standard_normal((4, 4))
H, SIGMA = ROOT @ ROOT.T / 4 + 0.4 * np.eye(4), np.diag([0.2, 1.0, 3.0, 0.5]) + 0.1
ETA = 0.01
C = solve_continuous_lyapunov(H, ETA * SIGMA)
R, T = 2.0, ETA * np.trace(SIGMA) / 8
SKEW = H @ C - C @ H


def variance_of_loss(hessian: np.ndarray, spread: np.ndarray) -> float:
    """Of w.Hw/2 for normal w: half the sum of squared eigenvalues of what it is in independent coordinates."""
    root = np.real(sqrtm(spread))
    return float(np.sum(np.linalg.eigvalsh(root @ hessian @ root) ** 2) / 2)


@checks("implicit-potential", "implicit-potential-adiabat", "harmonic-energy", "harmonic-thermometer")
def test_the_gas_in_its_own_potential():
    potential = T * np.linalg.inv(C)
    heats = []
    for scale in (1.0, 1.01):  # another rate, the same potential
        spread = solve_continuous_lyapunov(H, scale * ETA * SIGMA)
        heats.append((np.trace(potential @ spread) / 2, np.linalg.slogdet(spread)[1] / 2))
    capacity, slope = (heats[1][0] - heats[0][0]) / (0.01 * T), (heats[1][1] - heats[0][1]) / np.log(1.01)
    assert capacity == pytest.approx(derive("implicit-potential").claim(R=R), rel=1e-9)
    # Entropy on spheres: the same at one eta, whatever norm and weight decay.
    sizes = {}
    for eta, r in ((ETA, 1.0), (ETA, 1.7), (2 * ETA, 1.7)):
        spread = solve_continuous_lyapunov(H, eta / r**2 * SIGMA)
        sizes[eta, r] = np.linalg.slogdet(r**2 * spread)[1] / 2
    assert sizes[ETA, 1.0] == pytest.approx(sizes[ETA, 1.7], rel=1e-12)
    assert sizes[2 * ETA, 1.7] - sizes[ETA, 1.7] == pytest.approx(slope * np.log(2), rel=1e-9)
    index = [step.equation.rhs for step in derive("implicit-potential-adiabat").steps if step.equation.lhs == gamma]
    assert float(index[-1]) == pytest.approx(1 + slope / capacity)
    assert np.trace(H @ C) / 2 == pytest.approx(derive("harmonic-energy").claim(R=R, T=T), rel=1e-9)
    warmth = derive("harmonic-thermometer").claim(
        R=R, tr_H=np.trace(H), tr_noise=np.trace(SIGMA), tr_H_noise=2 * np.trace(H @ SIGMA)
    )
    assert np.trace(H @ C @ H) / (T * np.trace(H)) == pytest.approx(warmth, rel=1e-9)
    assert Harmonic(H, SIGMA).thermometer() == pytest.approx(warmth, rel=1e-9)


@checks("harmonic-fluctuations", "fluctuations-without-currents", "harmonic-finite-steps")
def test_fluctuations_and_large_steps():
    numbers = {"R": R, "tr_noise": np.trace(SIGMA), "tr_noise_sq": 2 * np.trace(SIGMA @ SIGMA)}
    ratio = derive("harmonic-fluctuations").claim(**numbers, T=T, tr_current_sq=2 * np.trace(SKEW @ SKEW))
    assert variance_of_loss(H, C) / (R * T**2) == pytest.approx(ratio, rel=1e-9)
    assert Harmonic(H, SIGMA).fluctuations() == pytest.approx(ratio, rel=1e-9)
    alike = H @ H + 0.3 * np.eye(4)
    still = derive("fluctuations-without-currents").claim(
        R=R, tr_noise=np.trace(alike), tr_noise_sq=2 * np.trace(alike @ alike)
    )
    spread, heat = solve_continuous_lyapunov(H, alike), np.trace(alike) / 8
    assert variance_of_loss(H, spread) / (R * heat**2) == pytest.approx(still, rel=1e-9)
    assert derive("fluctuations-without-currents").claim(**numbers) > 1.01 * ratio
    eta = 0.6 / np.linalg.eigvalsh(H)[-1]
    spread, heat = solve_discrete_lyapunov(np.eye(4) - eta * H, eta**2 * SIGMA), eta * np.trace(SIGMA) / 8
    energy = derive("harmonic-finite-steps").claim(
        R=R, T=heat, tr_noise=np.trace(SIGMA), tr_H_C_H=np.trace(H @ spread @ H)
    )
    assert np.trace(H @ spread) / 2 == pytest.approx(energy, rel=1e-9)
    assert energy > 1.05 * R * heat


@checks("anharmonic-well")
@pytest.mark.parametrize(("third", "fourth"), [(0.0, 0.6), (0.7, 0.6), (-0.7, 0.6), (0.4, 0.3)])
def test_heat_capacity_of_a_bent_well_by_quadrature(third, fourth):
    h, claim = 1.3, derive("anharmonic-well").claim

    def capacity(heat: float) -> float:
        def mean(power: int) -> float:
            def weighted(z: float) -> float:
                x = z * np.sqrt(heat)
                loss = h * x**2 / 2 + third * x**3 / 6 + fourth * x**4 / 24
                return (loss / heat) ** power * np.exp(-loss / heat)

            return quad(weighted, -12, 12, epsabs=0, epsrel=1e-12, limit=400)[0]

        return mean(2) / mean(0) - (mean(1) / mean(0)) ** 2  # Var L/T^2

    off = [capacity(heat) - claim(T=heat, h=h, third=third, fourth=fourth) for heat in (0.02, 0.01)]
    assert off[0] / off[1] == pytest.approx(4, rel=0.15)  # what is left out is of second order
    assert abs(off[1]) < 0.3 * abs(0.5 - claim(T=0.01, h=h, third=third, fourth=fourth))


@checks("anharmonic-heat-capacity")
def test_a_quartic_well_under_anisotropic_noise_by_a_plain_loop():
    """U = RT - E[L_4] in a simulation of 20,000 walkers, at a step whose own correction is known; four errors."""
    rng, bend, T1 = np.random.default_rng(4), 0.8, 0.6
    hessian, noise = np.array([[1.0, 0.3], [0.3, 2.0]]), np.array([[2.0, 0.5], [0.5, 0.4]])
    root, step = np.linalg.cholesky(noise), 0.02
    harmonic = solve_continuous_lyapunov(hessian, noise) / T1
    softness = bend / 4 * (np.trace(harmonic) ** 2 + 2 * np.trace(harmonic @ harmonic))
    claim, seen = derive("anharmonic-heat-capacity").claim, []
    heat = 0.02
    walkers, strength = 0.1 * rng.standard_normal((20_000, 2)), np.sqrt(heat / T1 / step)
    for count in range(1500):
        pull = walkers @ hessian + bend * np.sum(walkers**2, axis=1, keepdims=True) * walkers
        if count > 300 and count % 20 == 0:
            quartic = bend * np.sum(walkers**2, axis=1) ** 2 / 4
            loss = np.einsum("ni,ij,nj->n", walkers, hessian, walkers) / 2 + quartic
            seen.append([loss.mean(), quartic.mean(), np.sum(pull**2, axis=1).mean()])
        walkers = walkers - step * (pull + strength * rng.standard_normal(walkers.shape) @ root.T)
    (energy, quartic, square), errors = np.mean(seen, axis=0), np.std(seen, axis=0) / np.sqrt(len(seen) / 4)
    virial = heat - quartic + step * square / 4  # of steps that are not small, E[w.g] has eta |grad L|^2/2 more
    assert abs(energy - virial) < 4 * errors[0] < 0.01 * heat
    # The mean of the quartic part is k T^2 to first order; C_V = R - 2 k T follows.
    assert quartic / heat**2 == pytest.approx(softness, rel=0.2)
    assert claim(R=1.0, T=heat, softness=softness) == pytest.approx(1 - 2 * softness * heat)


# The edge ----------------------------------------------------------------------------------------


@checks("edge-of-stochastic-stability", "edge-under-additive-noise", "step-balance")
def test_additive_noise_stays_below_the_edge_though_it_is_stationary():
    """Moments of the stationary law, exactly: another minibatch's balance is 1, its own is the share of the mean."""
    for strength, size in ((0.1, 0.2), (0.9, 1.5)):
        eta = size / np.linalg.eigvalsh(H)[-1]
        noise = strength * SIGMA
        spread = solve_discrete_lyapunov(np.eye(4) - eta * H, eta**2 * noise)
        mean, whole = np.trace(H @ spread @ H), np.trace(H @ spread @ H) + np.trace(noise)
        bent = np.trace(H @ H @ H @ spread) + np.trace(H @ noise)
        assert eta / 2 * bent / mean == pytest.approx(1, rel=1e-9)  # step-balance
        claimed = derive("edge-under-additive-noise").claim(eta_eff=eta, grad_mean_sq_unit=mean, grad_sq_unit=whole)
        assert bent / whole == pytest.approx(claimed, rel=1e-9)
        assert bent / whole < 0.8 * derive("edge-of-stochastic-stability").claim(eta_eff=eta)


def edge_of_regression(inputs: np.ndarray) -> tuple[float, float]:
    """Largest stable rate of SGD on one example at a time without label noise, and batch sharpness there."""
    d, outer = inputs.shape[1], np.einsum("ni,nj->nij", inputs, inputs)

    def map_of(eta: float) -> np.ndarray:
        steps = np.eye(d) - eta * outer
        return np.einsum("nij,nkl->ikjl", steps, steps).reshape(d * d, d * d) / len(inputs)

    def growth(eta: float) -> float:
        return float(np.abs(np.linalg.eigvals(map_of(eta))).max() - 1)

    eta = brentq(growth, 1e-4, 5.0)
    values, vectors = np.linalg.eig(map_of(eta))
    spread = np.real(vectors[:, np.argmax(np.abs(values))]).reshape(d, d)
    spread = (spread + spread.T) * np.sign(np.trace(spread))
    bent = np.einsum("nij,jk,nkl,nli->", outer @ outer, spread, outer, np.eye(d)[None].repeat(len(inputs), 0))
    return eta, float(bent / np.einsum("nij,jk,nki->", outer, spread, outer))


@checks("edge-of-mean-square-stability")
def test_interpolating_regression_at_the_edge_of_mean_square_stability():
    """Its batch sharpness is 2/eta if the inputs have one length, and above it otherwise (Cauchy and Schwarz)."""
    rng = np.random.default_rng(8)
    inputs = rng.standard_normal((12, 4))
    eta, sharpness = edge_of_regression(inputs / np.linalg.norm(inputs, axis=1, keepdims=True))
    assert sharpness == pytest.approx(derive("edge-of-mean-square-stability").claim(eta_eff=eta), rel=1e-6)
    eta, sharpness = edge_of_regression(inputs)
    assert sharpness > 1.05 * derive("edge-of-mean-square-stability").claim(eta_eff=eta)


@checks("pinned-norm")
def test_full_batch_descent_with_decay_on_a_sphere_is_pinned():
    """Gradient descent on (w_1/|w|)^2, of curvature 2 at its minimum: one norm for two decays, though it jumps."""
    eta = 0.1
    pinned = derive("pinned-norm").claim(eta=eta, h=2.0)
    for decay in (1e-3, 1e-2):
        w, norms = np.array([0.4, 0.01]), []
        for step in range(40_000):
            square = w @ w
            gradient = 2 * (np.array([0.0, w[1]]) - w * w[1] ** 2 / square) / square
            w = w - eta * (gradient + decay * w) + np.array([0.0, 1e-9])  # from 0 itself nothing grows
            if step > 20_000:
                norms.append(np.sqrt(square))
        assert np.mean(norms) == pytest.approx(pinned, rel=0.02)


# A logistic unit ---------------------------------------------------------------------------------


def noise_of_unit(along: np.ndarray, across: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
    """Covariance across the weights of the gradients of a logistic loss, inputs listed."""
    slopes = -labels / (1 + np.exp(labels * scale * along))
    gradients = scale * slopes[:, None] * across
    return np.cov(gradients.T, bias=True)


def listed(dependent: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components along, white ones across with both signs, and labels; or with a variance that follows the label."""
    along, labels = np.array([0.9, -0.7, -0.2, 0.5]), np.array([1, -1, 1, -1])
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    rows = []
    for u, y in zip(along, labels, strict=True):
        stretch = np.array([1.3, 1.0]) if dependent and y > 0 else np.ones(2)
        rows += [(u, corner * stretch, y) for corner in corners]
    us, across, ys = (np.array(column) for column in zip(*rows, strict=True))
    return us, across / np.sqrt((across**2).mean(0)), ys


@checks("ideal-noise", "ideal-noise-at-small-scale")
def test_noise_of_a_logistic_unit():
    along, across, labels = listed(dependent=False)
    for scale in (0.3, 5.0):
        slopes = 1 / (1 + np.exp(labels * scale * along))
        claimed = derive("ideal-noise").claim(logit_scale=scale, slope_sq=np.mean(slopes**2))
        assert noise_of_unit(along, across, labels, scale) == pytest.approx(claimed * np.eye(2), rel=1e-12, abs=1e-12)
    along, across, labels = listed(dependent=True)
    off = []
    for scale in (0.04, 0.02):
        noise = noise_of_unit(along, across, labels, scale)
        claim = derive("ideal-noise-at-small-scale").claim
        claimed = [
            claim(logit_scale=scale, margin_across=np.mean(labels * along * across[:, k] ** 2)) for k in range(2)
        ]
        off.append(np.diag(noise) - claimed)
    assert off[0] / off[1] == pytest.approx(16, rel=0.1)  # of fourth order
    noise = noise_of_unit(along, across, labels, 5.0)
    assert abs(noise[0, 0] / noise[1, 1] - 1) > 0.05


@checks("scale-of-logits")
def test_flipped_labels_keep_the_scale_small():
    along, labels = np.array([1.2, -1.1, 0.8, -0.85]), np.array([1, -1, 1, -1])
    along = along / np.sqrt(np.mean(along**2))

    def best(flip: float) -> float:
        def slope(scale: float) -> float:
            return sum(
                odds * np.mean(-sign * labels * along / (1 + np.exp(sign * labels * scale * along)))
                for odds, sign in ((1 - flip, 1), (flip, -1))
            )

        return brentq(slope, 1e-6, 50)

    for flip, wide in ((0.3, 0.1), (0.4, 0.03), (0.45, 0.01)):
        claimed = derive("scale-of-logits").claim(flip=flip, label_along=np.mean(labels * along))
        assert best(flip) == pytest.approx(claimed, rel=wide)
    assert best(0.3) < 1 < best(0.02)
