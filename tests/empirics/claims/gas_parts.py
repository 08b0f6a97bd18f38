"""Gases with parts, advanced step by step in plain numpy: several spheres under one decay, a remainder, a length scale.

The loss of a sphere is ``1 - mu.w/|w|``, its noise isotropic of size sigma at unit norm. Means of the gradient and its
covariance are those known at each step, not estimates.
"""

import numpy as np
import xarray as xr

from empirics.results import Runs


def grid(lr=(-1.5, -0.3), wd=(-1.7, -0.9), levels=(7, 5)):
    """Learning rates and weight decays of a grid, one a run."""
    rates, decays = np.meshgrid(np.logspace(*lr, levels[0]), np.logspace(*wd, levels[1]), indexing="ij")
    return rates.ravel(), decays.ravel()


def runs_of(knobs, protocol, means, parts=None, dimension=None):
    """Runs as they are loaded: a summary, and the group of parts."""
    summary = xr.Dataset(
        {name: ("run", np.asarray(values)) for name, values in means.items()},
        coords={name: ("run", values) for name, values in knobs.items()}
        | {"protocol": ("run", np.full(len(means["radius_sq"]), protocol))},
        attrs={"dimension": dimension},
    )
    groups = {"/summary": summary}
    if parts is not None:
        groups["/components"] = parts
    return Runs(None, xr.DataTree.from_dict(groups), None, {})


def mixture(rng, sizes=(5, 9, 13), heat=(1.0, 1.0, 1.0), rest=0, place=0.0, protocol="fixed-lr", steps=6000):
    """Spheres of these sizes; `heat` multiplies their temperatures. `rest` weights are in a well of their own."""
    fixed = protocol == "fixed-elr"
    first, decay = grid((-2.6, -1.8) if fixed else (-1.5, -0.3))
    runs, d = len(first), sum(sizes) + rest
    sigmas = [factor * np.sqrt(size - 1) for size, factor in zip(sizes, heat, strict=True)]
    weights = []
    for size, sigma in zip(sizes, sigmas, strict=True):
        w = rng.standard_normal((runs, size)) * 0.2
        w[:, 0] += 1
        # At fixed ELR the learning rate depends on the norm of all, which the first sphere stands for.
        rate = first * np.sqrt(sum((n - 1) * s**2 for n, s in zip(sizes, sigmas, strict=True))) if fixed else first
        squared = np.sqrt(rate * (size - 1) * sigma**2 / (2 * decay))
        weights.append(w / np.linalg.norm(w, axis=1, keepdims=True) * np.sqrt(squared)[:, None])
    well, rough = 0.2, 0.3
    free = np.full((runs, rest), place) * (well / (well + decay))[:, None]
    burn_in = steps // 2
    count = len(sizes) + bool(rest)
    sums = {name: np.zeros((runs, count)) for name in ("radius_sq", "grad_mean_sq", "grad_variance")}
    whole = {name: np.zeros(runs) for name in ("grad_sq", "radial_gradient", "grad_mean_sq_unit", "laplacian")}
    growth, loss_of_norm = np.zeros(runs), np.zeros(runs)
    for step in range(burn_in + steps):
        norms = [np.sqrt((w**2).sum(1)) for w in weights]
        total = sum(r**2 for r in norms) + (free**2).sum(1)
        lr = first * total if fixed else first
        pushes, moments, curvature = [], [], np.zeros(runs)
        for w, r, sigma, size in zip(weights, norms, sigmas, sizes, strict=True):
            unit = w / r[:, None]
            cosine = unit[:, 0]
            noise = sigma * rng.standard_normal((runs, size))
            mean = unit * cosine[:, None]
            mean[:, 0] -= 1
            pushes.append((mean + noise - unit * (unit * noise).sum(1, keepdims=True)) / r[:, None])
            moments.append((r**2, (1 - cosine**2) / r**2, (size - 1) * sigma**2 / r**2))
            curvature += (size - 1) * cosine / r**2
        if rest:
            mean = well * (free - place)
            pushes.append(mean + rough * rng.standard_normal((runs, rest)))
            moments.append(((free**2).sum(1), (mean**2).sum(1), np.full(runs, rest * rough**2)))
            curvature += rest * well
        square = sum((g**2).sum(1) for g in pushes)
        radial = (free * pushes[-1]).sum(1) if rest else np.zeros(runs)
        if step >= burn_in:
            for column, name in enumerate(sums):
                sums[name] += np.stack([moment[column] for moment in moments], 1)
            whole["grad_sq"] += square
            whole["radial_gradient"] += radial
            whole["grad_mean_sq_unit"] += total * sum(moment[1] for moment in moments)
            whole["laplacian"] += total * curvature
            shrunk = (1 - lr * decay - lr * radial / total) ** 2
            growth += np.log1p((lr**2 * square - (lr * radial) ** 2 / total) / (shrunk * total))
            loss_of_norm -= np.log(shrunk)
        for w, g in zip([*weights, free] if rest else weights, pushes, strict=True):
            w *= (1 - lr * decay)[:, None]
            w -= lr[:, None] * g
    parts = {name: values / steps for name, values in sums.items()}
    means = {name: values / steps for name, values in whole.items()}
    means |= {name: values.sum(1) for name, values in parts.items()}
    means["grad_variance_unit"] = means["grad_variance"] * means["radius_sq"]
    means["log_radius"] = np.log(means["radius_sq"]) / 2
    if fixed:
        means["balance"] = growth / loss_of_norm
    table = {name: (("run", "component"), values) for name, values in parts.items()}
    numbers = np.tile([*sizes, rest][:count], (runs, 1))
    table["parameters"] = (("run", "component"), numbers)
    table["scale_invariant"] = (("run", "component"), np.tile(np.arange(count) < len(sizes), (runs, 1)))
    names = [*(f"layer.{i}" for i in range(len(sizes))), "gain"][:count]
    group = xr.Dataset(table, coords={"component": np.arange(count), "component_name": ("component", names)})
    knobs = {"effective_lr" if fixed else "lr": first, "weight_decay": decay}
    return runs_of(knobs, protocol, means, group, d)


def with_length_scale(rng, eps, d=11, sigma=1.0, steps=8000):
    """A sphere whose loss is a function of ``w/sqrt(r^2 + eps)``, with noise along the sphere, at fixed LR."""
    lr, decay = grid((-2.0, -0.8), (-2.0, -0.8))
    runs, burn_in = len(lr), steps // 2
    w = rng.standard_normal((runs, d)) * 0.1
    w[:, 0] += 1
    w *= ((lr * (d - 1) * sigma**2 / (2 * decay)) ** 0.25 / np.linalg.norm(w, axis=1))[:, None]
    names = ("radius_sq", "grad_sq", "grad_mean_sq", "grad_variance", "radial_gradient", "stretch")
    sums = np.zeros((len(names), runs))
    for step in range(burn_in + steps):
        square = (w**2).sum(1)
        scale = np.sqrt(square + eps)
        along = w[:, 0] / scale
        mean = w * (along / scale**2)[:, None]
        mean[:, 0] -= 1 / scale
        noise = sigma * rng.standard_normal((runs, d)) / scale[:, None]
        noise -= w * ((w * noise).sum(1) / square)[:, None]
        g = mean + noise
        if step >= burn_in:
            variance = (d - 1) * sigma**2 / scale**2
            sums += [square, (g**2).sum(1), (mean**2).sum(1), variance, (w * g).sum(1), -along]
        w = (1 - lr * decay)[:, None] * w - lr[:, None] * g
    means = dict(zip(names, sums / steps, strict=True))
    means["log_radius"] = np.log(means["radius_sq"]) / 2
    return runs_of({"lr": lr, "weight_decay": decay}, "fixed-lr", means, dimension=d)


def mixture_table(rng, heat=(1.0, 1.0, 1.0, 1.0), out_of_balance=1.0, sizes=(20, 20, 50, 200), scatter=0.03):
    """A mixture from its formulas, as a network's snapshots would show it: the noise of a part scatters by 3 % a run.

    `out_of_balance` multiplies the gradient noise that is shown of the last part.
    """
    lr, decay = grid(levels=(7, 7))
    runs, count = len(lr), len(sizes)
    sizes, sigmas = np.array(sizes), np.array(heat) * np.sqrt(np.array(sizes) - 1)
    share = 0.1 + 0.2 * rng.random((runs, count))  # |grad L|^2 over tr Cov
    swing = 1 + scatter * rng.standard_normal((runs, count))
    per_step = (lr / (decay * (2 - lr * decay)))[:, None] * (sizes - 1) * sigmas**2 * (1 + share)
    squared = np.sqrt(per_step) * (1 + 0.002 * rng.standard_normal((runs, count)))
    noise = (sizes - 1) * sigmas**2 / squared
    shown = noise * swing * np.where(np.arange(count) == count - 1, out_of_balance, 1.0)
    columns = {"radius_sq": squared, "grad_variance": shown, "grad_mean_sq": noise * share * swing}
    columns |= {"parameters": np.tile(sizes, (runs, 1)), "scale_invariant": np.ones((runs, count), bool)}
    parts = xr.Dataset({name: (("run", "component"), values) for name, values in columns.items()})
    means = {"radius_sq": squared.sum(1), "grad_sq": (noise * (1 + share)).sum(1)}
    return runs_of({"lr": lr, "weight_decay": decay}, "fixed-lr", means, parts, int(sizes.sum()))
