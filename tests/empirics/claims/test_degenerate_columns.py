"""Columns that no measurement has: constant, equal, tiny, huge, zero. Claims and figures stand them; none decides."""

import warnings

import numpy as np
import pytest
import xarray as xr
from gas_parts import mixture_table
from gas_states import state_table
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_tables import ORBITS, optimizer_table
from scale_free_tables import ORBITS as SCALE_FREE
from scale_free_tables import scale_free_table
from well_table import well_table

import empirics
from empirics.claims import tables_of
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.guard import shown
from empirics.results import Runs

LAST_BITS = 1 + 2.0**-52 * (np.arange(200) % 2)

#: What a column may become.
CHANGES = {
    "constant": lambda x: np.full(len(x), np.median(x)),
    "constant to the last bit": lambda x: np.median(x) * LAST_BITS[: len(x)],
    "zero": np.zeros_like,
    "negative": lambda x: -np.abs(x),
    "one zero": lambda x: np.where(np.arange(len(x)) == 3, 0.0, x),
    **{f"{size:g} times as large": lambda x, size=size: size * x for size in (1e-300, 1e-30, 1e30, 1e300)},
    **{f"all {size:g}": lambda x, size=size: np.full(len(x), size) for size in (1e-300, 1e-30, 1e30, 1e300)},
    "one 1e300": lambda x: np.where(np.arange(len(x)) == 3, 1e300, x),
    "equal runs": lambda x: np.r_[x[0], x[0], x[2:]],
}


def traced(rng):
    """Runs whose radius relaxes from far, with a trace: V0 has something to look at."""
    data = state_table(rng, levels=(5, 4))
    steps = np.unique(np.geomspace(1, 3e6, 500).round())
    rate = (data["lr"] * data["weight_decay"]).values[:, None] * (1 + 0.003 * rng.standard_normal((20, 1)))
    excursion = np.log1p((3.0**4 - 1) * np.exp(-4 * rate * steps)) / 4
    names = ("run", "step")
    trace = xr.Dataset({"log_radius": (names, data["log_radius"].values[:, None] + excursion)}, {"step": steps})
    return Runs(None, xr.DataTree.from_dict({"/summary": data, "/trace": trace}), None, {})


def remainder(rng):
    """Runs with a gradient along the weights, for V9."""
    data = state_table(rng, levels=(6, 4))
    return data.assign(radial_gradient=("run", 1e-4 * rng.standard_normal(data.sizes["run"])))


TABLES = {
    **{of: lambda rng, of=of: state_table(rng, of, levels=(6, 4)) for of in ("fixed-lr", "fixed-elr", "fixed-sphere")},
    **{of: lambda rng, of=of: optimizer_table(rng, of, levels=(6, 4)) for of in ORBITS},
    **{of: lambda rng, of=of: scale_free_table(rng, of, levels=(6, 4)) for of in SCALE_FREE},
    "mixture": mixture_table,
    "traced": traced,
    "remainder": remainder,
    "well": lambda rng: well_table(),
}
assert {"sgd", *ORBITS, *SCALE_FREE} == set(EVERY_OPTIMIZER)
MADE = {name: make(np.random.default_rng(0)) for name, make in TABLES.items()}


def changed(runs, changes):
    """The runs with these columns of the summary, and of the other groups, replaced."""

    def of(data):
        found = {}
        for name, how in changes.items():
            if name in data.variables and data[name].dtype.kind == "f":
                values = data[name].values
                columns = values.T if values.ndim == 1 else values.T.reshape(-1, values.shape[0])
                made = CHANGES[how](columns) if values.ndim == 1 else np.stack([CHANGES[how](one) for one in columns])
                found[name] = (data[name].dims, made if values.ndim == 1 else made.T.reshape(values.shape))
        return data.assign(found)

    if isinstance(runs, xr.Dataset):
        return of(runs)
    groups = {f"/{name}": of(group.to_dataset()) for name, group in runs.tree.children.items()}
    return Runs(None, xr.DataTree.from_dict(groups), None, {})


def stands(runs):
    """Nothing is raised and nothing warned of, and no physics is decided without scatter."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdicts = empirics.compare(runs)
        for table, claims in tables_of(runs, verdicts.claims.values()):
            for one in claims:
                assert not (error := shown(one, table)[1]), error
    assert not verdicts.errors
    for row in verdicts:
        if row.verdict in ("agrees", "disagrees"):
            assert np.isfinite([row.measured, row.low, row.high]).all(), row
            assert row.kind == "identity" or row.high - row.low > 1e-12 * max(1.0, abs(row.measured)), row
    return verdicts


def columns_of(name):
    """Names of the measured numbers of a table, its groups included."""
    runs = MADE[name]
    datasets = [runs] if isinstance(runs, xr.Dataset) else [one.to_dataset() for one in runs.tree.children.values()]
    return sorted({str(key) for data in datasets for key, one in data.data_vars.items() if one.dtype.kind == "f"})


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=5, derandomize=True)
@given(data=st.data())
def test_claims_and_figures_stand_any_columns(name, data):
    columns, ways = st.sampled_from(columns_of(name)), st.sampled_from(sorted(CHANGES))
    stands(changed(MADE[name], data.draw(st.dictionaries(columns, ways, min_size=1, max_size=4))))


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_every_column_alone_may_be_anything(name):
    for column in columns_of(name):
        for how in CHANGES:
            stands(changed(MADE[name], {column: how}))


def test_a_table_of_which_no_run_can_be_used():
    assert {row.verdict for row in stands(changed(MADE["well"], {"grad_sq": "zero"})) if row.claim == "V10"} == {
        "refused"
    }


def test_the_tables_themselves_are_decided():
    """Else nothing is shown by what does not decide: every claim agrees somewhere."""
    agreed = {row.claim for runs in MADE.values() for row in stands(runs) if row.verdict == "agrees"}
    assert agreed >= {"V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V9", "V10"}


@pytest.mark.parametrize("how", ["constant", "constant to the last bit"])
@pytest.mark.parametrize(
    ("name", "column", "stopped", "kept"),
    [
        ("fixed-lr", "loss", {"V2", "V4", "V5"}, {"V1", "V3"}),
        ("fixed-lr", "entropy", {"V3", "V4"}, {"V1", "V5"}),
        ("fixed-lr", "entropy_sphere", {"V2", "V5"}, {"V1", "V3"}),
        ("fixed-lr", "loss_variance", {"V5"}, {"V1", "V2", "V3", "V4"}),
        ("fixed-elr", "radius_sq", {"V1"}, {"V2", "V3"}),  # where the balance is a column of its own
    ],
)
def test_a_column_that_does_not_vary_is_named_and_stops_what_needs_it_alone(name, column, how, stopped, kept):
    verdicts = stands(changed(MADE[name], {column: how}))
    for name in stopped:
        reasons = [row.reason for row in verdicts if row.claim == name and row.verdict == "refused"]
        assert any(f"{column} does not vary" in reason for reason in reasons), (name, reasons)
    assert {row.claim for row in verdicts if row.verdict == "agrees"} >= kept


def test_numbers_without_scatter_decide_no_physics():
    """A formula put in for measurements agrees with itself to the last digit, and shows nothing."""
    rng = np.random.default_rng(0)
    data = state_table(rng, levels=(6, 6), scatter=0.0)
    verdicts = stands(data)
    orbits = next(row for row in verdicts if row.claim == "V3" and "from runs with equal" in row.title)
    assert abs(orbits.measured - orbits.theory) < 1e-9
    assert (orbits.verdict, orbits.reason.split(":")[0]) == ("refused", "the runs do not scatter")


def test_a_mean_loss_that_comes_back_to_where_it_began_is_no_denominator():
    """It varies over the runs, and does not change from the lowest to the highest temperature."""
    data = MADE["fixed-lr"]
    log_t = np.log(data["temperature"].values)
    hump = data["temperature"] * (log_t - log_t.min()) * (log_t.max() - log_t)
    stands(data.assign(loss=("run", hump.values)))
