"""The bias of the neighbour entropy, found on a run's own harmonic gas, is the bias on laws whose entropy is known."""

import numpy as np
import pytest

from empirics.measure import entropy_bias, product_entropies
from empirics.measure.calibration import _path


def tangent_gas(rng, rows, spread, memory):
    """Normal tangent coordinates with these spreads that forget to 1/e in so many rows (0: at once)."""
    keep = np.exp(-1 / memory) if memory else 0.0
    x = rng.standard_normal((rows, len(spread)))
    for i in range(1, rows):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * x[i]
    return x * spread


def on_sphere(tangents):
    """The directions, and the entropy of their law: that of the tangents less the area that they lose."""
    m = tangents.shape[1]
    return np.c_[np.ones(len(tangents)), tangents], (m + 1) / 2 * np.log1p((tangents**2).sum(axis=1)).mean()


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("spread", [np.full(20, 0.02), 0.05 / np.sqrt(np.arange(1, 21)), np.full(20, 0.2)])
def test_it_is_the_bias_of_a_law_that_is_known(spread, memory):
    wrong, found, errors = [], [], []
    for seed in range(8):
        x, lost = on_sphere(tangent_gas(np.random.default_rng(seed), 400, spread, memory))
        (plain,) = product_entropies(x, (21,), 20, theiler=(0,))
        wrong.append(plain.value - (0.5 * np.log(2 * np.pi * np.e * spread**2).sum() - lost))
        bias, error = entropy_bias(x, (21,), 20, plain.effective_sample_size)
        found.append(bias)
        errors.append(error)
    assert abs(np.mean(wrong)) > 0.5  # 5 % of R is 0.5
    assert np.mean(found) == pytest.approx(np.mean(wrong), abs=0.25)
    assert np.mean(np.abs(np.subtract(found, np.mean(wrong))) < 2 * np.array(errors)) >= 0.75


def test_five_snapshots_per_direction_are_calibrated_as_they_are():
    # The law that is calibrated is drawn from the snapshots, and too narrow: without that the bias would be 0.5 more.
    wrong, found, spread = [], [], np.full(20, 0.02)
    for seed in range(40):
        x, lost = on_sphere(tangent_gas(np.random.default_rng(seed), 100, spread, 0))
        (plain,) = product_entropies(x, (21,), 20, theiler=(0,))
        wrong.append(plain.value - (0.5 * np.log(2 * np.pi * np.e * spread**2).sum() - lost))
        found.append(entropy_bias(x, (21,), 20, 100.0)[0])
    assert np.mean(found) == pytest.approx(np.mean(wrong), abs=0.3)


def test_the_paths_of_the_calibration_are_stationary_from_the_first_row():
    paths = _path(np.random.default_rng(2), np.full(4000, 0.95), 20)
    np.testing.assert_allclose(paths.std(axis=1), 1, atol=0.06)


def test_two_spheres_are_two():
    wrong, found = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        tangents = tangent_gas(rng, 400, np.r_[np.full(9, 0.02), np.full(12, 0.1)], 0)
        (one, lost), (two, more) = on_sphere(tangents[:, :9]), on_sphere(tangents[:, 9:])
        x = np.c_[3.0 * one, two]
        (plain,) = product_entropies(x, (10, 13), 21, theiler=(0,))
        known = 10.5 * np.log(2 * np.pi * np.e) + 9 * np.log(0.02) + 12 * np.log(0.1) - lost - more
        wrong.append(plain.value - known)
        found.append(entropy_bias(x, (10, 13), 21, plain.effective_sample_size)[0])
    assert np.mean(found) == pytest.approx(np.mean(wrong), abs=0.25)


def test_a_run_is_calibrated_again_as_it_was():
    x, _ = on_sphere(tangent_gas(np.random.default_rng(1), 200, np.full(8, 0.02), 0))
    assert entropy_bias(x, (9,), 8, 200.0) == entropy_bias(x.copy(), (9,), 8, 200.0)


@pytest.mark.parametrize(
    ("spread", "rows", "samples"),
    [(np.full(20, 0.02), 400, 79.0), (np.full(20, 0.02), 15, 80.0), (np.full(3, 50.0), 400, 400.0)],
)
def test_where_the_law_cannot_be_made_there_is_no_number(spread, rows, samples):
    rng = np.random.default_rng(2)
    x, _ = on_sphere(tangent_gas(rng, rows, spread, 0))
    x = x * rng.choice([-1, 1], (rows, 1)) if spread[0] > 1 else x  # all over the sphere
    assert np.isnan(entropy_bias(x, (len(spread) + 1,), len(spread), samples)).all()
    if samples == 79.0:  # of which four per direction would be enough
        assert np.isfinite(entropy_bias(x, (21,), 20, 80.0)).all()
