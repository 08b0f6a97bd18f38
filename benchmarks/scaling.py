"""How time and memory grow with the number of runs and of steps.

    OMP_NUM_THREADS=1 python -m benchmarks.scaling [--format json]      # about ten minutes

Every point runs in a process of its own, so that the peak of its memory is that of the point. Times are processor time,
the minimum of three rounds, of steps with all their measurements; memory is the peak over these steps minus what the
process held before the ensemble was made.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.networks import experiment
from empirics.data.dataset import Dataset
from empirics.data.loading import load
from empirics.training.ensemble import Ensemble
from empirics.training.memory import needed

RUNS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STEPS = (500, 1000, 2000, 4000, 8000)

#: Name: the data and the network, batch, steps between snapshots, steps per round, largest number of runs.
CASES = {
    "digits": ({"name": "digits"}, {"name": "mlp", "hidden": [16, 16]}, 64, 60, 120, 256),
    "resnet18": (
        {"name": "images", "path": "-"}, {"name": "resnet18", "width": 4, "head_norm": 10.0}, 128, 250, 4, 16
    ),
}  # fmt: skip
#: Few blocks and points of the trace.
MEASURE = {"blocks": 8, "trace_points": 8}


def cost(case, runs, snapshots=400):
    data, model, batch, spacing, _, _ = CASES[case]
    return experiment(data, model, runs=runs, batch=batch, spacing=spacing, snapshots=snapshots, measure=MEASURE)


def data(case):
    if case == "digits":
        return load(cost(case, 1).data)
    rng = np.random.default_rng(0)  # the size of CIFAR-10's images, a tenth of their number
    images = rng.standard_normal((5000, 3072), dtype=np.float32)
    return Dataset("noise", images, rng.integers(0, 10, 5000), 10, (3, 32, 32))


def memory(field):
    """A field of this process's memory, bytes: VmRSS now, VmHWM at its peak."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(dict(line.split(":", 1) for line in file)[field].split()[0]) * 1024


def forget_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


@torch.no_grad()
def point(case, runs):
    """Seconds per step, bytes at the peak and bytes predicted, for a shard of `runs` runs."""
    torch.set_num_threads(1)
    grid, samples, length = cost(case, runs), data(case), CASES[case][4]
    Ensemble(cost(case, 1), grid.runs[:1], samples).advance(Ensemble(grid, grid.runs[:1], samples).start())
    predicted = needed(grid, Ensemble(grid, grid.runs[:1], samples), runs)
    forget_peak()
    before = memory("VmRSS")
    ensemble = Ensemble(grid, grid.runs, samples)
    state, times = ensemble.start(), []
    for _ in range(3):
        began = time.process_time()
        for _ in range(length):
            ensemble.advance(state)
        times.append((time.process_time() - began) / length)
    peak = memory("VmHWM") - before
    return {"case": case, "runs": runs, "seconds_a_step": min(times), "bytes": peak, "predicted": predicted}


@torch.no_grad()
def over_steps(case="digits", runs=16):
    """Processor time of `STEPS` steps of one shard, each from the start, including measurements and results."""
    torch.set_num_threads(1)
    samples, found = data(case), []
    for steps in STEPS:
        grid = cost(case, runs, snapshots=steps // CASES[case][3] // 8 * 8)
        ensemble, taken = Ensemble(grid, grid.runs, samples), []
        for _ in range(3):
            began, state = time.process_time(), ensemble.start()
            for _ in range(grid.total_steps):
                ensemble.advance(state)
            taken.append(time.process_time() - began)
        found.append({"case": case, "runs": runs, "steps": grid.total_steps, "seconds": min(taken)})
    return found


def line(found):
    """Offset and slope by least squares of relative errors, and the largest of these: weights are 1/seconds."""
    runs = np.array([each["runs"] for each in found])
    seconds = np.array([each["seconds_a_step"] for each in found])
    (offset, slope), *_ = np.linalg.lstsq(np.stack([1 / seconds, runs / seconds], 1), np.ones(len(runs)), rcond=None)
    return offset, slope, np.abs((offset + slope * runs) / seconds - 1).max()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--case", choices=tuple(CASES), action="append", help="default: all; repeatable")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        print(json.dumps(point(given.point[0], int(given.point[1]))))
        return
    found = []
    chosen = given.case or tuple(CASES)
    for case in chosen:
        for runs in (runs for runs in RUNS if runs <= CASES[case][-1]):
            words = [sys.executable, "-m", "benchmarks.scaling", "--point", case, str(runs)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
    steps = over_steps() if "digits" in chosen else []
    if given.format == "json":
        print(json.dumps({"runs": found, "steps": steps}, indent=1))
        return
    print(*tables(found, steps), sep="\n")


def tables(found, steps):
    """Lines in Markdown: a table of every case over runs, the straight lines through them, and a table over steps."""
    cases = dict.fromkeys(each["case"] for each in found)
    for case in cases:
        yield "| runs in one shard | ms per step | per run | memory, MiB | predicted |\n|---|---|---|---|---|"
        for each in (each for each in found if each["case"] == case):
            taken, sizes = 1e3 * each["seconds_a_step"], (each["bytes"] / 2**20, each["predicted"] / 2**20)
            yield f"| {each['runs']} | {taken:.3g} | {taken / each['runs']:.3g} | {sizes[0]:.0f} | {sizes[1]:.0f} |"
        yield ""
    yield "| case | ms per step | per run | largest deviation |\n|---|---|---|---|"
    for case in cases:
        offset, slope, worst = line([each for each in found if each["case"] == case])
        yield f"| {case} | {1e3 * offset:.3g} | {1e3 * slope:.3g} | {worst:.0%} |"
    yield "\n| steps | µs per step |\n|---|---|"
    for each in steps:
        yield f"| {each['steps']:,} | {1e6 * each['seconds'] / each['steps']:.0f} |"


if __name__ == "__main__":
    main()
