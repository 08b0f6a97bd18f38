"""Which derived rule a torch optimiser follows, and with which rates: the one answer for probe and schedules."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from thermo_theory import FixedLR, Protocol

__all__ = ["Rule", "inner_optimizer", "nested", "rule_as", "rule_of", "shared_rule"]


@dataclass(frozen=True)
class Rule:
    """The update rule of a parameter group."""

    optimizer: str  # "sgd", "momentum", "nesterov", "adamw" or "adam-l2"; empty where nothing is derived
    lr: float  # as `thermo_theory` defines it: dampening is part of it
    weight_decay: float
    beta: float = 0.0  # momentum coefficient, or Adam's beta1
    why_not: str = ""  # what the rule is, where nothing is derived for it
    coupled: bool = False  # whether weight decay goes through a gradient that such a rule rescales

    @property
    def law(self) -> Protocol:
        """The protocol whose derivations apply."""
        return FixedLR if self.optimizer == "sgd" else FixedLR.with_optimizer(self.optimizer)

    @property
    def decoupled(self) -> bool:
        """Whether weight decay acts on the weights directly (``lr·wd``) rather than through the gradient."""
        return self.optimizer == "adamw"

    def settings(self) -> dict[str, float]:
        """Return the rates and coefficients by the names of the formulas' arguments."""
        return {"eta": self.lr, "lam": self.weight_decay, "beta": self.beta, "beta1": self.beta}


def inner_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return torch's own optimiser from inside the wrapper of Lightning or Accelerate.

    Raises
    ------
    TypeError
        If there is none.
    """
    # Both wrappers can be instances of torch.optim.Optimizer themselves.
    wrappers = {"AcceleratedOptimizer", "LightningOptimizer"}
    while not isinstance(optimizer, torch.optim.Optimizer) or wrappers & {k.__name__ for k in type(optimizer).__mro__}:
        if not hasattr(optimizer, "optimizer"):
            several = ": make one probe for each" if isinstance(optimizer, (list, tuple)) else ""
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}{several}")
        optimizer = optimizer.optimizer
    return optimizer


def nested(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """Return an optimiser and those inside it (SAM's, Lookahead's), the outermost first."""
    found: list[Any] = [optimizer]
    for name in ("base_optimizer", "optimizer"):
        inside = getattr(optimizer, name, None)
        if isinstance(inside, torch.optim.Optimizer):
            found += nested(inside)
    return found


def _why_not(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> str:
    """Name the update rule, if nothing is derived for it."""
    name = type(optimizer).__name__
    home = next(
        (kind for kind in (torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam) if isinstance(optimizer, kind)), None
    )
    if home is None:
        return name
    if inspect.unwrap(type(optimizer).step) is not inspect.unwrap(home.step):
        return f"{name}, which overrides {home.__name__}.step"
    return "AMSGrad, which keeps the largest squared gradients" if group.get("amsgrad") else ""


def rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> Rule:
    """Return the rule that a parameter group of torch's own optimiser follows.

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.zeros(3)], lr=0.1, momentum=0.9, weight_decay=5e-4)
    >>> rule_of(sgd, sgd.param_groups[0])
    Rule(optimizer='momentum', lr=0.1, weight_decay=0.0005, beta=0.9, why_not='', coupled=False)
    """
    why_not = _why_not(optimizer, group)
    if why_not or isinstance(optimizer, torch.optim.SGD):
        return replace(rule_as("" if why_not else "sgd", group, optimizer), why_not=why_not)
    # Before torch 2.7 AdamW is no Adam, and its groups have no such key.
    decoupled = isinstance(optimizer, torch.optim.AdamW) or bool(group.get("decoupled_weight_decay"))
    return rule_as("adamw" if decoupled else "adam-l2", group)


#: torch's optimisers whose weight decay goes through the gradient, unless their groups say otherwise.
_COUPLED = (
    torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax, torch.optim.RMSprop,
    torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.ASGD,
)  # fmt: skip


def rule_as(kind: str, group: Mapping[str, Any], optimizer: torch.optim.Optimizer | None = None) -> Rule:
    """Return a rule with the settings of a parameter group.

    Parameters
    ----------
    kind
        "sgd" with any momentum, "adamw", "adam-l2", or "" where nothing is derived for the rule.
    group
        The settings.
    optimizer
        Whose rule it is, where nothing is derived for it.

    Returns
    -------
    Rule
    """
    lr, decay = float(group.get("lr", float("nan"))), float(group.get("weight_decay", 0.0))
    beta = float(group.get("momentum", group.get("betas", (0.0,))[0]))
    if kind != "sgd":
        coupled = not kind and decay > 0 and type(optimizer) in _COUPLED and not group.get("decoupled_weight_decay")
        return Rule(kind, lr, decay, beta, "" if kind else type(optimizer).__name__, coupled)
    if not beta:  # torch then ignores the dampening
        return Rule("sgd", lr, decay)
    if group.get("nesterov"):
        return Rule("nesterov", lr, decay, beta)
    return Rule("momentum", lr * (1 - float(group.get("dampening", 0))), decay, beta)


#: The same laws in lr/(1 - beta), with a beta of 0 for SGD: one plan holds for groups of all three.
_GRADIENT = ("sgd", "momentum", "nesterov")


def shared_rule(optimizer: Any) -> str:
    """Return the name of the rule that the trained parameter groups of an optimiser share.

    SGD counts as momentum with a coefficient of 0, so groups with and without momentum share "momentum". Groups without
    a parameter that requires a gradient are left out, unless there are no others.

    Parameters
    ----------
    optimizer
        torch's own, or the wrapper of Lightning or Accelerate.

    Returns
    -------
    str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2".

    Raises
    ------
    TypeError
        If there is no torch optimiser.
    ValueError
        If nothing is derived for it, or its groups follow different rules.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> shared_rule(torch.optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.5))
    'momentum'
    >>> shared_rule(torch.optim.Adam([w], amsgrad=True))
    Traceback (most recent call last):
    ...
    ValueError: nothing is derived for AMSGrad, which keeps the largest squared gradients
    """
    inner = inner_optimizer(optimizer)
    trained = [group for group in inner.param_groups if any(p.requires_grad for p in group["params"])]
    rules = [rule_of(inner, group) for group in trained or inner.param_groups]
    if why_not := next((rule.why_not for rule in rules if rule.why_not), ""):
        raise ValueError(f"nothing is derived for {why_not}")
    names = list(dict.fromkeys(rule.optimizer for rule in rules))
    if len(names) > 1 and not set(names) <= set(_GRADIENT):
        raise ValueError(f"the parameter groups follow different rules ({', '.join(names)})")
    return next((name for name in names if name != "sgd"), "sgd")
