"""Trains the grids on CIFAR-10 and writes docs/results/cifar.md; results that are there are used again.

python docs/results/cifar.py --runs runs

The data must be at the experiments' path, ``cifar10.tar`` (a tar file or folder of images, or a link to one). With
``--as-is`` nothing is trained: rows of a grid that are finished are judged without the others.
"""

import dataclasses
import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from paper import CIFAR, beside, published
from tables import EXPERIMENTS, FIGURES, asked, bracketed, section, table, write

import empirics
from empirics import Experiment, Runs, results
from empirics.claims import tables_of
from empirics.claims.fits import Estimate, fit
from empirics.experiment import AXES
from empirics.results import STORE
from empirics.running.files import read_arrays
from empirics.running.shard import ShardTask

QUADRATIC, SPLINE = "quadratic", "entropy as any function"

#: The paper's fits: the Maxwell relation over theory at the centre of its grid, and its largest relative error.
PUBLISHED = {
    (fit["network"], fit["protocol"]): beside(fit)
    for fit in published()["networks"]["fits"]
    if fit["data"] == "CIFAR-10"
}

#: What a grid is, and the paper's numbers for it.
PAPER = {name: (words, *PUBLISHED[pair]) for pair, (name, words) in CIFAR.items()} | {
    "cifar-convnet": ("ConvNet, fixed LR, first look", *PUBLISHED["ConvNet", "fixed-lr"]),
    "cifar-convnet-elr": ("ConvNet, fixed ELR, first look", *PUBLISHED["ConvNet", "fixed-elr"]),
    "cifar-resnet18": ("ResNet-18, fixed LR, first look", *PUBLISHED["ResNet-18", "fixed-lr"]),
}

#: Shorter grids from before, in the tables alone.
FIRST_LOOK = ("cifar-convnet", "cifar-convnet-elr", "cifar-resnet18")

RELATION = [
    "", "runs that count", "paper, at the centre", "ours, quadratic fit", "ours, spline", "verdict",
    "largest error, paper", "ours",
]  # fmt: skip
SLOPES = [
    "", "S/R in log rate, all neighbours", "in log wd", "in log rate, Theiler window", "in log wd", "median lag",
    "neighbour is the next snapshot", "path entropies",
]  # fmt: skip
GASES = ["", "S_sphere/R", "log of the squared rotation per step", "log T"]


def finished(name, folder):
    """What there is of an experiment: all of it, or the rows of its grid that are done; None without any."""
    if (folder / STORE).is_dir():
        return empirics.load(folder)
    whole = Experiment.from_file(EXPERIMENTS / f"{name}.toml")
    if not folder.is_dir():
        return None
    tasks = [ShardTask(whole, index, folder.absolute()) for index in range(len(whole.cut()))]
    done = [task for task in tasks if task.finished()]
    if not done:
        return None
    axis = AXES[whole.training.protocol][0]
    rows = tuple(getattr(task.runs[0], axis) for task in done)
    part = dataclasses.replace(whole, grid=dataclasses.replace(whole.grid, **{axis: rows}))
    if part.runs != tuple(run for task in done for run in task.runs):
        raise ValueError(f"{name}: a shard must be a row of the grid for a part of it to be judged")
    arrays = results.joined([read_arrays(task.result) for task in done])
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    provenance["shards"] = [task.diary() for task in done]
    parameters = arrays["components/parameters"][0]
    dimension, facts = int((parameters - 1).sum()) + 1, {"weights": int(parameters.sum())}
    tree = results.label(part, dimension, provenance, arrays, facts)
    results.current(tree)
    return Runs(None, tree, part, provenance)


def judged_on(runs):
    """The runs that the verdicts rest on: those that count, or all with numbers where too few of them do."""
    return next(tables_of(runs, ()))[0]


def slope(table, values, rate, weights):
    """Combination of the slopes in log rate and log weight decay of a plane through the runs."""
    design = np.c_[np.ones(len(values)), np.log(table.values(rate)), np.log(table.values("weight_decay"))]
    return fit(design, values, [0, *weights])


def short(estimate):
    """Number and interval."""
    return bracketed(estimate.value, estimate.low, estimate.high, ".3f")


def beside_the_paper(name, runs, verdicts):
    """A line of each table: the Maxwell relation and the paper's; separate slopes and neighbours; what S follows."""
    words, paper, error = PAPER[name]
    data, rate = runs.dataset, AXES[runs.experiment.training.protocol][0]
    (maxwell,) = [one for one in verdicts if one.claim == "V3"]
    own = {"title": maxwell.title, "measured": maxwell.measured, "low": maxwell.low, "high": maxwell.high}
    shown = []
    for form in (QUADRATIC, SPLINE):
        one = next(other for other in (own, *maxwell.other_forms) if form in other["title"])
        value, low, high = (one[name] / maxwell.theory for name in ("measured", "low", "high"))
        shown.append(short(Estimate(value, *sorted((low, high)))))
    worst = maxwell.details.get("largest relative error over the grid", np.nan)
    counted = int((data["status"] == "ok").sum())
    relation = [
        words,
        f"{counted} of {data.sizes['run']}",
        paper,
        *shown,
        maxwell.verdict,
        error,
        f"{worst:.1%}",
    ]
    used, lags = judged_on(runs), np.abs(runs.tree["snapshots"]["neighbour_lag"].values)
    unit = (used.dimension - 1) / 2
    slopes = [
        short(slope(used, used.values(entropy) / unit + 2 * used.values("log_radius"), rate, weights))
        for entropy in ("entropy_sphere", "entropy_sphere_theiler")
        for weights in ([1, 0], [0, 1])
    ]
    # Along lr and weight decay together, or at fixed ELR along the rate: what a symmetry orbit keeps.
    along = [0.5, 0.5] if rate == "lr" else [1, 0]
    three = [
        used.values("entropy_sphere") / unit,
        2 * np.log(used.values("rotation")),
        np.log(used.values("temperature")),
    ]
    gas = [words, *(short(slope(used, one, rate, along)) for one in three)]
    there = np.isfinite(lags).all(1)  # a run that diverged has no neighbours
    next_one = np.mean(lags[there] == 1)
    numbers = [
        words,
        *slopes,
        f"{np.nanmedian(lags):.0f}",
        f"{next_one:.0%}",
        f"{float(data['path_entropy'].values[there].mean()):.0%}",
    ]
    return relation, numbers, gas


def facts(runs):
    """What says whether the runs can be judged, and what else was recorded."""
    data = runs.dataset
    names = {
        "norm balance": data["balance"],
        "drift of the loss over the measured part, of itself": loss_drift(runs),
        "mean loss (nat)": data["loss"],
        "accuracy on minibatches of the training set": data["accuracy"],
        "test accuracy": data["test_accuracy"],
        "T": data["temperature"],
        "signal-to-noise ratio, |grad L|^2 over tr Cov g of a minibatch": data["grad_mean_sq"] / data["grad_variance"],
        "tr Cov g at unit norm": data["grad_variance_unit"],
        "rotation per step (rad)": data["rotation"],
        "effective sample size of the directions": data["effective_sample_size"],
    }
    for name, values in names.items():
        low, middle, high = np.nanquantile(values, [0, 0.5, 1])
        yield f"- {name}: {low:.4g} to {high:.4g}, median {middle:.4g}"
    if spent := list(cost(runs)):
        yield f"- wall time per step per run, on a shared processor: {min(spent):.2g} to {max(spent):.2g} ms"


def left_out(runs):
    """Which runs do not count, and why, each a line; which rows of the grid are not there at all."""
    data, axis = runs.dataset, AXES[runs.experiment.training.protocol][0]
    whole = Experiment.from_file(EXPERIMENTS / f"{data.attrs['name']}.toml")
    if missing := sorted(set(getattr(whole.grid, axis)) - set(getattr(runs.experiment.grid, axis))):
        yield f"- not finished, and so not judged: the rows {axis} = {', '.join(f'{one:.3g}' for one in missing)}"
    for rate, decay, status, reason in zip(
        data[axis].values, data["weight_decay"].values, data["status"].values, data["reason"].values, strict=True
    ):
        if status != "ok":
            yield f"- left out, {axis} = {rate:.3g}, weight decay {decay:.3g}: {status}, {reason}"


def loss_drift(runs):
    """Last quarter of the measured part less the first, over the mean."""
    loss = runs.tree["blocks"]["loss"].values
    quarter = loss.shape[1] // 4
    return (loss[:, -quarter:].mean(1) - loss[:, :quarter].mean(1)) / loss.mean(1)


def temperatures(runs):
    """T_l of each filter over their mean by directions, in runs that count: lr tr Cov_l/(2 (d_l - 1)), lr the same."""
    parts = runs.tree["components"]
    directions = parts["parameters"].values - 1.0
    heat = parts["grad_variance"].values / directions
    mean = (heat * directions).sum(1, keepdims=True) / directions.sum(1, keepdims=True)
    return (heat / mean)[counted(runs)]


def counted(runs):
    """Which runs count; all if none does, so that there is something to see."""
    ok = runs.dataset["status"].values == "ok"
    return ok if ok.any() else np.ones_like(ok)


def draw(name, runs):
    """Four looks at a grid: one curve if the network is scale-invariant, neighbours in time, losses, filters."""
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.0), layout="constrained")
    for axis, panel in zip(axes.flat, (draw_collapse, draw_lags, draw_losses, draw_filters), strict=True):
        panel(axis, runs)
    figure.savefig(FIGURES / f"{name}.png", dpi=85, metadata={"Software": None})
    plt.close(figure)
    words = (
        "Entropy less what the Maxwell relation says, against what must then determine it; how far in time nearest "
        "neighbours are; the loss on the way, measured part to the right of the line; temperatures of the filters."
    )
    return [f"![{PAPER[name][0]}](figures/{name}.png)", "", f"*{words}*", ""]


def strength(runs):
    """What is equal along a symmetry orbit and its name, S/R less the Maxwell relation and what that is called."""
    data, unit = runs.dataset, (judged_on(runs).dimension - 1) / 2
    entropy, decay = data["entropy"].values / unit, data["weight_decay"].values
    if runs.experiment.training.protocol == "fixed-lr":
        lr = data["lr"].values
        return lr * decay, "lr·wd", entropy - 0.5 * np.log(lr / decay), "S/R - log(lr/wd)/2"
    return data["effective_lr"].values, "effective lr", entropy + np.log(decay), "S/R + log wd"


def draw_collapse(axis, runs):
    """Runs at different weight decay on one curve, or not."""
    held, words, rest, label = strength(runs)
    decay, ok = runs.dataset["weight_decay"].values, runs.dataset["status"].values == "ok"
    for value, colour in zip(
        np.unique(decay), mpl.colormaps["viridis"](np.linspace(0, 0.9, len(np.unique(decay)))), strict=True
    ):
        for kept, face in ((ok, colour), (~ok, "none")):
            chosen = (decay == value) & kept
            axis.plot(
                held[chosen],
                rest[chosen] - np.nanmean(rest),
                "o",
                ms=5,
                mfc=face,
                mec=colour,
                label=f"wd {value:.3g}" if kept is ok else None,
            )
    axis.set(xscale="log", xlabel=words, ylabel=f"{label}, mean subtracted", title="hollow: excluded")
    axis.legend(frameon=False, fontsize=7)


def draw_lags(axis, runs):
    """Share of the snapshots whose nearest neighbour is within so many snapshots."""
    lags = np.abs(runs.tree["snapshots"]["neighbour_lag"].values)
    steps = np.arange(1, lags.shape[1])
    for one in lags[np.isfinite(lags).all(1)]:
        axis.plot(steps, np.searchsorted(np.sort(one), steps, side="right") / len(one), color="C0", alpha=0.4, lw=0.8)
    uniform = 1 - (1 - steps / lags.shape[1]) ** 2
    axis.plot(steps, uniform, color="0.3", ls="--", label="independent snapshots")
    axis.set(
        xscale="log",
        xlabel="lag of the nearest neighbour (snapshots)",
        ylabel="share at most so far",
        title="one line per run",
    )
    axis.legend(frameon=False, fontsize=7)


def draw_losses(axis, runs):
    """Loss over time, coloured by the strength of weight decay and learning rate together."""
    trace, training = runs.tree["trace"], runs.experiment.training
    held, words, *_ = strength(runs)
    norm = mpl.colors.LogNorm(held.min(), held.max())
    for loss, value in zip(trace["loss"].values, held, strict=True):
        points = len(loss) // 50 or 1
        steps = trace["step"].values[: len(loss) // points * points].reshape(-1, points)[:, -1]
        axis.plot(
            steps,
            loss[: len(steps) * points].reshape(-1, points).mean(1),
            color=mpl.colormaps["plasma"](0.9 * norm(value)),
            lw=0.8,
        )
    axis.axvline(training.burn_in, color="0.3", ls=":", lw=0.8)
    axis.set(xlabel="step", ylabel="loss (nat)", title=f"dark to bright: {words}")


def draw_filters(axis, runs):
    """Temperature of each filter, in the order of the layers."""
    heat = temperatures(runs)
    low, middle, high = np.nanquantile(heat, [0.05, 0.5, 0.95], axis=0)
    numbers = np.arange(len(middle))
    axis.vlines(numbers, low, high, color="C0", alpha=0.4, lw=1)
    axis.plot(numbers, middle, "o", ms=2.5, color="C0")
    axis.axhline(1, color="0.3", ls="--", lw=0.8)
    axis.set(
        yscale="log",
        xlabel="filter, from the first layer to the last",
        ylabel="T_l over the mean",
        title="median and nine tenths of the runs",
    )


def cost(runs):
    """Wall time of a run and step, from the diaries of shards that one session did from the first step to the last."""
    for shard in runs.provenance.get("shards", []):
        if len(shard) == 2 and shard[0]["step"] == 0:
            began, ended = (np.datetime64(one["at"][:19]) for one in shard)
            yield (ended - began) / np.timedelta64(1, "ms") / shard[1]["step"] / len(runs.experiment.cut()[0])


def main():
    """Write the page."""
    given = asked()
    mpl.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    relations, slopes, gases, body = [], [], [], []
    for name in PAPER:
        if not given.as_is:
            empirics.run(EXPERIMENTS / f"{name}.toml", given.runs / name)
        runs = finished(name, given.runs / name)
        if runs is None:
            continue
        verdicts = empirics.compare(runs)
        relation, numbers, gas = beside_the_paper(name, runs, verdicts)
        relations, slopes, gases = [*relations, relation], [*slopes, numbers], [*gases, gas]
        if name in FIRST_LOOK:
            continue
        judged = [one for one in verdicts if one.verdict != "not measured"]
        body += section(name, runs, judged, "", *left_out(runs), *facts(runs))
        body += [*(f"- {note}" for note in verdicts.notes), "", *draw(name, runs)]
    tables = {"relations": table(RELATION, relations), "slopes": table(SLOPES, slopes), "gases": table(GASES, gases)}
    centres, largest = zip(*(PUBLISHED[pair] for pair in CIFAR), strict=True)
    write("cifar", **tables, grids=body, centres=", ".join(centres), largest=", ".join(largest))


if __name__ == "__main__":
    main()
