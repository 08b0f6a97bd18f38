"""How far the energy lags, against the diffusion itself by quadrature, and against a gas that is heated and cooled."""

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid

from thermo_theory import vmf
from thermo_theory.relations.following import following, slowest, weighted_time
from thermo_theory.relations.paths import forgetting, law
from thermo_theory.symbols import reduced


def response(d, heat, points=20_001):
    """C_V tau times eta_eff: the covariance of the loss with itself later, integrated over time, over T^2.

    The equation ``(rho f')' = -rho (L - U)/(eta_eff T)`` of what integrates the loss is solved by one quadrature.
    """
    angle = np.linspace(0, np.pi, points)[1:-1]
    log_density = np.cos(angle) / heat + (d - 2) * np.log(np.sin(angle))
    density = np.exp(log_density - log_density.max())
    density /= trapezoid(density, angle)
    loss = 1 - np.cos(angle)
    away = density * (loss - trapezoid(density * loss, angle))
    from_below = cumulative_trapezoid(away, angle, initial=0)
    from_above = -cumulative_trapezoid(away[::-1], angle, initial=0)[::-1]
    flow = np.where(angle < angle[density.argmax()], from_below, from_above)  # whichever has not cancelled
    seen = density > 1e-200
    return trapezoid(np.where(seen, flow**2 / np.where(seen, density, 1), 0), angle) / heat**3


def weighted(d, y):
    """(C_V/R) tau over the time of a free direction, 1/(eta_eff (d-1) T)."""
    return 2 * (y / d) * response(d, y / d)


@pytest.mark.parametrize("y", [0.05, 0.5, 1.1547, 3.0, 12.0])
def test_many_dimensions_are_the_limit_of_the_diffusion(y):
    theory = float(weighted_time().subs(reduced, y))
    off = [abs(weighted(d, y) / theory - 1) for d in (100, 1000)]
    assert off[1] < 0.01
    assert off[1] < 0.2 * off[0] + 1e-4  # as 1/d


def test_no_well_follows_more_slowly_than_a_quarter_of_the_free_time():
    tops = {d: max(weighted(d, y) for y in np.geomspace(0.1, 10, 41)) for d in (3, 10, 50, 1000)}
    assert tops[1000] == pytest.approx(float(slowest()), rel=3e-3)
    assert tops == pytest.approx({3: 0.485, 10: 0.291, 50: 0.257, 1000: 0.2503}, rel=5e-3)  # as the docstring says


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
def test_it_is_a_quarter_for_every_optimiser(name):
    of = law("fixed-lr", name)
    given = {"eta": 0.1, "lam": 0.01, "beta": 0.9}
    one, free = (formula(**{k: given[k] for k in formula.arguments}) for formula in (following(of), forgetting(of)))
    assert one == pytest.approx(free / 4)


@pytest.mark.long
def test_a_gas_that_is_heated_and_one_that_is_cooled_lag_by_it():
    """Steps of noise on the sphere, T as exp(+-nu t): half the difference of both losses at the same T."""
    d, copies, middle, steps, nu = 30, 6000, 0.02, 80, 0.004
    random = np.random.default_rng(0)
    losses = []
    for sign in (1, -1):
        w = np.zeros((copies, d))
        w[:, 0] = 1
        for time in range(-steps - 60, 1):
            rate = 2 * middle * np.exp(sign * nu * max(time, -steps))  # T = rate/2 at sigma = 1
            push = random.standard_normal(w.shape)
            push[:, 0] -= 1
            w -= rate * (push - (push * w).sum(1, keepdims=True) * w)
            w /= np.linalg.norm(w, axis=1, keepdims=True)
        losses.append(1 - w[:, 0].mean())
    lag = (losses[1] - losses[0]) / 2
    expected = nu * middle * response(d, middle) / (2 * middle)
    error = np.sqrt(vmf.heat_capacity(d=d, T=middle)) * middle / np.sqrt(2 * copies)
    assert lag > 8 * error
    assert lag == pytest.approx(expected, abs=4 * error + 0.05 * expected)
