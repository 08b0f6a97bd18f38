"""What a claim is: a name, a kind, and a way from a table of runs to verdicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from empirics.claims.exhibit import Exhibit
from empirics.claims.fits import Estimate
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge

__all__ = ["BUILT_IN", "Claim", "Statement"]

#: An interval narrower than this share of the margin, or of the value, is rounding: measurements scatter by more.
SHARPEST = 1e-10

#: Origin of the claims that come with the package.
BUILT_IN = "thermo-theory"


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
        one for each protocol or optimiser, that of the runs is meant.
    protocols, optimizers : tuple of str
        Where it is stated like this; empty for wherever the claim is.
    """

    kind: str
    words: str
    derivations: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()

    def covers(self, kind: str, protocol: str, optimizer: str) -> bool:
        """Whether this is what is tested there."""
        here = protocol in (self.protocols or (protocol,)) and optimizer in (self.optimizers or (optimizer,))
        return kind == self.kind and here


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
    statements : tuple of Statement
        What it tests, one for each kind of its forms, and for each protocol or optimiser where it says another thing.
    origin : str
        Where it comes from: this package, or a file of the user's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    optimizers: ClassVar[tuple[str, ...]] = ("sgd",)
    statements: ClassVar[tuple[Statement, ...]] = ()
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

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Plots, maps and tables that show what the verdicts come from; none where nothing was measured."""
        return ()

    def statement(self, kind: str, protocol: str, optimizer: str = "sgd") -> Statement:
        """What the claim tests in its forms of this kind on such runs; its title where it does not say."""
        said = [one for one in self.statements if one.covers(kind, protocol, optimizer)]
        # What is said of this optimiser or protocol alone comes before what is said of all.
        return min(
            said,
            key=lambda one: (not one.optimizers, not one.protocols),
            default=Statement(kind, f"{self.title}."),
        )

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
        # An identity may hold in every run to the last digit; elsewhere numbers without scatter are no measurement.
        if kind != "identity" and estimate.high - estimate.low <= SHARPEST * max(margin, abs(estimate.value)):
            verdict, reason = "inconclusive", "the runs do not scatter: the width of the interval is rounding alone"
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
            optimizer=table.optimizer,
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
            reason=table.lacking(*missing),
            optimizer=table.optimizer,
        )
