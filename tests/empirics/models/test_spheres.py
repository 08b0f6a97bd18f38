"""d, counted from a network by measurement, from its state dict, and from shapes and norms."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics
from empirics.models.mlp import EnsembleMLP, NormedMLP

NORMS = {
    "batch": lambda n: nn.BatchNorm1d(n, affine=False, eps=1e-12),
    "layer": lambda n: nn.LayerNorm(n, elementwise_affine=False, eps=1e-12),
    "rms": lambda n: nn.RMSNorm(n, elementwise_affine=False, eps=1e-12),
}


def network(norm):
    torch.manual_seed(0)
    first, second = nn.Linear(8, 6, bias=False), nn.Linear(6, 4, bias=False)
    return nn.Sequential(first, NORMS[norm](6), nn.ReLU(), second, NORMS[norm](4), nn.ReLU(), nn.Linear(4, 3)).double()


def loss(net):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 8, generator=generator, dtype=torch.float64)
    return cross_entropy(net(x), torch.randint(3, (64,), generator=generator))


@pytest.mark.parametrize("norm", NORMS)
def test_three_ways_to_count_agree_with_the_trained_models(norm):
    ours = EnsembleMLP(8, 3, (6, 4)) if norm == "batch" else NormedMLP(8, 3, (6, 4), norm)
    net = network(norm)
    assert empirics.dimension(net, loss) == 1 + ours.directions
    assert empirics.dimension([((6, 8), norm), ((4, 6), norm)]) == 1 + ours.directions
    if norm != "layer":  # a state dict does not show flat directions
        form = {"batch": "filter", "rms": "tensor"}[norm]
        assert empirics.dimension(net.state_dict(), weights=["[03].weight"], spheres=form) == 1 + ours.directions


def test_a_state_dict_counts_what_is_named_and_tied_tensors_once():
    net = network("batch")
    assert empirics.dimension(net.state_dict()) == 48 + 24 + 12
    assert empirics.dimension(net.state_dict(), weights=["0.*", "6.bias"]) == 48 + 3
    shared = torch.randn(5, 4)
    assert empirics.dimension({"wte": shared, "head": shared, "counts": torch.ones(9, 9, dtype=torch.long)}) == 20
    assert empirics.dimension({"wte": shared, "head": shared.clone()}) == 40
    assert empirics.dimension({"a": np.ones((5, 4)), "b": np.ones((2, 2), dtype=np.float32)}, spheres="tensor") == 23


def test_some_together_and_some_alone():
    assert empirics.dimension([((6, 8), None), ((2, 2), None), ((3, 3), "batch")]) == (52 - 1) + (9 - 3) + 1


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((network("batch"),), {}, "a module needs its loss"),
        ((nn.Linear(8, 3).double(), loss), {}, "no tensor is scale-invariant by itself .weight, bias.; if they are so"),
        ((network("batch"), loss), {"spheres": "filter"}, "weights and spheres belong to a state dict"),
        (({"a": torch.ones(3, 3)}, loss), {}, "loss belongs to a torch module, but a dict was given"),
        (({"a": torch.ones(3)},), {}, "no floating-point tensor with two axes or more"),
        (({"conv": torch.ones(3, 3)},), {"weights": ["cnov"]}, "'cnov'; did you mean 'conv'. .tensors: conv."),
        (({"a": torch.ones(3, 3)},), {"spheres": "row"}, "unknown spheres 'row'; known: one, tensor, filter"),
        (([((3, 3), "bach")],), {}, "entry 0: unknown norm 'bach'; known: 'batch', 'layer', 'rms', None"),
        (([(3, 3)],), {}, "entry 0 is .3, 3., but must be .shape, norm."),
        (([((3, 0), "rms")],), {}, "entry 0: shape .3, 0. must be whole numbers, 1 or more"),
        (([((3, 1), "batch")],), {}, "no directions: every sphere has a single weight"),
        (([],), {}, "no directions"),
    ],
)
def test_what_cannot_be_counted_is_refused(arguments, options, says):
    with pytest.raises(ValueError, match=says):
        empirics.dimension(*arguments, **options)


def test_a_network_with_trained_scales_lies_on_one_sphere():
    # 3 x 4 weights, 4 scales and 4 shifts, of which the norm of all together is one direction.
    affine = EnsembleMLP(features=3, classes=2, hidden=(4,), affine=True)
    assert (affine.dimension, affine.directions, affine.all_spheres) == (20, 19, False)
