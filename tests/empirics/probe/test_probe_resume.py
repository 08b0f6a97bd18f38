"""A probe that is saved and loaded goes on as if nothing had happened; what it reads feeds the schedules."""

import copy
import io

import numpy as np
import pandas as pd
import pytest
import torch
from copies import Gas as Copies
from torch import nn
from torch.nn.functional import cross_entropy
from watched import data, network

from empirics.probe import ThermoProbe
from empirics.probe.losses import CHUNK, KEPT, Losses, LossRelaxation, _stacked, relaxation
from empirics.steering import Adiabat, Cooldown
from thermo_theory import vmf


def step(model, optimizer, probe, generator, halves=False):
    x, y = data(generator)
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    if halves:
        gradients = [[p.grad * (1 + s) for p in model.parameters()] for s in (-0.1, 0.1)]
        probe.halves(*gradients)
    probe.step(loss)
    optimizer.step()


def begun(seed=0):
    torch.manual_seed(seed)
    model = network("batch")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.02)
    return model, optimizer, ThermoProbe(model, optimizer, every=6)


@pytest.mark.parametrize("stop", [1, 13, 317, 318])
def test_a_resumed_training_has_the_same_frame(stop):
    whole, generator = begun(), torch.Generator().manual_seed(1)
    for i in range(400):
        step(*whole, generator, halves=i % 50 == 0)
    first, generator = begun(), torch.Generator().manual_seed(1)
    for i in range(stop):
        step(*first, generator, halves=i % 50 == 0)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in first], file)
    file.seek(0)
    second = begun(seed=9)
    for part, held in zip(second, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(held)
    for i in range(stop, 400):
        step(*second, generator, halves=i % 50 == 0)
    pd.testing.assert_frame_equal(second[2].frame(), whole[2].frame(), check_exact=True)
    pd.testing.assert_frame_equal(second[2].history, whole[2].history, check_exact=True)
    pd.testing.assert_frame_equal(second[2].readings(), whole[2].readings(), check_exact=True)
    assert second[2].line() == whole[2].line()
    assert second[2].warnings() == whole[2].warnings()


def test_the_state_is_taken_at_that_moment_and_of_another_network_refused():
    model, optimizer, probe = begun()
    generator = torch.Generator().manual_seed(1)
    for _ in range(101):
        step(model, optimizer, probe, generator)
    held = probe.state_dict()
    kept = copy.deepcopy(held)
    for _ in range(60):
        step(model, optimizer, probe, generator)
    assert str(held) == str(kept)
    other = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"of a probe on other tensors: .*0.weight.* is not watched here"):
        ThermoProbe(other, torch.optim.SGD(other.parameters(), lr=0.1)).load_state_dict(held)


# Losses --------------------------------------------------------------------------------------------------------------


def test_losses_are_thinned_without_losing_their_means():
    values = np.arange(3.0 * KEPT + 7)
    losses = Losses()
    for value in values:
        losses.add(float(value))
    assert losses.width == 4
    found = losses.series(0, len(values))
    np.testing.assert_array_equal(found, values[: len(found) * 4].reshape(-1, 4).mean(1))
    np.testing.assert_array_equal(losses.series(401, 800), found[101:200])
    assert losses.last == values[-1]


def test_losses_are_those_of_the_step_whatever_becomes_of_the_tensor():
    losses, loss = Losses(), torch.ones(())
    for _ in range(CHUNK + 3):
        losses.add(loss)
        loss += 1
    losses.add(None)
    assert losses.series(0, 10).tolist() == list(range(1, 11))
    assert losses.last == CHUNK + 3
    with pytest.raises(ValueError, match=r"loss must be a scalar, got a tensor of shape \(2,\)"):
        losses.add(torch.ones(2))


def test_losses_that_stay_on_their_device_are_stacked_with_numbers_and_gaps():
    mixed = [torch.tensor(1.5, dtype=torch.float32), 2.0, float("nan"), torch.tensor([3.0])]
    np.testing.assert_array_equal(_stacked(mixed).numpy(), [1.5, 2.0, np.nan, 3.0])
    with pytest.raises(ValueError, match="loss must be a scalar"):
        _stacked([torch.ones(2)])


def slow(seed, tau, noise, n=20_000):
    random = np.random.default_rng(seed)
    keep, values = np.exp(-1 / tau), np.empty(n + 1000)
    values[0] = 0
    for i, kick in enumerate(random.normal(size=n + 999) * np.sqrt(1 - keep**2)):
        values[i + 1] = keep * values[i] + kick
    return values[1000:] + noise * random.normal(size=n)


def test_a_relaxation_time_under_the_noise_of_minibatches():
    found = [relaxation(slow(seed, 40, 2)) for seed in range(12)]
    assert sum(one.low < 40 < one.high for one in found) >= 9  # of intervals of 95 % less than 9 is 1 in 5,000
    assert np.median([one.steps for one in found]) == pytest.approx(40, rel=0.15)
    halved = slow(0, 40, 2).reshape(-1, 2).mean(1)
    assert relaxation(halved, 2).steps == pytest.approx(found[0].steps, rel=0.1)
    drift = 20 * np.linspace(0, 1, 20_000)  # of the whole series: neither slow relaxation nor in the way of it
    assert "no slow part" in relaxation(np.random.default_rng(0).normal(size=20_000) + drift).why_not
    assert relaxation(slow(0, 40, 2) + drift).steps == pytest.approx(found[0].steps, rel=0.02)
    assert "no slow part" in relaxation(np.random.default_rng(0).normal(size=4000)).why_not
    assert "a hundredth of the series" in relaxation(slow(1, 4000, 0.1)).why_not
    assert "needs 1,000 or more steps, has 10" in relaxation(np.ones(10)).why_not


# Schedules -----------------------------------------------------------------------------------------------------------


class OneGas(nn.Module):
    """One copy of the isotropic gas whose loss, 1 - cos, is known; gradients are made by hand."""

    def __init__(self, d, radius):
        super().__init__()
        self.gas = Copies(1, d, radius)
        self.gas.double()


def watched_gas(rates, steps, d=20, decay=0.05, every=8):
    model = OneGas(d, (rates[0] * (d - 1) / (2 * decay)) ** 0.25)
    optimizer = torch.optim.SGD(model.parameters(), lr=rates[0], weight_decay=decay)
    probe = ThermoProbe(model, optimizer, every=every)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(steps):
            model.gas.backward()
            w = model.gas.weights.detach()[0]
            probe.step(1 - w[0] / w.norm())
            optimizer.step()
    return model, optimizer, probe


@pytest.mark.long
def test_the_index_of_the_gas_from_three_rates_feeds_an_adiabat():
    _, optimizer, probe = watched_gas([0.01, 0.02, 0.04, 0.08], 8000)
    table = probe.readings()
    assert table["lr"].tolist() == [0.01, 0.02, 0.04, 0.08]
    exact = vmf.energy(d=20, T=table["temperature"].to_numpy())
    np.testing.assert_allclose(table["loss"], exact, rtol=0.15)
    found = probe.adiabatic_index()
    assert found.low < vmf.adiabatic_index(d=20, T=float(table["temperature"].mean())) < found.high
    assert found.high - found.low < 2
    schedule = Adiabat(optimizer, 2.0, 100, index=found)
    assert schedule.plan == Adiabat(optimizer, 2.0, 100, index=found.index).plan


@pytest.mark.long
def test_the_loss_of_the_gas_relaxes_as_a_basin_does_and_the_check_takes_it():
    _, optimizer, probe = watched_gas([0.02], 30_000)
    found, row = probe.loss_relaxation(), probe.frame().iloc[0]
    # C_V tau is that of the mean square angle, 1/(2 eta_eff) at curvature 1, where T is far below 1/d.
    assert found.low < 1 / (2 * row["effective_lr"]) < found.high
    schedule = Cooldown(optimizer, 20_000, factor=0.5, shape="log")
    told = schedule.check(probe=probe)
    assert told.lag_energy == schedule.check(relaxation_steps=found.steps).lag_energy
    assert told.lag_energy < schedule.check().lag_energy


def test_the_check_of_adam_with_l2_asks_the_probe_for_sigma_and_dimension():
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
    probe, generator = ThermoProbe(model, optimizer), torch.Generator().manual_seed(1)
    for _ in range(60):
        step(model, optimizer, probe, generator)
    schedule = Cooldown(optimizer, 20_000, factor=0.5, shape="log")
    with pytest.raises(ValueError, match="depends on dimension and sigma"):
        schedule.check()
    sigma, dimension = probe.noise()
    assert dimension == 12 * 16
    assert schedule.check(probe=probe) == schedule.check(sigma=sigma, dimension=dimension)
    for given in ({"sigma": 2 * sigma, "dimension": dimension}, {"sigma": sigma, "dimension": 7}):
        assert schedule.check(probe=probe, **given) == schedule.check(**given) != schedule.check(probe=probe)
    probe.loss_relaxation = lambda: LossRelaxation(9e3)
    given = {"sigma": sigma, "dimension": dimension}
    assert schedule.check(probe=probe) == schedule.check(relaxation_steps=9e3, **given)
    assert schedule.check(probe=probe, relaxation_steps=5e3) == schedule.check(relaxation_steps=5e3, **given)


def test_an_index_needs_three_stretches_in_balance():
    model, optimizer, probe = begun()
    generator = torch.Generator().manual_seed(1)
    for _ in range(120):
        step(model, optimizer, probe, generator)
    with pytest.raises(ValueError, match="intervals at constant lr and weight decay are stationary"):
        probe.adiabatic_index()
    assert "needs 1,000 or more steps" in probe.loss_relaxation().why_not
