"""Fixed sphere: ``w ← r₀ (w − ηg)/|w − ηg|``, no weight decay."""

import torch
from torch import Tensor

from empirics.training.protocol import TrainingProtocol


class FixedSphere(TrainingProtocol):
    """After every step the weights are projected back onto the sphere."""

    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Return the learning rates of the grid."""
        return rate

    def constrain(self, weights: Tensor, radius: Tensor) -> None:
        """Rescale all weights of each run to its radius."""
        weights.mul_((radius * torch.linalg.vecdot(weights, weights).rsqrt()).unsqueeze(1))
