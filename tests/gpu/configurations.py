"""What is trained on the pretended card: small grids of every network, loop and option, 18 steps of two runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from empirics.data.loading import load
from empirics.experiment import Experiment
from empirics.experiment.optimizers import GRADIENT, TRUST
from empirics.training import OPTIMIZERS, PROTOCOLS
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment
from empirics.training.state import TrainingState

GRIDS = {
    "fixed-lr": "lr = [0.02, 0.05]\nweight_decay = [0.01]",
    "fixed-elr": "effective_lr = [2e-4, 5e-4]\nweight_decay = [0.01]",
    "fixed-sphere": "lr = [0.02, 0.05]\nradius = [8.0]",
}
FLAT, IMAGES = 'name = "digits"', 'name = "digits-images"'
MLP = 'name = "mlp"\nhidden = [5, 4]\neps = 1e-5'
RMS = f'{MLP}\nnorm = "rms"'

#: A module of a user's own, with a buffer and with statistics that BatchNorm would keep.
OWN = '''
import torch
from torch import nn
from empirics.models import network

@network("own")
class Own(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.first = nn.Linear(features, 6, bias=False)
        self.norm = nn.BatchNorm1d(6, affine=False)
        self.register_buffer("sign", torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        return self.head(torch.relu(self.sign * self.norm(self.first(x))))
'''


def configuration(
    model: str = MLP, protocol: str = "fixed-lr", optimizer: str = "sgd", data: str = FLAT, **tables: str
) -> NetworkExperiment:
    """An experiment of two runs; `tables` adds lines to the tables of its file, by their names, or whole tables."""
    lines = {"training": "", "measure": "", "more": ""} | tables
    return Experiment.from_toml(f"""
name = "card"
kind = "network"
seeds = [5]
[data]
{data}
[model]
{model}
[training]
protocol = "{protocol}"
optimizer = "{optimizer}"
batch_size = 8
initial_radius = 8.0
burn_in = 2
steps = 16
{lines["training"]}
[grid]
{GRIDS[protocol]}
[measure]
snapshots = 8
spacing = 2
blocks = 8
trace_points = 2
{lines["measure"]}
[shards]
runs_per_shard = 2
{lines["more"]}
""")


#: Every network; a protocol and an optimiser each.
NETWORKS: dict[str, dict[str, str]] = {
    "mlp, BatchNorm": {"optimizer": "adamw"},
    "mlp, affine": {"model": f"{MLP}\naffine = true", "protocol": "fixed-elr"},
    "mlp, LayerNorm": {"model": f'{MLP}\nnorm = "layer"', "protocol": "fixed-sphere", "optimizer": "adamw"},
    "mlp, RMSNorm": {"model": RMS, "optimizer": "adam-l2"},
    "mlp, tanh": {"model": f'{RMS}\nactivation = "tanh"', "protocol": "fixed-elr", "optimizer": "momentum"},
    "convnet": {"model": 'name = "convnet"\nwidth = 2', "data": IMAGES, "optimizer": "momentum"},
    "resnet18": {"model": 'name = "resnet18"\nwidth = 2', "data": IMAGES, "optimizer": "adamw"},
    "transformer": {
        "model": 'name = "transformer"\nwidth = 8\ndepth = 1\nheads = 2',
        "data": 'name = "modular-addition"\nmodulus = 7',
        "protocol": "fixed-sphere",
        "optimizer": "momentum",
    },
    "own module, frozen head": {"model": 'name = "own"\nfile = "own.py"'},
    "own module, trained head": {"model": 'name = "own"\nfile = "own.py"\nremainder = "train"', "optimizer": "lamb"},
}

#: Every optimiser at every protocol that takes it.
LOOPS: dict[str, dict[str, str]] = {
    f"{optimizer} at {protocol}": {"protocol": protocol, "optimizer": optimizer}
    for protocol in PROTOCOLS.names
    for optimizer in OPTIMIZERS.names
    if protocol == "fixed-lr" or optimizer in GRADIENT or (protocol == "fixed-sphere" and optimizer not in TRUST)
}

SCHEDULE = "[schedule]\nstep = [0, 6, 12]\nlr = [0.1, 1.0, 0.5]\nweight_decay = [1.0, 2.0, 1.0]"
#: Every option that changes what is done in a step or at a snapshot.
OPTIONS: dict[str, dict[str, str]] = {
    "float64": {"training": 'dtype = "float64"'},
    "halves": {"training": "halves = true"},
    "halves, more noise": {"training": "halves = true\nnoise_gain = 2.0"},
    "isotropic noise": {"training": "isotropic_noise = 0.5"},
    "shared minibatches": {"training": 'minibatches = "shared"'},
    "probes of the Hessian": {"measure": "hessian_probes = 2"},
    "probes of the Hessian, halves": {"training": "halves = true", "measure": "hessian_probes = 1\nhessian_every = 2"},
    "label noise": {"data": f"{FLAT}\nlabel_noise = 0.2"},
    "fresh label noise": {"data": f"{FLAT}\nlabel_noise = 0.2\nfresh_noise = true"},
    "augmentation": {"data": f"{IMAGES}\nflip = true\nshift = 1"},
    "test set": {"data": f"{FLAT}\ntest_share = 0.2"},
    "expected loss": {"model": RMS, "measure": "expected_loss = true", "data": f"{FLAT}\nsamples = 40"},
    "expected loss, probes": {
        "model": RMS,
        "data": f"{FLAT}\nsamples = 40\nlabel_noise = 0.2\nfresh_noise = true",
        "measure": "expected_loss = true\nhessian_probes = 2",
    },
    "schedule": {"more": SCHEDULE},
    "schedule, cosine": {"protocol": "fixed-elr", "more": f'{SCHEDULE}\nbetween = "cosine"'},
    "everything": {
        "data": f"{IMAGES}\nflip = true\nshift = 1\nlabel_noise = 0.2\nfresh_noise = true\ntest_share = 0.2",
        "optimizer": "adam-l2",
        "training": "halves = true\nisotropic_noise = 0.5",
        "measure": "hessian_probes = 1",
        "more": SCHEDULE,
    },
}
ALL = NETWORKS | LOOPS | OPTIONS

#: Those that torch's autograd has no part in: the perceptron with BatchNorm, with its own backward pass.
WITHOUT_AUTOGRAD = frozenset(name for name, found in ALL.items() if "model" not in found or "affine" in found["model"])


def ensemble(experiment: NetworkExperiment, device: str) -> Ensemble:
    """The ensemble of all runs; on the CPU too without compiled gradients, whose last bits are others."""
    made = Ensemble(experiment, experiment.runs, load(experiment.data), device)
    made.model.compiled = False
    return made


def steps(made: Ensemble, state: TrainingState, number: int | None = None) -> Iterator[TrainingState]:
    """Advance a state to the end, or by a number of steps, as a run does."""
    with torch.no_grad():
        for _ in range(made.times.total - state.step if number is None else number):
            made.advance(state)
            yield state


def trained(experiment: NetworkExperiment, device: str) -> tuple[Ensemble, TrainingState]:
    """Train to the end."""
    made = ensemble(experiment, device)
    state = made.start()
    for _ in steps(made, state):
        pass
    return made, state


def contents(state: TrainingState) -> dict[str, Any]:
    """All numbers of a state, on the host."""
    return state.arrays() | {"snapshots": state.snapshots.cpu().numpy()}


def differences(found: TrainingState, expected: TrainingState) -> list[str]:
    """Names of the arrays that differ in a bit."""
    left, right = contents(found), contents(expected)
    assert left.keys() == right.keys()
    return [name for name in left if not np.array_equal(left[name], right[name], equal_nan=True)]
