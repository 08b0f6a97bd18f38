"""Adam with decoupled weight decay (AdamW) and with an L2 penalty, as in ``torch.optim``."""

import torch
from torch import Tensor

from empirics.training.optimizer import Numbers, TrainingStep, decayed


class Adam(TrainingStep):
    """``m ← β₁m + (1−β₁)h``, ``v ← β₂v + (1−β₂)h²``, direction ``m̂/(√v̂ + eps)``, hats: divided by ``1 − β^t``."""

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """The two averages."""
        return {"average": torch.zeros_like(weights), "square": torch.zeros_like(weights)}

    def numbers(self, step: int) -> tuple[float, ...]:
        """What the averages are divided by: ``1 − β₁^t``, and the root of ``1 − β₂^t``."""
        beta1, beta2 = self.settings[:2]
        return 1 - beta1 ** (step + 1), (1 - beta2 ** (step + 1)) ** 0.5

    def normalised(self, gradient: Tensor, state: dict[str, Tensor], numbers: Numbers) -> Tensor:
        """Average gradient divided by the root of the average squared gradient."""
        (beta1, beta2, eps), (unbias1, root2) = self.settings[:3], numbers
        average = state["average"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        return (average / unbias1).div_(square.sqrt().div_(root2).add_(eps))


class AdamW(Adam):
    """The decay acts on the weights, ``w ← w − lr (m̂/(√v̂ + eps) + weight_decay · w)``, with ``h = g``."""

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The normalised gradient, plus the decay."""
        return self.normalised(gradient, state, numbers).addcmul_(weights, weight_decay.unsqueeze(1))


class AdamL2(Adam):
    """The decay is part of the gradient, ``h = g + weight_decay · w``, ``w ← w − lr · m̂/(√v̂ + eps)``."""

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The normalised gradient of the loss with its penalty."""
        return self.normalised(decayed(weights, gradient, weight_decay), state, numbers)
