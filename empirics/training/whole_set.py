"""The expected loss of every run, over the whole data set: its gradient, its Hessian and the covariance of its noise.

Nothing is sampled: all samples are taken, and label noise is averaged over. It is for small data sets, and for networks
in which the loss of all samples is the mean of the minibatch losses (no BatchNorm).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from empirics.models.base import Model, views
from empirics.training.feed import Samples

#: Copies of a network that are differentiated at once: at most so many samples in all of them, and so many weights.
SAMPLES, WEIGHTS = 2**16, 2**21


class WholeSet:
    """The loss of the whole data set, averaged over fresh label noise.

    Parameters
    ----------
    model
        The network.
    frozen
        Its tensors that are not trained, each (run, ...), the same for all runs.
    inputs
        The samples, shape (sample, feature).
    shares
        Probability that a minibatch shows a sample with each of the classes as its label, shape (sample, class).
    """

    def __init__(self, model: Model, frozen: Sequence[Tensor], inputs: Tensor, shares: Tensor) -> None:
        self.model, self._inputs, self._shares = model, inputs, shares
        self._frozen = [tensor[:1] for tensor in frozen]

    @classmethod
    def of(
        cls, model: Model, frozen: Sequence[Tensor], samples: Samples, classes: int, label_noise: float
    ) -> "WholeSet":
        """Replace labels with probability `label_noise` by one drawn from all classes, anew in every minibatch."""
        own = one_hot(samples.labels, classes).double()
        return cls(model, frozen, samples.inputs, (1 - label_noise) * own + label_noise / classes)

    def double(self) -> "WholeSet":
        """The same in float64, on the CPU."""
        inputs, shares, *frozen = (one.double().cpu() for one in (self._inputs, self._shares, *self._frozen))
        return WholeSet(self.model, frozen, inputs, shares)

    def _log_p(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """Logarithms of the probabilities, (copy, sample, class), from weights (copy, d) and inputs of each copy."""
        frozen = [tensor.expand(len(flat), *tensor.shape[1:]) for tensor in self._frozen]
        return self.model.logits(views(flat, self.model.blocks), frozen, inputs).double().log_softmax(2)

    def losses(self, flat: Tensor) -> Tensor:
        """Mean loss of every run over all samples and over the label noise (nat), shape (run,), float64."""
        log_p = self._log_p(flat, self._inputs.expand(len(flat), -1, -1))
        return -(self._shares * log_p).sum(2).mean(1)

    def gradient(self, flat: Tensor) -> Tensor:
        """Gradients of the losses of every run, (run, d)."""
        return _gradient(self.losses, flat)

    def hessian_times(self, weights: Tensor, vectors: Tensor, reach: float) -> Tensor:
        """Product of the Hessian with unit vectors, by differences of gradients, which see the kinks of ReLU, too.

        Parameters
        ----------
        weights
            Those of one run, shape (d,).
        vectors
            Shape (n, d).
        reach
            Half the length (rad) of the intervals over which the curvature is averaged.

        Returns
        -------
        Tensor
            Shape (n, d), in nat per squared weight.
        """
        step, rows = reach * torch.linalg.vector_norm(weights), []
        for some in vectors.split(_together(len(self._inputs), len(weights))):
            rows.append((self.gradient(weights + step * some) - self.gradient(weights - step * some)) / (2 * step))
        return torch.cat(rows)

    def covariance(self, weights: Tensor, basis: Tensor) -> Tensor:
        """Covariance of the gradient of one sample with the label it is drawn with, at the weights of one run.

        Parameters
        ----------
        weights
            Shape (d,).
        basis
            The directions between which it is taken, shape (d, m).

        Returns
        -------
        Tensor
            Shape (m, m), in nat² per squared weight. That of a minibatch of B samples, drawn with replacement, is 1/B
            of it.
        """
        mean = weights.new_zeros(basis.shape[1])
        second = mean.new_zeros(len(mean), len(mean))
        for label in range(self._shares.shape[1]):
            shown = self._shares[:, label] > 0
            inputs, shares = self._inputs[shown], self._shares[shown, label] / len(self._inputs)
            some = _together(1, len(weights))
            for x, share in zip(inputs.split(some), shares.to(weights.dtype).split(some), strict=True):
                each = _gradient(partial(self._single, x, label), weights.expand(len(x), -1)) @ basis
                second += each.T @ (share.unsqueeze(1) * each)
                mean += share @ each
        return second - torch.outer(mean, mean)

    def _single(self, inputs: Tensor, label: int, flat: Tensor) -> Tensor:
        """Loss of one sample for each copy with this label, shape (copy,)."""
        return -self._log_p(flat, inputs.unsqueeze(1))[:, 0, label]


def _together(samples: int, weights: int) -> int:
    """How many copies of a network are differentiated at once, each on so many samples."""
    return max(1, min(SAMPLES // samples, WEIGHTS // weights))


def _gradient(losses: Callable[[Tensor], Tensor], flat: Tensor) -> Tensor:
    """Gradients of losses (copy,) by weights (copy, d)."""
    with torch.enable_grad():
        leaf = flat.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(losses(leaf).sum(), leaf)
    return gradient
