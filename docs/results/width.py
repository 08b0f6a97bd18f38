"""Runs networks of width 4 to 64 on few data and writes docs/results/width.md; ten minutes of one core.

python docs/results/width.py --runs runs
"""

from collections import Counter

import matplotlib as mpl
import numpy as np
from tables import EXPERIMENTS, FIGURES, asked, available, bracketed, directions, mean_interval, table, weights, write

import empirics
from empirics.measure import REGIMES, regime

mpl.use("Agg")
import matplotlib.pyplot as plt

WIDTHS = (4, 8, 16, 32, 64)
PROTOCOLS = {"fixed ELR": "elr", "fixed LR": "lr"}
CLASSES = 10
COLOURS = dict(
    zip(REGIMES, ("0.75", "tab:pink", "tab:red", "tab:blue", "tab:orange", "tab:green", "tab:olive"), strict=True)
)

#: Forms of V1 and V3 that are shown for each regime.
FORMS = (("V1", "identity"), ("V1", "symmetry"), ("V1", "physics"), ("V3", "symmetry"))


#: The course of the noise is looked at from this share of the run on: after the warm-up, the burn-in included.
FROM = 0.1


def noise_of(runs):
    """Steps of the course and the squared gradient at unit norm there, shapes (point,) and (run, point)."""
    trace = runs.tree["trace"].to_dataset()
    step = trace["step"].values
    seen = step > FROM * step[-1]
    return step[seen], (trace["grad_sq"] * trace["radius_sq"]).values[:, seen]


def regimes(runs):
    """The regime of every run."""
    step, noise = noise_of(runs)
    trace = runs.tree["trace"].to_dataset()
    trace = trace.isel(step=trace["step"].values > runs.experiment.training.burn_in)
    loss, accuracy = trace["loss"].values, trace["accuracy"].values
    return [
        regime(status=str(status), step=step, loss=loss[i], noise=noise[i], accuracy=accuracy[i], classes=CLASSES)
        for i, status in enumerate(runs.dataset["status"].values)
    ]


def rates(runs):
    """What the directions depend on by symmetry: the effective lr, or lr x weight decay."""
    data = runs.dataset
    return data["effective_lr"].values if "effective_lr" in data.coords else (data["lr"] * data["weight_decay"]).values


def effective(runs):
    """Effective learning rate of every run."""
    data = runs.dataset
    return data["effective_lr"].values if "effective_lr" in data.coords else (data["lr"] / data["radius_sq"]).values


def bound(runs):
    """Upper bound of the temperature at the end, from the whole second moment of the gradient, of every run."""
    noise = noise_of(runs)[1]
    last = noise[:, -len(noise[0]) // 4 :].mean(1)
    return effective(runs) * last / (2 * directions(runs.dataset))


def census(results):
    """Table of how many runs are in which regime, and what the engine's own status says of them."""
    rows = []
    for (title, width), (runs, found) in results.items():
        seen = Counter(one.label for one in found)
        statuses = ", ".join(f"{n} {name}" for name, n in Counter(map(str, runs.dataset["status"].values)).items())
        numbers = (str(seen.get(name, "")) for name in REGIMES)
        rows.append([title, str(width), f"{weights(runs.dataset):,}", *numbers, statuses])
    return table(["protocol", "width", "d", *REGIMES, "statuses"], rows)


def details(results, title):
    """Table of one protocol: one row per width and rate."""
    named = "effective lr" if title == "fixed ELR" else "lr·wd"
    head = ["width", named, "regimes", "effective lr", "T at most, at the end", "noise ~ step^-a: a", "loss"]
    head += ["training accuracy", "test accuracy", "tr H", "effective lr × tr H per direction"]
    rows = []
    for (protocol, width), (runs, found) in results.items():
        if protocol != title:
            continue
        data, knob, heat, rate = runs.dataset, np.round(np.log10(rates(runs)), 6), bound(runs), effective(runs)
        for one in np.unique(knob):
            here = np.flatnonzero(knob == one)
            labels = ", ".join(f"{n} {name}" for name, n in Counter(found[i].label for i in here).items())
            here = [i for i in here if found[i].label != "diverged"]
            if not here:
                rows.append([str(width), f"{10**one:.3g}", labels, *[""] * 8])
                continue
            sharp = data["laplacian"].values[here] / directions(data)
            columns = [rate[here], heat[here], [found[i].exponent for i in here]]
            columns += [data[name].values[here] for name in ("loss", "accuracy", "test_accuracy", "laplacian")]
            cells = (mean_interval(one, 3) for one in (*columns, rate[here] * sharp))
            rows.append([str(width), f"{10**one:.3g}", labels, *cells])
    return table(head, rows)


def by_regime(results):
    """Table of V1 and V3 on the runs of each regime alone."""
    head = ["protocol", "width", "regime", "runs", "V1 balance, range", "V1 slope", "V1 formula", "V3, spline"]
    rows = []
    for (title, width), (runs, found) in results.items():
        labels = np.array([one.label for one in found])
        for name in REGIMES:
            members = np.flatnonzero(labels == name)
            if name == "diverged" or not len(members):
                continue
            rows.append([title, str(width), name, str(len(members)), *_judged(runs.dataset.isel(run=members))])
    return table([*head, "verdicts"], rows)


def _judged(data):
    """V1 and V3 of some runs, as the table has them; the numbers stand also where a gate forbids a verdict."""
    balance = data["balance"].values
    cells, said = [f"{balance.min():.3f}, {balance.max():.3f}"], []
    verdicts = list(empirics.compare(data))
    for claim, kind in FORMS[1:]:
        one = next(each for each in verdicts if (each.claim, each.kind) == (claim, kind))
        number = f"{bracketed(one.measured, one.low, one.high, '.3g')}, theory {one.theory:g}"
        cells.append(number if np.isfinite(one.measured) else "")
        said.append(one.verdict)
    return [*cells, ", ".join(said)]


def draw_map(results, path):
    """Regimes over width and rate; where runs of one cell differ, the marker is shared."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    for ax, title in zip(axes, PROTOCOLS, strict=True):
        for (protocol, width), (runs, found) in results.items():
            if protocol != title:
                continue
            knob = np.round(np.log10(rates(runs)), 6)
            for one in np.unique(knob):
                labels = sorted((found[i].label for i in np.flatnonzero(knob == one)), key=REGIMES.index)
                places = np.log2(width) + 0.8 * ((np.arange(len(labels)) + 0.5) / len(labels) - 0.5)
                ax.scatter(
                    [10**one] * len(labels), places, s=130 / len(labels), marker="s", c=[COLOURS[n] for n in labels]
                )
        ax.set(xscale="log", title=title, ylabel="width", xlabel="effective lr" if "ELR" in title else "lr·wd")
        ax.set(ylim=(1.4, 6.6))
        ax.set_yticks(np.log2(WIDTHS), WIDTHS)
    shown = [n for n in REGIMES if any(one.label == n for _, found in results.values() for one in found)]
    handles = [plt.Line2D([], [], marker="s", ls="", color=COLOURS[n], label=n) for n in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(shown), fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_heat(results, path):
    """Temperature at the end against the rate, and the effective learning rate that fixed LR finds."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    for (title, width), (runs, found) in results.items():
        good = np.array([one.label != "diverged" for one in found])
        ax, colour = axes[0 if title == "fixed ELR" else 1], f"C{WIDTHS.index(width)}"
        x = effective(runs) if title == "fixed ELR" else rates(runs)
        ax.plot(x[good], bound(runs)[good], "o", ms=3, color=colour, label=f"width {width}")
        if title == "fixed LR":
            axes[2].plot(x[good], effective(runs)[good], "o", ms=3, color=colour)
    axes[0].set(xscale="log", yscale="log", xlabel="effective lr", ylabel="T at the end, at most", title="fixed ELR")
    axes[1].set(xscale="log", yscale="log", xlabel="lr·wd", ylabel="T at the end, at most", title="fixed LR")
    axes[2].set(xscale="log", yscale="log", xlabel="lr·wd", ylabel="effective lr", title="fixed LR")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    """Run what is not there yet and write the page."""
    given, results = asked(), {}
    names = {f"width-{width}-{short}": (title, width) for title, short in PROTOCOLS.items() for width in WIDTHS}
    shown, missing = available(names, given)
    for name in shown:
        runs = empirics.run(EXPERIMENTS / f"{name}.toml", given.runs / name)
        results[names[name]] = runs, regimes(runs)
    draw_map(results, FIGURES / "width-map.png")
    draw_heat(results, FIGURES / "width-temperature.png")
    elr, lr = (details(results, title) for title in PROTOCOLS)
    tables = {"census": census(results), "by_regime": by_regime(results), "fixed_elr": elr, "fixed_lr": lr}
    write("width", **tables, missing=missing)


if __name__ == "__main__":
    main()
