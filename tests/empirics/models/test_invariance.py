import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from empirics.models import scale_invariant_blocks


class Mixed(nn.Module):
    """A block a filter, a head, a matrix; a bias without effect; a head, a gain and an unused tensor that are none."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv1d(3, 8, 3)  # its bias goes with BatchNorm's mean
        self.norm = nn.BatchNorm1d(8, affine=True)
        nn.init.normal_(self.norm.bias)  # with shifts of 0 its scales, before the heads are normalised, were invariant
        self.heads = nn.Linear(8, 12, bias=False)  # three heads of four rows
        self.whole = nn.Linear(12, 10, bias=False)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(10, 5)
        self.unused = nn.Parameter(torch.randn(4, 4))
        self.out.bias.requires_grad_(False)

    def forward(self, x):
        x = self.norm(self.filters(x)).relu().mean(-1)
        x = normalize(self.heads(x).unflatten(-1, (3, 4)), dim=-1).flatten(-2)
        y = self.whole(self.drop(x))
        return self.out(nn.functional.layer_norm(y, y.shape[-1:], eps=0.0))


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def mixed(request):
    torch.manual_seed(1)
    model = Mixed().to(request.param)
    x, y = torch.randn(40, 3, 9, dtype=request.param), torch.randint(0, 5, (40,))
    return model, lambda m: cross_entropy(m(x), y)


def test_blocks_are_found_by_measurement(mixed):
    rows = {row.name: row for row in scale_invariant_blocks(*mixed)}
    blocks = {name: row.blocks for name, row in rows.items() if row.scale_invariant}
    assert blocks == {"filters.weight": 8, "heads.weight": 3, "whole.weight": 1}
    assert [row.name for row in rows.values()] == [name for name, _ in mixed[0].named_parameters()]
    assert all(rows[name].violation < 1e-4 for name in blocks)
    assert rows["out.weight"].violation > 1e-2
    assert rows["norm.weight"].shape == (8,)


def test_the_model_and_the_random_numbers_are_left_as_they_were(mixed):
    model, loss = mixed
    loss(model).backward()
    model.drop.eval()
    before, rng = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    scale_invariant_blocks(model, loss)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), rng)
    assert not model.drop.training
    assert model.training
    assert not model.out.bias.requires_grad
    for name, p in model.named_parameters():
        assert (p.grad is None) if gradients[name] is None else torch.equal(p.grad, gradients[name])


def test_a_loss_that_fails_half_way_leaves_the_model_too(mixed):
    model, loss = mixed
    before, calls = copy.deepcopy(model.state_dict()), []

    def failing(m):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("no more")
        return loss(m)

    with pytest.raises(RuntimeError, match="no more"):
        scale_invariant_blocks(model, failing)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_mean_of_the_rows_is_flat_under_layer_norm_alone():
    norms = {nn.LayerNorm(6, elementwise_affine=False): True, nn.RMSNorm(6, elementwise_affine=False): False}
    norms |= {nn.BatchNorm1d(6, affine=False): False, nn.GroupNorm(2, 6, affine=False): True}
    x, y = torch.randn(32, 8, dtype=torch.float64), torch.arange(32) % 3
    for norm, flat in norms.items():
        net = nn.Sequential(nn.Linear(8, 6, bias=False), norm, nn.ReLU(), nn.Linear(6, 3, bias=False)).double()
        row, head = scale_invariant_blocks(net, lambda m: cross_entropy(m(x), y))
        assert (row.centred, head.centred) == (flat, False)


def test_an_eps_that_matters_is_seen():
    torch.manual_seed(0)
    x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))

    def found(eps):
        model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, eps=eps), nn.ReLU(), nn.Linear(5, 3))
        return scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))[0]

    assert found(1e-5).scale_invariant
    assert not found(0.3).scale_invariant
    assert found(0.3).violation > 1e-2 > 1e-4 > found(1e-5).violation


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("small", [1e-2, 1e-4, 1e-5, 1e-6, 1e-8])
def test_what_rounding_hides_in_the_loss_is_told_from_gradients(small, dtype):
    """A branch of little effect beside the main one: its first matrix has no scale, its second has one."""

    class Branched(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole, self.out = nn.Linear(6, 16, bias=False), nn.Linear(16, 6, bias=False)
            self.main, self.idle = nn.Linear(6, 3), nn.Linear(6, 8)
            with torch.no_grad():
                self.out.weight.mul_(small)
                self.idle.bias.normal_()

        def forward(self, x):
            h = self.out(torch.relu(nn.functional.layer_norm(self.whole(x), (16,), eps=0.0)))
            centred = self.idle(x) - self.idle(x).mean(0)  # its bias has no effect but rounding
            return self.main(x + h) + centred[:, :3]

    torch.manual_seed(0)
    model = Branched().to(dtype)
    x, y = torch.randn(64, 6, dtype=dtype), torch.randint(0, 3, (64,))
    rows = scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))
    assert {row.name: row.blocks for row in rows if row.blocks} == {"whole.weight": 1}
    assert {row.name for row in rows if row.role == "dead"} == {"idle.bias"}


def test_shifts_that_are_still_zero_do_not_make_scales_invariant():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8)]
    model, x, y = nn.Sequential(*layers, nn.Linear(8, 3)), torch.randn(64, 6), torch.randint(0, 3, (64,))
    assert not model[1].bias.any()
    blocks = {row.name: row.blocks for row in scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))}
    assert {name for name, number in blocks.items() if number} == {"0.weight", "3.weight"}
    assert not model[1].bias.any()


def test_wrong_losses_are_refused():
    model, growing = nn.Linear(3, 2), iter(range(9))
    for loss, said in [
        (lambda m: m(torch.ones(1, 3)), "finite number"),
        (lambda m: m(torch.full((1, 3), torch.nan)).sum(), "finite number"),
        (lambda m: torch.tensor(1.0), "does not depend on the parameters"),
        (lambda m: m(torch.full((1, 3), float(next(growing)))).sum(), "fix its minibatch"),
    ]:
        with pytest.raises(ValueError, match=said):
            scale_invariant_blocks(model, loss)
