"""Fixed learning rate: ``w ← w − η(g + λw)`` unchanged."""

from torch import Tensor

from empirics.training.protocol import TrainingProtocol


class FixedLR(TrainingProtocol):
    """Constant learning rate and weight decay; the norm becomes stationary by itself."""

    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Return the learning rates of the grid."""
        return rate
