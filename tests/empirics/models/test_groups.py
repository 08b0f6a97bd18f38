"""Groups of weights by role, in architectures whose symmetries are known by hand, and faults that must not pass."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, layer_norm, linear, normalize, scaled_dot_product_attention, silu

from empirics.models import scale_invariant_blocks
from empirics.models.orthogonal import passes, violation
from empirics.models.products import InnerProducts


class Attention(nn.Module):
    """Fused queries, keys and values of two heads of eight; with `normed`, the first two are normalised by head."""

    def __init__(self, normed, bias=False, columns=False):
        super().__init__()
        self.qkv, self.out = (Product if columns else nn.Linear)(16, 48, bias=bias), nn.Linear(16, 4)
        self.norm = nn.RMSNorm(8, elementwise_affine=False) if normed else nn.Identity()

    def forward(self, x):
        q, k, v = self.qkv(x.reshape(len(x), 4, 16)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(self.norm(q), self.norm(k), v)
        return self.out(mixed.transpose(1, 2).flatten(2).mean(1))


class Product(nn.Module):
    """x @ W, with a bias if asked."""

    def __init__(self, inputs=64, outputs=24, bias=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else 0.0

    def forward(self, x):
        return x @ self.weight + self.bias


class Adapted(nn.Module):
    """DoRA: rows of a matrix and its low-rank change are normalised together, and have magnitudes of their own."""

    def __init__(self):
        super().__init__()
        self.base, self.out = nn.Linear(64, 24, bias=False), nn.Linear(24, 4)
        self.down, self.up = nn.Parameter(torch.randn(4, 64) / 8), nn.Parameter(torch.randn(24, 4) / 8)
        self.magnitude = nn.Parameter(torch.rand(24) + 0.5)

    def forward(self, x):
        direction = normalize(self.base.weight + self.up @ self.down, dim=1)
        return self.out(linear(x, self.magnitude[:, None] * direction).relu())


class Recurrent(nn.Module):
    """The gates of a cell, normalised together: two matrices and two biases."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(64, 6), nn.Linear(24, 4)

    def forward(self, x):
        gates = linear(x, self.cell.weight_ih, self.cell.bias_ih)
        gates = gates + linear(x[:, :6].tanh(), self.cell.weight_hh, self.cell.bias_hh)
        return self.out(layer_norm(gates, (24,)).tanh())


class Tied(nn.Module):
    """A matrix used twice before norms, and an embedding that is also the head."""

    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Linear(64, 64, bias=False), nn.Linear(64, 4, bias=False)
        self.again = self.mix

    def forward(self, x):
        x = silu(layer_norm(self.mix(x), (64,)))
        x = silu(layer_norm(self.again(x), (64,)))
        return self.head(x + self.head(x) @ self.head.weight)


class Embedded(nn.Module):
    """Words and positions of a text, added and normalised, with nothing else before."""

    def __init__(self):
        super().__init__()
        self.word, self.place, self.out = nn.Embedding(50, 16), nn.Embedding(64, 16), nn.Linear(16, 4)

    def forward(self, x):
        words = (8 * x).long() % 50
        return self.out(silu(layer_norm(self.word(words) + self.place.weight, (16,))).mean(1))


class Branched(nn.Module):
    """Scale-invariant as long as its matrix is shorter than 1.3 times its initial norm."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(64, 24, bias=False), nn.Linear(24, 4)
        self.limit = 1.3 * float(self.first.weight.detach().norm())

    def forward(self, x):
        factor = 1.0 if float(self.first.weight.detach().norm()) < self.limit else 0.5
        return self.out(silu(factor * layer_norm(self.first(x), (24,), eps=1e-12)))


def seq(*layers):
    return nn.Sequential(*layers)


def image(*layers):
    return seq(nn.Unflatten(1, (4, 4, 4)), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def nearly():
    """Scaled together, gain and shift change the loss a little: the bias after them is a fifth of what they give."""
    layer = nn.Linear(64, 9)
    nn.init.normal_(layer.bias, std=0.1)
    return seq(nn.LayerNorm(64), nn.ReLU(), layer, nn.LayerNorm(9), nn.SiLU(), nn.Linear(9, 4))


def unscaled():
    """Pixels up to 255, say: the bias of the first layer has a gradient a thousandth of its weight's."""

    class Larger(nn.Module):
        def forward(self, x):
            return 1000 * x

    layer = nn.Linear(64, 24)
    with torch.no_grad():
        layer.weight.div_(1000)
    return seq(Larger(), layer, nn.SiLU(), nn.Linear(24, 4))


def conv(inputs, outputs, **settings):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **settings)


class Streams(nn.Module):
    """Two pre-activation units, whose stream the last layer reads normalised or, with `raw`, as it is."""

    def __init__(self, raw):
        super().__init__()
        self.stem, self.norm, self.out = conv(4, 6, bias=False), nn.BatchNorm2d(6), nn.Linear(6, 4)
        self.norm = nn.Identity() if raw else self.norm
        layers = [nn.BatchNorm2d(6), nn.SiLU(), conv(6, 8, bias=False), nn.BatchNorm2d(8), nn.SiLU()]
        self.units = nn.ModuleList(nn.Sequential(*copy.deepcopy(layers), conv(8, 6, bias=False)) for _ in range(2))

    def forward(self, x):
        x = self.stem(x.reshape(-1, 4, 4, 4))
        for unit in self.units:
            x = x + unit(x)
        return self.out(silu(self.norm(x)).mean((2, 3)))


FIRST = {"units.0.2.weight": 8, "units.1.2.weight": 8}
KNOWN = {
    "a residual stream": (
        lambda: Streams(raw=False),
        {"stem.weight + units.0.5.weight + units.1.5.weight": 6, **FIRST},
        set(),
    ),
    "a residual stream that is read as it is": (lambda: Streams(raw=True), FIRST, set()),
    "heads of a fused matrix": (lambda: Attention(normed=True), {"qkv.weight[0:32]": 4}, set()),
    "heads with their biases": (
        lambda: Attention(normed=True, bias=True),
        {"qkv.weight[0:32] + qkv.bias[0:32]": 4},
        set(),
    ),
    "a bias of keys": (lambda: Attention(normed=False, bias=True), {}, {"qkv.bias[16:32]"}),
    "a bias of keys in x @ W": (lambda: Attention(normed=False, bias=True, columns=True), {}, {"qkv.bias[16:32]"}),
    "weight and bias under LayerNorm": (
        lambda: seq(nn.Linear(64, 24), nn.LayerNorm(24), nn.SiLU(), nn.Linear(24, 4)),
        {"0.weight + 0.bias": 1},
        set(),
    ),
    "weight and bias under GroupNorm": (
        lambda: seq(nn.Linear(64, 24), nn.GroupNorm(3, 24), nn.SiLU(), nn.Linear(24, 4)),
        {"0.weight + 0.bias": 3},
        set(),
    ),
    "a bias under BatchNorm": (
        lambda: seq(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, 4)),
        {"0.weight": 24},
        {"0.bias"},
    ),
    "depthwise filters, gains with shifts": (
        lambda: image(
            conv(4, 6, bias=False),
            nn.BatchNorm2d(6, eps=1e-9),
            nn.ReLU(),
            conv(6, 6, groups=6, bias=False),
            nn.BatchNorm2d(6, eps=1e-9),
            nn.SiLU(),
        ),
        {"1.weight": 6, "2.weight + 2.bias": 6, "4.weight": 6},
        set(),
    ),
    "a gain and shift before a matrix": (
        lambda: seq(
            nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 9, bias=False), nn.BatchNorm1d(9), nn.SiLU(), nn.Linear(9, 4)
        ),
        {"0.weight + 0.bias": 1, "2.weight": 9},
        set(),
    ),
    "ConvTranspose": (
        lambda: image(nn.ConvTranspose2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.SiLU()),
        {"1.weight": 6},
        set(),
    ),
    "x @ W": (lambda: seq(Product(), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, 4)), {"0.weight": 24}, set()),
    "DoRA": (Adapted, {"up + base.weight": 24}, set()),
    "gates": (Recurrent, {"cell.weight_ih + cell.weight_hh + cell.bias_ih + cell.bias_hh": 1}, set()),
    "embeddings": (Embedded, {"word.weight + place.weight": 1}, set()),
    "tied": (Tied, {"mix.weight": 1}, set()),
    "dropout": (
        lambda: seq(nn.Dropout(0.3), nn.Linear(64, 24, bias=False), nn.BatchNorm1d(24), nn.Dropout(), nn.Linear(24, 4)),
        {"1.weight": 24},
        set(),
    ),
    "a norm in eval mode": (
        lambda: seq(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, 4)).eval(),
        {},
        set(),
    ),
    "a gain that is nearly invariant": (nearly, {"2.weight + 2.bias": 1}, set()),
    "a small gradient": (unscaled, {}, set()),
    "a branch": (Branched, {}, set()),
}


def made(name, dtype):
    torch.manual_seed(0)
    build, invariant, dead = KNOWN[name]
    model, x, y = build().to(dtype), torch.randn(64, 64, dtype=dtype), torch.randint(4, (64,))
    return model, lambda m: cross_entropy(m(x), y), invariant, dead


def by_role(groups):
    invariant = {group.name: group.blocks for group in groups if group.role == "invariant"}
    return invariant, {group.name for group in groups if group.role == "dead"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", KNOWN)
def test_known_symmetries_are_found_and_no_others(name, dtype):
    model, loss, invariant, dead = made(name, dtype)
    rows = scale_invariant_blocks(model, loss)
    groups = list(dict.fromkeys(group for row in rows for group in row.groups))
    assert by_role(groups) == (invariant, dead)
    assert all(group.violation < 1e-3 for group in groups if group.role == "invariant")
    ones = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    assert [row.name for row in rows] == list(ones)
    assert sum(group.parameters for group in groups) == sum(one.numel() for one in ones.values())
    for group in groups:
        assert group.of(ones).shape == (max(group.blocks, 1), group.parameters // max(group.blocks, 1))


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("dropout", "a branch")])
def test_steps_of_a_training_show_the_same(name):
    """A probe has no loss to ask, but minibatches: what the gradients alone know."""
    model, _, invariant, dead = made(name, torch.float32)
    for parameter in model.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter)  # shifts that are zero leave gains scale-invariant for a while
    optimizer, products = torch.optim.SGD(model.parameters(), lr=0.05), InnerProducts()
    for _ in range(8):
        optimizer.zero_grad()
        cross_entropy(model(torch.randn(32, 64)), torch.randint(4, (32,))).backward()
        products.add({name: (parameter.detach(), parameter.grad) for name, parameter in model.named_parameters()})
        optimizer.step()
    assert by_role(products.groups()) == (invariant, dead)


def test_a_tensor_whose_gradient_does_not_tell_its_effect_is_not_dead():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale, self.unused = (
                nn.Linear(8, 4),
                nn.Parameter(torch.ones(4)),
                nn.Parameter(torch.ones(3)),
            )

        def forward(self, x):
            return self.layer(x) * self.scale.detach()

    torch.manual_seed(0)
    x, y = torch.randn(32, 8), torch.randint(4, (32,))
    rows = scale_invariant_blocks(Detached(), lambda m: cross_entropy(m(x), y))
    assert {row.name: row.role for row in rows} == {
        "scale": "penalty", "unused": "dead", "layer.weight": "penalty", "layer.bias": "penalty"
    }  # fmt: skip


def test_a_tensor_invariant_in_part_has_the_role_of_the_larger_part():
    model, loss, *_ = made("heads of a fused matrix", torch.float32)
    role = {row.name: row.role for row in scale_invariant_blocks(model, loss)}
    assert role == {"qkv.weight": "invariant", "out.weight": "penalty", "out.bias": "penalty"}


def test_frozen_tensors_are_in_no_group_with_trained_ones():
    model, loss, *_ = made("DoRA", torch.float32)
    model.base.weight.requires_grad_(False)
    assert {row.role for row in scale_invariant_blocks(model, loss)} == {"penalty"}


def test_gains_that_hardly_matter_to_a_random_network_matter_to_a_trained_one():
    """Scaling gains changes a small loss much, but little beside that of a random network."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 32, bias=False), nn.BatchNorm1d(32), nn.SiLU()]
    model = seq(*layers, nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.SiLU(), nn.Linear(32, 4))
    x, y = torch.randn(64, 16), torch.randint(4, (64,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for _ in range(150):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(cross_entropy(model(x), y)) < 0.01
    rows = scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))
    assert {row.name: row.blocks for row in rows if row.scale_invariant} == {"0.weight": 32, "3.weight": 32}


def test_a_gradient_that_is_not_finite_is_named():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="the gradient of weight is not finite"):
        scale_invariant_blocks(model, lambda m: (m.weight - m.weight.detach()).square().sum().sqrt() + m.bias.sum())


def test_places_without_finite_gradients_show_nothing():
    torch.manual_seed(0)
    places = []
    for i in range(10):
        w, x = torch.randn(4, 6), torch.randn(4, 6)
        g = x - w * (x * w).sum() / w.square().sum()
        places.append({"w": (w, g if i < 8 else g * torch.nan)})
    for chosen, role in ((places, "invariant"), (places[8:], "penalty")):
        products = InnerProducts()
        for place in chosen:
            products.add(place)
        assert [(group.name, group.role) for group in products.groups()] == [("w", role)]


@pytest.mark.parametrize(("extra", "blocks"), [(0.0, 1), (1.0, 0)])
def test_what_doubles_a_small_loss_is_not_small_beside_that_of_a_random_network(extra, blocks):
    """The loss is 0.001 at the weights, about 0.3 elsewhere, and depends on the norm where no gradient shows it."""
    torch.manual_seed(0)
    model = nn.Linear(8, 4, bias=False)
    start = model.weight.detach().clone()

    def loss(m):
        far = 1 - (normalize(m.weight.flatten(), dim=0) * normalize(start.flatten(), dim=0)).sum()
        return far + 1e-3 * (1 + extra * bool(m.weight.detach().norm() > 1.3 * start.norm()))

    (row,) = scale_invariant_blocks(model, loss)
    assert row.blocks == blocks


def test_the_fewer_weights_the_smaller_is_what_passes():
    # A random direction among 16 is along another by 1/4: 3e-3 of that scale passes, and never more than a tenth.
    assert [passes(found, 16) for found in (0.011, 0.013, 0.05)] == [True, False, False]
    assert [passes(found, 10_000) for found in (0.09, 0.11)] == [True, False]


def test_a_violation_is_the_root_mean_square_of_cosines_over_that_of_random_ones():
    # Cosines of 0.3 and 0.4 among 16 weights, where random directions have 1/4.
    found = violation(np.array([0.3, 0.4]), np.ones(2), np.ones(2), 16)
    assert found == pytest.approx(4 * np.sqrt((0.09 + 0.16) / 2))
