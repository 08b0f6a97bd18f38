"""Networks of width 4 to 64 on few data: the regimes of training, and what holds in each."""

from collections import Counter

import numpy as np
from edge import product, rate, ratio
from matplotlib.lines import Line2D
from tables import INK, MUTED, SERIES, bracketed, directions, folded, mean_interval, panels, save, table, weights

import empirics
from empirics.measure import REGIMES, regime

ELR = ("width-32-elr",)
LR = ("width-8-lr", "width-16-lr", "width-32-lr", "width-64-lr")
NAMES = (*ELR, *LR)
WIDTHS = (8, 16, 32, 64)
PROTOCOLS = {"fixed-elr": "fixed ELR", "fixed-lr": "fixed LR"}
CLASSES = 10
COLOURS = dict(zip(REGIMES, (MUTED, INK, SERIES[1], SERIES[2], SERIES[3], SERIES[0], MUTED), strict=True))
MARKERS = dict(zip(REGIMES, "xP^vDos", strict=True))
MARKERS_OF = "os^D"
#: Forms of V1 and V3 that are shown for each regime.
FORMS = {"V1 slope": ("V1", "symmetry"), "V1 formula": ("V1", "physics"), "V3, spline": ("V3", "symmetry")}
#: The noise is looked at from this share of the run on: after the warm-up, the burn-in included.
FROM = 0.1


# ------------------------------------------------------------------------------------- what summaries keep for the page
def reduce(runs):
    """Regime of every run, how its noise falls, its temperature at the end, and V1 and V3 in each regime."""
    trace, data = runs.tree["trace"].to_dataset(), runs.dataset
    step = trace["step"].values
    seen, measured = step > FROM * step[-1], step > runs.experiment.training.burn_in
    noise = (trace["grad_sq"] * trace["radius_sq"]).values[:, seen]
    loss, accuracy = (trace[name].values[:, measured] for name in ("loss", "accuracy"))
    found = [
        regime(status=status, step=step[seen], loss=loss[i], noise=noise[i], accuracy=accuracy[i], classes=CLASSES)
        for i, status in enumerate(map(str, data["status"].values))
    ]
    labels = np.array([one.label for one in found])
    return {
        "regime": labels,
        "exponent": np.array([one.exponent for one in found]),
        # An upper bound: the whole second moment of the gradient counts as noise.
        "temperature": rate(data) * noise[:, -len(noise[0]) // 4 :].mean(1) / (2 * directions(data)),
        "judged": {name: _judged(data.isel(run=labels == name)) for name in REGIMES[1:] if (labels == name).any()},
    }


def _judged(data):
    """V1 and V3 of some runs; the numbers stand also where a gate forbids a verdict."""
    rows, found = list(empirics.compare(data)), {"runs": data.sizes["run"]}
    for name, (claim, kind) in FORMS.items():
        one = next(row for row in rows if (row.claim, row.kind) == (claim, kind))
        found[name] = [one.measured, one.low, one.high, one.theory, one.verdict]
    return found | {"balance": [data["balance"].values.min(), data["balance"].values.max()]}


# --------------------------------------------------------------------------------------------------------------- tables
def named(stored):
    """Protocol and width of an experiment, in words."""
    return PROTOCOLS[stored.experiment.training.protocol], str(stored.experiment.model.hidden[0])


def census(found):
    """Table of how many runs are in which regime, and what their status is."""
    rows = []
    for one in found.values():
        seen = Counter(one.more["width"]["regime"])
        statuses = ", ".join(f"{n} {name}" for name, n in Counter(map(str, one.dataset["status"].values)).items())
        numbers = (str(seen.get(name, "")) for name in REGIMES)
        rows.append([*named(one), f"{weights(one.dataset):,}", *numbers, statuses])
    return table(["protocol", "width", "weights", *REGIMES, "statuses"], rows)


def number(judged):
    """A measured number and its interval, as bracketed; nothing where there is none."""
    measured, low, high = (np.nan if value is None else value for value in judged[:3])
    return bracketed(measured, low, high, ".3g") if np.isfinite(low) else ""


def by_regime(found):
    """Table of V1 and V3 on the runs of each regime alone."""
    rows = []
    for one in found.values():
        for name, judged in one.more["width"]["judged"].items():
            low, high = judged["balance"]
            cells = [f"{number(judged[form])}, theory {judged[form][3]:g}".removeprefix(", ") for form in FORMS]
            verdicts = ", ".join(judged[form][4] for form in FORMS)
            rows.append([*named(one), name, str(judged["runs"]), f"{low:.3f}, {high:.3f}", *cells, verdicts])
    return table(["protocol", "width", "regime", "runs", "V1 balance, range", *FORMS, "verdicts"], rows)


def knobs(data):
    """What the directions depend on by symmetry: the effective learning rate, or lr·wd."""
    return np.float64([f"{one:.4g}" for one in data["effective_lr"].values]) if "effective_lr" in data.coords else (
        product(data)
    )  # fmt: skip


def details(found):
    """Table of one protocol: one row per width and rate."""
    head = ["width", "regimes", "effective learning rate", "T at most, at the end", "noise ~ step^-a: a", "loss"]
    head += ["training accuracy", "test accuracy", "batch sharpness / edge", "η_eff·tr H per direction"]
    rows = []
    for one in found:
        data, more, knob = one.dataset, one.more["width"], knobs(one.dataset)
        sharp = rate(data) * data["laplacian"].values / directions(data)
        columns = [rate(data), np.array(more["temperature"], float), np.array(more["exponent"], float)]
        columns += [data[name].values for name in ("loss", "accuracy", "test_accuracy")] + [ratio(data)]
        for value in np.unique(knob):
            here = np.flatnonzero(knob == value)
            labels = ", ".join(f"{n} {name}" for name, n in Counter(more["regime"][i] for i in here).items())
            here = [i for i in here if more["regime"][i] != "diverged"]
            cells = [mean_interval(column[here], 3) for column in (*columns, sharp)] if here else [""] * 8
            rows.append([named(one)[1], f"{value:.3g}", labels, *cells])
    fixed = "effective learning rate, set" if found[0].experiment.training.protocol == "fixed-elr" else "lr·wd"
    return table([head[0], fixed, *head[1:]], rows)


# -------------------------------------------------------------------------------------------------------------- figures
def draw(found):
    """Regimes over width and rate; temperature at the end; the effective learning rate that fixed LR finds."""
    _draw_map(found)
    powers = [power(found[name]) for name in LR]
    title = f"At a fixed learning rate T at the end goes as lr·wd to the power {min(powers):.2f} to {max(powers):.2f}"
    title += "\nthe wider the network, the lower its temperature"
    figure, axes = panels(title, columns=3, height=3.4)
    for one in found.values():
        protocol, width = named(one)
        more, elr = one.more["width"], protocol == "fixed ELR"
        good, k = np.array(more["regime"]) != "diverged", WIDTHS.index(int(width))
        looks = {"marker": MARKERS_OF[k], "ls": "", "ms": 3.5, "color": SERIES[k], "mfc": "none"}
        x, heat = knobs(one.dataset)[good], np.array(more["temperature"], float)[good]
        axes[0 if elr else 1].plot(x, heat, **looks)
        if not elr:
            axes[2].plot(x, rate(one.dataset)[good], label=f"width {width}", **looks)
    elr, lr = "effective learning rate", "lr·wd"
    words = (
        (elr, "$T$ at the end (nat), upper bound", "fixed ELR, width 32"),
        (lr, "", "fixed LR"),
        (lr, elr, "fixed LR"),
    )
    for axis, (x, y, of) in zip(axes, words, strict=True):
        axis.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
        axis.set_title(of)
        axis.yaxis.set_minor_formatter("")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    listed = "; ".join(f"width {named(found[name])[1]}: lr·wd^{one:.2f}" for name, one in zip(LR, powers, strict=True))
    save(
        figure,
        "width-temperature",
        f"Temperature at the end of every run against its rate. At a fixed learning rate {listed}.",
    )


def _draw_map(found):
    """Regimes over width and rate; where runs of one cell differ, each has its own marker."""
    labels = [(named(one)[0], name) for one in found.values() for name in one.more["width"]["regime"]]
    count = {protocol: Counter(name for of, name in labels if of == protocol) for protocol in PROTOCOLS.values()}
    said = {
        protocol: ", ".join(f"{n} {name}" for name, n in sorted(of.items(), key=lambda pair: -pair[1]))
        for protocol, of in count.items()
    }
    title = f"At a fixed learning rate {count['fixed LR']['gas']} of {count['fixed LR'].total()} runs are a gas, "
    title += (
        f"at a fixed effective one {count['fixed ELR']['interpolating']} of {count['fixed ELR'].total()} interpolate"
    )
    figure, axes = panels(title, height=3.7, width_ratios=(2, 3))
    for one in found.values():
        protocol, width = named(one)
        axis, knob, mine = axes[0 if protocol == "fixed ELR" else 1], knobs(one.dataset), one.more["width"]["regime"]
        for value in np.unique(knob):
            here = sorted((mine[i] for i in np.flatnonzero(knob == value)), key=REGIMES.index)
            places = np.log2(int(width)) + 0.8 * ((np.arange(len(here)) + 0.5) / len(here) - 0.5)
            for place, name in zip(places, here, strict=True):
                axis.plot(value, place, MARKERS[name], ms=6 if len(here) < 4 else 4, color=COLOURS[name])
    for axis, protocol in zip(axes, said, strict=True):
        axis.set_xscale("log")
        axis.set_title(f"{protocol}, {count[protocol].total()} runs")
        axis.set(ylabel="width of the network", xlabel="effective learning rate" if "ELR" in protocol else "lr·wd")
        widths = sorted({int(named(one)[1]) for one in found.values() if named(one)[0] == protocol})
        axis.set_yticks(np.log2(widths), widths)
        axis.margins(y=0.08 if len(widths) > 1 else 0.6)
    every = Counter(name for _, name in labels)
    seen = [name for name in REGIMES if every[name]]
    handles = [
        Line2D([], [], marker=MARKERS[name], ls="", color=COLOURS[name], label=f"{name} ({every[name]})")
        for name in seen
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(seen), fontsize=8, columnspacing=1)
    listed = "; ".join(f"{protocol}: {words}" for protocol, words in said.items())
    save(figure, "width-map", f"Regimes of training over width and rate. {listed}.")


# ------------------------------------------------------------------------------------------------------ what is quoted
def per_width(names, of):
    """A text per experiment, in one line."""
    return ", ".join(f"{of(name)} at width {name.split('-')[1]}" for name in names)


def highest(one):
    """Highest effective learning rate at which all runs of an experiment interpolate."""
    knob, labels = knobs(one.dataset), np.array(one.more["width"]["regime"])
    return max((value for value in np.unique(knob) if (labels[knob == value] == "interpolating").all()), default=np.nan)


def slopes(found, names, label, form, digits=3):
    """A form of V1 or V3 in one regime, at all widths at which it is determined, in one line."""
    cells = []
    for name in names:
        judged = found[name].more["width"]["judged"].get(label)
        if judged and number(judged[form]):
            measured, low, high = judged[form][:3]
            cells.append(f"{measured:.{digits}f} ± {(high - low) / 2:.{digits}f} (width {named(found[name])[1]})")
    return ", ".join(cells)


def power(one):
    """Power of lr·wd with which T at the end goes, over all runs that did not diverge."""
    more = one.more["width"]
    good = np.array(more["regime"]) != "diverged"
    return np.polyfit(np.log(product(one.dataset)[good]), np.log(np.array(more["temperature"], float)[good]), 1)[0]


def parts(found):
    """What words/width.md asks for."""
    labels = {name: Counter(one.more["width"]["regime"]) for name, one in found.items()}
    rates = {name: rate(found[name].dataset) for name in LR}
    wide = {name: found[name].more["width"] for name in ELR}
    falls = {
        name: np.array(more["exponent"])[np.array(more["regime"]) == "interpolating"] for name, more in wide.items()
    }
    return {
        "census": folded("How many runs are in which regime", census(found)),
        "by_regime": folded("Radius (V1) and Maxwell relation (V3) by regime", by_regime(found)),
        "fixed_elr": folded(
            "Every width and rate at a fixed effective learning rate", details([found[n] for n in ELR])
        ),
        "fixed_lr": folded("Every width and rate at a fixed learning rate", details([found[name] for name in LR])),
        "interpolating": per_width(ELR, lambda name: f"{labels[name]['interpolating']} of {labels[name].total()}"),
        "interpolating_lr": str(sum(labels[name]["interpolating"] for name in LR)),
        "runs_lr": str(sum(len(one) for one in rates.values())),
        "floors": per_width(LR, lambda name: f"{np.nanmin(found[name].dataset['loss'].values):.2g}"),
        "highest": per_width(ELR, lambda name: f"{highest(found[name]):.2g}"),
        "falls": per_width(ELR, lambda name: f"{falls[name].min():.1f} to {falls[name].max():.1f}"),
        "interpolating_slope": slopes(found, ELR, "interpolating", "V1 slope", 2),
        "interpolating_maxwell": slopes(found, ELR, "interpolating", "V3, spline", 2),
        "gas_slope": slopes(found, LR, "gas", "V1 slope"),
        "gas_maxwell": slopes(found, LR, "gas", "V3, spline", 2),
        "pinned": per_width(LR, lambda name: f"{rates[name].min():.2g} to {rates[name].max():.2g}"),
        "power": per_width(LR, lambda name: f"{power(found[name]):.2f}"),
        "jumps": per_width(LR, lambda name: str(labels[name]["periodic jumps"])),
        "jumps_elr": per_width(ELR, lambda name: str(labels[name]["periodic jumps"])),
    }
