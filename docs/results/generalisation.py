"""Runs what generalisation is judged on and writes docs/results/generalisation.md; a quarter of an hour of one core.

python docs/results/generalisation.py --runs runs
"""

import averaging
import matplotlib as mpl
import numpy as np
import schedules
import tables
from scipy import stats
from tables import EXPERIMENTS, FIGURES, asked, available, bracketed, counts, directions, mean_interval, table, write

import empirics

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FormatStrFormatter, NullFormatter

GRIDS = {"fixed LR": "generalisation-lr", "fixed ELR": "generalisation-elr", "sphere": "generalisation-sphere"}
FEW = {"fixed ELR, width 32, 128 samples": "width-32-elr", "fixed ELR, width 64, 128 samples": "width-64-elr"}

#: Whose snapshots are averaged.
AVERAGED = ("generalisation-elr", "width-32-elr")

#: What test accuracy is compared with.
QUANTITIES = {
    "temperature": "T",
    "entropy_sphere": "S of the directions",
    "entropy_sphere_theiler": "the same, Theiler window",
    "entropy": "S of the weights",
    "laplacian": "tr H",
    "loss": "training loss",
}
RESAMPLES = 2_000


def orbit(data):
    """What the runs' directions depend on by symmetry: lr x weight decay, or the effective lr."""
    protocol = str(np.atleast_1d(data["protocol"].values)[0])
    if protocol == "fixed-lr":
        found = data["lr"] * data["weight_decay"]
    else:
        found = data["effective_lr"] if protocol == "fixed-elr" else data["lr"] / data["radius"] ** 2
    return np.round(np.log(found.values), 6)


def within(values, orbits):
    """Ranks less their mean along each orbit: what is left is no matter of T."""
    ranks = stats.rankdata(values)
    return ranks - np.array([ranks[orbits == one].mean() for one in orbits])


def rank_correlation(x, y):
    """Spearman's, with the 95 % interval from resampled runs (BCa)."""
    found = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(stats.spearmanr(x, y).statistic), *map(float, found.confidence_interval)


def correlations(data):
    """By quantity: over all runs, and along orbits alone."""
    orbits, accuracy = orbit(data), data["test_accuracy"].values
    for name, words in QUANTITIES.items():
        values = data[name].values
        there = np.isfinite(values)
        if there.sum() < 8:
            continue
        whole = rank_correlation(values[there], accuracy[there])
        left = [within(one[there], orbits[there]) for one in (values, accuracy)]
        yield words, int(there.sum()), whole, rank_correlation(*left)


def correlation_lines(grids):
    """Table of rank correlations of test accuracy, at fixed protocol."""
    rows = [
        [title, words, str(n), bracketed(*whole, "+.2f"), bracketed(*left, "+.2f")]
        for title, data in grids.items()
        for words, n, whole, left in correlations(data)
    ]
    return table(["protocol", "quantity", "runs", "all runs", "along orbits (equal T)"], rows)


def temperature_lines(grids):
    """Table of means by orbit, that is, by T."""
    shown = ("temperature", "loss", "accuracy", "test_accuracy", "test_loss", "laplacian", "entropy_sphere_theiler")
    head = ["protocol", "runs", "T", "training loss", "accuracy", "test accuracy", "test loss", "tr H"]
    rows = []
    for title, data in grids.items():
        orbits, gas_constant = orbit(data), directions(data) / 2
        for one in np.unique(orbits):
            here = orbits == one
            cells = [data[name].values[here] / (gas_constant if "entropy" in name else 1) for name in shown]
            rows.append([title, str(here.sum()), *map(mean_interval, cells)])
    return table([*head, "S of directions / R"], rows)


def usable(runs):
    """The runs that count; of the widths' all that are finite, since those that interpolate are what is asked about."""
    data = runs.dataset
    status = data["status"].values
    return data.isel(run=np.flatnonzero(status != "diverged" if "width" in runs.experiment.name else status == "ok"))


def draw(grids, path):
    """Test accuracy and tr H against T, and test accuracy against S, by protocol."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for (title, data), marker in zip(grids.items(), "os^", strict=False):
        style = {"marker": marker, "ls": "", "ms": 4, "mfc": "none", "label": title}
        axes[0].plot(data["temperature"], data["test_accuracy"], **style)
        axes[1].plot(data["temperature"], data["laplacian"], **style)
        axes[2].plot(data["entropy_sphere_theiler"] / (directions(data) / 2), data["test_accuracy"], **style)
    for ax, (x, y) in zip(
        axes, (("T", "test accuracy"), ("T", "tr H (nat)"), ("S of directions / R", "")), strict=True
    ):
        ax.set(xlabel=x, ylabel=y)
    axes[0].set_xscale("log")
    axes[1].set(xscale="log", yscale="log")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_averages(named, path):
    """Test loss of one snapshot and of averages against the effective learning rate."""
    figure, axes = plt.subplots(1, len(named), figsize=(3.8 * len(named), 3.2), layout="constrained", squeeze=False)
    for ax, (title, (runs, found)) in zip(axes[0], named.items(), strict=True):
        rates = runs.dataset["effective_lr"].values
        shown = np.unique(rates[list(found)])
        for k, count in enumerate(averaging.LARGE):
            values = [[found[i]["results"][k, 1] for i in found if rates[i] == rate] for rate in shown]
            spread = [np.std(v, ddof=1) / np.sqrt(len(v)) for v in values]
            ax.errorbar(shown, [np.mean(v) for v in values], spread, marker="o", ms=3, lw=1, label=f"N = {count}")
        ax.set(xscale="log", yscale="log", xlabel="effective lr", ylabel="test loss (nat)", title=title)
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_minor_formatter(FormatStrFormatter("%.2g"))
        ax.title.set_fontsize(9)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_schedules(found, path):
    """Test loss at the end by schedule, the best learning rate of each and all of them."""
    figure, axes = plt.subplots(1, len(found), figsize=(11, 3.6), layout="constrained", sharey=True)
    for ax, (steps, by_name) in zip(axes, found.items(), strict=True):
        for k, rate in enumerate(schedules.Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr):
            pairs = [tables.student(values[k, :, 1]) for values in by_name.values()]
            places = np.arange(len(by_name)) + 0.2 * (k - 1)
            ax.errorbar([m for m, _ in pairs], places, xerr=[e for _, e in pairs], fmt="o", ms=4, label=f"lr {rate:g}")
        ax.set_yticks(range(len(by_name)), list(by_name), fontsize=7)
        ax.set(xlabel="test loss at the end (nat)", title=f"{steps:,} steps")
    axes[0].legend(fontsize=7)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    """Run what is not there yet and write the page."""
    given = asked()
    named, parts = GRIDS | FEW, dict.fromkeys(("schedules", "basin"), ())
    planned = [schedules.experiment(k, n).name for n in schedules.BUDGETS for k in schedules.NUMBERS]
    everything = (*named.values(), "averaging-tiny", *planned)
    shown, missing = available(everything, given)
    runs = {
        name: empirics.run(EXPERIMENTS / f"{name}.toml", given.runs / name) for name in shown if name not in planned
    }
    grids = {title: usable(runs[name]) for title, name in named.items() if name in runs}
    listed = [f"- {title} (`{named[title]}`): {counts(runs[named[title]].dataset)}" for title in grids]
    draw({title: grids[title] for title in GRIDS if title in grids}, FIGURES / "generalisation-grid.png")
    if set(planned) <= set(shown):
        found = schedules.study(given.runs)
        parts["schedules"] = ["## Schedules", "", "![schedules](figures/generalisation-schedules.png)", ""]
        parts["schedules"] += schedules.lines(found)
        draw_schedules(found, FIGURES / "generalisation-schedules.png")
    if "averaging-tiny" in runs:
        parts["basin"] = ["## Averages in one basin", "", *averaging.tiny_lines(runs["averaging-tiny"])]
    large, averages = {name: (runs[name], averaging.large(runs[name])) for name in AVERAGED if name in runs}, []
    for name, (one, numbers) in large.items():
        averages += [f"## Averages: {name}", "", *averaging.large_lines(one, numbers), ""]
    if large:
        draw_averages(large, FIGURES / "generalisation-averages.png")
        averages += ["![averages](figures/generalisation-averages.png)"]
    write(
        "generalisation",
        grids=listed,
        correlations=correlation_lines(grids),
        temperatures=temperature_lines(grids),
        **parts,
        averages=averages,
        missing=missing,
    )


if __name__ == "__main__":
    main()
