"""Which runs are included in the fits, and why the others are not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from empirics.pages import figures
from empirics.pages.blocks import Details, TableBlock, Text, number
from empirics.pages.evidence import RunEvidence
from empirics.pages.sections.wording import MISSING, plural, shown

__all__ = ["runs_table", "stationarity"]


def _run_table(evidence: RunEvidence) -> TableBlock:
    names = [("balance", 5), ("balance_error", 2), ("radius_drift", 2), ("effective_sample_size", 3), ("loss", 3)]
    words = ["balance", "± (s.e.)", "drift of log r", "eff. samples", "loss"]
    if evidence.get("test_accuracy") is not None:
        names, words = [*names, ("test_accuracy", 3)], [*words, "test accuracy"]
    columns = [(evidence.column(name), digits) for name, digits in names]
    rows = [
        (
            str(i),
            number(evidence.lr[i], 3),
            number(evidence.weight_decay[i], 3),
            *(number(column[i], digits) if np.isfinite(column[i]) else "–" for column, digits in columns),
            str(evidence.status[i]),
            str(evidence.reason[i]),
        )
        for i in range(len(evidence))
    ]
    short = {"lr": "lr", "effective_lr": "η_eff", "weight_decay": "wd", "radius": "radius"}
    knobs = (short[evidence.axes[0]], short[evidence.axes[1]])
    return TableBlock("Every run", ("Run", *knobs, *words, "status", "reason"), tuple(rows))


def stationarity(evidence: RunEvidence) -> list[object]:
    """Show the status of every run."""
    counts = ", ".join(f"{count} {status}" for status, count in evidence.statuses().items())
    own = "In a stationary run the weight decay in the optimiser's own step removes as much of r² as the rest adds; "
    balance = {
        "fixed-elr": "In a stationary run weight decay shrinks the norm as much as the gradients make it grow; the "
        "ratio of the two is the norm balance.",
        "fixed-sphere": "On the sphere the norm is fixed, so there is no norm balance to test.",
    }.get(
        evidence.protocol,
        "In a stationary run lr·E|g|² = wd·(2 − lr·wd)·E r², exactly and for steps of any size; the ratio of the two "
        "sides is the norm balance."
        if evidence.optimizer in ("", "sgd")
        else f"{own}the ratio of the two is the norm balance.",
    )
    blocks: list[object] = [
        Text(
            f"A verdict on a run that is not stationary means nothing, so stationarity is tested, not assumed. "
            f"{balance} Runs that diverged, still drift, do not mix or interpolate the data are listed, shown and "
            "excluded from every fit."
        ),
        Text(f"Status of the {plural(len(evidence), 'run')}: {counts}."),
        _status_table(evidence),
    ]
    found = shown(figures.status_map(evidence), figures.balance_plot(evidence), figures.traces(evidence))
    if evidence.get("balance") is None and evidence.protocol != "fixed-sphere":
        blocks.append(MISSING)
    blocks += found
    blocks.append(Details(f"Table of all {plural(len(evidence), 'run')}", _run_table(evidence)))
    return blocks


# Numbers in a reason, which differ from run to run.
_NUMBER = re.compile(r"[-−+]?\d[\d.,]*(?:e[-+]?\d+)?")


def _status_table(evidence: RunEvidence) -> TableBlock:
    """Statuses with their reasons; reasons that differ in their numbers alone are one."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i in range(len(evidence)):
        groups.setdefault((str(evidence.status[i]), _NUMBER.sub("#", str(evidence.reason[i]))), []).append(i)
    rows = []
    for (status, _), runs in sorted(groups.items(), key=lambda item: (item[0][0] != "ok", -len(item[1]))):
        reason = str(evidence.reason[runs[0]])
        example = f"{reason}{f' (for example run {runs[0]})' if len(runs) > 1 and reason else ''}"
        spans = (_span(values[runs]) for values in (evidence.lr, evidence.weight_decay))
        rows.append((status, str(len(runs)), *spans, example or "–"))
    return TableBlock(
        "Statuses and their reasons", ("Status", "Runs", *map(str.capitalize, evidence.names), "Reason"), tuple(rows)
    )


def _span(values: np.ndarray) -> str:
    """Write the smallest and the largest of some values."""
    low, high = values.min(), values.max()
    return number(low, 3) if low == high else f"{number(low, 3)} to {number(high, 3)}"


def runs_table(evidence: RunEvidence) -> list[dict[str, Any]]:
    """List every run with every number of the summary, for the JSON form; the status is the one it was judged by."""
    frame = evidence.dataset.reset_coords()
    # Sorted, since a store lists its variables in any order.
    names = sorted(str(name) for name, variable in frame.data_vars.items() if variable.dims == ("run",))
    judged = {"status": evidence.status, "reason": evidence.reason}
    columns = {name: frame[name].values for name in names} | judged
    return [{name: values[i] for name, values in columns.items()} for i in range(len(evidence))]
