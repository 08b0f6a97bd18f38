"""What docs/results/tiny.py asks beyond the results: the shape of the noise, basins, where the fluctuations come from."""

import numpy as np
import torch
from scipy.linalg import solve_continuous_lyapunov
from tables import EXPERIMENTS

from empirics import Experiment
from empirics.data.loading import load
from empirics.models.base import views
from empirics.training.ensemble import Ensemble
from empirics.training.gradient import noise_size

#: Gradients from which a covariance is made, and runs it is made for.
GRADIENTS, STATES = 600, 14
#: Relaxation times before and after which the simulation with constant noise is measured; copies; steps between looks.
BURN_IN, MEASURED, COPIES, LOOK = 60, 400, 28, 10


def settled(name):
    """Runs of a middling temperature after their burn-in: the ensemble and its state."""
    experiment = Experiment.from_file(EXPERIMENTS / f"{name}.toml")
    rates = np.array([run.lr * run.weight_decay for run in experiment.runs])
    near = np.argsort(abs(np.log(rates / np.sqrt(rates.min() * rates.max()))), kind="stable")[:STATES]
    ensemble = Ensemble(experiment, [experiment.runs[i] for i in sorted(near)], load(experiment.data))
    state = ensemble.start()
    for _ in range(ensemble.times.burn_in):
        ensemble.advance(state)
    return ensemble, state


def gradients(ensemble, state, count):
    """Gradients at unit norm of so many steps from where the runs stand, shape (run, step, d)."""
    radius_sq, row, found = torch.linalg.vecdot(state.flat, state.flat), state.rows[0], []
    for state.step in range(state.step, state.step + count):
        out = torch.empty_like(state.flat)
        ensemble._step.take(state, row, out)
        if ensemble._noise is not None:
            ensemble._noise.add(state, out, radius_sq)
        found.append(out * radius_sq.sqrt().unsqueeze(1))
    return torch.stack(found, 1).double().numpy()


def noise_shape(name):
    """Participation ratio of Sigma over m, and the share of isotropic noise in its trace; means over settled runs.

    The ratio is (tr Sigma)^2/tr Sigma^2 from two independent covariances, so that neither is biased.
    """
    ensemble, state = settled(name)
    first, second = (np.stack([np.cov(g.T) for g in gradients(ensemble, state, GRADIENTS)]) for _ in range(2))
    traces = np.trace(first, axis1=1, axis2=2) * np.trace(second, axis1=1, axis2=2)
    m = ensemble.model.directions
    ratio = traces.mean() / np.einsum("rij,rji->r", first, second).mean() / m
    return ratio, m * noise_size(ensemble.experiment, ensemble.model) ** 2 / np.sqrt(traces.mean())


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


def fluctuations(name):
    """Var L/(R T^2) where the runs of `name` are, by what is left out one after the other; 1 is the Gibbs law, cold.

    Returns
    -------
    dict
        "curvatures": covariance proportional to the identity, ``m tr H^2/(tr H)^2``; "harmonic": the Lyapunov solution
        with the curvatures and the noise at the bottom; "constant noise": simulated on the true loss with normal noise
        that is everywhere that of the bottom; and the cosine of H and Sigma there, "alignment".
    """
    ensemble, state = settled(name)
    m, d = ensemble.model.directions, ensemble.model.dimension
    few = Landscape(ensemble, len(state.flat))
    bottom = _unit(state.flat.double())
    for _ in range(3000):
        loss, gradient = few.loss_and_gradient(bottom)
        bottom = _unit(bottom - 0.02 * gradient)
    w = bottom[loss.argmin()]
    tangents = torch.linalg.svd(torch.eye(d, dtype=torch.float64) - torch.outer(w, w))[0][:, : d - 1]
    reach = ensemble.experiment.measure.hessian_reach
    ends = [
        Landscape(ensemble, d - 1).loss_and_gradient(w + sign * reach * tangents.T)[1] @ tangents for sign in (1, -1)
    ]
    hessian = (ends[0] - ends[1]).numpy() / (2 * reach)
    hessian = (hessian + hessian.T) / 2
    state.flat.copy_(w.to(state.flat.dtype).expand(len(state.flat), -1))
    steps = gradients(ensemble, state, GRADIENTS).reshape(-1, d) @ tangents.numpy()
    sigma = np.cov(steps.T)
    eta = np.mean([1 / ensemble.experiment.relaxation(run) for run in ensemble.runs])
    heat = eta * np.trace(sigma) / (2 * m)
    unit = m / 2 * heat**2
    spread = hessian @ solve_continuous_lyapunov(hessian, eta * sigma)
    found = {
        "curvatures": m * np.trace(hessian @ hessian) / np.trace(hessian) ** 2,
        "harmonic": np.trace(spread @ spread) / 2 / unit,
        "constant noise": _simulated(ensemble, w, tangents, sigma, eta) / unit,
        "alignment": np.sum(hessian * sigma) / np.linalg.norm(hessian) / np.linalg.norm(sigma),
        "T": heat,
    }
    return {key: float(value) for key, value in found.items()}


def _simulated(ensemble, w, tangents, sigma, eta):
    """Variance of the expected loss under normal noise of one covariance everywhere."""
    land, flat = Landscape(ensemble, COPIES), w.expand(COPIES, -1).clone()
    root = tangents @ torch.as_tensor(np.linalg.cholesky(sigma))
    seeded, losses = torch.Generator().manual_seed(0), []
    for step in range(int((BURN_IN + MEASURED) / eta)):
        loss, gradient = land.loss_and_gradient(flat)
        if step * eta > BURN_IN and step % LOOK == 0:
            losses.append(loss)
        noise = torch.randn(COPIES, root.shape[1], generator=seeded, dtype=torch.float64) @ root.T
        flat = _unit(flat - eta * (gradient + noise - torch.linalg.vecdot(noise, flat).unsqueeze(1) * flat))
    return float(torch.stack(losses).var(0).mean())
