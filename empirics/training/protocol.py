"""The interface of training protocols: the learning rate of a step, and a constraint on the norm after it."""

from abc import ABC, abstractmethod

from torch import Tensor


class TrainingProtocol(ABC):
    """A training protocol over an ensemble of runs."""

    def __init__(self, adaptive: bool = False) -> None:
        #: Whether steps keep their length as the norm grows: Adam's turn the weights by lr/r, not lr/r².
        self.adaptive = adaptive

    @abstractmethod
    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Learning rate of this step for every run, shape (run,).

        `rate` is that of the grid, the effective one where the protocol fixes it; `radius_sq` the squared norm before
        the step.
        """

    def constrain(self, weights: Tensor, radius: Tensor) -> None:  # noqa: B027 - most leave the norm alone
        """Change the weights in place after the optimiser's step; by default nothing.

        Parameters
        ----------
        weights
            Shape (run, d).
        radius
            Radii of the grid, shape (run,), NaN where the protocol fixes none.
        """
