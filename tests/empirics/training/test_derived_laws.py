"""Initial radii seed everything: from the derivations they have the bits of the laws as they were once typed."""

import numpy as np
import pytest

from empirics.training import laws

RNG = np.random.default_rng(1)
RATES, DECAYS, TRACES = (10 ** RNG.uniform(*span, 3000) for span in ((-8, 2), (-8, 0), (-4, 5)))


@pytest.mark.parametrize(("protocol", "power"), [("fixed-lr", 0.25), ("fixed-elr", 0.5)])
def test_radii_to_the_last_bit(protocol, power):
    for rate, decay, noise in zip(RATES.tolist(), DECAYS.tolist(), TRACES.tolist(), strict=True):
        assert laws.radius(protocol, rate, decay, noise) == (rate * noise / (2 * decay)) ** power


@pytest.mark.parametrize("adaptive", [False, True])
def test_temperatures_to_the_last_bit(adaptive):
    expected = 0.5 * RATES * np.sqrt(TRACES / 777) if adaptive else 0.5 * RATES * TRACES / 777
    np.testing.assert_array_equal(laws.temperature(RATES, TRACES, 777, adaptive), expected)
