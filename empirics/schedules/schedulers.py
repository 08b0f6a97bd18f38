"""Schedulers for a torch optimiser that move learning rate and weight decay together.

Each is an ``LRScheduler``: ``step()`` after ``optimizer.step()``, checkpoints by ``state_dict``, parameter groups, and
``SequentialLR`` work as for torch's own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from empirics.schedules import plans
from empirics.schedules.forecast import TOLERANCE, QuasiStatic, quasi_static
from empirics.schedules.index import MeasuredIndex
from empirics.schedules.plans import HeatCapacity, Plan

__all__ = [
    "Adiabat",
    "Cooldown",
    "EntropyRate",
    "Isobar",
    "Isochore",
    "Isotherm",
    "PlannedLR",
    "optimizer_name",
]


def optimizer_name(optimizer: Optimizer) -> str:
    """Name of a torch optimiser in `thermo_theory`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam or AdamW.

    Returns
    -------
    str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".

    Raises
    ------
    ValueError
        If nothing is derived of it.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> optimizer_name(torch.optim.SGD([w], lr=0.1, momentum=0.9)), optimizer_name(torch.optim.Adam([w]))
    ('momentum', 'adam-l2')
    """
    first = optimizer.param_groups[0]
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        decoupled = isinstance(optimizer, torch.optim.AdamW) or first.get("decoupled_weight_decay", False)
        return "adamw" if decoupled else "adam-l2"
    if isinstance(optimizer, torch.optim.SGD):
        if first["dampening"]:
            raise ValueError(f"SGD with dampening = {first['dampening']}: nothing is derived of it; must be 0")
        return "nesterov" if first["nesterov"] else "momentum" if first["momentum"] else "sgd"
    raise ValueError(
        f"nothing is derived of {type(optimizer).__name__}: give rule= sgd, momentum, nesterov, adamw or adam-l2, "
        "whichever its step is like"
    )


def _rule(optimizer: Optimizer, rule: str | None) -> str:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not a torch optimiser")
    return rule if rule is not None else optimizer_name(optimizer)


class PlannedLR(LRScheduler):
    """Carries the parameter groups of an optimiser along a plan.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups start where they are: ``lr`` and ``weight_decay`` of each are multiplied by the plan's factors.
    plan : Plan
        The factors.
    decay_groups : collection of int, optional
        Groups whose weight decay moves; by default all. Groups that are not scale-invariant (biases, a last layer
        without a normalisation after it) have no norm to steer and are best left out; their lr moves like the others'.
    last_epoch : int
        As for every ``LRScheduler``.

    Raises
    ------
    ValueError
        If weight decay is to move and no group has any, or a group does not exist.
    KeyError
        If `last_epoch` says that it is resumed and the groups do not have where they started.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.01)
    >>> schedule = PlannedLR(optimizer, plans.plan("isotherm", factor=0.25, steps=2))
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     schedule.step()
    >>> schedule.get_last_lr(), schedule.get_last_weight_decay()
    ([0.025], [0.04])
    """

    def __init__(
        self, optimizer: Optimizer, plan: Plan, *, decay_groups: Collection[int] | None = None, last_epoch: int = -1
    ) -> None:
        groups = optimizer.param_groups
        chosen = range(len(groups)) if decay_groups is None else sorted(set(decay_groups))
        for i in chosen:
            if not 0 <= i < len(groups):
                raise ValueError(f"decay_groups: there is no group {i}; the optimiser has {len(groups)}, from 0")
        moves = plan.lead == "weight_decay" or plan.power != 0 or bool(plan.course)
        if moves and not any(float(groups[i].get("weight_decay", 0.0)) > 0 for i in chosen):
            raise ValueError(f"{plan.kind}: weight decay is to move, but no chosen group has any; set it above 0")
        for i, group in enumerate(groups):
            if last_epoch == -1:
                group.setdefault("initial_weight_decay", group.get("weight_decay", 0.0))
            elif "initial_weight_decay" not in group:
                raise KeyError(
                    f"param_groups[{i}] has no 'initial_weight_decay': to resume, load the optimiser's state first, or "
                    "make the scheduler anew and load its state"
                )
        self._plan = plan
        self._decay_groups = list(chosen)
        self.base_weight_decays = [float(group["initial_weight_decay"]) for group in groups]
        super().__init__(optimizer, last_epoch)

    @property
    def plan(self) -> Plan:
        """The plan that is followed."""
        return self._plan

    def get_lr(self) -> list[Any]:
        """Learning rates of the groups at the step that `last_epoch` counts."""
        factor = self._plan.at(self.last_epoch)[0]
        return [base * factor for base in self.base_lrs]

    def get_last_weight_decay(self) -> list[float]:
        """Weight decays of the groups, as they were last set."""
        return list(self._last_weight_decay)

    def step(self, epoch: int | None = None) -> None:
        """Go on by a step: learning rate and weight decay of every group.

        Parameters
        ----------
        epoch : int, optional
            As for every ``LRScheduler``; deprecated there.
        """
        super().step(epoch)
        self._move_decay()

    def _update_lr(self, epoch: int | None = None) -> None:
        # SequentialLR starts a scheduler this way in newer versions of torch, which have this method.
        super()._update_lr(epoch)
        self._move_decay()

    def _move_decay(self) -> None:
        factor = self._plan.at(self.last_epoch)[1]
        for i in self._decay_groups:
            self.optimizer.param_groups[i]["weight_decay"] = self.base_weight_decays[i] * factor
        self._last_weight_decay = [float(group.get("weight_decay", 0.0)) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: numbers, words and lists alone, so that torch's safe loader reads them."""
        state: dict[str, Any] = super().state_dict()
        return {**state, "_plan": self._plan.to_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, with its plan; the optimiser's state holds the groups.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`.

        Raises
        ------
        ValueError
            If it is the state of another kind of schedule.
        """
        held = Plan.from_dict(state_dict["_plan"])
        if held.kind != self._plan.kind:
            raise ValueError(f"this is the state of a schedule of kind {held.kind}, not {self._plan.kind}")
        super().load_state_dict({**state_dict, "_plan": held})

    def check(
        self,
        *,
        group: int = 0,
        relaxation_steps: float | None = None,
        sigma: float | None = None,
        dimension: int | None = None,
        tolerance: float = TOLERANCE,
    ) -> QuasiStatic:
        """Check before the run that the plan is slow beside relaxation; see `quasi_static`.

        Parameters
        ----------
        group : int
            The parameter group whose lr, weight decay and momentum are taken.
        relaxation_steps, sigma, dimension, tolerance
            As for `quasi_static`.

        Returns
        -------
        QuasiStatic
        """
        settings = self.optimizer.param_groups[group]
        return quasi_static(
            self._plan,
            lr=float(self.base_lrs[group]),
            weight_decay=self.base_weight_decays[group],
            momentum=float(settings.get("momentum", settings.get("betas", (0.0,))[0])),
            relaxation_steps=relaxation_steps,
            sigma=sigma,
            dimension=dimension,
            tolerance=tolerance,
        )


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
        name = _rule(optimizer, rule)
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
            optimizer=_rule(optimizer, rule),
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
            factor=factor, steps=steps, optimizer=_rule(optimizer, rule), hold=hold, shape=shape, correct=correct
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
            optimizer=_rule(optimizer, rule),
            hold=hold,
            along=along,
            index=_number(index),
            heat_capacity=heat_capacity,
        )
        super().__init__(optimizer, made, decay_groups=decay_groups, last_epoch=last_epoch)


def _number(index: float | MeasuredIndex | None) -> float | None:
    return index.index if isinstance(index, MeasuredIndex) else index
