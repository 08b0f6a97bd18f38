"""The isotropic gas itself, advanced step by step: a slow, plain loop, exact in law, all runs at once.

SGD on ``L = 1 - mu.w/|w|`` with isotropic noise needs two numbers a run: the cosine with mu, and the norm.
"""

import numpy as np
import xarray as xr
from scipy.special import gammaln

from empirics.results import Runs


def spacing_entropy(cosines, d):
    """Entropy of directions that are symmetric about mu, from spacings of the sorted cosines (Vasicek 1976)."""
    n, m = len(cosines), int(np.sqrt(len(cosines)))
    x = np.sort(cosines, axis=0)
    gaps = x[np.minimum(np.arange(n) + m, n - 1)] - x[np.maximum(np.arange(n) - m, 0)]
    width = np.minimum(np.arange(n) + m, n - 1) - np.maximum(np.arange(n) - m, 0)
    along = np.log(gaps * (n / width)[:, None]).mean(0)
    ring = np.log(2) + (d - 1) / 2 * np.log(np.pi) - gammaln((d - 1) / 2)
    return along + ring + (d - 3) / 2 * np.log1p(-(cosines**2)).mean(0)


def chain(rng, protocol, knobs, d, sigma, burn_in, steps, every, start=1.0, trace=200):
    """Advance the runs and return them with their trace; `start` multiplies the stationary radius of the formula."""
    knobs = {name: np.asarray(values, float) for name, values in knobs.items()}
    runs = len(next(iter(knobs.values())))
    lr, elr, decay = (knobs.get(name, np.zeros(runs)) for name in ("lr", "effective_lr", "weight_decay"))
    held = protocol == "fixed-sphere"
    if held:
        squared = knobs["radius"] ** 2
    elif protocol == "fixed-elr":
        squared = elr * (d - 1) * sigma**2 / (2 * decay)
    else:
        squared = np.sqrt(lr * (d - 1) * sigma**2 / (2 * decay))
    squared = squared * np.ones(runs) * (1.0 if held else np.broadcast_to(start, runs) ** 2)
    cosine = np.ones(runs)
    sums, samples = np.zeros((11, runs)), []
    kept = np.unique(np.r_[0, np.geomspace(1, burn_in + steps - 1, trace).astype(int)])
    way = []
    for step in range(burn_in + steps):
        if step in kept:
            way.append(np.log(squared) / 2)
        rate = lr / squared + elr
        eta = rate * squared
        sine = np.sqrt(np.maximum(1 - cosine**2, 0.0))
        along = sigma * rng.standard_normal(runs)
        across = sigma**2 * rng.chisquare(d - 2, runs) if d > 2 else 0.0
        noise = along**2 + across
        if step >= burn_in:
            sums += [
                squared, np.log(squared) / 2, noise / squared, noise, sine**2, 1 - cosine, (1 - cosine) ** 2,
                rate * noise, ((sine - along) ** 2 + across) / squared,
                squared * rate**2 * ((sine - along) ** 2 + across), squared * (1 - (1 - eta * decay) ** 2),
            ]  # fmt: skip
            if (step - burn_in) % every == 0:
                samples.append(cosine)
        shrink = 1.0 if held else 1 - eta * decay
        towards = rate * (sine - along)
        length = np.sqrt(shrink**2 + towards**2 + rate**2 * across)
        cosine = np.clip((shrink * cosine + towards * sine) / length, -1, 1)
        squared = squared if held else squared * length**2
    means = sums / steps
    loss = means[5]
    sphere = spacing_entropy(np.array(samples), d)
    values = {
        "balance": np.full(runs, np.nan) if held else means[9] / means[10],
        "radius_sq": means[0],
        "log_radius": means[1],
        "grad_variance": means[2],
        "grad_variance_unit": means[3],
        "grad_mean_sq_unit": means[4],
        "loss": loss,
        "loss_variance": means[6] - loss**2,
        "temperature": means[7] / (2 * (d - 1)),
        "grad_sq": means[8],
        "laplacian": (d - 1) * (1 - loss),
        "hessian_noise": means[3] * (1 - loss),
        "entropy_sphere": sphere,
        "entropy": sphere + (d - 1) * means[1],
        "status": np.full(runs, "ok"),
    }
    labels = {"protocol": np.full(runs, protocol), "optimizer": np.full(runs, "sgd"), "seed": np.arange(runs)}
    coordinates = {name: ("run", value) for name, value in ((knobs | labels).items())}
    attributes = {"dimension": d, "kind": "isotropic", "name": "chain"}
    summary = xr.Dataset({k: ("run", v) for k, v in values.items()}, coordinates, attributes)
    curve = xr.Dataset({"log_radius": (("run", "step"), np.array(way).T)}, {**coordinates, "step": ("step", kept)})
    tree = {"/": xr.Dataset(attrs=attributes), "/summary": summary, "/trace": curve}
    return Runs(None, xr.DataTree.from_dict(tree), None, {})
