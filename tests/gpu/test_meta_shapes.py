"""On torch's meta device, where tensors have no values: no shape depends on a value; this needs no compiler."""

import pytest
import torch
from configurations import ALL, configuration, ensemble, steps


@pytest.mark.parametrize("name", ["mlp, BatchNorm", "mlp, RMSNorm", "convnet", "transformer", "everything"])
def test_three_steps_without_values_keep_every_shape(name):
    """To the first snapshot: an operation that needs a value raises."""
    made = ensemble(configuration(**ALL[name]), "meta")
    state, expected = made.start(), ensemble(made.experiment, "cpu").start()
    for _ in steps(made, state, 4):
        pass
    for name, tensor in state._tensors().items():
        there = expected._tensors()[name]
        assert (tensor.device.type, tensor.shape, tensor.dtype) == ("meta", there.shape, there.dtype)


def test_a_perceptron_of_a_million_weights_in_halves():
    made = ensemble(configuration('name = "mlp"\nhidden = [1024, 900]', training="halves = true"), "meta")
    state = made.start()
    for _ in steps(made, state, 4):
        pass
    assert state.flat.shape == (2, 61 * 1024 + 1024 * 900)


def test_planted_look_at_a_value_raises():
    made = ensemble(configuration(), "meta")
    with pytest.raises(RuntimeError, match="item"):
        made.start().flat.sum().item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(3, device="meta").nonzero()
