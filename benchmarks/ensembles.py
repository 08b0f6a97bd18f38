"""ResNet-18's loss and gradient over an ensemble: our compiled kernel, and torch's ways, torch.compile among them.

The kernel and its plan are kept while the best of the others is more than 1.5 times slower.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from benchmarks.contest import Contest, seconds_of
from empirics.models.convolutional import ResNet18

SHAPE, CLASSES = (3, 32, 32), 10


class ChannelsFirst(ResNet18):
    """The only layout that ``torch.func.vmap`` supports."""

    def _enter(self, inputs: Tensor) -> Tensor:
        runs, batch = inputs.shape[:2]
        return inputs.view(runs, batch, *self.shape).transpose(0, 1).reshape(batch, -1, *self.shape[1:])


def contest(width: int, runs: int, batch: int, rounds: int) -> Contest:
    """All runs once, each with its own weights and minibatch of random images."""
    kernel, plain = ResNet18(SHAPE, CLASSES, width), ResNet18(SHAPE, CLASSES, width, compiled=False)
    fused, first = ResNet18(SHAPE, CLASSES, width, compiled=False), ChannelsFirst(SHAPE, CLASSES, width)
    fused.logits = torch.compile(plain.logits, dynamic=False)  # type: ignore[method-assign]
    rngs, cpu = [np.random.default_rng(i) for i in range(runs)], torch.device("cpu")
    weights = plain.initial(rngs, np.full(runs, 30.0), torch.float32, cpu)
    frozen = plain.fixed(np.random.default_rng(0), runs, torch.float32, cpu)
    inputs, labels = torch.randn(runs, batch, plain.features), torch.randint(CLASSES, (runs, batch))
    out = [torch.empty_like(w) for w in weights]

    def together(model: ResNet18, part: slice = slice(None)) -> None:
        own, mine = [w[part] for w in weights], [o[part] for o in out]
        model.loss_and_grad(own, [frozen[0][part]], inputs[part], labels[part], mine)

    def one_by_one(model: ResNet18) -> None:
        for i in range(runs):
            together(model, slice(i, i + 1))

    def one_loss(mine: tuple[Tensor, ...], head: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(first.logits([w[None] for w in mine], [head[None]], x[None])[0], y)

    def timed(way: Callable[..., object], *given: object) -> Callable[[], float]:
        return lambda: seconds_of(lambda: way(*given))

    return Contest(
        name=f"ensembles-{width}-{runs}x{batch}",
        work=f"loss and gradient of ResNet-18 of width {width} on 32x32 images, {runs} runs, batch {batch}: compiled "
        "kernel, against grouped convolutions (channels last)",
        unit=f"s per gradient of {runs} runs",
        ours=timed(together, kernel),
        reference=timed(together, plain),
        goal=1.5,
        rivals={
            "one run at a time, channels last": timed(one_by_one, plain),
            "torch.func.vmap, channels first": timed(vmap(grad(one_loss)), tuple(weights), frozen[0], inputs, labels),
            "torch.compile, grouped, channels last": timed(together, fused),
            "torch.compile, one run at a time, channels last": timed(one_by_one, fused),
        },
        rounds=rounds,
    )


def contests(quick: bool) -> list[Contest]:
    """The ensembles of resnet18-cifar10.toml; 5 runs in halves of 32 images, as on the CIFAR-10 page; then width 8."""
    if quick:
        return [contest(4, 8, 128, 3)]
    return [contest(4, 8, 128, 5), contest(4, 10, 16, 5), contest(8, 8, 128, 5)]
