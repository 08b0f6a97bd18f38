"""The entropy by thermodynamic integration: of gases that are known exactly, with its interval."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import PchipInterpolator
from scipy.stats import sem
from scipy.stats import t as student

from empirics.measure import entropy_by_integration
from thermo_theory.numeric.vmf import entropy as exact_entropy
from thermo_theory.numeric.vmf import free_energy


def test_integration_of_the_von_mises_fisher_gas():
    d = 20
    T = np.geomspace(1e-3, 0.05, 12)
    exact = np.array([exact_entropy(d=d, T=t) for t in T])
    U = np.array([t * (exact_entropy(d=d, T=t) + free_energy(d=d, T=t) / t) for t in T])
    found = entropy_by_integration(T, U)
    np.testing.assert_allclose(found.value, exact - exact[0], atol=2e-3)
    assert np.isnan(found.low).all()
    assert (np.abs(found.value - (exact - exact[0])) <= 3 * found.interpolation + 1e-3).all()
    shifted = entropy_by_integration(T[::-1], 7 + U[::-1])
    np.testing.assert_allclose(shifted.value[-1], exact[0] - exact[-1], atol=2e-3)


def test_integration_with_volume_is_the_entropy_of_the_ideal_gas_whatever_the_path():
    R = 30.0
    for T, V in (
        (np.full(5, 0.01), np.geomspace(1, 4, 5)),
        (np.geomspace(0.01, 0.05, 6), np.geomspace(2, 1, 6)),
        (0.01 * np.array([1.0, 2, 4, 3, 2]), np.array([1.0, 1.5, 2, 3, 4])),
    ):
        found = entropy_by_integration(T, R * T, p=R * T / V, V=V)
        np.testing.assert_allclose(found.value, R * np.log(T / T[0]) + R * np.log(V / V[0]), rtol=1e-6, atol=1e-6)


def test_intervals_of_the_integration_cover():
    rng, T = np.random.default_rng(16), np.geomspace(1e-3, 1e-2, 6)
    inside, by_replicates = 0, 0
    exact = 50 * np.log(10)
    for _ in range(100):
        noise = 0.05 * T * 50
        found = entropy_by_integration(T, 50 * T + noise * rng.standard_normal(6), U_error=noise)
        inside += found.low[-1] <= exact <= found.high[-1]
        several = 50 * T + noise * rng.standard_normal((5, 6))
        found = entropy_by_integration(np.broadcast_to(T, (5, 6)), several)
        by_replicates += found.low[-1] <= exact <= found.high[-1]
    assert 88 <= inside <= 99
    assert 88 <= by_replicates <= 99


def test_replicates_are_integrated_one_by_one_and_another_interpolation_is_told_apart():
    T = np.geomspace(1e-3, 1e-2, 5)
    U = 50 * T * (1 + 0.05 * np.random.default_rng(28).standard_normal((3, 5)))
    each = [entropy_by_integration(T, one) for one in U]
    last = np.array([one.value[-1] for one in each])
    found = entropy_by_integration(np.broadcast_to(T, (3, 5)), U)
    expected = (last.mean(), *student.interval(0.95, 2, last.mean(), sem(last)))
    assert (found.value[-1], found.low[-1], found.high[-1]) == pytest.approx(expected)
    heat, loss = (PchipInterpolator(np.log(T), values) for values in (T, U[0]))
    monotone = quad(lambda s: loss(s, 1) / heat(s), *np.log(T[[0, -1]]), points=np.log(T[1:-1]), limit=200)[0]
    assert each[0].interpolation[-1] == pytest.approx(abs(monotone - last[0]), rel=1e-4)
    copies = entropy_by_integration([T, T], [U[0], U[0] + 7])
    np.testing.assert_allclose(copies.interpolation, each[0].interpolation, atol=1e-9)


def test_an_error_of_the_temperature_counts():
    T = np.geomspace(1e-3, 1e-2, 6)
    found = entropy_by_integration(T, 50 * T, T_error=0.01 * T)
    # By hand, U fixed: S = R log T for the true T, and the error of each state's T enters through its own interval.
    rng = np.random.default_rng(17)
    scatter = np.std(
        [entropy_by_integration(T * (1 + 0.01 * rng.standard_normal(6)), 50 * T).value[-1] for _ in range(400)]
    )
    assert (found.high - found.value)[-1] / 1.96 == pytest.approx(scatter, rel=0.12)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2, 3], [1, 2, 3]), {}, "at least 4 states"),
        (([1, 2, 3, 4], [1, 2, 3]), {}, "U must have the shape of T"),
        (([1, 2, 3, -4], [1, 2, 3, 4]), {}, "T must be finite and above 0; -4.0 is not"),
        (([1, 2, 2, 4], [1, 2, 3, 4]), {}, "T must rise or fall"),
        (([1, 2, 3, 4], [1, 2, 3, np.nan]), {}, "U must be finite; nan is not"),
        (([1, 2, 3, 4], [1, 2, 3, 4]), {"p": [1, 2, 3, 4]}, "p and V must be given together"),
        (([1, 2, 2, 4], [1, 2, 3, 4]), {"p": [1] * 4, "V": [1] * 4}, "the same"),
        (([[1, 2, 3, 4]] * 2, [[1, 2, 3, 4]] * 2), {"U_error": 1.0}, "give errors or replicates, not both"),
    ],
)
def test_bad_states(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        entropy_by_integration(*arguments, **options)
