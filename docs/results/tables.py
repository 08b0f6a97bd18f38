"""What the scripts of the result pages share: numbers, tables and figures."""

import re
import textwrap
from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy import stats

from empirics.claims import overview
from thermo_theory.palette import INK, MUTED, SERIES, STYLE, adaptive

HERE = Path(__file__).parent
FIGURES = HERE / "figures"

#: Signs of the verdicts in a cell, those of a terminal but for a smaller one where there is nothing.
MARKS = overview.MARKS | {"not measured": "·"}


# ------------------------------------------------------------------------------------------------------------- numbers
def directions(dataset):
    """Directions that the loss depends on."""
    return int(dataset.attrs["dimension"]) - 1


def weights(dataset):
    """Number of trained weights; d, that of one sphere, in results that do not say."""
    return int(dataset.attrs.get("weights", dataset.attrs["dimension"]))


def counts(dataset):
    """How many runs there are of each status."""
    found = dataset["status"].to_series().value_counts()
    return ", ".join(f"{count} {status}" for status, count in found.items())


def number_of(runs, status):
    """How many runs have this status."""
    return int((runs.dataset["status"] == status).sum())


def usable(runs):
    """Runs that enter the fits."""
    return runs.dataset.isel(run=np.flatnonzero(runs.dataset["status"].values == "ok"))


def span(values, form=".2g"):
    """Smallest and largest of some numbers."""
    return f"{float(np.min(values)):{form}} to {float(np.max(values)):{form}}"


def shown(one, places=3):
    """An estimate, or what a verdict measured, with half its interval."""
    value = one.measured if hasattr(one, "measured") else one.value
    return f"{value:z.{places}f} ± {(one.high - one.low) / 2:.{places}f}"


def bracketed(value, low, high, form=".4g"):
    """A number and its interval."""
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def find(verdicts, claim, words):
    """The verdict on a form of a claim, found by a regular expression for its title; None if there is none."""
    return next((one for one in verdicts if one.claim == claim and re.search(words, one.title)), None)


def reached(verdicts):
    """Verdicts on what was measured."""
    return [one for one in verdicts if one.verdict != "not measured"]


def cell(verdict, marks=MARKS, theory=None):
    """A verdict in a table: the number with half its interval, and a mark; its own theory where the row has another."""
    if verdict is None:
        return ""
    half, number = (verdict.high - verdict.low) / 2, ""
    if np.isfinite(verdict.measured):
        # An interval that would be written as ± 0.0000 says nothing.
        places = int(np.clip(1 - np.floor(np.log10(half)), 0, 4)) if half >= 5e-5 else 4
        number = f"{verdict.measured:z.{places}f}" + (f" ± {half:.{places}f}" if half >= 5e-5 else "")
        number += f" ({verdict.theory:g})" if theory not in (None, verdict.theory) else ""
    return f"{number} {marks[verdict.verdict]}".strip()


def student(values):
    """Mean over the last axis and half of its 95 % interval by Student's t."""
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    return values.mean(-1), stats.t.ppf(0.975, n - 1) * values.std(-1, ddof=1) / np.sqrt(n)


def mean_interval(values, digits=4):
    """Mean with half of its 95 % interval; alone where it is one value, or all are the same."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or np.ptp(values) <= 1e-9 * abs(values.mean()):
        return f"{values.mean():.{digits}g}"
    mean, half = student(values)
    return f"{mean:.{digits}g} ± {half:.2g}"


# -------------------------------------------------------------------------------------------------------------- tables
def table(head, rows):
    """Lines of a Markdown table; a dash stands for numbers that are missing."""
    rows = (["-" if re.fullmatch(r"nan( to nan| \[nan, nan\])?", one) else one for one in cells] for cells in rows)
    first, *rest = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return [first, "|" + "---|" * len(head), *rest]


def folded(title, lines):
    """Lines of a block that is closed until a reader opens it."""
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>", ""]


def matrix(found, words, forms):
    """Lines of a table: an experiment each, with its description, directions, and forms (claim, title, head)."""
    rows = []
    for name, one in found.items():
        cells = (cell(find(one.verdicts, *asked)) for *asked, _ in forms)
        rows.append([f"`{name}`", words[name], str(directions(one.dataset)), *cells])
    return table(["experiment", "", "m", *(head for *_, head in forms)], rows)


def section(title, stored, notes=()):
    """A closed block on an experiment: statuses, the table of verdicts, why what does not agree does not, and notes."""
    rows, verdicts = [], reached(stored.verdicts)
    for one in verdicts:
        measured, form = bracketed(one.measured, one.low, one.high), one.title.replace("|", "\\|")
        rows.append([one.claim, form, one.kind, f"{one.theory:.4g}", measured, one.verdict])
    reasons = dict.fromkeys(one.reason for one in verdicts if one.verdict != "agrees")
    lines = table(["claim", "form", "kind", "theory", "measured", "verdict"], rows)
    listed = (f"- {one}" for one in (*reasons, *notes))
    return folded(title, [f"Runs: {counts(stored.dataset)}.", "", *lines, "", *listed])


def passed(verdicts):
    """Claims with a form that says something, is no identity, and agrees."""
    found = sorted({one.claim for one in verdicts if one.verdict == "agrees" and one.kind != "identity"})
    return ", ".join(found) or "none"


# ------------------------------------------------------------------------------------------------------------- figures
mpl.rcParams.update(STYLE)

#: What one figure can tell apart: the series of the palette, then the grey of axes.
INKS = (*SERIES, MUTED)
#: Width of the text of a page, in inches.
WIDTH = 7.4
#: Letters in a line of a title.
LETTERS = 90


def panels(title, rows=1, columns=2, height=3.2, **options):
    """A figure as wide as the page under a title that says what was found, and its axes in one list."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    title = "\n".join(
        line
        for part in title.replace(" -", " −").replace("(-", "(−").splitlines()
        for line in textwrap.wrap(part, _even(part))
    )
    figure.suptitle(title, x=0.005, ha="left", fontsize=9.5, fontweight="bold", linespacing=1.25)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def _even(words):
    """Letters in a line, so that all lines of a title are about as long."""
    return min(LETTERS, len(words) // -(-len(words) // LETTERS) + 12)


def says(axis, words, place, ink=INK, shift=(0, 0), **looks):
    """Write a label beside what it names, in the colour of that."""
    axis.annotate(words, place, shift, textcoords="offset points", color=ink, **{"fontsize": 8, "va": "center"} | looks)


def ticks(axis, values, form="{x:g}"):
    """Label an axis at these values and nowhere else."""
    axis.set_major_locator(FixedLocator(values))
    axis.set_major_formatter(form)
    axis.set_minor_locator(NullLocator())


#: Hash of what the figures show, which they carry; pages.py sets it.
DRAWN_FROM = ""


def save(figure, name, alt, folder=FIGURES):
    """Write a figure with a sentence for a reader who does not see it, and the hash of what it was drawn from."""
    folder.mkdir(exist_ok=True)
    written = StringIO()
    figure.savefig(written, format="svg", metadata={"Title": alt, "Description": DRAWN_FROM, "Date": None})
    (folder / f"{name}.svg").write_text(adaptive(written.getvalue()), encoding="utf-8")
