"""The probe's log line and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from empirics.probe.row import REACHED, ProbeRow

__all__ = ["line", "warnings"]


def _several(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} others"


def _steps(count: float) -> str:
    """Round to two digits: 41,234 becomes 41,000.

    >>> _steps(41234.0), _steps(41234567890.0)
    ('41,000', '4.1e10')
    """
    if count >= 1e9:
        return f"{count:.1e}".replace("e+0", "e").replace("e+", "e")
    digits = max(len(str(int(count))) - 2, 0)
    return f"{round(count, -digits):,.0f}"


def _percent(row: ProbeRow) -> float:
    """Return the effective learning rate in per cent of its stationary value."""
    return 100 * row.share_now if row.rises else 100 / max(row.share_now, 1e-9)


def _relaxing(rows: Sequence[ProbeRow]) -> list[str]:
    """Write a sentence on each tensor whose effective learning rate rises, or falls; one for all if there are many."""
    if len(rows) > 3:
        slowest = min(rows, key=lambda row: row.share_now)
        groups = [(f"{slowest.group} and {len(rows) - 1} others", rows)]
    else:
        groups = [(row.group, [row]) for row in rows]
    found = []
    for name, some in groups:
        low, high = (f"{one(map(_percent, some)):,.0f}" for one in (min, max))
        share = low if low == high else f"{low} to {high}"
        found.append(
            f"{name}: the effective learning rate is at {share} % of its stationary value and "
            f"{'rising' if some[0].rises else 'falling'}, about {_steps(max(row.to_go for row in some))} steps to go"
        )
    return found


def warnings(rows: Iterable[ProbeRow], unknown: Iterable[str], skipped: Iterable[str]) -> list[str]:
    """Write the warnings, one sentence each.

    `unknown` are update rules for which nothing is derived, `skipped` the names of tensors without a gradient so far.
    """
    rows = list(rows)
    round_ = [row for row in rows if row.scale_invariant]
    away = [row for row in round_ if row.share_now < REACHED]
    found = [words for rises in (True, False) for words in _relaxing([row for row in away if row.rises == rises])]
    if still := [row.group for row in round_ if row.lr == 0]:
        found.append(f"lr of {_several(still)} is 0: the weights do not move, and there is no stationary state")
    if bare := [row.group for row in round_ if not row.weight_decay]:
        found.append(f"{_several(bare)}: no weight decay on scale-invariant weights; the norm grows without bound "
                     "and the effective learning rate falls, whatever the schedule")  # fmt: skip
    if other := [row.group for row in rows if not row.scale_invariant and row.weight_decay]:
        found.append(f"weight decay on {_several(other)} is an ordinary penalty, not a pressure: the loss depends on "
                     "their magnitude")  # fmt: skip
    if not round_ and rows:
        found.append("no tensor is scale-invariant: none feeds only a normalisation layer, so nothing here applies")
    found += [f"nothing is derived for {reason}: rotations are measured, temperature and pressure are unknown"
              for reason in dict.fromkeys(unknown)]  # fmt: skip
    if left := list(skipped):
        found.append(f"no finite, dense gradient of {_several(left)} was seen: call probe.step after backward and "
                     "unscale_, before the gradients are zeroed")  # fmt: skip
    return found


def line(step: int, loss: float, rows: Iterable[ProbeRow]) -> str:
    """Write one line for a log."""
    round_ = [row for row in rows if row.scale_invariant]
    said = [f"step {step}"] + ([f"loss {loss:.4g}"] if isfinite(loss) else [])
    if not round_:
        return ", ".join([*said, "no scale-invariant tensor"])
    warm = [row for row in round_ if isfinite(row.temperature)]
    if warm:
        said.append(f"T {np.median([row.temperature for row in warm]):.2g}")
        said.append(f"effective_lr {np.median([row.effective_lr for row in warm]):.2g}")
    balanced = [row for row in round_ if isfinite(row.share_now)]
    if balanced:
        slowest = min(balanced, key=lambda row: row.share_now)
        said.append(f"balance {np.median([row.balance for row in balanced]):.3f}")
        said.append(f"effective_lr of {slowest.group} at {_percent(slowest):.0f} % of its stationary value")
    return ", ".join(said)
