"""The report as JSON, by a schema that is shipped with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.resources import files
from typing import Any

import numpy as np

from empirics.claims.exhibit import Exhibit, Map, Plot, Rows
from empirics.claims.ground import Ground, derived
from empirics.claims.verdicts import SCHEMA
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures import lag_shares
from empirics.pages.sections.comparison import differences, matrix, names_of
from empirics.pages.sections.stationarity import runs_table
from empirics.pages.sections.verdicts import Shown, shown_by_claim, statements_of
from empirics.pages.sections.wording import summary
from thermo_theory.engine.printing import to_latex

__all__ = ["made_by", "schema", "to_json"]


def made_by() -> str:
    """Return the version of this package."""
    try:
        return installed_version("thermo-theory")
    except PackageNotFoundError:
        return "(not installed)"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `report` and `compare` write as JSON.

    Examples
    --------
    >>> schema()["oneOf"]
    [{'$ref': '#/$defs/compare'}, {'$ref': '#/$defs/report'}]
    """
    text = files("empirics.pages").joinpath("report.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def to_json(every: Sequence[Any]) -> str:
    """Write verdicts, what they come from and how the runs were made.

    Parameters
    ----------
    every : sequence of Verdicts
        One for each folder.
    """
    names = names_of(every)
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "thermo_theory": made_by(),
        "experiments": [_experiment(verdicts, name) for verdicts, name in zip(every, names, strict=True)],
    }
    if len(every) > 1:
        made["comparison"] = _comparison(every, names)
    return json.dumps(_plain(made), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _experiment(verdicts: Any, name: str) -> dict[str, Any]:
    evidence = RunEvidence(verdicts.runs)
    judged, shown = json.loads(verdicts.to_json()), shown_by_claim(verdicts)
    return {
        "name": name,
        "summary": summary(evidence),
        "attributes": evidence.dataset.attrs,
        "verdicts": judged["verdicts"],
        "notes": judged["notes"],
        "errors": judged["errors"] + [part.error for parts in shown.values() for part in parts if part.error],
        "claims": _claims(verdicts, shown),
        "statuses": evidence.statuses(),
        "neighbours": [
            {
                "protocol": part.protocol,
                "optimizer": part.optimizer,
                "adjacent_in_time": None if part.adjacent is None else part.adjacent,
                "lags": [{"snapshots": lag, "percent": share} for lag, share in lag_shares(part)],
            }
            for part in evidence.parts()
        ],
        "runs": runs_table(evidence),
        "provenance": getattr(verdicts.runs, "provenance", None) or {},
    }


def _claims(verdicts: Any, shown: Mapping[str, list[Shown]]) -> list[dict[str, Any]]:
    """What every claim tests, and what it shows."""
    known, found = verdicts.claims, []
    for name in dict.fromkeys(str(verdict.claim) for verdict in verdicts):
        rows = [verdict for verdict in verdicts if verdict.claim == name]
        statements = [
            {
                "kind": members[0].kind,
                "needs": members[0].needs,
                "protocol": members[0].protocol,
                "optimizer": members[0].optimizer,
                "tests": said.words,
                "derivations": [
                    {
                        "name": one.name,
                        "kind": Ground.of(one).kind,
                        "equation": to_latex(one.claim.equation),
                        "assumptions": list(one.assumptions),
                        "needs": Ground.of(one).needs,
                        "source": one.source,
                    }
                    for one in derived(said.derivations, members[0].protocol, members[0].optimizer)
                ],
            }
            for said, members in statements_of(known.get(name), rows)
        ]
        exhibits = [
            {"protocol": part.protocol, "optimizer": part.optimizer} | _exhibit(one)
            for part in shown.get(name, [])
            for one in part.exhibits
        ]
        title = known[name].title if name in known else name
        found.append({"name": name, "title": title, "statements": statements, "exhibits": exhibits})
    return found


def _exhibit(exhibit: Exhibit) -> dict[str, Any]:
    """Write what a claim shows, by its kind."""
    kind = next(one for one in (Plot, Map, Rows) if isinstance(exhibit, one))
    found = {"kind": kind.__name__.lower()} | {one.name: getattr(exhibit, one.name) for one in fields(kind)}
    if isinstance(exhibit, Plot):
        del found["logarithmic"], found["series"]
        found["series"] = [
            {"label": one.label, "line": one.line, "x": one.x, "y": one.y}
            | ({} if one.error is None else {"error": one.error})
            for one in exhibit.series
        ]
    return found


def _comparison(every: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """The folders side by side."""
    changed = []
    for verdicts, name in zip(every[1:], names[1:], strict=True):
        found = differences(every[0].runs, verdicts.runs)
        fields = None if found is None else {field: {"first": a, "here": b} for field, (a, b) in found.items()}
        changed.append({"experiment": name, "differs_from_first": fields})
    rows = []
    for (claim, title, kind, protocol, optimizer), found_rows in matrix(every):
        verdicts_by_name = [
            {"experiment": name, "verdict": row.verdict, "measured": row.measured, "low": row.low, "high": row.high}
            for name, row in zip(names, found_rows, strict=True)
            if row is not None
        ]
        keys = {"claim": claim, "title": title, "kind": kind, "protocol": protocol, "optimizer": optimizer}
        rows.append(keys | {"verdicts": verdicts_by_name})
    return {"experiments": list(names), "changes": changed, "claims": rows}


def _plain(value: Any) -> Any:
    """Return what JSON can hold; what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
