"""Numbers of the probe against gradients made by hand, of which everything is known."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from watched import row

import empirics
from empirics.probe import watched as windows
from empirics.probe.record import together
from empirics.probe.row import Measured, rows_of


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


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_the_state_of_rows_of_different_norms(kind):
    """Every row has d - 1 = 2 directions and sigma = 1: |g|^2 = 2/r^2, 2/(3 r^2) a weight, in SGD's units of lr."""
    model, optimizer, watch = watched((40, 3), lr=1e-7, rows=True, kind=kind)
    squares = np.repeat([1.0, 16.0], 20)
    with torch.no_grad():
        model.weights[0].mul_(torch.as_tensor(squares, dtype=torch.float32).sqrt()[:, None])
    go(model, optimizer, watch, 200)
    rates = 1e-7 / squares * (1 if kind is torch.optim.SGD else (2 / 3 / squares) ** -0.5)
    found = row(watch, "weights.0")
    assert (found["blocks"], found["norm"]) == (40, pytest.approx(squares.sum() ** 0.5, rel=1e-3))
    assert found["grad_norm"] == pytest.approx((2 / squares).sum() ** 0.5, rel=0.1)
    assert found["effective_lr"] == pytest.approx((rates * squares).sum() / squares.sum(), rel=0.1)
    assert found["temperature"] == pytest.approx(rates.mean() / 2, rel=0.12)
    if kind is torch.optim.SGD:  # R = 1 for every row
        assert found["volume"] == pytest.approx(squares.sum() / 2, rel=1e-3)
        assert found["pressure"] == pytest.approx(0.02, rel=1e-3)
        assert found["pv_over_rt"] == pytest.approx(0.02 * squares.sum() / 2 / (rates.sum() / 2), rel=0.12)
        sigma, d = watch.noise()
        assert (d, found["effective_lr"] / 2 * sigma**2) == (3, pytest.approx(found["temperature"]))


def test_the_cosine_of_weights_and_gradients():
    model, optimizer, watch = watched((1, 60), lr=1e-6, radius=2.0)
    random = torch.Generator().manual_seed(1)
    for _ in range(200):
        model.backward(random)
        model.weights[0].grad.add_(model.weights[0].detach(), alpha=0.5)  # |w|/2 = 1 along w, sqrt(59)/2 across
        optimizer.step()
    assert row(watch, "weights.0")["radial"] == pytest.approx((1 + 59 / 4) ** -0.5, rel=0.1)


@pytest.mark.parametrize(("scatter", "penalty"), [(0.015, True), (0.03, False)])
def test_an_l2_penalty_is_the_same_at_every_step(scatter, penalty):
    model, optimizer, watch = watched((1, 60), lr=1e-6)
    random = torch.Generator().manual_seed(1)
    for step in range(60):
        model.backward(random)
        model.weights[0].grad.add_(model.weights[0].detach(), alpha=0.5 * (1 + scatter * (-1) ** (step // 2)))
        optimizer.step()
    assert any("contains an L2 penalty" in words for words in watch.warnings()) == penalty


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


@pytest.mark.parametrize(("radius", "share"), [(2.5, 1), (80.0, 0)])
def test_the_share_of_a_rule_that_is_not_known_is_that_of_its_rotation(radius, share):
    """Steps of one length, lr sqrt(d), turn w by 1/r: r* is (lr d/(2 wd))^(1/2). A balance under 1 % counts as 0."""
    model, optimizer, watch = watched((1, 4000), lr=1e-3, wd=10.0, radius=radius, kind=Signs)
    squares = go(model, optimizer, watch, 120)
    found = row(watch, "weights.0")
    assert found["equilibrium_share"] == pytest.approx(share * (1e-3 * 4000 / 20 / squares[-1]) ** 0.5, rel=0.1)
    assert any("weights.0: not in equilibrium" in words for words in watch.warnings())
    optimizer.param_groups[0]["lr"] *= 4
    go(model, optimizer, watch, 1, seed=2)
    if share:  # the stationary angle goes as sqrt(lr wd)
        later = row(watch, "weights.0")["angular_equilibrium"]
        assert later == pytest.approx(2 * found["angular_equilibrium"], rel=0.2)


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


def test_the_temperature_of_a_norm_that_falls_fast_is_that_of_now():
    model, optimizer, watch = watched((1, 4000), lr=0.1, wd=0.2, radius=1000.0)
    squares = go(model, optimizer, watch, 70)
    assert row(watch, "weights.0")["temperature"] == pytest.approx(0.1 / squares[-1] / 2, rel=0.02)


def test_the_rotation_is_that_of_the_window_over_the_stationary_one_at_its_own_rate():
    stationary = (0.05 * 199 / (2 * 0.02)) ** 0.25
    model, optimizer, watch = watched((1, 200), lr=0.05, radius=stationary)
    go(model, optimizer, watch, 300)
    before = watch.summary()["thermo/rotation_matrix"]
    optimizer.param_groups[0]["lr"] *= 4
    go(model, optimizer, watch, 1, seed=2)
    assert before == pytest.approx(1, abs=0.1)
    assert watch.summary()["thermo/rotation_matrix"] == pytest.approx(before, abs=0.05)
    (found,) = watch._rows()  # r*^2 goes as sqrt(lr): at the old norm the rate is twice its stationary value
    assert (found.equilibrium_share, found.rises) == (pytest.approx(0.5, rel=0.06), False)


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
    assert (np.array([250, 560]) < found["last"]).all()
    assert (found["last"] <= [300, 600]).all()


def test_the_relaxation_of_losses_is_that_of_the_second_half_at_the_present_rates(monkeypatch):
    model, optimizer, watch = watched((1, 50))
    for _ in range(2):
        go(model, optimizer, watch, 300, loss=lambda step: watch.steps)
        optimizer.param_groups[0]["lr"] *= 2
    monkeypatch.setattr("empirics.probe.probe.relaxation", lambda series, width: series)
    assert 450 <= watch.loss_relaxation()[0] < 480


def test_the_temperature_of_a_reading_weighs_directions():
    model, optimizer, watch = watched((1, 24), (1, 480), radius=(1.0, 3.0))
    go(model, optimizer, watch, 300)
    (found,) = watch.readings().to_dict("records")
    assert found["temperature"] == pytest.approx(1e-4 / 2 * (23 + 479 / 9) / 502, rel=0.1)
    balances = [1e-4 * directions / (2 * 0.02 * r**4) for directions, r in ((23, 1), (479, 3))]
    assert found["balance"] == pytest.approx(np.mean(balances), rel=0.1)


def test_the_noise_is_that_of_the_slowest_tensor():
    model = Bare((1, 24), (1, 480))
    groups = [{"params": [w], "weight_decay": wd} for w, wd in zip(model.weights, (0.02, 0.03), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=1e-4)
    watch = empirics.watch(model, optimizer, every=2)
    go(model, optimizer, watch, 60)
    assert watch.noise() == (pytest.approx(1, rel=0.1), 24)


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


def test_a_row_is_of_the_latest_128_pairs_and_the_history_reaches_back_to_the_start(monkeypatch):
    monkeypatch.setattr(windows, "HISTORY", 5)
    model, optimizer, watch = watched((1, 24))
    go(model, optimizer, watch, 700)
    assert 700 - 2 * 128 - 40 < row(watch, "weights.0")["first"] <= 700 - 2 * 128 + 10
    assert watch.history["step"].min() < 200


@pytest.mark.parametrize(("lost", "known"), [(0.9e-5, False), (1.1e-5, True)])
def test_a_balance_needs_a_decay_that_float32_can_show(lost, known):
    model, optimizer, watch = watched((1, 24))
    go(model, optimizer, watch, 60)
    one = watch._watch.watched[0]
    seen = dataclasses.replace(one.stretches[-1], before=1.0, after=1.0, taken=lost / 2)
    (found,) = rows_of([Measured(one, seen, seen.rule, 1.0, 0.0)])
    assert np.isfinite(found.balance) == known
