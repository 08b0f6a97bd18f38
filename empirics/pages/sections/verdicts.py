"""The answer at a glance, and one section per claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from empirics.claims import Claim, Statement, tables_of
from empirics.claims.exhibit import Exhibit, Rows
from empirics.claims.guard import shown
from empirics.claims.overview import KIND_NAMES, SEVERITY, Line, answer, tallies
from empirics.pages.blocks import (
    Card,
    Cell,
    Details,
    Figures,
    Forest,
    Heading,
    Items,
    Section,
    TableBlock,
    Tested,
    Text,
    Tile,
    Tiles,
    number,
    with_interval,
)
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures import drawn, pressure_volume
from empirics.pages.formulas import compared
from empirics.pages.sections.wording import MISSING, summary
from empirics.pages.words import KIND_SHORT, KIND_WORDS, card, sentence, typeset, where_words
from thermo_theory.book.wording import needs_in_words

__all__ = ["Shown", "claims_section", "diagnostics", "measured_cell", "opening", "shown_by_claim", "statements_of"]


def measured_cell(verdict: Any) -> Cell:
    """Write a verdict and its number into a cell of a table."""
    if not np.isfinite(verdict.measured):
        return Cell("", verdict.verdict)
    return Cell(with_interval(verdict.measured, verdict.low, verdict.high), verdict.verdict)


def opening(verdicts: Any, evidence: RunEvidence, prefix: str) -> Section:
    """Answer the question: a sentence, counts, the runs in the p-V plane, every verdict in units of its margin."""
    blocks: list[object] = [Text(answer(verdicts)), _tiles(verdicts, evidence)]
    pictures = [drawing for part in evidence.parts() if (drawing := pressure_volume(part)) is not None]
    blocks += [Figures(tuple(pictures))] if pictures else []
    blocks.append(_forest(verdicts, len(evidence.parts()) > 1) if len(verdicts) else MISSING)
    if errors := getattr(verdicts, "errors", ()):
        blocks += [Heading("Claims that could not be judged because their code failed"), Items(tuple(errors))]
    return Section(f"{prefix}verdicts", "What came out", (*blocks, Text(summary(evidence))))


def _tiles(verdicts: Any, evidence: RunEvidence) -> Tiles:
    """Count the verdicts of each kind, and the runs."""
    tiles = []
    names = {"identity": "identities", "symmetry": "symmetry relations", "physics": "predictions of the gas"}
    for kind, one in tallies(verdicts).items():
        tone = next((word for word in SEVERITY if one.counts.get(word)), "not measured")
        share, words = (f"{one.agree}/{one.judged}", str(one).split(" ", 3)[-1]) if one.judged else ("–", str(one))
        tiles.append(Tile(names[kind], share, f"{words}. {KIND_SHORT[kind].capitalize()}", tone))
    ok, others = int(evidence.ok.sum()), [f"{n} {name}" for name, n in evidence.statuses().items() if name != "ok"]
    tone = "disagrees" if others else "agrees"
    words = f"count; {'; '.join(others)}" if others else "count: all are stationary"
    return Tiles((*tiles, Tile("runs", f"{ok}/{len(evidence)}", words, tone)))


def _forest(verdicts: Any, several: bool) -> Forest:
    """Put the verdicts that were reached below each other, by kind; what repeats another one is left out."""
    groups = []
    for kind, heading in KIND_NAMES.items():
        rows = [(line, row) for line in verdicts.lines for row in line.rows if row.kind == kind and _leads(row)]
        cards = []
        for line, row in rows:
            same = (row.claim, row.protocol, row.optimizer)
            alone = sum((one.claim, one.protocol, one.optimizer) == same for _, one in rows) == 1
            name = line.title if alone else typeset(row.title).split(":")[0].split(",")[0]
            where = f", {where_words(row.protocol, row.optimizer)}" if several else ""
            cards.append(card(row, f"{name}{where} ({row.claim})"))
        groups += [(f"{heading}: {KIND_SHORT[kind]}", tuple(cards))] if cards else []
    return Forest("Every verdict, in units of its margin", tuple(groups))


def _leads(row: Any) -> bool:
    return row.verdict != "not measured" and (row.primary or row.kind == "identity")


def diagnostics(verdicts: Any, prefix: str) -> Iterator[Section]:
    """Fold up what is reported beside the verdicts, and what the three kinds of claim mean."""
    notes = tuple(typeset(str(note)) for note in verdicts.notes)
    if notes:
        yield Section(f"{prefix}diagnostics", "Diagnostics", (Items(notes),), folded=True)
    words = (Items(tuple(KIND_WORDS.values())),)
    yield Section(f"{prefix}kinds", "Three kinds of claim, and how they are judged", words, folded=True)


def _slug(claim: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in claim.lower())


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
    for table, fitting in tables_of(verdicts.runs, verdicts.claims.values()):
        for claim in fitting:
            exhibits, error = shown(claim, table)
            if exhibits or error:
                part = Shown(str(table.data.attrs["protocol"]), table.optimizer, exhibits, error)
                found.setdefault(claim.name, []).append(part)
    return found


def claims_section(verdicts: Any, prefix: str = "") -> Section:
    """Make the section with a line for each claim, which opens to all that was found, and one for what is missing.

    Parameters
    ----------
    verdicts : Verdicts
    prefix : str
        Of the sections' identifiers.
    """
    parts = shown_by_claim(verdicts)
    found = [_claim(line, verdicts, parts.get(line.claim, []), prefix) for line in verdicts.lines]
    measured = tuple(one for one in found if one.card is None or one.card.verdict != "not measured")
    rest = tuple(one for one in found if one not in measured)
    if missing := verdicts.unmeasured():
        title, note = missing.split(": ", 1)
        measured += (Section(f"{prefix}not-measured", title, parts=rest, folded=True, note=note),)
    return Section(f"{prefix}claims", "Claim by claim", parts=measured)


def _claim(line: Line, verdicts: Any, mine: list[Shown], prefix: str) -> Section:
    """Say what a claim tests, with its equations, its verdicts, and what it shows."""
    blocks: list[object] = []
    for said, rows in statements_of(verdicts.claims.get(line.claim), list(line.rows)):
        kind, protocol, optimizer = rows[0].kind, rows[0].protocol, rows[0].optimizer
        meaning = KIND_SHORT.get(kind, "") + (f"; needs {needs_in_words(rows[0].needs)}" if rows[0].needs else "")
        laws, where = compared(said.derivations, protocol, optimizer), where_words(protocol, optimizer)
        blocks.append(Tested(kind, meaning, where, typeset(said.words), laws, tuple(map(card, rows))))
    for part in mine:
        if len(mine) > 1:
            words = where_words(part.protocol, part.optimizer)
            blocks.append(Heading(words[:1].upper() + words[1:]))
        blocks += [Text(part.error)] if part.error else []
        blocks += _exhibit_blocks(part.exhibits)
    marks = " · ".join(f"{kind} {line.marks(kind)}" for kind in KIND_NAMES if line.marks(kind))
    shown_as: Card = card(line.headline, line.label)
    name = prefix + _slug(line.claim)
    return Section(name, line.label, tuple(blocks), folded=True, card=shown_as, marks=marks, note=sentence(line))


def _exhibit_blocks(exhibits: list[Exhibit]) -> list[object]:
    """Draw plots and maps side by side; tables, and the maps in numbers, are folded up below."""
    pictures = tuple(drawn(one) for one in exhibits if not isinstance(one, Rows))
    blocks: list[object] = [Figures(pictures)] if pictures else []
    for one in exhibits:
        if isinstance(one, Rows):
            rows = tuple(tuple(cell if isinstance(cell, str) else number(cell, 3) for cell in row) for row in one.rows)
            blocks.append(Details(one.title, TableBlock(one.title, one.head, rows, "wide")))
    return blocks
