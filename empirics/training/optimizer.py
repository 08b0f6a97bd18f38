"""What distinguishes the optimisers: how a gradient becomes a direction, and what they remember."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
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


def along(column: Tensor, tensor: Tensor) -> Tensor:
    """View one number a run, shape (run,), so that it multiplies a tensor (run, ...)."""
    return column.view(-1, *(1,) * (tensor.ndim - 1))


class Optimizer(ABC):
    """An update ``w ← w − lr · direction`` over an ensemble of runs, each with its own rate and weight decay."""

    name: ClassVar[str]

    def __init__(self, settings: Settings = Settings()) -> None:  # noqa: B008 - a tuple of numbers
        self.settings = settings

    @property
    def gain(self) -> float:
        """What a constant gradient is multiplied by in the long run: the learning rate counts as much larger."""
        return 1.0

    def state(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Tensors to be remembered between steps, by name; they go into the checkpoints. None unless overridden."""
        return {}

    @abstractmethod
    def directions(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        weight_decay: Tensor,
        state: dict[str, Tensor],
        step: int,
    ) -> list[Tensor]:
        """What is subtracted from the weights after multiplication by the learning rate, weight decay included.

        Parameters
        ----------
        weights, gradients
            Each tensor (run, ...).
        weight_decay
            Shape (run,).
        state
            What :meth:`state` returned; changed in place.
        step
            Number of this step, from 0.

        Returns
        -------
        list
            Tensors shaped like the weights, good until the next call.
        """


def decayed(weights: Sequence[Tensor], gradients: Sequence[Tensor], weight_decay: Tensor) -> list[Tensor]:
    """Gradients of the loss with its L2 penalty, ``g + weight_decay · w``.

    The decay is added to the gradient first: ``w · (1 − lr·weight_decay)`` would round the factor once and for all, in
    float32 by up to 2e-4 of the decay, the same way in every step.
    """
    return [g.addcmul(w, along(weight_decay, w)) for w, g in zip(weights, gradients, strict=True)]
