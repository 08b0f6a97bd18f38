"""Tables of runs of the isotropic gas by momentum, Nesterov, AdamW and Adam with L2, with knobs to make them wrong.

Radius and effective learning rate are written out by hand here, for small steps; directions are von Mises-Fisher.
"""

import numpy as np
import xarray as xr

from thermo_theory import vmf

BETA = 0.9

#: Slopes of log r in log lr and log weight decay, and of log(lr weight decay) kept along an orbit: by hand.
ORBITS = {"momentum": (2, -2), "nesterov": (2, -2), "adamw": (1, -1), "adam-l2": (1, -2)}


def settled(optimizer, lr, wd, d, sigma):
    """Squared norm, and how far a unit gradient at unit norm moves the direction in the end."""
    if optimizer in ("momentum", "nesterov"):
        gain = lr / (1 - BETA)
        squared = np.sqrt(gain * (d - 1) * sigma**2 / (2 * wd))
        return squared, gain / squared
    each = sigma * np.sqrt((d - 1) / d)  # root mean square of a coordinate of the gradient, at unit norm
    squared = lr * d / (2 * wd) if optimizer == "adamw" else (lr * each * d / (2 * wd)) ** (2 / 3)
    return squared, lr / (np.sqrt(squared) * each)


def optimizer_table(
    rng,
    optimizer,
    d=20,
    levels=(9, 9),
    decades=1.0,
    scatter=0.003,
    maxwell=0.0,
    exponent=0.0,
    radius=1.0,
    temperature=1.0,
    directions=1.0,
):
    """The summary of such runs, for the default of every knob the truth.

    `maxwell` and `exponent` add so large a share to what the entropy and log r gain along an orbit; `radius` multiplies
    r^2, `temperature` what was measured of T, `directions` the entropy of the directions.
    """
    coupled = optimizer in ("momentum", "nesterov")
    sigma = 20 / np.sqrt(d) if coupled else 1.0
    first, second = (-3.35, -2.35) if coupled else (-2.6, -2.6)
    lr, wd = np.meshgrid(
        10 ** np.linspace(first, first + decades, levels[0]),
        10 ** np.linspace(second, second + decades, levels[1]),
        indexing="ij",
    )
    lr, wd = lr.ravel(), wd.ravel()
    squared, rate = settled(optimizer, lr, wd, d, sigma)
    power, other = ORBITS[optimizer]
    # Along an orbit log lr = power t, log wd = other t: w is e^t times as large, and S gains (d - 1) t.
    gained = (power * np.log(lr) + other * np.log(wd)) / (power**2 + other**2)

    def noisy(values, size):
        return values * (1 + size * rng.standard_normal(len(lr)))

    heat = rate * sigma**2 / 2
    energy, spread = vmf.energy(d=d, T=heat), vmf.heat_capacity(d=d, T=heat) * heat**2
    swing = scatter * np.sqrt((d - 1) / 2 * spread)
    sphere = directions * vmf.entropy(d=d, T=heat) + swing / heat * rng.standard_normal(len(lr))
    squared = noisy(radius * squared * np.exp(2 * exponent * gained), 0.1 * scatter)
    noise = noisy((d - 1) * sigma**2 * np.ones(len(lr)), 0.1 * scatter)
    slopes = noisy(heat * (d - 1) * (1 - energy), scatter)
    values = {
        "radius_sq": squared,
        "log_radius": np.log(squared) / 2,
        "grad_variance_unit": noise,
        "grad_variance": noise / squared,
        "grad_mean_sq_unit": slopes,
        "grad_sq": (noise + slopes) / squared,
        "laplacian": noisy((d - 1) * (1 - energy), 0.1 * scatter),
        "loss": energy + swing * rng.standard_normal(len(lr)),
        "loss_variance": noisy(spread, 3 * scatter),
        "entropy_sphere": sphere,
        "entropy": sphere + (d - 1) * (np.log(squared) / 2 + maxwell * gained),
        "path_entropy": np.zeros(len(lr), dtype=bool),
        "effective_sample_size": np.full(len(lr), 1000.0),
        "temperature": temperature * noisy(heat, 0.1 * scatter),
        "balance": noisy(np.ones(len(lr)), 0.1 * scatter),
        "status": np.full(len(lr), "ok"),
    }
    labels = {"protocol": "fixed-lr", "optimizer": optimizer, "momentum": BETA}
    coordinates = {"lr": lr, "weight_decay": wd} | {key: np.full(len(lr), value) for key, value in labels.items()}
    return xr.Dataset(
        {name: ("run", value) for name, value in values.items()},
        coords={name: ("run", value) for name, value in coordinates.items()},
        attrs={"dimension": d},
    )
