"""Speed of the isotropic gas on one thread, as ratios taken in one process: ``python benchmarks/isotropic.py``.

The peer is what somebody writes first: the whole grid as one torch tensor, the loss differentiated by autograd, sums of
the same kind kept beside it. Every program advances the same 17 x 17 grid of learning rates and weight decays.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from empirics.isotropic.experiment import IsotropicExperiment
from empirics.isotropic.loop import GasTrainer
from empirics.provenance import _cpu

RATES = np.logspace(-3, -1, 17)
PAPER_STEPS = 2_000_000


def experiment(dimension: int, steps: int, vectors: bool = False, **grid: Any) -> IsotropicExperiment:
    """The paper's grid at fixed LR, sized to be timed."""
    return IsotropicExperiment.from_mapping(
        {
            "name": "benchmark",
            "kind": "isotropic",
            "seeds": [1],
            "gas": {"dimension": dimension},
            "training": {"protocols": "fixed-lr", "burn_in": 0, "steps": steps, "vectors": vectors},
            "grid": {"lr": list(RATES), "weight_decay": list(RATES)} | grid,
            "measure": {"snapshots": steps // 10, "spacing": 10},
            "shards": {"runs_per_shard": 320},
        }
    )


class Ours:
    """A shard of ours, all measurements of the results included."""

    def __init__(self, dimension: int, vectors: bool = False) -> None:
        self.dimension, self.vectors = dimension, vectors

    def run(self, steps: int) -> tuple[float, float]:
        """Advance `steps` steps; returns mean loss and mean squared radius over the second half."""
        plan = experiment(self.dimension, steps, self.vectors)
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

    With `measure` it keeps the sums that ours keeps, without it nothing but the weights.
    """

    def __init__(self, dimension: int, measure: bool = True) -> None:
        self.dimension, self.measure = dimension, measure

    def run(self, steps: int) -> tuple[float, float]:
        """Advance `steps` steps; returns mean loss and mean squared radius over the second half."""
        d = self.dimension
        lr, decay = (torch.tensor(x.ravel())[:, None] for x in np.meshgrid(RATES, RATES, indexing="ij"))
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
                    sums += self._row(w, after, mean, xi, gradient, loss.detach(), r_sq.detach(), lr, decay)
                w = after
        self.seconds = time.process_time() - start
        means = sums[..., 0] / (steps - steps // 2)
        return float(means[0].mean()), float(means[1].mean())

    @staticmethod
    def _row(w, after, mean, xi, gradient, loss, r_sq, lr, decay):  # type: ignore[no-untyped-def]
        """What ours sums at a step, written plainly."""
        noise_sq, grad_sq = (xi * xi).sum(1, keepdim=True), (gradient * gradient).sum(1, keepdim=True)
        mean_sq = (mean * mean).sum(1, keepdim=True)
        cos = (w * after).sum(1, keepdim=True) / (r_sq * (after * after).sum(1, keepdim=True)).sqrt()
        rows = (loss, r_sq, r_sq * r_sq, r_sq.log(), grad_sq, noise_sq, noise_sq * r_sq, mean_sq, mean_sq * r_sq)
        rows += (loss * loss, lr * noise_sq, (1 - loss) * noise_sq * r_sq, cos.clamp(max=1).acos() ** 2)
        return torch.stack([*rows, lr * lr * grad_sq - lr * decay * (2 - lr * decay) * r_sq])


def timed(make: Callable[[], Any], steps: int, repeats: int) -> dict[str, Any]:
    """Nanoseconds of processor time a step and run: the best of some repeats, after one that compiles and warms up."""
    program = make()
    program.run(max(200, steps // 4000 * 200))
    best, answer = float("inf"), (float("nan"), float("nan"))
    for _ in range(repeats):
        answer = program.run(steps)
        best = min(best, program.seconds)
    return {"ns": best / steps / 289 * 1e9, "loss": answer[0], "radius_sq": answer[1]}


def main() -> None:
    """Time everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a look")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scale, repeats = (10, 1) if options.quick else (1, 3)
    cases = {
        "d = 3, two numbers": (lambda: Ours(3), 100_000),
        "d = 3, full vectors": (lambda: Ours(3, vectors=True), 50_000),
        "d = 3, torch autograd": (lambda: Autograd(3), 10_000),
        "d = 3, torch autograd, measuring nothing": (lambda: Autograd(3, measure=False), 10_000),
        "d = 1000, two numbers": (lambda: Ours(1000), 100_000),
        "d = 1000, full vectors": (lambda: Ours(1000, vectors=True), 2_000),
        "d = 1000, torch autograd": (lambda: Autograd(1000), 1_000),
    }
    found = {name: timed(make, steps // scale, repeats) for name, (make, steps) in cases.items()}
    facts = {"cpu": _cpu(), "python": platform.python_version(), "torch": torch.__version__, "threads": 1}
    ratios = {
        f"d = {d}": {
            "torch autograd / ours": found[f"d = {d}, torch autograd"]["ns"] / found[f"d = {d}, two numbers"]["ns"],
            "full vectors / two numbers": found[f"d = {d}, full vectors"]["ns"] / found[f"d = {d}, two numbers"]["ns"],
        }
        for d in (3, 1000)
    }
    bare = found["d = 3, torch autograd, measuring nothing"]["ns"]
    ratios["d = 3"]["torch autograd measuring nothing / ours"] = bare / found["d = 3, two numbers"]["ns"]
    if options.format == "json":
        print(json.dumps({"machine": facts, "cases": found, "ratios": ratios}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print("| | ns a step and run | 2,000,000 steps of 289 runs | mean loss | mean r² |\n|---|---|---|---|---|")
    for name, case in found.items():
        whole = case["ns"] * 1e-9 * PAPER_STEPS * 289
        print(f"| {name} | {case['ns']:.1f} | {whole:,.0f} s | {case['loss']:.4f} | {case['radius_sq']:.4f} |")
    for name, pair in ratios.items():
        print(f"{name}: " + ", ".join(f"{what} = {ratio:.1f}" for what, ratio in pair.items()))


if __name__ == "__main__":
    main()
