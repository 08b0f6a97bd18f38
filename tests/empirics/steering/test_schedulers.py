"""Schedulers on torch's own optimisers: what is set, checkpoints, groups, and a gas of copies that follows."""

import io
import math

import numpy as np
import pytest
import torch
from copies import Gas
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from empirics.steering import (
    Adiabat,
    Cooldown,
    DecayFollowsLR,
    Isobar,
    Isochore,
    Isotherm,
    measured_index,
    optimizer_name,
    vmf_heat_capacity,
)
from thermo_theory import FixedLR


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5, bias=False), nn.LayerNorm(5, elementwise_affine=False), nn.Linear(5, 2))


def sgd(model, **options):
    first, last = model[0], model[2]
    groups = [
        {"params": first.parameters(), "weight_decay": 0.02},
        {"params": [last.weight], "lr": 0.3, "weight_decay": 0.01},
        {"params": [last.bias], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.1, **options)


MAKES = {
    "warm adiabat": lambda o: Adiabat(
        o, 4.0, 20, heat_capacity=vmf_heat_capacity(lr=0.05, weight_decay=0.05, dimension=50)
    ),
    "cooldown": lambda o: Cooldown(o, 15, hold=5, factor=0.01, decay_groups=[0]),
    "follows": lambda o: DecayFollowsLR(o, decay_groups=[0]),
}


def train(model, optimizer, schedule, start, end):
    data = torch.Generator().manual_seed(9)
    batches = torch.randn(40, 8, 6, generator=data)
    for batch in batches[start:end]:
        optimizer.zero_grad()
        model(batch).logsumexp(1).mean().backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", MAKES)
def test_a_checkpoint_goes_on_bit_for_bit(name):
    whole = network()
    optimizer = sgd(whole, momentum=0.5)
    train(whole, optimizer, schedule := MAKES[name](optimizer), 0, 40)

    model = network()
    optimizer = sgd(model, momentum=0.5)
    train(model, optimizer, first := MAKES[name](optimizer), 0, 13)
    file = io.BytesIO()
    torch.save({"m": model.state_dict(), "o": optimizer.state_dict(), "s": first.state_dict()}, file)

    file.seek(0)
    held = torch.load(file, weights_only=True)  # nothing but numbers, words and tensors
    model = network()
    optimizer = sgd(model, momentum=0.5)
    second = MAKES[name](optimizer)
    model.load_state_dict(held["m"])
    optimizer.load_state_dict(held["o"])
    second.load_state_dict(held["s"])
    train(model, optimizer, second, 13, 40)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    assert second.get_last_lr() == schedule.get_last_lr()
    assert isinstance(second, LRScheduler)
    assert second.state_dict() == schedule.state_dict()


def test_the_plan_of_a_checkpoint_wins_and_another_is_refused():
    other = Isobar(sgd(network()), 0.5, 7)
    held = other.state_dict()
    schedule = Isobar(sgd(network()), 0.1, 100)
    schedule.load_state_dict(held)
    assert schedule.plan == other.plan
    with pytest.raises(ValueError, match="of kind isobar, not isochore"):
        Isochore(sgd(network()), 0.1, 100).load_state_dict(held)
    for one in (
        Isobar(torch.optim.SGD([nn.Parameter(torch.ones(2))]), 0.1, 100),
        DecayFollowsLR(torch.optim.SGD([nn.Parameter(torch.ones(2))])),
    ):
        with pytest.raises(ValueError, match="state of 3 parameter groups; the optimiser has 1"):
            one.load_state_dict(held)
    with pytest.raises(ValueError, match="a plan has the keys"):
        schedule.load_state_dict(LinearLR(sgd(network())).state_dict())


def test_names_of_optimisers():
    w = [nn.Parameter(torch.ones(2))]
    names = {
        "sgd": torch.optim.SGD(w, lr=0.1),
        "momentum": torch.optim.SGD(w, lr=0.1, momentum=0.9),
        "nesterov": torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True),
        "adam-l2": torch.optim.Adam(w),
        "adamw": torch.optim.AdamW(w),
    }
    assert {name: optimizer_name(one) for name, one in names.items()} == {name: name for name in names}
    with pytest.raises(ValueError, match="nothing is derived for RMSprop; give rule="):
        Isobar(torch.optim.RMSprop(w), 0.1, 10)
    assert Isotherm(torch.optim.RMSprop(w, weight_decay=0.1), 2.0, 10, rule="adam-l2").plan.at(10)[1] == 0.25


def test_what_cannot_be_is_refused():
    w = [nn.Parameter(torch.ones(2))]
    with pytest.raises(ValueError, match="no chosen group has any; set it above 0"):
        Isotherm(torch.optim.SGD(w, lr=0.1), 2.0, 10)
    with pytest.raises(ValueError, match="there is no group 3; the optimiser has 3"):
        Isotherm(sgd(network()), 2.0, 10, decay_groups=[3])
    with pytest.raises(ValueError, match="no chosen group"):
        Isotherm(sgd(network()), 2.0, 10, decay_groups=[2])
    with pytest.raises(TypeError, match=r"must be a torch\.optim\.Optimizer, got Sequential"):
        Isotherm(network(), 2.0, 10)
    with pytest.raises(KeyError, match="initial_lr"):
        Isotherm(sgd(network()), 2.0, 10, last_epoch=5)
    Isobar(torch.optim.SGD(w, lr=0.1), 2.0, 10)  # moves no weight decay
    with pytest.raises(ValueError, match=r"power = 0: must be a number above 0"):
        DecayFollowsLR(sgd(network()), 0)
    with pytest.raises(ValueError, match="there is no group -1"):
        DecayFollowsLR(sgd(network()), decay_groups=[-1])


def test_the_weight_decay_of_groups_that_are_left_out_stays():
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": decay} for decay in (0.02, 0.01)]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = Cooldown(optimizer, 10, factor=0.5, decay_groups=[0])
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        pytest.approx((0.05, 0.01)),
        pytest.approx((0.05, 0.01)),
    ]


def test_the_check_takes_lr_decay_and_momentum_of_a_group():
    plain = Isotherm(sgd(network()), 2.0, 10**6)
    fast = Isotherm(sgd(network(), momentum=0.9), 2.0, 10**6)
    assert fast.check().needed == pytest.approx(plain.check().needed / 10, rel=0.02)
    assert plain.check(group=1).needed == pytest.approx(plain.check().needed * (0.1 * 0.02) / (0.3 * 0.01), rel=1e-3)


def test_the_check_of_a_schedule_does_not_depend_on_how_far_it_is():
    optimizer = sgd(network())
    schedule = Isobar(optimizer, 0.1, 20)
    before = schedule.check()
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] < 0.04
    assert schedule.check() == before


def test_the_check_before_a_milestone_is_of_the_full_rates():
    optimizer = sgd(network())
    warm, cool = LinearLR(optimizer, 0.1, total_iters=10), Cooldown(optimizer, 10**5, factor=0.1)
    SequentialLR(optimizer, [warm, cool], [10])
    assert cool.check() == Cooldown(sgd(network()), 10**5, factor=0.1).check()


def test_a_warm_up_that_ends_just_below_the_full_rates_hands_over_the_full_ones():
    optimizer = sgd(network())
    warm, cool = LinearLR(optimizer, 0.9, total_iters=20), Cooldown(optimizer, 100, factor=0.1)
    both = SequentialLR(optimizer, [warm, cool], [20])
    for _ in range(20):  # the last step is made at 99.5 %
        optimizer.step()
        both.step()
    assert cool.base_lrs == [0.1, 0.3, 0.1]


def test_weight_decay_follows_the_rate_of_its_own_group():
    optimizer = sgd(network())
    moving, following = LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 1, lambda t: 1]), DecayFollowsLR(optimizer)
    for _ in range(2):
        optimizer.step()
        moving.step()
        following.step()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.005, 0.01, 0.0]


def test_the_full_rate_of_one_cycle_is_its_highest():
    optimizer = sgd(network())
    cycle, following = OneCycleLR(optimizer, 0.2, total_steps=21, pct_start=0.5), DecayFollowsLR(optimizer, 2.0)
    shares = []
    for _ in range(20):
        shares.append(optimizer.param_groups[0]["lr"] / 0.2)
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        np.testing.assert_allclose(decays, np.array([0.02, 0.01, 0.0]) * shares[-1] ** 2, rtol=1e-12)
        optimizer.step()
        cycle.step()
        following.step()
    np.testing.assert_allclose([shares[0], max(shares)], [0.04, 1.0], atol=0.01)


def test_a_measured_index_is_taken():
    heat = np.array([0.002, 0.004, 0.006])
    found = measured_index(heat, 12.0 * heat, dimension=20)
    assert (
        Adiabat(sgd(network()), 4.0, 20, index=found).plan == Adiabat(sgd(network()), 4.0, 20, index=found.index).plan
    )


@pytest.mark.parametrize(
    ("make", "warmer", "larger"),
    [
        (lambda o, n: Isotherm(o, 4.0, n), 1.0, 2.0),
        (lambda o, n: Isochore(o, 0.5, n), 0.5, 1.0),
        (lambda o, n: Isobar(o, 0.5, n), math.sqrt(0.5), 0.5**0.25),
    ],
)
def test_copies_under_sgd_arrive_where_the_schedule_says(make, warmer, larger):
    d, copies, start = 30, 200, {"eta": 0.02, "lam": 0.05}
    steps, radius = 3000, FixedLR.radius(**start, sigma=1.0, d=d)
    gas = Gas(copies, d, radius)
    optimizer = torch.optim.SGD(gas.parameters(), lr=start["eta"], weight_decay=start["lam"])
    schedule = make(optimizer, steps)
    # The directions are bound by curvature 1, and relax in r^2/lr steps.
    assert schedule.check(tolerance=0.1, relaxation_steps=radius**2 / start["eta"])
    for _ in range(800):
        gas.backward()
        optimizer.step()
    loss, radius = gas.measure()
    for _ in range(steps + 1000):
        gas.backward()
        optimizer.step()
        schedule.step()
    cooler, grown = gas.measure()
    # A loss of the copies has a relative error of sqrt(2/((d-1) copies)) = 2 %; 1.5 % more by C_V at T d/2 = 0.06.
    assert cooler / loss == pytest.approx(warmer, rel=0.09)
    assert grown / radius == pytest.approx(larger, rel=0.01)
