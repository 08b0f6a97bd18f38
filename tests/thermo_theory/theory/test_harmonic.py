"""`Harmonic` against scipy's solvers, the update carried out step by step, closed forms, and quadrature."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov
from scipy.sparse.linalg import aslinearoperator

from thermo_theory import Harmonic
from thermo_theory.theory.gases.lyapunov import circulation, implicit_hessian, noise_temperature, stationary_covariance


def random_matrices(seed, m, rank):
    rng = np.random.default_rng(seed)
    root, spread = rng.standard_normal((m, m)), rng.standard_normal((m, rank))
    return root @ root.T / m + 0.3 * np.eye(m), spread, rng


def references(hessian, noise, eta, discrete):
    """Covariance by scipy and the numbers by their definitions, in coordinates."""
    m = len(hessian)
    if discrete:
        spread = solve_discrete_lyapunov(np.eye(m) - eta * hessian, eta**2 * noise)
    else:
        spread = solve_continuous_lyapunov(hessian, eta * noise)
    T, pulled = eta * np.trace(noise) / (2 * m), hessian @ spread
    return spread, {
        "energy": np.trace(pulled) / 2,
        "fluctuations": np.trace(pulled @ pulled) / (m * T**2),
        "thermometer": np.trace(hessian @ pulled) / (T * np.trace(hessian)),
    }


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7), st.floats(0.05, 0.9), st.booleans())
def test_numbers_are_those_of_scipy(seed, m, rank, share, discrete):
    hessian, root, _ = random_matrices(seed, m, rank)
    eta = 2 * share / np.linalg.eigvalsh(hessian)[-1]
    noise = root @ root.T
    spread, numbers = references(hessian, noise, eta, discrete)
    for system in (Harmonic(hessian, noise), Harmonic(hessian, factor=root)):
        np.testing.assert_allclose(system.covariance(eta, discrete=discrete), spread, atol=1e-9 * np.abs(spread).max())
        for name, wanted in numbers.items():
            assert getattr(system, name)(eta, discrete=discrete) == pytest.approx(wanted, rel=1e-8), name
        turned = eta * (hessian @ spread - spread @ hessian)
        scale = eta * np.abs(hessian @ spread).max()
        np.testing.assert_allclose(system.circulation(eta, discrete=discrete), turned, atol=1e-9 * scale)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_the_laws_of_the_gas_hold_whatever_the_noise(seed, m):
    hessian, root, _ = random_matrices(seed, m, m)
    noise = root @ root.T
    system, eta, twice = Harmonic(hessian, noise), 0.01, 0.02
    assert m / 2 == system.R
    for one in (eta, twice):
        assert system.energy(one) == pytest.approx(system.R * system.temperature(one), rel=1e-10)
    slope = (system.entropy(twice) - system.entropy(eta)) / np.log(2)
    assert slope == pytest.approx(system.R, rel=1e-8)
    potential = system.potential()
    np.testing.assert_allclose(system.potential(eta), potential, rtol=1e-6, atol=1e-9 * np.abs(potential).max())
    np.testing.assert_allclose(
        potential @ system.covariance(eta), system.temperature(eta) * np.eye(m), atol=1e-6 * system.temperature(eta)
    )
    # Currents take from the fluctuations what they are below those of commuting noise.
    most = m * np.trace(noise @ noise) / np.trace(noise) ** 2
    currents = np.sum(system.circulation(eta) ** 2) / (eta**2 * 4 * m * system.temperature(eta) ** 2)
    assert 1 - 1e-12 < system.fluctuations() == pytest.approx(most - currents, rel=1e-8)
    thermometer = m * np.trace(hessian @ noise) / (np.trace(hessian) * np.trace(noise))
    assert system.thermometer() == pytest.approx(thermometer, rel=1e-10)


def test_the_loss_is_the_potential_only_if_the_noise_is_isotropic_and_currents_are_another_matter():
    hessian, root, _ = random_matrices(3, 4, 4)
    for noise, flows, is_loss in (
        (np.eye(4), False, True),
        (hessian @ hessian, False, False),
        (root @ root.T, True, False),
    ):
        system = Harmonic(hessian, noise)
        assert np.allclose(system.potential(), hessian, rtol=1e-8) == is_loss
        assert (system.fluctuations() == pytest.approx(1, abs=1e-12)) == is_loss
        turning = np.abs(system.circulation(0.1)).max() / np.abs(0.01 * noise).max()
        assert (turning > 1e-3) == flows
        if not flows:
            most = 4 * np.trace(noise @ noise) / np.trace(noise) ** 2
            assert system.fluctuations() == pytest.approx(most, rel=1e-10)


def test_large_steps_simulated_by_a_plain_loop():
    """20,000 walkers, eta lambda_max = 0.8: covariance, mean, variance and slope of the loss, circulation, 4 errors."""
    rng = np.random.default_rng(11)
    hessian = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, 0.2], [0.0, 0.2, 0.5]])
    root = np.array([[1.5, 0.0, 0.0], [-0.4, 0.5, 0.0], [0.3, 0.1, 0.3]])
    system, eta = Harmonic(hessian, factor=root), 0.8 / np.linalg.eigvalsh(hessian)[-1]
    walkers, rows = rng.standard_normal((20_000, 3)), []
    for step in range(600):
        moved = walkers - eta * (walkers @ hessian + rng.standard_normal(walkers.shape) @ root.T)
        if step >= 100 and step % 25 == 0:
            loss = np.einsum("ni,ij,nj->n", walkers, hessian, walkers) / 2
            turned = walkers[:, 0] * (moved - walkers)[:, 1] - walkers[:, 1] * (moved - walkers)[:, 0]
            slope = np.sum((walkers @ hessian) ** 2, axis=1)
            rows.append([loss.mean(), loss.var(), slope.mean(), turned.mean(), walkers[:, 0].var()])
        walkers = moved
    T = system.temperature(eta)
    wanted = {
        "energy": system.energy(eta, discrete=True),
        "variance of the loss": system.fluctuations(eta, discrete=True) * system.R * T**2,
        "squared gradient": system.thermometer(eta, discrete=True) * T * np.trace(hessian),
        "circulation": system.circulation(eta, discrete=True)[0, 1],
        "variance of x_0": system.covariance(eta, discrete=True)[0, 0],
    }
    errors = np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows))
    for (name, number), seen, error in zip(wanted.items(), np.mean(rows, axis=0), errors, strict=True):
        assert abs(seen - number) < 4 * error < 0.05 * abs(number), name
    small = system.fluctuations() * system.R * T**2
    assert abs(wanted["variance of the loss"] - small) > 10 * errors[1]
    pulled = hessian @ system.covariance(eta, discrete=True) @ hessian
    assert system.energy(eta, discrete=True, relative=True) == pytest.approx(1 + np.trace(pulled) / np.sum(root**2))


def test_the_covariance_is_the_integral_of_what_noise_leaves():
    hessian, root, _ = random_matrices(8, 3, 2)
    wanted, _ = quad_vec(lambda t: expm(-hessian * t) @ root @ root.T @ expm(-hessian * t), 0, np.inf, epsabs=1e-12)
    np.testing.assert_allclose(Harmonic(hessian, factor=root).covariance(0.1), 0.1 * wanted, rtol=1e-8)


# Closed forms ------------------------------------------------------------------------------------


def test_closed_forms_are_the_numbers():
    a, b, eta = sp.symbols("a b eta", positive=True)
    hessian, noise = sp.Matrix([[2 + a, 1], [1, 2]]), sp.Matrix([[1, b], [b, 3]])
    values = {a: sp.Rational(3, 2), b: sp.Rational(1, 3), eta: sp.Rational(1, 7)}
    closed = Harmonic(hessian, noise)
    numbers = [np.array(matrix.subs(values), dtype=float) for matrix in (hessian, noise)]
    plain, rate = Harmonic(*numbers), float(values[eta])
    for discrete in (False, True):
        for name in ("covariance", "circulation", "potential"):
            found = np.array(getattr(closed, name)(eta, discrete=discrete).subs(values), dtype=float)
            wanted = getattr(plain, name)(rate, discrete=discrete)
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14, err_msg=name)
        for name in ("energy", "fluctuations", "thermometer", "entropy"):
            found = float(getattr(closed, name)(eta, discrete=discrete).subs(values))
            assert found == pytest.approx(getattr(plain, name)(rate, discrete=discrete), rel=1e-10), name
    traces = [(hessian * noise).trace(), hessian.trace(), noise.trace()]
    assert sp.simplify(closed.thermometer() - 2 * traces[0] / (traces[1] * traces[2])) == 0
    assert closed.energy(relative=True) == 1
    assert sp.simplify(closed.energy(eta, discrete=True, relative=True) - 1) != 0
    assert eta not in closed.potential(eta).free_symbols
    assert closed.R == 1
    assert closed.residual() == closed.trace_error == 0


# Thousands of directions -------------------------------------------------------------------------


def test_matrix_free_equals_dense_and_states_its_error():
    hessian, root, _ = random_matrices(21, 300, 4)
    eta = 0.3 / np.linalg.eigvalsh(hessian)[-1]
    free, full = (Harmonic(one, factor=root) for one in (aslinearoperator(hessian), hessian))
    for discrete in (False, True):
        assert free.residual(eta, discrete=discrete) < 1e-7
        for name in ("energy", "fluctuations", "thermometer"):
            wanted = getattr(full, name)(eta, discrete=discrete)
            assert getattr(free, name)(eta, discrete=discrete) == pytest.approx(wanted, rel=1e-6), name
        spread = full.covariance(eta, discrete=discrete)
        np.testing.assert_allclose(
            free.covariance(eta, discrete=discrete) @ np.eye(300), spread, atol=1e-6 * np.abs(spread).max()
        )
        turned = full.circulation(eta, discrete=discrete)
        np.testing.assert_allclose(
            free.circulation(eta, discrete=discrete) @ np.eye(300), turned, atol=1e-6 * np.abs(turned).max()
        )
    assert free.trace_error == 0  # 300 products are fewer than it may take
    for refused in (free.potential, lambda: free.entropy(eta)):
        with pytest.raises(ValueError, match="matrix-free"):
            refused()


def test_the_residual_is_what_the_equation_leaves():
    hessian, root, _ = random_matrices(4, 60, 2)
    with pytest.warns(RuntimeWarning, match=r"12 dimensions leaves .*raise krylov"):
        coarse = Harmonic(aslinearoperator(hessian), factor=root, krylov=12)
    for eta, discrete in ((0.2, False), (0.2, True)):
        spread = coarse.covariance(eta, discrete=discrete) @ np.eye(60)
        left = hessian @ spread + spread @ hessian - eta * root @ root.T
        left = left - eta * hessian @ spread @ hessian if discrete else left
        wanted = np.linalg.norm(left) / (eta * np.linalg.norm(root @ root.T))
        assert coarse.residual(eta, discrete=discrete) == pytest.approx(wanted, rel=1e-8)
        assert wanted > 1e-4


def test_the_trace_of_many_directions_comes_with_its_error():
    rng = np.random.default_rng(2)
    sizes = np.concatenate([[50.0, 20.0], rng.uniform(0.5, 1.5, 1998)])
    operator, root = aslinearoperator(np.diag(sizes)), rng.standard_normal((2000, 1))
    offs = []
    for seed in range(6):
        system = Harmonic(operator, factor=root, krylov=60, seed=seed)
        known = Harmonic(operator, factor=root, krylov=60, trace=sizes.sum(), directions=2000)
        assert known.trace_error == 0 < system.trace_error < 0.02
        offs.append((known.thermometer() / system.thermometer() - 1) / system.trace_error)
    assert 0.1 < np.sqrt(np.mean(np.square(offs))) < 3


# What is refused ---------------------------------------------------------------------------------

GOOD = np.diag([1.0, 2.0])


@pytest.mark.parametrize(
    ("hessian", "noise", "said"),
    [
        ([[1.0, 0.5], [0.0, 1.0]], GOOD, "^H is not symmetric: it differs from its transpose by 0.5"),
        (np.diag([1.0, -2.0]), GOOD, "^H has the eigenvalue -2"),
        (GOOD, np.diag([1.0, -1.0]), "^Sigma has the eigenvalue -1"),
        (GOOD, [[1.0, 0.1], [0.0, 1.0]], "^Sigma is not symmetric"),
        (GOOD, np.eye(3), r"^Sigma has shape \(3, 3\): must be of shape \(2, 2\)"),
        (np.ones(2), GOOD, r"^H has shape \(2,\): must be square"),
        (np.zeros((0, 0)), GOOD, r"^H has shape \(0, 0\)"),
        (GOOD, np.diag([1.0, np.nan]), "^Sigma has entries that are not finite"),
        (np.diag([1.0, np.inf]), GOOD, "^H has entries that are not finite"),
        (GOOD * 1j, GOOD, "^H is not a matrix of real numbers"),
        (np.diag([1.0, 0.0]), GOOD, "^Sigma has noise along a direction in which H is flat"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "^H is 0"),
        (GOOD, np.zeros((2, 2)), "^Sigma is 0"),
        (sp.Matrix([[1, 1], [0, 1]]), sp.eye(2), "^H is not symmetric"),
        (sp.diag(1, 0), sp.diag(1, 0), "^H is singular"),
        (sp.diag(1, 2), sp.diag(1, -1), "^Sigma .*eigenvalue"),
        (sp.diag(1, 2), sp.eye(3), r"^Sigma has shape \(3, 3\)"),
        (sp.eye(2), sp.zeros(2, 2), "^Sigma is 0"),
        (aslinearoperator(GOOD), GOOD, "^Sigma with a LinearOperator"),
    ],
)
def test_a_wrong_matrix_is_named_in_one_line(hessian, noise, said):
    with pytest.raises(ValueError, match=said) as error:
        Harmonic(hessian, noise)
    assert len(str(error.value).splitlines()) == 1


def test_other_wrong_requests_are_named():
    for wrong in ({}, {"Sigma": GOOD, "factor": np.ones((2, 1))}):
        with pytest.raises(ValueError, match="either Sigma or factor"):
            Harmonic(GOOD, **wrong)
    for factor in (np.ones((3, 1)), np.ones(2), np.zeros((2, 1))):
        with pytest.raises(ValueError, match=r"^factor has shape"):
            Harmonic(GOOD, factor=factor)
    with pytest.raises(ValueError, match="H has the Ritz value -1"):
        Harmonic(aslinearoperator(np.diag([1.0, -1.0])), factor=np.eye(2))
    with pytest.raises(ValueError, match="H is not symmetric"):
        Harmonic(aslinearoperator(np.array([[1.0, 0.5], [0.0, 1.0]])), factor=np.eye(2))
    with pytest.raises(ValueError, match=r"H has shape \(2, 3\)"):
        Harmonic(aslinearoperator(np.ones((2, 3))), factor=np.eye(2))
    with pytest.raises(ValueError, match=r"^directions and trace"):
        Harmonic(GOOD, GOOD, trace=3.0)
    system, closed = Harmonic(GOOD, GOOD), Harmonic(sp.diag(1, 2), sp.diag(1, 2))
    for one in (system, closed):
        for eta in (0, -0.1):
            with pytest.raises(ValueError, match=r"^eta_eff = .*must be positive"):
                one.covariance(eta)
        with pytest.raises(ValueError, match="SGD diverges"):
            one.covariance(1.0, discrete=True)
        with pytest.raises(ValueError, match="discrete=True needs eta_eff"):
            one.fluctuations(discrete=True)
    with pytest.raises(ValueError, match="energy needs eta_eff"):
        system.energy()
    low = Harmonic(GOOD, np.diag([1.0, 0.0]))
    for refused in (low.potential, lambda: low.entropy(0.1)):
        with pytest.raises(ValueError, match="Sigma does not reach all directions"):
            refused()


def test_flat_directions_without_noise_are_left_out():
    hessian, root, rng = random_matrices(9, 3, 3)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0][:, :3]
    inside, larger = (Harmonic(q @ hessian @ q.T, q @ root @ root.T @ q.T) for q in (np.eye(3), turn))
    assert larger.R == inside.R == 1.5
    assert larger.fluctuations() == pytest.approx(inside.fluctuations())
    np.testing.assert_allclose(larger.covariance(0.1), turn @ inside.covariance(0.1) @ turn.T, atol=1e-12)


def test_the_functions_of_older_releases_are_the_same():
    hessian, root, _ = random_matrices(5, 4, 4)
    noise, eta = root @ root.T, 0.1
    system = Harmonic(hessian, noise)
    for steps in (False, True):
        spread = stationary_covariance(hessian, noise, eta=eta, steps=steps)
        np.testing.assert_array_equal(spread, system.covariance(eta, discrete=steps))
        turned = circulation(hessian, spread, eta=eta)
        np.testing.assert_allclose(turned, system.circulation(eta, discrete=steps), atol=1e-12)
        heat = noise_temperature(noise, eta=eta)
        np.testing.assert_allclose(implicit_hessian(spread, heat), system.potential(eta, discrete=steps), rtol=1e-6)
    with pytest.raises(ValueError, match="an inverse"):
        implicit_hessian(np.zeros((2, 2)), 1.0)
