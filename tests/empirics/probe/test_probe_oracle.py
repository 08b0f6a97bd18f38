"""The probe against exact bookkeeping in float64, for every optimiser and schedule that the docs name."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR
from watched import data, network, row

import empirics
from empirics.probe.tensors import Tensors

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, weight_decay=0.05),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.5, betas=(0.8, 0.99)),
    "adam-l2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.02, betas=(0.8, 0.99)),
    "": lambda p: torch.optim.NAdam(p, lr=0.01, weight_decay=0.5, decoupled_weight_decay=True),
}
SCHEDULES = {
    "constant": lambda o, n: None,
    "cosine": lambda o, n: CosineAnnealingLR(o, n, eta_min=1e-4),
    "warm-up": lambda o, n: LinearLR(o, 0.01, total_iters=n // 2),
    "steps": lambda o, n: MultiStepLR(o, [n // 2, 3 * n // 4]),
}
HOW = ("plain", "clip", "accumulate", "autocast")
STEPS = 300


class Oracle:
    """Exact bookkeeping of a tensor: lr, weight decay, |w|², |g|², angle² and mean Δw² of every step."""

    def __init__(self):
        self.rows = []

    def step(self, w, optimizer, gradient=None):
        before, group = w.detach().double().clone(), optimizer.param_groups[0]
        gradient = w.grad if gradient is None else gradient
        row = [
            group["lr"],
            group["weight_decay"],
            float(before.square().sum()),
            float(gradient.double().square().sum()),
        ]
        optimizer.step()
        after = w.detach().double()
        self.chord = (normalize(before.flatten(), dim=0) - normalize(after.flatten(), dim=0)).norm()
        self.rows.append([*row, float(2 * torch.asin(self.chord / 2)) ** 2, float((after - before).square().mean())])
        self.end = float(after.square().sum())

    def window(self, first, last, decay_of=1.0):
        """What a row should say of a window, with `decay_of`·lr·wd the decay of |w| per step."""
        lr, wd, r2, g2, angle_sq, move_sq = np.array(self.rows[first:last]).T
        end = self.rows[last][2] if last < len(self.rows) else self.end
        averages = {
            "grad_norm": g2.mean() ** 0.5,
            "angular_update": angle_sq.mean() ** 0.5,
            "update_rms": move_sq.mean() ** 0.5,
        }
        now = {"lr": lr[-1], "weight_decay": wd[-1], "norm": end**0.5}
        return now, averages, 1 + (end - r2[0]) / (2 * decay_of * lr * wd * r2).sum()


def trained(optimizer, schedule, how, steps=STEPS, unclipped=False):
    torch.manual_seed(0)
    model, oracle, generator = network("layer", affine=False), Oracle(), torch.Generator().manual_seed(1)
    made = OPTIMIZERS[optimizer](model.parameters())
    plan = SCHEDULES[schedule](made, steps)
    watch = empirics.watch(model, made, every=4)
    for _ in range(steps):
        made.zero_grad()
        for _ in range(2 if how == "accumulate" else 1):
            x, y = data(generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
                loss = cross_entropy(model(x), y)
            loss.backward()
        seen = model[0].weight.grad.clone() if unclipped else None
        if how == "clip":
            nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        oracle.step(model[0].weight, made, seen)
        if plan:
            plan.step()
    return watch, oracle


def check(watch, oracle, optimizer):
    said = row(watch, "0.weight")
    assert watch._watch.kinds == [{"momentum": "sgd", "nesterov": "sgd"}.get(optimizer, optimizer)]
    assert said["scale_invariant"]
    assert (said["last"], said["first"] >= 0.4 * STEPS) == (STEPS, True)
    momentum = 5.0 if optimizer in ("momentum", "nesterov") else 1.0
    now, averages, balance = oracle.window(int(said["first"]), int(said["last"]), momentum)
    assert {name: said[name] for name in now} == pytest.approx(now, rel=1e-5)
    assert {name: said[name] for name in averages} == pytest.approx(averages, rel=0.2)
    if optimizer != "adam-l2":  # whose decay goes with its second moment
        assert said["balance"] == pytest.approx(balance, rel=0.02, abs=0.01)
    if optimizer in ("sgd", "momentum", "nesterov"):
        assert said["effective_lr"] == pytest.approx(momentum * now["lr"] / now["norm"] ** 2, rel=1e-5)
        noise = (
            momentum
            * now["lr"]
            / now["norm"] ** 2
            / 2
            * np.mean([r[2] * r[3] for r in oracle.rows[said["first"] :]])
            / 191
        )
        assert 0.5 * noise < said["temperature"] < 1.1 * noise  # the mean gradient is no noise
        assert said["relaxation_steps"] == pytest.approx(1 / (4 * momentum * now["lr"] * now["weight_decay"]), rel=1e-5)


# Two schedules for every optimiser, three optimisers for every schedule, three pairs for every way to train.
PAIRS = [(o, list(SCHEDULES)[j % 4], HOW[(i + j) % 4]) for i, o in enumerate(OPTIMIZERS) for j in (i, i + 1)]
REST = [case for case in itertools.product(OPTIMIZERS, SCHEDULES, HOW) if case not in PAIRS]


@pytest.mark.parametrize(
    ("optimizer", "schedule", "how"), [*PAIRS, *(pytest.param(*one, marks=pytest.mark.long) for one in REST)]
)
def test_rows_are_those_of_exact_bookkeeping(optimizer, schedule, how):
    watch, oracle = trained(optimizer, schedule, how)
    check(watch, oracle, optimizer)


def test_gradients_before_clipping_would_be_noticed():
    watch, oracle = trained("sgd", "constant", "clip", unclipped=True)
    with pytest.raises(AssertionError, match="grad_norm"):
        check(watch, oracle, "sgd")


def test_an_average_that_is_called_now_would_be_noticed(monkeypatch):
    watch, oracle = trained("sgd", "cosine", "plain")
    mean = float(np.mean([one[0] for one in oracle.rows]))
    monkeypatch.setattr(Tensors, "rates", [(mean, 0.05)])
    with pytest.raises(AssertionError, match="lr"):
        check(watch, oracle, "sgd")


def test_a_balance_from_means_of_the_rates_would_be_noticed():
    watch, oracle = trained("sgd", "cosine", "plain")
    for one in oracle.rows:
        one[0] = float(np.mean([each[0] for each in oracle.rows]))
    said = row(watch, "0.weight")
    assert said["balance"] != pytest.approx(oracle.window(said["first"], said["last"])[2], rel=0.02, abs=0.01)
