"""Isotropic experiments as files and folders: checks, run, resume, status, the command line."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xarray as xr
from gas import SMALL, small

import empirics
from empirics import cli
from empirics.experiment import Experiment, ExperimentError
from empirics.running import shard

SHIPPED = sorted((Path(__file__).parents[3] / "experiments").glob("isotropic-*.toml"))

LONG = (("steps = 4000", "steps = 40000"), ("spacing = 10", "spacing = 100"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_read_and_written(path):
    experiment = Experiment.from_file(path)
    assert experiment.name == path.stem
    assert Experiment.from_toml(experiment.to_toml()) == experiment


REFUSED = [
    (("dimension = 3", "dimension = 1"), "[gas] dimension = 1: must be an integer, 2 or more"),
    (("dimension = 3", "dimension = 3.0"), "[gas] dimension = 3.0"),
    (("dimension = 3", "dimenson = 3"), "unknown key [gas] dimenson; did you mean 'dimension'"),
    (("dimension = 3", "dimension = 3\nsigma = 0"), "[gas] sigma = 0"),
    (("dimension = 3", "dimension = 3\npolar = -1.0"), "[gas] polar = -1.0"),
    (("dimension = 3", "dimension = 3\ndegrees_of_freedom = 2"), "[gas] degrees_of_freedom = 2"),
    (("dimension = 3", "dimension = 3\ninhomogeneity = -0.1"), "[gas] inhomogeneity = -0.1"),
    (('"fixed-sphere"]', '"fixed-spere"]'), "did you mean 'fixed-sphere'"),
    (('"fixed-sphere"]', '"fixed-lr"]'), "must not contain a value twice"),
    (("burn_in = 500", 'burn_in = 500\noptimizer = "adam"'), "[training] optimizer"),
    (("burn_in = 500", 'burn_in = 500\noptimizer = "adamw"'), "at fixed ELR"),
    (("burn_in = 500", "burn_in = 500\nmomentum = 1.0"), "[training] momentum = 1.0"),
    (("burn_in = 500", "burn_in = 500\ninitial_radius = {stationery = 1.0}"), "{stationary = multiples}"),
    (("burn_in = 500", "burn_in = 500\ninitial_radius = 0"), "[training] initial_radius = 0"),
    (("steps = 4000", "steps = 4001"), "[training] steps = 4001: must be [measure] snapshots × spacing = 400 × 10"),
    (("\nlr = [0.02, 0.05]", "\nlr = [0.02, 0.0]"), "[grid] lr"),
    (("\nlr = [0.02, 0.05]", "\nlr = [0.02, -0.05]"), "above 0"),
    (("\nlr = [0.02, 0.05]", ""), "[grid] lr is missing: protocol 'fixed-lr' needs it"),
    (('"fixed-elr", "fixed-sphere"]', '"fixed-elr"]'), "[grid] radius: must be left out"),
    (("snapshots = 400", "snapshots = 4"), "[measure] snapshots = 4"),
    (("snapshots = 400", "snapshots = 400\nblocks = 30"), "[measure] blocks = 30"),
    (('kind = "isotropic"', 'kind = "istropic"'), "did you mean 'isotropic'"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_wrong_is_refused_and_named(change, message):
    with pytest.raises(ExperimentError) as refusal:
        small(change)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_infinite_degrees_of_freedom_survive_the_file():
    assert small().gas.degrees_of_freedom == math.inf
    assert Experiment.from_toml(small().to_toml()) == small()


def same_numbers(one, other):
    for group in ("summary", "trace", "blocks"):
        xr.testing.assert_identical(one.tree[group].to_dataset(), other.tree[group].to_dataset())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return empirics.run(small(*LONG), tmp_path_factory.mktemp("gas") / "whole", progress=False)


def test_files_and_memory_agree(whole):
    same_numbers(whole, empirics.isotropic.simulate_experiment(small(*LONG)))
    assert whole.provenance["sessions"][0]["versions"]["numba"]
    assert "data" not in whole.provenance


def test_interrupted_and_resumed_to_the_same_bits(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(shard, "NEWS_EVERY", 0.0)
    experiment = small(*LONG)
    task = shard.ShardTask(experiment, 0, tmp_path / "run", checkpoint_seconds=0.0)
    stops = [3000, 15_000, 30_000]

    def interrupt(step):
        if stops and step >= stops[0]:
            stops.pop(0)
            task.stop.touch()

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.toml").write_text(experiment.to_toml(), encoding="utf-8")
    for _ in range(3):
        with pytest.raises(shard.ShardStopped):
            shard.run_shard(task, interrupt)
        task.stop.unlink()
        assert 0 < task.steps_done() < experiment.total_steps
    told = str(empirics.status(tmp_path / "run"))
    assert "not running (resume continues it)" in told
    same_numbers(whole, empirics.resume(tmp_path / "run", progress=False))


def test_a_pool_gives_the_same_bits(tmp_path, whole):
    with ThreadPoolExecutor(2) as pool:
        same_numbers(whole, empirics.run(small(*LONG), tmp_path / "pool", executor=pool, progress=False))


def test_a_device_that_it_cannot_use(tmp_path):
    with pytest.raises(ExperimentError, match="the isotropic gas runs on 'cpu'"):
        empirics.run(small(), tmp_path / "run", device="cuda", progress=False)
    assert not (tmp_path / "run").exists()


def test_command_line(tmp_path, capsys):
    path = tmp_path / "gas.toml"
    path.write_text(SMALL, encoding="utf-8")
    assert cli.main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "16 runs" in capsys.readouterr().err
    assert cli.main(["status", str(tmp_path / "out")]) == 0
    assert "finished, 16 runs" in capsys.readouterr().out
    assert cli.main(["resume", str(tmp_path / "out")]) == 0
    path.write_text(SMALL.replace("dimension = 3", "dimension = 1"), encoding="utf-8")
    assert cli.main(["run", str(path), "--out", str(tmp_path / "other")]) == 2
    assert "[gas] dimension = 1" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_folder_with_another_kind_is_refused(tmp_path, whole):
    with pytest.raises(ExperimentError, match="holds another experiment"):
        empirics.run(small(("dimension = 3", "dimension = 4")), whole.path, progress=False)
