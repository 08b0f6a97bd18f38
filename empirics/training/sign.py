"""Steps by the signs of the gradient, or of its average, with decoupled weight decay."""

import torch
from torch import Tensor

from empirics.training.optimizer import Numbers, TrainingStep


class SignSGD(TrainingStep):
    """``w ← w − lr (sign(g) + weight_decay · w)`` (Bernstein et al. 2018, arXiv 1802.04434)."""

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The signs, plus the decay."""
        return gradient.sign().addcmul_(weights, weight_decay.unsqueeze(1))


class Lion(TrainingStep):
    """``w ← w − lr (sign(β₁m + (1−β₁)g) + weight_decay · w)``, then ``m ← β₂m + (1−β₂)g``.

    Chen et al. 2023 (arXiv 2302.06675), program 1.
    """

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """The average gradient."""
        return {"average": torch.zeros_like(weights)}

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The signs of an average that weighs the last gradient more, plus the decay."""
        pushed = state["average"].lerp(gradient, 1 - self.settings.momentum).sign_()
        state["average"].lerp_(gradient, 1 - self.settings.beta2)
        return pushed.addcmul_(weights, weight_decay.unsqueeze(1))
