"""What a claim is: a name, a kind, and a way from a table of runs to verdicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from empirics.claims.fits import Estimate
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge

__all__ = ["BUILT_IN", "Claim"]

#: Origin of the claims that come with the package.
BUILT_IN = "thermo-theory"


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
        The optimisers for which what it says is derived; for all but SGD that is at fixed LR alone.
    origin : str
        Where it comes from: this package, or a file of the user's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    optimizers: ClassVar[tuple[str, ...]] = ("sgd",)
    origin: str = BUILT_IN

    def stated(self, protocol: str, optimizer: str) -> bool:
        """Whether the claim is stated for a protocol with an optimiser, by their names."""
        return (
            protocol in self.protocols
            and optimizer in self.optimizers
            and (optimizer == "sgd" or protocol == "fixed-lr")
        )

    @abstractmethod
    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the claim, in each of its forms."""

    def notes(self, table: Table) -> list[str]:
        """What is worth reporting beside the verdicts and is not judged."""
        return []

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
        )

    def not_measured(self, table: Table, form: str, kind: str, theory: float, missing: list[str]) -> Verdict:
        """Say that a form of the claim cannot be judged for want of these variables."""
        protocol = str(table.data.attrs.get("protocol", self.protocols[0]))
        return Verdict(self.name, form, protocol, kind, theory, reason=f"not in the runs: {', '.join(missing)}")
