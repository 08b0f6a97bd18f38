"""What a probe costs: steps of a plain training loop with ThermoProbe, against the same steps without.

    OMP_NUM_THREADS=1 python benchmarks/probe.py

Slices of steps with and without alternate in one process; the cost is the sum of what they take more, in CPU seconds.
"""

import copy
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics


def perceptron():
    """The smallest network anybody would train: nothing hides the probe."""
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


CASES = {
    "perceptron, SGD, batch 64": (perceptron, 64, torch.optim.SGD, 12, 512),
    "convnet 4 x 32, SGD, batch 64": (convnet, 64, torch.optim.SGD, 12, 64),
    "transformer 2 x 64, AdamW, batch 64": (Transformer, 64, torch.optim.AdamW, 12, 64),
}


def stepper(model, optimizer, watched, batch):
    probe = empirics.ThermoProbe(model, optimizer) if watched else None
    x, y = torch.randn(512, 64), torch.randint(10, (512,))
    generator = torch.Generator().manual_seed(1)

    def step():
        rows = torch.randint(512, (batch,), generator=generator)
        optimizer.zero_grad()
        loss = cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        if probe:
            probe.step(loss)
        optimizer.step()

    return step


def cost(build, batch, kind, rounds, steps):
    torch.manual_seed(0)
    models = [build()]
    models.append(copy.deepcopy(models[0]))
    steppers = [
        stepper(model, kind(model.parameters(), lr=0.01, weight_decay=0.01), watched, batch)
        for model, watched in zip(models, (False, True), strict=True)
    ]
    totals = [[], []]
    for i in range(rounds + 1):  # the first warms up, and holds the dense measurements of the start
        for j in (0, 1) if i % 2 else (1, 0):
            before = time.process_time()
            for _ in range(steps):
                steppers[j]()
            totals[j].append(time.process_time() - before)
    bare, watched = (sum(sorted(times[1:])[: rounds // 2 + 1]) for times in totals)
    return 1e3 * bare / (rounds // 2 + 1) / steps, watched / bare - 1


def main():
    torch.set_num_threads(1)
    for name, case in CASES.items():
        bare, share = cost(*case)
        print(f"{name:38s} {bare:8.3f} ms a step, probe {100 * share:+.2f} %", flush=True)


main()
