"""Fixed sphere: ``w ← r₀ (w − ηg)/|w − ηg|``, no weight decay."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from empirics.training.optimizer import along
from empirics.training.protocol import Protocol, dot


class FixedSphere(Protocol):
    """After every step the weights are projected back onto the sphere."""

    name: ClassVar[str] = "fixed-sphere"

    def learning_rate(self, rate: Tensor, radius_sq: Tensor) -> Tensor:
        """Return the grid's learning rates themselves."""
        return rate

    def constrain(self, weights: Sequence[Tensor], radius: Tensor) -> None:
        """Scale all weights of each run together to its radius."""
        scale = radius * dot(weights, weights).rsqrt()
        for w in weights:
            w.mul_(along(scale, w))
