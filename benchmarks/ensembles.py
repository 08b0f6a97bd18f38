"""ResNet-18 over an ensemble, forward and backward: compiled, grouped convolutions, torch.func.vmap, a loop over runs.

    OMP_NUM_THREADS=1 python benchmarks/ensembles.py [--width 4] [--runs 4] [--batch 128]

CPU seconds of the process, not of the clock, so that other work on the machine counts little.
"""

import argparse
import time

import numpy as np
import torch
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from empirics.models.convolutional import ResNet18


class ChannelsFirst(ResNet18):
    def _enter(self, inputs):
        runs, batch = inputs.shape[:2]
        return inputs.view(runs, batch, *self.shape).transpose(0, 1).reshape(batch, -1, *self.shape[1:])


def seconds(work, repeats):
    work()
    before = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - before) / repeats


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("width", 4), ("runs", 4), ("batch", 128), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    first = ChannelsFirst((3, 32, 32), 10, given.width)
    model, cpu = ResNet18((3, 32, 32), 10, given.width, compiled=False), torch.device("cpu")
    fast = ResNet18((3, 32, 32), 10, given.width)
    rngs = [np.random.default_rng(i) for i in range(given.runs)]
    weights = model.initial(rngs, np.full(given.runs, 30.0), torch.float32, cpu)
    frozen = model.fixed(np.random.default_rng(0), given.runs, torch.float32, cpu)
    inputs = torch.randn(given.runs, given.batch, model.features)
    labels = torch.randint(0, 10, (given.runs, given.batch))
    out = [torch.empty_like(w) for w in weights]

    def compiled():
        fast.loss_and_grad(weights, frozen, inputs, labels, out)

    def grouped():
        model.loss_and_grad(weights, frozen, inputs, labels, out)

    def one_loss(mine, head, x, y):  # channels first: vmap knows no other order
        return cross_entropy(first.logits([w[None] for w in mine], [head[None]], x[None])[0], y)

    def mapped():
        return vmap(grad(one_loss))(tuple(weights), frozen[0], inputs, labels)

    def loop():
        for i in range(given.runs):
            part = slice(i, i + 1)
            model.loss_and_grad(
                [w[part] for w in weights], [frozen[0][part]], inputs[part], labels[part], [o[part] for o in out]
            )

    ways = (
        (compiled, "compiled"),
        (grouped, "grouped convolutions"),
        (mapped, "torch.func.vmap"),
        (loop, "loop over runs"),
    )
    for work, name in ways:
        print(f"{name:22s} {1e3 * seconds(work, given.repeats) / given.runs:7.1f} ms a run and step")


main()
