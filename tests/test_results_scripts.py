"""What the scripts of the result pages compute by themselves, against the engine and the schedulers."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

import empirics
from empirics import Experiment
from empirics.claims.table import Table
from empirics.data.loading import load
from empirics.models.base import views
from empirics.models.registry import MODELS
from empirics.steering import Cooldown, EntropyRate
from empirics.training.sampling import frozen_generator
from empirics.training.schedule import Schedule
from thermo_theory.engine import registry

PAGES = Path(__file__).parents[1] / "docs" / "results"
EXPERIMENTS = PAGES.parents[1] / "experiments"


@pytest.fixture
def script(monkeypatch):
    """Import a script of docs/results by name."""
    monkeypatch.syspath_prepend(str(PAGES))
    for path in PAGES.glob("*.py"):  # other tests have a module of the same name
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    known = set(sys.modules)
    yield lambda name: __import__(name)
    for name in set(sys.modules) - known:
        if str(PAGES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["schedules", "averaging-tiny"])
def test_plain_network_has_the_engines_loss_and_gradient(script, name):
    experiment = Experiment.from_file(EXPERIMENTS / f"{name}.toml")
    data, network = load(experiment.data), script("plain_network").Network(experiment)
    network.noise = 0.0
    model = MODELS.get("mlp").of(experiment.model, data)
    model.compiled = False  # not worth compiling for
    flat = torch.randn(1, model.dimension, generator=torch.Generator().manual_seed(0))
    head = model.fixed(frozen_generator(0), 1, torch.float32, torch.device("cpu"))
    out = torch.empty_like(flat)
    inputs, labels = torch.as_tensor(data.inputs).float()[None], torch.as_tensor(data.labels)[None]
    loss = model.loss_and_grad(views(flat, model.blocks), head, inputs, labels, views(out, model.blocks))
    mine = network.put(flat[0]).loss()
    mine.backward()
    assert mine.item() == pytest.approx(loss.item(), rel=1e-5)
    grad = torch.cat([one.grad.flatten() for one in network.layers])
    assert torch.allclose(grad, out[0], atol=1e-5 * float(out.abs().max()))


def test_noisy_labels_are_counted_in_the_loss(script):
    network = script("plain_network").Network(Experiment.from_file(EXPERIMENTS / "averaging-tiny.toml"))
    network.put(torch.randn(30, generator=torch.Generator().manual_seed(1)))
    inputs, labels = torch.as_tensor(network.data.inputs).float(), torch.as_tensor(network.data.labels)
    with torch.no_grad():
        log_p = torch.log_softmax(network(inputs, inputs), 1)
    by_hand = sum((0.7 * (labels == k).double() + 0.1) @ -log_p[:, k].double() for k in range(3)) / len(labels)
    assert network.loss().item() == pytest.approx(float(by_hand), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("entropy rate, 6.9 R in all, isobar", lambda o: EntropyRate(o, np.log(1e-3) / 2500, 2500)),
        ("entropy rate, 6.9 R in all, isochore", lambda o: EntropyRate(o, np.log(1e-3) / 2500, 2500, along="isochore")),
        ("the same, weight decay with it", lambda o: Cooldown(o, 1250, factor=1e-3, hold=1250)),
    ],
)
def test_engine_follows_the_schedulers(script, name, scheduler):
    module = script("schedules")
    number = list(module.plans(2500)).index(name)
    factors = Schedule(module.experiment(number, 2500).schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=1.0, weight_decay=1.0)
    steps = scheduler(optimizer)
    for step in range(2600):
        lr, decay = factors.at(step)
        group = optimizer.param_groups[0]
        # straight lines between 128 knots are off an exponential that falls by 1/1000 by 4e-4 of itself
        assert (lr, decay) == pytest.approx((group["lr"], group["weight_decay"]), rel=5e-4)
        optimizer.step()
        steps.step()


def verdict(measured, half, word="agrees", theory=1.0):
    """What a table reads of a verdict."""
    return SimpleNamespace(
        claim="V1", title="Norm balance", measured=measured, low=measured - half, high=measured + half, theory=theory,
        verdict=word,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "written"),
    [
        (None, ""),
        (verdict(0.78, 0.0142, "disagrees"), "0.780 ± 0.014 ✗"),
        (verdict(12.34, 2.5, "inconclusive"), "12.3 ± 2.5 ?"),
        (verdict(0.5, 0.004, theory=0.5), "0.5000 ± 0.0040 (0.5) ✓"),
        (verdict(-2e-10, 0.0), "0.0000 ✓"),
        (verdict(np.nan, np.nan, "not measured"), "·"),
    ],
)
def test_a_cell_has_two_digits_of_its_interval_and_the_sign_of_its_verdict(script, one, written):
    assert script("tables").cell(one, theory=1.0) == written


def test_numbers_with_intervals(script):
    tables = script("tables")
    assert tables.mean_interval([1.0, 2.0, 3.0], 3) == "2 ± 2.5"
    assert tables.mean_interval([0.7, 0.7]) == tables.mean_interval([0.7]) == "0.7"
    assert tables.span(np.array([3.14, 0.5])) == "0.5 to 3.1"
    assert tables.bracketed(-0.04, -0.1, 0.02, "+.2f") == "-0.04 [-0.10, +0.02]"
    assert tables.table(["a", "b"], [["1", ""]]) == ["| a | b |", "|---|---|", "| 1 |  |"]


def small():
    """A grid of digits that takes a second."""
    digits = Experiment.from_file(EXPERIMENTS / "digits.toml")
    return replace(
        digits,
        name="small",
        grid=replace(digits.grid, lr=(0.05, 0.1, 0.2), weight_decay=(0.02, 0.05, 0.1)),
        training=replace(digits.training, burn_in=20, steps=60),
        measure=replace(digits.measure, snapshots=20, spacing=3),
    )


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Every form of every claim that a network has."""
    return list(empirics.compare(empirics.run(small(), tmp_path_factory.mktemp("runs") / "small", progress=False)))


@pytest.mark.parametrize(
    ("name", "columns", "first"), [("digits", "FORMS", 0), ("unit", "FORMS", 0), ("remainder", "COLUMNS", 0)]
)
def test_every_form_that_a_table_shows_is_one_that_the_claims_have(script, verdicts, name, columns, first):
    forms = getattr(script(name), columns)
    for claim, words in (one[first : first + 2] for one in forms):
        assert script("tables").find(verdicts, claim, words) is not None, (claim, words, [v.title for v in verdicts])
    if name == "digits":
        assert {script(name).form_of(one) for one in verdicts} == set(forms)


# ----------------------------------------------------------------------------------------- the paper, claim by claim
def test_published_values_at_centres_and_largest_errors_are_what_coefficients_and_grid_give(script):
    paper = script("paper")
    fits = paper.published()["networks"]["fits"]
    assert len(fits) == 8
    for fit in fits:
        found, said = paper.ratios(fit), fit["largest_relative_error"]
        rates, decays = (np.linspace(*axis["log10"], axis["count"]) for axis in fit["grid"].values())
        worst = np.unravel_index(np.abs(found - 1).argmax(), found.shape)
        assert found.mean() == pytest.approx(fit["at_centre"]["value"] / fit["theory"], abs=1e-12)
        assert np.abs(found - 1).max() == pytest.approx(said["value"], abs=1e-12)
        assert (rates[worst[0]], decays[worst[1]]) == pytest.approx(list(said["at"].values()), abs=1e-4)
        assert (found.min(), found.max()) == pytest.approx(
            (fit["over_grid"]["ratio_to_theory_from"], fit["over_grid"]["to"]), abs=1e-6
        )


def test_straight_lines_are_means_over_rows_and_their_interval_is_that_of_the_mean(script):
    paper, rng = script("paper"), np.random.default_rng(3)
    lr, decay = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e-3, 0.1, 6), np.geomspace(1e-3, 1, 5)))
    u, v = np.log(lr), np.log(decay)
    entropy = 50 * (1.4 * u + 0.3 * v + 0.05 * u * v + 0.01 * rng.standard_normal(len(u)))  # d = 101: R = 50
    known = {name: ("run", value) for name, value in {"lr": lr, "weight_decay": decay, "entropy": entropy}.items()}
    runs = xr.Dataset(known | {"status": ("run", ["ok"] * 30)}, attrs={"dimension": 101, "protocol": "fixed-lr"})
    found = paper.straight_lines(Table.of(runs), "fixed-lr")
    by_hand = [np.cov(v[lr == one], entropy[lr == one])[0, 1] / v[lr == one].var(ddof=1) / 50 for one in np.unique(lr)]
    line = found[paper.BY_DECAY]
    assert (line["value"], line["std"], line["rows"]) == pytest.approx((np.mean(by_hand), np.std(by_hand, ddof=1), 6))
    assert line["half"] == pytest.approx(2.5706 * np.std(by_hand, ddof=1) / 6**0.5, rel=1e-4)  # Student's t, 5 degrees
    # A quadratic's slopes, uncentred, would be 1.4 and 0.3; in the middle of the grid they are these.
    assert line["value"] == pytest.approx(0.3 + 0.05 * u.mean(), abs=0.01)
    assert found[paper.DIFFERENCE]["value"] == pytest.approx(1.1 + 0.05 * (v.mean() - u.mean()), abs=0.01)
    cut = runs.isel(run=np.flatnonzero((lr > 2e-3) | (decay > 0.1)))  # two runs are left of one row: no line through it
    assert paper.straight_lines(Table.of(cut), "fixed-lr")[paper.BY_DECAY]["rows"] == 5


def test_commands_on_the_page_on_the_paper_exist(script):
    text = (PAGES / "paper.md").read_text(encoding="utf-8").replace("\n", " ")
    derived = set(re.findall(r"thermo-theory derive ([\w-]+)", text)) - {"NAME"}
    assert len(derived) > 10
    assert derived <= {name for name, _ in registry.registered()}
    files = set(re.findall(r"thermo-theory run (experiments/[\w.-]+)", text))
    assert len(files) >= 8
    for file in files:
        Experiment.from_file(PAGES.parents[1] / file)


def test_runs_of_an_orbit_lie_on_the_predicted_line_about_their_mean(script):
    lr, decay = np.array([0.1, 0.4, 1.6, 0.2, 0.8]), np.array([0.1, 0.025, 0.00625, 0.1, 0.025])
    gas = 50.0  # d = 101
    entropy = gas * (3 * np.log(lr * decay) + np.log(lr / decay) / 2)
    columns = {"lr": lr, "weight_decay": decay, "entropy": entropy, "status": np.array(["ok"] * 5)}
    data = xr.Dataset({name: ("run", values) for name, values in columns.items()}, attrs={"dimension": 101})
    found = script("cifar").orbits(SimpleNamespace(dataset=data, toml='protocol = "fixed-lr"'))
    held, across, measured = found
    np.testing.assert_allclose(held, [0.01, 0.01, 0.01, 0.02, 0.02])
    np.testing.assert_allclose(across[:3], [-np.log(4), 0, np.log(4)], atol=1e-12)
    np.testing.assert_allclose(measured, across, atol=1e-12)


# -------------------------------------------------------------------------------------------- advice, with and without
def planted(tree, path):
    """The same tree with one number a twentieth further from 0, or 0.05 where it is small."""
    copy = json.loads(json.dumps(tree))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += np.copysign(0.05 * max(1, abs(place[path[-1]])), place[path[-1]])
    return copy


def test_every_score_behind_the_page_on_advice_counts(script):
    watched, networks = script("watched"), script("stored").load("watched").more["watched"]

    def shown(of):
        parts = watched.parts({"watched": SimpleNamespace(more={"watched": of})})
        return ["".join(lines) for lines in parts.values()]

    current = shown(networks)
    none = all(row[-1] == "withdrawn" for row in watched.verdicts(networks))
    assert ("none of it is kept as advice" in (PAGES.parent / "probe.md").read_text(encoding="utf-8")) == none
    for name, one in networks.items():
        assert one["scores"].keys() == {
            choice for choice in script("watched_choices").CHOICES if choice in one["scores"]
        }
        others = [("as found", column) for column in one["scores"]["as found"].keys() & watched.SHOWN.keys()]
        for choice, column in [*((choice, "test loss") for choice in one["scores"]), *others]:
            changed = planted(networks, (name, "scores", choice, column, 2))
            assert shown(changed) != current, (name, choice, column)


def test_an_effect_is_the_mean_difference_of_pairs_and_decides_by_its_interval(script):
    watched, choices = script("watched"), script("watched_choices")
    losses = {"as found": [0.5, 0.9, 0.7, 0.3], "twice the steps": [0.4, 0.7, 0.6, 0.1]}
    network = {"scores": {choice: {"test loss": values} for choice, values in losses.items()}}
    ((mean, half),) = watched.effects({"one": network, "other": {"scores": {}}}, "twice the steps", "as found").values()
    assert mean == pytest.approx(-0.15)  # of -0.1, -0.2, -0.1, -0.2, standard deviation 0.05774
    assert half == pytest.approx(3.18245 * 0.057735 / 2, rel=1e-4)
    better, worse, open_ = (-0.2, 0.1), (0.2, 0.1), (-0.1, 0.2)
    assert choices.helps([better, better])
    assert choices.helps([better, better, open_, open_])
    assert not any(
        choices.helps(each) for each in ([better], [better, open_], [better, better, worse], [better, worse])
    )
    assert not choices.helps([better, better, open_, open_, open_])


# ------------------------------------------------------------------------------------------------ edge of stability
def test_the_largest_eigenvalue_by_lanczos_is_that_of_the_matrix(script):
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((3, 40, 40))
    matrices = torch.from_numpy(matrices + matrices.transpose(0, 2, 1))
    start = torch.from_numpy(rng.standard_normal((3, 40)))
    found = script("edge_states").largest(lambda v: torch.einsum("rij,rj->ri", matrices, v), start, 25)
    assert found.numpy() == pytest.approx(np.linalg.eigvalsh(matrices.numpy())[:, -1], rel=1e-3)
