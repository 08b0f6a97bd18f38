"""A bias of the entropies that was calibrated is taken off, and one that cannot be calibrated stops what rests on S."""

import numpy as np
import pytest
from gas_states import state_table

from empirics.claims import compare
from empirics.claims.adiabat import FIXED_LR
from empirics.claims.fluctuations import ENTROPY, FLUCTUATIONS
from empirics.claims.maxwell import ORBITS
from empirics.claims.potential import DIRECTIONS
from empirics.isotropic import simulate

ON_ENTROPY = (DIRECTIONS, ENTROPY, FIXED_LR)


def judged(data):
    return {row.title: row for row in compare(data)}


def biased(share=0.15, error=0.0):
    """A gas whose entropies are too large by a share of R log T, the true bias and its error beside them."""
    table = state_table(np.random.default_rng(1), d=20)
    bias = share * 19 / 2 * np.log(table["temperature"])
    return table.assign(
        entropy=table["entropy"] + bias,
        entropy_sphere=table["entropy_sphere"] + bias,
        entropy_bias=bias,
        entropy_bias_error=error + 0 * bias,
    )


def test_the_bias_is_taken_off():
    table = biased()
    right = judged(table)
    assert {right[title].verdict for title in ON_ENTROPY} == {"agrees"}
    wrong = judged(table.drop_vars(["entropy_bias", "entropy_bias_error"]))
    assert {wrong[title].verdict for title in ON_ENTROPY} == {"disagrees"}
    assert all(wrong[title].reason.endswith("of the estimator of S was not calibrated") for title in ON_ENTROPY)
    assert not any("not calibrated" in row.reason for title, row in wrong.items() if title not in ON_ENTROPY)
    # Along a symmetry orbit the bias is the same.
    assert right[ORBITS].measured == wrong[ORBITS].measured


def test_its_error_is_in_the_interval():
    sharp, blunt = judged(biased(error=0.01)), judged(biased(error=4.0))
    for title in ON_ENTROPY:
        assert sharp[title].verdict == "agrees"
        assert blunt[title].verdict == "inconclusive", blunt[title]
        assert blunt[title].low < sharp[title].low < sharp[title].high < blunt[title].high
    assert blunt[FLUCTUATIONS].high == sharp[FLUCTUATIONS].high


@pytest.mark.parametrize(("unknown", "verdict"), [(3, "agrees"), (20, "refused")])
def test_a_bias_that_is_unknown_in_many_runs_stops_the_verdict(unknown, verdict):
    table = biased()
    table["entropy_bias"][:unknown] = np.nan
    rows = judged(table)
    assert {rows[title].verdict for title in ON_ENTROPY} == {verdict}
    if verdict == "refused":
        assert all("could not be calibrated in 32% of the runs" in rows[title].reason for title in ON_ENTROPY)
    assert rows[FLUCTUATIONS].verdict == rows[ORBITS].verdict == "agrees"


def test_runs_are_calibrated_as_they_are_measured():
    rates = {"log10": [-2.5, -1.5], "count": 2}
    options = {"dimension": 10, "burn_in": 2_000, "steps": 40_000, "lr": rates, "weight_decay": rates}
    exact = simulate(**options).dataset
    assert not exact["entropy_bias"].any()
    assert not exact["entropy_bias_error"].any()
    neighbours = simulate(**options, optimizer="adamw", snapshots=200).dataset
    assert np.isfinite(neighbours["entropy_bias"]).any()
    assert (neighbours["entropy_bias_error"].values[np.isfinite(neighbours["entropy_bias"])] > 0).all()
