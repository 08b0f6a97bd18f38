"""The cost of a probe: steps of a plain training loop that contains a ThermoProbe.

    OMP_NUM_THREADS=1 python -m benchmarks.probe

Processor time inside probe.step over that of everything else, without the first 16 steps (in which the probe measures
densely to find the blocks), including summaries of finished stretches. The difference between two runs, with and
without the probe, would scatter by more than the cost.
"""

import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics


def perceptron():
    """The smallest network anybody would train: the cost of the probe shows most."""
    return nn.Sequential(
        nn.Linear(64, 24, bias=False), nn.BatchNorm1d(24, affine=False), nn.ReLU(),
        nn.Linear(24, 24, bias=False), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 10),
    )  # fmt: skip


def convnet(width=32):
    layers, before = [], 1
    for _ in range(4):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    )


class Transformer(nn.Module):
    def __init__(self, width=64, depth=2):
        super().__init__()
        self.inside = nn.Linear(8, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        return self.out(self.body(self.inside(x.unflatten(1, (8, 8)))).mean(1))


WARM_UP = 16

CASES = {
    "perceptron, SGD, batch 64": (perceptron, 64, torch.optim.SGD, 6400),
    "convnet 4 x 32, SGD, batch 64": (convnet, 64, torch.optim.SGD, 1600),
    "transformer 2 x 64, AdamW, batch 64": (Transformer, 64, torch.optim.AdamW, 1600),
}


def cost(build, batch, kind, steps):
    """Time per step without the probe (ms), and the cost of the probe as a share of it."""
    torch.manual_seed(0)
    model = build()
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.01)
    probe = empirics.ThermoProbe(model, optimizer)
    x, y = torch.randn(512, 64), torch.randint(10, (512,))
    generator = torch.Generator().manual_seed(1)
    watching, start = 0.0, 0.0
    for i in range(steps + WARM_UP):
        if i == WARM_UP:
            watching, start = 0.0, time.process_time()
        rows = torch.randint(512, (batch,), generator=generator)
        optimizer.zero_grad()
        loss = cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        before = time.process_time()
        probe.step(loss)
        watching += time.process_time() - before
        optimizer.step()
    bare = time.process_time() - start - watching
    return 1e3 * bare / steps, watching / bare


def main():
    torch.set_num_threads(1)
    for name, case in CASES.items():
        bare, share = cost(*case)
        print(f"{name:38s} {bare:8.3f} ms per step; the probe adds {100 * share:.2f} %", flush=True)


if __name__ == "__main__":
    main()
