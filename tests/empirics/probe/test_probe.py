"""The probe: nothing changes, blocks against the full check, numbers against long-hand ones and exact gases."""

import contextlib
import copy
import dataclasses
import functools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from watched import data, network, row, trained

import empirics
from empirics.models import scale_invariant_blocks
from empirics.probe import ThermoProbe
from empirics.probe.row import REACHED
from empirics.probe.rule import rule_of
from empirics.probe.words import cells, warnings


def sgd(lr=0.1, wd=0.05, **more):
    return lambda p: torch.optim.SGD(p, lr=lr, weight_decay=wd, **more)


OPTIMIZERS = {
    "sgd": sgd(),
    "momentum": sgd(0.02, 0.05, momentum=0.9),
    "nesterov": sgd(0.02, 0.05, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.5),
    "adam-l2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, weight_decay=0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_changes_nothing_bit_for_bit(name):
    torch.manual_seed(3)
    model = nn.Sequential(network("batch"), nn.Dropout(0.2))
    twins = [trained(OPTIMIZERS[name], 60, copy.deepcopy(model), probe)[0] for probe in (False, True)]
    random = torch.random.get_rng_state()
    plain, watched = (list(m.state_dict().values()) for m in twins)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    trained(OPTIMIZERS[name], 60, copy.deepcopy(model), False)
    assert torch.equal(torch.random.get_rng_state(), random)


def test_no_graph_is_kept():
    model = network()
    optimizer = sgd()(model.parameters())
    probe = ThermoProbe(model, optimizer)
    x, y = data(torch.Generator().manual_seed(0))
    loss = cross_entropy(model(x), y)
    loss.backward()
    probe.step(loss)
    optimizer.step()
    assert probe._losses._new == [loss.item()]
    assert loss.grad_fn is not None


class Every(nn.Module):
    """A network with all kinds of normalisation, for images (1, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.batch = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.group = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.GroupNorm(4, 8), nn.ReLU())
        self.normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(128, 12, bias=False))
        self.rms = nn.Sequential(nn.Linear(12, 16, bias=False), nn.RMSNorm(16, eps=1e-6))
        self.layer = nn.Sequential(nn.Linear(16, 16, bias=False), nn.LayerNorm(16))
        self.out = nn.Linear(16, 4)

    def forward(self, x):
        x = self.group(self.batch(x)).flatten(1)
        return self.out(self.layer(torch.tanh(self.rms(torch.tanh(self.normed(x))))))


def test_blocks_without_data_are_those_of_the_full_check():
    torch.manual_seed(0)
    model = Every()
    optimizer = sgd(0.05, 0.01)(model.parameters())
    probe = ThermoProbe(model, optimizer)
    generator = torch.Generator().manual_seed(1)
    for _ in range(40):
        x = torch.randn(32, 1, 8, 8, generator=generator)
        y = x[:, 0, 2:4, 2:4].flatten(1).argmax(1)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        probe.step()
        optimizer.step()
    full = {found.name: found.blocks for found in scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))}
    seen = dict(zip(probe.frame()["group"], probe.frame()["blocks"], strict=True))
    # Matrices and filters: of vectors, which a random change of their size disturbs much, the check is lenient.
    weights = [name for name, p in model.named_parameters() if p.ndim > 1 and p.shape[1:].numel() > 1]
    assert {name: seen[name] for name in weights} == {name: full[name] for name in weights}
    assert (seen["batch.0.weight"], seen["rms.0.weight"], seen["layer.0.weight"]) == (8, 1, 1)
    assert seen["normed.parametrizations.weight.original1"] == 12


def test_a_loss_gives_the_blocks_at_once_and_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = network("batch")
    before, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    x, y = data(torch.Generator().manual_seed(0))
    probe = ThermoProbe(model, sgd()(model.parameters()), loss=lambda m: cross_entropy(m(x), y))
    assert {w.name: w.group.blocks for w in probe._watch.watched if w.group.blocks} == {"0.weight": 16}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)


class Gas(nn.Module):
    """Pure noise on a sphere: the loss is (x . w)/|w| with random x, of which the exact radius is derived."""

    def __init__(self, d=200):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, d, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return (self.weight[0] @ x) / self.weight.norm()


def gas(optimizer, steps, start=1.0, **settings):
    model = Gas()
    with torch.no_grad():
        model.weight.mul_(start / model.weight.norm())
    made = optimizer(model.parameters())
    probe, generator = ThermoProbe(model, made, **settings), torch.Generator().manual_seed(1)
    norms = []
    for _ in range(steps):
        made.zero_grad()
        loss = model(torch.randn(200, generator=generator))
        loss.backward()
        made.step()
        norms.append(float(model.weight.detach().norm()))
    return probe, norms


SLOW = pytest.mark.long


@pytest.mark.parametrize(
    "name", ["sgd", *(pytest.param(n, marks=SLOW) for n in ("momentum", "nesterov", "adam-l2")), "adamw"]
)
def test_in_the_exact_gas_all_is_as_derived(name):
    """One at stationarity: p V = R T, the balance, the rotation; norm and time are those of a run from elsewhere."""
    optimizer = {
        "sgd": sgd(0.05, 0.02),
        "momentum": sgd(0.005, 0.02, momentum=0.9),
        "nesterov": sgd(0.005, 0.02, momentum=0.9, nesterov=True),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "adam-l2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.02),
    }[name]
    found = gas(optimizer, 2500, start=3.5, every=8)[0].frame().iloc[0]
    assert found["scale_invariant"]
    assert found["balance"] == pytest.approx(1, abs=0.05)
    assert found["pv_over_rt"] == pytest.approx(1, abs=0.1)
    assert found["angular_update"] == pytest.approx(found["angular_equilibrium"], rel=0.05)
    assert found["equilibrium_share"] > 0.95


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_share_and_the_time_to_go_come_true(name):
    """From a norm three times too large: the norm at which the run ends, and when, was predicted."""
    if name == "sgd":
        optimizer, predicted = sgd(0.05, 0.02), (0.05 * 199 / (2 * 0.02)) ** 0.25
    else:
        # beta2 = 0.999 remembers gradients for longer than the norm takes
        adamw = functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1, betas=(0.9, 0.99))
        optimizer, predicted = adamw, (0.01 * 200 / 0.2) ** 0.5
    start = 3 * predicted
    early, norms = gas(optimizer, 200, start, every=2)
    (row_then,) = early._rows()
    power = 2 if name == "sgd" else 1
    assert row_then.rises
    assert row_then.equilibrium_share == pytest.approx((predicted / norms[-1]) ** power, rel=0.1)
    norms = np.array(gas(optimizer, 200 + int(2.5 * row_then.to_go), start, every=50)[1])
    reached = int(np.argmax((predicted / norms) ** power > REACHED))
    assert reached == pytest.approx(200 + row_then.to_go, rel=0.2)


def test_noise_from_halves_and_micro_batches_is_without_bias():
    """Against many minibatches at frozen weights; consecutive steps agree too, since nothing moves."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    generator = torch.Generator().manual_seed(1)

    def gradient(batch):
        x, y = data(generator, batch)
        return list(torch.autograd.grad(cross_entropy(model(x), y), list(model.parameters())))

    many = torch.stack([gradient(64)[0].flatten() for _ in range(1000)]).double()
    signal = 1 - float(many.var(0).sum() / many.square().sum(1).mean())
    by_halves, by_parts = (ThermoProbe(model, optimizer, every=2) for _ in range(2))
    plain = ThermoProbe(model, optimizer, every=2)
    for _ in range(400):
        for p in model.parameters():
            p.grad = None
        halves = []
        for _ in range(2):
            x, y = data(generator, 32)
            before = [0 if p.grad is None else p.grad.clone() for p in model.parameters()]
            (cross_entropy(model(x), y) / 2).backward()
            halves.append([2 * (p.grad - old) for p, old in zip(model.parameters(), before, strict=True)])
            by_parts.microbatch()
        by_halves.halves(*halves)
        optimizer.step()
    probes = (by_halves, by_parts, plain)
    found = [float(probe._noise.shares(probe._noise.all(torch.device("cpu")).numpy())[0]) for probe in probes[:2]]
    found.append(plain._watch.seen(torch.zeros(0))[0][0].signal)
    assert found == pytest.approx([signal] * 3, abs=0.05)
    assert 0.2 < signal < 0.95
    assert [p.frame().attrs["noise"] for p in (by_halves, plain)] == ["halves", "consecutive steps"]
    with pytest.raises(ValueError, match="halves takes a gradient for each of the 5 parameters"):
        by_halves.halves([None], [None])


def test_a_grad_scaler_and_steps_that_it_skips():
    torch.manual_seed(0)
    model = network()
    made = sgd()(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    twin = copy.deepcopy(model)
    other, generator = sgd()(twin.parameters()), torch.Generator().manual_seed(1)
    watch, plain = ThermoProbe(model, made, every=2), ThermoProbe(twin, other, every=2)
    for step in range(200):
        x, y = data(generator)
        for m, o in ((model, made), (twin, other)):
            o.zero_grad()
            loss = cross_entropy(m(x), y)
            (scaler.scale(loss) if m is model else loss).backward()
        if step == 100:
            model[0].weight.grad[0, 0] = torch.inf
        if step % 2:
            scaler.unscale_(made)
        scaler.step(made)
        scaler.update()
        if step != 100:
            other.step()
    assert scaler.get_scale() < 2.0**12
    assert torch.equal(model[0].weight, twin[0].weight)
    assert watch.steps == plain.steps == 199
    pd.testing.assert_frame_equal(watch.frame(), plain.frame(), rtol=1e-4)


def test_parameter_groups_frozen_and_added_tensors():
    torch.manual_seed(0)
    model = network()
    model[3].bias.requires_grad_(False)
    made = torch.optim.SGD([{"params": [model[0].weight], "weight_decay": 0.05}, {"params": [model[3].weight]}], lr=0.1)
    watch, generator = ThermoProbe(model, made), torch.Generator().manual_seed(1)
    for step in range(80):
        if step == 40:
            made.add_param_group({"params": list(model[1].parameters())})
        x, y = data(generator)
        model.zero_grad()
        cross_entropy(model(x), y).backward()
        made.step()
    frame = watch.frame()
    assert "3.bias" not in set(frame["group"])
    assert set(frame["group"]) >= {"0.weight", "3.weight"}


# Words ---------------------------------------------------------------------------------------------------------------


def test_warnings_in_the_users_words():
    early = gas(sgd(0.05, 0.02), 60, 10.0, every=2)[0].warnings()
    assert len(early) == 1
    assert early[0].startswith("weight: not in equilibrium, the effective learning rate is at ")
    assert " % of its stationary value and rising, about " in early[0]
    said = "\n".join(trained(sgd(), 100)[1].warnings())
    assert "is an ordinary penalty, not a pressure: the loss depends on their magnitude" in said
    assert "0.weight: no weight decay on scale-invariant weights" in "\n".join(trained(sgd(wd=0.0), 60)[1].warnings())
    other = trained(OPTIMIZERS["rmsprop"], 60)[1]
    assert "the steps of RMSprop are not those of SGD, AdamW or Adam with L2" in "\n".join(other.warnings())
    assert math.isnan(row(other, "0.weight")["temperature"])
    assert row(other, "0.weight")["angular_update"] > 0
    # Its decay is rescaled with the gradient: how much it takes of the norm is not known, nor what is stationary.
    assert "as weight decay goes through the gradient, balance, temperature" in "\n".join(other.warnings())
    assert "not in equilibrium" not in "\n".join(other.warnings())
    assert math.isnan(row(other, "0.weight")["balance"])
    assert "nan" not in str(other)
    bare = trained(sgd(), 60, nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)))[1]
    assert not bare.frame()["scale_invariant"].any()
    assert "rotation" in bare.line()


def test_an_l2_penalty_within_the_loss_is_told():
    def penalised(model, watch, x, y):
        for p in model.parameters():
            p.grad.add_(p.detach(), alpha=0.05 if within else 0.0)

    for within in (True, False):
        watch = trained(sgd(wd=0.0), 60, network(affine=False), each=penalised)[1]
        told = [words for words in watch.warnings() if "contains an L2 penalty: its gradient is 0.05·w" in words]
        assert bool(told) == within


@pytest.mark.parametrize("every", [2, 100])
def test_a_step_that_ends_with_an_error_and_one_that_calls_its_parents(every):
    class Twice(torch.optim.AdamW):
        broken = False

        def step(self, closure=None):
            if self.broken:
                raise RuntimeError
            return super().step(closure)

    torch.manual_seed(0)
    model, generator = network(), torch.Generator().manual_seed(1)
    made = Twice(model.parameters(), lr=0.01)
    watch = empirics.watch(model, made, every=every)
    for i in range(60):
        cross_entropy(model(data(generator)[0]), data(generator)[1]).backward()
        made.broken = i in (3, 30)
        with contextlib.suppress(RuntimeError):
            made.step()
    assert watch.steps == 58
    assert watch._watch.kinds == ["adamw"]


def test_optimisers_inside_others_are_listened_to():
    class Sharp(torch.optim.Optimizer):
        """As SAM is written: its own step is never called, that of the optimiser inside is."""

        def __init__(self, parameters, lr):
            super().__init__(parameters, {"lr": lr})
            self.base_optimizer = torch.optim.SGD(self.param_groups, lr=lr)
            self.param_groups = self.base_optimizer.param_groups

        def second_step(self):
            self.base_optimizer.step()

    torch.manual_seed(0)
    model, generator = network(), torch.Generator().manual_seed(1)
    made = Sharp(model.parameters(), lr=0.01)
    watch = empirics.watch(model, made)
    for _ in range(20):
        made.zero_grad()
        cross_entropy(model(data(generator)[0]), data(generator)[1]).backward()
        made.second_step()
    assert watch.steps == 20
    assert row(watch, "0.weight")["scale_invariant"]


def test_many_layers_on_the_way_make_one_sentence():
    some = gas(sgd(0.05, 0.02), 60, 10.0, every=2)[0]._rows()[0]
    shares = [dataclasses.replace(some, group=f"layer{i}", equilibrium_share=0.1 * i, rises=i < 6, to_go=1000.0 * i)
              for i in range(1, 8)]  # fmt: skip
    assert warnings(shares, [], {}) == [
        "layer1 and 4 others: not in equilibrium, the effective learning rate is at 10 to 50 % of its stationary "
        "value and rising, about 5,000 steps to go",
        "layer6: not in equilibrium, the effective learning rate is at 167 % of its stationary value and falling, "
        "about 6,000 steps to go",
        "layer7: not in equilibrium, the effective learning rate is at 143 % of its stationary value and falling, "
        "about 7,000 steps to go",
    ]


def test_line_values_sinks_and_plot():
    from empirics.probe.sinks import TensorBoard, WeightsAndBiases

    watch = trained(sgd(), 400, every=8)[1]
    assert watch.line().startswith("step 400, loss ")
    assert "\n" not in watch.line()
    got = []

    class Writer:
        def add_scalar(self, name, value, step):
            got.append((name, value, step))

        def log(self, values):
            got.append(values)

    watch.log(TensorBoard(Writer()))
    assert {step for _, _, step in got} == {400}
    assert {name: value for name, value, _ in got} == watch.summary()
    watch.log(WeightsAndBiases(Writer()))
    assert got[-1]["thermo/step"] == 400
    assert 8 <= len(watch.summary()) <= 12
    drawn = watch.plot().axes[0].get_lines()[0].get_xdata()
    assert len(drawn) == len(watch.history[watch.history["group"] == "0.weight"])
    assert 380 < drawn[-1] <= 400


def test_times_are_in_epochs_too_where_their_length_is_known():
    bare, told = (trained(sgd(), 60, steps_per_epoch=n)[1] for n in (None, 40))
    assert bare.frame()["relaxation_epochs"].isna().all()
    for table in (told.frame(), told.history):
        assert table["relaxation_epochs"].tolist() == pytest.approx(
            (table["relaxation_steps"] / 40).tolist(), nan_ok=True
        )
    assert "50 (1.2 epochs)" in str(told)
    (one,) = [one for one in told._rows() if one.group == "0.weight"]
    long = cells([dataclasses.replace(one, relaxation_steps=1700.0, relaxation_epochs=220.4)])
    assert long[0]["relaxation"] == "1,700 (220 epochs)"
    assert "epochs" not in str(bare)


def test_the_summary_is_by_type_and_depth():
    layers = [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(16, 8), nn.Linear(8, 4)]
    model = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *layers[:3], nn.Flatten(), *layers[3:])
    watch, generator = ThermoProbe(model, made := sgd()(model.parameters()), every=2), torch.Generator().manual_seed(1)
    for _ in range(60):
        made.zero_grad()
        model(torch.randn(16, 64, generator=generator)).square().mean().backward()
        made.step()
    frame, found = watch.frame().set_index("group"), watch.summary()
    ratio = frame["angular_update"] / frame["angular_equilibrium"]
    wanted = {"convolution_first": "1", "convolution_last": "3", "matrix_first": "5", "matrix_last": "6"}
    assert len(found) <= 12
    assert {name: found[f"thermo/rotation_{name}"] for name in wanted} == pytest.approx(
        {name: ratio[f"{layer}.weight"] for name, layer in wanted.items()}, rel=0.01
    )
    one = trained(sgd(), 60, nn.Sequential(nn.Linear(12, 4)))[1].summary()
    assert [name for name in one if "rotation" in name] == ["thermo/rotation_matrix"]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda m: ThermoProbe(m, sgd()(m.parameters()), every=1), ValueError, "every must be 2 or more"),
        (
            lambda m: empirics.watch(m, sgd()(m.parameters()), steps_per_epoch=0),
            ValueError,
            "must be a finite number above 0, got 0",
        ),
        (lambda m: ThermoProbe(m, 0.1), TypeError, "must be a torch.optim.Optimizer, got float"),
        (lambda m: ThermoProbe(m, 2 * [sgd()(m.parameters())]), TypeError, "got list: make one probe for each"),
        (lambda m: ThermoProbe(3, sgd()(m.parameters())), TypeError, "model must be a torch.nn.Module, got 3"),
        (
            lambda m: ThermoProbe(network(), sgd()(m.parameters())),
            ValueError,
            r"model has none of the 5 tensors of optimizer: pass the model whose parameters\(\)",
        ),
        *[
            (
                lambda m, bad=bad: ThermoProbe(m, sgd()(m.parameters()), every=bad),
                TypeError,
                f"every must be an integer, 2 or more: the number of steps per measured pair; got {bad!r}",
            )
            for bad in ("x", 2.5, True)
        ],
        (lambda m: ThermoProbe(m, sgd()(m.parameters()), every=0), ValueError, "every must be 2 or more.*; got 0"),
        *[
            (
                lambda m, bad=bad: ThermoProbe(m, sgd()(m.parameters()), steps_per_epoch=bad),
                TypeError,
                f"steps_per_epoch must be a number above 0, such as .*; got {bad!r}",
            )
            for bad in ("a", True)
        ],
        *[
            (
                lambda m, bad=bad: ThermoProbe(m, sgd()(m.parameters()), steps_per_epoch=bad),
                ValueError,
                f"steps_per_epoch must be a finite number above 0, got {bad}",
            )
            for bad in (math.inf, math.nan)
        ],
        (
            lambda m: ThermoProbe(m, sgd()(m.parameters())).load_state_dict({"a": 1, "noise": []}),
            ValueError,
            r"state must be what state_dict\(\) .*; it lacks watch, losses and has a, noise",
        ),
        (lambda m: ThermoProbe(m, sgd()(m.parameters())).load_state_dict({}), ValueError, "and has no entry"),
        (lambda m: ThermoProbe(m, sgd()(m.parameters())).load_state_dict(3), TypeError, "state must be .*, got int"),
        (lambda m: empirics.param_groups(m, lambda _: None), TypeError, "loss must return a scalar tensor .* got None"),
    ],
)
def test_bad_input_is_told_in_one_line(make, error, words):
    with pytest.raises(error, match=words):
        make(network())


def test_what_an_optimiser_means_by_weight_decay():
    p = [torch.zeros(2)]
    kinds = [
        torch.optim.SGD(p, lr=0.1),
        torch.optim.SGD(p, lr=0.1, momentum=0.5, dampening=0.5),
        torch.optim.SGD(p, lr=0.1, momentum=0.5, nesterov=True),
        torch.optim.AdamW(p),
        torch.optim.Adam(p, weight_decay=0.1),
        torch.optim.Adam(p, amsgrad=True),
    ]
    found = [rule_of(k, k.param_groups[0]) for k in kinds]
    assert [r.optimizer for r in found] == ["sgd", "momentum", "nesterov", "adamw", "adam-l2", ""]
    assert found[1].lr == pytest.approx(0.05)
    assert "AMSGrad" in found[-1].why_not
