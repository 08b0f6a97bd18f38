"""Averages on the sphere: against torch's own, against sums written out, and on copies of the gas."""

import math

import numpy as np
import pytest
import torch
from copies import Gas
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from empirics.models.invariance import scale_invariant_blocks
from empirics.steering.averaging import SphereAverage, averaged_loss, effective_samples, hint
from thermo_theory import FixedLR


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8, affine=False),
        nn.ReLU(),
        nn.Linear(8, 5, bias=False),
        nn.LayerNorm(5, elementwise_affine=False),
        nn.Linear(5, 3),
    ).double()


BLOCKS = {"0.weight": 8, "3.weight": 1}


def unit_blocks(model):
    """The scale-invariant blocks at unit norm."""
    return [
        nn.functional.normalize(dict(model.named_parameters())[name].detach().reshape(number, -1), dim=1)
        for name, number in BLOCKS.items()
    ]


@pytest.mark.parametrize("decay", [None, 0.8])
def test_at_one_norm_the_direction_is_that_of_torchs_average(decay):
    model = network()
    rule = {} if decay is None else {"multi_avg_fn": get_ema_multi_avg_fn(decay)}
    theirs, ours = AveragedModel(model, **rule), SphereAverage(model, BLOCKS, decay=decay)
    for seed in range(7):
        model.load_state_dict(network(seed).state_dict())
        with torch.no_grad():
            for name, number in BLOCKS.items():
                rows = model.get_parameter(name).view(number, -1)
                rows.copy_(3 * nn.functional.normalize(rows, dim=1))
        theirs.update_parameters(model)
        ours.update(model)
    for mine, other in zip(unit_blocks(ours.module), unit_blocks(theirs.module), strict=True):
        assert torch.allclose(mine, other, atol=1e-12)
    for name in ("5.weight", "5.bias"):
        assert torch.allclose(ours.module.get_parameter(name), theirs.module.get_parameter(name), atol=1e-12)
    assert all(
        torch.allclose(ours.module.get_parameter(name).norm(), torch.tensor(3.0 * math.sqrt(number)).double())
        for name, number in BLOCKS.items()
    )
    x = torch.randn(16, 6).double()
    assert torch.allclose(ours(x), theirs(x), atol=1e-3)  # the norms are not those of torch's: eps of the layers


def test_a_sample_of_a_larger_norm_counts_no_more():
    model = network()
    ours = SphereAverage(model, BLOCKS)
    scaled = SphereAverage(model, BLOCKS)
    theirs, theirs_scaled = AveragedModel(model), AveragedModel(model)
    norms = []
    for seed in range(4):
        one = network(seed)
        ours.update(one)
        theirs.update_parameters(one)
        with torch.no_grad():
            for name in BLOCKS:
                one.get_parameter(name).mul_(10.0**seed)
        scaled.update(one)
        norms.append(one.get_parameter("0.weight").detach().norm(dim=1))
        theirs_scaled.update_parameters(one)
    for mine, other in zip(unit_blocks(ours.module), unit_blocks(scaled.module), strict=True):
        assert torch.allclose(mine, other, atol=1e-12)
    assert not torch.allclose(unit_blocks(theirs.module)[1], unit_blocks(theirs_scaled.module)[1], atol=0.1)
    assert torch.allclose(scaled.module.get_parameter("0.weight").norm(dim=1), torch.stack(norms).mean(0))


def test_measured_blocks_are_taken_and_state_comes_back():
    model, x, y = network(), torch.randn(32, 6).double(), torch.randint(3, (32,))
    found = scale_invariant_blocks(model, lambda m: nn.functional.cross_entropy(m(x), y))
    blocks = {one.name: one.blocks for one in found if one.scale_invariant}
    assert blocks == BLOCKS
    whole = SphereAverage(model, blocks, decay=0.5)
    for seed in range(3):
        whole.update(network(seed))
    again = SphereAverage(network(9), blocks, decay=0.5)
    again.load_state_dict(whole.state_dict())
    for average in (whole, again):
        average.update(network(5))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in whole.parameters())


def test_buffers_of_the_average_are_those_of_the_model():
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3))
    average = SphereAverage(net, {"0.weight": 3})
    for seed in range(2):
        net(torch.randn(8, 4, generator=torch.Generator().manual_seed(seed)) + 1)
        average.update(net)
        assert int(net[1].num_batches_tracked) == seed + 1
        for name, buffer in net.named_buffers():
            assert torch.equal(average.module.get_buffer(name), buffer), name


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.95])
def test_effective_samples_against_sums_written_out(correlation):
    for count in (1, 2, 17):
        i = np.arange(count)
        expected = 1 / np.mean(correlation ** np.abs(i[:, None] - i) if correlation else np.eye(count))
        assert effective_samples(count, correlation=correlation) == pytest.approx(expected, rel=1e-12)
    decay, i = 0.8, np.arange(400)
    weights = 0.2 * decay**i
    kernel = correlation ** np.abs(i[:, None] - i) if correlation else np.eye(400)
    assert effective_samples(decay=decay, correlation=correlation) == pytest.approx(
        1 / (weights @ kernel @ weights), rel=1e-9
    )


def test_samples_of_a_moving_average_from_its_start():
    average = SphereAverage(nn.Linear(2, 1, bias=False), {"weight": 1}, decay=0.7)
    weights = np.array([1.0])
    for step in range(6):
        average.update(nn.Linear(2, 1, bias=False))
        if step:
            weights = np.append(0.7 * weights, 0.3)
        assert average.samples == pytest.approx(1 / (weights @ weights), rel=1e-12)


def test_loss_of_the_average_of_a_cold_gas():
    """Copies are averaged as they go: spaced samples as independent ones, all steps by their correlation, and EMA."""
    d, copies, start = 30, 100, {"eta": 0.004, "lam": 0.01}
    radius = FixedLR.radius(**start, sigma=1.0, d=d)
    heat = FixedLR.temperature(**start, sigma=1.0, d=d)
    relaxation = radius**2 / start["eta"]  # 1/(eta_eff h) with h = 1
    gas = Gas(copies, d, radius)
    optimizer = torch.optim.SGD(gas.parameters(), lr=start["eta"], weight_decay=start["lam"])

    def go(steps, averages, every):
        for step in range(1, steps + 1):
            gas.backward()
            optimizer.step()
            for average, spacing in zip(averages, every, strict=True):
                if step % spacing == 0:
                    average.update(gas)

    go(round(6 * relaxation), [], [])
    spacing = round(relaxation / 4)
    blocks = {"weights": copies}
    swa, ema = SphereAverage(gas, blocks), SphereAverage(gas, blocks, decay=0.9)
    go(60 * spacing, [swa, ema], [spacing, spacing])
    correlation = math.exp(-spacing / relaxation)
    for average, samples in (
        (swa, effective_samples(60, correlation=correlation)),
        (ema, effective_samples(decay=0.9, correlation=correlation)),
    ):
        measured = average.module.measure()[0]
        predicted = averaged_loss(heat, (d - 1) / 2, samples)
        # Scatter of copies sqrt(2/(29 x 100)) = 2.6 %; the law is of first order in T d/2 = 0.04.
        assert measured == pytest.approx(predicted, rel=0.12)
        assert measured < 0.3 * gas.measure()[0]
    told = hint(temperature=heat, gas_constant=14.5, steps=60 * spacing, relaxation_steps=relaxation)
    assert told.pays
    assert told.averaged == pytest.approx(swa.module.measure()[0], rel=0.15)


def test_a_hotter_run_averages_to_the_same_loss():
    """Of a stretch of one length: samples and R T go with T both, so what is left does not."""
    told = [
        hint(temperature=T, gas_constant=50.0, steps=100_000, relaxation_steps=0.5 / T) for T in (1e-3, 4e-3, 1.6e-2)
    ]
    assert told[0].averaged == pytest.approx(told[2].averaged, rel=0.02)
    assert told[2].loss == pytest.approx(16 * told[0].loss)
    assert {round(one.lowest, 12) for one in told} == {1e-5}
    measured = hint(temperature=1e-3, gas_constant=50.0, steps=100_000, relaxation_steps=500, excess_loss=0.3)
    assert (measured.loss, measured.averaged) == (0.3, pytest.approx(0.3 / told[0].samples))
    cold = hint(temperature=0.5e-5, gas_constant=50.0, steps=100_000, relaxation_steps=1e5)
    assert not cold.pays
    assert cold.samples < 1.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: effective_samples(), "must be 1 or more, unless decay is given"),
        (lambda: effective_samples(4, correlation=1.0), "correlation = 1.0"),
        (lambda: effective_samples(4, decay=0.5), "without a count"),
        (
            lambda: hint(temperature=0.0, gas_constant=1, steps=1, relaxation_steps=1),
            "temperature = 0.0: must be above",
        ),
        (lambda: SphereAverage(network(), {"7.weight": 1}), "no parameter '7.weight'"),
        (lambda: SphereAverage(network(), {"0.weight": 3}), "must divide its 8 rows"),
        (lambda: SphereAverage(network(), {}, decay=1.0), "decay = 1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
