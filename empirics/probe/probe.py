"""The probe: put beside an optimiser, it says what the gas of the network's weights does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from empirics.models.invariance import scale_invariant_blocks
from empirics.probe.record import Seen
from empirics.probe.row import Row, row_of
from empirics.probe.rule import Rule, inner_optimizer, rule_of
from empirics.probe.watch import Tensors, Watched
from empirics.probe.words import line, warnings

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

#: Measurements by halves or micro-batches that a reading is a mean over.
HALVES = 256


class ThermoProbe:
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

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        *,
        loss: Callable[[nn.Module], Tensor] | None = None,
        every: int = 100,
        scaler: Any = None,
    ) -> None:
        if every < 2:
            raise ValueError(f"every must be at least 2, since two steps in a row are measured; got {every}")
        self._model, self._optimizer, self._scaler = _bare(model), inner_optimizer(optimizer), scaler
        known: dict[str, int] = {}
        if loss is not None:
            known = {found.name: found.blocks for found in scale_invariant_blocks(self._model, loss)}
        self._known, self._every = known, every
        self._watch = Tensors(self._tensors(), every)
        if not self._watch.watched:
            raise ValueError("optimizer trains no tensor that requires a gradient: there is nothing to watch")
        self._loss: Tensor | float | None = None
        self._halves: deque[Tensor] = deque(maxlen=HALVES)
        self._parts: list[Tensor | None] | None = None
        self._part_squares: list[Tensor] = []
        self._part_count = 0

    def _tensors(self) -> list[Watched]:
        names = {id(p): name for name, p in self._model.named_parameters()}
        found = []
        for i, group in enumerate(self._optimizer.param_groups):
            for j, p in enumerate(group["params"]):
                if p.requires_grad:
                    name = names.get(id(p), f"parameter {j} of group {i}")
                    found.append(Watched(name, p, self._known.get(name)))
        order = {name: i for i, name in enumerate(names.values())}
        return sorted(found, key=lambda watched: order.get(watched.name, len(order)))

    def _rules(self) -> list[Rule]:
        of = {}
        for group in self._optimizer.param_groups:
            rule = rule_of(self._optimizer, group)
            of.update({id(p): rule for p in group["params"]})
        return [of[id(watched.parameter)] for watched in self._watch.watched]

    # In the loop -----------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether the next :meth:`step` measures; for those who would compute something for it only then."""
        return self._watch.due

    @property
    def steps(self) -> int:
        """Steps seen."""
        return self._watch.steps

    def step(self, loss: Tensor | float | None = None, *, grad_scale: float | None = None) -> None:
        """Look at a step that is about to be made; call it right before ``optimizer.step()``.

        With gradient accumulation once an optimiser step, with AMP after ``scaler.unscale_`` (or give the probe the
        scaler), with clipping after it: the probe should see the gradients that the optimiser sees.

        Parameters
        ----------
        loss
            Of this minibatch (nat), for the log line; its graph is not kept.
        grad_scale
            What the gradients are multiplied by, if they are: the optimiser is thought to see them divided by it.
        """
        watch = self._watch
        if watch.due:
            self._measure(loss, grad_scale)
        watch.steps += 1

    def _measure(self, loss: Tensor | float | None, grad_scale: float | None) -> None:
        trained = sum(p.requires_grad for group in self._optimizer.param_groups for p in group["params"])
        if trained != len(self._watch.watched):  # something was frozen, thawed or added
            steps, self._watch = self._watch.steps, Tensors(self._tensors(), self._every)
            self._watch.steps = steps
            self._halves.clear()
            self._parts = None
        if loss is not None:
            self._loss = loss.detach().clone() if isinstance(loss, Tensor) else float(loss)
        self._watch.look(self._rules(), self._scale() if grad_scale is None else grad_scale)
        self._end_of_parts()

    def _scale(self) -> float:
        """What a GradScaler multiplied the gradients by, 1 where they are divided by it already."""
        if self._scaler is None or not self._scaler.is_enabled():
            return 1.0
        state: Mapping[str, Any] = getattr(self._scaler, "_per_optimizer_states", {}).get(id(self._optimizer), {})
        unscaled = getattr(state.get("stage"), "name", "READY") == "UNSCALED"
        return 1.0 if unscaled else float(self._scaler.get_scale())

    def halves(self, first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> None:
        """Tell the gradients of two independent halves of a minibatch, which give the noise without bias.

        Every 50 steps or so is enough. Under BatchNorm a half is normalised by itself, which is another network than
        that of the whole minibatch.

        Parameters
        ----------
        first, second
            Gradients of the mean losses of the halves by the trained parameters (those that require a gradient), in the
            order of ``model.parameters()``; None where there is none.

        Raises
        ------
        ValueError
            If they are not as many as there are such parameters.
        """
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        if not len(first) == len(second) == len(parameters):
            raise ValueError(
                f"halves takes a gradient for each of the {len(parameters)} parameters that require one, "
                f"got {len(first)} and {len(second)}"
            )
        both = {id(p): pair for p, *pair in zip(parameters, first, second, strict=True)}
        found = []
        for watched in self._watch.watched:
            one, other = both.get(id(watched.parameter), (None, None))
            if one is None or other is None:
                found.append(watched.parameter.new_full((2,), torch.nan, dtype=torch.float32))
                continue
            one, other = one.detach().float().flatten(), other.detach().float().flatten()
            found.append(torch.stack((one @ other, (one - other).square().sum() / 4)))
        self._halves.append(torch.stack([each.to(found[0].device) for each in found]))

    @torch.no_grad()
    def microbatch(self) -> None:
        """Look at the gradients accumulated so far; call it after every ``backward`` of an accumulated step.

        From how the parts differ follows the noise of the whole, without bias. It costs something only in steps that
        are measured. Parts must be of equal size; call ``zero_grad`` after ``optimizer.step()`` or before the first.
        """
        if not self.due:
            return
        gradients = [watched.parameter.grad for watched in self._watch.watched]
        before = [None] * len(gradients) if self._parts is None else self._parts
        squares = []
        for g, old in zip(gradients, before, strict=True):
            part = torch.zeros(()) if g is None else (g if old is None else g - old)
            squares.append(part.float().square().sum())
        self._part_squares.append(torch.stack([s.to(squares[0].device) for s in squares]))
        self._parts = [None if g is None else g.detach().clone() for g in gradients]

    def _end_of_parts(self) -> None:
        if self._parts is not None and (n := len(self._part_squares)) > 1:
            whole = torch.stack([
                torch.zeros(()) if g is None else g.float().square().sum().cpu() for g in self._parts
            ])  # fmt: skip
            noise = n / (n - 1) * (torch.stack(self._part_squares).sum(0).cpu() - whole / n)
            self._halves.append(torch.stack((whole - noise, noise), 1))
        self._parts, self._part_squares = None, []

    # What it says ----------------------------------------------------------------------------------------------------

    def _signal(self, seen: Sequence[Seen | None]) -> list[float]:
        """Share of the mean gradient in E|g|^2, for each tensor."""
        consecutive = [0.0 if s is None else abs(s.grad_next.sum()) / max(s.grad_sq.sum(), 1e-300) for s in seen]
        shares = np.array(consecutive)
        if self._halves:
            parts = torch.stack([h.cpu() for h in self._halves]).double().numpy()
            with np.errstate(invalid="ignore", divide="ignore"):
                told = np.where(np.isfinite(parts), parts, 0).sum(0)
                told = told[:, 0] / told.sum(1)
            shares = np.where(np.isfinite(told), told, shares)
        return [float(share) for share in np.clip(shares, 0, 1)]

    def _rows(self) -> list[Row]:
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
            - ``equilibrium_share``: effective lr over that in equilibrium, or the other way round: at most 1;
            - ``relaxation_steps``: steps in which what is left of the way becomes smaller by a factor e.

            NaN where a column does not apply. ``attrs["noise"]`` says what the noise is from.

        Raises
        ------
        ValueError
            If nothing was measured yet.
        """
        import pandas as pd

        table = pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in self._rows()], columns=list(COLUMNS))
        table.attrs["noise"] = "halves" if self._halves else "consecutive steps"
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
        loss = float("nan") if self._loss is None else float(self._loss)
        return line(self.steps, loss, self._rows())

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


def _bare(model: nn.Module) -> nn.Module:
    """The network inside DDP, DataParallel or torch.compile."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):
            model = inside
        else:
            return model
