"""Planted faults: each passes on the CPU, and is caught on the pretended card by what the other tests assert."""

import card_budgets
import pytest
import torch
from configurations import configuration, contents, differences, ensemble, on_card, steps, trained
from named_places import unnamed

from empirics.training.ensemble import Ensemble

pytestmark = pytest.mark.usefixtures("one_thread")

RAISE = {
    "a host tensor in an operation": (lambda state: state.flat + torch.ones(state.flat.shape), "same device"),
    "indices left on the host": (lambda state: state.flat.index_select(0, torch.tensor([1])), "same device"),
    "a generator of the CPU": (
        lambda state: torch.randn(3, device=state.flat.device, generator=torch.Generator()),
        "generator",
    ),
}
WAIT = {
    "a mask as an index": lambda state: state.flat[state.flat > 0],
    "advanced indexing by the host": lambda state: state.flat[torch.tensor([1, 0])],
    "item": lambda state: state.flat.sum().item(),
    "bool": lambda state: bool(state.flat.isfinite().all()),
    "a branch on a value": lambda state: 1 if state.total[0, 0] > 0 else 2,
    "a pageable copy to the device": lambda state: torch.ones(3).to(state.flat.device),
    "a copy to the host": lambda state: state.flat.cpu(),
    "a number written into one element": lambda state: state.total.__setitem__((0, 0), 0.0),
    "a size that depends on values": lambda state: state.flat.nonzero(),
}


def plant(monkeypatch, fault):
    """Put a fault into every step; on the CPU the loop still runs."""
    original = Ensemble._direction

    def direction(self, state, *arguments):
        fault(state)
        return original(self, state, *arguments)

    monkeypatch.setattr(Ensemble, "_direction", direction)
    trained(configuration(), "cpu")


def three_steps(card):
    made = ensemble(configuration(), "cuda")
    state = made.start()
    card.clear()
    for _ in steps(made, state, 3):
        pass
    return state


@pytest.mark.parametrize("fault", RAISE)
def test_planted_operand_on_the_wrong_device_raises(fault, card, monkeypatch):
    broken, said = RAISE[fault]
    plant(monkeypatch, broken)
    with pytest.raises(RuntimeError, match=said):
        three_steps(card)


@pytest.mark.parametrize("fault", WAIT)
def test_planted_wait_is_at_no_named_place(fault, card, monkeypatch):
    plant(monkeypatch, WAIT[fault])
    three_steps(card)
    (found,) = unnamed(card.waits)
    assert "empirics/training/ensemble.py" in found


def test_planted_copy_from_pinned_memory_is_seen_though_nothing_waits(card, monkeypatch):
    plant(
        monkeypatch,
        lambda state: (
            torch.ones(3).to(state.flat.device)
            if state.flat.device.type == "cpu"
            else torch.ones(3, pin_memory=True).to("cuda", non_blocking=True)
        ),
    )
    three_steps(card)
    assert unnamed(card.waits) == []
    assert len(unnamed(card.copies)) == 1


def test_planted_change_of_a_bit_is_a_difference(card, monkeypatch):
    name = "sgd at fixed-lr"
    expected = on_card(name).contents
    assert differences(trained(configuration(), "cuda"), expected) == []

    def nudge(state):
        if state.flat.device.type == "cuda" and state.step == 9:
            state.flat.mul_(1 + 1e-7)

    plant(monkeypatch, nudge)
    assert "flat" in differences(trained(configuration(), "cuda"), expected)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda state: state.flat + 1, "launches per step"),
        (lambda state: state.flat.sum().item(), "waits per 1000 steps"),
        (lambda state: state.flat.cpu(), "bytes per step"),
        (lambda state: torch.zeros(10**5, device=state.flat.device), "bytes taken in a step"),
    ],
)
def test_planted_cost_breaks_its_budget(fault, said, card, monkeypatch):
    name = "sgd at fixed-lr"
    budget = on_card(name).costs
    plant(monkeypatch, fault)
    found = card_budgets.broken(on_card.__wrapped__(name).costs, budget)
    assert any(line.startswith(f"{said}: ") and "over its budget" in line for line in found), found


def test_planted_slack_in_a_budget_is_to_be_tightened(card):
    costs = on_card("sgd at fixed-lr").costs
    assert card_budgets.broken(costs, costs) == []
    (line,) = card_budgets.broken(costs, costs | {"launches per step": costs["launches per step"] * 1.2})
    assert line.endswith("tighten it")


def test_planted_waits_do_not_reach_the_state(card, monkeypatch):
    """The faults above differ from the loop by the wait alone: without them nothing is found."""
    state = three_steps(card)
    assert unnamed([*card.waits, *card.copies]) == []
    assert contents(state)["flat"].shape == (2, state.flat.shape[1])
