"""Snapshots that stream to disk, and grids that do not fit."""

import numpy as np
import pytest
import torch
import xarray as xr
from test_networks import NETWORKS, experiment
from tiny import tiny

import empirics
from empirics import cli
from empirics.data.loading import load
from empirics.experiment import ExperimentError
from empirics.running.checkpoint import Checkpoints
from empirics.training import ensemble as ensemble_module
from empirics.training import memory
from empirics.training.ensemble import Ensemble

SNAPSHOT = 4 * 325  # bytes of one run's weights in the tiny experiment


def same_numbers(a, b):
    for group in ("summary", "trace", "blocks", "components", "snapshots"):
        xr.testing.assert_identical(a.tree[group].to_dataset(), b.tree[group].to_dataset())


def test_streaming_does_not_touch_the_numbers(tmp_path, monkeypatch):
    grid = tiny(("spacing = 4", "spacing = 4\nkeep_snapshots = true"))
    held = empirics.run(grid, tmp_path / "held", progress=False)
    monkeypatch.setattr(ensemble_module, "HELD_SNAPSHOTS", 3 * 4 * SNAPSHOT)  # three of a shard of four runs
    assert Ensemble(grid, grid.runs[:4], load(grid.data)).held == 3
    same_numbers(empirics.run(grid, tmp_path / "streamed", progress=False), held)


def test_a_streamed_run_resumes_to_the_same_bits_and_reads_one_run_alone(tmp_path, monkeypatch):
    grid = tiny()
    whole = Ensemble(grid, grid.runs, load(grid.data))
    expected = whole.start()
    for _ in range(grid.total_steps):
        whole.advance(expected)
    monkeypatch.setattr(ensemble_module, "HELD_SNAPSHOTS", 6 * 7 * SNAPSHOT)

    def fresh():
        store = Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing)
        return store, store.restore(whole)

    store, state = fresh()
    sizes = []
    while state.step < grid.total_steps:
        whole.advance(state)
        if whole.full(state) or state.step == 45:
            store.save(state)
            sizes.append(state.snapshots.shape[0])
        if state.step == 100:  # killed: what was not saved is done again
            store, state = fresh()
            assert state.step < 100
            break
    while state.step < grid.total_steps:
        whole.advance(state)
        if whole.full(state):
            store.save(state)
    store.save(state)
    assert set(sizes) == {7}
    for run in (0, 5):
        np.testing.assert_array_equal(state.of_run(run), expected.snapshots[:, run].numpy())
    assert torch.equal(state.pairs.nan_to_num(-9), expected.pairs.nan_to_num(-9))


def test_a_damaged_segment_is_noticed_when_streaming(tmp_path, monkeypatch):
    grid = tiny()
    monkeypatch.setattr(ensemble_module, "HELD_SNAPSHOTS", 6 * 7 * SNAPSHOT)
    whole = Ensemble(grid, grid.runs, load(grid.data))
    store = Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing)
    state = store.restore(whole)
    for _ in range(100):
        whole.advance(state)
        if whole.full(state):
            store.save(state)
    newest = max(tmp_path.glob("snapshots-*.npz"))
    newest.write_bytes(newest.read_bytes()[:-1])
    again = Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing).restore(whole)
    assert 0 < again.step < state.step - 20


def test_a_run_resumes_where_there_is_room_for_more_snapshots_or_fewer(tmp_path, monkeypatch):
    grid = tiny()
    whole = Ensemble(grid, grid.runs, load(grid.data))
    expected = whole.start()
    for _ in range(grid.total_steps):
        whole.advance(expected)
    streamed = []
    for room, until in ((2**28, 60), (6 * 7 * SNAPSHOT, 110), (2**28, 150), (6 * 5 * SNAPSHOT, grid.total_steps)):
        monkeypatch.setattr(ensemble_module, "HELD_SNAPSHOTS", room)
        store = Checkpoints(tmp_path, grid.training.burn_in, grid.measure.spacing)
        state = store.restore(whole)
        streamed.append((state.step, state.streams))
        while state.step < until:
            whole.advance(state)
            if whole.full(state):
                store.save(state)
        store.save(state)
    assert streamed == [(0, False), (60, True), (110, False), (150, True)]
    for run in (0, 5):
        np.testing.assert_array_equal(state.of_run(run), expected.snapshots[:, run].numpy())
    assert torch.equal(state.pairs.nan_to_num(-9), expected.pairs.nan_to_num(-9))


@pytest.mark.parametrize("network", ["mlp, BatchNorm", "convnet", "transformer"])
def test_a_grid_too_large_is_refused_with_the_size_that_fits(network, tmp_path, monkeypatch):
    grid = experiment(network)
    one = Ensemble(grid, grid.runs[:1], load(grid.data))
    room = memory.needed(grid, one, 2)
    monkeypatch.setattr(memory, "free", lambda device: room / 0.9)
    with pytest.raises(ExperimentError, match=r"runs_per_shard = 3: 3 runs together .* must be at most 2") as caught:
        empirics.run(grid, tmp_path / "out", progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_refusal_is_a_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    monkeypatch.setattr(memory, "free", lambda device: 100_000)  # enough for one minibatch, not for the data
    assert cli.main(["run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "not even one fits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_estimate_grows_with_what_it_counts():
    grid = experiment("resnet18")
    one = Ensemble(grid, grid.runs[:1], load(grid.data))
    first, second, third = (memory.needed(grid, one, runs) for runs in (1, 2, 3))
    assert second - first == third - second
    activations = 24 * 2 * 64 * 8  # one layer of the first stage: images, channels, pixels, bytes
    assert 20 * activations < second - first < 200 * activations
    assert memory.free("cpu") > 2**20


def test_every_network_is_estimated():
    for network in NETWORKS:
        grid = experiment(network)
        assert memory.needed(grid, Ensemble(grid, grid.runs[:1], load(grid.data)), 1) > 0
