"""V10 and V11 on SGD in a quadratic well: the truth agrees, a wrong H or Sigma does not, and gates refuse."""

import numpy as np
import pytest
from well_table import HESSIAN, NOISE, RATES, moves, well_table

from empirics.claims import Table, compare
from empirics.claims.edge import EDGE, StochasticEdge
from empirics.claims.implicit import ENERGY, ENTROPY, FLUCTUATIONS, FORMS, SHAPE, THERMOMETER, ImplicitPotential
from empirics.training.well import harmonic

EVERY = (SHAPE, *FORMS, ENTROPY)


@pytest.fixture(scope="module")
def truth():
    return well_table()


@pytest.fixture(scope="module")
def nearly(truth):
    """The truth with moments that are 2 % too large, so that the words show which is measured and which predicted."""
    return truth.assign({name: 1.02 * truth[name] for name in ("loss_variance", "grad_mean_sq_unit")})


def words(table, claim="V10"):
    return {row.title: row.verdict for row in compare(table) if row.claim == claim}


def test_the_gas_in_its_own_potential_agrees_where_the_gibbs_law_of_the_loss_does_not(nearly):
    verdicts = compare(nearly)
    rows = {(row.claim, row.title): row for row in verdicts}
    assert {title: rows["V10", title].verdict for title in EVERY} == dict.fromkeys(EVERY, "agrees")
    (gibbs,) = (row for row in verdicts if row.claim == "V5" and row.title.startswith("Fluctuations"))
    (thermometer,) = (row for row in verdicts if row.claim == "V6" and row.derivation == "configurational-temperature")
    assert (gibbs.verdict, thermometer.verdict) == ("disagrees", "disagrees")
    said = [note for note in verdicts.notes if "noise has a shape of its own" in note]
    heat = nearly["harmonic_temperature"]
    measured = {
        "fluctuations": nearly["loss_variance"] / (3 * heat**2),
        "thermometer": nearly["grad_mean_sq_unit"] / (heat * nearly["harmonic_laplacian"]),
    }
    for note, claim, (name, values) in zip(said, ("V5", "V6"), measured.items(), strict=True):
        assert note.startswith(claim)
        assert f" = {nearly[f'harmonic_{name}'].mean():.3g}, and {values.mean():.3g} was measured" in note
    # Energy and entropy are those of any harmonic well: they test nothing else.
    assert {title for title in EVERY if rows["V10", title].primary} == {SHAPE, FLUCTUATIONS, THERMOMETER}
    # What it is derived from is what a user reads as its kind.
    assert {row.kind for row in verdicts if row.claim == "V10"} == {"physics"}


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ({"hessian": 1.1 * HESSIAN}, {SHAPE, THERMOMETER}),  # the loss of a gas is R T whatever H
        ({"noise": 1.1 * NOISE}, {SHAPE, FLUCTUATIONS, THERMOMETER, ENERGY}),
        ({"noise": np.trace(NOISE) / 6 * np.eye(6)}, {SHAPE, FLUCTUATIONS, THERMOMETER}),
    ],
)
def test_a_wrong_hessian_or_noise_is_seen(planted, seen):
    wrong = well_table(**planted)
    found = words(wrong)
    assert {title for title in found if found[title] == "disagrees"} == seen
    assert not any("shape of its own" in note for note in compare(wrong).notes)


def test_the_figures_show_prediction_and_measurement(nearly):
    table, heat = Table.of(nearly.assign_attrs(protocol="fixed-sphere")), nearly["harmonic_temperature"].values
    (plot,) = ImplicitPotential().exhibits(table)
    predicted, measured = nearly["harmonic_fluctuations"].values, nearly["loss_variance"].values / (3 * heat**2)
    np.testing.assert_allclose([plot.series[0].x, plot.series[0].y], [predicted, measured])
    assert f"Var L/(R T²): {predicted.mean():.3g} predicted, {measured.mean():.3g} measured" in plot.message
    (plot,) = StochasticEdge().exhibits(table)
    np.testing.assert_allclose(plot.series[0].y, nearly["batch_sharpness"] * nearly["effective_lr"] / 2)
    np.testing.assert_allclose(plot.series[1].y, nearly["grad_mean_sq"] / nearly["grad_sq"])


def test_of_some_of_the_directions_only_the_covariance_is_judged(truth):
    """The three stiffest of six modes, as in a large network: H is diagonal, and its last three are these."""
    for planted, word in ((1.0, "agrees"), (1.1, "disagrees")):
        some = truth.copy(deep=True)
        for i, rate in enumerate(RATES):
            part = harmonic(planted * HESSIAN[3:, 3:], NOISE[3:, 3:], rate, moves(rate)[0][:, 3:], int(1000 / rate))
            for name, value in part.items():
                some[name].values[i] = value
        found = words(some)
        assert found.pop(SHAPE) == word
        assert set(found.values()) == {"not measured"}
    assert "between 3 of 6 directions" in next(row.reason for row in compare(some) if row.title == ENERGY)


def test_a_run_in_no_basin_or_that_is_too_slow_is_refused(truth):
    assert set(words(well_table(hessian=HESSIAN - np.eye(6))).values()) == {"refused"}
    (row, *_) = (row for row in compare(well_table(hessian=HESSIAN - np.eye(6))) if row.claim == "V10")
    assert "in no basin" in row.reason
    slow = truth.assign(harmonic_relaxations=truth["harmonic_relaxations"] / 100)
    assert set(words(slow).values()) == {"refused"}
    without = truth.drop_vars("harmonic_relaxations")
    (row, *_) = (row for row in compare(without) if row.claim == "V10")
    assert (row.verdict, row.reason) == ("not measured", "not in the runs: harmonic_relaxations")


def test_batch_sharpness_is_below_the_edge_under_additive_noise_and_at_it_where_it_is_planted(truth):
    (row,) = (row for row in compare(truth) if row.title == EDGE)
    assert (row.verdict, row.theory) == ("disagrees", 1.0)
    assert row.measured == pytest.approx(np.mean(row.details["additive noise"]), rel=0.05)
    scatter = 1 + 0.01 * np.random.default_rng(0).standard_normal(len(RATES))
    at_edge = truth.assign(batch_sharpness=2 / truth["effective_lr"] * scatter)
    assert words(at_edge, "V11") == {EDGE: "agrees"}
    off = at_edge.assign(batch_sharpness=1.1 * at_edge["batch_sharpness"])
    assert words(off, "V11") == {EDGE: "disagrees"}
