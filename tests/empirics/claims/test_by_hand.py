"""Numbers of single runs worked out by hand, and limits from both sides: what whole tables cannot resolve."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from gas_states import harmonic, state_table
from gas_table import gas_table
from scipy import stats

from empirics.claims import Claim, Table, claims, tables_of
from empirics.claims.adiabat import _log_slope_at_fixed_lr
from empirics.claims.clusters import Clusters, clusters_of, levels
from empirics.claims.compressibility import _inverted, by_noise
from empirics.claims.curves import estimates
from empirics.claims.fits import Estimate, fit, mean_of, ratio_of, within_orbits
from empirics.claims.fluctuations import ENTROPY
from empirics.claims.guard import judged, shown
from empirics.claims.maxwell import SPLINE, _worst_slope_error
from empirics.claims.potential import _heat_of_growth, _lowest, _shift
from empirics.claims.protocol import effective_lr
from empirics.claims.radius import radius_ratios
from empirics.claims.region import Band, Local, p_value
from empirics.claims.state import StateVariables, _noise_temperature, noise_variance, unmixed
from empirics.claims.table import balances
from empirics.claims.thermometer import _along_mean, steps_too_large
from empirics.claims.virial import _virial, to_leading_order

D = 3


def runs(protocol="fixed-lr", dimension=D, **columns):
    """A table of ten runs with these columns, equal in all runs where a number is given."""
    data = {name: ("run", np.resize(np.asarray(values), 10)) for name, values in columns.items()}
    return xr.Dataset(data, attrs={"dimension": dimension, "protocol": protocol})


def state_of(data):
    table = Table.of(data)
    return table, StateVariables.of(table)


def row_of(name, title, data):
    ((table, (claim,)),) = tables_of(data, [claims()[name]])
    (row,) = [one for one in claim.verdicts(table) if one.title == title]
    return row


def test_the_interval_of_a_slope_is_that_of_hc3():
    # MacKinnon and White (1985), written with the inverse of X'X; one run with most of the leverage.
    rng, x = np.random.default_rng(1), np.r_[np.linspace(0, 1, 11), 8.0]
    design, y = np.c_[np.ones(12), x], rng.standard_normal(12) * (1 + x)
    bread = np.linalg.inv(design.T @ design)
    hat = np.diag(design @ bread @ design.T)
    residual = (y - design @ bread @ design.T @ y) / (1 - hat)
    covariance = bread @ (design.T * residual**2) @ design @ bread
    found = fit(design, y, [0, 1])
    assert found.value == pytest.approx(stats.linregress(x, y).slope)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 10) * np.sqrt(covariance[1, 1]))


def test_the_interval_of_a_mean_is_student_s():
    y = np.random.default_rng(2).standard_normal(5)
    found = mean_of(y)
    low, high = stats.t.interval(0.95, 4, y.mean(), stats.sem(y))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_ratio_of_means_is_no_mean_of_ratios():
    found = ratio_of([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert found.value == pytest.approx(15 / 6)
    assert found.low < 15 / 6 < found.high


def test_a_random_search_has_no_orbits_and_rounding_splits_none():
    rng = np.random.default_rng(3)
    rate, decay = rng.uniform(-7, -2, (2, 40))
    assert np.isnan(within_orbits(rate + decay, rate - decay, rate).value)
    along = np.repeat(rate[:20], 2) + 1e-9 * rng.standard_normal(40)
    across = rng.standard_normal(40)
    assert within_orbits(along, across, 3 * across).value == pytest.approx(3)


def test_three_pairs_on_orbits_do_not_decide_for_a_random_search():
    table = gas_table(np.random.default_rng(4), levels=(6, 6))
    rng = np.random.default_rng(5)
    lr, wd = (10 ** rng.uniform(-3, -1, 36) for _ in range(2))
    lr[3:6], wd[3:6] = 2 * lr[:3], wd[:3] / 2
    log_radius = 0.25 * np.log(lr / wd)
    heat = 0.5 * np.log(lr * wd)
    entropy = 2500 * heat + 5000 * log_radius + 3 * rng.standard_normal(36)
    table = xr.Dataset(
        {"entropy": ("run", entropy), "radius_sq": ("run", np.exp(2 * log_radius))},
        coords={"lr": ("run", lr), "weight_decay": ("run", wd), "protocol": ("run", np.full(36, "fixed-lr"))},
        attrs=table.attrs,
    )
    ((found, (claim,)),) = tables_of(table, [claims()["V3"]])
    assert claim.verdicts(found)[0].title == SPLINE


class Writes(Claim):
    """A user's claim that overwrites what it is given."""

    name, title, protocols, origin = "X1", "Writes", ("fixed-lr",), "mine.py"

    def verdicts(self, table):
        table.data["radius_sq"].values[:] = 1.0
        return []

    def exhibits(self, table):
        self.verdicts(table)
        return ()


def test_a_claim_that_writes_into_its_table_changes_no_other():
    table = Table.of(gas_table(np.random.default_rng(6)))
    before = table.data.copy(deep=True)
    judged(Writes(), table)
    shown(Writes(), table)
    assert table.data.identical(before)


def test_steps_just_inside_the_bounds_are_judged_and_just_outside_are_not():
    def within(**columns):
        return state_of(runs("fixed-elr", 11, effective_lr=0.01, weight_decay=0.01, radius_sq=1.0, **columns))[1].within

    # Mean curvature times rate/2 is at most 0.1, (d - 1) T times rate at most 0.02.
    curvature = np.array([0.099, 0.101]) * 2 / 0.01 * 10
    assert within(laplacian=curvature, temperature=1e-6).tolist() == [True, False] * 5
    assert within(laplacian=1.0, temperature=np.array([0.0199, 0.0201]) / 0.01 / 10).tolist() == [True, False] * 5


@pytest.mark.parametrize(("samples", "mixed"), [(20.0, False), (49.0, False), (51.0, True)])
def test_fewer_than_fifty_samples_do_not_mix(samples, mixed):
    reason = unmixed(Table.of(runs(effective_sample_size=samples)), on_entropy=False)
    assert ("not mixing" in reason) is not mixed


@pytest.mark.parametrize("bad", [1, 2])
@pytest.mark.parametrize(
    ("column", "few", "many", "said"),
    [
        ("effective_sample_size", 20.0, 1e3, "not mixing"),
        ("path_entropy", 1.0, 0.0, "path entropies"),
        ("entropy_bias", np.nan, 0.1, "could not be calibrated in 20%"),
    ],
)
def test_one_run_of_ten_stops_no_verdict_and_two_do(column, few, many, said, bad):
    known = {"effective_sample_size": 1e3, "path_entropy": 0.0}
    reason = unmixed(Table.of(runs(**known | {column: np.where(np.arange(10) < bad, few, many)})))
    assert (said in reason) is bool(reason) is (bad == 2)


def test_steps_of_which_no_correction_is_derived_have_to_be_ten_times_smaller():
    # AdamW on the unit sphere: a unit gradient turns by lr/sigma_i, with sigma_i^2 = tr Cov/d = 1.
    of = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-3, "radius_sq": 1.0, "grad_variance_unit": 11.0}
    curvature = np.array([0.0099, 0.0101]) * 2 / 1e-3 * 10
    state = state_of(runs(dimension=11, **of, laplacian=curvature, temperature=1e-6))[1]
    assert state.eta_eff == pytest.approx(np.full(5, 1e-3))
    assert state.within.tolist() == [True, False] * 5


def test_adam_s_norm_is_pushed_by_all_weights_and_not_by_the_directions_alone():
    # r^2 = lr N/(2 wd) to leading order, with N weights.
    of = {"optimizer": "adamw", "momentum": 0.9, "lr": 1e-5, "weight_decay": 1e-3, "radius_sq": 0.5 * 1e-5 / 1e-3}
    data = runs(dimension=11, **of, grad_variance_unit=11.0)
    one, forty = (radius_ratios(Table.of(data.assign_attrs(weights=count)))[1] for count in (11, 44))
    assert one == pytest.approx(4 * forty)
    assert one == pytest.approx(np.full(10, 1 / 11), rel=0.01)


def test_the_largest_error_of_the_maxwell_relation_is_that_of_the_local_slopes():
    u, v = (z.ravel() for z in np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-2, 2, 5)))
    # s = 2 v + 0.1 u v + 0.05 v^2: the slope in v is 2 + 0.1 u + 0.1 v, at most 0.3 off.
    assert _worst_slope_error(u, v, 2 * v + 0.1 * u * v + 0.05 * v**2, 2.0) == pytest.approx(0.15)


@pytest.mark.parametrize(("lag", "path"), [(1.0, True), (2.0, False)])
def test_a_neighbour_in_time_makes_a_path_entropy(lag, path):
    assert ("path entropies" in unmixed(Table.of(runs(neighbour_lag=lag, effective_sample_size=1e3)))) is path


def test_on_several_spheres_the_entropy_of_their_lengths_is_no_heat():
    table = state_table(np.random.default_rng(7), d=20)
    lengths = 2 * np.log(table["temperature"])
    several = table.assign(entropy_sphere=table["entropy_sphere"] + lengths, entropy_lengths=lengths)
    assert row_of("V5", ENTROPY, several).measured == pytest.approx(row_of("V5", ENTROPY, table).measured)
    assert row_of("V5", ENTROPY, several.drop_vars("entropy_lengths")).verdict == "disagrees"


def test_the_slope_of_t_at_fixed_lr_feels_the_step():
    # At unit noise T = x/(2 (1 - u)) with u = h x/2, and T x = lr wd/(d - 1) by the balance, so that the slope of
    # log T in log wd is 1 - 1/(2 + u/(1 - u)).
    d, h, u = 20, 40.0, np.array([1e-6, 0.02, 0.08])
    x = 2 * u / h
    heat = x / (2 * (1 - u))
    lr = np.full(3, 1e-6)
    decay = (d - 1) * heat * x / lr
    data = runs(
        dimension=d,
        lr=np.resize(lr, 10),
        weight_decay=np.resize(decay, 10),
        radius_sq=np.resize(lr / x, 10),
        laplacian=(d - 1) * h,
        temperature=np.resize(x / 2, 10),
    )
    table, state = state_of(data)
    assert state.within.all()
    assert _log_slope_at_fixed_lr(table, state)[:3] == pytest.approx(1 - 1 / (2 + u / (1 - u)), rel=1e-4)


@pytest.mark.parametrize(("off", "refused"), [(1.0, False), (1 / 0.95, False), (1.2, True)])
def test_a_thermometer_is_refused_only_if_the_balance_of_a_step_is_wrong(off, refused):
    data = state_table(np.random.default_rng(8), "fixed-sphere", 20, harmonic([1.0], [1.0]))
    data = data.assign(hessian_gradient=data["hessian_gradient"] * off).assign_attrs(protocol="fixed-sphere")
    assert steps_too_large(Table.of(data), 0.05).startswith("gate") is refused


def test_the_thermometer_takes_off_the_curvature_along_the_mean_gradient_alone():
    data = state_table(np.random.default_rng(15), "fixed-sphere", 20, harmonic([1.0], [1.0])).drop_vars("status")
    _, state = state_of(data.assign_attrs(protocol="fixed-sphere"))
    along = _along_mean(Table.of(data.assign_attrs(protocol="fixed-sphere")), state)
    # h^3 times the spread T/h of each of 19 directions, T at finite steps, to the scatter of the curvature along noise.
    heat = state.eta_eff / 2 / (1 - state.eta_eff / 2)
    assert along == pytest.approx(19 * heat, abs=0.03)


def test_clusters_add_what_rows_and_columns_share():
    rows, columns = (z.ravel() for z in np.meshgrid(np.arange(4), np.arange(5), indexing="ij"))
    scores = np.random.default_rng(9).standard_normal(20) + np.repeat([2.0, -1.0, 0.5, 1.0], 5)
    grid = Clusters(rows, columns)
    alone = (scores**2).sum()
    by_row = sum(scores[rows == i].sum() ** 2 for i in range(4))
    by_column = sum(scores[columns == i].sum() ** 2 for i in range(5))
    assert by_row > alone
    expected = alone + max(by_row - alone, 0) + max(by_column - alone, 0)
    assert grid.variance(scores) == pytest.approx(expected)
    assert grid.freedom(2) == 3  # four rows
    assert Clusters.alone(20).freedom(2) == 18


def test_runs_at_fixed_elr_are_clustered_by_their_effective_rate():
    rate = np.repeat([1e-3, 1e-2], 5)
    table = Table.of(
        runs("fixed-elr", effective_lr=rate, weight_decay=np.tile([1e-3, 1e-2], 5), lr=np.arange(10) + 1.0)
    )
    found = clusters_of(table)
    assert found.rows.tolist() == levels(np.log(rate)).tolist() == [0] * 5 + [1] * 5


def test_a_band_is_as_wide_as_its_ends():
    band = Band(np.array([0.96, 0.9]), np.ones(2), np.array([1.02, 1.01]), trend=False, freedom=10)
    assert band.margin_needed(1.0) == pytest.approx(0.1)
    assert [band.judge(1.0, margin)[0] for margin in (0.09, 0.11)] == ["inconclusive", "agrees"]


def test_the_bounds_of_a_local_slope_are_those_of_its_square():
    # A slope off by 5 with a standard error of 1: its square has a noncentral chi-square law.
    local = Local(square=25.0, noise=1.0, along=1.0, spread=2.0, freedom=10**6)
    low, high = local.ends
    assert stats.ncx2.cdf(25, 1, low**2) == pytest.approx(0.98, abs=0.01)
    assert stats.ncx2.cdf(25, 1, high**2) == pytest.approx(0.02, abs=0.01)
    assert local.p_values(0.0, high / 2)[0] == pytest.approx(0.05)
    assert local.p_values(0.0, low / 2)[1] == pytest.approx(0.05)
    wide = replace(local, freedom=4).ends
    assert wide[0] < low < high < wide[1]
    quiet = replace(local, square=1e-4)  # less than noise measures: no bound below the noise
    assert quiet.ends == (0.0, 1.0)
    assert quiet.p_values(0.0, 0.49)[0] == 1.0
    assert replace(local, noise=0.0, spread=0.0).ends == pytest.approx((5.0, 5.0))


def test_p_of_an_interval_that_touches_the_edge_is_a_fortieth():
    assert p_value(1.0, 7) == pytest.approx(0.025)
    assert p_value(0.0, 7) == pytest.approx(0.5)


def test_a_gate_closes_at_a_tenth_of_the_runs_and_below_eight():
    table = gas_table(np.random.default_rng(10))
    assert not Table.of(table.isel(run=slice(8))).gate()
    assert "too few" in Table.of(table.isel(run=slice(7))).gate()

    def with_bad(count):
        status = np.where(np.arange(20) < count, "diverged", "ok")
        return Table.of(table.isel(run=slice(20)).assign(status=("run", status))).gate()

    assert not with_bad(2)
    assert with_bad(3).startswith("gate: 3 of 20 runs cannot be used")


@pytest.mark.parametrize("name", ["radius_sq", "grad_sq"])
def test_a_run_with_a_zero_that_cannot_be_is_incomplete(name):
    table = gas_table(np.random.default_rng(11))
    table[name][3] = 0.0
    assert Table.of(table).status.tolist().count("incomplete") == 1


def test_balance_and_rates_by_hand():
    # r'^2 = (1 - lr wd)^2 r^2 + lr^2 g^2 = r^2, with lr = effective rate times r^2.
    rate, decay, square = 0.2, 0.3, 2.0
    lr = rate * square
    growth = (1 - (1 - lr * decay) ** 2) * square / lr**2
    elr = runs("fixed-elr", effective_lr=rate, weight_decay=decay, radius_sq=square, grad_sq=growth)
    assert balances(elr) == pytest.approx(np.ones(10))
    assert balances(runs(lr=lr, weight_decay=decay, radius_sq=square, grad_sq=growth)) == pytest.approx(np.ones(10))
    assert effective_lr(runs("fixed-sphere", lr=lr, radius=3.0)) == pytest.approx(np.full(10, lr / 9))
    assert effective_lr(runs(lr=lr, radius_sq=square)) == pytest.approx(np.full(10, rate))


def test_one_measured_balance_does_not_answer_for_ten_runs():
    table = gas_table(np.random.default_rng(12)).isel(run=slice(10))
    assert Table.of(table).gated
    table["grad_sq"][1:] = np.nan
    assert not Table.of(table).gated


def test_the_temperature_of_three_dimensions_by_hand():
    # Noise of trace 6 at unit norm, two directions: sigma^2 = 3, T = 0.1 * 3/2.
    columns = {"weight_decay": 1e-3, "radius_sq": 4.0, "lr": 0.4}
    for noise in ({"grad_variance": 1.5}, {"grad_variance_unit": 6.0}):
        table = Table.of(runs(**columns, **noise))
        assert noise_variance(table) == pytest.approx(np.full(10, 6.0))
        assert _noise_temperature(table, np.full(10, 0.1)) == pytest.approx(np.full(10, 0.15))


def test_the_mean_gradient_makes_the_norm_grow_too():
    # T of the growth: rate times E|g|^2 at unit norm over 2 (d - 1).
    rate, noise, slopes = 1e-3, 2.0, 0.5
    data = runs(lr=rate, weight_decay=1e-3, radius_sq=1.0, grad_variance_unit=noise, grad_mean_sq_unit=slopes)
    table, state = state_of(data)
    expected = np.full(10, rate * (noise + slopes) / (2 * (D - 1)))
    assert _heat_of_growth(table, state) == pytest.approx(expected)
    minibatch = data.drop_vars("grad_mean_sq_unit").assign(
        grad_variance=("run", np.full(10, noise)), grad_sq=("run", np.full(10, noise + slopes))
    )
    table, state = state_of(minibatch)
    assert _heat_of_growth(table, state) == pytest.approx(expected)


def test_the_minimum_of_a_parabola_between_the_points():
    at = np.linspace(-1, 1, 41)
    places = np.array([0.0123, -0.3071])
    assert _lowest(at, (at[:, None] - places) ** 2) == pytest.approx(places, abs=1e-12)


def test_runs_at_the_ends_of_the_temperatures_are_not_judged():
    data = state_table(np.random.default_rng(13), "fixed-sphere", 20).assign_attrs(protocol="fixed-sphere")
    table, state = state_of(data)
    place = np.log(state.temperature)
    share = (place - place.min()) / np.ptp(place)
    assert _shift(state, table)[1]["runs judged"] == ((share > 0.1) & (share < 0.9)).sum() < len(place)


def test_the_radius_in_three_dimensions_by_hand():
    # wd (2 - lr wd) r^2 = lr |g|^2 with |g|^2 = noise/r^2, at small steps.
    lr, decay, noise = 1e-4, 1e-3, 6.0
    square = np.sqrt(lr * noise / (2 * decay))
    _, ratio = radius_ratios(Table.of(runs(lr=lr, weight_decay=decay, radius_sq=square, grad_variance_unit=noise)))
    assert ratio == pytest.approx(np.ones(10), rel=1e-5)


def test_the_factor_and_its_remainder_by_hand():
    # R T = lr tr Cov/4: p V/(R T) = wd (r^2/2)/(R T), and the remainder is E[w.g]/(2 R T).
    lr, decay, square, noise, virial = 1e-3, 0.02, 1.5, 4.0, 1e-4
    columns = {"lr": lr, "weight_decay": decay, "radius_sq": square, "grad_variance": noise}
    table = Table.of(runs(**columns, radial_gradient=virial))
    work = lr * noise / 4
    assert by_noise(table) == pytest.approx(np.full(10, decay * square / 2 / work))
    assert to_leading_order(*_virial(table)) == pytest.approx(np.full(10, 1 - virial / (2 * work)))


def test_the_interval_of_an_inverse_has_its_ends_in_order():
    found = _inverted(Estimate(2.0, 1.6, 2.5))
    assert (found.low, found.value, found.high) == (0.4, 0.5, 0.625)


def test_what_the_choice_of_the_curve_changes_is_in_the_interval():
    heat = np.logspace(-3, 0, 40)
    (found,) = estimates(lambda curves: lambda chosen: np.array([float(curves.free)]), heat, np.log(heat))
    assert (found.low, found.high) == pytest.approx((found.value - 1, found.value + 1))


def test_a_verdict_says_that_stationarity_was_not_measured_only_where_it_was_not():
    table = gas_table(np.random.default_rng(14))
    unknown = table.drop_vars("grad_sq")
    known = table.assign(status=("run", np.full(35, "ok")))
    titles = [claims()["V3"].verdicts(Table.of(one.assign_attrs(protocol="fixed-lr")))[0] for one in (known, unknown)]
    assert ["not measured" in row.reason for row in titles] == [False, True]
