"""One claim judged so that, if its code fails, the others keep their verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from empirics.claims.base import BUILT_IN, Claim
from empirics.claims.exhibit import Exhibit
from empirics.claims.own import ClaimError, in_words
from empirics.claims.table import Table
from empirics.claims.verdict import KINDS, VERDICTS, Verdict

__all__ = ["ClaimWarning", "judged", "shown"]


class ClaimWarning(UserWarning):
    """A claim could not be judged because its code failed."""


def judged(claim: Claim, table: Table) -> tuple[list[Verdict], list[str], str]:
    """Judge a claim; what its code raises becomes a row that says "not measured".

    Returned are the verdicts, the notes beside them, and one line with file, claim and what was raised, empty if
    nothing was. A claim of the user's is given a copy of the numbers.
    """
    table = _lent(claim, table)
    try:
        rows, notes = claim.verdicts(table), claim.notes(table)
        why = _wrong(rows, notes, claim.name)
    except ClaimError as error:
        why = str(error)
    except (Exception, SystemExit) as error:
        why = f"raised {in_words(error, claim.origin)}"
    if not why:
        return rows, notes, ""
    message = f"{claim.origin}: claim {claim.name!r} {why}"
    kind = getattr(claim, "kind", "physics")
    protocol = str(table.data.attrs.get("protocol", claim.protocols[0]))
    theory = float(getattr(claim, "theory", "nan"))
    row = Verdict(claim.name, claim.title, protocol, kind, theory, reason=message, optimizer=table.optimizer)
    return [row], [], message


def shown(claim: Claim, table: Table) -> tuple[list[Exhibit], str]:
    """What a claim shows; nothing, and one line that says why, if its code fails.

    A claim of the user's is given a copy of the numbers.
    """
    try:
        exhibits = list(claim.exhibits(_lent(claim, table)))
    except (Exception, SystemExit) as error:
        return [], f"{claim.origin}: claim {claim.name!r} shows nothing, raised {in_words(error, claim.origin)}"
    if wrong := [one for one in exhibits if not isinstance(one, Exhibit)]:
        what = type(wrong[0]).__name__
        return [], f"{claim.origin}: claim {claim.name!r} shows a {what}; make a Plot, Map or Rows"
    return exhibits, ""


def _lent(claim: Claim, table: Table) -> Table:
    """The runs, for the user's code a copy of their numbers."""
    return table if claim.origin == BUILT_IN else replace(table, data=table.data.copy(deep=True))


def _wrong(rows: Any, notes: Any, name: str) -> str:
    """What is wrong with what a claim returned; empty if these are verdicts on this claim, and notes."""
    if not isinstance(rows, list) or not all(isinstance(row, Verdict) for row in rows):
        return f"returned a {type(rows).__name__} instead of a list of Verdict; make them with self.verdict(...)"
    for row in rows:
        if row.claim != name:
            return f"returned a verdict on another claim, {row.claim!r}"
        if row.kind not in KINDS:
            return f"returned a verdict of kind {row.kind!r}; the kinds are {', '.join(KINDS)}"
        if row.verdict not in VERDICTS:
            return f"returned the verdict {row.verdict!r}; there are {', '.join(VERDICTS)}"
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return f"returned notes that are not a list of texts but a {type(notes).__name__}"
    return ""
