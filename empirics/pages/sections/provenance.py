"""How the runs were made, and where the formulas come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from empirics.pages.blocks import Details, Formulas, Heading, Papers, TableBlock, Text
from empirics.pages.evidence import RunEvidence
from empirics.pages.formulas import PAPERS, laws

__all__ = ["provenance", "sources"]


_FACTS = {"toml", "experiment"}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write nested facts as rows, the innermost tables in a row each."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        tables = [value] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        if not tables or not all(isinstance(table, Mapping) for table in tables):
            rows.append((name, ", ".join(map(_fact, value)) if isinstance(value, list | tuple) else _fact(value)))
            continue
        for i, table in enumerate(tables, start=1):
            if any(isinstance(inner, Mapping | list | tuple) for inner in table.values()):
                # A list of one table, as the one session of work of most runs, needs no number.
                rows += _flat(table, f"{name} {i}: " if len(tables) > 1 else prefix)
            else:
                rows.append((name, ", ".join(f"{str(k).replace('_', ' ')} {_fact(v)}" for k, v in table.items())))
    return rows


def _fact(value: Any) -> str:
    return "not recorded" if value is None or value == "" else str(value)


def _varies(facts: Mapping[str, Any]) -> bool:
    """Whether part of the work was done on a GPU without deterministic algorithms."""
    machines = [session.get("machine", {}) for session in facts.get("sessions", ())]
    return any(
        str(one.get("device")).startswith("cuda") and not one.get("deterministic_algorithms") for one in machines
    )


def provenance(evidence: RunEvidence) -> list[object]:
    """Show how the runs were made."""
    facts: Mapping[str, Any] = getattr(evidence.runs, "provenance", None) or {}
    experiment: Any = getattr(evidence.runs, "experiment", None)
    toml = experiment.to_toml() if hasattr(experiment, "to_toml") else str(facts.get("toml", ""))
    rows = _flat({key: value for key, value in facts.items() if key not in _FACTS})
    if "imported" in facts:
        return [TableBlock("Where these runs come from", ("Item", "Value"), tuple(rows))]
    blocks: list[object] = [
        Text(
            "The same experiment file, run again with the same versions on the same machine, gives the same numbers"
            + (", but not the same last bits: deterministic algorithms were off." if _varies(facts) else ".")
        )
        if rows
        else Text("Not recorded: these results do not say how they were made.")
    ]
    if rows:
        blocks.append(TableBlock("How it was run", ("Item", "Value"), tuple(rows)))
    if toml:
        blocks.append(Details("The experiment in full (TOML)", verbatim=toml.strip()))
    return blocks


def sources(every: Sequence[RunEvidence]) -> list[object]:
    """List the formulas that were compared and the papers."""
    pairs = sorted({pair for one in every for pair in one.pairs})
    blocks: list[object] = []
    found = laws(pairs)
    if found:
        blocks += [
            Text(
                "Each formula is the result of a derivation whose steps are all checked by machine; "
                "`thermo-theory derive NAME` prints it."
            ),
            Formulas(found),
        ]
    return [*blocks, Heading("Papers"), Papers(PAPERS)]
