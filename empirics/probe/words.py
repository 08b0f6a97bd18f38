"""The probe's log line, table, summary and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, nan

import numpy as np

from empirics.probe.row import REACHED, ProbeRow

__all__ = ["cells", "line", "summary", "table", "warnings"]

#: Longest name of a group in the table.
NAME = 45

#: Share of weight decay kept by the arithmetic below which it counts as rounded away.
KEPT = 0.5

#: Rotation over its stationary value outside which a tensor that is not scale-invariant gets a remark.
TURNING = (0.5, 2.0)


def _several(rows: Sequence[ProbeRow] | Sequence[str]) -> str:
    names = [one if isinstance(one, str) else one.group for one in rows]
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
    return 100 * row.equilibrium_share if row.rises else 100 / max(row.equilibrium_share, 1e-9)


def _relaxing(rows: Sequence[ProbeRow]) -> list[str]:
    """Write a sentence on each tensor whose effective learning rate rises, or falls; one for all if there are many."""
    if len(rows) > 3:
        slowest = min(rows, key=lambda row: row.equilibrium_share)
        groups = [(f"{slowest.group} and {len(rows) - 1} others", rows)]
    else:
        groups = [(row.group, [row]) for row in rows]
    found = []
    for name, some in groups:
        low, high = (f"{one(map(_percent, some)):,.0f}" for one in (min, max))
        share = low if low == high else f"{low} to {high}"
        to_go = max((row.to_go for row in some if isfinite(row.to_go)), default=nan)
        found.append(
            f"{name}: not in equilibrium, the effective learning rate is at {share} % of its stationary value and "
            f"{'rising' if some[0].rises else 'falling'}"
            + (f", about {_steps(to_go)} steps to go" if isfinite(to_go) else "")
        )
    return found


def _measured(rows: Sequence[ProbeRow]) -> list[str]:
    """Write what the measured steps show that the settings do not say."""
    found = []
    for dtype in dict.fromkeys(row.dtype for row in rows):
        if lost := [row for row in rows if row.dtype == dtype and row.weight_decay and row.kept < KEPT]:
            share = max(0.0, lost[0].kept)
            found.append(f"weight decay of {_several(lost)} is rounded away in {dtype}: {100 * share:.0f} % of it is "
                         "applied; keep the weights in float32")  # fmt: skip
    if reset := [row for row in rows if row.changed]:
        share = max(row.changed for row in reset)
        found.append(f"the norm of {_several(reset)} is changed outside the optimiser, between steps "
                     f"({100 * share:.0f} % of the measured ones): it is not weight decay that sets it")  # fmt: skip
    if l2 := [row for row in rows if row.penalty]:
        found.append(f"the loss of {_several(l2)} contains an L2 penalty: its gradient is {l2[0].penalty:.2g}·w at "
                     f"every step, as weight_decay={l2[0].penalty:.2g} in SGD or Adam (not in AdamW)")  # fmt: skip
    for name, coupled in dict.fromkeys((row.unknown, row.coupled) for row in rows if row.unknown):
        measured = (
            "rotations are measured; as weight decay goes through the gradient, balance,"
            if coupled
            else "rotations and balances are measured,"
        )
        found.append(f"the steps of {name} are not those of SGD, AdamW or Adam with L2: {measured} temperature and "
                     "pressure are unknown")  # fmt: skip
    return found


def _broken(steps: Mapping[str, int]) -> list[str]:
    """Write a sentence on weights that are not finite, for each step by which they were not."""
    return [
        f"weights of {_several([name for name in steps if steps[name] == step])} are not finite, "
        f"since step {step:,} at the latest"
        for step in dict.fromkeys(steps.values())
    ]


def warnings(rows: Iterable[ProbeRow], skipped: Iterable[str], broken: Mapping[str, int]) -> list[str]:
    """Write the warnings, one sentence each.

    `skipped` are the names of tensors without a gradient so far, `broken` those whose weights are not finite, with the
    first step at which this was seen.
    """
    rows = [row for row in rows if row.group not in broken]
    round_ = [row for row in rows if row.scale_invariant]
    away = [row for row in round_ if row.far and not row.changed]
    found = _broken(broken)
    found += [words for rises in (True, False) for words in _relaxing([row for row in away if row.rises == rises])]
    if still := [row for row in round_ if row.lr == 0]:
        found.append(f"lr of {_several(still)} is 0: the weights do not move, and there is no stationary state")
    if bare := [row for row in round_ if row.lr and not (row.weight_decay or row.changed or row.penalty)]:
        found.append(f"{_several(bare)}: no weight decay on scale-invariant weights; the norm grows without end "
                     "and the effective learning rate falls, whatever the schedule")  # fmt: skip
    if other := [row for row in rows if row.role == "penalty" and row.weight_decay]:
        found.append(f"weight decay on {_several(other)} is an ordinary penalty, not a pressure: the loss depends on "
                     "their magnitude")  # fmt: skip
    if dead := [row for row in rows if row.role == "dead"]:
        found.append(f"{_several(dead)}: no effect on the loss (gradients are rounding errors); leaving them "
                     "out changes nothing")  # fmt: skip
    found += _measured(rows)
    if left := list(skipped):
        found.append(f"no finite, dense gradient of {_several(left)} was seen")
    return found


def _median(rows: Iterable[ProbeRow], value: Callable[[ProbeRow], float]) -> float:
    known = [found for row in rows if isfinite(found := value(row))]
    return float(np.median(known)) if known else nan


def line(step: int, loss: float, rows: Iterable[ProbeRow]) -> str:
    """Write one line for a log."""
    every = list(rows)
    rows = [row for row in every if isfinite(row.norm)]
    round_ = [row for row in rows if row.scale_invariant]
    said = [f"step {step}"] + ([f"loss {loss:.4g}"] if isfinite(loss) else [])
    if isfinite(rate := _median(round_, lambda row: row.effective_lr)):
        said.append(f"effective learning rate {rate:.2g}")
        said.append(f"T {_median(round_, lambda row: row.temperature):.2g}")
    if balanced := [row for row in round_ if isfinite(row.equilibrium_share)]:
        slowest = min(balanced, key=lambda row: row.equilibrium_share)
        said.append(f"{slowest.group} at {_percent(slowest):.0f} % of its stationary value")
        balance = round(_median(balanced, lambda row: row.balance), 3) + 0.0  # no -0.000
        said.append(f"balance of steps {slowest.first} to {slowest.last} {balance:.3f}")
    if isfinite(turning := _median(_matrices(rows), lambda row: row.rotation)):
        said.append(f"rotation {turning:.2f} of stationary")
    if broken := [row for row in every if not isfinite(row.norm)]:
        said.append(f"weights of {_several(broken)} are not finite")
    return ", ".join(said if len(said) > 2 or round_ or broken else [*said, "no scale-invariant tensor"])


def _matrices(rows: Iterable[ProbeRow]) -> list[ProbeRow]:
    return [row for row in rows if row.matrix]


def summary(rows: Sequence[ProbeRow]) -> dict[str, float]:
    """Return the finite numbers of a training as a whole."""
    round_, matrices = [row for row in rows if row.scale_invariant], _matrices(rows)
    found = {name: _median(round_, lambda row, name=name: getattr(row, name))  # type: ignore[misc]
             for name in ("effective_lr", "temperature", "balance")}  # fmt: skip
    found["slowest_share"] = min((r.equilibrium_share for r in round_ if isfinite(r.equilibrium_share)), default=nan)
    for kind in ("convolution", "matrix"):
        some = [row for row in matrices if row.convolution == (kind == "convolution")]
        third = -(-len(some) // 3)
        places = {"_first": some[:third], "_last": some[-third:]} if len(some) > 1 else {"": some}
        found |= {f"rotation_{kind}{place}": _median(each, lambda row: row.rotation) for place, each in places.items()}
    for name in ("lr", "norm", "grad_norm", "update_rms"):
        found[name] = _median(matrices or rows, lambda row, name=name: getattr(row, name))  # type: ignore[misc]
    return {f"thermo/{name}": value for name, value in found.items() if isfinite(value)}


def _remark(row: ProbeRow) -> str:
    """Describe the state of a tensor in a few words."""
    if not isfinite(row.norm):
        return "weights are not finite"
    if row.role == "dead":
        return "no effect on the loss"
    if row.changed:
        return "norm changed between steps"
    if not row.lr:
        return "lr is 0: the weights do not move" if row.scale_invariant else ""
    if not row.weight_decay:
        return "no weight decay: the norm grows" if row.scale_invariant else ""
    if row.kept < KEPT:
        return "weight decay is rounded away"
    if row.scale_invariant and row.far:
        go = f", {_steps(row.to_go)} steps to go" if isfinite(row.to_go) else ""
        return f"at {_percent(row):.0f} % of stationary{go}"
    if row.scale_invariant:
        return "stationary" if row.equilibrium_share >= REACHED else ""
    if not row.matrix:
        return ""
    turns = isfinite(row.rotation) and not TURNING[0] <= row.rotation <= TURNING[1]
    return f"rotation {row.rotation:.1f} of stationary" if turns else ""


def _relaxation(row: ProbeRow) -> str:
    count = row.relaxation_epochs
    epochs = f" ({_steps(count) if count >= 10 else f'{count:.2g}'} epochs)" if isfinite(count) else ""
    return f"{_steps(row.relaxation_steps)}{epochs}" if isfinite(row.relaxation_steps) else ""


def cells(rows: Iterable[ProbeRow]) -> list[dict[str, str]]:
    """Return the table of a training, one dictionary per group."""
    columns: dict[str, Callable[[ProbeRow], str]] = {
        "group": lambda row: row.group,
        "role": lambda row: row.role,
        "lr": lambda row: f"{row.lr:.3g}",
        "wd": lambda row: f"{row.weight_decay:.3g}",
        "norm": lambda row: f"{row.norm:.3g}",
        "effective_lr": lambda row: f"{row.effective_lr:.3g}",
        "rotation": lambda row: f"{row.angular_update:.2g}",
        "stationary": lambda row: f"{row.angular_equilibrium:.2g}",
        "relaxation": _relaxation,
        "remark": _remark,
    }
    return [{name: "" if (text := of(row)) == "nan" else text for name, of in columns.items()} for row in rows]


def table(rows: Iterable[ProbeRow]) -> str:
    """Write the table for a terminal; rotations in rad per step, relaxation in steps, and epochs if known."""
    lines = cells(rows)
    for one in lines:
        one["group"] = one["group"] if len(one["group"]) <= NAME else f"…{one['group'][1 - NAME :]}"
    shown = [list(lines[0]), *(list(one.values()) for one in lines)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    wide = [[f"{cell:{width}s}" for cell, width in zip(one, widths, strict=True)] for one in shown]
    return "\n".join("  ".join(one).rstrip() for one in wide)
