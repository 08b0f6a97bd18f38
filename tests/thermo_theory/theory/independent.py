"""Which test checks a derivation against something that is not sympy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from thermo_theory import FixedLR, derive
from thermo_theory.engine.derivation import registered
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import World

Test = TypeVar("Test", bound=Callable[..., None])

#: Which test checks a derivation: by its title, or by its name for all protocols.
CHECKED = {
    "vmf-energy": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "vmf-entropy": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "vmf-heat-capacity": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "adiabatic-index": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "homogeneous-slopes": "test_homogeneous.test_slopes_of_the_entropy",
    "radius, fixed LR, normalised SGD": "test_homogeneous.test_radius",
    "homogeneous-radius": "test_homogeneous.test_radius",
    "coupled-homogeneous-radius": "test_homogeneous.test_radius",
    "homogeneous-temperature": "test_homogeneous.test_equipartition_in_a_well",
    "homogeneous-gas": "test_homogeneous.test_equipartition_in_a_well",
    "coupled-homogeneous-gas": "test_homogeneous.test_equipartition_in_a_well",
    "trust-ratio-radius": "test_homogeneous.test_norm_of_lars",
    "radius, fixed LR, signSGD": "test_homogeneous.test_signs_of_running_means",
    "radius, fixed LR, Lion": "test_homogeneous.test_radius_and_angle_of_lion",
    "radius, fixed LR, Muon": "test_homogeneous.test_radius_of_muon",
    "radius, fixed LR, LAMB": "test_homogeneous.test_norm_of_lamb",
    "radius, fixed LR, LARS": "test_homogeneous.test_norm_of_lars",
}


def checks(*titles: str) -> Callable[[Test], Test]:
    """Enter a test as the check of derivations."""

    def enter(test: Test) -> Test:
        CHECKED.update(dict.fromkeys(titles, f"{test.__module__}.{test.__name__}"))
        return test

    return enter


def value(name: str, protocol: Any, meanings: dict[Any, Any]) -> Any:
    """Right-hand side of a claim with vectors, matrices or functions in it."""
    return evaluate(derive(name, protocol).claim.equation.rhs, World(meanings, "test"))


def derived(name: str) -> None:
    if name not in {key for key, _ in registered()}:
        pytest.skip(f"{name} is not derived yet")


def array(matrix: Any) -> np.ndarray:
    return np.array(matrix.tolist(), dtype=float)


MOMENTUM, NESTEROV, ADAMW, ADAM_L2 = (FixedLR.with_optimizer(n) for n in ("momentum", "nesterov", "adamw", "adam-l2"))


def chain_of_norms(
    d: int, eta: float, lam: float, sigma: float, rng: np.random.Generator, runs: int = 4000, steps: int = 1500
) -> tuple[np.ndarray, float, float]:
    """r^2 under pure isotropic noise is a chain of its own: its samples, mean, and the mean of sigma^2/r^2."""
    y = np.full(runs, sigma * math.sqrt(eta * (d - 1) / lam))
    kept, sizes, heats, burn = [], 0.0, 0.0, round(2.5 / (eta * lam))  # ten relaxation times
    for step in range(burn + steps):
        y = (1 - eta * lam) ** 2 * y + eta**2 * sigma**2 * rng.chisquare(d - 1, runs) / y
        if step >= burn:
            sizes, heats = sizes + y.mean(), heats + (sigma**2 / y).mean()
            if (step - burn) % 50 == 0:
                kept.append(y)
    return np.array(kept), sizes / steps, heats / steps
