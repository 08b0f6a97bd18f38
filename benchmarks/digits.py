"""The digits network over 49 runs: our whole step, including measurements, and one run at a time in plain PyTorch."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contest import Contest, seconds_of
from benchmarks.networks import Ours, Reference, experiment
from empirics.data.loading import load
from empirics.models.functional import frozen_head

RUNS, BATCH = 49, 64


def programs(hidden: Sequence[int]) -> tuple[Ours, Reference]:
    """The demo's experiment with other widths and the same snapshots, every 60 steps; one run of the same network."""
    model = {"name": "mlp", "hidden": list(hidden)}
    plan = experiment({"name": "digits"}, model, runs=RUNS, batch=BATCH, spacing=60, snapshots=80)
    data = load(plan.data)
    inputs, labels = torch.as_tensor(data.inputs, dtype=torch.float32), torch.as_tensor(data.labels)
    reference = Reference(lambda: Plain(data.inputs.shape[1], hidden, data.classes), inputs, labels, BATCH)
    return Ours(plan, data), reference


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
        ours, reference = programs(hidden)
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
