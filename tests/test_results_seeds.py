"""Scripts of docs/results on seeds, epochs and gases of degree k, against plain simulations."""

# ruff: noqa: F811 - `script` is a fixture of another module

import numpy as np
import pytest
from test_results_scripts import script  # noqa: F401

from thermo_theory import derive


@pytest.mark.parametrize("moved", [0.004, 0.05, 0.3])
def test_the_share_that_epochs_leave_is_that_of_permuted_gradients(script, moved):
    """SGD on h x²/2 with the noise of 64 fixed samples in minibatches of 4, a new order in every epoch."""
    rng, samples, chains = np.random.default_rng(1), 64, 4000
    noise = rng.standard_normal(samples)
    noise -= noise.mean()
    x, found = np.zeros(chains), []
    for _ in range(round(4 / moved / 16) + 60):
        steps = rng.permuted(np.tile(noise, (chains, 1)), axis=1).reshape(chains, 16, 4).mean(2)
        for step in steps.T:
            x = (1 - moved) * x - step
            found.append(x.var())
    measured = np.mean(found[-16 * 50 :])
    independent = noise.var() / 4 / (2 * moved - moved**2)
    assert measured / independent == pytest.approx(script("epochs").share_left(moved, moved, 16, samples), rel=0.04)


def test_components_of_a_latin_square(script):
    """Heads differ by 0.3 and grids by 0.02; nothing else does."""
    seeds, rng, found = script("seeds"), np.random.default_rng(2), []
    square = [levels for levels, _ in seeds.variants()]
    for _ in range(200):
        head = 0.3 * rng.standard_normal(4)
        rows = [{"levels": levels, "x": [head[levels[0]] + 0.02 * rng.standard_normal()]} for levels in square]
        found.append(seeds.components(rows, "x"))
    covered = np.mean([one["head"].low <= 0.3 <= one["head"].high for one in found])
    assert covered > 0.88
    assert np.mean([one["rest"].low <= 0.02 <= one["rest"].high for one in found]) > 0.88
    assert np.mean([one["split"].low == 0 for one in found]) > 0.88
    assert np.sqrt(np.mean([one["head"].value ** 2 for one in found])) == pytest.approx(0.3, rel=0.15)


def test_the_square_has_every_pair_of_levels_once(script):
    levels, experiments = zip(*script("seeds").variants(), strict=True)
    assert len({one.name for one in experiments}) == 16
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert len({(of[one], of[other]) for of in levels}) == 16


@pytest.mark.parametrize("degree", [0.0, 0.5, 1.0])
def test_copies_settle_at_the_derived_radius_and_energy(script, degree):
    homogeneous_gas = script("homogeneous_gas")
    eta, lam, d = 0.01, 0.02, homogeneous_gas.DIMENSION
    size, gain = homogeneous_gas._mean_power(2 * degree), homogeneous_gas._mean_power(degree - 1)
    gain *= 1 + (degree - 1) / (d - 1)
    radius = float(derive("homogeneous-radius").claim(eta=eta, lam=lam, D=size, k=degree))
    copies = homogeneous_gas.Copies.near_the_minimum(degree, d, 400, radius, [3])
    losses = []
    for _ in range(40):
        copies.advance(eta, lam, 150)
        losses.append(copies.losses().mean())
    heat = eta / radius ** (1 + degree) * size / (2 * gain * (d - 1))
    assert np.log(copies.radius).mean() == pytest.approx(np.log(radius), abs=0.01)
    assert np.mean(losses[10:]) / ((d - 1) / 2 * heat) == pytest.approx(1, abs=0.05)
