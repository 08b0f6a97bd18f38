"""The compiled gradient of the unit against torch's backward pass."""

import numpy as np
import pytest
import torch
from gradients import assert_runs_do_not_matter_to_each_other, assert_same_gradients

from empirics.models.unit import Unit


def _case(features, classes, runs, batch, dtype):
    plain, cpu = Unit(features, classes, head_norm=3.0, compiled=False), torch.device("cpu")
    tensors = plain.initial([np.random.default_rng(i) for i in range(runs)], np.full(runs, 3.0), dtype, cpu)
    frozen, seeded = plain.fixed(np.random.default_rng(0), runs, dtype, cpu), torch.Generator().manual_seed(1)
    samples = torch.randn(101, features, dtype=dtype, generator=seeded)
    rows, labels = (torch.randint(most, (runs, batch), generator=seeded) for most in (101, classes))
    ours = Unit(features, classes, head_norm=3.0)
    return plain, ours, tensors[0].flatten(1), frozen, samples, rows, labels


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", [(30, 2, 3, 8), (7, 5, 4, 3)])
def test_same_as_torch(shape, dtype, within):
    assert_same_gradients(*_case(*shape, dtype), within)


def test_run_does_not_depend_on_others_and_nan_stays():
    _, *case = _case(30, 2, 3, 8, torch.float32)
    assert_runs_do_not_matter_to_each_other(*case)


def test_two_classes_are_logistic_regression_with_weights_of_fixed_norm():
    w, x = torch.tensor([[[3.0, -4.0]]]), torch.tensor([[[1.0, 0.5], [2.0, 3.0]]])
    unit = Unit(2, 2, head_norm=0.5)
    logits = unit.logits([w], unit.fixed(np.random.default_rng(0), 1, torch.float32, torch.device("cpu")), x)
    torch.testing.assert_close(logits[0, :, 0] - logits[0, :, 1], 2**0.5 * 0.5 * torch.tensor([0.2, -1.2]))
