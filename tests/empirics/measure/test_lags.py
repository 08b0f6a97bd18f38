"""The sum over Muon's lags against the arcsine law, its limit for long rows, and a plain loop."""

import numpy as np
import pytest

from empirics.measure.lags import muon_push


def weights_of(momentum, length=4000):
    """Of the gradients in m' + (1 - momentum)(g - m'), m' = momentum m + (1 - momentum) g."""
    found, average = np.zeros(length), np.zeros(length)
    for age in range(length):
        new = 1.0 if age == 0 else 0.0
        average_now = (momentum * average[age - 1] if age else 0) + (1 - momentum) * new
        average[age] = average_now
        found[age] = momentum * average_now + (1 - momentum) * new
    return found


@pytest.mark.parametrize("momentum", [0.3, 0.9, 0.95])
def test_of_a_number_it_is_the_arcsine_law(momentum):
    weights = weights_of(momentum)
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    wanted = 1 + 2 * (2 / np.pi * np.arcsin(products[1:] / products[0])).sum()
    assert abs(muon_push(1, 1, momentum) / wanted - 1) < 0.005


def test_of_a_long_row_it_is_that_of_the_average_itself():
    """The average of long vectors has a fixed length, so its direction has the lags of the average."""
    weights = weights_of(0.95)
    wanted = weights.sum() ** 2 / (weights**2).sum()
    assert abs(muon_push(1, 2000, 0.95) / wanted - 1) < 0.005


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 5), (4, 12), (12, 4)])
def test_of_a_matrix_against_a_plain_loop(rows, columns):
    rng, momentum, copies = np.random.default_rng(1), 0.8, 4000
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
    wanted, error = each.mean(), each.std(ddof=1) / copies**0.5
    assert abs(muon_push(rows, columns, momentum) - wanted) < 4 * error + 0.005 * wanted
