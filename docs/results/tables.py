"""Tables of verdicts as the result pages show them."""

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

import empirics

FIGURES = Path(__file__).parent / "figures"
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def there(folder, names):
    """Which of these experiments the folder has results of, and a line that names the others."""
    found = [name for name in names if finished(name, folder)]
    missing = ", ".join(f"`{name}`" for name in names if name not in found)
    return found, [f"Not run yet: {missing}.", ""] if missing else []


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


def row(verdict):
    """A line of the table of an experiment."""
    measured = f"{verdict.measured:.4g} [{verdict.low:.4g}, {verdict.high:.4g}]"
    title = verdict.title.replace("|", "\\|")
    return f"| {verdict.claim} | {title} | {verdict.kind} | {verdict.theory:.4g} | {measured} | {verdict.verdict} |"


def judged(name, folder):
    """Run an experiment, or read it if it is there: its results and the verdicts that were reached."""
    runs = empirics.run(EXPERIMENTS / f"{name}.toml", folder / name)
    verdicts = empirics.compare(runs)
    return runs, [one for one in verdicts if one.verdict != "not measured"], verdicts.notes


def finished(name, folder):
    """Whether an experiment has been run to its end."""
    return (folder / name).exists() and empirics.status(folder / name).finished


def not_run(names):
    """Lines that name the experiments which are not in the folder of runs and were not to be run."""
    listed = ", ".join(f"`{name}`" for name in names)
    return ["## Not run", "", f"Their files are there, no results: {listed}.", ""] if names else []


def asked():
    """What the command line says: the folder of runs, and whether to run nothing and list what is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--as-is", action="store_true", help="run nothing, list what is missing")
    given = parser.parse_args()
    return given.runs, given.as_is


def svg_style(salt):
    """Looks of SVG figures; with the salt the same figure is the same file."""
    mpl.rcParams |= {"svg.hashsalt": salt, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def save(figure, name):
    """Write a figure as SVG."""
    figure.tight_layout()
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def section(name, runs, verdicts, *lines):
    """Lines of a section of the page: statuses, the table, and why what does not agree does not."""
    head = [f"## {name}", "", f"Runs: {counts(runs.dataset)}.", *lines, ""]
    table = ["| claim | form | kind | theory | measured | verdict |", "|---|---|---|---|---|---|", *map(row, verdicts)]
    reasons = dict.fromkeys(one.reason for one in verdicts if one.verdict != "agrees")
    return [*head, *table, "", *(f"- {reason}" for reason in reasons), ""]


def passed(verdicts):
    """Claims with a form that says something, is no identity, and agrees."""
    found = sorted({one.claim for one in verdicts if one.verdict == "agrees" and one.kind != "identity"})
    return ", ".join(found) or "none"


def write(path, lines):
    """Write a page."""
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
