"""What distinguishes the optimisers: how a gradient becomes a step, and what they remember."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor


class Optimizer(ABC):
    """An update rule over an ensemble of runs, each with its own learning rate and weight decay."""

    name: ClassVar[str]

    def state(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Tensors to be remembered between steps, by name; they go into the checkpoints. None unless overridden."""
        return {}

    @abstractmethod
    def step(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        lr: Tensor,
        weight_decay: Tensor,
        state: dict[str, Tensor],
    ) -> None:
        """Update the weights in place; the gradients may be used as scratch.

        Parameters
        ----------
        weights, gradients
            Each tensor (run, out, in).
        lr, weight_decay
            Shape (run, 1, 1).
        state
            What :meth:`state` returned.
        """
