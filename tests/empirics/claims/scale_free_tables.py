"""Tables of runs by signSGD, Lion, Muon, normalised SGD, LARS and LAMB, with knobs to make them wrong.

The radii are written out by hand; what momentum makes of them is summed here from its weights.
"""

import numpy as np
import xarray as xr

#: Powers of c in lr and weight decay along an orbit, by hand.
ORBITS = dict.fromkeys(("signsgd", "lion", "normalised-sgd", "muon"), (1, -1)) | {"lars": (0, -2), "lamb": (0, -1)}
MOMENTUM = {"lion": 0.9, "muon": 0.0, "lamb": 0.9}
D, SIGMA, BETA2, SCALE = 20, 1.5, 0.99, 0.5


def signs(decay):
    """D over d of Lion's signs at one lr·wd, by the arcsine law."""
    weights = np.r_[0.1, 0.9 * 0.01 * 0.99 ** np.arange(3000)]
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    later = 2 / np.pi * np.arcsin(products[1:] / products[0])
    return 1 + 2 * (later * (1 - decay) ** np.arange(1, len(products))).sum()


def squared_norm(optimizer, lr, wd):
    if optimizer == "lars":
        return lr * SIGMA * np.sqrt(D - 1) / (2 * wd)
    if optimizer == "lamb":  # the norm of a mean that forgets by 0.9 in each step, and what its lags sum up to
        return (lr * np.sqrt(D * 0.1 / 1.9) * 1.9 / 0.1 / (2 * wd)) ** 2
    push = {"signsgd": D, "normalised-sgd": 1.0, "muon": 4 * SCALE**2}
    total = push.get(optimizer) or D * np.array([signs(one) for one in lr * wd])
    return lr * total / (wd * (2 - lr * wd))


def scale_free_table(rng, optimizer, levels=(9, 9), maxwell=0.0, exponent=0.0, radius=1.0):
    """Runs whose entropy of directions is a curve in what is equal along an orbit; knobs as in `optimizer_tables`."""
    axes = (10 ** np.linspace(-2.6, -1.6, count) for count in levels)
    lr, wd = (one.ravel() for one in np.meshgrid(*axes, indexing="ij"))
    rate, decay = ORBITS[optimizer]
    gained = (rate * np.log(lr) + decay * np.log(wd)) / (rate**2 + decay**2)
    along = -decay * np.log(lr) + rate * np.log(wd)

    def noisy(values, size):
        return values * (1 + size * rng.standard_normal(len(lr)))

    squared = noisy(radius * squared_norm(optimizer, lr, wd) * np.exp(2 * exponent * gained), 3e-4)
    sphere = 5 + 3 * along - 0.1 * along**2 + 0.02 * rng.standard_normal(len(lr))
    noise = noisy((D - 1) * SIGMA**2 * np.ones(len(lr)), 3e-4)
    values = {
        "radius_sq": squared,
        "log_radius": np.log(squared) / 2,
        "grad_variance_unit": noise,
        "grad_variance": noise / squared,
        "entropy_sphere": sphere,
        "entropy": sphere + (D - 1) * (np.log(squared) / 2 + maxwell * gained),
        "balance": noisy(np.ones(len(lr)), 1e-3),
        "status": np.full(len(lr), "ok"),
    }
    labels = {"protocol": "fixed-lr", "optimizer": optimizer, "momentum": MOMENTUM.get(optimizer, 0.0)}
    labels |= {"beta2": BETA2, "scale": SCALE}
    coordinates = {"lr": lr, "weight_decay": wd} | {key: np.full(len(lr), value) for key, value in labels.items()}
    return xr.Dataset(
        {name: ("run", value) for name, value in values.items()},
        coords={name: ("run", value) for name, value in coordinates.items()},
        attrs={"dimension": D} | ({"matrices": [[4, 5]]} if optimizer == "muon" else {}),
    )
