"""Every network against its plain reference, through `run`, and against what it states of its blocks."""

import dataclasses

import numpy as np
import pytest
import torch
from plain import STAGES, PreActResNet, plain_network
from reference import plain_loop
from torch.nn.functional import cross_entropy

import empirics
from empirics.data import DATASETS
from empirics.data.dataset import Dataset
from empirics.experiment import Experiment, ExperimentError
from empirics.experiment.optimizers import GRADIENT, TRUST
from empirics.models import dimension, scale_invariant_blocks
from empirics.models.base import ModelError
from empirics.models.convolutional import PaperConvNet, PreActResNet18, ResNet18
from empirics.models.mlp import EnsembleMLP, NormedMLP
from empirics.models.registry import MODELS
from empirics.training import OPTIMIZERS, PROTOCOLS
from empirics.training.ensemble import Ensemble

NETWORKS = {
    "unit": ("digits", 'name = "unit"\nhead_norm = 3.0'),
    "mlp, BatchNorm": ("digits-images", 'name = "mlp"\nhidden = [12, 10]'),
    "mlp, LayerNorm": ("digits", 'name = "mlp"\nhidden = [6, 5]\nnorm = "layer"'),
    "mlp, RMSNorm": ("digits", 'name = "mlp"\nhidden = [6, 5]\nnorm = "rms"'),
    "convnet": ("digits-images", 'name = "convnet"\nwidth = 2'),
    "paper-convnet": ("digits-images", 'name = "paper-convnet"\nwidth = 2'),
    "resnet18": ("digits-images", 'name = "resnet18"\nwidth = 2'),
    "preact-resnet18": ("digits-images", 'name = "preact-resnet18"\nwidth = 2'),
    "transformer": ("digits-images", 'name = "transformer"\nwidth = 8\ndepth = 2\nheads = 2'),
}
GRIDS = {
    "fixed-lr": "lr = [0.02, 0.04, 0.05]\nweight_decay = [0.01, 0.02]",
    "fixed-elr": "effective_lr = [2e-4, 4e-4, 5e-4]\nweight_decay = [0.01, 0.02]",
    "fixed-sphere": "lr = [0.02, 0.04, 0.05]\nradius = [8.0, 10.0]",
}
# A protocol and an optimiser each for the fast battery; the long one has all of them.
CHOSEN = dict(
    zip(
        NETWORKS,
        [
            ("fixed-lr", "nesterov"),
            ("fixed-elr", "nesterov"),
            ("fixed-sphere", "adamw"),
            ("fixed-lr", "adam-l2"),
            ("fixed-lr", "momentum"),
            ("fixed-elr", "sgd"),
            ("fixed-lr", "adamw"),
            ("fixed-lr", "sgd"),
            ("fixed-sphere", "momentum"),
        ],
        strict=True,
    )
)
ALL = [
    (n, p, o)
    for n in NETWORKS
    for p in PROTOCOLS.names
    for o in OPTIMIZERS.names
    if p == "fixed-lr" or (o in GRADIENT or (p == "fixed-sphere" and o not in TRUST))
]


def experiment(network, protocol="fixed-lr", optimizer="sgd", dtype="float64", eps=1e-5, burn_in=4):
    data, model = NETWORKS[network]
    return Experiment.from_toml(f"""
name = "network"
kind = "network"
seeds = [5]
[data]
name = "{data}"
[model]
{model}
eps = {eps}
[training]
protocol = "{protocol}"
optimizer = "{optimizer}"
batch_size = 24
initial_radius = 8.0
burn_in = {burn_in}
steps = 16
dtype = "{dtype}"
[grid]
{GRIDS[protocol]}
[measure]
snapshots = 8
spacing = 2
blocks = 8
[shards]
runs_per_shard = 3
""")


pytestmark = pytest.mark.usefixtures("one_thread")


def assert_equal_to_torch(network, protocol, optimizer):
    """Compare every step on normal inputs, where Adam has no dead pixel to magnify, with steps too small for chaos."""
    grid = experiment(network, protocol, optimizer, burn_in=60)
    rates = {name: [rate / 20 for rate in getattr(grid.grid, name)] for name in ("lr", "effective_lr")}
    training = dataclasses.replace(grid.training, batch_size=64)  # enough that no variance is next to nothing
    grid = dataclasses.replace(grid, grid=dataclasses.replace(grid.grid, **rates), training=training)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 64))
    data = Dataset("normal", inputs, np.argmax(inputs[:, :4] + rng.standard_normal((200, 4)), axis=1), 4, (1, 8, 8))
    runs = [grid.runs[0], grid.runs[-1]]
    ensemble = Ensemble(grid, runs, data)
    state = ensemble.start()
    plains = [
        plain_network(ensemble.model, [w[i] for w in state.weights], [f[i] for f in ensemble.frozen]) for i in (0, 1)
    ]
    inputs, labels = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    loops = [plain_loop(plain, run, grid.training, inputs, labels, 50) for plain, run in zip(plains, runs, strict=True)]
    for _ in range(50):
        ensemble.advance(state)
        for i, loop in enumerate(loops):
            for ours, theirs in zip(state.weights, next(loop), strict=True):
                torch.testing.assert_close(ours[i], theirs.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS)
def test_fifty_steps_are_those_of_a_plain_torch_loop(network):
    assert_equal_to_torch(network, *CHOSEN[network])


@pytest.mark.long
@pytest.mark.parametrize(("network", "protocol", "optimizer"), ALL)
def test_every_network_protocol_and_optimiser(network, protocol, optimizer):
    assert_equal_to_torch(network, protocol, optimizer)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_stated_blocks_are_those_that_are_measured(network):
    grid = experiment(network)
    data = DATASETS.get(grid.data.name)()
    ensemble = Ensemble(grid, grid.runs[:1], data)
    ensemble.model.check(data.classes)
    state = ensemble.start()
    plain = plain_network(ensemble.model, [w[0] for w in state.weights], [f[0] for f in ensemble.frozen])
    inputs, labels = torch.as_tensor(data.inputs[:40]), torch.as_tensor(data.labels[:40])
    rows = scale_invariant_blocks(plain, lambda m: cross_entropy(m(inputs), labels))
    rows, head = rows[: len(state.weights)], rows[len(state.weights) :]
    assert [row.blocks for row in rows] == [block.parts for block in ensemble.model.blocks]
    assert [row.shape for row in rows] == [block.shape for block in ensemble.model.blocks]
    assert not any(row.scale_invariant for row in head)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_grid_through_run_equals_the_runs_one_by_one(network, tmp_path):
    """The public `run` in float64 against an ensemble of one run: same weights at the last snapshot, to rounding."""
    grid = experiment(network)
    grid = dataclasses.replace(grid, measure=dataclasses.replace(grid.measure, keep_snapshots=True))
    found = empirics.run(grid, tmp_path / "grid", progress=False)
    alone = Ensemble(grid, grid.runs[4:5], DATASETS.get(grid.data.name)())
    state = alone.start()
    for _ in range(grid.total_steps):
        alone.advance(state)
    weights = found.tree["snapshots"]["weights"].values
    assert weights.shape == (6, 8, alone.model.dimension)
    np.testing.assert_allclose(weights[4], state.snapshots[:, 0], rtol=1e-5, atol=1e-8)
    assert found.dataset["violation"].max() < 1e-4
    assert (found.dataset["diverged_at"] == -1).all()


@pytest.mark.parametrize(("network", "directions"), [("batch", 25), ("layer", 23), ("rms", 29)])
def test_directions_are_the_rank_of_the_gradients(network, directions):
    """By autograd of the plain network, one minibatch at a time: m is what all gradients at one place span."""
    options = {"features": 6, "classes": 3, "hidden": (5,)}
    model = EnsembleMLP(**options) if network == "batch" else NormedMLP(**options, norm=network)
    rng, cpu = np.random.default_rng(4), torch.device("cpu")
    weights = model.initial([rng], np.array([2.0]), torch.float64, cpu)
    plain = plain_network(model, [w[0] for w in weights], [w[0] for w in model.fixed(rng, 1, torch.float64, cpu)])
    gradients = []
    for _ in range(200):
        plain.zero_grad()
        x, y = torch.as_tensor(rng.standard_normal((12, 6))), torch.as_tensor(rng.integers(3, size=12))
        cross_entropy(plain(x), y).backward()
        gradients.append(next(plain.parameters()).grad.flatten().clone())
    assert torch.linalg.matrix_rank(torch.stack(gradients), rtol=1e-10) == directions == model.directions


def test_a_flat_direction_that_is_not_stated_is_refused():
    model = NormedMLP(6, 3, (5,), "layer")
    model.blocks = (dataclasses.replace(model.blocks[0], centred=False),)
    with pytest.raises(ModelError, match="layer 1 is not without a flat direction as stated"):
        model.check(3)


def test_the_counts_of_the_paper():
    resnet = ResNet18((3, 32, 32), classes=10, width=4)
    assert resnet.dimension == PreActResNet18((3, 32, 32), classes=10, width=4).dimension == 43_692
    assert [PaperConvNet((3, 32, 32), n, k).dimension for n, k in ((10, 8), (100, 16))] == [24_408, 97_200]
    assert all(block.scale_invariant and block.parts == block.shape[0] for block in resnet.blocks)
    resnet.check(10)


@pytest.mark.long
def test_directions_of_the_papers_resnet_are_the_rank_of_its_gradients():
    """On pictures so large that every weight meets a pixel: filters and channels are all that is flat."""
    model, runs, cpu = PreActResNet18((1, 32, 32), classes=10, width=1, eps=1e-30), 31, torch.device("cpu")
    one = model.initial([np.random.default_rng(1)], np.array([50.0]), torch.float64, cpu)
    weights = [w.expand(runs, *w.shape[1:]).contiguous() for w in one]
    frozen, rows = model.fixed(np.random.default_rng(0), runs, torch.float64, cpu), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(95):
        inputs = torch.randn(runs, 6, model.features, dtype=torch.float64, generator=generator)
        gradients = [torch.empty_like(w) for w in weights]
        model.loss_and_grad(weights, frozen, inputs, torch.randint(10, (runs, 6), generator=generator), gradients)
        rows.append(torch.cat([g.flatten(1) for g in gradients], 1))
    unit = torch.nn.functional.normalize(torch.cat(rows))
    squares = torch.linalg.eigvalsh(unit.T @ unit)
    assert len(unit) > model.dimension
    assert int((squares > 1e-12 * squares[-1]).sum()) == model.directions == model.dimension - 45


@pytest.mark.parametrize("network", [PaperConvNet, PreActResNet18])
def test_gradients_on_pictures_that_do_not_end_as_one_pixel(network):
    model, cpu = network((3, 21, 18), classes=4, width=2), torch.device("cpu")
    weights = model.initial([np.random.default_rng(i) for i in (0, 1)], np.array([3.0, 9.0]), torch.float64, cpu)
    frozen = model.fixed(np.random.default_rng(2), 2, torch.float64, cpu)
    inputs, labels = torch.randn(2, 24, model.features, dtype=torch.float64), torch.randint(4, (2, 24))
    gradients = [torch.full_like(w, torch.nan) for w in weights]
    loss = model.loss_and_grad(weights, frozen, inputs, labels, gradients)
    for run in (0, 1):
        plain = plain_network(model, [w[run] for w in weights], [f[run] for f in frozen])
        expected = cross_entropy(plain(inputs[run]), labels[run])
        expected.backward()
        torch.testing.assert_close(loss[run], expected.detach(), rtol=1e-12, atol=0)
        for ours, theirs in zip(gradients, plain.parameters(), strict=False):
            assert (ours[run] - theirs.grad).abs().max() <= 1e-10 * theirs.grad.abs().max()


def test_the_papers_resnet_as_modules():
    """Of 20 convolutions 8 are scale-invariant alone, filter by filter; the others in threes, channel by channel."""
    torch.manual_seed(0)
    ours = PreActResNet18((1, 8, 8), classes=10, width=2, eps=1e-12)
    model = PreActResNet(ours).double()
    x, y = torch.randn(48, 64, dtype=torch.float64), torch.randint(10, (48,))
    rows = {row.name: row for row in scale_invariant_blocks(model, lambda m: cross_entropy(m(x), y))}
    alone = {name: row.blocks for name, row in rows.items() if row.scale_invariant}
    assert alone == {f"units.{i}.conv1.weight": 2 * 2 ** (i // 2) for i in range(8)}
    together = {group for name, row in rows.items() if name not in alone for group in row.groups if group.blocks}
    found = {frozenset(piece.name for piece in group.pieces): group.blocks for group in together}
    assert found == {frozenset(f"{name}.weight" for name in STAGES[i][0]): 2 * 2**i for i in range(4)}
    assert len(alone) + 3 * len(found) == len(rows) - 1 == 20
    assert dimension(model, lambda m: cross_entropy(m(x), y)) == 1 + ours.directions
    with torch.no_grad():
        before = cross_entropy(model(x), y)
        for names, *_ in STAGES:
            weights = [model.get_parameter(f"{name}.weight") for name in names]
            for chosen in (weights, weights[:2], weights[1:], weights[::2]):
                factors = 2 ** torch.linspace(-1, 2, len(weights[0]), dtype=torch.float64).view(-1, 1, 1, 1)
                for w in chosen:
                    w.mul_(factors)
                change = abs(cross_entropy(model(x), y) - before)
                for w in chosen:
                    w.div_(factors)
                assert change < 1e-10 if chosen is weights else change > 1e-4


def test_a_network_that_is_not_what_it_states_is_refused():
    class Liar(NormedMLP):
        def logits(self, weights, frozen, inputs):
            return super().logits(weights, frozen, inputs) * (1 + weights[1].square().sum((1, 2), keepdim=True))

    class Subtle(NormedMLP):
        """The gradient does not see the scale, the loss does."""

        def logits(self, weights, frozen, inputs):
            size = weights[0].square().sum((1, 2), keepdim=True)
            return super().logits(weights, frozen, inputs) * (10 * size.log()).floor()

    class Hardly(NormedMLP):
        def logits(self, weights, frozen, inputs):
            return super().logits(weights, frozen, inputs) * (1 + 1e-4 * weights[1].square().sum((1, 2), True).log())

    for liar in (Liar, Hardly):
        with pytest.raises(ModelError, match="layer 2 is not scale-invariant as stated"):
            liar(6, 4, (5, 3), "rms").check(4)
    with pytest.raises(ModelError, match="the loss changes from"):
        Subtle(6, 4, (5, 3), "rms").check(4)


def test_an_ensemble_computes_the_gradients_of_its_runs():
    for network in NETWORKS:
        grid = experiment(network)
        data = DATASETS.get(grid.data.name)()
        ensemble = Ensemble(grid, grid.runs, data)
        inputs, labels = ensemble.feeds.train.at(0)
        weights = ensemble.start().weights
        gradients = [torch.empty_like(w) for w in weights]
        loss = ensemble.model.loss_and_grad(weights, ensemble.frozen, inputs, labels, gradients)
        plain = plain_network(ensemble.model, [w[3] for w in weights], [f[3] for f in ensemble.frozen])
        expected = cross_entropy(plain(inputs[3]), labels[3])
        expected.backward()
        torch.testing.assert_close(loss[3], expected.detach(), rtol=1e-12, atol=0)
        for ours, theirs in zip(gradients, plain.parameters(), strict=False):
            torch.testing.assert_close(ours[3], theirs.grad, rtol=1e-9, atol=1e-12)
        _, accuracy = ensemble.model.scores(weights, ensemble.frozen, inputs, labels)
        assert accuracy[3] == (plain(inputs[3]).argmax(1) == labels[3]).double().mean()


WRONG = [
    ('name = "convnet"\nhidden = [3]', "[model] hidden: not supported for name = 'convnet'"),
    ('name = "mlp"', "[model] hidden = []"),
    ('name = "transformer"\nwidth = 6\nheads = 4', "[model] heads = 4: must divide width = 6"),
    ('name = "convnet"\naffine = true', "[model] affine = true"),
    ('name = "resnet18"\nnorm = "rms"', "[model] norm"),
    ('name = "preact-resnet18"\ndepth = 5', "[model] depth = 5: is only supported for name = 'transformer'"),
    ('name = "mlp"\nhidden = [3]\nheads = 1', "[model] heads = 1: is only supported for name = 'transformer'"),
    ('name = "mine"\nfile = "mine.py"\ndepth = 3', "depth, heads: not supported for a network from a file"),
]


@pytest.mark.parametrize(("model", "said"), WRONG)
def test_wrong_tables_are_refused(model, said, monkeypatch):
    monkeypatch.setitem(NETWORKS, "wrong", ("digits-images", model))
    with pytest.raises(ExperimentError) as caught:
        experiment("wrong")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["convnet", "resnet18", "preact-resnet18", "transformer"])
def test_data_that_do_not_fit_are_refused_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "wrong", ("digits", f'name = "{name}"'))
    with pytest.raises(ExperimentError, match="but data set 'digits' has"):
        empirics.run(experiment("wrong"), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_every_network_is_listed():
    listed = {"unit", "mlp", "convnet", "paper-convnet", "resnet18", "preact-resnet18", "transformer"}
    assert set(MODELS.names) == listed


@pytest.mark.parametrize("build", [ResNet18, PreActResNet18])
def test_a_filter_of_one_weight_is_a_sphere_without_directions(build):
    """Its gradient is rounding, of which w·g is as large as |w||g|: no sign that the network depends on its scale."""
    model = build((1, 8, 8), classes=10, width=1, eps=1e-12)
    model.check(10)
    assert model.directions < model.dimension
