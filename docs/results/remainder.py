"""Networks that are not scale-invariant in all that is trained."""

import numpy as np
from remainder_networks import SETTINGS
from tables import INK, INKS, MUTED, cell, counts, find, folded, panels, save, says, span, table, ticks, weights

from empirics.claims import tables_of
from empirics.claims.compressibility import by_noise
from empirics.claims.gas import learning_rate, whatever_the_loss
from empirics.claims.virial import to_leading_order
from thermo_theory.palette import FAINT, PAPER

#: Marker, colour and words by what is not scale-invariant.
LOOKS = {
    "affine": ("o", INKS[0], "scales and shifts trained"),
    "head": ("s", INKS[1], "last layer trained"),
    "control": ("v", INKS[2], "controls, whole grid: scales and shifts; eps"),
    "biases": ("^", INKS[3], "biases trained"),
    "none": ("D", INKS[4], "none: scale-invariant"),
}

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

#: Of an experiment with more runs every second, third, ... is drawn.
MOST = 60
#: Remainders below this are drawn here.
LEAST = 1e-4


def virial(stored):
    """1 - remainder and p V/(R T) of every run, as claim V9 has them."""
    ((judged, _),) = tables_of(stored.dataset, ())
    runs = whatever_the_loss(judged)
    work = learning_rate(runs) * runs.values("grad_variance") / 4
    return to_leading_order(runs.values("radial_gradient"), work), by_noise(runs), runs


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
    sides = {experiment: virial(stored)[:2] for experiment, stored in found.items()}
    predicted, factor = (np.concatenate(parts) for parts in zip(*sides.values(), strict=True))
    title = f"pV/(RT) rises to {factor.max():.1f} where a network is not scale-invariant, as its remainder predicts "
    title += f"(measured over predicted {np.median(factor / predicted):.2f}, median: the mean gradient adds to it)"
    figure, (left, right) = panels(title, height=3.9)
    for experiment, stored in found.items():
        name, verdicts = experiment.removeprefix("remainder-"), stored.verdicts
        part, _ = SETTINGS.get(name, ("control", 1.0))
        marker, ink, _ = LOOKS[part]
        some = slice(None, None, -(-len(sides[experiment][0]) // MOST))
        left.plot(*(side[some] for side in sides[experiment]), marker, color=ink, mfc="none", ms=4)
        mean = max(abs(find(verdicts, "V9", DEFECT).measured), LEAST)
        drifts = ((find(verdicts, "V3", "^Maxwell relation"), 1.0), (find(verdicts, "V1", "Slope of log r"), 0.5))
        for (one, theory), full in zip(drifts, (True, False), strict=True):
            drift, half = one.measured / theory - 1, (one.high - one.low) / 2 / theory
            right.errorbar(mean, drift, half, fmt=marker, color=ink, mfc=ink if full else PAPER, ms=5)
    left.set(xscale="log", yscale="log")
    reach = np.array([1, predicted.max() * 1.05])
    left.plot(reach, reach, color=INK, lw=1, zorder=0)
    says(left, "virial theorem", (4, 4), INK, (10, -8))
    for axis in (left.xaxis, left.yaxis):
        ticks(axis, [1, 1.5, 2, 3, 5, 8])
    left.set(xlabel="predicted, $1 - E[w\\cdot\\nabla L]/(2RT)$", ylabel="measured $pV/(RT)$")
    left.set_title("every run")
    for marker, ink, words in LOOKS.values():
        left.plot([], [], marker, color=ink, mfc="none", label=words)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    right.axhline(0, color=MUTED, lw=1)
    right.axhspan(-0.05, 0.05, color=FAINT, zorder=0, lw=0)
    right.plot([], [], "o", color=INK, label="full: Maxwell relation (V3)")
    right.plot([], [], "o", color=INK, mfc=PAPER, label="empty: slope of log r (V1)")
    right.set(xscale="log", xlabel=f"$|E[w\\cdot\\nabla L]|/(2RT)$, mean (at least {LEAST:g})")
    right.set_title("relative deviation, with 95 % intervals")
    right.legend(fontsize=8)
    alt = f"Left: pV/(RT) of every run, {span(factor)}, against what the remainder predicts. Right: "
    alt += "deviations of V3 and V1 "
    worst = max(abs(find(one.verdicts, "V3", "^Maxwell relation").measured - 1) for one in found.values())
    save(figure, "remainder", f"{alt}against the mean remainder, up to {worst:.2f}.")


def parts(found):
    """What words/remainder.md asks for."""
    return {
        "matrix": folded("Every experiment", matrix(found)),
        "gates": folded("Reasons for the verdicts on the Maxwell relation", gates(found)),
        "factors": span(np.concatenate([virial(found[f"remainder-{name}"])[1] for name in SETTINGS]), ".1f"),
    }
