"""Probe and schedules give the same answer to which derived rule a torch optimiser follows."""

import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW

import empirics
from empirics.probe.rule import rule_of
from empirics.steering import Cooldown, optimizer_name


class Plain(SGD):
    """Adds nothing to the step."""


class Signed(SGD):
    """Takes another step."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(group["lr"] * p.grad.sign())


class AcceleratedOptimizer(torch.optim.Optimizer):
    """As Accelerate wraps an optimiser: an optimiser itself, which passes its groups on."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    param_groups = property(lambda self: self.optimizer.param_groups)

    def step(self):
        self.optimizer.step()


class LightningOptimizer:
    """As Lightning wraps one: an instance of the optimiser's class, with a step of its own."""

    def __new__(cls, optimizer):
        self = object.__new__(type(f"Lightning{type(optimizer).__name__}", (cls, type(optimizer)), {}))
        self.optimizer = optimizer
        return self

    def __init__(self, optimizer):
        pass

    def step(self):
        self.optimizer.step()

    param_groups = property(lambda self: self.optimizer.param_groups, lambda self, groups: None)


def groups(net, first, **others):
    return [
        {"params": net[0].parameters(), **first},
        {"params": [*net[1].parameters(), *net[3].parameters()], **others},
    ]


def frozen(net):
    net[0].weight.requires_grad_(False)
    return SGD(groups(net, {"momentum": 0.0}, momentum=0.9), lr=0.1, weight_decay=1e-3)


def of(kind, **settings):
    return lambda net: kind(net.parameters(), **{"lr": 0.1, "weight_decay": 1e-3} | settings)


CASES = {
    "SGD": (of(SGD), "sgd"),
    "momentum": (of(SGD, momentum=0.9), "momentum"),
    "Nesterov": (of(SGD, momentum=0.9, nesterov=True), "nesterov"),
    "dampening": (of(SGD, momentum=0.9, dampening=0.5), "momentum"),
    "dampening without momentum": (of(SGD, dampening=0.5), "sgd"),
    "maximize": (of(SGD, maximize=True), "sgd"),
    "foreach": (of(SGD, foreach=True), "sgd"),
    "fused": (of(SGD, fused=True), "sgd"),
    "lr in a tensor": (of(SGD, lr=torch.tensor(0.1)), "sgd"),
    "Adam": (of(Adam), "adam-l2"),
    "AMSGrad": (of(Adam, amsgrad=True), None),
    "Adam with decoupled decay": (of(Adam, decoupled_weight_decay=True), "adamw"),
    "AdamW": (of(AdamW), "adamw"),
    "AdamW, capturable": (of(AdamW, capturable=True, foreach=False, lr=torch.tensor(0.1)), "adamw"),
    "AdamW, amsgrad": (of(AdamW, amsgrad=True), None),
    "RMSprop": (of(torch.optim.RMSprop), None),
    "NAdam": (of(torch.optim.NAdam), None),
    "a subclass": (of(Plain), "sgd"),
    "a subclass with another step": (of(Signed), None),
    "Accelerate": (lambda net: AcceleratedOptimizer(of(SGD, momentum=0.9)(net)), "momentum"),
    "Lightning": (lambda net: LightningOptimizer(of(AdamW)(net)), "adamw"),
    "Lightning, AMSGrad": (lambda net: LightningOptimizer(of(AdamW, amsgrad=True)(net)), None),
    "one group without momentum": (
        lambda net: SGD(groups(net, {"momentum": 0.9}, momentum=0.0), lr=0.1, weight_decay=1e-3),
        "momentum",
    ),
    "one group with AMSGrad": (
        lambda net: Adam(groups(net, {"amsgrad": True}, amsgrad=False), lr=0.1, weight_decay=1e-3),
        None,
    ),
    "a frozen group with another rule": (frozen, "momentum"),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 4, bias=False), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4, bias=False), nn.LayerNorm(4)
    )


def watched(net, optimizer):
    """A probe that has seen 20 steps."""
    probe = empirics.ThermoProbe(net, optimizer)
    for _ in range(20):
        net.zero_grad()
        loss = nn.functional.cross_entropy(net(torch.randn(16, 8)), torch.randint(4, (16,)))
        loss.backward()
        optimizer.step()
    return probe


def rules_of(probe):
    """The rules that the steps show, of the groups with trained tensors."""
    return {probe._watch.rule(one.rates, probe._watch.rates).optimizer for one in probe._watch.watched}


@pytest.mark.parametrize("case", CASES)
def test_probe_and_schedule_agree(case):
    make, expected = CASES[case]
    net = network()
    optimizer = make(net)
    if optimizer.param_groups[0].get("capturable"):  # whose steps need a GPU
        assert optimizer_name(optimizer) == expected
        return
    probe = watched(net, optimizer)
    rules, frame = rules_of(probe), probe.frame()
    known = frame[frame["scale_invariant"]]["temperature"].notna()
    assert len(known)
    if expected is None:
        assert "" in rules
        assert not known.all()
        with pytest.raises(ValueError, match="nothing is derived for"):
            optimizer_name(optimizer)
        with pytest.raises(ValueError, match="nothing is derived for"):
            Cooldown(optimizer, 10)
        return
    assert optimizer_name(optimizer) == expected
    assert expected in rules
    assert "" not in rules
    assert known.all()
    assert Cooldown(optimizer, 10).plan.optimizer == expected
    # A scheduler wraps the optimiser's step; the rule is still recognised.
    assert rules_of(watched(net, optimizer)) == rules


def test_dampening_is_part_of_the_learning_rate():
    """Torch's steps with a constant gradient: each moves lr (1 - dampening)/(1 - momentum) in the end."""
    w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = SGD([w], lr=0.1, momentum=0.5, dampening=0.25)
    for _ in range(60):
        before, w.grad = w.item(), torch.ones_like(w)
        optimizer.step()
    rule = rule_of(optimizer, optimizer.param_groups[0])
    assert before - w.item() == pytest.approx(rule.lr / (1 - rule.beta), rel=1e-12)
    optimizer.param_groups[0]["weight_decay"] = 0.01
    plain = SGD([w], lr=0.1 * (1 - 0.25), momentum=0.5, weight_decay=0.01)
    assert Cooldown(optimizer, 10, factor=0.5).check() == Cooldown(plain, 10, factor=0.5).check()


def test_groups_of_adam_with_and_without_decoupled_decay_share_no_rule(monkeypatch):
    """Each tensor has its temperature, but neither a plan nor an adiabatic index holds for both."""
    net = network()
    optimizer = Adam(groups(net, {"decoupled_weight_decay": True}), lr=0.1, weight_decay=1e-3)
    with pytest.raises(ValueError, match=r"different rules \(adamw, adam-l2\); give rule="):
        Cooldown(optimizer, 10)
    assert Cooldown(optimizer, 10, rule="adamw").plan.optimizer == "adamw"
    probe = watched(net, optimizer)
    frame = probe.frame()
    assert frame[frame["scale_invariant"]]["temperature"].notna().all()
    table = pd.DataFrame({"balance": [1.0, 1.0, 1.0], "temperature": [1.0, 2.0, 3.0], "loss": [1.0, 2.1, 3.0]})
    monkeypatch.setattr(probe, "readings", lambda: table)
    with pytest.raises(ValueError, match=r"different rules \(adamw, adam-l2\)"):
        probe.adiabatic_index()
