"""Where a state's potential is least, against loops over all pairs, and on gases whose answer is known."""

import numpy as np
import pytest
import xarray as xr
from gas_states import state_table

from empirics.claims import claims, tables_of, trajectory
from empirics.claims.exhibit import Map, Plot, Rows
from empirics.claims.minima import minima
from empirics.claims.potential import _ranks
from empirics.claims.state import StateVariables
from thermo_theory import vmf


def table_of(data):
    ((table, fitting),) = tables_of(data, claims().values())
    return table, {claim.name: claim for claim in fitting}


def gas(protocol="fixed-lr", **options):
    return table_of(state_table(np.random.default_rng(3), protocol, 20, **options))


@pytest.mark.parametrize("protocol", ["fixed-lr", "fixed-elr"])
def test_minima_are_those_of_loops_over_all_pairs_of_states(protocol):
    table, claims = gas(protocol, levels=(6, 4))
    found, data = minima(table), table.data.isel(run=StateVariables.of(table).within)
    rate = data["lr" if protocol == "fixed-lr" else "effective_lr"].values
    heat, gas_constant = StateVariables.of(table).temperature, 19 / 2
    assert found.whole.missed.shape == (4, len(np.unique(rate)))
    assert len(heat) == found.whole.missed.size > 16
    whole, directions, *_, shown = claims["V2"].exhibits(table)
    for one, least in ((whole, found.whole), (directions, found.directions)):
        assert f" {np.nanmax(least.missed):.2g} R T at most (median {np.nanmedian(least.missed):.2g})" in one.message
    assert np.nanmax(found.directions.missed) > 2 * np.nanmean(found.directions.missed) > 0
    ranks, rows = _ranks(table, StateVariables.of(table)), {one[:2]: one[2:5] for one in shown.rows}
    for i in range(len(heat)):
        values = {"whole": [], "directions": [], "radius": []}
        for k in range(len(heat)):
            volume = data["radius_sq"].values[k] / 2
            spread = data["entropy_sphere"].values[k]
            directions = data["loss"].values[k] - heat[i] * spread
            radius = data["weight_decay"].values[i] * volume - heat[i] * 19 * data["log_radius"].values[k]
            values["directions"].append(directions)
            values["radius"].append(radius)
            values["whole"].append(directions + radius)
        row = int(np.flatnonzero(found.rows == data["weight_decay"].values[i])[0])
        column = int(np.flatnonzero(np.isclose(found.columns, rate[i]))[0])
        for name, each in values.items():
            least = getattr(found, name)
            k = int(np.argmin(each))
            to_row, to_column = least.to[row, column]
            assert found.rows[to_row] == data["weight_decay"].values[k]
            assert found.columns[to_column] == pytest.approx(rate[k])
            assert least.missed[row, column] == pytest.approx((each[i] - each[k]) / (gas_constant * heat[i]), abs=1e-9)
        k = int(np.argmin(values["whole"]))
        to = (rate[k], data["weight_decay"].values[k], found.whole.missed[row, column])
        assert rows[found.columns[column], found.rows[row]] == pytest.approx(to)
        assert ranks[i] == np.sum(np.array(values["whole"]) < values["whole"][i])


def test_a_gas_without_scatter_minimises_its_own_potential():
    # p V = R T and the Gibbs law hold exactly, so that U - T S + p V of a cold gas is least at the state itself.
    rate, decay = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e-3, 1e-1, 7), np.geomspace(1e-3, 1e-1, 5)))
    d, sigma = 11, 0.3
    r = (rate * sigma**2 * (d - 1) / (2 * decay)) ** 0.25
    heat = rate * sigma**2 / (2 * r**2)
    columns = {
        "radius_sq": r**2,
        "log_radius": np.log(r),
        "loss": (d - 1) / 2 * heat,
        "entropy_sphere": (d - 1) / 2 * np.log(heat),
        "grad_variance_unit": np.full(len(r), (d - 1) * sigma**2),
    }
    knobs = {"lr": ("run", rate), "weight_decay": ("run", decay), "protocol": ("run", ["fixed-lr"] * len(r))}
    data = xr.Dataset({n: ("run", v) for n, v in columns.items()}, knobs, {"dimension": d, "protocol": "fixed-lr"})
    found = minima(table_of(data)[0])
    assert found.whole.own == int(np.isfinite(found.whole.missed).sum()) > 20
    np.testing.assert_allclose(found.shift(found.whole, found.log_temperature)[np.isfinite(found.whole.missed)], 0)


def test_a_heavier_minimum_is_shifted():
    # Losses that rise less than R T prefer hotter states: S gains more than U/T loses.
    table, _ = gas(levels=(9, 5))
    soft = table_of(table.data.assign(loss=table.data["loss"] / 2))[0]
    found = minima(soft)
    assert np.nanmedian(found.shift(found.directions, found.log_temperature)) > 0.3


def test_on_a_sphere_there_is_no_radius_part():
    table, claims = gas("fixed-sphere", levels=(9, 5))
    assert minima(table).radius is None
    assert [exhibit.name for exhibit in claims["V2"].exhibits(table)] == ["minimum", "directions", "minima"]


def test_what_is_not_there_is_not_shown():
    table, claims = gas(levels=(9, 5))
    for name, claim in claims.items():
        for missing in table.data.data_vars:
            less, _ = table_of(table.data.drop_vars(missing))
            for exhibit in claim.exhibits(less):
                assert isinstance(exhibit, Plot | Map | Rows), (name, missing)


def test_the_figures_of_a_claim_are_what_it_judges():
    table, claims = gas(levels=(9, 5))
    (plot,) = claims["V1"].exhibits(table)
    formula = next(verdict for verdict in claims["V1"].verdicts(table) if verdict.kind == "physics")
    assert plot.series[0].y.mean() == pytest.approx(formula.measured)
    lr, decay, squared, grad = (table.data[n].values for n in ("lr", "weight_decay", "radius_sq", "grad_sq"))
    np.testing.assert_allclose(plot.series[1].y, decay * (2 - lr * decay) * squared / (lr * grad))
    (plot,) = claims["V6"].exhibits(table)
    gibbs, balance = claims["V6"].verdicts(table)
    # The verdict is on a ratio of means, the figure shows the runs' own ratios: their scatter is a few per mille.
    assert [one.y.mean() for one in plot.series] == pytest.approx([gibbs.measured, balance.measured], rel=2e-4)
    (plot,) = claims["V4"].exhibits(table)
    (verdict,) = claims["V4"].verdicts(table)
    assert all(one.line and (one.error >= 0).all() for one in plot.series)
    assert (plot.series[0].y - plot.series[1].y).mean() == pytest.approx(verdict.measured)
    assert plot.series[0].y.mean() == pytest.approx(verdict.details["slope of S/R"])


def test_fluctuations_far_above_the_other_ways_get_a_logarithmic_axis_and_say_what_is_not_on_it():
    table, claims = gas(levels=(9, 5))
    (plain,) = claims["V5"].exhibits(table)
    assert plain.logarithmic == (True, False)
    assert "Not shown" not in plain.caption
    assert [one.line for one in plain.series] == [True, True, False, True]
    assert [one.error is not None for one in plain.series] == [True, True, False, True]
    energy, *others = (one for one in plain.series if one.line)
    np.testing.assert_allclose(energy.y, vmf.heat_capacity(d=20, T=energy.x) / (19 / 2), rtol=0.02)
    for one in others:  # of the exact gas the three ways are one number
        assert np.mean(np.abs(one.y - energy.y) <= one.error + energy.error) > 0.9
    wild = table.data["loss_variance"] * 100
    wild[:3] *= -1
    (noisy,) = claims["V5"].exhibits(table_of(table.data.assign(loss_variance=wild))[0])
    assert noisy.logarithmic == (True, True)
    assert f"3 of {len(wild)} runs with Var L ≤ 0" in noisy.caption


def test_every_claim_says_what_each_of_its_forms_tests():
    for protocol in ("fixed-lr", "fixed-elr", "fixed-sphere"):
        table, claims = gas(protocol, levels=(9, 5))
        for claim in claims.values():
            for verdict in claim.verdicts(table):
                said = claim.statement(verdict)
                assert said in claim.statements
                assert said.derivations or verdict.kind == "identity"


def test_a_way_that_the_trace_does_not_follow_to_its_end_is_shown_as_far_as_it_goes():
    t = np.arange(0.0, 90.0, 10.0)
    way = trajectory.Way(t, np.exp(-t / 60), np.exp(-t / 60), 0.1, 0.01, 1.0)
    plot = trajectory._plot([way], free=True)
    np.testing.assert_allclose(plot.series[1].x, t / 80)
    np.testing.assert_allclose(plot.series[1].y, np.exp(-t / 60))
