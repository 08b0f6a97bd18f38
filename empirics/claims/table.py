"""What a claim looks at: the summary of the runs, which of them count, and whether enough of them do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from empirics.measure import norm_balance, run_status
from empirics.measure.stationarity import BALANCE_MARGIN

__all__ = ["MOST_LEFT_OUT", "Table"]

#: A grid of which more than this share had to be left out is not judged: what is left is a selection.
MOST_LEFT_OUT = 0.1

#: Fewer runs than this cannot show a slope and its scatter.
FEWEST_RUNS = 8


@dataclass(frozen=True)
class Table:
    """The summary of runs under one protocol and optimiser.

    Attributes
    ----------
    data : xarray.Dataset
        The variables of DESIGN.md, "Results on disk", over the dimension run.
    status, reason : numpy.ndarray of str, shape (runs,)
        Whether each run counts ("ok"), and if not, why.
    gated : bool
        Whether there was anything to tell stationary runs by.
    """

    data: xr.Dataset
    status: NDArray[Any]
    reason: NDArray[Any]
    gated: bool

    @classmethod
    def of(cls, data: xr.Dataset) -> Table:
        """Take the statuses that the runs came with, or tell them from the norm balance of an imported table."""
        runs = data.sizes["run"]
        if "status" in data:
            reasons = data["reason"].values if "reason" in data else np.full(runs, "")
            return cls(data, data["status"].values.astype(str), reasons.astype(str), True)
        names = ("lr", "weight_decay", "grad_sq", "radius_sq")
        if not all(name in data.variables for name in names):
            return cls(data, np.full(runs, "ok"), np.full(runs, ""), False)
        balances = np.atleast_1d(norm_balance(*(data[name].values for name in names)))
        found = [_status_by_balance(float(balance)) for balance in balances]
        return cls(data, np.array([one for one, _ in found]), np.array([why for _, why in found]), True)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which runs count."""
        return np.asarray(self.status == "ok")

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which runs an estimate is made from: those that count, or where the gate failed all that have numbers."""
        if not self.gate():
            return self.ok
        names = [name for name in ("radius_sq", "entropy") if name in self.data.variables]
        finite = [np.isfinite(self.data[name].values) for name in names]
        return np.asarray(np.logical_and.reduce([self.status != "diverged", *finite]))

    @property
    def dimension(self) -> int:
        """Number of scale-invariant weights."""
        return int(self.data.attrs["dimension"])

    def missing(self, *names: str) -> list[str]:
        """Which of these variables are not there, or not finite in all runs that are used."""
        return [
            name
            for name in names
            if name not in self.data.variables or not np.isfinite(self.data[name].values[self.used]).all()
        ]

    def values(self, name: str) -> NDArray[np.float64]:
        """A variable of the runs that are used."""
        return np.asarray(self.data[name].values[self.used], dtype=float)

    def gate(self) -> str:
        """Why nothing can be judged here, in words; empty if it can."""
        left_out, runs = int((~self.ok).sum()), len(self.ok)
        if left_out > MOST_LEFT_OUT * runs:
            kinds = ", ".join(f"{count} {name}" for name, count in Counter(self.status[~self.ok]).most_common())
            example = self.reason[~self.ok][0]
            return f"gate: {left_out} of {runs} runs cannot be used ({kinds}; for example: {example})"
        if runs - left_out < FEWEST_RUNS:
            return f"gate: {runs - left_out} runs are too few to judge, at least {FEWEST_RUNS} are needed"
        return ""

    def left_out(self) -> str:
        """How many runs were left out, and why; empty if none."""
        out = ~self.ok
        if not out.any():
            return ""
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(self.status[out]).most_common())
        return f"{int(out.sum())} of {len(out)} runs left out of the fits: {kinds}"


def _status_by_balance(balance: float) -> tuple[str, str]:
    """Status of an imported run, of which only the balance is known (with an error of half the margin)."""
    return run_status(
        balance=balance,
        balance_error=0.0,
        radius_drift=0.0,
        radius_drift_error=0.0,
        violation=0.0,
        diverged_at=-1 if np.isfinite(balance) else 0,
        snr=0.0,
        loss=BALANCE_MARGIN,
    )
