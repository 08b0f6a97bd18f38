"""Test accuracy against temperature, entropy and curvature; schedules at equal steps; averages of weights."""

import averaging
import numpy as np
import schedules
from scipy import stats
from stored import EXPERIMENTS, record_study
from tables import bracketed, directions, folded, mean_interval, panels, save, span, student, table, ticks, usable

from thermo_theory.palette import FAINT, MUTED, SERIES

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
    correlated = [found[name].more["generalisation"]["correlations"] for name in GRIDS.values()]
    said = {key: span([one[key][1][0] for one in correlated], "+.2f") for key in ("temperature", "laplacian")}
    draw_grid({title: usable(found[name]) for title, name in GRIDS.items()}, said)
    draw_averages(found[AVERAGED], kept["rates"])
    draw_schedules(kept["schedules"]["tuned"])


def draw_grid(grids, said):
    """Test accuracy and tr H against T, and test accuracy against S, by protocol."""
    title = "Over the grid test accuracy falls as temperature rises, and so does curvature\n"
    title += f"rank correlation of accuracy with T: {said['temperature']}; with tr H: {said['laplacian']}"
    figure, axes = panels(title, columns=3, height=3.5)
    for (words, data), marker, ink in zip(grids.items(), "os^", SERIES, strict=False):
        style = {"marker": marker, "ls": "", "ms": 4, "mfc": "none", "color": ink, "label": words}
        axes[0].plot(data["temperature"], 100 * data["test_accuracy"], **style)
        axes[1].plot(data["temperature"], data["laplacian"], **style)
        axes[2].plot(data["entropy_sphere_theiler"] / (directions(data) / 2), 100 * data["test_accuracy"], **style)
    heat = "temperature $T$ (nat)"
    axes[0].set(xlabel=heat, ylabel="test accuracy, %", xscale="log")
    axes[1].set(xlabel=heat, ylabel="$\\mathrm{tr}\\,H$ at unit norm (nat)", xscale="log", yscale="log")
    ticks(axes[1].yaxis, [500, 1000, 2000, 5000], "{x:,.0f}")
    axes[2].set(xlabel="entropy of directions, $S/R$", ylabel="test accuracy, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    alt = "Test accuracy and tr H against temperature, test accuracy against entropy. Rank correlation of "
    alt += "accuracy with T: "
    save(
        figure,
        "generalisation-grid",
        f"{alt}{said['temperature']}; with tr H: {said['laplacian']} ({', '.join(grids)}).",
    )


def draw_averages(one, rates):
    """What an average of N snapshots gains in test loss over one, against the effective learning rate."""
    of_run, kept = one.dataset["effective_lr"].values, one.more["generalisation"]["averages"]
    shown = np.unique(of_run[[int(i) for i in kept]])
    gains = {}
    for k, count in enumerate(averaging.LARGE[1:], start=1):
        of_rate = [[run for i, run in kept.items() if of_run[int(i)] == rate] for rate in shown]
        each = [[run["results"][0][1] - run["results"][k][1] for run in runs] for runs in of_rate]
        gains[count] = student_of(each)
    losses = np.array(rates["losses"])
    paired = student((losses[:, 0] - losses[:, -1]).T)
    last, (best, half) = averaging.LARGE[-1], (one[np.argmax(paired[0])] for one in paired)
    title = f"An average of {last} snapshots gains up to {best:.3f} ± {half:.3f} nat of test loss over one;\n"
    title += f"far above the best rate it loses ({gains[last][0][-1]:+.2f} nat at an effective learning rate "
    title += f"of {shown[-1]:.2g})"
    figure, axes = panels(title, height=3.6)
    for (count, pair), ink, marker in zip(gains.items(), SERIES, "^so", strict=False):
        shift = 1.04 ** (list(gains).index(count) - 1)
        axes[0].errorbar(shown * shift, *pair, marker=marker, ms=4, lw=1, color=ink, label=f"N = {count}")
    axes[0].set_title("one split")
    axes[0].set_yscale("symlog", linthresh=0.02)
    axes[1].errorbar(rates["rates"], *paired, marker="o", ms=4, lw=1, color=SERIES[2], label=f"N = {last}")
    axes[1].set_title(f"{len(losses)} splits, 6 seeds each")
    for axis in axes:
        axis.axhline(0, color=MUTED, lw=0.8)
        axis.set(xscale="log", xlabel="effective learning rate", ylabel="gain in test loss over N = 1 (nat)")
        axis.legend(loc="lower left" if axis is axes[0] else "upper left")
    ticks(axes[0].xaxis, [0.003, 0.01, 0.03])
    ticks(axes[0].yaxis, [-1, -0.3, -0.1, -0.02, 0, 0.02, 0.1])
    alt = (
        f"Gain in test loss of averages over single snapshots, with 95 % intervals: up to {best:.3f} ± {half:.3f} nat "
    )
    alt += f"for {last} snapshots, {gains[last][0][-1]:+.2f} nat at the highest rate."
    save(figure, "generalisation-averages", alt)


def student_of(values):
    """Means and half intervals of lists of unequal length."""
    return np.transpose([student(one) if len(one) > 1 else (one[0], 0.0) for one in values])


def draw_schedules(tuned):
    """Test loss at the end by schedule, at every learning rate."""
    rates = schedules.Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr
    best = {
        steps: {name: np.array(values)[:, :, 1].mean(1).min() for name, values in by_name.items()}
        for steps, by_name in tuned.items()
    }
    above = {
        name: [one[name] - min(one.values()) for one in best.values()]
        for name in dict.fromkeys(n for one in best.values() for n in one)
    }
    lag = next(name for name in above if name.startswith("equal lag"))
    rest = max(max(of) for name, of in above.items() if name != lag)
    title = f"At its best learning rate every schedule ends within {rest:.3f} nat of the best one, "
    title += f"but for equal lag ({span(above[lag], '.3f')} above it)"
    figure, axes = panels(title, columns=len(tuned), height=5.6, sharey=True)
    for axis, (steps, by_name) in zip(axes, tuned.items(), strict=True):
        for k, (rate, ink, marker) in enumerate(zip(rates, SERIES, "os^", strict=False)):
            pairs = [student(np.array(values)[k, :, 1]) for values in by_name.values()]
            places, looks = np.arange(len(by_name)) + 0.2 * (k - 1), {"fmt": marker, "ms": 3.5, "color": ink}
            axis.errorbar([m for m, _ in pairs], places, xerr=[e for _, e in pairs], label=f"lr {rate:g}", **looks)
        axis.set_yticks(range(len(by_name)), [name.replace("^", " to the ") for name in by_name], fontsize=7.5)
        axis.set(xlabel="test loss at the end (nat)")
        axis.set_title(f"{int(steps):,} steps")
        axis.grid(axis="y", lw=0.6, color=FAINT, zorder=0)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    listed = "; ".join(
        f"{int(steps):,} steps: best {min(one.values()):.3f}, constant {one['constant']:.3f}"
        for steps, one in best.items()
    )
    save(
        figure,
        "generalisation-schedules",
        f"Test loss at the end of {len(best[next(iter(best))])} schedules, with 95 % intervals. {listed}.",
    )


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
