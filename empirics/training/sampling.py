"""Random numbers of a run: they depend only on the run and on where in the run they are used.

Every chunk of a stream has its own generator, seeded by (run, stream, chunk). So the numbers do not depend on the place
of the run in a shard or on other runs, and a checkpoint need not contain the state of a generator: the step determines
it.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.data.augmentation import draw
from empirics.experiment import Run

CHUNK = 256  # draws between two seedings: seeding costs 20 µs per run, a chunk of 49 runs has 6 MB
NORMALS = 2**20  # maximum of normal numbers per run and chunk: 4 MB


class Stream(IntEnum):
    """Purposes of random numbers; different streams of a run are independent."""

    INITIAL = 0
    MINIBATCH = 1
    SECOND_MINIBATCH = 2
    LABELS = 3
    SECOND_LABELS = 4
    AUGMENTATION = 5
    SECOND_AUGMENTATION = 6
    PROBE_AUGMENTATION = 7
    PROBE_MINIBATCH = 10
    PROBE_LABELS = 11
    PROBE = 12
    LOOK = 13
    TEST = 14
    NOISE = 15


def identity(run: Run) -> int:
    """Return a 256-bit number that identifies the run: equal runs have equal ones.

    Examples
    --------
    >>> a = Run(lr=0.1, weight_decay=0.01, seed=1, protocol="fixed-lr", optimizer="sgd")
    >>> b = Run(lr=0.01, weight_decay=0.1, seed=1, protocol="fixed-lr", optimizer="sgd")
    >>> identity(a) == identity(a), identity(a) == identity(b)
    (True, False)
    """
    values = {name: getattr(run, name) for name in ("lr", "weight_decay", "effective_lr", "radius")}
    fixed = [f"{name}={value!r}" for name, value in values.items() if value is not None]
    return _number("|".join([run.protocol, run.optimizer, *fixed, f"seed={run.seed}"]))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def generator(run: Run, stream: Stream, chunk: int = 0, shared: bool = False) -> np.random.Generator:
    """Return the generator of one chunk of one stream of one run, or one `shared` by all runs of its seed."""
    entropy = _number(f"shared|seed={run.seed}") if shared else identity(run)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy, spawn_key=(stream, chunk))))


def frozen_generator(seed: int) -> np.random.Generator:
    """Return the generator of the frozen tensors, which all runs share: they are part of the loss."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


class Drawing(NamedTuple):
    """Parameters of the draws for the minibatches of a shard."""

    runs: tuple[Run, ...]  # the shard's
    batch: int  # samples of a minibatch
    device: torch.device  # where the numbers are used; they are drawn on the CPU, the same for every device
    halves: bool = False  # whether the layout is (half, run, sample of the half) rather than (run, sample)
    shared: bool = False  # whether all runs of a seed get the same numbers


class _Chunked(ABC):
    """Numbers of every run of a shard for every minibatch, drawn in chunks."""

    def __init__(self, drawing: Drawing, stream: Stream) -> None:
        self._drawing, self._stream = drawing, stream
        self._chunk, self._drawn = -1, torch.empty(0)

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One run's numbers of a chunk, shape (CHUNK, batch)."""

    def _chunk_of(self, chunk: int) -> Tensor:
        runs, batch, device, halves, shared = self._drawing
        drawn = np.empty((CHUNK, len(runs), batch), dtype=np.int64)
        first: dict[int, int] = {}  # the run of each seed that drew for all
        for i, run in enumerate(runs):
            if shared and first.setdefault(run.seed, i) != i:
                drawn[:, i] = drawn[:, first[run.seed]]
            else:
                drawn[:, i] = self._draw(generator(run, self._stream, chunk, shared))
        laid_out = drawn.reshape(CHUNK, len(runs), 2, -1).transpose(0, 2, 1, 3) if halves else drawn
        return torch.from_numpy(laid_out.reshape(CHUNK, -1)).to(device)

    def at(self, position: int) -> Tensor:
        """Return the numbers of minibatch number `position`, shape (run · batch,), int64."""
        chunk, offset = divmod(position, CHUNK)
        if chunk != self._chunk:
            self._drawn, self._chunk = self._chunk_of(chunk), chunk
        return self._drawn[offset]


class Minibatches(_Chunked):
    """Indices of the minibatches of every run of a shard, drawn with replacement from a data set of `samples`."""

    def __init__(self, drawing: Drawing, samples: int, stream: Stream) -> None:
        super().__init__(drawing, stream)
        self._samples = samples

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.integers(self._samples, size=(CHUNK, self._drawing.batch))


class FreshLabels(_Chunked):
    """Fresh labels for every minibatch that replace those of the data; -1 where the original is kept.

    A label is replaced with probability `share`, by a class drawn from all.
    """

    def __init__(self, drawing: Drawing, classes: int, share: float, stream: Stream) -> None:
        super().__init__(drawing, stream)
        self._classes, self._share = classes, share

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        size = (CHUNK, self._drawing.batch)
        return np.where(rng.random(size) < self._share, rng.integers(self._classes, size=size), -1)


class Vectors:
    """Random vectors of every run, one per position: standard normal, or of random signs.

    Parameters
    ----------
    runs, device
        The runs, and the device.
    dimension
        Their length d.
    stream
        Which stream.
    signs
        Whether the components are -1 or 1.
    dtype
        Of the vectors; normal numbers are drawn in float32.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        dimension: int,
        stream: Stream,
        signs: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._runs, self._dimension, self._stream, self._signs = tuple(runs), dimension, stream, signs
        self._dtype, self._device = dtype, device
        self._length = max(1, min(CHUNK, NORMALS // dimension))
        self._chunk, self._drawn = -1, torch.empty(0)

    def _draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        size = (self._length, self._dimension)
        if self._signs:
            return rng.integers(2, size=size, dtype=np.int8).astype(np.float32) * 2 - 1
        return rng.standard_normal(size, dtype=np.float32)

    def at(self, position: int) -> Tensor:
        """Return the vectors number `position`, shape (run, d)."""
        chunk, offset = divmod(position, self._length)
        if chunk != self._chunk:
            drawn = np.stack([self._draw(generator(run, self._stream, chunk)) for run in self._runs], 1)
            self._drawn, self._chunk = torch.from_numpy(drawn).to(self._device, self._dtype), chunk
        return self._drawn[offset]


class Augmentations(_Chunked):
    """Fresh mirrorings and shifts for each image of every minibatch.

    Parameters
    ----------
    drawing, stream
        As for :class:`Minibatches`.
    flip, shift
        As for :func:`empirics.data.augmentation.draw`, whose numbers :meth:`at` gives.
    """

    def __init__(self, drawing: Drawing, flip: bool, shift: int, stream: Stream) -> None:
        super().__init__(drawing, stream)
        self._flip, self._shift = flip, shift

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        return draw(rng, (CHUNK, self._drawing.batch), self._flip, self._shift)
