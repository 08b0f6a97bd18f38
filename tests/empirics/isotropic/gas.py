"""Small isotropic experiments for the tests, and the kernels' arguments for one group of lanes."""

from copy import deepcopy

import numpy as np

from empirics.experiment import Experiment
from empirics.isotropic import kernels
from empirics.isotropic.layout import LANES, ROWS, Parameter

SMALL = """
name = "small-gas"
kind = "isotropic"
seeds = [3]

[gas]
dimension = 3

[training]
protocols = ["fixed-lr", "fixed-elr", "fixed-sphere"]
burn_in = 500
steps = 4000

[grid]
lr = [0.02, 0.05]
weight_decay = [0.01, 0.02, 0.05]
effective_lr = [0.01, 0.03]
radius = [0.5, 1.0]

[measure]
snapshots = 400
spacing = 10
trace_points = 19
"""


def small(*changes):
    """The small experiment with pieces of its text replaced."""
    text = SMALL
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Experiment.from_toml(text)


class Group:
    """One group of full vectors, d coordinates, advanced a few steps at a time."""

    def __init__(
        self, dimension, lr, weight_decay, seed=0, optimizer=0, momentum=0.9, beta2=0.999, eps=0.0, scale=1.0, rows=1
    ):
        rng = np.random.default_rng(seed)
        self.dimension, self.optimizer = dimension, optimizer
        self.hyper = np.array([momentum, beta2, eps, scale, rows])
        self.parameters = np.zeros((len(Parameter), LANES))
        self.parameters[Parameter.LR] = lr
        self.parameters[Parameter.WEIGHT_DECAY] = weight_decay
        self.noise = np.array([1.0, 1.0, 1.0, 1.0, 0.0, np.inf])
        self.bits = rng.integers(0, 2**64, 4 * LANES, dtype=np.uint64)
        self.weights = rng.standard_normal((dimension, LANES))
        self.first, self.second = np.zeros((dimension, LANES)), np.zeros((dimension, LANES))
        self.mu, self.axis = np.eye(dimension)[0], np.eye(dimension)[1]
        self.sums, self.step = np.zeros(ROWS * LANES), 0

    def advance(self, steps):
        kernels.vectors(
            *(steps, self.step, self.weights, self.bits, self.parameters.ravel(), self.noise, self.dimension),
            *(10**12, 1, self.sums, np.zeros((1, LANES, 1)), 0),
            *(self.mu, self.axis, self.optimizer, self.hyper, self.first, self.second),
        )
        self.step += steps

    def gradient(self):
        """The gradient that the next step will use: what a plain step of size 1 without decay takes off."""
        plain = deepcopy(self)
        plain.optimizer = 0
        plain.parameters[:] = 0.0
        plain.parameters[Parameter.LR] = 1.0
        before = plain.weights.copy()
        plain.advance(1)
        return before - plain.weights
