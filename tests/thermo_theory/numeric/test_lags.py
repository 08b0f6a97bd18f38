"""The sum over the lags of Lion's and Muon's steps: arcsine law, its limit for long rows, plain loops."""

import numpy as np
import pytest

from thermo_theory.numeric.lags import lion_lags, muon_lags, push


def muon_weights(momentum, length=4000):
    """Of the gradients in m' + (1 - momentum)(g - m'), m' = momentum m + (1 - momentum) g, by its recursion."""
    found, average = np.zeros(length), 0.0
    for age in range(length):
        fresh = 1.0 if age == 0 else 0.0
        average = momentum * average + (1 - momentum) * fresh
        found[age] = momentum * average + (1 - momentum) * fresh
    return found


def muon_push(rows, columns, momentum):
    return float(push(muon_lags(rows, columns, momentum)))


@pytest.mark.parametrize("momentum", [0.3, 0.9, 0.95])
def test_muon_of_a_number_has_the_arcsine_law(momentum):
    weights = muon_weights(momentum)
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    wanted = 1 + 2 * (2 / np.pi * np.arcsin(products[1:] / products[0])).sum()
    assert abs(muon_push(1, 1, momentum) / wanted - 1) < 0.006


def test_muon_of_a_long_row_has_the_lags_of_the_average_itself():
    """The average of long vectors has a fixed length, so its direction has the lags of the average."""
    weights = muon_weights(0.95)
    wanted = weights.sum() ** 2 / (weights**2).sum()
    assert abs(muon_push(1, 2000, 0.95) / wanted - 1) < 0.006


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 5), (4, 12), (12, 4)])
def test_muon_of_a_matrix_against_a_plain_loop(rows, columns):
    rng, momentum, copies = np.random.default_rng(1), 0.8, 2000
    average, total = (np.zeros((copies, rows, columns)) for _ in range(2))
    first = 0.0
    for step in range(140):
        fresh = rng.standard_normal(average.shape)
        average = momentum * average + (1 - momentum) * fresh
        left, _, right = np.linalg.svd(momentum * average + (1 - momentum) * fresh, full_matrices=False)
        if step == 60:
            first = left @ right
        total += left @ right if step >= 60 else 0
    each = (first * (2 * total - first)).sum((1, 2))  # lags of one sign, twice; lag 0 once
    assert abs(muon_push(rows, columns, momentum) - each.mean()) < 4 * each.std(ddof=1) / copies**0.5


@pytest.mark.parametrize(("beta1", "beta2", "decay"), [(0.9, 0.99, 0.0), (0.9, 0.9, 0.1), (0.0, 0.9, 0.0)])
def test_lion_against_a_plain_loop(beta1, beta2, decay):
    """Weights of w' = (1 - decay) w - sign(c), at independent gradients: E w² is push/(decay (2 - decay))."""
    if not decay:
        assert abs(push(lion_lags(beta1, beta2)) - {0.9: 45.927, 0.0: 1.0}[beta1]) < 1e-3
        return
    rng, copies = np.random.default_rng(2), 20_000
    average, weights = np.zeros(copies), np.zeros(copies)
    for _ in range(300):
        fresh = rng.standard_normal(copies)
        weights = (1 - decay) * weights - np.sign(beta1 * average + (1 - beta1) * fresh)
        average = beta2 * average + (1 - beta2) * fresh
    wanted = push(lion_lags(beta1, beta2), decay) / (decay * (2 - decay))
    assert abs((weights**2).mean() - wanted) < 5 * (weights**2).std() / copies**0.5
