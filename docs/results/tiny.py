"""Runs the networks that are small enough to mix and writes docs/results/tiny.md; an hour of one core.

python docs/results/tiny.py --runs runs
"""

import argparse
import copy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tables import directions, judged, section, write
from tiny_states import basins, fluctuations, gibbs, noise_shape
from tiny_words import END, START, TRIAL

from empirics import compare

HERE = Path(__file__).parent

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

#: Column, claim and how the title of its form begins.
COLUMNS = (
    ("V1 slopes", "V1", "Slope of log r"),
    ("V3", "V3", "Maxwell relation, entropy as any function"),
    ("∫T dS/ΔU (V5)", "V5", "First law"),
    ("∫(Var L/T²)dT/ΔU (V5)", "V5", "Fluctuations"),
    ("V2: shift of the minimum", "V2", "Where U - T S"),
    ("V6", "V6", "Mean squared gradient over T"),
    ("identity beside V6", "V6", "Mean squared gradient over half"),
)
MARKS = {"agrees": "", "disagrees": " ✗", "inconclusive": " ?"}


class Variant:
    """An experiment with its verdicts and the shape of its noise."""

    def __init__(self, name, folder):
        self.name = name
        self.runs, self.verdicts, self.notes = judged(name, folder)
        self.directions = directions(self.runs.dataset)
        self.shape, added = noise_shape(name)
        self.share = added / float(self.runs.dataset["grad_variance_unit"].mean())

    def at_the_same_rates(self):
        """The runs of it whose rates are in the other grids: the five highest of each."""
        data, other = self.runs.dataset, copy.copy(self)
        chosen = [data[rate].values >= np.unique(data[rate].values)[-5] for rate in ("lr", "weight_decay")]
        other.name, other.verdicts = f"{self.name}` (same rates)`", compare(data.isel(run=np.logical_and(*chosen)))
        return other

    def of(self, claim, title):
        """The verdict on a form, None if it was not measured."""
        return next((v for v in self.verdicts if v.claim == claim and v.title.startswith(title)), None)

    def row(self):
        """A line of the table of all variants."""
        cells = [f"`{self.name}`".replace("``", ""), f"{self.directions}", f"{self.share:.2f}", f"{self.shape:.2f}"]
        return f"| {' | '.join([*cells, *(cell(self.of(*form)) for _, *form in COLUMNS)])} |"


def cell(verdict):
    """A measured value with half its interval, and a mark unless it agrees."""
    if verdict is None:
        return "–"
    half = (verdict.high - verdict.low) / 2
    digits = max(0, min(4, 1 - int(np.floor(np.log10(half))))) if half > 0 else 2
    return f"{verdict.measured:.{digits}f} ± {half:.{digits}f}{MARKS[verdict.verdict]}"


def table(variants):
    """One row a variant."""
    head = ["experiment", "m", "isotropic share", "participation of Σ / m", *(name for name, *_ in COLUMNS)]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(one.row() for one in variants), ""]


def facts(dataset):
    """What says whether the runs can be judged: mixing, stationarity, the share of the mean gradient."""
    share = dataset["grad_mean_sq_unit"] / (dataset["grad_mean_sq_unit"] + dataset["grad_variance_unit"])
    quantities = {
        "effective sample size": dataset["effective_sample_size"],
        "norm balance": dataset["balance"],
        "mean gradient's share of E|g|^2": share,
        "T": dataset["temperature"],
        "mean loss (nat)": dataset["loss"],
    }
    for name, values in quantities.items():
        low, middle, high = np.nanquantile(values, [0, 0.5, 1])
        yield f"- {name}: {low:.4g} to {high:.4g}, median {middle:.4g}"
    yield f"- path entropies: {float(dataset['path_entropy'].mean()):.0%}"


def basin_table(variants):
    """Cosines of mean directions, between seeds and within a run."""
    head = ["experiment", "between seeds, median", "lowest tenth", "halves of one run, median", "lowest tenth"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in variants:
        if "weights" in one.runs.tree["snapshots"]:
            lines.append(f"| `{one.name}` | {' | '.join(f'{c:.3f}' for c in basins(one.runs))} |")
    return [*lines, ""]


def fluctuation_table(*variants):
    """Where the fluctuations of the loss come from."""
    found = {one.name: fluctuations(one.runs, one.name) for one in variants}
    keys = list(found["tiny-rms"])
    lines = [f"| experiment | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    return [
        *lines,
        *(f"| `{name}` | {' | '.join(f'{v:.3g}' for v in row.values())} |" for name, row in found.items()),
        "",
    ]


def gibbs_table(folder):
    """What the estimators make of a true Gibbs law, at the temperatures of `tiny-rms` and of noise added."""
    lines = [
        "| simulated Gibbs law on the loss of `tiny-rms` | ∫(Var L/T²)dT/ΔU | ∫T dS/ΔU by neighbours |",
        "|---|---|---|",
    ]
    for (low, high), words in GIBBS_RANGES.items():
        found = gibbs("tiny-rms", low, high, folder).values()
        cells = [f"{value:.3f} ± {1.96 * error:.3f}" for value, error in found]
        lines.append(f"| T from {low:g} to {high:g}{words} | {' | '.join(cells)} |")
    return [*lines, ""]


def figure(added, larger):
    """The ratios over the isotropic share, beside the trial's."""
    chosen = {"∫T dS/ΔU": COLUMNS[2], "∫(Var L/T²)dT/ΔU": COLUMNS[3], "V6": COLUMNS[5]}
    drawing, axes = plt.subplots(figsize=(6.8, 4.2))
    for colour, (label, (_, *form)) in zip(("C0", "C3", "C2"), chosen.items(), strict=True):
        for variants, style, filled in ((added, "o-", colour), (larger, "s:", "white")):
            verdicts = [one.of(*form) for one in variants]
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
    drawing.savefig(HERE / "figures" / "tiny-shares.png", dpi=110, metadata={"Software": None})
    plt.close(drawing)


def main():
    """Run what is not there yet and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    folder = parser.parse_args().runs
    variants = {name: Variant(name, folder) for name in ("tiny-rms", *ADDED, *LARGER, *OTHERS)}
    every = list(variants.values())
    same = variants["tiny-rms"].at_the_same_rates()
    figure(*([same, *(variants[name] for name in names)] for names in (ADDED, LARGER)))
    lines = [
        *START,
        *table([every[0], same, *every[1:]]),
        "![Ratios over the isotropic share](figures/tiny-shares.png)",
        "",
    ]
    lines += [
        "## Where the fluctuations come from",
        "",
        *fluctuation_table(variants["tiny-rms"], variants["tiny-rms-tanh"]),
    ]
    lines += [*gibbs_table(folder), "## One basin or several", "", *basin_table(every), *END]
    for one in every:
        lines += ["<details>", f"<summary>{one.name}: all verdicts</summary>", ""]
        lines += section(one.name, one.runs, one.verdicts, "", *facts(one.runs.dataset))
        lines += [*(f"- {note}" for note in one.notes), "", "</details>", ""]
    write(HERE / "tiny.md", lines)


if __name__ == "__main__":
    main()
