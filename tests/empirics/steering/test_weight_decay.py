"""Conversions against copies of the gas under the other optimiser; symmetry, bit for bit; proposals by simulation."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from copies import Gas
from matplotlib.figure import Figure
from torch import nn

from empirics.isotropic import simulate
from empirics.probe import ThermoProbe
from empirics.steering.weight_decay import (
    DECAYS,
    Setting,
    chart,
    convert,
    propose,
    propose_temperature,
    same_training,
)
from thermo_theory import FixedLR


def measured(setting, sigma, dimension, steps):
    """Temperature and squared norm of the simulated gas."""
    runs = simulate(
        dimension=dimension,
        steps=steps,
        burn_in=steps // 2,
        lr=[setting.lr],
        weight_decay=[setting.derived],
        sigma=sigma,
        optimizer=setting.optimizer,
        momentum=setting.momentum or 0.9,
        seeds=[1, 2, 3, 4],
    )
    data = runs.dataset
    return float(data["temperature"].mean()), float(data["radius_sq"].mean())


def test_the_noise_that_a_probe_gives_converts_the_tensor_with_the_most_directions():
    """AdamW's stationary norm at the converted rates is the measured one of the second, larger tensor."""
    torch.manual_seed(0)
    norm = {"elementwise_affine": False, "eps": 1e-12}
    net = nn.Sequential(
        nn.Linear(4, 6, bias=False), nn.LayerNorm(6, **norm), nn.Linear(6, 80, bias=False), nn.LayerNorm(80, **norm)
    )
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.05)
    probe, sizes = ThermoProbe(net, sgd), []
    for step in range(1200):  # 24 relaxation times
        sgd.zero_grad()
        out = net(torch.randn(4, 4))
        (out * torch.randn_like(out)).sum().backward()  # pure noise
        probe.step()
        sgd.step()
        if step > 600:
            sizes.append([float(net[i].weight.detach().square().sum()) for i in (0, 2)])
    small, large = np.mean(sizes, axis=0)
    sigma, d = probe.noise()
    adam = convert(Setting(0.1, 0.05), optimizer="adamw", sigma=sigma, dimension=d)
    predicted = FixedLR.with_optimizer("adamw").radius(eta=adam.lr, lam=adam.weight_decay, d=d) ** 2
    assert d == 480
    assert predicted == pytest.approx(large, rel=0.2)
    assert large > 2 * small


@pytest.mark.long
def test_adamw_has_the_temperature_and_norm_of_sgd():
    sigma, d, first = 0.8, 30, Setting(0.01, 0.02)
    other = convert(first, optimizer="adamw", sigma=sigma, dimension=d)
    # Formulas for small steps: of first order in lr weight_decay/(1 - beta1) = 2e-3 and in 1 - beta2 = 1e-3.
    assert measured(other, sigma, d, 10_000) == pytest.approx(measured(first, sigma, d, 10_000), rel=0.03)


@pytest.mark.long
@pytest.mark.parametrize("source", ["sgd", "adamw"])
def test_other_optimisers_have_the_temperature_and_norm_of_the_first(source):
    sigma, d = 0.8, 30
    first = Setting(2e-3, 0.02, source)
    heat, square = measured(first, sigma, d, 100_000)
    for optimizer in ("sgd", "momentum", "adamw", "adam-l2"):
        if optimizer == source:
            continue
        momentum = 0.9 if optimizer == "momentum" else None
        other = convert(first, optimizer=optimizer, momentum=momentum, sigma=sigma, dimension=d)
        # Radius and temperature formulas of Adam hold to 1 % at these steps (beta2 = 0.999), SGD's better.
        assert measured(other, sigma, d, 100_000) == pytest.approx((heat, square), rel=0.03), other


def test_another_momentum_of_one_optimiser_has_the_rates_that_keep_temperature_and_norm():
    before = Setting(0.1, 1e-3, "momentum", momentum=0.9)
    after = convert(before, momentum=0.5)
    of = FixedLR.with_optimizer("momentum")
    values = [
        {"eta": one.lr, "lam": one.weight_decay, "beta": one.momentum, "sigma": 0.7, "d": 50} for one in (before, after)
    ]
    for formula in (of.temperature, of.radius):
        first, second = (formula(**{name: one[name] for name in formula.arguments}) for one in values)
        assert first == pytest.approx(second, rel=1e-9)


def test_equal_temperature_of_sgd_and_adamw_is_equal_product():
    sgd = Setting(0.1, 1e-3)
    adam = convert(sgd, optimizer="adamw", sigma=2.0, dimension=1001)
    radius = FixedLR.radius(eta=0.1, lam=1e-3, sigma=2.0, d=1001)
    assert adam.lr * adam.weight_decay == pytest.approx(1e-4, rel=1e-12)
    assert adam.lr / adam.weight_decay == pytest.approx(2 * radius**2 / 1001, rel=1e-12)


@pytest.mark.parametrize("source", DECAYS)
@pytest.mark.parametrize("target", DECAYS)
def test_there_and_back_again(source, target):
    noise = {"sigma": 0.6, "dimension": 77}
    momentum = {name: 0.8 if name in ("momentum", "nesterov") else 0.0 for name in DECAYS}
    for decay in DECAYS[source]:
        start = Setting(0.03, 0.004, source, decay, momentum[source])
        for other in DECAYS[target]:
            there = convert(start, optimizer=target, decay=other, momentum=momentum[target], **noise)
            back = convert(there, optimizer=source, decay=decay, momentum=momentum[source], **noise)
            assert (back.lr, back.weight_decay) == pytest.approx((0.03, 0.004), rel=1e-9)
            assert (there.optimizer, there.decay) == (target, other)


def test_decoupled_decay_under_momentum_holds_the_same_norm():
    """Heavy ball with the decay beside the step, by hand, against torch's with the decay in the gradient."""
    d, beta, first = 30, 0.9, Setting(1e-3, 0.05, "momentum", momentum=0.9)
    beside = convert(first, decay="decoupled")
    alone = convert(first, decay="independent")
    assert beside.weight_decay == pytest.approx(0.5)
    assert alone.weight_decay == pytest.approx(5e-4)
    start = FixedLR.with_optimizer("momentum").radius(eta=1e-3, lam=0.05, sigma=1.0, d=d, beta=beta) * 1.2
    coupled, decoupled = (Gas(100, d, start, seed=seed) for seed in (1, 2))
    one = torch.optim.SGD(coupled.parameters(), lr=first.lr, momentum=beta, weight_decay=first.weight_decay)
    other = torch.optim.SGD(decoupled.parameters(), lr=first.lr, momentum=beta)
    for _ in range(2500):  # five relaxation times of the norm, 1/(4 lr weight_decay/(1 - beta)) = 500
        coupled.backward()
        one.step()
        decoupled.backward()
        with torch.no_grad():
            decoupled.weights.mul_(1 - beside.lr * beside.weight_decay)
        other.step()
    assert decoupled.measure()[1] == pytest.approx(coupled.measure()[1], rel=0.005)
    assert decoupled.measure()[0] == pytest.approx(coupled.measure()[0], rel=0.15)  # 2.6 % a standard error


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        (Setting(0.125, 0.25), lambda w, s: torch.optim.SGD(w, lr=s.lr, weight_decay=s.weight_decay)),
        (
            Setting(0.125, 0.25, "momentum", momentum=0.5),
            lambda w, s: torch.optim.SGD(w, lr=s.lr, weight_decay=s.weight_decay, momentum=0.5),
        ),
        (
            Setting(0.125, 0.25, "adamw"),
            lambda w, s: torch.optim.AdamW(w, lr=s.lr, weight_decay=s.weight_decay, eps=0.0),
        ),
        (
            Setting(0.125, 0.25, "adam-l2"),
            lambda w, s: torch.optim.Adam(w, lr=s.lr, weight_decay=s.weight_decay, eps=0.0),
        ),
    ],
)
def test_pairs_that_train_the_same_do_bit_for_bit(setting, make):
    table = same_training(setting, [1.0, 4.0])
    ends = []
    for row in table.itertuples():
        gas = Gas(3, 6, 1.0, seed=5)
        with torch.no_grad():
            gas.weights.mul_(row.weights)
        optimizer = make(gas.parameters(), Setting(row.lr, row.weight_decay, setting.optimizer))
        for _ in range(50):
            gas.backward()
            optimizer.step()
        ends.append(gas.weights.detach() / row.weights)
    assert torch.equal(*ends)


def test_independent_decay_along_an_orbit_stays():
    table = same_training(Setting(0.1, 1e-5, "adamw", decay="independent"))
    assert np.allclose(table["weight_decay"], 1e-5)
    assert np.allclose(table["lr"], 0.1 * table["weights"])


def test_intervals_of_proposals_cover():
    rng = np.random.default_rng(11)
    decay = np.geomspace(1e-4, 1e-2, 7)
    lr = np.array([0.1, 0.2, 0.05, 0.1, 0.4, 0.1, 0.02])
    best, trials = np.log(6e-5), 500
    inside = {"score": 0, "temperature": 0}
    for _ in range(trials):
        x = np.log(lr * decay)
        found = propose(lr, decay, (x - best) ** 2 + rng.normal(0, 0.6, 7))
        inside["score"] += found.low <= 6e-5 <= found.high
        heat = 0.3 * (lr * decay) ** 0.45 * np.exp(rng.normal(0, 0.1, 7))
        found = propose_temperature(lr, decay, heat, 0.3 * 6e-5**0.45)
        inside["temperature"] += found.low <= 6e-5 <= found.high
    for share in (count / trials for count in inside.values()):
        assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / trials), inside


def test_proposals_lie_on_their_line_and_grids_cover_the_interval():
    decay = np.geomspace(1e-4, 1e-2, 5)
    score = np.log(decay / 2e-3) ** 2 + 0.05 * np.array([1, -1, 1, -1, 1])
    for optimizer, power in (("sgd", 1), ("adamw", 1), ("adam-l2", 2)):
        found = propose(np.full(5, 0.1), decay, score, optimizer=optimizer)
        assert found.lr**power * found.weight_decay == pytest.approx(found.product, rel=1e-12)
        assert 0.1**power * 2e-3 == pytest.approx(found.product, rel=0.05)
        grid = found.grid(4)
        product = grid["lr"] ** power * grid["weight_decay"]
        assert product.iloc[0] == pytest.approx(found.low)
        assert product.iloc[-1] == pytest.approx(found.high)
        assert np.allclose(np.diff(np.log(product)), np.log(found.high / found.low) / 3)


def test_without_a_minimum_the_search_goes_on_beyond_the_better_end():
    decay = np.geomspace(1e-4, 1e-1, 4)
    found = propose(np.full(4, 0.1), decay, [4.0, 3.0, 2.0, 1.01])
    assert found.product == pytest.approx(0.1 * 1.0, rel=1e-9)
    assert (found.low, found.high) == (0.0, np.inf)
    assert "beyond the better end" in found.reason
    with pytest.raises(ValueError, match="closed interval"):
        found.grid()


def test_a_maximum_is_no_minimum_and_three_lines_of_equal_training_are_enough():
    decay = np.geomspace(1e-4, 1e-1, 5)
    found = propose(np.full(5, 0.1), decay, -(np.log(decay / 4e-3) ** 2) + 0.01 * np.array([1, -1, 0, 1, -1]))
    assert "beyond the better end" in found.reason
    assert found.product < 0.1 * 1e-4  # the farther end is the lower one
    for decays, few in (([1e-3, 1e-3, 2e-3, 4e-3], False), ([1e-3, 1e-3, 2e-3, 2e-3], True)):
        with pytest.raises(ValueError, match="fewer than 3 lines") if few else nullcontext():
            propose(np.full(4, 0.1), decays, [2.0, 2.1, 1.0, 2.0])


def test_a_chart_has_lines_of_equal_training_and_the_setting_on_its_own(tmp_path, monkeypatch):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *given, **look: (drawn.append(figure), save(figure, *given)))
    out = chart(Setting(0.1, 1e-3), tmp_path / "c.png", lr=[0.1, 0.2], weight_decay=[1e-3, 1e-3], score=[1.0, 2.0])
    assert out.read_bytes().startswith(b"\x89PNG")
    *lines, setting = [line.get_xydata() for line in drawn[0].axes[0].lines]
    for line, product in zip(lines, 1e-4 * 4.0 ** np.arange(-3, 4), strict=True):
        np.testing.assert_allclose(line.prod(1), product)
        assert (line[0, 0], line[-1, 0]) == pytest.approx((0.1 / 64, 6.4))
    assert setting.tolist() == [[0.1, 1e-3]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Setting(0.1, 0.0), "weight_decay = 0.0: must be a finite number above 0"),
        (lambda: Setting(0.1, "5e-4"), "weight_decay = '5e-4': must be a finite number above 0"),
        (lambda: Setting(0.1, 0.1, "lion"), "must be one of sgd, momentum"),
        (
            lambda: Setting(0.1, 0.1, "adamw", "l2"),
            "must be decoupled or independent for adamw; Adam with l2 is adam-l2",
        ),
        (lambda: Setting(0.1, 0.1, momentum=0.9), "sgd has none; use momentum or nesterov"),
        (lambda: convert(Setting(0.1, 0.1), optimizer="adamw"), "converting sgd to adamw requires dimension and sigma"),
        (lambda: convert(Setting(0.1, 0.1), decay="coupled"), "must be l2 or decoupled or independent for sgd"),
        (lambda: same_training(Setting(0.1, 0.1), [0.0]), "above 0"),
        (lambda: propose([1, 1, 1], [1, 2, 3], [1, 2, 3]), "4 or more each, got 3, 3, 3"),
        (
            lambda: propose([1, 2, 4, 8], [8, 4, 2, 1], [1, 2, 3, 4]),
            "lines of equal training: vary lr.*, not only lr/",
        ),
        (lambda: propose_temperature([1, 1, 1], [1, 2, 3], [1, 2, -1], 1.0), "above 0"),
        (lambda: chart(Setting(0.1, 0.1), "x.png", lr=[1.0]), "equal lengths, got 1, 0, 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
