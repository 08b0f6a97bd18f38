"""`make gpu-check` on the pretended card: its parts run by a CUDA device's rules, and reach the CPU's bits."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_check, resnet18

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def replayed(monkeypatch):
    """The pretended card records no graph: it calls the step that would be replayed."""
    monkeypatch.setattr("empirics.training.repeated._Recorded", lambda function: function)


@torch.no_grad()
def test_what_is_compared_with_the_cpu_is_the_same(card, monkeypatch):
    monkeypatch.setattr("empirics.models.MODELS", SimpleNamespace(names=("mlp", "convnet")))
    assert gpu_check.bits("cuda")["passes"]
    assert set(gpu_check.rounding("cuda")["relative differences"].values()) == {0.0}
    found = gpu_check.law("cuda", 20)
    assert found["passes"]


@torch.no_grad()
def test_steps_are_timed_beside_a_plain_loop(card, monkeypatch):
    monkeypatch.setattr("benchmarks.card.launches", lambda work, device: work())  # kernels: a real card's profiler
    monkeypatch.setattr(resnet18, "WIDTH", 2)
    found = gpu_check.steps("cuda", quick=True)
    assert found["passes"]
    assert {"float32", "TF32", "bfloat16", "memory"} == set(found["peaks"])
    for row in found["rows"].values():
        assert row["bytes per second"] > 0
        assert row["memory"] > 0
        assert row["ratio"] > 0


@torch.no_grad()
def test_graphs_are_compared_and_timed(card, monkeypatch):
    monkeypatch.setattr("empirics.models.MODELS", SimpleNamespace(names=("mlp",)))
    monkeypatch.setattr(resnet18, "WIDTH", 2)
    found = gpu_check.graphs("cuda", quick=True)
    assert found["relative differences"] == {"mlp": 0.0}
    assert min(found["seconds per step"].values()) > 0
