"""Entropies of samples that are correlated in time: their intervals, and what counts as a path."""

import numpy as np
import pytest

from empirics.measure import product_entropies, snapshot_entropies, sphere_entropy


def chain(rng, rows, d, time, temperature):
    """Directions about a pole, normal with this variance, that forget in `time` rows."""
    x, keep = rng.standard_normal((rows, d - 1)), np.exp(-1 / time)
    for i in range(1, rows):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * x[i]
    return np.c_[np.ones(rows), np.sqrt(temperature) * x]


def half_widths(found):
    """Mean half-width of the intervals over 1.96 times the scatter of the values."""
    scatter = 1.96 * np.std([one.value for one in found], ddof=1)
    return np.mean([(one.high - one.low) / 2 for one in found]) / scatter


def test_intervals_of_correlated_samples_are_as_wide_as_their_scatter():
    rng = np.random.default_rng(22)
    assert 0.7 < half_widths([sphere_entropy(chain(rng, 400, 3, 10, 1e-4)) for _ in range(30)]) < 4


def test_the_normal_law_of_correlated_samples_counts_the_independent_ones():
    # Fifteen variances from 185 independent rows: a determinant as if from 400 would leave half of its bias of 0.3.
    rng, d, temperature = np.random.default_rng(23), 16, 1e-4
    found = [sphere_entropy(chain(rng, 400, d, 2, temperature), method="gaussian") for _ in range(20)]
    values = np.array([one.value for one in found])
    exact = (d - 1) / 2 * np.log(2 * np.pi * np.e * temperature)
    assert abs(values.mean() - exact) < 3 * values.std(ddof=1) / np.sqrt(20)
    assert 0.8 < half_widths(found) < 3
    assert half_widths([sphere_entropy(chain(rng, 400, d, 2, temperature), method="vmf") for _ in range(15)]) > 0.7


def test_intervals_of_the_normal_law_from_few_samples_are_as_wide_as_their_scatter():
    rng = np.random.default_rng(25)
    found = [sphere_entropy(chain(rng, 20, 16, 0.01, 1e-4), method="gaussian", theiler=0) for _ in range(100)]
    assert 0.8 < half_widths(found) < 1.3


def test_neighbours_within_the_correlation_time_make_a_path_though_they_are_not_next_in_time():
    rng = np.random.default_rng(24)
    rows = chain(rng, 400, 60, 60, 1e-4)
    rows[:, 1:] += 7e-3 * rng.standard_normal((400, 59))
    found = sphere_entropy(rows, theiler=0)
    assert np.median(np.abs(found.lags)) > 1.5
    assert found.path_entropy
    # What is forgotten to a fourth from row to row is a path all the same, if there are directions enough.
    assert sphere_entropy(chain(rng, 100, 1500, 0.7, 1e-4), theiler=0).path_entropy


def test_a_run_on_two_spheres_has_the_entropy_of_its_directions_and_of_their_lengths():
    rng = np.random.default_rng(26)
    one, two = (rng.lognormal(mean, 0.5, (300, 1)) * chain(rng, 300, d, 20, 1e-2) for mean, d in ((1.0, 5), (0.0, 4)))
    x = np.c_[one, two]
    found, lags = snapshot_entropies(x, (5, 4), (4, 3))
    plain, apart = product_entropies(x, (5, 4), 7)
    lengths = sum(
        m * np.log(np.linalg.norm(part, axis=1) / np.linalg.norm(x, axis=1)) for part, m in ((one, 4), (two, 3))
    )
    assert found["entropy_lengths"] == pytest.approx(lengths.mean())
    assert found["entropy_sphere"] == pytest.approx(plain.value + lengths.mean())
    assert found["entropy_sphere_theiler"] == pytest.approx(apart.value + lengths.mean())
    assert apart.value - plain.value > 1
    assert found["neighbour_lag"] == np.median(np.abs(lags)) < np.mean(np.abs(lags)) - 0.4
    assert found["effective_sample_size"] == plain.effective_sample_size
