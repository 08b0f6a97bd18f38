"""A gate that was not asked is not passed: physics is refused and the column that would tell is named."""

import numpy as np
import pytest
from gas_states import state_table
from gas_table import gas_table

import empirics
from empirics.claims import compare
from empirics.claims.adiabat import FIXED_LR
from empirics.claims.fluctuations import ENTROPY, FLUCTUATIONS
from empirics.claims.potential import DIRECTIONS
from empirics.claims.radius import BALANCE, FORMULA, SLOPES
from empirics.isotropic import simulate
from empirics.results import VARIABLES, current

PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")


def judged(data):
    return {row.title: row for row in compare(data)}


@pytest.mark.parametrize(
    ("protocol", "column"), [("fixed-lr", "grad_sq"), ("fixed-elr", "grad_sq"), ("fixed-sphere", "known: status")]
)
def test_without_a_sign_of_stationarity_only_symmetry_is_judged(protocol, column):
    table = state_table(np.random.default_rng(1), protocol)
    known = judged(table)
    rows = judged(table.drop_vars(["grad_sq", "status", "balance"], errors="ignore"))
    physics = [row for row in rows.values() if row.kind == "physics" and row.verdict != "not measured"]
    assert len(physics) >= 3
    assert {row.verdict for row in physics} == {"refused"}
    assert all(column in row.reason for row in physics), [row.reason for row in physics]
    symmetry = [row for row in rows.values() if row.kind == "symmetry"]
    assert [row.verdict for row in symmetry] == [known[row.title].verdict for row in symmetry]
    assert "agrees" in {row.verdict for row in symmetry}


def test_a_status_alone_answers_and_so_does_a_balance_alone():
    table = gas_table(np.random.default_rng(2))
    status = {"status": ("run", np.full(35, "ok")), "reason": ("run", np.full(35, ""))}
    assert judged(table.drop_vars("grad_sq"))[FORMULA].verdict == "refused"
    assert judged(table.drop_vars("grad_sq").assign(status))[FORMULA].verdict == "agrees"
    assert judged(table)[FORMULA].verdict == "agrees"


def test_a_balance_of_a_few_runs_answers_for_these_alone():
    table = gas_table(np.random.default_rng(3)).assign_coords(optimizer=("run", np.full(35, "momentum")))
    table = table.assign_coords(momentum=("run", np.full(35, 0.9)))
    balance = np.where(np.arange(35) < 20, 1.0 + 1e-3 * np.random.default_rng(4).standard_normal(35), np.nan)
    assert "balance, or status" in judged(table.assign(balance=("run", balance)))[FORMULA].reason


@pytest.mark.parametrize(
    ("dropped", "columns", "stopped"),
    [
        (["path_entropy"], "path_entropy, or neighbour_lag", {DIRECTIONS, ENTROPY, FIXED_LR}),
        (["effective_sample_size"], "effective_sample_size", {DIRECTIONS, ENTROPY, FIXED_LR, FLUCTUATIONS}),
    ],
)
def test_entropies_of_which_nothing_is_known_are_judged_by_symmetry_alone(dropped, columns, stopped):
    table = state_table(np.random.default_rng(5), d=20)
    assert {row.verdict for title, row in judged(table).items() if title in stopped} == {"agrees"}
    rows = judged(table.drop_vars(dropped))
    assert {title for title, row in rows.items() if row.verdict == "refused"} == stopped
    assert all(columns in rows[title].reason for title in stopped)
    one = table[dropped[0]].astype(float).copy()
    one[7] = np.nan
    partly = judged(table.assign({dropped[0]: one}))
    assert {title for title, row in partly.items() if row.verdict == "refused"} == stopped


@pytest.fixture(scope="module")
def gas():
    rates = {"log10": [-2.0, -1.0], "count": 7}
    return simulate(dimension=20, steps=20_000, burn_in=3_000, lr=rates, weight_decay=rates)


@pytest.mark.parametrize("columns", ["all", "tutorial"])
def test_a_round_trip_through_a_table_turns_no_verdict(gas, tmp_path, columns):
    frame = gas.dataset.to_dataframe().reset_index().drop(columns="run").assign(dimension=20)
    if columns == "tutorial":
        frame = frame[["lr", "weight_decay", "dimension", "radius_sq", "grad_sq", "grad_variance", "loss", "entropy"]]
    frame.to_csv(tmp_path / "gas.csv", index=False)
    before, after = judged(gas), judged(empirics.read_runs(tmp_path / "gas.csv", "fixed-lr"))
    turned = {
        title: (row.verdict, after[title].verdict)
        for title, row in before.items()
        if title in after and after[title].verdict not in (row.verdict, "refused", "not measured")
    }
    assert not turned
    same = {title for title, row in before.items() if title in after and after[title].verdict == row.verdict}
    assert {BALANCE, SLOPES} <= same
    assert (DIRECTIONS in same) == (columns == "all")


def test_a_gas_measured_before_says_that_it_has_no_neighbours(gas):
    tree = gas.tree.copy()
    tree["summary"].dataset = tree["summary"].to_dataset().drop_vars("path_entropy")
    assert judged(tree["summary"].to_dataset())[DIRECTIONS].verdict == "refused"
    current(tree)
    assert not tree["summary"]["path_entropy"].any()
    assert tree["summary"]["path_entropy"].attrs == VARIABLES["path_entropy"]._asdict()
