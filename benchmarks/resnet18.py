"""ResNet-18 of width 4 on images of CIFAR-10's size: our whole step for 8 runs, and plain PyTorch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contest import Contest, seconds_of
from benchmarks.networks import Ours, Reference, experiment
from empirics.data.dataset import Dataset
from empirics.models.functional import frozen_head

WIDTH, BATCH, RUNS, TOGETHER = 4, 128, 8, 4


def images(count: int = 1024) -> Dataset:
    """Noise of CIFAR-10's shape: what a step costs does not depend on what is seen."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((count, 3 * 32 * 32)).astype(np.float32)
    return Dataset("noise", inputs, rng.integers(10, size=count), 10, (3, 32, 32))


def ensemble(spacing: int, runs: int = TOGETHER, device: str = "cpu", graph: bool = False) -> Ours:
    """Some runs of an ensemble, a snapshot every `spacing` steps."""
    # The data are a placeholder: the ensemble is given its images.
    data, model = {"name": "digits-images"}, {"name": "resnet18", "width": WIDTH}
    plan = experiment(data, model, runs=runs, batch=BATCH, spacing=spacing, snapshots=40, graph=graph)
    return Ours(plan, images(), device)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, 1e-12, affine=False)


class Unit(nn.Module):
    """Two convolutions with BatchNorm, and a shortcut."""

    def __init__(self, into: int, out: int, stride: int, norm: Callable[[int], nn.Module] = _norm) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), norm(out)
        self.second, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), norm(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or into != out:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """The unit's output."""
        inner = self.norm1(self.first(x)).relu()
        return (self.norm2(self.second(inner)) + self.shortcut(x)).relu()


class Plain(nn.Module):
    """ResNet-18 as anybody would write it first, with a frozen last layer."""

    def __init__(self, width: int = WIDTH, classes: int = 10) -> None:
        super().__init__()
        units, into = [], width
        for stage in range(4):
            out = width * 2**stage
            units += [Unit(into, out, 1 if stage == 0 else 2), Unit(out, out, 1)]
            into = out
        self.stem, self.norm = nn.Conv2d(3, width, 3, 1, 1, bias=False), _norm(width)
        self.units = nn.Sequential(*units)
        self.head: Tensor
        (head,) = frozen_head(np.random.default_rng(0), classes, into, 10.0)
        self.register_buffer("head", torch.tensor(head, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return functional.linear(self.units(self.norm(self.stem(x)).relu()).mean((2, 3)), self.head)


def one_run(device: str = "cpu") -> Reference:
    """One run of the same network, channels last."""
    data, last = images(), torch.channels_last
    there, labels = (torch.as_tensor(one, device=device) for one in (data.inputs, data.labels))
    inputs = there.view(-1, 3, 32, 32).contiguous(memory_format=last)
    return Reference(lambda: Plain().to(memory_format=last), inputs, labels, BATCH)  # type: ignore[call-overload]


def flops() -> float:
    """Operations of the convolutions per step per run: forward, gradients of filters and of signals.

    Products with the zeros around a picture are not counted.
    """

    def met(size: int, stride: int) -> int:
        return (3 * size - (2 if stride == 1 else 1)) ** 2

    total, into = 2 * 3 * WIDTH * met(32, 1), WIDTH
    for stage in range(4):
        out, size = WIDTH * 2**stage, 32 // 2**stage
        total += 3 * (into * out * met(size, 2 if stage else 1) + 3 * out**2 * met(size, 1))
        total += 3 * into * out * size**2 if stage else 0
        into = out
    return 2.0 * BATCH * total


def contests(quick: bool) -> list[Contest]:
    """A step of eight runs, four at a time."""
    ours, reference, steps = ensemble(spacing=50), one_run(), 1 if quick else 3
    return [
        Contest(
            name="resnet18",
            work=f"ResNet-18 of width {WIDTH} on 32x32 images, batch {BATCH}, {RUNS} runs, {TOGETHER} at a time, all "
            "measurements but snapshots, against nn.Module (channels last) and torch.optim.SGD, one run at a time, "
            "which measures nothing",
            unit="s per step of 8 runs",
            ours=lambda: RUNS / TOGETHER * seconds_of(ours.step, steps),
            reference=lambda: RUNS * seconds_of(reference.step, steps),
            goal=2.5,
            flops=RUNS * flops(),
            bytes=RUNS * (4.0 * BATCH * 3 * 32**2 + 4 * 4 * 43_692),
            rounds=2 if quick else 5,
        )
    ]
