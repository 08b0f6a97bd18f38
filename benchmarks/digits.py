"""The digits network over 49 runs: our whole step, including measurements, and one run at a time in plain PyTorch."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contest import Contest, seconds_of
from empirics.data.loading import load
from empirics.models.functional import frozen_head
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment

RUNS, BATCH, SPACING = 49, 64, 60
LR, DECAY = 0.05, 0.01


def experiment(hidden: Sequence[int], steps: int = 4_800) -> NetworkExperiment:
    """The demo's experiment with other widths and the same snapshots, every 60 steps."""
    found = NetworkExperiment.from_mapping(
        {
            "name": "bench-digits",
            "kind": "network",
            "seeds": list(range(RUNS)),
            "data": {"name": "digits"},
            "model": {"name": "mlp", "hidden": list(hidden)},
            "training": {
                "protocol": "fixed-lr",
                "optimizer": "sgd",
                "batch_size": BATCH,
                "burn_in": 0,
                "steps": steps // SPACING * SPACING,
            },
            "grid": {"lr": [LR], "weight_decay": [DECAY]},
            "measure": {"snapshots": steps // SPACING, "spacing": SPACING},
            "shards": {"runs_per_shard": RUNS},
        }
    )
    assert isinstance(found, NetworkExperiment)
    return found


class Ours:
    """The ensemble's step: draw minibatches, gradients, statistics, update, and snapshots when due."""

    def __init__(self, hidden: Sequence[int]) -> None:
        plan = experiment(hidden)
        self.ensemble = Ensemble(plan, plan.runs, load(plan.data))
        self.state = self.ensemble.start()

    def step(self) -> None:
        """One step of all runs."""
        self.ensemble.advance(self.state)


class Plain(nn.Module):
    """The same network for one run, as anybody would write it first."""

    def __init__(self, features: int, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        widths = (features, *hidden)
        pairs = pairwise(widths)
        self.layers = nn.ModuleList(nn.Linear(into, out, bias=False) for into, out in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(out, 1e-12, affine=False) for out in hidden)
        self.head: Tensor
        (head,) = frozen_head(np.random.default_rng(0), classes, hidden[-1], 10.0)
        self.register_buffer("head", torch.tensor(head, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x)).relu()
        return functional.linear(x, self.head)


class Reference:
    """``nn.Module`` and ``torch.optim.SGD``, one run, minibatches by indexing (no DataLoader), nothing measured."""

    def __init__(self, hidden: Sequence[int]) -> None:
        data = load(experiment(hidden).data)
        self.inputs, self.labels = torch.as_tensor(data.inputs, dtype=torch.float32), torch.as_tensor(data.labels)
        torch.manual_seed(0)
        self.network = Plain(data.inputs.shape[1], hidden, data.classes)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LR, weight_decay=DECAY)

    @torch.enable_grad()
    def step(self) -> None:
        """One step of one run."""
        rows = torch.randint(len(self.labels), (BATCH,))
        loss = functional.cross_entropy(self.network(self.inputs[rows]), self.labels[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def flops(hidden: Sequence[int], features: int = 61, classes: int = 10) -> int:
    """Operations of the matrix products of one step of one run: forward, and gradients of weights and signals.

    >>> flops((16,)) == 2 * 64 * (2 * 61 * 16 + 2 * 16 * 10)
    True
    """
    widths = (features, *hidden)
    layers = [into * out for into, out in pairwise(widths)]
    return 2 * BATCH * (2 * sum(layers) + sum(layers[1:]) + 2 * hidden[-1] * classes)


def contests(quick: bool) -> list[Contest]:
    """One hidden layer of 16, the demo's network and two wider ones."""
    steps, rounds = (120, 3) if quick else (480, 7)
    found = []
    for hidden, goal in (((16,), 40.0), ((16, 16), 20.0), ((64, 64), 20.0), ((256,), 20.0)):
        name = "digits" if hidden == (16,) else f"digits-{'-'.join(map(str, hidden))}"
        ours, reference = Ours(hidden), Reference(hidden)
        few = max(60, steps // max(1, max(hidden) // 16) // 60 * 60)
        found.append(
            Contest(
                name=name,
                work=f"MLP {list(hidden)} on digits, batch {BATCH}, {RUNS} runs, all measurements, against nn.Module "
                "and torch.optim.SGD, one run at a time, which measures nothing",
                unit="s per step of 49 runs",
                ours=lambda ours=ours, few=few: seconds_of(ours.step, few),  # type: ignore[misc]
                reference=lambda ref=reference, few=few: RUNS * seconds_of(ref.step, 2 * few),  # type: ignore[misc]
                goal=goal,
                flops=RUNS * flops(hidden),
                rounds=rounds,
            )
        )
    return found
