"""The probe: it measures the thermodynamics of a network's weights beside any optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from empirics.probe.index import MeasuredIndex, measured_index
from empirics.probe.loop import Loop
from empirics.probe.losses import LossRelaxation, relaxation
from empirics.probe.readings import readings, since
from empirics.probe.record import Seen
from empirics.probe.row import ProbeRow, row_of
from empirics.probe.rule import shared_rule
from empirics.probe.words import line, warnings
from thermo_theory import FixedELR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "ThermoProbe"]

COLUMNS = (
    "group",
    "parameters",
    "blocks",
    "scale_invariant",
    "effective_lr",
    "temperature",
    "pressure",
    "volume",
    "pv_over_rt",
    "balance",
    "angular_update",
    "angular_equilibrium",
    "equilibrium_share",
    "relaxation_steps",
)

#: Largest deviation of the balance from 1 in an interval that counts as stationary.
BALANCED = 0.1


class ThermoProbe(Loop):
    """Measures the thermodynamics of every parameter tensor in a training loop, without changing anything.

    Call :meth:`step` right before ``optimizer.step()``. Once in `every` steps, at random, two consecutive steps are
    measured. The model, the optimiser and torch's random state are not touched, and no graph is kept.

    Scale-invariant blocks are found by measurement: by default from ``w·g = 0`` in the first 8 measured pairs of steps,
    block by block; with `loss`, by :func:`empirics.models.scale_invariant_blocks`.

    Parameters
    ----------
    model
        The network, possibly compiled or inside ``DistributedDataParallel``. Under DDP every process sees the same
        averaged gradients, so a probe on one of them is enough.
    optimizer
        From ``torch.optim``, or wrapped by Lightning or Accelerate. The theory covers SGD (momentum, Nesterov), AdamW
        and Adam with L2; for others only the directly measured columns are filled.
    loss
        Optional: computes a scalar of the model on a fixed minibatch; called about ten times per tensor, here only.
    every
        One pair of steps is measured per `every` steps, 2 or more. Memory: a copy of the weights and their gradients.
    scaler
        A ``GradScaler``: gradients are divided by its scale if ``unscale_`` was not called. Without one, gradients
        must be unscaled.

    Raises
    ------
    TypeError
        If there is no torch optimiser in `optimizer`.
    ValueError
        If it has no tensor that requires a gradient, or `every` is too small.

    Notes
    -----
    Gradient noise, ``tr Cov g``, is ``E|g|^2`` minus the signal ``|E g|^2``. With :meth:`halves` or :meth:`microbatch`
    the signal comes from independent minibatches at the same weights, without bias. Otherwise it comes from consecutive
    steps, as ``|E g·g'|``, which is biased: the step between them moves the weights along the noise of g, so that
    ``E g·g'`` is ``|E g|^2 - lr tr(H Sigma)`` for SGD. Far from stationarity this hardly matters; in a stationary state
    of SGD ``lr tr(H Sigma) = 2 |E g|^2`` (derivation "gradient-balance"), so ``E g·g' = -|E g|^2`` and the absolute
    value is right to leading order; in between, the noise and hence the temperature are too large by at most
    ``lr tr(H Sigma)``. Sampling without replacement makes g' slightly less similar to g, by about the batch size over
    the size of the data set.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(8, 6, bias=False), nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 3))
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01)
    >>> probe = ThermoProbe(net, sgd)
    >>> for _ in range(100):
    ...     loss = nn.functional.cross_entropy(net(torch.randn(32, 8)), torch.randint(3, (32,)))
    ...     sgd.zero_grad()
    ...     loss.backward()
    ...     probe.step(loss)
    ...     sgd.step()
    >>> probe.frame()[["group", "parameters", "blocks", "scale_invariant", "relaxation_steps"]]
          group  parameters  blocks  scale_invariant  relaxation_steps
    0  0.weight          48       1             True             250.0
    1  2.weight          18       0            False               NaN
    2    2.bias           3       0            False               NaN
    """

    # Results ----------------------------------------------------------------------------------------------------

    def _signal(self, seen: Sequence[Seen | None]) -> list[float]:
        """Return the share of the mean gradient in E|g|^2 of each tensor."""
        consecutive = [0.0 if s is None else abs(s.grad_next.sum()) / max(s.grad_sq.sum(), 1e-300) for s in seen]
        shares, unbiased = np.array(consecutive), self._noise.shares()
        if unbiased is not None:
            shares = np.where(np.isfinite(unbiased), unbiased, shares)
        return [float(share) for share in np.clip(shares, 0, 1)]

    def _rows(self) -> list[ProbeRow]:
        seen = self._watch.seen()
        if all(each is None for each in seen):
            raise ValueError(
                "no finite gradient has been measured yet: call probe.step(loss) between backward and "
                "optimizer.step(), in two or more steps"
            )
        rows = []
        for watched, each, signal in zip(self._watch.watched, seen, self._signal(seen), strict=True):
            if each is not None:
                rows.append(row_of(watched.name, watched.parameter.numel(), each, signal))
        return rows

    def frame(self) -> pd.DataFrame:
        """Return a table of recent measurements: the second half of the training, at most 128 pairs of steps.

        Returns
        -------
        pandas.DataFrame
            One row per parameter tensor with gradients, and the columns

            - ``group`` (its name), ``parameters``, ``blocks`` (scale-invariant blocks: rows under BatchNorm, one matrix
              under LayerNorm; 0 for none), ``scale_invariant``;
            - ``effective_lr``: lr/r^2, or its equivalent with momentum and Adam, at the blocks' rms norm;
            - ``temperature`` (nat): half of that times the noise per direction at unit norm, mean over blocks;
            - ``pressure``, ``volume``, ``pv_over_rt``: as defined for the optimiser; volumes and R T add over blocks.
              The ratio is 1 if the norm is set by noise only, above 1 if the mean gradient contributes;
            - ``balance``: growth of the squared norm by gradients over its loss by weight decay; 1 if stationary;
            - ``angular_update``, ``angular_equilibrium`` (rad per step, rms): measured, and at the stationary norm;
            - ``equilibrium_share``: effective learning rate over its stationary value, or the inverse: at most 1. Like
              all columns a mean over recent steps; the warnings and the log line extrapolate it to the present;
            - ``relaxation_steps``: steps in which the distance to the stationary norm shrinks by a factor e.

            NaN where a column does not apply. ``attrs["noise"]`` is the source of the noise estimate.

        Raises
        ------
        ValueError
            If nothing has been measured yet.
        """
        import pandas as pd

        table = pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in self._rows()], columns=list(COLUMNS))
        table.attrs["noise"] = "halves" if self._noise.measured else "consecutive steps"
        return table

    def history(self) -> pd.DataFrame:
        """Return the same columns along the training, with ``step``; the noise is that of consecutive steps.

        Returns
        -------
        pandas.DataFrame
            One row per tensor and interval of measured steps.
        """
        import pandas as pd

        rows = []
        for watched in self._watch.watched:
            for seen in watched.history:
                signal = float(np.clip(abs(seen.grad_next.sum()) / max(seen.grad_sq.sum(), 1e-300), 0, 1))
                row = row_of(watched.name, watched.parameter.numel(), seen, signal)
                rows.append([seen.last, *(getattr(row, name) for name in COLUMNS)])
        return pd.DataFrame(rows, columns=["step", *COLUMNS])

    def readings(self) -> pd.DataFrame:
        """Return one row per interval of training at constant lr and weight decay, without its first half.

        The input of :func:`~empirics.steering.weight_decay.propose_temperature` and
        :func:`~empirics.steering.measured_index`.

        Returns
        -------
        pandas.DataFrame
            Columns ``step`` and ``last`` (first and last measured step), ``lr``, ``weight_decay`` (of the first
            scale-invariant tensor), ``temperature`` (nat; mean over the scale-invariant tensors, weighted by their gas
            constants), ``loss`` (nat; mean over all steps), ``balance`` (mean). Empty if nothing is scale-invariant.

        Raises
        ------
        ValueError
            If nothing has been measured yet.
        """
        self._rows()
        return readings(self._watch, self._losses)

    def adiabatic_index(self) -> MeasuredIndex:
        """Measure the adiabatic index from the losses of intervals at three or more temperatures.

        Intervals whose balance is not within 0.1 of 1 are left out. ``Adiabat(index=...)`` takes the result.

        Returns
        -------
        MeasuredIndex

        Raises
        ------
        ValueError
            If there are fewer than three such intervals, the loss does not rise with the temperature, or the tensors
            follow different rules.
        """
        table = self.readings()
        stationary = table[(table["balance"] - 1).abs() < BALANCED].dropna()
        if len(stationary) < 3:
            raise ValueError(
                f"only {len(stationary)} of {len(table)} intervals at constant lr and weight decay are stationary and "
                "have a loss: hold training at three or more values of lr, each for a few relaxation_steps"
            )
        rows = [row for row in self._rows() if row.scale_invariant]
        directions = sum(row.parameters - row.blocks for row in rows)
        name = shared_rule(self._optimizer)
        return measured_index(stationary["temperature"], stationary["loss"], dimension=1 + directions, optimizer=name)

    def noise(self) -> tuple[float | None, int | None]:
        """Return sigma, the gradient noise per direction at unit norm, and d, of the slowest tensor's blocks.

        Tensors with the same lr·wd relax equally slowly. Of those, the one with the most directions counts, since most
        of the entropy is in its directions.

        Returns
        -------
        sigma, dimension
            As :func:`~empirics.steering.weight_decay.convert` and the check of a schedule take them; None without a
            scale-invariant block.
        """
        rows = [row for row in self._rows() if row.scale_invariant and row.relaxation_steps > 0]
        if not rows:
            return None, None
        slowest = max(row.relaxation_steps for row in rows)
        tied = [row for row in rows if row.relaxation_steps > 0.99 * slowest]
        most = max(tied, key=lambda row: row.parameters - row.blocks)
        unit = FixedELR.temperature(eta_eff=most.effective_lr, sigma=1.0)  # T goes as sigma^2
        return float(most.temperature / unit) ** 0.5, most.parameters // most.blocks

    def loss_relaxation(self) -> LossRelaxation:
        """Estimate the relaxation time of the slow part of the loss, which sets how slow a schedule has to be.

        From the losses passed to :meth:`step` since lr and weight decay last changed, without the first half.

        Returns
        -------
        LossRelaxation
            ``steps`` with an interval; NaN with a reason where it cannot be estimated.
        """
        start = since(self._watch)
        return relaxation(self._losses.series((start + self.steps) // 2, self.steps), self._losses.width)

    # Text -----------------------------------------------------------------------------------------------------------

    def warnings(self) -> list[str]:
        """Return warnings, one sentence each; empty if all is well.

        Returns
        -------
        list of str
        """
        rows = self._rows()
        seen = {row.group for row in rows}
        rules = self._rules()
        return warnings(
            rows,
            [rule.why_not for rule in rules if rule.why_not],
            [watched.name for watched in self._watch.watched if watched.name not in seen],
        )

    def line(self) -> str:
        """Return one line for a log: step, loss, medians over the scale-invariant tensors, and the slowest of them."""
        return line(self.steps, self._losses.last, self._rows())

    def values(self) -> dict[str, float]:
        """Return the finite numbers of :meth:`frame` under names for a logger, ``thermo/<column>/<tensor>``."""
        numbers = COLUMNS[4:]
        found = {f"thermo/{name}/{row.group}": float(getattr(row, name)) for row in self._rows() for name in numbers}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def log(self, sink: Callable[[Mapping[str, float], int], None]) -> None:
        """Send :meth:`values` to a sink.

        Parameters
        ----------
        sink
            Called with the values and the step; :mod:`empirics.probe.sinks` has some.
        """
        sink(self.values(), self.steps)

    def plot(self) -> Figure:
        """Plot effective learning rate, temperature, share of the stationary value and rotation over the steps.

        Returns
        -------
        matplotlib.figure.Figure
            Neither shown nor registered with pyplot.
        """
        from empirics.probe.plot import drawn

        return drawn(self.history())
