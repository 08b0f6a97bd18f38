"""The cost of measuring: steps of the ensemble with all statistics, against the same steps without any.

    OMP_NUM_THREADS=1 python -m benchmarks.measuring

Rounds alternate; the ratio is that of the minimum times (processor time of this process).
"""

import time
from functools import partial

import torch

from empirics.data.loading import load
from empirics.experiment import Experiment
from empirics.models.base import views
from empirics.training.ensemble import Ensemble

CASES = {  # model, data, runs at a time, batch, steps between snapshots
    "digits demo: mlp [16, 16]": ('name = "mlp"\nhidden = [16, 16]', "digits", 25, 64, 60),
    "mlp [16, 16], LayerNorm": ('name = "mlp"\nhidden = [16, 16]\nnorm = "layer"', "digits", 25, 64, 60),
    "convnet, width 4": ('name = "convnet"\nwidth = 4', "digits-images", 8, 64, 25),
    "resnet18, width 4": ('name = "resnet18"\nwidth = 4', "digits-images", 4, 128, 25),
    "transformer, width 16": ('name = "transformer"\nwidth = 16', "digits-images", 8, 64, 25),
}


def experiment(model, data, runs, batch, spacing, halves=False):
    return Experiment.from_toml(f"""
name = "cost"
kind = "network"
seeds = {list(range(runs))}
[data]
name = "{data}"
[model]
{model}
[training]
protocol = "fixed-lr"
optimizer = "sgd"
batch_size = {batch}
halves = {str(halves).lower()}
burn_in = 0
steps = {spacing * 16}
[grid]
lr = [0.05]
weight_decay = [0.01]
[measure]
snapshots = 16
spacing = {spacing}
blocks = 8
trace_points = 8
[shards]
runs_per_shard = {runs}
""")


def bare_step(ensemble, state):
    """A step that measures nothing except the radius, which the protocol needs."""
    gradient, parts = ensemble.gradient, views(ensemble.gradient, state.blocks)
    ensemble.feeds.train.loss_and_grad(ensemble.model, state.weights, ensemble.frozen, state.step, parts)
    lr = ensemble.protocol.learning_rate(ensemble.rate, torch.linalg.vecdot(state.flat, state.flat))
    push = ensemble.optimizer.direction(state.flat, gradient, ensemble.weight_decay, state.optimizer, state.step)
    state.flat.addcmul_(push, lr.unsqueeze(1), value=-1)
    state.step += 1


def seconds(step, steps):
    before = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - before) / steps


def compared(*case):
    """Minimum times per step: measuring at snapshots, measuring from halves, measuring nothing; in turns."""
    grids = [experiment(*case), experiment(*case, halves=True)]
    at_snapshots, from_halves = (Ensemble(grid, grid.runs, load(grid.data)) for grid in grids)
    times = [[], [], []]
    for _ in range(8):
        states = [at_snapshots.start(), from_halves.start(), at_snapshots.start()]
        steps = [at_snapshots.advance, from_halves.advance, partial(bare_step, at_snapshots)]
        for found, step, state in zip(times, steps, states, strict=True):
            found.append(seconds(partial(step, state), grids[0].measure.spacing))
    return [min(found) for found in times]


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for name, case in CASES.items():
        a, b, bare = (1e3 * time for time in compared(*case))
        shares = ", ".join(f"{100 * (each / bare - 1):+5.1f} %" for each in (a, b))
        print(
            f"{name:28s} {bare:8.2f} ms per step bare, {a:8.2f} at snapshots, {b:8.2f} from halves: {shares}",
            flush=True,
        )


if __name__ == "__main__":
    main()
