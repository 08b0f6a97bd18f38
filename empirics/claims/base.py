"""What a claim is: a name, a kind, and a way from a table of runs to verdicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from empirics.claims.exhibit import Exhibit
from empirics.claims.fits import Estimate
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge

__all__ = ["Claim", "Statement"]


@dataclass(frozen=True)
class Statement:
    """What a claim tests in its forms of one kind.

    Attributes
    ----------
    kind : str
        "identity", "symmetry" or "physics".
    words : str
        What is tested, in words that a newcomer understands.
    derivations : tuple of str
        Names of the derivations whose equations it compares with, as `thermo_theory.derive` takes them; where there is
        one for each protocol, that of the runs is meant.
    protocols : tuple of str
        Where it is stated like this; empty for wherever the claim is.
    """

    kind: str
    words: str
    derivations: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()


class Claim(ABC):
    """One claim of the validation suite.

    Attributes
    ----------
    name : str
        "V0" ... "V6".
    title : str
        The claim in words.
    protocols : tuple of str
        The protocols it can be judged under, by key ("fixed-lr").
    optimizers : tuple of str
        The optimisers it is stated for; AdamW has other symmetries than SGD.
    statements : tuple of Statement
        What it tests, one for each kind of its forms, and for each protocol where it says another thing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    optimizers: ClassVar[tuple[str, ...]] = ("sgd",)
    statements: ClassVar[tuple[Statement, ...]] = ()

    @abstractmethod
    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the claim, in each of its forms."""

    def notes(self, table: Table) -> list[str]:
        """What is worth reporting beside the verdicts and is not judged."""
        return []

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Plots, maps and tables that show what the verdicts come from; none where nothing was measured."""
        return ()

    def statement(self, kind: str, protocol: str) -> Statement:
        """What the claim tests in its forms of this kind under this protocol; its title where it does not say."""
        said = [one for one in self.statements if one.kind == kind and protocol in (one.protocols or (protocol,))]
        # What is said of this protocol alone comes before what is said of all.
        return min(said, key=lambda one: not one.protocols, default=Statement(kind, f"{self.title}."))

    def verdict(
        self,
        table: Table,
        form: str,
        kind: str,
        theory: float,
        margin: float,
        estimate: Estimate,
        source: str,
        details: dict[str, object] | None = None,
        gated: bool = True,
        refused: str = "",
    ) -> Verdict:
        """Make the verdict on one form of the claim from its estimate; a gate that failed makes it inconclusive.

        `refused` says why this form cannot be judged even on runs that are in order; empty if it can.
        """
        verdict, reason = judge(theory, estimate.low, estimate.high, margin)
        reason = estimate.why or reason
        gate = (table.gate() if gated else "") or refused
        if gate:
            verdict, reason = "inconclusive", gate
        elif gated and not table.gated:
            reason += "; whether the runs were stationary is not measured"
        return Verdict(
            claim=self.name,
            title=form,
            protocol=str(table.data.attrs.get("protocol", self.protocols[0])),
            kind=kind,
            theory=theory,
            measured=estimate.value,
            low=estimate.low,
            high=estimate.high,
            margin=margin,
            verdict=verdict,
            reason=reason,
            source=source,
            details=details or {},
            optimizer=_optimizer(table),
        )

    def not_measured(self, table: Table, form: str, kind: str, theory: float, missing: list[str]) -> Verdict:
        """Say that a form of the claim cannot be judged for want of these variables."""
        protocol = str(table.data.attrs.get("protocol", self.protocols[0]))
        return Verdict(
            self.name,
            form,
            protocol,
            kind,
            theory,
            reason=f"not in the runs: {', '.join(missing)}",
            optimizer=_optimizer(table),
        )


def _optimizer(table: Table) -> str:
    """Optimiser of the runs of a table, which share one."""
    if "optimizer" not in table.data.variables:
        return "sgd"
    return str(np.unique(table.data["optimizer"].values.astype(str))[0])
