"""Verdicts: what a claim says, what was measured, and whether the two agree."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from empirics.claims.base import Claim

__all__ = ["COLUMNS", "KINDS", "VERDICTS", "Verdict", "Verdicts", "judge"]

#: Columns of a table of verdicts.
COLUMNS = ("claim", "title", "protocol", "kind", "theory", "measured", "low", "high", "margin", "verdict", "reason")

#: What a claim may stand on, and what may come of it.
KINDS = ("identity", "symmetry", "physics")
VERDICTS = ("agrees", "disagrees", "inconclusive", "not measured")

#: Version of the JSON that `Verdicts.to_json` writes.
SCHEMA = 1

#: Columns of the table in a terminal.
WIDTH = 100


def judge(theory: float, low: float, high: float, margin: float) -> tuple[str, str]:
    """Judge an interval by equivalence: the claim is not "no significant difference" but "equal within a margin".

    Parameters
    ----------
    theory : float
        The value derived.
    low, high : float
        95 % interval of the value measured.
    margin : float
        Half-width of the range that counts as equal, fixed before the run.

    Returns
    -------
    verdict, reason : str
        "agrees" if the interval lies inside theory +- margin, "disagrees" if it lies outside, else "inconclusive".

    Examples
    --------
    >>> judge(1.0, 0.97, 1.02, 0.05)[0], judge(1.0, 1.06, 1.2, 0.05)[0], judge(1.0, 0.9, 1.02, 0.05)[0]
    ('agrees', 'disagrees', 'inconclusive')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "inconclusive", "no interval could be given"
    if theory - margin <= low and high <= theory + margin:
        return "agrees", f"the interval lies within {margin:g} of {theory:g}"
    if high < theory - margin or low > theory + margin:
        return "disagrees", f"the interval lies outside {theory:g} +- {margin:g}"
    return "inconclusive", f"the interval straddles the edge of {theory:g} +- {margin:g}"


@dataclass(frozen=True)
class Verdict:
    """One claim, judged.

    Attributes
    ----------
    claim, title, protocol : str
        Its number, what is claimed, and under which training protocol.
    kind : str
        "identity", "symmetry" or "physics".
    theory, measured, low, high, margin : float
        The derived value; the measured one with its 95 % interval; how far off still counts as equal.
    verdict : str
        "agrees", "disagrees", "inconclusive" or "not measured".
    reason : str
        Why.
    source : str
        Where the theory comes from.
    details : dict
        Further numbers.
    optimizer : str
        What the runs were trained with.
    """

    claim: str
    title: str
    protocol: str
    kind: str
    theory: float
    measured: float = math.nan
    low: float = math.nan
    high: float = math.nan
    margin: float = math.nan
    verdict: str = "not measured"
    reason: str = ""
    source: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "sgd"


class Verdicts(Sequence[Verdict]):
    """The verdicts on one folder of runs; prints as a table.

    Parameters
    ----------
    rows : sequence of Verdict
        One for each form of each claim.
    notes : sequence of str
        What is reported beside them, not judged.
    runs : Runs or xarray.Dataset, optional
        What was judged.
    errors : sequence of str
        One line for each claim that could not be judged because its code failed.
    claims : mapping from str to Claim, optional
        The claims that were known, by name: what the rows test and show, for a page.
    """

    def __init__(
        self,
        rows: Sequence[Verdict],
        notes: Sequence[str] = (),
        runs: Any = None,
        errors: Sequence[str] = (),
        claims: Mapping[str, Claim] | None = None,
    ) -> None:
        self._rows = tuple(rows)
        self.notes = tuple(notes)
        self.runs = runs
        self.errors = tuple(errors)
        self.claims = dict(claims or {})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Verdicts(self._rows[index], self.notes, self.runs, self.errors, self.claims)
        return self._rows[index]

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self._rows)

    @property
    def strict_failures(self) -> list[Verdict]:
        """Symmetry and physics claims that disagree: what ``compare --strict`` fails on."""
        return [row for row in self if row.verdict == "disagrees" and row.kind != "identity"]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with the columns `COLUMNS`, a row a verdict."""
        import pandas as pd

        return pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in self], columns=list(COLUMNS))

    def to_json(self) -> str:
        """Return ``{"schema": 1, "verdicts": [{...}], "notes": [...], "errors": [...]}``.

        Numbers that are not measured are null.
        """
        rows = [_plain(asdict(row)) for row in self]
        parts = {"schema": SCHEMA, "verdicts": rows, "notes": list(self.notes), "errors": list(self.errors)}
        return json.dumps(parts, indent=1)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.claim, row.kind, row.title, _number(row.theory), _interval(row), _number(row.margin), row.verdict)
            for row in self
        ]

    def to_markdown(self) -> str:
        """Return the table and the notes as Markdown."""
        lines = ["| " + " | ".join(_HEADER) + " |", "|" + " --- |" * len(_HEADER)]
        lines += ["| " + " | ".join(cells) + " |" for cells in self._cells()]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"

    def __repr__(self) -> str:
        lines = []
        for row in self:
            lines += _wrapped(f"{row.title} [{row.kind}, {row.protocol}]", f"{row.claim}  {row.verdict.upper():<12}  ")
            if math.isfinite(row.measured):
                lines.append(f"      measured {_interval(row)}, theory {_number(row.theory)} +- {_number(row.margin)}")
            lines += _wrapped(row.reason, "      ")
        return "\n".join([*lines, *(line for note in self.notes for line in _wrapped(note, "note: "))])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _HEADER)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in self._cells())
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<table><tr>{head}</tr>{rows}</table><ul>{notes}</ul>"


_HEADER = ("claim", "kind", "title", "theory", "measured (95 %)", "margin", "verdict")


def _wrapped(text: str, head: str) -> list[str]:
    """Lines of at most `WIDTH` characters, the first with a head, the others indented by its width."""
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _interval(row: Verdict) -> str:
    if not math.isfinite(row.measured):
        return "-"
    return f"{row.measured:.4f} [{row.low:.4f}, {row.high:.4f}]"


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
