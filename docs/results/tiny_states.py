"""What docs/results/tiny.py asks beyond the results: shape of the noise, basins, where fluctuations come from."""

import json

import numpy as np
import torch
from tables import EXPERIMENTS

from empirics import Experiment
from empirics.data.loading import load
from empirics.measure import sphere_entropy
from empirics.models.base import views
from empirics.training.ensemble import Ensemble
from empirics.training.gradient import noise_size

#: Gradients from which a covariance is made, and runs it is made for.
GRADIENTS, STATES = 600, 14
#: The simulation with constant noise: relaxation times before it is measured and while it is, steps between looks.
BURN_IN, MEASURED, LOOK = 60, 500, 10
#: The Gibbs law itself: how many temperatures, copies of each; effective rate, spacing in 1/rate, snapshots left out.
GIBBS_TEMPERATURES, GIBBS_COPIES = 6, 4
GIBBS_RATE, GIBBS_SPACING, GIBBS_BURN_IN, GIBBS_SNAPSHOTS = 0.02, 4, 25, 260
#: Descent to the bottom: steps, and their rate on the unit sphere.
DESCENT, RATE = 1000, 0.05


def settled(name):
    """Runs of one middling temperature after their burn-in: the ensemble and its state."""
    experiment = Experiment.from_file(EXPERIMENTS / f"{name}.toml")
    rates = np.array([run.lr * run.weight_decay for run in experiment.runs])
    near = np.flatnonzero(middling(rates))[:STATES]
    return burnt_in(experiment, [experiment.runs[i] for i in near])


def burnt_in(experiment, runs):
    """These runs after their burn-in: the ensemble and its state."""
    ensemble = Ensemble(experiment, runs, load(experiment.data))
    state = ensemble.start()
    for _ in range(ensemble.times.burn_in):
        ensemble.advance(state)
    return ensemble, state


def step_gradient(ensemble, state, row, out):
    """Write the gradient that a step from here is taken with, all its noise added, shape (run, d)."""
    ensemble._step.take(state, state.step, row, out)
    if ensemble._noise is not None:
        ensemble._noise.add(state, state.step, out, torch.linalg.vecdot(state.flat, state.flat))


def middling(rates):
    """Which runs have lr x weight decay 0.67 decades below the largest: the middle of all grids but tiny-rms.toml's."""
    return abs(np.log10(rates / rates.max()) + 2 / 3) < 0.01


def gradients(ensemble, state, count):
    """Gradients at unit norm of so many steps from where the runs stand, shape (run, step, d)."""
    radius_sq, row, found = torch.linalg.vecdot(state.flat, state.flat), state.rows[0], []
    for _ in range(count):
        state.step += 1  # other minibatches, the same weights
        out = torch.empty_like(state.flat)
        step_gradient(ensemble, state, row, out)
        found.append(out * radius_sq.sqrt().unsqueeze(1))
    return torch.stack(found, 1).double().numpy()


def noise_shape(name):
    """Participation ratio of Sigma over m in settled runs, and the trace of the isotropic noise that is added.

    The ratio is (tr Sigma)^2/tr Sigma^2 from two independent covariances, so that neither is biased.
    """
    ensemble, state = settled(name)
    first, second = (np.stack([np.cov(g.T) for g in gradients(ensemble, state, GRADIENTS)]) for _ in range(2))
    traces = np.trace(first, axis1=1, axis2=2) * np.trace(second, axis1=1, axis2=2)
    m = ensemble.model.directions
    ratio = traces.mean() / np.einsum("rij,rji->r", first, second).mean() / m
    return ratio, m * noise_size(ensemble.experiment, ensemble.model) ** 2


def basins(runs):
    """Do the seeds of a cell go round in one basin? Cosines of their mean directions, and of the halves of one run.

    Of every pair of seeds, and of the two halves of every run, over all cells: median and lowest tenth.
    """
    weights = runs.tree["snapshots"]["weights"].values.astype(float)
    data, cells, between, within = runs.dataset, {}, [], []
    for i in np.flatnonzero(data["status"].values == "ok"):
        w = weights[i] / np.linalg.norm(weights[i], axis=1, keepdims=True)
        half = len(w) // 2
        within.append(_cosine(w[:half].mean(0), w[half:].mean(0)))
        cells.setdefault((float(data["lr"][i]), float(data["weight_decay"][i])), []).append(w[:half].mean(0))
    for means in cells.values():
        between += [_cosine(a, b) for k, a in enumerate(means) for b in means[:k]]
    return [float(np.quantile(values, q)) for values in (between, within) for q in (0.5, 0.1)]


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Landscape:
    """The loss averaged over all samples and label noise, on the unit sphere, many copies at once."""

    def __init__(self, ensemble, copies):
        self.model, self.copies = ensemble.model, copies
        data, table = ensemble.feeds.samples, ensemble.experiment.data
        self.inputs = data.inputs.double().expand(copies, -1, -1)
        targets = torch.nn.functional.one_hot(data.labels).double()
        self.targets = (1 - table.label_noise) * targets + table.label_noise / targets.shape[1]
        self.frozen = [w[:1].double().expand(copies, *w.shape[1:]) for w in ensemble.frozen]

    def loss_and_gradient(self, flat):
        """Loss (copy,) and gradient (copy, d) at weights (copy, d)."""
        with torch.enable_grad():
            leaf = flat.detach().requires_grad_()
            logits = self.model.logits(views(leaf, self.model.blocks), self.frozen, self.inputs)
            loss = -(self.targets * logits.log_softmax(2)).sum(2).mean(1)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient


def _unit(flat):
    return flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True)


def fluctuations(runs, name):
    """Var L/(R T^2) of settled runs at a middling T, with less and less of what SGD has; 1 in a cold Gibbs gas.

    Returns
    -------
    dict
        "SGD": as the results have it; "constant noise": simulated on the true loss with normal noise whose covariance
        is everywhere the mean one; "white": ``m tr H^2/(tr H)^2`` of the mean curvatures, what a harmonic well has
        whose noise is proportional to them; "alignment": the cosine of the two; "below": tr Sigma at the bottom of the
        basin over its mean.
    """
    ensemble, state = settled(name)
    m, d, few = ensemble.model.directions, ensemble.model.dimension, Landscape(ensemble, len(state.flat))
    here = _unit(state.flat.double())
    covariances = np.stack([np.cov(g.T) for g in gradients(ensemble, state, GRADIENTS)])
    sigma, eta = covariances.mean(0), np.mean([1 / ensemble.experiment.relaxation(run) for run in ensemble.runs])
    unit = m / 2 * (eta * np.trace(sigma) / (2 * m)) ** 2
    hessian = np.mean([_hessian(ensemble, w) for w in here], axis=0)
    middle = _unit(here.mean(0, keepdim=True))[0]
    tangents = torch.linalg.svd(torch.eye(d, dtype=torch.float64) - torch.outer(middle, middle))[0][:, : d - 1].numpy()
    curved, noise = tangents.T @ hessian @ tangents, tangents.T @ sigma @ tangents
    data = runs.dataset.isel(run=middling((runs.dataset["lr"] * runs.dataset["weight_decay"]).values))
    found = {
        "SGD": (data["loss_variance"] / data["temperature"] ** 2).mean() / (m / 2),
        "constant noise": _simulated(ensemble, here, sigma, eta) / unit,
        "white": m * np.sum(curved * curved) / np.trace(curved) ** 2,
        "alignment": np.sum(curved * noise) / np.linalg.norm(curved) / np.linalg.norm(noise),
        "below": _below(ensemble, state, few) / np.trace(sigma),
    }
    return {key: float(value) for key, value in found.items()}


def _hessian(ensemble, w):
    """Mean curvatures over the reach of the experiment's probes, on the tangents at w, shape (d, d)."""
    d, reach = len(w), ensemble.experiment.measure.hessian_reach
    flat = torch.eye(d, dtype=torch.float64) - torch.outer(w, w)
    land = Landscape(ensemble, d)
    ends = [land.loss_and_gradient(w + sign * reach * flat)[1] @ flat for sign in (1, -1)]
    matrix = ((ends[0] - ends[1]) / (2 * reach)).numpy()
    return (matrix + matrix.T) / 2


def _below(ensemble, state, land):
    """Trace of the noise at unit norm where gradient descent leads."""
    flat = _unit(state.flat.double())
    for _ in range(DESCENT):
        flat = _unit(flat - RATE * land.loss_and_gradient(flat)[1])
    state.flat.copy_(flat.to(state.flat.dtype))
    return np.mean([np.trace(np.cov(g.T)) for g in gradients(ensemble, state, GRADIENTS)])


def _simulated(ensemble, start, sigma, eta):
    """Variance of the expected loss under normal noise of one covariance everywhere."""
    copies = len(start)
    land, flat = Landscape(ensemble, copies), start.clone()
    values, vectors = np.linalg.eigh(sigma)
    root = torch.as_tensor((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
    seeded, losses = torch.Generator().manual_seed(0), []
    for step in range(int((BURN_IN + MEASURED) / eta)):
        loss, gradient = land.loss_and_gradient(flat)
        if step * eta > BURN_IN and step % LOOK == 0:
            losses.append(loss)
        noise = torch.randn(copies, len(root), generator=seeded, dtype=torch.float64) @ root
        flat = _unit(flat - eta * (gradient + noise - torch.linalg.vecdot(noise, flat).unsqueeze(1) * flat))
    return float(torch.stack(losses).var(0).mean())


def gibbs(name, low, high, folder):
    """V5's ratios where the Gibbs law holds: the same loss under isotropic noise alone, small steps, T from low on.

    What the estimators make of a true Gibbs law with as many snapshots as a run of the experiments has. Cubics in log T
    through the means of the copies; errors from leaving one copy of each temperature out.

    Returns
    -------
    dict
        The ratio by fluctuations and by neighbours, each with a standard error; kept in the folder of the runs.
    """
    path = folder / f"{name}-gibbs-{low:g}-{high:g}.json"
    if path.exists():
        return json.loads(path.read_text())
    ensemble, state = settled(name)
    d = ensemble.model.dimension
    heat = np.repeat(np.geomspace(low, high, GIBBS_TEMPERATURES), GIBBS_COPIES)
    copies, gap = len(heat), int(GIBBS_SPACING / GIBBS_RATE)
    start = _unit(state.flat.double())
    flat = start[torch.arange(copies) % len(start)].clone()
    land, size = Landscape(ensemble, copies), torch.as_tensor(np.sqrt(2 * heat / GIBBS_RATE)).unsqueeze(1)
    seeded, losses, kept = torch.Generator().manual_seed(1), [], []
    for step in range(gap * (GIBBS_BURN_IN + GIBBS_SNAPSHOTS)):
        loss, gradient = land.loss_and_gradient(flat)
        if step >= gap * GIBBS_BURN_IN and step % gap == 0:
            losses.append(loss.numpy().copy())
            kept.append(flat.numpy().copy())
        noise = torch.randn(copies, d, generator=seeded, dtype=torch.float64) * size
        noise -= torch.linalg.vecdot(noise, flat).unsqueeze(1) * flat
        flat = _unit(flat - GIBBS_RATE * (gradient + noise))
    series, weights = np.array(losses), np.array(kept)
    entropies = [sphere_entropy(weights[:, i], theiler=0).value for i in range(copies)]
    rows = [heat, series.mean(0), series.var(0, ddof=1), entropies]
    table = np.array(rows).reshape(4, GIBBS_TEMPERATURES, GIBBS_COPIES)
    left = np.array([_gibbs_ratios(np.delete(table, i, 2).mean(2)) for i in range(GIBBS_COPIES)])
    error = np.sqrt((GIBBS_COPIES - 1) * left.var(0))
    names = ("∫(Var L/T²)dT/ΔU", "∫T dS/ΔU")
    found = dict(zip(names, zip(_gibbs_ratios(table.mean(2)), error.tolist(), strict=True), strict=True))
    path.write_text(json.dumps(found))
    return found


def _gibbs_ratios(table):
    """The ratios from temperatures, mean losses, variances and entropies."""
    log_t = np.log(table[0])
    at = np.linspace(log_t[0], log_t[-1], 200)
    energy, capacity, entropy = (np.polyfit(log_t, one, 3) for one in (table[1], table[2] / table[0] ** 2, table[3]))
    gained = np.polyval(energy, at[-1]) - np.polyval(energy, at[0])
    slopes = np.polyval(capacity, at), np.polyval(np.polyder(entropy), at)
    return [float(np.trapezoid(np.exp(at) * one, at) / gained) for one in slopes]
