"""Fixed effective learning rate: ``w ← w − η_k(g + λw)`` with ``η_k = η_eff |w_k|²``, for Adam ``η_eff |w_k|``."""

from torch import Tensor

from empirics.training.protocol import TrainingProtocol


class FixedELR(TrainingProtocol):
    """The learning rate follows the squared norm, so that the effective learning rate is constant."""

    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Return the effective learning rates of the grid times the squared norms, or times the norms for Adam."""
        return rate * (radius_sq.sqrt() if self.adaptive else radius_sq)
