"""The experiments of networks that are shipped: read, written back, and the networks of a file of ours made."""

from pathlib import Path

import pytest

from empirics import Experiment
from empirics.data.loading import load
from empirics.models.own import OwnModel

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(
    path for path in (ROOT / "experiments").glob("*.toml") if not path.name.startswith(("isotropic", "control"))
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_read_and_written(path):
    found = Experiment.from_file(path)
    assert found.name == path.stem
    again = Experiment.from_toml(found.to_toml())
    assert again.difference(found) is None
    assert [str(run) for run in again.runs] == [str(run) for run in found.runs]


@pytest.mark.parametrize(("name", "rest"), [("none", 0), ("biases", 10), ("affine-0.1", 64), ("head-1", 160)])
def test_what_is_trained_beside_the_matrices_is_what_is_not_scale_invariant(name, rest, monkeypatch):
    monkeypatch.chdir(ROOT)
    experiment = Experiment.from_file(ROOT / "experiments" / f"remainder-{name}.toml")
    blocks = OwnModel.of(experiment.model, load(experiment.data)).blocks
    assert sum(block.size for block in blocks if block.scale_invariant) == 1232
    assert sum(block.size for block in blocks if not block.scale_invariant) == rest
