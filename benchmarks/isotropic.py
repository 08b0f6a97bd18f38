"""Speed of the isotropic gas on one thread, as ratios taken in one process: ``python benchmarks/isotropic.py``.

The peer is what somebody writes first: the whole grid as one torch tensor, the loss differentiated by autograd, sums of
the same kind kept beside it. Every program advances the same 17 x 17 grid of learning rates and weight decays.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.isotropic_contest import Autograd, Ours
from empirics.running.provenance import _cpu

PAPER_STEPS = 2_000_000


def timed(make: Callable[[], Any], steps: int, repeats: int) -> dict[str, Any]:
    """Nanoseconds of processor time per step per run: the best of some repeats, after one to warm up."""
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
    print("| | ns per step per run | 2,000,000 steps of 289 runs | mean loss | mean r² |\n|---|---|---|---|---|")
    for name, case in found.items():
        whole = case["ns"] * 1e-9 * PAPER_STEPS * 289
        print(f"| {name} | {case['ns']:.1f} | {whole:,.0f} s | {case['loss']:.4f} | {case['radius_sq']:.4f} |")
    for name, pair in ratios.items():
        print(f"{name}: " + ", ".join(f"{what} = {ratio:.1f}" for what, ratio in pair.items()))


if __name__ == "__main__":
    main()
