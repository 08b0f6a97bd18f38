"""The probe: it measures the thermodynamics of a network's weights beside any optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from empirics.probe.index import MeasuredIndex, measured_index
from empirics.probe.loop import Loop
from empirics.probe.losses import LossRelaxation, relaxation
from empirics.probe.readings import readings, since
from empirics.probe.row import Measured, ProbeRow, rows_of
from empirics.probe.rule import shared_rule
from empirics.probe.words import cells, line, summary, table, warnings
from thermo_theory import FixedELR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "ThermoProbe", "watch"]

COLUMNS = (
    "group", "parameters", "blocks", "scale_invariant", "role", "first", "last", "lr", "weight_decay", "effective_lr",
    "norm", "grad_norm", "update_rms", "temperature", "pressure", "volume", "pv_over_rt", "balance", "angular_update",
    "angular_equilibrium", "equilibrium_share", "relaxation_steps", "relaxation_epochs", "radial",
)  # fmt: skip

#: Largest deviation of the balance from 1 in an interval that counts as stationary.
BALANCED = 0.1


class ThermoProbe(Loop):
    """Measures the thermodynamics of every parameter tensor of a training, without changing anything.

    It listens to the optimiser's own hooks, so nothing is called in the loop, and the gradients are those that are
    used: after unscaling, clipping and averaging over processes. Once in `every` steps, at random, two consecutive
    steps are measured; of others only the rates are noted. `empirics.watch` is the same as a function.

    Scale-invariant blocks are found by measurement: by default from ``w·g = 0`` in the first 8 measured pairs of steps,
    block by block; with `loss`, by :func:`empirics.models.scale_invariant_blocks`.

    Parameters
    ----------
    model
        The network, possibly compiled or inside ``DistributedDataParallel``. Under DDP every process sees the same
        averaged gradients, so a probe on one of them is enough. Of tensors sharded by FSDP2 every process measures its
        part, so all of them need a probe, and all must ask it at the same steps.
    optimizer
        From ``torch.optim`` or derived from it, or wrapped by Lightning or Accelerate. Its rule is recognised by its
        steps: SGD (momentum, Nesterov), AdamW and Adam with L2, whatever the class is called; of others the measured
        columns are filled, and the stationary rotation follows from the balance.
    every
        One pair of steps is measured per `every` steps, 2 or more. Memory: a copy of the weights.
    loss
        Optional: computes a scalar of the model on a fixed minibatch; called about ten times per tensor, here only.
    steps_per_epoch
        Optional: optimiser steps per epoch, for times in epochs as well.

    Raises
    ------
    TypeError
        If an argument is of another type, such as a list of optimisers.
    ValueError
        If the optimiser has no tensor that requires a gradient, or none of the model's, or `every` or
        `steps_per_epoch` is too small.

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
    >>> with ThermoProbe(net, sgd) as watch:
    ...     for _ in range(100):
    ...         loss = nn.functional.cross_entropy(net(torch.randn(32, 8)), torch.randint(3, (32,)))
    ...         sgd.zero_grad()
    ...         loss.backward()
    ...         sgd.step()
    >>> watch.frame()[["group", "parameters", "blocks", "role", "relaxation_steps"]]  # 1/(4 lr wd), 1/(2 lr wd)
          group  parameters  blocks       role  relaxation_steps
    0  0.weight          48       1  invariant             250.0
    1  2.weight          18       0    penalty             500.0
    2    2.bias           3       0    penalty             500.0
    """

    _final: list[ProbeRow] | None = None

    def close(self) -> None:
        """Take the probe off the optimiser; what it reports stays what it is now."""
        if self._hooks and self._watch.steps:
            self._final = self._rows()
        super().close()

    # Results ----------------------------------------------------------------------------------------------------

    def _rows(self) -> list[ProbeRow]:
        if self._final is not None:
            return self._final
        seen, norms, parts = self._watch.seen(self._noise.all(self._watch.device))
        unbiased = dict(zip(self._watch.tensors, self._noise.shares(parts), strict=False))  # empty without halves
        measured = []
        for watched, each, norm_sq in zip(self._watch.watched, seen, norms, strict=True):
            if each is not None:
                share = unbiased.get(watched.group.pieces[0].name, nan)
                signal = float(np.clip(share, 0, 1)) if isfinite(share) else each.signal
                rule = self._watch.rule(watched.rates, self._watch.rates)
                measured.append(Measured(watched, each, rule, norm_sq, signal, self._watch.kept[watched.rates]))
        return self._in_epochs(rows_of(measured))

    def _in_epochs(self, rows: list[ProbeRow]) -> list[ProbeRow]:
        if not (steps := self._steps_per_epoch):
            return rows
        return [replace(row, relaxation_epochs=row.relaxation_steps / steps) for row in rows]

    def frame(self) -> pd.DataFrame:
        """Return a table: rates, norms and what follows from them now, and averages over the window that a row names.

        Returns
        -------
        pandas.DataFrame
            One row per parameter tensor with gradients, and the columns

            - ``group`` (its name), ``parameters``, ``blocks`` (scale-invariant blocks: rows under BatchNorm, one matrix
              under LayerNorm; 0 for none), ``scale_invariant``, ``role``: "invariant", "penalty" (its size matters to
              the loss) or "dead" (no gradient but rounding errors);
            - ``first``, ``last``: the window of the averages in steps from 0, `last` exclusive: the second half of the
              training, at most 128 pairs of steps;
            - now: ``lr``, ``weight_decay`` (of the last step), ``norm``, ``effective_lr`` (lr/r^2, or its equivalent
              with momentum and Adam, at the blocks' rms norm), ``temperature`` (nat; half of that times the noise per
              direction at unit norm, mean over blocks; the noise is the window's), ``pressure``, ``volume``,
              ``pv_over_rt`` (as defined for the optimiser; volumes and R T add over blocks; the ratio is 1 if the norm
              is set by noise only, above 1 if the mean gradient contributes), ``angular_equilibrium`` (rad per step at
              the stationary norm; of a tensor that is not scale-invariant, if no force acts along w),
              ``equilibrium_share`` (effective learning rate over its stationary value, or the inverse: at most 1),
              ``relaxation_steps``: steps in which the distance to the stationary norm shrinks by a factor e. With
              decoupled decay and steps that go as r^-k, r^(2+2k) relaxes at (2 + 2k)·lr·wd; k is 0 for tensors that
              are not scale-invariant; ``relaxation_epochs``: the same in epochs, if `steps_per_epoch` is given;
            - averages: ``grad_norm``, ``update_rms`` (per weight), ``angular_update`` (rad per step), all rms;
              ``balance``: growth of ``r^2`` by gradients over its loss by weight decay, both summed over every step of
              the window: 1 if stationary; ``radial``: cosine of w and g, mean: 0 if no force acts along w.

            NaN where a column does not apply. ``attrs["noise"]`` is the source of the noise estimate. Empty as long as
            nothing has been measured, which takes two steps with gradients.
        """
        import pandas as pd

        table = pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in self._rows()], columns=list(COLUMNS))
        table.attrs["noise"] = "halves" if self._noise.measured else "consecutive steps"
        return table

    @property
    def history(self) -> pd.DataFrame:
        """The same columns along the training, with ``step``; the noise is that of consecutive steps.

        Tensors that are frozen keep their rows up to then, and come first.
        """
        import pandas as pd

        steps, measured = [], []
        for watched, past in self._watch.past():
            for seen in past:
                steps.append(seen.last)
                measured.append(Measured(watched, seen, seen.rule, seen.norm_sq, seen.signal))
        rows = [
            [step, *(getattr(row, name) for name in COLUMNS)]
            for step, row in zip(steps, self._in_epochs(rows_of(measured)), strict=True)
        ]
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
        """
        return readings(self._watch, self._losses)

    def adiabatic_index(self) -> MeasuredIndex:
        """Measure the adiabatic index from the losses of intervals at three or more temperatures.

        Intervals whose balance is not within 0.1 of 1 are left out. ``Adiabat(index=...)`` takes the result.
        Directions in which the loss is flat, such as the mean of the rows before LayerNorm, have no noise and drop out:
        R counts them, but R T is measured as a product, and the index is 1 + R dT/dU.

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
        rows = [row for row in self._rows() if row.scale_invariant and row.relaxation_steps > 0 and row.temperature > 0]
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
        """Return warnings, one sentence each; empty if all is well, or nothing has been measured yet.

        Returns
        -------
        list of str
        """
        rows = self._rows()
        seen = {row.group for row in rows}
        broken = {w.name: w.broken for w in self._watch.watched if w.broken is not None}
        seen |= {w.name for w in self._watch.watched if w.gradient or w.broken is not None}
        skipped = [w.name for w in self._watch.watched if w.name not in seen] if self._watch.count else []
        return warnings(rows, skipped, broken)

    def line(self) -> str:
        """Return one line for a log: step, loss, medians over the scale-invariant tensors, and the slowest of them."""
        if not (rows := self._rows()):
            return self._why_empty()
        return line(self.steps, self._losses.last if self._loss is None else float(self._loss), rows)

    def _why_empty(self) -> str:
        if not self._watch.tensors:
            return f"step {self.steps}: nothing to measure, every tensor of the optimizer is frozen"
        return (
            f"step {self.steps}: nothing measured yet (two steps are needed, with finite gradients that are still "
            "there when optimizer.step() returns)"
        )

    def summary(self) -> dict[str, float]:
        """Return at most 12 finite numbers for a logger, ``thermo/...``; empty as long as nothing has been measured.

        Medians over the tensors, of the scale-invariant ones for `effective_lr`, `temperature` and `balance`;
        `slowest_share` is the smallest equilibrium share. The angle per step over its stationary value is by type and
        depth: `rotation_matrix_first`, `rotation_matrix_last`, `rotation_convolution_first` and
        `rotation_convolution_last`, of the first and the last third of the tensors of a type in the model's order;
        without the place if there is only one.
        """
        return summary(self._rows())

    def values(self) -> dict[str, float]:
        """Return all finite numbers of :meth:`frame`, ``thermo/<column>/<tensor>``."""
        numbers = COLUMNS[7:]
        found = {f"thermo/{name}/{row.group}": float(getattr(row, name)) for row in self._rows() for name in numbers}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def log(self, sink: Callable[[Mapping[str, float], int], None]) -> None:
        """Send :meth:`summary` to a sink, if anything has been measured.

        Parameters
        ----------
        sink
            Called with the numbers and the step; :mod:`empirics.probe.sinks` has some.
        """
        if numbers := self.summary():
            sink(numbers, self.steps)

    def __str__(self) -> str:
        return table(rows) if (rows := self._rows()) else self._why_empty()

    def _repr_html_(self) -> str:
        import pandas as pd

        if not (rows := self._rows()):
            return f"<table><tr><td>{self._why_empty()}</td></tr></table>"
        return str(pd.DataFrame(cells(rows)).to_html(index=False))

    def plot(self) -> Figure:
        """Plot rotation, effective learning rate, balance and norm over the steps, with what they mean.

        Returns
        -------
        matplotlib.figure.Figure
            Neither shown nor registered with pyplot.
        """
        from empirics.probe.plot import drawn

        return drawn(self.history)


def watch(
    model: nn.Module,
    optimizer: Any,
    *,
    every: int = 100,
    loss: Callable[[nn.Module], Tensor] | None = None,
    steps_per_epoch: float | None = None,
) -> ThermoProbe:
    """Watch a training: `ThermoProbe`, attached to the optimiser until it is closed.

    Parameters
    ----------
    model, optimizer, every, loss, steps_per_epoch
        See `ThermoProbe`.

    Returns
    -------
    ThermoProbe
    """
    return ThermoProbe(model, optimizer, every=every, loss=loss, steps_per_epoch=steps_per_epoch)
