"""The verdicts on a folder of runs, as a table."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

from empirics.claims.overview import KIND_NAMES, Line, answer, lines_of, tallies, unmeasured
from empirics.claims.suite import CLAIMS
from empirics.claims.verdict import Verdict, decimals

if TYPE_CHECKING:
    import pandas as pd

    from empirics.claims.base import Claim


#: Columns of a table of verdicts.
COLUMNS = (
    *("claim", "title", "protocol", "kind", "theory", "measured", "low", "high", "margin", "verdict", "reason"),
    *("primary", "margin_needed"),
)


#: Version of the JSON that `Verdicts.to_json` writes.
SCHEMA = 2


#: Level of Holm's correction.
LEVEL = 0.05

#: Characters of a line in a terminal.
WIDTH = 100
WIDEST = 120

#: Columns of the table there: claim, verdict, physics, symmetry, identities, measured, theory.
_TABLE = "{:<36.35}{:<14}{:<9}{:<10}{:<12}{:<28}{}"


class Verdicts(Sequence[Verdict]):
    """The verdicts on one folder of runs; prints as a table.

    Parameters
    ----------
    rows : sequence of Verdict
        One for each form of each claim.
    notes : sequence of str
        Diagnostics that are reported and not judged.
    runs : Runs or xarray.Dataset, optional
        What was judged.
    errors : sequence of str
        One line for each claim that could not be judged because its code failed.
    claims : mapping from str to Claim, optional
        The claims that were known, by name: what the rows test and show, for a page; default: those of the package.
    statuses : mapping from str to int, optional
        How many runs have each status.
    """

    def __init__(
        self,
        rows: Sequence[Verdict],
        notes: Sequence[str] = (),
        runs: Any = None,
        errors: Sequence[str] = (),
        claims: Mapping[str, Claim] | None = None,
        statuses: Mapping[str, int] | None = None,
    ) -> None:
        self._rows = tuple(rows)
        self.notes = tuple(notes)
        self.runs = runs
        self.errors = tuple(errors)
        self.claims = dict(claims or {one.name: one for one in CLAIMS})
        self.statuses = dict(statuses or {})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Verdicts(self._rows[index], self.notes, self.runs, self.errors, self.claims, self.statuses)
        return self._rows[index]

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self._rows)

    @property
    def strict_failures(self) -> list[Verdict]:
        """Symmetry and physics claims that disagree: what ``compare --strict`` fails on."""
        return [row for row in self if row.verdict == "disagrees" and row.kind != "identity"]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with the columns `COLUMNS`, one row per verdict."""
        import pandas as pd

        return pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in self], columns=list(COLUMNS))

    def to_json(self) -> str:
        """Return ``{"schema": 2, "verdicts": [{...}], "notes": [...], "errors": [...]}``.

        Numbers that are not measured are null.
        """
        rows = [_plain(asdict(row)) for row in self]
        parts = {"schema": SCHEMA, "verdicts": rows, "notes": list(self.notes), "errors": list(self.errors)}
        return json.dumps(parts, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Verdicts:
        """Read what `to_json` wrote, by this version or by one before it.

        Schema 1 had no `refused`: what a gate stopped, or had no interval, was "inconclusive" there. The runs and the
        claims are not in the file.

        Raises
        ------
        ValueError
            If the text is not that of verdicts, or of a later schema.
        """
        try:
            parts = json.loads(text)
            version, rows = parts["schema"], [verdict_of(row) for row in parts["verdicts"]]
            if version in range(1, SCHEMA + 1):
                return cls(rows, parts["notes"], errors=parts["errors"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"this is not the JSON of verdicts: {type(error).__name__}: {error}") from None
        raise ValueError(f"schema {version} of the verdicts is not known here, only up to {SCHEMA}")

    @property
    def _several(self) -> bool:
        """Whether runs of several protocols or optimisers were judged, so that every row has to say its own."""
        return len({row.training for row in self}) > 1

    def title(self, row: Verdict) -> str:
        """Title of a row, with its protocol and optimiser where the rows have several."""
        return f"{row.title} [{row.training}]" if self._several else row.title

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.claim,
                row.kind,
                self.title(row),
                _number(row.theory),
                _interval(row),
                _number(row.margin),
                row.verdict,
            )
            for row in self
        ]

    @property
    def lines(self) -> list[Line]:
        """The claims with their verdicts, in the order in which they were judged."""
        return lines_of(self, self.claims)

    def summary(self) -> list[str]:
        """Five lines: whether this is an ideal gas, how many verdicts of each kind agree, and how many runs count."""
        found = tallies(self)
        runs = f"{self.statuses.get('ok', 0)} of {sum(self.statuses.values())} count" if self.statuses else "not known"
        others = "; ".join(f"{count} {name}" for name, count in self.statuses.items() if name != "ok")
        counted = [f"{f'{name}:':<12}{found[kind]}" for kind, name in KIND_NAMES.items()]
        return [
            f"Ideal gas?  {answer(self)}",
            *reversed(counted),
            f"{'Runs:':<12}{'; '.join(filter(None, (runs, others)))}",
        ]

    def unmeasured(self) -> str:
        """Name, in one line, what was not measured and what would measure it; empty if there is nothing."""
        return unmeasured(self.lines, getattr(self.runs, "experiment", None))

    def to_markdown(self) -> str:
        """Return the summary, the table and the notes as Markdown."""
        lines = [*(f"{line}  " for line in self.summary()), ""]
        lines += ["| " + " | ".join(_HEADER) + " |", "|" + " --- |" * len(_HEADER)]
        lines += ["| " + " | ".join(cells) + " |" for cells in self._cells()]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"

    def to_text(self, verbose: bool = False) -> str:
        """Return what a terminal shows: the summary, a line for each claim, what was not measured.

        Parameters
        ----------
        verbose : bool
            Show every form of every claim with its reason, and the notes, too.
        """
        head = _TABLE.format("claim", "verdict", "physics", "symmetry", "identities", "measured [95 %]", "theory")
        first, *counted = self.summary()
        lines = [*textwrap.wrap(first, WIDEST, subsequent_indent=" " * 12), *counted, "", head]
        lines += [text for line in self.lines for text in _row(line, self._several)]
        if missing := self.unmeasured():
            lines += ["", *textwrap.wrap(missing.replace("`", ""), WIDEST, break_on_hyphens=False)]
        if verbose:
            lines += ["", *(line for row in self for line in _in_full(row))]
            lines += [line for note in self.notes for line in _wrapped(note, "note: ")]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        said = "<br>".join(map(escape, self.summary()))
        head = "".join(f"<th>{name}</th>" for name in _HEADER)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in self._cells())
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{said}</p><table><tr>{head}</tr>{rows}</table><ul>{notes}</ul>"


def verdict_of(row: dict[str, Any]) -> Verdict:
    """Read a verdict; numbers that are null were not measured."""
    numbers = ("theory", "measured", "low", "high", "margin", "margin_needed", "p_value")
    read = row | {name: math.nan for name in numbers if row.get(name) is None}
    read |= {"needs": tuple(map(tuple, row["needs"])), "other_forms": tuple(row.get("other_forms", ()))}
    if "primary" not in row:
        read["primary"] = row["kind"] != "identity"
        if row["verdict"] == "inconclusive" and (row["reason"].startswith("gate:") or row["low"] is None):
            read["verdict"] = "refused"
    return Verdict(**read)


def survivors(rows: Sequence[Verdict]) -> str:
    """Say which verdicts on primary physics claims survive Holm's correction for their number; empty if there are none.

    Examples
    --------
    >>> rows = [Verdict(f"V{i}", "", "", "physics", 1.0, p_value=p) for i, p in enumerate((1e-4, 0.02, 0.024, 0.04))]
    >>> survivors(rows)
    'of 4 verdicts on physics claims 1 survives a correction for their number (Holm, 5 %): V0; not V1, V2, V3'
    """
    found = [row for row in rows if row.primary and row.kind == "physics" and math.isfinite(row.p_value)]
    found.sort(key=lambda row: row.p_value)
    over = (i for i, row in enumerate(found) if row.p_value > LEVEL / (len(found) - i))
    passed = next(over, len(found))
    if not found:
        return ""
    names = [row.claim for row in found]
    kept, lost = ", ".join(names[:passed]) or "none", ", ".join(names[passed:])
    they = "survives" if passed == 1 else "survive"
    return (
        f"of {len(found)} verdicts on physics claims {passed} {they} a correction for their number (Holm, "
        f"{100 * LEVEL:g} %): {kept}" + (f"; not {lost}" if lost else "")
    )


_HEADER = ("claim", "kind", "title", "theory", "measured (95 %)", "margin", "verdict")


def _wrapped(text: str, head: str) -> list[str]:
    """Lines of at most `WIDTH` characters, the first with a head, the others indented by its width."""
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _row(line: Line, several: bool) -> list[str]:
    """One claim in the table of a terminal, by the verdict that stands for it, and below it, of which runs that is."""
    row, marks = line.headline, (line.marks(kind) for kind in KIND_NAMES)
    where = [f"     [{row.training}]"] if several else []
    margin = f" ± {_number(row.margin)}" if math.isfinite(row.margin) else ""
    name = f"{line.claim:<4} {line.title}"
    measured = _interval(row) if math.isfinite(row.measured) else ""
    return [_TABLE.format(name, row.verdict, *marks, measured, f"{_number(row.theory)}{margin}")[:WIDEST], *where]


def _in_full(row: Verdict) -> list[str]:
    """One form of a claim, with its numbers and its reason."""
    lines = _wrapped(f"{row.title} [{row.kind}, {row.training}]", f"{row.claim}  {row.verdict.upper():<12}  ")
    if math.isfinite(row.measured):
        numbers = f"measured {_interval(row)}, theory {_number(row.theory)} ± {_number(row.margin)}{_needed(row)}"
        lines += _wrapped(numbers, "      ")
    lines += [line for form in row.other_forms for line in _wrapped(_other(form), "      also ")]
    return lines + _wrapped(row.reason, "      ")


def _number(value: float) -> str:
    return f"{value if abs(value) > 1e-12 else 0:.4g}" if math.isfinite(value) else "-"


def _interval(row: Verdict) -> str:
    if not math.isfinite(row.measured):
        return "-"
    return f"{decimals(row.measured, 4)} [{decimals(row.low, 4)}, {decimals(row.high, 4)}]"


def _needed(row: Verdict) -> str:
    """The smallest margin at which it would agree, in words; empty if nothing can be said."""
    return f"; agrees from a margin of {row.margin_needed:.2g}" if math.isfinite(row.margin_needed) else ""


def _other(form: dict[str, Any]) -> str:
    """Another estimate of the same number, in a line."""
    low, high = (decimals(form[end], 4) for end in ("low", "high"))
    return f"{form['title']}: {decimals(form['measured'], 4)} [{low}, {high}]"


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
