"""A page on runs of all three protocols: each is shown in its own coordinates and judged in its own words."""

import json

import numpy as np
import pytest
import xarray as xr
from gas_states import state_table

from empirics.claims import compare
from empirics.pages import report
from empirics.pages.evidence import RunEvidence
from empirics.results import Runs

PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")
KNOBS = ("lr", "effective_lr", "weight_decay", "radius")


@pytest.fixture(scope="module")
def runs():
    tables = [state_table(np.random.default_rng(i), protocol, 3, levels=(9, 5)) for i, protocol in enumerate(PROTOCOLS)]
    blank = ("run", np.full(45, np.nan))
    padded = [t.assign_coords({name: blank for name in KNOBS if name not in t.coords}) for t in tables]
    summary = xr.concat([t.assign(balance=t.get("balance", blank)) for t in padded], "run")
    summary.attrs["entropy_method"] = "symmetric about mu: from the law of the loss"
    coordinates = {"run": np.arange(135), "step": [0, 10, 20]}
    own = np.tile(0.01 * np.arange(135)[:, None], 3)
    trace = xr.Dataset({"log_radius": (("run", "step"), own)}, {"step": coordinates["step"]})
    return Runs(None, xr.DataTree.from_dict({"/summary": summary, "/trace": trace}), None, {})


@pytest.fixture(scope="module")
def verdicts(runs):
    return compare(runs)


def test_the_evidence_of_a_protocol_is_its_own(runs):
    whole = RunEvidence(runs)
    assert whole.protocol == ""
    parts = {part.protocol: part for part in whole.parts()}
    assert sorted(parts) == sorted(PROTOCOLS)
    assert parts["fixed-elr"].axes == ("effective_lr", "weight_decay")
    assert parts["fixed-sphere"].axes == ("effective_lr", "radius")
    for part in parts.values():
        assert len(part) == 45
        assert np.isfinite(part.lr).all()
        assert np.isfinite(part.weight_decay).all()
        assert np.isfinite(part.product).all()
        runs_of_it = np.flatnonzero(runs.dataset["protocol"].values == part.protocol)
        np.testing.assert_allclose(part.node("trace")["log_radius"][:, 0], 0.01 * runs_of_it)
    np.testing.assert_allclose(parts["fixed-elr"].radius / parts["fixed-elr"].sde_radius, 1, atol=0.03)
    assert parts["fixed-sphere"].sde_radius is None
    # One protocol is one part, whole.
    assert len(parts["fixed-lr"].parts()) == 1


def test_the_page_says_of_each_protocol_what_it_sets(verdicts, tmp_path):
    text = report(verdicts, tmp_path / "page.md", "markdown").read_text()
    for words in (
        "The isotropic gas with 3 scale-invariant weights",
        "at fixed effective learning rate 9 effective learning rates",
        "at fixed norm 9 effective learning rates",
        "radii from",
        "Yes, as far as tested: the symmetry relations hold, and ",
        "the slope of its logarithm must be exactly −½",
        "the slope of the entropy of the weights in log weight decay is −R",
        "The norm is fixed",
        "not estimated from nearest neighbours",
        "slopes and curvatures of the loss",
    ):
        assert words in text, words
    # A claim that every protocol has is put into words for each.
    assert text.count("Each stationary state minimises its own free energy") == 3
    assert "nan" not in text.lower().replace("finance", "")


def test_html_and_json_of_three_protocols(verdicts, tmp_path):
    page = report(verdicts, tmp_path / "page.html").read_text()
    assert page.count("<svg") >= 8
    parsed = json.loads(report(verdicts, tmp_path / "page.json", "json").read_text())
    rows = parsed["experiments"][0]["verdicts"]
    assert {row["protocol"] for row in rows} == set(PROTOCOLS)
    assert len(parsed["experiments"][0]["runs"]) == 135
