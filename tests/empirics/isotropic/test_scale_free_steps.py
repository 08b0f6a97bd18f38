"""Gases whose steps do not grow with the gradient: their norm against exact sums over the lags, the drift without a
balance, and what is refused.

The gases are hot: the mean gradient, which makes E[u.w] differ from 0, is then nothing beside the noise. What is left
is of order 1/d: the noise of a coordinate is smaller where its weight is larger, and the weights follow the noise.
"""

import numpy as np
import pytest
from gas import Group, small

from empirics import isotropic
from empirics.experiment import ExperimentError
from empirics.isotropic.layout import CODES, LANES

RATE, DECAY = 0.02, 0.01


def squared_norm(optimizer, dimension, start, steps=16_000, burn_in=4000, **options):
    """E r² over a group of independent runs of pure noise, begun near it, and its standard error."""
    runs = isotropic.simulate(
        dimension=dimension, optimizer=optimizer, steps=steps, burn_in=burn_in, lr=[RATE], weight_decay=[DECAY],
        initial_radius=start**0.5, seeds=range(LANES), snapshots=400, sigma=1e6, **options,
    ).dataset  # fmt: skip
    found = runs["radius_sq"].values
    assert abs(runs["balance"].values.mean() - 1) < 0.01
    return found.mean(), found.std(ddof=1) / LANES**0.5


def lags(weights):
    """E[sign(c_0) sign(c_t)] for c_t = sum_k weights[k] g_(t-k), by the arcsine law, weighed as by the decay."""
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    correlation = 2 / np.pi * np.arcsin(np.minimum(products / products[0], 1))
    return correlation[0] + 2 * (correlation * (1 - RATE * DECAY) ** np.arange(len(weights)))[1:].sum()


def balanced(D):
    """Squared norm at which w' = (1 - lr wd) w - lr u is stationary, exactly in the step."""
    return RATE * D / (DECAY * (2 - RATE * DECAY))


def test_signs_have_the_norm_of_the_dimension():
    found, error = squared_norm("signsgd", 100, balanced(100))
    assert abs(found - balanced(100)) < 4 * error + found / 100


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.99), (0.5, 0.5), (0.0, 0.9)])
def test_lion_has_the_norm_of_the_sum_over_its_lags(beta1, beta2):
    memory = beta1 * (1 - beta2) * beta2 ** np.arange(4000)
    wanted = balanced(100 * lags(np.r_[1 - beta1, memory]))
    found, error = squared_norm("lion", 100, wanted, momentum=beta1, beta2=beta2)
    assert abs(found - wanted) < 4 * error + found / 100


def test_the_sum_over_lion_s_lags_as_lr_wd_vanishes():
    products = lags(np.r_[0.1, 0.9 * 0.01 * 0.99 ** np.arange(4000)])
    assert abs(products / 45.927 - 1) < 0.025  # lr wd is 2e-4: 45.05
    assert products < 45.5


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("matrix", [[4, 5], [5, 4]])
def test_muon_without_momentum_has_the_norm_of_the_rank(matrix, scale):
    wanted = balanced(4 * scale**2)
    found, error = squared_norm("muon", 20, wanted, matrix=matrix, scale=scale, momentum=0.0)
    assert abs(found - wanted) < 4 * error + found / 20


def test_muon_has_the_norm_of_the_sum_over_its_lags():
    """By a plain loop over independent normal matrices; torch's momentum makes r² 25 times that of one step here."""
    rng, momentum, average, total = np.random.default_rng(0), 0.95, np.zeros((64, 4, 5)), np.zeros((64, 4, 5))
    for step in range(1500):
        fresh = rng.standard_normal(average.shape)
        average = momentum * average + (1 - momentum) * fresh
        left, _, right = np.linalg.svd(momentum * average + (1 - momentum) * fresh, full_matrices=False)
        # Over 1000 steps, of which the first are settled; the ends of the sum miss a per cent or two of the lags.
        total += left @ right if step >= 500 else 0
    D = (total**2).sum((1, 2)) / 1000
    found, error = squared_norm("muon", 20, balanced(D.mean()), matrix=[4, 5])
    assert 20 < D.mean() / 4 < 30
    assert abs(found - balanced(D.mean())) < 4 * np.hypot(error, balanced(D.std(ddof=1) / 8)) + 0.05 * found


def test_normalised_gradients_have_the_norm_of_one():
    found, _ = squared_norm("normalised-sgd", 7, balanced(1), steps=4000, burn_in=0)
    assert abs(found / balanced(1) - 1) < 1e-10


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_lars_has_its_norm(momentum):
    """r² = lr |g₁|/(2 wd), with the harmonic mean of |g₁|: it is in a denominator. Momentum makes lr lr/(1 - mu)."""
    size = 1e6 / np.mean(1 / np.sqrt(np.random.default_rng(0).chisquare(99, 100_000)))
    wanted = RATE * size / (2 * DECAY) / (1 - momentum)
    found, _ = squared_norm("lars", 100, wanted, momentum=momentum)
    assert abs(found / wanted - 1) < 0.01


def test_lamb_has_its_norm():
    """r = lr sqrt(d)/(2 wd), to first order in lr and 1/d."""
    found, _ = squared_norm("lamb", 100, (RATE * np.sqrt(100) / (2 * DECAY)) ** 2, momentum=0.0)
    assert abs(np.sqrt(found) / (RATE * np.sqrt(100) / (2 * DECAY)) - 1) < 0.02


def test_without_a_decay_the_norm_under_lars_drifts():
    """No step shrinks it: log r grows by log(1 + lr²)/2 per step, exactly, since the gradient is normal to w."""
    group = Group(6, 0.1, 0.0, optimizer=CODES["lars"], momentum=0.0)
    before = np.log(np.linalg.norm(group.weights, axis=0))
    group.advance(100)
    after = np.log(np.linalg.norm(group.weights, axis=0))
    assert np.allclose(after - before, 50 * np.log1p(0.01), rtol=1e-12)
    assert len(before) == LANES


REFUSED = [
    ("muons", "did you mean 'muon'"),
    ("signSGD", "did you mean 'signsgd'"),
    ("lion\nbeta2 = 1.0", "[training] beta2 = 1.0: must be a number, 0 or more and below 1"),
    ("lion\nmomentum = -0.1", "[training] momentum = -0.1"),
    ("muon", '[training] matrix = []: must be [rows, columns] with optimizer = "muon"'),
    ("muon\nmatrix = [3]", "[training] matrix = [3]: must be [rows, columns]"),
    ("muon\nmatrix = [3, 0]", "[training] matrix = [3, 0]: must be an integer, 1 or more"),
    ("muon\nmatrix = [3, 2]", "[training] matrix = [3, 2]: rows × columns must be [gas] dimension = 3"),
    ("muon\nmatrix = [3, 1]\nscale = 0", "[training] scale = 0"),
    ("lion\nmatrix = [3, 1]", '[training] matrix = [3, 1]: must be left out without optimizer = "muon"'),
    ("lamb", '[training] optimizer = "lamb": must be another one under fixed-sphere'),
    ("lars", '[training] optimizer = "lars": must be another one under fixed-sphere'),
    ("lars\nmomentum = 0.5", "another one under fixed-sphere"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_wrong_is_refused_and_named(text, message):
    name, *rest = text.split("\n")
    one = ('protocols = ["fixed-lr", "fixed-elr", "fixed-sphere"]', 'protocols = ["fixed-lr", "fixed-sphere"]')
    lines = "\n".join([f'burn_in = 500\noptimizer = "{name}"', *rest])
    with pytest.raises(ExperimentError) as refusal:
        small(one, ("burn_in = 500", lines), ("effective_lr = [0.01, 0.03]\n", "effective_lr = [0.01, 0.03]\n"))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        *[(name, {}) for name in ("signsgd", "lion", "normalised-sgd", "lars", "lamb")],
        ("muon", {"matrix": [4, 25]}),
        ("muon", {"matrix": [4, 25], "momentum": 0.0, "scale": 0.5}),
    ],
)
def test_runs_start_at_their_stationary_radius(optimizer, options):
    """By the closed formula of thermo_theory, whatever it takes."""
    runs = isotropic.simulate(
        dimension=100, optimizer=optimizer, steps=8000, burn_in=2000, lr=[RATE], weight_decay=[DECAY], seeds=range(8),
        snapshots=400, sigma=1e6, **options,
    ).dataset  # fmt: skip
    assert np.allclose(runs["radius_sq"].mean() / runs["initial_radius"] ** 2, 1, atol=0.06)


def test_lars_with_momentum_has_no_such_radius():
    one = ('protocols = ["fixed-lr", "fixed-elr", "fixed-sphere"]', 'protocols = "fixed-lr"')
    grids = [("effective_lr = [0.01, 0.03]\n", ""), ("radius = [0.5, 1.0]\n", "")]
    with pytest.raises(ExperimentError, match="must be numbers for LARS with momentum"):
        small(one, *grids, ("burn_in = 500", 'burn_in = 500\noptimizer = "lars"\nmomentum = 0.5'))


def test_scale_free_steps_have_no_fixed_elr():
    with pytest.raises(ExperimentError, match="at fixed ELR"):
        small(("burn_in = 500", 'burn_in = 500\noptimizer = "lion"'))
