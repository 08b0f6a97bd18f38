"""Which rule an optimiser follows, by comparing its step with those of the known rules; names do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["KINDS", "Replay", "kind_of", "local"]

#: Rules that are replayed; "sgd" is with any momentum, dampening and Nesterov.
KINDS = ("sgd", "adamw", "adam-l2")

#: Largest difference of the predicted and the actual step, relative to the step, and in roundings of the weights.
TOLERANCE, ROUNDINGS = 1e-3, 4


def _sgd(w: Tensor, g: Tensor, group: Mapping[str, Any], state: Mapping[str, Any], decay: float) -> Tensor:
    beta, old = group.get("momentum", 0), state.get("momentum_buffer")
    g = g.add(w, alpha=decay) if decay else g
    if beta:
        new = g if old is None else old * beta + (1 - group.get("dampening", 0)) * g
        g = g + beta * new if group.get("nesterov") else new
    return w - group["lr"] * g


def _adam(
    w: Tensor, g: Tensor, group: Mapping[str, Any], state: Mapping[str, Any], decay: float, *, decoupled: bool
) -> Tensor:
    (beta1, beta2), step = group["betas"], state.get("step", 0) + 1
    if decay and decoupled:
        w = w * (1 - group["lr"] * decay)
    elif decay:
        g = g.add(w, alpha=decay)
    mean, square = (state.get(name, torch.zeros_like(g)) for name in ("exp_avg", "exp_avg_sq"))
    mean, square = torch.lerp(mean, g, 1 - beta1), beta2 * square + (1 - beta2) * g * g
    root = (square / (1 - beta2**step)).sqrt() + group.get("eps", 1e-8)
    return w - group["lr"] * (mean / (1 - beta1**step)) / root


class Replay:
    """Replays a step on one tensor of a parameter group, the smallest with more than one weight.

    `before` and `after` are called around the step; nothing is moved off the device.
    """

    def __init__(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        self.parameter, self.group = parameter, group
        self._state: dict[str, Any] = {}

    def before(self, state: Mapping[str, Any]) -> None:
        """Copy the optimiser's state of the tensor."""
        self._state = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items() if v is not None}

    def after(self, w: Tensor, state: Mapping[str, Any]) -> Tensor:
        """Compare the step from the weights `w` with the rules.

        Returns
        -------
        Tensor, shape (len(KINDS) + 1,)
            Differences in units of the tolerance, infinite for rules that need other settings or another state; and
            the share of weight decay that the arithmetic of the tensor's dtype keeps.
        """
        g, found = local(self.parameter.grad), local(self.parameter)
        if g is None or g.is_sparse:
            return w.new_full((len(KINDS) + 1,), torch.nan, dtype=torch.float32)
        g, decay = -g if self.group.get("maximize") else g, float(self.group.get("weight_decay", 0.0))
        near = (TOLERANCE * (found.float() - w.float())).square().sum()
        near = near + (ROUNDINGS * torch.finfo(w.dtype).eps * w.float()).square().sum()
        there = [state.get("momentum_buffer") is not None or not self.group.get("momentum"), *2 * ["exp_avg" in state]]
        rules = [_sgd, *2 * [_adam]]
        columns, kept = [], w.new_ones((), dtype=torch.float32)
        for kind, rule, possible in zip(KINDS, rules, there, strict=True):
            possible = possible and ("betas" in self.group) == (rule is _adam) and not self.group.get("amsgrad")
            if not possible:
                columns.append(w.new_full((), torch.inf, dtype=torch.float32))
                continue
            more = {"decoupled": kind == "adamw"} if rule is _adam else {}
            with_decay, without = (rule(w, g, self.group, self._state, one, **more) for one in (decay, 0.0))  # type: ignore[operator]
            columns.append(((found.float() - with_decay.float()).square().sum() / near).sqrt())
            if decay and kind != "adam-l2":  # whose decay is rescaled by the second moment
                kept = ((without.float() - with_decay.float()) * w.float()).sum() / w.float().square().sum()
                kept = (kept / (self.group["lr"] * decay)).nan_to_num(1, 1, 1)
        return torch.stack([*columns, kept])


def local(tensor: Any) -> Any:
    """Return this process's part of a sharded tensor, and any other tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def kind_of(differences: Tensor, group: Mapping[str, Any]) -> str:
    """Return the rule whose predicted steps are the actual ones, "" if none.

    Parameters
    ----------
    differences : Tensor, shape (step, len(KINDS))
        See `Replay.after`.
    group
        Settings; they decide between AdamW and Adam with L2 where there is no weight decay.
    """
    seen = differences[~torch.isnan(differences).any(1)]
    if not len(seen):
        return ""
    typical = dict(zip(KINDS, seen.median(0).values.tolist(), strict=True))
    found = [kind for kind in KINDS if typical[kind] < 1]
    if "adam-l2" in found and group.get("decoupled_weight_decay") is False:
        return "adam-l2"
    return found[0] if found else ""
