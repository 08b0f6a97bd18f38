"""The verdicts at a glance, and one section a claim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from empirics.claims import Claim, Statement, claims, judged
from empirics.claims.exhibit import Exhibit, Rows
from empirics.claims.table import Table as Runs
from empirics.pages.blocks import Cell, Details, Figures, Heading, Items, Section, Table, Tested, Text, number
from empirics.pages.evidence import Evidence
from empirics.pages.figures import drawn
from empirics.pages.formulas import compared
from empirics.pages.sections.wording import MISSING, plural, summary
from empirics.pages.words import KIND_SHORT, KIND_WORDS, OPTIMIZER_WORDS, PROTOCOL_WORDS, card, gist, tally, typeset

__all__ = ["claim_sections", "measured_cell", "shown_by_claim", "statements_of", "verdicts_section"]


def measured_cell(verdict: Any) -> Cell:
    """Write a verdict and its number into a cell of a table."""
    if not np.isfinite(verdict.measured):
        return Cell("", verdict.verdict)
    return Cell(card(verdict).numbers[1][1] + _half(verdict), verdict.verdict)


def _half(verdict: Any) -> str:
    half = (verdict.high - verdict.low) / 2
    return f" ± {number(half, 2)}" if np.isfinite(half) else ""


def verdicts_section(verdicts: Any, evidence: Evidence, prefix: str) -> Section:
    """Show all verdicts in a table, what they come to, and what the three kinds of claims mean."""
    several = len(evidence.protocols) > 1
    rows = tuple(
        (
            Cell(v.claim, section=prefix + _slug(v.claim)),
            measured_cell(v),
            Cell(typeset(str(v.title)), wraps=True),
            v.kind,
            *([PROTOCOL_WORDS.get(v.protocol, v.protocol)] if several else []),
            number(v.theory),
        )
        # What was measured comes first.
        for v in sorted(verdicts, key=lambda v: v.verdict == "not measured")
    )
    head = ("Claim", "Verdict, measured ± half the 95 % interval", "In the form", "Kind")
    head = (*head, *(("Protocol",) if several else ()), "Theory")
    blocks: list[object] = [Text(summary(evidence)), Text(f"{gist(verdicts)} {tally(list(verdicts))}")]
    blocks.append(Table("Every verdict; each claim has a section below", head, rows, "matrix") if rows else MISSING)
    left_out = int((~evidence.ok).sum())
    if left_out:
        blocks.append(Text(f"{plural(left_out, 'run')} of {len(evidence)} left out of the fits; see stationarity."))
    kinds = tuple(words for kind, words in KIND_WORDS.items() if kind in {v.kind for v in verdicts})
    if kinds:
        blocks += [Heading("Three kinds of claims"), Items(kinds)]
    notes = [typeset(str(note)) for note in getattr(verdicts, "notes", ())]
    if notes:
        blocks += [Heading("Beside the verdicts, not judged"), Items(tuple(notes))]
    return Section(f"{prefix}verdicts", "Verdicts", tuple(blocks), label="Verdicts")


def _slug(claim: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in claim.lower())


def statements_of(name: str, rows: list[Any]) -> Iterator[tuple[Statement, str, str, list[Any]]]:
    """Group the verdicts on a claim by what they test.

    Parameters
    ----------
    name : str
        Of the claim; one that is not known any more says no more than its verdicts do.
    rows : list of Verdict
        On that claim.

    Yields
    ------
    statement : Statement
    protocol, optimizer : str
    rows : list of Verdict
        The verdicts that test it.
    """
    claim: Claim | None = claims().get(name)
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((str(row.kind), str(row.protocol), str(getattr(row, "optimizer", "sgd"))), []).append(row)
    for (kind, protocol, optimizer), members in groups.items():
        said = claim.statement(kind, protocol) if claim else Statement(kind, f"{members[0].title}.")
        yield said, protocol, optimizer, members


def shown_by_claim(runs: Any) -> dict[str, list[tuple[Runs, list[Exhibit]]]]:
    """Collect what the claims show, for the runs of each protocol and optimiser.

    Parameters
    ----------
    runs : Runs or xarray.Dataset

    Returns
    -------
    dict
        By the name of the claim: pairs of the runs and the exhibits.
    """
    found: dict[str, list[tuple[Runs, list[Exhibit]]]] = {}
    for table, fitting in judged(runs):
        for claim in fitting:
            if exhibits := list(claim.exhibits(table)):
                found.setdefault(claim.name, []).append((table, exhibits))
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
    shown = shown_by_claim(verdicts.runs)
    for name in names:
        blocks: list[object] = []
        for said, protocol, optimizer, rows in statements_of(name, [v for v in verdicts if v.claim == name]):
            where = PROTOCOL_WORDS.get(protocol, protocol)
            where += "" if optimizer == "sgd" else f", {OPTIMIZER_WORDS.get(optimizer, optimizer)}"
            meaning, laws = KIND_SHORT.get(said.kind, ""), compared(said.derivations, protocol, optimizer)
            blocks.append(Tested(said.kind, meaning, where, typeset(said.words), laws, tuple(map(card, rows))))
        parts = shown.get(name, [])
        for table, exhibits in parts:
            protocol = str(table.data.attrs.get("protocol", ""))
            if len(parts) > 1:
                words = PROTOCOL_WORDS.get(protocol, protocol)
                blocks.append(Heading(words[:1].upper() + words[1:]))
            blocks += _exhibit_blocks(exhibits, f"{_slug(name)}-{protocol}")
        title = claims()[name].title if name in claims() else name
        yield Section(prefix + _slug(name), f"{name} · {title}", tuple(blocks), label=name)


def _exhibit_blocks(exhibits: list[Exhibit], name: str) -> list[object]:
    """Draw plots and maps side by side; tables, and the maps in numbers, are folded up below."""
    pictures = tuple(drawn(one, f"{name}-{one.name}") for one in exhibits if not isinstance(one, Rows))
    blocks: list[object] = [Figures(pictures)] if pictures else []
    for one in exhibits:
        if isinstance(one, Rows):
            rows = tuple(tuple(cell if isinstance(cell, str) else number(cell, 3) for cell in row) for row in one.rows)
            blocks.append(Details(one.title, Table(one.title, one.head, rows, "wide")))
    return blocks
