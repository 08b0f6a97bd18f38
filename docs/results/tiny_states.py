"""What docs/results/steps.py asks of runs after their burn-in."""

import torch

from empirics.data.loading import load
from empirics.training.ensemble import Ensemble


def burnt_in(experiment, runs):
    """These runs after their burn-in: the ensemble and its state."""
    ensemble = Ensemble(experiment, runs, load(experiment.data))
    state = ensemble.start()
    for _ in range(ensemble.times.burn_in):
        ensemble.advance(state)
    return ensemble, state


def step_gradient(ensemble, state, row, out):
    """Write the gradient that a step from here is taken with, all its noise added, shape (run, d)."""
    ensemble._step.take(state, state.step, row, out)
    if ensemble._noise is not None:
        ensemble._noise.add(state, state.step, out, torch.linalg.vecdot(state.flat, state.flat))
