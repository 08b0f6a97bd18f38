"""Schedulers for a torch optimiser that change learning rate and weight decay together.

Each is an ``LRScheduler``: ``step()`` after ``optimizer.step()``, checkpoints by ``state_dict``, parameter groups,
``SequentialLR`` and ``ChainedScheduler`` work as for torch's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, TypedDict, Unpack

from torch.optim import Optimizer

from empirics.probe.index import MeasuredIndex
from empirics.steering import plans
from empirics.steering.planned import KeepsRates, PlannedLR, chosen_groups, optimizer_name
from empirics.steering.plans import HeatCapacity, Plan

__all__ = ["Adiabat", "Cooldown", "DecayFollowsLR", "EntropyRate", "Isobar", "Isochore", "Isotherm"]


class _Common(TypedDict, total=False):
    """What every schedule takes."""

    rule: str | None
    decay_groups: Collection[int] | None
    last_epoch: int


class _Process(PlannedLR):
    """A schedule with the plan that `make` returns for the rule of the optimiser."""

    def __init__(self, optimizer: Optimizer, make: Callable[..., Plan], options: _Common, **asked: Any) -> None:
        rule = options.pop("rule", None) or optimizer_name(optimizer)
        super().__init__(optimizer, make(optimizer=rule, **asked), **options)  # type: ignore[misc]


class Isotherm(_Process):
    """Holds the temperature constant while lr changes: for SGD lr·wd is constant.

    Exact for any scale-invariant network, by symmetry ("isotherm"). The norm changes as (lr/wd)^(1/4) for SGD.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam or AdamW; for any other give the closest `rule`.
    factor, steps, hold, shape
        As for `plan`.
    **options
        `rule`: "sgd", "momentum", "nesterov", "adamw" or "adam-l2"; default: that of the optimiser. `decay_groups`,
        `last_epoch`: as for `PlannedLR`.

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
        **options: Unpack[_Common],
    ) -> None:
        asked = {"kind": self._kind, "factor": factor, "steps": steps, "hold": hold, "shape": shape}
        super().__init__(optimizer, plans.plan, options, **asked)


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
    optimizer, **options
        As for `Isotherm`.
    factor, steps, index, heat_capacity, hold, shape
        As for `adiabat`.

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
        **options: Unpack[_Common],
    ) -> None:
        asked = {"factor": factor, "steps": steps, "hold": hold, "shape": shape}
        super().__init__(optimizer, plans.adiabat, options, index=index, heat_capacity=heat_capacity, **asked)


class Cooldown(_Process):
    """Lowers lr at the end of training, and weight decay with it, so that gradients do not grow.

    Parameters
    ----------
    optimizer, **options
        As for `Isotherm`; with `correct`, `decay_groups` are the scale-invariant ones.
    steps, factor, hold, shape, correct
        As for `cooldown`.

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
        **options: Unpack[_Common],
    ) -> None:
        asked = {"factor": factor, "steps": steps, "hold": hold, "shape": shape, "correct": correct}
        super().__init__(optimizer, plans.cooldown, options, **asked)


class EntropyRate(_Process):
    """Changes the stationary entropy at a given rate, along an isobar, isochore or isotherm.

    Parameters
    ----------
    optimizer, **options
        As for `Isotherm`.
    rate, steps, along, exponent, index, heat_capacity, hold
        As for `entropy_rate`.

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
        exponent: float = 1.0,
        index: float | MeasuredIndex | None = None,
        heat_capacity: HeatCapacity | None = None,
        hold: int = 0,
        **options: Unpack[_Common],
    ) -> None:
        asked = {"rate": rate, "steps": steps, "hold": hold, "along": along, "exponent": exponent}
        super().__init__(optimizer, plans.entropy_rate, options, index=index, heat_capacity=heat_capacity, **asked)


class DecayFollowsLR(KeepsRates):
    """Sets weight decay to a power of the learning rate that other schedulers set.

    Create it after them, and step it after them. Weight decay has its given value when lr has its full value, torch's
    ``initial_lr`` (of ``OneCycleLR`` its ``max_lr``), so it also rises in a warm-up. The full value of ``CyclicLR`` is
    its ``base_lr``.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups' weight decays are the given values.
    power : float
        ``wd = wd_0 (lr/lr_0)^power``, above 0. 1: proportional to lr, the correction of AdamC (Defazio 2025, arXiv
        2506.02285) for scale-invariant layers, which keeps the norm constant while lr changes ("isochore"). 2: as lr².
    decay_groups : collection of int, optional
        Groups whose weight decay follows; default: all.
    last_epoch : int
        As for every ``LRScheduler``.

    Raises
    ------
    ValueError
        If the power is not above 0, or a group does not exist.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1, weight_decay=0.01)
    >>> cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    >>> decay = DecayFollowsLR(optimizer)
    >>> optimizer.step()
    >>> for schedule in (cosine, decay):
    ...     schedule.step()
    >>> round(optimizer.param_groups[0]["weight_decay"], 9)  # halfway, lr is half
    0.005
    """

    def __init__(
        self,
        optimizer: Optimizer,
        power: float = 1.0,
        *,
        decay_groups: Collection[int] | None = None,
        last_epoch: int = -1,
    ) -> None:
        if not (math.isfinite(power) and power > 0):
            raise ValueError(f"power = {power!r}: must be a number above 0")
        self._power, self._decay_groups = power, chosen_groups(optimizer, decay_groups)
        # Kept in the groups, as torch keeps the initial lr: a loaded optimiser has them.
        for group in optimizer.param_groups:
            group.setdefault("initial_weight_decay", group.get("weight_decay", 0.0))
        self.base_weight_decays = [group["initial_weight_decay"] for group in optimizer.param_groups]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rates as they are, and set the weight decays: torch calls this once per step."""
        groups = self.optimizer.param_groups
        for i in self._decay_groups:
            # OneCycleLR begins far below its largest lr, and calls that the initial one.
            full = groups[i].get("max_lr", self.base_lrs[i])
            share = float(groups[i]["lr"] / full) if full else 1.0
            groups[i]["weight_decay"] = self.base_weight_decays[i] * share**self._power
        return [group["lr"] for group in groups]
