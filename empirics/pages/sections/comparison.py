"""Several folders side by side: the same claims, and in what the experiments differ."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from empirics.claims.overview import KIND_NAMES, Line
from empirics.pages.blocks import Cell, Details, Section, TableBlock, Text, number
from empirics.pages.evidence import RunEvidence
from empirics.pages.sections.verdicts import measured_cell
from empirics.pages.sections.wording import plural
from empirics.pages.words import typeset

__all__ = ["comparison", "differences", "matrix", "names_of"]

#: More fields than this are not written out with their values.
_MOST_WRITTEN = 4


def names_of(every: Sequence[Any]) -> list[str]:
    """Name the folders: by their experiment, and where that would not tell them apart by their path or number."""
    evidence = [RunEvidence(verdicts.runs) for verdicts in every]
    names = [one.name for one in evidence]
    paths = [str(getattr(one.runs, "path", "") or "") for one in evidence]
    for found in ([f"{name} ({path})" for name, path in zip(names, paths, strict=True)], names):
        if len(set(found)) == len(found):
            names = found
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({i})" for i, name in enumerate(names, start=1)]


def differences(first: Any, other: Any) -> dict[str, tuple[Any, Any]] | None:
    """Name the fields in which two experiments differ, their names apart.

    From a field, as "model.affine", to its value in the first and in the other, None for a field that is not there;
    None in place of it all where one of the experiments is not recorded.
    """
    fields = []
    for runs in (first, other):
        experiment: Any = getattr(runs, "experiment", None)
        if not hasattr(experiment, "to_toml"):
            return None
        fields.append(_flat(tomllib.loads(experiment.to_toml())))
    names = [name for name in {**fields[0], **fields[1]} if name != "name"]
    return {n: (fields[0].get(n), fields[1].get(n)) for n in names if fields[0].get(n) != fields[1].get(n)}


def _flat(file: Mapping[str, Any]) -> dict[str, Any]:
    """Write the tables of a file as one, their names before those of the fields."""
    found: dict[str, Any] = {}
    for name, value in file.items():
        fields = {f"{name}.{field}": inner for field, inner in value.items()} if isinstance(value, Mapping) else {}
        found |= fields or {name: value}
    return found


def matrix(every: Sequence[Any]) -> list[tuple[tuple[str, str, str, str, str], list[Any]]]:
    """Put the same forms of the same claims beside each other.

    Each row is the claim, form, kind, protocol and optimiser, and the verdict of each folder on it, None where it was
    not judged.
    """
    keys: dict[tuple[str, str, str, str, str], list[Any]] = {}
    for i, verdicts in enumerate(every):
        for row in verdicts:
            key = (row.claim, row.title, row.kind, row.protocol, getattr(row, "optimizer", "sgd"))
            keys.setdefault(key, [None] * len(every))[i] = row
    # Rows of one claim stand together, in the order in which the claims came first.
    order = list(dict.fromkeys(key[0] for key in keys))
    return sorted(keys.items(), key=lambda item: order.index(item[0][0]))


def comparison(every: Sequence[Any], names: Sequence[str], slugs: Sequence[str]) -> Section:
    """Make the section that shows folders side by side: the others beside the first."""
    evidence = [RunEvidence(verdicts.runs) for verdicts in every]
    folders = []
    for i, one in enumerate(evidence):
        counts = ", ".join(f"{count} {status}" for status, count in one.statuses().items())
        folders.append((Cell(names[i], section=slugs[i]), plural(len(one), "run"), counts, _against(evidence, i)))
    rows: list[tuple[str | Cell, ...]] = []
    lines = [{line.claim: line for line in verdicts.lines} for verdicts in every]
    labels = {claim: line.label for one in lines for claim, line in one.items()}
    brief = tuple((labels[name], *(_brief(one.get(name)) for one in lines)) for name in labels)
    for (claim, form, kind, protocol, optimizer), found in matrix(every):
        where = protocol + ("" if optimizer == "sgd" else f", {optimizer}")
        theory = next(row.theory for row in found if row is not None)
        cells = (measured_cell(row) if row is not None else Cell("not judged") for row in found)
        rows.append((labels[claim], Cell(typeset(form), wraps=True), *cells, number(theory), kind, where))
    head = ("Claim", "Quantity tested", *names, "Theory", "Kind", "Protocol")
    return Section(
        "comparison",
        "Side by side",
        (
            Text(
                "The other folders are compared with the first. A control is an experiment with one field changed so "
                "that a claim must fail; a claim that passes there as well is no evidence."
            ),
            TableBlock(
                "What was run", ("Folder", "Runs", "Status", f"Differs from {names[0]} in"), tuple(folders), "facts"
            ),
            TableBlock("Every claim in every folder", ("Claim", *names), brief, "matrix"),
            Details("Every form of every claim", TableBlock("Every form of every claim", head, tuple(rows), "matrix")),
        ),
    )


def _brief(line: Line | None) -> Cell:
    """The verdict that stands for a claim, and the signs of all."""
    if line is None:
        return Cell("not judged")
    marks = ", ".join(f"{kind} {line.marks(kind)}" for kind in KIND_NAMES if line.marks(kind))
    return Cell(marks, line.headline.verdict, wraps=True)


def _against(evidence: Sequence[RunEvidence], i: int) -> str:
    """List the fields in which a folder differs from the first."""
    if i == 0:
        return "–"
    found = differences(evidence[0].runs, evidence[i].runs)
    if found is None:
        return "not recorded"
    if not found:
        return "only its name"
    if len(found) > _MOST_WRITTEN:
        return f"{len(found)} fields: {', '.join(found)}"
    return "; ".join(f"{name} = {_value(new)}, not {_value(old)}" for name, (old, new) in found.items())


def _value(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
