"""Runs what generalisation is judged on and writes docs/results/generalisation.md; a quarter of an hour of one core.

python docs/results/generalisation.py --runs runs
"""

import averaging
import matplotlib as mpl
import numpy as np
import schedules
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
            pairs = [schedules.interval(values[k, :, 1]) for values in by_name.values()]
            places = np.arange(len(by_name)) + 0.2 * (k - 1)
            ax.errorbar([m for m, _ in pairs], places, xerr=[e for _, e in pairs], fmt="o", ms=4, label=f"lr {rate:g}")
        ax.set_yticks(range(len(by_name)), list(by_name), fontsize=7)
        ax.set(xlabel="test loss at the end (nat)", title=f"{steps:,} steps")
    axes[0].legend(fontsize=7)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)


FINDINGS = """\
- **Over the grid everything is one order, that of T.** Rank correlation of test accuracy, at a fixed learning rate, a
  fixed effective rate and on the sphere, with T: -.96, -.91, -.91; with the entropy of directions -.95, -.92, -.91;
  with the training loss -.96, -.95, -.92; and with tr H **+.88, +.91, +.91**: colder runs fit better and are sharper,
  so here the sharper ones generalise better.
- **At equal T nothing is left** of any of these: every interval along orbits contains 0. The entropy of the weights
  differs along an orbit by (d - 1) log r, which says nothing about the function; neither does S beyond T.
- Below T = 3e-5 colder is not better: test accuracy stays at .93 to .94, the training loss at .32 to .33. Above, it
  falls, along one curve under all three protocols but for the hottest runs at a fixed effective rate; on the sphere
  at effective rates of .1 and above the network has molten: accuracy .35 and .18, S at its largest, -3.8 R.
- On few data, where runs interpolate or jump, neither T nor tr H goes with test accuracy (width 32: +.35 [-.15, +.71]
  and -.16 [-.57, +.29]; width 64: +.41 [-.08, +.72] and -.39 [-.70, +.11]). One of sixty correlations stands out,
  between S and accuracy of runs of equal rate at width 64, +.82 [+.55, +.91]; width 32 does not repeat it (+.06
  [-.38, +.51]).
- **A constant entropy rate is no good schedule here.** With constant heat capacity it is an exponential decay of the
  learning rate. At 2,500 steps it loses to cosine at all three learning rates (test loss +.012 to +.039 for 6.9 R in
  all, +.005 ± .009 to +.017 for 4.6 R), at 10,000 steps by +.002 to +.012, of which six of nine intervals contain 0.
  At equal lag (lr as 1/t) it is worse still, +.012 to +.143. The loss shrinks with the learning rate and with the
  number of steps: these schedules are cold too early, while the run is still on its way.
- Steps, linear and cooldowns over the last half do as well as cosine (differences within ± .007, all 24 intervals
  contain 0); falling weight decay makes no difference to the cooldown. A constant rate costs .03 to .05 at lr of .1
  and .32.
- **Averages in one basin**: a sample loses .80 to .96 R T over the centre of its own cloud (theory 1, for a quadratic
  well), and averages of N lose that over N times .7 to 1.1: the law holds within a third. (This comparison was
  chosen after 1/N had failed against the lowest loss, which was the one committed.) But the centre is not where
  the loss is least: it loses .4 to .7 R T itself, and lies a squared distance of .7 to 1 rad² away along a flat
  valley, with samples that spread over .015 to .33 rad² about it. So the average ends at about half of R T, not at 0,
  however many samples there are: the potential that anisotropic noise samples is not the loss.
- **Averages in the digits network** gain at every rate but the highest: at .032 the training loss falls from .395 to
  .320 with N = 64 (predicted from R T .328). Best for averages is an effective rate of .01 (test loss .377 ± .008,
  accuracy .959), the coldest has .393 ± .016 and single snapshots .401 to .405 up to there: a hint of an optimum that
  is hotter than that of a single snapshot, within overlapping intervals. At .056 the average is worse than its
  samples (1.20 against .83): they are not in one basin. These runs have a loss floor and no threshold of convergence.
  On few data there is one (width 32: runs interpolate up to .006 and jump from .01 on), and below it averages change
  nothing, the run does not move; the best test loss and accuracy, of samples and averages, are at the highest rate
  that does not diverge, .032: .72 ± .14 and .80 after averaging, where cold runs have .85 to 1.17 and .72 to .76.
  That is the order of Sadrtdinov et al. 2024, above the threshold; three runs a rate do not separate neighbours.
- `empirics.steering.averaging.hint` says "does not pay" up to a rate of .018, where averaging does: it was given the
  memory of directions, which is that of the softest ones; the stiff ones that carry the loss forget sooner.
""".splitlines()

WORDS = """# Entropy, curvature and generalisation

Digits with three tenths held out, the demo's network (1,232 weights), two seeds, three protocols; the few-data runs of
[width](width.md) beside them. Then schedules at equal steps, and averages. `make results-generalisation` runs all of it
and writes this page; experiments, schedules and quantities were committed before the runs. Intervals are 95 %.

In these runs all weights counted as one sphere (R = 615.5); counted by filter, as runs do now, R is 600 and T 2.6 %
higher. The network of the averages in one basin has one sphere.

What came out:

@FINDINGS

Not judged: "along orbits" asks what is left between runs of equal effective rate (or lr x weight decay), which have the
same law by symmetry: a correlation there is one between single runs that have not mixed. Entropies of runs without 50
independent samples are path entropies, and go with the rate whatever the landscape. Losses in the tables of schedules
and averages are those of a network in use (BatchNorm statistics of all training samples), lower than those of
minibatches.

""".splitlines()


def main():
    """Run what is not there yet and write the page."""
    given = asked()
    named, planned = (
        GRIDS | FEW,
        [schedules.experiment(k, n).name for n in schedules.BUDGETS for k in schedules.NUMBERS],
    )
    everything = (*named.values(), "averaging-tiny", *planned)
    shown, missing = available(everything, given)
    runs = {
        name: empirics.run(EXPERIMENTS / f"{name}.toml", given.runs / name) for name in shown if name not in planned
    }
    grids = {title: usable(runs[name]) for title, name in named.items() if name in runs}
    words = [line for each in WORDS for line in (FINDINGS if each == "@FINDINGS" else [each])]
    lines = [*words, "## Over the grid", ""]
    lines += [f"- {title} (`{named[title]}`): {counts(runs[named[title]].dataset)}" for title in grids]
    lines += [
        "",
        *correlation_lines(grids),
        "",
        *temperature_lines(grids),
        "",
        "![grid](figures/generalisation-grid.png)",
        "",
    ]
    draw({title: grids[title] for title in GRIDS if title in grids}, FIGURES / "generalisation-grid.png")
    if set(planned) <= set(shown):
        found = schedules.study(given.runs)
        lines += ["## Schedules", "", "![schedules](figures/generalisation-schedules.png)", "", *schedules.lines(found)]
        draw_schedules(found, FIGURES / "generalisation-schedules.png")
    if "averaging-tiny" in runs:
        lines += ["## Averages in one basin", "", *averaging.tiny_lines(runs["averaging-tiny"]), ""]
    large = {name: (runs[name], averaging.large(runs[name])) for name in AVERAGED if name in runs}
    for name, (one, numbers) in large.items():
        lines += [f"## Averages: {name}", "", *averaging.large_lines(one, numbers), ""]
    if large:
        draw_averages(large, FIGURES / "generalisation-averages.png")
        lines += ["![averages](figures/generalisation-averages.png)", ""]
    write("generalisation.md", lines + missing)


if __name__ == "__main__":
    main()
