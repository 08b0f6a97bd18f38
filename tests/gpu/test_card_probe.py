"""The probe beside a user's own loop on the pretended card: the CPU's table, and two kinds of waits."""

import pandas as pd
import pytest
import torch
from named_places import PROBE, unnamed
from torch import nn
from torch.nn.functional import cross_entropy

import empirics
from empirics.models import scale_invariant_blocks

pytestmark = pytest.mark.usefixtures("one_thread", "card")

STEPS, EVERY = 40, 10
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adam, l2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "of another rule": lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.01),
}


def network():
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(12, 8, bias=False), nn.LayerNorm(8), nn.ReLU())
    return nn.Sequential(*first, nn.Linear(8, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))


def minibatches(device):
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x = torch.randn(16, 12, generator=generator)
        y = (x[:, :4] + 2 * torch.randn(16, 4, generator=generator)).argmax(1)
        yield x.to(device), y.to(device)


def take(model, optimizer, watch, data):
    for x, y in data:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        watch.step(loss)
        optimizer.step()


def watched(device, make):
    model = network().to(device)
    optimizer = make(model.parameters())
    data = list(minibatches(device))
    watch = empirics.watch(model, optimizer, every=EVERY)
    return model, optimizer, watch, data


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_table_is_that_of_the_cpu_and_only_named_places_wait(name, card):
    frames = {}
    for device in ("cpu", "cuda"):
        model, optimizer, watch, data = watched(device, OPTIMIZERS[name])
        card.clear()
        take(model, optimizer, watch, data)
        if device == "cuda":
            ours = [event for event in (*card.waits, *card.copies) if event.place.file.startswith("empirics")]
            assert unnamed(ours, PROBE) == []
            assert all(any(map(place.holds, ours)) for place in PROBE), "take it from named_places.PROBE"
            later = [event for event in ours if not PROBE[0].holds(event)]
            assert len(set(later)) == len(later), "all but the readings happen once"
            assert len(card.waits) == len(ours) / 2, "the user's loop does not wait"
            card.clear()
        frames[device] = watch.frame()
    assert len(card.waits) == 1, "one wait for a table"
    pd.testing.assert_frame_equal(frames["cuda"], frames["cpu"], check_exact=True)


def test_planted_look_at_the_loss_in_the_loop_is_seen(card):
    model, optimizer, watch, data = watched("cuda", OPTIMIZERS["sgd"])
    original = watch.step
    watch.step = lambda loss: original(loss.item())
    card.clear()
    take(model, optimizer, watch, data[:3])
    assert len(unnamed(card.waits, PROBE)) == 1


def test_the_probe_resumes_from_the_cpu_on_the_card_and_back(card):
    def resumed(first, second):
        model, optimizer, watch, data = watched(first, OPTIMIZERS["adamw"])
        take(model, optimizer, watch, data[:21])
        states = [one.state_dict() for one in (model, optimizer, watch)]
        model, optimizer, watch, data = watched(second, OPTIMIZERS["adamw"])
        for one, state in zip((model, optimizer, watch), states, strict=True):
            one.load_state_dict(state)
        take(model, optimizer, watch, data[21:])
        return watch.frame()

    expected = resumed("cpu", "cpu")
    for devices in (("cpu", "cuda"), ("cuda", "cpu")):
        pd.testing.assert_frame_equal(resumed(*devices), expected, check_exact=True)


def test_scale_invariant_blocks_are_found_on_the_card():
    found = {}
    for device in ("cpu", "cuda"):
        model, (x, y) = network().to(device), next(minibatches(device))
        rows = scale_invariant_blocks(model, lambda m, x=x, y=y: cross_entropy(m(x), y))
        found[device] = [(row.name, row.blocks, row.violation, row.role) for row in rows]
    assert found["cuda"] == found["cpu"]
    assert any(blocks for _, blocks, *_ in found["cpu"])
