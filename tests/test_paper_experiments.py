"""The paper's experiments have its networks and grids: those of docs/results/summaries/paper.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from empirics.data.dataset import Dataset
from empirics.experiment import Experiment
from empirics.models.registry import MODELS

ROOT = Path(__file__).parents[1]
PAPER = json.loads((ROOT / "docs" / "results" / "summaries" / "paper.json").read_text())["networks"]
FITS = [fit for fit in PAPER["fits"] if fit["data"] == "CIFAR-10"]


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: f"{fit['network']}, {fit['protocol']}")
def test_as_published(fit):
    name = {"ResNet-18": "paper-resnet18", "ConvNet": "paper-convnet"}[fit["network"]]
    name += {"fixed-lr": "", "fixed-elr": "-elr"}[fit["protocol"]]
    experiment = Experiment.from_file(ROOT / "experiments" / f"{name}.toml")
    common = (experiment.training.batch_size, experiment.total_steps, experiment.model.head_norm)
    assert common == tuple(PAPER["common"][key] for key in ("batch_size", "iterations", "last_layer_norm"))
    assert (experiment.measure.snapshots, experiment.measure.spacing) == (4_000, 25)
    assert (experiment.training.protocol, len(experiment.runs)) == (fit["protocol"], fit["runs"])
    for axis, rates in fit["grid"].items():
        np.testing.assert_allclose(getattr(experiment.grid, axis), np.logspace(*rates["log10"], rates["count"]))
    images = Dataset("images", np.zeros((1, 3 * 32 * 32)), np.zeros(1, dtype=int), 10, (3, 32, 32))
    assert MODELS.get(experiment.model.name).of(experiment.model, images).dimension == fit["dimension"]
