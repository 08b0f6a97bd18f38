"""The isotropic gas on the paper's grid: ours, and a vectorised torch loop with autograd over the same grid.

The reference is what anybody would write first: the whole grid as one torch tensor, the loss differentiated by
autograd, with the same kind of sums accumulated at each step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.contest import Contest
from empirics.isotropic.experiment import IsotropicExperiment
from empirics.isotropic.loop import GasTrainer


def rates_of(side: int) -> list[float]:
    """Learning rates, or weight decays, of a grid of `side` by `side`: 0.001 to 0.1."""
    return [float(rate) for rate in np.logspace(-3, -1, side)]


def experiment(dimension: int, steps: int, vectors: bool = False, side: int = 17) -> IsotropicExperiment:
    """The paper's grid at fixed LR, sized to be timed."""
    rates = rates_of(side)
    found = IsotropicExperiment.from_mapping(
        {
            "name": "benchmark",
            "kind": "isotropic",
            "seeds": [1],
            "gas": {"dimension": dimension},
            "training": {"protocols": "fixed-lr", "burn_in": 0, "steps": steps, "vectors": vectors},
            "grid": {"lr": rates, "weight_decay": rates},
            "measure": {"snapshots": steps // 10, "spacing": 10},
            "shards": {"runs_per_shard": 320},
        }
    )
    assert isinstance(found, IsotropicExperiment)
    return found


class Ours:
    """A shard of ours, including all measurements of the results."""

    def __init__(self, dimension: int, vectors: bool = False, side: int = 17) -> None:
        self.dimension, self.vectors, self.side, self.seconds = dimension, vectors, side, 0.0

    def run(self, steps: int) -> tuple[float, float]:
        """Advance `steps` steps; returns mean loss and mean squared radius over the second half."""
        plan = experiment(self.dimension, steps, self.vectors, self.side)
        trainer = GasTrainer(plan, plan.runs)
        state = trainer.start()
        start = time.process_time()
        while state.step < steps:
            trainer.advance(state)
        self.seconds = time.process_time() - start
        half = state.marks[10:].copy()
        means = (half[-1] - half[0]) / (steps / 2)
        return float(means[8].mean()), float(means[0].mean())


class Autograd:
    """A vectorised loop with torch's autograd over the same grid.

    With `measure` it accumulates the sums that ours accumulates, without it nothing.
    """

    def __init__(self, dimension: int, measure: bool = True, side: int = 17) -> None:
        self.dimension, self.measure, self.side, self.seconds = dimension, measure, side, 0.0

    @torch.enable_grad()
    def run(self, steps: int) -> tuple[float, float]:
        """Advance `steps` steps; returns mean loss and mean squared radius over the second half."""
        d, rates = self.dimension, np.array(rates_of(self.side))
        lr, decay = (torch.tensor(x.ravel())[:, None] for x in np.meshgrid(rates, rates, indexing="ij"))
        noise = torch.Generator().manual_seed(0)
        w = torch.randn(len(lr), d, dtype=torch.float64, generator=noise)
        w *= (lr * (d - 1) / (2 * decay)) ** 0.25 / w.norm(dim=1, keepdim=True)
        mu = torch.zeros(d, dtype=torch.float64)
        mu[0] = 1.0
        sums = torch.zeros(14, len(lr), 1, dtype=torch.float64)
        start = time.process_time()
        for step in range(steps):
            if step == steps // 2:
                sums.zero_()
            w.requires_grad_(True)
            r_sq = (w * w).sum(1, keepdim=True)
            r = r_sq.sqrt()
            loss = 1 - (w @ mu)[:, None] / r
            (mean,) = torch.autograd.grad(loss.sum(), w)
            with torch.no_grad():
                w = w.detach()
                xi = torch.randn(len(lr), d, dtype=torch.float64, generator=noise)
                xi = (xi - (xi * w).sum(1, keepdim=True) / r_sq * w) / r
                gradient = mean + xi
                after = w - lr * (gradient + decay * w)
                if self.measure:
                    sums += self._row((w, after), (mean, xi, gradient), loss.detach(), r_sq.detach(), lr, decay)
                w = after
        self.seconds = time.process_time() - start
        means = sums[..., 0] / (steps - steps // 2)
        return float(means[0].mean()), float(means[1].mean())

    @staticmethod
    def _row(places: tuple[Tensor, Tensor], gradients: tuple[Tensor, ...], *per_run: Tensor) -> Tensor:
        """The sums that ours takes at each step, written plainly."""
        (w, after), (mean, xi, gradient), (loss, r_sq, lr, decay) = places, gradients, per_run
        noise_sq, grad_sq = (xi * xi).sum(1, keepdim=True), (gradient * gradient).sum(1, keepdim=True)
        mean_sq = (mean * mean).sum(1, keepdim=True)
        cos = (w * after).sum(1, keepdim=True) / (r_sq * (after * after).sum(1, keepdim=True)).sqrt()
        rows = [loss, r_sq, r_sq * r_sq, r_sq.log(), grad_sq, noise_sq, noise_sq * r_sq, mean_sq, mean_sq * r_sq]
        rows += [loss * loss, lr * noise_sq, (1 - loss) * noise_sq * r_sq, cos.clamp(max=1).acos() ** 2]
        return torch.stack([*rows, lr * lr * grad_sq - lr * decay * (2 - lr * decay) * r_sq])


def _per_step(program: Ours | Autograd, steps: int) -> Callable[[], float]:
    def round_() -> float:
        program.run(steps)
        return program.seconds / steps

    return round_


def compared(
    name: str,
    dimension: int,
    side: int,
    steps: tuple[int, int],
    goal: float,
    vectors: bool = False,
    measure: bool = True,
) -> Contest:
    """Ours against autograd on a grid of `side` by `side`; `steps` per round of each, `measure` is for autograd."""
    what = "full vectors" if vectors else "two numbers per run, exact in law"
    kept = "accumulates the same sums" if measure else "measures nothing"
    return Contest(
        name=name,
        work=f"isotropic gas, d = {dimension:,}, {side}x{side} grid at fixed LR, {what}, all measurements, against a "
        f"vectorised torch loop with autograd over the same grid that {kept}",
        unit=f"s per step of {side * side} runs",
        ours=_per_step(Ours(dimension, vectors, side), steps[0]),
        reference=_per_step(Autograd(dimension, measure, side), steps[1]),
        goal=goal,
        bytes=16.0 * side * side * (dimension if vectors else 2),
        rounds=3,
    )


def contests(quick: bool) -> list[Contest]:
    """The paper's grid: by the two-number reduction, also against a loop that measures nothing, and by full vectors."""
    scale = 10 if quick else 1
    steps = (50_000 // scale, 3_000 // scale)
    return [
        compared("isotropic", 3, 17, steps, 100.0),
        compared("isotropic-bare", 3, 17, steps, 50.0, measure=False),
        compared("isotropic-vectors", 3, 17, steps, 20.0, vectors=True),
    ]
