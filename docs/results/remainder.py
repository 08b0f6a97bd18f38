"""Networks that are not scale-invariant in all that is trained."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from remainder_networks import SETTINGS
from tables import INKS, cell, counts, find, folded, save, span, svg_style, table, weights

from empirics.claims import claims, tables_of
from empirics.claims.gas import whatever_the_loss

INK = dict(zip(("affine", "head", "control", "biases", "none"), (*INKS[:4], INKS[6]), strict=True))

#: Controls of docs/results/controls.md that are not scale-invariant either, on the whole grid of digits.toml.
CONTROLS = ("control-affine", "control-eps")
NAMES = (*(f"remainder-{name}" for name in SETTINGS), *CONTROLS)

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

#: Remainders below this are drawn here.
LEAST = 1e-4


def virial(stored):
    """1 - remainder and p V/(R T) of every run, as claim V9 has them."""
    ((of_runs, _),) = tables_of(stored.dataset, claims().values())
    drawn = claims()["V9"].exhibits(of_runs)[0].series[0]
    return np.asarray(drawn.x), np.asarray(drawn.y), whatever_the_loss(of_runs)


def matrix(found):
    """A line for each experiment."""
    head = ["experiment", "weights", "runs", "pV/(RT)", "\\|∇L\\|²/tr Σ", *(one[2] for one in COLUMNS)]
    lines = []
    for name, stored in found.items():
        _, factor, runs = virial(stored)
        share = runs.values("grad_mean_sq") / runs.values("grad_variance")
        cells = [span(factor, ".2f"), span(share, ".2f")]
        cells += [cell(find(stored.verdicts, *one)) for *one, _ in COLUMNS]
        lines.append([f"`{name}`", f"{weights(stored.dataset):,}", counts(stored.dataset), *cells])
    return table(head, lines)


def gates(found):
    """Why there is a verdict on the Maxwell relation, or none."""
    for name, stored in found.items():
        said = find(stored.verdicts, "V3", "^Maxwell relation")
        yield f"- `{name}`: V3 {said.verdict}: {said.reason}."


def draw(found):
    """Left: p V/(R T) of every run over what the remainder makes of it. Right: drifts over the mean remainder."""
    svg_style("remainder")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    for experiment, stored in found.items():
        name, verdicts = experiment.removeprefix("remainder-"), stored.verdicts
        part, size = SETTINGS.get(name, ("control", 1.0))
        predicted, factor, _ = virial(stored)
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


def parts(found):
    """What words/remainder.md asks for."""
    return {
        "matrix": folded("Every experiment", matrix(found)),
        "gates": folded("Reasons for the verdicts on the Maxwell relation", gates(found)),
        "factors": span(np.concatenate([virial(found[f"remainder-{name}"])[1] for name in SETTINGS]), ".1f"),
    }
