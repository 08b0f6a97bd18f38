"""What the probe measures and does not assume: decay that is applied, norms changed by others, any rule's rotation."""

import copy

import pytest
import torch
from torch import nn
from watched import network, row, trained

import empirics


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weight_decay_that_rounding_swallows_is_told(dtype):
    """1 - lr wd = 0.9999, and bfloat16 has no number between 0.996 and 1; 0.99 it has nearly."""
    said = []
    for decay in (0.1, 10.0):
        torch.manual_seed(0)
        model = network(affine=False).to(dtype)
        optimizer = torch.optim.AdamW([model[0].weight], lr=1e-3, weight_decay=decay)
        generator = torch.Generator().manual_seed(1)
        watch = empirics.watch(model, optimizer, every=5)
        for _ in range(60):
            optimizer.zero_grad()
            model(torch.randn(32, 12, generator=generator).to(dtype)).square().mean().backward()
            optimizer.step()
        said.append(any("is rounded away in bfloat16" in words for words in watch.warnings()))
    assert said == [dtype == torch.bfloat16, False]


# What the probe advises that is bookkeeping: doing it removes the fault, and the training is otherwise the same.


def test_weights_in_float32_decay_where_those_in_bfloat16_do_not():
    weights = {}
    for dtype in (torch.bfloat16, torch.float32):
        for decay in (0.0, 0.1):
            torch.manual_seed(0)
            model, generator = network(affine=False).to(dtype), torch.Generator().manual_seed(1)
            optimizer = torch.optim.AdamW([model[0].weight], lr=1e-3, weight_decay=decay)
            for _ in range(60):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    model(torch.randn(32, 12, generator=generator).to(dtype)).square().mean().backward()
                optimizer.step()
            weights[dtype, decay] = model[0].weight.detach().float()
    assert torch.equal(weights[torch.bfloat16, 0.0], weights[torch.bfloat16, 0.1])
    shrunk = (weights[torch.float32, 0.1].norm() / weights[torch.float32, 0.0].norm()).log()
    assert float(shrunk) == pytest.approx(-60 * 1e-3 * 0.1, rel=0.2)


@pytest.mark.parametrize(("kind", "same"), [("SGD", True), ("Adam", True), ("AdamW", False)])
def test_an_l2_penalty_in_the_loss_is_weight_decay_of_sgd_and_adam_and_not_of_adamw(kind, same):
    def penalised(model, watch, x, y):
        for p in model.parameters():
            p.grad.add_(p.detach(), alpha=0.05)

    def made(decay):
        return lambda p: getattr(torch.optim, kind)(p, lr=0.01, weight_decay=decay)

    torch.manual_seed(0)
    first = network(affine=False)
    inside, told = trained(made(0.0), 60, copy.deepcopy(first), each=penalised)
    outside, other = trained(made(0.05), 60, first)
    assert any("as weight_decay=0.05 in SGD or Adam (not in AdamW)" in words for words in told.warnings())
    assert not any("L2 penalty" in words for words in other.warnings())
    assert torch.allclose(inside[0].weight, outside[0].weight, rtol=1e-3, atol=1e-4) == same


def test_leaving_out_what_has_no_effect_changes_nothing():
    torch.manual_seed(0)
    bare = network("batch")
    whole = nn.Sequential(nn.Linear(12, 16), *copy.deepcopy(list(bare)[1:]))
    with torch.no_grad():
        whole[0].weight.copy_(bare[0].weight)
    made = [trained(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01), 60, model) for model in (whole, bare)]
    said = ["0.bias: no effect on the loss" in "\n".join(watch.warnings()) for _, watch in made]
    assert said == [True, False]
    kept = [p for p in whole.parameters() if p is not whole[0].bias]
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(kept, bare.parameters(), strict=True))


@pytest.mark.parametrize("often", [10, 0])
def test_norms_that_are_put_back_are_told(often):
    def put_back(model, watch, x, y):
        if often and watch.steps % often == 0:
            with torch.no_grad():
                model[0].weight.mul_(2.0 / model[0].weight.norm())

    said = "\n".join(trained(lambda p: torch.optim.SGD(p, lr=0.1), 400, each=put_back, every=4)[1].warnings())
    assert ("0.weight is changed outside the optimiser" in said) == bool(often)
    assert ("the norm grows without end" in said) != bool(often)


def test_a_rule_is_known_by_its_steps_not_by_its_name():
    class Signed(torch.optim.Adam):
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    class Own(torch.optim.Optimizer):
        """AdamW, written by somebody else."""

        def __init__(self, parameters, lr, weight_decay):
            super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": (0.9, 0.99), "eps": 1e-8})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    moments = []
                    for i, name in enumerate(("exp_avg", "exp_avg_sq")):
                        beta, value = group["betas"][i], p.grad ** (i + 1)
                        state[name] = beta * state.get(name, torch.zeros_like(p)) + (1 - beta) * value
                        moments.append(state[name] / (1 - beta ** state["step"]))
                    mean, square = moments
                    p.sub_(group["lr"] * (mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * p))

    for kind, name in ((Signed, ""), (Own, "adamw")):
        watch = trained(lambda p, kind=kind: kind(p, lr=1e-3, weight_decay=0.1), 60)[1]
        assert watch._watch.kinds == [name]
        assert any(f"the steps of {kind.__name__} are not" in words for words in watch.warnings()) == (name == "")


class Noise(nn.Module):
    """A loss that is linear in W with a random slope: nothing is scale-invariant, and equilibrium has a closed form."""

    def __init__(self, rms):
        super().__init__()
        self.weight = nn.Parameter(rms * torch.randn(24, 16, generator=torch.Generator().manual_seed(0)))

    def forward(self, generator):
        return (self.weight * torch.randn(24, 16, generator=generator)).sum()


@pytest.mark.parametrize("times", [1, 4])
def test_a_matrix_that_is_not_scale_invariant_has_a_rotation_and_a_target(times):
    """AdamW: r*^2 = lr n/(2 wd), so each weight is sqrt(lr/(2 wd)) = 0.1; angle sqrt(2 lr wd (1 - b1)/(1 + b1))."""
    target = (2 * 2e-3 * 0.1 * 0.1 / 1.9) ** 0.5
    model, generator = Noise(0.1 * times), torch.Generator().manual_seed(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1, betas=(0.9, 0.99))
    watch = empirics.watch(model, optimizer, every=5)
    for _ in range(1500 if times == 1 else 250):
        optimizer.zero_grad()
        model(generator).backward()
        optimizer.step()
    said = row(watch, "weight")
    assert said["role"] == "penalty"
    assert said["angular_equilibrium"] == pytest.approx(target, rel=0.01)
    assert said["angular_update"] == pytest.approx(target / times, rel=0.2)
    assert said["relaxation_steps"] == pytest.approx(1 / (2 * 2e-3 * 0.1))


def test_an_unknown_rule_has_its_target_from_the_measured_balance():
    """Signs of gradients in pure noise, decay decoupled: angle sqrt(2 lr wd) at r*; it begins at twice r*."""

    class Signs(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad.sign())

    model, generator = Noise(2 * (2e-3 / 2) ** 0.5), torch.Generator().manual_seed(2)
    optimizer = Signs(model.parameters(), {"lr": 2e-3, "weight_decay": 1.0})
    watch = empirics.watch(model, optimizer, every=2)
    for _ in range(300):
        optimizer.zero_grad()
        model(generator).backward()
        optimizer.step()
    said = row(watch, "weight")
    assert said["angular_equilibrium"] == pytest.approx((2 * 2e-3) ** 0.5, rel=0.15)
    assert said["angular_update"] < 0.85 * said["angular_equilibrium"]
    assert said["relaxation_steps"] == pytest.approx(1 / (2 * 2e-3))
