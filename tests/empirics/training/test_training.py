import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import sem
from tiny import tiny
from torch import nn

from empirics.data import DATASETS
from empirics.experiment import Run
from empirics.running.checkpoint import Checkpoints
from empirics.training.ensemble import Ensemble
from empirics.training.record import SnapshotColumn, Sum
from empirics.training.sampling import TOGETHER, Drawing, Minibatches, Stream, identity
from empirics.training.summary import summarise


@pytest.fixture(scope="module")
def digits():
    return DATASETS.get("digits")()


pytestmark = pytest.mark.usefixtures("one_thread")


def trained(experiment, data, runs=None, steps=None):
    ensemble = Ensemble(experiment, experiment.runs if runs is None else runs, data)
    state = ensemble.start()
    for _ in range(experiment.total_steps if steps is None else steps):
        ensemble.advance(state)
    return ensemble, state


def plain_network(weights, head, eps):
    layers = []
    for w in weights:
        linear = nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=torch.float64)
        linear.weight.data.copy_(w)
        layers += [linear, nn.BatchNorm1d(len(w), eps=eps, affine=False, track_running_stats=False), nn.ReLU()]
    last = nn.Linear(head.shape[1], head.shape[0], bias=False, dtype=torch.float64)
    last.weight.data.copy_(head)
    last.weight.requires_grad_(False)
    return nn.Sequential(*layers, last)


def test_fifty_steps_of_a_plain_torch_loop(digits):
    # Wide enough that no unit sees a constant batch, where eps = 1e-12 would magnify rounding a millionfold.
    wide = (("hidden = [5, 4]", "hidden = [16, 12]"), ("batch_size = 16", "batch_size = 64"))
    experiment = tiny(('"sgd"', '"sgd"\ndtype = "float64"'), *wide)
    ensemble = Ensemble(experiment, experiment.runs, digits)
    start = ensemble.start()
    inputs, labels = torch.as_tensor(digits.inputs), torch.as_tensor(digits.labels)
    state = ensemble.start()
    for _ in range(50):
        ensemble.advance(state)
    ensemble.flush(state)
    for i, run in enumerate(experiment.runs):
        network = plain_network([w[i] for w in start.weights], ensemble.frozen[0][i], experiment.model.eps)
        weights = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(weights, lr=run.lr, weight_decay=run.weight_decay)
        picks = Minibatches(
            Drawing((run,), experiment.training.batch_size, torch.device("cpu")), len(labels), Stream.MINIBATCH
        )
        sums = torch.zeros(3, dtype=torch.float64)
        for step in range(50):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[picks.at(step)]), labels[picks.at(step)])
            loss.backward()
            radius_sq = sum(float(w.detach().square().sum()) for w in weights)
            grad_sq = sum(float(w.grad.square().sum()) for w in weights)
            sums += torch.tensor([radius_sq, grad_sq, float(loss.detach())], dtype=torch.float64)
            optimizer.step()
        for ours, theirs in zip(state.weights, weights, strict=True):
            torch.testing.assert_close(ours[i], theirs.detach(), rtol=1e-10, atol=1e-10)
        rows = [Sum.RADIUS_SQ, Sum.GRAD_SQ, Sum.LOSS]
        torch.testing.assert_close(state.total[rows, i], sums, rtol=1e-10, atol=0)


def test_scaling_symmetry_holds_to_the_last_bit(digits):
    """(w, lr, weight_decay) -> (2 w, 4 lr, weight_decay / 4) only moves exponents, if eps = 0."""
    plain = tiny(("hidden = [5, 4]", "hidden = [5, 4]\neps = 0.0"))
    grid = {"lr": [4 * lr for lr in plain.grid.lr], "weight_decay": [wd / 4 for wd in plain.grid.weight_decay]}
    scaled = dataclasses.replace(plain, grid=grid)
    one, two = Ensemble(plain, plain.runs, digits), Ensemble(scaled, scaled.runs, digits)
    a, b = one.start(), two.start()
    two.feeds.train, two.feeds.second = (
        one.feeds.train,
        one.feeds.second,
    )  # the same minibatches, though they are other runs
    b.flat.copy_(2 * a.flat)
    for _ in range(plain.total_steps):
        one.advance(a)
        two.advance(b)
    for w, doubled in zip(a.weights, b.weights, strict=True):
        assert torch.equal(2 * w, doubled)
    assert torch.equal(4 * a.total[Sum.RADIUS_SQ], b.total[Sum.RADIUS_SQ])
    assert torch.equal(a.total[Sum.GRAD_SQ], 4 * b.total[Sum.GRAD_SQ])
    assert torch.equal(a.total[Sum.LOSS], b.total[Sum.LOSS])
    assert torch.isfinite(a.total).all()


def test_without_eps_zero_the_symmetry_is_broken(digits):
    plain = tiny(("hidden = [5, 4]", "hidden = [5, 4]\neps = 0.1"))
    one = Ensemble(plain, plain.runs, digits)
    a, b = one.start(), one.start()
    b.flat.mul_(2)
    for state in (a, b):
        one.advance(state)
        one.flush(state)
    assert not torch.allclose(a.total[Sum.LOSS], b.total[Sum.LOSS], rtol=1e-3)


def test_a_run_does_not_depend_on_its_company(digits):
    experiment = tiny()
    _, whole = trained(experiment, digits, steps=60)
    for chosen in ([4], [5, 0, 2]):
        _, part = trained(experiment, digits, [experiment.runs[i] for i in chosen], steps=60)
        for ours, theirs in zip(part.weights, whole.weights, strict=True):
            torch.testing.assert_close(ours, theirs[chosen], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(part.total, whole.total[:, chosen], rtol=1e-4, atol=1e-6)


def test_statistics_of_a_snapshot(digits):
    experiment = tiny(('"sgd"', '"sgd"\ndtype = "float64"'))
    ensemble, state = trained(experiment, digits, steps=experiment.training.burn_in + 3)
    weights = [w.clone() for w in state.weights]
    first, second = ([torch.empty_like(w) for w in weights] for _ in range(2))
    losses = []
    for feed, step, out in ((ensemble.feeds.train, state.step, first), (ensemble.feeds.second, 0, second)):
        losses.append(ensemble.model.loss_and_grad(weights, ensemble.frozen, *feed.at(step), out))
    ensemble.advance(state)
    flat_w, flat_g, flat_h = (torch.cat([t.flatten(1) for t in tensors], 1) for tensors in (weights, first, second))
    pair = state.pairs[0]
    assert torch.equal(state.snapshots[0], flat_w)
    torch.testing.assert_close(pair[SnapshotColumn.GRAD_MEAN_SQ], (flat_g * flat_h).sum(1))
    torch.testing.assert_close(pair[SnapshotColumn.RADIUS_SQ], flat_w.square().sum(1))
    torch.testing.assert_close(torch.stack(losses), pair[[SnapshotColumn.FIRST_LOSS, SnapshotColumn.SECOND_LOSS]])
    assert not torch.equal(*losses)
    assert torch.isnan(state.pairs[1:]).all()
    flat_after = torch.cat([w.flatten(1) for w in state.weights], 1)
    angle = torch.acos((flat_w * flat_after).sum(1) / (flat_w.norm(dim=1) * flat_after.norm(dim=1)))
    torch.testing.assert_close(pair[SnapshotColumn.ROTATION_SQ].sqrt(), angle, rtol=1e-6, atol=0)
    # By component: five filters of 61 weights, then four of five.
    sizes = [61] * 5 + [5] * 4
    for part, (a, b) in enumerate(((flat_w, flat_w), (flat_g, flat_g), (flat_g, flat_h))):
        expected = [(x * y).sum(1) for x, y in zip(a.split(sizes, 1), b.split(sizes, 1), strict=True)]
        torch.testing.assert_close(state.components[part], torch.stack(expected))
    assert (pair[SnapshotColumn.VIOLATION] < 1e-10).all()


def test_a_diverging_run_is_frozen_labelled_and_touches_no_other(digits):
    tame = tiny(
        ("lr = [0.05, 0.1]", "lr = [0.05]"), ("{noise = 10.0}", "1.0"), ("runs_per_shard = 4", "runs_per_shard = 9")
    )
    wild = Run(lr=1e25, weight_decay=1e-27, seed=3, protocol="fixed-lr", optimizer="sgd")
    runs = [tame.runs[0], wild, *tame.runs[1:]]
    ensemble, state = trained(tame, digits, runs)
    alone_ensemble, alone = trained(tame, digits)
    together, apart = summarise(tame, ensemble, state), summarise(tame, alone_ensemble, alone)
    step = int(together["summary/diverged_at"][1])
    assert 0 < step < 10
    assert together["summary/status"][1] == "diverged"
    assert str(step) in together["summary/reason"][1]
    for w in state.weights:
        assert torch.isnan(w[1]).all()
    others = [0, 2, 3]
    for name in ("radius_sq", "entropy", "balance", "grad_mean_sq", "loss"):
        assert np.isnan(together[f"summary/{name}"][1]), name
        np.testing.assert_allclose(together[f"summary/{name}"][others], apart[f"summary/{name}"], rtol=1e-3)
    assert (together["summary/diverged_at"][others] == -1).all()


def test_a_run_that_does_not_move_is_labelled_and_the_others_are_measured(digits):
    experiment = tiny(("lr = [0.05, 0.1]", "lr = [0.05]"))
    still = Run(lr=1e-20, weight_decay=1e-20, seed=3, protocol="fixed-lr", optimizer="sgd")
    found = summarise(experiment, *trained(experiment, digits, [still, *experiment.runs]))
    assert np.isnan(found["summary/entropy"]).tolist() == [True, False, False, False]
    assert found["summary/status"][0] != "ok"
    assert "no entropy" in found["summary/reason"][0]
    assert found["summary/diverged_at"].tolist() == [-1] * 4


def test_sums_are_means_over_the_intervals_they_claim(digits):
    experiment = tiny()
    ensemble = Ensemble(experiment, experiment.runs, digits)
    state, history = ensemble.start(), []
    for _ in range(experiment.total_steps):
        before = state.total.clone()
        ensemble.advance(state)
        ensemble.flush(state)
        history.append((state.total - before).numpy())
    loss = np.array(history)[:, Sum.LOSS]
    found = summarise(experiment, ensemble, state)
    np.testing.assert_allclose(found["summary/loss"], loss[30:].mean(0))
    rate, decay = (np.array([[run.number(name)] for run in experiment.runs]) for name in ("lr", "weight_decay"))
    by_block = rate * found["blocks/grad_sq"] / (decay * (2 - rate * decay) * found["blocks/radius_sq"])
    np.testing.assert_allclose(found["summary/balance_error"], sem(by_block, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["blocks/loss"], loss[30:].reshape(10, 16, -1).mean(1).T)
    ends = found["trace/step"]
    assert ends[-1] == experiment.total_steps
    assert set(ends) <= set(ensemble.times.marked)
    expected = [loss[a:b].mean(0) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    np.testing.assert_allclose(found["trace/loss"], np.array(expected).T)


CHANGES = ({"lr": 0.2}, {"weight_decay": 0.1}, {"seed": 2}, {"optimizer": "momentum"})


def test_random_numbers_belong_to_the_run():
    run = Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd")
    others = [dataclasses.replace(run, **change) for change in CHANGES]
    assert len({identity(each) for each in (run, *others)}) == 5
    cpu = torch.device("cpu")
    alone = Minibatches(Drawing((run,), 8, cpu), 1797, Stream.MINIBATCH)
    together = Minibatches(Drawing((others[0], run), 8, cpu), 1797, Stream.MINIBATCH)
    second = Minibatches(Drawing((run,), 8, cpu), 1797, Stream.SECOND_MINIBATCH)
    for position in (0, 5, TOGETHER, 3, 7 * TOGETHER + 1):  # any order, drawn together or not
        assert torch.equal(alone.at(position), together.at(position)[8:])
        assert not torch.equal(alone.at(position), together.at(position)[:8])
        assert not torch.equal(alone.at(position), second.at(position))
    assert not torch.equal(alone.at(0).clone(), alone.at(TOGETHER))


def states_equal(a, b):
    names = ("flat", "total", "marks", "pairs", "components", "looks", "snapshots")
    tensors = [(getattr(a, name), getattr(b, name)) for name in names]
    tensors.append((a.raw[: a.filled], b.raw[: b.filled]))
    same = [torch.equal(x.nan_to_num(-9), y.nan_to_num(-9)) for x, y in tensors]
    return (a.step, a.filled) == (b.step, b.filled) and all(same)


def test_checkpoints_restore_every_bit_and_survive_damage(digits, tmp_path):
    experiment = tiny()
    ensemble = Ensemble(experiment, experiment.runs, digits)
    store = Checkpoints(tmp_path, experiment.training.burn_in, experiment.measure.spacing)
    assert store.restore(ensemble).step == 0
    state, kept = ensemble.start(), {}
    for step in range(1, experiment.total_steps + 1):
        ensemble.advance(state)
        if step in (7, 50, 90, 150):
            store.save(state)
            kept[step] = dataclasses.replace(
                state,
                flat=state.flat.clone(),
                raw=state.raw.clone(),
                total=state.total.clone(),
                marks=state.marks.clone(),
                pairs=state.pairs.clone(),
                components=state.components.clone(),
                looks=state.looks.clone(),
                snapshots=state.snapshots.clone(),
            )

    def fresh():
        return Checkpoints(tmp_path, experiment.training.burn_in, experiment.measure.spacing)

    assert states_equal(fresh().restore(ensemble), kept[150])
    assert len(list(tmp_path.glob("checkpoint-*.npz"))) == 2
    newest = max(tmp_path.glob("checkpoint-*.npz"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    again = fresh()
    back = again.restore(ensemble)
    assert states_equal(back, kept[90])
    while back.step < experiment.total_steps:
        ensemble.advance(back)
    again.save(back)
    assert states_equal(back, state)
    assert states_equal(fresh().restore(ensemble), state)


def test_a_damaged_segment_of_snapshots_also_counts(digits, tmp_path):
    experiment = tiny()
    ensemble = Ensemble(experiment, experiment.runs[:2], digits)
    store = Checkpoints(tmp_path, experiment.training.burn_in, experiment.measure.spacing)
    state = ensemble.start()
    for step in range(1, 101):
        ensemble.advance(state)
        if step in (60, 100):
            store.save(state)
    max(tmp_path.glob("snapshots-*.npz")).write_bytes(b"")
    assert Checkpoints(tmp_path, 30, 4).restore(ensemble).step == 60
    for path in tmp_path.glob("snapshots-*.npz"):
        path.unlink()
    assert Checkpoints(tmp_path, 30, 4).restore(ensemble).step == 0


def test_affine_scales_and_shifts_count_as_weights_and_show_as_violation(digits):
    experiment = tiny(("hidden = [5, 4]", "hidden = [5, 4]\naffine = true"))
    ensemble, state = trained(experiment, digits)
    assert ensemble.model.dimension == 61 * 5 + 5 * 4 + 2 * (5 + 4)
    assert (state.pairs[:, SnapshotColumn.VIOLATION].mean(0) > 1e-3).all()
    tolerant = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, tolerance=1.0))
    for asked, said in ((experiment, "more than 0.001"), (tolerant, "E[w.g] adds")):
        found = summarise(asked, ensemble, state)
        assert set(found["summary/status"]) == {"not scale-invariant"}
        assert all(said in reason for reason in found["summary/reason"])
