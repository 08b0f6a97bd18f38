"""Parameter groups for an optimiser, by what weight decay does to each tensor."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from torch import nn

from empirics.models.groups import Group
from empirics.models.invariance import Loss, TensorBlocks, scale_invariant_blocks

__all__ = ["ParamGroups", "param_groups"]

#: Roles in the order of the groups.
ROLES = ("invariant", "penalty", "dead")


def param_groups(
    model: nn.Module, loss: Loss, *, weight_decay: float | None = None, penalty_decay: float = 0.0
) -> ParamGroups:
    """Divide the parameters of a network into groups for an optimiser, by measured scale invariance.

    On scale-invariant weights, weight decay is no penalty: with the learning rate it sets how far they turn per step.
    On others it is one, and of weights without effect it only shrinks the numbers. So the decay goes to the first, and
    the others have one of their own. A network whose matrices are not normalised (a plain transformer) has few or no
    scale-invariant weights; whoever wants its matrices to decay passes `penalty_decay`.

    Parameters
    ----------
    model, loss
        As for :func:`empirics.models.scale_invariant_blocks`, which measures.
    weight_decay
        Weight decay of the scale-invariant tensors; by default what the optimiser is given.
    penalty_decay
        Weight decay of the tensors whose magnitude the loss depends on.

    Returns
    -------
    ParamGroups
        A list of dicts that any torch optimiser takes, with ``params``, ``weight_decay`` and ``name``: ``"invariant"``,
        ``"penalty"`` or ``"dead"``. Every parameter is in one of them, and a role without parameters has none. A tensor
        that is scale-invariant in part, as a fused matrix of normalised queries, keys and values, goes with the larger
        part. Printed, it is a table of the tensors that gives the reasons.

    Raises
    ------
    ValueError
        If a weight decay is negative or not finite, or the loss is none (see ``scale_invariant_blocks``).

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.SiLU(), nn.Linear(6, 3))
    >>> x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    >>> groups = param_groups(net, lambda m: nn.functional.cross_entropy(m(x), y), weight_decay=0.02)
    >>> optimizer = torch.optim.SGD(groups, lr=0.1)
    >>> print(groups)
    tensor    shape   role       weight decay  reason
    0.weight  6 x 8   invariant  0.02          scale-invariant in 6 blocks of rows
    0.bias    6       dead       0             no effect on the loss
    1.weight  6       penalty    0             the loss depends on its magnitude
    1.bias    6       penalty    0             the loss depends on its magnitude
    3.weight  3 x 6   penalty    0             the loss depends on its magnitude
    3.bias    3       penalty    0             the loss depends on its magnitude
    weight decay sets the rotation of 48 of 87 weights
    """
    for name, value in (("weight_decay", weight_decay), ("penalty_decay", penalty_decay)):
        if value is not None and not (isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number, 0 or more, got {value}")
    rows = scale_invariant_blocks(model, loss)
    decay = dict(zip(ROLES, (weight_decay, penalty_decay, 0.0), strict=True))
    parameters = dict(model.named_parameters())
    groups = []
    for role in ROLES:
        params = [parameters[row.name] for row in rows if row.role == role]
        given = {} if decay[role] is None else {"weight_decay": decay[role]}
        groups += [{"params": params, "name": role, **given}] if params else []
    return ParamGroups(groups, rows)


class ParamGroups(list[dict[str, Any]]):
    """Groups of parameters as torch optimisers take them, and the measurement behind them.

    Attributes
    ----------
    rows
        The tensors, as :func:`empirics.models.scale_invariant_blocks` found them.
    """

    def __init__(self, groups: list[dict[str, Any]], rows: list[TensorBlocks]) -> None:
        super().__init__(groups)
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield copies: an optimiser writes its own settings into the groups that it takes."""
        return (dict(group) for group in super().__iter__())

    def __str__(self) -> str:
        decay = {group["name"]: f"{group['weight_decay']:g}" for group in self if "weight_decay" in group}
        lines = [("tensor", "shape", "role", "weight decay", "reason")]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape)) or "scalar"
            reason = "; ".join(_reason(row, group) for group in row.groups)
            lines.append((row.name, shape, row.role, decay.get(row.role, "optimiser's"), reason))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        groups = set().union(*(row.groups for row in self.rows))
        turning = sum(group.parameters for group in groups if group.role == "invariant")
        total = sum(group.parameters for group in groups)
        return "\n".join([*table, f"weight decay sets the rotation of {turning:,} of {total:,} weights"])


def _reason(row: TensorBlocks, group: Group) -> str:
    """Say why a tensor, or a part of it, has its role."""
    mine = [piece for piece in group.pieces if piece.name == row.name]
    part = ", ".join(str(piece).removeprefix(row.name) for piece in mine)  # empty for the whole
    if group.role == "dead":
        return f"no effect on the loss{part and f' of {part}'}"
    if group.role == "penalty":
        return f"the loss depends on {f'the magnitude of {part}' if part else 'its magnitude'}"
    blocks = (
        f"in {group.blocks} blocks of {'columns' if mine[0].axis else 'rows'}" if group.blocks > 1 else "as one block"
    )
    others = " and ".join(str(piece) for piece in group.pieces if piece.name != row.name)
    return f"{part}{part and ' '}scale-invariant {others and f'together with {others} '}{blocks}"
