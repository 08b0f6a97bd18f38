"""What distinguishes the optimisers: how a gradient becomes a direction, and what they remember."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor


class Settings(NamedTuple):
    """Constants of the optimisers, the same for all runs; each uses those it knows, under torch.optim's meanings.

    Attributes
    ----------
    momentum
        Decay a step of the average of the gradients (Adam's beta1), 0 to below 1.
    beta2
        Decay a step of the average of the squared gradients.
    eps
        Added to the root of that average, in units of a gradient.
    """

    momentum: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


class Optimizer(ABC):
    """An update ``w ← w − lr · direction`` over an ensemble of runs, each with its own rate and weight decay."""

    name: ClassVar[str]

    def __init__(self, settings: Settings = Settings()) -> None:  # noqa: B008 - a tuple of numbers
        self.settings = settings

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """Tensors to be remembered between steps, by name; they go into the checkpoints. None unless overridden."""
        return {}

    @abstractmethod
    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], step: int
    ) -> Tensor:
        """What is subtracted from the weights after multiplication by the learning rate, weight decay included.

        Parameters
        ----------
        weights, gradient
            Shape (run, d).
        weight_decay
            Shape (run,).
        state
            What :meth:`state` returned; changed in place.
        step
            Number of this step, from 0.

        Returns
        -------
        Tensor
            Shape (run, d), good until the next call.
        """


def decayed(weights: Tensor, gradient: Tensor, weight_decay: Tensor) -> Tensor:
    """Gradient of the loss with its L2 penalty, ``g + weight_decay · w``.

    The decay is added to the gradient first: ``w · (1 − lr·weight_decay)`` would round the factor once and for all, in
    float32 by up to 2e-4 of the decay, the same way in every step.
    """
    return gradient.addcmul(weights, weight_decay.unsqueeze(1))
