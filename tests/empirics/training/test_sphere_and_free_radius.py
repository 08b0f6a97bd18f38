"""A transformer's directions cannot tell a sphere from a free radius, step by step."""

import numpy as np
import torch
from torch import Tensor

from empirics.data.modular import load_modular_addition
from empirics.models.base import views
from empirics.models.transformer import Transformer
from empirics.training.fixed_elr import FixedELR
from empirics.training.fixed_sphere import FixedSphere

RATE, DECAY, STEPS = 0.02, 0.4, 60


def gradient(model, frozen, flat, data, rows):
    """Of one run's minibatch, shape (1, d)."""
    out = torch.empty_like(flat)
    inputs = torch.as_tensor(data.inputs[rows])[None]
    labels = torch.as_tensor(data.labels[rows])[None]
    model.loss_and_grad(views(flat, model.blocks), frozen, inputs, labels, views(out, model.blocks))
    return out


def walk(protocol, radius, decay, rates, start: Tensor):
    """Directions after each step, the minibatches the same in every walk; and the norms before."""
    data, minibatches = load_modular_addition(5), np.random.default_rng(1)
    model = Transformer(tokens=2, entries=5, classes=5, width=4, depth=1, heads=2)
    frozen = model.fixed(np.random.default_rng(2), 1, torch.float64, torch.device("cpu"))
    flat, directions, norms = start * radius, [], []
    for k in range(STEPS):
        radius_sq = flat.square().sum(1)
        lr = protocol.learning_rate(torch.tensor([rates(k)], dtype=torch.float64), radius_sq)
        push = gradient(model, frozen, flat, data, minibatches.integers(25, size=8)) + decay * flat
        flat = flat - lr[:, None] * push
        protocol.constrain(flat, torch.tensor([radius], dtype=torch.float64))
        directions.append(flat / flat.norm(dim=1, keepdim=True))
        norms.append(float(radius_sq))
    return torch.cat(directions), np.array(norms)


def test_fixed_elr_is_the_sphere_at_a_rate_larger_by_one_over_one_minus_lr_times_weight_decay():
    start = torch.as_tensor(np.random.default_rng(0).standard_normal((1, 220)))
    start /= start.norm()
    free, norms = walk(FixedELR(), 0.7, DECAY, lambda k: RATE, start)
    radius = 1.7  # w' = (1 - lr wd) w - lr g with lr = eta_eff r^2 goes where the sphere goes at lr/(1 - lr wd)
    held, _ = walk(FixedSphere(), radius, 0.0, lambda k: RATE * radius**2 / (1 - RATE * DECAY * norms[k]), start)
    np.testing.assert_allclose(free.numpy(), held.numpy(), atol=1e-9)
    assert norms.max() / norms.min() > 1.5  # the radius was free indeed
    plain, _ = walk(FixedSphere(), radius, 0.0, lambda k: RATE * radius**2, start)
    assert (free - plain).norm(dim=1).max() > 1e-3
