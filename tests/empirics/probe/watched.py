"""Small training loops, with and without a probe."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics


def network(norm="layer", affine=True):
    normal = nn.LayerNorm(16, elementwise_affine=affine) if norm == "layer" else nn.BatchNorm1d(16, affine=affine)
    return nn.Sequential(nn.Linear(12, 16, bias=False), normal, nn.ReLU(), nn.Linear(16, 4))


def data(generator, batch=32):
    x = torch.randn(batch, 12, generator=generator)
    return x, (x[:, :4] + 2 * torch.randn(batch, 4, generator=generator)).argmax(1)


def trained(optimizer, steps, model=None, probe=True, each=None, **settings):
    """Train a network; `optimizer` makes it from the parameters. `each` is called in every step before the probe."""
    torch.manual_seed(0)
    model = network() if model is None else model
    made = optimizer(model.parameters())
    watch = empirics.ThermoProbe(model, made, **settings) if probe else None
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x, y = data(generator)
        made.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        if each:
            each(model, watch, x, y)
        if watch:
            watch.step(loss)
        made.step()
    return model, watch


def row(watch, name):
    frame = watch.frame()
    return frame[frame["group"] == name].iloc[0]
