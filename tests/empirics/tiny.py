"""A tiny experiment for the tests: six unequal runs in two unequal shards, a second or so of work."""

from empirics.experiment import Experiment

TINY = """
name = "tiny"
kind = "network"
seeds = [3]

[data]
name = "digits"

[model]
name = "mlp"
hidden = [5, 4]

[training]
protocol = "fixed-lr"
optimizer = "sgd"
batch_size = 16
initial_radius = {noise = 10.0}
burn_in = 30
steps = 160

[grid]
lr = [0.05, 0.1]
weight_decay = [0.01, 0.02, 0.05]

[measure]
snapshots = 40
spacing = 4
blocks = 10
trace_points = 19

[shards]
runs_per_shard = 4
"""


def tiny(*changes: tuple[str, str]) -> Experiment:
    """The tiny experiment with pieces of its text replaced."""
    text = TINY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Experiment.from_toml(text)
