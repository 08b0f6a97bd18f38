"""The sections of the page, made of blocks; HTML and Markdown show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from empirics.claims.overview import answer
from empirics.pages.blocks import Figures, Heading, Section
from empirics.pages.drawing import Picture, named
from empirics.pages.evidence import RunEvidence
from empirics.pages.sections.comparison import comparison, names_of
from empirics.pages.sections.entropy import entropy, neighbours
from empirics.pages.sections.learning import learning, learnt
from empirics.pages.sections.provenance import provenance, sources
from empirics.pages.sections.radius import radius
from empirics.pages.sections.stationarity import runs_table, stationarity
from empirics.pages.sections.verdicts import claims_section, diagnostics, opening
from empirics.pages.sections.wording import protocol_words, summary

__all__ = ["runs_table", "sections", "summary"]

Builder = Callable[[RunEvidence], list[object]]
#: Identifier, title and builder of the sections that follow those of the claims, in the page's order.
BACKGROUND: tuple[tuple[str, str, Builder], ...] = (
    ("radius", "The norm of the weights", radius),
    ("entropy", "Entropy", entropy),
    ("accuracy", "Test accuracy", learning),
    ("stationarity", "Is every run stationary?", stationarity),
    ("neighbours", "Nearest neighbours, and the diffusive trap", neighbours),
    ("provenance", "How it was run", provenance),
)

#: Those with a part for each protocol.
BY_PROTOCOL = ("radius", "entropy", "accuracy", "stationarity", "neighbours")


def sections(every: Sequence[Any]) -> tuple[Section, ...]:
    """Make the sections of a page from the verdicts of each folder, with their `.runs`.

    Of one folder: the answer, a line for each claim, and folded up what was measured and how it was run. Of several:
    how they compare, and folded up for each folder the same.
    """
    evidence = [RunEvidence(verdicts.runs) for verdicts in every]
    if len(every) == 1:
        body: tuple[Section, ...] = tuple(_experiment(every[0], evidence[0]))
    else:
        names, slugs = names_of(every), [f"folder-{i}" for i in range(1, len(every) + 1)]
        folders = (
            Section(slug, name, parts=tuple(_experiment(verdicts, one, f"{slug}-")), folded=True, note=answer(verdicts))
            for verdicts, one, name, slug in zip(every, evidence, names, slugs, strict=True)
        )
        body = (comparison(every, names, slugs), *folders)
    return _told_apart((*body, Section("sources", "Sources", tuple(sources(evidence)), folded=True)))


def _experiment(verdicts: Any, evidence: RunEvidence, prefix: str = "") -> Iterator[Section]:
    """Make the sections of one folder."""
    yield opening(verdicts, evidence, prefix)
    yield claims_section(verdicts, prefix)
    yield from diagnostics(verdicts, prefix)
    for name, title, build in BACKGROUND:
        blocks: list[object] = []
        if name == "accuracy" and not learnt(evidence):
            continue
        parts = evidence.parts() if name in BY_PROTOCOL else [evidence]
        for part in parts:
            words = protocol_words(part)
            blocks += [Heading(words[:1].upper() + words[1:])] if len(parts) > 1 else []
            blocks += build(part)
        yield Section(prefix + name, title, tuple(blocks), folded=True)


def _told_apart(made: tuple[Section, ...]) -> tuple[Section, ...]:
    """Give every figure a name of its own on the page."""

    def figures(block: object, place: str) -> object:
        if not isinstance(block, Figures):
            return block
        pictures = (
            named(picture, f"{place}-{i}") if isinstance(picture, Picture) else picture
            for i, picture in enumerate(block.pictures, start=1)
        )
        return Figures(tuple(pictures))

    return tuple(
        replace(
            one,
            blocks=tuple(figures(block, f"{one.name}-{i}") for i, block in enumerate(one.blocks, start=1)),
            parts=_told_apart(one.parts),
        )
        for one in made
    )
