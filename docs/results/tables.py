"""What the scripts of the result pages share: the command line, runs and verdicts, numbers, tables and figures."""

import argparse
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import empirics

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
EXPERIMENTS = HERE.parents[1] / "experiments"

#: Signs of the verdicts in a cell.
MARKS = {"agrees": "✓", "disagrees": "✗", "inconclusive": "?", "refused": "⊘", "not measured": "·"}


# ------------------------------------------------------------------------------------------------------- what is asked
def asked(**more):
    """The command line: `runs`, the folder of runs, and `as_is`, to run nothing and show what is there.

    Parameters
    ----------
    **more : dict
        Further options by name, each with the arguments of ``add_argument``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are, or will be")
    parser.add_argument("--as-is", action="store_true", help="run nothing: judge what is finished, list the rest")
    for name, settings in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser.parse_args()


def finished(name, folder):
    """Whether an experiment has been run to its end."""
    return (folder / name).exists() and empirics.status(folder / name).finished


def available(names, given):
    """Names of the experiments to show, and lines that name those that are missing and are not to be run."""
    found = [name for name in names if not given.as_is or finished(name, given.runs)]
    listed = ", ".join(f"`{name}`" for name in names if name not in found)
    return found, ["## Not run", "", f"Their files are there, no results: {listed}.", ""] if listed else []


def judged(name, folder):
    """Run an experiment, or read it if it is there: its results, the verdicts that were reached, and notes."""
    runs = empirics.run(EXPERIMENTS / f"{name}.toml", folder / name)
    verdicts = empirics.compare(runs)
    return runs, [one for one in verdicts if one.verdict != "not measured"], verdicts.notes


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


def usable(runs):
    """Runs that enter the fits."""
    return runs.dataset.isel(run=np.flatnonzero(runs.dataset["status"].values == "ok"))


def span(values, form=".2g"):
    """Smallest and largest of some numbers."""
    return f"{float(np.min(values)):{form}} to {float(np.max(values)):{form}}"


def shown(one, places=3):
    """An estimate with half its interval."""
    return f"{one.value:z.{places}f} ± {(one.high - one.low) / 2:.{places}f}"


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
    """Lines of a Markdown table."""
    first, *rest = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return [first, "|" + "---|" * len(head), *rest]


def folded(title, lines):
    """Lines of a block that is closed until a reader opens it."""
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>", ""]


def section(stored, verdicts):
    """Lines on an experiment: statuses, the table of verdicts, and why what does not agree does not."""
    rows = []
    for one in verdicts:
        measured, title = bracketed(one.measured, one.low, one.high), one.title.replace("|", "\\|")
        rows.append([one.claim, title, one.kind, f"{one.theory:.4g}", measured, one.verdict])
    reasons = dict.fromkeys(one.reason for one in verdicts if one.verdict != "agrees")
    return [
        *(f"Runs: {counts(stored.dataset)}.", ""),
        *table(["claim", "form", "kind", "theory", "measured", "verdict"], rows),
        *("", *(f"- {reason}" for reason in reasons)),
    ]


def passed(verdicts):
    """Claims with a form that says something, is no identity, and agrees."""
    found = sorted({one.claim for one in verdicts if one.verdict == "agrees" and one.kind != "identity"})
    return ", ".join(found) or "none"


def filled(name, **parts):
    """A page: its text, words/NAME.md, with what was measured in place of each ``{{ part }}``.

    Parameters
    ----------
    name : str
        Of the page, without its ending.
    **parts : str or iterable of str
        Words, or lines, for every part that the text names; a part without lines leaves no gap.

    Raises
    ------
    ValueError
        If a part has no place in the text, or a place no part.
    """
    text = (HERE / "words" / f"{name}.md").read_text(encoding="utf-8")
    if unlike := set(re.findall(r"{{ (\w+) }}", text)) ^ parts.keys():
        raise ValueError(f"words/{name}.md and what is measured for it differ in {', '.join(sorted(unlike))}")
    given = {part: lines if isinstance(lines, str) else "\n".join(lines) for part, lines in parts.items()}
    page = re.sub(r"{{ (\w+) }}", lambda part: given[part[1]], text)
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"


def write(name, **parts):
    """Write a page, as `filled` fills it."""
    (HERE / f"{name}.md").write_text(filled(name, **parts), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- figures
#: Okabe and Ito's colours, which the colour-blind can tell apart: blue, vermilion, green, purple, orange, sky, grey.
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=INKS)


def svg_style(salt):
    """Looks of SVG figures; with the salt the same figure is the same file."""
    mpl.rcParams |= {"svg.hashsalt": salt, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


#: Hash of what the figures show, which they carry; pages.py sets it.
DRAWN_FROM = ""


def save(figure, name, ending="svg", **settings):
    """Write a figure, with the hash of what it was drawn from."""
    figure.tight_layout()
    FIGURES.mkdir(exist_ok=True)
    kept = {"Description": DRAWN_FROM} | ({"Date": None} if ending == "svg" else {})
    figure.savefig(FIGURES / f"{name}.{ending}", metadata=kept, **settings)
    plt.close(figure)
