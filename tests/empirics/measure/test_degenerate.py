"""Estimators on numbers that no measurement has: constant, zero, tiny, huge. A limit or NaN, never a warning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from empirics import measure
from empirics.measure.rounding import constant, scale_of

SIZES = st.sampled_from([1e-300, 1e-30, 0.1, 1.0, 1e30, 1e300])
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((4, 64))
PLAIN = (measure.effective_sample_size, measure.r_hat, measure.autocorrelation_time)


@pytest.mark.parametrize("estimator", PLAIN)
@settings(max_examples=12)
@given(size=SIZES)
def test_what_has_no_unit_does_not_depend_on_it(estimator, size):
    # R-hat ranks distances to the median, of which the two in the middle are equal but for rounding.
    assert estimator(size * NOISE) == pytest.approx(estimator(NOISE), rel=1e-4)


@settings(max_examples=20)
@given(size=SIZES, last_bit=st.booleans(), n=st.integers(8, 60))
def test_a_constant_series_is_worth_one_value_and_has_mixed(size, last_bit, n):
    x = size * (1 + last_bit * 2.0**-52 * (np.arange(2 * n) % 2)).reshape(2, n)
    assert measure.effective_sample_size(x) == 1.0
    assert measure.r_hat(x) == 1.0
    assert measure.r_hat(x * [[1.0], [2.0]]) == math.inf
    assert measure.autocorrelation_time(x[0]) == n
    change, error = measure.drift(x[0])
    assert abs(change) <= 1e-15 * size
    assert error <= 1e-15 * size
    assert measure.block_error(x[0]) <= 1e-15 * size
    with pytest.raises(ValueError, match="all the same"):
        measure.mean_difference(x[0], x[1])


@settings(max_examples=12)
@given(size=SIZES)
def test_errors_and_differences_go_with_the_unit(size):
    """Of the order of the largest number in use too, where squares overflow."""
    for estimator in (measure.block_error, measure.drift):
        np.testing.assert_allclose(np.array(estimator(size * NOISE)), size * np.array(estimator(NOISE)), rtol=1e-12)
    here, there = measure.mean_difference(size * NOISE[0], size * NOISE[1]), measure.mean_difference(*NOISE[:2])
    assert (here.error / size, here.freedom) == pytest.approx((there.error, there.freedom))
    pooled = measure.pooled_difference([here, here])
    assert pooled.freedom == pytest.approx(2 * here.freedom)


@settings(max_examples=12)
@given(size=SIZES)
def test_gradients_of_any_size(size):
    g = NOISE + 0.5
    assert measure.gradient_noise(size * g).snr == pytest.approx(measure.gradient_noise(g).snr)
    assert measure.gradient_noise(np.full((5, 7), size)).snr == math.inf
    angle = measure.angular_update(size * g[0], size * g[1])
    assert angle == pytest.approx(measure.angular_update(g[0], g[1]))
    rank = measure.effective_rank(lambda v: size * v, 20, rng=0)
    assert rank.value == pytest.approx(20)
    found = measure.hutchinson_trace(lambda v: size * v, 20, rng=0)
    assert found.value == pytest.approx(20 * size)
    warm = measure.configurational_temperature(size * (1 + 0.1 * NOISE[0]) ** 2, np.full(64, size))
    assert 0.9 < warm.value < 1.2


def test_what_has_no_limit_is_nan():
    assert math.isnan(measure.effective_rank(lambda v: 0 * v, 5, rng=0).value)
    assert math.isnan(measure.configurational_temperature(np.ones(9), np.zeros(9)).value)
    assert math.isnan(measure.configurational_temperature(np.ones(10), np.resize([1.0, -1.0], 10)).value)
    assert math.isnan(measure.angular_update(np.zeros(3), np.ones(3)))
    assert math.isnan(measure.norm_balance(0.1, 0.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="norm"):
        measure.sphere_laplacian(lambda v: v, np.zeros(3), np.zeros(3))


@settings(max_examples=12)
@given(size=SIZES, power=st.sampled_from([0.0, 1.0]))
def test_curves_of_any_size_and_level_ones(size, power):
    step = np.arange(10.0, 110.0)
    assert measure.decay_exponent(step, size * step**-power)[0] == pytest.approx(power, abs=1e-6)
    assert math.isnan(measure.decay_exponent(np.full(100, size), step)[0])
    kind = measure.regime(
        status="ok", step=np.full(100, 7.0), loss=np.full(100, 0.5), noise=step, accuracy=np.ones(100), classes=10
    )
    assert kind.label == "gas"


@settings(max_examples=12)
@given(size=SIZES, offset=st.sampled_from([0.0, 1.0]))
def test_entropy_is_integrated_whatever_the_unit(size, offset):
    """T and U in another unit; a loss that does not vary, or is 0, brings no entropy and has an error all the same."""
    heat = np.geomspace(1.0, 10.0, 6)
    plain = measure.entropy_by_integration(heat, 10 * heat + offset)
    np.testing.assert_allclose(
        measure.entropy_by_integration(size * heat, size * (10 * heat + offset)).value, plain.value
    )
    level = measure.entropy_by_integration(size * heat, np.full(6, offset * size), U_error=np.full(6, 0.1 * size))
    np.testing.assert_allclose(level.value, 0.0, atol=1e-12)
    assert (level.high[1:] > level.low[1:] + 0.01).all()
    with pytest.raises(ValueError, match="the same"):
        measure.entropy_by_integration(np.full(6, size), heat, p=np.full(6, 1.0), V=np.resize([1.0, 1.0 + 2.0**-52], 6))


@settings(max_examples=8)
@given(size=st.sampled_from([1e-300, 1e-30, 1e30, 1e300]), method=st.sampled_from(["flat", "cap", "gaussian", "vmf"]))
def test_directions_have_no_size(size, method):
    x = NOISE.T[:40] + 3.0
    here, there = (measure.sphere_entropy(one, method=method).value for one in (size * x, x))
    assert here == pytest.approx(there, rel=1e-9)
    with pytest.raises(ValueError, match="same direction"):
        measure.sphere_entropy(np.full((10, 4), size), method=method)


def test_the_scale_rounds_nothing():
    assert not constant([1.0, 1.0 + 1e-11])
    assert constant(np.array([1.0, 1.0 + 2**-23], dtype=np.float32))
    x = np.array([0.1, -3.7e5, 2e-9])
    np.testing.assert_array_equal(x / scale_of(x) * scale_of(x), x)
