"""Memory of a long run of ResNet-18: 4,000 snapshots of 43,692 weights for each of two runs, streamed to disk.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py FOLDER

The images are small and the minibatches tiny, so that the time goes to the snapshots. Prints the largest memory of the
process, what it was before, and the largest size of the folder.
"""

import resource
import sys
import threading
import time
from pathlib import Path

import empirics
from empirics.experiment import Experiment

LONG = """
name = "streaming"
kind = "network"
seeds = [1, 2]
[data]
name = "digits-images"
[model]
name = "resnet18"
width = 4
[training]
protocol = "fixed-lr"
optimizer = "sgd"
batch_size = 8
halves = true
burn_in = 0
steps = 4000
[grid]
lr = [0.05]
weight_decay = [0.01]
[measure]
snapshots = 4000
spacing = 1
[shards]
runs_per_shard = 2
"""


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    folder, largest, over = Path(sys.argv[1]), [0.0], threading.Event()

    def watch():
        while not over.wait(0.5):
            try:
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            except OSError:  # removed meanwhile
                continue
            largest[0] = max(largest[0], size / 2**20)

    before, watcher = megabytes(), threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    runs = empirics.run(Experiment.from_toml(LONG), folder, progress=False)
    over.set()
    watcher.join()
    raw = 2 * 4000 * runs.dataset.attrs["dimension"] * 4 / 2**20
    print(f"snapshots {raw:.0f} MB; memory {before:.0f} MB before, {megabytes():.0f} MB at most;", end=" ")
    print(f"disk {largest[0]:.0f} MB at most; {time.monotonic() - began:.0f} s")


main()
