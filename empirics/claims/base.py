"""What a claim is: a name, a kind, and a way from a table of runs to verdicts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from empirics.claims.coordinates import is_derived, law
from empirics.claims.exhibit import Exhibit
from empirics.claims.fits import Estimate
from empirics.claims.ground import Ground, entries
from empirics.claims.region import Band, p_value
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge, margin_needed
from thermo_theory import Derivation

__all__ = ["BUILT_IN", "Claim", "Statement"]

#: An interval narrower than this share of the margin, or of the value, is rounding: measurements scatter by more.
SHARPEST = 1e-10

#: Origin of the claims that come with the package.
BUILT_IN = "thermo-theory"


@dataclass(frozen=True)
class Statement:
    """What a claim tests in some of its forms.

    Attributes
    ----------
    kind : str
        "identity", "symmetry" or "physics" of forms that are compared with no derivation; the kind of the others is
        that of the derivation.
    words : str
        What is tested, in words that a newcomer understands.
    derivations : tuple of str
        Names of the derivations whose equations it compares with, as `thermo_theory.derive` takes them; where there is
        one for each protocol or optimiser, that of the runs is meant.
    protocols, optimizers : tuple of str
        Where it is stated like this; empty for wherever the claim is.
    """

    kind: str = ""
    words: str = ""
    derivations: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()

    def covers(self, row: Verdict) -> bool:
        """Whether this is what a verdict is on."""
        if row.protocol not in (self.protocols or (row.protocol,)):
            return False
        if row.optimizer not in (self.optimizers or (row.optimizer,)):
            return False
        if not row.derivation or self.kind:
            return row.kind == self.kind
        return row.derivation in {one.name for one in entries(self.derivations, row.protocol, row.optimizer)}


def _p_value(verdict: str, theory: float, margin: float, estimate: Estimate) -> float:
    """P of the verdict: of "agrees" the larger of the two one-sided tests, of "disagrees" that at the nearer edge."""
    if verdict not in ("agrees", "disagrees"):
        return math.nan
    half = (estimate.high - estimate.low) / 2
    apart = abs(estimate.value - theory) - margin
    reach = (-apart if verdict == "agrees" else apart) / half if half > 0 else math.inf
    found, region = p_value(reach, estimate.freedom), estimate.everywhere
    if region is None:
        return found
    agrees, disagrees = region.p_values(theory, margin)
    if verdict == "disagrees":
        return min(found, disagrees)
    return agrees if isinstance(region, Band) else max(found, agrees)


def _judged(theory: float, margin: float, estimate: Estimate) -> tuple[str, str, float]:
    """Verdict, reason and smallest margin of a number, and of what it is everywhere over the runs if that is known.

    A band holds for the mean too; local slopes are judged beside the mean of the slope.
    """
    verdict, reason = judge(theory, estimate.low, estimate.high, margin)
    needed, region = margin_needed(theory, estimate.low, estimate.high), estimate.everywhere
    if estimate.why or region is None:
        return verdict, estimate.why or reason, needed
    found, why = region.judge(theory, margin)
    needed = max(needed, region.margin_needed(theory))
    if isinstance(region, Band):
        # The mean is sharper than a band: where it lies outside, so does the function somewhere.
        return (verdict, reason, needed) if verdict == "disagrees" else (found, why, needed)
    order = ("disagrees", "inconclusive", "agrees")
    if "disagrees" in (verdict, found) or verdict != found:
        worse = min((verdict, reason), (found, why), key=lambda one: order.index(one[0]))
        return *worse, needed
    return verdict, f"{reason}; {why}", needed


class Claim(ABC):
    """One claim of the validation suite.

    Attributes
    ----------
    name : str
        Its code, as "V3".
    title : str
        Its human name, as "Maxwell relation": the one place where that stands.
    protocols : tuple of str
        The protocols it can be judged under, by key ("fixed-lr").
    optimizers : tuple of str
        The optimisers for which what it says is derived; for all but SGD that is at fixed LR alone.
    takes : tuple of str
        Derivations that there must be of the optimiser, too.
    statements : tuple of Statement
        What it tests: one for all forms compared with the same derivations, and for each protocol or optimiser where
        it says another thing.
    origin : str
        Where it comes from: this package, or a file of the user's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    optimizers: ClassVar[tuple[str, ...]] = ("sgd",)
    takes: ClassVar[tuple[str, ...]] = ()
    statements: ClassVar[tuple[Statement, ...]] = ()
    origin: str = BUILT_IN

    @property
    def label(self) -> str:
        """Its human name, the code in brackets."""
        return f"{self.title} ({self.name})"

    def stated(self, protocol: str, optimizer: str) -> bool:
        """Whether the claim is stated for a protocol with an optimiser, by their names."""
        return (
            protocol in self.protocols
            and optimizer in self.optimizers
            and (optimizer == "sgd" or protocol == "fixed-lr")
            and (optimizer == "sgd" or all(is_derived(name, law(protocol, optimizer)) for name in self.takes))
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

    def statement(self, row: Verdict) -> Statement:
        """What the claim tests in the form that a verdict is on; its title where it does not say."""
        said = [one for one in self.statements if one.covers(row)]
        # What is said of this optimiser or protocol alone comes before what is said of all.
        return min(
            said,
            key=lambda one: (not one.optimizers, not one.protocols),
            default=Statement(row.kind, f"{self.title}."),
        )

    def verdict(
        self,
        table: Table,
        form: str,
        law: Derivation | Ground | str,
        theory: float,
        margin: float,
        estimate: Estimate,
        source: str = "",
        details: dict[str, object] | None = None,
        gated: bool = True,
        refused: str = "",
    ) -> Verdict:
        """Make the verdict on one form of the claim from its estimate; where a gate failed it is refused.

        `law` is the derivation it is compared with, from which kind, needs and source are taken; or the kind, of a
        form without one. `refused` says why this form cannot be judged even on runs that are in order; empty if it can.
        """
        row = self._row(table, form, law, theory)
        verdict, reason, needed = _judged(theory, margin, estimate)
        # An identity may hold in every run to the last digit; elsewhere numbers without scatter are no measurement.
        if row.kind != "identity" and estimate.high - estimate.low <= SHARPEST * max(margin, abs(estimate.value)):
            verdict, reason = "refused", "the runs do not scatter: the width of the interval is rounding alone"
        # Symmetry and identities hold whatever else is unknown; physics does not stand on a gate that was not asked.
        unasked = table.unasked() if row.kind == "physics" else ""
        gate = ((table.gate() or unasked) if gated else "") or refused
        if gate:
            verdict, reason = "refused", f"{gate}; {estimate.why}" if estimate.why else gate
        elif gated and not table.gated:
            reason += "; whether the runs were stationary is not measured"
        return replace(
            row,
            measured=estimate.value,
            low=estimate.low,
            high=estimate.high,
            margin=margin,
            verdict=verdict,
            reason=reason,
            source=source or row.source,
            details=(details or {}) | (estimate.everywhere.details if estimate.everywhere else {}),
            margin_needed=needed if verdict != "refused" else math.nan,
            p_value=_p_value(verdict, theory, margin, estimate),
        )

    def not_measured(
        self, table: Table, form: str, law: Derivation | Ground | str, theory: float, missing: list[str]
    ) -> Verdict:
        """Say that a form of the claim cannot be judged for want of these variables."""
        return replace(self._row(table, form, law, theory), reason=table.lacking(*missing))

    def _row(self, table: Table, form: str, law: Derivation | Ground | str, theory: float) -> Verdict:
        """Begin a row on one form of the claim: what it says, and what that stands on."""
        ground = law if isinstance(law, Ground) else Ground(law) if isinstance(law, str) else Ground.of(law)
        return Verdict(
            self.name,
            form,
            str(table.data.attrs.get("protocol", self.protocols[0])),
            ground.kind,
            theory,
            source=ground.source,
            optimizer=table.optimizer,
            derivation=ground.derivation,
            needs=ground.needs,
            primary=ground.kind != "identity",
        )
