"""The edge of stochastic stability: curvature against 2/(effective learning rate), on digits and over the width."""

import numpy as np
from edge_states import BATCHES, LOOKS, STEPS, looked
from tables import INK, MUTED, SERIES, folded, mean_interval, panels, save, says, span, student, table

LR = ("width-16-lr", "width-32-lr")
NAMES = ("digits-edge", *LR)
#: Networks that are wide enough to learn all 128 images under their last layer.
WIDE = ("width-32-lr",)
#: What lr·wd has to be at most for them to do so.
LEARNT = 1.5e-3


def reduce(runs):
    """Largest eigenvalues and single steps, at a fixed learning rate with weights kept."""
    kept = "weights" in runs.tree["snapshots"] and runs.experiment.training.protocol == "fixed-lr"
    return looked(runs) if kept else {}


# ------------------------------------------------------------------------------------------------------------ numbers
def rate(data):
    """Effective learning rate of every run."""
    if "effective_lr" in data.coords:
        return data["effective_lr"].values
    return data["lr"].values / data["radius_sq"].values


def ratio(data):
    """Batch sharpness over that at the edge, of every run."""
    return data["batch_sharpness"].values * rate(data) / 2


def product(data):
    """lr·wd of every run, the same for the same cells of the grid."""
    return np.float64([f"{one:.4g}" for one in (data["lr"] * data["weight_decay"]).values])


def step(stored):
    """Of single steps, by run and part: batch sharpness over the edge, change of the minibatch's loss in lr·|g|²."""
    size, bent, change = (np.array(stored.more["edge"][name]) for name in ("size", "bent", "change"))
    return bent / size.mean(1, keepdims=True), change / size.mean(1, keepdims=True)


def trend(stored, values):
    """Change of a number of the runs per decade of lr·wd and of lr/wd, each with half its interval."""
    data = stored.dataset
    x, y = np.log10(data["lr"] * data["weight_decay"]).values, np.log10(data["lr"] / data["weight_decay"]).values
    design = np.stack([np.ones_like(x), x - x.mean(), y - y.mean()], 1)
    found, residual, *_ = np.linalg.lstsq(design, values, rcond=None)
    error = np.sqrt(residual[0] / (len(x) - 3) * np.diag(np.linalg.inv(design.T @ design)))
    return [f"{value:z.2f} ± {2 * one:.2f}" for value, one in zip(found, error, strict=True)][1:]


def ends(stored, values):
    """A number at the lowest and at the highest lr·wd, and the two lr·wd between which it passes a level of 1."""
    lr_wd = product(stored.dataset)
    cells = np.unique(lr_wd)
    means = np.array([np.mean(values[lr_wd == one]) for one in cells])
    above = int(np.argmax(means > 1))
    return means[0], means[-1], cells[above - 1], cells[above]


# ------------------------------------------------------------------------------------------------------------- tables
HEAD = [
    "lr·wd",
    "runs",
    "effective learning rate",
    "accuracy",
    "batch sharpness / edge",
    "change of the minibatch's loss",
]
HEAD += ["η_eff·λ_max, median", "lowest to highest tenth", "share of snapshots above 2"]


def by_product(stored):
    """Rows of one experiment: one per lr·wd, with means over its runs."""
    data, lr_wd = stored.dataset, product(stored.dataset)
    more = {name: np.array(values) for name, values in stored.more["edge"].items()}
    for one in np.unique(lr_wd):
        here = np.flatnonzero((lr_wd == one) & (data["status"].values != "diverged"))
        cells = [mean_interval(values[here], 3) for values in (rate(data), data["accuracy"].values, ratio(data))]
        row = [f"{one:.2g}", str(len(here)), *cells]
        if more:
            change = step(stored)[1].mean(1)
            tenths = (more[f"lr·λ_max, {name}"][here].mean() for name in ("lowest tenth", "highest tenth"))
            row += [mean_interval(change[here], 2), mean_interval(more["lr·λ_max, median"][here], 2)]
            row += [" to ".join(f"{value:.2g}" for value in tenths), f"{more['share above 2'][here].mean():.0%}"]
        yield row + [""] * (len(HEAD) - len(row))


def learning(found):
    """Wide networks at a fixed learning rate, and which of their runs have an lr·wd at which they learn every image."""
    for name in WIDE:
        yield found[name], product(found[name].dataset) <= LEARNT


def pinned(one, low):
    """What becomes of the rate and of its product with λ_max in some runs: a text."""
    rates, more, width = rate(one.dataset)[low], one.more["edge"], one.experiment.model.hidden[0]
    medians, shares = (np.array(more[key])[low] for key in ("lr·λ_max, median", "share above 2"))
    return (
        f"Width {width}: effective learning rates {rates.min():.2g} to {rates.max():.2g}, median of "
        f"η_eff·λ_max {np.median(medians):.2g} ({medians.min():.2g} to {medians.max():.2g} over {len(medians)} runs), "
        f"above 2 in {shares.mean():.0%} of the snapshots"
    )


def own(one):
    """Mean change of the loss of a step's own minibatch over the runs of one experiment, with its interval."""
    change = step(one)[1].mean(1)
    return f"{mean_interval(change[one.dataset['status'].values != 'diverged'], 2)} ({one.name})"


# -------------------------------------------------------------------------------------------------------------- figure
def draw(found):
    """Curvature over that at the edge against lr·wd: the digits grid, and 128 images."""
    digits = found["digits-edge"]
    low, high, below, above = ends(digits, ratio(digits.dataset))
    whole = 1 + step(digits)[1].mean(1)
    title = f"Batch sharpness crosses the edge of stability (1) between lr·wd = {below:.2g} and {above:.2g}\n"
    title += f"averaged over a whole step the same curvature stays below it on the digits: {span(whole)}"
    figure, axes = panels(title, height=3.8, sharey=True)
    for axis, name, words in zip(axes, ("digits-edge", WIDE[-1]), ("digits", "128 images, wider"), strict=True):
        lr_wd, more = product(found[name].dataset), found[name].more["edge"]
        curves = {
            "$\\lambda_{\\max}$ of the mean Hessian, median": (np.array(more["lr·λ_max, median"]) / 2, "s", MUTED),
            "minibatch along its gradient (batch sharpness)": (ratio(found[name].dataset), "^", SERIES[1]),
            "the same, mean over the whole step": (1 + step(found[name])[1].mean(1), "o", SERIES[0]),
        }
        for label, (values, marker, ink) in curves.items():
            axis.plot(lr_wd, values, marker, ms=4, alpha=0.85, mfc="none", color=ink, label=label)
        axis.axhline(1, color=INK, lw=0.8)
        axis.set(xscale="log", yscale="log", xlabel="lr·wd")
        axis.set_title(words)
    says(axes[0], "edge of stability", (0.02, 1), INK, (0, 6), xycoords=axes[0].get_yaxis_transform())
    axes[0].set_ylabel("curvature × effective lr / 2")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    alt = "Curvature over that at the edge of stability against lr·wd. On the digits batch sharpness rises from "
    save(figure, "edge", f"{alt}{low:.2f} to {high:.2f} and passes 1 between {below:.2g} and {above:.2g}; "
         f"its mean over a whole step is {span(whole)}.")  # fmt: skip


def parts(found):
    """What words/edge.md asks for."""
    digits = found["digits-edge"]
    start, (_, change) = ratio(digits.dataset), step(digits)
    low, high, below, above = ends(digits, start)
    own_low, own_high, *_ = ends(digits, change.mean(1))
    median = ends(digits, np.array(digits.more["edge"]["lr·λ_max, median"]))
    half = student(change)[1]
    of_rate, above_two = (
        [np.array(one.more["edge"][name])[low] for one, low in learning(found)]
        for name in ("lr·λ_max, median", "share above 2")
    )
    return {
        "looks": f"{LOOKS}",
        "batches": f"{BATCHES}",
        "steps": f"{STEPS}",
        "low": f"{low:.2f}",
        "high": f"{high:.2f}",
        "crossing": f"{below:.1e} and {above:.1e}",
        "per_decade": trend(digits, start)[0],
        "per_ratio": trend(digits, start)[1],
        "own_low": f"{own_low:.2f} ± {half[np.argmin(product(digits.dataset))]:.2f}",
        "own_high": f"{own_high:.2f} ± {half[np.argmax(product(digits.dataset))]:.2f}",
        "whole_low": f"{1 + own_low:.2f}",
        "whole_high": f"{1 + own_high:.2f}",
        "falling": str(int((change.mean(1) + half < 0).sum())),
        "median_low": f"{median[0]:.2f}",
        "median_high": f"{median[1]:.2f}",
        "pinned": "; ".join(pinned(*each) for each in learning(found)),
        "pinned_median": " and ".join(f"{np.median(medians):.2g}" for medians in of_rate),
        "pinned_share": " and ".join(f"{np.mean(shares):.0%}" for shares in above_two),
        "spikes": "; ".join(
            f"over the edge it is {np.median(ratio(one.dataset)[low]):.2g} in the median run at width "
            f"{one.experiment.model.hidden[0]} and {span(ratio(one.dataset)[low])} over the runs"
            for one, low in learning(found)
        ),
        "own_wide": "In units of lr·E|g|² it changes by " + ", ".join(own(found[name]) for name in WIDE),
        "digits": folded("Digits, by lr·wd", table(HEAD, by_product(digits))),
        "widths": [line for name in LR for line in folded(f"{name}, by lr·wd", table(HEAD, by_product(found[name])))],
    }
