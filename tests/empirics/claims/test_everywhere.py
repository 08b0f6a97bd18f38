"""What is right in the mean and wrong on the map does not agree; a wrong label is suspected and corrects nothing."""

import math

import numpy as np
import pytest
from gas_table import gas_table

from empirics.claims import Verdict, compare
from empirics.claims.clusters import Clusters, critical, levels
from empirics.claims.everywhere import local_slopes, over, over_temperature, trends
from empirics.claims.fits import spline_basis
from empirics.claims.radius import FORMULA
from empirics.claims.verdicts import survivors

SQUARE = (7, 7)


def coordinates(table):
    """Logarithm of lr wd less its mean, and half that of lr/wd, of every run."""
    along = np.log(table["lr"] * table["weight_decay"])
    return along - along.mean(), np.log(table["lr"] / table["weight_decay"]) / 2


def formula(table):
    """The verdict on the radius formula."""
    (row,) = [row for row in compare(table) if row.title == FORMULA]
    return row


def maxwell(table):
    """The verdict on V3."""
    (row,) = [row for row in compare(table) if row.claim == "V3"]
    return row


def with_ratio(ratio):
    """A gas whose r^2 over predicted is a function of the place on the grid; gradients were not kept."""
    table = gas_table(np.random.default_rng(2), levels=SQUARE)
    table = table.assign(radius_sq=table["radius_sq"] * ratio(*coordinates(table))).drop_vars("grad_sq")
    return table.assign(status=("run", np.full(table.sizes["run"], "ok")))


@pytest.mark.parametrize("size", [0.1, -0.1])
def test_a_ratio_that_is_right_in_the_mean_alone_does_not_agree(size):
    row = formula(with_ratio(lambda along, across: 1 + size * along / np.abs(along).max()))
    assert abs(row.measured - 1) < 0.01
    assert row.verdict == "disagrees", row
    # Along lr/wd, and in a bend that a linear trend would not see.
    for ratio in (lambda u, v: 1 + size * v / np.abs(v).max(), lambda u, v: 1 + size * (v**2 / (v**2).mean() - 1)):
        assert formula(with_ratio(ratio)).verdict == "disagrees"


def test_a_trend_inside_the_margin_agrees_and_is_noted():
    row = formula(with_ratio(lambda along, across: 1 + 0.02 * along / np.abs(along).max()))
    assert row.verdict == "agrees"
    assert "significant trend" in row.reason
    assert row.details["highest of the band over the runs"] < 1.05
    assert 0.02 < row.margin_needed < 0.05
    assert "trend" not in formula(with_ratio(lambda along, across: 1 + 0 * along)).reason


@pytest.mark.parametrize("bend", [lambda u, v: 0.15 * v**2, lambda u, v: 0.1 * u * v])
def test_a_maxwell_ratio_that_is_right_in_the_mean_alone_does_not_agree(bend):
    table = gas_table(np.random.default_rng(3), levels=SQUARE)
    gas_constant = (table.attrs["dimension"] - 1) / 2
    row = maxwell(table.assign(entropy=table["entropy"] + gas_constant * bend(*coordinates(table))))
    assert abs(row.measured - 1) < 0.02
    assert row.verdict == "disagrees"
    assert "local slopes" in row.reason
    true = maxwell(table)
    assert true.verdict == "agrees"
    assert true.details["RMS deviation of local slopes, 95 % upper bound"] < 0.025
    assert len(true.other_forms) == 3
    assert {"title", "measured", "low", "high"} == set(true.other_forms[0])
    assert abs(true.other_forms[-1]["measured"]) < 0.01  # of the directions alone there is none along an orbit


def test_a_band_that_has_something_noisy_below_it_is_not_biased():
    rng = np.random.default_rng(4)
    heat = np.geomspace(1, 30, 200)
    below = 1 + 0.3 * rng.standard_normal(200)
    found = over_temperature(heat, np.ones(200), Clusters.alone(200), below)
    assert (found.everywhere.lower < 1).all()
    assert (found.everywhere.upper > 1).all()
    assert not found.everywhere.trend
    # A ratio that goes up by a fifth and is 1 in the middle.
    log_t = np.log(heat) - np.log(heat).mean()
    rising = over_temperature(heat, 1 + 0.1 * log_t / log_t.max(), Clusters.alone(200), 1 + 0.02 * (below - 1))
    assert rising.everywhere.trend
    assert rising.everywhere.judge(1.0, 0.05)[0] == "disagrees"


def test_a_fit_takes_the_trends_that_the_runs_determine():
    lr, wd = (np.log(z).ravel() for z in np.meshgrid([0.1, 0.2, 0.4], [0.1, 0.3, 0.9]))
    assert trends(lr, wd).shape == (9, 3)
    line = trends(lr, lr)  # one line across the plane
    assert np.linalg.matrix_rank(line) == line.shape[1] <= 3
    wide = trends(*(z.ravel() for z in np.meshgrid(np.arange(7.0), np.arange(7.0))))
    assert wide.shape == (49, 6)
    np.testing.assert_allclose(wide.T @ wide, np.eye(6), atol=1e-12)


def test_the_critical_value_is_wider_where_rows_may_share():
    rate, decay = (z.ravel() for z in np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="ij"))
    basis = trends(rate, decay)
    alone = critical(basis, basis @ basis.T, Clusters.alone(49))
    assert 3.0 < alone < 3.6
    assert critical(basis, basis @ basis.T, Clusters(levels(rate), levels(decay))) > alone + 0.4


def test_no_local_slope_where_the_runs_have_one_value_across():
    along = np.arange(9.0)
    assert local_slopes(spline_basis(along), along, np.ones(9), along, 1.0, Clusters.alone(9)) is None
    assert over(np.ones((9, 1)), along, Clusters.alone(9)).everywhere is None


# Notes ----------------------------------------------------------------------------------------------------------------


def notes_of(table):
    return " ".join(compare(table).notes)


def test_nothing_is_suspected_of_the_truth():
    said = notes_of(gas_table(np.random.default_rng(5), levels=SQUARE))
    wrong = ("AdamW", "momentum", "directions and not", "fixed effective", "one more", "computed with", "can have")
    assert not any(word in said for word in wrong)


def test_wrong_labels_are_suspected_and_the_verdict_stays():
    true = gas_table(np.random.default_rng(6), levels=SQUARE)
    assert "trained with momentum" in notes_of(true.assign(grad_sq=0.1 * true["grad_sq"]))
    shrunk = true.assign(entropy=0.9 * true["entropy"])
    assert "4500 directions and not 5000" in notes_of(shrunk)
    assert maxwell(shrunk).verdict == "disagrees"
    assert "is the entropy on fewer spheres than d counts?" in notes_of(true.assign(entropy=1.1 * true["entropy"]))
    small = gas_table(np.random.default_rng(7), d=20, levels=SQUARE, scatter=0.01).assign_attrs(dimension=21)
    assert "d = 21 is one more than it should be" in notes_of(small)
    lr, wd = true["lr"], true["weight_decay"]
    held = np.sqrt(lr / wd) * np.exp(0.001 * np.random.default_rng(8).standard_normal(49))
    sphere, d = true["entropy_sphere"], true.attrs["dimension"]
    at_elr = true.assign(radius_sq=held**2, entropy=sphere + (d - 1) * np.log(held)).drop_vars("grad_sq")
    assert "at a fixed effective learning rate" in notes_of(at_elr)
    assert "AdamW" in notes_of(at_elr)
    assert maxwell(at_elr).verdict == "disagrees"


def test_a_dimension_that_the_columns_contradict_is_noted():
    true = gas_table(np.random.default_rng(6), levels=SQUARE)
    rate = true["lr"] / true["radius_sq"]
    true = true.assign(temperature=rate * true["grad_variance_unit"] / (2 * 5000))
    assert "computed with" not in notes_of(true)
    said = notes_of(true.assign_attrs(dimension=5301))  # 300 spheres: weights in place of directions
    assert said.count("computed with d = 5001, but the runs are said to have d = 5301") == 2
    noisy = true.assign(entropy=true["entropy"] * (1 + 0.01 * np.random.default_rng(8).standard_normal(49)))
    assert "log_radius" not in notes_of(noisy.drop_vars("temperature").assign_attrs(dimension=5301))
    # Directions spread over a sphere of 101 dimensions, whose area is known, and said to have 1,000.
    area = np.log(2 * np.pi**51 / math.factorial(50))
    hot = true.assign(entropy_sphere=("run", np.full(49, area)))
    assert "can have" not in notes_of(hot.assign_attrs(dimension=102))
    assert "is more than 999 directions on unit spheres can have" in notes_of(hot.assign_attrs(dimension=1000))


def test_holm_counts_primary_physics_alone():
    rows = [Verdict(f"V{i}", "", "", "physics", 1.0, p_value=p) for i, p in enumerate((1e-4, 0.02, 0.024))]
    assert "of 3 verdicts on physics claims 3 survive" in survivors(rows)
    gates = [Verdict("V7", "", "", "physics", 1.0, p_value=0.9, primary=False), Verdict("V3", "", "", "symmetry", 1.0)]
    assert survivors(rows + gates) == survivors(rows)
    assert survivors(gates) == ""
