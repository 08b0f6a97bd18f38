"""The cost of a probe, against the same training without it, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.probe [STEPS]

Two copies of a network take the same steps in turns, a block of `every` at a time, one of them watched; the ratio of
their processor times, with its standard error over the blocks. The first block, in which the probe measures densely to
find the groups, is printed by itself.
"""

import copy
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, relu

import empirics

EVERY = 100


def perceptron():
    """The smallest network anybody would train: the cost of the probe shows most."""
    return nn.Sequential(
        nn.Linear(64, 24, bias=False), nn.BatchNorm1d(24, affine=False), nn.ReLU(),
        nn.Linear(24, 24, bias=False), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 10),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        short = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.short = nn.Identity() if before == width else short

    def forward(self, x):
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + self.short(x))


def resnet18():
    """ResNet-18 for images of 8 x 8: 11.2 million weights."""
    stages = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]  # fmt: skip # noqa: E501
    stem = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(
        *stem, *(Block(*one) for one in stages), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
    )


class Transformer(nn.Module):
    def __init__(self, width=128, depth=4):
        super().__init__()
        self.inside = nn.Linear(1, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        return self.out(self.body(self.inside(x.unsqueeze(2))).mean(1))


CASES = {
    "perceptron, SGD, batch 64": (perceptron, 64, torch.optim.SGD, 20),
    "transformer 4 x 128 of 64 tokens, AdamW, batch 8": (Transformer, 8, torch.optim.AdamW, 4),
    "ResNet-18, SGD, batch 64": (resnet18, 64, torch.optim.SGD, 2),
}


class Twin:
    def __init__(self, model, kind, batch, watched):
        self.model, self.batch = model, batch
        self.optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.01)
        self.watch = empirics.watch(model, self.optimizer, every=EVERY) if watched else None
        self.generator = torch.Generator().manual_seed(1)

    def block(self, x, y):
        """Time of a block of steps (s)."""
        start = time.process_time()
        for _ in range(EVERY):
            rows = torch.randint(512, (self.batch,), generator=self.generator)
            self.optimizer.zero_grad()
            cross_entropy(self.model(x[rows]), y[rows]).backward()
            self.optimizer.step()
        return time.process_time() - start


def cost(build, batch, kind, blocks):
    """Times of the blocks, shape (block, 2): without and with the probe; and the watched twin."""
    torch.manual_seed(0)
    model = build()
    twins = [Twin(copy.deepcopy(model), kind, batch, watched) for watched in (False, True)]
    x, y = torch.randn(512, 64), torch.randint(10, (512,))
    twins[0].block(x, y)  # warm-up
    rows = []
    for i in range(blocks + 1):
        order = (0, 1) if i % 2 else (1, 0)
        times = {which: twins[which].block(x, y) for which in order}
        rows.append([times[0], times[1]])
    return np.array(rows), twins[1].watch


def main(times):
    torch.set_num_threads(1)
    for name, (build, batch, kind, blocks) in CASES.items():
        found, watch = cost(build, batch, kind, max(round(times * blocks), 1))
        (first, *_), (bare, _) = found, found[1:].mean(0)
        extra = (found[1:, 1] - found[1:, 0]) / bare
        watch.values()
        start = time.perf_counter()
        watch.values()
        read = time.perf_counter() - start
        print(f"{name:50s} {1e3 * bare / EVERY:8.3f} ms per step; the probe adds {100 * extra.mean():.2f} ± "
              f"{100 * extra.std() / len(extra) ** 0.5:.2f} %, {100 * (first[1] / bare - 1):.0f} % in the first "
              f"{EVERY} steps; a reading takes {1e3 * read:.1f} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1)
