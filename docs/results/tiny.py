"""Runs the networks that are small enough to mix and writes docs/results/tiny.md; an hour of one core.

python docs/results/tiny.py --runs runs
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
from tables import FIGURES, asked, cell, directions, find, judged, table, write
from tiny_states import basins, fluctuations, gibbs, noise_shape

from empirics import compare

#: Temperatures at which the Gibbs law itself is simulated, and whose they are.
GIBBS_RANGES = {
    (0.0011, 0.005): "",
    (0.004, 0.02): " (those of `tiny-rms-added-95`)",
    (0.01, 0.06): " (those of `tiny-rms-added-99`)",
}
ADDED = tuple(f"tiny-rms-added-{share}" for share in (50, 80, 90, 95, 99))
LARGER = tuple(f"tiny-rms-{share}" for share in (50, 80, 90, 95))
OTHERS = (
    *("tiny-rms-gain", "tiny-layer", "tiny-layer-added-90", "tiny-batch", "tiny-batch-added-80"),
    *("tiny-rms-60", "tiny-rms-200", "tiny-rms-tanh", "tiny-rms-isotropic"),
)

#: Column, claim and a regular expression for the title of its form.
COLUMNS = (
    ("V1 slopes", "V1", "^Slope of log r"),
    ("V3", "V3", "^Maxwell relation"),
    ("∫T dS/ΔU (V5)", "V5", "^First law"),
    ("∫(Var L/T²)dT/ΔU (V5)", "V5", "^Fluctuations"),
    ("V2: offset of the minimum", "V2", "U [-−] T ?S"),
    ("V6", "V6", "gradient over T"),
    ("identity beside V6", "V6", "gradient over half"),
)
#: The trial (LayerNorm, another head) beside them: isotropic share, ratio.
TRIAL = {
    "∫T dS/ΔU": [(0, 0.824), (0.49, 0.880), (0.79, 0.962), (0.95, 0.993)],
    "∫(Var L/T²)dT/ΔU": [(0, 4.69), (0.49, 1.94), (0.79, 1.20), (0.95, 0.99)],
}
MARKS = {"agrees": "", "disagrees": "✗", "inconclusive": "?", "refused": "⊘"}


class Variant:
    """An experiment with its verdicts and the shape of its noise."""

    def __init__(self, name, folder):
        self.name = name
        self.runs, self.verdicts, _ = judged(name, folder)
        self.directions = directions(self.runs.dataset)
        self.shape, added = noise_shape(name)
        self.share = added / float(self.runs.dataset["grad_variance_unit"].mean())

    def at_the_same_rates(self):
        """The runs of it whose rates are in the other grids: the five highest of each."""
        data, other = self.runs.dataset, copy.copy(self)
        chosen = [data[rate].values >= np.unique(data[rate].values)[-5] for rate in ("lr", "weight_decay")]
        other.name, other.verdicts = f"{self.name}` (same rates)`", compare(data.isel(run=np.logical_and(*chosen)))
        return other

    def row(self):
        """A line of the matrix: what it is, and a verdict for each form."""
        cells = [f"`{self.name}`".replace("``", ""), f"{self.directions}", f"{self.share:.2f}", f"{self.shape:.2f}"]
        return [*cells, *(cell(find(self.verdicts, *one), MARKS) for _, *one in COLUMNS)]


def basin_table(variants):
    """Cosines of mean directions, between seeds and within a run."""
    head = ["experiment", "between seeds, median", "lowest tenth", "halves of one run, median", "lowest tenth"]
    kept = (one for one in variants if "weights" in one.runs.tree["snapshots"])
    return table(head, ([f"`{one.name}`", *(f"{c:.3f}" for c in basins(one.runs))] for one in kept))


def fluctuation_table(*variants):
    """Where the fluctuations of the loss come from."""
    found = {one.name: fluctuations(one.runs, one.name) for one in variants}
    rows = ([f"`{name}`", *(f"{value:.3g}" for value in row.values())] for name, row in found.items())
    return table(["experiment", *found["tiny-rms"]], rows)


def gibbs_table(folder):
    """What the estimators make of a true Gibbs law, at the temperatures of `tiny-rms` and of noise added."""
    rows = []
    for (low, high), words in GIBBS_RANGES.items():
        found = gibbs("tiny-rms", low, high, folder).values()
        cells = [f"{value:.3f} ± {1.96 * error:.3f}" for value, error in found]
        rows.append([f"T from {low:g} to {high:g}{words}", *cells])
    head = ["simulated Gibbs law on the loss of `tiny-rms`", "∫(Var L/T²)dT/ΔU", "∫T dS/ΔU by neighbours"]
    return table(head, rows)


def figure(added, larger):
    """The ratios over the isotropic share, beside the trial's."""
    chosen = {"∫T dS/ΔU": COLUMNS[2], "∫(Var L/T²)dT/ΔU": COLUMNS[3], "V6": COLUMNS[5]}
    drawing, axes = plt.subplots(figsize=(6.8, 4.2))
    for colour, (label, (_, *which)) in zip(("C0", "C3", "C2"), chosen.items(), strict=True):
        for variants, style, filled in ((added, "o-", colour), (larger, "s:", "white")):
            verdicts = [find(one.verdicts, *which) for one in variants]
            values = np.array([v.measured for v in verdicts])
            error = np.array([[v.measured - v.low, v.high - v.measured] for v in verdicts]).T
            words = f"{label}, {'noise added' if variants is added else 'larger minibatches'}"
            shares = [one.share for one in variants]
            axes.errorbar(shares, values, error, fmt=style, color=colour, mfc=filled, ms=4, capsize=3, label=words)
        if label in TRIAL:
            axes.plot(*zip(*TRIAL[label], strict=True), "x", color=colour, ms=7, label=f"{label}, trial (LayerNorm)")
    axes.axhspan(0.95, 1.05, color="0.85", label="1 ± 0.05")
    axes.set(xlabel="isotropic share of tr Σ", ylabel="ratio, 1 under the Gibbs law", yscale="log", ylim=(0.6, 9))
    axes.set_yticks([0.7, 1, 1.5, 2, 3, 5], ["0.7", "1", "1.5", "2", "3", "5"], minor=False)
    axes.minorticks_off()
    axes.legend(fontsize=7, ncols=2, loc="upper right")
    drawing.tight_layout()
    drawing.savefig(FIGURES / "tiny-shares.png", dpi=110, metadata={"Software": None})
    plt.close(drawing)


def main():
    """Run what is not there yet and write the page."""
    folder = asked().runs
    variants = {name: Variant(name, folder) for name in ("tiny-rms", *ADDED, *LARGER, *OTHERS)}
    every = list(variants.values())
    same = variants["tiny-rms"].at_the_same_rates()
    figure(*([same, *(variants[name] for name in names)] for names in (ADDED, LARGER)))
    head = ["experiment", "m", "isotropic share", "participation of Σ / m", *(name for name, *_ in COLUMNS)]
    write(
        "tiny",
        variants=table(head, (one.row() for one in (every[0], same, *every[1:]))),
        fluctuations=fluctuation_table(variants["tiny-rms"], variants["tiny-rms-tanh"]),
        gibbs=gibbs_table(folder),
        basins=basin_table(every),
    )


if __name__ == "__main__":
    main()
