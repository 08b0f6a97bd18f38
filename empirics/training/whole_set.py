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

#: Copies of a network that are differentiated at once.
COPIES = 128


class WholeSet:
    """The loss of the whole data set, averaged over fresh label noise.

    Parameters
    ----------
    model
        The network.
    frozen
        Its tensors that are not trained, each (run, ...), the same for all runs.
    samples
        The data.
    shares
        Probability that a minibatch shows a sample with each of the classes as its label, shape (sample, class).
    """

    def __init__(self, model: Model, frozen: Sequence[Tensor], samples: Samples, shares: Tensor) -> None:
        self.model, self._inputs, self._shares = model, samples.inputs, shares
        self._frozen = [tensor[:1] for tensor in frozen]

    @classmethod
    def of(
        cls, model: Model, frozen: Sequence[Tensor], samples: Samples, classes: int, label_noise: float
    ) -> "WholeSet":
        """Replace labels with probability `label_noise` by one drawn from all classes, anew in every minibatch."""
        own = one_hot(samples.labels, classes).double()
        return cls(model, frozen, samples, (1 - label_noise) * own + label_noise / classes)

    def double(self) -> "WholeSet":
        """The same with inputs and frozen tensors in float64."""
        samples = Samples(self._inputs.double(), self._shares.argmax(1))
        return WholeSet(self.model, [tensor.double() for tensor in self._frozen], samples, self._shares)

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
        return _gradient(self.losses, flat)[0].detach()

    def hessian(self, weights: Tensor) -> Tensor:
        """Second derivatives at the weights of one run, shape (d,): (d, d), symmetric, in nat per squared weight.

        Kinks, as of ReLU, have no part in them.
        """
        rows = []
        for directions in torch.eye(len(weights), dtype=weights.dtype, device=weights.device).split(COPIES):
            gradient, leaf = _gradient(self.losses, weights.expand(len(directions), -1), again=True)
            rows.append(torch.autograd.grad(gradient, leaf, directions)[0])
        found = torch.cat(rows)
        return (found + found.T) / 2

    def covariance(self, weights: Tensor) -> Tensor:
        """Covariance of the gradient of one sample with the label it is drawn with, at the weights of one run.

        Parameters
        ----------
        weights
            Shape (d,).

        Returns
        -------
        Tensor
            Shape (d, d), in nat² per squared weight. That of a minibatch of B samples, drawn with replacement, is 1/B
            of it.
        """
        second, mean = weights.new_zeros(len(weights), len(weights)), torch.zeros_like(weights)
        for label in range(self._shares.shape[1]):
            shown = self._shares[:, label] > 0
            inputs, shares = self._inputs[shown], self._shares[shown, label] / len(self._inputs)
            for x, share in zip(inputs.split(COPIES), shares.to(weights.dtype).split(COPIES), strict=True):
                copies = weights.expand(len(x), -1)
                each, _ = _gradient(partial(self._single, x, label), copies)
                second += each.T @ (share.unsqueeze(1) * each)
                mean += share @ each
        return second - torch.outer(mean, mean)

    def _single(self, inputs: Tensor, label: int, flat: Tensor) -> Tensor:
        """Loss of one sample for each copy with this label, shape (copy,)."""
        return -self._log_p(flat, inputs.unsqueeze(1))[:, 0, label]


def _gradient(losses: Callable[[Tensor], Tensor], flat: Tensor, again: bool = False) -> tuple[Tensor, Tensor]:
    """Gradients of losses (copy,) by weights (copy, d), differentiable `again` by the leaf beside them."""
    with torch.enable_grad():
        leaf = flat.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(losses(leaf).sum(), leaf, create_graph=again)
    return gradient, leaf
