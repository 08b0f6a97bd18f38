"""Regimes of runs whose course is planted, and the power law against scipy's own regression."""

import numpy as np
import pytest
from scipy import stats

from empirics.measure import decay_exponent, regime

STEP = np.linspace(4_200, 40_000, 180)


def course(rng, power, level=1.0, scatter=0.1, accuracy=0.9995, loss=1e-3):
    """A run whose noise falls as a power of the step, with lognormal scatter; loss and accuracy go up and down."""
    swing = np.resize([-1, 1], len(STEP))
    noise = level * (STEP / STEP[0]) ** -power * np.exp(scatter * rng.standard_normal(len(STEP)))
    return {
        "step": STEP,
        "noise": noise,
        "loss": loss * (1 + 0.1 * swing),
        "accuracy": accuracy + 5e-4 * swing,
        "classes": 10,
    }


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponent_and_its_error_over_many_runs(power):
    rng = np.random.default_rng(1)
    found = np.array([decay_exponent(STEP, course(rng, power)["noise"]) for _ in range(400)])
    assert found[:, 0].mean() == pytest.approx(power, abs=0.02)
    # a standard error from six degrees of freedom: the standardised slope is Student's t with six
    assert stats.kstest((found[:, 0] - power) / found[:, 1], stats.t(6).cdf).pvalue > 1e-3


def test_exponent_is_scipys_regression_through_eight_parts():
    noise = course(np.random.default_rng(2), 0.7)["noise"]
    parts = zip(np.split(STEP[:96], 8), np.split(noise[:96], 8), strict=True)
    line = stats.linregress(*np.log([(stats.gmean(a), stats.gmean(b)) for a, b in parts]).T)
    assert decay_exponent(STEP[:96], noise[:96]) == pytest.approx((-line.slope, line.stderr), rel=1e-9)


@pytest.mark.parametrize("status", ["ok", "not stationary", "interpolating"])
def test_noise_that_vanishes_with_the_loss_interpolates_whatever_the_status(status):
    rng = np.random.default_rng(3)
    labels = [regime(status=status, **course(rng, 1.0)).label for _ in range(50)]
    assert labels.count("interpolating") >= 49


def test_each_condition_of_interpolating_is_needed_just_so_far():
    rng = np.random.default_rng(4)
    bent = course(rng, 0.0, scatter=1.0)
    exponent, error = decay_exponent(STEP, bent["noise"])

    def seen(errors):
        """The same scatter about a fall of so many standard errors."""
        return bent | {"noise": bent["noise"] * (STEP / STEP[0]) ** (exponent - errors * error)}

    pairs = [
        (course(rng, 1.0, accuracy=0.9988), course(rng, 1.0, accuracy=0.9992)),
        (course(rng, 1.0, loss=0.0102 * np.log(10)), course(rng, 1.0, loss=0.0098 * np.log(10))),
        (course(rng, 0.24, scatter=1e-4), course(rng, 0.26, scatter=1e-4)),
        (seen(3.9), seen(4.1)),
    ]
    for outside, inside in pairs:
        assert regime(status="ok", **outside).label == "gas"
        assert regime(status="not stationary", **outside).label == "unsettled"
        assert regime(status="not stationary", **inside).label == "interpolating"


def test_a_loss_of_guessing_is_a_random_walk_settled_or_not():
    run = course(np.random.default_rng(5), 0.0, accuracy=0.1, loss=0.91 * np.log(10))
    assert {regime(status=status, **run).label for status in ("ok", "not stationary")} == {"random walk"}
    run["loss"] = np.full(len(STEP), 0.89 * np.log(10))
    assert regime(status="ok", **run).label == "gas"


def test_spikes_do_not_hide_that_the_noise_falls():
    rng = np.random.default_rng(8)
    runs = [course(rng, 1.4, scatter=2.0) for _ in range(100)]  # mean over median e^2: as seen at width 64
    assert sum(regime(status="not stationary", **run).label == "interpolating" for run in runs) >= 75


def test_what_the_status_says_of_divergence_and_jumps_stands():
    run = course(np.random.default_rng(6), 1.0)
    assert regime(status="periodic jumps", **run).label == "periodic jumps"
    lost = run | {"noise": np.full(len(STEP), np.nan), "loss": np.full(len(STEP), np.nan)}
    assert regime(status="diverged", **lost).label == "diverged"
    assert np.isnan(regime(status="diverged", **lost).exponent)


def test_bad_input_is_named():
    run = course(np.random.default_rng(7), 1.0)
    with pytest.raises(ValueError, match="noise must be finite and above 0"):
        regime(status="ok", **run | {"noise": np.r_[0.0, run["noise"][1:]]})
    with pytest.raises(ValueError, match=r"loss must have shape \(n,\) with n of at least 16"):
        regime(status="ok", **run | {"loss": run["loss"][:10]})
    with pytest.raises(ValueError, match="one length, got 99 and 180"):
        regime(status="ok", **run | {"step": STEP[:99]})
    with pytest.raises(ValueError, match="classes = 1"):
        regime(status="ok", **run | {"classes": 1})
