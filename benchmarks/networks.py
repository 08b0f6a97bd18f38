"""What the benchmarks of networks share: an experiment sized to be timed, our step, and one run in plain PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from empirics.data.dataset import Dataset
from empirics.training.ensemble import Ensemble
from empirics.training.experiment import NetworkExperiment

LR, DECAY = 0.05, 0.01


def experiment(
    data: Mapping[str, Any],
    model: Mapping[str, Any],
    *,
    runs: int,
    batch: int,
    spacing: int,
    snapshots: int,
    measure: Mapping[str, Any] | None = None,
    grid: Mapping[str, Sequence[float]] | None = None,
    **training: Any,
) -> NetworkExperiment:
    """Runs of one setting (or over a `grid`) at fixed LR, all in one shard, with a snapshot every `spacing` steps."""
    held = {"protocol": "fixed-lr", "optimizer": "sgd", "batch_size": batch, "burn_in": 0, "steps": spacing * snapshots}
    found = NetworkExperiment.from_mapping(
        {
            "name": "benchmark",
            "kind": "network",
            "seeds": list(range(runs)),
            "data": data,
            "model": model,
            "training": held | training,
            "grid": grid or {"lr": [LR], "weight_decay": [DECAY]},
            "measure": {"snapshots": snapshots, "spacing": spacing, **(measure or {})},
            "shards": {"runs_per_shard": 1000},
        }
    )
    assert isinstance(found, NetworkExperiment)
    return found


class Ours:
    """The ensemble's step: draw minibatches, gradients, statistics, update, and snapshots when due."""

    def __init__(self, plan: NetworkExperiment, data: Dataset, device: str = "cpu") -> None:
        self.ensemble = Ensemble(plan, plan.runs, data, device)
        self.state = self.ensemble.start()

    def step(self) -> None:
        """One step of all runs."""
        self.ensemble.advance(self.state)


class Reference:
    """``nn.Module`` and ``torch.optim.SGD``, one run, minibatches by indexing (no DataLoader), nothing measured."""

    def __init__(self, network: Callable[[], nn.Module], inputs: Tensor, labels: Tensor, batch: int) -> None:
        torch.manual_seed(0)
        self.network, self.inputs, self.labels, self.batch = network().to(inputs.device), inputs, labels, batch
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LR, weight_decay=DECAY)

    @torch.enable_grad()
    def gradient(self) -> None:
        """The gradient of a minibatch."""
        rows = torch.randint(len(self.labels), (self.batch,), device=self.labels.device)
        loss = functional.cross_entropy(self.network(self.inputs[rows]), self.labels[rows])
        self.optimizer.zero_grad()
        loss.backward()

    def step(self) -> None:
        """One step of one run."""
        self.gradient()
        self.optimizer.step()
