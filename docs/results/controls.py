"""Runs the controls that must not pass and writes docs/results/controls.md. Results that are there are used again.

python docs/results/controls.py --runs runs
"""

import dataclasses

from tables import EXPERIMENTS, asked, available, judged, passed, section, table, write

from empirics import Experiment

CONTROLS = ("affine", "eps", "short", "interpolating", "protocol", "shuffled")


def field_changed(control):
    """The one field that differs from the demo's experiment, beside the name."""
    demo = dataclasses.replace(Experiment.from_file(EXPERIMENTS / "digits.toml"), name=control.name)
    return demo.difference(control)


def main():
    """Run what is not there yet and write the page."""
    given, body, summary = asked(), [], []
    names, missing = available(["digits", *(f"control-{control}" for control in CONTROLS)], given)
    for name in names:
        runs, verdicts, _ = judged(name, given.runs)
        changed = [] if name == "digits" else [f"Changed: `{field_changed(runs.experiment)}`."]
        body += section(name, runs, verdicts, *changed)
        summary.append([name, passed(verdicts)])
    summary = table(["experiment", "claims with a form of symmetry or physics that agrees"], summary)
    write("controls", summary=summary, experiments=body, missing=missing)


if __name__ == "__main__":
    main()
