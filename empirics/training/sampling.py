"""Random numbers of a run: they depend only on the run and on where in the run they are used.

Each is a function of (run, stream, step, number), :mod:`empirics.training.philox`, the same on every device. So the
numbers do not depend on the place of the run in a shard or on other runs, and a checkpoint need not contain the state
of a generator. Only what is drawn once before the first step, on the CPU, comes from numpy's generators.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from empirics.data.augmentation import packed
from empirics.experiment import Run
from empirics.training.philox import below, normals, words
from empirics.training.philox_formulas import WORD

#: So many numbers are drawn at once (at least those of one step): few calls, and 2 MB.
TOGETHER = 2**18


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


def generator(run: Run) -> np.random.Generator:
    """Return the generator of the initial weights of a run."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(identity(run), spawn_key=(Stream.INITIAL, 0))))


def keys(runs: Sequence[Run], shared: bool = False) -> Tensor:
    """Return the key of every run, or one `shared` by all runs of its seed: two words, shape (run, 2).

    They are 64 bits of its identity: two of a million runs are the same with probability 3e-8.
    """
    numbers = [_number(f"shared|seed={run.seed}") if shared else identity(run) for run in runs]
    return torch.tensor([[number >> 32 & WORD, number & WORD] for number in numbers])


def frozen_generator(seed: int) -> np.random.Generator:
    """Return the generator of the frozen tensors, which all runs share: they are part of the loss."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


class Drawing(NamedTuple):
    """Parameters of the draws for the minibatches of a shard."""

    runs: tuple[Run, ...]  # the shard's
    batch: int  # samples of a minibatch
    device: torch.device  # where the numbers are drawn and used
    halves: bool = False  # whether the layout is (half, run, sample of the half) rather than (run, sample)
    shared: bool = False  # whether all runs of a seed get the same numbers


class _Drawn(ABC):
    """Numbers of every run of a shard at every position, drawn for consecutive positions together.

    Parameters
    ----------
    keys
        Of the runs, shape (run, 2), on the device.
    stream
        Which stream.
    count
        How many random words each run takes at a position.
    dtype
        Of what is drawn.
    """

    def __init__(self, keys: Tensor, stream: Stream, count: int, dtype: torch.dtype = torch.int64) -> None:
        self._keys, self._stream, self._count = keys, stream, count
        blocks = -(-count // 4)
        self._length = max(1, TOGETHER // (len(keys) * 4 * blocks))
        self._space = torch.empty(self._length, len(keys), 4, blocks, dtype=dtype, device=keys.device)
        self._first, self._drawn = -1, torch.empty(0)

    @abstractmethod
    def _draw(self, first: int, out: Tensor) -> Tensor:
        """Numbers of `length` positions, shape (length, ...), from those of `first` on; they may stay in `out`."""

    def _words(self, first: int, out: Tensor) -> Tensor:
        """Words, shape (length, run, count), in `out`."""
        words(self._keys, self._stream, first, out)
        return out.flatten(2)[..., : self._count]

    def at(self, position: int) -> Tensor:
        """Return the numbers at a position, valid until the next call: for minibatches (run · batch,), int64."""
        offset = position % self._length
        if position - offset != self._first:
            self._first = position - offset
            self._drawn = self._draw(self._first, self._space)
        return self._drawn[offset]


class _Samples(_Drawn):
    """Numbers of every sample of every minibatch, `each` words for one."""

    def __init__(self, drawing: Drawing, stream: Stream, each: int = 1) -> None:
        super().__init__(keys(drawing.runs, drawing.shared).to(drawing.device), stream, each * drawing.batch)
        self._halves, self._each = drawing.halves, each

    @abstractmethod
    def _of(self, words: Tensor) -> Tensor:
        """Turn words (each, length, run, sample) into numbers (length, run, sample)."""

    def _draw(self, first: int, out: Tensor) -> Tensor:
        drawn = self._of(self._words(first, out).unflatten(2, (self._each, -1)).movedim(2, 0))
        if self._halves:
            drawn = drawn.unflatten(2, (2, -1)).transpose(1, 2)
        return drawn.flatten(1)


class Minibatches(_Samples):
    """Indices of the minibatches of every run of a shard, drawn with replacement from a data set of `samples`."""

    def __init__(self, drawing: Drawing, samples: int, stream: Stream) -> None:
        super().__init__(drawing, stream)
        self._samples = samples

    def _of(self, words: Tensor) -> Tensor:
        return below(words[0], self._samples)


class FreshLabels(_Samples):
    """Fresh labels for every minibatch that replace those of the data; -1 where the original is kept.

    A label is replaced with probability `share` (to 2^-32), by a class drawn from all.
    """

    def __init__(self, drawing: Drawing, classes: int, share: float, stream: Stream) -> None:
        super().__init__(drawing, stream, each=2)
        self._classes, self._share = classes, share

    def _of(self, words: Tensor) -> Tensor:
        kept = words[0] >= round(self._share * 2**32)
        return below(words[1], self._classes).masked_fill_(kept, -1)


class Augmentations(_Samples):
    """Fresh mirrorings and shifts for each image of every minibatch, as :func:`empirics.data.augmentation.packed`.

    Parameters
    ----------
    drawing, stream
        As for :class:`Minibatches`.
    flip
        Whether an image is mirrored with probability 1/2.
    shift
        Shifts down and to the right are uniform in -shift ... shift (pixels).
    """

    def __init__(self, drawing: Drawing, flip: bool, shift: int, stream: Stream) -> None:
        super().__init__(drawing, stream, each=3)
        self._flip, self._shift = flip, shift

    def _of(self, words: Tensor) -> Tensor:
        down, right = below(words[:2], 2 * self._shift + 1).sub_(self._shift)
        return packed(down, right, below(words[2], 2) if self._flip else 0)


class Vectors(_Drawn):
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
        Of the vectors.
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
        super().__init__(keys(runs).to(device), stream, dimension, torch.int64 if signs else dtype)
        self._signs, self._wanted = signs, dtype

    def _draw(self, first: int, out: Tensor) -> Tensor:
        if self._signs:
            return below(self._words(first, out), 2).mul_(2).sub_(1).to(self._wanted)
        normals(self._keys, self._stream, first, out)
        return out.flatten(2)[..., : self._count]
