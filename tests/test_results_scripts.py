"""What the scripts of the result pages compute by themselves, against the engine and the schedulers."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from empirics import Experiment
from empirics.data.loading import load
from empirics.models.base import views
from empirics.models.registry import MODELS
from empirics.steering import Cooldown, EntropyRate
from empirics.training.sampling import frozen_generator
from empirics.training.schedule import Schedule

PAGES = Path(__file__).parents[1] / "docs" / "results"
EXPERIMENTS = PAGES.parents[1] / "experiments"


@pytest.fixture
def script(monkeypatch):
    """Import a script of docs/results by name."""
    monkeypatch.syspath_prepend(str(PAGES))
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
