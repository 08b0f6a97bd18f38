"""What is tried on the networks of watched_networks.py: as found, and what the probe's words suggest.

A choice makes the optimiser, the schedule and, if there is one, an average from a network, the scale-invariant blocks
that were found of it, and the reading of the first run that was trained as found.
"""

import math

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, SequentialLR

from empirics.steering import Cooldown
from empirics.steering.averaging import SphereAverage
from empirics.steering.weight_decay import Setting, convert


def parts(model, blocks, decayed=lambda name, p: True):
    """Parameters that are scale-invariant, others that decay, and the rest."""
    named = list(model.named_parameters())
    round_ = [p for name, p in named if blocks.get(name)]
    other = [p for name, p in named if not blocks.get(name) and decayed(name, p)]
    return round_, other, [p for name, p in named if not blocks.get(name) and not decayed(name, p)]


# The ResNet --------------------------------------------------------------------------------------


def _momentum(case, model, blocks, round_decay, other_decay):
    round_, other, _ = parts(model, blocks)
    groups = [{"params": round_, "weight_decay": round_decay}, {"params": other, "weight_decay": other_decay}]
    return torch.optim.SGD(groups, lr=case.lr, momentum=case.momentum)


def images_as_found(case, model, blocks, reading):
    optimizer = _momentum(case, model, blocks, case.weight_decay, case.weight_decay)
    return optimizer, CosineAnnealingLR(optimizer, case.steps), None


def images_pressure(case, model, blocks, reading):
    """Five times the weight decay where it is a pressure, none elsewhere: relaxation takes a tenth of the run."""
    optimizer = _momentum(case, model, blocks, 5 * case.weight_decay, 0.0)
    return optimizer, CosineAnnealingLR(optimizer, case.steps), None


def images_adamw(case, model, blocks, reading):
    """AdamW at the temperature and norm of each scale-invariant tensor; 1e-3 and no decay for the others."""
    named = dict(model.named_parameters())
    groups = [{"params": [p for name, p in named.items() if not blocks.get(name)], "lr": 1e-3, "weight_decay": 0.0}]
    sgd = Setting(case.lr, case.weight_decay, "momentum", momentum=case.momentum)
    for row in reading:
        if blocks.get(row["group"]):
            sigma = math.sqrt(2 * row["temperature"] / row["effective_lr"])
            adam = convert(sgd, optimizer="adamw", sigma=sigma, dimension=row["parameters"] // blocks[row["group"]])
            groups.append({"params": [named[row["group"]]], "lr": adam.lr, "weight_decay": adam.weight_decay})
    optimizer = torch.optim.AdamW(groups)
    return optimizer, CosineAnnealingLR(optimizer, case.steps), None


def images_average(case, model, blocks, reading):
    """The learning rate stays, directions are averaged over the second half."""
    optimizer = _momentum(case, model, blocks, case.weight_decay, case.weight_decay)
    average = SphereAverage(model, {name: number for name, number in blocks.items() if number})
    return optimizer, LambdaLR(optimizer, lambda step: 1.0), average


# The transformer ---------------------------------------------------------------------------------


def _adamw(case, model, blocks, round_decay):
    round_, other, rest = parts(model, blocks, lambda name, p: p.ndim > 1)
    groups = [
        {"params": round_, "weight_decay": round_decay},
        {"params": other, "weight_decay": case.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=case.lr, betas=(0.9, 0.95))


def _rising(case, optimizer):
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / case.warm_up))


def _warm(case, optimizer):
    cosine = CosineAnnealingLR(optimizer, case.steps - case.warm_up, eta_min=case.lr / 10)
    return optimizer, SequentialLR(optimizer, [_rising(case, optimizer), cosine], [case.warm_up]), None


def text_as_found(case, model, blocks, reading):
    return _warm(case, _adamw(case, model, blocks, case.weight_decay))


def text_pressure(case, model, blocks, reading):
    """Ten times the weight decay on what is scale-invariant: relaxation takes a quarter of the run."""
    return _warm(case, _adamw(case, model, blocks, 10 * case.weight_decay))


def text_none(case, model, blocks, reading):
    """No weight decay on what is scale-invariant: its effective lr is left to the norm that gradients make."""
    return _warm(case, _adamw(case, model, blocks, 0.0))


def text_cooldown(case, model, blocks, reading):
    """Held, then a cooldown in the last 30 % with the weight decay of what is scale-invariant following."""
    return _held(case, model, blocks, correct=True)


def text_cooldown_alone(case, model, blocks, reading):
    """The same with weight decay as it is: what of the difference is the schedule's. Added after the first four."""
    return _held(case, model, blocks, correct=False)


def _held(case, model, blocks, correct):
    optimizer = _adamw(case, model, blocks, case.weight_decay)
    falling = round(0.3 * case.steps)
    hold = case.steps - case.warm_up - falling
    cool = Cooldown(optimizer, falling, factor=0.1, hold=hold, correct=correct, decay_groups=[0])
    return optimizer, SequentialLR(optimizer, [_rising(case, optimizer), cool], [case.warm_up]), None


CHOICES = {
    "resnet": {
        "as found": images_as_found,
        "weight decay x 5 where it is a pressure, else none": images_pressure,
        "AdamW at equal temperature": images_adamw,
        "lr held, directions averaged": images_average,
    },
    "transformer": {
        "as found": text_as_found,
        "weight decay x 10 where it is a pressure": text_pressure,
        "no weight decay where it is a pressure": text_none,
        "held, then a cooldown with weight decay": text_cooldown,
        "held, then a cooldown without weight decay": text_cooldown_alone,
    },
}
