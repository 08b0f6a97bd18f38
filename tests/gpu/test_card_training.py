"""Every network, optimiser, protocol and option on the pretended card: the CPU's bits, and no wait but the named."""

import numpy as np
import pytest
import torch
from configurations import ALL, OWN, WITHOUT_AUTOGRAD, configuration, differences, ensemble, steps, trained
from named_places import LOOP, unnamed

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_trained_as_on_the_cpu_without_waiting(name, card, request):
    if name not in WITHOUT_AUTOGRAD:
        request.getfixturevalue("autograd")
    experiment = configuration(**ALL[name])
    made = ensemble(experiment, "cuda")
    state = made.start()
    card.clear()
    for _ in steps(made, state):
        pass
    assert unnamed(card) == []
    assert card.launches.total() > 50 * experiment.total_steps
    assert differences(state, trained(experiment, "cpu")[1]) == []
    assert all(np.isfinite(w.detach().cpu().numpy()).all() for w in state.weights)


@pytest.mark.parametrize("place", LOOP, ids=lambda place: place.function)
def test_a_named_place_still_waits(place, card, request):
    """Or else it must leave the list, so that it does not come back unseen."""
    if place.seen not in WITHOUT_AUTOGRAD:
        request.getfixturevalue("autograd")
    made = ensemble(configuration(**ALL[place.seen]), "cuda")
    state = made.start()
    card.clear()
    for _ in steps(made, state, 4):
        pass
    assert any(place.holds(event.place) for event in card.waits), f"take it from named_places.LOOP: {place}"


def test_a_diverged_run_is_frozen_on_the_card(card):
    made = ensemble(configuration(), "cuda")
    spoiled, sound = made.start(), made.start()
    spoiled.weights[0][1] = torch.nan
    for _ in zip(steps(made, spoiled, 3), steps(made, sound, 3), strict=True):
        pass
    assert torch.isnan(spoiled.flat[1]).all().item()
    assert torch.equal(spoiled.flat[0], sound.flat[0])
