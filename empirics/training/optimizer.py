"""The interface of optimisers: how a gradient becomes a direction, and which state they keep."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from empirics.models.base import Block

#: Numbers that change with the step.
Numbers = Sequence[float | Tensor]


class Settings(NamedTuple):
    """Constants of the optimisers, the same for all runs, as torch.optim means them; each uses those it needs."""

    momentum: float = 0.9  # decay per step of the average of the gradients (Adam's beta1), 0 or more and below 1
    beta2: float = 0.999  # decay per step of the average of the squared gradients
    eps: float = 1e-8  # added to the root of that average, in units of a gradient
    scale: float = 1.0  # of Muon's steps: what multiplies the polar factor


class TrainingStep(ABC):
    """An update ``w ← w − lr · direction`` over an ensemble of runs, each with its own rate and weight decay.

    `blocks` are the tensors of the network, for steps that treat each by itself.
    """

    def __init__(self, settings: Settings, blocks: Sequence[Block]) -> None:
        self.settings, self.blocks = settings, tuple(blocks)

    def check(self) -> None:  # noqa: B027 - most train any network
        """Refuse a network that the optimiser cannot train, before any work."""

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """State kept between steps, by name, saved in checkpoints; none by default.

        Under "pull", shape (run,), is ``w · decay`` of the last direction, where it is not ``weight_decay |w|²``.
        """
        return {}

    def numbers(self, step: int) -> tuple[float, ...]:
        """Numbers that a direction needs and that depend on the step alone, from 0; none by default."""
        return ()

    @abstractmethod
    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """Direction of the step, weight decay included: the weights decrease by the learning rate times it.

        Parameters
        ----------
        weights, gradient
            Shape (run, d).
        weight_decay
            Shape (run,).
        state
            The state from :meth:`state`; changed in place.
        numbers
            :meth:`numbers` of this step; tensors of one number where the step is repeated by the device.

        Returns
        -------
        Tensor
            Shape (run, d), valid until the next call.
        """


def decayed(weights: Tensor, gradient: Tensor, weight_decay: Tensor) -> Tensor:
    """Gradient of the loss with its L2 penalty, ``g + weight_decay · w``.

    The decay is added to the gradient first: ``w · (1 − lr·weight_decay)`` would round the factor, in float32 by up to
    2e-4 of the decay, in the same way at every step.
    """
    return gradient.addcmul(weights, weight_decay.unsqueeze(1))
