"""What verdicts come to: an answer in a sentence, counts by kind, and one line for each claim.

The terminal and the page open with the same words, in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from empirics.claims.table import NOT_IN_RUNS
from empirics.claims.verdict import KINDS, Verdict

if TYPE_CHECKING:
    from empirics.claims.base import Claim

__all__ = ["KIND_NAMES", "MARKS", "SEVERITY", "Line", "Tally", "answer", "lines_of", "tallies", "unmeasured"]

#: A sign for each verdict; the shapes differ, so that colour is not needed to tell them apart.
MARKS = {"agrees": "✓", "disagrees": "✗", "inconclusive": "?", "refused": "⊘", "not measured": "–"}

#: Kinds as headings, those first that say something about the gas.
KIND_NAMES = {"physics": "Physics", "symmetry": "Symmetry", "identity": "Identities"}

#: What a claim's line shows of several verdicts: the first of these.
SEVERITY = ("disagrees", "inconclusive", "refused", "agrees", "not measured")

#: What `[measure]` has to ask for, by the beginning of the column that is missing.
MEASURED_BY = {"laplacian": "hessian_probes", "hessian": "hessian_probes", "batch_sharpness": "hessian_probes"}
MEASURED_BY |= {"harmonic_": "implicit"}

#: Clauses of a reason that repeat the numbers beside it.
_REPEATED = ("the interval ", "the band ", "a significant trend ", "the local slopes ")


@dataclass(frozen=True)
class Line:
    """A claim with its verdicts."""

    claim: str  # its code
    title: str  # its human name
    label: str  # both
    rows: tuple[Verdict, ...]  # one for each of its forms

    @property
    def headline(self) -> Verdict:
        """The verdict that stands for the claim: of the primary ones the most severe, physics before the others."""
        order = (SEVERITY, tuple(KIND_NAMES))
        return min(self.rows, key=lambda r: (not r.primary, order[0].index(r.verdict), order[1].index(r.kind)))

    def marks(self, kind: str) -> str:
        """Signs of the verdicts of one kind; empty if it has none."""
        return "".join(MARKS[row.verdict] for row in self.rows if row.kind == kind)

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in a clause; empty where its numbers say it all.

        Examples
        --------
        >>> why = "gate: 9 runs drift (by 2; by 3); few"
        >>> row = Verdict("V4", "", "", "physics", 0.0, verdict="refused", reason=why)
        >>> Line("V4", "Adiabat", "Adiabat (V4)", (row,)).reason
        '9 runs drift (by 2; by 3)'
        """
        clauses = re.split(r"; (?![^(]*\))", self.headline.reason.removeprefix("gate: "))
        return next((one for one in clauses if one and not one.startswith(_REPEATED)), "")


def lines_of(rows: Iterable[Verdict], known: Mapping[str, Claim]) -> list[Line]:
    """Group verdicts by claim, in their order; one that is not known has its code for a name."""
    found: dict[str, list[Verdict]] = {}
    for row in rows:
        found.setdefault(row.claim, []).append(row)
    titles = {name: (known[name].title, known[name].label) if name in known else (name, name) for name in found}
    return [Line(name, *titles[name], tuple(members)) for name, members in found.items()]


@dataclass(frozen=True)
class Tally:
    """How many verdicts of a kind agree, of how many that were reached.

    Examples
    --------
    >>> print(Tally({"agrees": 3, "refused": 1, "not measured": 2}))
    3 of 4 agree; 1 refused; 2 not measured
    """

    counts: Mapping[str, int]

    @property
    def agree(self) -> int:
        """Number that agree."""
        return self.counts.get("agrees", 0)

    @property
    def judged(self) -> int:
        """Number that were measured."""
        return sum(self.counts.values()) - self.counts.get("not measured", 0)

    def __str__(self) -> str:
        verb = {"disagrees": "disagree"}
        parts = [f"{self.agree} of {self.judged} agree"] if self.judged else []
        for word, count in ((word, self.counts.get(word, 0)) for word in MARKS if word != "agrees"):
            parts += [f"{count} {verb.get(word, word) if count > 1 else word}"] if count else []
        return "; ".join(parts) or "none stated"


def tallies(rows: Iterable[Verdict]) -> dict[str, Tally]:
    """Count the verdicts of each kind; of symmetry and physics the primary ones, which repeat no other."""
    counted: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for row in rows:
        if row.primary or row.kind == "identity":
            counted[row.kind][row.verdict] = counted[row.kind].get(row.verdict, 0) + 1
    return {kind: Tally(counts) for kind, counts in counted.items()}


def answer(rows: Iterable[Verdict]) -> str:
    """Answer in a sentence whether the runs behave as an ideal gas.

    Examples
    --------
    >>> answer([Verdict("V3", "", "", "symmetry", 1.0, verdict="disagrees")])
    'No: 1 of 1 symmetry relations disagrees.'
    """
    found = tallies(rows)
    symmetry, physics = found["symmetry"], found["physics"]
    wrong, off = (one.counts.get("disagrees", 0) for one in (symmetry, physics))
    undecided = physics.judged - physics.agree - off
    if wrong:
        return f"No: {wrong} of {symmetry.judged} symmetry relations {'disagrees' if wrong == 1 else 'disagree'}."
    holds = symmetry.judged and symmetry.agree == symmetry.judged
    first = "the symmetry relations "
    first += "hold, but" if holds else "are undecided, and" if symmetry.judged else "were not tested, and"
    of = f"of {physics.judged} predictions of the gas"
    if not physics.judged:
        return f"Open: {first} no prediction of the gas was measured."
    if off:
        rest = f"; {undecided} cannot be judged" if undecided else ""
        return f"Not quite: {first} {off} {of} {'disagrees' if off == 1 else 'disagree'}{rest}."
    if undecided:
        return f"Open: {first} {undecided} {of} cannot be judged."
    return f"{'Yes, as far as tested' if holds else 'Open'}: {first.replace('but', 'and')} {physics.judged} {of} agree."


def unmeasured(found: Iterable[Line], experiment: Any = None) -> str:
    """Name the claims of which a form was not measured, and what would measure it; empty if there are none.

    An option of the `[measure]` of the experiment is named in place of the columns that it gives.
    """
    by_need: dict[str, dict[str, None]] = {}
    for line in found:
        for row in line.rows:
            if row.verdict == "not measured":
                by_need.setdefault(_need(row.reason, getattr(experiment, "measure", None)), {})[line.label] = None
    if not by_need:
        return ""
    return "Not measured: " + "; ".join(f"{_listed([*names])}: {need}" for need, names in by_need.items())


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _need(reason: str, measure: Any) -> str:
    """Say in words what would measure a form, from why it was not."""
    if not reason.startswith(NOT_IN_RUNS):
        return reason.split("; found ")[0] or "no reason is given"
    columns = reason.removeprefix(NOT_IN_RUNS).split("; ")[0].split(", ")
    options = {option for column in columns for start, option in MEASURED_BY.items() if column.startswith(start)}
    if options and all(hasattr(measure, option) for option in options):
        return f"set `[measure] {' and '.join(sorted(options))}`"
    more = [f"{len(columns) - 2} more"] if len(columns) > 3 else columns[2:]
    return f"needs the column{'s' * (len(columns) > 1)} {_listed([*columns[:2], *more])}"
