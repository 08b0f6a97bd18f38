"""The probe: put beside an optimiser, it says what the gas of the network's weights does."""

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

#: A stretch of training counts as in balance if its balance is so near to 1.
BALANCED = 0.1


class ThermoProbe(Loop):
    """Watches a training loop and says, for every parameter tensor, what its thermodynamics is; it changes nothing.

    Call :meth:`step` right before ``optimizer.step()``. Once in `every` steps, at a random place, two consecutive steps
    are measured; nothing is written to the model, the optimiser, or torch's random numbers, and no graph is kept.

    Scale-invariant blocks are found by measurement: without the data, from ``w.g = 0`` in the first 8 measured pairs
    of steps, block by block; with `loss`, by :func:`empirics.models.scale_invariant_blocks`.

    Parameters
    ----------
    model
        The network; ``DistributedDataParallel`` and compiled ones too. Under DDP every process sees the same averaged
        gradients, so it is enough to have a probe on one.
    optimizer
        Of ``torch.optim``, or wrapped by Lightning or Accelerate. Theory is derived of SGD (momentum, Nesterov), AdamW
        and Adam with L2; of others only what is measured is given.
    loss
        Optional: computes a scalar of the model on a fixed minibatch, called about ten times a tensor, once, here.
    every
        Steps in which one pair is measured, at least 2. Memory: a copy of the weights and of their gradients.
    scaler
        A ``GradScaler``. Gradients are divided by its scale where ``unscale_`` was not called; without one give
        gradients unscaled.

    Raises
    ------
    TypeError
        If there is no torch optimiser in `optimizer`.
    ValueError
        If it trains no tensor, or `every` is too small.

    Notes
    -----
    Gradient noise, ``tr Cov g``, is ``E|g|^2`` less the signal ``|E g|^2``. With :meth:`halves` or :meth:`microbatch`
    the signal is that of independent minibatches at the same weights, without bias. Without them it is taken from
    consecutive steps, as ``|E g.g'|``, and that is biased: the step between them moves the weights along the noise of
    g, by which ``E g.g'`` is ``|E g|^2 - lr tr(H Sigma)`` for SGD. Far from equilibrium that hardly matters; in a
    stationary state of SGD ``lr tr(H Sigma) = 2 |E g|^2`` (derivation "gradient-balance"), so ``E g.g' = -|E g|^2`` and
    the absolute value is right to leading order; in between the noise, and with it the temperature, is too large by at
    most ``lr tr(H Sigma)``. Samples drawn without replacement make g' a little less like g: of the order of the batch
    over the data set.

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

    # What it says ----------------------------------------------------------------------------------------------------

    def _signal(self, seen: Sequence[Seen | None]) -> list[float]:
        """Share of the mean gradient in E|g|^2, for each tensor."""
        consecutive = [0.0 if s is None else abs(s.grad_next.sum()) / max(s.grad_sq.sum(), 1e-300) for s in seen]
        shares, told = np.array(consecutive), self._noise.shares()
        if told is not None:
            shares = np.where(np.isfinite(told), told, shares)
        return [float(share) for share in np.clip(shares, 0, 1)]

    def _rows(self) -> list[ProbeRow]:
        seen = self._watch.seen()
        if all(each is None for each in seen):
            raise ValueError(
                "no finite gradient was measured yet: call probe.step(loss) between backward and optimizer.step(), "
                "in at least two steps"
            )
        rows = []
        for watched, each, signal in zip(self._watch.watched, seen, self._signal(seen), strict=True):
            if each is not None:
                rows.append(row_of(watched.name, watched.parameter.numel(), each, signal))
        return rows

    def frame(self) -> pd.DataFrame:
        """Return a table of what was seen lately: the later half of the training, at most 128 pairs of steps.

        Returns
        -------
        pandas.DataFrame
            A row a parameter tensor that has gradients, with the columns

            - ``group`` (its name), ``parameters``, ``blocks`` (scale-invariant parts: rows under BatchNorm, one matrix
              under LayerNorm; 0 for none), ``scale_invariant``;
            - ``effective_lr``: lr/r^2 and what takes its place with momentum and Adam, at the blocks' rms norm;
            - ``temperature`` (nat): half of it times the noise a direction at unit norm, mean over blocks;
            - ``pressure``, ``volume``, ``pv_over_rt``: as the optimiser means weight decay; volumes and R T add over
              the blocks; 1 where noise alone holds the norm, more where the mean gradient helps;
            - ``balance``: what gradients add to the squared norm over what weight decay takes; 1 if stationary;
            - ``angular_update``, ``angular_equilibrium`` (rad a step, rms): measured, and where the norm is stationary;
            - ``equilibrium_share``: effective lr over that in equilibrium, or the other way round: at most 1. Like all
              columns a mean over what was seen lately; the warnings and the line work out what it is by now;
            - ``relaxation_steps``: steps in which what is left of the way becomes smaller by a factor e.

            NaN where a column does not apply. ``attrs["noise"]`` says what the noise is from.

        Raises
        ------
        ValueError
            If nothing was measured yet.
        """
        import pandas as pd

        table = pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in self._rows()], columns=list(COLUMNS))
        table.attrs["noise"] = "halves" if self._noise.told else "consecutive steps"
        return table

    def history(self) -> pd.DataFrame:
        """Return the same columns over the training, with ``step``; noise is that of consecutive steps.

        Returns
        -------
        pandas.DataFrame
            A row a tensor and stretch of measured steps.
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
        """Return one row a stretch of training at constant lr and weight decay, its first half left out.

        What :func:`~empirics.steering.weight_decay.propose_temperature` and :func:`~empirics.steering.measured_index`
        take.

        Returns
        -------
        pandas.DataFrame
            Columns ``step`` and ``last`` (the stretch, as measured), ``lr``, ``weight_decay`` (of the first
            scale-invariant tensor), ``temperature`` (nat; mean over the scale-invariant tensors, each weighing as its
            gas constant), ``loss`` (nat; mean over all steps), ``balance`` (mean). Empty if nothing is scale-invariant.

        Raises
        ------
        ValueError
            If nothing was measured yet.
        """
        self._rows()
        return readings(self._watch, self._losses)

    def adiabatic_index(self) -> MeasuredIndex:
        """Measure the adiabatic index from the losses at three or more temperatures that training was held at.

        Stretches whose balance is not within 0.1 of 1 are left out. It is what ``Adiabat(index=...)`` takes.

        Returns
        -------
        MeasuredIndex

        Raises
        ------
        ValueError
            If there are fewer than three such stretches, or the loss does not rise with the temperature.
        """
        table = self.readings()
        settled = table[(table["balance"] - 1).abs() < BALANCED].dropna()
        if len(settled) < 3:
            raise ValueError(
                f"{len(settled)} of {len(table)} stretches at constant lr and weight decay are in balance and have a "
                "loss: hold training at three or more values of lr, each for a few relaxation_steps"
            )
        rows = [row for row in self._rows() if row.scale_invariant]
        directions = sum(row.parameters - row.blocks for row in rows)
        name = next(rule.optimizer for rule in self._rules() if rule.optimizer)
        return measured_index(settled["temperature"], settled["loss"], dimension=1 + directions, optimizer=name)

    def noise(self) -> tuple[float | None, int | None]:
        """Return sigma, gradient noise a direction at unit norm, and d, of the block that relaxes most slowly.

        Returns
        -------
        sigma, dimension
            What :func:`~empirics.steering.weight_decay.convert` and the check of a schedule take; None without such a
            block.
        """
        rows = [row for row in self._rows() if row.scale_invariant and row.relaxation_steps > 0]
        if not rows:
            return None, None
        slowest = max(rows, key=lambda row: row.relaxation_steps)
        unit = FixedELR.temperature(eta_eff=slowest.effective_lr, sigma=1.0)  # T goes as sigma^2
        return float(slowest.temperature / unit) ** 0.5, slowest.parameters // slowest.blocks

    def loss_relaxation(self) -> LossRelaxation:
        """Tell in how many steps the slow part of the loss relaxes, which says how slow a schedule has to be.

        From the losses that :meth:`step` was given since lr and weight decay last changed, the first half left out.

        Returns
        -------
        LossRelaxation
            ``steps`` with an interval; NaN with a reason where it cannot be told.
        """
        start = since(self._watch)
        return relaxation(self._losses.series((start + self.steps) // 2, self.steps), self._losses.width)

    # In words --------------------------------------------------------------------------------------------------------

    def warnings(self) -> list[str]:
        """Return what a user should know, in sentences; empty if all is well.

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
        """Return one line for a log: step, loss, and medians over the scale-invariant tensors."""
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
        """Draw effective lr, temperature, share of equilibrium and angle of the scale-invariant tensors over the steps.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown, and not known to pyplot.
        """
        from empirics.probe.plot import drawn

        return drawn(self.history())
