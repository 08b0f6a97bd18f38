"""What measuring costs: steps of the ensemble with all statistics, against the same steps without any.

    OMP_NUM_THREADS=1 python benchmarks/measuring.py

The rounds alternate, and the ratio is that of the smallest times (CPU seconds of the process).
"""

import time
from functools import partial

import torch

from empirics.data.loading import load
from empirics.experiment import Experiment
from empirics.training.ensemble import Ensemble
from empirics.training.optimizer import along
from empirics.training.state import views

CASES = {  # model, data, runs at a time, batch, steps between snapshots
    "digits demo: mlp [16, 16]": ('name = "mlp"\nhidden = [16, 16]', "digits", 25, 64, 60),
    "mlp [16, 16], LayerNorm": ('name = "mlp"\nhidden = [16, 16]\nnorm = "layer"', "digits", 25, 64, 60),
    "convnet, width 4": ('name = "convnet"\nwidth = 4', "digits-images", 8, 64, 25),
    "resnet18, width 4": ('name = "resnet18"\nwidth = 4', "digits-images", 4, 128, 25),
    "transformer, width 16": ('name = "transformer"\nwidth = 16', "digits-images", 8, 64, 25),
}


def experiment(model, data, runs, batch, spacing):
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
    """A step that measures nothing; its radius is needed for the protocol."""
    inputs, labels = ensemble.feeds.train.at(state.step)
    tensors, gradient = views(state.flat, state.blocks), ensemble.gradient
    ensemble.model.loss_and_grad(tensors, ensemble.frozen, inputs, labels, views(gradient, state.blocks))
    lr = ensemble.protocol.learning_rate(ensemble.rate, torch.linalg.vecdot(state.flat, state.flat))
    (push,) = ensemble.optimizer.directions(
        [state.flat], [gradient], ensemble.weight_decay, state.optimizer, state.step
    )
    state.flat.addcmul_(push, along(lr, state.flat), value=-1)
    state.step += 1


def seconds(step, steps):
    before = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - before) / steps


def compared(grid):
    """Smallest times of a step with all statistics and without any; a round is the steps from snapshot to snapshot."""
    ensemble = Ensemble(grid, grid.runs, load(grid.data))
    with_all, without = [], []
    for _ in range(8):
        measured, plain = ensemble.start(), ensemble.start()
        with_all.append(seconds(partial(ensemble.advance, measured), grid.measure.spacing))
        without.append(seconds(partial(bare_step, ensemble, plain), grid.measure.spacing))
    return min(with_all), min(without)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for name, case in CASES.items():
        a, b = (1e3 * least for least in compared(experiment(*case)))
        print(f"{name:28s} {a:8.2f} ms a step with, {b:8.2f} without: {100 * (a / b - 1):+5.1f} %", flush=True)


main()
