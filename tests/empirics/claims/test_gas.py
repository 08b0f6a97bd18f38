"""V0 to V6 on gases that can be solved, under three protocols: the truth agrees, planted violations are seen."""

import numpy as np
import pytest
import xarray as xr
from gas_chain import chain
from gas_states import harmonic, inhomogeneous, modes, state_table

from empirics.claims import Table, claims, compare, tables_of
from empirics.claims.adiabat import FIXED_ELR, FIXED_LR
from empirics.claims.curves import FEWEST_LEVELS
from empirics.claims.fluctuations import ENTROPY, FLUCTUATIONS
from empirics.claims.maxwell import RELATIONS
from empirics.claims.potential import DIRECTIONS
from empirics.claims.radius import BALANCE
from empirics.claims.state import StateVariables
from empirics.claims.thermometer import ALONG, GIBBS
from empirics.claims.thermometer import BALANCE as DRIVEN
from empirics.claims.trajectory import AREA

PROTOCOLS = ("fixed-lr", "fixed-elr", "fixed-sphere")
SIX = ("V1", "V2", "V3", "V4", "V5", "V6")
ADIABATS = {"fixed-lr": FIXED_LR, "fixed-elr": FIXED_ELR}


def settings(protocol, d):
    """Noise and range of rates at which steps are small and T d runs from cold to warm."""
    if d == 3:
        return {"sigma": 1.0, "span": (1e-3, 1e-1)}
    return {"sigma": 20 / np.sqrt(d), "span": (1e-3, 1e-1) if protocol == "fixed-lr" else (1e-4, 1e-2)}


def judged(table):
    """Verdicts of V1 to V6 by title, those that need a trace left out."""
    return {row.title: row for row in compare(table) if row.title != AREA and row.claim in SIX}


def physics_of_states(protocol):
    """Titles of the claims that need the Gibbs law."""
    return [DIRECTIONS, ENTROPY, FLUCTUATIONS, GIBBS, *([ADIABATS[protocol]] if protocol in ADIABATS else [])]


@pytest.mark.parametrize("d", [3, 200, 43_692])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_isotropic_gas_agrees_at_every_dimension(protocol, d):
    table = state_table(np.random.default_rng(1), protocol, d, **settings(protocol, d))
    rows = judged(table)
    claims = {row.claim for row in rows.values()}
    assert claims == {"V1", "V2", "V3", "V4", "V5", "V6"} - ({"V1", "V4"} if protocol == "fixed-sphere" else set())
    assert {row.verdict for row in rows.values()} == {"agrees"}, compare(table)
    assert all(row.low < row.measured < row.high and row.source for row in rows.values())
    assert {row.kind for row in rows.values() if row.claim == "V3"} == {"symmetry"}
    assert {rows[title].kind for title in physics_of_states(protocol)} == {"physics"}
    # It needs small steps or continuous time, so it is more than a gate.
    assert rows[DRIVEN].kind == "physics"


def test_three_protocols_in_one_table_are_judged_as_they_are_alone():
    tables = [state_table(np.random.default_rng(i), p, 3, levels=(7, 5)) for i, p in enumerate(PROTOCOLS)]
    knobs = ("lr", "effective_lr", "weight_decay", "radius")
    blank = ("run", np.full(35, np.nan))
    padded = [t.assign_coords({name: blank for name in knobs if name not in t.coords}) for t in tables]
    together = xr.concat([t.assign(balance=t.get("balance", blank)) for t in padded], "run")
    assert np.isnan(together["weight_decay"].values[-1])
    verdicts = compare(together)
    for protocol, table in zip(PROTOCOLS, tables, strict=True):
        mine = [row for row in verdicts if row.protocol == protocol]
        assert [(r.title, r.verdict) for r in mine] == [(r.title, r.verdict) for r in compare(table)]


def miscounted(seeds, **settings):
    """How often each interval misses the theory."""
    missed, seen = {}, 0
    for seed in range(seeds):
        for title, row in judged(state_table(np.random.default_rng(seed), levels=(7, 5), **settings)).items():
            if row.claim in ("V2", "V3", "V4", "V5", "V6"):
                missed[title] = missed.get(title, 0) + (not row.low <= row.theory <= row.high)
                seen += row.verdict == "disagrees"
    assert seen <= 0.05 * seeds
    return missed


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_cover_the_truth(protocol):
    # 20 tables: a 95 % interval misses 5 or more of them with a chance of 0.003.
    missed = miscounted(20, protocol=protocol, d=3, scatter=0.02)
    assert len(missed) >= 6
    assert max(missed.values()) <= 4, missed


@pytest.mark.long
@pytest.mark.parametrize("d", [3, 200])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_cover_the_truth_at_length(protocol, d):
    # 200 tables: a 95 % interval misses more than 22 of them with a chance below 0.0005.
    missed = miscounted(200, protocol=protocol, d=d, scatter=0.02, **settings(protocol, d))
    assert max(missed.values()) <= 22, missed


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_anisotropic_noise_fails_what_needs_gibbs_and_nothing_else(protocol):
    # Quartic and quadratic directions in turn, the quartic ones with nine times the noise: in every number below the
    # sums over the two kinds, with C = 1/4, 1/2 and T = 1.8, 0.2 of the mean.
    gas = modes([1.8, 0.2])
    rows = judged(state_table(np.random.default_rng(2), protocol, 21, gas=gas, sigma=10.0, span=(1e-5, 1e-3)))
    ratio = (1 / 4 + 1 / 2) / (1.8 / 4 + 0.2 / 2)
    expected = {
        DIRECTIONS: np.log(ratio),
        ENTROPY: ratio,
        FLUCTUATIONS: (1.8**2 / 4 + 0.2**2 / 2) / (1.8 / 4 + 0.2 / 2),
        FIXED_LR: ((1 / 4 + 1 / 2) - (1.8 / 4 + 0.2 / 2)) / 2,
        FIXED_ELR: (1 / 4 + 1 / 2) - (1.8 / 4 + 0.2 / 2),
    }
    for title in physics_of_states(protocol):
        assert rows[title].verdict == "disagrees", rows[title]
        if title in expected:
            assert rows[title].measured == pytest.approx(expected[title], abs=0.01), title
    assert {row.verdict for row in rows.values() if row.kind != "physics"} == {"agrees"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_harmonic_well_shows_its_noise_in_fluctuations_and_gradients_alone(protocol):
    h, s = np.array([0.3, 1.0, 1.0, 3.0]), np.array([3.0, 1.0, 1.0, 0.3])
    rows = judged(state_table(np.random.default_rng(3), protocol, 21, gas=harmonic(h, s), sigma=1.0, span=(1e-4, 1e-2)))
    assert rows[GIBBS].verdict == rows[FLUCTUATIONS].verdict == "disagrees"
    assert rows[GIBBS].measured == pytest.approx(4 * (h * s).sum() / (h.sum() * s.sum()), abs=0.01)
    # Its spread in direction i is eta s_i/(2 h_i): Var L/T^2 = sum s^2/2.
    assert rows[FLUCTUATIONS].measured == pytest.approx((s**2).mean() / s.mean() ** 2, abs=0.01)
    assert {row.verdict for title, row in rows.items() if title not in (GIBBS, FLUCTUATIONS)} == {"agrees"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_one_curvature_is_far_above_the_others_large_steps_need_the_curvature_along_gradients(protocol):
    # One direction of 20 with h eta_eff/2 of 0.08 to 0.3, by the mean curvature 0.004 to 0.016; isotropic noise.
    h, span = [15.0, *[0.05] * 19], (1e-2, 4e-2)
    spread = {"sigma": 0.1, "span": span if protocol != "fixed-lr" else (4e-3, 1.2e-2)}
    table = state_table(np.random.default_rng(8), protocol, 21, gas=harmonic(h, [1.0]), **spread)
    rows, blind = judged(table), judged(table.drop_vars("hessian_gradient"))
    assert rows[GIBBS].verdict == rows[ALONG].verdict == "agrees"
    assert blind[GIBBS].verdict == blind[DRIVEN].verdict == "disagrees"
    # Steps along which the loss is not quadratic: no thermometer.
    bent = judged(table.assign(hessian_gradient=1.4 * table["hessian_gradient"]))
    assert bent[ALONG].verdict == "disagrees"
    assert bent[GIBBS].verdict == "refused"
    assert "steps are too large" in bent[ALONG].reason
    assert bent[GIBBS].reason.startswith("gate: the steps are too large")
    # Noise along the stiff direction alone: the balance stays, the thermometer does not.
    table = state_table(np.random.default_rng(8), protocol, 21, gas=harmonic(h, [20.0, *[0.1] * 19]), **spread)
    rows = judged(table)
    assert rows[ALONG].verdict == "agrees"
    assert rows[GIBBS].verdict == "disagrees"


@pytest.mark.parametrize(("protocol", "growth"), [("fixed-lr", 10.0), ("fixed-elr", 1.0)])
def test_noise_that_grows_with_the_loss(protocol, growth):
    spread = {"sigma": 10.0, "span": (1e-4, 1e-2) if protocol == "fixed-lr" else (1e-5, 1e-3)}
    knobs = {"d": 21, **spread, "levels": (7, 7)}
    rows = judged(state_table(np.random.default_rng(4), protocol, gas=inhomogeneous(growth), **knobs))
    assert rows[FLUCTUATIONS].verdict == rows[ADIABATS[protocol]].verdict == "disagrees"
    assert rows[FLUCTUATIONS].measured > 1
    assert {row.verdict for row in rows.values() if row.kind != "physics"} == {"agrees"}
    # The same integrals without the growth are the von Mises-Fisher gas.
    rows = judged(state_table(np.random.default_rng(4), protocol, gas=inhomogeneous(0.0), **knobs))
    assert {row.verdict for row in rows.values()} == {"agrees"}


def counted(seeds, titles, **planted):
    """How often each verdict falls on each title."""
    counts = {title: {"agrees": 0, "disagrees": 0, "inconclusive": 0, "refused": 0} for title in titles}
    for seed in range(seeds):
        rows = judged(state_table(np.random.default_rng(seed), levels=(7, 5), **planted))
        for title in titles:
            counts[title][rows[title].verdict] += 1
    return counts


@pytest.mark.parametrize("seeds", [20, pytest.param(100, marks=pytest.mark.long)])
def test_power_for_a_temperature_off_by_a_tenth(seeds):
    # Wanted: the violation is seen in 95 of 100, the truth agrees in 90 and is called wrong in at most 5.
    titles = (GIBBS, DIRECTIONS, ENTROPY, FLUCTUATIONS)
    off, truth = counted(seeds, titles, d=20, fake_temperature=0.9), counted(seeds, titles, d=20)
    for title in titles:
        assert off[title]["disagrees"] >= 0.95 * seeds, off
        assert truth[title]["agrees"] >= 0.9 * seeds, truth
        assert truth[title]["disagrees"] <= 0.05 * seeds, truth


def test_a_floor_of_the_loss_is_no_heat():
    def judged_by_heat(data):
        ((table, found),) = tables_of(data, [claims()[name] for name in ("V2", "V4", "V5")])
        return {row.title: row for claim in found for row in claim.verdicts(table)}

    table = state_table(np.random.default_rng(14), d=20, levels=(7, 4))
    plain, raised = (judged_by_heat(table.assign(loss=table["loss"] + floor)) for floor in (0.0, 0.7))
    for title in (DIRECTIONS, ENTROPY, FLUCTUATIONS, FIXED_LR):
        assert raised[title].verdict == plain[title].verdict == "agrees", raised[title]
        assert raised[title].measured == pytest.approx(plain[title].measured, abs=0.01)


def test_no_verdict_on_the_entropy_stands_on_a_path_entropy():
    table = state_table(np.random.default_rng(5), d=20)
    on_entropy = {DIRECTIONS, ENTROPY, FIXED_LR}
    for extra in ({"path_entropy": np.ones(63, bool)}, {"neighbour_lag": np.ones(63)}):
        rows = judged(table.drop_vars("path_entropy").assign({name: ("run", one) for name, one in extra.items()}))
        refused = {title for title, row in rows.items() if row.verdict == "refused"}
        assert refused == on_entropy
        assert all("path entropies" in rows[title].reason for title in on_entropy)
        assert {row.verdict for title, row in rows.items() if title not in on_entropy} == {"agrees"}
    far = judged(table.drop_vars("path_entropy").assign(neighbour_lag=("run", np.full(63, 40.0))))
    assert {row.verdict for row in far.values()} == {"agrees"}


def test_controls_that_must_not_pass():
    table = state_table(np.random.default_rng(6), d=20)
    forms = RELATIONS["fixed-lr"].forms
    # Fixed LR called fixed ELR: what was set is taken for an effective learning rate.
    fake = table.rename(lr="effective_lr").assign_coords(protocol=("run", np.full(63, "fixed-elr")))
    rows = judged(fake.drop_vars("balance"))
    assert "agrees" not in {row.verdict for row in rows.values() if row.kind != "identity"}
    order = np.random.default_rng(0).permutation(63)
    rows = judged(table.assign_coords(lr=("run", table["lr"].values[order])))
    assert "agrees" not in {row.verdict for title, row in rows.items() if title in (BALANCE, *forms)}


def test_runs_with_large_steps_are_left_out_and_counted():
    table = state_table(np.random.default_rng(7), "fixed-elr", 20, span=(1e-3, 1e-1))
    state = StateVariables.of(Table.of(table.assign_attrs(protocol="fixed-elr")))
    # (d - 1) T eta_eff = (d - 1) sigma^2 eta_eff^2/2 is at most 0.02.
    np.testing.assert_array_equal(state.within, 9.5 * table["effective_lr"].values ** 2 <= 0.02)
    out = int((~state.within).sum())
    (note,) = [note for note in compare(table).notes if "their steps are too large" in note]
    assert note.startswith(f"{out} of 63 runs left out of V2, V4, V5 and V6")


@pytest.mark.parametrize("levels", [(FEWEST_LEVELS - 1, 9), (9, 1)])
def test_too_few_temperatures(levels):
    rows = judged(state_table(np.random.default_rng(8), "fixed-elr", 3, levels=levels))
    if levels[0] < FEWEST_LEVELS:
        assert rows[DIRECTIONS].verdict == "refused"
        assert "4 different temperatures" in rows[DIRECTIONS].reason
    else:
        # One weight decay is enough for what depends on T alone, and no way to a slope in it.
        assert rows[DIRECTIONS].verdict == rows[ENTROPY].verdict == "agrees"
        assert rows[RELATIONS["fixed-elr"].forms[0]].verdict == "refused"
        assert rows[FIXED_ELR].verdict == "refused"


def test_what_is_missing_is_named():
    table = state_table(np.random.default_rng(9), d=20)
    rows = judged(table.drop_vars(["laplacian", "hessian_noise", "loss_variance", "temperature"]))
    reasons = {title: row.reason for title, row in rows.items() if row.verdict == "not measured"}
    assert reasons == {
        FLUCTUATIONS: "not in the runs: loss_variance",
        GIBBS: "not in the runs: laplacian",
        DRIVEN: "not in the runs: hessian_noise",
    }
    # Without a temperature it is read off the noise; without a curvature nothing is corrected, which is said.
    assert rows[DIRECTIONS].verdict == "agrees"
    assert any("laplacian was not measured" in note for note in compare(table.drop_vars("laplacian")).notes)


@pytest.mark.parametrize("name", ["effective_lr", "weight_decay"])
def test_a_rate_that_the_protocol_needs(name):
    table = state_table(np.random.default_rng(10), "fixed-elr", 3)
    with pytest.raises(ValueError, match=f"does not give {name} of its fixed-elr runs"):
        compare(table.drop_vars(name))
    table[name].values[7] = -1.0
    with pytest.raises(ValueError, match=f"{name} must be positive in every run, got -1.0 in run 7"):
        compare(table)


# The gas itself, step by step: what the tables above take from theory is here what comes out -------------------------

GRIDS = {
    "fixed-lr": ("lr", (1e-2, 1e-1), "weight_decay", (1e-2, 1e-1)),
    "fixed-elr": ("effective_lr", (2e-2, 1.4e-1), "weight_decay", (1e-1, 1.0)),
    "fixed-sphere": ("effective_lr", (2e-2, 1.4e-1), "radius", (0.5, 2.0)),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_gas_itself_agrees_with_steps_that_matter(protocol):
    first, one, second, other = GRIDS[protocol]
    # Both axes have the same ratio, so that runs share lr·wd.
    rates = np.geomspace(*one, 8)
    grid = np.meshgrid(rates, other[0] * (rates[1] / rates[0]) ** np.arange(6), indexing="ij")
    knobs = dict(zip((first, second), (axis.ravel() for axis in grid), strict=True))
    runs = chain(np.random.default_rng(11), protocol, knobs, 3, 1.0, 2000, 30_000, 10)
    rows = judged(runs.dataset)
    assert "disagrees" not in {row.verdict for row in rows.values()}, compare(runs.dataset)
    assert {rows[title].verdict for title in (GIBBS, DRIVEN)} == {"agrees"}
    # With three directions and few snapshots the slope is right in the mean; its local values are known to a tenth.
    maxwell = rows[RELATIONS[protocol].forms[1]]
    assert maxwell.theory - maxwell.margin < maxwell.low < maxwell.high < maxwell.theory + maxwell.margin
    # Steps matter here: at the temperature of the noise the thermometer is off by half the curvature times eta_eff.
    state = StateVariables.of(Table.of(runs.dataset.assign_attrs(protocol=protocol)))
    raised = state.temperature / state.noise_temperature
    assert raised.max() > 1.03
    bare = runs.dataset["grad_mean_sq_unit"].values / (runs.dataset["temperature"] * runs.dataset["laplacian"]).values
    ratio = bare[runs.dataset["status"].values == "ok"][: len(state.within)][state.within] / raised
    assert abs(ratio.mean() - 1) < 3 * ratio.std() / np.sqrt(len(ratio)) + 0.005
    assert bare.mean() - 1 > 0.01


@pytest.mark.parametrize(
    ("protocol", "rates", "starts"), [("fixed-lr", (1e-2, 1e-1), [3.0, 5.0]), ("fixed-elr", (2e-2, 5e-2), [0.3, 3.0])]
)
def test_the_way_to_the_stationary_radius(protocol, rates, starts):
    first, _, second, _ = GRIDS[protocol]
    knobs = {first: np.geomspace(*rates, 12), second: np.full(12, 0.03)}
    runs = chain(np.random.default_rng(12), protocol, knobs, 20, 0.3, 12_000, 4000, 10, start=np.resize(starts, 12))
    (row,) = [row for row in compare(runs) if row.title == AREA]
    assert row.verdict == "agrees", row
    assert row.details["runs that started far"] >= 6
    # A relaxation that takes a tenth longer is seen.
    slow = runs.tree.copy()
    slow["trace"] = slow["trace"].to_dataset().assign_coords(step=slow["trace"]["step"] * 1.1)
    (row,) = [row for row in compare(type(runs)(None, slow, None, {})) if row.title == AREA]
    assert row.verdict == "disagrees"
    assert row.measured == pytest.approx(1.1, abs=0.03)


def test_runs_that_started_at_home_show_no_way():
    knobs = {"lr": np.geomspace(1e-2, 1e-1, 9), "weight_decay": np.full(9, 0.03)}
    runs = chain(np.random.default_rng(13), "fixed-lr", knobs, 20, 0.3, 2000, 2000, 10)
    (row,) = [row for row in compare(runs) if row.title == AREA]
    assert row.verdict == "not measured"
    assert row.reason.endswith("a factor of 2 or more from the stationary radius and then settle; found 0")
    (row,) = [row for row in compare(runs.dataset) if row.title == AREA]
    assert row.reason == "not in the runs: the radius over the steps (/trace)"
