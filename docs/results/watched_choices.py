"""The advice on trial in docs/results/watched.md, and the trainings that it is tried in."""

import math

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

import empirics
from empirics.steering import DecayFollowsLR
from empirics.steering.averaging import SphereAverage
from empirics.steering.weight_decay import Setting, convert

#: By name, what differs from the training as found: factors on the weight decay of scale-invariant weights and of the
#: others and on the number of steps, and switches.
CHOICES = {
    "as found": {},
    "decay x 10 on invariant": {"invariant": 10.0},
    "decay x 10 on invariant alone": {"invariant": 10.0, "penalty": 0.0},
    "decay x 10 on all": {"invariant": 10.0, "penalty": 10.0},
    "decay on invariant alone": {"penalty": 0.0},
    "no decay on invariant": {"invariant": 0.0},
    "stationary norm at first": {"stationary": True},
    "twice the steps": {"length": 2},
    "decay follows lr": {"follows": True},
    "lr held, directions averaged": {"held": True},
    "AdamW at equal temperature": {"adamw": True},
}

#: What is advised, the training that follows it, and the one that does not.
ADVICE = [
    ("ten times the weight decay on scale-invariant weights", "decay x 10 on invariant", "as found"),
    ("no weight decay on the others", "decay on invariant alone", "as found"),
    ("both at once", "decay x 10 on invariant alone", "as found"),
    ("ten times on scale-invariant weights alone, not on all", "decay x 10 on invariant alone", "decay x 10 on all"),
    ("weight decay on scale-invariant weights that had none", "as found", "no decay on invariant"),
    ("start at the stationary norm", "stationary norm at first", "as found"),
    ("train twice as long", "twice the steps", "as found"),
    ("weight decay of scale-invariant weights follows lr", "decay follows lr", "as found"),
    ("lr held, directions averaged", "lr held, directions averaged", "as found"),
    ("AdamW at the temperatures and norms of SGD", "AdamW at equal temperature", "as found"),
]


def applies(case, choice):
    """Whether a choice is tried on a network; SGD alone is converted to AdamW."""
    return choice in getattr(case, "tried", CHOICES) and (choice != list(CHOICES)[-1] or hasattr(case, "momentum"))


def helps(effects):
    """The rule by which advice is kept, fixed before the runs.

    `effects` are means and half intervals (95 %) of the test loss with the advice minus without, one pair for each
    network: at least half of the intervals, and two, lie below 0, and none above.
    """
    better = sum(mean + half < 0 for mean, half in effects)
    return better >= max(2, len(effects) / 2) and not any(mean - half > 0 for mean, half in effects)


def prepare(case, model, seed, steps, reading, *, invariant=1.0, penalty=1.0, stationary=False, follows=False,
            held=False, adamw=False):  # fmt: skip
    """Optimiser, schedules, and the average if there is one; `reading` is a probe's frame of the training as found."""
    batch = next(case.batches(seed))
    roles = empirics.param_groups(
        model, lambda m: case.loss(m, batch), weight_decay=invariant * case.weight_decay,
        penalty_decay=penalty * case.weight_decay,
    )  # fmt: skip
    groups = []
    for group in roles:
        mine = [p for p in group["params"] if case.decays(p)]
        rest = [p for p in group["params"] if not case.decays(p)]  # vectors under AdamW: as found they do not decay
        groups += [group | {"params": mine}, group | {"params": rest, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if stationary:
        start_stationary(model, reading, 1 if hasattr(case, "warm_up") else 2)
    optimizer = converted(case, model, reading) if adamw else case.optimizer(groups)
    if adamw:
        return optimizer, [CosineAnnealingLR(optimizer, steps)], None
    if held:
        average = SphereAverage(model, {row.name: row.blocks for row in roles.rows if row.scale_invariant})
        rising = getattr(case, "warm_up", 1)
        return optimizer, [LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rising))], average
    schedules = [case.schedule(optimizer, steps)]
    if follows:
        round_ = [i for i, group in enumerate(groups) if group["name"] == "invariant"]
        schedules.append(DecayFollowsLR(optimizer, decay_groups=round_))
    return optimizer, schedules, None


def tensors(model, row):
    """Parameters of a group of the probe, `a.weight + a.bias`."""
    named = dict(model.named_parameters())
    return [named[name.partition("[")[0]] for name in row["group"].split(" + ")]


@torch.no_grad()
def start_stationary(model, reading, power):
    """Scale what is scale-invariant to the norm that the probe calls stationary: effective lr goes as norm^-power."""
    for row in reading:
        share = row["equilibrium_share"]
        if row["scale_invariant"] and share > 0:  # neither NaN nor 0
            wanted = row["norm"] * share ** ((-1 if row["balance"] > 1 else 1) / power)
            now = math.sqrt(sum(float(p.square().sum()) for p in tensors(model, row)))
            for p in tensors(model, row):
                p.mul_(wanted / now)


def converted(case, model, reading):
    """AdamW at the temperature and norm of each scale-invariant group; 1e-3 and no decay for the others.

    So also, since seed 4, for a group whose temperature the probe reads as 0: there is no noise to convert.
    """
    sgd, groups, taken = Setting(case.lr, case.weight_decay, "momentum", momentum=case.momentum), [], set()
    for row in reading:
        if row["scale_invariant"] and row["temperature"] > 0:
            sigma = math.sqrt(2 * row["temperature"] / row["effective_lr"])
            adam = convert(sgd, optimizer="adamw", sigma=sigma, dimension=row["parameters"] // row["blocks"])
            params = tensors(model, row)
            groups.append({"params": params, "lr": adam.lr, "weight_decay": adam.weight_decay})
            taken |= {id(p) for p in params}
    rest = [p for p in model.parameters() if id(p) not in taken]
    return torch.optim.AdamW([*groups, {"params": rest, "lr": 1e-3, "weight_decay": 0.0}])
