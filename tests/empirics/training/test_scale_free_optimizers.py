"""Steps that do not grow with the gradient: Muon against torch's, polar factors, the pull of the decay, refusals."""

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plain_optimizers import polar
from tiny import tiny

import empirics
from empirics.experiment import ExperimentError
from empirics.models.base import Block, views
from empirics.training import OPTIMIZERS
from empirics.training.normalised import Muon, polar_factor
from empirics.training.optimizer import Settings

BLOCKS = (Block("one", (4, 6)), Block("two", (3, 2, 2)), Block("scale", (5, 1)))
TORCH_HAS_MUON = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon (2.9 has)")
RATES, DECAYS = torch.tensor([0.02, 0.05, 0.1]).double(), torch.tensor([0.1, 0.3, 0.0]).double()


def matrices(flat, run):
    return [w[0].flatten(1) for w in views(flat[run : run + 1], BLOCKS)]


def steps_of_both(count):
    """Three runs of unequal rates on the same gradients, by torch and by us: weights of every matrix, before, after."""
    ours, rng = Muon(Settings(momentum=0.95), BLOCKS), np.random.default_rng(0)
    flat = torch.as_tensor(rng.standard_normal((3, 41)))
    weights = [[w.clone().requires_grad_() for w in matrices(flat, run)] for run in range(3)]
    theirs = [torch.optim.Muon(w, RATES[i].item(), DECAYS[i].item()) for i, w in enumerate(weights)]
    state = ours.state(flat)
    for step in range(count):
        gradient = torch.as_tensor(rng.standard_normal(flat.shape))
        before = flat
        flat = flat - RATES[:, None] * ours.direction(flat, gradient, DECAYS, state, ours.numbers(step))
        for run, other in enumerate(theirs):
            old = [w.detach().clone() for w in weights[run]]
            for w, g in zip(weights[run], matrices(gradient, run), strict=True):
                w.grad = g.clone()
            other.step()
            yield from zip(*([run] * 3, matrices(before, run), matrices(flat, run), old, weights[run]), strict=True)


@TORCH_HAS_MUON
def test_muon_is_torch_s_with_an_exact_polar_factor(monkeypatch):
    """All but the Newton-Schulz iteration, and the factor on lr that depends on the shape."""
    monkeypatch.setattr("torch.optim._muon._adjust_lr", lambda lr, name, shape: lr)
    monkeypatch.setattr("torch.optim._muon._zeropower_via_newtonschulz", lambda update, *_: polar(update))
    for _, _, ours, _, theirs in steps_of_both(50):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-10, atol=1e-10)


@TORCH_HAS_MUON
def test_muon_is_torch_s_within_its_products_in_bfloat16():
    """torch's step has our singular vectors, to 2^-8 times a few, and singular values of 0.68 to 1.15 for our 1."""

    def push(run, before, after):
        return ((1 - RATES[run] * DECAYS[run]) * before - after) / RATES[run]

    for run, *both in steps_of_both(50):
        mine, others = (push(run, *pair) for pair in (both[:2], both[2:]))
        others = others.detach() / max(1, math.sqrt(others.shape[0] / others.shape[1]))
        assert torch.linalg.svdvals(mine).sub(1).abs().max() < 1e-10
        assert ((torch.linalg.svdvals(others) > 0.65) & (torch.linalg.svdvals(others) < 1.2)).all()
        torch.testing.assert_close(mine, polar(others), rtol=0, atol=0.06)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_polar_factors_are_partial_isometries_that_leave_a_positive_part(rows, columns, rank, seed):
    """P alone has A = P H with H = Pᵀ A positive semidefinite, and P Pᵀ the projector on the range of A."""
    rng, rank = np.random.default_rng(seed), min(rank, rows, columns)
    made = torch.as_tensor(rng.standard_normal((3, rows, rank)) @ rng.standard_normal((3, rank, columns)))
    for matrix, found in zip(made, polar_factor(made), strict=True):
        close = {"rtol": 0, "atol": 1e-6 * (1 + matrix.abs().max())}
        positive = found.mT @ matrix
        torch.testing.assert_close(positive, positive.mT, **close)
        assert torch.linalg.eigvalsh(positive).min() > -1e-6
        torch.testing.assert_close(found @ positive, matrix, **close)
        assert abs(float(found.square().sum()) - rank) < 1e-6  # as long as the root of the rank


def test_a_polar_factor_to_50_digits():
    matrix = [[1, 2, 3], [4, 5, 6]]
    with mp.workdps(50):
        left, _, right = mp.svd_r(mp.matrix(matrix))
        wanted = torch.tensor((left * right).tolist(), dtype=torch.float64)
    torch.testing.assert_close(polar_factor(torch.tensor([matrix]).double())[0], wanted, rtol=0, atol=1e-14)


def test_a_diverged_run_stays_nan_and_touches_no_other():
    made = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    alone = polar_factor(made[1:])
    made[0, 1, 2] = math.nan
    found = polar_factor(made)
    assert found[0].isnan().all()
    assert torch.equal(found[1:], alone)


@pytest.mark.parametrize("name", ["signsgd", "lion", "normalised-sgd", "muon", "lars", "lamb"])
def test_a_gradient_of_zero_is_no_step(name):
    optimizer = OPTIMIZERS.get(name)(Settings(eps=1e-8), BLOCKS)
    flat = torch.ones(3, 41).double()
    push = optimizer.direction(flat, 0 * flat, 0 * DECAYS, optimizer.state(flat), optimizer.numbers(0))
    assert torch.equal(push, 0 * flat)


@pytest.mark.parametrize(("name", "momentum"), [("lars", 0.0), ("lars", 0.5), ("lamb", 0.0), ("lamb", 0.9)])
def test_the_pull_is_what_the_decay_takes(name, momentum):
    """Half the change of r² with the decay less that without it, summed over all later steps, for a small decay."""
    small = torch.tensor([1e-6, 2e-6, 5e-6]).double()
    flat, gradient = torch.as_tensor(np.random.default_rng(0).standard_normal((2, 3, 41)))
    optimizer = OPTIMIZERS.get(name)(Settings(momentum=momentum, eps=1e-8), BLOCKS)
    pushes = []
    for decay in (small, 0 * small):
        state = optimizer.state(flat)
        pushes.append(optimizer.direction(flat, gradient, decay, state, optimizer.numbers(0)))
        if decay is small:
            pull = state["pull"].clone()
    difference, along = pushes[0] - pushes[1], pushes[1]
    # The decay also turns the direction of a given length; what that takes is not the decay's, and is along h.
    shares = []
    for d, w, h in zip(*(views(one, BLOCKS) for one in (difference, flat, along)), strict=True):
        cos = (w * h).flatten(1).sum(1) / (w.flatten(1).norm(dim=1) * h.flatten(1).norm(dim=1))
        shares.append((w * d).flatten(1).sum(1) / (1 - cos**2))
    repeats = 1 / (1 - momentum) if name == "lars" else 1
    torch.testing.assert_close(pull, repeats * sum(shares), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("name", "momentum"), [("lars", 0.0), ("lamb", 0.9), ("muon", 0.95), ("lion", 0.9)])
def test_the_balance_is_1_in_stationary_runs(name, momentum, tmp_path):
    """Also where a memory of gradients makes the part of the step along w vanish, by which SGD's decay is counted."""
    slow = [("steps = 160", "steps = 4000"), ("spacing = 4", "spacing = 100"), ("burn_in = 30", "burn_in = 4000")]
    rates = [("lr = [0.05, 0.1]", "lr = [0.03, 0.06]"), ("decay = [0.01, 0.02, 0.05]", "decay = [0.05, 0.1]")]
    named = ('optimizer = "sgd"', f'optimizer = "{name}"\nmomentum = {momentum}')
    found = empirics.run(tiny(*slow, *rates, named, ("{noise = 10.0}", "2.0")), tmp_path / "runs", progress=False)
    np.testing.assert_allclose(found.dataset["balance"], 1, atol=0.03)
    assert found.dataset["temperature"].isnull().all()


REFUSED = [
    ({"optimizer": "adam"}, r"\[training\] optimizer = \"adam\": must be one of .*did you mean 'adamw'"),
    ({"optimizer": "muons"}, "did you mean 'muon'"),
    ({"optimizer": "lion", "beta2": 1.0}, r"\[training\] beta2 = 1.0: must be a number, 0 or more and below 1"),
    ({"optimizer": "lion", "momentum": -0.1}, r"\[training\] momentum = -0.1"),
    ({"optimizer": "muon", "scale": 0.0}, r"\[training\] scale = 0.0"),
    ({"optimizer": "lamb", "protocol": "fixed-sphere"}, r"optimizer = \"lamb\": must be another one under fixed-s"),
    ({"optimizer": "lars", "protocol": "fixed-elr"}, r"optimizer = \"lars\": must be another one under fixed-elr"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_is_wrong_is_refused_in_one_line(changes, said):
    with pytest.raises(ExperimentError, match=said) as caught:
        dataclasses.replace(tiny().training, **changes)
    assert "\n" not in str(caught.value)


def test_muon_refuses_a_network_without_matrices():
    with pytest.raises(ExperimentError, match=r"optimizer = \"muon\".*: a \(5, 1\), b \(1, 3\)") as caught:
        Muon(Settings(), (Block("a", (5, 1)), Block("b", (1, 3)))).check()
    assert "\n" not in str(caught.value)
    Muon(Settings(), BLOCKS).check()


@pytest.mark.parametrize(
    ("name", "momentum", "beta2"),
    [("lion", 0.9, 0.99), ("muon", 0.95, 0.999), ("lars", 0.0, 0.999), ("adamw", 0.9, 0.999)],
)
def test_coefficients_that_are_left_out_are_the_optimiser_s_own(name, momentum, beta2):
    training = tiny(('optimizer = "sgd"', f'optimizer = "{name}"'), ("{noise = 10.0}", "3.0")).training
    assert (training.momentum, training.beta2) == (momentum, beta2)
    given = "momentum = 0.5\nbeta2 = 0.25" if name in ("lion", "adamw") else "momentum = 0.5"
    own = tiny(('optimizer = "sgd"', f'optimizer = "{name}"\n{given}'), ("{noise = 10.0}", "3.0"))
    assert (own.training.momentum, own.training.beta2) == (0.5, 0.25 if "beta2" in given else beta2)
    assert type(own).from_toml(own.to_toml()) == own


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("signsgd", "momentum = 0.9", "signsgd has no momentum; it takes neither momentum nor beta2"),
        ("muon", "beta2 = 0.9", "muon has no beta2; it takes momentum"),
    ],
)
def test_a_coefficient_that_the_optimiser_has_not_is_refused(name, given, said):
    with pytest.raises(ExperimentError, match=said):
        tiny(('optimizer = "sgd"', f'optimizer = "{name}"\n{given}'), ("{noise = 10.0}", "3.0"))
