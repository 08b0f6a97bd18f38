"""What makes the probe cheap changes none of its numbers: sums at once, one transfer per reading."""

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from watched import data, network, trained

import empirics
from empirics.probe import tensors
from empirics.probe.record import Context, Stat, summaries
from empirics.probe.rule import Rule

RULE = Rule("sgd", 0.1, 0.01)


def plain(stats, steps, group):
    """The same means of one group, pair by pair: stats (pair, Stat, block of this group)."""
    good = [i for i, one in enumerate(stats) if np.isfinite(one).all() and (one[Stat.WEIGHT] > 0).any()]
    if not good:
        return None
    rows, size = stats[good], group.parameters // group.blocks
    weight, slope, along, radial = (rows[:, i] for i in (Stat.WEIGHT, Stat.SLOPE, Stat.ALONG, Stat.RADIAL))
    angle = np.arctan2(np.sqrt(rows[:, Stat.MOVE] * weight - radial**2), weight + radial)
    x, y = (np.log(rows[:, i].sum(1)) / 2 for i in (Stat.SLOPE, Stat.MOVE))
    path = [(steps[i], group.decayed[i], stats[i, Stat.WEIGHT].sum()) for i in good]
    path = [*([(group.since.last - 1, group.since.decayed, group.since.after)] if group.since else []), *path]
    return {
        "first": path[0][0], "last": path[-1][0] + 1, "pairs": len(good), "before": path[0][2], "after": path[-1][2],
        "radius_sq": weight.mean(0), "grad_sq": slope.mean(0), "unit_sq": (weight * slope).mean(0),
        "angle_sq": (angle**2).mean(0), "decayed": path[-1][1], "size": size,
        "taken": sum((b[1] - a[1]) * (a[2] + b[2]) / 2 for a, b in pairwise(path)),
        "violation": np.sqrt((along**2 / (weight * slope) * size).mean()), "along": along.sum(1).mean(),
        "grad_next": rows[:, Stat.NEXT].sum(1).mean(), "move_sq": rows[:, Stat.MOVE].sum(1).mean(),
        "changed": rows[:, Stat.CHANGED].any(1).mean(), "degree": np.polyfit(x, y, 1)[0], "penalty": 0.0,
    }  # fmt: skip


def test_summaries_of_all_groups_are_those_of_each_by_itself():
    """Groups of 1, 4 and 2 blocks, of which the second has a pair that is not finite, and the third none that is."""
    random, steps = np.random.default_rng(0), [3, 9, 11, 20, 26, 31]
    stats = np.abs(random.normal(size=(6, len(Stat), 9)))
    stats[:, Stat.WEIGHT] += 5
    stats[:, [Stat.ALONG, Stat.RADIAL, Stat.NEXT]] = 0.1 * random.normal(size=(6, 3, 9))
    stats[:, Stat.CHANGED] = random.random((6, 9)) < 0.2
    stats[2, Stat.SLOPE, 3] = stats[:, Stat.MOVE, 5] = np.nan
    decayed = np.cumsum(random.random((6, 4)), axis=0)
    groups = [Context(None, RULE, 12 * n, n, True, True, decayed[:, i]) for i, n in enumerate((1, 4, 2, 2))]
    ends = np.cumsum([0, 1, 4, 2, 2])
    before = summaries(stats - 0.01, [step - 40 for step in steps], groups)
    for since in ([None] * 4, before):
        some = [
            Context(s, RULE, g.parameters, g.blocks, True, True, g.decayed) for s, g in zip(since, groups, strict=True)
        ]
        found = summaries(stats, steps, some)
        wanted = [plain(stats[:, :, a:b], steps, g) for (a, b), g in zip(pairwise(ends), some, strict=True)]
        assert [one is None for one in found] == [one is None for one in wanted] == [False, False, True, False]
        assert [one.pairs for one in found if one] == [6, 5, 6]
        for one, other in zip(found, wanted, strict=True):
            for name, value in (other or {}).items():
                np.testing.assert_allclose(getattr(one, name), value, rtol=1e-12, err_msg=name)


class Mixed(nn.Module):
    """Groups of rows, of columns, of a part of a tensor, and of a matrix with its bias."""

    def __init__(self):
        super().__init__()
        self.columns = nn.Parameter(torch.randn(12, 8))
        self.fused, self.joint, self.out = nn.Linear(8, 24, bias=False), nn.Linear(24, 16), nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(nn.functional.batch_norm(x @ self.columns, None, None, training=True))
        x = torch.cat([nn.functional.layer_norm(self.fused(x)[:, :16].unflatten(1, (4, 4)), (4,)).flatten(1),
                       self.fused(x)[:, 16:]], 1)  # fmt: skip
        return self.out(torch.relu(nn.functional.layer_norm(self.joint(x), (16,))))


def test_small_tensors_measured_together_have_the_rows_of_each_by_itself(monkeypatch):
    frames = []
    for largest in (tensors.SMALL, 100, 0):  # all together, some, none
        monkeypatch.setattr(tensors, "SMALL", largest)
        torch.manual_seed(0)
        watch = trained(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.02), 150, Mixed(), every=3)[1]
        frames.append(watch.frame())
    assert set(frames[0]["role"]) == {"invariant", "penalty"}
    assert frames[0]["blocks"].max() == 8
    assert frames[0]["group"].str.contains(" + ", regex=False).any()
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other, rtol=1e-4, atol=1e-6)


class OnDevice(torch.Tensor):
    """Stands for a tensor of another device: what is computed from it is there as well, and reading it is counted."""

    waits: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        masked = name == "__getitem__" and getattr(args[1], "dtype", None) == torch.bool
        if masked or name in ("cpu", "item", "tolist", "numpy", "nonzero", "__float__", "__int__", "__bool__"):
            cls.waits.append(name)
        found = super().__torch_function__(func, types, args, kwargs or {})
        return found.as_subclass(torch.Tensor) if name == "cpu" else found


@pytest.mark.parametrize("halves", [False, True])
def test_a_reading_waits_for_the_device_once(halves):
    torch.manual_seed(0)
    model, generator = network(), torch.Generator().manual_seed(1)
    for layer in (model[0], model[1], model[3]):
        for name, p in list(layer.named_parameters()):
            setattr(layer, name, nn.Parameter(p.detach().as_subclass(OnDevice)))
    made = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.02)
    watch, during = empirics.watch(model, made, every=4), []
    for _ in range(200):
        for _ in range(2):
            x, y = data(generator)
            (nn.functional.cross_entropy(model(x), y) / 2).backward()
            for p in model.parameters():
                p.grad = p.grad.as_subclass(OnDevice)
            OnDevice.waits.clear()
            if halves:
                watch.microbatch()
            during += OnDevice.waits
        OnDevice.waits.clear()
        made.step()
        during += OnDevice.waits
        made.zero_grad()
    assert set(during) == {"cpu"}
    assert len(during) == len(watch._watch.watched[0].history) + 1  # stretches of 16 pairs; once for the groups
    for read in (watch.values, watch.summary, watch.frame, watch.warnings, lambda: str(watch)):
        OnDevice.waits.clear()
        read()
        assert OnDevice.waits == ["cpu"]
    assert watch.frame().attrs["noise"] == ("halves" if halves else "consecutive steps")


def test_a_training_that_freezes_everything_goes_on():
    torch.manual_seed(0)
    model, generator = network(), torch.Generator().manual_seed(1)
    made = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = empirics.watch(model, made, every=2)
    for step in range(40):
        if step == 20:
            model.requires_grad_(False)
        if step < 20:
            x, y = data(generator)
            nn.functional.cross_entropy(model(x), y).backward()
        made.step()
    assert watch.steps == 40
    assert watch.line() == "step 40: nothing to measure, every tensor of the optimizer is frozen"
    assert len(watch.frame()) == 0
    assert watch.warnings() == []
    assert set(watch.history["group"]) == {"0.weight", "1.weight", "1.bias", "3.weight", "3.bias"}
    assert watch.history["step"].max() <= 20
