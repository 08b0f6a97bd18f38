"""Other optimisers, against updates written out as torch has them (no torch here) and checked numbers."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from thermo_theory import FixedELR, FixedLR, Formula, StepFalse, derive, symbols
from thermo_theory.engine.evaluate import holds
from thermo_theory.protocols import OPTIMIZERS
from thermo_theory.symbols.vectors import Dot, Expectation, Tr
from thermo_theory.theory.optimizers import LINEAR
from thermo_theory.worlds.optimizers import gas_world


def gas(rng: np.random.Generator, w: np.ndarray, sigma: float) -> np.ndarray:
    """Isotropic gradient noise along the sphere, one row per run."""
    norm = np.linalg.norm(w, axis=1, keepdims=True)
    noise, u = sigma * rng.standard_normal(w.shape), w / norm
    return (noise - u * (u * noise).sum(1, keepdims=True)) / norm


@pytest.mark.parametrize("d", [3, 50])
def test_radius_of_momentum(d: int) -> None:
    """Mean r^2 of 64 runs within 3 %, more than 5 standard errors: a false alarm in fewer than a million."""
    eta, lam, beta, sigma = 0.02, 0.1, 0.5, 1.0
    r = FixedLR.with_optimizer("momentum").radius(eta=eta, lam=lam, beta=beta, sigma=sigma, d=d)
    rng = np.random.default_rng(d)
    w = rng.standard_normal((64, d))
    w *= r / np.linalg.norm(w, axis=1, keepdims=True)
    v, squares = np.zeros_like(w), []
    for _ in range(4000):
        v = beta * v + gas(rng, w, sigma) + lam * w
        w = w - eta * v
        squares.append((w**2).sum(1).mean())
    assert np.mean(squares[500:]) == pytest.approx(r**2, rel=0.03)


def test_radius_of_adamw() -> None:
    """Adam's moments as torch has them, without bias correction; eta lambda = 1e-3, so within 2 %."""
    eta, lam, beta1, beta2, d = 0.01, 0.1, 0.5, 0.999, 50
    r = FixedLR.with_optimizer("adamw").radius(eta=eta, lam=lam, d=d)
    rng = np.random.default_rng(1)
    w = rng.standard_normal((32, d))
    w *= r / np.linalg.norm(w, axis=1, keepdims=True)
    m, v, squares = np.zeros_like(w), np.full_like(w, (d - 1) / d / r**2), []
    for _ in range(6000):
        g = gas(rng, w, 1.0)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w * (1 - eta * lam) - eta * m / np.sqrt(v)
        squares.append((w**2).sum(1).mean())
    assert np.mean(squares[2000:]) == pytest.approx(r**2, rel=0.02)


@pytest.mark.parametrize("coupled", [False, True])
def test_adam_scales_bit_for_bit(coupled: bool) -> None:
    """With eps = 0 and c = 2 the rescaled run has the same bits."""
    ends = []
    for c in (1.0, 2.0):
        eta, lam = c * 0.01, 0.1 / (c**2 if coupled else c)
        rng = np.random.default_rng(3)
        w = c * rng.standard_normal((1, 20))
        m = v = np.zeros_like(w)
        for k in range(1, 101):
            g = gas(rng, w, 1.0) + (lam * w if coupled else 0)
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
            step = (m / (1 - 0.9**k)) / np.sqrt(v / (1 - 0.99**k))
            w = (w if coupled else w * (1 - eta * lam)) - eta * step
        ends.append(w / c)
    np.testing.assert_array_equal(*ends)


def test_checked_numbers() -> None:
    momentum, adamw = FixedLR.with_optimizer("momentum"), FixedLR.with_optimizer("adamw")
    hot = FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101)
    assert momentum.temperature(eta=0.01, lam=1e-3, sigma=2.0, d=101, beta=0.9) == pytest.approx(hot, rel=1e-9)
    cold = adamw.temperature(eta=0.01, lam=0.1, sigma=2.0, d=101)
    assert cold == pytest.approx(2.0 * (0.001 / 200) ** 0.5, rel=1e-9)
    assert derive("temperature", adamw).claim.equation == adamw.temperature.equation


@pytest.mark.parametrize("nesterov", [0.0, 1.0])
def test_temperature_is_equipartition(nesterov: float) -> None:
    """T = h E[x^2] in a well of curvature h at the weights, from the covariance of (x, v) by a linear system."""
    eta, lam, beta, sigma, d, h = 1e-6, 0.1, 0.6, 1.3, 9, 2.0
    how = FixedLR.with_optimizer("nesterov" if nesterov else "momentum")
    values = {"eta": eta, "lam": lam, "beta": beta, "sigma": sigma, "d": d}
    held, pull = np.array([h, beta]), np.array([h, 0.0])
    after = np.array([np.array([1.0, 0.0]) - eta * (pull + beta * held if nesterov else held), held])
    kick = np.array([-eta * (1 + nesterov * beta), 1.0]) * sigma / how.radius(**values)
    moments = np.linalg.solve(np.eye(4) - np.kron(after, after), np.outer(kick, kick).ravel())
    assert h * moments[0] == pytest.approx(how.temperature(**values), rel=1e-4)


@pytest.mark.parametrize("rule", ["sgd", *LINEAR])
def test_angle_and_chord_belong_to_one_circle(rule: str) -> None:
    """The angle is computed from its chord, to all digits however small; its equation has the cosine."""
    how = FixedLR if rule == "sgd" else FixedLR.with_optimizer(rule)
    known = {"eta": np.array([1e-9, 0.5, 1.0]), "lam": 0.3, "beta": 0.5, "beta1": 0.5, "d": 1001, "sigma": 20.0}
    values = {name: known[name] for name in how.angle.arguments}
    angle, chord = how.angle(**values), how.chord(**values)
    np.testing.assert_allclose(2 * np.sin(angle / 2), chord, rtol=1e-12)
    np.testing.assert_allclose(angle[0] / chord[0], 1.0, rtol=1e-8)
    printed = Formula(how.angle.equation)(
        **{name: value for name, value in values.items() if name != "eta"}, eta=known["eta"][1:]
    )
    np.testing.assert_allclose(printed, angle[1:], rtol=1e-12)
    with pytest.warns(DeprecationWarning, match="rotation is thermo_theory.Protocol.chord"):
        assert how.rotation.equation == how.chord.equation


def test_older_names_of_the_chord() -> None:
    with pytest.warns(DeprecationWarning, match="symbols.rotation is thermo_theory.symbols.chord"):
        assert symbols.rotation is symbols.chord
    with pytest.warns(DeprecationWarning, match="exact-rotation is chord") as caught:
        assert derive("exact-rotation", "fixed-lr/adamw") is derive("chord", "fixed-lr/adamw")
    assert caught[0].filename == __file__  # the warning is to who asked
    with pytest.raises(AttributeError, match="has no attribute 'turning'"):
        symbols.turning  # noqa: B018
    for name in ("angle", "chord"):
        with pytest.raises(LookupError, match=f"'{name}' is derived for: fixed LR;"):
            getattr(FixedELR, name)


def test_checked_angles() -> None:
    """By hand: arccos(0.7); momentum 1 - 0.3/1.5 = 4/5; AdamW (0.7 + 0.5)/(1 + 0.35) = 8/9."""
    momentum, adamw = FixedLR.with_optimizer("momentum"), FixedLR.with_optimizer("adamw")
    assert FixedLR.angle(eta=1.0, lam=0.3) == pytest.approx(math.acos(0.7), rel=1e-14)
    assert FixedLR.angle(eta=1.0, lam=1.9) == pytest.approx(math.acos(-0.9), rel=1e-14)
    assert momentum.angle(eta=1.0, lam=0.3, beta=0.5) == pytest.approx(math.acos(4 / 5), rel=1e-14)
    assert adamw.angle(eta=1.0, lam=0.3, beta1=0.5) == pytest.approx(math.acos(8 / 9), rel=1e-14)


#: What the assumptions about gradients say.
SAID = {
    "scale invariance": symbols.eq(Dot(symbols.g, symbols.w), 0),
    "uncorrelated gradients": symbols.eq(Expectation(Dot(symbols.g, symbols.buffer)), 0),
    "pure noise": symbols.eq(
        symbols.adam_unit**2 * Expectation(Dot(symbols.g, symbols.g)), Expectation(Tr(symbols.Sigma_w))
    ),
}


@pytest.mark.parametrize("rule", LINEAR)
def test_a_mean_gradient_may_be_uncorrelated_and_noise_correlated(rule: str) -> None:
    """The gases break each assumption about gradients alone, and their second moments stay what they are."""
    still = symbols.eq(*(Expectation(Dot(w, w)) for w in (symbols.w_next, symbols.w)))
    for granted in map(set, product(*((name, "stationarity") for name in SAID))):
        for number in range(3):
            world = gas_world(rule)(number, granted | {"stationarity"})
            assert {name for name in SAID if holds(SAID[name], world).holds} == granted & set(SAID), world
            assert holds(still, world).holds, (granted, number)


@pytest.mark.parametrize("rule", LINEAR)
def test_the_norm_balance_takes_no_pure_noise(rule: str) -> None:
    """For any mean gradient, as long as it does not go along the buffer."""
    balance = derive("norm-balance", FixedLR.with_optimizer(rule))
    assert set(balance.assumptions) == {"scale invariance", "uncorrelated gradients", "stationarity"}
    assert balance.needs() == (frozenset(balance.assumptions),)


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
def test_planted_the_noise_and_the_norm_are_not_independent(rule: str) -> None:
    found = derive("ideal-gas-law", FixedLR.with_optimizer(rule))
    mean = Expectation(symbols.tr_Sigma / symbols.r**2)
    (step,) = [step for step in found.steps if step.equation.rhs == mean and "small steps" not in step.rests_on]
    wrong = symbols.eq(step.equation.lhs, Expectation(symbols.tr_Sigma) * Expectation(symbols.r**-2))
    with pytest.raises(StepFalse, match=f"step {step.number}"):
        found.replace(step.number - 1, wrong).verify()


def test_names() -> None:
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        FixedLR.with_optimizer("adam")
    with pytest.raises(ValueError, match="fixed LR"):
        FixedELR.with_optimizer("momentum")
    assert len({str(FixedLR.with_optimizer(name)) for name in OPTIMIZERS}) == len(OPTIMIZERS) == 10
