"""Runs the controls that must not pass and writes docs/results/controls.md. Results that are there are used again.

python docs/results/controls.py --runs runs
"""

import argparse
import dataclasses
from pathlib import Path

import empirics
from empirics import Experiment

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parents[1] / "experiments"
CONTROLS = ("affine", "eps", "short", "interpolating", "protocol", "shuffled")


def field_changed(control):
    """The one field that differs from the demo's experiment, beside the name."""
    demo = dataclasses.replace(Experiment.from_file(EXPERIMENTS / "digits.toml"), name=control.name)
    return demo.difference(control)


def counts(dataset):
    """How many runs there are of each status."""
    found = dataset["status"].to_series().value_counts()
    return ", ".join(f"{count} {status}" for status, count in found.items())


def row(verdict):
    """A line of the table of a control."""
    shown = (
        "" if verdict.verdict == "not measured" else f"{verdict.measured:.4g} [{verdict.low:.4g}, {verdict.high:.4g}]"
    )
    title = verdict.title.replace("|", "\\|")
    return f"| {verdict.claim} | {title} | {verdict.kind} | {verdict.theory:.4g} | {shown} | {verdict.verdict} |"


def section(name, folder):
    """What came out of one experiment."""
    runs = empirics.run(EXPERIMENTS / f"{name}.toml", folder / name)
    verdicts = [one for one in empirics.compare(runs) if one.verdict != "not measured"]
    passed = sorted({one.claim for one in verdicts if one.verdict == "agrees" and one.kind != "identity"})
    lines = [f"## {name}", "", f"Runs: {counts(runs.dataset)}."]
    if name != "digits":
        lines.append(f"Changed: `{field_changed(runs.experiment)}`.")
    lines += ["", "| claim | form | kind | theory | measured | verdict |", "|---|---|---|---|---|---|"]
    lines += [row(one) for one in verdicts]
    reasons = dict.fromkeys(one.reason for one in verdicts if one.verdict != "agrees")
    return [*lines, "", *(f"- {reason}" for reason in reasons), ""], passed


def main():
    """Run what is not there yet and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    folder = parser.parse_args().runs
    body, summary = [], []
    for name in ("digits", *(f"control-{control}" for control in CONTROLS)):
        lines, passed = section(name, folder)
        body += lines
        summary.append(f"| {name} | {', '.join(passed) or 'none'} |")
    head = [
        "# Controls", "",
        "The demo's experiment, and the same with exactly one field changed so that something must not pass.",
        "`make results-controls` runs them and writes this page.", "",
        "| experiment | claims with a form of symmetry or physics that agrees |", "|---|---|", *summary, "",
    ]  # fmt: skip
    (HERE / "controls.md").write_text("\n".join(head + body).rstrip() + "\n", encoding="utf-8")


main()
