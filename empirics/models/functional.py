"""Networks with torch's backward pass: the ensemble is one graph, and the sum of the losses is differentiated.

The runs share no weights, so the gradient of the sum holds the gradient of each run.
"""

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from empirics.models.base import Block, Model

#: Negligible beside any variance in a trained network, but enough to avoid 0/0 for a constant input.
NEGLIGIBLE = 1e-30


class FunctionalModel(Model):
    """A network defined by its logits.

    Parameters
    ----------
    features, classes
        Number of inputs and of outputs.
    eps
        Added to the variance in normalisations.
    head_norm
        Frobenius norm of the frozen last layer.
    """

    def __init__(self, features: int, classes: int, eps: float, head_norm: float) -> None:
        self._features, self.classes, self.eps, self.head_norm = features, classes, eps, head_norm

    @property
    def features(self) -> int:
        """Number of inputs of one sample."""
        return self._features

    @property
    def negligible(self) -> Self:
        """The same network with a negligible eps."""
        other = copy.copy(self)
        other.eps = NEGLIGIBLE
        return other

    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw Gaussian weights of one run, with rows of mean square length 1 in every block."""
        return [_gaussian(generator, block) for block in self.blocks]

    def loss_and_grad(
        self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor, labels: Tensor, out: Sequence[Tensor]
    ) -> Tensor:
        """Compute the mean cross-entropy (nat) of each run's minibatch; see :meth:`Model.loss_and_grad`."""
        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            logits = self.logits(leaves, frozen, inputs)
            losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            loss = losses.view(labels.shape).mean(1)
            gradients = torch.autograd.grad(loss.sum(), leaves)
        for target, gradient in zip(out, gradients, strict=True):
            target.copy_(gradient)
        return loss.detach()


def _gaussian(generator: np.random.Generator, block: Block) -> NDArray:
    return generator.standard_normal(block.shape) / np.sqrt(block.size / block.shape[0])


def frozen_head(generator: np.random.Generator, classes: int, width: int, norm: float) -> list[NDArray]:
    """Draw a Gaussian last layer, shape (class, width), scaled to a Frobenius norm."""
    head = generator.standard_normal((classes, width))
    return [head * (norm / np.linalg.norm(head))]


def linear(signal: Tensor, matrix: Tensor) -> Tensor:
    """Apply each run's matrix (run, out, in) to its signal (run, batch, ..., in)."""
    runs, width = signal.shape[0], signal.shape[-1]
    return torch.bmm(signal.reshape(runs, -1, width), matrix.transpose(1, 2)).view(*signal.shape[:-1], -1)


def normalised(signal: Tensor, norm: str, eps: float) -> Tensor:
    """Normalise the last axis: ``"layer"`` to mean 0 and variance 1, ``"rms"`` to mean square 1."""
    if norm == "layer":
        return functional.layer_norm(signal, signal.shape[-1:], eps=eps)
    return signal * (signal.square().mean(-1, keepdim=True) + eps).rsqrt()
