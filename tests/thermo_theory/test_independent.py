"""Every physical claim against something that is not sympy: the process itself, quadrature, linear algebra.

Each test says which derivations it checks (`checks`); the last one fails if a physics derivation has none.
Simulations are seeded. Their tolerances are the sum of what finite steps change (of order eta_eff and eta lambda, at
most 2 %) and four standard errors; where a claim is exact, or steps are tiny, they are far tighter.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from gas_steps import Gas, temperature_of
from numpy.polynomial.legendre import leggauss
from scipy import linalg, stats
from scipy.integrate import quad

from thermo_theory import FixedELR, FixedLR, FixedSphere, derivations, derive
from thermo_theory import symbols as s
from thermo_theory.derivation import _REGISTRY
from thermo_theory.vectors import Expectation, Quad
from thermo_theory.worlds.evaluate import World, evaluate
from thermo_theory.worlds.thermodynamics import Probability, Stationary, n

Test = TypeVar("Test", bound=Callable[..., None])

#: Which test checks a derivation: by its title, or by its name for all protocols.
CHECKED = {
    "vmf-energy": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "vmf-entropy": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "vmf-heat-capacity": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
    "adiabatic-index": "test_vmf_numeric.test_every_quantity_against_bessel_functions",
}


def checks(*titles: str) -> Callable[[Test], Test]:
    """Enter a test as the check of derivations."""

    def enter(test: Test) -> Test:
        CHECKED.update(dict.fromkeys(titles, f"test_independent.{test.__name__}"))
        return test

    return enter


def value(name: str, protocol: Any, meanings: dict[Any, Any]) -> Any:
    """Right-hand side of a claim with vectors, matrices or functions in it."""
    return evaluate(derive(name, protocol).claim.equation.rhs, World(meanings, "test"))


def registered(name: str) -> None:
    if name not in {key for key, _ in _REGISTRY}:
        pytest.skip(f"{name} is not derived yet")


def array(matrix: Any) -> np.ndarray:
    return np.array(matrix.tolist(), dtype=float)


MOMENTUM, NESTEROV, ADAMW, ADAM_L2 = (FixedLR.with_optimizer(n) for n in ("momentum", "nesterov", "adamw", "adam-l2"))


# One step ----------------------------------------------------------------------------------------


def spread(root: np.ndarray) -> np.ndarray:
    """Equally likely vectors with mean 0 and covariance ``root root^T``."""
    return np.concatenate([root.T, -root.T]) * np.sqrt(root.shape[1])


@checks("ito-radius", "direction-diffusion")
def test_moments_of_one_small_step():
    d, eta, lam, r = 5, 1e-6, 3e-6, 1.7
    rng = np.random.default_rng(1)
    u = rng.standard_normal(d)
    u /= np.linalg.norm(u)
    root = (np.eye(d) - np.outer(u, u)) @ rng.standard_normal((d, d))
    pull = (np.eye(d) - np.outer(u, u)) @ rng.standard_normal(d) * 1e-4
    sigma = root @ root.T
    noise = spread(root)
    for protocol in (FixedLR, FixedELR, FixedSphere):
        decay = 0.0 if protocol is FixedSphere else lam
        rate = eta * r**2 if protocol is FixedELR else eta
        moved = r * u - rate * ((pull + noise) / r + decay * r * u)
        grown = (moved**2).sum(1).mean() - r**2
        names = {"eta": eta, "eta_eff": eta, "lam": lam, "r": r, "tr_Sigma": np.trace(sigma)}
        claim = derive("ito-radius", protocol).claim.equation.rhs
        claimed = float(claim.subs({x: names[s.glossary[x].argument] for x in claim.free_symbols}))
        assert grown == pytest.approx(claimed, rel=1e-4)
        turned = moved / np.linalg.norm(moved, axis=1, keepdims=True) - u
        eta_eff = rate / r**2
        claimed = value("direction-diffusion", None, {s.Sigma: mp.matrix(sigma.tolist()), s.eta_eff: eta_eff})
        assert np.allclose(turned.T @ turned / len(turned), array(claimed), rtol=1e-3, atol=1e-4 * eta_eff**2)


@checks("stationary-distribution", "temperature, fixed sphere", "temperature, fixed ELR", "temperature, fixed LR")
def test_the_claimed_density_has_no_flux():
    """The flux ``rho b - div(D rho)/2`` along the meridians vanishes at the derived temperature and at no other."""
    eta_eff, sigma, lam, d = 0.3, 0.8, 0.02, 5
    slope = derive("stationary-distribution").claim.equation.rhs.coeff(s.grad_L_unit)
    T = -1 / float(slope.subs({s.eta_eff: eta_eff, s.sigma: sigma}))
    assert FixedELR.temperature(eta_eff=eta_eff, sigma=sigma) == pytest.approx(T, rel=1e-12)
    assert FixedSphere.temperature(eta=eta_eff * 4, r=2.0, sigma=sigma) == pytest.approx(T, rel=1e-12)
    r = FixedELR.radius(d=d, eta_eff=eta_eff, lam=lam, sigma=sigma)
    assert FixedLR.temperature(eta=eta_eff * r**2, lam=lam, sigma=sigma, d=d) == pytest.approx(T, rel=1e-12)
    angle = np.linspace(0.3, 2.8, 9)

    def flux(T: float) -> np.ndarray:
        # The angle drifts by -eta_eff sin a + eta_eff^2 sigma^2 (d - 2)/2 cot a and spreads by eta_eff^2 sigma^2.
        def density(a: np.ndarray) -> np.ndarray:
            return np.exp(np.cos(a) / T) * np.sin(a) ** (d - 2)

        drift = -eta_eff * np.sin(angle) + eta_eff**2 * sigma**2 * (d - 2) / 2 / np.tan(angle)
        slope = (density(angle + 1e-5) - density(angle - 1e-5)) / 2e-5
        return (drift * density(angle) - eta_eff**2 * sigma**2 / 2 * slope) / density(angle)

    assert np.abs(flux(T)).max() < 1e-6 * np.abs(flux(1.1 * T)).max()


@checks("jastrzebski-2017")
def test_noise_of_batches():
    """All batches of two from five examples, drawn with replacement: their variance, and the temperature from it."""
    examples = np.array([1.0, -2.0, 0.5, 3.0, -2.5])
    batches = (examples[:, None] + examples[None]).ravel() / 2
    eta, r = 0.1, 1.3
    claimed = derive("jastrzebski-2017").claim(B=2, eta=eta, r=r, sigma1=examples.std())
    assert claimed == pytest.approx(FixedSphere.temperature(eta=eta, r=r, sigma=batches.std()), rel=1e-12)


# Simulated gases ---------------------------------------------------------------------------------

SIGMA, D = 3.0, 8


@cache
def simulated(rule: str, isotropic: bool = True, pull: float = 1.0) -> tuple[Gas, dict[str, float]]:
    """A gas at an effective learning rate of 0.01, started where the theory does not say it stays."""
    rate, decay, beta, r = 0.01, 0.02, 0.0, 2.0
    if rule == "fixed-sphere":
        decay = 0.0
    if rule == "fixed-lr":
        rate, r = 0.05, 2.3
    if rule in ("momentum", "nesterov"):
        rate, beta, r = 0.025, 0.5, 2.3
    if rule == "adamw":
        rate, beta, decay, r = 0.012, 0.5, 0.2, 0.5
    if rule == "adam-l2":
        rate, beta, decay, r = 0.02, 0.5, 0.3, 1.0
    stretch = 1.0 if isotropic else np.linspace(0.5, 1.5, D)
    gas = Gas(rule, D, rate, decay, SIGMA, beta, pull, r, runs=600, seed=len(rule), stretch=stretch)
    return gas, gas.run(1500, 3000)


def arguments(gas: Gas, *names: str) -> dict[str, float]:
    known = {"eta": gas.rate, "eta_eff": gas.rate, "lam": gas.decay, "sigma": gas.sigma, "d": gas.d}
    return {name: {**known, "beta": gas.beta, "beta1": gas.beta, "r": gas.radius}[name] for name in names}


RULES = {
    "fixed-sphere": FixedSphere,
    "fixed-elr": FixedELR,
    "fixed-lr": FixedLR,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "adamw": ADAMW,
    "adam-l2": ADAM_L2,
}


@checks(
    "radius",
    "temperature",
    "momentum-temperature",
    "adamw-radius",
)
@pytest.mark.parametrize("rule", RULES)
def test_radius_and_temperature_of_the_process(rule):
    gas, means = simulated(rule)
    protocol = RULES[rule]
    if rule != "fixed-sphere":
        claimed = protocol.radius(**arguments(gas, *protocol.radius.arguments))
        assert math.sqrt(means["square"]) == pytest.approx(claimed, rel=0.02)
    T = protocol.temperature(**arguments(gas, *protocol.temperature.arguments))
    assert temperature_of(gas.d, means["cosine"]) == pytest.approx(T, rel=0.04)
    if rule == "momentum":
        assert derive("momentum-temperature").claim(**arguments(gas, "beta", "d", "eta", "lam", "sigma")) == T
    if rule == "adamw":
        assert derive("adamw-radius").claim(**arguments(gas, "d", "eta", "lam")) == claimed


@checks("ideal-gas-law", "pressure")
@pytest.mark.parametrize("rule", ["fixed-sphere", "fixed-elr", "fixed-lr", "momentum", "nesterov"])
def test_the_ideal_gas_law_needs_no_isotropy(rule):
    gas, means = simulated(rule, isotropic=False)
    R, V = (gas.d - 1) / 2, means["square"] / 2
    rate = gas.rate * means["square"] if rule == "fixed-elr" else gas.rate / (1 - gas.beta)
    heat = means["noise"] / means["square"] if rule == "fixed-elr" else means["heat"]
    T = rate * heat / (2 * (gas.d - 1))
    p = gas.decay
    if rule == "fixed-sphere":
        p = means["grown"] / (2 * gas.rate * means["square"])  # the decay that takes away what the projection does
        assert p == pytest.approx(derive("pressure", FixedSphere).claim(T=T, d=gas.d, r=gas.radius), rel=0.02)
    assert p * V == pytest.approx(derive("ideal-gas-law", RULES[rule]).claim(R=R, T=T), rel=0.02)


@checks("adamw-gas", "adam-l2-gas", "ideal-gas-law, fixed LR, AdamW", "ideal-gas-law, fixed LR, Adam with L2")
@pytest.mark.parametrize("rule", ["adamw", "adam-l2"])
def test_gases_of_adam(rule):
    gas, means = simulated(rule)
    T, r = temperature_of(gas.d, means["cosine"]), math.sqrt(means["square"])
    V, p, R = r**2 / 2, gas.decay, (gas.d - 1) / 2
    if rule == "adamw":
        V, p, R = r, gas.decay * gas.sigma * math.sqrt((gas.d - 1) / gas.d), gas.d - 1
    assert p * V == pytest.approx(derive(f"{rule}-gas").claim(R=R, T=T), rel=0.05)


@checks("rotation-sgd", "rotation-momentum", "rotation-adamw", "rotation-adam-l2")
@pytest.mark.parametrize("rule", ["fixed-lr", "momentum", "adamw", "adam-l2"])
def test_rotation_of_the_process(rule):
    gas, means = simulated(rule, pull=0.0)
    claim = derive("rotation-sgd" if rule == "fixed-lr" else f"rotation-{rule}").claim
    assert means["turn"] == pytest.approx(claim(**arguments(gas, *claim.arguments)), rel=0.02)


ORBITS = {"momentum": (2, 2, 1), "nesterov": (2, 2, 1), "adamw": (1, 1, 1), "adam-l2": (1, 2, 2)}


@checks("maxwell")
@pytest.mark.parametrize("rule", ORBITS)
def test_maxwell_relations_of_other_optimisers(rule):
    """Along a symmetry orbit directions are the same, so the entropy grows by (d - 1) log of the norms' ratio."""
    up, down, weight = ORBITS[rule]
    c, ends = 1.5, []
    for factor in (1.0, c):
        gas = Gas(rule, 6, 0.02 * factor**up, 0.1 / factor**down, 1.0, 0.5, radius=factor, runs=20, seed=3)
        gas.square *= (gas.sigma / gas.radius) ** 2 / gas.square.mean() if "adam" in rule else 1
        gas.run(0, 200)
        ends.append(gas.w)
    grown = (gas.d - 1) * np.log(np.linalg.norm(ends[1], axis=1) / np.linalg.norm(ends[0], axis=1)).mean()
    units = [w / np.linalg.norm(w, axis=1, keepdims=True) for w in ends]
    assert np.abs(units[0] - units[1]).max() < 1e-9
    # Along the orbit dS/dlog c = up dS/dlog eta - down dS/dlog lambda, up times what the claim is about.
    assert down / up == weight
    claimed = derive("maxwell", RULES[rule]).claim(d=gas.d)
    assert grown / math.log(c) / up == pytest.approx(claimed, rel=1e-9)


@checks("gas-mixture")
def test_a_mixture_of_two_blocks():
    """Two blocks of scalar chains of r^2, each with its own noise, at one learning rate and weight decay."""
    eta, lam, volumes, heats = 0.05, 0.05, [], []
    for d, sigma in ((6, 1.0), (11, 2.0)):
        _, sizes, noise = chain_of_norms(d, eta, lam, sigma, np.random.default_rng(d))
        volumes.append(sizes / 2)
        heats.append(eta * noise / 2)
    R1, R2 = 5 / 2, 10 / 2
    claimed = derive("gas-mixture").claim(R1=R1, R2=R2, T1=heats[0], T2=heats[1])
    assert lam * sum(volumes) == pytest.approx(claimed, rel=0.01)


@checks("driven-steady-state")
def test_heat_between_two_blocks():
    """What one block's update does to the mean loss, from the covariance of the discrete process at tiny steps."""
    registered("driven-steady-state")
    h, k, heats, rates = 1.3, 0.6, (0.8, 0.3), (2e-6, 1e-6)
    bend = np.array([[h, k], [k, h]])
    step = np.eye(2) - np.diag(rates) @ bend
    noise = np.diag([2 * T * eta for T, eta in zip(heats, rates, strict=True)])
    covariance = linalg.solve_discrete_lyapunov(step, noise)
    alone = np.array([step[0], [0.0, 1.0]])  # the second block stays where it is
    after = alone @ covariance @ alone.T + np.diag([noise[0, 0], 0.0])
    change = (bend * (after - covariance)).sum() / 2
    claim = derive("driven-steady-state").claim
    claimed = claim(T1=heats[0], T2=heats[1], coupling=k, eta1=rates[0], eta2=rates[1], h=h)
    assert change == pytest.approx(claimed, rel=1e-4)


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


@checks("volume-fluctuations", "isochore")
def test_the_volume_of_pure_noise():
    d, eta, lam, sigma = 8, 0.1, 0.05, 1.0
    samples, mean, _ = chain_of_norms(d, eta, lam, sigma, np.random.default_rng(2), runs=8000, steps=2000)
    T, R = FixedLR.temperature(d=d, eta=eta, lam=lam, sigma=sigma), (d - 1) / 2
    claimed = derive("volume-fluctuations").claim(R=R, T=T, eta=eta, lam=lam, p=lam)
    # 40 samples of 8,000 runs, each 50 iterations (one relaxation time) after the last: 0.3 %; eta lambda/2 is 0.25 %.
    assert (samples / 2).var() == pytest.approx(claimed, rel=0.02)
    other = derive("isochore").claim(eta=0.05, eta0=eta, lam0=lam)
    _, same, _ = chain_of_norms(d, 0.05, other, sigma, np.random.default_rng(3))
    assert same == pytest.approx(mean, rel=0.01)


# Finite steps ------------------------------------------------------------------------------------


@checks("finite-step")
@pytest.mark.parametrize("protocol", [FixedSphere, FixedELR, FixedLR])
def test_large_steps_of_a_cold_gas(protocol):
    """At eta_eff = 0.2 the corrections are 10 % (5 % at fixed LR); d T = 0.005 keeps the gas cold to 0.2 %."""
    d, sigma, eta_eff = 20, 0.05, 0.2
    R, T = (d - 1) / 2, eta_eff * sigma**2 / 2
    lam = 0.0 if protocol is FixedSphere else 0.01
    r = 1.0 if protocol is FixedSphere else math.sqrt(R * T * 2 / lam)
    rate = eta_eff if protocol is FixedELR else eta_eff * r**2
    gas = Gas(protocol.key, d, rate, lam, sigma, radius=r, runs=300, seed=4)
    means = gas.run(4000, 2500)
    claim, energy = derive("finite-step", protocol).claim, 1 - means["cosine"]
    if protocol is FixedSphere:
        p = means["grown"] / (2 * rate * means["square"])
        assert p == pytest.approx(claim(R=R, T=T, V=r**2 / 2, eta_eff=eta_eff, h=1.0), rel=0.006)
        assert p * r**2 / 2 == pytest.approx(1.11 * R * T, rel=0.02)
        return
    if protocol is FixedELR:
        claimed = claim(R=R, T=T, eta_eff=eta_eff, h=1.0, p=lam)
        assert energy == pytest.approx(R * T / (1 - eta_eff / 2), rel=0.015)
    else:
        claimed = claim(d=d, eta=rate, h=1.0, lam=lam, sigma=sigma)
    assert means["square"] / 2 == pytest.approx(claimed, rel=0.006)
    assert abs(means["square"] / r**2 - 1) > 0.03  # without the correction it would be refuted


# Linear models -----------------------------------------------------------------------------------


def linear_model(isotropic: bool = False, commuting: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hessian, noise, and the stationary covariance of the discrete process at a tiny learning rate."""
    rng = np.random.default_rng(7)
    basis, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    hessian = basis @ np.diag([0.4, 0.9, 1.5, 2.2]) @ basis.T
    root = rng.standard_normal((4, 4))
    noise = root @ root.T
    if commuting:
        noise = basis @ np.diag([2.0, 0.3, 1.1, 0.7]) @ basis.T
    if isotropic:
        noise = 1.7 * np.eye(4)
    step = np.eye(4) - ETA * hessian
    return hessian, noise, linalg.solve_discrete_lyapunov(step, ETA**2 * noise)


ETA = 1e-5


@checks("mandt-2017", "equipartition", "chaudhari-soatto-2018", "linear-regression")
def test_linear_models_against_the_covariance_of_the_discrete_process():
    hessian, noise, covariance = linear_model()
    h, basis = np.linalg.eigh(hessian)
    modes, noise_of_modes = basis.T @ covariance @ basis, basis.T @ noise @ basis
    claim = derive("mandt-2017").claim
    for i, j in ((0, 0), (0, 2), (1, 3)):
        claimed = claim(B=8, Sigma1_ij=8 * noise_of_modes[i, j], eta=ETA, h_i=h[i], h_j=h[j])
        assert modes[i, j] == pytest.approx(claimed, rel=1e-4)

    _, noise, covariance = linear_model(isotropic=True)
    T = ETA * noise[0, 0] / 2
    modes = basis.T @ covariance @ basis
    assert h / 2 * np.diag(modes) == pytest.approx(derive("equipartition").claim(T=T), rel=1e-4)
    w = np.array([0.3, -1.0, 0.7, 2.0])
    loss = w @ hessian @ w / 2
    assert T / 2 * w @ np.linalg.solve(covariance, w) == pytest.approx(
        derive("linear-regression").claim(L=loss), rel=1e-4
    )

    _, noise, covariance = linear_model(commuting=True)
    sigma2 = np.trace(noise) / 4
    modes, noise_of_modes = basis.T @ covariance @ basis, basis.T @ noise @ basis
    claim = derive("chaudhari-soatto-2018").claim
    for i in range(4):
        claimed = claim(Sigma_ii=noise_of_modes[i, i], h_i=h[i], sigma=math.sqrt(sigma2))
        assert ETA * sigma2 / 2 / modes[i, i] == pytest.approx(claimed, rel=1e-4)


@checks("ornstein-uhlenbeck")
def test_currents_from_the_reversed_process():
    """The current's velocity is half the difference of mean steps forwards and backwards in time.

    For a stationary linear process the step backwards from w is ``(C M^T C^-1 - 1) w``, by regression on the step
    before; M is the step forwards.
    """
    rng = np.random.default_rng(8)
    drift = 1e-5 * (np.diag([1.0, 1.5, 2.0]) + 0.4 * rng.standard_normal((3, 3)))
    root = 1e-3 * rng.standard_normal((3, 3))
    step = np.eye(3) - drift
    covariance = linalg.solve_discrete_lyapunov(step, root @ root.T)
    w = np.array([0.5, -1.0, 0.8])
    backwards = covariance @ step.T @ np.linalg.inv(covariance)
    velocity = (step @ w - backwards @ w) / 2
    meanings = {
        s.drift_matrix: mp.matrix(drift.tolist()),
        s.C: mp.matrix(covariance.tolist()),
        s.w: mp.matrix(w.tolist()),
    }
    claimed = array(value("ornstein-uhlenbeck", None, meanings)).ravel()
    assert np.linalg.norm(velocity) > 0.05 * np.linalg.norm(drift @ w)  # a current indeed
    assert np.allclose(velocity, claimed, rtol=1e-8, atol=1e-12)


# Thermodynamics of a gas whose integrals are done by quadrature -----------------------------------

#: Gauss and Legendre's nodes in the angle: its cosine, and weights for integrals over the cosine.
_ANGLES, _STEPS = leggauss(400)[0] * np.pi / 2 + np.pi / 2, leggauss(400)[1] * np.pi / 2
NODES, WEIGHTS = np.cos(_ANGLES), _STEPS * np.sin(_ANGLES)


def over_sphere(function: Callable[[np.ndarray], np.ndarray], d: int, T: float) -> float:
    """Mean of a function of the cosine under ``exp((cos - 1)/T)`` on the sphere in d dimensions."""
    density = np.exp((NODES - 1) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS
    return float((density * function(NODES)).sum() / density.sum())


def energy(d: int, T: float) -> float:
    return over_sphere(lambda c: 1 - c, d, T)


def entropy(d: int, T: float) -> float:
    """Of the directions: minus the mean log of the density."""
    area = 2 * math.pi ** ((d - 1) / 2) / math.gamma((d - 1) / 2)
    total = area * float((np.exp((NODES - 1) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS).sum())
    return energy(d, T) / T + math.log(total)


def slope(function: Callable[[float], float], x: float) -> float:
    step = 1e-3 * x
    near, wide = (function(x + k * step) - function(x - k * step) for k in (1, 2))
    return (8 * near - wide) / (12 * step)


@checks("vmf-energy", "vmf-entropy", "vmf-heat-capacity", "adiabatic-index")
@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("T", [0.15, 0.6, 3.0])
def test_the_von_mises_fisher_gas_by_quadrature(d, T):
    """The claims' equations and the numbers they give, both."""
    heat = slope(lambda T: energy(d, T), T)
    index = 1 + (d - 1) / 2 / heat
    wanted = {
        "vmf-energy": energy(d, T),
        "vmf-entropy": entropy(d, T),
        "vmf-heat-capacity": heat,
        "adiabatic-index": index,
    }
    mean = energy(d, T)
    for name, expected in wanted.items():
        claim = derive(name).claim
        assert claim(d=d, T=T) == pytest.approx(expected, rel=1e-8)
        right = claim.equation.rhs.replace(lambda part: part.func.__name__ == "A", lambda part: sp.Float(1 - mean, 30))
        assert float(right.subs({s.d: d, s.T: sp.Float(T, 30)})) == pytest.approx(expected, rel=1e-6)


@checks("configurational-temperature")
@pytest.mark.parametrize("d", [3, 7])
def test_the_configurational_temperature_by_quadrature(d):
    """On the loss L = -c + 0.3 c^2 of the cosine c.

    The squared gradient is ``L'^2 (1 - c^2)``, the Laplacian ``(1 - c^2) L'' - (d - 1) c L'``.
    """
    T, bend = 0.4, 0.3
    density = np.exp(-(-NODES + bend * NODES**2) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS
    first, second = -1 + 2 * bend * NODES, 2 * bend
    square = (density * first**2 * (1 - NODES**2)).sum() / density.sum()
    laplacian = (density * ((1 - NODES**2) * second - (d - 1) * NODES * first)).sum() / density.sum()
    factor = derive("configurational-temperature").claim.equation.rhs.subs(s.T, T)
    (mean,) = factor.atoms(sp.Function)
    assert square == pytest.approx(float(factor.subs(mean, laplacian)), rel=1e-9)


@checks("step-thermometer", "step-balance")
@pytest.mark.parametrize("isotropic", [True, False])
def test_slopes_and_curvatures_at_large_steps_by_the_discrete_lyapunov_equation(isotropic):
    """A quadratic loss with curvatures from 0.1 to 6, steps of eta h up to 1.2, the covariance by scipy."""
    eta, curvatures = 0.2, np.array([0.1, 0.7, 2.0, 6.0])
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(4, 4)))[0]
    H = turn @ np.diag(curvatures) @ turn.T
    noise = 0.5 * np.eye(4) if isotropic else np.diag([0.1, 0.5, 1.0, 2.0])
    C = linalg.solve_discrete_lyapunov(np.eye(4) - eta * H, eta**2 * noise)
    square, along_mean = np.trace(H @ H @ C), np.trace(H @ H @ H @ C)
    along_gradients = along_mean + np.trace(H @ noise)
    found = derive("step-balance").claim.equation.rhs
    (mean,) = found.atoms(Expectation)
    assert square == pytest.approx(float(found.subs({mean: along_gradients, s.eta_eff: eta})), rel=1e-10)
    found = derive("step-thermometer").claim.equation.rhs
    means = {Expectation(s.lap_L): np.trace(H), Expectation(Quad(s.Hess, s.grad_L_unit)): along_mean}
    told = float(found.subs(means).subs({s.T: eta * np.trace(noise) / 8, s.eta_eff: eta}))
    if isotropic:
        assert square == pytest.approx(told, rel=1e-10)
        # By the mean curvature, as if all were equal, it would be off by a third.
        assert abs(0.05 * np.trace(H) / (1 - eta * np.trace(H) / 8) / square - 1) > 0.2
    else:
        assert abs(told / square - 1) > 0.05


def whole_entropy(d: int, T: float, V: float) -> float:
    return entropy(d, T) + (d - 1) / 2 * math.log(2 * V)


@checks("first-law", "heat-capacities", "thermodynamic-integration")
def test_the_first_law_and_heat_capacities_by_quadrature():
    d, T, V = 6, 0.3, 1.7
    R = (d - 1) / 2
    p = R * T / V
    step = 1e-4
    for dT, dV in ((step, 0.0), (0.0, step), (step, -2 * step)):
        heat = T * (whole_entropy(d, T + dT, V + dV) - whole_entropy(d, T - dT, V - dV))
        change = energy(d, T + dT) - energy(d, T - dT)
        claim = derive("first-law").claim.equation.rhs
        parts = dict(zip(sorted(claim.atoms(sp.Function), key=str), (heat / T, 2 * dV), strict=True))
        assert change == pytest.approx(float(claim.subs(parts).subs({s.T: T, s.p: p})), rel=1e-5, abs=1e-12)
    at_pressure = T * slope(lambda T: whole_entropy(d, T, R * T / p), T)
    assert at_pressure == pytest.approx(
        derive("heat-capacities").claim(C_V=slope(lambda T: energy(d, T), T), R=R), rel=1e-7
    )

    def path(t: float) -> tuple[float, float]:
        return 0.3 + 0.4 * t + 0.1 * math.sin(3 * t), 1.0 + t**2

    integral = derive("thermodynamic-integration").claim.equation.rhs
    functions = {f.func.__name__: f for f in integral.function.atoms(sp.core.function.AppliedUndef)}
    (time,) = functions["T"].args

    def integrand(t: float) -> float:
        T, V = path(t)
        rates = {
            sp.Derivative(functions["U"], time): slope_at(lambda x: energy(d, path(x)[0]), t),
            sp.Derivative(functions["V"], time): slope_at(lambda x: path(x)[1], t),
        }
        return float(integral.function.subs(rates).subs({functions["T"]: T, functions["p"]: R * T / V}))

    (T0, V0), (T1, V1) = path(0.0), path(1.0)
    claimed = sum(w / 2 * integrand((x + 1) / 2) for x, w in zip(*leggauss(24), strict=True))
    assert whole_entropy(d, T1, V1) - whole_entropy(d, T0, V0) == pytest.approx(claimed, rel=1e-7)


def slope_at(function: Callable[[float], float], x: float) -> float:
    return (function(x + 1e-5) - function(x - 1e-5)) / 2e-5


@checks("adiabat")
def test_an_adiabat_followed_numerically():
    """dS = C_0 dT/T + R dV/V = 0 in 20,000 small steps, against p_0 (V_0/V)^gamma."""
    R, C0, T, V, V1 = 2.5, 3.1, 0.8, 1.0, 2.4
    p0 = R * T / V
    for _ in range(20_000):
        dV = (V1 - 1.0) / 20_000
        middle = T - R * T / (V * C0) * dV / 2
        T -= R * middle / ((V + dV / 2) * C0) * dV
        V += dV
    claimed = derive("adiabat").claim(V=V1, V0=1.0, gamma=(C0 + R) / C0, p0=p0)
    assert pytest.approx(claimed, rel=1e-7) == R * T / V


@checks("second-law")
def test_free_energy_falls_as_claimed():
    """Fokker and Planck on the sphere in three dimensions: dF/dt of a density of the cosine, by its flux."""
    eta_eff, T = 0.2, 0.5
    c, weights = NODES, WEIGHTS
    density = np.exp(0.7 * c**2 - 0.4 * c)
    density /= (weights * density).sum()
    log_slope = 1.4 * c - 0.4
    bend = 1.4
    # d rho/dt = eta_eff d/dc [(1 - c^2) (rho L' + T rho')], with L' = -1, all derivatives by hand.
    inner = -1 + T * log_slope
    change = density * (-2 * c * inner + (1 - c**2) * (log_slope * inner + T * bend)) * eta_eff
    falling = (weights * change * ((1 - c) + T * np.log(density))).sum()
    square = (weights * density * (1 - c**2) * inner**2).sum()
    claim = derive("second-law").claim.equation.rhs
    (integral,) = [part for part in claim.args if part != -1 and not part.is_Symbol]
    assert falling == pytest.approx(float(claim.subs(integral, square).subs(s.eta_eff, eta_eff)), rel=1e-9)
    assert falling < 0


@checks("potential")
@pytest.mark.parametrize("protocol", [FixedSphere, FixedELR, FixedLR])
def test_no_other_density_has_less(protocol):
    """1,000 densities on three patches: none has less F or G; the excess is what is claimed."""
    rng = np.random.default_rng(9)
    losses, areas, T, R = np.array([0.2, 0.9, 1.4]), np.array([1.0, 0.4, 2.0]), 0.6, 3.5
    own = areas * np.exp(-losses / T)
    own /= own.sum()
    V, p = (1.3, R * T / 1.3)

    def merit(density: np.ndarray, volume: float) -> float:
        helmholtz = float((density * (losses + T * np.log(density / areas))).sum())
        return helmholtz if protocol is FixedSphere else helmholtz + p * volume - R * T * math.log(2 * volume)

    claim = derive("potential", protocol).claim.equation.rhs
    for trial in rng.dirichlet([1, 1, 1], 1000):
        volume = rng.uniform(0.2, 4.0) if protocol is not FixedSphere else V
        assert merit(trial, volume) >= merit(own, V)
    meanings = {
        n: 3,
        s.F: merit(own, V),
        s.G: merit(own, V),
        s.T: T,
        s.R: R,
        s.V: V,
        s.V_trial: volume,
        Probability: lambda _, k: trial[int(k) - 1],
        Stationary: lambda _, k: own[int(k) - 1],
    }
    claimed = float(evaluate(claim, World(meanings, "three patches")))
    assert merit(trial, volume) == pytest.approx(claimed, rel=1e-9)


# Processes ---------------------------------------------------------------------------------------


@checks("entropy-of-schedule")
def test_entropy_along_a_schedule_by_quadrature():
    d, sigma, t = 6, 3.0, 0.7
    R = (d - 1) / 2

    def rates(t: float) -> tuple[float, float]:
        return 0.1 * math.exp(-t), 0.2 * (1 + t**2)

    def state(t: float) -> tuple[float, float]:
        eta, lam = rates(t)
        return sigma * math.sqrt(eta * lam / (2 * (d - 1))), (eta * sigma**2 * (d - 1) / (2 * lam)) ** 0.25

    def total(t: float) -> float:
        T, r = state(t)
        return entropy(d, T) + (d - 1) * math.log(r)

    C_p = R + slope(lambda T: energy(d, T), state(t)[0])
    eta, lam = (sp.Function(name, positive=True)(s.t) for name in ("eta", "lambda"))
    claim = derive("entropy-of-schedule").claim.equation.rhs
    slopes = {sp.Derivative(f, s.t): slope_at(lambda x, k=k: rates(x)[k], t) for k, f in enumerate((eta, lam))}
    claim = claim.subs(slopes).subs(dict(zip((eta, lam), rates(t), strict=True)))
    assert slope(total, t) == pytest.approx(float(claim.subs({s.C_p: C_p, s.R: R})), rel=1e-6)


@checks("quasi-static")
def test_the_lag_of_a_ramp():
    """The mean of r^2 iterated while eta and lambda are ramped at constant eta lambda, far slower than an iteration."""
    eta, lam, ramp, noise = 0.01, 0.01, 2e-4, 5.0
    y = math.sqrt(eta * noise / (2 * lam))
    for _ in range(60_000):
        y += -2 * eta * lam * y + eta**2 * noise / y
        eta, lam = eta * math.exp(ramp / 2), lam * math.exp(-ramp / 2)
    lag = math.log(eta * noise / (2 * lam) / y**2) / 4
    assert lag == pytest.approx(derive("quasi-static").claim(eta=eta, lam=lam, ramp=ramp), rel=1e-3)


@checks("quench")
def test_entropy_of_a_quench_is_the_relative_entropy():
    """In a quadratic well of m = 2 R directions: of the density at T1 to that at T2, by quadrature over the radius."""
    R, T1, T2 = 1.5, 2.0, 0.8
    m = round(2 * R)

    def log_density(x: float, T: float) -> float:
        return -(x**2) / (2 * T) - m / 2 * math.log(2 * math.pi * T)

    area = 2 * math.pi ** (m / 2) / math.gamma(m / 2)

    def integrand(x: float) -> float:
        hot = log_density(x, T1)
        return area * x ** (m - 1) * math.exp(hot) * (hot - log_density(x, T2))

    produced, _ = quad(integrand, 0, 40)
    assert derive("quench").claim(R=R, T1=T1, T2=T2) == pytest.approx(produced, rel=1e-8)


@checks("weight-averaging")
def test_averages_of_sampled_weights():
    """scipy's sampler at d T = 0.02: the losses of 4,000 averages of 4, within 4 standard errors and d T/2."""
    d, T, N = 20, 1e-3, 4
    mu = np.zeros(d)
    mu[0] = 1.0
    samples = stats.vonmises_fisher(mu, 1 / T).rvs(4000 * N, random_state=10).reshape(4000, N, d).mean(1)
    loss = 1 - samples[:, 0] / np.linalg.norm(samples, axis=1)
    claimed = derive("weight-averaging").claim(N=N, R=(d - 1) / 2, T=T)
    assert loss.mean() == pytest.approx(claimed, abs=0.01 * claimed + 4 * loss.std() / math.sqrt(len(loss)))


@checks("length-scale")
def test_a_length_scale_in_the_normalisation():
    """The loss a log|h| of h = w/sqrt(r^2 + eps), where h.dL/dh is a everywhere, as a chain of r^2."""
    d, eta, lam, sigma, eps, a = 12, 0.01, 0.05, 1.0, 0.5, -0.05
    rng, y = np.random.default_rng(11), np.full(4000, 1.0)
    sizes = heats = 0.0
    for step in range(9000):
        inward = 1 - eta * lam - eta * a * eps / (y * (y + eps))
        y = inward**2 * y + eta**2 * sigma**2 * rng.chisquare(d - 1, y.size) / y
        if step >= 5000:
            sizes, heats = sizes + y.mean() / 4000, heats + (sigma**2 / y).mean() / 4000
    V, T, R = sizes / 2, eta * heats / 2, (d - 1) / 2
    claimed = derive("length-scale").claim(R=R, T=T, V=V, eps=eps, stretch=a)
    assert abs(claimed - 1) > 0.05
    assert lam * V / (R * T) == pytest.approx(claimed, rel=0.005)


@checks("path-entropy")
def test_the_entropy_of_a_path():
    """Snapshots of one run in 200 dimensions: the slopes of log of the neighbours' distance and of the norm."""
    d, rates = 200, {"base": (0.02, 0.02), "eta": (0.04, 0.02), "lam": (0.02, 0.04)}
    entropies = {}
    for name, (eta, lam) in rates.items():
        r = (eta * (d - 1) / (2 * lam)) ** 0.25
        gas = Gas("fixed-lr", d, eta, lam, 1.0, pull=0.0, radius=r, runs=1, seed=12)
        gas.run(200, 1)
        path = []
        for step in range(1500):
            if step % 25 == 0:
                path.append(gas.w[0] / np.linalg.norm(gas.w[0]))
            gas.step()
        units = np.array(path)
        distances = np.linalg.norm(units[:, None] - units[None], axis=2) + 9 * np.eye(len(units))
        assert (np.abs(distances.argmin(1) - np.arange(len(units))) == 1).all()  # the next in time, every time
        norm = np.sqrt(simulated_norm(d, eta, lam))
        entropies[name] = (d - 1) * (np.log(distances.min(1)).mean() + math.log(norm))
    R = (d - 1) / 2
    by_rate, by_decay = ((entropies[k] - entropies["base"]) / math.log(2) for k in ("eta", "lam"))
    shown = {str(step.equation.lhs): step.equation.rhs for step in derive("path-entropy").steps}
    by_name = {
        name: next(shown[left] for left in reversed(shown) if left.startswith(f"{name}*D") and "-" not in left)
        for name in ("eta", "lambda")
    }
    claimed = [float(by_name[name].subs(s.R, R)) for name in ("eta", "lambda")]
    # An angle of sqrt(50 eta lambda) is not small, so the chord is shorter than the arc: 5 % of R.
    assert by_rate == pytest.approx(claimed[0], abs=0.06 * R)
    assert by_decay == pytest.approx(claimed[1], abs=0.06 * R)


def simulated_norm(d: int, eta: float, lam: float) -> float:
    """Mean of r^2 in pure noise of unit size."""
    _, mean, _ = chain_of_norms(d, eta, lam, 1.0, np.random.default_rng(d), runs=100, steps=2000)
    return mean


# The von Mises-Fisher gas in the cold, in many dimensions, along an adiabat -------------------------


def exact_index(d: float, T: Any) -> tuple[Any, Any]:
    """C_V/R and the adiabatic index, by mpmath's Bessel functions with 60 digits."""
    with mp.workdps(60):
        kappa, d = 1 / mp.mpf(T), mp.mpf(d)
        ratio = mp.besseli(d / 2, kappa) / mp.besseli(d / 2 - 1, kappa)
        heat = kappa**2 * (1 - ratio**2 - (d - 1) * ratio / kappa)
        return 2 * heat / (d - 1), 1 + (d - 1) / 2 / heat


def truncated(name: str, left: sp.Expr) -> sp.Expr:
    """Right-hand side of the last series of something in a derivation, without its order term."""
    return next(step.equation.rhs.removeO() for step in reversed(derive(name).steps) if step.equation.lhs == left)


@checks("vmf-low-temperature")
@pytest.mark.parametrize("d", [4, 10, 21])
def test_the_series_in_the_cold_breaks_off_at_the_fourth_order(d):
    """Half the temperature leaves a sixteenth of the error."""
    registered("vmf-low-temperature")
    for place, left in ((0, s.C_V / s.R), (1, s.gamma)):
        series = truncated("vmf-low-temperature", left)
        errors = []
        for T in (sp.Rational(1, 10_000 * d), sp.Rational(1, 20_000 * d)):
            with mp.workdps(60):
                exact = exact_index(d, mp.mpf(T.p) / T.q)[place]
                errors.append(exact - mp.mpf(sp.N(series.subs({s.d: d, s.T: T}), 60)))
        assert float(errors[0] / errors[1]) == pytest.approx(16, rel=0.01)


@checks("vmf-large-dimension")
@pytest.mark.parametrize("y", [0.3, 1.0, 4.0])
def test_many_dimensions_leave_one_over_d(y):
    """Twice the dimension leaves half the error."""
    registered("vmf-large-dimension")
    for place, left in ((0, s.C_V / s.R), (1, s.gamma)):
        limit = float(truncated("vmf-large-dimension", left).subs(s.reduced, y))
        errors = [float(exact_index(d, y / d)[place]) - limit for d in (400, 800)]
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


@checks("vmf-adiabat", "vmf-first-law")
@pytest.mark.parametrize("T", [0.02, 0.5])
def test_the_schedule_that_keeps_the_entropy(T):
    registered("vmf-adiabat")
    d = 6
    R, heat = (d - 1) / 2, slope(lambda T: energy(d, T), T)
    assert T * slope(lambda T: entropy(d, T), T) == pytest.approx(derive("vmf-first-law").claim(C_V=heat), rel=1e-7)

    def total(log_eta: float, log_lam: float) -> float:
        return entropy(d, T * math.exp((log_eta + log_lam) / 2)) + (d - 1) / 4 * (log_eta - log_lam)

    by_rate, by_decay = (slope_at(lambda x, k=k: total(*((x, 0.0), (0.0, x))[k]), 0.0) for k in (0, 1))
    assert -by_decay / by_rate == pytest.approx(derive("vmf-adiabat").claim(C_V=heat, R=R), rel=1e-5, abs=1e-7)


# Approach to the stationary state ----------------------------------------------------------------


@checks("radius-trajectory", "relaxation-time, fixed LR", "relaxation-time, fixed ELR")
@pytest.mark.parametrize("start", [0.4, 3.0])
def test_the_norm_on_its_way(start):
    """The mean of r^2 iterated in steps so small that they are a differential equation (to 1e-4)."""
    registered("radius-trajectory")
    d, sigma, eta, lam = 12, 1.0, 0.001, 0.05
    noise, steps = (d - 1) * sigma**2, 4000
    y = y_elr = start**2
    eta_eff, lam_elr = 0.001, 0.05
    for _ in range(steps):
        y += -2 * eta * lam * y + eta**2 * noise / y
        y_elr += -2 * eta_eff * lam_elr * y_elr**2 + eta_eff**2 * noise * y_elr
    claimed = FixedLR.trajectory(t=float(steps), r0=start, eta=eta, lam=lam, sigma=sigma, d=d)
    assert math.sqrt(y) == pytest.approx(claimed, rel=2e-3)
    claimed = FixedELR.trajectory(t=float(steps), r0=start, eta_eff=eta_eff, lam=lam_elr, sigma=sigma, d=d)
    assert math.sqrt(y_elr) == pytest.approx(claimed, rel=2e-3)


@checks("relaxation-time", "direction-relaxation")
def test_relaxation_times():
    """How much nearer one step brings r^4, r^2 and a free direction to where they stay."""
    registered("relaxation-time")
    eta, lam, noise = 1e-4, 0.05, 11.0
    still = eta * noise / (2 * lam)
    y = 0.8 * still
    after = (math.sqrt(y) * (1 - 2 * eta * lam) + eta**2 * noise / math.sqrt(y)) ** 2
    rate = 1 - (after - still) / (y - still)
    assert 1 / rate == pytest.approx(FixedLR.relaxation_time(eta=eta, lam=lam), rel=1e-3)
    still = eta * noise / (2 * lam)
    y = still * (1 + 1e-5)
    after = y - 2 * eta * lam * y**2 + eta**2 * noise * y
    rate = 1 - (after - still) / (y - still)
    claim = FixedELR.relaxation_time
    known = {"eta_eff": eta, "lam": lam, "r": math.sqrt(still), "sigma": 1.0, "d": noise + 1}
    assert 1 / rate == pytest.approx(claim(**{name: known[name] for name in claim.arguments}), rel=1e-3)
    # A free direction: the mean of u after a step, all noise vectors listed.
    d, sigma, eta_eff = 6, 1.0, 1e-3
    u = np.eye(d)[0]
    moved = u - eta_eff * spread(sigma * (np.eye(d) - np.outer(u, u)))
    shrink = 1 - (moved / np.linalg.norm(moved, axis=1, keepdims=True)).mean(0) @ u
    claim = FixedSphere.relaxation_time
    known = {"d": d, "eta_eff": eta_eff, "sigma": sigma, "eta": eta_eff, "r": 1.0}
    assert 1 / shrink == pytest.approx(claim(**{name: known[name] for name in claim.arguments}), rel=1e-3)
    # The weight decay that keeps the norm against this noise, from the squared norm of a step without decay.
    grown = ((moved**2).sum(1).mean() - 1) / 2
    for protocol, rate in ((FixedLR, "eta"), (FixedELR, "eta_eff")):
        claim = derive("direction-relaxation", protocol).claim
        known = {rate: eta_eff, "lam": grown / eta_eff, "r": 1.0}
        assert 1 / shrink == pytest.approx(claim(**{name: known[name] for name in claim.arguments}), rel=1e-2)


# The table ---------------------------------------------------------------------------------------


def test_every_physical_claim_has_a_check():
    physics = [found for found in derivations() if found.kind == "physics"]
    missing = sorted(found.title for found in physics if not {found.title, found.name} & set(CHECKED))
    assert not missing, missing
    for where in set(CHECKED.values()):
        module, test = where.split(".")
        assert callable(getattr(importlib.import_module(module), test))
