"""What a claim looks at: the summary of the runs, which of them count, and whether enough of them do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empirics.claims.precision import precision
from empirics.claims.protocol import KNOBS, known
from empirics.measure import norm_balance, radial_share, run_status
from empirics.measure.rounding import constant

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["FEWEST_RUNS", "MOST_LEFT_OUT", "NOT_IN_RUNS", "Table", "balances", "radial_shares"]

#: A grid of which more than this share had to be left out is not judged: what is left is a selection.
MOST_LEFT_OUT = 0.1

#: Fewer runs than this cannot show a slope and its scatter.
FEWEST_RUNS = 8

#: A run that lacks one of these, where others have it, is left out. All but the entropy have to be positive.
ESSENTIAL = ("radius_sq", "grad_sq", "entropy")

#: Numbers beyond this, or below one over it, are no measurements, nor are logarithms of such: their powers overflow.
LARGEST = 1e75

#: How the reason of a verdict begins that lacks columns.
NOT_IN_RUNS = "not in the runs: "


@dataclass(frozen=True)
class Table:
    """The summary of runs under one protocol and optimiser.

    Attributes
    ----------
    data : xarray.Dataset
        The variables of the results on disk (docs/importing.md), over the dimension run.
    status, reason : numpy.ndarray of str, shape (runs,)
        Whether each run counts ("ok"), and if not, why.
    gated : bool
        Whether there was anything to tell stationary runs by.
    trace : xarray.Dataset or None
        The same runs over the steps, from the start, if that was kept.
    tree : xarray.DataTree or None
        All groups of the results, if there are any (`group`).
    members : tuple of int
        Numbers of these runs in them.
    out_of_range : tuple of str
        Variables with numbers that are too large or too small to compute with, which count as missing.
    """

    data: xr.Dataset
    status: NDArray[Any]
    reason: NDArray[Any]
    gated: bool
    trace: xr.Dataset | None = None
    tree: xr.DataTree | None = None
    members: tuple[int, ...] = ()
    out_of_range: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        data: xr.Dataset,
        trace: xr.Dataset | None = None,
        tree: xr.DataTree | None = None,
        members: Sequence[int] = (),
    ) -> Table:
        """Take the statuses that the runs came with; what they claim to be ok is checked as far as the table allows.

        A run without some number that others have is "incomplete"; one whose norm balance can be computed and is off
        is "not stationary", whatever an imported table says of it.
        """
        data, beyond = _in_range(data)
        runs = data.sizes["run"]
        status = np.full(runs, "ok", dtype=object)
        reason = np.full(runs, "", dtype=object)
        if "status" in data:
            status[:] = data["status"].values.astype(str)
            reason[:] = data["reason"].values.astype(str) if "reason" in data else ""
        _mark_incomplete(data, status, reason)
        balanced = _mark_unbalanced(data, status, reason)
        return cls(
            data,
            status.astype(str),
            reason.astype(str),
            ("status" in data and data["status"].attrs.get("tells") != "completion") or balanced,
            None if trace is None else _in_range(trace)[0],
            tree,
            tuple(members),
            tuple(beyond),
        )

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which runs count."""
        return np.asarray(self.status == "ok")

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Which runs an estimate is made from: those that count, or where the gate failed all that have numbers."""
        if not self.gate():
            return self.ok
        return np.asarray(~np.isin(self.status, ("diverged", "incomplete")) & self._finite("radius_sq", "entropy"))

    def _finite(self, *names: str) -> NDArray[np.bool_]:
        """Runs in which those of these variables that some run has are finite."""
        finite = np.ones(len(self.status), dtype=bool)
        for name in names:
            known = np.isfinite(self.data[name].values) if name in self.data.variables else finite
            finite &= known if known.any() else True
        return finite

    @property
    def optimizer(self) -> str:
        """The optimiser that all the runs share; SGD where none is named."""
        if "optimizer" not in self.data.variables:
            return "sgd"
        return str(np.atleast_1d(self.data["optimizer"].values)[0])

    @property
    def protocol(self) -> str:
        """The training protocol that all the runs share, by its key; fixed LR where none is named."""
        return str(self.data.attrs.get("protocol", "fixed-lr"))

    @property
    def rate(self) -> str:
        """Name of what sets the size of steps: "lr", or "effective_lr" where that is fixed."""
        return "effective_lr" if self.protocol == "fixed-elr" else "lr"

    @property
    def dimension(self) -> int:
        """The d of the formulas: one more than the number of directions, of which all spheres together have 2 R.

        For one sphere without flat directions it is the number of weights.
        """
        return int(self.data.attrs["dimension"])

    @property
    def weights(self) -> int:
        """Number of weights; d, that of one sphere, where it is not said."""
        return int(self.data.attrs.get("weights", self.dimension))

    def missing(self, *names: str) -> list[str]:
        """Which of these variables are not there, or not finite in all runs that are used."""
        return [name for name in names if name not in self.data.variables or not self._measured(name).all()]

    def lacking(self, *names: str) -> str:
        """Say in words what :meth:`missing` found: what is nowhere, and what some of the runs used do not have."""
        found = {name: self._measured(name) for name in names if name in self.data.variables}
        partly = [name for name, finite in found.items() if finite.any() and not finite.all()]
        nowhere = [name for name in names if name not in partly]
        said = [f"{NOT_IN_RUNS}{', '.join(nowhere)}"] if nowhere else []
        return "; ".join(
            said + [f"{name} is missing in {(~found[name]).sum()} of {self.used.sum()} runs" for name in partly]
        )

    def _measured(self, name: str) -> NDArray[np.bool_]:
        return np.isfinite(self.data[name].values[self.used])

    def values(self, name: str) -> NDArray[np.float64]:
        """A variable of the runs that are used."""
        return np.asarray(self.data[name].values[self.used], dtype=float)

    def unvarying(self, *names: str, among: NDArray[np.bool_] | None = None) -> str:
        """Which of these variables is the same in all runs used, or those among them, but for rounding; empty if none.

        What a slope or a change of it comes out as is then decided by rounding, and no verdict can stand on it.
        """
        for name in (name for name in names if name in self.data.variables):
            values = np.asarray(self.data[name].values[self.used])
            values = values if among is None else values[among]
            if len(values) and constant(values):
                return f"{name} does not vary: it is {values[0]:.6g} in all {len(values)} runs, to rounding"
        return ""

    def group(self, name: str) -> xr.Dataset | None:
        """Another group of the results ("components", "blocks"), the runs of this table; None if it was not kept."""
        if self.tree is None or name not in self.tree.children:
            return None
        return _in_range(self.tree[name].to_dataset().isel(run=list(self.members)))[0]

    def gate(self) -> str:
        """Why nothing can be judged here, in words; empty if it can."""
        return self._gate

    @cached_property
    def _gate(self) -> str:
        left_out, runs = int((~self.ok).sum()), len(self.ok)
        if left_out > MOST_LEFT_OUT * runs:
            kinds = ", ".join(f"{count} {name}" for name, count in Counter(self.status[~self.ok]).most_common())
            example = self.reason[~self.ok][0]
            return f"gate: {left_out} of {runs} runs cannot be used ({kinds}; e.g. {example})"
        if runs - left_out < FEWEST_RUNS:
            return f"gate: {runs - left_out} runs are too few to judge, at least {FEWEST_RUNS} are needed"
        return ""

    def unasked(self) -> str:
        """Which columns would show whether the runs were stationary, in words; empty if that is known."""
        if self.gated:
            return ""
        balanced = ["grad_sq"] if self.optimizer == "sgd" else ["balance"]
        if self.optimizer == "sgd":
            needed = (self.rate, "weight_decay", "radius_sq")
            balanced = [name for name in needed if not known(self.data, name)] + balanced
        named = "status" if self.protocol == "fixed-sphere" else f"{' and '.join(balanced)}, or status,"
        return f"gate: whether the runs were stationary is not known: {named} with a value for every run would show it"

    def beyond_range(self) -> str:
        """Which variables have numbers that cannot be computed with; empty if none."""
        if not self.out_of_range:
            return ""
        which = ", ".join(self.out_of_range)
        return f"numbers above {LARGEST:g} or below {1 / LARGEST:g} count as missing: some of {which}"

    def left_out(self) -> str:
        """How many runs were left out, and why; empty if none."""
        out = ~self.ok
        if not out.any():
            return ""
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(self.status[out]).most_common())
        return f"{int(out.sum())} of {len(out)} runs left out of the fits: {kinds}"


def _in_range(data: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The same, NaN for numbers whose powers overflow or vanish, and the names of the variables that had some."""
    beyond = {}
    for name, column in data.variables.items():
        if column.dtype.kind == "f" and np.isfinite(column.values).any():
            size = np.abs(column.values)
            bad = np.isfinite(size) & (size > 0) & ~((size <= LARGEST) & (size >= 1 / LARGEST))
            bad |= size > np.log(LARGEST) if str(name).startswith("log_") else False
            if bad.any():
                beyond[str(name)] = column.copy(data=np.where(bad, np.nan, column.values))
    return data.assign(beyond), list(beyond)


def _mark_incomplete(data: xr.Dataset, status: NDArray[Any], reason: NDArray[Any]) -> None:
    """Leave out the runs that lack what others have."""
    for name in ESSENTIAL:
        if name not in data.variables:
            continue
        values = np.asarray(data[name].values, dtype=float)
        good = np.isfinite(values) if name == "entropy" else np.isfinite(values) & (values > 0)
        lacking = ~good & (status == "ok")
        if np.isfinite(values[status == "ok"]).any() and lacking.any():
            status[lacking], reason[lacking] = "incomplete", f"{name} is not a usable number"


def balances(data: xr.Dataset) -> NDArray[np.float64] | None:
    """Norm balance of each run in the form of its protocol, shape (runs,); None where there is none or no numbers.

    At fixed LR it is exact. At fixed ELR, where the learning rate is eta_eff r^2, the mean of log r is stationary: the
    runs' own `balance` is taken if they have one, else the same ratio of means, which is off by eta_eff wd r^2. On the
    sphere the norm is held, and there is nothing to balance. Other optimisers than SGD have balances of their own, with
    more than these means in them: only the runs' own counts. Where E[w.g] was measured it is the balance with the
    remainder (derivation "virial-with-remainder").
    """
    protocol = data.attrs.get("protocol", "fixed-lr")
    if protocol == "fixed-sphere":
        return None
    plain = _optimizers(data) <= {"sgd"}
    if (protocol == "fixed-elr" or not plain) and known(data, "balance"):
        return np.asarray(data["balance"].values, dtype=float)
    if not plain:
        return None
    steps = _steps(data)
    if steps is None or not known(data, "grad_sq"):
        return None
    lr, decay, squared = steps
    return np.asarray(norm_balance(lr, decay, np.atleast_1d(data["grad_sq"].values), squared, _radial(data)))


def radial_shares(data: xr.Dataset) -> NDArray[np.float64]:
    """What E[w.g] adds to the norm of each run over what weight decay takes, shape (runs,); 0 where not measured.

    With momentum to leading order. An Adam step does not go along g, so there it is left at 0.
    """
    steps = _steps(data)
    if steps is None or not _optimizers(data) <= {"sgd", "momentum", "nesterov"}:
        return np.zeros(data.sizes["run"])
    lr, decay, squared = steps
    return np.nan_to_num(radial_share(lr, decay, _radial(data), squared))


def _optimizers(data: xr.Dataset) -> set[str]:
    """Who trained these runs; SGD where that is not said."""
    return set(np.unique(data["optimizer"].values.astype(str))) if "optimizer" in data.variables else {"sgd"}


def _radial(data: xr.Dataset) -> NDArray[np.float64]:
    """Mean of w.g, 0 where it was not measured."""
    if not known(data, "radial_gradient"):
        return np.zeros(data.sizes["run"])
    return np.nan_to_num(np.asarray(data["radial_gradient"].values, dtype=float))


def _steps(data: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Learning rate as an SGD step has it, weight decay and squared norm of each run; None if they are not there."""
    rate = "effective_lr" if data.attrs.get("protocol") == "fixed-elr" else "lr"
    if not all(known(data, name) for name in (rate, "weight_decay", "radius_sq")):
        return None
    lr, decay, squared = (
        np.atleast_1d(np.asarray(data[name].values, float)) for name in (rate, "weight_decay", "radius_sq")
    )
    return lr * squared if rate == "effective_lr" else lr, decay, squared


def _mark_unbalanced(data: xr.Dataset, status: NDArray[Any], reason: NDArray[Any]) -> bool:
    """Leave out the runs whose norm is not in balance; return whether the balance could be computed of nearly all."""
    measured = balances(data)
    if measured is None:
        return False
    finite, remainders = np.isfinite(measured), radial_shares(data)
    errors, shared, shared_errors = precision(_rates(data), measured, _stated(data))
    for i in np.flatnonzero(finite & (status == "ok")):
        status[i], reason[i] = run_status(
            balance=float(measured[i]),
            balance_error=float(errors[i]),
            remainder=float(remainders[i]),
            shared_balance=(float(shared[i]), float(shared_errors[i])),
        )
    return bool(finite.mean() >= 1 - MOST_LEFT_OUT)


def _stated(data: xr.Dataset) -> NDArray[np.float64]:
    """Standard errors of the norm balances as the runs state them, NaN where they do not."""
    if "balance_error" not in data.variables:
        return np.full(data.sizes["run"], np.nan)
    return np.asarray(data["balance_error"].values, dtype=float)


def _rates(data: xr.Dataset) -> NDArray[np.float64]:
    """Logarithms of what is set in the runs, shape (runs, 2)."""
    choices = KNOBS.get(str(data.attrs.get("protocol")), KNOBS["fixed-lr"])
    names = [next((name for name in choice if known(data, name)), choice[0]) for choice in choices]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.stack([np.asarray(data[name].values, dtype=float) for name in names], axis=1))
