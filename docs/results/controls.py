"""The controls: the demo's experiment with something changed so that a claim must fail."""

import dataclasses

from stored import EXPERIMENTS
from tables import folded, passed, reached, section, table

from empirics import Experiment

CONTROLS = tuple(f"control-{name}" for name in ("affine", "eps", "short", "interpolating", "protocol", "shuffled"))
NAMES = ("digits", *CONTROLS)


def field_changed(control):
    """The one field that differs from the demo's experiment, beside the name."""
    demo = dataclasses.replace(Experiment.from_file(EXPERIMENTS / "digits.toml"), name=control.name)
    return demo.difference(control)


def parts(found):
    """What words/controls.md asks for."""
    summary, body = [], []
    for name, one in found.items():
        changed = "" if name == "digits" else f"`{field_changed(one.experiment)}`"
        summary.append([f"`{name}`", changed, passed(one.verdicts)])
        body += folded(f"{name}: every form", section(one, reached(one.verdicts)))
    passing = [name for name in CONTROLS if {"V1", "V3"} & set(passed(found[name].verdicts).split(", "))]
    return {
        "summary": table(["experiment", "changed", "claims with a form of symmetry or physics that agrees"], summary),
        "experiments": body,
        "passing": f"{len(passing) or 'none'} of the {len(CONTROLS)} passes V1 or V3",
    }
