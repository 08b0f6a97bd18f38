"""The loop: no waiting for the device, runs that do not touch each other, every device there is."""

import numpy as np
import pytest
import torch
from test_networks import NETWORKS, experiment

import empirics
from empirics.data.loading import load
from empirics.training import philox
from empirics.training.ensemble import Ensemble
from empirics.training.record import SnapshotColumn, Sum

WAITS = ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("network", NETWORKS)
def test_no_step_waits_for_the_device(network, monkeypatch):
    """Snapshots and marks included: whatever brings a number to the host is made to fail."""
    grid = experiment(network, "fixed-sphere", "adamw", dtype="float32")
    ensemble = Ensemble(grid, grid.runs, load(grid.data))
    # The compiled gradient and the compiled random numbers are for CPUs alone, and read their memory as numpy's.
    ensemble.model.compiled = False
    monkeypatch.setattr(philox, "_compiled", lambda: None)
    state = ensemble.start()

    def waited(*_):
        raise AssertionError("the loop waited for the device")

    with monkeypatch.context() as patched:
        for name in WAITS:
            patched.setattr(torch.Tensor, name, waited)
        with pytest.raises(AssertionError, match="waited"):
            bool(state.total.sum())
        for _ in range(grid.total_steps):
            ensemble.advance(state)
    assert torch.isfinite(state.pairs[:, : SnapshotColumn.LAPLACIAN]).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_diverging_run_touches_no_other(network):
    grid = experiment(network, dtype="float32")
    whole = Ensemble(grid, grid.runs, load(grid.data))
    spoiled, sound = whole.start(), whole.start()
    for w in spoiled.weights:
        w[2] = torch.nan
    for _ in range(6):
        whole.advance(spoiled)
        whole.advance(sound)
    whole.flush(spoiled)
    whole.flush(sound)
    others = [0, 1, 3, 4, 5]
    for bad, good in zip(spoiled.weights, sound.weights, strict=True):
        assert torch.isnan(bad[2]).all()
        assert torch.equal(bad[others], good[others])
    assert torch.equal(spoiled.total[:, others], sound.total[:, others])
    assert spoiled.total[Sum.FINITE].tolist() == [6, 6, 0, 6, 6, 6]


def devices():
    missing = pytest.mark.skip(reason="no CUDA device here: what needs one is not tested")
    return ["cpu", pytest.param("cuda", marks=() if torch.cuda.is_available() else missing)]


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("network", NETWORKS)
def test_a_grid_through_run_on_every_device(network, device, tmp_path):
    grid = experiment(network)
    found = empirics.run(grid, tmp_path / "here", device=device, progress=False)
    reference = Ensemble(grid, grid.runs, load(grid.data))
    state = reference.start()
    for _ in range(grid.total_steps):
        reference.advance(state)
    loss = (state.marks[-1, Sum.LOSS] - state.marks[np.searchsorted(sorted(reference._mark_of), 4), Sum.LOSS]) / 16
    np.testing.assert_allclose(found.dataset["loss"], loss, rtol=1e-6)
    assert found.provenance["sessions"][-1]["machine"]["device"] == device


@pytest.mark.parametrize("device", devices()[1:])
def test_cuda_does_not_wait_either(device):
    grid = experiment("convnet", dtype="float32")
    ensemble = Ensemble(grid, grid.runs, load(grid.data), device)
    state = ensemble.start()
    ensemble.advance(state)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(grid.total_steps - 1):
            ensemble.advance(state)
    finally:
        torch.cuda.set_sync_debug_mode("default")
