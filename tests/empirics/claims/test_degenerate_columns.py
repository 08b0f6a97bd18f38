"""Columns that no measurement has: constant, equal, tiny, huge, zero. Every claim and figure stands them, none decides."""

import warnings

import numpy as np
import pytest
import xarray as xr
from gas_parts import mixture_table
from gas_states import state_table
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_tables import optimizer_table

import empirics
from empirics.claims import tables_of
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

KNOBS = {"lr", "effective_lr", "weight_decay", "radius", "momentum"}


def traced(rng):
    """Runs whose radius relaxes from far, with a trace: V0 has something to look at."""
    data = state_table(rng, levels=(5, 4))
    steps = np.arange(0, 400.0)
    rate = (data["lr"] * data["weight_decay"]).values[:, None]
    excursion = np.log(3.0) * np.exp(-4 * rate * steps)
    names = ("run", "step")
    trace = xr.Dataset({"log_radius": (names, data["log_radius"].values[:, None] + excursion)}, {"step": steps})
    return Runs(None, xr.DataTree.from_dict({"/summary": data, "/trace": trace}), None, {})


def remainder(rng):
    """Runs with a gradient along the weights, for V9."""
    data = state_table(rng, levels=(6, 4))
    return data.assign(radial_gradient=("run", 1e-4 * rng.standard_normal(data.sizes["run"])))


TABLES = {
    **{protocol: lambda rng, of=protocol: state_table(rng, of, levels=(6, 4)) for protocol in ("fixed-lr", "fixed-elr", "fixed-sphere")},
    **{name: lambda rng, of=name: optimizer_table(rng, of, levels=(6, 4)) for name in ("momentum", "nesterov", "adamw", "adam-l2")},
    "mixture": mixture_table,
    "traced": traced,
    "remainder": remainder,
}  # fmt: skip
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
    return sorted(
        {str(key) for data in datasets for key, one in data.data_vars.items() if one.dtype.kind == "f"} - KNOBS
    )


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_claims_and_figures_stand_any_columns(name, data):
    several = st.dictionaries(
        st.sampled_from(columns_of(name)), st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4
    )
    stands(changed(MADE[name], data.draw(several)))
