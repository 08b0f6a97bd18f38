"""Heavy ball and Nesterov's variant, as ``torch.optim.SGD`` has them: coupled weight decay, no dampening."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from empirics.training.optimizer import Optimizer, decayed


class Momentum(Optimizer):
    """``v ← momentum · v + g + weight_decay · w``, ``w ← w − lr · v``, with ``v = 0`` before the first step."""

    name: ClassVar[str] = "momentum"

    @property
    def gain(self) -> float:
        """The sum of the weights that the buffer gives to one gradient, ``1/(1 − momentum)``."""
        return 1 / (1 - self.settings.momentum)

    def state(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """One buffer a tensor."""
        return {f"buffer.{i}": torch.zeros_like(w) for i, w in enumerate(weights)}

    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """The buffers."""
        pulls = decayed(weights, gradients, weight_decay)
        return [state[f"buffer.{i}"].mul_(self.settings.momentum).add_(pull) for i, pull in enumerate(pulls)]


class Nesterov(Momentum):
    """``v ← momentum · v + g + weight_decay · w``, ``w ← w − lr (g + weight_decay · w + momentum · v)``."""

    name: ClassVar[str] = "nesterov"

    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """The gradients with their decay, plus `momentum` times the buffers."""
        pulls = decayed(weights, gradients, weight_decay)
        momentum = self.settings.momentum
        for i, pull in enumerate(pulls):
            pull.add_(state[f"buffer.{i}"].mul_(momentum).add_(pull), alpha=momentum)
        return pulls
