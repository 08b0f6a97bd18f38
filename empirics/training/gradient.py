"""The gradient of a step for every run: of the whole minibatch or of its halves, with added noise if asked."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from empirics.experiment import Run
from empirics.models.base import Model, views
from empirics.training.experiment import NetworkExperiment
from empirics.training.feed import Feeds
from empirics.training.record import Raw
from empirics.training.sampling import Stream, Vectors
from empirics.training.state import Components, TrainingState


@dataclass(frozen=True)
class GradientPair:
    """Two independent minibatches at the same weights: gradients (run, d) and losses (run,).

    `scale` times ``(first - second)`` of the gradients has the covariance of the minibatch noise in a step.
    """

    first: Tensor
    second: Tensor
    first_loss: Tensor
    second_loss: Tensor
    scale: float


class StepGradient(ABC):
    """Computes the gradients of the steps.

    Parameters
    ----------
    model, frozen, feeds
        The network, its tensors that are not trained, each (run, ...), and the data.
    """

    def __init__(self, model: Model, frozen: Sequence[Tensor], feeds: Feeds) -> None:
        self.model, self.frozen, self.feeds = model, frozen, feeds

    @abstractmethod
    def take(self, state: TrainingState, step: int | Tensor, row: Sequence[Tensor], out: Tensor) -> None:
        """Write the gradient of this step into `out`, shape (run, d), and its losses into the row."""

    @abstractmethod
    def pair(self, state: TrainingState, number: int, gradient: Tensor) -> GradientPair:
        """Two independent minibatches at the weights of the step just taken, for snapshot `number`."""


class WholeBatch(StepGradient):
    """The gradient of the minibatch; a second minibatch is only drawn at snapshots."""

    def __init__(self, model: Model, frozen: Sequence[Tensor], feeds: Feeds) -> None:
        super().__init__(model, frozen, feeds)
        self._loss = torch.empty(0)
        self._out, self._out_parts = torch.empty(0), list[Tensor]()

    def take(self, state: TrainingState, step: int | Tensor, row: Sequence[Tensor], out: Tensor) -> None:
        """See :meth:`StepGradient.take`."""
        if out is not self._out:  # it is the same in every step
            self._out, self._out_parts = out, views(out, state.blocks)
        parts = self._out_parts
        self._loss = self.feeds.train.loss_and_grad(self.model, state.weights, self.frozen, step, parts)
        row[Raw.LOSS].copy_(self._loss)

    def pair(self, state: TrainingState, number: int, gradient: Tensor) -> GradientPair:
        """See :meth:`StepGradient.pair`."""
        second = torch.empty_like(gradient)
        target = views(second, state.blocks)
        loss = self.feeds.second.loss_and_grad(self.model, state.weights, self.frozen, number, target)
        return GradientPair(gradient, second, self._loss, loss, 0.5**0.5)


class Halves(StepGradient):
    """The mean over the halves of the minibatch, which two copies of every run compute side by side."""

    def __init__(self, model: Model, frozen: Sequence[Tensor], feeds: Feeds, like: Tensor, gain: float) -> None:
        super().__init__(model, [torch.cat([w, w]) for w in frozen], feeds)
        runs, dimension = like.shape
        self._gain = gain
        self._copies = torch.empty(2, runs, dimension, dtype=like.dtype, device=like.device)
        self._gradients = torch.empty_like(self._copies)
        self._weights = views(self._copies.flatten(0, 1), model.blocks)
        self._out = views(self._gradients.flatten(0, 1), model.blocks)
        self._losses = torch.empty(0)

    def take(self, state: TrainingState, step: int | Tensor, row: Sequence[Tensor], out: Tensor) -> None:
        """See :meth:`StepGradient.take`."""
        self._copies.copy_(state.flat)
        losses = self.feeds.train.loss_and_grad(self.model, self._weights, self.frozen, step, self._out)
        self._losses = losses.view(2, -1)
        row[Raw.LOSS].copy_(self._losses[0])
        row[Raw.SECOND_LOSS].copy_(self._losses[1])
        first, second = self._gradients
        torch.linalg.vecdot(first, second, out=row[Raw.GRAD_MEAN_SQ])
        # (g1 + g2)/2 + c (g1 - g2)/2
        torch.mul(first, 0.5 * (1 + self._gain), out=out).add_(second, alpha=0.5 * (1 - self._gain))

    def pair(self, state: TrainingState, number: int, gradient: Tensor) -> GradientPair:
        """See :meth:`StepGradient.pair`."""
        (first, second), (loss, other) = self._gradients, self._losses
        return GradientPair(first, second, loss, other, 0.5 * (1 + self._gain**2) ** 0.5)


class IsotropicNoise:
    """Gradient noise of standard deviation ``s/r`` per direction along the spheres of a scale-invariant network.

    Flat directions get none: minibatch noise has none there either, and the loss would not confine them. It preserves
    the norm of every component to first order, is the same everywhere on the sphere, and keeps the scaling symmetry.

    Parameters
    ----------
    size
        s, nat.
    components
        The spheres; tensors that are not scale-invariant get none.
    vectors
        Standard normal numbers, one vector per step.
    """

    def __init__(self, size: float, components: Components, vectors: Vectors, like: Tensor) -> None:
        self._size, self._components, self._vectors = size, components, vectors
        invariant = torch.as_tensor(components.scale_invariant, device=like.device)
        self._mask = components.spread(invariant.unsqueeze(1).to(like.dtype))

    def prepare(self, step: int) -> None:
        """Draw the noise of a step, so that its number can be given in a tensor, shape (1,)."""
        self._vectors.prepare(step)

    def add(self, state: TrainingState, step: int | Tensor, gradient: Tensor, radius_sq: Tensor) -> None:
        """Add the noise of this step to the gradient, both (run, d)."""
        noise = self._components.without_flat(self._vectors.at(step) * self._mask)
        dot = self._components.dot
        flat = self._components.without_flat(state.flat)
        along = dot(flat, noise) / dot(flat, flat).clamp(min=torch.finfo(noise.dtype).tiny)
        noise = noise - self._components.spread(along) * flat * self._mask
        gradient.addcmul_(noise, radius_sq.rsqrt().mul(self._size).unsqueeze(1))


def noise_size(experiment: NetworkExperiment, model: Model) -> float:
    """Standard deviation of the isotropic noise per direction at unit norm: as given, or from its share.

    Its part of ``tr Sigma`` is ``m s^2``, with m the number of directions.
    """
    training = experiment.training
    if not training.isotropic_share:
        return training.isotropic_noise
    return float((training.isotropic_share * training.noise_trace / model.directions) ** 0.5)


def isotropic_noise(
    experiment: NetworkExperiment, like: Tensor, model: Model, runs: Sequence[Run]
) -> IsotropicNoise | None:
    """Return the added noise of an experiment, if any."""
    if not (size := noise_size(experiment, model)):
        return None
    vectors = Vectors(runs, model.dimension, Stream.NOISE, False, like.dtype, like.device)
    return IsotropicNoise(size, Components(model.blocks), vectors, like)
