"""What the script of the page on CIFAR-10 works out by itself: rows of a grid that are done, slopes, temperatures."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

import empirics
from empirics import Experiment
from empirics.running.shard import ShardTask, run_shard

PAGES = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Import the script, and let it find its experiments elsewhere."""
    monkeypatch.syspath_prepend(str(PAGES))
    before = set(sys.modules)
    module = __import__("cifar")
    monkeypatch.setattr(module, "EXPERIMENTS", tmp_path)
    yield module
    for name in {"cifar", "paper", "tables"} - before:
        sys.modules.pop(name, None)


def small(runs_per_shard=3):
    """A grid of digits with a row of three weight decays a shard, if a shard holds three."""
    digits = Experiment.from_file(PAGES.parents[1] / "experiments" / "digits.toml")
    return dataclasses.replace(
        digits,
        name="small",
        grid=dataclasses.replace(digits.grid, lr=(0.05, 0.1, 0.2), weight_decay=(0.02, 0.05, 0.1)),
        training=dataclasses.replace(digits.training, burn_in=20, steps=60),
        measure=dataclasses.replace(digits.measure, snapshots=20, spacing=3),
        shards=dataclasses.replace(digits.shards, runs_per_shard=runs_per_shard),
    )


def begun(experiment, folder, shards):
    """A folder in which only these shards are done, as a run that was cut off leaves it."""
    (folder.parent / "small.toml").write_text(experiment.to_toml(), encoding="utf-8")
    folder.mkdir()
    (folder / "provenance.json").write_text('{"sessions": []}', encoding="utf-8")
    for index in shards:
        run_shard(ShardTask(experiment, index, folder))


def test_finished_rows_have_the_numbers_of_the_same_rows_run_alone(script, tmp_path):
    experiment = small()
    begun(experiment, tmp_path / "cut-off", [0, 2])
    found = script.finished("small", tmp_path / "cut-off")
    alone = dataclasses.replace(experiment, grid=dataclasses.replace(experiment.grid, lr=(0.05, 0.2)))
    whole = empirics.run(alone, tmp_path / "alone", progress=False)
    assert found.dataset.attrs["dimension"] == whole.dataset.attrs["dimension"]
    for name in ("lr", "weight_decay", "radius_sq", "entropy", "balance"):
        np.testing.assert_array_equal(found.dataset[name].values, whole.dataset[name].values)
    np.testing.assert_array_equal(found.tree["trace"]["loss"], whole.tree["trace"]["loss"])
    assert "the rows lr = 0.1" in next(script.left_out(found))


def test_nothing_is_made_of_nothing_or_of_parts_of_rows(script, tmp_path):
    begun(small(), tmp_path / "empty", [])
    assert script.finished("small", tmp_path / "empty") is None
    begun(small(2), tmp_path / "parts", [1])
    with pytest.raises(ValueError, match="small: a shard must be a row of the grid"):
        script.finished("small", tmp_path / "parts")


def test_slopes_of_a_plane_and_temperatures_of_filters(script, tmp_path):
    runs = empirics.run(small(), tmp_path / "whole", progress=False)
    data = runs.tree["summary"].to_dataset()
    gas = (data.attrs["dimension"] - 1) / 2
    data["entropy"] = gas * (1.4 * np.log(data["lr"]) + 0.2 * np.log(data["weight_decay"]))
    data["status"] = ("run", np.where(np.arange(9) == 3, "diverged", "ok"))
    data["entropy"][3] += 1e4
    runs.tree["summary"].dataset = data
    used = script.judged_on(runs)
    entropy = used.values("entropy") / gas
    assert len(entropy) == 8
    assert script.slope(used, entropy, "lr", [1, 0]).value == pytest.approx(1.4)
    assert script.slope(used, entropy, "lr", [0.5, 0.5]).value == pytest.approx(0.8)
    parts = runs.tree["components"]
    one, filters = script.temperatures(runs)[0], parts["grad_variance"].values[0] / (parts["parameters"].values[0] - 1)
    np.testing.assert_allclose(one / one[0], filters / filters[0])
    assert np.average(one, weights=parts["parameters"].values[0] - 1) == pytest.approx(1)
