"""Every network, optimiser, protocol and option on the pretended card: the CPU's bits, named waits only, budgets."""

import re

import card_budgets
import numpy as np
import pytest
import torch
from configurations import (
    ALL,
    LONG,
    NETWORKS,
    OWN,
    configuration,
    differences,
    ensemble,
    on_card,
    steps,
    trained,
)
from named_places import LOOP, unnamed

from empirics.models.registry import MODELS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def own_module(card, tmp_path, monkeypatch):
    """A user's file in the working folder."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_trained_to_the_bits_of_the_cpu_without_waiting(name, own_module):
    found = on_card(name)
    assert unnamed(found.events) == []
    assert differences(found.contents, trained(configuration(**ALL[name]), "cpu")) == []
    assert np.isfinite(found.contents["flat"]).all()


@pytest.mark.parametrize("name", ALL | LONG)
def test_no_budget_is_exceeded_or_loose(name, own_module, request):
    costs = on_card(name).costs
    if request.config.getoption("write_budgets"):
        card_budgets.write(name, costs)
    table = card_budgets.read()
    if not re.match(rf"{re.escape(table['torch'])}\b", torch.__version__):
        pytest.skip(f"the budgets are those of torch {table['torch']}")
    assert card_budgets.broken(costs, table["budgets"][name]) == []


def test_every_network_is_trained_on_the_card():
    assert set(MODELS.names) <= {name.partition(",")[0] for name in NETWORKS}


def test_every_budget_is_of_a_configuration():
    assert set(card_budgets.read()["budgets"]) == set(ALL | LONG)


@pytest.mark.parametrize(("name", "place"), [(place.seen, place) for place in LOOP])
def test_a_named_place_still_waits(name, place, own_module):
    """Or else it must leave the list, so that it does not come back unseen."""
    assert any(map(place.holds, on_card(name).events)), f"take it from named_places.LOOP: {place}"


def test_a_diverged_run_is_frozen_on_the_card(card):
    made = ensemble(configuration(), "cuda")
    spoiled, sound = made.start(), made.start()
    spoiled.weights[0][1] = torch.nan
    for _ in zip(steps(made, spoiled, 3), steps(made, sound, 3), strict=True):
        pass
    assert torch.isnan(spoiled.flat[1]).all().item()
    assert torch.equal(spoiled.flat[0], sound.flat[0])
