"""Tensors frozen or trained again in mid-training: the history stays, and the windows of the others go on."""

import copy

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from watched import data, network, row

import empirics

LR, DECAY = 0.1, 0.02


class Training:
    """A plain loop that keeps |w|^2 of one tensor at every step."""

    def __init__(self, model, name="0.weight"):
        self.model, self.tensor = model, dict(model.named_parameters())[name]
        self.optimizer = torch.optim.SGD(model.parameters(), lr=LR, weight_decay=DECAY)
        self.watch = empirics.watch(model, self.optimizer, every=4)
        self.generator, self.radius_sq = torch.Generator().manual_seed(1), []

    def go(self, steps):
        for _ in range(steps):
            x, y = data(self.generator)
            self.optimizer.zero_grad()
            cross_entropy(self.model(x), y).backward()
            self.radius_sq.append(float(self.tensor.detach().double().square().sum()))
            self.optimizer.step()
            if self.watch.steps % 10 < 2:
                self.watch.line()  # as a loop that logs

    def freeze(self, *names):
        for name, p in self.model.named_parameters():
            p.requires_grad_(name not in names)
            p.grad = None


def training(steps, model=None):
    torch.manual_seed(0)
    found = Training(network() if model is None else model)
    found.go(steps)
    return found


def rows_of(history, steps=None):
    found = history if steps is None else history[history["step"] <= steps]
    return found.sort_values(["step", "group"]).reset_index(drop=True)


def test_freezing_one_tensor_keeps_the_history_and_the_windows_of_the_others():
    run, plain = training(200), training(200)
    before = run.watch.history
    run.freeze("3.weight")
    run.go(40)
    history, found = run.watch.history, row(run.watch, "0.weight")
    # Finished stretches are the same to the bit; the running one ends at the freezing, or later.
    done = rows_of(plain.watch.history, 180)
    pd.testing.assert_frame_equal(rows_of(history, 180), done)
    assert len(done) > 10
    assert len(before) <= len(history)
    assert history[history["group"] == "3.weight"]["step"].max() <= 200
    assert history[history["group"] == "0.weight"]["step"].max() > 220
    assert "3.weight" not in set(run.watch.frame()["group"])
    # The window goes on across the freezing, and its balance is that of the loop's own accounts.
    first, last = int(found["first"]), int(found["last"])
    assert first < 200 < last == 240
    end = [*run.radius_sq, float(run.tensor.detach().double().square().sum())]
    taken = 2 * LR * DECAY * sum(end[first:last])
    assert found["balance"] == pytest.approx(1 + (end[last] - end[first]) / taken, rel=0.01)


def test_of_blocks_that_are_frozen_in_part_the_rest_is_a_penalty():
    """A matrix and its bias under LayerNorm are one block; the matrix alone is none."""
    run = training(120, nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4)))
    assert row(run.watch, "0.weight + 0.bias")["role"] == "invariant"
    run.freeze("0.bias")
    run.go(60)
    assert row(run.watch, "0.weight")["role"] == "penalty"
    assert {one.name: one.group.role for one in run.watch._watch.watched}["0.weight"] == "penalty"
    assert "0.weight + 0.bias" in set(run.watch.history["group"])


def test_tensors_that_are_trained_again_or_exchanged_are_measured_again():
    run = training(120)
    everything = set(run.watch.frame()["group"])
    run.freeze(*everything)
    for _ in range(10):
        run.optimizer.step()
    assert "every tensor of the optimizer is frozen" in run.watch.line()
    run.freeze("1.bias")
    run.go(60)
    assert set(run.watch.frame()["group"]) == everything - {"1.bias"}
    run.freeze("1.weight")  # as many as before
    run.go(60)
    assert set(run.watch.frame()["group"]) == everything - {"1.weight"}
    assert run.watch.history["step"].min() < 60
    assert row(run.watch, "0.weight")["role"] == "invariant"


def test_a_checkpoint_after_freezing_has_the_whole_history():
    run = training(120)
    run.freeze("3.weight", "3.bias")
    run.go(30)
    model = copy.deepcopy(run.model)
    again = empirics.watch(model, torch.optim.SGD(model.parameters(), lr=LR, weight_decay=DECAY), every=4)
    again.load_state_dict(run.watch.state_dict())
    pd.testing.assert_frame_equal(again.history, run.watch.history)
    assert "3.weight" in set(again.history["group"])
    assert again.warnings() == run.watch.warnings()


def test_a_parameter_group_added_with_pairs_under_way():
    torch.manual_seed(0)
    run = Training(network())
    (group,) = run.optimizer.param_groups
    late = group["params"].pop()
    run.go(60)
    run.optimizer.add_param_group({"params": [late], "lr": 0.01})
    assert "3.bias" not in set(run.watch.frame()["group"])
    run.go(60)
    assert row(run.watch, "3.bias")["lr"] == 0.01
    assert run.watch.history["step"].min() < 60
