"""What distinguishes the training protocols: the learning rate of a step, and what happens to the norm after it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor


class Protocol(ABC):
    """A training protocol over an ensemble of runs."""

    name: ClassVar[str]

    @abstractmethod
    def learning_rate(self, lr: Tensor, radius_sq: Tensor) -> Tensor:
        """Learning rate of this step for every run.

        Parameters
        ----------
        lr
            The grid's learning rates, shape (run,).
        radius_sq
            Squared norm of each run's weights before the step, shape (run,).

        Returns
        -------
        Tensor
            Shape (run,).
        """

    def constrain(self, weights: Sequence[Tensor]) -> None:  # noqa: B027 - most protocols leave the norm alone
        """Change the weights in place after the optimiser's step; does nothing unless the protocol says so."""
