"""Minibatches of every run, from data in the memory of the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.augmentation import augment
from empirics.data.dataset import Dataset
from empirics.experiment import Run
from empirics.models.base import Model
from empirics.training.experiment import NetworkExperiment
from empirics.training.sampling import Augmentations, Drawing, Epochs, FreshLabels, Minibatches, Stream


@dataclass(frozen=True)
class Samples:
    """Inputs (sample, feature) and labels (sample,) on the device."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, inputs: NDArray, labels: NDArray, dtype: torch.dtype, device: torch.device) -> "Samples":
        """Copy arrays to the device once."""
        there = torch.as_tensor(inputs, dtype=dtype, device=device).contiguous()
        return cls(there, torch.as_tensor(labels, device=device))

    def __len__(self) -> int:
        return len(self.labels)


class Feed:
    """One stream of minibatches for a shard.

    Parameters
    ----------
    samples
        The data they are drawn from.
    drawing
        The runs, and the layout.
    stream
        The random stream of the indices.
    labels
        Labels that replace those of the data, with fresh label noise.
    moves, shape
        Augmentation of images, if any, and their (channel, height, width).
    epochs
        Whether the samples are drawn without replacement, epoch by epoch.
    """

    def __init__(
        self,
        samples: Samples,
        drawing: Drawing,
        stream: Stream,
        labels: FreshLabels | None = None,
        moves: Augmentations | None = None,
        shape: tuple[int, ...] = (),
        epochs: bool = False,
    ) -> None:
        self.samples, self._fresh = samples, labels
        self._moves, self._shape = moves, shape
        self._indices = (Epochs if epochs else Minibatches)(drawing, len(samples), stream)
        rows, features = len(drawing.runs) * drawing.batch, samples.inputs.shape[1]
        # One buffer for all steps: allocating pages for each minibatch would cost more than the copy itself.
        self._batch = torch.empty(rows, features, dtype=samples.inputs.dtype, device=drawing.device)
        self._groups = len(drawing.runs) * (2 if drawing.halves else 1)

    def prepare(self, position: int) -> None:
        """Draw the random numbers of a minibatch, so that its number can be given in a tensor, shape (1,)."""
        for drawn in (self._indices, self._fresh, self._moves):
            if drawn is not None:
                drawn.prepare(position)

    def at(self, position: int | Tensor) -> tuple[Tensor, Tensor]:
        """Minibatch number `position` of every run.

        Returns
        -------
        Tensor, Tensor
            Inputs (run, batch, feature), valid until the next call, and labels (run, batch); with halves the first axis
            is (half · run), and the second is half as long.
        """
        indices = self._indices.at(position)
        return self._inputs(position, indices), self._labels(position, indices)

    def _inputs(self, position: int | Tensor, indices: Tensor) -> Tensor:
        inputs = torch.index_select(self.samples.inputs, 0, indices, out=self._batch)
        if self._moves is not None:
            inputs = augment(inputs, self._moves.at(position), self._shape)
        return inputs.view(self._groups, -1, inputs.shape[1])

    def _labels(self, position: int | Tensor, indices: Tensor) -> Tensor:
        labels = self.samples.labels.index_select(0, indices)
        if self._fresh is not None:
            fresh = self._fresh.at(position)
            labels = torch.where(fresh >= 0, fresh, labels)
        return labels.view(self._groups, -1)

    def loss_and_grad(
        self,
        model: Model,
        weights: Sequence[Tensor],
        frozen: Sequence[Tensor],
        position: int | Tensor,
        out: Sequence[Tensor],
    ) -> Tensor:
        """Losses of minibatch number `position` and its gradients; see :meth:`Model.loss_and_grad`."""
        indices = self._indices.at(position)
        labels = self._labels(position, indices)
        if self._moves is None:
            rows = indices.view(self._groups, -1)
            loss = model.loss_and_grad_of(weights, frozen, self.samples.inputs, rows, labels, out)
            if loss is not None:
                return loss
        return model.loss_and_grad(weights, frozen, self._inputs(position, indices), labels, out)


class Feeds:
    """The streams of minibatches that an experiment needs.

    Parameters
    ----------
    experiment, runs, data, device
        As for :class:`empirics.training.ensemble.Ensemble`.
    """

    def __init__(
        self,
        experiment: NetworkExperiment,
        runs: Sequence[Run],
        data: Dataset,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        training, table = experiment.training, experiment.data
        shared = training.minibatches == "shared"
        self.samples = Samples.of(data.inputs, data.labels, dtype, device)
        whole = Drawing(tuple(runs), training.batch_size, device, shared=shared)
        noise = (data.classes, table.label_noise)

        def feed(drawing: Drawing, stream: Stream, labels: Stream, moves: Stream) -> Feed:
            fresh = FreshLabels(drawing, *noise, labels) if table.fresh_noise else None
            moved = Augmentations(drawing, table.flip, table.shift, moves) if table.flip or table.shift else None
            epochs = training.minibatches == "epochs" and stream == Stream.MINIBATCH
            return Feed(self.samples, drawing, stream, fresh, moved, data.shape, epochs)

        #: For training.
        self.train = feed(whole._replace(halves=training.halves), Stream.MINIBATCH, Stream.LABELS, Stream.AUGMENTATION)
        #: An independent minibatch, at snapshots.
        self.second = feed(whole, Stream.SECOND_MINIBATCH, Stream.SECOND_LABELS, Stream.SECOND_AUGMENTATION)
        #: For the Hessian: as many samples as in a gradient, since the loss depends on their number under BatchNorm.
        normed = whole._replace(batch=training.batch_size // (2 if training.halves else 1))
        self.probe = feed(normed, Stream.PROBE_MINIBATCH, Stream.PROBE_LABELS, Stream.PROBE_AUGMENTATION)
        #: For the accuracy: training samples with their original labels, and test samples.
        self.look = Feed(self.samples, whole, Stream.LOOK)
        self.test: Feed | None = None
        if data.test_inputs is not None and data.test_labels is not None:
            self.test = Feed(Samples.of(data.test_inputs, data.test_labels, dtype, device), whole, Stream.TEST)
