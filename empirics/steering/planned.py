"""A torch scheduler that follows a plan, in the parameter groups of any optimiser."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from empirics.probe.rule import inner_optimizer, rule_of, shared_rule
from empirics.steering.forecast import TOLERANCE, QuasiStatic, quasi_static
from empirics.steering.plans import Plan
from thermo_theory.protocols import OPTIMIZERS

if TYPE_CHECKING:
    from empirics.probe import ThermoProbe

__all__ = ["PlannedLR", "optimizer_name"]


def optimizer_name(optimizer: Optimizer) -> str:
    """Return the name by which `thermo_theory` calls a torch optimiser.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam or AdamW, or the wrapper of Lightning or Accelerate around one.

    Returns
    -------
    str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".

    Raises
    ------
    TypeError
        If it is not a torch optimiser.
    ValueError
        If nothing is derived for it, or its parameter groups follow different rules; see `shared_rule`.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> optimizer_name(torch.optim.SGD([w], lr=0.1, momentum=0.9)), optimizer_name(torch.optim.Adam([w]))
    ('momentum', 'adam-l2')
    """
    try:
        return shared_rule(optimizer)
    except ValueError as error:
        raise ValueError(f"{error}; give rule= {', '.join(('sgd', *OPTIMIZERS))}: the one closest to it") from None


class PlannedLR(LRScheduler):
    """Scheduler that moves the parameter groups of an optimiser along a plan.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The current ``lr`` and ``weight_decay`` of each group are multiplied by the plan's factors.
    plan : Plan
        The factors.
    decay_groups : collection of int, optional
        Groups whose weight decay is scheduled; default: all. Groups that are not scale-invariant (biases, a last layer
        without a normalisation after it) have no norm to steer and are best left out; their lr is scheduled anyway.
    last_epoch : int
        As for every ``LRScheduler``.

    Raises
    ------
    ValueError
        If the plan changes weight decay and no group has any, or a group does not exist.
    KeyError
        If it is resumed (`last_epoch`) and the groups lack their initial weight decay.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=0.01)
    >>> from empirics.steering import plan
    >>> schedule = PlannedLR(optimizer, plan("isotherm", factor=0.25, steps=2))
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
                raise ValueError(
                    f"decay_groups: there is no group {i}; the optimiser has {len(groups)}, counted from 0"
                )
        moves = plan.lead == "weight_decay" or plan.power != 0 or bool(plan.course)
        if moves and not any(float(groups[i].get("weight_decay", 0.0)) > 0 for i in chosen):
            raise ValueError(f"{plan.kind} changes weight decay, but no chosen group has any; set it above 0")
        for i, group in enumerate(groups):
            if last_epoch == -1:
                group.setdefault("initial_weight_decay", group.get("weight_decay", 0.0))
            elif "initial_weight_decay" not in group:
                raise KeyError(
                    f"param_groups[{i}] has no 'initial_weight_decay': to resume, load the optimiser's state first, or "
                    "create a new scheduler and load its state"
                )
        self._plan = plan
        self._decay_groups = list(chosen)
        self.base_weight_decays = [float(group["initial_weight_decay"]) for group in groups]
        super().__init__(optimizer, last_epoch)

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._plan

    def get_lr(self) -> list[Any]:
        """Return the learning rates of the groups at step `last_epoch`."""
        factor = self._plan.at(self.last_epoch)[0]
        return [base * factor for base in self.base_lrs]

    def get_last_weight_decay(self) -> list[float]:
        """Return the weight decays of the groups as last set."""
        return list(self._last_weight_decay)

    def step(self, epoch: int | None = None) -> None:
        """Advance by one step: set learning rate and weight decay of every group.

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
        """Return the state for a checkpoint: numbers, strings and lists only, which torch's safe loader reads."""
        state: dict[str, Any] = super().state_dict()
        return {**state, "_plan": self._plan.to_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint, with its plan; the groups are restored with the optimiser's state.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`.

        Raises
        ------
        ValueError
            If the state is that of another kind of schedule.
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
        probe: ThermoProbe | None = None,
    ) -> QuasiStatic:
        """Check before the run that the plan is quasi-static; see `quasi_static`.

        Parameters
        ----------
        group : int
            The parameter group whose lr, weight decay and momentum are used.
        relaxation_steps, sigma, dimension, tolerance
            As for `quasi_static`.
        probe : ThermoProbe, optional
            Supplies what was not given: the relaxation time of the loss where it can be estimated, and sigma and
            dimension of the slowest scale-invariant tensor.

        Returns
        -------
        QuasiStatic
        """
        if probe is not None:
            measured = probe.loss_relaxation().steps
            relaxation_steps = measured if relaxation_steps is None and measured > 0 else relaxation_steps
            noise, directions = probe.noise()
            sigma = noise if sigma is None else sigma
            dimension = directions if dimension is None else dimension
        base = {"lr": self.base_lrs[group], "weight_decay": self.base_weight_decays[group]}
        rule = rule_of(inner_optimizer(self.optimizer), {**self.optimizer.param_groups[group], **base})
        return quasi_static(
            self._plan,
            lr=rule.lr,
            weight_decay=rule.weight_decay,
            momentum=rule.beta,
            relaxation_steps=relaxation_steps,
            sigma=sigma,
            dimension=dimension,
            tolerance=tolerance,
        )
