"""The compiled gradient of the perceptron against the plain one in torch."""

import numpy as np
import pytest
import torch
from gradients import assert_runs_do_not_matter_to_each_other, assert_same_gradients

from empirics.models.mlp import EnsembleMLP, NormedMLP

KINDS = {"batch": (EnsembleMLP, {}), "layer": (NormedMLP, {"norm": "layer"}), "rms": (NormedMLP, {"norm": "rms"})}
KINDS["rms, tanh"] = (NormedMLP, {"norm": "rms", "activation": "tanh"})


def _case(hidden, features, classes, runs, batch, dtype, kind="batch"):
    make, options = KINDS[kind]
    plain = make(features, classes, hidden, compiled=False, **options)
    rngs, cpu = [np.random.default_rng(i) for i in range(runs)], torch.device("cpu")
    tensors = plain.initial(rngs, np.full(runs, 3.0), dtype, cpu)
    flat = torch.cat([w.flatten(1) for w in tensors], 1)
    frozen = plain.fixed(np.random.default_rng(0), runs, dtype, cpu)
    seeded = torch.Generator().manual_seed(1)
    samples = torch.randn(101, features, dtype=dtype, generator=seeded)
    rows = torch.randint(101, (runs, batch), generator=seeded)
    labels = torch.randint(classes, (runs, batch), generator=seeded)
    return plain, make(features, classes, hidden, **options), flat, frozen, samples, rows, labels


SHAPES = [((16,), 61, 10, 3, 64), ((5, 37), 13, 3, 4, 7), ((20, 64, 3), 23, 19, 2, 37), ((64,), 16, 17, 2, 65)]


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_torch(kind, shape, dtype, within):
    assert_same_gradients(*_case(*shape, dtype, kind), within)


def test_run_does_not_depend_on_others_and_nan_stays():
    _, *case = _case(*SHAPES[0], torch.float32)
    assert_runs_do_not_matter_to_each_other(*case)
