"""Neighbours on a torch device, on the CPU: the answers of the code for CPUs, and of a plain loop."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import tiny

import empirics
from empirics.measure import angular_update, entropy, neighbours, on_device, product, snapshot_entropies, snapshots
from empirics.measure.neighbours import Gram, autocovariance, nearest
from empirics.measure.on_device import DeviceGram
from empirics.training import summary


@pytest.fixture
def as_device(monkeypatch):
    """Tensors of the CPU are measured as if they were on a card."""
    for module in (entropy, product, snapshots, on_device):
        monkeypatch.setattr(module, "there", lambda x: hasattr(x, "is_cuda"))


def plain(x, window, k):
    """Nearest by exact differences of unit rows, of equal distances the earlier row."""
    u = np.asarray(x, float)
    u = u / np.linalg.norm(u, axis=1, keepdims=True)
    index, distance = [], []
    for i, row in enumerate(u):
        apart = np.linalg.norm(u - row, axis=1)
        apart[max(0, i - window) : i + window + 1] = np.inf
        index.append(np.argsort(apart, kind="stable")[: k + 1])
        distance.append(apart[index[-1]])
    return np.array(index), np.array(distance)


def draw(name, n, d):
    rng = np.random.default_rng(n + d)
    return {
        "independent": lambda: rng.standard_normal((n, d)),
        "path": lambda: np.cumsum(rng.standard_normal((n, d)), axis=0) + 9,
        "cold": lambda: np.r_[1.0, np.zeros(d - 1)] + 1e-3 * rng.standard_normal((n, d)),
        # Pairs that differ by 1e-9, around places that differ by 0.1: products in float32 see one place each.
        "near-duplicates": lambda: (
            np.repeat(rng.standard_normal((n // 20, d)), 20, axis=0)[:n] + 1e-9 * rng.standard_normal((n, d))
        ),
    }[name]()


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("window", "k"), [(0, 1), (7, 3)])
@pytest.mark.parametrize("name", ["independent", "path", "cold", "near-duplicates"])
def test_the_answers_of_a_plain_loop_and_of_the_code_for_cpus(name, window, k, single, monkeypatch):
    monkeypatch.setattr(on_device, "BLOCK_BYTES", 60_000)  # many blocks of unequal size
    for module in (on_device, neighbours):
        monkeypatch.setattr(module, "FLOAT64_WORK", 0 if single else 1e12)
    x = draw(name, 140, 30)
    index, distance = DeviceGram(torch.from_numpy(x), k).nearest(window, k)
    wanted = plain(x, window, k)
    np.testing.assert_array_equal(index, wanted[0])
    np.testing.assert_allclose(distance, wanted[1], rtol=1e-6 if name == "near-duplicates" else 1e-12)
    on_cpu = Gram(entropy._directions(x, k))
    np.testing.assert_array_equal(index, nearest(on_cpu, window, k)[0])
    np.testing.assert_allclose(
        DeviceGram(torch.from_numpy(x)).autocovariance(),
        autocovariance(on_cpu),
        rtol=0,
        atol=(1e-6 if single else 1e-13) * autocovariance(on_cpu)[0],
    )


def test_near_duplicates_are_what_products_alone_are_wrong_about(monkeypatch):
    """Planted: without exact distances, and without asking for all that rounding hides, the answers are wrong."""
    monkeypatch.setattr(on_device, "FLOAT64_WORK", 0)
    x = draw("near-duplicates", 140, 30)
    wanted, gram = plain(x, 0, 1)[0], DeviceGram(torch.from_numpy(x))
    naive = gram._rounded(0)(slice(0, 140)).argmin(1).numpy()
    assert (naive != wanted[:, 0]).mean() > 0.5
    with monkeypatch.context() as planted:
        planted.setattr(DeviceGram, "_exact", lambda self, rows, near: (near, torch.zeros(near.shape).double()))
        assert (gram.nearest(0, 1)[0][:, 0] != wanted[:, 0]).mean() > 0.5
    with monkeypatch.context() as planted:
        planted.setattr(on_device, "ROUND_OFF", -1e9)  # nothing is taken to be hidden
        assert (gram.nearest(0, 1)[0][:, 0] != wanted[:, 0]).any()
    np.testing.assert_array_equal(gram.nearest(0, 1)[0], wanted)


def test_of_equal_distances_the_earlier_row_is_nearest():
    axes = np.eye(40)  # every other row is at sqrt(2)
    for index, distance in (
        DeviceGram(torch.from_numpy(axes)).nearest(2, 1),
        nearest(Gram(entropy._directions(axes, 1)), 2, 1),
    ):
        np.testing.assert_array_equal(index[0], [3, 4])
        np.testing.assert_array_equal(index[39], [0, 1])
        np.testing.assert_allclose(distance, np.sqrt(2), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(30,), (10, 4, 16)])
def test_the_entropies_of_a_run_are_the_same(sizes, dtype, as_device):
    x = draw("path", 120, 30).astype(dtype)
    directions = [size - 1 for size in sizes]
    there, lags = snapshot_entropies(torch.from_numpy(x), sizes, directions)
    here, wanted = snapshot_entropies(x, sizes, directions)
    assert there == pytest.approx(here, rel=1e-11, nan_ok=True)
    np.testing.assert_array_equal(lags, wanted)
    np.testing.assert_allclose(
        on_device.turns(torch.from_numpy(x)), [angular_update(*pair) for pair in pairwise(x)], rtol=1e-7
    )


def test_other_methods_take_arrays(as_device):
    x = draw("cold", 300, 5)
    for method in ("cap", "gaussian", "vmf"):
        found, wanted = (entropy.sphere_entropy(one, method).value for one in (torch.from_numpy(x), x))
        assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.ones(5), "shape"),
        (np.full((5, 3), np.nan), "finite; row 0"),
        (np.vstack([np.ones((3, 3)), np.zeros((1, 3))]), "row 3 of x is zero"),
        (np.ones((5, 3)), "rows 0 and 1 of x have the same direction"),
    ],
)
def test_the_same_rows_are_refused(x, said, as_device):
    for one in (torch.from_numpy(x), x):
        with pytest.raises(ValueError, match=said):
            entropy.sphere_entropy(one, theiler=0)
    part = np.ones((9, 4))
    part[5, 2:] = 0
    with pytest.raises(ValueError, match="columns 2 to 3 of row 5 of x are zero"):
        product.product_entropies(torch.from_numpy(part), (2, 2), 2)


def test_a_whole_run_is_measured_to_the_same_numbers(as_device, tmp_path, monkeypatch):
    wanted = empirics.run(tiny(), tmp_path / "arrays", progress=False)
    monkeypatch.setattr(summary, "_measured_where", lambda ensemble, state, run: state.snapshots[:, run])
    asked = []
    monkeypatch.setattr(summary.on_device, "turns", lambda x, turns=on_device.turns: asked.append(1) or turns(x))
    found = empirics.run(tiny(), tmp_path / "tensors", progress=False)
    assert len(asked) == 6
    for group in ("summary", "snapshots"):
        xr.testing.assert_allclose(found.tree[group].to_dataset(), wanted.tree[group].to_dataset(), rtol=1e-5)
