"""Heavy ball and Nesterov's variant, as in ``torch.optim.SGD``: coupled weight decay, no dampening."""

import torch
from torch import Tensor

from empirics.training.optimizer import Numbers, TrainingStep, decayed


class Momentum(TrainingStep):
    """``v ← momentum · v + g + weight_decay · w``, ``w ← w − lr · v``, with ``v = 0`` before the first step."""

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """The buffer."""
        return {"buffer": torch.zeros_like(weights)}

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The buffer."""
        return state["buffer"].mul_(self.settings.momentum).add_(decayed(weights, gradient, weight_decay))


class Nesterov(Momentum):
    """``v ← momentum · v + g + weight_decay · w``, ``w ← w − lr (g + weight_decay · w + momentum · v)``."""

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The gradient with its decay, plus `momentum` times the buffer."""
        pull, momentum = decayed(weights, gradient, weight_decay), self.settings.momentum
        return pull.add_(state["buffer"].mul_(momentum).add_(pull), alpha=momentum)
