"""Plain stochastic gradient descent with L2 weight decay inside the gradient, as ``torch.optim.SGD`` has it."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from empirics.training.optimizer import Optimizer


class SGD(Optimizer):
    """``w ← w − lr (g + weight_decay · w)``."""

    name: ClassVar[str] = "sgd"

    def step(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        lr: Tensor,
        weight_decay: Tensor,
        state: dict[str, Tensor],
    ) -> None:
        """One step in place.

        The decay is added to the gradient first: ``w · (1 − lr·weight_decay)`` would round the factor once and for all,
        in float32 by up to 2e-4 of the decay, the same way in every step.
        """
        for w, g in zip(weights, gradients, strict=True):
            w.addcmul_(torch.addcmul(g, w, weight_decay), lr, value=-1)
