"""The correlation at two times, on walks whose ageing is known."""

import numpy as np
import pytest

from empirics.measure import ageing_exponent, forgetting_lag, two_time_correlation


def walk(kicks, rng, sizes=(300, 100)):
    """Directions on spheres, turned in step t by noise of standard deviation kicks[t] per direction."""
    rows = [rng.standard_normal(sum(sizes))]
    for kick in kicks:
        parts = np.split(rows[-1], np.cumsum(sizes)[:-1])
        parts = [part / np.linalg.norm(part) + kick * rng.standard_normal(len(part)) for part in parts]
        rows.append(np.concatenate(parts))
    return np.array(rows)


def exponent(kicks, seed):
    times = np.arange(1, len(kicks) + 2)
    found = two_time_correlation(walk(kicks, np.random.default_rng(seed)), (300, 100))
    ages = (10 * 2 ** np.arange(6)).astype(int)
    return ageing_exponent(ages, forgetting_lag(found, times, level=0.8)[ages - 1])


def test_steps_of_constant_size_do_not_age():
    found = [exponent(np.full(600, 0.012), seed) for seed in range(4)]
    assert abs(np.mean(found)) < 0.1


def test_steps_that_shrink_as_the_root_of_time_age_fully():
    # The angle squared grows as the logarithm of time: C depends on the ratio of times.
    found = [exponent(0.04 / np.sqrt(np.arange(1, 1201)), seed) for seed in range(4)]
    assert abs(np.mean(found) - 1) < 0.1


def test_only_directions_count_and_every_part_by_its_dimension():
    rows = np.array([[1.0, 0.0, 5.0, 0.0, 0.0], [0.0, 2.0, 3.0, 0.0, 4.0]])
    np.testing.assert_allclose(two_time_correlation(rows, (2, 3))[0], [1.0, (0.0 * 1 + 0.6 * 2) / 3])
    with pytest.raises(ValueError, match="add up to the 5 columns"):
        two_time_correlation(rows, (2, 2))


def test_what_is_never_forgotten_has_no_lag_and_too_few_lags_no_exponent():
    assert np.isnan(forgetting_lag(np.ones((3, 3)), [1, 2, 3], level=0.5)).all()
    assert np.isnan(ageing_exponent([1, 2, 3], [np.nan, 5.0, np.nan]))
