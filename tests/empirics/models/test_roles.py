import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import empirics


class Fused(nn.Module):
    """A matrix of which two thirds are normalised by head, before a head that is not."""

    def __init__(self):
        super().__init__()
        self.both, self.norm, self.out = (
            nn.Linear(8, 24, bias=False),
            nn.RMSNorm(4, elementwise_affine=False),
            nn.Linear(24, 3),
        )

    def forward(self, x):
        y = self.both(x)
        return self.out(torch.cat([self.norm(y[:, :16].unflatten(1, (4, 4))).flatten(1), y[:, 16:]], 1).relu())


def network():
    torch.manual_seed(0)
    layers = [nn.Linear(8, 12), nn.BatchNorm1d(12), nn.SiLU(), nn.Linear(12, 6), nn.LayerNorm(6), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(6, 3)), torch.randn(32, 8), torch.arange(32) % 3


def test_every_tensor_is_in_one_group_and_the_table_says_why():
    model, x, y = network()
    groups = empirics.param_groups(model, lambda m: cross_entropy(m(x), y), weight_decay=0.02, penalty_decay=1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    members = {group["name"]: [names[id(p)] for p in group["params"]] for group in groups}
    assert members == {
        "invariant": ["0.weight", "3.weight", "3.bias"],
        "penalty": ["1.weight", "1.bias", "4.weight", "4.bias", "6.weight", "6.bias"],
        "dead": ["0.bias"],
    }
    assert {group["name"]: group["weight_decay"] for group in groups} == {"invariant": 0.02, "penalty": 1e-3, "dead": 0}
    lines = str(groups).splitlines()
    for line in (
        "0.weight  12 x 8  invariant  0.02          scale-invariant in 12 blocks of rows",
        "0.bias    12      dead       0             no effect on the loss",
        "3.bias    6       invariant  0.02          scale-invariant together with 3.weight as one block",
        "6.weight  3 x 6   penalty    0.001         the loss depends on its magnitude",
    ):
        assert line in lines
    total = sum(p.numel() for p in model.parameters())
    assert lines[-1] == f"weight decay sets the rotation of {12 * 8 + 12 * 6 + 6} of {total} weights"


def test_a_matrix_that_is_invariant_in_part_goes_with_the_larger_part_and_says_so():
    torch.manual_seed(0)
    model, x, y = Fused(), torch.randn(32, 8), torch.arange(32) % 3
    groups = empirics.param_groups(model, lambda m: cross_entropy(m(x), y))
    assert [(group["name"], len(group["params"])) for group in groups] == [("invariant", 1), ("penalty", 2)]
    assert "weight_decay" not in groups[0]  # the optimiser's own
    (line,) = (line for line in str(groups).splitlines() if line.startswith("both"))
    assert "optimiser's" in line
    assert line.endswith("[0:16] scale-invariant in 4 blocks of rows; the loss depends on the magnitude of [16:24]")


def test_optimisers_do_not_share_their_settings_through_the_groups():
    model, x, y = network()
    groups = empirics.param_groups(model, lambda m: cross_entropy(m(x), y), weight_decay=0.5)
    first = torch.optim.SGD(groups, lr=0.1, weight_decay=7.0)
    second = torch.optim.AdamW(groups, lr=1e-3)
    assert [group["lr"] for group in second.param_groups] == [1e-3] * 3
    assert [group["weight_decay"] for group in first.param_groups] == [0.5, 0, 0]
    before = copy.deepcopy(model.state_dict())
    first.zero_grad()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    first.step()
    torch.testing.assert_close(model[0].weight, before["0.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model[6].weight, before["6.weight"])


@pytest.mark.parametrize(("name", "value"), [("weight_decay", -0.1), ("penalty_decay", float("nan"))])
def test_a_wrong_decay_is_refused_before_anything_is_measured(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number, 0 or more, got {value}"):
        empirics.param_groups(nn.Linear(2, 2), lambda m: pytest.fail("measured"), **{name: value})
