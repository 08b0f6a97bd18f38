"""The controls: the demo's experiment with something changed so that a claim must fail."""

import dataclasses

from stored import EXPERIMENTS
from tables import cell, counts, find, passed, section, table

from empirics import Experiment

CONTROLS = tuple(f"control-{name}" for name in ("affine", "eps", "short", "interpolating", "protocol", "shuffled"))
NAMES = ("digits", *CONTROLS)


def changed(control):
    """The fields that differ from those of the demo's experiment, but for the name."""
    demo = dataclasses.replace(Experiment.from_file(EXPERIMENTS / "digits.toml"), name=control.name)
    for (name, new), (_, old) in zip(control._flat(), demo._flat(), strict=True):
        if new != old:
            yield f"`{name}`: {_short(old)} → {_short(new)}"


def _short(value):
    """A value of a field; of an axis its ends."""
    if isinstance(value, tuple) and len(value) > 2:
        return f"{value[0]:.2g} to {value[-1]:.2g}"
    return str(list(value) if isinstance(value, tuple) else value).lower() or "none"


def parts(found):
    """What words/controls.md asks for."""
    summary, body = [], []
    for name, one in found.items():
        signs = [cell(find(one.verdicts, claim, words)) for claim, words in (("V1", "^Slope"), ("V3", "^Maxwell"))]
        fields = "" if name == "digits" else ", ".join(changed(one.experiment))
        summary.append([f"`{name}`", fields, counts(one.dataset), *signs, passed(one.verdicts)])
        body += section(f"{name}: every form", one)
    passing = [name for name in CONTROLS if {"V1", "V3"} & set(passed(found[name].verdicts).split(", "))]
    head = ["experiment", "changed", "runs", "slopes of log r (V1)", "Maxwell relation (V3)", "claims that agree"]
    learnt = found["control-interpolating"].dataset["status"].values == "interpolating"
    return {
        "summary": table(head, summary),
        "experiments": body,
        "passing": f"{len(passing) or 'None'} of the {len(CONTROLS)}",
        "interpolating": f"{learnt.sum()} of {len(learnt)}",
    }
