"""Adam with decoupled weight decay (AdamW) and with the L2 penalty, as ``torch.optim`` has them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from empirics.training.optimizer import Optimizer, along, decayed


class _Adam(Optimizer):
    """``m ← β₁m + (1−β₁)h``, ``v ← β₂v + (1−β₂)h²``, direction ``m̂/(√v̂ + eps)``, hats: divided by ``1 − β^t``."""

    def state(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Two averages a tensor."""
        zeros = {f"average.{i}": torch.zeros_like(w) for i, w in enumerate(weights)}
        return zeros | {f"square.{i}": torch.zeros_like(w) for i, w in enumerate(weights)}

    def _normalised(self, gradients: Sequence[Tensor], state: dict[str, Tensor], step: int) -> list[Tensor]:
        """Averages of the gradients over the roots of the averages of their squares."""
        beta1, beta2, eps = self.settings
        unbias1, root2 = 1 - beta1 ** (step + 1), (1 - beta2 ** (step + 1)) ** 0.5
        found = []
        for i, g in enumerate(gradients):
            average = state[f"average.{i}"].lerp_(g, 1 - beta1)
            square = state[f"square.{i}"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
            found.append((average / unbias1).div_(square.sqrt().div_(root2).add_(eps)))
        return found

    @abstractmethod
    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """See :meth:`Optimizer.directions`."""


class AdamW(_Adam):
    """The decay acts on the weights, ``w ← w − lr (m̂/(√v̂ + eps) + weight_decay · w)``, with ``h = g``."""

    name: ClassVar[str] = "adamw"

    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """The normalised gradients, plus the decay."""
        normalised = self._normalised(gradients, state, step)
        return [b.addcmul_(w, along(weight_decay, w)) for w, b in zip(weights, normalised, strict=True)]


class AdamL2(_Adam):
    """The decay is part of the gradient, ``h = g + weight_decay · w``, ``w ← w − lr · m̂/(√v̂ + eps)``."""

    name: ClassVar[str] = "adam-l2"

    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """The normalised gradients of the loss with its penalty."""
        return self._normalised(decayed(weights, gradients, weight_decay), state, step)
