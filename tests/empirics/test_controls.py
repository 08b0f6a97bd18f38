"""Controls that must not pass: the demo's experiment with exactly one thing wrong."""

import dataclasses
from pathlib import Path

import pytest

import empirics
from empirics import Experiment

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.toml"


def changed(table, **fields):
    """The demo's experiment with fields of one of its tables changed."""
    experiment = Experiment.from_file(DIGITS)
    return dataclasses.replace(
        experiment, **{table: dataclasses.replace(getattr(experiment, table), **fields)}, name="control"
    )


CONTROLS = {
    "affine BatchNorm": (changed("model", affine=True), "not scale-invariant"),
    "eps = 1e-2": (changed("model", eps=1e-2), "not scale-invariant"),
}


def verdicts_of(experiment, out):
    return [row for row in empirics.compare(empirics.run(experiment, out, progress=False)) if row.claim == "V3"]


@pytest.mark.parametrize("control", CONTROLS)
def test_control_does_not_pass(control, tmp_path):
    experiment, status = CONTROLS[control]
    rows = verdicts_of(experiment, tmp_path / "control")
    assert len(rows) == 3
    for row in rows:
        assert row.verdict in ("disagrees", "inconclusive"), row
        if row.verdict == "inconclusive":
            assert "gate" in row.reason, row
            assert status in row.reason, row


def test_too_short_a_run_does_not_pass(tmp_path):
    # 500 steps from a norm far from the stationary one: a trial saw V3 "pass" at 1.011 with a balance off by 3.
    experiment = Experiment.from_file(DIGITS)
    short = dataclasses.replace(
        experiment,
        training=dataclasses.replace(experiment.training, burn_in=0, steps=500, initial_radius=3.0),
        measure=dataclasses.replace(experiment.measure, snapshots=100, spacing=5),
    )
    for row in verdicts_of(short, tmp_path / "short"):
        assert row.verdict == "inconclusive", row
        assert "not stationary" in row.reason, row
