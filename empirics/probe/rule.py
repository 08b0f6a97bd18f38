"""What an optimiser does with a parameter group, in the terms in which it is derived: its name, rates, coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from thermo_theory import FixedLR, Protocol

__all__ = ["Rule", "inner_optimizer", "rule_of", "shared_rule"]


@dataclass(frozen=True)
class Rule:
    """How a parameter group is trained.

    Attributes
    ----------
    optimizer
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2"; empty where nothing is derived.
    lr, weight_decay
        As `thermo_theory` means them: a dampening is part of the learning rate.
    beta
        Momentum, or Adam's first coefficient.
    why_not
        Why nothing is derived of it.
    """

    optimizer: str
    lr: float
    weight_decay: float
    beta: float = 0.0
    why_not: str = ""

    @property
    def law(self) -> Protocol:
        """The derivations that hold of it."""
        return FixedLR if self.optimizer == "sgd" else FixedLR.with_optimizer(self.optimizer)

    @property
    def decoupled(self) -> bool:
        """Whether weight decay acts on the weights, past the gradients (``lr x weight_decay``)."""
        return self.optimizer == "adamw"

    def settings(self) -> dict[str, float]:
        """Its numbers by the names of the formulas' arguments."""
        return {"eta": self.lr, "lam": self.weight_decay, "beta": self.beta, "beta1": self.beta}


def inner_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return torch's own optimiser from inside what Lightning or Accelerate wrap around it.

    Raises
    ------
    TypeError
        If there is none.
    """
    while not isinstance(optimizer, torch.optim.Optimizer) or type(optimizer).__name__ == "AcceleratedOptimizer":
        if not hasattr(optimizer, "optimizer"):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        optimizer = optimizer.optimizer
    return optimizer


def rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> Rule:
    """Read off what is done with a parameter group.

    Parameters
    ----------
    optimizer
        torch's own.
    group
        One of its ``param_groups``.

    Returns
    -------
    Rule

    Examples
    --------
    >>> sgd = torch.optim.SGD([torch.zeros(3)], lr=0.1, momentum=0.9, weight_decay=5e-4)
    >>> rule_of(sgd, sgd.param_groups[0])
    Rule(optimizer='momentum', lr=0.1, weight_decay=0.0005, beta=0.9, why_not='')
    """
    lr, decay = float(group.get("lr", float("nan"))), float(group.get("weight_decay", 0.0))
    if isinstance(optimizer, torch.optim.SGD):
        momentum = float(group["momentum"])
        if momentum and group["nesterov"]:
            return Rule("nesterov", lr, decay, momentum)
        damped = lr * (1 - float(group["dampening"])) if momentum else lr
        return Rule("momentum" if momentum else "sgd", damped, decay, momentum)
    if isinstance(optimizer, torch.optim.Adam):
        beta = float(group["betas"][0])
        if group.get("amsgrad"):
            return Rule("", lr, decay, beta, "AMSGrad, which keeps the largest squared gradients")
        decoupled = isinstance(optimizer, torch.optim.AdamW) or bool(group.get("decoupled_weight_decay"))
        return Rule("adamw" if decoupled else "adam-l2", lr, decay, beta)
    return Rule("", lr, decay, 0.0, type(optimizer).__name__)


def shared_rule(optimizer: Any) -> Rule:
    """Read off the rule that all parameter groups of an optimiser follow; rates and coefficients are the first's.

    Parameters
    ----------
    optimizer
        torch's own, or what Lightning or Accelerate wrap around it.

    Returns
    -------
    Rule

    Raises
    ------
    TypeError
        If there is no torch optimiser.
    ValueError
        If nothing is derived for it, or its groups follow different rules.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> shared_rule(torch.optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.5)).optimizer
    'momentum'
    >>> shared_rule(torch.optim.Adam([w], amsgrad=True))
    Traceback (most recent call last):
    ...
    ValueError: nothing is derived for AMSGrad, ...; give rule= sgd, momentum, nesterov, adamw or adam-l2, whichever ...
    """
    inner = inner_optimizer(optimizer)
    rules = [rule_of(inner, group) for group in inner.param_groups]
    for rule in rules:
        if not rule.optimizer:
            raise ValueError(
                f"nothing is derived for {rule.why_not}; give rule= sgd, momentum, nesterov, adamw or adam-l2, "
                "whichever its step is like"
            )
    if len(names := dict.fromkeys(rule.optimizer for rule in rules)) > 1:
        raise ValueError(f"the parameter groups follow different rules ({', '.join(names)}); give rule= one of them")
    return rules[0]
