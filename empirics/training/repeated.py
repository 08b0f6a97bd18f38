"""A step that the device repeats by itself: fixed memory, and whatever changes with the step in it.

Launching a hundred kernels one by one takes longer than a small network's work. On a CUDA device a step is recorded
once as a graph and launched as a whole from then on. The recording fixes addresses and all numbers of the host's, so
the number of the step, its place in the window of sums and what changes with the step are read from tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from empirics.training.optimizer import Numbers
from empirics.training.record import WINDOW
from empirics.training.state import TrainingState

#: Steps done one by one before recording, as libraries set themselves up in their first calls.
WARM_UP = 3


class Mover(Protocol):
    """What a step needs of :class:`empirics.training.ensemble.Ensemble`."""

    device: torch.device
    dtype: torch.dtype

    def numbers(self, step: int) -> tuple[float, ...]:
        """Numbers that change with the step."""

    def prepare(self, step: int) -> None:
        """Draw the random numbers of a step."""

    def move(self, state: TrainingState, step: Tensor, row: tuple[Tensor, ...], numbers: Numbers) -> None:
        """Take a step."""


class RepeatedStep:
    """One step of a state, as a function without arguments of fixed memory.

    Parameters
    ----------
    mover
        The ensemble.
    state
        Its state.
    """

    def __init__(self, mover: Mover, state: TrainingState) -> None:
        self.state, self._mover = state, mover
        self._step, self._filled = (torch.zeros(1, dtype=torch.int64, device=mover.device) for _ in range(2))
        self._row = torch.zeros_like(state.raw[0])
        self._columns = self._row.unbind()
        self._numbers = torch.zeros(WINDOW, len(mover.numbers(0)), dtype=mover.dtype, device=mover.device)
        self._next = self._window = -1  # the step that the tensors are at, and the window of the numbers
        self._run: Callable[[], None] = self.once if mover.device.type != "cuda" else _Recorded(self.once)

    def once(self) -> None:
        """Take the step that the tensors are at, and move them on to the next."""
        numbers = self._numbers.index_select(0, self._step % WINDOW).unbind(1)
        self._mover.move(self.state, self._step, self._columns, numbers)
        self.state.raw.index_copy_(0, self._filled, self._row.unsqueeze(0))
        self._step += 1
        self._filled += 1

    def prepare(self) -> None:
        """Bring to the device what this step needs: nothing for most steps."""
        step, filled = self.state.step, self.state.filled
        self._mover.prepare(step)
        if step != self._next or filled == 0:  # other steps were taken in between, or a window of sums begins
            self._step.fill_(step)
            self._filled.fill_(filled)
        self._next = step + 1
        if step // WINDOW != self._window and self._numbers.numel():
            self._window = step // WINDOW
            first = self._window * WINDOW
            rows = torch.tensor([self._mover.numbers(first + i) for i in range(WINDOW)], dtype=self._numbers.dtype)
            if self._numbers.device.type == "cuda":
                rows = rows.pin_memory()
            self._numbers.copy_(rows, non_blocking=True)

    def advance(self) -> None:
        """Take the step of the state; its counters are the caller's."""
        self.prepare()
        self._run()


class _Recorded:
    """A function of fixed memory that is recorded as a CUDA graph after a few calls, and replayed from then on."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function, self._calls, self._graph = function, 0, torch.cuda.CUDAGraph()

    def __call__(self) -> None:
        """Call the function, or replay it."""
        self._calls += 1
        if self._calls <= WARM_UP:
            aside, main = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(main)
            with torch.cuda.stream(aside):
                self._function()
            main.wait_stream(aside)
            return
        if self._calls == WARM_UP + 1:
            with torch.cuda.graph(self._graph):
                self._function()
        self._graph.replay()
