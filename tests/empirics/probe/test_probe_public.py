"""Set-ups of public bug reports on training monitors, one small test each; others have files of their own here."""

import copy

import pytest
import torch
from test_probe_oracle import Oracle
from torch import nn
from torch.nn.functional import cross_entropy
from watched import data, network, row

import empirics


def sgd(model, lr=0.1, wd=0.02, **more):
    return torch.optim.SGD(model.parameters(), lr=lr, weight_decay=wd, **more)


def steps(model, optimizer, count, clip_after=None):
    """Train, and account for the first tensor."""
    generator, oracle = torch.Generator().manual_seed(1), Oracle()
    weight = optimizer.param_groups[0]["params"][0]
    for _ in range(count):
        x, y = data(generator)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        oracle.step(weight, optimizer)
        if clip_after:
            nn.utils.clip_grad_norm_(model.parameters(), clip_after)
    return oracle


def agree(said, oracle, rel=0.2):
    now, averages, _ = oracle.window(int(said["first"]), int(said["last"]))
    assert {name: said[name] for name in now} == pytest.approx(now, rel=1e-5)
    assert {name: said[name] for name in averages} == pytest.approx(averages, rel=rel)


def test_clipping_that_comes_after_the_step_is_without_effect_and_not_reported():
    """The gradients that the step used are read when it returns, before the loop clips them."""
    torch.manual_seed(0)
    model = network(affine=False)
    watch = empirics.watch(model, optimizer := sgd(model), every=2)
    oracle = steps(model, optimizer, 100, clip_after=1e-3)
    agree(row(watch, "0.weight"), oracle)


def test_a_closure_that_computes_the_gradients_within_the_step():
    rows = []
    for closed in (False, True):
        torch.manual_seed(0)
        model, generator = network(), torch.Generator().manual_seed(1)
        watch = empirics.watch(model, optimizer := sgd(model), every=4)
        for _ in range(60):
            x, y = data(generator)

            def closure(x=x, y=y, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = cross_entropy(model(x), y)
                loss.backward()
                return loss

            if closed:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        rows.append(watch.values())
    assert rows[0] == rows[1]


def test_a_learning_rate_that_is_a_tensor_and_changes_in_place():
    torch.manual_seed(0)
    model = network(affine=False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=torch.tensor(0.01), weight_decay=0.5, capturable=False, foreach=False
    )
    watch = empirics.watch(model, optimizer, every=2)
    for lr in (0.01, 0.002):
        optimizer.param_groups[0]["lr"].fill_(lr)
        steps(model, optimizer, 40)
    assert row(watch, "0.weight")["lr"] == pytest.approx(0.002)
    assert row(watch, "0.weight")["relaxation_steps"] == pytest.approx(1 / (2 * 0.002 * 0.5))


class ScheduleFree(torch.optim.Optimizer):
    """Schedule-free SGD (A. Defazio et al., 2024): the weights are those at which gradients are taken."""

    def __init__(self, parameters, lr, weight_decay, beta=0.9):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for y in group["params"]:
                state = self.state[y]
                z, x = state.setdefault("z", y.clone()), state.setdefault("x", y.clone())
                state["k"] = state.get("k", 0) + 1
                z.sub_(y.grad + group["weight_decay"] * y, alpha=group["lr"])
                x.lerp_(z, 1 / state["k"])
                y.copy_(z.lerp(x, group["beta"]))


def test_a_schedule_free_optimiser_is_measured_and_not_taken_for_sgd():
    torch.manual_seed(0)
    model = network(affine=False)
    optimizer = ScheduleFree(model.parameters(), lr=0.1, weight_decay=0.02)
    watch = empirics.watch(model, optimizer, every=2)
    oracle = steps(model, optimizer, 120)
    agree(row(watch, "0.weight"), oracle)
    assert watch._watch.kinds == [""]
    assert any("the steps of ScheduleFree are not those of SGD" in words for words in watch.warnings())


def test_groups_without_decay_get_no_remark_on_it():
    """As most recipes have it: no decay on vectors."""
    torch.manual_seed(0)
    model = network()
    vectors = [p for p in model.parameters() if p.ndim < 2]
    matrices = [model[0].weight, model[3].weight]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=0.01, weight_decay=0.1
    )
    watch = empirics.watch(model, optimizer, every=2)
    steps(model, optimizer, 60)
    decay = dict(zip(watch.frame()["group"], watch.frame()["weight_decay"], strict=True))
    assert decay == {"0.weight": 0.1, "1.weight": 0, "1.bias": 0, "3.weight": 0.1, "3.bias": 0}
    (penalty,) = [words for words in watch.warnings() if "ordinary penalty" in words]
    assert "3.weight" in penalty
    assert not any(name in penalty for name in ("1.weight", "1.bias", "3.bias"))


def test_a_copy_of_the_network_that_is_averaged_along_is_not_watched():
    """An exponential moving average beside the training, as most recipes keep one."""
    torch.manual_seed(0)
    model = network(affine=False)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    plain, (watch, optimizer) = copy.deepcopy(model), (None, None)
    optimizer = sgd(model)
    watch = empirics.watch(model, optimizer, every=2)
    for _ in range(10):
        steps(model, optimizer, 10)
        average.update_parameters(model)
    other = empirics.watch(plain, second := sgd(plain), every=2)
    for _ in range(10):
        steps(plain, second, 10)
    assert watch.values() == other.values()
