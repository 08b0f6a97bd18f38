"""Numbers of the probe against gradients made by hand, of which everything is known."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from watched import row

import empirics
from empirics.probe.record import together
from empirics.probe.words import line


class Bare(nn.Module):
    """Weights without a loss; rows of norm `radius` or, if `rows` is false, tensors of that norm."""

    def __init__(self, *shapes, radius=1.0, rows=False):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.rows = rows
        self.weights = nn.ParameterList(torch.randn(shape, generator=random) for shape in shapes)
        with torch.no_grad():
            for w, r in zip(self.weights, np.broadcast_to(radius, len(shapes)), strict=True):
                w.mul_(float(r) / self.norms(w))

    def norms(self, w):
        return w.norm(dim=-1, keepdim=True) if self.rows else w.norm()

    @torch.no_grad()
    def backward(self, random, size=1.0):
        """Gradients of pure noise, of variance `size`² per direction at unit norm, at right angles to the weights."""
        for w in filter(lambda w: w.requires_grad, self.weights):
            unit, x = w / self.norms(w), torch.randn(w.shape, generator=random)
            along = (x * unit).sum(-1, keepdim=True) if self.rows else (x * unit).sum()
            w.grad = size * (x - along * unit) / self.norms(w)


def go(model, optimizer, watch, steps, size=lambda step: 1.0, loss=lambda step: None, seed=1):
    """Train; returns |w|² of the first tensor before every step and at the end."""
    random, squares = torch.Generator().manual_seed(seed), []
    for step in range(steps):
        squares.append(float(model.weights[0].detach().double().square().sum()))
        model.backward(random, size(step))
        if (value := loss(step)) is not None:
            watch.step(value)
        optimizer.step()
    return np.array([*squares, float(model.weights[0].detach().double().square().sum())])


def watched(*shapes, lr=1e-4, wd=0.02, every=2, kind=torch.optim.SGD, **settings):
    model = Bare(*shapes, **settings)
    optimizer = kind(model.parameters(), lr=lr, weight_decay=wd)
    return model, optimizer, empirics.watch(model, optimizer, every=every)


def test_the_noise_is_that_of_each_direction_of_which_there_are_d_less_one():
    model, optimizer, watch = watched((40, 3), lr=1e-6, rows=True, radius=2.0)
    go(model, optimizer, watch, 200)
    assert row(watch, "weights.0")["temperature"] == pytest.approx(1e-6 / 2 / 4, rel=0.1)


def test_volumes_of_rows_add():
    model, optimizer, watch = watched((5, 7), rows=True, radius=3.0)
    go(model, optimizer, watch, 60)
    found = row(watch, "weights.0")
    assert found["blocks"] == 5
    assert found["volume"] == pytest.approx(5 * 9 / 2, rel=1e-3)


class Signs(torch.optim.Optimizer):
    """Steps of one length, whatever the gradient."""

    def __init__(self, parameters, lr, weight_decay):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad.sign())


class Almost(torch.optim.SGD):
    """SGD of which every step is 3 % too long."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(1.03 * group["lr"] * (p.grad + group["weight_decay"] * p))


def test_steps_of_one_length_relax_at_half_the_rate_of_those_that_go_with_the_gradient():
    model, optimizer, watch = watched((1, 60), lr=1e-3, wd=0.5, radius=0.3, kind=Signs)
    go(model, optimizer, watch, 120)
    found = row(watch, "weights.0")
    assert found["scale_invariant"]
    assert found["relaxation_steps"] == pytest.approx(1 / (2 * 1e-3 * 0.5))


def test_a_rule_whose_steps_are_a_few_percent_longer_is_not_known():
    model, optimizer, watch = watched((1, 60), lr=0.1, kind=Almost)
    go(model, optimizer, watch, 60)
    assert np.isnan(row(watch, "weights.0")["temperature"])
    assert "the steps of Almost are not those of SGD" in "\n".join(watch.warnings())


def test_the_share_of_a_norm_that_falls_fast_is_that_of_now():
    stationary = (0.1 * 199 / (2 * 0.1)) ** 0.25
    model, optimizer, watch = watched((1, 200), lr=0.1, wd=0.1, radius=2.5 * stationary)
    squares = go(model, optimizer, watch, 70)
    share = stationary**2 / squares[-1]
    assert share > 1.5 * stationary**2 / squares[40]  # in the middle of the window
    assert row(watch, "weights.0")["equilibrium_share"] == pytest.approx(share, rel=0.1)


def test_the_rotation_is_that_of_the_window_over_the_stationary_one_at_its_own_rate():
    stationary = (0.05 * 199 / (2 * 0.02)) ** 0.25
    model, optimizer, watch = watched((1, 200), lr=0.05, radius=stationary)
    go(model, optimizer, watch, 300)
    before = watch.summary()["thermo/rotation_matrix"]
    optimizer.param_groups[0]["lr"] *= 4
    go(model, optimizer, watch, 1, seed=2)
    assert before == pytest.approx(1, abs=0.1)
    assert watch.summary()["thermo/rotation_matrix"] == pytest.approx(before, abs=0.05)


def test_weight_decay_alone_turns_nothing():
    model, optimizer, watch = watched((1, 100), lr=0.1, wd=0.1)
    squares = go(model, optimizer, watch, 60, size=lambda step: 1e-3)
    found = row(watch, "weights.0")
    angles = 0.1 * 1e-3 * 99**0.5 / squares[int(found["first"]) : -1]
    assert found["angular_update"] == pytest.approx(np.mean(angles**2) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("radius", "decay"), [(1.0, 0.02), (30.0, 0.1)])
def test_the_balance_of_a_norm_that_changes_between_measurements_and_since_the_last(radius, decay):
    model, optimizer, watch = watched((1, 200), lr=0.05, wd=decay, radius=radius, every=30)
    squares = go(model, optimizer, watch, 420)
    found = row(watch, "weights.0")
    first, last = int(found["first"]), int(found["last"])
    assert last == 420
    taken = 2 * 0.05 * decay * squares[first:last].sum()
    assert found["balance"] == pytest.approx(1 + (squares[last] - squares[first]) / taken, rel=0.03, abs=0.02)


def test_a_gradient_that_is_large_at_every_tenth_step_is_seen_at_all_phases():
    model, optimizer, watch = watched((1, 100), lr=1e-7, every=10)
    go(model, optimizer, watch, 1200, size=lambda step: 10.0 if step % 10 == 3 else 1.0)
    mean = (9 * 1 + 100) / 10
    assert mean / 3 < row(watch, "weights.0")["grad_norm"] ** 2 / 99 < 3 * mean


def test_losses_of_some_steps_are_those_of_these_steps_and_the_first_half_of_a_stage_is_left_out():
    model, optimizer, watch = watched((1, 50), radius=1.0)

    def stage(value):
        return lambda step: 9.0 if step < 90 else value if step % 5 == 0 else None

    go(model, optimizer, watch, 300, loss=stage(1.0))
    optimizer.param_groups[0]["lr"] *= 2
    go(model, optimizer, watch, 300, loss=stage(3.0))
    found = watch.readings()
    assert found["lr"].tolist() == [1e-4, 2e-4]
    assert found["loss"].tolist() == [1.0, 3.0]
    assert (found["step"] > [120, 420]).all()


def test_the_temperature_of_a_reading_weighs_directions():
    model, optimizer, watch = watched((1, 24), (1, 480), radius=(1.0, 3.0))
    go(model, optimizer, watch, 300)
    (found,) = watch.readings()["temperature"]
    assert found == pytest.approx(1e-4 / 2 * (23 + 479 / 9) / 502, rel=0.1)


def test_after_freezing_a_tensor_the_noise_of_others_is_not_taken_from_its_halves():
    model, optimizer, watch = watched((1, 24), (1, 480))
    go(model, optimizer, watch, 60)
    halves = [[torch.randn(w.shape) for w in model.weights] for _ in range(2)]
    watch.halves(*halves)
    assert watch.frame().attrs["noise"] == "halves"
    model.weights[0].requires_grad_(False)
    model.weights[0].grad = None
    go(model, optimizer, watch, 10)
    assert watch.frame().attrs["noise"] == "consecutive steps"


def test_stretches_count_by_their_measured_pairs():
    model, optimizer, watch = watched((1, 24))
    go(model, optimizer, watch, 200)
    one = watch._watch.watched[0].stretches[0]
    other = dataclasses.replace(one, pairs=3 * one.pairs, grad_sq=5 * one.grad_sq, along=one.along + 8)
    found = together([one, other])
    assert found.grad_sq == pytest.approx(4 * one.grad_sq)
    assert found.along == pytest.approx(one.along + 6)


def test_the_line_names_the_tensor_with_the_smallest_share():
    model, optimizer, watch = watched((1, 24), radius=5.0)
    go(model, optimizer, watch, 60)
    (one,) = watch._rows()
    shares = {"layer1": 0.9, "layer2": 0.3, "layer3": 0.6}
    rows = [dataclasses.replace(one, group=name, equilibrium_share=share, rises=True) for name, share in shares.items()]
    assert "layer2 at 30 % of its stationary value" in line(60, 1.0, rows)
