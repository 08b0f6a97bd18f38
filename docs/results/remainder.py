"""Runs networks that are not scale-invariant in all that is trained and writes docs/results/remainder.md.

python docs/results/remainder.py --runs runs

From the root of the repository; what is not in the folder of runs yet is run first, eight minutes of one core in all.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from remainder_networks import SETTINGS
from tables import MARKS, asked, available, cell, counts, find, judged, save, span, svg_style, table, weights, write

from empirics.claims import claims, tables_of
from empirics.claims.gas import whatever_the_loss

INK = {"none": "#525252", "biases": "#7c3aed", "affine": "#0b62ab", "head": "#c2410c", "control": "#0f766e"}

#: Controls of docs/results/controls.md that are not scale-invariant either, on the whole grid of digits.toml.
CONTROLS = ("control-affine", "control-eps")

DEFECT = "^What is not|[Dd]efect E"

#: Columns of the table: claim, a regular expression for the form's title, what it is called.
COLUMNS = (
    ("V9", DEFECT, "remainder, E[w·∇L]/(2 R T)"),
    ("V9", "^Virial", "virial theorem with it"),
    ("V8", "^Slope.*, T (read|from)", "slope of log pV/(RT) in log V"),
    ("V9", r"^p ?V/\(R ?T\) [-−] ", "pV/(RT) beyond the remainder"),
    ("V1", "^Slope of log r", "V1, slope of log r"),
    ("V3", "^Maxwell relation", "V3"),
)

#: Verdicts stand under "Gates", not in the table.
UNMARKED = dict.fromkeys(MARKS, "")

#: Remainders below this are drawn here.
LEAST = 1e-4


def virial(runs):
    """1 - remainder and p V/(R T) of every run, as claim V9 has them."""
    ((table, _),) = tables_of(runs, claims().values())
    drawn = claims()["V9"].exhibits(table)[0].series[0]
    return np.asarray(drawn.x), np.asarray(drawn.y), whatever_the_loss(table)


def rows(found):
    """Lines of the table: one line per setting."""
    head = ["trained beside the matrices", "weights", "runs", "pV/(RT)", *(one[2] for one in COLUMNS)]
    lines = []
    for name, (runs, verdicts, _) in found.items():
        _, factor, _ = virial(runs)
        cells = [cell(find(verdicts, *one), UNMARKED) for *one, _ in COLUMNS]
        lines.append([name, f"{weights(runs.dataset):,}", counts(runs.dataset), span(factor, ".2f"), *cells])
    return table(head, lines)


def gates(found):
    """What the claims' gate says, and what the mean gradient makes of p V/(R T)."""
    for name, (runs, verdicts, _) in found.items():
        _, _, table = virial(runs)
        share = table.values("grad_mean_sq") / table.values("grad_variance")
        said = find(verdicts, "V3", "^Maxwell relation")
        yield f"- **{name}**: |∇L|²/tr Σ {span(share, '.2f')}. V3 {said.verdict}: {said.reason}."


def draw(found):
    """Left: p V/(R T) of every run over what the remainder makes of it. Right: drifts over the mean remainder."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    for name, (runs, verdicts, _) in found.items():
        part, size = SETTINGS.get(name, ("control", 1.0))
        predicted, factor, _ = virial(runs)
        fill = INK[part] if size in (0.0, 1.0) else "w"
        marker = "x" if part == "control" else {0.03: "^", 0.1: "s", 0.3: "D"}.get(size, "o")
        left.plot(predicted, factor, marker, color=INK[part], mfc=fill, ms=4, label=name)
        mean = max(abs(find(verdicts, "V9", DEFECT).measured), LEAST)
        drifts = (
            (find(verdicts, "V3", "^Maxwell relation"), 1.0),
            (find(verdicts, "V1", "Slope of log r"), 0.5),
        )
        for (one, theory), shape in zip(drifts, ("o", "s"), strict=True):
            drift, half = one.measured / theory - 1, (one.high - one.low) / 2 / theory
            right.errorbar(mean, drift, half, fmt=shape, color=INK[part], mfc=INK[part] if shape == "o" else "w", ms=5)
    left.set(xscale="log", yscale="log")
    ends = np.array(left.get_xlim())
    left.plot(ends, ends, color="0.6", lw=1, zorder=0)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(FixedLocator([1, 1.5, 2, 3, 5, 8]))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    left.set(xlabel="1 − E[w·∇L]/(2 R T)", ylabel="p V/(R T)")
    left.legend(frameon=False, fontsize=7)
    right.axhline(0, color="0.6", lw=1)
    right.axhspan(-0.05, 0.05, color="0.93", zorder=0)
    (
        right.plot([], [], "ko", label="V3, Maxwell relation"),
        right.plot([], [], "ks", mfc="w", label="V1, slope of log r"),
    )
    right.set(
        xscale="log", xlabel=f"|E[w·∇L]|/(2 R T), mean over runs (at least {LEAST:g})", ylabel="relative deviation"
    )
    right.legend(frameon=False, fontsize=8)
    save(figure, "remainder")


def main():
    """Run what is not there yet and write the page."""
    given = asked()
    svg_style("remainder")
    names = {f"remainder-{name}": name for name in SETTINGS} | {name: name for name in CONTROLS}
    there, missing = available(names, given)
    found = {names[experiment]: judged(experiment, given.runs) for experiment in there}
    draw(found)
    write("remainder", rows=rows(found), gates=gates(found), missing=missing)


if __name__ == "__main__":
    main()
