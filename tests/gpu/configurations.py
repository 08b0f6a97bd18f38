"""What is trained on the pretended card: small grids of every network, loop and option, 18 steps of two runs."""

import gc
from collections.abc import Iterator
from functools import cache
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from card_ledger import LEDGER, Event

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
OWN = """
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
"""


def configuration(
    model: str = MLP,
    protocol: str = "fixed-lr",
    optimizer: str = "sgd",
    data: str = FLAT,
    spacing: int = 2,
    **tables: str,
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
steps = {8 * spacing}
{lines["training"]}
[grid]
{GRIDS[protocol]}
[measure]
snapshots = 8
spacing = {spacing}
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
    "paper-convnet": {"model": 'name = "paper-convnet"\nwidth = 2', "data": IMAGES, "protocol": "fixed-elr"},
    "resnet18": {"model": 'name = "resnet18"\nwidth = 2', "data": IMAGES, "optimizer": "adamw"},
    "preact-resnet18": {"model": 'name = "preact-resnet18"\nwidth = 2', "data": IMAGES},
    "transformer": {
        "model": 'name = "transformer"\nwidth = 8\ndepth = 1\nheads = 2',
        "data": 'name = "modular-addition"\nmodulus = 7',
        "protocol": "fixed-sphere",
        "optimizer": "momentum",
    },
    "unit": {"model": 'name = "unit"', "protocol": "fixed-elr"},
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
    "minibatches by epochs": {"training": 'minibatches = "epochs"'},
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

#: Measured for so many steps, which contain whatever is done once in 256 steps.
LONG: dict[str, dict[str, Any]] = {
    "everything in a step, 578 steps": {
        "data": f"{IMAGES}\nflip = true\nshift = 1\nlabel_noise = 0.2\nfresh_noise = true",
        "training": "isotropic_noise = 0.5",
        "spacing": 72,
    }
}


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


def trained(experiment: NetworkExperiment, device: str) -> dict[str, np.ndarray]:
    """Train to the end; the numbers of the last state."""
    made = ensemble(experiment, device)
    state = made.start()
    for _ in steps(made, state):
        pass
    return contents(state)


def contents(state: TrainingState) -> dict[str, np.ndarray]:
    """All numbers of a state, on the host."""
    return state.arrays() | {"snapshots": state.snapshots.cpu().numpy()}


def differences(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    """Names of the arrays that differ in a bit."""
    assert found.keys() == expected.keys()
    pairs = {name: (found[name], expected[name]) for name in found}
    return [name for name, two in pairs.items() if not np.array_equal(*two, equal_nan=two[0].dtype.kind == "f")]


class OnCard(NamedTuple):
    """A training on the card."""

    contents: dict[str, np.ndarray]  # its last state
    events: list[Event]  # copies and waits in its steps
    costs: dict[str, float]  # see card_budgets


@cache
def on_card(name: str) -> OnCard:
    """Train a configuration on the card, and count what its steps cost.

    Counted between the first snapshot and the last step, so without what is made once, or measured at the end.
    """
    gc.collect()  # what other tests have left
    before = LEDGER.held
    made = ensemble(configuration(**(ALL | LONG)[name]), "cuda")
    state = made.start()
    LEDGER.clear()
    launches, waits, copies, peaks = [], [], [], []
    first, spacing = made.times.burn_in + made.times.spacing - 1, made.times.spacing
    for _ in steps(made, state):
        launches.append(LEDGER.launches.total() - sum(launches))
        waits.append(len(LEDGER.waits))
        copies.append(len(LEDGER.copies))
        peaks.append(LEDGER.peak)
        if state.step == first + 1:
            torch.cuda.reset_peak_memory_stats()
            held = LEDGER.held
    events = [*LEDGER.waits, *LEDGER.copies]
    plain = [launches[i] for i in range(first, len(launches) - 1) if (i - first) % spacing]
    moved, later = LEDGER.copies[copies[first] : copies[-2]], len(launches) - 2 - first
    costs = {
        "launches per step": round(mean(plain), 1),
        "launches at a snapshot": round(mean(launches[first + spacing : -1 : spacing]), 1),
        "waits per 1000 steps": round(1000 * (waits[-2] - waits[first]) / later, 1),
        "bytes per step": round(sum(copy.bytes for copy in moved) / later, 1),
        "bytes taken in a step": peaks[-2] - held,
        "peak bytes": peaks[-2] - before,
    }
    return OnCard(contents(state), events, costs)
