"""A table of runs of an ideal gas at fixed LR, with a knob for each way to be wrong."""

import numpy as np
import xarray as xr


def gas_table(rng, d=5001, levels=(7, 5), maxwell=1.0, balance=1.0, exponent=0.25, scatter=3.0, seeds=1, path=False):
    """The summary of such runs; every knob at its default is the truth."""
    lr, wd = np.meshgrid(10 ** (-3 + np.arange(levels[0]) / 3), 10 ** (-3 + np.arange(levels[1]) / 3), indexing="ij")
    lr, wd = np.tile(lr.ravel(), seeds), np.tile(wd.ravel(), seeds)
    log_radius = exponent * np.log(lr / wd) + 0.25 * np.log((d - 1) / 2) + 0.001 * rng.standard_normal(lr.size)
    log_temperature = 0.5 * np.log(lr * wd / (2 * (d - 1)))
    directions = np.log(lr * wd) if path else log_temperature
    sphere = (d - 1) / 2 * directions + scatter * rng.standard_normal(lr.size)
    entropy = maxwell * (sphere + (d - 1) * log_radius)
    squared = np.exp(2 * log_radius)
    grad = balance * wd * (2 - lr * wd) * squared / lr * (1 + 0.001 * rng.standard_normal(lr.size))
    names = {
        "radius_sq": squared,
        "log_radius": log_radius,
        "grad_sq": grad,
        "grad_variance": grad,
        "grad_variance_unit": grad * squared,
        "entropy": entropy,
        "entropy_sphere": entropy - (d - 1) * log_radius,
    }
    return xr.Dataset(
        {name: ("run", values) for name, values in names.items()},
        coords={"lr": ("run", lr), "weight_decay": ("run", wd), "protocol": ("run", np.full(lr.size, "fixed-lr"))},
        attrs={"dimension": d},
    )
