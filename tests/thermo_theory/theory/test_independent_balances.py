"""Balances and identities of thermodynamics against simulated steps, quadrature and linear algebra."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from independent import ADAM_L2, ADAMW, MOMENTUM, NESTEROV, array, checks, value
from scipy.linalg import null_space, solve_continuous_lyapunov
from scipy.optimize import brentq

from thermo_theory import derive
from thermo_theory import symbols as s
from thermo_theory.engine.differentials import Change, Partial
from thermo_theory.symbols.vectors import Expectation, SymProduct, Tr

BETA, ETA, LAM, NU = 0.4, 0.3, 0.5, 1.7


def stepped(rule: str, w: np.ndarray, v: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step as torch.optim takes it; of Adam, g is the gradient over its normaliser, which is NU."""
    if rule == "adamw":
        v = BETA * v + (1 - BETA) * g
        return w - ETA * (v + LAM * w), v
    if rule == "adam-l2":
        v = BETA * v + (1 - BETA) * (g + LAM * w / NU)
        return w - ETA * v, v
    pulled = g + LAM * w
    v = BETA * v + pulled
    return w - ETA * (pulled + BETA * v if rule == "nesterov" else v), v


@checks(*(f"norm-balance, {rule}" for rule in (MOMENTUM, NESTEROV, ADAMW, ADAM_L2)), "nesterov-balance")
@pytest.mark.parametrize("rule", [MOMENTUM, NESTEROV, ADAMW, ADAM_L2], ids=str)
def test_mean_squared_norm_of_large_steps(rule):
    """Gradients across the weights, independent of all before; large steps, eta lambda = 0.15; four errors."""
    rng, runs, burn, steps = np.random.default_rng(5), 4000, 150, 1500
    w, v = rng.standard_normal((runs, 3)), np.zeros((runs, 3))
    sizes, squares = np.zeros(runs), np.zeros(runs)
    for step in range(burn + steps):
        noise = rng.standard_normal((runs, 3)) * [1.0, 1.5, 0.7]
        size = (w**2).sum(1, keepdims=True)
        g = (noise - w * (w * noise).sum(1, keepdims=True) / size) / np.sqrt(size)
        if step >= burn:
            sizes, squares = sizes + size[:, 0], squares + (g**2).sum(1)
        w, v = stepped(rule.optimizer, w, v, g)
    names = {"eta": ETA, "lam": LAM, "beta": BETA, "beta1": BETA, "adam_unit": NU, "grad_sq": squares.mean() / steps}
    for name in ("norm-balance", "nesterov-balance") if rule == NESTEROV else ("norm-balance",):
        claim = derive(name, rule if name == "norm-balance" else None).claim
        claimed = claim(**{argument: names[argument] for argument in claim.arguments})
        error = (sizes / steps - claimed * squares / squares.mean()).std() / np.sqrt(runs)
        assert error < 2e-3 * claimed
        assert abs(sizes.mean() / steps - claimed) < 4 * error


@checks("isotherm")
def test_runs_of_one_temperature_take_the_same_path():
    """Same batches, weights longer by sqrt(eta/eta_0): the directions agree, whatever noise and steps."""
    eta0, lam0, eta = 0.9, 0.8, 2.3
    lam = derive("isotherm").claim(eta=eta, eta0=eta0, lam0=lam0)

    def path(rate: float, decay: float) -> np.ndarray:
        rng, w, directions = np.random.default_rng(2), np.sqrt(rate) * np.array([0.5, -0.2, 0.9]), []
        for _ in range(60):
            kick = rng.standard_cauchy(3)
            u = w / np.linalg.norm(w)
            w = w - rate * ((kick - u * (u @ kick)) / np.linalg.norm(w) + decay * w)
            directions.append(w / np.linalg.norm(w))
        return np.array(directions)

    assert np.allclose(path(eta0, lam0), path(eta, lam), rtol=0, atol=1e-8)
    assert not np.allclose(path(eta0, lam0), path(eta, 1.01 * lam), rtol=0, atol=1e-4)


@checks("gradient-balance")
def test_mean_square_of_the_gradient_on_a_circle():
    """The stationary density of a diffusion whose strength changes, so that it flows round, by finite volumes."""
    rate, count = 0.4, 1200
    x, width = np.linspace(0, 2 * np.pi, count, endpoint=False), 2 * np.pi / count

    def noise(angle: np.ndarray) -> np.ndarray:
        return 1 + 0.5 * np.sin(2 * angle + 1)

    edges = x + width / 2
    drift = -rate * (-np.sin(edges) - 0.6 * np.sin(2 * edges))  # of the loss cos x + 0.3 cos 2x
    # Flux through an edge: drift times the density less the slope of D times the density, D = rate^2 noise/2.
    into, right = np.zeros((count, count)), np.roll(np.arange(count), -1)
    spread = rate**2 * noise(x) / 2 / width
    for k in range(count):
        for source, share in ((k, drift[k] / 2 + spread[k]), (right[k], drift[k] / 2 - spread[right[k]])):
            into[right[k], source] += share
            into[k, source] -= share
    density = null_space(into)[:, 0]
    density /= density.sum()
    slope, bend = -np.sin(x) - 0.6 * np.sin(2 * x), -np.cos(x) - 1.2 * np.cos(2 * x)
    flux = drift * (density + density[right]) / 2 + spread * density - spread[right] * density[right]
    assert np.ptp(flux) < 1e-9 < 1e-6 < abs(flux.mean()) * count
    # On a circle the noise has one direction and H one entry, so tr (H Sigma + Sigma H) is twice their product.
    mean = {s.eta_eff: rate, Expectation(Tr(SymProduct(s.Hess, s.Sigma))): 2 * (density * bend * noise(x)).sum()}
    claimed = float(derive("gradient-balance").claim.equation.rhs.subs(mean))
    assert (density * slope**2).sum() == pytest.approx(claimed, rel=1e-3)


@checks("probability-currents")
def test_currents_of_a_linear_diffusion():
    rng, eta = np.random.default_rng(3), 0.3
    hessian, sigma = (root @ root.T + np.eye(4) for root in rng.standard_normal((2, 4, 4)))
    covariance = solve_continuous_lyapunov(hessian, eta * sigma)
    claimed = value(
        "probability-currents",
        None,
        {s.Hess: mp.matrix(hessian.tolist()), s.eta: eta, s.C: mp.matrix(covariance.tolist())},
    )
    product = hessian @ sigma
    assert np.allclose(product - product.T, array(claimed))


@checks("free-energy", "potentials", "maxwell-relations")
def test_differentials_of_a_small_system():
    """Five losses that fall with the volume, areas that grow with it: sums, a root for V and differences."""
    losses, areas, R = np.array([-0.3, 0.2, 0.5, 1.1, 1.6]), np.array([0.4, 1.0, 1.7, 0.6, 2.2]), 1.5

    def at(T: float, p: float) -> dict[str, float]:
        def log_sum(volume: float) -> float:
            return np.log((areas * volume**R * np.exp(-(losses - 0.1 * volume) / T)).sum())

        def push(volume: float) -> float:
            return T * (log_sum(volume + 1e-6) - log_sum(volume - 1e-6)) / 2e-6 - p

        V = brentq(push, 1e-3, 1e3, xtol=1e-14)
        shares = areas * V**R * np.exp(-(losses - 0.1 * V) / T)
        shares /= shares.sum()
        U = (shares * (losses - 0.1 * V)).sum()
        S = -(shares * np.log(shares / (areas * V**R))).sum()
        return {"V": V, "S": S, "U": U, "G": U - T * S + p * V, "F": U - T * S, "log Z": log_sum(V)}

    T, p, step = 0.7, 0.9, 1e-4
    here, ends = at(T, p), [at(T + step, p), at(T - step, p), at(T, p + step), at(T, p - step)]
    slopes = {name: [(ends[k][name] - ends[k + 1][name]) / (2 * step) for k in (0, 2)] for name in here}
    rows = {name: derive(name).claim.equation for name in ("free-energy", "potentials", "maxwell-relations")}
    assert here["F"] == pytest.approx(
        float(rows["free-energy"].rhs.subs({s.T: T, s.Z: np.exp(here["log Z"])})), rel=1e-9
    )
    numbers = {symbol: here[symbol.name] for symbol in (s.S, s.V)}
    for place, variable in enumerate((s.T, s.p)):
        claimed = rows["potentials"].rhs.coeff(Change(variable)).subs(numbers)
        assert slopes["G"][place] == pytest.approx(float(claimed), rel=1e-6)
    partials = {Partial(s.S, s.p, s.T): slopes["S"][1], Partial(s.V, s.T, s.p): slopes["V"][0]}
    left, right = (float(side.subs(partials)) for side in rows["maxwell-relations"].args)
    assert left == pytest.approx(right, rel=1e-5)
    assert abs(left) > 0.1
