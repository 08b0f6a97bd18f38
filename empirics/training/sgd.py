"""Plain stochastic gradient descent with L2 weight decay inside the gradient, as in ``torch.optim.SGD``."""

from torch import Tensor

from empirics.training.optimizer import Numbers, TrainingStep, decayed


class SGD(TrainingStep):
    """``w ← w − lr (g + weight_decay · w)``."""

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The gradient with its decay."""
        return decayed(weights, gradient, weight_decay)
