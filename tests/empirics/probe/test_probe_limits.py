"""Where the probe does not apply it says so: nothing to watch, no gradients, no weight decay, sparse tensors."""

import copy
import math
import re

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from watched import data, network, row, trained

from empirics.probe import COLUMNS, ThermoProbe


def said(watch):
    return "\n".join(watch.warnings())


def sgd(lr=0.1, wd=0.02):
    return lambda p: torch.optim.SGD(p, lr=lr, weight_decay=wd)


def test_a_transformer_as_torch_has_it_has_no_scale_invariant_tensor():
    """Its matrices feed a sum with the residual, or a softmax, before any LayerNorm."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.out = nn.Linear(3, 16), nn.Linear(16, 4)
            layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
            self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def forward(self, x):
            return self.out(self.body(self.inside(x.unflatten(1, (4, 3)))).mean(1))

    torch.manual_seed(0)
    watch = trained(lambda p: torch.optim.AdamW(p, lr=0.003, weight_decay=0.1), 40, Net())[1]
    assert not watch.frame()["scale_invariant"].any()
    assert watch.frame()["relaxation_steps"].tolist() == pytest.approx([1 / (2 * 0.003 * 0.1)] * len(watch.frame()))
    assert watch.readings().empty
    with pytest.raises(ValueError, match="only 0 of 0 intervals"):
        watch.adiabatic_index()
    assert watch.noise() == (None, None)


def test_gradients_that_are_not_finite_are_left_out():
    """Every other step is broken, and undone by hand, as a step that a scaler skips is not seen at all."""
    torch.manual_seed(0)
    watch = ThermoProbe(model := network(), optimizer := sgd()(model.parameters()), every=3)
    generator = torch.Generator().manual_seed(1)
    for i in range(80):
        held = copy.deepcopy(model.state_dict())
        x, y = data(generator)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        if i % 7 == 3:
            model[3].weight.grad.fill_(math.nan)
        optimizer.step()
        if i % 7 == 3:
            model.load_state_dict(held)
    assert row(watch, "0.weight")["scale_invariant"]
    assert row(watch, "3.weight")["role"] == "penalty"
    assert all(math.isfinite(value) for value in watch.values().values())


def test_a_tensor_that_is_frozen_is_not_watched():
    torch.manual_seed(0)
    model = network()
    model[0].weight.requires_grad_(False)
    watch = trained(sgd(), 40, model)[1]
    assert "0.weight" not in set(watch.frame()["group"])
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match="the optimizer has no tensor that requires a gradient"):
        ThermoProbe(model, sgd()(model.parameters()))


def test_sparse_gradients_are_named_and_the_rest_is_watched():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.rest = nn.Embedding(8, 12, sparse=True), network()

        def forward(self, x):
            return self.rest(x + self.words((x[:, 0] > 0).long()))

    torch.manual_seed(0)
    start = Net()
    ends = [
        trained(lambda p: torch.optim.SGD(p, lr=0.05), 60, copy.deepcopy(start), probe)[0] for probe in (False, True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in ends), strict=True))
    watch = trained(lambda p: torch.optim.SGD(p, lr=0.05), 60, start)[1]
    assert "no finite, dense gradient of words.weight was seen" in said(watch)
    assert row(watch, "rest.0.weight")["scale_invariant"]


def test_without_weight_decay_there_is_no_equilibrium():
    watch = trained(sgd(wd=0.0), 60)[1]
    found = row(watch, "0.weight")
    assert found["pressure"] == 0
    assert found["temperature"] > 0
    assert all(math.isnan(found[name]) for name in ("equilibrium_share", "relaxation_steps", "pv_over_rt"))
    assert "no weight decay on scale-invariant weights" in said(watch)
    assert "do not move" not in said(watch)


def test_at_a_learning_rate_of_zero_nothing_turns_and_nothing_is_made_up():
    watch = trained(sgd(lr=0.0), 60)[1]
    found = row(watch, "0.weight")
    assert found["scale_invariant"]
    assert found["effective_lr"] == found["temperature"] == found["angular_update"] == 0
    assert all(math.isnan(found[name]) for name in ("equilibrium_share", "relaxation_steps", "balance"))
    assert "lr of 0.weight is 0: the weights do not move, and there is no stationary state" in said(watch)


def test_without_learning_rate_and_weight_decay_only_the_first_is_reported():
    """A bias that begins at 0 stays there: its gradients are finite, though it has no row."""
    torch.manual_seed(0)
    model = network()
    watch = trained(sgd(lr=0.0, wd=0.0), 60, model)[1]
    assert not model[1].bias.any()
    assert "the norm grows" not in str(watch)
    assert "1.bias" not in set(watch.frame()["group"])
    assert watch.warnings() == ["lr of 0.weight is 0: the weights do not move, and there is no stationary state"]


def test_weights_that_are_not_finite_are_named_with_the_step():
    def spoil(model, watch, x, y):
        if watch.steps == 50:
            model[0].weight.data[0, 0] = math.nan

    watch = trained(sgd(), 55, each=spoil, every=2)[1]
    words = watch.warnings()
    first = int(re.match(r"weights of 0.weight.* are not finite, since step (\d+) at the latest$", words[0])[1])
    assert 50 <= first <= 53  # pairs begin 2 to 4 steps apart
    assert not any("equilibrium" in one or "penalty" in one for one in words)
    assert watch.line().endswith(", weights of 0.weight, 1.weight and 3 others are not finite")
    assert "stationary value" not in watch.line()
    assert "weights are not finite" in str(watch)
    assert math.isnan(row(watch, "0.weight")["equilibrium_share"])
    assert "thermo/slowest_share" not in watch.summary()
    again = ThermoProbe(other := network(), sgd()(other.parameters()))
    again.load_state_dict(watch.state_dict())
    assert again._watch.watched[0].broken == first


def test_without_any_gradient_it_says_what_is_needed():
    model = network()
    optimizer = sgd()(model.parameters())
    watch = ThermoProbe(model, optimizer)
    for step in range(10):
        words = f"step {step}: nothing measured yet (two steps are needed, with finite gradients"
        assert watch.line().startswith(words)
        assert str(watch) == watch.line()
        assert watch.line() in watch._repr_html_()
        assert list(watch.frame().columns) == list(COLUMNS)
        assert len(watch.frame()) == len(watch.history) == len(watch.readings()) == 0
        needed = "no finite, dense gradient of 0.weight, 1.weight and 3 others was seen"
        assert watch.warnings() == ([] if step < 2 else [needed])
        assert watch.summary() == watch.values() == {}
        assert watch.noise() == (None, None)
        optimizer.step()


def test_micro_batches_and_clipping_change_nothing():
    torch.manual_seed(0)
    start = network()
    ends = []
    for probed in (False, True):
        model = copy.deepcopy(start)
        optimizer = sgd()(model.parameters())
        watch = ThermoProbe(model, optimizer, every=2) if probed else None
        generator = torch.Generator().manual_seed(1)
        for _ in range(100):
            optimizer.zero_grad()
            for _ in range(2):
                x, y = data(generator)
                (cross_entropy(model(x), y) / 2).backward()
                if watch:
                    watch.microbatch()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
        ends.append(model)
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in ends), strict=True))
    assert watch.frame().attrs["noise"] == "halves"


def test_autocast_to_bfloat16_leaves_the_blocks_to_be_found():
    torch.manual_seed(0)
    start = network("batch")
    ends = []
    for probed in (False, True):
        model = copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        watch = ThermoProbe(model, optimizer) if probed else None
        generator = torch.Generator().manual_seed(1)
        for _ in range(60):
            x, y = data(generator, 64)
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(model)
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in ends), strict=True))
    assert watch.frame()["blocks"].tolist() == [16, 0, 0, 0, 0]


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_a_compiled_model_is_watched_and_not_changed():
    torch.manual_seed(0)
    start = network("batch")
    ends = []
    try:
        for probed in (False, True):
            model = torch.compile(copy.deepcopy(start))
            found, watch = trained(sgd(), 100, model, probed)
            ends.append(found)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        pytest.skip(f"torch.compile does not work here: {str(error).splitlines()[0]}")
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in ends), strict=True))
    assert list(watch.frame()["group"]) == ["0.weight", "1.weight", "1.bias", "3.weight", "3.bias"]
    assert row(watch, "0.weight")["blocks"] == 16


def test_descent_on_the_full_batch_has_hardly_any_noise():
    """The mean gradient is no noise: what is left of it is under a per cent of what all of E|g|^2 would give."""
    torch.manual_seed(0)
    model, (x, y) = network(), data(torch.Generator().manual_seed(1))
    made = torch.optim.SGD(model.parameters(), lr=1e-3, weight_decay=0.01)
    watch, weight, all_of_it = ThermoProbe(model, made), model[0].weight, []
    for _ in range(60):
        made.zero_grad()
        cross_entropy(model(x), y).backward()
        all_of_it.append(float(weight.grad.square().sum() * weight.detach().square().sum()))
        made.step()
    found = row(watch, "0.weight")
    uncorrected = found["effective_lr"] / 2 * sum(all_of_it) / len(all_of_it) / (weight.numel() - 1)
    assert 0 <= found["temperature"] < 0.01 * uncorrected


@pytest.mark.parametrize("far", [0.11, -0.11])
def test_an_index_is_not_taken_from_intervals_that_are_not_stationary(monkeypatch, far):
    watch = trained(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01), 20, network("batch"))[1]
    good = pd.DataFrame({"temperature": [1.0, 2.0, 3.0], "loss": [1.0, 2.1, 3.0], "balance": 1 - 0.8 * far})
    monkeypatch.setattr(watch, "readings", lambda: good)
    kept = watch.adiabatic_index()
    assert kept.index == pytest.approx(1 + 16 * (12 - 1) / 2)  # 1 + R dT/dU, of 16 filters of 12 weights
    assert watch.noise()[1] == 12
    off = pd.DataFrame({"temperature": [4.0, 5.0], "loss": [9.0, 1.0], "balance": 1 + far})
    monkeypatch.setattr(watch, "readings", lambda: pd.concat([good, off]))
    assert watch.adiabatic_index() == kept
    monkeypatch.setattr(watch, "readings", lambda: pd.concat([good.iloc[:2], off]))
    with pytest.raises(ValueError, match="only 2 of 4 intervals"):
        watch.adiabatic_index()
