"""Controls that must not pass: the demo's experiment with one field changed, or two where one does not do it."""

import dataclasses
from pathlib import Path

import pytest

import empirics
from empirics import Experiment

FOLDER = Path(__file__).parents[3] / "experiments"
FIELDS = {
    "affine": ["[model] affine"],
    "eps": ["[model] eps"],
    "short": ["[grid] weight_decay"],
    "interpolating": ["[model] hidden", "[grid] weight_decay"],
    "protocol": ["[control] protocol"],
    "shuffled": ["[control] shuffle"],
}
#: What the runs are called in those that are told from the runs themselves.
STATUSES = {"affine": "not scale-invariant", "eps": "not scale-invariant", "short": "not stationary"}
STATUSES |= {"interpolating": "interpolating"}


def shipped(control):
    return Experiment.from_file(FOLDER / f"control-{control}.toml")


def test_all_that_are_shipped_are_here():
    assert {path.stem for path in FOLDER.glob("control-*.toml")} == {f"control-{name}" for name in FIELDS}


@pytest.mark.parametrize("control", FIELDS)
def test_no_other_field_is_changed(control):
    demo = dataclasses.replace(Experiment.from_file(FOLDER / "digits.toml"), name=f"control-{control}")
    differences = [
        ours[0] for ours, theirs in zip(shipped(control)._flat(), demo._flat(), strict=True) if ours != theirs
    ]
    assert differences == FIELDS[control]


def shorter(experiment):
    """A tenth of the steps."""
    return dataclasses.replace(
        experiment,
        training=dataclasses.replace(experiment.training, burn_in=1000, steps=2400),
        measure=dataclasses.replace(experiment.measure, spacing=6),
    )


def evidence(experiment, out):
    """Runs, and the verdicts of V1 and V3 that are no identity: what scale invariance must show."""
    runs = empirics.run(experiment, out, progress=False)
    rows = [row for row in empirics.compare(runs) if row.claim in ("V1", "V3") and row.kind == "symmetry"]
    return runs, [row for row in rows if row.verdict != "not measured"]


@pytest.mark.parametrize("control", ["eps", "shuffled"])
def test_a_short_control_does_not_pass(control, tmp_path):
    _, rows = evidence(shorter(shipped(control)), tmp_path / "control")
    assert rows
    assert "agrees" not in {row.verdict for row in rows}


def test_a_wide_network_on_few_images_interpolates_and_is_left_out(tmp_path):
    few = shorter(shipped("interpolating"))
    few = dataclasses.replace(
        few,
        data=dataclasses.replace(few.data, samples=50),
        grid=dataclasses.replace(few.grid, lr=(0.1, 0.2), weight_decay=(1e-4,)),
    )
    runs = empirics.run(few, tmp_path / "few", progress=False)
    assert set(runs.dataset["status"].values) == {"interpolating"}
    assert all("accuracy 1.0000" in reason for reason in runs.dataset["reason"].values)


@pytest.mark.long
@pytest.mark.parametrize("control", FIELDS)
def test_a_control_does_not_pass(control, tmp_path):
    runs, rows = evidence(shipped(control), tmp_path / "control")
    assert rows
    assert "agrees" not in {row.verdict for row in rows}
    if control in STATUSES:
        assert (runs.dataset["status"] == STATUSES[control]).sum() > len(runs.dataset["status"]) / 2
