"""Tables of runs of gases that can be solved, under three protocols, with the finite steps of a cold gas.

Every gas is a function from (d, eta_eff, sigma) to the stationary means of a run at that effective learning rate; a
table puts them on a grid of a protocol and adds the scatter of runs of finite length.
"""

from functools import lru_cache

import numpy as np
import xarray as xr
from scipy.special import gamma, gammaln, logsumexp

from thermo_theory import vmf


def isotropic(d, rate, sigma):
    """L = 1 - mu.w, noise isotropic and the same all over: the von Mises-Fisher gas, at the T of its steps."""
    noise = rate * sigma**2 / 2
    heat = noise.copy()
    for _ in range(6):
        heat = noise / (1 - rate * (1 - vmf.energy(d=d, T=heat)) / 2)
    energy = vmf.energy(d=d, T=heat)
    laplacian = (d - 1) * (1 - energy)
    slopes = heat * laplacian
    return {
        "noise": (d - 1) * sigma**2 * np.ones(len(rate)),
        "loss": energy,
        "entropy_sphere": vmf.entropy(d=d, T=heat),
        "loss_variance": vmf.heat_capacity(d=d, T=heat) * heat**2,
        "laplacian": laplacian,
        "slopes": slopes,
        "hessian_noise": sigma**2 * laplacian,
    }


def harmonic(curvatures, noises):
    """A harmonic well of any curvatures and noise in its eigenbasis; the noise adds up to (d - 1) sigma^2."""

    def gas(d, rate, sigma):
        h = np.resize(np.asarray(curvatures, float), d - 1)
        s = np.resize(np.asarray(noises, float), d - 1)
        s = s / s.mean()
        spread = rate[:, None] * sigma**2 * s / (2 * h * (1 - rate[:, None] * h / 2))
        return {
            "noise": (d - 1) * sigma**2 * np.ones(len(rate)),
            "loss": (h * spread).sum(1) / 2,
            "entropy_sphere": 0.5 * np.log(2 * np.pi * np.e * spread).sum(1),
            "loss_variance": ((h * spread) ** 2).sum(1) / 2,
            "laplacian": h.sum() * np.ones(len(rate)),
            "slopes": (h**2 * spread).sum(1),
            "hessian_noise": sigma**2 * (h * s).sum() * np.ones(len(rate)),
            "hessian_gradient": (h**3 * spread).sum(1) + sigma**2 * (h * s).sum(),
        }

    return gas


def inhomogeneous(growth):
    """Noise sigma^2 (1 + growth L), isotropic: the density is (1 + growth L)^(-1 - 1/(growth T_0)) on the sphere."""

    def gas(d, rate, sigma):
        # L runs over (0, 2); u = log L resolves a cold gas. The sphere's area at L: (L (2 - L))^((d-3)/2) dL.
        u = np.linspace(-30, np.log(2) - 1e-9, 4001)
        loss = np.exp(u)
        heat = rate[:, None] * sigma**2 / 2
        grown = np.log1p(growth * loss) if growth else loss
        slope = -(1 + 1 / (growth * heat)) * grown if growth else -loss / heat
        log_area = (d - 3) / 2 * (u + np.log(2 - loss)) + u
        log_weight = slope + log_area
        log_whole = logsumexp(log_weight, axis=1, keepdims=True)
        weight = np.exp(log_weight - log_whole)

        def mean(f):
            return (weight * f).sum(1)

        log_ring = np.log(2) + (d - 1) / 2 * np.log(np.pi) - gammaln((d - 1) / 2)
        log_density = slope - (log_whole + np.log(u[1] - u[0]) + log_ring)
        size = sigma**2 * (1 + growth * loss)
        energy = mean(loss)
        return {
            "noise": (d - 1) * mean(size),
            "loss": energy,
            "entropy_sphere": -mean(log_density),
            "loss_variance": mean(loss**2) - energy**2,
            "laplacian": (d - 1) * (1 - energy),
            "slopes": mean(loss * (2 - loss)),
            "hessian_noise": (d - 1) * mean(size * (1 - loss)),
        }

    return gas


def modes(noises):
    """Directions of which every other one is quartic, noise in turn as given: anharmonic, so that C_V sees the noise.

    A direction with the loss x^(2n) has the heat capacity 1/(2n), and Gibbs' law at a temperature of its own.
    """
    heat_capacity, second = np.array([1 / 4, 1 / 2]), np.array([12 * gamma(3 / 4) / gamma(1 / 4), 2.0])

    def gas(d, rate, sigma):
        kinds = np.resize([0, 1], d - 1)
        shares = np.resize(np.asarray(noises, float), d - 1)
        shares = shares / shares.mean()
        heat = rate[:, None] * sigma**2 / 2 * shares
        capacity = heat_capacity[kinds]
        laplacian = second[kinds] * np.where(kinds == 0, np.sqrt(heat), 1.0)
        return {
            "noise": (d - 1) * sigma**2 * np.ones(len(rate)),
            "loss": (capacity * heat).sum(1),
            "entropy_sphere": (capacity * np.log(heat)).sum(1),
            "loss_variance": (capacity * heat**2).sum(1),
            "laplacian": laplacian.sum(1),
            "slopes": (heat * laplacian).sum(1),
            "hessian_noise": sigma**2 * (shares * laplacian).sum(1),
        }

    return gas


@lru_cache(maxsize=32)
def _rates(protocol, levels, span, gas, d, sigma):
    """What is set in each run of a square grid, with the effective learning rate and the radius that follow."""
    low, high = np.log10(span)
    first, second = (z.ravel() for z in np.meshgrid(*[np.logspace(low, high, n) for n in levels], indexing="ij"))
    if protocol == "fixed-elr":
        state = gas(d, first, sigma)
        squared = first * (state["noise"] + state["slopes"]) / (2 * second)
        return {"effective_lr": first, "weight_decay": second}, first, squared, state
    if protocol == "fixed-sphere":
        radius = np.logspace(-0.5, 0.5, levels[1])[np.tile(np.arange(levels[1]), levels[0])]
        return {"lr": first * radius**2, "radius": radius}, first, radius**2, gas(d, first, sigma)
    squared = np.sqrt(first * (d - 1) * sigma**2 / (2 * second))
    for _ in range(25):
        state = gas(d, first / squared, sigma)
        squared = np.sqrt(first * (state["noise"] + state["slopes"]) / (2 * second))
    return {"lr": first, "weight_decay": second}, first / squared, squared, gas(d, first / squared, sigma)


def state_table(
    rng,
    protocol="fixed-lr",
    d=20,
    gas=isotropic,
    levels=(9, 7),
    span=(1e-3, 1e-1),
    sigma=1.0,
    scatter=0.003,
    seeds=1,
    fake_temperature=1.0,
):
    """The summary of such runs; relative scatter of the loss, and of the rest in proportion."""
    knobs, rate, squared, state = _rates(protocol, levels, span, gas, d, sigma)
    knobs = {name: np.tile(values, seeds) for name, values in knobs.items()}
    rate, squared = np.tile(rate, seeds), np.tile(squared, seeds)
    state = {name: np.tile(values, seeds) for name, values in state.items()}
    runs, half = len(rate), (d - 1) / 2

    def noisy(values, size):
        return values * (1 + size * rng.standard_normal(runs))

    held = protocol == "fixed-sphere"
    squared = squared if held else noisy(squared, 0.1 * scatter)
    noise, slopes = noisy(state["noise"], 0.1 * scatter), noisy(state["slopes"], scatter)
    rate = knobs["lr"] / squared if protocol == "fixed-lr" else rate
    # Moments of a run scatter with the fluctuations of its loss: T (C_V)^(1/2), in the cold R^(1/2) T.
    heat = rate * state["noise"] / (2 * (d - 1))
    swing = scatter * np.sqrt(half * state["loss_variance"])
    sphere = state["entropy_sphere"] + swing / heat * rng.standard_normal(runs)
    log_radius = np.log(squared) / 2
    values = {
        "radius_sq": squared,
        "log_radius": log_radius,
        "grad_variance_unit": noise,
        "grad_variance": noise / squared,
        "grad_mean_sq_unit": slopes,
        "grad_mean_sq": slopes / squared,
        "grad_sq": (noise + slopes) / squared,
        "laplacian": noisy(state["laplacian"], 0.1 * scatter),
        "hessian_noise": noisy(state["hessian_noise"], 0.1 * scatter),
        **({"hessian_gradient": state["hessian_gradient"]} if "hessian_gradient" in state else {}),
        "loss": state["loss"] + swing * rng.standard_normal(runs),
        "loss_variance": noisy(state["loss_variance"], 3 * scatter),
        "entropy_sphere": sphere,
        "entropy": sphere + (d - 1) * log_radius,
        "path_entropy": np.zeros(runs, dtype=bool),
        "effective_sample_size": np.full(runs, 1000.0),
        "temperature": fake_temperature * rate * noise / (2 * (d - 1)),
        "status": np.full(runs, "ok"),
        "reason": np.full(runs, ""),
    }
    if not held:
        values["balance"] = rate * (noise + slopes) / (2 * knobs["weight_decay"] * squared)
    labels = {"protocol": np.full(runs, protocol), "optimizer": np.full(runs, "sgd"), "seed": np.arange(runs)}
    return xr.Dataset(
        {name: ("run", value) for name, value in values.items()},
        coords={name: ("run", value) for name, value in (knobs | labels).items()},
        attrs={"dimension": d, "kind": "isotropic"},
    )
