"""Steps as long as lr times the weights, tensor by tensor, with the decay inside the normalised direction."""

import torch
from torch import Tensor

from empirics.models.base import views
from empirics.training.adam import Adam
from empirics.training.optimizer import Numbers, TrainingStep, decayed


class _Trust(TrainingStep):
    """``w ← w − lr |w| h/|h|`` for every tensor, where h is a pull that contains the weight decay."""

    def _trusted(
        self, weights: Tensor, pull: Tensor, weight_decay: Tensor, state: dict[str, Tensor], repeats: float = 1.0
    ) -> Tensor:
        """Scale the pull of every tensor to the norm of its weights, in place.

        Keeps what that makes of w · decay, which later steps repeat in all `repeats` times.
        """
        state["pull"].zero_()
        for w, h in zip(views(weights, self.blocks), views(pull, self.blocks), strict=True):
            norm_sq, size_sq = (torch.linalg.vecdot(t.flatten(1), t.flatten(1)) for t in (w, h))
            ratio = torch.where(size_sq == 0, 0, (norm_sq / size_sq).sqrt())
            h.mul_(ratio.view(-1, *[1] * (h.ndim - 1)))
            state["pull"].addcmul_(ratio, norm_sq)
        state["pull"].mul_(weight_decay * repeats)
        return pull


class LARS(_Trust):
    """``h = g + weight_decay · w``, ``v ← momentum · v + |w| h/|h|``, ``w ← w − lr · v``.

    You et al. 2017 (arXiv 1708.03888), with one norm of the whole pull where they have ``|g| + weight_decay |w|``: the
    step is then lr times the weights exactly.
    """

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """The buffer, and the pull of the decay."""
        return {"buffer": torch.zeros_like(weights), "pull": weights.new_zeros(len(weights))}

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """The buffer of the pulls."""
        momentum, pull = self.settings.momentum, decayed(weights, gradient, weight_decay)
        push = self._trusted(weights, pull, weight_decay, state, 1 / (1 - momentum))
        return state["buffer"].mul_(momentum).add_(push)


class LAMB(_Trust, Adam):
    """``w ← w − lr |w| h/|h|`` with ``h = m̂/(√v̂ + eps) + weight_decay · w``, Adam's direction of ``g``.

    You et al. 2019 (arXiv 1904.00962), algorithm 2 with ``φ(x) = x``; hats as in :mod:`empirics.training.adam`.
    """

    def state(self, weights: Tensor) -> dict[str, Tensor]:
        """Adam's two averages, and the pull of the decay."""
        return super().state(weights) | {"pull": weights.new_zeros(len(weights))}

    def direction(
        self, weights: Tensor, gradient: Tensor, weight_decay: Tensor, state: dict[str, Tensor], numbers: Numbers
    ) -> Tensor:
        """Adam's direction with the decay, as long as the weights."""
        pull = self.normalised(gradient, state, numbers).addcmul_(weights, weight_decay.unsqueeze(1))
        return self._trusted(weights, pull, weight_decay, state)
