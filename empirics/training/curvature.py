"""Probes of the Hessian during training: its trace, its trace with the noise, and the curvature along gradients.

``v · H v`` is computed as ``v · (g(w + e v) − g(w − e v)) / 2e``: two gradients of one minibatch, for any network, even
without second derivatives. The mean curvature between the two points includes the kinks of ReLU networks, which second
derivatives at a point never see and which integration by parts needs.

H is that of an independent minibatch, or of the whole data set; for batch sharpness it is that of the minibatch whose
gradient v is. In float32 a difference over 1e-4 rad is rounding alone, one over 0.01 rad is not.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from empirics.models.base import Model, views
from empirics.training.feed import Feeds
from empirics.training.gradient import GradientPair
from empirics.training.sampling import Vectors
from empirics.training.state import TrainingState
from empirics.training.whole_set import WholeSet


class Curvature:
    """Measures at the snapshots.

    Parameters
    ----------
    model, frozen
        The network and its tensors that are not trained.
    feeds
        Minibatches: those of the steps, and others independent of those that the noise is estimated from.
    vectors
        Vectors of random signs, `probes` per snapshot (M. F. Hutchinson, Commun. Stat. Simul. Comput. 19, 433, 1990).
    probes
        Their number per snapshot.
    reach
        Half the length of the interval, relative to the norm of the weights (rad), over which curvature is averaged.
    whole
        The whole data set, if H is to be that of the expected loss and not of a minibatch.
    """

    def __init__(
        self,
        model: Model,
        frozen: list[Tensor],
        feeds: Feeds,
        vectors: Vectors,
        probes: int,
        reach: float,
        whole: WholeSet | None = None,
    ) -> None:
        self.model, self.frozen, self.feeds, self.vectors = model, frozen, feeds, vectors
        self.probes, self.reach, self.whole = probes, reach, whole

    def _of_minibatch(self, inputs: Tensor, labels: Tensor) -> Callable[[TrainingState, Tensor], Tensor]:
        """Gradients of a minibatch, the mean of both halves where it has halves, from weights; both (run, d)."""

        def gradient(state: TrainingState, weights: Tensor) -> Tensor:
            halves = len(inputs) // len(weights)
            copies, frozen = weights.repeat(halves, 1), [w.repeat(halves, *[1] * (w.ndim - 1)) for w in self.frozen]
            out = torch.empty_like(copies)
            self.model.loss_and_grad(views(copies, state.blocks), frozen, inputs, labels, views(out, state.blocks))
            return out.view(halves, *weights.shape).mean(0)

        return gradient

    def _along(
        self, state: TrainingState, direction: Tensor, gradient: Callable[[TrainingState, Tensor], Tensor]
    ) -> Tensor:
        """``v · H v`` for every run, shape (run,), float64, from gradients at two weights; v of any length."""
        length = torch.linalg.vector_norm(direction, dim=1)
        step = self.reach * torch.linalg.vector_norm(state.flat, dim=1) / length
        ends = [
            gradient(state, torch.addcmul(state.flat, direction, step.unsqueeze(1), value=sign)) for sign in (1, -1)
        ]
        return torch.linalg.vecdot(direction, ends[0] - ends[1]).double() / (2 * step.double())

    def _directions(self, state: TrainingState, number: int) -> Iterator[Tensor]:
        """Vectors (run, d) along which the mean curvature is the trace: random signs, or all axes if few."""
        if self.whole is None or self.probes < self.model.dimension:
            yield from (self.vectors.at(number * self.probes + i) for i in range(self.probes))
            return
        for axis in torch.eye(self.model.dimension, dtype=state.flat.dtype, device=state.flat.device):
            yield (self.model.dimension**0.5 * axis).expand_as(state.flat)

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
        of = self._of_minibatch(*self.feeds.probe.at(number)) if self.whole is None else self._of_all
        radius_sq = torch.linalg.vecdot(state.flat, state.flat).double()
        found = [self._along(state, direction, of) for direction in self._directions(state, number)]
        laplacian = radius_sq * torch.stack(found).mean(0)
        noise = pair.scale * (pair.first - pair.second)
        of_batches = radius_sq.square() * self._along(state, noise, of)
        along_gradient = radius_sq.square() * self._along(state, gradient, of)
        return laplacian, of_batches + isotropic**2 * laplacian, along_gradient

    def _of_all(self, state: TrainingState, weights: Tensor) -> Tensor:
        """Gradients of the whole data set."""
        assert self.whole is not None
        return self.whole.gradient(weights)

    def along_own(self, state: TrainingState, gradient: Tensor) -> Tensor:
        """``r⁴ g · H_B g`` of the minibatch B of this step and its gradient g, shape (run,), float64."""
        radius_sq = torch.linalg.vecdot(state.flat, state.flat).double()
        own = self._of_minibatch(*self.feeds.train.at(state.step))
        return radius_sq.square() * self._along(state, gradient, own)
