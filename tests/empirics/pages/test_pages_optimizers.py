"""A page on runs of several optimisers: of each it says what that optimiser's own step gives."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from gas_states import state_table
from optimizer_tables import optimizer_table

from empirics.claims import claims, compare, tables_of
from empirics.claims.ground import derived
from empirics.claims.minima import minima
from empirics.pages import report
from empirics.pages.evidence import RunEvidence
from empirics.results import Runs
from thermo_theory import FixedLR

#: By hand, from the symmetry of each step: what is equal along an orbit, V1's and V3's statements.
ORBITS = {
    "momentum": ("lr·wd", "must be exactly 0.5", "is R with"),
    "nesterov": ("lr·wd", "must be exactly 0.5", "is R with"),
    "adamw": ("lr·wd", "must be exactly 1", "is 2 R with"),
    "adam-l2": ("lr²·wd", "must be exactly 1", "is 2 R with"),
}


def together(*tables):
    """One summary of runs of several optimisers, with a trace of runs of different length."""
    summary = xr.concat([one.assign(grad_mean_sq=one["grad_sq"] - one["grad_variance"]) for one in tables], "run")
    summary = summary.assign(test_accuracy=("run", np.linspace(0.5, 0.9, summary.sizes["run"])))
    count = summary.sizes["run"]
    trace = xr.Dataset(
        {
            "log_radius": (("run", "step"), np.zeros((count, 3))),
            "training_step": (("run", "step"), np.arange(1, count + 1)[:, None] * np.array([0, 10, 20])),
        },
        {"step": [0, 1, 2]},
    )
    return Runs(None, xr.DataTree.from_dict({"/summary": summary, "/trace": trace}), None, {})


@pytest.fixture(scope="module")
def runs():
    sgd = state_table(np.random.default_rng(0), "fixed-lr", 20, levels=(6, 6))
    sgd = sgd.assign_coords(optimizer=("run", np.full(36, "sgd")), momentum=("run", np.full(36, 0.0)))
    others = [
        optimizer_table(np.random.default_rng(i), name, levels=(6, 6)) for i, name in enumerate(("adamw", "adam-l2"))
    ]
    common = set.intersection(*(set(one.variables) for one in (sgd, *others)))
    return together(*(one.drop_vars([n for n in one.variables if n not in common]) for one in (sgd, *others)))


@pytest.fixture(scope="module")
def text(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.md"
    return report(compare(runs), path, "markdown").read_text(encoding="utf-8")


@pytest.mark.parametrize("optimizer", ORBITS)
def test_what_is_tested_is_what_the_optimizers_symmetry_gives(optimizer):
    equal, radius, entropy = ORBITS[optimizer]
    runs = together(optimizer_table(np.random.default_rng(1), optimizer))
    ((table, fitting),) = tables_of(runs, claims().values())
    known = {claim.name: claim for claim in fitting}
    _, slopes, _ = known["V1"].verdicts(table)
    assert radius in known["V1"].statement(slopes).words
    assert entropy in known["V3"].statement(known["V3"].verdicts(table)[0]).words
    (plot,) = known["V3"].exhibits(table)
    assert f"depends on {equal} alone" in plot.caption
    rest = np.concatenate([one.y for one in plot.series])
    along = np.concatenate([one.x for one in plot.series])
    lr, wd = table.values("lr"), table.values("weight_decay")
    np.testing.assert_allclose(np.sort(along), np.sort(lr * wd if equal == "lr·wd" else lr**2 * wd))
    assert len(rest) == 81
    for claim in fitting:
        for verdict in claim.verdicts(table):
            said = claim.statement(verdict)
            assert said.words != f"{claim.title}."
            found = derived(said.derivations, "fixed-lr", optimizer)
            # Nothing that is derived for SGD alone stands there.
            assert not {"scaling-symmetry", "potential", "entropy-of-schedule"} & {one.name for one in found}
            assert {one.protocol for one in found} <= {None, FixedLR.with_optimizer(optimizer)}
            assert len(found) == len(said.derivations)


@pytest.mark.parametrize("optimizer", ORBITS)
def test_figures_of_other_optimizers_are_what_is_judged(optimizer):
    runs = together(optimizer_table(np.random.default_rng(1), optimizer))
    ((table, fitting),) = tables_of(runs, claims().values())
    known = {claim.name: claim for claim in fitting}
    formula = next(verdict for verdict in known["V1"].verdicts(table) if verdict.kind == "physics")
    (plot,) = known["V1"].exhibits(table)
    assert plot.series[0].y.mean() == pytest.approx(formula.measured)
    part = RunEvidence(runs)
    seen = np.isfinite(part.sde_radius)
    assert np.square(part.radius / part.sde_radius)[seen].mean() == pytest.approx(formula.measured)
    (plot,) = known["V4"].exhibits(table)
    (verdict,) = known["V4"].verdicts(table)
    assert (plot.series[0].y - plot.series[1].y).mean() == pytest.approx(verdict.measured)
    # In its own coordinates each state has its own volume: p V = R T.
    found = minima(table)
    assert np.nanmax(np.abs(found.shift(found.radius, found.log_volume))) < 0.15


def test_a_page_tells_optimizers_apart(text):
    for words in (
        "# Is training an ideal gas?",
        "fixed learning rate, Adam with L2 decay",
        "| Claim | Verdict | Measured | Predicted | Kind | Quantity tested |",
        "| Radius law, fixed learning rate, AdamW (V1) | ",
        "in log lr minus 2 × slope in log weight decay is 2 R with",
        "The two slopes of its logarithm (¼ and −¼ in the simplest theory) must differ by exactly ½",
        "S/R − ½ log(lr/wd) depends on lr·wd alone",
        "S/R − log(lr/wd) depends on lr·wd alone",
        "S/R − 2/5 log(lr/wd²) depends on lr²·wd alone",
        "the weight decay in the optimiser's own step removes as much of r² as the rest adds",
        "adam-l2-symmetry",
    ):
        assert words in text, words
    assert text.count("The norm of the weights grows with the learning rate") == 3
    assert "nan" not in text.lower().split()


def test_cold_gas_and_path_entropy_have_the_slopes_of_each_optimizer(text):
    found = re.findall(r"low-temperature gas (\S+) and (\S+), path entropy (\S+) and ([\d./-]+)", text)
    rows = {tuple(float(x.replace("−", "-")) for x in one) for one in found}
    # From S = R log T + 2 R log r, with T and r as powers of lr and weight decay.
    assert rows == {(1, 0, 1.5, 0.5), (1.5, -0.5, 2, 0), (1.33, -0.333, 2, 0)}


def test_runs_of_different_length_have_their_own_steps(text):
    # The runs shown are those of least and largest product and two between; their last steps are 20 times their number.
    assert "runs over " in text
    lines = [line for line in text.splitlines() if line.startswith("- The norm over time")]
    assert len(lines) == 3
    assert all(" to " in line for line in lines)


def test_test_accuracy_is_shown_where_there_was_a_test_set(text, runs, tmp_path):
    assert "## Test accuracy" in text
    assert "Test accuracy over the grid runs from 50 percent to" in text
    assert "reaches 90 % at" in text
    less = runs.dataset.drop_vars("test_accuracy").isel(run=runs.dataset["optimizer"].values == "adamw")
    page = report(compare(less), tmp_path / "page.md", "markdown").read_text(encoding="utf-8")
    assert "# Is AdamW an ideal gas?" in page
    assert "Test accuracy" not in page


def test_json_tells_optimizers_apart(runs, tmp_path):
    (made,) = json.loads(report(compare(runs), tmp_path / "page.json", "json").read_text(encoding="utf-8"))[
        "experiments"
    ]
    assert {row["optimizer"] for row in made["verdicts"]} == {"sgd", "adamw", "adam-l2"}
    shown = {(claim["name"], one["optimizer"]) for claim in made["claims"] for one in claim["exhibits"]}
    assert {("V3", "sgd"), ("V3", "adamw"), ("V3", "adam-l2")} <= shown
    assert [one["optimizer"] for one in made["neighbours"]] == ["adam-l2", "adamw", "sgd"]
