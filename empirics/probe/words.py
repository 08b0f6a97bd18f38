"""What the probe says in words: the log line, and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from empirics.probe.row import REACHED, ProbeRow

__all__ = ["line", "warnings"]


def _several(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _steps(count: float) -> str:
    """Two digits are enough: 41,234 becomes 41,000.

    >>> _steps(41234.0)
    '41,000'
    """
    digits = max(len(str(int(count))) - 2, 0)
    return f"{round(count, -digits):,.0f}"


def _on_the_way(rows: Sequence[ProbeRow]) -> list[str]:
    """Sentences on tensors whose effective lr still goes one way; one for all if there are many."""
    if len(rows) <= 3:
        return [
            f"{row.group} has reached {100 * row.share_now:.0f} % of equilibrium: its effective lr still "
            f"{'rises' if row.rises else 'falls'}, about {_steps(row.to_go)} steps to go"
            for row in rows
        ]
    slowest = min(rows, key=lambda row: row.share_now)
    low, high = (f"{100 * one(row.share_now for row in rows):.0f}" for one in (min, max))
    reached = low if low == high else f"{low} to {high}"
    return [
        f"{slowest.group} and {len(rows) - 1} more have reached {reached} % of equilibrium: their effective lr still "
        f"{'rises' if slowest.rises else 'falls'}, about {_steps(max(row.to_go for row in rows))} steps to go"
    ]


def warnings(rows: Iterable[ProbeRow], unknown: Iterable[str], skipped: Iterable[str]) -> list[str]:
    """Say what a user should know, a sentence each.

    Parameters
    ----------
    rows
        Of the tensors.
    unknown
        Reasons why no theory holds of an optimiser.
    skipped
        Names of tensors of which no gradient was seen.

    Returns
    -------
    list
    """
    rows = list(rows)
    round_ = [row for row in rows if row.scale_invariant]
    away = [row for row in round_ if row.share_now < REACHED]
    found = [words for rises in (True, False) for words in _on_the_way([row for row in away if row.rises == rises])]
    if still := [row.group for row in round_ if row.lr == 0]:
        found.append(f"lr of {_several(still)} is 0: nothing moves, and there is no equilibrium to reach")
    if bare := [row.group for row in round_ if not row.weight_decay]:
        found.append(f"{_several(bare)}: no weight decay on scale-invariant weights; the norm grows without end "
                     "and the effective lr falls, whatever the schedule says")  # fmt: skip
    if other := [row.group for row in rows if not row.scale_invariant and row.weight_decay]:
        found.append(f"weight decay of {_several(other)} does something else: their size matters to the loss, so it "
                     "is a penalty and no pressure")  # fmt: skip
    if not round_ and rows:
        found.append("no tensor is scale-invariant: none feeds a normalisation layer alone, and nothing here applies")
    found += [f"nothing is derived for {reason}: angles are measured, temperature and pressure are not known"
              for reason in dict.fromkeys(unknown)]  # fmt: skip
    if left := list(skipped):
        found.append(f"no finite, dense gradient was seen of {_several(left)}: call probe.step after backward and "
                     "unscale_, before the gradients are set to zero")  # fmt: skip
    return found


def line(step: int, loss: float, rows: Iterable[ProbeRow]) -> str:
    """One line for a log."""
    round_ = [row for row in rows if row.scale_invariant]
    said = [f"step {step}"] + ([f"loss {loss:.4g}"] if isfinite(loss) else [])
    if not round_:
        return ", ".join([*said, "no scale-invariant tensor"])
    warm = [row for row in round_ if isfinite(row.temperature)]
    if warm:
        said.append(f"T {np.median([row.temperature for row in warm]):.2g}")
        said.append(f"effective lr {np.median([row.effective_lr for row in warm]):.2g}")
    balanced = [row for row in round_ if isfinite(row.share_now)]
    if balanced:
        slowest = min(balanced, key=lambda row: row.share_now)
        said.append(f"balance {np.median([row.balance for row in balanced]):.3f}")
        said.append(f"{100 * slowest.share_now:.0f} % of equilibrium ({slowest.group})")
    return ", ".join(said)
