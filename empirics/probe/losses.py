"""The losses of all steps, thinned when there are many, and the relaxation time of their slow part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor

__all__ = ["LossRelaxation", "Losses", "relaxation"]

FloatArray = NDArray[np.float64]

#: Losses per chunk on the device, and chunks per transfer to the host.
CHUNK = 256
WAITING = 64

#: Means that are kept; when there are more, pairs are averaged.
KEPT = 1 << 15

#: Blocks of a series for the jackknife.
PARTS = 5

#: Minimum number of means, and maximum relaxation time relative to the length of the series.
FEWEST, LONGEST = 1000, 0.01


@dataclass(frozen=True)
class LossRelaxation:
    """Correlation time of the slow part of the training loss, in steps, with its 95 % interval.

    Attributes
    ----------
    steps : float
        NaN where it cannot be estimated.
    low, high : float
        The interval.
    why_not : str
        Why it cannot be estimated.
    """

    steps: float
    low: float = nan
    high: float = nan
    why_not: str = ""

    def __str__(self) -> str:
        if self.why_not:
            return f"relaxation time of the loss: not estimated, {self.why_not}"
        return f"relaxation time of the loss: {self.steps:.3g} steps [{self.low:.3g}, {self.high:.3g}]"


class Losses:
    """Losses by step; most steps move nothing off the device."""

    def __init__(self) -> None:
        self._new: list[Tensor | float] = []
        self._chunks: list[Tensor] = []
        #: Means over `width` steps each, from step 0; NaN where one is missing or not finite.
        self.means: FloatArray = np.empty(0)
        self.width = 1
        self._rest: FloatArray = np.empty(0)

    def add(self, loss: Tensor | float | None) -> None:
        """Add the loss of a step.

        Raises
        ------
        ValueError
            If it is not a scalar.
        """
        # Off the CPU, reading the number would wait for the device. This runs in every step, in a few tenths of a us.
        try:
            value: Tensor | float = loss.item() if loss.is_cpu else loss.detach().clone()  # type: ignore[union-attr]
        except AttributeError:
            value = nan if loss is None else float(loss)
        except RuntimeError:
            raise ValueError(_no_scalar(loss)) from None
        self._new.append(value)
        if len(self._new) >= CHUNK:
            self._close()

    def skip(self, steps: int) -> None:
        """Leave out a number of steps, whose losses are not known."""
        if steps:
            self._close()
            self._chunks.append(torch.full((steps,), nan, dtype=torch.float64))

    def _close(self) -> None:
        if self._new:
            self._chunks.append(_stacked(self._new))
            self._new = []
        if len(self._chunks) >= WAITING:
            self._fetch()

    def _fetch(self) -> None:
        """Move the waiting chunks to the host, and thin."""
        new = (
            torch.cat([chunk.to(self._chunks[-1].device) for chunk in self._chunks]) if self._chunks else torch.zeros(0)
        )
        self._chunks = []
        series = np.concatenate([self._rest, new.double().cpu().numpy()])
        while len(self.means) + len(series) // self.width > KEPT:
            # An odd mean at the end goes back to those not averaged yet.
            if len(self.means) % 2:
                series = np.concatenate([np.full(self.width, self.means[-1]), series])
            self.means = self.means[: len(self.means) // 2 * 2].reshape(-1, 2).mean(1)
            self.width *= 2
        whole = len(series) // self.width * self.width
        self.means = np.concatenate([self.means, series[:whole].reshape(-1, self.width).mean(1)])
        self._rest = series[whole:]

    def series(self, start: int, end: int) -> FloatArray:
        """Return the means over `width` steps within steps `start` to `end`."""
        self._close()
        self._fetch()
        return self.means[-(-start // self.width) : end // self.width]

    @property
    def last(self) -> float:
        """The latest known loss; NaN if there is none."""
        if self._new and (not isinstance(self._new[-1], float) or isfinite(self._new[-1])):
            return float(self._new[-1])
        known = self.series(0, 1 << 62)
        known = np.concatenate([known, self._rest])
        known = known[np.isfinite(known)]
        return float(known[-1]) if len(known) else nan

    def state(self) -> dict[str, Any]:
        """Return the state as numbers and tensors."""
        self._close()
        self._fetch()
        held = {"means": torch.as_tensor(self.means.copy()), "rest": torch.as_tensor(self._rest.copy())}
        return {**held, "width": self.width}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from `state`."""
        self._new, self._chunks = [], []
        self.means, self._rest = (state[name].cpu().numpy().copy() for name in ("means", "rest"))
        self.width = state["width"]


def _no_scalar(loss: Any) -> str:
    return f"loss must be a scalar, got a tensor of shape {tuple(loss.shape)}; pass its mean"


def _stacked(losses: list[Tensor | float]) -> Tensor:
    # isinstance(x, Tensor) takes ten times as long.
    tensors = [one for one in losses if type(one) is not float]
    if not tensors:
        return torch.tensor(losses, dtype=torch.float64)
    for one in tensors:
        if one.numel() != 1:  # type: ignore[union-attr]
            raise ValueError(_no_scalar(one))
    like: Tensor = tensors[0]  # type: ignore[assignment]
    return torch.stack([
        like.new_tensor(one) if type(one) is float else one.reshape(()).to(like)  # type: ignore[union-attr]
        for one in losses
    ])  # fmt: skip


def relaxation(series: FloatArray, width: int = 1) -> LossRelaxation:
    """Estimate the correlation time of the slow part of a series of losses.

    Parameters
    ----------
    series : array, shape (n,)
        Losses of consecutive minibatches, or means over `width` of them, of a stationary interval.
    width : int
        Steps per value.

    Notes
    -----
    A minibatch's loss is that of the weights plus noise of its own, which is independent from step to step and
    contributes only to the covariance at lag 0. The covariances at lags 1 to n/25, after removal of a linear trend,
    are fitted by ``A exp(-lag/tau)`` (least squares on a grid of tau); the interval is Student's for log tau, from
    fits that each leave out a fifth of the series. There is no estimate if A is not above 0 by four standard errors,
    or if tau is above a hundredth of the series, which is then too short.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> slow = np.zeros(20_000)
    >>> for i in range(1, len(slow)):
    ...     slow[i] = np.exp(-1 / 40) * slow[i - 1] + random.normal()
    >>> print(relaxation(slow + 3 * random.normal(size=len(slow))))
    relaxation time of the loss: ... steps [...]
    """
    series = np.asarray(series, dtype=float)
    series = series[np.isfinite(series)]
    n = len(series)
    if n < FEWEST:
        return LossRelaxation(nan, why_not=f"needs {FEWEST * width:,} or more steps, has {n * width:,}")
    time = np.arange(n) - (n - 1) / 2
    away = series - series.mean()
    away = away - time * float(time @ away) / float(time @ time)
    lags = np.arange(1, int(4 * LONGEST * n))
    covariances = np.array([[float(p[:-k] @ p[k:]) / (len(p) - k) for k in lags] for p in np.array_split(away, PARTS)])
    times = np.geomspace(0.5, 2 * LONGEST * n, 200)
    shapes = np.exp(-lags / times[:, None])
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    # The whole series, then each block left out in turn. The least-squares fit is the one that explains most.
    without = (covariances.sum(0) - covariances) / (PARTS - 1)
    heights = np.stack([covariances.mean(0), *without]) @ shapes.T
    best = heights.argmax(1)
    found = times[best]
    if not heights[0, best[0]] > 4 * _jackknife(heights[1:, best[0]]):
        return LossRelaxation(nan, why_not="no slow part above the minibatch noise")
    if found[0] > LONGEST * n:
        return LossRelaxation(nan, why_not=f"it exceeds {LONGEST * n * width:,.0f} steps, a hundredth of the series")
    reach = float(student.ppf(0.975, PARTS - 1)) * _jackknife(np.log(found[1:]))
    low, high = (float(found[0] * np.exp(sign * reach)) * width for sign in (-1, 1))
    return LossRelaxation(float(found[0]) * width, low, high)


def _jackknife(values: FloatArray) -> float:
    """Return the standard error from estimates that each leave out one block."""
    return float(((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()) ** 0.5)
