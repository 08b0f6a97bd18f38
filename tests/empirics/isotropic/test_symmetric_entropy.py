import numpy as np
import pytest

from empirics.isotropic.entropy import symmetric_entropy
from thermo_theory import vmf


def losses(dimension, temperature, count, seed=5):
    """Independent samples of 1 − mu.w of the von Mises-Fisher law, by rejection (Wood 1994)."""
    rng, kappa, rest = np.random.default_rng(seed), 1 / temperature, dimension - 1
    b = rest / (2 * kappa + np.hypot(2 * kappa, rest))
    x = (1 - b) / (1 + b)
    level = kappa * x + rest * np.log1p(-(x**2))
    found = np.empty(0)
    while len(found) < count:
        z = rng.beta(rest / 2, rest / 2, count)
        w = (1 - (1 + b) * z) / (1 - (1 - b) * z)
        keep = kappa * w + rest * np.log1p(-x * w) - level >= np.log(rng.random(count))
        found = np.concatenate([found, (2 * b * z / (1 - (1 - b) * z))[keep]])
    return found[:count]


CASES = [(2, 1e-3), (2, 0.3), (2, 10), (3, 1e-3), (3, 0.1), (3, 1.0), (4, 0.01), (20, 0.01), (20, 1.0)]
CASES += [(200, 1e-3), (1000, 1e-4), (1000, 1e-2), (43_692, 1e-6), (43_692, 1e-4)]


@pytest.mark.parametrize(("dimension", "temperature"), CASES)
def test_against_the_exact_entropy(dimension, temperature):
    exact = vmf.entropy(d=dimension, T=temperature)
    found = symmetric_entropy(losses(dimension, temperature, 8000), dimension, 20)
    assert abs(found.value - exact) < 4.5 * found.error
    # 8,000 independent samples: the spread of log density is at most sqrt(R), here with 20 blocks' own uncertainty.
    assert found.error < 2 * np.sqrt((dimension - 1) / 2 / 8000)


def test_the_error_bar_is_honest():
    found = [symmetric_entropy(losses(20, 0.01, 2000, seed), 20, 20) for seed in range(60)]
    off = np.array([(one.value - vmf.entropy(d=20, T=0.01)) / one.error for one in found])
    assert 0.75 < off.std() < 1.35
    assert abs(off.mean()) < 0.55


def test_the_error_bar_is_that_of_correlated_samples():
    """Every sample stands there ten times in turn: the error is that of a tenth as many."""
    found = [symmetric_entropy(np.repeat(losses(20, 0.01, 400, seed), 10), 20, 20) for seed in range(60)]
    off = np.array([(one.value - vmf.entropy(d=20, T=0.01)) / one.error for one in found])
    assert 0.75 < off.std() < 1.35


def test_few_samples_are_without_bias():
    """The series of a density has noise in its coefficients, which lowers the entropy by half their variance."""
    found = [symmetric_entropy(losses(3, 0.1, 200, seed), 3, 20).value for seed in range(400)]
    assert abs(np.mean(found) - vmf.entropy(d=3, T=0.1)) < 0.01


def test_no_form_of_the_density_is_assumed():
    """Two rings on the sphere in three dimensions: nothing like a von Mises-Fisher law."""
    rng = np.random.default_rng(0)
    centre = np.where(rng.random(20_000) < 0.5, 0.5, 1.5)
    found = symmetric_entropy(centre + rng.uniform(-0.5, 0.5, 20_000), 3, 20)
    assert abs(found.value - np.log(4 * np.pi)) < 4.5 * found.error + 1e-3  # together they are the uniform law
    rings = rng.choice([0.5, 1.5], 20_000) + rng.normal(0, 0.1, 20_000)
    exact = np.log(2 * np.pi) + np.log(2) + 0.5 * np.log(2 * np.pi * np.e * 0.1**2)
    assert abs(symmetric_entropy(rings, 3, 20).value - exact) < 0.05


@pytest.mark.parametrize("bad", [[-1e-9, 0.5], [0.5, 2.1], [0.3, 0.3]])
def test_impossible_losses_are_refused(bad):
    with pytest.raises(ValueError, match="losses"):
        symmetric_entropy(np.repeat(bad, 10), 3, 10)
