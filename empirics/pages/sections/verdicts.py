"""The verdicts at a glance, and one section per claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from empirics.claims import Claim, Statement, claims, tables_of
from empirics.claims.exhibit import Exhibit, Rows
from empirics.claims.guard import shown
from empirics.pages.blocks import (
    Cell,
    Details,
    Figures,
    Heading,
    Items,
    Section,
    TableBlock,
    Tested,
    Text,
    number,
    with_interval,
)
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures import drawn
from empirics.pages.formulas import compared
from empirics.pages.sections.wording import MISSING, plural, summary
from empirics.pages.words import KIND_SHORT, KIND_WORDS, card, gist, tally, typeset, where_words
from thermo_theory.book.wording import needs_in_words

__all__ = [
    "Shown",
    "claim_sections",
    "claim_words",
    "known_claims",
    "measured_cell",
    "shown_by_claim",
    "statements_of",
    "verdicts_section",
]


def measured_cell(verdict: Any) -> Cell:
    """Write a verdict and its number into a cell of a table."""
    if not np.isfinite(verdict.measured):
        return Cell("", verdict.verdict)
    return Cell(with_interval(verdict.measured, verdict.low, verdict.high), verdict.verdict)


def verdicts_section(verdicts: Any, evidence: RunEvidence, prefix: str) -> Section:
    """Show all verdicts in a table, their sum, and what the three kinds of claim mean."""
    several, known = len(evidence.parts()) > 1, known_claims(verdicts)
    rows = tuple(
        (
            Cell(claim_words(v.claim, known), section=prefix + _slug(v.claim)),
            measured_cell(v),
            Cell(typeset(str(v.title)), wraps=True),
            v.kind,
            *([where_words(v.protocol, getattr(v, "optimizer", "sgd"))] if several else []),
            number(v.theory),
        )
        # What was measured comes first.
        for v in sorted(verdicts, key=lambda v: v.verdict == "not measured")
    )
    head = ("Claim", "Verdict, measured ± half the 95 % interval", "Quantity tested", "Kind")
    head = (*head, *(("Protocol",) if several else ()), "Theory")
    blocks: list[object] = [Text(summary(evidence)), Text(f"{gist(verdicts)} {tally(list(verdicts))}")]
    blocks.append(
        TableBlock("Every verdict; each claim has a section below", head, rows, "matrix") if rows else MISSING
    )
    if errors := getattr(verdicts, "errors", ()):
        blocks += [Heading("Claims that could not be judged because their code failed"), Items(tuple(errors))]
    left_out = int((~evidence.ok).sum())
    if left_out:
        blocks.append(
            Text(
                f"{left_out} of {plural(len(evidence), 'run')} excluded from the fits; see the section on stationarity."
            )
        )
    kinds = tuple(words for kind, words in KIND_WORDS.items() if kind in {v.kind for v in verdicts})
    if kinds:
        blocks += [Heading("Three kinds of claim"), Items(kinds)]
    notes = [typeset(str(note)) for note in getattr(verdicts, "notes", ())]
    if notes:
        blocks += [Heading("Diagnostics"), Items(tuple(notes))]
    return Section(f"{prefix}verdicts", "Verdicts", tuple(blocks), label="Verdicts")


def _slug(claim: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in claim.lower())


def known_claims(verdicts: Any) -> dict[str, Claim]:
    """Return the claims by name that the verdicts were made with, the package's and the session's where not said."""
    return getattr(verdicts, "claims", None) or claims()


def claim_words(name: str, known: Mapping[str, Claim]) -> str:
    """Name a claim in words, its code in brackets."""
    return f"{known[name].title} ({name})" if name in known else name


def statements_of(claim: Claim | None, rows: list[Any]) -> Iterator[tuple[Statement, list[Any]]]:
    """Group the verdicts on a claim by what they test; those of a group have their kind and what it needs in common.

    Parameters
    ----------
    claim : Claim or None
        One that is not known any more says no more than its verdicts do.
    rows : list of Verdict
        On that claim.

    Yields
    ------
    statement : Statement
    rows : list of Verdict
        The verdicts that test it, of one protocol and optimiser.
    """
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        said = claim.statement(row) if claim else Statement(row.kind, f"{row.title}.")
        groups.setdefault((said, row.kind, row.needs, row.protocol, row.optimizer), []).append(row)
    for (said, *_), members in groups.items():
        yield said, members


@dataclass(frozen=True)
class Shown:
    """What a claim shows of the runs of one protocol and optimiser."""

    protocol: str
    optimizer: str
    exhibits: list[Exhibit]
    error: str  # why it shows nothing, if its code failed


def shown_by_claim(verdicts: Any) -> dict[str, list[Shown]]:
    """Collect what the claims show, by their names, for the runs of each protocol and optimiser."""
    found: dict[str, list[Shown]] = {}
    for table, fitting in tables_of(verdicts.runs, known_claims(verdicts).values()):
        for claim in fitting:
            exhibits, error = shown(claim, table)
            if exhibits or error:
                part = Shown(str(table.data.attrs["protocol"]), table.optimizer, exhibits, error)
                found.setdefault(claim.name, []).append(part)
    return found


def claim_sections(verdicts: Any, prefix: str = "") -> Iterator[Section]:
    """Make one section for every claim that was judged, in the order of the verdicts.

    Parameters
    ----------
    verdicts : Verdicts
    prefix : str
        Of the sections' identifiers.

    Yields
    ------
    Section
    """
    names = list(dict.fromkeys(str(verdict.claim) for verdict in verdicts))
    known, parts = known_claims(verdicts), shown_by_claim(verdicts)
    for name in names:
        blocks: list[object] = []
        for said, rows in statements_of(known.get(name), [v for v in verdicts if v.claim == name]):
            kind, protocol, optimizer = rows[0].kind, rows[0].protocol, rows[0].optimizer
            meaning = KIND_SHORT.get(kind, "") + (f"; needs {needs_in_words(rows[0].needs)}" if rows[0].needs else "")
            laws, where = compared(said.derivations, protocol, optimizer), where_words(protocol, optimizer)
            blocks.append(Tested(kind, meaning, where, typeset(said.words), laws, tuple(map(card, rows))))
        mine = parts.get(name, [])
        for part in mine:
            if len(mine) > 1:
                words = where_words(part.protocol, part.optimizer)
                blocks.append(Heading(words[:1].upper() + words[1:]))
            blocks += [Text(part.error)] if part.error else []
            blocks += _exhibit_blocks(part.exhibits, f"{_slug(name)}-{part.protocol}-{part.optimizer}")
        yield Section(prefix + _slug(name), claim_words(name, known), tuple(blocks), label=name)


def _exhibit_blocks(exhibits: list[Exhibit], name: str) -> list[object]:
    """Draw plots and maps side by side; tables, and the maps in numbers, are folded up below."""
    pictures = tuple(drawn(one, f"{name}-{one.name}") for one in exhibits if not isinstance(one, Rows))
    blocks: list[object] = [Figures(pictures)] if pictures else []
    for one in exhibits:
        if isinstance(one, Rows):
            rows = tuple(tuple(cell if isinstance(cell, str) else number(cell, 3) for cell in row) for row in one.rows)
            blocks.append(Details(one.title, TableBlock(one.title, one.head, rows, "wide")))
    return blocks
