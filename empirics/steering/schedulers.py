"""Schedulers for a torch optimiser that change learning rate and weight decay together.

Each is an ``LRScheduler``: ``step()`` after ``optimizer.step()``, checkpoints by ``state_dict``, parameter groups, and
``SequentialLR`` work as for torch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch.optim import Optimizer

from empirics.probe.index import MeasuredIndex
from empirics.steering import plans
from empirics.steering.planned import PlannedLR, optimizer_name
from empirics.steering.plans import HeatCapacity, Plan

__all__ = ["Adiabat", "Cooldown", "EntropyRate", "Isobar", "Isochore", "Isotherm"]


class _Process(PlannedLR):
    """A schedule with the plan that `make` returns for the rule of the optimiser."""

    def __init__(
        self,
        optimizer: Optimizer,
        make: Callable[..., Plan],
        rule: str | None,
        decay_groups: Collection[int] | None,
        last_epoch: int,
        **asked: Any,
    ) -> None:
        made = make(optimizer=rule or optimizer_name(optimizer), **asked)
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


class Isotherm(_Process):
    """Holds the temperature constant while lr changes: for SGD lr·wd is constant.

    Exact for any scale-invariant network, by symmetry ("isotherm"). The norm changes as (lr/wd)^(1/4) for SGD.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam or AdamW; for any other give the closest `rule`.
    factor : float
        Final lr over initial lr.
    steps, hold : int
        Number of steps over which lr changes, and of steps before that.
    shape : str
        "log", "linear", "cosine" or "sqrt".
    rule : str, optional
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2"; default: that of the optimiser.
    decay_groups, last_epoch
        As for `PlannedLR`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = Isotherm(torch.optim.AdamW([w], lr=0.1, weight_decay=0.01), factor=0.1, steps=1000)
    >>> schedule.plan.at(1000)
    (0.1, 10.0)
    """

    _kind = "isotherm"

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float,
        steps: int,
        *,
        hold: int = 0,
        shape: str = "log",
        rule: str | None = None,
        decay_groups: Collection[int] | None = None,
        last_epoch: int = -1,
    ) -> None:
        asked = {"kind": self._kind, "factor": factor, "steps": steps, "hold": hold, "shape": shape}
        super().__init__(optimizer, plans.plan, rule, decay_groups, last_epoch, **asked)


class Isobar(Isotherm):
    """Holds weight decay (the pressure) constant while lr changes: what an ordinary scheduler does.

    Parameters as for `Isotherm`.
    """

    _kind = "isobar"


class Isochore(Isotherm):
    """Holds the norm constant while lr changes: lr/wd is constant, for constant gradient noise ("isochore").

    Parameters as for `Isotherm`.
    """

    _kind = "isochore"


class Adiabat(_Process):
    """Holds the entropy constant while weight decay changes; lr follows.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    factor : float
        Final weight decay over initial weight decay.
    steps, hold : int
        Number of steps over which it changes, and of steps before that.
    index : float or MeasuredIndex, optional
        Adiabatic index, given or measured by `measured_index`; default: its low-temperature limit, for which SGD's lr
        is constant and AdamW's weight decay scales as lr^3.
    heat_capacity : float or callable, optional
        Instead of the index: C_V of the directions in units of (d-1)/2, for example from `vmf_heat_capacity`.
    shape, rule, decay_groups, last_epoch
        As for `Isotherm`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = Adiabat(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), factor=8.0, steps=1000, index=3.0)
    >>> schedule.plan.at(1000)  # lr scales as wd^(1/3)
    (2.0, 8.0)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float,
        steps: int,
        *,
        index: float | MeasuredIndex | None = None,
        heat_capacity: HeatCapacity | None = None,
        hold: int = 0,
        shape: str = "log",
        rule: str | None = None,
        decay_groups: Collection[int] | None = None,
        last_epoch: int = -1,
    ) -> None:
        asked = {"factor": factor, "steps": steps, "hold": hold, "shape": shape}
        asked |= {"index": index, "heat_capacity": heat_capacity}
        super().__init__(optimizer, plans.adiabat, rule, decay_groups, last_epoch, **asked)


class Cooldown(_Process):
    """Lowers lr at the end of training, and weight decay with it, so that gradients do not grow.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    steps, hold : int
        Number of steps of the cooldown, and of steps at full lr before it.
    factor : float
        Final lr over initial lr.
    shape : str
        "linear", "cosine", "sqrt" or, for a factor above 0, "log".
    correct : bool
        Whether weight decay falls with lr (Defazio 2025, arXiv 2506.02285), in the scale-invariant groups
        `decay_groups`. Otherwise weight decay is constant and the norm falls, as lr^(1/4) for SGD.
    rule, decay_groups, last_epoch
        As for `Isotherm`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = Cooldown(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), steps=100, hold=900)
    >>> schedule.plan.at(900), schedule.plan.at(950)
    ((1.0, 1.0), (0.5, 0.5))
    """

    def __init__(
        self,
        optimizer: Optimizer,
        steps: int,
        *,
        factor: float = 0.0,
        hold: int = 0,
        shape: str = "linear",
        correct: bool = True,
        rule: str | None = None,
        decay_groups: Collection[int] | None = None,
        last_epoch: int = -1,
    ) -> None:
        asked = {"factor": factor, "steps": steps, "hold": hold, "shape": shape, "correct": correct}
        super().__init__(optimizer, plans.cooldown, rule, decay_groups, last_epoch, **asked)


class EntropyRate(_Process):
    """Changes the stationary entropy at a constant rate, along an isobar, isochore or isotherm.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    rate : float
        dS/dt in units of R = (d-1)/2 nats per step; negative cools.
    steps, hold : int
        Number of steps over which it changes, and of steps before that.
    along : str
        "isobar", "isochore" or "isotherm".
    index, heat_capacity, rule, decay_groups, last_epoch
        As for `Adiabat`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = EntropyRate(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), rate=-0.001, steps=1000)
    >>> round(schedule.plan.at(1000)[0], 6)  # entropy lower by R at C_p = 2R: lr/e
    0.367879
    """

    def __init__(
        self,
        optimizer: Optimizer,
        rate: float,
        steps: int,
        *,
        along: str = "isobar",
        index: float | MeasuredIndex | None = None,
        heat_capacity: HeatCapacity | None = None,
        hold: int = 0,
        rule: str | None = None,
        decay_groups: Collection[int] | None = None,
        last_epoch: int = -1,
    ) -> None:
        asked = {"rate": rate, "steps": steps, "hold": hold, "along": along}
        asked |= {"index": index, "heat_capacity": heat_capacity}
        super().__init__(optimizer, plans.entropy_rate, rule, decay_groups, last_epoch, **asked)
