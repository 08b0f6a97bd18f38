"""Numbers that a page shows, against the same worked out by hand; no run has the numbers of another one."""

import dataclasses
import json
from math import nan

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from scipy import stats
from test_pages import DIMENSION, judged, made_up_runs

from empirics.pages import figures, report
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.neighbours import lag_shares
from empirics.pages.sections.entropy import entropy, neighbours
from empirics.pages.sections.learning import learning
from empirics.pages.sections.provenance import provenance
from empirics.pages.sections.stationarity import runs_table, stationarity
from empirics.pages.sections.verdicts import _tiles
from empirics.pages.words import card
from empirics.results import Runs

RUNS = made_up_runs()
COUNT = RUNS.dataset.sizes["run"]
EXCLUDED = COUNT - 1
PRODUCT = (RUNS.dataset["lr"] * RUNS.dataset["weight_decay"]).values


def changed(group="summary", facts=None, **columns):
    """The made-up runs with other numbers."""
    parts = {path: node.to_dataset() for path, node in RUNS.tree.subtree_with_keys}
    dims = {name: parts[group][name].dims if name in parts[group] else ("run",) for name in columns}
    parts[group] = parts[group].assign({name: (dims[name], values) for name, values in columns.items()})
    return Runs(None, xr.DataTree.from_dict(parts), RUNS.experiment, RUNS.provenance if facts is None else facts)


def words_of(blocks):
    return " ".join(block.text for block in blocks if hasattr(block, "text"))


def test_the_best_run_is_an_included_one_at_its_own_rates():
    accuracy = np.linspace(0.4, 0.6, COUNT)
    accuracy[7], accuracy[EXCLUDED] = 0.9, 0.99
    blocks = learning(RunEvidence(changed(test_accuracy=accuracy)))
    lr, wd = (float(RUNS.dataset[name][7]) for name in ("lr", "weight_decay"))
    assert f"run 7, reaches 90 % at learning rate {lr:.3g} and weight decay {wd:.3g}." in words_of(blocks)
    assert blocks[-1].rows[0][1:] == ("0.4", "0.9")


def test_the_accuracy_at_both_ends_of_the_temperature():
    accuracy = 0.5 + 0.4 * stats.rankdata(-PRODUCT, "dense") / len(np.unique(PRODUCT))
    message = figures.accuracy_plot(RunEvidence(changed(test_accuracy=accuracy))).message
    cold, hot = (f"{100 * one:.3g} percent" for one in (accuracy.max(), accuracy.min()))
    assert message == f"Test accuracy is {cold} at the lowest lr·wd, {hot} at the highest."


def test_every_column_of_the_table_of_runs_is_the_one_it_says():
    names = {
        "balance": "balance",
        "balance_error": "± (s.e.)",
        "radius_drift": "drift of log r",
        "effective_sample_size": "eff. samples",
        "loss": "loss",
    }
    columns = {name: 0.125 * (1 + i) + 2.0 ** np.arange(-COUNT, 0) for i, name in enumerate(names)}
    columns["radius_drift_error"] = np.full(COUNT, 77.0)
    table = stationarity(RunEvidence(changed(**columns)))[-1].table
    for name, head in names.items():
        shown = [float(row[table.head.index(head)]) for row in table.rows]
        np.testing.assert_allclose(shown, columns[name], rtol=0.05)


def test_statuses_are_counted_with_the_rates_of_their_runs():
    reasons = np.array(["drift of 3 %" if i in (4, 7) else "" for i in range(COUNT)])
    status = np.where(reasons != "", "not stationary", "ok")
    table = stationarity(RunEvidence(changed(status=status, reason=reasons)))[2]
    lr, wd = (RUNS.dataset[name].values[[4, 7]] for name in ("lr", "weight_decay"))
    spans = [f"{one.min():.3g} to {one.max():.3g}" if np.ptp(one) else f"{one[0]:.3g}" for one in (lr, wd)]
    assert table.rows[0][:2] == ("ok", str(COUNT - 2))
    assert table.rows[1] == ("not stationary", "2", *spans, "drift of 3 % (for example run 4)")


@pytest.mark.parametrize(("paths", "word"), [(5, "mostly not a path entropy"), (6, "it is a path entropy")])
def test_an_entropy_is_that_of_a_path_if_it_is_one_in_most_included_runs(paths, word):
    every = np.arange(COUNT) < paths
    every[EXCLUDED] = True
    assert f"{word} ({paths} of 11 runs)" in words_of(neighbours(RunEvidence(changed(path_entropy=every))))


def test_tiles_count_what_agrees_and_the_runs_that_count():
    first, second, third, runs = _tiles(judged(RUNS), RunEvidence(RUNS)).tiles
    assert [one.number for one in (first, second, third, runs)] == ["1/1", "0/2", "0/1", "11/12"]
    assert [one.tone for one in (first, second, third)] == ["agrees", "inconclusive", "disagrees"]


def test_bars_of_the_norm_balance_are_95_percent_intervals(monkeypatch):
    seen, errorbar = [], Axes.errorbar

    def watching(axes, x, y, yerr, **look):
        seen.extend(zip(y, yerr, strict=True))
        return errorbar(axes, x, y, yerr, **look)

    monkeypatch.setattr(Axes, "errorbar", watching)
    errors = np.linspace(1e-4, 1e-3, COUNT)
    figures.balance_plot(RunEvidence(changed(balance_error=errors)))
    half = dict(zip(RUNS.dataset["balance"].values, stats.norm.isf(0.025) * errors, strict=True))
    assert len(seen) == COUNT
    assert all(bar == pytest.approx(half[balance], rel=1e-3) for balance, bar in seen)


@pytest.mark.parametrize(
    ("device", "on", "same"), [("cuda", False, False), ("cuda:1", True, True), ("cpu", False, True)]
)
def test_last_bits_are_promised_only_where_they_are_the_same(device, on, same):
    facts = {"sessions": [{"machine": {"device": device, "deterministic_algorithms": on}}]}
    said = words_of(provenance(RunEvidence(changed(facts=facts))))
    assert ("not the same last bits" not in said) is same


def test_lags_are_those_of_included_runs_before_and_after():
    lags = np.where(np.arange(40) % 2, 1, -1) * np.where(np.arange(40) < 10, 1, 7)
    every = np.tile(lags, (COUNT, 1))
    every[EXCLUDED] = 2
    one = RunEvidence(changed("snapshots", neighbour_lag=every))
    np.testing.assert_allclose(one.adjacent[:EXCLUDED], 0.25)
    assert dict(lag_shares(one)) == {"1": 25, "2": 0, "3–8": 75}
    assert " 25 % of all nearest neighbours are adjacent in time." in words_of(neighbours(one))


def test_the_state_of_the_gas_above_its_figure():
    """p V/(R T) = 2 wd r⁴/(lr tr Σ) to leading order, by which the made-up radii are 2 % too large."""
    picture = figures.pressure_volume(RunEvidence(RUNS))
    low, high = (float(word) for word in picture.title.split(" is ")[1].split(" to "))
    assert low == pytest.approx(1.02**2, rel=0.03)
    assert high == pytest.approx(1.02**2, rel=0.03)


def test_slopes_and_gas_constant_are_of_included_runs_and_all_directions():
    values = RUNS.dataset["entropy"].values.copy()
    values[EXCLUDED] += 1e4
    before, after = (RunEvidence(one).entropy_slopes(False) for one in (RUNS, changed(entropy=values)))
    assert after == before
    assert f"gas constant R = (d − 1)/2 = {(DIMENSION - 1) // 2}. " in words_of(entropy(RunEvidence(RUNS)))


def test_a_card_has_the_margin_of_the_claim_and_the_interval_of_the_measurement():
    agrees, _, disagrees, missing, _ = map(card, judged(RUNS))
    assert (agrees.expected, agrees.measured) == ("1 ± 0.03", "0.99980 ± 0.00070")
    assert (disagrees.expected, disagrees.measured) == ("1 ± 0.05", "1.125 ± 0.015")
    assert missing.measured == "not measured"
    assert disagrees.strip.beyond == 0
    assert disagrees.strip.measured == 50 + 48 * 2.5 / 4
    assert ("95 % interval", "1.110 to 1.140", None) in disagrees.numbers
    assert disagrees.message.endswith("measured 1.125, 95 percent interval 1.11 to 1.14.")


def test_further_numbers_of_a_verdict_are_spans():
    form = {"title": "A form", "measured": 2.0, "low": 1.5, "high": 2.5}
    details = {"by layer": {"a": 3.0, "b": 1.0, "c": 2.0}, "list": [2.0, 5.0, 1.0, 4.0]}
    verdict = dataclasses.replace(judged(RUNS)[0], other_forms=(form,), margin_needed=0.0123, details=details)
    assert card(verdict).numbers[-4:] == (
        ("Smallest margin at which it agrees", "0.0123", 0.0123),
        ("A form", "2.00 (1.50 to 2.50)", None),
        ("By layer", "1 (b) to 3 (a), 3 in all", None),
        ("List", "1 to 5", None),
    )


def test_numbers_of_runs_in_json_are_null_where_nothing_was_measured(tmp_path):
    balance = RUNS.dataset["balance"].values.copy()
    balance[3] = nan
    grad_sq = RUNS.dataset["grad_sq"].values.copy()
    grad_sq[5] *= 1.4
    summary = changed(balance=balance, grad_sq=grad_sq).dataset.drop_vars(["status", "reason"])
    runs = Runs(None, xr.DataTree.from_dict({"/summary": summary}), RUNS.experiment, {})
    made = json.loads(report(judged(runs), tmp_path / "page.json", format="json").read_text(encoding="utf-8"))
    rows = made["experiments"][0]["runs"]
    assert [row["balance"] is None for row in rows] == [i == 3 for i in range(COUNT)]
    # The status by which a run is left out stands there though the results record none.
    assert rows[0]["status"] == "ok"
    assert rows[5]["status"] != "ok"


def test_numbers_of_runs_in_json_are_in_one_order_in_whichever_a_store_lists_them():
    turned = RUNS.dataset[[*RUNS.dataset.data_vars][::-1]]
    first, second = (list(runs_table(RunEvidence(one))[0]) for one in (RUNS.dataset, turned))
    assert list(turned.data_vars) != list(RUNS.dataset.data_vars)
    assert first == second
