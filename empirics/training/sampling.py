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

#: Positions whose numbers are drawn at once, for few calls, unless these are more than so many numbers (2 MB).
TOGETHER, NUMBERS = 256, 2**18


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
    """Numbers of every run of a shard at every position, drawn for consecutive positions together into one buffer.

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

    _drawn: Tensor  # the numbers by position, (length, ...): always the same memory

    def __init__(self, keys: Tensor, stream: Stream, count: int, dtype: torch.dtype = torch.int64) -> None:
        self._keys, self._stream = keys, stream
        blocks = -(-count // 4)
        self._length, self._first = max(1, min(TOGETHER, NUMBERS // (len(keys) * 4 * blocks))), -1
        self._space = torch.empty(self._length, len(keys), 4, blocks, dtype=dtype, device=keys.device)
        self._of_run = self._space.flatten(2)[..., :count]  # (length, run, count)

    @abstractmethod
    def _draw(self, first: int) -> None:
        """Fill the buffer with the numbers of the positions from `first` on."""

    def prepare(self, position: int) -> None:
        """Draw the numbers at a position, if they are not in the buffer."""
        if (first := position - position % self._length) != self._first:
            self._draw(first)
            self._first = first

    def at(self, position: int | Tensor) -> Tensor:
        """Return the numbers at a position, valid until others are drawn: for minibatches (run · batch,), int64.

        A position in a tensor, shape (1,), is one that was prepared.
        """
        if isinstance(position, Tensor):
            return self._drawn.index_select(0, position % self._length)[0] if self._length > 1 else self._drawn[0]
        self.prepare(position)
        return self._drawn[position % self._length]


class _Samples(_Drawn):
    """Numbers of every sample of every minibatch, `each` words for one."""

    def __init__(self, drawing: Drawing, stream: Stream, each: int = 1) -> None:
        runs, batch, device, halves, shared = drawing
        super().__init__(keys(runs, shared).to(device), stream, each * batch)
        self._words = self._of_run.unflatten(2, (each, batch)).movedim(2, 0)
        self._drawn = torch.empty(self._length, len(runs) * batch, dtype=torch.int64, device=device)
        self._halves = 2 if halves else 1
        self._by_half = self._drawn.view(self._length, self._halves, len(runs), -1)  # (length, half, run, sample of it)

    @abstractmethod
    def _of(self, words: Tensor) -> Tensor:
        """Turn words (each, length, run, sample) into numbers (length, run, sample)."""

    def _draw(self, first: int) -> None:
        words(self._keys, self._stream, first, self._space)
        self._by_half.copy_(self._of(self._words).unflatten(2, (self._halves, -1)).transpose(1, 2))


class Minibatches(_Samples):
    """Indices of the minibatches of every run of a shard, drawn with replacement from a data set of `samples`."""

    def __init__(self, drawing: Drawing, samples: int, stream: Stream) -> None:
        super().__init__(drawing, stream)
        self._samples = samples

    def _of(self, words: Tensor) -> Tensor:
        return below(words[0], self._samples)


class Epochs(Minibatches):
    """Indices of minibatches without replacement: each run goes through all samples, in a new order in every epoch.

    Minibatch number t is the places t · batch to (t + 1) · batch - 1 of the epochs in a row: no sample is left out, and
    a minibatch may end one epoch and begin the next. The order of an epoch is that of its random words, so its number
    alone is needed for any place in it.
    """

    def __init__(self, drawing: Drawing, samples: int, stream: Stream) -> None:
        super().__init__(drawing, samples, stream)
        runs, device = len(drawing.runs), drawing.device
        self._batch, self._epoch = drawing.batch, -1
        self._epoch_words = torch.empty(1, runs, 4, -(-samples // 4), dtype=torch.int64, device=device)
        self._order = torch.empty(0)
        self._places = torch.empty(runs, self._length * drawing.batch, dtype=torch.int64, device=device)

    def _order_of(self, epoch: int) -> Tensor:
        """Return the samples of an epoch in the order of each run, (run, sample); equal words stay in order."""
        if epoch != self._epoch:
            words(self._keys, self._stream, epoch, self._epoch_words)
            self._order = self._epoch_words[0].flatten(1)[:, : self._samples].argsort(dim=1, stable=True)
            self._epoch = epoch
        return self._order

    def _draw(self, first: int) -> None:
        start, done = first * self._batch, 0
        while done < self._places.shape[1]:
            epoch, place = divmod(start + done, self._samples)
            part = self._order_of(epoch)[:, place : place + self._places.shape[1] - done]
            self._places[:, done : done + part.shape[1]] = part
            done += part.shape[1]
        by_position = self._places.unflatten(1, (self._length, -1)).transpose(0, 1)  # (length, run, sample)
        self._by_half.copy_(by_position.unflatten(2, (self._halves, -1)).transpose(1, 2))


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
        self._signs, self._drawn = signs, self._of_run.to(dtype)  # of normal numbers the very buffer

    def _draw(self, first: int) -> None:
        if self._signs:
            words(self._keys, self._stream, first, self._space)
            self._drawn.copy_(below(self._of_run, 2).mul_(2).sub_(1))
        else:
            normals(self._keys, self._stream, first, self._space)
