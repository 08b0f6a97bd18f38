"""Claims about the process against something that is not sympy: the process itself, quadrature, linear algebra.

Each test says which derivations it checks (`checks`); the last one fails if a physics derivation has none.
Simulations are seeded. Their tolerances are the sum of what finite steps change (of order eta_eff and eta lambda, at
most 2 %) and four standard errors; where a claim is exact, or steps are tiny, they are far tighter.
"""

from __future__ import annotations

import math
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from gas_steps import Gas, temperature_of
from independent import ADAM_L2, ADAMW, MOMENTUM, NESTEROV, array, chain_of_norms, checks, derived, value
from scipy import linalg

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive
from thermo_theory import symbols as s

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
    turned = pytest.approx(claim(**arguments(gas, *claim.arguments)), rel=0.02)
    assert means["turn"] == turned
    assert means["angle"] == turned


#: Rules, their decay at a rate of 1, and their beta: steps from a quarter of a radian to more than a right angle.
LARGE_STEPS = [
    ("fixed-lr", 0.1, 0.0), ("fixed-lr", 1.9, 0.0), ("momentum", 0.3, 0.5), ("momentum", 2.5, 0.5),
    ("nesterov", 0.3, 0.5), ("nesterov", 0.8, 0.5), ("adamw", 0.3, 0.5),
]  # fmt: skip


@checks("angle", "chord")
@pytest.mark.parametrize(("rule", "decay", "beta"), LARGE_STEPS)
def test_angle_and_chord_of_large_steps(rule, decay, beta):
    """Weights in 2000 dimensions, whose norm hardly fluctuates: the angle itself, to four digits."""
    known = {"eta": 1.0, "lam": decay, "beta": beta, "beta1": beta, "sigma": 1.0, "d": 2000}
    radius, angle, chord = (getattr(RULES[rule], name) for name in ("radius", "angle", "chord"))
    start = radius(**{name: known[name] for name in radius.arguments})
    means = Gas(rule, 2000, 1.0, decay, 1.0, beta, 0.0, start, runs=1, seed=7).run(200, 1200)
    turned, far = (formula(**{name: known[name] for name in formula.arguments}) for formula in (angle, chord))
    assert math.acos(means["cosine_of_step"]) == pytest.approx(turned, rel=2e-4)
    assert means["angle"] == pytest.approx(turned, rel=2e-3 if rule == "nesterov" else 3e-4)
    assert means["turn"] == pytest.approx(far, rel=2e-4)
    assert turned > 1.008 * far  # one could not pass for the other


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
    claimed = derive("maxwell", RULES[rule]).claim(R=(gas.d - 1) / 2)
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
    derived("driven-steady-state")
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


# Approach to the stationary state ----------------------------------------------------------------


@checks("radius-trajectory", "relaxation-time, fixed LR", "relaxation-time, fixed ELR")
@pytest.mark.parametrize("start", [0.4, 3.0])
def test_the_norm_on_its_way(start):
    """The mean of r^2 iterated in steps so small that they are a differential equation (to 1e-4)."""
    derived("radius-trajectory")
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
    derived("relaxation-time")
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
