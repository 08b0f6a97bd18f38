"""Random numbers of a run: they depend on what the run is, and on where in the run they are used, on nothing else.

Every chunk of a stream has a generator of its own, seeded by (run, stream, chunk). So the numbers do not depend on the
run's place in a shard or on the other runs, and a checkpoint need not hold the state of a generator:
the step says it.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.augmentation import draw
from empirics.experiment import Run

CHUNK = 256  # draws between two seedings: seeding costs 20 µs a run, a chunk of 49 runs holds 6 MB


class Stream(IntEnum):
    """What random numbers are for; different streams of a run are independent."""

    INITIAL = 0
    MINIBATCH = 1
    SECOND_MINIBATCH = 2
    LABELS = 3
    SECOND_LABELS = 4
    AUGMENTATION = 5
    SECOND_AUGMENTATION = 6


def identity(run: Run) -> int:
    """Make a 256-bit number that stands for the run: equal runs have equal ones.

    Examples
    --------
    >>> a = Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd")
    >>> b = Run(lr=0.01, weight_decay=0.1, seed=1, protocol="fixed-lr", optimizer="sgd")
    >>> identity(a) == identity(a), identity(a) == identity(b)
    (True, False)
    """
    rates = {name: getattr(run, name) for name in ("lr", "weight_decay", "effective_lr", "radius")}
    fixed = [f"{name}={value!r}" for name, value in rates.items() if not math.isnan(value)]
    text = "|".join([run.protocol, run.optimizer, *fixed, f"seed={run.seed}"])
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def generator(run: Run, stream: Stream, chunk: int = 0) -> np.random.Generator:
    """Make the generator of one chunk of one stream of one run."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(identity(run), spawn_key=(stream, chunk))))


def frozen_generator(seed: int) -> np.random.Generator:
    """Make the generator of the network's frozen tensors, which all runs share: they are part of the loss."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


class _Chunked(ABC):
    """Numbers of every run of a shard for every minibatch, drawn a chunk at a time."""

    def __init__(self, runs: Sequence[Run], batch: int, stream: Stream, device: torch.device) -> None:
        self._runs, self._batch, self._stream, self._device = runs, batch, stream, device
        self._chunk, self._drawn = -1, torch.empty(0)

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One run's numbers of a chunk, shape (CHUNK, batch)."""

    def at(self, position: int) -> Tensor:
        """Look up the numbers of the minibatch number `position`, shape (run · batch,), int64."""
        chunk, offset = divmod(position, CHUNK)
        if chunk != self._chunk:
            drawn = np.empty((CHUNK, len(self._runs), self._batch), dtype=np.int64)
            for i, run in enumerate(self._runs):
                drawn[:, i] = self._draw(generator(run, self._stream, chunk))
            self._drawn = torch.from_numpy(drawn.reshape(CHUNK, -1)).to(self._device)
            self._chunk = chunk
        return self._drawn[offset]


class Minibatches(_Chunked):
    """Indices of the minibatches of every run of a shard, drawn with replacement.

    Parameters
    ----------
    runs
        The shard's runs.
    samples
        Size of the data set.
    batch
        Size of a minibatch.
    stream
        Which stream.
    device
        Where the indices are wanted; they are drawn on the CPU, the same for every device.
    """

    def __init__(self, runs: Sequence[Run], samples: int, batch: int, stream: Stream, device: torch.device) -> None:
        super().__init__(runs, batch, stream, device)
        self._samples = samples

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.integers(self._samples, size=(CHUNK, self._batch))


class FreshLabels(_Chunked):
    """Labels that replace those of the data, anew in every minibatch; -1 where the data's own is kept.

    Parameters
    ----------
    runs, batch, stream, device
        As for :class:`Minibatches`.
    classes
        Number of classes.
    share
        Probability of a replacement, by a class drawn from all.
    """

    def __init__(
        self, runs: Sequence[Run], classes: int, share: float, batch: int, stream: Stream, device: torch.device
    ) -> None:
        super().__init__(runs, batch, stream, device)
        self._classes, self._share = classes, share

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        size = (CHUNK, self._batch)
        return np.where(rng.random(size) < self._share, rng.integers(self._classes, size=size), -1)


class Augmentations(_Chunked):
    """How each image of a minibatch is mirrored and moved, anew in every minibatch.

    Parameters
    ----------
    runs, batch, stream, device
        As for :class:`Minibatches`.
    flip, shift
        As for :func:`empirics.data.augmentation.draw`, whose numbers :meth:`at` gives.
    """

    def __init__(
        self, runs: Sequence[Run], flip: bool, shift: int, batch: int, stream: Stream, device: torch.device
    ) -> None:
        super().__init__(runs, batch, stream, device)
        self._flip, self._shift = flip, shift

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return draw(rng, (CHUNK, self._batch), self._flip, self._shift)
