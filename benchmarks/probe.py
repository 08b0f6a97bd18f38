"""The cost of a probe, against the same training without it, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.probe [TIMES]

Two copies of a network take the same steps in turns, a block of `every` at a time, one of them watched: the median
ratio of their processor times, and the time within the probe's hooks over the rest, which other work on the machine
disturbs less. The first block, in which the probe measures densely to find the groups, is printed by itself.
"""

import argparse
import copy
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics
from benchmarks.contest import at_least
from benchmarks.resnet18 import Unit

EVERY = 100


def perceptron():
    """The smallest network anybody would train: the cost of the probe shows most."""
    return nn.Sequential(
        nn.Linear(64, 24, bias=False), nn.BatchNorm1d(24, affine=False), nn.ReLU(),
        nn.Linear(24, 24, bias=False), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 10),
    )  # fmt: skip


def resnet18(width=16):
    """ResNet-18 for images of 32 x 32; 0.7 million weights at width 16."""
    stages = [(width << max(i - 1, 0) // 2, width << i // 2, 1 + (i in (2, 4, 6))) for i in range(8)]
    stem = [nn.Unflatten(1, (1, 32, 32)), nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
    blocks = [Unit(*one, nn.BatchNorm2d) for one in stages]
    return nn.Sequential(*stem, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10))


class Transformer(nn.Module):
    def __init__(self, width=128, depth=4):
        super().__init__()
        self.inside = nn.Linear(1, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        return self.out(self.body(self.inside(x.unsqueeze(2))).mean(1))


CASES = {  # network, batch, numbers per input, optimiser, blocks
    "perceptron, SGD, batch 64": (perceptron, 64, 64, torch.optim.SGD, 40),
    "transformer 4 x 128 of 64 tokens, AdamW, batch 8": (Transformer, 8, 64, torch.optim.AdamW, 4),
    "ResNet-18 of width 16 on 32 x 32, SGD, batch 16": (resnet18, 16, 1024, torch.optim.SGD, 3),
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
            rows = torch.randint(len(x), (self.batch,), generator=self.generator)
            self.optimizer.zero_grad()
            cross_entropy(self.model(x[rows]), y[rows]).backward()
            self.optimizer.step()
        return time.process_time() - start


def within(twin, x, y, blocks):
    """Time in the probe's hooks over that of the rest of the steps, without that of reading the clock."""
    inside, reads = [], [time.thread_time() for _ in range(2001)]
    clock = (reads[-1] - reads[0]) / 2000

    def timed(hook):
        def found(*args):
            start = time.thread_time()
            hook(*args)
            inside.append(time.thread_time() - start - clock)

        return found

    for hooks in (twin.optimizer._optimizer_step_pre_hooks, twin.optimizer._optimizer_step_post_hooks):
        hooks.update({key: timed(hook) for key, hook in hooks.items()})
    whole = sum(twin.block(x, y) for _ in range(blocks)) - 2 * clock * len(inside)
    return sum(inside) / (whole - sum(inside))


def cost(build, batch, size, kind, blocks):
    """Times of the blocks, shape (block, 2), without and with the probe; the share within it, and a reading's time."""
    torch.manual_seed(0)
    model = build()
    twins = [Twin(copy.deepcopy(model), kind, batch, watched) for watched in (False, True)]
    x, y = torch.randn(256, size), torch.randint(10, (256,))
    twins[0].block(x, y)  # warm-up
    rows = []
    for i in range(blocks + 1):
        order = (0, 1) if i % 2 else (1, 0)
        times = {which: twins[which].block(x, y) for which in order}
        rows.append([times[0], times[1]])
    twins[1].watch.values()
    start = time.process_time()
    twins[1].watch.values()
    read = time.process_time() - start
    return np.array(rows), within(twins[1], x, y, blocks), read


def main(times):
    torch.set_num_threads(1)
    print("| network | ms per step | in the probe's hooks | with it over without it, median (quartiles) "
          f"| first {EVERY} steps | a reading, ms |\n|---|---|---|---|---|---|")  # fmt: skip
    for name, (build, batch, size, kind, blocks) in CASES.items():
        found, inside, read = cost(build, batch, size, kind, max(round(times * blocks), 1))
        bare, watched = found[1:].T
        ratio = 100 * (watched / bare - 1)
        low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
        first = 100 * (found[0, 1] / np.median(bare) - 1)
        print(f"| {name} | {1e3 * np.median(bare) / EVERY:.3g} | {100 * inside:.2f} % | {middle:+.1f} % ({low:+.1f}, "
              f"{high:+.1f}) | {first:+.0f} % | {1e3 * read:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe")
    parser.add_argument(
        "times", nargs="?", type=at_least(0), default=1.0, help="factor on the number of blocks (default: 1)"
    )
    main(parser.parse_args().times)
