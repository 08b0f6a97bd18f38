"""Test accuracy against temperature, entropy and curvature; schedules at equal steps; averages of weights."""

import averaging
import matplotlib.pyplot as plt
import numpy as np
import schedules
from scipy import stats
from stored import EXPERIMENTS, record_study
from tables import bracketed, directions, folded, mean_interval, save, student, table, usable

GRIDS = {"fixed LR": "generalisation-lr", "fixed ELR": "generalisation-elr", "sphere": "generalisation-sphere"}

#: Whose snapshots are averaged; the network of one basin; and the study of schedules and of the best rate.
AVERAGED, BASIN, STUDY = "generalisation-elr", "averaging-tiny", "generalisation"
NAMES = (*GRIDS.values(), BASIN, STUDY)

#: What test accuracy is compared with.
QUANTITIES = {
    "temperature": "T",
    "entropy_sphere": "S of the directions",
    "entropy_sphere_theiler": "S with a Theiler window",
    "entropy": "S of the weights",
    "laplacian": "tr H",
    "loss": "training loss",
}
RESAMPLES = 2_000


# ----------------------------------------------------------------------------------------------------- over the grid
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
    """By quantity: number of runs, over all runs, and along orbits alone."""
    orbits, accuracy, found = orbit(data), data["test_accuracy"].values, {}
    for name in QUANTITIES:
        values = data[name].values
        there = np.isfinite(values) & np.isfinite(accuracy)
        if there.sum() >= 8:
            left = [within(one[there], orbits[there]) for one in (values, accuracy)]
            pair = (rank_correlation(values[there], accuracy[there]), rank_correlation(*left))
            found[name] = [int(there.sum()), *pair]
    return found


def reduce(runs):
    """Rank correlations, and losses of averages where snapshots are kept."""
    name = runs.experiment.name
    if name == BASIN:
        return averaging.tiny(runs)
    averages = {"averages": averaging.large(runs)} if name == AVERAGED else {}
    return {"correlations": correlations(usable(runs))} | averages


def correlation_table(grids):
    """Table of rank correlations of test accuracy, at fixed protocol."""
    rows = [
        [title, QUANTITIES[quantity], str(n), bracketed(*whole, "+.2f"), bracketed(*left, "+.2f")]
        for title, one in grids.items()
        for quantity, (n, whole, left) in one.more["generalisation"]["correlations"].items()
    ]
    return table(["protocol", "quantity", "runs", "all runs", "along orbits (equal T)"], rows)


def temperature_table(grids):
    """Table of means by orbit, that is, by T."""
    shown = ("temperature", "loss", "accuracy", "test_accuracy", "test_loss", "laplacian", "entropy_sphere_theiler")
    head = ["protocol", "runs", "T", "training loss", "accuracy", "test accuracy", "test loss", "tr H"]
    rows = []
    for title, one in grids.items():
        data = usable(one)
        orbits, gas_constant = orbit(data), directions(data) / 2
        for each in np.unique(orbits):
            here = orbits == each
            cells = [data[name].values[here] / (gas_constant if "entropy" in name else 1) for name in shown]
            rows.append([title, str(here.sum()), *map(mean_interval, cells)])
    return table([*head, "S of directions / R"], rows)


# -------------------------------------------------------------------------------------------------------------- study
def study(folder):
    """Train under every schedule and on every split, and store the losses."""
    more = {"schedules": schedules.study(folder), "rates": averaging.best_rates(folder, averaging.FIRST)}
    more["rates again"] = averaging.best_rates(folder, averaging.AGAIN)
    sources = (EXPERIMENTS / "schedules.toml", EXPERIMENTS / "averaging-rates.toml", schedules.__file__)
    record_study(STUDY, more, sources)


# ------------------------------------------------------------------------------------------------------------ figures
def draw(found):
    """All figures of the page."""
    kept = found[STUDY].more[STUDY]
    draw_grid({title: usable(found[name]) for title, name in GRIDS.items()})
    draw_averages(found[AVERAGED], kept["rates"])
    draw_schedules(kept["schedules"]["tuned"])


def draw_grid(grids):
    """Test accuracy and tr H against T, and test accuracy against S, by protocol."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2))
    for (title, data), marker in zip(grids.items(), "os^", strict=True):
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
    save(figure, "generalisation-grid", "png", dpi=110)


def draw_averages(one, rates):
    """Test loss of one snapshot and of averages against the effective learning rate."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    of_run, kept = one.dataset["effective_lr"].values, one.more["generalisation"]["averages"]
    shown = np.unique(of_run[[int(i) for i in kept]])
    for k, count in enumerate(averaging.LARGE):
        values = [[run["results"][k][1] for i, run in kept.items() if of_run[int(i)] == rate] for rate in shown]
        axes[0].errorbar(shown, *student_of(values), marker="o", ms=3, lw=1, label=f"N = {count}")
    axes[0].set_title(one.name, fontsize=9)
    for k, count in enumerate((averaging.LARGE[0], averaging.LARGE[-1])):
        mean, half = student(np.array(rates["losses"])[:, k].T)
        axes[-1].errorbar(rates["rates"], mean, half, marker="o", ms=3, lw=1, label=f"N = {count}", color=f"C{3 * k}")
    axes[-1].set_title(f"{len(rates['losses'])} splits x 6 seeds", fontsize=9)
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="effective lr", ylabel="test loss (nat)")
        ax.yaxis.set_major_formatter("{x:.2g}")
        ax.yaxis.set_minor_formatter("{x:.2g}")
        ax.xaxis.set_minor_formatter("")
        ax.legend(fontsize=7)
    save(figure, "generalisation-averages", "png", dpi=110)


def student_of(values):
    """Means and half intervals of lists of unequal length."""
    return np.transpose([student(one) if len(one) > 1 else (one[0], 0.0) for one in values])


def draw_schedules(tuned):
    """Test loss at the end by schedule, the best learning rate of each and all of them."""
    figure, axes = plt.subplots(1, len(tuned), figsize=(11, 5.2), sharey=True)
    for ax, (steps, by_name) in zip(axes, tuned.items(), strict=True):
        for k, rate in enumerate(schedules.Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr):
            pairs = [student(np.array(values)[k, :, 1]) for values in by_name.values()]
            places = np.arange(len(by_name)) + 0.2 * (k - 1)
            ax.errorbar([m for m, _ in pairs], places, xerr=[e for _, e in pairs], fmt="o", ms=4, label=f"lr {rate:g}")
        ax.set_yticks(range(len(by_name)), list(by_name), fontsize=7)
        ax.set(xlabel="test loss at the end (nat)", title=f"{int(steps):,} steps")
    axes[0].legend(fontsize=7)
    axes[0].invert_yaxis()
    save(figure, "generalisation-schedules", "png", dpi=110)


# --------------------------------------------------------------------------------------------------------------- page
def still(condition, words):
    """Words that say a condition, while it is met.

    Raises
    ------
    ValueError
        If it no longer is: then the page is to be rewritten.
    """
    if not condition:
        raise ValueError(f"no longer so: {words}")
    return words


def headline(found):
    """Numbers of the first finding: correlations over the grid, and what is left at equal T."""
    tables = {title: found[name].more["generalisation"]["correlations"] for title, name in GRIDS.items()}
    shown = {}
    for quantity, key in (
        ("temperature", "heat"),
        ("laplacian", "sharp"),
        ("loss", "fit"),
        ("entropy_sphere", "order"),
    ):
        values = [one[quantity][1] for one in tables.values()]
        shown[key] = "{:+.2f}, {:+.2f} and {:+.2f}".format(*(value for value, *_ in values))
        shown[f"{key}_interval"] = bracketed(*values[0], "+.2f")
    left = {(title, key): one[2] for title, each in tables.items() for key, one in each.items()}
    beyond = {pair: one for pair, one in left.items() if not one[1] <= 0 <= one[2]}
    plain = not {key for _, key in beyond} & {"temperature", "laplacian", "loss"}
    sharper = [one["laplacian"][1][1] > 0 for one in tables.values()]
    return shown | {
        "left": f"{len(left) - len(beyond)} of {len(left)}",
        "beyond": "; ".join(f"{QUANTITIES[key]}, {of}: {bracketed(*one, '+.2f')}" for (of, key), one in beyond.items()),
        "left_sharp": bracketed(*tables["fixed LR"]["laplacian"][2], "+.2f"),
        "sharper": still(all(sharper), "sharper minima generalise better"),
        "nothing_left": still(plain, "nothing of it is left at equal temperature"),
    }


def of_schedules(kept):
    """What the text says of the schedules, while it is so."""
    said = list(schedules.verdicts(kept))
    named = {
        f"schedule_{rival.split()[0]}_{steps}": f"{mean:+.4f} ± {half:.4f}" for steps, rival, mean, half, _ in said
    }
    named |= {f"schedule_{rival.split()[0]}_{steps}_said": word for steps, rival, _, _, word in said}
    constant = schedules.apart(kept, schedules.BUDGETS[0], "entropy rate, 6.9 R in all, isobar")
    known = ("steps of 1/10 at 1/2 and 3/4", "linear", "cooldown over the last half", "the same, weight decay with it")
    beside = np.concatenate([schedules.apart(kept, steps, name) for steps in schedules.BUDGETS for name in known])
    largest = [
        name for rivals in kept["judged"].values() for name, *_ in rivals.values() if name.startswith("entropy as")
    ]
    falls = f"share^{schedules.EXPONENTS[-1]},"
    return named | {
        "constant_fails": still((constant[:, 0] > constant[:, 1]).all(), "fails"),
        "constant_by": f"{constant[:, 0].min():.3f} to {constant[:, 0].max():.3f}",
        "known_zero": f"{(np.abs(beside[:, 0]) <= beside[:, 1]).sum()} of {len(beside)}",
        "known_most": f"{np.abs(beside[:, 0]).max():.3f}",
        "largest": still(all(falls in name for name in largest), "The largest exponent was chosen at both lengths"),
    }


def of_averages(one):
    """What averages gain in test loss by rate, means over runs, while it is a gain at all rates but the highest."""
    rates = one.dataset["effective_lr"].values
    kept = {int(i): run["results"] for i, run in one.more["generalisation"]["averages"].items()}
    found = {rate: [of[0][1] - of[-1][1] for i, of in kept.items() if rates[i] == rate] for rate in np.unique(rates)}
    gains = [float(np.mean(of)) for of in found.values() if of]
    words = "averages of 64 gain at every rate but the highest"
    return {"gain_by_rate": still(min(gains[:-1]) > 0 > gains[-1], words)}


def parts(found):
    """What words/generalisation.md asks for."""
    kept = found[STUDY].more[STUDY]
    grids = {title: found[name] for title, name in GRIDS.items()}
    basin = found[BASIN]
    averages = averaging.large_lines(found[AVERAGED].dataset, found[AVERAGED].more["generalisation"]["averages"])
    return (
        headline(found)
        | averaging.best_rate(kept["rates"])
        | {f"again_{name[5:]}": words for name, words in averaging.best_rate(kept["rates again"]).items()}
        | averaging.ranges(basin.dataset, basin.more["generalisation"])
        | of_schedules(kept["schedules"])
        | of_averages(found[AVERAGED])
        | {
            "correlations": folded("Rank correlations of test accuracy", correlation_table(grids)),
            "temperatures": folded("Means by temperature", temperature_table(grids)),
            "schedule_verdicts": schedules.verdict_lines(kept["schedules"]),
            "schedules": folded("Every schedule, on the seeds of the choice", schedules.lines(kept["schedules"])),
            "basin": folded("Averages in one basin", averaging.tiny_lines(basin.dataset, basin.more["generalisation"])),
            "lowest": f"{basin.more['generalisation']['lowest']:.5f}",
            "averages": folded("Averages in the digits network", averages),
            "rates": folded("The best rate for averages", averaging.best_rate_lines(kept["rates"])),
        }
    )
