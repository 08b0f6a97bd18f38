"""A torch scheduler that follows a plan, in the parameter groups of any optimiser."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from empirics.probe.rule import inner_optimizer, rule_of, shared_rule
from empirics.steering.forecast import TOLERANCE, QuasiStatic, quasi_static
from empirics.steering.plans import Plan
from thermo_theory.protocols import OPTIMIZERS

if TYPE_CHECKING:
    from empirics.probe import ThermoProbe

__all__ = ["KeepsRates", "PlannedLR", "chosen_groups", "optimizer_name"]

#: A warm-up that comes this close to the full lr, relatively, has reached it.
ROUNDING = 1e-6


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


def chosen_groups(optimizer: Optimizer, decay_groups: Collection[int] | None) -> list[int]:
    """Return the groups whose weight decay is scheduled, those given or all; ValueError if one does not exist."""
    count = len(optimizer.param_groups)
    chosen = range(count) if decay_groups is None else sorted(set(decay_groups))
    for i in chosen:
        if not 0 <= i < count:
            raise ValueError(f"decay_groups: there is no group {i}; the optimiser has {count}, counted from 0")
    return list(chosen)


def _rates(optimizer: Optimizer) -> list[tuple[float, float]]:
    """Return lr and weight decay of each parameter group."""
    return [(float(group["lr"]), float(group.get("weight_decay", 0.0))) for group in optimizer.param_groups]


class KeepsRates(LRScheduler):
    """Scheduler whose state holds the rates of the optimiser, so that both are resumed in either order."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the rates of the optimiser."""
        return {**super().state_dict(), "rates": _rates(self.optimizer)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint, before or after the optimiser's state is loaded.

        The rates are set to those of the checkpoint, since making a scheduler may have changed them.

        Parameters
        ----------
        state_dict : dict
            From `state_dict`.

        Raises
        ------
        ValueError
            If the state is that of another number of groups.
        """
        state, groups = dict(state_dict), self.optimizer.param_groups
        rates = state.pop("rates", _rates(self.optimizer))  # release 0.1 left them to the optimiser's state
        if len(rates) != len(groups):
            raise ValueError(f"this is the state of {len(rates)} parameter groups; the optimiser has {len(groups)}")
        super().load_state_dict(state)
        for group, (lr, decay) in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
            if "weight_decay" in group:
                group["weight_decay"] = decay


class PlannedLR(KeepsRates):
    """Scheduler that moves the parameter groups of an optimiser along a plan, from the rates that it finds.

    It starts when it is made, or at its milestone in a ``SequentialLR``. That stops a warm-up a step short of the full
    rate, so a group that has only seen lower rates starts from its full one, torch's ``initial_lr``. Rates that others
    set in between, as in a ``ChainedScheduler``, are multiplied by the plan, not overwritten.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The ``lr`` and ``weight_decay`` that each group has at the start are multiplied by the plan's factors.
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
        self._decay_groups = chosen_groups(optimizer, decay_groups)
        chosen = [optimizer.param_groups[i] for i in self._decay_groups]
        moves = plan.lead == "weight_decay" or plan.power != 0 or bool(plan.course)
        # A finished cooldown that is resumed has left neither weight decay nor lr.
        if moves and not any(group.get("weight_decay", 0.0) > 0 or group["lr"] == 0 for group in chosen):
            raise ValueError(f"{plan.kind} changes weight decay, but no chosen group has any; set it above 0")
        self._plan, self._factors = plan, plan.at(last_epoch)
        self._highest_lrs: list[float] = []
        self._watch = inner_optimizer(optimizer).register_step_post_hook(self._see)
        self.base_weight_decays = [decay for _, decay in _rates(optimizer)]
        self._last_lr = [math.nan] * len(optimizer.param_groups)
        self._last_weight_decay = [math.nan] * len(optimizer.param_groups)
        super().__init__(optimizer, last_epoch)

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._plan

    def get_lr(self) -> list[Any]:
        """Return the learning rates at step `last_epoch`, and set the weight decays: torch calls this once a step."""
        if self.last_epoch == 0:
            self._start()
        else:
            self._watch.remove()
            self._highest_lrs = []
            self._rebase()
        self._factors = rate, decay = self._plan.at(self.last_epoch)
        for i in self._decay_groups:
            self.optimizer.param_groups[i]["weight_decay"] = self.base_weight_decays[i] * decay
        self._last_weight_decay = [one for _, one in _rates(self.optimizer)]
        return [base * rate for base in self.base_lrs]

    def _see(self, optimizer: Optimizer, *_: Any) -> None:
        """Before the schedule starts, note the highest lr with which each group has made a step."""
        lrs = [lr for lr, _ in _rates(optimizer)]
        self._highest_lrs = [*map(max, lrs, self._highest_lrs or lrs)]

    def _start(self) -> None:
        """Start from the rates found; from the full lr after a warm-up, which has made no step at that yet."""
        lrs, self.base_weight_decays = (list(values) for values in zip(*_rates(self.optimizer), strict=True))
        full = [float(group["initial_lr"]) for group in self.optimizer.param_groups]
        rows = zip(lrs, full, self._highest_lrs or full, strict=True)
        self.base_lrs = [whole if highest < whole * (1 - ROUNDING) else lr for lr, whole, highest in rows]

    def _rebase(self) -> None:
        """Go on from rates that somebody else has set since the last step."""
        lrs, decays = zip(*_rates(self.optimizer), strict=True)
        # New lists: a state holds the old ones.
        self.base_lrs, self.base_weight_decays = list(self.base_lrs), list(self.base_weight_decays)
        for i in range(len(lrs)):
            # At a factor of 0, the end of a cooldown, no base leads to a rate.
            if lrs[i] != self._last_lr[i] and self._factors[0]:
                self.base_lrs[i] = lrs[i] / self._factors[0]
            if decays[i] != self._last_weight_decay[i] and self._factors[1] and i in self._decay_groups:
                self.base_weight_decays[i] = decays[i] / self._factors[1]

    def get_last_weight_decay(self) -> list[float]:
        """Return the weight decays of the groups as last set."""
        return list(self._last_weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, with the optimiser's rates: what torch's safe loader reads."""
        state = {name: value for name, value in super().state_dict().items() if name != "_watch"}
        return {**state, "_plan": self._plan.to_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint, with its plan; a ValueError if that is of another kind of schedule."""
        held = Plan.from_dict(state_dict.get("_plan", {}))
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
        here = self.optimizer.param_groups[group]
        # Before its milestone a schedule does not know its rates; they are expected to be the full ones.
        base = {"lr": here["initial_lr"] if self.last_epoch < 0 else self.base_lrs[group]}
        base["weight_decay"] = self.base_weight_decays[group]
        rule = rule_of(inner_optimizer(self.optimizer), {**here, **base})
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
