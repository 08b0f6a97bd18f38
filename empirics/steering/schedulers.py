"""Schedulers for a torch optimiser that move learning rate and weight decay together.

Each is an ``LRScheduler``: ``step()`` after ``optimizer.step()``, checkpoints by ``state_dict``, parameter groups, and
``SequentialLR`` work as for torch's own.
"""

from __future__ import annotations

from collections.abc import Collection

from torch.optim import Optimizer

from empirics.probe.index import MeasuredIndex
from empirics.steering import plans
from empirics.steering.planned import PlannedLR, optimizer_name
from empirics.steering.plans import HeatCapacity

__all__ = [
    "Adiabat",
    "Cooldown",
    "EntropyRate",
    "Isobar",
    "Isochore",
    "Isotherm",
]


class Isotherm(PlannedLR):
    """Keeps the temperature while lr changes: for SGD lr x weight decay stays.

    Exact for any scale-invariant network, by symmetry ("isotherm"). The norm changes, as (lr/weight decay)^(1/4).

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam or AdamW; for another one `rule` says which of these it is like.
    factor : float
        By how much lr changes.
    steps, hold : int
        Steps in which it does, and steps before.
    shape : str
        "log", "linear", "cosine" or "sqrt".
    rule : str, optional
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".
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
        name = rule or optimizer_name(optimizer)
        made = plans.plan(self._kind, factor=factor, steps=steps, optimizer=name, hold=hold, shape=shape)
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


class Isobar(Isotherm):
    """Keeps weight decay, the pressure, while lr changes: what an ordinary scheduler does.

    Parameters as for `Isotherm`.
    """

    _kind = "isobar"


class Isochore(Isotherm):
    """Keeps the norm while lr changes: lr/weight decay stays, as long as the gradient noise does ("isochore").

    Parameters as for `Isotherm`.
    """

    _kind = "isochore"


class Adiabat(PlannedLR):
    """Keeps the entropy while weight decay changes; lr follows.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    factor : float
        By how much weight decay changes.
    steps, hold : int
        Steps in which it does, and steps before.
    index : float or MeasuredIndex, optional
        Adiabatic index, given or measured by `measured_index`; by default its limit in the cold, at which SGD's lr
        stays and AdamW's weight decay goes as lr^3.
    heat_capacity : float or callable, optional
        In its place C_V of the directions in units of (d-1)/2, as `vmf_heat_capacity` makes it.
    shape, rule, decay_groups, last_epoch
        As for `Isotherm`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = Adiabat(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), factor=8.0, steps=1000, index=3.0)
    >>> schedule.plan.at(1000)  # lr as weight decay to the 1/3
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
        made = plans.adiabat(
            factor=factor,
            steps=steps,
            optimizer=rule or optimizer_name(optimizer),
            hold=hold,
            shape=shape,
            index=_number(index),
            heat_capacity=heat_capacity,
        )
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


class Cooldown(PlannedLR):
    """Lets lr fall at the end of training, and weight decay with it, so that gradients do not grow.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    steps, hold : int
        Steps of the cooldown, and steps at full lr before.
    factor : float
        Where lr ends, over where it began.
    shape : str
        "linear", "cosine", "sqrt" or, for a factor above 0, "log".
    correct : bool
        Whether weight decay falls with lr (Defazio 2025, arXiv 2506.02285), for the scale-invariant groups
        `decay_groups`. Without it weight decay stays and the norm falls, by lr^(1/4) for SGD.
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
        made = plans.cooldown(
            factor=factor,
            steps=steps,
            optimizer=rule or optimizer_name(optimizer),
            hold=hold,
            shape=shape,
            correct=correct,
        )
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


class EntropyRate(PlannedLR):
    """Changes the stationary entropy by the same amount every step, along an isobar, isochore or isotherm.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        As for `Isotherm`.
    rate : float
        dS/dt in units of R = (d-1)/2 nats a step; negative cools.
    steps, hold : int
        Steps in which it changes, and steps before.
    along : str
        "isobar", "isochore" or "isotherm".
    index, heat_capacity, rule, decay_groups, last_epoch
        As for `Adiabat`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> schedule = EntropyRate(torch.optim.SGD([w], lr=0.1, weight_decay=0.01), rate=-0.001, steps=1000)
    >>> round(schedule.plan.at(1000)[0], 6)  # one unit less at C_p = 2R: lr over e
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
        made = plans.entropy_rate(
            rate=rate,
            steps=steps,
            optimizer=rule or optimizer_name(optimizer),
            hold=hold,
            along=along,
            index=_number(index),
            heat_capacity=heat_capacity,
        )
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


def _number(index: float | MeasuredIndex | None) -> float | None:
    return index.index if isinstance(index, MeasuredIndex) else index
