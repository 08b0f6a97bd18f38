"""Norm balance, block errors, correlation times and the status of a run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from empirics.measure import autocorrelation, block_error, integrated_time, memory, norm_balance, run_status, unbiased

GOOD = {
    "balance": 1.001,
    "balance_error": 0.001,
    "radius_drift": 0.001,
    "radius_drift_error": 0.002,
    "violation": 1e-8,
    "diverged_at": -1,
    "loss": 0.5,
}


@given(st.floats(1e-4, 0.5), st.floats(1e-4, 0.5), st.floats(0.1, 10))
def test_balance_is_one_where_the_norm_stays(lr, wd, radius):
    # The gradient that brings the norm back to where it was after the decay.
    grad_sq = radius**2 * (1 - (1 - lr * wd) ** 2) / lr**2
    assert norm_balance(lr, wd, grad_sq, radius**2) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("radial", [-0.3, 0.2])
def test_balance_with_a_gradient_along_the_weights(radial):
    # |(1 - lr wd) w - lr g|^2 = |w|^2 with w.g as given.
    lr, wd, squared = 0.4, 0.5, 2.0
    keep = 1 - lr * wd
    grad_sq = ((1 - keep**2) * squared + 2 * lr * keep * radial) / lr**2
    assert norm_balance(lr, wd, grad_sq, squared, radial) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({}, "ok", ""),
        ({"diverged_at": 12}, "diverged", "step 12"),
        ({"violation": 0.05}, "not scale-invariant", "0.05"),
        ({"violation": float("nan")}, "not scale-invariant", "nan"),
        ({"violation": 0.05, "tolerance": 0.06}, "ok", ""),
        ({"violation": 0.05, "tolerance": 0.04}, "not scale-invariant", "more than 0.04"),
        ({"periodic_jumps": True, "balance": 1.4}, "periodic jumps", "jumps back repeatedly"),
        ({"balance": 1.4}, "not stationary", "1.400"),
        ({"balance": float("nan")}, "not stationary", "nan"),
        ({"balance": 1.03, "balance_error": 0.0095}, "ok", ""),
        ({"balance": 1.08, "balance_error": 0.025}, "ok", ""),
        ({"balance": 1.4, "balance_error": 0.02}, "not stationary", "1.400 is off 1 by more than 0.08"),
        ({"balance": 1.4, "balance_error": 0.2}, "balance unknown", "1.400 ± 0.200"),
        ({"balance": 1.0, "balance_error": 0.05}, "balance unknown", "E|g|^2/r^2 has to be known to 0.025 per run"),
        ({"balance": 1.05, "balance_error": 0.02, "shared_balance": (1.05, 0.01)}, "not stationary", "1.050 ± 0.010"),
        ({"balance": 1.05, "balance_error": 0.05, "shared_balance": (1.01, 0.02)}, "ok", ""),
        ({"balance": 1.05, "balance_error": 0.05, "shared_balance": (1.01, 0.04)}, "balance unknown", "to 0.031 per"),
        ({"balance": 1.01, "balance_error": float("nan")}, "ok", ""),
        ({"radius_drift": 0.1}, "not stationary", "drifts by \\+0.100"),
        ({"radius_drift": -0.079, "radius_drift_error": 0.02}, "ok", ""),
        ({"radius_drift": -0.081, "radius_drift_error": 0.02}, "not stationary", "drifts by -0.081"),
        ({"radius_drift": float("nan")}, "not stationary", "nan"),
        # Just inside and just outside of every limit.
        ({"balance": 1.019}, "ok", ""),
        ({"balance": 1.021}, "not stationary", "1.021"),
        ({"radius_drift": -0.019}, "ok", ""),
        ({"radius_drift": -0.021}, "not stationary", "drifts by -0.021"),
        ({"violation": 0.9e-3}, "ok", ""),
        ({"violation": 1.1e-3}, "not scale-invariant", "0.0011"),
        ({"remainder": 0.019}, "ok", ""),
        ({"remainder": -0.021}, "not scale-invariant", "-0.021"),
        # The loss may drift by a twentieth of itself, however large it is.
        ({"loss": 100.0, "loss_drift": 4.9}, "ok", ""),
        ({"loss": 100.0, "loss_drift": -5.1}, "not stationary", "the loss drifts by -5.1"),
        ({"loss": 1e-3, "loss_drift": 4.9e-5}, "ok", ""),
        ({"loss": 1e-3, "loss_drift": 5.1e-5}, "not stationary", "the loss drifts"),
        ({"loss": 1e-3, "loss_drift": 3.9e-3, "loss_drift_error": 1e-3}, "ok", ""),
        ({"loss": 1e-3, "loss_drift": 4.1e-3, "loss_drift_error": 1e-3}, "not stationary", "the loss drifts"),
    ],
)
def test_status(change, status, reason):
    found = run_status(**{**GOOD, **change})
    assert found[0] == status
    assert reason.replace("\\", "") in found[1]


def test_block_error_is_the_standard_error():
    rng = np.random.default_rng(1)
    blocks = rng.standard_normal((2000, 25))
    assert np.sqrt((block_error(blocks) ** 2).mean()) == pytest.approx(1 / 5, rel=0.02)


def test_one_block_has_no_error():
    assert np.isnan(block_error(np.ones((3, 1)))).all()
    assert block_error(np.ones((3, 1))).shape == (3,)


@pytest.mark.parametrize("decay", [5, 20, 60])
def test_few_correlation_times_are_not_taken_for_many(decay):
    # 600 rows that forget in `decay` rows are worth 600/(2 decay): 60, 15, 5. The mean that is taken off hides half of
    # the time at 15; the mean of 20 repetitions has to see it to a tenth.
    rng, keep, rows = np.random.default_rng(3), np.exp(-1 / decay), 600
    x = np.empty((20, rows, 50))
    x[:, 0] = rng.standard_normal((20, 50))
    for i in range(1, rows):
        x[:, i] = keep * x[:, i - 1] + np.sqrt(1 - keep**2) * rng.standard_normal((20, 50))
    correlations = [autocorrelation((one - one.mean(0)) @ (one - one.mean(0)).T) for one in x]
    worth = np.mean([rows / integrated_time(correlation, rows=rows) for correlation in correlations])
    assert worth == pytest.approx(rows * (1 - keep) / (1 + keep), rel=0.1)
    time = (1 + keep) / (1 - keep)
    # 1/e is reached after `decay` rows.
    assert np.mean([memory(unbiased(c, time), np.exp(-1)) for c in correlations]) == pytest.approx(decay, rel=0.15)


def test_correlation_time_of_a_known_chain():
    rng, keep = np.random.default_rng(2), np.exp(-1 / 6)
    x = np.zeros((4000, 20))
    for i in range(1, len(x)):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(20)
    centred = x - x.mean(0)
    correlation = autocorrelation(centred @ centred.T)
    assert integrated_time(correlation) == pytest.approx((1 + keep) / (1 - keep), rel=0.1)
    assert memory(correlation, np.exp(-1)) == pytest.approx(6, abs=1)
    assert memory(np.ones(10)) == 5
