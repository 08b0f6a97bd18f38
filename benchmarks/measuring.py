"""The cost of measuring: steps of the ensemble with all statistics, against the same steps without any.

    OMP_NUM_THREADS=1 python -m benchmarks.measuring

Rounds alternate; the ratio is that of the minimum times (processor time of this process).
"""

from functools import partial

import torch

from benchmarks.contest import seconds_of
from benchmarks.networks import experiment
from empirics.data.loading import load
from empirics.models.base import views
from empirics.training.ensemble import Ensemble

DIGITS, IMAGES = {"name": "digits"}, {"name": "digits-images"}
CASES = {  # data, model, runs at a time, batch, steps between snapshots
    "digits demo: mlp [16, 16]": (DIGITS, {"name": "mlp", "hidden": [16, 16]}, 25, 64, 60),
    "mlp [16, 16], LayerNorm": (DIGITS, {"name": "mlp", "hidden": [16, 16], "norm": "layer"}, 25, 64, 60),
    "convnet, width 4": (IMAGES, {"name": "convnet", "width": 4}, 8, 64, 25),
    "resnet18, width 4": (IMAGES, {"name": "resnet18", "width": 4}, 4, 128, 25),
    "transformer, width 16": (IMAGES, {"name": "transformer", "width": 16}, 8, 64, 25),
}


def cost(data, model, runs, batch, spacing, halves=False):
    measure = {"blocks": 8, "trace_points": 8}
    return experiment(
        data, model, runs=runs, batch=batch, spacing=spacing, snapshots=16, measure=measure, halves=halves
    )


def bare_step(ensemble, state):
    """A step that measures nothing except the radius, which the protocol needs."""
    gradient, parts = ensemble.gradient, views(ensemble.gradient, state.blocks)
    ensemble.feeds.train.loss_and_grad(ensemble.model, state.weights, ensemble.frozen, state.step, parts)
    lr = ensemble.protocol.learning_rate(ensemble.rate, torch.linalg.vecdot(state.flat, state.flat))
    numbers = ensemble.optimizer.numbers(state.step)
    push = ensemble.optimizer.direction(state.flat, gradient, ensemble.weight_decay, state.optimizer, numbers)
    state.flat.addcmul_(push, lr.unsqueeze(1), value=-1)
    state.step += 1


def compared(*case):
    """Minimum times per step: measuring at snapshots, measuring from halves, measuring nothing; in turns."""
    grids = [cost(*case), cost(*case, halves=True)]
    at_snapshots, from_halves = (Ensemble(grid, grid.runs, load(grid.data)) for grid in grids)
    times = [[], [], []]
    for _ in range(8):
        states = [at_snapshots.start(), from_halves.start(), at_snapshots.start()]
        steps = [at_snapshots.advance, from_halves.advance, partial(bare_step, at_snapshots)]
        for found, step, state in zip(times, steps, states, strict=True):
            found.append(seconds_of(partial(step, state), grids[0].measure.spacing))
    return [min(found) for found in times]


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    print("| network | ms per step, measuring nothing | at snapshots | from halves |\n|---|---|---|---|")
    for name, case in CASES.items():
        a, b, bare = compared(*case)
        shares = " | ".join(f"{100 * (each / bare - 1):+.0f} %" for each in (a, b))
        print(f"| {name} | {1e3 * bare:.2f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
