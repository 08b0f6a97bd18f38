"""The simulated gas against the exact theory, the reduction against full vectors, runs against themselves."""

import dataclasses

import numpy as np
import pytest
from gas import small
from scipy import stats

import empirics
from empirics import isotropic
from empirics.isotropic.loop import GasTrainer
from empirics.isotropic.summary import MEANS
from empirics.measure import entropy_bias, sphere_entropy
from thermo_theory import vmf


def moments(**options):
    runs = isotropic.simulate(**{"keep_snapshots": True} | options)
    assert "diverged" not in runs.dataset["status"].values
    return runs


GRID = {"lr": [0.05, 0.2], "weight_decay": [0.05]}
PROTOCOLS = [
    {"protocols": "fixed-lr", **GRID},
    {"protocols": "fixed-elr", "effective_lr": [0.02, 0.05], "weight_decay": [0.05]},
    {"protocols": "fixed-sphere", "effective_lr": [0.02, 0.05], "radius": [0.7]},
]
KNOBS = [{"polar": 5.0}, {"inhomogeneity": 8.0}, {"degrees_of_freedom": 5.0}]


@pytest.mark.parametrize("options", [*PROTOCOLS, *[{"protocols": "fixed-lr", **GRID, **knob} for knob in KNOBS]])
@pytest.mark.parametrize("dimension", [2, 3, 7])
def test_two_numbers_have_the_law_of_the_vectors(options, dimension):
    """Independent runs of both: the same distributions and the same means of everything."""
    shared = {"dimension": dimension, "steps": 60_000, "burn_in": 2000, "spacing": 300, "seeds": range(8), **options}
    both = [moments(**shared, vectors=vectors) for vectors in (False, True)]
    assert [runs.dataset.attrs["state"] for runs in both] == ["mu.w and |w_perp|, exact in law", "full vectors"]
    for rate in range(2):
        where = np.flatnonzero(np.arange(16) % 2 == rate)
        thinned = [runs.tree["snapshots"]["loss"].values[where].ravel() for runs in both]
        assert stats.ks_2samp(*thinned).pvalue > 1e-5
        for name in [*MEANS, "temperature", "rotation", "laplacian"]:
            one, other = (runs.dataset[name].values[where] for runs in both)
            error = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 8)
            assert abs(one.mean() - other.mean()) <= 6 * error + 1e-11 * abs(one.mean()), name


LARGE = {"dimension": 4, "lr": [1.0], "weight_decay": [0.4], "steps": 40_000, "burn_in": 200, "spacing": 100}


@pytest.mark.parametrize("vectors", [False, True])
def test_large_steps_are_in_balance(vectors):
    data = moments(**LARGE | {"lr": [1.0, 3.75]}, seeds=range(4), vectors=vectors).dataset  # lr wd of 0.4 and 1.5
    np.testing.assert_allclose(data["balance"], 1, atol=2e-3)


def test_both_ways_agree_in_everything_at_large_steps():
    both = [moments(**LARGE, seeds=range(8), vectors=vectors) for vectors in (False, True)]
    names = [*MEANS, "temperature", "rotation", "laplacian", "loss_variance", "radius_sq_variance", "entropy"]
    names += ["balance", "balance_error", "radius_drift_error", "entropy_sphere_error", "effective_sample_size"]
    for name in names:
        one, other = (runs.dataset[name].values for runs in both)
        error = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 8)
        assert abs(one.mean() - other.mean()) <= 6 * error + 1e-11 * abs(one.mean()), name
    for runs in both:
        blocks = runs.tree["blocks"]["balance"].transpose("run", ...).values
        np.testing.assert_allclose(runs.dataset["balance_error"], stats.sem(blocks, axis=1))


@pytest.mark.parametrize(
    ("rate", "knob"),
    [
        (2e-3, {"polar": 5.0}),
        (2e-3, {"axis": 5.0}),
        (2e-3, {"degrees_of_freedom": 9.0}),
        (0.2, {}),
        (0.2, {"inhomogeneity": 8.0}),
    ],
)
def test_the_trace_of_the_noise_and_the_temperature_it_gives(rate, knob):
    """tr Σ = sigma² (d - 1), whatever its shape, but for the growth with the loss; the mean gradient is no noise."""
    data = isotropic.simulate(
        dimension=6, sigma=2.0, steps=20_000, burn_in=5000, spacing=100, protocols="fixed-sphere",
        effective_lr=[rate], radius=[1.0], seeds=range(4), **knob,
    ).dataset  # fmt: skip
    trace = data["grad_variance_unit"].values
    wanted = 2.0**2 * 5 * (1 + knob.get("inhomogeneity", 0) * data["loss"].values.mean())
    assert trace.mean() == pytest.approx(wanted, rel=0.02)
    np.testing.assert_allclose(data["temperature"], rate * trace / (2 * 5), rtol=1e-9)


def test_the_loss_of_a_very_cold_gas_keeps_its_digits():
    experiment = small()
    trainer = GasTrainer(experiment, experiment.cut()[0])
    angle = np.array([1e-2, 1e-9, 1e-14, np.pi - 1e-3])
    vectors = 3.0 * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    np.testing.assert_allclose(trainer.losses(vectors), 2 * np.sin(angle / 2) ** 2, rtol=1e-12)


def test_the_variance_of_the_loss_of_short_runs_lacks_nothing():
    """Five to ten independent losses per run: about their own mean they scatter too little, by a fifth."""
    temperature, rate = 0.03, 2e-3
    data = isotropic.simulate(
        dimension=20, steps=2000, burn_in=4000, spacing=5, protocols="fixed-sphere", effective_lr=[rate],
        radius=[1.0], sigma=(2 * temperature / rate) ** 0.5, seeds=range(160),
    ).dataset  # fmt: skip
    exact = temperature**2 * vmf.heat_capacity(d=20, T=temperature)
    assert data["effective_sample_size"].values.mean() < 15
    assert abs(data["loss_variance"].values.mean() / exact - 1) < 0.16


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_momentum_multiplies_radius_and_temperature(optimizer):
    """At fixed ELR by 1/(1 - beta) in r² and T; runs begin at that radius."""
    data = isotropic.simulate(
        dimension=30, steps=8000, burn_in=2000, protocols="fixed-elr", optimizer=optimizer, effective_lr=[4e-4],
        weight_decay=[0.05], seeds=range(8),
    ).dataset  # fmt: skip
    radius_sq, temperature = 4e-3 * 29 / (2 * 0.05), 4e-3 / 2
    assert np.allclose(data["initial_radius"] ** 2, radius_sq)
    assert data["radius_sq"].values.mean() == pytest.approx(radius_sq, rel=0.05)
    assert data["temperature"].values.mean() == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("dimension", [2, 3, 20, 1000])
def test_cold_gas_on_the_sphere_against_the_exact_theory(dimension):
    temperature = 0.6 / dimension
    sigma = np.sqrt(2 * temperature / 2e-3)
    runs = moments(
        dimension=dimension, sigma=sigma, steps=400_000, burn_in=10_000, spacing=500, seeds=range(8),
        protocols="fixed-sphere", effective_lr=[2e-3], radius=[1.0],
    )  # fmt: skip
    data = runs.dataset
    assert np.allclose(data["temperature"], temperature, rtol=0.01)
    finite = {"rtol": 2e-3}  # of the step: about effective_lr / 4

    def agrees(values, exact):
        error = values.std(ddof=1) / np.sqrt(8)
        return abs(values.mean() - exact) < 5 * error + finite["rtol"] * abs(exact)

    energy = vmf.energy(d=dimension, T=temperature)
    assert agrees(data["loss"].values, energy)
    assert agrees(data["loss_variance"].values / temperature**2, vmf.heat_capacity(d=dimension, T=temperature))
    assert agrees(data["grad_mean_sq_unit"].values / temperature, data["laplacian"].values.mean())
    assert agrees(data["hessian_noise"].values, sigma**2 * (dimension - 1) * (1 - energy))
    entropy, exact = data["entropy_sphere"].values, vmf.entropy(d=dimension, T=temperature)
    assert abs(entropy.mean() - exact) < 5 * entropy.std(ddof=1) / np.sqrt(8) + 1e-3 * dimension


def test_volume_hardly_fluctuates():
    """Var V = (lr wd/2) R T²/p²: Var r²/(E r²)² = lr wd/2/R, for Gaussian noise, wherever a run began."""
    start = {"initial_radius": {"stationary": [1.3]}}
    runs = moments(dimension=20, steps=300_000, burn_in=20_000, seeds=range(8), lr=[0.1], weight_decay=[0.01], **start)
    data = runs.dataset
    ratio = data["radius_sq_variance"].values / data["radius_sq"].values ** 2 / (0.1 * 0.01 / 2 / 9.5)
    assert abs(ratio.mean() - 1) < 0.05


def test_a_run_does_not_depend_on_the_others():
    rates = {
        "lr": [0.02, 0.05, 0.1],
        "weight_decay": [0.01, 0.05],
        "seeds": range(6),
    }  # more runs than lanes of a group
    whole = isotropic.simulate(dimension=3, steps=2000, **rates).dataset
    for number, seed in ((3, 0), (33, 5)):
        alone = isotropic.simulate(dimension=3, steps=2000, lr=[0.05], weight_decay=[0.05], seeds=[seed]).dataset
        for name in ("radius_sq", "loss", "entropy", "rotation"):
            assert whole[name].values[number] == alone[name].values[0]


def test_the_cut_into_shards_does_not_matter():
    one, many = small(), small(("[measure]", "[shards]\nruns_per_shard = 1\n[measure]"))
    assert len(many.cut()) == 16
    first, second = (isotropic.simulate_experiment(each).dataset for each in (one, many))
    assert first.drop_vars("reason").identical(second.drop_vars("reason"))


def test_full_vectors_do_not_depend_on_the_others_either():
    whole = isotropic.simulate(dimension=5, steps=500, optimizer="adamw", lr=[0.02, 0.05], weight_decay=[0.01])
    alone = isotropic.simulate(dimension=5, steps=500, optimizer="adamw", lr=[0.05], weight_decay=[0.01])
    for name in ("radius_sq", "loss", "rotation"):
        assert whole.dataset[name].values[1] == alone.dataset[name].values[0]
    # An eps as large as the gradients shortens the steps.
    short = isotropic.simulate(dimension=5, steps=500, optimizer="adamw", lr=[0.05], weight_decay=[0.01], eps=10.0)
    assert short.dataset["rotation"].item() < 0.5 * alone.dataset["rotation"].item()


def test_runs_that_diverge_are_named_and_the_others_go_on():
    runs = isotropic.simulate(dimension=3, steps=20_000, lr=[0.05, 300.0], weight_decay=[0.01])
    data = runs.dataset
    assert list(data["status"].values) == ["ok", "diverged"]
    assert data["diverged_at"].values[1] == 0
    assert "fixed-lr, sgd, lr = 300, weight_decay = 0.01, seed = 1" in data["reason"].values[1]
    assert np.isnan(data["radius_sq"].values[1])
    later = isotropic.simulate(
        dimension=3, steps=2000, protocols="fixed-elr", effective_lr=[0.5], weight_decay=[0.5], initial_radius=3.0
    ).dataset
    assert later["status"].item() == "diverged"
    assert "effective_lr = 0.5" in later["reason"].item()


@pytest.mark.parametrize("vectors", [False, True])
def test_trace_starts_at_the_start(vectors):
    far = {"dimension": 50, "lr": [0.1], "weight_decay": [0.05], "initial_radius": {"stationary": [0.2, 5.0]}}
    assert np.sign(isotropic.simulate(steps=400, **far).dataset["radius_drift"]).values.tolist() == [1, -1]
    runs = isotropic.simulate(steps=4000, burn_in=4000, vectors=vectors, **far)
    trace, data = runs.tree["trace"], runs.dataset
    assert trace["step"].values[0] == 0
    assert np.allclose(np.exp(2 * trace["log_radius"]), trace["radius_sq"], rtol=1e-12)
    assert np.allclose(np.sqrt(trace["radius_sq"].values[:, 0]), data["initial_radius"].values, rtol=1e-12)
    assert np.allclose(data["initial_radius"].values[1] / data["initial_radius"].values[0], 25, rtol=1e-12)
    # r^4 relaxes at 4 lr wd: after 8,000 steps both have forgotten where they came from.
    assert np.allclose(trace["radius_sq"].values[:, -1], np.sqrt(0.1 * 49 / (2 * 0.05)), rtol=0.1)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adamw", "adam-l2"])
def test_other_optimisers_settle_at_their_radius(optimizer):
    """The closed formulas of thermo_theory, at small steps; the balance is an identity."""
    experiment = small(
        ('protocols = ["fixed-lr", "fixed-elr", "fixed-sphere"]', f'protocols = "fixed-lr"\noptimizer = "{optimizer}"'),
        ("lr = [0.02, 0.05]", "lr = [0.01]"),
        ("weight_decay = [0.01, 0.02, 0.05]", "weight_decay = [0.02]"),
        ("effective_lr = [0.01, 0.03]\n", ""),
        ("radius = [0.5, 1.0]\n", ""),
        ("burn_in = 500", "burn_in = 20000"),
        ("steps = 4000", "steps = 200000"),
        ("spacing = 10", "spacing = 500"),
        ("dimension = 3", "dimension = 20"),
    )
    data = isotropic.simulate_experiment(experiment).dataset
    assert data["status"].item() == "ok"
    formula = GasTrainer(experiment, experiment.runs).initial_radius[0]
    assert abs(np.sqrt(data["radius_sq"].item()) / formula - 1) < 0.03
    assert abs(data["balance"].item() - 1) < 0.01


def test_directions_are_random_at_the_start():
    """In three dimensions the cosine is then uniform, E cos² = 1/3."""
    runs = isotropic.simulate(
        dimension=3, steps=80, snapshots=8, blocks=8, lr=[0.1], weight_decay=[0.1], seeds=range(999)
    )
    cosines = 1 - runs.tree["trace"]["loss"].values[:, 0]
    assert abs(cosines.mean()) < 0.08
    assert np.mean(cosines**2) == pytest.approx(1 / 3, abs=0.04)


def test_simulate_finds_a_spacing_for_any_number_of_steps():
    runs = isotropic.simulate(dimension=3, steps=20_100, lr=[0.1], weight_decay=[0.1])
    assert (runs.experiment.measure.snapshots, runs.experiment.measure.spacing) == (6700, 3)


def test_results_are_labelled():
    data = isotropic.simulate_experiment(small()).dataset
    assert data.attrs["dimension"] == 3
    assert data.attrs["kind"] == "isotropic"
    assert "symmetric" in data.attrs["entropy_method"]
    for name in [*data.data_vars, *data.coords]:
        assert data[name].attrs["long_name"], name
    sphere = data.isel(run=data["protocol"].values == "fixed-sphere")
    assert np.isnan(sphere["weight_decay"]).all()
    assert np.allclose(sphere["lr"], sphere["effective_lr"] * sphere["radius"] ** 2)
    assert (sphere["radius_sq_variance"] == 0).all()
    assert np.isnan(data["lr"].values[data["protocol"].values == "fixed-elr"]).all()


def test_nearest_neighbours_where_there_is_no_symmetry():
    settings = {"dimension": 3, "snapshots": 200, "axis": 10.0, "lr": [0.05], "weight_decay": [0.05]}
    for steps in (20_000, 400):  # snapshots that are apart, and a path
        runs = isotropic.simulate(steps=steps, keep_snapshots=True, **settings)
        found, kept = runs.dataset.isel(run=0), runs.tree["snapshots"]["weights"].values[0]
        assert "nearest neighbour" in runs.dataset.attrs["entropy_method"]
        expected = sphere_entropy(kept, theiler=0)
        bias = entropy_bias(kept, (3,), 2, expected.effective_sample_size)
        assert (found["entropy_bias"].item(), found["entropy_bias_error"].item()) == pytest.approx(bias, nan_ok=True)
        assert found["entropy_sphere"] == pytest.approx(expected.value)
        assert found["neighbour_lag"] == np.median(np.abs(expected.lags))
        assert found["path_entropy"] == expected.path_entropy == (steps == 400)


def test_the_error_of_a_neighbour_entropy_is_its_scatter_or_a_little_more():
    data = isotropic.simulate(
        dimension=3, steps=20_000, snapshots=200, axis=10.0, lr=[0.05], weight_decay=[0.5], seeds=range(24)
    ).dataset
    scatter, error = data["entropy_sphere"].values.std(ddof=1), data["entropy_sphere_error"].values.mean()
    assert 0.45 < scatter / error < 1.05


def test_simulate_refuses_what_an_experiment_file_refuses():
    with pytest.raises(empirics.ExperimentError, match="did you mean 'weight_decay'"):
        isotropic.simulate(dimension=3, steps=100, lr=[0.1], weight_dcay=[0.1])
    with pytest.raises(empirics.ExperimentError, match="dimension = 1: must be an integer, 2 or more"):
        isotropic.simulate(dimension=1, steps=100, lr=[0.1], weight_decay=[0.1])


def test_runs_are_frozen_and_comparable():
    experiment = small()
    assert sum(experiment.cut(), ()) == experiment.runs
    assert len(set(experiment.runs)) == 16
    assert dataclasses.replace(experiment, seeds=[4]).runs[0] != experiment.runs[0]
