"""Fixed learning rate: ``w ← w − η(g + λw)`` as written."""

from typing import ClassVar

from torch import Tensor

from empirics.training.protocol import TrainingProtocol


class FixedLR(TrainingProtocol):
    """Constant learning rate and weight decay; the norm finds its own balance."""

    name: ClassVar[str] = "fixed-lr"

    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Return the grid's learning rates themselves."""
        return rate
