"""V1 and V3 for signSGD, Lion, Muon, normalised SGD, LARS and LAMB: the truth agrees, planted violations are seen.

The radii are written out by hand; what momentum makes of them is summed here from its weights.
"""

import numpy as np
import pytest
import xarray as xr

from empirics.claims import Table, compare
from empirics.claims.coordinates import law, orbit_of
from empirics.claims.maxwell import maxwell_ratio, reference_slopes, relation_of
from empirics.claims.radius import BALANCE, FORMULA, PURE_FORMULA, radius_lacks, slope_difference
from empirics.isotropic import simulate

#: Powers of c in lr and weight decay along an orbit, by hand.
ORBITS = dict.fromkeys(("signsgd", "lion", "normalised-sgd", "muon"), (1, -1)) | {"lars": (0, -2), "lamb": (0, -1)}
MOMENTUM = {"lion": 0.9, "muon": 0.0, "lamb": 0.9}
D, SIGMA, BETA2, SCALE = 20, 1.5, 0.99, 0.5


def signs(decay):
    """D over d of Lion's signs at one lr·wd, by the arcsine law."""
    weights = np.r_[0.1, 0.9 * 0.01 * 0.99 ** np.arange(3000)]
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    later = 2 / np.pi * np.arcsin(products[1:] / products[0])
    return 1 + 2 * (later * (1 - decay) ** np.arange(1, len(products))).sum()


def squared_norm(optimizer, lr, wd):
    if optimizer == "lars":
        return lr * SIGMA * np.sqrt(D - 1) / (2 * wd)
    if optimizer == "lamb":  # the norm of a mean that forgets by 0.9 in each step, and what its lags sum up to
        return (lr * np.sqrt(D * 0.1 / 1.9) * 1.9 / 0.1 / (2 * wd)) ** 2
    push = {"signsgd": D, "normalised-sgd": 1.0, "muon": 4 * SCALE**2}
    total = push.get(optimizer) or D * np.array([signs(one) for one in lr * wd])
    return lr * total / (wd * (2 - lr * wd))


def table(optimizer, maxwell=0.0, exponent=0.0, radius=1.0, seed=0):
    """Runs whose entropy of directions is a curve in what is equal along an orbit; knobs as in `optimizer_tables`."""
    rng = np.random.default_rng(seed)
    lr, wd = (one.ravel() for one in np.meshgrid(10 ** np.linspace(-2.6, -1.6, 9), 10 ** np.linspace(-2.6, -1.6, 9)))
    rate, decay = ORBITS[optimizer]
    gained = (rate * np.log(lr) + decay * np.log(wd)) / (rate**2 + decay**2)
    along = -decay * np.log(lr) + rate * np.log(wd)

    def noisy(values, size):
        return values * (1 + size * rng.standard_normal(len(lr)))

    squared = noisy(radius * squared_norm(optimizer, lr, wd) * np.exp(2 * exponent * gained), 3e-4)
    sphere = 5 + 3 * along - 0.1 * along**2 + 0.02 * rng.standard_normal(len(lr))
    noise = noisy((D - 1) * SIGMA**2 * np.ones(len(lr)), 3e-4)
    values = {
        "radius_sq": squared,
        "log_radius": np.log(squared) / 2,
        "grad_variance_unit": noise,
        "grad_variance": noise / squared,
        "entropy_sphere": sphere,
        "entropy": sphere + (D - 1) * (np.log(squared) / 2 + maxwell * gained),
        "balance": noisy(np.ones(len(lr)), 1e-3),
        "status": np.full(len(lr), "ok"),
    }
    labels = {"protocol": "fixed-lr", "optimizer": optimizer, "momentum": MOMENTUM.get(optimizer, 0.0)}
    labels |= {"beta2": BETA2, "scale": SCALE}
    coordinates = {"lr": lr, "weight_decay": wd} | {key: np.full(len(lr), value) for key, value in labels.items()}
    return xr.Dataset(
        {name: ("run", value) for name, value in values.items()},
        coords={name: ("run", value) for name, value in coordinates.items()},
        attrs={"dimension": D} | ({"matrices": [[4, 5]]} if optimizer == "muon" else {}),
    )


def judged(optimizer, **knobs):
    return {row.title: row for row in compare(table(optimizer, **knobs))}


def titles(optimizer):
    of = law("fixed-lr", optimizer)
    formula = FORMULA if optimizer == "lars" else PURE_FORMULA
    return (f"Slope of log r in {orbit_of(of).difference}",), (formula,), relation_of(of).forms


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
        rows = {row.title: row for row in compare(runs.assign_coords(optimizer=("run", [other] * runs.sizes["run"])))}
        assert {rows[title].verdict for title in titles(other)[2]} == {"disagrees"}, name


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
