"""What docs/results/edge.py asks of the kept weights: largest eigenvalues of H, and single steps of minibatches.

Predicted before the runs: the loss of a step's own minibatch decreases on average in every run, whatever the curvature
at its start: on the digits grid by 0.3 ± 0.1 of lr·E|g|² at the lowest lr·wd, and by less, but by more than 0, at the
highest. At widths 16 to 64, after a trial with seed 99 and a quarter of the length at width 16, by 0.05 to 0.4.
"""

import numpy as np
import torch

from empirics.data.loading import load
from empirics.models.base import views
from empirics.training.ensemble import Ensemble

#: Snapshots at which H is looked at, minibatches in its mean, products with it, and half the interval (rad).
LOOKS, BATCHES, PRODUCTS, REACH = 10, 32, 20, 0.01
#: Steps of single minibatches that are tried in each run, and parts from which their error comes.
STEPS, PARTS = 400, 20


def largest(product, start, number):
    """Largest eigenvalue of symmetric operators, one per run, by Lanczos with full orthogonalisation.

    Parameters
    ----------
    product : callable
        From vectors (run, d) to the operators' products with them.
    start : Tensor
        Vectors to begin with, shape (run, d).
    number : int
        Number of products.

    Examples
    --------
    >>> diagonal = torch.tensor([[1.0, 2.0, 5.0], [3.0, 0.0, 1.0]])
    >>> largest(lambda v: diagonal * v, torch.ones(2, 3), 3).numpy().round(4)
    array([5., 3.])
    """
    kept = [start / torch.linalg.vector_norm(start, dim=1, keepdim=True)]
    along, beside = [], []
    for _ in range(number):
        new, before = product(kept[-1]), torch.stack(kept, 1)
        along.append(torch.linalg.vecdot(new, kept[-1]))
        for _ in range(2):  # once leaves the rounding of large parts
            new = new - torch.einsum("rkd,rk->rd", before, torch.einsum("rkd,rd->rk", before, new))
        beside.append(torch.linalg.vector_norm(new, dim=1))
        kept.append(new / beside[-1].clamp(min=1e-30).unsqueeze(1))
    diagonal, off = torch.stack(along, 1), torch.stack(beside[:-1], 1)
    small = torch.diag_embed(diagonal) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    return torch.linalg.eigvalsh(small.double())[:, -1]


class Kept:
    """The kept weights of runs of SGD, with what takes gradients there.

    Attributes
    ----------
    ensemble : Ensemble
        Networks and minibatches of the runs.
    weights : Tensor
        Shape (run, snapshot, d).
    lr : Tensor
        Shape (run, 1).
    """

    def __init__(self, runs):
        self.ensemble = Ensemble(runs.experiment, runs.experiment.runs, load(runs.experiment.data))
        self.weights = torch.as_tensor(runs.tree["snapshots"]["weights"].values)
        self.lr = torch.tensor([[run.lr] for run in self.ensemble.runs], dtype=self.weights.dtype)

    def loss_and_gradient(self, weights, number):
        """Losses (run,) and gradients (run, d) of minibatch `number` of every run."""
        out, blocks = torch.empty_like(weights), self.ensemble.model.blocks
        inputs, labels = self.ensemble.feeds.probe.at(number)
        frozen = self.ensemble.frozen
        loss = self.ensemble.model.loss_and_grad(views(weights, blocks), frozen, inputs, labels, views(out, blocks))
        return loss.clone(), out

    def difference(self, weights, vectors, numbers):
        """Mean Hessian of minibatches times vectors, over `REACH` to both sides; vectors of any length."""
        step = REACH * torch.linalg.vector_norm(weights, dim=1, keepdim=True)
        step = step / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        found = torch.zeros_like(weights)
        for number in numbers:
            ends = [self.loss_and_gradient(weights + sign * step * vectors, number)[1] for sign in (1, -1)]
            found += (ends[0] - ends[1]) / (2 * step)
        return found / len(numbers)

    def sharpness(self):
        """lr times the largest eigenvalue of the mean Hessian, which is the same at unit norm, shape (run, look)."""
        found, draw = [], torch.Generator().manual_seed(0)
        for look, snapshot in enumerate(np.linspace(0, self.weights.shape[1] - 1, LOOKS).astype(int)):
            weights = self.weights[:, snapshot].contiguous()
            numbers = range(look * BATCHES, (look + 1) * BATCHES)
            start = torch.randn(weights.shape, generator=draw, dtype=weights.dtype)
            value = largest(lambda v, w=weights, n=numbers: self.difference(w, v, n), start, PRODUCTS)
            found.append((self.lr[:, 0] * value).numpy())
        return np.array(found).T

    def steps(self):
        """Of single steps, in parts: lr·|g|², lr²·g·H_B g/2, and change of the minibatch's loss, (3, run, part)."""
        snapshots, found = self.weights.shape[1], []
        for i in range(STEPS):
            weights = self.weights[:, i * snapshots // STEPS].contiguous()
            before, gradient = self.loss_and_gradient(weights, i)
            bent = torch.linalg.vecdot(gradient, self.difference(weights, gradient, [i]))
            after, _ = self.loss_and_gradient(weights - self.lr * gradient, i)
            size, lr = torch.linalg.vecdot(gradient, gradient), self.lr[:, 0]
            found.append(torch.stack([lr * size, lr**2 * bent / 2, after - before]).double().numpy())
        return np.array(found).reshape(PARTS, -1, 3, len(weights)).mean(1).transpose(1, 2, 0)


def looked(runs):
    """What the page keeps of runs whose weights are kept, by name; every number one per run."""
    kept = Kept(runs)
    sharp, (size, bent, change) = kept.sharpness(), kept.steps()
    return {
        "lr·λ_max, median": np.median(sharp, 1),
        "lr·λ_max, lowest tenth": np.quantile(sharp, 0.1, axis=1),
        "lr·λ_max, highest tenth": np.quantile(sharp, 0.9, axis=1),
        "share above 2": (sharp > 2).mean(1),
        "size": size,
        "bent": bent,
        "change": change,
    }
