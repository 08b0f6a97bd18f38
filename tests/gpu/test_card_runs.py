"""Whole runs on the pretended card: results, checkpoints that go from one device to the other, streamed snapshots."""

import gc

import numpy as np
import pytest
import torch
from configurations import ALL, configuration, contents, differences, ensemble, steps, trained

import empirics
from empirics.data.loading import load
from empirics.running.checkpoint import Checkpoints
from empirics.training import memory, sampling
from empirics.training.ensemble import Ensemble
from empirics.training.summary import ENTROPIES

pytestmark = pytest.mark.usefixtures("one_thread")


#: Measured from snapshots on the card, by another program than the one for CPUs.
MEASURED_THERE = {*ENTROPIES, "entropy", "entropy_lengths"} - {"path_entropy", "neighbour_lag"}


def same_results(found, expected):
    assert found.dataset.keys() == expected.dataset.keys()
    for name in expected.dataset:
        if name in MEASURED_THERE:
            np.testing.assert_allclose(found.dataset[name], expected.dataset[name], rtol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(found.dataset[name], expected.dataset[name], err_msg=name)


def test_results_of_a_run_on_the_card_are_those_of_the_cpu(tmp_path, card):
    experiment = configuration(**ALL["convnet"], measure="keep_snapshots = true")
    expected = empirics.run(experiment, tmp_path / "cpu", progress=False)
    found = empirics.run(experiment, tmp_path / "card", device="cuda", progress=False)
    same_results(found, expected)
    assert found.provenance["sessions"][-1]["machine"]["device"] == "cuda"


@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")], ids=" then ".join)
def test_a_run_killed_on_one_device_is_resumed_on_another(devices, tmp_path, card, monkeypatch):
    experiment = configuration(**ALL["convnet"])
    expected = empirics.run(experiment, tmp_path / "whole", progress=False)
    advance = Ensemble.advance

    def until_ten(self, state):
        if state.step == 10:
            raise RuntimeError("killed")
        advance(self, state)

    monkeypatch.setattr(Ensemble, "advance", until_ten)
    with pytest.raises(RuntimeError, match="killed"):
        empirics.run(experiment, tmp_path / "run", device=devices[0], progress=False, checkpoint_seconds=0)
    monkeypatch.setattr(Ensemble, "advance", advance)
    assert list((tmp_path / "run").glob("shards/000/checkpoints/checkpoint-000000000010.npz"))
    same_results(empirics.resume(tmp_path / "run", device=devices[1], progress=False), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "lamb"])
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")], ids=" then ".join)
def test_a_checkpoint_holds_the_optimiser_on_either_device(devices, optimizer, tmp_path, card):
    experiment = configuration(optimizer=optimizer, training="isotropic_noise = 0.5")
    checkpoints = Checkpoints(tmp_path, experiment.training.burn_in, experiment.measure.spacing)
    first = ensemble(experiment, devices[0])
    state = first.start()
    for _ in steps(first, state, 7):
        pass
    checkpoints.save(state)
    second = ensemble(experiment, devices[1])
    restored = checkpoints.restore(second)
    assert {t.device.type for t in (restored.flat, restored.total, *restored.optimizer.values())} == {devices[1]}
    for _ in steps(second, restored):
        pass
    assert differences(contents(restored), trained(experiment, "cpu")) == []


def test_snapshots_streamed_from_the_card_are_those_that_were_held(tmp_path, card, monkeypatch):
    experiment = configuration(**ALL["convnet"], measure="keep_snapshots = true")
    expected = empirics.run(experiment, tmp_path / "held", progress=False)
    monkeypatch.setattr("empirics.training.ensemble.held_snapshots", lambda device: 1)
    made = ensemble(experiment, "cuda")
    assert made.start().streams
    assert made.held == 1
    same_results(empirics.run(experiment, tmp_path / "streamed", device="cuda", progress=False), expected)


LARGER = {
    "sgd": {"model": 'name = "mlp"\nhidden = [256, 128]'},
    "adamw": {"model": 'name = "mlp"\nhidden = [256, 128]', "optimizer": "adamw"},
    "halves": {"model": 'name = "mlp"\nhidden = [256, 128]', "training": "halves = true"},
    "RMSNorm": {"model": 'name = "mlp"\nhidden = [256, 128]\nnorm = "rms"'},
    "convnet": {"model": 'name = "convnet"\nwidth = 8', "data": 'name = "digits-images"'},
    "resnet18": {"model": 'name = "resnet18"\nwidth = 4', "data": 'name = "digits-images"'},
}


@pytest.mark.parametrize("name", LARGER)
def test_predicted_memory_is_that_of_the_tensors_on_the_card(name, card):
    """What is predicted to fit fits (the prediction may use 90 % of the memory), and is not refused far too early.

    Drawing random numbers, once in many steps, takes ten tensors of as many numbers as are drawn together: that much is
    small on any card, and not part of the prediction.
    """
    gc.collect()
    experiment = configuration(**LARGER[name])
    one = Ensemble(experiment, experiment.runs[:1], load(experiment.data))
    before = card.held
    made = ensemble(experiment, "cuda")
    state = made.start()
    card.clear()
    for _ in steps(made, state, 4):
        pass
    peak, needed = card.peak - before, memory.needed(experiment, one, 2)
    assert memory.USABLE * peak < needed + 10 * 8 * sampling.TOGETHER
    assert needed < 1.5 * peak
    assert memory.free("cuda") == torch.cuda.mem_get_info()[0] < torch.cuda.mem_get_info()[1]
