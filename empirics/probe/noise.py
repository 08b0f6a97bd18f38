"""Unbiased gradient noise, from halves of a minibatch or from the micro-batches of an accumulated step."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Noise"]

#: Measurements by halves or micro-batches that are averaged.
HALVES = 256


class Noise:
    """Measured signal and noise of each watched tensor, `|E g|^2` and `tr Cov g`.

    Attributes
    ----------
    measured : deque of Tensor
        Measurements of shape (tensor, 2): both for a mean over the whole minibatch.
    """

    def __init__(self) -> None:
        self.measured: deque[Tensor] = deque(maxlen=HALVES)
        self._parts: list[Tensor | None] | None = None
        self._part_squares: list[Tensor] = []

    def forget(self) -> None:
        """Start over, with other tensors."""
        self.measured.clear()
        self._parts, self._part_squares = None, []

    def halves(self, parameters: Sequence[Tensor], pairs: Sequence[tuple[Tensor | None, Tensor | None]]) -> None:
        """Add the gradients of two halves, one pair per parameter; None where there is none."""
        found = []
        for parameter, (one, other) in zip(parameters, pairs, strict=True):
            if one is None or other is None:
                found.append(parameter.new_full((2,), torch.nan, dtype=torch.float32))
                continue
            one, other = one.detach().float().flatten(), other.detach().float().flatten()
            found.append(torch.stack((one @ other, (one - other).square().sum() / 4)))
        self.measured.append(torch.stack([each.to(found[0].device) for each in found]))

    @torch.no_grad()
    def part(self, parameters: Sequence[Tensor]) -> None:
        """Measure what the latest `backward` added to the gradients."""
        gradients = [parameter.grad for parameter in parameters]
        before = [None] * len(gradients) if self._parts is None else self._parts
        squares = []
        for g, old in zip(gradients, before, strict=True):
            part = torch.zeros(()) if g is None else (g if old is None else g - old)
            squares.append(part.float().square().sum())
        self._part_squares.append(torch.stack([s.to(squares[0].device) for s in squares]))
        self._parts = [None if g is None else g.detach().clone() for g in gradients]

    def end_of_parts(self) -> None:
        """Estimate the noise from the micro-batches of a step, if there were several."""
        if self._parts is not None and (n := len(self._part_squares)) > 1:
            squares = torch.stack(self._part_squares).sum(0)
            whole = torch.stack([
                squares.new_zeros(()) if g is None else g.float().square().sum().to(squares) for g in self._parts
            ])  # fmt: skip
            noise = n / (n - 1) * (squares - whole / n)
            self.measured.append(torch.stack((whole - noise, noise), 1))
        self._parts, self._part_squares = None, []

    def all(self, place: torch.device) -> Tensor:
        """Return all measurements, shape (measurement, tensor, 2)."""
        return torch.stack([one.to(place) for one in self.measured] or [torch.zeros(0, 2, device=place)])

    @staticmethod
    def shares(parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the mean gradient in E|g|^2 from :meth:`all`, shape (tensor,); NaN where not measured."""
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = np.where(np.isfinite(parts), parts, 0).sum(0)
            return np.asarray(sums[:, 0] / sums.sum(1))
