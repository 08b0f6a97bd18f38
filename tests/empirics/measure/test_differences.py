"""Differences of means against scipy's Welch test, and how often their intervals cover."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from empirics.measure import MeanDifference, furthest_difference, mean_difference, pooled_difference


def test_against_scipys_welch_test():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.0, 1.0, 7), rng.normal(0.4, 3.0, 12)
    found, expected = mean_difference(first, second), ttest_ind(second, first, equal_var=False)
    assert found.freedom == pytest.approx(expected.df)
    assert found.value / found.error == pytest.approx(expected.statistic)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()))


def test_intervals_cover_95_per_cent_and_the_furthest_of_five_does_too():
    rng = np.random.default_rng(1)
    true, rounds, pooled_hits, all_hits = np.array([0.0, 0.2, -0.1, 0.3, 0.1]), 600, 0, 0
    for _ in range(rounds):
        each = [mean_difference(rng.normal(0, 1, 8), rng.normal(shift, 2, 12)) for shift in true]
        low, high = pooled_difference(each).interval()
        pooled_hits += low <= true.mean() <= high
        within = [low <= shift <= high for (low, high), shift in zip([o.interval(5) for o in each], true, strict=True)]
        all_hits += all(within)
    # Binomial, 600 rounds at 0.95: a standard error of 0.009.
    assert abs(pooled_hits / rounds - 0.95) < 0.03
    assert abs(all_hits / rounds - 0.95) < 0.03


def test_differences_of_unequal_precision_count_the_same_in_the_mean():
    found = pooled_difference([MeanDifference(0.0, 1.0, 4), MeanDifference(2.0, 3.0, 10)])
    # Satterthwaite: (1 + 9)^2 over 1/4 + 81/10.
    assert (found.value, found.error, found.freedom) == pytest.approx((1.0, 10**0.5 / 2, 100 / 8.35))


def test_the_furthest_is_the_one_that_reaches_furthest_not_the_largest():
    precise = mean_difference([0.0, 0.01], [0.5, 0.51])
    vague = mean_difference([0.0, 4.0], [0.1, 4.1])
    assert furthest_difference([precise, vague])[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ([1.0], [1.0, 2.0], "two finite numbers"),
        ([1.0, np.nan], [1.0, 2.0], "finite"),
        ([1, 1], [2, 2], "all the same"),
    ],
)
def test_what_has_no_error_is_refused(first, second, why):
    with pytest.raises(ValueError, match=why):
        mean_difference(first, second)
