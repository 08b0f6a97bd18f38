"""V1 and V3 for signSGD, Lion, Muon, normalised SGD, LARS and LAMB: the truth agrees, planted violations are seen."""

import numpy as np
import pytest
from scale_free_tables import ORBITS, scale_free_table

from empirics.claims import Table, compare
from empirics.claims.coordinates import law, orbit_of
from empirics.claims.maxwell import maxwell_ratio, reference_slopes, relation_of
from empirics.claims.radius import BALANCE, FORMULA, PURE_FORMULA, radius_lacks, slope_difference
from empirics.isotropic import simulate


def table(optimizer, **knobs):
    return scale_free_table(np.random.default_rng(0), optimizer, **knobs)


def judged(optimizer, **knobs):
    return {row.title: row for row in compare(table(optimizer, **knobs))}


def titles(optimizer):
    of = law("fixed-lr", optimizer)
    formula = FORMULA if optimizer == "lars" else PURE_FORMULA
    return (f"Slope of log r in {orbit_of(of).difference}",), (formula,), relation_of(of).forms[1:2]


@pytest.mark.parametrize("optimizer", ORBITS)
def test_orbit_radius_and_maxwell_relation_are_one_symmetry(optimizer):
    orbit = orbit_of(law("fixed-lr", optimizer))
    assert (orbit.rate, orbit.decay) == ORBITS[optimizer]
    # w is c times as large: log r gains log c, S gains (d - 1) log c = 2 R log c.
    unit = orbit.rate or -orbit.decay
    assert slope_difference("fixed-lr", optimizer) == pytest.approx(1 / unit)
    assert maxwell_ratio("fixed-lr", optimizer) == pytest.approx(2 / unit)


@pytest.mark.parametrize("optimizer", ORBITS)
def test_the_truth_agrees(optimizer):
    found = judged(optimizer)
    assert {row.verdict for row in found.values()} == {"agrees"}, found
    assert set(found) == {BALANCE}.union(*titles(optimizer))


VIOLATIONS = [({"exponent": 0.1}, 0), ({"radius": 1.15}, 1), ({"radius": 0.87}, 1), ({"maxwell": 0.1}, 2)]


@pytest.mark.parametrize("optimizer", ORBITS)
@pytest.mark.parametrize(("knobs", "which"), VIOLATIONS)
def test_a_violation_is_seen_where_it_is(optimizer, knobs, which):
    found = judged(optimizer, **knobs)
    assert {found[title].verdict for title in titles(optimizer)[which]} == {"disagrees"}


def test_another_optimiser_s_name_is_seen():
    """LAMB's runs have not the symmetry of signs, nor the other way round."""
    for name, other in (("lamb", "signsgd"), ("signsgd", "lamb"), ("lars", "lamb")):
        runs = table(name)
        verdicts = compare(runs.assign_coords(optimizer=("run", [other] * runs.sizes["run"])))
        assert {row.verdict for row in verdicts if row.claim == "V3"} == {"disagrees"}, name


def test_what_the_formula_lacks_is_named():
    runs = table("muon")
    assert radius_lacks(Table.of(runs.drop_vars("scale"))) == ["scale"]
    del runs.attrs["matrices"]
    assert radius_lacks(Table.of(runs)) == ["matrices"]
    assert radius_lacks(Table.of(table("lion").drop_vars("beta2"))) == ["beta2"]
    slow = table("lars")
    slow["momentum"] = ("run", np.full(slow.sizes["run"], 0.5))
    assert radius_lacks(Table.of(slow)) == ["momentum = 0, for which alone the norm of LARS is derived"]


def test_slopes_of_a_cold_gas_of_degree_0_are_those_of_adamw():
    for name in ("signsgd", "lion", "muon", "normalised-sgd"):
        assert np.allclose(reference_slopes(law("fixed-lr", name)), ((1.5, -0.5), (2.0, 0.0)))
    assert reference_slopes(law("fixed-lr", "lamb")) is None


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("signsgd", {"initial_radius": 4.0}),
        ("normalised-sgd", {"initial_radius": 1.0}),
        ("lamb", {"initial_radius": 6.0, "lr": [0.03, 0.06, 0.12]}),
        ("lars", {"initial_radius": 2.0, "lr": [0.03, 0.06, 0.12]}),
    ],
)
def test_the_simulated_gas_obeys_its_maxwell_relation(optimizer, options):
    rates = {"lr": [0.02, 0.04, 0.08], "weight_decay": [0.02, 0.04, 0.08]}
    runs = simulate(
        **{"dimension": 10, "optimizer": optimizer, "steps": 60_000, "burn_in": 10_000, "snapshots": 600}
        | rates
        | options
    )
    rows = {row.title: row for row in compare(runs)}
    for title in titles(optimizer)[2]:
        row = rows[title]
        assert abs(row.measured - row.theory) < max(0.05 * abs(row.theory), row.high - row.low), row
