"""Every schedule, in every place where one starts or is resumed, against a plain loop of closed-form rates."""

import copy
import io
import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR, LinearLR, SequentialLR, StepLR

from empirics.steering import Adiabat, Cooldown, DecayFollowsLR, EntropyRate, Isobar, Isochore, Isotherm, PlannedLR

RATES = [(0.1, 0.02), (0.3, 0.01), (0.1, 0.0)]

#: Optimisers, with the powers of lr that wd follows along an isotherm, and of wd that lr follows along an adiabat.
OPTIMIZERS = {
    "sgd": (lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9), -1, 0),
    "sgd, lr in a tensor": (lambda groups: torch.optim.SGD(groups, lr=torch.tensor(0.1)), -1, 0),
    "adamw": (lambda groups: torch.optim.AdamW(groups, lr=0.1), -1, 1 / 3),
    "adam": (lambda groups: torch.optim.Adam(groups, lr=0.1), -2, 1 / 4),
}


def optimizer_of(name):
    groups = [{"params": [nn.Parameter(torch.ones(2))], "lr": lr, "weight_decay": decay} for lr, decay in RATES]
    if "tensor" in name:
        for group in groups:
            group["lr"] = torch.tensor(group["lr"])
    return OPTIMIZERS[name][0](groups)


def share(step, steps, hold=0):
    return min(max((step - hold) / steps, 0.0), 1.0)


#: Schedules, and their factors on lr and weight decay at step t, where p and q are the powers of the optimiser.
SCHEDULES = {
    "isotherm": (lambda o: Isotherm(o, 3.0, 20), lambda t, p, q: (3 ** share(t, 20), 3 ** (p * share(t, 20)))),
    "isobar": (
        lambda o: Isobar(o, 0.2, 20, shape="cosine"),
        lambda t, p, q: (1 - 0.4 * (1 - math.cos(math.pi * share(t, 20))), 1),
    ),
    "isochore": (lambda o: Isochore(o, 0.2, 20, hold=5), lambda t, p, q: (0.2 ** share(t, 20, 5),) * 2),
    "adiabat": (lambda o: Adiabat(o, 4.0, 20), lambda t, p, q: (4 ** (q * share(t, 20)), 4 ** share(t, 20))),
    "cooldown": (lambda o: Cooldown(o, 15, hold=5), lambda t, p, q: (1 - share(t, 15, 5),) * 2),
    "cooldown, wd constant": (
        lambda o: Cooldown(o, 15, factor=0.1, shape="sqrt", correct=False),
        lambda t, p, q: (1 - 0.9 * math.sqrt(share(t, 15)), 1),
    ),
    # At constant norm dS = C_V dlog T, with C_V = R, and T goes as lr.
    "entropy rate": (
        lambda o: EntropyRate(o, -0.05, 20, along="isochore"),
        lambda t, p, q: (math.exp(-0.05 * min(t, 20)),) * 2,
    ),
}


def after_steps(optimizer, make):
    before = StepLR(optimizer, 10, 0.1)
    for _ in range(10):
        optimizer.step()
        before.step()
    return make(optimizer)


def in_sequence(first, *milestones):
    return lambda o, make: SequentialLR(o, [*first(o), make(o)], list(milestones))


def made_first(o, make):
    schedule = make(o)
    return SequentialLR(o, [LinearLR(o, 0.1, total_iters=10), schedule], [10])


def ramp(t):
    return 0.1 + 0.9 * share(t, 10)


#: How a schedule is put to use; the factor on lr beside its own at step t, and its first step.
PLACES = {
    "alone": (lambda o, make: make(o), lambda t: 1, 0),
    "after StepLR": (after_steps, lambda t: 0.1, 0),
    "after a warm-up": (in_sequence(lambda o: [LinearLR(o, 0.1, total_iters=10)], 10), lambda t: ramp(t), 10),
    "made before its warm-up": (made_first, lambda t: ramp(t), 10),
    "after a constant warm-up": (
        in_sequence(lambda o: [ConstantLR(o, 0.1, total_iters=10)], 10),
        lambda t: 0.1 if t < 10 else 1,
        10,
    ),
    "after a warm-up and a decay": (
        in_sequence(lambda o: [LinearLR(o, 0.1, total_iters=10), ExponentialLR(o, 0.9)], 10, 15),
        lambda t: ramp(t) * 0.9 ** min(max(t - 10, 0), 4),
        15,
    ),
    "before a decay": (lambda o, make: SequentialLR(o, [make(o), ExponentialLR(o, 1.0)], [50]), lambda t: 1, 0),
    "chained with a warm-up": (
        lambda o, make: ChainedScheduler([LinearLR(o, 0.1, total_iters=10), make(o)]),
        lambda t: ramp(t),
        0,
    ),
    "chained before a warm-up": (
        lambda o, make: ChainedScheduler([make(o), LinearLR(o, 0.1, total_iters=10)]),
        lambda t: ramp(t),
        0,
    ),
}
LAST = 45


def rates(optimizer):
    return [(float(group["lr"]), group["weight_decay"]) for group in optimizer.param_groups]


def expected(name, kind, place, step):
    """The plain loop's rates at a step."""
    _, beside, first = PLACES[place]
    lr, decay = SCHEDULES[kind][1](max(step - first, 0), *OPTIMIZERS[name][1:])
    return [(base * beside(step) * lr, wd * decay) for base, wd in RATES]


def assert_rates(optimizer, wanted, what):
    for found, right in zip(rates(optimizer), wanted, strict=True):
        assert found == pytest.approx(right, rel=1e-5, abs=1e-8), what


def advance(optimizer, schedule, every=1):
    for _ in range(every):
        optimizer.step()
    schedule.step()


def saved(optimizer, schedule):
    """Both states, as a file gives them back: numbers, strings and tensors only."""
    file = io.BytesIO()
    torch.save((optimizer.state_dict(), schedule.state_dict()), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(name, make, states, order):
    optimizer = optimizer_of(name)
    if order == "optimiser loaded, then schedule made":
        optimizer.load_state_dict(states[0])
    schedule = make(optimizer)
    if order == "optimiser, schedule":
        optimizer.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    if order == "schedule, optimiser":
        optimizer.load_state_dict(states[0])
    return optimizer, schedule


ORDERS = ("optimiser loaded, then schedule made", "optimiser, schedule", "schedule, optimiser")


CASES = [("sgd", kind, place) for kind in SCHEDULES for place in PLACES]
CASES += [(name, kind, "after a warm-up") for name in list(OPTIMIZERS)[1:] for kind in SCHEDULES]
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10)


@pytest.mark.parametrize(("name", "kind", "place"), CASES)
def test_rates_at_every_step_whole_and_resumed(name, kind, place):
    if OLD and "tensor" in name:
        pytest.skip("before torch 2.10 SequentialLR changes the initial lr if it is a tensor")

    def make(optimizer):
        return PLACES[place][0](optimizer, SCHEDULES[kind][0])

    optimizer = optimizer_of(name)
    schedule = make(optimizer)
    for step in range(LAST):
        assert_rates(optimizer, expected(name, kind, place, step), step)
        if step in (9, 13, 16, 40):
            states, held = saved(optimizer, schedule), schedule.state_dict()
            before = copy.deepcopy(held)
            for order in ORDERS:
                again, other = resumed(name, SCHEDULES[kind][0] if place == "after StepLR" else make, states, order)
                assert rates(again) == rates(optimizer), (order, step)
                for later in range(step + 1, step + 8):
                    advance(again, other)
                    assert_rates(again, expected(name, kind, place, later), (order, step, later))
        advance(optimizer, schedule, every=1 + 2 * (kind == "isobar"))
        assert step < 9 or held == before  # a state that was taken stays as it was


@pytest.mark.parametrize("kind", SCHEDULES)
def test_rates_that_are_set_by_hand_are_gone_on_from(kind):
    optimizer = optimizer_of("sgd")
    schedule = SCHEDULES[kind][0](optimizer)
    for step in range(30):
        half = 0.5 if step > 8 else 1.0
        wanted = [(lr * half, decay * half**2) for lr, decay in expected("sgd", kind, "alone", step)]
        assert_rates(optimizer, wanted, step)
        if step == 8:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
                group["weight_decay"] *= 0.25
        advance(optimizer, schedule)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_torchs_other_way_to_resume(kind):
    """An optimiser that was loaded, and the number of the last step."""
    optimizer = optimizer_of("sgd")
    schedule = SCHEDULES[kind][0](optimizer)
    for _ in range(12):
        advance(optimizer, schedule)
    again = optimizer_of("sgd")
    again.load_state_dict(optimizer.state_dict())
    plan = schedule.plan
    other = PlannedLR(again, plan, decay_groups=[0], last_epoch=12)  # makes the next step, as torch's own do
    advance(optimizer, schedule)
    assert rates(again)[0] == pytest.approx(rates(optimizer)[0])
    assert other.base_lrs == pytest.approx(schedule.base_lrs)
    assert other.base_weight_decays[1] == rates(again)[1][1]  # is not scheduled


@pytest.mark.parametrize("power", [1, 2])
def test_weight_decay_follows_the_learning_rate(power):
    def make(o):
        lr = SequentialLR(o, [LinearLR(o, 0.1, total_iters=10), ExponentialLR(o, 0.9)], [10])
        return ChainedScheduler([lr, DecayFollowsLR(o, power, decay_groups=[0, 2])])

    optimizer = optimizer_of("adamw")
    schedule = make(optimizer)
    for step in range(30):
        factor = ramp(step) * 0.9 ** max(step - 10, 0)
        wanted = [(lr * factor, decay * (factor**power if i != 1 else 1)) for i, (lr, decay) in enumerate(RATES)]
        assert_rates(optimizer, wanted, step)
        if step in (0, 9, 17):
            states = saved(optimizer, schedule)
            following = [resumed("adamw", make, states, order) for order in ORDERS]
            assert all(rates(again) == rates(optimizer) for again, _ in following)
            alone = optimizer_of("adamw")
            alone.load_state_dict(states[0])
            DecayFollowsLR(alone, power, decay_groups=[0, 2])  # the optimiser's state is enough
            assert rates(alone) == rates(optimizer)
        advance(optimizer, schedule)
        for again, other in following:
            advance(again, other)
            assert rates(again) == rates(optimizer)
