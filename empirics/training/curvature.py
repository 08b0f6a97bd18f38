"""Probes of the Hessian during training: its trace, its trace with the noise, and the curvature along gradients.

``v · H v`` is computed as ``v · (g(w + e v) − g(w − e v)) / 2e``: two gradients of one minibatch, for any network, even
without second derivatives. The mean curvature between the two points includes the kinks of ReLU networks, which second
derivatives at a point never see and which integration by parts needs.
"""

import torch
from torch import Tensor

from empirics.models.base import Model, views
from empirics.training.feed import Feed
from empirics.training.gradient import GradientPair
from empirics.training.sampling import Vectors
from empirics.training.state import TrainingState


class Curvature:
    """Measures at the snapshots.

    Parameters
    ----------
    model, frozen
        The network and its tensors that are not trained.
    feed
        Minibatches independent of those that the noise is estimated from.
    vectors
        Vectors of random signs, `probes` per snapshot (M. F. Hutchinson, Commun. Stat. Simul. Comput. 19, 433, 1990).
    probes
        Their number per snapshot.
    reach
        Half the length of the interval, relative to the norm of the weights (rad), over which curvature is averaged.
    """

    def __init__(
        self, model: Model, frozen: list[Tensor], feed: Feed, vectors: Vectors, probes: int, reach: float
    ) -> None:
        self.model, self.frozen, self.feed, self.vectors = model, frozen, feed, vectors
        self.probes, self.reach = probes, reach

    def _along(self, state: TrainingState, direction: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """``v · H v`` of the minibatch for every run, shape (run,), float64; v of any length."""
        length = torch.linalg.vector_norm(direction, dim=1)
        step = self.reach * torch.linalg.vector_norm(state.flat, dim=1) / length
        ends = []
        for sign in (1, -1):
            weights = torch.addcmul(state.flat, direction, step.unsqueeze(1), value=sign)
            out = torch.empty_like(weights)
            self.model.loss_and_grad(
                views(weights, state.blocks), self.frozen, inputs, labels, views(out, state.blocks)
            )
            ends.append(out)
        return torch.linalg.vecdot(direction, ends[0] - ends[1]).double() / (2 * step.double())

    def measure(
        self, state: TrainingState, number: int, pair: GradientPair, gradient: Tensor, isotropic: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Traces of H and of H times the noise covariance, and curvature along gradients, at unit norm, for every run.

        Parameters
        ----------
        state
            The state, with the weights.
        number
            Number of the measurement; selects the minibatch and the vectors.
        pair
            Two independent gradients at these weights.
        gradient
            The gradient used by the step, noise included, shape (run, d).
        isotropic
            Standard deviation of the isotropic noise at unit norm.

        Returns
        -------
        Tensor, Tensor, Tensor
            ``r² tr H``, ``r⁴ tr(H Σ)`` and ``r⁴ g · H g``, shape (run,), float64. For a scale-invariant loss the first
            is the Laplace-Beltrami operator on the unit sphere: such a loss does not change along the radius.
        """
        inputs, labels = self.feed.at(number)
        radius_sq = torch.linalg.vecdot(state.flat, state.flat).double()
        found = [
            self._along(state, self.vectors.at(number * self.probes + i), inputs, labels) for i in range(self.probes)
        ]
        laplacian = radius_sq * torch.stack(found).mean(0)
        noise = pair.scale * (pair.first - pair.second)
        of_batches = radius_sq.square() * self._along(state, noise, inputs, labels)
        along_gradient = radius_sq.square() * self._along(state, gradient, inputs, labels)
        return laplacian, of_batches + isotropic**2 * laplacian, along_gradient
